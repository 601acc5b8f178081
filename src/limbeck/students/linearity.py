"""Is the teacher linear on these features? Measured on rows that the student did not learn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr
from scipy.sparse import issparse
from scipy.stats import chi2

from limbeck.labels import Array, SoftLabels
from limbeck.students._design import Matrix, with_ones
from limbeck.theory import Span

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
    """Root mean square of leave-one-out logit residuals over the logits' own spread; NaN if unknown."""
    low: float
    """Lower end of its 95 % interval (chi-square with n - rank degrees of freedom)."""
    high: float
    """Upper end."""
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
    known = ~labels.saturated
    n = int(known.sum())
    if n == 0:
        return unknown("the answers are hard labels: they hold no logits", 0, 0)
    if issparse(X) and min(X.shape) > 4000:
        return unknown(f"sparse points of shape {X.shape} are too large to factorise", n, 0)
    Z = labels.logits[known].reshape(n, -1)
    error = labels.error[known].reshape(n, -1)
    rows = X[np.flatnonzero(known)]
    A = _coordinates(with_ones(rows) if intercept else rows)
    rank = A.shape[1]
    spread = float(np.sqrt(np.mean(np.square(Z - Z.mean(axis=0))))) or 1.0
    # A rounding error is spread evenly over its interval: its variance is the square of its half width over 3.
    finite = np.where(np.isfinite(error), error, 0.0)
    explained = float(np.sqrt(np.mean(np.square(finite)) / 3)) / spread
    if n <= rank:
        return unknown(f"{n} answers at rank {rank}: any logits fit some linear teacher", n, rank, explained)
    Q = qr(A, mode="economic", check_finite=False)[0]
    rest = Z - Q @ (Q.T @ Z)
    leverage = np.einsum("ij,ij->i", Q, Q)
    free = leverage < 1 - 1e-8
    left_out = rest[free] / (1 - leverage[free])[:, None]
    residual = float(np.sqrt(np.mean(np.square(left_out)))) / spread if free.any() else np.nan
    noise = float(np.sqrt(np.sum(np.square(rest)) / (n - rank) / Z.shape[1])) / spread
    return judged(n, rank, residual, noise, explained)


def judged(n: int, rank: int, residual: float, noise: float, explained: float) -> Linearity:
    """The verdict on n rows of a lower rank.

    Parameters
    ----------
    n, rank : int
    residual : float
        Root mean square of leave-one-out logit residuals.
    noise : float
        Of the residuals, per degree of freedom.
    explained : float
        What the answers' stored precision explains. All three over the logits' own spread.
    """
    low, high = (
        residual * np.sqrt((n - rank) / chi2.ppf(q, n - rank))
        for q in ((1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2)
    )
    limit = NEGLIGIBLE + 3 * explained
    verdict = "linear" if noise <= limit else "not linear"
    reason = (
        f"{n} answers at rank {rank} leave residual logits of {noise:.2g} of their spread; "
        f"rounding explains {explained:.2g}"
    )
    return Linearity(verdict, reason, residual, float(low), float(high), explained, n, rank)


def unknown(reason: str, n: int, rank: int, explained: float = np.nan) -> Linearity:
    """The verdict where there is none yet, and why."""
    return Linearity("cannot tell yet", reason, np.nan, np.nan, np.nan, explained, n, rank)


def _coordinates(X: Matrix) -> Array:
    """Coordinates (n, r) of the rows in an orthonormal basis of their span."""
    if issparse(X):
        # The smaller Gram matrix is dense, the points are not.
        n, d = X.shape
        if n > d:
            values, vectors = np.linalg.eigh((X.T @ X).toarray())
            kept = values > 1e-13 * values[-1]
            return X @ vectors[:, kept]
        values, vectors = np.linalg.eigh((X @ X.T).toarray())
        kept = values > 1e-13 * values[-1]
        return vectors[:, kept] * np.sqrt(values[kept])
    span = Span(X)
    return span.coordinates(span.X) if span.rank < span.d or span.n <= span.d else span.X
