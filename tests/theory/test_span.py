import warnings

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerance import relative, rounding

from limbeck.theory import Span, unsigned_angle
from limbeck.theory._factor import ColumnGram, Ordered, RowGram

SHAPES = [(1, 1), (1, 5), (5, 1), (3, 8), (8, 8), (20, 8), (70, 90), (150, 60)]


def gaussian(n, d, seed=0):
    rng = np.random.default_rng([seed, n, d])
    return rng.standard_normal((n, d)), rng.standard_normal(d)


def safe_route(X):
    """The same span by the ordered route, whatever the conditioning."""
    span = Span(X)
    span._factor = Ordered.of(span.X, span.tol)
    return span


def spoiled(n, d):
    """Points of rank below min(n, d): one repeated, one a combination, one zero."""
    X, w_star = gaussian(n, d)
    X[n // 2] = X[0]
    X[n // 2 + 1] = X[0] - 3 * X[1]
    X[n - 1] = 0
    return X, w_star


# -- Theorem 1 ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_theorem_1_the_student_is_the_projected_teacher(n, d):
    X, w_star = gaussian(n, d)
    span = Span(X)
    P = np.linalg.pinv(X) @ X
    assert span.rank == min(n, d)
    assert relative(span.weights(X @ w_star), P @ w_star) < rounding(X, np.linalg.cond(X))
    assert relative(span.project(w_star), P @ w_star) < rounding(X, np.linalg.cond(X))


@pytest.mark.parametrize(("n", "d"), [(60, 90), (90, 60), (12, 12), (400, 30)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_theorem_1_holds_for_repeated_collinear_and_zero_points(n, d, dtype):
    X, w_star = spoiled(n, d)
    if n > d:
        X[:, -1] = X[:, 0]  # and a repeated feature, so that the rank stays below d
    X = X.astype(dtype)
    X[n // 2 + 1] = X[0]  # a combination is not exact once rounded to float32; a copy is
    span = Span(X)
    X = X.astype(float)
    P = np.linalg.pinv(X, rcond=1e-10) @ X
    assert span.rank == np.linalg.matrix_rank(X)
    assert relative(span.weights(X @ w_star), P @ w_star) < 1e-10
    assert span.solve(X @ w_star).inconsistency < 1e-12


def test_a_statsmodels_glm_finds_the_same_student():
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    X, w_star = gaussian(12, 30)
    w_star /= 6
    y = 1 / (1 + np.exp(-(X @ w_star)))
    with warnings.catch_warnings():  # it says, rightly, that n < d leaves the parameters undetermined
        warnings.simplefilter("ignore")
        fitted = GLM(y, X, family=Binomial()).fit(tol=1e-14, maxiter=200).params
    assert relative(Span(X).weights(X @ w_star), fitted) < 1e-10


@pytest.mark.parametrize("route", [Span, safe_route])
def test_several_teachers_at_once_are_each_their_own(route):
    X, _ = gaussian(30, 50)
    Z = X @ np.random.default_rng(1).standard_normal((50, 4))
    span = route(X)
    for k in range(4):
        np.testing.assert_allclose(span.weights(Z)[:, k], span.weights(Z[:, k]), rtol=1e-10, atol=1e-12)


def test_all_rows_count_when_no_linear_teacher_gave_the_logits():
    # Labels of three decimals at n = 2d: least squares on all rows, not substitution through r of them.
    rng = np.random.default_rng(3)
    d = 100
    X, w_star = rng.standard_normal((2 * d, d)), rng.standard_normal(d)
    w_star /= np.linalg.norm(w_star)
    y = np.round(1 / (1 + np.exp(-(X @ w_star))), 3)
    z = np.log(y / (1 - y))
    for span in (Span(X), safe_route(X)):
        answer = span.solve(z)
        assert relative(answer.weights, np.linalg.lstsq(X, z)[0]) < 1e-10
        np.testing.assert_allclose(X.T @ answer.residual, 0, atol=1e-10)
        assert 1e-4 < answer.inconsistency < 1e-2
        first = span.prefix_weights(span.teacher_coordinates(z), [d])[0]
        assert np.linalg.norm(answer.weights - w_star) < 0.2 * np.linalg.norm(first - w_star)


# -- conditioning -----------------------------------------------------------------------------------


def reference(X, z, digits=60):
    """Minimum-norm solution for independent rows in high precision."""
    with mpmath.workdps(digits):
        A = mpmath.matrix(X.tolist())
        return np.array([float(v) for v in A.T * mpmath.lu_solve(A * A.T, mpmath.matrix(z.tolist()))])


@pytest.mark.parametrize("condition", [1e0, 1e2, 1e4, 1e6, 1e8, 1e10, 1e12])
def test_the_error_grows_with_the_condition_number_and_no_faster(condition):
    rng = np.random.default_rng(int(np.log10(condition)))
    U = np.linalg.qr(rng.standard_normal((24, 24)))[0]
    V = np.linalg.qr(rng.standard_normal((40, 40)))[0]
    X = U @ (np.geomspace(1, 1 / condition, 24)[:, None] * V[:24])
    z = X @ rng.standard_normal(40)
    span = Span(X)
    assert span.rank == 24
    error = relative(span.weights(z), reference(X, z))
    assert error < rounding(X, condition)
    if condition == 1e8:
        assert error < 1e-8


@pytest.mark.parametrize("condition", [1e0, 1e8])
def test_the_same_for_more_points_than_features(condition):
    rng = np.random.default_rng(7)
    U = np.linalg.qr(rng.standard_normal((40, 40)))[0]
    V = np.linalg.qr(rng.standard_normal((24, 24)))[0]
    X = (U[:, :24] * np.geomspace(1, 1 / condition, 24)) @ V
    z = X @ rng.standard_normal(24)
    with mpmath.workdps(60):
        A = mpmath.matrix(X.tolist())
        exact = mpmath.lu_solve(A.T * A, A.T * mpmath.matrix(z.tolist()))
    assert relative(Span(X).weights(z), np.array([float(v) for v in exact])) < 1e-16 * condition + 1e-12


@pytest.mark.parametrize("spread", [40, 150])
@pytest.mark.parametrize("axis", [0, 1])
def test_badly_scaled_rows_cost_nothing(axis, spread):
    rng = np.random.default_rng(5)
    X, w_star = rng.standard_normal((10, 25)), rng.standard_normal(25)
    if axis == 0:
        X = X * 10.0 ** rng.uniform(-spread, spread, (10, 1))
        span = Span(X)
        assert span.rank == 10
        assert relative(span.weights(X @ w_star), reference(X, X @ w_star, 700)) < 1e-11
    else:  # the metric itself is badly scaled: the projection is still a projection
        span = Span(X * 10.0 ** rng.uniform(-spread / 2, spread / 2, (1, 25)))
        np.testing.assert_allclose(span.basis @ span.basis.T, np.eye(span.rank), atol=1e-13)


def test_both_routes_agree_where_both_are_safe():
    for n, d, kind in [(40, 70, RowGram), (90, 30, ColumnGram)]:
        X, w_star = gaussian(n, d)
        fast, safe = Span(X), safe_route(X)
        assert isinstance(fast._factor, kind)
        z = X @ w_star + np.random.default_rng(0).standard_normal(n) * (n > d)
        assert relative(fast.weights(z), safe.weights(z)) < rounding(X, np.linalg.cond(X))
        np.testing.assert_allclose(fast.basis, safe.basis, atol=rounding(X, np.linalg.cond(X)))


def test_ill_conditioned_points_take_the_safe_route():
    X, _ = gaussian(30, 50)
    X[7] = X[3] + 1e-7 * X[7]
    assert isinstance(Span(X)._factor, Ordered)
    assert Span(X).rank == 30


def test_what_rounding_left_of_a_combination_is_not_a_direction():
    # b enters through a + 1e-8 b: it is known to 1e-8 only, and b itself adds nothing beyond that.
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 30))
    assert Span(np.stack([a, a + 1e-8 * b, b])).rank == 2
    assert Span(np.stack([a, b, a + 1e-8 * b])).rank == 2
    assert Span(np.stack([a, a + 1e-8 * b])).rank == 2


# -- the readings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("route", [Span, safe_route])
@pytest.mark.parametrize(("n", "d"), [(12, 20), (20, 12)])
def test_every_prefix_reading_equals_a_refit(n, d, route):
    X, w_star = spoiled(n, d)
    span = route(X)
    z, T = X @ w_star, np.random.default_rng(1).standard_normal((7, d))
    c = span.teacher_coordinates(z)
    np.testing.assert_allclose(c, span.coordinates(w_star), atol=1e-10)
    sizes = np.arange(n + 1)
    students = span.prefix_weights(c, sizes)
    np.testing.assert_array_equal(students[0], 0)
    for m in sizes[1:]:
        refit = np.linalg.pinv(X[:m], rcond=1e-9) @ z[:m]
        np.testing.assert_allclose(students[m], refit, atol=1e-9)
        assert span.ranks[m - 1] == np.linalg.matrix_rank(X[:m])
        np.testing.assert_allclose(
            span.prefix_angles(w_star)[m - 1], unsigned_angle(refit, w_star), atol=1e-7
        )
    np.testing.assert_allclose(span.prefix_logits(T, c), T @ students[1:].T, atol=1e-9)


def test_lemma_1_more_points_never_widen_the_angle():
    for seed in range(20):
        X, w_star = gaussian(30, 25, seed)
        alpha = Span(X).prefix_angles(w_star)
        assert np.all(np.diff(alpha) <= 0)
        assert alpha[-1] < 1e-12  # n >= d: the teacher itself


def test_small_angles_keep_their_digits():
    # One direction is missing, and the teacher has 1e-9 of its length along it.
    d = 6
    w_star = np.ones(d)
    w_star[-1] = 1e-9 * np.sqrt(d - 1)
    alpha = Span(np.eye(d)[: d - 1]).prefix_angles(w_star)[-1]
    assert abs(alpha / 1e-9 - 1) < 1e-12


@pytest.mark.parametrize("route", [Span, safe_route])
def test_projection_identities(route):
    X, _ = spoiled(20, 30)
    span = route(X)
    V = np.random.default_rng(2).standard_normal((5, 30))
    P, Q = span.project, span.basis
    np.testing.assert_allclose(Q @ Q.T, np.eye(span.rank), atol=1e-13)
    np.testing.assert_allclose(P(P(V)), P(V), atol=1e-13)
    np.testing.assert_allclose(P(X), X, atol=1e-12)
    np.testing.assert_allclose(P(V) + span.residual(V), V, atol=1e-13)
    np.testing.assert_allclose(X @ span.residual(V).T, 0, atol=1e-12)


def test_equation_39_complement_directions_change_no_answer():
    X, _ = gaussian(10, 30)
    span = Span(X)
    q = span.complement_direction(np.random.default_rng(0).standard_normal(30))
    assert abs(np.linalg.norm(q) - 1) < 1e-14
    np.testing.assert_allclose(X @ q, 0, atol=1e-13)


def test_no_complement_is_said():
    X, w_star = gaussian(8, 5)
    with pytest.raises(ValueError, match="span all of"):
        Span(X).complement_direction(w_star)
    with pytest.raises(ValueError, match="lies in the span"):
        Span(X[:3]).complement_direction(X[0] + X[1])


# -- appending ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "more", "d"), [(10, 10, 50), (30, 30, 50), (60, 20, 50), (1, 1, 3), (3, 40, 10), (49, 1, 50)]
)
@pytest.mark.parametrize("spoil", [False, True])
def test_appending_equals_starting_anew(first, more, d, spoil):
    X, w_star = gaussian(first + more, d)
    if spoil:
        X[first] = X[0]
    whole, grown = Span(X), Span(X[:first]).append(X[first:])
    assert grown.rank == whole.rank
    np.testing.assert_array_equal(grown.independent, whole.independent)
    tolerance = rounding(X, np.linalg.cond(X) if not spoil else 1e4)
    assert relative(grown.weights(X @ w_star), whole.weights(X @ w_star)) < tolerance
    np.testing.assert_allclose(grown.basis, whole.basis, atol=tolerance)


def test_appending_in_order_on_the_safe_route():
    X, w_star = spoiled(40, 60)
    span = Span(X[:25])
    assert isinstance(span._factor, Ordered)
    grown = span.append(X[25:])
    np.testing.assert_array_equal(grown.independent, Span(X).independent)
    assert relative(grown.weights(X @ w_star), Span(X).weights(X @ w_star)) < 1e-11


# -- inputs nobody thought of --------------------------------------------------------------------------


@given(
    n=st.integers(1, 12),
    d=st.integers(1, 12),
    seed=st.integers(0, 10**6),
    copies=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=6),
    exponent=st.integers(-60, 60),
    dtype=st.sampled_from([np.float64, np.float32, np.int64]),
)
def test_any_small_data_give_the_projection_and_stay_unchanged(n, d, seed, copies, exponent, dtype):
    rng = np.random.default_rng(seed)
    X = rng.integers(-3, 4, (n, d)).astype(dtype)
    for i, j in copies:
        X[i % n] = X[j % n]
    if dtype is np.float64:
        X = X * 10.0**exponent
    before = X.copy()
    X.flags.writeable = False
    if not X.any():
        assert Span(X).rank == 0
        np.testing.assert_array_equal(Span(X).weights(np.zeros(n)), np.zeros(d))
        return
    span, w_star = Span(X), rng.standard_normal(d)
    unit = X.astype(float) / np.abs(X).max()
    P = np.linalg.pinv(unit, rcond=1e-9) @ unit
    assert span.rank == np.linalg.matrix_rank(unit, tol=1e-9)
    np.testing.assert_allclose(span.project(w_star), P @ w_star, atol=1e-9)
    np.testing.assert_allclose(span.weights(X @ w_star), P @ w_star, atol=1e-8)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize(
    ("X", "said"),
    [
        (np.zeros((0, 3)), "X is empty"),
        (np.zeros((3, 0)), "X is empty"),
        (np.zeros(3), "two axes"),
        ([[1.0, np.nan]], "row 0, column 1"),
        ([[1.0, 2.0], [np.inf, 0.0]], "inf at row 1, column 0"),
        ([["a", "b"]], "real numbers"),
        ([[1 + 2j]], "real numbers"),
    ],
)
def test_bad_points_are_named(X, said):
    with pytest.raises(ValueError, match=said):
        Span(X)


def test_sparse_points_are_refused_with_the_way_out():
    from scipy import sparse

    with pytest.raises(TypeError, match="toarray"):
        Span(sparse.eye_array(3))


@pytest.mark.parametrize(
    ("z", "said"),
    [([1.0], "each of the 3 points"), ([1.0, np.nan, 0], "row 1"), (np.zeros((3, 1, 1)), "one row of")],
)
def test_bad_logits_are_named(z, said):
    with pytest.raises(ValueError, match=said):
        Span(np.eye(3)).weights(z)


def test_a_rank_tolerance_is_the_users_to_set():
    X = np.array([[1.0, 0.0], [1.0, 1e-6]])
    assert Span(X).rank == 2
    X = np.array([[1.0, 0.0], [1.0, 1e-9]])
    assert Span(X).rank == 2
    assert Span(X, tol=1e-8).rank == 1
    with pytest.raises(ValueError, match="tol"):
        Span(X, tol=-1)


def rank_by_the_rule(X, tol):
    """A point adds a direction if its rest exceeds tol sqrt(1 + |a|^2), x = sum_j a_j x_j + rest: written out."""
    kept = np.empty((0, X.shape[1]))
    for x in X / np.linalg.norm(X, axis=1, keepdims=True):
        a = np.linalg.lstsq(kept.T, x, rcond=None)[0] if len(kept) else np.empty(0)
        if np.linalg.norm(x - a @ kept) > tol * np.sqrt(1 + a @ a):
            kept = np.vstack([kept, x])
    return len(kept)


@pytest.mark.parametrize("tol", [1e-6, 1e-3, 1e-2, 0.3])
@pytest.mark.parametrize(("n", "d"), [(2, 10), (12, 12), (9, 20), (10, 3), (60, 8)])
def test_the_tolerance_means_the_same_on_every_route(n, d, tol):
    for seed in range(10):
        X, _ = gaussian(n, d, seed)
        X[-1] = X[0] + 5e-4 * X[-1]  # a point near another
        X[:, -1] = X[:, 0] + 2e-3 * X[:, -1]  # a feature near another
        rank = rank_by_the_rule(X, tol)
        for start in (n, 1, n // 2, min(n, d)):
            span = Span(X[:start], tol=tol)
            span = span.append(X[start:]) if start < n else span
            assert span.rank == rank
            assert span.append(X[:1]).rank == rank  # a repeat takes nothing away


@pytest.mark.parametrize("case", ["wide", "tall", "deficient", "repeated", "alone"])
def test_leverages_are_the_diagonal_of_the_hat_matrix(case):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((8, 20) if case == "wide" else (30, 6))
    if case == "deficient":
        X[:, 5] = X[:, 0] - X[:, 1]
    if case == "repeated":
        X = np.repeat(X[:5], 4, axis=0)
    if case == "alone":
        X[:, 5] = 0
        X[3, 5] = 1e-3
    span = Span(X)
    np.testing.assert_allclose(span.leverages, np.diag(X @ np.linalg.pinv(X, rcond=1e-12)), atol=1e-10)
    assert span.leverages.sum() == pytest.approx(span.rank)
