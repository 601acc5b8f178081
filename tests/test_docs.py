"""The site: it builds without a warning and without a network, its links resolve, and every page and example runs."""

import doctest
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import docs_page
import pytest

from limbeck import theory

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(DOCS.glob("*.md")),
    *sorted(DOCS.glob("guides/*.md")),
]
GUIDES = [page.name for page in PAGES if page.parent.name == "guides" and page.name != "index.md"]
GALLERY = sorted(DOCS.glob("gallery/*/plot_*.py"))


def test_the_site_is_built_in_one_go(tmp_path):
    """Without its galleries' pictures: those scripts run in tests of their own."""
    for part in ("docs", "examples"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("generated"))
    site = tmp_path / "html"
    options = ["-W", "--keep-going", "-q", "-D", "plot_gallery=0", "-d", tmp_path / "trees"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, tmp_path / "docs", site],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    nothing_is_loaded_from_elsewhere(site)
    every_recipe_is_two_clicks_from_the_start(site)
    for name in theory.__all__:
        assert (site / "generated" / "api" / f"limbeck.theory.{name}.html").exists(), (
            f"{name} is not in docs/api.rst"
        )


def nothing_is_loaded_from_elsewhere(site):
    pages = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    loaded = r'<(?:script|img|iframe|link)\b[^>]*(?:src|href)="(?:https?:)?//[^"]*"'
    assert not [found for text in pages.values() for found in re.findall(loaded, text)]
    assert (site / "_static" / "mathjax" / "tex-chtml.js").exists()
    assert (
        'src="../../_static/mathjax/tex-chtml.js"' in pages[site / "generated/paper/plot_01_theorem_1.html"]
    )


def every_recipe_is_two_clicks_from_the_start(site):
    def targets(page):
        links = re.findall(r'href="([^"#:]+\.html)', page.read_text(encoding="utf-8"))
        return {(page.parent / link).resolve() for link in links}

    near = targets(site / "index.html")
    near |= {target for page in near for target in targets(page)}
    recipes = [*site.glob("guides/*.html"), *site.glob("generated/paper/plot_*.html")]
    assert len(recipes) == 18
    assert near.issuperset(path.resolve() for path in recipes)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_between_files_resolve(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [
        link.split("#")[0]
        for link in re.findall(r"\]\(([^)\s]+)\)", text)
        if not re.match(r"https?:|#", link)
    ]
    for link in filter(None, links):
        path = (page.parent / link).resolve()
        made = path.relative_to(ROOT).as_posix().startswith("docs/generated/")
        # Pages of the galleries are made from scripts.
        source = ROOT / "docs" / "gallery" / path.parent.name / f"{path.stem}.py"
        assert (
            path.exists()
            or path.with_suffix(".md").exists()
            or (made and (source.exists() or path.stem == "index"))
        ), link


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_prints_what_it_says(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    check = doctest.OutputChecker()
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    shown = 0
    for said, wanted in docs_page.run(f"guides/{name}", monkeypatch, capsys):
        assert check.check_output(wanted, said, options), (
            f"{name} says\n{wanted}\nand this was printed\n{said}"
        )
        shown += 1
    assert shown


@pytest.mark.parametrize("page", ["index.md", "how-it-works.md"])
def test_code_on_a_page_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert docs_page.blocks(page)
    for said, wanted in docs_page.run(page, monkeypatch, capsys):
        assert said.split() == wanted.split()


@pytest.mark.parametrize("script", GALLERY, ids=lambda path: path.stem)
def test_a_picture_is_drawn(script):
    names = runpy.run_path(str(script))
    figures = [value for value in names.values() if type(value).__name__ == "Figure"]
    assert figures
    assert all(ax.has_data() for figure in figures for ax in figure.axes)
