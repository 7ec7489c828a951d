"""The worker's end of the pipe: questions and answers, wishes, and a parent that is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import raises

from lib_lora.queue.running import worker_pipe
from lib_lora.queue.running.worker_pipe import WorkerPipe
from lib_lora.workspace.workspace import Workspace

ROOT = Path(__file__).parents[2]


class Pipe:
    """A worker's pipe, and the parent's ends of it."""

    def __init__(self, patience: float = 60.0) -> None:
        self.left: list[int] = []
        incoming, self.to_worker = os.pipe()
        self.from_worker, outgoing = os.pipe()
        self.open = {incoming, outgoing, self.to_worker, self.from_worker}
        self.worker = WorkerPipe(incoming, outgoing, patience, self.left.append)
        self.worker.start()

    def tell(self, *messages: object) -> None:
        for message in messages:
            os.write(self.to_worker, message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")

    def asked(self) -> dict[str, object]:
        return json.loads(os.read(self.from_worker, 65536))

    def hang_up(self, *ends: int) -> None:
        for end in ends or tuple(self.open):
            if end in self.open:
                os.close(end)
                self.open.discard(end)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.hang_up(made.to_worker)
    _soon(lambda: made.worker.gone)
    made.hang_up()


def _soon(true) -> None:
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.01)


def test_answers_come_one_by_one_until_the_last(pipe):
    answers = pipe.worker.ask("paint", folder="名前", pictures=[])
    pipe.tell({"id": 1, "number": 0}, {"id": 1, "number": 1})
    assert next(answers) == {"id": 1, "number": 0}
    assert next(answers) == {"id": 1, "number": 1}
    assert pipe.asked() == {"ask": "paint", "id": 1, "folder": "名前", "pictures": []}
    pipe.tell({"id": 1, "done": True})
    assert list(answers) == [{"id": 1, "done": True}]


def test_answers_to_another_question_are_not_for_this_one(pipe):
    first = pipe.worker.ask("paint")
    pipe.tell({"id": 1, "number": 0})
    next(first)
    first.close()  # given up
    pipe.tell({"id": 1, "number": 1}, {"id": 1, "done": True}, {"id": 2, "done": True, "file": None})
    assert list(pipe.worker.ask("reconstruct")) == [{"id": 2, "done": True, "file": None}]


@pytest.mark.parametrize("knows", [True, False])
def test_files_go_by_name_to_a_parent_that_knows_names_and_by_path_to_an_older_one(pipe, tmp_path, monkeypatch, knows):
    monkeypatch.delenv(worker_pipe.NAMES, raising=False)
    if knows:
        monkeypatch.setenv(worker_pipe.NAMES, "1")
    pipe.worker.workspace = Workspace(tmp_path)
    file, lora = tmp_path / "jobs" / "7" / "a.png", tmp_path / "characters" / "a.safetensors"
    pipe.tell({"id": 1, "done": True, "file": "jobs/7/a.png" if knows else str(file)})
    [answer] = pipe.worker.ask("paint", file=str(file), pictures=[{"lora": str(lora)}])
    assert answer["file"] == str(file)
    asked = pipe.asked()
    named = ("jobs/7/a.png", "characters/a.safetensors") if knows else (str(file), str(lora))
    assert (asked["file"], asked["pictures"][0]["lora"]) == named


def test_an_error_of_the_parent_is_said_as_it_is(pipe):
    pipe.tell({"id": 1, "error": "The webui has no model loaded."})
    with raises("parent-refused", has="The webui has no model loaded"):
        list(pipe.worker.ask("paint"))


@pytest.mark.parametrize("noise", [b"\n", b"nonsense\n", b"[1, 2]\n", b"3\n", b"\xff\xfe\n", b"[" * 100_000 + b"\n",
                                   b'{"wish": "dance"}\n', b'{"wish": ["stop"]}\n', b'{"done": true}\n'])  # fmt: skip
def test_what_is_no_message_is_passed_over(pipe, noise):
    pipe.tell(noise, {"id": 1, "done": True})
    assert list(pipe.worker.ask("paint")) == [{"id": 1, "done": True}]
    assert not pipe.worker.stopping()


def test_a_message_may_come_in_pieces_and_several_at_once(pipe):
    pipe.tell(b'{"id": 1, "num')
    answers = pipe.worker.ask("paint")
    threading.Timer(0.2, pipe.tell, [b'ber": 4}\r\n{"id": 1, "number": 5}\n{"id": 1, "done": true}\n']).start()
    assert [answer.get("number") for answer in answers] == [4, 5, None]


@pytest.mark.parametrize("wish", ["stop", "pause"])
def test_a_wish_ends_the_wait_for_an_answer(pipe, wish):
    threading.Timer(0.2, pipe.tell, [{"wish": wish}]).start()
    with raises("work-stopped"):
        list(pipe.worker.ask("paint"))
    assert (pipe.worker.wish, pipe.worker.stopping(), pipe.worker.gone) == (wish, True, False)
    with raises("work-stopped"):
        pipe.worker.check()


def test_nothing_is_asked_once_it_shall_stop(pipe):
    pipe.tell({"wish": "pause"}, {"wish": "stop"})
    _soon(lambda: pipe.worker.wish == "stop")
    with raises("work-stopped"):
        next(pipe.worker.ask("paint"))
    os.set_blocking(pipe.from_worker, False)
    with pytest.raises(BlockingIOError):
        os.read(pipe.from_worker, 100)


def test_the_end_of_the_pipe_is_the_end_of_the_work(capsys):
    made = Pipe(patience=0.1)
    assert not made.worker.stopping()
    made.hang_up(made.to_worker)
    _soon(lambda: made.left)  # whoever has not saved by then is ended
    assert made.left == [1]
    assert made.worker.gone
    with raises("parent-gone"):
        made.worker.check()
    assert "has closed the pipe; saving" in capsys.readouterr().err
    made.hang_up()


@pytest.mark.parametrize(("pace", "waits"), [(0.0, 0.1), (0.5, 61.5), (100.0, 360.0)])
def test_whoever_is_in_a_long_step_has_longer_to_save(monkeypatch, pace, waits):
    timers = []
    monkeypatch.setattr(worker_pipe.threading, "Timer", lambda *arguments, **_: timers.append(arguments) or Silent())
    made = Pipe(patience=0.1)
    made.worker.pace = pace
    made.hang_up(made.to_worker)
    _soon(lambda: timers)
    assert timers[0][0] == waits
    made.hang_up()


class Silent:
    """A timer that never rings."""

    def start(self) -> None:
        pass


def test_a_parent_that_does_not_read_is_gone_too(pipe):
    pipe.hang_up(pipe.from_worker)
    with raises("parent-gone"):
        list(pipe.worker.ask("paint"))
    assert pipe.worker.gone


# -- in a process of its own

WORKER = """
import os, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from lib_lora.queue.running import worker_pipe as channels
channels._POLL = 0.1
pipe = channels.take_standard_streams()
print("print 名前")
os.write(1, b"library\\n")
subprocess.run([sys.executable, "-c", "import sys; print(repr(sys.stdin.read()))"], check=True)
print("pid", os.getpid())
if len(sys.argv) > 2:
    [answer] = pipe.ask("reconstruct", file="ü")
    print("answer", answer["file"])
while not pipe.gone:
    time.sleep(0.05)
print("gone")
"""


def test_only_messages_get_into_the_pipe_and_all_else_into_the_log(tmp_path):
    log = tmp_path / "log.txt"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}  # as on an old console
    with (
        open(log, "wb") as errors,
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(ROOT), "ask"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
        ) as worker,
    ):
        assert json.loads(worker.stdout.readline()) == {"ask": "reconstruct", "id": 1, "file": "ü"}
        worker.stdin.write(b'{"id": 1, "done": true, "file": "b.png"}\n')
        worker.stdin.flush()
        _soon(lambda: "answer" in log.read_text(encoding="utf-8"))
        worker.stdin.close()
        assert worker.stdout.read() == b""
        assert worker.wait(timeout=20) == 0
    lines = log.read_text(encoding="utf-8").splitlines()
    assert lines[:3] == ["print 名前", "library", "''"]
    assert lines[4] == "answer b.png"
    assert lines[5].startswith("The process that started this one has closed the pipe")
    assert lines[6] == "gone"


PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", *sys.argv[1:]])
time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="a pipe is passed on otherwise there")
def test_a_killed_parent_is_noticed_although_somebody_else_holds_the_pipe(tmp_path):
    log = tmp_path / "log.txt"
    with (
        open(log, "wb") as errors,
        subprocess.Popen(
            [sys.executable, "-c", PARENT, WORKER, str(ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        ) as parent,
    ):
        _soon(lambda: "pid" in log.read_text(encoding="utf-8"))
        time.sleep(0.3)
        assert "gone" not in log.read_text(encoding="utf-8")
        parent.kill()
        _soon(lambda: "gone" in log.read_text(encoding="utf-8"))
        assert "has ended; saving" in log.read_text(encoding="utf-8")


def test_another_process_of_the_parents_number_is_not_the_parent(monkeypatch):
    """Its time of birth differs; here the parent has ended before it was looked at."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    made = Pipe()
    monkeypatch.setattr(worker_pipe.os, "getppid", lambda: child.pid)
    made.worker.start(child.pid)
    _soon(lambda: made.worker.gone)
    made.hang_up()
