import numpy as np
import pytest

from limbeck.theory import Span
from limbeck.theory.scaling import KINDS, Scaling


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d"), [(40, 6), (5, 9), (1, 3)])
def test_folded_weights_give_the_same_logits_on_the_features_as_given(kind, n, d):
    rng = np.random.default_rng([n, d])
    X = rng.standard_normal((n, d)) * rng.uniform(0.1, 10, d) + 3
    scaling = Scaling.of(X, kind)
    W, b = rng.standard_normal((2, d)), rng.standard_normal(2)
    folded, intercepts = scaling.fold(W, b)
    np.testing.assert_allclose(X @ folded.T + intercepts, scaling.apply(X) @ W.T + b, rtol=1e-10, atol=1e-10)


def test_standard_gives_unit_variance_and_leaves_constants_at_zero():
    X = np.random.default_rng(0).standard_normal((50, 4)) * 7 + 1e6
    X[:, 2] = 1e6 / 3
    scaled = Scaling.of(X, "standard").apply(X)
    np.testing.assert_allclose(scaled.std(axis=0), [1, 1, 0, 1], atol=1e-9)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-9)


def test_whitening_gives_equal_spread_and_sharpening_squares_the_condition_of_the_spectrum():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((400, 5)) * 10.0 ** -np.arange(5)
    whitened = Scaling.of(X, "whiten").apply(X)
    moment = whitened.T @ whitened / len(X)
    np.testing.assert_allclose(
        moment - np.outer(whitened.mean(axis=0), whitened.mean(axis=0)), np.eye(5), atol=1e-8
    )
    # X -> X S^(1/4): singular values s -> s^(3/2).
    before = np.linalg.svd(X, compute_uv=False)
    after = np.linalg.svd(Scaling.of(X, "sharpen").apply(X), compute_uv=False)
    np.testing.assert_allclose(after / after[0], (before / before[0]) ** 1.5, rtol=1e-8)


def test_scaling_changes_the_student_of_few_points_and_not_that_of_a_spanning_set():
    rng = np.random.default_rng(2)
    X, w_star = rng.standard_normal((30, 8)) * np.arange(1, 9), rng.standard_normal(8)
    scaling = Scaling.of(X, "sharpen")
    for n, same in ((4, False), (30, True)):
        learned = Span(scaling.apply(X[:n])).weights(X[:n] @ w_star)
        folded, _ = scaling.fold(learned[None], np.zeros(1))
        assert np.allclose(folded[0], Span(X[:n]).weights(X[:n] @ w_star), rtol=1e-8) is same


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="must be one of none, standard, whiten, sharpen, got 'log'"):
        Scaling.of(np.ones((2, 2)), "log")


@pytest.mark.parametrize("kind", ["standard", "whiten", "sharpen"])
def test_without_an_intercept_the_origin_stays_where_it_is(kind):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3)) * [1.0, 100.0, 0.01] + [1.0, -50.0, 0.3]
    scaling = Scaling.of(X, kind, centred=False)
    F = scaling.apply(X)
    np.testing.assert_array_equal(scaling.apply(np.zeros((1, 3))), 0)
    np.testing.assert_array_equal(scaling.fold(rng.standard_normal((1, 3)), np.zeros(1))[1], 0)
    if kind == "standard":
        np.testing.assert_allclose(np.square(F).mean(axis=0), 1)
    if kind == "whiten":
        np.testing.assert_allclose(F.T @ F / len(F), np.eye(3), atol=1e-12)


@pytest.mark.parametrize("centred", [True, False])
def test_the_units_of_the_features_are_gone_after_standard_and_whiten_and_kept_by_none_and_sharpen(centred):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((60, 4)) @ rng.standard_normal((4, 4)) + 1
    for kind, power in (("none", 1), ("standard", 0), ("whiten", 0), ("sharpen", 1)):
        small, large = (Scaling.of(unit * X, kind, centred=centred).apply(unit * X) for unit in (1.0, 100.0))
        np.testing.assert_allclose(large, 100.0**power * small, rtol=1e-9, atol=1e-9)
    # A change of basis is gone after whitening alone, but for a rotation: all inner products stay.
    turned = X @ rng.standard_normal((4, 4))
    F, G = (Scaling.of(Y, "whiten", centred=centred).apply(Y) for Y in (X, turned))
    np.testing.assert_allclose(G @ G.T, F @ F.T, atol=1e-9)


def test_directions_the_points_do_not_reach_stay_out_of_a_whitened_student():
    rng = np.random.default_rng(4)
    X = rng.standard_normal((50, 2)) @ rng.standard_normal((2, 5))
    F = Scaling.of(X, "whiten").apply(X)
    np.testing.assert_allclose(np.linalg.eigvalsh(np.cov(F.T, bias=True)), [0, 0, 0, 1, 1], atol=1e-9)
    assert np.all(Scaling.of(np.ones((3, 2)), "whiten").matrix == np.eye(2))  # all alike: left as they are
