"""Networks of finite width against their kernel: needs the extra ``networks``."""

import numpy as np
import pytest

pytest.importorskip("jax", reason="networks need jax: pip install 'limbeck[networks]'")

import jax

from limbeck.experiments import _networks
from limbeck.theory import KernelSpan
from limbeck.theory.kernels import NTK

N, D = 6, 4


def task(batch, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N, D))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    z = np.sin(3 * X[:, 0]) + X[:, 1]
    T = rng.standard_normal((20, D))
    return np.tile(X, (batch, 1, 1)), np.tile(z, (batch, 1)), np.tile(T, (batch, 1, 1)), rng


def flat(weights):
    return np.concatenate([np.asarray(W, np.float64).reshape(len(W), -1) for W in weights], axis=1)


@pytest.mark.parametrize("depth", [2, 3])
def test_the_tangent_kernel_is_the_jacobians_gram_matrix(depth):
    X, *_, rng = task(1)
    (*hidden, last) = [W[0] for W in _networks.untrained([5], D, depth, rng=rng)]
    J = jax.jacobian(lambda w: _networks.output(w, X[0], 5.0))([*hidden, last])
    flat_J = np.concatenate([np.asarray(j).reshape(N, -1) for j in J], axis=1)
    K = _networks.tangent_kernel([*hidden, last], X[0], 5.0)
    np.testing.assert_allclose(K, flat_J @ flat_J.T, atol=1e-5)


def test_students_approach_the_kernel_at_the_root_of_the_width():
    # 12 starts a width, all padded to the widest. The error of the fitted power is near .1: the band is three of it.
    widths = np.repeat([64, 256, 1024], 12)
    X, z, T, rng = task(len(widths))
    start = _networks.untrained(widths, D, 2, rng=rng)
    trained = _networks.train(start, widths, X, z, tol=0.02, max_steps=2000)
    assert trained.misfit.max() < 1e-3
    span = KernelSpan(X[0], NTK(2))
    limit = span.logits(T[0], span.student(z[0]).coordinates)
    off = np.linalg.norm(trained.logits(T) - limit, axis=1) / np.linalg.norm(limit)
    means = [np.log(off[widths == w]).mean() for w in (64, 256, 1024)]
    assert np.polyfit(np.log([64, 256, 1024]), means, 1)[0] == pytest.approx(-0.5, abs=0.3)
    assert np.exp(means[-1]) < 0.1

    # At these widths the tangent features are the kernel's, and padding changed nothing.
    K = np.stack([_networks.tangent_kernel([W[b] for W in start], X[0], 1024.0) for b in range(24, 36)])
    np.testing.assert_allclose(K.mean(axis=0), NTK(2)(X[0], X[0]), atol=0.1)
    for W in trained.end:
        assert np.all(np.asarray(W)[:12, ..., 64:] == 0)
    alone = _networks.train(
        [W[:12, ..., :64] for W in start], widths[:12], X[:12], z[:12], tol=0.02, max_steps=2000
    )
    np.testing.assert_array_equal(alone.steps, trained.steps[:12])
    np.testing.assert_allclose(alone.logits(T[:12]), trained.logits(T)[:12], atol=2e-4)


def test_biased_networks_give_the_same_answers_from_elsewhere():
    X, z, T, rng = task(4)
    start = _networks.untrained([128] * 4, D, 2, rng=rng)
    trained = _networks.train(start, [128] * 4, X, z, tol=0.02, max_steps=2000)
    pool, xi = rng.standard_normal((4, 5, D)), rng.standard_normal((4, 5))
    travelled = np.linalg.norm(flat(trained.end) - flat(start), axis=1)
    for delta in (0.0, 0.5, 1.0):
        moved = _networks.biased(trained, X, z, pool, xi, delta)
        assert moved.misfit.max() < 1e-3
        aside = np.linalg.norm(flat(moved.end) - flat(trained.end), axis=1)
        np.testing.assert_allclose(aside, delta * travelled, rtol=0.15, atol=1e-3)
        if delta:
            assert np.abs(moved.logits(T) - trained.logits(T)).max() > 0.05


def test_a_point_held_back_as_a_zero_row_teaches_nothing():
    X, z, T, rng = task(2)
    start = _networks.untrained([32, 32], D, 2, rng=rng)
    X0, z0 = X.copy(), z.copy()
    X0[:, -1], z0[:, -1] = 0, 0
    held = _networks.train(start, [32, 32], X0, z0, tol=0.002, max_steps=4000)
    without = _networks.train(start, [32, 32], X[:, :-1], z[:, :-1], tol=0.002, max_steps=4000)
    np.testing.assert_allclose(held.logits(T), without.logits(T), atol=0.02)
