"""The learning curve of a task symmetric about its teacher is a one-dimensional Markov chain.

Only the points' unit directions off the teacher's axis enter the student's angle; their Gram matrix
has a Bartlett factor with independent normal and chi entries, and cot(alpha_n) is the norm of the
forward substitution of cot(a) through that factor. So with G_n = cot^2(alpha_n), k_n = cot(a_n),

    G_1 = k_1^2,   G_n = G_{n-1} + (k_n sqrt(h^2 + s + t) - h sqrt(G_{n-1}))^2 / t,   2 <= n < d,

for independent h ~ N(0, 1), s ~ chi2(n - 2), t ~ chi2(d - n); G_n is infinite for n >= d. G never
falls: Lemma 1. A point costs the same whatever d is.

The learners of section 5.2 need no vectors either: with e the direction in which the teacher leaves the
span and T = e.q/|q| one coordinate of a uniform point on the unit sphere of R^(d-n),
cos(w_delta, w_star) = (cos(alpha) + delta sin(alpha) T) / sqrt(1 + delta^2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from limbeck import _check
from limbeck._check import Array
from limbeck.theory.risk import SymmetricTail, symmetric_risk_at_cotangent


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """Expected transfer risk against the number of labels, over simulated transfer sets."""

    n: np.ndarray
    """Number of labels, 1, 2, ..., (n,)."""
    risk: Array
    """Mean over transfer sets of the exact risk given the student's angle, (n,)."""
    stderr: Array
    """Standard error of the mean, (n,); NaN from one transfer set."""
    angle: Array
    """Mean angle between student and teacher, radians, (n,)."""
    angle_stderr: Array
    """Standard error of the mean angle, (n,); NaN from one transfer set."""
    low: Array
    """5 % quantile of the risk over transfer sets, (n,)."""
    high: Array
    """95 % quantile of the risk over transfer sets, (n,)."""
    repeats: int
    """Number of simulated transfer sets."""


def cotangent_steps(
    tail: SymmetricTail, d: int, repeats: int, *, rng: np.random.Generator
) -> Iterator[Array]:
    """Yield cot(alpha_n) of ``repeats`` students, shape (repeats,), for n = 1, 2, 3, ... without end."""
    d, repeats = _check.count(d, "d", 2), _check.count(repeats, "repeats")
    root = tail.cotangents(repeats, rng=rng)
    n = 1
    while n < d:
        yield root
        n += 1
        if n == d:
            break
        k, h = tail.cotangents(repeats, rng=rng), rng.standard_normal(repeats)
        s = rng.chisquare(n - 2, repeats) if n > 2 else 0.0
        t = rng.chisquare(d - n, repeats)
        with np.errstate(invalid="ignore"):
            more = np.hypot(root, (k * np.sqrt(h**2 + s + t) - h * root) / np.sqrt(t))
        # A point in the teacher's direction, angle 0, gives it away for good.
        root = np.where(np.isinf(root) | np.isinf(k), np.inf, more)
    while True:
        yield np.full(repeats, np.inf)


def cotangents(tail: SymmetricTail, d: int, n: int, repeats: int, *, rng: np.random.Generator) -> Array:
    """cot(alpha_n) of ``repeats`` students after n labels each, shape (repeats,)."""
    steps = cotangent_steps(tail, d, repeats, rng=rng)
    for _ in range(_check.count(n, "n") - 1):
        next(steps)
    return next(steps)


def learning_curve(
    tail: SymmetricTail, d: int, n: int, repeats: int = 1000, *, rng: np.random.Generator
) -> LearningCurve:
    """Expected risk after 1, ..., n labels of a task symmetric about its teacher.

    The angle is simulated by the chain above, the risk at that angle is exact (`symmetric_risk`), so
    the only sampling error is over transfer sets; it is reported.

    Parameters
    ----------
    tail : PolynomialTail, MarginTail or EmpiricalTail
        p(theta) of the task.
    d : int
        Dimension, from 2 to 1e12 and beyond: the cost does not depend on it.
    n : int
        Largest number of labels; from n = d on the risk is 0.
    repeats : int
        Number of simulated transfer sets.
    rng : numpy.random.Generator

    Returns
    -------
    LearningCurve
    """
    steps = cotangent_steps(tail, d, repeats, rng=rng)
    values = _check.count(n, "n") * repeats
    rows = [_summary(next(steps), tail, d, values) for _ in range(n)]
    risk, stderr, angle, angle_stderr, low, high = np.array(rows).T
    return LearningCurve(np.arange(1, n + 1), risk, stderr, angle, angle_stderr, low, high, repeats)


def _summary(cot: Array, tail: SymmetricTail, d: int, values: int) -> list[float]:
    risk, angle = symmetric_risk_at_cotangent(cot, tail, d, values=values), np.arctan2(1.0, cot)
    low, high = np.quantile(risk, [0.05, 0.95])
    return [*_mean(risk), *_mean(angle), float(low), float(high)]


def _mean(values: Array) -> tuple[float, float]:
    spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(values.mean()), float(spread)


# -- the mean and the asymptotic law ---------------------------------------------------------------


def mean_square_cotangent(cotangents: ArrayLike, d: int) -> float:
    """E[cot^2(alpha_n)] given the cotangents of the n points' own angles: (d-3)/(d-n-2) sum cot^2(a_i).

    Parameters
    ----------
    cotangents : array_like, shape (n,)
        cot of each point's angle to the teacher.
    d : int
        Dimension.

    Returns
    -------
    float
        Infinite for d - n <= 2, where the mean does not exist. One point is no sample: its own square, in any d;
        points that are all orthogonal to the teacher leave 0.
    """
    k = np.asarray(_check.vector(cotangents, "cotangents"), dtype=np.float64)
    free, total = _check.count(d, "d", 2) - k.size - 2, float(np.sum(np.square(k)))
    if k.size == 1 or total == 0:
        return total
    return (d - 3) / free * total if free > 0 else float("inf")


def asymptotic_risk(kappa: float, d: int, n: int) -> float:
    """Expected risk of section 5.1's task for large n and d: the true rate is (n sqrt(d))^-kappa.

    1/2 (2/pi)^(kappa/2) (E|Z|^kappa)^2 (1 - n/d)^(kappa/2) / (kappa n sqrt(d))^kappa, Z standard normal, where
    Corollary 2 promises (log n / n)^kappa. Within about 5 % for n >= 20 and kappa <= 1; rougher as n nears d.

    Parameters
    ----------
    kappa : float
        Degree of the tail, > 0.
    d : int
        Dimension.
    n : int
        Number of labels; 0 is returned for n >= d.
    """
    kappa = _check.number(kappa, "kappa", above=0.0, finite=True)
    d, n = _check.count(d, "d", 2), _check.count(n, "n")
    if n >= d:
        return 0.0
    log_moment = 0.5 * kappa * np.log(2.0) + gammaln((kappa + 1) / 2) - gammaln(0.5)  # log E|Z|^kappa
    log_risk = (
        -np.log(2.0)
        + 0.5 * kappa * (np.log(2.0 / np.pi) + np.log1p(-n / d))
        + 2.0 * log_moment
        - kappa * (np.log(kappa) + np.log(n) + 0.5 * np.log(d))
    )
    return float(np.exp(log_risk))


# -- distillation with its bias removed (section 5.2) ------------------------------------------------


@dataclass(frozen=True, eq=False)
class BiasedAngles:
    """Angles in [0, pi] between w_delta and the teacher before and after one more point."""

    before: Array
    """From n points, (k, repeats): one row a delta."""
    after: Array
    """From n + 1 points, (k, repeats)."""


def biased_angles(
    tail: SymmetricTail,
    d: int,
    n: int,
    deltas: ArrayLike,
    repeats: int = 1000,
    *,
    shared: bool = False,
    rng: np.random.Generator,
) -> BiasedAngles:
    """Angles of the learners w_delta of section 5.2 on a task symmetric about its teacher, without vectors.

    Parameters
    ----------
    tail : PolynomialTail, MarginTail or EmpiricalTail
        p(theta) of the task.
    d, n : int
        Dimension, and points before the last one; n <= d - 2, so that a complement is left after it.
    deltas : array_like, shape (k,)
        Sizes of the part outside the span relative to w_hat; 0 is distillation, inf that part alone.
    repeats : int
        Number of simulated transfer sets; every delta sees the same ones.
    shared : bool
        Whether the Gaussian q is re-projected when the point is added, or drawn anew (the paper does
        not say).
    rng : numpy.random.Generator

    Raises
    ------
    ValueError
        If n > d - 2 or a delta is no number.
    """
    deltas = np.atleast_1d(_check.reals(deltas, "deltas"))
    if _check.count(n, "n") > _check.count(d, "d", 3) - 2:
        raise ValueError(
            f"n = {n} + 1 points in d = {d} dimensions leave no complement: n must be at most d - 2."
        )
    steps = cotangent_steps(tail, d, repeats, rng=rng)
    for _ in range(n - 1):
        next(steps)
    fewer, more = next(steps), next(steps)
    m = d - n  # dimension of the complement before the point
    # e = c v + sqrt(1 - c^2) e': the point's residual direction v, the teacher's before (e) and after (e').
    with np.errstate(invalid="ignore"):
        c = np.sqrt(np.maximum((more - fewer) * (more + fewer), 0.0)) / np.hypot(1.0, more)
        rest = np.hypot(1.0, fewer) / np.hypot(1.0, more)
    given_away = np.isinf(more)  # the point had the teacher's direction
    c, rest = np.where(given_away, 1.0, c), np.where(given_away, 0.0, rest)
    x, y = rng.standard_normal((2, repeats))
    others = rng.chisquare(m - 2, repeats) if m > 2 else np.zeros(repeats)
    T_before = (c * x + rest * y) / np.sqrt(x**2 + y**2 + others)
    if not shared:
        y = rng.standard_normal(repeats)
        others = rng.chisquare(m - 2, repeats) if m > 2 else np.zeros(repeats)
    T_after = y / np.sqrt(y**2 + others)
    return BiasedAngles(_biased_angle(fewer, T_before, deltas), _biased_angle(more, T_after, deltas))


def students_at(
    tail: SymmetricTail, d: int, sizes: ArrayLike, delta: float, repeats: int, *, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Students of the first n points for chosen n, on the same simulated transfer sets: distilled, and w_delta.

    Parameters
    ----------
    tail, d, repeats, rng
        As in `learning_curve`.
    sizes : array_like of int, shape (k,)
        Numbers of labels n, increasing.
    delta : float
        Size of the part outside the span relative to w_hat, its direction drawn anew for each n; may be inf.

    Returns
    -------
    cot : ndarray, shape (k, repeats)
        cot(alpha_n) of the distilled students; infinite for n >= d.
    angles : ndarray, shape (k, repeats)
        Angles in [0, pi] of w_delta to the teacher. For n >= d, w_hat is the only minimiser: 0.
    """
    sizes = np.array([_check.count(n, "sizes") for n in np.atleast_1d(sizes)])
    if sizes.ndim != 1 or sizes.size == 0 or np.any(np.diff(sizes) <= 0):
        raise ValueError(f"sizes must be increasing numbers of labels, got {sizes!r}.")
    deltas = _check.reals([delta], "delta")
    steps, at, cot, angles = cotangent_steps(tail, d, repeats, rng=rng), 0, [], []
    for n in sizes.tolist():
        root = next(islice(steps, _check.count(n, "n") - at - 1, None))
        at = n
        cot.append(root)
        if n >= d:
            angles.append(np.zeros(repeats))
            continue
        y = rng.standard_normal(repeats)
        others = rng.chisquare(d - n - 1, repeats) if d - n > 1 else np.zeros(repeats)
        angles.append(_biased_angle(root, y / np.sqrt(y**2 + others), deltas)[0])
    return np.array(cot), np.array(angles)


def _biased_angle(cot: Array, T: Array, deltas: Array) -> Array:
    """Angle between (1, delta, 0) and (cos, sin T, sin sqrt(1 - T^2)) in the frame of w_hat, q and the rest."""
    sin = 1.0 / np.hypot(1.0, cot)
    a = np.divide(cot, np.hypot(1.0, cot), out=np.ones_like(cot), where=np.isfinite(cot))
    b, rest = sin * T, sin * np.sqrt((1 - T) * (1 + T))
    delta = deltas[:, None]
    length = np.hypot(1.0, delta)
    along = 1.0 / length  # w_delta in the frame, at length 1
    beside = np.divide(delta, length, out=np.sign(delta), where=np.isfinite(delta))
    return np.arctan2(np.hypot(rest, a * beside - b * along), a * along + b * beside)
