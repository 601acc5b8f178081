"""The same commands run twice, with other hash seeds and numbers of jobs: which of their files are the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torture import jobs

RUNS: Mapping[str, tuple[str, ...]] = {
    "reproduce": ("reproduce", "theorems", "figure-1", "--quick", "--out", "report", "--jobs"),
    "distill": (
        "distill", "points.csv", "--features", "x*", "--teacher-logit", "z", "--repeats", "2",
        "--out", "student.json", "--report", "distill.html",
    ),
    "predict": ("predict", "given.json", "many.npy", "--out", "answers.csv", "--jobs"),
    "select": (
        "select", "points.csv", "--features", "x*", "--budget", "9", "--out", "picks.csv", "--report", "select.html",
    ),
    "plan": (
        "plan", "points.csv", "--features", "x*", "--answers", "points.csv", "--teacher-logit", "z",
        "--target-risk", "0.05", "--report", "plan.html",
    ),
}  # fmt: skip
"""A last word ``--jobs`` is given another number each time."""


@dataclass(frozen=True)
class Twice:
    """What two runs of a command wrote."""

    files: int
    """How many files each."""
    different: tuple[str, ...]
    """Those that are not the same bytes, or are there once only."""


def twice(folder: Path, names: Sequence[str] = tuple(RUNS)) -> dict[str, Twice]:
    """Run each command in two folders, with hash seeds 1 and 2 and with 1 and 2 jobs."""
    found: dict[str, Twice] = {}
    for seed in (1, 2):
        (folder / str(seed)).mkdir()
        jobs.inputs(folder / str(seed), 20_000)
    for name in names:
        first, second = (_written(folder / str(seed), RUNS[name], seed) for seed in (1, 2))
        different = tuple(sorted(f for f in first.keys() | second if first.get(f) != second.get(f)))
        found[name] = Twice(len(first.keys() | second), different)
    return found


def _written(folder: Path, words: tuple[str, ...], seed: int) -> dict[str, bytes]:
    before = set(folder.rglob("*"))
    words = (*words, str(seed)) if words[-1] == "--jobs" else words
    env = {**os.environ, "PYTHONHASHSEED": str(seed), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-m", "limbeck", *words], cwd=folder, env=env, check=True, capture_output=True
    )
    made = (p for p in folder.rglob("*") if p.is_file() and p not in before and p.name != ".lock")
    return {str(p.relative_to(folder)): p.read_bytes() for p in made}
