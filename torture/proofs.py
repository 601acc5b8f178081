"""Certificates from computed answers: sigmoids and softmaxes in short and long floats, stable or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from limbeck import SoftLabelClassifier
from limbeck.labels import SoftLabels, from_log_probabilities, from_probabilities

TYPES = ("float16", "bfloat16", "float32", "float64")
NORMS = (1.0, 3.0, 6.0, 10.0, 15.0, 25.0, 40.0)
SHAPES = ((20, 20), (8, 15), (15, 12), (10, 13), (2, 2))
POINTS = 200
"""Points to be decided, half of them near the boundary."""
STORED = ("as computed", "as float64", "as text")

Number = Callable[[np.ndarray], np.ndarray]


def rounding_to(kind: str) -> Number:
    """Round numbers to a type; bfloat16 ones are held as float32."""
    return bfloat16 if kind == "bfloat16" else np.dtype(kind).type


def bfloat16(values: np.ndarray) -> np.ndarray:
    """The float32 numbers of 8 significant bits nearest to values, ties to even."""
    bits = np.asarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def naive(z: np.ndarray, r: Number) -> np.ndarray:
    """1 / (1 + exp(-z)), every operation rounded by r."""
    return r(1 / r(1 + r(np.exp(-z))))


def stable(z: np.ndarray, r: Number) -> np.ndarray:
    """The same without overflow: small answers keep their digits."""
    e = r(np.exp(-np.abs(z)))
    return r(np.where(z >= 0, 1, e) / r(1 + e))


def tangent(z: np.ndarray, r: Number) -> np.ndarray:
    """(1 + tanh(z / 2)) / 2."""
    return r(0.5 * r(1 + r(np.tanh(r(0.5 * z)))))


def other(z: np.ndarray, r: Number) -> np.ndarray:
    """1 less the share of the other class."""
    return r(1 - stable(-z, r))


def softmax(Z: np.ndarray, r: Number) -> np.ndarray:
    """Exponentials over their sum."""
    E = r(np.exp(r(Z - Z.max(axis=1, keepdims=True))))
    return r(E / r(E.sum(axis=1, keepdims=True)))


def log_softmax(Z: np.ndarray, r: Number) -> np.ndarray:
    """Scores less the largest less the logarithm of the sum of exponentials."""
    S = r(Z - Z.max(axis=1, keepdims=True))
    return r(S - r(np.log(r(r(np.exp(S)).sum(axis=1, keepdims=True)))))


SIGMOIDS = {f.__name__: f for f in (naive, stable, tangent, other)}
ANSWERS = (*SIGMOIDS, "softmax of 2", "softmax of 3", "column of softmax", "log-softmax of 2", "log-softmax of 3",
           "column of log-softmax")  # fmt: skip


def answered(how: str, Z: np.ndarray, kind: str, stored: str) -> SoftLabels:
    """What is read of answers computed from the logits (n,) or scores (n, K) of a teacher."""
    r = rounding_to(kind)
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        if how in SIGMOIDS:
            found = SIGMOIDS[how](r(Z), r)
        else:
            Z = Z if Z.ndim == 2 else np.column_stack([np.zeros_like(Z), Z])
            found = (log_softmax if "log" in how else softmax)(r(Z), r)
    found = found[:, 1] if "column" in how else found
    if stored != "as computed":
        found = found.astype(np.float64) if stored == "as float64" else found.astype(str).astype(np.float64)
    return (from_log_probabilities if "log" in how else from_probabilities)(found)


@dataclass
class Proofs:
    """How many certificates there were of how many points, how many were false, and why others failed."""

    points: Counter = field(default_factory=Counter)
    """By type."""
    proved: Counter = field(default_factory=Counter)
    false: Counter = field(default_factory=Counter)
    refused: Counter = field(default_factory=Counter)
    """Students or answers refused, by type."""
    where: list[str] = field(default_factory=list)
    """Where the false ones were."""


def cases() -> Iterator[tuple[str, str, float, tuple[int, int]]]:
    """Every combination of type, answers, norm and shape."""
    yield from product(TYPES, ANSWERS, NORMS, SHAPES)


def campaign(found: Proofs, seed: int = 0, every: int = 1) -> None:
    """Try a student of every case, or of one in so many, against its teacher."""
    for number, case in enumerate(cases()):
        if (number + seed) % every == 0:
            _try(found, *case, np.random.default_rng([seed, number]))


def _try(
    found: Proofs, kind: str, how: str, norm: float, shape: tuple[int, int], rng: np.random.Generator
) -> None:
    K = 3 if how.endswith("3") else 1
    n, d = shape
    X = rng.standard_normal(shape).astype(rng.choice(["float32", "float64"]))
    W = rng.standard_normal((d, K))
    apart = W[:, 0] if K == 1 else W[:, 0] - W[:, 1]
    W *= norm / np.linalg.norm(apart)
    apart = W[:, 0] if K == 1 else W[:, 0] - W[:, 1]
    T = rng.standard_normal((POINTS, d))
    # Half of the points lie near the boundary, at distances that errors of every type reach.
    near = T[: POINTS // 2]
    near -= np.outer(near @ apart, apart) / (apart @ apart)
    near += np.outer(10.0 ** rng.uniform(-14, 0, len(near)) * rng.choice([-1, 1], len(near)), apart) / norm
    Z, truth = X.astype(float) @ W, (T @ W).argmax(axis=1) if K == 3 else (T @ W)[:, 0] >= 0
    # Two short numbers in a long type may be simple by chance.
    stored = STORED[int(rng.integers(3)) if n > 2 else 0]
    where = f"{kind}, {how}, norm {norm:g}, {shape}, {X.dtype}, {stored}"
    bound = (
        max(float(np.linalg.norm(W[:, a] - W[:, b])) for a in range(K) for b in range(a)) if K > 1 else norm
    )
    found.points[kind] += POINTS
    try:
        labels = answered(how, Z if K == 3 else Z[:, 0], kind, stored)
        if labels.saturated.all():
            return
        student = SoftLabelClassifier(alpha=0, fit_intercept=False, saturated="drop").fit(X, labels)
        proved = student.certify(T, teacher_norm=bound * (1 + 1e-9)).proved
    except ValueError as error:
        found.refused[kind] += 1
        found.where.append(f"{where}: {error}"[:200])
        return
    false = int((proved & (student.predict(T) != truth)).sum())
    found.proved[kind] += int(proved.sum())
    found.false[kind] += false
    if false:
        found.where.append(f"{where}: {false} false")
