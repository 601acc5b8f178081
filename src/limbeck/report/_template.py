"""The one Jinja environment: everything is escaped, a missing value is an error."""

from __future__ import annotations

import base64
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def fill(template: str, **values: Any) -> str:
    """Fill a template of this package."""
    environment = Environment(
        loader=PackageLoader("limbeck.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def as_image(svg: bytes) -> str:
    """Data URI of an SVG for ``<img>``: not inline, where it could run or load something."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")
