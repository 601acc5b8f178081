import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, softmax
from sklearn import config_context
from sklearn.base import clone
from sklearn.kernel_approximation import Nystroem
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from limbeck import KernelSoftLabelClassifier, SoftLabelClassifier
from limbeck.theory import KernelSpan
from limbeck.theory.kernels import NTK, RBF, Linear, Normalised


@parametrize_with_checks([KernelSoftLabelClassifier(alpha=0.01)])
def test_every_scikit_learn_check_passes(estimator, check):
    check(estimator)


def task(n, d, K=2, seed=0):
    rng = np.random.default_rng([seed, n, d, K])
    X = rng.standard_normal((n, d))
    Z = np.tanh(X @ rng.standard_normal((d, K))) + 0.2 * X @ rng.standard_normal((d, K))
    return X, (Z[:, 0] if K == 2 else Z), rng


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("alpha", [0, 0.03, "loo"])
@pytest.mark.parametrize(("n", "d"), [(15, 40), (60, 8)])
def test_the_linear_kernel_gives_the_linear_student(n, d, alpha, K):
    X, Z, rng = task(n, d, K)
    P = expit(Z) if K == 2 else softmax(Z, axis=1)
    T = rng.standard_normal((50, d))
    ours = KernelSoftLabelClassifier(Linear(), alpha).fit(X, P)
    linear = SoftLabelClassifier(alpha).fit(X, P)
    assert ours.alpha_ == pytest.approx(linear.alpha_, rel=1e-9)
    np.testing.assert_allclose(
        ours.decision_function(T), linear.decision_function(T), atol=1e-8 if K > 2 else 1e-10
    )


@pytest.mark.parametrize("kernel", [NTK(3), RBF(2.0)])
def test_without_ridge_it_interpolates_as_k_K_inverse_z(kernel):
    X, z, rng = task(25, 6)
    T = rng.standard_normal((40, 6))
    student = KernelSoftLabelClassifier(kernel, 0, fit_intercept=False).fit(X, teacher_logits=z)
    assert student.realisable_
    direct = kernel(T, X) @ np.linalg.solve(kernel(X, X), z)
    np.testing.assert_allclose(student.decision_function(T), direct, atol=1e-8)
    # With an intercept in the norm: 1 is added to the kernel.
    lifted = KernelSoftLabelClassifier(kernel, 0).fit(X, teacher_logits=z)
    direct = (kernel(T, X) + 1) @ np.linalg.solve(kernel(X, X) + 1, z)
    np.testing.assert_allclose(lifted.decision_function(T), direct, atol=1e-8)


def test_with_a_ridge_it_minimises_the_penalised_cross_entropy_over_dual_coefficients():
    X, z, rng = task(20, 3)
    p, K, alpha = expit(z), NTK(2)(X, X), 0.02
    student = KernelSoftLabelClassifier(NTK(2), alpha, fit_intercept=False).fit(X, p)

    def objective(a):
        f = K @ a
        value = np.mean(np.logaddexp(0, f) - p * f) + alpha / 2 * a @ f
        return value, K @ ((expit(f) - p) / len(p) + alpha * a)

    found = minimize(
        objective, np.zeros(20), jac=True, method="L-BFGS-B", options={"ftol": 1e-16, "gtol": 1e-12}
    )
    T = rng.standard_normal((30, 3))
    np.testing.assert_allclose(student.decision_function(T), NTK(2)(T, X) @ found.x, atol=1e-5)


def test_landmarks_are_scikit_learns_nystroem():
    X, z, rng = task(80, 4)
    kernel, T = RBF(2.0), rng.standard_normal((30, 4))
    ours = KernelSoftLabelClassifier(kernel, 0.01, landmarks=20, random_state=0).fit(X, expit(z))
    features = Nystroem(kernel="rbf", gamma=1 / 8, n_components=20).fit(ours.span_.X)  # the same landmarks
    theirs = SoftLabelClassifier(0.01).fit(features.transform(X), expit(z))
    np.testing.assert_allclose(
        ours.decision_function(T), theirs.decision_function(features.transform(T)), atol=1e-6
    )
    assert ours.span_.n == 20


def test_repeated_and_weighted_rows_are_the_same():
    X, z, rng = task(12, 5)
    s = rng.integers(0, 3, 12)
    weighted = KernelSoftLabelClassifier(NTK(2), 0.1).fit(X, expit(z), sample_weight=s)
    repeated = KernelSoftLabelClassifier(NTK(2), 0.1).fit(np.repeat(X, s, axis=0), expit(np.repeat(z, s)))
    T = rng.standard_normal((20, 5))
    np.testing.assert_allclose(weighted.decision_function(T), repeated.decision_function(T), atol=1e-8)
    assert repeated.span_.rank == np.count_nonzero(s)


def test_pipelines_searches_and_classes():
    X, Z, _ = task(60, 5, 3)
    y = np.array(["a", "b", "c"])[Z.argmax(axis=1)]
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            make_pipeline(StandardScaler(), KernelSoftLabelClassifier(alpha=0.01)),
            {"kernelsoftlabelclassifier__kernel": [Linear(), NTK(2), RBF(3.0)]},
            cv=3,
        ).fit(X, y, teacher_logits=Z)
    assert list(search.classes_) == ["a", "b", "c"]
    assert search.best_score_ > 0.6
    np.testing.assert_allclose(np.exp(search.predict_log_proba(X)), search.predict_proba(X))
    assert (
        clone(search.best_estimator_[-1]).kernel == search.best_params_["kernelsoftlabelclassifier__kernel"]
    )


def test_bad_input_is_refused_with_what_to_do(monkeypatch):
    X, z, _ = task(12, 3)
    with pytest.raises(ValueError, match="kernel must be an object"):
        KernelSoftLabelClassifier("rbf").fit(X, expit(z))
    with pytest.raises(ValueError, match="landmarks must be"):
        KernelSoftLabelClassifier(landmarks=0).fit(X, expit(z))
    X[4] = 0
    with pytest.raises(ValueError, match="Row 4 has a feature of length zero"):
        KernelSoftLabelClassifier(Normalised(NTK(2))).fit(X, expit(z))
    assert KernelSoftLabelClassifier(NTK(2), 0.1).fit(X, expit(z)).span_.rank == 11
    monkeypatch.setattr("limbeck.theory._check.memory", lambda: 1000.0)
    with pytest.raises(ValueError, match=r"need .* GB .*Nystroem"):
        KernelSoftLabelClassifier().fit(X, expit(z))
    assert KernelSoftLabelClassifier(landmarks=5, random_state=0).fit(X, expit(z)).span_.n == 5


def test_the_span_of_a_fitted_student_has_the_theorys_readings():
    X, z, rng = task(12, 3)
    student = KernelSoftLabelClassifier(RBF(1.5), 0, fit_intercept=False).fit(X, teacher_logits=z)
    assert isinstance(student.span_, KernelSpan)
    T = rng.standard_normal((9, 3))
    c = student.span_.student(z).coordinates
    np.testing.assert_allclose(student.span_.logits(T, c), student.decision_function(T), atol=1e-9)


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("intercept", [True, False])
def test_with_the_linear_kernel_the_same_answers_are_proved(intercept, K):
    rng = np.random.default_rng(K)
    X, T = (rng.standard_normal((n, 20)) / np.arange(1, 21) for n in (12, 500))
    W, b = rng.standard_normal((20, 1 if K == 2 else K)), 0.3 * intercept
    Z = X @ W + b * np.arange(W.shape[1])
    Z = Z[:, 0] if K == 2 else Z
    fitted = [
        model.fit(X, teacher_logits=Z)
        for model in (
            KernelSoftLabelClassifier(Linear(), 0, fit_intercept=intercept),
            SoftLabelClassifier(0, fit_intercept=intercept),
        )
    ]
    ours, linear = (student.certify(T, teacher_norm=12.0) for student in fitted)
    # A kernel subtracts 1e-7 of the student's length from each margin.
    clear = np.abs(ours.largest_bound - linear.largest_bound) <= 1e-4 * linear.largest_bound
    assert clear.mean() > 0.99
    assert np.all(ours.largest_bound <= linear.largest_bound * (1 + 1e-7))
    assert 0 < ours.share < 1
    assert ours.norm_inside == pytest.approx(linear.norm_inside, rel=1e-6)


@pytest.mark.parametrize("decimals", [None, 3])
@pytest.mark.parametrize("intercept", [True, False])
def test_proved_answers_are_those_of_a_teacher_in_the_kernels_space(intercept, decimals):
    kernel, proved = RBF(2.0), 0
    for seed in range(5):
        rng = np.random.default_rng(seed)
        X, C, T = (rng.uniform(-2, 2, (n, 2)) for n in (14, 8, 1000))
        a, b = rng.standard_normal(8), 0.5 * intercept
        norm = float(np.sqrt(a @ kernel(C, C) @ a + b**2))
        p = expit(kernel(X, C) @ a + b)
        p = p if decimals is None else np.round(p, decimals)
        student = KernelSoftLabelClassifier(kernel, 0, fit_intercept=intercept, decimals=decimals).fit(X, p)
        found = student.certify(T, teacher_norm=1.05 * norm)
        assert not np.any(found.proved & ((student.predict(T) == 1) != (kernel(T, C) @ a + b >= 0)))
        assert ("error stated" in found.assumptions[-1]) == (decimals is not None)
        proved += found.proved.sum()
    assert proved > 500


def test_it_has_the_linear_students_parameters_and_figures():
    X, z, _ = task(40, 5)
    p = expit(z)
    p[3] = 1.0
    names = list(SoftLabelClassifier().get_params())
    assert set(KernelSoftLabelClassifier().get_params()) - set(names) == {
        "kernel",
        "landmarks",
        "random_state",
    }
    student = KernelSoftLabelClassifier(RBF(2.0), 0, saturated="drop").fit(X, p)
    for name in ("linearity_", "n_saturated_", "gradient_", "alpha_", "realisable_"):
        assert getattr(student, name) is getattr(student.student_, name)
    assert student.n_saturated_ == 1
    assert student.certify(X, teacher_norm=1e6).proved.sum() > 30
    stopped = KernelSoftLabelClassifier(RBF(2.0), stop_time=3.0).fit(X, p)
    flow = SoftLabelClassifier(stop_time=3.0).fit(stopped.span_.coordinates(X), p)
    np.testing.assert_allclose(
        stopped.decision_function(X), flow.decision_function(stopped.span_.coordinates(X))
    )
    refused = [
        (KernelSoftLabelClassifier(RBF(2.0), 0.1).fit(X, p), "for the exact student only"),
        (KernelSoftLabelClassifier(RBF(9.0), 0, landmarks=5).fit(X, expit(z)), "landmarks=5 rows|not linear"),
    ]
    for model, said in refused:
        with pytest.raises(ValueError, match=said):
            model.certify(X, teacher_norm=1e6)
