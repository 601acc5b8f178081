"""docs/temperature.md, statement by statement, against plain NumPy."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.linear_model import LogisticRegression

from limbeck import DistilledClassifier, SoftLabelClassifier
from limbeck.labels import from_top_k

N, D, K, T, LAM = 60, 4, 3, 2.5, 0.03
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, D))
TEACHER = RNG.standard_normal((D, K))


def curved(X):
    return 2 * np.tanh(X @ TEACHER) + X[:, [1]] * X[:, [2]] * np.arange(K)


Z = curved(X)
U = RNG.standard_normal((N, K))


def centred(a):
    return a - a.mean(axis=1, keepdims=True)


def ce(p, u):
    return -(p * log_softmax(u, axis=1)).sum(axis=1)


def kl(p, q):
    return (p * np.log(p / q)).sum(axis=1)


def numerical(f, u, step=1e-6):
    """Central differences of a sum over rows that does not couple them: one column of u at a time."""
    columns = []
    for k in range(u.shape[1]):
        e = step * (np.arange(u.shape[1]) == k)
        columns.append((f(u + e) - f(u - e)) / (2 * step))
    return np.column_stack(columns)


def elsewhere(loss, lam, columns=K):
    """Minimiser of loss(u) + lam/2 |w|^2 over weights and intercepts, by a general optimiser."""

    def total(theta):
        theta = theta.reshape(D + 1, columns)
        return loss(X @ theta[:D] + theta[D]) + lam / 2 * np.sum(theta[:D] ** 2)

    found = minimize(
        total, np.zeros((D + 1) * columns), method="BFGS", options={"gtol": 1e-7, "maxiter": 2000}
    )
    return found.x.reshape(D + 1, columns)[:D].T


def limbeck(alpha, temperature=T):
    student = SoftLabelClassifier(alpha=alpha)
    return (
        DistilledClassifier(curved, student=student, answers="logits", temperature=temperature)
        .fit(X)
        .student_.coef_
    )


def test_1_the_gradient_and_its_limit():
    def loss(u):
        return T**2 * ce(softmax(Z / T, axis=1), u / T)

    gradient = T * (softmax(U / T, axis=1) - softmax(Z / T, axis=1))
    np.testing.assert_allclose(numerical(loss, U), gradient, atol=1e-8)
    for hot, tolerance in ((1e3, 1e-2), (1e5, 1e-4)):
        limit = hot * (softmax(U / hot, axis=1) - softmax(Z / hot, axis=1))
        np.testing.assert_allclose(limit, (centred(U) - centred(Z)) / K, atol=tolerance)


def test_2_temperature_does_not_matter_to_an_exact_student():
    students = [
        DistilledClassifier(
            lambda X: X @ TEACHER, student=SoftLabelClassifier(alpha=0), answers="logits", temperature=t
        ).fit(X)
        for t in (0.5, 1.0, 20.0)
    ]
    for student in students:
        np.testing.assert_allclose(student.predict_proba(X), softmax(X @ TEACHER, axis=1), atol=1e-11)
    assert np.abs(limbeck(0.0, 1.0) - limbeck(0.0, 20.0)).max() > 0.01  # the curved teacher cannot be met


def test_3_least_squares_at_high_temperature():
    hot = 1e3
    found = hot**2 * kl(softmax(Z / hot, axis=1), softmax(U / hot, axis=1))
    np.testing.assert_allclose(found, np.square(centred(U) - centred(Z)).sum(axis=1) / (2 * K), rtol=1e-2)


@pytest.mark.parametrize(
    ("number", "factor", "alpha"),
    [
        (4, T**2 / N, LAM),
        (5, 1 / N, LAM * T**2),
        (6, T**2 / (N * K), LAM * K),
        (7, T**2, LAM / N),
        (None, 1 / (N * K), LAM * K * T**2),
    ],
)
def test_4_to_7_which_alpha_gives_the_student_of_another_convention(number, factor, alpha):
    p = softmax(Z / T, axis=1)
    theirs = elsewhere(lambda u: factor * kl(p, softmax(u / T, axis=1)).sum(), LAM)
    np.testing.assert_allclose(limbeck(alpha), theirs, atol=2e-4)
    assert np.abs(limbeck(10 * alpha) - theirs).max() > 5e-3  # another alpha is another student


def test_8_scikit_learns_c():
    y, C = Z.argmax(axis=1), 0.7
    theirs = LogisticRegression(C=C, tol=1e-10, max_iter=5000).fit(X, y)
    ours = SoftLabelClassifier(alpha=1 / (C * N)).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)


def test_9_divergence_and_cross_entropy_have_one_gradient():
    p = softmax(Z, axis=1)
    entropy = -(p * np.log(p)).sum(axis=1)
    np.testing.assert_allclose(kl(p, softmax(U, axis=1)), ce(p, U) - entropy, atol=1e-12)
    gradients = [numerical(f, U) for f in (lambda u: kl(p, softmax(u, axis=1)), lambda u: ce(p, u))]
    np.testing.assert_allclose(*gradients, atol=1e-8)


def test_10_the_other_direction_has_another_gradient_and_another_student():
    p, q = softmax(Z, axis=1), softmax(U, axis=1)
    reverse = numerical(lambda u: kl(softmax(u, axis=1), p), U)
    np.testing.assert_allclose(reverse, q * (np.log(q / p) - kl(q, p)[:, None]), atol=1e-8)
    forward = elsewhere(lambda u: kl(p, softmax(u, axis=1)).mean(), LAM)
    backward = elsewhere(lambda u: kl(softmax(u, axis=1), p).mean(), LAM)
    np.testing.assert_allclose(limbeck(LAM, 1.0), forward, atol=2e-4)
    assert np.abs(forward - backward).max() > 0.01


def test_11_log_probabilities_are_logits_and_probabilities_are_not():
    p = softmax(Z, axis=1)
    np.testing.assert_allclose(softmax(np.log(p) / T, axis=1), softmax(Z / T, axis=1), atol=1e-14)
    assert np.ptp(softmax(p / T, axis=1), axis=1).max() < 0.2


def test_12_one_logit_or_two():
    z, u = Z[:, 1] - Z[:, 0], U[:, 1] - U[:, 0]
    p = expit(z / T)
    binary = -(p * log_expit(u / T) + (1 - p) * log_expit(-u / T))
    np.testing.assert_allclose(binary, ce(softmax(Z[:, :2] / T, axis=1), U[:, :2] / T), atol=1e-14)
    two = elsewhere(lambda u: ce(softmax(Z[:, :2], axis=1), u).mean(), LAM, columns=2)
    np.testing.assert_allclose(two[0], -two[1], atol=1e-4)
    one = SoftLabelClassifier(alpha=LAM / 2).fit(X, teacher_logits=Z[:, :2])
    np.testing.assert_allclose(one.coef_[0], two[1] - two[0], atol=5e-4)


def test_13_a_mixture_of_soft_and_hard_labels():
    p, y, a = softmax(Z, axis=1), np.eye(K)[RNG.integers(0, K, N)], 0.3
    np.testing.assert_allclose(a * ce(p, U) + (1 - a) * ce(y, U), ce(a * p + (1 - a) * y, U), atol=1e-12)
    theirs = elsewhere(lambda u: (a * ce(p, u) + (1 - a) * ce(y, u)).mean(), LAM)
    ours = SoftLabelClassifier(alpha=LAM).fit(X, teacher_proba=a * p + (1 - a) * y)
    np.testing.assert_allclose(ours.coef_, theirs, atol=2e-4)


def test_14_sigmoids_need_not_sum_to_1():
    assert np.abs(expit(Z).sum(axis=1) - 1).max() > 0.1
    k = 1
    theirs = elsewhere(
        lambda u: -(expit(Z[:, [k]]) * log_expit(u) + (1 - expit(Z[:, [k]])) * log_expit(-u)).mean(),
        LAM,
        columns=1,
    )
    np.testing.assert_allclose(
        SoftLabelClassifier(alpha=LAM).fit(X, teacher_logits=Z[:, k]).coef_, theirs, atol=2e-4
    )


def test_15_what_the_top_k_leave_out_is_spread_or_renormalised_or_refused():
    logs = np.log([[0.6, 0.2]])
    uniform = from_top_k([[2, 0]], logs, 4, tail="uniform")
    assert np.allclose(uniform.probabilities, [[0.2, 0.1, 0.6, 0.1]])
    zero = from_top_k([[2, 0]], logs, 4, tail="zero")
    assert np.allclose(zero.probabilities, [[0.25, 0, 0.75, 0]])
    assert zero.saturated.all()
    with pytest.raises(ValueError, match=r"lacks 0\.2 of its mass"):
        from_top_k([[2, 0]], logs, 4, tail="raise")
