import numpy as np
import pytest

from limbeck.budget import SpanSelection, geometry
from limbeck.displays import selection as displays
from limbeck.displays.tail import TailDisplay
from limbeck.theory import Span, disagreement, disagreement_probability
from limbeck.theory.scaling import KINDS, Scaling


def decaying(n, d, rng, power=1.0):
    return rng.standard_normal((n, d)) * np.arange(1, d + 1) ** -power


def test_the_curves_are_the_theorys_at_every_budget():
    rng = np.random.default_rng(0)
    X, w = decaying(150, 12, rng), rng.standard_normal(12)
    found = geometry(X, direction=w, budgets=[1, 4, 9], rng=rng)
    assert (found.n, found.d, found.used, found.rank) == (150, 12, 150, 12)
    given = found.scalings[0]
    order = SpanSelection().query(X, 9)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    for j, k in enumerate(found.budgets):
        span = Span(X[order[:k]])
        assert given.energy_selected[j] == pytest.approx(np.square(span.residual(unit)).sum() / 150)
        assert given.expected_selected[j] == pytest.approx(disagreement_probability(span, X).mean())
        assert given.risk_selected[j] == disagreement(X @ span.weights(X[order[:k]] @ w), X @ w)
    assert np.all(given.low <= given.expected_random)
    assert np.all(given.expected_random <= given.high)
    assert np.all(given.expected_selected < given.expected_random)


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_scaling_changes_the_metric_and_not_the_teacher(shift):
    rng = np.random.default_rng(1)
    X = decaying(400, 8, rng) + shift * np.arange(8)
    found = geometry(X, intercept=True, direction=rng.standard_normal(9), rng=rng)
    assert (found.d, found.rank) == (9, 9)
    curves = {c.name: c for c in found.scalings}
    assert tuple(curves) == KINDS
    for curve in found.scalings:
        assert curve.risk_selected[-1] == 0  # at full rank every metric learns the teacher
        assert curve.tail is not None
        assert curve.tail.band() == pytest.approx(np.sqrt(np.log(20) / 800))
    if not shift:
        ranks = {name: c.effective_rank for name, c in curves.items()}
        assert ranks["sharpen"] < ranks["none"] < ranks["whiten"] <= 9 + 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_a_scalings_figures_are_of_the_student_that_distil_would_make(kind):
    rng = np.random.default_rng(6)
    X, w = decaying(120, 6, rng) + np.arange(6), rng.standard_normal(7)
    z = X @ w[:6] + w[6]
    curve = {c.name: c for c in geometry(X, intercept=True, direction=w, budgets=[4], rng=rng).scalings}[kind]
    scaled = np.hstack([Scaling.of(X, kind).apply(X), np.ones((120, 1))])
    length = np.linalg.norm(scaled, axis=1)
    rows = SpanSelection().query(scaled, 4)
    F = scaled / length[:, None]
    student = Span(F[rows]).weights(z[rows] / length[rows])
    assert curve.risk_selected[0] == disagreement(F @ student, z)
    exact = Span(F).weights(z / length)
    angles = np.sort(np.arccos(np.abs(F @ exact) / np.linalg.norm(exact)))
    np.testing.assert_allclose(np.sort(curve.tail.angles), angles, atol=1e-7)


def test_the_better_scaling_is_named_only_for_a_teacher():
    # The teacher lives in the direction of largest variance, until the features are scaled to hide it.
    rng = np.random.default_rng(2)
    X = decaying(300, 20, rng)
    w, hidden = np.eye(20)[0] + 0.1 * np.eye(20)[1], np.arange(1, 21) ** 2.0
    assert geometry(X, direction=w, rng=rng).better in ("", "sharpen")
    assert geometry(X * hidden, direction=w / hidden, rng=rng).better in ("standard", "whiten")
    assert geometry(X, rng=rng).better == ""


def test_what_is_degenerate_is_counted():
    rng = np.random.default_rng(3)
    X = decaying(60, 6, rng)
    X[:, 3], X[:, 4], X[10], X[11] = 2.0, 0.0, 0.0, X[12]
    found = geometry(X, rng=rng)
    assert found.zeros == 1
    assert found.repeated == 1
    assert found.constant.tolist() == [4]  # column 3 is zero in the row of zeros
    assert found.rank == 5
    assert found.budgets[-1] == 5
    assert found.spectrum.sum() == pytest.approx(1)
    assert found.scalings[0].energy_selected[-1] < 1e-15
    sampled = geometry(X, sample=20, rng=rng)
    assert (sampled.n, sampled.used) == (60, 20)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda rng: geometry(np.zeros((3, 2)), rng=rng), "Every row of the pool is zero"),
        (lambda rng: geometry([[1.0, np.nan]], rng=rng), "nan at row 0, column 1"),
        (
            lambda rng: geometry(np.eye(3), budgets=[4], rng=rng),
            "budgets must be whole numbers from 1 to the 3",
        ),
        (lambda rng: geometry(np.eye(3), direction=[0, 0, 0], rng=rng), "direction has length zero"),
        (lambda rng: geometry(np.eye(3), draws=1, rng=rng), "draws must be an integer of at least 2"),
    ],
)
def test_bad_input_is_named(call, said):
    with pytest.raises(ValueError, match=said):
        call(np.random.default_rng(4))


def test_figures_show_what_they_are_given():
    rng = np.random.default_rng(5)
    X, w = decaying(80, 10, rng), rng.standard_normal(10)
    found = geometry(X, direction=w, rng=rng)
    given = found.scalings[0]
    assert given.tail is not None
    curves = {"selected": given.energy_selected, "random": given.energy_random}
    figures = [
        displays.strategies(found.budgets, curves, curves, curves, covers="95 % interval for x"),
        displays.residual_energy(found.budgets, curves),
        TailDisplay(given.tail).plot().figure_,
        displays.certified(
            found.budgets, [given.expected_selected], ["B = 1"], agreement=given.energy_random
        ),
        displays.scalings(found.budgets, {c.name: c.expected_selected for c in found.scalings}),
    ]
    for figure in figures:
        figure.canvas.draw()
    lines = [line.get_ydata() for line in figures[1].axes[0].lines]
    np.testing.assert_array_equal(lines[1], given.energy_random)
    assert [t.get_text() for t in figures[1].axes[0].get_legend().get_texts()] == ["selected", "random"]
    assert displays.residual_energy(found.budgets, curves, ax=figures[0].axes[0]) is figures[0]
