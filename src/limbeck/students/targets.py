"""What `fit` and `score` are given as answers, read: hard labels, soft y, soft labels read before, or a teacher's."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length

from limbeck import kinds, named_scores
from limbeck.labels import (
    SoftLabels,
    as_numbers,
    from_hard,
    from_logits,
    from_partial_probabilities,
    from_probabilities,
    reorder,
)

FEWEST_ENCODED = 5

Answers = tuple[SoftLabels, np.ndarray]
"""What was said, and the classes it was said of."""


def read_answers(
    X: Any, y: Any, proba: Any, logits: Any, *, classes: Any = None, decimals: int | None = None
) -> Answers:
    """Soft labels (n,) or (n, K) and classes (K,), from what `SoftLabelClassifier.fit` takes.

    Parameters
    ----------
    X : array or sparse matrix, shape (n, d)
        Only its length is used.
    y, proba, logits : array_like, shape (n,) or (n, K), or None
        Labels or soft labels (as y also `SoftLabels`, taken as they are); a teacher's answers, beside which y only
        names the classes.
    classes : array_like, shape (K,), optional
        Classes in the order of columns or integer codes.
    decimals : int, optional
        See `limbeck.labels.from_probabilities`.

    Raises
    ------
    ValueError
        If they cannot be read as one or the other; the message names the row or column.
    """
    if proba is None and logits is None:
        return _read_y(X, y, classes, decimals)
    if proba is not None and logits is not None:
        raise ValueError("teacher_proba and teacher_logits were both given: give one.")
    name, given = ("teacher_proba", proba) if logits is None else ("teacher_logits", logits)
    check_consistent_length(X, given)
    seen = None if y is None else _labels_beside(X, y, name)
    table, names = by_name(given, classes if classes is not None else seen, name)
    if classes is None:
        classes = names
    if names is None:
        kinds.refuse_sorted(table)
    labels = _probabilities(table, names, decimals) if logits is None else from_logits(table)
    if seen is None:
        return labels, _named(labels.n_classes, classes)
    return labels, _classes_of(seen, labels.n_classes, classes, name)


def _probabilities(table: np.ndarray, names: np.ndarray | None, decimals: int | None) -> SoftLabels:
    """Probabilities of all classes, or, where columns have names, of some."""
    if names is not None and np.isnan(table).any():
        return from_partial_probabilities(table, tail="raise")
    return from_probabilities(table, decimals=decimals)


def decisions(y: Any, classes: np.ndarray) -> Any:
    """Classes (n,) that y says: itself if hard, the likelier class if soft; even odds are class 1, as in `predict`."""
    if isinstance(y, SoftLabels):
        return classes[y.decisions]
    table, names = by_name(y, classes, "y")
    if _is_soft(table):
        labels = _probabilities(table, names, None)
        p = labels.probabilities
        if table.ndim == 2 and table.shape[1] == 2 and not np.isnan(table).any():
            return classes[(table[:, 1] >= table[:, 0]).astype(int)]
        return classes[(p >= 0.5).astype(int) if p.ndim == 1 else p.argmax(axis=1)]
    return y


def _read_y(X: Any, y: Any, classes: Any, decimals: int | None) -> Answers:
    check_consistent_length(X, y)
    if isinstance(y, SoftLabels):
        return y, _named(y.n_classes, classes)
    table, names = by_name(y, classes, "y")
    if table.ndim == 2 and table.shape[1] > 1:
        if names is None:
            kinds.refuse_sorted(table)
        labels = _probabilities(table, names, decimals)
        return labels, _named(labels.n_classes, names if classes is None else classes)
    y = column_or_1d(table, warn=True)
    if y.dtype.kind == "f" and not np.all(np.isfinite(y)):
        row = int(np.argmin(np.isfinite(y)))
        raise ValueError(f"Input y contains NaN or infinity in row {row}.")
    if _is_soft(y):
        if y.min() < 0 or y.max() > 1:
            row = int(np.argmax((y < 0) | (y > 1)))
            said = (
                f"Unknown label type: continuous. Row {{row}} holds {kinds.apart(float(y[row]), 0, 1)}, which is "
                "neither a class label nor a probability in [0, 1]."
            )
            raise kinds.RowError(said, row, fault=kinds.other_kind(y))
        return from_probabilities(y, decimals=decimals), _named(2, classes)
    _refuse_missing(y, classes)
    if classes is None:
        kinds.refuse_scores_as_labels(np.unique(y), "y")
    with np.errstate(invalid="ignore"):  # of the cast by which whole numbers are told
        check_classification_targets(y)
    return _read_hard(y, classes)


def _read_hard(y: np.ndarray, classes: Any) -> Answers:
    seen, codes = np.unique(y, return_inverse=True)
    if classes is not None:
        names = np.asarray(classes)
        if set(seen.tolist()) <= set(names.tolist()):
            codes = np.array([names.tolist().index(label) for label in y.tolist()])
        elif _are_codes(seen, len(names)):
            codes = y
        else:
            raise ValueError(f"y holds labels that are not among classes={names.tolist()}.")
        return from_hard(codes, len(names)), names
    if len(seen) > len(y) / 2 and len(y) >= FEWEST_ENCODED and seen.dtype.kind in "iuf":
        raise ValueError(
            f"y holds {len(seen)} distinct labels in {len(y)} rows. cross_val_predict encodes probabilities given "
            "as y that way: give it hard labels as y and the teacher's answers as teacher_proba=. "
            "(If these are classes, name them: classes=.)"
        )
    if len(seen) < 2:
        raise ValueError(
            f"This solver needs samples of at least 2 classes in the data, but the data contains only one class: "
            f"{seen[0]!r}"
        )
    return from_hard(codes, len(seen)), seen


def _refuse_missing(y: np.ndarray, classes: Any) -> None:
    """Refuse labels that mean a missing value, which NumPy turns into text such as 'nan', unless they name a class."""
    if y.dtype.kind not in "OUT":
        return
    words = kinds.MISSING_WORDS - set(() if classes is None else map(str, np.asarray(classes)))
    bare = np.array([v is None or v != v or str(v).strip() in words for v in y.tolist()])
    if bare.any():
        row = int(np.argmax(bare))
        raise ValueError(
            f"Row {row} of y holds {y.tolist()[row]!r}, which means a missing value: leave the row out, or name it as "
            "a class (classes=)."
        )


def _labels_beside(X: Any, y: Any, name: str) -> np.ndarray:
    """Distinct hard labels given beside the teacher's answers ``name``."""
    if isinstance(y, SoftLabels):
        raise ValueError(f"With {name}, y must be class labels, got soft ones: leave y out, or {name}.")
    y = column_or_1d(y, warn=True)
    check_consistent_length(X, y)
    if _is_soft(y):
        raise ValueError(f"With {name}, y must be class labels, got probabilities: leave y out, or {name}.")
    _refuse_missing(y, None)
    return np.unique(y)


def _classes_of(seen: np.ndarray, n_classes: int, classes: Any, name: str) -> np.ndarray:
    if classes is not None:
        names = _named(n_classes, classes)
        if not set(seen.tolist()) <= set(names.tolist()):
            raise ValueError(f"y holds {sorted(set(seen.tolist()) - set(names.tolist()))}, not in classes.")
        return names
    if len(seen) == n_classes:
        return seen
    if _are_codes(seen, n_classes):
        return np.arange(n_classes)
    raise ValueError(
        f"{name} has {n_classes} classes and y {len(seen)} ({seen.tolist()[:10]}): a fold may hold fewer. "
        "Give y as integer codes 0 ... K - 1, or name the classes of the columns (classes=)."
    )


def _named(n_classes: int, classes: Any) -> np.ndarray:
    if classes is None:
        return np.arange(n_classes)
    names = np.asarray(classes)
    if names.ndim != 1 or len(names) != n_classes or len(set(names.tolist())) != n_classes:
        raise ValueError(f"classes must be {n_classes} different names, got {names.tolist()}.")
    return names


def by_name(table: Any, classes: Any, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """The array behind a table, its columns in the order of ``classes``, and the columns' names if it has any."""
    if (found := _named_answers(table, classes)) is not None:
        return found
    values, named = as_numbers(table), column_names(table)
    if values.ndim != 2 or named is None:
        return values, None
    if classes is None:
        return values, np.asarray(named)
    wanted = np.asarray(classes).tolist()
    if set(wanted) < set(named):  # a fold without some class: y cannot say their order, the table does
        return values, np.asarray(named)
    try:
        return reorder(values, named, wanted), np.asarray(wanted)
    except ValueError as error:
        raise ValueError(f"{name}: {error} Give {name}.to_numpy() to take columns by position.") from None


def column_names(table: Any) -> list[Any] | None:
    """Names of two columns or more of a data frame or Arrow table; None if it has none.

    Names 0, 1, ..., K - 1 are what a table without names has: they state nothing.
    """
    if isinstance(table, SoftLabels):
        return None
    named = list(getattr(table, "column_names", None) or getattr(table, "columns", ()))
    return None if len(named) < 2 or named == list(range(len(named))) else named


def _named_answers(table: Any, classes: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Scores (n, K) and classes (K,) of answers that name their classes, such as dictionaries; None of others."""
    one_axis = isinstance(table, (list, tuple, np.ndarray)) or hasattr(table, "iloc")
    if not one_axis or hasattr(table, "columns") or not named_scores.is_named(next(iter(table), None)):
        return None
    answers = [named_scores.pairs_of(answer, row, lambda key: key) for row, answer in enumerate(table)]
    names = named_scores.classes_in(answers) if classes is None else np.asarray(classes).tolist()
    return named_scores.table_of(answers, names), np.asarray(names)


def _is_soft(y: np.ndarray) -> bool:
    """One axis with a number that is not whole, or two axes: probabilities; else class labels."""
    if y.ndim == 2 and y.shape[1] > 1:
        return True
    return y.dtype.kind == "f" and not np.all(y == np.round(y))


def _are_codes(seen: np.ndarray, n_classes: int) -> bool:
    return seen.dtype.kind in "iu" and seen.min() >= 0 and seen.max() < n_classes
