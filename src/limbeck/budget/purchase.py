"""One run of `BudgetedDistillation`: what is bought in which order, and what is seen after each batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from scipy.sparse import issparse

from limbeck.budget.asking import Asker
from limbeck.budget.curve import Pilot, may_be_exact, measure, taught
from limbeck.budget.forecast import Posterior, starting_levels
from limbeck.budget.ledger import Ledger
from limbeck.budget.select import SpanSelection
from limbeck.budget.stages import Stage, audit_needed
from limbeck.budget.stopping import Look
from limbeck.budget.teachers import Question
from limbeck.labels import SoftLabels
from limbeck.records import UserError, append_json, read_lines
from limbeck.students import SoftLabelClassifier
from limbeck.students.design import with_ones
from limbeck.students.linearity import Linearity, linearity
from limbeck.students.study import Distilled, metric
from limbeck.students.tally import Tally
from limbeck.theory import Interval
from limbeck.theory.risk import wilson
from limbeck.theory.scaling import Scaling

if TYPE_CHECKING:
    from limbeck.budget.loop import BudgetedDistillation

T = TypeVar("T")

FORECAST_ORDERS, FORECAST_SIZES = 5, 6
SPENT, SOLD_OUT = "the budget is spent", "every row of the pool was asked"

LOOK_KINDS: dict[str, type] = {"number": int, "wrong": int, "size": int, "upper": float, "stop": bool}
"""Of the fields of `Look`, as they are noted."""


@dataclass(frozen=True)
class BatchLook:
    """What was seen after a batch."""

    look: Look
    """The stopping rule's view of the student on the audit sample."""
    learned: int
    """Answers the student learned from."""
    spent: int
    """Questions sent so far, audit and failures included."""
    likely: int | None
    """Answers to learn from that are as likely as not to be enough; None if none within the pool, or too few yet."""
    linearity: str
    """Verdict on the teacher, from the audit sample."""


@dataclass(frozen=True)
class Noise:
    """How far the teacher agrees with itself."""

    rows: int
    """Rows asked twice."""
    flips: Interval
    """Share of them decided differently the second time: no student can agree more often than that."""
    logit: float
    """Standard deviation of one answer's logit about its mean; NaN if none is finite."""


@dataclass(frozen=True, eq=False)
class Bought:
    """What the money bought."""

    student: SoftLabelClassifier | None
    """Learned from the answers that are not the audit sample's; None if there were too few."""
    shown: Look | None
    """Bound on its risk that holds at all looks together; None before the first look."""
    tally: Tally | None
    """How it and the teacher decide the audit sample, class by class; None before the first look."""
    reason: str
    """Why buying ended."""
    audit: np.ndarray
    """Rows of the pool in the audit sample that were answered, (a,)."""
    uncovered: np.ndarray
    """Rows drawn for the audit sample that gave no usable answer: no bound covers points like these, (u,)."""
    learned: np.ndarray
    """Rows learned from, in the order they were bought, (m,)."""
    answers: SoftLabels | None = field(repr=False)
    """Answers of ``audit`` followed by ``learned``; None if there are none."""
    kind: str
    """How the teacher put them: ``probabilities``, ``log_probabilities`` or ``logits``; empty if there are none."""
    said: np.ndarray = field(repr=False)
    """The same as it put them, one row each."""
    classes: tuple[str, ...]
    """Names of the classes."""
    looks: tuple[BatchLook, ...]
    """One a batch."""
    linearity: Linearity | None
    """Whether the teacher is linear, from the audit sample."""
    noise: Noise | None
    """From rows asked twice; None if none were."""
    spent: int
    """Questions sent."""
    budget: int
    """Questions that might have been."""
    stages: tuple[Stage, ...]
    """The run and its extensions: of the last are audit sample and looks."""
    least_shown: float
    """Smallest bound that its audit sample can show."""
    audit_needed: int | None
    """Audit answers from which on any number would show the target at the share of errors seen; None if it is shown, or
    missed."""
    price: float | None
    """Of one."""
    counts: Mapping[str, int]
    """Failures, refusals, malformed answers, duplicates, unknown ids, garbage, classes reordered, rows set aside."""


class Purchase:
    """The state of a run, all of it computed from its settings and its ledger.

    Parameters
    ----------
    settings : BudgetedDistillation
    stages : sequence of Stage
        The last is bought.
    X : array or sparse matrix, shape (n, d)
    names : sequence of str, length n
    columns : sequence of mappings, optional
    folder : Path
    ledger : Ledger
    watch : callable
    """

    def __init__(
        self,
        settings: BudgetedDistillation,
        stages: Sequence[Stage],
        X: Any,
        names: Sequence[str],
        columns: Sequence[Mapping[str, Any]] | None,
        folder: Path,
        ledger: Ledger,
        watch: Callable[[str, Mapping[str, Any]], None],
    ) -> None:
        self.settings: BudgetedDistillation = settings
        self.stages: tuple[Stage, ...] = tuple(stages)
        self.stage: Stage = self.stages[-1]
        self.X: Any = X
        self.scaling: Scaling | None = None
        if settings.scale != "none":
            self.scaling = metric(X, settings.scale, intercept=settings.student.fit_intercept)
        self.points: Any = X if self.scaling is None else self.scaling.apply(X)
        self.columns: Sequence[Mapping[str, Any]] | None = columns
        self.names: list[str] = list(names)
        self.ledger: Ledger = ledger
        self.watch: Callable[[str, Mapping[str, Any]], None] = watch
        self.row_of: dict[str, int] = {name: row for row, name in enumerate(names)}
        self.looks_path: Path = folder / "looks.jsonl"
        self.seen: dict[int, dict[str, Any]] = _seen(self.looks_path, len(self.stages))
        ledger.most = self.stage.budget
        self.audit: list[int] = []
        self.uncovered: list[int] = []
        self.learned: list[int] = []
        self.looks: list[BatchLook] = []
        self.student: SoftLabelClassifier | None = None

    def question(self, name: str) -> Question:
        """What the teacher is told of a row: its other columns, its id and its features."""
        row = self.row_of[name]
        x = self.X[[row]].toarray()[0] if issparse(self.X) else self.X[row]
        more = {} if self.columns is None else self.columns[row]
        return {**more, "id": name, "x": [float(v) for v in x]}

    def run(self, asker: Asker) -> Bought:
        """Buy until shown, spent or sold out."""
        before = [self.row_of[name] for name in list(self.ledger.rows)[: self.stage.asked]]
        self.learned = [row for row in before if self.ledger.answered(self.names[row])]
        order = np.random.default_rng(self.settings.seed).permutation(len(self.names))
        order = order[~np.isin(order, before)]
        used = self._buy(asker, order, self.stage.audit, "audit", self.audit)
        self.uncovered = [
            row
            for row in order[:used].tolist()
            if self.names[row] in self.ledger.rows and not self.ledger.answered(self.names[row])
        ]
        if len(self.audit) < 2:
            return self._bought(self._out_of())
        self._repeat(asker)
        order = self._order(np.sort(order[used:]))
        while True:
            count = len(self.learned)
            order = order[self._buy(asker, order, self.stage.batch, "learn", self.learned) :]
            got = len(self.learned) - count
            if got and len(self.learned) > 1 and self._look():
                return self._bought("the target is shown to be met")
            if got < self.stage.batch:
                return self._bought(self._out_of())

    def _out_of(self) -> str:
        return SPENT if not self.ledger.left else SOLD_OUT

    def _buy(self, asker: Asker, order: np.ndarray, wanted: int, role: str, rows: list[int]) -> int:
        """Append the first ``wanted`` rows of the order that give an answer; how many rows that took."""
        have, used, missing = self._found(order, wanted)
        try:
            while missing and self.ledger.left:
                self._ask(asker, missing, role)
                have, used, missing = self._found(order, wanted)
        except BaseException:
            have = self._found(order, wanted)[0]
            raise
        finally:
            rows += have
            if have:
                self.watch("bought", self._answers())
        return used

    def _found(self, order: np.ndarray, wanted: int) -> tuple[list[int], int, list[int]]:
        """Of the first rows that give or may give so many answers: the answered, how many there are, and the open."""
        have, missing, used = [], [], 0
        for row in order.tolist():
            if len(have) + len(missing) == wanted:
                break
            used += 1
            name = self.names[row]
            if self.ledger.answered(name):
                have.append(row)
            elif not self.ledger.settled(name):
                missing.append(row)
        return have, used, missing

    def _ask(self, asker: Asker, rows: Sequence[int], role: str) -> None:
        # As many at a time as can be out at a time: what is bought next may depend on what came back.
        step = max(1, self.settings.manners.in_flight)
        for start in range(0, len(rows), step):
            if not self.ledger.left:
                break
            asker.ask([self.names[row] for row in rows[start : start + step]], role)
            self.watch("asked", self._money(self.ledger.spent))

    def _money(self, spent: int) -> dict[str, Any]:
        price = self.settings.price
        left = self.settings.budget - spent
        money = {} if price is None else {"money spent": spent * price, "money left": left * price}
        return {"spent": spent, "left": left, **money}

    def _repeat(self, asker: Asker) -> None:
        rows = {row: self.ledger.rows[self.names[row]] for row in self.audit}
        twice = [at for at, row in rows.items() if row.wanted == 2]
        fit = [at for at, row in rows.items() if row.wanted == 1 and not row.duplicates]
        unfinished = [
            at
            for at in twice
            if len(rows[at].answers) < 2
            and not rows[at].set_aside
            and rows[at].failed <= self.settings.manners.retries
        ]
        self._ask(asker, unfinished + fit[: max(0, self.settings.repeat - len(twice))], "repeat")

    def _order(self, rest: np.ndarray) -> np.ndarray:
        """Rows outside the audit sample, best first; the audit points have no part in choosing them."""
        select = self.settings.select
        if select == "random" or not len(rest):
            return np.random.default_rng([self.settings.seed, 1]).permutation(rest)
        n = min(len(rest), self.stage.budget)
        chosen = np.asarray((self._by_span if isinstance(select, str) else select)(self.points[rest], n))
        if len(set(chosen.tolist())) != n or not np.all((chosen >= 0) & (chosen < len(rest))):
            raise ValueError(
                f"select must return {n} different row numbers from 0 to {len(rest) - 1}, best first."
            )
        others = np.setdiff1d(np.arange(len(rest)), chosen)  # asked only where very many are refused
        return rest[np.concatenate([chosen, others])]

    def _by_span(self, X: Any, n: int) -> np.ndarray:
        return SpanSelection().query(with_ones(X) if self.settings.student.fit_intercept else X, n)

    # -- judging -----------------------------------------------------------------------------------

    def _labels(self, rows: Sequence[int], decimals: int | None = None) -> SoftLabels:
        return self.ledger.labels([self.names[row] for row in rows], decimals=decimals)

    def _taught(self, learned: Sequence[int], decimals: int | None = None) -> SoftLabelClassifier:
        return taught(self.settings.student, self.points[list(learned)], self._labels(learned, decimals))

    @cached_property
    def _rule(self):
        return self.settings.rule_of(self.stage)

    def _look(self) -> bool:
        number = len(self.looks) + 1
        if number > (self._rule.looks or number):
            return False
        noted = self.seen.get(number)
        if noted is None or noted["learned"] != len(self.learned):
            noted = self._or_warn(lambda: self._looked(number), "The student could not be judged", None)
            if noted is None:
                return False
            append_json(self.looks_path, noted)
        look = Look(**noted["look"])
        self.looks.append(
            BatchLook(look, noted["learned"], noted["spent"], noted["likely"], noted["linearity"])
        )
        uncovered = {"uncovered": len(self.uncovered)} if self.uncovered else {}
        self.watch("look", {**noted, **uncovered, **self._money(noted["spent"])})
        return look.stop

    def _looked(self, number: int) -> dict[str, Any]:
        """Learn, judge and forecast; what is noted of it."""
        audit, learned = self.audit, self.learned
        student = self._taught(learned)
        wrong = int(np.sum(student.predict(self.points[audit]) != self._labels(audit).decisions))
        self.student, linear = student, self._linearity()
        verdict = "cannot tell yet" if linear is None else linear.verdict
        return {
            "stage": len(self.stages),
            "number": number,
            "learned": len(learned),
            "spent": self.ledger.spent,
            "decimals": self.ledger.decimals or 0,
            "likely": self._or_warn(lambda: self._forecast(verdict), "No forecast could be made", None),
            "linearity": verdict,
            "look": asdict(self._rule.look(wrong, len(audit), number)),
        }

    def _or_warn(self, compute: Callable[[], T], what: str, otherwise: T) -> T:
        """What is computed; or a warning, since no failure of ours ends a run that is being paid for."""
        try:
            return compute()
        except Exception as error:
            self.watch("warning", {"warning": f"{what}: {type(error).__name__}: {error}"})
            return otherwise

    def _forecast(self, verdict: str) -> int | None:
        audit, learned = self.audit, self.learned
        if len(learned) < 8:
            return None
        rows = [*audit, *learned]
        pilot = Pilot(self.points[rows], self._labels(rows), np.arange(len(audit)))
        rng = np.random.default_rng([self.settings.seed, 2, len(learned)])
        curve = measure(pilot, self.settings.student, orders=FORECAST_ORDERS, rng=rng, sizes=FORECAST_SIZES)
        starts, unbiased = starting_levels(self._labels(audit)), may_be_exact(self.settings.student)
        return Posterior.of(curve, verdict, starts, unbiased=unbiased).smallest(
            self.settings.target_risk, 0.5, len(self.names) - len(audit)
        )

    def _linearity(self) -> Linearity | None:
        X, intercept = self.points[self.audit], self.settings.student.fit_intercept
        return self._or_warn(
            lambda: linearity(X, self._labels(self.audit), intercept=intercept),
            "Whether the teacher is linear could not be judged",
            None,
        )

    def _noise(self) -> Noise | None:
        twice = [self.names[row] for row in self.audit if len(self.ledger.rows[self.names[row]].answers) == 2]
        if not twice:
            return None
        first, second = (self.ledger.labels(twice, which) for which in (0, 1))
        flips = int(np.sum(first.decisions != second.decisions))
        low, high = wilson(flips, len(twice))
        known = ~(first.saturated | second.saturated)
        gaps = first.logits[known] - second.logits[known]
        return Noise(
            rows=len(twice),
            flips=Interval(flips / len(twice), float(low), float(high), 0.95, len(twice)),
            logit=float(np.sqrt(np.mean(np.square(gaps)) / 2)) if known.any() else float("nan"),
        )

    def _tally(self) -> Tally:
        assert self.student is not None  # there was a look
        labels = self._labels(self.audit)
        ours = self.student.predict(self.points[self.audit])
        return Tally.of(labels.decisions, ours, labels.n_classes, labels.ties)

    def _answers(self) -> dict[str, Any]:
        """What was bought so far, under its names in `Bought`."""
        rows, ledger = [*self.audit, *self.learned], self.ledger
        return {
            "audit": np.array(self.audit, dtype=int),
            "learned": np.array(self.learned, dtype=int),
            "kind": ledger.kind,
            "said": np.array([ledger.rows[self.names[row]].answers[0] for row in rows]),
            "classes": ledger.classes or tuple(map(str, range(max(2, ledger.width)))),
        }

    def _bought(self, reason: str) -> Bought:
        audit, learned = self.audit, self.learned
        judged = self.looks[-1].learned if self.looks else len(learned)
        if self.student is None and judged > 1:
            # As it was at that look, though later answers may have had more decimals.
            decimals = self.seen.get(len(self.looks), {}).get("decimals")
            self.student = self._or_warn(
                lambda: self._taught(learned[:judged], decimals), "No student could be learned", None
            )
        rows = [*audit, *learned]
        return Bought(
            student=None if self.student is None else Distilled(self.student, self.scaling).student(),
            shown=self.looks[-1].look if self.looks else None,
            tally=self._tally() if self.looks and self.student is not None else None,
            reason=reason,
            **self._answers(),
            uncovered=np.array(self.uncovered, dtype=int),
            answers=self._labels(rows) if rows else None,
            looks=tuple(self.looks),
            linearity=self._linearity() if audit else None,
            noise=self._noise(),
            spent=self.ledger.spent,
            budget=self.settings.budget,
            stages=self.stages,
            least_shown=self.settings.least_shown_by(self.stage),
            audit_needed=audit_needed(self._rule, self.looks[-1].look) if self.looks else None,
            price=self.settings.price,
            counts=self.ledger.tally,
        )


def _seen(path: Path, stage: int) -> dict[int, dict[str, Any]]:
    """Looks of an earlier run at this stage, by their numbers."""
    found = {}
    for line, fields in enumerate(read_lines(path), start=1):
        look = fields.get("look")
        right = isinstance(look, dict) and {name: type(value) for name, value in look.items()} == LOOK_KINDS
        counted = all(type(fields.get(name)) is int for name in ("number", "learned", "spent"))
        counted &= all(
            type(fields.get(name, 1)) is int for name in ("stage", "decimals")
        )  # not noted at first
        if not (right and counted and {"likely", "linearity"} <= fields.keys()):
            raise UserError(
                f"{path}, line {line} is no look that was noted. Repair it, or start anew in another folder."
            )
        if fields.get("stage", 1) == stage:
            found[fields["number"]] = fields
    return found
