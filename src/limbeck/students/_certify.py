"""Which of a fitted student's answers are proved: what it must remember, and when it must refuse."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import qr

from limbeck.labels import Array, SoftLabels
from limbeck.students.design import Points, with_ones
from limbeck.theory import Span, certify, certify_classes
from limbeck.theory.readings import ROUNDING, Readings

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
    """Largest error of each, where it is more than rounding."""
    n: int
    """Rows that came."""

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
    kept = error_beyond_rounding(logits, error)
    if kept is None and span.rank == span.d:
        return Asked(None, weights, None, n)
    if span.n <= ROWS_AN_UNKNOWN * span.d:
        return Asked(span.X.copy(), logits, kept, n)
    U, R = qr(span.own_coordinates(), mode="economic", check_finite=False)
    return Asked(R @ span.basis, U.T @ logits, None if kept is None else np.abs(U).T @ kept, n)


def error_beyond_rounding(logits: Array, error: Array) -> Array | None:
    """Largest errors of logits, both (n, m); None where they are no more than the span's own tolerance covers."""
    return None if float(error.max()) <= ROUNDING * float(np.abs(logits).max()) else error


def proved_sides(X: Array, Z: Array, T: Array, *, error: Array | None) -> np.ndarray | None:
    """Class codes (m,) that every linear teacher with these answers has at T, -1 where they differ.

    None where no linear teacher gives the answers within their errors.
    """
    try:
        if Z.ndim == 1:
            one = certify(X, Z, T, error=error)
            codes, bound = (one.logits >= 0).astype(int), one.largest_bound
        else:
            found = certify_classes(X, Z, T, error=error)
            codes, bound = found.classes, found.largest_bound
    except ValueError:
        return None
    return np.where(np.isinf(bound), codes, -1)


def prove(student: Any, X: Array, teacher_norm: float) -> ProvedAnswers:
    """`SoftLabelClassifier.certify` of checked points."""
    points, logits, error = remembered(student)
    intercept = student.fit_intercept
    T = np.asarray(with_ones(X) if intercept else X, dtype=np.float64)
    return prove_from(points, logits, error, T, teacher_norm, intercept=intercept, verdict=verdict(student))


def remembered(student: Any) -> tuple[Array, Array, Array | None]:
    """Points, logits and their errors that the student learned from, or ValueError if it can prove nothing.

    Where they span the space and are exact, that is as good as being told the weights.
    """
    _refuse(student)
    return student._asked.rows


def prove_from(
    points: Array | Readings,
    logits: Array,
    error: Array | None,
    T: Array,
    teacher_norm: float,
    *,
    intercept: bool,
    verdict: str,
) -> ProvedAnswers:
    """The same from points (n, d'), logits (n, m) and their errors, a column of ones among them for an intercept.

    The points may be a span's already, of a kernel's features for one.
    """
    if logits.shape[1] == 1:
        found = certify(points, logits[:, 0], T, error=None if error is None else error[:, 0])
    else:
        found = certify_classes(points, logits, T, error=error)
    said = (
        f"the teacher is linear in these features{' with an intercept' if intercept else ', without intercept'} "
        f"(verdict on the rows learned from: {verdict})",
        f"the norm of its weights{', intercept included,' if intercept else ''} is at most {teacher_norm:.6g}",
        *found.assumptions[1:],
    )
    return ProvedAnswers(
        found.proved(teacher_norm), float(teacher_norm), found.norm_inside, found.largest_bound, said
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
