"""How far least-squares students move with the answers they were given: what every certificate rests on.

With the points' coordinates A (n, r) in an orthonormal basis of their span, z their answers and c_hat the student,
c.c_hat = a.z at a point of coordinates c. An error in the answers moves that by at most sum_i |a_i| e_i. Nothing is
cut off here: a direction that the span kept is inverted however small it is, since what a cut hides is an error that
is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import qr, solve_triangular

from limbeck._check import Array

LARGEST_COMPLEMENT = 2000


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """Of points in the coordinates of their span."""

    own: Array
    """Coordinates A of the points, (n, r)."""
    scale: Array
    """Their lengths, (n,)."""
    L: Array | None
    """Lower triangle (r, r) with A = scale L, where each point adds a direction; else None."""
    said: np.ndarray
    """Points (n,) whose answers tell of the span alone: not of length zero, nor passed over while part of them lies
    beyond it. Beside points that all but coincide such a part need not be small."""

    @property
    def whole(self) -> bool:
        """Whether no answer has a part from beyond the span, so that `coefficients` says all."""
        return bool(np.all(self.said | (self.scale == 0)))

    def coefficients(self, C: Array) -> Array:
        """What each answer weighs in the student's at points of coordinates C (m, r): a (m, n), C c_hat = a z."""
        if self.L is not None:
            return solve_triangular(self.L, C.T, lower=True, trans=1, check_finite=False).T / self.scale
        a = np.zeros((len(C), len(self.own)))
        if C.shape[1]:
            U, R, columns, order, unit = self._by_size
            inner = solve_triangular(R, C[:, columns].T, trans=1, check_finite=False)
            a[:, order] = inner.T @ U.T / unit
        return a

    def spread(self, C: Array) -> Array:
        """|b| (m,) of the least b with C = b A, A's rows that were ``said`` at unit length, at coordinates C (m, r).

        Answers off by e_i, and missed by r_i, leave the student's at most |b| |(e + |r|) / scale| off: one triangle,
        where `coefficients` takes m n numbers.
        """
        if not C.shape[1]:
            return np.zeros(len(C))
        triangle = self._of_unit_rows
        b = solve_triangular(triangle, C.T, lower=triangle is self.L, trans=1, check_finite=False)
        return np.linalg.norm(b, axis=0)

    def relative(self, e: Array) -> Array:
        """Norm of e / scale, for errors e (n,) or (n, K), over the points that were ``said``."""
        return np.linalg.norm((e[self.said].T / self.scale[self.said]).T, axis=0)

    @property
    def amplification(self) -> float:
        """Root of the sum of 1 / sigma_i^2, over the singular values of A."""
        r = self.own.shape[1]
        if not r:
            return 0.0
        if self.L is not None:
            return float(np.linalg.norm(self.coefficients(np.eye(r))))
        _, R, _, _, unit = self._by_size
        return float(np.linalg.norm(solve_triangular(R, np.eye(r), check_finite=False))) / unit

    @cached_property
    def complement(self) -> Array | None:
        """|I - H| (n, n), H the projection onto the columns of A; None of more points than `LARGEST_COMPLEMENT`."""
        n = len(self.own)
        if n > LARGEST_COMPLEMENT:
            return None
        if self.L is not None or not self.own.shape[1]:
            return np.abs(np.eye(n) * (self.L is None))
        U, _, _, order, _ = self._by_size
        rest = np.eye(n)
        rest[np.ix_(order, order)] -= U @ U.T
        return np.abs(rest)

    @cached_property
    def _by_size(self) -> tuple[Array, Array, np.ndarray, np.ndarray, float]:
        """A[order] / unit = U R, R's columns pivoted: rows sorted by size keep a small error in each of them."""
        order = np.argsort(-self.scale, kind="stable")
        unit = float(self.scale[order[0]])
        U, R, columns = qr(self.own[order] / unit, mode="economic", pivoting=True, check_finite=False)
        return U, R, columns, order, unit

    @cached_property
    def _of_unit_rows(self) -> Array:
        """Triangle R (r, r) with R^T R = B^T B, B the rows of A at unit length; L itself where B is L."""
        if self.L is not None:
            return self.L
        B = self.own[self.said] / self.scale[self.said, None]
        return qr(B, mode="r", overwrite_a=True, check_finite=False)[0][: B.shape[1]]
