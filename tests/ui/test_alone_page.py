"""The page without a webui: who comes in, what is in it, that it asks nobody elsewhere, and how it begins and ends."""

from __future__ import annotations

import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from lib_lora import environment
from lib_lora.errors import UserError
from lib_lora.hosts.alone import Alone
from lib_lora.ui import alone, checking, guard
from lib_lora.ui.attach import attach
from lib_lora.ui.entry import Entry, Files

STATE = "/sameface/v1/state"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A function that makes a client of a page: made(), made(listen=True)."""
    attached = []

    def make(listen=False, name="127.0.0.1"):
        host = Alone(tmp_path_factory.mktemp("Daten ü"), listening=listen, token=guard.TOKEN)
        attached.append(attach(host))
        entry = Entry()
        client = TestClient(alone.page(host, attached[-1], entry), f"http://{name}:7869")
        client.follow_redirects, client.host, client.entry = False, host, entry
        return client

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checking, "begin", lambda: None)  # no tokenizer is needed
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
                client.cookies.set(client.host.cookie, guard.TOKEN)


def test_the_page_has_our_place_our_scripts_and_our_style(local):
    answer = local.get("/")
    assert answer.status_code == 200
    assert len(answer.content) == int(answer.headers["content-length"])
    assert "sameface_mount" in answer.text
    assert guard.TOKEN in answer.text
    scripts = re.findall(r'<script defer src="(/sameface/static/([^?"]+)\?\d+)">', answer.text)
    assert [name for _, name in scripts] == sorted(path.name for path in (environment.ROOT / "javascript").glob("*.js"))
    assert len(scripts) > 10
    styles = re.findall(r'<link rel="stylesheet" href="(/sameface/static/style.css\?\d+)">', answer.text)
    assert len(styles) == 1
    for address, kind in [(scripts[0][0], "text/javascript"), (styles[0], "text/css")]:
        found = local.get(address)
        assert (found.status_code, found.headers["content-type"].split(";")[0]) == (200, kind)
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


# ------------------------------------------------------------------------------------------------ other machines let in


@pytest.mark.parametrize(
    "path", ["/", STATE, "/config", "/sameface/static/style.css", "/?token=wrong", f"{STATE}?token="]
)
def test_from_elsewhere_nothing_is_given_without_the_token(remote, path):
    answer = remote.get(path)
    assert answer.status_code == 401
    assert guard.TOKEN not in answer.text
    assert remote.post(path, json={}, headers={"cookie": f"{remote.host.cookie}=wrong"}).status_code == 401


def test_the_address_with_the_token_lets_a_browser_in(remote):
    answer = remote.get(f"/?token={guard.TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert remote.cookies.get(remote.host.cookie) == guard.TOKEN
    assert remote.get("/").status_code == 200
    assert remote.get(STATE).json()["host"]["remote"] is True


def test_the_pages_own_requests_carry_the_token(remote):
    assert remote.get(STATE, headers={"x-sameface": guard.TOKEN}).status_code == 200
    assert remote.get(f"{STATE}?token={guard.TOKEN}").status_code == 200


def test_a_websocket_is_no_way_around(remote):
    with pytest.raises(WebSocketDisconnect), remote.websocket_connect("/queue/join"):
        pass


# ------------------------------------------------------------------------------------------------- beginning and ending


def test_the_next_free_port_is_taken_and_a_chosen_one_is_not_changed(monkeypatch):
    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        first.listen()
        taken = first.getsockname()[1]
        monkeypatch.setattr(alone, "PORT", taken)
        with alone._socket(None, False) as found:
            assert taken < found.getsockname()[1] < taken + alone._TRIES
        with pytest.raises(UserError, match=f"Port {taken} cannot be used .*--port"):
            alone._socket(taken, False)
        with pytest.raises(UserError, match="Port 70000 cannot be used"):
            alone._socket(70000, False)
        monkeypatch.setattr(alone, "_TRIES", 1)
        with pytest.raises(UserError, match="all taken"):
            alone._socket(None, False)


def test_a_folder_of_models_that_is_not_there_is_said_before_anything_is_loaded(tmp_path):
    with pytest.raises(UserError, match=r"There is no .*nowhere"):
        alone.serve(tmp_path, models=[tmp_path / "nowhere"])


@pytest.mark.parametrize("listen", [False, True])
def test_what_is_said_holds_the_token_only_where_it_is_needed(listen):
    lines = alone.told(7869, "secret", listen, Path("/data/page-7869.html"))
    assert lines[0] == "SameFace: http://127.0.0.1:7869/?once=secret"
    assert lines[1].endswith(str(Path("/data/page-7869.html")))
    assert (guard.TOKEN in " ".join(lines)) == listen
    assert ("not encrypted" in " ".join(lines)) == listen
    assert lines[-1] == "Ctrl+C ends it."
    assert "another browser" not in " ".join(alone.told(7869, "secret", listen, None))


START = "import sys; from lib_lora.cli import main; sys.exit(main(sys.argv[1:]))"


class Started:
    """The command in a process of its own, and what it says, line by line."""

    def __init__(self, root: Path, *arguments: str, start: str = START) -> None:
        flags = subprocess.CREATE_NEW_PROCESS_GROUP if sys.platform == "win32" else 0
        self.process = subprocess.Popen(
            [sys.executable, "-c", start, "ui", "--data", str(root), *arguments],
            cwd=environment.ROOT,
            env={**os.environ, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            creationflags=flags,
        )
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.rstrip())

    def until(self, word: str) -> str:
        """The first line that has this word."""
        end = time.monotonic() + 120
        while True:
            line = self.lines.get(timeout=max(end - time.monotonic(), 0.01))
            if word in line:
                return line

    def rest(self) -> str:
        """What it has said and nobody has asked for yet; once it has ended."""
        self._reader.join(60)
        return "\n".join(self.lines.get() for _ in range(self.lines.qsize()))

    def ends(self, how: int) -> int:
        self.process.send_signal(how)
        return self.process.wait(60)


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM"])
def test_it_says_its_address_shows_the_page_and_ends_well(tmp_path, how):
    if sys.platform == "win32" and how == "SIGTERM":
        pytest.skip("Windows ends a process at once")
    root = tmp_path / "Daten 名前"
    started = Started(root, "--no-open", "--port", str(_free()))
    try:
        address = started.until("SameFace: http://").split()[-1]
        browser = _browser()
        with browser.open(address, timeout=60) as answer:
            assert b"/sameface/static/" in answer.read()
            assert answer.url == address.split("?")[0]
        with pytest.raises(urllib.error.HTTPError, match="401"):
            _browser().open(address, timeout=60)
        assert _becomes_active(browser, address)
        files = sorted(root.glob("page-*"))
        assert [path.suffix for path in files] == [".html", ".token"]
        code = started.ends(signal.CTRL_BREAK_EVENT if sys.platform == "win32" else getattr(signal, how))
        assert started.until("Ending; what runs is saved.")
        assert code == 0, started.rest()
        assert not any(path.exists() for path in files)
    finally:
        started.process.kill()


BUSY = """
from lib_lora.ui import checking
def busy():
    import cv2, numpy
    picture = numpy.zeros((1000, 1000, 3), numpy.uint8)
    print("OpenCV works.")
    while True:
        cv2.GaussianBlur(picture, (15, 15), 3)
checking._load = busy
"""


def test_it_ends_well_while_a_library_works_in_a_thread(tmp_path):
    started = Started(tmp_path, "--no-open", "--port", str(_free()), start=BUSY + START)
    try:
        assert _becomes_active(_browser(), started.until("SameFace: http://").split()[-1])
        assert started.until("OpenCV works.")
        code = started.ends(signal.CTRL_BREAK_EVENT if sys.platform == "win32" else signal.SIGINT)
        assert code == 0, started.rest()
    finally:
        started.process.kill()


def _browser() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.HTTPCookieProcessor())


def _becomes_active(browser: urllib.request.OpenerDirector, address: str) -> bool:
    """Whether the queue runs within half a minute: the page is served before the queue has its lock."""
    if not any(isinstance(one, urllib.request.HTTPCookieProcessor) and len(one.cookiejar) for one in browser.handlers):
        browser.open(address, timeout=60).close()
    for _ in range(150):
        with browser.open(address.split("/?")[0] + STATE, timeout=60) as answer:
            if b'"active": true' in answer.read():
                return True
        time.sleep(0.2)
    return False


def _free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_the_command_knows_its_arguments(main, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(alone, "serve", lambda *arguments: seen.append(arguments))
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
    code = "import sys, lib_lora.ui.alone, lib_lora.ui.gate, lib_lora.cli.tab, gradio; print('torch' in sys.modules)"
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
    started = Started(tmp_path, "--no-open", "--port", str(_free()))
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
