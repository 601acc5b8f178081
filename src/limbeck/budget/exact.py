"""What Theorem 1 promises of a pilot's student: that it is the teacher, if the answers say all they would have to.

Each assumption is checked, and the one that fails is named. Beside the promise stands a bound that assumes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse

from limbeck.budget.coverage import as_seen
from limbeck.budget.curve import Pilot, taught
from limbeck.students import SoftLabelClassifier
from limbeck.students._design import Points as Rows
from limbeck.students.linearity import NEGLIGIBLE, Linearity, coordinates
from limbeck.students.soft_label import decided
from limbeck.theory import Span, clopper_pearson_upper, data_curve

MOST_HELD_OUT = 2000


@dataclass(frozen=True)
class Exact:
    """A teacher found linear, by answers that span the pool: their exact student is the teacher."""

    surplus: int
    """Different points answered beyond the rank, each of which would have shown a teacher that is not linear."""
    held_out: int
    """Random answers beyond the first ones that span the pool: those alone teach the same student."""
    otherwise: float
    """Upper bound of the share of points where that student may decide otherwise, at the plan's confidence, whatever
    the teacher is; see `upper_after_spanning`."""
    enough: int | None
    """Answers, in random order, after which this teacher's student stays within the target as often as the
    confidence says; None for more than two classes and sparse points."""


def read_exact(
    X: Any,
    pilot: Pilot,
    student: SoftLabelClassifier,
    verdict: Linearity,
    rank: int,
    target: float,
    confidence: float,
    rng: np.random.Generator,
) -> tuple[Exact | None, str]:
    """What follows from Theorem 1, or why nothing does."""
    missing = _missing(pilot, student, verdict)
    if missing:
        return None, missing
    last = last_needed(pilot, student.fit_intercept, rank, rng)
    if last is None:
        return None, f"the answers span {verdict.rank} of the pool's {rank} directions"
    order, used = last
    held_out = len(order) - used
    if held_out == 0:
        return None, f"no random answer is left once they span the pool's {rank} directions"
    upper = upper_after_spanning(pilot, student.fit_intercept, order, used, confidence)
    enough = None
    if pilot.labels.n_classes == 2 and not issparse(X):
        enough = _enough(X, pilot, student, target, confidence, rng)
    return Exact(verdict.surplus, held_out, upper, enough), ""


def _missing(pilot: Pilot, student: SoftLabelClassifier, verdict: Linearity) -> str:
    """What keeps the student of these answers from being the teacher wherever they span; empty if nothing does."""
    if verdict.verdict != "linear":
        return f"the verdict on the teacher is: {verdict.verdict}"
    if pilot.labels.saturated.any():
        return f"{int(pilot.labels.saturated.sum())} answers are saturated: they say a side, and no logit"
    if verdict.explained >= NEGLIGIBLE:
        return "the answers are rounded"
    fitted = taught(student, pilot.X, pilot.labels)
    if not isinstance(fitted, SoftLabelClassifier):
        return f"{type(fitted).__name__} is not linear in these features"
    if fitted.stop_time is not None:
        return f"the student is stopped at time {fitted.stop_time:g}"
    if fitted.alpha_ != 0:
        return f"the student's ridge is {fitted.alpha_:.3g}, not 0"
    if fitted.linearity_.verdict != "linear":  # the chosen answers with the random ones
        return f"the verdict on all answers together is: {fitted.linearity_.verdict}"
    return ""


def last_needed(
    pilot: Pilot, intercept: bool, rank: int, rng: np.random.Generator
) -> tuple[np.ndarray, int] | None:
    """Audit rows in random order, and how many of them it takes, after the other rows, to span the pool."""
    order = rng.permutation(pilot.audit)
    rows = np.concatenate([pilot.learn, order])
    ranks = Span(coordinates(Rows(pilot.X[rows], intercept))).ranks
    spanning = np.flatnonzero(ranks >= rank)
    if not len(spanning):
        return None
    return order, max(int(spanning[0]) + 1 - len(pilot.learn), 0)


def upper_after_spanning(
    pilot: Pilot, intercept: bool, order: np.ndarray, used: int, confidence: float
) -> float:
    """Upper bound of the risk of the exact student of the first answers that span the pool, whatever the teacher is.

    The audit rows are a uniform sample of the pool, put in random order. How many of them (``used``) it takes to
    reach the pool's rank is seen from those rows alone, without their answers and without later rows: a stopping
    time. Given them, the later rows are again a uniform sample of what is left, repeated points included, and the
    student does not know their answers; so its errors there have Clopper and Pearson's bound, conditionally and
    therefore altogether. It would not hold after the last row that added a direction to the *sample*: that no later
    row did is knowledge of the later rows.

    Parameters
    ----------
    pilot : Pilot
    intercept : bool
        Whether the student has one.
    order : ndarray of int
        Audit rows in random order.
    used : int
        How many of them the student learns from, besides the rows that are no audit's.
    confidence : float
    """
    rows, later = np.concatenate([pilot.learn, order[:used]]), order[used:]
    every = np.concatenate([rows, later])
    A, Z = coordinates(Rows(pilot.X[every], intercept)), pilot.labels.logits[rows]
    F = A[len(rows) :] @ Span(A[: len(rows)]).weights(Z)
    wrong = int(np.sum(decided(F) != pilot.labels.decisions[later]))
    return clopper_pearson_upper(wrong, len(later), confidence)


def _enough(
    X: Any,
    pilot: Pilot,
    student: SoftLabelClassifier,
    target: float,
    confidence: float,
    rng: np.random.Generator,
    orders: int = 40,
) -> int | None:
    """Answers after which students of this teacher stay within the target, from the pool itself."""
    span = Span(as_seen(pilot.X, student.fit_intercept))
    w = span.weights(pilot.labels.logits)
    n = X.shape[0]
    taken = min(n, 2 * span.rank + 20)
    held = rng.permutation(n)[:MOST_HELD_OUT]
    drawn = [rng.permutation(n)[:taken] for _ in range(orders)]
    # All rows that any order needs, read once.
    needed, where = np.unique(np.concatenate([held, *drawn]), return_inverse=True)
    P = as_seen(X[needed], student.fit_intercept)
    T, *sets = np.split(where, len(held) + taken * np.arange(orders))
    last = np.zeros(orders, dtype=int)
    for i, rows in enumerate(sets):
        over = data_curve(P[rows], P[rows] @ w, P[T], P[T] @ w).disagreement > target
        last[i] = np.flatnonzero(over)[-1] + 2 if over.any() else 1
    enough = int(np.quantile(last, confidence, method="higher"))
    return enough if enough <= taken else None
