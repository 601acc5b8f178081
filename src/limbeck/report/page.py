"""What the commands that answer one question print: a title, sections of words, figures and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from limbeck.records import write_whole
from limbeck.report._template import as_image, fill

MOST_ROWS = 200


@dataclass(frozen=True)
class Figure:
    """A picture with its caption."""

    svg: bytes = field(repr=False)
    """The picture."""
    caption: str
    """What is drawn, sizes, what error bars cover; also read to those who cannot see it."""


@dataclass(frozen=True)
class Grid:
    """Rows under named columns."""

    columns: Sequence[str]
    """Names of the columns."""
    rows: Sequence[Sequence[str]]
    """Cells, as they are to be read; more than 200 rows are cut, and the cut is said."""
    caption: str = ""
    """What the rows are."""
    folded: bool = False
    """Whether the table is shown only when asked for."""

    @property
    def shown(self) -> Sequence[Sequence[str]]:
        """Rows on the page."""
        return self.rows[:MOST_ROWS]

    @property
    def left_out(self) -> int:
        """Rows cut."""
        return max(0, len(self.rows) - MOST_ROWS)


@dataclass(frozen=True)
class Facts:
    """Names and values, one a line: how something was run, or the numbers at a glance."""

    values: Mapping[str, str]
    """What each line says."""


@dataclass(frozen=True)
class Section:
    """One question and its answer."""

    title: str
    """The heading."""
    answer: str = ""
    """A word or two set apart: the verdict."""
    good: bool = True
    """Whether the verdict is what one hopes for; others are set in reverse."""
    text: Sequence[str] = ()
    """Paragraphs."""
    parts: Sequence[Figure | Grid | Facts] = ()
    """Figures, tables and facts, in order."""


@dataclass(frozen=True)
class Page:
    """A report."""

    title: str
    """The heading."""
    subtitle: str
    """What was asked, in a line."""
    sections: Sequence[Section]
    """In order; those with an answer are listed at the top."""
    footer: str
    """Assumptions that hold throughout, and where the files are."""


def write(page: Page, path: Path) -> Path:
    """Write a page whole or not at all; return where."""
    sections = [
        {
            "id": f"section-{number}",
            "section": section,
            "parts": [(type(part).__name__, part, _image(part)) for part in section.parts],
        }
        for number, section in enumerate(page.sections, start=1)
    ]
    write_whole(path, fill("page.html.jinja", page=page, sections=sections))
    return path


def _image(part: Figure | Grid | Facts) -> str:
    return as_image(part.svg) if isinstance(part, Figure) else ""
