"""Angles (Eq. 16, 28) and the tail p(theta) of the angle between teacher and data (Eq. 17)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from limbeck import _check
from limbeck._check import Array
from limbeck.theory.factor import row_norms, unit_rows

RIGHT = np.pi / 2
LEAST_BETA = 1e-290
"""Below it cotangents of the angles drawn would overflow."""


def angle(u: ArrayLike, v: ArrayLike) -> Array:
    """Angle alpha(u, v) in [0, pi] between vectors (Eq. 28), rows broadcast.

    Computed as 2 atan2(|u - v|, |u + v|) of the unit vectors, which keeps the relative accuracy of
    small angles; the arccosine of a rounded cosine returns 0 at 1e-8.

    Parameters
    ----------
    u, v : array_like, shape (..., d)

    Returns
    -------
    ndarray, shape (...)
        Radians.

    Raises
    ------
    ValueError
        If a vector has length zero (named, with its row), or the lengths differ.
    """
    u, v = _directions(u, "u"), _directions(v, "v")
    if u.shape[-1] != v.shape[-1]:
        raise ValueError(f"u has {u.shape[-1]} entries and v has {v.shape[-1]}: they must be of one length.")
    return 2.0 * np.arctan2(row_norms(u - v), row_norms(u + v))


def unsigned_angle(u: ArrayLike, v: ArrayLike) -> Array:
    """Angle in [0, pi/2] between the lines of two vectors (Eq. 16), rows broadcast; see `angle`."""
    u, v = _directions(u, "u"), _directions(v, "v")
    if u.shape[-1] != v.shape[-1]:
        raise ValueError(f"u has {u.shape[-1]} entries and v has {v.shape[-1]}: they must be of one length.")
    apart, together = row_norms(u - v), row_norms(u + v)
    return 2.0 * np.arctan2(np.minimum(apart, together), np.maximum(apart, together))


def _directions(v: ArrayLike, name: str) -> Array:
    v = _check.reals(v, name)
    if v.ndim == 0 or v.shape[-1] == 0:
        raise ValueError(f"{name} must hold vectors along its last axis, got shape {v.shape}.")
    if not np.isfinite(v).all():
        raise ValueError(f"{name} holds a number that is not finite.")
    _check.nonzero(v, name)
    return unit_rows(v)


def margin_angle(margin: float, radius: float) -> float:
    """Angle beta = arccos(margin / radius) that no point exceeds under a classical margin (footnote 2).

    Points at distance at least ``margin`` from the decision plane and of norm at most ``radius``
    have p(theta) = 0 for theta > beta.

    Raises
    ------
    ValueError
        Unless 0 < margin <= radius.
    """
    radius = _check.number(radius, "radius", above=0.0, finite=True)
    margin = _check.number(margin, "margin", above=0.0, most=radius)
    # arccos(m/R) by half-angles: the plain arccosine loses half the digits as m approaches R. Powers of two are exact.
    radius, size = np.frexp(radius)
    margin = np.ldexp(margin, -size)
    return float(2.0 * np.arctan2(np.sqrt(radius - margin), np.sqrt(radius + margin)))


class Tail(Protocol):
    """p(theta) = P[angle >= theta] of a task, theta in [0, pi/2] (Eq. 17): non-increasing, p(0) = 1."""

    def __call__(self, theta: ArrayLike) -> Array:
        """p(theta), elementwise."""
        ...

    @property
    def kinks(self) -> Array:
        """Angles inside (0, pi/2) where p is not smooth, increasing."""
        ...


def _theta(theta: ArrayLike) -> Array:
    theta = _check.reals(theta, "theta")
    # A bound evaluated at pi/2 - beta may leave the range by a rounding error, not by more.
    if not np.all((theta >= -1e-12) & (theta <= RIGHT + 1e-12)):
        raise ValueError(f"theta must lie in [0, pi/2] radians, got {theta!r}.")
    return np.minimum(np.maximum(theta, 0.0), RIGHT)


@dataclass(frozen=True)
class PolynomialTail:
    """p(theta) = (1 - 2 theta / pi)^kappa, section 5.1; kappa = 1 is a uniform angle."""

    kappa: float
    """Degree, > 0: larger is better aligned with the teacher."""

    def __post_init__(self) -> None:
        _check.number(self.kappa, "kappa", above=0.0, finite=True)

    def __call__(self, theta: ArrayLike) -> Array:
        """p(theta), elementwise."""
        return ((RIGHT - _theta(theta)) / RIGHT) ** self.kappa

    def at_cotangent(self, cot: ArrayLike) -> Array:
        """p at the angle of cotangent ``cot`` >= 0, with full relative precision near pi/2."""
        return (np.arctan(_check.reals(cot, "cot", least=0.0)) / RIGHT) ** self.kappa

    def log_at(self, log_cot: ArrayLike) -> Array:
        """log p at the angle of cotangent exp(``log_cot``), where neither p nor the cotangent need be floats."""
        y = _check.reals(log_cot, "log_cot")
        near = np.exp(np.clip(y, -20.0, 700.0))  # further below, arctan(x) = x
        return self.kappa * (np.where(y < -20.0, y, np.log(np.arctan(near))) - np.log(RIGHT))

    def cotangents(self, size: int | tuple[int, ...], *, rng: np.random.Generator) -> Array:
        """Sample cot(angle) = tan((pi/2) u^(1/kappa)); the angle itself would lose every digit at small kappa."""
        # log u = -Exp(1): never exactly 0 or 1, unlike rng.random().
        with np.errstate(over="ignore"):  # a tiny kappa puts every angle at pi/2
            return np.tan(RIGHT * np.exp(-rng.standard_exponential(size) / self.kappa))

    @property
    def kinks(self) -> Array:
        """None: the law is smooth."""
        return np.empty(0)


@dataclass(frozen=True)
class MarginTail:
    """Angle uniform on [0, beta]: p(theta) = max(0, 1 - theta / beta), an angular margin of pi/2 - beta."""

    beta: float
    """Largest angle that occurs, in [1e-290, pi/2]."""

    def __post_init__(self) -> None:
        _check.number(self.beta, "beta", least=LEAST_BETA, most=RIGHT)

    def __call__(self, theta: ArrayLike) -> Array:
        """p(theta), elementwise."""
        return np.maximum(0.0, (self.beta - _theta(theta)) / self.beta)

    def at_cotangent(self, cot: ArrayLike) -> Array:
        """p at the angle of cotangent ``cot`` >= 0, right to the rounding of beta and of the angle."""
        cot = _check.reals(cot, "cot", least=0.0)
        # Beyond pi/4 the angle is kept as what it lacks of pi/2.
        inside = np.where(cot < 1.0, self.beta - RIGHT + np.arctan(cot), self.beta - np.arctan2(1.0, cot))
        return np.maximum(0.0, inside / self.beta)

    def log_at(self, log_cot: ArrayLike) -> Array:
        """log p at the angle of cotangent exp(``log_cot``); -inf where p is 0."""
        with np.errstate(divide="ignore"):
            return np.log(self.at_cotangent(np.exp(np.minimum(_check.reals(log_cot, "log_cot"), 700.0))))

    def cotangents(self, size: int | tuple[int, ...], *, rng: np.random.Generator) -> Array:
        """Sample cot(angle) of an angle uniform on (0, beta]."""
        return 1.0 / np.tan(self.beta * (1.0 - rng.random(size)))

    @property
    def kinks(self) -> Array:
        """Beta, where the tail reaches zero."""
        return np.array([self.beta]) if self.beta < RIGHT else np.empty(0)


@dataclass(frozen=True, eq=False)
class EmpiricalTail:
    """Share of a sample's angles that are at least theta, with its Dvoretzky-Kiefer-Wolfowitz band.

    Parameters
    ----------
    angles : array_like, shape (m,)
        Angles in [0, pi/2] between the teacher and a random sample of points.
    """

    angles: Array = field(repr=False)
    """The sample, sorted, (m,)."""

    def __post_init__(self) -> None:
        angles = _check.vector(self.angles, "angles", squared=False)
        outside = ~((angles >= 0) & (angles <= RIGHT))
        if outside.any():
            i = int(np.argmax(outside))
            raise ValueError(f"angles must lie in [0, pi/2] radians, got {angles[i]} at position {i}.")
        object.__setattr__(self, "angles", np.sort(angles))

    @classmethod
    def of(cls, X: ArrayLike, w_star: ArrayLike) -> EmpiricalTail:
        """Tail of the angles between the rows of X (m, d) and the teacher w_star (d,)."""
        X = _check.nonzero(_check.points(X), "X")
        return cls(unsigned_angle(X, _check.nonzero(_check.vector(w_star, "w_star", X.shape[1]), "w_star")))

    def __call__(self, theta: ArrayLike) -> Array:
        """p(theta), elementwise."""
        return 1.0 - np.searchsorted(self.angles, _theta(theta), side="left") / len(self.angles)

    def at_cotangent(self, cot: ArrayLike) -> Array:
        """p at the angle of cotangent ``cot`` >= 0."""
        return self(np.arctan2(1.0, _check.reals(cot, "cot", least=0.0)))

    def band(self, confidence: float = 0.95) -> float:
        """Half-width sqrt(log(1 / delta) / (2 m)) of the one-sided band, delta = 1 - confidence.

        With at least this probability the true p is below ``p(theta) + band`` for all theta at once
        (Massart 1990), so every bound that grows with p stays true when fed the upper tail. The
        two-sided band at the same half-width has probability 1 - 2 delta.

        Raises
        ------
        ValueError
            If confidence is below 1/2 (the inequality needs delta <= 1/2) or not below 1.
        """
        confidence = _check.number(confidence, "confidence", least=0.5, below=1.0)
        return float(np.sqrt(-np.log1p(-confidence) / (2 * len(self.angles))))

    def upper(self, confidence: float = 0.95) -> UpperTail:
        """Tail that lies above the true p everywhere with this probability; see `band`."""
        return UpperTail(self, self.band(confidence))

    def cotangents(self, size: int | tuple[int, ...], *, rng: np.random.Generator) -> Array:
        """Sample cot(angle) from the sample, with replacement."""
        with np.errstate(divide="ignore", over="ignore"):
            return 1.0 / np.tan(rng.choice(self.angles, size))

    @property
    def kinks(self) -> Array:
        """The distinct angles of the sample, where the tail steps down."""
        inside = np.unique(self.angles)
        return inside[(inside > 0) & (inside < RIGHT)]


@dataclass(frozen=True)
class UpperTail:
    """A tail shifted up by its confidence band, min(1, p + band)."""

    tail: EmpiricalTail
    """The empirical tail."""
    band: float
    """Half-width of the band."""

    def __call__(self, theta: ArrayLike) -> Array:
        """min(1, p(theta) + band), elementwise."""
        return np.minimum(1.0, self.tail(theta) + self.band)

    @property
    def kinks(self) -> Array:
        """Where the empirical tail steps down."""
        return self.tail.kinks
