import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from limbeck.theory import Span
from limbeck.theory.loss import (
    curvature_floor,
    distance_bound,
    gradient,
    hessian,
    label_entropy,
    loss,
    pointwise_loss,
    polyak_lojasiewicz_gap,
    soft_label_gap,
    strong_convexity,
    strong_convexity_gap,
)

logits = st.floats(-1e4, 1e4)


def softplus(x):
    return mpmath.log1p(mpmath.exp(x)) if x < 0 else x + mpmath.log1p(mpmath.exp(-x))


@given(z=st.floats(-700, 700), gap=st.one_of(st.floats(-1, 1), st.floats(-1e-6, 1e-6), st.floats(-900, 900)))
def test_equation_36_keeps_its_relative_accuracy(z, gap):
    u = z + gap
    with mpmath.workdps(700):
        exact = softplus(mpmath.mpf(u)) - softplus(mpmath.mpf(z)) - (mpmath.mpf(u) - z) / (1 + mpmath.exp(-z))
        exact = float(exact)
    found = float(pointwise_loss(u, z))
    assert found >= 0
    assert abs(found - exact) <= 1e-12 * exact + 1e-300


@example(u=2.0, z=0.0)
@given(u=logits, z=logits)
def test_the_loss_is_zero_only_at_the_teacher_and_finite_everywhere(u, z):
    assert pointwise_loss(z, z) == 0.0
    assert 0 <= pointwise_loss(u, z) <= 2.1e4
    assert pointwise_loss(u, z) == pointwise_loss(-u, -z)


@given(u=st.floats(-600, 600), z=st.floats(-600, 600))
def test_gaps_of_probabilities_do_not_cancel(u, z):
    with mpmath.workdps(600):
        exact = float(1 / (1 + mpmath.exp(-mpmath.mpf(u))) - 1 / (1 + mpmath.exp(-mpmath.mpf(z))))
    assert abs(float(soft_label_gap(u, z)) - exact) <= 1e-12 * abs(exact) + 1e-300


def points(n=6, d=4, seed=0):
    rng = np.random.default_rng(seed)
    X, w_star = rng.standard_normal((n, d)), rng.standard_normal(d)
    return X, X @ w_star, w_star, rng


def test_equation_1_is_the_cross_entropy_less_the_entropy_of_the_labels():
    X, z, _, rng = points()
    w = rng.standard_normal(4)
    y, q = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(-X @ w))
    weights = np.concatenate([y, 1 - y])
    hard = np.repeat([1, 0], len(y))
    cross_entropy = (
        2
        * np.average(
            [log_loss([h], [p], labels=[0, 1]) for h, p in zip(hard, np.tile(q, 2), strict=True)],
            weights=weights,
        )
        * weights.mean()
    )
    assert abs(loss(w, X, z) - (cross_entropy - label_entropy(z))) < 1e-14


def test_theorem_a1_the_gradient_is_the_slope_of_the_loss_and_lies_in_the_span():
    X, z, _, rng = points(3, 6)
    w, v = rng.standard_normal((2, 6))
    h = 1e-5
    slope = (loss(w + h * v, X, z) - loss(w - h * v, X, z)) / (2 * h)
    assert abs(slope - gradient(w, X, z) @ v) < 1e-10
    np.testing.assert_allclose(Span(X).residual(gradient(w, X, z)), 0, atol=1e-15)


def test_equation_42_with_its_1_over_n_is_the_slope_of_the_gradient():
    X, z, _, rng = points()
    w, v = rng.standard_normal((2, 4))
    h = 1e-5
    slope = (gradient(w + h * v, X, z) - gradient(w - h * v, X, z)) / (2 * h)
    np.testing.assert_allclose(hessian(w, X) @ v, slope, atol=1e-10)


@pytest.mark.parametrize("level", [1e-6, 0.1, 3.0, 200.0])
def test_equation_44_the_floor_bounds_the_curvature_of_the_sublevel_set_and_is_attained(level):
    z = np.array([0.3, -2.0, 5.0])
    omega = curvature_floor(z, level)
    u = np.linspace(-1000, 1000, 400_001)
    inside = pointwise_loss(u[:, None], z) <= 3 * level
    near = np.concatenate([zi + np.linspace(-3, 3, 60_001) for zi in z])
    inside_near = np.stack([pointwise_loss(near, zi) <= 3 * level for zi in z], axis=1)
    with np.errstate(over="ignore"):
        slopes = [1 / (2 + np.exp(x) + np.exp(-x)) for x in (u, near)]
    least = min(s[ok.any(axis=1)].min(initial=1) for s, ok in zip(slopes, (inside, inside_near), strict=True))
    assert omega <= least
    if omega > 1e-250:
        assert omega > 0.98 * least


@pytest.mark.parametrize(("n", "d"), [(4, 9), (6, 6), (15, 5), (1, 3)])
def test_theorem_a3_and_corollary_a1_on_a_sublevel_set(n, d):
    X, z, _, rng = points(n, d, n)
    span = Span(X)
    for _ in range(20):
        v, w = span.weights(z) + span.project(rng.standard_normal((2, d)))
        level = max(loss(v, X, z), loss(w, X, z))
        mu = strong_convexity(X, z, level)
        assert strong_convexity_gap(v, w, X, z, mu) >= 0
        assert polyak_lojasiewicz_gap(v, X, z, mu) >= 0
        assert np.linalg.norm(v - span.weights(z)) <= distance_bound(loss(v, X, z), mu)


def test_the_constants_are_tight_next_to_the_minimum_along_the_flattest_direction():
    X, z = np.diag([1.0, 0.1]), np.zeros(2)
    w = np.array([0.0, 1e-4])
    mu = strong_convexity(X, z, loss(w, X, z))
    assert abs(mu / (0.25 * 0.01 / 2) - 1) < 1e-6
    assert polyak_lojasiewicz_gap(w, X, z, mu) < 1e-4 * mu * loss(w, X, z)
    assert abs(distance_bound(loss(w, X, z), mu) / 1e-4 - 1) < 1e-4


def test_repeated_points_keep_a_positive_mu():
    X = np.array([[1.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    assert strong_convexity(X, np.zeros(3), 0.1) > 0


def test_saturated_teachers_are_answered_honestly():
    assert curvature_floor([800.0], 0.5) == 0.0
    assert distance_bound(0.1, 0.0) == np.inf
    X = np.eye(2)
    assert loss(np.array([1e4, -1e4]), X, np.array([1e4, -1e4])) == 0.0
    assert loss(np.array([1e4, 0]), X, np.array([-1e4, 0])) == 5e3


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: loss([1.0], np.eye(2), [0.0, 0]), "w has 1 entries"),
        (lambda: loss([1.0, 2], np.eye(2), [0.0]), "z has 1 entries"),
        (lambda: loss([1.0, np.nan], np.eye(2), [0.0, 0]), "w holds nan at row 1"),
        (lambda: curvature_floor([0.0], -1), "level must be >= 0"),
        (lambda: strong_convexity(np.zeros((2, 2)), [0.0, 0], 1), "X is zero"),
        (lambda: distance_bound(-1, 1), "value must be >= 0"),
    ],
)
def test_bad_input_is_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()
