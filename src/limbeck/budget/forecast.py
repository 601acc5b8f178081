"""How many answers a target takes: the pilot's curve carried on, with everything it leaves open.

The mean risk of a student of n answers is taken to be

    R(n) = c + (s - c) (1 + n / n_0)^(-b):

a power law that starts at s and levels off at a floor c, below which more answers do not get this student. It
starts where a student does that has learned nothing: at guessing, or, where one class is rare, at always deciding
for the other, a level it may stay at for long. Start, scale n_0, exponent b and floor c are not estimated but
averaged over: each combination of a grid counts as much as the pilot's errors make it likely. One student's own
risk varies about the mean by the spread between learning sets, as a log-normal factor.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtr

from limbeck.budget.curve import PilotCurve
from limbeck.labels import Array, SoftLabels

EXPONENTS = np.geomspace(0.1, 4.0, 24)
FLOORS = np.concatenate([[0.0], np.geomspace(1e-4, 0.45, 30)])
NO_FLOOR = {"linear": 1.0, "cannot tell yet": 0.5, "not linear": 0.0}
"""Prior weight of a floor of exactly zero, which only a linear teacher has; the rest is even in log c."""
BIASED = 0.5
"""The most it can be for a student of a fixed ridge or stop, which a linear teacher too may leave with a floor."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """Curves the pilot leaves possible, each with its weight."""

    start: Array = field(repr=False)
    """s, (g,)."""
    scale: Array = field(repr=False)
    """n_0, (g,)."""
    exponent: Array = field(repr=False)
    """b, (g,)."""
    floor: Array = field(repr=False)
    """c, (g,)."""
    weight: Array = field(repr=False)
    """Posterior weight, summing to 1, (g,)."""
    spread: float
    """Standard deviation, in the logarithm, of one student's risk about the mean."""

    @classmethod
    def of(
        cls,
        curve: PilotCurve,
        linearity: str = "cannot tell yet",
        starts: tuple[float, ...] = (0.5,),
        *,
        unbiased: bool = True,
    ) -> Posterior:
        """Weigh the grid by the pilot's errors, the prior by the verdict on the teacher's linearity.

        The ``starts``, see `starting_levels`, are alike beforehand; a floor above its start is none. ``unbiased`` says
        whether the student may become the teacher (`limbeck.budget.curve.may_be_exact`).

        The errors at each size are binomial, of as many trials as they are worth; the likelihoods of the sizes
        multiply to the power of the curve's ``overlap``, since they judge students of the same answers on the
        same audit points (a composite likelihood; Varin, Reid and Firth, 2011).
        """
        largest = float(curve.sizes[-1])
        scales = np.geomspace(largest / 300, 30 * largest, 30)
        grid = np.meshgrid(starts, scales, EXPONENTS, FLOORS, indexing="ij")
        start, scale, exponent, floor = (axis.ravel() for axis in grid)
        none = NO_FLOOR[linearity] if unbiased else min(NO_FLOOR[linearity], BIASED)
        prior = np.where(floor == 0, none, (1 - none) / (len(FLOORS) - 1)) * ((floor < start) | (floor == 0))
        R = _risk(curve.sizes.astype(float), start, scale, exponent, floor)
        errors = curve.trials * curve.disagreement
        log_likelihood = np.log(R) @ errors + np.log1p(-R) @ (curve.trials - errors)
        with np.errstate(divide="ignore"):
            log_weight = np.log(prior) + curve.overlap * log_likelihood
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        kept = weight > 1e-9
        spread = float(np.sqrt(np.log1p(curve.spread**2)))
        likely = weight[kept] / weight[kept].sum()
        return cls(start[kept], scale[kept], exponent[kept], floor[kept], likely, spread)

    def met(self, n: float, target: float) -> float:
        """Probability that one student of n answers has at most the target risk; it never falls with n."""
        R = self._risk(np.array([float(n)]))[:, 0]
        if self.spread == 0:
            return float(self.weight[target >= R].sum())
        # A log-normal factor of mean 1 has its logarithm's mean at -spread^2 / 2.
        return float(self.weight @ ndtr((np.log(target / R) + self.spread**2 / 2) / self.spread))

    def band(self, n: Array, confidence: float) -> tuple[Array, Array, Array]:
        """Median of the mean risk after n answers (k,), and the ends of its central interval."""
        R = self._risk(np.asarray(n, dtype=float))
        ends = [_quantiles(R, self.weight, q) for q in ((1 - confidence) / 2, 0.5, (1 + confidence) / 2)]
        return ends[1], ends[0], ends[2]

    def smallest(self, target: float, confidence: float, most: int) -> int | None:
        """Smallest n <= most with `met` at least the confidence; None if there is none."""
        if self.met(most, target) < confidence:
            return None
        low, high = 0, most
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.met(middle, target) >= confidence else (middle, high)
        return high

    def _risk(self, n: Array) -> Array:
        return _risk(n, self.start, self.scale, self.exponent, self.floor)


def starting_levels(labels: SoftLabels) -> tuple[float, ...]:
    """Shares on which a student is wrong that has learned nothing: guessing, and always the commonest class.

    Both are levels a curve may start from, by ``labels`` (n,) of a random sample; one if they are the same.
    """
    counts = np.bincount(labels.decisions, minlength=labels.n_classes)
    n, guessing = len(labels), 1 - 1 / labels.n_classes
    constant = (n - int(counts.max()) + 0.5) / (
        n + 1
    )  # never 0: that no other class was seen does not rule it out
    return tuple(sorted({guessing, min(constant, guessing)}))


def _risk(n: Array, start: Array, scale: Array, exponent: Array, floor: Array) -> Array:
    """R(n) of each curve, (g, k), kept off 0."""
    falling = np.exp(-exponent[:, None] * np.log1p(n[None, :] / scale[:, None]))
    return np.maximum(floor[:, None] + (start - floor)[:, None] * falling, 1e-12)


def _quantiles(values: Array, weight: Array, q: float) -> Array:
    """Weighted quantile of each column of values (g, k)."""
    order = np.argsort(values, axis=0)
    heights = np.cumsum(weight[order], axis=0)
    at = np.argmax(heights >= q, axis=0)
    return np.take_along_axis(values, np.take_along_axis(order, at[None], axis=0), axis=0)[0]


def power_law(curve: PilotCurve, target: float, most: int) -> int | None:
    """What a power law fitted to the logarithms of the curve forecasts, for comparison: no floor, no confidence.

    Returns
    -------
    int or None
        Smallest n with a n^-b <= target; None beyond ``most``, or where the curve does not fall.
    """
    seen = curve.disagreement > 0
    if seen.sum() < 2:
        return int(curve.sizes[0]) if not seen.any() else None
    slope, level = np.polyfit(np.log(curve.sizes[seen]), np.log(curve.disagreement[seen]), 1)
    if slope >= 0:
        return None
    log_n = (np.log(target) - level) / slope
    return max(1, int(np.ceil(np.exp(log_n)))) if log_n <= np.log(most) else None
