"""``python -m benchmarks.large_pool``: 100 picks from 1,000,000 x 256 float32, time and peak memory of the process."""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import resource
import sys
import time

import numpy as np

from limbeck.budget import SpanSelection


def peak() -> float:
    """Largest resident set so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main(n: int = 1_000_000, d: int = 256, picks: int = 100) -> None:
    rng = np.random.default_rng(0)
    scale = np.arange(1, d + 1, dtype=np.float32) ** np.float32(-0.75)
    X = np.empty((n, d), dtype=np.float32)
    for start in range(0, n, 50_000):
        X[start : start + 50_000] = (
            rng.standard_normal((len(X[start : start + 50_000]), d), dtype=np.float32) * scale
        )
    before, wall, cpu = peak(), time.perf_counter(), time.process_time()
    ranking = SpanSelection().rank(X, picks)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{n} x {d} float32 ({X.nbytes / 2**30:.2f} GiB), {picks} picks, {ranking.useful} useful")
    print(f"wall {wall:.0f} s, processor {cpu:.0f} s, peak memory {peak():.2f} GiB ({before:.2f} before)")
    print(f"energy left {ranking.energy[-1]:.4f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
