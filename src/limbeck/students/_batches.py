"""An exact student goes on with more rows: what it needs of those before, and when it must refuse."""

from __future__ import annotations

from typing import Any

import numpy as np

from limbeck.labels import Array, SoftLabels
from limbeck.students._certify import Asked, remember
from limbeck.students.design import Points, could_be_linear
from limbeck.theory import Span
from limbeck.theory.readings import INCONSISTENT

BATCHES = "the rows came in batches, and of earlier ones only what the weights need was kept: fit judges all at once"


def with_more(before: Asked, points: Points, labels: SoftLabels) -> tuple[Asked, Array, int]:
    """Rows kept with a batch of points and logits added, their least-squares weights (d, m), and their rank.

    Raises
    ------
    ValueError
        If no linear teacher gave the answers, or their rounding leaves a choice between students.
    """
    X, Z, E = before.rows
    E = np.zeros_like(Z) if E is None else E
    n = len(labels)
    dtype = min(np.dtype(before.dtype), points.stored, key=lambda t: t.itemsize)
    span = Span(np.concatenate([X, points.affine]), dtype=dtype)
    Z = np.concatenate([Z, labels.logits.reshape(n, -1)])
    E = np.concatenate([E, labels.error.reshape(n, -1)])
    solved = span.solve(Z)
    precision = float(np.linalg.norm(E) / max(np.linalg.norm(Z), 1e-300))
    if not could_be_linear(solved.inconsistency, min(precision, INCONSISTENT)):
        coarse = could_be_linear(solved.inconsistency, precision)
        raise ValueError(
            f"{ROUNDED if coarse else NOT_LINEAR} (residual {solved.inconsistency:.1e} of the logits, of which their "
            f"precision explains {precision:.1e}): the exact student cannot be updated row by row. Collect the rows "
            "and call fit. These rows were not added."
        )
    return remember(span, Z, E, solved.weights, before.n + n), solved.weights, span.rank


NOT_LINEAR = "No linear teacher gave these answers"
ROUNDED = "These answers were rounded so much that least squares and the cross-entropy learn different students of them"


def learned_so_far(student: Any) -> Asked | None:
    """What more rows are added to: None of a student not fitted yet; ValueError where a fitted one holds nothing."""
    if not hasattr(student, "coef_"):
        return None
    known: Asked | None = getattr(student, "_asked", None)
    if known is None:
        why = "was fitted with a ridge, to sparse points or hard labels, or comes from a file"
    elif student.saturated == "bound" and student.n_saturated_:
        why = "was fitted under saturated='bound', whose constraints are no rows"
    elif known.rows[0].shape[1] != student.n_features_in_ + int(student.fit_intercept):
        why = f"was fitted with fit_intercept={not student.fit_intercept}"
    else:
        return known
    raise ValueError(
        f"partial_fit goes on from what was learned, and this student {why}: nothing of its rows was kept that more "
        "could be added to. Call fit with all rows at alpha=0, or begin anew: "
        "sklearn.base.clone(student).partial_fit(...)."
    )
