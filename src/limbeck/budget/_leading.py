"""Which rows lead a pool at some state of a selection, by scores that carry rounding errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from limbeck._check import Array

TIED = 1e-9  # gains this close are equal to rounding: the lower index is taken
LEADERS = 32  # rows whose scores are computed afresh before one is picked
NOISE = 64.0  # a residual is trusted above this many rounding errors
WORN = 0.01  # disagreement of running and fresh scores that asks for all of them afresh


@dataclass(frozen=True)
class Floor:
    """What a squared residual must exceed for its row to add a direction."""

    least: float
    """Of the row's own square."""
    noise: float
    """Rounding of scores carried along, times the energy at which they were computed afresh; 0 if they just were."""
    within: float
    """Gains that differ by so small a part are ties."""

    def gains(self, a: Array, b: Array, sizes: Array, before: Array, energy: float) -> Array:
        """a / b, and -1 where b is no more than the floor; ``before`` is b when computed afresh."""
        floor = self.least * sizes
        if self.noise and energy <= 0:
            return np.full(len(b), -1.0)
        if self.noise:
            floor = np.maximum(floor, self.noise / energy * np.sqrt(np.maximum(before, 0.0)))
        return gains_of(a, b, floor)


def gains_of(a: Array, b: Array, floor: Array) -> Array:
    """a / b, and -1 where b is no more than a floor."""
    return np.divide(a, b, out=np.full(len(b), -1.0), where=b > floor)


def agree(exact: Array, carried: Array) -> bool:
    """Whether gains computed afresh are those carried along, but for what does not matter."""
    return float(np.abs(exact - carried).max()) <= WORN * abs(float(exact.max()))


def tied(gains: Array, b: Array, within: float) -> np.ndarray:
    """Where the gain equals the largest, and of those the residual the longest: it suffers least from errors."""
    best = float(gains.max())
    ties = np.flatnonzero(gains >= best - within * abs(best))
    return ties[b[ties] >= b[ties].max() * (1 - within)]


def leading(gains: Array, b: Array, within: float) -> np.ndarray:
    """Where the gains are largest, and the first of those that tie with the largest; none below 0."""
    some = min(LEADERS, len(gains))
    largest = np.argpartition(gains, len(gains) - some)[len(gains) - some :]
    both = np.union1d(largest, tied(gains, b, within)[:LEADERS])
    return both[gains[both] >= 0]


@dataclass(frozen=True)
class Leaders:
    """Rows that lead at one state."""

    rows: np.ndarray
    """Their numbers, increasing, (m,)."""
    gains: Array
    """By the scores carried along, (m,)."""
    b: Array
    """Their squared residuals, (m,)."""

    @classmethod
    def of(cls, gains: Array, b: Array, within: float, first: int = 0) -> Leaders:
        """Those of consecutive rows from ``first`` on."""
        at = leading(gains, b, within)
        return cls(at + first, gains[at], b[at])

    @classmethod
    def among(cls, found: Sequence[Leaders], within: float) -> Leaders:
        """Those of several parts of a pool, in order."""
        rows, gains, b = (
            np.concatenate([getattr(f, name) for f in found]) for name in ("rows", "gains", "b")
        )
        if len(rows) == 0:
            return cls(rows, gains, b)
        at = leading(gains, b, within)
        return cls(rows[at], gains[at], b[at])
