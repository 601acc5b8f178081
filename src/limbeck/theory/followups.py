"""Quantities of the papers that followed, each one reading of a span or a kernel matrix.

Ji and Zhu (2020), *Knowledge Distillation in Wide Neural Networks*; Borup and Andersen (2021), *Even your
Teacher Needs Guidance*; Dang, Patil and Rinaldo (2026), optimal self-distillation of ridge regression.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh
from scipy.special import log_expit

from limbeck import _check
from limbeck._check import Array
from limbeck.theory.angles import EmpiricalTail
from limbeck.theory.bounds import bound_at_angle
from limbeck.theory.readings import Readings


def training_difficulty(span: Readings, dz: ArrayLike) -> float:
    """How far the weights must move to learn logits: dz^T K^-1 dz = |dw|^2.

    Parameters
    ----------
    span : Span or KernelSpan
        Of the points; K is the Gram matrix of their features.
    dz : array_like, shape (n,)
        Logits to learn, less the untrained student's. Where the points are dependent, of the
        least-squares student.

    References
    ----------
    Ji and Zhu (2020), training difficulty.
    """
    return float(np.square(span.student(_check.vector(dz, "dz", span.n)).coordinates).sum())


def data_inefficiency(norms: ArrayLike) -> Array:
    """How much every further label still moves the weights: n (ln E|dw_{n+1}| - ln E|dw_n|), n = 1, 2, ...

    Parameters
    ----------
    norms : array_like, shape (m,) or (repeats, m)
        |dw_n| after n = 1, ..., m labels (``data_curve(...).norms`` for one order of the points), positive.

    Returns
    -------
    ndarray, shape (m - 1,)
        0 once the labels suffice; about 1/2 while every label is as new as the first (norms growing as sqrt(n)).

    References
    ----------
    Ji and Zhu (2020), data inefficiency.
    """
    norms = np.atleast_2d(np.asarray(norms, dtype=np.float64))
    if norms.ndim != 2 or norms.shape[1] < 2:
        raise ValueError(f"norms must hold at least two sizes along its last axis, got shape {norms.shape}.")
    mean = norms.mean(axis=0)
    if not (np.all(np.isfinite(mean)) and np.all(mean > 0)):
        raise ValueError(
            f"norms must be positive: that of n = {int(np.argmin(mean > 0)) + 1} is {mean.min():.3g}."
        )
    return np.arange(1, len(mean)) * np.diff(np.log(mean))


def soft_ratio_logits(z: ArrayLike, y: ArrayLike, ratio: float) -> Array:
    """Logits learned from a mix of soft and hard labels: logit(rho sigma(z) + (1 - rho) y).

    The gradient of rho CE(sigma(z), f) + (1 - rho) CE(y, f) is that of one soft label, so that where all answers
    can be met (n <= rank) the student is that of these logits.

    Parameters
    ----------
    z : array_like, shape (n,)
        Teacher logits.
    y : array_like, shape (n,)
        Hard labels, 0 or 1.
    ratio : float
        rho in (0, 1]: the weight of the soft labels. At 0 no finite student meets the labels.

    References
    ----------
    Ji and Zhu (2020), soft ratio, at temperature 1.
    """
    z = np.asarray(_check.vector(z, "z"), dtype=np.float64)
    y = np.asarray(_check.vector(y, "y", z.size), dtype=np.float64)
    if not np.all((y == 0) | (y == 1)):
        raise ValueError(f"y must be 0 or 1, got {y[(y != 0) & (y != 1)][0]:.6g}.")
    rho = _check.number(ratio, "ratio", above=0.0, most=1.0)
    sign = np.where(y == 1, 1.0, -1.0)
    # For y = 1: p = rho sigma(z) + 1 - rho, 1 - p = rho sigma(-z); y = 0 is its mirror image.
    with np.errstate(divide="ignore"):
        ahead = np.logaddexp(np.log(rho) + log_expit(sign * z), np.log1p(-rho))
    return sign * (ahead - np.log(rho) - log_expit(-sign * z))


@dataclass(frozen=True)
class BoundAtAngle:
    """What the angle reached says of a student's risk."""

    angle: float
    """Angle between student and teacher in the features, radians: cos(alpha) = |w_hat| / |w_star|."""
    bound: float
    """p(pi/2 - alpha) with the tail as measured on the points."""
    upper: float
    """The same with the tail's one-sided band: true with probability ``confidence`` over the points."""
    confidence: float
    """Of the band."""


def bound_at_angle_reached(
    span: Readings,
    z: ArrayLike,
    T: ArrayLike,
    teacher_logits: ArrayLike,
    *,
    teacher_norm: float,
    confidence: float = 0.95,
) -> BoundAtAngle:
    """Risk bound p(pi/2 - alpha) at the angle reached, in the space of any span: R^d or a kernel's features.

    A point is at the angle arccos(|f_star(x)| / (|w_star| |x|)) to the teacher, |x|^2 = k(x, x).

    Parameters
    ----------
    span : Span or KernelSpan
        Of the points learned from.
    z : array_like, shape (n,)
        Teacher logits on them, of a teacher that is linear in these features.
    T : array_like, shape (m, d)
        Points drawn at random, for the tail p(theta).
    teacher_logits : array_like, shape (m,)
        The teacher's logits there.
    teacher_norm : float
        |w_star| in the features.
    confidence : float
        Of the band on the tail.

    Raises
    ------
    ValueError
        If a point or the teacher's norm contradicts a teacher of that norm.

    References
    ----------
    Phuong and Lampert (2019), Theorem 3's proof at the angle reached; Ji and Zhu (2020), risk bound.
    """
    T = np.asarray(_check.points(T, "T"), dtype=np.float64)
    says = _check.vector(teacher_logits, "teacher_logits", len(T))
    norm = _check.number(teacher_norm, "teacher_norm", above=0.0)
    inside = float(np.linalg.norm(span.student(_check.vector(z, "z", span.n)).coordinates))
    lengths = span.lengths(T)
    _check.nonzero(lengths[:, None], "T")
    cosine = np.abs(says) / (norm * lengths)
    most = max(float(cosine.max()), inside / norm)
    if most > 1 + 1e-6:
        raise ValueError(
            f"teacher_norm = {norm:.6g} is too small: the answers show at least {most * norm:.6g}."
        )
    alpha = float(np.arctan2(np.sqrt(max((norm - inside) * (norm + inside), 0.0)), inside))
    tail = EmpiricalTail(np.arccos(np.minimum(cosine, 1.0)))
    return BoundAtAngle(
        alpha, bound_at_angle(tail, alpha), bound_at_angle(tail.upper(confidence), alpha), confidence
    )


def repeated_self_distillation(
    K: ArrayLike, y: ArrayLike, ridge: float, weight: float, steps: int | None = None
) -> Array:
    """Dual coefficients of a kernel ridge student distilled into itself again and again.

    Each student fits (1 - a) times the last one's answers plus a times the labels: with A = K (K + lambda I)^-1
    the answers follow B_{t+1} = A ((1 - a) B_t + a I), B_0 = I; the limit is a K (a K + lambda I)^-1 y.

    Parameters
    ----------
    K : array_like, shape (n, n)
        Kernel matrix of the points.
    y : array_like, shape (n,) or (n, K)
        Labels.
    ridge : float
        lambda > 0.
    weight : float
        a in [0, 1]: the weight of the labels in every round.
    steps : int, optional
        Number of students, 1 being plain kernel ridge regression. Default: the limit.

    Returns
    -------
    ndarray, shape of ``y``
        b with f(x) = k(x, X) b.

    References
    ----------
    Borup and Andersen (2021), with the same weight in every round.
    """
    K = np.asarray(_check.points(K, "K"), dtype=np.float64)
    if K.shape[0] != K.shape[1]:
        raise ValueError(f"K must be square, got shape {K.shape}.")
    y = np.asarray(y, dtype=np.float64)
    if y.ndim not in (1, 2) or len(y) != len(K) or not np.all(np.isfinite(y)):
        raise ValueError(f"y must hold one finite row for each of the {len(K)} points, got shape {y.shape}.")
    lam = _check.number(ridge, "ridge", above=0.0)
    a = _check.number(weight, "weight", least=0.0, most=1.0)
    D, U = eigh(K)
    D = np.maximum(D, 0.0)
    if steps is None:
        share = a / (a * D + lam)
    else:
        # b_t = (K + lambda)^-1 of what student t fits: a geometric series in (1 - a) A.
        again = (1 - a) * D / (D + lam)
        target = again ** (_check.count(steps, "steps") - 1)
        # Over 1 - (1 - a) A, which rounds to 0 where D is large and a is 0.
        target = target + a * (1 - target) * (D + lam) / (a * D + lam)
        share = target / (D + lam)
    return U @ (share.reshape(-1, *[1] * (y.ndim - 1)) * (U.T @ y))


@dataclass(frozen=True)
class Mix:
    """The best mix of a teacher's and a student's predictions."""

    weight: float
    """xi on the student; outside [0, 1] where extrapolating is best."""
    risk: float
    """Mean squared error of (1 - xi) teacher + xi student."""


def optimal_mix(teacher: float, student: float, cross: float) -> Mix:
    """Mix of ridge teacher and self-distilled student of least risk: xi = (A - C) / (A + B - 2C).

    Parameters
    ----------
    teacher, student : float
        A and B: mean squared errors.
    cross : float
        C: mean product of their errors.

    Raises
    ------
    ValueError
        If A + B - 2C, the mean square of their difference, is not positive: they do not differ.

    References
    ----------
    Dang, Patil and Rinaldo (2026), optimal self-distillation of ridge regression.
    """
    A, B = (_check.number(v, name, least=0.0) for v, name in ((teacher, "teacher"), (student, "student")))
    C = _check.number(cross, "cross")
    apart = A + B - 2 * C
    if not apart > 1e-15 * (A + B):
        raise ValueError(
            f"teacher + student - 2 cross = {apart:.3g}: the two do not differ, or these are no risks."
        )
    xi = (A - C) / apart
    return Mix(xi, max(0.0, (A * B - C * C) / apart))
