"""Small jobs of every command that writes, and what a disturbed one must leave behind."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROWS = 400

TEACHER = """
import json, sys, math
for line in sys.stdin:
    q = json.loads(line)
    p = 1 / (1 + math.exp(-sum(v if i % 2 else -v for i, v in enumerate(q["x"]))))
    print(json.dumps({"id": q["id"], "probabilities": p}), flush=True)
"""


@dataclass(frozen=True)
class Job:
    """One command, run in a folder that holds its inputs."""

    words: tuple[str, ...]
    """The command line after ``limbeck``."""
    again: tuple[str, ...]
    """What lets it be run once more after a kill; part of every run, since pages tell the command."""
    outputs: tuple[str, ...]
    """Files to compare, as globs."""


JOBS: Mapping[str, Job] = {
    "reproduce": Job(
        ("reproduce", "figure-3", "--quick", "--repeats", "4", "--jobs", "1", "--resume", "--out", "report"), (),
        ("report/**/*.csv", "report/records.jsonl", "report/report.html"),
    ),
    "distill": Job(
        (
            "distill", "points.csv", "--features", "x*", "--teacher-logit", "z", "--repeats", "2",
            "--out", "student.json", "--report", "r.html",
        ),
        ("--overwrite",), ("student.json", "r.html"),
    ),
    "predict": Job(
        ("predict", "given.json", "many.csv", "--out", "answers.csv"), ("--overwrite",), ("answers.csv",)
    ),
    "select": Job(
        ("select", "points.csv", "--features", "x*", "--budget", "9", "--out", "picks.csv", "--report", "r.html"),
        ("--overwrite",), ("picks.csv", "r.html"),
    ),
    "label": Job(
        (
            "label", "points.csv", "--features", "x*", "--teacher-command", f"{sys.executable} -S -E teacher.py",
            "--budget", "60", "--audit", "20", "--batch", "10", "--target-risk", "0.001", "--select", "random",
            "--alpha", "0", "--ask-again", "--backoff", "0", "--out", "bought",
        ),
        (), ("bought/answers.csv", "bought/student.json"),
    ),
}  # fmt: skip


def inputs(folder: Path) -> None:
    """Write what the jobs read."""
    rng = np.random.default_rng(0)
    X, w = rng.standard_normal((ROWS, 5)), np.array([1.0, -1, 2, 0.5, 0])
    names = [f"x{j}" for j in range(5)]
    with (folder / "points.csv").open("w", newline="") as file:
        rows = ([f"r{i}", *map(repr, map(float, x)), repr(float(x @ w))] for i, x in enumerate(X))
        csv.writer(file).writerows([["id", *names, "z"], *rows])
    with (folder / "many.csv").open("w", newline="") as file:
        rows = ([f"r{i}", *map(float, X[i % ROWS])] for i in range(100 * ROWS))
        csv.writer(file).writerows([["id", *names], *rows])
    (folder / "teacher.py").write_text(TEACHER)
    given = ("distill", "points.csv", "--features", "x*", "--teacher-logit", "z", "--out", "given.json")
    done = start(folder, given).wait()
    if done:
        raise RuntimeError(f"the student to predict with was not made: exit code {done}")


def start(folder: Path, words: tuple[str, ...], log: int = subprocess.DEVNULL) -> subprocess.Popen:
    """The command in a process group of its own."""
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "SOURCE_DATE_EPOCH": "0"}
    return subprocess.Popen(
        [sys.executable, "-m", "limbeck", *words],
        cwd=folder, env=env, stdout=log, stderr=log, text=True, start_new_session=True,
    )  # fmt: skip


def finished(folder: Path, words: tuple[str, ...]) -> tuple[int, str]:
    """Run to the end: exit code and everything said."""
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", "limbeck", *words],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def state(folder: Path, job: Job) -> dict[str, str]:
    """Digest of every output; dates and durations, which differ from run to run, left out of pages."""
    found = {}
    for pattern in job.outputs:
        for path in sorted(folder.glob(pattern)):
            data = path.read_bytes()
            if path.suffix == ".html":
                data = re.sub(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?|\d+(\.\d+)? s\b", b"", data)
            if path.name == "records.jsonl":
                data = b"\n".join(sorted(data.splitlines()))
            found[str(path.relative_to(folder))] = hashlib.sha256(data).hexdigest()
    return found


def leftovers(folder: Path) -> list[str]:
    """Files written aside that nobody renamed."""
    return [str(p.relative_to(folder)) for p in folder.rglob("*.partial")]
