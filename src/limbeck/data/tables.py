"""Tables on disk, read a chunk of rows at a time: CSV, Parquet, JSON lines, NPZ and NPY behind one interface.

To add a format, write a class with `columns`, `rows` and `chunks`, and list its endings in ``FORMATS``.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Protocol
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as arrow_parquet

from limbeck.data.columns import Column
from limbeck.data.results import original
from limbeck.data.stored import StoredArray
from limbeck.records import UserError

ROWS = 8192
BUFFER = 1 << 20
LARGEST_LINE = 64 * 2**20
MOST_INFLATED = 200
MOST_REPEATED = 1000
LARGEST_ARRAY = 64 * 2**30
DECIMAL = r"^\s*([+-]?\d*)[{mark}](\d+(?:[eE][+-]?\d+)?)\s*$"
"""A number with this decimal mark, its whole part and the rest as groups."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a table."""

    first: int
    """How many rows came before."""
    columns: Mapping[str, Column]
    """Values of the columns asked for."""
    file: Path | None = None
    """Of a folder's tables, read as one, that which they are in."""
    before: int = 0
    """Rows of the files before it."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @contextmanager
    def in_file(self) -> Iterator[Chunk]:
        """The same rows as those of their file, which a `UserError` on the way names."""
        if self.file is None:
            yield self
            return
        with file_named(self.file):
            yield replace(self, first=self.first - self.before, file=None, before=0)


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

    @property
    def rows(self) -> int | None:
        """How many rows, and `chunks` starts at any of them without reading those before; None if it cannot."""
        ...

    def chunks(self, names: Sequence[str], start: int = 0) -> Iterator[Chunk]:
        """Yield the named columns from row ``start`` on, a chunk of rows at a time, in the order of the file.

        Where ``rows`` is None, ``start`` is 0.
        """
        ...


def open_table(path: Path) -> Table:
    """Open a table by its ending.

    Raises
    ------
    UserError
        If it is not there, of no known format, damaged, empty, or names a column twice.
    """
    format_of = FORMATS.get(ending_of(path))
    if format_of is None:
        raise UserError(
            f"{path}: unknown kind of table. Known endings: {', '.join(sorted(FORMATS))}. "
            "Convert it, or rename it if its ending is wrong."
        )
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"{path}: the name holds bytes that are no UTF-8. Rename the file.") from error
    with _damage_named(path):
        table = format_of(path)
        names = table.columns
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise UserError(f"{path}: the column {twice[0]!r} occurs twice; which one is meant cannot be told.")
    if not names:
        raise UserError(f"{path}: no columns were found.")
    return table


def ending_of(path: Path) -> str:
    """The ending that states the format: of a compressed file the last two, such as ``.csv.gz``."""
    last = path.suffix.lower()
    return path.with_suffix("").suffix.lower() + last if last == ".gz" else last


def _unpacked(path: Path) -> BufferedIOBase:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")


def read(table: Table, names: Sequence[str], start: int = 0) -> Iterator[Chunk]:
    """Chunks of the named columns; damage met on the way, and a table without rows, is a `UserError`."""
    require(table, names)
    seen = 0
    with _damage_named(table.path):
        for chunk in table.chunks(names, start):
            if len(chunk):
                seen += len(chunk)
                yield chunk
    if not seen and not start:
        raise UserError(f"{table.path}: the table has no rows.")


def matching(table: Table, pattern: str) -> list[str]:
    """Columns that a pattern such as ``emb_*`` matches, in the table's order; a column of just that name alone."""
    if pattern in table.columns:
        return [pattern]
    return [name for name in table.columns if fnmatchcase(name, pattern)]


def require(table: Table, names: Sequence[str]) -> None:
    """Raise a `UserError` listing what there is unless the table has all these columns."""
    known = set(table.columns)
    for name in names:
        if name not in known:
            shown = ", ".join(map(repr, table.columns[:20])) + (" ..." if len(table.columns) > 20 else "")
            raise UserError(f"{table.path}: no column {name!r}. There are {len(table.columns)}: {shown}.")


def same_rows(table: Table, names: Sequence[str]) -> None:
    """Raise a `UserError` naming two of these columns if their arrays have different numbers of rows.

    Only an .npz can hold such arrays. Others of its arrays, which are not among ``names``, may have any length.
    """
    if not isinstance(table, NpzTable):
        return
    require(table, names)
    rows = {name: table.length(name) for name in names}
    odd = next((name for name in rows if rows[name] != rows[names[0]]), None)
    if odd is not None:
        raise UserError(
            f"{table.path}: the arrays differ in their number of rows: {names[0]!r} has {rows[names[0]]}, {odd!r} has "
            f"{rows[odd]}. Row i of each must belong to one point: save arrays of one length."
        )


@contextmanager
def file_named(path: Path) -> Iterator[None]:
    """A `UserError` that does not name this file does so."""
    try:
        yield
    except UserError as error:
        if str(path) in str(error):
            raise
        raise UserError(f"{path}: {error}") from error


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, BadZipFile, UnicodeDecodeError, EOFError, zlib.error) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: damaged or not what its ending says ({said}).") from error


class CsvTable:
    """Separated values with a header, UTF-8; quoted fields may hold line breaks.

    The separator is a tab in a .tsv file, else the comma, semicolon or tab that is most frequent in the header. In a
    file with semicolons, numbers may have decimal commas. Blanks around column names are dropped.
    """

    rows = None

    def __init__(self, path: Path) -> None:
        self.path = path
        with _unpacked(path) as file:
            head = file.readline(LARGEST_LINE)
        if not head:
            raise UserError(f"{path}: the file is empty.")
        if b"\0" in head:
            raise UserError(f"{path}: holds zero bytes, so it is no CSV (UTF-16? a binary file?).")
        bare = re.sub(rb'"[^"]*"', b"", head)
        self.separator: str = (
            "\t" if ending_of(path).startswith(".tsv") else max(",;\t", key=lambda c: bare.count(c.encode()))
        )
        with self._separator_named(), self._reader(None) as reader:
            stored = reader.schema.names
        self.columns: tuple[str, ...] = tuple(name.strip() for name in stored)
        self._stored = dict(zip(self.columns, stored, strict=True))

    def chunks(self, names: Sequence[str], start: int = 0) -> Iterator[Chunk]:
        """Yield the named columns as text: whoever asks for numbers knows which row to name."""
        first, marks = start, dict[str, tuple[str, str]]()
        with self._separator_named(), self._reader([self._stored[name] for name in names]) as reader:
            for batch in reader:
                columns = dict(zip(names, map(_originals, batch.columns), strict=True))
                if self.separator == ";":
                    columns = {name: _pointed(column, name, first, marks) for name, column in columns.items()}
                yield Chunk(first, columns)
                first += batch.num_rows

    @contextmanager
    def _separator_named(self) -> Iterator[None]:
        try:
            yield
        except pa.ArrowInvalid as error:
            if "Expected" not in str(error):
                raise
            raise UserError(
                f"{self.path}: {str(error).splitlines()[0]} Its columns are separated by {self.separator!r}: quote a "
                "cell that holds one, and write numbers with a decimal point."
            ) from error

    def _reader(self, names: Sequence[str] | None) -> arrow_csv.CSVStreamingReader:
        wanted = {} if names is None else dict.fromkeys(names, pa.string())
        return arrow_csv.open_csv(
            self.path,
            # One thread: only then do errors name the row.
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=4 << 20),
            parse_options=arrow_csv.ParseOptions(delimiter=self.separator, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=wanted, include_columns=list(names or []), strings_can_be_null=False
            ),
        )


def _pointed(column: Column, name: str, first: int, marks: dict[str, tuple[str, str]]) -> Column:
    """Numbers with a decimal point in place of a comma; ``marks`` keeps each column's mark and where it was found."""
    for mark in ",.":
        matched = pc.match_substring_regex(column, DECIMAL.format(mark=mark))
        if not pc.any(matched).as_py():
            continue
        at = pc.index(matched, True).as_py()
        here = f"row {first + at + 1} ({column[at].as_py()!r})"
        before, where = marks.setdefault(name, (mark, here))
        if before != mark:
            raise UserError(
                f"Column {name!r} holds numbers with {before!r} in {where} and with {mark!r} in {here}: one of them "
                "may mark thousands. Write all numbers with a decimal point."
            )
    if marks.get(name, ".")[0] == ".":
        return column
    return pc.replace_substring_regex(column, DECIMAL.format(mark=","), r"\1.\2")


def _originals(column: Column) -> Column:
    """Cells as they were before an apostrophe kept a spreadsheet from running them; see `original`."""
    if not pc.any(pc.starts_with(column, "'")).as_py():
        return column
    return pa.array([original(text) for text in column.to_pylist()], type=column.type)


class ParquetTable:
    """Parquet, read by row groups."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with arrow_parquet.ParquetFile(path) as file:
            self._metadata = file.metadata
            self.columns: tuple[str, ...] = tuple(file.schema_arrow.names)
        self.rows: int = self._metadata.num_rows

    def chunks(self, names: Sequence[str], start: int = 0) -> Iterator[Chunk]:
        """Yield the named columns with the types they were stored in."""
        size = 8 * self.rows * len(names)
        if size > MOST_REPEATED * max(self.path.stat().st_size, 1 << 20):
            raise UserError(
                f"{self.path}: {self.rows} rows of {len(names)} columns in so small a file would unpack to {size} "
                "bytes; refused. Write it without compression if it is meant."
            )
        sizes = [self._metadata.row_group(i).num_rows for i in range(self._metadata.num_row_groups)]
        ends = np.cumsum(sizes)
        group = int(np.searchsorted(ends, start, side="right"))
        first = int(ends[group - 1]) if group else 0
        groups = range(group, len(sizes))
        # A reader of its own each time: one that two threads share fails now and then. Buffered: a row group's columns
        # are not read whole before their first row is used.
        with arrow_parquet.ParquetFile(self.path, metadata=self._metadata, buffer_size=BUFFER) as file:
            for batch in file.iter_batches(ROWS, row_groups=groups, columns=list(names)):
                skipped = min(max(start - first, 0), batch.num_rows)
                rows = batch.slice(skipped)
                yield Chunk(first + skipped, {name: rows.column(name) for name in names})
                first += batch.num_rows


class JsonLinesTable:
    """One JSON object a line; the first line names the columns, and what a later line lacks of them is null."""

    rows = None

    def __init__(self, path: Path) -> None:
        self.path = path
        with _unpacked(path) as file:
            line = file.readline(LARGEST_LINE)
        if not line.strip():
            raise UserError(f"{path}: the first line is empty.")
        self.columns: tuple[str, ...] = tuple(self._parsed(line, 1))
        self._known = frozenset(self.columns)

    def chunks(self, names: Sequence[str], start: int = 0) -> Iterator[Chunk]:
        """Yield the named columns, 8,192 lines at a time."""
        first, rows = start, []
        with _unpacked(self.path) as file:
            for number, line in enumerate(iter(lambda: file.readline(LARGEST_LINE), b""), start=1):
                if line.strip():  # a file may end in blank lines
                    rows.append(self._values(line, number, names))
                if len(rows) == ROWS:
                    yield self._chunk(first, names, rows)
                    first, rows = first + len(rows), []
        if rows:
            yield self._chunk(first, names, rows)

    def _values(self, line: bytes, number: int, names: Sequence[str]) -> list[Any]:
        fields = self._parsed(line, number)
        if not fields.keys() <= self._known:
            name = next(name for name in fields if name not in self._known)
            raise UserError(
                f"{self.path}, line {number}: the key {name!r} is not in the first line, which names the columns, and "
                "would be lost. Write every column in the first line, null where it has none."
            )
        return [fields.get(name) for name in names]

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
    except UnicodeEncodeError:
        at = next(at for at, value in enumerate(values) if _half_a_character(value))
        raise UserError(
            f"Row {first + at + 1}, column {name!r} holds half a character (a lone surrogate such as \\ud800), which "
            "is no text: write the file anew from the texts it was made of."
        ) from None
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        for at, value in enumerate(values):
            if type(value) is int and not -(2**63) <= value < 2**63:
                raise UserError(
                    f"Row {first + at + 1}, column {name!r} holds a whole number beyond 64 bits: write it in quotes if "
                    "it is an id, or as 1e20 if it is a number."
                ) from None
            if type(value) is int and abs(value) > 2**53 and float in map(type, values):
                raise UserError(
                    f"Row {first + at + 1}, column {name!r} holds {value}, which the floats of other rows cannot "
                    "represent exactly: write ids in quotes, or without decimals in every row."
                ) from None
        kinds = [float if type(v) is int else type(v) for v in values]
        usual = next((at for at, kind in enumerate(kinds) if kind is not type(None)), 0)
        odd = next((at for at, kind in enumerate(kinds) if kind not in (kinds[usual], type(None))), 0)
        raise UserError(
            f"Row {first + odd + 1}, column {name!r} holds {type(values[odd]).__name__} where row {first + usual + 1} "
            f"holds {type(values[usual]).__name__}: one kind of value a column."
        ) from None


def _half_a_character(value: Any) -> bool:
    """Whether text in a value, or in a list or object of them, cannot be encoded."""
    return bool(re.search("[\ud800-\udfff]", json.dumps(value, ensure_ascii=False)))


class NpzTable:
    """NumPy's archive: one array a column, the first axis the rows; two axes make a column of vectors.

    Arrays stored uncompressed (`numpy.savez`) are read from where they lie, without the archive's checksums;
    compressed ones (`savez_compressed`) whole.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with ZipFile(path) as archive:
            entries = archive.infolist()
            stored = all(entry.compress_type == ZIP_STORED for entry in entries)
            for entry in entries:
                size = entry.file_size
                unpacks = size > MOST_INFLATED * max(entry.compress_size, 1 << 20)
                if unpacks or (size > LARGEST_ARRAY and not stored):
                    raise UserError(f"{path}: {entry.filename!r} would unpack to {size} bytes; refused.")
            self._arrays = {
                entry.filename.removesuffix(".npy"): _in_archive(path, archive, entry) for entry in entries
            }
            names = [entry.filename.removesuffix(".npy") for entry in entries]
        self.columns: tuple[str, ...] = tuple(names)
        lengths = {len(array) for array in self._arrays.values()}
        self.rows: int | None = lengths.pop() if stored and len(lengths) == 1 else None

    def chunks(self, names: Sequence[str], start: int = 0) -> Iterator[Chunk]:
        """Yield the named arrays, a few thousand rows at a time."""
        arrays = {name: self._arrays[name] for name in names}
        for name, array in arrays.items():
            if len(array.shape) not in (1, 2):
                raise UserError(
                    f"{self.path}: {name!r} has shape {array.shape}; one or two axes are needed, rows first."
                )
        same_rows(self, names)
        yield from _chunks_of(arrays, start)

    def length(self, name: str) -> int:
        """Number of rows of an array."""
        return len(self._arrays[name])


class NpyTable:
    """One NumPy array of points, as the column ``X``, read from where it lies."""

    columns: tuple[str, ...] = ("X",)

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._array = StoredArray.at(path, 0)
        except ValueError as error:
            raise UserError(f"{path}: {error}") from error
        if len(self._array.shape) != 2:
            raise UserError(f"{path}: shape {self._array.shape}; two axes are needed, rows first.")
        self.rows: int = len(self._array)

    def chunks(self, names: Sequence[str], start: int = 0) -> Iterator[Chunk]:
        """Yield the points, a few thousand rows at a time."""
        yield from _chunks_of(dict.fromkeys(names, self._array), start)


def _in_archive(path: Path, archive: ZipFile, entry: ZipInfo) -> StoredArray:
    """An array of an archive, where it lies if it is stored plainly, else unpacked when it is asked for."""
    try:
        with archive.open(entry) as file:
            if entry.compress_type == ZIP_STORED:
                with path.open("rb") as raw:
                    raw.seek(entry.header_offset + 26)
                    name, extra = np.frombuffer(raw.read(4), dtype="<u2")
                found = StoredArray.at(path, entry.header_offset + 30 + int(name) + int(extra))
                found.check_room(entry.header_offset + 30 + int(name) + int(extra) + entry.file_size)
                return found
            found = StoredArray.described(path, file, member=entry.filename)
            found.check_room(entry.file_size)
            return found
    except ValueError as error:  # pickles, headers that lie
        raise UserError(f"{path}: {entry.filename!r}: {error}") from error


def _chunks_of(arrays: Mapping[str, StoredArray], start: int) -> Iterator[Chunk]:
    loaded = {name: array.opened() for name, array in arrays.items()}
    for first in range(start, max(map(len, arrays.values()), default=0), ROWS):
        rows = {name: take(first, first + ROWS) for name, take in loaded.items()}
        yield Chunk(first, {name: _as_column(array) for name, array in rows.items()})


def _as_column(array: np.ndarray) -> Column:
    if array.dtype.byteorder not in ("=", "|") or not array.flags.c_contiguous:
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    if array.ndim == 1:
        return pa.array(array)
    return pa.FixedSizeListArray.from_arrays(pa.array(array.ravel()), array.shape[1])


FORMATS: dict[str, Callable[[Path], Table]] = {
    ".csv": CsvTable,
    ".csv.gz": CsvTable,
    ".tsv": CsvTable,
    ".tsv.gz": CsvTable,
    ".parquet": ParquetTable,
    ".pq": ParquetTable,
    ".jsonl": JsonLinesTable,
    ".jsonl.gz": JsonLinesTable,
    ".ndjson": JsonLinesTable,
    ".ndjson.gz": JsonLinesTable,
    ".npz": NpzTable,
    ".npy": NpyTable,
}
