"""The tables of examples/make_tables.py, distilled as docs/distill.md says."""

import importlib.util
from pathlib import Path

import pytest
from command import in_process

HOME = Path(__file__).parents[2] / "examples" / "make_tables.py"
TABLES = {
    "cancer": ["cancer.csv", "--features", "*", "--scale", "standard", "--teacher-probability", "p_benign"],
    "wine": [
        "wine.csv",
        "--features",
        "*",
        "--scale",
        "standard",
        "--id",
        "bottle",
        "--answers",
        "wine-answers.csv",
    ]
    + [word for k in range(3) for word in ("--teacher-probability", f"p_class_{k}")],
    "reviews": ["reviews.csv", "--text", "review", "--teacher-logit", "z_positive", "--classes", "bad,good"],
    "linear": ["linear.npz"],
}


@pytest.mark.parametrize("name", TABLES)
def test_an_example_table_gives_a_student_that_agrees(tmp_path, monkeypatch, capsys, name):
    spec = importlib.util.spec_from_file_location("make_tables", HOME)
    assert spec is not None
    assert spec.loader is not None
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    getattr(tables, name)(tmp_path)
    monkeypatch.chdir(tmp_path)
    code, said, error = in_process(monkeypatch, capsys, "distill", *TABLES[name], "--out", "s.json")
    assert code == 0, error
    agreed, held = (int(word) for word in said.split("agreement ")[1].split(" held-out")[0].split(" of "))
    assert agreed >= 0.8 * held
    assert ("teacher   linear" in said) is (name == "linear")
    code, _, error = in_process(
        monkeypatch, capsys, "predict", "s.json", TABLES[name][0], "--out", "a.parquet"
    )
    assert code == 0, error
