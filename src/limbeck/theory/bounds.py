"""Upper bounds on the expected transfer risk (Eq. 18-21, 78), each as printed and as its proof gives it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize_scalar

from limbeck.theory import _check
from limbeck.theory._check import Array
from limbeck.theory.angles import RIGHT, Tail

PER_DECADE = 24
"""Angles tried for every factor of ten in the distance to an end of their range."""


def transfer_risk_bound(tail: Tail, n: int, *, d: int | None = None, beta: float | None = None) -> float:
    """Theorem 3 as stated: E[R] <= p(beta) + p(pi/2 - beta)^n (Eq. 19), and 0 for n >= d (Eq. 18).

    Parameters
    ----------
    tail : Tail
        p(theta) of the task.
    n : int
        Size of the transfer set.
    d : int, optional
        Dimension of the data's span. Given, n >= d returns 0: that holds for points with a density
        (almost surely n points then have rank min(n, d)); for other data compare ranks, not counts.
    beta : float, optional
        Angle in [0, pi/2]. Default: the one that makes the bound smallest.

    Returns
    -------
    float
        The bound; may exceed 1 for a given ``beta``. Its second term has a relative rounding of n times 1e-16.

    Raises
    ------
    ValueError
        If n < 1, d < 1 or beta is outside [0, pi/2].
    """
    return _bound(_statement(tail, n), tail, n, d, beta, RIGHT)


def transfer_risk_bound_tight(
    tail: Tail, n: int, *, d: int | None = None, beta: float | None = None
) -> float:
    """Theorem 3 as its proof ends: E[R] <= p(beta) + (1 - p(beta)) p(pi/2 - beta)^n; see `transfer_risk_bound`.

    Never above the printed bound: the proof's last line carries the share of points inside beta,
    which (19) drops.
    """
    return _bound(_proof(tail, n, 0.0), tail, n, d, beta, RIGHT)


def transfer_risk_angle(tail: Tail, n: int) -> float:
    """Angle beta where Theorem 3 is smallest: `transfer_risk_bound` is p(beta) + p(pi/2 - beta)^n there."""
    return best_beta(_statement(tail, _check.count(n, "n")), tail)


def approximate_risk_bound(
    tail: Tail, n: int, eta: float, *, d: int | None = None, beta: float | None = None
) -> float:
    """Theorem D.1 as it should read, for a student within eta |w_hat| of the exact one.

    With delta = arcsin(eta), the sharp constant of Lemma D.1, and any beta in [0, pi/2 - delta]:
    E[R] <= p(beta) + (1 - p(beta)) p(pi/2 - delta - beta)^n. The closeness is relative, so that it
    is a condition on the learner rather than on the random norm of w_hat.

    Parameters
    ----------
    tail, n
        As in `transfer_risk_bound`.
    eta : float
        |w_eps - w_hat| <= eta |w_hat| for every transfer set, 0 <= eta < 1.
    d, beta
        As in `transfer_risk_bound`. n >= d leaves delta: the bound is then p(pi/2 - delta).

    Raises
    ------
    ValueError
        If eta is outside [0, 1) or beta outside [0, pi/2 - delta].
    """
    delta = angle_of_perturbation(eta)
    if d is not None and n >= _check.count(d, "d") and _check.count(n, "n"):
        return bound_at_angle(tail, delta)
    return _bound(_proof(tail, n, delta), tail, n, None, beta, RIGHT - delta)


def approximate_risk_bound_printed(
    tail: Tail, n: int, epsilon: float, norm: float, *, beta: float | None = None
) -> float:
    """Theorem D.1 as printed (Eq. 78), where it is well-posed: p(beta) + p(pi/2 - delta - beta)^n.

    delta = sqrt(2 pi epsilon / norm), with ``norm`` a lower bound on |w_hat| over *all* transfer
    sets: the printed delta depends on the random norm of w_hat outside the expectation. See
    `approximate_risk_bound` for the statement without that flaw.

    Raises
    ------
    ValueError
        If epsilon > norm / 2 (assumption of Lemma D.1), or epsilon > pi norm / 8, where no beta is left.
    """
    delta = angle_of_perturbation_printed(epsilon, norm)
    if delta > RIGHT:
        raise ValueError(
            f"epsilon = {epsilon} exceeds pi/8 of the norm {norm}: delta = {delta:.3g} > pi/2 leaves no beta. "
            "approximate_risk_bound has the sharp delta, arcsin(epsilon / norm)."
        )
    return _bound(lambda b: tail(b) + tail(RIGHT - delta - b) ** n, tail, n, None, beta, RIGHT - delta)


def angle_of_perturbation(eta: float) -> float:
    """Largest angle between w and any v with |v - w| <= eta |w|: arcsin(eta), the sharp Lemma D.1.

    Raises
    ------
    ValueError
        Unless 0 <= eta < 1: at eta = 1, v may be 0 and has no direction.
    """
    return float(np.arcsin(_check.number(eta, "eta", least=0.0, below=1.0)))


def angle_of_perturbation_printed(epsilon: float, norm: float) -> float:
    """Lemma D.1 as printed: sqrt(2 pi epsilon / norm) for epsilon <= norm / 2; see `angle_of_perturbation`."""
    norm = _check.number(norm, "norm", above=0.0, finite=True)
    epsilon = _check.number(epsilon, "epsilon", least=0.0)
    if epsilon > norm / 2:
        raise ValueError(f"epsilon = {epsilon} exceeds half the norm {norm}: Lemma D.1 does not apply.")
    return float(np.sqrt(2 * np.pi * epsilon / norm))


def bound_at_angle(tail: Tail, alpha: float, *, symmetric: bool = False) -> float:
    """Risk of a student at a known angle to its teacher: R <= p(pi/2 - alpha), by the triangle inequality.

    Parameters
    ----------
    tail : Tail
        p(theta) of the task.
    alpha : float
        Angle between student and teacher, radians in [0, pi/2]. With |w_star| known it needs no
        test set: cos(alpha) = |w_hat| / |w_star|.
    symmetric : bool
        Whether the task is symmetric about the teacher (section 5.1's are): halves the bound.

    Returns
    -------
    float
    """
    alpha = _check.number(alpha, "alpha", least=0.0, most=RIGHT)
    return float(tail(RIGHT - alpha)) * (0.5 if symmetric else 1.0)


def margin_bound(tail: Tail, n: int, beta: float, *, d: int | None = None) -> float:
    """Corollary 1: E[R] <= gamma^n with gamma = p(pi/2 - beta), for tasks with p(beta) = 0 (Eq. 20).

    Parameters
    ----------
    tail : Tail
        p(theta) of the task.
    n : int
        Size of the transfer set.
    beta : float
        Angle in [0, pi/2] that no point exceeds.
    d : int, optional
        As in `transfer_risk_bound`.

    Raises
    ------
    ValueError
        If p(beta) > 0 or gamma = 1: the corollary does not apply.
    """
    n, beta = _check.count(n, "n"), _check.number(beta, "beta", least=0.0, most=RIGHT)
    outside, gamma = float(tail(beta)), float(tail(RIGHT - beta))
    if outside > 0:
        raise ValueError(f"p(beta) = {outside:.3g} at beta = {beta:.4g}: Corollary 1 needs p(beta) = 0.")
    if gamma >= 1:
        raise ValueError(f"gamma = p(pi/2 - beta) = 1 at beta = {beta:.4g}: Corollary 1 needs gamma < 1.")
    return 0.0 if d is not None and n >= _check.count(d, "d") else gamma**n


def polynomial_bound(n: int, kappa: float) -> float:
    """Corollary 2 for p(theta) <= (1 - 2 theta / pi)^kappa: E[R] <= (1 + (log n)^kappa) / n^kappa (Eq. 21).

    There is no factor c. The paper allows p(theta) <= c (1 - 2 theta / pi)^kappa and multiplies the
    bound by c, but its proof sets c = 1 and drops c^n; since p(0) = 1 forces c >= 1, only c = 1 is
    sound (errata, number 1).

    Parameters
    ----------
    n : int
        Size of the transfer set, at least 1.
    kappa : float
        Degree, >= 0; at 0 the bound is the vacuous 2.

    Returns
    -------
    float
    """
    n, kappa = _check.count(n, "n"), _check.number(kappa, "kappa", least=0.0, finite=True)
    return float(float(n) ** -kappa + (np.log(n) / n) ** kappa)


def polynomial_bound_before_simplifying(n: int, kappa: float) -> float:
    """Eq. 23: (1 - exp(-log(n) / n))^kappa + n^-kappa, Theorem 3 at beta = (pi/2) n^(-1/n); below (21)."""
    n, kappa = _check.count(n, "n"), _check.number(kappa, "kappa", least=0.0, finite=True)
    return float((-np.expm1(-np.log(n) / n)) ** kappa + float(n) ** -kappa)


def best_beta(objective: Callable[[Array], Array], tail: Tail, most: float = RIGHT) -> float:
    """Angle in [0, most] where a bound is smallest; every angle gives a valid bound, so none is risked."""
    # Many points or a small kappa take the best angle as near to either end as floats allow.
    near = most * np.logspace(-17.0, 0.0, 17 * PER_DECADE + 1)
    grid = np.concatenate([np.linspace(0.0, most, 513), near, most - near])
    # p steps or bends at its kinks t: the bound does at beta = t and at most - t, on either side.
    bends = np.concatenate([tail.kinks, most - tail.kinks])
    bends = np.concatenate([np.nextafter(bends, -1.0), bends, np.nextafter(bends, 9.0)])
    candidates = np.unique(np.concatenate([grid, bends[(bends >= 0) & (bends <= most)]]))
    values = objective(candidates)
    best = int(np.argmin(values))
    found, least = float(candidates[best]), float(values[best])
    # Polished in the logarithm of the distance to the nearer end.
    right = found > most / 2

    def at(log_distance: float) -> float:
        distance = np.exp(log_distance)
        return float(np.clip(most - distance if right else distance, low, high))

    low, high = candidates[max(best - 1, 0)], candidates[min(best + 1, len(candidates) - 1)]
    ends = np.sort(np.log(np.maximum([most - low, most - high] if right else [low, high], 1e-18)))
    if ends[0] < ends[1]:
        fine = minimize_scalar(
            lambda x: float(objective(np.asarray(at(x)))),
            bounds=ends,
            method="bounded",
            options={"xatol": 1e-12},
        )
        if fine.fun < least:
            return at(fine.x)
    return found


def _statement(tail: Tail, n: int) -> Callable[[Array], Array]:
    return lambda b: tail(b) + tail(RIGHT - b) ** n


def _proof(tail: Tail, n: int, delta: float) -> Callable[[Array], Array]:
    def bound(b: Array) -> Array:
        outside = tail(b)
        return outside + (1.0 - outside) * tail(RIGHT - delta - b) ** n

    return bound


def _bound(
    objective: Callable[[Array], Array], tail: Tail, n: int, d: int | None, beta: float | None, most: float
) -> float:
    n = _check.count(n, "n")
    if d is not None and n >= _check.count(d, "d"):
        return 0.0
    at = best_beta(objective, tail, most) if beta is None else beta
    return float(objective(np.asarray(_check.number(at, "beta", least=0.0, most=most))))
