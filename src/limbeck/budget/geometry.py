"""What the geometry of a pool promises before any answer is bought."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array, issparse, vstack

from limbeck import _check
from limbeck._check import Array
from limbeck.budget.pool import coordinates, sparse_rows
from limbeck.budget.select import SpanSelection
from limbeck.budget.strategies import random_order
from limbeck.data.blocks import Points
from limbeck.students.design import AsSeen, with_ones
from limbeck.theory import EmpiricalTail, Span, disagreement, mean_interval
from limbeck.theory.factor import row_norms
from limbeck.theory.scaling import KINDS, Scaling

BUDGETS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500)


@dataclass(frozen=True)
class ScalingCurve:
    """What students of selected and of random points would be worth under one scaling of the features."""

    name: str
    """``none``, ``standard``, ``whiten`` or ``sharpen``; see `limbeck.theory.scaling.Scaling.of`."""
    effective_rank: float
    """exp of the entropy of the spectrum of the rows at unit length (Roy and Vetterli 2007)."""
    energy_selected: Array
    """Share of the energy of unit rows outside the span of the selected points, (k,)."""
    energy_random: Array
    """The same for random points, mean over draws, (k,)."""
    expected_selected: Array
    """Expected disagreement of the student of selected points, (k,), for a teacher of unknown direction: every
    direction *in these features* alike (theory.disagreement_probability), mean over the pool."""
    expected_random: Array
    """The same for random points, mean over draws, (k,)."""
    low: Array
    """Lower end of the 95 % interval for that mean over draws, (k,)."""
    high: Array
    """Upper end, (k,)."""
    risk_selected: Array
    """Share of the pool on which the student of selected points would disagree with ``direction``, (k,); NaN
    without one."""
    risk_random: Array
    """The same for random points, mean over draws, (k,)."""
    tail: EmpiricalTail | None
    """p(theta) of the pool about ``direction`` in these features, with its `band`; None without one."""


@dataclass(frozen=True)
class Geometry:
    """The pool as a linear student sees it."""

    n: int
    """Rows of the pool."""
    d: int
    """Features, an intercept being one."""
    used: int
    """Rows drawn at random that the figures are of; all of them if ``used == n``."""
    rank: int
    """Rank of those rows: with that many useful answers a linear teacher is known exactly on the pool."""
    effective_rank: float
    """As given; see `ScalingCurve.effective_rank`."""
    spectrum: Array
    """Shares of the energy of unit rows along each principal direction, falling, (rank,)."""
    zeros: int
    """Rows of zeros among those used."""
    repeated: int
    """Rows used that repeat an earlier one exactly."""
    constant: np.ndarray
    """Columns that hold one value only."""
    budgets: np.ndarray
    """Numbers of labels, (k,)."""
    scalings: tuple[ScalingCurve, ...]
    """One for each of ``none``, ``standard``, ``whiten``, ``sharpen``, in this order; of sparse points, which are taken
    as given, ``none`` only."""
    better: str
    """Scaling whose selected points would disagree least with ``direction``, averaged over the budgets, if by more
    than one part in ten below the features as given; else empty, as it is without a direction."""


def geometry(
    X: Any,
    *,
    intercept: bool = False,
    budgets: ArrayLike | None = None,
    direction: ArrayLike | None = None,
    sample: int = 2000,
    draws: int = 10,
    rng: np.random.Generator,
) -> Geometry:
    """Rank, spectrum, coverage and expected disagreement of a pool, under four scalings of its features.

    Parameters
    ----------
    X : array_like or SciPy sparse matrix, shape (n, d), or Points
        The pool.
    intercept : bool
        Whether students have an intercept: ones that join the features after these were scaled.
    budgets : array_like of int, optional
        Numbers of labels. Default: 1, 2, 3, 5, 10, ... up to the rank.
    direction : array_like, shape (d,), or (d + 1,) with an intercept last, optional
        Weights of a teacher, or of a student that stands for it, for p(theta) and the disagreement with it.
        From few labels a student is a poor stand-in: its own span flatters the angles.
    sample : int
        Most rows used, drawn at random: every figure is of this sample.
    draws : int
        Random transfer sets, at least 2.
    rng : numpy.random.Generator

    Returns
    -------
    Geometry

    Raises
    ------
    ValueError
        If X cannot be used (row and column named), all of it is zero, or a budget exceeds its rows.

    Notes
    -----
    ``expected_*`` of different scalings assume different teachers and are not comparable with each other as risks:
    each says how fast its own geometry fills. ``risk_*`` are of one teacher and are comparable.
    """
    if not isinstance(X, Points):
        X = sparse_rows(X) if issparse(X) else _check.points(X)
    rows = np.sort(rng.permutation(X.shape[0])[: _check.count(sample, "sample")])
    P = _sample(X, rows)
    empty = _empty(P)
    alive = ~empty | intercept
    if not alive.any():
        raise ValueError("Every row of the pool is zero: there is no direction to learn.")
    d = X.shape[1] + intercept
    w = None if direction is None else _direction(direction, d)
    kinds, seen, ones = KINDS, P[alive], intercept
    if issparse(P):
        kinds, ones = KINDS[:1], False
        seen, w = _reduced(seen, w, intercept)
    unit = _unit(AsSeen(None, ones)(seen))[0]
    values = np.square(np.linalg.svd(unit, compute_uv=False))
    rank = Span(unit).rank
    sizes = _budgets(budgets, rank, len(unit))
    orders = [random_order(unit, int(sizes.max()), rng=rng) for _ in range(_check.count(draws, "draws", 2))]
    curves = tuple(_curve(kind, seen, ones, w, sizes, orders) for kind in kinds)
    return Geometry(
        n=X.shape[0],
        d=d,
        used=len(rows),
        rank=rank,
        effective_rank=curves[0].effective_rank,
        spectrum=values[:rank] / values.sum(),
        zeros=int(empty.sum()),
        repeated=len(rows) - _different(P),
        constant=_constant(P),
        budgets=sizes,
        scalings=curves,
        better=_better(curves) if w is not None else "",
    )


def _sample(X: Any, rows: np.ndarray) -> Any:
    """These rows, float64, sparse where X is."""
    if not issparse(X):
        return np.asarray(X[rows], dtype=np.float64)
    P = X[rows].astype(np.float64)
    P.eliminate_zeros()
    return P


def _empty(P: Any) -> np.ndarray:
    """Which rows are zero, (n,)."""
    return np.diff(P.indptr) == 0 if issparse(P) else ~P.any(axis=1)


def _different(P: Any) -> int:
    """How many different rows there are."""
    if not issparse(P):
        return len(np.unique(P, axis=0))
    rows = [slice(*ends) for ends in pairwise(P.indptr)]
    return len({(P.indices[row].tobytes(), P.data[row].tobytes()) for row in rows})


def _constant(P: Any) -> np.ndarray:
    """Columns that hold one value only."""
    if issparse(P):
        return np.flatnonzero(P.max(axis=0).toarray() == P.min(axis=0).toarray())
    return np.flatnonzero(np.ptp(P, axis=0) == 0)


def _reduced(P: Any, w: Array | None, intercept: bool) -> tuple[Array, Array | None]:
    """Sparse rows, ones beside them for an intercept, and a direction, in coordinates that keep all their products."""
    P = with_ones(P) if intercept else P
    if w is None:
        return coordinates(P), None
    C = coordinates(vstack([P, csr_array(w[None])], format="csr"))
    return C[:-1], C[-1]


def effective_rank(eigenvalues: Array) -> float:
    """exp of the entropy of a spectrum's shares (Roy and Vetterli 2007): from 1 to the rank."""
    shares = eigenvalues[eigenvalues > 0] / eigenvalues.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))


def _curve(
    kind: str, P: Array, intercept: bool, w: Array | None, sizes: np.ndarray, orders: list[np.ndarray]
) -> ScalingCurve:
    scaling = Scaling.of(P, kind, centred=intercept)
    F, lengths = _unit(AsSeen(scaling, intercept)(P))  # no sign, angle or span depends on a row's length
    values = np.square(np.linalg.svd(F, compute_uv=False))
    v = None if w is None else _seen(w, scaling, intercept)
    z = None if w is None else AsSeen(None, intercept)(P) @ w / lengths
    chosen = SpanSelection().query(F, int(sizes.max()))
    energy, expected, risk = _readings(F, chosen, sizes, z)
    drawn = np.array([_readings(F, order, sizes, z) for order in orders])  # (draws, 3, k)
    intervals = [mean_interval(drawn[:, 1, j]) for j in range(len(sizes))]
    return ScalingCurve(
        name=kind,
        effective_rank=effective_rank(values),
        energy_selected=energy,
        energy_random=drawn[:, 0].mean(axis=0),
        expected_selected=expected,
        expected_random=drawn[:, 1].mean(axis=0),
        low=np.array([max(0.0, i.low) for i in intervals]),
        high=np.array([i.high for i in intervals]),
        risk_selected=risk,
        risk_random=drawn[:, 2].mean(axis=0),
        tail=None if v is None else EmpiricalTail.of(F, v),
    )


def _unit(F: Array) -> tuple[Array, Array]:
    """Rows at unit length, and what they were divided by: 1 for rows of zeros."""
    lengths = row_norms(F)
    lengths = np.where(lengths > 0, lengths, 1.0)
    return F / lengths[:, None], lengths


def _seen(w: Array, scaling: Scaling, intercept: bool) -> Array:
    """A teacher's weights on scaled features; what centring leaves over goes to the intercept, where there is one."""
    M = np.diag(scaling.matrix) if scaling.matrix.ndim == 1 else scaling.matrix
    d = len(scaling.centre)
    v = np.linalg.pinv(M) @ w[:d]
    return np.append(v, w[d] + scaling.centre @ w[:d]) if intercept else v


def _readings(F: Array, order: np.ndarray, sizes: np.ndarray, z: Array | None) -> tuple[Array, Array, Array]:
    """Energy outside, expected disagreement and disagreement with logits z, of unit rows F, by prefixes."""
    span = Span(F[order])
    C = span.coordinates(F)
    ranks = span.ranks[sizes - 1] - 1
    inside = np.minimum(np.cumsum(np.square(C), axis=1)[:, ranks], 1.0)
    outside = 1.0 - inside
    expected = np.arctan2(np.sqrt(outside), np.sqrt(inside)).mean(axis=0) / np.pi
    if z is None:
        return outside.mean(axis=0), expected, np.full(len(sizes), np.nan)
    student = np.cumsum(C * span.teacher_coordinates(z[order]), axis=1)[:, ranks]
    return outside.mean(axis=0), expected, disagreement(student.T, z)


def _budgets(budgets: ArrayLike | None, rank: int, rows: int) -> np.ndarray:
    if budgets is None:
        return np.array([k for k in BUDGETS if k < rank] + [rank])
    sizes = np.atleast_1d(np.asarray(budgets))
    if sizes.dtype.kind not in "iu" or sizes.min() < 1 or sizes.max() > rows:
        raise ValueError(
            f"budgets must be whole numbers from 1 to the {rows} rows used that are not zero, got {sizes}."
        )
    return sizes


def _direction(direction: ArrayLike, d: int) -> Array:
    return np.asarray(_check.nonzero(_check.vector(direction, "direction", d), "direction"), dtype=np.float64)


def _better(curves: tuple[ScalingCurve, ...]) -> str:
    risks = [float(curve.risk_selected.mean()) for curve in curves]
    best = int(np.argmin(risks))
    return curves[best].name if risks[best] < 0.9 * risks[0] else ""
