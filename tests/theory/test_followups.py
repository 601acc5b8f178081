import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.kernel_ridge import KernelRidge

from limbeck.theory import KernelSpan, PolynomialTask, Span, data_curve, gradient_flow
from limbeck.theory.followups import (
    bound_at_angle_reached,
    data_inefficiency,
    optimal_mix,
    repeated_self_distillation,
    soft_ratio_logits,
    training_difficulty,
)
from limbeck.theory.kernels import NTK, Linear


def rng_points(n, d, seed=0):
    rng = np.random.default_rng([seed, n, d])
    return rng, rng.standard_normal((n, d))


def test_training_difficulty_is_the_squared_distance_travelled():
    rng, X = rng_points(8, 15)
    z = rng.standard_normal(8)
    K = X @ X.T
    truth = z @ np.linalg.solve(K, z)
    for span in (Span(X), KernelSpan(X, Linear())):
        assert training_difficulty(span, z) == pytest.approx(truth, rel=1e-11)
    assert truth == pytest.approx(np.square(Span(X).weights(z)).sum(), rel=1e-11)
    kernel = NTK(3)
    assert training_difficulty(KernelSpan(X, kernel), z) == pytest.approx(
        z @ np.linalg.solve(kernel(X, X), z), rel=1e-10
    )


def test_data_inefficiency_is_half_for_new_directions_and_nothing_once_the_span_is_full():
    rng, X = rng_points(60, 20)
    w = rng.standard_normal(20)
    norms = data_curve(X, X @ w, X, X @ w).norms
    found = data_inefficiency(norms)
    assert found.shape == (59,)
    assert np.abs(found[20:]).max() < 1e-12
    np.testing.assert_allclose(
        data_inefficiency(np.sqrt(np.arange(1, 1001)))[-1], 0.5, rtol=1e-3
    )  # norms grow as sqrt(n)
    several = np.stack([norms, 2 * norms])
    np.testing.assert_allclose(data_inefficiency(several), found, atol=1e-14)  # the logarithm of the mean
    with pytest.raises(ValueError, match="n = 1"):
        data_inefficiency([0.0, 1.0])


def test_soft_ratio_logits_are_what_gradient_flow_on_the_mixed_loss_reaches():
    rng, X = rng_points(6, 10)
    z = rng.standard_normal(6)
    y = rng.integers(0, 2, 6)
    effective = soft_ratio_logits(z, y, 0.7)
    np.testing.assert_allclose(effective, logit(0.7 * expit(z) + 0.3 * y), rtol=1e-12)
    w = Span(X).weights(effective)
    gap = 0.7 * (expit(X @ w) - expit(z)) + 0.3 * (expit(X @ w) - y)
    assert np.abs(X.T @ gap).max() < 1e-12
    flow = gradient_flow(X, effective, times=[1e6])
    np.testing.assert_allclose(flow.weights[-1], w, atol=1e-6)
    np.testing.assert_allclose(soft_ratio_logits(z, y, 1.0), z, atol=1e-14)
    # Far beyond where a probability can be told from 1.
    np.testing.assert_allclose(soft_ratio_logits([60.0], [1], 0.5), 60 - np.log(0.5), rtol=1e-12)
    for wrong in ((z, y + 0.5, 0.5), (z, y, 0.0), (z, y, 1.5)):
        with pytest.raises(ValueError, match=r"0 or 1|ratio"):
            soft_ratio_logits(*wrong)


@pytest.mark.parametrize("kernel", [None, NTK(2)])
def test_the_bound_at_the_angle_reached_holds(kernel):
    rng, X = rng_points(12, 6)
    T = rng.standard_normal((4000, 6))
    if kernel is None:
        span, w = Span(X), rng.standard_normal(6)
        span = Span(X[:4])
        z, truth, norm = X[:4] @ w, T @ w, float(np.linalg.norm(w))
    else:
        centres, b = rng.standard_normal((5, 6)), rng.standard_normal(5)
        span = KernelSpan(X, kernel)
        z, truth = kernel(X, centres) @ b, kernel(T, centres) @ b
        norm = float(np.sqrt(b @ kernel(centres, centres) @ b))
    found = bound_at_angle_reached(span, z, T, truth, teacher_norm=norm)
    risk = np.mean((span.logits(T, span.student(z).coordinates) >= 0) != (truth >= 0))
    assert risk <= found.bound < found.upper <= 1
    assert 0 < found.angle < np.pi / 2
    with pytest.raises(ValueError, match="too small"):
        bound_at_angle_reached(span, z, T, truth, teacher_norm=0.1 * norm)


def test_the_bound_at_the_angle_reached_is_not_silly():
    task = PolynomialTask(1, 50)
    rng = np.random.default_rng(0)
    sample, held_out = task.sample(20, rng=rng), task.sample(5000, rng=rng)
    found = bound_at_angle_reached(Span(sample.X), sample.z, held_out.X, held_out.z, teacher_norm=1.0)
    assert found.bound < 0.2


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_repeated_self_distillation_is_kernel_ridge_again_and_again(weight):
    rng, X = rng_points(15, 4)
    K, y = NTK(3)(X, X), rng.standard_normal((15, 2))
    target = y
    for steps in (1, 2, 3, 4):
        model = KernelRidge(alpha=0.7, kernel="precomputed").fit(K, target)
        np.testing.assert_allclose(
            repeated_self_distillation(K, y, 0.7, weight, steps), model.dual_coef_, atol=1e-12
        )
        target = (1 - weight) * model.predict(K) + weight * y
    limit = repeated_self_distillation(K, y[:, 0], 0.7, weight)
    np.testing.assert_allclose(
        limit, weight * np.linalg.solve(weight * K + 0.7 * np.eye(15), y[:, 0]), atol=1e-12
    )
    if weight:
        np.testing.assert_allclose(
            repeated_self_distillation(K, y[:, 0], 0.7, weight, 5000), limit, atol=1e-12
        )


def test_the_optimal_mix_is_the_minimum_of_a_parabola():
    rng = np.random.default_rng(0)
    teacher, student = rng.standard_normal((2, 50)) + 0.3
    A, B, C = np.mean(teacher**2), np.mean(student**2), np.mean(teacher * student)
    found = optimal_mix(A, B, C)
    best = minimize_scalar(lambda x: np.mean(np.square((1 - x) * teacher + x * student)))
    assert found.weight == pytest.approx(best.x, abs=1e-6)
    assert found.risk == pytest.approx(best.fun, rel=1e-9)
    with pytest.raises(ValueError, match="do not differ"):
        optimal_mix(1.0, 1.0, 1.0)


@pytest.mark.parametrize("steps", [1, 2, 5, None])
def test_without_weight_on_the_labels_a_large_eigenvalue_loses_nothing(steps):
    b = repeated_self_distillation(np.diag([1e17, 1.0, 0.0]), np.ones(3), 1.0, 0.0, steps)
    D = np.array([1e17, 1.0, 0.0])
    exact = np.zeros(3) if steps is None else (D / (D + 1)) ** (steps - 1) / (D + 1)
    np.testing.assert_allclose(b, exact, rtol=1e-12)
