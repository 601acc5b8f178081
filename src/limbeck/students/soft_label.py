"""`SoftLabelClassifier`: a linear student in scikit-learn's manners, exact on soft labels."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from numbers import Integral
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.utils import Tags
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from limbeck import _check
from limbeck.labels import Array, SoftLabels
from limbeck.students._arrays import Rows, all_or_nothing, like, to_numpy, validated, weights_of
from limbeck.students._batches import BATCHES, learned_so_far, with_more
from limbeck.students._certify import Asked, ProvedAnswers, asked, nothing, prove
from limbeck.students._learn import Before, Settings, learn
from limbeck.students._path import AlphaPath
from limbeck.students.design import Points
from limbeck.students.linearity import Linearity, judge, unknown
from limbeck.students.targets import decisions, read_answers


def _is_number(value: object, *, above: float | None = 0.0, least: float | None = None) -> bool:
    """Whether it is a finite number in the range."""
    try:
        _check.number(value, "value", above=above if least is None else None, least=least)
    except ValueError:
        return False
    return True


def _is_exact(student: SoftLabelClassifier) -> bool:
    """Whether `partial_fit` exists: scikit-learn's duck typing asks before it calls."""
    if student.alpha != 0 or student.stop_time is not None:
        raise AttributeError(
            f"partial_fit is exact for alpha=0 only, got alpha={student.alpha!r}: set alpha=0, or collect the rows and "
            "call fit."
        )
    return True


LONGEST = 10**9
CHANGED = "the points were changed in place after fit: fit again, or read linearity_ before"


class SoftLabelClassifier(ClassifierMixin, BaseEstimator):
    """Linear classifier that learns from soft labels, exactly.

    At ``alpha=0`` it is the student of Phuong and Lampert (2019): what gradient descent on the teacher's
    probabilities converges to from zero (Theorem 1), of minimum norm where the answers leave a choice. With
    ``alpha > 0`` it minimises mean soft cross-entropy + alpha/2 ||w||^2.

    Parameters
    ----------
    alpha : "loo" or float >= 0, default="loo"
        Ridge, in units of the mean loss; the intercept is not penalised. ``"loo"`` chooses by leave-one-out
        soft cross-entropy (one Newton step a row) among 17 values and 0, which is kept unless the best
        beats it by two paired standard errors (of leads winsorised at 5 %). If the loss still falls at the smallest
        value, up to twelve smaller ones are tried. Large problems try values on either side of the one that ridge
        regression on the logits prefers, until the loss rises, and 0 only if the smallest of them is not beaten. Fits
        forecast to take over a minute are announced by a warning.
    fit_intercept : bool, default=True
        Whether to learn an intercept. At ``alpha=0`` it takes part in the norm that is minimised.
    saturated : {"raise", "drop", "bound"}, default="raise"
        At ``alpha=0``: what to do with soft labels of exactly 0 or 1, which have no logit. ``"drop"`` leaves
        these rows out; ``"bound"`` (two classes, dense) asks the student to be at least as sure as the stored
        precision says. For ``alpha > 0`` the cross-entropy takes 0 and 1 as they are.
    stop_time : float > 0, optional
        Take gradient flow on the mean soft cross-entropy from zero, stopped at this time, instead of a ridge:
        directions of curvature h are learned where h * stop_time >> 1, as a ridge learns those with
        h >> alpha, so that alpha = 1 / stop_time is the ridge to compare with. ``alpha`` is then ignored.
    classes : array-like, optional
        Classes in the order of the columns of probabilities or logits, or of integer codes 0 ... K - 1.
    decimals : int, optional
        Decimals the probabilities were rounded to. Default: inferred; see `limbeck.labels.from_probabilities`.
    tol : float, default=1e-10
        Largest gradient entry at which the minimisation stops, relative to the features' mean size, where ``alpha``
        is a number > 0. The exact student, and the one chosen by leave-one-out, always go to 1e-10 (to 1e-7 with
        more float32 rows than features). If rows are nearly saturated, rounding can end them earlier, below 1e-8;
        see ``gradient_``.
    max_iter : int, default=1000
        Most steps of the minimisation, for the same. If they are not enough, a ``ConvergenceWarning`` is issued.
    class_weight : dict or "balanced", optional
        Weight of the rows that the teacher gives to a class: of each class in a dictionary, 1 of those it does not
        name; ``"balanced"`` weighs the classes alike. They multiply ``sample_weight``, the largest taken as 1.
    warm_start : bool, default=False
        Start from the student of the last `fit`, which must have had the same features and classes. With
        ``alpha="loo"`` the search starts at its ridge and ends where the loss rises on either side, so that another
        dip of the loss can be missed.

    Attributes
    ----------
    coef_ : ndarray, shape (1, n_features) or (K, n_features)
        Weights.
    intercept_ : ndarray, shape (1,) or (K,)
        Intercepts.
    classes_ : ndarray, shape (K,)
        Classes.
    alpha_ : float
        Ridge used; NaN for a stopped flow.
    alpha_path_ : AlphaPath or None
        Leave-one-out losses of every alpha, if ``alpha="loo"``.
    realisable_ : bool
        Whether some linear teacher gave all the answers, to the precision they were stored in and as far as these
        rows can tell (at ``alpha=0``).
    linearity_ : Linearity
        Verdict ``linear``, ``not linear`` or ``cannot tell yet``, with the residual logits behind it. Judged from
        the rows given to `fit`, which must be a random sample; after `partial_fit`, ``cannot tell yet``. It is
        computed on first access. Until then the student refers to the rows; do not change them in place.
    n_saturated_ : int
        Rows with a probability of 0 or 1 as stored.
    n_iter_ : int
        Steps of the final fit.
    gradient_ : float
        Largest entry of the gradient where the fit ended, relative to the features' mean size.
    n_features_in_ : int
    feature_names_in_ : ndarray, shape (d,)

    Notes
    -----
    ``y`` may be class labels (n,), P[class 1] (n,), or probabilities (n, K). One axis of whole numbers is class
    labels whatever its dtype; two axes are probabilities, one-hot rows included. scikit-learn's splitters,
    scorers and ensembles want labels as ``y``: give them, and the teacher's answers as ``teacher_proba=`` or
    ``teacher_logits=``, which are routed without `set_fit_request`. ``cross_val_predict(..., y=p)`` would encode
    every distinct p as a class of its own; that is refused.

    With routing on, Pipeline, GridSearchCV, Bagging, Voting and CalibratedClassifierCV pass the teacher's answers
    on; StackingClassifier does too but hands them to its final estimator unasked, which must accept them.

    Points are computed on the CPU by NumPy and SciPy; float32 in gives float32 out. The minimum is found in float64;
    ridges are compared in float32 if there are more float32 rows than features. Memory: the points, one copy of them
    if ``alpha="loo"``, and O(d^2 + n K). Sparse points stay sparse. Dense arrays of other libraries on the CPU are
    taken, and answered by NumPy's; with scikit-learn's ``array_api_dispatch`` on (which wants SCIPY_ARRAY_API=1 in the
    environment before SciPy is imported), they are answered in their own kind (annotations say NumPy's); fitted
    attributes are NumPy arrays all the same.

    References
    ----------
    Phuong and Lampert (2019), Theorem 1.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X, w_star = rng.standard_normal((60, 40)), rng.standard_normal(40)
    >>> p = 1 / (1 + np.exp(-X @ w_star))
    >>> student = SoftLabelClassifier(fit_intercept=False).fit(X, p)
    >>> student.alpha_, student.linearity_.verdict
    (0.0, 'linear')
    >>> bool(np.allclose(student.coef_, w_star))
    True
    """

    coef_: Array
    intercept_: Array
    classes_: np.ndarray
    alpha_: float
    alpha_path_: AlphaPath | None
    realisable_: bool
    n_saturated_: int
    n_iter_: int
    gradient_: float
    n_features_in_: int
    feature_names_in_: np.ndarray
    _linearity: Linearity | None = None
    _known: Asked | None = None
    _learned_from: tuple[Points, SoftLabels, int] | None = None

    # Metadata that routing hands to fit and partial_fit without being asked for.
    __metadata_request__fit = {"teacher_proba": True, "teacher_logits": True}  # noqa: RUF012
    __metadata_request__partial_fit = {"teacher_proba": True, "teacher_logits": True}  # noqa: RUF012

    def __init__(
        self,
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
        warm_start: bool = False,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.saturated = saturated
        self.stop_time = stop_time
        self.classes = classes
        self.decimals = decimals
        self.tol = tol
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.warm_start = warm_start

    # -- fitting ---------------------------------------------------------------------------------

    @all_or_nothing
    def fit(
        self,
        X: Rows,
        y: ArrayLike | SoftLabels | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        teacher_proba: ArrayLike | None = None,
        teacher_logits: ArrayLike | None = None,
    ) -> Self:
        """Learn from labels or from a teacher's answers.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (n, d)
            Points.
        y : array-like, shape (n,) or (n, K), or SoftLabels of length n, optional
            Class labels, P[class 1], or probabilities of each class; or what a reader of `limbeck.labels` made of
            log-probabilities, a service's top k or several teachers, with the precision it found. With
            ``teacher_proba`` or ``teacher_logits``, hard labels that only name the classes, or nothing.
        sample_weight : array-like, shape (n,), optional
            Weights; a row of weight 2 counts as two rows, one of weight 0 as none. With ``alpha="loo"`` one of the
            two is left out, as of rows repeated; weights that say how much a row matters, not how often it came,
            belong below 1, where their scale means nothing.
        teacher_proba, teacher_logits : array-like, shape (n,) or (n, K), optional
            The teacher's answers: at most one of the two.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If something given cannot be learned from; the message names the row or column. A student that was fitted
            before stays what it was.
        """
        self._check_parameters()
        if y is None and teacher_proba is None and teacher_logits is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y is None."
            )
        y, sample_weight, teacher_proba, teacher_logits = map(
            to_numpy, (y, sample_weight, teacher_proba, teacher_logits)
        )
        X = validated(self, X, accept_sparse="csr")
        labels, classes = read_answers(
            X, y, teacher_proba, teacher_logits, classes=self.classes, decimals=self.decimals
        )
        counts = weights_of(sample_weight, X)
        _check.in_range(X.data if issparse(X) else X, "X")
        _check.in_range(labels.logits[np.isfinite(labels.logits)], "the teacher's logits")
        _check.in_range(counts, "sample_weight")
        before = self._before(X.shape[1], classes) if self.warm_start and hasattr(self, "coef_") else None
        if self.class_weight is not None:
            of_rows = compute_sample_weight(self.class_weight, classes[labels.decisions])
            counts = counts * of_rows / of_rows.max()
        self.classes_ = classes
        dtype = X.dtype
        kept = np.flatnonzero(counts > 0)
        if len(kept) < len(counts):
            X, labels, counts = X[kept], labels[kept], counts[kept]
        self.n_saturated_ = int(labels.saturated.sum())
        points = Points(X, self.fit_intercept, dtype)
        found = learn(points, labels, counts, self._settings(), kept, before)
        if not (np.all(np.isfinite(found.weights)) and np.all(np.isfinite(found.intercepts))):
            raise ArithmeticError("The weights are not finite: scale the features.")
        self.coef_, self.intercept_ = found.weights.astype(dtype), found.intercepts.astype(dtype)
        self.alpha_, self.alpha_path_, self.realisable_ = found.alpha, found.path, found.realisable
        self.n_iter_, self.gradient_ = found.iterations, found.gradient
        self._learned_from = points, labels, _checksum(points, labels)
        return self

    # -- what is computed when it is first asked for -------------------------------------------------

    @property
    def linearity_(self) -> Linearity:
        """Verdict on the teacher; see the attributes."""
        self._diagnose()
        if self._linearity is None:
            raise AttributeError(f"This {type(self).__name__} is not fitted: it has no linearity_.")
        return self._linearity

    @linearity_.setter
    def linearity_(self, verdict: Linearity) -> None:
        self._linearity = verdict

    @property
    def _asked(self) -> Asked | None:
        """Rows that a certificate and `partial_fit` go on from."""
        self._diagnose()
        return self._known

    @_asked.setter
    def _asked(self, known: Asked | None) -> None:
        self._diagnose()
        self._known = known

    def _diagnose(self) -> None:
        """Both, from the rows that `fit` was given, which are then let go."""
        if self._learned_from is None:
            return
        points, labels, checksum = self._learned_from
        if _checksum(points, labels) == checksum:
            self._linearity = judge(points, labels)
            self._known = asked(points, labels) if self.alpha_ == 0 else None
        else:
            self._linearity, self._known = unknown(CHANGED, len(labels), 0, 0), None
        self._learned_from = None

    def __getstate__(self) -> Any:
        self._diagnose()  # a copy or a pickle does not hold the rows
        return super().__getstate__()

    def _before(self, n_features: int, classes: np.ndarray) -> Before:
        """The student of the last fit."""
        if self.coef_.shape[1] != n_features or not np.array_equal(self.classes_, classes):
            raise ValueError(
                f"warm_start=True goes on from a student of {self.coef_.shape[1]} features and classes "
                f"{list(self.classes_)}; these rows have {n_features} features and classes {list(classes)}. "
                "Use a new estimator, or warm_start=False."
            )
        path, alpha = self.alpha_path_, self.alpha_
        if path is not None and alpha == 0:
            above = path.alphas > 0
            alpha = float(path.alphas[above][np.argmin(path.losses[above])]) if above.any() else 0.0
        return Before(self.coef_.astype(float), self.intercept_.astype(float), alpha)

    def _settings(self) -> Settings:
        return Settings(self.alpha, self.saturated, self.stop_time, self.tol, self.max_iter)

    def _check_parameters(self) -> None:
        if not ((isinstance(self.alpha, str) and self.alpha == "loo") or _is_number(self.alpha, least=0.0)):
            raise ValueError(f'alpha must be "loo" or a number >= 0, got {self.alpha!r}.')
        if self.saturated not in ("raise", "drop", "bound"):
            raise ValueError(f'saturated must be "raise", "drop" or "bound", got {self.saturated!r}.')
        if self.stop_time is not None and not _is_number(self.stop_time):
            raise ValueError(f"stop_time must be a positive number, got {self.stop_time!r}.")
        if not _is_number(self.tol):
            raise ValueError(f"tol must be positive, got {self.tol!r}.")
        if not isinstance(self.fit_intercept, bool | np.bool_):
            raise ValueError(f"fit_intercept must be True or False, got {self.fit_intercept!r}.")
        whole = isinstance(self.max_iter, Integral) and not isinstance(self.max_iter, bool)
        if not (whole and 1 <= self.max_iter <= LONGEST):
            raise ValueError(f"max_iter must be a whole number from 1 to {LONGEST}, got {self.max_iter!r}.")

    @available_if(_is_exact)
    @all_or_nothing
    def partial_fit(
        self,
        X: Rows,
        y: ArrayLike | SoftLabels | None = None,
        classes: ArrayLike | None = None,
        *,
        teacher_proba: ArrayLike | None = None,
        teacher_logits: ArrayLike | None = None,
    ) -> Self:
        """Add rows to an exact student: least squares on all logits so far, in any order and batch size.

        Only for ``alpha=0`` and answers that some linear teacher gave; then the result is that of `fit` on
        all rows. It goes on from what `fit` or `partial_fit` learned; `fit` starts anew. What is kept are at most
        10 (d + 1) rows: more are folded into d + 1.

        Parameters
        ----------
        X : array-like, shape (n, d)
            Dense points.
        y : array-like, optional
            As in `fit`; soft.
        classes : array-like, optional
            As the constructor's, for scikit-learn's sake.
        teacher_proba, teacher_logits
            As in `fit`.

        Raises
        ------
        AttributeError
            If ``alpha`` is not 0.
        ValueError
            If an answer is saturated (unless ``saturated="drop"``); if the answers so far are no linear teacher's,
            or so coarsely rounded that least squares is not the student: then there is no exact update; collect the
            rows and call `fit`; or if the student was fitted in a way that leaves nothing to go on from.
        """
        self._check_parameters()
        before = learned_so_far(self)
        first = before is None
        X, labels, named, dropped = self._read_batch(
            X, *map(to_numpy, (y, teacher_proba, teacher_logits)), classes=classes, first=first
        )
        dtype = X.dtype if first else self.coef_.dtype
        points = Points.of(X, self.fit_intercept)
        before = before or nothing(points.affine.shape[1], labels.columns)
        self._asked, weights, rank = with_more(before, points, labels)
        self.classes_, self.alpha_, self.alpha_path_ = named, 0.0, None
        self.n_saturated_ = dropped + (0 if first else self.n_saturated_)
        d = X.shape[1]
        self.coef_ = weights[:d].T.astype(dtype)
        self.intercept_ = (weights[-1] if self.fit_intercept else np.zeros(weights.shape[1])).astype(dtype)
        self.realisable_, self.n_iter_, self.gradient_ = True, 0, 0.0
        # Of different points no more than the rank are known to be: rows come and go.
        self.linearity_ = unknown(BATCHES, self._asked.n, rank, rank)
        return self

    def _read_batch(
        self, X: Rows, y: Any, proba: Any, logits: Any, *, classes: Any, first: bool
    ) -> tuple[np.ndarray, SoftLabels, np.ndarray, int]:
        """Points and answers that have logits, the classes, and how many rows without were dropped."""
        X = validated(self, X, reset=first)
        known = None if first else self.classes_
        named = next((names for names in (self.classes, classes, known) if names is not None), None)
        labels, named = read_answers(X, y, proba, logits, classes=named, decimals=self.decimals)
        if known is not None and named.tolist() != known.tolist():
            raise ValueError(f"The classes are {known.tolist()}, and these rows name {named.tolist()}.")
        held = labels.saturated
        if held.any() and (self.saturated != "drop" or held.all()):
            raise ValueError(
                f"Row {int(np.argmax(held))} holds a probability of 0 or 1, which has no finite logit: partial_fit "
                "needs logits. Use saturated='drop', or collect the rows and call fit with alpha > 0."
            )
        return X[~held], labels[~held], named, int(held.sum())

    # -- answering ---------------------------------------------------------------------------------

    def decision_function(self, X: Rows) -> Array:
        """Logits: of class 1, (n,), or of each class, (n, K)."""
        return like(self._logits(X), X)

    def predict_proba(self, X: Rows) -> Array:
        """Probabilities (n, K)."""
        return like(shares(self._logits(X)), X)

    def predict_log_proba(self, X: Rows) -> Array:
        """Log-probabilities (n, K), exact where probabilities underflow."""
        F = self._logits(X)
        logs = np.column_stack([log_expit(-F), log_expit(F)]) if F.ndim == 1 else log_softmax(F, axis=1)
        return like(logs, X)

    def predict(self, X: Rows) -> np.ndarray:
        """Classes (n,); a logit of exactly 0 is class 1, as in the paper."""
        return like(self._decisions(X), X)

    def score(self, X: Rows, y: ArrayLike | SoftLabels, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy for hard y; for soft y, agreement with the teacher's decisions (1 - transfer risk)."""
        said = decisions(to_numpy(y), self.classes_)
        return accuracy_score(said, self._decisions(X), sample_weight=to_numpy(sample_weight))

    def _logits(self, X: Rows) -> np.ndarray:
        check_is_fitted(self)
        X = validated(self, X, accept_sparse="csr", reset=False)
        _check.in_range(X.data if issparse(X) else X, "X")
        F = X @ self.coef_.T + self.intercept_
        return F[:, 0] if F.shape[1] == 1 else F

    def _codes(self, X: Rows) -> np.ndarray:
        return decided(self._logits(X))

    def _decisions(self, X: Rows) -> np.ndarray:
        codes = self._codes(X)  # first: it says so if the student is not fitted
        return self.classes_[codes]

    def certify(self, X: Rows, *, teacher_norm: float) -> ProvedAnswers:
        """Say which answers at X are proved to be the teacher's, before anybody asks it (`limbeck.theory.certify`).

        Assumes a linear teacher in these features, with an intercept if the student has one, whose weights (w, b)
        have norm at most ``teacher_norm``, and answers that are off by no more than the precision they were stored
        in. Points count as they were stored, too: float32 ones may be off by their rounding. An answer that `predict`
        decides otherwise in its own arithmetic is not proved.

        For this a student of dense points carries rows it learned from, unless they span the space and their answers
        are exact enough for its weights to say all: at most 10 an unknown, and a pickle holds them (`limbeck.save`
        and `to_sklearn` do not). More are folded into one an unknown: what is then proved of rounded answers is true,
        and less than `limbeck.theory.certify` proves from all rows.

        Parameters
        ----------
        X : array-like, shape (m, d)
            Dense points.
        teacher_norm : float
            B >= |(w, b)| of the teacher; for K >= 3 classes, of the difference of any two classes' (w, b). The
            student's own norm is a lower bound of it: try 1.5 and 2 times that where nothing better is known.

        Returns
        -------
        ProvedAnswers
            With the assumptions in words.

        Raises
        ------
        ValueError
            If the student is not the exact one (``alpha_`` is not 0), the teacher was seen not to be linear, or
            ``teacher_norm`` is below what the answers show.
        """
        check_is_fitted(self)
        X = validated(self, X, reset=False)
        return prove(self, X, teacher_norm)

    def to_sklearn(self) -> LogisticRegression:
        """A fitted `LogisticRegression` with the same weights, for skops, ONNX and whatever wants one.

        Of two classes it decides a logit of exactly 0, such as a zero row's without intercept, for class 0 where
        `predict` decides for class 1, as the paper does; everything else is decided alike.
        """
        check_is_fitted(self)
        model = LogisticRegression(fit_intercept=self.fit_intercept)
        model.classes_, model.coef_, model.intercept_ = self.classes_, self.coef_, self.intercept_
        model.n_features_in_, model.n_iter_ = self.n_features_in_, np.array([self.n_iter_], dtype=np.int32)
        if hasattr(self, "feature_names_in_"):
            model.feature_names_in_ = self.feature_names_in_
        return model

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _checksum(points: Points, labels: SoftLabels) -> int:
    """Of the points and logits, by which a change in place is seen."""
    X = points.given
    arrays = (X.data, X.indices, X.indptr, labels.logits) if issparse(X) else (X, labels.logits)
    total = 0
    for array in arrays:
        for rows in range(0, len(array), 4096):
            total = zlib.crc32(np.ascontiguousarray(array[rows : rows + 4096]).data, total)
    return total


def shares(F: np.ndarray) -> np.ndarray:
    """Probabilities (n, K) of logits (n,) or (n, K)."""
    return np.column_stack([expit(-F), expit(F)]) if F.ndim == 1 else softmax(F, axis=1)


def decided(F: np.ndarray) -> np.ndarray:
    """Code (n,) of the class that logits (n,) or (n, K) decide for; exactly 0 is class 1, as in the paper."""
    return (F >= 0).astype(int) if F.ndim == 1 else F.argmax(axis=1)


__all__ = ["AlphaPath", "Linearity", "SoftLabelClassifier"]
