import base64
import re
import shutil
import subprocess
import tempfile
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from fakes import FAKES
from limbeck.displays import rendered
from limbeck.displays.study import learning_curves
from limbeck.experiments import EXPERIMENTS
from limbeck.experiments.run import Request, run
from limbeck.records import UserError
from limbeck.report import Facts, Figure, Grid, Page, Section, render, write

ARRAY = np.array([0.1, 0.2])


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    run(EXPERIMENTS, Request(["figure-1", "figure-2", "theorems"], out, quick=True))
    return out


def test_the_page_is_self_contained_and_well_formed(out):
    page = render(out).read_text(encoding="utf-8")
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)", page)
    assert "Content-Security-Policy" in page

    class Balance(HTMLParser):
        stack: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "img"):
                self.stack.append(tag)

        def handle_endtag(self, tag):
            assert self.stack.pop() == tag

    parser = Balance()
    parser.feed(page)
    assert parser.stack == []


def test_rendering_is_a_pure_function_of_what_was_saved(out, tmp_path):
    first = render(out).read_bytes()
    copy = tmp_path / "elsewhere"
    shutil.copytree(out, copy)
    assert render(copy).read_bytes() == first


def test_claims_verdicts_figures_statements_and_errata_are_there(out):
    page = render(out).read_text(encoding="utf-8")
    for expected in (
        "Figure 1",
        "The paper",
        "Measured",
        "Corollary 2, c &gt; 1",
        "Lemma D.1",
        "How it was run",
    ):
        assert expected in page
    assert page.count("data:image/svg+xml") == 2


def test_missing_parts_name_the_command_that_makes_them(tmp_path):
    run(FAKES, Request(["noise"], tmp_path))
    assert "limbeck reproduce theorems" in render(tmp_path).read_text()


def test_text_is_escaped_and_damage_named(tmp_path):
    run(FAKES, Request(["noise"], tmp_path))
    page = render(tmp_path).read_text()
    assert "Noise &lt;script&gt;" in page
    assert "Noise <script>" not in page
    (tmp_path / "findings.json").write_text("{")
    with pytest.raises(UserError, match=r"findings\.json is damaged"):
        render(tmp_path)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page of a command that answers one question: a wide figure, long words, a wide table, markup."""
    drawing = learning_curves({"<b>soft</b>": SimpleNamespace(n=ARRAY, risk=ARRAY, low=ARRAY, high=ARRAY)})
    grid = Grid(["column " * 3] * 9, [["value"] * 9] * 300, "Many <i>rows</i>")
    sections = [
        Section(
            "A question & its answer",
            "no",
            False,
            ["word" * 90],
            [Figure(rendered(drawing), "A <b>curve</b>")],
        ),
        Section("Numbers", parts=[grid, Facts({"seed": "0", "path": "x" * 200})]),
    ]
    return write(
        Page("Title <script>", "sub", sections, "foot"), tmp_path_factory.mktemp("page") / "page.html"
    )


def test_a_page_of_sections_is_escaped_cut_where_said_and_self_contained(page):
    text = page.read_text(encoding="utf-8")
    assert "Title &lt;script&gt;" in text
    assert not re.findall(r"<(?:script|b|i)>", text)
    assert "100 more rows are not shown" in text
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)", text)
    assert 'pill no">no' in text


# -- in a real browser ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium(chromium_path):
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --virtual-time-budget=5000"
    )

    def dump(page, width):
        with tempfile.TemporaryDirectory() as profile:
            command = [
                chromium_path,
                *flags.split(),
                f"--user-data-dir={profile}",
                f"--window-size={width},900",
            ]
            done = subprocess.run(
                [*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120
            )
        return done.stdout

    return dump


def measured(page, tmp_path, chromium, width):
    """What a frame of this width sees: the page in an iframe, measured by a script outside it."""
    text = page.read_text(encoding="utf-8")
    relaxed = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    wrapper = tmp_path / f"wrapper-{width}.html"
    frame = base64.b64encode(relaxed.encode()).decode()
    wrapper.write_text(
        f"""<!doctype html><iframe id=f style="width:{width}px;height:900px;border:0"></iframe><pre id=o></pre>
        <script>
        const f = document.getElementById('f');
        f.srcdoc = new TextDecoder().decode(Uint8Array.from(atob('{frame}'), c => c.charCodeAt(0)));
        f.onload = () => {{ const d = f.contentDocument; document.getElementById('o').textContent =
          [...d.images].every(i => i.naturalWidth > 0) + ' ' + d.images.length + ' ' +
          (d.documentElement.scrollWidth <= {width}); }};
        </script>"""
    )
    return re.search(r'<pre id="o">([^<]*)</pre>', chromium(wrapper, 1300))[1]


@pytest.mark.browser
@pytest.mark.parametrize("width", [400, 1280])
def test_a_browser_shows_every_figure_and_nothing_overflows(out, tmp_path, chromium, width):
    assert measured(render(out), tmp_path, chromium, width) == "true 2 true"


@pytest.mark.browser
def test_a_page_of_sections_fits_a_phone(page, tmp_path, chromium):
    assert measured(page, tmp_path, chromium, 400) == "true 1 true"


@pytest.mark.browser
def test_an_injected_script_does_not_run(out, tmp_path, chromium):
    page = render(out).read_text(encoding="utf-8")
    script = "document.title = 'owned'"
    attack = page.replace("<main>", f'<main><script>{script}</script><img src="x" onerror="{script}">')
    assert attack != page
    (tmp_path / "attack.html").write_text(attack, encoding="utf-8")
    seen = chromium(tmp_path / "attack.html", 1280)
    assert "<title>Towards Understanding" in seen
    unguarded = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", attack)
    (tmp_path / "unguarded.html").write_text(unguarded, encoding="utf-8")
    assert "<title>owned" in chromium(tmp_path / "unguarded.html", 1280)  # the test can fail
