"""What is left of a pool outside the span of some of its points, and how much each point would explain of it.

With r_i the residual of row i, w_j a weight and e the direction that a pick adds,

    b_i = |r_i|^2,    a_i = sum_j w_j (r_j.r_i)^2 = r_i.S r_i,    S = sum_j w_j r_j r_j^T,

picking i explains a_i / b_i of the energy sum_j w_j b_j, and afterwards

    b_i' = b_i - (e.r_i)^2,    a_i' = a_i - 2 (e.r_i) (r_i.Se) + (e.r_i)^2 e.Se.

Both geometries answer with e.r_i and r_i.Se; one loop (`limbeck.budget.select`) does the rest.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from limbeck.budget.pool import KernelPool, Pool
from limbeck.theory import Span
from limbeck.theory._check import Array
from limbeck.theory._factor import row_norms


class Residuals(Protocol):
    """Residuals of a pool in some geometry."""

    eps: float
    """Rounding unit of the arithmetic of one deflation."""
    sizes: Array
    """Squared lengths of the rows, nothing projected out, (n,)."""
    total: float
    """Energy with nothing projected out."""

    @property
    def energy(self) -> float:
        """sum_j w_j |r_j|^2."""
        ...

    def scores(self) -> tuple[Array, Array]:
        """a and b of every row, (n,) each, computed afresh."""
        ...

    def scores_of(self, rows: np.ndarray) -> tuple[Array, Array]:
        """a and b of some rows, computed afresh in float64."""
        ...

    def deflate(self, row: int) -> tuple[Array, Array, float]:
        """Add a row to the span: e.r_i and r_i.Se of every row, and e.Se."""
        ...


class LinearResiduals:
    """Residuals of the rows as they are: a d x d second moment, one pass over the pool a pick.

    Parameters
    ----------
    pool : Pool
    weight : ndarray, shape (n,)
        Of each row in the energy.
    given : ndarray of int
        Rows already in the span.
    """

    def __init__(self, pool: Pool, weight: Array, given: np.ndarray) -> None:
        self.pool, self.weight = pool, weight
        self.eps = float(np.finfo(pool.dtype).eps)
        self.sizes = np.square(pool.norms * pool.factors)
        self.total = float(weight @ self.sizes)
        basis = Span(pool.rows(given)).basis if len(given) else np.empty((0, pool.d))
        self.Q = np.zeros((pool.d, pool.d))  # rows past k unused
        self.k = len(basis)
        self.Q[: self.k] = basis
        self.S: Array = np.empty((0, 0))

    @property
    def energy(self) -> float:
        return float(np.trace(self.S))

    def _residual(self, rows: Array) -> Array:
        Q = self.Q[: self.k]
        for _ in range(2 if self.k else 0):
            rows = rows - (rows @ Q.T) @ Q
        return rows

    def scores(self) -> tuple[Array, Array]:
        self.S = np.zeros((self.pool.d, self.pool.d))
        for rows, block in self.pool.scaled():
            R = self._residual(block) * np.sqrt(self.weight[rows])[:, None]
            self.S += R.T @ R
        a, b = np.empty((2, self.pool.n))
        for rows, block in self.pool.scaled():
            a[rows], b[rows] = self._score(block)
        return a, b

    def _score(self, block: Array) -> tuple[Array, Array]:
        R = self._residual(block)
        return np.einsum("ij,ij->i", R @ self.S, R), np.einsum("ij,ij->i", R, R)

    def scores_of(self, rows: np.ndarray) -> tuple[Array, Array]:
        return self._score(self.pool.rows(rows))

    def deflate(self, row: int) -> tuple[Array, Array, float]:
        e = self._residual(self.pool.rows(np.array([row])))[0]
        e = self._residual(e[None] / row_norms(e))[0]
        e /= row_norms(e)
        Se = self.S @ e
        explained = float(e @ Se)
        along = self.pool.products(np.column_stack([e, self._residual(Se[None])[0]]))
        self.S -= np.outer(e, Se) + np.outer(Se, e) - explained * np.outer(e, e)
        self.Q[self.k] = e
        self.k += 1
        return along[:, 0], along[:, 1], explained


class KernelResiduals:
    """Residuals in the feature space of a kernel: columns of a partial Cholesky factor, no pool x pool matrix.

    A pick evaluates the kernel between the pool and the reference rows, a block at a time; memory grows with
    pool times picks.

    Parameters
    ----------
    pool : KernelPool
    weight : ndarray, shape (n,)
        Of each row in the energy, which is measured on the reference rows.
    given : ndarray of int
        Rows already in the span.
    tol : float
        Relative length of a residual that adds no direction.
    """

    eps = float(np.finfo(np.float64).eps)

    def __init__(self, pool: KernelPool, weight: Array, given: np.ndarray, tol: float) -> None:
        self.pool, self.reference = pool, pool.reference
        self.weight = weight[self.reference] * pool.n / len(self.reference)
        self.sizes = pool.diagonal
        self.total = float(self.weight @ self.sizes[self.reference])
        self.V = np.empty((pool.n, 0))
        for row in given:
            column = self._column(row)
            if column[row] > tol * np.sqrt(self.sizes[row]):
                self.V = np.column_stack([self.V, column])

    def _column(self, row: int) -> Array:
        """e.r_i for the direction e that ``row`` adds; zeros if it adds none."""
        left = self.pool.kernel(np.arange(self.pool.n), np.array([row]))[:, 0] - self.V @ self.V[row]
        length = np.sqrt(max(left[row], 0.0))
        return left / length if length > 0 else np.zeros(len(left))

    def _residual(self, rows: np.ndarray) -> Array:
        return self.pool.kernel(rows, self.reference) - self.V[rows] @ self.V[self.reference].T

    @property
    def energy(self) -> float:
        left = self.sizes[self.reference] - np.square(self.V[self.reference]).sum(axis=1)
        return float(self.weight @ np.maximum(left, 0.0))

    def scores(self) -> tuple[Array, Array]:
        a, b = np.empty((2, self.pool.n))
        for rows in self.pool.blocks():
            a[rows], b[rows] = self.scores_of(rows)
        return a, b

    def scores_of(self, rows: np.ndarray) -> tuple[Array, Array]:
        a = np.square(self._residual(rows)) @ self.weight
        return a, self.sizes[rows] - np.square(self.V[rows]).sum(axis=1)

    def deflate(self, row: int) -> tuple[Array, Array, float]:
        v = self._column(row)
        weighted = self.weight * v[self.reference]
        towards = np.concatenate([self._residual(rows) @ weighted for rows in self.pool.blocks()])
        self.V = np.column_stack([self.V, v])
        return v, towards, float(weighted @ v[self.reference])
