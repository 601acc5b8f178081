"""The learning curve of a task symmetric about its teacher is a one-dimensional Markov chain.

Only the points' unit directions off the teacher's axis enter the student's angle; their Gram matrix
has a Bartlett factor with independent normal and chi entries, and cot(alpha_n) is the norm of the
forward substitution of cot(a) through that factor. So with G_n = cot^2(alpha_n), k_n = cot(a_n),

    G_1 = k_1^2,   G_n = G_{n-1} + (k_n sqrt(h^2 + s + t) - h sqrt(G_{n-1}))^2 / t,   2 <= n < d,

for independent h ~ N(0, 1), s ~ chi2(n - 2), t ~ chi2(d - n); G_n is infinite for n >= d. G never
falls: Lemma 1. A point costs the same whatever d is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from limbeck.theory import _check
from limbeck.theory._check import Array
from limbeck.theory.risk import SymmetricTail, symmetric_risk_at_cotangent


@dataclass(frozen=True)
class LearningCurve:
    """Expected transfer risk against the number of labels, over simulated transfer sets."""

    n: np.ndarray
    """Number of labels, 1, 2, ..., (n,)."""
    risk: Array
    """Mean over transfer sets of the exact risk given the student's angle, (n,)."""
    stderr: Array
    """Standard error of the mean, (n,)."""
    angle: Array
    """Mean angle between student and teacher, radians, (n,)."""
    angle_stderr: Array
    """Standard error of the mean angle, (n,)."""
    low: Array
    """5 % quantile of the risk over transfer sets, (n,)."""
    high: Array
    """95 % quantile of the risk over transfer sets, (n,)."""
    repeats: int
    """Number of simulated transfer sets."""


def cotangent_steps(
    tail: SymmetricTail, d: int, repeats: int, *, rng: np.random.Generator
) -> Iterator[Array]:
    """Yield cot(alpha_n) of ``repeats`` students, shape (repeats,), for n = 1, 2, 3, ... without end."""
    d, repeats = _check.count(d, "d", 2), _check.count(repeats, "repeats")
    root = tail.cotangents(repeats, rng=rng)
    n = 1
    while n < d:
        yield root
        n += 1
        if n == d:
            break
        k, h = tail.cotangents(repeats, rng=rng), rng.standard_normal(repeats)
        s = rng.chisquare(n - 2, repeats) if n > 2 else 0.0
        t = rng.chisquare(d - n, repeats)
        root = np.hypot(root, (k * np.sqrt(h**2 + s + t) - h * root) / np.sqrt(t))
    while True:
        yield np.full(repeats, np.inf)


def cotangents(tail: SymmetricTail, d: int, n: int, repeats: int, *, rng: np.random.Generator) -> Array:
    """cot(alpha_n) of ``repeats`` students after n labels each, shape (repeats,)."""
    steps = cotangent_steps(tail, d, repeats, rng=rng)
    for _ in range(_check.count(n, "n") - 1):
        next(steps)
    return next(steps)


def learning_curve(
    tail: SymmetricTail, d: int, n: int, repeats: int = 1000, *, rng: np.random.Generator
) -> LearningCurve:
    """Expected risk after 1, ..., n labels of a task symmetric about its teacher.

    The angle is simulated by the chain above, the risk at that angle is exact (`symmetric_risk`), so
    the only sampling error is over transfer sets; it is reported.

    Parameters
    ----------
    tail : PolynomialTail, MarginTail or EmpiricalTail
        p(theta) of the task.
    d : int
        Dimension, from 2 to 1e12 and beyond: the cost does not depend on it.
    n : int
        Largest number of labels; from n = d on the risk is 0.
    repeats : int
        Number of simulated transfer sets.
    rng : numpy.random.Generator

    Returns
    -------
    LearningCurve
    """
    steps = cotangent_steps(tail, d, repeats, rng=rng)
    rows = [_summary(next(steps), tail, d) for _ in range(_check.count(n, "n"))]
    risk, stderr, angle, angle_stderr, low, high = np.array(rows).T
    return LearningCurve(np.arange(1, n + 1), risk, stderr, angle, angle_stderr, low, high, repeats)


def _summary(cot: Array, tail: SymmetricTail, d: int) -> list[float]:
    risk, angle = symmetric_risk_at_cotangent(cot, tail, d), np.arctan2(1.0, cot)
    low, high = np.quantile(risk, [0.05, 0.95])
    return [*_mean(risk), *_mean(angle), float(low), float(high)]


def _mean(values: Array) -> tuple[float, float]:
    spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(values.mean()), float(spread)
