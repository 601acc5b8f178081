"""scikit-learn dispatches only where SciPy was imported with SCIPY_ARRAY_API=1: a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import array_api_strict as xp
import numpy as np
import pytest
from scipy.special import softmax
from sklearn import config_context

from limbeck import SoftLabelClassifier


def answers(K):
    rng = np.random.default_rng(K)
    X = rng.standard_normal((60, 5))
    return X, softmax(2 * rng.standard_normal((60, K)), axis=1)


def test_without_dispatch_they_are_read_as_numpy_arrays():
    X, P = answers(3)
    student = SoftLabelClassifier().fit(xp.asarray(X), xp.asarray(P))
    np.testing.assert_array_equal(student.coef_, SoftLabelClassifier().fit(X, P).coef_)
    assert isinstance(student.predict(xp.asarray(X)), np.ndarray)


def test_with_dispatch_they_are_answered_in_kind():
    env = {**os.environ, "SCIPY_ARRAY_API": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(Path(__file__))], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_without_dispatch_short_floats_stay_short():
    X, P = answers(3)
    assert SoftLabelClassifier().fit(xp.asarray(X.astype(np.float32)), P).coef_.dtype == np.float32


def test_a_tensor_that_numpy_cannot_read_is_refused_with_what_to_do():
    class Tensor:
        """As torch's, with a gradient."""

        shape, dtype, ndim = (60, 5), "torch.float32", 2

        def __dlpack__(self):
            raise AssertionError

        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

    with pytest.raises(ValueError, match=r"torch.float32 and shape \(60, 5\).*requires grad.*\.detach\(\)"):
        SoftLabelClassifier().fit(Tensor(), answers(3)[1])


def dispatched(K):
    X, P = answers(K)
    plain, strict_X, strict_P = SoftLabelClassifier().fit(X, P), xp.asarray(X), xp.asarray(P)
    with config_context(array_api_dispatch=True):
        student = SoftLabelClassifier().fit(strict_X, strict_P)
        np.testing.assert_array_equal(student.coef_, plain.coef_)
        for method in ("decision_function", "predict_proba", "predict_log_proba", "predict"):
            answer = getattr(student, method)(strict_X)
            assert type(answer) is type(strict_X)
            np.testing.assert_array_equal(np.asarray(answer), getattr(plain, method)(X))
        assert student.score(strict_X, strict_P) == plain.score(X, P)
        short = SoftLabelClassifier().fit(xp.asarray(X, dtype=xp.float32), strict_P)
        assert short.decision_function(xp.asarray(X, dtype=xp.float32)).dtype == xp.float32
        named = SoftLabelClassifier(classes=[f"c{k}" for k in range(K)]).fit(strict_X, strict_P)
        assert isinstance(named.predict(strict_X), np.ndarray)  # the standard has no strings
        assert SoftLabelClassifier(alpha=0).partial_fit(strict_X[:3, :], strict_P[:3, :]).realisable_


if __name__ == "__main__":
    dispatched(2)
    dispatched(3)
