"""What can go wrong while a machine that is reached over SSH trains: nothing is lost, and it is taken up again.

The server is a real one on the loopback; in place of the trainer there runs a script that saves a checkpoint and a
state at each step, as long as the test wants.
"""

import json
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image
from ssh_server import MISSING, SshServer, available
from test_ssh_runner import NAME, PERSONAS, SMALL, Host
from test_supervisor import eventually

from lib_lora.queue.job_types import TrainArguments
from lib_lora.queue.queue import Queue
from lib_lora.queue.runners import remote_job
from lib_lora.queue.runners.runner_choice import ChosenRunner
from lib_lora.queue.supervisor import Supervisor, Timeouts
from lib_lora.remote import installation, places
from lib_lora.runs.events import read_events
from lib_lora.training.plan.run_file import load_run, saved_steps
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workflows.photos.new_character import NewCharacter, new_character
from lib_lora.workflows.train.prepare import start_run
from lib_lora.workspace.workspace import Workspace

pytestmark = [
    pytest.mark.skipif(not available(), reason=MISSING),
    pytest.mark.once("how a worker elsewhere is reached is ours"),
]

SECRET = b"Hauptstrasse 5"
TRAINER = """
import json, os, pathlib, sys, threading, time
data, number = pathlib.Path(sys.argv[sys.argv.index("--data") + 1]), sys.argv[4]
job, [run] = data / "jobs" / number, data.glob("characters/*/runs/*")
control = pathlib.Path(os.environ["SAMEFACE_JOB"]).parents[1] / "control.json"
wishes = []
def listen():
    for line in sys.stdin:
        wishes.append(json.loads(line)["wish"])
threading.Thread(target=listen, daemon=True).start()
def say(path, kind, **fields):
    with open(path, "a", encoding="utf-8") as stream:
        stream.write(json.dumps({"t": time.time(), "kind": kind, **fields}) + "\\n")
def save(path, text):
    path.parent.mkdir(exist_ok=True)
    path.with_name(path.name + ".tmp").write_text(text)
    os.replace(path.with_name(path.name + ".tmp"), path)
job.mkdir(parents=True, exist_ok=True)
done = max([int(path.stem) for path in run.glob("state/*.pt")], default=0)
stem = [line.split()[1] for line in open(run / "run.yaml", encoding="utf-8") if line.startswith("stem:")][0]
print("on standard error, for the log", file=sys.stderr, flush=True)
if done:
    say(run / "events.jsonl", "state", state="resumed", step=done)
total, state = 6, "finished"
while done < total:
    wanted = json.loads(control.read_text())
    if wishes and not wanted.get("deaf"):
        state = "paused" if wishes[-1] == "pause" else "stopped"
        break
    if done >= wanted["until"]:
        time.sleep(0.02)
        continue
    done += 1
    for path in (job, run):
        say(path / "events.jsonl", "step", step=done, total=total)
    save(run / "checkpoints" / f"{stem}-{done:06d}.safetensors", "weights " * 100 + str(done))
    save(run / "state" / f"{done:06d}.pt", f"state {done}")
    (run / "state" / f"{done - 1:06d}.pt").unlink(missing_ok=True)
lora = f"{stem}-{done:06d}.safetensors"
say(job / "events.jsonl", "state", state=state)
save(job / "result.json", json.dumps({"state": state, "error": "", "result": {"run": run.name, "lora": lora}}))
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, toy):
    """A data folder with a character and a run that was made for another machine; a base model."""
    folder = tmp_path_factory.mktemp("prepared")
    root, base, photos = folder / "zu Hause ü", folder / "Basis 名前.safetensors", folder / "photos"
    shutil.copy(toy("sd1"), base)
    photos.mkdir()
    for number in range(3):
        with Image.open(PERSONAS / "mara" / f"{number:02d}.jpg") as picture:
            exif = Image.Exif()
            exif[0x0112], exif[0x010E] = (1, 6, 3)[number], SECRET.decode()
            picture.save(photos / f"Oma {number}.jpg", exif=exif, quality=90)
    new_character(root, NewCharacter(NAME, "mrxa", "woman", "fictional"), sorted(photos.iterdir()))
    start_run(root, NAME, TrainingRequest(base, overrides=SMALL, few=True, elsewhere=True))
    return root


class Harness:
    """A home, and a server on which the script stands for the trainer."""

    def __init__(self, folder, prepared):
        self.root = folder / "zu Hause ü"
        shutil.copytree(prepared, self.root)
        self.server = SshServer(folder / "server")
        self.server.start()
        self.place = self.server.place()
        self.there = Path(self.place.folder)
        places.save(self.root, self.place)
        version = self.there / "versions" / installation.built(self.root).sha256[:16]
        program = version / "venv" / "bin" / "python"
        program.parent.mkdir(parents=True)
        (version / "trainer.py").write_text(TRAINER, encoding="utf-8")
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -S {version}/trainer.py "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        (version / "ready.json").write_text("{}")
        self.host, self.queue = Host(folder), Queue(self.root)
        self.lets(6)
        self.supervisor = None
        self.open()

    def lets(self, until, **more):
        """Let the trainer go on to a step."""
        path = self.there / "control.json"
        path.with_suffix(".new").write_text(json.dumps({"until": until, **more}))
        path.with_suffix(".new").replace(path)

    def open(self):
        self.supervisor = Supervisor(
            self.root, self.host, ChosenRunner(self.root, lambda: self.host), Timeouts(poll=0.05, again=0.05)
        )
        self.supervisor.start()

    def add(self):
        job = self.queue.add(NAME, TrainArguments(run="001", few=True, then_test=False, on="ssh:workshop"))
        self.supervisor.wake()
        return job.id

    def until(self, number, true, seconds=60.0):
        eventually(true, seconds, lambda: (self.queue.get(number), self.events(number)))

    def ended(self, number):
        self.until(number, lambda: self.queue.get(number).ended)
        return self.queue.get(number)

    def at_step(self, number, step):
        """Wait until the checkpoint of a step has come home."""
        self.until(number, lambda: step in saved_steps(self.run()))

    def run(self):
        return load_run(Workspace(self.root).character(NAME).run("001").path)

    def events(self, number):
        return list(read_events(self.queue.folder(number) / "events.jsonl"))

    def steps_said(self, number):
        return [event["step"] for event in self.events(number) if event["kind"] == "step"]

    def jobs_there(self):
        folder = self.there / "jobs"
        return [path.name for path in folder.iterdir()] if folder.is_dir() else []

    def beat(self):
        [path] = self.there.glob("jobs/*/beat.json")
        return json.loads(path.read_text())


@pytest.fixture
def harness(tmp_path, prepared, monkeypatch):
    monkeypatch.setattr(remote_job, "LOOK", 0.1)
    monkeypatch.setattr(remote_job, "FILES", 0.1)
    monkeypatch.setattr(remote_job, "AGAIN", 0.3)
    made = Harness(tmp_path, prepared)
    yield made
    made.supervisor.close()
    made.server.stop()


def test_all_comes_home_as_it_is_made_and_nothing_stays_there(harness):
    harness.lets(3)
    number = harness.add()
    harness.at_step(number, 3)
    [data] = harness.there.glob("jobs/*/data")
    sent = [path for folder in (data, harness.there / "files") for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in sent if SECRET in path.read_bytes()]
    assert not [path for path in sent if "Oma" in path.name or b"Oma" in path.read_bytes()]
    assert not [path for path in sent if str(harness.root).encode() in path.read_bytes()]
    harness.lets(6)
    job = harness.ended(number)
    assert (job.state, job.error, job.result["run"]) == ("finished", "", "001")
    run = harness.run()
    assert saved_steps(run) == [1, 2, 3, 4, 5, 6]
    assert run.checkpoint(6).read_text().endswith("6")
    assert [path.name for path in run.states.iterdir()] == ["000006.pt"]
    assert harness.steps_said(number) == [1, 2, 3, 4, 5, 6]
    assert [event["step"] for event in read_events(run.events) if event["kind"] == "step"] == [1, 2, 3, 4, 5, 6]
    assert "on standard error" in (harness.queue.folder(number) / "log.txt").read_text()
    assert harness.jobs_there() == []
    assert [path.name for path in (harness.there / "files").iterdir() if path.suffix == ".part"] == []


def test_where_sameface_is_closed_the_worker_goes_on_and_is_taken_up_again(harness):
    harness.lets(2)
    number = harness.add()
    harness.at_step(number, 2)
    harness.supervisor.close()
    assert harness.queue.get(number).state == "waiting"
    harness.lets(5)
    time.sleep(0.5)
    assert saved_steps(harness.run())[-1] == 2
    harness.open()
    harness.at_step(number, 5)
    harness.lets(6)
    assert harness.ended(number).state == "finished"
    assert harness.steps_said(number) == [1, 2, 3, 4, 5, 6]
    assert "resumed" not in {event.get("state") for event in read_events(harness.run().events)}  # it was never stopped


def test_a_killed_home_takes_it_up_again_too(harness):
    harness.lets(2)
    number = harness.add()
    harness.at_step(number, 2)
    harness.supervisor.close()
    with harness.queue._file.open(write=True) as db:  # as kill -9 would have left it
        db.execute("UPDATE jobs SET state = 'running', owner = '1@1.0/gone' WHERE id = ?", (number,))
    harness.lets(6)
    harness.open()
    assert harness.ended(number).state == "finished"
    assert harness.steps_said(number) == [1, 2, 3, 4, 5, 6]


def test_a_network_that_is_gone_for_a_while(harness):
    harness.lets(2)
    number = harness.add()
    harness.at_step(number, 2)
    harness.server.stop()
    harness.lets(4)
    harness.until(number, lambda: any("cannot be reached" in str(one.get("text")) for one in harness.events(number)))
    assert harness.queue.get(number).state == "running"
    harness.server.start()
    harness.at_step(number, 4)
    harness.lets(6)
    assert harness.ended(number).state == "finished"
    assert harness.steps_said(number) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(("wish", "state"), [("stop", "stopped"), ("pause", "paused")])
def test_stopped_and_gone_on_with(harness, wish, state):
    harness.lets(3)
    number = harness.add()
    harness.at_step(number, 3)
    harness.queue.wish(number, wish)
    assert harness.ended(number).state == state
    assert not harness.queue.paused()  # this machine's own jobs go on
    assert harness.jobs_there() == []
    harness.lets(6)
    harness.queue.resume(number)
    harness.supervisor.wake()
    assert harness.ended(number).state == "finished"
    said = list(read_events(harness.run().events))
    assert [event["step"] for event in said if event.get("state") == "resumed"] == [3]
    assert [event["step"] for event in said if event["kind"] == "step"] == [1, 2, 3, 4, 5, 6]


def test_one_that_does_not_hear_is_killed_and_keeps_what_it_saved(harness, monkeypatch):
    monkeypatch.setattr(remote_job, "SAVES", 0.5)
    harness.lets(3, deaf=True)
    number = harness.add()
    harness.at_step(number, 3)
    worker = harness.beat()["worker"]
    harness.queue.wish(number, "stop")
    assert harness.ended(number).state == "stopped"
    with suppress(FileNotFoundError):
        assert Path(f"/proc/{worker}/cmdline").read_bytes() == b""  # dead, whoever has not looked yet
    assert saved_steps(harness.run()) == [1, 2, 3]


@pytest.mark.parametrize("who", ["worker", "keeper", "both"])
def test_killed_there_it_keeps_what_it_saved(harness, who):
    harness.lets(3)
    number = harness.add()
    harness.at_step(number, 3)
    beat = harness.beat()
    for name in ("keeper", "worker") if who == "both" else (who,):
        os.kill(beat[name], signal.SIGKILL)
    job = harness.ended(number)
    assert (job.state, bool(job.error)) == ("interrupted", True)
    assert saved_steps(harness.run()) == [1, 2, 3]
    harness.lets(6)
    harness.queue.resume(number)
    harness.supervisor.wake()
    assert harness.ended(number).state == "finished"
    assert saved_steps(harness.run()) == [1, 2, 3, 4, 5, 6]


def test_a_place_that_cannot_be_reached_at_all(harness, monkeypatch):
    monkeypatch.setattr(remote_job, "PATIENCE", 0.5)
    harness.server.stop()
    job = harness.ended(harness.add())
    assert (job.state, "cannot be reached" in job.error) == ("failed", True), job.error
    harness.server.start()
    harness.queue.resume(job.id)
    harness.supervisor.wake()
    assert harness.ended(job.id).state == "finished"


def test_another_machine_in_its_place_gets_nothing(harness):
    harness.lets(1)
    number = harness.add()
    harness.at_step(number, 1)
    harness.supervisor.close()
    harness.server.stop()
    harness.server.new_host_key()
    harness.server.start()
    harness.open()
    job = harness.ended(number)
    assert (job.state, "host key" in job.error) == ("failed", True)


def test_a_result_that_lies_is_no_end(harness):
    harness.lets(2)
    number = harness.add()
    harness.at_step(number, 2)
    [data] = harness.there.glob("jobs/*/data")
    result = {"state": "finished", "result": {"run": "001", "lora": "../../../etc/passwd"}}
    (data / "jobs" / str(number) / "result.json").write_text(json.dumps(result))
    evil = data / "characters" / "x" / "runs" / "001" / "checkpoints"
    evil.mkdir(parents=True)
    (evil / "mara-ü-001-000009.safetensors").write_text("of another run")
    os.kill(harness.beat()["worker"], signal.SIGKILL)
    job = harness.ended(number)
    assert (job.state, "did not come home" in job.error) == ("failed", True)
    assert saved_steps(harness.run()) == [1, 2]
    assert not list(harness.root.rglob("*000009*"))
