"""What can be said before any answer: the rank of the features, and what few points leave unexplored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse

from limbeck.budget.geometry import effective_rank
from limbeck.labels import Array
from limbeck.students._design import with_ones
from limbeck.theory import Span
from limbeck.theory._factor import row_norms

MOST_FACTORISED = 6000
MOST_CHOSEN = 500


@dataclass(frozen=True)
class Coverage:
    """Geometry of a pool, as its student sees it: an intercept counts as a feature."""

    points: int
    """Points in the pool."""
    features: int
    """Features, intercept included."""
    rank: int
    """Rank of the points: so many answers, well chosen, are exact if the teacher is linear on the features."""
    effective_rank: float
    """Of the second moment of the unit rows; see `limbeck.budget.geometry.effective_rank`."""
    sizes: np.ndarray
    """Numbers k of well-chosen points, (s,)."""
    residual: Array
    """Mean share of a unit row's square outside the span of the first k of them, (s,)."""
    residual_random: Array
    """The same for k points in random order, (s,)."""


def coverage(X: Any, *, intercept: bool, chosen: np.ndarray, rng: np.random.Generator) -> Coverage:
    """Measure a pool.

    Parameters
    ----------
    X : array or sparse matrix, shape (n, d)
    intercept : bool
        Whether the student has one.
    chosen : ndarray of int
        Rows in the order they would be asked.
    rng : numpy.random.Generator
        For the random order.

    Raises
    ------
    ValueError
        If sparse points are too large to factorise.
    """
    X1 = with_ones(X) if intercept else X
    if issparse(X1) and min(X1.shape) > MOST_FACTORISED:
        raise ValueError(
            f"The rank of sparse points of shape {X1.shape} needs a dense factor of {min(X1.shape)} rows: reduce the "
            f"features (TruncatedSVD, fewer --vocabulary words) to at most {MOST_FACTORISED}."
        )
    unit, spectrum = _unit(X1)
    rank = int(np.sum(spectrum > 1e-13 * spectrum[-1])) if issparse(X1) else Span(X1).rank
    chosen = chosen[:MOST_CHOSEN]
    sizes = np.unique(np.geomspace(1, min(len(chosen), rank), 12).round().astype(int))
    return Coverage(
        points=X1.shape[0],
        features=X1.shape[1],
        rank=rank,
        effective_rank=effective_rank(spectrum),
        sizes=sizes,
        residual=_residual(unit, chosen, sizes),
        residual_random=_residual(unit, rng.permutation(X1.shape[0])[: len(chosen)], sizes),
    )


def _unit(X: Any) -> tuple[Any, Array]:
    """Rows of length one (zero rows stay), and the eigenvalues of their smaller Gram matrix."""
    if issparse(X):
        norms = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel())
        unit = X.multiply(1.0 / np.where(norms > 0, norms, 1.0)[:, None]).tocsr()
        gram = unit @ unit.T if X.shape[0] <= X.shape[1] else unit.T @ unit
        return unit, np.maximum(np.linalg.eigvalsh(gram.toarray()), 0.0)
    X = np.asarray(X, dtype=np.float64)
    norms = row_norms(X)
    unit = X / np.where(norms > 0, norms, 1.0)[:, None]
    gram = unit @ unit.T if X.shape[0] <= X.shape[1] else unit.T @ unit
    return unit, np.maximum(np.linalg.eigvalsh(gram), 0.0)


def _residual(unit: Any, order: np.ndarray, sizes: np.ndarray) -> Array:
    """Mean squared length outside the span of the first k rows of the order, for each k, from one factorisation."""
    rows = unit[order]
    span = Span(rows.toarray() if issparse(rows) else rows)
    inside = np.asarray(np.square(unit @ span.basis.T)).sum(axis=0) if span.rank else np.zeros(0)
    total = float(unit.multiply(unit).sum() if issparse(unit) else np.square(unit).sum())
    running = np.concatenate([[0.0], np.cumsum(inside)])
    at = np.concatenate([[0], span.ranks])[np.minimum(sizes, span.n)]
    return np.maximum(total - running[at], 0.0) / unit.shape[0]
