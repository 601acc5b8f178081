"""Verdicts on the paper's three factors beyond linear students: where each holds, with simultaneous intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from limbeck.experiments._experiment import Finding
from limbeck.theory.risk import wilson

CONFIDENCE = 0.95
NEAR = 0.1  # of the power -1/2: corrections of higher order still show at these widths
Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Factor:
    """One of the paper's factors and the number that shows it."""

    title: str
    """Of the finding."""
    claim: str
    """What the paper says of linear students."""
    quantity: str
    """The column ``quantity`` that shows it."""
    delta: float
    """Its delta; NaN where it spans them."""
    sign: float
    """Sign that the claim gives it."""
    says: str
    """What the number is, in words."""
    null: float = 0.0
    """Its value where the factor plays no part; a share is compared with 1/2."""


FACTORS = (
    Factor(
        "Beyond linear 1: data geometry",
        "The better the data is aligned with the teacher (larger κ), the lower the transfer risk.",
        "slope geometry",
        0.0,
        -1.0,
        "change of the risk a step of geometry (κ doubled; power of the second moment raised by 0.2)",
    ),
    Factor(
        "Beyond linear 2: optimisation bias",
        "Of all students that give the teacher's answers, the one gradient descent finds has the lowest risk; the risk "
        "of w_δ grows with δ.",
        "slope bias",
        float("nan"),
        1.0,
        "change of the risk a step of δ (0, 1/4, 1/2, 1, 2)",
    ),
    Factor(
        "Beyond linear 3: monotonicity, more often than not",
        "One more labelled point brings the student nearer to the teacher: always, in a linear student's weights "
        "(Lemma 1), and the less often the more a learner is biased.",
        "nearer",
        0.0,
        1.0,
        "share of transfer sets where one more point narrows the angle between the functions of student and teacher, "
        "beside 1/2",
        0.5,
    ),
)


@dataclass(frozen=True)
class Judged:
    """One factor on one task."""

    verdict: str
    """``holds``, ``holds beyond width w``, ``holds in the limit``, ``fails`` or ``undecided``."""
    text: str
    """The numbers behind it."""
    beyond: float
    """Width beyond which it is shown: 0 if at all, inf if in the limit but not at the widest network, NaN if not."""


def factor_findings(c: Columns, caption: str) -> list[Finding]:
    """A finding a factor, over all tasks of the table."""
    tasks = list(dict.fromkeys(zip(c["data"], c["teacher"], strict=True)))
    found = []
    for factor in FACTORS:
        judged = {task: _judge(c, factor, *task) for task in tasks}
        found.append(
            Finding(
                title=factor.title,
                claim=factor.claim,
                measured=f"{factor.says[0].upper()}{factor.says[1:]}; intervals of {CONFIDENCE:.0%} for all widths "
                "of a task at once. "
                + " ".join(f"{_task(*task)}: {one.verdict} ({one.text})." for task, one in judged.items()),
                verdict=_overall(list(judged.values())),
                caption=caption,
            )
        )
    return found


def _task(data: str, teacher: str) -> str:
    return f"{data[0].upper()}{data[1:]}, {teacher} teacher"


def _judge(c: Columns, factor: Factor, data: str, teacher: str) -> Judged:
    here = (c["data"] == data) & (c["teacher"] == teacher) & (c["quantity"] == factor.quantity)
    if np.isfinite(factor.delta):
        here &= c["delta"] == factor.delta
    rows = np.flatnonzero(here & (c["student"] != "linear"))
    rows = rows[np.argsort(c["width"][rows])]
    low, high = _intervals(c, factor, rows)
    above, below = low > factor.null, high < factor.null
    holds, against = (above, below) if factor.sign > 0 else (below, above)
    verdict, beyond = judge(c["width"][rows], holds, against)
    shown = [0, len(rows) - 2, len(rows) - 1] if len(rows) > 2 else range(len(rows))
    numbers = [
        f"{c['mean'][rows[i]]:.3g} [{low[i]:.3g}, {high[i]:.3g}] {_at(float(c['width'][rows[i]]))}"
        for i in dict.fromkeys(shown)
    ]
    if factor.quantity == "nearer":
        numbers.append(_beside(c, data, teacher, rows[-1]))
    return Judged(verdict, "; ".join(numbers), beyond)


def _intervals(c: Columns, factor: Factor, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intervals for all rows at once (Bonferroni), nominally: Wilson's for shares, Student's for means."""
    mean, repeats, error = c["mean"][rows], c["repeats"][rows], (1 - CONFIDENCE) / len(rows)
    if factor.quantity == "nearer":
        return wilson(mean * repeats, int(repeats[0]), 1 - error)
    half = student_t.ppf(1 - error / 2, np.maximum(repeats - 1, 1)) * c["stderr"][rows]
    return mean - half, mean + half


def judge(widths: np.ndarray, holds: np.ndarray, against: np.ndarray) -> tuple[str, float]:
    """Verdict from where the claim is shown and where its opposite is, widths increasing, the limit last."""
    if holds.all():
        return "holds", 0.0
    if against[-1]:
        return "fails", float("nan")
    if not holds[-1]:
        return ("fails", float("nan")) if against.any() else ("undecided", float("nan"))
    last = int(np.flatnonzero(~holds)[-1])
    if last == len(widths) - 2:
        return "holds in the limit", float("inf")
    return f"holds beyond width {widths[last]:.0f}", float(widths[last])


def _overall(judged: list[Judged]) -> str:
    """The weakest of the verdicts, if all tasks have it in common to hold; else how many do."""
    held = [one for one in judged if not np.isnan(one.beyond)]
    if len(held) == len(judged):
        return max(judged, key=lambda one: one.beyond).verdict
    if not held:
        return "fails" if any(one.verdict == "fails" for one in judged) else "undecided"
    return f"holds on {len(held)} of {len(judged)} tasks"


def _beside(c: Columns, data: str, teacher: str, limit: int) -> str:
    """The shares of a biased learner in the limit and of the linear student, and the mean fall in the limit."""
    here = (c["data"] == data) & (c["teacher"] == teacher)
    nearer, at_limit = here & (c["quantity"] == "nearer"), c["width"] == c["width"][limit]
    linear, one = c["student"] == "linear", c["delta"] == 1.0
    fall = np.flatnonzero(here & (c["quantity"] == "fall") & at_limit & (c["delta"] == 0))[0]
    biased, plain, both = (
        c["mean"][nearer & rows][0] for rows in (at_limit & one, linear & (c["delta"] == 0), linear & one)
    )
    return (
        f"{biased:.2f} in the limit for δ = 1; linear student {plain:.2f}, for δ = 1 {both:.2f}; mean fall in the "
        f"limit {c['mean'][fall]:.2g} ± {1.96 * c['stderr'][fall]:.2g} radians"
    )


def _at(width: float) -> str:
    return "in the limit" if np.isinf(width) else f"at width {width:.0f}"


def approach(c: Columns) -> Finding:
    """How fast networks approach their kernel: the power of the width in the distance."""
    texts, powers = [], []
    for data, teacher in dict.fromkeys(zip(c["data"], c["teacher"], strict=True)):
        rows = (c["data"] == data) & (c["teacher"] == teacher) & (c["quantity"] == "log-distance")
        x, y, error = np.log(c["width"][rows]), c["mean"][rows], c["stderr"][rows]
        wide = x >= np.log(256) if np.sum(x >= np.log(256)) >= 2 else np.ones(len(x), bool)
        power, stderr = _power(x[wide], y[wide], error[wide])
        powers.append((power, stderr))
        texts.append(
            f"{_task(data, teacher)}: {np.exp(y[0]):.2g} at width {c['width'][rows][0]:.0f}, "
            f"{np.exp(y[-1]):.2g} at {c['width'][rows][-1]:.0f}, power {power:.2f} ± {1.96 * stderr:.2f}"
        )
    missed = c["quantity"] == "misfit"
    misfit = c["mean"][missed & (c["delta"] == 0)].max(), c["mean"][missed & (c["delta"] > 0)].max()
    return Finding(
        title="Beyond linear: networks approach their kernel",
        claim="Trained by gradient descent and less its untrained self, a network tends to the student of its tangent "
        "kernel as the width m grows, at a rate of m^(-1/2).",
        measured="Root mean square distance to the kernel's student on held-out points, relative to it (geometric "
        f"mean), and the power of the width from 256 on: {'; '.join(texts)}. Largest error left on the answers, "
        f"relative to the largest logit, mean over transfer sets: at most {misfit[0]:.1g} for the students, "
        f"{misfit[1]:.1g} for their biased learners.",
        verdict="agrees" if all(p + 1.96 * s < 0 and abs(p + 0.5) < NEAR for p, s in powers) else "differs",
        caption="Mean over transfer sets and starts; ± is 1.96 standard errors of the fitted power, widths taken as "
        "independent.",
    )


def _power(x: np.ndarray, y: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    """Slope of y against x by least squares, with what the errors of y are worth in it."""
    centred = x - x.mean()
    weights = centred / (centred @ centred)
    return float(weights @ y), float(np.sqrt(np.square(weights) @ np.square(error)))
