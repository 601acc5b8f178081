"""What a distilled student is worth: agreement on rows it did not see, its learning curve, and what the metric did.

Everything is judged on rows that were drawn at random and not learned from. The baseline is the same student
from the teacher's hard decisions, so that only the softness of the labels differs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import threadpoolctl
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning

from limbeck.data.answers import Answers
from limbeck.labels import Array, from_hard
from limbeck.students.soft_label import SoftLabelClassifier, decided
from limbeck.students.tally import Tally
from limbeck.theory import Span
from limbeck.theory.angles import EmpiricalTail, unsigned_angle
from limbeck.theory.risk import Interval, mean_interval, paired_difference
from limbeck.theory.scaling import Scaling

IDLE = (
    "sharpen changed nothing: learned from no other points than the independent ones that have answers, it leaves the "
    "student of alpha = 0 without intercept as it is. Give points without answers (--answers), a ridge, or none."
)
SCALES = "none", "standard", "sharpen"
"""Metrics a student may be learned in: `Scaling`'s, without the one that throws the data's geometry away."""
SMALLEST = 5
SIZES = 8
ONE_RIDGE = 20
"""Labels from which all orders take the ridge that leave-one-out chose in the first."""
TOLERANCE = 1e-6
"""Relative gradient of a curve's students, of which decisions alone are counted."""
Matrix = Any


@dataclass(frozen=True)
class Recipe:
    """How a student is made from rows and answers."""

    alpha: float | str = "loo"
    """As `SoftLabelClassifier`'s."""
    fit_intercept: bool = True
    """Likewise."""
    saturated: str = "raise"
    """Likewise."""
    scale: str = "none"
    """Metric of the features; see `Scaling.of`."""

    def student(self, **changes: Any) -> SoftLabelClassifier:
        """An unfitted student."""
        settings = {
            "alpha": self.alpha,
            "fit_intercept": self.fit_intercept,
            "saturated": self.saturated,
            **changes,
        }
        return SoftLabelClassifier(**settings)


@dataclass(frozen=True)
class Distilled:
    """A student and the metric it was learned in."""

    inner: SoftLabelClassifier
    """The student on scaled features."""
    scaling: Scaling | None
    """Their scaling; None for sparse features, which are taken as given."""
    idle: bool = False
    """Whether the scaling is proved to change nothing; see `distil`."""

    def scaled(self, X: Matrix) -> Matrix:
        """Features as the student learned them."""
        return X if self.scaling is None else self.scaling.apply(X)

    def predict_codes(self, X: Matrix) -> np.ndarray:
        """Code (n,) of the class decided for."""
        return decided(self.inner.decision_function(self.scaled(X)))

    def student(self) -> SoftLabelClassifier:
        """The student on the features as given: the scaling folded into its weights."""
        student = copy(self.inner)
        if self.scaling is not None:
            student.coef_, student.intercept_ = self.scaling.fold(student.coef_, student.intercept_)
            student._asked = None  # of the scaled points: `limbeck.students.evidence` proves with those
        return student


def metric(X: Matrix, kind: str, *, intercept: bool) -> Scaling | None:
    """A scaling learned from points, labelled or not; None for sparse ones, which are taken as given.

    Without an intercept it moves no origin, or the student would have one after all.
    """
    return None if issparse(X) else Scaling.of(X, kind, centred=intercept)


def distil(X: Matrix, answers: Answers, recipe: Recipe, *, pool: Matrix | None = None) -> Distilled:
    """Learn a student from points (n, d) and the teacher's answers.

    Parameters
    ----------
    X : array or sparse matrix, shape (n, d)
    answers : Answers
        Of those points.
    recipe : Recipe
    pool : array, shape (m, d), optional
        Points the scaling is learned from, ``X`` among them; labels are not needed. Default: ``X``.

    Notes
    -----
    X S^(1/4) with S from the n rows learned from alone changes nothing where these are independent, alpha = 0 and there
    is no intercept: with X = U s V^T the student is V s^2 U^T (U s^3 U^T)^-1 z = V s^-1 U^T z, whatever the power.
    """
    seen = X if pool is None else pool
    made = taught(X, answers, recipe, metric(seen, recipe.scale, intercept=recipe.fit_intercept))
    blind = recipe.scale == "sharpen" and made.inner.alpha_ == 0 and not recipe.fit_intercept
    alone = made.scaling is not None and seen.shape[0] == X.shape[0]
    return replace(made, idle=blind and alone and Span(X).rank == X.shape[0])


def taught(X: Matrix, answers: Answers, recipe: Recipe, scaling: Scaling | None) -> Distilled:
    """The student of these points in a metric that was learned before."""
    return _fitted(recipe.student(classes=np.array(answers.classes, dtype=object)), X, answers, scaling)


def _fitted(inner: SoftLabelClassifier, X: Matrix, answers: Answers, scaling: Scaling | None) -> Distilled:
    inner.fit(X if scaling is None else scaling.apply(X), answers.labels, sample_weight=answers.weights)
    return Distilled(inner, scaling)


def hardened(answers: Answers) -> Answers:
    """The teacher's decisions alone, as labels."""
    codes = answers.decisions
    return Answers("label", codes, from_hard(codes, len(answers.classes)), answers.classes, answers.weights)


@dataclass(frozen=True, eq=False)
class Agreement:
    """Share of held-out rows on which student and teacher decide alike."""

    tally: Tally
    """Of this student, by class, with Wilson's interval for the share over all rows like these."""
    baseline: Interval | None
    """Of the same student learned from hard labels; None where these hold one class."""
    gain: Interval | None
    """Student less baseline on the same rows, with Tango's score interval for the difference."""
    wrong: np.ndarray
    """Held-out rows (k,), as positions among them, that the student gets wrong, the surest answers first."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Transfer risk against the number of labels, over random orders of the training rows."""

    name: str
    """What was varied: a metric of the features, or the hardness of the labels."""
    n: np.ndarray
    """Numbers of labels, (k,)."""
    risk: Array
    """Mean held-out disagreement, (k,)."""
    low: Array
    """Lower end of its 95 % interval over orders, the held-out rows being what they are, (k,)."""
    high: Array
    """Upper end, (k,)."""
    risks: Array = field(repr=False)
    """Each order's, (k, repeats), for paired comparison."""
    wrong: Array = field(repr=False)
    """Share of orders that decide each held-out row otherwise than the teacher, (k, m)."""

    def last_fall(self) -> tuple[float, float]:
        """By how much the disagreement fell over the last step, and the standard error of that.

        The student of all rows is a single one. How much another would differ is not seen on the curve, but at most
        what students of the size before do: that counts whole, beside the sampling of the held-out rows.
        """
        fall, sampling = _mean_over_rows(self.wrong[-2] - self.wrong[-1])
        between = _between_orders(self.risks[-2], self.wrong[-2])
        return fall, float(np.sqrt(sampling + between * (1 + 1 / self.risks.shape[1])))

    def below(self, other: Curve) -> tuple[Array, Array]:
        """By how much this curve lies below another of the same orders, (k,), and the standard errors, (k,).

        Of held-out rows, of the orders drawn, and of the rows that all orders share: the larger a part of them an
        order learns from, the less it says of other rows. At all rows, where orders agree, as at the size before.
        """
        gaps, sampling = np.array([_mean_over_rows(row) for row in other.wrong - self.wrong]).T
        between = np.array([_variance(row) for row in other.risks - self.risks])
        between[-1:] = between[-2:-1] if len(between) > 1 else between
        shared = self.n / self.n[-1]
        return gaps, np.sqrt(sampling + between * (shared + (1 - shared) / self.risks.shape[1]))


@dataclass(frozen=True)
class Study:
    """The evidence about a student."""

    agreement: Agreement
    """On held-out rows."""
    curves: Mapping[str, Curve]
    """``soft``, ``hard``, and one for every other metric."""
    tail: EmpiricalTail | None
    """Angles between student and held-out points, two classes; None for more."""
    repeats: int
    """Random orders behind each curve."""


def curve_sizes(n: int) -> np.ndarray:
    """Numbers of labels from 5 to n, evenly spaced in the logarithm."""
    if n <= SMALLEST:
        return np.array([n])
    return np.unique(np.round(np.geomspace(SMALLEST, n, SIZES)).astype(int))


def study(
    X: Matrix,
    answers: Answers,
    T: Matrix,
    truth: Answers,
    made: Distilled,
    recipe: Recipe,
    *,
    pool: Matrix | None = None,
    metrics: Callable[[str], Scaling | None] | None = None,
    repeats: int = 10,
    rng: np.random.Generator,
    advance: Callable[[], None] = lambda: None,
) -> Study:
    """Rate a student on held-out rows and draw its curves.

    Parameters
    ----------
    X, answers
        Rows learned from.
    T, truth
        Rows held out at random, with the teacher's answers.
    made : Distilled
        The student of all of ``X``.
    recipe : Recipe
        How it was made.
    pool : array, shape (m, d), optional
        Points that other scalings are learned from, once, as that of ``made`` was. Default: ``X``.
    metrics : callable, optional
        From the name of a scaling to that scaling, where the points it is learned from are not in memory.
    repeats : int
        Random orders of the training rows.
    rng : numpy.random.Generator
    advance : callable
        Called after every student of every curve: `curve_count` times.
    """
    learned = metrics or partial(metric, X if pool is None else pool, intercept=recipe.fit_intercept)
    sizes = curve_sizes(len(answers))
    orders = [rng.permutation(len(answers)) for _ in range(repeats)]
    hard = _of_decisions(X, answers, made, recipe)
    curves, ready = {}, {"soft": made, "hard": hard}
    # Many small fits: threads would wait for each other longer than they compute.
    with threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # TOLERANCE is coarse
        for name, (said, how) in _variants(answers, recipe, issparse(X)).items():
            scaling = made.scaling if how.scale == recipe.scale else learned(how.scale)
            names = np.array(said.classes, dtype=object)
            inner, wrong = how.student(classes=names, tol=TOLERANCE, warm_start=True), []
            for n in sizes[:-1]:
                wrong.append([])
                inner.set_params(alpha=how.alpha)
                for order in orders:
                    rows = order[:n]
                    student = _student(X[rows], said[rows], inner, scaling)
                    if student is not None and n >= ONE_RIDGE:
                        inner.set_params(alpha=inner.alpha_)
                    wrong[-1].append(_wrong(student, said[rows], T, truth))
                    advance()
            inner.set_params(alpha=how.alpha)
            whole = ready[name] if name in ready else _student(X, said, inner, scaling)
            wrong.append([_wrong(whole, said, T, truth)] * repeats)
            advance()
            curves[name] = _curve(name, sizes, np.array(wrong))
    return Study(_agreement(T, truth, made, hard), curves, _tail(T, made, answers), repeats)


def curve_count(answers: Answers, recipe: Recipe, sparse: bool, repeats: int) -> int:
    """How often `study` calls ``advance``."""
    return (repeats * (len(curve_sizes(len(answers))) - 1) + 1) * len(_variants(answers, recipe, sparse))


def _variants(answers: Answers, recipe: Recipe, sparse: bool) -> dict[str, tuple[Answers, Recipe]]:
    variants = {"soft": (answers, recipe), "hard": (hardened(answers), replace(recipe, alpha="loo"))}
    others = () if sparse else SCALES
    return variants | {
        kind: (answers, replace(recipe, scale=kind)) for kind in others if kind != recipe.scale
    }


def _of_decisions(X: Matrix, answers: Answers, made: Distilled, recipe: Recipe) -> Distilled | None:
    """The baseline, learned from the teacher's decisions; None where these hold one class."""
    said = hardened(answers)
    return (
        taught(X, said, replace(recipe, alpha="loo"), made.scaling)
        if len(np.unique(said.values)) > 1
        else None
    )


def _student(
    X: Matrix, answers: Answers, inner: SoftLabelClassifier, scaling: Scaling | None
) -> Distilled | None:
    """Fit a student to some rows; None if there is none: of one class, of saturated answers alone, of no minimiser."""
    if answers.kind == "label" and len(np.unique(answers.values)) < 2:
        return None
    try:
        return _fitted(inner, X, answers, scaling)
    except (ArithmeticError, ValueError):
        return None


def _wrong(student: Distilled | None, answers: Answers, T: Matrix, truth: Answers) -> Array:
    """1 where a student decides a held-out row otherwise than the teacher; NaN if there is no student.

    Where hard labels hold one class only, that class is all they can teach.
    """
    if student is not None:
        return (student.predict_codes(T) != truth.decisions).astype(float)
    if answers.kind == "label" and len(np.unique(answers.values)) < 2:
        return (truth.decisions != answers.values[0]).astype(float)
    return np.full(len(truth), np.nan)


def _curve(name: str, sizes: np.ndarray, wrong: Array) -> Curve:
    """From what each order gets wrong at each size, (k, repeats, m)."""
    risks = wrong.mean(axis=2)
    low, risk, high = np.array([_spread(row[np.isfinite(row)]) for row in risks]).T
    made = np.isfinite(risks)[:, :, None]
    share = np.where(made, wrong, 0.0).sum(axis=1) / np.where(made.any(axis=1), made.sum(axis=1), np.nan)
    return Curve(name, sizes, risk, low, high, risks, share)


def _mean_over_rows(values: Array) -> tuple[float, float]:
    """Mean over held-out rows, and the variance of that as an estimate of the mean over all rows like these."""
    return float(values.mean()), _variance(values) / len(values)


def _between_orders(risks: Array, wrong: Array) -> float:
    """Variance of a student's risk between orders, without what the few held-out rows add to each one's count."""
    orders, rows = np.isfinite(risks).sum(), len(wrong)
    if orders < 2:
        return np.nan
    one_row = float(np.mean(wrong * (1 - wrong))) * orders / (orders - 1)
    return max(_variance(risks) - one_row / rows, 0.0)


def _variance(values: Array) -> float:
    """Sample variance of those that are finite; NaN of fewer than two, from which nothing is concluded."""
    kept = values[np.isfinite(values)]
    return float(np.var(kept, ddof=1)) if len(kept) > 1 else np.nan


def _spread(risks: Array) -> tuple[float, float, float]:
    if len(risks) < 2:
        return (np.nan, np.nan, np.nan)
    interval = mean_interval(risks)
    return max(interval.low, 0.0), interval.estimate, min(interval.high, 1.0)


def _agreement(T: Matrix, truth: Answers, made: Distilled, hard: Distilled | None) -> Agreement:
    ours = made.predict_codes(T)
    right = ours == truth.decisions
    baseline = gain = None
    if hard is not None:
        theirs = hard.predict_codes(T)
        baseline = Tally.of(truth.decisions, theirs, len(truth.classes)).agreement
        also = theirs == truth.decisions
        gain = paired_difference(int(np.sum(right & ~also)), int(np.sum(also & ~right)), len(right))
    p = truth.labels.probabilities
    sure = np.maximum(p, 1 - p) if p.ndim == 1 else p.max(axis=1)
    wrong = np.flatnonzero(~right)
    tally = Tally.of(truth.decisions, ours, len(truth.classes), truth.labels.ties)
    return Agreement(tally, baseline, gain, wrong[np.argsort(-sure[wrong], kind="stable")])


def _tail(T: Matrix, made: Distilled, answers: Answers) -> EmpiricalTail | None:
    if len(answers.classes) > 2 or issparse(T) or not made.inner.coef_.any():
        return None
    return EmpiricalTail(angles(T, made))


def angles(T: Matrix, made: Distilled) -> Array:
    """Angles between the student and points other than 0, in the metric it was learned in, intercept included."""
    points, w = made.scaled(T), made.inner.coef_[0]
    if made.inner.fit_intercept:
        points = np.hstack([points, np.ones((len(points), 1))])
        w = np.append(w, made.inner.intercept_)
    return unsigned_angle(points[points.any(axis=1)], w)
