import os
import re
import signal
import subprocess
import sys

import pytest
from playwright.sync_api import expect, sync_playwright

from limbeck.explore.view import View

pytestmark = pytest.mark.browser
expect.set_options(timeout=20_000)
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@pytest.fixture(scope="module")
def address():
    """The command as a user runs it; Ctrl-C ends it."""
    command = [sys.executable, "-m", "limbeck", "explore", "--no-browser", "--view", "?n=12"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "80", "PYTHONUNBUFFERED": "1", "TERM": "dumb"},
    )
    yield process.stdout.readline().strip()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in said


@pytest.fixture(scope="module")
def context(chromium_path):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=FLAGS.split())
        yield browser.new_context(accept_downloads=True)  # one for all, so that scripts are loaded once
        browser.close()


@pytest.fixture
def page(context, address):
    """A page of its own, at 1280 px; no script may fail and nothing may come from elsewhere."""
    page = context.new_page()
    page.set_viewport_size({"width": 1280, "height": 900})
    page.set_default_timeout(20_000)
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.goto(address)
    page.wait_for_selector("#numbers tr")
    yield page
    own = re.match(r"http://127\.0\.0\.1:\d+/", address)[0]
    assert [url for url in asked if not url.startswith((own, "data:", "blob:"))] == []
    assert wrong == []
    page.close()


def shown(page):
    return page.locator("#numbers").inner_text()


def wait_for(page, text):
    expect(page.locator("#numbers")).to_contain_text(text)


def test_a_number_typed_moves_everything_and_a_reload_keeps_it(page):
    assert "token" not in page.url
    assert "n = 12" in shown(page)
    page.fill("#n", "33")
    page.press("#n", "Enter")
    wait_for(page, "n = 33")
    expect(page).to_have_url(re.compile("n=33"))
    assert "n = 33" in page.locator("#geometry-sentence").inner_text()
    page.click("text=margin: p(θ)")
    wait_for(page, "Corollary 1")
    expect(page).to_have_url(re.compile("law=margin"))
    page.reload()
    page.wait_for_selector("#numbers tr")
    wait_for(page, "n = 33")
    assert page.input_value("#n") == "33"
    assert page.is_checked("#law input[value=margin]")
    assert page.is_visible("#margin")
    assert not page.is_visible("#kappa")


def test_a_wrong_value_is_named_beside_its_field_and_the_last_view_stays(page):
    before, address = shown(page), page.url
    for text in ("abc", "", "NaN", "-5", "1e400", "2.5"):
        page.fill("#d", text)
        page.press("#d", "Tab")
        message = page.locator("#d-message")
        expect(message).to_contain_text(repr(text) if text else "Nothing is written here")
        expect(message).to_contain_text("whole, 2 to 1e9")
        expect(page.locator("#d")).to_have_attribute("aria-invalid", "true")
        assert "d-message" in page.get_attribute("#d", "aria-describedby")
        assert (shown(page), page.url, page.input_value("#d")) == (before, address, text)
    page.fill("#d", "50")
    expect(page.locator("#d-message")).to_be_empty()
    expect(page.locator("#d")).to_have_attribute("aria-invalid", "false")
    expect(page).to_have_url(re.compile("d=50&"))


def test_a_slider_takes_arrow_keys_and_tells_its_value(page):
    page.focus("#depth-slider")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#depth")).to_have_value("4")
    page.keyboard.press("Home")
    expect(page.locator("#depth")).to_have_value("1")
    page.wait_for_selector("#depth-slider[aria-valuetext='1']")
    assert page.get_attribute("#depth-slider", "aria-labelledby") == "depth-label"


def test_every_control_is_reached_by_tab_with_a_visible_focus(page):
    page.focus("body")
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        at = page.evaluate(
            "() => { const e = document.activeElement; return [e.id || e.className, e.className === 'save' ? "
            "e.dataset.panel + e.dataset.kind : '', getComputedStyle(e).outlineStyle] }"
        )
        if at[0]:
            seen.append(at)
    reached = {name or key for name, key, _ in seen} | {key for _, key, _ in seen}
    wanted = {
        "kappa",
        "kappa-slider",
        "n",
        "n-slider",
        "seed-slider",
        "share",
        "copy",
        "reset",
        "risk-csv",
        "deeppng",
    }
    assert wanted <= reached
    assert {style for name, _, style in seen if name in wanted} == {"solid"}


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_overflows(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.fill("#kappa", "9" * 60)  # a long wrong value must not push the page wide
    page.wait_for_selector("#kappa[aria-invalid=true]")
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = page.evaluate(
        "[...document.querySelectorAll('.panel, .figure svg.main-svg, .control input, .button, table')]"
        ".map(e => e.getBoundingClientRect()).filter(b => b.width).map(b => [b.left, b.right])"
    )
    assert len(boxes) > 20
    assert all(left >= 0 and right <= width + 0.5 for left, right in boxes)
    if width == 400:
        assert (
            page.evaluate("getComputedStyle(document.querySelector('.columns')).gridTemplateColumns").count(
                "px"
            )
            == 1
        )


def test_data_and_figures_are_downloaded(page, tmp_path):
    page.fill("#n", "15")
    wait_for(page, "n = 15")
    heads = {"csv": b"n,risk,stderr", "json": b'{"panel": "risk"', "svg": b"<svg", "png": b"\x89PNG"}
    for kind, head in heads.items():
        with page.expect_download() as download:
            page.click(
                f"#risk-{kind}" if kind in ("csv", "json") else f"button[data-panel=risk][data-kind={kind}]"
            )
        assert download.value.suggested_filename == f"limbeck-risk.{kind}"
        target = tmp_path / f"risk.{kind}"
        download.value.save_as(target)
        assert target.read_bytes().startswith(head)
    assert "\n15," in (tmp_path / "risk.csv").read_text()


def test_the_command_to_share_opens_the_same_view(page):
    page.fill("#start", "0.5")
    expect(page.locator("#share")).to_have_value(re.compile("start=0.5"))
    said = page.input_value("#share")
    assert said == f"limbeck explore --view '{View(n=12, start=0.5).to_query()}'"
    expect(page).to_have_url(re.compile(re.escape(View(n=12, start=0.5).to_query()) + "$"))


def test_the_risk_without_sampling_is_computed_on_request_and_not_kept_for_another_view(page):
    page.click("#exact")
    expect(page.locator("#exactly")).to_contain_text("without sampling")
    page.fill("#n", "14")
    wait_for(page, "n = 14")
    expect(page.locator("#exactly")).to_be_empty()


def test_a_script_in_the_address_is_text(page, address):
    page.goto(page.url.partition("?")[0] + "?kappa=<img src=x onerror=alert(1)>&<b>=1")
    page.wait_for_selector("#kappa[aria-invalid=true]")
    assert page.input_value("#kappa") == "<img src=x onerror=alert(1)>"
    assert page.locator("aside img, aside .message b").count() == 0
