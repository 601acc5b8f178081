"""Real layers W_1 ... W_N (Eq. 2): balance (13), the conditions of Theorem 2, and the exact limit of balanced ones."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import ArrayLike

from limbeck import _check
from limbeck._check import Array
from limbeck.theory.deep import DeepLimit, deep_limit_details, minimiser
from limbeck.theory.deep_bounds import theorem_2_radius
from limbeck.theory.factor import row_norms
from limbeck.theory.loss import loss
from limbeck.theory.span import Span

Layers = Sequence[Array]

UNBALANCED = 1e-10


def check_layers(layers: Sequence[ArrayLike], d: int | None = None) -> Layers:
    """Return the layers as float arrays W_1 (h_1, d), W_2 (h_2, h_1), ..., W_N (1, h_{N-1}).

    Raises
    ------
    ValueError
        If there is none, shapes do not chain, the last has more than one row, or the first does not
        take ``d`` features: naming the layer.
    """
    if len(layers) == 0:
        raise ValueError("layers is empty: at least one layer is needed.")
    checked = [np.array(_check.points(W, f"layer {j}"), dtype=np.float64) for j, W in enumerate(layers, 1)]
    if d is not None and checked[0].shape[1] != d:
        raise ValueError(f"Layer 1 takes {checked[0].shape[1]} features where the points have {d}.")
    for j in range(1, len(checked)):
        if checked[j].shape[1] != checked[j - 1].shape[0]:
            raise ValueError(
                f"Layer {j + 1} takes {checked[j].shape[1]} inputs where layer {j} gives {checked[j - 1].shape[0]}: "
                "the shapes must chain, (h_1, d), (h_2, h_1), ..., (1, h_{N-1})."
            )
    if checked[-1].shape[0] != 1:
        raise ValueError(
            f"The last layer gives {checked[-1].shape[0]} outputs; a binary student has one logit."
        )
    return checked


def product(layers: Sequence[ArrayLike]) -> Array:
    """End-to-end weights w = (W_N ... W_1)^T, shape (d,)."""
    return reduce(lambda inner, W: W @ inner, check_layers(layers))[0]


def balanced_layers(
    w0: ArrayLike, depth: int, *, widths: Sequence[int] | None = None, rng: np.random.Generator | None = None
) -> Layers:
    """Balanced layers (13) whose product is w(0).

    Every balanced chain that ends in one output is of this form: W_j = s a_j a_{j-1}^T with unit a_j,
    s = |w(0)|^(1/N), a_0 = w(0) / |w(0)|, a_N = 1.

    Parameters
    ----------
    w0 : array_like, shape (d,)
        Product wanted, not zero.
    depth : int
        Number of layers N.
    widths : sequence of int, optional
        Hidden widths h_1 ... h_{N-1}; default all 1. The product's flow does not depend on them.
    rng : numpy.random.Generator, optional
        Draws the hidden directions a_j; default: the first unit vectors.

    Returns
    -------
    list of ndarray
        W_1 (h_1, d), ..., W_N (1, h_{N-1}).
    """
    w0 = _check.nonzero(_check.vector(w0, "w0"), "w0")
    depth = _check.count(depth, "depth")
    widths = [1] * (depth - 1) if widths is None else [_check.count(h, "widths") for h in widths]
    if len(widths) != depth - 1:
        raise ValueError(
            f"widths holds {len(widths)} numbers where depth = {depth} has {depth - 1} hidden layers."
        )
    length = float(row_norms(w0))
    hidden = [np.eye(h)[0] if rng is None else _unit(rng.standard_normal(h)) for h in widths]
    directions = [w0 / length, *hidden, np.ones(1)]
    return [length ** (1.0 / depth) * np.outer(directions[j + 1], directions[j]) for j in range(depth)]


def random_balanced_layers(
    d: int, depth: int, norm: float, *, widths: Sequence[int] | None = None, rng: np.random.Generator
) -> Layers:
    """Balanced layers whose product has this norm and a uniformly random direction in R^d."""
    norm = _check.number(norm, "norm", above=0.0, finite=True)
    return balanced_layers(
        norm * _unit(rng.standard_normal(_check.count(d, "d"))), depth, widths=widths, rng=rng
    )


def _unit(v: Array) -> Array:
    return v / np.linalg.norm(v)


def balance_error(layers: Sequence[ArrayLike]) -> float:
    """Largest |W_{j+1}^T W_{j+1} - W_j W_j^T|_F over neighbouring layers (13), relative to the largest |W_j|_F^2."""
    return max(_balance_gaps(check_layers(layers)), default=0.0)


def _balance_gaps(layers: Layers) -> list[float]:
    """Relative failure of (13) between layers 1 and 2, 2 and 3, ..."""
    size = max(float(np.sum(W * W)) for W in layers)
    gaps = [float(np.linalg.norm(V.T @ V - W @ W.T)) for W, V in itertools.pairwise(layers)]
    return [gap / size if size > 0 else 0.0 for gap in gaps]


def limit_of_layers(layers: Sequence[ArrayLike], X: ArrayLike | Span, z: ArrayLike) -> DeepLimit:
    """Exact limit of given layers under gradient flow; see `limbeck.theory.deep_limit`.

    Parameters
    ----------
    layers : sequence of array_like
        W_1 (h_1, d), ..., W_N (1, h_{N-1}), balanced.
    X, z
        As in `deep_limit`.

    Raises
    ------
    ValueError
        If the layers are not balanced (13), naming the two that fail most: no closed form is known for
        them, and that of balanced layers with the same product can be off severalfold. And as `deep_limit`.
    """
    span = X if isinstance(X, Span) else Span(X)
    layers = check_layers(layers, span.d)
    gaps = _balance_gaps(layers)
    if gaps and max(gaps) >= UNBALANCED:
        j = int(np.argmax(gaps)) + 1
        raise ValueError(
            f"Layers {j} and {j + 1} are out of balance (13), by {max(gaps):.3g} relative to the largest layer: the "
            "exact limit is known for balanced layers only. Start from balanced_layers, or follow flow_layers."
        )
    return deep_limit_details(span, z, product(layers), len(layers))


@dataclass(frozen=True)
class SignFlip:
    """Whether flipping the sign of one layer brings condition (12) about."""

    layers: Layers
    """The layers, with the first one's sign flipped if that lowers the loss below that of w = 0."""
    flipped: bool
    """Whether the sign was flipped."""
    holds: bool
    """Whether (12) holds for the layers returned; False where neither sign brings it about."""
    loss: float
    """L1(w(0)) of the layers returned, nats."""
    loss_at_zero: float
    """L1(0), nats."""


def flip_sign(layers: Sequence[ArrayLike], X: ArrayLike, z: ArrayLike) -> SignFlip:
    """Flip the sign of the first layer where that brings (12), L1(w(0)) < L1(0), about.

    The paper says one of the two signs always does. It need not: L1 is convex, so *at most* one of
    w(0) and -w(0) lies below the level of 0, and for starts across the gradient neither does. A start
    with a part outside the span does not need (12) (see `limbeck.theory.deep`).
    """
    X = _check.points(X)
    layers = check_layers(layers, X.shape[1])
    w, zero = product(layers), loss(np.zeros(X.shape[1]), X, z)
    kept, turned = loss(w, X, z), loss(-w, X, z)
    if kept < zero or turned >= zero:
        return SignFlip(layers, flipped=False, holds=kept < zero, loss=kept, loss_at_zero=zero)
    return SignFlip([-layers[0], *layers[1:]], flipped=True, holds=True, loss=turned, loss_at_zero=zero)


@dataclass(frozen=True)
class Conditions:
    """Which conditions of Theorem 2 given layers meet, and what it then guarantees."""

    norm: float
    """|w(0)|."""
    student_norm: float
    """|w_hat|, what (11) compares it with."""
    small: bool
    """Whether |w(0)| < |w_hat|, without which (11) holds for no epsilon."""
    loss: float
    """L1(w(0)), nats."""
    loss_at_zero: float
    """L1(0), nats."""
    below_zero: bool
    """Whether (12) holds: L1(w(0)) < L1(0)."""
    balance_error: float
    """Relative failure of (13); see `balance_error`."""
    balanced: bool
    """Whether (13) holds up to rounding."""
    epsilon: float
    """Radius that Theorem 2 guarantees (76); 0 at full rank, inf if a condition fails."""
    exact_leak: float
    """Exact distance of the limit from w_hat, for balanced layers; NaN for others, or if w runs into 0."""


def check_conditions(layers: Sequence[ArrayLike], X: ArrayLike, z: ArrayLike) -> Conditions:
    """Say which of (11), (12) and (13) hold for given layers, by how much, and what Theorem 2 then guarantees.

    Parameters
    ----------
    layers : sequence of array_like
        W_1 (h_1, d), ..., W_N (1, h_{N-1}).
    X : array_like, shape (n, d)
        Points as rows.
    z : array_like, shape (n,)
        Teacher logits.

    Returns
    -------
    Conditions

    Raises
    ------
    ValueError
        For a single layer, which Theorem 2 does not speak of.
    """
    span = Span(X)
    layers = check_layers(layers, span.d)
    if len(layers) < 2:
        raise ValueError(
            "layers holds a single layer, and Theorem 2 is about two or more: one layer ends at "
            "w_hat + (I - P) w(0) from anywhere (Theorem 1)."
        )
    z = np.asarray(_check.vector(z, "z", span.n), dtype=np.float64)
    w, zero = product(layers), loss(np.zeros(span.d), span.X, z)
    norm, student_norm = float(row_norms(w)), float(row_norms(minimiser(span, z)))
    error, value = balance_error(layers), loss(w, span.X, z)
    small, below, balanced = norm < student_norm, value < zero, error < UNBALANCED
    epsilon = np.inf
    if small and below and balanced:
        epsilon = 0.0 if span.rank == span.d else theorem_2_radius(norm, student_norm, len(layers))
    try:
        leak = deep_limit_details(span, z, w, len(layers)).leak if balanced else np.nan
    except ValueError:
        leak = np.nan
    return Conditions(
        norm=norm,
        student_norm=student_norm,
        small=small,
        loss=value,
        loss_at_zero=zero,
        below_zero=below,
        balance_error=error,
        balanced=balanced,
        epsilon=float(epsilon),
        exact_leak=float(leak),
    )
