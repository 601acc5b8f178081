"""Tables larger than memory from the terminal: the same answers in blocks, and nothing lost to a kill."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from command import in_process
from scipy.special import expit

from limbeck import load
from limbeck.data import blocks as cut
from limbeck.students import read

N, D = 3000, 4
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, D))
Z = X @ RNG.standard_normal(D) - 0.2
IDS = np.array([f"r{i}" for i in range(N)])
DIE = """
import os, signal, sys
from limbeck.data import blocks, unfinished
blocks.CELLS = 4 * 64
keep, count = unfinished.Unfinished.keep, []
def once(self, first, columns):
    keep(self, first, columns)
    count.append(first)
    if len(count) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
unfinished.Unfinished.keep = once
from limbeck.cli import main
main()
"""


@pytest.fixture
def run(monkeypatch, capsys):
    monkeypatch.setattr(cut, "CELLS", D * 64)
    return lambda *arguments: in_process(monkeypatch, capsys, *arguments)


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("t.npz", X=X, id=IDS, teacher_logit=Z)
    os.mkdir("parts")
    for i in range(3):
        rows = slice(1000 * i, 1000 * (i + 1))
        np.savez(f"parts/{i}.npz", X=X[rows], id=IDS[rows], teacher_logit=Z[rows])
    return tmp_path


@pytest.fixture
def student(pool, run):
    code, said, error = run("distill", "t.npz", "--out", "s.json", "--stream", "--alpha", "0")
    assert code == 0, error
    return said


def test_a_student_in_blocks_is_that_of_the_table_at_once(student, run):
    assert "teacher   linear here" in student
    assert "solved by Gram" in student
    assert "held-out rows, 100.00%" in student
    assert "in 3 passes" in student
    assert run("distill", "t.npz", "--out", "whole.json", "--alpha", "0")[0] == 0
    np.testing.assert_allclose(load("s.json").coef_, load("whole.json").coef_, rtol=1e-10)
    saved = json.loads(Path("s.json").read_text())
    assert saved["features"]["table"]["width"] == D


def test_a_folder_of_tables_and_a_small_memory_are_read_in_blocks(student, run):
    code, said, error = run("distill", "parts", "--out", "p.json", "--alpha", "0")
    assert code == 0, error
    assert "in 3 passes" in said
    np.testing.assert_array_equal(load("p.json").coef_, load("s.json").coef_)
    code, said, _ = run("distill", "t.npz", "--out", "m.json", "--alpha", "0", "--memory", "0.0001")
    assert (code, "in 3 passes" in said) == (0, True)


def test_answers_of_another_table_are_picked_out_of_the_pool_in_one_pass(pool, run):
    np.savez("bought.npz", id=IDS[::30][::-1], teacher_logit=Z[::30][::-1])
    np.savez("pool.npz", X=X, id=IDS)
    for name, how in (("a.json", "--stream"), ("b.json", "--at-once")):
        code, _, error = run("distill", "pool.npz", "--answers", "bought.npz", "--out", name, how)
        assert code == 0, error
    np.testing.assert_array_equal(load("a.json").coef_, load("b.json").coef_)


def test_a_prediction_that_is_killed_goes_on_where_it_was(student, run):
    name = "answers.csv"
    arguments = ["predict", "s.json", "t.npz", "--out", name, "--jobs", "1"]
    killed = subprocess.run([sys.executable, "-c", DIE, *arguments], capture_output=True, check=False)
    assert killed.returncode == -9
    assert not os.path.exists(name)
    kept = sorted(os.listdir(f".{name}.unfinished"))
    assert kept == ["000000000000000.arrow", "000000000000512.arrow", "origin.json"]
    code, _, error = run(*arguments)
    assert code == 2
    assert "--resume keeps" in error

    from limbeck.data.unfinished import Unfinished

    seen, keep = [], Unfinished.keep
    Unfinished.keep = lambda self, first, columns: (seen.append(first), keep(self, first, columns))
    try:
        code, said, error = run(*arguments, "--resume")
    finally:
        Unfinished.keep = keep
    assert code == 0, error
    assert seen == [1024, 1536, 2048, 2560]
    assert not os.path.exists(f".{name}.unfinished")
    assert f"{N} rows answered" in said
    whole = f"whole{name[7:]}"
    assert run("predict", "s.json", "t.npz", "--out", whole, "--jobs", "3")[0] == 0
    assert Path(whole).read_bytes() == Path(name).read_bytes()


def test_answers_travel_with_their_ids(student, run):
    assert run("predict", "s.json", "parts", "--out", "a.parquet")[0] == 0
    found = pq.read_table("a.parquet").to_pydict()
    assert found["id"] == IDS.tolist()
    np.testing.assert_allclose(found["probability_1"], expit(Z), rtol=1e-9)
    assert found["label"] == np.where(Z >= 0, "1", "0").tolist()


def test_a_full_disk_keeps_what_is_finished_and_parts_of_another_table_are_not_mixed(
    student, run, monkeypatch
):
    from limbeck.data import unfinished

    write, count = unfinished.write_whole, []

    def full(path, data):
        if len(count) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        count.append(path)
        write(path, data)

    arguments = ["predict", "s.json", "t.npz", "--out", "a.csv"]
    with monkeypatch.context() as patch:
        patch.setattr(unfinished, "write_whole", full)
        code, _, error = run(*arguments)
    assert code == 2
    assert "make room, then --resume" in " ".join(error.split())
    assert len(os.listdir(".a.csv.unfinished")) == 3
    np.savez("t.npz", X=-X, id=IDS)
    code, _, error = run(*arguments, "--resume")
    assert code == 2
    assert "made from another" in error
    os.remove(".a.csv.unfinished/origin.json")  # as a kill leaves it where parts are being removed
    assert run(*arguments, "--resume")[0] == 0
    assert run("predict", "s.json", "t.npz", "--out", "whole.csv")[0] == 0
    assert Path("a.csv").read_bytes() == Path("whole.csv").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["distill", "t.npz", "--stream", "--alpha", "0", "--report", "r.html"], "--report draws curves"),
        (["distill", "t.npz", "--stream", "--alpha", "0", "--evidence"], "--evidence keeps all points"),
        (["distill", "parts", "--at-once"], "leave out --at-once"),
        (["distill", "t.npz", "--scheduler", "tcp://127.0.0.1:1"], "give --stream too"),
        (
            ["distill", "t.npz", "--stream", "--alpha", "0", "--scheduler", "cluster"],
            "write local, or an address",
        ),
    ],
)
def test_what_cannot_be_streamed_is_said_before_any_work(pool, run, arguments, said):
    code, _, error = run(*arguments, "--out", "s.json")
    assert code == 2
    assert said in " ".join(error.split())
    assert not os.path.exists("s.json")


DISTIL_DIES = """
import os, signal, sys
from limbeck.data import blocks, unfinished
blocks.CELLS = 4 * 64
keep, count = unfinished.Journal.keep, []
def dying(self, sums, groups):
    self._every = 0.0
    keep(self, sums, groups)
    count.append(groups)
    if len(count) == DIES_AFTER:
        os.kill(os.getpid(), signal.SIGKILL)
unfinished.Journal.keep = dying
from limbeck.cli import main
main()
"""


def test_a_prediction_does_not_go_on_with_another_table_of_the_same_size_and_time(student, run):
    arguments = ["predict", "s.json", "t.npz", "--out", "answers.csv", "--jobs", "1"]
    killed = subprocess.run([sys.executable, "-c", DIE, *arguments], capture_output=True, check=False)
    assert killed.returncode == -9
    at, content = os.stat("t.npz"), bytearray(Path("t.npz").read_bytes())
    content[-2000] ^= 1
    Path("t.npz").write_bytes(content)
    os.utime("t.npz", ns=(at.st_atime_ns, at.st_mtime_ns))
    assert os.stat("t.npz").st_size == at.st_size
    code, _, error = run(*arguments, "--resume")
    assert code == 2
    assert "with other" in " ".join(error.split())
    assert not os.path.exists("answers.csv")


@pytest.mark.parametrize("command", ["predict", "select", "distill"])
def test_a_table_that_changes_while_its_blocks_are_read_spoils_nothing(student, run, monkeypatch, command):
    from limbeck.data import sources

    read = sources.read

    def changing(table, names, *rest):
        os.utime(table.path, (1, 1))
        yield from read(table, names, *rest)

    words = {
        "predict": ["predict", "s.json", "t.npz", "--jobs", "1", "--out", "out.csv"],
        "select": ["select", "t.npz", "--stream", "--budget", "3", "--jobs", "1", "--out", "out.csv"],
        "distill": ["distill", "t.npz", "--stream", "--alpha", "1e-3", "--jobs", "1", "--out", "out.json"],
    }[command]
    monkeypatch.setattr(sources, "read", changing)
    code, said, error = run(*words)
    assert (code, said) == (2, "")
    assert "t.npz changed while it was read" in " ".join(error.split())
    assert not os.path.exists(words[-1])


def test_a_student_whose_distilling_is_killed_is_the_same_to_the_bit(pool, run, monkeypatch):
    words = ["distill", "t.npz", "--stream", "--alpha", "1e-3", "--scale", "standard", "--jobs", "1"]
    assert run(*words, "--out", "whole.json")[0] == 0
    assert not os.path.exists(".whole.json.unfinished")
    again = ["--resume"]
    for after in (3, 12, 30):  # in the scaling, in the Gram matrix, in Newton's method
        script = DISTIL_DIES.replace("DIES_AFTER", str(after))
        command = [sys.executable, "-c", script, *words, "--out", "s.json", *again]
        assert subprocess.run(command, capture_output=True, check=False).returncode == -9
        assert not os.path.exists("s.json")
        kept = sorted(os.listdir(".s.json.unfinished"))
        assert kept[0] == "origin.json"
    code, _, error = run(*words, "--out", "s.json")
    assert code == 2
    assert "--resume keeps" in error
    for others in ([*words[:4], "1e-2"], [*words, "--classes", "b,a"]):
        code, _, error = run(*others, "--out", "s.json", "--resume")
        assert code == 2
        assert "with other options" in error

    from limbeck.students import _passes

    read, of_group = [], _passes._of_group
    monkeypatch.setattr(_passes, "_of_group", lambda *a: (read.append(a[-1].first), of_group(*a))[1])
    assert run(*words, "--out", "s.json", "--resume")[0] == 0
    assert not os.path.exists(".s.json.unfinished")
    resumed = len(read)
    assert run(*words, "--out", "anew.json")[0] == 0
    assert resumed < (len(read) - resumed) - 30
    a, b = (json.loads(Path(name).read_text()) for name in ("s.json", "whole.json"))
    moving = {"provenance": 0, "digest": 0}  # they hold the time
    assert {**a, **moving} == {**b, **moving}
    assert a["provenance"]["rows"] == b["provenance"]["rows"]


def test_a_distilling_that_is_refused_leaves_nothing_to_resume(pool, run):
    assert (
        run("distill", "t.npz", "--stream", "--alpha", "0", "--saturated", "bound", "--out", "s.json")[0] == 2
    )
    np.savez("few.npz", X=X[:4], teacher_logit=Z[:4])
    code, _, error = run(
        "distill", "few.npz", "--stream", "--alpha", "0", "--held-out", "0", "--out", "s.json"
    )
    assert code == 2
    assert "so few rows fit memory" in " ".join(error.split())
    assert not os.path.exists(".s.json.unfinished")


@pytest.fixture
def unanswered(pool):
    for i in range(3):
        rows = slice(1000 * i, 1000 * (i + 1))
        np.savez(f"parts/{i}.npz", X=X[rows], id=IDS[rows])
    np.savez("pool.npz", X=X, id=IDS)
    with open("pool.csv", "w") as file:
        file.write("id,a,b,c,d\n")
        file.writelines(
            f"{name},{','.join(map(repr, row))}\n" for name, row in zip(IDS, X.tolist(), strict=True)
        )
    return pool


@pytest.mark.parametrize("scale", ["none", "standard", "sharpen"])
def test_selection_in_blocks_is_that_of_the_table_at_once(unanswered, run, scale):
    words = ["--budget", "4", "--scale", scale, "--id", "id"]
    assert run("select", "pool.npz", "--out", "whole.csv", *words)[0] == 0
    for name, how in (("pool.npz", ["--stream", "--jobs", "2"]), ("parts", []), ("pool.csv", ["--stream"])):
        columns = ["--features", "[abcd]"] if name.endswith("csv") else []
        code, _, error = run("select", name, "--out", "b.csv", "--overwrite", *how, *columns, *words)
        assert code == 0, error
        rows, whole = (Path(f).read_text().splitlines() for f in ("b.csv", "whole.csv"))
        for row, expected in zip(rows[1:], whole[1:], strict=True):
            found, wanted = row.split(","), expected.split(",")
            assert found[:2] == wanted[:2]
            np.testing.assert_allclose(list(map(float, found[2:])), list(map(float, wanted[2:])), rtol=1e-9)


def test_answers_help_to_select_in_blocks_and_the_page_proves_all_of_the_pool(unanswered, run):
    np.savez("bought.npz", id=IDS[[7, 500, 2900]], z=Z[[7, 500, 2900]])
    words = ["--budget", "2", "--given", "bought.npz", "--teacher-logit", "z", "--no-intercept"]
    for name, how in (("a.csv", "--at-once"), ("b.csv", "--stream")):
        page = name.replace("csv", "html")
        code, _, error = run("select", "pool.npz", "--out", name, "--report", page, how, *words)
        assert code == 0, error
        assert f"Share of the pool&#39;s {N} answers that is proved" in Path(page).read_text()
    assert Path("a.csv").read_text().split("\n")[0] == Path("b.csv").read_text().split("\n")[0]
    ids = [[line.split(",")[1] for line in Path(f).read_text().splitlines()] for f in ("a.csv", "b.csv")]
    assert ids[0] == ids[1]


def test_a_plan_in_blocks_is_that_of_the_table_at_once(unanswered, run):
    noisy = Z + np.random.default_rng(1).standard_normal(N)
    drawn = np.random.default_rng(2).permutation(N)[:60]
    np.savez("pilot.npz", id=IDS[drawn], z=noisy[drawn])
    for answers in ([], ["--answers", "pilot.npz", "--teacher-logit", "z", "--id", "id"]):
        said = [
            run("plan", name, "--target-risk", "0.1", "--orders", "5", *how, *answers)
            for name, how in (("pool.npz", ["--at-once"]), ("pool.npz", ["--stream"]), ("parts", []))
        ]
        assert said[0][0] == 0, said[0][2]
        assert said[0][1] == said[1][1] == said[2][1]


def test_an_id_that_is_twice_in_a_stored_pool_is_named(unanswered, run):
    np.savez("parts/2.npz", X=X[2000:], id=IDS[1000:2000])
    np.savez("bought.npz", id=IDS[1500:1503])
    code, _, error = run(
        "select", "parts", "--budget", "2", "--given", "bought.npz", "--out", "x.csv", "--id", "id"
    )
    assert code == 2
    assert "'r1500' (column 'id') occurs in rows 1501 and 2501" in " ".join(error.split())


def test_a_folder_of_answers_is_written_by_the_workers_and_appears_whole(student, run, monkeypatch):
    from limbeck.data import unfinished

    assert run("predict", "s.json", "t.npz", "--out", "one.parquet")[0] == 0
    there, count = unfinished._WrittenThere.__call__, []

    def failing(self, group):
        count.append(group.first)
        if len(count) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return there(self, group)

    with monkeypatch.context() as patch:
        patch.setattr(unfinished._WrittenThere, "__call__", failing)
        code, _, error = run("predict", "s.json", "t.npz", "--out", "many", "--jobs", "1")
    assert code == 2
    assert "make room, then --resume" in " ".join(error.split())
    assert not os.path.exists("many")
    code, said, error = run("predict", "s.json", "t.npz", "--out", "many", "--resume")
    assert code == 0, error
    assert f"{N} rows answered" in said
    assert len(os.listdir("many")) == 6
    assert pq.read_table("many").equals(pq.read_table("one.parquet"))
    code, _, error = run("predict", "s.json", "t.npz", "--out", "many", "--overwrite")
    assert code == 2
    assert run("select", "many", "--features", "probability_*", "--budget", "1", "--out", "p.csv")[0] == 0


@pytest.mark.parametrize("size", [1e-160, 1e160])
@pytest.mark.parametrize(
    "words",
    [
        ("distill", "odd.npz", "--stream", "--alpha", "0", "--out", "o.json"),
        ("distill", "odd.npz", "--stream", "--alpha", "0", "--scale", "standard", "--out", "o.json"),
        ("select", "odd.npz", "--stream", "--budget", "3", "--out", "o.csv"),
        ("select", "odd.npz", "--stream", "--budget", "3", "--no-intercept", "--out", "o.csv"),
        ("predict", "s.json", "odd.npz", "--out", "o.csv"),
    ],
    ids=" ".join,
)
def test_points_whose_squares_leave_the_range_of_floats_are_refused_in_blocks_too(
    pool, student, run, recwarn, words, size
):
    # 1e160 overflowed in a worker, past every filter of warnings; 1e-160 gave a wrong student without a word.
    np.savez("odd.npz", X=size * X[:90], id=IDS[:90], teacher_logit=Z[:90])
    code, said, error = run(*words)
    assert (code, said) == (2, "")
    assert "the features in rows 1 to 90 is" in " ".join(error.split())
    assert not recwarn.list
    assert not [name for name in os.listdir() if name.startswith("o.")]


@pytest.mark.parametrize("scale", ["standard", "sharpen"])
@pytest.mark.parametrize("report", [(), ("--report", "r.html", "--repeats", "2")], ids=["", "report"])
def test_points_without_answers_shape_the_metric_in_blocks_too(pool, run, scale, report):
    # Only the answered ones did, and it was said that sharpening changed nothing.
    rows = np.random.default_rng(3).permutation(400)[:12]
    rough = X[:400] * np.geomspace(0.1, 10, X.shape[1])
    np.savez("rough.npz", X=rough, id=IDS[:400])
    np.savez("few.npz", id=IDS[rows], teacher_logit=np.sin(Z[rows]))
    words = ("distill", "rough.npz", "--answers", "few.npz", "--teacher-logit", "teacher_logit", "--alpha", "0",
             "--no-intercept", "--scale", scale, *report, "--overwrite")  # fmt: skip
    students = []
    for how in ("--stream", "--at-once"):
        code, said, error = run(*words, how, "--out", "s.json", "--json")
        assert code == 0, error
        students.append(load("s.json"))
        assert "400 points, 12 answered" in json.dumps(read("s.json").provenance)
    np.testing.assert_allclose(students[0].coef_, students[1].coef_, rtol=1e-8)
    code, said, error = run(*words, "--stream", "--out", "s.json")
    assert "changed nothing" not in said
