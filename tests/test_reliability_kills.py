"""A sample of the sections kills and disks of docs/reliability.md: few jobs, few kills."""

from types import SimpleNamespace

import pytest
from torture import disks, kills

ROWS = 3000


@pytest.mark.parametrize(("name", "times"), [("select", 4), ("label", 3)])
def test_a_command_killed_and_run_again_ends_as_if_undisturbed(tmp_path, name, times):
    found = kills.campaign(name, times, tmp_path, many=ROWS)
    assert (found.kills, found.torn, found.left, found.wrong, found.twice) == (times, 0, 0, 0, 0)


@pytest.fixture(scope="module")
def predict(tmp_path_factory):
    return disks.Undisturbed("predict", tmp_path_factory.mktemp("predict"), ROWS)


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_a_full_disk_is_an_error_and_spoils_nothing(predict, tmp_path, share):
    found = disks.full(predict, tmp_path / "disk", share)[1]
    assert found.sound, found


def test_a_file_that_may_not_grow_is_an_error_and_spoils_nothing(predict, tmp_path):
    found = disks.limited(predict, tmp_path / "folder", 0.6)
    assert found.sound, found
    assert "File too large" in found.said


def test_a_folder_that_turns_read_only_is_an_error_and_spoils_nothing(predict, tmp_path):
    found = disks.read_only(predict, tmp_path / "folder", from_the_start=False)
    assert found.sound, found


def test_the_second_of_two_runs_on_one_output_is_refused(predict, tmp_path):
    second, first = disks.two_at_once(predict, tmp_path / "folder")
    assert "answers.csv is in use by another run" in second.said
    assert second.sound, second
    assert first == 0


def test_what_is_torn_is_seen(predict, tmp_path):
    predict.lay_out(tmp_path)
    (tmp_path / "answers.csv").write_text("half")
    found = predict.judged(tmp_path, 1, "Traceback")
    assert found.spoilt == ("answers.csv",)
    assert not found.clear


def test_no_answer_is_bought_that_finds_no_room(tmp_path, monkeypatch):
    from limbeck.budget.ledger import Ledger

    ledger = Ledger(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match="No space left"):
        ledger.ask("a", "audit")
    ledger.close()
    assert (tmp_path / "asked.jsonl").read_bytes() == b""
