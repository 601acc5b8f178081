"""From rows, answers and weights to one student: which learner, and what it reports."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from limbeck.kinds import RowError
from limbeck.labels import Array, SoftLabels
from limbeck.students._exact import Exact, fit_exact, logits_met, missed_by_least_squares
from limbeck.students._path import AlphaPath, follow, ridge_on_logits, stopped_flow
from limbeck.students.cost import warn_of_long
from limbeck.students.design import Design, Points, could_be_linear, precision, reduced
from limbeck.students.leave_one_out import coordinates
from limbeck.students.objective import Objective
from limbeck.students.solver import Curvature, Minimum, minimise


@dataclass(frozen=True)
class Settings:
    """The constructor's parameters that the learners need; see `SoftLabelClassifier`."""

    alpha: float | str
    saturated: str
    stop_time: float | None
    tol: float
    max_iter: int


@dataclass(frozen=True)
class Before:
    """A student to start from."""

    weights: Array
    """(m, d)."""
    intercepts: Array
    """(m,)."""
    alpha: float
    """Its ridge; where it was chosen by leave-one-out, the best one above 0. NaN or 0 if there is none."""


@dataclass(frozen=True)
class Learned:
    """A student and how it was found."""

    weights: Array
    """(m, d)."""
    intercepts: Array
    """(m,)."""
    alpha: float
    """Ridge; NaN for a stopped flow."""
    path: AlphaPath | None
    """Leave-one-out losses, where alpha was chosen by them."""
    realisable: bool
    """Whether the logits were met, at alpha = 0."""
    iterations: int
    """Steps of the minimisation."""
    gradient: float
    """Largest gradient entry, relative to the points' size."""


def learn(
    points: Points,
    labels: SoftLabels,
    counts: Array,
    settings: Settings,
    rows: np.ndarray,
    before: Before | None = None,
) -> Learned:
    """The student of n points, none of weight 0, with weights ``counts`` (n,) as given.

    ``rows`` (n,) are their numbers in what the user gave, for messages. A minimisation starts from the student
    ``before``, and so does the search for the ridge.
    """
    if settings.stop_time is None:
        warn_of_long(points, labels.columns, settings.alpha)
    else:
        design = reduced(points)
        found = stopped_flow(design, labels, counts / counts.sum(), float(settings.stop_time))
        return _of_minimum(design, found, float("nan"))
    if settings.alpha == "loo":
        return _by_leave_one_out(points, labels, counts, before)
    if settings.alpha == 0:
        return _without_ridge(points, labels, counts, settings, rows)
    design = reduced(points)
    alpha = float(settings.alpha)
    objective = Objective(design.A, labels, counts / counts.sum(), alpha, design.intercept)
    curvature = Curvature.of(design.A, objective.weight, intercept=design.intercept)
    start = (
        next(ridge_on_logits(objective, curvature, np.array([alpha])))
        if before is None
        else design.theta(before.weights, before.intercepts)
    )
    found = minimise(objective, start, curvature=curvature, tol=settings.tol, max_iter=settings.max_iter)
    return _of_minimum(design, found, alpha)


def _without_ridge(
    points: Points, labels: SoftLabels, counts: Array, settings: Settings, rows: np.ndarray
) -> Learned:
    held = labels.saturated
    mixed = bool(held.any() and not held.all())  # all saturated: hard labels, which have a cross-entropy
    if mixed and settings.saturated == "raise":
        bounded = labels.n_classes == 2 and not points.sparse and np.isfinite(labels.least[held]).all()
        raise RowError(
            f"{held.sum()} of {len(labels)} rows hold a probability of 0 or 1 (the first is row {{row}}), "
            "which has no finite logit: the exact student (alpha=0) does not exist. Use saturated='drop'"
            f"{', saturated=' + repr('bound') if bounded else ''} or alpha > 0, which takes them as they are.",
            int(rows[held][0]),
        )
    if mixed and settings.saturated == "drop":
        kept = np.flatnonzero(~held)
        points, labels, counts = points[kept], labels[kept], counts[kept]
    bound = mixed and settings.saturated == "bound"
    if bound and (labels.n_classes > 2 or points.sparse):
        wanted = "is for two classes" if labels.n_classes > 2 else "needs dense points"
        raise ValueError(f"saturated='bound' {wanted}: use saturated='drop' or alpha > 0.")
    if bound and np.isinf(labels.least[held]).any():
        raise RowError(
            "Row {row} has an infinite logit: saturated='bound' needs to know how large "
            "it is at least. Give probabilities as they were stored, or use saturated='drop' or alpha > 0.",
            int(rows[np.isinf(labels.least)][0]),
        )
    found = fit_exact(points, labels, counts / counts.sum(), bound=bound)
    return _of_exact(found, None)


def _by_leave_one_out(points: Points, labels: SoftLabels, counts: Array, before: Before | None) -> Learned:
    if len(labels) < 2:
        raise ValueError("alpha='loo' leaves rows out one by one and there is 1 sample: give alpha a number.")
    weight, mass = counts / counts.sum(), np.minimum(counts, 1.0) / counts.sum()
    design = reduced(points)
    whole = Objective(design.A, labels, weight, 0.0, design.intercept, design.A.dtype)
    along = coordinates(whole)
    if along[0].vectors is None:
        raise ValueError(
            f"alpha='loo' factorises min(n, d) coordinates, and points of shape {points.given.shape} have too many: "
            "give alpha a number (GridSearchCV can choose it)."
        )
    missed = missed_by_least_squares(whole, along)
    path, found = follow(
        whole,
        along,
        mass,
        (lambda: _left_out_at_zero(points, labels, weight, mass)) if missed is None else None,
        met=missed is None and logits_met(points, labels),
        features=points.given.shape[1],
        near=None if before is None or not before.alpha > 0 else before.alpha,
        start=None if before is None else design.theta(before.weights, before.intercepts),
    )
    if isinstance(found, Exact):
        return _of_exact(found, path)
    learned = _of_minimum(design, found, path.chosen, path)
    linear = path.chosen == 0 and missed is not None and could_be_linear(missed, precision(labels))
    return replace(learned, realisable=linear)


def _left_out_at_zero(
    points: Points, labels: SoftLabels, weight: Array, mass: Array
) -> tuple[Exact | None, str]:
    """The student at alpha = 0 with its leave-one-out logits, or why there is none."""
    skipped = "alpha = 0 was not tried: "
    if labels.saturated.any():
        held = int(labels.saturated.sum())
        return None, f"{skipped}{held} rows hold probabilities of 0 or 1, which have no finite logit"
    if points.sparse:
        return None, f"{skipped}the points are sparse"
    try:
        return fit_exact(points, labels, weight, bound=False, mass=mass), ""
    except ArithmeticError as error:
        return None, f"{skipped}{error}".rstrip(".")


def _of_minimum(design: Design, found: Minimum, alpha: float, path: AlphaPath | None = None) -> Learned:
    if not found.converged:
        warnings.warn(
            f"The minimisation stopped at a relative gradient of {found.gradient:.1e} after {found.iterations} "
            "steps: scale the features, raise max_iter, or raise alpha.",
            ConvergenceWarning,
            stacklevel=5,
        )
    weights, intercepts = design.weights(found.theta)
    return Learned(weights, intercepts, alpha, path, False, max(found.iterations, 1), found.gradient)


def _of_exact(found: Exact, path: AlphaPath | None) -> Learned:
    return Learned(
        found.weights, found.intercepts, 0.0, path, found.realisable, found.iterations, found.gradient
    )
