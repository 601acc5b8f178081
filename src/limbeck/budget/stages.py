"""A run and its extensions: what each may spend, and the audit sample that judges it.

All the error probability of a run belongs to the looks it planned for. So an extension has an audit sample of its own,
drawn uniformly from the rows not asked before; what was bought before, the earlier audit sample included, is learned
from. Given all that went before, its bounds hold together with the confidence asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from scipy.special import betaincinv

from limbeck.budget.stopping import Look, StoppingRule
from limbeck.records import UserError, read_json, write_json

MOST_AUDIT = 10**7

NEW_WISHES = "teacher", "sent"
"""Of the wishes, those that runs of before did not note."""

Sizes = Callable[[int], tuple[int, int, int]]
"""Of the questions a stage may send, to its audit answers, answers a batch, and looks."""


@dataclass(frozen=True)
class Stage:
    """A run, or an extension of it."""

    budget: int
    """Questions sent in all when it ends, those of earlier stages included."""
    audit: int
    """Audit answers."""
    batch: int
    """Answers a batch."""
    looks: int
    """Looks its error probability is shared between."""
    asked: int = 0
    """Rows asked before it."""


class Run:
    """What ``run.json`` says of a folder: the pool and the wishes, which stay, and the stages, which may become more.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    UserError
        If it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder: Path = folder
        self.path: Path = folder / "run.json"
        self.stages: list[Stage] = []
        self._noted: dict[str, Any] = {}
        if not self.path.exists():
            if (folder / "asked.jsonl").exists():
                raise UserError(
                    f"{folder} holds answers but no run.json: it is damaged. Choose another folder."
                )
            return
        noted = read_json(self.path)
        if not isinstance(noted, dict):
            raise UserError(f"{self.path} does not describe a run: it is damaged. Choose another folder.")
        self._noted = {"scale": "none", **noted} if noted else {}  # runs of before knew of no scaling
        try:
            self.stages = [_stage(said) for said in noted.get("stages", [])]
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{self.path} describes a stage that there is none of ({error}): it is damaged. Choose another folder."
            ) from error

    def check(self, wishes: Mapping[str, Any]) -> None:
        """Refuse another run than the folder's."""
        looked = (self.folder / "looks.jsonl").exists()
        for name, value in wishes.items():
            before = self._noted.get(name, value if name in NEW_WISHES else None)
            if self._noted and before != value and (looked or name != "student"):
                self._refuse(name, before, value)

    def planned(self, budget: int, audit: int | None, batch: int | None, sizes: Sizes) -> list[Stage]:
        """The stages of a run with this budget: those that are noted, and one more where it has grown.

        Parameters
        ----------
        budget : int
        audit, batch : int, optional
            As asked for. Default: as noted, or as needed.
        sizes : callable
            Of a stage, see `Sizes`.
        """
        stages = self.stages or self._of_old(budget)
        if stages and budget < stages[-1].budget:
            self._refuse("budget", stages[-1].budget, budget)
        if stages and budget == stages[-1].budget:
            for name, value in (("audit", audit), ("batch", batch)):
                if value not in (None, getattr(stages[-1], name)):
                    self._refuse(name, getattr(stages[-1], name), value)
            return stages
        more = budget - (stages[-1].budget if stages else 0)
        try:
            return [*stages, Stage(budget, *sizes(more))]
        except ValueError as error:
            if not stages:
                raise
            raise UserError(
                f"--budget {budget} leaves {more} questions to extend the run in {self.folder}, which may send "
                f"{stages[-1].budget}: too few. {error} An extension has an audit sample of its own."
            ) from error

    def note(self, wishes: Mapping[str, Any], stages: Sequence[Stage]) -> None:
        """See it to the disk."""
        self.stages = list(stages)
        self._noted = {**wishes, "stages": [asdict(stage) for stage in stages]}
        write_json(self.path, self._noted)

    def _of_old(self, budget: int) -> list[Stage]:
        """The one stage of a folder from before there were extensions, which does not note its budget."""
        if not self._noted:
            return []
        try:
            stage = _stage({"budget": 0, **{name: self._noted[name] for name in ("audit", "batch", "looks")}})
        except (KeyError, TypeError) as error:
            raise UserError(
                f"{self.path} does not describe a run: it is damaged. Choose another folder."
            ) from error
        most = stage.audit + stage.batch * stage.looks
        return [replace(stage, budget=min(max(budget, most - stage.batch + 1), most))]

    def _refuse(self, name: str, before: Any, now: Any) -> None:
        if name in NEW_WISHES:
            other = (
                "another teacher" if name == "teacher" else "a teacher that was sent other columns or texts"
            )
            raise UserError(
                f"{self.folder} holds answers of {other} (fingerprint {str(before)[:12]}, now {now[:12]}). Answers to "
                "different questions, or of different teachers, would be mixed: go on with the same ones, or use "
                "another folder."
            )
        raise UserError(
            f"{self.folder} holds a run with {name} = {before}, and {now} was asked for. Its audit sample and looks "
            "would lose their meaning: use the same settings to go on, a larger budget to extend it, or another folder."
        )


def _stage(said: Any) -> Stage:
    stage = Stage(**said)
    if any(type(getattr(stage, field.name)) is not int for field in fields(Stage)):
        raise TypeError(f"whole numbers are needed, {said} came")
    return stage


def audit_needed(rule: StoppingRule, look: Look) -> int | None:
    """Audit answers from which on every number would show the target at one look; None if there are none.

    At the share of errors seen, rounded up to whole errors. Where one error more begins the bound jumps, so some
    smaller samples show the target, too, and some between do not. None: the share is not below the target, and the
    student must get better; or so near it that it takes more than `MOST_AUDIT`. Else the audit sample is what stands in
    the way.
    """
    share = look.wrong / look.size
    if look.stop or share >= rule.target_risk:
        return None

    def errors(size: int) -> int:
        return -(-look.wrong * size // look.size)

    def shows(size: int, wrong: float | None = None) -> bool:
        wrong = errors(size) if wrong is None else wrong
        confidence = 1 - rule.spent(1)
        return wrong < size and bool(betaincinv(wrong + 1, size - wrong, confidence) <= rule.target_risk)

    # With share * size + 1 errors, never fewer than there are, it is shown from some size on; below, block by block of
    # as many errors, of which the first size is the last to show it.
    if not shows(MOST_AUDIT, share * MOST_AUDIT + 1):
        return None
    sure = range(1, MOST_AUDIT + 1)
    end = sure[bisect_left(sure, True, key=lambda size: shows(size, share * size + 1))]
    while True:
        wrong = errors(end)
        first = 1 + (wrong - 1) * look.size // look.wrong if wrong else 1
        if not shows(first):
            block = range(first, end + 1)
            return block[bisect_left(block, True, key=shows)]
        if first == 1:
            return 1
        end = first - 1
        if not shows(end):
            return first
