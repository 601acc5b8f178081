"""Which point to ask next, once some answers are in: where labels would turn undecided signs.

Let w_star = w_hat + (I-P) g with g normal, of variance s^2 in every direction. At x the teacher's logit is then
normal about w_hat.x with deviation s |(I-P)x|. Labels at further points A will move the student's logit, and

    P(the new student differs from the teacher at x) = 2 T(t, |r_A| / sqrt(|r|^2 - |r_A|^2)),

t = |w_hat.x| / (s |r|), r and r_A the residuals of x before and after A, T Owen's function; with no answers yet t = 0
and this is angle(x, span) / pi. The next point is the one that lowers the sum over *other* rows most: that a row's own
answer settles that row says nothing about points to come.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import owens_t

from limbeck import _check
from limbeck._check import Array
from limbeck.budget._leading import TIED
from limbeck.budget.pool import pool_of
from limbeck.budget.select import Ranking, SpanSelection, rated, rows_given
from limbeck.engine import Engine
from limbeck.theory import Span
from limbeck.theory.factor import row_norms

NEGLIGIBLE = 1e-7  # a residual this short is rounding
CELLS = 128  # of the table of Owen's function in phi: linear between them, off by less than 1e-4
ONE_BY_ONE = 20  # answers after which `buy` asks in batches of a quarter of what it has


class AnswerSelection:
    """Choose the next points from the answers bought so far: least expected disagreement, in closed form.

    Assumes that what the answers leave open of a linear teacher is alike in all directions, of the size that
    the answers show: s^2 = |w_hat|^2 / rank. Batches are greedy and exact: no answer needs to be imagined.

    Parameters
    ----------
    reference : int
        Rows on which disagreement is counted, drawn with a fixed seed.
    candidates : int
        Rows that may be picked: as many as there are features, at most half, by `SpanSelection`; the others drawn
        with a fixed seed.
        With all rows in both the cost is a pool x pool matrix of numbers a pick.
    """

    def __init__(self, *, reference: int = 200, candidates: int = 2000) -> None:
        self.reference: int = _check.count(reference, "reference")
        self.candidates: int = _check.count(candidates, "candidates", 2)

    def rank(
        self, X: Any, n: int, given: ArrayLike, logits: ArrayLike, *, at: Engine | None = None
    ) -> Ranking:
        """`query`'s rows, with what each of them explains of the pool's energy and leaves, in that order."""
        return rated(X, self.query(X, n, given, logits, at=at), given, at=at)

    def query(
        self, X: Any, n: int, given: ArrayLike, logits: ArrayLike, *, at: Engine | None = None
    ) -> np.ndarray:
        """Rows to label next, best first, (n,) of int.

        Parameters
        ----------
        X : array_like or SciPy sparse matrix, shape (n_pool, d), or re-iterable of blocks
            The pool. A sparse one is never made dense: rows that may be picked or counted on are reduced to
            coordinates in their own span.
        n : int
            How many.
        given : array_like of int, shape (k,)
            Rows that are labelled, at least one.
        logits : array_like, shape (k,)
            The teacher's answers there.
        at : Engine, optional
            As `SpanSelection.rank` has it.

        Returns
        -------
        ndarray
            Rows that add a direction first; once none is left, as `SpanSelection.rank` fills.

        Raises
        ------
        ValueError
            As `SpanSelection.rank` does, or if there are no answers: use `SpanSelection` for the first.
        """
        pool = pool_of(X, at=at)
        given = rows_given(given, pool.n)
        if len(given) == 0:
            raise ValueError(
                "given is empty: choose the first points by SpanSelection, which needs no answers."
            )
        z = np.asarray(_check.vector(logits, "logits", len(given)), dtype=np.float64)
        open_rows = np.setdiff1d(np.arange(pool.n), np.union1d(given, pool.zeros))
        n = _check.count(n, "n")
        rng = np.random.default_rng(0)
        rows = open_rows
        if len(open_rows) > self.candidates:
            half = self.candidates // 2
            ranked = SpanSelection().query(X, max(n, min(half, pool.d)), given, at=at)[:half]
            rows = np.union1d(ranked, rng.permutation(open_rows)[: self.candidates - len(ranked)])
            rows = np.setdiff1d(rows, pool.zeros)
        reference = np.sort(rng.permutation(np.setdiff1d(np.arange(pool.n), pool.zeros))[: self.reference])
        # Rows at unit length have answers over their length.
        own = rows[:, None] == reference
        seen = pool.coordinates(np.concatenate([given, rows, reference]))
        known, candidates, those = np.split(seen, np.cumsum([len(given), len(rows)]))
        picks = _least(known, z * pool.factors[given], candidates, those, own, n)
        chosen = rows[picks]
        if len(chosen) == n:
            return chosen
        known = np.concatenate([given, chosen])
        return np.concatenate([chosen, SpanSelection().query(X, n - len(chosen), known, at=at)])


def _least(X: Array, z: Array, C: Array, T: Array, own: np.ndarray, n: int) -> list[int]:
    """Greedy candidates C (c, d) for rows T (m, d), given points X and logits z, until none adds a direction.

    ``own`` (c, m) says where a row of T is the candidate itself.
    """
    span = Span(X)
    w = span.weights(z)
    R, S = span.residual(C), span.residual(T)
    before = row_norms(S)
    size = float(np.linalg.norm(w)) / np.sqrt(max(span.rank, 1))
    live = before > NEGLIGIBLE
    S, before, own = S[live], before[live], own[:, live]
    t = np.abs(T[live] @ w) / np.maximum(size * before, 1e-300)
    tables = 2 * owens_t(t[:, None], np.tan(np.linspace(0.0, np.pi / 2, CELLS + 1)))
    picks: list[int] = []
    while len(picks) < n and len(S):
        lengths = row_norms(R)
        able = lengths > NEGLIGIBLE
        able[picks] = False
        if not able.any():
            break
        U = R[able] / lengths[able, None]
        left = np.square(row_norms(S))
        after = _disagreement(tables, before, left - np.square(U @ S.T))
        lowered = _disagreement(tables, before, left[None]) - after
        gains = np.where(own[able], 0.0, lowered).sum(axis=1)
        picks.append(int(np.flatnonzero(able)[np.argmax(gains >= gains.max() * (1 - TIED))]))
        e = R[picks[-1]] / lengths[picks[-1]]
        R, S = R - np.outer(R @ e, e), S - np.outer(S @ e, e)
    return picks


def _disagreement(tables: Array, before: Array, left: Array) -> Array:
    """2 T(t, tan(phi)), sin(phi) = |r_A| / |r|, from |r| (m,) and |r_A|^2 (c, m), read off tables (m, cells + 1)."""
    phi = np.arcsin(np.sqrt(np.clip(left, 0.0, np.square(before))) / before) / (np.pi / 2 / CELLS)
    cell = np.minimum(phi.astype(int), CELLS - 1)
    below, row = phi - cell, np.arange(len(before))
    return (1 - below) * tables[row, cell] + below * tables[row, cell + 1]


def buy(X: ArrayLike, z: ArrayLike, n: int) -> np.ndarray:
    """Order in which `AnswerSelection` would buy n answers of z (n_pool,): a rehearsal on a pool that is all known.

    The first by `SpanSelection`, then one by one up to 20, then a quarter more at a time.
    """
    z = np.asarray(z, dtype=np.float64)
    order = SpanSelection().query(X, 1)
    while len(order) < n:
        batch = 1 if len(order) < ONE_BY_ONE else max(1, len(order) // 4)
        more = AnswerSelection().query(X, min(batch, n - len(order)), order, z[order])
        order = np.concatenate([order, more])
    return order
