"""What a run has finished, kept in a folder beside its result until that is there: a run that is killed can go on."""

from __future__ import annotations

import errno
import io
import shutil
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from limbeck.data.blocks import Group
from limbeck.data.results import Results
from limbeck.engine import Engine
from limbeck.records import UserError, name_aside, read_json, write_json, write_whole


class Kept:
    """A folder beside ``out`` that keeps what a run has finished.

    Parameters
    ----------
    out : Path
        The result to be.
    origin : mapping
        Plain JSON that says what it is made from: only what has the same origin goes together.
    resume, overwrite : bool
        Keep what a run that stopped has finished, or throw it away.

    Raises
    ------
    UserError
        If there is something and neither was asked for, or what is of another origin is to be kept.
    """

    def __init__(self, out: Path, origin: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
        self._out = out
        self.folder: Path = out.with_name(name_aside(out, ".unfinished"))
        self._origin, self._manifest = dict(origin), self.folder / "origin.json"
        self.full: bool = False
        if overwrite and not resume:
            shutil.rmtree(self.folder, ignore_errors=True)
        if self._manifest.exists():
            if not resume:
                raise UserError(
                    f"An earlier run for {out} stopped half-way. --resume keeps what it finished, --overwrite does not."
                )
            if read_json(self._manifest) != self._origin:
                raise UserError(
                    f"The finished parts of {out} were made from another student or table, or with other options: "
                    "--overwrite starts anew."
                )
        elif self.folder.exists():  # parts without an origin: a kill came while they were being removed
            shutil.rmtree(self.folder)

    def _write(self, path: Path, data: bytes) -> None:
        """Put a file on disk, whole; the folder is there from the first one on."""
        with self._full_disk_named():
            self._make_folder()
            write_whole(path, data)

    def _make_folder(self) -> None:
        if not self._manifest.exists():
            self.folder.mkdir()
            write_json(self._manifest, self._origin)

    @contextmanager
    def _full_disk_named(self) -> Iterator[None]:
        """Turn a full disk into an error that says what is kept."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self.full = True
            raise UserError(
                f"No space left for {self._out}. Finished parts are kept in {self.folder}: make room, then --resume."
            ) from error

    def remove(self) -> None:
        """Throw all of it away: the result is there, or there will be none."""
        if self.folder.exists():
            shutil.rmtree(self.folder)


class Unfinished(Kept):
    """Parts of a table ``out``, each known by the row it starts at; see `Kept`."""

    def written(
        self, engine: Engine, answer: Callable[[Group], tuple[int, dict[str, Any]]], groups: Iterable[Group]
    ) -> Iterator[int]:
        """Compute and keep the parts of these groups that are not finished; yield the first row of each."""
        todo = (group for group in groups if not self._path(group.first).exists())
        for first, columns in engine.ordered(answer, todo):
            self.keep(first, columns)
            yield first

    def keep(self, first: int, columns: Mapping[str, Any]) -> None:
        """Put a finished part on disk, whole."""
        table = pa.table(dict(columns))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        self._write(self._path(first), sink.getvalue().to_pybytes())

    def assemble(self) -> int:
        """Write the result from all parts in order, remove them, and return the number of rows."""
        rows = 0
        with self._full_disk_named(), Results(self._out) as results:
            for path in sorted(self.folder.glob("*.arrow")):
                try:
                    with pa.OSFile(str(path)) as file:
                        part = pa.ipc.open_file(file).read_all()
                    part.validate(full=True)
                except (pa.ArrowException, OSError) as error:
                    raise _damaged(path, error) from error
                results.write(dict(zip(part.column_names, part.columns, strict=True)))
                rows += part.num_rows
        self.remove()
        return rows

    def _path(self, first: int) -> Path:
        return self.folder / f"{first:015}.arrow"


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} is damaged ({error}). Delete it and --resume, or start anew with --overwrite.")


class UnfinishedFolder(Kept):
    """A folder ``out`` of Parquet tables, each known by the row it starts at; see `Kept`.

    Whoever computes a part writes it, so that none of it passes through this process: other machines see the same
    files under the same paths.
    """

    def written(
        self, engine: Engine, answer: Callable[[Group], tuple[int, dict[str, Any]]], groups: Iterable[Group]
    ) -> Iterator[int]:
        """Compute and write the parts of these groups that are not finished; yield the first row of each."""
        with self._full_disk_named():
            self._make_folder()
            todo = (group for group in groups if not (self.folder / _part(group.first)).exists())
            yield from engine.ordered(_WrittenThere(answer, self.folder.absolute()), todo)

    def assemble(self) -> int:
        """Give the folder its name, and return the number of rows."""
        rows = sum(pq.read_metadata(path).num_rows for path in self.folder.glob("*.parquet"))
        self._manifest.unlink()
        self.folder.rename(self._out)
        return rows


def _part(first: int) -> str:
    return f"part-{first:015}.parquet"


@dataclass(frozen=True)
class _WrittenThere:
    answer: Callable[[Group], tuple[int, dict[str, Any]]]
    folder: Path

    def __call__(self, group: Group) -> int:
        first, columns = self.answer(group)
        with Results(self.folder / _part(first)) as part:
            part.write(columns)
        return first


class Journal(Kept):
    """Results of passes over the rows, in the order they were made; see `Kept`.

    A run that is repeated makes the same passes, so that the n-th result stands for the n-th pass.

    Parameters
    ----------
    every : float
        Seconds between two savings of a pass under way.
    """

    def __init__(
        self, out: Path, origin: Mapping[str, Any], *, resume: bool, overwrite: bool, every: float = 20.0
    ) -> None:
        super().__init__(out, origin, resume=resume, overwrite=overwrite)
        self._every, self._saved, self._number = every, time.monotonic(), -1

    def begin(self) -> tuple[Any, int]:
        """Start the next pass: what is known of it, or None, and of how many groups of blocks; -1 for all."""
        self._number += 1
        if not self._path.exists():
            return None, 0
        try:
            with np.load(self._path, allow_pickle=False) as file:
                values = [
                    value if (value := file[f"v{i}"]).ndim else value.item() for i in range(len(file) - 2)
                ]
                return (tuple(values) if file["several"] else values[0]), int(file["groups"])
        except (BadZipFile, ValueError, KeyError, IndexError, TypeError, EOFError, zlib.error) as error:
            raise _damaged(self._path, error) from error

    def keep(self, sums: Any, groups: int) -> None:
        """Save the pass after so many groups, -1 for all of them, unless it was saved a moment ago."""
        if groups >= 0 and time.monotonic() - self._saved < self._every:
            return
        values = sums if isinstance(sums, tuple) else (sums,)
        sink = io.BytesIO()
        np.savez(
            sink, groups=groups, several=isinstance(sums, tuple), **{f"v{i}": v for i, v in enumerate(values)}
        )
        self._write(self._path, sink.getvalue())
        self._saved = time.monotonic()

    @property
    def _path(self) -> Path:
        return self.folder / f"pass-{self._number:03}.npz"
