import csv

import numpy as np
import pyarrow as pa
import pytest
from command import in_process
from messages import messages
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from limbeck import SoftLabelClassifier, load, load_pipeline, save
from limbeck.records import UserError

pandas = pytest.importorskip("pandas")


@pytest.fixture
def run(monkeypatch, capsys):
    return lambda *words: in_process(monkeypatch, capsys, *words)


@pytest.fixture
def tables(tmp_path, run, monkeypatch):
    """Students of a text, of numbers beside a text, of numbers, and of vectors; the table; what `predict` answers."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    text = messages(60)
    p = 1 / (1 + np.exp(-X @ [1.0, -2.0, 0.5]))
    frame = pandas.DataFrame(
        {"id": range(60), "a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "text": text, "v": list(X), "p": p}
    )
    frame.to_parquet("t.parquet")
    chosen = {
        "text": ["--text", "text"],
        "both": ["--text", "text", "--features", "[ab]"],
        "numbers": ["--features", "[abc]", "--scale", "standard"],
        "vectors": ["--embedding", "v"],
    }
    answers = {}
    for name, words in chosen.items():
        made = run(
            "distill",
            "t.parquet",
            *words,
            "--teacher-probability",
            "p",
            "--alpha",
            "0.01",
            "--out",
            f"{name}.json",
        )
        assert made[0] == 0, made[2]
        assert run("predict", f"{name}.json", "t.parquet", "--out", f"{name}.csv")[0] == 0
        with open(f"{name}.csv") as file:
            rows = list(csv.reader(file))[1:]
        answers[name] = np.array([row[2:] for row in rows], dtype=float)
    return frame, answers


@pytest.mark.parametrize("name", ["text", "both", "numbers", "vectors"])
def test_a_frame_gets_the_answers_that_the_command_gives_whatever_its_order(tables, name):
    frame, answers = tables
    pipeline = load_pipeline(f"{name}.json")
    shuffled = frame[frame.columns[::-1]]
    for given in (
        frame,
        shuffled,
        pa.Table.from_pandas(frame),
        {n: frame[n].to_numpy() for n in frame.columns},
    ):
        np.testing.assert_allclose(pipeline.predict_proba(given), answers[name], rtol=0, atol=1e-15)
    assert isinstance(clone(pipeline), Pipeline)
    assert len(pipeline[:-1].get_feature_names_out()) == pipeline[-1].n_features_in_
    assert list(pipeline.predict(frame.iloc[:3])) == list(pipeline.classes_[answers[name][:3].argmax(axis=1)])


def test_a_list_of_texts_is_enough_for_a_student_of_texts(tables):
    frame, _ = tables
    pipeline = load_pipeline("text.json")
    np.testing.assert_array_equal(pipeline.predict_proba(list(frame["text"])), pipeline.predict_proba(frame))
    np.testing.assert_array_equal(
        load("text.json").predict_proba(pipeline[:-1].transform(frame)), pipeline.predict_proba(frame)
    )
    with pytest.raises(UserError, match="list has no named columns, and this student needs 'a', 'b', 'text'"):
        load_pipeline("both.json").predict(list(frame["text"]))
    with pytest.raises(UserError, match="str has no named columns"):
        pipeline.predict("invoice")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.drop(columns="b"), r"no column 'b' among 'id', 'a', 'c'"),
        (lambda f: f.rename(columns={"c": "b"}), "2 columns 'b'"),
        (lambda f: f.assign(b=f["b"].where(f.index != 4)), "Row 5, column 'b' is empty"),
        (lambda f: f.assign(b=np.inf), "Row 1, column 'b' holds inf"),
        (lambda f: f.assign(b="x"), "Row 1, column 'b' holds 'x', which is not a number"),
        (lambda f: f.assign(b=[object()] * 60), "Column 'b' holds values"),
        (lambda f: f.iloc[:0], "at least one row"),
        (lambda f: f[["a", "b", "c"]].to_numpy(), "ndarray has no named columns"),
        (lambda f: {"a": f["a"], "b": f["b"], "c": f["c"][:3]}, r"Columns of one length.*\[3, 60\]"),
    ],
)
def test_columns_that_are_missing_or_odd_are_named(tables, change, said):
    with pytest.raises(UserError, match=said):
        load_pipeline("numbers.json").predict(change(tables[0]))


def test_a_student_without_columns_says_what_to_do(tmp_path):
    save(SoftLabelClassifier(alpha=0).fit(np.eye(2), [0.2, 0.7]), tmp_path / "s.json")
    with pytest.raises(UserError, match=r"limbeck\.load gives the student itself"):
        load_pipeline(tmp_path / "s.json")
