"""What teachers say: any classifier or function, several of them, as log-probabilities in one order of classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from scipy.special import log_expit, log_softmax, logsumexp, softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples, check_is_fitted

from limbeck.labels import Array, from_log_probabilities, from_logits, from_probabilities, reorder
from limbeck.students.targets import by_name

Named = tuple[np.ndarray, Any]
"""Answers (n,) or (n, K), and the names of their classes; None if they have none."""

METHODS = {
    "logits": "decision_function",
    "log_probabilities": "predict_log_proba",
    "probabilities": "predict_proba",
}
READERS = {
    "logits": from_logits,
    "log_probabilities": from_log_probabilities,
    "probabilities": from_probabilities,
}
PROBED = 100
SAME = 1e-9
SHORT = 8
"""Units of rounding, of the largest score, within which short floats' softmax is the probabilities given."""


def is_ready(teacher: Any) -> bool:
    """Whether it is fitted, a function, or no estimator that scikit-learn could copy: then it is taken as it is."""
    return not (hasattr(teacher, "fit") and hasattr(teacher, "get_params")) or _is_fitted(teacher)


def ready(teacher: Any, X: Any, y: Any, **params: Any) -> Any:
    """The teacher as it is if it `is_ready`; else a clone of it fitted on (X, y) with ``params``."""
    if is_ready(teacher):
        return teacher
    if y is None:
        raise ValueError(
            f"The teacher, {type(teacher).__name__}, is not fitted, so that fit requires y to be passed, but the "
            "target y is None. (Cloning, as cross-validation does, forgets a fit: wrap a fitted teacher in sklearn's "
            "FrozenEstimator.)"
        )
    return clone(teacher).fit(X, y, **params)


def _is_fitted(teacher: Any) -> bool:
    try:
        check_is_fitted(teacher)
    except NotFittedError:
        return False
    return True


def kind_of(teacher: Any, wanted: str, X: Any) -> str:
    """Which answers to ask for: "logits", "log_probabilities" or "probabilities".

    ``wanted="auto"`` takes the decision function only where its softmax is `predict_proba`, seen on up to 100
    rows, to the rounding of their types: then it is the logit, with digits that probabilities near 0 and 1 have lost.
    Otherwise log-probabilities, then probabilities. Whoever has a decision function alone must be asked for it: a
    margin is no log-odds.
    """
    methods = [name for name, method in METHODS.items() if hasattr(teacher, method)]
    if not methods and callable(teacher):
        return "probabilities" if wanted == "auto" else wanted
    if wanted in methods:
        return wanted
    if wanted != "auto":
        raise ValueError(
            f"answers={wanted!r} asks the teacher, {type(teacher).__name__}, for {METHODS[wanted]}, which it lacks."
        )
    if methods == ["logits"]:
        raise ValueError(
            f"The teacher, {type(teacher).__name__}, has a decision_function and no probabilities. If it is the "
            "log-odds (two classes) or the softmax scores, say so by answers='logits'; a margin, as of a support "
            "vector machine, is not: wrap the teacher in CalibratedClassifierCV."
        )
    if "logits" in methods and "probabilities" in methods and _decides_by_logits(teacher, X):
        return "logits"
    for name in ("log_probabilities", "probabilities"):
        if name in methods:
            return name
    raise ValueError(
        f"The teacher, {type(teacher).__name__}, has no predict_proba, predict_log_proba or decision_function and is "
        "no function of X: there is nothing soft to learn from. Hard labels are learned by SoftLabelClassifier."
    )


def _decides_by_logits(teacher: Any, X: Any) -> bool:
    some = _safe_indexing(X, np.arange(min(_num_samples(X), PROBED)))
    (P, _), (F, _) = (ask(teacher, kind, some) for kind in ("probabilities", "logits"))
    F = np.column_stack([np.zeros(len(F)), F]) if F.ndim == 1 else F
    if P.shape != F.shape:
        return False
    size = np.maximum(np.abs(F).max(axis=1, keepdims=True), 1.0).astype(np.float64)
    allowed = SAME + SHORT * max(_eps(P), _eps(F)) * size
    return bool(np.all(np.abs(softmax(F.astype(np.float64), axis=1) - P) <= allowed))


def _eps(a: np.ndarray) -> float:
    return float(np.finfo(a.dtype if a.dtype.kind == "f" else np.float64).eps)


def ask(teacher: Any, kind: str, X: Any, classes: Any = None) -> Named:
    """The teacher's answers of this kind, and the names of their columns; a function is called itself.

    Columns that have names, such as a data frame's, are put in the order of ``classes_``, else of ``classes``.
    """
    method: Callable = getattr(teacher, METHODS[kind], teacher)
    known = getattr(teacher, "classes_", classes)
    with np.errstate(divide="ignore"):  # the log of a probability of 0 is -inf, and meant
        answers, named = by_name(method(X), known, "the teacher's answer")
    if len(answers) != _num_samples(X):
        raise ValueError(f"The teacher gave {len(answers)} answers for {_num_samples(X)} rows.")
    return answers, known if named is None else named


def log_probabilities(answers: np.ndarray, kind: str) -> Array:
    """Answers (n,) of class 1 or (n, K) as log-probabilities (n, K), K >= 2; ValueError naming a bad row."""
    READERS[kind](answers)  # refuses what is no answer of this kind
    a = answers.astype(np.float64)
    if kind == "logits":
        return np.column_stack([log_expit(-a), log_expit(a)]) if a.ndim == 1 else log_softmax(a, axis=1)
    with np.errstate(divide="ignore"):
        if kind == "log_probabilities":
            return np.column_stack([np.log(-np.expm1(a)), a]) if a.ndim == 1 else a
        return np.column_stack([np.log1p(-a), np.log(a)]) if a.ndim == 1 else np.log(a)


def as_short(logs: Array, answers: Iterable[np.ndarray]) -> Array:
    """Logarithms or logits in the shortest type of floats that the ``answers`` behind them came in.

    What is then read of them is as uncertain as they are.
    """
    shortest = min((a.dtype for a in answers if a.dtype.kind == "f"), key=lambda t: t.itemsize, default=None)
    if shortest is None or shortest.itemsize >= logs.itemsize:
        return logs
    with np.errstate(over="ignore"):
        short = logs.astype(shortest)
    return short if np.array_equal(np.isfinite(short), np.isfinite(logs)) else logs


def classes_of(columns: int, named: Any) -> np.ndarray:
    """Names of the columns, by default 0 ... K - 1."""
    names = np.asarray(np.arange(columns) if named is None else named)
    if names.shape != (columns,) or len(set(names.tolist())) != columns:
        raise ValueError(
            f"The teacher answers for {columns} classes, and {names.tolist()!r:.200} are named: name each once "
            "(classes=)."
        )
    return names


def combined(logs: Iterable[Array], how: str) -> Array:
    """Log-probabilities of the mean logits or of the mean probabilities of several teachers, (n, K).

    The mean of logits is the normalised geometric mean of probabilities: one teacher's 0 is a 0.
    """
    stack = np.stack(list(logs))  # (teachers, n, K)
    if len(stack) == 1:
        return stack[0]
    if how == "probabilities":
        return logsumexp(stack, axis=0) - np.log(len(stack))
    mean = stack.mean(axis=0)
    if (none := np.isneginf(mean).all(axis=1)).any():
        raise ValueError(
            f"Row {int(np.argmax(none))}: each class has probability 0 by some teacher, so that mean logits leave "
            "none. Use combine='probabilities'."
        )
    return log_softmax(mean, axis=1)


def in_order(logs: Array, names: np.ndarray, wanted: np.ndarray) -> Array:
    """Columns matched by the classes' names."""
    return logs if names.tolist() == wanted.tolist() else reorder(logs, names.tolist(), wanted.tolist())
