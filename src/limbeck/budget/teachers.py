"""Teachers that cost money: a Python callable, or any program that reads and writes JSON lines.

Answers reach the disk without passing through this process: a program's standard output *is* the file of
replies. If this process is killed, the program still finishes what it was sent, and nothing it says is lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import re
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from datetime import time as clock_time
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Protocol
from uuid import UUID

import numpy as np

from limbeck.labels import as_numbers
from limbeck.records import UserError
from limbeck.students.targets import column_names

try:
    import fcntl
except ImportError:  # Windows: a program left over from a killed run cannot be waited for
    fcntl = None

Question = Mapping[str, Any]
"""``{"id": ..., "x": [...]}`` and the row's other columns."""

WRITTEN_WITHIN = 0.01
"""Seconds that a question may take to be written before it is left to be written later."""
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
        """Send one question without waiting for the teacher to read it; OSError if the teacher has ended."""
        ...

    def close(self, patience: float) -> None:
        """No more questions: let it finish within ``patience`` seconds, then end it with all it started."""
        ...

    def last_words(self) -> str:
        """What it said on its way out, for an error message; may be empty."""
        ...


class Teacher(Protocol):
    """Somebody who answers.

    An attribute ``fingerprint`` (str), if there is one, tells this teacher from others: a folder with answers of
    another one is refused.
    """

    def start(self, replies: Path, patience: float) -> Session:
        """Begin to answer into the file ``replies``, once whoever answered into it before has finished."""
        ...


@dataclass(frozen=True)
class CallableTeacher:
    """A Python function of points, such as a classifier's ``predict_proba``.

    An exception counts as a failure, to be tried again; None, or an answer with NaN, as a refusal; any other result
    that is not one point's answer as malformed.
    """

    function: Callable[[np.ndarray], Any]
    """Of points (1, d) to answers (1, K), (K,), (1,) or a number."""
    answers: str = "probabilities"
    """What it returns: ``probabilities``, ``log_probabilities`` or ``logits``."""

    def __post_init__(self) -> None:
        if self.answers not in KINDS:
            raise ValueError(f"answers must be one of {', '.join(KINDS)}, got {self.answers!r}.")

    @property
    def fingerprint(self) -> str:
        """The function's name: what it computes cannot be compared."""
        names = (getattr(self.function, name, "") for name in ("__module__", "__qualname__"))
        return ".".join(filter(None, names)) or type(self.function).__qualname__

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
        if said is None:
            return {"refusal": "None"}
        try:
            values = as_numbers(said)
        except (ValueError, TypeError) as error:  # lists of different lengths, for example
            return {"malformed": str(error)}
        row = values[0] if values.ndim == 2 and len(values) == 1 else values
        if row.dtype.kind not in "fiu" or row.ndim > 1 or not row.size:
            return {"malformed": f"an array of shape {values.shape} and type {values.dtype} for one point"}
        if np.isnan(row).any():
            return {"refusal": "NaN"}
        named = column_names(said) if values.ndim == 2 else None
        listed = row.tolist()
        return {
            self._teacher.answers: listed
            if named is None
            else dict(zip(map(str, named), listed, strict=True))
        }

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
            # The command may hold a key: it is not repeated.
            raise UserError(f"The teacher's command cannot be split into words: {error}.") from error
        if not self.arguments:
            raise UserError("The teacher's command is empty.")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the command's words, hexadecimal."""
        return hashlib.sha256(json.dumps(self.arguments).encode()).hexdigest()

    def start(self, replies: Path, patience: float) -> Session:
        """Start the program; standard error goes to ``teacher.log`` beside the replies.

        Raises
        ------
        UserError
            If it cannot be started, or one left over from a killed run does not finish.
        """
        lock = replies.with_name("teacher.lock").open("a+", errors="replace")
        try:
            _await(lock, patience)
            _finish_line(replies)
            program = _Program(self.arguments, replies, lock)
            program.note()
            return program
        finally:
            lock.close()  # the program holds its own copy, so the lock lasts as long as the program


def _await(lock: IO[str], patience: float) -> None:
    """Hold the lock, waiting for the program of a killed run to finish what it was sent."""
    deadline = time.monotonic() + patience
    while not (_held(lock) and _noted(lock)[1] is None):
        if time.monotonic() > deadline:
            raise UserError(
                f"{_holder(lock)} after {patience:.0f} s ({lock.name}). What it answers is kept; end it, or wait and "
                "run the same command again."
            )
        time.sleep(0.02)


def _held(lock: IO[str]) -> bool:
    try:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _noted(lock: IO[str]) -> tuple[str, str | None]:
    """Number of the process that the lock's file names, and when that began if it is still at work.

    A program that closes the descriptors it inherits does not hold the lock: so its process is looked for, too. Another
    process that got its number since began at another time.
    """
    lock.seek(0)
    number, _, noted = lock.read().strip().partition(" ")
    began = _began(int(number)) if re.fullmatch("[0-9]{1,10}", number) else None
    return number, began if noted in ("", began) else None


def _began(number: int) -> str | None:
    """When a process began, in the system's own words; None if it has ended, or that is unknown."""
    try:
        # After the name, which may hold anything: the state, and as the twentieth field the start.
        fields = Path(f"/proc/{number}/stat").read_bytes().rpartition(b")")[2].split()
        return None if fields[0] in (b"Z", b"X") else fields[19].decode()
    except (OSError, IndexError):
        pass
    if Path("/proc/self/stat").exists():
        return None
    try:  # macOS and the BSDs
        words = ["ps", "-o", "lstart=", "-p", str(number)]
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() or None
    except OSError:  # Windows
        return None


def _holder(lock: IO[str]) -> str:
    """Who is still at work: the program whose number the lock's file names, or what that started."""
    number, began = _noted(lock)
    if began is not None:
        return f"The teacher of an earlier run (process {number}) is still at work"
    if not number:
        return "The teacher of an earlier run is still at work"
    return (
        f"The teacher (process {number}) has ended, but a process that it started and left behind is still at work "
        "and could answer in its place"
    )


def _finish_line(replies: Path) -> None:
    """Put a newline after a line cut short by a killed program, so that it spoils no other."""
    if replies.exists() and replies.stat().st_size:
        with replies.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")


class _Program:
    def __init__(self, arguments: Sequence[str], replies: Path, lock: IO[str]) -> None:
        self._log, self._lock = replies.with_name("teacher.log"), Path(lock.name)
        with replies.open("ab") as out, self._log.open("ab") as log:
            self._from = log.tell()
            try:
                # A session of its own: Ctrl-C ends this process, not an answer already being paid for.
                self._process = subprocess.Popen(
                    arguments,
                    bufsize=0,
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
        self._questions: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._written = threading.Event()
        # A program that does not read fills the pipe, and then a write waits: it must not keep the time-out waiting.
        threading.Thread(target=self._write, daemon=True).start()

    def note(self) -> None:
        """Name the process in the lock's file, for a run that finds it still at work."""
        with contextlib.suppress(OSError):  # a full disk: what is out is then protected by the lock alone
            self._lock.write_text(f"{self._process.pid} {_began(self._process.pid) or ''}".rstrip() + "\n")

    def _write(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        with contextlib.suppress(OSError), pipe:  # it has ended: noticed where it is asked for
            for line in iter(self._questions.get, None):
                while line:
                    line = line[pipe.write(line) :]
                self._written.set()

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
        self._written.clear()
        self._questions.put(encoded(question))
        self._written.wait(
            WRITTEN_WITHIN
        )  # a run killed right now has sent what it noted, if the program reads

    def close(self, patience: float) -> None:
        self._questions.put(None)  # the pipe is closed after the last question
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
