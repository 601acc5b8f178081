"""What a distilled student is worth: agreement on rows it did not see, its learning curve, and what the metric did.

Everything is judged on rows that were drawn at random and not learned from. The baseline is the same student
from the teacher's hard decisions, so that only the softness of the labels differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import threadpoolctl
from scipy.sparse import issparse

from limbeck.data.answers import Answers
from limbeck.labels import Array, from_hard
from limbeck.students.soft_label import SoftLabelClassifier, decided
from limbeck.theory.angles import EmpiricalTail, unsigned_angle
from limbeck.theory.risk import Interval, mean_interval, wilson
from limbeck.theory.scaling import Scaling

SMALLEST = 5
SIZES = 8
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


def distil(
    X: Matrix, answers: Answers, recipe: Recipe, *, pool: Matrix | None = None, near: float | None = None
) -> Distilled:
    """Learn a student from points (n, d) and the teacher's answers.

    Parameters
    ----------
    X : array or sparse matrix, shape (n, d)
    answers : Answers
        Of those points.
    recipe : Recipe
    pool : array, shape (m, d), optional
        Points the scaling is learned from; labels are not needed. Default: ``X``.
    near : float, optional
        A ridge to look for the best one around, of a student like this one: faster than trying all.
    """
    scaling = None if issparse(X) else Scaling.of(X if pool is None else pool, recipe.scale)
    inner = recipe.student(classes=np.array(answers.classes, dtype=object))
    inner._near = near
    inner.fit(X if scaling is None else scaling.apply(X), **answers.for_fit)
    return Distilled(inner, scaling)


def hardened(answers: Answers) -> Answers:
    """The teacher's decisions alone, as labels."""
    codes = answers.decisions
    return Answers("label", codes, from_hard(codes, len(answers.classes)), answers.classes)


@dataclass(frozen=True)
class Agreement:
    """Share of held-out rows on which student and teacher decide alike."""

    student: Interval
    """Of this student, with Wilson's interval for the share over all rows like these."""
    baseline: Interval | None
    """Of the same student learned from hard labels; None where these hold one class."""
    gain: Interval | None
    """Student less baseline on the same rows, with a normal interval for the difference."""
    wrong: np.ndarray
    """Held-out rows (k,), as positions among them, that the student gets wrong, the surest answers first."""


@dataclass(frozen=True)
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
    repeats : int
        Random orders of the training rows.
    rng : numpy.random.Generator
    advance : callable
        Called after every student of every curve: `curve_count` times.

    Notes
    -----
    The ridge of a curve's student is looked for around that of the student before, of fewer rows in the same order:
    where the leave-one-out loss has several dips, the nearest is taken.
    """
    sizes = curve_sizes(len(answers))
    orders = [rng.permutation(len(answers)) for _ in range(repeats)]
    curves = {}
    # Many small fits: threads would wait for each other longer than they compute.
    with threadpoolctl.threadpool_limits(1):
        for name, (said, how) in _variants(answers, recipe, issparse(X)).items():
            risks = []
            for order in orders:
                risks.append([])
                near = None
                for n in sizes:
                    risk, near = _risk(X, said, order[:n], T, truth, how, near)
                    risks[-1].append(risk)
                    advance()
            curves[name] = _curve(name, sizes, np.transpose(risks))
    return Study(_agreement(X, answers, T, truth, made, recipe), curves, _tail(T, made, answers), repeats)


def curve_count(answers: Answers, recipe: Recipe, sparse: bool, repeats: int) -> int:
    """How often `study` calls ``advance``."""
    return repeats * len(curve_sizes(len(answers))) * len(_variants(answers, recipe, sparse))


def _variants(answers: Answers, recipe: Recipe, sparse: bool) -> dict[str, tuple[Answers, Recipe]]:
    hard_recipe = Recipe("loo", recipe.fit_intercept, recipe.saturated, recipe.scale)
    variants = {"soft": (answers, recipe), "hard": (hardened(answers), hard_recipe)}
    if not sparse:
        for kind in ("none", "standard", "sharpen"):
            if kind != recipe.scale:
                other = Recipe(recipe.alpha, recipe.fit_intercept, recipe.saturated, kind)
                variants[kind] = (answers, other)
    return variants


def _risk(
    X: Matrix,
    answers: Answers,
    rows: np.ndarray,
    T: Matrix,
    truth: Answers,
    recipe: Recipe,
    near: float | None = None,
) -> tuple[float, float | None]:
    """Held-out disagreement of the student of these rows, NaN where there is none, and its best ridge > 0.

    Where hard labels hold one class only, that class is all they can teach.
    """
    seen = answers[rows]
    if answers.kind == "label" and len(np.unique(seen.values)) < 2:
        return float(np.mean(truth.decisions != seen.values[0])), None
    try:
        made = distil(X[rows], seen, recipe, near=near)
    except (ArithmeticError, ValueError):  # saturated answers alone, no minimiser
        return float("nan"), None
    path = made.inner.alpha_path_
    ridge = (
        None if path is None else float(path.alphas[path.alphas > 0][path.losses[path.alphas > 0].argmin()])
    )
    return float(np.mean(made.predict_codes(T) != truth.decisions)), ridge


def _curve(name: str, sizes: np.ndarray, risks: Array) -> Curve:
    low, risk, high = np.array([_spread(row[np.isfinite(row)]) for row in risks]).T
    return Curve(name, sizes, risk, low, high, risks)


def _spread(risks: Array) -> tuple[float, float, float]:
    if len(risks) < 2:
        return (np.nan, np.nan, np.nan)
    interval = mean_interval(risks)
    return max(interval.low, 0.0), interval.estimate, min(interval.high, 1.0)


def _agreement(
    X: Matrix, answers: Answers, T: Matrix, truth: Answers, made: Distilled, recipe: Recipe
) -> Agreement:
    right = made.predict_codes(T) == truth.decisions
    hard = hardened(answers)
    baseline = gain = None
    if len(np.unique(hard.values)) > 1:
        other = Recipe("loo", recipe.fit_intercept, recipe.saturated, recipe.scale)
        theirs = distil(X, hard, other).predict_codes(T) == truth.decisions
        baseline = share(int(theirs.sum()), len(theirs))
        gain = mean_interval(right.astype(float) - theirs)
    p = truth.labels.probabilities
    sure = np.maximum(p, 1 - p) if p.ndim == 1 else p.max(axis=1)
    wrong = np.flatnonzero(~right)
    return Agreement(
        share(int(right.sum()), len(right)), baseline, gain, wrong[np.argsort(-sure[wrong], kind="stable")]
    )


def share(right: int, n: int) -> Interval:
    """Share of n rows that are right, with Wilson's 95 % interval."""
    low, high = wilson(right, n)
    return Interval(right / n, float(low), float(high), 0.95, n)


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
