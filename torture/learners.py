"""Estimators and selection on odd points and answers, with what must hold of a fitted student."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import issparse
from scipy.special import expit
from sklearn.utils import check_array

from limbeck import (
    DistilledClassifier,
    KernelSoftLabelClassifier,
    SoftLabelClassifier,
    SpanSelection,
)
from limbeck.theory.kernels import RBF
from torture.calls import Call
from torture.odd import Draws


def _p(g: Draws) -> Any:
    return g.oddly(g.rng.uniform(size=g.n))


def _distinct_p(g: Draws) -> Any:
    """One answer a row, or probabilities of several classes, or hard labels."""
    kind = g.pick(range(3))
    if kind == 0:
        return _p(g)
    if kind == 1:
        return g.oddly(g.rng.dirichlet(np.ones(g.k), g.n))
    return g.rng.integers(2, size=g.n)


def _fitted(student: Any, X: Any, y: Any, T: Any) -> Any:
    fitted = student().fit(X, y)
    P = fitted.predict_proba(T)
    return P, fitted.predict(T).astype(str).size, fitted.decision_function(T)


def _probabilities(result: Any, *_: Any) -> str | None:
    P, rows, _ = result
    off = np.abs(P.sum(axis=1) - 1).max()
    if rows != len(P) or P.min() < 0 or off > 1e-6:
        return f"probabilities sum to 1 within {off:.2g}, least {P.min():.2g}"
    return None


def _exact_logits(result: Any, X: Any, z: Any) -> str | None:
    """At alpha = 0 the fit is no worse than least squares in longdouble-refined LAPACK, up to rounding."""
    dense = np.asarray(X.toarray() if issparse(X) else X, dtype=float)
    A = np.hstack([dense, np.ones((len(dense), 1))])
    z = np.asarray(z, dtype=float)
    size = np.abs(A).max(axis=0)
    A = A / np.where(size > 0, size, 1)
    best = np.linalg.norm(A @ np.linalg.lstsq(A, z, rcond=None)[0] - z)
    found = np.linalg.norm(result - z)
    if best > 1e-9 * np.linalg.norm(z):
        return None  # no linear teacher: the student minimises the cross-entropy, not the squares
    if found <= 1e-6 * max(np.linalg.norm(z), np.abs(result).max()):
        return None
    return f"residual {found:.3g} where {best:.3g} is least"


def _teacher(X: Any) -> np.ndarray:
    """Of what it cannot read it says so itself: `DistilledClassifier` passes rows on as they come."""
    return expit(np.asarray(check_array(X, accept_sparse=True, dtype=np.float64).mean(axis=1)).ravel())


def _permutation(found: np.ndarray, X: Any, n: Any) -> str | None:
    return None if len(set(found.tolist())) == len(found) == n else f"{found}"


NEEDS_ANSWERS = ("risk_selected", "risk_random")
"""NaN where no answers were given, as documented."""

LEARNERS: dict[str, Callable[[Draws], Call]] = {
    "SoftLabelClassifier": lambda g: Call(
        lambda X, y, T: _fitted(SoftLabelClassifier, X, y, T), (g.X(), _distinct_p(g), g.T()), _probabilities
    ),
    "SoftLabelClassifier, exact": lambda g: Call(
        lambda X, z: SoftLabelClassifier(alpha=0).fit(X, teacher_logits=z).decision_function(X),
        (g.X(), g.z()), _exact_logits,
    ),
    "SoftLabelClassifier, parameters": lambda g: Call(
        lambda X, y, T, a, t, tol, i, d: _fitted(
            lambda: SoftLabelClassifier(a, stop_time=t, tol=tol, max_iter=i, decimals=d), X, y, T
        ),
        (
            g.X(), _p(g), g.T(), g.size(), g.size() if g.odd() else None, g.share(), g.whole(5, 50),
            g.whole(0, 9) if g.odd() else None,
        ), _probabilities,
    ),
    "SoftLabelClassifier, weights": lambda g: Call(
        lambda X, y, w, T: SoftLabelClassifier(0.1).fit(X, y, sample_weight=w).predict_proba(T),
        (g.X(), _p(g), g.array(g.n, positive=True), g.T()),
    ),
    "SoftLabelClassifier.partial_fit": lambda g: Call(
        lambda X, z, T: SoftLabelClassifier(0).partial_fit(X, teacher_logits=z).predict_proba(T),
        (g.X(), g.z(), g.T()),
    ),
    "KernelSoftLabelClassifier": lambda g: Call(
        lambda X, y, T: _fitted(lambda: KernelSoftLabelClassifier(alpha=0.1), X, y, T), (g.X(), _p(g), g.T()),
        _probabilities,
    ),
    "KernelSoftLabelClassifier, RBF": lambda g: Call(
        lambda X, y, T, s: _fitted(lambda: KernelSoftLabelClassifier(RBF(s), 0.1), X, y, T),
        (g.X(), _p(g), g.T(), g.size()), _probabilities,
    ),
    "DistilledClassifier": lambda g: Call(
        lambda X, T, t: _fitted(lambda: DistilledClassifier(_teacher, temperature=t, classes=[0, 1]), X, None, T),
        (g.X(), g.T(), g.size()), _probabilities,
    ),
    "SpanSelection": lambda g: Call(
        lambda X, n: SpanSelection().query(X, n), (g.X(), g.whole(1, 4)), _permutation
    ),
    "SpanSelection, given": lambda g: Call(
        lambda X, n, given: SpanSelection().query(X, n, given), (g.X(), 1, g.oddly(np.zeros(1)))
    ),
}  # fmt: skip
