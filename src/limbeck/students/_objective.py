"""Mean soft cross-entropy plus a ridge, and its Newton minimiser.

Parameters are theta, (r, m): a row a coordinate of the data, a column a logit (m = 1 for two classes, K for
K >= 3). Coordinates without penalty (the intercept; all of them at alpha = 0) are listed by ``penalty``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, lapack
from scipy.sparse.linalg import LinearOperator, cg
from scipy.special import expit, log_expit, log_softmax, softmax

from limbeck.labels import Array, SoftLabels
from limbeck.students.design import Matrix
from limbeck.theory.loss import soft_label_gap

DENSE_UNKNOWNS = 1200
SHORTEST = 1e-5
"""Share of a Newton step below which it is damped."""
ENOUGH, PATIENCE = 1e-9, 10
"""Relative gradient at which a minimum counts as found; so does one below 1e-8 that so many steps did not halve."""
LEAST_DAMPING = 1e-14
"""Of the Hessian's diagonal."""


@dataclass(frozen=True)
class Objective:
    """F(theta) = sum_i s_i CE(p_i, A_i theta) + alpha/2 |theta|^2 over the penalised coordinates."""

    A: Matrix
    """Rows, (n, r); sparse or dense."""
    labels: SoftLabels
    """The teacher's answers."""
    weight: Array
    """s, (n,), summing to 1."""
    penalised: Array
    """1 for coordinates that the ridge reaches, 0 for the others, (r,)."""
    alpha: float
    """The ridge."""

    @property
    def columns(self) -> int:
        """Number m of logits."""
        return self.labels.columns

    def logits(self, theta: Array) -> Array:
        """F = A theta, (n, m)."""
        return self.A @ theta

    def zero(self) -> Array:
        """theta = 0, (r, m)."""
        return np.zeros((self.A.shape[1], self.columns))

    def gap(self, F: Array) -> Array:
        """Student's less teacher's probabilities, (n, m)."""
        p = self.labels.probabilities
        if self.columns > 1:
            return softmax(F, axis=1) - p
        u = F[:, 0]
        exact = ~self.labels.saturated
        z = np.where(exact, self.labels.logits, 0.0)
        return np.where(exact, soft_label_gap(u, z), expit(u) - p)[:, None]

    def value(self, theta: Array, F: Array) -> float:
        """F(theta), given the logits F = A theta."""
        p = self.labels.probabilities
        if self.columns > 1:
            entropy = -np.sum(p * log_softmax(F, axis=1), axis=1)
        else:
            entropy = -(p * log_expit(F[:, 0]) + (1 - p) * log_expit(-F[:, 0]))
        return float(self.weight @ entropy + 0.5 * np.sum(self._ridge * np.square(theta)))

    def gradient(self, theta: Array, F: Array) -> Array:
        """Gradient (r, m)."""
        return self.A.T @ (self.weight[:, None] * self.gap(F)) + self._ridge * theta

    @property
    def _ridge(self) -> Array:
        return (self.alpha * self.penalised)[:, None]

    @cached_property
    def scale(self) -> float:
        """Size of a gradient, for relative tolerances: the largest mean |A_ij|."""
        return max(float(np.max(abs(self.A).T @ self.weight)), 1e-300)

    # -- Newton ---------------------------------------------------------------------------------

    def step(self, F: Array, gradient: Array, damping: float = 0.0) -> Array:
        """Newton step (r, m): -H^-1 gradient, by Cholesky, or by preconditioned conjugate gradients if large.

        Damped it is that of H + damping diag(H), or of diag(H)'s mean where it is large.
        """
        r, m = gradient.shape
        if r * m <= DENSE_UNKNOWNS or (m == 1 and r <= 4 * DENSE_UNKNOWNS):
            return newton_step(self.hessian(F), gradient, damping)
        return -self._by_conjugate_gradients(F, gradient, damping)

    def hessian(self, F: Array) -> Array:
        """H, (m r, m r), blocks by class; along shifts of all classes, where F is flat, it is lifted off 0."""
        A, s, r, m = self.A, self.weight, self.A.shape[1], self.columns
        ridge = np.diag(self.alpha * self.penalised)
        if m == 1:
            curvature = s * expit(F[:, 0]) * expit(-F[:, 0])
            return weighted_gram(A, curvature) + ridge
        P = softmax(F, axis=1)
        H = _shared_gram(A, np.sqrt(s)[:, None] * P).reshape(m, r, m, r)
        np.negative(H, out=H)
        for j in range(m):
            H[j, :, j] += weighted_gram(A, s * P[:, j]) + ridge
        lift = self._lift(H.reshape(m * r, m * r).diagonal().mean())
        for j in range(m):
            for k in range(m):
                H[j, range(r), k, range(r)] += lift
        return H.reshape(m * r, m * r)

    def _lift(self, size: float) -> Array:
        return (1.0 - self.penalised * (self.alpha > 0)) * size

    def _by_conjugate_gradients(self, F: Array, gradient: Array, damping: float) -> Array:
        A, s, (r, m) = self.A, self.weight, gradient.shape
        P = softmax(F, axis=1) if m > 1 else expit(F)
        size = float(np.mean(P * (1 - P))) * self._mean_square
        lift = self._lift(size) if m > 1 else np.zeros(r)

        def times(v: Array) -> Array:
            V = v.reshape(r, m)
            U = A @ V
            if m > 1:
                U = P * (U - np.sum(P * U, axis=1, keepdims=True))
                shifted = lift[:, None] * V.sum(axis=1, keepdims=True)
            else:
                U, shifted = P * (1 - P) * U, 0.0
            return (A.T @ (s[:, None] * U) + (self._ridge + damping * size) * V + shifted).ravel()

        precondition = self._preconditioner(P)

        H = LinearOperator((r * m, r * m), matvec=times)
        M = LinearOperator((r * m, r * m), matvec=precondition)
        accuracy = min(0.1, float(np.linalg.norm(gradient)) / self.scale) * 0.1
        found, _ = cg(H, gradient.ravel(), rtol=max(accuracy, 1e-10), maxiter=1000, M=M)
        return found.reshape(r, m)

    @cached_property
    def _mean_square(self) -> float:
        A2 = self.A.multiply(self.A) if hasattr(self.A, "multiply") else np.square(self.A)
        return float(np.mean(A2.T @ self.weight))

    def _preconditioner(self, P: Array) -> Callable[[Array], Array]:
        """Approximate H^-1 on rows flattened from (r, m).

        A row's curvature diag(p) - p p^T has the pseudo-inverse C diag(1/p) C, C = I - 11^T/K centring the
        classes: each class by its own Gram matrix of weights s p_k, then centred, is H^-1 but for what rows share.
        """
        (r, m), s = (self.A.shape[1], self.columns), self.weight
        curvature = P if m > 1 else P * (1 - P)
        ridge = self.alpha * self.penalised

        def centred(V: Array) -> Array:
            return (V - V.mean(axis=1, keepdims=True) if m > 1 else V).ravel()

        if r > 4 * DENSE_UNKNOWNS:
            A2 = self.A.multiply(self.A) if hasattr(self.A, "multiply") else np.square(self.A)
            diagonal = np.asarray(A2.T @ (s[:, None] * curvature)) + ridge[:, None]
            diagonal += 1e-12 * max(diagonal.max(), 1e-300)
            return lambda v: centred(v.reshape(r, m) / diagonal)
        every = max(1, self.A.shape[0] // (32 * r))  # near enough: 32 rows a coordinate
        A, inverses = self.A[::every], np.empty((m, r, r))
        for k in range(m):
            H = weighted_gram(A, every * (s * curvature[:, k])[::every]) + np.diag(ridge)
            root = lapack.dtrtri(cholesky(H + 1e-12 * max(H.diagonal().max(), 1e-300) * np.eye(r)), lower=1)[
                0
            ]
            inverses[k] = root.T @ root

        def solve(v: Array) -> Array:
            return centred(np.matmul(inverses, v.reshape(r, m).T[:, :, None])[:, :, 0].T)

        return solve


@dataclass(frozen=True)
class Minimum:
    """Where Newton's method ended."""

    theta: Array
    """Parameters, (r, m)."""
    gradient: float
    """Largest entry of the gradient relative to the mean size of a coordinate."""
    iterations: int
    """Newton steps taken."""
    converged: bool
    """Whether the gradient is within the tolerance."""


class Smooth(Protocol):
    """What Newton's method needs, such as `Objective` summed over rows that are read a block at a time."""

    @property
    def scale(self) -> float: ...
    def logits(self, theta: Array) -> Array: ...
    def value(self, theta: Array, F: Array) -> float: ...
    def gradient(self, theta: Array, F: Array) -> Array: ...
    def step(self, F: Array, gradient: Array, damping: float = 0.0) -> Array: ...


def minimise(
    objective: Objective | Smooth, start: Array, *, tol: float = 1e-10, max_iter: int = 100
) -> Minimum:
    """Newton's method with a halving line search; written here because SciPy's stop at 1e-8, by values of F."""
    theta = start
    F = objective.logits(theta)
    value, gradient = objective.value(theta, F), objective.gradient(theta, F)
    best, taken, damping, stalled = np.inf, 0, 0.0, 0
    for _ in range(max_iter):
        size = float(np.abs(gradient).max()) / objective.scale
        # Below 1e-8 the steps are down to rounding: stop once they no longer help.
        stalled += size < 1e-8 and size > 0.5 * best
        if size <= tol or (stalled and size <= ENOUGH) or stalled > PATIENCE:
            break
        best = min(best, size)
        while (found := _along(objective, theta, F, value, gradient, damping)) is None and damping < 1:
            # Where some rows are all but saturated H^-1 is lost in rounding: damped, a step is downhill again.
            damping = max(100 * damping, LEAST_DAMPING)
        if found is None:
            break
        theta, F, value, length = found
        damping = damping / 10 if damping > LEAST_DAMPING and length == 1 else damping * (length < 1)
        taken += 1
        gradient = objective.gradient(theta, F)
    size = float(np.abs(gradient).max()) / objective.scale
    return Minimum(theta, size, taken, size <= max(tol, ENOUGH) or (stalled > PATIENCE and size < 1e-8))


def _along(
    objective: Objective | Smooth, theta: Array, F: Array, value: float, gradient: Array, damping: float
) -> tuple[Array, Array, float, float] | None:
    """Where a Newton step, halved until it helps, leads: parameters, logits, value, length; None if it never does."""
    step = objective.step(F, gradient, damping)
    slope, length = float(np.sum(step * gradient)), 1.0
    while length > (SHORTEST if damping < 1 else SHORTEST**2):
        moved = theta + length * step
        F_moved = objective.logits(moved)
        lower = objective.value(moved, F_moved)
        if lower <= value + 1e-4 * length * slope:
            return moved, F_moved, lower, length
        # A fall below F's own rounding cannot be seen in F; the gradient still shows it.
        unseen = -length * slope < 1e-10 * abs(value)
        if unseen and np.abs(objective.gradient(moved, F_moved)).max() < 0.9 * np.abs(gradient).max():
            return moved, F_moved, lower, length
        length /= 2
    return None


def blocks(n: int, size: int = 1024) -> list[slice]:
    """Rows a thousand at a time: products of them stay in the cache."""
    return [slice(start, start + size) for start in range(0, n, size)]


def _shared_gram(A: Matrix, P: Array) -> Array:
    """sum_i (p_i x a_i) (p_i x a_i)', (m r, m r) for P (n, m) and A (n, r): all pairs of classes in one product."""
    m, r = P.shape[1], A.shape[1]
    total = np.zeros((m * r, m * r))
    for rows in blocks(A.shape[0]):
        B = A[rows].toarray() if hasattr(A, "toarray") else A[rows]
        wide = (P[rows, :, None] * B[:, None, :]).reshape(len(B), m * r)
        total += wide.T @ wide
    return total


def weighted_gram(A: Matrix, weight: Array) -> Array:
    """A' diag(weight) A, (r, r)."""
    if hasattr(A, "multiply"):
        return (A.T @ A.multiply(weight[:, None])).toarray()
    root, total = np.sqrt(weight)[:, None], np.zeros((A.shape[1], A.shape[1]))
    for rows in blocks(len(A)):
        half = A[rows] * root[rows]
        total += half.T @ half
    return total


def cholesky(H: Array) -> Array:
    """Lower Cholesky factor of H, lifted by rounding-sized multiples of the identity until there is one."""
    jitter, size = 0.0, max(float(H.diagonal().max()), 1e-300)
    for _ in range(12):
        try:
            return np.linalg.cholesky(H + jitter * np.eye(len(H)))
        except LinAlgError:
            jitter = max(10 * jitter, 1e-15 * size)
    raise ArithmeticError("The Hessian is not positive definite: the points are too badly scaled.")


def newton_step(H: Array, gradient: Array, damping: float = 0.0) -> Array:
    """-(H + damping diag(H))^-1 gradient for a gradient (r, m) and a Hessian (m r, m r), blocks by class."""
    r, m = gradient.shape
    scale = np.sqrt(np.maximum(H.diagonal(), 1e-300))
    unit = H / np.outer(scale, scale)
    if damping > 0:
        unit[np.diag_indices(m * r)] += damping
    b = gradient.T.ravel() / scale
    return -(cho_solve((cholesky(unit), True), b) / scale).reshape(m, r).T
