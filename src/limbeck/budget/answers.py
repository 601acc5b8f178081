"""Which point to ask next, once some answers are in: where labels would turn undecided signs.

Let w_star = w_hat + (I-P) g with g normal, of variance s^2 in every direction. At x the teacher's logit is then
normal about w_hat.x with deviation s |(I-P)x|. Labels at further points A will move the student's logit, and

    P(the new student differs from the teacher at x) = 2 T(t, |r_A| / sqrt(|r|^2 - |r_A|^2)),

t = |w_hat.x| / (s |r|), r and r_A the residuals of x before and after A, T Owen's function. With no answers yet t = 0
and this is angle(x, span) / pi, section 6's prior-based rule. The next point is the one with the least sum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import owens_t

from limbeck.budget.pool import Pool
from limbeck.budget.select import SpanSelection, _given
from limbeck.theory import Span, _check
from limbeck.theory._check import Array
from limbeck.theory._factor import row_norms

NEGLIGIBLE = 1e-7  # a residual this short is rounding
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
        Rows that may be picked: the first half by `SpanSelection`, the others drawn with a fixed seed.
        With all rows in both the cost is a pool x pool matrix of numbers a pick.
    """

    def __init__(self, *, reference: int = 500, candidates: int = 2000) -> None:
        self.reference = _check.count(reference, "reference")
        self.candidates = _check.count(candidates, "candidates", 2)

    def query(self, X: Any, n: int, given: ArrayLike, logits: ArrayLike) -> np.ndarray:
        """Rows to label next, best first, (n,) of int.

        Parameters
        ----------
        X : array_like, shape (n_pool, d), or re-iterable of blocks
            The pool.
        n : int
            How many.
        given : array_like of int, shape (k,)
            Rows that are labelled, at least one.
        logits : array_like, shape (k,)
            The teacher's answers there.

        Returns
        -------
        ndarray
            Rows that add a direction first; once none is left, as `SpanSelection.rank` fills.

        Raises
        ------
        ValueError
            As `SpanSelection.rank` does, or if there are no answers: use `SpanSelection` for the first.
        """
        pool = Pool(X)
        given = _given(given, pool.n)
        if len(given) == 0:
            raise ValueError(
                "given is empty: choose the first points by SpanSelection, which needs no answers."
            )
        z = np.asarray(_check.vector(logits, "logits", len(given)), dtype=np.float64)
        open_rows = np.setdiff1d(np.arange(pool.n), np.union1d(given, pool.zeros))
        n = _check.count(n, "n")
        rng = np.random.default_rng(0)
        ranked = SpanSelection().query(X, n, given)
        rows = open_rows[: self.candidates]
        if len(open_rows) > self.candidates:
            rows = rng.permutation(open_rows)[: self.candidates]
        rows = np.union1d(rows, np.setdiff1d(ranked, pool.zeros)[: self.candidates])
        reference = np.sort(rng.permutation(np.setdiff1d(np.arange(pool.n), pool.zeros))[: self.reference])
        # Rows at unit length have answers over their length.
        picks = _least(pool.rows(given), z * pool.factors[given], pool.rows(rows), pool.rows(reference), n)
        chosen = rows[picks]
        return np.concatenate([chosen, ranked[~np.isin(ranked, chosen)]])[:n]


def _least(X: Array, z: Array, C: Array, T: Array, n: int) -> list[int]:
    """Greedy candidates C (c, d) for rows T, given points X and logits z, until none adds a direction."""
    span = Span(X)
    w = span.weights(z)
    R, S = span.residual(C), span.residual(T)
    before = row_norms(S)
    size = float(np.linalg.norm(w)) / np.sqrt(max(span.rank, 1))
    live = before > NEGLIGIBLE
    R, S, before = R, S[live], before[live]
    t = np.abs(T[live] @ w) / np.maximum(size * before, 1e-300)
    picks: list[int] = []
    while len(picks) < n and len(S):
        lengths = row_norms(R)
        able = lengths > NEGLIGIBLE
        able[picks] = False
        if not able.any():
            break
        U = R[able] / lengths[able, None]
        after = np.maximum(np.square(row_norms(S)) - np.square(U @ S.T), 0.0)  # |r_A|^2, (able, reference)
        gained = np.maximum(np.square(before) - after, 1e-300)
        disagree = owens_t(t, np.sqrt(after / gained)).sum(axis=1)
        picks.append(int(np.flatnonzero(able)[np.flatnonzero(disagree <= disagree.min() * (1 + 1e-9))[0]]))
        e = R[picks[-1]] / lengths[picks[-1]]
        R, S = R - np.outer(R @ e, e), S - np.outer(S @ e, e)
    return picks


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
