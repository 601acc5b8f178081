"""The page of ``limbeck label``: what was bought, what is shown of the student, and what went wrong on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from limbeck.budget.loop import BudgetedDistillation
from limbeck.budget.purchase import Bought
from limbeck.budget.stages import MOST_AUDIT
from limbeck.displays import budget as drawings
from limbeck.pages._words import between, by_class, constant, picture, share, ties
from limbeck.report import Facts, Grid, Page, Section

NAMED = 5


def page(bought: Bought, asked: BudgetedDistillation, sources: Mapping[str, str]) -> Page:
    """All sections."""
    sections = [
        _shown(bought, asked),
        _money(bought),
        _looks(bought, asked),
        _teacher(bought),
        _noise(bought),
    ]
    return Page(
        title="Answers bought one batch at a time",
        subtitle=f"{len(bought.audit)} audit answers, {len(bought.learned)} learned from, of a budget of "
        f"{bought.budget} questions; target {share(asked.target_risk)}.",
        sections=[*(s for s in sections if s is not None), Section("How it was run", parts=[Facts(sources)])],
        footer=_footer(bought),
    )


def _footer(bought: Bought) -> str:
    source, like = "the pool and bought first", "the pool's"
    if len(bought.stages) > 1:
        source, like = "the rows not asked before the run was extended", "those"
    return (
        f"The audit sample was drawn uniformly from {source}; no student learned from it. Bounds hold for points like "
        f"{like} that the teacher answers."
    )


def _shown(bought: Bought, asked: BudgetedDistillation) -> Section:
    if bought.shown is None:
        return Section(
            "Is the student good enough?", "not judged", False, [f"Buying ended: {bought.reason}."]
        )
    look = bought.shown
    text = [
        f"The student disagrees with the teacher on {look.wrong} of {look.size} audit points; its risk is at most "
        f"{share(look.upper)}. With {asked.confidence:.0%} confidence the bounds of all looks ({look.number} so far) "
        "hold together (Clopper and Pearson's, the error probability shared between the looks), whatever the teacher "
        "is.",
        f"Buying ended: {bought.reason}.",
    ]
    parts = []
    if bought.tally is not None:
        text += [*ties(bought.tally), constant(bought.tally, bought.classes)]
        parts.append(by_class(bought.tally, bought.classes))
    if len(bought.uncovered):
        text.append(f"{uncovered(bought)}.")
    if not look.stop:
        text.append(f"{shortfall(bought, asked.target_risk)}.")
    if len(bought.stages) > 1:
        text.append(
            "The run was extended: this audit sample was drawn uniformly from the rows not asked before (all but "
            f"{bought.stages[-1].asked}); the bound is for points like those, and the confidence is given all that "
            "went before. Every earlier answer was learned from."
        )
    return Section(
        "Is the student good enough?",
        "shown to be" if look.stop else "not shown to be",
        look.stop,
        text,
        parts,
    )


def uncovered(bought: Bought, names: Sequence[Any] | None = None) -> str:
    """Which part of the pool the bound does not cover, as far as the audit sample shows."""
    rows = bought.uncovered.tolist()
    ids = "" if names is None else " (" + ", ".join(str(names[row]) for row in rows[:NAMED])
    ids += "" if names is None else f", and {len(rows) - NAMED} more)" if len(rows) > NAMED else ")"
    drawn = len(rows) + len(bought.audit)
    return (
        f"{len(rows)} of {drawn} rows drawn for the audit sample have no usable answer{ids}: the bound is for points "
        "that the teacher answers"
    )


def shortfall(bought: Bought, target: float) -> str:
    """What stands between the student of the last look and the target it did not show."""
    look = bought.looks[-1].look
    share = look.wrong / look.size
    seen = f"{look.wrong} of {look.size} wrong is {share:.2%}"
    if share >= target:
        return f"{seen}, not below the target of {target:.2%}: the student must get better, not the audit sample larger"
    if bought.audit_needed is None:
        return (
            f"{seen}, so near the target of {target:.2%} that no audit sample of {MOST_AUDIT:,} would show it"
        )
    return (
        f"{seen}, below the target of {target:.2%}, but the audit sample is too small to show it: at this share "
        f"every audit sample of {bought.audit_needed} or more would"
    )


def _money(bought: Bought) -> Section:
    facts = {"questions sent": f"{bought.spent} of {bought.budget}"}
    if bought.price is not None:
        facts["money spent, at most"] = f"{bought.spent * bought.price:,.2f}"
        facts["money left"] = f"{(bought.budget - bought.spent) * bought.price:,.2f}"
    facts |= {name: str(count) for name, count in sorted(bought.counts.items()) if name != "asked"}
    return Section(
        "What did it cost?",
        text=[
            "Every question sent counts as paid for, answered or not, unless the teacher put it off. Refused and "
            "malformed answers are kept in replies.jsonl, set aside and not asked again."
        ],
        parts=[Facts(facts)],
    )


def _looks(bought: Bought, asked: BudgetedDistillation) -> Section | None:
    if not bought.looks:
        return None
    looks = [b.look for b in bought.looks]
    learned = np.array([b.learned for b in bought.looks])
    drawing = drawings.looks(
        learned,
        np.array([look.wrong / look.size for look in looks]),
        np.array([look.upper for look in looks]),
        asked.target_risk,
    )
    rows = [
        (
            str(b.look.number),
            str(b.learned),
            str(b.spent),
            f"{b.look.wrong} of {b.look.size}",
            f"{b.look.upper:.4f}",
            "-" if b.likely is None or b.likely <= b.learned else str(b.likely),
        )
        for b in bought.looks
    ]
    columns = ("look", "learned from", "questions sent", "wrong", "bound", "half likely at")
    return Section(
        "What did each batch bring?",
        parts=[
            picture(drawing, f"The student after each batch on the {looks[0].size} audit points."),
            Grid(columns, rows, "The numbers", folded=True),
        ],
    )


def _teacher(bought: Bought) -> Section | None:
    if bought.linearity is None:
        return None
    seen = bought.linearity
    text = [f"{seen.reason[0].upper()}{seen.reason[1:]}. Judged from the audit sample."]
    return Section("Is the teacher linear on these features?", seen.verdict, seen.verdict == "linear", text)


def _noise(bought: Bought) -> Section | None:
    if bought.noise is None:
        return None
    return Section(
        "Does the teacher agree with itself?",
        text=[
            f"{bought.noise.rows} audit rows were asked twice. It decided otherwise on "
            f"{between(bought.noise.flips)}: no "
            f"student can agree more often. Standard deviation of a logit: {bought.noise.logit:.3g}."
        ],
    )
