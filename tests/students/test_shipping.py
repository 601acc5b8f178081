"""Out of this process: skops, ONNX, and the example that does it all."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import skops.io
from scipy.special import expit, softmax
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from limbeck import DistilledClassifier, SoftLabelClassifier

RNG = np.random.default_rng(0)
X = 3 * RNG.standard_normal((200, 8)) + 1
Z = X @ RNG.standard_normal((8, 5)) + RNG.standard_normal((200, 5))


def student(K, names):
    answers = expit(Z[:, 0]) if K == 2 else softmax(Z[:, :K], axis=1)
    return SoftLabelClassifier(alpha=0.01, classes=names[:K]).fit(X, answers)


def run(model, points):
    session = onnxruntime.InferenceSession(
        to_onnx(model, points[:1], options={"zipmap": False}).SerializeToString(),
        providers=["CPUExecutionProvider"],
    )
    return session.run(None, {"X": points})


@pytest.mark.parametrize("K", [2, 5])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("names", [["a", "b", "c", "d", "e"], [3, 1, 7, 5, 9]])
def test_onnx_says_the_same_to_a_millionth(K, dtype, names):
    fitted = student(K, names)
    points = X.astype(dtype)
    labels, proba = run(fitted.to_sklearn(), points)
    np.testing.assert_allclose(proba, fitted.predict_proba(points), atol=1e-6)
    np.testing.assert_array_equal(labels, fitted.predict(points))


def test_onnx_takes_the_features_along():
    both = DistilledClassifier(LogisticRegression(), student_features=StandardScaler())
    both.fit(X, Z[:, :3].argmax(axis=1))
    labels, proba = run(both.to_sklearn(), X)
    np.testing.assert_allclose(proba, both.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(labels, both.predict(X))


@pytest.mark.parametrize("K", [2, 5])
def test_skops_round_trip(K):
    fitted = student(K, ["a", "b", "c", "d", "e"])
    data = skops.io.dumps(fitted)
    unknown = skops.io.get_untrusted_types(data=data)
    assert all(name.startswith("limbeck.") for name in unknown)
    again = skops.io.loads(data, trusted=unknown)
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert again.linearity_ == fitted.linearity_
    plain = skops.io.dumps(fitted.to_sklearn())
    assert skops.io.get_untrusted_types(data=plain) == []
    np.testing.assert_allclose(skops.io.loads(plain).predict_proba(X), fitted.predict_proba(X), atol=1e-14)


def test_skops_takes_teacher_and_student():
    both = DistilledClassifier(LogisticRegression(), student_features=StandardScaler()).fit(X, Z[:, 0] > 0)
    data = skops.io.dumps(both)
    unknown = skops.io.get_untrusted_types(data=data)
    assert all(name.startswith("limbeck.") for name in unknown)
    again = skops.io.loads(data, trusted=unknown)
    np.testing.assert_array_equal(again.predict_proba(X), both.predict_proba(X))
    np.testing.assert_array_equal(again.teacher_log_proba(X), both.teacher_log_proba(X))


def test_the_example_ships_one_student_three_times(tmp_path, capsys):
    path = Path(__file__).parents[2] / "examples" / "ship_a_student.py"
    spec = importlib.util.spec_from_file_location("ship_a_student", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    example.main(tmp_path)
    said = capsys.readouterr().out
    agreed, low, high = (
        float(x) for x in re.search(r"on ([\d.]+)%.*interval ([\d.]+)% to ([\d.]+)%", said).groups()
    )
    assert 85 < low < agreed < high <= 100
    apart = [float(x) for x in re.findall(r"at most (\S+) from", said)]
    assert len(apart) == 3
    assert max(apart) < 1e-6
