"""Results written a chunk at a time into a table that appears whole or not at all."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import pyarrow as pa
import pyarrow.parquet as arrow_parquet

from limbeck.records import UserError, written_aside

ENDLESS = (float("inf"), float("-inf"))  # JSON has no infinity: it is written as text
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class _Rows(Protocol):
    def write(self, columns: Mapping[str, Sequence[Any]]) -> None: ...
    def close(self) -> None: ...


class Results:
    """A table being written; use it as a context manager.

    Parameters
    ----------
    path : Path
        Ending in .csv, .jsonl or .parquet.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in ENDINGS:
            raise UserError(f"{path}: results are written as {', '.join(ENDINGS)}.")
        self._path = path

    def __enter__(self) -> Self:
        self._whole = ExitStack()
        aside = self._whole.enter_context(written_aside(self._path))
        self._rows: _Rows = ENDINGS[self._path.suffix.lower()](aside)
        self._whole.callback(self._rows.close)
        return self

    def write(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Add rows: equally long values under the same names each time."""
        self._rows.write(columns)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._whole.__exit__(kind, error, trace)


class _Csv:
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._headed = False

    def write(self, columns: Mapping[str, Sequence[Any]]) -> None:
        if not self._headed:
            self._writer.writerow([harmless(name) for name in columns])
            self._headed = True
        self._writer.writerows(
            [
                harmless(v) if isinstance(v, str) else repr(float(v)) if isinstance(v, float) else v
                for v in row
            ]
            for row in zip(*map(_listed, columns.values()), strict=True)
        )

    def close(self) -> None:
        self._file.close()


def _listed(values: Any) -> Sequence[Any]:
    """Plain Python values of an Arrow column; anything else as it is."""
    return values.to_pylist() if isinstance(values, pa.Array | pa.ChunkedArray) else values


def harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe goes before what would be one, numbers apart.

    And before apostrophes that stand before one, so that `original` gives every text back.
    """
    if not text.lstrip("'").startswith(FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return "'" + text
    return text


def original(text: str) -> str:
    """The text of which `harmless` made this."""
    return text[1:] if text.startswith("'") and harmless(text[1:]) == text else text


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def write(self, columns: Mapping[str, Sequence[Any]]) -> None:
        for row in zip(*map(_listed, columns.values()), strict=True):
            fields = {k: str(v) if v in ENDLESS else v for k, v in zip(columns, row, strict=True)}
            self._file.write(json.dumps(fields, ensure_ascii=False, allow_nan=False) + "\n")

    def close(self) -> None:
        self._file.close()


class _Parquet:
    def __init__(self, path: Path) -> None:
        self._path, self._writer = path, None

    def write(self, columns: Mapping[str, Sequence[Any]]) -> None:
        table = pa.table(dict(columns))
        if self._writer is None:
            self._writer = arrow_parquet.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


ENDINGS: dict[str, Callable[[Path], Any]] = {".csv": _Csv, ".jsonl": _JsonLines, ".parquet": _Parquet}
