"""Interleaved timing in one process, and the table that comes of it."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

SLOW = 8.0


@dataclass(frozen=True)
class Timing:
    """What one contestant took."""

    name: str
    seconds: float
    """Median."""
    ratio: tuple[float, float, float]
    """Median, least and largest ratio to the first contestant's time in the same round."""
    peak: float
    """Largest memory allocated at once while it ran, bytes, its inputs not counted."""
    rounds: int
    note: str = ""


def race(contestants: Mapping[str, Callable[[], object]], rounds: int = 7) -> list[Timing]:
    """Time each contestant in every round, in order; ones that take longer than 8 s run once only."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    peaks, once = {}, set()
    for name, run in contestants.items():  # a first run, untimed where it is fast, for the memory
        tracemalloc.start()
        start = time.perf_counter()
        run()
        took = time.perf_counter() - start
        peaks[name] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        if took > SLOW:
            once.add(name)
            times[name].append(took)
    for _ in range(rounds):
        for name, run in contestants.items():
            if name not in once:
                start = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - start)
    first = next(iter(contestants))
    rows = []
    for name, mine in times.items():
        floor = (
            times[first] if len(mine) == len(times[first]) else [float(np.median(times[first]))] * len(mine)
        )
        ratios = np.array(mine) / np.array(floor)
        rows.append(
            Timing(
                name,
                float(np.median(mine)),
                (float(np.median(ratios)), float(ratios.min()), float(ratios.max())),
                float(peaks[name]),
                len(mine),
            )
        )
    return rows


def table(title: str, rows: list[Timing], notes: Mapping[str, str] | None = None, column: str = "") -> str:
    """A Markdown table of the timings; ``notes`` fills one more column."""
    head = ["", "median", "ratio (min to max)", "peak memory", *([column] if column else []), "runs"]
    lines = [f"### {title}", "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        ratio = f"{row.ratio[0]:.3g} ({row.ratio[1]:.3g} to {row.ratio[2]:.3g})"
        cells = [row.name, seconds(row.seconds), ratio, megabytes(row.peak)]
        if column:
            cells.append((notes or {}).get(row.name, ""))
        lines.append("| " + " | ".join([*cells, str(row.rounds)]) + " |")
    return "\n".join(lines) + "\n"


def seconds(t: float) -> str:
    """A time with its unit."""
    return f"{t:.3g} s" if t >= 1 else f"{1e3 * t:.3g} ms" if t >= 1e-3 else f"{1e6 * t:.3g} µs"


def megabytes(b: float) -> str:
    """Memory with its unit."""
    return f"{b / 2**20:.3g} MB"
