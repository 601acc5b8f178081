import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import expit

from budget.telling import answer
from limbeck import BudgetedDistillation, SoftLabelClassifier
from limbeck.budget import CallableTeacher, ProgramTeacher
from limbeck.budget.asking import Manners
from limbeck.budget.ledger import Ledger
from limbeck.budget.select import SpanSelection
from limbeck.records import UserError
from limbeck.theory.scaling import Scaling

HERE = Path(__file__).parent
X = np.random.default_rng(0).standard_normal((200, 4))
TRUTH = np.array([answer(x) for x in X])
EXACT = SoftLabelClassifier(alpha=0)
ECHO = """
import json, sys
for line in sys.stdin:
    question = json.loads(line)
    print(json.dumps({"id": question["id"], "logits": len(question["say"]) - 3.5}), flush=True)
"""


def command(calls, how="", pause=0):
    return f"{sys.executable} -S -E '{HERE / 'telling.py'}' '{calls}' {pause} {how}"


def buying(teacher, **change):
    manners = Manners(**{"backoff": 0.0, "timeout": 20.0, **change.pop("manners", {})})
    settings = {"budget": 60, "target_risk": 0.01, "audit": 20, "batch": 20, "student": EXACT, **change}
    return BudgetedDistillation(teacher, manners=manners, select="random", **settings)


def bought_from(tmp_path, how="", **change):
    calls = tmp_path / "calls.txt"
    bought = buying(command(calls, how), **change).run(X, folder=tmp_path / "run")
    return bought, calls.read_text().split()


def rows_of(bought):
    return np.concatenate([bought.audit, bought.learned])


def check_answers(bought):
    """Every answer stands beside the row it was given for."""
    np.testing.assert_allclose(bought.answers.probabilities, TRUTH[rows_of(bought)], rtol=1e-12)


# -- a teacher that behaves --------------------------------------------------------------------------------------


def test_the_audit_sample_is_bought_first_at_random_and_never_learned_from(tmp_path):
    bought, calls = bought_from(tmp_path)
    check_answers(bought)
    assert len(calls) == len(set(calls)) == bought.spent == 60
    assert calls == [str(row + 1) for row in rows_of(bought)]
    assert not set(bought.audit) & set(bought.learned)
    assert (len(bought.audit), [look.learned for look in bought.looks]) == (20, [20, 40])
    assert bought.linearity.verdict == "linear"
    tally = bought.tally
    assert (len(tally), len(tally) - tally.alike.sum()) == (bought.shown.size, bought.shown.wrong)
    np.testing.assert_array_equal(tally.teacher, np.bincount(TRUTH[bought.audit] >= 0.5, minlength=2))
    w = np.array([-1.0, 1, -1, 1])
    np.testing.assert_allclose(bought.student.coef_[0], w, atol=1e-8)


def test_the_audit_sample_is_uniform():
    # Each of 50 rows is among the 10 audit rows of 400 seeds 80 times on average; six standard deviations: 1e-7.
    count = Counter()
    for seed in range(400):
        count.update(np.random.default_rng(seed).permutation(50)[:10].tolist())
    assert max(abs(n - 80) for n in count.values()) < 6 * np.sqrt(400 * 0.2 * 0.8)


def test_it_stops_once_the_target_is_shown(tmp_path):
    buy = buying(lambda x: expit(x @ [1.0, 2, 0, -1]), target_risk=0.1, budget=180, audit=None, price=0.5)
    bought = buy.run(X, folder=tmp_path)
    assert bought.shown.stop
    assert bought.shown.upper <= 0.1
    assert bought.spent < 180
    assert bought.reason == "the target is shown to be met"
    assert buy.least_shown <= 0.1


def test_an_audit_sample_too_small_for_the_target_is_known_beforehand():
    assert buying(np.sum, audit=20, target_risk=0.01).least_shown > 0.01


@pytest.mark.parametrize(
    ("budget", "target", "batch"), [(1000, 0.05, 5), (400, 0.02, 1), (5000, 0.01, 7), (1000, 0.05, None)]
)
def test_the_default_audit_shows_the_target_at_as_many_looks_as_the_batches_make(budget, target, batch):
    buy = BudgetedDistillation(np.sum, budget=budget, target_risk=target, batch=batch)
    audit, each, rule = buy.sizes
    assert rule.looks == -(-(budget - audit) // each)
    assert buy.least_shown <= target
    shown = [e for e in (0, 1) if rule.look(e, audit, rule.looks).stop]
    if batch is not None:  # and no smaller one shows as much
        fewer = BudgetedDistillation(np.sum, budget=budget, target_risk=target, batch=batch, audit=audit - 1)
        assert not fewer.sizes[2].look(max(shown), audit - 1, 1).stop


SPARSE = {
    "as they are": csr_array(([1.0, 1, 1], [0, 1, 2], [0, 2, 3]), shape=(2, 3)),
    "other columns": csr_array(([1.0, 1, 1], [0, 2, 2], [0, 2, 3]), shape=(2, 3)),
    "other rows": csr_array(([1.0, 1, 1], [0, 1, 2], [0, 1, 3]), shape=(2, 3)),
    "a wider pool": csr_array(([1.0, 1, 1], [0, 1, 2], [0, 2, 3]), shape=(2, 4)),
}


def test_a_sparse_pool_is_known_by_where_its_entries_stand_and_not_by_how_they_are_stored(tmp_path):
    def pool_of(matrix):
        return buying(np.sum)._fingerprint(matrix, ["a", "b"])["pool"]

    assert len({pool_of(matrix) for matrix in SPARSE.values()}) == len(SPARSE)
    unsorted = csr_array(([1.0, 1, 0, 1], [1, 0, 0, 2], [0, 2, 4]), shape=(2, 3))
    unsorted.indices = unsorted.indices.astype(np.int64)
    unsorted.indptr = unsorted.indptr.astype(np.int64)
    before = unsorted.data.copy()
    same = {pool_of(m) for m in (SPARSE["as they are"], unsorted, SPARSE["as they are"].tocsc())}
    assert len(same) == 1
    np.testing.assert_array_equal(unsorted.data, before)  # the caller's matrix is left alone
    dense = np.arange(6.0)
    assert pool_of(dense.reshape(2, 3)) != pool_of(dense.reshape(3, 2))


def test_a_finished_run_is_read_and_nothing_asked_again(tmp_path):
    first, _ = bought_from(tmp_path)
    before = (tmp_path / "run" / "replies.jsonl").read_bytes()
    second, calls = bought_from(tmp_path)
    assert len(calls) == 60
    assert (tmp_path / "run" / "replies.jsonl").read_bytes() == before
    assert second.looks == first.looks
    np.testing.assert_array_equal(second.student.coef_, first.student.coef_)


@pytest.mark.parametrize("scale", ["standard", "sharpen"])
def test_a_scaled_run_is_that_of_scaled_points_asked_about_the_points_as_given(tmp_path, scale):
    rough = X * [1.0, 1000.0, 0.01, 20.0] + [0.0, 50.0, 0.0, 0.0]
    scaling = Scaling.of(rough, scale)
    seen = []

    def teacher(x):
        seen.append(x[0])
        return expit(np.sin(x @ [2.0, 0.003, -100.0, 0.1]))

    def of_scaled(x):
        row = int(np.argmin(np.abs(scaling.apply(rough) - x).sum(axis=1)))
        return expit(np.sin(rough[[row]] @ [2.0, 0.003, -100.0, 0.1]))

    settings = {
        "budget": 60,
        "target_risk": 0.01,
        "audit": 20,
        "batch": 20,
        "student": SoftLabelClassifier(0.1),
    }
    scaled = BudgetedDistillation(teacher, scale=scale, **settings).run(rough, folder=tmp_path / "a")
    plain = BudgetedDistillation(of_scaled, **settings).run(scaling.apply(rough), folder=tmp_path / "b")
    np.testing.assert_array_equal(np.array(seen), rough[rows_of(scaled)])
    np.testing.assert_array_equal(rows_of(scaled), rows_of(plain))
    assert [look.look for look in scaled.looks] == [look.look for look in plain.looks]
    np.testing.assert_allclose(
        scaled.student.decision_function(rough),
        plain.student.decision_function(scaling.apply(rough)),
        rtol=1e-7,
    )
    for other in ("none", "sharpen" if scale == "standard" else "standard"):
        with pytest.raises(UserError, match=f"a run with scale = {scale}, and {other} was asked for"):
            BudgetedDistillation(teacher, scale=other, **settings).run(rough, folder=tmp_path / "a")


def test_sparse_points_are_taken_as_given():
    with pytest.raises(ValueError, match="taken as given"):
        buying(lambda x: 0.5, scale="standard").run(csr_array(X), folder="never-made")


def test_another_run_in_the_same_folder_is_refused(tmp_path):
    bought_from(tmp_path)
    with pytest.raises(UserError, match="a run with audit = 20, and 21 was asked for"):
        bought_from(tmp_path, audit=21)
    with pytest.raises(UserError, match="a run with pool"):
        buying(command(tmp_path / "calls.txt")).run(X + 1, folder=tmp_path / "run")


def test_the_budget_is_never_exceeded_whatever_fails(tmp_path):
    for how in ("errors", "refuses", "malformed"):
        bought, calls = bought_from(tmp_path / how if (tmp_path / how).mkdir() is None else None, how)
        assert bought.spent == 60 == len(calls)
        check_answers(bought)


def test_a_span_query_orders_the_rest_of_the_pool(tmp_path):
    seen = []

    def query(points, n):
        seen.append((points, n))
        return np.arange(len(points))[::-1][:n]

    settings = {"budget": 40, "target_risk": 0.1, "audit": 20, "batch": 10, "student": EXACT}
    bought = BudgetedDistillation(lambda x: expit(x.sum(axis=1)), select=query, **settings).run(
        X, folder=tmp_path
    )
    ((points, n),) = seen
    assert (n, len(points)) == (40, 180)
    rest = np.setdiff1d(np.arange(200), bought.audit)
    assert bought.learned.tolist() == rest[::-1][:20].tolist()


def test_well_chosen_points_come_first_and_the_audit_points_have_no_part_in_it(tmp_path):
    settings = {"budget": 40, "target_risk": 0.1, "audit": 20, "batch": 10, "student": EXACT}
    bought = BudgetedDistillation(lambda x: expit(x.sum(axis=1)), **settings).run(X, folder=tmp_path)
    rest = np.setdiff1d(np.arange(200), bought.audit)
    best = SpanSelection().query(np.hstack([X[rest], np.ones((180, 1))]), 40)
    assert bought.learned.tolist() == rest[best][:20].tolist()


# -- one that does not -------------------------------------------------------------------------------------------


def test_refusals_and_malformed_answers_are_set_aside_counted_and_not_asked_again(tmp_path):
    for how, name in (("refuses", "refused"), ("malformed", "malformed")):
        (tmp_path / how).mkdir()
        bought, calls = bought_from(tmp_path / how, how)
        assert bought.counts[name] == 15
        drawn = np.concatenate([bought.audit, bought.uncovered])
        assert (len(bought.audit), len(bought.uncovered)) == (20, 7)  # the 1st, 5th, ... 25th that was asked
        assert set(drawn) == set(np.random.default_rng(0).permutation(200)[:27])
        assert len(set(calls)) == 60
        check_answers(bought)


def test_errors_are_retried(tmp_path):
    bought, calls = bought_from(tmp_path, "errors")
    assert bought.counts["failures"] > 0
    assert bought.counts.get("given up", 0) == sum(n > 3 for n in Counter(calls).values())
    assert max(Counter(calls).values()) > 1
    assert len(calls) == bought.spent


def test_strangers_and_answers_given_twice_are_counted_and_harm_nothing(tmp_path):
    for how, name in (("strangers", "unknown ids"), ("twice", "duplicates")):
        (tmp_path / how).mkdir()
        bought, _ = bought_from(tmp_path / how, how)
        assert bought.counts[name] >= 59  # the last may still be on its way
        check_answers(bought)


def test_answers_in_any_order_find_their_questions(tmp_path):
    bought, _ = bought_from(tmp_path, "backwards", manners={"in_flight": 4})
    assert len(rows_of(bought)) == 60
    check_answers(bought)


def test_classes_are_matched_by_name_and_other_classes_refused(tmp_path):
    bought, _ = bought_from(tmp_path, "named")
    assert bought.classes == ("no", "yes")
    assert bought.counts["classes reordered"] == 30
    check_answers(bought)
    (tmp_path / "swaps").mkdir()
    bought, _ = bought_from(tmp_path / "swaps", "swaps", budget=30)
    assert bought.counts["malformed"] == 20
    ledger = Ledger(tmp_path / "swaps" / "run")
    assert any("['yes', 'maybe']" in row.detail for row in ledger.rows.values())
    ledger.close()


def test_named_classes_may_be_told_beforehand(tmp_path):
    bought, _ = bought_from(tmp_path, "named", classes=("yes", "no"))
    np.testing.assert_allclose(bought.answers.probabilities, 1 - TRUTH[rows_of(bought)], rtol=1e-9)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("hangs", "no reply within 0.3 s"),
        ("garbage", r"no reply within 0.3 s .*lines were no JSON objects"),
        ("dies", "out of credit"),
    ],
)
def test_a_teacher_that_hangs_dies_or_babbles_is_given_up_and_what_was_bought_kept(tmp_path, how, said):
    with pytest.raises(UserError, match=said) as failure:
        _until_given_up(tmp_path, how)
    assert "answers bought so far are kept in" in str(failure.value)
    ledger = Ledger(tmp_path / "run")
    kept = sum(bool(row.answers) for row in ledger.rows.values())
    ledger.close()
    assert kept == (0 if how == "garbage" else 3)
    once, calls = tmp_path / "once.sh", tmp_path / "calls.txt"
    once.write_text(f"exec {command(calls)}\n")  # once that is put right, the same command goes on
    bought = buying(f"sh '{once}'").run(X, folder=tmp_path / "run")
    calls = calls.read_text().split()
    assert bought.spent == 60
    answered = [name for name, n in Counter(calls).items() if n > 1]
    assert len(answered) <= 5  # only questions that got no answer were sent again
    check_answers(bought)


def _until_given_up(tmp_path, how):
    """Babble, or answer three questions in all and then fail for good."""
    began, then = tmp_path / "began", "sleep 60" if how == "hangs" else "echo out of credit >&2; exit 3"
    teacher, once = command(tmp_path / "calls.txt", how), tmp_path / "once.sh"
    once.write_text(f"if [ -e '{began}' ]; then {then}; fi\ntouch '{began}'\nexec {teacher}\n")
    patience = {"timeout": 0.3, "retries": 9 if how == "garbage" else 3}
    buying(teacher if how == "garbage" else f"sh '{once}'", manners=patience).run(X, folder=tmp_path / "run")


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        ("/no/such/program --x", "does not start: '/no/such/program'"),
        ("", "command is empty"),
        ("ask 'me", "cannot be split"),
    ],
)
def test_a_command_that_does_not_start_is_named(tmp_path, teacher, said):
    with pytest.raises(UserError, match=said):
        buying(teacher).run(X, folder=tmp_path)


def test_a_function_that_raises_is_asked_again_and_one_that_has_no_number_refuses(tmp_path):
    calls = Counter()

    def moody(x):
        calls[x.tobytes()] += 1
        if x[0, 0] > 1 and calls[x.tobytes()] == 1:
            raise ConnectionError("busy")
        return None if x[0, 0] < -1 else expit(x.sum(axis=1))

    bought = buying(CallableTeacher(moody)).run(X, folder=tmp_path)
    assert bought.counts["failures"] == sum(n - 1 for n in calls.values()) > 0
    assert bought.counts["refused"] > 0
    assert X[rows_of(bought), 0].min() >= -1


def test_the_kind_and_precision_of_the_answers_are_kept(tmp_path):
    def rounded(x):
        P = np.round(expit(np.outer(x.sum(axis=1), [1, -1, 0.5])), 2)
        P[:, 2] = 1 - P[:, 0] - P[:, 1]
        return np.round(P, 2) if P.min() >= 0 else [[0.2, 0.3, 0.5]]

    bought = buying(rounded, student=SoftLabelClassifier(0.01)).run(X, folder=tmp_path / "p")
    assert bought.answers.n_classes == 3
    assert np.nanmax(bought.answers.error[~bought.answers.saturated]) > 1e-3
    logs = buying(CallableTeacher(lambda x: x @ np.eye(4)[:, :3], "logits")).run(X, folder=tmp_path / "z")
    assert logs.kind == "logits"
    np.testing.assert_allclose(logs.said, X[rows_of(logs)][:, :3])


def test_asking_twice_measures_noise(tmp_path):
    rng = np.random.default_rng(1)

    def noisy(x):
        return expit(x.sum(axis=1) + 0.8 * rng.standard_normal(len(x)))

    bought = buying(noisy, budget=260, audit=150, repeat=100, student=SoftLabelClassifier(0.1)).run(
        X, folder=tmp_path
    )
    assert bought.noise.rows == 100
    assert bought.noise.logit == pytest.approx(
        0.8, rel=0.3
    )  # chi-square of 100: beyond 4 standard deviations
    assert bought.noise.flips.estimate > 0
    assert bought.spent == 260


def test_text_goes_along_and_ids_come_back(tmp_path):
    ids = [f"r{i}" for i in range(200)]
    (tmp_path / "echo.py").write_text(ECHO)
    bought = buying(ProgramTeacher([sys.executable, str(tmp_path / "echo.py")]), student=SoftLabelClassifier(0.1)).run(
        X, folder=tmp_path / "run", ids=ids, columns=[{"say": "x" * (i % 7)} for i in range(200)]
    )  # fmt: skip
    assert bought.said[:, 0].tolist() == [i % 7 - 3.5 for i in rows_of(bought).tolist()]


# -- kills -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and orphans are POSIX's")
@pytest.mark.parametrize("both", [False, True])
def test_no_answer_is_lost_and_none_bought_twice_whenever_it_is_killed(tmp_path, both):
    # Twelve moments here; python tests/budget/killing.py FOLDER 50 0 is the long version.
    kills = 12 if not both else 6
    done = subprocess.run(
        [sys.executable, HERE / "killing.py", tmp_path, str(kills), "3", *(["both"] if both else [])],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    seen = json.loads(done.stdout)
    assert seen["calls"] == seen["distinct"]  # none bought twice
    assert seen["invented"] == 0
    if not both:
        assert seen["lost"] == 0
    # What was noted but not sent, or (if the teacher was killed too) not answered: at most what is in flight.
    assert seen["unknown"] <= 2 * kills
    assert seen["spent"] == 500 == seen["calls"] + (seen["spent"] - seen["calls"])
    assert seen["spent"] - seen["calls"] <= seen["unknown"]
    assert seen["lost"] <= seen["unknown"]


def test_a_damaged_ledger_is_named_and_a_half_line_dropped(tmp_path):
    bought_from(tmp_path)
    path = tmp_path / "run" / "asked.jsonl"
    with path.open("ab") as file:
        file.write(b'{"id": "7", "ev')
    bought, _ = bought_from(tmp_path)
    assert bought.spent == 60
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"nonsense\n", *lines[3:]]))
    with pytest.raises(UserError, match=r"asked.jsonl, line 4 is damaged"):
        bought_from(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"budget": 1}, "budget must be an integer of at least 2"),
        ({"target_risk": 0}, "target_risk must be > 0"),
        ({"confidence": 1.0}, "confidence must be < 1"),
        ({"price": -1.0}, "price must be > 0"),
        ({"audit": 60}, "audit = 60 leaves nothing to learn from"),
        ({"repeat": -1}, "repeat must be an integer of at least 0"),
    ],
)
def test_bad_settings_are_refused(change, said):
    with pytest.raises(ValueError, match=said):
        buying(np.sum, **change)
