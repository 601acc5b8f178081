from dataclasses import replace

import numpy as np
import pandas as pd  # comes with statsmodels
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize, nnls
from scipy.sparse import csc_matrix, csr_array
from scipy.special import expit, softmax
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits, make_classification
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from limbeck import DistilledClassifier, KernelSoftLabelClassifier, SoftLabelClassifier
from limbeck.labels import cross_entropy, from_hard, from_logits, from_probabilities, from_top_k
from limbeck.students.leave_one_out import leave_one_out
from limbeck.students.linearity import linearity
from limbeck.students.metrics import agreement, soft_cross_entropy
from limbeck.students.objective import Objective, newton_step
from limbeck.students.solver import minimise, newton
from limbeck.theory import Span, gradient_flow
from limbeck.theory.kernels import RBF
from limbeck.theory.loss import loss


@parametrize_with_checks(
    [SoftLabelClassifier(), SoftLabelClassifier(alpha=0.01, fit_intercept=False)],
    expected_failed_checks=lambda estimator: (
        {}
        if estimator.fit_intercept
        else {
            "check_class_weight_classifiers": "a plane through the origin has both classes of points on each side"
        }
    ),
)
def test_every_scikit_learn_check_passes(estimator, check):
    check(estimator)


@pytest.mark.parametrize("alpha", [0.01, "loo"])
@pytest.mark.parametrize("K", [2, 3])
def test_class_weights_are_sample_weights_of_the_teachers_decisions(alpha, K):
    X, z, _, rng = linear_teacher(80, 5, K)
    z = z + rng.standard_normal(z.shape)
    decided = (z >= 0).astype(int) if K == 2 else z.argmax(axis=1)
    counts = np.bincount(decided, minlength=K)
    for weights, of_rows in (
        ({0: 4.0}, np.where(decided == 0, 1.0, 0.25)),
        ("balanced", counts.min() / counts[decided]),
    ):
        ours = SoftLabelClassifier(alpha, class_weight=weights).fit(X, teacher_logits=z)
        same = SoftLabelClassifier(alpha).fit(X, teacher_logits=z, sample_weight=of_rows)
        assert ours.alpha_ == pytest.approx(same.alpha_, rel=1e-12)
        np.testing.assert_allclose(ours.coef_, same.coef_, atol=1e-8)
    with pytest.raises(ValueError, match="balanced"):
        SoftLabelClassifier(alpha, class_weight="even").fit(X, teacher_logits=z)


@pytest.mark.parametrize("alpha", [1e-3, "loo"])
@pytest.mark.parametrize("K", [2, 4])
def test_a_warm_start_leads_to_the_same_student_in_fewer_steps(alpha, K):
    X, z, _, rng = linear_teacher(400, 40, K)
    z = z + rng.standard_normal(z.shape)
    warm = SoftLabelClassifier(alpha, warm_start=True).fit(X[:300], teacher_logits=z[:300])
    warm.fit(X, teacher_logits=z)
    cold = SoftLabelClassifier(alpha).fit(X, teacher_logits=z)
    assert warm.alpha_ == pytest.approx(cold.alpha_, rel=1e-12)
    np.testing.assert_allclose(warm.coef_, cold.coef_, atol=1e-6)
    if alpha == "loo":
        assert len(warm.alpha_path_.alphas) < len(cold.alpha_path_.alphas)
    warm.fit(X, teacher_logits=z)
    assert warm.n_iter_ <= 1
    before = warm.coef_
    with pytest.raises(ValueError, match="40 features"):
        warm.fit(X[:, :30], teacher_logits=z)
    assert warm.coef_ is before


def linear_teacher(n, d, K=2, seed=0, scale=1.5):
    rng = np.random.default_rng([seed, n, d, K])
    X = rng.standard_normal((n, d))
    W = scale * rng.standard_normal((d, K)) / np.sqrt(d)
    return X, (X @ W[:, 0] if K == 2 else X @ W), (W[:, 0] if K == 2 else W), rng


def curved_teacher(n, d, K=2, seed=0):
    X, Z, _, rng = linear_teacher(n, d, K, seed)
    Z = Z + 0.7 * rng.standard_normal(Z.shape)
    return X, expit(Z) if K == 2 else softmax(Z, axis=1), rng


# -- alpha = 0: Theorem 1 and the cross-entropy's minimiser ---------------------------------------------


@pytest.mark.parametrize(("n", "d"), [(1, 7), (20, 50), (50, 50), (200, 30)])
@pytest.mark.parametrize("form", ["probabilities", "logits"])
def test_theorem_1(n, d, form):
    X, z, w, _ = linear_teacher(n, d)
    student = SoftLabelClassifier(alpha=0, fit_intercept=False)
    student.fit(X, teacher_logits=z) if form == "logits" else student.fit(
        X, expit(z) if n > 1 else [expit(z[0])]
    )
    exact = np.linalg.qr(X.T)[0] if n < d else np.eye(d)
    np.testing.assert_allclose(student.coef_[0], exact @ (exact.T @ w), atol=1e-12 if n != d else 1e-10)
    assert student.realisable_
    assert student.linearity_.verdict == ("linear" if n > d else "cannot tell yet")


@pytest.mark.parametrize(("n", "d"), [(20, 50), (200, 30)])
def test_softmax_limit_is_the_projected_centred_teacher(n, d):
    X, Z, W, _ = linear_teacher(n, d, K=4)
    student = SoftLabelClassifier(alpha=0, fit_intercept=False).fit(X, softmax(Z, axis=1))
    Q = np.linalg.qr(X.T)[0] if n < d else np.eye(d)
    np.testing.assert_allclose(student.coef_.T, Q @ (Q.T @ (W - W.mean(axis=1, keepdims=True))), atol=1e-11)
    np.testing.assert_allclose(student.predict_proba(X), softmax(Z, axis=1), atol=1e-11)


def test_the_intercept_takes_part_in_the_norm():
    X, z, _, _ = linear_teacher(10, 30)
    student = SoftLabelClassifier(alpha=0).fit(X, teacher_logits=z)
    theta = Span(np.column_stack([X, np.ones(10)])).weights(z)
    np.testing.assert_allclose(np.append(student.coef_[0], student.intercept_), theta, atol=1e-13)


def test_agrees_with_statsmodels_glm():
    X, p, _ = curved_teacher(300, 8)
    ours = SoftLabelClassifier(alpha=0).fit(X, p)
    theirs = sm.GLM(p, sm.add_constant(X), family=sm.families.Binomial()).fit(tol=1e-14)
    np.testing.assert_allclose(np.append(ours.intercept_, ours.coef_[0]), theirs.params, atol=1e-8)
    assert not ours.realisable_
    assert ours.gradient_ < 1e-10
    assert ours.linearity_.verdict == "not linear"
    assert ours.linearity_.low < ours.linearity_.residual < ours.linearity_.high


@pytest.mark.filterwarnings("ignore:Keyword arguments have been passed:FutureWarning")
def test_agrees_with_statsmodels_mnlogit_on_hard_labels():
    X, P, rng = curved_teacher(400, 5, K=3)
    y = np.array([rng.choice(3, p=row) for row in P])
    ours = SoftLabelClassifier(alpha=0).fit(X, y)
    theirs = sm.MNLogit(y, sm.add_constant(X)).fit(disp=0, method="newton", maxiter=100, gtol=1e-12)
    theta = np.column_stack([ours.intercept_, ours.coef_])
    np.testing.assert_allclose((theta[1:] - theta[0]).T, theirs.params, atol=1e-8)


def test_the_minimiser_in_a_rank_deficient_span_has_no_part_outside():
    X, p, _ = curved_teacher(200, 6)
    X = np.hstack([X, X[:, :2] + X[:, 3:5]])  # rank 6 of 8
    student = SoftLabelClassifier(alpha=0, fit_intercept=False).fit(X, p)
    assert np.abs(Span(X).residual(student.coef_)).max() < 1e-9
    thin = SoftLabelClassifier(alpha=0, fit_intercept=False).fit(X[:, :6], p)
    np.testing.assert_allclose(X @ student.coef_[0], X[:, :6] @ thin.coef_[0], atol=1e-7)


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("alpha", [0, 0.1])
def test_weights_are_repetitions(K, alpha):
    X, p, rng = curved_teacher(60, 5, K)
    s = rng.integers(0, 4, 60)
    weighted = SoftLabelClassifier(alpha=alpha).fit(X, p, sample_weight=s)
    repeated = SoftLabelClassifier(alpha=alpha).fit(np.repeat(X, s, axis=0), np.repeat(p, s, axis=0))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-8)
    loo = SoftLabelClassifier().fit(X, p, sample_weight=s)
    again = SoftLabelClassifier().fit(np.repeat(X, s, axis=0), np.repeat(p, s, axis=0))
    np.testing.assert_allclose(loo.alpha_path_.losses[1:], again.alpha_path_.losses[1:], rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_weights_below_1_have_no_scale_and_standard_errors_none_at_all(seed):
    rng = np.random.default_rng(seed)
    X, w = rng.standard_normal((60, 40)), rng.standard_normal(40)
    p = expit(X @ w + 2 * rng.standard_normal(60))
    for base in (np.ones(60), rng.uniform(0.2, 1, 60)):
        whole = SoftLabelClassifier().fit(X, p, sample_weight=base)
        for scale in (1 / 60, 0.5):
            student = SoftLabelClassifier().fit(X, p, sample_weight=scale * base)
            assert student.alpha_ == pytest.approx(whole.alpha_, rel=1e-12)
            np.testing.assert_allclose(student.alpha_path_.stderrs, whole.alpha_path_.stderrs, rtol=1e-6)
        assert np.all(np.isfinite(whole.alpha_path_.stderrs))
    # Half of the rows at weights all but 0 are half the rows, and the error of their mean is that of 30.
    half = SoftLabelClassifier().fit(X, p, sample_weight=np.where(np.arange(60) < 30, 1.0, 1e-9))
    few = SoftLabelClassifier().fit(X[:30], p[:30])
    np.testing.assert_allclose(half.alpha_path_.stderrs[9:], few.alpha_path_.stderrs[9:], rtol=1e-3)


@pytest.mark.parametrize(("n", "d"), [(30, 80), (200, 20)])
def test_sparse_is_dense_at_alpha_0(n, d):
    X, z, _, rng = linear_teacher(n, d)
    X = X * (rng.random(X.shape) < 0.3)
    z = X @ rng.standard_normal(d)
    dense = SoftLabelClassifier(alpha=0).fit(X, teacher_logits=z)
    for kind in (csr_array, csc_matrix):
        sparse = SoftLabelClassifier(alpha=0).fit(kind(X), teacher_logits=z)
        np.testing.assert_allclose(sparse.coef_, dense.coef_, atol=1e-8)
        np.testing.assert_allclose(sparse.decision_function(kind(X)), z, atol=1e-7)


def test_sparse_is_dense_where_no_linear_teacher_answered():
    X, p, rng = curved_teacher(300, 12)
    X = X * (rng.random(X.shape) < 0.4)
    dense, sparse = (SoftLabelClassifier(alpha=0).fit(A, p) for A in (X, csr_array(X)))
    np.testing.assert_allclose(sparse.coef_, dense.coef_, atol=1e-7)


# -- saturated answers ---------------------------------------------------------------------------------


def test_saturated_rows_are_refused_dropped_or_bounded():
    X, z, _, _ = linear_teacher(30, 60, scale=3)
    p = np.round(expit(z), 2)
    p[[4, 9]] = 1.0, 0.0
    held = (p == 0) | (p == 1)
    with pytest.raises(
        ValueError, match=rf"{held.sum()} of 30 rows .*\(the first is row {np.argmax(held)}\)"
    ):
        SoftLabelClassifier(alpha=0).fit(X, p)
    dropped = SoftLabelClassifier(alpha=0, saturated="drop").fit(X, p)
    np.testing.assert_allclose(
        dropped.coef_, SoftLabelClassifier(alpha=0).fit(X[~held], p[~held]).coef_, atol=1e-9
    )
    assert dropped.n_saturated_ == held.sum()
    bounded = SoftLabelClassifier(alpha=0, saturated="bound").fit(X, p)
    F = bounded.decision_function(X)
    np.testing.assert_allclose(F[~held], np.log(p[~held] / (1 - p[~held])), atol=1e-8)
    least = np.log(0.995 / 0.005)
    sure = np.where(p[held] == 1, F[held], -F[held])
    assert np.all(sure >= least - 1e-8)
    # and no shorter student does: SciPy's SQP on the same problem
    A, b = np.column_stack([X, np.ones(30)]), np.where(p[held] == 1, 1.0, -1.0)
    best = minimize(
        lambda v: v @ v,
        np.zeros(61),
        jac=lambda v: 2 * v,
        method="SLSQP",
        constraints=[
            {"type": "eq", "fun": lambda v: A[~held] @ v - F[~held], "jac": lambda v: A[~held]},
            {
                "type": "ineq",
                "fun": lambda v: b * (A[held] @ v) - least,
                "jac": lambda v: b[:, None] * A[held],
            },
        ],
        options={"ftol": 1e-14, "maxiter": 500},
    )
    ours = np.append(bounded.coef_[0], bounded.intercept_)
    assert ours @ ours == pytest.approx(best.fun, rel=1e-6)


def test_bound_where_the_other_answers_are_no_linear_teachers():
    X, p, _ = curved_teacher(80, 4)
    p = np.round(p, 3)
    p[:3] = 1.0
    p[3] = 0.999  # so that three decimals are seen
    student = SoftLabelClassifier(alpha=0, saturated="bound", decimals=3).fit(X, p)
    held = (p == 0) | (p == 1)
    F, least = student.decision_function(X), np.log(0.9995 / 0.0005)
    sign = np.where(p == 1, 1.0, -1.0)[held]
    assert np.all(sign * F[held] >= least - 1e-9)
    # Karush, Kuhn and Tucker: what is left of the others' gradient is a positive mix of the rows held at their bound.
    A = np.column_stack([X, np.ones(80)])
    slope = A[~held].T @ (expit(F) - p)[~held] / np.sum(~held)
    active = (sign[:, None] * A[held])[sign * F[held] < least + 1e-9]
    assert len(active) > 0
    assert nnls(active.T, slope)[1] < 1e-9
    assert student.gradient_ < 1e-9


def test_bound_that_no_student_meets_is_said():
    X, p, rng = curved_teacher(60, 3)
    p[:40] = rng.integers(0, 2, 40)
    with pytest.raises(ValueError, match="No linear student is as sure as the 40 saturated rows"):
        SoftLabelClassifier(alpha=0, saturated="bound").fit(X, p)


def test_messages_number_rows_as_they_were_given():
    X, p, _ = curved_teacher(20, 3)
    p[[0, 7]] = 1.0
    with pytest.raises(ValueError, match=r"1 of 19 rows .*\(the first is row 7\)"):
        SoftLabelClassifier(alpha=0).fit(X, p, sample_weight=np.arange(20) > 0)


def test_what_bound_cannot_do_is_said():
    X, z, _, _ = linear_teacher(12, 30)
    infinite = np.where(np.arange(12) == 2, np.inf, z)
    with pytest.raises(ValueError, match="Row 2 has an infinite logit"):
        SoftLabelClassifier(alpha=0, saturated="bound").fit(X, teacher_logits=infinite)
    P = softmax(np.column_stack([z, -z, 0 * z]), axis=1)
    P[0] = 1, 0, 0
    with pytest.raises(ValueError, match="for two classes"):
        SoftLabelClassifier(alpha=0, saturated="bound").fit(X, P)
    with pytest.raises(ValueError, match="needs dense points"):
        SoftLabelClassifier(alpha=0, saturated="bound").fit(
            csr_array(X), np.where(infinite == np.inf, 1, expit(z))
        )


def test_alpha_above_0_takes_0_and_1_as_they_are():
    X, z, _, _ = linear_teacher(100, 10)
    y = (z > 0).astype(int)
    ours = SoftLabelClassifier(alpha=0.02).fit(X, y)
    theirs = LogisticRegression(C=1 / (0.02 * 100), tol=1e-12, max_iter=10_000).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-6)
    path = SoftLabelClassifier().fit(X, y).alpha_path_
    assert 0 not in path.alphas
    assert "not tried: 100 rows" in path.reason


def test_separable_hard_labels_have_no_exact_student():
    X, z, _, _ = linear_teacher(50, 5)
    with pytest.raises(ValueError, match="can be separated"):
        SoftLabelClassifier(alpha=0).fit(X, (z > 0).astype(int))
    with pytest.raises(ValueError, match="can be separated"):
        SoftLabelClassifier(alpha=0).fit(X, np.digitize(X[:, 0], [-0.5, 0.5]))


# -- the ridge -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("K", [2, 4])
@pytest.mark.parametrize(("n", "d"), [(25, 60), (90, 12)])
@pytest.mark.parametrize("sparse", [False, True])
def test_ridge_is_optimal(K, n, d, sparse):
    X, p, rng = curved_teacher(n, d, K)
    X = X * (rng.random(X.shape) < 0.5)
    s = rng.random(n) + 0.2
    student = SoftLabelClassifier(alpha=0.03).fit(csr_array(X) if sparse else X, p, sample_weight=s)
    P = student.predict_proba(X) - (p if K > 2 else np.column_stack([1 - p, p]))
    P = P if K > 2 else P[:, 1:]
    slope = (X.T @ (s[:, None] * P)).T / s.sum() + 0.03 * student.coef_
    assert np.abs(slope).max() < 1e-9
    assert np.abs(s @ P).max() / s.sum() < 1e-9  # the intercept is not penalised


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("limit", ["SMALL_HESSIAN", "MOST_COORDINATES", "MOST_CLASSES"])
def test_every_curvature_leads_to_the_minimiser_of_newtons_method(monkeypatch, K, limit):
    X, p, _ = curved_teacher(80, 9, K=K)
    direct = SoftLabelClassifier(alpha=0.01).fit(X, p)
    for name in {"SMALL_HESSIAN", "LARGE_HESSIAN", limit}:
        monkeypatch.setattr(f"limbeck.students.solver.{name}", 0)
    monkeypatch.setattr("limbeck.students.solver.MOST_SPARSE_COORDINATES", 0)
    for A in (X, csr_array(X)):
        np.testing.assert_allclose(SoftLabelClassifier(alpha=0.01).fit(A, p).coef_, direct.coef_, atol=1e-8)


@pytest.mark.parametrize(
    ("n", "d", "K", "near"),
    [
        (20, 40, 2, 0.02),
        (40, 40, 2, 0.02),
        (60, 15, 2, 0.02),
        (20, 40, 3, 0.06),
        (40, 30, 3, 0.12),
        (60, 6, 3, 0.06),
    ],
)
def test_leave_one_out_by_a_newton_step_is_what_refits_give(n, d, K, near):
    X, p, _ = curved_teacher(n, d, K)
    path = SoftLabelClassifier().fit(X, p).alpha_path_
    labels = from_probabilities(p)
    for at in (1, 5, 9, 13, 16):
        refits = []
        for i in range(n):
            rest = np.delete(np.arange(n), i)
            student = SoftLabelClassifier(alpha=path.alphas[at] * n / (n - 1)).fit(X[rest], p[rest])
            refits.append(cross_entropy(labels[[i]], student.decision_function(X[[i]]))[0])
        assert path.losses[at] == pytest.approx(np.mean(refits), rel=near)


def test_leaving_out_of_all_classes_is_one_step_on_either_side(monkeypatch):
    rng = np.random.default_rng(5)
    A = rng.standard_normal((30, 40))
    labels, weight = from_probabilities(rng.dirichlet(np.ones(4), 30)), rng.dirichlet(np.ones(30))
    objective = Objective(A, labels, weight, 1e-3, intercept=True)
    theta, mass = minimise(objective, objective.zero()).theta, weight * rng.choice([0.5, 1.0], 30)
    of_rows = leave_one_out(objective, theta, mass)
    monkeypatch.setattr("limbeck.students.leave_one_out.MOST_ROWS", 0)
    of_parameters = leave_one_out(objective, theta, mass)
    shift = (of_rows - of_parameters).mean(axis=1, keepdims=True)  # which no probability sees
    np.testing.assert_allclose(of_rows - shift, of_parameters, atol=1e-6)  # LEAST_INTERCEPT


@pytest.mark.parametrize(("n", "d"), [(20, 40), (60, 15)])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_a_row_of_weight_two_is_two_rows_to_leave_one_out(n, d, noise):
    rng = np.random.default_rng(n)
    X, times = rng.standard_normal((n, d)), rng.integers(1, 4, n)
    z = X @ rng.standard_normal(d) + noise * rng.standard_normal(n)
    again = np.repeat(np.arange(n), times)
    weighted = SoftLabelClassifier().fit(X, teacher_logits=z, sample_weight=times)
    repeated = SoftLabelClassifier().fit(X[again], teacher_logits=z[again])
    assert weighted.alpha_ == pytest.approx(repeated.alpha_, rel=1e-9)
    np.testing.assert_allclose(weighted.alpha_path_.losses, repeated.alpha_path_.losses, rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(weighted.alpha_path_.stderrs, repeated.alpha_path_.stderrs, rtol=1e-4)
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-8)


def test_a_class_of_probability_0_everywhere_keeps_its_logits_in_leave_one_out():
    rng = np.random.default_rng(3)
    A, even = rng.standard_normal((20, 30)), np.full(20, 0.05)
    labels = from_probabilities(np.eye(3)[rng.integers(0, 2, 20)])
    objective = Objective(A, labels, even, 1e-3, intercept=True)
    theta = objective.zero()
    theta[-1, 2] = -2000.0  # the third class's probability is 0 in every row, to the last bit
    left = leave_one_out(objective, theta, even)  # warnings are errors
    np.testing.assert_array_equal(left[:, 2], objective.logits(theta)[:, 2])
    assert np.all(np.isfinite(left))


def barely_curved():
    """A large direction, and small ones that the answers depend on: the best ridge is far below the curvature."""
    rng = np.random.default_rng(4)
    X = rng.standard_normal((300, 4)) * [3000.0, 0.1, 0.1, 0.1]
    p = expit(X[:, 1:] @ [20.0, 15.0, -18.0] + 0.5 * rng.standard_normal(300))
    return X, np.where(np.arange(300) < 6, p > 0.5, p)


def test_the_ridge_is_followed_until_leave_one_out_has_its_least_inside():
    X, p = barely_curved()
    path = SoftLabelClassifier().fit(X, p).alpha_path_
    assert path.alphas[0] < 1e-8 * 0.99 * path.alphas[-1]
    assert path.alphas[0] < path.chosen < path.alphas[-1]
    left = [np.delete(np.arange(300), i) for i in range(0, 300, 20)]
    better, edge = (
        sum(
            cross_entropy(
                from_probabilities(p[[i * 20]]),
                SoftLabelClassifier(alpha=a).fit(X[rows], p[rows]).decision_function(X[[i * 20]]),
            )[0]
            for i, rows in enumerate(left)
        )
        for a in (path.chosen, path.alphas[-1] * 1e-8)
    )
    assert better < edge


def test_a_ridge_below_the_usual_at_which_newton_does_not_end_is_not_taken(monkeypatch):
    X, p = barely_curved()
    usual = SoftLabelClassifier().fit(X, p).alpha_path_.alphas[-1] * 1e-8

    def ending(objective, *args, **options):
        found = minimise(objective, *args, **options)
        return replace(found, converged=found.converged and objective.alpha > 0.2 * usual)

    monkeypatch.setattr("limbeck.students._path.minimise", ending)
    path = SoftLabelClassifier().fit(X, p).alpha_path_
    assert path.chosen == path.alphas[0] == pytest.approx(usual / np.sqrt(10))
    assert "still falls" in path.reason


@pytest.mark.parametrize("d", [3, 10])
def test_a_loss_that_falls_until_rounding_is_not_followed_further_or_says_so(d):
    X, z, _, _ = linear_teacher(80, d)
    path = SoftLabelClassifier().fit(csr_array(X * ([1e7] + [1.0] * (d - 1))), expit(z)).alpha_path_
    assert path.losses[0] >= path.losses[1:].min() or "still falls" in path.reason


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("guess", [16, 22, 28])
def test_the_ridge_found_from_a_guess_is_the_ridge_of_all(monkeypatch, K, guess):
    X, p, rng = curved_teacher(60, 12, K)
    p = np.eye(K)[rng.integers(0, K, 60)] * 0.5 + (np.column_stack([1 - p, p]) if K == 2 else p) * 0.5
    p[0] = np.eye(K)[0]  # so that alpha = 0 is not tried
    full = SoftLabelClassifier().fit(X, p)
    monkeypatch.setattr("limbeck.students._path.CHEAP", 0)
    for start in (None, guess):
        if start is not None:
            monkeypatch.setattr("limbeck.students._path._guess", lambda *_: guess)
        near = SoftLabelClassifier().fit(X, p)
        assert near.alpha_ == full.alpha_
        np.testing.assert_allclose(near.coef_, full.coef_, rtol=1e-7)
        assert len(near.alpha_path_.alphas) < len(full.alpha_path_.alphas)


@pytest.mark.parametrize(("n", "d"), [(20, 40), (60, 15)])
def test_leave_one_out_at_alpha_0_is_exact_for_a_linear_teacher(n, d):
    X, z, _, _ = linear_teacher(n, d)
    X[1] = X[0]
    z[1] = z[0]
    path = SoftLabelClassifier().fit(X, teacher_logits=z).alpha_path_
    labels, refits = from_probabilities(expit(z)), []
    for i in range(n):
        rest = np.delete(np.arange(n), i)
        student = SoftLabelClassifier(alpha=0).fit(X[rest], teacher_logits=z[rest])
        refits.append(cross_entropy(labels[[i]], student.decision_function(X[[i]]))[0])
    assert path.alphas[0] == 0
    assert path.losses[0] == pytest.approx(np.mean(refits), rel=1e-6)


def test_alpha_0_is_kept_for_most_linear_teachers_and_always_beyond_d():
    kept = [
        SoftLabelClassifier().fit(X, teacher_logits=z).alpha_ == 0
        for X, z, _, _ in (linear_teacher(40, 60, seed=seed, scale=3) for seed in range(20))
    ]
    assert np.mean(kept) > 0.6
    for seed in range(5):
        X, z, w, _ = linear_teacher(90, 60, seed=seed, scale=3)
        student = SoftLabelClassifier().fit(X, teacher_logits=z)
        assert student.alpha_ == 0
        np.testing.assert_allclose(student.coef_[0], w, atol=1e-9)


def test_leave_one_out_removes_the_peak_of_a_nonlinear_teacher():
    rng = np.random.default_rng(0)
    d, n = 40, 44
    V, X, T = rng.standard_normal((d, 30)), rng.standard_normal((n, d)), rng.standard_normal((2000, d))

    def teacher(X):
        return np.maximum(X @ V, 0) @ np.sign(np.arange(30) - 14.5) / 4

    truth = teacher(T) >= 0
    risks = {
        alpha: np.mean(
            (SoftLabelClassifier(alpha=alpha).fit(X, teacher_logits=teacher(X)).decision_function(T) >= 0)
            != truth
        )
        for alpha in (0, "loo")
    }
    assert risks["loo"] < 0.75 * risks[0]
    # Right at the rank a few rows of leverage 1 swell the standard error: unless they are pulled in, alpha = 0 is
    # kept in half of these.
    left = 0
    for seed in range(20):
        X = np.random.default_rng(seed).standard_normal((42, d))
        left += SoftLabelClassifier().fit(X, teacher_logits=teacher(X)).alpha_ > 0
    assert left >= 14


# -- the flow ----------------------------------------------------------------------------------------------


def test_stopped_flow_is_the_theorys_flow():
    X, z, _, _ = linear_teacher(30, 50)
    student = SoftLabelClassifier(stop_time=3.0, fit_intercept=False).fit(X, teacher_logits=z)
    flow = gradient_flow(X, z, times=[3.0])
    np.testing.assert_allclose(student.coef_[0], flow.weights[-1], atol=1e-6)
    assert np.isnan(student.alpha_)


def test_stop_time_is_one_over_alpha():
    X, p, _ = curved_teacher(100, 30)
    early, late = (SoftLabelClassifier(stop_time=t).fit(X, p) for t in (0.5, 50.0))
    for student, t in ((early, 0.5), (late, 50.0)):
        ridge = SoftLabelClassifier(alpha=1 / t).fit(X, p).coef_
        cosine = (student.coef_ @ ridge.T).item() / np.linalg.norm(student.coef_) / np.linalg.norm(ridge)
        assert cosine > 0.97
        assert 0.5 < np.linalg.norm(student.coef_) / np.linalg.norm(ridge) < 2
    three = SoftLabelClassifier(stop_time=5.0).fit(
        X, softmax(np.column_stack([X[:, 0], X[:, 1], X[:, 2]]), axis=1)
    )
    assert three.coef_.shape == (3, 30)


# -- is the teacher linear? ---------------------------------------------------------------------------------


def test_the_interval_of_the_held_out_residual_covers_what_it_says():
    """95 % nominal; below 90 % in 300 trials has probability under 1e-3 if it is."""
    rng, trials, covered = np.random.default_rng(0), 300, {"noise": 0, "kinks": 0}
    V = rng.standard_normal((5, 30))
    for _ in range(trials):
        X, T = rng.standard_normal((60, 5)), rng.standard_normal((4000, 5))
        for kind in covered:
            Z, truth = (
                (A[:, 0] + rng.standard_normal(len(A)))
                if kind == "noise"
                else np.maximum(A @ V, 0) @ np.sign(np.arange(30) - 14.5)
                for A in (X, T)
            )
            found = linearity(X, from_logits(Z), intercept=True)
            theta = np.linalg.lstsq(np.column_stack([X, np.ones(60)]), Z, rcond=None)[0]
            off = np.sqrt(np.mean(np.square(truth - T @ theta[:5] - theta[5]))) / np.std(Z)
            covered[kind] += found.low <= off <= found.high
    assert min(covered.values()) > 0.9 * trials


@pytest.mark.parametrize("scale", [1e-150, 1e-20, 1e20, 1e150])
@pytest.mark.parametrize(("n", "d"), [(30, 60), (200, 20)])
def test_the_verdict_does_not_depend_on_units(scale, n, d):
    X, z, _, _ = linear_teacher(n, d)
    found = SoftLabelClassifier(alpha=0.1 * scale**2).fit(scale * X, teacher_logits=z)
    assert found.linearity_.verdict == ("cannot tell yet" if n < d else "linear")
    unit = SoftLabelClassifier(alpha=0.1).fit(X, teacher_logits=z)
    np.testing.assert_allclose(scale * found.coef_, unit.coef_, rtol=1e-6)


def test_features_that_vanish_beside_the_intercept_are_refused_where_they_share_a_norm():
    X, z, _, _ = linear_teacher(30, 60)
    with pytest.raises(ValueError, match="vanish beside the intercept's column of ones"):
        SoftLabelClassifier(alpha=0).fit(1e-13 * X, teacher_logits=z)
    student = SoftLabelClassifier(alpha=0, fit_intercept=False).fit(1e-150 * X, teacher_logits=z)
    np.testing.assert_allclose(student.decision_function(1e-150 * X), z, atol=1e-10)


# -- batches -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d", "K"), [(30, 60, 2), (120, 20, 2), (50, 20, 3)])
def test_partial_fit_in_any_order_is_the_batch_answer(n, d, K):
    X, Z, _, rng = linear_teacher(n, d, K)
    batch = SoftLabelClassifier(alpha=0).fit(X, teacher_logits=Z)
    for sizes in (1, 7, n):
        student, order = SoftLabelClassifier(alpha=0), rng.permutation(n)
        for start in range(0, n, sizes):
            rows = order[start : start + sizes]
            student.partial_fit(X[rows], teacher_logits=Z[rows])
        np.testing.assert_allclose(student.coef_, batch.coef_, atol=1e-9)
        np.testing.assert_allclose(student.intercept_, batch.intercept_, atol=1e-9)


def test_partial_fit_is_refused_where_it_is_not_exact():
    X, p, _ = curved_teacher(60, 5)
    student = SoftLabelClassifier(alpha=0).partial_fit(X[:4], p[:4])
    before = student.coef_.copy()
    with pytest.raises(ValueError, match="No linear teacher gave these answers"):
        student.partial_fit(X[4:], p[4:])
    np.testing.assert_array_equal(student.coef_, before)
    with pytest.raises(ValueError, match="Row 1 holds a probability of 0 or 1"):
        student.partial_fit(X[:2], [0.5, 1.0])
    named = SoftLabelClassifier(alpha=0).partial_fit(X[:3], p[:3], classes=["no", "yes"])
    assert named.partial_fit(X[3:4], p[3:4]).classes_.tolist() == ["no", "yes"]
    assert named.classes is None
    with pytest.raises(AttributeError) as refusal:
        _ = SoftLabelClassifier().partial_fit
    assert "partial_fit is exact for alpha=0 only" in str(refusal.value.__cause__)


@pytest.mark.parametrize(("n", "d", "rank"), [(30, 60, 60), (120, 20, 20), (400, 20, 5)])
def test_partial_fit_goes_on_from_fit_and_fit_starts_anew(n, d, rank):
    X, z, _, rng = linear_teacher(n, d)
    X = X[:, :rank] @ rng.standard_normal((rank, d)) if rank < d else X
    z = X @ rng.standard_normal(d) + 0.3
    whole = SoftLabelClassifier(alpha=0).fit(X, teacher_logits=z)
    student = SoftLabelClassifier(alpha=0).fit(X[:20], teacher_logits=-z[:20])  # forgotten
    student.fit(X[:25], teacher_logits=z[:25])
    for rows in (slice(25, 27), slice(27, n)):
        assert student.partial_fit(X[rows], teacher_logits=z[rows]) is student
    np.testing.assert_allclose(student.decision_function(X), z, atol=1e-9)
    np.testing.assert_allclose(student.coef_, whole.coef_, atol=1e-9)
    assert student.linearity_.verdict == "cannot tell yet"
    assert (student.linearity_.n, student.linearity_.rank) == (n, whole.linearity_.rank)
    other = student.fit(X[:9], teacher_logits=-z[:9])
    again = SoftLabelClassifier(alpha=0).fit(X[:9], teacher_logits=-z[:9])
    np.testing.assert_array_equal(other.coef_, again.coef_)
    np.testing.assert_allclose(
        other.partial_fit(X[9:15], teacher_logits=-z[9:15]).decision_function(X[:15]), -z[:15], atol=1e-9
    )


def test_partial_fit_counts_the_rows_it_drops():
    X, z, _, _ = linear_teacher(20, 30)
    p = expit(z)
    p[[3, 12]] = [0.0, 1.0]
    student = SoftLabelClassifier(alpha=0, saturated="drop").partial_fit(X[:10], p[:10])
    assert student.n_saturated_ == 1
    assert student.partial_fit(X[10:], p[10:]).n_saturated_ == 2
    assert student.linearity_.n == 18
    assert student.fit(X[:10], p[:10]).partial_fit(X[10:], p[10:]).n_saturated_ == 2


def test_partial_fit_refuses_to_go_on_from_nothing():
    X, z, _, _ = linear_teacher(40, 5)
    p = expit(z)
    held = p.copy()
    held[0] = 1.0
    fitted = [
        (SoftLabelClassifier(alpha=0.1).fit(X, p), "with a ridge"),
        (SoftLabelClassifier(alpha=0).fit(csr_array(X), p), "sparse points"),
        (SoftLabelClassifier(alpha=0, fit_intercept=False).fit(X, p), "with fit_intercept=False"),
        (SoftLabelClassifier(alpha=0, saturated="bound").fit(X[:4], held[:4]), "saturated='bound'"),
    ]
    for student, said in fitted:
        before = student.coef_.copy()
        with pytest.raises(ValueError, match=f"this student was fitted .*{said}"):
            student.set_params(alpha=0, fit_intercept=True).partial_fit(X, p)
        np.testing.assert_array_equal(student.coef_, before)


def test_answers_are_a_linear_teachers_to_the_precision_they_were_stored_in():
    X, z, _, _ = linear_teacher(120, 20)
    exact = SoftLabelClassifier(alpha=0).fit(X, teacher_logits=z)
    stored = [
        ({"teacher_proba": expit(z).astype(np.float32)}, 1e-5),
        ({"teacher_logits": z.astype(np.float32)}, 1e-6),
        ({"teacher_proba": np.round(expit(z), 3)}, None),
    ]
    for answers, close in stored:
        student = SoftLabelClassifier(alpha=0).fit(X, **answers)
        assert student.realisable_
        assert student.linearity_.verdict == "linear"
        assert SoftLabelClassifier(alpha=0).fit(csr_array(X), **answers).realisable_
        batches = SoftLabelClassifier(alpha=0)
        halves = [
            {name: said[rows] for name, said in answers.items()} for rows in (slice(60), slice(60, 120))
        ]
        if close is None:
            with pytest.raises(ValueError, match="rounded so much that least squares and the cross-entropy"):
                batches.partial_fit(X[:60], **halves[0])
            continue
        np.testing.assert_allclose(student.coef_, exact.coef_, atol=close)
        batches.partial_fit(X[:60], **halves[0]).partial_fit(X[60:], **halves[1])
        np.testing.assert_allclose(batches.coef_, exact.coef_, atol=close)
    bent = z + 1e-3 * np.sin(9 * z)  # beyond the rounding of 32 bits, and within that of 3 decimals
    assert not SoftLabelClassifier(alpha=0).fit(X, teacher_logits=bent.astype(np.float32)).realisable_
    assert not SoftLabelClassifier(alpha=0).fit(X, teacher_proba=expit(bent).astype(np.float32)).realisable_


# -- scikit-learn's machinery ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def routed():
    X, y = make_classification(200, 10, n_informative=6, random_state=0)
    return X, y, LogisticRegression().fit(X, y).predict_proba(X)


def test_teacher_answers_are_routed(routed):
    X, y, P = routed
    direct = SoftLabelClassifier().fit(X, y, teacher_proba=P)
    assert direct.linearity_.verdict == "linear"
    with config_context(enable_metadata_routing=True):
        pipe = make_pipeline(StandardScaler(), SoftLabelClassifier()).fit(X, y, teacher_proba=P)
        assert pipe[-1].linearity_.verdict == "linear"
        search = GridSearchCV(SoftLabelClassifier(), {"alpha": [0.0, 0.1]}, cv=StratifiedKFold(3))
        assert search.fit(X, y, teacher_proba=P).best_params_ == {"alpha": 0.0}
        proba = cross_val_predict(
            SoftLabelClassifier(), X, y, params={"teacher_proba": P}, method="predict_proba"
        )
        np.testing.assert_allclose(proba, P, atol=1e-5)
        assert cross_val_score(SoftLabelClassifier(), X, y, params={"teacher_logits": np.log(P)}).mean() > 0.8
        CalibratedClassifierCV(SoftLabelClassifier(), cv=3).fit(X, y, teacher_proba=P)
        BaggingClassifier(SoftLabelClassifier(alpha=0.1), 3, random_state=0).fit(X, y, teacher_proba=P)
        VotingClassifier([("a", SoftLabelClassifier()), ("b", SoftLabelClassifier(alpha=1.0))]).fit(
            X, y, teacher_proba=P
        )
        StackingClassifier([("a", SoftLabelClassifier())], SoftLabelClassifier()).fit(X, y, teacher_proba=P)
        for method in ("fit", "partial_fit"):
            asked = getattr(SoftLabelClassifier(alpha=0).get_metadata_routing(), method).requests
            assert asked["teacher_proba"] is asked["teacher_logits"] is True


@pytest.mark.filterwarnings("ignore:The number of unique classes:UserWarning")
def test_probabilities_encoded_as_classes_are_refused(routed):
    X, _, P = routed
    for p in (P[:, 1] + 1e-9 * np.arange(200), np.round(P[:, 1], 3)):
        with pytest.raises(ValueError, match="give it hard labels as y"):
            cross_val_predict(SoftLabelClassifier(), X, p, method="predict_proba", cv=3)


def test_a_fold_with_fewer_classes_than_columns():
    X, P, _ = curved_teacher(40, 4, K=3)
    y = np.zeros(40, dtype=int)
    y[20:] = 2
    student = SoftLabelClassifier(alpha=0.1).fit(X, y, teacher_proba=P)
    assert student.classes_.tolist() == [0, 1, 2]
    names = np.array(["a", "b", "c"])[y]
    with pytest.raises(ValueError, match="a fold may hold fewer"):
        SoftLabelClassifier(alpha=0.1).fit(X, names, teacher_proba=P)
    named = SoftLabelClassifier(alpha=0.1, classes=["a", "b", "c"]).fit(X, names, teacher_proba=P)
    np.testing.assert_allclose(named.coef_, student.coef_)
    assert set(named.predict(X)) <= {"a", "b", "c"}


def test_columns_with_names_are_matched_to_classes():
    X, P, _ = curved_teacher(40, 4, K=3)
    y = np.array(["a", "b", "c"])[P.argmax(axis=1)]
    direct = SoftLabelClassifier(alpha=0.1).fit(X, y, teacher_proba=P)
    turned = pd.DataFrame(P[:, [2, 0, 1]], columns=["c", "a", "b"])
    for student in (
        SoftLabelClassifier(alpha=0.1).fit(X, y, teacher_proba=turned),
        SoftLabelClassifier(alpha=0.1, classes=["a", "b", "c"]).fit(X, turned),
    ):
        assert student.classes_.tolist() == ["a", "b", "c"]
        np.testing.assert_allclose(student.coef_, direct.coef_)
        assert student.score(X, turned) == student.score(X, P)
    assert SoftLabelClassifier(alpha=0.1).fit(X, turned).classes_.tolist() == ["c", "a", "b"]
    fold = SoftLabelClassifier(alpha=0.1).fit(
        X[y != "b"], y[y != "b"], teacher_proba=pd.DataFrame(P[y != "b"], columns=["a", "b", "c"])
    )
    assert fold.classes_.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"teacher_proba: .* Give teacher_proba.to_numpy\(\)"):
        SoftLabelClassifier(alpha=0.1).fit(X, y, teacher_proba=pd.DataFrame(P, columns=["x", "y", "z"]))


def test_what_y_means():
    X, p, _ = curved_teacher(50, 4)
    hard = (p > 0.5).astype(int)
    for y in (hard, hard.astype(float), hard.astype(bool), np.array(["n", "y"])[hard]):
        student = SoftLabelClassifier(alpha=0.1).fit(X, y)
        np.testing.assert_allclose(
            student.coef_, SoftLabelClassifier(alpha=0.1).fit(X, np.eye(2)[hard]).coef_
        )
        assert student.classes_.tolist() == np.unique(y).tolist()
    soft = SoftLabelClassifier(alpha=0.1).fit(X, p)
    np.testing.assert_allclose(
        soft.coef_, SoftLabelClassifier(alpha=0.1).fit(X, np.column_stack([1 - p, p])).coef_
    )
    assert soft.score(X, p) == soft.score(X, hard) == soft.score(X, np.column_stack([1 - p, p]))


@pytest.mark.parametrize("student", [SoftLabelClassifier(alpha=0), KernelSoftLabelClassifier(RBF(), alpha=0)])
def test_a_fit_that_is_refused_leaves_the_student_there_was(student):
    X, z, _, _ = linear_teacher(40, 4)
    named, p = pd.DataFrame(X, columns=list("abcd")), expit(z)
    student = clone(student).fit(named, p)
    before = student.decision_function(named)
    held = np.where(np.arange(40) < 5, 0.0, p)
    methods = [student.fit, student.partial_fit] if hasattr(student, "partial_fit") else [student.fit]
    for again in methods:
        with pytest.raises(ValueError, match="0 or 1"):
            again(named.rename(columns={"a": "e"}) if again == student.fit else named, held)
    with pytest.raises(ValueError, match="0 or 1"):
        student.fit(X[:, :2], held)
    assert student.n_features_in_ == 4
    np.testing.assert_array_equal(student.decision_function(named), before)
    fresh = clone(student)
    with pytest.raises(ValueError, match="0 or 1"):
        fresh.fit(X, held)
    assert not hasattr(fresh, "n_features_in_")


def test_float32_in_float32_out():
    X, z, w, _ = linear_teacher(30, 60)
    student = SoftLabelClassifier(alpha=0).fit(X.astype(np.float32), teacher_logits=z)
    assert student.coef_.dtype == student.decision_function(X.astype(np.float32)).dtype == np.float32
    assert student.predict_proba(X.astype(np.float32)).dtype == np.float32
    kernel = KernelSoftLabelClassifier(RBF(), alpha=0.1).fit(X.astype(np.float32), teacher_logits=z)
    assert kernel.decision_function(X.astype(np.float32)).dtype == np.float64  # as its notes say
    assert np.linalg.norm(student.coef_[0] - Span(X).project(w)) < 0.2


def test_to_sklearn_predicts_the_same():
    X, P, _ = curved_teacher(50, 4, K=3)
    for y in (P, P[:, 0]):
        student = SoftLabelClassifier().fit(X, y)
        model = student.to_sklearn()
        np.testing.assert_allclose(model.predict_proba(X), student.predict_proba(X), atol=1e-14)
        np.testing.assert_array_equal(model.predict(X), student.predict(X))
        clone(model)
    exact = SoftLabelClassifier(alpha=0, fit_intercept=False).fit(X, teacher_logits=X[:, 0])
    zero = np.zeros((1, 4))  # said of `to_sklearn`
    assert (exact.predict(zero), exact.to_sklearn().predict(zero)) == (1, 0)


def test_log_probabilities_where_probabilities_underflow():
    X, z, _, _ = linear_teacher(30, 5, scale=3000)
    student = SoftLabelClassifier(alpha=0, fit_intercept=False).fit(X, teacher_logits=z)
    logs = student.predict_log_proba(X)
    np.testing.assert_allclose(logs[:, 1] - logs[:, 0], z, rtol=1e-9)
    assert loss(student.coef_[0], X, z) < 1e-15


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        (ValueError, {"y": np.array([0.2, 1.4] * 10)}, r"Unknown label type: continuous. Row 1 holds 1.4"),
        (ValueError, {"y": np.full((20, 3), 0.2)}, "Row 0 of the probabilities sums to 0.6"),
        (ValueError, {"y": np.array([0.2, np.nan] * 10)}, "row 1"),
        (ValueError, {"y": np.zeros(20, dtype=int)}, "only one class"),
        (ValueError, {"y": np.full(19, 0.5)}, "inconsistent numbers of samples"),
        (ValueError, {"sample_weight": np.zeros(20)}, "at least one non-zero"),
        (ValueError, {"teacher_logits": np.zeros((20, 1))}, "one column"),
        (ValueError, {"teacher_logits": np.zeros(20), "teacher_proba": np.full(20, 0.5)}, "both given"),
        (ValueError, {"alpha": -1.0}, "alpha must be"),
        (ValueError, {"alpha": "cv"}, "alpha must be"),
        (ValueError, {"saturated": "clip"}, "saturated must be"),
        (ValueError, {"stop_time": 0}, "stop_time must be"),
        (ValueError, {"classes": ["a"]}, "classes must be 2 different names"),
        (ValueError, {"fit_intercept": "no"}, "fit_intercept must be True or False, got 'no'"),
        (ValueError, {"max_iter": True}, "max_iter must be a whole number from 1 to 1000000000, got True"),
    ],
)
def test_bad_input_is_refused(kind, change, said):
    X = np.random.default_rng(0).standard_normal((20, 3))
    given = {"y": np.linspace(0.1, 0.9, 20), **change}
    fit = {k: given.pop(k) for k in ("y", "sample_weight", "teacher_logits", "teacher_proba") if k in given}
    if "teacher_logits" in fit:
        del fit["y"]
    with pytest.raises(kind, match=said):
        SoftLabelClassifier(**given).fit(X, **fit)


@pytest.mark.parametrize("alpha", [0, 0.1, "loo"])
@pytest.mark.parametrize("K", [2, 3])
def test_features_that_say_nothing(alpha, K):
    X, P, _ = curved_teacher(30, 4, K)
    student = SoftLabelClassifier(alpha=alpha, fit_intercept=False).fit(0 * X, P)
    np.testing.assert_allclose(student.predict_proba(X), 1 / K)
    mean = SoftLabelClassifier(alpha=alpha).fit(0 * X, P).predict_proba(X[:1])[0, -1]
    assert mean == pytest.approx(P.mean(axis=0)[-1] if K == 3 else P.mean())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("form", [np.asarray, csr_array, pd.DataFrame])
def test_a_number_that_is_not_finite_is_named(bad, form):
    X, p, _ = curved_teacher(20, 3)
    fitted = SoftLabelClassifier(alpha=0.1).fit(form(X), p)
    X[7, 2] = bad
    with pytest.raises(ValueError, match="row 7, column 2"):
        SoftLabelClassifier().fit(form(X), p)
    with pytest.raises(ValueError, match="row 7, column 2"):
        fitted.predict(form(X))


def test_ordinary_degeneracies():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal(30), np.ones(30), np.zeros(30)])  # constant features
    student = SoftLabelClassifier().fit(X, expit(X[:, 0]))
    np.testing.assert_allclose(student.predict_proba(X)[:, 1], expit(X[:, 0]), atol=1e-6)
    alone = SoftLabelClassifier(alpha=0).fit(X[:1], [0.3])
    assert alone.predict_proba(X[:1])[0, 1] == pytest.approx(0.3)
    with pytest.raises(ValueError, match="1 sample"):
        SoftLabelClassifier().fit(X[:1], [0.3])


def uncanonical(X, index=np.int32):
    """Rows backwards, the first entry in two halves, all arrays read-only."""
    data, indices, indptr = [], [], [0]
    for row in X:
        columns = np.flatnonzero(row)[::-1]
        data += [*row[columns[:1]] / 2, *row[columns[:1]] / 2, *row[columns[1:]]]
        indices += [*columns[:1], *columns]
        indptr.append(len(indices))
    arrays = np.array(data), np.array(indices, dtype=index), np.array(indptr, dtype=index)
    for a in arrays:
        a.flags.writeable = False
    made = csr_array(X.shape)
    made.data, made.indices, made.indptr = arrays
    return made


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize(
    "estimator",
    [
        SoftLabelClassifier(alpha=0),
        SoftLabelClassifier(alpha=0.1),
        SoftLabelClassifier(),
        SoftLabelClassifier(stop_time=3.0),
        DistilledClassifier(lambda X: expit(X[:, 0] if isinstance(X, np.ndarray) else X.toarray()[:, 0])),
    ],
)
def test_sparse_rows_are_never_touched(estimator, index):
    X, p, _ = curved_teacher(40, 12)
    X = X * (np.abs(X) > 0.3)
    given = uncanonical(X, index)
    before = given.data.copy(), given.indices.copy(), given.indptr.copy()
    answers = () if isinstance(estimator, DistilledClassifier) else (p,)
    student = clone(estimator).fit(given, *answers)
    wanted = clone(estimator).fit(csr_array(X), *answers)
    np.testing.assert_allclose(
        student.decision_function(given), wanted.decision_function(X), rtol=1e-6, atol=1e-9
    )
    for was, now in zip(before, (given.data, given.indices, given.indptr), strict=True):
        np.testing.assert_array_equal(was, now)


def test_a_class_without_curvature_has_no_say_in_leave_one_out():
    X, y = load_digits(return_X_y=True)
    rows = np.random.default_rng(3).permutation(1197)[:48]
    path = SoftLabelClassifier().fit(X[rows], np.eye(10)[y[rows]]).alpha_path_  # warnings are errors
    assert np.all(np.isfinite(path.losses))


def test_soft_labels_read_before_are_learned_as_they_are():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 5))
    logs = X @ rng.standard_normal((5, 6))
    logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
    likeliest = np.argsort(-logs, axis=1)[:, :3]
    said = from_top_k(likeliest, np.take_along_axis(logs, likeliest, axis=1), 6, tail="uniform")
    student = SoftLabelClassifier(0.01).fit(X, said)
    again = SoftLabelClassifier(0.01).fit(X, said.probabilities)
    assert np.allclose(student.coef_, again.coef_, rtol=0, atol=1e-9)
    assert student.score(X, said) == agreement(said, student.predict_proba(X))
    assert soft_cross_entropy(said, student.decision_function(X)) == pytest.approx(
        cross_entropy(said, student.decision_function(X)).mean()
    )
    named = SoftLabelClassifier(0.01, classes=list("abcdef")).fit(X, said)
    assert set(named.predict(X)) <= set("abcdef")
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        SoftLabelClassifier().fit(X[:-1], said)
    with pytest.raises(ValueError, match="y must be class labels, got soft ones"):
        SoftLabelClassifier().fit(X, said, teacher_proba=said.probabilities)
    hard = from_hard(said.decisions, 6)
    assert np.array_equal(
        SoftLabelClassifier(0.01).fit(X, hard).coef_, SoftLabelClassifier(0.01).fit(X, said.decisions).coef_
    )


def test_soft_labels_read_before_keep_the_rounding_that_was_found():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 3))
    said = from_probabilities(np.round(expit(X @ [1.0, -1.0, 0.5]), 3))
    # Of ten rows alone nobody could tell that they were rounded.
    assert SoftLabelClassifier(0).fit(X[:10], said[:10]).realisable_
    assert not SoftLabelClassifier(0).fit(X[:10], said.probabilities[:10]).realisable_


def rare_pixels(seed, size=8.0, K=5):
    """A curved teacher on digits, some of whose pixels are dark in all but a few rows."""
    rng = np.random.default_rng(seed)
    X = load_digits().data / 16
    z = size * np.tanh(X @ rng.standard_normal((64, 30)) / 2) @ rng.standard_normal((30, K)) / 3
    rows = rng.choice(len(X), 120, replace=False)
    return X[rows], z[rows]


@pytest.mark.parametrize("seed", [2, 4])
def test_the_exact_student_is_found_where_rows_are_all_but_saturated(seed):
    X, z = rare_pixels(seed)
    student = SoftLabelClassifier(alpha=0).fit(X, teacher_logits=z)
    P = student.predict_proba(X) - softmax(z, axis=1)
    assert np.abs(X.T @ P).max() / len(X) < 1e-9
    assert np.abs(P.mean(axis=0)).max() < 1e-9


def test_a_step_that_rounding_turned_uphill_is_damped(monkeypatch):
    X, z = rare_pixels(0)
    A, labels = np.column_stack([X, np.ones(len(X))]), from_logits(z)
    objective = Objective(A, labels, np.full(len(X), 1 / len(X)), 0.0)

    def astray(H, gradient, damping=0.0):
        step = newton_step(H, gradient, damping)
        return step if damping > 1e-9 else 1e12 * step

    monkeypatch.setattr("limbeck.students.solver.newton_step", astray)
    assert newton(objective, objective.zero()).gradient < 1e-6


def test_leaving_out_at_alpha_0_fits_rows_again_that_a_step_moves_far():
    X, z = rare_pixels(2, 3.0, 3)
    labels = from_logits(z)
    path = SoftLabelClassifier().fit(X, teacher_logits=z).alpha_path_
    left = [np.delete(np.arange(120), i) for i in range(120)]
    refits = [
        cross_entropy(
            labels[[i]], SoftLabelClassifier(0).fit(X[rest], teacher_logits=z[rest]).decision_function(X[[i]])
        )
        for i, rest in enumerate(left)
    ]
    assert path.losses[0] == pytest.approx(np.mean(refits), rel=0.03)  # one step a row says 114128 nats
