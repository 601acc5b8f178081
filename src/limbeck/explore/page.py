"""The page: fields, sliders, four panels and a table, in Dash. All it shows comes from `panels` and `words`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update
from flask import Flask

from limbeck.explore import figures, words
from limbeck.explore.panels import SYMMETRIC, compute
from limbeck.explore.view import LAWS, PARAMETERS, View, from_query, read

NAMES = tuple(PARAMETERS)
PANELS = tuple(words.TITLES)
KINDS = ("csv", "json")
ONLY = {"kappa": "polynomial", "margin": "margin"}
INDEX = """<!DOCTYPE html>
<html lang="en">
<head>{%metas%}<title>{%title%}</title>{%favicon%}{%css%}</head>
<body>{%app_entry%}<noscript>This page needs JavaScript; all of it comes from this machine.</noscript>
<footer>{%config%}{%scripts%}{%renderer%}</footer></body>
</html>"""


def command(view: View) -> str:
    """Command that opens the view on another machine."""
    return f"limbeck explore --view {shlex.quote(view.to_query())}"


def attach(server: Flask, root: str) -> Dash:
    """Put the page on a Flask server, under the path ``root``; everything is served from this machine."""
    app = Dash(
        "limbeck.explore",
        server=server,  # pyright: ignore[reportArgumentType]
        url_base_pathname=root,
        assets_folder=str(Path(__file__).with_name("assets")),
        title="limbeck explore",
        update_title="",
        index_string=INDEX,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
        compress=False,
        serve_locally=True,
        add_log_handler=False,
    )
    app.layout = _layout
    app.callback(
        output=[
            Output("law", "value"),
            *(Output(name, "value") for name in NAMES),
            *(Output(f"{name}-slider", "value") for name in NAMES),
            *(Output(f"{name}-message", "children") for name in NAMES),
            *(Output(f"{name}-control", "className") for name in NAMES),
            Output("notice", "children"),
            *(Output(f"{panel}-figure", "figure") for panel in PANELS),
            *(Output(f"{panel}-sentence", "children") for panel in PANELS),
            *(Output(f"{panel}-{kind}", "href") for panel in PANELS for kind in KINDS),
            Output("numbers", "children"),
            Output("took", "children"),
            Output("share", "value"),
            Output("view", "data"),
        ],
        inputs={
            "search": Input("here", "search"),
            "law": Input("law", "value"),
            "fields": [Input(name, "value") for name in NAMES],
            "sliders": [Input(f"{name}-slider", "value") for name in NAMES],
            "query": State("view", "data"),
        },
    )(_update)
    app.callback(
        output=Output("exactly", "children"),
        inputs={"asked": Input("exact", "n_clicks"), "query": Input("view", "data")},
    )(_exactly)
    app.clientside_callback(
        ClientsideFunction("limbeck", "settle"),
        Output("settled", "data"),
        Input("view", "data"),
        *(Input(f"{name}-message", "children") for name in NAMES),
    )
    return app


def accepts(app: Dash, body: bytes) -> bool:
    """Return whether the body of an update holds the fields that the page sends, with possible values."""
    try:
        given = json.loads(body)
        callback = app.callback_map[given["output"]]
        sent = given["inputs"] + given.get("state", [])
        outputs, expected = given["outputs"], callback["output"]
        if isinstance(expected, Sequence):
            same = _names(outputs) == [(o.component_id, o.component_property) for o in expected]
        else:
            same = _names([outputs]) == [(expected.component_id, expected.component_property)]
        return (
            same
            and "callback" in callback  # others are run by the browser
            and _names(sent) == _names([*callback["inputs"], *callback["state"]])
            and isinstance(given["changedPropIds"], list)
            and all(isinstance(name, str) for name in given["changedPropIds"])
            and all(_possible(field["id"], field.get("value")) for field in sent)
        )
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError):
        return False


def _names(fields: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [(field["id"], field["property"]) for field in fields]


def _possible(name: str, value: Any) -> bool:
    """Whether a field can hold the value: plain text or a number, of a slider one of its stops."""
    if name.endswith("-slider"):
        return 0 <= int(value) < len(PARAMETERS[name.removesuffix("-slider")].stops)
    if isinstance(value, str):
        value.encode()  # ValueError for half a character
    return value is None or isinstance(value, str if name in ("law", "here", "view") else str | int | float)


def _update(
    search: str | None, law: str, fields: Sequence[Any], sliders: Sequence[Any], query: str | None
) -> list:
    """One round: what the fields say, and where it makes sense, everything the view shows."""
    moved = {key.split(".")[0] for key in ctx.triggered_prop_ids}
    first = query is None or "here" in moved
    if first:
        reading, before = from_query(search or ""), None
    else:
        texts = dict(zip(NAMES, ("" if text is None else str(text) for text in fields), strict=True))
        for name, stop in zip(NAMES, sliders, strict=True):
            if f"{name}-slider" in moved:
                parameter = PARAMETERS[name]
                texts[name] = parameter.written(parameter.stops[int(stop)])
        before = from_query(str(query)).view
        reading = read(law, texts, before)
    view = reading.view
    controls = [
        reading.view.law if first else no_update,
        *(
            reading.texts.get(name, no_update) if first or f"{name}-slider" in moved else no_update
            for name in NAMES
        ),
        *(
            PARAMETERS[name].stop_near(getattr(view, name))
            if f"{name}-slider" not in moved and name not in reading.problems
            else no_update
            for name in NAMES
        ),
        *(reading.problems.get(name, "") for name in NAMES),
        *(
            "control idle"
            if ONLY.get(name, view.law) != view.law and name not in reading.problems
            else "control"
            for name in NAMES
        ),
        " ".join(message for name, message in reading.problems.items() if name not in NAMES),
    ]
    if view == before:  # nothing new to show: the last good view remains
        return controls + [no_update] * (len(PANELS) * (2 + len(KINDS)) + 4)
    return controls + _shown(view)


def _exactly(asked: int | None, query: str | None) -> str:
    """What was asked for; gone when the view moves on."""
    return words.exactly(from_query(str(query)).view) if ctx.triggered_id == "exact" and asked else ""


def _shown(view: View) -> list:
    began = perf_counter()
    panels, query = compute(view), view.to_query()
    drawn = figures.draw(view, panels)
    took = perf_counter() - began
    return [
        *(drawn[panel] for panel in PANELS),
        *(words.sentence(panel, view, panels) for panel in PANELS),
        *(f"data/{panel}.{kind}{query}" for panel in PANELS for kind in KINDS),
        [
            html.Tr([html.Th(what, scope="row"), html.Td(value), html.Td(how)])
            for what, value, how in words.numbers(view, panels)
        ],
        f"Computed in {1000 * took:.0f} ms.",
        command(view),
        query,
    ]


# -- what stands on the page ------------------------------------------------------------------------


def _layout() -> html.Div:
    return html.Div(
        [
            dcc.Location(id="here", refresh=False),
            dcc.Store(id="view"),
            dcc.Store(id="settled"),
            html.Header(
                [
                    html.H1("limbeck explore"),
                    html.P(
                        "What a linear student learns from a linear teacher's soft labels. Move a number: geometry, "
                        "bounds, exact risk and the deep student's path follow. All of it is computed on this machine."
                    ),
                ]
            ),
            html.Div(
                [
                    html.Aside(_controls(), **_attributes(aria_label="Parameters")),
                    html.Main([*(_panel(panel) for panel in PANELS), _numbers()]),
                ],
                className="columns",
            ),
        ],
        className="page",
    )


def _controls() -> list:
    law = html.Fieldset(
        [
            html.Legend("Law of the angle between points and teacher"),
            dcc.RadioItems(id="law", options=LAWS, value="polynomial"),
        ]
    )
    return [
        html.P(id="notice", className="message", role="alert"),
        law,
        *(_control(name) for name in NAMES),
        html.Div(
            [
                html.Label("To share this view, send the command that opens it", htmlFor="share"),
                dcc.Input(id="share", type="text", readOnly=True),
                html.Div(
                    [
                        html.Button("Copy", id="copy", type="button"),
                        html.A("Start again", href=".", id="reset", className="button"),
                    ],
                    className="buttons",
                ),
            ],
            className="share",
        ),
    ]


def _control(name: str) -> html.Div:
    p = PARAMETERS[name]
    default = getattr(View(), name)
    return html.Div(
        [
            html.Label(
                [html.B(p.symbol + " ") if p.symbol else "", p.label],
                htmlFor=name,
                id=f"{name}-label",
            ),
            dcc.Input(
                id=name,
                type="text",
                inputMode="numeric",
                debounce=0.25,
                value=p.written(default),
            ),
            dcc.Input(
                id=f"{name}-slider",
                type="range",
                min=0,
                max=len(p.stops) - 1,
                step=1,
                value=p.stop_near(default),
            ),
            html.P([p.meaning, html.Span(f" Range: {p.allowed}.", className="range")], id=f"{name}-meaning"),
            html.P(id=f"{name}-message", className="message", role="alert"),
        ],
        id=f"{name}-control",
        className="control",
    )


def _panel(panel: str) -> html.Section:
    title = words.TITLES[panel]
    return html.Section(
        [
            html.H2(title, id=f"{panel}-title"),
            html.Div(
                dcc.Graph(
                    id=f"{panel}-figure",
                    config={"displayModeBar": False, "responsive": True, "scrollZoom": False},
                ),
                className="figure",
                role="img",
                **_attributes(aria_labelledby=f"{panel}-title", aria_describedby=f"{panel}-sentence"),
            ),
            html.P(id=f"{panel}-sentence", className="sentence"),
            html.Div(
                [
                    *(
                        html.A(
                            kind.upper(),
                            id=f"{panel}-{kind}",
                            download=f"limbeck-{panel}.{kind}",
                            className="button",
                        )
                        for kind in KINDS
                    ),
                    *(
                        html.Button(
                            kind.upper(),
                            type="button",
                            className="save",
                            **_attributes(
                                data_panel=panel,
                                data_kind=kind,
                                aria_label=f"{title}: save as {kind.upper()}",
                            ),
                        )
                        for kind in ("svg", "png")
                    ),
                ],
                className="buttons",
            ),
        ],
        className="panel",
    )


def _numbers() -> html.Section:
    return html.Section(
        [
            html.H2("Numbers at the chosen n"),
            html.Table(html.Tbody(id="numbers")),
            html.Div(
                [
                    html.Button("Expected risk without sampling", id="exact", type="button"),
                    html.Span(id="exactly", role="status"),
                ],
                className="buttons",
            ),
            html.P([SYMMETRIC, " ", html.Span(id="took")], className="sentence"),
        ],
        className="panel wide",
    )


def _attributes(**given: str) -> dict[str, Any]:
    """HTML attributes with a hyphen in their names."""
    return {name.replace("_", "-"): value for name, value in given.items()}
