import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, log_softmax, softmax
from scipy.stats import entropy
from sklearn import config_context
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from limbeck import SoftLabelClassifier
from limbeck.students import metrics
from limbeck.students.metrics import (
    SCORED,
    agreement,
    agreement_interval,
    angle_to_teacher,
    kl_divergence,
    scorer,
    soft_brier,
    soft_cross_entropy,
)
from limbeck.theory import held_out_risk
from limbeck.theory.risk import wilson

RNG = np.random.default_rng(0)
Z, U = 2 * RNG.standard_normal((2, 80, 4))
P, Q = softmax(Z, axis=1), softmax(U, axis=1)
S = RNG.random(80)


def test_agreement_is_1_less_the_transfer_risk():
    T = RNG.standard_normal((500, 5))
    w, w_star = RNG.standard_normal((2, 5))
    found = agreement(expit(T @ w_star), expit(T @ w))
    assert found == pytest.approx(1 - held_out_risk(T @ w, T @ w_star).estimate)
    assert agreement([0.5, 0.2], [0.7, 0.5]) == 0.5  # even odds are class 1


@given(st.lists(st.sampled_from([0.1, 0.3, 0.6, 0.9]), min_size=2, max_size=30))
def test_one_column_and_two_say_the_same(p):
    p = np.array(p)
    q = p[::-1]
    two = [np.column_stack([1 - a, a]) for a in (p, q)]
    for score in (agreement, soft_brier):
        assert score(p, q) == pytest.approx(score(*two))
    z = np.log(q) - np.log1p(-q)
    for score in (soft_cross_entropy, kl_divergence):
        assert score(p, z) == pytest.approx(score(two[0], np.log(two[1])), abs=1e-12)


def test_hard_teachers_give_scikit_learns_metrics():
    codes = P.argmax(axis=1)
    hard = np.eye(4)[codes]
    assert agreement(hard, Q) == accuracy_score(codes, Q.argmax(axis=1))
    assert soft_cross_entropy(hard, U, sample_weight=S) == pytest.approx(log_loss(codes, Q, sample_weight=S))
    assert kl_divergence(hard, U) == pytest.approx(log_loss(codes, Q))
    assert soft_brier(hard, Q) == pytest.approx(brier_score_loss(codes, Q, scale_by_half=True))


def test_divergence_is_scipys_and_of_the_teacher_from_the_student():
    assert kl_divergence(P, U) == pytest.approx(entropy(P, Q, axis=1).mean())
    assert kl_divergence(P, log_softmax(U, axis=1)) == pytest.approx(kl_divergence(P, U))
    assert kl_divergence(P, U + 100) == pytest.approx(kl_divergence(P, U))
    assert kl_divergence(P, Z) == pytest.approx(0, abs=1e-14)
    assert soft_cross_entropy(P, U) == pytest.approx(kl_divergence(P, U) + entropy(P, axis=1).mean())


def test_logits_that_round_to_probabilities_of_1_have_finite_losses():
    assert soft_cross_entropy([0.5], [800.0]) == pytest.approx(400)
    assert soft_cross_entropy([1.0], [800.0]) == 0


def test_weights_are_repetitions():
    counts = RNG.integers(0, 3, 80)
    rows = np.repeat(np.arange(80), counts)
    for name, student in ((agreement, Q), (soft_brier, Q), (soft_cross_entropy, U), (kl_divergence, U)):
        assert name(P, student, sample_weight=counts) == pytest.approx(name(P[rows], student[rows]))


def test_the_interval_is_wilsons():
    found = agreement_interval(P, Q, confidence=0.9)
    assert found.estimate == agreement(P, Q)
    assert (found.low, found.high) == tuple(map(float, wilson(round(80 * found.estimate), 80, 0.9)))


def test_angle_to_a_known_teacher():
    teacher = LogisticRegression().fit(U, P.argmax(axis=1))
    assert angle_to_teacher([1.0, 0.0], [[0.0, 2.0]]) == pytest.approx(np.pi / 2)
    assert angle_to_teacher(teacher, 3 * teacher.coef_ + RNG.standard_normal(4)) == pytest.approx(
        0, abs=1e-12
    )
    with pytest.raises(ValueError, match="cannot be compared"):
        angle_to_teacher(teacher, [1.0, 0.0])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: agreement(P, Q[:, :3] / Q[:, :3].sum(axis=1, keepdims=True)),
            "knows 4 classes, the student 3",
        ),
        (lambda: agreement(P, Q[:5]), "inconsistent numbers"),
        (lambda: agreement(P, U), "is not a probability"),
        (lambda: kl_divergence(P, U[:, :3]), r"shape \(80, 3\)"),
        (lambda: soft_cross_entropy([0.1, 0.2], [0.0, np.nan]), "row 1"),
        (lambda: scorer("accuracy"), "no scorer"),
    ],
)
def test_bad_input_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


# -- scorers -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[2, 3])
def routed(request):
    X, y = make_classification(
        150,
        6,
        n_informative=5,
        n_redundant=0,
        n_classes=request.param,
        n_clusters_per_class=1,
        random_state=0,
    )
    teacher = RandomForestClassifier(20, min_samples_leaf=5, random_state=0).fit(X, y)
    return X, np.array(["u", "v", "w"])[y], teacher.predict_proba(X)


def test_scorers_run_in_searches_with_hard_labels_and_routed_answers(routed):
    X, y, proba = routed
    names = sorted(set(y))
    with config_context(enable_metadata_routing=True):
        pipe = make_pipeline(StandardScaler(), SoftLabelClassifier(alpha=0.1, classes=names))
        scores = cross_validate(
            pipe,
            X,
            y,
            cv=3,
            scoring={name: scorer(name) for name in SCORED},
            params={"teacher_proba": proba},
            return_estimator=True,
            return_indices=True,
        )
        for i, (student, test) in enumerate(zip(scores["estimator"], scores["indices"]["test"], strict=True)):
            logits, soft = student.decision_function(X[test]), student.predict_proba(X[test])
            expected = {
                "agreement": agreement(proba[test], soft),
                "soft_cross_entropy": -soft_cross_entropy(proba[test], logits),
                "kl_divergence": -kl_divergence(proba[test], logits),
                "soft_brier": -soft_brier(proba[test], soft),
            }
            for name, value in expected.items():
                assert scores[f"test_{name}"][i] == pytest.approx(value)
        search = GridSearchCV(
            SoftLabelClassifier(classes=names),
            {"alpha": [1e-3, 1e3]},
            scoring=scorer("soft_cross_entropy"),
            cv=3,
        ).fit(X, y, teacher_proba=proba)
    assert search.best_params_ == {"alpha": 1e-3}
    assert search.best_score_ < 0


def test_scorers_travel_to_other_processes():
    import pickle

    again = pickle.loads(pickle.dumps(scorer("agreement")))
    assert again._score_func is metrics._scored_agreement
