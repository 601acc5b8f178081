"""Every statement of the paper checked on data; those about deep students are in `_deep_statements`.

A check draws cases from a generator and returns how many it looked at and the largest violation:
by how much the statement failed, in the unit named beside it, at most the stated tolerance if it
holds. Inequalities give max(0, left - right); equalities the relative difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from limbeck.theory import (
    HardTargetSteps,
    MarginTask,
    PolynomialTask,
    Span,
    angle,
    angle_of_perturbation,
    approximate_risk_bound,
    margin_bound,
    polynomial_bound,
    transfer_risk_bound,
    transfer_risk_bound_tight,
    unsigned_angle,
)
from limbeck.theory.bounds import polynomial_bound_before_simplifying
from limbeck.theory.chain import cotangents
from limbeck.theory.flow import gradient_flow
from limbeck.theory.loss import (
    distance_bound,
    gradient,
    loss,
    polyak_lojasiewicz_gap,
    strong_convexity,
    strong_convexity_gap,
)
from limbeck.theory.risk import symmetric_risk_at_cotangent

ROUNDING = 1e-9
CONVERGED = 1e-5


@dataclass(frozen=True)
class Statement:
    """One row of the theorem table."""

    name: str
    """Its number in the paper."""
    says: str
    """What was checked, in a line."""
    check: Callable[[np.random.Generator, int], tuple[int, float]]
    """From a generator and a number of cases to (cases looked at, largest violation)."""
    tolerance: float
    """Largest violation that still counts as holding."""


STATEMENTS: list[Statement] = []


def statement(name: str, says: str, tolerance: float = ROUNDING):
    """Register a check under the number of its statement."""

    def register(check):
        STATEMENTS.append(Statement(name, says, check, tolerance))
        return check

    return register


@dataclass(frozen=True)
class _Case:
    X: np.ndarray
    w_star: np.ndarray
    z: np.ndarray
    span: Span


def _cases(rng: np.random.Generator, size: int) -> Iterator[_Case]:
    """Transfer sets below, at and above n = d, some with a repeated point, in 2 to 30 dimensions."""
    for i in range(size):
        d = int(rng.integers(2, 31))
        n = (int(rng.integers(1, d + 1)), d, int(rng.integers(d, 2 * d + 1)))[i % 3]
        X = rng.standard_normal((n, d))
        if i % 5 == 4 and n > 2:
            X[n - 1] = X[0]
        w_star = rng.standard_normal(d) / np.sqrt(d)
        yield _Case(X, w_star, X @ w_star, Span(X))


def worst(violations: Iterator[float]) -> tuple[int, float]:
    values = np.array(list(violations), dtype=np.float64)
    return values.size, float(max(0.0, values.max()))


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / max(np.linalg.norm(b), np.finfo(float).tiny))


@statement("Theorem 1", "gradient flow from zero ends at P w*, and at w* once the points span", CONVERGED)
def theorem_1(rng, size):
    """Eq. 5 and 6, by integrating the flow."""

    def violations():
        for case in _cases(rng, size):
            yield _relative(gradient_flow(case.X, case.z).weights[-1], case.span.project(case.w_star))

    return worst(violations())


@statement("Theorem 3", "expected risk <= p(b) + p(pi/2 - b)^n for every b, and 0 for n >= d")
def theorem_3(rng, size):
    """Eq. 18 and 19, against the exact risk of the chain; three standard errors are allowed for."""

    def violations():
        for task, n, risk, stderr in _curves(rng, size):
            for beta in (None, *rng.uniform(0, np.pi / 2, 3)):
                yield risk - 3 * stderr - transfer_risk_bound(task.tail, n, d=task.d, beta=beta)
        for case in _cases(rng, size):
            if case.span.rank == case.span.d:
                yield float(angle(case.span.weights(case.z), case.w_star))

    return worst(violations())


@statement("Theorem 3, proof", "expected risk <= p(b) + (1 - p(b)) p(pi/2 - b)^n <= (19)")
def theorem_3_proof(rng, size):
    """The last line of the proof, tighter than the statement."""

    def violations():
        for task, n, risk, stderr in _curves(rng, size):
            tight = transfer_risk_bound_tight(task.tail, n, d=task.d)
            yield risk - 3 * stderr - tight
            yield tight - transfer_risk_bound(task.tail, n, d=task.d)

    return worst(violations())


@statement("Corollary 1", "expected risk <= gamma^n under an angular margin")
def corollary_1(rng, size):
    """Eq. 20."""

    def violations():
        for task, n, risk, stderr in _curves(rng, size, kinds=("margin",)):
            yield risk - 3 * stderr - margin_bound(task.tail, n, float(task.tail.kinks[0]), d=task.d)

    return worst(violations())


@statement("Corollary 2", "expected risk <= (1 + (log n)^kappa) / n^kappa, for c = 1")
def corollary_2(rng, size):
    """Eq. 21 with c = 1; see the errata for c > 1."""

    def violations():
        for task, n, risk, stderr in _curves(rng, size, kinds=("polynomial",)):
            yield risk - 3 * stderr - polynomial_bound(n, task.kappa)

    return worst(violations())


@statement("Eq. 23", "Theorem 3 at b = (pi/2) n^(-1/n) is (23), and (23) <= (21)")
def equation_23(rng, size):
    """The middle step of Corollary 2's proof."""

    def violations():
        for n, kappa in zip(rng.integers(1, 10_000, size), rng.uniform(0.03, 4, size), strict=True):
            task = PolynomialTask(kappa, 10**6)
            at = np.pi / 2 * float(n) ** (-1.0 / n)
            middle = polynomial_bound_before_simplifying(int(n), kappa)
            yield abs(transfer_risk_bound(task.tail, int(n), beta=min(at, np.pi / 2)) - middle)
            yield middle - polynomial_bound(int(n), kappa)

    return worst(violations())


@statement("Eq. 29", "the risk splits into hard points and easy points of either sign")
def equation_29(rng, size):
    """The decomposition the proof of Theorem 3 starts from, counted on a sample."""

    def violations():
        for task in (PolynomialTask(1.0, 20), MarginTask(1.2, 20)):
            for _ in range(max(1, size // 2)):
                beta = rng.uniform(0, np.pi / 2)
                transfer, test = task.sample(8, rng=rng), task.sample(2000, rng=rng)
                u = test.X @ Span(transfer.X).weights(transfer.z)
                easy = unsigned_angle(test.X, task.w_star) < beta
                whole = np.sum(test.z * u < 0)
                parts = (
                    np.sum(~easy & (test.z * u < 0)),
                    np.sum(easy & (test.z > 0) & (u < 0)),
                    np.sum(easy & (test.z < 0) & (u > 0)),
                )
                yield float(abs(whole - sum(parts)))

    return worst(violations())


@statement(
    "Eq. 30 to 33", "an easy point errs only if every transfer point is at pi/2 - b or more from the teacher"
)
def equations_30_to_33(rng, size):
    """The step of Theorem 3's proof that turns angles into predictions, point by point; then its probability.

    Whether some transfer point is a good one is known for every set drawn; (32) and (33) are counted over the sets,
    four standard errors are allowed for.
    """

    def violations():
        for task in (PolynomialTask(1.0, 20), MarginTask(1.2, 20)):
            beta = float(rng.uniform(0.3, 1.2))
            bound = float(task.tail(np.pi / 2 - beta)) ** 4
            wrong = np.zeros((20 * size, 2))
            for errors in wrong:
                transfer, test = task.sample(4, rng=rng), task.sample(500, rng=rng)
                u = test.X @ Span(transfer.X).weights(transfer.z)
                easy = unsigned_angle(test.X, task.w_star) < beta
                sides = [easy & (test.z > 0), easy & (test.z < 0)]
                errors[:] = [np.mean(u[side] * test.z[side] < 0) if side.any() else 0.0 for side in sides]
                if unsigned_angle(transfer.X, task.w_star).min() < np.pi / 2 - beta:
                    yield float(errors.max())
            yield float(
                np.max(wrong.mean(axis=0) - 4 * wrong.std(axis=0, ddof=1) / np.sqrt(len(wrong)) - bound)
            )

    return worst(violations())


@statement("Lemma 1", "one more point never widens the angle between student and teacher")
def lemma_1(rng, size):
    """Eq. 24 to 27, over every prefix of every transfer set."""

    def violations():
        for case in _cases(rng, size):
            alpha = case.span.prefix_angles(case.w_star)
            refit = unsigned_angle(case.span.weights(case.z), case.w_star)
            yield float(np.max(np.diff(alpha, prepend=np.pi / 2)))
            yield float(abs(alpha[-1] - refit)) if alpha[-1] > 1e-6 else 0.0

    return worst(violations())


@statement("Theorem A.1", "the gradient is (38) and lies in the data span")
def theorem_a1(rng, size):
    """Eq. 38, against central differences of the loss (their own error is about 1e-9)."""

    def violations():
        for case in _cases(rng, size):
            w = rng.standard_normal(case.span.d)
            g = gradient(w, case.X, case.z)
            yield float(np.linalg.norm(case.span.residual(g)) / np.linalg.norm(g))
            v = rng.standard_normal(case.span.d)
            h = 1e-5
            slope = (loss(w + h * v, case.X, case.z) - loss(w - h * v, case.X, case.z)) / (2 * h)
            yield float(abs(slope - g @ v)) - 1e-8

    return worst(violations())


@statement("Theorem A.2", "the loss is 0 exactly where all logits agree: w_hat plus any complement direction")
def theorem_a2(rng, size):
    """Eq. 39."""

    def violations():
        for case in _cases(rng, size):
            w = case.span.weights(case.z)
            yield loss(w, case.X, case.z)
            if case.span.rank < case.span.d:
                q = case.span.complement_direction(rng.standard_normal(case.span.d))
                yield loss(w + 10 * q, case.X, case.z)
            moved = w + case.span.basis[0]
            yield 0.0 if loss(moved, case.X, case.z) > 1e-12 else 1.0

    return worst(violations())


def _sublevel(case: _Case, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Two weights that differ inside the span, the level that holds both, and mu on that level."""
    w = case.span.weights(case.z)
    v, u = (w + case.span.project(rng.standard_normal(case.span.d)) for _ in range(2))
    level = max(loss(v, case.X, case.z), loss(u, case.X, case.z))
    return v, u, level, strong_convexity(case.X, case.z, level)


@statement("Theorem A.3", "restricted strong convexity (9), (40) with mu = omega sigma_min^2 / n")
def theorem_a3(rng, size):
    """Eq. 40 with the 1/n of (38) put back into (42)."""

    def violations():
        for case in _cases(rng, size):
            v, u, _, mu = _sublevel(case, rng)
            yield -strong_convexity_gap(v, u, case.X, case.z, mu)

    return worst(violations())


@statement("Corollary A.1", "c L <= |grad L|^2 / 2 on a sublevel set, c = mu (10), (48)")
def corollary_a1(rng, size):
    """Eq. 48."""

    def violations():
        for case in _cases(rng, size):
            v, _, _, mu = _sublevel(case, rng)
            yield -polyak_lojasiewicz_gap(v, case.X, case.z, mu)

    return worst(violations())


@statement("Eq. 7", "|w - w_hat|^2 <= (2 / mu) L1(w) for w in the span (55)")
def equation_7(rng, size):
    """The distance to the student, bounded by the loss."""

    def violations():
        for case in _cases(rng, size):
            v, _, _, mu = _sublevel(case, rng)
            yield float(
                np.linalg.norm(v - case.span.weights(case.z)) - distance_bound(loss(v, case.X, case.z), mu)
            )

    return worst(violations())


@statement("Eq. 8", "along the flow the loss falls at the rate of the squared gradient", 1e-5)
def equation_8(rng, size):
    """Eq. 8 and 53, by Simpson's rule over short stretches of the integrated flow."""

    def violations():
        for case in _cases(rng, max(1, size // 4)):
            times = np.linspace(0.5, 0.6, 3)
            flow = gradient_flow(case.X, case.z, times=times)
            squares = [np.sum(gradient(w, case.X, case.z) ** 2) for w in flow.weights]
            fall = loss(flow.weights[0], case.X, case.z) - loss(flow.weights[2], case.X, case.z)
            simpson = 0.1 / 6 * (squares[0] + 4 * squares[1] + squares[2])
            yield float(abs(fall - simpson))

    return worst(violations())


@statement("Eq. 54", "L(t) <= L(0) exp(-2 c t) along the flow, c of Corollary A.1")
def equation_54(rng, size):
    """The linear rate, with the 2 the paper leaves out."""

    def violations():
        for case in _cases(rng, max(1, size // 4)):
            start = loss(np.zeros(case.span.d), case.X, case.z)
            c = strong_convexity(case.X, case.z, start)
            times = np.geomspace(0.01, 10.0, 6)
            for t, w in zip(times, gradient_flow(case.X, case.z, times=times).weights, strict=True):
                yield loss(w, case.X, case.z) - start * np.exp(-2 * c * t) * (1 + 1e-6)

    return worst(violations())


@statement("Lemma B.1", "the flow from zero never leaves the data span")
def lemma_b1(rng, size):
    """Eq. 52, along the flow and along finite gradient steps on hard labels."""

    def violations():
        for case in _cases(rng, size):
            w = gradient_flow(case.X, case.z, times=np.array([0.1, 1.0, 10.0])).weights[-1]
            yield float(np.linalg.norm(case.span.residual(w)))
            w = HardTargetSteps(20).weights(case.span, case.z)
            yield float(np.linalg.norm(case.span.residual(w)))

    return worst(violations())


@statement("Lemma D.1", "|v - w| <= eta |w| gives an angle of at most arcsin(eta), attained")
def lemma_d1(rng, size):
    """With its sharp constant; as printed the constant is about 18 times too large at eta = .01."""

    def violations():
        for _ in range(size):
            w, eta = rng.standard_normal(5), rng.uniform(0.001, 0.5)
            away = rng.standard_normal(5)
            v = w + eta * np.linalg.norm(w) * away / np.linalg.norm(away)
            yield float(angle(w, v)) - angle_of_perturbation(eta)
            across = away - away @ w / (w @ w) * w
            across *= np.linalg.norm(w) / np.linalg.norm(across)
            delta = angle_of_perturbation(eta)
            tangent = w * np.cos(delta) ** 2 + across * np.sin(delta) * np.cos(delta)
            yield float(np.linalg.norm(tangent - w) - eta * np.linalg.norm(w))
            yield abs(float(angle(w, tangent)) - delta)

    return worst(violations())


@statement("Theorem D.1", "as corrected: students within eta |w_hat| obey the bound with arcsin(eta)")
def theorem_d1(rng, size):
    """Eq. 78 with a relative closeness: worst students at distance eta, exact risks, three standard errors."""

    def violations():
        task, n = PolynomialTask(1.0, 30), 8
        for eta in (0.01, 0.1, 0.4):
            risks = []
            for _ in range(10 * size):
                sample = task.sample(n, rng=rng)
                w = Span(sample.X).weights(sample.z)
                away = w - task.w_star * (w @ task.w_star)  # straight away from the teacher
                w = w * np.cos(np.arcsin(eta)) ** 2 + _along(away, w) * eta * np.sqrt(1 - eta**2)
                risks.append(float(task.risk(w)))
            stderr = np.std(risks) / np.sqrt(len(risks))
            yield float(np.mean(risks) - 3 * stderr - approximate_risk_bound(task.tail, n, eta))

    return worst(violations())


def _along(away: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The direction across w nearest to ``away``, with the length of w."""
    across = away - away @ w / (w @ w) * w
    return across * np.linalg.norm(w) / np.linalg.norm(across)


def _curves(
    rng: np.random.Generator, size: int, kinds: tuple[str, ...] = ("polynomial", "margin")
) -> Iterator[tuple[Any, int, float, float]]:
    """(task, n, exact expected risk, standard error) over random tasks."""
    for i in range(size):
        d = int(rng.integers(5, 2000))
        n = int(rng.integers(1, min(d, 60)))
        kind = kinds[i % len(kinds)]
        task = (
            PolynomialTask(float(2 ** rng.uniform(-4, 2)), d)
            if kind == "polynomial"
            else MarginTask(float(rng.uniform(0.8, 1.5)), d)
        )
        risk = symmetric_risk_at_cotangent(cotangents(task.tail, d, n, 400, rng=rng), task.tail, d)
        yield task, n, float(risk.mean()), float(risk.std(ddof=1) / np.sqrt(len(risk)))
