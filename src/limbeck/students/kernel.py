"""`KernelSoftLabelClassifier`: a student that is linear in the features of a kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from limbeck import _check
from limbeck.labels import Array, SoftLabels
from limbeck.students._arrays import Rows, all_or_nothing, to_numpy, validated, weights_of
from limbeck.students._certify import (
    Asked,
    ProvedAnswers,
    prove_from,
    remembered,
    verdict,
)
from limbeck.students._path import AlphaPath
from limbeck.students.linearity import Linearity
from limbeck.students.soft_label import SoftLabelClassifier
from limbeck.students.targets import read_answers
from limbeck.theory import KernelSpan
from limbeck.theory.kernels import NTK, Kernel

FORWARDED = (
    "classes_",
    "alpha_",
    "alpha_path_",
    "realisable_",
    "linearity_",
    "n_saturated_",
    "n_iter_",
    "gradient_",
)
"""Fitted attributes of the linear student that mean the same of this one."""


class KernelSoftLabelClassifier(ClassifierMixin, BaseEstimator):
    """Classifier that learns from soft labels in the features of a kernel, exactly.

    It is `SoftLabelClassifier` on the coordinates of the points in the orthonormal directions that their features
    add one after another: at ``alpha=0`` f(x) = k(x, X) K^-1 z, what gradient descent on the teacher's
    probabilities converges to; with ``alpha > 0`` the minimiser of mean soft cross-entropy + alpha/2 ||f||^2,
    ||f|| the norm of the kernel's space. With the linear kernel the two estimators agree.

    Parameters
    ----------
    kernel : Kernel, default=NTK(depth=2)
        An object of `limbeck.theory.kernels`, or one with its two methods. The default is what a wide ReLU network
        with one hidden layer tends to.
    alpha : "loo" or float >= 0, default="loo"
        Ridge; as in `SoftLabelClassifier`.
    fit_intercept : bool, default=True
        Whether to learn an intercept. At ``alpha=0`` it takes part in the norm, as if 1 were added to the kernel.
    saturated, stop_time, classes, decimals, tol, max_iter, class_weight
        As in `SoftLabelClassifier`; ``stop_time`` on the coordinates.
    landmarks : int, optional
        Seek the student in the span of this many rows drawn at random, (n, landmarks) numbers in memory instead of
        (n, n): the Nystroem approximation. Default: all rows.
    random_state : int, RandomState or None, default=None
        For the choice of landmarks.

    Attributes
    ----------
    span_ : KernelSpan
        Of the points learned from, or of the landmarks; its readings are those of the theory.
    student_ : SoftLabelClassifier
        The linear student of the span's coordinates.
    classes_ : ndarray, shape (K,)
        Classes.
    alpha_ : float
        Ridge used.
    alpha_path_ : AlphaPath or None
        Leave-one-out losses of every alpha, if ``alpha="loo"``.
    realisable_ : bool
        Whether some student in these features gives all the answers, to their precision (at ``alpha=0``).
    linearity_ : Linearity
        Whether the teacher is linear in the kernel's features: ``cannot tell yet`` where every row adds a direction.
    n_saturated_ : int
        Rows with a probability of 0 or 1 as stored.
    n_iter_ : int
        Steps of the final fit.
    gradient_ : float
        Largest entry of the gradient where the fit ended, relative to the coordinates' mean size.
    n_features_in_ : int
    feature_names_in_ : ndarray, shape (d,)

    Notes
    -----
    Points are dense. Rows whose features add nothing to the others' (repeated rows, zero rows under `NTK`) are
    ordinary: they take part in the fit and add no direction; ``span_.independent`` lists the others. At
    ``alpha=0`` and rows that coincide with different answers the student minimises the cross-entropy.

    Coordinates and answers are float64 whatever the points are: unlike `SoftLabelClassifier`'s, the student's weights
    are no weights of the features, and float32 would save nothing and cost digits.

    Answers (``y``, ``teacher_proba``, ``teacher_logits``) and their routing are those of `SoftLabelClassifier`.

    Examples
    --------
    >>> import numpy as np
    >>> from limbeck.theory.kernels import RBF
    >>> X = np.linspace(-3, 3, 30)[:, None]
    >>> student = KernelSoftLabelClassifier(RBF(), alpha=0).fit(X, 1 / (1 + np.exp(-3 * np.cos(2 * X[:, 0]))))
    >>> student.predict([[0.0], [1.5]])
    array([1, 0])
    """

    span_: KernelSpan
    student_: SoftLabelClassifier
    classes_: np.ndarray
    alpha_: float
    alpha_path_: AlphaPath | None
    realisable_: bool
    linearity_: Linearity
    n_saturated_: int
    n_iter_: int
    gradient_: float
    n_features_in_: int
    feature_names_in_: np.ndarray
    _asked: Asked | None

    __metadata_request__fit = {"teacher_proba": True, "teacher_logits": True}  # noqa: RUF012

    def __init__(
        self,
        kernel: Kernel = NTK(depth=2),  # noqa: B008 - frozen
        alpha: float | Literal["loo"] = "loo",
        *,
        fit_intercept: bool = True,
        saturated: Literal["raise", "drop", "bound"] = "raise",
        stop_time: float | None = None,
        classes: Any = None,
        decimals: int | None = None,
        tol: float = 1e-10,
        max_iter: int = 1000,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        landmarks: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.kernel = kernel
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.saturated = saturated
        self.stop_time = stop_time
        self.classes = classes
        self.decimals = decimals
        self.tol = tol
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.landmarks = landmarks
        self.random_state = random_state

    @all_or_nothing
    def fit(
        self,
        X: Rows,
        y: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        teacher_proba: ArrayLike | None = None,
        teacher_logits: ArrayLike | None = None,
    ) -> Self:
        """Learn from labels or from a teacher's answers; see `SoftLabelClassifier.fit`.

        Raises
        ------
        ValueError
            If something given cannot be learned from (the row or column is named), or the kernel matrix does
            not fit in memory (with how much it needs, and what to use instead).
        """
        if not (callable(self.kernel) and hasattr(self.kernel, "diagonal")):
            raise ValueError(
                f"kernel must be an object of limbeck.theory.kernels, such as RBF(length=2.0), got {self.kernel!r}."
            )
        X = _check.in_range(validated(self, X), "X")
        weight = weights_of(sample_weight, X)
        self.span_ = KernelSpan(
            X[self._landmarks(np.flatnonzero(weight > 0))], self.kernel, semidefinite=True
        )
        if not self.span_.rank:
            raise ValueError("Every row has a feature of length zero: the kernel has nothing to learn from.")
        student = SoftLabelClassifier()
        shared = set(student.get_params(deep=False)) & set(self.get_params(deep=False))
        student.set_params(**{name: getattr(self, name) for name in shared})
        self.student_ = student.fit(
            self.span_.coordinates(X),
            y,
            sample_weight=weight,
            teacher_proba=teacher_proba,
            teacher_logits=teacher_logits,
        )
        for name in FORWARDED:
            setattr(self, name, getattr(student, name))
        answers = map(to_numpy, (y, teacher_proba, teacher_logits))
        labels, _ = read_answers(X, *answers, classes=self.classes, decimals=self.decimals)
        self._asked = self._remembered(X, labels, weight)
        return self

    def _remembered(self, X: np.ndarray, labels: SoftLabels, weight: np.ndarray) -> Asked | None:
        """Rows and logits for a certificate; None where not every row is in the span that the student lives in."""
        kept = np.flatnonzero((weight > 0) & ~labels.saturated)
        if self.alpha_ != 0 or not len(kept) or self.span_.n < np.count_nonzero(weight):
            return None
        logits, error = (a[kept].reshape(len(kept), -1) for a in (labels.logits, labels.error))
        return Asked(X[kept].astype(np.float64), logits, error, len(kept))

    def _landmarks(self, rows: np.ndarray) -> np.ndarray:
        if self.landmarks is None:
            return rows
        m = self.landmarks
        if isinstance(m, bool) or not isinstance(m, Integral) or m < 1:
            raise ValueError(f"landmarks must be a whole number of at least 1, or None, got {m!r}.")
        if m >= len(rows):
            return rows
        return np.sort(check_random_state(self.random_state).permutation(rows)[:m])

    def _fitted(self) -> SoftLabelClassifier:
        check_is_fitted(self)
        return self.student_

    def _coordinates(self, X: Rows) -> np.ndarray:
        return self.span_.coordinates(validated(self, X, reset=False))

    def decision_function(self, X: Rows) -> Array:
        """Logits: of class 1, (n,), or of each class, (n, K)."""
        return self._fitted().decision_function(self._coordinates(X))

    def predict_proba(self, X: Rows) -> Array:
        """Probabilities (n, K)."""
        return self._fitted().predict_proba(self._coordinates(X))

    def predict_log_proba(self, X: Rows) -> Array:
        """Log-probabilities (n, K), exact where probabilities underflow."""
        return self._fitted().predict_log_proba(self._coordinates(X))

    def predict(self, X: Rows) -> np.ndarray:
        """Classes (n,); a logit of exactly 0 is class 1, as in the paper."""
        return self._fitted().predict(self._coordinates(X))

    def score(self, X: Rows, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy for hard y; for soft y, agreement with the teacher's decisions (1 - transfer risk)."""
        return self._fitted().score(self._coordinates(X), y, sample_weight)

    def certify(self, X: Rows, *, teacher_norm: float) -> ProvedAnswers:
        """Say which answers at X are proved to be the teacher's, as `SoftLabelClassifier.certify` does.

        Assumes a teacher that is linear in the kernel's features, with an intercept if the student has one, of norm
        at most ``teacher_norm`` in the kernel's space: sqrt(|f|^2 + b^2) of the function f + b.

        Raises
        ------
        ValueError
            As there; and if the student lives in the span of landmarks, which tells nothing of the other rows.
        """
        check_is_fitted(self)
        T = np.asarray(validated(self, X, reset=False), dtype=np.float64)
        if self.landmarks is not None and self._asked is None and self.alpha_ == 0:
            raise ValueError(
                f"The student lives in the span of landmarks={self.landmarks} rows, where it is not the exact one of "
                "all answers: nothing is proved. Fit with landmarks=None."
            )
        known = remembered(self)
        kernel = _Lifted(self.kernel) if self.fit_intercept else self.kernel
        return prove_from(
            known,
            T,
            teacher_norm,
            self.student_._codes(self._coordinates(X)),
            intercept=self.fit_intercept,
            verdict=verdict(self),
            span=KernelSpan(known.rows[0], kernel, semidefinite=True),
        )


@dataclass(frozen=True)
class _Lifted:
    """k + 1, whose students are those of k with an intercept that takes part in the norm."""

    kernel: Kernel

    def __call__(self, X: Array, Y: Array) -> Array:
        return self.kernel(X, Y) + 1.0

    def diagonal(self, X: Array) -> Array:
        return self.kernel.diagonal(X) + 1.0


__all__ = ["KernelSoftLabelClassifier"]
