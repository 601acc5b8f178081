"""Residuals of sparse rows as they are, no d x d matrix; see `limbeck.budget._residuals`.

With X the scaled rows, W their weights on the diagonal and r a residual, which is orthogonal to what is projected out,

    r.S r = sum_j w_j (x_j.r)^2,    S e = (I - P) X^T W X e,

so that a product with X and one with its transpose stand for one with S. Only the directions taken are dense.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from limbeck._check import Array
from limbeck.budget._leading import LEADERS, Floor, Leaders, agree, gains_of
from limbeck.budget._residuals import Direction, Foreseen, carried, direction_of, residual_of
from limbeck.budget.pool import CELLS, SparsePool
from limbeck.theory import Span

EPS = float(np.finfo(np.float64).eps)
PAIRS = 1 << 21  # pairs of entries of a row that are looked up at once
MENDED = 30  # times that leaders' scores are computed afresh before all rows' are
LOOK_UP = 50  # multiplications in a product of sparse and dense that take as long as one pair looked up


class SparseSubspace:
    """What is projected out of sparse rows, and their second moment S outside it, which is never formed.

    Parameters
    ----------
    Q : ndarray, shape (k, d)
        Orthonormal directions projected out.
    X : csr_array, shape (n, d)
        Scaled rows.
    weight : ndarray, shape (n,)
    energy : float
        Trace of S.
    """

    def __init__(self, Q: Array, X: csr_array, weight: Array, energy: float) -> None:
        self.Q, self.X, self.weight, self.energy = Q, X, weight, energy
        self._columns = X.T.tocsr()  # its products are several times faster than those of X.T

    def residual(self, rows: Array) -> Array:
        """Rows (m, d) less their projection."""
        return residual_of(self.Q, rows)

    def scores(self, rows: Array) -> tuple[Array, Array]:
        """a and b of rows (m, d)."""
        R = self.residual(rows)
        return self.weight @ np.square(self.X @ R.T), np.einsum("ij,ij->i", R, R)

    def add(self, row: Array) -> Direction:
        """Project a row (d,) out."""
        return self.without(direction_of(self.Q, row))

    def without(self, e: Array) -> Direction:
        """Project out a direction (d,) of unit length, orthogonal to those before it."""
        along = self.X @ e
        weighted = self.weight * along
        found = Direction(e, self.residual((self._columns @ weighted)[None])[0], float(weighted @ along))
        self.Q = np.vstack([self.Q, e])
        self.energy -= found.explained
        return found


class SparseResiduals:
    """Residuals of sparse rows: a pick costs a few products with their entries.

    Parameters
    ----------
    pool : SparsePool
    weight : ndarray, shape (n,)
        Of each row in the energy.
    given : ndarray of int
        Rows already in the span.
    tol : float
        Relative length of a residual that adds no direction.
    """

    eps = EPS

    def __init__(self, pool: SparsePool, weight: Array, given: np.ndarray, tol: float) -> None:
        self.pool, self.weight, self.least = pool, weight, tol**2
        self.sizes = np.square(pool.norms * pool.factors)
        self.total = float(weight @ self.sizes)
        self.space = SparseSubspace(np.empty((0, pool.d)), pool.X, weight, self.total)
        self.a, self.b = quadratics(pool.X, weight), self.sizes.copy()
        self.before, self.fresh, self.refreshed = self.b.copy(), True, self.total
        for e in Span(pool.rows(given)).basis if len(given) else ():
            self._carry(self.space.without(e))

    @property
    def energy(self) -> float:
        return self.space.energy

    def refresh(self) -> None:
        """Compute all scores afresh, a block of dense residuals at a time; a only where a direction may be added."""
        for rows in _spans(self.pool.n, CELLS // self.pool.d):
            R = self.space.residual(self.pool.rows(rows))
            self.b[rows] = np.einsum("ij,ij->i", R, R)
        self.a[:] = 0.0
        live = np.flatnonzero(self.b > self.least * self.sizes)
        for at in _spans(len(live), min(CELLS // self.pool.d, 4 * CELLS // self.pool.n)):
            self.a[live[at]], _ = self.space.scores(self.pool.rows(live[at]))
        self.space.energy = float(self.weight @ self.b)
        self.before, self.fresh, self.refreshed = self.b.copy(), True, self.energy

    def foreseen(self, closed: np.ndarray, count: int, least: float) -> Foreseen:
        """None: reading the pool costs nothing."""
        del closed, count, least
        return Foreseen([], [], [self.energy])

    def surveyed(self, path: Foreseen, closed: np.ndarray, now: Floor, later: Floor) -> Sequence[Leaders]:
        """Who leads: rows that lead by rounding only, as those within the span may, get their scores afresh."""
        del later
        leaders = self._led(path.energies[0], closed, now)
        for _ in range(MENDED):
            if not len(rows := leaders.rows):
                break
            self.a[rows], self.b[rows] = self.space.scores(self.pool.rows(rows))
            self.before[rows] = self.b[rows]
            if agree(gains_of(*self.scores_of(rows), self.least * self.sizes[rows]), leaders.gains):
                break
            leaders = self._led(path.energies[0], closed, now)
        return [leaders]

    def _led(self, energy: float, closed: np.ndarray, floor: Floor) -> Leaders:
        gains = floor.gains(self.a, self.b, self.sizes, self.before, energy)
        gains[closed] = -1.0
        return Leaders.of(gains, self.b, floor.within)

    def scores_of(self, rows: np.ndarray) -> tuple[Array, Array]:
        return self.a[rows], self.b[rows]  # computed afresh when they were found to lead

    def take(self, row: int) -> float:
        return self._carry(self.space.add(self.pool.rows(np.array([row]))[0]))

    def _carry(self, new: Direction) -> float:
        along, towards = (self.pool.X @ np.column_stack([new.e, new.Se])).T
        self.a, self.b = carried(self.a, self.b, along, towards, new.explained)
        self.fresh = False
        return new.explained


def longest_first(X: Any, n: int) -> np.ndarray:
    """Always the row with the longest residual, then those that add no direction, (n,) of int.

    Lengths are carried along and computed afresh, from the row itself, for those that lead.
    """
    pool = SparsePool(X, unit=False)
    sizes = np.square(pool.norms * pool.factors)
    least = (8 * min(pool.n, pool.d) * EPS) ** 2 * sizes
    Q, b, order = np.empty((0, pool.d)), np.where(sizes > 0, sizes, -1.0), list[int]()
    while len(order) < n and b.max() >= 0:
        rows = np.sort(np.argpartition(b, -min(LEADERS, pool.n))[-LEADERS:])
        rows = rows[b[rows] >= 0]
        R = residual_of(Q, pool.rows(rows))
        b[rows] = np.einsum("ij,ij->i", R, R)
        b[rows[b[rows] <= least[rows]]] = -1.0
        best = int(np.argmax(b))
        if best not in rows or b[best] < 0:
            continue
        order.append(best)
        Q = np.vstack([Q, direction_of(Q, R[np.searchsorted(rows, best)])])
        b = np.where(b < 0, -1.0, np.maximum(b - np.square(pool.X @ Q[-1]), 0.0))
        b[best] = -1.0
    return np.concatenate([order, np.setdiff1d(np.arange(pool.n), order)])[:n].astype(int)


def quadratics(X: csr_array, weight: Array) -> Array:
    """x_i.G x_i for every row, G = sum_j w_j x_j x_j^T (d, d) made some rows at a time, (n,).

    A row needs the entries of G where it has entries itself: they are looked up pair by pair, or taken from a product
    with all of G where that is less work.
    """
    n, d = X.shape
    counts = np.diff(X.indptr).astype(np.int64)
    look_up = LOOK_UP * int((counts * (counts + 1) // 2).sum()) <= X.nnz * d
    columns, weighted = X.T.tocsr(), X.multiply(weight[:, None]).tocsr()
    row = np.repeat(np.arange(n), counts)
    found = np.zeros(n)
    for some in _spans(d, 8 * CELLS // (d if look_up else max(n, d))):
        start, stop = some[0], some[-1] + 1
        G = (columns[start:stop] @ weighted).toarray()
        if look_up:
            at = np.flatnonzero((X.indices >= start) & (X.indices < stop))
            at = at[np.argsort(X.indices[at], kind="stable")]  # one row of G after the other
            found += np.bincount(row[at], _looked_up(X, row, at, G, start), n)
        else:
            found += np.asarray(X[:, start:stop].multiply(X @ G.T).sum(axis=1)).ravel()
    return found


def _looked_up(X: csr_array, row: np.ndarray, at: np.ndarray, G: Array, start: int) -> Array:
    """Of entries p of X, sum over entries q of the same row of x_p x_q G[p, q], by symmetry those up to p, twice.

    ``row`` has the row of every entry, G its rows from ``start`` on.
    """
    counts = at - X.indptr[row[at]] + 1
    sums = np.empty(len(at))
    for chunk in _chunks(np.cumsum(counts)):
        p, count = at[chunk], counts[chunk]
        firsts = np.cumsum(count) - count
        q = np.arange(int(count.sum())) + np.repeat(X.indptr[row[p]] - firsts, count)
        here = X.indices[p] - start
        products = X.data[q] * G[np.repeat(here, count), X.indices[q]]
        own = X.data[p]
        sums[chunk] = own * (2 * np.add.reduceat(products, firsts) - own * G[here, X.indices[p]])
    return sums


def _chunks(ends: np.ndarray) -> Iterator[slice]:
    """Consecutive entries of about `PAIRS` pairs together, from the pairs up to the end of each."""
    start = 0
    while start < len(ends):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + PAIRS, side="right")))
        yield slice(start, stop)
        start = stop


def _spans(n: int, size: int) -> Iterator[np.ndarray]:
    """Numbers 0 to n - 1, at least one and about ``size`` at a time."""
    size = max(1, size)
    for start in range(0, n, size):
        yield np.arange(start, min(start + size, n))
