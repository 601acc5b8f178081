"""How long a fit is going to take, from the operations that it counts."""

from __future__ import annotations

import warnings

from limbeck.students.design import Points
from limbeck.students.leave_one_out import MOST_OF_ONE, directions
from limbeck.students.solver import MOST_COORDINATES

RATE = 2e10
"""Operations a second of one core, in products of float64 matrices; of float32, twice as many."""
STEPS, STEPS_OF_A_RIDGE, RIDGES = 50, 25, 5
"""Of one minimisation, of those from the ridge before, and how many of these leave-one-out tries: usual numbers."""
LONG = 60.0
"""Seconds from which a warning is issued."""


def seconds(n: int, d: int, m: int, *, alpha: float | str, size: int = 8) -> float:
    """Forecast the time of a fit to dense points on one core, in seconds; correct to a factor of about 3.

    Parameters
    ----------
    n, d : int
        Rows and features.
    m : int
        Logits: 1 for two classes, K for K >= 3.
    alpha : float or "loo"
        Ridge, as `SoftLabelClassifier`'s.
    size : int
        Bytes of a feature.
    """
    r, rate = min(n, d), RATE * (2 if size == 4 and n > d else 1)
    operations = 4.0 * n * r * r if alpha == 0 or n <= d else 0.0
    if alpha == 0:
        return operations / RATE
    operations += 10.0 * n * r * r if r <= MOST_COORDINATES else 0.0
    step = 4.0 * n * r * m
    if alpha != "loo":
        return (operations + STEPS * step) / rate
    if m == 1:
        left_out = 2.0 * n * n * (n + r) if n <= 2 * r and n * n * r <= MOST_OF_ONE else 2.0 * n * r * r
    else:
        left_out = 2.0 * n * m * directions(n, m, r) ** 2
    return (operations + RIDGES * (STEPS_OF_A_RIDGE * step + left_out)) / rate


def warn_of_long(points: Points, m: int, alpha: float | str) -> None:
    """Warn of a fit to dense points that is forecast to take over a minute, with what would take less."""
    if points.sparse:
        return
    n, d = points.given.shape
    forecast = seconds(n, d, m, alpha=alpha, size=points.given.dtype.itemsize)
    if forecast <= LONG:
        return
    number = "" if alpha != "loo" else f"a number for alpha (about {_minutes(seconds(n, d, m, alpha=1.0))}), "
    warnings.warn(
        f"Fitting {n} rows of {d} features with {max(m, 2)} classes is forecast to take {_minutes(forecast)} on one "
        f"core. Less time takes: {number}fewer rows, or fewer features (PCA, for example).",
        UserWarning,
        stacklevel=5,
    )


def _minutes(forecast: float) -> str:
    return f"{forecast:.0f} seconds" if forecast < 100 else f"{forecast / 60:.0f} minutes"
