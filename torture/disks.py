"""Disks that fill, folders that turn read-only, and two runs on one output."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torture import jobs
from torture.jobs import JOBS, Job

PAGE = 4096
ROOMS = 0.0, 0.1, 0.5, 0.9
"""Shares of what a command writes for which there is room."""
EARLIER = b"of an earlier run"
HARMLESS = "setpriv", "--bounding-set=-dac_override,-dac_read_search"
"""Runs root without the right to write where permissions forbid it."""
REASONS = "No space left", "File too large", "read-only", "Permission denied", "in use by another run"


@dataclass(frozen=True)
class Hindered:
    """What became of a command that could not write."""

    code: int
    """Its exit code."""
    said: str
    """What it said."""
    spoilt: tuple[str, ...]
    """Outputs neither whole nor as they were."""
    left: tuple[str, ...]
    """Files written aside that it left."""
    mended: bool
    """Whether the same command, no longer hindered, ended with an undisturbed run's files and left nothing aside."""

    @property
    def clear(self) -> bool:
        """Whether it left with 2, a reason and no traceback."""
        return self.code == 2 and "Traceback" not in self.said and any(r in self.said for r in REASONS)

    @property
    def sound(self) -> bool:
        """Whether all was as it should be."""
        return self.clear and not self.spoilt and self.mended


class Undisturbed:
    """A folder in which a job ran once, and others like it in which it did not yet.

    Parameters
    ----------
    name : str
        Of the job.
    folder : Path
        Made; holds everything.
    many : int
        Rows of the table that is predicted.
    """

    def __init__(self, name: str, folder: Path, many: int = jobs.MANY) -> None:
        self.job, self._inputs, self.whole = JOBS[name], folder / "inputs", folder / "whole"
        self._inputs.mkdir(parents=True)
        jobs.inputs(self._inputs, many)
        shutil.copytree(self._inputs, self.whole)
        _must(self.whole, self.job)
        self.wanted = jobs.final(self.whole, self.job)
        inputs = {path.name for path in self._inputs.iterdir()}
        made = [p for p in self.whole.rglob("*") if p.is_file() and p.name not in inputs]
        self.sizes = [-(-path.stat().st_size // PAGE) * PAGE for path in made]

    def lay_out(self, place: Path) -> None:
        """The job's inputs, and outputs of an earlier run where it would overwrite them."""
        shutil.copytree(self._inputs, place, dirs_exist_ok=True)
        for name in () if self.job.folder else self.job.outputs:
            (place / name).write_bytes(EARLIER)

    def judged(self, place: Path, code: int, said: str) -> Hindered:
        """How the folder looks after a hindered run, and after another one."""
        found = jobs.state(place, self.job.outputs)
        spoilt = tuple(
            name
            for name, digest in found.items()
            if digest != self.wanted[name] and (place / name).read_bytes() != EARLIER
        )
        lost = () if self.job.folder else tuple(n for n in self.job.outputs if n not in found)
        left = tuple(jobs.leftovers(place))
        for path in place.glob("filler"):
            path.unlink()
        _must(place, self.job)
        mended = jobs.final(place, self.job) == self.wanted and not jobs.leftovers(place)
        return Hindered(code, said, spoilt + lost, left, mended)


def full(job: Undisturbed, disk: Path, share: float) -> tuple[bool, Hindered]:
    """A job on a disk with room for a share of what it writes; and whether there was such a disk.

    Where mounting is not permitted it is `limited` instead.
    """
    inputs = sum(path.stat().st_size + PAGE for path in job.whole.iterdir() if path.is_file())
    with _tmpfs(disk, 2 * inputs + 4 * sum(job.sizes) + (4 << 20)) as mounted:
        if not mounted:
            return False, limited(job, disk, share)
        job.lay_out(disk)
        room = os.statvfs(disk)
        with (disk / "filler").open("wb") as filler:
            kept = int(share * sum(job.sizes)) // PAGE * PAGE
            os.posix_fallocate(filler.fileno(), 0, room.f_bavail * room.f_bsize - kept)
        code = jobs.start(disk, job.job.words).wait()
        return True, job.judged(disk, code, _said(disk))


def limited(job: Undisturbed, place: Path, share: float) -> Hindered:
    """A job none of whose files may grow beyond a share of the largest output (RLIMIT_FSIZE)."""
    job.lay_out(place)
    limit = "prlimit", f"--fsize={int(share * max(job.sizes))}"
    code = jobs.start(place, job.job.words, limit).wait()
    return job.judged(place, code, _said(place))


def read_only(job: Undisturbed, place: Path, *, from_the_start: bool) -> Hindered:
    """A job in a folder that may not be written to, from the start or once it has begun."""
    job.lay_out(place)
    if from_the_start:
        place.chmod(0o555)
    run = jobs.start(place, job.job.words, HARMLESS if os.getuid() == 0 else ())
    if not from_the_start:
        _begun(run, place, job.job)
    folders = [place, *(path for path in place.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    code = run.wait()
    for folder in folders:
        folder.chmod(0o755)
    return job.judged(place, code, _said(place))


def two_at_once(job: Undisturbed, place: Path) -> tuple[Hindered, int]:
    """What became of a run begun while another held its output, and the other's exit code."""
    job.lay_out(place)
    first = jobs.start(place, job.job.words)
    _begun(first, place, job.job)
    first.send_signal(signal.SIGSTOP)
    code = jobs.start(place, job.job.words).wait()
    said = _said(place)
    first.send_signal(signal.SIGCONT)
    other = first.wait()
    return job.judged(place, code, said), other


def _begun(run: subprocess.Popen, place: Path, job: Job) -> None:
    """Wait until a run holds its outputs: a lock's file is there a moment before it is locked."""
    pattern, count = (f"{job.folder}/.lock", 1) if job.folder else (".*.lock", len(job.outputs))
    while run.poll() is None:
        held = Path("/proc/locks").read_text()
        if sum(f":{lock.stat().st_ino} " in held for lock in place.glob(pattern)) == count:
            return
        time.sleep(0.001)


@contextmanager
def _tmpfs(place: Path, size: int) -> Iterator[bool]:
    place.mkdir(parents=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(words, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)


def _said(place: Path) -> str:
    return " ".join(jobs.said(place).read_text().split())


def _must(place: Path, job: Job) -> None:
    if jobs.start(place, job.words).wait():
        raise RuntimeError(jobs.said(place).read_text())
