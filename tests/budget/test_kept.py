import numpy as np
import pytest
from scipy.special import expit, log_expit

from limbeck.budget.kept import both_classes
from limbeck.labels import from_log_probabilities, from_logits, from_probabilities

Z = np.random.default_rng(0).standard_normal(40) * 3


@pytest.mark.parametrize("decimals", range(1, 8))
def test_both_probabilities_have_as_many_decimals_as_one(decimals):
    p = np.round(expit(Z), decimals)
    both = both_classes("probabilities", p)
    assert both is not None
    assert all(len(repr(float(v))) <= 2 + decimals or "e" in repr(float(v)) for v in both.ravel())
    one, two = from_probabilities(p), from_probabilities(both)
    np.testing.assert_array_equal(one.saturated, two.saturated)
    np.testing.assert_allclose(two.logits, one.logits, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(
        two.error, one.error, rtol=0.5
    )  # as much as at the same precision: a decimal is 10


@pytest.mark.parametrize(
    ("kind", "said", "read"),
    [
        ("probabilities", expit(Z), from_probabilities),
        ("logits", np.append(Z, [np.inf, -np.inf]), from_logits),
        ("log_probabilities", np.append(log_expit(Z), [0.0, -np.inf, -1e-2]), from_log_probabilities),
    ],
)
def test_both_classes_read_as_one(kind, said, read):
    both = both_classes(kind, said)
    assert both is not None
    np.testing.assert_array_equal(both[:, 1][np.isfinite(said)], said[np.isfinite(said)])
    with np.errstate(invalid="ignore"):
        one, two = read(said), read(both)
    np.testing.assert_array_equal(one.saturated, two.saturated)
    np.testing.assert_allclose(two.logits, one.logits, rtol=1e-12, atol=1e-12)


def test_a_probability_whose_distance_from_1_is_rounding_is_trusted_no_further_in_two_columns():
    said = np.append(expit(Z), 1 - 1e-14)
    both = both_classes("probabilities", said)
    assert both is not None
    np.testing.assert_array_equal(from_probabilities(both).error, from_probabilities(said).error)


def test_a_logarithm_whose_distance_from_0_is_rounding_is_trusted_no_further_in_two_columns():
    assert both_classes("log_probabilities", np.append(log_expit(Z), -1e-9)) is None
