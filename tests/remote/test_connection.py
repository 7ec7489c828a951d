"""Whatever the far end does, an answer is looked at, and a request ends with an answer or one sentence."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from become_true import eventually
from faults import check_sentence, raises

from lib_lora.errors import UserError
from lib_lora.remote import connection
from lib_lora.remote.connection import Connection, Unreachable, probe
from lib_lora.remote.places import Graphics, Place

pytestmark = pytest.mark.once("it uses the standard library alone")
PLACE = Place("workshop", "gpu", "mara")
FOUND = {
    "python": "3.12.1",
    "system": "linux",
    "time": 1.5,
    "cores": 8,
    "memory": 16 << 30,
    "disk_free": 99,
    "gpus": [{"name": "RTX\x1b[31m 4090", "memory": 24 << 30}],
}
# reads what every connection begins with, and the first request
BEGIN = "import sys, json, time, os\ni, o = sys.stdin.buffer, sys.stdout.buffer\n"
READ = BEGIN + "i.read(int(i.readline())); i.readline(); i.read(int(i.readline())); first = json.loads(i.readline())\n"
ECHO = READ + (
    "while first:\n"
    "    o.write(json.dumps({'ok': first}).encode() + b'\\n'); o.flush()\n"
    "    line = i.readline(); first = line and json.loads(line)\n"
)


@pytest.fixture
def far(tmp_path) -> Iterator:
    """Makes connections to far ends that run this code."""
    made = []

    def connect(code, place=PLACE):
        def start():
            pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
            return subprocess.Popen([sys.executable, "-S", "-E", "-u", "-c", code], **pipes)

        made.append(Connection(tmp_path, place, start))
        return made[-1]

    yield connect
    for one in made:
        one.close()


def _says(text, after=""):
    """A far end that answers with these bytes."""
    return READ + f"o.write({text!r}); o.flush()\n{after}"


def test_requests_and_answers(far):
    there = far(ECHO)
    for number in range(3):
        assert there.ask("look", number=number, text="ü\ud800\n") == {
            "do": "look",
            "number": number,
            "text": "ü\ud800\n",
        }


def test_the_agent_itself_answers(tmp_path, monkeypatch):
    """By what is sent for it, as over SSH; nothing but Python is there."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def start():
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen([sys.executable, "-S", "-E", "-u", "-c", connection._BOOT.strip("'")], **pipes)

    there = Connection(tmp_path, Place("workshop", "gpu", folder="here 'ü\"\\"), start)
    try:
        if sys.platform.startswith("linux"):
            assert probe(there).python == "{}.{}.{}".format(*sys.version_info)
            assert (tmp_path / "here 'ü\"\\").is_dir()
        with raises("remote-refused", has="mara@gpu" if there.place.user else "gpu"):
            there.ask("nonsense")
        assert there.ask("jobs") == {"jobs": []}
    finally:
        there.close()


@pytest.mark.parametrize(
    "text",
    [
        b"Welcome to gpu!\n",
        b"\n",
        b"42\n",
        b"[]\n",
        b"null\n",
        b'"ok"\n',
        b'{"ok": 1\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        b'{"ok": 1, "bytes": -1}\n',
        b'{"ok": 1, "bytes": 1e3}\n',
        b'{"ok": 1, "bytes": "7"}\n',
        b'{"ok": 1, "bytes": true}\n',
        b'{"ok": 1, "bytes": null}\n',
        b'{"ok": 1, "bytes": 16777217}\n',
        b'{"ok": 1, "bytes": 99999999999999999999}\n',
        b'{"ok": ' + b"9" * 5000 + b"\n",
    ],
)
def test_what_is_no_answer(far, text):
    there = far(_says(text, "time.sleep(5)"))
    with raises("remote-answer-unreadable", place="workshop"):
        there.ask_bytes("look")
    assert there._process is None  # nothing that comes yet is taken for the next answer


def test_an_answer_without_end(far, monkeypatch):
    monkeypatch.setattr(connection, "_LONGEST", 1 << 16)
    there = far(READ + "while True: o.write(b'x' * 65536)")
    with raises("remote-answer-unreadable"):
        there.ask("look")


def test_more_bytes_than_were_said(far):
    """They are taken for the next answer, and refused as one."""
    there = far(_says(b'{"ok": 1, "bytes": 2}\nabcd\n', "i.read()"))
    assert there.ask_bytes("look") == (1, b"ab")
    with raises("remote-answer-unreadable"):
        there.ask("look")


@pytest.mark.parametrize("text", [b"", b'{"ok"', b'{"ok": 1, "bytes": 5}\nab'])
def test_an_end_in_the_middle(far, text):
    there = far(_says(text, "sys.stderr.write('client_loop: send disconnect: Broken pipe\\r\\n')"))
    with pytest.raises(Unreachable) as caught:
        there.ask("look")
    assert caught.value.code == "host-unreachable"
    check_sentence(str(caught.value))


def test_after_an_end_it_is_connected_anew(far, tmp_path):
    flag = tmp_path / "flag"
    code = BEGIN + f"if not os.path.exists({str(flag)!r}): open({str(flag)!r}, 'w'); sys.exit('Connection reset')\n"
    there = far(code + ECHO)
    with pytest.raises(Unreachable):
        there.ask("look")
    assert there.ask("look") == {"do": "look"}


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        ("mara@gpu: Permission denied (publickey).", 255, "ssh-login-refused"),
        ("bash: line 1: python3: command not found", 127, "remote-python-missing"),
        ("bash: Zeile 1: Das da.", 127, "remote-python-missing"),
        ("Host key verification failed.", 255, "host-key-changed"),
        ("x" * 1_000_000 + "\nConnection refused", 255, "host-unreachable"),
    ],
)
def test_why_there_is_no_connection(far, said, status, code):
    """Also where it is over before the first byte is sent, and whatever was said before."""
    length = len(said)
    write = f"sys.stderr.write({said[-200:]!r}.rjust({length}))" if length > 1000 else f"sys.stderr.write({said!r})"
    for wait in ("", "time.sleep(0.05)"):
        there = far(BEGIN + f"{wait}\n{write}\nsys.exit({status})")
        with raises(code, place="workshop"):
            there.ask("look")


@pytest.mark.skipif(not Path("/bin/sh").exists(), reason="needs a shell")
def test_what_is_said_last_is_heard(far):
    """It may come when the process has ended already."""
    late = "sleep 0.3; echo 'mara@gpu: Permission denied (publickey).' >&2"
    child = f"subprocess.Popen(['/bin/sh', '-c', {late!r}], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)"
    there = far(f"import os, subprocess\n{child}\nos._exit(255)")
    with raises("ssh-login-refused"):
        there.ask("look")


def test_a_far_end_that_hangs_is_left(far):
    there = far(READ + "time.sleep(60)")
    caught: list[BaseException] = []

    def ask():
        try:
            there.ask("look")
        except UserError as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    eventually(lambda: there._process is not None)
    time.sleep(0.1)
    began = time.monotonic()
    there.close()
    thread.join(5)
    assert not thread.is_alive()
    assert time.monotonic() - began < 6
    assert isinstance(caught[0], Unreachable)
    assert there._process is None


def test_an_interrupted_request_leaves_no_answer_for_the_next(far, monkeypatch):
    there = far(ECHO)
    there.ask("look")

    def interrupted(self, process, request):
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        raise KeyboardInterrupt

    monkeypatch.setattr(Connection, "_exchange", interrupted)
    with pytest.raises(KeyboardInterrupt):
        there.ask("look", number=1)
    monkeypatch.undo()
    assert there.ask("look", number=2)["number"] == 2


def test_threads_take_turns(far):
    there, found = far(ECHO), []
    threads = [threading.Thread(target=lambda n=n: found.append(there.ask("look", n=n)["n"] == n)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == [True] * 20


def test_closing_ends_the_far_end(far):
    there = far(ECHO)
    there.close()  # nothing was begun
    there.ask("look")
    process = there._process
    there.close()
    assert process.returncode == 0
    assert there.ask("look") == {"do": "look"}


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"error": "disk-full", "say": "1 bytes are needed"}, "remote-disk-full"),
        ({"error": "name", "say": "\x1b[31m" + "x" * 5000 + "\n"}, "remote-refused"),
        ({"error": ["x"], "say": {"a": 1}}, "remote-refused"),
        ({"error": None}, "remote-refused"),
    ],
)
def test_a_refusal_is_one_sentence(far, answer, code):
    there = far(_says(json.dumps(answer).encode() + b"\n"))
    with raises(code, place="workshop") as caught:
        there.ask("look")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def _probed(far, changes):
    answer = {"ok": {**FOUND, **changes} if isinstance(changes, dict) else changes}
    return probe(far(_says(json.dumps(answer).encode() + b"\n", "i.read()")))


def test_what_a_machine_has(far):
    machine = _probed(far, {})
    assert (machine.python, machine.system, machine.cores, machine.memory) == ("3.12.1", "linux", 8, 16 << 30)
    assert machine.gpus == [Graphics("RTX[31m 4090", 24 << 30)]
    assert _probed(far, {"memory": None, "gpus": []}).memory is None


@pytest.mark.parametrize(
    "changes",
    [
        None,
        7,
        "text",
        [],
        {"python": None},
        {"python": 3.12},
        {"python": ""},
        {"python": "three.ten"},
        {"python": "3.x"},
        {"system": None},
        {"system": ["linux"]},
        {"time": float("nan")},
        {"time": float("inf")},
        {"time": 10**400},
        {"time": "1"},
        {"time": True},
        {"cores": 1.5},
        {"cores": "8"},
        {"cores": -1},
        {"cores": True},
        {"cores": 10**30},
        {"cores": float("inf")},
        {"memory": "16"},
        {"memory": -1},
        {"disk_free": None},
        {"disk_free": []},
        {"gpus": None},
        {"gpus": {}},
        {"gpus": "RTX"},
        {"gpus": [7]},
        {"gpus": [{}]},
        {"gpus": [{"name": None, "memory": 1}]},
        {"gpus": [{"name": "a", "memory": None}]},
        {"gpus": [{"name": "a", "memory": float("nan")}]},
    ],
)
def test_what_is_no_machine(far, changes):
    with raises("remote-answer-unreadable", place="workshop"):
        _probed(far, changes)


def test_what_a_machine_says_is_cut_and_can_be_shown(far):
    machine = _probed(
        far,
        {"python": "3.10.1\x1b]0;x\x07\n" + "y" * 5000, "gpus": [{"name": "\u202e" + "z" * 500, "memory": 1}] * 150},
    )
    assert machine.python.isprintable()
    assert len(machine.python) <= 100
    assert len(machine.gpus) == 64
    assert all(len(one.name) <= 100 and one.name.isprintable() for one in machine.gpus)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"python": "3.9.18"}, "remote-python-too-old"),
        ({"python": "2.7"}, "remote-python-too-old"),
        ({"python": "3"}, "remote-python-too-old"),
        ({"system": "win32"}, "remote-system-unsupported"),
        ({"system": "darwin"}, "remote-system-unsupported"),
        ({"system": "\nlinux"}, "linux"),
    ],
)
def test_machines_that_cannot_train(far, changes, code):
    if code == "linux":
        assert _probed(far, changes).system == "linux"
        return
    with raises(code, place="workshop", has="gpu"):
        _probed(far, changes)


def test_where_the_client_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(connection.openssh.shutil, "which", lambda name: None)
    monkeypatch.setenv("SYSTEMROOT", str(Path(tmp_path)))
    with raises("openssh-missing"):
        Connection(tmp_path, PLACE).ask("look")
