"""Commands killed at random moments and run again.

python -m torture.kills NAME TIMES FOLDER SEED ROWS     one campaign, as a line of JSON

Runs are forked from this process, which has loaded limbeck before: a kill then hits the command at work, not Python
while it imports.
"""

from __future__ import annotations

import json
import os
import pkgutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

from torture import jobs
from torture.jobs import JOBS

GLANCE = 0.001


@dataclass(frozen=True)
class Killed:
    """What became of one command under many kills."""

    job: str
    """Its name."""
    seconds: float
    """Duration undisturbed."""
    kills: int
    """SIGKILLs that hit a run under way."""
    writing: int
    """How many of these left a file written aside, or parts of a result."""
    completed: int
    """Runs in between that came to their end."""
    torn: int
    """Outputs seen after a kill that were neither absent nor whole, nor, if they grow, the beginning of the whole."""
    left: int
    """Files written aside, parts and locks found after a run that came to its end."""
    wrong: int
    """Runs that came to their end with other files than an undisturbed one's."""
    twice: int
    """Answers asked for twice without need."""


def campaign(name: str, times: int, folder: Path, seed: int = 0, many: int = jobs.MANY) -> Killed:
    """Kill a job ``times`` times, running it again each time; then let it come to its end.

    Half of the kills come at a moment uniform in the undisturbed duration, half a few milliseconds after a number of
    changes in the folder uniform in what an undisturbed run makes: most of a short run writes nothing.

    Raises
    ------
    subprocess.CalledProcessError
        If a run fails, whatever happened before it.
    """
    words = [sys.executable, "-m", "torture.kills", name, str(times), str(folder), str(seed), str(many)]
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, env=env, check=True)
    return Killed(**json.loads(done.stdout))


def _campaign(name: str, times: int, folder: Path, seed: int, many: int) -> Killed:
    job, rng = JOBS[name], np.random.default_rng([seed, len(name)])
    whole, torn = folder / "whole", folder / "torn"
    for place in (whole, torn):
        place.mkdir(parents=True)
        jobs.inputs(place, many)
    started = time.monotonic()
    run = _forked(whole, job.words)
    changes = _watched(run, whole)
    _must(run, whole)
    seconds, wanted = time.monotonic() - started, jobs.final(whole, job)
    found = dict.fromkeys(("kills", "writing", "completed", "torn", "left", "wrong", "twice"), 0)
    while True:
        run = _forked(torn, job.words)
        if found["kills"] == times:
            run.join()
        elif rng.random() < 0.5:
            run.join(rng.uniform(0.0, seconds))
        else:
            _watched(run, torn, rng.integers(0, changes + 1))
            time.sleep(rng.uniform(0.0, 0.003))
        if run.is_alive():
            os.kill(run.pid or 0, signal.SIGKILL)
            run.join()
            found["kills"] += 1
            found["writing"] += any("lock" not in path for path in jobs.leftovers(torn))
            found["torn"] += jobs.torn(torn, whole, job)
            continue
        _must(run, torn)
        found["completed"] += 1
        found["left"] += len(jobs.leftovers(torn))
        found["wrong"] += jobs.final(torn, job) != wanted
        found["twice"] += jobs.unexplained(torn)
        if found["kills"] == times:
            return Killed(name, seconds, **found)
        job.clear(torn)


def _forked(place: Path, words: Sequence[str]) -> BaseProcess:
    run = get_context("fork").Process(target=_command, args=(place, words))
    run.start()
    return run


def _command(place: Path, words: Sequence[str]) -> None:
    from limbeck.cli import main

    os.chdir(place)
    log = os.open(jobs.said(place), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.argv = ["limbeck", *words]
    main()


def _watched(run: BaseProcess, place: Path, changes: float = float("inf")) -> int:
    """Wait for so many changes of the files in a folder, or the end of the run; how many there were."""
    seen, before = 0, _sizes(place)
    while seen < changes and run.is_alive():
        now = _sizes(place)
        seen, before = seen + (now != before), now
        time.sleep(GLANCE)
    return seen


def _sizes(place: Path) -> list[tuple[str, int]]:
    found, folders = [], [os.fspath(place)]
    for folder in folders:
        try:
            for entry in os.scandir(folder):
                if entry.is_dir():
                    folders.append(entry.path)
                else:
                    found.append((entry.path, entry.stat().st_size))
        except OSError:  # gone since
            continue
    return sorted(found)


def _must(run: BaseProcess, place: Path) -> None:
    run.join()
    if run.exitcode:
        raise RuntimeError(f"exit code {run.exitcode}: {jobs.said(place).read_text()}")


def _loaded() -> None:
    import limbeck

    for module in pkgutil.walk_packages(limbeck.__path__, "limbeck."):
        if module.name != "limbeck.__main__":
            import_module(module.name)


if __name__ == "__main__":
    _loaded()
    print(
        json.dumps(
            asdict(_campaign(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), *map(int, sys.argv[4:])))
        )
    )
