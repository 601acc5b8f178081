"""Which of a fitted student's answers are proved: what it must remember, and when it must refuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from limbeck.labels import Array, SoftLabels
from limbeck.students._design import Points, with_ones
from limbeck.theory import certify, certify_classes

ROUNDING = 1e-9  # errors below this share of the largest logit are covered by the span's own tolerance


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Asked:
    """The points a student learned from, as far as a certificate needs them."""

    points: Array | None
    """(n, d), or (n, d + 1) with the intercept's column; None where they span the space and their answers are
    exact: then the weights say all."""
    logits: Array | None = None
    """(n, m), m = 1 for two classes."""
    error: Array | None = None
    """Largest error of each, where it is more than rounding."""


def asked(points: Points, labels: SoftLabels) -> Asked | None:
    """What to remember; nothing of sparse points, or where there are no logits."""
    if points.sparse:
        return None
    kept = np.flatnonzero(~labels.saturated)
    if len(kept) == 0:
        return None
    full = len(kept) == len(labels)
    points, labels = (points, labels) if full else (points[kept], labels[kept])
    error = stated_error(labels)
    if error is None and points.span.rank == points.span.d:
        return Asked(None)
    logits = labels.logits.reshape(len(labels), -1)
    return Asked(np.array(points.affine), logits, None if error is None else error.reshape(len(labels), -1))


def stated_error(labels: SoftLabels) -> Array | None:
    """How far each finite logit may be off, None where that is less than the span's own rounding."""
    exact = float(labels.error.max()) <= ROUNDING * float(np.abs(labels.logits).max())
    return None if exact else labels.error


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
    known = student._asked
    if known.points is not None:
        return known.points, known.logits, known.error
    parts = [student.coef_, student.intercept_] if student.fit_intercept else [student.coef_]
    logits = np.column_stack(parts).T
    return np.eye(len(logits)), logits, None


def prove_from(
    points: Array,
    logits: Array,
    error: Array | None,
    T: Array,
    teacher_norm: float,
    *,
    intercept: bool,
    verdict: str,
) -> ProvedAnswers:
    """The same from points (n, d'), logits (n, m) and their errors, a column of ones among them for an intercept."""
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
    """Of a student updated row by row, which checks its answers to be a linear teacher's as they come, unknown."""
    return student.linearity_.verdict if hasattr(student, "linearity_") else "cannot tell yet"
