"""What is read off an ordered factorisation of points, whatever space they live in.

`Span` holds points of R^d, `KernelSpan` the features of a kernel. Both know their points' triangle L, the
coordinates of any other point in the orthonormal directions that the points add, and how far it lies beyond
them. Everything else (prefix students, curves, certificates) is the same reading of these, and lives here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from limbeck import _check
from limbeck._check import Array
from limbeck.theory.factor import Triangle
from limbeck.theory.sensitivity import Sensitivity

ROUNDING = 1e-9
"""What least squares leaves of a linear teacher's logits, relative to them: rounding in the points, at the worst
condition of the fast route. Below it the logits are met, and least squares minimises the cross-entropy too."""
INCONSISTENT = 1e-6
"""Beyond this share of the largest, logits of a precision nobody stated are no linear teacher's: float32 passes."""


@dataclass(frozen=True, eq=False)
class Student:
    """A student as its span sees it, and how well it could reproduce the answers."""

    coordinates: Array
    """c_hat in the span's orthonormal directions, (r,) or (r, K); its norm is the student's."""
    residual: Array
    """Logits less the student's, (n,) or (n, K)."""
    inconsistency: float
    """Norm of the residual over the norm of the logits."""


class Readings(ABC):
    """A span of points in some Euclidean space: abstract here are the few things that know which."""

    X: Array
    """The points, (n, d)."""

    @property
    @abstractmethod
    def n(self) -> int:
        """Number of points."""

    @property
    @abstractmethod
    def d(self) -> int:
        """Number of features of a point as it is given."""

    @property
    @abstractmethod
    def rank(self) -> int:
        """Dimension r of the span."""

    @property
    @abstractmethod
    def resolution(self) -> float:
        """Distance from the span, relative to a point's length, that cannot be told from none."""

    @property
    @abstractmethod
    def rounding(self) -> float:
        """What rounding in a point may be worth in its logit, over |x| |w|: ``tol``."""

    @property
    @abstractmethod
    def _triangle(self) -> Triangle:
        """The points' triangle L, in the order they came."""

    @abstractmethod
    def coordinates(self, V: ArrayLike) -> Array:
        """Coordinates (..., r) of points V (..., d) in the orthonormal directions the points add."""

    @abstractmethod
    def lengths(self, V: Array) -> Array:
        """|x| of points V (m, d), in the space of the span, (m,)."""

    @abstractmethod
    def distances(self, V: Array) -> Array:
        """|(I - P) x| of points V (m, d), (m,): what a new point would teach."""

    @abstractmethod
    def farthest(self, V: Array) -> Array:
        """|(I - P) x| at most, whatever rounding hides of it, of points V (m, d), (m,); 0 only inside the span."""

    @abstractmethod
    def logits(self, V: Array, c: Array) -> Array:
        """Logits (m,) or (m, K) on points V (m, d) of the student with coordinates c (r,) or (r, K)."""

    @abstractmethod
    def own_coordinates(self) -> Array:
        """Coordinates (n, r) of the span's own points."""

    @abstractmethod
    def own_logits(self, c: Array) -> Array:
        """Logits (n,) on the span's own points of the student with coordinates c (r,)."""

    @abstractmethod
    def student(self, z: ArrayLike) -> Student:
        """The minimum-norm least-squares student of all the points (Theorem 1), from logits (n,) or (n, K)."""

    @property
    def independent(self) -> np.ndarray:
        """Indices (r,) of the points that add a direction, in the order the points came."""
        return self._triangle.independent

    @cached_property
    def ranks(self) -> np.ndarray:
        """Rank (n,) of the first 1, 2, ..., n points."""
        gains = np.zeros(self.n, dtype=int)
        gains[self.independent] = 1
        return np.cumsum(gains)

    @cached_property
    def sensitivity(self) -> Sensitivity:
        """How far students move with the answers they learn from."""
        triangle = self._triangle
        alone, said = self.rank == self.n, triangle.scale > 0
        if not alone:
            said &= self.distances(self.X) <= self.resolution * triangle.scale
            said[self.independent] = True
        return Sensitivity(self.own_coordinates(), triangle.scale, triangle.L if alone else None, said)

    # -- the students of the first 1, 2, ..., n points (Lemma 1) --------------------------------

    def teacher_coordinates(self, z: ArrayLike) -> Array:
        """C = Q w_star (r,), from the logits of a linear teacher, by forward substitution L c = z.

        Only the logits of the independent points enter: for logits that no linear teacher gave
        (rounding, noise) beyond the rank, `solve` uses every row.
        """
        z = _check.vector(z, "z", self.n)
        return self._triangle.substitute(np.asarray(z, dtype=np.float64)[:, None])[:, 0]

    def prefix_logits(self, T: ArrayLike, c: ArrayLike) -> Array:
        """Logits (m, n) on points T (m, d) of the students of 1, ..., n points: one matrix product."""
        c, ranks = self._prefix(c, np.arange(1, self.n + 1))
        T = np.asarray(_check.points(T, "T"), dtype=np.float64)
        running = np.cumsum(self.coordinates(T) * c, axis=1)
        return np.concatenate([np.zeros((len(T), 1)), running], axis=1)[:, ranks]

    def _prefix(self, c: ArrayLike, sizes: ArrayLike) -> tuple[Array, np.ndarray]:
        sizes = np.atleast_1d(np.asarray(sizes))
        if sizes.dtype.kind not in "iu" or sizes.min() < 0 or sizes.max() > self.n:
            raise ValueError(f"sizes must be whole numbers from 0 to {self.n}, got {sizes}.")
        c = np.asarray(c, dtype=np.float64)
        if c.shape != (self.rank,):
            raise ValueError(f"c must hold the {self.rank} coordinates Q w_star, got shape {c.shape}.")
        return c, np.concatenate([[0], self.ranks])[sizes]

    def _logits(self, z: ArrayLike) -> Array:
        z = np.asarray(z)
        if z.ndim not in (1, 2) or len(z) != self.n:
            raise ValueError(f"z must hold one row of logits for each of the {self.n} points, got {z.shape}.")
        checked = _check.vector(z, "z") if z.ndim == 1 else _check.points(z, "z")
        return np.asarray(checked, dtype=np.float64)


def inconsistency(rest: Array, z: Array) -> float:
    """Norm of what the student missed over the norm of the logits; 0 for logits of 0."""
    size = np.linalg.norm(z)
    return float(np.linalg.norm(rest) / size) if size > 0 else 0.0
