import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import owens_t

import limbeck
from limbeck.budget import AnswerSelection, SpanSelection, compare, mean_comparison
from limbeck.budget._leading import TIED
from limbeck.budget.answers import buy
from limbeck.budget.select import rated
from limbeck.theory import KernelSpan, Span, disagreement
from limbeck.theory.kernels import NTK, RBF, Linear, Normalised


def decaying(n, d, rng, power=1.0):
    return rng.standard_normal((n, d)) * np.arange(1, d + 1) ** -power


def brute_force(X, n, known=(), weight=None, tol=1e-12):
    """The definition: all residuals, their whole Gram matrix, one pick at a time."""
    X = X.astype(float)
    R = X / np.linalg.norm(X, axis=1, keepdims=True)
    w = np.ones(len(X)) if weight is None else weight
    total = w @ np.square(R).sum(axis=1)
    picks, gains = list(known), []
    for row in [*known, *[None] * n]:
        if row is None:
            G = R @ R.T
            b = np.diag(G)
            able = b > tol**2
            able[picks] = False
            f = np.where(able, np.square(G) @ w / np.where(able, b, 1), -1)
            ties = np.flatnonzero(f >= f.max() * (1 - TIED))
            row = int(ties[np.flatnonzero(b[ties] >= b[ties].max() * (1 - TIED))[0]])
            picks.append(row)
            gains.append(f[row] / total)
        length = np.linalg.norm(R[row])
        if length > tol:
            e = R[row] / length
            for _ in range(2):
                R = R - np.outer(R @ e, e)
    return np.array(picks[len(known) :]), np.array(gains)


class Blocks:
    """A pool that can only be read from its first row on."""

    def __init__(self, X, size):
        self.X, self.size, self.passes = X, size, 0

    def __iter__(self):
        self.passes += 1
        return (self.X[i : i + self.size] for i in range(0, len(self.X), self.size))


class Precomputed:
    """A kernel whose points are row numbers."""

    def __init__(self, K):
        self.K = K

    def __call__(self, X, Y):
        return self.K[np.ix_(X[:, 0].astype(int), Y[:, 0].astype(int))]

    def diagonal(self, X):
        return np.diag(self.K)[X[:, 0].astype(int)]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(6, 40), st.integers(2, 20), st.booleans(), st.floats(0, 2))
def test_the_recursion_picks_what_the_definition_picks(seed, n, d, some_known, power):
    rng = np.random.default_rng(seed)
    X = decaying(n, d, rng, power)
    known = [1, 4] if some_known and d > 3 else []
    weight = rng.random(n)
    k = min(n, d) - len(known)
    ranking = SpanSelection().rank(X, k, known or None, weight=weight)
    picks, gains = brute_force(X, k, known, weight)
    assert ranking.useful == k
    assert np.array_equal(ranking.indices, picks)
    np.testing.assert_allclose(ranking.gains, gains, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(ranking.energy_given - np.cumsum(ranking.gains), ranking.energy, atol=1e-10)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_no_drift_where_the_energy_falls_by_seven_orders_of_magnitude(dtype):
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((400, 60)) * 10.0 ** np.linspace(0, -5, 60)).astype(dtype)
    ranking = SpanSelection().rank(X, 50)
    picks, gains = brute_force(X, 50)
    assert ranking.gains[-1] < 1e-7
    if dtype == np.float64:
        assert np.array_equal(ranking.indices, picks)
        np.testing.assert_allclose(ranking.gains, gains, rtol=1e-6)
    # In float32 close gains may come in another order; what is reported must be true, and as good.
    unit = X.astype(float) / np.linalg.norm(X.astype(float), axis=1, keepdims=True)
    for k in (10, 30, 50):
        outside = np.square(Span(X[ranking.indices[:k]].astype(float)).residual(unit)).sum() / 400
        assert ranking.energy[k - 1] == pytest.approx(outside, rel=1e-3)
        best = np.square(Span(X[picks[:k]].astype(float)).residual(unit)).sum() / 400
        assert ranking.energy[k - 1] < 1.2 * best


def test_one_run_orders_all_budgets_and_given_points_continue_it():
    rng = np.random.default_rng(1)
    X = decaying(120, 30, rng)
    whole = limbeck.SpanSelection().query(X, 20)
    assert whole.dtype.kind == "i"
    assert np.array_equal(SpanSelection().query(X, 7), whole[:7])
    assert np.array_equal(SpanSelection().query(X, 13, given=whole[:7]), whole[7:])


def test_energy_is_what_lies_outside_the_span():
    rng = np.random.default_rng(2)
    X = decaying(80, 20, rng)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    ranking = SpanSelection().rank(X, 12, [0, 1])
    for k in (1, 5, 12):
        outside = Span(X[[0, 1, *ranking.indices[:k]]]).residual(unit)
        assert ranking.energy[k - 1] == pytest.approx(np.square(outside).sum() / 80, rel=1e-9)
    assert ranking.energy_given == pytest.approx(np.square(Span(X[:2]).residual(unit)).sum() / 80)


def test_blocks_from_a_stream_give_the_same_ranking_in_at_most_four_passes_a_pick():
    rng = np.random.default_rng(3)
    X = decaying(500, 25, rng)
    stream = Blocks(X, 64)
    assert np.array_equal(SpanSelection().query(stream, 20), SpanSelection().query(X, 20))
    assert stream.passes <= 4 * 20


@pytest.mark.parametrize("shape", [(15, 40), (200, 12)])
def test_the_linear_kernel_and_its_table_choose_as_the_rows_do(shape):
    X = decaying(*shape, np.random.default_rng(4))
    wanted = SpanSelection().query(X, 10)
    assert np.array_equal(SpanSelection(kernel=Linear()).query(X, 10), wanted)
    numbers = np.arange(len(X), dtype=float)[:, None]
    assert np.array_equal(SpanSelection(kernel=Precomputed(X @ X.T)).query(numbers, 10), wanted)
    known = wanted[:4]
    assert np.array_equal(SpanSelection(kernel=Linear()).query(X, 6, known), wanted[4:])


def test_a_kernel_is_measured_on_a_sample_of_a_larger_pool():
    X = decaying(400, 10, np.random.default_rng(5))
    whole, part = SpanSelection(kernel=Linear()), SpanSelection(kernel=Linear(), reference=150)
    found = part.rank(X, 6)
    assert found.energy[-1] == pytest.approx(whole.rank(X, 6).energy[-1], rel=0.2)
    with pytest.raises(ValueError, match="diagonal"):
        SpanSelection(kernel=Precomputed(-np.eye(3))).query(np.arange(3.0)[:, None], 1)


def test_scale_order_and_repeats_of_rows_do_not_decide():
    rng = np.random.default_rng(6)
    X = decaying(60, 15, rng)
    wanted = SpanSelection().query(X, 10)
    scales = 10.0 ** rng.uniform(-150, 150, (60, 1))
    assert np.array_equal(SpanSelection().query(X * scales, 10), wanted)
    backwards = SpanSelection().query(X[::-1], 10)
    assert np.array_equal(59 - backwards, wanted)
    twice = SpanSelection().query(np.repeat(X, 2, axis=0), 10)
    assert np.array_equal(twice // 2, wanted)
    assert np.all(twice % 2 == 0)  # of two that tie, the first


def test_unit_rows_are_not_fooled_by_outliers():
    rng = np.random.default_rng(7)
    X = decaying(400, 50, rng)
    X[:20] = 100 * rng.standard_normal((20, 50))
    assert np.sum(SpanSelection().query(X, 10) < 20) <= 1
    assert np.sum(SpanSelection(unit_rows=False).query(X, 10) < 20) >= 9


def test_an_exhausted_pool_says_so_and_starts_anew():
    rng = np.random.default_rng(8)
    B = rng.standard_normal((4, 12))
    X = np.vstack([rng.standard_normal((20, 4)) @ B, np.zeros((3, 12))])
    ranking = SpanSelection().rank(X, 23)
    assert ranking.useful == 4
    assert "4 of the 23 picks add a direction" in ranking.reason
    assert sorted(ranking.indices) == list(range(23))
    assert ranking.rounds.tolist() == [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4 + [5] * 4 + [0] * 3
    assert ranking.indices[-3:].tolist() == [20, 21, 22] == ranking.zeros.tolist()
    assert np.all(ranking.energy[3:] < np.finfo(float).eps)  # nothing but the rounding of a sum of shares
    for r in range(1, 6):
        assert Span(X[ranking.indices[ranking.rounds == r]]).rank == 4
    again = SpanSelection().rank(X, 5, ranking.indices[:4])
    assert again.useful == 0
    assert again.indices.tolist() == ranking.indices[4:9].tolist()


def test_a_pool_without_any_direction_or_with_one_row():
    nothing = SpanSelection().rank(np.zeros((3, 2)), 2)
    assert nothing.useful == 0
    assert nothing.indices.tolist() == [0, 1]
    assert SpanSelection().query([[0.0, 5.0]], 1).tolist() == [0]
    same = SpanSelection().rank(np.ones((5, 3)), 3)
    assert same.useful == 1
    assert same.indices.tolist() == [0, 1, 2]


def test_rows_without_weight_are_still_ranked_once_those_with_weight_are_explained():
    X = np.eye(5)
    ranking = SpanSelection().rank(X, 5, weight=[0, 0, 1, 0, 0])
    assert ranking.indices.tolist() == [2, 0, 1, 3, 4]
    assert ranking.useful == 5
    assert ranking.gains.tolist() == [1, 0, 0, 0, 0]
    again = SpanSelection(kernel=Linear()).rank(X, 4, [2], weight=[0, 0, 1, 0, 0])
    assert again.indices.tolist() == [0, 1, 3, 4]


def test_small_pools_of_every_shape_are_ranked_whole():
    rng = np.random.default_rng(15)
    for n in range(1, 7):
        for d in range(1, 7):
            X = rng.integers(-1, 2, (n, d)).astype(np.float32 if n % 2 else np.float64)
            ranking = SpanSelection().rank(X, n)
            assert sorted(ranking.indices) == list(range(n))
            assert ranking.useful == (Span(X).rank if X.any() else 0)
            assert np.all(np.diff(ranking.energy) <= 1e-12)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.float16, bool])
def test_other_dtypes_are_taken_as_numbers(dtype):
    X = np.random.default_rng(9).integers(0, 2, (40, 6)).astype(dtype)
    assert np.array_equal(SpanSelection().query(X, 5), SpanSelection().query(X.astype(float), 5))


def bad(entry):
    X = np.ones((6, 3))
    X[4, 1] = entry
    return X


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda s: s.query(bad(np.nan), 2), "nan at row 4, column 1"),
        (lambda s: s.query(Blocks(bad(np.inf), 3), 2), "inf at row 4, column 1"),
        (lambda s: s.query(np.array([[1, np.inf], [-np.inf, 1]]), 1), "inf at row 0, column 1"),
        (lambda s: s.query(np.ones((3, 2)), 4), "n = 4 picks from 3 rows"),
        (lambda s: s.query(np.ones((3, 2)), 2, [0, 1]), "n = 2 picks from 1 rows"),
        (lambda s: s.query(np.ones((3, 2)), 0), "n must be an integer of at least 1"),
        (lambda s: s.query(np.ones((3, 2)), 1, [3]), "given names row 3, and the pool has rows 0 to 2"),
        (lambda s: s.query(np.ones((3, 2)), 1, [-1]), "given names row -1"),
        (lambda s: s.query(np.ones((3, 2)), 1, [1, 1]), "given names row 1 more than once"),
        (lambda s: s.query(np.ones((3, 2)), 1, [0.5]), "given must be row numbers"),
        (lambda s: s.query(np.ones((3, 0)), 1), "at least one row and column"),
        (lambda s: s.query(np.array([["a", "b"]]), 1), "real numbers"),
        (lambda s: s.query(iter([np.ones((3, 2))]), 1), "can be read only once"),
        (lambda s: s.query(Blocks(np.ones((0, 2)), 1), 1), "yielded no block"),
        (lambda s: s.query(3, 1), "iterable of blocks"),
        (lambda s: s.rank(np.ones((3, 2)), 1, weight=[1, -1, 1]), "weight must be >= 0"),
        (lambda s: SpanSelection(tol=2.0), "tol must be"),
        (lambda s: AnswerSelection().query(np.ones((3, 2)), 1, [], []), "given is empty"),
        (lambda s: AnswerSelection().query(np.ones((3, 2)), 1, [0], [1, 2]), "logits has 2 entries"),
    ],
)
def test_bad_input_is_named(call, said):
    with pytest.raises(ValueError, match=said):
        call(SpanSelection())


def test_blocks_of_different_widths_are_refused():
    with pytest.raises(ValueError, match="block that starts at row 2"):
        SpanSelection().query(iterable([np.ones((2, 3)), np.ones((2, 4))]), 1)


def iterable(blocks):
    class Pool:
        def __iter__(self):
            return iter(blocks)

    return Pool()


# -- using the answers -----------------------------------------------------------------------------


def test_expected_disagreement_is_owens_function():
    # Literal simulation: teachers of the posterior, one more answer, count differing signs. Two-sided 4 sigma,
    # error probability below 1e-4 each.
    from limbeck.budget.answers import CELLS, _disagreement

    rng = np.random.default_rng(10)
    X, w_star = rng.standard_normal((3, 8)), rng.standard_normal(8)
    x, asked = rng.standard_normal(8), rng.standard_normal(8)
    span, more = Span(X), Span(np.vstack([X, asked]))
    w_hat, s, m = span.weights(X @ w_star), 0.7, 200_000
    teachers = w_hat + s * span.residual(rng.standard_normal((m, 8)))
    students = more.project(teachers)
    share = disagreement(students @ x, teachers @ x)
    before, after = np.linalg.norm(span.residual(x)), np.linalg.norm(more.residual(x))
    t, phi = np.abs(w_hat @ x) / (s * before), np.arcsin(after / before)
    exact = 2 * owens_t(t, np.tan(phi))
    table = 2 * owens_t(t, np.tan(np.linspace(0, np.pi / 2, CELLS + 1)))[None]
    assert _disagreement(table, np.array([before]), np.array([[after**2]])) == pytest.approx(exact, abs=1e-4)
    assert abs(share - exact) < 4 * np.sqrt(exact * (1 - exact) / m)


def test_answers_choose_rows_that_are_undecided():
    # Two independent halves of the features; the answers settle the first half's signs only.
    rng = np.random.default_rng(11)
    X = np.zeros((200, 20))
    X[:100, :10] = decaying(100, 10, rng) + np.eye(10)[0] * 5
    X[100:, 10:] = decaying(100, 10, rng)
    first = [0, 1, 2]
    picks = AnswerSelection().query(X, 4, first, [10.0, 10.0, 10.0])
    assert np.all(picks >= 100)


def test_buying_returns_every_row_once():
    rng = np.random.default_rng(12)
    X = np.vstack([decaying(30, 6, rng), np.zeros((2, 6))])
    order = buy(X, X @ rng.standard_normal(6), 32)
    assert sorted(order) == list(range(32))


def test_a_large_pool_is_shortlisted():
    rng = np.random.default_rng(13)
    X = decaying(300, 10, rng)
    picks = AnswerSelection(candidates=40, reference=50).query(X, 5, [0, 1], X[:2] @ rng.standard_normal(10))
    assert len(set(picks)) == 5
    assert not set(picks) & {0, 1}


# -- comparison ------------------------------------------------------------------------------------


def test_selected_points_beat_random_ones():
    # Spectrum i^-1.5: paired over 8 pools, one-sided; the differences are many standard errors.
    found = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        X, w = decaying(300, 40, rng, 1.5), rng.standard_normal(40)
        P, T = X[:150], X[150:]
        found.append(
            compare(
                P, P @ w, T, T @ w, [2, 5, 10], rng=rng, w_star=w, extra={"first": lambda k: np.arange(k)}
            )
        )
    mean = mean_comparison(found)
    assert mean.strategies == (
        "span", "answers", "random", "core-set", "k-means++", "largest residual", "oracle", "first",
    )  # fmt: skip
    assert mean.of("span").mean() < 0.6 * mean.of("random").mean()
    assert mean.of("oracle")[-1] < mean.of("random")[-1]
    assert np.all((mean.low <= mean.risk) & (mean.risk <= mean.high))
    assert mean.high.min() > 0  # no spread seen is not no risk
    assert np.all(found[0].low <= found[0].risk)


def test_every_strategy_ranks_different_rows_even_where_there_are_repeats():
    from limbeck.budget import (
        farthest_first,
        k_means_plus_plus,
        largest_residual,
        matching_pursuit,
        random_order,
    )

    rng = np.random.default_rng(14)
    X = np.repeat(rng.standard_normal((4, 3)), 3, axis=0)
    w = rng.standard_normal(3)
    for order in (
        random_order(X, 12, rng=rng),
        farthest_first(X, 12),
        k_means_plus_plus(X, 12, rng=rng),
        largest_residual(X, 12),
        matching_pursuit(X, 12, w),
        SpanSelection().query(X, 12),
    ):
        assert sorted(order) == list(range(12))
    with pytest.raises(ValueError, match="13 labels of a pool with 12 rows"):
        compare(X, X @ w, X, X @ w, [13], rng=rng)


def test_the_kernels_of_the_theory_choose_points_too():
    rng = np.random.default_rng(5)
    X = rng.standard_normal((60, 4))
    linear = SpanSelection(kernel=Linear(), reference=60)
    assert linear.query(X, 4).tolist() == SpanSelection().query(X, 4).tolist()
    for kernel in (RBF(2.0), NTK(3)):
        chosen = SpanSelection(kernel=kernel, reference=60).rank(X, 20)
        assert chosen.useful == 20
        # By the kernel span itself: what the chosen points leave of all points' unit features.
        span = KernelSpan(X[chosen.indices], Normalised(kernel))
        left = np.square(span.distances(X)).mean()
        assert chosen.energy[-1] == pytest.approx(left, rel=1e-6)


# -- an order chosen otherwise -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(60, 9), (20, 40)])
def test_a_rankings_own_order_is_rated_as_it_was_ranked(shape):
    X = np.random.default_rng(6).standard_normal(shape) * np.arange(1, shape[1] + 1) ** -1.0
    X[7] = 0.0
    ranking = SpanSelection().rank(X, 15, given=[3, 5])
    again = rated(X, ranking.indices, [3, 5])
    np.testing.assert_array_equal(again.indices, ranking.indices)
    np.testing.assert_allclose(again.gains, ranking.gains, atol=1e-12)
    np.testing.assert_allclose(again.energy, ranking.energy, atol=1e-12)
    assert (again.useful, again.reason) == (ranking.useful, ranking.reason)
    assert again.energy_given == pytest.approx(ranking.energy_given)


def test_what_the_points_chosen_by_answers_leave_is_their_own():
    rng = np.random.default_rng(8)
    X = rng.standard_normal((90, 12)) * np.arange(1, 13) ** -1.0
    given, logits = np.arange(4), X[:4] @ rng.standard_normal(12)
    ranking = AnswerSelection().rank(X, 10, given, logits)
    np.testing.assert_array_equal(ranking.indices, AnswerSelection().query(X, 10, given, logits))
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    left = [
        np.square(Span(X[np.concatenate([given, ranking.indices[:k]])]).residual(unit)).sum() / 90
        for k in range(11)
    ]
    np.testing.assert_allclose(ranking.energy, left[1:], atol=1e-12)
    np.testing.assert_allclose(ranking.gains, -np.diff(left), atol=1e-12)
    assert ranking.useful == 8
    # Not those of the choice by geometry, beside which they once stood.
    assert np.abs(ranking.energy - SpanSelection().rank(X, 10, given).energy).max() > 1e-3
