"""Is the teacher linear on these features? Measured on rows that the student did not learn from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import qr
from scipy.stats import chi2, t

from limbeck.labels import Array, SoftLabels
from limbeck.students._certify import proved_sides
from limbeck.students._nearly_linear import reason_of
from limbeck.students.design import Matrix, Points, row_keys
from limbeck.theory import Span

MOST_SPARSE = 4000

NEGLIGIBLE = 1e-6
FREE = 1e-8
"""A leverage this close to 1 leaves its row's answer nothing to show."""
REWEIGHED = 8
"""Weightings of the rows that are tried to show that a teacher is not linear."""
MOST_REWEIGHED = 10**8
"""Answers times the square of the rank beyond which one weighting has to do."""
CONFIDENCE = 0.95
LEVEL = 1e-3
"""Probability, at most, with which a linear teacher's shares of votes are called not linear; other answers' is 0."""
SEEN = 2.0, 0.95
"""So many times what rounding explains, left by a teacher that is not linear, is refused with this probability."""


@dataclass(frozen=True)
class Linearity:
    """Whether the theory's guarantees may be used."""

    verdict: str
    """``linear``, ``not linear`` or ``cannot tell yet``."""
    reason: str
    """Why, in words."""
    residual: float
    """Root mean square of leave-one-out logit residuals over the logits' own spread; NaN if unknown.

    What least squares on n - 1 of these rows would be off by at a new row drawn the same way.
    """
    low: float
    """Lower end of its 95 % interval for such rows, from the residuals' own spread between rows."""
    high: float
    """Upper end. Where single rows dominate the residuals (heavy tails), the interval covers less than 95 %."""
    explained: float
    """What the precision of the stored answers explains of it, in the same unit."""
    n: int
    """Rows with a finite logit."""
    distinct: int
    """Different points among them, at least: a teacher's answer at a point it was asked before tests nothing."""
    rank: int
    """Their rank, intercept included."""

    @property
    def surplus(self) -> int:
        """Different points beyond the rank: only these can show that a teacher is not linear."""
        return max(self.distinct - self.rank, 0)


def linearity(X: Matrix, labels: SoftLabels, *, intercept: bool) -> Linearity:
    """Judge from the residuals of least squares on the logits.

    With no more different points than the rank any logits fit some linear teacher: ``cannot tell yet``. Otherwise
    residuals beyond what the answers' stored precision explains refute linearity, and residuals within it support
    it. Two more things refute it for certain: a point asked twice and answered differently, and a saturated
    answer on the other side of where the rest of the answers prove a linear teacher to be (`limbeck.theory.certify`).

    Parameters
    ----------
    X : array, shape (n, d)
        Points drawn at random (points chosen by geometry are no random sample).
    labels : SoftLabels
    intercept : bool

    Notes
    -----
    Each logit is off by an unknown amount within a bound e_i, and nothing is assumed about how these errors depend on
    one another: answers that take few values share them. Residuals r of weighted least squares, rows weighed by
    1 / e_i, are orthogonal to every linear function, once more divided by e_i. A linear teacher with errors
    |t_i| <= e_i leaves sum (r_i / e_i)^2 = sum r_i t_i / e_i^2 <= sum |r_i| / e_i. If the left side is larger, for
    these or for Lawson's weights, no linear teacher gives the answers: ``not linear`` for certain. If there are so few
    different points beyond the rank (below 22) that residuals of twice what rounding explains would often be missed,
    agreement says little: ``cannot tell yet``. Exact answers need no such number: 1e-6 of the logits' spread is seen.

    Two kinds of answers of a linear teacher have logits that are not linear, and are not held against it (``cannot tell
    yet``): shares v / m of m votes, if they differ from the best linear teacher's by as much as multinomial counts do
    (at a level of 10^-3), and probabilities with a constant floor (label smoothing), if the logits of what lies above
    it are linear.

    Dense points count too, as they were stored: x.w is off by another eps sum_j |x_j w_j|, eps the rounding unit of
    their type and w the weights of least squares, whether the teacher computed in that type or the points were
    rounded to it later. For float32 points far from the origin that is much more than what the logits' type hides.
    """
    return judge(Points.of(X, intercept), labels)


def _why_no_logits(labels: SoftLabels) -> str:
    p = labels.probabilities
    if np.isin(p, (0.0, 1.0)).all():
        return "the answers are hard labels: they hold no logits"
    return "every answer has a probability of 0 or 1 as stored, which has no logit"


def judge(points: Points, labels: SoftLabels) -> Linearity:
    """`linearity` of points whose factor may be at hand already."""
    every, said = points, labels
    known = ~labels.saturated
    n = int(known.sum())
    if n == 0:
        return unknown(_why_no_logits(labels), 0, 0, 0)
    keys = row_keys(points.X)[known]
    _, first, same = np.unique(keys, return_index=True, return_inverse=True)
    if points.sparse and min(points.X.shape) > MOST_SPARSE:
        return unknown(
            f"sparse points of shape {points.X.shape} are too large to factorise", n, len(first), 0
        )
    kept = np.flatnonzero(known)
    if n < len(known):
        points, labels = points[kept], labels[kept]
    Z = labels.logits.reshape(n, -1)
    spread = float(np.sqrt(np.mean(np.square(Z - Z.mean(axis=0))))) or 1.0
    error = labels.error.reshape(n, -1) / spread
    error = np.where(np.isfinite(error), error, 0.0)
    seen = points.unit()
    rest, leverage, rank = _least_squares(seen, labels, Z)
    if not seen.sparse:
        error = error + seen.rounding(seen.least_squares(labels).weights, spread) / spread
    free = leverage < 1 - FREE
    squares = np.mean(np.square(rest[free] / spread / (1 - leverage[free])[:, None]), axis=1)
    off = (float(squares.mean()), float(squares.std())) if squares.size else (np.nan, np.nan)
    noise = float(np.sqrt(np.sum(np.square(rest)) / max(n - rank, 1) / Z.shape[1])) / spread
    once, again = np.sort(first), first[same]
    differ = np.abs(Z - Z[again]) / spread > error + error[again] + NEGLIGIBLE
    left = None
    if n == len(once) > rank and error.max() <= NEGLIGIBLE:
        left = Left.of(rest / spread, error, leverage)
    elif len(once) > rank:
        size = np.maximum(error[once].max(axis=1, keepdims=True), NEGLIGIBLE)
        rest, leverage, _ = _least_squares(points[once].unit(), labels[once], Z[once], 1 / size)
        if (leverage < 1 - FREE).any():  # weighted rows may show directions that the others hide
            left = Left.of(rest / spread, error[once] / size, leverage, NEGLIGIBLE / size)
            if not left.refutes and rest.size * rank**2 <= MOST_REWEIGHED and np.abs(rest).max() > spread:
                A, bound = coordinates(points[once].unit()), np.maximum(error[once], NEGLIGIBLE)
                left = replace(left, refutes=_contradicted(A, Z[once] / spread, bound))
    found = judged(
        Counts(n, len(once), rank),
        off,
        noise,
        float(np.sqrt(np.mean(np.square(error)) / 3)),
        left,
        "a point asked more than once got different answers" if differ.any() else "",
    )
    if found.verdict == "linear" and n < len(said):
        found = _with_sides(found, every, said)
    if found.verdict == "not linear" and (reason := reason_of(coordinates(every), said, LEVEL)):
        return replace(found, verdict="cannot tell yet", reason=f"{found.reason}; {reason}")
    return found


@dataclass(frozen=True)
class Counts:
    """How many answers there are to judge from."""

    n: int
    """Rows with a finite logit."""
    distinct: int
    """Different points among them."""
    rank: int
    """Their rank."""
    counted: bool = True
    """Whether ``distinct`` is their number; otherwise there may be more."""

    @property
    def said(self) -> str:
        """In words."""
        known = self.distinct if self.counted or self.distinct <= self.rank else self.n
        among = "" if known == self.n else f", at {known} different points,"
        return f"{self.n} answers{among} at rank {self.rank}"


@dataclass(frozen=True)
class Left:
    """What least squares leaves of the answers, and whether a linear teacher's errors can explain it."""

    refutes: bool
    """Whether no linear teacher gives the answers within their errors."""
    freedom: float
    """Degrees of freedom of the chi-square with the mean and variance of a linear teacher's sum of squares, its errors
    independent and spread evenly."""
    rounded: bool
    """Whether rounding can be told from none at all."""

    @classmethod
    def of(cls, rest: Array, error: Array, leverage: Array, negligible: Array | float = NEGLIGIBLE) -> Left:
        """From residuals (n, m), the bounds (n, m) of the logits' errors, and leverages (n,), in one unit."""
        free = np.maximum(1 - leverage, 0.0)
        bound = np.maximum(error, negligible)
        # A rounding error is spread evenly over its interval: its variance is the square of its half width over 3.
        variance = np.square(error) / 3 + np.square(negligible)
        refutes = np.square(rest).sum(axis=0) > (np.abs(rest) * bound).sum(axis=0)
        sums = free @ variance, free @ np.square(variance)
        return cls(bool(refutes.any()), _freedom(*sums), bool(np.any(error > negligible)))

    @classmethod
    def summed(cls, squares: float, bounds: float, first: Array, second: Array, rounded: bool) -> Left:
        """From sums over rows: squared residuals, squared bounds, and (1 - h) v and (1 - h) v^2, (m,) each."""
        return cls(squares > bounds, _freedom(first, second), rounded)

    @property
    def blind(self) -> bool:
        """Whether `SEEN` times what rounding leaves would too often not refute."""
        times, probability = SEEN
        seen = times**2 * float(chi2.isf(probability, self.freedom))
        return self.rounded and seen < float(chi2.isf(LEVEL, self.freedom))


def _freedom(first: Array, second: Array) -> float:
    """Of sums over rows of (1 - h) v and (1 - h) v^2; columns may depend on one another: their deviations add up."""
    return 2 * (float(first.sum()) / float(np.sqrt(2 * second).sum())) ** 2


def judged(
    counts: Counts,
    off: tuple[float, float],
    noise: float,
    explained: float,
    left: Left | None,
    against: str = "",
) -> Linearity:
    """The verdict.

    The mean of squared leave-one-out residuals over rows is near log-normal; its relative standard error is taken
    from their spread, and not below sqrt(2 / (n - rank)), that of normal errors.

    Parameters
    ----------
    counts : Counts
    off : (float, float)
        Mean and standard deviation of the rows' squared leave-one-out residuals; NaN if unknown.
    noise : float
        Root mean square of the residuals per degree of freedom.
    explained : float
        What the answers' stored precision explains of it. All over the logits' own spread.
    left : Left, optional
        The residuals at different points, each over what its answer may be off by; None at too few of them.
    against : str
        What refutes linearity for certain, in words.
    """
    n, rank = counts.n, counts.rank
    if left is None and not against:
        reason = f"{counts.said}: any logits fit some linear teacher"
        return unknown(reason, n, counts.distinct, rank, explained)
    explains = f"rounding explains {explained:.2g}"
    if 2 * explained < noise <= NEGLIGIBLE:
        explains = f"{NEGLIGIBLE:.0e} counts as none"
    reason = f"{counts.said} leave residual logits of {noise:.2g} of their spread; {explains}"
    if left is None or against:
        verdict, reason = "not linear", f"{counts.said}: {against}"
    elif left.refutes:
        verdict = "not linear"
    elif left.blind:
        verdict, reason = "cannot tell yet", f"{reason}, and among so few twice as much could pass for it"
    else:
        verdict = "linear"
    freedom, (mean, deviation) = max(n - rank, 1), off
    relative = max(deviation / max(mean, 1e-300) / np.sqrt(freedom), np.sqrt(2 / freedom))
    width = float(np.exp(t.ppf((1 + CONFIDENCE) / 2, freedom) * relative / 2))
    residual = float(np.sqrt(mean))
    return Linearity(
        verdict, reason, residual, residual / width, residual * width, explained, n, counts.distinct, rank
    )


def _with_sides(found: Linearity, points: Points, labels: SoftLabels) -> Linearity:
    """The verdict on all rows: a saturated answer has no logit, but it has a side."""
    held = labels.saturated
    A = coordinates(points)
    known, Z = np.flatnonzero(~held), labels.logits[~held]
    proved = proved_sides(A[known], Z, A[held], error=labels.error[known], dtype=points.stored)
    sides = labels.decisions[held]
    wrong = sides != sides if proved is None else (proved >= 0) & (proved != sides)
    if proved is not None and not wrong.any():
        return replace(
            found, reason=f"{found.reason}; {len(sides)} more are saturated and contradict nothing"
        )
    said = (
        "no linear teacher gives them"
        if proved is None
        else (f"{int(wrong.sum())} of {len(sides)} saturated ones are on the other side of what these prove")
    )
    return replace(found, verdict="not linear", reason=f"{found.n} answers at rank {found.rank}: {said}")


def unknown(reason: str, n: int, distinct: int, rank: int, explained: float = np.nan) -> Linearity:
    """The verdict where there is none yet, and why."""
    return Linearity("cannot tell yet", reason, np.nan, np.nan, np.nan, explained, n, distinct, rank)


def coordinates(points: Points) -> Array:
    """The rows, dense: as they are, or (n, r) in coordinates that keep every linear relation among sparse ones."""
    return _sparse_coordinates(points.affine) if points.sparse else points.affine


def rank_of(X: Matrix, *, intercept: bool) -> int | None:
    """Rank of points (n, d), intercept included, as verdicts count it; None for sparse ones too large to factorise.

    Of sparse points it is read off their Gram matrix: a direction below 3e-7 of the longest is not seen.
    """
    points = Points.of(X, intercept)
    if not points.sparse:
        return points.unit().span.rank
    return None if min(X.shape) > MOST_SPARSE else _sparse_coordinates(points.affine).shape[1]


def _least_squares(
    points: Points, labels: SoftLabels, Z: Array, weight: Array | None = None
) -> tuple[Array, Array, int]:
    """Residuals (n, m), leverages (n,) and the rank, each row times its weight (n, 1)."""
    if not points.sparse:
        if weight is None:
            return points.least_squares(labels).residual, points.span.leverages, points.span.rank
        span = Span(weight * points.affine, dtype=points.stored)
        return span.solve(weight * Z).residual, span.leverages, span.rank
    A = _sparse_coordinates(points.affine)
    if weight is not None:
        A, Z = weight * A, weight * Z
    Q = qr(A, mode="economic", check_finite=False)[0]
    return Z - Q @ (Q.T @ Z), np.einsum("ij,ij->i", Q, Q), A.shape[1]


def _contradicted(A: Array, Z: Array, bound: Array) -> bool:
    """Whether no linear function of points A (n, r) comes within ``bound`` of some column of Z (n, m).

    Any weights may show it; Lawson's, larger after each step where the residual is, come near the best ones.
    """
    for z, e in zip(Z.T, bound.T, strict=True):
        weight = 1 / np.square(e)
        for _ in range(REWEIGHED):
            root = np.sqrt(np.maximum(weight, 1e-12 * weight.max()))[:, None]
            Q = qr(root * A, mode="economic", check_finite=False)[0]
            rest = np.abs(z - (Q @ (Q.T @ (root[:, 0] * z))) / root[:, 0])
            if not np.any(rest > e):
                break
            weight = np.square(root[:, 0])
            if weight @ np.square(rest) > weight @ (rest * e):
                return True
            weight = weight * rest / e
    return False


def _sparse_coordinates(X: Matrix) -> Array:
    """Coordinates (n, r) of the rows in a basis of their span; the smaller Gram matrix is dense, the points are not.

    Unlike `design`'s, of the smaller of two Gram matrices: many rows of few features are ordinary here.
    """
    n, d = X.shape
    values, vectors = np.linalg.eigh((X.T @ X if n > d else X @ X.T).toarray())
    kept = values > 1e-13 * values[-1]
    return X @ vectors[:, kept] if n > d else vectors[:, kept] * np.sqrt(values[kept])
