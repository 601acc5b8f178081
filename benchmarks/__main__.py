"""``python -m benchmarks [name ...]``: run all benchmarks, or the named ones, and write docs/benchmarks.md."""

from __future__ import annotations

import os

# One BLAS thread, set before NumPy loads: ratios of single-threaded work repeat, wall clocks of two threads do not.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import platform
import re
import sys
from pathlib import Path

import numpy as np
import scipy
import sklearn

from benchmarks import solver, students, theory

BENCHMARKS = {
    "reproduce": theory.reproduce,  # first: a child's memory counts what this process held when it forked
    "one-fit": theory.one_fit,
    "whole-curve": theory.whole_curve,
    "figure-3": theory.figure_3,
    "deep": theory.deep_students,
    "growth": theory.growth,
    "soft-labels": students.two_classes,
    "soft-labels-ten": students.ten_classes,
    "leave-one-out": students.leave_one_out,
    "students": solver.students,
}
OUT = Path(__file__).parents[1] / "docs" / "benchmarks.md"
MARK = "<!-- {} -->\n"


def main(wanted: list[str]) -> None:
    """Rerun the wanted sections; others keep what an earlier run wrote."""
    unknown = set(wanted) - set(BENCHMARKS)
    if unknown:
        sys.exit(f"No benchmark {', '.join(sorted(unknown))}. There are: {', '.join(BENCHMARKS)}.")
    before = OUT.read_text() if OUT.exists() else ""
    kept = dict(re.findall(r"<!-- ([\w-]+) -->\n(.*?)(?=<!-- |\Z)", before, flags=re.DOTALL))
    for name in wanted or BENCHMARKS:
        print(name, file=sys.stderr, flush=True)
        kept[name] = BENCHMARKS[name]()
        print(kept[name], flush=True)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(_head() + "".join(MARK.format(name) + kept[name] for name in BENCHMARKS if name in kept))


def _head() -> str:
    return (
        "# Benchmarks\n\n"
        "Written by `make bench`: every contestant in one process, interleaved, one BLAS thread. Medians; ratios to "
        "the first row of each table, with the smallest and largest of all rounds. Memory is what was allocated at "
        "once during the run, inputs not counted. What takes over 8 s ran once. "
        f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}, "
        f"scikit-learn {sklearn.__version__}, {os.cpu_count()} cores of {platform.machine()}.\n\n"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
