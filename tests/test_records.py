import json
import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.records import (
    Cell,
    Estimate,
    Record,
    UserError,
    _no_duplicates,
    append,
    drop_half_line,
    locked,
    name_aside,
    plain,
    pool,
    read_records,
    write_json,
    write_table,
    write_whole,
    written_aside,
)


def record(block=0, mean=1.0):
    cell = Cell("noise", {"scale": 2.0, "to": math.inf}, block, 3)
    return Record(cell, 7, {"mean": Estimate(mean, 0.5, 3)}, {"values": np.arange(2), "says": "π"})


def test_a_line_read_back_is_the_record():
    again = Record.from_line(record().to_line())
    assert again.cell == record().cell
    assert again.estimates == record().estimates
    assert again.detail == {"values": [0, 1], "says": "π"}
    assert again.to_line() == record().to_line()
    assert "Infinity" not in record().to_line()


def test_nan_is_not_stored():
    with pytest.raises(ValueError, match="JSON"):
        record(mean=math.nan).to_line()


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), st.integers(1, 7))
def test_pooled_blocks_are_the_estimate_of_all_repeats(values, size):
    blocks = [values[i : i + size] for i in range(0, len(values), size)]
    records = [Record(Cell("e", {}, i), 0, {"x": Estimate.of(b)}) for i, b in enumerate(blocks)]
    pooled, whole = pool(records)["x"], Estimate.of(values)
    scale = max(map(abs, values)) + 1e-300
    assert pooled.count == whole.count
    assert pooled.mean == pytest.approx(whole.mean, abs=1e-12 * scale)
    assert pooled.stderr == pytest.approx(whole.stderr, abs=1e-9 * scale)


def test_a_cells_stream_depends_on_the_cell_and_the_seed_alone():
    a = Cell("e", {"x": 1.0, "y": "z"}, 3)
    same = Cell("e", {"y": "z", "x": 1.0}, 3, repeats=99)
    assert a.key == same.key
    assert a.rng(0).random() == same.rng(0).random()
    others = [Cell("e", {"x": 1.0, "y": "z"}, 4), Cell("f", a.parameters, 3), Cell("e", {"x": 2.0}, 3)]
    draws = {a.rng(0).random(), a.rng(1).random(), *(c.rng(0).random() for c in others)}
    assert len(draws) == 5


def test_a_half_written_last_line_is_left_out_and_cut_off(tmp_path):
    path = tmp_path / "records.jsonl"
    append(path, record(0))
    append(path, record(1))
    whole = path.read_bytes()
    for cut in (1, 20, 100):
        path.write_bytes(whole[:-cut])
        assert [r.cell.block for r in read_records(path)] == [0]
        drop_half_line(path)
        append(path, record(1))
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "damage", ["{", "[]", '"x"', '{"experiment": "e"}', '{"a": NaN}', "\ud800", "[" * 100_000]
)
def test_a_damaged_line_is_named(tmp_path, damage):
    path = tmp_path / "records.jsonl"
    append(path, record(0))
    with path.open("ab") as file:
        file.write(damage.encode("utf-8", "surrogatepass") + b"\n")
    append(path, record(1))
    with pytest.raises(UserError, match="line 2 is damaged"):
        read_records(path)


def test_files_appear_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    write_whole(path, "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-7, "0.0000001"), (2.0, "2"), (math.inf, "inf"), (None, ""), (3, "3"), ("a", "a"), (0.1, "0.1")],
)
def test_tables_hold_plain_decimals(value, text):
    assert plain(value) == text


@given(st.floats(allow_nan=False))
def test_plain_decimals_lose_nothing(x):
    assert float(plain(x)) == x


def test_tables_and_json_are_whole_files(tmp_path):
    write_table(tmp_path / "t.csv", ["a", "b"], [(1, None), ("x,y", math.inf)])
    assert (tmp_path / "t.csv").read_text() == 'a,b\n1,\n"x,y",inf\n'
    write_json(tmp_path / "j.json", {"x": [np.float64(1.5), np.int64(2)]})
    assert json.loads((tmp_path / "j.json").read_text()) == {"x": [1.5, 2]}


def test_a_folder_serves_one_run_at_a_time(tmp_path):
    with locked(tmp_path), pytest.raises(UserError, match="in use by another run"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_a_file_serves_one_run_at_a_time_and_its_lock_is_gone_with_the_run(tmp_path):
    path = tmp_path / "picks.csv"
    (tmp_path / ".picks.csv.lock").touch()  # left by a run that was killed: nobody holds it
    with locked(path), locked(tmp_path / "other.csv"), pytest.raises(UserError, match="in use"), locked(path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_aside_is_removed_and_what_is_being_written_is_not(tmp_path):
    path = tmp_path / "a.csv"
    (tmp_path / ".a.csv.dead.partial").write_text("half")
    with written_aside(path) as aside:
        write_whole(path, "meanwhile")
        assert sorted(tmp_path.iterdir()) == sorted([aside, path])
        aside.write_text("later")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["later"]


def test_a_doubled_key_is_found_in_time_proportional_to_the_number_of_keys():
    class Key(str):
        __hash__ = str.__hash__
        compared = 0

        def __eq__(self, other):
            Key.compared += 1
            return str.__eq__(self, other)

    pairs = [(Key(f"k{i}"), i) for i in range(3000)]
    with pytest.raises(ValueError, match="'k2999'"):
        _no_duplicates([*pairs, (Key("k2999"), 0)])
    assert Key.compared < 10 * len(pairs)  # every key with every other: 4.5 million


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path):
    path = tmp_path / "a.json"
    for mode in (0o600, 0o664):
        path.write_text("old")
        path.chmod(mode)
        write_whole(path, "new")
        assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", mode)


def test_what_is_no_regular_file_is_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "folder").mkdir()
    before = sorted(os.listdir(tmp_path))
    for name in ("pipe", "link", "folder"):
        with pytest.raises(UserError, match=name):
            write_whole(tmp_path / name, "new")
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "link").is_symlink()


def test_the_longest_name_can_be_written_locked_and_cleaned_up(tmp_path):
    path = tmp_path / ("é" * 125 + ".json")
    assert len(os.fsencode(path.name)) == 255
    (tmp_path / f"{name_aside(path, '.')}left.partial").write_bytes(b"by a kill")
    with locked(path):
        write_whole(path, "all")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
