"""Gradient flow (Eq. 3) and gradient descent of a directly parameterised student (Theorem 1).

The gradient lies in the data span (Lemma B.1), so a student moves in r coordinates whatever d is, and
what it starts with outside the span stays: w(inf) = w_hat + (I - P) w(0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp
from scipy.linalg import lstsq
from scipy.optimize import minimize

from limbeck import _check
from limbeck._check import Array
from limbeck.theory.factor import row_norms
from limbeck.theory.loss import logit_curvature, pointwise_loss, soft_label_gap
from limbeck.theory.span import Span

LATEST = 1e12


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A student at a sequence of times (or steps) of its training."""

    times: Array
    """Times of the flow, or numbers of steps, (k,)."""
    weights: Array
    """Student weights, (k, d)."""
    losses: Array
    """L1 of each, nats, (k,)."""
    gradient_norms: Array
    """|grad L1| of each, (k,); along the flow the loss falls at the rate of its square (Eq. 8, 53)."""
    converged: bool
    """Whether the last state is within the tolerance of the limit, by its Newton step."""
    distance: float
    """Length of the Newton step from the last state, an estimate of its distance to the limit."""


def gradient_flow(
    X: ArrayLike,
    z: ArrayLike,
    *,
    w0: ArrayLike | None = None,
    times: ArrayLike | None = None,
    tolerance: float = 1e-8,
) -> Trajectory:
    """Integrate dw/dt = -grad L1(w) (Eq. 3, N = 1); from zero it ends at w_hat (Theorem 1, Lemma B.1).

    Parameters
    ----------
    X : array_like, shape (n, d)
        Points as rows.
    z : array_like, shape (n,)
        Teacher logits.
    w0 : array_like, shape (d,), optional
        Where the student starts; default zero, as in Theorem 1.
    times : array_like, shape (k,), optional
        Increasing times >= 0 to report. Default: the start, powers of ten, and on to convergence.
    tolerance : float
        The flow has converged when the Newton step is this small relative to the student.

    Returns
    -------
    Trajectory
        ``converged`` says whether the end was reached; a saturated teacher (|z| of hundreds) is
        approached only logarithmically, and what was reached by t = 1e12 / |X|^2 is returned. Times that
        the integrator did not get to are left out.

    Raises
    ------
    ValueError
        If times do not increase or are negative, or a shape does not match.
    """
    span = Span(X)
    z = np.asarray(_check.vector(z, "z", span.n), dtype=np.float64)
    w0 = np.zeros(span.d) if w0 is None else np.asarray(_check.vector(w0, "w0", span.d), dtype=np.float64)
    A = span.coordinates(span.X)
    v0, outside = span.coordinates(w0), span.residual(w0)
    if times is None:
        stops, states = _to_convergence(A, z, v0, tolerance)
    else:
        stops = increasing(times)
        states = _integrate(A, z, v0, stops)
        if not len(states):
            stops, states = np.zeros(1), v0[None, :]
        stops = stops[: len(states)]
    return _trajectory(span, A, z, stops, states, outside, tolerance)


def increasing(times: ArrayLike) -> Array:
    """Return times as a float array (k,); ValueError unless they are >= 0 and increase."""
    times = np.asarray(_check.vector(np.atleast_1d(np.asarray(times)), "times"), dtype=np.float64)
    if times[0] < 0 or np.any(np.diff(times) <= 0):
        raise ValueError("times must be >= 0 and increase: the flow runs forward only.")
    return times


def _integrate(A: Array, z: Array, v0: Array, times: Array, start: float = 0.0) -> Array:
    """States (k, r) of the flow in the span's coordinates at the times it gets to, from v0 at ``start``."""
    if A.shape[1] == 0 or times[-1] == start:
        return np.tile(v0, (len(times), 1))
    n = len(A)
    scale = max(float(np.abs(lstsq(A, z)[0]).max()), float(np.abs(v0).max()), 1e-300)
    solved = solve_ivp(
        lambda t, v: -A.T @ soft_label_gap(A @ v, z) / n,
        (start, times[-1]),
        v0,
        method="Radau",
        t_eval=times,
        jac=lambda t, v: -(A.T * logit_curvature(A @ v)) @ A / n,
        rtol=1e-9,
        atol=1e-12 * scale,
    )
    return np.reshape(solved.y, (len(v0), -1)).T


def _to_convergence(A: Array, z: Array, v0: Array, tolerance: float) -> tuple[Array, Array]:
    size = float(np.square(row_norms(A)).mean()) if A.size else 1.0
    unit = 1.0 / max(size, 1e-300)
    stops, states = [0.0], [v0]
    while stops[-1] < LATEST * unit and not _newton_step(A, z, states[-1]) <= tolerance * np.linalg.norm(
        states[-1]
    ):
        ahead = unit if len(stops) == 1 else 10 * stops[-1]
        reached = _integrate(A, z, states[-1], np.array([ahead]), stops[-1])
        if not len(reached):
            break
        states.append(reached[-1])
        stops.append(ahead)
    return np.array(stops), np.array(states)


def _newton_step(A: Array, z: Array, v: Array) -> float:
    """Length of the Newton step at v: the distance to the limit, to first order."""
    if A.shape[1] == 0:
        return 0.0
    root = np.sqrt(logit_curvature(A @ v))
    with np.errstate(divide="ignore", invalid="ignore"):
        target = np.where(root > 0, soft_label_gap(A @ v, z) / root, np.inf)
    if not np.all(np.isfinite(target)):
        return np.inf
    return float(np.linalg.norm(lstsq(root[:, None] * A, target)[0]))


def _trajectory(
    span: Span, A: Array, z: Array, stops: Array, states: Array, outside: Array, tolerance: float
) -> Trajectory:
    logits = states @ A.T
    gaps = soft_label_gap(logits, z)
    distance = _newton_step(A, z, states[-1])
    return Trajectory(
        times=stops,
        weights=states @ span.basis + outside,
        losses=pointwise_loss(logits, z).mean(axis=1),
        gradient_norms=np.linalg.norm(gaps @ A, axis=1) / span.n,
        converged=bool(distance <= tolerance * max(np.linalg.norm(states[-1]), 1e-300)) or distance == 0.0,
        distance=distance,
    )


def largest_stable_step(X: ArrayLike) -> float:
    """8 n / sigma_max(X)^2: gradient descent with any smaller step reaches the same w_hat.

    sigma' is at most 1/4, so the gradient's Lipschitz constant is at most sigma_max^2 / (4 n), and
    descent on a convex function converges below 2 over that constant.
    """
    X = _check.points(X)
    return 8.0 * len(X) / float(np.linalg.norm(X, ord=2)) ** 2


def gradient_descent(
    X: ArrayLike, z: ArrayLike, steps: int, *, step_size: float | None = None, w0: ArrayLike | None = None
) -> Trajectory:
    """Gradient descent with a constant step on the soft labels.

    Parameters
    ----------
    X, z
        As in `gradient_flow`.
    steps : int
        Number of steps, at least 1.
    step_size : float, optional
        Default: half of `largest_stable_step`. A larger one is allowed and may diverge.
    w0
        As in `gradient_flow`.

    Returns
    -------
    Trajectory
        The start and the end.
    """
    span = Span(X)
    z = np.asarray(_check.vector(z, "z", span.n), dtype=np.float64)
    w0 = np.zeros(span.d) if w0 is None else np.asarray(_check.vector(w0, "w0", span.d), dtype=np.float64)
    steps = _check.count(steps, "steps")
    rate = (
        0.5 * largest_stable_step(span.X)
        if step_size is None and span.rank
        else 1.0  # points of length zero move nothing, whatever the step
        if step_size is None
        else _check.number(step_size, "step_size", above=0.0)
    )
    A = span.coordinates(span.X)
    v = start = span.coordinates(w0)
    for _ in range(steps):
        v = v - rate / span.n * (soft_label_gap(A @ v, z) @ A)
    return _trajectory(
        span, A, z, np.array([0.0, steps]), np.stack([start, v]), span.residual(w0), tolerance=1e-8
    )


def train(X: ArrayLike, z: ArrayLike) -> Array:
    """Minimise the cross-entropy (1) from zero by SciPy's trust-region Newton method, inside the span.

    What a user's optimiser would do, without Theorem 1: every step from zero stays in the data span,
    and the minimiser there is unique. The literal protocol of the figures trains with it.

    Parameters
    ----------
    X : array_like, shape (n, d)
        Points as rows.
    z : array_like, shape (n,)
        Teacher logits.

    Returns
    -------
    ndarray, shape (d,)
    """
    span = Span(X)
    z = np.asarray(_check.vector(z, "z", span.n), dtype=np.float64)
    A, n = span.coordinates(span.X), span.n
    if not A.shape[1]:
        return np.zeros(span.d)
    size = float(np.abs(A).max())
    size = size if not 1e-6 < size < 1e6 else 1.0  # the optimiser squares the Hessian
    A = A / size
    found = minimize(
        lambda v: pointwise_loss(A @ v, z).mean(),
        np.zeros(A.shape[1]),
        jac=lambda v: soft_label_gap(A @ v, z) @ A / n,
        hess=lambda v: (A.T * logit_curvature(A @ v)) @ A / n,
        method="trust-exact",
        options={"gtol": 1e-14},
    )
    return (found.x / size) @ span.basis


def loss_after(t: ArrayLike, start: float, c: float) -> Array:
    """Upper bound L(0) exp(-2 c t) on the loss of the flow (Eq. 54), c of Corollary A.1 at level L(0).

    The paper integrates L' <= -c L; Corollary A.1 gives |grad L|^2 >= 2 c L, twice that.
    """
    return _check.number(start, "start", least=0.0) * np.exp(-2.0 * c * np.asarray(t, dtype=np.float64))
