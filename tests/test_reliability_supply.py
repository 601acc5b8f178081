"""No command reaches a network, but `--digits openml`; and what pyproject.toml states is what is tested."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from torture import jobs, supply

RUN = """
import json, os, sys
from limbeck.cli import main

tried, started = [], []

def listen(event, arguments):
    if event == "subprocess.Popen":
        started.append(os.path.basename(arguments[1][0]))
    # A socket of the machine itself has a path for an address.
    if event in ("socket.getaddrinfo", "socket.gethostbyname") or (
        event in ("socket.connect", "socket.sendto", "socket.bind") and isinstance(arguments[1], tuple)
    ):
        tried.append(event)
        raise OSError("the network is forbidden here")

sys.addaudithook(listen)
codes = []
for words in json.loads(sys.argv.pop()):
    sys.argv[1:] = words
    try:
        main()
        codes.append(0)
    except SystemExit as stop:
        codes.append(stop.code)
print(json.dumps([codes, tried, sorted(set(started))]))
"""


def heard(place, commands):
    """Exit codes, calls to the network, programs started."""
    env = {**os.environ, "SCIKIT_LEARN_DATA": str(place / "nothing-fetched")}
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(commands)],
        cwd=place, env=env, capture_output=True, text=True, check=True, timeout=200,
    )  # fmt: skip
    return *json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_no_command_reaches_the_network(tmp_path):
    jobs.inputs(tmp_path, many=100)
    commands = [job.words for job in jobs.JOBS.values()]
    codes, tried, started, said = heard(tmp_path, commands)
    assert codes == [0] * len(commands), said
    assert tried == []
    asked_of_the_machine = {"ldconfig", "lscpu"}  # by NumPy and joblib: its libraries, its cores
    assert set(started) - asked_of_the_machine <= {
        "git",
        Path(sys.executable).name,
    }  # the commit, label's teacher


def test_digits_of_openml_are_fetched_and_the_failure_is_named(tmp_path):
    fetch = ["reproduce", "figure-4", "--quick", "--jobs", "1", "--digits", "openml", "--out", "report"]
    codes, tried, _, said = heard(tmp_path, [fetch])
    assert codes == [2]
    assert tried
    assert "MNIST could not be fetched" in " ".join(said.split())


def test_every_dependency_has_a_floor_and_no_ceiling():
    stated = supply.stated()
    assert stated
    for requirement in stated:
        assert re.fullmatch(r"[A-Za-z0-9._-]+(\[[\w,-]+\])?>=[\d.]+", requirement), requirement
    assert "numpy==" in supply.floors()[0]


@pytest.mark.parametrize("text", ["12 passed, 3 skipped in 1.0s", "12 passed in 1.0s"])
def test_the_outcome_of_a_suite_is_read(text):
    assert supply.outcome(f"noise 7 failed\n{text}") == text.partition(" in ")[0]
