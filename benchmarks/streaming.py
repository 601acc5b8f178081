"""``python -m benchmarks.streaming``: a pool larger than the memory allowed for it. Writes the tables of docs/scale.md.

The pool is made by seed, ``--rows`` x ``--width`` float32 with a linear teacher's logits, and deleted afterwards.
Each piece of work runs in a process of its own, whose peak memory the system reports. ``--rows 40000`` is a quick look.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import numpy as np
from numpy.lib import format as npy

CHUNK = 8192
PICKS = 50


def make(path: Path, rows: int, width: int, seed: int = 0) -> None:
    """An uncompressed archive with X (rows, width), float32 of a falling spectrum, and z, a linear teacher's logits."""
    rng = np.random.default_rng(seed)
    scale = (np.arange(1, width + 1) ** -0.5).astype(np.float32)
    w, z = rng.standard_normal(width), np.empty(rows)
    with ZipFile(path, "w", ZIP_STORED) as archive:
        with archive.open("X.npy", "w", force_zip64=True) as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
            npy.write_array_header_1_0(file, header)
            for start in range(0, rows, CHUNK):
                X = rng.standard_normal((min(CHUNK, rows - start), width), dtype=np.float32) * scale
                z[start : start + len(X)] = X @ w
                file.write(X.tobytes())
        with archive.open("z.npy", "w", force_zip64=True) as file:
            npy.write_array(file, z)


# -- pieces of work, each run in a process of its own ----------------------------------------------


def chunks(path: Path):
    from limbeck.data.tables import open_table

    take = open_table(path)._arrays["X"].opened()
    start = 0
    while len(X := take(start, start + CHUNK)):
        yield X
        start += CHUNK


def read(path: Path, scheduler: str) -> None:
    """The floor of all: every byte once."""
    for _ in chunks(path):
        pass


def read_gram(path: Path, scheduler: str) -> None:
    """The floor of distil: the file once and one product X'X a chunk, in float64 as the student needs it."""
    G = 0.0
    for X in chunks(path):
        X = X.astype(np.float64)
        G = G + X.T @ X


def read_answer(path: Path, scheduler: str) -> None:
    """The floor of predict: the file once and one product X w a chunk."""
    w = np.ones((256, 1))
    for X in chunks(path):
        X.astype(np.float64) @ w[: X.shape[1]]


def blocks_of(path: Path, *, answers: bool):
    from limbeck.data.answers import Teacher
    from limbeck.data.blocks import Blocks
    from limbeck.data.features import Features
    from limbeck.data.sources import TableSource

    teacher = Teacher("logit", ("z",))
    return Blocks(TableSource(path, Features(embedding="X"), None, teacher if answers else None)), teacher


def distil(path: Path, scheduler: str) -> dict:
    """Gram pass, refinement pass, held-out pass."""
    from limbeck.engine import engine
    from limbeck.students.streaming import distil_blocks
    from limbeck.students.study import Recipe

    blocks, teacher = blocks_of(path, answers=True)
    with engine(scheduler) as at:
        found = distil_blocks(blocks, teacher, Recipe(0.0), held_out=0.2, at=at)
    assert found.tally is not None
    return {"passes": found.passes, "disagreement": 1 - found.tally.agreement.estimate}


def newton(path: Path, scheduler: str) -> dict:
    """The same with a ridge: Newton's method, one pass a step."""
    from limbeck.engine import engine
    from limbeck.students.streaming import distil_blocks
    from limbeck.students.study import Recipe

    blocks, teacher = blocks_of(path, answers=True)
    with engine(scheduler) as at:
        found = distil_blocks(blocks, teacher, Recipe(1e-3), held_out=0.2, at=at)
    return {"passes": found.passes}


def answer(path: Path, scheduler: str) -> None:
    """`limbeck predict`'s work on every row, its columns built and thrown away."""
    from limbeck import SoftLabelClassifier
    from limbeck.engine import engine
    from limbeck.students.answering import Answering

    blocks, _ = blocks_of(path, answers=False)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2 * blocks.d + 2, blocks.d)).astype(np.float32)
    student = SoftLabelClassifier(0.0).fit(X, teacher_logits=X @ rng.standard_normal(blocks.d))
    with engine(scheduler) as at:
        for _ in at.ordered(Answering(student), blocks.groups()):
            pass


def choose(path: Path, scheduler: str) -> dict:
    """`SpanSelection`, 50 picks."""
    from limbeck import SpanSelection
    from limbeck.engine import engine

    with engine(scheduler) as at:
        ranking = SpanSelection().rank(blocks_of(path, answers=False)[0].points(), PICKS, at=at)
    return {"useful": ranking.useful}


def write(path: Path, scheduler: str) -> dict:
    """`limbeck predict` into a folder of Parquet parts, written by whoever computed them."""
    from limbeck import SoftLabelClassifier
    from limbeck.data.unfinished import UnfinishedFolder
    from limbeck.engine import engine
    from limbeck.students.answering import Answering

    blocks, _ = blocks_of(path, answers=False)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2 * blocks.d + 2, blocks.d)).astype(np.float32)
    student = SoftLabelClassifier(0.0).fit(X, teacher_logits=X @ rng.standard_normal(blocks.d))
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, engine(scheduler) as at:
        parts = UnfinishedFolder(Path(folder) / "answers", {}, resume=False, overwrite=False)
        for _ in parts.written(at, Answering(student), blocks.groups()):
            pass
        return {"rows": parts.assemble()}


WORK: dict[str, Callable] = {
    f.__name__: f for f in (read, read_gram, read_answer, distil, newton, answer, write, choose)
}


def alone(work: str, path: Path, scheduler: str = "local") -> dict:
    """Run a piece of work in a process of its own: seconds, peak memory in bytes, and what it returned."""
    command = [sys.executable, "-m", "benchmarks.streaming", "--one", work, str(path), scheduler]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{work} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def load_modules() -> None:
    """Importing is not part of the work."""
    for module in ("students.streaming", "students.answering", "budget", "data.sources"):
        import_module(f"limbeck.{module}")


def one(work: str, path: Path, scheduler: str) -> None:
    load_modules()
    started, busy = time.perf_counter(), time.process_time()
    found = WORK[work](path, scheduler) or {}
    took, busy = time.perf_counter() - started, time.process_time() - busy
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": took, "busy": busy, "peak": peak, **found}))


# -- the script --------------------------------------------------------------------------------------


# Dask asks glibc to give memory back at once, and every block's memory is then mapped anew: half the workers' time.
KEEP_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 28),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 28),
    "MALLOC_TOP_PAD_": str(1 << 26),
}


@contextmanager
def two_workers():
    """A Dask scheduler and two worker processes on this machine."""
    import dask
    from distributed import LocalCluster

    before = {"distributed.nanny.pre-spawn-environ": {"OPENBLAS_NUM_THREADS": "1", **KEEP_MEMORY}}
    with (
        dask.config.set(before),
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit="1.5GiB"
        ) as cluster,
    ):
        with cluster.get_client() as client:
            client.run(import_module, "limbeck.students.streaming")
        yield cluster.scheduler_address


def room_for(folder: Path, rows: int, width: int) -> None:
    wanted, free = 3 * 4 * rows * width, shutil.disk_usage(folder).free
    if free < wanted:
        sys.exit(
            f"{folder} has {free / 1e9:.0f} GB free and {wanted / 1e9:.0f} GB are wanted: choose another --folder."
        )


def row(name: str, took: dict, rows: int, floor: dict | None = None) -> str:
    """A line of the table; the floor's share is of processor time where one process does the work."""
    measure = "seconds" if "workers" in name else "busy"
    share = "" if floor is None else f"{floor[measure] / took[measure]:.2f}"
    said = ", ".join(f"{k} {v:.3g}" for k, v in took.items() if k not in ("seconds", "busy", "peak"))
    return (
        f"| {name} | {took['seconds']:.1f} s | {took['busy']:.1f} s | {rows / took['seconds'] / 1e6:.3g} | {share} | "
        f"{took['peak'] / 2**20:.0f} MiB | {said} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--growth", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--skip", nargs="*", default=[], choices=list(WORK))
    parser.add_argument("--one", nargs=3, metavar=("WORK", "PATH", "SCHEDULER"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        one(asked.one[0], Path(asked.one[1]), asked.one[2])
        return
    room_for(asked.folder, asked.rows, asked.width)
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        path = Path(folder) / "pool.npz"
        make(path, asked.rows, asked.width)
        print(f"### {asked.rows:,} x {asked.width} float32, {path.stat().st_size / 1e9:.2f} GB\n")
        print("| | time | processor | million rows a second | floor's share | peak memory | |")
        print("|---|---|---|---|---|---|---|")
        floors = {name: alone(name, path) for name in ("read", "read_gram", "read_answer")}
        for name, took in floors.items():
            print(row(name, took, asked.rows), flush=True)
        under = {
            "distil": "read_gram", "newton": "read_gram", "choose": "read_gram",
            "answer": "read_answer", "write": "read_answer",
        }  # fmt: skip
        for name in under:
            if name not in asked.skip:
                print(row(name, alone(name, path), asked.rows, floors[under[name]]), flush=True)
        with two_workers() as address:
            for name in under:
                if name not in asked.skip:
                    floor = floors[under[name]]
                    print(
                        row(f"{name}, two workers", alone(name, path, address), asked.rows, floor), flush=True
                    )
        print(
            "\n### Growth with rows, processor time\n\n| rows | distil | newton | answer |\n|---|---|---|---|"
        )
        for rows in asked.growth:
            make(path, rows, asked.width)
            times = [alone(name, path)["busy"] for name in ("distil", "newton", "answer")]
            print(f"| {rows:,} | " + " | ".join(f"{t:.2f} s" for t in times) + " |", flush=True)


if __name__ == "__main__":
    main()
