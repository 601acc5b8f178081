"""The command as a user runs it: in a process of its own, in a terminal of 80 columns."""

import os
import subprocess
import sys


def limbeck(*arguments, cwd=None, env=None, timeout=120):
    return subprocess.run(
        [sys.executable, "-m", "limbeck", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=timeout,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb", **(env or {})},
    )


def in_process(monkeypatch, capsys, *arguments):
    """The command in this process, for speed: exit code, standard output and standard error."""
    from limbeck.cli import main

    monkeypatch.setattr(sys, "argv", ["limbeck", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "80")
    try:
        main()
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    said = capsys.readouterr()
    return code, said.out, said.err
