"""Learners of sections 5.1 to 5.3: distillation, distillation with its bias removed, and hard targets.

A learner turns a span and the teacher's logits into weights. To add one, write a class with that method.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solve_triangular
from scipy.optimize import nnls
from scipy.special import betainc, expit

from limbeck import _check
from limbeck._check import Array
from limbeck.theory.factor import row_norms
from limbeck.theory.least_distance import shortest
from limbeck.theory.span import Span


class Learner(Protocol):
    """From points and the teacher's logits to a student's weights."""

    def weights(self, span: Span, z: ArrayLike, *, rng: np.random.Generator) -> Array:
        """Weights (d,) learned from the span's points and logits z (n,)."""
        ...


@dataclass(frozen=True)
class Distillation:
    """Gradient descent on the soft labels from zero: the minimum-norm student w_hat of Theorem 1."""

    def weights(self, span: Span, z: ArrayLike, *, rng: np.random.Generator | None = None) -> Array:
        """w_hat, (d,); nothing is drawn from ``rng``."""
        del rng
        return span.weights(z)


@dataclass(frozen=True, eq=False)
class BiasedDistillation:
    """Another global minimiser of the same loss: w_delta = w_hat + delta |w_hat| q / |q| (section 5.2).

    q is Gaussian in the complement of the data span. delta = 0 is distillation; delta = inf is the
    limit direction, q / |q| alone. The paper does not say whether q is drawn anew when a point is
    added (Figure 5): both readings are offered.
    """

    delta: float
    """Size of the part outside the span relative to w_hat; may be inf. Negative: against q."""
    direction: Array | None = field(default=None, repr=False)
    """Gaussian vector (d,) to project on the complement (q shared); default: drawn anew each time."""

    def __post_init__(self) -> None:
        if not np.isinf(self.delta):
            _check.number(self.delta, "delta")

    def weights(self, span: Span, z: ArrayLike, *, rng: np.random.Generator) -> Array:
        """w_delta, (d,).

        Raises
        ------
        ValueError
            If the points span the whole space: then w_hat is the only minimiser.
        """
        g = rng.standard_normal(span.d) if self.direction is None else self.direction
        q = span.complement_direction(g)
        if np.isinf(self.delta):
            return np.sign(self.delta) * q
        w = span.weights(z)
        return w + self.delta * row_norms(w) * q


@dataclass(frozen=True)
class HardTargetSteps:
    """Gradient descent from zero on the cross-entropy of the hard labels, for a stated number of steps.

    The paper's hard-target learner (section 5.3) is not defined there, and its risk depends on the
    definition: hard labels have no finite minimiser, so what is learned depends on when one stops.
    """

    steps: int = 1000
    """Number of gradient steps, at least 1."""

    def __post_init__(self) -> None:
        _check.count(self.steps, "steps")

    def weights(self, span: Span, z: ArrayLike, *, rng: np.random.Generator | None = None) -> Array:
        """Weights (d,) after the steps, each of size 4 n / sigma_max(X)^2, half the largest stable one."""
        del rng
        L = span.coordinates(span.X)
        y = hard_labels(_check.vector(z, "z", span.n))
        return descend_on_hard_labels(L, y, self.steps) @ span.basis


def hard_labels(z: ArrayLike) -> Array:
    """The teacher's decisions 1{z >= 0} as 0.0 or 1.0 (section 3)."""
    return (np.asarray(z) >= 0).astype(np.float64)


def descend_on_hard_labels(X: Array, y: Array, steps: int) -> Array:
    """Logistic gradient descent from zero on many transfer sets at once.

    Parameters
    ----------
    X : ndarray, shape (..., n, r)
        Points, in any orthonormal coordinates of their span.
    y : ndarray, shape (..., n)
        Labels, 0 or 1.
    steps : int

    Returns
    -------
    ndarray, shape (..., r)
        Weights in the same coordinates. Step size 4 n / sigma_max(X)^2 on the mean cross-entropy.
    """
    if X.shape[-1] == 0:
        return np.zeros((*X.shape[:-2], 0))
    rate = 4.0 / np.square(np.linalg.norm(X, ord=2, axis=(-2, -1)))[..., None]  # 4 n / sigma^2, over n
    XT = np.swapaxes(X, -1, -2)
    v = np.zeros((*X.shape[:-2], X.shape[-1]))
    for _ in range(steps):
        gap = expit((X @ v[..., None])[..., 0]) - y
        v -= rate * (XT @ gap[..., None])[..., 0]
    return v


@dataclass(frozen=True)
class HardTargetLimit:
    """Where gradient descent on hard labels goes: the direction of maximum margin.

    The weights returned are the shortest with s_i w.x_i >= 1 for every point, s_i = +-1 its label;
    descent on the cross-entropy of separable labels converges to their direction (Soudry et al., 2018).
    """

    def weights(self, span: Span, z: ArrayLike, *, rng: np.random.Generator | None = None) -> Array:
        """Maximum-margin weights (d,).

        Raises
        ------
        ValueError
            If the labels cannot be separated by a linear classifier without intercept.
        """
        del rng
        signs = 2.0 * hard_labels(_check.vector(z, "z", span.n)) - 1.0
        return _shortest_with_unit_margin(signs[:, None] * span.coordinates(span.X)) @ span.basis

    @staticmethod
    def unmoved(w: ArrayLike, x: ArrayLike, z: float) -> bool:
        """Whether a point x with teacher logit z leaves the maximum-margin weights w as they are: s x.w >= 1."""
        return bool((1.0 if z >= 0 else -1.0) * (np.asarray(x) @ np.asarray(w)) >= 1.0)


def _shortest_with_unit_margin(A: Array) -> Array:
    """argmin |w| subject to A w >= 1, by non-negative least squares."""
    n, r = A.shape
    if n == r and np.allclose(A, np.tril(A)) and np.all(np.diag(A)):
        # Independent points: the dual min |A^T a|^2 / 2 - 1.a is min |A^T a - b|^2, with A b = 1.
        b = solve_triangular(np.tril(A), np.ones(n), lower=True)
        a, _ = nnls(A.T, b)
        return A.T @ a
    if r == 0:
        raise ValueError(
            "Every point is zero: the hard labels cannot be separated, there is no maximum margin."
        )
    w = shortest(A, np.ones(n))
    if w is None:
        raise ValueError(
            "The hard labels cannot be separated by a linear classifier without intercept: there is no "
            "maximum-margin limit. Labels of a linear teacher are separable unless a point repeats with both."
        )
    return w


def expected_disagreement(
    span: Span, w_hat: ArrayLike, T: ArrayLike, teacher_logits: ArrayLike, deltas: ArrayLike
) -> Array:
    """Share of points where w_delta and the teacher disagree, averaged over q exactly (section 5.2).

    q / |q| is uniform on the unit sphere of the complement, of dimension m = d - r, so that at a point
    x the part added to w_hat.x is delta |w_hat| |(I-P)x| times one coordinate of a uniform point on
    that sphere, whose law is a Beta. No direction needs to be drawn.

    Parameters
    ----------
    span : Span
        Of the transfer set; must leave a complement.
    w_hat : array_like, shape (d,)
        The distilled student.
    T : array_like, shape (m, d)
        Held-out points.
    teacher_logits : array_like, shape (m,)
        The teacher's logits on them.
    deltas : array_like, shape (k,)
        Sizes of the part outside the span relative to w_hat; may be inf. Their signs make no difference, as q and -q
        are as likely.

    Returns
    -------
    ndarray, shape (k,)
    """
    m = span.d - span.rank
    if m == 0:
        raise ValueError(
            "The points span the whole space: w_hat is the only minimiser, delta has no meaning."
        )
    inside = np.asarray(T) @ np.asarray(w_hat)
    outside = row_norms(span.residual(T)) * row_norms(np.asarray(w_hat, dtype=np.float64))
    positive = np.asarray(teacher_logits) >= 0
    shares = []
    for delta in np.abs(np.atleast_1d(_check.reals(deltas, "deltas"))):
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(outside > 0, inside / (delta * outside), np.where(inside >= 0, np.inf, -np.inf))
        if delta == 0:
            reach = np.where(inside >= 0, np.inf, -np.inf)
        says_positive = _coordinate_above(-reach, m)
        shares.append(np.where(positive, 1.0 - says_positive, says_positive).mean())
    return np.array(shares)


def _coordinate_above(t: Array, m: int) -> Array:
    """P[T >= t] for one coordinate T of a uniform point on the unit sphere of R^m."""
    if m == 1:
        return np.where(t <= -1, 1.0, np.where(t <= 1, 0.5, 0.0))
    square = np.minimum(np.square(t), 1.0)
    upper = 0.5 * betainc((m - 1) / 2, 0.5, (1.0 - square))
    return np.where(t >= 0, upper, 1.0 - upper)
