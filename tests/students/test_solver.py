"""The solver: the objective against its definition, curvature against Hessians, steps against refits."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.sparse import csr_array
from scipy.special import log_softmax, softmax
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from limbeck import SoftLabelClassifier
from limbeck.labels import cross_entropy, from_hard, from_logits, from_probabilities
from limbeck.students._learn import Settings, learn
from limbeck.students.cost import seconds
from limbeck.students.design import Points
from limbeck.students.leave_one_out import leave_one_out
from limbeck.students.objective import BLOCK, Objective
from limbeck.students.solver import Curvature, lbfgs, minimise, newton


def network(n, d, K, seed=0, size=2.0):
    """Points with a falling spectrum and the logits of a small network, (n, d) and (n, m)."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) / np.sqrt(np.arange(1, d + 1))
    hidden = np.maximum(X @ rng.standard_normal((d, 20)), 0)
    Z = size * (hidden @ rng.standard_normal((20, K)) / 3 + X @ rng.standard_normal((d, K)))
    return X, Z[:, 0] if K == 2 else Z


def objective_of(n, d, K, alpha, *, sparse=False, dtype=np.float64, seed=0):
    X, Z = network(n, d, K, seed)
    A = csr_array(X) if sparse else X.astype(dtype)
    weight = np.random.default_rng(seed).dirichlet(np.full(n, 5.0))
    return Objective(A, from_logits(Z), weight, alpha, intercept=True, dtype=np.dtype(dtype))


@pytest.mark.parametrize("K", [2, 4])
@pytest.mark.parametrize("sparse", [False, True])
def test_value_gradient_and_curvature_are_those_of_the_definition(K, sparse):
    objective = objective_of(BLOCK + 30, 5, K, 0.1, sparse=sparse)  # more than one block
    rng = np.random.default_rng(1)
    theta = rng.standard_normal(objective.zero().shape)
    F, P = objective.logits(theta), objective.labels.probabilities
    F2 = np.column_stack([np.zeros(len(F)), F]) if K == 2 else F
    P2 = np.column_stack([1 - P, P]) if K == 2 else P
    entropy = -np.sum(P2 * log_softmax(F2, axis=1), axis=1)
    value, gradient = objective.evaluate(theta)
    assert value == pytest.approx(objective.weight @ entropy + 0.05 * np.sum(theta[:-1] ** 2), rel=1e-12)
    shape = theta.shape
    assert check_grad(
        lambda v: objective.evaluate(v.reshape(shape))[0],
        lambda v: objective.evaluate(v.reshape(shape))[1].ravel(),
        theta.ravel(),
    ) < 1e-5 * max(1.0, np.abs(gradient).max())
    Q = softmax(F2, axis=1)
    M = np.einsum("i,ijk->jk", objective.weight, Q[:, :, None] * (np.eye(Q.shape[1]) - Q[:, None, :]))
    np.testing.assert_allclose(objective.class_curvature(theta), M[1:, 1:] if K == 2 else M, atol=1e-14)
    move = rng.standard_normal(shape)
    move -= move.mean(axis=1, keepdims=True) * (K > 2)  # the Hessian is lifted along shifts of all classes
    turned = objective.evaluate(theta + 1e-5 * move)[1] - objective.evaluate(theta - 1e-5 * move)[1]
    along = (objective.hessian(theta) @ move.T.ravel()).reshape(shape[::-1]).T
    np.testing.assert_allclose(along, turned / 2e-5, atol=1e-8)


@pytest.mark.parametrize("K", [2, 5])
def test_the_shared_curvature_is_the_hessian_where_every_row_has_the_same_probabilities(K):
    objective = objective_of(60, 7, K, 0.02)
    theta = objective.zero()
    theta[-1] = np.arange(theta.shape[1]) - np.arange(theta.shape[1]).mean() + (K == 2)
    curvature = Curvature.of(objective.A, objective.weight, intercept=True)
    inverse = curvature.inverse(objective.class_curvature(theta), 0.02, intercept=True)
    rng = np.random.default_rng(2)
    move = rng.standard_normal(theta.shape)
    move -= move.mean(axis=1, keepdims=True) * (K > 2)
    gradient = (objective.hessian(theta) @ move.T.ravel()).reshape(theta.shape[::-1]).T
    np.testing.assert_allclose(inverse(gradient), move, atol=1e-10)


@pytest.mark.parametrize("K", [2, 4])
@pytest.mark.parametrize(("n", "d"), [(200, 12), (40, 60)])
@pytest.mark.parametrize("alpha", [1e-6, 1e-2])
def test_lbfgs_and_newton_end_at_the_same_minimum(K, n, d, alpha):
    objective = objective_of(n, d, K, alpha)
    curvature = Curvature.of(objective.A, objective.weight, intercept=True)

    def inverse_at(theta):
        return curvature.inverse(objective.class_curvature(theta), alpha, intercept=True)

    found = lbfgs(objective, objective.zero(), inverse_at, tol=1e-10, max_iter=3000)
    direct = newton(objective, objective.zero())
    assert found.converged
    assert direct.converged
    assert objective.evaluate(found.theta)[0] <= objective.evaluate(direct.theta)[0] + 1e-11
    if alpha > 1e-3:
        np.testing.assert_allclose(found.theta, direct.theta, atol=1e-8)


@pytest.mark.parametrize(("n", "d", "K"), [(60, 15, 4), (90, 20, 8), (40, 60, 5)])
def test_classes_left_out_one_at_a_time_are_near_refits(monkeypatch, n, d, K):
    """A block of the Hessian a class: within 12 % of the loss that refits have, and the same ridge is best."""
    X, Z = network(n, d, K)
    labels, even = from_logits(Z), np.full(n, 1 / n)
    monkeypatch.setattr("limbeck.students.leave_one_out.MOST_ROWS", 0)
    monkeypatch.setattr("limbeck.students.leave_one_out.MOST_PRODUCTS", 0)
    whole = Objective(X, labels, even, 0.0, intercept=True)
    curvature = Curvature.of(X, even, intercept=True)
    losses, refits = [], []
    for alpha in curvature.largest * np.logspace(-5, -1, 5):
        found = minimise(whole.at(alpha), whole.zero())
        left = leave_one_out(whole.at(alpha), found.theta, even)
        losses.append(cross_entropy(labels, left).mean())
        each = []
        for i in range(n):
            weight = even.copy()
            weight[i] = 0.0
            part = Objective(X, labels, weight, alpha, intercept=True)
            theta = minimise(part, found.theta).theta
            each.append(cross_entropy(labels[[i]], part.logits_of(X[[i]], theta))[0])
        refits.append(np.mean(each))
    np.testing.assert_allclose(losses, refits, rtol=0.12)
    assert np.argmin(losses) == np.argmin(refits)


def test_float32_points_lead_to_the_student_of_float64():
    X, Z = network(4000, 40, 6)
    X = X.astype(np.float32)
    P = softmax(Z, axis=1)
    short, long = (SoftLabelClassifier().fit(given, P) for given in (X, X.astype(np.float64)))
    assert short.alpha_ == pytest.approx(long.alpha_, rel=1e-5)
    assert short.coef_.dtype == np.float32
    np.testing.assert_allclose(short.coef_, long.coef_, atol=2e-5 * np.abs(long.coef_).max())


def test_memory_is_the_points_and_a_copy_of_them():
    n, d, K = 12_000, 100, 10
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d), dtype=np.float32)
    P = softmax(X @ rng.standard_normal((d, K)) + rng.standard_normal((n, K)), axis=1)
    labels = from_probabilities(P)
    tracemalloc.start()
    student = SoftLabelClassifier().fit(X, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert student.alpha_path_ is not None
    assert peak < 1.1 * X.nbytes + 10 * 8 * n * K + 10 * 8 * d * d


def test_few_steps_end_in_a_warning_and_a_student():
    X, Z = network(200, 30, 5)
    with pytest.warns(ConvergenceWarning, match="after 2 steps"):
        student = SoftLabelClassifier(alpha=1e-6, max_iter=2).fit(X, teacher_logits=Z)
    assert student.n_iter_ == 2
    assert student.predict_proba(X).shape == (200, 5)


def test_many_classes_of_few_near_parallel_rows_have_a_student():
    rng = np.random.default_rng(1)
    X = np.sqrt(rng.dirichlet(np.ones(256) * 0.1, 8))
    Z = rng.standard_normal((8, 214)) * 6
    student = SoftLabelClassifier(alpha=1e-5, classes=np.arange(214)).fit(X, teacher_logits=Z)
    slope = X.T @ (student.predict_proba(X) - softmax(Z, axis=1)) / 8 + 1e-5 * student.coef_.T
    assert np.abs(slope).max() < 1e-8


def test_hard_labels_of_many_features_have_the_ridge_student():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((300, 700))
    labels = from_hard(rng.integers(0, 4, 300), 4)
    student = SoftLabelClassifier(alpha=1e-4).fit(X, labels)
    slope = X.T @ (student.predict_proba(X) - labels.probabilities) / 300 + 1e-4 * student.coef_.T
    assert np.abs(slope).max() < 1e-8


# -- diagnoses on first access ----------------------------------------------------------------------


def test_the_verdict_is_that_of_the_rows_as_they_were(monkeypatch):
    X, Z = network(80, 6, 2)
    wanted = SoftLabelClassifier(0.1).fit(X, teacher_logits=Z).linearity_
    judged = []
    monkeypatch.setattr("limbeck.students.soft_label.judge", lambda *given: judged.append(given) or wanted)
    student = SoftLabelClassifier(0.1).fit(X, teacher_logits=Z)
    student.predict(X)
    assert not judged  # fitting and answering do not pay for it
    assert student.linearity_ is student.linearity_ is wanted
    assert len(judged) == 1


@pytest.mark.parametrize("sparse", [False, True])
def test_rows_changed_in_place_give_no_verdict(sparse):
    X, Z = network(80, 6, 2)
    given = csr_array(X) if sparse else X.copy()
    student = SoftLabelClassifier(0.1).fit(given, teacher_logits=Z)
    (given.data if sparse else given)[-1] *= 2
    assert student.linearity_.verdict == "cannot tell yet"
    assert "changed" in student.linearity_.reason


@pytest.mark.parametrize("alpha", [0, 0.1])
def test_a_pickle_has_the_verdict_and_not_the_rows(alpha):
    X, Z = network(4000, 6, 2)
    student = SoftLabelClassifier(alpha).fit(X, teacher_logits=Z)
    stored = pickle.dumps(student)
    assert len(stored) < X.nbytes / 2
    assert pickle.loads(stored).linearity_ == SoftLabelClassifier(alpha).fit(X, teacher_logits=Z).linearity_


def test_there_is_no_verdict_before_fit():
    assert not hasattr(SoftLabelClassifier(), "linearity_")


def test_ridges_at_which_few_rows_cannot_be_left_out_of_many_classes_are_not_tried(monkeypatch):
    X, Z = network(120, 60, 5)
    monkeypatch.setattr("limbeck.students.leave_one_out.MOST_ROWS", 0)
    monkeypatch.setattr("limbeck.students.leave_one_out.MOST_PRODUCTS", 0)
    monkeypatch.setattr("limbeck.students._path.CHEAP", np.inf)
    full = SoftLabelClassifier().fit(X, teacher_logits=Z).alpha_path_
    monkeypatch.setattr("limbeck.students.leave_one_out.PRODUCTS_OF_FEW", 120 * 5 * 20**2)
    few = SoftLabelClassifier().fit(X, teacher_logits=Z).alpha_path_
    assert full is not None
    assert few is not None
    ridges = few.alphas[few.alphas > 0]
    assert ridges.min() > full.alphas[full.alphas > 0].min()
    both = np.isin(full.alphas, ridges)
    np.testing.assert_allclose(few.losses[few.alphas > 0], full.losses[both], rtol=0.1)
    assert full.alphas[full.losses.argmin()] / 10 <= ridges[few.losses[few.alphas > 0].argmin()]


def confident_teacher(n, size=16.0, linear=0.0):
    """Digits (n, 64) and the logits of a small network that is nearly always certain, (n, 10)."""
    rng = np.random.default_rng(0)
    X = load_digits().data[rng.permutation(1797)[:n]] / 16
    Z = np.tanh(X @ rng.standard_normal((64, 50))) @ rng.standard_normal((50, 10))
    Z = Z + linear * X @ rng.standard_normal((64, 10))
    return X, Z * size / Z.std()


@pytest.mark.parametrize(("n", "alpha"), [(200, 1e-5), (200, 1e-7), (600, 1e-7)])
def test_confident_teachers_are_followed_to_the_end_in_few_steps(monkeypatch, n, alpha):
    # Few rows have curvature there: with the shared curvature alone 1,000 steps do not reach 1e-8.
    X, Z = confident_teacher(n)
    objective = Objective(X, from_logits(Z), np.full(n, 1 / n), alpha, intercept=True)
    exact = newton(objective, objective.zero(), tol=1e-12, max_iter=200)
    monkeypatch.setattr("limbeck.students.solver.QUICK", 0)
    found = minimise(objective, objective.zero())
    gradient = objective.evaluate(found.theta)[1]
    assert found.converged
    assert found.iterations < 200
    assert np.abs(gradient).max() / objective.scale == pytest.approx(found.gradient, rel=0.1)
    assert found.gradient <= 1e-8
    assert np.abs(objective.logits(found.theta - exact.theta)).max() < 0.01 * np.abs(Z).max()


def test_ridges_are_compared_by_students_that_are_at_their_minimum(monkeypatch):
    # Stopped where the shared curvature expects little more, they lost up to 1.3 times as much.
    X, Z = confident_teacher(100, 8.0, linear=60.0)
    monkeypatch.setattr("limbeck.students.solver.QUICK", 0)
    monkeypatch.setattr("limbeck.students._path.CHEAP", 0)
    monkeypatch.setattr("limbeck.students._path.EVERY", 0)
    path = SoftLabelClassifier().fit(X, softmax(Z, axis=1)).alpha_path_
    labels, weight = from_probabilities(softmax(Z, axis=1)), np.full(100, 0.01)
    for alpha, loss in zip(path.alphas, path.losses, strict=True):
        if alpha > 0:
            objective = Objective(X, labels, weight, alpha, intercept=True)
            theta = newton(objective, objective.zero(), tol=1e-13, max_iter=300).theta
            left_out = cross_entropy(labels, leave_one_out(objective, theta, weight)).mean()
            assert loss == pytest.approx(left_out, rel=0.02)


@pytest.mark.parametrize("together", [True, False])
def test_intercepts_of_classes_that_hardly_occur_do_not_spoil_leaving_rows_out(monkeypatch, together):
    # They go to minus infinity, slowly, and their curvature to 0: steps along them were rounding, up to 1e4 logits.
    X, Z = confident_teacher(60, 32.0, linear=6.0)
    labels, weight = from_probabilities(softmax(Z, axis=1)), np.full(60, 1 / 60)
    if not together:
        monkeypatch.setattr("limbeck.students.leave_one_out.MOST_PRODUCTS", 0)
    objective = Objective(X, labels, weight, 1e-4, intercept=True)
    losses = []
    for tol in (1e-9, 1e-13):
        theta = newton(objective, objective.zero(), tol=tol, max_iter=100).theta
        losses.append(cross_entropy(labels, leave_one_out(objective, theta, weight)).mean())
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert losses[0] < 2


def test_a_fit_forecast_above_a_minute_is_announced_before_it_starts(monkeypatch):
    def never(*args, **options):
        raise KeyboardInterrupt

    X = np.broadcast_to(np.float64(1.0), (4000, 4000))
    labels = from_logits(np.linspace(-1, 1, 4000))
    monkeypatch.setattr("limbeck.students._learn.reduced", never)
    settings = Settings("loo", "raise", None, 1e-10, 1000)
    with (
        pytest.warns(UserWarning, match="4000 rows of 4000 features with 2 classes"),
        pytest.raises(KeyboardInterrupt),
    ):
        learn(Points.of(X, True), labels, np.ones(4000), settings, np.arange(4000))
    few = np.ones(400)
    with pytest.raises(KeyboardInterrupt):  # and no warning, which is an error here
        learn(Points.of(X[:400], True), labels[:400], few, settings, np.arange(400))


@pytest.mark.parametrize("alpha", [0, 1e-3, "loo"])
@pytest.mark.parametrize("K", [2, 10])
def test_the_forecast_grows_with_rows_features_and_classes(alpha, K):
    m = 1 if K == 2 else K
    base = seconds(2000, 300, m, alpha=alpha)
    assert base < 10
    assert seconds(40_000, 300, m, alpha=alpha) > 4 * base
    assert seconds(2000, 600, m, alpha=alpha) > 1.5 * base
    if alpha != 0:
        assert seconds(2000, 300, 1000 * m, alpha=alpha) > 10 * base
