"""Numbers as words, the same way on every page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck.displays import rendered
from limbeck.report import Figure, Grid
from limbeck.theory import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure as Drawing

    from limbeck.students.tally import Tally

FEW = 20
"""Classes up to which their table lies open."""

METRICS = {
    "none": "features as given",
    "standard": "every feature at mean 0 and variance 1",
    "sharpen": "X S^(1/4), the pool's spectrum sharpened",
    "whiten": "whitened",
}


def share(value: float) -> str:
    """A share as a percentage with three significant digits."""
    return f"{100 * value:.3g} %"


def counted(n: int, one: str, many: str) -> str:
    """``n`` of something that is or are so: "1 row is zero", "3 rows are zero"."""
    return f"{n} {one if n == 1 else many}"


def between(interval: Interval) -> str:
    """An estimate with its interval, as percentages."""
    return (
        f"{share(interval.estimate)} ({interval.confidence:.0%} interval {share(interval.low)} to "
        f"{share(interval.high)})"
    )


def points(difference: Interval) -> str:
    """A paired difference of two shares, in points of a percent, with its interval."""
    ends = f"{100 * difference.low:+.2g} to {100 * difference.high:+.2g}"
    what = "better" if difference.estimate >= 0 else "worse"
    return f"{100 * abs(difference.estimate):.2g} points {what} (Tango's {difference.confidence:.0%} interval {ends})"


def constant(tally: Tally, classes: Sequence[str]) -> str:
    """What always saying the commonest class would have done on the rows of a tally."""
    not_shown = "" if tally.gain.low > 0 else "not shown to be "
    return (
        f"Always saying “{classes[tally.commonest]}”, the class the teacher decides for most often there, agrees on "
        f"{share(tally.constant.estimate)} (chosen on the rows it is rated on, which favours it). The student does "
        f"{points(tally.gain)}: it is {not_shown}better than a constant."
    )


def ties(tally: Tally) -> list[str]:
    """How many rows the teacher does not decide, and agreement on the others; nothing if it decides all."""
    if not tally.tied:
        return []
    others = "" if tally.untied is None else f" Without them, agreement is {between(tally.untied)}."
    return [
        f"In {tally.tied} of these {len(tally)} rows the teacher's two likeliest classes have the same probability; "
        f"{tally.tied_alike} of them count as agreement by convention.{others}"
    ]


def by_class(tally: Tally, classes: Sequence[str]) -> Grid:
    """The counts of a tally."""
    rows = []
    for code, name in enumerate(classes):
        alike = tally.by_class(code)
        said = (
            ("", "")
            if alike is None
            else (share(alike.estimate), f"{share(alike.low)} to {share(alike.high)}")
        )
        rows.append((name, str(tally.teacher[code]), str(tally.student[code]), str(tally.alike[code]), *said))
    columns = (
        "class",
        "teacher decides",
        "student decides",
        "both",
        "share of the teacher's",
        "95 % interval",
    )
    return Grid(columns, rows, "By the class that the teacher decides for", folded=len(rows) > FEW)


def picture(drawing: Drawing | None, caption: str) -> Figure:
    """A drawn figure with its caption."""
    assert drawing is not None  # displays say None before they are drawn
    return Figure(rendered(drawing), caption)
