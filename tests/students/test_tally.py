"""Decisions counted by class, against scikit-learn's confusion matrix and intervals computed the long way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, confusion_matrix, recall_score

from limbeck.students.tally import Tally
from limbeck.theory.risk import paired_difference, wilson

K = 4
DECISIONS = st.integers(1, 60).flatmap(
    lambda n: st.tuples(*[arrays(np.int64, n, elements=st.integers(0, K - 1))] * 2)
)


@given(DECISIONS)
def test_counts_are_those_of_the_confusion_matrix(both):
    teacher, student = both
    found, counts = Tally.of(teacher, student, K), confusion_matrix(teacher, student, labels=range(K))
    np.testing.assert_array_equal(found.teacher, counts.sum(axis=1))
    np.testing.assert_array_equal(found.student, counts.sum(axis=0))
    np.testing.assert_array_equal(found.alike, np.diag(counts))
    assert found.agreement.estimate == pytest.approx(accuracy_score(teacher, student))
    recalls = recall_score(teacher, student, labels=range(K), average=None, zero_division=np.nan)
    for code in range(K):
        of_class = found.by_class(code)
        assert (of_class is None) == (code not in teacher)
        if of_class is not None:
            assert of_class.estimate == pytest.approx(recalls[code])
            assert (of_class.low, of_class.high) == pytest.approx(wilson(counts[code, code], of_class.size))


@given(DECISIONS)
def test_the_constant_is_the_best_dummy_and_is_compared_on_the_same_rows(both):
    teacher, student = both
    found = Tally.of(teacher, student, K)
    dummy = DummyClassifier(strategy="most_frequent").fit(np.zeros((len(teacher), 1)), teacher)
    assert found.constant.estimate == pytest.approx(dummy.score(np.zeros((len(teacher), 1)), teacher))
    right, same = student == teacher, teacher == found.commonest
    paired = paired_difference(int(np.sum(right & ~same)), int(np.sum(same & ~right)), len(teacher))
    assert found.gain == paired


@given(DECISIONS, st.integers(0, 60))
def test_parts_add_up_to_the_whole(both, cut):
    teacher, student = both
    parts = Tally.of(teacher[:cut], student[:cut], K) + Tally.of(teacher[cut:], student[cut:], K)
    whole = Tally.of(teacher, student, K)
    for field in ("teacher", "student", "alike"):
        np.testing.assert_array_equal(getattr(parts, field), getattr(whole, field))
    assert len(whole) == len(teacher)


def test_a_student_that_learned_the_commonest_class_gains_nothing():
    teacher = np.repeat([0, 1], [90, 10])
    found = Tally.of(teacher, np.zeros(100, dtype=int), 2)
    assert found.agreement.estimate == found.constant.estimate == 0.9
    assert found.gain.estimate == 0
    assert found.gain.low < 0 < found.gain.high
    assert found.by_class(1).estimate == 0


@pytest.mark.parametrize(
    ("teacher", "student", "said"),
    [
        ([0, 1], [0], "2 rows, student 1"),
        ([0, 2], [0, 1], r"teacher\[1\] is 2"),
        ([0, 1], [0, -1], r"student\[1\] is -1"),
        ([[0]], [0], "vector of class codes"),
        ([0.5], [0], "float64"),
    ],
)
def test_what_are_no_codes_is_refused(teacher, student, said):
    with pytest.raises(ValueError, match=said):
        Tally.of(teacher, student, 2)


def test_no_rows_have_no_share():
    with pytest.raises(ValueError, match="no rows"):
        _ = Tally.of([], [], 2).agreement


def test_ties_are_counted_apart():
    teacher, student = np.array([1, 1, 1, 0, 0]), np.array([1, 0, 1, 0, 1])
    tied = np.array([True, True, False, False, False])
    found = Tally.of(teacher, student, 2, tied) + Tally.of(teacher, student, 2, ~tied)
    assert (found.tied, found.tied_alike) == (5, 3)
    assert found.untied.size == 5
    assert found.untied.estimate == 3 / 5
    assert Tally.of(teacher, student, 2).untied is None
