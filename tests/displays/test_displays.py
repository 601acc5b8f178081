import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import expit, softmax
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from limbeck import SoftLabelClassifier
from limbeck.displays import ReliabilityDisplay, TailDisplay, TransferRiskDisplay
from limbeck.displays.study import alpha_path
from limbeck.displays.style import new_figure
from limbeck.theory import EmpiricalTail, data_curve
from limbeck.theory.risk import wilson

RNG = np.random.default_rng(0)
X, T = RNG.standard_normal((40, 20)), RNG.standard_normal((300, 20))
W_STAR = RNG.standard_normal(20)
P, P_TEST = expit(X @ W_STAR), expit(T @ W_STAR)


def exact():
    return SoftLabelClassifier(alpha=0, fit_intercept=False)


# -- transfer risk -----------------------------------------------------------------------------------


def test_risk_of_an_estimator_is_that_of_its_refits_and_of_the_whole_curve():
    shown = TransferRiskDisplay.from_estimator(exact(), X, P, T, P_TEST, n=[3, 10, 25])
    curve = data_curve(X, X @ W_STAR, T, T @ W_STAR)
    np.testing.assert_allclose(shown.risk, curve.disagreement[[2, 9, 24]])
    np.testing.assert_allclose(shown.high, curve.high[[2, 9, 24]])
    assert shown.risk[-1] == 0
    assert TransferRiskDisplay.from_estimator(exact(), X, P, T, P_TEST).n.tolist()[::11] == [4, 40]


def test_risk_from_predictions_of_any_number_of_classes():
    Z = RNG.standard_normal((50, 3))
    truth, said = softmax(Z, axis=1), softmax(Z + RNG.standard_normal((2, 50, 3)), axis=2)
    shown = TransferRiskDisplay.from_predictions([5, 9], said, truth, confidence=0.9)
    wrong = (said.argmax(axis=2) != truth.argmax(axis=1)).sum(axis=1)
    np.testing.assert_allclose(shown.risk, wrong / 50)
    np.testing.assert_allclose((shown.low, shown.high), wilson(wrong, 50, 0.9))
    with pytest.raises(ValueError, match="2 predictions for 1"):
        TransferRiskDisplay.from_predictions([5], said, truth)
    with pytest.raises(ValueError, match="same rows and classes"):
        TransferRiskDisplay.from_predictions([5, 9], said[:, :3], truth)


# -- the tail ----------------------------------------------------------------------------------------


def test_tail_of_an_estimator_takes_the_intercept_along():
    student = SoftLabelClassifier(alpha=0).fit(X, expit(X @ W_STAR + 0.7))
    tail = TailDisplay.from_estimator(student, T).tail
    expected = EmpiricalTail.of(np.column_stack([T, np.ones(300)]), np.append(W_STAR, 0.7))
    np.testing.assert_allclose(tail.angles, expected.angles, atol=1e-7)
    plain = exact().fit(X, P)
    np.testing.assert_allclose(
        TailDisplay.from_estimator(plain, T).tail.angles, EmpiricalTail.of(T, W_STAR).angles, atol=1e-7
    )


def test_the_band_drawn_is_two_sided():
    shown = TailDisplay.from_predictions(np.linspace(0.1, 1.5, 200), confidence=0.9).plot()
    half = np.sqrt(np.log(2 / 0.1) / 400)  # Massart's constant, both sides
    band = shown.ax_.collections[0].get_paths()[0].vertices
    middle = band[np.isclose(band[:, 0], np.pi / 4)][:, 1]
    assert np.ptp(middle) == pytest.approx(2 * half, abs=1e-9)


def test_a_tail_needs_one_boundary_and_dense_points():
    iris = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="has 3 classes"):
        TailDisplay.from_estimator(LogisticRegression(max_iter=1000).fit(*iris), iris[0])
    with pytest.raises(ValueError, match="dense points"):
        TailDisplay.from_estimator(exact().fit(X, P), csr_array(T))


# -- reliability --------------------------------------------------------------------------------------


def test_bins_hold_every_row_once_and_average_to_the_means():
    q = expit(T @ W_STAR + RNG.standard_normal(300))
    shown = ReliabilityDisplay.from_predictions(P_TEST, q, bins=7)
    assert len(shown.count) == 7
    assert shown.count.sum() == 300
    assert shown.count @ shown.teacher / 300 == pytest.approx(P_TEST.mean())
    assert shown.count @ shown.student / 300 == pytest.approx(q.mean())
    first = np.argsort(q)[: shown.count[0]]
    assert shown.stderr[0] == pytest.approx(P_TEST[first].std(ddof=1) / np.sqrt(len(first)))
    mirrored = ReliabilityDisplay.from_predictions(P_TEST, q, bins=1, code=0)
    assert mirrored.teacher[0] == pytest.approx(1 - P_TEST.mean())


def test_the_exact_student_of_a_linear_teacher_lies_on_the_diagonal():
    shown = ReliabilityDisplay.from_estimator(exact().fit(X, P), T, P_TEST)
    np.testing.assert_allclose(shown.student, shown.teacher, atol=1e-9)


def test_students_of_few_answers_make_few_bins():
    shown = ReliabilityDisplay.from_predictions(P_TEST, np.full(300, 0.3))
    assert shown.count.tolist() == [300]
    alone = ReliabilityDisplay.from_predictions([0.2], [0.3]).plot()
    assert np.isnan(alone.stderr[0])
    three = softmax(RNG.standard_normal((30, 3)), axis=1)
    assert ReliabilityDisplay.from_predictions(three, three, code=2, bins=1).student[0] == three[:, 2].mean()
    for said, given in (
        ("code must be", {"code": 3}),
        ("30 answers of the teacher for 4", {"student_proba": three[:4]}),
        ("bins must be", {"bins": 0}),
    ):
        with pytest.raises(ValueError, match=said):
            ReliabilityDisplay.from_predictions(**{"teacher_proba": three, "student_proba": three, **given})


# -- all ----------------------------------------------------------------------------------------------


def test_displays_draw_on_the_axes_given_and_name_what_they_draw():
    student = exact().fit(X[:15], P[:15])
    _, axes = new_figure(3)
    shown = [
        TransferRiskDisplay.from_estimator(exact(), X, P, T, P_TEST, n=[3, 10]).plot(axes[0]),
        TailDisplay.from_estimator(student, T).plot(axes[1]),
        ReliabilityDisplay.from_estimator(student, T, P_TEST).plot(axes[2]),
    ]
    for display, ax, label in zip(shown, axes, ("labels n", "angle", "student's P[class 1]"), strict=True):
        assert display.ax_ is ax
        assert display.figure_ is ax.get_figure(root=True)
        assert ax.get_xlabel().startswith(label)
        assert ax.get_legend() is not None


# -- the ridge path --------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_zero", [0.43, 50.0])
def test_the_ridge_path_shows_every_point_bar_and_word_inside_its_axes(at_zero):
    alphas = np.concatenate([[0.0], np.logspace(-6, 2, 17)])
    losses = np.concatenate([[at_zero], 0.4 + 0.02 * np.linspace(-2, 2, 17) ** 2])
    figure = alpha_path(alphas, losses, np.full(18, 0.01), 1e-2)
    figure.draw_without_rendering()
    ax = figure.axes[0]
    low, high = ax.get_ylim()
    assert low < 0.4 - 0.02
    drawn = np.concatenate(
        [np.asarray(line.get_ydata(), dtype=float) for line in ax.lines if len(line.get_ydata()) > 2]
    )
    assert np.all((drawn > low) & (drawn < high))
    marks = [line for line in ax.lines if len(line.get_ydata()) == 1]
    assert all(low < float(line.get_ydata()[0]) < high for line in marks)
    (word,) = ax.texts
    assert ("above the scale" in word.get_text()) == (at_zero > 1)
    box = word.get_window_extent()
    assert figure.bbox.y0 < box.y0
    assert box.y1 < figure.bbox.y1


@pytest.mark.parametrize("backend", ["nonsense", "module://not_installed", "qtagg"])
def test_figures_need_no_backend_of_the_shell(backend):
    code = "from limbeck.displays.style import new_figure, rendered; print(rendered(new_figure()[0]).count(b'<svg'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MPLBACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
