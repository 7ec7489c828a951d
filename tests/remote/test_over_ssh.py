"""OpenSSH's own client and server on the loopback: keys, refusals, workers that outlive a connection, transfers."""

import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from become_true import eventually
from faults import raises
from ssh_server import MISSING, SshServer, available

from lib_lora.remote import openssh, places, sftp, transfers
from lib_lora.remote.connection import Connection, Unreachable, probe
from lib_lora.remote.transfers import Sent, fetch, send, sent

pytestmark = [
    pytest.mark.skipif(not available(), reason=MISSING),
    pytest.mark.once("it uses the standard library and OpenSSH alone"),
]
JOB = "home-1"
MEGABYTE = 1 << 20


def _sha(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def root(tmp_path):
    """A data folder whose name would mean something to ssh and to a shell."""
    folder = tmp_path / "zu Hause ü 50% \"d\" 'e' $(touch hacked)"
    folder.mkdir()
    yield folder
    assert not Path("hacked").exists()


@pytest.fixture
def place(server, tmp_path):
    """The server, with a folder of its own there."""
    return server.place(folder=str(tmp_path / "dort ü 'a' \"b\" [c]* %h $(touch hacked)"))


@pytest.fixture
def there(root, place):
    made = Connection(root, place)
    yield made
    made.close()


@pytest.fixture
def far(place):
    return Path(place.folder)


@pytest.fixture
def patient(monkeypatch):
    """Without pauses between two tries."""
    monkeypatch.setattr(transfers, "_pause", lambda tries, stop: None)


# ------------------------------------------------------------------------------------------------ reaching it


def test_what_is_there(there, far, root, place):
    machine = probe(there)
    assert machine.python == "{}.{}.{}".format(*sys.version_info)
    assert machine.cores == len(os.sched_getaffinity(0))
    assert far.is_dir()
    known = places.known_hosts(root, place).read_text()
    assert (known.count("\n"), known.count(" ssh-")) == (1, 1)


def test_the_host_key_is_pinned(tmp_path, root):
    server = SshServer(tmp_path / "server")
    server.start()
    try:
        place = server.place()
        places.save(root, place)
        there = Connection(root, place)
        probe(there)
        pinned = places.known_hosts(root, place).read_bytes()
        there.close()
        server.stop()
        with pytest.raises(Unreachable) as gone:
            there.ask("jobs")
        assert gone.value.code == "host-unreachable"
        server.new_host_key()
        server.start()
        for _ in range(2):
            with raises("host-key-changed", has="place remove workshop"):
                there.ask("jobs")
        with raises("host-key-changed"):  # the same by sftp
            _batch(there, ["pwd"], tmp_path)
        assert places.known_hosts(root, place).read_bytes() == pinned
        places.remove(root, "workshop")  # as the sentence says
        places.save(root, place)
        assert there.ask("jobs") == {"jobs": []}
        assert places.known_hosts(root, place).read_bytes() != pinned
        there.close()
    finally:
        server.stop()


def test_a_login_that_is_refused(server, root, place, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    wrong = (replace(place, key=str(tmp_path / "other")), replace(place, key=str(tmp_path / "no such key")))
    for refused in (*wrong, replace(place, user="nobody-of-that-name")):
        there = Connection(root, refused)
        with raises("ssh-login-refused", has=refused.address()):
            there.ask("jobs")
        with raises("ssh-login-refused"):
            _batch(there, ["pwd"], tmp_path)


def test_a_wrong_key_is_refused_while_a_connection_with_the_right_one_is_shared(root, place, there, tmp_path):
    there.ask("jobs")
    other = Connection(root, replace(place, key=str(tmp_path / "no such key")))
    with raises("ssh-login-refused"):
        other.ask("jobs")


def test_a_key_with_a_name_of_any_kind_and_from_anywhere(server, root, place, tmp_path, monkeypatch):
    key = tmp_path / "my \"key\" 50%d 'ü'"
    shutil.copy(server.key, key)
    monkeypatch.chdir(tmp_path)
    for text in (str(key), key.name):
        there = Connection(root, replace(place, key=text))
        assert there.ask("jobs") == {"jobs": []}
        send(there, [_file(tmp_path / "a", text.encode())])
        there.close()


def test_nobody_answers(root, place, tmp_path):
    gone = Connection(root, replace(place, port=1))
    with raises("host-unreachable", has="127.0.0.1:1"):
        gone.ask("jobs")
    with pytest.raises(Unreachable):
        _batch(gone, ["pwd"], tmp_path)
    with raises("host-unreachable", has="[::1]:1"):
        Connection(root, replace(place, host="::1", port=1)).ask("jobs")


def test_no_host_of_that_name(root, place, tmp_path):
    unknown = Connection(root, replace(place, name="other", host="no-such-host.invalid"))
    for ask in (lambda: unknown.ask("jobs"), lambda: _batch(unknown, ["x"], tmp_path)):
        with raises(("host-unknown", "host-unreachable"), place="other"):  # the latter where there is no network
            ask()


@pytest.mark.parametrize("python", ["python9", "/no/such/python", "/etc/passwd", "~/no-python"])
def test_no_python_there(root, place, python):
    with raises("remote-python-missing", has=(python, "place add workshop", "--python PROGRAM")):
        Connection(root, replace(place, python=python)).ask("jobs")


def test_a_greeting_at_login_is_said(root, place, tmp_path):
    talks = tmp_path / "python"
    talks.write_text(f'#!/bin/sh\necho Welcome\nexec "{sys.executable}" "$@"\n')
    talks.chmod(0o755)
    with raises("remote-answer-unreadable", has="prints"):
        Connection(root, replace(place, python=str(talks))).ask("jobs")


@pytest.mark.skipif(not shutil.which("python3"), reason="needs a python3")
def test_a_folder_there_that_is_a_file(root, place, tmp_path):
    (tmp_path / "file").touch()
    with raises("remote-refused"):
        probe(Connection(root, replace(place, folder=str(tmp_path / "file"))))


def test_sockets_of_somebody_else(root, place, monkeypatch):
    with tempfile.TemporaryDirectory() as short:
        monkeypatch.setattr("tempfile.tempdir", short)
        Path(short, f"sameface-{os.getuid()}").symlink_to("/tmp")
        with raises("folder-not-ours"):
            Connection(root, place).ask("jobs")


# ------------------------------------------------------------------------------------------------ workers


def test_a_worker_outlives_connection_and_server(tmp_path, root):
    server = SshServer(tmp_path / "server")
    server.start()
    there = Connection(root, server.place())
    version = "a" * 64
    python = Path(server.place().folder) / "versions" / version[:16] / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho begun >&2\nread line\necho "$line" >&2\nread line\nexit 7\n')
    python.chmod(0o755)
    try:
        there.ask("arrange", job=JOB, files={}, shared={})
        assert there.ask("start", job=JOB, version=version, arguments=["worker"]) == {"started": True}
        server.stop()
        with pytest.raises(Unreachable):
            there.ask("state", job=JOB)
        server.start()
        assert there.ask("state", job=JOB)["running"] is True
        there.ask("wish", job=JOB, wish="stop")
        eventually(lambda: b'{"wish": "stop"}' in there.ask_bytes("read", job=JOB, name="", offset=0)[1])
        there.close()
        there.ask("wish", job=JOB, wish="again")
        eventually(lambda: there.ask("state", job=JOB)["exit"] == 7)
        assert there.ask("erase", job=JOB) == {"left": []}
    finally:
        with suppress(Unreachable):
            there.ask("kill", job=JOB)
        there.close()
        server.stop()


# ------------------------------------------------------------------------------------------------ sending


def _batch(there, lines, folder):
    there._check(sftp.run(there.root, there.place, lines, folder, lambda: None, lambda: False))


def _file(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return sent(path)


def test_names_of_any_kind_and_what_is_there_already(there, far, tmp_path, monkeypatch):
    names = [
        "a b",
        "ü 名前",
        "-x",
        "--",
        '"q"',
        "[a]*?",
        "back\\slash",
        "$(touch hacked)",
        "'",
        "line\nend",
        "#c",
        ".hidden",
    ]
    names += ["!touch hacked", "~", os.fsdecode(b"no text \xff"), "x" * 250, "empty", "a/b/c", "other/a b"]
    files = [_file(tmp_path / "l ü" / name, b"" if name == "empty" else os.fsencode(name)) for name in names]
    said = []
    send(there, files, progress=lambda done, whole: said.append((done, whole)))
    for one in files:
        assert (far / "files" / one.sha256).read_bytes() == one.path.read_bytes()
    assert not list((far / "files").glob("*.part"))
    whole = sum(one.size for one in {one.sha256: one for one in files}.values())
    assert said[-1] == (whole, whole)
    monkeypatch.setattr(openssh, "start_transfer", None)  # nothing is sent twice
    send(there, files)
    assert there.ask("expect", files=[[one.sha256, one.size] for one in files], job=JOB)["missing"] != {}


def test_private_files_are_the_jobs_alone(there, far, tmp_path):
    send(there, [_file(tmp_path / "a", b"photo")], JOB)
    assert (far / "jobs" / JOB / "files" / _sha(b"photo")).read_bytes() == b"photo"
    assert not (far / "files").exists()
    assert (far / "jobs" / JOB).stat().st_mode & 0o777 == 0o700


@pytest.fixture
def slow(monkeypatch):
    """Transfers of 20 MB a second; their batches and processes."""
    seen = []
    options, start = openssh.options, openssh.start_transfer

    def limited(root, place, port_flag="-p"):
        return [*options(root, place, port_flag), *(["-l", str(20 * 8 * 1024)] if port_flag == "-P" else [])]

    def started(connection_root, place, batch, folder):
        process = start(connection_root, place, batch, folder)
        seen.append((list(batch), process))
        return process

    monkeypatch.setattr(openssh, "options", limited)
    monkeypatch.setattr(openssh, "start_transfer", started)
    return seen


def _cut(seen, path, size):
    """Kill the first transfer once a file has this size; the sizes seen from then on."""
    sizes = []

    def watch():
        until = time.monotonic() + 60
        while time.monotonic() < until and (not path().is_file() or path().stat().st_size < size):
            time.sleep(0.001)
        seen[0][1].kill()
        while time.monotonic() < until and len(seen) < 3:
            with suppress(OSError):
                sizes.append(path().stat().st_size)
                if len(seen) > 1 and seen[1][1].poll() is not None:
                    return
            time.sleep(0.001)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return sizes, thread


def test_sending_goes_on_where_it_was_cut_off(there, far, tmp_path, slow, patient):
    content = random.Random(1).randbytes(50 * MEGABYTE)
    big = _file(tmp_path / "big ü", content)
    part = far / "files" / f"{big.sha256}.part"
    sizes, thread = _cut(slow, lambda: part, 10 * MEGABYTE)
    said = []
    send(there, [big], progress=lambda done, whole: said.append(done))
    thread.join(10)
    assert (far / "files" / big.sha256).read_bytes() == content
    assert [batch[0].split()[0] for batch, _ in slow] == ["put", "reput"]
    assert 10 * MEGABYTE <= min(sizes) < 45 * MEGABYTE  # what was there was never thrown away
    assert sizes == sorted(sizes)
    assert said == sorted(said)


@pytest.mark.parametrize("length", [1000, 5000, 9000])
def test_a_part_with_another_content_is_sent_anew(there, far, tmp_path, length):
    """Cut off, whole, or too long: its hash says so."""
    one = _file(tmp_path / "a", b"x" * 5000)
    part = Path(there.ask("expect", files=[], job=None)["folder"]) / f"{one.sha256}.part"
    part.write_bytes(b"y" * length)
    send(there, [one])
    assert (far / "files" / one.sha256).read_bytes() == b"x" * 5000


def test_a_part_that_came_as_a_whole_is_only_looked_at(there, far, tmp_path, monkeypatch):
    one = _file(tmp_path / "a", b"x" * 5000)
    part = Path(there.ask("expect", files=[], job=None)["folder"]) / f"{one.sha256}.part"
    part.write_bytes(b"x" * 5000)
    monkeypatch.setattr(openssh, "start_transfer", None)
    send(there, [one])
    assert (far / "files" / one.sha256).read_bytes() == b"x" * 5000


def test_a_file_that_changes_while_it_is_sent(there, far, tmp_path, monkeypatch):
    one = _file(tmp_path / "a", b"x" * 5000)
    start = openssh.start_transfer
    calls = []

    def changed(*words):
        calls.append(words)
        one.path.write_bytes(b"z" * 5000)
        return start(*words)

    monkeypatch.setattr(openssh, "start_transfer", changed)
    with raises("transfer-damaged", has=(one.path, "changed"), file=one.path):
        send(there, [one])
    assert len(calls) == 1
    assert not list((far / "files").iterdir())


def test_a_file_that_goes_while_it_is_sent(there, tmp_path):
    one = _file(tmp_path / "a", b"x" * 5000)
    one.path.unlink()
    with raises("file-missing", has=one.path):
        send(there, [one])
    with raises("file-missing"):
        sent(one.path)


def test_a_hash_that_is_wrong_twice(there, tmp_path, monkeypatch):
    one = _file(tmp_path / "a", b"x" * 5000)
    start = openssh.start_transfer
    calls = []

    def damaged(root, place, batch, folder):
        calls.append(batch)
        (folder / one.sha256).unlink()
        (folder / one.sha256).write_bytes(b"damaged on its way")
        return start(root, place, batch, folder)

    monkeypatch.setattr(openssh, "start_transfer", damaged)
    with raises("transfer-damaged", has=one.path):
        send(there, [one])
    assert len(calls) == 2


def test_sending_is_stopped_and_goes_on(there, far, tmp_path, slow):
    big = _file(tmp_path / "big", bytes(20 * MEGABYTE))
    part = far / "files" / f"{big.sha256}.part"
    with raises("transfer-stopped"):
        send(there, [big], stop=lambda: part.is_file() and part.stat().st_size > 0)
    assert slow[0][1].poll() is not None
    size = part.stat().st_size
    assert 0 < size < 20 * MEGABYTE
    send(there, [big])
    assert (far / "files" / big.sha256).stat().st_size == 20 * MEGABYTE
    assert slow[1][0][0].startswith("reput ")


def test_a_place_that_stays_away(root, place, tmp_path, patient, there, monkeypatch):
    one = _file(tmp_path / "a", b"x" * 5000)
    calls = []

    def away(connection_root, to, batch, folder):
        calls.append(batch)
        return start(connection_root, replace(to, port=1), batch, folder)

    start = openssh.start_transfer
    monkeypatch.setattr(openssh, "start_transfer", away)
    with pytest.raises(Unreachable):
        send(there, [one])
    assert len(calls) == 5


def test_what_lies_there_in_the_way(there, far, tmp_path, patient):
    one = _file(tmp_path / "a", b"x")
    (far / "files" / f"{one.sha256}.part").mkdir(parents=True)
    with raises("transfer-damaged", file=one.path):
        send(there, [one])


class Liar:
    """A connection whose far end answers as it likes."""

    def __init__(self, there, **answers):
        self.there, self.answers, self.asked = there, answers, []
        self.root, self.place = there.root, there.place
        self.put, self.get = there.put, there.get

    def ask(self, what, **fields):
        self.asked.append(what)
        answer = self.answers.get(what)
        found = self.there.ask(what, **fields) if answer is None or callable(answer) else answer
        return answer(found) if callable(answer) else found


@pytest.mark.parametrize(
    "answer",
    [
        [],
        "text",
        {},
        {"folder": "/tmp"},
        {"folder": None, "missing": {}},
        {"folder": "relative", "missing": {}},
        {"folder": '/tmp/x"\n!touch hacked\n"', "missing": {}},
        {"folder": "/tmp/\r", "missing": {}},
        {"folder": "/tmp", "missing": ["a"]},
    ],
)
def test_where_to_send_is_looked_at(there, tmp_path, answer):
    with raises("remote-answer-unreadable"):
        send(Liar(there, expect=answer), [_file(tmp_path / "a", b"x")])


def test_other_lies_while_sending(there, far, tmp_path):
    one = _file(tmp_path / "a", b"x" * 5000)
    for size in ("many", -1, None, 1.5, [1]):
        send(
            Liar(there, expect=lambda found, size=size: {**found, "missing": dict.fromkeys(found["missing"], size)}),
            [one],
        )
        (far / "files" / one.sha256).unlink()
    more = {"a" * 64: 0, "../x": 1, "": "x"}
    send(
        Liar(
            there,
            expect=lambda found: {**found, "missing": {**found["missing"], **more}} if found["missing"] else found,
        ),
        [one],
    )
    for answer in ([], {}, {"wrong": None}, "x"):
        (far / "files" / one.sha256).unlink()
        with raises("remote-answer-unreadable"):
            send(Liar(there, accept=answer), [one])
        send(there, [one])
    (far / "files" / one.sha256).unlink()
    send(Liar(there, accept=lambda found: {"wrong": ["a" * 64, 7, None]}), [one])


# ------------------------------------------------------------------------------------------------ fetching


@pytest.fixture
def made(there):
    """Puts files into the data folder of a job there."""
    data = Path(there.ask("arrange", job=JOB, files={}, shared={})["data"])

    def put(**contents):
        for name, content in contents.items():
            (data / name).write_bytes(content)
        return data

    return put


def test_what_was_made_comes_home(there, made, far, tmp_path):
    made(a=b"one", b=b"two" * 1000, empty=b"", **{"c ü": b"one"})
    goal = tmp_path / "goal ü"
    names = {name: goal / f"{name} here" for name in ("a", "b", "empty", "c ü", "gone")}
    said = []
    come = fetch(there, JOB, names, tmp_path / "coming", lambda done, whole: said.append((done, whole)))
    assert come == ["a", "b", "empty", "c ü"]
    assert {path.name: path.read_bytes() for path in goal.iterdir()} == {
        "a here": b"one",
        "b here": b"two" * 1000,
        "empty here": b"",
        "c ü here": b"one",
    }
    assert said[-1] == (3003, 3003)
    assert list((tmp_path / "coming").iterdir()) == []
    assert list((far / "jobs" / JOB / "outgoing").iterdir()) == []
    assert fetch(there, JOB, {}, tmp_path / "coming") == []
    assert fetch(there, JOB, {"gone": goal / "gone"}, tmp_path / "coming") == []


def test_what_comes_has_our_rights(there, made, tmp_path, monkeypatch):
    data = made(a=b"one")
    (data / "a").chmod(0o4777)
    fetch(there, JOB, {"a": tmp_path / "a"}, tmp_path / "coming")
    assert (tmp_path / "a").stat().st_mode & 0o7777 == 0o644
    monkeypatch.setattr(transfers.file_permissions, "is_private", lambda path: True)
    fetch(there, JOB, {"a": tmp_path / "a"}, tmp_path / "coming")
    assert (tmp_path / "a").stat().st_mode & 0o7777 == 0o600


def test_fetching_goes_on_where_it_was_cut_off(there, made, tmp_path, slow, patient):
    content = random.Random(2).randbytes(50 * MEGABYTE)
    made(big=content)
    coming = tmp_path / "coming ü [a]"
    sizes, thread = _cut(slow, lambda: coming / _sha(content), 10 * MEGABYTE)
    assert fetch(there, JOB, {"big": tmp_path / "big"}, coming) == ["big"]
    thread.join(10)
    assert (tmp_path / "big").read_bytes() == content
    assert [batch[0].split()[0] for batch, _ in slow] == ["get", "reget"]
    assert 10 * MEGABYTE <= min(sizes) < 45 * MEGABYTE


@pytest.mark.parametrize("length", [1000, 5000, 9000])
def test_what_is_here_with_another_content_is_fetched_anew(there, made, tmp_path, length):
    made(a=b"x" * 5000)
    (tmp_path / "coming").mkdir()
    (tmp_path / "coming" / _sha(b"x" * 5000)).write_bytes(b"y" * length)
    assert fetch(there, JOB, {"a": tmp_path / "a"}, tmp_path / "coming") == ["a"]
    assert (tmp_path / "a").read_bytes() == b"x" * 5000


def test_nothing_is_put_in_place_whose_hash_is_wrong(there, made, tmp_path):
    made(a=b"x" * 5000)
    (tmp_path / "a").write_bytes(b"old")

    def lie(found):
        sha = found["files"]["a"][0]
        os.link(Path(found["folder"]) / sha, Path(found["folder"]) / ("b" * 64))
        return {**found, "files": {"a": ["b" * 64, 5000]}}

    liar = Liar(there, offer=lie)
    with raises("transfer-damaged", has="a", file="a"):
        fetch(liar, JOB, {"a": tmp_path / "a"}, tmp_path / "coming")
    assert liar.asked.count("offer") == 2
    assert (tmp_path / "a").read_bytes() == b"old"
    assert list((tmp_path / "coming").iterdir()) == []


def test_more_than_was_offered_is_not_waited_for(there, made, tmp_path, slow, monkeypatch):
    monkeypatch.setattr(sftp, "_POLL", 0.05)
    made(a=bytes(40 * MEGABYTE))
    liar = Liar(there, offer=lambda found: {**found, "files": {"a": [found["files"]["a"][0], 10]}})
    with raises("transfer-damaged"):
        fetch(liar, JOB, {"a": tmp_path / "a"}, tmp_path / "coming")
    assert not (tmp_path / "a").exists()
    assert all(process.returncode not in (0, None) for _, process in slow)  # cut off in the middle
    assert list((tmp_path / "coming").iterdir()) == []


def test_names_that_nobody_asked_for_are_passed_over(there, made, tmp_path):
    made(a=b"one", b=b"two")
    more = {"../../x": ["c" * 64, 1], "b": ["d" * 64, 1], "": None}
    liar = Liar(there, offer=lambda found: {**found, "files": {**found["files"], **more}})
    assert fetch(liar, JOB, {"a": tmp_path / "home" / "a"}, tmp_path / "home" / "coming") == ["a"]
    files = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert [name for name in files if name.startswith("home/")] == ["home/a"]
    assert not [path for path in tmp_path.rglob("x") if path.is_file()]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {"files": {}},
        {"folder": "/tmp", "files": []},
        {"folder": "relative", "files": {}},
        {"folder": '/tmp/"\n!touch hacked', "files": {}},
        {"folder": "/tmp", "files": {"a": None}},
        {"folder": "/tmp", "files": {"a": []}},
        {"folder": "/tmp", "files": {"a": ["c" * 64]}},
        {"folder": "/tmp", "files": {"a": {"0": "c" * 64, "1": 1}}},
        {"folder": "/tmp", "files": {"a": ["c" * 63, 1]}},
        {"folder": "/tmp", "files": {"a": ["../" + "c" * 61, 1]}},
        {"folder": "/tmp", "files": {"a": [["c" * 64], 1]}},
        {"folder": "/tmp", "files": {"a": ["c" * 64, -1]}},
        {"folder": "/tmp", "files": {"a": ["c" * 64, "1"]}},
        {"folder": "/tmp", "files": {"a": ["c" * 64, 1.5]}},
        {"folder": "/tmp", "files": {"a": ["c" * 64, True]}},
        {"folder": "/tmp", "files": {"a": ["c" * 64, 1, 2]}},
    ],
)
def test_what_is_offered_is_looked_at(there, tmp_path, answer):
    liar = Liar(there, offer=lambda found: answer)
    there.ask("arrange", job=JOB, files={}, shared={})
    with raises("remote-answer-unreadable"):
        fetch(liar, JOB, {"a": tmp_path / "a"}, tmp_path / "coming")


def test_what_has_no_room_here_is_refused_before_it_is_fetched(there, made, tmp_path, monkeypatch):
    made(a=b"x" * 5000)
    monkeypatch.setattr(openssh, "start_transfer", None)
    huge = Liar(there, offer=lambda found: {**found, "files": {"a": [found["files"]["a"][0], 1 << 60]}})
    with raises("disk-too-full", has=(tmp_path / "coming", "workshop")):
        fetch(huge, JOB, {"a": tmp_path / "a"}, tmp_path / "coming")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=4999))
    with raises("disk-too-full"):
        fetch(there, JOB, {"a": tmp_path / "a"}, tmp_path / "coming")
    monkeypatch.undo()
    (tmp_path / "coming" / _sha(b"x" * 5000)).write_bytes(b"x" * 10)  # the rest has room
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=4990))
    assert fetch(there, JOB, {"a": tmp_path / "a"}, tmp_path / "coming") == ["a"]


def test_fetching_is_stopped_and_goes_on(there, made, tmp_path, slow):
    content = random.Random(3).randbytes(20 * MEGABYTE)
    made(a=content)
    half = tmp_path / "coming" / _sha(content)
    with raises("transfer-stopped"):
        fetch(there, JOB, {"a": tmp_path / "a"}, half.parent, stop=lambda: half.is_file() and half.stat().st_size > 0)
    assert not (tmp_path / "a").exists()
    assert 0 < half.stat().st_size < 20 * MEGABYTE
    assert fetch(there, JOB, {"a": tmp_path / "a"}, half.parent) == ["a"]
    assert (tmp_path / "a").read_bytes() == content
    assert slow[1][0][0].startswith("reget ")


def test_a_file_that_is_replaced_there_while_it_comes(there, made, tmp_path):
    """What was offered is what comes; the next look sees the new one."""
    data = made(a=b"old")

    def replaced(found):
        (data / "a.new").write_bytes(b"new")
        (data / "a.new").replace(data / "a")
        return found

    assert fetch(Liar(there, offer=replaced), JOB, {"a": tmp_path / "a"}, tmp_path / "coming") == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"
    fetch(there, JOB, {"a": tmp_path / "a"}, tmp_path / "coming")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_what_is_sent_is_identified_by_its_hash(tmp_path):
    one = _file(tmp_path / "a", b"abc")
    assert one == Sent(tmp_path / "a", _sha(b"abc"), 3)
    assert sent(tmp_path / "a", "f" * 64).sha256 == "f" * 64
