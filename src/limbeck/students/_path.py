"""The ridge path: a student for every alpha, and which one leave-one-out prefers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import logit

from limbeck.labels import Array, SoftLabels, cross_entropy
from limbeck.students._exact import MOST_AT_ZERO, TALL, Exact
from limbeck.students.design import Design
from limbeck.students.leave_one_out import least_ridge, leave_one_out
from limbeck.students.objective import Objective
from limbeck.students.solver import Curvature, Minimum, minimise

DECADES, PER_DECADE = 8, 2
FURTHER = 6
"""Decades below, where the loss still falls: then the Hessian has no digits left."""
USUAL = FURTHER * PER_DECADE
"""The lowest of the alphas that are tried without that."""
STANDARD_ERRORS = 2.0
CLOSE, LEAST_FALL = 1e-8, 1e-7
"""Relative gradient, and expected fall of the loss, at which a student is good enough to compare alphas by."""
OF_RIDGE, LOOSE = 1e-2, 1e-6
"""Largest gradient entry for fewer rows, which all but meet their answers: of the ridge's own, and at most."""
FINAL = {4: 1e-7, 8: 1e-10}
"""Relative gradient of the student chosen, by the bytes of a feature."""
RISES = 1
"""Ridges in a row at which the loss is higher, and the search from a guess ends."""
MORE = 2
"""Further ridges that may show that alpha = 0 is beaten, where it costs a minimisation of its own."""
COARSE = 2
"""Every so many ridges are tried where that ends no better than alpha = 0, or the loss may have several dips."""
GUESSED_FROM = 2048
"""Rows that the first ridge to try is guessed from."""
EVERY, CHEAP = 1000, 1e7
"""Rows up to which all ridges are tried where n is near the rank; rows times squared unknowns, anywhere."""
LEAST_SHARE = 1e-4
"""Distance that answers keep from 0 and 1 for the guess."""


@dataclass(frozen=True, eq=False)
class AlphaPath:
    """Leave-one-out soft cross-entropy along the ridge."""

    alphas: Array
    """Increasing; 0 first, where it was tried, (k,)."""
    losses: Array
    """Mean leave-one-out soft cross-entropy of each, nats, (k,)."""
    stderrs: Array
    """Standard error of each mean over rows, a row of weight 2 being two, (k,)."""
    chosen: float
    """The alpha taken: 0 unless the best beats it by two paired standard errors."""
    reason: str
    """Why, in words."""


def grid(curvature: Curvature) -> Array:
    """Alphas from 1e-14 to 1 times the loss's largest curvature, two a decade; the lowest for when they are needed."""
    top = curvature.largest if curvature.largest > 1e-300 else 1.0
    decades = DECADES + FURTHER
    return top / 4 * np.logspace(-decades, 0, decades * PER_DECADE + 1)


def ridge_on_logits(objective: Objective, curvature: Curvature, alphas: Array) -> Iterator[Array]:
    """Ridge regression on centred log-probabilities, theta (r, m) for each alpha: where the minimisation starts.

    Logits are weighed by the curvature that answers have on average.
    """
    Z, weight, r = _logits(objective.labels), objective.weight, objective.A.shape[1]
    mean = weight @ Z if objective.intercept else np.zeros(Z.shape[1])
    pull = curvature.along(objective.pull(weight[:, None] * (Z - mean)))
    kappa = _mean_curvature(objective)
    for alpha in alphas:
        theta = np.zeros((objective.unknowns, objective.columns))
        theta[:r] = curvature.back(pull / (curvature.values[:, None] + alpha / kappa + 1e-300))
        if objective.intercept:
            theta[r] = mean - curvature.mean @ theta[:r]
        yield theta


def _logits(labels: SoftLabels) -> Array:
    """Centred log-probabilities (n, m); of shares near 0 and 1, those of `LEAST_SHARE`."""
    p = labels.probabilities
    if p.ndim == 1:
        return logit(np.clip(p, LEAST_SHARE, 1 - LEAST_SHARE))[:, None]
    logs = np.log(np.maximum(p, LEAST_SHARE))
    return logs - logs.mean(axis=1, keepdims=True)


def _mean_curvature(objective: Objective) -> float:
    p = objective.labels.probabilities
    each = p * (1 - p) if p.ndim == 1 else (1 - np.square(p).sum(axis=1)) / (p.shape[1] - 1)
    return max(float(objective.weight @ each), 1e-3)


def _guess(objective: Objective, along: tuple[Curvature, Array], alphas: Array) -> int:
    """The alpha whose ridge regression on logits has the least leave-one-out cross-entropy, over some of the rows."""
    curvature, n = along[0], objective.A.shape[0]
    some = np.arange(0, n, -(-n // GUESSED_FROM))
    A, labels, kappa = objective.A[some], objective.labels[some], _mean_curvature(objective)
    Z, weight = _logits(labels), objective.weight[some]
    part = Objective(A, labels, weight / weight.sum(), 0.0, objective.intercept)
    squares = np.square(curvature.coordinates(A))
    losses = []
    for alpha, theta in zip(alphas, ridge_on_logits(objective, curvature, alphas), strict=True):
        h = weight * (squares @ (1 / (curvature.values + alpha / kappa + 1e-300)) + objective.intercept)
        F = part.logits(theta)
        F += (F - Z) * (h / np.maximum(1 - h, 1e-6))[:, None]
        losses.append(part.weight @ cross_entropy(labels, F[:, 0] if F.shape[1] == 1 else F))
    return int(np.argmin(losses))


def follow(
    whole: Objective,
    along: tuple[Curvature, Array],
    mass: Array,
    exact: Callable[[], tuple[Exact | None, str]] | None,
    *,
    met: bool,
    features: int,
    near: float | None = None,
    start: Array | None = None,
) -> tuple[AlphaPath, Minimum | Exact]:
    """Fit alphas on either side of a first guess until the leave-one-out loss rises, and choose by it.

    Near n = rank, where the loss often has several dips, one alpha a decade is tried; in small problems all are.
    alpha = 0 is tried first where it costs no minimisation, else last, and only if no other alpha beats the smallest
    one tried. Where the dip reached is no better than alpha = 0, so is one alpha a decade.

    Parameters
    ----------
    whole : Objective
        Of all rows; its ridge is not used.
    along : (Curvature, ndarray of shape (n, r))
        Of its points, and these along its eigenvectors.
    mass : ndarray, shape (n,)
        What leaving a row out removes of its weight.
    exact : callable or None
        Returns the student at alpha = 0 with its leave-one-out logits, or None and why there is none. None where
        alpha = 0 is a ridge like others.
    met : bool
        Whether the student at alpha = 0 meets all logits: then it costs no minimisation.
    features : int
        How many features the points have; their coordinates may be fewer.
    near : float, optional
        An alpha to search around, as from a guess. Default: see above.
    start : ndarray, shape (r, m), optional
        Where the first minimisation starts. Default: at ridge regression on the logits.

    Returns
    -------
    AlphaPath, Minimum or Exact
        The losses, and the student chosen.
    """
    ridges = _Ridges(whole, along, mass, grid(along[0]))
    trusted = int(np.searchsorted(ridges.alphas[:-1], least_ridge(whole, along[0])))
    n, unknowns = whole.A.shape[0], whole.unknowns * whole.columns
    every = near is None and (n * unknowns**2 <= CHEAP or _rugged(n, features))
    lowest = max(trusted, USUAL if exact is None else 0)
    early = exact is not None and (met or (every and not trusted))
    at_zero, why = ridges.try_zero(exact) if exact is not None and early else (None, "")
    if every:
        ridges.all_down(lowest, 1 if n * unknowns**2 <= CHEAP else COARSE)
    else:
        close = _guess(whole, along, ridges.alphas) if near is None else _nearest(ridges.alphas, near)
        ridges.around(max(close, USUAL, lowest), lowest, start)
    for _ in range(0 if early or trusted or exact is None else MORE):
        if not ridges.lead(ridges.smallest()).beats:
            ridges.one_down(lowest)
    lead = ridges.lead(ridges.smallest())
    if early:
        pass
    elif trusted:
        why = "alpha = 0 was not tried: leaving rows out of so many classes is not accurate there"
    elif lead.beats:
        why = f"alpha = 0 was not tried: alpha = {ridges.smallest():.2g} is behind by {lead}"
    elif exact is None:
        ridges.loss(0.0, ridges.kept[ridges.smallest()].theta)
    else:
        at_zero, why = ridges.try_zero(exact)
    if not every and exact is not None and ridges.best() == 0:
        ridges.all_down(lowest, COARSE)  # a dip no better than alpha = 0 may not be the one
    best = ridges.best()
    if 0.0 in ridges.rows:
        lead = ridges.lead(0.0)
        why = f"beats alpha = 0 by {lead} (the extreme twentieth of the rows at either end pulled in)"
        if not lead.beats:
            best, why = 0.0, f"no alpha beats 0 by {STANDARD_ERRORS:g} paired standard errors"
    elif ridges.falls(lowest) and trusted:
        why += "; smaller ridges were not tried, as leaving rows out of so many classes is not accurate there"
    elif ridges.falls(lowest):
        why += "; the loss still falls at the smallest alpha that double precision allows"
    found = at_zero if best == 0 and at_zero is not None else ridges.student(best)
    return ridges.path(best, why), found


@dataclass(frozen=True)
class _Lead:
    """By how much the best ridge beats another."""

    ahead: float
    """Mean difference of the losses, nats."""
    margin: float
    """Its paired standard error."""

    @property
    def beats(self) -> bool:
        """Whether it is more than its standard errors; a lead within rounding of the loss itself is none."""
        return self.ahead > max(STANDARD_ERRORS * self.margin, 1e-12)

    def __str__(self) -> str:
        return f"{self.ahead:.2g} nats, {self.ahead / max(self.margin, 1e-300):.1f} paired standard errors"


class _Ridges:
    """Students of the alphas tried, and what each loses on the rows left out."""

    def __init__(self, whole: Objective, along: tuple[Curvature, Array], mass: Array, alphas: Array) -> None:
        self.whole, self.along, self.mass, self.alphas = whole, along, mass, alphas
        self.kept: dict[float, Minimum] = {}
        self.rows: dict[float, Array] = {}
        """Leave-one-out losses (n,) by alpha."""
        self.losses: dict[int, float] = {}
        """Their means, by the index of alpha; infinite where there is no student."""

    # -- one ridge -------------------------------------------------------------------------------

    def loss(self, alpha: float, start: Array | None) -> float:
        """Fit a student, from ``start`` (r, m) or ridge regression on its logits."""
        curvature, further = self.along[0], 0 < alpha < self.alphas[USUAL] * (1 - 1e-9)
        objective = self.whole.at(alpha)
        if start is None:
            start = next(ridge_on_logits(objective, curvature, np.array([alpha])))
        n, r = self.whole.A.shape
        tol, fall = (1e-10, 0.0) if further else (CLOSE, LEAST_FALL)
        if n < TALL * r and alpha > 0:
            tol, fall = min(LOOSE, OF_RIDGE * alpha * float(np.abs(start).max()) / objective.scale), 0.0
        most = 1000 if alpha > 0 else MOST_AT_ZERO
        found = minimise(objective, start, curvature=curvature, tol=tol, least_fall=fall, max_iter=most)
        self.kept[alpha] = found
        if fall == 0 and alpha > 0 and not (found.converged and found.gradient <= 10 * tol):
            return np.inf
        return self._add(alpha, leave_one_out(objective, found.theta, self.mass, self.along))

    def try_zero(self, exact: Callable[[], tuple[Exact | None, str]]) -> tuple[Exact | None, str]:
        """The student at alpha = 0, whose loss takes part from now on, or why there is none."""
        found, why = exact()
        if found is not None and found.left_out is not None:
            self._add(0.0, found.left_out)
        return found, why

    def _add(self, alpha: float, F: Array) -> float:
        self.rows[alpha] = cross_entropy(self.whole.labels, F[:, 0] if F.shape[1] == 1 else F)
        return float(self.whole.weight @ self.rows[alpha])

    def student(self, alpha: float) -> Minimum:
        """The student of an alpha that was tried, to the end."""
        last = replace(self.whole, alpha=alpha, dtype=np.dtype(np.float64))
        tol = FINAL[self.whole.dtype.itemsize]
        return minimise(last, self.kept[alpha].theta, curvature=self.along[0], tol=tol)

    # -- comparing them --------------------------------------------------------------------------

    def smallest(self) -> float:
        """The smallest alpha above 0 that has a student."""
        return min(alpha for alpha in self.rows if alpha > 0)

    def best(self) -> float:
        """The alpha of the least loss."""
        return min(sorted(self.rows), key=lambda alpha: float(self.whole.weight @ self.rows[alpha]))

    def lead(self, alpha: float) -> _Lead:
        """Of the best over ``alpha``.

        Near n = rank a few rows of leverage close to 1 lose any amount at alpha = 0, and swell the standard error with
        the mean: the extreme twentieth at either end is pulled in before the two are compared.
        """
        weight, ahead = self.whole.weight, self.rows[alpha] - self.rows[self.best()]
        low, high = (_quantile(ahead, weight / self.mass, share) for share in (0.05, 0.95))
        ahead = np.clip(ahead, low, high)
        return _Lead(float(weight @ ahead), _stderr(ahead, weight, self.mass))

    def path(self, chosen: float, reason: str) -> AlphaPath:
        """The losses of all, and which one is taken."""
        tried, weight = np.array(sorted(self.rows)), self.whole.weight
        losses = np.array([weight @ self.rows[a] for a in tried])
        stderrs = np.array([_stderr(self.rows[a], weight, self.mass) for a in tried])
        return AlphaPath(tried, losses, stderrs, chosen, reason)

    # -- which to try ----------------------------------------------------------------------------

    def around(self, first: int, lowest: int, start: Array | None) -> None:
        """From a guess in both directions, until the loss rises."""
        i, top = first, len(self.alphas) - 1
        self.losses[i] = self.loss(float(self.alphas[i]), start)
        while i < top and (i - self._least() < RISES or np.isinf(self.losses[i])):
            self._go(i + 1, i)
            i += 1
        while self._least() - min(self.losses) < RISES and self.best() > 0:
            if not self.one_down(lowest):
                break

    def all_down(self, lowest: int, stride: int = 1) -> None:
        """From the largest, so many apart, then next to the best, and further where the loss still falls."""
        before, top = None, len(self.alphas) - 1
        for i in range(top, max(USUAL, lowest) - 1, -stride):
            if i not in self.losses:
                self._go(i, before)
            before = i
        for i in {self._least() - 1, self._least() + 1} - set(self.losses) if stride > 1 else ():
            if lowest <= i <= top:
                self._go(i, self._least())
        while self._least() == min(self.losses) and self.best() > 0:
            if not self.one_down(lowest):
                break

    def one_down(self, lowest: int) -> bool:
        """Try the next smaller alpha, if there is one that can be tried."""
        i = min(self.losses)
        if i == lowest or not np.isfinite(self.losses[i]):
            return False
        self._go(i - 1, i)
        return True

    def falls(self, lowest: int) -> bool:
        """Whether the loss still falls at the lowest alpha."""
        return self._least() == lowest or bool(np.isinf(self.losses.get(self._least() - 1, 0.0)))

    def _least(self) -> int:
        return min(self.losses, key=self.losses.__getitem__)

    def _go(self, i: int, start: int | None) -> None:
        theta = None if start is None else self.kept[float(self.alphas[start])].theta
        self.losses[i] = self.loss(float(self.alphas[i]), theta)


def _nearest(alphas: Array, alpha: float) -> int:
    return int(np.argmin(np.abs(np.log(alphas / alpha))))


def _rugged(n: int, d: int) -> bool:
    """Whether few rows are near enough to the rank that the loss has dips of its own along the ridge."""
    return n <= EVERY and 2 * d < 3 * n < 6 * d


def _stderr(values: Array, weight: Array, mass: Array) -> float:
    """Standard error of the weighted mean: of a row that counts as several, so many of ``mass`` each.

    Deviations are those of units, whose weights need not be equal: s^2 = sum w m (v - mean)^2, times N / (N - 1) with
    N = 1 / sum w m, Kish's number of units, which knows no scale.
    """
    units = 1.0 / float(weight @ mass)
    spread = float((weight * mass) @ np.square(values - weight @ values))
    return float(np.sqrt(spread * units / (units - 1))) if units > 1 else float("inf")


def _quantile(values: Array, count: Array, share: float) -> float:
    """Quantile of values that occur ``count`` times each, between two of them by the straight line, as NumPy's."""
    order = np.argsort(values)
    upto = np.cumsum(count[order])
    at = share * (upto[-1] - 1)
    low, high = (
        values[order[min(int(np.searchsorted(upto, place, side="right")), len(upto) - 1)]]
        for place in (np.floor(at), np.floor(at) + 1)
    )
    return float(low + (at - np.floor(at)) * (high - low))


def stopped_flow(design: Design, labels: SoftLabels, weight: Array, time: float) -> Minimum:
    """Gradient flow of the mean soft cross-entropy from zero, stopped at ``time``."""
    objective = Objective(design.A, labels, weight, 0.0, design.intercept)
    shape = objective.zero().shape

    unit = min(time, 1.0)  # LSODA does not come back from the way to 5e-324

    def velocity(t: float, v: Array) -> Array:
        theta = v.reshape(shape)
        return -unit * objective.evaluate(theta)[1].ravel()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LSODA warns of the failure that is raised below
        solved = solve_ivp(
            velocity, (0.0, time / unit), np.zeros(shape).ravel(), method="LSODA", rtol=1e-8, atol=1e-10
        )
    if not solved.success:
        raise ArithmeticError(f"The flow could not be followed to stop_time={time}: {solved.message}")
    theta = solved.y[:, -1].reshape(shape)
    size = np.abs(objective.evaluate(theta)[1]).max() / objective.scale
    return Minimum(theta, float(size), int(solved.nfev), True)
