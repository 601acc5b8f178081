"""What an experiment is: a plan of cells, how one is measured, and what table, figure and verdict follow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from limbeck.records import Cell, Estimate, Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Settings:
    """What a run was asked for, as one experiment sees it."""

    seed: int
    """Seed of every random stream."""
    repeats: int
    """Number of independent repeats."""
    quick: bool
    """Whether a rougher answer within seconds was asked for."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """The experiment's own settings, after ``--set``."""

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


@dataclass(frozen=True)
class Measured:
    """What measuring a cell gave."""

    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    """Named estimates."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Anything else the table or figure needs."""


@dataclass(frozen=True)
class Table:
    """Rows under named columns: what the CSV holds."""

    columns: Sequence[str]
    """Names of the columns."""
    rows: Sequence[Sequence[Any]]
    """One sequence of values a row; None where a column does not apply."""

    def column(self, name: str) -> np.ndarray:
        """One column as an array; None becomes NaN, or the empty string among text."""
        values = [row[list(self.columns).index(name)] for row in self.rows]
        if any(isinstance(v, str) for v in values):
            return np.array(["" if v is None else v for v in values])
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)

    def as_columns(self) -> dict[str, np.ndarray]:
        """All columns."""
        return {name: self.column(name) for name in self.columns}


@dataclass(frozen=True)
class Finding:
    """What the paper claims, what was measured, and whether they agree."""

    title: str
    """Of the section in the report."""
    claim: str
    """What the paper says."""
    measured: str
    """What this run found, with its uncertainty."""
    verdict: str
    """``agrees``, ``agrees in part``, ``differs``; of a hypothesis ``holds``, where it holds, or ``fails``."""
    caption: str
    """Of the figure: what is drawn, sizes, what error bars cover."""
    part: str = ""
    """What does not agree, where the verdict is ``agrees in part``."""


class Experiment(ABC):
    """One figure or table of the paper, rerun.

    To add one, write a class with these methods in a file of its own and list it in the registry.
    """

    name: ClassVar[str]
    """As it is called on the command line."""
    title: ClassVar[str]
    """One line for ``--help``."""
    on_request: ClassVar[bool] = False
    """Whether it runs only when named: ``all`` leaves it out."""
    needs: ClassVar[str] = ""
    """An extra without which its default settings cannot run: ``all`` leaves it out where that is not installed."""
    repeats: ClassVar[int] = 1
    """Default number of repeats."""
    quick_repeats: ClassVar[int] = 1
    """Default number of repeats with ``--quick``."""
    block: ClassVar[int] = 1
    """Repeats a cell: what is lost at most when a run is killed."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """What ``--set`` may change, and its default, whose type a new value must have."""

    def check(self, settings: Settings) -> None:
        """Raise ValueError if the settings cannot work, before any work is done."""
        del settings

    @abstractmethod
    def plan(self, settings: Settings) -> list[Cell]:
        """All cells of the run, in the order their records are stored."""

    @abstractmethod
    def measure(self, cell: Cell, settings: Settings, rng: np.random.Generator) -> Measured:
        """Run one cell."""

    @abstractmethod
    def tabulate(self, records: Sequence[Record], settings: Settings) -> Table:
        """Table of all records, in plan order."""

    @abstractmethod
    def findings(self, table: Table, settings: Settings) -> list[Finding]:
        """Verdicts on the paper's claims."""

    def draw(self, table: Table, records: Sequence[Record], settings: Settings) -> Figure | None:
        """Draw the figure, if there is one."""
        del table, records, settings
        return None

    def blocks(self, settings: Settings, parameters: Mapping[str, Any] | None = None) -> list[Cell]:
        """Cells that share out the run's repeats at one set of parameters."""
        sizes = [self.block] * (settings.repeats // self.block)
        if settings.repeats % self.block:
            sizes.append(settings.repeats % self.block)
        return [Cell(self.name, dict(parameters or {}), i, size) for i, size in enumerate(sizes)]


def grouped(records: Sequence[Record]) -> list[tuple[Mapping[str, Any], list[Record]]]:
    """Records by their parameters, in the order these first appear."""
    groups: dict[str, tuple[Mapping[str, Any], list[Record]]] = {}
    for record in records:
        key = Cell("", record.cell.parameters).key
        groups.setdefault(key, (record.cell.parameters, []))[1].append(record)
    return list(groups.values())
