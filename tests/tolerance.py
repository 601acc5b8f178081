"""The one place tolerances come from: the dtype, the size, and how much the problem amplifies rounding."""

import numpy as np


def rounding(X, amplification=1.0):
    """Relative error to expect of a stable method on X, ``amplification`` its condition number."""
    X = np.asarray(X)
    return 30 * float(np.sqrt(max(X.shape))) * float(np.finfo(np.float64).eps) * amplification


def relative(a, b):
    """Relative distance of two arrays."""
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    return float(np.linalg.norm(a - b) / max(np.linalg.norm(b), np.finfo(float).tiny))
