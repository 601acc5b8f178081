"""Real layers W_1 ... W_N (Eq. 2): balance (13), the conditions of Theorem 2, descent and flow on the layers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp

from limbeck.theory import _check
from limbeck.theory._check import Array
from limbeck.theory._factor import row_norms
from limbeck.theory.bounds import theorem_2_radius
from limbeck.theory.deep import deep_limit_details, minimiser
from limbeck.theory.flow import increasing
from limbeck.theory.loss import loss, pointwise_loss, soft_label_gap
from limbeck.theory.span import Span

Layers = Sequence[Array]


def check_layers(layers: Sequence[ArrayLike], d: int | None = None) -> Layers:
    """Return the layers as float arrays W_1 (h_1, d), W_2 (h_2, h_1), ..., W_N (1, h_{N-1}).

    Raises
    ------
    ValueError
        If there is none, shapes do not chain, the last has more than one row, or the first does not
        take ``d`` features: naming the layer.
    """
    if len(layers) == 0:
        raise ValueError("layers is empty: at least one layer is needed.")
    checked = [np.array(_check.points(W, f"layer {j}"), dtype=np.float64) for j, W in enumerate(layers, 1)]
    if d is not None and checked[0].shape[1] != d:
        raise ValueError(f"Layer 1 takes {checked[0].shape[1]} features where the points have {d}.")
    for j in range(1, len(checked)):
        if checked[j].shape[1] != checked[j - 1].shape[0]:
            raise ValueError(
                f"Layer {j + 1} takes {checked[j].shape[1]} inputs where layer {j} gives {checked[j - 1].shape[0]}: "
                "the shapes must chain, (h_1, d), (h_2, h_1), ..., (1, h_{N-1})."
            )
    if checked[-1].shape[0] != 1:
        raise ValueError(
            f"The last layer gives {checked[-1].shape[0]} outputs; a binary student has one logit."
        )
    return checked


def product(layers: Sequence[ArrayLike]) -> Array:
    """End-to-end weights w = (W_N ... W_1)^T, shape (d,)."""
    return reduce(lambda inner, W: W @ inner, check_layers(layers))[0]


def balanced_layers(
    w0: ArrayLike, depth: int, *, widths: Sequence[int] | None = None, rng: np.random.Generator | None = None
) -> Layers:
    """Balanced layers (13) whose product is w(0).

    Every balanced chain that ends in one output is of this form: W_j = s a_j a_{j-1}^T with unit a_j,
    s = |w(0)|^(1/N), a_0 = w(0) / |w(0)|, a_N = 1.

    Parameters
    ----------
    w0 : array_like, shape (d,)
        Product wanted, not zero.
    depth : int
        Number of layers N.
    widths : sequence of int, optional
        Hidden widths h_1 ... h_{N-1}; default all 1. The product's flow does not depend on them.
    rng : numpy.random.Generator, optional
        Draws the hidden directions a_j; default: the first unit vectors.

    Returns
    -------
    list of ndarray
        W_1 (h_1, d), ..., W_N (1, h_{N-1}).
    """
    w0 = _check.nonzero(_check.vector(w0, "w0"), "w0")
    depth = _check.count(depth, "depth")
    widths = [1] * (depth - 1) if widths is None else [_check.count(h, "widths") for h in widths]
    if len(widths) != depth - 1:
        raise ValueError(
            f"widths holds {len(widths)} numbers where depth = {depth} has {depth - 1} hidden layers."
        )
    length = float(row_norms(w0))
    hidden = [np.eye(h)[0] if rng is None else _unit(rng.standard_normal(h)) for h in widths]
    directions = [w0 / length, *hidden, np.ones(1)]
    return [length ** (1.0 / depth) * np.outer(directions[j + 1], directions[j]) for j in range(depth)]


def random_balanced_layers(
    d: int, depth: int, norm: float, *, widths: Sequence[int] | None = None, rng: np.random.Generator
) -> Layers:
    """Balanced layers whose product has this norm and a uniformly random direction in R^d."""
    norm = _check.number(norm, "norm", above=0.0, finite=True)
    return balanced_layers(
        norm * _unit(rng.standard_normal(_check.count(d, "d"))), depth, widths=widths, rng=rng
    )


def _unit(v: Array) -> Array:
    return v / np.linalg.norm(v)


def balance_error(layers: Sequence[ArrayLike]) -> float:
    """Largest |W_{j+1}^T W_{j+1} - W_j W_j^T|_F over neighbouring layers (13), relative to the largest |W_j|_F^2."""
    layers = check_layers(layers)
    size = max(float(np.sum(W * W)) for W in layers)
    gaps = [float(np.linalg.norm(V.T @ V - W @ W.T)) for W, V in itertools.pairwise(layers)]
    return max(gaps, default=0.0) / size if size > 0 else 0.0


@dataclass(frozen=True)
class SignFlip:
    """Whether flipping the sign of one layer brings condition (12) about."""

    layers: Layers
    """The layers, with the first one's sign flipped if that lowers the loss below that of w = 0."""
    flipped: bool
    """Whether the sign was flipped."""
    holds: bool
    """Whether (12) holds for the layers returned; False where neither sign brings it about."""
    loss: float
    """L1(w(0)) of the layers returned, nats."""
    loss_at_zero: float
    """L1(0), nats."""


def flip_sign(layers: Sequence[ArrayLike], X: ArrayLike, z: ArrayLike) -> SignFlip:
    """Flip the sign of the first layer where that brings (12), L1(w(0)) < L1(0), about.

    The paper says one of the two signs always does. It need not: L1 is convex, so *at most* one of
    w(0) and -w(0) lies below the level of 0, and for starts across the gradient neither does. A start
    with a part outside the span does not need (12) (see `limbeck.theory.deep`).
    """
    X = _check.points(X)
    layers = check_layers(layers, X.shape[1])
    w, zero = product(layers), loss(np.zeros(X.shape[1]), X, z)
    kept, turned = loss(w, X, z), loss(-w, X, z)
    if kept < zero or turned >= zero:
        return SignFlip(layers, flipped=False, holds=kept < zero, loss=kept, loss_at_zero=zero)
    return SignFlip([-layers[0], *layers[1:]], flipped=True, holds=True, loss=turned, loss_at_zero=zero)


@dataclass(frozen=True)
class Conditions:
    """Which conditions of Theorem 2 given layers meet, and what it then guarantees."""

    norm: float
    """|w(0)|."""
    student_norm: float
    """|w_hat|, what (11) compares it with."""
    small: bool
    """Whether |w(0)| < |w_hat|, without which (11) holds for no epsilon."""
    loss: float
    """L1(w(0)), nats."""
    loss_at_zero: float
    """L1(0), nats."""
    below_zero: bool
    """Whether (12) holds: L1(w(0)) < L1(0)."""
    balance_error: float
    """Relative failure of (13); see `balance_error`."""
    balanced: bool
    """Whether (13) holds up to rounding."""
    epsilon: float
    """Radius that Theorem 2 guarantees (76); 0 at full rank, inf if a condition fails."""
    exact_leak: float
    """Exact distance of the limit from w_hat, for balanced layers; NaN for others, or if w runs into 0."""


def check_conditions(layers: Sequence[ArrayLike], X: ArrayLike, z: ArrayLike) -> Conditions:
    """Say which of (11), (12) and (13) hold for given layers, by how much, and what Theorem 2 then guarantees.

    Parameters
    ----------
    layers : sequence of array_like
        W_1 (h_1, d), ..., W_N (1, h_{N-1}).
    X : array_like, shape (n, d)
        Points as rows.
    z : array_like, shape (n,)
        Teacher logits.

    Returns
    -------
    Conditions
    """
    span = Span(X)
    layers = check_layers(layers, span.d)
    z = np.asarray(_check.vector(z, "z", span.n), dtype=np.float64)
    w, zero = product(layers), loss(np.zeros(span.d), span.X, z)
    norm, student_norm = float(row_norms(w)), float(row_norms(minimiser(span, z)))
    error, value = balance_error(layers), loss(w, span.X, z)
    small, below, balanced = norm < student_norm, value < zero, error < 1e-10
    epsilon = np.inf
    if small and below and balanced:
        epsilon = 0.0 if span.rank == span.d else theorem_2_radius(norm, student_norm, len(layers))
    try:
        leak = deep_limit_details(span, z, w, len(layers)).leak if balanced else np.nan
    except ValueError:
        leak = np.nan
    return Conditions(
        norm=norm,
        student_norm=student_norm,
        small=small,
        loss=value,
        loss_at_zero=zero,
        below_zero=below,
        balance_error=error,
        balanced=balanced,
        epsilon=float(epsilon),
        exact_leak=float(leak),
    )


# -- training the layers --------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerTrajectory:
    """Layers at the end of training, and their product along the way."""

    times: Array
    """Times of the flow, or numbers of steps, (k,)."""
    weights: Array
    """Product of the layers at those times, (k, d)."""
    losses: Array
    """L1 of each, nats, (k,)."""
    layers: Layers
    """The layers at the last time."""
    converged: bool
    """Whether the last residual logits are within the tolerance, relative to the teacher's."""


def layer_gradients(layers: Layers, X: Array, z: Array) -> Layers:
    """Gradients of (2) with respect to each layer: (W_N ... W_{j+1})^T g^T (W_{j-1} ... W_1)^T.

    g is the gradient (38) at the product, a vector of the data span: that of W_1 is an outer product
    with it, so W_1 (I - P) never changes, for any layers and any step size.
    """
    below = [np.eye(layers[0].shape[1])]
    for W in layers[:-1]:
        below.append(W @ below[-1])
    w = (layers[-1] @ below[-1])[0]
    g = soft_label_gap(X @ w, z) @ X / len(X)
    above, gradients = np.ones((1, 1)), []
    for W, inner in zip(reversed(layers), reversed(below), strict=True):
        gradients.append(above.T @ (inner @ g)[None, :])
        above = above @ W
    return gradients[::-1]


def descend_layers(
    layers: Sequence[ArrayLike],
    X: ArrayLike,
    z: ArrayLike,
    steps: int,
    *,
    step_size: float,
    tolerance: float = 1e-6,
) -> LayerTrajectory:
    """Gradient descent with finite steps on the layers (soft labels, cross-entropy).

    Parameters
    ----------
    layers, X, z
        As in `check_conditions`; the layers need not be balanced.
    steps : int
        Largest number of steps; training stops earlier once it has converged.
    step_size : float
        Constant step, > 0.
    tolerance : float
        Residual logits relative to the teacher's at which training has converged.

    Returns
    -------
    LayerTrajectory
        The start and the end.

    Raises
    ------
    ArithmeticError
        If the layers diverge: the step is too large.
    """
    X = np.asarray(_check.points(X), dtype=np.float64)
    z = np.asarray(_check.vector(z, "z", len(X)), dtype=np.float64)
    now = start = check_layers(layers, X.shape[1])
    rate = _check.number(step_size, "step_size", above=0.0, finite=True)
    done = 0
    for done in range(1, _check.count(steps, "steps") + 1):
        with np.errstate(over="ignore", invalid="ignore"):
            now = [W - rate * G for W, G in zip(now, layer_gradients(now, X, z), strict=True)]
        if not all(np.isfinite(W).all() for W in now):
            raise ArithmeticError(
                f"The layers diverged within {done} steps: step_size = {rate} is too large."
            )
        if done % 100 == 0 and _apart(now, X, z) <= tolerance:
            break
    return _layer_trajectory([0.0, float(done)], [start, now], X, z, tolerance)


def flow_layers(
    layers: Sequence[ArrayLike],
    X: ArrayLike,
    z: ArrayLike,
    *,
    times: ArrayLike | None = None,
    tolerance: float = 1e-6,
) -> LayerTrajectory:
    """Gradient flow (3) on the layers themselves, balanced or not.

    W_1 enters through its action on the span and, unchanged, on the complement: r columns of it are
    integrated, not d.

    Parameters
    ----------
    layers, X, z, tolerance
        As in `descend_layers`.
    times : array_like, shape (k,), optional
        Increasing times >= 0. Default: the start, then powers of two on to convergence or t = 2^40 units.

    Returns
    -------
    LayerTrajectory
    """
    span = Span(X)
    z = np.asarray(_check.vector(z, "z", span.n), dtype=np.float64)
    full = check_layers(layers, span.d)
    A, fixed = span.coordinates(span.X), span.residual(full[0])
    reduced = [full[0] @ span.basis.T, *full[1:]]
    shapes = [W.shape for W in reduced]
    y = np.concatenate([W.ravel() for W in reduced])

    def velocity(t: float, y: Array) -> Array:
        return -np.concatenate([G.ravel() for G in layer_gradients(_split(y, shapes), A, z)])

    def integrate(y: Array, start: float, stops: Array) -> Array:
        solved = solve_ivp(
            velocity, (start, stops[-1]), y, method="LSODA", t_eval=stops, rtol=1e-10, atol=1e-13
        )
        if not solved.success:
            raise ArithmeticError(f"The flow on the layers could not be integrated: {solved.message}")
        return solved.y.T

    if times is None:
        stops, states = [0.0], [y]
        unit = 1.0 / max(float(np.square(row_norms(A)).mean()), 1e-300)
        while _apart(_split(states[-1], shapes), A, z) > tolerance and stops[-1] < 2.0**40 * unit:
            ahead = unit if len(stops) == 1 else 2 * stops[-1]
            states.append(integrate(states[-1], stops[-1], np.array([ahead]))[-1])
            stops.append(ahead)
    else:
        stops = increasing(times)
        states = [y] if stops[-1] == 0 else integrate(y, 0.0, stops)
    chains = [_split(state, shapes) for state in states]
    chains = [[W[0] @ span.basis + fixed, *W[1:]] for W in chains]
    return _layer_trajectory(stops, chains, span.X, z, tolerance)


def _split(y: Array, shapes: Sequence[tuple[int, ...]]) -> Layers:
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(y, ends[:-1]), shapes, strict=True)]


def _apart(layers: Layers, X: Array, z: Array) -> float:
    """Largest residual logit, relative to the largest teacher logit."""
    return float(np.abs(X @ product(layers) - z).max() / max(np.abs(z).max(), 1e-300))


def _layer_trajectory(
    times: ArrayLike, chains: Sequence[Layers], X: Array, z: Array, tolerance: float
) -> LayerTrajectory:
    weights = np.array([product(chain) for chain in chains])
    return LayerTrajectory(
        times=np.asarray(times, dtype=np.float64),
        weights=weights,
        losses=pointwise_loss(weights @ X.T, z).mean(axis=1),
        layers=chains[-1],
        converged=_apart(chains[-1], X, z) <= tolerance,
    )


# -- approximate balance -----------------------------------------------------------------------------


@dataclass(frozen=True)
class ImbalanceEffect:
    """What happens to the limit when (13) holds only roughly."""

    balance_error: float
    """Relative failure of (13) at the start; see `balance_error`."""
    leak: float
    """|w(inf) - w_hat| reached by the flow on the layers."""
    predicted_leak: float
    """The leak of balanced layers with the same product."""
    deviation: float
    """|w(inf) - exact balanced limit| / |w_hat|."""
    converged: bool
    """Whether the flow reached its end."""


def imbalance_effect(layers: Sequence[ArrayLike], X: ArrayLike, z: ArrayLike) -> ImbalanceEffect:
    """Follow the flow on given layers to its end and compare it with the exact limit of balanced ones.

    The paper leaves approximate balance to "some evidence"; this measures it.
    """
    span = Span(X)
    layers = check_layers(layers, span.d)
    reached = flow_layers(layers, X, z, tolerance=1e-8)
    exact = deep_limit_details(span, z, product(layers), len(layers))
    end, size = reached.weights[-1], float(row_norms(exact.student))
    return ImbalanceEffect(
        balance_error=balance_error(layers),
        leak=float(np.linalg.norm(end - exact.student)),
        predicted_leak=exact.leak,
        deviation=float(np.linalg.norm(end - exact.weights)) / size,
        converged=reached.converged,
    )
