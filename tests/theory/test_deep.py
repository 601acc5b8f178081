from itertools import pairwise
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import LSODA, solve_ivp
from tolerance import relative

from limbeck.theory import Span
from limbeck.theory.deep import (
    deep_flow,
    deep_limit,
    deep_limit_details,
    end_to_end_velocity,
    path_from_one_point,
)
from limbeck.theory.deep_bounds import (
    deep_loss_after,
    largest_limit_norm,
    largest_start,
    nearest_to_zero,
    outside_share_bound,
    theorem_2_radius,
)
from limbeck.theory.flow import gradient_flow
from limbeck.theory.layers import (
    balance_error,
    balanced_layers,
    check_conditions,
    flip_sign,
    limit_of_layers,
    product,
    random_balanced_layers,
)
from limbeck.theory.loss import gradient, loss, strong_convexity
from limbeck.theory.training import descend_layers, flow_layers, imbalance_effect, layer_gradients


def example(n=5, d=12, seed=0):
    rng = np.random.default_rng([seed, n, d])
    X, w_star = rng.standard_normal((n, d)), rng.standard_normal(d) / 3
    return X, X @ w_star, w_star, rng


def start(norm, d, rng):
    w0 = rng.standard_normal(d)
    return norm * w0 / np.linalg.norm(w0)


# -- layers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("depth", "widths"), [(1, []), (2, [1]), (3, [4, 2]), (5, [3, 1, 6, 2])])
def test_equation_13_balanced_layers_multiply_to_what_was_asked(depth, widths):
    _, _, _, rng = example()
    w0 = start(0.3, 12, rng)
    layers = balanced_layers(w0, depth, widths=widths, rng=rng)
    assert [W.shape for W in layers] == list(zip([*widths, 1], [12, *widths], strict=True))
    np.testing.assert_allclose(product(layers), w0, atol=1e-15)
    for W, V in pairwise(layers):
        np.testing.assert_allclose(V.T @ V, W @ W.T, atol=1e-15)
    assert balance_error(layers) < 1e-14
    drawn = random_balanced_layers(12, depth, 0.7, widths=widths, rng=rng)
    assert np.linalg.norm(product(drawn)) == pytest.approx(0.7)


def test_layer_gradients_are_slopes_of_the_loss():
    X, z, _, rng = example()
    layers = [rng.standard_normal(s) for s in ((3, 12), (2, 3), (1, 2))]
    for j, G in enumerate(layer_gradients(layers, X, z)):
        direction, h = rng.standard_normal(G.shape), 1e-6
        ends = []
        for sign in (1, -1):
            moved = [*layers[:j], layers[j] + sign * h * direction, *layers[j + 1 :]]
            ends.append(loss(product(moved), X, z))
        assert (ends[0] - ends[1]) / (2 * h) == pytest.approx(np.sum(G * direction), abs=1e-8)


@pytest.mark.parametrize("balanced", [True, False])
def test_the_first_layer_never_moves_outside_the_span(balanced):
    X, z, _, rng = example()
    layers = (
        random_balanced_layers(12, 3, 0.5, widths=[4, 3], rng=rng)
        if balanced
        else [rng.standard_normal(s) for s in ((4, 12), (3, 4), (1, 3))]
    )
    span = Span(X)
    for step_size in (0.01, 0.3):  # any step, even one that does not converge
        end = descend_layers(layers, X, z, 50, step_size=step_size).layers[0]
        np.testing.assert_allclose(span.residual(end), span.residual(layers[0]), atol=1e-12)
        assert relative(end, layers[0]) > 1e-3


@pytest.mark.parametrize(("depth", "widths"), [(2, [3]), (3, [2, 4]), (5, [2, 2, 1, 2])])
def test_lemma_c1_is_the_flow_of_the_layers(depth, widths):
    X, z, _, rng = example()
    layers = random_balanced_layers(12, depth, 0.4, widths=widths, rng=rng)
    times = np.array([0.3, 3.0, 20.0])
    of_layers = flow_layers(layers, X, z, times=times).weights
    end_to_end = deep_flow(X, z, product(layers), depth, times=times).weights
    in_d = solve_ivp(
        lambda t, w: end_to_end_velocity(w, X, z, depth),
        (0, 20),
        product(layers),
        t_eval=times,
        rtol=1e-11,
        atol=1e-13,
    ).y.T
    np.testing.assert_allclose(end_to_end, of_layers, atol=1e-8)
    np.testing.assert_allclose(end_to_end, in_d, atol=1e-8)


# -- the exact limit ----------------------------------------------------------------------------------


@given(st.floats(1e-6, 0.99), st.floats(0.1, 10), st.integers(2, 6))
def test_equations_69_to_73_k_bounds_every_norm_that_f_allows(ratio, size, depth):
    norm, N = ratio * size, depth
    K = largest_limit_norm(norm, size, N)

    def f(nu):
        return (size / nu) ** 2 + (norm / nu) ** (2 / N)

    assert f(K) <= 1 + 1e-12
    assert f(1.001 * K) < f(K) < f(K / 1.001)
    assert largest_limit_norm(size, size, N) == np.inf


@pytest.mark.parametrize("depth", [2, 3, 5])
@pytest.mark.parametrize("norm", [1e-8, 1e-3, 0.3, 4.0])
def test_the_exact_limit_is_where_the_flow_ends_and_the_conserved_quantity_is_conserved(depth, norm):
    X, z, _, rng = example(seed=depth)
    w0 = start(norm, 12, rng)
    flow, exact = deep_flow(X, z, w0, depth, tolerance=1e-9), deep_limit_details(X, z, w0, depth)
    assert flow.converged
    assert flow.distances[-1] < 1e-8
    assert relative(flow.weights[-1], exact.weights) < 1e-8
    np.testing.assert_allclose(flow.conserved, exact.conserved, rtol=1e-7)
    np.testing.assert_allclose(X @ exact.weights, z, atol=1e-12)
    assert np.all(np.diff(flow.losses) < 1e-12)


def test_layers_trained_by_finite_steps_end_at_the_exact_limit():
    X, z, _, rng = example()
    layers = random_balanced_layers(12, 3, 0.2, widths=[2, 2], rng=rng)
    apart = []
    for step_size in (0.1, 0.05):
        end = descend_layers(layers, X, z, 60_000, step_size=step_size, tolerance=1e-9)
        assert end.converged
        apart.append(np.linalg.norm(end.weights[-1] - deep_limit(X, z, product(layers), 3)))
    assert apart[0] < 0.01
    assert 0.3 < apart[1] / apart[0] < 0.7  # the error of finite steps is first order in the step


def test_one_layer_keeps_its_start_outside_the_span():
    X, z, w_star, rng = example()
    w0, span = rng.standard_normal(12), Span(X)
    np.testing.assert_allclose(deep_limit(X, z, w0, 1), span.project(w_star) + span.residual(w0), atol=1e-12)
    np.testing.assert_allclose(deep_limit(X, z, np.zeros(12), 1), span.project(w_star), atol=1e-12)


def test_full_rank_and_starts_inside_the_span_end_at_the_student():
    X, z, w_star, rng = example(15, 8)
    np.testing.assert_allclose(deep_limit(X, z, rng.standard_normal(8), 4), w_star, atol=1e-12)
    X, z, w_star, rng = example()
    span = Span(X)
    w0 = span.project(rng.standard_normal(12))
    assert deep_limit_details(span, z, w0, 3).leak == 0
    assert relative(deep_flow(X, z, w0, 3).weights[-1], span.project(w_star)) < 1e-5


def test_a_teacher_that_is_zero_leaves_what_is_conserved():
    X, _, _, rng = example()
    w0, span = rng.standard_normal(12), Span(X)
    outside = np.linalg.norm(span.residual(w0))
    exact = deep_limit(X, np.zeros(5), w0, 2)
    np.testing.assert_allclose(exact, span.residual(w0) * outside / np.linalg.norm(w0), atol=1e-12)
    assert relative(deep_flow(X, np.zeros(5), w0, 2, tolerance=1e-8).weights[-1], exact) < 1e-7


def test_labels_no_linear_teacher_gave_have_their_limit_too():
    X, z, _, rng = example(15, 8)
    X[:, -1] = X[:, 0]  # rank 7: there is an outside
    z = z + rng.standard_normal(15)
    w0 = start(0.1, 8, rng)
    exact = deep_limit(X, z, w0, 3)
    np.testing.assert_allclose(gradient(exact, X, z), 0, atol=1e-10)
    assert relative(deep_flow(X, z, w0, 3).weights[-1], exact) < 1e-5


@given(
    log_norm=st.floats(-140, 3), share=st.floats(1e-6, 1.0), depth=st.integers(2, 8), seed=st.integers(0, 50)
)
def test_theorem_2s_radius_is_never_below_the_exact_distance(log_norm, share, depth, seed):
    X, z, w_star, rng = example(3, 6, seed)
    span = Span(X)
    inside, outside = span.project(rng.standard_normal(6)), span.residual(rng.standard_normal(6))
    w0 = np.sqrt(1 - share) * inside / np.linalg.norm(inside) + np.sqrt(share) * outside / np.linalg.norm(
        outside
    )
    w0 *= 10.0**log_norm
    exact, size = deep_limit_details(span, z, w0, depth), np.linalg.norm(span.project(w_star))
    radius = theorem_2_radius(np.linalg.norm(w0), size, depth)
    assert exact.leak * (1 - 1e-9) <= radius * np.sqrt(share)
    # The equation itself, and its two ends.
    phi = np.arctan(exact.leak / size)
    log_k = np.log(np.linalg.norm(w0)) + depth * 0.5 * np.log(share) - np.log(size)
    assert depth * np.log(np.sin(phi)) - np.log(np.cos(phi)) == pytest.approx(log_k, rel=1e-8, abs=1e-6)
    norm = np.linalg.norm(exact.weights)
    assert np.sin(phi) ** 2 <= outside_share_bound(np.linalg.norm(w0), norm, depth) * (1 + 1e-9)
    assert norm <= largest_limit_norm(np.linalg.norm(w0), size, depth) * (1 + 1e-9)


def test_the_leak_falls_as_the_norm_to_the_1_over_depth():
    X, z, _, rng = example()
    w0 = start(1.0, 12, rng)
    for depth in (2, 3, 5):
        leaks = [deep_limit_details(X, z, s * w0, depth).leak for s in (1e-20, 1e-25)]
        assert np.log(leaks[0] / leaks[1]) / np.log(1e5) == pytest.approx(1 / depth, rel=1e-3)


def test_condition_11s_minimum_is_redundant_and_inverts_the_radius():
    for epsilon in (1e-3, 0.2, 5.0):
        for depth in (2, 3, 6):
            allowed = largest_start(epsilon, 1.7, depth)
            printed = epsilon**depth * (epsilon**2 * 1.7 ** (-2 / depth) + 1.7 ** (2 - 2 / depth)) ** (
                -depth / 2
            )
            assert allowed == pytest.approx(printed)
            assert allowed < 1.7
            assert theorem_2_radius(allowed, 1.7, depth) == pytest.approx(epsilon)
    assert theorem_2_radius(2.0, 1.7, 3) == np.inf
    assert largest_limit_norm(2.0, 1.7, 3) == np.inf


@pytest.mark.parametrize("depth", [2, 4])
def test_equation_59_bounds_the_loss_along_the_flow(depth):
    X, z, _, rng = example()
    layers = flip_sign(balanced_layers(start(0.2, 12, rng), depth), X, z)
    assert layers.holds
    zero = gradient(np.zeros(12), X, z)
    delta = nearest_to_zero(layers.loss_at_zero, layers.loss, np.linalg.norm(zero))
    c = strong_convexity(X, z, layers.loss)
    times = np.array([1.0, 10.0, 100.0])
    flow = deep_flow(X, z, product(layers.layers), depth, times=times)
    assert 0 < delta <= flow.norms.min()
    for t, value in zip(times, flow.losses, strict=True):
        assert value <= deep_loss_after(t, layers.loss, c, delta, depth)


def test_flow_in_requested_times_restarts_and_zero():
    X, z, _, rng = example()
    w0 = start(1e-4, 12, rng)
    whole = deep_flow(X, z, w0, 3, times=[0.0, 40.0, 90.0, 1e9])
    np.testing.assert_allclose(whole.weights[0], w0, atol=1e-15)
    np.testing.assert_allclose(whole.times, [0, 40, 90, 1e9], rtol=1e-9)
    rest = deep_flow(X, z, whole.weights[1], 3, times=[50.0])
    assert relative(rest.weights[0], whole.weights[2]) < 1e-6
    assert relative(whole.weights[3], deep_limit(X, z, w0, 3)) < 1e-6
    half = flow_layers(balanced_layers(w0, 3), X, z, times=[40.0])
    assert relative(flow_layers(half.layers, X, z, times=[50.0]).weights[0], whole.weights[2]) < 1e-6


def test_an_end_that_is_not_reached_is_said_and_the_way_kept():
    flow = deep_flow(np.eye(2)[:1], [500.0], [1e-3, 1e-3], 2)
    assert not flow.converged
    assert 1 < flow.norms[-1] < 500
    assert len(flow.times) > 10


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_what_an_integrator_reached_before_it_gave_up_is_kept(monkeypatch, share):
    """The integrator is made to stop after this share of every stretch it is asked for, or at this time."""

    def gives_up(velocity, span, y, t_eval=None, **options):
        if share == 0.0:  # at its very first step
            return SimpleNamespace(
                y=y[:, None] if t_eval is None else [], t=np.zeros(1), sol=None, success=False
            )
        end = span[0] + share * (span[1] - span[0])
        t_eval = None if t_eval is None else t_eval[t_eval <= end]
        solved = solve_ivp(velocity, (span[0], end), y, t_eval=t_eval, **options)
        solved.success = False
        return solved

    class Stepping(LSODA):
        def step(self):
            if self.t >= share:
                self.status = "failed"
            else:
                super().step()

    X, z, _, rng = example()
    layers = random_balanced_layers(12, 2, 0.3, rng=rng)
    w0, times = product(layers), [0.0, 0.1, 1.0, 1000.0]
    whole = deep_flow(X, z, w0, 2, times=times)
    monkeypatch.setattr("limbeck.theory.training.LSODA", Stepping)
    for module in ("_end_to_end", "flow"):
        monkeypatch.setattr(f"limbeck.theory.{module}.solve_ivp", gives_up)
    for found in (
        deep_flow(X, z, w0, 2),
        deep_flow(X, z, w0, 2, times=times),
        flow_layers(layers, X, z),
        flow_layers(layers, X, z, times=times),
        gradient_flow(X, z, w0=w0),
        gradient_flow(X, z, w0=w0, times=times),
    ):
        assert not found.converged
        assert 1 <= len(found.times) == len(found.weights) == len(found.losses)
        np.testing.assert_allclose(found.weights[0], w0, atol=1e-12)
        assert found.times[-1] < 1000
    if share:
        found = deep_flow(X, z, w0, 2, times=times)
        assert len(found.times) > 1
        np.testing.assert_allclose(found.weights, whole.weights[: len(found.times)], atol=1e-8)


# -- condition (12) -----------------------------------------------------------------------------------


def test_neither_sign_need_satisfy_condition_12_and_the_flow_converges_all_the_same():
    rng = np.random.default_rng(0)
    X, w_star = rng.standard_normal((20, 1000)), rng.standard_normal(1000) / 30
    z = X @ w_star
    for _ in range(60):
        layers = random_balanced_layers(1000, 3, 0.1, rng=rng)
        flip = flip_sign(layers, X, z)
        w0 = product(flip.layers)
        if not flip.holds:
            assert loss(w0, X, z) >= flip.loss_at_zero
            assert loss(-w0, X, z) >= flip.loss_at_zero
            break
    else:
        pytest.fail("no start where both signs fail was drawn")
    conditions = check_conditions(flip.layers, X, z)
    assert (conditions.small, conditions.below_zero, conditions.balanced) == (True, False, True)
    assert conditions.epsilon == np.inf
    assert conditions.exact_leak < 1
    flow = deep_flow(X, z, w0, 3)
    assert flow.converged
    assert flow.norms.min() >= deep_limit_details(X, z, w0, 3).conserved * (1 - 1e-9)
    trained = descend_layers(flip.layers, X, z, 20_000, step_size=0.02, tolerance=1e-4)
    assert trained.converged  # with finite steps on real layers too


def test_the_sign_is_flipped_where_that_helps():
    X, z, w_star, _ = example()
    good = balanced_layers(0.1 * w_star, 2)
    assert not flip_sign(good, X, z).flipped
    bad = balanced_layers(-0.1 * w_star, 2)
    flip = flip_sign(bad, X, z)
    assert flip.flipped
    assert flip.holds
    np.testing.assert_allclose(product(flip.layers), 0.1 * w_star)


def test_the_checker_says_what_holds_and_what_theorem_2_then_guarantees():
    X, z, w_star, rng = example()
    layers = flip_sign(random_balanced_layers(12, 3, 0.05, widths=[2, 2], rng=rng), X, z).layers
    found = check_conditions(layers, X, z)
    assert (found.small, found.below_zero, found.balanced) == (True, True, True)
    assert 0 < found.exact_leak <= found.epsilon < np.inf
    assert largest_start(found.epsilon * 1.0001, found.student_norm, 3) > found.norm
    found = check_conditions([layers[0], 2 * layers[1], layers[2]], X, z)
    assert not found.balanced
    assert found.balance_error > 0.1
    assert found.epsilon == np.inf
    assert np.isnan(found.exact_leak)
    exact = limit_of_layers(layers, X, z)
    np.testing.assert_array_equal(exact.weights, deep_limit(X, z, product(layers), 3))
    assert exact.leak == check_conditions(layers, X, z).exact_leak
    found = check_conditions(balanced_layers(50 * w_star, 2), X, z)
    assert not found.small
    X, z, _, rng = example(15, 8)
    layers = flip_sign(balanced_layers(start(0.1, 8, rng), 2), X, z)
    assert layers.holds
    assert check_conditions(layers.layers, X, z).epsilon == 0


def test_starts_that_run_into_zero_are_refused_with_the_reason():
    with pytest.raises(ValueError, match="runs into w = 0"):
        deep_limit([[1.0, 0.0]], [2.0], [-0.3, 0.0], 2)
    with pytest.raises(ValueError, match="runs into w = 0"):
        deep_limit(np.eye(2), [1.0, 1.0], [-0.1, -0.1], 3)
    # The same with a trace outside that direction, or outside the span, escapes.
    np.testing.assert_allclose(deep_limit(np.eye(2), [1.0, 1.0], [-0.1, -0.1 - 1e-6], 3), [1, 1], atol=1e-9)
    assert np.isfinite(deep_limit([[1.0, 0.0]], [2.0], [-0.3, 1e-9], 2)).all()
    np.testing.assert_allclose(deep_limit([[1.0, 0.0]], [2.0], [0.3, 0.0], 2), [2, 0], atol=1e-12)


def test_approximate_balance_moves_the_limit_little():
    X, z, _, rng = example()
    layers = random_balanced_layers(12, 2, 0.1, widths=[3], rng=rng)
    noise = [rng.standard_normal(W.shape) for W in layers]
    effects = [
        imbalance_effect([W + e * np.linalg.norm(W) * N for W, N in zip(layers, noise, strict=True)], X, z)
        for e in (0.0, 1e-3, 1e-1)
    ]
    assert all(effect.converged for effect in effects)
    assert effects[0].balance_error < 1e-14
    assert effects[0].deviation < 1e-6
    assert effects[0].deviation < effects[1].deviation < effects[2].deviation < 0.2


@pytest.mark.parametrize("apart", [1.0, 1e-2, 1e-3])
def test_on_all_but_collinear_rows_the_flow_still_gets_to_the_limit(apart):
    layers, X, z = _collinear(apart)
    effect = imbalance_effect(layers, X, z)
    assert effect.converged
    assert effect.deviation < 1e-7


def test_a_flow_that_creeps_is_given_up_and_says_so(monkeypatch):
    layers, X, z = _collinear(1e-9)
    assert not imbalance_effect(layers, X, z).converged  # the logits are there, the weights are far from it
    monkeypatch.setattr("limbeck.theory.training.EVALUATIONS", 300)
    given_up = flow_layers(layers, X, z, times=[0.0, 0.1, 1e9])
    assert not given_up.converged
    np.testing.assert_array_equal(given_up.times, [0.0, 0.1])
    with pytest.raises(ArithmeticError, match=r"did not get to the first of the times, 1e\+09"):
        flow_layers(layers, X, z, times=[1e9])


def _collinear(apart):
    rng = np.random.default_rng(0)
    X = np.ones((8, 1)) * rng.standard_normal(8) + apart * rng.standard_normal((8, 8))
    return random_balanced_layers(8, 3, 0.5, rng=rng), X, X @ rng.standard_normal(8)


# -- bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: deep_limit(np.eye(2), [0.1, 0.2], [1.0, 1.0], 0), "depth must be an integer of at least 1"),
        (lambda: deep_limit(np.eye(2), [0.1, 0.2], [0.0, 0.0], 2), "w0 is zero"),
        (lambda: deep_limit(np.eye(2), [0.1, np.inf], [0.0, 1.0], 2), "z holds inf"),
        (lambda: deep_flow(np.eye(2), [0.1, 0.2], [1.0, 1.0], 2, times=[2.0, 1.0]), "times must be"),
        (lambda: balanced_layers([0.0, 0.0], 2), "w0 has length zero"),
        (lambda: balanced_layers([1.0, 0.0], 3, widths=[2]), "depth = 3 has 2 hidden layers"),
        (lambda: random_balanced_layers(3, 2, -1.0, rng=np.random.default_rng()), "norm must be > 0"),
        (lambda: product([]), "layers is empty"),
        (lambda: product([np.eye(2), np.ones((1, 3))]), "Layer 2 takes 3 inputs where layer 1 gives 2"),
        (lambda: product([np.eye(2)]), "last layer gives 2 outputs"),
        (
            lambda: check_conditions([np.ones((1, 3))], np.eye(2), [0.1, 0.2]),
            "takes 3 features where the points have 2",
        ),
        (lambda: descend_layers([np.ones((1, 2))], np.eye(2), [0.1, 0.2], 5, step_size=0), "step_size"),
        (lambda: check_conditions([np.ones((1, 2))], np.eye(2), [0.1, 0.2]), "single layer"),
        (
            lambda: limit_of_layers([np.eye(2), np.eye(2), np.ones((1, 2))], np.eye(2), [0.1, 0.2]),
            "Layers 2 and 3 are out of balance",
        ),
        (lambda: theorem_2_radius(0.1, 1.0, 1), "depth must be an integer of at least 2"),
    ],
)
def test_bad_input_names_the_condition_and_the_cure(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_a_step_that_is_too_large_is_said():
    X, z, _, rng = example()
    layers = [10 * rng.standard_normal(s) for s in ((3, 12), (1, 3))]
    with pytest.raises(ArithmeticError, match="diverged"):
        descend_layers(layers, X, z, 2000, step_size=50.0)


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_point_leaves_one_curve_and_the_integrated_flow_stays_on_it(depth, seed):
    X, z, _, rng = example(n=1, d=4, seed=seed)
    w0 = rng.standard_normal(4) * 10.0 ** rng.uniform(-2, 0.5)
    flow = deep_flow(X, z, w0, depth)
    path = path_from_one_point(X[0], z[0], w0, depth, points=20_000)
    gaps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    for w in flow.weights:
        assert np.linalg.norm(path - w, axis=1).min() <= gaps.max() + 1e-7
    outside = np.linalg.norm(Span(X).residual(path), axis=1)
    lengths = np.linalg.norm(path, axis=1)
    conserved = lengths * (outside / lengths) ** depth
    np.testing.assert_allclose(conserved, deep_limit_details(X, z, w0, depth).conserved, rtol=1e-9)
    np.testing.assert_array_equal(path[0], w0)
    np.testing.assert_array_equal(path[-1], deep_limit(X, z, w0, depth))


def test_a_start_on_the_only_point_s_line_stays_there():
    x, w0 = np.array([3.0, 4.0]), np.array([0.3, 0.4])
    path = path_from_one_point(x, 10.0, w0, 3, points=5)
    np.testing.assert_allclose(path, np.linspace(w0, [1.2, 1.6], 5), rtol=1e-12)


@pytest.mark.parametrize(("norm", "depth"), [(0.999999999, 1000), (1 - 1e-15, 2), (0.3, 10**9), (1e-300, 2)])
def test_theorem_2_keeps_its_digits_as_the_start_nears_the_student(norm, depth):
    with mpmath.workdps(60):
        ratio = mpmath.mpf(norm) ** (mpmath.mpf(2) / depth)
        radius = float(mpmath.sqrt(ratio / (1 - ratio)))
        largest = float((1 - ratio) ** (-mpmath.mpf(depth) / (2 * (depth - 1))))
    assert theorem_2_radius(norm, 1.0, depth) == pytest.approx(radius, rel=1e-12, abs=0)
    assert largest_limit_norm(norm, 1.0, depth) == pytest.approx(largest, rel=1e-12)
    assert theorem_2_radius(0.0, 1.0, depth) == 0
    assert largest_limit_norm(0.0, 1.0, depth) == 1
