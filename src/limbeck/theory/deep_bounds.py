"""Inequalities for deep linear students: Theorem 2 with its condition (11), and appendix C (57-59, 67-77).

The exact values they bound are in `limbeck.theory.deep`.
"""

from __future__ import annotations

import numpy as np

from limbeck.theory import _check


def largest_start(epsilon: float, student_norm: float, depth: int) -> float:
    """Condition (11): the norm of w(0) below which Theorem 2 promises |w(inf) - w_hat| <= epsilon.

    (11) is the minimum of |w_hat| and epsilon^N (epsilon^2 |w_hat|^(-2/N) + |w_hat|^(2 - 2/N))^(-N/2).
    The second equals |w_hat| sin(arctan(epsilon / |w_hat|))^N, which is always the smaller: the minimum
    is redundant.

    Parameters
    ----------
    epsilon : float
        Radius wanted, > 0.
    student_norm : float
        |w_hat|, > 0.
    depth : int
        Number of layers N, at least 2.
    """
    epsilon = _check.number(epsilon, "epsilon", above=0.0)
    size, depth = _student(student_norm, depth)
    return float(size * np.sin(np.arctan2(epsilon, size)) ** depth)


def theorem_2_radius(norm: float, student_norm: float, depth: int) -> float:
    """Radius of Theorem 2's ball, the root of (75) = (76): the least epsilon that (11) allows |w(0)| = norm.

    sqrt(|w_hat|^(2 + 2/N) / (|w_hat|^(2/N) - |w(0)|^(2/N)) - |w_hat|^2), infinite for |w(0)| >= |w_hat|. The
    exact distance (`limbeck.theory.deep`) is smaller by at least the square root of the share of
    |w(0)|^2 outside the span.
    """
    norm = _check.number(norm, "norm", least=0.0, finite=True)
    size, depth = _student(student_norm, depth)
    if norm >= size:
        return float("inf")
    with np.errstate(over="ignore"):
        return float(size / np.sqrt(np.expm1(-2.0 / depth * _log_ratio(norm, size))))


def outside_share_bound(start_norm: float, norm: float, depth: int) -> float:
    """(67): the share of |w|^2 outside the span is at most (|w(0)| / |w|)^(2/N)."""
    start_norm = _check.number(start_norm, "start_norm", least=0.0)
    norm = _check.number(norm, "norm", above=0.0)
    return float((start_norm / norm) ** (2.0 / _check.count(depth, "depth", 2)))


def largest_limit_norm(start_norm: float, student_norm: float, depth: int) -> float:
    """K of (70), at least |w(inf)| (73): |w_hat| (1 - (|w(0)| / |w_hat|)^(2/N))^(-N / (2 (N - 1))).

    f(K) <= 1 (72) while the limit's norm nu has f(nu) >= 1 (69), and f falls. Infinite for |w(0)| >= |w_hat|.
    """
    start_norm = _check.number(start_norm, "start_norm", least=0.0)
    size, depth = _student(student_norm, depth)
    if start_norm >= size:
        return float("inf")
    left = -np.expm1(2.0 / depth * _log_ratio(start_norm, size))
    return float(size * left ** (-depth / (2.0 * (depth - 1))))


def deep_loss_after(t: float, start: float, c: float, nearest: float, depth: int) -> float:
    """Upper bound on the loss of a deep student's flow (57)-(59): L(0) exp(-2 c delta^(2 - 2/N) t).

    With the 2 that the paper leaves out, as in (54).

    Parameters
    ----------
    t : float
        Time, >= 0.
    start : float
        L(0), nats.
    c : float
        Constant of Corollary A.1 on the sublevel set of L(0).
    nearest : float
        delta, a lower bound of |w| on that sublevel set; see `nearest_to_zero`.
    depth : int
        Number of layers N.
    """
    t = _check.number(t, "t", least=0.0)
    depth = _check.count(depth, "depth")
    nearest = _check.number(nearest, "nearest", least=0.0)
    return float(start * np.exp(-2.0 * c * nearest ** (2.0 - 2.0 / depth) * t))


def nearest_to_zero(loss_at_zero: float, level: float, slope_at_zero: float) -> float:
    """Lower bound of |w| on {L1 <= level} < L1(0), for (58): (L1(0) - level) / |grad L1(0)|, by convexity."""
    slope = _check.number(slope_at_zero, "slope_at_zero", above=0.0)
    return max(0.0, (loss_at_zero - level) / slope)


def _log_ratio(norm: float, size: float) -> float:
    """log(norm / size), which a student that starts all but as long as it ends has all its digits in."""
    with np.errstate(divide="ignore"):
        return float(np.log1p((norm - size) / size) if norm > size / 2 else np.log(norm) - np.log(size))


def _student(norm: float, depth: int) -> tuple[float, int]:
    return _check.number(norm, "student_norm", above=0.0, finite=True), _check.count(depth, "depth", 2)
