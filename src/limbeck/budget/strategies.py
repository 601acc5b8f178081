"""What else one would do: random, core-set, k-means++, largest residual, and an oracle; all compared in one call.

Strategies take a pool as an array or a SciPy sparse matrix, (n, d), which is never made dense.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import qr
from scipy.sparse import issparse
from sklearn.cluster import kmeans_plusplus

from limbeck import _check
from limbeck._check import Array
from limbeck.budget._sparse_residuals import longest_first
from limbeck.budget.answers import buy
from limbeck.budget.pool import SparsePool, sparse_rows
from limbeck.budget.select import EPS, SpanSelection
from limbeck.theory import Span, disagreement, mean_interval
from limbeck.theory.factor import row_norms
from limbeck.theory.risk import wilson

Student = Callable[[Array, Array], Array]
"""From points (k, d) and teacher logits (k,) to weights (d,)."""

Rows = Callable[[int], np.ndarray]
"""From a number of labels to the rows to label."""


def _wanted(n: int, rows: int) -> int:
    """How many picks, at most the rows of the pool."""
    n = _check.count(n, "n")
    if n > rows:
        raise ValueError(f"n = {n} picks from {rows} rows: ask for at most that many.")
    return n


def random_order(X: Any, n: int, *, rng: np.random.Generator) -> np.ndarray:
    """n rows drawn without replacement."""
    rows = X.shape[0] if issparse(X) else len(np.asarray(X))
    return rng.permutation(rows)[: _wanted(n, rows)]


def farthest_first(X: Any, n: int) -> np.ndarray:
    """Core-set: the row nearest the mean, then always the row farthest from those taken (Gonzalez 1985).

    Within a factor 2 of the smallest radius with which n balls cover the pool.
    """
    X = _rows(X)
    n = _wanted(n, X.shape[0])
    taken = [int(np.argmin(_distances(X, X.mean(axis=0))))]
    far = _distances(X, _row(X, taken[0]))
    far[taken[0]] = -1.0
    while len(taken) < n:
        taken.append(int(np.argmax(far)))
        far = np.minimum(far, _distances(X, _row(X, taken[-1])))
        far[taken] = -1.0
    return np.array(taken)


def k_means_plus_plus(X: Any, n: int, *, rng: np.random.Generator) -> np.ndarray:
    """Rows drawn with probability proportional to the squared distance from those taken (scikit-learn's)."""
    X = _rows(X)
    n = _wanted(n, X.shape[0])
    _, rows = kmeans_plusplus(X, n, random_state=int(rng.integers(2**31)))
    rows = np.array(list(dict.fromkeys(int(row) for row in rows)))  # repeated once nothing is left to cover
    rest = np.setdiff1d(np.arange(X.shape[0]), rows)
    return np.concatenate([rows, rng.permutation(rest)])[:n]


def largest_residual(X: Any, n: int) -> np.ndarray:
    """Always the row with the longest residual: QR with column pivoting of the transpose.

    Sparse rows that add no direction follow in their order.
    """
    X = _rows(X)
    n = _wanted(n, X.shape[0])
    if issparse(X):
        return longest_first(X, n)
    _, order = qr(X.T, mode="r", pivoting=True, check_finite=False)
    return order[:n].astype(int)


def matching_pursuit(X: Any, n: int, w_star: ArrayLike) -> np.ndarray:
    """The oracle: orthogonal matching pursuit of the teacher itself by rows at unit length.

    It brings w_hat near w_star fast; that is not yet the least risk, and with few labels other orders may have less.
    Once the teacher is met, rows in their order.
    """
    X = _rows(X)
    n = _wanted(n, X.shape[0])
    w = np.asarray(_check.vector(w_star, "w_star", X.shape[1]), dtype=np.float64)
    unit = SparsePool(X).X if issparse(X) else X / _nonzero(row_norms(X))[:, None]
    rest, taken = w, []
    basis = np.empty((0, X.shape[1]))
    while len(taken) < n:
        match = np.abs(unit @ rest)
        match[taken] = -1.0
        taken.append(int(np.argmax(match)))
        e = _row(unit, taken[-1])
        for _ in range(2):
            e = e - (e @ basis.T) @ basis
        if np.linalg.norm(e) > 1e-10:
            basis = np.vstack([basis, e / np.linalg.norm(e)])
            rest = w - (w @ basis.T) @ basis
    return np.array(taken)


def _rows(X: Any) -> Any:
    """A pool as float64: dense rows, or sparse ones, which stay so."""
    return (
        sparse_rows(X).astype(np.float64) if issparse(X) else np.asarray(_check.points(X), dtype=np.float64)
    )


def _nonzero(lengths: Array) -> Array:
    return np.where(lengths > 0, lengths, 1.0)


def _row(X: Any, at: int) -> Array:
    """One row, dense, (d,)."""
    return X[[at]].toarray()[0] if issparse(X) else X[at]


def _distances(X: Any, point: Array) -> Array:
    """Of every row from a point (d,), (n,); of sparse rows 0 where rounding hides it."""
    if not issparse(X):
        return row_norms(X - point)
    sizes = X.multiply(X).sum(axis=1) + point @ point
    squares = sizes - 2 * (X @ point)
    return np.sqrt(np.where(squares > 8 * EPS * sizes, squares, 0.0))


@dataclass(frozen=True)
class Comparison:
    """Transfer risk after some numbers of labels, for several ways to choose the points."""

    strategies: tuple[str, ...]
    """Names, s of them."""
    budgets: np.ndarray
    """Numbers of labels, (k,)."""
    risk: Array
    """Transfer risk, (s, k)."""
    low: Array
    """Lower end of its interval, (s, k)."""
    high: Array
    """Upper end, (s, k)."""
    covers: str
    """What the interval covers."""
    held_out: int
    """Held-out points that each risk was counted on."""

    def of(self, strategy: str) -> Array:
        """Risk of one strategy, (k,)."""
        return self.risk[self.strategies.index(strategy)]


def minimum_norm(X: Array, z: Array) -> Array:
    """The paper's student: minimum-norm least squares on the logits."""
    return Span(X).weights(z)


def compare(
    X: ArrayLike,
    z: ArrayLike,
    T: ArrayLike,
    teacher_logits: ArrayLike,
    budgets: Sequence[int],
    *,
    rng: np.random.Generator,
    w_star: ArrayLike | None = None,
    extra: Mapping[str, Rows] | None = None,
    student: Student = minimum_norm,
    confidence: float = 0.95,
) -> Comparison:
    """Held-out risk of students of the points that each strategy chooses.

    Parameters
    ----------
    X : array_like, shape (n, d)
        The pool.
    z : array_like, shape (n,)
        Teacher logits of all its rows: this is a rehearsal, not a purchase.
    T, teacher_logits : array_like, shape (m, d) and (m,)
        Held-out points, drawn at random, and the teacher's logits there.
    budgets : sequence of int
        Numbers of labels, none above n.
    rng : numpy.random.Generator
        Of the strategies that draw.
    w_star : array_like, shape (d,), optional
        The teacher, for the oracle.
    extra : mapping of name to callable, optional
        Further strategies: from a number of labels k to the k rows, which need not contain those for fewer.
    student : callable
        From points and logits to weights. Default: the minimum-norm student.
    confidence : float
        Of Wilson's interval for each student's risk.

    Returns
    -------
    Comparison
        Of ``span``, ``answers`` (`AnswerSelection`, asked after every answer up to 20 of them), ``random``,
        ``core-set``, ``k-means++``, ``largest residual``, ``oracle`` (given ``w_star``) and ``extra``.
    """
    X = np.asarray(_check.points(X), dtype=np.float64)
    z = np.asarray(_check.vector(z, "z", len(X)), dtype=np.float64)
    T = np.asarray(_check.points(T, "T"), dtype=np.float64)
    sizes = np.array([_check.count(k, "budgets") for k in budgets])
    if sizes.max() > len(X):
        raise ValueError(f"budgets asks for {sizes.max()} labels of a pool with {len(X)} rows.")
    orders = _orders(X, z, int(sizes.max()), w_star, rng)
    chosen = {name: (lambda k, order=order: order[:k]) for name, order in orders.items()} | dict(extra or {})
    risk = np.empty((len(chosen), len(sizes)))
    for i, rows_for in enumerate(chosen.values()):
        for j, k in enumerate(sizes):
            rows = rows_for(int(k))
            risk[i, j] = disagreement(T @ student(X[rows], z[rows]), teacher_logits)
    low, high = wilson(risk * len(T), len(T), confidence)
    covers = f"{confidence:.0%} interval for each student's risk"
    return Comparison(tuple(chosen), sizes, risk, low, high, covers, len(T))


def _orders(
    X: Array, z: Array, n: int, w_star: ArrayLike | None, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    orders = {
        "span": SpanSelection().query(X, n),
        "answers": buy(X, z, n),
        "random": random_order(X, n, rng=rng),
        "core-set": farthest_first(X, n),
        "k-means++": k_means_plus_plus(X, n, rng=rng),
        "largest residual": largest_residual(X, n),
    }
    return orders if w_star is None else orders | {"oracle": matching_pursuit(X, n, w_star)}


def mean_comparison(comparisons: Sequence[Comparison], *, confidence: float = 0.95) -> Comparison:
    """Mean risk over at least two independent pools or seeds, with intervals for the expected risk.

    Student's t over the repeats, and never narrower than Wilson's interval for all their held-out points together:
    risks that are all alike, all 0 above all, show no spread to estimate an error from.
    """
    first = comparisons[0]
    if any(c.strategies != first.strategies or list(c.budgets) != list(first.budgets) for c in comparisons):
        raise ValueError("The comparisons are of different strategies or budgets.")
    risks = np.array([c.risk for c in comparisons])  # (seeds, s, k)
    points = sum(c.held_out for c in comparisons)
    mean = risks.mean(axis=0)
    low, high = wilson(mean * points, points, confidence)
    spread = [
        [mean_interval(risks[:, i, j], confidence=confidence) for j in range(risks.shape[2])]
        for i in range(risks.shape[1])
    ]
    low = np.minimum(low, [[max(0.0, interval.low) for interval in row] for row in spread])
    high = np.maximum(high, [[min(1.0, interval.high) for interval in row] for row in spread])
    covers = f"{confidence:.0%} interval for the expected risk, {len(comparisons)} repeats"
    return Comparison(first.strategies, first.budgets, mean, low, high, covers, points)
