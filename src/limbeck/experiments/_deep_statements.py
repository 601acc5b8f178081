"""Theorem 2, Lemma C.1 and appendix C checked on data; registered beside the other statements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from limbeck.experiments._statements import CONVERGED, statement, worst
from limbeck.theory import Span
from limbeck.theory.deep import DeepTrajectory, deep_flow, deep_limit_details
from limbeck.theory.deep_bounds import (
    deep_loss_after,
    largest_limit_norm,
    largest_start,
    nearest_to_zero,
    outside_share_bound,
    theorem_2_radius,
)
from limbeck.theory.layers import (
    balanced_layers,
    flip_sign,
    product,
    random_balanced_layers,
)
from limbeck.theory.loss import gradient, loss, strong_convexity
from limbeck.theory.training import descend_layers, flow_layers


@dataclass(frozen=True)
class _Deep:
    X: np.ndarray
    z: np.ndarray
    span: Span
    w0: np.ndarray
    depth: int

    @property
    def norm(self) -> float:
        return float(np.linalg.norm(self.w0))


def _deep_cases(
    rng: np.random.Generator, size: int, *, largest: float = 0.5, spanning: bool = False
) -> Iterator[_Deep]:
    """Balanced starts of norm up to ``largest`` of the student's, below the level of 0 (12), depth 2 to 5.

    Fewer points than dimensions, or, where they are to be ``spanning``, as many to twice as many.
    """
    made = 0
    while made < size:
        d = int(rng.integers(4, 16))
        n = int(rng.integers(d, 2 * d + 1) if spanning else rng.integers(2, d))
        depth = int(rng.integers(2, 6))
        X = rng.standard_normal((n, d))
        z = X @ rng.standard_normal(d) / np.sqrt(d)
        span = Span(X)
        norm = np.linalg.norm(span.weights(z)) * 10.0 ** rng.uniform(-3, np.log10(largest))
        layers = flip_sign(random_balanced_layers(d, depth, norm, rng=rng), X, z)
        if layers.holds:
            made += 1
            yield _Deep(X, z, span, product(layers.layers), depth)


def _flows(rng: np.random.Generator, size: int) -> Iterator[tuple[_Deep, DeepTrajectory]]:
    for case in _deep_cases(rng, max(1, size // 4)):
        yield case, deep_flow(case.span, case.z, case.w0, case.depth)


@statement(
    "Theorem 2",
    "balanced starts that meet (12) end within the radius of (76) around w_hat, at w* for n >= d",
    CONVERGED,
)
def theorem_2(rng, size):
    """Eq. 14 and 15, by integrating the flow of real layers; equality with the exact limit besides."""

    def violations():
        for case in _deep_cases(rng, max(1, size // 12), spanning=True):
            flow = flow_layers(balanced_layers(case.w0, case.depth, rng=rng), case.X, case.z, tolerance=1e-9)
            yield float(np.linalg.norm(flow.weights[-1] - case.span.weights(case.z)))
        for case in _deep_cases(rng, max(1, size // 6)):
            flow = flow_layers(balanced_layers(case.w0, case.depth, rng=rng), case.X, case.z, tolerance=1e-8)
            exact = deep_limit_details(case.span, case.z, case.w0, case.depth)
            radius = theorem_2_radius(case.norm, float(np.linalg.norm(exact.student)), case.depth)
            yield float(np.linalg.norm(flow.weights[-1] - exact.student)) - radius
            yield float(np.linalg.norm(flow.weights[-1] - exact.weights))

    return worst(violations())


@statement("Eq. 11", "a start of the norm that (11) allows ends within epsilon")
def equation_11(rng, size):
    """By the exact limit; the start straight out of the span is the worst there is."""

    def violations():
        for case in _deep_cases(rng, size):
            student = float(np.linalg.norm(case.span.weights(case.z)))
            epsilon = student * rng.uniform(0.01, 2.0)
            allowed = largest_start(epsilon, student, case.depth)
            w0 = allowed / case.norm * case.w0
            yield deep_limit_details(case.span, case.z, w0, case.depth).leak - epsilon
            yield allowed - student  # the minimum in (11) is never needed

    return worst(violations())


@statement("Lemma C.1", "the product of balanced layers obeys (56), whatever the widths", CONVERGED)
def lemma_c1(rng, size):
    """Flow of the layers against the end-to-end flow in r + 1 coordinates."""

    def violations():
        times = np.array([0.5, 5.0, 30.0])
        for case in _deep_cases(rng, max(1, size // 6)):
            widths = rng.integers(1, 4, case.depth - 1).tolist()
            layers = balanced_layers(case.w0, case.depth, widths=widths, rng=rng)
            apart = (
                flow_layers(layers, case.X, case.z, times=times).weights
                - deep_flow(case.span, case.z, case.w0, case.depth, times=times).weights
            )
            yield float(np.abs(apart).max())

    return worst(violations())


@statement("Eq. 57 to 59", "the loss of a deep student falls at least as exp(-2 c delta^(2-2/N) t)", 1e-8)
def equation_59(rng, size):
    """With the 2 that the paper leaves out; delta bounded below by convexity."""

    def violations():
        for case, flow in _flows(rng, size):
            level, at_zero = float(flow.losses[0]), loss(np.zeros(case.span.d), case.X, case.z)
            slope = float(np.linalg.norm(gradient(np.zeros(case.span.d), case.X, case.z)))
            nearest = nearest_to_zero(at_zero, level, slope)
            yield nearest - float(flow.norms.min())
            c = strong_convexity(case.X, case.z, level)
            for t, value in zip(flow.times, flow.losses, strict=True):
                yield value - deep_loss_after(t, level, c, nearest, case.depth) * (1 + 1e-6)

    return worst(violations())


@statement("Eq. 66", "|w| sin(phi)^N is conserved", CONVERGED)
def equation_66(rng, size):
    """Relative change along the integrated flow: (66) says more than the paper draws from it."""

    def violations():
        for _, flow in _flows(rng, size):
            yield float(np.abs(flow.conserved / flow.conserved[0] - 1).max())

    return worst(violations())


@statement("Eq. 67", "the share of |w|^2 outside the span is at most (|w(0)| / |w|)^(2/N)")
def equation_67(rng, size):
    """Along the integrated flow."""

    def violations():
        for case, flow in _flows(rng, size):
            for norm, phi in zip(flow.norms, flow.angles, strict=True):
                yield float(np.sin(phi) ** 2) - outside_share_bound(case.norm, float(norm), case.depth)

    return worst(violations())


@statement("Eq. 73 to 76", "|w(inf)| and the leak are at most (73) and the root of (75), (76)")
def equation_75(rng, size):
    """By the exact limit, starts up to .99 of |w_hat|; (76) exceeds the leak by 1/sqrt(share outside)."""

    def violations():
        for case in _deep_cases(rng, size, largest=0.99):
            exact = deep_limit_details(case.span, case.z, case.w0, case.depth)
            student = float(np.linalg.norm(exact.student))
            radius = theorem_2_radius(case.norm, student, case.depth)
            share = float(np.sum(case.span.residual(case.w0) ** 2)) / case.norm**2
            yield float(np.linalg.norm(exact.weights)) - largest_limit_norm(case.norm, student, case.depth)
            yield exact.leak - radius * np.sqrt(share)

    return worst(violations())


@statement(
    "Condition (12)", "is not needed: starts that fail it but leave the span reach the exact limit", CONVERGED
)
def condition_12_is_not_needed(rng, size):
    """Starts opposite to the student inside the span, with some part outside."""

    def violations():
        for case in _deep_cases(rng, max(1, size // 6)):
            w0 = case.span.residual(case.w0) - case.span.project(case.w0)
            flow = deep_flow(case.span, case.z, w0, case.depth)
            yield 0.0 if flow.losses[0] > loss(np.zeros(case.span.d), case.X, case.z) - 1e-3 else 1.0
            yield float(flow.distances[-1]) if flow.converged else 1.0

    return worst(violations())


@statement("W_1 (I - P)", "never moves, for any layers and any step size")
def first_layer_outside_the_span(rng, size):
    """Unbalanced layers, finite steps, near the edge of stability."""

    def violations():
        for case in _deep_cases(rng, size):
            shapes = ((3, case.span.d), (2, 3), (1, 2))
            layers = [rng.standard_normal(shape) for shape in shapes]
            end = descend_layers(layers, case.X, case.z, 20, step_size=float(rng.uniform(0.01, 0.1))).layers[
                0
            ]
            yield float(np.abs(case.span.residual(end) - case.span.residual(layers[0])).max())

    return worst(violations())
