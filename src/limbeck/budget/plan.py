"""How many answers to buy: `plan_budget`, before any answer and after a pilot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse

from limbeck import _check
from limbeck.budget.coverage import MOST_CHOSEN, Coverage, as_seen, coverage
from limbeck.budget.curve import Pilot, PilotCurve, may_be_exact, measure
from limbeck.budget.exact import Exact, read_exact
from limbeck.budget.forecast import Posterior, starting_levels
from limbeck.budget.select import SpanSelection
from limbeck.budget.stopping import StoppingRule
from limbeck.data.blocks import Points
from limbeck.engine import Engine
from limbeck.labels import Array, SoftLabels, from_logits
from limbeck.students import SoftLabelClassifier
from limbeck.students.linearity import Linearity, linearity
from limbeck.theory import (
    EmpiricalTail,
    Interval,
    Span,
    clopper_pearson,
    clopper_pearson_upper,
    transfer_risk_bound_tight,
)
from limbeck.theory.factor import row_norms

NORMS = (1.0, 1.5, 2.0)
SMALLEST_PILOT = 12
PILOT = 100
SURPLUS = 25
"""Answers beyond the rank that settle whether the teacher is linear."""


@dataclass(frozen=True)
class TailAt:
    """P(theta) if the teacher is linear with a norm of at most B."""

    norm_bound: float
    """B."""
    multiple: float
    """B over the norm of what the pilot's student learned, |w_hat|: the least that B can be."""
    tail: EmpiricalTail
    """Angles of the audit points to such a teacher: cos(angle) = |z| / (B |x|)."""
    band: float
    """Half-width of its one-sided Dvoretzky-Kiefer-Wolfowitz band at the plan's confidence."""
    answers: int | None
    """Smallest n below the rank at which Theorem 3 promises the target; None if only the rank does."""


@dataclass(frozen=True, eq=False)
class Forecast:
    """Disagreement carried on beyond the pilot; see `limbeck.budget.forecast`."""

    n: int | None
    """Smallest number of answers learned from at which the target is met with the confidence; None within the pool."""
    likely: int | None
    """The same with probability 1/2."""
    at_most: int
    """Answers the pool can give."""
    reached: float
    """Probability that the student of all of them meets the target."""
    sizes: np.ndarray
    """Numbers of answers, (s,)."""
    median: Array
    """Median of the mean risk there, (s,)."""
    low: Array
    """Lower end of its central 90 % interval, (s,)."""
    high: Array
    """Upper end, (s,)."""


@dataclass(frozen=True)
class Reading:
    """What a pilot says."""

    answers: int
    """Answers bought so far."""
    audit: int
    """Those of them that are a uniform sample, and measured."""
    linearity: Linearity
    """Whether the teacher is linear on these features, judged from the uniform sample."""
    constant: Interval
    """Risk of deciding always for the commonest class."""
    curve: PilotCurve
    """Disagreement against the number of answers learned from."""
    forecast: Forecast
    """What more answers would give. Nothing is promised from it while a teacher is found linear by too few answers
    beyond the rank for this target, and a floor is then as likely as before they came."""
    tails: tuple[TailAt, ...]
    """P(theta) at several B; two classes only."""
    exact: Exact | None
    """For a linear teacher, an exact student, and answers that span the pool. It ends buying once its bound
    ``otherwise`` is within the target."""
    inexact: str
    """What is missing for that, in words; empty where nothing is."""


@dataclass(frozen=True)
class BudgetPlan:
    """What to do next, and why."""

    decision: str
    """``stop``, ``buy``, ``look again``, ``not reachable``, or ``used up``: every point is answered, and the target
    neither promised nor ruled out."""
    buy: int
    """Answers to buy now; 0 for ``stop``, ``used up`` and ``not reachable``."""
    reason: str
    """Why, in a sentence or two."""
    target_risk: float
    """Largest disagreement wanted."""
    confidence: float
    """How sure to be."""
    price: float | None
    """Of one answer."""
    cost: float | None
    """Upper bound of what ``buy`` answers cost, each asked once; None without a price."""
    coverage: Coverage
    """What was known before any answer."""
    pilot: Reading | None
    """What the answers say; None before any."""
    audit_needed: int
    """Audit points without an error that show the target met at this confidence, whatever the teacher is."""
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """How the plan was made."""

    @property
    def verdict(self) -> str:
        """The decision in words."""
        return {
            "stop": "stop",
            "buy": f"buy {self.buy} more",
            "look again": f"buy {self.buy} more, then look again",
            "used up": "nothing left to buy",
            "not reachable": "not reachable with this student",
        }[self.decision]


def plan_budget(
    X: Any,
    answers: SoftLabels | ArrayLike | None = None,
    *,
    rows: ArrayLike | None = None,
    audit: ArrayLike | None = None,
    target_risk: float,
    confidence: float = 0.95,
    price: float | None = None,
    student: SoftLabelClassifier | None = None,
    chosen: ArrayLike | None = None,
    orders: int = 20,
    rng: np.random.Generator,
    at: Engine | None = None,
) -> BudgetPlan:
    """Say how many answers of the teacher a target disagreement takes.

    Parameters
    ----------
    X : array, sparse matrix or Points, shape (n, d)
        The pool: every point that could be sent to the teacher.
    answers : SoftLabels, or array of logits (m,) or (m, K), optional
        What the teacher said of a pilot. Of probabilities give `limbeck.labels.from_probabilities`: an array of logits
        that all lie in [0, 1] is refused.
    rows : array of int, shape (m,), optional
        Rows of the pool they belong to. Default: the first m.
    audit : array of int, optional
        Those of ``rows`` that were drawn uniformly at random. Only they measure. Default: all of them; then
        every order holds out a random third.
    target_risk : float
        Largest share of points decided otherwise than by the teacher, in (0, 1).
    confidence : float
        Probability with which the student of the recommended number of answers shall meet the target.
    price : float, optional
        Of one answer, > 0.
    student : SoftLabelClassifier, optional
        How a student is learned. Default: ``SoftLabelClassifier()``.
    chosen : array of int, optional
        The pool's rows, best first, for the geometry. Default: `SpanSelection`'s ranking.
    orders : int
        Random orders behind the curve.
    rng : numpy.random.Generator
    at : Engine, optional
        Where `limbeck.data.blocks.Points` are read and worked on. Default: this thread.

    Returns
    -------
    BudgetPlan

    Raises
    ------
    ValueError
        If the target or confidence is outside (0, 1), the price is not positive, rows and answers do not match,
        a row is repeated, the pilot is smaller than 12, or its logits could all be probabilities.

    Notes
    -----
    The forecast takes the mean risk to fall as a power law towards a floor, and averages over what the pilot
    leaves open; ``docs/calibration.md`` has how often its promise held. What `StoppingRule` shows on an audit
    sample does not rest on that form, nor does a ``stop`` because the student is the teacher: that a few answers
    agree with a linear teacher does not end buying, only so many that whatever they leave unsaid is within the target
    at the confidence asked for.
    """
    target = _check.number(target_risk, "target_risk", above=0.0, below=1.0)
    confidence = _check.number(confidence, "confidence", above=0.0, below=1.0)
    if price is not None:
        price = _check.number(price, "price", above=0.0)
    student = SoftLabelClassifier() if student is None else student
    X = X if issparse(X) or isinstance(X, Points) else _check.points(X)
    order = _chosen(X, student, at) if chosen is None else _indices(chosen, "chosen", X.shape[0])
    geometry = coverage(X, intercept=student.fit_intercept, chosen=order, rng=rng, at=at)
    pilot = None if answers is None else _pilot(X, answers, rows, audit)
    reading = None
    if pilot is not None:
        reading = _read(X, pilot, student, geometry, target, confidence, orders, rng)
        decision, buy, reason = _decide(reading, geometry, target, confidence, may_be_exact(student))
    else:
        decision, buy = "look again", min(PILOT, X.shape[0])
        reason = (
            f"Nothing is known of the teacher yet: ask it about {buy} rows drawn at random, and plan again. If it is "
            f"linear on these features, {geometry.rank} answers at independent points are exact"
            + (
                "."
                if may_be_exact(student)
                else " for the linear student of alpha = 0, which this one is not."
            )
        )
    return BudgetPlan(
        decision=decision,
        buy=buy,
        reason=reason,
        target_risk=target,
        confidence=confidence,
        price=price,
        cost=None if price is None else buy * price,
        coverage=geometry,
        pilot=reading,
        audit_needed=StoppingRule(target, confidence, looks=1).smallest_sample(),
        settings={"alpha": student.alpha, "fit_intercept": student.fit_intercept, "orders": orders},
    )


def _chosen(X: Any, student: SoftLabelClassifier, at: Engine | None) -> np.ndarray:
    """Rows best first."""
    n = min(X.shape[0], MOST_CHOSEN, min(X.shape) + 1)
    return SpanSelection().query(as_seen(X, student.fit_intercept), n, at=at)


def _pilot(X: Any, answers: SoftLabels | ArrayLike, rows: ArrayLike | None, audit: ArrayLike | None) -> Pilot:
    labels = answers if isinstance(answers, SoftLabels) else _logits_surely(answers)
    _check.in_range(labels.logits[np.isfinite(labels.logits)], "answers")
    at = np.arange(len(labels)) if rows is None else _indices(rows, "rows", X.shape[0])
    if len(labels) > X.shape[0]:
        raise ValueError(f"There are {len(labels)} answers and {X.shape[0]} rows in the pool.")
    if len(at) != len(labels):
        raise ValueError(f"rows names {len(at)} rows and there are {len(labels)} answers.")
    where = {row: position for position, row in enumerate(at.tolist())}
    measured = at if audit is None else _indices(audit, "audit", X.shape[0])
    strangers = [row for row in measured.tolist() if row not in where]
    if strangers:
        raise ValueError(f"audit names row {strangers[0]}, which has no answer.")
    pilot = Pilot(X[at], labels, np.array([where[row] for row in measured.tolist()], dtype=int))
    if min(len(labels), len(measured)) < SMALLEST_PILOT or pilot.most < 2:
        raise ValueError(
            f"The pilot has {len(labels)} answers, {len(measured)} of them to measure with: nothing can be told from "
            f"fewer than {SMALLEST_PILOT}, and {PILOT} or more are better."
        )
    return pilot


def _logits_surely(answers: ArrayLike) -> SoftLabels:
    """Logits as soft labels; refused where every one could be a probability, since that would go unnoticed."""
    labels = from_logits(answers)
    given = np.asarray(answers)
    if len(labels) >= SMALLEST_PILOT and given.min() >= 0 and given.max() <= 1:
        raise ValueError(
            "answers are read as logits, and all of these lie in [0, 1], as probabilities do. If they are "
            "probabilities, give limbeck.labels.from_probabilities(answers); if they are logits, "
            "limbeck.labels.from_logits(answers)."
        )
    return labels


def _indices(rows: ArrayLike, name: str, n: int) -> np.ndarray:
    at = np.asarray(rows)
    if at.ndim != 1 or at.dtype.kind not in "iu" or at.size == 0 or at.min() < 0 or at.max() >= n:
        raise ValueError(f"{name} must be row numbers from 0 to {n - 1}, got {rows!r}.")
    values, counts = np.unique(at, return_counts=True)
    if counts.max() > 1:
        raise ValueError(f"{name} names row {values[np.argmax(counts)]} more than once.")
    return at


def _read(
    X: Any,
    pilot: Pilot,
    student: SoftLabelClassifier,
    geometry: Coverage,
    target: float,
    confidence: float,
    orders: int,
    rng: np.random.Generator,
) -> Reading:
    uniform = pilot.labels[pilot.audit]
    verdict = linearity(pilot.X[pilot.audit], uniform, intercept=student.fit_intercept)
    curve = measure(pilot, student, orders=orders, rng=rng)
    unbiased = may_be_exact(student)
    known = "cannot tell yet" if unbiased and _untested(verdict, target, confidence) else verdict.verdict
    posterior = Posterior.of(curve, known, starting_levels(uniform), unbiased=unbiased)
    most = X.shape[0] if not len(pilot.learn) else X.shape[0] - len(pilot.audit)
    sizes = np.unique(np.geomspace(curve.sizes[0], max(most, curve.sizes[0] + 1), 60).round().astype(int))
    median, low, high = posterior.band(sizes, 0.9)
    exact, inexact = read_exact(X, pilot, student, verdict, geometry.rank, target, confidence, rng)
    return Reading(
        answers=len(pilot.labels),
        audit=len(pilot.audit),
        linearity=verdict,
        constant=_constant(uniform, confidence),
        curve=curve,
        forecast=Forecast(
            n=posterior.smallest(target, confidence, most),
            likely=posterior.smallest(target, 0.5, most),
            at_most=most,
            reached=posterior.met(most, target),
            sizes=sizes,
            median=median,
            low=low,
            high=high,
        ),
        tails=_tails(pilot, student, geometry, target, confidence),
        exact=exact,
        inexact=inexact,
    )


def _untested(verdict: Linearity, target: float, confidence: float) -> bool:
    """Whether a teacher is found linear by too few answers for the target to rest on it.

    Each different answer beyond the rank would have shown a point where the teacher is not linear, and none did: at
    most Clopper and Pearson's bound of all points are such. The curve measured cannot tell either: it falls to 0 at
    the rank, and would rise to its floor only with the first such point.
    """
    linear = verdict.verdict == "linear"
    return linear and clopper_pearson_upper(0, verdict.surplus, confidence) > target


def _constant(labels: SoftLabels, confidence: float) -> Interval:
    """Risk of the best constant answer; its upper bound pays for having picked the class by these answers."""
    counts = np.bincount(labels.decisions, minlength=labels.n_classes)
    n, wrong = len(labels), len(labels) - int(counts.max())
    share = 1 - (1 - confidence) / labels.n_classes
    low, high = clopper_pearson(wrong, n, 2 * share - 1)
    return Interval(wrong / n, float(low), float(high), confidence, n)


def _tails(
    pilot: Pilot, student: SoftLabelClassifier, geometry: Coverage, target: float, confidence: float
) -> tuple[TailAt, ...]:
    """P(theta) of the audit points for teachers of several norms: |z| = B |x| cos(theta)."""
    if pilot.labels.n_classes > 2 or pilot.labels.saturated.any() or issparse(pilot.X) or confidence < 0.5:
        return ()
    X = as_seen(pilot.X, student.fit_intercept)
    z, norms = np.abs(pilot.labels.logits), row_norms(X)
    kept = norms > 0
    least = max(float(row_norms(Span(X).weights(pilot.labels.logits))), float(np.max(z[kept] / norms[kept])))
    if least == 0:
        return ()
    audit = pilot.audit[kept[pilot.audit]]
    found = []
    for multiple in NORMS:
        along, whole = z[audit], multiple * least * norms[audit]
        tail = EmpiricalTail(np.arctan2(np.sqrt(np.maximum((whole - along) * (whole + along), 0.0)), along))
        enough = _promised(tail, target, confidence, geometry.rank)
        found.append(TailAt(multiple * least, multiple, tail, tail.band(confidence), enough))
    return tuple(found)


def _promised(tail: EmpiricalTail, target: float, confidence: float, rank: int) -> int | None:
    """Smallest n < rank at which Theorem 3, fed the upper tail, is within the target: it falls with n."""
    upper = tail.upper(confidence)
    if rank < 2 or transfer_risk_bound_tight(upper, rank - 1) > target:
        return None
    low, high = 0, rank - 1
    while high - low > 1:
        middle = (low + high) // 2
        inside = transfer_risk_bound_tight(upper, middle) <= target
        low, high = (low, middle) if inside else (middle, high)
    return high


def _decide(
    reading: Reading, geometry: Coverage, target: float, confidence: float, unbiased: bool
) -> tuple[str, int, str]:
    """Decision, answers to buy, and why."""
    forecast, sure = reading.forecast, f"{confidence:.0%} confidence"
    learned = forecast.at_most - geometry.points + reading.answers
    constant, exact = reading.constant, reading.exact
    if constant.high <= target:
        said = f"{constant.estimate:.2%} of the audit points, at most {constant.high:.2%} with {sure}"
        need = f"Always giving the commonest class is wrong on {said}: the target needs no student."
        return "stop", 0, need
    if exact is not None and exact.otherwise <= target:
        return "stop", 0, _linear_enough(exact, reading.answers, sure)
    left = forecast.at_most - learned
    untested = unbiased and left > 0 and _untested(reading.linearity, target, confidence)
    if exact is not None or untested:
        wanted = StoppingRule(target, confidence, looks=1).smallest_sample()
        return _linear_so_far(reading, wanted, left, sure)
    if forecast.n is not None:
        need = f"The student of {forecast.n} answers learned from meets the target with {sure}; {learned} are there."
        return ("stop", 0, need) if forecast.n <= learned else ("buy", forecast.n - learned, need)
    return _no_promise(reading, geometry.rank, learned, confidence, unbiased)


def _linear_so_far(reading: Reading, wanted: int, left: int, sure: str) -> tuple[str, int, str]:
    """A linear teacher whose student nothing is wrong with, but that too few answers have tested."""
    exact, agree = reading.exact, reading.linearity.surplus
    if exact is not None and left <= 0:
        said = (
            f"All {reading.answers} points of the pool are answered, and the student decides each as the teacher does. "
            f"Of other points like them it may decide up to {exact.otherwise:.2%} otherwise ({sure})."
        )
        return "stop", 0, said
    more = wanted - (agree if exact is None else exact.held_out)
    said = f"The teacher is linear so far: {agree} answers beyond the rank agree. "
    if exact is None:
        said += f"{wanted} leave no more open than the target ({sure}). Besides, {reading.inexact}."
    else:
        said += (
            f"Assuming nothing, up to {exact.otherwise:.2%} of points could still be otherwise ({sure}): "
            f"{exact.held_out} random answers came after those that span the pool, and {wanted} that all agree show "
            "the target met."
        )
    return "look again", min(more if more > 0 else SURPLUS, left), said


def _no_promise(
    reading: Reading, rank: int, learned: int, confidence: float, unbiased: bool
) -> tuple[str, int, str]:
    """How many answers would tell more; or that none would."""
    forecast, linear = reading.forecast, reading.linearity
    left, unlikely = forecast.at_most - learned, forecast.reached <= 1 - confidence
    beyond_rank = rank + SURPLUS - linear.n
    if unlikely and unbiased and linear.verdict == "cannot tell yet" and 0 < beyond_rank <= left:
        return "look again", beyond_rank, _only_if_linear(rank, reading.answers)
    if unlikely:
        said = f"meets the target with a probability of {forecast.reached:.2g} only"
        cure = "better features, another student or a larger target are needed"
        said = f"Even the student of all the pool's {forecast.at_most} answers {said}: {cure}."
        return "not reachable", 0, said
    if left <= 0:
        return "used up", 0, _used_up(forecast, confidence)
    more = min(learned, left)
    if forecast.likely is not None and forecast.likely > learned:
        more = min(more, forecast.likely - learned)
    return "look again", more, _not_yet(forecast, reading.answers, learned)


def _used_up(forecast: Forecast, confidence: float) -> str:
    return (
        f"Every point of the pool is answered. The student of {forecast.at_most} answers meets the target on new "
        f"points with probability {forecast.reached:.2f}; a promise takes {confidence:g}. Answers at more points would "
        "settle it."
    )


def _only_if_linear(rank: int, answers: int) -> str:
    return (
        f"As the disagreement falls, no number of answers would do; but if the teacher is linear, {rank} answers are "
        f"exact, and {answers} cannot tell. {SURPLUS} random answers at different points beyond the rank can."
    )


def _linear_enough(exact: Exact, answers: int, sure: str) -> str:
    return (
        f"The teacher is linear on these features and {answers} answers span the pool: the student of all of them is "
        f"the teacher. {exact.surplus} of them test that and agree; assuming nothing, at most {exact.otherwise:.2%} of "
        f"points could be otherwise ({sure})."
    )


def _not_yet(forecast: Forecast, answers: int, learned: int) -> str:
    if forecast.likely is None:
        likely = "A floor above the target cannot be told from a slow fall yet."
    elif forecast.likely <= learned:
        likely = "They are more likely enough than not; what is missing is the certainty."
    else:
        likely = f"{forecast.likely} learned from are as likely as not to be enough."
    return (
        f"Nothing can be promised from {answers} answers. {likely} All {forecast.at_most} would do with probability "
        f"{forecast.reached:.2f}."
    )
