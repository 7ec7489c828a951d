"""The page alone as another account of the machine sees it, and as connections see it that send too much or too little.

One page for all of it, in a process of its own, with short limits of time.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from addresses import filled
from started import START, Started, browser, free

from lib_lora.character.store import Character, Consent, create
from lib_lora.ui.http.request_context import PREFIX
from lib_lora.ui.routes.route_table import all_routes

MARA = Path(__file__).parents[1] / "data" / "personas" / "mara"
HEADERS, BODY = 2, 4  # seconds
LIMITS = f"""
from lib_lora.ui.views import caption_checks; from lib_lora.ui.http import slow_connections
slow_connections.HEADERS, slow_connections.BODY = {HEADERS}, {BODY}
caption_checks._load = lambda: None
"""
MB = 1 << 20
two_accounts = pytest.mark.skipif(
    os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() != 0,
    reason="only root can be two accounts on one machine",
)


@dataclass
class Owned:
    """A page, whose it is, and what they have."""

    started: Started
    root: Path
    port: int
    address: str
    cookie: str

    @property
    def token(self) -> str:
        return (self.root / f"page-{self.port}.token").read_text(encoding="utf-8").strip()

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        """As its owner's script does."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"X-SameFace": self.token, "Content-Type": "application/json"}
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, headers)
        answer = connection.getresponse()
        told = answer.status, answer.read().decode("utf-8", "replace")
        connection.close()
        return told

    def peak(self) -> int:
        """Bytes that the process has had in memory at most."""
        text = Path(f"/proc/{self.started.process.pid}/status").read_text(encoding="utf-8")
        return int(next(line for line in text.splitlines() if line.startswith("VmHWM")).split()[1]) << 10

    def said(self) -> list[str]:
        """What the process has printed since the last time."""
        return [self.started.lines.get() for _ in range(self.started.lines.qsize())]


@pytest.fixture(scope="module")
def owned():
    home = Path(tempfile.mkdtemp(prefix="sameface-"))
    home.chmod(0o755)  # whoever is on this machine can look into it
    root = home / "data"
    try:
        folder = create(root, Character("Mara", "mrxa", "woman", Consent("fictional", "2024-05-06")))
        shutil.copy(next(iter(sorted(MARA.glob("*.jpg")))), folder.photos / "face.jpg")
        (root / "settings.json").write_text("{}", encoding="utf-8")
        for path in (root, *root.rglob("*")):  # as an older version left them
            path.chmod(0o755 if path.is_dir() else 0o644)
        port = free()
        started = Started(root, "--no-open", "--port", str(port), start=LIMITS + START)
        address = started.until("SameFace: http://").split()[-1]
        started.until("Ctrl+C ends it.")
        person = browser()
        person.open(address, timeout=60).close()
        jars = [handler.cookiejar for handler in person.handlers if hasattr(handler, "cookiejar")]
        [cookie] = [f"{one.name}={one.value}" for jar in jars for one in jar]
        yield Owned(started, root, port, address, cookie)
    finally:
        if "started" in locals():
            started.process.kill()
            started.process.wait(60)
        shutil.rmtree(home, ignore_errors=True)


# ------------------------------------------------------------------------------------------------------ two accounts

ANOTHER = """
import encodings.idna, http.client, json, os, sys
os.setgroups([])  # only now: this Python may lie where the other account cannot read it
os.setgid(65534)
os.setuid(65534)
given = json.load(sys.stdin)
def ask(method, path, headers):
    connection = http.client.HTTPConnection("127.0.0.1", given["port"], timeout=60)
    connection.request(method, path, "{}" if method == "POST" else None, headers)
    answer = connection.getresponse()
    return [method, path, answer.status, answer.read().decode("utf-8", "replace")]
told = [ask(method, path, headers) for method, path in given["asks"] for headers in given["headers"]]
read = []
for top in given["files"]:
    for folder, folders, names in os.walk(top):
        for name in names:
            try:
                open(os.path.join(folder, name), "rb").read(1)
                read.append(os.path.join(folder, name))
            except OSError:
                pass
    try:
        read += ["list " + top] * bool(os.listdir(top))
    except OSError:
        pass
print(json.dumps({"uid": os.getuid(), "told": told, "read": read}))
"""


@pytest.mark.once("the system's permissions")
@two_accounts
def test_another_account_of_this_machine_gets_nothing(owned):
    paths = [(route.method, PREFIX + filled(route.path, "001", "mara")) for route in all_routes()]
    once = "/?" + owned.address.partition("?")[2]  # read in a log, after it was used
    others = ["/", once, f"{PREFIX}/state?{once[2:]}", "/config", "/sameface/static/style.css", "/queue/join"]
    others += ["/file=/etc/hostname", "/gradio_api/file=/etc/hostname", "/upload", f"{PREFIX}/nothing", "/?token=x"]
    asks = [*paths, *(("GET", path) for path in others), ("POST", "/upload")]
    plain = {"Content-Type": "application/json"}
    headers = [plain, {**plain, "X-SameFace": "x" * 43, "Cookie": owned.cookie.partition("=")[0] + "=x"}]
    given = {"port": owned.port, "asks": asks, "headers": headers, "files": [str(owned.root)]}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ANOTHER],
        input=json.dumps(given),
        cwd="/",
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    said = json.loads(done.stdout)
    assert said["uid"] == 65534
    assert len(said["told"]) == 2 * len(asks)
    assert len(paths) > 40
    assert [one for one in said["told"] if one[2] != 401] == []
    assert not any(owned.token in text for *_, text in said["told"])
    assert said["read"] == []
    assert owned.ask("GET", f"{PREFIX}/state")[0] == 200  # its owner, by the file that only they can read


@two_accounts
def test_what_is_made_later_is_the_owners_alone_too(owned):
    made = {"name": "Nora", "trigger": "nrxa", "class_word": "woman"}
    assert owned.ask("POST", f"{PREFIX}/characters", made)[0] == 200
    assert owned.ask("POST", f"{PREFIX}/settings", {"then_test": False})[0] == 200
    assert owned.ask("POST", f"{PREFIX}/characters/mara/audit", {})[0] == 200
    assert (owned.root / "characters" / "nora" / "photos").is_dir()
    fresh = [owned.root, owned.root / "jobs.sqlite", owned.root / "settings.json", owned.root / "jobs"]
    fresh += [owned.root / "characters", *(owned.root / "characters" / "nora").rglob("*")]
    assert [str(path) for path in fresh if path.stat().st_mode & 0o077] == []


# ------------------------------------------------------------------------------------------------------- connections


def _head(owned, path, length, token=None):
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{owned.port}", "Content-Type: application/json"]
    lines += [f"Content-Length: {length}", f"X-SameFace: {owned.token if token is None else token}", "", ""]
    return "\r\n".join(lines).encode()


def _send(owned, slug, size, answers, token=None):
    """A picture of `size` bytes in base64, sent bit by bit; what is answered, or that nothing was."""
    begin, end, part = b'{"name": "a.jpg", "data": "', b'"}', b"QUJD" * (MB // 4)
    head = _head(owned, f"{PREFIX}/characters/{slug}/photos", len(begin) + size // 3 * 4 + len(end), token)
    with socket.create_connection(("127.0.0.1", owned.port), 60) as own:
        try:
            own.sendall(head + begin)
            for _ in range(size // 3 * 4 // MB):
                own.sendall(part)
            own.sendall(end)
        except OSError:
            pass  # refused before it was taken
        try:
            answers.append(own.recv(1000).split(b" ")[1].decode())
        except (OSError, IndexError):
            answers.append("closed")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux's /proc")
@pytest.mark.parametrize(
    ("slug", "token", "expected"), [("mara", "", "401"), ("nobody", None, "404"), ("mara", None, "200")]
)
def test_three_large_uploads_at_once_need_little_memory(owned, slug, token, expected):
    before, answers = owned.peak(), []
    sends = [threading.Thread(target=_send, args=(owned, slug, 96 * MB, answers, token)) for _ in range(3)]
    for one in sends:
        one.start()
    for one in sends:
        one.join(120)
    assert set(answers) - {"closed"} == {expected}
    assert owned.peak() - before < 48 * MB
    assert not any((owned.root / "uploads").glob("*")) if (owned.root / "uploads").exists() else True
    owned.said()


def _closed_within(own, seconds):
    """Whether the other side closes a connection in that time; what it says before is given back, too."""
    own.settimeout(seconds)
    said, end = b"", time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            if not (got := own.recv(1000)):
                return True, said
            said += got
    except TimeoutError:
        return False, said
    except OSError:
        return True, said
    return False, said


def _dribble(own, text, until):
    """Send byte by byte for so many seconds, or until it is closed."""
    end = time.monotonic() + until
    while time.monotonic() < end:
        try:
            own.sendall(text)
        except OSError:
            return
        time.sleep(0.2)


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"])
def test_a_connection_without_a_request_is_closed(owned, first):
    with socket.create_connection(("127.0.0.1", owned.port), 60) as own:
        own.sendall(first)
        assert _closed_within(own, HEADERS + 20)[0]


def test_headers_byte_by_byte_are_closed(owned):
    with socket.create_connection(("127.0.0.1", owned.port), 60) as own:
        own.sendall(b"GET / HTTP/1.1\r\n")
        begun = time.monotonic()
        _dribble(own, b"x", HEADERS + 20)
        assert _closed_within(own, 1)[0]
        assert time.monotonic() - begun < HEADERS + 15


def test_a_body_byte_by_byte_is_answered_and_closed(owned):
    owned.said()
    with socket.create_connection(("127.0.0.1", owned.port), 60) as own:
        own.sendall(_head(owned, f"{PREFIX}/characters/mara/photos", 100_000))
        sending = threading.Thread(target=_dribble, args=(own, b" ", BODY + 20), daemon=True)
        sending.start()
        closed, said = _closed_within(own, BODY + 15)
        assert closed
        assert b" 408 " in said
    sending.join(60)
    _one_line(owned)


def test_an_upload_that_breaks_off_is_one_line_in_the_log(owned):
    owned.said()
    with socket.create_connection(("127.0.0.1", owned.port), 60) as own:
        own.sendall(_head(owned, f"{PREFIX}/characters/mara/photos", 100_000) + b'{"name": "a.jpg", "data": "QUJD')
        time.sleep(0.3)
    _one_line(owned)


def _one_line(owned):
    end, lines = time.monotonic() + 20, []
    while time.monotonic() < end and not lines:
        time.sleep(0.2)
        lines += owned.said()
    time.sleep(0.3)
    lines += owned.said()
    assert len(lines) == 1, lines
    assert "/characters/{slug}/photos: the connection ended, or was too slow, before all was sent." in lines[0]
    assert not any((owned.root / "uploads").glob("*"))


def test_a_page_that_is_looked_at_stays(owned):
    """An answer that takes longer than the limits, and a connection that is used again, are not closed."""
    connection = http.client.HTTPConnection("127.0.0.1", owned.port, timeout=60)
    for pause in (HEADERS + 1, 0):
        connection.request("GET", f"{PREFIX}/state", headers={"X-SameFace": owned.token})
        assert connection.getresponse().read()
        time.sleep(pause)
    connection.close()
    assert urlsplit(owned.address).port == owned.port
