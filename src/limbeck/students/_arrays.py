"""What comes in at the door: points, validated, and arrays of other libraries.

Arrays of other libraries come through scikit-learn's array API dispatch, are solved by NumPy and answered in kind:
the standard has no least squares and no triangular solve, so that LAPACK on the CPU does the work.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils._array_api import _convert_to_numpy, get_namespace_and_device
from sklearn.utils.validation import _check_sample_weight, validate_data

Rows = Any
"""Points as estimators take them: array-like, DataFrame, SciPy sparse or an array of another library; these share no
type."""


def to_numpy(a: Any) -> Any:
    """A NumPy array of the same precision where ``a`` is an array of another library, else ``a``.

    Raises
    ------
    ValueError
        If that library refuses, as torch does of tensors with a gradient and of a type that NumPy lacks.
    """
    foreign = hasattr(a, "__array_namespace__") or hasattr(a, "__dlpack__")
    if a is None or isinstance(a, (np.ndarray, np.generic)) or not foreign:
        return a
    xp, dispatched, _ = get_namespace_and_device(a)
    try:
        return _convert_to_numpy(a, xp) if dispatched else np.asarray(a)
    except (TypeError, RuntimeError, ValueError) as error:
        held = f"{type(a).__module__.partition('.')[0]} array of {getattr(a, 'dtype', 'unknown type')}"
        raise ValueError(
            f"A {held} and shape {tuple(a.shape)} cannot be read as a NumPy array ({error}). Of a torch tensor give "
            ".detach().cpu(), and .float() where it is bfloat16."
        ) from error


def like(answer: np.ndarray, X: Any) -> Any:
    """``answer`` in the library and on the device of ``X``; as it is for names of classes, which only NumPy holds."""
    if not _dispatched(X) or answer.dtype.kind not in "biuf":
        return answer
    xp, _, device = get_namespace_and_device(X)
    return xp.asarray(np.array(answer), device=device)  # a copy: answers may be views


def _dispatched(X: Any) -> bool:
    """Whether X is an array of another library and ``config_context(array_api_dispatch=True)``."""
    foreign = hasattr(X, "__array_namespace__") or hasattr(X, "__dlpack__")
    return foreign and not isinstance(X, np.ndarray) and get_namespace_and_device(X)[1]


def validated(estimator: Any, X: Any, **options: Any) -> Any:
    """scikit-learn's `validate_data` for float points; of numbers that are not finite it names the first.

    Raises
    ------
    ValueError
        scikit-learn's, with row and column where they can be told.
    """
    X = to_numpy(X)
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # of the sum by which NaN and inf are looked for
            return _canonical(validate_data(estimator, X, dtype=[np.float64, np.float32], **options))
    except ValueError as error:
        raise ValueError(f"{error}{_first_not_finite(X)}") from None


def _canonical(X: Any) -> Any:
    """Sparse rows with sorted indices and no duplicates: the caller's, if they are, else a copy.

    SciPy's own reductions would sort and sum in place, which the caller would see, or read-only memory refuse.
    """
    if not issparse(X) or X.format != "csr" or X.has_canonical_format:
        return X
    X = X.copy()
    X.sum_duplicates()
    return X


def weights_of(sample_weight: Any, X: Any) -> np.ndarray:
    """Weights of the rows of X, (n,); ValueError if one is negative or not finite, or all are zero."""
    weights = np.asarray(
        _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True), np.float64
    )
    if not weights.any():  # scikit-learn before 1.8 lets it pass
        raise ValueError(
            "Every sample_weight is zero, so that no row counts: at least one non-zero is needed."
        )
    return weights


def _first_not_finite(X: Any) -> str:
    X = X.tocoo() if issparse(X) else np.asarray(X)
    if X.dtype.kind != "f" or X.ndim != 2:
        return ""
    bad = np.flatnonzero(~np.isfinite(X.data)) if issparse(X) else np.argwhere(~np.isfinite(X))
    if len(bad) == 0:
        return ""
    row, column = (X.row[bad[0]], X.col[bad[0]]) if issparse(X) else bad[0]
    return f"\nThe first such number is in row {row}, column {column}."
