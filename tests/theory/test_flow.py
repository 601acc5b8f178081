import numpy as np
import pytest
from tolerance import relative

from limbeck.theory import Span
from limbeck.theory.flow import gradient_descent, gradient_flow, largest_stable_step, loss_after, train
from limbeck.theory.loss import gradient, loss, strong_convexity


def example(n, d, seed=0):
    rng = np.random.default_rng([seed, n, d])
    X, w_star = rng.standard_normal((n, d)), rng.standard_normal(d) / np.sqrt(d)
    return X, X @ w_star, w_star


@pytest.mark.parametrize(("n", "d"), [(5, 12), (8, 8), (20, 6), (1, 1)])
def test_theorem_1_the_flow_from_zero_ends_at_the_projected_teacher(n, d):
    X, z, w_star = example(n, d)
    flow = gradient_flow(X, z)
    assert flow.converged
    assert flow.distance < 1e-6
    assert relative(flow.weights[-1], Span(X).project(w_star)) < 1e-6
    assert np.all(np.diff(flow.losses) <= 0)


def test_repeated_points_and_a_start_outside_the_span():
    X, z, w_star = example(5, 9)
    X, z = X[[0, 1, 2, 0, 3]], z[[0, 1, 2, 0, 3]]
    w0 = np.random.default_rng(1).standard_normal(9)
    span = Span(X)
    flow = gradient_flow(X, z, w0=w0)
    assert relative(flow.weights[-1], span.project(w_star) + span.residual(w0)) < 1e-6
    np.testing.assert_allclose(
        span.residual(flow.weights), np.tile(span.residual(w0), (len(flow.times), 1)), atol=1e-13
    )


def test_the_flow_restarted_midway_is_the_undisturbed_one():
    X, z, _ = example(6, 10)
    whole = gradient_flow(X, z, times=[1.0, 5.0, 9.0])
    rest = gradient_flow(X, z, w0=whole.weights[1], times=[4.0])
    assert relative(rest.weights[0], whole.weights[2]) < 1e-6
    np.testing.assert_array_equal(gradient_flow(X, z, times=[0.0]).weights[0], np.zeros(10))


def test_equation_8_small_times_follow_the_gradient():
    X, z, _ = example(6, 10)
    h = 1e-4
    w = gradient_flow(X, z, times=[h]).weights[0]
    assert relative(w, -h * gradient(np.zeros(10), X, z)) < 1e-3


def test_equation_54_holds_with_twice_the_printed_rate_and_is_tight():
    X, z = np.diag([1.0, 0.5]), np.zeros(2)
    w0 = np.array([0.0, 1e-3])  # next to the minimum, along the flattest direction
    start = loss(w0, X, z)
    c = strong_convexity(X, z, start)
    times = np.array([1.0, 10.0, 40.0])
    bound = loss_after(times, start, c)
    losses = gradient_flow(X, z, w0=w0, times=times).losses
    assert np.all(losses <= bound * (1 + 1e-6))
    np.testing.assert_allclose(losses, bound, rtol=1e-4)
    assert np.all(losses < np.exp(-c * times) * start)  # the printed rate is far from what happens


def test_any_stable_step_reaches_the_same_student_and_a_larger_one_does_not():
    X, z, _ = example(3, 8)
    w_hat = Span(X).weights(z)
    for share in (0.3, 0.9):
        w = gradient_descent(X, z, 4000, step_size=share * largest_stable_step(X)).weights[-1]
        assert relative(w, w_hat) < 1e-6
    z = np.full(3, 1e-3)  # next to logit 0 the curvature is its bound, 1/4
    assert gradient_descent(X, z, 200, step_size=1.2 * largest_stable_step(X)).losses[-1] > 1e-3


def test_training_ends_where_theorem_1_says():
    for n, d in [(10, 40), (40, 10)]:
        X, z, w_star = example(n, d)
        assert relative(train(X, z), Span(X).project(w_star)) < 1e-9


def test_what_cannot_be_reached_is_said_and_the_way_there_kept():
    flow = gradient_flow(np.array([[1.0]]), np.array([400.0]))
    assert not flow.converged
    assert 10 < flow.weights[-1, 0] < 400
    assert flow.distance > 1


def test_points_that_teach_nothing():
    flow = gradient_flow(np.zeros((2, 3)), np.zeros(2), w0=[1.0, 2, 3])
    assert flow.converged
    np.testing.assert_array_equal(flow.weights[-1], [1.0, 2, 3])


@pytest.mark.parametrize("times", [[-1.0, 2], [2.0, 1], [1.0, 1.0], [np.nan], []])
def test_times_must_increase(times):
    with pytest.raises(ValueError, match="times"):
        gradient_flow(np.eye(2), [0.1, 0.2], times=times)


def test_bad_steps_are_named():
    with pytest.raises(ValueError, match="steps must be an integer"):
        gradient_descent(np.eye(2), [0.1, 0.2], 0)
    with pytest.raises(ValueError, match="step_size"):
        gradient_descent(np.eye(2), [0.1, 0.2], 3, step_size=-1.0)
