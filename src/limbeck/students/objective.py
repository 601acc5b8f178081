"""Mean soft cross-entropy plus a ridge: its value, gradient and curvature.

Parameters are theta, (r, m): a row is a coordinate of the points, with the intercept last where there is one; a column
is a logit (m = 1 for two classes, K for K >= 3). The ridge applies to every row but the intercept's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cho_solve
from scipy.special import expit, log_expit

from limbeck.labels import Array, SoftLabels
from limbeck.students.design import Matrix, with_ones
from limbeck.theory.loss import soft_label_gap

BLOCK = 1024
"""Rows whose products stay in the cache."""


@dataclass(frozen=True)
class Objective:
    """F(theta) = sum_i s_i CE(p_i, a_i theta) + alpha/2 |theta|^2, the intercept's row left out of the norm."""

    A: Matrix
    """Points, (n, r) without a column of ones; sparse or dense, float64 or float32."""
    labels: SoftLabels
    """The teacher's answers."""
    weight: Array
    """s, (n,), summing to 1."""
    alpha: float
    """The ridge."""
    intercept: bool = False
    """Whether theta has a last row that every point has as coordinate 1, without penalty."""
    dtype: np.dtype[Any] = np.dtype(np.float64)  # noqa: RUF009 - a constant
    """Type that products are computed in; sums over rows are float64."""

    @property
    def columns(self) -> int:
        """Number m of logits."""
        return self.labels.columns

    @property
    def unknowns(self) -> int:
        """Number of rows of theta."""
        return self.A.shape[1] + self.intercept

    def zero(self) -> Array:
        """theta = 0, (r, m)."""
        return np.zeros((self.unknowns, self.columns))

    def at(self, alpha: float) -> Objective:
        """The same with another ridge."""
        return replace(self, alpha=alpha)

    @cached_property
    def rows(self) -> Matrix:
        """Points with the column of ones, (n, r): a copy, for problems small enough for a Hessian."""
        return with_ones(self.A) if self.intercept else self.A

    @property
    def scale(self) -> float:
        """Size of a gradient, for relative tolerances: the largest mean |A_ij|."""
        return self._scale

    @cached_property
    def _scale(self) -> float:
        size = sum(abs(rows).T @ self.weight[at] for at, rows in self._blocks())
        return max(float(np.max(size)), float(self.intercept), 1e-300)

    @property
    def _ridge(self) -> Array:
        ridge = np.full((self.unknowns, 1), self.alpha)
        ridge[self.A.shape[1] :] = 0.0
        return ridge

    # -- logits, value and gradient ----------------------------------------------------------------

    def logits(self, theta: Array) -> Array:
        """F = A theta, (n, m), float64."""
        r = self.A.shape[1]
        F = np.empty((self.A.shape[0], self.columns))
        W = theta[:r].astype(self.dtype, copy=False)
        for at, rows in self._blocks():
            F[at] = rows @ W
        return F + theta[r] if self.intercept else F

    def logits_of(self, A: Matrix, theta: Array) -> Array:
        """Logits (k, m) of other points (k, r)."""
        r = self.A.shape[1]
        F = np.asarray(A @ theta[:r])
        return F + theta[r] if self.intercept else F

    def pull(self, G: Array) -> Array:
        """A' G (r, m) of numbers G (n, m), without the intercept's row."""
        out = np.zeros((self.A.shape[1], G.shape[1]))
        for at, rows in self._blocks():
            out += rows.T @ G[at].astype(self.dtype, copy=False)
        return out

    def evaluate(self, theta: Array) -> tuple[float, Array]:
        """F(theta) and its gradient (r, m), from one pass over the points."""
        r, m = self.A.shape[1], self.columns
        W = theta[:r].astype(self.dtype, copy=False)
        value, gradient = 0.5 * float(np.sum(self._ridge * np.square(theta))), self._ridge * theta
        for at, rows in self._blocks():
            F = np.asarray(rows @ W)
            if self.intercept:
                F += theta[r].astype(self.dtype)
            entropy, gap = self._entropy_and_gap(F, at)
            value += float(self.weight[at] @ entropy)
            gap *= self.weight[at, None]
            gradient[:r] += rows.T @ gap.astype(self.dtype, copy=False)
            if self.intercept:
                gradient[r] += gap.sum(axis=0)
        return value, gradient.reshape(-1, m)

    def gap(self, F: Array, rows: slice = slice(None)) -> Array:
        """Student's less teacher's probabilities (n, m), of all or some rows' logits F (n, m)."""
        return self._entropy_and_gap(F.copy(), rows)[1]

    def _entropy_and_gap(self, F: Array, at: slice) -> tuple[Array, Array]:
        """Soft cross-entropies (n,) of some rows' logits F (n, m), and gaps (n, m), for which F's memory is used."""
        p = self.labels.probabilities[at]
        if self.columns == 1:
            u = F[:, 0].astype(np.float64, copy=False)
            known = ~self.labels.saturated[at]
            z = np.where(known, self.labels.logits[at], 0.0)
            gap = np.where(known, soft_label_gap(u, z), expit(u) - p)
            return -(p * log_expit(u) + (1 - p) * log_expit(-u)), gap[:, None]
        top = F.max(axis=1, keepdims=True)
        F -= top
        entropy = -np.einsum("ij,ij->i", p, F, dtype=np.float64)
        np.exp(F, out=F)
        total = F.sum(axis=1, keepdims=True)
        F /= total
        F -= p
        return entropy + np.log(total[:, 0]), F

    def _blocks(self) -> Iterator[tuple[slice, Matrix]]:
        """Rows a block at a time, in the type of the products."""
        n, size = self.A.shape[0], self.A.shape[0] if hasattr(self.A, "toarray") else BLOCK
        for start in range(0, n, size):
            at = slice(start, min(start + size, n))
            rows = self.A if size >= n else self.A[at]
            yield at, rows.astype(self.dtype, copy=False)

    # -- curvature -----------------------------------------------------------------------------------

    def class_curvature(self, theta: Array) -> Array:
        """The rows' mean of diag(q_i) - q_i q_i', q_i the student's probabilities, (m, m)."""
        q = self.probabilities(theta)
        if self.columns == 1:
            return np.array([[float(self.weight @ (q * (1 - q))[:, 0])]])
        return np.diag(self.weight @ q) - q.T @ (self.weight[:, None] * q)

    def row_curvature(self, theta: Array) -> Array:
        """Curvature (n,) of each row, its mean over the classes: (1 - |q|^2) / (K - 1), or q (1 - q)."""
        q = self.probabilities(theta)
        if self.columns == 1:
            return (q * (1 - q))[:, 0]
        return np.maximum(1 - np.square(q).sum(axis=1), 0.0) / (self.columns - 1)

    def probabilities(self, theta: Array) -> Array:
        """The student's, (n, m)."""
        F = self.logits(theta)
        return expit(F) if self.columns == 1 else self.gap(F) + self.labels.probabilities

    def class_hessian(self, c: Array, A: Matrix = None) -> Array:
        """A class's block of the Hessian, A' diag(c) A + alpha I, for its curvatures c (n,); other points if given."""
        A = A if A is not None else self.A
        H = weighted_gram(A, c)
        H[np.diag_indices(len(H))] += self.alpha
        if not self.intercept:
            return H
        edge = A.T @ c.astype(A.dtype, copy=False)
        return np.block([[H, edge[:, None]], [edge[None, :], np.atleast_2d(c.sum())]])

    def hessian(self, theta: Array) -> Array:
        """H, (m r, m r), blocks by class; along shifts of all classes, where F is flat, it is lifted off 0."""
        return self.hessian_at(self.logits(theta))

    def hessian_at(self, F: Array) -> Array:
        """`hessian`, given the logits F (n, m)."""
        A, s, r, m = self.rows, self.weight, self.unknowns, self.columns
        ridge = np.diag(self._ridge[:, 0])
        if m == 1:
            curvature = s * expit(F[:, 0]) * expit(-F[:, 0])
            return weighted_gram(A, curvature) + ridge
        P = self.gap(F) + self.labels.probabilities
        H = _shared_gram(A, np.sqrt(s)[:, None] * P).reshape(m, r, m, r)
        np.negative(H, out=H)
        for j in range(m):
            H[j, :, j] += weighted_gram(A, s * P[:, j]) + ridge
        free = self._ridge[:, 0] == 0
        lift = free * H.reshape(m * r, m * r).diagonal().mean()
        for j in range(m):
            for k in range(m):
                H[j, range(r), k, range(r)] += lift
        return H.reshape(m * r, m * r)


def blocks(n: int, size: int = BLOCK) -> list[slice]:
    """Rows a thousand at a time: products of them stay in the cache."""
    return [slice(start, start + size) for start in range(0, n, size)]


def _shared_gram(A: Matrix, P: Array) -> Array:
    """sum_i (p_i x a_i) (p_i x a_i)', (m r, m r) for P (n, m) and A (n, r): all pairs of classes in one product."""
    m, r = P.shape[1], A.shape[1]
    total = np.zeros((m * r, m * r))
    for rows in blocks(A.shape[0]):
        B = A[rows].toarray() if hasattr(A, "toarray") else A[rows]
        wide = (P[rows, :, None] * B[:, None, :]).reshape(len(B), m * r)
        total += wide.T @ wide
    return total


def weighted_gram(A: Matrix, weight: Array) -> Array:
    """A' diag(weight) A, (r, r)."""
    if hasattr(A, "multiply"):
        return (A.T @ A.multiply(weight[:, None])).toarray()
    root, total = np.sqrt(weight)[:, None], np.zeros((A.shape[1], A.shape[1]))
    for rows in blocks(len(A)):
        half = A[rows] * root[rows]
        total += half.T @ half
    return total


def cholesky(H: Array) -> Array:
    """Lower Cholesky factor of H, lifted by rounding-sized multiples of the identity until there is one."""
    jitter, size = 0.0, max(float(H.diagonal().max()), 1e-300)
    for _ in range(12):
        try:
            return np.linalg.cholesky(H + jitter * np.eye(len(H)))
        except LinAlgError:
            jitter = max(10 * jitter, 1e-15 * size)
    raise ArithmeticError("The Hessian is not positive definite: the points are too badly scaled.")


def newton_step(H: Array, gradient: Array, damping: float = 0.0) -> Array:
    """-(H + damping diag(H))^-1 gradient for a gradient (r, m) and a Hessian (m r, m r), blocks by class."""
    r, m = gradient.shape
    scale = np.sqrt(np.maximum(H.diagonal(), 1e-300))
    unit = H / np.outer(scale, scale)
    if damping > 0:
        unit[np.diag_indices(m * r)] += damping
    b = gradient.T.ravel() / scale
    return -(cho_solve((cholesky(unit), True), b) / scale).reshape(m, r).T
