"""`DistilledClassifier`: teacher and linear student in one estimator."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax
from sklearn import get_config
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import Bunch, Tags, _safe_indexing, check_random_state, get_tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import _BaseComposition
from sklearn.utils.validation import _num_samples, check_consistent_length, check_is_fitted, has_fit_parameter

from limbeck import _check, kinds
from limbeck.labels import Array
from limbeck.students import _teachers
from limbeck.students._arrays import Rows, validated, weights_of
from limbeck.students.linearity import Linearity
from limbeck.students.soft_label import SoftLabelClassifier
from limbeck.students.tally import Tally
from limbeck.theory.risk import Interval

ONLY, STUDENT = "teacher", "student"


class DistilledClassifier(ClassifierMixin, _BaseComposition):
    """Ask a teacher about rows and learn its answers with a linear student.

    The student minimises the mean of T^2 CE(softmax(z / T), softmax(u / T)), z the teacher's logits and u its own,
    plus its ridge; see `docs/temperature.md` for other conventions. Where a linear student can give the teacher's
    answers, ``student=SoftLabelClassifier(alpha=0)`` does, at every T.

    Parameters
    ----------
    teacher : estimator, callable, or list of (str, estimator or callable)
        Classifier with `decision_function`, `predict_log_proba` or `predict_proba`, or a function of X that returns
        (n,) for class 1 or (n, K). What is fitted is used as it is, whatever y; an estimator that is not is cloned
        and fitted on (X, y). Cloning forgets a fit, and so do cross-validation and searches: there, wrap a fitted
        teacher in `sklearn.frozen.FrozenEstimator`. Several teachers are averaged; columns are matched by the
        names of the classes.
    student : estimator, default=SoftLabelClassifier()
        Learns from ``teacher_logits``; cloned.
    transfer_set : array-like, DataFrame, sparse matrix or list, optional
        Unlabelled rows to learn from in place of X.
    student_features : transformer or columns, optional
        What the student sees: a transformer, cloned and fitted on the rows it learns from, or columns as
        `ColumnTransformer` takes them. Default: what the teacher sees.
    temperature : float > 0, default=1.0
        T, of teacher and student alike. Probabilities are predicted at T = 1.
    combine : {"logits", "probabilities"}, default="logits"
        What is averaged over several teachers.
    answers : {"auto", "logits", "log_probabilities", "probabilities"}, default="auto"
        What to ask estimators for (`decision_function`, `predict_log_proba`, `predict_proba`), or what functions
        return ("auto": probabilities). "auto" takes an estimator's decision function only where its softmax is seen
        to be its probabilities, for its digits; else log-probabilities, then probabilities. A decision function
        alone must be asked for, since a margin is no log-odds.
    classes : array-like, optional
        Names of the columns of functions; default: the columns' own, of a data frame, else 0 ... K - 1. Estimators
        have ``classes_``. Columns that have names are matched by them.
    hold_out : int or float, optional
        Rows, or share of them, drawn at random, that the student does not learn from; ``agreement_`` is measured
        on them.
    random_state : int, RandomState instance or None, default=None
        Of that draw.

    Attributes
    ----------
    teachers_ : dict of str to estimator or callable
        Teachers, fitted; a single one is named "teacher".
    teacher_ : estimator or callable
        The teacher, where there is one.
    student_ : estimator
        Fitted student, its weights at T = 1.
    features_ : transformer or None
        Fitted ``student_features``.
    classes_ : ndarray, shape (K,)
    linearity_ : Linearity
        Whether the teacher is linear on the student's features, as far as the rows learned from tell.
    agreement_ : Interval or None
        Share of held-out rows on which student and teacher decide alike, with Wilson's 95 % interval.
    tally_ : Tally or None
        The same by class, and beside a constant that always says the commonest one.
    n_features_in_ : int
    feature_names_in_ : ndarray, shape (d,)

    Notes
    -----
    Weights of rows, and other metadata, reach teachers that are fitted here and the student as scikit-learn routes them
    (``enable_metadata_routing``); a student left to the default then asks for ``sample_weight``. Without routing,
    ``sample_weight`` goes to all of them. It is of the rows of X: a student of a `transfer_set` gets none.

    The teacher is asked about every row once, those of `hold_out` included. If it was fitted on the same rows, its
    answers there are surer than elsewhere: other rows in `transfer_set` are the better ones.

    References
    ----------
    Phuong and Lampert (2019), Theorem 1; Hinton, Vinyals and Dean (2015) for T.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> teacher = RandomForestClassifier(20, random_state=0)
    >>> both = DistilledClassifier(teacher, hold_out=0.25, random_state=0).fit(X / X.std(axis=0), y)
    >>> both.agreement_.estimate > 0.9
    True
    """

    teachers_: dict[str, Any]
    teacher_: Any
    student_: Any
    features_: Any
    classes_: np.ndarray
    linearity_: Linearity
    agreement_: Interval | None
    tally_: Tally | None

    def __init__(
        self,
        teacher: Any,
        *,
        student: Any = None,
        transfer_set: Any = None,
        student_features: Any = None,
        temperature: float = 1.0,
        combine: Literal["logits", "probabilities"] = "logits",
        answers: Literal["auto", "logits", "log_probabilities", "probabilities"] = "auto",
        classes: Any = None,
        hold_out: float | int | None = None,
        random_state: Any = None,
    ) -> None:
        self.teacher = teacher
        self.student = student
        self.transfer_set = transfer_set
        self.student_features = student_features
        self.temperature = temperature
        self.combine = combine
        self.answers = answers
        self.classes = classes
        self.hold_out = hold_out
        self.random_state = random_state

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters, with those of named teachers if ``deep``."""
        if isinstance(self.teacher, list):
            return self._get_params("teacher", deep=deep)
        return super().get_params(deep=deep)

    def set_params(self, **params: Any) -> Self:
        """Set parameters; ``name__parameter`` reaches into teachers and student."""
        self._set_params("teacher", **params)
        return self

    # -- fitting ---------------------------------------------------------------------------------

    def fit(self, X: Rows, y: ArrayLike | None = None, **fit_params: Any) -> Self:
        """Fit the teacher where it is not, ask it about the rows, and learn its answers.

        Parameters
        ----------
        X : array-like, DataFrame, sparse matrix or list, length n
            Rows as the teacher takes them.
        y : array-like, shape (n,), optional
            Labels for a teacher that is not fitted; not looked at otherwise.
        **fit_params : dict
            ``sample_weight``, array-like of shape (n,); with metadata routing, whatever teachers and student ask for.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the teacher is not fitted and y is missing, gives answers that are none, or gives none that are soft;
            or, before the teacher sees any, if the rows are none that the student can learn from.
        """
        self._check_parameters()
        if y is not None:
            check_consistent_length(X, y)
        (rows,) = indexable(X if self.transfer_set is None else self.transfer_set)
        kept, held = self._split(_num_samples(rows))
        student, routed = self._new_student(), self._routed(X, fit_params)
        points = self._seen(_safe_indexing(rows, kept) if len(held) else rows)
        self.teachers_ = {
            name: _teachers.ready(teacher, X, y, **routed[name].fit)
            for name, teacher in self._named_teachers()
        }
        if len(self.teachers_) == 1:
            (self.teacher_,) = self.teachers_.values()
        elif hasattr(self, "teacher_"):
            del self.teacher_
        self._kinds = {name: _teachers.kind_of(t, self.answers, rows) for name, t in self.teachers_.items()}
        said = self._ask(rows)
        logs, self.classes_ = self._combined(said)
        params = {
            name: _safe_indexing(value, kept) if hasattr(value, "__len__") else value
            for name, value in routed[STUDENT].fit.items()
        }
        self._learn(student, points, self._for_fit(said, logs, kept), params)
        self.agreement_ = self.tally_ = None
        if len(held):
            student = self.predict_proba(_safe_indexing(rows, held))
            self.tally_ = Tally.of(
                _decided(logs[held]), _decided(student), logs.shape[1], kinds.tied(logs[held])
            )
            self.agreement_ = self.tally_.agreement
        return self

    def _check_parameters(self) -> None:
        _check.number(self.temperature, "temperature", above=0.0)
        if self.combine not in ("logits", "probabilities"):
            raise ValueError(f'combine must be "logits" or "probabilities", got {self.combine!r}.')
        if self.answers not in ("auto", *_teachers.METHODS):
            raise ValueError(f"answers must be one of {['auto', *_teachers.METHODS]}, got {self.answers!r}.")

    def _named_teachers(self) -> list[tuple[str, Any]]:
        if not isinstance(self.teacher, list):
            return [(ONLY, self.teacher)]
        try:
            names, teachers = zip(*self.teacher, strict=True)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"Several teachers are a list of (name, teacher), got {self.teacher!r}."
            ) from error
        self._validate_names(names)
        return list(zip(names, teachers, strict=True))

    def _ask(self, X: Rows) -> dict[str, _teachers.Named]:
        return {
            name: _teachers.ask(t, self._kinds[name], X, self.classes) for name, t in self.teachers_.items()
        }

    def _combined(self, said: dict[str, _teachers.Named]) -> tuple[Array, np.ndarray]:
        """Log-probabilities (n, K), and the names of their columns, in the order of the first teacher."""
        logs = {name: _teachers.log_probabilities(a, self._kinds[name]) for name, (a, _) in said.items()}
        names = {name: _teachers.classes_of(a.shape[1], said[name][1]) for name, a in logs.items()}
        classes = next(iter(names.values()))
        ordered = []
        for name, a in logs.items():
            try:
                ordered.append(_teachers.in_order(a, names[name], classes))
            except ValueError as error:
                raise ValueError(
                    f"The teacher {name!r} and the first one know other classes. {error}"
                ) from error
        return _teachers.combined(ordered, self.combine), classes

    def _for_fit(
        self, said: dict[str, _teachers.Named], logs: Array, kept: np.ndarray
    ) -> dict[str, np.ndarray]:
        """What the student is given: logits over T, in the type the answers came in, whose precision it reads off.

        Probabilities and logits of one teacher in short floats go as they are. Float64 answers in memory were not
        rounded for storage: 100 trees answer in hundredths, exactly.
        """
        (name, (first, _)), *others = said.items()
        given = {"probabilities": "teacher_proba", "logits": "teacher_logits"}.get(self._kinds[name])
        if not others and given and self.temperature == 1 and first.itemsize < 8:
            return {given: first[kept]}
        with np.errstate(over="ignore"):
            divided = logs[kept] / self.temperature
        if np.isinf(divided[np.isfinite(logs[kept])]).any():
            raise ValueError(
                f"temperature = {self.temperature:g} takes the teacher's logits out of the range of floating point: "
                "choose a larger one."
            )
        return {"teacher_logits": _teachers.as_short(divided, (a for a, _ in said.values()))}

    def _split(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows to learn from and rows held out, each in order."""
        if self.hold_out is None:
            return np.arange(n), np.arange(0)
        held = self.hold_out
        if isinstance(held, bool) or not isinstance(held, Real):
            raise ValueError(f"hold_out must be a number of rows or a share of them, got {held!r}.")
        size = int(held) if isinstance(held, Integral) else round(n * float(held))
        if not 0 < size < n:
            raise ValueError(f"hold_out={held!r} leaves {size} of {n} rows: some must be held out, some not.")
        order = check_random_state(self.random_state).permutation(n)
        return np.sort(order[size:]), np.sort(order[:size])

    # -- metadata ------------------------------------------------------------------------------

    def get_metadata_routing(self) -> MetadataRouter:
        """What of the metadata given to `fit` teachers and student ask for."""
        mapping = MethodMapping().add(caller="fit", callee="fit")
        # What is fitted already is not fitted again, and asks for nothing.
        asking = {name: t for name, t in self._named_teachers() if not _teachers.is_ready(t)}
        router = MetadataRouter(owner=self)
        for name, member in {**asking, STUDENT: self._new_student()}.items():
            router.add(method_mapping=mapping, **{name: member})
        return router

    def _routed(self, X: Rows, given: dict[str, Any]) -> Bunch:
        """Of what `fit` was given, the part of each teacher and of the student."""
        names = [name for name, _ in self._named_teachers()]
        if get_config()["enable_metadata_routing"]:
            routed = process_routing(self, "fit", **given) if given else Bunch()
        else:
            routed = self._shared(X, given)
        for name in (*names, STUDENT):
            routed.setdefault(name, Bunch(fit={}))
        if self.transfer_set is not None and "sample_weight" in routed[STUDENT].fit:
            raise ValueError(
                "The student asks for sample_weight, which is of the rows of X, and it learns from transfer_set: "
                "student.set_fit_request(sample_weight=False)."
            )
        return routed

    def _shared(self, X: Rows, given: dict[str, Any]) -> Bunch:
        """Weights for everybody that is fitted here, where nothing is routed."""
        if unknown := sorted(set(given) - {"sample_weight"}):
            raise TypeError(
                f"fit got {unknown}: metadata other than sample_weight is passed on where "
                "sklearn.set_config(enable_metadata_routing=True) is set and teachers or student ask for it."
            )
        if given.get("sample_weight") is None:
            return Bunch()
        weight = weights_of(given["sample_weight"], X)
        takers = {name: t for name, t in self._named_teachers() if not _teachers.is_ready(t)}
        if self.transfer_set is None:
            takers[STUDENT] = self._new_student()
        for name, member in takers.items():
            if not has_fit_parameter(member, "sample_weight"):
                raise ValueError(
                    f"{name}, {type(member).__name__}, does not take sample_weight: leave it out, fit that teacher "
                    "first, or route the weights to the others (enable_metadata_routing)."
                )
        return Bunch(**{name: Bunch(fit={"sample_weight": weight}) for name in takers})

    def _new_student(self) -> Any:
        if self.student is not None:
            student = clone(self.student)
        elif get_config()["enable_metadata_routing"]:
            student = SoftLabelClassifier().set_fit_request(sample_weight=self.transfer_set is None)
        else:
            student = SoftLabelClassifier()
        if not has_fit_parameter(student, "teacher_logits") or "classes" not in student.get_params():
            raise ValueError(
                f"The student, {type(student).__name__}, does not learn from teacher_logits=: use SoftLabelClassifier."
            )
        return student

    # -- the student ---------------------------------------------------------------------------

    def _seen(self, rows: Rows) -> Any:
        """Rows as the student sees them, looked at before any teacher is asked about one."""
        self.features_ = self._new_features()
        points = rows if self.features_ is None else self.features_.fit_transform(rows)
        validated(SoftLabelClassifier(), points, accept_sparse="csr")
        return points

    def _learn(
        self, student: Any, points: Any, answers: dict[str, np.ndarray], params: dict[str, Any]
    ) -> None:
        self.student_ = student.set_params(classes=self.classes_).fit(points, **answers, **params)
        if self.temperature != 1:
            self._cool()
        self.linearity_ = self.student_.linearity_

    def _cool(self) -> None:
        """The student learned u / T: its own logits are T times that."""
        T = self.student_.coef_.dtype.type(self.temperature)
        self.student_.coef_, self.student_.intercept_ = self.student_.coef_ * T, self.student_.intercept_ * T
        if (known := getattr(self.student_, "_asked", None)) is not None:
            self.student_._asked = known.times(float(self.temperature))

    def _new_features(self) -> Any:
        wanted = self.student_features
        if wanted is None or hasattr(wanted, "transform"):
            return None if wanted is None else clone(wanted)
        columns = [wanted] if isinstance(wanted, (str, Integral)) else wanted
        return ColumnTransformer(
            [("student", "passthrough", columns)], sparse_threshold=1.0, verbose_feature_names_out=False
        )

    # -- answering ---------------------------------------------------------------------------------

    def teacher_log_proba(self, X: Rows) -> Array:
        """What the teachers say together at T = 1, log-probabilities (n, K) in the order of ``classes_``."""
        check_is_fitted(self)
        return log_softmax(self._combined(self._ask(X))[0], axis=1)

    def decision_function(self, X: Rows) -> Array:
        """Student's logits: of class 1, (n,), or of each class, (n, K)."""
        points = self._points(X)
        return self.student_.decision_function(points)

    def predict_proba(self, X: Rows) -> Array:
        """Student's probabilities (n, K)."""
        points = self._points(X)
        return self.student_.predict_proba(points)

    def predict_log_proba(self, X: Rows) -> Array:
        """Student's log-probabilities (n, K)."""
        points = self._points(X)
        return self.student_.predict_log_proba(points)

    def predict(self, X: Rows) -> np.ndarray:
        """Student's classes (n,)."""
        points = self._points(X)
        return self.student_.predict(points)

    def score(self, X: Rows, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy of the student for hard y; agreement with the answers for soft y, and without y with the teacher's.

        Without y the teacher is asked about X, so that a search over temperatures needs no labels.
        """
        points = self._points(X)
        if y is None:
            codes = _decided(self._combined(self._ask(X))[0])
            return accuracy_score(codes, _decided(self.predict_proba(X)), sample_weight=sample_weight)
        return self.student_.score(points, y, sample_weight=sample_weight)

    def to_sklearn(self) -> LogisticRegression | Pipeline:
        """The student alone, in scikit-learn's classes: a `Pipeline` of a step for its features, if any, and it."""
        check_is_fitted(self)
        steps = [] if self.features_ is None else [self.features_]
        return make_pipeline(*steps, self.student_.to_sklearn())

    def _points(self, X: Rows) -> Any:
        check_is_fitted(self)
        return X if self.features_ is None else self.features_.transform(X)

    @property
    def n_features_in_(self) -> int:
        """Columns of X."""
        return (self.student_ if self.features_ is None else self.features_).n_features_in_

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the columns of X, where it had them."""
        return (self.student_ if self.features_ is None else self.features_).feature_names_in_

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "student_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        teachers = [t for _, t in self._named_teachers() if isinstance(t, BaseEstimator)]
        tags.input_tags.sparse = all(get_tags(t).input_tags.sparse for t in teachers)
        return tags


def _decided(shares: Array) -> np.ndarray:
    """Code (n,) of the likeliest class of probabilities or their logarithms (n, K); at even odds class 1 of two."""
    return shares.argmax(axis=1) if shares.shape[1] > 2 else (shares[:, 1] >= shares[:, 0]).astype(int)


__all__ = ["DistilledClassifier"]
