"""Expected risk of a task symmetric about its teacher, without sampling: the chain of `chain`, by quadrature.

With g = cot(alpha) the chain is g' = hypot(g, (k - p g) / q): k the cotangent of the new point's angle,
p one coordinate and q the residual length of a uniform unit vector of R^(d-1). The law of g is awkward
(k has neither mean nor, for small kappa, a scale), the *value* V_m(g) of standing at g after m of n labels
is not: smooth in log g, V_n = R, V_{m-1}(g) = E V_m(g'). It is carried backwards on a grid of log g by a
quintic spline; p and q^2 / (1 - p^2) by Gauss-Jacobi rules, log k by Gauss-Legendre panels, but for the last steps
before the points span the space (`nearly_spanned`). A coarser grid with fewer nodes tells the error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import PPoly, make_interp_spline
from scipy.linalg import eigh_tridiagonal
from scipy.special import logsumexp

from limbeck import _check
from limbeck._check import Array
from limbeck.theory import nearly_spanned
from limbeck.theory.angles import PolynomialTail
from limbeck.theory.nearly_spanned import Nodes, legendre, log_density
from limbeck.theory.risk import log_risk

BEYOND = 36.0
NEAREST = 15
"""From so many steps before the points span the space on, the direction has a rule of its own."""
RISK_SPACING = 0.05
LEAST_DEGREE = 0.01
"""Of kappa n: the grid of log cotangents reaches down to -38 / (kappa n), and takes that much longer."""

MOST_NEAREST = 16.0
"""Largest kappa there: the peaks of V make these steps as much slower as kappa^(3/2)."""

LARGEST_DEGREE = 1100.0
"""Beyond it Theorem 3 at beta = pi/4, 2^-kappa + 2^(-kappa n), is below every float."""


@dataclass(frozen=True)
class ExpectedRisk:
    """An expected risk computed without sampling."""

    risk: float
    """E[R] after n labels."""
    error: float
    """Estimate of its absolute error: the change under a coarser grid with fewer nodes."""


@dataclass(frozen=True)
class _Rule:
    spacing: float
    """Of the grid of log g."""
    across: int
    """Nodes for p."""
    along: int
    """Nodes for q^2 / (1 - p^2)."""
    panel: float
    """Width of the panels of log k."""
    per_panel: int
    """Nodes a panel."""
    lengths: float
    """Spacing in the last steps, of the log-odds of q^2 / (1 - p^2)."""
    slopes: float
    """Likewise, of arcsinh(p / q)."""

    def of_degree(self, kappa: float) -> _Rule:
        """The same, as much finer as the peaks of V, a kappa-th power, are narrower than at kappa = 4."""
        finer = max(1.0, np.sqrt(kappa) / 2)
        spacings = ("spacing", "panel", "lengths", "slopes")
        return replace(self, **{name: getattr(self, name) / finer for name in spacings})

    @property
    def last(self) -> Nodes:
        """The same for the last steps."""
        return Nodes(self.lengths, self.slopes, self.panel, self.per_panel)


FINE = _Rule(spacing=0.3, across=10, along=6, panel=2.0, per_panel=7, lengths=0.8, slopes=0.45)
COARSE = _Rule(spacing=0.4, across=8, along=4, panel=2.5, per_panel=6, lengths=1.0, slopes=0.6)


def expected_risk(kappa: float, d: int, n: int) -> ExpectedRisk:
    """E[R] of distillation from n labels on section 5.1's polynomial task, without sampling.

    Parameters
    ----------
    kappa : float
        Degree of the tail, > 0.
    d : int
        Dimension, at least 2.
    n : int
        Number of labels; from d on the risk is 0 (Eq. 18). The cost grows with n and 1 / kappa, not with d; the last
        fifteen labels before d take seconds each: 2 at d = 30, up to 8 at d = 16.

    Returns
    -------
    ExpectedRisk
        The risk, good to about 1e-6 of itself, 1e-5 where n is near d, with a cautious estimate of its error. Risks
        below every float (from kappa = 150 or so) are 0.

    Raises
    ------
    ValueError
        If kappa <= 0, kappa n < 0.01, n < 1 or d < 2; or if kappa > 16 and 1 < n < d < n + 15.

    Examples
    --------
    >>> f"{expected_risk(1.0, 1000, 1).risk:.6f}"
    '0.022501'
    """
    tail, d, n = PolynomialTail(kappa), _check.count(d, "d", 2), _check.count(n, "n")
    if n >= d or kappa > LARGEST_DEGREE:
        return ExpectedRisk(0.0, 0.0)
    if kappa * n < LEAST_DEGREE:
        raise ValueError(
            f"kappa n = {kappa * n:.3g} is below {LEAST_DEGREE}: the quadrature would need "
            "a grid too long. Use learning_curve, which simulates."
        )
    if 1 < n > d - NEAREST and kappa > MOST_NEAREST:
        raise ValueError(
            f"n = {n} lies within {NEAREST} of d = {d}, where kappa = {kappa:g} would take minutes (up to "
            f"{MOST_NEAREST:g} it takes seconds): use learning_curve, which simulates, there."
        )
    fine, coarse = (_backwards(tail, d, n, rule.of_degree(kappa)) for rule in (FINE, COARSE))
    risk = float(np.exp(fine))
    return ExpectedRisk(risk, risk * abs(float(np.expm1(coarse - fine))))


def _backwards(tail: PolynomialTail, d: int, n: int, rule: _Rule) -> float:
    """Log E[R]: at kappa = 40 the values carried already leave the range of floats."""
    # From log g where all n cotangents hardly ever stay below, to where none is ever above.
    low = -max(12.0, 38.0 / (tail.kappa * n)) - 0.5 * np.log(d)
    grid = np.linspace(low, 16.0, 1 + int(np.ceil((16.0 - low) / rule.spacing)))
    dense = np.linspace(low, 16.0, 1 + int(np.ceil((16.0 - low) / min(RISK_SPACING, rule.spacing))))
    value = _spline(dense, log_risk(dense, tail, d) if d > 2 else tail.log_at(-dense) - np.log(2.0))
    for m in range(n, 1, -1):
        value = _spline(grid, np.array(_one_step_back(grid, tail, d, m, value, rule)))
    y, log_weight, below = _log_cotangent_rule(tail, grid[0], rule)
    return float(logsumexp(np.append(value(y) + log_weight, value(grid[:1]) + below)))


def _one_step_back(
    grid: Array, tail: PolynomialTail, d: int, m: int, value: Callable, rule: _Rule
) -> list[float]:
    """Log V_{m-1} on the grid from log V_m."""
    if d - m < NEAREST:
        found = nearly_spanned.directions(tail, d, m, rule.last)
        return [nearly_spanned.after_one_more(x, tail, value, found, d, rule.last) for x in grid]
    direction = _direction_rule(d, m, rule)
    return [_after_one_more(x, tail, value, *direction, d, rule) for x in grid]


def _after_one_more(
    x: float, tail: PolynomialTail, value: Callable, p: Array, q: Array, weight: Array, d: int, rule: _Rule
) -> float:
    """log E[V(log g')] from log g = x: over the direction (p, q) and the new point's log cotangent y."""
    # Below this a new point's own angle no longer matters: only its direction does.
    y, log_mass, below = _log_cotangent_rule(tail, x - 0.5 * np.log(d) - 14.0, rule)
    ratio = np.concatenate([np.exp(np.minimum(y - x, 300.0)), [0.0]])  # k / g
    log_mass = np.append(log_mass, below)[:, None]
    moved = x + 0.5 * np.log1p(np.square((ratio[:, None] - p) / q))
    carried = value(moved.ravel()).reshape(moved.shape) + log_mass
    top = carried.max()
    return float(top + np.log((np.exp(carried - top) @ weight).sum()))


def _log_cotangent_rule(tail: PolynomialTail, low: float, rule: _Rule) -> tuple[Array, Array, float]:
    """Nodes y and log weights for E[f(log cot a)] above ``low``, and the log of the mass below it."""
    high = max(low, 0.0) + BEYOND
    panels = int(np.ceil((high - low) / rule.panel))
    nodes, weights = legendre(rule.per_panel)
    width = (high - low) / panels
    y = (low + width * (np.arange(panels)[:, None] + (nodes + 1) / 2)).ravel()
    return y, np.tile(np.log(weights * width / 2), panels) + log_density(tail, y), float(tail.log_at(low))


def _direction_rule(d: int, m: int, rule: _Rule) -> tuple[Array, Array, Array]:
    """Nodes (p, q) and weights for the m-th point's direction, given the span of the first m - 1."""
    up, down, wp = _beta_rule((d - 2) / 2, (d - 2) / 2, rule.across)  # (1 +- p) / 2
    p, q = up - down, 2 * np.sqrt(up * down)
    if m == 2:
        return p, q, wp
    # q^2 / (1 - p^2) ~ Beta((d - m) / 2, (m - 2) / 2).
    t, _, wt = _beta_rule((d - m) / 2, (m - 2) / 2, rule.along)
    return np.repeat(p, len(t)), np.outer(q, np.sqrt(t)).ravel(), np.outer(wp, wt).ravel()


def _beta_rule(a: float, b: float, size: int) -> tuple[Array, Array, Array]:
    """Nodes t, 1 - t and weights for t ~ Beta(a, b)."""
    x, weight = _gauss_jacobi(b - 1, a - 1, size)
    return (1 + x) / 2, (1 - x) / 2, weight


def _gauss_jacobi(a: float, b: float, size: int) -> tuple[Array, Array]:
    """Gauss rule for the probability density proportional to (1 - t)^a (1 + t)^b, by Golub and Welsch.

    From the recurrence coefficients, which stay harmless at a = 1e9 where tabulated rules overflow.
    """
    k = np.arange(1.0, size)
    s = 2 * k + a + b
    first = (b - a) / (a + b + 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        diagonal = np.concatenate([[first], (b - a) / s * ((a + b) / (s + 2))])
        square = 4 * (k / s) * ((k + a) / s) * ((k + b) / (s + 1)) * ((k + a + b) / (s - 1))
    # At k = 1 the last factors cancel when a + b = -1.
    square[0] = 4 * (1 + a) * (1 + b) / ((2 + a + b) ** 2 * (3 + a + b))
    nodes, vectors = eigh_tridiagonal(diagonal, np.sqrt(square))
    return nodes, vectors[0] ** 2


def _spline(grid: Array, values: Array) -> Callable[[Array], Array]:
    """Quintic interpolation of log V in log g; constant below the grid, V a power of g above it."""
    # Piecewise polynomials take half the time of B-splines to evaluate.
    spline = PPoly.from_spline(make_interp_spline(grid, values, k=5))
    slope = float(spline(grid[-1], 1))

    def extended(x: Array) -> Array:
        above = np.maximum(x - grid[-1], 0.0)
        return spline(np.clip(x, grid[0], grid[-1])) + slope * above

    return extended
