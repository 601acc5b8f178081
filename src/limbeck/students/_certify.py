"""Which of a fitted student's answers are proved: what it must remember, and when it must refuse."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import qr

from limbeck.labels import Array, SoftLabels
from limbeck.students.design import Points, with_ones
from limbeck.theory import Span, certify, certify_classes
from limbeck.theory.readings import Readings

ROWS_AN_UNKNOWN = (
    10  # kept as they came; beyond, folded: then a certificate's size does not depend on how many came
)


@dataclass(frozen=True, eq=False)
class ProvedAnswers:
    """Which answers of a student are proved to be the teacher's, and under which assumptions."""

    proved: np.ndarray
    """Whether each answer is proved, (m,) of bool."""
    teacher_norm: float
    """The bound B that was assumed: |(w, b)| <= B of the teacher, intercept included where the student has one; for
    K >= 3 classes, of the difference of any two classes' (w, b)."""
    norm_inside: float
    """What the answers show that norm to be at least."""
    largest_bound: Array
    """Each answer is proved for every teacher below this norm, (m,); inf where it follows from the answers alone."""
    assumptions: tuple[str, ...]
    """What must hold of the teacher for that, in words."""

    @property
    def share(self) -> float:
        """Share of the answers that is proved."""
        return float(np.mean(self.proved))


@dataclass(frozen=True, eq=False)
class Asked:
    """What a student learned from, as far as a certificate or another batch of rows needs it."""

    points: Array | None
    """(k, d), or (k, d + 1) with the intercept's column; None where they span the space and their answers are
    exact: then ``logits`` are those of the unit vectors."""
    logits: Array
    """(k, m), m = 1 for two classes."""
    error: Array | None
    """Largest error of each; None of the unit vectors'."""
    n: int
    """Rows that came."""
    dtype: str = "float64"
    """Name of the type the points came in, the shortest of several."""

    @property
    def rows(self) -> tuple[Array, Array, Array | None]:
        """Points, logits and errors."""
        points = np.eye(len(self.logits)) if self.points is None else self.points
        return points, self.logits, self.error

    def times(self, factor: float) -> Asked:
        """The same of a student whose logits are ``factor`` > 0 times these."""
        error = None if self.error is None else factor * self.error
        return replace(self, logits=factor * self.logits, error=error)


def nothing(width: int, columns: int) -> Asked:
    """Before the first row, of ``width`` unknowns for each of ``columns`` logits."""
    return Asked(np.empty((0, width)), np.empty((0, columns)), None, 0)


def asked(points: Points, labels: SoftLabels) -> Asked | None:
    """What to remember; nothing of sparse points, or where there are no logits."""
    if points.sparse:
        return None
    kept = np.flatnonzero(~labels.saturated)
    if len(kept) == 0:
        return None
    full = len(kept) == len(labels)
    points, labels = (points, labels) if full else (points[kept], labels[kept])
    logits, error = labels.logits.reshape(len(labels), -1), labels.error.reshape(len(labels), -1)
    return remember(points.span, logits, error, points.least_squares(labels).weights, len(labels))


def remember(span: Span, logits: Array, error: Array, weights: Array, n: int) -> Asked:
    """Of a span's points, with their logits and errors (k, m) and least-squares ``weights`` (d, m), what is needed.

    Many rows X = U R Q, Q the span's basis, are folded into the points R Q with the logits U^T z, each off by no more
    than |U|^T e: the same student and the same span from no more rows than the rank. What is proved from them is true,
    and of rounded answers less than all rows would prove.
    """
    dtype = span.dtype.name
    if span.rank == span.d and _forgettable(span, logits, error, weights):
        return Asked(None, weights, None, n, dtype)
    if span.n <= ROWS_AN_UNKNOWN * span.d:
        return Asked(span.X.copy(), logits, error, n, dtype)
    U, R = qr(span.own_coordinates(), mode="economic", check_finite=False)
    # What rounding in the rows folded is worth, the lengths of R's do not tell.
    rounding = float(np.finfo(dtype).eps) * np.outer(span.lengths(span.X), np.linalg.norm(weights, axis=0))
    return Asked(R @ span.basis, U.T @ logits, np.abs(U).T @ (error + rounding), n, dtype)


def covered(span: Readings, logits: Array, error: Array) -> bool:
    """Whether errors (n, m) of logits (n, m) are no more than the rounding that a certificate counts in each answer.

    It carries that through the points' condition, as it would the errors.
    """
    sensitivity = span.sensitivity
    floor = span.rounding * _least_apart(span.student(logits).coordinates) * sensitivity.scale
    return 2 * float(sensitivity.relative(error).max()) <= float(sensitivity.relative(floor))


def _forgettable(span: Span, logits: Array, error: Array, weights: Array) -> bool:
    """Whether the weights say all: no error moves an answer by more than a certificate takes off for rounding in them.

    Carried through the points' condition, which is forgotten with the points: an error of 1e-16 in the answers is one
    of 1e-6 in a direction that is 1e-10 of the others.
    """
    eps, d = float(np.finfo(span.dtype).eps), span.d
    points = eps * np.outer(span.lengths(span.X), np.linalg.norm(weights, axis=0))
    off = error + np.abs(logits - span.X @ weights) + points
    moved = 2 * float(np.linalg.norm(off, axis=0).max()) * span.amplification
    return moved <= (1 + np.sqrt(d)) * max(8 * d * float(np.finfo(np.float64).eps), eps) * _least_apart(
        weights
    )


def _least_apart(c: Array) -> float:
    """Norm of the student (r, 1), or the least of the differences of any two classes' (r, K)."""
    return float(np.sqrt(max(float(_squares_apart(c).min()), 0.0)))


def _squares_apart(c: Array) -> Array:
    """Squared norm of the student (r, 1), or of the difference of any two classes' (r, K)."""
    if c.shape[1] == 1:
        return np.square(c).sum(axis=0)
    gram = c.T @ c
    size = gram.diagonal()
    return (size[:, None] + size - 2 * gram)[np.triu_indices(len(gram), 1)]


def proved_sides(X: Array, Z: Array, T: Array, *, error: Array, dtype: np.dtype[Any]) -> np.ndarray | None:
    """Class codes (m,) that every linear teacher with these answers has at T, -1 where they differ.

    None where no linear teacher gives the answers within their errors.
    """
    span, many = Span(X, dtype=dtype), Z.reshape(len(Z), -1)
    e = None if covered(span, many, error.reshape(many.shape)) else error
    try:
        if Z.ndim == 1:
            one = certify(span, Z, T, error=e)
            codes, bound = (one.logits >= 0).astype(int), one.largest_bound
        else:
            found = certify_classes(span, Z, T, error=e)
            codes, bound = found.classes, found.largest_bound
    except ValueError:
        return None
    return np.where(np.isinf(bound), codes, -1)


def prove(student: Any, X: Array, teacher_norm: float) -> ProvedAnswers:
    """`SoftLabelClassifier.certify` of checked points."""
    intercept = student.fit_intercept
    T = np.asarray(with_ones(X) if intercept else X, dtype=np.float64)
    codes = student._codes(X)
    return prove_from(
        remembered(student), T, teacher_norm, codes, intercept=intercept, verdict=verdict(student)
    )


def remembered(student: Any) -> Asked:
    """Points, logits and their errors that the student learned from, or ValueError if it can prove nothing.

    Where they span the space and are exact, that is as good as being told the weights.
    """
    _refuse(student)
    return student._asked


def prove_from(
    known: Asked,
    T: Array,
    teacher_norm: float,
    codes: np.ndarray | None,
    *,
    intercept: bool,
    verdict: str,
    span: Readings | None = None,
) -> ProvedAnswers:
    """The same from what is known, at points T (m, d'), a column of ones among them for an intercept.

    ``codes`` (m,) are the classes that the student answers: where its own arithmetic decides otherwise than what is
    proved, nothing is proved of its answer. Without them they are those of the certificate. ``span`` is that of the
    points in a kernel's features.
    """
    points, logits, error = known.rows
    span = Span(points, dtype=known.dtype) if span is None else span
    if error is not None and covered(span, logits, error):
        error = None
    if logits.shape[1] == 1:
        found = certify(span, logits[:, 0], T, error=None if error is None else error[:, 0])
        decided = (found.logits >= 0).astype(int)
    else:
        found = certify_classes(span, logits, T, error=error)
        decided = found.classes
    said = (
        f"the teacher is linear in these features{' with an intercept' if intercept else ', without intercept'} "
        f"(verdict on the rows learned from: {verdict})",
        f"the norm of its weights{', intercept included,' if intercept else ''} is at most {teacher_norm:.6g}",
        *found.assumptions[1:],
    )
    alike = np.ones(len(T), dtype=bool) if codes is None else decided == codes
    return ProvedAnswers(
        found.proved(teacher_norm) & alike,
        float(teacher_norm),
        found.norm_inside,
        np.where(alike, found.largest_bound, 0.0),
        said,
    )


def _refuse(student: Any) -> None:
    instead = (
        "Count disagreements on a random held-out sample instead (limbeck.theory.clopper_pearson_upper)."
    )
    if student.alpha_ != 0:
        raise ValueError(
            f"Answers are proved for the exact student only, and this one has alpha_ = {student.alpha_:.3g} "
            f"(stop_time = {student.stop_time}): fit with alpha=0 if the teacher is linear. {instead}"
        )
    if verdict(student) == "not linear":
        raise ValueError(
            f"The teacher is not linear in these features: {student.linearity_.reason}. Nothing is proved. {instead}"
        )
    if student.saturated == "bound" and student.n_saturated_:
        raise ValueError(
            f"saturated='bound' bends the student away from the exact answers: use 'drop'. {instead}"
        )
    if getattr(student, "_asked", None) is None:
        raise ValueError(
            "The points learned from were not kept (sparse, without logits, or loaded from a file): fit dense "
            f"points. {instead}"
        )


def verdict(student: Any) -> str:
    """Of a student loaded from a file that holds none, unknown."""
    return student.linearity_.verdict if hasattr(student, "linearity_") else "cannot tell yet"
