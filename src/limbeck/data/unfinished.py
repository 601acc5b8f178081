"""Parts of a result kept in a folder beside it until all are there, so that a run that is killed can go on."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from limbeck.data.results import Results
from limbeck.records import UserError, read_json, write_json, write_whole


class Unfinished:
    """Parts of ``out``, each known by the row it starts at.

    Parameters
    ----------
    out : Path
        The result to be.
    origin : mapping
        Plain JSON that says what the parts were made from: only parts of the same origin go together.
    resume, overwrite : bool
        Keep the parts of a run that stopped, or throw them away.

    Raises
    ------
    UserError
        If there are parts and neither was asked for, or parts of another origin are to be kept.
    """

    def __init__(self, out: Path, origin: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
        self._out, self.folder = out, out.with_name(f".{out.name}.unfinished")
        manifest = self.folder / "origin.json"
        if overwrite and not resume:
            shutil.rmtree(self.folder, ignore_errors=True)
        if manifest.exists():
            if not resume:
                raise UserError(
                    f"An earlier run for {out} stopped half-way. --resume keeps what it finished, --overwrite does not."
                )
            if read_json(manifest) != dict(origin):
                raise UserError(
                    f"The finished parts of {out} were made from another student or table: --overwrite starts anew."
                )
            return
        with self.full_disk_named():
            self.folder.mkdir(exist_ok=True)
            write_json(manifest, dict(origin))

    def has(self, first: int) -> bool:
        """Whether the part that starts at this row is finished."""
        return self._path(first).exists()

    def keep(self, first: int, columns: Mapping[str, Any]) -> None:
        """Put a finished part on disk, whole."""
        table = pa.table(dict(columns))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        with self.full_disk_named():
            write_whole(self._path(first), sink.getvalue().to_pybytes())

    def assemble(self) -> int:
        """Write the result from all parts in order, remove them, and return the number of rows."""
        rows = 0
        with self.full_disk_named(), Results(self._out) as results:
            for path in sorted(self.folder.glob("*.arrow")):
                try:
                    with pa.OSFile(str(path)) as file:
                        part = pa.ipc.open_file(file).read_all()
                    part.validate(full=True)
                except (pa.ArrowException, OSError) as error:
                    raise UserError(
                        f"{path} is damaged ({error}). Delete it and --resume, or start anew with --overwrite."
                    ) from error
                results.write(dict(zip(part.column_names, part.columns, strict=True)))
                rows += part.num_rows
        shutil.rmtree(self.folder)
        return rows

    def _path(self, first: int) -> Path:
        return self.folder / f"{first:015}.arrow"

    @contextmanager
    def full_disk_named(self) -> Iterator[None]:
        """Turn a full disk into an error that says what is kept."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise UserError(
                f"No space left for {self._out}. Finished parts are kept in {self.folder}: make room, then --resume."
            ) from error
