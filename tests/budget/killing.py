"""Kill a run of the loop at random moments, let it resume, and report what its teacher was asked.

python -m budget.killing FOLDER KILLS SEED [both]     from tests/, or as tests/budget/killing.py

``both`` kills the teacher's program too. Prints a line of JSON: calls, distinct calls, answers kept, unknown.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from limbeck import SoftLabelClassifier
from limbeck.budget import BudgetedDistillation, StoppingRule  # noqa: F401 - loaded before forking
from limbeck.budget.asking import Manners
from limbeck.budget.ledger import Ledger

HERE = Path(__file__).parent
IN_FLIGHT = 2


def loop(folder, calls):
    X = np.random.default_rng(0).standard_normal((600, 3))
    buy = BudgetedDistillation(
        f"{sys.executable} -S -E {HERE / 'telling.py'} {calls} 0.002",
        budget=500,
        target_risk=0.001,  # out of reach: the whole budget is spent
        audit=150,
        batch=50,
        student=SoftLabelClassifier(alpha=0),
        select="random",
        manners=Manners(in_flight=IN_FLIGHT, backoff=0.0),
    )
    return buy.run(X, folder=folder)


def forked(folder, calls):
    child = os.fork()
    if child == 0:
        try:
            loop(folder, calls)
        finally:
            os._exit(0)
    return child


def progress(folder):
    """Questions noted so far."""
    path = folder / "run" / "asked.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(path, lines):
    """Until so many questions were noted, however busy the machine is; a run that has nothing left to ask ends."""
    deadline = time.monotonic() + 20
    while progress(path.parents[1]) < min(lines, 490) and time.monotonic() < deadline:
        time.sleep(0.001)


def teachers_of(calls):
    """Process groups of programs that hold the file of calls on their command line."""
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(calls).encode() in words and b"killing.py" not in words[1]:
            yield int(entry.name)


def main():
    folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    both = sys.argv[4:] == ["both"]
    calls = folder / "calls.txt"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for _ in range(kills):
        child = forked(folder / "run", calls)
        wait_for(folder / "run" / "asked.jsonl", progress(folder) + rng.integers(0, 900 // kills))
        time.sleep(rng.uniform(0.0, 0.006))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for teacher in list(teachers_of(calls)) if both else ():
            os.kill(teacher, signal.SIGKILL)
    spent_before = progress(folder)
    bought = loop(folder / "run", calls)
    asked = calls.read_text().split()
    ledger = Ledger(folder / "run")
    answered = {name for name, row in ledger.rows.items() if row.answers}
    sys.stdout.write(
        json.dumps(
            {
                "calls": len(asked),
                "distinct": len(set(asked)),
                "lost": len(set(asked) - answered),
                "invented": len(answered - set(asked)),
                "unknown": sum(row.set_aside == "unknown" for row in ledger.rows.values()),
                "spent": bought.spent,
                "before the last run": spent_before,
                "looks": len(bought.looks),
            }
        )
    )


if __name__ == "__main__":
    main()
