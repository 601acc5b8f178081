"""Logits of the students that were fitted without one row each, from one Newton step a row.

It can be taken on the side of the parameters or of the rows. On the rows' side 1 - leverage, which divides it, keeps
its digits where a student all but interpolates; on the other it loses them as the square of curvature over ridge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack, solve_triangular
from scipy.special import expit, softmax

from limbeck.labels import Array
from limbeck.students.design import Matrix, with_ones
from limbeck.students.objective import Objective, blocks, cholesky
from limbeck.students.solver import SMALL_HESSIAN, Curvature

MOST_ROWS = 500
"""Rows times classes up to which they are taken together on the rows' side."""
MOST_PRODUCTS, MOST_OF_ONE = 4e7, 3e11
"""Rows times unknowns times squared classes, and rows times squared unknowns of one logit, up to which a row's step
is taken from the Hessian itself."""
MANY_ROWS, LEAST_DIRECTIONS = 10, 16
PRODUCTS_OF_MANY, PRODUCTS_OF_FEW = 1e9, 3e10
"""Rows times classes times squared directions in which each class has its own curvature, at most, for so many rows an
unknown and for fewer, where the rows' mean would call small ridges better than they are; directions, at least."""
LEAST_RIDGE = 1e-7
"""Of the curvature: below it the parameters' side keeps too few digits of 1 - leverage."""
LEAST_INTERCEPT = 1e-9
"""Of the intercepts' curvature: one that has less, of a class that hardly occurs, goes to infinity and stays there."""
NONE = 1e-290
"""Curvature or probability that counts as none."""


def leave_one_out(
    objective: Objective, theta: Array, mass: Array, along: tuple[Curvature, Array] | None = None
) -> Array:
    """Logits (n, m) of the students fitted without ``mass`` (n,) of each row's weight, by one Newton step.

    The ridge kept as it is in the sum: the student of n - 1 rows has alpha n / (n - 1) in the mean. Of more classes
    than can be taken together each moves alone, in the eigenvectors of the points' covariance: ``along``, its
    curvature and the points in its coordinates, computed where it is not given.
    """
    n, m, r = objective.A.shape[0], objective.columns, objective.unknowns
    F = objective.logits(theta)
    of_rows = objective.alpha > 0 and n <= 2 * r and not hasattr(objective.A, "toarray")
    if m > 1 and of_rows and n * m <= MOST_ROWS:
        return F + _Rows.of_classes(objective, F).moved(objective, mass)
    together = r * m <= SMALL_HESSIAN and n * r * m * m <= MOST_PRODUCTS
    if m > 1 and together and (not of_rows or objective.alpha > LEAST_RIDGE * _curvature(objective)):
        return F + _full_step(objective, theta, F, mass)
    if m == 1 and of_rows and n * n * r <= MOST_OF_ONE:
        return F + _Rows.of_one(objective, F).moved(objective, mass)
    if along is None:
        along = coordinates(objective)
    return F + _class_step(objective, F, mass, *along)


def coordinates(objective: Objective) -> tuple[Curvature, Matrix]:
    """The curvature of an objective's points, and these along its eigenvectors; sparse ones as they are."""
    curvature = Curvature.of(objective.A, objective.weight, intercept=objective.intercept)
    sparse = hasattr(objective.A, "toarray") or curvature.vectors is None
    return curvature, objective.A if sparse else curvature.coordinates(objective.A)


def _curvature(objective: Objective) -> float:
    """Largest curvature along a coordinate that there could be."""
    return float((objective.weight @ np.square(objective.A)).max()) / 4


# -- a class at a time -------------------------------------------------------------------------------


def _class_step(objective: Objective, F: Array, mass: Array, curvature: Curvature, B: Matrix) -> Array:
    """How far (n, m) the logits move, each class by its own block of the Hessian, what others answer left out.

    ``B`` (n, r) are the points along the eigenvectors of their covariance; sparse points are taken as they are. Along
    the first of them a class has the curvature of each row; along the others, which are many and weak, the rows' mean.
    """
    n, m = F.shape
    w, G, s = objective.weight, objective.gap(F), curvature.values
    P = expit(F) if m == 1 else G + objective.labels.probabilities
    C = w[:, None] * P * (1 - P)
    R = len(s) if hasattr(B, "toarray") else directions(n, m, len(s))
    top = B if len(s) == R else B[:, -R:]
    tail = 1 / np.maximum(np.outer(s[: len(s) - R], C.sum(axis=0)) + objective.alpha, 1e-300)
    weak, Q = np.zeros_like(F), np.empty_like(F)
    for rows in blocks(n) if len(s) > R else ():
        weak[rows] = np.square(B[rows, : len(s) - R]) @ tail
    for k in range(m):
        H = objective.class_hessian(C[:, k], top)
        if objective.intercept:
            H[-1, -1] += LEAST_INTERCEPT * C.sum(axis=0).max()
        Q[:, k] = _leverage(H, top)
    share = mass[:, None]
    left = (1 - share / w[:, None] * C * Q) * (1 - share * C.sum(axis=0) * weak)
    moved = share * G * (Q + weak) / np.maximum(left, 1e-6)
    moved[:, C.max(axis=0) <= NONE] = 0.0  # a class without curvature does not move
    return moved


def directions(n: int, m: int, r: int) -> int:
    """In how many directions each class has its own curvature."""
    few = MOST_OF_ONE if m == 1 else PRODUCTS_OF_FEW
    products = PRODUCTS_OF_MANY if n >= MANY_ROWS * r else few
    return min(max(int(np.sqrt(products / (n * m))), LEAST_DIRECTIONS), r)


def least_ridge(objective: Objective, curvature: Curvature) -> float:
    """The ridge below which few rows of many classes are called left out too well; 0 if there is none.

    Where the rows' mean of a class's curvature counts, that mean along the strongest direction which takes it; where
    the rows are all but met, the one that leaves too few digits of 1 - leverage.
    """
    (n, r), m = objective.A.shape, objective.columns
    if hasattr(objective.A, "toarray") or n >= MANY_ROWS * r:
        return 0.0
    left = r - directions(n, m, r)
    p = objective.labels.probabilities
    mean = float(objective.weight @ (p * (1 - p)).reshape(n, -1).mean(axis=1))
    least = mean * float(curvature.values[left - 1]) if left else 0.0
    met = m > 1 and n <= 2 * objective.unknowns and n * m > MOST_ROWS
    return max(least, LEAST_RIDGE * _curvature(objective)) if met else least


# -- on the side of the parameters -----------------------------------------------------------------


def _leverage(H: Array, A: Matrix) -> Array:
    """a_i' H^-1 a_i for every row, (n,); with a last coordinate of 1 if H has one row more."""
    scale = np.sqrt(np.maximum(H.diagonal(), 1e-300))
    root, r, out = cholesky(H / np.outer(scale, scale)), A.shape[1], np.empty(A.shape[0])
    for rows in blocks(len(out)):  # which also keeps sparse points sparse
        B = A[rows].toarray() if hasattr(A, "toarray") else A[rows]
        B = with_ones(B) if len(H) > r else B
        half = solve_triangular(root, (B / scale).T, lower=True, overwrite_b=True, check_finite=False)
        out[rows] = np.square(half).sum(axis=0)
    return out


def _full_step(objective: Objective, theta: Array, F: Array, mass: Array) -> Array:
    """How far (n, m) the logits of all classes move together."""
    A, G = objective.rows, objective.gap(F)
    P = G + objective.labels.probabilities
    n, m, r = len(F), objective.columns, A.shape[1]
    A = A.toarray() if hasattr(A, "toarray") else A  # r m is small: so is this
    # The inverse root's columns of one class meet the rows' features alone: m times less than rows by classes.
    H = objective.hessian_at(F)
    if objective.intercept:
        edge = np.arange(m) * r + r - 1
        H[edge, edge] += LEAST_INTERCEPT * H[edge, edge].max()
    root = lapack.dtrtri(cholesky(H), lower=1)[0].reshape(m * r, m, r)
    Q = np.empty((n, m, m))
    for rows in blocks(n, 256):
        half = np.tensordot(A[rows], root, axes=(1, 2)).transpose(0, 2, 1)
        Q[rows] = half @ half.transpose(0, 2, 1)
    C = P[:, :, None] * (np.eye(m) - P[:, None, :])
    inner = np.eye(m) - mass[:, None, None] * (C @ Q)
    return mass[:, None] * np.einsum("njk,nk->nj", Q, np.linalg.solve(inner, G[..., None])[..., 0])


# -- on the side of the rows -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Rows:
    """A minimum seen from its rows: with R_i R_i' = w_i C_i, a row's curvature, and w_i G_i = R_i h_i its pull.

    B = (I + R' (K x I) R / alpha)^-1, the unpenalised intercept projected out, holds what is left: a block L_i of it
    is 1 - leverage, and h = -B (R' F - h) as the gradient is 0. Without a share s of row i its logits move by R'^+ t,
    t = (1 - L) ((1 - s) + s L)^-1 s h.
    """

    root: Array
    """R', (n, k, m): k = m coordinates of K >= 3 classes, one of a single logit."""
    back: Array
    """R'^+ over the same coordinates, (n, k): what each moves its own logit by."""
    pull: Array
    """h, (n, k)."""
    logits: Array
    """F, (n, m)."""

    @classmethod
    def of_one(cls, objective: Objective, F: Array) -> _Rows:
        """Of a single logit F (n, 1)."""
        u, gap = F[:, 0], objective.gap(F)[:, 0]
        curvature = expit(u) * expit(-u)
        root = np.sqrt(objective.weight * curvature)
        pull = np.sqrt(objective.weight) * gap / np.sqrt(np.maximum(curvature, NONE))
        back = 1 / np.sqrt(np.maximum(objective.weight * curvature, 1e-300))
        return cls(root[:, None, None], back[:, None], np.where(root > 0, pull, 0.0)[:, None], u[:, None])

    @classmethod
    def of_classes(cls, objective: Objective, F: Array) -> _Rows:
        """Of the logits F (n, m) of all classes: C = D - p p' = R R' with R = D^1/2 - p p'^1/2 and D = diag(p)."""
        G = objective.gap(F)
        P = softmax(F, axis=1)
        some = P > NONE
        half, weight = np.sqrt(P), np.sqrt(objective.weight)[:, None]
        root = half[:, :, None] * (np.eye(P.shape[1]) - half[:, :, None] * half[:, None, :]).transpose(
            0, 2, 1
        )
        inverse = np.where(some, 1 / np.where(some, half, 1.0), 0.0)
        return cls(weight[..., None] * root.transpose(0, 2, 1), inverse / weight, weight * inverse * G, F)

    def moved(self, objective: Objective, mass: Array) -> Array:
        """How far (n, m) the logits move without ``mass`` of each row."""
        n, k, _ = self.root.shape
        B = self._left(objective)
        response = np.einsum("nkm,nm->nk", self.root, self.logits) - self.pull
        pull = -(B @ response.ravel()).reshape(n, k)
        left = B.reshape(n, k, n, k)[np.arange(n), :, np.arange(n)]
        share, one = (mass / objective.weight)[:, None, None], np.eye(k)
        kept = (1 - share) * one + share * left
        t = (one - left) @ np.linalg.solve(kept, share * pull[..., None])
        moves = (
            np.trace(one - left, axis1=1, axis2=2) > 1e-12
        )  # rows of no curvature have no say, as in the fit
        return np.where(moves[:, None], self.back * t[..., 0], 0.0)

    def _left(self, objective: Objective) -> Array:
        """B, (n k, n k)."""
        n, k, m = self.root.shape
        features = objective.A
        flat = self.root.reshape(n * k, m)
        K = np.repeat(np.repeat(features @ features.T / objective.alpha, k, axis=0), k, axis=1)
        B = np.linalg.inv((flat @ flat.T) * K + np.eye(n * k))
        if objective.intercept:
            b = B @ flat
            # A shift of all classes is not a direction, and a class without curvature adds none.
            B -= b @ np.linalg.pinv(flat.T @ b, rcond=LEAST_INTERCEPT, hermitian=True) @ b.T
        return B
