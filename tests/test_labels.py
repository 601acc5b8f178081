import pickle
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, log_softmax, logit, softmax
from torture import proofs

from limbeck.labels import (
    RowError,
    cross_entropy,
    from_hard,
    from_log_probabilities,
    from_logits,
    from_partial_log_probabilities,
    from_partial_probabilities,
    from_probabilities,
    from_top_k,
    reorder,
)

LOGITS = arrays(np.float64, st.integers(1, 20), elements=st.floats(-30, 30))


@given(LOGITS)
def test_one_answer_in_three_forms(z):
    for labels in (
        from_logits(z),
        from_probabilities(expit(z)),
        from_log_probabilities(-np.logaddexp(0, -z)),
    ):
        assert labels.n_classes == 2
        np.testing.assert_allclose(labels.probabilities, expit(z), rtol=1e-12)
        off = np.abs(labels.logits - z)
        assert np.all((off <= 3 * labels.error + 1e-14) | labels.saturated)


@given(arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(3, 6)), elements=st.floats(-20, 20)))
def test_rows_are_centred_and_shifts_forgotten(Z):
    P = softmax(Z, axis=1)
    centred = Z - Z.mean(axis=1, keepdims=True)
    for labels in (
        from_logits(Z + 7.0),
        from_probabilities(P),
        from_log_probabilities(log_softmax(Z, axis=1)),
    ):
        np.testing.assert_allclose(labels.probabilities, P, atol=1e-12)
        np.testing.assert_allclose(labels.logits, centred, atol=1e-6)
        assert not labels.saturated.any()


SCORES = arrays(np.float64, st.tuples(st.integers(10, 14), st.integers(2, 5)), elements=st.floats(-20, 20))


@given(SCORES, st.integers(2, 6), st.sampled_from([np.float64, np.float32]))
def test_rounded_log_probabilities_are_read_with_what_rounding_leaves_uncertain(Z, decimals, dtype):
    Z = np.concatenate([Z, np.random.default_rng(0).normal(0, 1, (20, Z.shape[1]))])  # enough digits to see
    logs = log_softmax(Z, axis=1)
    labels = from_log_probabilities(np.round(logs, decimals).astype(dtype))
    wanted = logs[:, 1] - logs[:, 0] if Z.shape[1] == 2 else logs - logs.mean(axis=1, keepdims=True)
    assert np.all(np.abs(labels.logits - wanted) <= labels.error * (1 + 1e-9) + 1e-11)
    assert np.all(labels.error >= 0.5 * 10.0**-decimals)
    if Z.shape[1] > 2:
        np.testing.assert_allclose(labels.probabilities.sum(axis=1), 1, rtol=1e-12)


@given(arrays(np.float64, st.integers(40, 60), elements=st.floats(-12, 12)), st.integers(2, 6))
def test_rounded_log_probabilities_of_one_of_two_classes(z, decimals):
    z = np.concatenate([z, np.random.default_rng(0).normal(0, 1, 25)])  # enough digits to see
    labels = from_log_probabilities(np.round(-np.logaddexp(0, -z), decimals))
    known = ~labels.saturated
    assert np.all(np.abs(labels.logits - z)[known] <= labels.error[known] * (1 + 1e-9) + 1e-9)
    assert np.all(z[~known] >= labels.least[~known] - 1e-9)


@given(SCORES.filter(lambda Z: Z.shape[1] > 2), st.integers(2, 6), st.sampled_from(["uniform", "zero"]))
def test_rounded_top_k_is_read_with_what_rounding_leaves_uncertain(Z, decimals, tail):
    Z = np.concatenate([Z, np.random.default_rng(0).normal(0, 1, (20, Z.shape[1]))])  # enough digits to see
    logs = log_softmax(Z, axis=1)
    which = np.argsort(-logs, axis=1)[:, :2]
    top = np.take_along_axis(logs, which, axis=1)
    labels = from_top_k(which, np.round(top, decimals), Z.shape[1] + 2, tail=tail)
    np.testing.assert_allclose(labels.probabilities.sum(axis=1), 1, rtol=1e-12)
    if tail == "zero":
        assert labels.saturated.all()
        return
    exact = from_top_k(which, top, Z.shape[1] + 2, tail=tail)
    known = ~labels.saturated
    off = np.abs(labels.logits - exact.logits)[known]
    assert np.all(off <= (labels.error + exact.error)[known] * (1 + 1e-9) + 1e-11)


@pytest.mark.parametrize("decimals", [2, 3, 4])
@pytest.mark.parametrize("read", ["all", "top"])
def test_a_row_that_rounding_does_not_explain_is_refused(decimals, read):
    logs = np.round(log_softmax(np.random.default_rng(0).normal(0, 1, (50, 4)), axis=1), decimals)
    logs[7, 2] += 40 * 10.0**-decimals
    call = from_log_probabilities if read == "all" else partial(from_partial_log_probabilities, tail="raise")
    with pytest.raises(ValueError, match=r"Row 7 .*sums to 1\.") as found:
        call(logs)
    assert isinstance(found.value, RowError)
    assert found.value.row == 7
    assert str(pickle.loads(pickle.dumps(found.value))) == str(found.value)


def test_rounded_log_probabilities_are_as_uncertain_when_given_as_logits():
    logs = np.round(log_softmax(np.random.default_rng(0).normal(0, 1, (50, 3)), axis=1), 3)
    np.testing.assert_array_equal(from_logits(logs).error, from_log_probabilities(logs).error)
    assert from_logits(logs - 1).error.max() < 1e-12  # scores, exact as they stand


def test_few_or_tiny_values_are_not_taken_for_rounded():
    with pytest.raises(ValueError, match="Row 0"):
        from_log_probabilities([[-0.7, -0.7, -3.9]])
    assert not from_probabilities(np.full(30, 1e-9)).saturated.any()


def test_two_columns_are_two_classes_and_keep_small_digits():
    P = np.array([[1 - 1e-18, 1e-18], [0.25, 0.75]])
    labels = from_probabilities(P)
    assert labels.probabilities.shape == (2,)
    assert labels.logits[0] == pytest.approx(np.log(1e-18), rel=1e-12)
    Z = np.array([[0.0, 40.0], [1.0, -1.0]])
    np.testing.assert_array_equal(from_logits(Z).logits, [40.0, -2.0])


@pytest.mark.parametrize("decimals", [2, 3, 4])
def test_error_covers_rounding(decimals):
    rng = np.random.default_rng(0)
    z = rng.normal(0, 2, 500)
    labels = from_probabilities(np.round(expit(z), decimals))
    known = ~labels.saturated
    assert np.all(np.abs(labels.logits - z)[known] <= labels.error[known] * (1 + 1e-9))
    assert np.median(labels.error[known]) > 0.1 * 10.0**-decimals
    # what a saturated row is known to be at least
    assert np.all(np.abs(z)[~known] >= labels.least[~known] - 1e-9)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_error_covers_short_floats(dtype):
    z = np.linspace(-9, 9, 400)
    labels = from_probabilities(expit(z).astype(dtype))
    known = ~labels.saturated
    assert np.all(np.abs(labels.logits - z)[known] <= 1.01 * labels.error[known])
    assert labels.error[known].max() > 1e-4


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_error_covers_logs_and_logits_in_short_floats(dtype):
    Z = np.random.default_rng(0).normal(0, 2, (500, 2))
    z = Z[:, 1] - Z[:, 0]
    for labels in (
        from_logits(Z.astype(dtype)),
        from_log_probabilities(log_softmax(Z, axis=1).astype(dtype)),
        from_log_probabilities(-np.logaddexp(0, -z).astype(dtype)),
    ):
        assert np.all(np.abs(labels.logits - z) <= 1.01 * labels.error)
        assert np.median(labels.error) < 10 * np.finfo(dtype).eps
    three = np.random.default_rng(1).normal(0, 2, (500, 3))
    off = from_logits(three.astype(dtype)).logits - (three - three.mean(axis=1, keepdims=True))
    assert np.all(np.abs(off) <= 1.01 * from_logits(three.astype(dtype)).error)


@pytest.mark.parametrize("stored", proofs.STORED)
@pytest.mark.parametrize("kind", proofs.TYPES)
def test_error_covers_computed_answers_of_every_type_however_they_are_stored(kind, stored):
    # float16 and bfloat16 numbers that look like sixteenths, or like decimals, would be taken for exact: 40 are not.
    for number, how in enumerate(proofs.ANSWERS):
        rng = np.random.default_rng([number, proofs.TYPES.index(kind)])
        Z = 4 * rng.standard_normal((40, 3))
        z = Z if how.endswith("3") else Z[:, 0]
        labels = proofs.answered(how, z, kind, stored)
        wanted = z - z.mean(axis=1, keepdims=True) if z.ndim == 2 else z
        known = ~labels.saturated
        assert np.all(np.abs(labels.logits - wanted)[known] <= labels.error[known]), how
        assert known.mean() > {"bfloat16": 0.4, "float16": 0.6}.get(kind, 0.9)
        if z.ndim == 1:
            assert np.all(np.abs(z[~known]) >= labels.least[~known] - 1e-9), how


def test_values_rounded_to_decimals_are_not_taken_for_printed_floats():
    p = expit(np.random.default_rng(0).normal(0, 2, 200))
    for decimals in range(1, 8):
        for n in (30, 200):
            rounded = np.round(p[:n], decimals)
            labels = from_probabilities(rounded)
            wanted = from_probabilities(rounded, decimals=decimals)
            np.testing.assert_array_equal(labels.error, wanted.error)
    assert from_probabilities([0.731, 0.25, 0.9]).error.max() < 1e-14  # so few may be exact
    hard = np.r_[np.zeros(15), np.ones(8), 0.37, 0.42]
    assert from_probabilities(hard).error[-1] > 0.02  # zeros and ones count towards the 20


def test_probabilities_beyond_the_stated_precision_are_saturated():
    for p in (np.array([0.001, 0.5, 0.998]), np.array([[0.999, 0.001], [0.5, 0.5], [0.002, 0.998]])):
        labels = from_probabilities(p, decimals=2)
        assert labels.saturated.tolist() == [True, False, True]
        assert labels.logits[[0, 2]].tolist() == [-np.inf, np.inf]
        np.testing.assert_allclose(labels.least[[0, 2]], -logit([0.006, 0.007]))
    assert from_probabilities([[0.001, 0.5, 0.499]], decimals=2).saturated.all()


def test_a_stored_0_says_no_more_than_a_stored_1():
    for dtype, least in ((np.float64, 35.35), (np.float32, 15.25)):  # 1 - p may be two eps
        labels = from_probabilities(np.array([0.0, 1.0, 0.3], dtype=dtype))
        np.testing.assert_allclose(labels.least[:2], least, atol=0.1)
    np.testing.assert_allclose(from_probabilities(np.array([[1.0, 0.0]])).least, 35.35, atol=0.1)
    assert not from_probabilities(np.array([1e-300, 0.5])).saturated.any()
    assert from_probabilities(np.array([[1e-18, 1.0]])).logits[0] == pytest.approx(-np.log(1e-18))


def test_a_stated_precision_beats_the_inferred_one():
    p = np.array([0.25, 0.5])
    assert from_probabilities(p).error.max() < 3e-15
    assert from_probabilities(p, decimals=2).error[1] == pytest.approx(logit(0.505), rel=1e-6)


def test_nothing_is_clipped():
    labels = from_probabilities(np.array([0.0, 1.0, 0.3]))
    np.testing.assert_array_equal(labels.saturated, [True, True, False])
    assert labels.logits[0] == -np.inf
    assert labels.logits[1] == np.inf
    assert labels.error[0] == np.inf
    three = from_probabilities(np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]]))
    np.testing.assert_array_equal(three.saturated, [True, False])
    assert from_logits(np.array([[0.0, -np.inf, 1.0]])).saturated.all()
    assert from_hard(np.array([0, 2]), 3).probabilities.tolist() == [[1, 0, 0], [0, 0, 1]]


def test_top_k_and_its_tail():
    top, which = np.log([[0.6, 0.2]]), np.array([[3, 0]])
    uniform = from_top_k(which, top, 4, tail="uniform").probabilities
    np.testing.assert_allclose(uniform, [[0.2, 0.1, 0.1, 0.6]])
    zero = from_top_k(which, top, 4, tail="zero")
    np.testing.assert_allclose(zero.probabilities, [[0.25, 0, 0, 0.75]])
    assert zero.saturated.all()
    with pytest.raises(ValueError, match=r"Row 0 lacks 0.2 of its mass"):
        from_top_k(which, top, 4, tail="raise")


def test_classes_are_matched_by_name():
    P = np.array([[0.1, 0.2, 0.7]])
    np.testing.assert_array_equal(reorder(P, ["a", "b", "c"], ["c", "a", "b"]), [[0.7, 0.1, 0.2]])
    with pytest.raises(ValueError, match="each must occur once"):
        reorder(P, ["a", "b", "b"], ["a", "b", "c"])


def test_cross_entropy_takes_zero_and_one_as_they_are():
    hard = from_hard(np.array([0, 1]), 2)
    np.testing.assert_allclose(cross_entropy(hard, [-800.0, 800.0]), 0.0, atol=1e-300)
    np.testing.assert_allclose(cross_entropy(hard, [800.0, 0.0]), [800, np.log(2)])
    P = from_probabilities(np.array([[1.0, 0.0, 0.0]]))
    assert cross_entropy(P, np.array([[0.0, -900.0, -900.0]]))[0] == 0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: from_probabilities([0.2, 1.2]), "1.2 in row 1 is not a probability"),
        (lambda: from_probabilities([[0.2, 0.3, 0.4]]), "Row 0 of the probabilities sums to 0.9, not 1"),
        (lambda: from_probabilities([[0.2], [0.1]]), "one column"),
        (lambda: from_probabilities([0.2, np.nan]), "nan in row 1 of the probabilities is not a number"),
        (lambda: from_probabilities(["a"]), "real numbers"),
        (lambda: from_log_probabilities([0.5]), "0.5 in row 0 is not a log-probability"),
        (lambda: from_log_probabilities([[-1.0, -1.0, -1.0]]), "Row 0 of the log-probabilities sums to 1.10"),
        (lambda: from_logits([[0.0, np.inf, 0.0]]), "leaves no probability"),
        (lambda: from_logits(np.zeros((2, 2, 2))), "axes"),
        (
            lambda: from_top_k([[0, 0]], [[-1.0, -2.0]], 3, tail="zero"),
            "Row 0 of indices names a class twice",
        ),
        (lambda: from_top_k([[0, 5]], [[-1.0, -2.0]], 3, tail="zero"), "between 0 and 2"),
        (lambda: from_top_k([[0, 1]], [[0.0, -0.1]], 3, tail="zero"), "Row 0 sums to 1.9"),
        (lambda: from_top_k([[0, 1]], [[-1.0, -2.0]], 3, tail="guess"), "tail must be"),
    ],
)
def test_bad_labels_are_refused_by_row(call, said):
    with pytest.raises(ValueError, match=said):
        call()


@pytest.mark.parametrize("read", [from_probabilities, from_logits, from_log_probabilities])
def test_nullable_columns_of_a_data_frame_are_numbers_and_a_gap_is_named(read):
    pandas = pytest.importorskip("pandas")
    p = np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]])[:2]
    values = p if read is from_probabilities else np.log(p)
    for dtype, as_given in (("Float64", np.float64), ("Float32", np.float32)):
        frame = pandas.DataFrame(values).astype(dtype)
        found, wanted = read(frame), read(values.astype(as_given))
        np.testing.assert_array_equal(found.logits, wanted.logits)
        np.testing.assert_array_equal(found.error, wanted.error)
        np.testing.assert_array_equal(read(frame[1]).logits, read(values[:, 1].astype(as_given)).logits)
    frame.iloc[1, 0] = pandas.NA
    with pytest.raises(ValueError, match=r"1, 0|row 1"):
        read(frame)


def test_a_row_that_is_off_by_all_that_rounding_explains_is_read():
    # .63 + .34 + .04 + .01 is 1.02 to the last bit but one: two decimals of four classes leave as much.
    P = np.array([[0.63, 0.34, 0.04, 0.01], *[[0.25, 0.25, 0.25, 0.25]] * 9, *[[0.11, 0.22, 0.33, 0.34]] * 9])
    np.testing.assert_allclose(from_probabilities(P).probabilities.sum(axis=1), 1)
    P[0, 0] = 0.64
    with pytest.raises(ValueError, match="sums to 1"):
        from_probabilities(P)


@pytest.mark.parametrize("tail", ["uniform", "zero"])
def test_shares_that_underflow_leave_no_nan(tail):
    # p = exp(-1e300) is 0, and its rounding error was 0 times infinity.
    found = from_partial_log_probabilities([[np.nan, -1e300, -0.1]], tail=tail)
    assert found.saturated.all()
    assert not np.isnan(found.error).any()


def test_a_row_that_names_every_class_has_nobody_to_share_what_is_missing():
    with pytest.raises(ValueError, match=r"Row 0 names every class and sums to 0\.503"):
        from_partial_log_probabilities([[-800.0, -1.0, -2.0]], tail="uniform")


def test_numbers_that_mean_practically_zero_are_no_logits():
    """What services send for a token outside the likeliest; exact logarithms as small are still numbers."""
    logs = np.array(
        [[-0.3, np.log(-np.expm1(-0.3)), -9999.0], [-1.0, -1.5, np.log(1 - np.exp(-1) - np.exp(-1.5))]]
    )
    assert from_log_probabilities(logs).saturated.tolist() == [True, False]
    assert from_logits(logs).saturated.tolist() == [True, False]
    assert from_partial_log_probabilities(logs, tail="raise").saturated.tolist() == [True, False]
    assert from_log_probabilities([-9999.0, -1.0]).saturated.tolist() == [True, False]
    exact = np.array([[0.0, -800.25], [0.0, -900.5]])
    np.testing.assert_array_equal(from_logits(exact).logits, [-800.25, -900.5])
    np.testing.assert_array_equal(from_logits([[-3.0, -9999.0], [4.0, 1.0]]).logits, [-9996.0, -3.0])


@pytest.mark.parametrize("decimals", [None, 3])
def test_partial_probabilities(decimals):
    """Of two classes the other has the rest; of more, what is missing is spread, or each row divided by its sum."""
    rng = np.random.default_rng(0)
    P = rng.dirichlet(np.ones(3), 40)
    P = P if decimals is None else np.round(P, decimals)
    two = np.where(
        rng.random((40, 1)) < 0.5,
        np.column_stack([P[:, 0], [np.nan] * 40]),
        np.column_stack([[np.nan] * 40, 1 - P[:, 0]]),
    )
    first = ~np.isnan(two[:, 0])
    alone, one, other = (
        from_partial_probabilities(two, tail="raise"),
        *map(from_probabilities, (P[:, 0], 1 - P[:, 0])),
    )
    np.testing.assert_allclose(alone.logits, np.where(first, -one.logits, other.logits), rtol=1e-9)
    ratio = alone.error / np.where(first, one.error, other.error)
    most = (
        2 if decimals is None else 1.02
    )  # whether exact numbers were computed as 1 - p is told from all of them
    assert ((ratio > 1 / most) & (ratio < most)).all()
    named = np.column_stack([P[:, :2], [np.nan] * 40])
    assert (from_partial_probabilities(named, tail="zero").probabilities[:, 2] == 0).all()
    spread = from_partial_probabilities(named, tail="uniform").probabilities
    np.testing.assert_allclose(
        spread, from_probabilities(P / P.sum(axis=1, keepdims=True)).probabilities, atol=2e-3
    )
    short = from_partial_probabilities(0.98 * P, tail="zero")
    np.testing.assert_allclose(short.probabilities, P / P.sum(axis=1, keepdims=True), atol=1e-12)
    for tail, table, fault in (
        ("raise", named, "Row 0 lacks"),
        ("uniform", 0.98 * P, "Row 0 names every class"),
        ("zero", 0.5 * P + 0.3, "Row 0 sums to 1.4"),
        ("zero", [[np.nan, np.nan]], "Row 0 names no class"),
        ("raise", [[0.5, 1.5]], "1.5 in row 0, column 1"),
    ):
        with pytest.raises(RowError, match=fault):
            from_partial_probabilities(table, tail=tail)


def test_logits_that_lie_between_0_and_1_by_chance_have_a_way_in():
    z = np.linspace(0.01, 0.99, 30)
    with pytest.raises(RowError, match=r"column_stack\(\[-z / 2, z / 2\]\)"):
        from_logits(z)
    np.testing.assert_allclose(from_logits(np.column_stack([-z / 2, z / 2])).logits, z)


def test_ties_are_rows_whose_likeliest_classes_are_equal():
    assert from_probabilities([0.5, 0.4, 0.5]).ties.tolist() == [True, False, True]
    assert from_logits([[1.0, 1.0, 0.0], [2.0, 1.0, 1.0]]).ties.tolist() == [True, False]
