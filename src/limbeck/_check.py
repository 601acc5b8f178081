"""What the theory accepts: finite, non-empty arrays of the right shape, or an error naming the argument."""

from __future__ import annotations

import os
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating]

LEAST, MOST = 1e-152, 1e152
"""Sizes whose squares and products stay inside the range of floats, with room for the sum of many."""


def points(X: ArrayLike, name: str = "X") -> Array:
    """Return ``X`` as a finite float array of shape (n, d), n and d at least 1."""
    if hasattr(X, "toarray"):
        raise TypeError(
            f"{name} is sparse, and the theory factorises dense arrays: "
            f"pass {name}.toarray() if that fits in memory."
        )
    X = _floats(X, name)
    if X.ndim != 2:
        raise ValueError(f"{name} must have two axes (points, features), got shape {X.shape}.")
    if 0 in X.shape:
        raise ValueError(f"{name} is empty: shape {X.shape}; at least one point and one feature are needed.")
    return in_range(_finite(X, name), name)


def vector(v: ArrayLike, name: str, size: int | None = None, *, squared: bool = True) -> Array:
    """Return ``v`` as a finite float array of shape (size,); of any magnitude if it is never ``squared``."""
    v = _floats(v, name)
    if v.ndim != 1:
        raise ValueError(f"{name} must have one axis, got shape {v.shape}.")
    if v.size == 0:
        raise ValueError(f"{name} is empty.")
    if size is not None and v.size != size:
        raise ValueError(f"{name} has {v.size} entries where {size} are needed.")
    return in_range(_finite(v, name), name) if squared else _finite(v, name)


def reals(a: ArrayLike, name: str, *, least: float | None = None) -> Array:
    """Return ``a``, of any shape, as a float64 array without NaN, or an error naming the argument."""
    a = np.asarray(_floats(a, name), dtype=np.float64)
    bad = np.isnan(a) if least is None else ~(a >= least)
    if bad.any():
        wanted = "a number, and nan is not finite" if least is None else f">= {least:g}"
        raise ValueError(f"{name} holds {a[bad][0]}: every entry must be {wanted}.")
    return a


def in_range(a: Array, name: str) -> Array:
    """Return ``a`` unless squares of its largest entry would leave the range of floats."""
    largest = max(float(a.max(initial=0.0)), -float(a.min(initial=0.0)))
    if largest == 0 or LEAST <= largest <= MOST:
        return a
    raise ValueError(
        f"The largest entry of {name} is {largest:.3g} in size, and squares of it leave the range of floating point: "
        f"rescale {name} to between {LEAST:g} and {MOST:g}."
    )


def covariance(S: ArrayLike, name: str, d: int) -> Array:
    """Return ``S`` as a float64 array (d, d), symmetric and positive semidefinite but for rounding, and not zero."""
    S = np.asarray(points(S, name), dtype=np.float64)
    if S.shape != (d, d):
        raise ValueError(f"{name} must have shape {(d, d)}, got {S.shape}.")
    size = float(np.abs(S).max())
    off = np.abs(S - S.T)
    if off.max() > 1e-8 * size:
        i, j = (int(k) for k in np.unravel_index(off.argmax(), off.shape))
        raise ValueError(
            f"{name} must be symmetric: [{i}, {j}] is {S[i, j]:.6g} and [{j}, {i}] is {S[j, i]:.6g}."
        )
    try:
        np.linalg.cholesky((S + S.T) / 2 + 1e-8 * size * np.eye(d))
    except np.linalg.LinAlgError:
        raise ValueError(
            f"{name} must be positive semidefinite and not zero: its least eigenvalue is "
            f"{np.linalg.eigvalsh((S + S.T) / 2)[0]:.6g}, as no variance is."
        ) from None
    return S


def nonzero(v: Array, name: str) -> Array:
    """Return ``v`` unless it, or one of its rows, has length zero: a zero vector has no direction."""
    lengths = np.abs(v).max(axis=-1)
    if not np.all(lengths > 0):
        where = "" if v.ndim == 1 else f" in row {int(np.argmin(lengths > 0))}"
        raise ValueError(f"{name} has length zero{where}: it has no direction, so no angle.")
    return v


def count(n: object, name: str, least: int = 1) -> int:
    """Return ``n`` as an int of at least ``least``."""
    if isinstance(n, bool) or not isinstance(n, Integral) or not least <= int(n) <= 2**53:
        raise ValueError(f"{name} must be an integer of at least {least}, got {n!r}.")
    return int(n)


def number(
    x: object,
    name: str,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
    below: float | None = None,
    finite: bool = True,
) -> float:
    """Return ``x`` as a float inside the stated range; the error names the argument and the range."""
    if isinstance(x, bool) or not isinstance(x, Real):
        raise ValueError(f"{name} must be a real number, got {x!r}.")
    try:
        x = float(x)
    except OverflowError as error:
        raise ValueError(f"{name} is beyond the range of floating point.") from error
    wanted = [
        (above is None or x > above, f"> {above}"),
        (least is None or x >= least, f">= {least}"),
        (most is None or x <= most, f"<= {most}"),
        (below is None or x < below, f"< {below}"),
        (not finite or np.isfinite(x), "finite"),
    ]
    missed = [text for holds, text in wanted if not holds]
    if missed or np.isnan(x):
        raise ValueError(f"{name} must be {' and '.join(missed) or 'a number'}, got {x!r}.")
    return x


def fits_memory(n: int, instead: str) -> None:
    """Refuse kernel matrices of n points that the machine's memory cannot hold: three are alive at once."""
    needed, there = 3 * 8.0 * n * n, memory()
    if needed > there:
        raise ValueError(
            f"The kernel matrix of {n} points and its factor need {needed / 1e9:.1f} GB of memory and this machine "
            f"has {there / 1e9:.1f} GB. {instead}"
        )


def memory() -> float:
    """Bytes of memory of this machine; inf where the system does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return float("inf")


def _floats(a: ArrayLike, name: str) -> Array:
    a = np.asarray(a)
    if a.dtype == object or a.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be real numbers, got dtype {a.dtype}.")
    if a.dtype.kind != "f":
        return a.astype(np.float64)
    return a.astype(np.float32) if a.dtype == np.float16 else a


def _finite(a: Array, name: str) -> Array:
    bad = ~np.isfinite(a)
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        row = f"row {at[0]}" + (f", column {at[1]}" if len(at) > 1 else "")
        raise ValueError(f"{name} holds {a[at]} at {row}: every entry must be a finite number.")
    return a
