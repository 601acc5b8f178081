"""A teacher's answers in a table: probabilities, log-probabilities, logits or labels, and the classes they name.

A row whose answer cells are all empty has no answer. It is an error, or on request set aside and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import NoReturn

import numpy as np
import pyarrow.compute as pc
from numpy.typing import ArrayLike

from limbeck.data.columns import Column, as_lists, missing, numbers, texts, vectors, vectors_with_gaps
from limbeck.data.tables import Chunk, Table, matching
from limbeck.labels import (
    RowError,
    SoftLabels,
    from_hard,
    from_log_probabilities,
    from_logits,
    from_partial_log_probabilities,
    from_probabilities,
)
from limbeck.records import UserError

READERS: dict[str, Callable[[ArrayLike], SoftLabels]] = {
    "probability": from_probabilities,
    "log-probability": from_log_probabilities,
    "logit": from_logits,
}
SEPARATORS = "_-.: "
FEWEST_SHARES = 5
ADVICE = {
    "sum": " Scores are given as --teacher-logit. If only the likeliest classes are named, --top-k reads their "
    "log-probabilities, the others' cells empty.",
    "mass": " --top-k uniform shares it among the classes not named, --top-k zero takes it as none.",
}
"""What to do about a `RowError`'s fault, in a command's options."""


@dataclass(frozen=True)
class Teacher:
    """Where a table holds what the teacher said."""

    kind: str
    """``probability``, ``log-probability``, ``logit`` or ``label``."""
    columns: tuple[str, ...]
    """One column for two classes (of the second one), one a class, or a single column of vectors or labels."""
    classes: tuple[str, ...] | None = None
    """Names of the classes, in the order of the columns; None for the columns' own names."""
    unanswered: str = "error"
    """What a row without any answer is: an ``error``, or one to ``drop`` from what is learned and rated."""
    top_k: str | None = None
    """Log-probabilities: what becomes of the mass of classes whose cells are empty, as `from_top_k`'s ``tail``; None
    where none may be empty."""
    width: int = 0
    """Length of the vectors in a single column of them; 0 where only reading tells, see `settled`."""


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
    weights: np.ndarray | None = None
    """How many rows each row counts as, (n,); None if each counts as one."""

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: np.ndarray) -> Answers:
        weights = None if self.weights is None else self.weights[rows]
        return Answers(self.kind, self.values[rows], self.labels[rows], self.classes, weights)

    @property
    def decisions(self) -> np.ndarray:
        """Code (n,) of the class that the teacher decides for; at even odds class 1 of two, as in the paper."""
        return self.labels.decisions


def soft_labels(
    teacher: Teacher, values: np.ndarray, first: int = 0, chunks: Sequence[Chunk] = ()
) -> SoftLabels:
    """Answers as soft labels, of those rows that have one; labels need `Teacher.classes`.

    Raises
    ------
    UserError
        If a value is no answer of its kind: naming its row, counted from 1, where ``first`` rows came before, or its
        file and its row in there where ``chunks``, from the first row on, say which.
    """
    if teacher.top_k is not None and (values.ndim == 1 or values.shape[1] < 3):
        raise UserError(_too_few(teacher, 1 if values.ndim == 1 else values.shape[1]))
    kept = answered(teacher, values)
    if teacher.kind == "logit" and _are_shares(values[kept]):
        raise UserError(
            f"The teacher's answers ({', '.join(teacher.columns[:3])}, ...) are given as logits, and every row of them "
            "is one of probabilities: they lie in [0, 1] and sum to 1. Give them as --teacher-probability."
        )
    if not kept.any():
        return _read(teacher, _neutral(teacher, values))[:0]
    try:
        return _read(teacher, values if kept.all() else values[kept])
    except RowError as error:
        row = first + int(np.flatnonzero(kept)[error.row])
        raise UserError(_named(teacher, error, row, chunks)) from error
    except ValueError as error:
        raise UserError(f"The teacher's answers ({', '.join(teacher.columns)}): {error}") from error


def _are_shares(values: np.ndarray) -> bool:
    """Whether rows (n, K) of three classes or more are probabilities, too many to be so by chance."""
    if values.ndim == 1 or values.shape[1] < 3 or len(values) < FEWEST_SHARES:
        return False
    return bool(np.all((values >= 0) & (values <= 1)) and np.all(np.abs(values.sum(axis=1) - 1) < 1e-3))


def _too_few(teacher: Teacher, count: int) -> str:
    return (
        f"--top-k reads log-probabilities of three classes or more, a column a class; {', '.join(teacher.columns)} "
        f"{'holds one' if count == 1 else f'hold {count}'}. With two classes nothing is missing: leave --top-k out."
    )


def _named(teacher: Teacher, error: RowError, row: int, chunks: Sequence[Chunk]) -> str:
    """What is wrong with a row, from 0, in terms of the table and of a command's options."""
    own = next((c for c in chunks if c.first <= row < c.first + len(c) and c.file is not None), None)
    column = None
    if error.column is not None:
        several = len(teacher.columns) > 1
        column = repr(teacher.columns[error.column if several else 0])
        column += "" if several or teacher.kind == "label" else f", entry {error.column + 1}"
    said = error.said.format(row=row + 1 - (0 if own is None else own.before), column=column)
    advice = ADVICE.get(error.fault, error.advice)
    before = "" if own is None else f"{own.file}: "
    whose = "" if column is not None else f"The teacher's answers ({', '.join(teacher.columns)}): "
    return f"{before}{whose}{said}{advice}"


def answered(teacher: Teacher, values: np.ndarray) -> np.ndarray:
    """Which rows (n,) of values as stored have an answer; all of them unless rows without may be dropped."""
    if teacher.unanswered != "drop" or values.dtype.kind not in "fO":
        return np.ones(len(values), dtype=bool)
    if values.dtype == object:
        return np.array([value is not None for value in values], dtype=bool)
    gaps: np.ndarray = np.isnan(values)
    return np.logical_not(gaps if gaps.ndim == 1 else gaps.all(axis=1))


def _read(teacher: Teacher, values: np.ndarray) -> SoftLabels:
    if teacher.top_k is not None:
        return from_partial_log_probabilities(values, tail=teacher.top_k)
    if teacher.kind != "label":
        return READERS[teacher.kind](values)
    assert teacher.classes is not None
    code = {label: i for i, label in enumerate(teacher.classes)}
    codes = np.array([code.get(label, -1) for label in values])
    if (codes < 0).any():
        at = int(np.argmax(codes < 0))
        held = repr(values[at]).replace("{", "{{").replace("}", "}}")
        raise RowError(f"Row {{row}}, column {{column}} holds {held}, which --classes does not name.", at, 0)
    return from_hard(codes, len(code))


def _neutral(teacher: Teacher, values: np.ndarray) -> np.ndarray:
    """One row of answers of the same shape that says nothing."""
    if teacher.kind == "label":
        assert teacher.classes is not None
        return np.array(teacher.classes[:1], dtype=object)
    share = 1 / (2 if values.ndim == 1 else values.shape[1])
    said = {"probability": share, "log-probability": np.log(share), "logit": 0.0}[teacher.kind]
    return np.full((1, *values.shape[1:]), said)


def read_answers(teacher: Teacher, chunks: Sequence[Chunk]) -> tuple[np.ndarray, Answers]:
    """Rows of the chunks that have an answer, counted from 0, and the answers.

    Raises
    ------
    UserError
        If no row has one, a row has none and rows without are not to be dropped, a value is no answer of its kind, a
        row does not sum to 1, or a label is no class named: naming the row.
    """
    teacher = settled(teacher, chunks)
    values = np.concatenate([values_of(teacher, chunk) for chunk in chunks])
    rows = np.flatnonzero(answered(teacher, values))
    if not len(rows):
        raise UserError(
            f"No row has an answer in {', '.join(teacher.columns)}: there is nothing to learn from."
        )
    if teacher.kind == "label":
        teacher = replace(teacher, classes=_classes_seen(teacher, values[rows]))
    labels = soft_labels(teacher, values, chunks=chunks)
    if teacher.top_k == "zero":
        _refuse_unnamed(teacher, labels)
    return rows, answers_of(teacher, values[rows], labels)


def _refuse_unnamed(teacher: Teacher, labels: SoftLabels) -> None:
    never: np.ndarray = np.logical_not(labels.probabilities.any(axis=0))
    if never.any():
        at = int(np.argmax(never))
        column = f" (column {teacher.columns[at]!r})" if len(teacher.columns) > 1 else ""
        raise UserError(
            f"No row names the class {names_of(teacher, len(never))[at]!r}{column}: under --top-k zero nothing can be "
            "learned of it. Leave it out, or share the mass not named by --top-k uniform."
        )


def answers_of(teacher: Teacher, values: np.ndarray, labels: SoftLabels) -> Answers:
    """Answers from values as stored, every one an answer, and the same as soft labels."""
    names = names_of(teacher, labels.n_classes)
    if teacher.top_k is not None:  # what the empty cells hold is in the labels alone
        return Answers("probability", labels.probabilities, labels, names)
    return Answers(teacher.kind, labels.decisions if teacher.kind == "label" else values, labels, names)


def settled(teacher: Teacher, chunks: Iterable[Chunk]) -> Teacher:
    """The teacher with the length of its vectors, which rows without one cannot tell."""
    if teacher.unanswered != "drop" or teacher.kind == "label" or len(teacher.columns) != 1:
        return teacher
    for chunk in chunks:
        column = as_lists(chunk.columns[teacher.columns[0]], teacher.columns[0], chunk.first)
        some = np.flatnonzero(~missing(column))
        if len(some):
            first = column[int(some[0])].as_py()
            return replace(teacher, width=len(first) if isinstance(first, list) else 0)
    return teacher


def values_of(teacher: Teacher, chunk: Chunk) -> np.ndarray:
    """The answers of a chunk as stored, (m,) or (m, K), labels as text; NaN, or None, where a row has none.

    Raises
    ------
    UserError
        If a row has none and is not to be dropped, or some of its cells are empty and others are not: naming it.
    """
    with chunk.in_file() as here:
        if teacher.kind == "label":
            return _texts(teacher, here)
        values = _stored(teacher, here)
        gaps: np.ndarray = np.isnan(values)
        if gaps.any():
            _refuse_gaps(teacher, here, gaps if gaps.ndim == 2 else gaps[:, None])
        return values


def _texts(teacher: Teacher, chunk: Chunk) -> np.ndarray:
    name = teacher.columns[0]
    column = chunk.columns[name]
    empty = missing(column)
    if empty.any():
        _refuse_gaps(teacher, chunk, empty[:, None])
    values = np.full(len(chunk), None, dtype=object)
    values[~empty] = texts(pc.filter(column, ~empty) if empty.any() else column, name, chunk.first)
    return values


def _stored(teacher: Teacher, chunk: Chunk) -> np.ndarray:
    finite = teacher.kind == "probability"
    columns = [chunk.columns[name] for name in teacher.columns]
    if len(columns) == 1:
        columns = [as_lists(columns[0], teacher.columns[0], chunk.first)]
    if len(columns) == 1 and (teacher.width or _holds_vectors(columns[0])):
        name = teacher.columns[0]
        if teacher.width:
            return vectors_with_gaps(columns[0], name, chunk.first, width=teacher.width)
        return vectors(columns[0], name, chunk.first)
    read = [
        numbers(column, name, chunk.first, finite=finite, gaps=True)
        for column, name in zip(columns, teacher.columns, strict=True)
    ]
    return read[0] if len(read) == 1 else np.column_stack(read)


def _refuse_gaps(teacher: Teacher, chunk: Chunk, gaps: np.ndarray) -> None:
    """Raise a `UserError` at the first row (of (m, K) gaps) that is neither an answer nor may be dropped."""
    none = np.asarray(gaps.all(axis=1))
    some = gaps.any(axis=1) & ~none if teacher.top_k is None else np.zeros(len(gaps), dtype=bool)
    bad = some if teacher.unanswered == "drop" else some | none
    if not bad.any():
        return
    row = int(np.argmax(bad))
    at = int(np.argmax(gaps[row]))
    name = teacher.columns[at if len(teacher.columns) > 1 else 0]
    empty = missing(chunk.columns[name])[row]
    where = f"Row {chunk.first + row + 1}, column {name!r} {'is empty' if empty else 'holds NaN'}"
    if none[row]:
        raise UserError(
            f"{where}: the row has no answer. Fill it in, leave the row out of the file, or give --unanswered drop: "
            "rows without any answer are then not learned from, and counted."
        )
    hint = (
        " If the teacher named its likeliest classes only, --top-k says what becomes of the others."
        if teacher.kind == "log-probability"
        else ""
    )
    raise UserError(f"{where}, and the row's other answers are not: fill it in, or empty them all.{hint}")


def _holds_vectors(column: Column) -> bool:
    return "list" in str(column.type)


def names_of(teacher: Teacher, n_classes: int) -> tuple[str, ...]:
    """Names of the classes: those given, else the columns' own, else 0, 1, ..."""
    if teacher.classes is None:
        return teacher.columns if len(teacher.columns) == n_classes else tuple(map(str, range(n_classes)))
    if len(teacher.classes) != n_classes:
        raise UserError(
            f"--classes names {len(teacher.classes)} classes, and the teacher answers for {n_classes}."
        )
    return teacher.classes


def _classes_seen(teacher: Teacher, labels: np.ndarray) -> tuple[str, ...]:
    """Names of the classes of hard labels, each of which must occur."""
    name, seen = teacher.columns[0], set(labels)
    classes = teacher.classes if teacher.classes is not None else tuple(sorted(seen))
    if len(classes) < 2:
        raise UserError(f"Column {name!r} holds one class only, {labels[0]!r}: there is nothing to decide.")
    unseen = sorted(set(classes) - seen)
    if unseen and seen <= set(classes):  # else the label that is no class is named
        raise UserError(
            f"The class {unseen[0]!r} never occurs in column {name!r}: nothing can be learned of it."
        )
    return classes


# -- which columns, and what the classes are called ------------------------------------------------


def columns_named(table: Table, option: str, patterns: Sequence[str]) -> tuple[str, ...]:
    """Columns that names or patterns such as ``p_*`` say, in their order, and each pattern's in the table's.

    Raises
    ------
    UserError
        If one says no column, or a column is said twice.
    """
    found: list[str] = []
    for pattern in patterns:
        more = matching(table, pattern)
        if not more:
            _refuse_pattern(table, option, pattern)
        found += more
    twice = next((name for name in found if found.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{table.path}: {option} names the column {twice!r} twice: each class has one.")
    return tuple(found)


def _refuse_pattern(table: Table, option: str, pattern: str) -> NoReturn:
    shown = ", ".join(map(repr, table.columns[:20])) + (" ..." if len(table.columns) > 20 else "")
    raise UserError(
        f"{table.path}: no column {pattern!r}, and none that matches it as a pattern. {option} takes names and "
        f"patterns such as 'p_*', and can be repeated. There are {len(table.columns)}: {shown}."
    )


def classes_named(table: Table, patterns: Sequence[str], columns: tuple[str, ...]) -> tuple[str, ...] | None:
    """What several columns call their classes: what the ``*`` of a pattern matched, or what follows a common prefix.

    A prefix ends in one of ``_ - . :`` or a space: of ``p_spam`` and ``p_spoof`` it is ``p_``. Where neither gives
    different names, these are the columns' own; for one column None.
    """
    if len(columns) < 2:
        return None
    starred = [stem.lstrip(SEPARATORS) for pattern in patterns for stem in _matched(table, pattern)]
    least, most = min(columns), max(columns)
    shared = takewhile(lambda pair: pair[0] == pair[1], zip(least, most, strict=False))
    common = "".join(a for a, _ in shared)
    prefix = common[: 1 + max(common.rfind(mark) for mark in SEPARATORS)]
    for names in (starred, [column[len(prefix) :] for column in columns]):
        if len(names) == len(columns) == len(set(names)) and all(name.strip() for name in names):
            return tuple(names)
    return columns


def _matched(table: Table, pattern: str) -> list[str]:
    """What the only ``*`` of a pattern stands for in each column; nothing where it is no such pattern."""
    before, star, after = pattern.partition("*")
    if pattern in table.columns or not star or any(mark in before + after for mark in "*?["):
        return []
    return [name[len(before) : len(name) - len(after)] for name in matching(table, pattern)]
