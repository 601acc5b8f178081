"""Training real layers: gradient descent with finite steps, gradient flow (Eq. 2, 3), and what imbalance does."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import LSODA

from limbeck import _check
from limbeck._check import Array
from limbeck.theory.deep import deep_limit_details
from limbeck.theory.factor import row_norms
from limbeck.theory.flow import increasing
from limbeck.theory.layers import Layers, balance_error, check_layers, product
from limbeck.theory.loss import pointwise_loss, soft_label_gap
from limbeck.theory.span import Span

EVALUATIONS = 100_000
"""Gradients after which a flow is given up: a stiff one (rows all but collinear) would take hours to its end."""


@dataclass(frozen=True, eq=False)
class LayerTrajectory:
    """Layers at the end of training, and their product along the way; as far as the integrator got."""

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
    layers, X, z
        As in `descend_layers`.
    times : array_like, shape (k,), optional
        Increasing times >= 0; restart by passing the layers reached. Default: the start, then powers of
        two on to convergence or t = 2^40 units.
    tolerance
        As in `descend_layers`.

    Returns
    -------
    LayerTrajectory
        Times that the integrator did not get to, or not within 100,000 gradients, are left out.

    Raises
    ------
    ArithmeticError
        If it got to none of the times.
    """
    span = Span(X)
    z = np.asarray(_check.vector(z, "z", span.n), dtype=np.float64)
    full = check_layers(layers, span.d)
    fixed = span.residual(full[0])
    A = span.coordinates(span.X)
    stops = _powers_of_two(A) if times is None else increasing(times)
    chains: list[Layers] = []
    for chain in _flow_on([full[0] @ span.basis.T, *full[1:]], A, z, stops):
        chains.append(chain)
        if times is None and _apart(chain, A, z) <= tolerance:
            break
    if not chains:
        raise ArithmeticError(
            f"The integrator did not get to the first of the times, {stops[0]:g}: ask for earlier ones."
        )
    chains = [[W[0] @ span.basis + fixed, *W[1:]] for W in chains]
    return _layer_trajectory(stops[: len(chains)], chains, span.X, z, tolerance)


def _powers_of_two(A: Array) -> Array:
    """The start, then times from the points' own unit on, each twice the one before."""
    unit = 1.0 / max(float(np.square(row_norms(A)).mean()), 1e-300)
    return np.array([0.0, *(unit * 2.0 ** np.arange(41))])


def _flow_on(layers: Layers, A: Array, z: Array, stops: Array) -> Iterator[Layers]:
    """Layers at the stops, from those given at time 0, as far as the integrator and `EVALUATIONS` lead."""
    shapes = [W.shape for W in layers]

    def velocity(t: float, y: Array) -> Array:
        return -np.concatenate([G.ravel() for G in layer_gradients(_split(y, shapes), A, z)])

    y = np.concatenate([W.ravel() for W in layers])
    yield from (layers for _ in stops[stops == 0])
    ahead = iter(stops[stops > 0])
    solver = LSODA(velocity, 0.0, y, stops[-1], rtol=1e-10, atol=1e-13)
    stop = next(ahead, None)
    while stop is not None and solver.nfev < EVALUATIONS:
        with warnings.catch_warnings():
            # LSODA warns where it gives up; callers are told by the states that are missing, and by `converged`.
            warnings.filterwarnings("ignore", "lsoda", UserWarning)
            solver.step()
        if solver.status == "failed":
            break
        between = solver.dense_output()
        while stop is not None and stop <= solver.t:
            yield _split(between(stop), shapes)
            stop = next(ahead, None)


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
    """|w(inf) - exact balanced limit| / |w_hat|; NaN where w_hat = 0, for there is nothing to compare with."""
    converged: bool
    """Whether the flow reached its end: 1e-8 of the teacher's logits, 1e-6 of the student's weights in the span."""


def imbalance_effect(layers: Sequence[ArrayLike], X: ArrayLike, z: ArrayLike) -> ImbalanceEffect:
    """Follow the flow on given layers to its end and compare it with the exact limit of balanced ones.

    The paper leaves approximate balance to "some evidence"; this measures it.
    """
    span = Span(X)
    layers = check_layers(layers, span.d)
    reached = flow_layers(layers, X, z, tolerance=1e-8)
    exact = deep_limit_details(span, z, product(layers), len(layers))
    end, size = reached.weights[-1], float(row_norms(exact.student))
    apart = float(row_norms(span.project(end) - exact.student))
    return ImbalanceEffect(
        balance_error=balance_error(layers),
        leak=float(np.linalg.norm(end - exact.student)),
        predicted_leak=exact.leak,
        deviation=float(np.linalg.norm(end - exact.weights)) / size if size > 0 else np.nan,
        converged=reached.converged and apart <= 1e-6 * size,
    )
