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
    logits, error = labels.logits.reshape(len(labels), -1), labels.error.reshape(len(labels), -1)
    exact = float(error.max()) <= ROUNDING * float(np.abs(logits).max())
    if exact and points.span.rank == points.span.d:
        return Asked(None)
    return Asked(np.array(points.affine), logits, None if exact else error)


def prove(student: Any, X: Array, teacher_norm: float) -> ProvedAnswers:
    """`SoftLabelClassifier.certify` of checked points."""
    _refuse(student)
    intercept, known = student.fit_intercept, student._asked
    points, logits = known.points, known.logits
    if points is None:  # as good as being told the weights
        logits = np.column_stack([student.coef_, student.intercept_] if intercept else [student.coef_]).T
        points = np.eye(len(logits))
    T = np.asarray(with_ones(X) if intercept else X, dtype=np.float64)
    if logits.shape[1] == 1:
        error = None if known.error is None else known.error[:, 0]
        found = certify(points, logits[:, 0], T, error=error)
    else:
        found = certify_classes(points, logits, T, error=known.error)
    said = (
        f"the teacher is linear in these features{' with an intercept' if intercept else ', without intercept'} "
        f"(verdict on the rows learned from: {_verdict(student)})",
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
    if _verdict(student) == "not linear":
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


def _verdict(student: Any) -> str:
    """Of a student updated row by row, which checks its answers to be a linear teacher's as they come, unknown."""
    return student.linearity_.verdict if hasattr(student, "linearity_") else "cannot tell yet"
