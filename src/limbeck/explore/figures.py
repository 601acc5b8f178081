"""The four figures as Plotly's plain dictionaries."""

from __future__ import annotations

from typing import Any

import numpy as np

from limbeck.displays.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, SKY
from limbeck.explore.panels import RIGHT, DeepPanel, Geometry, Panels, RiskPanel, TailPanel
from limbeck.explore.view import View

QUARTERS: tuple[list[float], list[str]] = (
    [0, np.pi / 8, np.pi / 4, 3 * np.pi / 8, RIGHT],
    ["0", "π/8", "π/4", "3π/8", "π/2"],
)
GRID = "#e4e4e4"
Figure = dict[str, Any]


def draw(view: View, panels: Panels) -> dict[str, Figure]:
    """Every panel's figure by the panel's name."""
    return {
        "geometry": geometry(panels.geometry),
        "tail": tail(panels.tail),
        "risk": risk(view, panels.risk),
        "deep": deep(panels.deep),
    }


def geometry(panel: Geometry) -> Figure:
    """Sectors of the data's angle, the teacher up, students at their angles, the wedge where two disagree."""
    alpha = float(panel.student[1])
    data = [
        _filled(_rose(panel), SKY, "points, by angle", 0.45),
        _filled(_wedges(alpha, 1.32), ORANGE, "disagree", 0.45),
        _line(_through(RIGHT, 1.36), BLACK, "teacher's boundary", "dash", width=1.4),
        _line(_through(RIGHT + alpha, 1.36), BLUE, "student's boundary", "dash", width=1.4),
        _line(_arc(panel.student[[0, 2]], 1.13), BLUE, "student, 5–95 %", width=7, opacity=0.45),
        _line(_arc(-panel.biased[[0, 2]], 1.13), GREEN, "w_δ, 5–95 %", width=7, opacity=0.45),
        _arrow(-float(panel.biased[1]), GREEN, "w_δ, mirrored"),
        _arrow(0.0, BLACK, "teacher"),
        _arrow(alpha, BLUE, "student"),
    ]
    labels = _labels({"w*": (0.0, BLACK), "ŵ": (alpha, BLUE), "w_δ": (-float(panel.biased[1]), GREEN)})
    axis = {"range": [-1.4, 1.4], "visible": False, "fixedrange": True}
    return _figure(
        data,
        axis,
        {**axis, "scaleanchor": "x"},
        hovermode=False,
        showlegend=False,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        annotations=[
            {
                "x": 1.27 * np.sin(turn),
                "y": 1.27 * np.cos(turn),
                "text": f"<b>{text}</b>",
                "font": {"color": colour, "size": 15},
                "showarrow": False,
            }
            for text, turn, colour in labels
        ],
    )


def _labels(arrows: dict[str, tuple[float, str]]) -> list[tuple[str, float, str]]:
    """Names at the arrows' angles; those too close to the teacher's are written with it."""
    near = [name for name, (turn, _) in arrows.items() if abs(turn) < 0.15]
    apart = [(name, turn, colour) for name, (turn, colour) in arrows.items() if name not in near]
    return [(", ".join(near), 0.0, arrows[near[0]][1]), *apart]


def tail(panel: TailPanel) -> Figure:
    """p(theta) and the two levels of Theorem 3."""
    data = [_line((panel.theta, panel.p), BLUE, "p(θ)")]
    data[0].update(fill="tozeroy", fillcolor=_faint(SKY, 0.25))
    if np.isfinite(panel.beta):
        for angle, level, colour, name in (
            (panel.beta, panel.outside, PURPLE, "β and p(β)"),
            (RIGHT - panel.beta, panel.missed, ORANGE, "π/2 − β and p(π/2 − β)"),
        ):
            trace = _line(([angle, angle, 0], [0, level, level]), colour, name, "dash", width=1.4)
            trace.update(mode="lines+markers", marker={"size": [0, 9, 0], "color": colour})
            data.append(trace)
    return _figure(
        data,
        {
            "title": "angle θ to the teacher",
            "range": [0, RIGHT],
            "tickvals": QUARTERS[0],
            "ticktext": QUARTERS[1],
        },
        {"title": "share of points beyond θ", "range": [0, 1.03]},
    )


def risk(view: View, panel: RiskPanel) -> Figure:
    """Risk against n on logarithmic axes; what is 0 lies below every such axis."""
    shown = np.concatenate([panel.risk, panel.biased, panel.tight, panel.bound])
    floor = 0.3 * float(shown[shown > 0].min(initial=1.0))
    inside = panel.n < view.d
    n = panel.n[inside]

    def band(low, high, colour):
        # A lower end of 0 leaves through the bottom of the axis.
        ends = np.concatenate([np.maximum(low[inside], floor / 10), high[inside][::-1]])
        return _filled((np.concatenate([n, n[::-1]]), ends), colour, "", 0.2) | {"showlegend": False}

    data = [
        band(panel.low, panel.high, BLUE),
        band(panel.biased_low, panel.biased_high, GREEN),
        _line((n, panel.bound[inside]), PURPLE, "Theorem 3", "dash"),
        _line((n, panel.tight[inside]), ORANGE, "its proof", "dashdot"),
        _line((n, panel.corollary[inside]), RED, f"Corollary {2 if view.law == 'polynomial' else 1}", "dot"),
        _line((n, panel.biased[inside]), GREEN, f"w_δ, δ = {view.delta:g}"),
        _line((n, panel.risk[inside]), BLUE, "distillation", width=2.6),
        _line((n, panel.asymptotic[inside]), BLACK, "large n, d", "dot", width=1.2),
    ]
    data = [trace for trace in data if any(v is not None for v in trace["y"])]
    if view.n < view.d:
        marks = [values[panel.at] for values in (panel.risk, panel.tight, panel.bound)]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [view.n] * 3,
                "y": _plain(marks),
                "marker": {
                    "color": [BLUE, ORANGE, PURPLE],
                    "size": 9,
                    "line": {"color": "white", "width": 1},
                },
                "name": f"n = {view.n}",
                "showlegend": False,
            }
        )
    figure = _figure(
        data,
        {"title": "labels n", "type": "log"},
        {
            "title": "transfer risk",
            "type": "log",
            "range": [float(np.log10(floor)), 0.35],
            "dtick": max(1, int(np.ceil(-np.log10(floor) / 8))),
        },
    )
    if view.d <= panel.n[-1]:
        figure["layout"]["shapes"] = [
            {
                "type": "line",
                "x0": view.d,
                "x1": view.d,
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "line": {"dash": "dot"},
            }
        ]
        figure["layout"]["annotations"] = [
            {
                "x": float(np.log10(view.d)),
                "yref": "paper",
                "y": 0,
                "text": "n = d: risk 0 from here ",
                "showarrow": False,
                "xanchor": "right",
                "yanchor": "bottom",
            }
        ]
    return figure


def deep(panel: DeepPanel) -> Figure:
    """The path of a deep student in the plane of teacher and point."""
    marks = np.array([panel.path[0], panel.teacher, panel.student, panel.limit, [0.0, 0.0]])
    low, high = (f(np.concatenate([panel.path, marks]), axis=0) for f in (np.min, np.max))
    centre, half = (low + high) / 2, 0.58 * float(np.max(high - low))
    along, across = panel.point, np.array([panel.point[1], -panel.point[0]])
    reach = 3 * half + float(np.linalg.norm(centre))
    data = [
        _line(np.outer([-reach, reach], along).T, SKY, "data span", width=1.4),
        _line(
            (panel.student + np.outer([-reach, reach], across)).T, BLACK, "right answers", "dot", width=1.2
        ),
    ]
    if np.isfinite(panel.radius):
        turn = np.linspace(0, 2 * np.pi, 121)
        circle = panel.student + panel.radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        data.append(_line(circle.T, PURPLE, "Theorem 2's ball", "dash", width=1.4))
    data.append(_line(panel.path.T, GREEN, "deep student", width=2.6))
    for at, symbol, colour, name, side in (
        (panel.path[0], "circle-open", GREEN, "w(0)", "bottom center"),
        (panel.student, "square", BLUE, "ŵ", "middle right"),
        (panel.limit, "diamond", GREEN, "w(∞)", "middle left"),
        (panel.teacher, "star", BLACK, "w*", "top center"),
    ):
        data.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "x": [float(at[0])],
                "y": [float(at[1])],
                "name": name,
                "text": [f"<b>{name}</b>"],
                "textposition": side,
                "textfont": {"color": colour, "size": 14},
                "marker": {
                    "symbol": symbol,
                    "size": 11,
                    "color": colour,
                    "line": {"width": 2, "color": colour},
                },
                "showlegend": False,
            }
        )
    ranges = [[float(c - half), float(c + half)] for c in centre]
    return _figure(
        data,
        {"title": "weights across the teacher", "range": ranges[0]},
        {"title": "weights along the teacher", "range": ranges[1], "scaleanchor": "x"},
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "font": {"size": 12}},
    )


def _figure(data: list[dict], x: dict, y: dict, **layout) -> Figure:
    axis = {
        "gridcolor": GRID,
        "linecolor": "#999",
        "zeroline": False,
        "automargin": True,
        "ticks": "outside",
        "exponentformat": "power",
    }
    named = [{**axis, **given, "title": {"text": given.get("title", ""), "standoff": 8}} for given in (x, y)]
    return {
        "data": data,
        "layout": {
            "xaxis": named[0],
            "yaxis": named[1],
            "font": {
                "family": "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif",
                "size": 13,
                "color": BLACK,
            },
            "margin": {"l": 64, "r": 12, "t": 8, "b": 46},
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 12}},
            "paper_bgcolor": "white",
            "plot_bgcolor": "white",
            "hovermode": "closest",
            "uirevision": "kept",
            **layout,
        },
    }


def _line(
    xy, colour: str, name: str, dash: str = "solid", *, width: float = 2.0, opacity: float = 1.0
) -> dict:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": _plain(xy[0]),
        "y": _plain(xy[1]),
        "name": name,
        "opacity": opacity,
        "line": {"color": colour, "dash": dash, "width": width},
    }


def _filled(xy, colour: str, name: str, opacity: float) -> dict:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": _plain(xy[0]),
        "y": _plain(xy[1]),
        "name": name,
        "fill": "toself",
        "fillcolor": _faint(colour, opacity),
        "line": {"width": 0, "simplify": False},
        "hoverinfo": "skip",
    }


def _arrow(angle: float, colour: str, name: str) -> dict:
    trace = _line(([0, np.sin(angle)], [0, np.cos(angle)]), colour, name, width=2.6)
    marker = {"symbol": ["circle", "arrow"], "size": [4, 15], "angleref": "previous", "color": colour}
    return {**trace, "mode": "lines+markers", "marker": marker}


def _rose(panel: Geometry) -> tuple[list, list]:
    """Sectors whose area is the share of points in them, in all four quadrants."""
    xs, ys = [], []
    radius = np.sqrt(panel.mass / panel.mass.max())
    for low, high, r in zip(panel.edges[:-1], panel.edges[1:], radius, strict=True):
        turn = np.linspace(low, high, 5)
        for sign, flip in ((1, 0), (-1, 0), (1, np.pi), (-1, np.pi)):
            a = flip + sign * turn
            xs += [0, *(r * np.sin(a)), 0, None]
            ys += [0, *(r * np.cos(a)), 0, None]
    return xs, ys


def _wedges(alpha: float, radius: float) -> tuple[list, list]:
    """The two sectors between the boundaries of teacher and student, alpha apart."""
    xs, ys = [], []
    for start in (RIGHT, -RIGHT):
        turn = start + np.linspace(0.0, alpha, 40)
        xs += [0, *(radius * np.sin(turn)), 0, None]
        ys += [0, *(radius * np.cos(turn)), 0, None]
    return xs, ys


def _through(angle: float, radius: float) -> tuple[np.ndarray, np.ndarray]:
    ends = np.array([-radius, radius])
    return ends * np.sin(angle), ends * np.cos(angle)


def _arc(ends: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    turn = np.linspace(ends[0], ends[1], 40)
    return radius * np.sin(turn), radius * np.cos(turn)


def _faint(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def _plain(values) -> list:
    """JSON has no NaN: a value that is not finite is a gap."""
    return [None if v is None or not np.isfinite(v) else float(v) for v in values]
