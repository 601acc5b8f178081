"""Transfer tasks (section 5.1, Figure 2): points, the teacher's answers, and the tail p(theta).

A synthetic task puts its teacher on the first axis and never allocates w_star, so that its learning
curve costs the same in ten dimensions and in 1e12.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from limbeck import _check
from limbeck._check import Array
from limbeck.theory.angles import EmpiricalTail, MarginTail, PolynomialTail
from limbeck.theory.chain import LearningCurve, learning_curve
from limbeck.theory.factor import row_norms
from limbeck.theory.risk import SymmetricTail, symmetric_risk


@dataclass(frozen=True, eq=False)
class Sample:
    """Points and what the teacher says of them."""

    X: Array
    """Points, (n, d)."""
    z: Array
    """Teacher logits, (n,)."""


class Task(Protocol):
    """A distribution of points together with a linear teacher."""

    @property
    def d(self) -> int:
        """Dimension of the points."""
        ...

    @property
    def tail(self) -> SymmetricTail:
        """p(theta), the tail of the angle between teacher and points (Eq. 17)."""
        ...

    def sample(self, n: int, *, rng: np.random.Generator) -> Sample:
        """Draw n points and the teacher's logits on them."""
        ...


@dataclass(frozen=True)
class SymmetricTask:
    """A task symmetric about its teacher: any law of the angle, directions uniform given the angle.

    The teacher is ``teacher_norm`` times the first unit vector. A point is x = nu (cos a, sin a u)
    with nu standard normal, a from the tail, and u uniform on the unit sphere of R^(d-1).
    """

    tail: SymmetricTail
    """p(theta) of the task."""
    d: int
    """Dimension, at least 2."""
    teacher_norm: float = 1.0
    """Norm of the teacher's weights."""

    def __post_init__(self) -> None:
        _check.count(self.d, "d", 2)
        _check.number(self.teacher_norm, "teacher_norm", above=0.0, finite=True)

    def sample(self, n: int, *, rng: np.random.Generator) -> Sample:
        """Draw n points and the teacher's logits on them.

        Parameters
        ----------
        n : int
            Number of points, at least 1.
        rng : numpy.random.Generator

        Returns
        -------
        Sample
            X of shape (n, d), its first column along the teacher; z of shape (n,).
        """
        n = _check.count(n, "n")
        cot = self.tail.cotangents(n, rng=rng)
        sideways = rng.standard_normal((n, self.d - 1))
        sideways /= np.linalg.norm(sideways, axis=1, keepdims=True)
        # cos and sin from the cotangent: near pi/2 the angle itself has no digits left.
        secant = np.hypot(1.0, cot)
        nu = rng.standard_normal(n)
        X = np.empty((n, self.d))
        X[:, 0] = nu * np.where(np.isinf(cot), 1.0, cot / np.where(np.isinf(cot), 1.0, secant))
        X[:, 1:] = (nu / secant)[:, None] * sideways
        return Sample(X, self.teacher_norm * X[:, 0])

    @property
    def w_star(self) -> Array:
        """The teacher's weights, (d,)."""
        w = np.zeros(self.d)
        w[0] = self.teacher_norm
        return w

    def risk(self, w: ArrayLike) -> Array:
        """Exact transfer risk of students with weights w (..., d); of 1/2 for a student that is zero."""
        w = _check.reals(w, "w")
        if w.ndim == 0 or w.shape[-1] != self.d or not np.isfinite(w).all():
            raise ValueError(
                f"w must hold {self.d} weights along its last axis, all finite, got shape {w.shape}."
            )
        alpha = np.arctan2(row_norms(w[..., 1:]), w[..., 0])
        zero = ~np.any(w, axis=-1)
        return symmetric_risk(np.where(zero, np.pi / 2, alpha), self.tail, self.d)

    def learning_curve(self, n: int, repeats: int = 1000, *, rng: np.random.Generator) -> LearningCurve:
        """Expected risk after 1, ..., n labels, by the one-dimensional chain; see `learning_curve`."""
        return learning_curve(self.tail, self.d, n, repeats, rng=rng)


@dataclass(frozen=True, init=False)
class PolynomialTask(SymmetricTask):
    """Section 5.1's task: P[angle >= theta] = (1 - 2 theta / pi)^kappa in R^d.

    Parameters
    ----------
    kappa : float
        Degree, > 0; 1 is a uniform angle, larger is better aligned.
    d : int
        Dimension, at least 2.
    teacher_norm : float
        Norm of the teacher's weights.

    Examples
    --------
    >>> import numpy as np
    >>> curve = PolynomialTask(kappa=1, d=10**9).learning_curve(3, repeats=100, rng=np.random.default_rng(0))
    >>> curve.risk.shape
    (3,)
    """

    tail: SymmetricTail = field(init=False, repr=False)
    """p(theta) of the task."""
    kappa: float
    """Degree of the tail."""

    def __init__(self, kappa: float, d: int, teacher_norm: float = 1.0) -> None:
        super().__init__(PolynomialTail(kappa), d, teacher_norm)
        object.__setattr__(self, "kappa", kappa)


@dataclass(frozen=True, init=False)
class MarginTask(SymmetricTask):
    """Large-margin task: the angle to the teacher's axis uniform on [0, beta] (Figure 2, left).

    Uniform on the sphere outside a wedge would leave nearly every point at the margin when d is
    large, and Corollary 1 with nothing to say.

    Parameters
    ----------
    beta : float
        Largest angle, in (0, pi/2].
    d : int
        Dimension, at least 2.
    teacher_norm : float
        Norm of the teacher's weights.
    """

    tail: SymmetricTail = field(init=False, repr=False)
    """p(theta) of the task."""
    beta: float
    """Largest angle, radians."""

    def __init__(self, beta: float, d: int, teacher_norm: float = 1.0) -> None:
        super().__init__(MarginTail(beta), d, teacher_norm)
        object.__setattr__(self, "beta", beta)


@dataclass(frozen=True, eq=False)
class SampleTask:
    """A user's points and linear teacher; transfer sets are drawn from them without replacement."""

    X: Array = field(repr=False)
    """The pool, (m, d)."""
    w_star: Array = field(repr=False)
    """The teacher's weights, (d,)."""

    def __post_init__(self) -> None:
        X = _check.points(self.X)
        object.__setattr__(self, "X", X)
        object.__setattr__(
            self, "w_star", _check.nonzero(_check.vector(self.w_star, "w_star", X.shape[1]), "w_star")
        )

    @property
    def d(self) -> int:
        """Dimension of the points."""
        return self.X.shape[1]

    @cached_property
    def tail(self) -> EmpiricalTail:
        """Empirical p(theta) of the pool's points; rows of length zero have no angle and are refused."""
        return EmpiricalTail.of(self.X, self.w_star)

    def sample(self, n: int, *, rng: np.random.Generator) -> Sample:
        """Draw n different points of the pool and the teacher's logits on them."""
        chosen = self.order(rng=rng)[: self._at_most(n)]
        return Sample(self.X[chosen], self.X[chosen] @ self.w_star)

    def split(self, n: int, *, rng: np.random.Generator) -> tuple[Sample, Sample]:
        """Draw n points as the transfer set; the rest of the pool, held out, comes second."""
        order = self.order(rng=rng)
        parts = order[: self._at_most(n)], order[n:]
        transfer, rest = (Sample(self.X[part], self.X[part] @ self.w_star) for part in parts)
        return transfer, rest

    def order(self, *, rng: np.random.Generator) -> np.ndarray:
        """A random order (m,) of the pool's indices."""
        return rng.permutation(len(self.X))

    def _at_most(self, n: int) -> int:
        if _check.count(n, "n") > len(self.X):
            raise ValueError(f"n = {n} points were asked for and the pool has {len(self.X)}.")
        return n
