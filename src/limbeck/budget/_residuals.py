"""What is left of a pool outside the span of some of its points, and how much each point would explain of it.

With r_i the residual of row i, w_j a weight and e the direction that a pick adds,

    b_i = |r_i|^2,    a_i = sum_j w_j (r_j.r_i)^2 = r_i.S r_i,    S = sum_j w_j r_j r_j^T,

picking i explains a_i / b_i of the energy sum_j w_j b_j, and afterwards

    b_i' = b_i - (e.r_i)^2,    a_i' = a_i - 2 (e.r_i) (r_i.Se) + (e.r_i)^2 e.Se.

One loop (`limbeck.budget.select`) asks either geometry who leads now and, where several picks can be foreseen, who
would lead after each; it takes a pick only if it leads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

import numpy as np

from limbeck._check import Array
from limbeck.budget._leading import TIED, Floor, Leaders, tied
from limbeck.budget.pool import Pool
from limbeck.theory import Span
from limbeck.theory.factor import row_norms

AHEAD = 15  # picks foreseen, at most, where reading the pool costs more than a few products with it
SAMPLE = 2048  # rows, and 2^20 numbers, among which the next picks are foreseen at first
KEPT = 4  # surveys whose leaders are remembered for that


@dataclass(frozen=True)
class Direction:
    """What one pick adds."""

    e: Array
    """The direction, (d,)."""
    Se: Array
    """S e, its part within the residuals, (d,)."""
    explained: float
    """e.Se."""


@dataclass(frozen=True)
class Foreseen:
    """What the next picks may be."""

    rows: list[int]
    """In their order."""
    ahead: list[Direction]
    """What each would add."""
    energies: list[float]
    """Energy left now, and after each of them."""


class Residuals(Protocol):
    """Residuals of a pool in some geometry."""

    eps: float
    """Rounding unit of the scores carried along."""
    fresh: bool
    """Whether all scores were computed afresh since the last pick."""
    refreshed: float
    """The energy then."""
    sizes: Array
    """Squared lengths of the rows, nothing projected out, (n,)."""
    total: float
    """Energy with nothing projected out."""

    @property
    def energy(self) -> float:
        """sum_j w_j |r_j|^2."""
        ...

    def refresh(self) -> None:
        """Compute all scores afresh."""
        ...

    def foreseen(self, closed: np.ndarray, count: int, least: float) -> Foreseen:
        """At most ``count`` next picks among rows that are not ``closed``, while the energy is above ``least``."""
        ...

    def surveyed(self, path: Foreseen, closed: np.ndarray, now: Floor, later: Floor) -> Sequence[Leaders]:
        """Who leads now, and after each pick of the path; rows ``closed`` cannot."""
        ...

    def scores_of(self, rows: np.ndarray) -> tuple[Array, Array]:
        """a and b of some leaders, computed afresh in float64."""
        ...

    def take(self, row: int) -> float:
        """Add a leader to the span; return what it explained."""
        ...


class Subspace:
    """What is projected out, and the second moment S (d, d) of the residuals."""

    def __init__(self, Q: Array, S: Array) -> None:
        self.Q, self.S = Q, S

    @property
    def energy(self) -> float:
        """Trace of S."""
        return float(np.trace(self.S))

    def residual(self, rows: Array) -> Array:
        """Rows (m, d) less their projection."""
        return residual_of(self.Q, rows)

    def scores(self, rows: Array) -> tuple[Array, Array]:
        """a and b of rows (m, d)."""
        return _scores(self.residual(rows), self.S)

    def add(self, row: Array) -> Direction:
        """Project a row (d,) out."""
        e = direction_of(self.Q, row)
        Se = self.S @ e
        explained = float(e @ Se)
        self.S = self.S - (np.outer(e, Se) + np.outer(Se, e) - explained * np.outer(e, e))
        found = Direction(e, self.residual(Se[None])[0], explained)
        self.Q = np.vstack([self.Q, e])
        return found


def residual_of(Q: Array, rows: Array) -> Array:
    """Rows (m, d) less their projection on orthonormal rows Q (k, d), twice."""
    for _ in range(2 if len(Q) else 0):
        rows = rows - (rows @ Q.T) @ Q
    return rows


def direction_of(Q: Array, row: Array) -> Array:
    """Unit vector (d,) along what is left of a row outside orthonormal rows Q (k, d)."""
    e = residual_of(Q, row[None])[0]
    e = residual_of(Q, e[None] / row_norms(e))[0]
    return e / row_norms(e)


def _scores(R: Array, S: Array) -> tuple[Array, Array]:
    return np.einsum("ij,ij->i", R @ S, R), np.einsum("ij,ij->i", R, R)


def carried(a: Array, b: Array, along: Array, towards: Array, explained: float) -> tuple[Array, Array]:
    """a and b after a pick, from e.r_i and r_i.Se."""
    return a + along * (along * explained - 2 * towards), b - np.square(along)


class LinearResiduals:
    """Residuals of the rows as they are: a d x d second moment, one pass over the pool for several picks.

    A few rows, a random sample and those that led lately, foresee the next picks. One pass multiplies the pool by
    all their directions at once and tells who leads after each: as long as the foreseen row does, it is the pick.

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
        self.space = Subspace(basis, np.zeros((pool.d, pool.d)))
        some = min(pool.n, SAMPLE, max(64, (1 << 20) // pool.d))
        self.sample = np.sort(np.random.default_rng(0).permutation(pool.n)[: 0 if pool.in_memory else some])
        self.refresh()

    @property
    def energy(self) -> float:
        return self.space.energy

    def refresh(self) -> None:
        Q, S, rows = self.space.Q, np.zeros((self.pool.d, self.pool.d)), []
        for _, (part, found) in self.pool.each(_Moment(Q, self.sample), self.pool.factors, self.weight):
            S += part
            rows.append(found)
        self.space = Subspace(Q, S)
        self.seen = [_Rows(self.sample, np.concatenate(rows))]
        self.a, self.b = np.empty((2, self.pool.n))
        for at, (a, b) in self.pool.each(_Scores(Q, S), self.pool.factors):
            self.a[at], self.b[at] = a, b
        self.before, self.pending = self.b.copy(), list[Direction]()
        self.fresh, self.refreshed = True, self.energy

    def foreseen(self, closed: np.ndarray, count: int, least: float) -> Foreseen:
        path = Foreseen([], [], [self.energy])
        if self.pool.in_memory:
            return path
        most = min(count, AHEAD, max(3, 2 * len(self.pending)))
        known = _Rows.union(self.seen)
        space, kept = Subspace(self.space.Q, self.space.S), ~np.isin(known.rows, closed)
        rows, R = known.rows[kept], self.space.residual(known.X[kept])
        a, b = _scores(R, space.S)
        floor = self.eps * self.sizes[rows]
        while len(path.rows) < most and path.energies[-1] > least and (b > floor).any():
            at = int(tied(np.divide(a, b, out=np.full(len(b), -1.0), where=b > floor), b, TIED).min())
            added = space.add(R[at])
            a, b = carried(a, b, R @ added.e, R @ added.Se, added.explained)
            b[at] = 0.0
            path.rows.append(int(rows[at]))
            path.ahead.append(added)
            path.energies.append(space.energy)
        return path

    def surveyed(self, path: Foreseen, closed: np.ndarray, now: Floor, later: Floor) -> Sequence[Leaders]:
        survey = _Survey(self.pending, path, closed, (now, later), self.pool.dtype)
        found: list[Found] = []
        columns = (self.pool.factors, self.sizes, self.before, self.a, self.b)
        for at, (a, b, part) in self.pool.each(survey, *columns):
            self.a[at], self.b[at] = a, b
            found = [survey.merged([*found, part])]
        self.pending = []
        leaders, rows = found[0]
        self.seen = [self.seen[0], *self.seen[1:][-KEPT:], rows]
        return leaders

    def scores_of(self, rows: np.ndarray) -> tuple[Array, Array]:
        return self.space.scores(self.seen[-1].of(rows))

    def take(self, row: int) -> float:
        added = self.space.add(self.seen[-1].of(np.array([row]))[0])
        self.pending.append(added)
        self.fresh = False
        return added.explained


@dataclass(frozen=True)
class _Rows:
    """Some scaled rows of a pool."""

    rows: np.ndarray
    """Their numbers, increasing."""
    X: Array
    """Themselves, (m, d)."""

    def of(self, rows: np.ndarray) -> Array:
        """Those of these numbers."""
        return self.X[np.searchsorted(self.rows, rows)]

    @classmethod
    def union(cls, parts: Sequence[_Rows]) -> _Rows:
        """Each once."""
        rows, first = np.unique(np.concatenate([p.rows for p in parts]), return_index=True)
        return cls(rows, np.concatenate([p.X for p in parts])[first])


# -- passes over the pool ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Moment:
    """Second moment of the weighted residuals, and the rows of a sample."""

    Q: Array
    sample: np.ndarray

    def __call__(self, first: int, X: Array, factors: Array, weight: Array) -> tuple[Array, Array]:
        scaled = X * factors[:, None]
        R = residual_of(self.Q, scaled) * np.sqrt(weight)[:, None]
        start, stop = np.searchsorted(self.sample, [first, first + len(X)])
        return R.T @ R, scaled[self.sample[start:stop] - first]

    def joined(self, parts: list[Any]) -> tuple[Array, Array]:
        return reduce(np.add, (S for S, _ in parts)), np.concatenate([rows for _, rows in parts])


@dataclass(frozen=True)
class _Scores:
    """a and b."""

    Q: Array
    S: Array

    def __call__(self, first: int, X: Array, factors: Array) -> tuple[Array, Array]:
        return _scores(residual_of(self.Q, X * factors[:, None]), self.S)

    def joined(self, parts: list[Any]) -> tuple[Array, Array]:
        a, b = zip(*parts, strict=True)
        return np.concatenate(a), np.concatenate(b)


Found = tuple[list[Leaders], _Rows]


@dataclass(frozen=True)
class _Survey:
    """a and b after the pending picks; who leads then, and after each foreseen one."""

    pending: list[Direction]
    path: Foreseen
    closed: np.ndarray
    floors: tuple[Floor, Floor]
    """Of the scores as they are, and of those carried along the path."""
    dtype: np.dtype

    def __call__(
        self, first: int, X: Array, factors: Array, sizes: Array, before: Array, a: Array, b: Array
    ) -> tuple[Array, Array, Found]:
        added = [*self.pending, *self.path.ahead]
        V = np.array([v for new in added for v in (new.e, new.Se)], self.dtype).reshape(-1, X.shape[1])
        # BLAS takes two vectors faster one by one than as a narrow matrix.
        products = (X @ V.T).T if len(V) > 4 else np.reshape([X @ v for v in V], (len(V), len(X)))
        products = products * factors
        steps = [
            (along, towards, new.explained)
            for along, towards, new in zip(products[::2], products[1::2], added, strict=True)
        ]
        for step in steps[: len(self.pending)]:
            a, b = carried(a, b, *step)
        after, closed = (a, b), self._within(self.closed, first, len(X))
        floor, leaders = self.floors[0], []
        for row, energy, step in zip(
            [*self.path.rows, None], self.path.energies, [*steps[len(self.pending) :], None], strict=True
        ):
            gains = floor.gains(a, b, sizes, before, energy)
            gains[closed] = -1.0
            leaders.append(Leaders.of(gains, b, floor.within, first))
            if row is not None and step is not None:
                a, b = carried(a, b, *step)
                closed = np.append(closed, self._within(np.array([row]), first, len(X)))
                floor = self.floors[1]
        rows = np.unique(np.concatenate([found.rows for found in leaders]))
        scaled = X[rows - first] * factors[rows - first, None]
        return *after, (leaders, _Rows(rows, scaled))

    @staticmethod
    def _within(rows: np.ndarray, first: int, size: int) -> np.ndarray:
        return rows[(rows >= first) & (rows < first + size)] - first

    def joined(self, parts: list[Any]) -> tuple[Array, Array, Found]:
        a, b, found = zip(*parts, strict=True)
        return np.concatenate(a), np.concatenate(b), self.merged(found)

    def merged(self, parts: Sequence[Found]) -> Found:
        """Leaders of all parts, and their rows."""
        withins = [self.floors[0].within, *(self.floors[1].within for _ in self.path.rows)]
        leaders = [
            Leaders.among(found, within)
            for within, *found in zip(withins, *(steps for steps, _ in parts), strict=True)
        ]
        rows = np.unique(np.concatenate([found.rows for found in leaders]))
        known = _Rows.union([rows for _, rows in parts])
        return leaders, _Rows(rows, known.of(rows))
