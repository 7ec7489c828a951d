"""The page without a webui: who comes in, what is in it, that it asks nobody elsewhere, and how it begins and ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from faults import raises
from starlette.websockets import WebSocketDisconnect
from started import START, Started, browser, free

from lib_lora.hosts.standalone import Alone
from lib_lora.setup import environment
from lib_lora.ui.http import route_access
from lib_lora.ui.http.login_link import Files, LoginSecrets
from lib_lora.ui.page import page_app, page_modules
from lib_lora.ui.page.attach import attach
from lib_lora.ui.views import caption_checks

STATE = "/sameface/v1/state"
MAIN = page_modules.address() + "main.js"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A function that makes a client of a page: made(), made(listen=True)."""
    attached = []

    def make(listen=False, name="127.0.0.1"):
        host = Alone(tmp_path_factory.mktemp("Daten ü"), listening=listen, token=route_access.TOKEN)
        attached.append(attach(host))
        entry = LoginSecrets()
        client = TestClient(page_app.page(host, attached[-1], entry), f"http://{name}:7869")
        client.follow_redirects, client.host, client.entry = False, host, entry
        return client

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(caption_checks, "begin", lambda: None)  # no tokenizer is needed
        yield make
        for one in attached:
            one.supervisor.close()


@pytest.fixture(scope="module")
def local(made):
    return made()


@pytest.fixture(scope="module")
def remote(made):
    return made(listen=True, name="box.example")


@pytest.fixture(autouse=True)
def _cookies(request):
    """On this machine the browser has come in already; from elsewhere it has not."""
    for name in ("local", "remote"):
        if name in request.fixturenames:
            client = request.getfixturevalue(name)
            client.cookies.clear()
            if name == "local":
                client.cookies.set(client.host.cookie, route_access.TOKEN)


def test_the_page_has_our_place_our_scripts_and_our_style(local):
    answer = local.get("/")
    assert answer.status_code == 200
    assert len(answer.content) == int(answer.headers["content-length"])
    assert "sameface_mount" in answer.text
    assert route_access.TOKEN in answer.text
    scripts = re.findall(r'<script defer src="(/sameface/static/([^?"]+)\?\d+)">', answer.text)
    assert [name for _, name in scripts] == ["sameface.js"]  # as a webui finds it; it loads the modules
    styles = re.findall(r'<link rel="stylesheet" href="(/sameface/static/style.css\?\d+)">', answer.text)
    assert len(styles) == 1
    for address, kind in [(scripts[0][0], "text/javascript"), (styles[0], "text/css")]:
        found = local.get(address)
        assert (found.status_code, found.headers["content-type"].split(";")[0]) == (200, kind)
    assert page_modules.address() in answer.text
    assert local.get(MAIN).headers["content-type"].split(";")[0] == "text/javascript"
    assert answer.text.index("/sameface/static/") < answer.text.index("</head>")


def test_the_page_loads_nothing_from_elsewhere(local):
    text = local.get("/").text
    loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*", text)
    assert loaded
    assert [tag for tag in loaded if re.search(r"https?://", tag)] == []
    theme = local.get("/theme.css")
    assert "fonts.googleapis" not in theme.text


@pytest.mark.parametrize(
    "name", ["nothing.js", "..%2Finstall.py", "..%2f..%2fetc%2fpasswd", "style.css%00", "install.py"]
)
def test_only_our_own_files_are_given(local, name):
    assert local.get(f"/sameface/static/{name}").status_code == 404


def test_the_routes_are_in_the_same_app(local):
    state = local.get(STATE).json()
    assert state["host"]["name"] == "alone"
    assert local.get("/sameface/v1/nothing").status_code == 404


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "10.0.0.1", "", "[::2]"])
@pytest.mark.parametrize("path", ["/", STATE, "/config"])
def test_another_name_that_points_here_gets_nothing(local, name, path):
    answer = local.get(path, headers={"host": name})
    assert (answer.status_code, "127.0.0.1" in answer.text) == (403, True)


@pytest.mark.parametrize("name", ["localhost", "localhost:7869", "127.0.0.1:1", "[::1]:7869"])
def test_our_own_names_get_the_page(local, name):
    assert local.get(STATE, headers={"host": name}).status_code == 200


# ---------------------------------------------------------------------------------- who on this machine is let in


@pytest.fixture
def stranger(local):
    """Somebody on this machine without the cookie."""
    local.cookies.clear()
    return local


@pytest.mark.parametrize("path", ["/", STATE, "/config", "/sameface/static/style.css", MAIN, "/?once=wrong", "/?once="])
def test_on_this_machine_nothing_is_given_without_the_secret_either(stranger, path):
    answer = stranger.get(path)
    assert answer.status_code == 401
    assert route_access.TOKEN not in answer.text
    if path == STATE:
        assert (list(answer.json()), answer.json()["code"]) == (["error", "code"], "login-required")
        other = stranger.get(path, headers={"host": "evil.example"})
        assert (other.status_code, other.json()["code"]) == (403, "forbidden")


def test_an_address_opens_the_page_once(stranger):
    secret = stranger.entry.fresh()
    for method, path in [("HEAD", "/"), ("POST", "/"), ("GET", STATE), ("GET", "/config")]:  # only an opening counts
        assert stranger.request(method, f"{path}?once={secret}").status_code == 401
    answer = stranger.get(f"/?once={secret}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert {"HttpOnly", "SameSite=Lax"} <= set(answer.headers["set-cookie"].split("; "))
    assert stranger.get("/").status_code == 200
    other = stranger.entry.fresh()
    assert stranger.get(f"/?once={other}").status_code == 303  # who is in already uses none up
    stranger.cookies.clear()
    assert stranger.get(f"/?once={secret}").status_code == 401
    assert stranger.get(f"/?once={other}").status_code == 303


def test_a_file_leads_another_browser_to_the_page(stranger, tmp_path):
    files = Files(tmp_path, 7869, route_access.TOKEN, lambda secret: f"/?once={secret}")
    assert files.write(stranger.entry)
    stranger.entry.used = lambda used: files.renew(stranger.entry, used)
    if os.name != "nt":
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    seen = set()
    for _ in range(3):
        stranger.cookies.clear()
        [address] = set(re.findall(r"/\?once=[\w-]+", files.page.read_text(encoding="utf-8")))
        assert stranger.get(address).status_code == 303
        seen.add(address)
    assert len(seen) == 3
    stranger.cookies.clear()
    headers = {"x-sameface": files.token.read_text(encoding="utf-8").strip()}
    assert stranger.get(STATE, headers=headers).status_code == 200
    files.delete()
    assert list(tmp_path.iterdir()) == []


def test_a_virus_scanner_that_holds_the_file_does_not_cost_it(tmp_path, monkeypatch):
    files, entry = Files(tmp_path, 7869, route_access.TOKEN, lambda secret: f"/?once={secret}"), LoginSecrets()
    assert files.write(entry)
    before, place, held = files.page.read_text(encoding="utf-8"), Path.replace, [files.page]

    def busy(source, target):
        if target in held:
            held.remove(target)
            raise PermissionError(13, "in use")
        return place(source, target)

    monkeypatch.setattr("lib_lora.files.sys.platform", "win32")
    monkeypatch.setattr(Path, "replace", busy)
    files.renew(entry, re.search(r"once=([\w-]+)", before)[1])
    assert files.page.read_text(encoding="utf-8") != before
    assert files.token.read_text(encoding="utf-8").strip() == route_access.TOKEN
    assert held == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
def test_no_file_is_left_where_others_could_read_it(tmp_path, monkeypatch):
    """As on a Windows disk that Linux has mounted: whatever is asked for, everybody may read."""
    made = os.open
    files = Files(tmp_path, 7869, route_access.TOKEN, lambda secret: f"/?once={secret}")
    with monkeypatch.context() as disk:  # no longer: Python 3.13 itself opens the folder otherwise, to delete it
        disk.setattr(os, "open", lambda path, flags, mode=0o777: made(path, flags, 0o644))
        assert not files.write(LoginSecrets())
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------ other machines let in


@pytest.mark.parametrize(
    "path", ["/", STATE, "/config", "/sameface/static/style.css", MAIN, "/?token=wrong", f"{STATE}?token="]
)
def test_from_elsewhere_nothing_is_given_without_the_token(remote, path):
    answer = remote.get(path)
    assert answer.status_code == 401
    assert route_access.TOKEN not in answer.text
    assert remote.post(path, json={}, headers={"cookie": f"{remote.host.cookie}=wrong"}).status_code == 401


def test_the_address_with_the_token_lets_a_browser_in(remote):
    answer = remote.get(f"/?token={route_access.TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert remote.cookies.get(remote.host.cookie) == route_access.TOKEN
    assert remote.get("/").status_code == 200
    assert remote.get(STATE).json()["host"]["remote"] is True


def test_the_pages_own_requests_carry_the_token(remote):
    assert remote.get(STATE, headers={"x-sameface": route_access.TOKEN}).status_code == 200
    assert remote.get(f"{STATE}?token={route_access.TOKEN}").status_code == 200


def test_a_websocket_is_no_way_around(remote):
    with pytest.raises(WebSocketDisconnect), remote.websocket_connect("/queue/join"):
        pass


# ------------------------------------------------------------------------------------------------- beginning and ending


def test_the_next_free_port_is_taken_and_a_chosen_one_is_not_changed(monkeypatch):
    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        first.listen()
        taken = first.getsockname()[1]
        monkeypatch.setattr(page_app, "PORT", taken)
        with page_app._socket(None, False) as found:
            assert taken < found.getsockname()[1] < taken + page_app._TRIES
        with raises("port-unusable", has=(taken, "--port")):
            page_app._socket(taken, False)
        with raises("port-unusable", has="70000"):
            page_app._socket(70000, False)
        monkeypatch.setattr(page_app, "_TRIES", 1)
        with raises("ports-taken"):
            page_app._socket(None, False)


def test_a_folder_of_models_that_is_not_there_is_said_before_anything_is_loaded(tmp_path):
    with raises("models-folder-missing", has="nowhere"):
        page_app.serve(tmp_path, models=[tmp_path / "nowhere"])


@pytest.mark.parametrize("listen", [False, True])
def test_what_is_said_holds_the_token_only_where_it_is_needed(listen):
    lines = page_app.startup_lines(7869, "secret", listen, Path("/data/page-7869.html"))
    assert lines[0] == "SameFace: http://127.0.0.1:7869/?once=secret"
    assert lines[1].endswith(str(Path("/data/page-7869.html")))
    assert (route_access.TOKEN in " ".join(lines)) == listen
    assert ("not encrypted" in " ".join(lines)) == listen
    assert lines[-1] == "Ctrl+C ends it."
    assert "another browser" not in " ".join(page_app.startup_lines(7869, "secret", listen, None))


ONCE = pytest.mark.once("which signal it is; the other one is repeated")


@pytest.mark.parametrize("how", [pytest.param("SIGINT", marks=ONCE), "SIGTERM"])
def test_it_says_its_address_shows_the_page_and_ends_well(tmp_path, how):
    if sys.platform == "win32" and how == "SIGTERM":
        pytest.skip("Windows ends a process at once")
    root = tmp_path / "Daten 名前"
    started = Started(root, "--no-open", "--port", str(free()))
    try:
        address = started.until("SameFace: http://").split()[-1]
        person = browser()
        with person.open(address, timeout=60) as answer:
            assert b"/sameface/static/" in answer.read()
            assert answer.url == address.split("?")[0]
        with pytest.raises(urllib.error.HTTPError, match="401"):
            browser().open(address, timeout=60)
        assert _becomes_active(person, address)
        files = sorted(root.glob("page-*"))
        assert [path.suffix for path in files] == [".html", ".token"]
        code = started.ends(signal.CTRL_BREAK_EVENT if sys.platform == "win32" else getattr(signal, how))
        assert started.until("Stopping; running work is saved.")
        assert code == 0, started.rest()
        assert not any(path.exists() for path in files)
    finally:
        started.process.kill()


BUSY = """
from lib_lora.ui.views import caption_checks
def busy():
    import cv2, numpy
    picture = numpy.zeros((1000, 1000, 3), numpy.uint8)
    print("OpenCV works.")
    while True:
        cv2.GaussianBlur(picture, (15, 15), 3)
caption_checks._load = busy
"""


@pytest.mark.once("processes and imports of our own; that the page starts and ends is repeated above")
def test_it_ends_well_while_a_library_works_in_a_thread(tmp_path):
    started = Started(tmp_path, "--no-open", "--port", str(free()), start=BUSY + START)
    try:
        assert _becomes_active(browser(), started.until("SameFace: http://").split()[-1])
        assert started.until("OpenCV works.")
        code = started.ends(signal.CTRL_BREAK_EVENT if sys.platform == "win32" else signal.SIGINT)
        assert code == 0, started.rest()
    finally:
        started.process.kill()


def _becomes_active(person: urllib.request.OpenerDirector, address: str) -> bool:
    """Whether the queue runs within half a minute: the page is served before the queue has its lock."""
    if not any(isinstance(one, urllib.request.HTTPCookieProcessor) and len(one.cookiejar) for one in person.handlers):
        person.open(address, timeout=60).close()
    for _ in range(150):
        with person.open(address.split("/?")[0] + STATE, timeout=60) as answer:
            if b'"active": true' in answer.read():
                return True
        time.sleep(0.2)
    return False


def test_the_command_knows_its_arguments(main, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(page_app, "serve", lambda *arguments: seen.append(arguments))
    words = ["--port", "8000", "--listen", "--no-open", "--models", str(tmp_path), "b", "--models", "c"]
    assert main(["ui", "--data", str(tmp_path), *words]) == 0
    assert main(["ui", "--data", str(tmp_path)]) == 0
    assert seen == [
        (tmp_path, 8000, True, False, [tmp_path, Path("b"), Path("c")]),
        (tmp_path, None, False, True, []),
    ]


@pytest.fixture
def main():
    from lib_lora.cli import main

    return main


def test_the_modules_of_the_page_load_no_torch():
    ours = "lib_lora.ui.page.page_app, lib_lora.ui.http.access_middleware, lib_lora.cli.tab_command"
    code = f"import sys, {ours}, gradio; print('torch' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=environment.ROOT,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert said.stdout.strip() == "False"


# -------------------------------------------------------------------------------------------------------- in a browser


def test_a_browser_draws_it_and_asks_nobody_else(tmp_path, chromium):
    started = Started(tmp_path, "--no-open", "--port", str(free()))
    page = chromium.new_page()
    try:
        address = started.until("SameFace: http://").split()[-1]
        asked, wrong = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#sameface .sf-head", timeout=60_000)
        assert page.title() == "SameFace"
        assert [url for url in asked if not url.startswith((address.split("?")[0], "data:", "blob:"))] == []
        assert wrong == []
        assert page.locator("footer:visible").count() == 0
    finally:
        page.close()
        started.process.kill()
