"""Teachers that misbehave in every way there is: never one question more than the budget, and a replay is the run."""

import json
import os
import signal
import sys
import time
from contextlib import closing
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from budget.faulty import FAULTS
from limbeck import BudgetedDistillation, SoftLabelClassifier
from limbeck.budget import ProgramTeacher
from limbeck.budget.asking import Manners
from limbeck.budget.ledger import FLOOD, FloodError, Ledger
from limbeck.records import UserError

HERE = Path(__file__).parent
X = np.random.default_rng(0).standard_normal((40, 2))


def buying(teacher, **change):
    manners = Manners(**{"backoff": 0.0, "timeout": 20.0, **change.pop("manners", {})})
    wishes = {
        "budget": 12,
        "target_risk": 0.001,
        "audit": 4,
        "batch": 2,
        "student": SoftLabelClassifier(0.1),
        **change,
    }
    return BudgetedDistillation(teacher, manners=manners, select="random", **wishes)


def program(tmp_path, body, **change):
    """A run whose teacher is this Python text, after ``import json, os, sys, time``."""
    path = tmp_path / "teacher.py"
    path.write_text("import json, os, sys, time\n" + NO_FULL_DISK + body)
    return buying(f"{sys.executable} -S -E '{path}'", **change)


NO_FULL_DISK = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (1 << 28, 1 << 28))\n"
"""A flood that nobody ends stops at 256 MiB by itself: it must not fill the disk of who runs the tests."""

EACH = """
def say(**fields):
    sys.stdout.write(json.dumps(fields) + "\\n")
    sys.stdout.flush()

for number, line in enumerate(sys.stdin):
    name = json.loads(line)["id"]
    with open(sys.argv[0] + ".seen", "a") as file:
        file.write(name + "\\n")
"""


def seen(tmp_path):
    return (tmp_path / "teacher.py.seen").read_text().split()


def state(folder):
    """Everything a folder is known to hold."""
    ledger = Ledger(folder)
    ledger.close()
    return (
        {name: asdict(row) for name, row in ledger.rows.items()},
        ledger.tally,
        ledger.classes,
        ledger.decimals,
    )


def told(bought):
    """Everything that was bought and shown."""
    coef = None if bought.student is None else bought.student.coef_.tolist()
    looks = [asdict(look) for look in bought.looks]
    said = [bought.audit.tolist(), bought.learned.tolist(), bought.said.tolist(), bought.spent, bought.reason]
    return json.dumps([coef, looks, *said, dict(bought.counts), bought.classes])


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    faults=st.lists(st.sampled_from(sorted(FAULTS)), min_size=1, max_size=4).map("".join),
    more=st.sampled_from(["", "a", "aaa"]),
    seed=st.integers(0, 99),
    in_flight=st.sampled_from([1, 2, 7]),
    retries=st.integers(0, 3),
    repeat=st.sampled_from([0, 2]),
)
def test_no_question_beyond_the_budget_and_a_replay_is_the_run(
    tmp_path_factory, faults, more, seed, in_flight, retries, repeat
):
    place = tmp_path_factory.mktemp("faulty")
    command = f"{sys.executable} -S -E '{HERE / 'faulty.py'}' '{place / 'seen'}' {seed} {faults + more}"
    manners = {"in_flight": in_flight, "retries": retries, "timeout": 1.0}
    for _ in range(4):  # runs that a failing teacher ends go on
        live = None
        try:
            live = buying(command, manners=manners, repeat=repeat).run(X, folder=place / "run")
        except UserError as error:
            assert "in a row" in str(error)  # noqa: PT017 - nothing else may end a run
        asked = (place / "seen").read_text().split()
        assert len(asked) <= 12
        noted = (place / "run" / "asked.jsonl").read_text().count('"event": "asked"')
        assert len(asked) <= noted <= 12
        if live is not None:
            break
    if live is not None:
        again = buying(command, manners=manners, repeat=repeat).run(X, folder=place / "run")
        assert told(again) == told(live)
        assert (place / "seen").read_text().split() == asked


@pytest.mark.parametrize("in_flight", [1, 5])
def test_retries_count_against_the_budget(tmp_path, in_flight):
    body = EACH + "    say(id=name, **({'probabilities': 0.5} if number < 9 else {'error': 'x'}))\n"
    bought = program(tmp_path, body, manners={"in_flight": in_flight}).run(X, folder=tmp_path / "run")
    assert len(seen(tmp_path)) == bought.spent == 12
    assert bought.reason == "the budget is spent"


def test_a_question_beyond_the_budget_cannot_even_be_noted(tmp_path):
    ledger = Ledger(tmp_path, most=1)
    ledger.ask("a", "audit")
    with pytest.raises(RuntimeError, match="no more than 1 may be"):
        ledger.ask("b", "audit")
    ledger.close()
    more = Ledger(tmp_path, most=2)
    more.close()
    assert (more.left, more.spent) == (1, 1)


def test_answers_from_before_the_question_never_become_answers(tmp_path):
    early = "for row in range(40):\n    print(json.dumps({'id': str(row + 1), 'probabilities': 0.1}), flush=True)\n"
    buy = program(tmp_path, early + "time.sleep(0.2)\n" + EACH + "    say(id=name, probabilities=0.9)\n")
    live = buy.run(X, folder=tmp_path / "run")
    again = buy.run(X, folder=tmp_path / "run")
    assert told(again) == told(live)
    # Whether a reply comes before or after its question was sent is a matter of timing: either is counted.
    assert live.counts.get("unknown ids", 0) + live.counts.get("duplicates", 0) >= 39


def test_a_folder_whose_notes_name_no_position_is_read_as_it_always_was(tmp_path):
    live = program(tmp_path, EACH + "    say(id=name, probabilities=0.9)\n").run(X, folder=tmp_path / "run")
    path = tmp_path / "run" / "asked.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(event.pop("read") >= 0 for event in events)
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    run = tmp_path / "run" / "run.json"
    run.write_text(
        json.dumps({k: v for k, v in json.loads(run.read_text()).items() if k not in ("teacher", "sent")})
    )
    assert told(buying("true").run(X, folder=tmp_path / "run")) == told(live)


def test_questions_that_are_lost_are_not_asked_again(tmp_path):
    buy = program(tmp_path, EACH + "    say(id=name, probabilities=0.9)\n")
    buy.run(X, folder=tmp_path / "run")
    replies, asked = tmp_path / "run" / "replies.jsonl", tmp_path / "run" / "asked.jsonl"
    whole = replies.read_bytes()
    replies.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"replies.jsonl has lost its end: .* Answers paid for are missing"):
        buy.run(X, folder=tmp_path / "run")
    replies.write_bytes(whole)
    for lost in (lambda: asked.write_bytes(b""), asked.unlink):
        lost()
        with pytest.raises(UserError, match=r"holds answers, and asked.jsonl no question: .* bought again"):
            buy.run(X, folder=tmp_path / "run")
    assert len(seen(tmp_path)) == 12


def test_a_banner_before_the_first_question_is_no_answer(tmp_path):
    (tmp_path / "replies.jsonl").write_text("Loading ...\n")
    Ledger(tmp_path).close()


@pytest.mark.parametrize("said", ["{'probabilities': {'a\\ud800': 0.5, 'b': 0.5}}", "{'error': 'a\\udfff'}"])
def test_half_a_character_is_malformed_and_harms_nothing(tmp_path, said):
    body = EACH + f"    say(id=name, **({said} if number % 3 == 0 else {{'probabilities': 0.5}}))\n"
    bought = program(tmp_path, body).run(X, folder=tmp_path / "run")
    assert bought.counts["malformed"] == 4
    assert bought.classes == ("0", "1")


def test_half_a_character_in_what_a_function_raises_is_kept(tmp_path):
    def fails(x):
        raise ConnectionError("a\ud800")

    with pytest.raises(UserError, match=r"a\?\. The 0 answers"):
        buying(fails).run(X, folder=tmp_path)


def test_a_malformed_answer_decides_nothing_of_those_to_come(tmp_path):
    body = (
        EACH
        + "    p, q = (0.5, 1.5) if number == 0 else (0.5, 0.5)\n    names = 'xy' if number == 0 else 'ab'\n"
    )
    body += "    say(id=name, probabilities=dict(zip(names, (p, q))))\n"
    bought = program(tmp_path, body).run(X, folder=tmp_path / "run")
    assert bought.classes == ("a", "b")
    assert bought.counts == {"asked": 12, "malformed": 1}


def test_malformed_answers_in_a_row_end_the_run(tmp_path):
    with pytest.raises(
        UserError, match=r"5 times in a row: a malformed answer: .* 0 answers bought so far are kept"
    ):
        program(tmp_path, EACH + "    say(id=name, probabilities=7)\n").run(X, folder=tmp_path / "run")
    assert len(seen(tmp_path)) == 5


# A file-size limit of its own: should it not be ended, it fills no disk.
FLOODED = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (1 << 28, 1 << 28))\n"
FLOODS = {
    "no line break": "    while True:\n        os.write(1, b'x' * 65536)\n",
    "no line break, from a child": "    os.fork()\n    while True:\n        os.write(1, b'x' * 65536)\n",
    "replies nobody asked for": '    while True:\n        os.write(1, b\'{"id": "z"}                 \\n\' * 4096)\n',
    "no JSON": "    while True:\n        os.write(1, b'thinking\\n' * 4096)\n",
}


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX's")
@pytest.mark.parametrize("body", FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_is_ended_at_once_and_not_read_again(tmp_path, body):
    buy = program(
        tmp_path,
        FLOODED
        + EACH
        + "    if number < 2:\n        say(id=name, probabilities=0.5)\n        continue\n"
        + body,
    )
    began = time.monotonic()
    with pytest.raises(UserError, match=r"bytes without a line break|answer no question|no JSON objects"):
        buy.run(X, folder=tmp_path / "run")
    assert time.monotonic() - began < 15  # its time-out is 20 s
    replies = tmp_path / "run" / "replies.jsonl"
    size = replies.stat().st_size
    assert size < 2 * FLOOD
    time.sleep(0.1)
    assert replies.stat().st_size == size  # nobody writes any more
    good = program(tmp_path, EACH + "    say(id=name, probabilities=0.5)\n")
    assert len(good.run(X, folder=tmp_path / "run").answers) == 11


def test_a_long_log_is_cut_and_its_end_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("limbeck.budget.teachers.LOG_LIMIT", 1 << 20)
    monkeypatch.setattr("limbeck.budget.teachers.LOG_KEPT", 1 << 16)
    talks = (
        "    os.write(2, b'thinking\\n' * 50_000 + f'done with {name}\\n'.encode())\n    time.sleep(.05)\n"
    )
    buy = program(tmp_path, EACH + talks + "    say(id=name, probabilities=0.5)\n")
    assert len(buy.run(X, folder=tmp_path / "run").answers) == 12
    log = (tmp_path / "run" / "teacher.log").read_bytes()
    assert len(log) < 5 * (1 << 20)
    assert b"bytes of this log were cut" in log
    assert f"done with {seen(tmp_path)[-1]}".encode() in log


def test_a_log_that_somebody_deletes_is_not_missed(tmp_path):
    deletes = "    if number == 2:\n        os.remove(os.path.dirname(sys.argv[0]) + '/run/teacher.log')\n"
    buy = program(tmp_path, EACH + deletes + "    time.sleep(.03)\n    say(id=name, probabilities=0.5)\n")
    assert len(buy.run(X, folder=tmp_path / "run").answers) == 12


def test_a_flood_left_by_a_killed_run_is_dropped(tmp_path):
    Ledger(tmp_path).close()
    with (tmp_path / "replies.jsonl").open("wb") as file:
        file.write(b'{"id": "1"}\n')
        file.truncate(1 << 36)  # 64 GiB of zeros, on a disk that has holes
    with pytest.raises(UserError, match="no question"):
        Ledger(tmp_path)
    assert (tmp_path / "replies.jsonl").stat().st_size == 12


def test_a_long_line_with_an_end_is_one_line_of_garbage(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.ask("a", "audit")
    with ledger.replies_path.open("ab") as file:
        file.write(b"x" * 3_000_000 + b'\n{"id": "a", "probabilities": 0.5}\n')
    assert ledger.take() == ["a"]
    assert ledger.counts["garbage"] == 1
    with ledger.replies_path.open("ab") as file:
        file.write(b"x" * (FLOOD + 1))
    with pytest.raises(FloodError, match="answer no question"):
        ledger.take()
    ledger.close()


@pytest.mark.skipif(sys.platform == "win32", reason="locks are POSIX's")
def test_who_holds_the_lock_is_said(tmp_path):
    left = "if os.fork() == 0:\n    os.setsid()\n    time.sleep(4)\n    os._exit(0)\n"
    buy = program(tmp_path, left + EACH + "    sys.exit('gone')\n", manners={"timeout": 0.5})
    with pytest.raises(
        UserError, match=r"process \d+\) has ended, but a process that it started and left behind"
    ):
        buy.run(X, folder=tmp_path / "run")
    lock = tmp_path / "run" / "teacher.lock"
    time.sleep(4)
    for stale in (b"\xff\x00", b"9" * 5000, f"{os.getpid()} 12".encode()):  # damaged, or a number used again
        lock.write_bytes(stale)
        ProgramTeacher("true").start(tmp_path / "run" / "replies.jsonl", 0.5).close(5.0)
    lock.write_text(f"{os.getpid()}\n")
    import fcntl

    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=rf"earlier run \(process {os.getpid()}\) is still at work"):
            ProgramTeacher("true").start(tmp_path / "run" / "replies.jsonl", 0.05)


def test_a_folder_from_before_there_were_extensions_goes_on_and_can_be_extended(tmp_path):
    def buy(**change):
        return program(tmp_path, EACH + "    say(id=name, probabilities=0.9)\n", **change).run(
            X, folder=tmp_path / "run"
        )

    live = buy()
    path = tmp_path / "run" / "run.json"
    run = json.loads(path.read_text())
    (stage,) = run.pop("stages")
    path.write_text(json.dumps({**run, **{name: stage[name] for name in ("audit", "batch", "looks")}}))
    assert told(buy()) == told(live)
    assert len(seen(tmp_path)) == 12
    with pytest.raises(UserError, match="a run with batch = 2, and 3 was asked for"):
        buy(batch=3)
    more = buy(budget=24)
    assert (len(more.stages), more.spent, len(more.audit)) == (2, 24, 4)
    assert set(live.audit) | set(live.learned) <= set(more.learned)
    assert len(set(seen(tmp_path))) == 24


# -- nothing waits for ever, nothing paid for is lost --------------------------------------------------------------


def test_a_program_that_does_not_read_is_given_up_although_its_pipe_is_full(tmp_path):
    wide = np.random.default_rng(0).standard_normal((20, 4000))  # 80 kB a question, more than a pipe holds
    patience = {"timeout": 0.3, "retries": 9, "in_flight": 8}
    buy = program(tmp_path, "time.sleep(60)\n", budget=40, manners=patience)
    with pytest.raises(UserError, match=r"5 times in a row: no reply within 0.3 s"):
        buy.run(wide, folder=tmp_path / "run")


LONG = '{{"id": "{}", "probabilities": 0.5, "why": "' + "x" * 1_500_000 + '"}}\n'


def test_long_replies_that_come_together_are_all_answers(tmp_path):
    batched = (
        "held = ''\nfor number, line in enumerate(sys.stdin):\n"
        f"    held += {LONG!r}.format(json.loads(line)['id'])\n"
        "    if number % 4 == 3:\n        sys.stdout.write(held)\n        sys.stdout.flush()\n        held = ''\n"
    )
    bought = program(tmp_path, batched, batch=4, manners={"in_flight": 4}).run(X, folder=tmp_path / "run")
    assert (len(bought.answers), bought.counts) == (12, {"asked": 12})


@pytest.mark.parametrize(
    "garbage", ["", ("x" * 999 + "\n") * (FLOOD // 400)], ids=["no garbage", "behind garbage"]
)
def test_what_waits_after_a_kill_is_never_cut_off_if_it_is_an_answer(tmp_path, garbage):
    names = [f"r{number}" for number in range(7)]
    ledger = Ledger(tmp_path)
    for name in names:
        ledger.ask(name, "audit")
    ledger.close()
    kept = garbage + "".join(map(LONG.format, names))
    ledger.replies_path.write_text(kept + garbage)
    with closing(Ledger(tmp_path)) as again:
        if garbage:  # until the killed run's teacher has ended, an answer may still come
            with pytest.raises(FloodError):
                again.take()
            again.cut()
        assert [name for name in names if again.answered(name)] == names
    assert ledger.replies_path.stat().st_size == len(kept)


def killed(buy, folder, when):
    """Run in a process of its own, and kill that once ``when()`` holds."""
    run = get_context("spawn").Process(target=buy.run, args=(X,), kwargs={"folder": folder})
    run.start()
    while not when():
        assert run.is_alive()
        time.sleep(0.005)
    os.kill(run.pid, signal.SIGKILL)
    run.join()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and locks are POSIX's")
def test_a_program_that_closes_what_it_inherits_is_waited_for_all_the_same(tmp_path):
    body = (
        "os.closerange(3, 200)\n"
        + EACH
        + "    time.sleep(0.3 if number == 2 else 0)\n    say(id=name, probabilities=0.5)\n"
    )
    buy = program(tmp_path, body)
    at = tmp_path / "teacher.py.seen"
    killed(buy, tmp_path / "run", lambda: at.exists() and len(seen(tmp_path)) == 3)
    bought = buy.run(X, folder=tmp_path / "run")
    assert bought.counts == {"asked": 12}
    assert len(bought.answers) == len(set(seen(tmp_path))) == len(seen(tmp_path)) == 12


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
def test_a_repeated_question_that_failed_before_a_kill_is_asked_again(tmp_path):
    fails = EACH + "    times = open(sys.argv[0] + '.seen').read().split().count(name)\n"
    fails += "    say(id=name, **({'error': 'later'} if times == 2 else {'probabilities': 0.5}))\n"
    replies = tmp_path / "run" / "replies.jsonl"
    slow = program(tmp_path, fails, repeat=2, manners={"backoff": 60.0})
    killed(slow, tmp_path / "run", lambda: replies.exists() and "error" in replies.read_text())
    bought = program(tmp_path, fails, repeat=2).run(X, folder=tmp_path / "run")
    assert (bought.noise.rows, bought.spent) == (2, 12)


def test_no_more_questions_are_out_than_the_disk_has_room_for(tmp_path, monkeypatch):
    free = int(2.6 * 2**20)
    out, ask = [], Ledger.ask

    def counted(ledger, *words):
        ask(ledger, *words)
        out.append(sum(row.open for row in ledger.rows.values()))

    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free))
    monkeypatch.setattr(Ledger, "ask", counted)
    slow = EACH + "    time.sleep(0.02)\n    say(id=name, probabilities=0.5)\n"
    bought = program(tmp_path, slow, manners={"in_flight": 50}).run(X, folder=tmp_path / "run")
    assert (len(bought.answers), max(out)) == (12, 2)


def test_notes_that_are_older_than_the_answers_are_refused(tmp_path):
    buy = program(tmp_path, EACH + "    say(id=name, probabilities=0.9)\n")
    buy.run(X, folder=tmp_path / "run")
    asked = tmp_path / "run" / "asked.jsonl"
    asked.write_text("".join(asked.read_text().splitlines(keepends=True)[:-6]))
    with pytest.raises(
        UserError, match=r"answers for \d rows, .* asked.jsonl does not hold: it is an older copy"
    ):
        buy.run(X, folder=tmp_path / "run")
    assert len(seen(tmp_path)) == 12


def test_a_key_that_is_there_twice_makes_an_answer_malformed(tmp_path):
    doubled = '    print(\'{"id": "%s", "probabilities": 0.5, "probabilities": 0.6}\' % name, flush=True)\n'
    body = EACH + "    if number % 3:\n        say(id=name, probabilities=0.5)\n        continue\n" + doubled
    assert program(tmp_path, body).run(X, folder=tmp_path / "run").counts == {"asked": 12, "malformed": 4}


def test_another_teacher_or_other_texts_are_refused_once_there_is_an_answer(tmp_path):
    texts = [{"say": f"text {number}"} for number in range(len(X))]
    good = EACH + "    say(id=name, probabilities=0.5)\n"

    def buy(body=good, texts=texts, *, words=""):
        program(tmp_path, body)
        teacher = f"{sys.executable} -S -E '{tmp_path / 'teacher.py'}' {words}"
        return buying(teacher).run(X, folder=tmp_path / "run", columns=texts)

    with pytest.raises(UserError, match="0 answers bought so far"):
        buy(EACH + "    say(id=name, error='no such option')\n", words="--modle=a")
    buy(words="--model=a")  # nothing was bought: the command is put right
    calls = len(seen(tmp_path))
    with pytest.raises(UserError, match="answers of another teacher"):
        buy(words="--model=b")
    with pytest.raises(UserError, match="sent other columns or texts"):
        buy(texts=[{"say": "other"}, *texts[1:]], words="--model=a")
    buy(
        EACH + "    sys.exit('never asked')\n", words="  '--model=a'"
    )  # the same words, and a script that was mended
    assert len(seen(tmp_path)) == calls
    assert "model" not in (tmp_path / "run" / "run.json").read_text()


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (lambda x: np.array([0.2, 0.3, 0.5]), None),
        (lambda x: [[0.2, 0.3, 0.5]], None),
        (lambda x: np.full((2, 3), 1 / 3), r"shape \(2, 3\)"),
        (lambda x: np.full((1, 1, 3), 1 / 3), r"shape \(1, 1, 3\)"),
        (lambda x: ["spam", "ham"], r"shape \(2,\) and type <U4"),
        (lambda x: [[0.2], [0.3, 0.5]], "inhomogeneous"),
    ],
)
def test_a_function_may_return_one_row_and_a_wrong_shape_ends_the_run_soon(tmp_path, answer, wrong):
    calls = []

    def teacher(x):
        calls.append(x)
        return answer(x)

    if wrong is None:
        assert buying(teacher).run(X, folder=tmp_path).said.shape == (12, 3)
        return
    with pytest.raises(UserError, match=f"malformed answer: .*{wrong}"):
        buying(teacher).run(X, folder=tmp_path)
    assert len(calls) == 5


def test_failures_of_questions_that_were_out_together_count_once(tmp_path):
    body = EACH + "    say(id=name, **({'error': 'no network'} if number < 8 else {'probabilities': 0.5}))\n"
    change = {"budget": 24, "audit": 8, "manners": {"in_flight": 8}}
    assert len(program(tmp_path, body, **change).run(X, folder=tmp_path / "run").answers) == 16


def test_a_question_that_is_put_off_is_not_spent(tmp_path):
    body = EACH + "    say(id=name, **({'retry_after': 0} if number % 3 else {'probabilities': 0.5}))\n"
    buy = program(tmp_path, body, manners={"retries": 0})
    live = buy.run(X, folder=tmp_path / "run")
    assert (len(live.answers), live.spent, live.counts) == (
        12,
        12,
        {"asked": 12, "put off": len(seen(tmp_path)) - 12},
    )
    assert told(buy.run(X, folder=tmp_path / "run")) == told(live)
    for wait, wrong in ((0, "asked to wait 0 s"), (-1, "retry_after is -1, not a number of seconds")):
        body = EACH + f"    say(id=name, retry_after={wait})\n"
        with pytest.raises(UserError, match=wrong):
            program(tmp_path, body).run(X, folder=tmp_path / str(wait))
    assert len(seen(tmp_path)) == len(live.answers) + live.counts["put off"] + 10
