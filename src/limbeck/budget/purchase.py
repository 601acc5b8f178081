"""One run of `BudgetedDistillation`: what is bought in which order, and what is seen after each batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
        learned = [row for row in before if self.ledger.answered(self.names[row])]
        order = np.random.default_rng(self.settings.seed).permutation(len(self.names))
        order = order[~np.isin(order, before)]
        audit, used = self._buy(asker, order, self.stage.audit, "audit")
        if len(audit) < 2:
            return self._bought(audit, learned, SPENT if not self.ledger.left else SOLD_OUT)
        self._repeat(asker, audit)
        order = self._order(np.sort(order[used:]))
        at = 0
        while True:
            rows, used = self._buy(asker, order[at:], self.stage.batch, "learn")
            learned, at = learned + rows, at + used
            if rows and len(learned) > 1 and self._look(audit, learned):
                return self._bought(audit, learned, "the target is shown to be met")
            if len(rows) < self.stage.batch:
                return self._bought(audit, learned, SPENT if not self.ledger.left else SOLD_OUT)

    def _buy(self, asker: Asker, order: np.ndarray, wanted: int, role: str) -> tuple[list[int], int]:
        """Answers of the first ``wanted`` rows of the order that give one; and how many rows that took."""
        while True:
            have, used, missing = [], 0, []
            for row in order.tolist():
                if len(have) + len(missing) == wanted:
                    break
                used += 1
                name = self.names[row]
                if self.ledger.answered(name):
                    have.append(row)
                elif not self.ledger.settled(name):
                    missing.append(row)
            if not missing or not self.ledger.left:
                return have, used
            self._ask(asker, missing, role)

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

    def _repeat(self, asker: Asker, audit: Sequence[int]) -> None:
        rows = {row: self.ledger.rows[self.names[row]] for row in audit}
        twice = sum(row.wanted == 2 for row in rows.values())
        fit = [at for at, row in rows.items() if row.wanted == 1 and not row.duplicates]
        self._ask(asker, fit[: max(0, self.settings.repeat - twice)], "repeat")

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

    def _look(self, audit: Sequence[int], learned: Sequence[int]) -> bool:
        number = len(self.looks) + 1
        if number > (self._rule.looks or number):
            return False
        before = self.seen.get(number)
        if before is not None and before["learned"] == len(learned):
            look = Look(**before["look"])
        else:
            self.student = self._taught(learned)
            wrong = int(
                np.sum(self.student.predict(self.points[list(audit)]) != self._labels(audit).decisions)
            )
            look = self._rule.look(wrong, len(audit), number)
            before = {
                "stage": len(self.stages),
                "number": number,
                "learned": len(learned),
                "spent": self.ledger.spent,
                "decimals": self.ledger.decimals or 0,
                **self._forecast(audit, learned),
                "look": asdict(look),
            }
            append_json(self.looks_path, before)
        self.looks.append(
            BatchLook(look, before["learned"], before["spent"], before["likely"], before["linearity"])
        )
        self.watch("look", {**before, **self._money(before["spent"])})
        return look.stop

    def _forecast(self, audit: Sequence[int], learned: Sequence[int]) -> dict[str, Any]:
        verdict = self._linearity(audit).verdict
        if len(learned) < 8:
            return {"likely": None, "linearity": verdict}
        rows = [*audit, *learned]
        pilot = Pilot(self.points[rows], self._labels(rows), np.arange(len(audit)))
        rng = np.random.default_rng([self.settings.seed, 2, len(learned)])
        curve = measure(pilot, self.settings.student, orders=FORECAST_ORDERS, rng=rng, sizes=FORECAST_SIZES)
        starts, unbiased = starting_levels(self._labels(audit)), may_be_exact(self.settings.student)
        likely = Posterior.of(curve, verdict, starts, unbiased=unbiased).smallest(
            self.settings.target_risk, 0.5, len(self.names) - len(audit)
        )
        return {"likely": likely, "linearity": verdict}

    def _linearity(self, audit: Sequence[int]) -> Linearity:
        rows = list(audit)
        return linearity(self.points[rows], self._labels(rows), intercept=self.settings.student.fit_intercept)

    def _noise(self, audit: Sequence[int]) -> Noise | None:
        twice = [self.names[row] for row in audit if len(self.ledger.rows[self.names[row]].answers) == 2]
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

    def _tally(self, audit: Sequence[int]) -> Tally:
        assert self.student is not None  # there was a look
        labels = self._labels(audit)
        ours = self.student.predict(self.points[list(audit)])
        return Tally.of(labels.decisions, ours, labels.n_classes, labels.ties)

    def _bought(self, audit: Sequence[int], learned: Sequence[int], reason: str) -> Bought:
        judged = self.looks[-1].learned if self.looks else len(learned)
        if self.student is None and judged > 1:
            # As it was at that look, though later answers may have had more decimals.
            decimals = self.seen.get(len(self.looks), {}).get("decimals")
            self.student = self._taught(learned[:judged], decimals)
        rows, ledger = [*audit, *learned], self.ledger
        labels = self._labels(rows) if rows else None
        return Bought(
            student=None if self.student is None else Distilled(self.student, self.scaling).student(),
            shown=self.looks[-1].look if self.looks else None,
            tally=self._tally(audit) if self.looks else None,
            reason=reason,
            audit=np.array(audit, dtype=int),
            learned=np.array(learned, dtype=int),
            answers=labels,
            kind=ledger.kind,
            said=np.array([ledger.rows[self.names[row]].answers[0] for row in rows]),
            classes=ledger.classes or tuple(map(str, range(labels.n_classes if labels else 2))),
            looks=tuple(self.looks),
            linearity=self._linearity(audit) if len(audit) else None,
            noise=self._noise(audit),
            spent=ledger.spent,
            budget=self.settings.budget,
            stages=self.stages,
            least_shown=self.settings.least_shown_by(self.stage),
            audit_needed=audit_needed(self._rule, self.looks[-1].look) if self.looks else None,
            price=self.settings.price,
            counts=ledger.tally,
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
