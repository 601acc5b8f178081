"""A teacher's answers in a table: probabilities, log-probabilities, logits or labels, and the classes they name.

A row whose answer cells are all empty has no answer. It is an error, or on request set aside and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike

from limbeck import named_scores
from limbeck.data.columns import (
    Column,
    as_lists,
    held,
    missing,
    numbers,
    texts,
    vectors,
    vectors_with_gaps,
    without,
)
from limbeck.data.tables import Chunk, Table, matching
from limbeck.kinds import MISSING_WORDS, refuse_scores_as_labels, refuse_sorted
from limbeck.labels import (
    RowError,
    SoftLabels,
    from_hard,
    from_log_probabilities,
    from_logits,
    from_partial_log_probabilities,
    from_partial_probabilities,
    from_probabilities,
)
from limbeck.records import UserError

READERS: dict[str, Callable[[ArrayLike], SoftLabels]] = {
    "probability": from_probabilities,
    "log-probability": from_log_probabilities,
    "logit": from_logits,
}
SEPARATORS = "_-.: "


@dataclass(frozen=True)
class Teacher:
    """Where a table holds what the teacher said."""

    kind: str
    """``probability``, ``log-probability``, ``logit`` or ``label``."""
    columns: tuple[str, ...]
    """One column for two classes (of the second one), one a class, or a single column of vectors, labels or answers
    that name their classes; with ``decided``, one of probabilities and one of the labels that have them."""
    classes: tuple[str, ...] | None = None
    """Names of the classes, in the order of the columns; None for the columns' own names."""
    unanswered: str = "error"
    """What a row without any answer is: an ``error``, or one to ``drop`` from what is learned and rated."""
    top_k: str | None = None
    """What becomes of the mass of classes whose cells are empty, as `from_top_k`'s ``tail``; None where none may be
    empty."""
    width: int = 0
    """Length of the vectors in a single column of them; 0 where only reading tells, see `settled`."""
    decided: bool = False
    """Whether ``columns`` are the probability of the label decided for, and that label."""
    named: bool = False
    """Whether the answers name their classes, see `settled`; then ``classes`` are all of them."""

    @property
    def partial(self) -> bool:
        """Whether a row may name some of the classes only."""
        return self.top_k is not None or (self.named and self.kind == "probability")


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
    missing: tuple[str, ...] = ()
    """Words such as NA that cells held, which were read as missing."""

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: np.ndarray) -> Answers:
        weights = None if self.weights is None else self.weights[rows]
        return replace(self, values=self.values[rows], labels=self.labels[rows], weights=weights)

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
    least = 2 if teacher.kind == "probability" else 3
    if teacher.top_k is not None and (values.ndim == 1 or values.shape[1] < least):
        raise UserError(_too_few(teacher, 1 if values.ndim == 1 else values.shape[1]))
    kept = answered(teacher, values)
    if not kept.any():
        return _read(teacher, _neutral(teacher, values))[:0]
    try:
        return _read(teacher, values if kept.all() else values[kept])
    except RowError as error:
        row = first + int(np.flatnonzero(kept)[error.row])
        raise UserError(_named(teacher, error, row, chunks)) from error
    except ValueError as error:
        raise UserError(f"The teacher's answers ({', '.join(teacher.columns)}): {error}") from error


def _too_few(teacher: Teacher, count: int) -> str:
    return (
        f"--top-k reads log-probabilities of three classes or more, a column a class; {', '.join(teacher.columns)} "
        f"{'holds one' if count == 1 else f'hold {count}'}. With two classes nothing is missing: leave --top-k out; "
        "--teacher-logit divides each row of log-probabilities by its sum."
    )


def _named(teacher: Teacher, error: RowError, row: int, chunks: Sequence[Chunk]) -> str:
    """What is wrong with a row, from 0, in terms of the table and of a command's options."""
    own = next((c for c in chunks if c.first <= row < c.first + len(c) and c.file is not None), None)
    column = None
    if error.column is not None:
        several = len(teacher.columns) > 1
        column = repr(teacher.columns[error.column if several else 0])
        column += "" if several or teacher.kind == "label" else f", entry {error.column + 1}"
    said = error.text("command", row + 1 - (0 if own is None else own.before), column)
    before = "" if own is None else f"{own.file}: "
    whose = "" if column is not None else f"The teacher's answers ({', '.join(teacher.columns)}): "
    return f"{before}{whose}{said}"


def answered(teacher: Teacher, values: np.ndarray) -> np.ndarray:
    """Which rows (n,) of values as stored have an answer; all of them unless rows without may be dropped."""
    if teacher.unanswered != "drop" or values.dtype.kind not in "fO":
        return np.ones(len(values), dtype=bool)
    if values.dtype == object:
        return np.array([value is not None for value in values], dtype=bool)
    gaps: np.ndarray = np.isnan(values)
    return np.logical_not(gaps if gaps.ndim == 1 else gaps.all(axis=1))


def _read(teacher: Teacher, values: np.ndarray) -> SoftLabels:
    if teacher.partial:
        read = from_partial_probabilities if teacher.kind == "probability" else from_partial_log_probabilities
        return read(values, tail=teacher.top_k or "raise")
    if teacher.kind != "label":
        if len(teacher.columns) == 1 and not teacher.named:
            refuse_sorted(values)
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
        _refuse_scores(teacher, values[rows])
        teacher = replace(teacher, classes=_classes_seen(teacher, values[rows]))
    labels = soft_labels(teacher, values, chunks=chunks)
    if teacher.top_k == "zero":
        _refuse_unnamed(teacher, labels)
    words = {word for chunk in chunks for word in _missing_words(teacher, chunk)}
    return rows, replace(answers_of(teacher, values[rows], labels), missing=tuple(sorted(words)))


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
    if teacher.partial:  # what the empty cells hold is in the labels alone
        return Answers("probability", labels.probabilities, labels, names)
    return Answers(teacher.kind, labels.decisions if teacher.kind == "label" else values, labels, names)


def settled(teacher: Teacher, chunks: Iterable[Chunk]) -> Teacher:
    """The teacher with what its cells alone tell: the length of vectors, or the classes that answers name."""
    if teacher.kind == "label" or not (len(teacher.columns) == 1 or teacher.decided):
        return teacher
    names: set[str] = set()
    for chunk in chunks:
        column = _cells(teacher, chunk, teacher.columns[0])
        some = np.flatnonzero(~missing(column))
        if not len(some):
            continue
        first = column[int(some[0])].as_py()
        if teacher.decided or named_scores.is_named(first):
            names.update(named_scores.classes_in(_pairs(replace(teacher, named=True), chunk)))
        elif not names:
            return replace(teacher, width=_width(teacher, chunk)) if teacher.unanswered == "drop" else teacher
    if len(names) == 1 and teacher.classes is None:
        raise UserError(
            f"Column {teacher.columns[-1]!r} names one class only, {min(names)!r}: there is nothing to decide. If "
            "there are others, name all of them: --classes A,B."
        )
    return replace(teacher, named=bool(names), classes=teacher.classes or tuple(sorted(names)) or None)


def _width(teacher: Teacher, chunk: Chunk) -> int:
    """Length of the first list of numbers in a chunk; 0 of numbers."""
    name = teacher.columns[0]
    column = as_lists(_cells(teacher, chunk, name), name, chunk.first)
    first = column[int(np.argmin(missing(column)))].as_py()
    return len(first) if isinstance(first, list) else 0


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
        values = _by_name(teacher, here) if teacher.named else _stored(teacher, here)
        gaps: np.ndarray = np.isnan(values)
        if gaps.any():
            _refuse_gaps(teacher, here, gaps if gaps.ndim == 2 else gaps[:, None])
        return values


def _cells(teacher: Teacher, chunk: Chunk, name: str) -> Column:
    """A column of answers with null in place of words such as NA, unless the classes name them."""
    words = MISSING_WORDS - set(teacher.classes or ())
    return without(chunk.columns[name], words)


def _missing_words(teacher: Teacher, chunk: Chunk) -> set[str]:
    columns = [chunk.columns[name] for name in teacher.columns]
    words = MISSING_WORDS - set(teacher.classes or ())
    return {word for column in columns for word in held(column, words)}


def _by_name(teacher: Teacher, chunk: Chunk) -> np.ndarray:
    assert teacher.classes is not None
    try:
        return named_scores.table_of(_pairs(teacher, chunk), teacher.classes)
    except RowError as error:
        raise UserError(_at(error, teacher, chunk)) from error


def _pairs(teacher: Teacher, chunk: Chunk) -> list[named_scores.Pairs | None]:
    """Class and score in each row; None where a row has no answer."""
    name = teacher.columns[0]
    if teacher.decided:
        return _pairs_decided(teacher, chunk)
    try:
        cells = _cells(teacher, chunk, name).to_pylist()
        return [named_scores.pairs_of(cell, row) for row, cell in enumerate(cells)]
    except RowError as error:
        raise UserError(_at(error, teacher, chunk)) from error


def _pairs_decided(teacher: Teacher, chunk: Chunk) -> list[named_scores.Pairs | None]:
    score, label = (_cells(teacher, chunk, name) for name in teacher.columns)
    p = numbers(score, teacher.columns[0], chunk.first, gaps=True)
    bare = missing(label)
    if (odd := bare != np.isnan(p)).any():
        row = int(np.argmax(odd))
        raise UserError(
            f"Row {chunk.first + row + 1} has a value in one of the columns {', '.join(map(repr, teacher.columns))} "
            "and not in the other: fill it in, or empty both."
        )
    names = iter(texts(pc.filter(label, pa.array(~bare)), teacher.columns[1], chunk.first))
    return [None if empty else {next(names): float(value)} for empty, value in zip(bare, p, strict=True)]


def _at(error: RowError, teacher: Teacher, chunk: Chunk) -> str:
    return error.text("command", chunk.first + error.row + 1, repr(teacher.columns[-1]))


def _texts(teacher: Teacher, chunk: Chunk) -> np.ndarray:
    name = teacher.columns[0]
    column = _cells(teacher, chunk, name)
    empty = missing(column)
    if empty.any():
        _refuse_gaps(teacher, chunk, empty[:, None])
    values = np.full(len(chunk), None, dtype=object)
    values[~empty] = texts(pc.filter(column, pa.array(~empty)) if empty.any() else column, name, chunk.first)
    return values


def _stored(teacher: Teacher, chunk: Chunk) -> np.ndarray:
    finite = teacher.kind == "probability"
    columns = [_cells(teacher, chunk, name) for name in teacher.columns]
    if len(columns) == 1:
        columns = [as_lists(columns[0], teacher.columns[0], chunk.first)]
    if len(columns) == 1 and (teacher.width or "list" in str(columns[0].type)):
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
    some = gaps.any(axis=1) & ~none if not teacher.partial else np.zeros(len(gaps), dtype=bool)
    bad = some if teacher.unanswered == "drop" else some | none
    if not bad.any():
        return
    row = int(np.argmax(bad))
    at = int(np.argmax(gaps[row]))
    several = len(teacher.columns) > 1 and not teacher.named
    name = teacher.columns[at if several else 0]
    empty = missing(chunk.columns[name])[row]
    cell = chunk.columns[name][row].as_py()
    held = repr(cell)[:40] if isinstance(cell, str) else "NaN"
    where = f"Row {chunk.first + row + 1}, column {name!r} {'is empty' if empty else f'holds {held}'}"
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


def names_of(teacher: Teacher, n_classes: int) -> tuple[str, ...]:
    """Names of the classes: those given, else the columns' own, else 0, 1, ..."""
    if teacher.classes is None:
        return teacher.columns if len(teacher.columns) == n_classes else tuple(map(str, range(n_classes)))
    if len(teacher.classes) != n_classes:
        raise UserError(
            f"--classes names {len(teacher.classes)} classes, and the teacher answers for {n_classes}."
        )
    return teacher.classes


def _refuse_scores(teacher: Teacher, labels: np.ndarray) -> None:
    """Refuse labels that are probabilities or scores: they would become a class each."""
    if teacher.classes is not None:
        return
    try:
        distinct = np.array([float(label) for label in set(labels)])
    except ValueError:
        return
    whole = all("." not in label for label in set(labels))
    try:
        refuse_scores_as_labels(distinct.astype(int) if whole else distinct, f"Column {teacher.columns[0]!r}")
    except RowError as error:
        raise UserError(error.text("command", 1)) from error


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
