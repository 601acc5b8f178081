import numpy as np
import pytest
from scipy.optimize import nnls
from tolerance import relative

from limbeck.theory import (
    BiasedDistillation,
    Distillation,
    HardTargetLimit,
    HardTargetSteps,
    PolynomialTask,
    Span,
    angle,
    disagreement,
)
from limbeck.theory.learners import descend_on_hard_labels, expected_disagreement, hard_labels
from limbeck.theory.loss import loss


def example(n=6, d=15, seed=0):
    rng = np.random.default_rng(seed)
    X, w_star = rng.standard_normal((n, d)), rng.standard_normal(d)
    return Span(X), X @ w_star, rng


@pytest.mark.parametrize("delta", [0.0, 0.5, -2.0, 90.0])
def test_section_5_2_every_w_delta_minimises_the_loss(delta):
    span, z, rng = example()
    w_hat = Distillation().weights(span, z)
    w = BiasedDistillation(delta).weights(span, z, rng=rng)
    assert loss(w, span.X, z) < 1e-20
    assert np.linalg.norm(w - w_hat) == pytest.approx(abs(delta) * np.linalg.norm(w_hat))
    np.testing.assert_allclose(span.project(w), w_hat, atol=1e-10)


def test_q_is_shared_or_drawn_anew():
    span, z, rng = example()
    g = rng.standard_normal(15)
    shared = [BiasedDistillation(1.0, g).weights(span, z, rng=rng) for _ in range(2)]
    fresh = [BiasedDistillation(1.0).weights(span, z, rng=rng) for _ in range(2)]
    np.testing.assert_array_equal(*shared)
    assert relative(*fresh) > 0.1
    limit = BiasedDistillation(np.inf, g).weights(span, z, rng=rng)
    np.testing.assert_allclose(limit, span.complement_direction(g))


def test_the_average_over_q_is_what_many_draws_average_to():
    span, _, rng = example(4, 9, 3)
    T, w_star = rng.standard_normal((60, 9)), Span(np.eye(9)).weights(rng.standard_normal(9))
    T[0] = span.X[0]  # a learned point: q does not touch it
    teacher, w_hat = T @ w_star, span.weights(span.X @ w_star)
    deltas, draws = [0.0, 0.3, 2.0, np.inf], 20_000
    exact = expected_disagreement(span, w_hat, T, teacher, deltas)
    assert exact[0] == disagreement(T @ w_hat, teacher)
    for delta, share in zip(deltas[1:], exact[1:], strict=True):
        G = span.residual(rng.standard_normal((draws, 9)))
        G /= np.linalg.norm(G, axis=1, keepdims=True)
        W = G if np.isinf(delta) else w_hat + delta * np.linalg.norm(w_hat) * G
        counted = disagreement(W @ T.T, teacher)
        assert abs(counted.mean() - share) < 4.9 * counted.std() / np.sqrt(draws) + 1 / 60 / 100


@pytest.mark.parametrize(("n", "d"), [(6, 15), (12, 8), (5, 5)])
def test_the_maximum_margin_limit_meets_its_optimality_conditions(n, d):
    span, z, _ = example(n, d)
    w = HardTargetLimit().weights(span, z)
    signs = np.where(z >= 0, 1.0, -1.0)
    margins = signs * (span.X @ w)
    assert margins.min() > 1 - 1e-9
    support = margins < 1 + 1e-7
    # Stationarity: w is a non-negative combination of the signed support points.
    from scipy.optimize import nnls

    _, rest = nnls((signs[support, None] * span.X[support]).T, w)
    assert rest < 1e-8 * np.linalg.norm(w)


def test_descent_on_hard_labels_turns_to_the_maximum_margin():
    span, z, _ = example(4, 6)
    limit = HardTargetLimit().weights(span, z)
    apart = [float(angle(HardTargetSteps(k).weights(span, z), limit)) for k in (10, 100, 1000, 10_000)]
    assert np.all(np.diff(apart) < 0)
    assert apart[-1] < 0.5 * apart[0]


def test_many_descents_at_once_are_each_their_own():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((5, 3, 4)), rng.integers(0, 2, (5, 3)).astype(float)
    together = descend_on_hard_labels(X, y, 30)
    for i in range(5):
        np.testing.assert_allclose(together[i], descend_on_hard_labels(X[i], y[i], 30), rtol=1e-12)


def test_a_point_beyond_the_margin_does_not_move_the_limit():
    task, rng, seen = PolynomialTask(1.0, 30), np.random.default_rng(1), [0, 0]
    for _ in range(40):
        sample = task.sample(6, rng=rng)
        w = HardTargetLimit().weights(Span(sample.X[:5]), sample.z[:5])
        more = HardTargetLimit().weights(Span(sample.X), sample.z)
        unmoved = HardTargetLimit.unmoved(w, sample.X[5], sample.z[5])
        assert (float(angle(w, more)) < 1e-6) == unmoved
        seen[unmoved] += 1
    assert min(seen) > 5


def test_dependent_points_have_a_limit_too_unless_their_labels_clash():
    X = np.array([[1.0, 0], [1, 0], [0, 1], [1, 1]])
    w = HardTargetLimit().weights(Span(X), np.array([1.0, 2, 3, 4]))
    np.testing.assert_allclose(w, [1, 1], atol=1e-9)
    with pytest.raises(ValueError, match="cannot be separated"):
        HardTargetLimit().weights(Span(X), np.array([1.0, -1, 1, 1]))


def test_hard_labels_put_zero_in_class_1():
    np.testing.assert_array_equal(hard_labels([-1e-300, 0.0, -0.0, 2]), [0, 1, 1, 1])


def test_bad_learners_are_named():
    span, z, rng = example(6, 6)
    with pytest.raises(ValueError, match="span all of"):
        BiasedDistillation(1.0).weights(span, z, rng=rng)
    with pytest.raises(ValueError, match="only minimiser"):
        expected_disagreement(span, z, span.X, z, [1.0])
    with pytest.raises(ValueError, match="steps must be"):
        HardTargetSteps(0)
    with pytest.raises(ValueError, match="delta"):
        BiasedDistillation(float("nan"))


def test_the_sign_of_delta_makes_no_difference_on_average_over_q():
    span, z, rng = example(n=5, d=10)
    w_hat, T = span.weights(z), rng.standard_normal((400, 10))
    w_star = w_hat + span.complement_direction(rng.standard_normal(10))
    deltas = np.array([0.1, 1.0, np.inf])
    both = [expected_disagreement(span, w_hat, T, T @ w_star, s * deltas) for s in (1, -1)]
    np.testing.assert_array_equal(*both)
    drawn = [
        disagreement(T @ BiasedDistillation(-1.0).weights(span, z, rng=rng), T @ w_star) for _ in range(2000)
    ]
    assert np.mean(drawn) == pytest.approx(both[0][1], abs=5 * np.std(drawn) / np.sqrt(2000))
    with pytest.raises(ValueError, match="deltas holds nan"):
        expected_disagreement(span, w_hat, T, T @ w_star, [np.nan])


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_the_maximum_margin_has_no_units_and_obeys_its_conditions_for_dependent_points(scale):
    rng = np.random.default_rng(3)
    X, w_star = scale * rng.standard_normal((50, 20)), rng.standard_normal(20)
    w, signs = HardTargetLimit().weights(Span(X), X @ w_star), np.sign(X @ w_star)
    margins = signs * (X @ w)
    assert margins.min() == pytest.approx(1.0, rel=1e-6)
    active = margins < 1 + 1e-6  # w is a non-negative combination of those, and of no others
    _, rest = nnls((signs[:, None] * X / scale)[active].T, w * scale)
    assert rest < 1e-6 * np.linalg.norm(w * scale)
