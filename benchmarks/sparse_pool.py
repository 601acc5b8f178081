"""``python -m benchmarks.sparse_pool``: 100 picks from 100,000 texts of 20 words among 10,000, kept sparse."""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import sys
import time
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from benchmarks.large_pool import peak
from limbeck.budget import Ranking, SpanSelection

WORDS = 20


def texts(n: int, d: int) -> csr_array:
    """Rows weighted as TF-IDF weights words, the k-th commonest with probability of the order of 1 / k (Zipf)."""
    share = 1.0 / np.arange(1, d + 1)
    words = np.random.default_rng(0).choice(d, n * WORDS, p=share / share.sum())
    X = csr_array((np.ones(n * WORDS), words, np.arange(n + 1) * WORDS), shape=(n, d))
    X.sum_duplicates()
    X.data *= 1 + np.log((1 + n) / (1 + np.bincount(X.indices, minlength=d)))[X.indices]
    return X


def ranked(X: Any, picks: int, kind: str) -> Ranking:
    """The ranking; says what it took."""
    before, wall, cpu = peak(), time.perf_counter(), time.process_time()
    ranking = SpanSelection().rank(X, picks)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        f"{X.shape[0]} x {X.shape[1]} {kind}, {picks} picks: wall {wall:.0f} s, processor {cpu:.0f} s, peak memory "
        f"{peak():.2f} GiB ({before:.2f} before), energy left {ranking.energy[-1]:.4f}",
        flush=True,
    )
    return ranking


def main(n: int = 100_000, d: int = 10_000, picks: int = 100) -> None:
    """That pool, and one of a fifth of its rows and features beside the same made dense."""
    X = texts(n, d)
    print(f"{X.nnz} entries; dense: {8 * n * d / 2**30:.1f} GiB")
    ranked(X, picks, "sparse")
    X = texts(n // 5, d // 5)
    found, whole = ranked(X, picks, "sparse"), ranked(X.toarray(), picks, "dense")
    print(f"picks alike: {np.array_equal(found.indices, whole.indices)}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
