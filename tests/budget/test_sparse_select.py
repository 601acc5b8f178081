"""Sparse pools: the picks are those of the same rows made dense."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import bsr_array, coo_array, csc_matrix, csr_array, csr_matrix, lil_array, random_array

from limbeck.budget import (
    AnswerSelection,
    BudgetedDistillation,
    Pool,
    SpanSelection,
    farthest_first,
    geometry,
    k_means_plus_plus,
    largest_residual,
    matching_pursuit,
    plan_budget,
    random_order,
)
from limbeck.budget import _sparse_residuals as residuals
from limbeck.budget.pool import SparsePool, coordinates
from limbeck.data.blocks import ArraySource, Blocks
from limbeck.theory import Span
from limbeck.theory.kernels import Linear


def dense(n, d, rng, density=0.3, rank=None):
    """Rows with few entries; of some rank below d, where one is given."""
    if rank is None:
        return random_array((n, d), density=density, rng=rng).toarray()
    mixed = random_array((n, rank), density=density, rng=rng) @ random_array((rank, d), density=0.5, rng=rng)
    return mixed.toarray()


def odd(rng, ranks=(None, 3)):
    """A pool with repeats, empty rows and empty columns, maybe of lower rank."""
    n, d = rng.integers(6, 40), rng.integers(3, 40)
    X = dense(int(n), int(d), rng, rng.uniform(0.1, 0.6), rng.choice(ranks))
    X = np.vstack([X, X[:4], np.zeros((2, X.shape[1]))])
    X[:, 1] = 0.0
    return X[rng.permutation(len(X))]


def first_alike(X, rows):
    """The first row of the pool that is the same up to rounding and length, for each of these."""
    unit = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-300)
    return [int(np.argmax(np.abs(unit - unit[row]).max(axis=1) < 1e-12)) for row in rows]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.booleans())
def test_picks_gains_and_energies_are_those_of_the_dense_pool(seed, some_known, weighted):
    rng = np.random.default_rng(seed)
    X = odd(rng)
    known = [0, 3] if some_known else None
    weight = rng.random(len(X)) if weighted else None
    n = len(X) - 2 * some_known  # past the rank, through all rounds, down to rows of zeros
    whole = SpanSelection().rank(X, n, known, weight=weight)
    found = SpanSelection().rank(csr_array(X), n, known, weight=weight)
    assert found.useful == whole.useful
    assert np.array_equal(found.indices[: found.useful], whole.indices[: whole.useful])
    assert first_alike(X, found.indices) == first_alike(X, whole.indices)
    np.testing.assert_allclose(found.gains, whole.gains, atol=1e-12)
    np.testing.assert_allclose(found.energy, whole.energy, atol=1e-12)
    assert (found.reason, found.zeros.tolist()) == (whole.reason, whole.zeros.tolist())
    assert np.array_equal(found.rounds, whole.rounds)


def test_rows_as_given_are_chosen_among_as_in_a_dense_pool():
    rng = np.random.default_rng(0)
    X = dense(60, 25, rng) * 10.0 ** rng.uniform(-2, 2, (60, 1))
    whole, found = (SpanSelection(unit_rows=False).rank(pool, 20) for pool in (X, csr_array(X)))
    assert np.array_equal(found.indices, whole.indices)
    np.testing.assert_allclose(found.energy, whole.energy, atol=1e-12)


def test_scores_carried_along_are_the_definitions():
    rng = np.random.default_rng(1)
    X = csr_array(dense(80, 50, rng))
    left = residuals.SparseResiduals(SparsePool(X), rng.random(80), np.array([4, 7]), 1e-12)
    for row in (11, 30, 2):
        left.take(row)
    a, b = left.space.scores(left.pool.rows(np.arange(80)))
    np.testing.assert_allclose(left.a, a, atol=1e-12)
    np.testing.assert_allclose(left.b, b, atol=1e-12)
    assert left.energy == pytest.approx(left.weight @ b)
    assert not left.fresh
    left.refresh()
    assert left.fresh
    np.testing.assert_allclose(left.a, a, atol=1e-12)


@pytest.mark.parametrize("density", [0.02, 0.9])
@pytest.mark.parametrize("cells", [50, 1 << 20])
def test_second_moments_looked_up_or_multiplied_some_columns_at_a_time_are_one(monkeypatch, density, cells):
    rng = np.random.default_rng(2)
    X, weight = dense(70, 90, rng, density), rng.random(70)
    monkeypatch.setattr(residuals, "CELLS", cells)
    monkeypatch.setattr(residuals, "PAIRS", 20)
    found = [residuals.quadratics(csr_array(X), weight)]
    for cost in (0, 10**9):  # always looked up, never
        monkeypatch.setattr(residuals, "LOOK_UP", cost)
        found.append(residuals.quadratics(csr_array(X), weight))
    for a in found:
        np.testing.assert_allclose(a, np.square(X @ X.T) @ weight, rtol=1e-12, atol=1e-14)


def test_no_drift_where_the_energy_falls_by_seven_orders_of_magnitude():
    # Directions below 3e-7 of the longest, which a Gram matrix of the rows cannot show.
    rng = np.random.default_rng(3)
    X = dense(300, 60, rng, 0.4) * 10.0 ** -np.linspace(0, 7, 60)
    whole, found = (SpanSelection().rank(pool, 60) for pool in (X, csr_array(X)))
    assert found.useful == whole.useful == 60
    assert whole.gains[45] < 1e-9
    assert np.array_equal(found.indices[:45], whole.indices[:45])
    np.testing.assert_allclose(found.gains[:45], whole.gains[:45], rtol=1e-5)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    outside = np.square(Span(X[found.indices[:50]]).residual(unit)).sum() / 300
    assert found.energy[49] == pytest.approx(outside, rel=1e-3)


@pytest.mark.parametrize(
    "kind",
    [csr_matrix, csc_matrix, coo_array, lil_array, bsr_array, lambda X: csr_array(X, dtype=np.float32)],
)
def test_every_kind_of_sparse_matrix_is_taken_and_left_as_it_is(kind):
    X = dense(40, 15, np.random.default_rng(4)).astype(np.float32).astype(float)
    pool = kind(X)
    before = pool.copy()
    assert np.array_equal(SpanSelection().query(pool, 10), SpanSelection().query(X, 10))
    assert np.array_equal(pool.toarray(), before.toarray())


def test_doubled_and_unsorted_entries_and_stored_zeros_are_read_and_not_put_right_in_place():
    indices, data = np.array([2, 0, 2, 1, 0]), np.array([1.0, 3.0, 1.0, 0.0, 2.0])
    pool = csr_array((data, indices, np.array([0, 3, 4, 5])), shape=(3, 3))
    for array in (pool.data, pool.indices, pool.indptr):
        array.flags.writeable = False
    whole, found = SpanSelection().rank(pool.toarray(), 3), SpanSelection().rank(pool, 3)
    assert found.indices.tolist() == whole.indices.tolist()
    assert found.zeros.tolist() == [1]
    assert pool.indices.tolist() == [2, 0, 2, 1, 0]


def test_rows_of_any_length_and_whole_numbers_are_taken():
    rng = np.random.default_rng(5)
    X = (dense(50, 20, rng) > 0).astype(int)
    assert np.array_equal(SpanSelection().query(csr_array(X), 8), SpanSelection().query(X, 8))
    scales = 10.0 ** rng.uniform(-150, 150, (50, 1))
    assert np.array_equal(
        SpanSelection().query(csr_array(X * scales), 8), SpanSelection().query(X.astype(float), 8)
    )


def test_sparse_points_in_blocks_are_one_pool():
    X = csr_array(dense(60, 20, np.random.default_rng(6)))
    found = SpanSelection().query(Blocks(ArraySource(X)).points(), 10)
    assert np.array_equal(found, SpanSelection().query(X, 10))


@pytest.mark.parametrize(
    ("pool", "said"),
    [
        (csr_array(([1.0, np.nan], ([0, 2], [1, 3])), shape=(4, 5)), "nan at row 2, column 3"),
        (csr_array((3, 0)), "at least one row and column"),
        (csr_array(np.eye(2) * 1j), "real numbers, got dtype complex"),
        (csr_array(np.eye(2) * 1e200), "largest entry of the pool is 1e\\+200"),
    ],
)
def test_what_no_pool_can_hold_is_named(pool, said):
    with pytest.raises(ValueError, match=said):
        SpanSelection().query(pool, 1)


def test_what_takes_dense_rows_only_says_what_takes_sparse_ones():
    pool = csr_array(np.eye(3))
    with pytest.raises(
        TypeError, match="SpanSelection, AnswerSelection and the other strategies take SciPy's"
    ):
        Pool(pool)
    with pytest.raises(TypeError, match="sparse"):
        SpanSelection(kernel=Linear()).query(pool, 1)

    class Two:
        def __iter__(self):
            return iter([pool, pool])

    with pytest.raises(TypeError, match="give one sparse matrix"):
        SpanSelection().query(Two(), 1)


@pytest.mark.parametrize("seed", range(8))
def test_every_strategy_picks_what_it_picks_from_the_dense_pool(seed):
    rng = np.random.default_rng(seed)
    X = odd(rng, [None])  # where one direction is left, all rows tie
    w, n, rank = rng.standard_normal(X.shape[1]), len(X), np.linalg.matrix_rank(X)
    logits = [1.0, -2.0]
    known = np.flatnonzero(X.any(axis=1))[:2]
    for strategy, most in (
        (lambda pool: farthest_first(pool, n), n),
        (lambda pool: k_means_plus_plus(pool, 3, rng=np.random.default_rng(1)), 3),
        (lambda pool: random_order(pool, n, rng=np.random.default_rng(1)), n),
        (lambda pool: largest_residual(pool, n), rank),
        (lambda pool: matching_pursuit(pool, n, w), rank - 1),
        (lambda pool: AnswerSelection().query(pool, 3, known, logits), 3),
        (lambda pool: AnswerSelection(candidates=8, reference=20).query(pool, 3, known, logits), 3),
    ):
        found, whole = strategy(csr_array(X)), strategy(X)
        assert len(set(found.tolist())) == len(found) == len(whole)
        assert first_alike(X, found[:most]) == first_alike(X, whole[:most])


def test_the_longest_residual_is_found_below_the_rounding_of_squares():
    X = dense(40, 30, np.random.default_rng(7), 0.5) * 10.0 ** -np.linspace(0, 9, 30)
    assert np.array_equal(largest_residual(csr_array(X), 28), largest_residual(X, 28))


def test_answers_choose_and_are_rated_as_in_the_dense_pool():
    rng = np.random.default_rng(8)
    X = dense(90, 40, rng)
    logits = X[:4] @ rng.standard_normal(40)
    whole, found = (AnswerSelection().rank(pool, 10, np.arange(4), logits) for pool in (X, csr_array(X)))
    assert np.array_equal(found.indices, whole.indices)
    np.testing.assert_allclose(found.energy, whole.energy, atol=1e-12)
    np.testing.assert_allclose(found.gains, whole.gains, atol=1e-12)


@pytest.mark.parametrize("shape", [(12, 100), (40, 7)])
def test_coordinates_keep_all_products_to_rounding(shape):
    X = csr_array(dense(*shape, np.random.default_rng(9)) * 10.0 ** -np.linspace(0, 9, shape[1]))
    A = coordinates(X)
    assert A.shape[1] <= min(shape)
    np.testing.assert_allclose(A @ A.T, (X @ X.T).toarray(), atol=1e-14)
    assert Span(A).rank == Span(X.toarray()).rank


@pytest.mark.parametrize("intercept", [False, True])
def test_the_geometry_is_the_dense_pools(intercept):
    rng = np.random.default_rng(10)
    X = odd(rng)
    w = rng.standard_normal(X.shape[1] + intercept)
    whole, found = (
        geometry(pool, intercept=intercept, direction=w, rng=np.random.default_rng(3))
        for pool in (X, csr_array(X))
    )
    for name in ("n", "d", "used", "rank", "zeros", "repeated"):
        assert getattr(found, name) == getattr(whole, name), name
    assert np.array_equal(found.constant, whole.constant)
    np.testing.assert_allclose(found.spectrum, whole.spectrum, atol=1e-12)
    (curve,) = found.scalings
    plain = whole.scalings[0]
    for name in ("energy_selected", "energy_random", "expected_random", "risk_random"):
        np.testing.assert_allclose(getattr(curve, name), getattr(plain, name), atol=1e-7)
    np.testing.assert_allclose(curve.tail.angles, plain.tail.angles, atol=1e-9)
    assert found.better == ""


def test_a_plan_and_a_purchase_choose_among_sparse_points_as_among_dense_ones(tmp_path):
    rng = np.random.default_rng(11)
    X = dense(120, 15, rng, 0.5)
    whole, found = (
        plan_budget(pool, target_risk=0.1, rng=np.random.default_rng(0)).coverage
        for pool in (X, csr_array(X))
    )
    np.testing.assert_allclose(found.residual, whole.residual, atol=1e-9)
    bought = [
        BudgetedDistillation(
            lambda x: 1 / (1 + np.exp(-x.sum(axis=1))), budget=40, target_risk=0.1, audit=20, batch=10
        ).run(pool, folder=tmp_path / str(k))
        for k, pool in enumerate((X, csr_array(X)))
    ]
    assert np.array_equal(bought[0].learned, bought[1].learned)


def test_memory_grows_with_the_entries_and_not_with_rows_times_features():
    rng = np.random.default_rng(12)
    n, d = 20_000, 20_000
    X = csr_array((np.ones(5 * n), rng.integers(0, d, 5 * n), np.arange(n + 1) * 5), shape=(n, d))
    tracemalloc.start()
    SpanSelection().query(X, 3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 300e6 < 8 * n * d / 10
