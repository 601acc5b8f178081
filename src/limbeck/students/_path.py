"""The ridge path: a student for every alpha, and which one leave-one-out prefers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import logit

from limbeck.labels import Array, SoftLabels, cross_entropy
from limbeck.students._exact import Exact
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
CLOSE, LEAST_FALL = 1e-8, 1e-6
"""Relative gradient, and expected fall of the loss, at which a student is good enough to compare alphas by."""
FINAL = {4: 1e-7, 8: 1e-10}
"""Relative gradient of the student chosen, by the bytes of a feature."""
MOST_AT_ZERO = 50
"""Steps to alpha = 0 from a small ridge, to compare with; if it is chosen, it is followed to the end."""
RISES = 1
"""Ridges in a row at which the loss is higher, and the search from a guess ends."""
COARSE = 2
"""Where that ends no better than alpha = 0, every so many ridges are tried, too."""
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
    exact: Exact | None,
    why: str,
    *,
    features: int,
    with_zero: bool = False,
) -> tuple[AlphaPath, Minimum | None]:
    """Fit alphas on either side of a first guess until the leave-one-out loss rises, and choose by it.

    Near n = rank, where the loss often has several dips, and in small problems all alphas are tried. Where the dip
    reached is no better than alpha = 0, so is one alpha a decade.

    Parameters
    ----------
    whole : Objective
        Of all rows; its ridge is not used.
    along : (Curvature, ndarray of shape (n, r))
        Of its points, and these along its eigenvectors.
    mass : ndarray, shape (n,)
        What leaving a row out removes of its weight.
    exact : Exact or None
        The student at alpha = 0 with its leave-one-out logits, where it was possible.
    why : str
        Why it was not, otherwise.
    features : int
        How many features the points have; their coordinates may be fewer.
    with_zero : bool
        Whether alpha = 0 is one more ridge, the last to be tried.
    """
    curvature, labels, weight = along[0], whole.labels, whole.weight
    alphas = grid(curvature)
    kept, rows = {}, {}

    def loss(alpha: float, start: Array | None) -> float:
        further = alpha < alphas[USUAL] * (1 - 1e-9)
        objective = whole.at(alpha)
        if start is None:
            start = next(ridge_on_logits(objective, curvature, np.array([alpha])))
        tol, fall = (1e-10, 0.0) if further and alpha > 0 else (CLOSE, LEAST_FALL)
        most = 1000 if alpha > 0 else MOST_AT_ZERO
        kept[alpha] = minimise(objective, start, curvature=curvature, tol=tol, least_fall=fall, max_iter=most)
        if further and alpha > 0 and not kept[alpha].converged:
            return np.inf
        F = leave_one_out(objective, kept[alpha].theta, mass, along)
        rows[alpha] = cross_entropy(labels, F[:, 0] if F.shape[1] == 1 else F)
        return float(weight @ rows[alpha])

    trusted = int(np.searchsorted(alphas[:-1], least_ridge(whole, curvature)))
    met = exact is not None and exact.iterations == 0  # then no curvature takes part in leaving a row out
    if trusted and not met and not why:
        why = "alpha = 0 was not tried: leaving rows out of so many classes is not accurate there"
    elif exact is not None and exact.left_out is not None:
        F = exact.left_out
        rows[0.0] = cross_entropy(labels, F[:, 0] if F.shape[1] == 1 else F)
    at_zero = float(weight @ rows[0.0]) if rows else np.inf
    n, unknowns = whole.A.shape[0], whole.unknowns * whole.columns
    every = n * unknowns**2 <= CHEAP or _rugged(n, features)
    lowest = max(trusted, USUAL if with_zero else 0)
    first = None if every else max(_guess(whole, along, alphas), USUAL, lowest)
    note = _walk(alphas, loss, kept, at_zero, first, lowest)
    if note and trusted:
        note = "; smaller ridges were not tried, as leaving rows out of so many classes is not accurate there"
    if with_zero and not trusted:
        loss(0.0, kept[min(kept)].theta)
        note = ""
    tried = np.array(sorted(rows))
    losses = np.array([weight @ rows[a] for a in tried])
    stderrs = np.array([_stderr(rows[a], weight, mass) for a in tried])
    best = float(tried[np.argmin(losses)])

    def student(alpha: float) -> Minimum:
        last = replace(whole, alpha=alpha, dtype=np.dtype(np.float64))
        return minimise(last, kept[alpha].theta, curvature=curvature, tol=FINAL[whole.dtype.itemsize])

    if 0.0 not in rows:
        return AlphaPath(tried, losses, stderrs, best, why + note), student(best)
    # Near n = rank a few rows of leverage close to 1 lose any amount at alpha = 0, and swell the standard error
    # with the mean: the extreme twentieth at either end is pulled in before the two are compared.
    lead = rows[0.0] - rows[best]
    low, high = (_quantile(lead, weight / mass, share) for share in (0.05, 0.95))
    lead = np.clip(lead, low, high)
    margin = _stderr(lead, weight, mass)
    # A lead within rounding of the loss itself is none: a linear teacher's exact student stays.
    beaten = weight @ lead > max(STANDARD_ERRORS * margin, 1e-12)
    ahead = float(weight @ lead)
    reason = (
        f"beats alpha = 0 by {ahead:.2g} nats, {ahead / max(margin, 1e-300):.1f} paired standard errors (the extreme "
        f"twentieth of the rows at either end pulled in){note}"
        if beaten
        else f"no alpha beats 0 by {STANDARD_ERRORS:g} paired standard errors"
    )
    chosen = best if beaten else 0.0
    found = student(chosen) if chosen in kept else None
    return AlphaPath(tried, losses, stderrs, chosen, reason), found


def _rugged(n: int, d: int) -> bool:
    """Whether few rows are near enough to the rank that the loss has dips of its own along the ridge."""
    return n <= EVERY and 2 * d < 3 * n < 6 * d


def _walk(
    alphas: Array,
    loss: Callable[[float, Array | None], float],
    kept: Mapping[float, Minimum],
    at_zero: float,
    first: int | None,
    lowest: int,
) -> str:
    """Try alphas from the ``lowest`` up until their least loss lies inside, or at alpha = 0; a note if it does not."""
    losses = {}
    top = len(alphas) - 1

    def go(i: int, start: int | None) -> None:
        losses[i] = loss(float(alphas[i]), None if start is None else kept[float(alphas[start])].theta)

    def least() -> int:
        return min(losses, key=losses.__getitem__)

    if first is not None:
        i = first
        go(i, None)
        while i < top and i - least() < RISES:
            go(i + 1, i)
            i += 1
        i = min(losses)
        while i > lowest and least() - i < RISES and at_zero > losses[least()] and np.isfinite(losses[i]):
            go(i - 1, i)
            i -= 1
    if first is None or at_zero <= losses[least()]:  # a dip no better than alpha = 0 may not be the one
        before = None
        for i in range(top, max(USUAL, lowest) - 1, -1 if first is None else -COARSE):
            if i not in losses:
                go(i, before)
            before = i
        i = min(losses)
        while i > lowest and least() == i and at_zero > losses[i]:
            go(i - 1, i)
            i -= 1
    best = least()
    falls = (best == lowest or np.isinf(losses.get(best - 1, 0.0))) and at_zero > losses[best]
    return "; the loss still falls at the smallest alpha that double precision allows" if falls else ""


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
