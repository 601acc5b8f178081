"""Residuals of a pool in the feature space of a kernel; see `limbeck.budget._residuals`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from limbeck._check import Array
from limbeck.budget._leading import Floor, Leaders
from limbeck.budget._residuals import Foreseen, carried
from limbeck.budget.pool import KernelPool


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
        self.refresh()

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

    def refresh(self) -> None:
        self.a, self.b = np.empty((2, self.pool.n))
        for rows in self.pool.blocks():
            self.a[rows], self.b[rows] = self.scores_of(rows)
        self.before, self.fresh, self.refreshed = self.b.copy(), True, self.energy

    def foreseen(self, closed: np.ndarray, count: int, least: float) -> Foreseen:
        """None: every pick evaluates its kernel with the pool anyway."""
        del closed, count, least
        return Foreseen([], [], [self.energy])

    def surveyed(self, path: Foreseen, closed: np.ndarray, now: Floor, later: Floor) -> Sequence[Leaders]:
        del later
        gains = now.gains(self.a, self.b, self.sizes, self.before, path.energies[0])
        gains[closed] = -1.0
        return [Leaders.of(gains, self.b, now.within)]

    def scores_of(self, rows: np.ndarray) -> tuple[Array, Array]:
        a = np.square(self._residual(rows)) @ self.weight
        return a, self.sizes[rows] - np.square(self.V[rows]).sum(axis=1)

    def take(self, row: int) -> float:
        v = self._column(row)
        weighted = self.weight * v[self.reference]
        towards = np.concatenate([self._residual(rows) @ weighted for rows in self.pool.blocks()])
        explained = float(weighted @ v[self.reference])
        self.V = np.column_stack([self.V, v])
        self.a, self.b = carried(self.a, self.b, v, towards, explained)
        self.fresh = False
        return explained
