"""What can be said before any answer: the rank of the features, and what few points leave unexplored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from scipy.sparse import issparse

from limbeck.budget.geometry import effective_rank
from limbeck.budget.pool import Pool, triangle
from limbeck.data.blocks import Points
from limbeck.engine import Engine
from limbeck.labels import Array
from limbeck.students.design import AsSeen, with_ones
from limbeck.theory import Span
from limbeck.theory.factor import row_norms

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
    """Rank of the points: so many answers, well chosen, are exact if the teacher is linear on the features.

    Of sparse points it is read off their Gram matrix: a direction below 3e-7 of the longest is not seen.
    """
    effective_rank: float
    """Of the second moment of the unit rows; see `limbeck.budget.geometry.effective_rank`."""
    sizes: np.ndarray
    """Numbers k of well-chosen points, (s,)."""
    residual: Array
    """Mean share of a unit row's square outside the span of the first k of them, (s,)."""
    residual_random: Array
    """The same for k points in random order, (s,)."""


def coverage(
    X: Any, *, intercept: bool, chosen: np.ndarray, rng: np.random.Generator, at: Engine | None = None
) -> Coverage:
    """Measure a pool.

    Parameters
    ----------
    X : array, sparse matrix or Points, shape (n, d)
    intercept : bool
        Whether the student has one.
    chosen : ndarray of int
        Rows in the order they would be asked.
    rng : numpy.random.Generator
        For the random order.
    at : Engine, optional
        Where Points are read and worked on.

    Raises
    ------
    ValueError
        If sparse points are too large to factorise.
    """
    X1 = as_seen(X, intercept)
    if issparse(X1) and min(X1.shape) > MOST_FACTORISED:
        raise ValueError(
            f"The rank of sparse points of shape {X1.shape} needs a dense factor of {min(X1.shape)} rows: reduce the "
            f"features (TruncatedSVD, fewer --vocabulary words) to at most {MOST_FACTORISED}."
        )
    chosen = chosen[:MOST_CHOSEN]
    drawn = rng.permutation(X1.shape[0])[: len(chosen)]
    seen = _of_points(X1, at) if isinstance(X1, Points) else _of_matrix(X1)
    sizes = np.unique(np.geomspace(1, min(len(chosen), seen.rank), 12).round().astype(int))
    return Coverage(
        points=X1.shape[0],
        features=X1.shape[1],
        rank=seen.rank,
        effective_rank=effective_rank(seen.spectrum),
        sizes=sizes,
        residual=_residual(seen, X1[chosen], sizes),
        residual_random=_residual(seen, X1[drawn], sizes),
    )


def as_seen(X: Any, intercept: bool) -> Any:
    """Points with a column of ones where the student has an intercept."""
    if isinstance(X, Points):
        return X.mapped(AsSeen(None, intercept))
    X = X if issparse(X) else np.asarray(X, dtype=np.float64)
    return with_ones(X) if intercept else X


@dataclass(frozen=True)
class _Seen:
    """What all rows, taken at unit length, add up to."""

    rank: int
    spectrum: Array
    """Eigenvalues of their second moment (or Gram matrix, where smaller)."""
    inside: Callable[[Array], Array]
    """Sum over rows of the squared part along each row of a basis (k, d)."""
    total: float
    """Sum of their squares: how many are not zero."""
    n: int


def _of_matrix(X: Any) -> _Seen:
    norms = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel()) if issparse(X) else row_norms(X)
    factors = (1.0 / np.where(norms > 0, norms, 1.0))[:, None]
    unit = X.multiply(factors).tocsr() if issparse(X) else X * factors
    gram = unit @ unit.T if X.shape[0] <= X.shape[1] else unit.T @ unit
    spectrum = np.maximum(np.linalg.eigvalsh(gram.toarray() if issparse(gram) else gram), 0.0)
    return _Seen(
        rank=int(np.sum(spectrum > 1e-13 * spectrum[-1])) if issparse(X) else Span(X).rank,
        spectrum=spectrum,
        inside=lambda basis: np.asarray(np.square(unit @ basis.T)).sum(axis=0),
        total=float(np.sum(norms > 0)),
        n=X.shape[0],
    )


def _of_points(X: Points, at: Engine | None) -> _Seen:
    pool = Pool(X, at=at)
    gram, factored = np.zeros((pool.d, pool.d)), np.empty((0, pool.d))
    for _, (moment, factor) in pool.each(_Moment(), pool.factors):
        gram += moment
        factored = triangle([factored, factor])
    return _Seen(
        rank=Span(factored).rank,  # its rows span what the pool's do
        spectrum=np.maximum(np.linalg.eigvalsh(gram), 0.0),
        inside=lambda basis: np.einsum("kd,kd->k", basis @ gram, basis),
        total=float(np.sum(pool.norms > 0)),
        n=pool.n,
    )


@dataclass(frozen=True)
class _Moment:
    """Second moment of the unit rows, and their triangular factor, which knows the rank."""

    def __call__(self, first: int, X: Array, factors: Array) -> tuple[Array, Array]:
        del first
        unit = X * factors[:, None]
        return unit.T @ unit, triangle([unit])

    def joined(self, parts: list[Any]) -> tuple[Array, Array]:
        return reduce(np.add, (moment for moment, _ in parts)), triangle([factor for _, factor in parts])


def _residual(seen: _Seen, rows: Any, sizes: np.ndarray) -> Array:
    """Mean squared length outside the span of the first k rows, for each k, from one factorisation."""
    span = Span(rows.toarray() if issparse(rows) else rows)
    inside = seen.inside(span.basis) if span.rank else np.zeros(0)
    running = np.concatenate([[0.0], np.cumsum(inside)])
    at = np.concatenate([[0], span.ranks])[np.minimum(sizes, span.n)]
    return np.maximum(seen.total - running[at], 0.0) / seen.n
