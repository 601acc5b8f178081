"""Students beyond linear on one transfer set: kernels exactly, networks of many widths at once; what is read of them.

A student is told n points, then one more. A point held back is a zero row with logit 0, which teaches a network
without biases, or a kernel homogeneous in x, nothing: one shape serves both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from limbeck.experiments._nonlinear_tasks import BASE, Transfer
from limbeck.theory import KernelSpan, angle, disagreement
from limbeck.theory.kernels import Kernel

MISFIT = 0.02
DELTAS = (0.0, 0.25, 0.5, 1.0, 2.0)


def stages(sample: Transfer) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Points (stages, n + 1, d), logits and level of each stage: all levels at n points, the base level at n + 1."""
    levels = [*range(len(sample.X)), BASE]
    X, z = sample.X[levels].copy(), sample.z[levels].copy()
    X[:-1, -1], z[:-1, -1] = 0.0, 0.0
    return X, z, levels


def kernel_logits(kernel: Kernel, sample: Transfer, xi: np.ndarray) -> np.ndarray:
    """Logits (stages, deltas, m) on the held-out points of a kernel's student and of its biased learners.

    w_delta = w_hat + delta |w_hat| q / |q| with q = sum_j xi_j (I - P) phi(pool_j), phi the kernel's features.
    """
    found = []
    for points, z, level in zip(*stages(sample), strict=True):
        span, pool, T = KernelSpan(points, kernel, semidefinite=True), sample.pool[level], sample.T[level]
        c, C, D = span.student(z).coordinates, span.coordinates(T), span.coordinates(pool)
        aside = (kernel(T, pool) - C @ D.T) @ xi
        size = np.sqrt(xi @ span.residual_kernel(pool) @ xi)
        step = np.linalg.norm(c) * aside / size
        found.append([C @ c + delta * step for delta in DELTAS])
    return np.array(found)


@dataclass(frozen=True)
class NetworkStudents:
    """Networks of several widths on several transfer sets."""

    logits: np.ndarray
    """On the held-out points, (repeats, widths, stages, deltas, m)."""
    misfit: np.ndarray
    """Largest logit error on what was learned, of the students and their biased learners, (repeats, widths, deltas)."""


def network_logits(
    widths: Sequence[int],
    depth: int,
    samples: Sequence[Transfer],
    xi: np.ndarray,
    *,
    max_steps: int,
    rng: np.random.Generator,
) -> NetworkStudents:
    """Train networks on every stage, from the same weights, and bias them along the pool's tangent features.

    Parameters
    ----------
    widths : sequence of int
    depth : int
    samples : sequence of Transfer, (repeats,)
    xi : ndarray, shape (repeats, k)
        Combination of the pool's tangent features.
    max_steps : int
        Of gradient descent.
    rng : numpy.random.Generator
        For the starts.
    """
    from limbeck.experiments import _networks  # an extra: may be absent

    told = [stages(sample) for sample in samples]
    levels = told[0][2]
    shape = (len(samples), len(widths), len(levels))

    def batch(values: list[np.ndarray]) -> np.ndarray:
        """From (stages, ...) of every transfer set to (repeats x widths x stages, ...)."""
        stacked = np.stack(values)[:, None]
        wide = np.broadcast_to(stacked, (*shape[:2], *stacked.shape[2:]))
        return wide.reshape(-1, *stacked.shape[3:])

    X, z = batch([points for points, _, _ in told]), batch([logits for _, logits, _ in told])
    T, pool = batch([s.T[levels] for s in samples]), batch([s.pool[levels] for s in samples])
    direction = batch([np.tile(row, (len(levels), 1)) for row in xi])
    sizes = np.broadcast_to(np.array(widths)[None, :, None], shape).ravel()
    start = _networks.untrained(list(widths) * len(samples), X.shape[-1], depth, rng=rng)
    start = [np.repeat(np.asarray(W), len(levels), axis=0) for W in start]
    trained = _networks.train(start, sizes, X, z, tol=MISFIT, max_steps=max_steps)
    moved = [_networks.biased(trained, X, z, pool, direction, delta) for delta in DELTAS[1:]]
    logits = np.stack([student.logits(T) for student in (trained, *moved)], axis=1)
    misfit = np.stack([student.misfit.reshape(shape).max(axis=2) for student in (trained, *moved)], axis=-1)
    return NetworkStudents(logits.reshape(*shape, len(DELTAS), -1), misfit)


def readings(logits: np.ndarray, sample: Transfer) -> dict[str, float]:
    """What one student shows of the paper's three factors, from its logits (stages, deltas, m).

    Angles are between the functions, over the held-out points: networks have no weight vector to compare.
    """
    truth = sample.truth[[*range(len(sample.X)), BASE]][:, None]
    risk, angles = disagreement(logits, truth), angle(logits, truth)
    values = {
        f"risk {level} {delta:g}": risk[level, j]
        for level in range(len(sample.X))
        for j, delta in enumerate(DELTAS)
    }
    for j, delta in enumerate(DELTAS):
        fall = float(angles[BASE, j] - angles[-1, j])
        values |= {f"fall {delta:g}": fall, f"nearer {delta:g}": float(fall > 0)}
    return values | {
        "gain": risk[BASE, 0] - risk[-1, 0],
        "slope geometry": _slope(risk[:-1, 0]),
        "slope bias": _slope(risk[BASE]),
    }


def _slope(values: np.ndarray) -> float:
    """Least-squares change from one step of the grid to the next."""
    steps = np.arange(len(values)) - (len(values) - 1) / 2
    return float(steps @ values / (steps @ steps))


def log_distance(logits: np.ndarray, limit: np.ndarray) -> float:
    """Logarithm of the root mean square difference from the kernel limit, relative to it, at the base level."""
    return float(np.log(np.linalg.norm(logits[BASE, 0] - limit[BASE, 0]) / np.linalg.norm(limit[BASE, 0])))


def gathered(rows: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    """Readings of many transfer sets under one name each."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}
