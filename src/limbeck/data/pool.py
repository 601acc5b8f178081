"""Points with their ids, and answers joined to them by id, never by position."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy.sparse import issparse, vstack

from limbeck.data.answers import Answers, Teacher, read_answers
from limbeck.data.columns import digits_of, numbers, texts
from limbeck.data.features import Features, Matrix
from limbeck.data.tables import Chunk, Table, read
from limbeck.records import UserError

ROW = "row"
"""Column of a table of picks or answers that holds the points' row numbers, from 1, where they have no ids."""


@dataclass(frozen=True, eq=False)
class Ids:
    """Names of a table's rows."""

    ids: np.ndarray
    """Ids as text, (n,); the rows' numbers from 1 where the table has none."""

    def names(self, rows: np.ndarray) -> np.ndarray:
        """Ids of these rows."""
        return self.ids[rows]

    def rows_of(self, names: Sequence[str]) -> dict[str, int]:
        """Rows of those ids that there are."""
        row_of = {name: row for row, name in enumerate(self.ids)}
        return {name: row_of[name] for name in names if name in row_of}


@dataclass(frozen=True, eq=False)
class Pool(Ids):
    """Points of a table."""

    X: Matrix
    """Features, (n, d); sparse where a text is among them."""
    features: Features
    """How they were made."""


class Named(Protocol):
    """Points known by their ids: a `Pool`, or one that is read when asked."""

    def names(self, rows: np.ndarray) -> np.ndarray:
        """Ids of these rows."""
        ...

    def rows_of(self, names: Sequence[str]) -> dict[str, int]:
        """Rows of those ids that there are."""
        ...


def read_ids(table: Table, identifier: str | None) -> Ids:
    """Names of all rows, without their features."""
    counted = table.columns[0] if identifier is None else identifier
    ids = [name for chunk in read(table, [counted]) for name in ids_of(chunk, identifier)]
    unique_ids(ids, table, identifier)
    return Ids(np.array(ids, dtype=object))


def read_pool(
    table: Table,
    features: Features,
    identifier: str | None,
    *,
    most_terms: int = 4000,
    apart: Iterable[int] = (),
) -> Pool:
    """Read all points of a table.

    Parameters
    ----------
    table : Table
    features : Features
        A text column's words are learned here, unless they were before.
    identifier : str, optional
        Column of ids.
    most_terms : int
        Words of a text column that become features.
    apart : iterable of int, optional
        Rows, from 0, that its words are not learned from.
    """
    if features.text is not None and not features.terms:
        features = features.learned(read(table, [features.text]), most_terms, apart)
    blocks, ids = [], []
    for chunk in read(table, [*features.needed, *_listed(identifier)]):
        blocks.append(features.matrix(chunk))
        if features.embedding is not None and features.width == 0:
            words = len(features.columns)
            features = replace(features, width=blocks[0].shape[1] - words - len(features.terms))
        ids += ids_of(chunk, identifier)
    X = vstack(blocks, format="csr") if issparse(blocks[0]) else np.concatenate(blocks)
    unique_ids(ids, table, identifier)
    return Pool(np.array(ids, dtype=object), X, features)


def ids_of(chunk: Chunk, identifier: str | None) -> list[str]:
    """Ids of a chunk's rows, or their numbers from 1."""
    if identifier is None:
        return [str(row + 1) for row in range(chunk.first, chunk.first + len(chunk))]
    return texts(chunk.columns[identifier], identifier, chunk.first)


def unique_ids(ids: Sequence[str], table: Table, identifier: str | None) -> dict[str, int]:
    """Row of each id, from 0; `UserError` naming both rows if one occurs twice."""
    row_of: dict[str, int] = {}
    for row, name in enumerate(ids):
        if row_of.setdefault(name, row) != row:
            raise UserError(
                f"{table.path}: the id {name!r} (column {identifier!r}) occurs in rows "
                f"{row_of[name] + 1} and {row + 1}. "
                "Every point needs an id of its own."
            )
    return row_of


@dataclass(frozen=True, eq=False)
class Answered:
    """Which points of a pool have answers, and the answers."""

    rows: np.ndarray
    """Rows (m,) of the pool, increasing."""
    answers: Answers
    """Theirs, in that order."""
    at: np.ndarray
    """Rows of the table of answers that hold them, in that order."""
    size: int
    """Rows of that table."""

    @property
    def unanswered(self) -> int:
        """Rows of that table without an answer, which were dropped on request."""
        return self.size - len(self.at)


def answers_in(table: Table, teacher: Teacher) -> Answered:
    """Answers that stand beside the points."""
    chunks = list(read(table, teacher.columns))
    rows, answers = read_answers(teacher, chunks)
    return Answered(rows, answers, rows, sum(map(len, chunks)))


def id_column(table: Table, pool_table: Table, identifier: str | None) -> str:
    """Column of a table of answers by which it is joined to points with this column of ids, or without.

    That of the same name, else ``id``; points without ids are known by `ROW`.

    Raises
    ------
    UserError
        If there is none.
    """
    wanted = [ROW] if identifier is None else list(dict.fromkeys([identifier, "id"]))
    found = next((name for name in wanted if name in table.columns), None)
    if found is not None:
        return found
    if identifier is None:
        raise UserError(
            f"{pool_table.path}: answers are joined by id, and no column of ids is named. Name it with --id; without "
            f"ids, {table.path} needs a column {ROW!r} of the points' row numbers, counted from 1."
        )
    raise UserError(
        f"{table.path}: answers are joined by id, and there is no column {' or '.join(map(repr, wanted))}. "
        f"There are {', '.join(map(repr, table.columns[:20]))}."
    )


def joined(
    pool: Named, pool_table: Table, table: Table, teacher: Teacher, identifier: str | None
) -> Answered:
    """Answers of another table, joined by id; see `id_column`.

    Raises
    ------
    UserError
        If an answer's id occurs twice or is none of the pool's: nothing paid for is dropped silently.
    """
    column = id_column(table, pool_table, identifier)
    chunks = list(read(table, list(dict.fromkeys([column, *teacher.columns]))))
    rows = _rows_of(chunks, pool, pool_table, table, column)
    at, answers = read_answers(teacher, chunks)
    order = np.argsort(rows[at])
    return Answered(rows[at][order], answers[order], at[order], len(rows))


def weights_in(table: Table, column: str) -> np.ndarray:
    """Row weights (n,) of a column; UserError naming a row whose weight is missing, negative or not finite."""
    found = []
    for chunk in read(table, [column]):
        with chunk.in_file() as here:
            values = numbers(here.columns[column], column, here.first).astype(np.float64)
            if (bad := values < 0).any():
                at = int(np.argmax(bad))
                raise UserError(
                    f"Row {here.first + at + 1}, column {column!r} holds {values[at]:g}: a weight is at least 0."
                )
            found.append(values)
    return np.concatenate(found)


def counts_up(table: Table, column: str) -> bool:
    """Whether a column holds whole numbers that increase by 1 from row to row."""
    start = None
    try:
        for chunk in read(table, [column]):
            values = numbers(chunk.columns[column], column)
            start = values[0] - chunk.first if start is None else start
            if not np.array_equal(values, start + np.arange(chunk.first, chunk.first + len(chunk))):
                return False
    except UserError:  # of another meaning
        return False
    return True


def flags(table: Table, column: str) -> np.ndarray:
    """A column of 0 and 1, or false and true in any case, (n,), NaN where it is empty.

    Raises
    ------
    UserError
        If a row holds anything else, naming it.
    """
    found = []
    for chunk in read(table, [column]):
        with chunk.in_file() as here:
            found.append(_flags(here, column))
    return np.concatenate(found)


def _flags(chunk: Chunk, column: str) -> np.ndarray:
    values = numbers(digits_of(chunk.columns[column]), column, chunk.first, gaps=True)
    if (odd := ~(np.isnan(values) | np.isin(values, (0, 1)))).any():
        at = int(np.argmax(odd))
        raise UserError(
            f"Row {chunk.first + at + 1}, column {column!r} holds {values[at]:g}: 0 or 1 is needed."
        )
    return values


def located(pool: Named, pool_table: Table, table: Table, identifier: str | None) -> np.ndarray:
    """Rows of the pool, increasing, that another table names; errors as `joined`."""
    column = id_column(table, pool_table, identifier)
    return np.sort(_rows_of(list(read(table, [column])), pool, pool_table, table, column))


def _rows_of(
    chunks: Sequence[Chunk], pool: Named, pool_table: Table, table: Table, identifier: str
) -> np.ndarray:
    ids = [name for chunk in chunks for name in ids_of(chunk, identifier)]
    unique_ids(ids, table, identifier)
    row_of = pool.rows_of(ids)
    strangers = [name for name in ids if name not in row_of]
    if len(strangers) == len(ids):
        raise UserError(
            f"{table.path} and {pool_table.path} have no id in common (column {identifier!r}): {ids[0]!r} in one, "
            f"{pool.names(np.array([0]))[0]!r} in the other."
        )
    if strangers:
        raise UserError(
            f"{table.path}: {len(strangers)} answers have ids that {pool_table.path} does not; the first is "
            f"{strangers[0]!r}, row {ids.index(strangers[0]) + 1}."
        )
    return np.array([row_of[name] for name in ids])


def chunks_of(table: Table, features: Features, identifier: str | None) -> Iterator[tuple[list[str], Matrix]]:
    """Ids and features, a chunk of rows at a time: for tables that need not fit in memory."""
    for chunk in read(table, [*features.needed, *_listed(identifier)]):
        yield ids_of(chunk, identifier), features.matrix(chunk)


def _listed(name: str | None) -> list[str]:
    return [] if name is None else [name]
