"""How near a student is to its teacher: agreement, soft cross-entropy, divergence, Brier score, angle.

Teacher's answers come first, as scikit-learn's ``y_true`` does. They are probabilities P[class 1], (n,), or of each
class, (n, K), or the `limbeck.labels.SoftLabels` that a reader made of them; a student's logits are log-odds (n,) or
(n, K), for which log-probabilities will do.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr
from sklearn import config_context
from sklearn.metrics import make_scorer
from sklearn.utils.validation import check_consistent_length

from limbeck.labels import Array, SoftLabels, as_numbers, cross_entropy, from_probabilities
from limbeck.students._arrays import weights_of
from limbeck.students.tally import Tally
from limbeck.students.targets import by_name, column_names
from limbeck.theory import angle
from limbeck.theory.risk import Interval, wilson


def agreement(
    teacher_proba: ArrayLike | SoftLabels, student_proba: ArrayLike, *, sample_weight: Any = None
) -> float:
    """Share of rows on which student and teacher decide alike: 1 - transfer risk (Eq. 4).

    The decision is the likeliest class; at even odds class 1 of two, as in the paper, the first of more.

    Parameters
    ----------
    teacher_proba, student_proba : array_like, shape (n,) or (n, K)
        Probabilities of the same classes in the same order.
    sample_weight : array_like, shape (n,), optional

    Raises
    ------
    ValueError
        If something is no probability, naming the row, or the two know different numbers of classes.
    """
    teacher, student = _pair(teacher_proba, student_proba)
    return _mean(teacher.decisions == student.decisions, teacher, sample_weight)


def agreement_interval(
    teacher_proba: ArrayLike | SoftLabels, student_proba: ArrayLike, *, confidence: float = 0.95
) -> Interval:
    """`agreement` with Wilson's interval, for rows drawn at random that the student did not learn from.

    Parameters
    ----------
    teacher_proba, student_proba : array_like, shape (n,) or (n, K)
    confidence : float
        Of the interval, in (0, 1).
    """
    teacher, student = _pair(teacher_proba, student_proba)
    same = teacher.decisions == student.decisions
    low, high = wilson(np.count_nonzero(same), same.size, confidence)
    return Interval(float(same.mean()), float(low), float(high), confidence, int(same.size))


def tally(teacher_proba: ArrayLike | SoftLabels, student_proba: ArrayLike) -> Tally:
    """`agreement` by class, and beside a constant that always says the teacher's commonest class.

    A student of a rare class may agree on 99 % of the rows and have learned nothing: ``tally(p, q).gain`` and
    ``.by_class(code)`` tell.

    Parameters
    ----------
    teacher_proba, student_proba : array_like, shape (n,) or (n, K)
        Probabilities of the same classes in the same order.

    Raises
    ------
    ValueError
        If something is no probability, naming the row, or the two know different numbers of classes.
    """
    teacher, student = _pair(teacher_proba, student_proba)
    return Tally.of(teacher.decisions, student.decisions, teacher.n_classes, teacher.ties)


def soft_cross_entropy(
    teacher_proba: ArrayLike | SoftLabels, student_logits: ArrayLike, *, sample_weight: Any = None
) -> float:
    """Mean of -sum_k p_k log q_k, nats; p the teacher's probabilities, q the softmax of the student's logits.

    Parameters
    ----------
    teacher_proba : array_like, shape (n,) or (n, K)
    student_logits : array_like, shape (n,) or (n, K)
    sample_weight : array_like, shape (n,), optional
    """
    teacher = _read(teacher_proba)
    return _mean(
        cross_entropy(teacher, _logits(teacher, _matched(teacher_proba, student_logits))),
        teacher,
        sample_weight,
    )


def kl_divergence(
    teacher_proba: ArrayLike | SoftLabels, student_logits: ArrayLike, *, sample_weight: Any = None
) -> float:
    """Mean of KL(teacher || student) = sum_k p_k log(p_k / q_k), nats: soft cross-entropy less the teacher's entropy.

    Parameters are those of `soft_cross_entropy`.
    """
    teacher = _read(teacher_proba)
    each = cross_entropy(teacher, _logits(teacher, _matched(teacher_proba, student_logits))) - _entropy(
        teacher
    )
    return _mean(each, teacher, sample_weight)


def soft_brier(
    teacher_proba: ArrayLike | SoftLabels, student_proba: ArrayLike, *, sample_weight: Any = None
) -> float:
    """Mean of 1/2 sum_k (p_k - q_k)^2, in [0, 1]; (p - q)^2 of either class where there are two.

    With hard labels for p it is `sklearn.metrics.brier_score_loss(..., scale_by_half=True)`.
    """
    teacher, student = _pair(teacher_proba, student_proba)
    squares = np.square(teacher.probabilities - student.probabilities)
    each = squares if squares.ndim == 1 else squares.sum(axis=1) / 2
    return _mean(each, teacher, sample_weight)


def angle_to_teacher(student: Any, teacher: Any) -> float:
    """Angle (radians) between the weights of a student and of a known teacher (Eq. 28).

    Weights of K >= 3 classes are determined up to one vector added to all: they are centred and compared as one
    vector. Intercepts take no part.

    Parameters
    ----------
    student, teacher : estimator with ``coef_``, or array_like of shape (d,), (1, d) or (K, d)
    """
    u, v = (np.atleast_2d(np.asarray(getattr(w, "coef_", w), dtype=np.float64)) for w in (student, teacher))
    if u.shape != v.shape:
        raise ValueError(f"Weights of shapes {u.shape} and {v.shape} cannot be compared.")
    u, v = (w - w.mean(axis=0) if len(w) > 1 else w for w in (u, v))
    return float(angle(u.ravel(), v.ravel()))


# -- scorers ---------------------------------------------------------------------------------------


def scorer(name: Literal["agreement", "soft_cross_entropy", "kl_divergence", "soft_brier"]) -> Any:
    """Scorer that takes the teacher's answers from routed metadata ``teacher_proba``, greater being better.

    For `GridSearchCV`, `cross_validate` and the like with hard labels as y, under
    ``sklearn.config_context(enable_metadata_routing=True)``: pass ``params={"teacher_proba": P}`` (or
    ``fit(..., teacher_proba=P)``). Losses are negated. Columns are in the order of the student's ``classes_``.
    Cross-entropy and divergence read `decision_function` as logits, which it is for limbeck's students.

    Raises
    ------
    ValueError
        If the name is not known.
    """
    if name not in SCORED:
        raise ValueError(f"There is no scorer {name!r}: one of {list(SCORED)}.")
    function, response, better = SCORED[name]
    made = make_scorer(function, response_method=response, greater_is_better=better)
    with config_context(enable_metadata_routing=True):
        return made.set_score_request(teacher_proba=True)


def _scored_agreement(y: Any, student: Array, *, teacher_proba: ArrayLike) -> float:
    return agreement(teacher_proba, student)


def _scored_cross_entropy(y: Any, student: Array, *, teacher_proba: ArrayLike) -> float:
    return soft_cross_entropy(teacher_proba, student)


def _scored_divergence(y: Any, student: Array, *, teacher_proba: ArrayLike) -> float:
    return kl_divergence(teacher_proba, student)


def _scored_brier(y: Any, student: Array, *, teacher_proba: ArrayLike) -> float:
    return soft_brier(teacher_proba, student)


# Named functions, not partials: scorers travel to other processes.
SCORED = {
    "agreement": (_scored_agreement, "predict_proba", True),
    "soft_cross_entropy": (_scored_cross_entropy, "decision_function", False),
    "kl_divergence": (_scored_divergence, "decision_function", False),
    "soft_brier": (_scored_brier, "predict_proba", False),
}


# -- parts -----------------------------------------------------------------------------------------


def _pair(teacher_proba: ArrayLike | SoftLabels, student_proba: ArrayLike) -> tuple[SoftLabels, SoftLabels]:
    teacher, student = _read(teacher_proba), from_probabilities(_matched(teacher_proba, student_proba))
    check_consistent_length(teacher.probabilities, student.probabilities)
    if teacher.n_classes != student.n_classes:
        raise ValueError(f"The teacher knows {teacher.n_classes} classes, the student {student.n_classes}.")
    return teacher, student


def _matched(teacher: ArrayLike | SoftLabels, student: ArrayLike) -> ArrayLike:
    """The student's columns in the order of the teacher's, where the columns of both have names."""
    named = column_names(teacher)
    return student if named is None else by_name(student, named, "the student's answer")[0]


def _read(teacher: ArrayLike | SoftLabels) -> SoftLabels:
    return teacher if isinstance(teacher, SoftLabels) else from_probabilities(teacher)


def _logits(teacher: SoftLabels, student_logits: ArrayLike) -> Array:
    u = as_numbers(student_logits)
    if u.dtype.kind not in "fiub":
        raise ValueError(f"The student's logits must be real numbers, got dtype {u.dtype}.")
    u = u.astype(np.float64)
    if u.ndim == 2 and u.shape[1] == 2:
        u = u[:, 1] - u[:, 0]
    if u.shape != teacher.probabilities.shape:
        raise ValueError(
            f"The student's logits have shape {u.shape} where the teacher's answers have "
            f"{teacher.probabilities.shape}."
        )
    if np.isnan(u).any():
        raise ValueError(
            f"The student's logits of row {int(np.argwhere(np.isnan(u))[0, 0])} are not a number."
        )
    return u


def _entropy(labels: SoftLabels) -> Array:
    p = labels.probabilities
    return entr(p) + entr(1 - p) if p.ndim == 1 else entr(p).sum(axis=1)


def _mean(each: Array, teacher: SoftLabels, sample_weight: Any) -> float:
    if sample_weight is None:
        return float(np.mean(each))
    return float(np.average(each, weights=weights_of(sample_weight, teacher.probabilities)))
