from dataclasses import replace

import mpmath
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import xlogy
from scipy.stats import beta, binom, ks_2samp, kstest, norm
from statsmodels.stats.contingency_tables import mcnemar

from limbeck.theory import (
    EmpiricalTail,
    MarginTail,
    MarginTask,
    PolynomialTail,
    PolynomialTask,
    SampleTask,
    Span,
    SymmetricTask,
    angle,
    biased_angles,
    bound_at_angle,
    bounded_mean_interval,
    clopper_pearson,
    disagreement,
    expected_risk,
    expected_risk_interval,
    held_out_risk,
    learning_curve,
    mean_interval,
    monotonicity,
    paired_difference,
    students_at,
    symmetric_risk,
    transfer_risk_bound_tight,
)
from limbeck.theory import risk as risks
from limbeck.theory.chain import cotangents
from limbeck.theory.risk import TABLE_FROM, symmetric_risk_at_cotangent, wilson

RIGHT = np.pi / 2
FALSE_ALARM = 1e-6  # of every statistical test here, for a right implementation


# -- exact risk ----------------------------------------------------------------------------------------


def integral(alpha, tail, d, kink=None):
    """R(alpha) by adaptive quadrature over T in mpmath."""
    with mpmath.workdps(30):
        cot = 1 / mpmath.tan(alpha)
        norm = 2 / mpmath.beta(mpmath.mpf(1) / 2, mpmath.mpf(d - 2) / 2)

        def integrand(phi):  # T = sin(phi)
            T = mpmath.sin(phi)
            theta = mpmath.atan2(cot, T)
            if isinstance(tail, PolynomialTail):
                p = (1 - 2 * theta / mpmath.pi) ** tail.kappa
            else:
                p = max(mpmath.mpf(0), 1 - theta / tail.beta)
            return p * norm * mpmath.cos(phi) ** (d - 3)

        width = 0.2 / mpmath.sqrt(d)
        start = mpmath.mpf(0)
        if isinstance(tail, MarginTail):
            least = cot / mpmath.tan(tail.beta)
            if least >= 1:
                return 0.0
            start = mpmath.asin(least)
        stops = [
            start + (mpmath.pi / 2 - start) * x for x in (0, width / 100, width / 10, width, 4 * width, 1)
        ]
        return float(mpmath.quad(integrand, stops) / 2)


@pytest.mark.parametrize(
    "tail", [PolynomialTail(0.25), PolynomialTail(1.0), PolynomialTail(3.0), MarginTail(1.3)]
)
@pytest.mark.parametrize("d", [3, 4, 10, 1000])
@pytest.mark.parametrize("alpha", [0.01, 0.7, 1.5])
def test_exact_risk_is_half_the_expected_tail(tail, d, alpha):
    assert float(symmetric_risk(alpha, tail, d)) == pytest.approx(
        integral(alpha, tail, d), rel=1e-9, abs=1e-13
    )


def peaked(alpha, tail, d):
    """R(alpha) in mpmath over s = log tan(phi), relative to the integrand's largest value: no risk is too small."""
    with mpmath.workdps(30):
        cot, half = 1 / mpmath.tan(mpmath.mpf(alpha)), mpmath.mpf(d - 2) / 2
        if isinstance(tail, PolynomialTail):
            stops = [mpmath.mpf(i) - 60 - mpmath.log(d) / 2 for i in range(110)]
        else:
            least = cot / mpmath.tan(mpmath.mpf(tail.beta))
            stops = [mpmath.log(least / mpmath.sqrt(1 - least**2)) + mpmath.mpf(i) / 4 for i in range(200)]

        def integrand(s):
            t = mpmath.exp(s)
            T = t / mpmath.sqrt(1 + t * t)
            if isinstance(tail, PolynomialTail):
                p = (mpmath.atan2(T, cot) * 2 / mpmath.pi) ** tail.kappa
            else:
                p = max(mpmath.mpf(0), 1 - mpmath.atan2(cot, T) / mpmath.mpf(tail.beta))
            return p * T * (1 + t * t) ** -half

        top = max(integrand(s) for s in stops)
        whole = mpmath.quad(lambda s: integrand(s) / top, stops)
        return float(whole * top / mpmath.beta(mpmath.mpf(1) / 2, half))


@pytest.mark.parametrize(
    ("alpha", "tail", "d"),
    [
        (1.5, PolynomialTail(400.0), 1000),
        (1.5707, PolynomialTail(400.0), 10**9),
        (0.01, PolynomialTail(38.0), 10**5),
        (1.2, PolynomialTail(1000.0), 20),
        (1.0, PolynomialTail(50.0), 3),
        (1.0, PolynomialTail(1.0), 10**6),
        (1.4, PolynomialTail(0.1), 3 * 10**5),
        (RIGHT - 0.0999, MarginTail(0.1), 10),
        (0.5, MarginTail(1.3), 1000),
    ],
)
def test_exact_risk_of_well_aligned_tasks_and_in_many_dimensions(alpha, tail, d):
    # Where a task is well aligned, T^kappa carries the integral away from the bulk of T.
    assert float(symmetric_risk(alpha, tail, d)) == pytest.approx(peaked(alpha, tail, d), rel=1e-12, abs=0)


@pytest.mark.parametrize("beta", [1e-290, 1e-8, 0.1, 1.57, RIGHT])
@pytest.mark.parametrize("d", [3, 10, 10**12])
def test_a_margin_s_risk_is_zero_beyond_it_and_never_anything_but_a_risk(beta, d):
    # Towards cot(alpha) = tan(beta) the tail rounds to nothing.
    share = 1 - np.array([1e-16, 2e-16, 1e-15, 1e-12, 1e-3, 0.5, 0.999, 1 - 1e-12])
    risk = symmetric_risk_at_cotangent(np.tan(beta) * share, MarginTail(beta), d)
    assert np.all((risk >= 0) & (risk <= 0.5))
    assert np.all(np.diff(risk[3:]) >= 0)
    assert np.all(
        symmetric_risk_at_cotangent(np.tan(beta) * np.array([1.1, 2.0]), MarginTail(beta), d) == 0
    ) or (beta == RIGHT)


@pytest.mark.parametrize("tail", [PolynomialTail(0.5), MarginTail(1.0), EmpiricalTail([0.3, 0.9, 1.4, 1.5])])
@pytest.mark.parametrize("d", [2, 3, 50])
def test_exact_risk_has_the_ends_the_symmetry_and_the_bound_it_must(tail, d):
    alpha = np.linspace(0, np.pi, 41)
    risk = symmetric_risk(alpha, tail, d)
    assert risk[0] == 0
    assert risk[20] == pytest.approx(0.5, abs=1e-13)
    assert risk[-1] == 1
    np.testing.assert_allclose(risk + risk[::-1], 1, atol=1e-12)
    assert np.all(np.diff(risk) >= -1e-12)
    for a, r in zip(alpha[:21], risk[:21], strict=True):
        assert r <= bound_at_angle(tail, a, symmetric=True) + 1e-12


def test_rounding_lifts_no_risk_above_one_half():
    cot = np.logspace(-300, 0, TABLE_FROM + 1)  # read off the table, then integrated
    for some in (cot, cot[::10]):
        assert symmetric_risk_at_cotangent(some, PolynomialTail(0.125), 3).max() <= 0.5


@pytest.mark.parametrize("d", [3, 8, 300])
def test_isotropic_data_have_risk_alpha_over_pi(d):
    # The angle of a Gaussian point to an axis: cos^2 ~ Beta(1/2, (d-1)/2); quantiles stand in for it.
    cos2 = beta(0.5, (d - 1) / 2).ppf((np.arange(200_000) + 0.5) / 200_000)
    tail = EmpiricalTail(np.arccos(np.sqrt(cos2)))
    alpha = np.array([0.1, 0.8, 1.5, 2.5])
    np.testing.assert_allclose(symmetric_risk(alpha, tail, d), alpha / np.pi, rtol=1e-3)


def test_an_empirical_tail_gives_the_risk_of_its_law():
    quantiles = (np.arange(100_000) + 0.5) / 100_000
    for tail, angles in [
        (PolynomialTail(2.0), RIGHT * (1 - quantiles ** (1 / 2.0))),
        (MarginTail(1.1), 1.1 * quantiles),
    ]:
        for alpha in (0.5, 1.2):
            exact = float(symmetric_risk(alpha, tail, 7))
            assert float(symmetric_risk(alpha, EmpiricalTail(angles), 7)) == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize(
    ("tail", "d"),
    [
        (PolynomialTail(0.3), 10**9),
        (PolynomialTail(0.3), 40),
        (PolynomialTail(1.0), 3),
        (PolynomialTail(150.0), 1000),
        (MarginTail(1.57), 10),
        (MarginTail(1.3), 1000),
    ],
)
def test_the_table_of_risks_is_the_integral_to_ten_digits(tail, d):
    """Down to right angles, where the slope against the angle is infinite, and to where a margin leaves no risk."""
    cot = 10.0 ** np.linspace(-17, 2, 300) / np.sqrt(d)
    if tail.kinks.size:
        cot = np.append(cot, np.tan(tail.beta) * (1 - np.geomspace(1e-4, 0.5, 50)))
    cot = np.concatenate([cot, 10.0 ** np.linspace(-40, 30, 20), [0.0, np.inf]])
    many = symmetric_risk_at_cotangent(cot, tail, d, values=TABLE_FROM + 1)
    np.testing.assert_allclose(many, symmetric_risk_at_cotangent(cot, tail, d), rtol=1e-10, atol=1e-300)
    assert np.any(many != symmetric_risk_at_cotangent(cot, tail, d))  # read off a table indeed


def test_a_learning_curve_integrates_no_risk_twice(monkeypatch):
    """A curve of 200,000 risks costs the 800 integrals of a table, and those few beyond it."""
    integrals, integrate = [], risks.log_risk
    monkeypatch.setattr(risks, "log_risk", lambda x, *a: integrals.append(len(x)) or integrate(x, *a))
    task = PolynomialTask(0.31, 10**9)
    curve = task.learning_curve(500, 400, rng=np.random.default_rng(0))
    assert sum(integrals) < 2000
    few = symmetric_risk_at_cotangent(
        cotangents(task.tail, task.d, 1, 400, rng=np.random.default_rng(0)), task.tail, task.d
    )
    assert curve.risk[0] == pytest.approx(few.mean(), rel=1e-10)


@pytest.mark.parametrize("task", [PolynomialTask(0.7, 6), MarginTask(1.2, 6), PolynomialTask(1.0, 2)])
def test_exact_risk_is_what_a_large_sample_counts(task):
    rng = np.random.default_rng(0)
    w, m = rng.standard_normal(task.d) + 0.7 * task.w_star, 400_000
    sample = task.sample(m, rng=rng)
    exact = float(task.risk(w))
    counted = float(disagreement(sample.X @ w, sample.z))
    assert abs(counted - exact) < 4.9 * np.sqrt(exact * (1 - exact) / m)  # 4.9 sigma: 1e-6


# -- the chain -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("d", "n"), [(2, 1), (3, 2), (10, 4), (10, 9)])
@pytest.mark.parametrize("tail", [PolynomialTail(1.0), MarginTail(1.2)])
def test_the_chain_has_the_law_of_literal_simulation(d, n, tail):
    rng, task, repeats = np.random.default_rng([d, n]), SymmetricTask(tail, d), 4000
    literal = []
    for _ in range(repeats):
        s = task.sample(n, rng=rng)
        literal.append(float(angle(Span(s.X).weights(s.z), task.w_star)))
    chain = np.arctan2(1.0, cotangents(tail, d, n, repeats, rng=rng))
    assert ks_2samp(literal, chain).pvalue > FALSE_ALARM


def test_isotropic_data_follow_their_beta_law_and_a_quarter_at_half():
    d, n, repeats = 40, 20, 20_000
    cos2 = beta(0.5, (d - 1) / 2).ppf((np.arange(100_000) + 0.5) / 100_000)
    tail = EmpiricalTail(np.arccos(np.sqrt(cos2)))
    cot2 = cotangents(tail, d, n, repeats, rng=np.random.default_rng(0)) ** 2
    assert kstest(cot2 / (1 + cot2), beta(n / 2, (d - n) / 2).cdf).pvalue > FALSE_ALARM
    alpha = np.arctan2(1.0, np.sqrt(cot2))
    assert alpha.mean() / np.pi == pytest.approx(0.25, abs=4.9 * alpha.std() / np.pi / np.sqrt(repeats))


def test_the_mean_of_the_chain_given_the_angles():
    # All angles equal: E[cot^2(alpha_n)] = (d - 3) / (d - n - 2) n cot^2(a).
    d, n, a, repeats = 50, 12, 1.2, 100_000
    cot2 = cotangents(EmpiricalTail([a]), d, n, repeats, rng=np.random.default_rng(1)) ** 2
    exact = (d - 3) / (d - n - 2) * n / np.tan(a) ** 2
    assert abs(cot2.mean() - exact) < 4.9 * cot2.std() / np.sqrt(repeats)


def test_figure_3_has_its_reference_values():
    references = {2**-5: 0.4427, 2**-4: 0.3682, 2**-3: 0.2462, 2**-2: 0.1041, 2**-1: 0.01703, 1.0: 0.000411}
    for kappa, risk in references.items():
        curve = PolynomialTask(kappa, 1000).learning_curve(20, 20_000, rng=np.random.default_rng(3))
        assert abs(curve.risk[-1] - risk) < 4.9 * curve.stderr[-1] + 0.5 * 10 ** np.floor(np.log10(risk) - 3)
        assert curve.risk[-1] < transfer_risk_bound_tight(PolynomialTail(kappa), 20, d=1000)


def test_curves_fall_cost_nothing_in_d_and_end_at_zero():
    curve = PolynomialTask(0.5, 10**12).learning_curve(50, 200, rng=np.random.default_rng(0))
    assert np.all(np.diff(curve.risk) < 0)
    assert np.all(np.diff(curve.angle) < 0)
    assert np.all((curve.low <= curve.risk) & (curve.risk <= curve.high))
    full = PolynomialTask(0.5, 4).learning_curve(6, 50, rng=np.random.default_rng(0))
    assert full.risk[2] > 0
    np.testing.assert_array_equal(full.risk[3:], 0)


def test_strong_monotonicity_shows_in_every_single_chain():
    from limbeck.theory.chain import cotangent_steps

    steps = cotangent_steps(PolynomialTail(0.25), 30, 500, rng=np.random.default_rng(0))
    before = next(steps)
    for _ in range(28):
        after = next(steps)
        assert np.all(after >= before)
        before = after


def test_bad_chains_are_named():
    rng = np.random.default_rng(0)
    for call, said in [
        (lambda: learning_curve(PolynomialTail(1.0), 1, 5, rng=rng), "d must be an integer of at least 2"),
        (lambda: learning_curve(PolynomialTail(1.0), 5, 0, rng=rng), "n must be"),
        (lambda: learning_curve(PolynomialTail(1.0), 5, 3, 0, rng=rng), "repeats must be"),
        (lambda: symmetric_risk(4.0, PolynomialTail(1.0), 5), "alpha must lie"),
        (lambda: symmetric_risk_at_cotangent(-1.0, PolynomialTail(1.0), 5), "cot must be >= 0"),
    ]:
        with pytest.raises(ValueError, match=said):
            call()


# -- intervals ------------------------------------------------------------------------------------------


def test_a_zero_logit_counts_as_class_1():
    assert disagreement([0.0, -1, 2], [1.0, 0, 3]) == pytest.approx(1 / 3)


def test_wilsons_interval_of_one_student():
    interval = held_out_risk(np.array([1.0] * 98 + [-1.0] * 2), np.ones(100))
    assert interval.estimate == 0.02
    assert (interval.low, interval.high) == pytest.approx((0.0055, 0.0700), abs=1e-4)


def test_wilsons_confidence_is_kept_on_average_and_not_at_every_share_while_clopper_and_pearsons_is():
    n = 1000
    k = np.arange(n + 1)
    shares = np.append(np.linspace(1e-5, 0.01, 1000), 1.75e-4)
    covered = {}
    for ends in (wilson, clopper_pearson):
        low, high = ends(k, n)
        inside = (low <= shares[:, None]) & (shares[:, None] <= high)
        covered[ends] = np.sum(binom.pmf(k, n, shares[:, None]) * inside, axis=1)
    assert covered[wilson][-1] == pytest.approx(0.84, abs=0.005)  # as its docstring says
    assert covered[wilson].min() > 0.83
    assert covered[wilson][:-1].mean() == pytest.approx(0.95, abs=0.01)
    assert covered[clopper_pearson].min() >= 0.95


@pytest.mark.parametrize("ends", [wilson, clopper_pearson])
@pytest.mark.parametrize(("wrong", "size"), [(5, 3), (-1, 3), (0, 0), (np.nan, 3), ([1, 4], 3), (1, np.inf)])
def test_counts_that_are_none_have_no_interval(ends, wrong, size):
    with pytest.raises(ValueError, match="wrong"):
        ends(wrong, size)


def test_the_interval_over_transfer_sets_covers_the_expected_risk():
    # 300 runs at 95 %: fewer than 264 covered has probability below 1e-6 for a valid interval.
    task, rng = PolynomialTask(0.5, 30), np.random.default_rng(0)
    exact = task.learning_curve(6, 200_000, rng=rng).risk[-1]
    risks = symmetric_risk_at_cotangent(cotangents(task.tail, 30, 6, 300 * 40, rng=rng), task.tail, 30)
    heldout = rng.binomial(50, risks).reshape(300, 40) / 50
    covered = sum((i := expected_risk_interval(row)).low <= exact <= i.high for row in heldout)
    assert 264 <= covered < 300


def test_no_disagreement_seen_is_not_no_risk():
    interval = expected_risk_interval(np.zeros(100))
    assert interval.estimate == interval.low == 0
    assert 0.03 < interval.high < 0.04


@pytest.mark.parametrize(("kappa", "n"), [(1, 20), (4, 2), (4, 20), (10, 20), (0.25, 20)])
def test_the_interval_for_bounded_values_covers_however_skew_they_are(kappa, n):
    # 200 simulations of 200 exact risks, against the quadrature. At 95 % fewer than 177 cover with probability 1e-4.
    tail = PolynomialTail(float(kappa))
    exact = expected_risk(float(kappa), 1000, n).risk
    cot = cotangents(tail, 1000, n, 200 * 200, rng=np.random.default_rng(0))
    rows = symmetric_risk_at_cotangent(cot, tail, 1000).reshape(200, 200)
    found = [bounded_mean_interval(row, most=0.5) for row in rows]
    assert sum(i.low <= exact <= i.high for i in found) >= 177
    assert all(i.low <= i.estimate <= i.high for i in found)
    if kappa >= 4:  # Student's, which lies below the truth: the test can tell
        assert sum((i := expected_risk_interval(row)).low <= exact <= i.high for row in rows) < 177


def test_it_is_short_where_it_may_be_and_its_end_at_nothing_seen_is_about_clopper_and_pearsons():
    none = bounded_mean_interval(np.zeros(200))
    assert (none.estimate, none.low) == (0, 0)
    assert 0.98 * clopper_pearson(0, 200)[1] < none.high < clopper_pearson(0, 200)[1]
    every = bounded_mean_interval(np.ones(200))
    assert every.high == 1
    assert every.low > 0.95
    coins = bounded_mean_interval(np.arange(1000) % 2.0)
    assert 0.4 < coins.low < 0.5 < coins.high < 0.6
    assert coins.high - 0.5 == pytest.approx(0.5 - coins.low, abs=0.01)
    tiny = bounded_mean_interval(np.array([1e-280, 2e-280, 3e-280] * 10))
    assert 0 < tiny.low < 2e-280 < tiny.high
    with pytest.raises(ValueError, match="values must lie in"):
        bounded_mean_interval([0.2, 0.7], most=0.5)


def covered(size, differ, first):
    """Exact coverage: rows differ with probability ``differ``, and then count for the first with ``first``."""
    true, found = differ * (2 * first - 1), 0.0
    for both in range(int(binom.ppf(1 - 1e-9, size, differ)) + 1):
        for a in range(both + 1):
            interval = paired_difference(a, both - a, size)
            if interval.low - 1e-9 <= true <= interval.high + 1e-9:
                found += binom.pmf(both, size, differ) * binom.pmf(a, both, first)
    return found


@pytest.mark.parametrize(
    ("size", "differ"),
    [(200, 0.01), (200, 0.005), (50, 0.02), (1000, 0.002), (100, 0.1), (50, 0.3), (20, 0.6)],
)
def test_the_interval_for_paired_shares_covers_also_where_they_seldom_differ(size, differ):
    # No sampling: a score interval is allowed to fall short by two in a hundred at worst; Student's covers in 63 %.
    for first in (0.5, 0.8, 1.0):
        assert covered(size, differ, first) > 0.93


@pytest.mark.parametrize(
    ("first", "second", "size"), [(12, 5, 60), (3, 0, 44), (0, 9, 30), (7, 7, 20), (1, 2, 500)]
)
def test_tangos_interval_ends_where_the_restricted_likelihood_is_a_score_away(first, second, size):
    # Another route: the share that fits best under the difference, found numerically instead of by its quadratic.
    def score(difference):
        def loss(share):
            p = np.array([share + difference, share, 1 - 2 * share - difference])
            return -np.sum(xlogy([first, second, size - first - second], np.maximum(p, 1e-300)))

        ends = max(0.0, -difference), (1 - difference) / 2
        share = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-13}).x
        return (first - second - size * difference) / np.sqrt(
            size * (2 * share + difference * (1 - difference))
        )

    interval = paired_difference(first, second, size, 0.9)
    assert interval.estimate == pytest.approx((first - second) / size)
    assert [score(interval.low), score(interval.high)] == pytest.approx(
        [norm.ppf(0.95), -norm.ppf(0.95)], rel=1e-5
    )
    # And McNemar's test of no difference is the same score.
    table = [[1, first], [second, 1]]
    p = mcnemar(table, exact=False, correction=False).pvalue
    if 0 < p < 1:
        end = paired_difference(first, second, size, 1 - p)
        assert min(abs(end.low), abs(end.high)) < 1e-9


def test_pairs_that_never_differ_leave_some_doubt():
    interval = paired_difference(0, 0, 100)
    z = norm.ppf(0.975) ** 2
    assert (interval.low, interval.high) == pytest.approx((-z / (100 + z), z / (100 + z)), rel=1e-7)
    assert paired_difference(7, 0, 7).high == 1
    with pytest.raises(ValueError, match="first \\+ second = 5 rows that differ among size = 4"):
        paired_difference(3, 2, 4)


def test_one_transfer_set_has_no_spread():
    with pytest.raises(ValueError, match="single number"):
        mean_interval([0.3])
    with pytest.raises(ValueError, match="risks must lie"):
        expected_risk_interval([0.3, 1.2])


def test_equation_34_ties_count_against_a_learner():
    found = monotonicity([1.0, 1, 1, 1], [0.5, 1.5, 1.0, 0.9])
    assert (found.index, found.ties) == (0.5, 0.25)
    assert found.shrinkage == pytest.approx((0.5 - 0.5 + 0 + 0.1) / 4)
    told = monotonicity([1.0, 1, 1, 1], [0.5, 1.5, 1.0, 0.9], tied=[False, False, True, True])
    assert (told.index, told.ties) == (0.25, 0.5)


# -- tasks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [2, 3, 40])
def test_a_synthetic_task_draws_what_its_tail_says_around_its_teacher(d):
    task = PolynomialTask(1.5, d, teacher_norm=3.0)
    sample = task.sample(5000, rng=np.random.default_rng(0))
    np.testing.assert_allclose(sample.z, sample.X @ task.w_star)
    drawn = EmpiricalTail.of(sample.X, task.w_star)
    gap = np.abs(drawn(drawn.angles) - task.tail(drawn.angles)).max()
    assert gap < np.sqrt(np.log(2 / FALSE_ALARM) / 10_000) + 1e-3
    lengths = np.linalg.norm(sample.X, axis=1)
    assert kstest(lengths, "halfnorm").pvalue > FALSE_ALARM
    np.testing.assert_allclose(sample.X[:, 1:].mean(axis=0), 0, atol=0.1)


def test_a_users_sample_is_drawn_without_replacement():
    pool, w_star = np.random.default_rng(0).standard_normal((30, 4)), np.ones(4)
    task = SampleTask(pool, w_star)
    transfer, rest = task.split(12, rng=np.random.default_rng(1))
    assert len(rest.X) == 18
    both = np.concatenate([transfer.X, rest.X])
    np.testing.assert_array_equal(np.sort(both[:, 0]), np.sort(pool[:, 0]))
    np.testing.assert_allclose(transfer.z, transfer.X @ w_star)
    assert task.tail(0.0) == 1
    assert len(task.sample(30, rng=np.random.default_rng(1)).z) == 30


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: PolynomialTask(0, 5), "kappa must be > 0"),
        (lambda: PolynomialTask(1.0, 1), "d must be an integer of at least 2"),
        (lambda: MarginTask(1.6, 5), "beta must be <= 1.57"),
        (lambda: PolynomialTask(1.0, 5, teacher_norm=0), "teacher_norm"),
        (lambda: PolynomialTask(1.0, 5).sample(0, rng=np.random.default_rng()), "n must be"),
        (lambda: PolynomialTask(1.0, 5).risk([1.0, 2]), "5 weights"),
        (lambda: SampleTask(np.eye(3), np.zeros(3)), "w_star has length zero"),
        (lambda: SampleTask(np.eye(3), np.ones(3)).sample(4, rng=np.random.default_rng()), "pool has 3"),
    ],
)
def test_bad_tasks_are_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()


# -- students at chosen sizes --------------------------------------------------------------------------


def test_students_at_chosen_sizes_follow_the_law_of_the_chain_and_of_w_delta():
    tail, d, rng = PolynomialTail(1.0), 30, np.random.default_rng(3)
    cot, angles = students_at(tail, d, [1, 4, 12, 28, 30, 40], 0.5, 20_000, rng=rng)
    assert np.all(cot[1:] >= cot[:-1])  # Lemma 1 along every curve
    assert np.isinf(cot[-2:]).all()
    assert not angles[-2:].any()
    for row, n in ((1, 4), (2, 12)):
        assert ks_2samp(cot[row], cotangents(tail, d, n, 20_000, rng=rng)).pvalue > FALSE_ALARM
        other = biased_angles(tail, d, n, [0.5], 20_000, rng=rng).before[0]
        assert ks_2samp(angles[row], other).pvalue > FALSE_ALARM
    with pytest.raises(ValueError, match="increasing"):
        students_at(tail, d, [4, 4], 0.5, 10, rng=rng)


def test_delta_zero_is_distillation():
    cot, angles = students_at(PolynomialTail(2.0), 9, [2, 8], 0.0, 50, rng=np.random.default_rng(0))
    np.testing.assert_allclose(np.tan(angles), 1 / cot, rtol=1e-12)


def test_risks_too_small_for_their_squares_keep_their_table_and_their_interval():
    tail, cot = PolynomialTail(20.0), np.geomspace(1e-3, 1e15, TABLE_FROM + 1)
    risk = symmetric_risk_at_cotangent(cot, tail, 1000)
    assert risk[-1] < 1e-280
    np.testing.assert_allclose(risk[::500], symmetric_risk_at_cotangent(cot[::500], tail, 1000), rtol=1e-7)
    values = np.array([1.0, 2.0, 4.0] * 4)
    unit, small = expected_risk_interval(values / 8), expected_risk_interval(values / 8 * 2.0**-600)
    assert small.high == unit.high * 2.0**-600
    assert small.low == unit.low * 2.0**-600


def test_one_transfer_set_shows_no_spread():
    one = monotonicity([1.0], [0.5])
    assert (one.index, one.shrinkage) == (1.0, 0.5)
    assert np.isnan([one.index_stderr, one.shrinkage_stderr]).all()
    curve = learning_curve(PolynomialTail(1.0), 5, 3, 1, rng=np.random.default_rng(0))
    assert np.isnan([curve.stderr, curve.angle_stderr]).all()


def test_an_infinite_delta_is_the_direction_outside_the_span_alone_for_every_reading():
    tail = PolynomialTail(1.0)
    for delta in (np.inf, -np.inf):
        near, far = (
            biased_angles(tail, 12, 4, [d], 500, rng=np.random.default_rng(0))
            for d in (np.sign(delta) * 1e9, delta)
        )
        np.testing.assert_allclose(far.before, near.before, atol=1e-8)
        np.testing.assert_allclose(far.after, near.after, atol=1e-8)
        sizes = students_at(tail, 12, [1, 4, 20], delta, 500, rng=np.random.default_rng(1))[1]
        assert np.isfinite(sizes).all()
        assert np.all(sizes[-1] == 0)
    with pytest.raises(ValueError, match="deltas holds nan"):
        biased_angles(tail, 12, 4, [np.nan], 5, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("task", "change"),
    [(PolynomialTask(1.5, 5, 3.0), {"kappa": 0.5}), (MarginTask(1.2, 5, 3.0), {"beta": 0.7})],
)
def test_a_task_with_another_dimension_or_law_is_made_by_replace(task, change):
    wider = replace(task, d=6)
    assert (type(wider), wider.d, wider.teacher_norm, wider.tail) == (type(task), 6, 3.0, task.tail)
    assert wider != task == replace(wider, d=5)
    other = replace(task, **change)
    assert other.tail != task.tail
    assert other.tail == type(task)(*change.values(), 5).tail


def test_the_tail_of_a_pool_is_measured_once():
    X = np.random.default_rng(0).standard_normal((20, 3))
    task = SampleTask(X, np.ones(3))
    assert task.tail is task.tail
    assert replace(task, w_star=np.array([1.0, 0, 0])).tail is not task.tail
