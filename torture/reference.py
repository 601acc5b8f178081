"""Slow answers: 50 digits, or a property that only the right answer has. Each returns what is wrong, or None."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np
from scipy.stats import beta

from limbeck import _check
from limbeck.theory import Span

mp.mp.dps = 50
EPS = float(np.finfo(float).eps)


def exact(a: Any) -> mp.matrix:
    """An array in 50 digits (exponents have no limit)."""
    return mp.matrix(np.asarray(a, dtype=np.float64).tolist())


def answers(X: Any, w: Any) -> Any:
    """X w, or w itself where they do not fit, for the call to refuse."""
    try:
        with np.errstate(all="ignore"):
            X, w = (_check.reals(v, "w") for v in (X, w))
            return X @ w
    except (TypeError, ValueError):
        return w


def taught(X: Any, w: Any) -> Any:
    """The student of a linear teacher."""
    return Span(X).weights(answers(X, w))


def _norm(v: mp.matrix) -> mp.mpf:
    return mp.sqrt(sum(x * x for x in v)) if len(v) else mp.mpf(0)


def least_squares(w: np.ndarray, X: Any, z: Any, *, slack: float = 1e4) -> str | None:
    """The weights minimise |X w - z|: no direction of the features lowers the residual beyond rounding.

    |X' r| is compared column by column with |X|' (|r| + eps (|X| |w| + |z|)): the backward error of least squares.
    """
    A, b, v = exact(X), exact(z), exact(w)
    r = b - A * v
    size = [abs(b[i]) + sum(abs(A[i, j] * v[j]) for j in range(A.cols)) for i in range(A.rows)]
    worst = mp.mpf(0)
    largest = _norm(r) + _norm(mp.matrix(size))
    for j in range(A.cols):
        column = mp.matrix([A[i, j] for i in range(A.rows)])
        allowed = EPS * _norm(column) * largest
        off = abs(sum(column[i] * r[i] for i in range(A.rows)))
        worst = max(worst, off / allowed if allowed else mp.mpf(0))
    return None if worst < slack * max(A.rows, A.cols) else f"off optimal by {float(worst):.2g} eps"


def projection(w: np.ndarray, X: Any, w_star: Any) -> str | None:
    """A linear teacher's answers are reproduced, and the student is no longer than the teacher."""
    v, teacher = exact(w), exact(w_star)
    if _norm(v) > _norm(teacher) * (1 + mp.mpf(1e-6)):
        return f"|w| = {mp.nstr(_norm(v), 5)} above the teacher's {mp.nstr(_norm(teacher), 5)}"
    return None


def idempotent(P: np.ndarray, X: Any, V: Any) -> str | None:
    """P (P V) = P V, and no longer than V."""
    again = Span(X).project(P)
    scale = np.abs(np.asarray(V, dtype=float)).max(axis=-1, keepdims=True)
    denormal = 100 * 5e-324  # below it floats have no digits to compare
    off = np.maximum(np.abs(again - P) - denormal, 0) / np.where(scale > 0, scale, 1)
    return None if off.max() < 1e-9 else f"projected twice: off by {off.max():.2g}"


def falls(angles: np.ndarray, X: Any, w: Any) -> str | None:
    """Lemma 1."""
    return None if np.all(np.diff(angles) <= 1e-15) and angles.min() >= 0 else "the angle grew"


def nonnegative(value: Any, *_: Any) -> str | None:
    """Shares and angles."""
    return "negative" if isinstance(value, float) and value < 0 else None


def angle(found: Any, U: Any, v: Any) -> str | None:
    """By the arccosine in 50 digits."""
    return _angle(found, U, v, unsigned=False)


def unsigned_angle(found: Any, U: Any, v: Any) -> str | None:
    """By the arccosine of the absolute value in 50 digits."""
    return _angle(found, U, v, unsigned=True)


def _angle(found: Any, U: Any, v: Any, *, unsigned: bool) -> str | None:
    rows, others = np.broadcast_arrays(np.asarray(U, dtype=float), np.asarray(v, dtype=float))
    rows, others = (a.reshape(-1, a.shape[-1]) for a in (rows, others))
    for value, row, other in zip(np.ravel(found), rows, others, strict=True):
        a, b = exact(row), exact(other)
        cosine = sum(x * y for x, y in zip(a, b, strict=True)) / (_norm(a) * _norm(b))
        true = mp.acos(min(max(abs(cosine) if unsigned else cosine, -1), 1))
        if abs(true - mp.mpf(float(value))) > 1e-14 + 1e-13 * true:
            return f"{float(value)!r} where {mp.nstr(true, 17)} is right"
    return None


def _close(found: Any, true: Any, rtol: float = 1e-10) -> str | None:
    found = float(found)
    if abs(mp.mpf(found) - true) <= rtol * abs(true) + mp.mpf(1e-300):
        return None
    return f"{found!r} where {mp.nstr(mp.mpf(true), 17)} is right"


def arcsine(found: float, eta: Any) -> str | None:
    """Lemma D.1: arcsin(eta)."""
    return _close(found, mp.asin(mp.mpf(float(eta)))) if float(eta) < 1 else None


def polynomial_tail(found: Any, kappa: Any, theta: Any) -> str | None:
    """p(theta) = (1 - 2 theta / pi)^kappa."""
    for value, t in zip(np.ravel(found), np.ravel(np.asarray(theta, dtype=float)), strict=True):
        true = max(1 - 2 * mp.mpf(float(t)) / mp.pi, mp.mpf(0)) ** mp.mpf(float(kappa))
        if t < 1.57 and (wrong := _close(value, true, 1e-9)):
            return wrong
    return None


def polynomial_bound(found: float, n: Any, kappa: Any) -> str | None:
    """Corollary 2 without c."""
    if not (found >= 0 and (n == 1 or found > 0 or float(kappa) > 100)):
        return f"{found!r}"
    return None


def symmetric_risk(found: Any, alpha: Any, kappa: Any, d: Any) -> str | None:
    """1/2 E[((2/pi) arctan(T tan alpha))^kappa] by quadrature over T = sin(phi), density cos(phi)^(d-3) dphi."""
    d, kappa = int(d), mp.mpf(float(kappa))
    for value, a in zip(np.ravel(found), np.ravel(np.asarray(alpha, dtype=float)), strict=True):
        if d < 3 or not 0.01 < kappa < 20 or not 0.01 < a < 1.5:
            continue
        tangent = mp.tan(mp.mpf(float(a)))

        def integrand(s: mp.mpf, tangent: mp.mpf = tangent) -> mp.mpf:
            return (2 / mp.pi * mp.atan(mp.sin(s) * tangent)) ** kappa * mp.cos(s) ** (d - 3)

        with mp.workdps(15):
            top = mp.quad(integrand, [0, 1e-4, 1e-2, 0.1, 1, mp.pi / 2])
            true = top / (2 * mp.quad(lambda s: mp.cos(s) ** (d - 3), [0, mp.pi / 2]))
        if wrong := _close(value, true, 1e-6):
            return wrong
    return None


def disagreement(found: Any, student: Any, teacher: Any) -> str | None:
    """Decisions compared one by one."""
    s, t = np.asarray(student, dtype=float), np.asarray(teacher, dtype=float)
    if s.shape != t.shape:
        return None
    true = np.mean([(a >= 0) != (b >= 0) for a, b in zip(s.ravel(), t.ravel(), strict=True)])
    return None if np.allclose(found, true) else f"{found!r} where {true!r} is right"


def around(found: Any, *_: Any) -> str | None:
    """An interval holds what it is an interval of."""
    slack = 1e-9 * (1 + abs(found.estimate))
    right = found.low - slack <= found.estimate <= found.high + slack
    return None if right else f"{found.estimate} outside {found.low} to {found.high}"


def clopper_pearson(found: float, wrong: Any, size: Any, confidence: Any) -> str | None:
    """By the beta distribution's own inverse."""
    true = (
        1.0 if wrong == size else float(beta.ppf(float(confidence), int(wrong) + 1, int(size) - int(wrong)))
    )
    return _close(found, true, 1e-6)


def rows_sum_to_one(found: Any, log_p: Any, tail: str) -> str | None:
    """Probabilities that sum to 1; with nothing cut off, those named as they were given, divided by their sum."""
    del tail
    p, named = found.probabilities, ~np.isnan(np.asarray(log_p, dtype=float))
    if p.ndim == 1:
        p = np.column_stack([1 - p, p])
    if len(p) and np.abs(p.sum(axis=1) - 1).max() > 1e-12:
        return f"rows sum to {p.sum(axis=1)}"
    whole = named.all(axis=1)
    given = np.exp(np.where(named, log_p, 0.0))
    off = np.abs(p - given / given.sum(axis=1, keepdims=True))[whole]
    return None if not off.size or off.max() < 1e-5 else f"off by {off.max():.2g}"


def log_odds(found: Any, p: Any) -> str | None:
    """log(p / (1-p)) in 50 digits, where it is not saturated."""
    p = np.asarray(p, dtype=float)
    for value, given in zip(found.logits, p, strict=True):
        if np.isfinite(value):
            true = mp.log(mp.mpf(float(given))) - mp.log1p(-mp.mpf(float(given)))
            if abs(mp.mpf(float(value)) - true) > 1e-14 * (1 + abs(true)):
                return f"{value!r} where {mp.nstr(true, 17)} is right"
    return None
