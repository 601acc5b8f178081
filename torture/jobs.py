"""Small jobs of every command that writes, and what a disturbed one must leave behind."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from limbeck import SoftLabelClassifier, save
from limbeck.data.features import Features
from limbeck.records import read_lines

ROWS, MANY, FEW, WIDE = 400, 1_100_000, 60, 40
"""Rows of the least table, of the one that is predicted, those asked about at least, and features of the widest."""
CALLS = "calls.txt"

TEACHER = """
import json, sys, math, time
for line in sys.stdin:
    q = json.loads(line)
    with open("{calls}", "a") as calls:
        calls.write(q["id"] + "\\n")
    time.sleep(0.01)
    p = 1 / (1 + math.exp(-sum(v if i % 2 else -v for i, v in enumerate(q["x"]))))
    print(json.dumps({{"id": q["id"], "probabilities": p}}), flush=True)
"""


@dataclass(frozen=True)
class Job:
    """One command, run in a folder that holds its inputs; run again after a kill, it goes on or begins anew."""

    words: tuple[str, ...]
    """The command line after ``limbeck``."""
    outputs: tuple[str, ...]
    """What must be whole or absent at any moment, as globs."""
    folder: str = ""
    """Where it keeps what it has, if that is a folder."""
    grows: str = ""
    """A file of the folder that only grows, and in the end is the same whatever happened."""

    def clear(self, place: Path) -> None:
        """Let the next run begin anew; files stay, to be overwritten."""
        if self.folder:
            shutil.rmtree(place / self.folder, ignore_errors=True)
            (place / CALLS).unlink(missing_ok=True)


JOBS: Mapping[str, Job] = {
    "reproduce": Job(
        ("reproduce", "figure-3", "--quick", "--repeats", "12", "--jobs", "1", "--resume", "--out", "report"),
        ("report/*.csv", "report/*.svg", "report/*.png", "report/findings.json", "report/report.html"),
        "report",
        "report/records.jsonl",
    ),
    "distill": Job(
        (
            "distill", "points.csv", "--features", "x*", "--teacher-logit", "z", "--repeats", "10",
            "--out", "student.json", "--report", "distill.html", "--overwrite",
        ),
        ("student.json", "distill.html"),
    ),
    "predict": Job(
        (
            "predict", "given.json", "many.npy", "--out", "answers.csv", "--jobs", "1", "--resume",
            "--overwrite",
        ),
        ("answers.csv",),
    ),
    "select": Job(
        (
            "select", "wide.npy", "--budget", "80", "--out", "picks.csv", "--report", "select.html", "--overwrite",
        ),
        ("picks.csv", "select.html"),
    ),
    "label": Job(
        (
            "label", "few.csv", "--features", "x*", "--teacher-command", f"{sys.executable} -S -E teacher.py",
            "--budget", "400", "--audit", "20", "--batch", "10", "--target-risk", "0.001", "--select",
            "random", "--alpha", "0", "--ask-again", "--backoff", "0", "--anyway", "--out", "bought",
        ),
        ("bought/answers.csv", "bought/student.json"),
        "bought",
    ),
    "plan": Job(
        (
            "plan", "wide.npy", "--target-risk", "0.05", "--report", "plan.html", "--overwrite",
        ),
        ("plan.html",),
    ),
    "audit": Job(
        ("audit", "given.json", "points.csv", "--features", "x*", "--report", "audit.html", "--overwrite"),
        ("audit.html",),
    ),
}  # fmt: skip


def inputs(place: Path, many: int = MANY) -> None:
    """Write what the jobs read; with ``many`` rows of the largest table, the others grow too."""
    rng = np.random.default_rng(0)
    rows, few, wide = (max(least, many // share) for least, share in ((ROWS, 300), (FEW, 7_000), (ROWS, 3)))
    X, w = rng.standard_normal((rows, 5)), np.array([1.0, -1, 2, 0.5, 0])
    names = [f"x{j}" for j in range(5)]
    for file_name, count in (("points.csv", rows), ("few.csv", few)):
        with (place / file_name).open("w", newline="") as file:
            lines = ([f"r{i}", *map(repr, x.tolist()), repr(float(x @ w))] for i, x in enumerate(X[:count]))
            csv.writer(file).writerows([["id", *names, "z"], *lines])
    np.save(place / "many.npy", np.resize(X.astype(np.float32), (many, 5)))
    spread = np.geomspace(1, 0.05, WIDE, dtype=np.float32)
    np.save(place / "wide.npy", spread * rng.standard_normal((wide, WIDE), dtype=np.float32))
    (place / "teacher.py").write_text(TEACHER.format(calls=CALLS))
    student = SoftLabelClassifier(alpha=0).fit(X, 1 / (1 + np.exp(-X @ w)))
    save(student, place / "given.json", features={"table": Features(embedding="X", width=5).to_json()})


def start(place: Path, words: Sequence[str], before: Sequence[str] = ()) -> subprocess.Popen:
    """The command in a process group of its own; what it says goes to ``said.txt``."""
    env = {
        **os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200",
        "SOURCE_DATE_EPOCH": "0",
    }  # fmt: skip
    with said(place).open("w") as log:
        return subprocess.Popen(
            [*before, sys.executable, "-m", "limbeck", *words],
            cwd=place, env=env, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def said(place: Path) -> Path:
    """Where `start` puts what a command says: beside the folder, which may be full."""
    return place.with_name(f"{place.name}.said.txt")


def state(place: Path, patterns: Sequence[str]) -> dict[str, str]:
    """Digest of every file; dates and durations, which differ from run to run, left out of pages."""
    found = {}
    for pattern in patterns:
        for path in sorted(place.glob(pattern)):
            data = path.read_bytes()
            if path.suffix == ".html":
                data = re.sub(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?|\d+(\.\d+)? s\b", b"", data)
            found[str(path.relative_to(place))] = hashlib.sha256(data).hexdigest()
    return found


def final(place: Path, job: Job) -> dict[str, str]:
    """`state` of everything that must be an undisturbed run's once the command has come to its end."""
    return state(place, (*job.outputs, *([job.grows] if job.grows else [])))


def leftovers(place: Path) -> list[str]:
    """Files written aside that nobody renamed, locks, and folders of parts."""
    found = (path for end in ("partial", "lock", "unfinished") for path in place.rglob(f".*.{end}"))
    return sorted(str(p.relative_to(place)) for p in [*found, *place.glob("*/.lock")])


def unexplained(place: Path) -> int:
    """Times the teacher was asked for an answer a second time, where the first did not go down with a killed run."""
    calls = place / CALLS
    asked = Counter(calls.read_text().split() if calls.exists() else [])
    lost = Counter(e["id"] for e in read_lines(place / "bought/asked.jsonl") if e["event"] == "failed")
    return sum(max(0, count - 1 - lost[name]) for name, count in asked.items())
