"""What the values of a teacher's answers show of their kind, and what to do where it is not the stated one.

A reader of `limbeck.labels` raises a `RowError` with a fault; the advice for that fault is written in the syntax of the
place that shows it: Python, a command's options, or the reply of a program.
"""

from __future__ import annotations

from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from limbeck._check import Array

Place = Literal["python", "command", "reply"]

ENOUGH = 20
"""Numbers that must all look like another kind before they are taken for it."""
ENOUGH_ROWS = 5
"""Rows, the same."""
NEAR_ONE = 0.1
"""Distance of a sum from 1 up to which some mass is missing; beyond it the numbers need not be shares at all."""
LEAST_LOG = -745.0
"""A log-probability below it is a probability of 0 in float64: it means "practically zero", as -9999.0 does."""
MOST_FLOAT_CLASSES = 20
"""Distinct whole numbers stored as floats that are still taken for class labels."""

MISSING_WORDS = frozenset({"NA", "N/A", "<NA>", "NaN", "nan", "NULL", "null", "None"})
"""Words by which tables write a missing value; as an answer they are one unless the classes name them."""

_LABELS = "If these are scores of 0 to 100, divide them by 100 and give them as probabilities"
ADVICE: dict[str, dict[Place, str]] = {
    "scores": {
        "python": "Scores are divided by the largest possible one, such as 100 for percentages.",
        "command": "Scores are divided by the largest possible one, such as 100 for percentages.",
        "reply": "Divide scores by the largest possible one, such as 100 for percentages.",
    },
    "missing": {
        "python": "If it marks a missing answer, leave the row out.",
        "command": "If it marks a missing answer, empty the cell and give --unanswered drop.",
        "reply": 'If there is no answer, send {"id": ..., "refusal": "why"}.',
    },
    "logits": {
        "python": "Logits are given as teacher_logits=, or read by from_logits.",
        "command": "Logits are given as --teacher-logit.",
        "reply": 'Logits are sent as "logits".',
    },
    "logs": {
        "python": "Log-probabilities are read by from_log_probabilities.",
        "command": "Log-probabilities are given as --teacher-log-probability.",
        "reply": 'Log-probabilities are sent as "log_probabilities".',
    },
    "probabilities": {
        "python": "Give them as teacher_proba=, or read them by from_probabilities.",
        "command": "Give them as --teacher-probability.",
        "reply": 'Send them as "probabilities".',
    },
    "shares": {
        "python": "Give them as teacher_proba=, or read them by from_probabilities. Logits that lie there by chance "
        "are told by a negative number: subtract each row's mean; of one axis give column_stack([-z / 2, z / 2]).",
        "command": "Give them as --teacher-probability. Logits that lie there by chance are told by a negative "
        "number: write a column for each class and subtract each row's mean.",
        "reply": 'Send them as "probabilities". If they are logits, send one for each class, less their mean.',
    },
    "sum": {
        "python": "Divide each row by its sum: p / p.sum(axis=1, keepdims=True).",
        "command": "--top-k zero divides each row by its sum. If only the likeliest classes are named, empty the "
        "others' cells, and --top-k uniform shares what is missing among them.",
        "reply": "Divide the numbers by their sum.",
    },
    "independent": {
        "python": "If the classes exclude each other, divide each row by its sum. If several can hold together, learn "
        "one student for each column: y=p[:, k].",
        "command": "If the classes exclude each other, divide each row by its sum. If several can hold together, learn "
        "one student for each column: --teacher-probability with the name of one column. If only the likeliest "
        "classes are named, empty the others' cells and give --top-k uniform.",
        "reply": "If the classes exclude each other, divide the numbers by their sum. If several can hold together, "
        "send the number of one class.",
    },
    "log sum": {
        "python": "Give them as logits (teacher_logits= or from_logits), which divides each row by its sum; if some "
        "classes are missing, see from_top_k.",
        "command": "--teacher-logit divides each row by its sum. If only the likeliest classes are named, empty the "
        "others' cells: --top-k reads them.",
        "reply": 'Send them as "logits", which divides them by their sum.',
    },
    "mass": {
        "python": 'Choose tail="uniform" or "zero" (limbeck.labels.from_partial_probabilities, from_top_k).',
        "command": "--top-k uniform shares it among the classes not named, --top-k zero takes it as zero.",
        "reply": 'Send them as "logits", which divides them by their sum.',
    },
    "sorted": {
        "python": "Scores sorted by size say nothing of their class by position: give a data frame with a column for "
        "each class, or dictionaries such as {'yes': 0.7, 'no': 0.3}.",
        "command": "Scores sorted by size say nothing of their class by position: write a column for each class, or "
        'cells such as {"yes": 0.7, "no": 0.3} or [{"label": "yes", "score": 0.7}, ...].',
        "reply": 'Send the names with the scores: {"yes": 0.7, "no": 0.3}.',
    },
    "labels": {
        "python": f"{_LABELS}; if they are classes, give integers, or name them (classes=).",
        "command": f"{_LABELS} (--teacher-probability); if they are classes, name them (--classes).",
        "reply": _LABELS + ".",
    },
}
"""What to do about a `RowError`'s fault, in the syntax of each place."""


class RowError(ValueError):
    """A row that is not an answer of the stated kind.

    Parameters
    ----------
    said : str
        What is wrong, with ``{row}`` and, where there is one, ``{column}`` for where it is, counted from 0.
    row : int
    column : int, optional
    fault : str
        A key of ``ADVICE``; empty if there is nothing to add.
    """

    def __init__(self, said: str, row: int, column: int | None = None, *, fault: str = "") -> None:
        super().__init__(said, row, column, fault)
        self.said = said
        self.row = row
        self.column = column
        self.fault = fault

    def text(self, place: Place, row: object, column: object = None) -> str:
        """Return the message for a place, with that place's names of the row and column."""
        advice = ADVICE[self.fault][place] if self.fault else ""
        return f"{self.said.format(row=row, column=column)} {advice}".rstrip()

    def __str__(self) -> str:
        return self.text("python", self.row, self.column)

    def __reduce__(self) -> tuple[Any, ...]:
        return _row_error, (self.said, self.row, self.column, self.fault)


def _row_error(said: str, row: int, column: int | None, fault: str) -> RowError:
    return RowError(said, row, column, fault=fault)


def apart(value: float, *limits: float) -> str:
    """Return a number with as many digits as tell it from each limit, and at least six."""
    for digits in range(6, 17):
        text = f"{value:.{digits}g}"
        if all((float(text) > limit) == (value > limit) and float(text) != limit for limit in limits):
            return text
    return repr(float(value))


def refuse_at(
    a: Array, bad: NDArray[np.bool_], said: str, fault: str = "", limits: tuple[float, ...] = ()
) -> NoReturn:
    """Raise a `RowError` at the first value that is bad."""
    at = tuple(int(i) for i in np.argwhere(np.broadcast_to(bad, a.shape))[0])
    where = "row {row}, column {column}" if len(at) > 1 else "row {row}"
    raise RowError(f"{apart(float(a[at]), *limits)} in {where}{said}", *at[:2], fault=fault)


def refuse_no_share(p: Array, bad: NDArray[np.bool_]) -> NoReturn:
    """Raise a `RowError` at the first number outside [0, 1], and advise by what all of them look like."""
    refuse_at(p, bad, " is not a probability: each must lie in [0, 1].", other_kind(p), (0.0, 1.0))


def other_kind(p: Array) -> str:
    """Return the fault of numbers of which some lie outside [0, 1]."""
    odd = p[(p < 0) | (p > 1)]
    if np.unique(odd).size == 1 and odd[0] < 0 and len(odd) < p.size:
        return "missing"
    if p.max() <= 0:
        return "logs"
    if p.min() < 0 or p.max() > 100:
        return "logits"
    return "scores" if p.max() >= 2 else ""


def refuse_no_logarithm(log_p: Array, bad: NDArray[np.bool_]) -> NoReturn:
    """Raise a `RowError` at the first number above 0."""
    shares = log_p.min() >= 0 and log_p.max() <= 1
    fault = "probabilities" if shares else "logits"
    refuse_at(log_p, bad, " is not a log-probability: each must be at most 0.", fault, (0.0,))


def refuse_sum(total: Array, allowed: Array, *, logs: bool = False) -> None:
    """Raise a `RowError` at the first row (of sums (n,)) that is further from 1 than ``allowed`` (n,)."""
    off = np.abs(total - 1)
    if not (off > allowed).any():
        return
    row = int(np.argmax(off > allowed))
    limit = float(allowed[row])
    held, fault = ("log-probabilities", "log sum") if logs else ("probabilities", "sum")
    if not logs and off.max() > NEAR_ONE:
        fault, row = "independent", int(np.argmax(off > NEAR_ONE))
    sums = f"sums to {apart(float(total[row]), 1 - limit, 1 + limit)}{' as probabilities' if logs else ''}"
    raise RowError(f"Row {{row}} of the {held} {sums}, not 1 (tolerance {limit:.1g}).", row, fault=fault)


def refuse_shares_as_logits(z: Array) -> None:
    """Raise a `RowError` if logits (n,) or (n, K) are probabilities or percentages, too many to be so by chance."""
    if len(z) < ENOUGH_ROWS or z.min() < 0 or not z.max() <= 100:
        return
    sums = np.ones(len(z)) if z.ndim == 1 else z.sum(axis=1)
    near = z.ndim == 2 and bool(np.all(np.abs(sums - 1) <= NEAR_ONE))
    both = z.ndim == 2 or bool(z.min() < 0.5 < z.max())
    if z.max() <= 1 and np.any((z > 0) & (z < 1)) and (near or (both and z.size >= ENOUGH)):
        raise RowError(
            "The numbers given as logits, from row {row} on, all lie between 0 and 1, as probabilities do.",
            0,
            fault="shares" if z.ndim == 1 or near else "independent",
        )
    percent = np.all(np.abs(sums - 100) <= 100 * NEAR_ONE) if z.ndim == 2 else z.max() > 50
    if percent and z.size >= ENOUGH:
        raise RowError(
            "The numbers given as logits, from row {row} on, all lie between 0 and 100, as percentages do.",
            0,
            fault="scores",
        )


def refuse_sorted(values: np.ndarray) -> None:
    """Raise a `RowError` if every row of scores (n, K) without names of columns falls from left to right, K >= 3."""
    if values.ndim != 2 or values.shape[1] < 3 or values.size < ENOUGH or len(values) < ENOUGH_ROWS:
        return
    steps = values[:, 1:].astype(np.float64) - values[:, :-1]
    if np.all(steps <= 0) and np.any(steps < 0, axis=1).all():
        raise RowError(
            f"All {len(values)} rows (the first is row {{row}}) hold their scores in descending order, so that the "
            "first class would always win.",
            0,
            fault="sorted",
        )


def refuse_scores_as_labels(distinct: np.ndarray, what: str) -> None:
    """Raise a `RowError` if distinct labels, stored as floats, are more likely scores.

    They are if one of more than two is not whole, or more than 20 are whole.
    """
    if distinct.dtype.kind != "f" or len(distinct) <= 2:
        return
    broken = np.flatnonzero(distinct != np.round(distinct))
    if len(broken) == 0 and len(distinct) <= MOST_FLOAT_CLASSES:
        return
    example = distinct[broken[0]] if len(broken) else distinct[-1]
    raise RowError(
        f"{what} holds {len(distinct)} distinct numbers as class labels, such as {example:.6g}.",
        0,
        fault="labels",
    )


def without_sentinels(log_p: Array, *, one: bool = False) -> Array:
    """Log-probabilities with -inf for those that mean "practically zero"; if ``one``, only a whole number that recurs.

    Computed logarithms below -745 differ from each other, and given as logits they are exact.
    """
    low = np.isfinite(log_p) & (log_p < LEAST_LOG)
    if one and (len(values := np.unique(log_p[low])) != 1 or values[0] != np.round(values[0])):
        return log_p
    return np.where(low, -np.inf, log_p)


def tied(shares: Array) -> NDArray[np.bool_]:
    """Rows (n,) of probabilities or their logarithms (n, K) whose two largest are equal."""
    top = np.partition(shares, -2, axis=1)
    return top[:, -1] == top[:, -2]
