"""A view: one value for every parameter, to and from the query string that shares it."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from urllib.parse import parse_qs, urlencode

LAWS = {"polynomial": "polynomial: p(θ) = (1 − 2θ/π)^κ", "margin": "margin: p(θ) = max(0, 1 − θ/β)"}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
MANTISSAS = (1, 1.1, 1.25, 1.4, 1.6, 1.8, 2, 2.25, 2.5, 2.8, 3.2, 3.6, 4, 4.5, 5, 5.6, 6.3, 7, 8, 9)
LONGEST_QUERY = 2000


class WrongValueError(ValueError):
    """What came and what is allowed."""


@dataclass(frozen=True)
class Parameter:
    """A number that can be moved: what it is called, what it may be, and where its slider stops."""

    name: str
    """Field of `View` and key of the query string."""
    symbol: str
    """The paper's."""
    label: str
    """In words."""
    unit: str
    """Of the number; empty for a pure number."""
    meaning: str
    """One line."""
    low: float
    """Least value allowed."""
    high: float
    """Largest value allowed."""
    step: float = 0.0
    """Between the slider's stops; 0 for stops by ratio."""
    whole: bool = False
    """Whether only whole numbers are allowed."""
    stops: tuple[float, ...] = field(init=False, repr=False)
    """Values the slider takes, increasing; a field takes any value in the range."""

    def __post_init__(self) -> None:
        if self.step:
            count = round((self.high - self.low) / self.step)
            values = {round(self.low + i * self.step, 9) for i in range(count + 1)}
        else:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            values = {float(f"{m}e{k}") for k in decades for m in MANTISSAS} | {self.low, self.high}
        if self.whole:
            values = {round(v) for v in values}
        inside = sorted(v for v in values if self.low <= v <= self.high)
        object.__setattr__(self, "stops", tuple(inside))

    @property
    def allowed(self) -> str:
        """The range, as said beside the field."""
        whole, unit = "whole, " if self.whole else "", f" {self.unit}" if self.unit else ""
        low, high = (f"{end:g}".replace("e+0", "e").replace("e-0", "e-") for end in (self.low, self.high))
        return f"{whole}{low} to {high}{unit}"

    def read(self, text: str) -> float:
        """Number written in ``text``; `WrongValueError` says what came and what is allowed."""
        text = text.strip()
        shown = repr(text if len(text) <= 24 else text[:24] + "…")
        if not text:
            raise WrongValueError(f"Nothing is written here: a number is needed ({self.allowed}).")
        if not NUMBER.fullmatch(text):
            hint = " Write the decimals after a point." if re.fullmatch(r"[+-]?\d+,\d+", text) else ""
            raise WrongValueError(f"{shown} is not a number: {self.allowed}.{hint}")
        value = float(text)
        if not self.low <= value <= self.high:
            raise WrongValueError(
                f"{shown} is too {'small' if value < self.low else 'large'}: {self.allowed} is allowed."
            )
        if self.whole and value != round(value):
            raise WrongValueError(f"{shown} is not a whole number: {self.allowed}.")
        return round(value) if self.whole else value

    def written(self, value: float) -> str:
        """Shortest text that reads back as the value."""
        return repr(value).removesuffix(".0")

    def stop_near(self, value: float) -> int:
        """Index of the slider's stop nearest to the value."""
        i = bisect_left(self.stops, value)
        near = [j for j in (i - 1, i) if 0 <= j < len(self.stops)]
        return min(near, key=lambda j: abs(self.stops[j] - value))


PARAMETERS: Mapping[str, Parameter] = {
    p.name: p
    for p in (
        Parameter(
            "kappa",
            "κ",
            "angular alignment",
            "",
            "Larger: the points lie closer to the teacher's axis (5.1).",
            0.1,
            10.0,
        ),
        Parameter(
            "margin",
            "π/2 − β",
            "angular margin",
            "°",
            "No point lies closer to the teacher's boundary (Corollary 1).",
            0.0,
            85.0,
            step=1.0,
        ),
        Parameter("d", "d", "dimension", "", "Features of a point.", 2, 10**9, whole=True),
        Parameter("n", "n", "labels", "", "Points the teacher has answered.", 1, 1000, whole=True),
        Parameter(
            "delta",
            "δ",
            "bias removed",
            "",
            "Part of w_δ outside the data span, over ‖ŵ‖; 0 is distillation (5.2).",
            0.0,
            4.0,
            step=0.05,
        ),
        Parameter(
            "depth", "N", "depth", "layers", "Layers of the deep linear student.", 1, 10, step=1, whole=True
        ),
        Parameter(
            "start",
            "‖w(0)‖",
            "start",
            "",
            "Norm of the product of the layers before training.",
            1e-6,
            10.0,
        ),
        Parameter(
            "teacher_norm",
            "‖w*‖",
            "teacher norm",
            "",
            "Length of the teacher's weights: how sure its answers are.",
            0.01,
            100.0,
        ),
        Parameter(
            "seed",
            "",
            "seed",
            "",
            "Of the sampled transfer sets and of the direction of w(0).",
            0,
            999,
            step=1,
            whole=True,
        ),
    )
}


@dataclass(frozen=True)
class View:
    """The state of the page."""

    law: str = "polynomial"
    """Which tail p(theta): a key of `LAWS`."""
    kappa: float = 1.0
    """Degree of the polynomial tail."""
    margin: float = 15.0
    """Angular margin pi/2 - beta of the margin tail, degrees."""
    d: int = 1000
    """Dimension."""
    n: int = 20
    """Number of labels."""
    delta: float = 0.5
    """Size of the part of w_delta outside the span."""
    depth: int = 3
    """Number of layers N."""
    start: float = 0.1
    """|w(0)|."""
    teacher_norm: float = 1.0
    """|w_star|."""
    seed: int = 0
    """Seed of everything sampled."""

    def to_query(self) -> str:
        """Query string, with its question mark, that reads back as this view."""
        return "?" + urlencode({"law": self.law} | self.texts())

    def texts(self) -> dict[str, str]:
        """Every number as written in its field."""
        return {name: p.written(getattr(self, name)) for name, p in PARAMETERS.items()}


@dataclass(frozen=True)
class Reading:
    """What was made of texts: the view, and what is wrong with them."""

    view: View
    """Wrong and missing values are those of the view before."""
    problems: Mapping[str, str]
    """A message for each wrong value."""
    texts: Mapping[str, str]
    """What every field holds, wrong values included."""


def read(law: str | None, texts: Mapping[str, str], before: View) -> Reading:
    """View from what the fields hold; where a value is wrong, the one before stays."""
    values = {f.name: getattr(before, f.name) for f in fields(View)}
    problems = {}
    if law in LAWS:
        values["law"] = law
    elif law is not None:
        problems["law"] = f"{law[:24]!r} is no law of the angle: {' or '.join(LAWS)}."
    for name, text in texts.items():
        try:
            values[name] = PARAMETERS[name].read(text)
        except WrongValueError as wrong:
            problems[name] = str(wrong)
    view = View(**values)
    return Reading(
        view, problems, {**view.texts(), **{name: texts[name] for name in problems if name in texts}}
    )


def from_query(query: str) -> Reading:
    """View from a query string; what is missing has its default."""
    if len(query) > LONGEST_QUERY:
        return Reading(
            View(),
            {"query": f"The query string is longer than {LONGEST_QUERY} characters."},
            View().texts(),
        )
    given = parse_qs(query.removeprefix("?"), keep_blank_values=True)
    known = {name: texts[-1] for name, texts in given.items() if name in PARAMETERS}
    reading = read(given.get("law", [None])[-1], known, View())
    problems = dict(reading.problems)
    for name, texts in given.items():
        if name not in PARAMETERS and name != "law":
            problems[name] = f"There is no parameter {name[:24]!r}: law, {', '.join(PARAMETERS)}."
        elif len(texts) > 1:
            problems[name] = f"{name} is given {len(texts)} times; the last one is shown."
    return Reading(reading.view, problems, reading.texts)
