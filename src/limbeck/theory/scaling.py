"""The metric of the features, a choice the user makes without noticing.

Theorem 1's student is the smallest one in the metric of the features as given, so an affine change
x' = (x - m) M of the features changes what is learned from few labels. It needs no label, and folds
back into the weights: w = M w', b = b' - m.w.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from limbeck import _check
from limbeck._check import Array

KINDS = ("none", "standard", "whiten", "sharpen")


@dataclass(frozen=True, eq=False)
class Scaling:
    """x' = (x - centre) @ matrix, or (x - centre) * matrix where the matrix is diagonal."""

    kind: str
    """``none``, ``standard``, ``whiten`` or ``sharpen``."""
    centre: Array
    """m, (d,)."""
    matrix: Array
    """M, (d, d), or its diagonal (d,)."""

    @classmethod
    def of(cls, X: ArrayLike, kind: str, *, centred: bool = True) -> Scaling:
        """Learn a scaling from points, labelled or not.

        Parameters
        ----------
        X : array_like, shape (n, d)
        kind : {"none", "standard", "whiten", "sharpen"}
            As given; mean 0 and variance 1 for every feature (constant ones stay as they are, at 0);
            identity covariance in every direction the points reach, which throws the data's geometry away; or
            X S^(1/4) with S the points' second moment over its mean eigenvalue, which sharpens it.
        centred : bool
            Whether the student has an intercept, which takes up the centre. Without one ``standard`` divides by the
            root mean square and ``whiten`` makes the second moment the identity: the origin stays where it is.

        Notes
        -----
        Units: ``standard`` and ``whiten`` leave none, the sizes of all features are settled by the points. ``sharpen``
        settles the shape of the spectrum and keeps its size, so that X in other units, 10 X say, is ten times as long
        afterwards too, as under ``none``: beside an intercept, whose feature is 1, the units matter there, and are the
        user's choice.

        Raises
        ------
        ValueError
            If the kind is unknown or X is empty or not finite.
        """
        if kind not in KINDS:
            raise ValueError(f"scaling must be one of {', '.join(KINDS)}, got {kind!r}.")
        X = _check.points(X)
        d = X.shape[1]
        if kind == "none":
            return cls(kind, np.zeros(d), np.ones(d))
        X = np.asarray(X, dtype=np.float64)
        centre = X.mean(axis=0) if centred and kind != "sharpen" else np.zeros(d)
        if kind == "standard":
            spread = X.std(axis=0) if centred else np.sqrt(np.square(X).mean(axis=0))
            constant = spread <= 10 * np.finfo(np.float64).eps * np.abs(X).max(axis=0)
            return cls(kind, centre, 1.0 / np.where(constant, 1.0, spread))
        return cls(kind, centre, _whitening(X - centre) if kind == "whiten" else _sharpening(X))

    def apply(self, X: ArrayLike) -> Array:
        """x' of points (n, d)."""
        X = np.asarray(X)
        if self.kind == "none":
            return X
        return (X - self.centre) * self.matrix if self.matrix.ndim == 1 else (X - self.centre) @ self.matrix

    def fold(self, weights: ArrayLike, intercepts: ArrayLike) -> tuple[Array, Array]:
        """Weights (m, d) and intercepts (m,) on the features as given, from those learned on x'."""
        W = np.asarray(weights)
        if self.kind == "none":
            return W, np.asarray(intercepts)
        W = W * self.matrix if self.matrix.ndim == 1 else W @ self.matrix.T
        return W, np.asarray(intercepts) - W @ self.centre


def _whitening(X: Array) -> Array:
    """S^(-1/2) (d, d), S = X^T X / n; directions in which the points do not reach are taken to 0."""
    s, V = _axes(X)
    return (V.T * (np.sqrt(len(X)) / s)) @ V if s.size else np.eye(X.shape[1])


def _sharpening(X: Array) -> Array:
    """S^(1/4) (d, d), S = X^T X over its mean eigenvalue; directions in which the points do not reach go to 0."""
    s, V = _axes(X)
    if not s.size:
        return np.eye(X.shape[1])
    moment = np.square(s / s[0])
    moment *= X.shape[1] / moment.sum()
    return (V.T * moment**0.25) @ V


def _axes(X: Array) -> tuple[Array, Array]:
    """Singular values (r,) of points and their principal axes (r, d), without those that rounding leaves."""
    _, s, V = np.linalg.svd(X, full_matrices=False)
    kept = s > max(X.shape) * np.finfo(np.float64).eps * s[0]
    return s[kept], V[kept]
