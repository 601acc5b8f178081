"""Students of rows read a block at a time are the students of all rows at once, to the last bit in any chunking."""

import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from joblib import parallel_config
from scipy.sparse import csr_array
from scipy.special import expit, softmax
from sklearn.model_selection import GridSearchCV
from tolerance import relative, rounding

from limbeck import SoftLabelClassifier, SpanSelection
from limbeck.data import blocks as cut
from limbeck.data.answers import Answers, Teacher
from limbeck.data.blocks import ArraySource, Block, Blocks
from limbeck.data.features import Features
from limbeck.data.sources import TableSource
from limbeck.engine import Engine, engine, refuse_others, versions
from limbeck.labels import from_probabilities
from limbeck.records import UserError
from limbeck.students.streaming import distil_blocks, memory_needed
from limbeck.students.study import Recipe, distil
from limbeck.theory import Span
from limbeck.theory.angles import unsigned_angle

N, D = 3000, 6
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, D)) * np.arange(1, 7) + 2
W = RNG.standard_normal(D) / np.arange(1, 7)
Z = X @ W - 0.3
P = expit(Z + 0.5 * RNG.standard_normal(N))
PS = softmax(X @ RNG.standard_normal((D, 3)) / 4 + 0.5 * RNG.standard_normal((N, 3)), axis=1)
Y = np.where(RNG.random(N) < P, "yes", "no").astype(object)
LOGIT, PROBABILITY = Teacher("logit", ("z",)), Teacher("probability", ("p",))
THREE = Teacher("probability", ("a", "b", "c"), ("a", "b", "c"))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Blocks of 128 rows, groups of 1024."""
    monkeypatch.setattr(cut, "CELLS", D * 128)


class Pieces:
    """Rows in pieces of some size that only this process can read."""

    name, rows = "pieces", None

    def __init__(self, size, answers):
        self.size, self.answers = size, answers

    def pieces(self, start=0):
        for first in range(0, N, self.size):
            rows = slice(first, first + self.size)
            yield Block(first, X[rows], answers=self.answers[rows])

    def part(self, start, stop):
        return None


def streamed(answers, teacher, points=X, alpha=0.0, intercept=True, scale="none", saturated="raise", **more):
    recipe = Recipe(alpha, intercept, saturated, scale)
    return distil_blocks(Blocks(ArraySource(points, answers)), teacher, recipe, **more)


def weights(student):
    return np.hstack([student.coef_, student.intercept_[:, None]])


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(
    ("answers", "teacher", "alpha"),
    [(Z, LOGIT, 0.0), (Z, LOGIT, 0.1), (P, PROBABILITY, 0.0), (P, PROBABILITY, 1e-3), (PS, THREE, 0.0),
     (PS, THREE, 1e-3), (Y, Teacher("label", ("y",), ("no", "yes")), 1e-3)],
)  # fmt: skip
def test_blocks_give_the_student_of_all_rows(answers, teacher, alpha, intercept):
    found = streamed(answers, teacher, alpha=alpha, intercept=intercept)
    whole = SoftLabelClassifier(alpha, fit_intercept=intercept, tol=1e-13)
    told = {"teacher_logits": answers} if teacher is LOGIT else {"y": answers}
    whole.fit(X, **told)
    student = found.made.student()
    assert relative(weights(student), weights(whole)) < 1e-8
    assert student.realisable_ == whole.realisable_ == (teacher is LOGIT and alpha == 0 and intercept)
    assert student.linearity_.verdict == whole.linearity_.verdict
    assert student.linearity_.rank == whole.linearity_.rank
    if teacher is not LOGIT and teacher.kind != "label":
        assert student.linearity_.residual == pytest.approx(whole.linearity_.residual, rel=1e-3)
        assert student.linearity_.high == pytest.approx(whole.linearity_.high, rel=1e-3)
    assert found.passes <= 10


def test_rows_that_repeat_test_no_teacher_in_blocks_either():
    few = X[np.arange(N) % (D + 1)]
    for points, verdict in ((few, "cannot tell yet"), (X[np.arange(N) % (D + 2)], "not linear")):
        found = streamed(np.sin(points[:, 0]), LOGIT, points=points, alpha=0.1).made.inner.linearity_
        assert (found.verdict, found.rank) == (verdict, D + 1)
    # Repeated rows repeat their rounding too: 15 points beyond the rank say as little as 15 rows.
    for beyond, verdict in ((15, "cannot tell yet"), (100, "linear")):
        points = X[np.arange(N) % (D + 1 + beyond)]
        p = np.clip(np.round(expit((points @ W - 0.3) / 4), 2), 0.01, 0.99)
        assert streamed(p, PROBABILITY, points=points, alpha=0.1).made.inner.linearity_.verdict == verdict


def test_saturated_answers_that_blocks_do_not_search_leave_the_verdict_open():
    p = np.where(np.abs(Z) > 4, (Z > 0).astype(float), expit(Z))
    found = streamed(p, PROBABILITY, alpha=0.1).made.inner.linearity_
    assert found.verdict == "cannot tell yet"
    assert f"{int(np.sum(np.abs(Z) > 4))} more are saturated" in found.reason


def test_the_student_has_the_same_bits_for_every_chunking_and_number_of_threads():
    expected = streamed(P, PROBABILITY, held_out=0.2, seed=3)
    for size in (1, 97, 128, N):
        with engine(jobs=3) as at:
            recipe = Recipe(0.0)
            found = distil_blocks(Blocks(Pieces(size, P)), PROBABILITY, recipe, held_out=0.2, seed=3, at=at)
        np.testing.assert_array_equal(weights(found.made.inner), weights(expected.made.inner))
        assert (found.n, found.tally.agreement) == (expected.n, expected.tally.agreement)
        np.testing.assert_array_equal(found.tail.angles, expected.tail.angles)


@pytest.mark.parametrize("kappa", [1.0, 1e2, 5e3, 1e6])
def test_gram_and_one_refinement_are_as_accurate_as_qr(kappa):
    rng = np.random.default_rng(1)
    U, _ = np.linalg.qr(rng.standard_normal((N, D)))
    V, _ = np.linalg.qr(rng.standard_normal((D, D)))
    A = (U * np.geomspace(1, 1 / kappa, D)) @ V.T
    w = rng.standard_normal(D)
    found = streamed(A @ w, LOGIT, A, intercept=False)
    by_qr = np.linalg.lstsq(A, A @ w)[0]
    assert found.solved.route == ("Gram" if kappa < 1e4 else "TSQR")
    assert found.solved.condition == pytest.approx(kappa, rel=9)
    bound = rounding(A, kappa)
    assert relative(by_qr, w) < bound
    assert relative(found.solved.theta[:, 0], w) < bound
    if kappa == 5e3:  # what the refinement is for
        gram = np.linalg.solve(A.T @ A, A.T @ (A @ w))
        assert relative(gram, w) > 30 * relative(found.solved.theta[:, 0], w)


def test_rows_without_full_rank_give_the_minimum_norm_student():
    A = np.hstack([X, X[:, :2] @ [[1.0], [2.0]]])
    found = streamed(Z, LOGIT, A, intercept=True)
    assert (found.solved.route, found.solved.rank, found.solved.condition) == ("TSQR", D + 1, np.inf)
    assert found.made.inner.realisable_
    ones = np.hstack([A, np.ones((N, 1))])
    assert relative(found.solved.theta[:, 0], Span(ones).weights(Z)) < 1e-9


def test_sparse_rows_stay_sparse_and_float32_rows_give_a_float32_student():
    S = np.where(RNG.random((N, D)) < 0.3, X, 0.0)
    dense, sparse = streamed(P, PROBABILITY, S, 1e-3), streamed(P, PROBABILITY, csr_array(S), 1e-3)
    assert relative(weights(sparse.made.inner), weights(dense.made.inner)) < 1e-9
    assert sparse.made.scaling is None
    small = X.astype(np.float32)
    student = streamed(small.astype(float) @ W, LOGIT, small).made.inner
    assert student.coef_.dtype == np.float32
    assert relative(student.coef_[0], W) < 1e-6


def test_scaling_is_learned_in_a_pass_and_folded_into_the_weights():
    far = X + 1e6  # a mean that would drown the variance in a plain sum of squares
    found = streamed(P, PROBABILITY, far, 1e-2, scale="standard")
    np.testing.assert_allclose(found.made.scaling.matrix, 1 / far.std(axis=0), rtol=1e-9)
    scaled = (far - far.mean(axis=0)) / far.std(axis=0)
    whole = SoftLabelClassifier(1e-2, tol=1e-13).fit(scaled, P)
    assert relative(weights(found.made.inner), weights(whole)) < 1e-7


def test_sharpened_features_are_those_of_all_rows_at_once():
    found = streamed(P, PROBABILITY, alpha=1e-2, scale="sharpen").made
    at_once = distil(
        X, Answers("probability", P, from_probabilities(P), ("0", "1")), Recipe(1e-2, scale="sharpen")
    )
    assert relative(weights(found.student()), weights(at_once.student())) < 1e-8


def test_alpha_is_chosen_by_leave_one_out_on_all_rows_or_on_a_sample(monkeypatch):
    rng = np.random.default_rng(4)
    points, w = rng.standard_normal((N, 40)), rng.standard_normal(40) / 8
    says = np.where(rng.random(N) < expit(points @ w), "yes", "no").astype(object)
    teacher = Teacher("label", ("y",), ("no", "yes"))
    whole = SoftLabelClassifier("loo").fit(points, says)
    assert whole.alpha_ > 0
    found = streamed(says, teacher, points=points, alpha="loo")
    assert (found.sampled, found.made.inner.alpha_) == (N, whole.alpha_)
    assert relative(weights(found.made.inner), weights(whole)) < 1e-8
    monkeypatch.setattr("limbeck.students.streaming.MOST_SAMPLED", 600)
    monkeypatch.setattr("limbeck.students.streaming.LEAST_SAMPLED", 600)
    some = streamed(says, teacher, points=points, alpha="loo")
    assert 500 < some.sampled < 700
    T = rng.standard_normal((20_000, 40))

    def excess(student):
        z = student.decision_function(T)
        return np.mean(
            np.logaddexp(0, z) - expit(T @ w) * z - np.logaddexp(0, T @ w) + expit(T @ w) * (T @ w)
        )

    assert excess(some.made.inner) < 1.1 * excess(whole)
    unscaled = some.made.inner.alpha_ * N / some.sampled
    assert excess(SoftLabelClassifier(unscaled).fit(points, says)) > 1.2 * excess(whole)


def test_an_exact_teacher_needs_no_ridge_in_blocks_either():
    found = streamed(Z, LOGIT, alpha="loo")
    assert found.made.inner.alpha_ == 0
    assert relative(weights(found.made.inner), np.append(W, -0.3)[None]) < 1e-10


@pytest.mark.parametrize("power", [0.0, 2.0])
def test_a_start_far_from_the_minimum_costs_a_second_hessian_at_most(power):
    order = np.argsort(Z) if power else np.arange(N)  # the first group is all of one kind
    found = streamed(P[order], PROBABILITY, points=X[order], alpha=1e-4)
    whole = SoftLabelClassifier(1e-4).fit(X[order], teacher_proba=P[order])
    assert relative(weights(found.made.inner), weights(whole)) < 1e-8
    assert found.passes < 25


def test_rows_held_out_are_not_learned_from_and_rate_the_student():
    wild = P.copy()
    rng = np.random.default_rng([5, 0, 0])
    out = rng.random(128) < 0.3
    wild[:128][out] = 1 - wild[:128][out]  # only held-out rows of the first block lie
    found, honest = (streamed(p, PROBABILITY, held_out=0.3, seed=5) for p in (wild, P))
    np.testing.assert_array_equal(weights(found.made.inner), weights(honest.made.inner))
    assert found.tally.agreement.size == honest.tally.agreement.size == N - found.n
    lies = honest.tally.agreement.estimate - found.tally.agreement.estimate
    assert lies * honest.tally.agreement.size > 0.5 * out.sum()
    everyone = unsigned_angle(np.hstack([X, np.ones((N, 1))]), weights(honest.made.inner)[0])
    assert len(honest.tail.angles) == honest.tally.agreement.size
    assert set(honest.tail.angles.round(9)) <= set(everyone.round(9))


def test_saturated_answers_are_named_or_dropped():
    p = P.copy()
    p[[1500, 2000]] = 1.0
    with pytest.raises(UserError, match="Row 1501 holds a probability of 0 or 1"):
        streamed(p, PROBABILITY)
    found = streamed(p, PROBABILITY, saturated="drop")
    whole = SoftLabelClassifier(0.0, saturated="drop", tol=1e-13).fit(X, p)
    assert relative(weights(found.made.inner), weights(whole)) < 1e-8
    assert found.made.inner.n_saturated_ == 2


@pytest.mark.parametrize(
    ("recipe", "teacher", "answers", "said"),
    [
        (Recipe(0.0, saturated="bound"), LOGIT, Z, "needs all rows at once"),
        (Recipe(0.0), Teacher("label", ("y",), ("no", "yes")), Y, "alpha = 0"),
        (Recipe(0.1), Teacher("label", ("y",), ("no", "maybe")), Y, "which --classes does not name"),
        (Recipe(0.0), PROBABILITY, Z, r"in row 1 is not a probability"),
        (Recipe(0.0), LOGIT, None, "have no answers"),
    ],
)
def test_what_cannot_be_done_in_blocks_is_said(recipe, teacher, answers, said):
    with pytest.raises(UserError, match=said):
        distil_blocks(Blocks(ArraySource(X, answers)), teacher, recipe)


def test_few_rows_are_sent_elsewhere():
    with pytest.raises(UserError, match="read them at once"):
        streamed(Z[:5], LOGIT, X[:5])


@pytest.mark.parametrize("alpha", [0.0, 1e-3])
def test_the_memory_stated_is_enough(tmp_path, monkeypatch, alpha):
    d, rows = 64, 60_000
    monkeypatch.setattr(cut, "CELLS", d * 1024)
    points = np.random.default_rng(0).standard_normal((rows, d), dtype=np.float32)
    np.savez(tmp_path / "t.npz", X=points, z=points[:, 0])
    source = TableSource(tmp_path / "t.npz", Features(embedding="X"), teacher=LOGIT)
    allowed = memory_needed(d, 2, 1)
    assert allowed < points.nbytes / 2
    tracemalloc.start()
    try:
        distil_blocks(Blocks(source), LOGIT, Recipe(alpha), held_out=0.2)
        assert tracemalloc.get_traced_memory()[1] < allowed
    finally:
        tracemalloc.stop()


def test_selection_reads_the_same_blocks(tmp_path):
    np.savez(tmp_path / "t.npz", X=X)
    blocks = Blocks(TableSource(tmp_path / "t.npz", Features(embedding="X")))
    np.testing.assert_array_equal(SpanSelection().query(blocks.points(), 5), SpanSelection().query(X, 5))


# -- where the work is done ----------------------------------------------------------------------


def test_work_comes_back_in_order_and_waits_in_a_short_queue():
    asked, done = [], []

    def items():
        for i in range(20):
            asked.append(i)
            assert len(asked) - len(done) <= 4
            yield i

    with engine(jobs=3) as at:
        for result in at.ordered(lambda i: i * i, items()):
            done.append(result)
    assert done == [i * i for i in range(20)]


def test_other_versions_and_workers_that_cannot_import_are_named():
    refuse_others("w", versions())
    with pytest.raises(UserError, match=r"Worker w has limbeck 0\.0\.9, this process"):
        refuse_others("w", {**versions(), "limbeck": "0.0.9"})
    with pytest.raises(UserError, match=r"Worker w cannot run limbeck .*Install limbeck"):
        refuse_others("w", ModuleNotFoundError("No module named 'limbeck'"))


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as found:
        yield found


def test_a_cluster_gives_the_same_bits_though_a_worker_is_killed(cluster, tmp_path):
    np.save(tmp_path / "x.npy", X)
    expected = streamed(P, PROBABILITY, held_out=0.2)
    pids = [worker.pid for worker in cluster.workers.values()]
    told = []

    def advance(what):
        if not told:
            os.kill(pids[0], signal.SIGKILL)
        told.append(what)

    with engine(cluster.scheduler_address) as at:
        assert at.workers == 2
        found = streamed(P, PROBABILITY, held_out=0.2, at=at, advance=advance)
    np.testing.assert_array_equal(weights(found.made.inner), weights(expected.made.inner))
    assert found.tally.agreement == expected.tally.agreement
    assert len(told) >= 3 * found.passes


def test_a_cluster_chooses_the_same_points_though_a_worker_is_killed(cluster, tmp_path):
    np.save(tmp_path / "x.npy", X)
    points = Blocks(TableSource(tmp_path / "x.npy", Features(embedding="X"))).points()
    expected = SpanSelection().rank(points, D)
    pids, asked = [worker.pid for worker in cluster.workers.values()], []

    class Killing(Engine):
        def ordered(self, function, items):
            for found in super().ordered(function, items):
                asked.append(1)
                if len(asked) == 2:
                    os.kill(pids[0], signal.SIGKILL)
                yield found

    with engine(cluster.scheduler_address) as at:
        found = SpanSelection().rank(points, D, at=Killing(at.executor, at.workers))
    assert len(asked) > 2
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_allclose(found.energy, expected.energy, rtol=1e-10, atol=1e-15)


def test_an_error_on_a_worker_is_the_same_error_here(cluster):
    p = P.copy()
    p[1500] = 0.0
    with engine(cluster.scheduler_address) as at, pytest.raises(UserError, match="Row 1501"):
        streamed(p, PROBABILITY, at=at)


@pytest.fixture
def separate_processes(tmp_path):
    """Address of a scheduler, and the processes of it and of its two workers, which nobody restarts."""
    pytest.importorskip("distributed")
    file = str(tmp_path / "scheduler.json")
    started = []
    for program, *options in (
        ("scheduler", "--no-dashboard", "--port", "0"),
        *[("worker", "--no-dashboard", "--no-nanny", "--nthreads", "1")] * 2,
    ):
        command = [
            sys.executable,
            "-m",
            f"distributed.cli.dask_{program}",
            "--scheduler-file",
            file,
            *options,
        ]
        started.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
    try:
        for _ in range(600):
            if os.path.exists(file) and os.path.getsize(file):
                break
            time.sleep(0.05)
        yield json.loads((tmp_path / "scheduler.json").read_text())["address"], started[0], started[1:]
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_a_lost_cluster_ends_the_wait_with_a_message(separate_processes, monkeypatch):
    address, scheduler, workers = separate_processes
    with engine(address):
        pass
    monkeypatch.setattr("limbeck.engine.SILENCE", 2.5)
    monkeypatch.setattr("limbeck.engine.PATIENCE", 2.0)

    def working(at, number, processes):
        """Start on work that takes an hour, and send a signal to those who do it."""
        results = at.ordered(time.sleep, [0.01, 0.01, 0.01, 3600])
        next(results)
        for process in processes:
            process.send_signal(number)
        for _ in results:
            pass

    with pytest.raises(UserError, match="heartbeat"), engine(address) as at:
        working(at, signal.SIGSTOP, workers)
    for process in workers:
        process.send_signal(signal.SIGCONT)
    with pytest.raises(UserError, match=address), engine(address) as later:  # noqa: PT012 - three clusters in one
        with pytest.raises(UserError, match="heartbeat"), engine(address) as at:
            working(at, signal.SIGKILL, workers)
        results = later.ordered(time.sleep, [0])
        scheduler.kill()
        next(results)


def test_a_search_of_scikit_learn_runs_on_a_cluster(cluster):
    grid = GridSearchCV(SoftLabelClassifier(), {"alpha": [1e-3, 1.0]}, cv=2)
    y = (Z > 0).astype(int)
    with cluster.get_client(), parallel_config(backend="dask"):
        there = grid.fit(X[:200], y[:200], teacher_logits=Z[:200]).cv_results_["mean_test_score"]
    np.testing.assert_array_equal(
        there, grid.fit(X[:200], y[:200], teacher_logits=Z[:200]).cv_results_["mean_test_score"]
    )


def test_the_papers_cells_on_a_cluster_are_those_of_this_process(cluster, tmp_path):
    from limbeck.experiments import EXPERIMENTS
    from limbeck.experiments.run import Request, _measured, settings_of

    request = Request(["figure-3"], tmp_path, repeats=4, values={"d": "20", "n": "4"})
    settings = {"figure-3": settings_of(EXPERIMENTS["figure-3"], request)}
    cells = EXPERIMENTS["figure-3"].plan(settings["figure-3"])[:3]
    here, there = (
        {cell.key: record for cell, record, _ in _measured(EXPERIMENTS, settings, asked, cells)}
        for asked in (request, replace(request, scheduler=cluster.scheduler_address))
    )
    assert len(here) == 3
    assert here == there


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("limbeck.engine.PATIENCE", 0.5)
    with pytest.raises(UserError, match="no scheduler answers there"), engine("tcp://127.0.0.1:1"):
        pass
    with pytest.raises(UserError, match="write local, or an address"), engine("cluster"):
        pass


def test_a_scheduler_without_workers_is_named(monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr("limbeck.engine.PATIENCE", 0.5)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as empty,
        pytest.raises(UserError, match="has no workers"),
        engine(empty.scheduler_address),
    ):
        pass


def test_an_engine_is_any_executor():
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        found = streamed(Z, LOGIT, at=Engine(pool, 2))
    assert relative(found.made.inner.coef_[0], W) < rounding(X, 100)
