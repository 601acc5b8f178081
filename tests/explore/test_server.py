import csv
import io
import json
import socket
import threading

import pytest
from command import in_process
from werkzeug.serving import make_server

from limbeck.explore.panels import compute
from limbeck.explore.server import _Quiet, application
from limbeck.explore.view import View

TOKEN, PORT = "not-a-secret-only-a-test", 4321
HERE = f"http://127.0.0.1:{PORT}"


@pytest.fixture(scope="module")
def app():
    return application(TOKEN, PORT)


@pytest.fixture
def known(app):
    client = app.test_client()
    client.root = client.get(f"/?token={TOKEN}", base_url=HERE).headers["Location"]
    return client


def update(client):
    """A valid update, as the page sends it: where it goes and its body."""
    (asked,) = (
        d
        for d in client.get(f"{client.root}_dash-dependencies", base_url=HERE).json
        if d["output"] == "exactly.children"
    )
    values = {"exact": 1, "view": View(n=3).to_query()}
    return f"{client.root}_dash-update-component", {
        "output": "exactly.children",
        "outputs": {"id": "exactly", "property": "children"},
        "inputs": [{**field, "value": values[field["id"]]} for field in asked["inputs"]],
        "changedPropIds": ["exact.n_clicks"],
        "state": [],
    }


def test_the_token_is_exchanged_for_a_cookie_that_no_other_server_of_this_machine_is_sent(app):
    client = app.test_client()
    first = client.get(f"/?kappa=3&token={TOKEN}&n=5", base_url=HERE)
    root, _, query = first.headers["Location"].partition("?")
    assert (first.status_code, query) == (303, "kappa=3&n=5")
    assert TOKEN not in root
    cookie = first.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict", f"Path={root}"} <= set(cookie.split("; "))
    assert len(root) > 30
    assert client.get(root, base_url=HERE).status_code == 200
    # Browsers send a cookie to every port of its host, under its path.
    for path in ("/", "/data/risk.csv"):
        assert client.get_cookie(f"limbeck-{PORT}", domain="127.0.0.1", path=path) is None
        assert client.get(path, base_url=HERE).status_code == 403


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
    root = client.get(f"/?token={TOKEN}", base_url=HERE).headers["Location"]
    client.set_cookie(f"limbeck-{PORT}", TOKEN, domain=host.partition(":")[0], path=root)
    for path in (root, f"/?token={TOKEN}"):
        assert client.get(path, base_url=f"http://{host}").status_code == 403


def test_another_page_of_this_machine_is_refused(known):
    def answer(origin):
        return known.get(known.root, base_url=HERE, headers={"Origin": origin}).status_code

    assert answer(HERE) == 200
    assert [answer(o) for o in ("http://127.0.0.1:9999", "null", "https://evil.example")] == [403] * 3


def test_headers_allow_nothing_from_elsewhere(known):
    headers = known.get(known.root, base_url=HERE).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in policy["script-src"]
    assert "http" not in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"


def test_a_request_that_the_page_never_sends_is_refused_and_no_error_of_the_server(known):
    path, valid = update(known)
    assert known.post(path, json=valid, base_url=HERE).status_code == 200
    fields = valid["inputs"]
    for body in (
        *({**valid, key: wrong} for key in valid for wrong in ("x", {}, None, 1)),
        *({**valid, "inputs": [fields[0], {**fields[1], "value": v}]} for v in ([], {}, 1.5, "\ud800")),
        {**valid, "inputs": fields[::-1]},
        {**valid, "output": "settled.data"},
        *({}, [], None),
    ):
        assert known.post(path, json=body, base_url=HERE).status_code == 400
    assert known.post(path, data=b"[" * 100_000, base_url=HERE).status_code == 400
    assert known.post(path, data=b"1" * 2**21, base_url=HERE).status_code == 413
    assert known.get(f"{known.root}_dash-component-suites/a/b.js", base_url=HERE).status_code == 404


def test_a_connection_that_sends_nothing_is_closed(app, monkeypatch):
    assert 0 < _Quiet.timeout <= 60
    monkeypatch.setattr(_Quiet, "timeout", 0.1)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        with socket.create_connection(server.server_address, timeout=10) as half_open:
            half_open.sendall(b"GET / HTTP/1.1\r\nHost: ")
            assert half_open.recv(1) == b""
    finally:
        server.shutdown()
        server.server_close()


def test_a_panel_comes_as_csv_and_as_json_with_its_view(known):
    view = View(n=9, kappa=2.0)
    risk = compute(view).risk
    answer = known.get(f"{known.root}data/risk.csv{view.to_query()}", base_url=HERE)
    assert 'filename="limbeck-risk.csv"' in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [float(row["bound"]) for row in rows] == risk.bound.tolist()
    told = json.loads(known.get(f"{known.root}data/risk.json{view.to_query()}", base_url=HERE).text)
    assert told["view"]["n"] == 9
    assert told["command"] == f"limbeck explore --view '{view.to_query()}'"
    assert [row[told["columns"].index("risk")] for row in told["rows"]] == risk.risk.tolist()
    wrong = known.get(f"{known.root}data/risk.csv?n=none", base_url=HERE)
    assert (wrong.status_code, "'none' is not a number" in wrong.text) == (400, True)
    assert known.get(f"{known.root}data/secrets.csv", base_url=HERE).status_code == 404


def test_a_wrong_view_and_a_taken_port_are_said_before_anything_is_served(monkeypatch, capsys):
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
