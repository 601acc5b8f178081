"""Teachers that cost money: a Python callable, or any program that reads and writes JSON lines.

Answers reach the disk without passing through this process: a program's standard output *is* the file of
replies. If this process is killed, the program still finishes what it was sent, and nothing it says is lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from datetime import time as clock_time
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import numpy as np

from limbeck.labels import as_numbers
from limbeck.records import UserError
from limbeck.students._targets import column_names

try:
    import fcntl
except ImportError:  # Windows: a program left over from a killed run cannot be waited for
    fcntl = None

Question = Mapping[str, Any]
"""``{"id": ..., "x": [...]}`` and the row's other columns."""

KINDS = ("probabilities", "log_probabilities", "logits")
LOG_LIMIT, LOG_KEPT = 1 << 26, 1 << 20
"""Bytes to which a program's ``teacher.log`` may grow, and those of its end that are kept then."""


def encoded(question: Question) -> bytes:
    """The line a program reads. Dates, times and decimals go as text, since JSON has none of them.

    Raises
    ------
    ValueError, TypeError
        If something in it cannot be sent: NaN, bytes, half a character.
    """
    return (json.dumps(question, ensure_ascii=False, allow_nan=False, default=_as_text) + "\n").encode()


def _as_text(value: Any) -> str:
    if isinstance(value, (date, clock_time)):
        return value.isoformat()
    if isinstance(value, (timedelta, Decimal, UUID)):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON")


class Session(Protocol):
    """A teacher at work, whose replies appear as lines of a file."""

    @property
    def alive(self) -> bool:
        """Whether it still takes questions."""
        ...

    def send(self, question: Question) -> None:
        """Put one question; OSError if nobody is there to take it."""
        ...

    def close(self, patience: float) -> None:
        """No more questions: let it finish within ``patience`` seconds, then end it with all it started."""
        ...

    def last_words(self) -> str:
        """What it said on its way out, for an error message; may be empty."""
        ...


class Teacher(Protocol):
    """Somebody who answers."""

    def start(self, replies: Path, patience: float) -> Session:
        """Begin to answer into the file ``replies``, once whoever answered into it before has finished."""
        ...


@dataclass(frozen=True)
class CallableTeacher:
    """A Python function of points, such as a classifier's ``predict_proba``.

    An exception counts as a failure, to be tried again; None, or an answer with NaN, as a refusal.
    """

    function: Callable[[np.ndarray], Any]
    """Of points (1, d) to answers (1,) or (1, K)."""
    answers: str = "probabilities"
    """What it returns: ``probabilities``, ``log_probabilities`` or ``logits``."""

    def __post_init__(self) -> None:
        if self.answers not in KINDS:
            raise ValueError(f"answers must be one of {', '.join(KINDS)}, got {self.answers!r}.")

    def start(self, replies: Path, patience: float) -> Session:
        """Begin; calls are made one at a time, in this process."""
        del patience
        return _Calls(self, replies)


class _Calls:
    alive = True

    def __init__(self, teacher: CallableTeacher, replies: Path) -> None:
        self._teacher, self._replies = teacher, replies

    def send(self, question: Question) -> None:
        reply = {"id": question["id"], **self._answer(np.array([question["x"]]))}
        with self._replies.open("a", encoding="utf-8") as file:
            file.write(json.dumps(reply) + "\n")

    def _answer(self, x: np.ndarray) -> dict[str, Any]:
        try:
            said = self._teacher.function(x)
        except Exception as error:  # whatever a teacher raises is a failure to answer, to be tried again
            return {"error": f"{type(error).__name__}: {error}".encode("utf-8", "replace").decode()}
        values = None if said is None else as_numbers(said)
        if values is None or values.dtype.kind not in "fiu" or np.isnan(values).any():
            return {"refusal": "no number" if values is not None else "None"}
        if len(values.reshape(-1)) == 0 or (values.ndim > 0 and len(values) != 1):
            return {"refusal": f"an answer of shape {values.shape} for one point"}
        row = values[0].tolist() if values.ndim else values.item()
        if values.ndim == 2 and (named := column_names(said)) is not None:
            row = dict(zip(map(str, named), row, strict=True))
        return {self._teacher.answers: row}

    def close(self, patience: float) -> None:
        del patience

    def last_words(self) -> str:
        return ""


class ProgramTeacher:
    """A program that reads one question a line from standard input and writes one answer a line, flushed.

    Parameters
    ----------
    command : str or sequence of str
        Split as a shell would split it, and run without a shell.

    Raises
    ------
    UserError
        If the command is empty or its quotes do not match.
    """

    def __init__(self, command: str | Sequence[str]) -> None:
        try:
            self.arguments: list[str] = shlex.split(command) if isinstance(command, str) else list(command)
        except ValueError as error:
            raise UserError(f"The teacher's command {command!r} cannot be split: {error}.") from error
        if not self.arguments:
            raise UserError("The teacher's command is empty.")

    def start(self, replies: Path, patience: float) -> Session:
        """Start the program; standard error goes to ``teacher.log`` beside the replies.

        Raises
        ------
        UserError
            If it cannot be started, or one left over from a killed run does not finish.
        """
        lock = replies.with_name("teacher.lock").open("a+")
        try:
            _await(lock, patience)
            _finish_line(replies)
            program = _Program(self.arguments, replies, lock)
            with contextlib.suppress(OSError):  # a full disk: it is only for a message
                os.ftruncate(lock.fileno(), 0)
                os.write(lock.fileno(), f"{program.pid}\n".encode())
            return program
        finally:
            lock.close()  # the program holds its own copy, so the lock lasts as long as the program


def _await(lock: Any, patience: float) -> None:
    """Hold the lock, waiting for the program of a killed run to finish what it was sent."""
    deadline = time.monotonic() + patience
    while fcntl is not None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > deadline:
                raise UserError(
                    f"{_holder(lock)} ({lock.name} is locked) after {patience:.0f} s. What it answers is kept; end it, "
                    "or wait and run the same command again."
                ) from None
            time.sleep(0.02)
        else:
            return


def _holder(lock: Any) -> str:
    """Who still holds it: the program whose number it notes, or what that started."""
    lock.seek(0)
    noted = lock.read().split()
    if len(noted) != 1 or not noted[0].isdecimal():
        return "The teacher of an earlier run is still at work"
    try:
        os.kill(int(noted[0]), 0)
    except ProcessLookupError:
        return (
            f"The teacher (process {noted[0]}) has ended, but a process that it started and left behind is still at "
            "work and could answer in its place"
        )
    except OSError:
        pass
    return f"The teacher of an earlier run (process {noted[0]}) is still at work"


def _finish_line(replies: Path) -> None:
    """Put a newline after a line cut short by a killed program, so that it spoils no other."""
    if replies.exists() and replies.stat().st_size:
        with replies.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")


class _Program:
    def __init__(self, arguments: Sequence[str], replies: Path, lock: Any) -> None:
        self._log = replies.with_name("teacher.log")
        with replies.open("ab") as out, self._log.open("ab") as log:
            self._from = log.tell()
            try:
                # A session of its own: Ctrl-C ends this process, not an answer already being paid for.
                self._process = subprocess.Popen(
                    arguments,
                    stdin=subprocess.PIPE,
                    stdout=out,
                    stderr=log,
                    pass_fds=(lock.fileno(),) if os.name == "posix" else (),
                    start_new_session=True,
                )
            except OSError as error:
                raise UserError(
                    f"The teacher's command does not start: {arguments[0]!r}: {error.strerror or error}."
                ) from error

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        self._shorten_log()
        return self._process.poll() is None

    def _shorten_log(self) -> None:
        """Keep the end of a log that would fill the disk: the program appends, so what it writes next comes after."""
        with contextlib.suppress(OSError):  # deleted, or a full disk: it is only for a message
            size = self._log.stat().st_size
            if size <= LOG_LIMIT:
                return
            with self._log.open("rb+") as file:
                file.seek(-LOG_KEPT, os.SEEK_END)
                end = file.read()
                file.truncate(0)
            self._from = 0
            cut = f"limbeck: {size - LOG_KEPT} bytes of this log were cut here, it grew too long.\n"
            with self._log.open("ab") as file:
                file.write(cut.encode() + end)

    def send(self, question: Question) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        pipe.write(encoded(question))
        pipe.flush()

    def close(self, patience: float) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        if not patience:
            self._kill()
        try:
            self._process.wait(patience or None)
        except subprocess.TimeoutExpired:
            self._kill()
            self._process.wait()

    def _kill(self) -> None:
        """End it with all it started, which would hold the lock: they are a session of their own."""
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()

    def last_words(self) -> str:
        code, lines = self._process.poll(), []
        with contextlib.suppress(OSError), self._log.open("rb") as file:
            file.seek(max(self._from, self._log.stat().st_size - 4096))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
        ended = "" if code is None else f"it ended with exit code {code}"
        return "; ".join(part for part in (ended, lines[-1] if lines else "") if part)
