"""A teacher's answers in a table: probabilities, log-probabilities, logits or labels, and the classes they name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from limbeck.data.columns import Column, numbers, texts, vectors
from limbeck.data.tables import Chunk
from limbeck.labels import SoftLabels, from_hard, from_log_probabilities, from_logits, from_probabilities
from limbeck.records import UserError

READERS: dict[str, Callable[[ArrayLike], SoftLabels]] = {
    "probability": from_probabilities,
    "log-probability": from_log_probabilities,
    "logit": from_logits,
}


@dataclass(frozen=True)
class Teacher:
    """Where a table holds what the teacher said."""

    kind: str
    """``probability``, ``log-probability``, ``logit`` or ``label``."""
    columns: tuple[str, ...]
    """One column for two classes (of the second one), one a class, or a single column of vectors or labels."""
    classes: tuple[str, ...] | None = None
    """Names of the classes, in the order of the columns; None for the columns' own names."""


@dataclass(frozen=True)
class Answers:
    """What the teacher said of some rows."""

    kind: str
    """As `Teacher.kind`."""
    values: np.ndarray
    """As stored, (n,) or (n, K); class codes (n,) for labels."""
    labels: SoftLabels
    """The same as soft labels."""
    classes: tuple[str, ...]
    """Names of the classes, in the order of the labels' columns."""

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: np.ndarray) -> Answers:
        return Answers(self.kind, self.values[rows], self.labels[rows], self.classes)

    @property
    def decisions(self) -> np.ndarray:
        """Code (n,) of the class that the teacher decides for; at even odds class 1 of two, as in the paper."""
        return self.labels.decisions

    @property
    def for_fit(self) -> dict[str, np.ndarray]:
        """The answers as arguments of an estimator's ``fit``, in the precision they were stored in."""
        if self.kind == "label":
            return {"y": np.array(self.classes, dtype=object)[self.values]}
        if self.kind == "probability":
            return {"teacher_proba": self.values}
        if self.kind == "logit" or self.values.ndim == 2:
            # Log-probabilities are logits, up to a constant a row that softmax does not see.
            return {"teacher_logits": self.values}
        with np.errstate(divide="ignore"):
            other = np.log(-np.expm1(np.minimum(self.values.astype(np.float64), 0.0)))
        return {"teacher_logits": np.column_stack([other.astype(self.values.dtype), self.values])}


def soft_labels(teacher: Teacher, values: np.ndarray, first: int = 0) -> SoftLabels:
    """Answers of some rows as soft labels; labels need `Teacher.classes`.

    Raises
    ------
    UserError
        If a value is no answer of its kind; rows count from 1, ``first`` came before.
    """
    if teacher.kind != "label":
        try:
            return READERS[teacher.kind](values)
        except ValueError as error:
            raise UserError(
                f"The teacher's answers ({', '.join(teacher.columns)}), counted from 0 at row {first + 1}: {error}"
            ) from error
    assert teacher.classes is not None
    code = {label: i for i, label in enumerate(teacher.classes)}
    codes = np.array([code.get(label, -1) for label in values])
    if (codes < 0).any():
        at = int(np.argmax(codes < 0))
        raise UserError(
            f"Row {first + at + 1} holds the label {values[at]!r}, which --classes does not name."
        )
    return from_hard(codes, len(code))


def read_answers(teacher: Teacher, chunks: Sequence[Chunk]) -> Answers:
    """Answers of all rows of the chunks.

    Raises
    ------
    UserError
        If a value is no answer of its kind, a row does not sum to 1, or a label is no class named: naming the row.
    """
    if teacher.kind == "label":
        return _hard(teacher, chunks)
    values = np.concatenate([values_of(teacher, chunk) for chunk in chunks])
    try:
        labels = READERS[teacher.kind](values)
    except ValueError as error:
        raise UserError(
            f"The teacher's answers ({', '.join(teacher.columns)}), rows from 0: {error}"
        ) from error
    return Answers(teacher.kind, values, labels, _names(teacher, labels.n_classes))


def values_of(teacher: Teacher, chunk: Chunk) -> np.ndarray:
    """The answers of a chunk as stored, (m,) or (m, K); labels as text."""
    if teacher.kind == "label":
        name = teacher.columns[0]
        return np.array(texts(chunk.columns[name], name, chunk.first), dtype=object)
    finite = teacher.kind == "probability"
    if len(teacher.columns) != 1:
        blocks = [numbers(chunk.columns[n], n, chunk.first, finite=finite) for n in teacher.columns]
        return np.column_stack(blocks)
    name = teacher.columns[0]
    column = chunk.columns[name]
    if _holds_vectors(column):
        return vectors(column, name, chunk.first)
    return numbers(column, name, chunk.first, finite=finite)


def _holds_vectors(column: Column) -> bool:
    return "list" in str(column.type)


def _names(teacher: Teacher, n_classes: int) -> tuple[str, ...]:
    if teacher.classes is None:
        return teacher.columns if len(teacher.columns) == n_classes else tuple(map(str, range(n_classes)))
    if len(teacher.classes) != n_classes:
        raise UserError(
            f"--classes names {len(teacher.classes)} classes, and the teacher answers for {n_classes}."
        )
    return teacher.classes


def _hard(teacher: Teacher, chunks: Sequence[Chunk]) -> Answers:
    name = teacher.columns[0]
    seen = [label for chunk in chunks for label in texts(chunk.columns[name], name, chunk.first)]
    classes = teacher.classes if teacher.classes is not None else tuple(sorted(set(seen)))
    code = {label: i for i, label in enumerate(classes)}
    for row, label in enumerate(seen):
        if label not in code:
            raise UserError(f"Row {row + 1}, column {name!r} holds {label!r}, which --classes does not name.")
    if len(classes) < 2:
        raise UserError(f"Column {name!r} holds one class only, {seen[0]!r}: there is nothing to decide.")
    missing = sorted(set(classes) - set(seen))
    if missing:
        raise UserError(
            f"The class {missing[0]!r} never occurs in column {name!r}: nothing can be learned of it."
        )
    codes = np.array([code[label] for label in seen])
    return Answers("label", codes, from_hard(codes, len(classes)), classes)
