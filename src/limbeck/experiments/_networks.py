"""ReLU networks of finite width in NTK parameterisation, many at once (the extra ``networks``: jax).

f(x) = sqrt(2/m) sum_j a_j max(w_j.x, 0) at depth 2, every weight standard normal at the start; deeper networks repeat
the hidden layer. A student is the trained network less the untrained one. Networks are vectorised over
seeds and over widths: units that start at zero, in and out, stay at zero, so that narrow networks are wide ones
padded with zeros and a scale of their own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

# One thread a process, set before jax starts: --jobs shares out the cores, and results must not depend on it.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp

Weights = Sequence[Any]
"""Layers of many networks: JAX or NumPy arrays."""

CHUNK = 50
POLISH = 5


@dataclass(frozen=True)
class Trained:
    """Networks after training, with what they started from."""

    start: Weights
    """Weights of each layer before training, (B, in, out) and (B, m) for the last."""
    end: Weights
    """After training."""
    width: np.ndarray
    """Width m of each network, (B,)."""
    misfit: np.ndarray
    """Largest logit error on the points learned from, relative to the largest logit, (B,)."""
    steps: np.ndarray
    """Gradient steps taken, (B,)."""

    def logits(self, T: np.ndarray) -> np.ndarray:
        """The students' logits (B, m) on points T (B, m, d): trained less untrained."""
        return _at(self.end, T, self.width) - _at(self.start, T, self.width)


def untrained(widths: Sequence[int], d: int, depth: int, *, rng: np.random.Generator) -> Weights:
    """Standard normal weights of one network a width, padded with zeros to the widest.

    Parameters
    ----------
    widths : sequence of int, (B,)
    d : int
        Number of features.
    depth : int
        Layers of weights, at least 2.
    rng : numpy.random.Generator
    """
    most, layers = max(widths), []
    for layer in range(depth - 1):
        rows = d if layer == 0 else most
        W = np.zeros((len(widths), rows, most), dtype=np.float32)
        for b, m in enumerate(widths):
            W[b, : d if layer == 0 else m, :m] = rng.standard_normal((d if layer == 0 else m, m))
        layers.append(jnp.asarray(W))
    a = np.zeros((len(widths), most), dtype=np.float32)
    for b, m in enumerate(widths):
        a[b, :m] = rng.standard_normal(m)
    return [*layers, jnp.asarray(a)]


def output(weights: Weights, X: jax.Array, width: jax.Array) -> jax.Array:
    """f(x) of one network on the rows of X (n, d), (n,)."""
    H = X
    for W in weights[:-1]:
        H = jnp.sqrt(2.0 / width) * jax.nn.relu(H @ W)
    return H @ weights[-1]


def tangent_kernel(weights: Weights, X: jax.Array, width: jax.Array) -> jax.Array:
    """J J^T (n, n), J the Jacobian of the outputs in all weights, layer by layer and never formed."""
    inputs, slopes, H = [], [], X
    for W in weights[:-1]:
        inputs.append(H)
        before = H @ W
        slopes.append(jnp.sqrt(2.0 / width) * (before > 0))
        H = jnp.sqrt(2.0 / width) * jax.nn.relu(before)
    K = H @ H.T
    pull = jnp.broadcast_to(weights[-1], H.shape)
    for W, A, slope in zip(weights[-2::-1], inputs[::-1], slopes[::-1], strict=True):
        pull = pull * slope
        K += (A @ A.T) * (pull @ pull.T)
        pull = pull @ W.T
    return K


def train(
    start: Weights, widths: ArrayLike, X: np.ndarray, z: np.ndarray, *, tol: float, max_steps: int
) -> Trained:
    """Full-batch gradient descent on the mean soft cross-entropy until the logits are met to ``tol``.

    The step is the reciprocal of the loss's largest curvature at the start. What is then left of the logits is
    removed by Gauss-Newton steps along the tangent features, the way gradient flow is heading; momentum would be
    quicker and strays from that way.

    Parameters
    ----------
    start : Weights
        Of B networks; see `untrained`.
    widths : array_like of int, shape (B,)
    X : ndarray, shape (B, n, d)
        Points of each.
    z : ndarray, shape (B, n)
        Logits to learn.
    tol : float
        Largest error allowed before the last steps, relative to the largest logit.
    max_steps : int
        Of gradient descent.
    """
    width, A, target = (
        jnp.asarray(widths, jnp.float32),
        jnp.asarray(X, jnp.float32),
        jnp.asarray(z, jnp.float32),
    )
    zero = _outputs(start, A, width)
    rate = 4.0 * X.shape[1] / _largest(start, A, width)
    size = np.maximum(np.abs(z).max(axis=1), 1e-12)
    run = _Run(list(start), (zero, A, target, width, rate), tol * size)
    few = len(X) // 5
    run.descend(max_steps, leave=few)
    if few and run.learning.any():
        # The last few alone, padded with finished ones to a batch of one size: a batch costs what its slowest needs.
        rows = np.argsort(~run.learning, kind="stable")[:few]
        slow = run.part(rows)
        slow.descend(max_steps)
        run.put(rows, slow)
    weights, off = _met(run.weights, zero, A, target, width)
    return Trained(start, weights, np.asarray(widths), np.asarray(off, np.float64) / size, run.steps)


class _Run:
    """Networks in training. Each stops on its own: what it becomes does not depend on the others."""

    def __init__(self, weights: Weights, fixed: tuple, goal: np.ndarray) -> None:
        self.weights, self.fixed, self.goal = weights, fixed, goal
        self.steps, self.learning = np.zeros(len(goal), int), np.ones(len(goal), bool)

    def descend(self, max_steps: int, leave: int = 0) -> None:
        """Take chunks of steps until at most ``leave`` networks are still learning."""
        while self.learning.sum() > leave and self.steps.max() < max_steps:
            self.weights, off = _descend(self.weights, *self.fixed, jnp.asarray(self.learning))
            self.steps += CHUNK * self.learning
            self.learning &= np.asarray(off) > self.goal

    def part(self, rows: np.ndarray) -> _Run:
        """Only these networks, where they are."""
        part = _Run([W[rows] for W in self.weights], tuple(v[rows] for v in self.fixed), self.goal[rows])
        part.steps, part.learning = self.steps[rows], self.learning[rows]
        return part

    def put(self, rows: np.ndarray, part: _Run) -> None:
        """Take these networks back."""
        self.weights = [W.at[rows].set(V) for W, V in zip(self.weights, part.weights, strict=True)]
        self.steps[rows], self.learning[rows] = part.steps, part.learning


def _at(weights: Weights, T: np.ndarray, width: np.ndarray) -> np.ndarray:
    found = _outputs(weights, jnp.asarray(T, jnp.float32), jnp.asarray(width, jnp.float32))
    return np.asarray(found, np.float64)


def biased(
    trained: Trained, X: np.ndarray, z: np.ndarray, pool: np.ndarray, xi: np.ndarray, delta: float
) -> Trained:
    """Other networks that give the same answers: w_delta around the trained one (section 5.2).

    The end is moved by delta times the distance travelled, in the direction J(pool)^T xi less its part in the tangent
    features of the points learned from, then brought back to the answers by Gauss-Newton steps.

    Parameters
    ----------
    trained : Trained
    X, z : ndarray, shapes (B, n, d) and (B, n)
        What was learned.
    pool : ndarray, shape (B, k, d)
        Points whose tangent features the direction combines.
    xi : ndarray, shape (B, k)
        The combination, standard normal.
    delta : float
        Size of the move relative to the distance travelled in training.
    """
    width = jnp.asarray(trained.width, jnp.float32)
    A, target, P = (jnp.asarray(v, jnp.float32) for v in (X, z, pool))
    zero = _outputs(trained.start, A, width)
    moved = _aside(trained.start, trained.end, A, P, jnp.asarray(xi, jnp.float32), width, delta)
    moved, off = _met(moved, zero, A, target, width)
    size = jnp.maximum(jnp.abs(target).max(axis=1), 1e-12)
    return Trained(trained.start, moved, trained.width, np.asarray(off / size, np.float64), trained.steps)


# -- one network, vectorised by vmap -------------------------------------------------------------------


_outputs = jax.jit(jax.vmap(output))


@jax.jit
@jax.vmap
def _largest(weights: Weights, X: jax.Array, width: jax.Array) -> jax.Array:
    return jnp.linalg.norm(tangent_kernel(weights, X, width), ord=2)


@jax.jit
@jax.vmap
def _descend(weights, zero, X, z, width, rate, learning):
    """A chunk of steps, or none; the largest error at the end."""

    def loss(weights):
        f = output(weights, X, width) - zero
        return jnp.mean(jax.nn.softplus(f) - jax.nn.sigmoid(z) * f)

    def step(weights, _):
        gradient = jax.grad(loss)(weights)
        return [W - learning * rate * g for W, g in zip(weights, gradient, strict=True)], None

    weights, _ = jax.lax.scan(step, weights, None, length=CHUNK)
    return weights, jnp.abs(output(weights, X, width) - zero - z).max()


@jax.jit
@jax.vmap
def _met(weights, zero, X, z, width):
    """Gauss-Newton steps of minimum norm until the answers are met."""

    def step(_, weights):
        answer, pullback = jax.vjp(lambda w: output(w, X, width), weights)
        (change,) = pullback(_solve(tangent_kernel(weights, X, width), z + zero - answer))
        return [W + s for W, s in zip(weights, change, strict=True)]

    weights = jax.lax.fori_loop(0, POLISH, step, weights)
    return weights, jnp.abs(output(weights, X, width) - zero - z).max()


@jax.jit
@partial(jax.vmap, in_axes=(0, 0, 0, 0, 0, 0, None))
def _aside(start, end, X, pool, xi, width, delta):
    """End moved by delta |end - start| in a direction that no tangent feature of X sees."""
    _, pull_pool = jax.vjp(lambda w: output(w, pool, width), end)
    (q,) = pull_pool(xi)
    _, pull = jax.vjp(lambda w: output(w, X, width), end)
    _, seen = jax.jvp(lambda w: output(w, X, width), (end,), (q,))
    (inside,) = pull(_solve(tangent_kernel(end, X, width), seen))
    q = [v - u for v, u in zip(q, inside, strict=True)]
    size = delta * _norm([E - S for E, S in zip(end, start, strict=True)]) / _norm(q)
    return [E + size * v for E, v in zip(end, q, strict=True)]


def _solve(K: jax.Array, b: jax.Array) -> jax.Array:
    """K^+ b by eigenvalues above float32's rounding: a narrow network's tangent features may be dependent."""
    values, vectors = jnp.linalg.eigh(K)
    inverse = jnp.where(values > 1e-6 * values[-1], 1.0 / jnp.maximum(values, 1e-30), 0.0)
    return vectors @ (inverse * (vectors.T @ b))


def _norm(weights: Weights) -> jax.Array:
    return jnp.sqrt(sum(jnp.sum(jnp.square(W)) for W in weights))
