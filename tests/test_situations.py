"""Input as people bring it, one row per situation: what works gives the right student, what cannot work is refused.

All files hold the same points and the answers of the same linear teacher unless a row changes them.
"""

from pathlib import Path

import numpy as np
import pytest
from command import in_process

from limbeck import load

N, W = 60, np.array([1.0, -2.0, 0.5])
X = np.random.default_rng(0).standard_normal((N, 3))
Z = X @ W
DISTILL = ("distill", "t.csv", "--features", "*", "--teacher-logit", "z", "--alpha", 0, "--no-intercept")


def columns(**more):
    """The points, the teacher's logits, and other columns in front."""
    return {**more, "x0": X[:, 0], "x1": X[:, 1], "x2": X[:, 2], "z": Z}


def csv(table, separator=",", decimal="."):
    def cell(value):
        return repr(float(value)).replace(".", decimal) if isinstance(value, float) else str(value)

    rows = [separator.join(map(cell, row)) for row in zip(*table.values(), strict=True)]
    return "\n".join([separator.join(table), *rows]) + "\n"


def works(name, files, *words, output=()):
    """A command that learns the teacher's weights W and prints what ``output`` lists."""
    return pytest.param(files, words or DISTILL, None, output, id=name)


def refused(name, files, *words, error):
    """A command that ends with exit code 2 and an error that holds all of ``error``."""
    return pytest.param(files, words or DISTILL, error, (), id=name)


SITUATIONS = [
    works("plain CSV", {"t.csv": csv(columns())}),
    works("BOM in CSV", {"t.csv": "\ufeff" + csv(columns())}),
]


@pytest.mark.parametrize(("files", "words", "error", "output"), SITUATIONS)
def test_a_public_situation(monkeypatch, capsys, tmp_path, files, words, error, output):
    monkeypatch.chdir(tmp_path)
    for name, content in files.items():
        if callable(content):
            content(name)
        else:
            Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    saves = words[0] == "distill"
    code, out, said = in_process(monkeypatch, capsys, *words, *(("--out", "s.json") if saves else ()))
    printed = " ".join((out + said).split())
    if error is not None:
        assert code == 2, printed
        assert [fact for fact in error if fact not in printed] == [], printed
        return
    assert code == 0, printed
    assert [fact for fact in output if fact not in printed] == [], printed
    if saves:
        np.testing.assert_allclose(load("s.json").coef_, W[None], rtol=1e-6)
