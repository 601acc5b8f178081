"""When one answer of the student is proved to be the teacher's, before anybody asks the teacher.

w_star.x - w_hat.x = ((I-P) w_star).((I-P) x). So if |w_star| <= B, the student decides x as the teacher does
whenever

    |w_hat.x| > sqrt(B^2 - |w_hat|^2) |(I-P) x|,

and only then: for any other x some teacher that agrees with all answers and with B decides otherwise or
ties. This holds for a linear teacher and exact answers; for answers known up to errors e_i, with
x = sum_i a_i x_i + residual, the margin narrows by sum_i |a_i| e_i and |w_hat| is replaced by what the
teacher's part inside the span must at least be. The rule is then sufficient, and not necessary: both need not be
attained by the same teacher.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import lsq_linear

from limbeck import _check
from limbeck._check import Array
from limbeck.theory.factor import row_norms
from limbeck.theory.readings import INCONSISTENT, Readings
from limbeck.theory.span import Span

LINEAR = "the teacher is linear in the features as given, without intercept (a column of ones would be one)"
EXACT = "its answers are exact"
WITHIN = "each of its answers is off by no more than the error stated"
SHARP = 1e-6
"""Errors that move the norm by no more than this share of it are not worth a sharper bound on it."""


@dataclass(frozen=True, eq=False)
class Certificate:
    """Which answers are proved, and under which bound on the teacher's norm each would be."""

    logits: Array
    """The student's logits, (m,)."""
    residuals: Array
    """|(I-P) x|: how far each point lies from what was asked, (m,)."""
    margins: Array
    """|w_hat.x| less what errors in the answers, and rounding, may move it, at least 0, (m,)."""
    norm_inside: float
    """Least norm of the teacher's part inside the span, given the answers: |w_hat| if they are exact, to rounding."""
    largest_bound: Array
    """Each answer is proved for every teacher with |w_star| below this, (m,); inf inside the span (of a kernel's
    features, at its points alone: no other distance of 0 can be told there), 0 if never."""
    assumptions: tuple[str, ...] = (LINEAR, EXACT)
    """What must hold of the teacher, besides the bound on its norm."""

    def proved(self, norm_bound: float) -> np.ndarray:
        """Whether each answer is proved for every linear teacher with |w_star| <= ``norm_bound``, (m,) of bool.

        Raises
        ------
        ValueError
            If the bound is below what the answers already show the teacher's norm to be.
        """
        return self.largest_bound > _bound(norm_bound, self.norm_inside)


@dataclass(frozen=True, eq=False)
class ClassCertificate:
    """Which answers among K classes are proved, and under which bound on differences of the teacher's weights."""

    classes: np.ndarray
    """Class the student decides for, (m,)."""
    residuals: Array
    """|(I-P) x|, (m,)."""
    norm_inside: float
    """Largest |w_a - w_b| over pairs of classes that the answers already show."""
    largest_bound: Array
    """Each answer is proved for every teacher whose weights of any two classes differ in norm by less, (m,)."""
    assumptions: tuple[str, ...]
    """What must hold of the teacher, besides that bound."""

    def proved(self, norm_bound: float) -> np.ndarray:
        """Whether each answer is proved for every linear teacher with |w_a - w_b| <= ``norm_bound``, (m,) of bool."""
        return self.largest_bound > _bound(norm_bound, self.norm_inside)


def _bound(norm_bound: float, shown: float) -> float:
    bound = _check.number(norm_bound, "norm_bound", above=0.0, finite=False)
    if bound < shown * (1 - 1e-12):
        raise ValueError(
            f"norm_bound = {bound:.6g} is below {shown:.6g}, the norm that the answers already "
            "show the teacher to have: no linear teacher is left. Raise the bound."
        )
    return bound


def certify(
    X: ArrayLike | Readings, z: ArrayLike, T: ArrayLike, *, error: ArrayLike | None = None
) -> Certificate:
    """Say which of the student's answers at T are proved, as a function of a bound on the teacher's norm.

    Parameters
    ----------
    X : array_like, shape (n, d), or Span or KernelSpan
        Points whose answers are known.
    z : array_like, shape (n,)
        Teacher logits.
    T : array_like, shape (m, d)
        Points to be decided.
    error : array_like, shape (n,) or float, optional
        Largest error of each logit (of rounded probabilities, say). Default: exact answers, checked
        where there are more of them than the rank: what least squares misses, up to 1e-6 of the largest, counts
        as their error.

    Returns
    -------
    Certificate

    Raises
    ------
    ValueError
        If no linear teacher can have given the answers within their errors: nothing can be proved then.

    Notes
    -----
    Assumes a linear teacher without intercept in the features as given. Exact answers are floats all the same: each is
    taken to be off by the rounding of its own dtype, and by what ``tol`` of the span calls rounding in its point. How
    far that moves the student depends on the points' condition, which nothing is cut off from; far apart scales or
    points that all but coincide leave little to be proved.
    """
    span = X if isinstance(X, Readings) else Span(X)
    seen = _Seen(span, _points(span, T))
    answers = _Answers.of(span, z, _errors(error, span.n))
    assumptions = (LINEAR, WITHIN if answers.stated else EXACT)
    c = answers.coordinates
    return Certificate(span.logits(seen.T, c), seen.distances, *_reach(seen, answers), assumptions)


def certify_classes(
    X: ArrayLike | Readings, Z: ArrayLike, T: ArrayLike, *, error: ArrayLike | None = None
) -> ClassCertificate:
    """Say which decisions among K classes are proved, by the differences of each two classes' logits.

    The decision for a is proved if, for every other class b, (w_a - w_b).x is proved positive by `certify`.

    Parameters
    ----------
    X : array_like, shape (n, d), or Span or KernelSpan
        Points whose answers are known.
    Z : array_like, shape (n, K)
        Teacher logits, K >= 2; a constant added to a row changes nothing.
    T : array_like, shape (m, d)
        Points to be decided.
    error : array_like, shape (n, K) or float, optional
        Largest error of each logit.

    Returns
    -------
    ClassCertificate
    """
    span = X if isinstance(X, Readings) else Span(X)
    given = _check.points(Z, "Z")
    Z = np.asarray(given, dtype=np.float64)
    if Z.shape[1] < 2:
        raise ValueError(f"Z must hold a column for each of at least 2 classes, got shape {Z.shape}.")
    seen = _Seen(span, _points(span, T))
    E = np.zeros_like(Z) if error is None else np.broadcast_to(_check.reals(error, "error"), Z.shape)
    classes = np.argmax(span.logits(seen.T, span.student(Z).coordinates), axis=1)
    largest, shown = np.full(len(classes), np.inf), 0.0
    for a, b in combinations(range(Z.shape[1]), 2):
        answers = _Answers.of(span, Z[:, a] - Z[:, b], _errors(E[:, a] + E[:, b], span.n), dtype=given.dtype)
        _, inside, bound = _reach(seen, answers)
        rows = (classes == a) | (classes == b)
        largest[rows] = np.minimum(largest[rows], bound[rows])
        shown = max(shown, inside)
    return ClassCertificate(classes, seen.distances, shown, largest, (LINEAR, WITHIN if E.any() else EXACT))


def counter_teacher(X: ArrayLike | Span, z: ArrayLike, x: ArrayLike, norm_bound: float) -> Array:
    """A linear teacher that gives all the answers, is no longer than the bound, and decides x otherwise or ties.

    w_hat - sign(w_hat.x) sqrt(B^2 - |w_hat|^2) (I-P)x / |(I-P)x|: of all such teachers the one whose logit at x
    lies farthest to the other side.

    Parameters
    ----------
    X : array_like, shape (n, d), or Span
        Points whose answers are known.
    z : array_like, shape (n,)
        Teacher logits, exact.
    x : array_like, shape (d,)
        A point whose answer is not proved.
    norm_bound : float
        B.

    Returns
    -------
    ndarray, shape (d,)

    Raises
    ------
    ValueError
        If the answer at x is proved: then there is no such teacher.
    """
    span = X if isinstance(X, Span) else Span(X)
    x = np.asarray(_check.vector(x, "x", span.d), dtype=np.float64)
    certificate = certify(span, z, x[None])
    if certificate.proved(norm_bound)[0]:
        raise ValueError(
            f"The answer at x is proved for every teacher of norm below {certificate.largest_bound[0]:.6g}: none of "
            f"norm at most {float(norm_bound):.6g} decides it otherwise."
        )
    w = span.weights(z)
    length = certificate.residuals[0]
    if length <= span.tol * row_norms(x):
        return w  # inside the span a teacher ties only where every teacher does
    norm = float(row_norms(w))
    left = np.sqrt(max(norm_bound - norm, 0.0) * (norm_bound + norm))
    return w - np.copysign(left / length, certificate.logits[0]) * span.residual(x)


def _errors(error: ArrayLike | None, n: int) -> Array:
    if error is None:
        return np.zeros(n)
    e = _check.reals(error, "error")
    e = np.full(n, float(e)) if e.ndim == 0 else np.asarray(_check.vector(e, "error", n), dtype=np.float64)
    if not np.all((e >= 0) & np.isfinite(e)):
        raise ValueError("error must be finite and >= 0: the largest error of each logit.")
    return e


@dataclass(frozen=True, eq=False)
class _Seen:
    """Points to be decided, as the span sees them: the same whatever was answered."""

    span: Readings
    T: Array

    @cached_property
    def C(self) -> Array:  # noqa: N802 - as in the text
        """Coordinates (m, r)."""
        return self.span.coordinates(self.T)

    @cached_property
    def lengths(self) -> Array:
        return self.span.lengths(self.T)

    @cached_property
    def distances(self) -> Array:
        return self.span.distances(self.T)

    @cached_property
    def farthest(self) -> Array:
        return self.span.farthest(self.T)

    @cached_property
    def spread(self) -> Array:
        return self.span.sensitivity.spread(self.C)

    @cached_property
    def weights(self) -> Array:
        """What each answer weighs in the student's at each point, |a| (m, n)."""
        return np.abs(self.span.sensitivity.coefficients(self.C))


@dataclass(frozen=True, eq=False)
class _Answers:
    """Answers (n,), the student's coordinates, and how far the teacher's part inside the span may be from it."""

    span: Readings
    z: Array
    coordinates: Array
    stated: bool
    """Whether errors were."""
    off: Array
    """How far each answer may be off, (n,): the error stated, or what least squares missed, and rounding."""

    @classmethod
    def of(cls, span: Readings, z: ArrayLike, e: Array, *, dtype: np.dtype | None = None) -> _Answers:
        """Answers with the errors (n,) stated for them, 0 for exact; ValueError if no linear teacher gave them."""
        z = np.asarray(z)
        student = span.student(z)
        c, size = student.coordinates, np.abs(np.asarray(z, dtype=np.float64))
        dtype = dtype or z.dtype
        eps = float(np.finfo(dtype if dtype.kind == "f" else np.float64).eps)
        # Of the answers themselves, and of points in them: the teacher computed x.w from x as it was stored.
        floor = eps * size + span.rounding * span.sensitivity.scale * _norm(c)
        stated = bool(e.any())
        _refuse_impossible(span, student.residual, e + floor if stated else INCONSISTENT * size.max(), stated)
        # The student's own combination of the answers has none of what it missed, where each tells of the span alone.
        missed = 0.0 if stated and span.sensitivity.whole else np.abs(student.residual)
        off = e + floor + missed
        return cls(span, np.asarray(z, dtype=np.float64), c, stated, off)

    def moved(self, seen: _Seen) -> Array:
        """How far the teacher's logit inside the span may be from the student's, at points (m,)."""
        if self.stated and self.span.sensitivity.whole:
            return seen.weights @ self.off
        return seen.spread * float(self.span.sensitivity.relative(self.off))

    @property
    def inside(self) -> float:
        """Least norm of the teacher's part inside the span."""
        c, sensitivity = self.coordinates, self.span.sensitivity
        if not (length := _norm(c)):
            return 0.0
        unit = c[None] / length
        if not (self.stated and sensitivity.whole):
            return max(0.0, length - float(sensitivity.spread(unit)[0] * sensitivity.relative(self.off)))
        least = length - float((np.abs(sensitivity.coefficients(unit)) @ self.off)[0])
        if least > (1 - SHARP) * length:
            return least
        return max(least, _least_norm(sensitivity.coefficients(np.eye(len(c))), self.z, self.off))


def _norm(c: Array) -> float:
    return float(row_norms(c)) if c.size else 0.0


def _points(span: Readings, T: ArrayLike) -> Array:
    T = np.asarray(_check.points(T, "T"), dtype=np.float64)
    if T.shape[1] != span.d:
        raise ValueError(f"T has {T.shape[1]} features where the points have {span.d}.")
    return T


def _reach(seen: _Seen, answers: _Answers) -> tuple[Array, float, Array]:
    """Margins (m,), the least norm inside, and the bounds (m,) below which each answer is proved."""
    c, span, inside = answers.coordinates, seen.span, answers.inside
    # The span's coordinates cannot tell a rounding-sized residual from none; that much margin is not claimed.
    rounding = span.resolution * seen.lengths * _norm(c)
    margins = np.maximum(np.abs(span.logits(seen.T, c)) - rounding - answers.moved(seen), 0.0)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        reach = np.where(seen.farthest > 0, margins / seen.farthest, np.inf)
    return margins, inside, np.where(margins > 0, np.hypot(inside, reach), 0.0)


def _refuse_impossible(span: Readings, residual: Array, allowed: Array | float, stated: bool) -> None:
    """ValueError unless errors below ``allowed`` can leave the residual r: what they must meet, not all that they must.

    Errors d leave r = (I - H) d, so that |r_i| <= sum_j |I - H|_ij e_j and r.r <= sum_i |r_i| e_i. A linear programme
    would decide exactly, in minutes for thousands of rows; what is proved of answers that only it would refuse is said
    of no teacher at all.
    """
    size = np.abs(residual)
    if not (size - allowed).max() > 0 or (stated and not span.sensitivity.whole):
        return  # the student itself is such a teacher, or what it missed may come from beyond the span
    at = int(np.argmax(size - allowed))
    if stated:
        e = np.broadcast_to(allowed, residual.shape)
        # H and the residual are known to rounding: what exceeds a bound by no more than that is let pass.
        slack = 8 * len(e) * float(np.finfo(np.float64).eps) * (float(size.sum()) + float(e.sum()))
        within = residual @ residual <= size @ (e + slack)
        if within and (complement := span.sensitivity.complement) is not None:
            over = size - complement @ e - slack
            at, within = int(np.argmax(over)), bool(over.max() <= 0)
        if within:
            return
    raise ValueError(
        f"No linear teacher gave these answers: row {at} is off by {abs(residual[at]):.3g} in the logit. "
        "A certificate needs a linear teacher, and the errors of its answers (error=)."
    )


def _least_norm(pinv: Array, z: Array, e: Array) -> float:
    """Lower bound of |pinv (z - s)| over |s_i| <= e_i, true whatever the optimiser returned.

    By duality every unit vector y gives the bound y.(pinv z) - sum_i |pinv' y|_i e_i; the optimal
    residual's direction makes it sharp.
    """
    moved = pinv * e
    best = lsq_linear(moved, pinv @ z, bounds=(-1.0, 1.0), method="bvls" if len(e) < 500 else "trf").x
    y = pinv @ z - moved @ best
    length = np.linalg.norm(y)
    if length == 0:
        return 0.0
    return max(0.0, float((y @ (pinv @ z) - np.abs(moved.T @ y).sum()) / length))


def disagreement_probability(
    X: ArrayLike | Readings, T: ArrayLike, *, covariance: ArrayLike | None = None
) -> Array:
    """Probability that student and teacher differ at each point, before any answer is bought.

    Under a rotation-invariant prior on the teacher it is the angle between x and the span, over pi;
    under a normal prior with covariance S, arccos(x'SPx / sqrt(x'Sx x'PSPx)) / pi.

    Parameters
    ----------
    X : array_like, shape (n, d), or Span or KernelSpan
        Points to be labelled.
    T : array_like, shape (m, d)
        Points to be decided, no row zero.
    covariance : array_like, shape (d, d), optional
        S, of the teacher's weights, for points of R^d. Default: any rotation-invariant prior.

    Returns
    -------
    ndarray, shape (m,)
        1/2 for a point orthogonal to the span.

    Raises
    ------
    ValueError
        If the covariance is not symmetric, not positive semidefinite, or of other features.
    """
    span = X if isinstance(X, Readings) else Span(X)
    T = np.asarray(_check.points(T, "T"), dtype=np.float64)
    if covariance is None:
        _check.nonzero(span.lengths(T)[:, None], "T")
        return np.arctan2(span.distances(T), row_norms(span.coordinates(T))) / np.pi
    if not isinstance(span, Span):
        raise ValueError("covariance is of weights in R^d: the features of a kernel take none.")
    T = _check.nonzero(T, "T")
    T = T / row_norms(T)[:, None]
    inside = span.project(T)
    S = _check.covariance(covariance, "covariance", span.d)
    teacher, student = np.einsum("ij,ij->i", T @ S, T), np.einsum("ij,ij->i", inside @ S, inside)
    cross = np.einsum("ij,ij->i", T @ S, inside)
    size = np.sqrt(np.maximum(teacher * student, 0.0))
    cosine = np.divide(cross, size, out=np.zeros_like(cross), where=size > 0)
    return np.arccos(np.clip(cosine, -1.0, 1.0)) / np.pi
