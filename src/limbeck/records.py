"""Finished cells: their keys, their random streams, and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import math
import os
import stat
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

try:
    import fcntl
except ImportError:  # Windows: no advisory locks, two runs on one folder are then the user's care
    fcntl = None

LONGEST_LINE = 64 * 1024 * 1024


class UserError(Exception):
    """Something the user can put right; the message says what came, why it matters and what to do."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its sampling error."""

    mean: float
    """Mean over independent repeats, or an exact value."""
    stderr: float
    """Standard error of the mean; 0 for an exact value."""
    count: int
    """Number of independent repeats."""

    @classmethod
    def of(cls, values: Iterable[float]) -> Estimate:
        """Mean and standard error of independent values."""
        values = np.asarray(list(values) if not isinstance(values, np.ndarray) else values, dtype=np.float64)
        spread = values.std(ddof=1) / math.sqrt(values.size) if values.size > 1 else 0.0
        return cls(float(values.mean()), float(spread), int(values.size))


@dataclass(frozen=True)
class Cell:
    """One block of repeats of an experiment at one set of parameters: what is run, stored and resumed."""

    experiment: str
    """Name of the experiment."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What distinguishes the cell: numbers and strings."""
    block: int = 0
    """Number of the block."""
    repeats: int = 1
    """How many repeats the block holds."""

    @property
    def key(self) -> str:
        """Canonical text of experiment, parameters and block: equal for equal cells."""
        return _dumps([self.experiment, dict(sorted(self.parameters.items())), self.block])

    def rng(self, seed: int) -> np.random.Generator:
        """The cell's own random stream: no other cell, order or number of processes changes it."""
        digest = np.frombuffer(hashlib.sha256(self.key.encode()).digest(), dtype=np.uint32)
        return np.random.default_rng(np.random.SeedSequence([seed, *(int(word) for word in digest)]))


@dataclass(frozen=True)
class Record:
    """What a finished cell gave: one line of ``records.jsonl``."""

    cell: Cell
    """The cell."""
    seed: int
    """Seed of the run."""
    estimates: Mapping[str, Estimate]
    """Named estimates."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Anything else the tables or figures need: numbers, text, lists."""

    def to_line(self) -> str:
        """Strict JSON, ending in a newline."""
        fields = {
            **asdict(self.cell),
            "parameters": dict(self.cell.parameters),
            "seed": self.seed,
            "estimate": {name: e.mean for name, e in self.estimates.items()},
            "stderr": {name: e.stderr for name, e in self.estimates.items()},
            "count": {name: e.count for name, e in self.estimates.items()},
            "detail": dict(self.detail),
        }
        return _dumps(fields) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Record:
        """Read a line back; ValueError or KeyError if it is not one."""
        fields = parsed(line)
        cell = Cell(
            str(fields["experiment"]),
            {k: _decoded(v) for k, v in fields["parameters"].items()},
            int(fields["block"]),
            int(fields["repeats"]),
        )
        estimates = {
            name: Estimate(
                float(_decoded(mean)), float(_decoded(fields["stderr"][name])), int(fields["count"][name])
            )
            for name, mean in fields["estimate"].items()
        }
        return cls(cell, int(fields["seed"]), estimates, fields["detail"])


def pool(records: Iterable[Record]) -> dict[str, Estimate]:
    """Combine the blocks of one set of parameters: the estimates all repeats together would give.

    Means and sums of squared deviations add by Chan's formula, so nothing is lost to the blocks.
    """
    pooled: dict[str, Estimate] = {}
    for record in records:
        for name, b in record.estimates.items():
            pooled[name] = _combined(pooled[name], b) if name in pooled else b
    return pooled


def _combined(a: Estimate, b: Estimate) -> Estimate:
    count = a.count + b.count
    gap = b.mean - a.mean if a.mean != b.mean else 0.0
    mean = a.mean + gap * b.count / count
    squares = sum(e.stderr**2 * e.count * (e.count - 1) for e in (a, b)) + gap**2 * a.count * b.count / count
    return Estimate(mean, math.sqrt(squares / (count - 1) / count), count)


def read_records(path: Path) -> list[Record]:
    """Records of a file; a last line cut short by a kill is left out.

    Raises
    ------
    UserError
        Naming the first line that is damaged.
    """
    if not path.exists():
        return []
    records = []
    with path.open("rb") as file:
        for number, raw in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), start=1):
            if not raw.endswith(b"\n") and len(raw) < LONGEST_LINE:
                break  # the line a killed run was writing
            try:
                records.append(Record.from_line(raw.decode("utf-8")))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise UserError(
                    f"{path}, line {number} is damaged ({type(error).__name__}: {error}). Delete that line to "
                    "recompute its cell with --resume, or start anew with --overwrite."
                ) from error
    return records


def append(path: Path, record: Record) -> None:
    """Add one line and see it to the disk, after cutting off what a kill may have left half-written."""
    with path.open("ab") as file:
        file.write(record.to_line().encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())


def append_json(path: Path, fields: Mapping[str, Any]) -> None:
    """Add one line of strict JSON and see it to the disk."""
    with path.open("ab") as file:
        file.write((_dumps(fields) + "\n").encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Objects that `append_json` wrote; a last line cut short by a kill is cut off.

    Raises
    ------
    UserError
        Naming the first line that is damaged.
    """
    drop_half_line(path)
    if not path.exists():
        return []
    found = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                found.append(dict(parsed(line)))
            except (ValueError, TypeError, RecursionError) as error:
                raise UserError(
                    f"{path}, line {number} is damaged ({error}). Repair it, or start anew in another folder."
                ) from error
    return found


def drop_half_line(path: Path) -> None:
    """Cut off a last line without its newline, so that the next append starts a line of its own."""
    if path.exists():
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with path.open("r+b") as file:
                file.truncate(whole)


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A file to write that takes the place of ``path`` when the block ends, flushed; it is gone if the block fails.

    Readers see the old file or the new one, which keeps the old one's permissions. The file aside is locked while it
    is written: one that nobody holds was left by a kill, and is removed.

    Raises
    ------
    UserError
        If ``path`` is a symbolic link, a device, a pipe or a folder.
    OSError
        Naming ``path``, which is then as it was.
    """
    check_replaceable(path)
    try:
        _remove_abandoned(path)
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask()
        handle, aside = _opened_aside(path)
        try:
            yield aside
            os.fsync(handle)
            aside.chmod(mode)
            os.replace(aside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno is None or (error.filename and not str(error.filename).endswith(".partial")):
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def check_replaceable(path: Path) -> None:
    """Raise a `UserError` if something other than a regular file has this name: a new file would replace it."""
    if path.is_symlink():
        raise UserError(
            f"{path} is a symbolic link, which would be replaced by a file: give the file's own name."
        )
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is a folder, a pipe or a device, not a file: choose another name.")


def name_aside(path: Path, ending: str) -> str:
    """Name of a hidden file or folder next to ``path``; of a long name its digest, as names end at 255 bytes."""
    name = os.fsencode(path.name)
    return f".{path.name if len(name) <= 200 else hashlib.sha256(name).hexdigest()}{ending}"


def _opened_aside(path: Path) -> tuple[int, Path]:
    while True:
        handle, name = tempfile.mkstemp(prefix=name_aside(path, "."), suffix=".partial", dir=path.parent)
        if fcntl is None:
            return handle, Path(name)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)  # it was taken for abandoned before it was locked


def _remove_abandoned(path: Path) -> None:
    if fcntl is None:
        return
    for aside in path.parent.glob(f"{glob.escape(name_aside(path, '.'))}*.partial"):
        with contextlib.suppress(OSError), aside.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            aside.unlink()


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file aside, flush it and rename it into place: readers see the old one or the new one."""
    with written_aside(path) as aside:
        aside.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def write_json(path: Path, content: Any) -> None:
    """Write strict, readable JSON whole."""
    write_whole(path, json.dumps(_encoded(content), indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read strict JSON; UserError naming the file if it is damaged."""
    try:
        return parsed(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged ({error}). Start anew with --overwrite, or in another folder."
        ) from error


def write_table(path: Path, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a CSV whole: plain decimal numbers, ``inf``, and empty cells for what does not apply."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([plain(value) for value in row] for row in rows)
    write_whole(path, text.getvalue())


def plain(value: Any) -> str:
    """A number in plain decimals with all its digits, ``inf``, or text as it is; None is empty."""
    if value is None:
        return ""
    if isinstance(value, (bool, np.bool_, str)):
        return str(value)
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    value = float(value)
    return str(value) if not math.isfinite(value) else np.format_float_positional(value, trim="-")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a folder, or a file that is to be written, for one run; a second one is refused.

    The lock goes with the process that holds it, so that none outlives a kill.

    Raises
    ------
    UserError
        If another process holds it.
    """
    lock = path / ".lock" if path.is_dir() else path.with_name(name_aside(path, ".lock"))
    with _held(lock, path):
        try:
            yield
        finally:
            # While it is still held: whoever opened it in between finds no name to it, and begins again.
            with contextlib.suppress(OSError):
                lock.unlink()


def _held(lock: Path, path: Path) -> IO[str]:
    while True:
        file = lock.open("a")
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise UserError(
                f"{path} is in use by another run of limbeck. Wait for it, or choose another place."
            ) from error
        if os.fstat(file.fileno()).st_nlink or fcntl is None:
            return file
        file.close()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _dumps(content: Any) -> str:
    return json.dumps(_encoded(content), allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def _encoded(content: Any) -> Any:
    """JSON has no infinity: it is written as the text "inf"; NaN is refused further down."""
    if isinstance(content, Mapping):
        return {str(k): _encoded(v) for k, v in content.items()}
    if isinstance(content, (list, tuple, np.ndarray)):
        return [_encoded(v) for v in content]
    if isinstance(content, (np.integer, np.bool_)):
        return content.item()
    if isinstance(content, (float, np.floating)):
        return float(content) if not math.isinf(content) else str(float(content))
    return content


def _decoded(value: Any) -> Any:
    return float(value) if value in ("inf", "-inf") else value


def parsed(text: str | bytes) -> Any:
    """Strict JSON: ValueError for NaN, infinity or a key that stands twice, RecursionError if nested too deeply."""
    return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_no_duplicates)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise ValueError(f"the key {next(name for name in counts if counts[name] > 1)!r} stands twice")
    return mapping
