"""Answers that carry the names of their classes, as services and pipelines return them, as an array with names.

An answer is a dictionary of classes (``{"yes": 0.7, "no": 0.3}``), one label with its score
(``{"label": "yes", "score": 0.7}``), a list of those, or a zero-shot pipeline's ``labels`` and ``scores``.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from limbeck.kinds import RowError

Pairs = dict[Any, float]
NUMPY_SCALAR = re.compile(r"\bnp\.float\d+\(([^()]*)\)")
"""NumPy's numbers as they print inside a dictionary."""
EXAMPLE = 'such as {"yes": 0.7, "no": 0.3} or [{"label": "yes", "score": 0.7}]'


def is_named(value: Any) -> bool:
    """Whether an answer, or its text, is a dictionary or a list of dictionaries."""
    if isinstance(value, str):
        return value.lstrip()[:1] == "{" or value.replace(" ", "")[:2] == "[{"
    first = value[0] if isinstance(value, (list, tuple, np.ndarray)) and len(value) else value
    return isinstance(first, Mapping)


def pairs_of(value: Any, row: int, named: Callable[[Any], Any] = str) -> Pairs | None:
    """Class, as ``named`` has it, and score of one answer; None where it is missing.

    Raises
    ------
    RowError
        If it is in none of the known forms, names a class twice, or a score is not a number.
    """
    if isinstance(value, str):
        value = _parsed(value)
    if value is None:
        return None
    if _is_zero_shot(value):
        scores = zip(value["labels"], value["scores"], strict=True)
    elif isinstance(value, Mapping):
        scores = _one(value) if _is_one(value) else value.items()
    elif isinstance(value, (list, tuple, np.ndarray)) and all(isinstance(v, Mapping) for v in value):
        scores = (pair for one in value for pair in _one(one))
    else:
        raise RowError(f"Row {{row}}, column {{column}} is not an answer {_escaped(EXAMPLE)}.", row, 0)
    found: Pairs = {}
    for name, score in scores:
        if score is None:  # a key that other rows have
            continue
        if (number := _number(score)) is None:
            what = _escaped(repr(score)[:40])
            raise RowError(f"Row {{row}}, column {{column}} holds {what}, which is not a number.", row, 0)
        if named(name) in found:
            what = _escaped(repr(name)[:40])
            raise RowError(f"Row {{row}}, column {{column}} names the class {what} twice.", row, 0)
        found[named(name)] = number
    return found or None


def classes_in(answers: Iterable[Pairs | None]) -> tuple[Any, ...]:
    """Names of all classes, sorted."""
    names: set[Any] = set().union(*(pairs for pairs in answers if pairs is not None))
    return tuple(sorted(names, key=lambda name: (isinstance(name, str), name)))


def table_of(answers: Sequence[Pairs | None], classes: Sequence[Any]) -> np.ndarray:
    """Scores (n, K) in the order of ``classes``, NaN where an answer does not name a class.

    Raises
    ------
    RowError
        If an answer names another class.
    """
    at = {name: k for k, name in enumerate(classes)}
    table = np.full((len(answers), len(at)), np.nan)
    for row, pairs in enumerate(answers):
        for name, score in (pairs or {}).items():
            if name not in at:
                what = _escaped(repr(name)[:40])
                raise RowError(
                    f"Row {{row}}, column {{column}} names the class {what}, which is not among the classes.",
                    row,
                    0,
                )
            table[row, at[name]] = score
    return table


def _number(score: Any) -> float | None:
    """A score as a float; None if it is not a number, or a whole number beyond the range of floats."""
    if isinstance(score, (bool, np.bool_)) or not isinstance(score, Real):
        return None
    try:
        return float(score)
    except OverflowError:
        return None


def _is_zero_shot(value: Any) -> bool:
    """Whether an answer is a zero-shot pipeline's: as many scores as labels."""
    if not isinstance(value, Mapping) or not {"labels", "scores"} <= value.keys():
        return False
    lists = value["labels"], value["scores"]
    return all(isinstance(v, (list, tuple, np.ndarray)) for v in lists) and len(lists[0]) == len(lists[1])


def _is_one(value: Mapping[str, Any]) -> bool:
    """Whether a dictionary is one label with its score; else its keys are classes."""
    return "label" in value and ("score" in value or isinstance(value["label"], str))


def _one(value: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """A label and its score, whatever the score is called."""
    others = [score for key, score in value.items() if key != "label"]
    score = value.get("score", others[0] if len(others) == 1 else str(value))
    return [] if value.get("label") is None else [(value["label"], score)]


def _parsed(text: str) -> Any:
    """JSON, or a Python literal as a data frame writes it; the text itself if it is neither."""
    if not text.strip():
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            return read(NUMPY_SCALAR.sub(r"\1", text))
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return text


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
