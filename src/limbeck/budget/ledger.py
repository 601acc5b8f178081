"""What was asked and what was answered: two files that only grow, and what they add up to.

``asked.jsonl`` is written by us, a line before each question is sent and a line for each failure;
``replies.jsonl`` by the teacher. Everything known is a fold over the two, so a killed run knows what it knew.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from limbeck.budget.teachers import KINDS
from limbeck.kinds import refuse_sorted
from limbeck.labels import (
    MOST_DECIMALS,
    RowError,
    SoftLabels,
    from_log_probabilities,
    from_logits,
    from_probabilities,
    reorder,
)
from limbeck.records import UserError, read_lines

READERS: dict[str, Callable[[ArrayLike], SoftLabels]] = {
    "probabilities": from_probabilities,
    "log_probabilities": from_log_probabilities,
    "logits": from_logits,
}
FLOOD = 1 << 22
"""Bytes at most of one reply, and of lines in a row that answer no open question."""
ROOM = 1 << 20
"""Bytes that must be free for each question out, or as many as the longest reply so far."""


@dataclass
class Row:
    """What has become of one row."""

    asked: int = 0
    """Times it was sent."""
    wanted: int = 1
    """Answers wanted: more than one where it is asked again to measure noise."""
    failed: int = 0
    """Times no answer came: an error, a time-out, a program that died."""
    answers: list[list[float]] = field(default_factory=list)
    """Answers, in the order they came, at most as many as wanted."""
    later: float | None = None
    """Seconds to wait before it is sent again, where the teacher put it off instead of answering."""
    duplicates: int = 0
    """Answers nobody wanted."""
    set_aside: str = ""
    """Why it will not be asked again, where it has no answer: refused, malformed, failed or unknown."""
    detail: str = ""
    """What was said of it."""

    @property
    def open(self) -> bool:
        """Whether a question is out."""
        return self.asked > self.failed + len(self.answers) + bool(self.set_aside)


class MalformedError(ValueError):
    """A reply that is no answer."""


class FloodError(UserError):
    """A teacher that writes without end: it must be ended at once, before the disk is full."""


class Ledger:
    """Questions and replies of a folder.

    Each note in ``asked.jsonl`` says how many bytes of ``replies.jsonl`` had been read before it, so that a later
    run folds both in the order in which they were: what was no answer when it came never becomes one.

    Parameters
    ----------
    folder : Path
    classes : sequence of str, optional
        Names of the classes in order. Default: as the first answer that names them.
    most : int, optional
        Questions that may be sent in all, those of earlier runs included. Default: any number.
    """

    def __init__(self, folder: Path, classes: Sequence[str] | None = None, most: int | None = None) -> None:
        self.asked_path: Path = folder / "asked.jsonl"
        self.replies_path: Path = folder / "replies.jsonl"
        self.most: int | None = most
        self.rows: dict[str, Row] = {}
        self.counts: Counter[str] = Counter()
        self.kind: str = ""
        self.width: int = 0
        self.classes: tuple[str, ...] | None = None if classes is None else tuple(classes)
        self.misnamed: tuple[str, ...] | None = None
        """Classes of the last answer that names them, where those asked for are others and no answer fits them."""
        self._named = False
        self.decimals: int | None = 0
        self.unasked: set[str] = set()
        """Ids of answers at the end of ``replies.jsonl`` whose questions were never noted."""
        self._read = self._useless = self._noted = self._useful = self._longest = 0
        self.replies_path.touch()
        self._replies = self.replies_path.open("rb+")
        try:
            self._replay()
            self._file = self.asked_path.open("ab")
        except BaseException:
            self._replies.close()
            raise

    def close(self) -> None:
        """Note how far the replies were read, and close both files."""
        with contextlib.suppress(OSError):  # a full disk: only what nobody asked for is then read again
            if self.rows and self._read > self._noted:
                self._note({"event": "closed"})
        self._file.close()
        self._replies.close()

    def _replay(self) -> None:
        """Everything noted and said before, in the order in which it was."""
        for number, event in enumerate(read_lines(self.asked_path), start=1):
            try:
                read = int(event.get("read", self._read))
                self._take(read, most=math.inf)
                self._count(event)
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(
                    f"{self.asked_path}, line {number} is no question that was noted ({error!r}). Repair it, or start "
                    "anew in another folder."
                ) from error
            if read > self._read:
                raise UserError(
                    f"{self.replies_path} has lost its end: {read} bytes of it were read before line {number} "
                    f"of asked.jsonl was noted, and {self._read} are there. Answers paid for are missing: put the file "
                    "back, or start anew in another folder."
                )
            self._noted = max(self._noted, read)
        self.unasked.clear()
        try:
            self._take(self._size)
        except FloodError:  # a run was killed before it could cut it
            if not self.waits:  # else the teacher may still be writing an answer
                self.cut()
        if not self.rows and self.counts["unknown ids"]:
            raise UserError(
                f"{self.replies_path} holds answers, and {self.asked_path.name} no question: it is lost, and "
                "everything would be bought again. Put it back, or start anew in another folder."
            )

    # -- writing -----------------------------------------------------------------------------------

    def ask(self, name: str, role: str) -> None:
        """Note, on disk, that a question is about to be sent: nothing is sent that did not pass here.

        Raises
        ------
        RuntimeError
            If that were one more than may be sent.
        OSError
            If its answer might find no room on the disk.
        """
        if not self.left:
            raise RuntimeError(f"{self.spent} questions were sent, and no more than {self.most} may be.")
        if not self.has_room(1):
            raise OSError(errno.ENOSPC, "No space left for the answers", str(self.replies_path))
        self._note({"id": name, "event": "asked", "role": role})

    def has_room(self, questions: int) -> bool:
        """Whether the disk has room for the answers of so many questions."""
        free = shutil.disk_usage(self.asked_path.parent).free
        return free >= questions * max(ROOM, self._longest)

    def fail(self, name: str, why: str) -> None:
        """Note that no answer to it will come."""
        self._note({"id": name, "event": "failed", "why": why})

    def give_up(self, name: str, what: str, why: str) -> None:
        """Note that the row is set aside: ``failed`` or ``unknown``."""
        self._note({"id": name, "event": "set aside", "what": what, "why": why})

    def _note(self, event: Mapping[str, str]) -> None:
        # Escaped, so that half a character in an id or a teacher's words can be kept too.
        self._file.write((json.dumps({**event, "read": self._read}) + "\n").encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._noted = self._read
        self._count(event)

    def _count(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "closed":
            return
        row = self.rows.setdefault(event["id"], Row())
        if event["event"] == "asked":
            row.asked += 1
            row.later = None
            row.wanted += event.get("role") == "repeat"
            self.counts["asked"] += 1
        elif event["event"] == "failed":
            row.failed += 1
            row.detail = event["why"]
            self.counts["failures"] += 1
        else:
            row.set_aside, row.detail = event["what"], event["why"]

    # -- reading -----------------------------------------------------------------------------------

    @property
    def _size(self) -> int:
        return os.fstat(self._replies.fileno()).st_size

    def take(self) -> list[str]:
        """Read new replies, once they are on disk; ids of open questions that got one.

        Raises
        ------
        FloodError
            If there is no end to them. End the teacher, then `cut`.
        """
        size = self._size
        if size == self._read:
            return []
        names = self._take(size)
        if names:
            os.fsync(self._replies.fileno())  # what is used next must not be lost with the power
        return names

    def cut(self) -> None:
        """Drop what a flood wrote behind the last reply that may be an answer: nobody has to read it again."""
        self._take_open()
        self.counts["garbage"] += 1
        self._read = max(self._useful, self._noted)
        self._useless = 0
        self._replies.truncate(self._read)
        os.fsync(self._replies.fileno())

    def _take(self, until: int, most: float = FLOOD) -> list[str]:
        """Ids of open questions that got a reply; FloodError after more than ``most`` bytes in a row without one."""
        names = []
        for line in self._lines(until):
            strangers = len(self.unasked)
            name = self._reply(line) if line.strip() else None
            if name is None:
                self._useless += len(line)
            else:
                self._useless = 0
                self._longest = max(self._longest, len(line))
                names.append(name)
            if name is not None or len(self.unasked) > strangers:  # its question may be noted in another copy
                self._useful = self._read
            if self._useless > most:
                raise FloodError(
                    f"The teacher has written more than {FLOOD} bytes that answer no question: it must answer each "
                    f"with one JSON object a line. What was bought before is kept in {self.replies_path}."
                )
        return names

    def _take_open(self) -> None:
        """Read the replies to open questions among what a flood wrote, and skip the rest, which may be gigabytes."""
        names = b"|".join(re.escape(name.encode()) for name, row in self.rows.items() if row.open)
        sought = re.compile(rb'"id"\s*:\s*"?(?:' + names + rb")|\\")  # a character of an id may be escaped
        before = -1
        while self.waits and self._read > before:
            before = self._read
            self._replies.seek(before)
            chunk = self._replies.read(FLOOD) + self._replies.readline(FLOOD)
            if sought.search(chunk):
                self._take(before + len(chunk), most=math.inf)
            else:
                self._read += len(chunk)

    def _lines(self, until: int) -> Iterator[bytes]:
        """Whole lines up to a position; of one that is longer than a reply only the beginning."""
        self._replies.seek(self._read)
        while self._read < until:
            line = self._replies.readline(FLOOD + 1)
            if not line.endswith(b"\n") and len(line) <= FLOOD:
                return  # the rest of it is still to come
            self._read += len(line)
            yield line
            while not line.endswith(b"\n") and self._read < until:
                line = self._replies.readline(FLOOD)
                self._read += len(line)

    def _reply(self, line: bytes) -> str | None:
        try:
            fields, doubled = _fields(line)
            name = _name(fields)
        except (ValueError, RecursionError):
            self.counts["garbage"] += 1
            return None
        row = self.rows.get(name)
        if row is None:
            self.counts["unknown ids"] += 1
            self.unasked.add(name)
            return None
        if not row.open or len(row.answers) == row.wanted:  # one reply a question: the first one stands
            row.duplicates += 1
            self.counts["duplicates"] += 1
            return None
        if not _storable(fields):
            self._set_aside(row, "malformed", "it holds half a character (a lone surrogate such as \\ud800)")
        elif doubled:
            self._set_aside(row, "malformed", f"the key {doubled[0]!r} is there twice")
        elif "error" in fields:
            row.failed += 1
            row.detail = str(fields["error"])
            self.counts["failures"] += 1
        elif "retry_after" in fields:
            self._put_off(row, fields["retry_after"])
        elif "refusal" in fields:
            self._set_aside(row, "refused", str(fields["refusal"]))
        elif "malformed" in fields:
            self._set_aside(row, "malformed", str(fields["malformed"]))
        else:
            self._answer(row, fields)
        return name

    def _answer(self, row: Row, fields: Mapping[str, Any]) -> None:
        try:
            row.answers.append(self._values(fields))
        except MalformedError as error:
            self._set_aside(row, "malformed", str(error))

    def _put_off(self, row: Row, seconds: Any) -> None:
        """Take the question back: nobody answered it, and nothing was paid for it."""
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < math.inf:
            self._set_aside(row, "malformed", f"retry_after is {str(seconds)[:60]}, not a number of seconds")
            return
        row.asked -= 1
        row.later = float(seconds)
        row.detail = f"asked to wait {seconds:g} s"
        self.counts["asked"] -= 1
        self.counts["put off"] += 1

    def _set_aside(self, row: Row, what: str, why: str) -> None:
        self.counts[what] += 1
        row.detail = why
        if row.answers:  # asked again only to measure noise: the answer stands
            row.failed += 1
        else:
            row.set_aside = what

    def _values(self, fields: Mapping[str, Any]) -> list[float]:
        kinds = [kind for kind in KINDS if kind in fields]
        if len(kinds) != 1:
            raise MalformedError(f"{len(kinds)} of {', '.join(KINDS)} are there; one is needed")
        kind = kinds[0]
        if self.kind not in ("", kind):
            raise MalformedError(f"{kind} where the teacher gave {self.kind} before")
        said, names = _said(fields[kind], fields.get("classes"))
        if not self.kind and names is not None and self.classes is not None:
            self.misnamed = (
                names if 1 < len(set(names)) == len(names) and set(names) != set(self.classes) else None
            )
        classes = self._classes(said, names)
        values = self._ordered(said, names, classes)
        if self.width not in (0, len(values)):
            raise MalformedError(f"{len(values)} numbers where the teacher gave {self.width} before")
        places = _places(values)
        array = np.array([values if len(values) > 1 else values[0]], dtype=np.float64)
        try:
            if kind == "probabilities":
                from_probabilities(array, decimals=places)
            else:
                READERS[kind](array)
        except RowError as error:
            raise MalformedError(
                error.text("reply", 1, None if error.column is None else error.column + 1)
            ) from error
        except ValueError as error:
            raise MalformedError(str(error)) from error
        # It is an answer: only now it says what those to come must look like.
        self.misnamed = None
        self._named |= names is not None
        self.kind, self.width, self.classes = kind, len(values), classes
        self.counts["classes reordered"] += names not in (None, classes)
        known = self.decimals is not None and places is not None
        self.decimals = max(self.decimals or 0, places or 0) if known else None
        return values

    def _classes(self, said: Sequence[float], names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if self.classes is None and names is not None and 1 < len(set(names)) == len(names) == len(said):
            return names
        return self.classes

    @staticmethod
    def _ordered(
        said: list[float], names: tuple[str, ...] | None, classes: tuple[str, ...] | None
    ) -> list[float]:
        if names is None or (names == classes and len(said) in (1, len(names))):
            return said
        if len(said) == 1:
            raise MalformedError(
                f"its classes are {list(names)} where they are {list(classes or ())}, and it gives one number"
            )
        try:
            return reorder(np.array([said]), names, classes or ())[0].tolist()
        except ValueError as error:
            raise MalformedError(str(error)) from error

    # -- what it adds up to ------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether a question is out."""
        return any(row.open for row in self.rows.values())

    @property
    def spent(self) -> int:
        """Questions sent, each of which may have been paid for."""
        return self.counts["asked"]

    @property
    def left(self) -> float:
        """Questions that may still be sent."""
        return math.inf if self.most is None else max(0, self.most - self.spent)

    @property
    def tally(self) -> dict[str, int]:
        """Everything counted, and the rows without an answer that were given up or are unknown."""
        aside = Counter(row.set_aside for row in self.rows.values())
        ours = {"given up": aside["failed"], "unknown": aside["unknown"]}
        return {name: count for name, count in {**self.counts, **ours}.items() if count}

    def answered(self, name: str) -> bool:
        """Whether the row has an answer."""
        return name in self.rows and bool(self.rows[name].answers)

    def settled(self, name: str) -> bool:
        """Whether nothing more will be asked of the row."""
        return name in self.rows and bool(self.rows[name].answers or self.rows[name].set_aside)

    def labels(self, names: Sequence[str], which: int = 0, decimals: int | None = None) -> SoftLabels:
        """Answers of these rows, with the precision all were given in, or with so many decimals (0: exact)."""
        values = np.array([self.rows[name].answers[which] for name in names], dtype=np.float64)
        values = values[:, 0] if self.width == 1 else values
        try:
            if not self._named:
                refuse_sorted(values)
            return self._read_all(values, decimals)
        except RowError as error:
            raise UserError(
                f"The teacher's answers: {error.text('reply', error.row + 1, error.column)}"
            ) from error

    def _read_all(self, values: np.ndarray, decimals: int | None) -> SoftLabels:
        if self.kind == "probabilities":
            return from_probabilities(
                values, decimals=(self.decimals if decimals is None else decimals) or None
            )
        return READERS[self.kind](values)


def _fields(line: bytes) -> tuple[Any, list[str]]:
    """What a line says, and keys that are there twice; ValueError if the id is."""
    doubled: list[str] = []

    def read(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            doubled.extend(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        return found

    if not line.lstrip().startswith(b"{"):  # a flood of these is read soon
        raise ValueError("no object")
    fields = json.loads(line, object_pairs_hook=read)
    if "id" in doubled:
        raise ValueError("two ids")
    return fields, doubled


def _name(fields: Any) -> str:
    if not isinstance(fields, dict) or "id" not in fields:
        raise ValueError("a reply is an object with an id")
    name = fields["id"]
    if isinstance(name, float) and name.is_integer():
        name = int(name)
    return str(name)


def _said(said: Any, names: Any) -> tuple[list[float], tuple[str, ...] | None]:
    """Numbers of a reply, and the names of their classes if it has any."""
    if isinstance(said, Mapping):
        names, said = list(said), list(said.values())
    said = said if isinstance(said, list) else [said]
    try:
        if not said or any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in said):
            raise TypeError
        values = [float(v) for v in said]
    except (TypeError, OverflowError):
        raise MalformedError(f"{str(said)[:60]} is no number or list of numbers") from None
    if names is None:
        return values, None
    return values, tuple(map(str, names)) if isinstance(names, (list, tuple)) else (str(names),)


def _storable(fields: Mapping[str, Any]) -> bool:
    """Whether all it says can be written to a file."""
    try:
        json.dumps(fields, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


def _places(values: Sequence[float]) -> int | None:
    """Decimals that all values were written with; None if more than a rounded number has."""
    places = max(max(0, -int(Decimal(repr(v)).as_tuple().exponent)) if np.isfinite(v) else 0 for v in values)
    return max(places, 1) if places <= MOST_DECIMALS else None
