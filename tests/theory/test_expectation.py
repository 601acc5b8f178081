from functools import partial

import mpmath
import numpy as np
import pytest

from limbeck.theory import (
    BiasedDistillation,
    MarginTail,
    PolynomialTail,
    PolynomialTask,
    Span,
    asymptotic_risk,
    biased_angles,
    expected_risk,
    mean_square_cotangent,
    symmetric_risk,
    unsigned_angle,
)
from limbeck.theory.chain import cotangents
from limbeck.theory.expectation import FINE, _after_one_more, _backwards, _direction_rule, _Rule
from limbeck.theory.nearly_spanned import after_one_more, directions
from limbeck.theory.risk import _tabulated, symmetric_risk_at_cotangent

# By a rule with half the spacing, 14 and 8 nodes across and along, ten a panel of 1.2.
FIGURE_3 = {
    2.0**-4: 0.3682205376,
    2.0**-3: 0.2462176252,
    2.0**-2: 0.1040543564,
    2.0**-1: 0.01702542215,
    1.0: 4.101537296e-4,
    2.0: 2.204006422e-7,
}


@pytest.mark.parametrize(("kappa", "reference"), FIGURE_3.items())
def test_figure_3_to_six_digits(kappa, reference):
    found = expected_risk(kappa, 1000, 20)
    assert found.risk == pytest.approx(reference, rel=5e-7)
    assert found.error < 1e-5 * found.risk


@pytest.mark.parametrize(
    ("kappa", "d", "n"),
    [(1.0, 1000, 5), (0.25, 40, 6), (3.0, 30, 4), (1.0, 10**9, 3), (2.0, 7, 1), (0.03, 50, 1)],
)
def test_quadrature_agrees_with_simulation(kappa, d, n):
    # 200,000 transfer sets: four standard errors, false alarm 6e-5 each.
    tail = PolynomialTail(kappa)
    risk = symmetric_risk_at_cotangent(
        cotangents(tail, d, n, 200_000, rng=np.random.default_rng(int(10 * kappa) + n)), tail, d
    )
    found = expected_risk(kappa, d, n)
    assert abs(found.risk - risk.mean()) < 4 * risk.std() / np.sqrt(risk.size) + found.error
    assert found.error < 1e-4 * found.risk


def one_label(kappa, d):
    """E[R] after one label in mpmath: over log cot of the point's angle, and T = sin(phi) over log tan(phi)."""
    with mpmath.workdps(20):
        half = mpmath.mpf(d - 2) / 2

        def integrand(y, s):
            t, cot = mpmath.exp(s), mpmath.exp(y)
            T = t / mpmath.sqrt(1 + t * t)
            density = kappa * (2 / mpmath.pi * mpmath.atan(cot)) ** (kappa - 1) / mpmath.cosh(y) / mpmath.pi
            return density * (2 / mpmath.pi * mpmath.atan(T / cot)) ** kappa * T * (1 + t * t) ** -half

        step = mpmath.mpf(1) / 40  # the trapezoidal rule: analytic, and gone at both ends
        centre = -mpmath.log(d) / 4
        ys = [centre + i * step for i in range(-240, 241)]
        ss = [mpmath.log(mpmath.mpf(kappa) / d) / 2 + i * step for i in range(-60, 61)]
        values = [integrand(y, s) for y in ys[::3] for s in ss[::3]]
        return float(sum(values) * (3 * step) ** 2 / mpmath.beta(mpmath.mpf(1) / 2, half))


@pytest.mark.parametrize(("kappa", "d"), [(45.0, 1000), (50.0, 1000), (100.0, 20)])
def test_well_aligned_tasks_leave_the_range_of_floats_on_the_way_and_come_back(kappa, d):
    found = expected_risk(kappa, d, 1)
    assert found.risk == pytest.approx(one_label(kappa, d), rel=1e-6, abs=0)
    assert found.error < 1e-4 * found.risk


def test_a_risk_below_every_float_is_zero():
    assert expected_risk(400.0, 1000, 2).risk == 0
    assert expected_risk(1e300, 1000, 5).risk == 0


def test_several_labels_of_a_well_aligned_task():
    found = expected_risk(60.0, 100, 3)
    finer = _backwards(PolynomialTail(60.0), 100, 3, _Rule(0.2, 14, 8, 1.2, 9, 0.6, 0.35).of_degree(60.0))
    assert found.risk == pytest.approx(np.exp(finer), rel=2e-6, abs=0)
    assert found.error < 1e-4 * found.risk


def test_no_labels_are_needed_beyond_d():
    assert expected_risk(1.0, 30, 30).risk == 0
    with pytest.raises(ValueError, match="kappa"):
        expected_risk(0.0, 30, 2)
    with pytest.raises(ValueError, match=r"n = 25 lies within 15 of d = 30, where kappa = 17"):
        expected_risk(17.0, 30, 25)


@pytest.mark.parametrize(("kappa", "d", "n"), [(0.25, 3, 2), (1.0, 4, 3), (3.0, 5, 3)])
def test_quadrature_agrees_with_simulation_up_to_the_last_label(kappa, d, n):
    # 200,000 transfer sets: four standard errors, false alarm 6e-5 each.
    tail = PolynomialTail(kappa)
    risk = symmetric_risk_at_cotangent(cotangents(tail, d, n, 200_000, rng=np.random.default_rng(d)), tail, d)
    found = expected_risk(kappa, d, n)
    assert abs(found.risk - risk.mean()) < 4 * risk.std() / np.sqrt(risk.size) + found.error
    assert found.error < 1e-4 * found.risk


@pytest.mark.parametrize(("kappa", "d", "m"), [(0.25, 1000, 965), (1.0, 60, 40), (4.0, 60, 35)])
def test_two_rules_for_the_direction_agree_where_both_hold(kappa, d, m):
    tail, rule = PolynomialTail(kappa), FINE.of_degree(kappa)
    value = partial(_tabulated, tail=tail, d=d)
    found, direction = directions(tail, d, m, rule.last), _direction_rule(d, m, rule)
    for x in (-3.0, 0.0, 5.0):
        near = after_one_more(x, tail, lambda y: value(y.ravel()).reshape(y.shape), found, d, rule.last)
        assert near == pytest.approx(_after_one_more(x, tail, value, *direction, d, rule), abs=5e-6)


@pytest.mark.parametrize(("kappa", "n"), [(0.5, 20), (1.0, 20), (1.0, 30)])
def test_asymptotic_law_is_within_five_percent(kappa, n):
    assert asymptotic_risk(kappa, 1000, n) == pytest.approx(expected_risk(kappa, 1000, n).risk, rel=0.05)
    assert asymptotic_risk(kappa, 1000, 1000) == 0


def test_mean_square_cotangent_given_the_angles():
    # 4,000 transfer sets with fixed angles; five standard errors, false alarm 6e-7.
    rng = np.random.default_rng(0)
    d, cot = 40, np.array([0.5, 1.0, 0.1, 2.0])
    squares = []
    for _ in range(4000):
        u = rng.standard_normal((4, d - 1))
        u /= np.linalg.norm(u, axis=1, keepdims=True)
        X = np.column_stack([cot, u])
        alpha = Span(X).prefix_angles(np.eye(d)[0])[-1]
        squares.append(1 / np.tan(alpha) ** 2)
    expected = mean_square_cotangent(cot, d)
    assert abs(np.mean(squares) - expected) < 5 * np.std(squares) / np.sqrt(4000)
    assert mean_square_cotangent(cot, 6) == np.inf
    # One point's angle is the student's, in any dimension; points orthogonal to the teacher never help.
    assert [mean_square_cotangent([2.0], d) for d in (2, 3, 4, 50)] == [4.0] * 4
    assert mean_square_cotangent([0.0, 0.0], 4) == 0


@pytest.mark.parametrize("shared", [False, True])
def test_biased_learners_in_scalars_are_the_vectors(shared):
    # 1,500 literal transfer sets against 40,000 simulated: 4.5 standard errors, false alarm 1e-4 over all.
    rng = np.random.default_rng(5)
    task, n, deltas = PolynomialTask(0.7, 12), 4, (0.125, 1.0)
    literal = np.empty((1500, len(deltas), 2))
    for i in range(len(literal)):
        sample = task.sample(n + 1, rng=rng)
        fewer, more = Span(sample.X[:n]), Span(sample.X)
        for j, delta in enumerate(deltas):
            learner = BiasedDistillation(delta, rng.standard_normal(12) if shared else None)
            before = learner.weights(fewer, sample.z[:n], rng=rng)
            after = learner.weights(more, sample.z, rng=rng)
            literal[i, j] = (
                task.risk(before),
                unsigned_angle(after, task.w_star) < unsigned_angle(before, task.w_star),
            )
    angles = biased_angles(task.tail, 12, n, deltas, 40_000, shared=shared, rng=rng)
    unsigned = (
        np.minimum(angles.before, np.pi - angles.before),
        np.minimum(angles.after, np.pi - angles.after),
    )
    scalars = np.stack([symmetric_risk(angles.before, task.tail, 12), unsigned[1] < unsigned[0]], axis=-1)
    error = np.hypot(literal.std(axis=0) / np.sqrt(1500), scalars.std(axis=1) / 200)
    assert np.all(np.abs(literal.mean(axis=0) - scalars.mean(axis=1)) < 4.5 * error)


def test_delta_zero_is_distillation_and_always_gets_closer():
    angles = biased_angles(MarginTail(1.2), 30, 6, [0.0], 2000, rng=np.random.default_rng(0))
    cot = cotangents(MarginTail(1.2), 30, 6, 2000, rng=np.random.default_rng(0))
    np.testing.assert_allclose(angles.before[0], np.arctan2(1, cot), rtol=1e-10)
    assert np.all(angles.after < angles.before)


def test_a_complement_is_needed():
    with pytest.raises(ValueError, match="leave no complement"):
        biased_angles(PolynomialTail(1.0), 6, 5, [1.0], rng=np.random.default_rng(0))
    assert biased_angles(PolynomialTail(1.0), 6, 4, [1.0], rng=np.random.default_rng(0)).after.shape == (
        1,
        1000,
    )
