import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fakes import FAKES
from limbeck.experiments import EXPERIMENTS
from limbeck.experiments.run import Request, run, settings_of
from limbeck.records import UserError, read_records

FAKES_FILE = Path(__file__).parents[1] / "fakes.py"


def files(out):
    """Every file's bytes, the manifest without its timings."""
    found = {p.name: p.read_bytes() for p in out.iterdir() if p.name != "manifest.json"}
    manifest = json.loads((out / "manifest.json").read_text())
    del manifest["run"]
    return {**found, "manifest.json": manifest}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    run(FAKES, Request(["noise"], out, values={"pause": "0.02"}))
    return files(out)


def test_everything_is_written(undisturbed):
    assert {"noise.csv", "noise.svg", "noise.png", "records.jsonl", "findings.json"} <= undisturbed.keys()
    header, first, _ = undisturbed["noise.csv"].decode().splitlines()
    assert header == "scale,mean,stderr,repeats,top,nothing"
    assert first.startswith("1,")
    assert first.endswith(",40,inf,")
    assert len(undisturbed["records.jsonl"].splitlines()) == 20


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_killed_at_any_moment_and_resumed_gives_the_same_files(tmp_path, undisturbed, jobs):
    moments = random.Random(jobs)
    environment = {**os.environ, "PYTHONPATH": str(FAKES_FILE.parent), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(FAKES_FILE), str(tmp_path), str(jobs)]
    kept = [0]
    for _ in range(4):
        process = subprocess.Popen(
            command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL
        )
        records, deadline = tmp_path / "records.jsonl", time.monotonic() + 60
        goal = kept[-1] + moments.randint(1, 4)
        while time.monotonic() < deadline and process.poll() is None:
            if records.exists() and records.read_bytes().count(b"\n") >= goal:
                break
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kept.append(len(read_records(records)))
        assert kept[-1] >= min(goal, 20)  # nothing finished was lost
    subprocess.run(command, env=environment, check=True)
    assert files(tmp_path) == undisturbed


def test_finished_cells_are_not_measured_again(tmp_path, monkeypatch):
    trace = tmp_path / "trace"
    monkeypatch.setenv("NOISE_TRACE", str(trace))
    request = Request(["noise"], tmp_path / "out")
    run(FAKES, request)
    lines = (tmp_path / "out" / "records.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "out" / "records.jsonl").write_text("".join(lines[:7] + lines[8:]))
    trace.unlink()
    run(FAKES, Request(["noise"], tmp_path / "out", resume=True))
    assert len(trace.read_text().splitlines()) == 1
    assert (tmp_path / "out" / "records.jsonl").read_text() == "".join(lines)
    trace.unlink()
    run(FAKES, Request(["noise"], tmp_path / "out", resume=True))  # re-renders
    assert not trace.exists()


def test_the_number_of_processes_changes_nothing(tmp_path, undisturbed):
    run(FAKES, Request(["noise"], tmp_path, jobs=3, values={"pause": "0.02"}))
    assert files(tmp_path) == undisturbed


def test_parts_of_one_run_share_a_folder(tmp_path):
    one_by_one, both = tmp_path / "one-by-one", tmp_path / "both"
    run(FAKES, Request(["silence"], one_by_one))
    run(FAKES, Request(["noise"], one_by_one))
    run(FAKES, Request(["all"], both))
    assert files(one_by_one) == files(both)


def test_an_interrupt_keeps_what_is_finished(tmp_path):
    class Impatient:
        seen = 0

        def start(self, total, done):
            assert (total, done) == (20, 0)

        def advance(self, cell):
            self.seen += 1
            if self.seen == 5:
                raise KeyboardInterrupt

    for jobs in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            run(FAKES, Request(["noise"], tmp_path / str(jobs), jobs=jobs), Impatient())
        assert len(read_records(tmp_path / str(jobs) / "records.jsonl")) == 5


def refused(out, **request):
    with pytest.raises(UserError) as error:
        run(FAKES, Request(**{"names": ["noise"], "out": out, **request}))
    return str(error.value)


def test_other_settings_are_refused_with_every_difference(tmp_path):
    run(FAKES, Request(["noise"], tmp_path, seed=1))
    before = files(tmp_path)
    said = refused(tmp_path, seed=2, quick=True, values={"level": "3"}, resume=True)
    assert "seed: there 1, now 2" in said
    assert "quick: there False, now True" in said
    assert "noise level: there 1.0, now 3.0" in said
    assert "--overwrite" in said
    assert files(tmp_path) == before
    run(FAKES, Request(["noise"], tmp_path, seed=2, overwrite=True))
    assert read_records(tmp_path / "records.jsonl")[0].seed == 2


def test_a_run_that_finished_no_cell_leaves_nothing_to_disagree_with(tmp_path):
    run(FAKES, Request(["noise"], tmp_path, seed=1))
    (tmp_path / "records.jsonl").unlink()
    run(FAKES, Request(["noise"], tmp_path, seed=2))
    assert read_records(tmp_path / "records.jsonl")[0].seed == 2


def test_what_is_there_is_not_redone_without_being_asked(tmp_path):
    run(FAKES, Request(["noise"], tmp_path))
    assert "already holds results of noise" in refused(tmp_path)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"names": ["nois"]}, "no experiment 'nois'. Did you mean noise\\? Valid: all, noise, silence"),
        ({"values": {"lebel": "1"}}, "no setting 'lebel'. Did you mean level\\? Valid: label, level, pause"),
        ({"values": {"level": "high"}}, "level must be a finite number, such as 1.0"),
        ({"values": {"level": "inf"}}, "level must be a finite number, such as 1.0"),
        ({"values": {"pitch": "1"}}, "'pitch' is a setting of silence, which was not asked for"),
        ({"values": {"level": "-1"}}, "noise: level must be >= 0, got -1.0"),
        ({"repeats": 1}, "--repeats 1: at least 2"),
        ({"jobs": 0}, "--jobs 0"),
        ({"seed": -1}, "--seed -1"),
    ],
)
def test_wrong_requests_are_refused_before_any_work(tmp_path, request_, said):
    with pytest.raises(UserError, match=said):
        run(FAKES, Request(**{"names": ["noise"], "out": tmp_path / "out", **request_}))
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be written to" in refused(tmp_path / "file" / "out")


def test_damage_is_named_and_nothing_lost(tmp_path):
    run(FAKES, Request(["noise"], tmp_path))
    path = tmp_path / "records.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], "gibberish\n", *lines[1:]]))
    assert "records.jsonl, line 2 is damaged" in refused(tmp_path, resume=True)
    assert path.read_text().count("\n") == 21
    (tmp_path / "manifest.json").write_text("{")
    assert "manifest.json is damaged" in refused(tmp_path, resume=True)
    (tmp_path / "manifest.json").write_text("{}")
    assert "without manifest.json" in refused(tmp_path, resume=True)


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_every_experiment_has_quick_and_full_settings_that_pass_its_own_check(name):
    experiment = EXPERIMENTS[name]
    for quick in (False, True):
        settings = settings_of(experiment, Request([name], Path("out"), quick=quick))
        experiment.check(settings)
        cells = experiment.plan(settings)
        assert len({cell.key for cell in cells}) == len(cells)


def test_all_leaves_out_what_lacks_an_extra_and_says_so(tmp_path, monkeypatch):
    from limbeck.experiments import EXPERIMENTS
    from limbeck.experiments import run as whole

    assert whole.left_out(EXPERIMENTS, ["all"], {}) == {}
    monkeypatch.setitem(whole.EXTRAS, "digits", "no_such_module")
    assert whole.left_out(EXPERIMENTS, [], {}) == {"figure-4": "digits"}
    assert "figure-4" not in whole.chosen(EXPERIMENTS, ["all"])
    assert "figure-4" in whole.chosen(EXPERIMENTS, ["all", "figure-4"])
    assert "figure-4" in whole.chosen(EXPERIMENTS, ["all"], {"digits": "folder"})
