"""The student's rounding: against 50 digits, across threads, and from one run to the next."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mpmath as mp
import numpy as np

from limbeck.theory import Span
from torture import reference

CONDITIONS = (1e0, 1e2, 1e4, 1e6, 1e8, 1e10, 1e12, 1e14)
SCALES = (1e-150, 1e-75, 1.0, 1e75, 1e150)
SHAPES = {"n < d": (6, 10), "n = d": (8, 8), "n > d": (24, 8)}
EPS = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Rounding:
    """The worst over some matrices of one shape, condition and scale."""

    backward: float
    """Normwise backward error of the student's answers in units of eps: see `backward_error`."""
    forward: float
    """|w - w_exact| / (kappa eps |w_exact|), the exact w in 50 digits from the same floats."""
    rank: int
    """Smallest rank found."""


def with_condition(rng: np.random.Generator, n: int, d: int, condition: float) -> np.ndarray:
    """A random matrix with geometric singular values from 1 to 1 / condition."""
    r = min(n, d)
    U = np.linalg.qr(rng.standard_normal((n, r)))[0]
    V = np.linalg.qr(rng.standard_normal((d, r)))[0]
    return (U * condition ** -np.linspace(0, 1, r)) @ V.T


def minimum_norm(X: np.ndarray, z: np.ndarray) -> mp.matrix:
    """Minimum-norm least squares in 100 digits by the normal equations, for a matrix of full rank."""
    with mp.workdps(100):
        A, b = reference.exact(X), reference.exact(z)
        if A.rows <= A.cols:
            return A.T * mp.lu_solve(A * A.T, b)
        return mp.lu_solve(A.T * A, A.T * b)


def backward_error(X: np.ndarray, z: np.ndarray, w: np.ndarray) -> float:
    """How far X and z must move, relative to their norms and in eps, for w to be optimal for them (n <= d: to fit).

    n <= d: |X w - z| / (|X| |w| + |z|). n > d: |X'r| / (|X| (|X| |w| + |r|)), the bound of Karlson and Walden.
    """
    A, b, v = reference.exact(X), reference.exact(z), reference.exact(w)
    size = reference._norm(mp.matrix(list(A)))
    r = b - A * v
    if A.rows <= A.cols:
        off = reference._norm(r) / (size * reference._norm(v) + reference._norm(b))
    else:
        off = reference._norm(A.T * r) / (size * (size * reference._norm(v) + reference._norm(r)))
    return float(off / EPS)


def rounding(
    shape: tuple[int, int], condition: float, scale: float, matrices: int, seed: int = 0
) -> Rounding:
    """The worst of some matrices."""
    rng = np.random.default_rng([seed, *shape, int(np.log10(condition)), 200 + int(np.log10(scale))])
    worst, off, rank = 0.0, 0.0, min(shape)
    for _ in range(matrices):
        X = scale * with_condition(rng, *shape, condition)
        z = X @ (rng.standard_normal(shape[1]) / scale)
        if shape[0] > shape[1]:
            z = z + 1e-3 * rng.standard_normal(shape[0])
        span = Span(X)
        w = span.weights(z)
        true = minimum_norm(X, z)
        worst = max(worst, backward_error(X, z, w))
        gap = reference._norm(reference.exact(w) - true) / reference._norm(true)
        off, rank = max(off, float(gap / (condition * EPS))), min(rank, span.rank)
    return Rounding(worst, off, rank)


def table(matrices: int, conditions: Sequence[float] = CONDITIONS, scales: Sequence[float] = SCALES) -> dict:
    """`Rounding` for every shape, condition and scale."""
    return {
        (name, condition, scale): rounding(shape, condition, scale, matrices)
        for name, shape in SHAPES.items()
        for condition in conditions
        for scale in scales
    }


THREADED = """
import sys, numpy as np
from limbeck import SoftLabelClassifier
from limbeck.theory import Span
rng = np.random.default_rng(0)
found = []
for n, d in ((int(sys.argv[2]), 300), (300, int(sys.argv[2]))):
    X, w = rng.standard_normal((n, d)), rng.standard_normal(d)
    z = X @ w
    found += [Span(X).weights(z), SoftLabelClassifier(0.01).fit(X, teacher_logits=z).coef_[0]]
np.savez(sys.argv[1], *found)
"""


def across_threads(size: int = 1500) -> float:
    """Largest relative difference of students between one and two BLAS threads, each in a process of its own."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for threads in (1, 2):
            path = Path(folder) / f"{threads}.npz"
            count = str(threads)
            subprocess.run(
                [sys.executable, "-c", THREADED, str(path), str(size)],
                check=True,
                env={**os.environ, "OPENBLAS_NUM_THREADS": count, "OMP_NUM_THREADS": count},
            )
            with np.load(path) as arrays:
                found.append([arrays[name] for name in arrays.files])
    return max(float(np.linalg.norm(a - b) / np.linalg.norm(a)) for a, b in zip(*found, strict=True))
