"""The minimiser of an objective: preconditioned L-BFGS, and Newton's method where its Hessian is small.

The curvature of the soft cross-entropy is nearly shared: with G the covariance of the points and M the rows' mean of
diag(q_i) - q_i q_i', q_i the student's probabilities, H is close to M x G + alpha I. One eigendecomposition of G
inverts that for every ridge, and one of M, which is small, for every student on the way. Where the teacher is so
confident that few rows have curvature, each class has other rows, and the blocks of H for each class are factorised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from scipy.linalg import cho_solve, eigh

from limbeck.labels import Array
from limbeck.students.design import Matrix
from limbeck.students.objective import Objective, blocks, cholesky, newton_step

MOST_COORDINATES, MOST_SPARSE_COORDINATES = 6000, 2000
"""Of dense and of sparse points, up to which their covariance is decomposed; beyond, its diagonal is taken."""
MOST_CLASSES = 1500
"""Up to which M is decomposed; beyond, its diagonal is taken."""
SMALL_HESSIAN, LARGE_HESSIAN = 1200, 4800
"""Unknowns up to which there is a Hessian of several classes, and of one logit."""
QUICK = 5e6
"""Rows times squared unknowns up to which Newton's method is tried first: there it is the faster."""
PAIRS, LEAST_PAIRS, PAIR_NUMBERS = 20, 5, 5e6
"""Steps that L-BFGS remembers: at most, at least, and the numbers that each half of them may come to."""
REBIND, REBIND_BLOCKS = 10, 25
"""Steps after which the approximate Hessian, shared or a class at a time, is that of the student reached."""
FEW_SHARED, MANY_SHARED, CHEAP_BLOCKS = 30, 100, 1e10
"""Steps with the shared curvature, after which each class gets its own: where its rows times classes times squared
coordinates are no more than so many, and else."""
BLOCK_NUMBERS = 5e7
"""Classes times squared coordinates up to which each class has its own curvature."""
SHORTEST = 1e-5
"""Share of a step below which the line search gives up."""
ENOUGH, PATIENCE = 1e-9, 10
"""Relative gradient at which a minimum counts as found; so does one below 1e-8 that so many steps did not halve."""
LEAST_DAMPING = 1e-14
"""Of the Hessian's diagonal."""

Inverse = Callable[[Array], Array]
"""An approximate inverse Hessian times a gradient (r, m)."""


@dataclass(frozen=True)
class Minimum:
    """Where the minimisation ended."""

    theta: Array
    """Parameters, (r, m)."""
    gradient: float
    """Largest entry of the gradient relative to the mean size of a coordinate."""
    iterations: int
    """Steps taken."""
    converged: bool
    """Whether the gradient is within the tolerance."""


class Smooth(Protocol):
    """What L-BFGS needs of an objective: `Objective`, or a sum over rows that are read a block at a time."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that products are computed in."""
        ...

    @property
    def scale(self) -> float:
        """Size of a gradient, for relative tolerances."""
        ...

    def evaluate(self, theta: Array) -> tuple[float, Array]:
        """Value and gradient (r, m)."""
        ...


@dataclass(frozen=True)
class Curvature:
    """Eigendecomposition of the weighted covariance G of the points; for large problems, its diagonal."""

    values: Array
    """Eigenvalues, (r,), or the diagonal."""
    vectors: Array | None
    """Eigenvectors, (r, r); None for a diagonal."""
    mean: Array
    """Mean of the points, (r,); zero if the student has no intercept or G is a diagonal."""

    @classmethod
    def of(cls, A: Matrix, weight: Array, *, intercept: bool) -> Curvature:
        """Of points (n, r) with weights (n,) that sum to 1."""
        sparse = hasattr(A, "toarray")
        if A.shape[1] > (MOST_SPARSE_COORDINATES if sparse else MOST_COORDINATES):
            squares = A.multiply(A) if sparse else np.square(A)
            return cls(np.asarray(squares.T @ weight), None, np.zeros(A.shape[1]))
        mean = np.asarray(A.T @ weight, dtype=np.float64) if intercept else np.zeros(A.shape[1])
        if sparse:
            return cls.of_gram((A.T @ A.multiply(weight[:, None])).toarray() - np.outer(mean, mean), mean)
        gram, root = np.zeros((A.shape[1], A.shape[1])), np.sqrt(weight)[:, None]
        for rows in blocks(len(A), 2048):
            centred = (A[rows] - mean) * root[rows]
            gram += centred.T @ centred
        return cls.of_gram(gram, mean)

    @classmethod
    def of_gram(cls, gram: Array, mean: Array) -> Curvature:
        """Of the covariance (r, r) itself."""
        values, vectors = eigh(gram, check_finite=False)
        return cls(np.maximum(values, 0.0), vectors, mean)

    @property
    def largest(self) -> float:
        """Largest eigenvalue, at least a tiny number."""
        return max(float(self.values.max(initial=0.0)), 1e-300)

    def coordinates(self, A: Matrix) -> Array:
        """Centred points (n, r) along the eigenvectors, in the type of the points: a copy of them."""
        out = np.empty(A.shape, dtype=A.dtype)
        for rows in blocks(A.shape[0]):
            dense = A[rows].toarray() if hasattr(A, "toarray") else A[rows]
            out[rows] = self.along((dense - self.mean).T).T
        return out

    def along(self, V: Array) -> Array:
        """Rows or columns V (r, m) in the eigenvectors' coordinates."""
        return V if self.vectors is None else self.vectors.T @ V

    def back(self, V: Array) -> Array:
        """The way back from `along`."""
        return V if self.vectors is None else self.vectors @ V

    def inverse(self, M: Array, alpha: float, *, intercept: bool) -> Inverse:
        """(M x G + alpha I)^-1 on gradients (r, m), the intercept's row last where there is one."""
        m = len(M)
        if m > MOST_CLASSES:
            size, U = M.diagonal().copy(), None
        else:
            size, U = np.linalg.eigh(M)
        size = np.maximum(size, 1e-3 * float(size.max(initial=0.0)) / max(m, 1))
        D = np.outer(self.values, size) + alpha
        D = 1 / np.maximum(D, 1e-15 * float(D.max(initial=0.0)) + 1e-300)

        def solve(gradient: Array) -> Array:
            r = len(self.values)
            V = gradient if U is None else gradient @ U
            W = V[:r] - np.outer(self.mean, V[r]) if intercept else V
            out = np.empty_like(V)
            out[:r] = self.back(self.along(W) * D)
            if intercept:
                out[r] = V[r] / np.maximum(size, 1e-300) - self.mean @ out[:r]
            return _centred(out if U is None else out @ U.T)

        return solve


def minimise(
    objective: Objective,
    start: Array,
    *,
    curvature: Curvature | None = None,
    tol: float = 1e-10,
    least_fall: float = 0.0,
    max_iter: int = 1000,
) -> Minimum:
    """The minimiser of an objective, from ``start`` (r, m).

    Parameters
    ----------
    objective : Objective
    start : ndarray, shape (r, m)
    curvature : Curvature, optional
        Of its points; computed if it is needed and not given.
    tol : float
        Largest gradient entry to stop at, relative to the mean size of a coordinate.
    least_fall : float
        Expected fall of F in a step, as a share of F, at which L-BFGS stops too.
    max_iter : int
        Most steps.
    """
    unknowns = start.size
    direct = unknowns <= (SMALL_HESSIAN if objective.columns > 1 else LARGE_HESSIAN)
    if direct and objective.A.shape[0] * unknowns**2 <= QUICK:
        return newton(objective, start, tol=tol, max_iter=max_iter)
    if curvature is None:
        curvature = Curvature.of(objective.A, objective.weight, intercept=objective.intercept)

    def inverse_at(theta: Array) -> Inverse:
        return curvature.inverse(
            objective.class_curvature(theta), objective.alpha, intercept=objective.intercept
        )

    numbers = objective.columns * objective.unknowns**2
    shared = FEW_SHARED if numbers * objective.A.shape[0] <= CHEAP_BLOCKS else MANY_SHARED
    blocked = numbers <= BLOCK_NUMBERS
    first = min(shared, max_iter) if blocked else max_iter
    found = lbfgs(objective, start, inverse_at, tol=tol, least_fall=least_fall, max_iter=first)
    if found.converged or not blocked or max_iter <= first:
        return found
    again = lbfgs(
        objective,
        found.theta,
        lambda theta: class_inverse(objective, theta),
        tol=tol,
        least_fall=least_fall,
        max_iter=max_iter - first,
        rebind=REBIND_BLOCKS,
    )
    again = replace(again, iterations=found.iterations + again.iterations)
    if again.converged or not direct or again.iterations >= max_iter:
        return again
    last = newton(objective, again.theta, tol=tol, max_iter=max_iter)
    return last if last.gradient < again.gradient else again


def class_inverse(objective: Objective, theta: Array) -> Inverse:
    """The inverse of the Hessian's diagonal blocks, one for each class, on gradients (r, m)."""
    q = objective.probabilities(theta)
    factors = []
    for c in (objective.weight[:, None] * q * (1 - q)).T:
        H = objective.class_hessian(c)
        scale = np.sqrt(np.maximum(H.diagonal(), 1e-300))
        factors.append((cholesky(H / np.outer(scale, scale)), scale))

    def solve(gradient: Array) -> Array:
        steps = [
            cho_solve((L, True), g / scale, check_finite=False) / scale
            for (L, scale), g in zip(factors, gradient.T, strict=True)
        ]
        return _centred(np.stack(steps, axis=1))

    return solve


def _centred(V: Array) -> Array:
    """V (r, m) without the mean over the classes: shifts of all logits change nothing."""
    return V - V.mean(axis=1, keepdims=True) if V.shape[1] > 1 else V


def lbfgs(
    objective: Smooth,
    start: Array,
    inverse_at: Callable[[Array], Inverse],
    *,
    tol: float,
    least_fall: float = 0.0,
    max_iter: int,
    rebind: int = REBIND,
) -> Minimum:
    """L-BFGS from an approximate inverse Hessian; SciPy's takes none, and stops by values of F."""
    theta = _centred(start)
    memory = int(np.clip(PAIR_NUMBERS / max(start.size, 1), LEAST_PAIRS, PAIRS))
    value, gradient = objective.evaluate(theta)
    pairs: list[tuple[Array, Array, float]] = []
    best, taken, stalled, unit, close = np.inf, 0, 0, 1.0, False
    inverse = inverse_at(theta)
    while taken < max_iter:
        size = float(np.abs(gradient).max()) / objective.scale
        stalled = stalled + 1 if size < 1e-8 and size > 0.5 * best else 0
        if size <= tol or (stalled and size <= ENOUGH) or stalled > PATIENCE:
            break
        best = min(best, size)
        if taken and taken % rebind == 0:
            inverse, unit = inverse_at(theta), 1.0
        step = -_corrected(gradient, pairs, inverse, unit)
        if -0.5 * float(np.vdot(step, gradient)) <= least_fall * abs(value):
            close = True
            break
        found = _search(objective, theta, step, value, gradient)
        if found is None and pairs:
            pairs.clear()
            continue
        if found is None:
            break
        moved, value, turned = found
        s, y = moved - theta, turned - gradient
        product = float(np.vdot(s, y))
        if product > 0:
            pairs.append((s, y, 1 / product))
            del pairs[:-memory]
            unit = product / max(float(np.vdot(y, inverse(y))), 1e-300)
        theta, gradient, taken = moved, turned, taken + 1
    size = float(np.abs(gradient).max()) / objective.scale
    converged = close or size <= max(tol, ENOUGH) or (stalled > PATIENCE and size < 1e-8)
    return Minimum(theta, size, taken, converged)


def _corrected(
    gradient: Array, pairs: list[tuple[Array, Array, float]], inverse: Inverse, unit: float
) -> Array:
    """``unit`` times the inverse, corrected by the pairs, times a vector: the two-loop recursion of L-BFGS."""
    q, shares = gradient.copy(), []
    for s, y, reciprocal in reversed(pairs):
        shares.append(reciprocal * float(np.vdot(s, q)))
        q -= shares[-1] * y
    q = unit * inverse(q)
    for (s, y, reciprocal), share in zip(pairs, reversed(shares), strict=True):
        q += (share - reciprocal * float(np.vdot(y, q))) * s
    return q


def _search(
    objective: Smooth, theta: Array, step: Array, value: float, gradient: Array, shortest: float = SHORTEST
) -> tuple[Array, float, Array] | None:
    """Where a step, shortened until F falls, leads: parameters, value and gradient; None if it never does."""
    slope, length, largest = float(np.vdot(step, gradient)), 1.0, np.abs(gradient).max()
    unseen = 1e-10 if objective.dtype == np.float64 else 1e-6
    if not slope < 0:
        return None
    while length > shortest:
        moved = theta + length * step
        lower, turned = objective.evaluate(moved)
        if lower <= value + 1e-4 * length * slope:
            return moved, lower, turned
        # A fall below F's own rounding cannot be seen in F; the gradient still shows it.
        if -length * slope < unseen * abs(value) and np.abs(turned).max() < 0.9 * largest:
            return moved, lower, turned
        bend = lower - value - length * slope
        to_least = -0.5 * slope * length**2 / bend if np.isfinite(bend) and bend > 0 else 0.0
        length = float(np.clip(to_least, 0.1 * length, 0.5 * length))
    return None


def newton(objective: Objective, start: Array, *, tol: float = 1e-10, max_iter: int = 100) -> Minimum:
    """Newton's method with a line search; where some rows are all but saturated, damped."""
    theta = start
    value, gradient = objective.evaluate(theta)
    best, taken, damping, stalled = np.inf, 0, 0.0, 0
    for _ in range(max_iter):
        size = float(np.abs(gradient).max()) / objective.scale
        # Below 1e-8 the steps are down to rounding: stop once they no longer help.
        stalled += size < 1e-8 and size > 0.5 * best
        if size <= tol or (stalled and size <= ENOUGH) or stalled > PATIENCE:
            break
        best = min(best, size)
        H = objective.hessian(theta)
        while True:
            step = newton_step(H, gradient, damping)
            shortest = SHORTEST if damping < 1 else SHORTEST**2
            found = _search(objective, theta, step, value, gradient, shortest)
            if found is not None or damping >= 1:
                break
            damping = max(
                100 * damping, LEAST_DAMPING
            )  # H^-1 is lost in rounding: damped, a step is downhill again
        if found is None:
            break
        whole = np.array_equal(found[0], theta + step)
        theta, value, gradient = found
        damping = damping / 10 if damping > LEAST_DAMPING and whole else damping * (not whole)
        taken += 1
    size = float(np.abs(gradient).max()) / objective.scale
    return Minimum(theta, size, taken, size <= max(tol, ENOUGH) or (stalled > PATIENCE and size < 1e-8))
