"""``limbeck explore``: a local page where one moves the paper's parameters."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer
from rich.text import Text

from limbeck.cli._console import fail, results
from limbeck.records import UserError

EPILOG = """Examples:

\b
  limbeck explore
\b
  limbeck explore --view '?kappa=0.5&d=100&n=40' --no-browser
      (the page shows this command for what it shows)

It listens on 127.0.0.1 only, asks for the token in the address it prints, and loads nothing from the network. Needs
'limbeck[explore]'."""


def explore(
    view: Annotated[
        str,
        typer.Option(
            metavar="QUERY",
            help="What to show first: a page's address, or what follows its question mark; the rest has its default.",
            show_default=False,
        ),
    ] = "",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on.", show_default="a free one")
    ] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the default browser.")] = True,
) -> None:
    """Move kappa, margin, d, n, depth, start, delta and teacher norm, and see what the theory says, at once."""
    if find_spec("dash") is None:
        raise UserError("The page is made with Dash, which is not installed: pip install 'limbeck[explore]'.")
    from limbeck.explore.view import from_query

    reading = from_query(view.rpartition("?")[2])
    if reading.problems:
        raise UserError("--view: " + " ".join(f"{name}: {said}" for name, said in reading.problems.items()))
    from limbeck.explore.server import serve

    def ready(address: str) -> None:
        results().print(Text(f"{address}\nCtrl-C ends it."), soft_wrap=True)
        if browser:
            import webbrowser

            webbrowser.open(address)

    serve(reading.view.to_query(), port, ready)
    fail(
        "Interrupted: the page is closed. The address in the browser shows its view; --view opens it again.",
        130,
    )
