"""Disagreement against the number of answers, from the answers of a pilot, over many random orders.

The student of alpha = 0 is read off one factorisation an order, at every size; another one is refitted at
each size. Every answer that counts is one the student of that order and size did not learn from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import clone

from limbeck.labels import Array, SoftLabels
from limbeck.students import SoftLabelClassifier
from limbeck.students.design import with_ones
from limbeck.theory import Span
from limbeck.theory.readings import INCONSISTENT
from limbeck.theory.risk import clopper_pearson

HELD_OUT = 1 / 3


@dataclass(frozen=True, eq=False)
class PilotCurve:
    """What students of parts of the pilot are worth."""

    sizes: np.ndarray
    """Answers learned from, increasing, (k,)."""
    disagreement: Array
    """Mean share of held-out audit points decided otherwise than by the teacher, over orders, (k,)."""
    stderr: Array
    """Standard error of that mean as an estimate of the mean risk: audit points and learning sets, (k,); 0 where no
    error was seen, which is no certainty: see `interval`."""
    low: Array
    """The 5 % quantile of the orders, (k,)."""
    high: Array
    """The 95 % quantile, (k,)."""
    trials: Array
    """Independent audit points that would be worth as much, (k,)."""
    overlap: float
    """Share of information that sizes do not share, in (0, 1]: 1 if all were independent."""
    spread: float
    """Standard deviation of one student's risk over its mean, between learning sets."""
    orders: int
    """Random orders."""
    audit: int
    """Audit points."""
    factorised: bool
    """Whether one factorisation an order gave all sizes; otherwise the student was refitted at each."""

    def interval(self, confidence: float = 0.95) -> tuple[Array, Array]:
        """Ends (k,) of Clopper and Pearson's interval for the mean risk, from errors among ``trials`` points."""
        return clopper_pearson(self.disagreement * self.trials, self.trials, confidence)


@dataclass(frozen=True, eq=False)
class Pilot:
    """Points with their answers, and which of them may measure."""

    X: Any = field(repr=False)
    """Points, (n, d)."""
    labels: SoftLabels = field(repr=False)
    """The teacher's answers."""
    audit: np.ndarray = field(repr=False)
    """Rows (a,) that are a uniform random sample."""

    @property
    def learn(self) -> np.ndarray:
        """The other rows."""
        return np.setdiff1d(np.arange(len(self.labels)), self.audit)

    @property
    def most(self) -> int:
        """Answers that the largest student of the curve learns from."""
        if len(self.learn):
            return len(self.learn)
        return len(self.audit) - max(1, round(HELD_OUT * len(self.audit)))

    def split(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A random order of rows to learn from, and the audit rows held out from it."""
        if len(self.learn):
            return rng.permutation(self.learn), self.audit
        order = rng.permutation(self.audit)
        return order[: self.most], order[self.most :]


def measure(
    pilot: Pilot, student: SoftLabelClassifier, *, orders: int, rng: np.random.Generator, sizes: int = 8
) -> PilotCurve:
    """Measure the curve of a pilot.

    Parameters
    ----------
    pilot : Pilot
        With audit rows only, each order holds out a random third of them and learns from the rest.
    student : SoftLabelClassifier
        Cloned for every fit.
    orders : int
        Random orders.
    rng : numpy.random.Generator
    sizes : int
        Sizes, evenly spaced in the logarithm.
    """
    n = _sizes(pilot.most, sizes)
    exact = _is_exact(pilot, student)
    wrong = np.full((orders, len(n), len(pilot.labels)), np.nan)
    for order in range(orders):
        rows, held = pilot.split(rng)
        read = _prefixes if exact else _refits
        wrong[order][:, held] = read(pilot, student, rows, held, n)
    return _summary(n, wrong[:, :, pilot.audit], pilot, exact)


def _sizes(most: int, count: int) -> np.ndarray:
    least = min(most, max(2, most // 32))
    return np.unique(np.round(np.geomspace(least, most, count)).astype(int))


def may_be_exact(student: SoftLabelClassifier) -> bool:
    """Whether more answers of a linear teacher can make the student the teacher.

    It must be linear itself (no kernel), with no ridge but a chosen one, and not stopped.
    """
    linear = isinstance(student, SoftLabelClassifier)
    return linear and student.stop_time is None and student.alpha in (0, "loo")


def _is_exact(pilot: Pilot, student: SoftLabelClassifier) -> bool:
    """Whether all sizes can be read off one factorisation: alpha = 0 and logits some linear teacher gave."""
    plain = may_be_exact(student) and student.alpha == 0 and pilot.labels.n_classes == 2
    if not plain or pilot.labels.saturated.any() or hasattr(pilot.X, "toarray"):
        return False
    X = with_ones(pilot.X) if student.fit_intercept else pilot.X
    return Span(X).solve(pilot.labels.logits).inconsistency <= INCONSISTENT


def _prefixes(pilot: Pilot, student: SoftLabelClassifier, rows, held, sizes) -> np.ndarray:
    X = with_ones(pilot.X) if student.fit_intercept else pilot.X
    span = Span(X[rows])
    logits = span.prefix_logits(X[held], span.teacher_coordinates(pilot.labels.logits[rows]))
    return ((logits[:, sizes - 1] >= 0) != pilot.labels.decisions[held, None]).T


def _refits(pilot: Pilot, student: SoftLabelClassifier, rows, held, sizes) -> np.ndarray:
    truth = pilot.labels.decisions[held]
    return np.stack([decide(pilot, student, rows[:n], pilot.X[held]) != truth for n in sizes])


def decide(pilot: Pilot, student: SoftLabelClassifier, rows: np.ndarray, T: Any) -> np.ndarray:
    """Class codes (m,) at T of the student of these rows of the pilot."""
    return taught(student, pilot.X[rows], pilot.labels[rows]).predict(T)


def taught(student: SoftLabelClassifier, X: Any, labels: SoftLabels) -> SoftLabelClassifier:
    """A clone of the student, fitted; its classes are codes 0 ... K - 1.

    Logits where all are finite: probabilities would lose digits of them.
    """
    model = clone(student).set_params(classes=np.arange(labels.n_classes))
    if labels.saturated.any():
        return model.fit(X, teacher_proba=labels.probabilities)
    return model.fit(X, teacher_logits=labels.logits)


def _summary(n: np.ndarray, wrong: np.ndarray, pilot: Pilot, exact: bool) -> PilotCurve:
    with np.errstate(invalid="ignore"):
        seen = ~np.isnan(wrong).all(axis=(0, 1))  # rows that some order held out
    wrong = wrong[:, :, seen]
    by_row, by_order = np.nanmean(wrong, axis=0), np.nanmean(wrong, axis=2)  # (k, a), (orders, k)
    mean, orders, audit = by_row.mean(axis=1), len(wrong), by_row.shape[1]
    held = float(np.mean(np.sum(~np.isnan(wrong[:, 0]), axis=1)))
    between = np.zeros(len(n)) if orders < 2 else by_order.var(axis=0, ddof=1)
    if not len(pilot.learn):  # orders also differ in what they hold out
        between = np.maximum(between - mean * (1 - mean) / held, 0.0)
    rows_part = by_row.var(axis=1) / audit
    shared = n / pilot.most  # what all orders would still have in common; the rest is as many draws as orders
    variance = rows_part + between * (shared + (1 - shared) / orders)
    binomial = mean * (1 - mean)
    worth = np.divide(binomial, variance, out=np.full(len(n), float(audit)), where=variance > 0)
    trials = np.where(binomial > 0, np.minimum(worth, float(orders * held)), float(audit))
    half = (mean > 0) & (n <= max(pilot.most / 2, n[0]))
    spread = float(np.sqrt(np.mean(between[half]) / np.mean(np.square(mean[half])))) if half.any() else 1.0
    low, high = np.quantile(by_order, [0.05, 0.95], axis=0)
    return PilotCurve(
        sizes=n,
        disagreement=mean,
        stderr=np.sqrt(np.maximum(variance, binomial / np.maximum(trials, 1))),
        low=low,
        high=high,
        trials=trials,
        overlap=_overlap(by_row),
        spread=spread,
        orders=orders,
        audit=audit,
        factorised=exact,
    )


def _overlap(by_row: np.ndarray) -> float:
    """k over the sum of the correlations between sizes: 1 if independent, 1/k if they say the same."""
    moving = by_row.std(axis=1) > 0
    if moving.sum() < 2:
        return 1.0 / len(by_row)
    correlation = np.corrcoef(by_row[moving])
    k = len(correlation)
    return float(np.clip(k / max(correlation.sum(), 1.0), 1.0 / k, 1.0))
