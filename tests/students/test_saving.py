import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax

import limbeck
from limbeck import SoftLabelClassifier, load, save
from limbeck.records import UserError
from limbeck.students import read, saving

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 7))
Z = X @ RNG.standard_normal((7, 4)) + 0.3 * RNG.standard_normal((60, 4))


def fitted(K=2, dtype=np.float64, **given):
    answers = expit(Z[:, 0]) if K == 2 else softmax(Z[:, :K], axis=1)
    return SoftLabelClassifier(**given).fit(X.astype(dtype), answers)


def saved(tmp_path, student, **given):
    save(student, tmp_path / "student.json", **given)
    return tmp_path / "student.json"


def forged(path, change):
    """Edit the content and give it the digest of the edited content."""
    content = json.loads(path.read_text())
    content.pop("digest")
    change(content)
    text = json.dumps({**content, "digest": saving._digest(content)})
    path.write_text(text)
    return path


@pytest.mark.parametrize("K", [2, 4])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("alpha", ["loo", 0, 0.1])
def test_a_student_comes_back_bit_for_bit(tmp_path, K, dtype, alpha):
    student = fitted(K, dtype, alpha=alpha)
    again = load(saved(tmp_path, student))
    for points in (X, X.astype(np.float32), X[:1]):
        for answer in ("decision_function", "predict_proba", "predict_log_proba", "predict"):
            np.testing.assert_array_equal(getattr(again, answer)(points), getattr(student, answer)(points))
    assert again.coef_.dtype == dtype
    assert again.get_params() == student.get_params()
    assert again.alpha_ == student.alpha_
    assert again.linearity_ == student.linearity_
    assert (again.n_saturated_, again.n_iter_) == (student.n_saturated_, student.n_iter_)
    assert (again.realisable_, again.gradient_) == (student.realisable_, student.gradient_)
    assert again.n_features_in_ == 7


@pytest.mark.parametrize(
    "names",
    [
        ["née", "no\n"],
        np.array(["x", "a"], dtype=object),
        [3, -1],
        np.array([250, 3], dtype=np.uint8),
        [False, True],
        [-2.0, 1e9],
        np.array([2, 3], dtype=np.float32),
    ],
)
def test_classes_keep_their_names_and_their_type(tmp_path, names):
    student = fitted(classes=names)
    again = load(saved(tmp_path, student))
    assert again.classes_.dtype == student.classes_.dtype
    np.testing.assert_array_equal(again.predict(X), student.predict(X))
    hard = SoftLabelClassifier(alpha=0.1).fit(X, np.asarray(names)[(Z[:, 0] > 0).astype(int)])
    again = load(saved(tmp_path, hard))
    assert again.classes_.dtype == hard.classes_.dtype
    np.testing.assert_array_equal(again.predict(X), hard.predict(X))


def test_unknown_figures_and_feature_names_come_back(tmp_path):
    table = pd.DataFrame(X, columns=[f"f{i}" for i in range(7)])
    student = SoftLabelClassifier(stop_time=2.0).fit(table[:6], expit(Z[:6, 0]))
    again = load(saved(tmp_path, student))
    assert math.isnan(again.alpha_)
    assert again.linearity_.verdict == "cannot tell yet"
    assert math.isnan(again.linearity_.residual)
    assert again.feature_names_in_.tolist() == list(table.columns)
    np.testing.assert_array_equal(again.predict_proba(table), student.predict_proba(table))
    with pytest.raises(ValueError, match="feature names should match"):
        again.predict(table[table.columns[::-1]])
    assert json.loads((tmp_path / "student.json").read_text())["student"]["alpha"] is None


def test_partially_fitted_students_have_no_verdict_and_can_be_saved(tmp_path):
    student = SoftLabelClassifier(alpha=0).partial_fit(X[:4], expit(Z[:4, 0]))
    again = load(saved(tmp_path, student))
    np.testing.assert_array_equal(again.predict_proba(X), student.predict_proba(X))
    assert again.linearity_.verdict == student.linearity_.verdict == "cannot tell yet"
    with pytest.raises(ValueError, match="comes from a file"):
        again.partial_fit(X[4:6], expit(Z[4:6, 0]))


def test_provenance_and_features_are_handed_back_as_they_are(tmp_path):
    provenance = {
        "teacher": "forêt",
        "rows": 60,
        "ok": True,
        "risk": 0.1,
        "none": None,
        "list": [1, [2.5, "x"]],
    }
    features = {"columns": ["a", "b"], "text": {"idf": [1.0, 2.0]}}
    found = read(saved(tmp_path, fitted(), provenance=provenance, features=features))
    assert found.provenance == provenance
    assert found.features == features
    assert found.written_by == limbeck.__version__
    assert len(found.digest) == 64
    assert read(saved(tmp_path, fitted())).provenance == {}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": {"b": (1, 2)}}, r"provenance\.a\.b is \(1, 2\) \(tuple\)"),
        ({"a": [math.nan]}, r"provenance\.a\[0\] is nan"),
        ({"a": np.int64(3)}, r"provenance\.a"),
        ({3: "x"}, "provenance is"),
        ([1], "provenance is"),
        ({"a": "\ud800"}, "half a character"),
    ],
)
def test_what_json_cannot_hold_is_refused_and_nothing_written(tmp_path, value, said):
    with pytest.raises(UserError, match=said):
        save(fitted(), tmp_path / "student.json", provenance=value)
    assert list(tmp_path.iterdir()) == []


def test_only_fitted_students_with_plain_parts_are_saved(tmp_path):
    with pytest.raises(UserError, match="got dict"):
        save({}, tmp_path / "s.json")
    with pytest.raises(ValueError, match="not fitted"):
        save(SoftLabelClassifier(), tmp_path / "s.json")
    student = fitted()
    student.classes_ = np.array([(1, 2), "a"], dtype=object)
    with pytest.raises(UserError, match="Classes of type object"):
        save(student, tmp_path / "s.json")
    with pytest.raises(UserError, match="alpha=inf"):
        save(fitted().set_params(alpha=np.inf), tmp_path / "s.json")
    numpy_scalars = fitted().set_params(alpha=np.float64(0.1), fit_intercept=np.True_)
    assert load(saved(tmp_path, numpy_scalars)).get_params()["fit_intercept"] is True


def test_an_edited_file_is_recognised_and_a_reformatted_one_is_not(tmp_path):
    path = saved(tmp_path, fitted())
    content = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(content.items())), indent=3))
    load(path)
    content["student"]["intercept"][0] += 1e-12
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="edited after it was saved"):
        load(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(version=2), "newer version of limbeck.*upgrade"),
        (lambda c: c.update(kind="kernel"), "newer version of limbeck.*upgrade"),
        (lambda c: c.update(version="1"), "never existed"),
        (lambda c: c.update(format="other"), "not a student of limbeck"),
        (lambda c: c.pop("student"), "'student' is missing"),
        (lambda c: c["student"]["weights"].append([0.0] * 7), r"\(1, d\)"),
        (lambda c: c["student"]["weights"][0].append("1"), "not all numbers"),
        (lambda c: c["student"].update(weights=[[]]), "classes"),
        (lambda c: c["student"].update(weights=[[1.0, [2.0]]]), "not all numbers"),
        (lambda c: c["student"].update(weights=3), "not a student"),
        (lambda c: c["student"].update(intercept=[0.0, 0.0]), r"\(1,\)"),
        (lambda c: c["student"].update(dtype="object"), "weights of type"),
        (lambda c: c["student"].update(feature_names=["a"]), "1 feature names for 7"),
        (lambda c: c["student"]["classes"].update(values=[0, 0]), "different names"),
        (lambda c: c["student"]["classes"].update(values=[0, True]), "different names"),
        (lambda c: c["student"]["classes"].update(dtype="uint8", values=[0, 300]), "not a student"),
        (lambda c: c["student"]["classes"].update(dtype="datetime64"), "datetime"),
        (lambda c: c["student"]["parameters"].update(alpha=-1), "alpha must be"),
        (lambda c: c["student"]["parameters"].update(beta=1), "upgrade"),
        (lambda c: c["student"].update(alpha="much"), "not a number"),
        (lambda c: c.update(provenance=[1]), "provenance is"),
    ],
)
def test_a_file_that_cannot_be_a_student_is_refused_whatever_its_digest(tmp_path, change, said):
    with pytest.raises(UserError, match=said):
        load(forged(saved(tmp_path, fitted()), change))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a student's JSON"),
        (b"[1, 2]", "not a student's JSON"),
        (b"{", "not a student's JSON"),
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": 1e999}', "Out of range"),
        (b"[" * 100_000, "RecursionError"),
        (b'{"a": ' * 900 + b"1" + b"}" * 900, "student"),
        (b'{"a": "\xff"}', "not a student's JSON"),
        (pickle.dumps({"a": 1}), "a pickle or another binary file"),
        (b"PK\x03\x04\xff", "a pickle or another binary file"),
        (b'{"a": "\\ud800"}', "not a student of limbeck"),
    ],
)
def test_whatever_else_a_file_may_be(tmp_path, data, said):
    path = tmp_path / "student.json"
    path.write_bytes(data)
    with pytest.raises(UserError, match=said):
        load(path)


def test_missing_and_large_files(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="No such file"):
        load(tmp_path / "none.json")
    path = saved(tmp_path, fitted())
    monkeypatch.setattr(saving, "LARGEST_MIB", 1e-4)
    with pytest.raises(UserError, match="would take"):
        save(fitted(), tmp_path / "other.json")
    monkeypatch.setattr(saving, "LARGEST_MIB", 0)
    with pytest.raises(UserError, match="larger than"):
        load(path)
