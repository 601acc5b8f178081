"""Transfer risk (Eq. 4), exact or held out, and the monotonicity index (Eq. 34)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import BSpline, make_interp_spline
from scipy.optimize import brentq
from scipy.special import betainc, betaincinv, betaln, logsumexp, ndtri
from scipy.stats import t as student_t

from limbeck import _check
from limbeck._check import Array
from limbeck.theory.angles import RIGHT, EmpiricalTail, MarginTail, PolynomialTail

SymmetricTail = PolynomialTail | MarginTail | EmpiricalTail

PANELS = 40
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
NODES_IN_ALL = PANELS * len(NODES)
TABLE_FROM = 1000
"""Risks of one task from which on they are read off a table: it costs some 800 integrals."""
TABLE_SPACING, TABLE_DEGREE = 0.1, 9
LEAST_SQUARED = 1e-140
"""Risks all below it are rescaled before their spread is squared: well-aligned tasks get there."""
SHARES = np.square(np.sin(np.pi * (np.arange(32) + 0.5) / 64))[:, None]
"""Midpoints of the arcsine law, over which `bounded_mean_interval` spreads its bets."""
LEAST_MEAN, MOST_MEAN = 1e-300, 1 - 1e-12
"""Means that it looks for between."""
LOG_OF_NOTHING = -760.0
"""Below it a number is 0."""
FALL = 40.0
"""In nats below the integrand's peak, where the integral is cut off."""
LEFTMOST, RIGHTMOST = 45.0, 60.0
"""In log tan(phi) from where it rises, and from its peak, it has fallen by more than that, whatever the tail and d."""


def symmetric_risk(alpha: ArrayLike, tail: SymmetricTail, d: int) -> Array:
    """Exact risk of a student at angle alpha to its teacher, on a task symmetric about the teacher.

    R(alpha) = 1/2 E_T[p(arctan(cot(alpha) / T))] with T^2 ~ Beta(1/2, (d-2)/2), T = 1 at d = 2, and
    R(pi - alpha) = 1 - R(alpha): given its angle, a point's direction is uniform around the teacher.

    Parameters
    ----------
    alpha : array_like
        Angles in [0, pi], radians.
    tail : PolynomialTail, MarginTail or EmpiricalTail
        p(theta) of the task.
    d : int
        Dimension, at least 2.

    Returns
    -------
    ndarray
        Risks, of the shape of ``alpha``.
    """
    alpha = _check.reals(alpha, "alpha")
    if not np.all((alpha >= 0) & (alpha <= np.pi)):
        raise ValueError("alpha must lie in [0, pi] radians.")
    acute = np.minimum(alpha, np.pi - alpha)
    with np.errstate(divide="ignore", over="ignore"):
        risk = symmetric_risk_at_cotangent(1.0 / np.tan(acute), tail, d)
    return np.where(alpha <= RIGHT, risk, 1.0 - risk)


def symmetric_risk_at_cotangent(
    cot: ArrayLike, tail: SymmetricTail, d: int, *, values: int | None = None
) -> Array:
    """`symmetric_risk` of students with cot(alpha) = ``cot`` in [0, inf]: full precision near pi/2.

    More than a thousand values of one task are interpolated from a table of log R (relative error below 1e-10); fewer,
    and those of an `EmpiricalTail`, are integrated one by one (below 1e-12, or 1e-14 |log R| of a risk so small that
    this is more: what rounding leaves of its exponent). A `MarginTail`'s risk vanishes at cot(alpha) = tan(beta), and
    hands on the rounding of both relative to their difference.

    Parameters
    ----------
    cot : array_like
    tail : PolynomialTail, MarginTail or EmpiricalTail
    d : int
        Dimension, at least 2.
    values : int, optional
        Number of risks of this task in all calls together. Default: those of this call.

    Raises
    ------
    ValueError
        If d < 2 or a cotangent is negative.
    """
    d = _check.count(d, "d", 2)
    cot = np.asarray(cot, dtype=np.float64)
    if not np.all(cot >= 0):
        raise ValueError("cot must be >= 0: for an obtuse angle use R(pi - alpha) = 1 - R(alpha).")
    flat = np.atleast_1d(cot).ravel()
    risk = np.where(flat == 0, 0.5, 0.0)
    inner = (flat > 0) & np.isfinite(flat)
    if inner.any():
        values = flat.size if values is None else values
        # The integral of a density, half a tail at most: rounding alone could lift it above 1/2.
        risk[inner] = np.minimum(_risk(flat[inner], tail, d, values), 0.5)
    return risk.reshape(cot.shape)


def _risk(cot: Array, tail: SymmetricTail, d: int, values: int) -> Array:
    if d == 2:
        return 0.5 * tail.at_cotangent(1.0 / cot)  # arctan(cot(alpha)) has the cotangent tan(alpha)
    if isinstance(tail, EmpiricalTail):
        return _in_chunks(lambda part: _empirical_risk(part, tail, d), cot, len(tail.angles))
    return np.exp((_tabulated if values > TABLE_FROM else log_risk)(np.log(cot), tail, d))


def _tabulated(log_cot: Array, tail: PolynomialTail | MarginTail, d: int) -> Array:
    """`log_risk`, interpolated where the table reaches."""
    log_R = _table(tail, d)(_smooth_variable(log_cot, tail), extrapolate=False)
    outside = np.isnan(log_R)
    if outside.any():
        log_R[outside] = log_risk(log_cot[outside], tail, d)
    return log_R


def log_risk(log_cot: Array, tail: PolynomialTail | MarginTail, d: int) -> Array:
    """Logarithm of `symmetric_risk` at d >= 3 and finite log cot(alpha), (k,), also where the risk underflows."""
    return _in_chunks(lambda part: _log_risk(part, tail, d), log_cot, NODES_IN_ALL)


def _in_chunks(function: Callable[[Array], Array], cot: Array, width: int) -> Array:
    pieces = max(1, cot.size * width // 2_000_000)
    return np.concatenate([function(part) for part in np.array_split(cot, pieces)])


def _log_risk(log_cot: Array, tail: PolynomialTail | MarginTail, d: int) -> Array:
    """Log R by Gauss-Legendre panels in s = log tan(phi), T = sin(phi), over the integrand's own peak.

    There the density of T is (2/B) T (1 - T^2)^((d-2)/2), and it and the tail are log-concave: the mode lies right
    of the density's, or of where a tail vanishes, and the integrand falls on either side of it for good. How far
    depends on the tail as much as on the density: T^kappa moves the mode to tan^2(phi) = kappa / d.
    """
    half, kink = (d - 2) / 2, np.full(log_cot.shape, -np.inf)
    if tail.kinks.size:
        log_T = np.minimum(log_cot - np.log(np.tan(tail.kinks[-1])), 0.0)  # p vanishes where T is below this
        with np.errstate(divide="ignore"):
            log_cos = 0.5 * np.log(-np.expm1(2 * log_T))
        some = 2 * half * log_cos > LOG_OF_NOTHING  # R <= P[T beyond the kink] <= cos^(d-2)
        if not some.all():
            found = np.full(log_cot.shape, -np.inf)
            if some.any():
                found[some] = _log_risk(log_cot[some], tail, d)
            return found
        kink = log_T - log_cos
    log_cot, kink = log_cot[:, None], kink[:, None]

    def log_integrand(s: Array) -> Array:
        log1p = np.logaddexp(0.0, 2 * s)
        log_T = np.where(s < 0, s - 0.5 * log1p, -0.5 * np.logaddexp(0.0, -2 * s))
        # arctan(cot / T) has the cotangent T / cot.
        return tail.log_at(log_T - log_cot) + log_T - half * log1p

    rises = -0.5 * np.log(2 * half)
    start, least = np.maximum(rises, kink), np.maximum(rises - LEFTMOST, kink)
    further = 0.5 * np.log1p(tail.kappa) if isinstance(tail, PolynomialTail) else 0.0
    top = _mode(log_integrand, start, start + 20.0 + further)
    peak = log_integrand(top)
    peak = np.where(np.isfinite(peak), peak, 0.0)  # a tail that rounds to 0 wherever it is more
    bottom = peak - FALL
    low = _crossing(log_integrand, bottom, least, top)
    high = _crossing(log_integrand, bottom, top + RIGHTMOST, top)
    panels = int(np.clip(np.ceil(np.max(high - low)), 8, PANELS))
    width = (high - low) / panels
    s = low + width * (np.arange(panels)[:, None] + (NODES + 1) / 2).ravel()
    weighted = np.exp(np.minimum(log_integrand(s) - peak, 1.0)) * np.tile(WEIGHTS, panels)
    with np.errstate(divide="ignore"):
        return np.log(width[:, 0] / 2 * weighted.sum(axis=1)) + peak[:, 0] - _log_beta(half)


def _mode(function: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Where a concave function is largest, elementwise, by golden sections."""
    golden = (np.sqrt(5.0) - 1) / 2
    for _ in range(40):
        left, right = high - golden * (high - low), low + golden * (high - low)
        falls = function(left) > function(right)
        low, high = np.where(falls, low, left), np.where(falls, right, high)
    return (low + high) / 2


def _crossing(function: Callable[[Array], Array], level: Array, outside: Array, inside: Array) -> Array:
    """Where a function first reaches a level on the way in, elementwise, from outside by a hair."""
    for _ in range(26):
        middle = (outside + inside) / 2
        below = function(middle) < level
        outside, inside = np.where(below, middle, outside), np.where(below, inside, middle)
    return outside


def _log_beta(half: float) -> float:
    """Log B(1/2, half): of a large ``half`` scipy's keeps absolute digits of a number of size half log half."""
    if half < 50:
        return float(betaln(0.5, half))
    x = 1.0 / half  # log Gamma(half + 1/2) - log Gamma(half), by Stirling's series
    ratio = -0.5 * np.log(x) - x / 8 + x**3 / 192 - x**5 / 640 + 17 * x**7 / 14336
    return float(0.5 * np.log(np.pi) - ratio)


def _empirical_risk(cot: Array, tail: EmpiricalTail, d: int) -> Array:
    """1/2 E_a[P(T >= cot(a) cot(alpha))], the same number with the order of integration exchanged."""
    with np.errstate(divide="ignore"):
        least = np.minimum(1.0, cot[:, None] / np.tan(tail.angles))
    return 0.5 * betainc((d - 2) / 2, 0.5, (1 - least) * (1 + least)).mean(axis=1)


def _smooth_variable(log_cot: Array, tail: PolynomialTail | MarginTail) -> Array:
    """Variable in which log R is smooth: log tan(alpha), or log(tan(beta) / cot(alpha) - 1) under a margin.

    The slope of R against alpha is infinite at pi/2; near tan(beta) it is a power of this variable's exponential.
    """
    if not tail.kinks.size:
        return -log_cot
    below = np.maximum(np.log(np.tan(tail.kinks[-1])) - log_cot, 0.0)
    with np.errstate(divide="ignore"):
        return below + np.log(-np.expm1(-below))


@lru_cache(maxsize=64)
def _table(tail: PolynomialTail | MarginTail, d: int) -> BSpline:
    """Log R as a spline of `_smooth_variable`."""
    at = np.arange(-20.0 if tail.kinks.size else -40.0, 40.0, TABLE_SPACING) + 0.5 * np.log(d)
    log_cot = np.log(np.tan(tail.kinks[-1])) - np.logaddexp(0.0, at) if tail.kinks.size else -at
    log_R = log_risk(log_cot, tail, d)
    some = log_R > LOG_OF_NOTHING
    return make_interp_spline(at[some], log_R[some], k=TABLE_DEGREE)


# -- held-out data ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval."""

    estimate: float
    """The point estimate."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""
    confidence: float
    """Probability with which such an interval covers the true value: nominal of Wilson's (`held_out_risk`), which
    covers so often on average over shares; guaranteed of `clopper_pearson` and `bounded_mean_interval`."""
    size: int
    """Number of independent observations behind it."""


def disagreement(student_logits: ArrayLike, teacher_logits: ArrayLike) -> Array:
    """Share of points on which student and teacher decide differently (Eq. 4), along the last axis.

    The decision is 1{logit >= 0}, as in section 3: a logit of exactly 0 counts as class 1.
    """
    student = _check.reals(student_logits, "student_logits")
    teacher = _check.reals(teacher_logits, "teacher_logits")
    if student.ndim == 0 or teacher.ndim == 0 or not 0 < student.shape[-1] == teacher.shape[-1]:
        raise ValueError(
            f"Logits of the same points, at least one, are needed along the last axis, got shapes {student.shape} "
            f"and {teacher.shape}."
        )
    return np.mean((student >= 0) != (teacher >= 0), axis=-1)


def held_out_risk(
    student_logits: ArrayLike, teacher_logits: ArrayLike, *, confidence: float = 0.95
) -> Interval:
    """Transfer risk of *one fixed student* from a held-out random sample, with Wilson's interval.

    It says nothing about the spread over transfer sets: for an expected risk use `mean_interval`
    on one risk per transfer set (pooling the points covers the expectation far too rarely). The confidence is
    nominal: Wilson's intervals cover so often on average over risks, and where some risk near 0 is the truth less often
    (at 95 % and 1000 points 84 % at a risk of 1.75e-4). Where a guarantee is wanted use `clopper_pearson`, or
    `clopper_pearson_upper` for the upper end alone.
    """
    student = _check.vector(student_logits, "student_logits")
    teacher = _check.vector(teacher_logits, "teacher_logits", student.size)
    confidence = _check.number(confidence, "confidence", above=0.0, below=1.0)
    wrong = int(np.sum((student >= 0) != (teacher >= 0)))
    low, high = wilson(wrong, student.size, confidence)
    return Interval(wrong / student.size, float(low), float(high), confidence, student.size)


def wilson(wrong: ArrayLike, size: ArrayLike, confidence: float = 0.95) -> tuple[Array, Array]:
    """Ends of Wilson's score interval for a share, from counts ``wrong`` out of ``size``, elementwise.

    The confidence is nominal. Averaged over shares such intervals cover the truth as often as they say, and are
    shorter than exact ones; at single shares near 0 or 1 they cover less often: at 95 % and a size of 1000, 84 % at a
    share of 1.75e-4. Where a guarantee is wanted use `clopper_pearson`.

    Raises
    ------
    ValueError
        If a size is not positive, or ``wrong`` is not between 0 and ``size``.

    References
    ----------
    Wilson (1927), JASA 22. Brown, Cai and DasGupta (2001), Statistical Science 16, for its coverage.
    """
    wrong, size = _counted(wrong, size)
    share = wrong / size
    square = float(ndtri((1 + _check.number(confidence, "confidence", above=0.0, below=1.0)) / 2)) ** 2 / size
    centre = (share + square / 2) / (1 + square)
    half = np.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    low, high = np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)
    return np.where(share == 0, 0.0, low)[()], np.where(share == 1, 1.0, high)[()]


def clopper_pearson_upper(wrong: int, size: int, confidence: float = 0.95) -> float:
    """Upper bound of a risk, with no assumption on teacher or student, from a random held-out sample.

    With at least this probability over the sample the true risk is below the bound that is returned (Clopper and
    Pearson 1934, one-sided): the p at which seeing ``wrong`` or fewer has probability 1 - confidence. This is
    what to use where the certificate's assumptions do not hold. The sample must be drawn at random from the
    points that matter, not chosen by geometry, and not learned from; it speaks of the share, not of single answers.

    Parameters
    ----------
    wrong : int
        Disagreements counted.
    size : int
        Points in the sample.
    confidence : float
    """
    size, wrong = _check.count(size, "size"), _check.count(wrong, "wrong", 0)
    if wrong > size:
        raise ValueError(f"wrong = {wrong} disagreements among size = {size} points.")
    confidence = _check.number(confidence, "confidence", above=0.0, below=1.0)
    return float(_exact_upper(np.asarray(wrong), np.asarray(size), confidence))


def clopper_pearson(wrong: ArrayLike, size: ArrayLike, confidence: float = 0.95) -> tuple[Array, Array]:
    """Ends of Clopper and Pearson's interval for a share, elementwise: exact, and of some width at 0 errors, too.

    ``wrong`` and ``size`` need not be whole: where errors are not independent, their share of the independent
    trials that would be worth as much (Korn and Graubard, Survey Methodology 24, 1998).
    """
    wrong, size = _counted(wrong, size)
    each = (1 + _check.number(confidence, "confidence", above=0.0, below=1.0)) / 2
    return 1 - _exact_upper(size - wrong, size, each), _exact_upper(wrong, size, each)


def _counted(wrong: ArrayLike, size: ArrayLike) -> tuple[Array, Array]:
    wrong, size = _check.reals(wrong, "wrong"), _check.reals(size, "size")
    if not np.all((size > 0) & np.isfinite(size) & (wrong >= 0) & (wrong <= size)):
        raise ValueError("wrong must lie between 0 and size, and size be > 0: they are errors among trials.")
    return wrong, size


def _exact_upper(wrong: Array, size: Array, confidence: float) -> Array:
    left = size - wrong
    return np.where(left > 0, betaincinv(wrong + 1, np.where(left > 0, left, 1.0), confidence), 1.0)


def paired_difference(first: int, second: int, size: int, confidence: float = 0.95) -> Interval:
    """Difference of two shares counted on the same rows, with Tango's (1998) score interval.

    The differences being 1, -1 and mostly 0, Student's interval for their mean is far too short where the two
    seldom differ, and has no width where they never do.

    Parameters
    ----------
    first : int
        Rows counted for the first share and not for the second.
    second : int
        Rows counted for the second and not for the first.
    size : int
        All rows.
    confidence : float

    References
    ----------
    Tango (1998), Statistics in Medicine 17, 891-908.
    """
    size = _check.count(size, "size")
    first, second = _check.count(first, "first", 0), _check.count(second, "second", 0)
    if first + second > size:
        raise ValueError(f"first + second = {first + second} rows that differ among size = {size}.")
    confidence = _check.number(confidence, "confidence", above=0.0, below=1.0)
    bar, estimate = float(ndtri((1 + confidence) / 2)), (first - second) / size

    def beyond(difference: float, sign: int) -> float:
        """Positive where the counts are too unlikely under this difference, which lies on the side of ``sign``."""
        # The likeliest share of the second kind given the difference solves a quadratic.
        linear = -(first + second) + difference * (2 * size - first + second)
        last = -second * difference * (1 - difference)
        share = (np.sqrt(max(linear**2 - 8 * size * last, 0.0)) - linear) / (4 * size)
        variance = size * max(2 * share + difference * (1 - difference), 0.0)
        return sign * (size * difference - (first - second)) - bar * np.sqrt(variance)

    def end(sign: int) -> float:
        if beyond(sign, sign) <= 0:
            return sign
        # From a little off the estimate: at 0 of 0 that differ it is a root, too, and not the end.
        near = estimate + sign * 1e-9
        return near if beyond(near, sign) >= 0 else float(brentq(beyond, near, sign, (sign,), xtol=1e-14))

    return Interval(estimate, end(-1), end(1), confidence, size)


def mean_interval(values: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Mean of independent values, one per transfer set, with Student's t interval for its expectation.

    For values whose mean is all but normal: not for 0s with few 1s (`paired_difference`, `held_out_risk`), nor for
    values spread over orders of magnitude (`bounded_mean_interval`).
    """
    values = _check.vector(values, "values")
    confidence = _check.number(confidence, "confidence", above=0.0, below=1.0)
    if values.size < 2:
        raise ValueError("values holds a single number: its spread over transfer sets cannot be seen.")
    mean, stderr = float(values.mean()), float(values.std(ddof=1) / np.sqrt(values.size))
    half = float(student_t.ppf((1 + confidence) / 2, values.size - 1)) * stderr
    return Interval(mean, mean - half, mean + half, confidence, values.size)


def bounded_mean_interval(values: ArrayLike, *, most: float = 1.0, confidence: float = 0.95) -> Interval:
    """Interval for the expectation of independent values in [0, most], valid for every law and every number of them.

    Student's interval needs a mean that is all but normal. Exact risks of a well-aligned task spread over orders of
    magnitude, their mean hangs on sets too rare to be seen, and such an interval lies below the truth nearly always.
    A mean m is believed unless bets against it, fair if it were true, would have multiplied a stake by
    1 / (1 - confidence). Half of the stake says that next to nothing will come, the other half is spread over all
    constant shares of a portfolio by the arcsine law.

    Parameters
    ----------
    values : array_like, shape (n,)
    most : float
        Largest value there can be: 1 for a risk, 1/2 for that of a projection of the teacher.
    confidence : float

    References
    ----------
    Waudby-Smith and Ramdas (2024), JRSS B 86, 1-27. Orabona and Jun (2024), IEEE Trans. Inf. Theory 70, for the
    portfolio. At values of 0 only, the upper end is about Clopper and Pearson's.
    """
    most = _check.number(most, "most", above=0.0)
    confidence = _check.number(confidence, "confidence", above=0.0, below=1.0)
    x = np.asarray(_check.vector(values, "values", squared=False), dtype=np.float64) / most
    if np.any((x < 0) | (x > 1)):
        raise ValueError(f"values must lie in [0, {most:g}], and {values!r} do not.")
    bar, mean = -np.log1p(-confidence), float(x.mean())

    def beyond(log_mean: float) -> float:
        m = np.exp(log_mean)
        rest = np.log1p(-m)
        with np.errstate(divide="ignore"):
            nothing = np.log1p(-x).sum() - x.size * rest
            spread = np.log(SHARES * (x / m) + (1 - SHARES) * ((1 - x) / np.exp(rest))).sum(axis=1)
        return float(np.logaddexp(nothing, logsumexp(spread) - np.log(len(SHARES))) - np.log(2.0)) - bar

    # The gain is log-convex in m and below the bar at the mean: one root on either side, if any.
    centre = np.log(min(max(mean, LEAST_MEAN), MOST_MEAN))
    ends = []
    for end, without in ((np.log(LEAST_MEAN), 0.0), (np.log(MOST_MEAN), 1.0)):
        seen = (centre - end) * (1 if without == 0 else -1) > 0 and beyond(end) > 0
        ends.append(float(np.exp(brentq(beyond, centre, end, xtol=1e-12))) if seen else without)
    return Interval(mean * most, ends[0] * most, ends[1] * most, confidence, x.size)


def expected_risk_interval(risks: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Expected risk from one held-out risk per transfer set, with an interval over transfer sets.

    Student's t on the mean, which needs some spread to see: where fewer than ten transfer sets show
    any disagreement at all, the upper end is at least Wilson's for the share of such sets, which the
    expected risk cannot exceed. The ends are kept in [0, 1], where the risk lives. It is for shares counted on
    held-out points: exact risks, which spread over orders of magnitude where a task is well aligned, want
    `expected_risk` or `bounded_mean_interval` (at kappa = 4 and n = 2 this one covers in 75 %, at 10 and 20 in 40 %).

    Parameters
    ----------
    risks : array_like, shape (repeats,)
        Held-out disagreement, one per independent transfer set.
    confidence : float
        Coverage aimed at.
    """
    risks = _check.vector(risks, "risks", squared=False)
    if np.any((risks < 0) | (risks > 1)):
        raise ValueError("risks must lie in [0, 1].")
    largest = float(risks.max())
    scale = largest if 0.0 < largest < LEAST_SQUARED else 1.0
    interval = mean_interval(risks / scale, confidence=confidence)
    high, seen = interval.high * scale, int(np.sum(risks > 0))
    if seen < 10:
        high = max(high, float(wilson(seen, risks.size, confidence)[1]))
    return Interval(
        interval.estimate * scale, max(0.0, interval.low * scale), min(1.0, high), confidence, risks.size
    )


# -- monotonicity ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Monotonicity:
    """How one more point moves a learner, over many transfer sets (Eq. 34)."""

    index: float
    """Share of transfer sets where the angle to the teacher fell: strict, so ties count against it."""
    index_stderr: float
    """Standard error of the index; NaN from one transfer set."""
    ties: float
    """Share of transfer sets where the angle did not change at all."""
    shrinkage: float
    """Mean fall of the angle, radians: by how much a point helps, which (34) does not see."""
    shrinkage_stderr: float
    """Standard error of the shrinkage; NaN from one transfer set."""


def monotonicity(before: ArrayLike, after: ArrayLike, *, tied: ArrayLike | None = None) -> Monotonicity:
    """Monotonicity index (Eq. 34) from unsigned angles before and after one more point, (repeats,).

    Parameters
    ----------
    before, after : array_like, shape (repeats,)
        Angles to the teacher's line.
    tied : array_like of bool, shape (repeats,), optional
        Where the learner is known not to have moved (a maximum-margin learner, for a point beyond
        its margin): two solves then differ by rounding only. Default: exact equality of the angles.
    """
    before = _check.vector(before, "before")
    after = _check.vector(after, "after", before.size)
    still = (before == after) if tied is None else np.asarray(tied, dtype=bool)
    fell = (after < before) & ~still
    fall = np.where(still, 0.0, before - after)
    root = np.sqrt(before.size - 1) if before.size > 1 else np.nan
    index = float(fell.mean())
    return Monotonicity(
        index=index,
        index_stderr=float(np.sqrt(index * (1 - index)) / root),
        ties=float(still.mean()),
        shrinkage=float(fall.mean()),
        shrinkage_stderr=float(fall.std() / root),
    )
