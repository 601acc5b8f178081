"""Arrays of other libraries, through scikit-learn's array API dispatch: solved by NumPy, answered in their own kind.

LAPACK on the CPU does the solving: the standard has no least squares and no triangular solve.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils._array_api import _convert_to_numpy, get_namespace_and_device


def to_numpy(a: Any) -> Any:
    """A NumPy array where ``config_context(array_api_dispatch=True)`` and ``a`` is of another library, else ``a``."""
    if a is None or (not hasattr(a, "__array_namespace__") and not hasattr(a, "__dlpack__")):
        return a
    xp, dispatched, _ = get_namespace_and_device(a)
    return _convert_to_numpy(a, xp) if dispatched and not isinstance(a, np.ndarray) else a


def like(answer: np.ndarray, X: Any) -> Any:
    """``answer`` in the library and on the device of ``X``; as it is for names of classes, which only NumPy holds."""
    if to_numpy(X) is X or answer.dtype.kind not in "biuf":
        return answer
    xp, _, device = get_namespace_and_device(X)
    return xp.asarray(np.array(answer), device=device)  # a copy: answers may be views
