"""Training real layers: gradient descent with finite steps, gradient flow (Eq. 2, 3), and what imbalance does."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp

from limbeck.theory import _check
from limbeck.theory._check import Array
from limbeck.theory._factor import row_norms
from limbeck.theory.deep import deep_limit_details
from limbeck.theory.flow import increasing
from limbeck.theory.layers import Layers, balance_error, check_layers, product
from limbeck.theory.loss import pointwise_loss, soft_label_gap
from limbeck.theory.span import Span


@dataclass(frozen=True)
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
        Times that the integrator did not get to are left out.
    """
    span = Span(X)
    z = np.asarray(_check.vector(z, "z", span.n), dtype=np.float64)
    full = check_layers(layers, span.d)
    A, fixed = span.coordinates(span.X), span.residual(full[0])
    reduced = [full[0] @ span.basis.T, *full[1:]]
    if times is None:
        stops, chains = _flow_to_convergence(reduced, A, z, tolerance)
    else:
        stops = increasing(times)
        chains = _flow_at(reduced, A, z, 0.0, stops) or [reduced]
        stops = stops[: len(chains)]
    chains = [[W[0] @ span.basis + fixed, *W[1:]] for W in chains]
    return _layer_trajectory(stops, chains, span.X, z, tolerance)


def _flow_to_convergence(
    layers: Layers, A: Array, z: Array, tolerance: float
) -> tuple[list[float], list[Layers]]:
    stops, chains = [0.0], [layers]
    unit = 1.0 / max(float(np.square(row_norms(A)).mean()), 1e-300)
    while _apart(chains[-1], A, z) > tolerance and stops[-1] < 2.0**40 * unit:
        ahead = unit if len(stops) == 1 else 2 * stops[-1]
        reached = _flow_at(chains[-1], A, z, stops[-1], np.array([ahead]))
        if not reached:
            break
        stops.append(ahead)
        chains += reached
    return stops, chains


def _flow_at(layers: Layers, A: Array, z: Array, start: float, stops: Array) -> list[Layers]:
    """Layers at the stops that the integrator reaches, from those at time ``start``."""
    shapes = [W.shape for W in layers]
    y = np.concatenate([W.ravel() for W in layers])
    if stops[-1] == start:
        return [layers]

    def velocity(t: float, y: Array) -> Array:
        return -np.concatenate([G.ravel() for G in layer_gradients(_split(y, shapes), A, z)])

    with warnings.catch_warnings():
        # LSODA warns where it gives up; callers are told by the states that are missing, and by `converged`.
        warnings.filterwarnings("ignore", "lsoda", UserWarning)
        solved = solve_ivp(
            velocity, (start, stops[-1]), y, method="LSODA", t_eval=stops, rtol=1e-10, atol=1e-13
        )
    return [_split(state, shapes) for state in np.reshape(solved.y, (len(y), -1)).T]


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
        deviation=float(np.linalg.norm(end - exact.weights)) / size if size > 0 else np.nan,
        converged=reached.converged,
    )
