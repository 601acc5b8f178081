"""Putting questions to a teacher that may be slow, refuse, fail, hang or die."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from limbeck.budget.ledger import FloodError, Ledger
from limbeck.budget.teachers import Question, Session, Teacher
from limbeck.records import UserError

FAILURES_IN_A_ROW = 5
GARBAGE_IN_A_ROW = 100
SHORTEST_NAP, LONGEST_NAP = 0.001, 0.05


@dataclass(frozen=True)
class Manners:
    """How a teacher is asked."""

    in_flight: int = 1
    """Questions out at a time; of these, and no others, the answers may be in doubt after a crash."""
    timeout: float = 60.0
    """Seconds without any reply after which the teacher counts as hung."""
    retries: int = 3
    """Times a failed question is sent again."""
    backoff: float = 1.0
    """Seconds before the first of these; doubled each time."""


@dataclass
class Asker:
    """A teacher, its ledger, and what is out.

    Raises
    ------
    UserError
        From `ask`: the teacher gives five malformed answers in a row, fails or puts off five times in a row, writes
        garbage only or without end, or does not start. What it answered before is kept. Failures of questions that were
        out together count once.
    """

    teacher: Teacher
    """Who is asked."""
    ledger: Ledger
    """Where everything is noted."""
    question: Callable[[str], Question]
    """The question of an id."""
    manners: Manners
    """How."""
    session: Session | None = None
    """The teacher at work."""
    out: dict[str, float] = field(default_factory=dict)
    """Questions out, and when each was sent."""
    in_a_row: int = 0
    """Failures and malformed answers since the last answer."""
    failed_at: float = 0.0
    """When the last failure that counts was seen."""
    garbage: int = 0
    """Lines that are no replies since the last reply."""
    heard: float = 0.0
    """When the teacher was last heard."""

    def ask(self, names: Sequence[str], role: str) -> None:
        """Put these questions and wait until each is answered, refused or given up, or nothing more may be sent."""
        waiting: deque[tuple[float, str]] = deque((0.0, name) for name in names)
        nap = SHORTEST_NAP
        while self.out or (waiting and self.ledger.left):
            moved = self._send(waiting, role)
            came = self._collect(waiting)
            self._check_health(waiting)
            nap = SHORTEST_NAP if moved or came else min(2 * nap, LONGEST_NAP)
            if not (moved or came):
                time.sleep(nap)

    def recover(self, *, ask_again: bool) -> None:
        """After a kill: wait for what the teacher was still answering, then settle the questions left open.

        Such a question may have been paid for. It is set aside as ``unknown``, never asked twice, unless
        ``ask_again``.
        """
        if not self.ledger.waits:
            return
        with contextlib.suppress(FloodError):  # of the killed run's teacher, which has ended
            self._start()
        for name, row in self.ledger.rows.items():
            if row.open and ask_again:
                self.ledger.fail(name, "in flight when a run was killed")
            elif row.open:
                self.ledger.give_up(name, "unknown", "in flight when a run was killed: perhaps paid for")

    def close(self) -> None:
        """Let the teacher finish what is out, and take it."""
        if self.session is not None:
            self.session.close(self.manners.timeout)
            self._take()
            self.session = None

    def _send(self, waiting: deque[tuple[float, str]], role: str) -> bool:
        now, sent = time.monotonic(), False
        for _ in range(len(waiting)):
            if len(self.out) >= self.manners.in_flight or not self.ledger.left:
                break
            if self.out and not self.ledger.has_room(len(self.out) + 1):
                break
            due, name = waiting.popleft()
            if due > now:
                waiting.append((due, name))
                continue
            session = self.session or self._start()
            known = self.ledger.rows.get(name)
            again = known is not None and known.wanted > 1
            self.ledger.ask(name, "retry" if again else role)
            self.out[name] = self.heard = time.monotonic()
            sent = True
            try:
                session.send(self.question(name))
            except OSError:
                break  # it has ended: noticed, with what it said, in _check_health
        return sent

    def _start(self) -> Session:
        self.session = self.teacher.start(self.ledger.replies_path, self.manners.timeout)
        self._take()
        return self.session

    def _take(self) -> list[str]:
        try:
            return self.ledger.take()
        except FloodError:
            self._end()
            raise

    def _end(self) -> None:
        """End a teacher that writes and writes, at once."""
        if self.session is not None:
            self.session.close(0.0)
            self.session = None
        self.ledger.cut()

    def _collect(self, waiting: deque[tuple[float, str]]) -> bool:
        before = self.ledger.counts["garbage"]
        names = self._take()
        garbage = self.ledger.counts["garbage"] - before
        self.garbage = 0 if names else self.garbage + garbage
        if names or garbage:
            self.heard = time.monotonic()
        for name in names:
            if name not in self.out:
                continue
            sent = self.out.pop(name)
            row = self.ledger.rows[name]
            if row.set_aside == "malformed":
                self._count_failure(f"a malformed answer: {row.detail}")
            elif row.set_aside or len(row.answers) == row.wanted:
                self.in_a_row = 0
            elif row.later is not None:
                waiting.append((time.monotonic() + max(row.later, self.manners.backoff), name))
                self._count_failure(row.detail, sent)
            else:
                self._again(name, row.detail, waiting)
                self._count_failure(row.detail, sent)
        if self.garbage >= GARBAGE_IN_A_ROW:
            self._end()
            raise UserError(self._gave_up("it writes lines that are no JSON objects with an id"))
        return bool(names)

    def _check_health(self, waiting: deque[tuple[float, str]]) -> None:
        if self.session is None or not self.out:
            return
        session = self.session
        if not session.alive:
            session.close(self.manners.timeout)
            self._collect(waiting)  # it may have answered and left
            self._restart(session.last_words() or "it ended", waiting)
        elif time.monotonic() - self.heard > self.manners.timeout:
            session.close(0.0)
            self._collect(waiting)  # it may have answered just then
            garbage = self.ledger.counts["garbage"]
            hint = f"; {garbage} lines were no JSON objects with an id" if garbage else ""
            self._restart(
                f"no reply within {self.manners.timeout:g} s (does it flush every line?){hint}", waiting
            )

    def _restart(self, why: str, waiting: deque[tuple[float, str]]) -> None:
        self.session = None
        out, self.out = self.out, {}
        for name in out:
            self.ledger.fail(name, why)
            self._again(name, why, waiting)
        if out:
            self._count_failure(why)

    def _again(self, name: str, why: str, waiting: deque[tuple[float, str]]) -> None:
        """Put a failed question back, to be sent after a while, or give it up."""
        row = self.ledger.rows[name]
        if row.failed > self.manners.retries:
            if not row.answers:
                self.ledger.give_up(name, "failed", why)
        else:
            waiting.append((time.monotonic() + self.manners.backoff * 2 ** (row.failed - 1), name))

    def _count_failure(self, why: str, sent: float = math.inf) -> None:
        """One more in a row, unless the question was already out when the last failure was seen."""
        if sent < self.failed_at:
            return
        self.in_a_row, self.failed_at = self.in_a_row + 1, time.monotonic()
        if self.in_a_row >= FAILURES_IN_A_ROW:
            raise UserError(self._gave_up(why))

    def _gave_up(self, why: str) -> str:
        bought = sum(bool(row.answers) for row in self.ledger.rows.values())
        return (
            f"The teacher failed {max(self.in_a_row, 1)} times in a row: {why.rstrip('.')}. The {bought} answers "
            f"bought so far are kept in {self.ledger.replies_path.parent}; {self._advice()} to go on."
        )

    def _advice(self) -> str:
        """What to do next: the same again fails again where the classes are called otherwise than was said."""
        named = self.ledger.misnamed
        if named is None:
            return "run the same command again"
        wrong = ",".join(self.ledger.classes or ())
        return (
            f"the teacher's classes are {', '.join(named)}, not {wrong}: run the command again with --classes "
            f"{','.join(named)} instead of {wrong}"
        )
