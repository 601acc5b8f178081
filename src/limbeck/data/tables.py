"""Tables on disk, read a chunk of rows at a time: CSV, Parquet, JSON lines and NPZ behind one interface.

To add a format, write a class with `columns` and `chunks`, and list its endings in ``FORMATS``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile, ZipFile

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as arrow_parquet

from limbeck.data.columns import Column
from limbeck.records import UserError

ROWS = 8192
LARGEST_LINE = 64 * 2**20
MOST_INFLATED = 200
LARGEST_ARRAY = 64 * 2**30


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a table."""

    first: int
    """How many rows came before."""
    columns: Mapping[str, Column]
    """Values of the columns asked for."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


class Table(Protocol):
    """A table on disk."""

    @property
    def path(self) -> Path:
        """Where it is."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns, in order."""
        ...

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        """Yield the named columns, a chunk of rows at a time, in the order of the file."""
        ...


def open_table(path: Path) -> Table:
    """Open a table by its ending.

    Raises
    ------
    UserError
        If it is not there, of no known format, damaged, empty, or names a column twice.
    """
    format_of = FORMATS.get(path.suffix.lower())
    if format_of is None:
        raise UserError(
            f"{path}: unknown kind of table. Known endings: {', '.join(sorted(FORMATS))}. "
            "Convert it, or rename it if its ending is wrong."
        )
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    with _damage_named(path):
        table = format_of(path)
        names = table.columns
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{path}: the column {twice[0]!r} occurs twice; which one is meant cannot be told.")
    if not names:
        raise UserError(f"{path}: no columns were found.")
    return table


def read(table: Table, names: Sequence[str]) -> Iterator[Chunk]:
    """Chunks of the named columns; damage met on the way, and a table without rows, is a `UserError`."""
    require(table, names)
    seen = 0
    with _damage_named(table.path):
        for chunk in table.chunks(names):
            if len(chunk):
                seen += len(chunk)
                yield chunk
    if not seen:
        raise UserError(f"{table.path}: the table has no rows.")


def require(table: Table, names: Sequence[str]) -> None:
    """Raise a `UserError` listing what there is unless the table has all these columns."""
    for name in names:
        if name not in table.columns:
            shown = ", ".join(map(repr, table.columns[:20])) + (" ..." if len(table.columns) > 20 else "")
            raise UserError(f"{table.path}: no column {name!r}. There are {len(table.columns)}: {shown}.")


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, BadZipFile, UnicodeDecodeError, EOFError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: damaged or not what its ending says ({said}).") from error


class CsvTable:
    """Comma- or tab-separated values with a header, UTF-8; quoted fields may hold line breaks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.stat().st_size == 0:
            raise UserError(f"{path}: the file is empty.")
        with path.open("rb") as file:
            head = file.readline(LARGEST_LINE)
        if b"\0" in head:
            raise UserError(f"{path}: holds zero bytes, so it is no CSV (UTF-16? a binary file?).")
        with self._reader(None) as reader:
            self.columns: tuple[str, ...] = tuple(reader.schema.names)

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        """Yield the named columns as text: whoever asks for numbers knows which row to name."""
        first = 0
        with self._reader(names) as reader:
            for batch in reader:
                yield Chunk(first, {name: batch.column(name) for name in names})
                first += batch.num_rows

    def _reader(self, names: Sequence[str] | None) -> arrow_csv.CSVStreamingReader:
        wanted = {} if names is None else dict.fromkeys(names, pa.string())
        return arrow_csv.open_csv(
            self.path,
            # One thread: only then do errors name the row.
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=4 << 20),
            parse_options=arrow_csv.ParseOptions(
                delimiter="\t" if self.path.suffix.lower() == ".tsv" else ",",
                newlines_in_values=True,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=wanted, include_columns=list(names or []), strings_can_be_null=False
            ),
        )


class ParquetTable:
    """Parquet, read by row groups."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = arrow_parquet.ParquetFile(path)
        self.columns: tuple[str, ...] = tuple(self._file.schema_arrow.names)

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        """Yield the named columns with the types they were stored in."""
        first = 0
        for batch in self._file.iter_batches(ROWS, columns=list(names)):
            yield Chunk(first, {name: batch.column(name) for name in names})
            first += batch.num_rows


class JsonLinesTable:
    """One JSON object a line; the first line names the columns, and every line must have those asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            line = file.readline(LARGEST_LINE)
        if not line.strip():
            raise UserError(f"{path}: the first line is empty.")
        self.columns: tuple[str, ...] = tuple(self._parsed(line, 1))

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        """Yield the named columns, 8,192 lines at a time."""
        first, rows = 0, []
        with self.path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(LARGEST_LINE), b""), start=1):
                rows.append(self._values(line, number, names))
                if len(rows) == ROWS:
                    yield self._chunk(first, names, rows)
                    first, rows = first + len(rows), []
        if rows:
            yield self._chunk(first, names, rows)

    def _values(self, line: bytes, number: int, names: Sequence[str]) -> list[Any]:
        fields = self._parsed(line, number)
        for name in names:
            if name not in fields:
                raise UserError(f"{self.path}, line {number}: no {name!r}.")
        return [fields[name] for name in names]

    def _parsed(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            fields = json.loads(line, object_pairs_hook=_no_name_twice)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.path}, line {number}: not JSON ({error}).") from error
        if not isinstance(fields, dict):
            raise UserError(f"{self.path}, line {number}: {type(fields).__name__} where an object is needed.")
        return fields

    def _chunk(self, first: int, names: Sequence[str], rows: list[list[Any]]) -> Chunk:
        columns = zip(names, zip(*rows, strict=True), strict=True)
        return Chunk(first, {name: _typed(values, name, first) for name, values in columns})


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a name occurs twice")
    return fields


def _typed(values: Sequence[Any], name: str, first: int) -> Column:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        kinds = [float if type(v) is int else type(v) for v in values]
        odd = next((at for at, kind in enumerate(kinds) if kind not in (kinds[0], type(None))), 0)
        raise UserError(
            f"Row {first + odd + 1}, column {name!r} holds {type(values[odd]).__name__} where row {first + 1} holds "
            f"{type(values[0]).__name__}: one kind of value a column."
        ) from None


class NpzTable:
    """NumPy's archive: one array a column, the first axis the rows; two axes make a column of vectors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with ZipFile(path) as archive:
            for entry in archive.infolist():
                size = entry.file_size
                if size > LARGEST_ARRAY or size > MOST_INFLATED * max(entry.compress_size, 1 << 20):
                    raise UserError(f"{path}: {entry.filename!r} would unpack to {size} bytes; refused.")
            self.columns: tuple[str, ...] = tuple(n.removesuffix(".npy") for n in archive.namelist())

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        """Yield the named arrays, 8,192 rows at a time."""
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in names}
        except ValueError as error:  # pickles, headers that lie
            raise UserError(f"{self.path}: {error}") from error
        for name, array in arrays.items():
            if array.ndim not in (1, 2):
                raise UserError(
                    f"{self.path}: {name!r} has shape {array.shape}; one or two axes are needed, rows first."
                )
        lengths = {name: len(array) for name, array in arrays.items()}
        if len(set(lengths.values())) > 1:
            raise UserError(f"{self.path}: the arrays differ in their number of rows: {lengths}.")
        for first in range(0, max(lengths.values(), default=0), ROWS):
            rows = {name: array[first : first + ROWS] for name, array in arrays.items()}
            yield Chunk(first, {name: _as_column(array) for name, array in rows.items()})


def _as_column(array: np.ndarray) -> Column:
    if array.dtype.byteorder not in ("=", "|") or not array.flags.c_contiguous:
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    if array.ndim == 1:
        return pa.array(array)
    return pa.FixedSizeListArray.from_arrays(pa.array(array.ravel()), array.shape[1])


FORMATS = {
    ".csv": CsvTable,
    ".tsv": CsvTable,
    ".parquet": ParquetTable,
    ".pq": ParquetTable,
    ".jsonl": JsonLinesTable,
    ".ndjson": JsonLinesTable,
    ".npz": NpzTable,
}
