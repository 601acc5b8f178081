"""Tables, folders of tables and Dask collections as sources of blocks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.sparse import issparse

from limbeck.data.answers import Teacher, values_of
from limbeck.data.blocks import Block, Blocks, finite
from limbeck.data.columns import texts
from limbeck.data.features import Features
from limbeck.data.pool import ids_of
from limbeck.data.tables import FORMATS, Chunk, Table, ending_of, file_named, open_table, read
from limbeck.records import UserError


@dataclass(frozen=True)
class TableSource:
    """Points of a table on disk, and the answers that stand beside them."""

    path: Path
    """The table, or a folder of tables that are read one after another; see `files_of`."""
    features: Features
    """Which columns are features; those of text know their words already."""
    identifier: str | None = None
    """Column of ids."""
    teacher: Teacher | None = None
    """Where the answers are."""

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @cached_property
    def _tables(self) -> list[Table]:
        return [open_table(path) for path in files_of(self.path)]

    def __getstate__(self) -> dict[str, Any]:
        # Open files stay behind: who gets a copy opens its own.
        return {name: value for name, value in self.__dict__.items() if name in self.__dataclass_fields__}

    @property
    def rows(self) -> int | None:
        """Number of rows where every file says it."""
        counts = [table.rows for table in self._tables]
        return None if None in counts else sum(c for c in counts if c is not None)

    def part(self, start: int, stop: int) -> TableSource:
        """Itself: whoever sees the same files can read them."""
        del start, stop
        return self

    def pieces(self, start: int = 0) -> Iterator[Block]:
        """Yield rows from ``start`` on, as the files' readers have them."""
        before = 0
        for table in self._tables:
            if table.rows is not None and before + table.rows <= start:
                before += table.rows
                continue
            last = before
            for block in self._of(table, max(start - before, 0), before):
                yield block
                last = block.first + len(block)
            before = last

    def _of(self, table: Table, start: int, before: int) -> Iterator[Block]:
        taken = [] if self.identifier is None else [self.identifier]
        said = [] if self.teacher is None else list(self.teacher.columns)
        # A table that cannot start anywhere is read from its beginning, and rows before are passed over.
        for chunk in read(table, [*self.features.needed, *taken, *said], 0 if table.rows is None else start):
            with file_named(table.path) if self.path.is_dir() else nullcontext():
                block = self._block(chunk, before)
            yield block[max(start - chunk.first, 0) :]

    def _block(self, chunk: Chunk, before: int) -> Block:
        ids = None if self.identifier is None else np.array(ids_of(chunk, self.identifier), dtype=object)
        answers = None if self.teacher is None else values_of(self.teacher, chunk)
        return Block(before + chunk.first, self.features.matrix(chunk), ids, answers)


class FolderTable:
    """The tables of a folder one after another, as one whose rows are numbered through.

    Parameters
    ----------
    path : Path
    """

    rows = None

    def __init__(self, path: Path) -> None:
        self.path: Path = path
        self._tables: list[Table] = [open_table(file) for file in files_of(path)]
        self.columns: tuple[str, ...] = self._tables[0].columns

    def chunks(self, names: Sequence[str], start: int = 0) -> Iterator[Chunk]:
        """Yield the named columns, a chunk of rows at a time."""
        before = last = start
        for table in self._tables:
            for chunk in read(table, names):
                yield replace(chunk, first=before + chunk.first, file=table.path, before=before)
                last = before + chunk.first + len(chunk)
            before = last


class StoredPool:
    """Points of a table that are read when asked for, known by their ids.

    Parameters
    ----------
    path : Path
        The table, or a folder of tables.
    features : Features
    identifier : str, optional
        Column of ids; without one, rows are numbered from 1.
    """

    def __init__(self, path: Path, features: Features, identifier: str | None) -> None:
        self.path: Path = path
        self.features: Features = features
        self.identifier: str | None = identifier
        self.X = Blocks(TableSource(path, features)).points()

    def names(self, rows: np.ndarray) -> np.ndarray:
        """Ids of these rows; one pass over their column."""
        if self.identifier is None:
            return np.array([str(row + 1) for row in rows], dtype=object)
        found = np.empty(len(rows), dtype=object)
        for first, ids in self._ids(self.identifier):
            here = (rows >= first) & (rows < first + len(ids))
            found[here] = np.array(ids, dtype=object)[rows[here] - first]
        return found

    def rows_of(self, names: Sequence[str]) -> dict[str, int]:
        """Rows of those ids that there are; UserError if one is there twice."""
        if self.identifier is None:
            here = {str(row + 1): row for row in range(self.X.shape[0])}
            return {name: here[name] for name in names if name in here}
        wanted, found = set(names), dict[str, int]()
        for first, ids in self._ids(self.identifier):
            for row, name in enumerate(ids, start=first):
                if name in wanted and found.setdefault(name, row) != row:
                    raise UserError(
                        f"{self.path}: the id {name!r} (column {self.identifier!r}) occurs in rows "
                        f"{found[name] + 1} and {row + 1}. Every point needs an id of its own."
                    )
        return found

    def _ids(self, identifier: str) -> Iterator[tuple[int, list[str]]]:
        before = 0
        for path in files_of(self.path):
            for chunk in read(open_table(path), [identifier]):
                ids = ids_of(chunk, identifier)
                yield before, ids
                before += len(ids)


def files_of(path: Path) -> list[Path]:
    """The file itself, or the tables in a folder, by name; UserError if they are of several formats or none."""
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if ending_of(file) in FORMATS and file.is_file())
    if not files:
        raise UserError(f"{path}: the folder holds no table. Known endings: {', '.join(sorted(FORMATS))}.")
    endings = sorted({ending_of(file) for file in files})
    if len(endings) > 1:
        raise UserError(f"{path}: tables of several kinds ({', '.join(endings)}) in one folder; keep one.")
    return files


class DaskSource:
    """A Dask array (n, d), or data frame of numeric columns: chunks are computed as they are read.

    Parameters
    ----------
    collection : dask.array.Array or dask.dataframe.DataFrame
        A data frame's index becomes the ids.
    answers : str or sequence of str, optional
        Columns of the data frame with the teacher's answers.
    name : str
        What messages call it.
    """

    def __init__(
        self, collection: Any, answers: str | list[str] | None = None, *, name: str = "the points"
    ) -> None:
        self.name = name
        self._framed = hasattr(collection, "divisions")
        self._persisted = _on_cluster(collection)
        self._answers = answers
        if self._framed:
            said = [answers] if isinstance(answers, str) else answers or []
            self._columns = [column for column in collection.columns if column not in said]
            self._parts = list(collection.to_delayed())
            lengths = collection.map_partitions(len).compute()
        else:
            collection = collection.rechunk({1: -1})
            self._parts = list(collection.to_delayed()[:, 0])
            lengths = collection.chunks[0]
            if np.isnan(lengths).any():
                lengths = collection.compute_chunk_sizes().chunks[0]
        self._ends = np.cumsum([int(length) for length in lengths])
        self.rows: int = int(self._ends[-1])

    def part(self, start: int, stop: int) -> DaskSource | None:
        """The chunks that hold these rows; None where they live on a cluster: only this process can ask for them."""
        if self._persisted:
            return None
        first, last = np.searchsorted(self._ends, [start, stop], side="right")
        source = copy(self)
        source._parts = [
            _alone(part) if first <= number <= last else None for number, part in enumerate(self._parts)
        ]
        return source

    def pieces(self, start: int = 0) -> Iterator[Block]:
        """Yield rows from ``start`` on, a chunk of the collection at a time."""
        compute: Callable[[Any], Any] = _fetched if self._persisted else _here
        first_part = int(np.searchsorted(self._ends, start, side="right"))
        for number in range(first_part, len(self._parts)):
            before = int(self._ends[number - 1]) if number else 0
            block = self._block(compute(self._parts[number]), before)
            expected = int(self._ends[number]) - before
            if len(block) != expected:
                raise UserError(
                    f"{self.name}: chunk {number + 1} has {len(block)} rows where {expected} were said."
                )
            yield block[max(start - before, 0) :]

    def _block(self, part: Any, before: int) -> Block:
        if not self._framed:
            X = part if issparse(part) else np.asarray(part)
            return Block(before, finite(X, before, self.name))
        columns = [column for column in part.columns if column not in _listed(self._answers)]
        if columns != self._columns:
            odd = next(
                (c for c, was in zip(columns, self._columns, strict=False) if c != was),
                "the number of columns",
            )
            raise UserError(
                f"{self.name}: the partition from row {before + 1} has other columns or another order of them "
                f"(first difference: {odd!r}). Bring every partition into one order."
            )
        said = None if self._answers is None else part[self._answers].to_numpy()
        X = finite(part[columns].to_numpy(), before, self.name)
        index = part.index
        ids = texts(pa.array(index), "index", before) if index.dtype.kind == "f" else index.astype(str)
        return Block(before, X, np.array(ids, dtype=object), said)


def _listed(names: str | list[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else names or []


def _here(part: Any) -> Any:
    """Computed in this thread: also inside a task, which must not wait for others."""
    return part.compute(scheduler="synchronous")


def _fetched(part: Any) -> Any:
    """Computed where its pieces are."""
    return part.compute()


def _alone(part: Any) -> Any:
    """A chunk with no more of the graph than it needs."""
    from dask.delayed import Delayed
    from dask.optimization import cull

    return Delayed(part.key, cull(dict(part.dask), [part.key])[0])


def _on_cluster(collection: Any) -> bool:
    """Whether parts of it were persisted: nothing can be if distributed was never imported."""
    distributed = sys.modules.get("distributed")
    return distributed is not None and bool(distributed.futures_of(collection))
