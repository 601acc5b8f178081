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
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from limbeck.theory import _check
from limbeck.theory._check import Array
from limbeck.theory._factor import row_norms
from limbeck.theory.flow import increasing, train
from limbeck.theory.loss import logit_curvature, pointwise_loss, soft_label_gap
from limbeck.theory.span import Span

INCONSISTENT = 1e-9
VANISHED = 1e-9
LONGEST = 1e6


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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
        if depth > 1:
            _refuse_if_it_dies(span, z, w0, depth)
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


def minimiser(span: Span, z: Array) -> Array:
    """w_hat, the limit of gradient descent from zero: least squares on consistent logits, else argmin (1)."""
    answer = span.solve(z)
    return answer.weights if answer.inconsistency <= INCONSISTENT else train(span.X, z)


def _refuse_if_it_dies(span: Span, z: Array, w0: Array, depth: int) -> None:
    """Raise if a start inside the span runs into 0.

    While the loss is below that of w = 0 it cannot (12). Otherwise the flow is followed. Near 0 a
    deviation from the one direction that leads there grows like |w|^(-1/N): once w has shrunk by
    1e-9 to the power N without turning, only the integrator's error could turn it.
    """
    A = span.coordinates(span.X)
    at_zero = pointwise_loss(np.zeros(span.n), z).mean()
    state = _State.of(span.coordinates(w0))
    for _ in range(200):
        if pointwise_loss(A @ state.w, z).mean() < at_zero:
            return
        if state.log_norm < np.log(row_norms(w0)) + depth * np.log(VANISHED):
            raise ValueError(
                "w(0) lies in the span of the points and the flow from it runs into w = 0, where every layer's "
                "gradient vanishes: there is no limit to learn. Flip the sign of one layer, or start elsewhere."
            )
        reach = 1.0 / max(float(row_norms(soft_label_gap(A @ state.w, z) @ A / span.n)), 1e-300)
        state = _advance(A, z, state, depth, reach).at(reach)


# -- the flow of Lemma C.1 --------------------------------------------------------------------


def end_to_end_velocity(w: ArrayLike, X: ArrayLike, z: ArrayLike, depth: int) -> Array:
    """Right side of Lemma C.1 (Eq. 56) in all d coordinates: -|w|^(2-2/N) (grad + (N-1) P_w grad), (d,)."""
    X = _check.points(X)
    w = _check.nonzero(_check.vector(w, "w", X.shape[1]), "w")
    depth = _check.count(depth, "depth")
    slope = soft_label_gap(X @ w, _check.vector(z, "z", len(X))) @ X / len(X)
    square = float(w @ w)
    return -(square ** (1.0 - 1.0 / depth)) * (slope + (depth - 1) * (w @ slope) / square * w)


@dataclass(frozen=True)
class _State:
    """w as direction and logarithm of its norm, in span coordinates plus one for the part outside."""

    direction: Array
    log_norm: float
    time: float = 0.0

    @classmethod
    def of(cls, w: Array) -> _State:
        length = float(row_norms(w))
        return cls(w / length, float(np.log(length)))

    @property
    def w(self) -> Array:
        return np.exp(self.log_norm) * self.direction


@dataclass(frozen=True)
class _Stretch:
    """A solved piece of the flow, in the clock s with ds = |w|^(1 - 2/N) dt."""

    solution: object
    length: float

    def at(self, s: float) -> _State:
        y = self.solution.sol(s)  # pyright: ignore[reportAttributeAccessIssue]
        direction = y[:-2] / np.linalg.norm(y[:-2])
        return _State(direction, float(y[-2]), float(y[-1]))

    def when(self, time: float) -> _State:
        """State at flow time t inside the stretch."""
        if self.at(0.0).time >= time:
            return self.at(0.0)
        s = brentq(lambda s: self.at(s).time - time, 0.0, self.length, xtol=1e-14 * self.length, rtol=1e-14)
        return self.at(s)


def _advance(A: Array, z: Array, state: _State, depth: int, length: float) -> _Stretch:
    """Integrate (direction a, log norm, t) over a stretch of the clock s.

    da/ds = -(I - a a^T) G and dlog|w|/ds = -N a.G, G the gradient: in this clock the plateau around
    w = 0, where t crawls like |w|^(2/N - 1), takes no longer than anything else.
    """
    r, n = A.shape[1], len(A)
    slowing = 1.0 - 2.0 / depth

    def slope(a: Array, log_norm: float) -> Array:
        G = np.zeros_like(a)
        G[:r] = soft_label_gap(np.exp(log_norm) * (A @ a[:r]), z) @ A / n
        return G

    def velocity(s: float, y: Array) -> Array:
        a, log_norm = y[:-2], y[-2]
        G = slope(a, log_norm)
        along = a @ G
        return np.concatenate([along * a - G, [-depth * along, np.exp(-slowing * log_norm)]])

    def jacobian(s: float, y: Array) -> Array:
        a, log_norm = y[:-2], y[-2]
        m, G, norm = len(a), slope(a, log_norm), np.exp(log_norm)
        H = np.zeros((m, m))
        H[:r, :r] = norm * (A.T * logit_curvature(norm * (A @ a[:r]))) @ A / n
        Ha = H @ a
        along = G + H.T @ a  # gradient of a.G
        J = np.zeros((m + 2, m + 2))
        J[:m, :m] = np.outer(a, along) + (a @ G) * np.eye(m) - H
        J[:m, m] = (a @ Ha) * a - Ha
        J[m, :m], J[m, m] = -depth * along, -depth * (a @ Ha)
        J[m + 1, m] = -slowing * np.exp(-slowing * log_norm)
        return J

    y0 = np.concatenate([state.direction, [state.log_norm, state.time]])
    # t may be 1e12 on a plateau: its absolute tolerance must not stop the others.
    atol = np.concatenate([np.full(len(state.direction) + 1, 1e-12), [1e-9]])
    solved = solve_ivp(
        velocity, (0.0, length), y0, method="Radau", jac=jacobian, rtol=1e-9, atol=atol, dense_output=True
    )
    if not solved.success:
        raise ArithmeticError(f"The flow of Lemma C.1 could not be integrated: {solved.message}")
    return _Stretch(solved, length)


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
        ``converged`` says whether the end was reached; what was reached is returned either way.

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
    state = _State.of(np.append(span.coordinates(w0), beyond))
    goal = np.append(span.coordinates(limit), float(limit @ u))
    stops = None if times is None else increasing(times)
    states = _states(A, z, state, depth, goal, stops, tolerance)
    return _deep_trajectory(span, A, z, states, u, goal, depth, tolerance)


def _states(
    A: Array, z: Array, state: _State, depth: int, goal: Array, stops: Array | None, tolerance: float
) -> list[_State]:
    """States at the stops, or on the way to convergence; the clock's stretches grow as the flow slows down."""
    close = tolerance * max(float(np.linalg.norm(goal)), 1e-300)
    states, wanted = ([state], []) if stops is None else ([], list(stops))
    length = 1.0 / max(float(row_norms(soft_label_gap(np.zeros(len(A)), z) @ A / len(A))), 1e-12)
    spent = 0.0
    while spent < LONGEST * length:
        if stops is None and np.linalg.norm(state.w - goal) <= close:
            break
        if stops is not None and not wanted:
            break
        reach = max(length, 0.5 * spent)
        stretch = _advance(A, z, state, depth, reach)
        end = stretch.at(reach)
        while wanted and wanted[0] <= end.time:
            states.append(stretch.when(wanted.pop(0)))
        if stops is None:
            states += [stretch.at(s) for s in np.linspace(0.0, reach, 13)[1:]]
        state, spent = end, spent + reach
    # Times beyond the end of the clock: the flow has stopped moving by then.
    states += [_State(state.direction, state.log_norm, time) for time in wanted]
    return states


def _deep_trajectory(
    span: Span, A: Array, z: Array, states: list[_State], u: Array, goal: Array, depth: int, tolerance: float
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
        converged=bool(distances[-1] <= tolerance * max(np.linalg.norm(goal), 1e-300)),
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
