"""Buying answers one batch at a time: `BudgetedDistillation`. Nothing paid for is ever lost."""

from __future__ import annotations

import hashlib
import json
import warnings
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import issparse

from limbeck import _check
from limbeck.budget.asking import Asker, Manners
from limbeck.budget.ledger import Ledger
from limbeck.budget.purchase import SPENT, Bought, Purchase
from limbeck.budget.stages import Run, Stage
from limbeck.budget.stopping import StoppingRule
from limbeck.budget.teachers import CallableTeacher, ProgramTeacher, Teacher, encoded
from limbeck.records import UserError, locked
from limbeck.students import SoftLabelClassifier
from limbeck.students.study import SCALES

BATCHES = 10
AUDIT_ERRORS = 1


@dataclass(frozen=True)
class BudgetedDistillation:
    """Distil from a teacher that costs money: an audit sample, then batch after batch until shown good enough.

    The audit sample is drawn uniformly and bought first. Then a batch is selected, asked and learned, and the
    student judged on the audit sample by `StoppingRule`, until it is shown to meet the target or the budget is
    spent. Every question is noted on disk before it is sent, and every answer is on disk before it is used; a
    killed run goes on where it stopped, with the same arguments and folder; with a larger budget it is extended.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> rng = np.random.default_rng(0)
    >>> X, w = rng.standard_normal((500, 5)), np.array([1.0, -2, 0, 1, 3])
    >>> teacher = lambda x: 1 / (1 + np.exp(-x @ w))
    >>> buy = BudgetedDistillation(teacher, budget=200, target_risk=0.05)
    >>> bought = buy.run(X, folder=tempfile.mkdtemp())
    >>> bought.shown.upper <= 0.05, bought.spent < 200
    (True, True)
    """

    teacher: Teacher | Callable[[np.ndarray], Any] | str
    """A function of points (1, d) to probabilities, a program's command, or a `Teacher`."""
    budget: int
    """Questions to send at most, retries, audit and earlier runs in the folder included."""
    target_risk: float
    """Largest disagreement wanted, in (0, 1)."""
    confidence: float = 0.95
    """Probability with which the bounds of all looks hold together."""
    price: float | None = None
    """Of one question, > 0."""
    audit: int | None = None
    """Audit answers. Default: as many as show the target with one error, or with none, if the budget allows; half of
    it otherwise, and then the target cannot be shown (`least_shown`)."""
    batch: int | None = None
    """Answers a batch. Default: a tenth of the rest of the budget."""
    select: Callable[[Any, int], np.ndarray] | str = "span"
    """``span`` (well-chosen points), ``random``, or a function of (X, n) to n rows, best first."""
    repeat: int = 0
    """Audit rows to ask a second time, to measure a noisy teacher."""
    student: SoftLabelClassifier = field(default_factory=SoftLabelClassifier)
    """How a student is learned."""
    scale: str = "none"
    """Metric of the features in which points are chosen and students learned, ``none``, ``standard`` or ``sharpen``
    (`limbeck.theory.scaling.Scaling`), from the whole pool; the teacher is asked about the features as given, and
    `Bought.student` takes them. Sparse points are taken as given."""
    classes: tuple[str, ...] | None = None
    """Names of the classes in order. Default: as the first answer that names them, or 0 ... K - 1."""
    manners: Manners = field(default_factory=Manners)
    """Time-out, retries, back-off, and how many questions are out at a time."""
    ask_again: bool = False
    """Whether to send again what was in flight when a run was killed, at the risk of paying twice."""
    seed: int = 0
    """Of every random choice."""

    def __post_init__(self) -> None:
        _check.count(self.budget, "budget", 2)
        _check.number(self.target_risk, "target_risk", above=0.0, below=1.0)
        _check.number(self.confidence, "confidence", above=0.0, below=1.0)
        if self.price is not None:
            _check.number(self.price, "price", above=0.0)
            _check.number(self.price * self.budget, "price times budget")
        for name, least in (("audit", 1), ("batch", 1)):
            if getattr(self, name) is not None:
                _check.count(getattr(self, name), name, least)
        _check.count(self.repeat, "repeat", 0)
        if self.audit is not None and self.audit >= self.budget:
            raise ValueError(
                f"audit = {self.audit} leaves nothing to learn from in a budget of {self.budget}."
            )
        if isinstance(self.select, str) and self.select not in ("span", "random"):
            raise ValueError(f'select must be "span", "random" or a function, got {self.select!r}.')
        if self.scale not in SCALES:
            raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {self.scale!r}.")

    @property
    def sizes(self) -> tuple[int, int, StoppingRule]:
        """Audit answers, answers a batch, and the rule for as many looks as the budget can pay for."""
        audit = self._audit_by_default() if self.audit is None else self.audit
        rest = self.budget - audit
        batch = self.batch if self.batch is not None else max(1, -(-rest // BATCHES))
        return audit, batch, self._rule(rest, batch)

    def _rule(self, rest: int, batch: int) -> StoppingRule:
        return StoppingRule(self.target_risk, self.confidence, looks=max(1, -(-rest // batch)))

    def _audit_by_default(self) -> int:
        for errors in range(AUDIT_ERRORS, -1, -1):
            size = self._smallest_audit(errors)
            if size <= self.budget // 2 or (errors == 0 and size <= self.budget - BATCHES):
                return size
        return max(1, self.budget // 2)

    def _smallest_audit(self, errors: int) -> int:
        """Least audit sample that shows the target with so many errors at each look it leaves room for.

        More audit answers leave fewer looks, each of which may spend more: once enough, every larger one is, too.
        The budget itself, which leaves nothing to learn from, where none is.
        """

        def shows(audit: int) -> bool:
            rest = self.budget - audit
            rule = self._rule(rest, self.batch) if self.batch is not None else self._rule(BATCHES, 1)
            return rule.look(min(errors, audit), audit, 1).stop

        return 1 + bisect_left(range(1, self.budget), True, key=shows)

    @property
    def least_shown(self) -> float:
        """Smallest bound that this audit sample can show, without an error: above the target, nothing stops early."""
        return self.least_shown_by(Stage(self.budget, *self._sizes(self.budget)))

    def least_shown_by(self, stage: Stage) -> float:
        """The same of a stage."""
        return self.rule_of(stage).look(0, stage.audit, 1).upper

    def rule_of(self, stage: Stage) -> StoppingRule:
        """What ends a stage."""
        return StoppingRule(self.target_risk, self.confidence, looks=stage.looks)

    def stages(self, folder: str | Path) -> list[Stage]:
        """What a run in this folder would be: one stage, or as many as it was extended by, this time included."""
        return Run(Path(folder)).planned(self.budget, self.audit, self.batch, self._sizes)

    def enough(self, questions: int) -> tuple[int, int]:
        """Audit answers that show the target without an error, and questions, at least so many, that pay for them."""
        high = max(questions, 2)
        while self._least_audit(high) + BATCHES > high:
            high *= 2
        low = max(questions, 2) - 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._least_audit(middle) + BATCHES <= middle else (middle, high)
        return self._least_audit(high), high

    def _least_audit(self, questions: int) -> int:
        return replace(self, budget=max(questions, 2), audit=1).sizes[2].smallest_sample(0)

    def _sizes(self, questions: int) -> tuple[int, int, int]:
        audit, batch, rule = replace(self, budget=questions).sizes
        return audit, batch, rule.looks or 1

    def run(
        self,
        X: Any,
        *,
        folder: str | Path,
        ids: Sequence[str] | None = None,
        columns: Sequence[Mapping[str, Any]] | None = None,
        watch: Callable[[str, Mapping[str, Any]], None] | None = None,
    ) -> Bought:
        """Buy, learn and judge.

        Parameters
        ----------
        X : array or sparse matrix, shape (n, d)
            The pool.
        folder : path
            Where every question and answer is kept; made if need be. A folder with an earlier run goes on with it.
        ids : sequence of str, optional
            Of the rows, all different. Default: their numbers from 1.
        columns : sequence of mappings, optional
            What else of each row the teacher is told.
        watch : callable, optional
            Called at each step with its name, ``asked``, ``bought``, ``look`` or ``warning``, and what there is to
            show of it. Default: a warning is issued as a `RuntimeWarning`.

        Returns
        -------
        Bought

        Raises
        ------
        UserError
            If the folder holds a run with other settings or another teacher's answers, if notes of questions are
            missing there, or if the teacher cannot be had. What was bought is kept.
        """
        X = X if issparse(X) else _check.points(X)
        if issparse(X) and self.scale != "none":
            raise ValueError(
                f'Sparse points are taken as given: leave scale = "{self.scale}" out, or make them dense.'
            )
        names = [str(i + 1) for i in range(X.shape[0])] if ids is None else list(map(str, ids))
        if len(names) != X.shape[0] or len(set(names)) < len(names):
            raise ValueError(f"ids must be {X.shape[0]} different names, one a row of X.")
        sent = _check_questions(names, columns)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            teacher, run, wishes = _teacher(self.teacher), Run(folder), self._fingerprint(X, names)
            run.check(wishes)
            stages = self.stages(folder)
            number = max(1, len(run.stages))
            asks = {"teacher": getattr(teacher, "fingerprint", type(teacher).__qualname__), "sent": sent}
            if not run.stages:
                run.note({**wishes, **asks}, stages[:number])
            with closing(Ledger(folder, self.classes)) as ledger:
                if any(row.answers for row in ledger.rows.values()):  # before, a command may be put right
                    run.check(asks)
                _check_noted(ledger, names)
                wishes |= asks
                run.note(wishes, stages[:number])
                watched = watch or _warned
                while True:
                    purchase = Purchase(self, stages[:number], X, names, columns, folder, ledger, watched)
                    # However the run ends, the teacher finishes what it was sent, and that is kept.
                    with closing(Asker(teacher, ledger, purchase.question, self.manners)) as asker:
                        asker.recover(ask_again=self.ask_again)
                        bought = purchase.run(asker)
                    if bought.reason != SPENT or number == len(stages):
                        return replace(
                            bought, counts=ledger.tally
                        )  # with what came while the teacher finished
                    stages[number] = replace(stages[number], asked=len(ledger.rows))
                    number += 1
                    run.note(wishes, stages[:number])

    def _fingerprint(self, X: Any, names: Sequence[str]) -> dict[str, Any]:
        digest = hashlib.sha256(json.dumps(list(names)).encode())
        for part in _parts(X):
            digest.update(np.ascontiguousarray(part).tobytes())
        return {
            "pool": digest.hexdigest(),
            "rows": len(names),
            "target_risk": float(self.target_risk),
            "confidence": float(self.confidence),
            "select": self.select if isinstance(self.select, str) else "a function",
            "student": {k: str(v) for k, v in sorted(self.student.get_params().items())},
            "seed": self.seed,
            "scale": self.scale,
        }


def _parts(X: Any) -> tuple[np.ndarray, ...]:
    """Arrays that say all of a matrix: a sparse one's zeros, where it stores any, and order of entries left out."""
    if not issparse(X):
        return np.array(X.shape), X
    rows = X.tocsr(copy=True)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    # The width of the indices depends on how the matrix was made.
    return np.array(X.shape), rows.indptr.astype(np.int64), rows.indices.astype(np.int64), rows.data


def _teacher(teacher: Teacher | Callable[[np.ndarray], Any] | str) -> Teacher:
    if isinstance(teacher, str):
        return ProgramTeacher(teacher)
    if hasattr(teacher, "start"):
        return teacher  # pyright: ignore[reportReturnType]
    if not callable(teacher):
        raise ValueError(
            f"teacher must be a function, a command or have a start method, got {type(teacher).__name__}."
        )
    return CallableTeacher(teacher)


def _warned(step: str, shown: Mapping[str, Any]) -> None:
    if step == "warning":
        warnings.warn(shown["warning"], RuntimeWarning, stacklevel=2)


def _check_noted(ledger: Ledger, names: Sequence[str]) -> None:
    """Refuse a folder whose notes are older than its answers: what is not noted would be bought again."""
    lost = ledger.unasked.intersection(names)
    if lost:
        raise UserError(
            f"{ledger.replies_path} ends with answers for {len(lost)} rows, such as {min(lost)!r}, whose questions "
            f"{ledger.asked_path.name} does not hold: it is an older copy, and they would be bought again. Put the "
            "newer one back, or start anew in another folder."
        )


def _check_questions(names: Sequence[str], columns: Sequence[Mapping[str, Any]] | None) -> str:
    """Digest of what is sent besides the points; refuse, before anything is asked, what cannot be sent."""
    digest = hashlib.sha256()
    for row, name in enumerate(names):
        for column, value in {**({} if columns is None else columns[row]), "id": name}.items():
            try:
                digest.update(encoded({column: value}))
            except (ValueError, TypeError, RecursionError) as error:
                raise UserError(
                    f"Column {column!r}, row {row + 1} holds {str(value)[:60]!r}, which cannot be sent to the teacher "
                    f"({error}). Nothing was asked. Send another column, or make it text or finite numbers."
                ) from error
    return digest.hexdigest()
