import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import expit
from scipy.stats import binom

from limbeck import SoftLabelClassifier, plan_budget
from limbeck.budget import curve as curves
from limbeck.budget.coverage import coverage
from limbeck.budget.curve import Pilot, PilotCurve, measure
from limbeck.budget.exact import last_needed, upper_after_spanning
from limbeck.budget.forecast import Posterior, power_law, starting_levels
from limbeck.labels import from_hard, from_logits, from_probabilities
from limbeck.students import KernelSoftLabelClassifier
from limbeck.theory import EmpiricalTail, PolynomialTask, Span
from limbeck.theory.kernels import RBF

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.calibration import pilot as simulated

EXACT = SoftLabelClassifier(alpha=0, fit_intercept=False)


def gaussian(n, d, seed=0, rank=None):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    if rank is not None:
        X = X[:, :rank] @ rng.standard_normal((rank, d))
    return X, rng.standard_normal(d), rng


def curve_of(n, risk, trials=1e6):
    n, risk = np.asarray(n), np.asarray(risk)
    return PilotCurve(
        sizes=n,
        disagreement=risk,
        stderr=0 * risk,
        low=risk,
        high=risk,
        trials=np.full(len(n), trials),
        overlap=1.0,
        spread=0.0,
        orders=10,
        audit=100,
        factorised=True,
    )


# -- before any answer -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
def test_the_geometry_is_the_pools(sparse, intercept):
    X, _, rng = gaussian(60, 20, rank=7)
    seen = coverage(csr_array(X) if sparse else X, intercept=intercept, chosen=np.arange(60), rng=rng)
    X1 = np.hstack([X, np.ones((60, 1))]) if intercept else X
    unit = X1 / np.linalg.norm(X1, axis=1, keepdims=True)
    assert seen.rank == np.linalg.matrix_rank(X1)
    shares = np.linalg.svd(unit, compute_uv=False)[: seen.rank] ** 2 / 60
    assert seen.effective_rank == pytest.approx(np.exp(-np.sum(shares * np.log(shares))))
    for k, share in zip(seen.sizes, seen.residual, strict=True):
        rest = Span(unit[:k]).residual(unit)
        assert share == pytest.approx(np.mean(np.sum(rest**2, axis=1)), abs=1e-12)
    assert seen.residual[-1] == pytest.approx(0, abs=1e-9)


def test_before_any_answer_a_pilot_is_advised_and_the_rank_named():
    X, _, rng = gaussian(300, 10)
    plan = plan_budget(X, target_risk=0.01, price=0.5, student=EXACT, rng=rng)
    assert (plan.decision, plan.buy, plan.cost, plan.pilot) == ("look again", 100, 50.0, None)
    assert "10 answers at independent points are exact" in plan.reason
    assert plan.audit_needed == 299  # 0.99^299 < 0.05 < 0.99^298


# -- the curve ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("audit", [40, 25])
@pytest.mark.parametrize("intercept", [False, True])
def test_one_factorisation_an_order_gives_what_refits_give(audit, intercept, monkeypatch):
    X, w, _ = gaussian(40, 60)
    pilot = Pilot(X, from_logits(X @ w), np.arange(audit))
    student = SoftLabelClassifier(alpha=0, fit_intercept=intercept)
    fast = measure(pilot, student, orders=4, rng=np.random.default_rng(1))
    monkeypatch.setattr(curves, "_is_exact", lambda pilot, student: False)
    slow = measure(pilot, student, orders=4, rng=np.random.default_rng(1))
    assert fast.factorised
    assert not slow.factorised
    np.testing.assert_array_equal(fast.disagreement, slow.disagreement)
    np.testing.assert_array_equal(fast.sizes, slow.sizes)


def test_the_curve_measures_only_on_audit_rows_not_learned_from(monkeypatch):
    X, w, rng = gaussian(30, 5)
    pilot, seen = Pilot(X, from_logits(X @ w), np.arange(10)), []
    monkeypatch.setattr(curves, "_prefixes", lambda p, s, rows, held, n: seen.append((rows, held)) or curves._refits(
        p, s, rows, held, n))  # fmt: skip
    measure(pilot, EXACT, orders=3, rng=rng)
    for rows, held in seen:
        assert set(held) == set(range(10))
        assert set(rows) == set(range(10, 30))


def test_its_standard_error_is_the_spread_over_pilots():
    # 60 pilots of one task: the mean of the squared standard errors against the variance of the means, at half
    # size. Both within a factor of two; a chi-square of 59 leaves that range with probability below 1e-6.
    task, means, errors = PolynomialTask(0.5, 100), [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        sample = task.sample(120, rng=rng)
        found = measure(
            Pilot(sample.X, from_logits(sample.z), np.arange(80)), EXACT, orders=10, rng=rng, sizes=4
        )
        means.append(found.disagreement[2])
        errors.append(found.stderr[2])
    ratio = np.mean(np.square(errors)) / np.var(means)
    assert 0.5 < ratio < 2


@pytest.mark.parametrize(("kappa", "d", "n", "audit"), [(0.5, 100, 120, 80), (1.0, 30, 30, 30)])
def test_its_interval_covers_the_mean_risk_and_has_some_width_where_no_error_was_seen(kappa, d, n, audit):
    # 150 pilots of one task, four sizes each: an interval that covers in 95 % covers fewer than 134 times with
    # probability 6e-4 a size, 5e-3 in all; these cover more often. The truth is simulated, 20,000 transfer sets.
    task, ends, means = PolynomialTask(kappa, d), [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        sample = task.sample(n, rng=rng)
        pilot = Pilot(sample.X, from_logits(sample.z), np.arange(audit))
        found = measure(pilot, EXACT, orders=10, rng=rng, sizes=4)
        ends.append(found.interval())
        means.append(found.disagreement)
    truth = task.learning_curve(found.sizes[-1], 20_000, rng=np.random.default_rng(1)).risk[found.sizes - 1]
    low, high = np.moveaxis(np.array(ends), 1, 0)
    assert np.all(np.sum((low <= truth) & (truth <= high), axis=0) >= 134)
    none = np.array(means) == 0
    assert none.any()
    assert high[none].min() > 1 - 0.025 ** (1 / audit) - 1e-12
    assert not low[none].any()


# -- the forecast ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "exponent", "floor"), [(10.0, 0.7, 0.0), (3.0, 1.2, 0.0), (10.0, 0.8, 0.05)]
)
def test_a_curve_of_its_own_form_is_carried_on(scale, exponent, floor):
    def risk(n):
        return floor + (0.5 - floor) * (1 + n / scale) ** -exponent

    n = np.array([4, 8, 16, 32, 64, 128])
    posterior = Posterior.of(curve_of(n, risk(n), trials=400))
    median, low, high = posterior.band(np.array([128, 1000]), 0.99)
    for i, m in enumerate((128, 1000)):
        assert low[i] <= risk(m) <= high[i]
        assert low[i] < median[i] < high[i]


def test_more_answers_never_make_the_target_less_likely_and_the_smallest_is_the_smallest():
    n = np.array([4, 10, 30, 90])
    posterior = Posterior.of(replace(curve_of(n, [0.4, 0.3, 0.2, 0.12], 80), spread=0.3))
    met = [posterior.met(k, 0.1) for k in (10, 90, 200, 1000, 10_000)]
    assert np.all(np.diff(met) >= 0)
    m = posterior.smallest(0.1, 0.7, 10**6)
    assert posterior.met(m, 0.1) >= 0.7 > posterior.met(m - 1, 0.1)
    assert posterior.smallest(0.1, 0.7, m - 1) is None


def test_where_one_class_is_rare_a_curve_may_stay_at_always_the_other_before_it_falls():
    """Six in a hundred are of the rare class; the student decides for none of them until some hundred answers."""
    n = np.array([20, 40, 80, 160, 320])
    flat = curve_of(n, [0.06, 0.06, 0.06, 0.058, 0.052], 1000)
    from_half = Posterior.of(flat, "not linear").met(5000, 0.04)
    from_rare = Posterior.of(flat, "not linear", (0.06, 0.5)).met(5000, 0.04)
    assert from_half < 0.05 < 0.2 < from_rare
    few = from_hard(np.array([0] * 94 + [1] * 6), 2)
    assert starting_levels(few) == pytest.approx((6.5 / 101, 0.5))
    assert starting_levels(few[np.arange(90)]) == pytest.approx((0.5 / 91, 0.5))
    assert starting_levels(from_hard(np.arange(60) % 3, 3)) == pytest.approx((40.5 / 61, 2 / 3))


def test_only_a_linear_teacher_has_surely_no_floor():
    pilot = curve_of([4, 10, 30, 90], [0.4, 0.3, 0.2, 0.12], 80)
    met = [Posterior.of(pilot, v).met(10**5, 0.02) for v in ("linear", "cannot tell yet", "not linear")]
    assert met[0] > met[1] > met[2]


def test_the_power_law_is_the_line_through_the_logarithms():
    n = np.array([10, 20, 40, 80])
    assert power_law(curve_of(n, n**-0.5), 0.01, 10**6) == pytest.approx(10_000, abs=1)
    assert power_law(curve_of(n, n**-0.5), 0.01, 9_000) is None
    assert power_law(curve_of(n, 0.3 + 0 * n), 0.01, 10**6) is None


# -- the plan ----------------------------------------------------------------------------------------------------


def test_a_linear_teacher_beyond_the_rank_means_stop_and_theorem_3_may_speak():
    X, w, rng = gaussian(500, 12)
    plan = plan_budget(X, X[:60] @ w, target_risk=0.07, student=EXACT, rng=rng)
    assert plan.decision == "stop"
    assert plan.pilot.linearity.verdict == "linear"
    assert plan.pilot.exact.surplus == 48
    assert plan.pilot.exact.otherwise == pytest.approx(1 - 0.05 ** (1 / 48))
    assert 1 < plan.pilot.exact.enough <= 12
    assert "is the teacher" in plan.reason


def kinked(seed, answers, kink, above):
    """A teacher that is linear but for a jump beyond ``above`` in its first feature, and random answers."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((2000, 11))
    z = X @ rng.standard_normal(11) + kink * (X[:, 0] > above)
    return X, z, rng.permutation(2000)[:answers], rng


@pytest.mark.parametrize(
    ("answers", "above", "target"), [(13, 1.28, 0.02), (14, 1.645, 0.01), (60, 1.96, 0.01)]
)
def test_answers_that_agree_with_a_linear_teacher_end_nothing_before_they_show_the_target(
    answers, above, target
):
    # The jump is on 10, 5 and 2.5 % of points: so few answers often show none of it, and all of these were told to
    # stop, with a risk above the target. None agrees for as long as the target takes.
    clean = 0
    for seed in range(8):
        X, z, rows, rng = kinked(seed, answers, 20, above)
        plan = plan_budget(X, z[rows], rows=rows, target_risk=target, orders=3, rng=rng)
        assert plan.decision == "look again"
        exact = plan.pilot.exact
        if exact is not None:
            clean += 1
            assert exact.otherwise > target
            assert plan.buy == plan.audit_needed - exact.held_out
            assert f"up to {exact.otherwise:.2%} of points could still be otherwise" in plan.reason
    assert clean > 0


def test_a_linear_teacher_is_stopped_at_as_soon_as_the_bound_is_within_the_target_or_nothing_is_left():
    X, w, rng = gaussian(500, 12)
    before = plan_budget(X, X[:60] @ w, target_risk=0.02, student=EXACT, rng=rng)
    assert before.decision == "look again"
    n = 60 + before.buy
    after = plan_budget(X, X[:n] @ w, target_risk=0.02, student=EXACT, rng=rng)
    assert (after.decision, after.pilot.exact.otherwise <= 0.02) == ("stop", True)
    less = plan_budget(X, X[: n - 1] @ w, target_risk=0.02, student=EXACT, rng=rng)
    assert (less.decision, less.buy) == ("look again", 1)
    few = X[:80]  # not so many as the bound takes, and every one is known
    bought = plan_budget(few, few[:70] @ w, target_risk=0.02, student=EXACT, rng=rng)
    assert (bought.decision, bought.buy) == ("look again", 10)
    whole = plan_budget(few, few @ w, target_risk=0.02, student=EXACT, rng=rng)
    assert whole.decision == "stop"
    assert whole.reason.startswith("All 80 points of the pool are answered")


def test_a_linear_teacher_with_rounded_answers_is_not_called_unreachable_for_want_of_answers():
    X, w, rng = gaussian(4000, 5)
    p = np.round(expit(0.3 * X @ w), 4)
    student = SoftLabelClassifier()
    plan = plan_budget(X, from_probabilities(p[:40]), target_risk=1e-4, student=student, orders=4, rng=rng)
    assert plan.pilot.linearity.verdict == "linear"
    assert plan.pilot.exact is None
    assert plan.decision == "look again"


@pytest.mark.parametrize(
    ("student", "said"),
    [
        (SoftLabelClassifier(alpha=1.0), "the student's ridge is 1, not 0"),
        (SoftLabelClassifier(stop_time=1.0), "stopped at time 1"),
        (KernelSoftLabelClassifier(RBF(0.05)), "KernelSoftLabelClassifier is not linear"),
        (KernelSoftLabelClassifier(RBF(0.05), alpha=0), "KernelSoftLabelClassifier is not linear"),
    ],
    ids=["ridge", "stopped", "kernel", "exact kernel"],
)
def test_a_linear_teacher_promises_nothing_of_a_ridge_a_stop_or_a_kernel(student, said):
    # A ridge of 1 leaves a risk of .1 on this pool; it was told to stop as "is the teacher".
    X, w, rng = gaussian(2000, 20)
    z = X @ (w * np.where(np.arange(20), 0.3, 5.0))
    plan = plan_budget(X, z[:100], target_risk=0.01, student=student, orders=4, rng=rng)
    assert plan.decision != "stop"
    assert plan.pilot.linearity.verdict == "linear"
    assert plan.pilot.exact is None
    assert said in plan.pilot.inexact
    starts = starting_levels(from_logits(z[:100]))
    biased = Posterior.of(plan.pilot.curve, "linear", starts, unbiased=False)
    assert plan.pilot.forecast.reached == biased.met(2000, 0.01)
    assert "for the linear student of alpha = 0, which this one is not" in plan_budget(
        X, target_risk=0.01, student=student, rng=rng
    ).reason  # fmt: skip
    chosen = plan_budget(X, z[:100], target_risk=0.04, rng=rng)  # leave-one-out chooses 0
    assert (chosen.decision, chosen.pilot.inexact) == ("stop", "")


def test_a_fixed_ridge_leaves_a_floor_possible_even_under_a_linear_teacher():
    pilot = curve_of([4, 10, 30, 90], [0.4, 0.3, 0.2, 0.12], 80)
    met = [
        Posterior.of(pilot, verdict, unbiased=free).met(10**5, 0.02)
        for verdict, free in (
            ("linear", True),
            ("linear", False),
            ("not linear", True),
            ("not linear", False),
        )
    ]
    assert met[0] > met[1] > met[2] == met[3]


def categories(n, K, rng):
    """One-hot rows of two features whose categories follow Zipf's law."""
    p = 1 / np.arange(1, K + 1) ** 1.1
    return np.hstack([np.eye(K)[rng.choice(K, n, p=p / p.sum())] for _ in range(2)])


@pytest.mark.parametrize("sparse", [False, True])
def test_answers_that_do_not_span_the_pool_promise_nothing_of_the_rest(sparse):
    # The teacher is linear, and errs nowhere among the answers; the student errs on 12 % of the pool.
    rng = np.random.default_rng(0)
    X = categories(3000, 250, rng)
    w = rng.standard_normal(500)
    pool = csr_array(X) if sparse else X
    plan = plan_budget(pool, X[:150] @ w, target_risk=0.01, student=EXACT, orders=4, rng=rng)
    assert plan.pilot.linearity.verdict == "linear"
    assert plan.decision != "stop"
    assert plan.pilot.exact is None
    assert f"span {plan.pilot.linearity.rank} of the pool's {plan.coverage.rank}" in plan.pilot.inexact
    student = SoftLabelClassifier(0, fit_intercept=False).fit(X[:150], teacher_logits=X[:150] @ w)
    assert np.mean(student.predict(X) != (X @ w >= 0)) > 0.08


@pytest.mark.parametrize("sparse", [False, True])
def test_sparse_answers_that_span_their_pool_promise_what_dense_ones_do(sparse):
    rng = np.random.default_rng(0)
    X = categories(600, 4, rng)
    pool = csr_array(X) if sparse else X
    plan = plan_budget(
        pool, X[:90] @ rng.standard_normal(8), target_risk=0.1, student=EXACT, orders=4, rng=rng
    )
    assert plan.decision == "stop"
    assert plan.pilot.exact.surplus == len(np.unique(X[:90], axis=0)) - 7
    assert plan.pilot.exact.otherwise == pytest.approx(1 - 0.05 ** (1 / plan.pilot.exact.held_out))
    assert plan.pilot.exact.held_out > plan.pilot.exact.surplus  # repeated points are draws, and test nothing


def test_repeated_rows_show_no_linear_teacher():
    base, _, rng = gaussian(60, 200)
    X = base[rng.integers(60, size=2000)]
    z = np.sin(3 * X[:, 0]) + X[:, 1] * X[:, 2]
    plan = plan_budget(X, z[:100], target_risk=0.01, student=EXACT, rng=rng)
    assert plan.pilot.linearity.verdict == "cannot tell yet"
    assert plan.pilot.exact is None


def test_saturated_answers_dropped_by_the_student_are_not_dropped_by_the_verdict():
    # Linear within |z| <= 1, a hard sine beyond: 46 % of answers. The student of the rest errs on 23 % of points.
    X, w, rng = gaussian(4000, 5)
    z = 1.4 * X @ w / np.linalg.norm(w)
    student = SoftLabelClassifier(0, fit_intercept=False, saturated="drop")
    for far, said in ((np.sin(4 * X[:, 0]) > 0, "not linear"), (z > 0, "linear")):
        p = np.where(np.abs(z) <= 1, expit(z), far.astype(float))
        plan = plan_budget(
            X, from_probabilities(p[:900]), target_risk=0.05, student=student, orders=4, rng=rng
        )
        assert plan.pilot.linearity.verdict == said
        assert plan.pilot.exact is None
    assert "answers are saturated" in plan.pilot.inexact


def test_answers_chosen_besides_count_towards_the_span_and_must_agree():
    X, w, rng = gaussian(500, 12)
    z = X @ w
    plan = plan_budget(X, z[:60], audit=np.arange(20, 60), target_risk=0.08, student=EXACT, rng=rng)
    assert (plan.decision, plan.pilot.exact.held_out) == ("stop", 40)
    z[:20] += np.sin(3 * X[:20, 0])
    plan = plan_budget(X, z[:60], audit=np.arange(20, 60), target_risk=0.05, student=EXACT, rng=rng)
    assert plan.pilot.linearity.verdict == "linear"
    assert plan.pilot.inexact == "the verdict on all answers together is: not linear"


@pytest.mark.parametrize("teacher", ["noise", "sine", "rare"])
def test_the_bound_that_assumes_nothing_holds_as_often_as_it_says(teacher):
    # 95 % nominal, 600 pilots: more than 50 failures have probability 2e-4 if it is. Judged by the whole pool, whose
    # rows repeat, and of which few are learned from.
    rng = np.random.default_rng(5)
    base = rng.standard_normal((300, 5))
    X = base[rng.integers(300, size=6000) // (1 + 2 * rng.integers(2, size=6000))]
    w = rng.standard_normal(5)
    z = {
        "noise": rng.choice([-1.0, 1.0], 6000),
        "sine": X @ w + 2 * np.sin(3 * X[:, 0]),
        "rare": np.where(X[:, 0] > 1.5, -1, 1) * (X @ w),
    }[teacher]
    truth, failed = (z >= 0).astype(int), 0
    for _ in range(600):
        rows = rng.choice(6000, 40, replace=False)
        pilot = Pilot(X[rows], from_logits(z[rows]), np.arange(40))
        order, used = last_needed(pilot, False, 5, rng)
        w_hat = Span(X[rows[order[:used]]]).weights(z[rows[order[:used]]])
        risk = np.mean((X @ w_hat >= 0) != truth)
        failed += upper_after_spanning(pilot, False, order, used, 0.95) < risk
    assert binom.sf(50, 600, 0.05) < 3e-4
    assert failed <= 50


def test_the_point_from_which_answers_are_held_out_is_seen_without_looking_ahead():
    rng = np.random.default_rng(1)
    X = categories(400, 6, rng)
    pilot = Pilot(X[:60], from_logits(X[:60] @ rng.standard_normal(12)), np.arange(60))
    rank = np.linalg.matrix_rank(X[:60])
    order, used = last_needed(pilot, False, rank, rng)
    assert np.linalg.matrix_rank(X[order[:used]]) == rank > np.linalg.matrix_rank(X[order[: used - 1]])
    assert sorted(order) == list(range(60)) != order.tolist()
    # Rows that no later one adds to are not enough: the pool has directions the sample has not.
    assert last_needed(pilot, False, rank + 1, rng) is None


@pytest.mark.parametrize("intercept", [False, True])
def test_angles_at_the_teachers_own_norm_are_the_teachers(intercept):
    X, w, rng = gaussian(400, 6)
    z = X @ w + (0.7 if intercept else 0.0)
    student = SoftLabelClassifier(alpha=0, fit_intercept=intercept)
    plan = plan_budget(X, z[:80], target_risk=0.05, student=student, rng=rng)
    first = plan.pilot.tails[0]
    X1, w1 = (np.hstack([X, np.ones((400, 1))]), np.append(w, 0.7)) if intercept else (X, w)
    assert first.norm_bound == pytest.approx(np.linalg.norm(w1))
    np.testing.assert_allclose(first.tail.angles, EmpiricalTail.of(X1[:80], w1).angles, atol=1e-6)
    assert first.band == pytest.approx(np.sqrt(np.log(20) / 160))
    angles = [t.tail.angles.mean() for t in plan.pilot.tails]
    assert angles == sorted(angles)


def test_a_floor_above_the_target_is_called_unreachable():
    X, w, rng = gaussian(1500, 5)
    z = X @ w / np.linalg.norm(w) + 1.5 * rng.standard_normal(1500)
    plan = plan_budget(X, z[:800], target_risk=0.02, student=SoftLabelClassifier(1e-3), orders=4, rng=rng)
    assert (plan.decision, plan.buy, plan.verdict) == ("not reachable", 0, "not reachable with this student")
    assert plan.pilot.linearity.verdict == "not linear"
    assert plan.pilot.exact is None


@pytest.mark.parametrize(("target", "decision"), [(0.12, "used up"), (0.02, "not reachable"), (0.3, "stop")])
def test_a_pool_that_is_used_up_rules_out_no_target_that_its_student_may_meet(target, decision):
    # The noise leaves a floor of .083: the student of all 300 answers meets .12, and they cannot show it at 95 %.
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 5))
    z = X @ np.ones(5) + 0.6 * rng.standard_normal(300)
    plan = plan_budget(X, z, target_risk=target, orders=10, rng=rng)
    assert (plan.decision, plan.buy) == (decision, 0)
    reached = plan.pilot.forecast.reached
    assert {"used up": 0.05 < reached < 0.95, "not reachable": reached <= 0.05, "stop": reached >= 0.95}[
        decision
    ]
    if decision == "used up":
        assert f"{reached:.2f}" in plan.reason


def test_below_the_rank_nothing_is_called_unreachable_that_a_linear_teacher_would_reach():
    X, w, rng = gaussian(900, 300)
    plan = plan_budget(X, X[:60] @ w, target_risk=0.001, student=EXACT, rng=rng)
    assert plan.pilot.linearity.verdict == "cannot tell yet"
    assert plan.decision == "look again"
    assert plan.buy > 0


def test_a_target_that_a_constant_meets_needs_no_student():
    X, w, rng = gaussian(600, 4)
    z = X[:300] @ w + 2 * np.linalg.norm(w)
    plan = plan_budget(X, z, target_risk=0.2, student=SoftLabelClassifier(0), rng=rng)
    assert plan.decision == "stop"
    assert "commonest class" in plan.reason


def test_answers_of_three_classes_saturated_ones_and_sparse_points_are_planned_with():
    X, _, rng = gaussian(300, 5)
    F = X @ rng.standard_normal((5, 3))
    P = np.exp(4 * F) / np.exp(4 * F).sum(axis=1, keepdims=True)
    for points, labels in (
        (X, from_probabilities(P[:60])),
        (X, from_probabilities((P[:60, 0] > 0.5).astype(float))),
        (csr_array(X), from_probabilities(expit(X[:60, 0]))),
    ):
        plan = plan_budget(
            points, labels, target_risk=0.1, student=SoftLabelClassifier(0.01), orders=3, rng=rng
        )
        assert plan.decision in ("stop", "buy", "look again", "used up", "not reachable")
        assert 0 <= plan.pilot.curve.disagreement[-1] < 0.5


def test_the_price_is_of_what_is_bought_now():
    X, w, rng = gaussian(400, 100)
    plan = plan_budget(X, X[:40] @ w, target_risk=0.1, price=0.25, student=EXACT, rng=rng)
    assert plan.buy > 0
    assert plan.cost == 0.25 * plan.buy


@pytest.mark.parametrize("columns", [1, 2])
def test_probabilities_taken_for_logits_would_plan_for_a_teacher_of_one_class_and_are_refused(columns):
    X, w, rng = gaussian(400, 20)
    p = 1 / (1 + np.exp(-X[:60] @ w))
    given = p if columns == 1 else np.column_stack([1 - p, p])
    with pytest.raises(ValueError, match=r"all of these lie in \[0, 1\].*\.from_probabilities\(answers\)"):
        plan_budget(X, given, target_risk=0.1, rng=rng)
    said = [plan_budget(X, from_(a), target_risk=0.1, rng=np.random.default_rng(0)).verdict
            for from_, a in ((from_probabilities, given), (from_logits, X[:60] @ w))]  # fmt: skip
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target_risk": 0.0}, "target_risk must be > 0"),
        ({"target_risk": 1.5}, "target_risk must be < 1"),
        ({"confidence": 1.0}, "confidence must be < 1"),
        ({"price": 0.0}, "price must be > 0"),
        ({"rows": np.arange(19)}, "rows names 19 rows and there are 20 answers"),
        ({"rows": np.zeros(20, dtype=int)}, "rows names row 0 more than once"),
        ({"rows": np.arange(20) + 90}, "row numbers from 0 to 99"),
        ({"audit": np.array([50])}, "audit names row 50, which has no answer"),
        ({"audit": np.arange(5)}, "fewer than 12"),
        ({"answers": np.full(20, np.nan)}, "is not a number"),
        ({"answers": np.ones(5)}, "fewer than 12"),
    ],
)
def test_bad_input_is_refused(change, said):
    X, w, rng = gaussian(100, 5)
    given = {"answers": X[:20] @ w, "target_risk": 0.1, "student": EXACT, "rng": rng, **change}
    with pytest.raises(ValueError, match=said):
        plan_budget(X, given.pop("answers"), **given)


def test_promises_are_kept():
    # docs/calibration.md in small: 15 pilots of polynomial tasks. If a promise is kept with probability 0.95, three or
    # more of at most 15 are broken with probability below 0.04, however many are promised; the seeds are fixed.
    records = [simulated("polynomial", number) for number in range(15)]
    promised = [r for r in records if r["n"] is not None]
    broken = sum(r["risk"] > r["target"] for r in promised)
    assert len(promised) >= 4
    assert broken <= 2
    assert not any(r["decision"] == "not reachable" and r["best"] <= r["target"] for r in records)
