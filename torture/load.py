"""Large jobs, with the memory, time and processor time they take, and many small ones in one process.

python -m torture.load fits COUNT     resident bytes after each fifth of so many fits, as a line of JSON
"""

from __future__ import annotations

import csv
import gc
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import random_array

from limbeck import SoftLabelClassifier, save
from limbeck.data.features import Features

STATM = Path("/proc/self/statm")
# Not ru_maxrss, which a child takes over from whoever started it.
TOLD = """
import atexit, pathlib, runpy
status = pathlib.Path("/proc/self/status")
atexit.register(lambda: pathlib.Path("status.txt").write_text(status.read_text()))
runpy.run_module("limbeck", run_name="__main__")
"""
FEATURES, WORDS_A_ROW, FIFTHS = 16, 20, 5


@dataclass(frozen=True)
class Spent:
    """What a command took."""

    seconds: float
    """On the clock, on a machine that others may use too."""
    processor: float
    """Seconds of processor time, of all threads."""
    peak: int
    """Largest resident memory, bytes."""


def measured(words: Sequence[str], place: Path) -> Spent:
    """Run ``limbeck`` in a folder; RuntimeError with what it said if it fails."""
    started, log = time.monotonic(), place / "said.txt"
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with log.open("w") as said:
        run = subprocess.Popen(
            [sys.executable, "-c", TOLD, *words], cwd=place, stdout=said, stderr=said, env=env
        )
        _, status, used = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        raise RuntimeError(log.read_text())
    peak = int(re.findall(r"VmHWM:\s+(\d+) kB", (place / "status.txt").read_text())[0]) * 1024
    return Spent(time.monotonic() - started, used.ru_utime + used.ru_stime, peak)


def predicted(rows: int, place: Path) -> Spent:
    """``predict`` on so many rows of 16 float32 features."""
    rng = np.random.default_rng(0)
    points = np.lib.format.open_memmap(place / "many.npy", "w+", np.float32, (rows, FEATURES))
    for start in range(0, rows, 1 << 20):
        points[start : start + (1 << 20)] = rng.standard_normal(points[start : start + (1 << 20)].shape)
    X, w = np.array(points[:200], dtype=np.float64), rng.standard_normal(FEATURES)
    del points
    student = SoftLabelClassifier(alpha=0).fit(X, 1 / (1 + np.exp(-X @ w)))
    save(
        student, place / "student.json", features={"table": Features(embedding="X", width=FEATURES).to_json()}
    )
    return measured(["predict", "student.json", "many.npy", "--out", "answers.parquet"], place)


def distilled(rows: int, features: int, place: Path) -> Spent:
    """``distill`` from texts of 20 words drawn from so many: sparse points."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(features) * 2
    drawn = rng.integers(0, features, (rows, WORDS_A_ROW))
    with (place / "texts.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["id", "text", "p"])
        for i, words in enumerate(drawn):
            p = 1 / (1 + np.exp(-weights[words].mean()))
            lines.writerow([i, " ".join(f"w{k:05}" for k in words), f"{p:.6f}"])
    words = ["distill", "texts.csv", "--text", "text", "--vocabulary", str(features), "--alpha", "1e-4"]
    return measured([*words, "--teacher-probability", "p", "--out", "student.json"], place)


def resident(count: int) -> list[int]:
    """Resident bytes after each fifth of so many fits in one process, which has done nothing else."""
    done = subprocess.run(
        [sys.executable, "-m", "torture.load", "fits", str(count)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def _fits(count: int) -> list[int]:
    rng, seen = np.random.default_rng(0), []
    X, S = rng.standard_normal((400, 30)), random_array((400, 30), density=0.2, rng=rng, format="csr")
    p = 1 / (1 + np.exp(-X @ rng.standard_normal(30)))
    for i in range(count):
        SoftLabelClassifier(alpha=(0, 0.1, "loo")[i % 3]).fit(S if i % 4 == 3 else X, p)
        if (i + 1) % (count // FIFTHS) == 0:
            gc.collect()
            pages = int(STATM.read_text().split()[1])
            seen.append(pages * os.sysconf("SC_PAGE_SIZE"))
    return seen


if __name__ == "__main__":
    print(json.dumps(_fits(int(sys.argv[2]))))
