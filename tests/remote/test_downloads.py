"""A base model that the other machine fetches from an address: resumed, checked by its hash, and otherwise sent."""

import hashlib
import os
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from become_true import eventually
from faults import raises

from lib_lora.errors import UserError
from lib_lora.queue.runners import remote_job
from lib_lora.queue.runners.remote_job import RemoteJob
from lib_lora.remote import base_addresses, transfers
from lib_lora.remote.places import Place
from lib_lora.workspace.workspace import Workspace

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it runs on Linux alone"),
    pytest.mark.once("it uses the standard library alone"),
]
CONTENT = os.urandom(3 << 20)
SHA = hashlib.sha256(CONTENT).hexdigest()


class WebServer(ThreadingHTTPServer):
    """Serves one file, and notes what was asked for.

    Attributes:
        content: of the file.
        status: of each answer; 0 = as it should be.
        most: bytes that one answer gives before it is cut off.
        ranges: whether it goes on where it is asked to.
        asked: the range of each request.
        goes: whether answers go on.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content, self.status, self.most, self.ranges = CONTENT, 0, len(CONTENT), True
        self.asked, self.goes = [], threading.Event()
        self.goes.set()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}/models/base.safetensors"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range", ""))
        if server.status:
            self.send_error(server.status)
            return
        begin = int(self.headers.get("Range", "bytes=0-")[6:-1]) if server.ranges else 0
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(server.content) - 1}/{len(server.content)}")
        self.send_header("Content-Length", str(len(server.content) - begin))
        self.end_headers()
        self.wfile.write(server.content[begin : begin + server.most])
        self.wfile.flush()
        server.goes.wait(20)
        self.close_connection = True

    def log_message(self, *words):
        pass


@pytest.fixture
def web():
    server = WebServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.goes.set()
    server.shutdown()
    server.server_close()


def fetched(here, web):
    """The last answer about a download that has ended."""
    answers = []

    def ended():
        answers.append(here.download(SHA, len(CONTENT), web.address))
        return answers[-1]["state"] != "running"

    eventually(ended)
    return answers[-1]


def test_it_is_fetched_and_has_its_hash(here, web):
    assert fetched(here, web) == {"state": "done", "said": "", "have": len(CONTENT)}
    assert (here._files(None) / SHA).read_bytes() == CONTENT
    assert sorted(path.name for path in here._files(None).iterdir()) == [SHA]
    assert fetched(here, web)["state"] == "done"
    assert len(web.asked) == 1


def test_what_was_cut_off_goes_on(here, web):
    web.most = 1 << 20
    assert fetched(here, web)["state"] == "done"
    assert web.asked == ["", f"bytes={1 << 20}-", f"bytes={2 << 20}-"]


def test_a_server_that_knows_no_ranges_begins_again(here, web):
    folder = here._files(None)
    folder.mkdir(parents=True)
    (folder / f"{SHA}.part").write_bytes(CONTENT[:1000])
    web.ranges = False
    assert fetched(here, web)["state"] == "done"


@pytest.mark.parametrize("content", [b"x" * len(CONTENT), CONTENT + b"x"])
def test_another_file_is_never_used(here, web, content, monkeypatch):
    web.content, web.most = content, len(content)
    monkeypatch.setattr(here, "text", here.text.replace("_TRIES = 8", "_TRIES = 2"))
    answer = fetched(here, web)
    assert answer["state"] == "failed"
    assert "file" in answer["said"]
    assert not (here._files(None) / SHA).exists()


def test_what_is_refused_is_asked_for_once_and_may_be_tried_again(here, web):
    web.status = 403
    answer = fetched(here, web)
    assert (answer["state"], len(web.asked)) == ("failed", 1)
    assert "403" in answer["said"]
    web.status = 0
    assert fetched(here, web)["state"] == "done"


def test_only_one_process_fetches_it_and_it_can_be_ended(here, web):
    web.goes.clear()
    web.most = 1000
    for _ in range(5):
        assert here.download(SHA, len(CONTENT), web.address)["state"] == "running"
    eventually(lambda: here.download(SHA, len(CONTENT), web.address)["have"] == 1000)
    here.end_download(SHA)
    web.goes.set()
    assert len(web.asked) == 1
    web.most = len(CONTENT)
    assert fetched(here, web)["state"] == "done"
    assert web.asked[1] == "bytes=1000-"


class Direct:
    """The connection of a job to an agent in this process."""

    def __init__(self, agent):
        self._agent, self.place = agent, Place("attic", "gpu.example.org")

    def ask(self, what, **fields):
        return getattr(self._agent, what)(**fields)

    def close(self):
        pass


@pytest.fixture
def job(here, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_job, "POLL", 0.02)
    said = []
    made = RemoteJob(Workspace(tmp_path / "data"), "home-1", Direct(here), tmp_path / "way", said.append)
    made.said = said
    return made


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base.safetensors"
    path.write_bytes(CONTENT)
    return path


@contextmanager
def sending(monkeypatch, here):
    """Stands for sftp; the paths that are sent."""
    sent = []

    def send(connection, files, job=None, *_rest):
        for one in files:
            sent.append(one.path)
            here.expect([[one.sha256, one.size]], job)
            (here._files(job) / f"{one.sha256}.part").write_bytes(one.path.read_bytes())
            assert here.accept([one.sha256], job) == {"wrong": []}

    monkeypatch.setattr(transfers, "send", send)
    yield sent


def test_a_job_lets_it_be_fetched(job, here, web, base, monkeypatch):
    with sending(monkeypatch, here) as sent:
        there = job.share({"base.safetensors": transfers.Sent(base, SHA, len(CONTENT), web.address)})
    assert sent == []
    assert Path(there["base.safetensors"]).read_bytes() == CONTENT


def test_a_job_sends_what_cannot_be_fetched(job, here, web, base, monkeypatch):
    web.status = 404
    with sending(monkeypatch, here) as sent:
        there = job.share({"base.safetensors": transfers.Sent(base, SHA, len(CONTENT), web.address)})
    assert sent == [base]
    assert Path(there["base.safetensors"]).read_bytes() == CONTENT
    assert any("attic cannot fetch base.safetensors" in text and "404" in text for text in job.said)


def test_stopping_ends_the_download(job, here, web, base, monkeypatch):
    web.goes.clear()
    web.most = 1000
    threading.Timer(0.5, setattr, (job, "wish", "stop")).start()
    with sending(monkeypatch, here) as sent, raises(("transfer-stopped", "job-stopped")):
        job.share({"base.safetensors": transfers.Sent(base, SHA, len(CONTENT), web.address)})
    assert sent == []
    assert not list(here._files(None).glob("*.from"))


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd",
        "ftp://host/x",
        "https://",
        "base.safetensors",
        "https://host/a b",
        "https://host/ü",
        "https://host:99999/x",
        "https://user:secret@host/x",
        "https://host/x?token=abc",
        "https://host/x?API_KEY=abc",
        "https://host/x?X-Amz-Credential=abc&X-Amz-Signature=abc",
        "https://host/x?sig=abc",
        "https://host/x?hf_token=abc",
        "https://host/x?a=1&auth=",
        "https://host/" + "x" * 2000,
        "https://host/\n",
    ],
)
def test_what_is_no_address_or_has_a_secret_in_it_is_refused(address, tmp_path):
    with pytest.raises(UserError):
        base_addresses.check(address)
    base_addresses.note(tmp_path, SHA, address)  # somebody has written it there
    assert base_addresses.known(tmp_path, SHA) == ""


def test_an_address_is_known_by_the_hash(tmp_path):
    assert base_addresses.known(tmp_path, SHA) == ""
    base_addresses.note(tmp_path, SHA, "https://host/x?download=true")
    base_addresses.note(tmp_path, "0" * 64, "https://host/y")
    assert base_addresses.known(tmp_path, SHA) == "https://host/x?download=true"
    Workspace(tmp_path).base_addresses.write_text("[1", encoding="utf-8")
    assert base_addresses.known(tmp_path, SHA) == ""


def test_the_agent_itself_reads_nothing_but_the_web(here):
    class Passwords:
        address = "file:///etc/passwd"

    answer = fetched(here, Passwords)
    assert answer["state"] == "failed"
    assert "address" in answer["said"]
