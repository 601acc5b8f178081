"""Points and answers in float32: the same rank, verdict and proofs as where they were computed, none of them false."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression

from limbeck import DistilledClassifier, KernelSoftLabelClassifier, SoftLabelClassifier
from limbeck.labels import from_probabilities
from limbeck.students.evidence import Evidence
from limbeck.students.linearity import linearity
from limbeck.theory import Span
from limbeck.theory.kernels import Linear
from limbeck.theory.scaling import Scaling


def of_rank_5(rng):
    """30 points of rank 5 in 50 features, as float32, with the logits of the points they were rounded from."""
    A, w = rng.standard_normal((30, 5)) @ rng.standard_normal((5, 50)), rng.standard_normal(50)
    return A.astype(np.float32), A @ w, w


@pytest.mark.parametrize("how", ["fit", "batches", "evidence"])
def test_a_student_of_rounded_points_has_their_rank_and_proves_nothing_false(how):
    rng = np.random.default_rng(0)
    X, z, w = of_rank_5(rng)
    student = SoftLabelClassifier(alpha=0, fit_intercept=False)
    if how == "batches":
        for rows in (slice(0, 12), slice(12, 30)):
            student.partial_fit(X[rows], teacher_logits=z[rows].astype(np.float32))
    else:
        student.fit(X, teacher_logits=z)
        assert student.linearity_.rank == Span(X).rank == 5
        assert student.linearity_.verdict == "linear"
        assert student.realisable_
    assert np.linalg.norm(student.coef_) == pytest.approx(np.linalg.norm(Span(X).weights(z)), rel=1e-4)
    T = np.r_[rng.standard_normal((5000, 50)), X[:3] * 2].astype(np.float32)
    truth = T.astype(float) @ w >= 0
    for times in (1.0, 1.05, 1.2):
        norm = times * float(np.linalg.norm(w))
        if how == "evidence":
            scaling = Scaling("none", np.zeros(50), np.ones(50))
            kept = student._asked
            saved = Evidence(scaling, False, *kept.rows, "linear", kept.dtype).to_json()
            found = Evidence.from_json(saved).prove(T, norm, student._codes(T))
        else:
            found = student.certify(T, teacher_norm=norm)
        assert not np.any(found.proved & ((student.predict(T) == 1) != truth))
        assert found.proved[-3:].all()


def test_what_predict_rounds_is_not_proved():
    # Within 1e-8 of the boundary float32 weights decide at random.
    rng = np.random.default_rng(0)
    X, w = rng.standard_normal((40, 20)).astype(np.float32), rng.standard_normal(20)
    student = SoftLabelClassifier(alpha=0, fit_intercept=False).fit(X, teacher_logits=X.astype(float) @ w)
    near = rng.standard_normal((20000, 20))
    near -= np.outer(near @ w, w) / (w @ w) * (1 - 1e-8)
    T = np.r_[near, rng.standard_normal((1000, 20))].astype(np.float32)
    found = student.certify(T, teacher_norm=2 * float(np.linalg.norm(w)))
    assert not np.any(found.proved & ((student.predict(T) == 1) != (T.astype(float) @ w >= 0)))
    assert found.proved[20000:].mean() > 0.99


@pytest.mark.parametrize("kind", ["linear", "kernel"])
def test_only_answers_that_the_student_gives_are_proved(kind):
    rng = np.random.default_rng(1)
    X, w = rng.standard_normal((30, 5)), rng.standard_normal(5)
    made = {
        "linear": SoftLabelClassifier(alpha=0, fit_intercept=False),
        "kernel": KernelSoftLabelClassifier(Linear(), alpha=0, fit_intercept=False),
    }[kind].fit(X, expit(X @ w))
    T = rng.standard_normal((100, 5))
    assert made.certify(T, teacher_norm=10.0).share == 1
    inner = made if kind == "linear" else made.student_
    inner.coef_ = -inner.coef_
    found = made.certify(T, teacher_norm=10.0)
    assert not found.proved.any()
    assert not found.largest_bound.any()


def test_errors_are_not_dropped_where_the_points_amplify_them():
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(100):
        w = np.array([15.0, 1e-5 * rng.choice([-1, 1]) * (1 + rng.random())])
        X = np.c_[1 + 0.02 * rng.standard_normal(6), 1e-5 * rng.standard_normal(6)]
        student = SoftLabelClassifier(alpha=0, fit_intercept=False).fit(X, expit(X @ w))
        found = student.certify([[0.0, 1.0]], teacher_norm=100.0)
        off = student.predict([[0.0, 1.0]])[0] != (w[1] >= 0)
        assert not (found.proved[0] and off)
        wrong += off
    assert wrong > 5


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("answers", ["auto", "logits", "probabilities"])
@pytest.mark.parametrize(
    ("data", "offset"), [("digits", 0), ("digits", 100), ("two", 0), ("two", 100), ("cancer", 100)]
)
def test_a_linear_teacher_in_float32_is_linear(data, offset, answers):
    if data == "cancer":
        X, y = load_breast_cancer(return_X_y=True)
    else:
        X, y = load_digits(return_X_y=True)
        y = y if data == "digits" else y > 4
    X = ((X + offset) / (1 if offset else 16)).astype(np.float32)
    teacher = LogisticRegression(max_iter=100 if offset else 300, tol=1e-2).fit(X, y)
    student = SoftLabelClassifier(alpha=0, saturated="drop")
    both = DistilledClassifier(teacher, student=student, answers=answers).fit(X)
    assert both.linearity_.verdict == "linear", both.linearity_.reason
    assert both.student_.realisable_ or answers == "probabilities"
    if answers == "auto":
        assert both._kinds == {"teacher": "logits"}


@pytest.mark.parametrize("combine", ["logits", "probabilities"])
def test_several_teachers_are_as_exact_as_the_shortest_of_their_types(combine):
    rng = np.random.default_rng(2)
    X, w = rng.standard_normal((200, 6)), rng.standard_normal(6)

    def one(X):
        return (np.asarray(X) @ w).astype(np.float32)

    def same(X):
        return np.asarray(X) @ w

    teachers = [("a", one), ("b", same)]
    student = SoftLabelClassifier(alpha=0, fit_intercept=False)
    both = DistilledClassifier(teachers, student=student, answers="logits", combine=combine).fit(X)
    assert both.linearity_.verdict == "linear", both.linearity_.reason
    assert both.linearity_.explained > 1e-9
    alone = DistilledClassifier(same, student=student, answers="logits").fit(X)
    assert alone.linearity_.explained < 1e-14


def test_float32_points_far_from_the_origin_do_not_make_a_teacher_nonlinear():
    rng = np.random.default_rng(0)
    X, w = 1000 + rng.standard_normal((200, 10)), rng.standard_normal(10)
    z = (X - 1000) @ w
    for points in (X, X.astype(np.float32)):
        student = SoftLabelClassifier(alpha=0).fit(points, teacher_logits=z)
        assert student.linearity_.verdict == "linear", student.linearity_.reason
        assert student.linearity_.rank == 11
        bent = SoftLabelClassifier(alpha=0).fit(points, teacher_logits=z + 0.01 * np.sin(3 * X[:, 0]))
        assert bent.linearity_.verdict == "not linear"
    found = linearity(X.astype(np.float32), from_probabilities(expit(z)), intercept=True)
    assert found.verdict == "linear"
    assert found.explained > 1e-5


def test_a_column_that_is_one_less_the_other_has_no_digits_of_its_own():
    p = expit(np.linspace(1, 14, 40)).astype(np.float32)
    both = from_probabilities(np.column_stack([1 - p, p]))
    np.testing.assert_array_equal(both.error, from_probabilities(p).error)
    swapped = from_probabilities(np.column_stack([p, 1 - p]))
    np.testing.assert_allclose(swapped.logits, -both.logits, rtol=1e-14)
    own = from_probabilities(
        np.column_stack([expit(-np.linspace(1, 14, 40)), expit(np.linspace(1, 14, 40))]).astype(np.float32)
    )
    assert own.error[-1] < 1e-3 * both.error[-1]
