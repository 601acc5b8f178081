"""A fitted student as plain JSON, and back: every number to the last bit, every class in its own type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from numbers import Integral, Real
from typing import Any

import numpy as np

from limbeck.records import UserError
from limbeck.students.linearity import Linearity
from limbeck.students.soft_label import SoftLabelClassifier

CLASS_TYPES = {"str": str, "object": str, "bool": bool, "float": (int, float), "int": int, "uint": int}


def described(student: SoftLabelClassifier) -> dict[str, Any]:
    """All that makes a fitted student, as plain JSON; UserError if a part of it cannot be written."""
    names = getattr(student, "feature_names_in_", None)
    judged = getattr(student, "linearity_", None)
    return {
        "weights": student.coef_.astype(np.float64).tolist(),
        "intercept": student.intercept_.astype(np.float64).tolist(),
        "dtype": student.coef_.dtype.name,
        # A product's last bit depends on how the weights lie in memory.
        "columns_first": bool(student.coef_.flags.f_contiguous and not student.coef_.flags.c_contiguous),
        "classes": _named(student.classes_),
        "feature_names": None if names is None else [str(name) for name in names],
        "parameters": {name: _parameter(name, v) for name, v in student.get_params(deep=False).items()},
        "alpha": _number(student.alpha_),
        "linearity": None if judged is None else {k: _number(v) for k, v in asdict(judged).items()},
        "n_saturated": int(student.n_saturated_),
        "realisable": bool(student.realisable_),
        "n_iter": int(student.n_iter_),
        "gradient": _number(student.gradient_),
    }


def fitted(said: Mapping[str, Any]) -> SoftLabelClassifier:
    """The student described; KeyError, TypeError, ValueError or OverflowError if there cannot be such a one."""
    parameters = dict(said["parameters"])
    if unknown := sorted(set(parameters) - set(SoftLabelClassifier().get_params(deep=False))):
        raise ValueError(f"parameters {unknown} are not known here: upgrade limbeck")
    if parameters.get("classes") is not None:
        parameters["classes"] = _classes(parameters["classes"]).tolist()
    student = SoftLabelClassifier(**parameters)
    student._check_parameters()
    student.classes_ = _classes(said["classes"])
    _set_weights(student, said)
    names = said["feature_names"]
    if names is not None:
        if len(names) != student.n_features_in_ or not all(isinstance(name, str) for name in names):
            raise ValueError(f"{len(names)} feature names for {student.n_features_in_} features")
        student.feature_names_in_ = np.array(names, dtype=object)
    student.alpha_, student.gradient_ = _float(said["alpha"]), _float(said["gradient"])
    student.n_saturated_, student.n_iter_ = int(said["n_saturated"]), int(said["n_iter"])
    student.realisable_, student.alpha_path_ = bool(said["realisable"]), None
    if said["linearity"] is not None:
        student.linearity_ = _judged(said["linearity"])
    return student


def _set_weights(student: SoftLabelClassifier, said: Mapping[str, Any]) -> None:
    if said["dtype"] not in ("float64", "float32"):
        raise ValueError(f"weights of type {said['dtype']!r}")
    rows, intercept = said["weights"], said["intercept"]
    if not all(isinstance(v, (int, float)) for row in [*rows, intercept] for v in row):
        raise ValueError("the weights are not all numbers")
    order = "F" if said["columns_first"] else "C"
    weights = np.array(rows, dtype=np.float64).astype(said["dtype"], order=order)
    intercepts = np.array(intercept, dtype=np.float64).astype(said["dtype"])
    K = len(student.classes_)
    expected = 1 if K == 2 else K
    if (
        weights.ndim != 2
        or weights.shape[1] == 0
        or len(weights) != expected
        or intercepts.shape != (expected,)
    ):
        raise ValueError(
            f"weights {weights.shape} and intercepts {intercepts.shape} for {K} classes: ({expected}, d) and "
            f"({expected},) are expected"
        )
    if not (np.all(np.isfinite(weights)) and np.all(np.isfinite(intercepts))):
        raise ValueError("a weight is not finite")
    student.coef_, student.intercept_, student.n_features_in_ = weights, intercepts, weights.shape[1]


def _named(classes: np.ndarray) -> dict[str, Any]:
    """Classes with their dtype, so that `predict` answers in the same one."""
    kind = "str" if classes.dtype.kind == "U" else classes.dtype.name
    named = {"dtype": kind, "values": classes.tolist()}
    try:
        _classes(named)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"Classes of type {kind} ({named['values'][:5]!r:.80}) cannot be saved: name them by texts, whole numbers, "
            "finite numbers or booleans."
        ) from error
    return named


def _classes(named: Mapping[str, Any]) -> np.ndarray:
    kind, values = named["dtype"], named["values"]
    wanted = CLASS_TYPES[kind.rstrip("0123456789")]
    right = [isinstance(v, wanted) and (wanted is bool or not isinstance(v, bool)) for v in values]
    classes = np.array(values, dtype=kind)
    if not all(right) or len(values) < 2 or len(set(values)) < len(values) or classes.tolist() != values:
        raise ValueError(f"classes {values[:5]!r:.80} of type {kind} are not two or more different names")
    return classes


def _parameter(name: str, value: Any) -> Any:
    if name == "classes":
        return None if value is None else _named(np.asarray(value))
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real) and math.isfinite(value):
        return float(value)
    raise UserError(
        f"The parameter {name}={value!r:.60} cannot be saved: only numbers, texts, booleans and None can."
    )


def _judged(said: Mapping[str, Any]) -> Linearity:
    """The verdict; a figure that is unknown (NaN) is stored as null."""
    kinds = {field.name: str(field.type) for field in fields(Linearity)}
    figures: dict[str, Any] = {k: _float(v) if kinds[k] == "float" else v for k, v in said.items()}
    return Linearity(**figures)


def _number(value: Any) -> Any:
    """A number as JSON has it: NaN as null, infinity as text."""
    if not isinstance(value, (float, np.floating)):
        return value.item() if isinstance(value, np.generic) else value
    return None if math.isnan(value) else float(value) if math.isfinite(value) else str(float(value))


def _float(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, str) and value not in ("inf", "-inf"):
        raise ValueError(f"{value!r} is not a number")
    return float(value)
