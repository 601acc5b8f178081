"""Numbers as words, the same way on every page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck.displays import rendered
from limbeck.report import Figure
from limbeck.theory import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

METRICS = {
    "none": "features as given",
    "standard": "every feature at mean 0 and variance 1",
    "sharpen": "X S^(1/4), the pool's spectrum sharpened",
    "whiten": "whitened",
}


def share(value: float) -> str:
    """A share as a percentage with three significant digits."""
    return f"{100 * value:.3g} %"


def between(interval: Interval) -> str:
    """An estimate with its interval, as percentages."""
    return (
        f"{share(interval.estimate)} ({interval.confidence:.0%} interval {share(interval.low)} to "
        f"{share(interval.high)})"
    )


def picture(drawing: Drawing | None, caption: str) -> Figure:
    """A drawn figure with its caption."""
    assert drawing is not None  # displays say None before they are drawn
    return Figure(rendered(drawing), caption)
