"""One look for every figure: the paper's plainness, error bars, and marks that survive grey printing."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from limbeck.records import write_whole

# Okabe and Ito's colours: told apart by colour-blind readers, and in order of grey.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#B2182B",
    "#AA4499",
    "#56B4E9",
    "#222222",
)
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=CYCLE),
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "errorbar.capsize": 2.5,
    "svg.hashsalt": "limbeck",
    "svg.fonttype": "path",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw inside this block in the house style; nothing global is changed."""
    with mpl.rc_context(RC):
        yield


def new_figure(
    columns: int = 1, rows: int = 1, *, width: float = 5.2, height: float = 3.4
) -> tuple[Figure, list[Axes]]:
    """A figure with its axes in reading order, outside pyplot's global list of figures."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def rendered(figure: Figure, kind: str = "svg") -> bytes:
    """The figure as SVG or PNG, the same bytes for the same figure."""
    options: dict[str, Any] = {"metadata": {"Date": None}} if kind == "svg" else {"dpi": 200}
    buffer = io.BytesIO()
    with house_style():
        figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()


def save(figure: Figure, stem: str | os.PathLike[str]) -> list[Path]:
    """Write ``stem.svg`` and ``stem.png``, each whole or not at all."""
    written = []
    for kind in ("svg", "png"):
        path = Path(f"{os.fspath(stem)}.{kind}")
        write_whole(path, rendered(figure, kind))
        written.append(path)
    return written
