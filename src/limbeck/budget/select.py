"""Which points to label: greedy column-subset selection on the pool, before any label is bought.

The student errs at x only through (I-P)x, and the sign of w.x ignores the length of x: on rows scaled to unit
length, greedily take the row whose residual explains most of all rows' residuals,

    argmax_i  sum_j w_j (r_j . r_i)^2 / |r_i|^2,

then project it out. One run orders all budgets: every prefix of the ranking is the choice for that many labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import qr

from limbeck import _check
from limbeck._check import Array
from limbeck.budget._kernel_residuals import KernelResiduals
from limbeck.budget._leading import NOISE, TIED, Floor, Leaders, agree, gains_of, tied
from limbeck.budget._residuals import LinearResiduals, Residuals
from limbeck.budget._sparse_residuals import SparseResiduals
from limbeck.budget.pool import KernelPool, Pool, SparsePool, pool_of
from limbeck.engine import Engine

EPS = float(np.finfo(np.float64).eps)
WANING = 30.0  # times sqrt(eps): fall of the energy after which all scores are computed afresh


@dataclass(frozen=True)
class Ranking:
    """Points in the order in which to buy their labels."""

    indices: np.ndarray
    """Rows of the pool, (n,): the first k are the choice for k labels."""
    gains: Array
    """Share of the pool's energy, sum_j w_j |x_j|^2, that each pick explains, (n,); 0 past ``useful``."""
    energy: Array
    """Share left unexplained after each pick, (n,): it never rises."""
    energy_given: float
    """Share left unexplained by the points already labelled, before the first pick."""
    rounds: np.ndarray
    """Round of each pick, (n,). Picks of round 1 add a direction; once nothing is left to add, the selection
    starts anew among the other rows, as if nothing were labelled; rows of zeros come last, in round 0."""
    useful: int
    """Number of picks, all of them first, that add a direction."""
    reason: str
    """Why there are no more useful picks than these; empty if all are."""
    zeros: np.ndarray
    """Rows of zeros: they have no direction and their label says nothing."""


class SpanSelection:
    """Choose the points whose labels teach a linear student most, from the geometry of the pool alone.

    Parameters
    ----------
    unit_rows : bool
        Take rows at unit length, so that no row counts for more than another: the sign of w.x ignores the
        length of x, and outliers and heavy tails would otherwise decide. False: as given.
    kernel : object, optional
        Select in the feature space of a kernel: ``kernel(X, Y)`` of shape (n, m) and ``kernel.diagonal(X)`` of
        shape (n,), as `limbeck.theory.kernels` has them. For a precomputed kernel let the points be row numbers.
    reference : int
        With a kernel: number of rows on which the energy is measured, drawn with a fixed seed.
    tol : float, optional
        A row whose residual is shorter than ``tol`` times the row adds no direction. Default ``8 d eps``, at least
        the rounding unit of the pool's dtype; 1e-6 with a kernel, whose residuals are differences of squares.

    Notes
    -----
    The scores obey a rank-one recursion (`limbeck.budget._residuals`): a pick costs two matrix-vector products with
    the pool in its own dtype. An array takes one pass a pick. A pool that has to be read foresees the next picks among
    a random sample and the rows that led lately, multiplies by all their directions in one pass, and takes those that
    turn out to lead: the same ranking from some third of the passes. The leading rows are scored afresh in float64
    before one is picked; if that disagrees with the recursion, or the energy fell so far that rounding would show, all
    scores are computed afresh, which costs two products with a d x d matrix. Memory: some numbers a row and a few
    d x d matrices.

    Of a sparse pool no d x d matrix is kept: a pick costs some forty products with its entries, and memory grows with
    the entries, picks times d, and some hundred numbers a row. The ranking is that of the same rows made dense.

    Gains equal to within 1e-9 are ties: of these the longest residual is taken, of those the lowest index. The order
    depends on nothing but the pool.

    Examples
    --------
    >>> import numpy as np
    >>> pool = np.array([[3.0, 0.1], [2.0, 0], [1.0, 0], [0, 1.0]])
    >>> SpanSelection().query(pool, 2)
    array([0, 3])
    >>> ranking = SpanSelection().rank(pool, 3)
    >>> ranking.useful, ranking.energy.round(3)
    (2, array([0.25, 0.  , 0.  ]))
    """

    def __init__(
        self,
        *,
        unit_rows: bool = True,
        kernel: Any = None,
        reference: int = 1000,
        tol: float | None = None,
    ) -> None:
        self.unit_rows: bool = unit_rows
        self.kernel: Any = kernel
        self.reference: int = _check.count(reference, "reference")
        self.tol: float | None = None if tol is None else _check.number(tol, "tol", above=0.0, below=1.0)

    def query(
        self, X: Any, n: int, given: ArrayLike | None = None, *, at: Engine | None = None
    ) -> np.ndarray:
        """Rows to label, best first, (n,) of int; see `rank`."""
        return self.rank(X, n, given, at=at).indices

    def rank(
        self,
        X: Any,
        n: int,
        given: ArrayLike | None = None,
        *,
        weight: ArrayLike | None = None,
        at: Engine | None = None,
    ) -> Ranking:
        """Order the pool by what each label would add to those before it.

        Parameters
        ----------
        X : array_like or SciPy sparse matrix, shape (n_pool, d), or re-iterable of blocks
            The pool; see `limbeck.budget.Pool`. A sparse one is never made dense.
        n : int
            How many picks, at most the rows not given.
        given : array_like of int, optional
            Rows that are labelled already: projected out first, and not picked.
        weight : array_like, shape (n_pool,), optional
            How much each row counts in the energy, >= 0. Default: all alike. See `undecided`.
        at : Engine, optional
            Where `limbeck.data.blocks.Points` are read and worked on. Default: this thread.

        Returns
        -------
        Ranking

        Raises
        ------
        ValueError
            If the pool cannot be used (row and column named), ``given`` is out of range or doubled, or more
            picks are asked for than there are rows left.
        """
        pool = self._pool(X, at)
        given = rows_given(given, pool.n)
        n = _check.count(n, "n")
        if n > pool.n - len(given):
            raise ValueError(
                f"n = {n} picks from {pool.n - len(given)} rows that are not labelled yet ({pool.n} in the pool, "
                f"{len(given)} given): ask for at most that many."
            )
        counts = _weights(weight, pool.n)
        order = _Order(n, pool.zeros, given, pool.n)
        while order.wanted and order.open.any():
            first = order.round == 0
            left = self._residuals(pool, counts, given if first else given[:0])
            order.take(_Round(left, order.open, self._tol(pool)))
        return order.ranking()

    def _pool(self, X: Any, at: Engine | None) -> Pool | SparsePool | KernelPool:
        if self.kernel is None:
            return pool_of(_narrow(X), unit=self.unit_rows, at=at)
        return KernelPool(X, self.kernel, unit=self.unit_rows, reference=self.reference)

    def _residuals(self, pool: Pool | SparsePool | KernelPool, weight: Array, given: np.ndarray) -> Residuals:
        if isinstance(pool, KernelPool):
            return KernelResiduals(pool, weight, given, self._tol(pool))
        return _linear(pool, weight, given, self._tol(pool))

    def _tol(self, pool: Pool | SparsePool | KernelPool) -> float:
        if self.tol is not None:
            return self.tol
        if isinstance(pool, KernelPool):
            return 1e-6
        width = min(pool.n, pool.d) if isinstance(pool, SparsePool) else pool.d
        return max(8 * width * EPS, float(np.finfo(pool.dtype).eps))


def _linear(
    pool: Pool | SparsePool, weight: Array, given: np.ndarray, tol: float
) -> LinearResiduals | SparseResiduals:
    if isinstance(pool, SparsePool):
        return SparseResiduals(pool, weight, given, tol)
    return LinearResiduals(pool, weight, given)


def rated(X: Any, order: np.ndarray, given: ArrayLike | None = None, *, at: Engine | None = None) -> Ranking:
    """What `SpanSelection.rank` says of its points, of points in an order that was chosen otherwise.

    From the first that adds no direction on, all count as further rounds, as they do there.

    Parameters
    ----------
    X : array_like or SciPy sparse matrix, shape (n_pool, d), or re-iterable of blocks
    order : ndarray of int, shape (n,)
        Rows, best first.
    given : array_like of int, optional
        Rows that are labelled already.
    at : Engine, optional
    """
    span = SpanSelection()
    pool = pool_of(_narrow(X), unit=span.unit_rows, at=at)
    given, tol = rows_given(given, pool.n), span._tol(pool)
    left = _linear(pool, np.ones(pool.n), given, tol)
    found = _Order(len(order), pool.zeros, given, pool.n)
    found.take(_Followed(left, order, pool.rows(order), tol))
    found.repeat(order[len(found.rows) :])
    return found.ranking()


class _Followed:
    """Picks in an order that is given, until one adds no direction."""

    def __init__(
        self, left: LinearResiduals | SparseResiduals, order: np.ndarray, rows: Array, tol: float
    ) -> None:
        self.left, self.order, self.rows, self.least = left, order, rows, tol**2

    def picks(self, wanted: int) -> Iterator[tuple[int, float]]:
        """At most so many rows, and what each explains."""
        for row, x in zip(self.order[:wanted], self.rows, strict=False):
            _, (length,) = self.left.space.scores(x[None])
            if length <= self.least * float(x @ x):
                return
            yield int(row), self.left.space.add(x).explained


class _Round:
    """Picks that each add a direction, until none is left."""

    def __init__(self, left: Residuals, open_rows: np.ndarray, tol: float) -> None:
        self.left, self.open, self.least = left, open_rows.copy(), tol**2

    def picks(self, wanted: int) -> Iterator[tuple[int, float]]:
        """At most so many rows, each the one that explains most of what is left, and what it explains."""
        left = self.left
        while wanted:
            waned = WANING * np.sqrt(left.eps) * left.refreshed
            if not left.fresh and left.energy <= waned:
                left.refresh()
                waned = WANING * np.sqrt(left.eps) * left.refreshed
            later = Floor(self.least, NOISE * left.eps * left.refreshed, max(TIED, NOISE * left.eps))
            now = Floor(self.least, 0.0, TIED) if left.fresh else later
            closed = np.flatnonzero(~self.open)
            path = left.foreseen(closed, wanted - 1, waned)
            found = left.surveyed(path, closed, now, later)
            for leaders, foreseen in zip(found, [*path.rows, None], strict=True):
                row, sound = self._best(leaders)
                if not sound and not left.fresh:
                    left.refresh()
                    break
                if row is None:
                    return
                explained = left.take(row)
                self.open[row] = False
                wanted -= 1
                yield row, explained
                if row != foreseen:
                    break

    def _best(self, leaders: Leaders) -> tuple[int | None, bool]:
        """The best row, or None where every row lies in the span; and whether the scores that found it are sound."""
        if len(leaders.rows) == 0:
            return None, self.left.fresh
        a, b = self.left.scores_of(leaders.rows)
        exact = gains_of(a, b, self.least * self.left.sizes[leaders.rows])
        return int(leaders.rows[tied(exact, b, TIED)].min()), agree(exact, leaders.gains)


class _Order:
    """The ranking as it grows."""

    def __init__(self, n: int, zeros: np.ndarray, given: np.ndarray, size: int) -> None:
        self.n, self.zeros, self.given = n, zeros, given
        self.open = np.ones(size, dtype=bool)
        self.open[zeros] = self.open[given] = False
        self.rows: list[int] = []
        self.gains: list[float] = []
        self.energy: list[float] = []
        self.rounds: list[int] = []
        self.round = 0
        self.energy_given = 0.0

    @property
    def wanted(self) -> int:
        return self.n - len(self.rows)

    def take(self, picks: _Round | _Followed) -> None:
        """Add one round's picks."""
        self.round += 1
        total = picks.left.total
        left = picks.left.energy / total if total > 0 else 0.0
        if self.round == 1:
            self.energy_given = left
        for row, gain in picks.picks(self.wanted):
            explained = gain / total if total > 0 else 0.0
            left = max(0.0, min(left, picks.left.energy / total)) if total > 0 else 0.0
            self._add(row, explained, left)

    def repeat(self, rows: np.ndarray) -> None:
        """Add rows that add no direction, as one further round."""
        self.round += 1
        for row in rows:
            self._add(int(row), 0.0, 0.0)

    def _add(self, row: int, explained: float, left: float) -> None:
        first = self.round == 1
        self.rows.append(row)
        self.rounds.append(self.round)
        self.gains.append(explained if first else 0.0)
        self.energy.append(left if first else self.energy[-1] if self.energy else self.energy_given)
        self.open[row] = False

    def ranking(self) -> Ranking:
        rounds = np.array(self.rounds, dtype=int)
        useful = int(np.sum(rounds == 1))
        rest = np.setdiff1d(self.zeros, self.given)[: self.wanted]
        last = self.energy[-1] if self.energy else self.energy_given
        fill = np.zeros(len(rest))
        return Ranking(
            indices=np.concatenate([np.array(self.rows, dtype=int), rest]),
            gains=np.concatenate([self.gains, fill]),
            energy=np.concatenate([self.energy, fill + last]),
            energy_given=self.energy_given,
            rounds=np.concatenate([rounds, fill.astype(int)]),
            useful=useful,
            reason="" if useful == self.n else _reason(useful, self.n, len(self.given), len(self.zeros)),
            zeros=self.zeros,
        )


def _reason(useful: int, n: int, given: int, zeros: int) -> str:
    known = f" beside the {given} given" if given else ""
    empty = f" ({zeros} rows of the pool are zero)" if zeros else ""
    return (
        f"{useful} of the {n} picks add a direction{known}: then every row of the pool lies in the span of those "
        f"labelled, and a linear teacher's answers follow from theirs{empty}. Further picks repeat the selection "
        "among the other rows, against errors in the answers."
    )


def _narrow(X: Any) -> Any:
    """Coordinates (n, n) in an orthonormal basis of the rows, where an array has more columns than rows."""
    if not isinstance(X, (np.ndarray, list, tuple)) and not hasattr(X, "__array__"):
        return X
    if np.ndim(X) != 2 or hasattr(X, "toarray") or np.shape(X)[0] >= np.shape(X)[1]:
        return X
    X = _check.points(X, "The pool")
    lengths = np.abs(X).max(axis=1).astype(np.float64)
    scale = np.where(lengths > 0, lengths, 1.0)[:, None]
    R = qr((X / scale).T, mode="r", check_finite=False)[0][: len(X)]
    return R.T * scale


def rows_given(given: ArrayLike | None, size: int) -> np.ndarray:
    """Row numbers of a pool of this size, none out of range or named twice."""
    rows = np.empty(0, dtype=int) if given is None else np.asarray(given)
    if rows.size == 0:
        return np.empty(0, dtype=int)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise ValueError(
            f"given must be row numbers of the pool on one axis, got {rows.dtype} of shape {rows.shape}."
        )
    outside = (rows < 0) | (rows >= size)
    if outside.any():
        raise ValueError(
            f"given names row {rows[np.argmax(outside)]}, and the pool has rows 0 to {size - 1}."
        )
    values, counts = np.unique(rows, return_counts=True)
    if counts.max() > 1:
        raise ValueError(f"given names row {values[np.argmax(counts)]} more than once.")
    return rows.astype(int)


def _weights(weight: ArrayLike | None, size: int) -> Array:
    if weight is None:
        return np.ones(size)
    w = np.asarray(_check.vector(weight, "weight", size), dtype=np.float64)
    if (w < 0).any() or not w.any():
        raise ValueError("weight must be >= 0 and not all zero: how much each row counts.")
    return w
