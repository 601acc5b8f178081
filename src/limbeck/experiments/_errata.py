"""Where the paper slips or says less than it seems to, each shown by an example that is run, not quoted.

An example returns how many cases it looked at and a number that is positive if it shows what the erratum
says: by how much a false claim fails, how much a true one gives away, or how far off things are outside
a theorem's assumptions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from limbeck.theory import (
    BiasedDistillation,
    EmpiricalTail,
    HardTargetLimit,
    MarginTask,
    PolynomialTail,
    PolynomialTask,
    Span,
    angle_of_perturbation,
    angle_of_perturbation_printed,
    approximate_risk_bound_printed,
    disagreement,
    polynomial_bound,
    transfer_risk_bound,
    unsigned_angle,
)
from limbeck.theory.chain import learning_curve
from limbeck.theory.deep_bounds import largest_start
from limbeck.theory.layers import flip_sign, random_balanced_layers
from limbeck.theory.loss import gradient, hessian, loss, strong_convexity

Verdict = Literal["refuted", "loose", "outside"]
"""A claim is false as printed; true, and weaker than it need be; or true, but not where one may take it to be."""

Severity = Literal["false statement", "loose or missing constant", "typo", "assumption"]
"""What is wrong: the statement; a factor; a word or symbol; or nothing but an assumption that practice breaks."""


@dataclass(frozen=True)
class Erratum:
    """One place where the paper slips."""

    name: str
    """The place."""
    verdict: Verdict
    """What the example shows of the printed claim."""
    severity: Severity
    """How much of the paper it touches."""
    says: str
    """What is wrong, and what is right."""
    example: Callable[[np.random.Generator, int], tuple[int, float]]
    """From a generator and a number of cases to (cases looked at, a number > 0 if it shows that)."""


ERRATA: list[Erratum] = []

CENTRES = np.array(
    [
        [-0.46850182, -0.543548, -0.69646365],
        [0.23510434, 0.83058799, -0.50482624],
        [0.06454, 0.99320529, 0.09683924],
    ]
)
SHARES = np.array([0.28574142, 0.37580451, 0.33845407])


def three_clusters(n: int, rng: np.random.Generator) -> np.ndarray:
    """Points (n, 3) on which, for the teacher (1, 0, 0), the expected risk rises from one label to two."""
    return CENTRES[rng.choice(3, n, p=SHARES / SHARES.sum())] + 1e-3 * rng.standard_normal((n, 3))


def erratum(name: str, verdict: Verdict, severity: Severity, says: str):
    """Register an example under the place it is about."""

    def register(example):
        ERRATA.append(Erratum(name, verdict, severity, says, example))
        return example

    return register


@erratum(
    "Corollary 2, c > 1",
    "refuted",
    "false statement",
    "The bound with a factor c > 1 is false; only c = 1 is sound. Every angle 80 degrees, d = 60, n = 40: "
    "p(t) <= c (1 - 2t/pi)^50 with c = 9^50.",
)
def corollary_2_with_a_factor(rng, size):
    """(22) drops c^n; p(0) = 1 forces c >= 1."""
    d, n, kappa, share = 60, 40, 50, 80 / 90
    c = (1.0 / (1.0 - share)) ** kappa
    tail = EmpiricalTail(np.full(2, np.radians(80.0)))
    claimed = c * polynomial_bound(n, kappa)
    curve = learning_curve(tail, d, n, 50 * size, rng=rng)
    return 50 * size, float(curve.risk[-1] - 4 * curve.stderr[-1] - claimed)


@erratum(
    "Section 1: 'the expected risk always decreases'",
    "refuted",
    "false statement",
    "Lemma 1 is about the angle. On three clusters in R^3 the expected risk is 0, .219, 0 at n = 1, 2, 3 "
    "while the mean angle falls.",
)
def risk_may_rise_with_data(rng, size):
    """Risk after two labels minus risk after one, less four standard errors; the angle falls throughout."""
    w_star = np.array([1.0, 0, 0])
    repeats = 40 * size

    risks, angles = np.empty((repeats, 2)), np.empty((repeats, 2))
    for i in range(repeats):
        X, T = three_clusters(2, rng), three_clusters(300, rng)
        span = Span(X)
        students = span.prefix_weights(span.coordinates(w_star), [1, 2])
        risks[i] = disagreement(students @ T.T, T @ w_star)
        angles[i] = unsigned_angle(students, w_star)
    rise = risks[:, 1] - risks[:, 0]
    if angles[:, 1].mean() >= angles[:, 0].mean():
        return repeats, 0.0
    return repeats, float(rise.mean() - 4 * rise.std(ddof=1) / np.sqrt(repeats))


@erratum(
    "Section 4.3: 'can never harm the transfer risk'",
    "refuted",
    "false statement",
    "Lemma 1's 'direct consequence' concerns the angle only: on the same three clusters a second label raises the risk "
    "in more than half of all transfer sets, while the angle rises in none.",
)
def data_may_harm_one_transfer_set(rng, size):
    """Share of transfer sets whose risk is larger after two labels than after one, less a half."""
    w_star, sets = np.array([1.0, 0, 0]), 40 * size
    harmed = 0
    for _ in range(sets):
        X, T = three_clusters(2, rng), three_clusters(300, rng)
        span = Span(X)
        students = span.prefix_weights(span.coordinates(w_star), [1, 2])
        fewer, more = disagreement(students @ T.T, T @ w_star)
        harmed += more > fewer
    return sets, float(harmed / sets) - 0.5


@erratum(
    "Footnote 2: a classical margin",
    "refuted",
    "false statement",
    "Classes far from each other need not be far from the teacher's plane. Class 1 uniform on [0, 1] x [1, 2], class 0 "
    "its reflection in the origin, w* = e_1: the classes are 2 apart and bounded, and no angle below pi/2 holds all "
    "points. Right: with a distance of at least m to the plane and norms of at most R, no angle exceeds arccos(m / R).",
)
def classes_apart_have_no_angular_margin(rng, size):
    """Share of points at angles of 1.56 and more to w*, less four standard errors, where the classes are 2 apart."""
    points = rng.uniform([0.0, 1.0], [1.0, 2.0], (1000 * size, 2))
    share = float(np.mean(unsigned_angle(points, np.array([1.0, 0.0])) >= 1.56))
    return len(points), share - 4 * float(np.sqrt(share * (1 - share) / len(points)))


@erratum(
    "Section 4.2: 'far from vacuous'",
    "refuted",
    "false statement",
    "Not on the paper's own tasks: at kappa = 1/4 and n = 20 bound (19) is .869, above the risk 1/2 of guessing; the "
    "exact risk is .104.",
)
def the_bound_may_say_nothing(rng, size):
    """Bound (19) at kappa = 1/4, n = 20 less 1/2."""
    del rng, size
    return 1, transfer_risk_bound(PolynomialTail(0.25), 20) - 0.5


@erratum(
    "Section 4.2: 'standard bounds ... only start to be useful when n >> d'",
    "outside",
    "assumption",
    "That is so of bounds by dimension. Bounds by margin hold for hard labels in every dimension: with no angle above "
    "1/2, the maximum-margin student errs on at most 1 / ((n + 1) cos^2(1/2)) of points (Vapnik), .062 at n = 20.",
)
def hard_labels_have_a_bound_below_d(rng, size):
    """Vapnik's bound below the 1/2 of guessing, at d = 1000 and n = 20; 0 if the students exceed it."""
    task, n, learner = MarginTask(0.5, 1000), 20, HardTargetLimit()
    bound = 1 / ((n + 1) * np.cos(0.5) ** 2)
    risks = []
    for _ in range(size):
        sample = task.sample(n, rng=rng)
        unit = sample.X / np.linalg.norm(sample.X, axis=1, keepdims=True)  # radius 1, margin cos(1/2) or more
        risks.append(task.risk(learner.weights(Span(unit), unit @ task.w_star)))
    return size, float(0.5 - bound) if np.mean(risks) <= bound else 0.0


@erratum(
    "Theorem D.1: range of beta",
    "refuted",
    "false statement",
    "Under its assumption epsilon <= norm/2 the printed delta reaches sqrt(pi) > pi/2 and leaves no beta; "
    "and delta depends on the random norm of w_hat outside the expectation. Right: a relative closeness eta "
    "and delta = arcsin(eta).",
)
def theorem_d1_has_no_beta_left(rng, size):
    """By how much the printed delta exceeds pi/2 at epsilon = norm / 2."""
    del rng, size
    try:
        approximate_risk_bound_printed(EmpiricalTail(np.array([1.0])), 5, 0.5, 1.0)
    except ValueError:
        return 1, angle_of_perturbation_printed(0.5, 1.0) - np.pi / 2
    return 1, 0.0


@erratum(
    "Lemma D.1: the constant",
    "loose",
    "loose or missing constant",
    "True, but far from sharp: at epsilon = .01 norm the largest angle is arcsin(.01) = .010, the lemma allows "
    ".251.",
)
def lemma_d1_is_not_sharp(rng, size):
    """Printed angle minus the largest one possible, at eta = .01."""
    del rng, size
    return 1, angle_of_perturbation_printed(0.01, 1.0) - angle_of_perturbation(0.01)


@erratum(
    "Eq. 42 and 43: the Hessian",
    "refuted",
    "loose or missing constant",
    "The Hessian of (35), and mu in (46) and (47), carry the 1/n of (38).",
)
def hessian_lacks_a_factor(rng, size):
    """Relative distance of the printed Hessian X D X' from differences of the gradient (38)."""
    worst = np.inf
    for _ in range(size):
        X, w, v = rng.standard_normal((6, 4)), rng.standard_normal(4), rng.standard_normal(4)
        z, h = X @ rng.standard_normal(4), 1e-6
        slope = (gradient(w + h * v, X, z) - gradient(w - h * v, X, z)) / (2 * h)
        printed, right = len(X) * hessian(w, X) @ v, hessian(w, X) @ v
        if np.linalg.norm(right - slope) > 1e-6 * np.linalg.norm(slope):
            return size, 0.0
        worst = min(worst, np.linalg.norm(printed - slope) / np.linalg.norm(slope))
    return size, float(worst)


@erratum(
    "Eq. 54 and 59: the rate",
    "loose",
    "loose or missing constant",
    "Corollary A.1 gives |grad L|^2 >= 2 c L, so the loss falls at least as exp(-2 c t): the printed exp(-c t) "
    "is true and wastes half the exponent.",
)
def rate_lacks_a_factor(rng, size):
    """Smallest |grad L|^2 / (c L) - 1 next to the minimum, along the flattest direction: 1, where (54) uses 0."""
    slack = np.inf
    for _ in range(size):
        X = rng.standard_normal((5, 8))
        z = X @ rng.standard_normal(8) / np.sqrt(8)
        w = Span(X).weights(z) + 1e-3 * np.linalg.svd(X)[2][4]
        value = loss(w, X, z)
        square = float(np.sum(gradient(w, X, z) ** 2))
        slack = min(slack, square / (strong_convexity(X, z, value) * value) - 1.0)
    return size, slack


@erratum(
    "Condition (12): 'flip the sign'",
    "refuted",
    "false statement",
    "Neither w(0) nor -w(0) need lie below the level of 0: the loss is convex, so at most one does. Starts across "
    "the gradient fail both ways. A start with a part outside the span needs no (12).",
)
def neither_sign_brings_12_about(rng, size):
    """Share of balanced starts of norm .1, d = 1000, n = 20, that fail (12) with either sign."""
    fails = 0
    for _ in range(size):
        X = rng.standard_normal((20, 1000))
        z = X @ rng.standard_normal(1000) / np.sqrt(1000)
        fails += not flip_sign(random_balanced_layers(1000, 2, 0.1, rng=rng), X, z).holds
    return size, fails / size


@erratum(
    "Condition (11): the minimum",
    "loose",
    "loose or missing constant",
    "Its second term equals |w_hat| sin(arctan(epsilon / |w_hat|))^N and is always below the first: the minimum is "
    "redundant.",
)
def minimum_in_11_is_redundant(rng, size):
    """Smallest 1 - second term / |w_hat| over random epsilon, |w_hat| and N."""
    slack = np.inf
    for _ in range(size):
        norm, depth = 10 ** rng.uniform(-2, 2), int(rng.integers(2, 7))
        slack = min(slack, 1 - largest_start(norm * 10 ** rng.uniform(-3, 2), norm, depth) / norm)
    return size, float(slack)


@erratum(
    "Eq. 51: an inverse that does not exist",
    "refuted",
    "false statement",
    "X'X (our X X^T) is singular for n > d; the conclusion stands, with the projection on the span instead.",
)
def inverse_of_a_singular_matrix(rng, size):
    """Number of Gram matrices of n = d + 2 points that no inverse exists for: their rank is d."""
    singular = 0
    for _ in range(size):
        X = rng.standard_normal((6, 4))
        eigenvalues = np.linalg.eigvalsh(X @ X.T)
        singular += int(np.sum(eigenvalues < 1e-10 * eigenvalues[-1]) == 2)
    return size, float(singular == size)


@erratum(
    "Eq. 34 for n >= d",
    "refuted",
    "false statement",
    "The inequality is strict: once the student equals the teacher another point cannot help, so distillation's "
    "own index is 0 from n = d on. Ties are reported apart.",
)
def index_vanishes_at_full_rank(rng, size):
    """Share of transfer sets of n = d points where one more point does not reduce the angle beyond rounding."""
    still = 0
    for _ in range(size):
        X, w_star = rng.standard_normal((6, 5)), rng.standard_normal(5)
        before, after = Span(X).prefix_angles(w_star)[-2:]
        still += int(after >= before - 1e-12)
    return size, still / size


@erratum(
    "Theorem 1 with rounded answers",
    "outside",
    "assumption",
    "n >= d recovers the teacher from exact logits only. Labels rounded to 3 decimals leave some disagreement "
    "even at n = 2d, and much more at n = d, the most fragile point.",
)
def rounded_answers_do_not_recover(rng, size):
    """Mean disagreement at n = 2d, d = 100, |w*| = 1, labels of 3 decimals."""
    d, risks = 100, []
    for _ in range(max(5, size // 4)):
        X, w_star = rng.standard_normal((2 * d, d)), rng.standard_normal(d)
        w_star /= np.linalg.norm(w_star)
        y = np.round(1 / (1 + np.exp(-(X @ w_star))), 3)
        if not np.all((y > 0) & (y < 1)):
            continue
        T = rng.standard_normal((5000, d))
        risks.append(disagreement(T @ Span(X).weights(np.log(y / (1 - y))), T @ w_star))
    return len(risks), float(np.mean(risks))


@erratum(
    "Figure 5's caption",
    "refuted",
    "typo",
    "It lists delta = 1/16 ... 1 'from left to right'. Under the paper's own definition the index falls as delta "
    "grows: delta = 1 is the leftmost.",
)
def caption_of_figure_5(rng, size):
    """Monotonicity index at delta = 1/16 minus that at delta = 1, less four standard errors."""
    task, n, repeats = PolynomialTask(1.0, 100), 5, 40 * size
    fell = np.empty((repeats, 2))
    for i in range(repeats):
        sample = task.sample(n + 1, rng=rng)
        fewer, more = Span(sample.X[:n]), Span(sample.X)
        for j, delta in enumerate((1 / 16, 1.0)):
            learner = BiasedDistillation(delta)
            before = learner.weights(fewer, sample.z[:n], rng=rng)
            after = learner.weights(more, sample.z, rng=rng)
            fell[i, j] = unsigned_angle(after, task.w_star) < unsigned_angle(before, task.w_star)
    gap = fell[:, 0] - fell[:, 1]
    return repeats, float(gap.mean() - 4 * gap.std(ddof=1) / np.sqrt(repeats))


@erratum(
    "Figure 4's axis",
    "refuted",
    "typo",
    "It prints epsilon for the text's delta. Epsilon is a distance in Theorems 2 and D.1; w_delta lies delta |w_hat| "
    "away from w_hat.",
)
def axis_of_figure_4(rng, size):
    """Smallest relative gap between delta and the distance it would be, were it epsilon."""
    gap, delta = np.inf, 10.0
    for _ in range(size):
        span = Span(rng.standard_normal((5, 12)))
        z = span.X @ rng.standard_normal(12)
        away = BiasedDistillation(delta).weights(span, z, rng=rng) - span.weights(z)
        gap = min(gap, abs(float(np.linalg.norm(away)) / delta - 1.0))
    return size, gap


@erratum(
    "Theorem 1 with a teacher that is not linear",
    "outside",
    "assumption",
    "It assumes a linear teacher. A network of five rectified units: the student disagrees more after n = d labels "
    "than after d/2, most where the rank stops growing; a ridge or early stopping removes the peak.",
)
def more_labels_of_a_nonlinear_teacher_hurt(rng, size):
    """Disagreement after d labels minus that after d / 2, less four standard errors; d = 40."""
    d, repeats = 40, 5 * size
    spectrum, rise = np.arange(1, d + 1) ** -0.5, np.empty(repeats)
    for i in range(repeats):
        hidden, out = rng.standard_normal((5, d)), rng.standard_normal(5)
        X, T = (rng.standard_normal((m, d)) * spectrum for m in (d, 1000))
        z, t = (np.maximum(points @ hidden.T, 0) @ out for points in (X, T))
        half, full = (disagreement(T @ Span(X[:n]).weights(z[:n]), t) for n in (d // 2, d))
        rise[i] = full - half
    return repeats, float(rise.mean() - 4 * rise.std(ddof=1) / np.sqrt(repeats))
