"""What the commands say of agreement on rows not learned from: in all, by class, and beside a constant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from limbeck.cli._console import Line

if TYPE_CHECKING:
    from limbeck.students.tally import Tally

SHOWN = 3
"""Classes named in a line: all of so few, else those agreed on least."""
MANY = 100_000
"""Rows from which on a hundredth of a percent is coarse."""


def lines(tally: Tally, classes: Sequence[Any], *, drawn: bool = False) -> list[Line]:
    """For people; ``drawn`` says that of the rows only those drawn at random were held out."""
    found = tally.agreement
    places = 2 if found.size < MANY else 4
    interval = f"95 % interval {found.low:.{places}%} to {found.high:.{places}%}"
    rows = f"held-out rows{', all drawn at random' if drawn else ''}"
    of_all = f"{tally.alike.sum()} of {found.size} {rows}, {found.estimate:.{places}%} ({interval})"
    return [("agreement", of_all), *beside(tally, classes)]


def beside(tally: Tally, classes: Sequence[Any]) -> list[Line]:
    """By class, and how often the commonest class alone is right."""
    gain, places = tally.gain, 2 if len(tally) < MANY else 4
    constant = (
        f'always "{classes[tally.commonest]}", the commonest of these rows, agrees on '
        f"{tally.constant.estimate:.{places}%}"
    )
    if gain.low <= 0:
        constant += (
            f": the student is not shown to be better ({100 * gain.estimate:+.2g} points, 95 % interval "
            f"{100 * gain.low:+.2g} to {100 * gain.high:+.2g})"
        )
    return [*ties(tally), ("by class", by_class(tally, classes)), ("constant", constant)]


def ties(tally: Tally) -> list[Line]:
    """How many rows the teacher does not decide, and agreement on the others."""
    if not tally.tied:
        return []
    found, places = tally.untied, 2 if len(tally) < MANY else 4
    without = (
        ""
        if found is None
        else (
            f"; without them {found.estimate:.{places}%} (95 % interval {found.low:.{places}%} to "
            f"{found.high:.{places}%})"
        )
    )
    text = f"{tally.tied} of these {len(tally)} rows: the teacher's two likeliest classes have the same probability"
    return [("ties", f"{text}, and {tally.tied_alike} count as agreement{without}")]


def by_class(tally: Tally, classes: Sequence[Any]) -> str:
    """How many of each class's rows are decided alike; of many classes those agreed on least."""
    there = [code for code in range(len(classes)) if tally.teacher[code]]
    counted = {code: f"{tally.alike[code]} of {tally.teacher[code]}" for code in there}
    if len(classes) <= SHOWN:
        every = range(len(classes))
        return ", ".join(f'"{classes[code]}" {counted.get(code, "never decided for")}' for code in every)
    worst = sorted(there, key=lambda code: tally.alike[code] / tally.teacher[code])[:SHOWN]
    return f"least of {len(there)}: " + ", ".join(f'"{classes[code]}" {counted[code]}' for code in worst)


def facts(tally: Tally | None, classes: Sequence[Any]) -> dict[str, Any]:
    """For scripts."""
    if tally is None:
        return {"agreement": None, "by_class": None, "constant": None, "gain": None, "ties": None}
    return {
        "agreement": tally.agreement,
        "by_class": {str(name): tally.by_class(code) for code, name in enumerate(classes)},
        "constant": {"class": str(classes[tally.commonest]), "agreement": tally.constant},
        "gain": tally.gain,
        "ties": {"rows": tally.tied, "agreement": tally.untied},
    }
