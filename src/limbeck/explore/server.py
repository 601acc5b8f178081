"""Who may ask: this machine only, under its own name, with the token; and headers that load nothing from elsewhere."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import secrets
import socket
from collections.abc import Callable
from dataclasses import asdict

from dash.exceptions import DependencyException
from flask import Flask, Response, redirect, request
from werkzeug.serving import WSGIRequestHandler, make_server

from limbeck.explore import page
from limbeck.explore.panels import SYMMETRIC, Columns, compute
from limbeck.explore.view import View, from_query
from limbeck.explore.words import TITLES
from limbeck.records import UserError

HOST = "127.0.0.1"
REFUSED = (
    "This page is for whoever started it: open the address that limbeck explore printed, with its token."
)

LARGEST_UPDATE = 2**20
"""Bytes; the page's own updates take a few thousand."""
SECONDS_IDLE = 30.0
"""After which a connection that sends or takes nothing is closed."""


def application(token: str, port: int) -> Flask:
    """The page behind its guard.

    Parameters
    ----------
    token : str
        Secret of this run: read once from the address, then kept in a cookie. Browsers send a cookie to every port
        of a host, but only under its path. The page therefore has a path that no other server knows.
    port : int
        Where it is served: requests under any other host are refused, so that no name on the network can be
        pointed at this machine (DNS rebinding).
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_UPDATE
    root = f"/{hashlib.sha256(token.encode()).hexdigest()[:32]}/"
    own = {f"{HOST}:{port}", f"localhost:{port}"}
    cookie = f"limbeck-{port}"

    def known(given: str | None) -> bool:
        return given is not None and secrets.compare_digest(given.encode(), token.encode())

    @app.before_request
    def guard() -> Response | None:
        origin = request.headers.get("Origin")
        if request.host not in own or (origin is not None and origin.removeprefix("http://") not in own):
            return Response(REFUSED, 403, mimetype="text/plain")
        if request.path == "/" and known(request.args.get("token")):
            query = request.query_string.decode("ascii", "replace")
            kept = "&".join(part for part in query.split("&") if part[:6] != "token=")
            answer = redirect(root + (f"?{kept}" if kept else ""), 303)
            answer.set_cookie(cookie, token, path=root, httponly=True, samesite="Strict")
            return answer  # pyright: ignore[reportReturnType]
        if not request.path.startswith(root) or not known(request.cookies.get(cookie)):
            return Response(REFUSED, 403, mimetype="text/plain")
        if request.path == f"{root}_dash-update-component" and not page.accepts(dash, request.get_data()):
            return Response("This is no request of the page.", 400, mimetype="text/plain")
        return None

    dash = page.attach(app, root)
    policy = (
        f"default-src 'none'; script-src 'self' {' '.join(dash.csp_hashes())}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )

    @app.after_request
    def harden(answer: Response) -> Response:
        answer.headers["Content-Security-Policy"] = policy
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["Referrer-Policy"] = "no-referrer"
        answer.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        if not request.path.startswith(f"{root}_dash-component-suites/"):
            answer.headers["Cache-Control"] = "no-store"
        return answer

    @app.errorhandler(DependencyException)
    def missing(error: DependencyException) -> Response:
        return Response("There is no such script.", 404, mimetype="text/plain")

    @app.get(f"{root}data/<panel>.<kind>")
    def data(panel: str, kind: str) -> Response:
        reading = from_query(request.query_string.decode("ascii", "replace"))
        if reading.problems:
            return Response("\n".join(reading.problems.values()), 400, mimetype="text/plain")
        if panel not in TITLES or kind not in WRITERS:
            return Response("There is no such panel or format.", 404, mimetype="text/plain")
        text = WRITERS[kind](panel, reading.view, compute(reading.view).columns(panel))
        named = {"Content-Disposition": f'attachment; filename="limbeck-{panel}.{kind}"'}
        return Response(text, mimetype=f"text/{kind}" if kind == "csv" else "application/json", headers=named)

    return app


def _csv(panel: str, view: View, columns: Columns) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns.names, *columns.rows])
    return text.getvalue()


def _json(panel: str, view: View, columns: Columns) -> str:
    fields = {
        "panel": panel,
        "view": asdict(view),
        "command": page.command(view),
        "assumes": SYMMETRIC,
        "columns": columns.names,
        "rows": columns.rows,
    }
    return json.dumps(fields, allow_nan=False, ensure_ascii=False)


WRITERS: dict[str, Callable[[str, View, Columns], str]] = {"csv": _csv, "json": _json}


class _Quiet(WSGIRequestHandler):
    """A request handler that logs no requests and closes idle connections."""

    timeout = SECONDS_IDLE

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def serve(query: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until interrupted.

    Parameters
    ----------
    query : str
        The view to begin with, as `View.to_query` writes it.
    port : int
        0 for a free one, chosen by the system.
    ready : callable
        Called with the address, token included, once it can be opened.

    Raises
    ------
    UserError
        If the port cannot be had.
    """
    token = secrets.token_urlsafe(24)
    try:
        listener = socket.create_server((HOST, port))
    except OSError as error:
        raise UserError(
            f"Port {port} cannot be used: {error.strerror}. Choose another, or leave --port away for a free one."
        ) from error
    with listener:
        port = listener.getsockname()[1]
        server = make_server(
            HOST,
            port,
            application(token, port),
            threaded=True,
            request_handler=_Quiet,
            fd=listener.fileno(),
        )
        ready(f"http://{HOST}:{port}/?{query.removeprefix('?')}&token={token}")
        server.serve_forever()
