"""Certified shares, K classes, counter-teachers, and the bound that assumes nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom, binomtest

from limbeck.theory import (
    Span,
    certified_shares,
    certify,
    certify_classes,
    clopper_pearson,
    clopper_pearson_upper,
    counter_teacher,
)


def decaying(n, d, rng):
    return rng.standard_normal((n, d)) * np.arange(1, d + 1) ** -1.0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(2, 12), st.floats(1.0, 3.0))
def test_every_answer_that_is_not_proved_has_a_counter_teacher(seed, n, d, slack):
    rng = np.random.default_rng(seed)
    X, w_star, T = decaying(n, d, rng), rng.standard_normal(d), decaying(20, d, rng)
    span, z, bound = Span(X), X @ w_star, slack * np.linalg.norm(w_star)
    found = certify(span, z, T)
    for x, logit, proved in zip(T, found.logits, found.proved(bound), strict=True):
        if proved:
            with pytest.raises(ValueError, match="is proved for every teacher of norm below"):
                counter_teacher(span, z, x, bound)
            continue
        w = counter_teacher(span, z, x, bound)
        np.testing.assert_allclose(X @ w, z, atol=1e-9 * np.linalg.norm(z))
        assert np.linalg.norm(w) <= bound * (1 + 1e-9)
        assert np.sign(logit) * (w @ x) <= 1e-9 * bound * np.linalg.norm(x)


def test_with_stated_errors_an_answer_may_stay_unproved_that_no_teacher_contradicts():
    # All teachers on a grid of the ball that fit the two answers within .3 decide x with a logit beyond 1.8.
    rng = np.random.default_rng(73)
    X, w = rng.standard_normal((2, 2)), rng.standard_normal(2)
    bound, z, x = 1.2 * np.linalg.norm(w), X @ w + rng.uniform(-0.3, 0.3, 2), rng.standard_normal(2)
    found = certify(X, z, x[None], error=0.3)
    axis = bound * np.linspace(-1, 1, 401)
    teachers = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    teachers = teachers[np.linalg.norm(teachers, axis=1) <= bound]
    teachers = teachers[np.all(np.abs(teachers @ X.T - z) <= 0.3, axis=1)]
    assert len(teachers) > 1000
    assert (teachers @ x * np.sign(found.logits[0])).min() > 1.8
    assert not found.proved(bound)[0]


def test_shares_at_several_bounds_are_what_certify_says_after_each_label():
    rng = np.random.default_rng(0)
    X, w_star, T = decaying(12, 20, rng), rng.standard_normal(20), decaying(150, 20, rng)
    X[5] = X[2]  # a repeated point proves nothing new
    z = X @ w_star
    found = certified_shares(X, z, T, block=40)
    norm = np.linalg.norm(Span(X).weights(z))
    np.testing.assert_allclose(found.norm_bounds, norm * np.array([1, 1.5, 2]))
    np.testing.assert_allclose(found.multiples, [1, 1.5, 2])
    for m in (1, 5, 6, 12):
        for i, bound in enumerate(found.norm_bounds):
            if (i, m) != (0, 12):  # there the bound is the norm itself, to rounding
                assert found.shares[i, m - 1] == np.mean(certify(X[:m], z[:m], T).proved(bound))
    assert np.all(np.diff(found.shares, axis=0) <= 0)
    assert found.shares[0, -1] == 1
    assert 0 < found.shares[2, -1] < 1
    assert "linear" in found.assumptions[0]


def test_decisions_among_classes_are_proved_by_every_pair():
    rng = np.random.default_rng(1)
    X, W, T = decaying(15, 20, rng), rng.standard_normal((20, 4)), decaying(500, 20, rng)
    pairs = [(a, b) for a in range(4) for b in range(a)]
    bound = max(np.linalg.norm(W[:, a] - W[:, b]) for a, b in pairs)
    found = certify_classes(X, X @ W, T)
    proved = found.proved(bound)
    assert np.array_equal(found.classes[proved], np.argmax(T @ W, axis=1)[proved])
    # The weaker criterion on the Frobenius norm of all weights proves far less.
    span = Span(X)
    centred = W - W.mean(axis=1, keepdims=True)
    logits = np.sort(T @ span.weights(X @ centred), axis=1)
    left = np.sum(np.square(centred)) - np.sum(np.square(span.weights(X @ centred)))
    weak = logits[:, -1] - logits[:, -2] > np.sqrt(2 * left) * found.residuals
    assert not np.any(weak & ~proved) or proved.sum() > weak.sum()
    assert 0 < proved.sum() < 500
    shifted = certify_classes(X, X @ W + rng.standard_normal((15, 1)), T)
    np.testing.assert_allclose(shifted.largest_bound, found.largest_bound, rtol=1e-6)


def test_two_classes_as_columns_are_the_two_class_certificate():
    rng = np.random.default_rng(2)
    X, w, T = decaying(6, 10, rng), rng.standard_normal(10), decaying(50, 10, rng)
    Z = np.column_stack([np.zeros(6), X @ w])
    two, one = certify_classes(X, Z, T), certify(X, X @ w, T)
    np.testing.assert_allclose(two.largest_bound, one.largest_bound, rtol=1e-9)
    assert np.array_equal(two.classes == 1, one.logits > 0)
    wide = certify_classes(X, Z, T, error=0.01)
    assert np.all(wide.largest_bound <= two.largest_bound * (1 + 1e-9))
    assert wide.assumptions != two.assumptions


def test_clopper_pearson_is_the_risk_at_which_so_few_would_be_too_rare():
    for wrong, size in ((0, 50), (3, 100), (49, 50)):
        bound = clopper_pearson_upper(wrong, size)
        assert binom.cdf(wrong, size, bound) == pytest.approx(0.05, rel=1e-9)
        assert bound == pytest.approx(beta.ppf(0.95, wrong + 1, size - wrong))
    assert clopper_pearson_upper(0, 300) == pytest.approx(1 - 0.05 ** (1 / 300))
    assert clopper_pearson_upper(7, 7) == 1.0


@pytest.mark.parametrize(("wrong", "size"), [(0, 1), (0, 300), (3, 50), (49, 50), (50, 50), (17, 1000)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.9999])
def test_the_bound_and_the_interval_are_scipys(wrong, size, confidence):
    one_sided = binomtest(wrong, size, alternative="less").proportion_ci(confidence, method="exact")
    assert clopper_pearson_upper(wrong, size, confidence) == pytest.approx(one_sided.high, rel=1e-9)
    both = binomtest(wrong, size).proportion_ci(confidence, method="exact")
    assert clopper_pearson(wrong, size, confidence) == (
        pytest.approx(both.low, rel=1e-9),
        pytest.approx(both.high, rel=1e-9),
    )


def test_the_interval_takes_errors_that_are_worth_a_part_of_one():
    low, high = clopper_pearson([0.0, 0.5, 1.0], 20.5)
    assert np.all(np.diff(low) > 0)
    assert np.all(np.diff(high) > 0)
    assert high[1] == pytest.approx(beta.ppf(0.975, 1.5, 20.0))
    assert low[1] == pytest.approx(beta.ppf(0.025, 0.5, 21.0))


def test_clopper_pearson_covers_whatever_the_risk():
    # Exact coverage: the chance that the bound is at least the truth, summed over all counts.
    for risk in (0.001, 0.02, 0.3):
        bounds = np.array([clopper_pearson_upper(k, 40, confidence=0.9) for k in range(41)])
        assert binom.pmf(np.flatnonzero(bounds >= risk), 40, risk).sum() >= 0.9


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda X, z: certified_shares(X, z, X[:, :2]), "2 features where the points have 3"),
        (lambda X, z: certified_shares(X, z, X, norm_bounds=[0.01]), "norm_bounds holds 0.01, below"),
        (lambda X, z: certified_shares(X, z + np.arange(6), X), "No linear teacher gave these logits"),
        (lambda X, z: certify_classes(X, z[:, None], X), "at least 2 classes"),
        (lambda X, z: certify_classes(X, np.outer(z, [1, 2]), X).proved(1e-3), "no linear teacher is left"),
        (lambda X, z: counter_teacher(X, z, X[0], 0.001), "no linear teacher is left"),
        (lambda X, z: clopper_pearson_upper(3, 2), "wrong = 3 disagreements among size = 2"),
        (lambda X, z: clopper_pearson([1, 4], 3), "wrong must lie between 0 and size"),
        (lambda X, z: clopper_pearson_upper(0, 0), "size must be an integer of at least 1"),
    ],
)
def test_bad_input_is_named(call, said):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((6, 3))
    with pytest.raises(ValueError, match=said):
        call(X, X @ [3.0, 1, 2])
