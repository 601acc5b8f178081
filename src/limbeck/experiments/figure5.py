"""Figure 5: transfer risk against the monotonicity index of several learners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from limbeck.displays.paper import figure_5
from limbeck.experiments._experiment import Experiment, Finding, Measured, Settings, Table, grouped
from limbeck.records import Cell, Estimate, Record, pool
from limbeck.theory import (
    HardTargetLimit,
    PolynomialTask,
    Sample,
    Span,
    monotonicity,
    symmetric_risk,
    unsigned_angle,
)
from limbeck.theory.chain import biased_angles
from limbeck.theory.learners import descend_on_hard_labels, hard_labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DELTAS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
LEARNERS = (
    ("distillation", None, ""),
    ("hard-target-steps", None, ""),
    ("hard-target-limit", None, ""),
    *(("biased", delta, q) for q in ("fresh", "shared") for delta in DELTAS),
)


def _label(learner: str, delta: float | None, q: str) -> str:
    return learner if delta is None else f"{learner} {delta:g} {q}"


class Figure5(Experiment):
    """Section 5.3: kappa = 1, d = 100, n = 5."""

    name = "figure-5"
    title = "transfer risk against monotonicity, several learners"
    repeats: ClassVar[int] = 4000
    quick_repeats: ClassVar[int] = 400
    block: ClassVar[int] = 100
    defaults: ClassVar[Mapping[str, Any]] = {"d": 100, "n": 5, "kappa": 1.0, "steps": 1000, "chain": 20_000}

    def check(self, settings: Settings) -> None:
        """Refuse sizes that leave no complement: w_delta needs one before and after a point is added."""
        if not settings["kappa"] > 0:
            raise ValueError(f"kappa must be positive, got {settings['kappa']}.")
        if settings["chain"] < 100:
            raise ValueError(f"chain must be at least 100, got {settings['chain']}.")
        for name in ("n", "steps"):
            if settings[name] < 1:
                raise ValueError(f"{name} must be at least 1, got {settings[name]}.")
        if settings["d"] < settings["n"] + 2:
            raise ValueError(f"d = {settings['d']} must be at least n + 2 = {settings['n'] + 2}.")

    def plan(self, settings: Settings) -> list[Cell]:
        """Blocks of transfer sets; every learner sees the same ones."""
        return self.blocks(settings)

    def measure(self, cell: Cell, settings: Settings, rng: np.random.Generator) -> Measured:
        """Angle to the teacher before and after one more point, exact risk before, for every learner."""
        task, n = PolynomialTask(settings["kappa"], settings["d"]), settings["n"]
        estimates: dict[str, Estimate] = {}

        def keep(
            label: str, risk: np.ndarray, angles: tuple[np.ndarray, np.ndarray], tied: np.ndarray
        ) -> None:
            found, size = monotonicity(*angles, tied=tied), len(tied)
            estimates[f"{label} risk"] = Estimate.of(risk)
            errors = np.nan_to_num(
                [found.index_stderr, found.shrinkage_stderr]
            )  # of one set, 0 as `Estimate.of`
            estimates[f"{label} monotonicity"] = Estimate(found.index, float(errors[0]), size)
            estimates[f"{label} ties"] = Estimate.of(tied)
            estimates[f"{label} shrinkage"] = Estimate(found.shrinkage, float(errors[1]), size)

        # Distillation is delta = 0; none of these needs a vector.
        chain = max(2, round(settings["chain"] * cell.repeats / settings.repeats))
        for q in ("fresh", "shared"):
            angles = biased_angles(task.tail, task.d, n, (0.0, *DELTAS), chain, shared=q == "shared", rng=rng)
            risks = symmetric_risk(angles.before, task.tail, task.d)
            moves = zip(_unsigned(angles.before), _unsigned(angles.after), strict=True)
            for delta, risk, move in zip((None, *DELTAS), risks, moves, strict=True):
                if delta is not None or q == "fresh":
                    label = _label("distillation" if delta is None else "biased", delta, q)
                    keep(label, risk, move, np.zeros(chain, dtype=bool))
        samples = [task.sample(n + 1, rng=rng) for _ in range(cell.repeats)]
        spans = [(Span(s.X[:n]), Span(s.X)) for s in samples]
        for learner in ("hard-target-steps", "hard-target-limit"):
            before, after, tied = _before_and_after(learner, samples, spans, settings)
            move = unsigned_angle(before, task.w_star), unsigned_angle(after, task.w_star)
            keep(learner, task.risk(before), move, tied)
        return Measured(estimates)

    def tabulate(self, records: Sequence[Record], settings: Settings) -> Table:
        """One row a learner."""
        ((_, blocks),) = grouped(records)
        pooled, rows = pool(blocks), []
        for learner, delta, q in LEARNERS:
            risk, index, ties = (
                pooled[f"{_label(learner, delta, q)} {what}"] for what in ("risk", "monotonicity", "ties")
            )
            rows.append(
                (learner, delta, q, risk.mean, risk.stderr, index.mean, index.stderr, ties.mean, risk.count)
            )
        columns = "learner delta q risk stderr monotonicity monotonicity_stderr ties repeats"
        return Table(columns.split(), rows)

    def draw(self, table: Table, records: Sequence[Record], settings: Settings) -> Figure:
        """Risk against index, q fresh and q shared."""
        return figure_5(table.as_columns())

    def findings(self, table: Table, settings: Settings) -> list[Finding]:
        """Correlation of risk and index over the learners, both readings of q."""
        c = table.as_columns()
        texts, negative = [], {}
        for q in ("fresh", "shared"):
            rows = (c["q"] == q) | (c["q"] == "")
            estimate, low, high = _correlation(c, rows, settings.seed)
            texts.append(f"{estimate:.2f} [{low:.2f}, {high:.2f}] (q {q})")
            negative[q] = high < 0
        doubtful = [q for q, shown in negative.items() if not shown]
        own = c["monotonicity"][c["learner"] == "distillation"][0]
        ties = c["ties"][c["learner"] == "hard-target-limit"][0]
        return [
            Finding(
                title="Figure 5: strong monotonicity",
                claim="Learners with a higher monotonicity index have lower transfer risk.",
                measured=f"Correlation of risk and index over the eight learners: {', '.join(texts)}, 95 % intervals "
                f"over transfer sets. Distillation's index is {own:.3f}. The maximum-margin learner does not move "
                f"at all in {ties:.1%} of cases: ties, which (34) counts against it.",
                verdict="agrees" if not doubtful else "differs" if len(doubtful) == 2 else "agrees in part",
                part=f"not shown with q {doubtful[0]}" if len(doubtful) == 1 else "",
                caption=f"κ = {settings['kappa']:g}, d = {settings['d']}, n = {settings['n']}, "
                f"{int(c['repeats'][0])} transfer sets simulated by the one-dimensional chain for distillation "
                f"and w_δ, {settings.repeats} drawn for the hard-target learners; exact risks; error bars are 95 % "
                f"intervals. Hard target, steps: {settings['steps']} steps of gradient descent from zero, step size "
                "4 n / σ_max². Limit: the maximum-margin direction. The paper defines neither, nor whether q is "
                "drawn anew when a point is added; both readings are shown. Its caption lists δ from left to right "
                "the wrong way round: δ = 1 is the leftmost.",
            )
        ]


def _unsigned(angles: np.ndarray) -> np.ndarray:
    return np.minimum(angles, np.pi - angles)


def _before_and_after(
    learner: str, samples: list[Sample], spans: list[tuple[Span, Span]], settings: Settings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights (repeats, d) of a hard-target learner from n and n + 1 points, and where it did not move."""
    n, repeats = settings["n"], len(samples)
    tied = np.zeros(repeats, dtype=bool)
    if learner == "hard-target-steps":
        before, after = (_descended(samples, [s[i] for s in spans], settings["steps"]) for i in (0, 1))
        return before, after, tied
    pairs, rule = [], HardTargetLimit()
    for i, (sample, (fewer, more)) in enumerate(zip(samples, spans, strict=True)):
        w = rule.weights(fewer, sample.z[:n])
        pairs.append((w, rule.weights(more, sample.z)))
        tied[i] = rule.unmoved(w, sample.X[n], float(sample.z[n]))
    before, after = (np.array(side) for side in zip(*pairs, strict=True))
    return before, after, tied


def _descended(samples: list[Sample], spans: list[Span], steps: int) -> np.ndarray:
    """Hard-target descent on all transfer sets at once, in the coordinates of each."""
    n = spans[0].n
    X = np.stack([span.coordinates(span.X) for span in spans])
    y = np.stack([hard_labels(sample.z[:n]) for sample in samples])
    v = descend_on_hard_labels(X, y, steps)
    return np.stack([row @ span.basis for row, span in zip(v, spans, strict=True)])


def _correlation(c: dict[str, np.ndarray], rows: np.ndarray, seed: int) -> tuple[float, float, float]:
    """Correlation over learners, and its 95 % range when each mean moves by its standard error."""
    risk, index = c["risk"][rows], c["monotonicity"][rows]
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((2, 2000, rows.sum()))
    moved = [
        np.corrcoef(risk + c["stderr"][rows] * a, index + c["monotonicity_stderr"][rows] * b)[0, 1]
        for a, b in zip(*noise, strict=True)
    ]
    low, high = np.quantile(moved, [0.025, 0.975])
    return float(np.corrcoef(risk, index)[0, 1]), float(low), float(high)
