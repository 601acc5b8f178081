"""A whole learning curve of given data from one factorisation and one matrix product.

The student after the first m points is Q[:k]^T c[:k], so its logits on test points T, for every m at once,
are running sums of (T Q^T) * c; the residual |(I-P_m) x| of every certificate is a running sum of squares of
the same product. Test points are taken a block at a time: memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import lapack

from limbeck import _check
from limbeck._check import Array
from limbeck.theory.certificate import EXACT, LINEAR
from limbeck.theory.readings import INCONSISTENT, Readings
from limbeck.theory.risk import wilson
from limbeck.theory.span import Span

CELLS = 4_000_000
MULTIPLES = np.array([1.0, 1.5, 2.0])


@dataclass(frozen=True, eq=False)
class DataCurve:
    """What the student of the first 1, 2, ..., n points is worth."""

    n: np.ndarray
    """Number of labels, 1, 2, ..., (n,)."""
    rank: np.ndarray
    """Rank of those points, (n,)."""
    disagreement: Array
    """Share of the held-out points on which student and teacher decide differently, (n,)."""
    low: Array
    """Lower end of Wilson's interval for each student's transfer risk, (n,)."""
    high: Array
    """Upper end, (n,)."""
    confidence: float
    """Probability with which one such interval covers the risk of one fixed student: nominal, as Wilson's intervals
    cover so often on average over risks only (`held_out_risk`)."""
    norms: Array
    """|w_hat| of each student, (n,): the teacher's norm is at least that, and it never falls."""
    angles: Array
    """Angle to the teacher, radians, (n,); NaN where the teacher's norm is not known."""
    certified: Array
    """Share of the held-out points whose answer is proved, (n,); NaN without a bound on the teacher's norm."""
    held_out: int
    """Number of held-out points."""


def data_curve(
    X: ArrayLike | Readings,
    z: ArrayLike,
    T: ArrayLike,
    teacher_logits: ArrayLike,
    *,
    teacher_norm: float | None = None,
    norm_bound: float | None = None,
    confidence: float = 0.95,
    block: int | None = None,
) -> DataCurve:
    """Held-out disagreement, norm, angle and certified share after 1, 2, ..., n labels.

    Parameters
    ----------
    X : array_like, shape (n, d), or Span or KernelSpan
        Points in the order their labels come.
    z : array_like, shape (n,)
        Teacher logits, of a linear teacher.
    T : array_like, shape (m, d)
        Held-out points, drawn at random and not learned from.
    teacher_logits : array_like, shape (m,)
        The teacher's logits there.
    teacher_norm : float, optional
        |w_star|, for the angles: cos(alpha) = |w_hat| / |w_star|.
    norm_bound : float, optional
        B >= |w_star|, for the certified share (`limbeck.theory.certify`). Default: ``teacher_norm``.
    confidence : float
        Of the intervals, nominal (`held_out_risk`).
    block : int, optional
        Held-out points taken at a time. Default: as many as keep about 100 MB.

    Returns
    -------
    DataCurve

    Raises
    ------
    ValueError
        If the logits are not a linear teacher's (then the students of m and of m + 1 points share
        nothing: refit each), or the teacher's norm is below what its answers show.
    """
    span, T = _arguments(X, T)
    says = _check.vector(teacher_logits, "teacher_logits", len(T)) >= 0
    c = span.teacher_coordinates(z)
    _refuse_inconsistent(span, c, np.asarray(z, dtype=np.float64))
    norms = np.sqrt(np.concatenate([[0.0], np.cumsum(np.square(c))]))
    moved = _moved(span, np.asarray(z), norms)
    bound = norm_bound if norm_bound is not None else teacher_norm
    for name, given in (("teacher_norm", teacher_norm), ("norm_bound", norm_bound)):
        if given is not None and _check.number(given, name, above=0.0) < norms[-1] * (1 - 1e-9):
            raise ValueError(
                f"{name} = {given:.6g} is below {norms[-1]:.6g}, the norm of what was learned already."
            )
    wrong, proved = np.zeros((2, span.rank + 1))
    for rows, C, logits in _prefix_logits(span, T, c, block):
        wrong += np.sum((logits >= 0) != says[rows, None], axis=0)
        if bound is not None:
            proved += _proved(span, T[rows], C, logits, norms, moved, bound)
    wrong, proved = wrong[span.ranks], proved[span.ranks]
    low, high = wilson(wrong, len(T), confidence)
    unknown = np.full(span.n, np.nan)
    return DataCurve(
        n=np.arange(1, span.n + 1),
        rank=span.ranks,
        disagreement=wrong / len(T),
        low=low,
        high=high,
        confidence=confidence,
        norms=norms[span.ranks],
        angles=unknown if teacher_norm is None else _angles(norms, teacher_norm)[span.ranks],
        certified=unknown if bound is None else proved / len(T),
        held_out=len(T),
    )


@dataclass(frozen=True, eq=False)
class CertifiedShares:
    """Share of the answers that is proved after 1, 2, ..., n labels, under several bounds on the teacher's norm."""

    n: np.ndarray
    """Number of labels, 1, 2, ..., (n,)."""
    norm_bounds: Array
    """B, (b,)."""
    multiples: Array
    """B over the norm that all n answers show the teacher to have, (b,); NaN where that is 0. At 1 the last labels
    prove everything: no room is left for what was not asked. It is shown as the end of the range, not as a choice."""
    shares: Array
    """Share of the points whose answer is proved, (b, n)."""
    points: int
    """Number of points decided."""
    assumptions: tuple[str, ...]
    """What must hold of the teacher, besides the bound on its norm."""


def certified_shares(
    X: ArrayLike | Readings,
    z: ArrayLike,
    T: ArrayLike,
    *,
    norm_bounds: ArrayLike | None = None,
    block: int | None = None,
) -> CertifiedShares:
    """Share of the answers at T that is proved after each label, for several bounds on the teacher's norm.

    Parameters
    ----------
    X : array_like, shape (n, d), or Span or KernelSpan
        Points in the order their labels come.
    z : array_like, shape (n,)
        Teacher logits, of a linear teacher and exact.
    T : array_like, shape (m, d)
        Points to be decided; no answers there are needed.
    norm_bounds : array_like, shape (b,), optional
        Bounds B. Default: 1, 1.5 and 2 times the norm of the student of all n labels, as nobody knows B.
    block : int, optional
        Points taken at a time. Default: as many as keep about 100 MB.

    Returns
    -------
    CertifiedShares

    Raises
    ------
    ValueError
        If the logits are not a linear teacher's, or a bound is below the norm they show.
    """
    span, T = _arguments(X, T)
    c = span.teacher_coordinates(z)
    _refuse_inconsistent(span, c, np.asarray(z, dtype=np.float64))
    norms = np.sqrt(np.concatenate([[0.0], np.cumsum(np.square(c))]))
    moved = _moved(span, np.asarray(z), norms)
    bounds = (
        norms[-1] * MULTIPLES
        if norm_bounds is None
        else np.atleast_1d(_check.vector(norm_bounds, "norm_bounds"))
    )
    if (low := bounds < norms[-1] * (1 - 1e-9)).any():
        raise ValueError(
            f"norm_bounds holds {bounds[low][0]:.6g}, below {norms[-1]:.6g}, the norm of what was learned."
        )
    proved = np.zeros((len(bounds), span.rank + 1))
    for rows, C, logits in _prefix_logits(span, T, c, block):
        proved += [_proved(span, T[rows], C, logits, norms, moved, float(bound)) for bound in bounds]
    multiples = np.divide(bounds, norms[-1], out=np.full(len(bounds), np.nan), where=norms[-1] > 0)
    return CertifiedShares(
        np.arange(1, span.n + 1), bounds, multiples, proved[:, span.ranks] / len(T), len(T), (LINEAR, EXACT)
    )


def _arguments(X: ArrayLike | Readings, T: ArrayLike) -> tuple[Readings, Array]:
    span = X if isinstance(X, Readings) else Span(X)
    T = _check.points(T, "T")
    if T.shape[1] != span.d:
        raise ValueError(f"T has {T.shape[1]} features where the points have {span.d}.")
    return span, T


def _prefix_logits(
    span: Readings, T: Array, c: Array, block: int | None
) -> Iterator[tuple[slice, Array, Array]]:
    """Rows of T, their coordinates (m, r), and logits (m, r + 1) of the students of 0, 1, ..., r directions."""
    size = block if block is not None else max(1, CELLS // (span.rank + 1))
    for start in range(0, len(T), _check.count(size, "block")):
        rows = slice(start, start + size)
        C = span.coordinates(T[rows])
        logits = np.zeros((len(C), span.rank + 1))
        np.cumsum(C * c, axis=1, out=logits[:, 1:])
        yield rows, C, logits


def _proved(
    span: Readings, T: Array, C: Array, logits: Array, norms: Array, moved: Array, bound: float
) -> Array:
    """Number of proved answers after 0, 1, ..., r directions."""
    square = np.zeros_like(logits)  # |(I-P_k) x|^2, summed from the small end
    square[:, :-1] = np.cumsum(np.square(C[:, ::-1]), axis=1)[:, ::-1]
    square += np.square(span.farthest(T))[:, None]
    unknown = np.sqrt(np.maximum((bound - norms) * (bound + norms), 0.0))
    rounding = span.lengths(T)[:, None] * (span.resolution * norms + moved)
    return np.sum(np.abs(logits) - rounding > unknown * np.sqrt(square), axis=0)


def _moved(span: Readings, z: Array, norms: Array) -> Array:
    """What rounding in the first 0, 1, ..., r answers and points may move a logit by, over |x|, (r + 1,).

    As `certify` counts it, carried through the condition of those points: the inverse of the first k rows of the
    triangle is the corner of that of all, so that its Frobenius norm is a running sum.
    """
    triangle = span._triangle
    inverse = np.zeros((0, 0)) if not len(triangle.L) else lapack.dtrtri(triangle.L, lower=1)[0]
    rows, eps = triangle.independent, np.finfo(z.dtype if z.dtype.kind == "f" else np.float64).eps
    given = np.square(eps * z[rows] / triangle.scale[rows])
    inside, own = (np.concatenate([[0.0], np.cumsum(a)]) for a in (np.square(inverse).sum(axis=1), given))
    return np.sqrt(inside) * (np.sqrt(own) + np.sqrt(np.arange(len(norms))) * span.rounding * norms)


def _angles(norms: Array, teacher_norm: float) -> Array:
    outside = np.sqrt(np.maximum((teacher_norm - norms) * (teacher_norm + norms), 0.0))
    return np.arctan2(outside, norms)


def _refuse_inconsistent(span: Readings, c: Array, z: Array) -> None:
    off = np.abs(span.own_logits(c) - z)
    if off.max() > INCONSISTENT * max(float(np.abs(z).max()), 1e-300):
        row = int(np.argmax(off))
        raise ValueError(
            f"No linear teacher gave these logits: row {row} is off by {off[row]:.3g} from what the rows before it "
            "imply. Prefix readings are exact for consistent logits only; refit each size (SoftLabelClassifier)."
        )
