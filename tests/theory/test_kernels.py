import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.gaussian_process import kernels as sklearn_kernels

from limbeck.theory import KernelSpan, Span, certify, data_curve, disagreement_probability
from limbeck.theory.kernels import NTK, RBF, ArcCosine, Linear, Normalised, Polynomial, _next_angle

KERNELS = [
    Linear(),
    Polynomial(3, 0.5, 2.0),
    RBF(1.5),
    *(ArcCosine(q) for q in (0, 1, 2)),
    NTK(1),
    NTK(2),
    NTK(5),
    Normalised(NTK(3)),
]


def points(n, d, seed=0):
    return np.random.default_rng([seed, n, d]).standard_normal((n, d))


# -- kernels --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_kernels_are_symmetric_positive_and_agree_with_their_diagonal(kernel):
    X = points(12, 5)
    K = kernel(X, X)
    np.testing.assert_allclose(K, K.T, rtol=1e-13)
    np.testing.assert_allclose(K.diagonal(), kernel.diagonal(X), rtol=1e-13)
    assert np.linalg.eigvalsh(K)[0] > -1e-12 * K.max()
    np.testing.assert_allclose(kernel(X, X[:3]), K[:, :3], rtol=1e-13, atol=1e-14)


def test_rbf_and_polynomial_are_scikit_learns():
    X, Y = points(9, 4), points(7, 4, 1)
    np.testing.assert_allclose(RBF(1.7)(X, Y), sklearn_kernels.RBF(1.7)(X, Y), rtol=1e-12)
    theirs = sklearn_kernels.Exponentiation(sklearn_kernels.DotProduct(np.sqrt(0.5)), 3)
    np.testing.assert_allclose(Polynomial(3, 0.5)(X, Y), theirs(X, Y), rtol=1e-12)


def recursion(x, y, depth):
    """The NTK's recursion, with arccosines, in 40 digits."""
    with mpmath.workdps(40):
        x, y = [mpmath.mpf(float(v)) for v in x], [mpmath.mpf(float(v)) for v in y]
        inner, size = mpmath.fdot(x, y), mpmath.sqrt(mpmath.fdot(x, x) * mpmath.fdot(y, y))
        S = T = inner
        for _ in range(depth - 1):
            u = min(max(S / size, mpmath.mpf(-1)), mpmath.mpf(1))
            S = size * (u * (mpmath.pi - mpmath.acos(u)) + mpmath.sqrt(1 - u * u)) / mpmath.pi
            T = T * (mpmath.pi - mpmath.acos(u)) / mpmath.pi + S
        return float(T)


@given(st.integers(0, 10**6), st.integers(1, 7), st.sampled_from([1.0, 1e-3, 1e-7, 1e-150, 1e120]))
def test_the_ntk_agrees_with_its_recursion_to_machine_precision(seed, depth, apart):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(4)
    y = apart * x if apart in (1e-150, 1e120) else x + apart * rng.standard_normal(4)
    truth = recursion(x, y, depth)
    assert NTK(depth)(x[None], y[None])[0, 0] == pytest.approx(truth, rel=2e-14, abs=4e-15 * depth)
    assert NTK(depth)(x[None], -y[None])[0, 0] == pytest.approx(
        recursion(x, -y, depth), rel=2e-14, abs=4e-15 * depth * np.linalg.norm(x) * np.linalg.norm(y)
    )


def test_angles_keep_their_digits_through_every_layer():
    for angle in (1e-12, 1e-6, 0.049, 0.051, 1.0, 3.0):
        with mpmath.workdps(50):
            a = mpmath.mpf(angle)
            truth = mpmath.acos((mpmath.sin(a) + (mpmath.pi - a) * mpmath.cos(a)) / mpmath.pi)
        assert float(_next_angle(np.array([angle]))[0] / truth) == pytest.approx(1.0, abs=1e-15)


def monte_carlo_ntk(X, width, rng):
    """Inner products of the gradients of one random two-layer network, weight by weight."""
    W, a = rng.standard_normal((X.shape[1], width)), rng.standard_normal(width)
    H = X @ W
    output = np.maximum(H, 0) * np.sqrt(2 / width)
    hidden = ((H > 0) * a * np.sqrt(2 / width))[:, None, :] * X[:, :, None]
    J = np.concatenate([output, hidden.reshape(len(X), -1)], axis=1)
    return J @ J.T


def test_random_networks_have_the_ntk_with_an_error_falling_as_the_root_of_the_width():
    # Fixed seed. The log error of 60 networks a width has a standard error below .05, the slope's is .025: .1 is 4.
    rng, X = np.random.default_rng(0), points(5, 3)
    exact, widths = NTK(2)(X, X), np.array([50, 200, 800, 3200])
    errors = [
        np.sqrt(np.mean([np.square(monte_carlo_ntk(X, w, rng) - exact).mean() for _ in range(60)]))
        for w in widths
    ]
    slope = np.polyfit(np.log(widths), np.log(errors), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.1)
    mean = np.mean([monte_carlo_ntk(X, 200, rng) for _ in range(400)], axis=0)  # unbiased: 5 standard errors
    np.testing.assert_allclose(mean, exact, atol=5 * errors[1] * 3 / 20)


def test_arc_cosine_kernels_are_means_over_random_activations():
    rng, X = np.random.default_rng(1), points(4, 3)
    H = X @ rng.standard_normal((3, 400_000))
    for q in (0, 1, 2):
        phi = (H > 0) * np.maximum(H, 0) ** q
        products = 2 * phi[:, None] * phi[None]
        error = 5 * products.std(axis=2) / np.sqrt(400_000) + 1e-12
        assert np.all(np.abs(products.mean(axis=2) - ArcCosine(q)(X, X)) < error)


def test_normalised_kernels_refuse_a_row_without_direction_by_name():
    X = points(5, 3)
    X[3] = 0
    for kernel in (Normalised(NTK(2)), Normalised(Linear())):
        with pytest.raises(ValueError, match="Row 3 has a feature of length zero"):
            kernel(X, X)
    with pytest.raises(ValueError, match="row 3"):
        ArcCosine(0)(X, X)
    assert np.all(NTK(3)(X, X)[3] == 0)
    assert np.all(Normalised(RBF())(X, X).diagonal() == 1)


# -- the span of kernel features ----------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), [(1, 3), (20, 50), (60, 30), (150, 20)])
def test_the_linear_kernels_span_gives_every_reading_of_the_linear_one(n, d):
    X, T = points(n, d), points(200, d, 1)
    w = points(1, d, 2)[0]
    z, ours, linear = X @ w, KernelSpan(X, Linear(), semidefinite=True), Span(X)
    assert ours.rank == linear.rank
    assert np.array_equal(ours.ranks, linear.ranks)
    students = [s.logits(T, s.student(z).coordinates) for s in (ours, linear)]
    np.testing.assert_allclose(*students, atol=1e-10)
    prefix = [s.prefix_logits(T, s.teacher_coordinates(z)) for s in (ours, linear)]
    np.testing.assert_allclose(*prefix, atol=1e-10)
    if n < d:
        np.testing.assert_allclose(ours.distances(T), linear.distances(T), atol=1e-10)
        np.testing.assert_allclose(
            disagreement_probability(ours, T), disagreement_probability(linear, T), atol=1e-10
        )
    norm = 1.0001 * np.linalg.norm(w)
    curves = [data_curve(s, z, T, T @ w, teacher_norm=norm) for s in (ours, linear)]
    for name in ("disagreement", "certified", "norms", "angles"):
        np.testing.assert_allclose(*(getattr(c, name) for c in curves), atol=1e-9, err_msg=name)
    proofs = [certify(s, z, T).proved(norm) for s in (ours, linear)]
    assert np.array_equal(*proofs)


@pytest.mark.parametrize("kernel", [RBF(2.0), NTK(3), Normalised(NTK(2)), Polynomial(4)], ids=str)
def test_the_student_is_k_K_inverse_z_and_every_prefix_is_a_fit_of_its_own(kernel):
    X, T = points(14, 5), points(30, 5, 1)
    z = np.sin(X.sum(axis=1))
    span = KernelSpan(X, kernel)
    c = span.teacher_coordinates(z)
    curve = span.prefix_logits(T, c)
    for m in (1, 5, 14):
        direct = kernel(T, X[:m]) @ np.linalg.solve(kernel(X[:m], X[:m]), z[:m])
        np.testing.assert_allclose(curve[:, m - 1], direct, atol=1e-9)
        a = span.prefix_coefficients(c, m)[0]
        np.testing.assert_allclose(kernel(T, X) @ a, direct, atol=1e-9)
    found = span.student(z)
    np.testing.assert_allclose(found.coordinates, c, atol=1e-11)
    assert found.inconsistency < 1e-13
    np.testing.assert_allclose(found.coordinates @ found.coordinates, z @ np.linalg.solve(kernel(X, X), z))
    rest = kernel.diagonal(T) - np.einsum(
        "ij,ij->i", kernel(T, X) @ np.linalg.inv(kernel(X, X)), kernel(T, X)
    )
    np.testing.assert_allclose(np.square(span.distances(T)), rest, atol=1e-11 * kernel.diagonal(T).max())
    np.testing.assert_allclose(
        span.residual_kernel(T).diagonal(), rest, atol=1e-11 * kernel.diagonal(T).max()
    )


@given(st.integers(0, 10**6), st.sampled_from([1.0, 1.5, 3.0]))
def test_lemma_1_and_certificates_hold_for_teachers_in_the_kernels_space(seed, slack):
    rng = np.random.default_rng(seed)
    kernel, X, T = NTK(2), rng.standard_normal((10, 3)), rng.standard_normal((100, 3))
    centres, b = rng.standard_normal((6, 3)), rng.standard_normal(6)
    norm = np.sqrt(b @ kernel(centres, centres) @ b)
    z, truth = kernel(X, centres) @ b, kernel(T, centres) @ b
    curve = data_curve(KernelSpan(X, kernel), z, T, truth, teacher_norm=norm)
    assert np.all(np.diff(curve.angles) <= 1e-12)
    certificate = certify(KernelSpan(X, kernel), z, T)
    proved = certificate.proved(slack * norm)
    assert np.all((certificate.logits >= 0)[proved] == (truth >= 0)[proved])


def test_points_that_add_nothing_are_passed_over_when_asked_and_their_answers_count():
    X = points(12, 4)
    X[8] = X[2]
    X[10] = 0
    span = KernelSpan(X, NTK(2), semidefinite=True)
    assert span.rank == 10
    assert list(span.independent) == [0, 1, 2, 3, 4, 5, 6, 7, 9, 11]
    z = np.sin(X.sum(axis=1))
    z[10] = 0
    z[8] += 0.2  # the same point, asked twice, with two answers
    fitted = span.own_logits(span.student(z).coordinates)
    assert fitted[2] == pytest.approx((z[2] + z[8]) / 2)
    T = points(20, 4, 1)
    K = NTK(2)
    smallest = K(T, X) @ (np.linalg.pinv(K(X, X), rcond=1e-12, hermitian=True) @ z)
    np.testing.assert_allclose(span.logits(T, span.student(z).coordinates), smallest, atol=1e-9)


def test_more_points_than_a_block_and_nearly_dependent_ones():
    X = points(300, 2)
    X[200] = X[7]
    span = KernelSpan(X, RBF(1.0), semidefinite=True)
    assert 40 < span.rank < 300
    own, noise = span.own_coordinates(), span._factor.noise
    missed = np.abs(own @ own.T - RBF(1.0)(X, X))
    assert np.all(
        missed <= 10 * np.sqrt(np.maximum(noise[:, None], noise))
    )  # what is passed over is rounding
    assert missed[np.ix_(span.independent, span.independent)].max() < 1e-14
    dense = KernelSpan(points(300, 2), NTK(2), semidefinite=True)
    assert dense.rank == 300


# -- bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [RBF(), NTK(3), Normalised(NTK(2)), Polynomial(5)], ids=str)
def test_coinciding_points_are_named_with_what_a_jitter_would_do(kernel):
    X = points(10, 3)
    X[7] = X[2]
    with pytest.raises(
        ValueError, match=r"not positive definite: rows 2 and 7 coincide.*jitter .*none was added"
    ):
        KernelSpan(X, kernel)


def test_zero_and_dependent_points_are_told_apart():
    X = points(6, 3)
    X[1] = 0
    with pytest.raises(ValueError, match="row 1 has a feature of length zero"):
        KernelSpan(X, NTK(2))
    with pytest.raises(ValueError, match="row 3 is a combination of those before it"):
        KernelSpan(points(6, 3), Linear())


class NoKernel:
    """Looks like one; its matrix has a negative eigenvalue."""

    def __call__(self, X, Y):
        return 1 - 0.5 * np.abs(X[:, :1] - Y[:, :1].T) ** 3

    def diagonal(self, X):
        return np.ones(len(X))


class OneSided(NoKernel):
    def __call__(self, X, Y):
        return X @ np.triu(np.ones((3, 3))) @ Y.T


@pytest.mark.parametrize("semidefinite", [False, True])
def test_functions_that_are_no_kernels_are_refused_either_way(semidefinite):
    with pytest.raises(ValueError, match="not positive semidefinite: its least eigenvalue is -"):
        KernelSpan(points(20, 3), NoKernel(), semidefinite=semidefinite)
    with pytest.raises(ValueError, match="not symmetric"):
        KernelSpan(points(20, 3), OneSided(), semidefinite=semidefinite)
    with pytest.raises(ValueError, match="kernel of rows 0 and 0 is inf"):
        KernelSpan(1e150 * points(3, 3), Polynomial(3))
    with pytest.raises(ValueError, match="squares of it leave the range"):
        KernelSpan(1e200 * points(3, 3), Linear())


def test_too_many_points_say_how_much_memory_they_need(monkeypatch):
    monkeypatch.setattr("limbeck._check.memory", lambda: 1e9)
    with pytest.raises(
        ValueError, match=r"10000 points and its factor need 2\.4 GB .* has 1\.0 GB.*landmarks"
    ):
        KernelSpan(np.zeros((10_000, 1)), RBF())


def test_points_of_another_width_and_wrong_parameters():
    span = KernelSpan(points(5, 3), RBF())
    with pytest.raises(ValueError, match="Points of 3 features"):
        span.coordinates(points(2, 4))
    with pytest.raises(ValueError, match="one row of logits"):
        span.student(np.ones(4))
    for make in (lambda: RBF(0), lambda: NTK(0), lambda: ArcCosine(3), lambda: Polynomial(offset=-1)):
        with pytest.raises(ValueError, match=r"length|depth|degree|offset"):
            make()
    with pytest.raises(ValueError, match="take none"):
        disagreement_probability(span, points(2, 3), covariance=np.eye(3))
