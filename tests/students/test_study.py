"""Curves and comparisons of `limbeck distill --report`: what they may claim, and in which metric."""

import numpy as np
import pytest

from limbeck.data.answers import Answers
from limbeck.labels import from_logits
from limbeck.pages.distill import preferred
from limbeck.students.study import Curve, Recipe, curve_count, distil, metric, study, taught


def said(z):
    return Answers("logit", z, from_logits(z), ("a", "b"))


def studied(X, z, held, recipe, *, pool=None, repeats=10, seed=0):
    T, truth = X[-held:], said(z[-held:])
    X, answers = X[:-held], said(z[:-held])
    made = distil(X, answers, recipe, pool=pool)
    rng = np.random.default_rng(seed)
    return made, study(X, answers, T, truth, made, recipe, pool=pool, repeats=repeats, rng=rng)


def decaying(n, d, seed):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) * np.arange(1, d + 1) ** -1.0, rng.standard_normal(d), rng


def test_a_flat_curve_is_seldom_called_falling_and_a_falling_one_is(monkeypatch):
    # 120 worlds whose disagreement is noise from a handful of answers on. Two standard errors: at most 2.3 % are to be
    # called falling; 10 or more of 120 have probability 5e-4. By the spread over orders alone it is some 17 %.
    monkeypatch.setattr(
        "limbeck.students.study._variants", lambda answers, recipe, sparse: {"soft": (answers, recipe)}
    )
    monkeypatch.setattr("limbeck.students.study.SIZES", 3)
    called, naive = 0, 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((300, 3))
        z = X @ rng.standard_normal(3) + 2 * rng.standard_normal(300)
        curve = studied(X, z, 60, Recipe(alpha=0.01), seed=seed)[1].curves["soft"]
        fall, stderr = curve.last_fall()
        called += fall > 2 * stderr
        paired = curve.risks[-2] - curve.risks[-1]
        naive += paired.mean() > 2 * paired.std(ddof=1) / np.sqrt(len(paired))
        assert fall == pytest.approx(paired.mean(), abs=1e-12)
    assert called < 10
    assert naive > 12
    X, w, _ = decaying(160, 60, 0)
    fall, stderr = (
        studied(X, X @ (w * np.arange(1, 61)), 100, Recipe(alpha=0.001))[1].curves["soft"].last_fall()
    )
    assert fall > 2 * stderr


def test_metrics_that_are_the_same_are_seldom_told_apart(monkeypatch):
    # Random teachers: no metric helps. Of 60 worlds, 2.3 % at one given size; two sizes in a row are rarer, 6 or more
    # have probability below 1e-3 even at 2.3 %.
    monkeypatch.setattr("limbeck.students.study.SIZES", 3)
    found = 0
    for seed in range(60):
        X, _, rng = decaying(120, 4, seed)
        curves = studied(X, rng.standard_normal(120), 40, Recipe(alpha=0.1), seed=seed, repeats=6)[1].curves
        gap, stderr = curves["sharpen"].below(curves["soft"])
        clear = gap > 2 * stderr
        found += bool(np.any(clear[1:] & clear[:-1]))
    assert found < 6


def test_curves_are_drawn_in_metrics_learned_once_from_every_row_that_is_not_held_out():
    pool, w, _ = decaying(400, 30, 1)
    X, recipe = pool[:60], Recipe(alpha=0, fit_intercept=False)
    z = X @ (w * np.arange(1, 31) ** -1.0)
    made, found = studied(X, z, 40, recipe, pool=pool[:20])
    sharp, plain = found.curves["sharpen"], found.curves["soft"]
    # From the rows of each size alone the two are one student; see `distil`.
    assert np.any(sharp.risk != plain.risk)
    assert sharp.risk.mean() < plain.risk.mean()
    # What is shipped is the end of the curve, in its metric, whatever rows that was learned from.
    for rows in (None, pool):
        shipped, drawn = studied(X, z, 40, Recipe(alpha=0, fit_intercept=False, scale="sharpen"), pool=rows)
        wrong = np.mean(shipped.predict_codes(X[-40:]) != said(z[-40:]).decisions)
        np.testing.assert_array_equal(drawn.curves["soft"].risks[-1], wrong)
    assert made.scaling.kind == "none"


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("extra", [0, 60])
def test_a_metric_from_the_answered_rows_alone_is_known_to_change_nothing(intercept, extra):
    pool, w, _ = decaying(12 + extra, 30, 2)
    X, recipe = pool[:12], Recipe(alpha=0, fit_intercept=intercept, scale="sharpen")
    made = distil(X, said(X @ w), recipe, pool=pool)
    plain = taught(X, said(X @ w), recipe, metric(X, "none", intercept=recipe.fit_intercept))
    same = np.allclose(made.student().coef_, plain.student().coef_, rtol=1e-8, atol=1e-10)
    assert made.idle is same is (not intercept and not extra)


def test_the_gain_has_some_width_where_both_decide_alike():
    X, w, _ = decaying(120, 3, 3)
    gain = studied(X, X @ w, 40, Recipe())[1].agreement.gain
    assert gain is not None
    assert gain.low <= gain.estimate <= gain.high
    assert gain.high - gain.low > 0.05


def test_every_student_of_every_curve_is_counted():
    rng = np.random.default_rng(2)
    X = rng.standard_normal((140, 10))
    z = X @ rng.standard_normal((10, 3)) + 2 * rng.standard_normal((140, 3))
    answers, counted = Answers("logit", z, from_logits(z), ("a", "b", "c")), []
    made = distil(X[:100], answers[:100], Recipe())
    study(
        X[:100], answers[:100], X[100:], answers[100:], made, Recipe(),
        repeats=2, rng=rng, advance=lambda: counted.append(0),
    )  # fmt: skip
    assert len(counted) == curve_count(answers[:100], Recipe(), False, 2)


def curve_of(name, wrong):
    """A curve of four orders that all decide alike, at the sizes 10, 20 and 40."""
    risk = wrong.mean(axis=1)
    risks = np.repeat(risk[:, None], 4, axis=1)
    return Curve(name, np.array([10, 20, 40]), risk, risk, risk, risks, wrong)


def test_the_scaling_advised_is_better_with_the_answers_at_hand_and_advice_does_not_turn_round():
    wrong = np.zeros((3, 200))
    few, all_, never = wrong.copy(), wrong.copy(), wrong.copy()
    few[2, :40] = 1  # errs with all answers
    all_[:2, :40] = 1  # errs with fewer
    never[:, :60] = 1
    curves = {name: curve_of(name, w) for name, w in (("few", few), ("all", all_), ("never", never))}

    def others(used):
        return {name: c for name, c in curves.items() if name != used}

    assert preferred(curves["all"], others("all")) == ([], ["few"])
    assert preferred(curves["few"], others("few")) == (["all"], [])
    assert preferred(curves["never"], others("never")) == (["all", "few"], [])
    for one in curves:
        for two in others(one):
            both = (
                preferred(curves[one], {two: curves[two]})[0]
                and preferred(curves[two], {one: curves[one]})[0]
            )
            assert not both
