"""The last steps of `expectation`'s chain, where the points all but span the space and a new one adds hardly anything.

With d - m small the length q of what the m-th point adds may all but vanish: then cot(alpha) grows by hypot(1, s) with
s = (k / g - p) / q, a needle of width q at k = p g. Three changes of variables leave nothing sharp. For the direction,
q^2 / (1 - p^2) ~ Beta((d - m) / 2, (m - 2) / 2) by the trapezoid rule in its log-odds, and p / q = sinh r by that in r:
both integrands are analytic and fall exponentially, which makes it as good as any rule. For the cotangent k, panels in
log k away from the needle, and in v with s = sinh v around it, where hypot(1, s) = cosh v.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import log_expit, logsumexp, polygamma

from limbeck._check import Array
from limbeck.theory.angles import RIGHT, PolynomialTail

Value = Callable[[Array], Array]
"""Log of the expected risk, of log g."""

LEAST = 16.0
"""In nats below the most, where weights are cut off."""
NARROW = 14.0
"""In nats below g / sqrt(d), a new point's own angle no longer matters: only its direction does."""
WIDE = 22.0
"""In nats above where k exceeds both 1 and g, cotangents are cut off."""


@dataclass(frozen=True)
class Nodes:
    """How finely the last steps are integrated."""

    lengths: float
    """Spacing of the log-odds of q^2 / (1 - p^2)."""
    slopes: float
    """Spacing of r, at most."""
    panel: float
    """Width of the panels of log k, and of v."""
    per_panel: int
    """Nodes a panel."""


@dataclass(frozen=True)
class Direction:
    """Directions of one length q / sqrt(1 - p^2)."""

    weight: float
    """Of this length."""
    p: Array
    """One coordinate of the new unit vector, (k,): along the gap between teacher and student."""
    q: Array
    """What it adds to the span, (k,)."""
    weights: Array
    """Of these, (k,), summing to 1."""


def directions(tail: PolynomialTail, d: int, m: int, nodes: Nodes) -> list[Direction]:
    """Directions of the m-th of d - 1 or fewer points, given the span of the first m - 1."""
    found = []
    for log_length, weight, least in _lengths(tail, d, m, nodes.lengths):
        r, weights = _slopes(log_length, d, nodes.slopes, least)
        q = np.exp(log_length - 0.5 * np.log1p(np.square(np.exp(log_length) * np.sinh(r))))
        found.append(Direction(weight, q * np.sinh(r), q, weights))
    return found


def after_one_more(
    x: float, tail: PolynomialTail, value: Value, found: list[Direction], d: int, nodes: Nodes
) -> float:
    """log E[V(log g')] from log g = x, over direction and angle of one more point."""
    low = x - 0.5 * np.log(d) - NARROW
    each = [logsumexp(_over_angles(x, low, tail, value, one, nodes), b=one.weights) for one in found]
    return float(logsumexp(each, b=[one.weight for one in found]))


def log_density(tail: PolynomialTail, y: Array) -> Array:
    """Log density of the log cotangent y of a point's angle, also where exp(y) underflows."""
    # That of a, kappa (1 - 2 a / pi)^(kappa - 1) 2 / pi, times |da/dy| = 1 / (2 cosh y).
    log_jacobian = -np.abs(y) - np.log1p(np.exp(-2.0 * np.abs(y)))
    return np.log(tail.kappa / RIGHT) + (tail.kappa - 1.0) / tail.kappa * tail.log_at(y) + log_jacobian


def _lengths(tail: PolynomialTail, d: int, m: int, spacing: float) -> Iterator[tuple[float, float, float]]:
    """Logs of q / sqrt(1 - p^2), their weights, and how far below the most each is still worth looking."""
    if m == 2:
        yield 0.0, 1.0, LEAST
        return
    a, b = (d - m) / 2, (m - 2) / 2
    deviation = float(np.sqrt(polygamma(1, a) + polygamma(1, b)))
    spacing *= min(1.0, deviation)
    # Beyond the bulk the log weight falls at the rate a, or b, for each unit.
    left, right = (int((10 * deviation + 4 * LEAST / fall) / spacing) + 1 for fall in (a, b))
    u = np.log(a / b) + spacing * np.arange(-left, right + 1)
    mass = a * log_expit(u) + b * log_expit(-u)
    weight = np.exp(mass - logsumexp(mass))
    # What short lengths leave of the risk vanishes with them, as the needle's width or the tail's power.
    worth = mass + min(1.0, tail.kappa) * log_expit(u) / 2
    least = LEAST - (worth.max() - worth)
    for one in np.flatnonzero(least > 0):
        yield float(log_expit(u[one]) / 2), float(weight[one]), float(max(least[one], 1.0))


def _slopes(log_length: float, d: int, spacing: float, least: float) -> tuple[Array, Array]:
    """Values r of arcsinh(p / q) and their weights: with tan(phi) = p / sqrt(1 - p^2), cos(phi)^(d-3) dphi."""
    spacing *= min(1.0, 1.6 / (np.exp(log_length) * np.sqrt(d - 1)))
    r = spacing * np.arange(int(60 / spacing))
    mass = -(d - 1) / 2 * np.log1p(np.square(np.exp(log_length) * np.sinh(r))) + np.log(np.cosh(r))
    kept = mass > mass.max() - least
    r, mass = (np.concatenate([s * a[kept][:0:-1], a[kept]]) for s, a in ((-1, r), (1, mass)))
    weight = np.exp(mass - mass.max())
    return r, weight / weight.sum()


def _over_angles(
    x: float, low: float, tail: PolynomialTail, value: Value, at: Direction, nodes: Nodes
) -> Array:
    """log E[V] over the new point's angle in each direction (k,)."""
    side = at.p > 0
    log_k = x + np.log(np.where(side, at.p, 1.0))
    high = np.maximum(max(low, 0.0) + WIDE, log_k + WIDE)
    # Where p > 0, up to half of the needle's place and from twice of it on; elsewhere all of it.
    first = np.where(side, np.minimum(low, log_k - 5.0), low)
    parts = [
        _panels(first, np.where(side, log_k - np.log(2.0), high), nodes),
        _panels(np.where(side, log_k + np.log(2.0), high), high, nodes),
    ]
    y, width = (np.concatenate(two, axis=1) for two in zip(*parts, strict=True))
    s = (np.exp(np.minimum(y - x, 300.0)) - at.p[:, None]) / at.q[:, None]
    with np.errstate(divide="ignore"):
        away = value(x + _log_hypot(s)) + log_density(tail, y) + np.log(width)
    below = value(x + _log_hypot(at.p / at.q)) + tail.log_at(first)
    found = logsumexp(np.column_stack([away, below]), axis=1)
    if side.any():
        around = _around_needle(x, tail, value, at.p[side], at.q[side], nodes)
        found[side] = np.logaddexp(found[side], around)
    return found


def _around_needle(x: float, tail: PolynomialTail, value: Value, p: Array, q: Array, nodes: Nodes) -> Array:
    """The part of it with k / g between p / 2 and 2 p, (k,)."""
    none, left, right = np.zeros_like(p), np.arcsinh(p / q / 2), np.arcsinh(p / q)
    parts = [_panels(-left, none, nodes), _panels(none, right, nodes)]
    v, width = (np.concatenate(two, axis=1) for two in zip(*parts, strict=True))
    ratio = p[:, None] + q[:, None] * np.sinh(v)
    mass = np.log(width * q[:, None] * np.cosh(v) / ratio) + log_density(tail, np.log(ratio) + x)
    return logsumexp(value(x + np.log(np.cosh(v))) + mass, axis=1)


def _log_hypot(s: Array) -> Array:
    """log hypot(1, s)."""
    s = np.minimum(np.abs(s), 1e150)
    return np.log1p(np.square(s)) / 2


def _panels(low: Array, high: Array, nodes: Nodes) -> tuple[Array, Array]:
    """Nodes and weights (k, j) from ``low`` to ``high``, (k,), in as many panels as the longest needs."""
    count = max(1, int(np.ceil(np.max(high - low) / nodes.panel)))
    x, weight = legendre(nodes.per_panel)
    at = (np.arange(count)[:, None] + (x + 1) / 2).ravel() / count
    length = (high - low)[:, None]
    return low[:, None] + length * at, length * np.tile(weight / (2 * count), count)


@lru_cache
def legendre(size: int) -> tuple[Array, Array]:
    """Nodes and weights (size,) on [-1, 1] of a Gauss-Legendre rule."""
    return np.polynomial.legendre.leggauss(size)
