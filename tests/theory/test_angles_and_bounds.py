import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.theory import (
    EmpiricalTail,
    MarginTail,
    PolynomialTail,
    angle,
    angle_of_perturbation,
    angle_of_perturbation_printed,
    approximate_risk_bound,
    approximate_risk_bound_printed,
    bound_at_angle,
    margin_angle,
    margin_bound,
    polynomial_bound,
    transfer_risk_angle,
    transfer_risk_bound,
    transfer_risk_bound_tight,
    unsigned_angle,
)

RIGHT = np.pi / 2
TAILS = [PolynomialTail(1 / 32), PolynomialTail(1.0), PolynomialTail(3.0), MarginTail(1.3), MarginTail(0.4)]


# -- angles -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("theta", [1e-200, 1e-150, 1e-12, 1e-8, 0.3, 1.5, RIGHT])
@pytest.mark.parametrize("scale", [1e-100, 1.0, 1e200])
def test_equation_28_keeps_the_digits_of_small_angles(theta, scale):
    v = np.array([np.cos(theta), np.sin(theta)]) * scale
    assert abs(float(angle([scale, 0], v)) / theta - 1) < 1e-12
    assert abs(float(unsigned_angle([-scale, 0], v)) / theta - 1) < 1e-12


def test_angles_are_signed_or_not_and_broadcast():
    U = np.array([[1.0, 0], [0, 2], [-3, 0]])
    np.testing.assert_allclose(angle(U, [1.0, 0]), [0, RIGHT, np.pi])
    np.testing.assert_allclose(unsigned_angle(U, [1.0, 0]), [0, RIGHT, 0])


@pytest.mark.parametrize(
    ("u", "v", "said"),
    [
        ([0.0, 0], [1.0, 0], "u has length zero"),
        ([[1.0, 0], [0, 0]], [1.0, 0], "length zero in row 1"),
        ([1.0, np.nan], [1.0, 0], "not finite"),
        ([1.0], [1.0, 0], "of one length"),
    ],
)
def test_vectors_without_direction_are_named(u, v, said):
    with pytest.raises(ValueError, match=said):
        angle(u, v)


def test_footnote_2_a_classical_margin_is_an_angular_one():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (20_000, 3))
    X = X[(np.linalg.norm(X, axis=1) <= 1) & (np.abs(X[:, 0]) >= 0.3)]
    largest = unsigned_angle(X, [1.0, 0, 0]).max()
    assert largest <= margin_angle(0.3, 1.0) == pytest.approx(np.arccos(0.3))
    assert largest > margin_angle(0.3, 1.0) - 0.05
    with mpmath.workdps(40):
        assert margin_angle(1 - 1e-15, 1.0) == pytest.approx(
            float(mpmath.acos(mpmath.mpf(1 - 1e-15))), rel=1e-14
        )


@pytest.mark.parametrize(
    ("margin", "radius"), [(1e308, 1.7e308), (1e-310, 1.7e-310), (5e-324, 1e308), (3.0, 3.0)]
)
def test_footnote_2_at_the_ends_of_the_range_of_floats(margin, radius):
    with mpmath.workdps(40):
        wanted = float(mpmath.acos(mpmath.mpf(margin) / mpmath.mpf(radius)))
    assert margin_angle(margin, radius) == pytest.approx(wanted, rel=1e-15)


# -- tails ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", [*TAILS, EmpiricalTail([0.2, 0.2, 0.9, RIGHT])])
def test_equation_17_a_tail_starts_at_one_and_never_rises(tail):
    theta = np.linspace(0, RIGHT, 1001)
    p = tail(theta)
    assert p[0] == 1
    assert np.all(np.diff(p) <= 0)
    assert np.all((p >= 0) & (p <= 1))
    cot = 1 / np.tan(theta[1:-1])
    np.testing.assert_allclose(tail.at_cotangent(cot), tail(np.arctan2(1, cot)), atol=1e-13)


@pytest.mark.parametrize("beta", [1e-200, 1e-12, 0.1, 1.2, RIGHT])
def test_a_margin_s_tail_keeps_its_digits_at_every_cotangent(beta):
    angles = beta * np.array([1e-3, 0.1, 0.5, 0.9, 1 - 1e-6])
    cot = 1 / np.tan(angles)
    with mpmath.workdps(40):
        wanted = [float(1 - mpmath.acot(mpmath.mpf(c)) / mpmath.mpf(beta)) for c in cot]
    np.testing.assert_allclose(MarginTail(beta).at_cotangent(cot), wanted, rtol=1e-15, atol=3e-16)
    # The logarithm of a cotangent of 1e200 has 13 digits left of the cotangent; next to beta all of them count.
    np.testing.assert_allclose(MarginTail(beta).log_at(np.log(cot[:-1])), np.log(wanted[:-1]), rtol=1e-10)


def test_the_logarithm_of_a_tail_outlives_tail_and_cotangent():
    tail = PolynomialTail(50.0)
    y = np.array([-900.0, -30.0, -1.0, 0.0, 5.0, 800.0])
    with mpmath.workdps(30):
        wanted = [float(50 * mpmath.log(mpmath.atan(mpmath.exp(v)) * 2 / mpmath.pi)) for v in y]
    np.testing.assert_allclose(tail.log_at(y), wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("tail", TAILS)
def test_sampled_angles_follow_their_tail(tail):
    # DKW at 1e-6: a right sampler fails once in a million seeds.
    m = 20_000
    sample = EmpiricalTail(np.arctan2(1.0, tail.cotangents(m, rng=np.random.default_rng(0))))
    theta = np.linspace(0, RIGHT, 2000)[:-1]
    assert np.abs(sample(theta) - tail(theta)).max() < np.sqrt(np.log(2e6) / (2 * m))


def test_cotangents_near_a_right_angle_keep_their_digits():
    cot = PolynomialTail(2.0**-5).cotangents(10_000, rng=np.random.default_rng(1))
    assert 0 < cot.min() < 1e-60
    assert len(np.unique(cot)) == 10_000


def test_the_empirical_tail_counts_points_at_least_theta():
    tail = EmpiricalTail([0.5, 1.0, 1.0, 1.5])
    np.testing.assert_array_equal(tail([0.5, 0.50001, 1.0, 1.2, 1.5, 1.51]), [1, 0.75, 0.75, 0.25, 0.25, 0])


def test_the_band_covers_the_true_tail_as_often_as_it_says():
    # 400 samples at 90 %: fewer than 340 successes has probability below 1e-3 for a valid band.
    rng, tail, covered = np.random.default_rng(2), PolynomialTail(1.0), 0
    theta = np.linspace(0, RIGHT, 500)
    for _ in range(400):
        sample = EmpiricalTail(np.arctan2(1.0, tail.cotangents(60, rng=rng)))
        covered += bool(np.all(sample.upper(0.9)(theta) >= tail(theta)))
    assert covered >= 340
    assert covered < 400  # and the band is not so wide that it could never fail


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: PolynomialTail(0.0), "kappa must be > 0"),
        (lambda: PolynomialTail(-1.0), "kappa"),
        (lambda: MarginTail(2.0), "beta must be <= 1.57"),
        (lambda: MarginTail(0.0), "beta"),
        (lambda: EmpiricalTail([]), "angles is empty"),
        (lambda: EmpiricalTail([0.1, 3.0]), "3.0 at position 1"),
        (lambda: EmpiricalTail([0.1]).band(0.3), "confidence must be >= 0.5"),
        (lambda: EmpiricalTail.of([[1.0, 0], [0, 0]], [1.0, 0]), "length zero in row 1"),
        (lambda: PolynomialTail(1.0)(2.0), "theta must lie in"),
        (lambda: margin_angle(2.0, 1.0), "margin must be <= 1.0"),
    ],
)
def test_bad_tails_are_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()


# -- bounds -----------------------------------------------------------------------------------------


@given(kappa=st.floats(0.03, 5), n=st.integers(1, 500), beta=st.floats(0, RIGHT))
def test_the_best_angle_is_at_least_as_good_as_any_and_the_proof_as_the_statement(kappa, n, beta):
    tail = PolynomialTail(kappa)
    assert transfer_risk_bound(tail, n) <= transfer_risk_bound(tail, n, beta=beta) + 1e-12
    assert transfer_risk_bound_tight(tail, n) <= transfer_risk_bound_tight(tail, n, beta=beta) + 1e-12
    assert transfer_risk_bound_tight(tail, n, beta=beta) <= transfer_risk_bound(tail, n, beta=beta)


@given(angles=st.lists(st.floats(0, RIGHT), min_size=1, max_size=12), n=st.integers(1, 30))
def test_the_best_angle_of_a_step_tail_is_found_between_the_steps(angles, n):
    tail = EmpiricalTail(angles)
    dense = np.unique(np.concatenate([np.linspace(0, RIGHT, 4001), *[[a, RIGHT - a] for a in angles]]))
    dense = np.unique(np.concatenate([dense, np.nextafter(dense, 9), np.nextafter(dense, -9)]))
    dense = dense[(dense >= 0) & (dense <= RIGHT)]
    assert transfer_risk_bound(tail, n) <= (tail(dense) + tail(RIGHT - dense) ** n).min() + 1e-15


def test_equation_18_no_risk_once_the_points_span():
    assert transfer_risk_bound(PolynomialTail(0.1), 50, d=50) == 0
    assert transfer_risk_bound(PolynomialTail(0.1), 49, d=50) > 0.5


def test_theorem_3_at_the_figures_setting():
    assert transfer_risk_bound(PolynomialTail(1.0), 20) == pytest.approx(0.1886, abs=5e-5)
    assert bound_at_angle(PolynomialTail(1.0), 0.05, symmetric=True) == pytest.approx(0.05 / np.pi)


def test_corollary_1_is_theorem_3_at_the_margin():
    tail, beta = MarginTail(1.2), 1.2
    assert margin_bound(tail, 9, beta) == pytest.approx(transfer_risk_bound(tail, 9, beta=beta))
    assert margin_bound(tail, 9, beta, d=9) == 0


@given(n=st.integers(1, 10**6), kappa=st.floats(0, 5))
def test_corollary_2_is_above_theorem_3(n, kappa):
    assert polynomial_bound(n, kappa) >= 0
    if kappa > 0.02:
        assert transfer_risk_bound(PolynomialTail(kappa), n) <= polynomial_bound(n, kappa) * (1 + 1e-9)


def test_lemma_d1_is_sharp_as_arcsin_and_true_as_printed():
    w = np.array([1.0, 0.0])
    for eta in (1e-9, 0.01, 0.3, 0.5):
        v = w + eta * np.array([-eta, np.sqrt(1 - eta**2)])  # the tangent from the origin
        assert float(angle(w, v)) == pytest.approx(angle_of_perturbation(eta), rel=1e-9)
        assert angle_of_perturbation(eta) <= angle_of_perturbation_printed(eta, 1.0)
    assert angle_of_perturbation(0.01) == pytest.approx(0.0100, abs=1e-5)
    assert angle_of_perturbation_printed(0.01, 1.0) == pytest.approx(0.251, abs=1e-3)


def test_theorem_d1_recovers_theorem_3_and_the_printed_one_is_looser():
    tail = PolynomialTail(1.0)
    assert approximate_risk_bound(tail, 20, 0.0) == pytest.approx(transfer_risk_bound_tight(tail, 20))
    assert approximate_risk_bound(tail, 20, 0.05) < approximate_risk_bound_printed(tail, 20, 0.05, 1.0)
    assert approximate_risk_bound(tail, 20, 0.05, d=20) == pytest.approx(np.arcsin(0.05) / RIGHT)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda t: transfer_risk_bound(t, 0), "n must be an integer of at least 1"),
        (lambda t: transfer_risk_bound(t, 2.5), "n must be an integer"),
        (lambda t: transfer_risk_bound(t, 2, d=0), "d must be"),
        (lambda t: transfer_risk_bound(t, 2, beta=-0.1), "beta must be >= 0"),
        (lambda t: transfer_risk_bound(t, 2, beta=1.6), "beta must be <= 1.57"),
        (lambda t: approximate_risk_bound(t, 2, 1.0), "eta must be < 1"),
        (lambda t: approximate_risk_bound(t, 2, 0.5, beta=1.5), "beta must be <="),
        (lambda t: approximate_risk_bound_printed(t, 2, 0.45, 1.0), "no beta"),
        (lambda t: approximate_risk_bound_printed(t, 2, 0.6, 1.0), "half the norm"),
        (lambda t: margin_bound(t, 2, 1.0), "needs p\\(beta\\) = 0"),
        (lambda t: margin_bound(MarginTail(0.5), 2, RIGHT), "needs gamma < 1"),
        (lambda t: polynomial_bound(2, -1.0), "kappa"),
        (lambda t: bound_at_angle(t, 2.0), "alpha must be <= 1.57"),
    ],
)
def test_bad_arguments_of_bounds_are_named(call, said):
    with pytest.raises(ValueError, match=said):
        call(PolynomialTail(1.0))


@pytest.mark.parametrize("tail", TAILS, ids=repr)
def test_the_angle_of_theorem_3_is_where_the_bound_is_read(tail):
    beta = transfer_risk_angle(tail, 20)
    assert transfer_risk_bound(tail, 20, beta=beta) == transfer_risk_bound(tail, 20)
    assert tail(beta) + tail(RIGHT - beta) ** 20 == transfer_risk_bound(tail, 20)


@pytest.mark.parametrize(
    ("tail", "n"),
    [
        (PolynomialTail(0.01), 2**53),
        (PolynomialTail(0.01), 10**6),
        (PolynomialTail(30.0), 10**9),
        (PolynomialTail(1.0), 10),
        (MarginTail(1e-3), 10**9),
        (MarginTail(1.5), 10**6),
    ],
)
def test_the_best_angle_is_found_however_near_to_an_end_it_is(tail, n):
    near = np.logspace(-17, 0, 200_001) * RIGHT
    beta = np.unique(np.concatenate([np.linspace(0, RIGHT, 100_001), near, RIGHT - near]))
    searched = np.min(tail(beta) + tail(RIGHT - beta) ** n)
    # p(.)^n is noise of relative size n eps: the search of 300,000 angles takes the luckiest.
    assert transfer_risk_bound(tail, n) <= searched * (1 + 1e-9 + (1e-3 if n == 2**53 else 0))
