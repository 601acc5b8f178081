import csv
import json
import os
import re
from html import unescape

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import in_process, limbeck
from scipy.special import expit

from limbeck import SoftLabelClassifier, load
from limbeck.theory.scaling import Scaling


@pytest.fixture
def run(monkeypatch, capsys):
    return lambda *arguments: in_process(monkeypatch, capsys, *arguments)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def task(tmp_path):
    """A linear teacher's table: points, ids, its logits, probabilities and labels."""
    rng = np.random.default_rng(0)
    X, w = rng.standard_normal((80, 6)) * np.arange(1, 7), rng.standard_normal(6)
    z = X @ w - 0.5
    columns = {f"f{i}": X[:, i] for i in range(6)}
    columns |= {
        "id": [f"r{i}" for i in range(80)],
        "z": z,
        "p": expit(z / 20),
        "y": np.where(z > 0, "yes", "no"),
    }
    pq.write_table(pa.table({**columns, "v": list(X)}), tmp_path / "t.parquet")
    with (tmp_path / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return tmp_path, X, z, w


def test_from_a_table_to_a_student_to_answers_and_a_page(task):
    folder, _, z, _ = task
    done = limbeck(
        "distill", "t.csv", "--features", "f*", "--teacher-logit", "z", "--classes", "no,yes", "--out", "s.json",
        "--report", "r.html", "--repeats", "2", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "teacher   linear here" in done.stdout
    assert "16 of 16 held-out rows" in done.stdout
    assert max(map(len, (done.stdout + done.stderr).splitlines())) <= 80
    page = (folder / "r.html").read_text()
    for expected in (
        "How often does the student",
        "100 %",
        "hard labels",
        "Theorem 3 promises",
        "SHA-256",
    ):
        assert expected in page, expected
    done = limbeck("predict", "s.json", "t.parquet", "--out", "a.csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    answers = rows_of(folder / "a.csv")
    assert [row["id"] for row in answers] == [f"r{i}" for i in range(80)]
    assert [row["label"] == "yes" for row in answers] == (z > 0).tolist()
    np.testing.assert_allclose([float(row["probability_yes"]) for row in answers], expit(z), rtol=1e-9)


@pytest.mark.parametrize("how", ["--at-once", "--stream"])
@pytest.mark.parametrize("scale", ["standard", "sharpen"])
def test_a_student_without_intercept_gets_none_from_the_scaling(tmp_path, run, how, scale):
    # "standard" moved the origin, so that the student had an intercept and a linear teacher was none.
    rng = np.random.default_rng(0)
    X, w = rng.standard_normal((300, 6)) * [1, 10, 0.1, 5, 1, 1] + [1, 0, 3, 9, 1, 1], rng.standard_normal(6)
    pq.write_table(pa.table({"v": list(X), "z": X @ w}), tmp_path / "t.parquet")
    code, said, error = run("distill", tmp_path / "t.parquet", "--embedding", "v", "--teacher-logit", "z", "--alpha",
                            "0", "--no-intercept", "--scale", scale, how, "--out", tmp_path / "s.json")  # fmt: skip
    assert code == 0, error
    assert "teacher   linear here" in said
    student = load(tmp_path / "s.json")
    assert student.intercept_[0] == 0
    np.testing.assert_allclose(student.coef_[0], w, rtol=1e-9)


def test_a_student_that_only_learned_the_commonest_class_is_told_from_a_good_one(tmp_path, run):
    # 97 % agreement on held-out rows, as a constant has it: what a user would be pleased with is no student.
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 5))
    p = expit(X @ [1, 2, -1, 0, 0.5] - 6 + 2 * rng.standard_normal(600))
    pq.write_table(pa.table({"v": list(X), "p": p}), tmp_path / "t.parquet")
    words = ("distill", tmp_path / "t.parquet", "--embedding", "v", "--teacher-probability", "p", "--classes",
             "ham,spam", "--out", tmp_path / "s.json", "--overwrite")  # fmt: skip
    code, said, error = run(*words, "--report", tmp_path / "r.html", "--repeats", "2")
    assert code == 0, error
    said = " ".join(said.split())
    by_class = re.search(r'by class "ham" (\d+) of (\d+), "spam" (\d+) of (\d+)', said)
    assert int(by_class[3]) < int(by_class[4]) / 2
    assert 'constant always "ham", the commonest of these rows, agrees on 9' in said
    assert "not shown to be better" in said
    page = section(tmp_path / "r.html", "How often does the student")
    assert "it is not shown to be better than a constant" in page
    assert f"spam {by_class[4]} " in page
    found = json.loads(run(*words, "--json")[1])
    assert found["constant"]["class"] == "ham"
    assert found["gain"]["low"] <= 0 <= found["gain"]["high"]
    assert found["by_class"]["spam"]["size"] == int(by_class[4])
    blocks = json.loads(run(*words, "--json", "--stream", "--alpha", "0.001")[1])
    assert blocks["constant"]["class"] == "ham"
    assert blocks["by_class"]["ham"]["estimate"] > 0.99


def section(page, title):
    """What the page says in the section of a title, without its tags."""
    (found,) = [part for part in page.read_text().split("<section")[1:] if title in part.split("</h2>")[0]]
    return " ".join(unescape(re.sub("<[^>]+>", " ", found.split("</section>")[0])).split())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ((), "the student is the teacher on them"),
        (("--scale", "sharpen"), "the student is the teacher on them"),
        (("--alpha", "0.1"), "its ridge is 0.1, not 0"),
    ],
)
def test_the_page_calls_only_an_exact_student_the_teacher(task, run, settings, said):
    folder = task[0]
    made = run("distill", folder / "t.parquet", "--embedding", "v", "--teacher-logit", "z", "--out",
               folder / "s.json", "--report", folder / "r.html", "--repeats", "2", *settings)  # fmt: skip
    assert made[0] == 0, made
    exact, page = "is the teacher" in said, folder / "r.html"
    text = section(page, "Is the teacher linear")
    assert said in text
    assert ("57 different points beyond a rank of 7, that of all 80 rows" in text) == exact
    assert ("Theorem 3 promises" in section(page, "How are the points aligned")) == exact


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        ("curved", "any logits fit some linear teacher"),
        ("linear", "span 33 of the 35 directions of the table's rows"),
    ],
)
def test_the_page_calls_no_student_the_teacher_beyond_what_its_answers_span(tmp_path, run, teacher, said):
    # Rows that repeat test nothing (13 of 18 held-out rows agreed beside "is the teacher"); two rows without an answer
    # hold what no answer tells.
    rng = np.random.default_rng(0)
    if teacher == "curved":
        X = rng.standard_normal((60, 200))[rng.integers(60, size=100)]
        z = np.sin(3 * X[:, 0]) + X[:, 1] * X[:, 2]
    else:
        X = np.zeros((102, 35))
        X[:100, :33], X[100, 33], X[101, 34] = rng.standard_normal((100, 33)), 1.0, 1.0
        z = X @ rng.standard_normal(35)
    ids = [f"r{i}" for i in range(len(X))]
    pq.write_table(pa.table({"id": ids, "v": list(X)}), tmp_path / "t.parquet")
    pq.write_table(pa.table({"id": ids[:100], "z": z[:100]}), tmp_path / "said.parquet")
    made = run("distill", tmp_path / "t.parquet", "--embedding", "v", "--id", "id", "--alpha", "0", "--no-intercept",
               "--answers", tmp_path / "said.parquet", "--teacher-logit", "z", "--out", tmp_path / "s.json",
               "--report", tmp_path / "r.html", "--repeats", "2")  # fmt: skip
    assert made[0] == 0, made
    text = section(tmp_path / "r.html", "Is the teacher linear")
    assert said in text
    assert "is the teacher on them" not in text
    assert "Theorem 3 promises" not in section(tmp_path / "r.html", "How are the points aligned")


@pytest.mark.parametrize("scale", ["none", "standard", "sharpen"])
def test_scaling_is_folded_into_what_is_saved(task, run, scale):
    folder, _, z, _ = task
    made = run("distill", folder / "t.parquet", "--embedding", "v", "--teacher-probability", "p", "--scale", scale,
               "--alpha", "0", "--held-out", "0", "--out", folder / "s.json")  # fmt: skip
    assert made[0] == 0, made
    assert run("predict", folder / "s.json", folder / "t.parquet", "--out", folder / "a.jsonl")[0] == 0
    answers = [json.loads(line) for line in (folder / "a.jsonl").read_text().splitlines()]
    np.testing.assert_allclose([a["probability_1"] for a in answers], expit(z / 20), rtol=1e-8)


def test_answers_of_a_second_table_join_by_id(task, run):
    folder, _, z, _ = task
    order = np.random.default_rng(1).permutation(80)[:50]
    text = "id,p_no,p_yes\n" + "".join(
        f"r{i},{expit(-z[i] / 20):.17g},{expit(z[i] / 20):.17g}\n" for i in order
    )
    (folder / "bought.csv").write_text(text)
    code, said, error = run("distill", folder / "t.csv", "--features", "f*", "--answers", folder / "bought.csv",
                        "--teacher-probability", "p_no", "--teacher-probability", "p_yes", "--out",
                        folder / "s.json", "--scale", "standard")  # fmt: skip
    assert code == 0, error
    assert "linear here: 40 answers at rank 7" in said
    assert json.loads((folder / "s.json").read_text())["provenance"]["rows"] == "80 points, 50 answered"


def test_hard_labels_and_three_classes(task, run):
    folder, X, _, _ = task
    code, said, _ = run(
        "distill", folder / "t.csv", "--features", "f*", "--teacher-label", "y", "--out", folder / "s"
    )
    assert code == 2
    code, said, _ = run("distill", folder / "t.csv", "--features", "f*", "--teacher-label", "y", "--out",
                        folder / "s.json")  # fmt: skip
    assert code == 0
    assert "cannot tell yet here: the answers are hard labels" in said
    Z = X[:, :3]
    (folder / "k.jsonl").write_text(
        "".join(json.dumps({"x": x.tolist(), "l": s}) + "\n" for x, s in zip(X, Z.tolist(), strict=True))
    )
    code, said, _ = run("distill", folder / "k.jsonl", "--embedding", "x", "--teacher-logit", "l", "--classes", "a,b,c",
                        "--out", folder / "k.json", "--report", folder / "k.html", "--repeats", 2,
                        "--alpha", "0")  # fmt: skip
    assert code == 0
    assert "16 of 16" in said
    assert run("predict", folder / "k.json", folder / "k.jsonl", "--out", folder / "k.parquet")[0] == 0
    labels = pq.read_table(folder / "k.parquet")["label"].to_pylist()
    assert labels == [list("abc")[k] for k in Z.argmax(axis=1)]


def test_words_are_features_and_npz_needs_no_options(tmp_path, run):
    rng = np.random.default_rng(0)
    words = rng.choice(["good", "bad", "fine", "poor", "film"], (120, 4))
    z = (words == "good").sum(1) - 1.0 * (words == "bad").sum(1) + 0.3 * (words == "fine").sum(1)
    rows = "".join(f'"{" ".join(line)}",{s}\n' for line, s in zip(words, z, strict=True))
    (tmp_path / "t.csv").write_text("said,z\n" + rows)
    code, said, _ = run("distill", tmp_path / "t.csv", "--text", "said", "--teacher-logit", "z", "--out",
                        tmp_path / "s.json", "--report", tmp_path / "r.html", "--repeats", 2)  # fmt: skip
    assert code == 0, said
    assert run("predict", tmp_path / "s.json", tmp_path / "t.csv", "--out", tmp_path / "a.csv")[0] == 0
    agreed = [
        (row["label"] == "1") == (s >= 0) for row, s in zip(rows_of(tmp_path / "a.csv"), z, strict=True)
    ]
    assert np.mean(agreed) > 0.8
    X = rng.standard_normal((60, 5))
    np.savez(tmp_path / "t.npz", X=X, id=np.arange(60), teacher_logit=X.sum(axis=1))
    code, said, _ = run("distill", tmp_path / "t.npz", "--out", tmp_path / "n.json")
    assert code == 0
    assert "12 of 12" in said
    assert run("predict", tmp_path / "n.json", tmp_path / "t.npz", "--out", tmp_path / "n.csv")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["t.csv", "--teacher-logit", "z"], "say which columns are features"),
        (["t.csv", "--features", "g*", "--teacher-logit", "z"], "matches no column"),
        (["t.csv", "--features", "*", "--teacher-logit", "z"], "Row 1, column 'y' holds"),
        (["t.csv", "--features", "f*"], "one kind of answer is needed, none given"),
        (
            ["t.csv", "--features", "f*", "--teacher-logit", "z", "--teacher-label", "y"],
            "logit and label given",
        ),
        (["t.csv", "--features", "f*", "--teacher-probability", "z"], "is not a probability"),
        (
            ["t.csv", "--features", "f*", "--teacher-label", "y", "--classes", "no,maybe"],
            "holds 'yes', which",
        ),
        (["t.csv", "--features", "f*", "--teacher-logit", "q"], "no column 'q'"),
        (["t.csv", "--features", "f*", "--teacher-logit", "z", "--alpha", "x"], "--alpha x"),
        (
            ["t.csv", "--features", "f*", "--teacher-logit", "z", "--scale", "log"],
            "one of none, standard, sharpen",
        ),
        (["t.csv", "--features", "f*", "--teacher-logit", "z", "--held-out", "1"], "--held-out 1"),
        (
            ["t.csv", "--features", "f*", "--teacher-logit", "z", "--classes", "a"],
            "at least two different names",
        ),
        (
            ["t.csv", "--features", "f*", "--teacher-logit", "z", "--answers", "others.csv"],
            "no id in",
        ),
        (["missing.csv", "--features", "f*", "--teacher-logit", "z"], "no such file"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(task, run, monkeypatch, arguments, said):
    folder = task[0]
    monkeypatch.chdir(folder)
    (folder / "others.csv").write_text("id,z\nq,1\n")
    before = sorted(folder.iterdir())
    code, _, error = run("distill", *arguments, "--out", "s.json")
    assert code == 2
    assert said in re.sub(r"\s+", " ", error)
    assert sorted(folder.iterdir()) == before


def test_files_that_exist_are_kept_unless_told_otherwise(task, run, monkeypatch):
    folder = task[0]
    monkeypatch.chdir(folder)
    words = ("distill", "t.csv", "--features", "f*", "--teacher-logit", "z", "--out", "s.json")
    assert run(*words)[0] == 0
    before = (folder / "s.json").read_bytes()
    code, _, error = run(*words)
    assert code == 2
    assert "s.json exists" in error
    assert run(*words, "--overwrite", "--seed", 5)[0] == 0
    assert (folder / "s.json").read_bytes() != before
    assert "cannot be written" in run(*words[:-1], "nowhere/s.json")[2]


@pytest.mark.parametrize(
    ("table", "out", "named"),
    [
        ("t.csv", "t.csv", "t.csv"),
        ("t.csv", "hard.csv", "hard.csv"),
        ("t.csv", "soft.csv", "soft.csv"),
        ("t.csv", "pipe.csv", "pipe.csv"),
        ("pipe.csv", "new.csv", "pipe.csv"),
        ("t.csv", "/proc/x.csv", "/proc/x.csv"),
        ("t.csv", "a" * 252 + ".csv", "too long"),
        ("a" * 252 + ".csv", "new.csv", "too long"),
    ],
)
def test_inputs_links_and_pipes_are_never_overwritten_and_impossible_names_refused(
    task, run, monkeypatch, table, out, named
):
    folder = task[0]
    monkeypatch.chdir(folder)
    (folder / "hard.csv").hardlink_to(folder / "t.csv")
    (folder / "soft.csv").symlink_to("t.csv")
    os.mkfifo(folder / "pipe.csv")
    before, content = sorted(os.listdir(folder)), (folder / "t.csv").read_bytes()
    code, _, error = run("select", table, "--features", "f*", "--budget", 3, "--out", out, "--overwrite")
    assert (code, named in error) == (2, True)
    assert sorted(os.listdir(folder)) == before
    assert (folder / "t.csv").read_bytes() == content
    assert (folder / "soft.csv").is_symlink()


def test_a_pipe_as_a_student_s_file_is_refused(task, run, monkeypatch):
    monkeypatch.chdir(task[0])
    os.mkfifo("s.json")
    code, _, error = run("predict", "s.json", "t.csv", "--out", "new.csv")
    assert (code, "s.json" in error) == (2, True)


def test_the_same_seed_gives_the_same_files(task, run, monkeypatch):
    folder = task[0]
    monkeypatch.chdir(folder)
    words = (
        "distill",
        "t.csv",
        "--features",
        "f*",
        "--teacher-logit",
        "z",
        "--out",
        "s.json",
        "--report",
        "r.html",
    )
    seen = []
    for _ in range(2):
        assert run(*words, "--repeats", 2, "--overwrite")[0] == 0
        seen.append([(folder / name).read_bytes() for name in ("s.json", "r.html")])
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,f0\nr,1\n", "no column 'f1'"),
        ("id,f0,f1,f2,f3,f4,f5\nr,1,2,3,4,x,6\n", "Row 1, column 'f4' holds 'x'"),
        ("id,f0,f1,f2,f3,f4,f5\n", "the table has no rows"),
    ],
)
def test_a_table_that_does_not_fit_the_student_leaves_no_partial_file(task, run, monkeypatch, text, said):
    folder = task[0]
    monkeypatch.chdir(folder)
    assert run("distill", "t.csv", "--features", "f*", "--teacher-logit", "z", "--out", "s.json")[0] == 0
    (folder / "new.csv").write_text(text)
    before = sorted(folder.iterdir())
    code, _, error = run("predict", "s.json", "new.csv", "--out", "a.csv")
    assert code == 2
    assert said in re.sub(r"\s+", " ", error)
    assert sorted(folder.iterdir()) == before


def test_words_are_learned_from_no_row_held_out(tmp_path, run, monkeypatch):
    # Every row has a word of its own: those of held-out rows are no features, with or without a table of answers.
    monkeypatch.chdir(tmp_path)
    z = np.random.default_rng(0).standard_normal(60)
    (tmp_path / "t.csv").write_text(
        "id,said,z\n" + "".join(f"r{i},both own{i:02d},{s:.6f}\n" for i, s in enumerate(z))
    )
    (tmp_path / "a.csv").write_text("id,z\n" + "".join(f"r{i},{z[i]:.6f}\n" for i in range(50)))
    for extra, answered in (([], 60), (["--answers", "a.csv"], 50)):
        code, _, error = run("distill", "t.csv", "--text", "said", "--id", "id", "--teacher-logit", "z", *extra,
                             "--alpha", 1, "--out", "s.json", "--overwrite")  # fmt: skip
        assert code == 0, error
        order = np.random.default_rng([0, 0]).permutation(answered)
        held = {f"own{i:02d}" for i in order[: answered // 5]}
        table = json.loads((tmp_path / "s.json").read_text())["features"]["table"]
        assert set(table["terms"]) == {"both", *(f"own{i:02d}" for i in range(60))} - held
        # "both" is in every row that was seen, the lightest word there is.
        assert table["weights"][table["terms"].index("both")] == 1.0


def test_a_scale_that_changes_nothing_is_said_to(task, run, monkeypatch):
    folder = task[0]
    monkeypatch.chdir(folder)
    few = (folder / "t.csv").read_text().splitlines(keepends=True)[:7]
    (folder / "few.csv").write_text("".join(few))
    words = ("--features", "f*", "--teacher-logit", "z", "--alpha", 0, "--no-intercept", "--held-out", 0.2,
             "--overwrite", "--out", "s.json", "--report", "r.html", "--repeats", 2)  # fmt: skip
    for table, scale, extra, idle in (
        ("few.csv", "sharpen", [], True),
        ("few.csv", "standard", [], False),
        ("t.csv", "sharpen", ["--answers", "few.csv"], False),
    ):
        code, said, error = run("distill", table, *words, "--scale", scale, *extra)
        assert code == 0, error
        assert ("sharpen changed nothing" in re.sub(r"\s+", " ", said)) is idle
        assert ("sharpen changed nothing" in (folder / "r.html").read_text()) is idle


def test_no_cell_of_the_output_is_a_formula(task, run, monkeypatch):
    folder = task[0]
    monkeypatch.chdir(folder)
    assert run("distill", "t.csv", "--features", "f*", "--teacher-logit", "z", "--classes", "=cmd|1,-b", "--out",
               "s.json")[0] == 0  # fmt: skip
    (folder / "new.csv").write_text(
        "id,f0,f1,f2,f3,f4,f5\n=1+1,1,2,3,4,5,6\n-5,1,2,3,4,5,6\n@x,1,2,3,4,5,6\n"
    )
    assert run("predict", "s.json", "new.csv", "--out", "a.csv")[0] == 0
    lines = (folder / "a.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["id", "'=1+1", "-5", "'@x"]
    assert all(line.split(",")[1][0] == "'" for line in lines[1:])
    assert "probability_=cmd|1" in lines[0]


def test_markup_in_a_table_stays_text_on_the_page(task, run, monkeypatch):
    folder = task[0]
    monkeypatch.chdir(folder)
    text = (
        (folder / "t.csv")
        .read_text()
        .replace("r1,", "<script>alert(1)</script>,")
        .replace("yes", "<b>yes</b>")
    )
    (folder / "evil.csv").write_text(text)
    assert run("distill", "evil.csv", "--features", "f*", "--teacher-label", "y", "--out", "s.json", "--report",
               "r.html", "--repeats", 2, "--held-out", "0.9")[0] == 0  # fmt: skip
    page = (folder / "r.html").read_text()
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;b&gt;yes" in page


@pytest.mark.parametrize("scale", ["none", "standard"])
def test_answers_are_proved_as_the_student_in_memory_proves_them(task, run, monkeypatch, scale):
    folder, X, z, w = task
    monkeypatch.chdir(folder)
    (folder / "few.csv").write_text("id,z\n" + "".join(f"r{i},{z[i]:.17g}\n" for i in range(4)))
    words = (
        "--features",
        "f*",
        "--answers",
        "few.csv",
        "--teacher-logit",
        "z",
        "--alpha",
        0,
        "--held-out",
        0,
    )
    code, _, error = run("distill", "t.csv", *words, "--scale", scale, "--evidence", "--out", "s.json")
    assert code == 0, error
    scaling = Scaling.of(X, scale)
    teacher, shift = w if scale == "none" else w / scaling.matrix, -0.5 + float(w @ scaling.centre)
    bound = float(np.hypot(np.linalg.norm(teacher), shift)) * 1.01
    code, said, error = run("predict", "s.json", "t.csv", "--teacher-norm", bound, "--out", "a.jsonl")
    assert code == 0, error
    assert "provided that" in said
    assert "is at most" in said
    answers = [json.loads(line) for line in (folder / "a.jsonl").read_text().splitlines()]
    student = SoftLabelClassifier(alpha=0).fit(scaling.apply(X[:4]), None, teacher_logits=z[:4])
    expected = student.certify(scaling.apply(X), teacher_norm=bound)
    assert [a["proved"] for a in answers] == expected.proved.astype(int).tolist()
    right = [(a["label"] == "1") == (s >= 0) for a, s in zip(answers, z, strict=True)]
    assert 0 < expected.proved.sum() < 80
    assert all(r for r, a in zip(right, answers, strict=True) if a["proved"])
    assert (
        "no linear teacher is left"
        in run("predict", "s.json", "t.csv", "--teacher-norm", 1e-9, "--out", "b.csv")[2]
    )


def test_nothing_is_proved_without_evidence_or_with_a_ridge(task, run, monkeypatch):
    monkeypatch.chdir(task[0])
    words = ("distill", "t.csv", "--features", "f*", "--teacher-logit", "z", "--out", "s.json", "--overwrite")
    code, _, error = run(*words, "--alpha", 1, "--evidence")
    assert code == 2
    assert "exact student only" in re.sub(r"\s+", " ", error)
    assert run(*words)[0] == 0
    code, _, error = run("predict", "s.json", "t.csv", "--teacher-norm", 5, "--out", "a.csv")
    assert code == 2
    assert "--alpha 0 --evidence" in re.sub(r"\s+", " ", error)


@pytest.mark.parametrize("rows", [80, 30])
@pytest.mark.parametrize("command", ["distill", "plan"])
def test_a_table_replaced_between_its_points_and_its_answers_is_refused(
    task, run, monkeypatch, command, rows
):
    """The same rows turned round, or fewer: joined by position, they would teach the wrong answers."""
    from limbeck.data import pool

    folder, *_ = task
    read = pool.read_pool

    def replaced(table, *rest, **options):
        found = read(table, *rest, **options)
        head, *lines = (folder / "t.csv").read_text().splitlines()
        (folder / "new.csv").write_text("\n".join([head, *lines[::-1][:rows]]) + "\n")
        (folder / "new.csv").replace(folder / "t.csv")
        return found

    monkeypatch.setattr(pool, "read_pool", replaced)
    words = ["--features", "f*", "--teacher-logit", "z"]
    words += ["--out", folder / "s.json"] if command == "distill" else ["--target-risk", "0.1"]
    words += ["--answers", folder / "t.csv"] if command == "plan" else []
    code, said, error = run(command, folder / "t.csv", *words)
    assert (code, said) == (2, "")
    assert "t.csv changed while it was read" in " ".join(error.split())
    assert not (folder / "s.json").exists()


def test_answers_of_another_kind_are_no_features_unless_named(tmp_path, run):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 3))
    z = X @ [1.0, -1.0, 0.5] + X[:, 0] * X[:, 1]
    columns = {
        "x0": X[:, 0],
        "x1": X[:, 1],
        "x2": X[:, 2],
        "teacher_logit": z,
        "teacher_probability": expit(z),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    words = (
        "distill",
        tmp_path / "t.parquet",
        "--teacher-logit",
        "teacher_logit",
        "--out",
        tmp_path / "s.json",
    )
    code, _, error = run(*words, "--features", "*")
    assert code == 0, error
    assert "('teacher_probability') are no features" in " ".join(error.split())
    assert load(tmp_path / "s.json").n_features_in_ == 3
    code, _, error = run(*words, "--overwrite", "--features", "x*", "--features", "teacher_probability")
    assert code == 0, error
    assert load(tmp_path / "s.json").n_features_in_ == 4
