"""Deep linear students: the end-to-end flow of balanced layers (Lemma C.1, Eq. 56) and its exact limit.

For balanced layers the product w of N layers obeys Lemma C.1. Its part outside the data span keeps its
direction u, and (66) says more than the paper draws from it: with phi the angle between w and the span,

    |w| sin(phi)^N   is conserved along the flow,

so the limit is where the answers are right and the conserved quantity is what it was:

    sin(phi)^N / cos(phi) = |w(0)| sin(phi_0)^N / |w_hat|,     w(inf) = w_hat + tan(phi) |w_hat| u.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from limbeck import _check
from limbeck._check import Array
from limbeck.theory._end_to_end import Flow, State
from limbeck.theory.factor import row_norms
from limbeck.theory.flow import increasing, train
from limbeck.theory.loss import pointwise_loss, soft_label_gap
from limbeck.theory.readings import ROUNDING
from limbeck.theory.span import Span

VANISHED = 1e-9
FOLLOWED = 1e12


@dataclass(frozen=True, eq=False)
class DeepLimit:
    """Where a deep linear student ends, and how far that is from the minimum-norm student."""

    weights: Array
    """w(inf), (d,)."""
    student: Array
    """w_hat, the limit of an infinitely small start (Theorem 1), (d,)."""
    leak: float
    """|w(inf) - w_hat|: what of the start outside the span is left, amplified."""
    angle: float
    """phi, the angle between w(inf) and the span, radians."""
    conserved: float
    """|w| sin(phi)^N, the same at every moment."""


@dataclass(frozen=True, eq=False)
class DeepTrajectory:
    """A deep linear student along the flow of Lemma C.1."""

    times: Array
    """Times of the flow, (k,)."""
    weights: Array
    """End-to-end weights, (k, d)."""
    losses: Array
    """L1 of each, nats, (k,)."""
    norms: Array
    """|w| of each, (k,)."""
    angles: Array
    """phi, the angle between w and the span, radians, (k,)."""
    distances: Array
    """Distance of each to the exact limit, (k,)."""
    conserved: Array
    """|w| sin(phi)^N of each, constant up to the integrator's error, (k,)."""
    converged: bool
    """Whether the last state is within the tolerance of the limit."""


def deep_limit(X: ArrayLike | Span, z: ArrayLike, w0: ArrayLike, depth: int) -> Array:
    """Exact limit w(inf) of a deep linear student trained by gradient flow from balanced layers.

    Theorem 2 gives a ball around w_hat; this is the point in it.

    Parameters
    ----------
    X : array_like, shape (n, d), or Span
        Points as rows, of any rank.
    z : array_like, shape (n,)
        Teacher logits. If no linear teacher gave them, w_hat is the minimiser of (1) in the span.
    w0 : array_like, shape (d,)
        Product of the layers at the start; the layers are assumed balanced (13).
    depth : int
        Number of layers N, at least 1; at 1 the limit is w_hat + (I - P) w(0).

    Returns
    -------
    ndarray, shape (d,)

    Raises
    ------
    ValueError
        If w(0) = 0 with depth >= 2 (every gradient vanishes there), or if w starts inside the span and
        the flow runs into 0, where it stops.
    ArithmeticError
        If w starts inside the span so far out, with answers above 1e12, that the flow cannot be followed.

    See Also
    --------
    deep_limit_details : the same with the leak, the angle and the conserved quantity.
    """
    return deep_limit_details(X, z, w0, depth).weights


def deep_limit_details(X: ArrayLike | Span, z: ArrayLike, w0: ArrayLike, depth: int) -> DeepLimit:
    """`deep_limit` with its parts; parameters and errors as there."""
    span, z, w0, depth = _arguments(X, z, w0, depth)
    w_hat = minimiser(span, z)
    outside = span.residual(w0) if span.rank < span.d else np.zeros(span.d)
    size, start = float(row_norms(w_hat)), float(row_norms(w0))
    beyond = float(row_norms(outside))
    if beyond <= span.tol * start:
        if depth > 1 and size > 0:
            _refuse_if_it_dies(span, z, w0, depth)
        if depth > 1:
            outside, beyond = np.zeros(span.d), 0.0
        return DeepLimit(w_hat + outside, w_hat, beyond, 0.0, 0.0)
    u = outside / beyond
    conserved_log = np.log(start) + depth * (np.log(beyond) - np.log(start))
    if size == 0:  # nothing to learn: w loses what it has inside the span, and phi ends at pi/2
        length = float(np.exp(conserved_log))
        return DeepLimit(length * u, w_hat, length, np.pi / 2, length)
    tangent = float(np.exp(_log_tangent(conserved_log - np.log(size), depth)))
    return DeepLimit(
        weights=w_hat + tangent * size * u,
        student=w_hat,
        leak=tangent * size,
        angle=float(np.arctan(tangent)),
        conserved=float(np.exp(conserved_log)),
    )


def _log_tangent(log_k: float, depth: int) -> float:
    """Root x = log tan(phi) of log(sin(phi)^N / cos(phi)) = log_k; the left side rises with slope 1 to N."""
    if depth == 1:
        return log_k
    slack = 0.5 * (depth - 1) * np.log(2.0)
    low, high = min(log_k / depth, log_k) - 1.0, max(log_k + slack, (log_k + slack) / depth) + 1.0
    return brentq(
        lambda x: depth * x - 0.5 * (depth - 1) * np.logaddexp(0.0, 2.0 * x) - log_k,
        low,
        high,
        xtol=1e-15,
        rtol=8.9e-16,
    )


def path_from_one_point(x: ArrayLike, z: float, w0: ArrayLike, depth: int, points: int = 200) -> Array:
    """Where the flow of Lemma C.1 passes when a single point is learned from, without integrating it.

    The span is a line, so w stays in the plane of that line and w(0), and the conserved |w| sin(phi)^N leaves one
    curve of that plane: w = |w| (cos(phi), sin(phi)), with phi in (0, pi) from its start to its limit.

    Parameters
    ----------
    x : array_like, shape (d,)
        The point.
    z : float
        The teacher's logit there.
    w0 : array_like, shape (d,)
        Product of the balanced layers at the start.
    depth : int
        Number of layers N.
    points : int
        Number of weights returned.

    Returns
    -------
    ndarray, shape (points, d)
        From w(0) to the limit.

    Raises
    ------
    ValueError
        As `deep_limit`.
    """
    x = _check.nonzero(_check.vector(x, "x"), "x")
    span, z_, w0, depth = _arguments(x[None, :], [z], w0, depth)
    end = deep_limit_details(span, z_, w0, depth)
    e = x / row_norms(x)
    beyond = span.residual(w0) if span.d > 1 else np.zeros(1)
    if end.leak == 0.0 or not beyond.any():  # on the span's own line
        return np.linspace(w0, end.weights, points)
    u = beyond / row_norms(beyond)
    # log tan(phi / 2) is unbounded on both sides, and even steps of it resolve both ends of the curve.
    start, stop = (np.arcsinh(-float(w @ e) / float(w @ u)) for w in (w0, end.weights))
    t = np.linspace(start, stop, _check.count(points, "points", 2))
    sine, cosine = 1.0 / np.cosh(t), -np.tanh(t)
    norm = np.exp(np.log(row_norms(w0)) + depth * (np.log(sine[0]) - np.log(sine)))
    path = (norm * cosine)[:, None] * e + (norm * sine)[:, None] * u
    path[0], path[-1] = w0, end.weights
    return path


def minimiser(span: Span, z: Array) -> Array:
    """w_hat, the limit of gradient descent from zero: least squares on consistent logits, else argmin (1)."""
    answer = span.solve(z)
    return answer.weights if answer.inconsistency <= ROUNDING else train(span.X, z)


def _refuse_if_it_dies(span: Span, z: Array, w0: Array, depth: int) -> None:
    """Raise if a start inside the span runs into 0.

    While the loss is below that of w = 0 it cannot (12). Otherwise the flow is followed. Near 0 a
    deviation from the one direction that leads there grows like |w|^(-1/N): once w has shrunk by
    1e-9 to the power N without turning, only the integrator's error could turn it. In units of the
    longest point: the way into 0 does not depend on them, and no square leaves the range of floats.
    """
    A, start = span.coordinates(span.X), span.coordinates(w0)
    unit = float(row_norms(A).max())
    A, start = A / unit, start * unit
    flow, state = Flow(A, z, depth), State.of(start)
    at_zero = pointwise_loss(np.zeros(span.n), z).mean()
    for _ in range(200):
        if pointwise_loss(A @ state.w, z).mean() < at_zero:
            return
        if (reach := float(np.abs(A @ state.w).max())) > FOLLOWED:
            raise ArithmeticError(
                "w(0) lies in the span of the points, and only following the flow tells whether it ends in 0; from "
                f"answers of {reach:.2g} in size no digits are left for that (most: {FOLLOWED:g}). Start from a "
                "smaller w(0)."
            )
        if state.log_norm < np.log(row_norms(start)) + depth * np.log(VANISHED):
            raise ValueError(
                "w(0) lies in the span of the points and the flow from it runs into w = 0, where every layer's "
                "gradient vanishes: there is no limit to learn. Flip the sign of one layer, or start elsewhere."
            )
        state = flow.advance(state, 1.0 / max(float(row_norms(flow.gradient(state.w))), 1e-300)).end


# -- the flow of Lemma C.1 --------------------------------------------------------------------


def end_to_end_velocity(w: ArrayLike, X: ArrayLike, z: ArrayLike, depth: int) -> Array:
    """Right side of Lemma C.1 (Eq. 56) in all d coordinates: -|w|^(2-2/N) (grad + (N-1) P_w grad), (d,)."""
    X = _check.points(X)
    w = _check.nonzero(_check.vector(w, "w", X.shape[1]), "w")
    depth = _check.count(depth, "depth")
    slope = soft_label_gap(X @ w, _check.vector(z, "z", len(X))) @ X / len(X)
    square = float(w @ w)
    return -(square ** (1.0 - 1.0 / depth)) * (slope + (depth - 1) * (w @ slope) / square * w)


def deep_flow(
    X: ArrayLike | Span,
    z: ArrayLike,
    w0: ArrayLike,
    depth: int,
    *,
    times: ArrayLike | None = None,
    tolerance: float = 1e-6,
) -> DeepTrajectory:
    """Integrate the end-to-end flow of Lemma C.1 (Eq. 56) in the r + 1 coordinates where it lives.

    Parameters
    ----------
    X, z, w0, depth
        As in `deep_limit`.
    times : array_like, shape (k,), optional
        Increasing times >= 0 to report; restart from a state by passing its weights as ``w0``.
        Default: states on the way to convergence.
    tolerance : float
        Distance to the exact limit, relative to its norm, at which the flow has converged.

    Returns
    -------
    DeepTrajectory
        ``converged`` says whether the end was reached; what was reached is returned either way. Times
        that the integrator did not get to are left out.

    Raises
    ------
    ValueError
        As `deep_limit`; or if times do not increase.
    """
    span, z, w0, depth = _arguments(X, z, w0, depth)
    limit = deep_limit(span, z, w0, depth)
    outside = span.residual(w0) if span.rank < span.d else np.zeros(span.d)
    beyond = float(row_norms(outside))
    u = outside / beyond if beyond > 0 else outside
    A = span.coordinates(span.X)
    flow, state = Flow(A, z, depth), State.of(np.append(span.coordinates(w0), beyond))
    goal = np.append(span.coordinates(limit), float(limit @ u))
    close = tolerance * max(float(np.linalg.norm(goal)), 1e-300)
    states = (
        _to_convergence(flow, state, goal, close) if times is None else _at(flow, state, increasing(times))
    )
    return _deep_trajectory(span, A, z, states, u, goal, depth, close)


def _to_convergence(flow: Flow, start: State, goal: Array, close: float) -> list[State]:
    """States on the way to within ``close`` of the goal."""
    states = [start]
    if np.linalg.norm(start.w - goal) <= close:
        return states
    for stretch in flow.stretches(start):
        if stretch.length > 0:
            states += [stretch.at(s) for s in np.linspace(0.0, stretch.length, 13)[1:]]
        if np.linalg.norm(states[-1].w - goal) <= close:
            break
    return states


def _at(flow: Flow, start: State, stops: Array) -> list[State]:
    """States at the stops."""
    states, wanted, end = [], list(stops), start
    for stretch in flow.stretches(start):
        end = stretch.end
        while wanted and wanted[0] <= end.time:
            states.append(stretch.when(wanted.pop(0)))
        if not stretch.finished:
            return states or [end]
        if not wanted:
            return states
    # Times beyond the end of the clock: the flow has stopped moving by then.
    return states + [State(end.direction, end.log_norm, time) for time in wanted]


def _deep_trajectory(
    span: Span, A: Array, z: Array, states: list[State], u: Array, goal: Array, depth: int, close: float
) -> DeepTrajectory:
    W = np.array([s.w for s in states])
    norms = np.exp([s.log_norm for s in states])
    sines = np.array([s.direction[-1] for s in states])
    cosines = np.array([np.linalg.norm(s.direction[:-1]) for s in states])
    distances = np.linalg.norm(W - goal, axis=1)
    return DeepTrajectory(
        times=np.array([s.time for s in states]),
        weights=W[:, :-1] @ span.basis + W[:, -1:] * u,
        losses=pointwise_loss(W[:, :-1] @ A.T, z).mean(axis=1),
        norms=norms,
        angles=np.arctan2(sines, cosines),
        distances=distances,
        conserved=norms * np.maximum(sines, 0.0) ** depth,
        converged=bool(distances[-1] <= close),
    )


def _arguments(
    X: ArrayLike | Span, z: ArrayLike, w0: ArrayLike, depth: int
) -> tuple[Span, Array, Array, int]:
    span = X if isinstance(X, Span) else Span(X)
    z = np.asarray(_check.vector(z, "z", span.n), dtype=np.float64)
    w0 = np.asarray(_check.vector(w0, "w0", span.d), dtype=np.float64)
    depth = _check.count(depth, "depth")
    if depth > 1 and not w0.any():
        raise ValueError(
            f"w0 is zero: with depth = {depth} every layer's gradient vanishes there and nothing is learned. "
            "Start from a small nonzero w0, or use depth = 1."
        )
    return span, z, w0, depth
