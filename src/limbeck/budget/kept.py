"""Answers bought, as columns of a table: one a class where the classes have names, so that the names are kept."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from limbeck._check import Array
from limbeck.budget.ledger import READERS
from limbeck.labels import MOST_DECIMALS, SoftLabels

ALIKE = 1e-12


def both_classes(kind: str, said: Array) -> Array | None:
    """Answers (n, 2) for both classes from single numbers (n,) for the second; None where they would read otherwise.

    Parameters
    ----------
    kind : str
        ``probabilities``, ``log_probabilities`` or ``logits``.
    said : ndarray, shape (n,)
        As the teacher put them.

    Returns
    -------
    ndarray, shape (n, 2), or None
        Probabilities of few decimals keep their number.
    """
    if kind == "probabilities" and all(_few_decimals(p) for p in said):
        return np.column_stack([[float(1 - Decimal(repr(float(p)))) for p in said], said])
    with np.errstate(divide="ignore", invalid="ignore"):
        if kind == "logits":
            above = said == np.inf  # a score may be -inf, not +inf
            both = np.column_stack([np.where(above, -np.inf, 0.0), np.where(above, 0.0, said)])
        elif kind == "log_probabilities":
            both = np.column_stack([np.log(-np.expm1(np.minimum(said, 0.0))), said])
        else:
            both = np.column_stack([1 - said, said])
        read = READERS[kind]
        return both if _alike(read(said), read(both)) else None


def _few_decimals(p: float) -> bool:
    exponent = Decimal(repr(float(p))).as_tuple().exponent
    return isinstance(exponent, int) and -exponent <= MOST_DECIMALS


def _alike(one: SoftLabels, two: SoftLabels) -> bool:
    """Whether logits are the same, and trusted as far."""
    if not np.array_equal(one.saturated, two.saturated):
        return False
    kept = ~one.saturated
    z, error = one.logits[kept], one.error[kept]
    close = np.abs(two.logits[kept] - z) <= ALIKE * np.maximum(1.0, np.abs(z))
    trusted = np.abs(two.error[kept] - error) <= 1e-9
    return bool(np.all(close & trusted) and np.array_equal(one.logits[~kept], two.logits[~kept]))
