"""What a saved student carries so that its answers can be proved elsewhere: the points it learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from limbeck.labels import Array
from limbeck.records import UserError
from limbeck.students._certify import Asked, ProvedAnswers, prove_from, remembered, verdict
from limbeck.students.design import with_ones
from limbeck.students.study import Distilled
from limbeck.theory.scaling import Scaling

STORED = ("float32", "float64")
"""Types that points are learned from."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Points and answers in the metric a student was learned in."""

    scaling: Scaling
    """The metric."""
    intercept: bool
    """Whether a column of ones stands last."""
    points: Array
    """(n, d), or (n, d + 1) with the intercept's column."""
    logits: Array
    """(n, m), m = 1 for two classes."""
    error: Array | None
    """Largest error of each logit, where it is more than rounding."""
    verdict: str
    """Whether the teacher was found linear on the rows learned from."""
    dtype: str = "float64"
    """Name of the type the points came in."""

    @classmethod
    def of(cls, made: Distilled) -> Evidence:
        """Evidence of a distilled student.

        Raises
        ------
        UserError
            If its answers can never be proved: a ridge, a teacher that is not linear, sparse points.
        """
        if made.scaling is None:
            raise UserError("Answers are proved for dense points only, and a text's words are sparse.")
        try:
            known = remembered(made.inner)
        except ValueError as error:
            raise UserError(str(error)) from error
        intercept = bool(made.inner.fit_intercept)
        return cls(made.scaling, intercept, *known.rows, verdict(made.inner), known.dtype)

    def prove(self, X: Array, teacher_norm: float, codes: np.ndarray | None = None) -> ProvedAnswers:
        """Which answers at points X (m, d), in the features as given, are proved for teachers of norm up to the bound.

        ``codes`` (m,) are the classes that the student answers there; only such answers are proved.
        The norm is that of the teacher's weights in the metric the student was learned in, intercept included.
        """
        T = np.asarray(self.scaling.apply(X), dtype=np.float64)
        T = np.asarray(with_ones(T)) if self.intercept else T
        known = Asked(self.points, self.logits, self.error, len(self.points), self.dtype)
        return prove_from(known, T, teacher_norm, codes, intercept=self.intercept, verdict=self.verdict)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "scaling": self.scaling.kind,
            "centre": self.scaling.centre.tolist(),
            "matrix": self.scaling.matrix.tolist(),
            "intercept": self.intercept,
            "points": self.points.tolist(),
            "logits": self.logits.tolist(),
            "error": None if self.error is None else self.error.tolist(),
            "verdict": self.verdict,
            "dtype": self.dtype,
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Evidence:
        """From plain data; `UserError` if it is none of ours."""
        try:
            centre, matrix, points, logits = (
                np.asarray(saved[name], dtype=np.float64) for name in ("centre", "matrix", "points", "logits")
            )
            error = None if saved["error"] is None else np.asarray(saved["error"], dtype=np.float64)
            width = len(centre) + int(saved["intercept"])
            fits = points.shape == (len(logits), width) and matrix.shape in (centre.shape, centre.shape * 2)
            if not fits or logits.ndim != 2 or (error is not None and error.shape != logits.shape):
                raise ValueError("the shapes do not match")
            scaling = Scaling(str(saved["scaling"]), centre, matrix)
            if (dtype := str(saved.get("dtype", "float64"))) not in STORED:
                raise ValueError(f"{dtype} is no type of points")
            return cls(scaling, bool(saved["intercept"]), points, logits, error, str(saved["verdict"]), dtype)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"The student's evidence is damaged ({error!r}).") from error


@dataclass(frozen=True)
class Proof:
    """Evidence under a bound on the teacher's norm."""

    evidence: Evidence
    """What was learned from."""
    teacher_norm: float
    """B."""
    assumptions: tuple[str, ...]
    """What must hold of the teacher, in words."""

    @classmethod
    def of(cls, evidence: Evidence, teacher_norm: float) -> Proof:
        """Check the bound before any work; `UserError` if no teacher is left below it."""
        if not 0 < teacher_norm < float("inf"):
            raise UserError(f"--teacher-norm {teacher_norm:g}: a positive number is needed.")
        try:
            found = evidence.prove(np.zeros((1, len(evidence.scaling.centre))), teacher_norm)
        except ValueError as error:
            raise UserError(f"--teacher-norm: {error}") from error
        return cls(evidence, float(teacher_norm), found.assumptions)

    def __call__(self, X: Array, codes: np.ndarray) -> ProvedAnswers:
        """Which of the student's answers, class ``codes`` (m,) at points X (m, d), are proved."""
        return self.evidence.prove(X, self.teacher_norm, codes)
