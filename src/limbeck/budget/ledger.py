"""What was asked and what was answered: two files that only grow, and what they add up to.

``asked.jsonl`` is written by us, a line before each question is sent and a line for each failure;
``replies.jsonl`` by the teacher. Everything known is a fold over the two, so a killed run knows what it knew.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from limbeck.budget.teachers import KINDS
from limbeck.labels import (
    MOST_DECIMALS,
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
LONGEST_REPLY = 1 << 20


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


class Ledger:
    """Questions and replies of a folder.

    Parameters
    ----------
    folder : Path
    classes : sequence of str, optional
        Names of the classes in order. Default: as the first reply that names them.
    """

    def __init__(self, folder: Path, classes: Sequence[str] | None = None) -> None:
        self.asked_path: Path = folder / "asked.jsonl"
        self.replies_path: Path = folder / "replies.jsonl"
        self.rows: dict[str, Row] = {}
        self.counts: Counter[str] = Counter()
        self.kind: str = ""
        self.width: int = 0
        self.classes: tuple[str, ...] | None = None if classes is None else tuple(classes)
        self.decimals: int | None = 0
        self._read = 0
        for number, event in enumerate(read_lines(self.asked_path), start=1):
            try:
                self._count(event)
            except (KeyError, TypeError) as error:
                raise UserError(
                    f"{self.asked_path}, line {number} is no question that was noted ({error!r}). Repair it, or start "
                    "anew in another folder."
                ) from error
        self.asked_path.touch()
        self.replies_path.touch()
        self._file = self.asked_path.open("ab")
        try:
            self.take()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file of questions."""
        self._file.close()

    # -- writing -----------------------------------------------------------------------------------

    def ask(self, name: str, role: str) -> None:
        """Note, on disk, that a question is about to be sent; OSError if its answer might find no room there."""
        if shutil.disk_usage(self.asked_path.parent).free < LONGEST_REPLY:
            raise OSError(errno.ENOSPC, "No space left for the answers", str(self.replies_path))
        self._note({"id": name, "event": "asked", "role": role})

    def fail(self, name: str, why: str) -> None:
        """Note that no answer to it will come."""
        self._note({"id": name, "event": "failed", "why": why})

    def give_up(self, name: str, what: str, why: str) -> None:
        """Note that the row is set aside: ``failed`` or ``unknown``."""
        self._note({"id": name, "event": "set aside", "what": what, "why": why})

    def _note(self, event: Mapping[str, str]) -> None:
        self._file.write((json.dumps(event, ensure_ascii=False) + "\n").encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._count(event)

    def _count(self, event: Mapping[str, str]) -> None:
        row = self.rows.setdefault(event["id"], Row())
        if event["event"] == "asked":
            row.asked += 1
            row.wanted += event.get("role") == "repeat"
            self.counts["asked"] += 1
        elif event["event"] == "failed":
            row.failed += 1
            row.detail = event["why"]
            self.counts["failures"] += 1
        else:
            row.set_aside, row.detail = event["what"], event["why"]

    # -- reading -----------------------------------------------------------------------------------

    def take(self) -> list[str]:
        """Read new replies, once they are on disk; ids that got one."""
        if self.replies_path.stat().st_size == self._read:
            return []
        with self.replies_path.open("rb+") as file:
            os.fsync(file.fileno())  # what is used next must not be lost with the power
            file.seek(self._read)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        if len(data) - whole > LONGEST_REPLY:
            raise UserError(
                f"The teacher has written {len(data) - whole} bytes without a line break: it must answer one JSON "
                f"object a line. What was bought before is kept in {self.replies_path}."
            )
        self._read += whole
        found = []
        for line in data[:whole].splitlines():
            if line.strip():
                name = self._reply(line)
                found += [] if name is None else [name]
        return found

    def _reply(self, line: bytes) -> str | None:
        try:
            fields = json.loads(line)
            name = _name(fields)
        except (ValueError, RecursionError):
            self.counts["garbage"] += 1
            return None
        row = self.rows.get(name)
        if row is None:
            self.counts["unknown ids"] += 1
            return None
        if len(row.answers) == row.wanted:
            row.duplicates += 1
            self.counts["duplicates"] += 1
        elif "error" in fields:
            row.failed += 1
            row.detail = str(fields["error"])
            self.counts["failures"] += 1
        elif "refusal" in fields:
            self._set_aside(row, "refused", str(fields["refusal"]))
        else:
            self._answer(row, fields)
        return name

    def _answer(self, row: Row, fields: Mapping[str, Any]) -> None:
        try:
            row.answers.append(self._values(fields))
            row.set_aside = ""  # it came after all
        except MalformedError as error:
            self._set_aside(row, "malformed", str(error))

    def _set_aside(self, row: Row, what: str, why: str) -> None:
        self.counts[what] += 1
        if row.answers:  # asked again only to measure noise: the answer stands
            row.failed += 1
        else:
            row.set_aside, row.detail = what, why

    def _values(self, fields: Mapping[str, Any]) -> list[float]:
        kinds = [kind for kind in KINDS if kind in fields]
        if len(kinds) != 1:
            raise MalformedError(f"{len(kinds)} of {', '.join(KINDS)} are there; one is needed")
        kind = kinds[0]
        if self.kind not in ("", kind):
            raise MalformedError(f"{kind} where the teacher gave {self.kind} before")
        values = self._ordered(fields[kind], fields.get("classes"))
        if self.width not in (0, len(values)):
            raise MalformedError(f"{len(values)} numbers where the teacher gave {self.width} before")
        places = _places(values)
        array = np.array([values if len(values) > 1 else values[0]], dtype=np.float64)
        try:
            if kind == "probabilities":
                from_probabilities(array, decimals=places)
            else:
                READERS[kind](array)
        except ValueError as error:
            raise MalformedError(str(error)) from error
        self.kind, self.width = kind, len(values)
        known = self.decimals is not None and places is not None
        self.decimals = max(self.decimals or 0, places or 0) if known else None
        return values

    def _ordered(self, said: Any, names: Any) -> list[float]:
        if isinstance(said, Mapping):
            names, said = list(said), list(said.values())
        said = said if isinstance(said, list) else [said]
        if not said or any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in said):
            raise MalformedError(f"{str(said)[:60]} is no number or list of numbers")
        values = [float(v) for v in said]
        if names is None:
            return values
        names = tuple(map(str, names)) if isinstance(names, (list, tuple)) else (str(names),)
        if self.classes is None and len(set(names)) == len(names) == len(values):
            self.classes = names
        if names == self.classes and len(values) in (1, len(names)):
            return values
        if len(values) == 1:
            raise MalformedError(
                f"its classes are {list(names)} where they are {list(self.classes or ())}, and it gives one number"
            )
        try:
            values = reorder(np.array([values]), names, self.classes or ())[0].tolist()
        except ValueError as error:
            raise MalformedError(str(error)) from error
        self.counts["classes reordered"] += 1
        return values

    # -- what it adds up to ------------------------------------------------------------------------

    @property
    def spent(self) -> int:
        """Questions sent, each of which may have been paid for."""
        return self.counts["asked"]

    @property
    def tally(self) -> dict[str, int]:
        """Everything counted, and the rows without an answer that were given up or are unknown."""
        aside = Counter(row.set_aside for row in self.rows.values())
        ours = {"given up": aside["failed"], "unknown": aside["unknown"]}
        return {**self.counts, **{name: count for name, count in ours.items() if count}}

    def answered(self, name: str) -> bool:
        """Whether the row has an answer."""
        return name in self.rows and bool(self.rows[name].answers)

    def settled(self, name: str) -> bool:
        """Whether nothing more will be asked of the row."""
        return name in self.rows and bool(self.rows[name].answers or self.rows[name].set_aside)

    def labels(self, names: Sequence[str], which: int = 0) -> SoftLabels:
        """Answers of these rows, with the precision they were given in."""
        values = np.array([self.rows[name].answers[which] for name in names], dtype=np.float64)
        values = values[:, 0] if self.width == 1 else values
        if self.kind == "probabilities":
            return from_probabilities(values, decimals=self.decimals or None)
        return READERS[self.kind](values)


def _name(fields: Any) -> str:
    if not isinstance(fields, dict) or "id" not in fields:
        raise ValueError("a reply is an object with an id")
    name = fields["id"]
    if isinstance(name, float) and name.is_integer():
        name = int(name)
    return str(name)


def _places(values: Sequence[float]) -> int | None:
    """Decimals that all values were written with; None if more than a rounded number has."""
    places = max(max(0, -int(Decimal(repr(v)).as_tuple().exponent)) if np.isfinite(v) else 0 for v in values)
    return max(places, 1) if places <= MOST_DECIMALS else None
