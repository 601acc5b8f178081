import json
from dataclasses import replace

import numpy as np
import plotly.graph_objects
import pytest

from limbeck.explore.figures import draw
from limbeck.explore.panels import compute
from limbeck.explore.view import PARAMETERS, View
from limbeck.explore.words import TITLES, exactly, numbers, sentence
from limbeck.theory import PolynomialTask, expected_risk, polynomial_bound, transfer_risk_bound

CORNERS = [
    View(law=law, **{p.name: getattr(p, end) for p in PARAMETERS.values()} | {"depth": depth, "n": n})
    for law in ("polynomial", "margin")
    for end in ("low", "high")
    for depth, n in ((1, 1), (10, 1000))
]


def test_the_curve_is_the_exact_expected_risk_up_to_its_stated_error():
    risk = compute(View(kappa=1.0, d=30, n=5)).risk
    exact = expected_risk(1.0, 30, 5).risk
    assert risk.n[risk.at] == 5
    # 4 standard errors: wrong less often than 1e-4; the seed is fixed.
    assert abs(risk.risk[risk.at] - exact) < 4 * risk.stderr[risk.at]
    assert risk.low[risk.at] < exact < risk.high[risk.at]


@pytest.mark.parametrize(("kappa", "n"), [(4.0, 2), (10.0, 20)])
def test_the_interval_holds_where_the_mean_hangs_on_sets_that_are_not_among_those_simulated(kappa, n):
    # 20 seeds; Student's interval held the expected risk for 75 and 40 %. 16 or fewer of 20 at 95 %: 1.6 %.
    exact, held = expected_risk(kappa, 1000, n).risk, 0
    for seed in range(20):
        risk = compute(View(kappa=kappa, d=1000, n=n, seed=seed)).risk
        held += risk.low[risk.at] <= exact <= risk.high[risk.at]
        assert np.all(risk.high <= risk.tight)
    assert held > 16


def test_the_panels_are_readings_of_the_theory():
    view = View(kappa=0.5, d=100, n=12)
    panels, tail = compute(view), PolynomialTask(0.5, 100).tail
    at = panels.risk.at
    assert panels.risk.bound[at] == transfer_risk_bound(tail, 12, d=100)
    assert panels.tail.outside + panels.tail.missed**12 == pytest.approx(panels.risk.bound[at], rel=1e-12)
    assert panels.risk.corollary[at] == polynomial_bound(12, 0.5)
    assert panels.geometry.mass.sum() == pytest.approx(1.0, rel=1e-14)
    assert np.all(panels.risk.tight <= panels.risk.bound + 1e-15)
    assert panels.deep.leak <= panels.deep.radius
    # Exact answers: w(inf) and w_hat both say what the teacher says of the point.
    for w in (panels.deep.limit, panels.deep.student):
        assert w @ panels.deep.point == pytest.approx(panels.deep.teacher @ panels.deep.point, rel=1e-9)


def test_the_most_weakly_aligned_task_has_its_panels():
    risk = compute(View(kappa=PARAMETERS["kappa"].low)).risk
    assert np.all(risk.high <= 0.5)
    assert np.all(risk.low <= risk.risk)


def test_delta_zero_is_distillation_and_from_n_equal_d_nothing_is_left_to_learn():
    same = compute(View(delta=0.0, n=7))
    np.testing.assert_allclose(same.risk.biased, same.risk.risk, rtol=1e-6)
    full = compute(View(d=6, n=6))
    assert (
        full.risk.risk[full.risk.at] == full.risk.biased[full.risk.at] == full.risk.bound[full.risk.at] == 0
    )
    assert full.geometry.student.max() == 0
    assert np.isnan(full.tail.beta)


def test_the_same_view_gives_the_same_numbers_and_another_seed_others():
    first, again, other = (compute(v).risk.risk for v in (View(), View(), View(seed=1)))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


@pytest.mark.parametrize("view", CORNERS, ids=lambda v: v.to_query())
def test_at_the_ends_of_every_range_the_figures_are_valid_and_everything_is_said(view):
    panels = compute(view)
    for figure in draw(view, panels).values():
        plotly.graph_objects.Figure(figure)  # refuses a property Plotly does not have
        json.dumps(figure, allow_nan=False)
    assert np.all(panels.risk.tight >= panels.risk.low)  # a bound that the sampled risk would refute
    for panel in TITLES:
        columns = panels.columns(panel)
        assert columns.rows
        assert all(len(row) == len(columns.names) for row in columns.rows)
        json.dumps(columns.rows, allow_nan=False)
        assert "nan" not in sentence(panel, view, panels)
    assert all(value and "nan" not in value for _, value, _ in numbers(view, panels))


def test_the_risk_without_sampling_is_given_where_there_is_one_and_refused_with_the_reason():
    assert exactly(View(d=30, n=5)).startswith(
        f"E[R] = {expected_risk(1.0, 30, 5).risk:.6g}, without sampling"
    )
    assert exactly(View(d=30, n=30)).startswith("E[R] = 0,")
    assert "margin law is simulated" in exactly(View(law="margin"))
    assert "beyond n = 60" in exactly(View(n=61))
    assert "near n = d" in exactly(View(d=30, n=25))


def test_the_table_says_how_each_number_is_known():
    view = View(n=4)
    how = {what: known for what, _, known in numbers(view, compute(view))}
    assert how["Expected risk, n = 4"] == "mean ± standard error, 200 transfer sets, seed 0"
    assert how["Theorem 3"].startswith("upper bound")
    wide = replace(view, start=5.0)
    assert {w: v for w, v, _ in numbers(wide, compute(wide))}["Theorem 2's radius"].startswith("none")
