"""The page of ``limbeck reproduce``, from the manifest, findings, tables, figures and records it saved."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.records import read_json, read_records, write_whole
from limbeck.report._template import as_image, fill
from limbeck.report.page import MOST_ROWS

GOOD = ("agrees", "holds", "refuted", "loose", "outside")


@dataclass(frozen=True)
class _Section:
    name: str
    findings: list[Mapping[str, Any]]
    image: str | None
    table: list[list[str]]
    left_out: int


def render(directory: Path) -> Path:
    """Write ``report.html`` from the manifest, findings, tables, figures and records of a folder.

    Parameters
    ----------
    directory : Path
        Where ``limbeck reproduce`` wrote.

    Returns
    -------
    Path
        Of the page: no network, no script, figures inside.

    Raises
    ------
    UserError
        If a file is damaged.
    """
    manifest = read_json(directory / "manifest.json")
    findings = read_json(directory / "findings.json")
    says = {
        r.cell.parameters["name"]: r.detail["says"]
        for r in read_records(directory / "records.jsonl")
        if r.cell.experiment == "theorems"
    }
    theorems = _rows(directory / "theorems.csv")
    page = fill(
        "reproduced.html.jinja",
        good=GOOD,
        manifest=manifest,
        settings=manifest["settings"],
        experiments=manifest["experiments"],
        run=manifest.get("run"),
        sections=[_section(directory, name, found) for name, found in findings.items() if name != "theorems"],
        theorem_findings=findings.get("theorems", []),
        statements=[_statement(row, says) for row in theorems[1:] if row[1] == "statement"],
        errata=[_statement(row, says) for row in theorems[1:] if row[1] == "erratum"],
        verdicts=[finding for found in findings.values() for finding in found],
    )
    path = directory / "report.html"
    write_whole(path, page)
    return path


def _rows(path: Path) -> list[list[str]]:
    if not path.exists():
        return [[]]
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def _section(directory: Path, name: str, findings: list[Mapping[str, Any]]) -> _Section:
    figure, table = directory / f"{name}.svg", _rows(directory / f"{name}.csv")
    image = None
    if figure.exists():
        image = as_image(figure.read_bytes())
    return _Section(
        name, findings, image, [_short(row) for row in table[: MOST_ROWS + 1]], len(table) - 1 - MOST_ROWS
    )


def _short(row: list[str]) -> list[str]:
    """Six significant digits for reading; the CSV keeps them all."""
    return [_digits(value) for value in row]


def _digits(text: str) -> str:
    try:
        return f"{float(text):.6g}"
    except ValueError:
        return text


def _statement(row: list[str], says: Mapping[str, str]) -> dict[str, str]:
    name, _, severity, cases, violation, verdict = row
    return {
        "name": name,
        "says": says.get(name, ""),
        "severity": severity,
        "cases": cases,
        "violation": f"{float(violation):.2g}",
        "verdict": verdict,
    }
