"""Is the teacher linear on these features? Measured on rows that the student did not learn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr
from scipy.stats import t

from limbeck.labels import Array, SoftLabels
from limbeck.students._design import Matrix, Points

NEGLIGIBLE = 1e-6
CONFIDENCE = 0.95


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
    rank: int
    """Their rank, intercept included."""


def linearity(X: Matrix, labels: SoftLabels, *, intercept: bool) -> Linearity:
    """Judge from the residuals of least squares on the logits.

    With n <= rank any logits fit some linear teacher: ``cannot tell yet``. Otherwise residuals beyond what
    the answers' stored precision explains refute linearity, and residuals within it support it.

    Parameters
    ----------
    X : array, shape (n, d)
        Points drawn at random (points chosen by geometry are no random sample).
    labels : SoftLabels
    intercept : bool
    """
    return judge(Points(X, intercept), labels)


def judge(points: Points, labels: SoftLabels) -> Linearity:
    """`linearity` of points whose factor may be at hand already."""
    known = ~labels.saturated
    n = int(known.sum())
    if n == 0:
        return unknown("the answers are hard labels: they hold no logits", 0, 0)
    if points.sparse and min(points.X.shape) > 4000:
        return unknown(f"sparse points of shape {points.X.shape} are too large to factorise", n, 0)
    kept = np.flatnonzero(known)
    if n < len(known):
        points, labels = points[kept], labels[kept]
    Z, error = labels.logits.reshape(n, -1), labels.error.reshape(n, -1)
    spread = float(np.sqrt(np.mean(np.square(Z - Z.mean(axis=0))))) or 1.0
    # A rounding error is spread evenly over its interval: its variance is the square of its half width over 3.
    finite = np.where(np.isfinite(error), error, 0.0)
    explained = float(np.sqrt(np.mean(np.square(finite)) / 3)) / spread
    rest, leverage, rank = _least_squares(points.unit(), labels, Z)
    if n <= rank:
        return unknown(f"{n} answers at rank {rank}: any logits fit some linear teacher", n, rank, explained)
    noise = float(np.sqrt(np.sum(np.square(rest)) / (n - rank) / Z.shape[1])) / spread
    free = leverage < 1 - 1e-8
    squares = np.mean(np.square(rest[free] / spread / (1 - leverage[free])[:, None]), axis=1)
    mean, deviation = (float(squares.mean()), float(squares.std())) if squares.size else (np.nan, np.nan)
    return judged(n, rank, mean, deviation, noise, explained)


def judged(n: int, rank: int, mean: float, deviation: float, noise: float, explained: float) -> Linearity:
    """The verdict on n rows of a lower rank.

    The mean of squared leave-one-out residuals over rows is near log-normal; its relative standard error is taken
    from their spread, and not below sqrt(2 / (n - rank)), that of normal errors.

    Parameters
    ----------
    n, rank : int
    mean, deviation : float
        Mean and standard deviation of the rows' squared leave-one-out residuals; NaN if unknown.
    noise : float
        Root mean square of the residuals per degree of freedom.
    explained : float
        What the answers' stored precision explains of it. All over the logits' own spread.
    """
    verdict = "linear" if noise <= NEGLIGIBLE + 3 * explained else "not linear"
    reason = (
        f"{n} answers at rank {rank} leave residual logits of {noise:.2g} of their spread; "
        f"rounding explains {explained:.2g}"
    )
    freedom = n - rank
    relative = max(deviation / max(mean, 1e-300) / np.sqrt(freedom), np.sqrt(2 / freedom))
    width = float(np.exp(t.ppf((1 + CONFIDENCE) / 2, freedom) * relative / 2))
    residual = float(np.sqrt(mean))
    return Linearity(verdict, reason, residual, residual / width, residual * width, explained, n, rank)


def unknown(reason: str, n: int, rank: int, explained: float = np.nan) -> Linearity:
    """The verdict where there is none yet, and why."""
    return Linearity("cannot tell yet", reason, np.nan, np.nan, np.nan, explained, n, rank)


def _least_squares(points: Points, labels: SoftLabels, Z: Array) -> tuple[Array, Array, int]:
    """Residuals (n, m), leverages (n,) and the rank."""
    if not points.sparse:
        return points.least_squares(labels).residual, points.span.leverages, points.span.rank
    A = _sparse_coordinates(points.affine)
    Q = qr(A, mode="economic", check_finite=False)[0]
    return Z - Q @ (Q.T @ Z), np.einsum("ij,ij->i", Q, Q), A.shape[1]


def _sparse_coordinates(X: Matrix) -> Array:
    """Coordinates (n, r) of the rows in a basis of their span; the smaller Gram matrix is dense, the points are not."""
    n, d = X.shape
    values, vectors = np.linalg.eigh((X.T @ X if n > d else X @ X.T).toarray())
    kept = values > 1e-13 * values[-1]
    return X @ vectors[:, kept] if n > d else vectors[:, kept] * np.sqrt(values[kept])
