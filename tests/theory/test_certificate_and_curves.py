import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import binomtest

from limbeck.displays.transfer_risk import TransferRiskDisplay
from limbeck.theory import (
    KernelSpan,
    PolynomialTask,
    Span,
    certify,
    data_curve,
    disagreement,
    disagreement_probability,
)
from limbeck.theory.kernels import RBF
from limbeck.theory.risk import wilson


def decaying(n, d, rng):
    """Points with a spectrum that makes certificates possible."""
    return rng.standard_normal((n, d)) * np.arange(1, d + 1) ** -1.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(2, 12), st.sampled_from([1.0, 1.5, 3.0]))
def test_a_proved_answer_is_the_teachers(seed, n, d, slack):
    rng = np.random.default_rng(seed)
    X, w_star, T = decaying(n, d, rng), rng.standard_normal(d), decaying(200, d, rng)
    certificate = certify(X, X @ w_star, T)
    proved = certificate.proved(slack * np.linalg.norm(w_star))
    assert np.all((certificate.logits >= 0)[proved] == (T @ w_star >= 0)[proved])
    if n >= d:
        assert proved.all()


def test_an_answer_is_proved_only_if_no_teacher_left_decides_otherwise():
    # The worst teacher that agrees with the answers: w_hat plus all that B leaves, against (I - P) x.
    rng = np.random.default_rng(0)
    X, w_star, T = decaying(6, 20, rng), rng.standard_normal(20), decaying(300, 20, rng)
    span = Span(X)
    w_hat, bound = span.weights(X @ w_star), 1.2 * np.linalg.norm(w_star)
    proved = certify(span, X @ w_star, T).proved(bound)
    outside = span.residual(T)
    outside /= np.linalg.norm(outside, axis=1, keepdims=True)
    left = np.sqrt(bound**2 - w_hat @ w_hat)
    sign = np.where(T @ w_hat >= 0, 1.0, -1.0)
    worst = w_hat - (sign * left)[:, None] * outside
    np.testing.assert_allclose(worst @ X.T, np.tile(X @ w_star, (300, 1)), atol=1e-10)
    flipped = sign * np.einsum("ij,ij->i", worst, T) <= 0
    assert np.array_equal(flipped, ~proved)
    assert 0 < proved.sum() < 300


def in_60_digits(X, z, T, length):
    """For each x of T the norm below which its answer is proved, in the features of RBF(length), rounded up last."""
    with mpmath.workdps(60):
        half = 1 / (2 * mpmath.mpf(length) ** 2)

        def k(x, y):
            return mpmath.exp(
                -half * sum((mpmath.mpf(a) - mpmath.mpf(b)) ** 2 for a, b in zip(x, y, strict=True))
            )

        X, T = X.tolist(), T.tolist()
        L = mpmath.cholesky(mpmath.matrix([[k(x, y) for y in X] for x in X]))
        c = mpmath.lu_solve(L, mpmath.matrix(z.tolist()))
        bounds = []
        for t in T:
            a = mpmath.lu_solve(L, mpmath.matrix([k(x, t) for x in X]))
            beyond = 1 - sum(v**2 for v in a)
            logit = sum(v * w for v, w in zip(a, c, strict=True))
            bounds.append(
                float(mpmath.sqrt(sum(v**2 for v in c) + logit**2 / beyond)) if beyond > 1e-55 else np.inf
            )
        return np.array(bounds)


@pytest.mark.parametrize("length", [0.4, 2.0])
def test_near_a_kernels_points_no_bound_exceeds_the_true_one(length):
    # A kernel shows squared distances, so that 1e-8 of a length looks like none; beyond rounding the bound is sharp.
    rng = np.random.default_rng(0)
    X, z = rng.uniform(-2, 2, (14, 2)), rng.standard_normal(14)
    span = KernelSpan(X, RBF(length))
    for step in (0.0, 1e-9, 1e-8, 1e-7, 3e-7, 1e-3, 1.0):
        T = X + step * rng.standard_normal(X.shape)
        found, true = certify(span, z, T).largest_bound, in_60_digits(X, z, T, length)
        assert np.all(found <= true * (1 + 1e-12))
        assert np.all(np.isinf(found) == (step == 0))
        if step == 1.0:  # sharp, but where the logit itself is rounding beside the student's length
            said = np.abs(span.logits(T, span.student(z).coordinates)) > 1e-6 * np.linalg.norm(z)
            assert said.sum() >= 12
            np.testing.assert_allclose(found[said], true[said], rtol=1e-3)


@pytest.mark.parametrize(("n", "d"), [(4, 12), (30, 12)])
def test_what_a_users_tolerance_hides_is_not_proved_for_every_norm(n, d):
    rng = np.random.default_rng(n)
    X, w_star = rng.standard_normal((n, 5)) @ rng.standard_normal((5, d)), rng.standard_normal(d)
    span = Span(X, tol=1e-2)
    T = X[:4] + 1e-4 * rng.standard_normal((4, d))
    found = certify(span, X @ w_star, T)
    beyond = np.linalg.norm(span.residual(T), axis=1)
    assert np.all(found.largest_bound <= np.hypot(found.norm_inside, np.abs(found.logits) / beyond))
    assert np.all(found.largest_bound[np.abs(found.logits) > 0.5] > found.norm_inside)
    assert np.isinf(certify(span, X @ w_star, 1.5 * X[:4]).largest_bound).all()


def test_rounded_answers_prove_nothing_false_once_their_error_is_stated():
    rng = np.random.default_rng(1)
    false = {"exact": 0, "stated": 0}
    proved = 0
    for _ in range(60):
        X, w_star, T = decaying(15, 30, rng), rng.standard_normal(30), decaying(2000, 30, rng)
        p = np.round(expit(X @ w_star), 2)
        X, p = X[(p > 0) & (p < 1)], p[(p > 0) & (p < 1)]
        z = logit(p)
        error = np.maximum(logit(p + 0.005) - z, z - logit(p - 0.005))
        bound = np.linalg.norm(w_star)
        truth = T @ w_star >= 0
        for name, e in (("exact", None), ("stated", error)):
            certificate = certify(X, z, T, error=e)
            known = certificate.proved(max(bound, certificate.norm_inside))
            false[name] += int(np.sum((certificate.logits >= 0)[known] != truth[known]))
            proved += known.sum() if name == "stated" else 0
    assert false["exact"] > 0  # the theory speaks of exact answers
    assert false["stated"] == 0
    assert proved > 1000


def test_the_least_norm_inside_is_below_every_teacher_the_errors_allow():
    rng = np.random.default_rng(2)
    X, w_star = rng.standard_normal((5, 8)), rng.standard_normal(8)
    e = np.full(5, 0.3)
    least = certify(X, X @ w_star, X, error=e).norm_inside
    norms = [np.linalg.norm(Span(X).weights(X @ w_star + e * s)) for s in rng.uniform(-1, 1, (3000, 5))]
    assert least <= min(norms) <= 1.3 * least


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda X, z: certify(X, z, X).proved(0.1), "no linear teacher is left"),
        (lambda X, z: certify(X, z + np.arange(len(X)) % 2, X), "No linear teacher gave these answers: row"),
        (lambda X, z: certify(X, z, X[:, :2]), "2 features where the points have 3"),
        (lambda X, z: certify(X, z, X, error=-1.0), "error must be finite"),
        (
            lambda X, z: data_curve(X, z + np.arange(len(X)) % 2, X, z),
            "No linear teacher gave these logits: row",
        ),
        (lambda X, z: data_curve(X, z, X, z, teacher_norm=0.1), "teacher_norm = 0.1 is below"),
        (lambda X, z: data_curve(X, z, X, z[:-1]), "teacher_logits has 7 entries where 8"),
        (lambda X, z: data_curve(X, z, X, z, block=0), "block must be an integer of at least 1"),
        (lambda X, z: disagreement_probability(X[:2], X, covariance=np.eye(2)), "covariance must have shape"),
        (
            lambda X, z: disagreement_probability(X[:2], X, covariance=-np.eye(3)),
            "covariance must be positive semidefinite and not zero: its least eigenvalue is -1",
        ),
        (
            lambda X, z: disagreement_probability(X[:2], X, covariance=np.zeros((3, 3))),
            "covariance must be positive",
        ),
        (
            lambda X, z: disagreement_probability(X[:2], X, covariance=np.eye(3) + np.eye(3, k=1)),
            r"covariance must be symmetric: \[0, 1\] is 1 and \[1, 0\] is 0",
        ),
    ],
)
def test_bad_input_is_refused(call, said):
    X = np.random.default_rng(0).standard_normal((8, 3))
    with pytest.raises(ValueError, match=said):
        call(X, X @ np.array([1.0, -2.0, 0.5]))


@pytest.mark.parametrize(("n", "d"), [(12, 30), (30, 30), (40, 15)])
@pytest.mark.parametrize("block", [None, 7])
def test_a_whole_curve_is_n_separate_fits(n, d, block):
    rng = np.random.default_rng([n, d])
    X, w_star, T = decaying(n, d, rng), rng.standard_normal(d), decaying(150, d, rng)
    X[3] = X[1]  # a repeated point teaches nothing
    z, norm = X @ w_star, float(np.linalg.norm(w_star))
    curve = data_curve(X, z, T, T @ w_star, teacher_norm=norm, norm_bound=1.5 * norm, block=block)
    for i in range(n):
        span = Span(X[: i + 1])
        w = span.weights(z[: i + 1])
        assert curve.disagreement[i] == pytest.approx(disagreement(T @ w, T @ w_star), abs=1e-12)
        assert curve.norms[i] == pytest.approx(np.linalg.norm(w), rel=1e-8)
        assert curve.rank[i] == span.rank
        certified = certify(span, z[: i + 1], T).proved(1.5 * norm).mean()
        assert curve.certified[i] == pytest.approx(certified, abs=1e-12)
    # arccos is blind below 1e-8, hence the tolerance
    np.testing.assert_allclose(curve.angles, Span(X).prefix_angles(w_star), atol=1e-6)
    assert np.all(np.diff(curve.norms) >= 0)


def test_without_a_norm_there_is_no_angle_and_no_certificate():
    rng = np.random.default_rng(0)
    X, w_star = rng.standard_normal((5, 8)), rng.standard_normal(8)
    curve = data_curve(X, X @ w_star, X, X @ w_star)
    assert np.isnan(curve.angles).all()
    assert np.isnan(curve.certified).all()


def test_wilson_is_scipys():
    for wrong, size, confidence in [(0, 10, 0.95), (10, 10, 0.95), (3, 50, 0.9), (499, 1000, 0.99)]:
        ends = binomtest(wrong, size).proportion_ci(confidence, method="wilson")
        np.testing.assert_allclose(wilson(wrong, size, confidence), ends, atol=1e-12)
    for size in range(1, 200):  # the estimate lies in its interval, to the last bit
        assert wilson(0, size)[0] == 0
        assert wilson(size, size)[1] == 1


def test_probability_of_disagreement_is_its_frequency_over_teachers():
    # 20,000 teachers a point: five standard errors, false alarm below 1e-4 over the 20 comparisons.
    rng = np.random.default_rng(3)
    X, T = rng.standard_normal((4, 7)), rng.standard_normal((10, 7))
    root = rng.standard_normal((7, 7))
    for factor, covariance in ((np.eye(7), None), (root, root @ root.T)):
        W = rng.standard_normal((20_000, 7)) @ factor.T
        frequency = np.mean((Span(X).project(W) @ T.T >= 0) != (W @ T.T >= 0), axis=0)
        probability = disagreement_probability(X, T, covariance=covariance)
        error = np.sqrt(probability * (1 - probability) / 20_000)
        assert np.all(np.abs(frequency - probability) < 5 * error)


def test_display_draws_data_and_law():
    rng = np.random.default_rng(0)
    X, w_star = rng.standard_normal((9, 8)), rng.standard_normal(8)
    curve = data_curve(X, X @ w_star, X, X @ w_star)
    display = TransferRiskDisplay.from_data(curve, bounds={"half": np.full(9, 0.5)}).plot(log=False)
    assert np.array_equal(display.ax_.lines[-1].get_ydata(), curve.disagreement)
    assert np.array_equal(display.ax_.lines[0].get_ydata(), np.full(9, 0.5))
    display = TransferRiskDisplay.from_task(PolynomialTask(1.0, 50), 10, 200, rng=rng)
    assert list(display.bounds) == ["Theorem 3", "its proof"]
    figure = display.plot().figure_
    assert display.plot(figure.axes[0], legend=False).figure_ is figure
    assert np.all(display.risk <= display.bounds["its proof"])


def test_a_covariance_that_is_symmetric_and_semidefinite_but_for_rounding_is_taken():
    rng = np.random.default_rng(0)
    X, half = rng.standard_normal((3, 8)), rng.standard_normal((8, 4))
    S = 1e6 * half @ half.T
    found = disagreement_probability(
        X, rng.standard_normal((9, 8)), covariance=S * (1 + 1e-12 * rng.random((8, 8)))
    )
    assert np.all((found >= 0) & (found <= 1))
