"""Kernels in closed form: the features in which a kernel student, or a wide network, is a linear one.

A kernel is called with two sets of points, ``kernel(X, Y) -> (n, m)``, and gives the squared lengths of their
features by ``kernel.diagonal(X) -> (n,)``. Any object with these two can take the place of those below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.spatial.distance import cdist

from limbeck import _check
from limbeck._check import Array
from limbeck.theory.factor import row_norms

SMALL = 0.05


class Kernel(Protocol):
    """Inner products of the features of points, positive semidefinite."""

    def __call__(self, X: Array, Y: Array) -> Array:
        """k(x, y) for the rows of X (n, d) and Y (m, d), (n, m)."""
        ...

    def diagonal(self, X: Array) -> Array:
        """k(x, x) for the rows of X (n, d), (n,)."""
        ...


@dataclass(frozen=True)
class Linear:
    """k(x, y) = x.y: the paper's student."""

    def __call__(self, X: Array, Y: Array) -> Array:
        """X Y^T, (n, m)."""
        return np.asarray(X, dtype=np.float64) @ np.asarray(Y, dtype=np.float64).T

    def diagonal(self, X: Array) -> Array:
        """|x|^2, (n,)."""
        return np.square(np.asarray(X, dtype=np.float64)).sum(axis=1)


@dataclass(frozen=True)
class Polynomial:
    """k(x, y) = (scale x.y + offset)^degree."""

    degree: int = 2
    """Degree, at least 1."""
    offset: float = 1.0
    """>= 0: at 0 only monomials of exactly this degree are features."""
    scale: float = 1.0
    """> 0."""

    def __post_init__(self) -> None:
        _check.count(self.degree, "degree")
        _check.number(self.offset, "offset", least=0.0)
        _check.number(self.scale, "scale", above=0.0)

    def __call__(self, X: Array, Y: Array) -> Array:
        """Of every pair of rows, (n, m)."""
        return (self.scale * Linear()(X, Y) + self.offset) ** self.degree

    def diagonal(self, X: Array) -> Array:
        """(scale |x|^2 + offset)^degree, (n,)."""
        return (self.scale * Linear().diagonal(X) + self.offset) ** self.degree


@dataclass(frozen=True)
class RBF:
    """k(x, y) = exp(-|x - y|^2 / (2 length^2))."""

    length: float = 1.0
    """Length scale, > 0, in the unit of the features."""

    def __post_init__(self) -> None:
        _check.number(self.length, "length", above=0.0)

    def __call__(self, X: Array, Y: Array) -> Array:
        """Of every pair of rows, (n, m); from differences, so that near points keep their digits."""
        length = float(self.length)
        return np.exp(-0.5 * cdist(np.asarray(X) / length, np.asarray(Y) / length, "sqeuclidean"))

    def diagonal(self, X: Array) -> Array:
        """1, (n,)."""
        return np.ones(len(X))


@dataclass(frozen=True)
class ArcCosine:
    """k(x, y) = (1/pi) |x|^q |y|^q J_q(theta), theta the angle between x and y, q the degree.

    J_0 = pi - theta, J_1 = sin(theta) + (pi - theta) cos(theta), J_2 = 3 sin(theta) cos(theta) +
    (pi - theta)(1 + 2 cos(theta)^2): twice the mean of step-like activations max(w.x, 0)^q over w ~ N(0, I).

    References
    ----------
    Cho and Saul (2009), *Kernel Methods for Deep Learning*.
    """

    degree: int = 1
    """q: 0, 1 or 2; 1 is the last layer of a wide ReLU network, trained alone."""

    def __post_init__(self) -> None:
        if self.degree not in (0, 1, 2):
            raise ValueError(f"degree must be 0, 1 or 2, got {self.degree!r}.")

    def __call__(self, X: Array, Y: Array) -> Array:
        """Of every pair of rows, (n, m)."""
        angle, size = _angles(X, Y, refuse_zero=self.degree == 0)
        turn = np.pi - angle
        if self.degree == 0:
            return turn / np.pi
        if self.degree == 1:
            return size * (np.sin(angle) + turn * np.cos(angle)) / np.pi
        return (
            size**2 * (3 * np.sin(angle) * np.cos(angle) + turn * (1 + 2 * np.square(np.cos(angle)))) / np.pi
        )

    def diagonal(self, X: Array) -> Array:
        """1, |x|^2 or 3 |x|^4, (n,)."""
        square = Linear().diagonal(X)
        return (np.ones(len(square)), square, 3 * np.square(square))[self.degree]


@dataclass(frozen=True)
class NTK:
    """Neural tangent kernel of a fully connected ReLU network without biases, in closed form.

    With S_0 = T_0 = x.y, u = cos(theta_l) the normalised S_l,

        S_{l+1} = |x| |y| (sin(theta_l) + (pi - theta_l) cos(theta_l)) / pi
        T_{l+1} = T_l (pi - theta_l) / pi + S_{l+1}

    (He scaling, so that S_l(x, x) = |x|^2 at every layer); the kernel is T at the last layer. A network of this
    depth in NTK parameterisation, trained by gradient flow, is the minimum-norm student of these features as its
    width grows, once the untrained network is subtracted.

    References
    ----------
    Jacot, Gabriel and Hongler (2018); Arora et al. (2019).
    """

    depth: int = 2
    """Number of layers of weights: 1 is the linear kernel, 2 has one hidden layer."""

    def __post_init__(self) -> None:
        _check.count(self.depth, "depth")

    def __call__(self, X: Array, Y: Array) -> Array:
        """T of every pair of rows, (n, m)."""
        angle, size = _angles(X, Y)
        T = size * np.cos(angle)
        for _ in range(self.depth - 1):
            T *= (np.pi - angle) / np.pi
            angle = _next_angle(angle)
            T += size * np.cos(angle)
        return T

    def diagonal(self, X: Array) -> Array:
        """Depth times |x|^2, (n,)."""
        return self.depth * Linear().diagonal(X)


@dataclass(frozen=True)
class Normalised:
    """k(x, y) / sqrt(k(x, x) k(y, y)): every point's feature has length 1."""

    kernel: Kernel
    """The kernel to normalise."""

    def __call__(self, X: Array, Y: Array) -> Array:
        """Of every pair of rows, (n, m).

        Raises
        ------
        ValueError
            If the feature of a row has length zero: it has no direction. The row is named.
        """
        return self.kernel(X, Y) / self._lengths(X)[:, None] / self._lengths(Y)

    def diagonal(self, X: Array) -> Array:
        """1, (n,)."""
        return np.ones(len(self._lengths(X)))

    def _lengths(self, X: Array) -> Array:
        square = self.kernel.diagonal(X)
        if not np.all(square > 0):
            raise ValueError(
                f"Row {int(np.argmin(square > 0))} has a feature of length zero, which a normalised kernel cannot "
                f"scale to 1: leave the row out, or use {self.kernel!r} unnormalised, where it teaches nothing."
            )
        return np.sqrt(square)


def _angles(X: Array, Y: Array, *, refuse_zero: bool = False) -> tuple[Array, Array]:
    """Angles and products of lengths of every pair of rows, (n, m) each; a zero row is at pi/2 to all.

    By 2 atan2(|u - v|, |u + v|) of the unit rows: the arccosine of a rounded cosine puts points that coincide
    1e-8 apart, and with them the kernel matrix of repeated points.
    """
    (U, p), (V, q) = _units(X, "X", refuse_zero), _units(Y, "Y", refuse_zero)
    apart = cdist(U, V)
    together = np.sqrt(np.maximum(4.0 - np.square(apart), 0.0))
    if apart.size and apart.max() > 1.9:  # 4 - |u - v|^2 has lost digits there
        together = np.where(apart > 1.9, cdist(U, -V), together)
    angle = 2.0 * np.arctan2(apart, together)
    angle[p == 0] = np.pi / 2
    angle[:, q == 0] = np.pi / 2
    return angle, p[:, None] * q


def _units(X: Array, name: str, refuse_zero: bool) -> tuple[Array, Array]:
    X = np.asarray(X, dtype=np.float64)
    lengths = row_norms(X)
    if refuse_zero:
        _check.nonzero(X, name)
    return X / np.where(lengths > 0, lengths, 1.0)[:, None], lengths


def _next_angle(angle: Array) -> Array:
    """arccos of (sin + (pi - angle) cos) / pi, by what is missing to 1: small angles keep their digits."""
    sine, cosine = np.sin(angle), np.cos(angle)
    square = np.square(angle)
    # sin - angle cos = angle^3 / 3 (1 - angle^2 / 10 + angle^4 / 280 - ...), which subtracting would lose.
    series = angle * square / 3 * (1 - square / 10 * (1 - square / 28 * (1 - square / 54)))
    bent = np.where(angle < SMALL, series, sine - angle * cosine)
    missing = 2 * np.square(np.sin(angle / 2)) - bent / np.pi
    return 2.0 * np.arcsin(np.sqrt(missing / 2))
