"""Every public function and estimator, each called on odd arguments; several with the answer known another way.

An entry draws its arguments and returns what to run and on what. ``Expected`` says what is wrong with a result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from limbeck import labels, theory
from limbeck.theory import kernels
from limbeck.theory.scaling import KINDS, Scaling
from torture import reference
from torture.odd import Draws


@dataclass(frozen=True)
class Call:
    """One call and what is known of its result."""

    run: Callable[..., Any]
    """Called on the arguments."""
    arguments: tuple[Any, ...]
    """Odd or plain; none may be changed."""
    wrong: Callable[..., str | None] | None = None
    """``wrong(result, *arguments)`` says what is wrong with a result, or None."""
    undefined: tuple[str, ...] = ()
    """Fields of the result that may hold NaN, as documented."""


def _tail(g: Draws) -> Any:
    kind = g.pick(range(3))
    if kind == 0:
        return lambda: theory.PolynomialTail(g_size), (g_size := g.size())
    if kind == 1:
        return lambda: theory.MarginTail(g_beta), (g_beta := g.share())
    angles = g.oddly(g.rng.uniform(0, 1.5, 7))
    return lambda: theory.EmpiricalTail(angles), angles


def _layers(g: Draws) -> list[Any]:
    h = g.pick((1, 2, 3))
    return [g.array(h, g.d), g.array(1, h)]


def _balanced(g: Draws) -> list[Any]:
    return list(theory.random_balanced_layers(g.d, g.pick((2, 3)), 0.1, rng=np.random.default_rng(g.n)))


def _p(g: Draws, *shape: int) -> Any:
    p = g.rng.dirichlet(np.ones(shape[1]), shape[0]) if len(shape) > 1 else g.rng.uniform(size=shape)
    return g.oddly(p)


def _some_named(g: Draws) -> Any:
    """Log-probabilities of some of the classes; NaN stands for one not named."""
    logs = np.log(g.rng.dirichlet(np.ones(g.k), g.n))
    return g.oddly(np.where(g.rng.random(logs.shape) < 0.5, np.nan, logs))


def _exponentials(logs: Any) -> Any:
    """Of float arrays, in float64; anything else as it is."""
    with np.errstate(over="ignore"):
        floats = isinstance(logs, np.ndarray) and logs.dtype.kind == "f"
        return np.exp(logs.astype(np.float64)) if floats else logs


def _codes(g: Draws, codes: np.ndarray) -> Any:
    return g.oddly(codes.astype(float)) if g.odd() else codes


def _kernel(g: Draws) -> Callable[[], Any]:
    a, b = g.size(), g.whole(1, 3)
    kinds = (
        kernels.Linear, lambda: kernels.Polynomial(b), lambda: kernels.RBF(a), kernels.ArcCosine,
        lambda: kernels.NTK(b), lambda: kernels.Normalised(kernels.Linear()),
    )  # fmt: skip
    return g.pick(kinds)


def _in_kernel(g: Draws, kernel: Callable[[], Any]) -> Call:
    return Call(
        lambda X, z, V: (s := theory.KernelSpan(X, kernel())) and s.logits(V, s.student(z).coordinates),
        (g.X(), g.z(), g.T()),
    )


def _whole_span(X: Any, z: Any, V: Any, w: Any, g: Any) -> Any:
    span = theory.Span(X)
    c = span.teacher_coordinates(z)
    return (
        span.rank, span.leverages, span.coordinates(V), span.residual(V), span.prefix_angles(w),
        span.prefix_logits(V, c), span.prefix_weights(c, [span.n]), span.complement_direction(g),
    )  # fmt: skip


SPANS: dict[str, Callable[[Draws], Call]] = {
    "Span.weights": lambda g: Call(
        lambda X, z: theory.Span(X).weights(z), (g.X(), g.z()), reference.least_squares
    ),
    "Span.weights of a linear teacher": lambda g: Call(
        reference.taught, (g.X(), g.w()), reference.projection
    ),
    "Span.append": lambda g: Call(
        lambda X, more, z: theory.Span(X).append(more).weights(z),
        (g.X(), g.T(), g.array(g.n + g.m)),
        lambda w, X, more, z: reference.least_squares(w, np.concatenate([X, more]), z),
    ),
    "Span": lambda g: Call(_whole_span, (g.X(), g.z(), g.T(), g.w(), g.w())),
    "Span.project": lambda g: Call(
        lambda X, V: theory.Span(X).project(V), (g.X(), g.T()), reference.idempotent
    ),
    "Span.prefix_angles": lambda g: Call(
        lambda X, w: theory.Span(X).prefix_angles(w), (g.X(), g.w()), reference.falls
    ),
    "KernelSpan": lambda g: _in_kernel(g, _kernel(g)),
    "KernelSpan, arc-cosine": lambda g: _in_kernel(g, kernels.ArcCosine),
    "KernelSpan, normalised": lambda g: _in_kernel(g, lambda: kernels.Normalised(kernels.Linear())),
    "certify": lambda g: Call(
        lambda X, w, T: theory.certify(X, reference.answers(X, w), T), (g.X(), g.w(), g.T())
    ),
    "certify with errors": lambda g: Call(
        lambda X, z, T, e: theory.certify(X, z, T, error=e),
        (g.X(), g.z(), g.T(), g.array(g.n, positive=True)),
    ),
    "certify_classes": lambda g: Call(
        lambda X, Z, T, b: (found := theory.certify_classes(X, Z, T), found.proved(b)),
        (g.X(), g.array(g.n, g.k), g.T(), g.size() if g.odd() else 1e9),
    ),
    "counter_teacher": lambda g: Call(theory.counter_teacher, (g.X(), g.z(), g.w(), g.size())),
    "disagreement_probability": lambda g: Call(theory.disagreement_probability, (g.X(), g.T())),
    "disagreement_probability under S": lambda g: Call(
        lambda X, T, S: theory.disagreement_probability(X, T, covariance=S), (g.X(), g.T(), g.array(g.d, g.d))
    ),
    "certified_shares": lambda g: Call(
        theory.certified_shares, (g.X(), g.z(), g.T()), undefined=("norm_bounds", "multiples")
    ),
    "data_curve": lambda g: Call(
        theory.data_curve, (g.X(), g.z(), g.T(), g.array(g.m)), undefined=("angles", "certified")
    ),
    "Distillation": lambda g: Call(
        lambda X, z: theory.Distillation().weights(theory.Span(X), z), (g.X(), g.z())
    ),
    "BiasedDistillation": lambda g: Call(
        lambda X, z, delta, r: theory.BiasedDistillation(delta).weights(theory.Span(X), z, rng=r),
        (g.X(), g.z(), g.size(), g.seeded()),
    ),
    "HardTargetLimit": lambda g: Call(
        lambda X, z: theory.HardTargetLimit().weights(theory.Span(X), z), (g.X(), g.z())
    ),
    "HardTargetSteps": lambda g: Call(
        lambda X, z, s: theory.HardTargetSteps(s).weights(theory.Span(X), z), (g.X(), g.z(), g.whole())
    ),
    "Scaling": lambda g: Call(lambda X, kind: Scaling.of(X, kind), (g.X(), g.pick(KINDS))),
}

FLOWS: dict[str, Callable[[Draws], Call]] = {
    "gradient_flow": lambda g: Call(
        lambda X, z, w, t: theory.gradient_flow(X, z, w0=w, times=t),
        (g.X(), g.z(), g.w(), g.array(3, positive=True)),
    ),
    "gradient_descent": lambda g: Call(theory.gradient_descent, (g.X(), g.z(), g.whole())),
    "kernels.Polynomial": lambda g: Call(
        lambda X, degree, offset, scale: theory.KernelSpan(X, kernels.Polynomial(degree, offset, scale)).rank,
        (g.X(), g.whole(1, 3), g.size(), g.size()),
    ),
    "deep_flow": lambda g: Call(
        lambda X, z, w, depth, t: theory.deep_flow(X, z, w, depth, times=t),
        (g.X(), g.z(), g.w(), g.whole(2, 4), g.array(3, positive=True)),
    ),
    "deep_limit": lambda g: Call(theory.deep_limit, (g.X(), g.z(), g.w(), g.whole(1, 4))),
    "deep_limit_details": lambda g: Call(theory.deep_limit_details, (g.X(), g.z(), g.w(), g.whole(1, 4))),
    "path_from_one_point": lambda g: Call(
        theory.path_from_one_point, (g.w(), g.size(), g.w(), g.whole(1, 4))
    ),
    "balanced_layers": lambda g: Call(theory.balanced_layers, (g.w(), g.whole(1, 4))),
    "random_balanced_layers": lambda g: Call(
        lambda d, depth, norm, r: theory.random_balanced_layers(d, depth, norm, rng=r),
        (g.whole(1, 9), g.whole(1, 4), g.size(), g.seeded()),
    ),
    "check_conditions": lambda g: Call(
        theory.check_conditions, (_layers(g), g.X(), g.z()), undefined=("exact_leak",)
    ),
    "flip_sign": lambda g: Call(theory.flip_sign, (_balanced(g), g.X(), g.z())),
    "limit_of_layers": lambda g: Call(theory.limit_of_layers, (_balanced(g), g.X(), g.z())),
    "imbalance_effect": lambda g: Call(
        theory.imbalance_effect, (_layers(g), g.X(), g.z()), undefined=("deviation",)
    ),
    "descend_layers": lambda g: Call(
        lambda layers, X, z, s, step: theory.descend_layers(layers, X, z, s, step_size=step),
        (_layers(g), g.X(), g.z(), g.whole(), g.size()),
    ),
    "flow_layers": lambda g: Call(
        lambda layers, X, z, t: theory.flow_layers(layers, X, z, times=t),
        (_layers(g), g.X(), g.z(), g.array(3, positive=True)),
    ),
    "largest_start": lambda g: Call(theory.largest_start, (g.share(), g.size(), g.whole(1, 5))),
    "theorem_2_radius": lambda g: Call(theory.theorem_2_radius, (g.size(), g.size(), g.whole(1, 5))),
}


def _bound(function: Callable[..., Any], *more: str) -> Callable[[Draws], Call]:
    def draw(g: Draws) -> Call:
        tail, argument = _tail(g)
        rest = tuple(getattr(g, name)() for name in more)
        return Call(lambda _, *rest: function(tail(), *rest), (argument, *rest), reference.nonnegative)

    return draw


LAWS: dict[str, Callable[[Draws], Call]] = {
    "angle": lambda g: Call(theory.angle, (g.w(), g.w()), reference.angle),
    "angle of rows": lambda g: Call(theory.angle, (g.T(), g.w()), reference.angle),
    "unsigned_angle": lambda g: Call(theory.unsigned_angle, (g.w(), g.w()), reference.unsigned_angle),
    "margin_angle": lambda g: Call(theory.margin_angle, (g.size(), g.size())),
    "angle_of_perturbation": lambda g: Call(theory.angle_of_perturbation, (g.size(),), reference.arcsine),
    "angle_of_perturbation_printed": lambda g: Call(theory.angle_of_perturbation_printed, (g.size(), g.size())),
    "tail": _bound(lambda tail, theta: tail(theta), "w"),
    "tail.at_cotangent": _bound(lambda tail, cot: tail.at_cotangent(cot), "w"),
    "PolynomialTail": lambda g: Call(
        lambda kappa, theta: theory.PolynomialTail(kappa)(theta), (g.size(), g.array(3, positive=True)),
        reference.polynomial_tail,
    ),
    "EmpiricalTail.upper": lambda g: Call(
        lambda a, c: (theory.EmpiricalTail(a).band(c), theory.EmpiricalTail(a).upper(c)(0.3)),
        (g.oddly(g.rng.uniform(0, 1.5, 9)), g.share()),
    ),
    "tail.cotangents": _bound(lambda tail, r: tail.cotangents(4, rng=r), "seeded"),
    "bound_at_angle": _bound(theory.bound_at_angle, "size"),
    "transfer_risk_bound": _bound(theory.transfer_risk_bound, "whole"),
    "transfer_risk_bound_tight": _bound(theory.transfer_risk_bound_tight, "whole"),
    "transfer_risk_angle": _bound(theory.transfer_risk_angle, "whole"),
    "margin_bound": _bound(theory.margin_bound, "whole", "share"),
    "approximate_risk_bound": _bound(theory.approximate_risk_bound, "whole", "share"),
    "approximate_risk_bound_printed": _bound(theory.approximate_risk_bound_printed, "whole", "share", "size"),
    "polynomial_bound": lambda g: Call(theory.polynomial_bound, (g.whole(), g.size()), reference.polynomial_bound),
    "symmetric_risk": lambda g: Call(
        lambda alpha, kappa, d: theory.symmetric_risk(alpha, theory.PolynomialTail(kappa), d),
        (g.array(2, positive=True), g.size(), g.whole(2, 9)), reference.symmetric_risk,
    ),
    "symmetric_risk of any tail": _bound(
        lambda tail, d, alpha: theory.symmetric_risk(alpha, tail, d), "whole", "share"
    ),
    "expected_risk": lambda g: Call(theory.expected_risk, (g.size(), g.whole(45, 90), g.whole(1, 30))),
    "asymptotic_risk": lambda g: Call(theory.asymptotic_risk, (g.size(), g.whole(2, 50), g.whole(1, 50))),
    "mean_square_cotangent": lambda g: Call(
        theory.mean_square_cotangent, (g.array(5, positive=True), g.whole(2, 50))
    ),
    "learning_curve": _bound(
        lambda tail, d, n, r: theory.learning_curve(tail, d, n, 3, rng=r), "whole", "whole", "seeded"
    ),
    "students_at": _bound(
        lambda tail, d, n, delta, r: theory.students_at(tail, d, [1, n], delta, 3, rng=r),
        "whole", "whole", "size", "seeded",
    ),
    "biased_angles": _bound(
        lambda tail, d, n, delta, r: theory.biased_angles(tail, d, n, delta, 3, rng=r),
        "whole", "whole", "w", "seeded",
    ),
    "disagreement": lambda g: Call(theory.disagreement, (g.z(), g.z()), reference.disagreement),
    "held_out_risk": lambda g: Call(theory.held_out_risk, (g.z(), g.z())),
    "expected_risk_interval": lambda g: Call(
        lambda r, c: theory.expected_risk_interval(r, confidence=c), (_p(g, 9), g.share())
    ),
    "mean_interval": lambda g: Call(lambda v, c: theory.mean_interval(v, confidence=c), (g.z(), g.share())),
    "bounded_mean_interval": lambda g: Call(
        lambda v, m, c: theory.bounded_mean_interval(v, most=m, confidence=c),
        (g.oddly(g.rng.uniform(0, 1, 7)), 1.0 if g.odd() else g.size(), g.share()), reference.around,
    ),
    "paired_difference": lambda g: Call(
        theory.paired_difference, (g.whole(0, 9), g.whole(0, 9), g.whole(18, 40), g.share()), reference.around
    ),
    "clopper_pearson_upper": lambda g: Call(
        lambda wrong, n, c: theory.clopper_pearson_upper(wrong, n, confidence=c),
        (g.whole(0, 9), g.whole(9, 30), g.share()), reference.clopper_pearson,
    ),
    "clopper_pearson": lambda g: Call(
        lambda wrong, n, c: theory.clopper_pearson(wrong, n, c), (g.whole(0, 9), g.whole(9, 30), g.share())
    ),
    "monotonicity": lambda g: Call(theory.monotonicity, (g.array(g.m, 4), g.array(g.m, 4))),
    "PolynomialTask": lambda g: Call(
        lambda kappa, d, norm, n, r: theory.PolynomialTask(kappa, d, norm).sample(n, rng=r),
        (g.size(), g.whole(2, 9), g.size(), g.whole(), g.seeded()),
    ),
    "MarginTask": lambda g: Call(
        lambda beta, d, norm, n, r: theory.MarginTask(beta, d, norm).sample(n, rng=r),
        (g.share(), g.whole(2, 9), g.size(), g.whole(), g.seeded()),
    ),
    "SampleTask": lambda g: Call(
        lambda X, w, n, r: theory.SampleTask(X, w).sample(n, rng=r), (g.X(), g.w(), g.whole(), g.seeded())
    ),
    "task.risk": lambda g: Call(
        lambda kappa, d, w: theory.PolynomialTask(kappa, d).risk(w), (g.size(), g.d, g.w())
    ),
}  # fmt: skip

LABELS: dict[str, Callable[[Draws], Call]] = {
    "from_probabilities": lambda g: Call(
        labels.from_probabilities, (_p(g, g.n),), reference.log_odds, ("least",)
    ),
    "from_probabilities of classes": lambda g: Call(
        labels.from_probabilities, (_p(g, g.n, g.k),), undefined=("least", "logits")
    ),
    "from_probabilities, decimals": lambda g: Call(
        lambda p, k: labels.from_probabilities(p, decimals=k),
        (_p(g, g.n), g.whole(0, 9)),
        undefined=("least",),
    ),
    "from_log_probabilities": lambda g: Call(
        labels.from_log_probabilities,
        (g.oddly(np.log(g.rng.dirichlet(np.ones(g.k), g.n))),),
        undefined=("least", "logits"),
    ),
    "from_logits": lambda g: Call(labels.from_logits, (g.z(),), undefined=("least",)),
    "from_logits of classes": lambda g: Call(
        labels.from_logits, (g.array(g.n, g.k),), undefined=("least", "logits")
    ),
    "from_top_k": lambda g: Call(
        lambda i, p, k, tail: labels.from_top_k(i, p, k, tail=tail),
        (
            _codes(g, np.tile([0, 1], (g.n, 1))),
            g.oddly(np.log(np.full((g.n, 2), 0.3))),
            g.whole(2, 5),
            "uniform",
        ),
        undefined=("least", "logits"),
    ),
    "from_partial_log_probabilities": lambda g: Call(
        lambda p, tail: labels.from_partial_log_probabilities(p, tail=tail),
        (_some_named(g), g.pick(labels.TAILS)),
        reference.rows_sum_to_one,
        undefined=("least", "logits"),
    ),
    "from_partial_probabilities": lambda g: Call(
        lambda logs, tail: labels.from_partial_probabilities(_exponentials(logs), tail=tail),
        (_some_named(g), g.pick(labels.TAILS)),
        reference.rows_sum_to_one,
        undefined=("least", "logits"),
    ),
    "from_hard": lambda g: Call(
        labels.from_hard,
        (_codes(g, g.rng.integers(2, size=g.n)), g.whole(2, 4)),
        undefined=("least", "logits"),
    ),
    "reorder": lambda g: Call(labels.reorder, (_p(g, g.n, 2), [g.pick("abc"), g.pick("abc")], ["b", "a"])),
    "cross_entropy": lambda g: Call(
        lambda p, z: labels.cross_entropy(labels.from_probabilities(p), z), (_p(g, g.n), g.z())
    ),
}
