"""A proof holds up in floating point: features far apart in size, answers amplified, directions passed over."""

import numpy as np
import pytest
from scipy.special import expit

from limbeck.labels import from_probabilities
from limbeck.theory import (
    Span,
    certified_shares,
    certify,
    certify_classes,
    data_curve,
    gradient_flow,
)
from limbeck.theory.factor import Ordered


def uneven(kind, rng, n=200):
    """Two features of which one is rounding by a point's length, a teacher that needs both, and points to decide."""
    if kind == "float32":

        def draw(m, spread):
            return np.c_[1.7e9 + 1e7 * rng.standard_normal(m), spread * rng.standard_normal(m)].astype(
                np.float32
            )

        return draw(n, 1.0), np.array([1e-9, 1.0]), draw(1000, 2.0)
    X = np.c_[1 + 0.01 * rng.standard_normal(n), 1e-14 * rng.standard_normal(n)]
    return X, np.array([1.0, 1e14]), np.c_[np.ones(1000), 2e-14 * rng.standard_normal(1000)]


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_features_far_apart_have_one_rank_and_prove_nothing_false(kind):
    X, w, T = uneven(kind, np.random.default_rng(1))
    z, truth = X.astype(float) @ w, T.astype(float) @ w >= 0
    span = Span(X)
    assert span.rank == len(span.basis) == span.ranks[-1] == len(span.teacher_coordinates(z)) == 2
    np.testing.assert_allclose(span.basis @ span.basis.T, np.eye(2), atol=1e-14)
    np.testing.assert_allclose(span.weights(z), w, rtol=1e-2)
    span.prefix_logits(T, span.teacher_coordinates(z))
    found = certify(span, z, T)
    proved = found.proved(2 * np.linalg.norm(w))
    assert not np.any(proved & ((found.logits >= 0) != truth))
    curve = data_curve(X, z, T, truth - 0.5, norm_bound=2 * float(np.linalg.norm(w)))
    assert np.all(curve.certified <= 1 - curve.disagreement)


def test_a_flow_that_did_not_arrive_says_so():
    X, w, _ = uneven("float32", np.random.default_rng(1))
    found = gradient_flow(X, X.astype(float) @ w)
    assert not found.converged or np.allclose(found.weights[-1], w, rtol=1e-3)


def test_points_that_all_but_coincide_hide_no_direction_of_the_others():
    rng = np.random.default_rng(0)
    X, w = rng.standard_normal((60, 6)) * [100, 1, 1, 1, 1, 1], rng.standard_normal(6)
    # The second point is the first but for 4e-13, along what is most of the others: the rest of these is rounding then.
    X[:2] = [0, 1, 0, 0, 0, 0]
    X[1, 0] = 4e-13
    span = Span(X)
    assert len(Ordered.of(X, span.tol).independent) < 6
    assert span.rank == len(span.basis) == 6
    np.testing.assert_allclose(span.basis @ span.basis.T, np.eye(6), atol=1e-13)
    L = span.coordinates(X[span.independent])
    np.testing.assert_allclose(np.triu(L, 1), 0, atol=1e-13)
    np.testing.assert_allclose(span.weights(X @ w), w, rtol=1e-9)
    assert certify(span, X @ w, rng.standard_normal((50, 6))).proved(2 * np.linalg.norm(w)).mean() > 0.9


def test_an_intercept_beside_large_float32_features_is_a_direction():
    rng = np.random.default_rng(2)
    X = np.c_[(1000 + rng.standard_normal((200, 10))).astype(np.float32), np.ones(200)]
    span = Span(X, dtype=np.float32)
    assert isinstance(span._factor, Ordered)
    assert span.rank == len(span.basis) == 11
    assert Span(X[:100], dtype=np.float32).append(X[100:]).rank == 11
    assert Span(X, tol=1e-3).rank < 11  # what was asked for is what counts


def test_the_type_that_points_came_in_may_be_told():
    rng = np.random.default_rng(3)
    X = (rng.standard_normal((30, 5)) @ rng.standard_normal((5, 50))).astype(np.float32)
    assert Span(X).rank == Span(X.astype(float), dtype=np.float32).rank == 5
    assert Span(X.astype(float)).rank == 30


def test_a_small_feature_that_was_passed_over_is_not_proved_for_every_norm():
    # The second feature is 1e-16 of the first: by its length a point differs from the one asked by rounding only.
    X, T = np.array([[1.0, 1e-16]]), np.array([[1.0, -3e-16], [2.0, 2e-16]])
    span = Span(X)
    other = np.array([1.0, 1e16])
    found = certify(span, X @ other, T)
    assert found.largest_bound[0] < np.linalg.norm(other)
    assert other @ T[0] < 0 < other @ X[0]
    assert found.largest_bound[1] == np.inf  # twice the point asked


def test_no_error_is_lost_in_a_direction_that_the_span_kept():
    X, z, T = np.diag([1e8, 1e-8]), np.array([1e8, 1e-8]), np.array([[0.0, 1.0]])
    for points in (X, np.diag([1, 1e-8]).astype(np.float32), np.r_[X, X]):
        answers = np.resize(np.asarray(points[:2], dtype=float) @ [1, 1], len(points))
        found = certify(points, answers, T, error=1e-7)
        assert np.all(np.abs(points @ np.array([1.0, -8.0]) - answers) <= 1e-7)  # decides otherwise
        assert found.largest_bound[0] == 0
    exact = certify(X, z, T)
    assert exact.largest_bound[0] == np.inf


def test_answers_that_are_exact_are_floats_all_the_same():
    # 1e-16 of an answer is 1e-4 of a weight of 1e-5: many signs are wrong, and none is proved.
    rng = np.random.default_rng(4)
    wrong = 0
    for sign in (-1, 1) * 20:
        X = np.c_[1 + 0.02 * rng.standard_normal(20), 1e-12 * rng.standard_normal(20)]
        for error in (None, 1e-18):
            found = certify(X, X @ [1.0, sign * 1e-5], [[0.0, 1.0]], error=error)
            assert not found.proved(1e3).any()
        wrong += (found.logits[0] >= 0) != (sign > 0)
        assert certify(X, X @ [1.0, sign * 1e3], [[0.0, 1.0]]).proved(1e4).all()
    assert wrong > 5


def test_shares_count_that_rounding_too():
    rng = np.random.default_rng(5)
    X = np.c_[1 + 0.02 * rng.standard_normal(20), 1e-14 * rng.standard_normal(20)]
    found = certified_shares(X, X @ [1.0, 1e-3], [[0.0, 1.0], [1.0, 0.0]], norm_bounds=[1e3])
    assert found.shares[0, -1] <= 0.5


@pytest.mark.parametrize(
    ("X", "z", "error"),
    [
        ([[1.0], [1.0]], [0.0, 0.25], 0.1),
        ([[1.0], [1.0], [2.0]], [0.0, 0.1, 1.0], [0.05, 0.05, 0.2]),
        (np.eye(5)[[0, 0, 1, 2, 3, 4]], [0.0, 1.0, 1, 1, 1, 1], [0.1, 0.1, 9, 9, 9, 9]),
    ],
)
def test_answers_that_no_teacher_can_have_given_are_refused(X, z, error):
    X, z = np.asarray(X), np.asarray(z)
    with pytest.raises(ValueError, match="No linear teacher gave these answers: row"):
        certify(X, z, X[:1], error=error)
    certify(X, z, X[:1], error=10 * np.asarray(error))


def test_answers_that_a_teacher_did_give_are_never_refused():
    rng = np.random.default_rng(6)
    for _ in range(200):
        n, d = rng.integers(2, 30), rng.integers(1, 10)
        X, e = rng.standard_normal((n, d)) * 10.0 ** rng.uniform(-3, 3, (n, 1)), 10.0 ** rng.uniform(-6, 0, n)
        certify(X, X @ rng.standard_normal(d) + e * rng.choice([-1, 1], n), X[:1], error=e)


def test_classes_with_errors_are_their_pairs_one_by_one():
    rng = np.random.default_rng(7)
    X, W, T = rng.standard_normal((12, 8)), rng.standard_normal((8, 4)), rng.standard_normal((30, 8))
    E = 1e-3 * rng.random((12, 4))
    Z = X @ W + E * rng.uniform(-1, 1, E.shape)
    found = certify_classes(X, Z, T, error=E)
    wanted = np.full(30, np.inf)
    for a in range(4):
        for b in range(a):
            pair = certify(X, Z[:, a] - Z[:, b], T, error=E[:, a] + E[:, b])
            rows = (found.classes == a) | (found.classes == b)
            wanted[rows] = np.minimum(wanted[rows], pair.largest_bound[rows])
    np.testing.assert_allclose(found.largest_bound, wanted, rtol=1e-9)


@pytest.mark.parametrize(("weight", "some"), [(1e-3, 100), (1e-5, 0)])
def test_a_probability_computed_in_float64_is_off_by_more_than_its_storage(weight, some):
    # Half of the values of expit are off by more than half a unit in the last place, by up to 1.4 of them.
    rng = np.random.default_rng(0)
    proved = 0
    for _ in range(200):
        w = np.array([15.0, weight * rng.choice([-1, 1]) * (1 + rng.random())])
        X = np.c_[1 + 0.02 * rng.standard_normal(6), 1e-5 * rng.standard_normal(6)]
        labels = from_probabilities(expit(X @ w))
        found = certify(X, labels.logits, [[0.0, 1.0]], error=labels.error)
        if found.proved(100.0)[0]:
            proved += 1
            assert (found.logits[0] >= 0) == (w[1] >= 0)
    assert proved >= some


def test_a_point_passed_over_tells_nothing_of_the_span_if_much_of_it_lies_beyond():
    # Two points all but coincide, and beside them most of another one is rounding: its answer is not the span's alone.
    passed = proved = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        X, w = rng.standard_normal((10, 10)), rng.standard_normal(10)
        X[1] = X[0] + 2e-14 * rng.standard_normal(10)
        span, T = Span(X), rng.standard_normal((60, 10)) @ X
        passed += not span.sensitivity.whole
        for error in (None, 1e-15):
            try:
                found = certify(span, X @ w, T, error=error)
            except ValueError:  # what came from beyond the span is more than an exact answer may be missed by
                continue
            known = found.largest_bound > 1.0001 * np.linalg.norm(w)
            assert not np.any(known & ((found.logits >= 0) != (T @ w >= 0)))
            proved += known.sum()
    assert passed > 10
    assert proved > 1000
