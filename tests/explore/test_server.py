import csv
import io
import json

import pytest
from command import in_process

from limbeck.explore.panels import compute
from limbeck.explore.server import application
from limbeck.explore.view import View

TOKEN, PORT = "not-a-secret-only-a-test", 4321
HERE = f"http://127.0.0.1:{PORT}"


@pytest.fixture(scope="module")
def app():
    return application(TOKEN, PORT)


@pytest.fixture
def known(app):
    client = app.test_client()
    client.set_cookie(f"limbeck-{PORT}", TOKEN, domain="127.0.0.1")
    return client


def test_the_token_is_exchanged_for_a_cookie_and_leaves_the_address(app):
    client = app.test_client()
    first = client.get(f"/?kappa=3&token={TOKEN}&n=5", base_url=HERE)
    assert (first.status_code, first.headers["Location"]) == (303, "/?kappa=3&n=5")
    cookie = first.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert client.get("/", base_url=HERE).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/", "/?token=wrong", "/?token=%C3%A9", "/_dash-layout", "/_dash-dependencies", "/data/risk.csv", "/x"],
)
def test_nothing_is_served_without_the_token(app, path):
    assert app.test_client().get(path, base_url=HERE).status_code == 403
    assert app.test_client().post("/_dash-update-component", base_url=HERE, json={}).status_code == 403


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1:1", f"0.0.0.0:{PORT}"])
def test_another_host_name_is_refused_even_with_the_token(app, host):
    client = app.test_client()
    client.set_cookie(f"limbeck-{PORT}", TOKEN, domain=host.partition(":")[0])
    for path in ("/", f"/?token={TOKEN}"):
        assert client.get(path, base_url=f"http://{host}").status_code == 403


def test_another_page_of_this_machine_is_refused(known):
    def answer(origin):
        return known.get("/", base_url=HERE, headers={"Origin": origin}).status_code

    assert answer(HERE) == 200
    assert [answer(o) for o in ("http://127.0.0.1:9999", "null", "https://evil.example")] == [403] * 3


def test_headers_allow_nothing_from_elsewhere(known):
    headers = known.get("/", base_url=HERE).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in policy["script-src"]
    assert "http" not in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("body", [{}, [], {"output": "x"}, None])
def test_an_update_that_is_none_is_refused_and_no_error_of_the_server(known, body):
    assert known.post("/_dash-update-component", json=body, base_url=HERE).status_code == 400


def test_a_panel_comes_as_csv_and_as_json_with_its_view(known):
    view = View(n=9, kappa=2.0)
    risk = compute(view).risk
    answer = known.get(f"/data/risk.csv{view.to_query()}", base_url=HERE)
    assert 'filename="limbeck-risk.csv"' in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [float(row["bound"]) for row in rows] == risk.bound.tolist()
    told = json.loads(known.get(f"/data/risk.json{view.to_query()}", base_url=HERE).text)
    assert told["view"]["n"] == 9
    assert told["command"] == f"limbeck explore --view '{view.to_query()}'"
    assert [row[told["columns"].index("risk")] for row in told["rows"]] == risk.risk.tolist()
    wrong = known.get("/data/risk.csv?n=none", base_url=HERE)
    assert (wrong.status_code, "'none' is not a number" in wrong.text) == (400, True)
    assert known.get("/data/secrets.csv", base_url=HERE).status_code == 404


def test_a_wrong_view_and_a_taken_port_are_said_before_anything_is_served(monkeypatch, capsys):
    import socket

    code, _, said = in_process(monkeypatch, capsys, "explore", "--view", "?kappa=-1&foo=2", "--no-browser")
    assert code == 2
    assert "'-1' is too small" in said
    assert "foo" in said
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, said = in_process(monkeypatch, capsys, "explore", "--port", port, "--no-browser")
    assert (code, f"Port {port} cannot be used" in said) == (2, True)


def test_a_missing_extra_is_named(monkeypatch, capsys):
    monkeypatch.setattr("limbeck.cli.explore.find_spec", lambda name: None)
    code, _, said = in_process(monkeypatch, capsys, "explore", "--no-browser")
    assert (code, "limbeck[explore]" in said) == (2, True)
