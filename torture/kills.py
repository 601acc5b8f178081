"""Commands killed at random moments, full disks, read-only folders, two runs at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from torture import jobs
from torture.jobs import JOBS


@dataclass(frozen=True)
class Killed:
    """What became of one command under many kills."""

    job: str
    """Its name."""
    seconds: float
    """Duration undisturbed."""
    kills: int
    """How often SIGKILL was sent."""
    unfinished: int
    """How many of them hit a run that was not over."""
    partial: int
    """Outputs seen after a kill that were neither absent nor whole."""
    aside: int
    """Files written aside that are left at the end."""
    equal: bool
    """Whether the final files are an undisturbed run's."""


def campaign(name: str, times: int, folder: Path, seed: int = 0) -> Killed:
    """Kill a job ``times`` times, let it finish, and compare."""
    job, rng = JOBS[name], np.random.default_rng([seed, len(name)])
    whole, torn = folder / "whole", folder / "torn"
    for place in (whole, torn):
        place.mkdir(parents=True)
        jobs.inputs(place)
    start = time.monotonic()
    words = (*job.words, *job.again)
    _must(jobs.finished(whole, words))
    seconds = time.monotonic() - start
    wanted = jobs.state(whole, job)
    unfinished = partial = 0
    for _ in range(times):
        unfinished += _kill(torn, words, float(rng.uniform(0.0, seconds)))
        # Records and folders grow line by line; single files must be there whole or not at all.
        if job.words[-1] != "bought" and name != "reproduce":
            partial += sum(wanted[file] != digest for file, digest in jobs.state(torn, job).items())
    _must(jobs.finished(torn, words))
    left = len(jobs.leftovers(torn))
    return Killed(name, seconds, times, unfinished, partial, left, jobs.state(torn, job) == wanted)


def _kill(folder: Path, words: tuple[str, ...], after: float) -> bool:
    run = jobs.start(folder, words)
    try:
        run.wait(timeout=after)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        return True


def _must(done: tuple[int, str]) -> None:
    if done[0]:
        raise RuntimeError(done[1])


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
sys.argv[0] = "limbeck"
from limbeck.cli import main
main()
"""


def full_disk(folder: Path, words: tuple[str, ...], size: int) -> tuple[int, str]:
    """The command where no file can grow beyond ``size`` bytes: writing fails as on a full disk, with an OSError."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED.format(size=size), *words],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def disks(folder: Path) -> list[str]:
    """One line for each thing tried."""
    jobs.inputs(folder)
    lines = []
    for name in ("predict", "distill", "select"):
        job = JOBS[name]
        code, said = full_disk(folder, job.words, 500)
        there = [*jobs.state(folder, job), *jobs.leftovers(folder)]
        how = "a clear error" if "Writing failed" in said and "Traceback" not in said else "A TRACEBACK"
        lines.append(
            f"`{name}`, files limited to 500 bytes: exit code {code}, {how}, left behind: "
            f"{', '.join(there) or 'nothing'}"
        )
    return lines
