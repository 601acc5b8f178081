"""The distillation loss (Eq. 1, 35, 36), its gradient (38), Hessian (42) and convexity constants (43 - 48).

Everything is computed from logits: ``z`` of the teacher, ``u = X w`` of the student. Probabilities lose
what matters long before |z| = 40; these functions keep their relative accuracy to |z| = 1e4 and beyond.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import elementwise
from scipy.special import expit

from limbeck import _check
from limbeck._check import Array

NODES, WEIGHTS = np.polynomial.legendre.leggauss(12)


def pointwise_loss(u: ArrayLike, z: ArrayLike) -> Array:
    """l(u) = KL(Bernoulli(sigma(z)) || Bernoulli(sigma(u))), elementwise (Eq. 36): 0 at u = z, never negative.

    With D = u - z it is the Bregman divergence of softplus, l = D^2 int_0^1 (1 - s) sigma'(z + s D) ds:
    for |D| <= 1 Gauss-Legendre quadrature of that positive integrand has no cancellation; beyond,
    l = softplus(u) - softplus(z) - sigma(z) D, arranged by the sign of z.

    Parameters
    ----------
    u, z : array_like
        Student and teacher logits, broadcast.

    Returns
    -------
    ndarray
        Nats.
    """
    u, z = np.broadcast_arrays(np.asarray(u, dtype=np.float64), np.asarray(z, dtype=np.float64))
    # l(u; z) = l(-u; -z), to the last bit: with z >= 0 the small probability is sigma(-z), which is exact.
    u, z = np.where((z < 0) | ((z == 0) & (u < 0)), -u, u), np.abs(z)
    D = u - z
    near = np.minimum(np.maximum(D, -1.0), 1.0)
    s = (NODES + 1) / 2
    curvature = logit_curvature(z[..., None] + near[..., None] * s)
    close = near**2 * np.sum((1 - s) * WEIGHTS / 2 * curvature, axis=-1)
    far = expit(-z) * D + np.logaddexp(0.0, -u) - np.logaddexp(0.0, -z)
    return np.where(np.abs(D) <= 1, close, far)


def logit_curvature(u: ArrayLike) -> Array:
    """sigma'(u) = sigma(u) sigma(-u), the second derivative of (36) in the logit, elementwise."""
    u = np.asarray(u, dtype=np.float64)
    return expit(u) * expit(-u)


def soft_label_gap(u: ArrayLike, z: ArrayLike) -> Array:
    """sigma(u) - sigma(z), elementwise, without the cancellation of two probabilities near 0 or 1."""
    u, z = np.asarray(u, dtype=np.float64), np.asarray(z, dtype=np.float64)
    D = u - z
    larger, smaller = np.maximum(u, z), np.minimum(u, z)
    return np.sign(D) * expit(larger) * expit(-smaller) * -np.expm1(-np.abs(D))


def label_entropy(z: ArrayLike) -> float:
    """L*, the mean entropy of the soft labels: what (1) subtracts from the cross-entropy, in nats."""
    z = np.abs(np.asarray(z, dtype=np.float64))
    return float(np.mean(np.logaddexp(0.0, -z) + z * expit(-z)))


def loss(w: ArrayLike, X: ArrayLike, z: ArrayLike) -> float:
    """L1(w), the mean Bernoulli KL divergence from teacher to student (Eq. 1, 35); its minimum is exactly 0.

    Parameters
    ----------
    w : array_like, shape (d,)
        Student weights.
    X : array_like, shape (n, d)
        Points as rows.
    z : array_like, shape (n,)
        Teacher logits.

    Returns
    -------
    float
        Nats per point.

    Raises
    ------
    ValueError
        If a shape does not match or a number is not finite.
    """
    w, X, z = _arguments(w, X, z)
    return float(np.mean(pointwise_loss(X @ w, z)))


def gradient(w: ArrayLike, X: ArrayLike, z: ArrayLike) -> Array:
    """(1/n) sum_i (sigma(w.x_i) - y_i) x_i (Eq. 38), shape (d,); it lies in the data span (Theorem A.1)."""
    w, X, z = _arguments(w, X, z)
    return soft_label_gap(X @ w, z) @ X / len(X)


def hessian(w: ArrayLike, X: ArrayLike) -> Array:
    """(1/n) X^T D X, D = diag sigma'(w.x_i) (Eq. 42, 43), shape (d, d).

    The paper's (42) lacks the 1/n that its own gradient (38) has; here it is.
    """
    X = _check.points(X)
    w = _check.vector(w, "w", X.shape[1])
    return (X.T * logit_curvature(X @ w)) @ X / len(X)


def curvature_floor(z: ArrayLike, level: float) -> float:
    """Omega of (44): a lower bound of every sigma'(w.x_i) on the sublevel set {w : L1(w) <= level}.

    L1 <= level confines each logit to {u : l_i(u) <= n level} (45), an interval around z_i; sigma' is
    smallest at one of its ends.

    Parameters
    ----------
    z : array_like, shape (n,)
        Teacher logits.
    level : float
        L1 of the sublevel set, nats, >= 0.

    Returns
    -------
    float
        In (0, 1/4]; 0 if it underflows (logits beyond about 745).
    """
    z = _check.vector(z, "z")
    level = len(z) * _check.number(level, "level", least=0.0, finite=True)
    if level == 0:
        return float(logit_curvature(z).min())
    # The end away from zero: by symmetry the right end, for |z|. l(u) >= sigma(-z) D + log sigma(z)
    # brackets it, and a bracket that doubles is enough where that slope underflows.
    a = np.abs(z).astype(np.float64)
    bracket = elementwise.bracket_root(
        lambda D, a: pointwise_loss(a + D, a) - level, np.zeros_like(a), np.ones_like(a), xmin=0.0, args=(a,)
    )
    if not np.all(bracket.success):
        return 0.0  # sigma(-z) underflows: the sublevel set is unbounded in double precision
    right = elementwise.find_root(
        lambda D, a: pointwise_loss(a + D, a) - level, bracket.bracket, args=(a,), tolerances={"xrtol": 1e-12}
    )
    # Round outwards; the other end lies nearer to zero or as far on the other side.
    left = elementwise.bracket_root(
        lambda D, a: pointwise_loss(a - D, a) - level, np.zeros_like(a), np.ones_like(a), xmin=0.0, args=(a,)
    )
    low = elementwise.find_root(
        lambda D, a: pointwise_loss(a - D, a) - level, left.bracket, args=(a,), tolerances={"xrtol": 1e-12}
    )
    ends = np.maximum(a + right.x, np.abs(a - low.x)) * (1 + 1e-10)
    return float(logit_curvature(ends).min())


def strong_convexity(X: ArrayLike, z: ArrayLike, level: float) -> float:
    """Mu of restricted strong convexity (9), (40) on {L1 <= level}: omega * sigma_min(X)^2 / n.

    sigma_min is the smallest nonzero singular value: the inequality is for differences v - w inside
    the span (46, 47). The paper's mu lacks the 1/n of (38).

    Parameters
    ----------
    X : array_like, shape (n, d)
        Points; of any rank.
    z : array_like, shape (n,)
        Teacher logits.
    level : float
        L1 of the sublevel set, nats.

    Returns
    -------
    float
        Also the constant c of Corollary A.1 (48): the projection in (51) has largest eigenvalue 1.
    """
    X = _check.points(X)
    z = _check.vector(z, "z", len(X))
    singular = np.linalg.svd(np.asarray(X, dtype=np.float64), compute_uv=False)
    nonzero = singular[singular > max(X.shape) * np.finfo(X.dtype).eps * singular[0]]
    if not nonzero.size:
        raise ValueError("X is zero: its span holds no direction to be convex along.")
    return curvature_floor(z, level) * float(nonzero[-1]) ** 2 / len(X)


def strong_convexity_gap(v: ArrayLike, w: ArrayLike, X: ArrayLike, z: ArrayLike, mu: float) -> float:
    """Left minus right side of (9), (40): L1(v) - L1(w) - grad L1(w).(v - w) - (mu/2) |v - w|^2.

    Non-negative where Theorem A.3 holds: v, w in one sublevel set, v - w in the span, mu of
    `strong_convexity` on it.
    """
    w, X, z = _arguments(w, X, z)
    v = _check.vector(v, "v", X.shape[1])
    # L(v) - L(w) - grad.(v - w) is the mean Bregman divergence between the two students' logits.
    divergence = float(np.mean(pointwise_loss(X @ v, X @ w)))
    return divergence - 0.5 * mu * float(np.sum((v - w) ** 2))


def polyak_lojasiewicz_gap(w: ArrayLike, X: ArrayLike, z: ArrayLike, c: float) -> float:
    """|grad L1(w)|^2 / 2 - c L1(w), non-negative where Corollary A.1 holds (10), (48)."""
    return 0.5 * float(np.sum(gradient(w, X, z) ** 2)) - c * loss(w, X, z)


def distance_bound(value: float, mu: float) -> float:
    """Largest |w - w_hat| of a student in the span with loss ``value``: sqrt(2 L1 / mu) (7), (55).

    Infinite where mu is 0: an omega that underflows (saturated logits) bounds nothing.
    """
    value = _check.number(value, "value", least=0.0)
    mu = _check.number(mu, "mu", least=0.0)
    if mu == 0:
        return float("inf")
    return float(np.sqrt(2.0 * value / mu))


def _arguments(w: ArrayLike, X: ArrayLike, z: ArrayLike) -> tuple[Array, Array, Array]:
    X = _check.points(X)
    return _check.vector(w, "w", X.shape[1]), X, _check.vector(z, "z", X.shape[0])
