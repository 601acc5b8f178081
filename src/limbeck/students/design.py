"""Points as the solvers see them: with the intercept's column, factorised once; few coordinates, and the way back."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import lapack, solve_triangular
from scipy.sparse import csr_array, issparse

from limbeck.labels import Array, SoftLabels
from limbeck.theory import MinimumNorm, Span
from limbeck.theory.readings import ROUNDING
from limbeck.theory.scaling import Scaling

LARGEST_GRAM = 8000
MANY_USED = 0.9  # share of the features that are not 0, from which leaving out the others is not worth a copy
SWALLOWED = 1e-11
UNSEEN = 1e-8  # of the logits' spread
KEYED = 2**12  # entries whose keys are made at once

Matrix = Any
"""Points: a dense array or a SciPy sparse matrix, (n, d)."""


@dataclass(frozen=True)
class Points:
    """Points (n, d), and whether a column of ones stands beside them."""

    given: Matrix
    """As given, float64 or float32."""
    intercept: bool
    """Whether the student has an intercept."""
    stored: np.dtype[Any] = np.dtype(np.float64)  # noqa: RUF009 - a constant
    """Type they came in: of what was stored shorter than float64, less is known."""
    _last: list[Any] = field(default_factory=list, repr=False, compare=False)

    def __len__(self) -> int:
        return self.given.shape[0]

    def __getitem__(self, rows: np.ndarray) -> Points:
        return Points(self.given[rows], self.intercept, self.stored)

    @classmethod
    def of(cls, X: Matrix, intercept: bool) -> Points:
        """Points as they came, of any type of floats."""
        return cls(X, intercept, X.dtype if X.dtype.kind == "f" else np.dtype(np.float64))

    @cached_property
    def X(self) -> Matrix:  # noqa: N802 - the paper's letter
        """In float64: the points themselves, or a copy."""
        return self.given.astype(np.float64, copy=False)

    @property
    def sparse(self) -> bool:
        """Whether they are sparse, and stay so."""
        return issparse(self.given)

    @cached_property
    def affine(self) -> Matrix:
        """(n, d + 1) with the column of ones last, (n, d) without intercept."""
        return with_ones(self.X) if self.intercept else self.X

    @cached_property
    def span(self) -> Span:
        """Of ``affine``, dense: factorised once for the student, its leave-one-out, and the verdict on linearity."""
        return Span(self.affine, dtype=self.stored)

    def least_squares(self, labels: SoftLabels) -> MinimumNorm:
        """Minimum-norm least squares on all logits, (d + 1, m): asked by verdict and student, so the last is kept."""
        if not self._last or self._last[0] is not labels:
            self._last[:] = labels, self.span.solve(labels.logits.reshape(len(self), -1))
        return self._last[1]

    @cached_property
    def size(self) -> float:
        """Largest entry, or 1 if all are 0."""
        entries = self.X.data if self.sparse else self.X
        return max(float(entries.max(initial=0.0)), -float(entries.min(initial=0.0))) or 1.0

    def unit(self) -> Points:
        """The same, at a size beside which a column of ones neither vanishes nor hides them."""
        return self if 1e-6 < self.size < 1e6 else Points(self.X / self.size, self.intercept, self.stored)

    def rounding(self, weights: Array, spread: float) -> Array:
        """What the points' type hides of the logits of ``weights`` (d', m), (n, m), or (1, 1) where nothing is seen.

        eps sum_j |x_j w_j|: a teacher that computes in that type is off by as much, and so are points rounded to it
        after the teacher saw them. Nothing is what lies far below ``spread``, the logits' own.
        """
        unit, w = float(np.finfo(self.stored).eps), np.abs(weights)
        largest = max(self.size, 1.0) if self.intercept else self.size
        if unit * largest * float(w.sum(axis=0).max(initial=0.0)) <= UNSEEN * spread:
            return np.zeros((1, 1))
        return unit * np.asarray(abs(self.affine) @ w)


@dataclass(frozen=True)
class Design:
    """Rows in coordinates (n, r), without a column of ones."""

    A: Matrix
    """Coordinates; sparse if the points are sparse and there are more of them than features. Features stay float32."""
    basis: Any
    """Coordinates to weights: w = basis.T @ v, (r, d); None where the coordinates are the features."""
    intercept: bool
    """Whether the parameters have a last row for the intercept."""

    def weights(self, theta: Array) -> tuple[Array, Array]:
        """Weights (m, d) and intercepts (m,) of parameters theta (r, m)."""
        v, b = (theta[:-1], theta[-1]) if self.intercept else (theta, np.zeros(theta.shape[1]))
        return (v if self.basis is None else np.asarray(self.basis.T @ v)).T, b

    def theta(self, weights: Array, intercepts: Array) -> Array:
        """Parameters (r, m) of weights (m, d) and intercepts (m,), as far as the coordinates reach."""
        v = weights.T if self.basis is None else np.asarray(self.basis @ weights.T)
        return np.vstack([v, intercepts]) if self.intercept else v


def reduced(points: Points) -> Design:
    """Coordinates for a ridge fit: an orthonormal basis of the rows where n <= d, the features where n > d.

    Many features that are 0 in every row are left out: their weights are 0.
    """
    n, d = points.given.shape
    if n > d or (points.sparse and n > LARGEST_GRAM):
        short = not points.sparse and points.given.dtype == np.float32
        A = points.given if short else points.X
        used = np.flatnonzero(abs(A).max(axis=0).toarray() if points.sparse else A.any(axis=0))
        if not 0 < len(used) < MANY_USED * d:
            return Design(A, None, points.intercept)
        chosen = csr_array((np.ones(len(used)), (np.arange(len(used)), used)), shape=(len(used), d))
        return Design(A[:, used], chosen, points.intercept)
    if points.sparse:
        return Design(*_sparse_coordinates(points.X), points.intercept)
    span = Span(points.X)
    return Design(span.coordinates(span.X), span.basis, points.intercept)


@dataclass(frozen=True)
class AsSeen:
    """Points as a student sees them: in its metric, with a column of ones where it has an intercept."""

    scaling: Scaling | None
    """None for points as given."""
    intercept: bool

    def __call__(self, X: Array) -> Array:
        """Points (m, d + 1), (m, d) without intercept."""
        X = X if self.scaling is None else self.scaling.apply(X)
        return np.hstack([X, np.ones((len(X), 1), dtype=X.dtype)]) if self.intercept else X


def could_be_linear(inconsistency: float, precision: float) -> bool:
    """Whether some linear teacher gave answers that least squares misses by ``inconsistency`` of their norm.

    What the answers' ``precision`` hides may be that much; answers without errors are met to `ROUNDING` of theirs.
    """
    return inconsistency <= ROUNDING + precision


def precision(labels: SoftLabels, more: Array | float = 0.0) -> float:
    """Norm of the errors that the stored precision leaves in the logits known, over that of the logits; 0 of none.

    ``more`` (n, m) is what the points' precision adds (`Points.rounding`).
    """
    known = ~labels.saturated
    size = float(np.linalg.norm(labels.logits[known]))
    error = labels.error.reshape(len(labels), -1) + more
    return float(np.linalg.norm(error[known])) / size if size > 0 else 0.0


def with_ones(X: Matrix) -> Matrix:
    """X with a last column of ones, sparse if X is."""
    ones = np.ones((X.shape[0], 1))
    if issparse(X):
        from scipy.sparse import hstack

        return hstack([X, csr_array(ones)], format="csr")
    return np.hstack([X, ones])


def row_keys(X: Matrix) -> np.ndarray:
    """A number (n,) for each row, the same for equal rows.

    Different rows share one with a probability near 2^-64, over a fixed draw of multipliers: sums of whole numbers,
    so that neither the order of the rows nor how they are read changes a key. Sparse rows have those of dense ones.
    """
    multipliers = np.random.default_rng(0).integers(2**64, size=X.shape[1], dtype=np.uint64) | np.uint64(1)
    if issparse(X):
        rows = csr_array(X)
        mixed = _mixed(np.asarray(rows.data)) * multipliers[rows.indices]
        return csr_array((mixed, rows.indices, rows.indptr), shape=rows.shape) @ np.ones(
            X.shape[1], np.uint64
        )
    keys = np.empty(len(X), dtype=np.uint64)
    step = max(1, KEYED // max(X.shape[1], 1))
    for at in range(0, len(X), step):
        keys[at : at + step] = (_mixed(X[at : at + step]) * multipliers).sum(axis=1, dtype=np.uint64)
    return keys


def _mixed(values: Array) -> np.ndarray:
    """The bits of each float, stirred; 0 for 0."""
    bits = np.ascontiguousarray(values + 0.0, dtype=np.float64).view(np.uint64)  # -0 is 0
    bits = (bits ^ (bits >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    return bits ^ (bits >> np.uint64(32))


def _sparse_coordinates(X: Matrix) -> tuple[Array, _Basis]:
    """X = A Q with Q = L^-1 X[pivots] kept sparse-times-dense: from a pivoted Cholesky factor of X X^T.

    The Gram matrix squares the condition, which a ridge forgives; X itself is never made dense.
    """
    K = (X @ X.T).toarray()
    C, pivots, rank, _ = lapack.dpstrf(K, lower=1, tol=1e-13 * max(float(K.diagonal().max()), 1e-300))
    pivots = pivots[:rank] - 1
    L = np.tril(C[:rank, :rank])
    A = solve_triangular(L, (X[pivots] @ X.T).toarray(), lower=True, check_finite=False).T
    return A, _Basis(L, X[pivots])


class _Basis:
    """Q = L^-1 X_pivots, as an operator: only its transpose's products are needed."""

    def __init__(self, L: Array, X: Matrix) -> None:
        self.L, self.X = L, X

    @property
    def T(self) -> _Basis:  # noqa: N802 - as arrays have it
        return self

    def __matmul__(self, v: Array) -> Array:
        return self.X.T @ solve_triangular(self.L, v, lower=True, trans=1, check_finite=False)
