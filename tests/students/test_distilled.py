import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from scipy.special import expit, log_softmax, logit, softmax
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from limbeck import DistilledClassifier, SoftLabelClassifier
from limbeck.students import _teachers
from limbeck.theory.risk import wilson


@parametrize_with_checks(
    [
        DistilledClassifier(LogisticRegression()),
        DistilledClassifier(
            [("a", LogisticRegression()), ("b", LogisticRegression(C=0.1))],
            student=SoftLabelClassifier(alpha=0.01),
            student_features=StandardScaler(with_mean=False),
            temperature=2.0,
        ),
    ]
)
def test_every_scikit_learn_check_passes(estimator, check):
    check(estimator)


def data(K=2, n=150, d=6, seed=0):
    X, y = make_classification(
        n, d, n_informative=d - 1, n_redundant=0, n_classes=K, n_clusters_per_class=1, random_state=seed
    )
    return X, y


class Says(ClassifierMixin, BaseEstimator):
    """A fitted teacher of probabilities softmax(X W), its classes in an order of their own."""

    def __init__(self, W=None, classes=(0, 1), margin=False):
        self.W, self.classes, self.margin = W, classes, margin
        self.classes_ = np.array(classes)

    def fit(self, X, y):
        raise AssertionError("a fitted teacher was fitted again")

    def __sklearn_is_fitted__(self):
        return True

    def predict_proba(self, X):
        return softmax(X @ self.W, axis=1)

    def decision_function(self, X):
        return 3 * X @ (self.W[:, 1] - self.W[:, 0])  # margins, and no log-odds


EXACT = SoftLabelClassifier(alpha=0)


@pytest.mark.parametrize("K", [2, 4])
@pytest.mark.parametrize("T", [1.0, 3.5])
def test_the_exact_student_of_a_linear_teacher_is_the_teacher_at_every_temperature(K, T):
    X, y = data(K)
    both = DistilledClassifier(LogisticRegression(), student=EXACT, temperature=T).fit(X, y)
    W = both.teacher_.coef_ if K == 2 else both.teacher_.coef_ - both.teacher_.coef_.mean(axis=0)
    np.testing.assert_allclose(both.student_.coef_, W, atol=1e-9)
    np.testing.assert_allclose(both.predict_proba(X), both.teacher_.predict_proba(X), atol=1e-9)
    np.testing.assert_allclose(both.teacher_log_proba(X), both.teacher_.predict_log_proba(X), atol=1e-9)
    assert both.linearity_.verdict == "linear"
    assert both.agreement_ is None
    assert both.score(X, y) == both.teacher_.score(X, y)


@pytest.mark.parametrize("K", [2, 3])
def test_temperature_scales_the_gradient_as_documented(K):
    X, y = data(K)
    T, ridge = 2.5, 0.02
    teacher = GaussianNB().fit(X, y)
    both = DistilledClassifier(teacher, student=SoftLabelClassifier(alpha=ridge), temperature=T).fit(X)
    u, z = both.predict_log_proba(X), teacher.predict_log_proba(X)
    # d/dw of mean T^2 CE(softmax(z / T), softmax(u / T)): the T of the chain rule leaves T^2 / T.
    gap = T * (softmax(u / T, axis=1) - softmax(z / T, axis=1))
    slope = gap.T @ X / len(X) + ridge * both.student_.coef_ if K > 2 else None
    if K == 2:
        slope = gap[:, 1] @ X / len(X) + ridge * both.student_.coef_[0]
    assert np.abs(slope).max() < 1e-8
    assert np.abs(gap.mean(axis=0)).max() < 1e-8
    warm = DistilledClassifier(teacher, student=SoftLabelClassifier(alpha=ridge)).fit(X)
    assert np.abs(warm.student_.coef_ - both.student_.coef_).max() > 1e-3  # T matters where alpha > 0


@pytest.mark.parametrize("combine", ["logits", "probabilities"])
def test_several_teachers_are_averaged_by_the_names_of_their_classes(combine):
    X, _ = data(3)
    rng = np.random.default_rng(0)
    W, V = rng.standard_normal((2, 6, 3))
    one, other = Says(W, ("a", "b", "c")), Says(V, ("c", "a", "b"))
    both = DistilledClassifier([("one", one), ("other", other)], student=EXACT, combine=combine).fit(X)
    P, Q = one.predict_proba(X), other.predict_proba(X)[:, [1, 2, 0]]
    mean = (P + Q) / 2 if combine == "probabilities" else softmax((np.log(P) + np.log(Q)) / 2, axis=1)
    np.testing.assert_allclose(np.exp(both.teacher_log_proba(X)), mean, atol=1e-12)
    assert both.classes_.tolist() == ["a", "b", "c"]
    assert list(both.teachers_) == ["one", "other"]
    assert not hasattr(both, "teacher_")
    if combine == "logits":  # the mean of linear teachers is linear
        np.testing.assert_allclose(both.predict_proba(X), mean, atol=1e-9)


def test_named_teachers_have_parameters():
    both = DistilledClassifier([("a", LogisticRegression()), ("b", GaussianNB())], student=clone(EXACT))
    both.set_params(a__C=3.0, b=GaussianNB(var_smoothing=0.1), student__alpha=0.5)
    names = both.get_params()
    assert (names["a__C"], names["b__var_smoothing"], names["student__alpha"]) == (3.0, 0.1, 0.5)
    single = DistilledClassifier(LogisticRegression()).set_params(teacher__C=2.0)
    assert single.get_params()["teacher__C"] == 2.0
    assert clone(both).get_params()["a__C"] == 3.0


@pytest.mark.parametrize(
    ("teacher", "kind"),
    [
        (LogisticRegression(), "logits"),
        (GaussianNB(), "log_probabilities"),
        (DecisionTreeClassifier(max_depth=3), "log_probabilities"),
        (Says(np.ones((6, 2)) * [[0.1, -0.2]]), "probabilities"),
    ],
)
def test_a_decision_function_is_a_logit_only_where_its_softmax_is_the_probability(teacher, kind):
    X, y = data()
    ready = _teachers.ready(teacher, X, y)
    assert _teachers.kind_of(ready, "auto", X) == kind
    DistilledClassifier(ready, student=SoftLabelClassifier(alpha=0.1)).fit(X)


def test_a_margin_must_be_asked_for():
    X, y = data()
    machine = LinearSVC().fit(X, y)
    with pytest.raises(ValueError, match="a margin, as of a support vector machine, is not"):
        DistilledClassifier(machine).fit(X)
    asked = DistilledClassifier(machine, student=EXACT, answers="logits").fit(X)
    np.testing.assert_allclose(asked.decision_function(X), machine.decision_function(X), atol=1e-9)
    with pytest.raises(ValueError, match="for predict_proba, which it lacks"):
        DistilledClassifier(machine, answers="probabilities").fit(X)


def test_logits_beyond_what_probabilities_hold():
    X, _ = data()
    teacher = LogisticRegression().fit(X, X[:, 0] > 0)
    teacher.coef_ = teacher.coef_ * 100  # logits of hundreds: probabilities of exactly 0 and 1
    assert (teacher.predict_proba(X) == 1).any()
    both = DistilledClassifier(teacher, student=EXACT).fit(X)
    np.testing.assert_allclose(both.student_.coef_, teacher.coef_, rtol=1e-9)


@pytest.mark.parametrize("columns", ["one", "all"])
@pytest.mark.parametrize("kind", ["logits", "log_probabilities", "probabilities"])
def test_functions_of_X_teach(kind, columns):
    X, _ = data()
    w = np.linspace(-1, 1, 6)

    def teacher(X):
        z = np.column_stack([0 * X[:, 0], X @ w])
        logs = log_softmax(z, axis=1)
        answers = {"logits": z, "log_probabilities": logs, "probabilities": np.exp(logs)}[kind]
        return answers if columns == "all" else answers[:, 1]

    both = DistilledClassifier(teacher, student=EXACT, answers=kind, classes=["no", "yes"]).fit(X)
    np.testing.assert_allclose(both.student_.coef_[0], w, atol=1e-10)
    assert set(both.predict(X)) == {"no", "yes"}


def test_a_fitted_teacher_is_used_as_it_is_and_another_left_alone():
    X, y = data()
    teacher = LogisticRegression().fit(X[:50], y[:50])
    before = teacher.coef_.copy()
    both = DistilledClassifier(teacher).fit(X, y)
    assert both.teacher_ is teacher
    np.testing.assert_array_equal(teacher.coef_, before)
    fresh = LogisticRegression()
    DistilledClassifier(fresh).fit(X, y)
    assert not hasattr(fresh, "coef_")
    with pytest.raises(ValueError, match=r"requires y to be passed.*FrozenEstimator"):
        clone(both).fit(X)
    frozen = DistilledClassifier(FrozenEstimator(teacher), student=EXACT)
    assert clone(frozen).fit(X).teacher_.estimator is teacher
    scores = cross_validate(frozen, X, y, cv=3, return_estimator=True)
    for fitted in scores["estimator"]:
        np.testing.assert_allclose(fitted.student_.coef_, before, atol=1e-8)
    search = GridSearchCV(frozen, {"student__alpha": [0.0, 10.0]}, cv=3).fit(X, y)
    assert search.best_params_ == {"student__alpha": 0.0}


def test_other_rows_and_other_features():
    texts = [f"{'good fine' if i % 3 else 'bad poor'} thing number {i % 7}" for i in range(60)]

    def teacher(texts):  # reads text; the student never sees it as the teacher does
        return np.array([0.9 if "good" in text else 0.15 for text in texts])

    both = DistilledClassifier(
        teacher,
        student=SoftLabelClassifier(alpha=0.001),
        student_features=TfidfVectorizer(),
        hold_out=20,
        random_state=0,
    ).fit(texts)
    assert both.agreement_.estimate == 1
    assert both.predict(["a good one", "a bad one"]).tolist() == [1, 0]
    other = DistilledClassifier(
        teacher,
        student=SoftLabelClassifier(alpha=0.001),
        student_features=TfidfVectorizer(),
        transfer_set=texts[:30],
    ).fit(texts)
    direct = SoftLabelClassifier(alpha=0.001).fit(
        TfidfVectorizer().fit_transform(texts[:30]), teacher(texts[:30])
    )
    np.testing.assert_allclose(other.student_.coef_, direct.coef_, atol=1e-9)


@pytest.mark.parametrize("columns", [["b", "d"], "b", [1, 3], 3, slice("b", "c")])
def test_the_student_may_see_some_columns(columns):
    X, y = data()
    table = pd.DataFrame(X, columns=list("abcdef"))
    both = DistilledClassifier(GaussianNB(), student_features=columns).fit(table, y)
    rows = {"b": [1], 3: [3]}.get(columns if not isinstance(columns, (list, slice)) else 0, [1, 3])
    rows = [1, 2] if isinstance(columns, slice) else rows
    assert both.student_.n_features_in_ == len(rows)
    assert both.feature_names_in_.tolist() == list("abcdef")
    direct = SoftLabelClassifier().fit(X[:, rows], teacher_logits=both.teacher_log_proba(table))
    np.testing.assert_allclose(both.predict_proba(table), direct.predict_proba(X[:, rows]), atol=1e-9)
    np.testing.assert_allclose(both.to_sklearn().predict_proba(table), both.predict_proba(table), atol=1e-12)


def test_sparse_rows_stay_sparse():
    X, y = data()
    sparse = csr_array(X * (np.abs(X) > 0.5))
    seen = []

    class Student(SoftLabelClassifier):
        def fit(self, X, y=None, *, teacher_proba=None, teacher_logits=None):
            seen.append(X)
            return super().fit(X, y, teacher_proba=teacher_proba, teacher_logits=teacher_logits)

    DistilledClassifier(
        LogisticRegression(),
        student=Student(alpha=0.1),
        student_features=[0, 2],
        hold_out=0.3,
        random_state=0,
    ).fit(sparse, y)
    assert seen[0].format == "csr"
    assert seen[0].shape == (105, 2)


def test_agreement_is_counted_on_rows_not_learned_from():
    X, y = data(n=300)
    forest = RandomForestClassifier(30, random_state=0).fit(X[:100], y[:100])
    both = DistilledClassifier(forest, hold_out=0.4, random_state=3).fit(X)
    held = np.sort(np.random.RandomState(3).permutation(300)[:120])
    rest = np.setdiff1d(np.arange(300), held)
    with np.errstate(divide="ignore"):
        direct = SoftLabelClassifier().fit(X[rest], teacher_logits=np.log(forest.predict_proba(X[rest])))
    np.testing.assert_allclose(both.student_.coef_, direct.coef_, atol=1e-9)
    same = direct.predict(X[held]) == (forest.predict_proba(X[held])[:, 1] >= 0.5)
    assert (both.agreement_.size, both.agreement_.estimate) == (120, same.mean())
    assert (both.agreement_.low, both.agreement_.high) == tuple(map(float, wilson(same.sum(), 120)))


def test_the_precision_of_answers_is_what_they_came_in():
    X, y = data(n=200)
    # 100 trees answer in hundredths; that is no rounding to two decimals, and the forest is not linear.
    forest = RandomForestClassifier(100, max_features=1, bootstrap=False, random_state=0).fit(X, y)
    rng = np.random.default_rng(0)
    judged = DistilledClassifier(forest).fit(X + 0.5 * rng.standard_normal(X.shape)).linearity_
    assert judged.verdict == "not linear"
    assert judged.explained < 1e-12
    short = DistilledClassifier(lambda X: expit(8 * X[:, 0]).astype(np.float32)).fit(X)
    assert short.linearity_.verdict == "linear"
    assert short.linearity_.explained > 1e-7


def test_saturated_answers_are_kept_without_a_warning():
    X, y = data()
    tree = DecisionTreeClassifier().fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        both = DistilledClassifier(tree).fit(X)
    assert both.student_.n_saturated_ == 150
    assert both.score(X, y) > 0.8
    with pytest.raises(ValueError, match="hold a probability of 0 or 1"):
        DistilledClassifier(lambda X: np.where(X[:, 0] > 0, 1.0, 0.3), student=EXACT).fit(X)


def no_class_left(X):
    return np.tile([1.0, 0.0, 0.0], (len(X), 1))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"temperature": 0}, "temperature must be"),
        ({"temperature": "hot"}, "temperature must be"),
        ({"combine": "votes"}, "combine must be"),
        ({"answers": "labels"}, "answers must be"),
        ({"hold_out": 1.0}, "leaves 150 of 150 rows"),
        ({"hold_out": 0}, "leaves 0 of 150 rows"),
        ({"hold_out": "some"}, "hold_out must be"),
        ({"student": LogisticRegression()}, "does not learn from teacher_logits"),
        ({"teacher": object()}, "nothing soft to learn from"),
        ({"teacher": lambda X: X[:3, 0]}, "gave 3 answers for 150 rows"),
        ({"teacher": lambda X: X[:, 0]}, "is not a probability"),
        ({"teacher": lambda X: np.full((len(X), 3), 0.2)}, "Row 0 of the probabilities sums to 0.6"),
        ({"teacher": lambda X: np.full(len(X), np.nan)}, "not a number"),
        ({"teacher": lambda X: np.full(len(X), 0.5), "classes": ["a"]}, "name each once"),
        ({"teacher": [LogisticRegression()]}, "list of"),
        ({"teacher": [("a", GaussianNB()), ("a", GaussianNB())]}, "not unique"),
        (
            {"teacher": [("a", no_class_left), ("b", lambda X: no_class_left(X)[:, ::-1])]},
            "Row 0: each class has",
        ),
        ({"teacher": [("a", GaussianNB()), ("b", Says(np.ones((6, 2)), ("x", "y")))]}, "know other classes"),
    ],
)
def test_bad_input_is_refused(given, said):
    X, y = data()
    with pytest.raises(ValueError, match=said):
        DistilledClassifier(**{"teacher": GaussianNB(), **given}).fit(X, y)


def test_binary_log_odds_of_one_column_keep_their_sign():
    X, _ = data()
    p = expit(X[:, 0])
    both = DistilledClassifier(lambda X: expit(X[:, 0]), student=EXACT).fit(X)
    np.testing.assert_allclose(both.decision_function(X), logit(p), atol=1e-10)


def refit(X, y, weight, student_weight, kept=slice(None)):
    """Teacher and student, fitted one after the other."""
    teacher = LogisticRegression().fit(X, y, sample_weight=weight)
    z = teacher.decision_function(X[kept])
    said = np.column_stack([-np.logaddexp(0, z), -np.logaddexp(0, -z)])
    return teacher, SoftLabelClassifier(0.01).fit(X[kept], teacher_logits=said, sample_weight=student_weight)


def test_sample_weight_reaches_teacher_and_student():
    X, y = data()
    weight = np.random.default_rng(0).uniform(0.1, 1, len(X))
    both = DistilledClassifier(LogisticRegression(), student=SoftLabelClassifier(0.01))
    teacher, student = refit(X, y, weight, weight)
    both.fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(both.teacher_.coef_, teacher.coef_)
    np.testing.assert_allclose(both.student_.coef_, student.coef_, rtol=1e-9)
    plain = clone(both).fit(X, y, sample_weight=None)
    np.testing.assert_array_equal(plain.student_.coef_, clone(both).fit(X, y).student_.coef_)
    # Weights are of the rows of X: those held out take theirs with them, and another set has none.
    held = clone(both).set_params(hold_out=0.3, random_state=1).fit(X, y, sample_weight=weight)
    kept, _ = held._split(len(X))
    _, student = refit(X, y, weight, weight[kept], kept)
    np.testing.assert_allclose(held.student_.coef_, student.coef_, rtol=1e-9)
    moved = clone(both).set_params(transfer_set=X[:60]).fit(X, y, sample_weight=weight)
    _, student = refit(X, y, weight, None, slice(60))
    np.testing.assert_allclose(moved.student_.coef_, student.coef_, rtol=1e-9)


@pytest.mark.parametrize("to", ["teacher", "student", "both"])
def test_metadata_are_routed_to_whoever_asks(to):
    X, y = data()
    weight = np.random.default_rng(0).uniform(0.1, 1, len(X))
    with config_context(enable_metadata_routing=True):
        both = DistilledClassifier(
            LogisticRegression().set_fit_request(sample_weight=to != "student"),
            student=SoftLabelClassifier(0.01).set_fit_request(sample_weight=to != "teacher"),
        )
        both.fit(X, y, sample_weight=weight)
        teacher, student = refit(X, y, *(None if to == other else weight for other in ("student", "teacher")))
        np.testing.assert_array_equal(both.teacher_.coef_, teacher.coef_)
        np.testing.assert_allclose(both.student_.coef_, student.coef_, rtol=1e-9)
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            DistilledClassifier(LogisticRegression()).fit(X, y, sample_weight=weight)
        with pytest.raises(TypeError, match="groups"):
            both.fit(X, y, groups=weight)
        fitted = DistilledClassifier(LogisticRegression().fit(X, y)).fit(
            X, sample_weight=weight
        )  # default student
        again = DistilledClassifier(LogisticRegression().fit(X, y))
        with config_context(enable_metadata_routing=False):
            again.fit(X, sample_weight=weight)
        np.testing.assert_array_equal(fitted.student_.coef_, again.student_.coef_)
        both.set_score_request(sample_weight=True)  # which scikit-learn 1.7 wants to be told
        search = GridSearchCV(both, {"student__alpha": [0.01, 1.0]}, cv=3).fit(X, y, sample_weight=weight)
        assert search.best_params_["student__alpha"] == 0.01
        if to != "teacher":
            with pytest.raises(ValueError, match="it learns from transfer_set"):
                both.set_params(transfer_set=X[:60]).fit(X, y, sample_weight=weight)


def test_rows_and_weights_are_looked_at_before_the_teacher_is_asked():
    X, y = data()

    def teacher(rows):
        raise AssertionError("the teacher was asked")

    bad = X.copy()
    bad[7, 2] = np.nan
    cases = [
        ({}, bad, {}, "row 7, column 2"),
        ({"transfer_set": bad}, X, {}, "row 7, column 2"),
        ({"student_features": [2]}, bad, {}, "row 7, column 0"),
        ({}, X[0], {}, "2D array"),
        ({}, X, {"y": y[:9]}, "inconsistent numbers of samples"),
        ({"hold_out": 1.5}, X, {}, "some must be held out"),
        ({"student": LogisticRegression()}, X, {}, "does not learn from teacher_logits"),
        ({}, X, {"sample_weight": -np.ones(len(X))}, "[Nn]egative"),
        ({}, X, {"sample_weight": np.ones(9)}, "sample_weight.shape"),
    ]
    for given, rows, params, said in cases:
        with pytest.raises(ValueError, match=said):
            DistilledClassifier(teacher, **given).fit(rows, **params)
    with pytest.raises(ValueError, match="teacher, KNeighborsClassifier, does not take sample_weight"):
        DistilledClassifier(KNeighborsClassifier()).fit(X, y, sample_weight=np.ones(len(X)))
    with pytest.raises(TypeError, match=r"\['groups'\].*enable_metadata_routing"):
        DistilledClassifier(LogisticRegression()).fit(X, y, groups=y)


@pytest.mark.parametrize("n", [4, 100])
def test_a_students_proofs_are_in_the_teachers_units_at_every_temperature(n):
    rng = np.random.default_rng(0)
    X, w = rng.standard_normal((n, 6)), rng.standard_normal(6)

    def teacher(rows):
        return rows @ w

    T = rng.standard_normal((300, 6))
    bounds = []
    for temperature in (1.0, 4.0):
        student = SoftLabelClassifier(alpha=0, fit_intercept=False)
        both = DistilledClassifier(teacher, student=student, answers="logits", temperature=temperature).fit(X)
        bounds.append(both.student_.certify(T, teacher_norm=5.0).largest_bound)
    np.testing.assert_allclose(bounds[1], bounds[0], rtol=1e-9)


@pytest.mark.parametrize("rounded", [lambda p: p.astype(np.float16), lambda p: np.round(p, 3)])
def test_answers_that_are_taken_to_learn_from_are_taken_to_rate_by(rounded):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 4))
    W = rng.standard_normal((4, 3))
    # The rows of shares rounded to 3 decimals sum to 1 within a thousandth only.
    student = DistilledClassifier(lambda X: rounded(softmax(X @ W, axis=1)), hold_out=40, random_state=0).fit(
        X
    )
    assert student.agreement_.size == 40
    assert student.agreement_.estimate > 0.9


def test_a_class_that_is_no_estimator_is_taken_as_fitted():
    class Own:
        def fit(self, X, y):
            raise AssertionError("never called")

        def predict_proba(self, X):
            p = expit(X[:, 0])
            return np.column_stack([1 - p, p])

    X = np.random.default_rng(0).standard_normal((60, 3))
    assert DistilledClassifier(Own()).fit(X).predict(X).tolist() == (X[:, 0] >= 0).astype(int).tolist()


def test_without_labels_it_is_scored_by_agreement_with_its_teacher_and_temperatures_can_be_searched():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 4))
    W = rng.standard_normal((4, 3))
    student = DistilledClassifier(lambda X: softmax(np.tanh(X) @ W, axis=1)).fit(X)
    assert student.score(X) == np.mean(student.predict(X) == (np.tanh(X) @ W).argmax(axis=1))
    search = GridSearchCV(student, {"temperature": [1.0, 2.0]}, cv=3).fit(X)
    assert np.all(np.isfinite(search.cv_results_["mean_test_score"]))
