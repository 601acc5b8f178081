"""The shortest vector that meets linear inequalities (Lawson and Hanson, 1974, chapter 23)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from limbeck._check import Array

NONE = 1e-9
"""Relative to 1, how near non-negative least squares comes to meeting its equations where no vector meets the
inequalities (Farkas)."""


def shortest(C: Array, b: Array) -> Array | None:
    """Shortest u with C u >= b, by non-negative least squares; None if there is none.

    Parameters
    ----------
    C : ndarray, shape (n, r)
        r may be 0.
    b : ndarray, shape (n,)

    Returns
    -------
    ndarray, shape (r,), or None
    """
    if b.max() <= 0:
        return np.zeros(C.shape[1])
    if C.shape[1] == 0:
        return None
    scale = np.linalg.norm(C, axis=1)
    scale[scale == 0] = 1.0
    size = max(float(np.abs(b / scale).max()), 1e-300)
    E = np.vstack([(C / scale[:, None]).T, (b / scale / size)[None, :]])
    f = np.append(np.zeros(C.shape[1]), 1.0)
    dual, _ = nnls(E, f, maxiter=50 * E.shape[1])
    rest = E @ dual - f
    if np.linalg.norm(rest) < NONE or rest[-1] >= 0:
        return None
    return -rest[:-1] / rest[-1] * size
