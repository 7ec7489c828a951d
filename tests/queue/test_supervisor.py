"""The supervisor, with small workers that speak the protocol: the character's name says what each of them does.

What it decides is tried with workers that are no processes (`scripted_workers`); what kills, signals, pipes, logs, exit
codes and starting are about, with processes (`real`).
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from PIL import Image
from scripted_workers import ScriptedRunner
from supervisor_harness import FakeHost, Harness, alive, eventually

from lib_lora.errors import StoppedByUser, UserError
from lib_lora.pictures import Cell
from lib_lora.queue.job_progress import Follower
from lib_lora.queue.job_types import AuditArguments, ProduceArguments, TestArguments
from lib_lora.queue.queue import Queue
from lib_lora.queue.running import job_runner, supervisor, worker_processes
from lib_lora.queue.running.parent_pipe import ParentPipe
from lib_lora.queue.running.supervisor import Timeouts
from lib_lora.remote import places
from lib_lora.runs.records import run_records

pytestmark = pytest.mark.once("who runs which job is ours; the whole way in a browser is repeated")

PACKAGE = Path(__file__).parents[2]


@pytest.fixture
def host(tmp_path):
    return FakeHost(tmp_path)


real = pytest.mark.parametrize("harness", ["processes"], indirect=True)


@pytest.fixture
def harness(request, tmp_path, host):
    root = tmp_path / "Daten ü 名前"
    runner = None if getattr(request, "param", "") == "processes" else ScriptedRunner(root)
    made = Harness(root, host, runner=runner)
    made.supervisor.start()
    yield made
    host.free.set()
    host.picture_done.set()
    made.supervisor.close()
    assert not made.supervisor.active
    eventually(lambda: host.held >= 0 and not [one for one in threading.enumerate() if one.name == "sameface-gpu"])


@real
def test_a_job_that_finishes(harness, host):
    number = harness.add("finishes")
    job = harness.ended(number)
    assert (job.state, job.error, job.run, job.pid, job.owner) == ("finished", "", "003", 0, "")
    assert job.result == {"run": "003", "lora": "a.safetensors"}
    said = [event.get("state") or event["kind"] for event in harness.events(number)]
    assert said == ["waiting for the GPU", "starting", "run", "training"]
    assert (harness.queue.folder(number) / "log.txt").read_text(encoding="utf-8") == "to the log\n"
    harness.ended(harness.add("finishes", "probe"))
    harness.supervisor.close()
    assert host.held == 2
    assert len(harness.queue.jobs()) == 2  # no test was asked for


def test_who_allows_painting_meanwhile_says_so_to_the_host(harness, host):
    harness.root.mkdir(exist_ok=True)  # the supervisor may not have got to it
    (harness.root / "settings.json").write_text('{"allow_painting": true}')
    harness.ended(harness.add("finishes"))
    assert host.said[0][2] is True


@pytest.mark.parametrize(
    ("harness", "does", "state", "code"),
    [
        ("", "fails", "failed", "photos-missing"),
        ("processes", "runs-out", "failed", "gpu-memory-full"),
        ("processes", "ends-without-a-word", "failed", "worker-failed"),
        ("processes", "writes-nonsense", "failed", "worker-failed"),
        pytest.param(
            "processes",
            "is-killed",
            "interrupted",
            "worker-killed",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL"),
        ),
    ],
    indirect=["harness"],
)
def test_ends_that_are_none(harness, host, does, state, code):
    number, following = harness.add(does), harness.add("finishes")
    job = harness.ended(number)
    assert (job.state, job.code, job.run) == (state, code, "003")
    assert job.error.endswith(".") or job.error.endswith("to the log")
    assert harness.ended(following).state == "finished"  # the queue goes on
    harness.supervisor.close()
    assert host.held == 2
    if does != "fails":
        said = {"kind": "error", "code": code, "text": job.error}
        assert harness.events(number)[-2:] == [said, {"kind": "state", "state": state}]


@real
def test_stop_is_honoured(harness, host):
    number = harness.add("obeys")
    harness.at_work(number)
    harness.queue.wish(number, "stop")
    job = harness.ended(number)
    assert (job.state, job.error, job.result, job.wish) == ("stopped", "", {"step": 7}, "")
    again = harness.queue.resume(number)
    assert again.arguments.run == "003"
    eventually(lambda: harness.queue.get(number).pid)
    harness.queue.wish(number, "stop")
    harness.ended(number)
    harness.supervisor.close()
    assert host.held == 2


@pytest.mark.parametrize(("wish", "state"), [("stop", "stopped"), ("pause", "paused")])
def test_who_does_not_stop_is_killed_with_all_it_started(tmp_path, host, wish, state):
    harness = Harness(tmp_path / "data", host, Timeouts(stop=0.3, pause=0.3, close=0.3, poll=0.05, again=0.05))
    harness.supervisor.start()
    number = harness.add("ignores")
    child = harness.queue.folder(number) / "child"
    eventually(lambda: child.exists() and child.read_text())
    pids = [harness.queue.get(number).pid, int(child.read_text())]
    harness.queue.wish(number, wish)
    job = harness.ended(number)
    assert (job.state, job.code) == (state, "worker-too-slow")
    eventually(lambda: not any(alive(pid) for pid in pids))
    harness.supervisor.close()
    assert host.held == 1


@real
@pytest.mark.skipif(sys.platform == "win32", reason="a dead parent's children are not known there")
def test_what_a_dead_worker_has_left_on_the_gpu_goes_too(harness):
    number = harness.add("leaves-a-child")
    assert harness.ended(number).state == "interrupted"
    pid = int((harness.queue.folder(number) / "child").read_text())
    eventually(lambda: not alive(pid))


def test_after_a_pause_nothing_heavy_starts_until_it_is_over(harness):
    number, following = harness.add("obeys"), harness.add("finishes")
    harness.at_work(number)
    harness.queue.wish(number, "pause")
    assert harness.ended(number).state == "paused"
    light = harness.add("finishes", "audit")
    assert harness.ended(light).state == "finished"
    time.sleep(0.3)
    assert harness.queue.get(following).state == "waiting"
    harness.queue.pause_all(False)
    harness.supervisor.wake()
    eventually(lambda: harness.queue.get(number).pid)  # the paused one first
    assert harness.queue.get(following).state == "waiting"
    harness.queue.wish(number, "stop")
    assert harness.ended(following).state == "finished"


def test_a_light_job_runs_beside_a_heavy_one(harness, host):
    heavy = harness.add("waits")
    harness.at_work(heavy)
    light, second = harness.add("finishes", "audit"), harness.add("finishes", "fill")
    assert harness.ended(light).state == harness.ended(second).state == "finished"
    assert harness.queue.get(heavy).state == "running"
    (harness.root / "go").touch()
    assert harness.ended(heavy).state == "finished"
    harness.supervisor.close()
    assert host.held == 1  # the light ones had no need of it


def test_jobs_on_other_machines_run_beside_each_other(harness, host):
    here = harness.add("obeys")
    first, other = harness.add("waits", on="ssh:attic"), harness.add("waits", on="ssh:cellar")
    second = harness.add("waits", on="ssh:attic", few=True)
    pods = [harness.add("waits", on="runpod", run=f"10{one}") for one in range(places.PODS_AT_ONCE + 1)]
    for number in (here, first, other, *pods[:-1]):
        harness.at_work(number)
    assert [harness.queue.get(one).state for one in (second, pods[-1])] == ["waiting"] * 2  # each has one GPU
    (harness.root / "go").touch()
    for number in (first, other, second, *pods):
        assert harness.ended(number).state == "finished"
    assert harness.queue.get(here).state == "running"


def test_two_jobs_of_one_run_do_not_run_at_once_wherever_they_are(harness):
    first = harness.add("waits", on="ssh:attic", run="001")
    same, another = harness.add("waits", on="ssh:cellar", run="001"), harness.add("waits", on="ssh:cellar", run="002")
    harness.at_work(first)
    harness.at_work(another)
    assert harness.queue.get(same).state == "waiting"
    (harness.root / "go").touch()
    assert harness.ended(same).state == "finished"


def test_two_jobs_of_one_production_do_not_run_at_once_wherever_they_are(tmp_path):
    queue = Queue(tmp_path)
    running, same, other, of_another = (
        queue.add(name, ProduceArguments(number, on=on))
        for name, number, on in (
            ("Mara", "001", "ssh:attic"),
            ("Mara", "1", "ssh:cellar"),
            ("Mara", "002", "ssh:cellar"),
            ("Lena", "001", "ssh:cellar"),
        )
    )
    assert [supervisor._may_start(one, [running]) for one in (same, other, of_another)] == [False, True, True]


def test_no_more_grids_are_judged_at_once_than_this_computer_takes(harness, monkeypatch):
    monkeypatch.setattr(supervisor, "JUDGES", 2)
    numbers = [harness.add("waits", "test", on=f"ssh:place-{one}", run=f"00{one}") for one in range(4)]
    for number in numbers[:2]:
        harness.until(number, "running")
    training = harness.add("waits", on="ssh:attic")
    harness.at_work(training)
    assert [harness.queue.get(one).state for one in numbers] == ["running"] * 2 + ["waiting"] * 2
    (harness.root / "go").touch()
    for number in numbers:
        assert harness.ended(number).state == "finished"


def test_closing_ends_all_that_run_beside_each_other(harness):
    numbers = [harness.add("obeys", on=f"ssh:place-{one}") for one in range(3)]
    for number in numbers:
        harness.at_work(number)
    harness.supervisor.close()
    assert [harness.queue.get(one).state for one in numbers] == ["interrupted"] * 3


def test_one_job_that_cannot_be_started_does_not_hold_up_those_beside_it(harness, monkeypatch):
    first = harness.add("waits", on="ssh:attic")
    harness.at_work(first)

    def refused(job):
        raise UserError("There is no such Python.", code="worker-python-missing")

    monkeypatch.setattr(harness.runner, "start", refused)
    assert harness.ended(harness.add("waits", on="ssh:cellar")).state == "failed"
    (harness.root / "go").touch()
    assert harness.ended(first).state == "finished"


@real
def test_a_worker_that_closes_its_output_is_waited_for(harness):
    number = harness.add("closes-its-output", "audit")
    harness.at_work(number)
    time.sleep(0.2)
    assert harness.queue.get(number).state == "running"
    (harness.root / "go").touch()
    assert harness.ended(number).state == "finished"


def test_waiting_for_the_gpu_is_shown_and_can_be_stopped(harness, host):
    host.free.clear()
    number, following = harness.add("finishes"), harness.add("finishes", "probe")
    follower = Follower(harness.queue.folder(number) / "events.jsonl")
    eventually(lambda: follower.read().phase == "waiting for the GPU")
    harness.queue.wish(number, "stop")
    assert harness.ended(number).state == "stopped"
    assert follower.read().phase == "stopped"
    harness.until(following, "running")
    assert host.said == []
    host.free.set()
    assert harness.ended(following).state == "finished"
    harness.supervisor.close()
    assert host.held == 1  # what was waited for in vain is not taken any more


def test_a_host_that_hears_no_giving_up_gets_its_gpu_back_at_once(harness, host, monkeypatch):
    session = host.gpu_session
    monkeypatch.setattr(host, "gpu_session", lambda allow, give_up: session(allow, lambda: False))
    host.free.clear()
    number = harness.add("finishes")
    harness.until(number, "running")
    harness.queue.wish(number, "stop")
    assert harness.ended(number).state == "stopped"
    following = harness.add("finishes", "probe")
    host.free.set()
    assert harness.ended(following).state == "finished"
    harness.supervisor.close()
    assert host.held == 2


def test_pausing_while_the_gpu_is_waited_for(harness, host):
    host.free.clear()
    number = harness.add("finishes")
    harness.until(number, "running")
    harness.queue.wish(number, "pause")
    assert harness.ended(number).state == "paused"


@pytest.mark.parametrize(
    "error", [UserError("The model is being loaded; try again.", code="some-fault"), ValueError("odd")]
)
def test_a_gpu_that_cannot_be_had_fails_the_job_and_not_the_queue(harness, host, error):
    host.entering_error = error
    number = harness.add("finishes")
    job = harness.ended(number)
    assert (job.state, job.code) == ("failed", "gpu-not-lent")
    assert str(error) in job.error
    assert job.error.endswith(".")
    host.entering_error = None
    assert harness.ended(harness.add("finishes")).state == "finished"


def test_a_model_that_does_not_come_back_is_a_warning(harness, host):
    host.leaving_error = RuntimeError("CUDA error")
    number = harness.add("finishes")
    assert harness.ended(number).state == "finished"
    eventually(lambda: harness.events(number)[-1]["kind"] == "warning")
    assert "could not take its model back (CUDA error)" in harness.events(number)[-1]["text"]
    host.leaving_error = None
    assert harness.ended(harness.add("finishes")).state == "finished"


@real
def test_a_worker_that_cannot_be_started_fails_its_job(harness, host):
    works, host.worker_command = host.worker_command, lambda: ["/no/such/python"]
    job = harness.ended(harness.add("finishes"))
    assert (job.state, job.code) == ("failed", "file-missing")
    host.worker_command = lambda: 1 / 0
    job = harness.ended(harness.add("finishes"))
    assert (job.state, job.code, "division by zero" in job.error) == ("failed", "job-not-run", True)
    host.worker_command = works
    assert harness.ended(harness.add("finishes")).state == "finished"
    harness.supervisor.close()
    assert host.held == 3


@pytest.mark.parametrize(
    ("harness", "kind"),
    [("processes", "test"), ("", "choose"), ("", "combine"), ("", "produce")],
    indirect=["harness"],
)
def test_the_webui_paints_and_keeps_its_gpu(harness, host, kind):
    host.painting = True
    more = {"produce": {"production": "001"}, "combine": {"lora": "ink.safetensors"}}.get(kind, {})
    number = harness.add("paints", kind, painter="webui", **more)
    job = harness.ended(number)
    assert (job.state, job.error) == ("finished", "")
    cells = harness.queue.folder(number) / "cells"
    assert [(k, there) for k, there, *_ in job.result["got"]] == [(0, True), (1, True), (2, True)]
    assert [text for *_, text in job.result["got"]] == [f"p{k}\nSteps: 20" for k in range(3)]
    with Image.open(job.result["got"][2][2]) as picture:
        assert (picture.size, picture.format) == ((8, 8), "PNG")
    assert sorted(cells.iterdir()) == sorted(Path(file) for _, _, file, _ in job.result["got"])
    first, base = host.painted[0]
    assert first == Cell("p0", "", 0, harness.root / "L ü.safetensors")  # a worker names files by where they lie in it
    assert host.painted[1][0].lora is None
    assert host.painted[1][0].more == ((harness.root / "ink ü.safetensors", 0.4),)
    assert base == harness.root / "base.safetensors"
    assert host.said == []
    assert {"kind": "state", "state": "waiting for the GPU"} not in harness.events(number)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            UserError("The sampler x is not known; choose another.", code="some-fault"),
            "The sampler x is not known; choose another.",
        ),
        (RuntimeError("NaN in latents"), "The webui could not paint (NaN in latents); its own log says more."),
    ],
)
def test_what_goes_wrong_in_painting_is_reported_to_the_worker(harness, host, error, said):
    host.painting, host.paint_error = True, error
    job = harness.ended(harness.add("paints", "test", painter="webui"))
    assert (job.state, job.error) == ("failed", said)


@pytest.mark.parametrize(("wish", "state"), [("stop", "stopped"), ("pause", "paused")])
def test_stop_during_painting(harness, host, wish, state):
    host.painting = True
    host.picture_done.clear()
    number = harness.add("paints", "choose", painter="webui")
    harness.at_work(number)
    harness.queue.wish(number, wish)
    assert harness.ended(number).state == state
    assert host.painted == []
    # and no "done" with pictures missing, which would be a failure
    assert harness.runner.workers[number].sent == [{"wish": wish}]


@real
def test_a_worker_that_is_killed_during_painting(harness, host):
    host.painting = True
    host.picture_done.clear()
    number = harness.add("paints", "test", painter="webui")
    harness.at_work(number)
    eventually(lambda: harness.queue.get(number).pid)  # noted after the worker has begun
    psutil.Process(harness.queue.get(number).pid).kill()
    assert harness.ended(number).state in ("interrupted", "failed")  # Windows does not tell killed from failed
    assert host.painted == []


def test_who_has_given_its_gpu_away_is_not_asked_to_paint(harness, host):
    job = harness.ended(harness.add("paints", "test", painter="webui"))
    assert job.state == "failed"
    assert job_runner._REFUSALS["paint"]["error"] in job.error
    job = harness.ended(harness.add("rebuilds", "test", painter="webui"))
    assert job.result["answer"] == {"id": 1, "done": True, "file": None}
    harness.supervisor.close()
    assert host.held == 2
    assert host.painted == []


def test_a_picture_goes_through_the_vae(harness, host):
    host.painting = True
    harness.root.mkdir(exist_ok=True)
    Image.new("RGB", (8, 8), "red").save(harness.root / "in.png")
    out = harness.root / "out.png"
    job = harness.ended(harness.add("rebuilds", "test", painter="webui"))
    assert job.result["answer"] == {"id": 1, "done": True, "file": str(out)}
    with Image.open(out) as picture:
        assert picture.getpixel((0, 0)) == (0, 0, 255)
    host.rebuilt = None
    job = harness.ended(harness.add("rebuilds", "test", painter="webui"))
    assert job.result["answer"] == {"id": 1, "done": True, "file": None}
    (harness.root / "in.png").unlink()
    job = harness.ended(harness.add("rebuilds", "test", painter="webui"))
    assert "it is not there" in job.result["answer"]["error"]


def test_a_photo_is_looked_at_by_the_hosts_captioner(harness, host):
    harness.root.mkdir(exist_ok=True)
    Image.new("RGB", (8, 8), "red").save(harness.root / "in.png")
    job = harness.ended(harness.add("captions", "fill"))
    assert job.result["answer"] == {"id": 1, "done": True, "phrases": ["webui-blip", "red coat", "(255, 0, 0)"]}
    for error, said in (
        (UserError("No file.", code="some-fault"), "No file."),
        (RuntimeError("out of paper"), "The webui could not caption (out of paper); its own log says more."),
    ):
        host.says = error
        assert harness.ended(harness.add("captions", "fill")).result["answer"] == {"id": 1, "error": said}
    host.says = StoppedByUser("Stopped.", code="webui-wait-stopped")
    assert harness.ended(harness.add("captions", "fill")).result["answer"] == {"id": 1, "done": True, "phrases": []}
    assert host.held == 0


def test_an_unknown_question_is_answered(harness):
    assert "does not know 'dance'" in harness.ended(harness.add("asks-nonsense", "audit")).result["answer"]["error"]


@pytest.mark.parametrize(("paints", "reads"), [(True, True), (False, True), (True, False)])
def test_after_a_training_its_test_is_first_in_line(harness, host, paints, reads, monkeypatch):
    record = SimpleNamespace(family="", settings=SimpleNamespace(trigger_vectors=2))
    monkeypatch.setattr(run_records, "run", lambda _: record)
    host.painting, host.reads_vectors = paints, lambda: reads
    harness.queue.pause_all(True)
    number = harness.add("finishes", then_test=True)
    behind = harness.add("waits")
    harness.queue.add("another", TestArguments(run="003"))  # of another character
    harness.queue.pause_all(False)
    harness.supervisor.wake()
    assert harness.ended(number).state == "finished"
    tests = [job for job in harness.queue.jobs() if (job.kind, job.slug) == ("test", "finishes")]
    assert [(job.arguments.run, job.arguments.painter) for job in tests] == [
        ("003", "webui" if paints and reads else "worker")
    ]
    assert harness.ended(tests[0].id).state == "finished"
    assert harness.until(behind, "running").started > harness.queue.get(tests[0].id).started
    (harness.root / "go").touch()


@pytest.mark.parametrize(("stored", "painted"), [(None, (7, True)), ('{"cfg": 0.5}', (20, False))])
def test_a_test_after_more_training_is_painted_as_the_last_one_that_can_be_read(harness, stored, painted):
    earlier = harness.add("finishes", "test", run="002", grid_steps=7, quick=True)
    assert harness.ended(earlier).state == "finished"
    if stored:  # of a version that allowed more
        with harness.queue._file.open(write=True) as db:
            db.execute("UPDATE jobs SET arguments = ? WHERE id = ?", (stored, earlier))
    assert harness.ended(harness.add("finishes", then_test=True)).state == "finished"
    [added] = [job for job in harness.queue.jobs() if job.kind == "test" and job.id != earlier]
    assert (added.arguments.run, added.arguments.grid_steps, added.arguments.quick) == ("003", *painted)


def test_no_test_after_a_training_that_failed(harness):
    harness.ended(harness.add("fails", then_test=True))
    assert len(harness.queue.jobs()) == 1


@real
def test_closing_the_host_interrupts_what_runs(harness, host):
    number = harness.add("obeys")
    harness.at_work(number)
    harness.supervisor.close()
    job = harness.queue.get(number)
    assert (job.state, job.run, job.code) == ("interrupted", "003", "webui-closed")
    assert (harness.supervisor.active, host.held) == (False, 1)
    assert "not been started" in harness.supervisor.reason
    harness.supervisor.start()  # and it can be started again
    harness.queue.resume(number)
    eventually(lambda: harness.queue.get(number).pid)


def test_closing_does_not_wait_for_a_gpu(harness, host):
    host.free.clear()
    number = harness.add("finishes")
    harness.until(number, "running")
    began = time.monotonic()
    harness.supervisor.close()
    assert time.monotonic() - began < 5
    assert harness.queue.get(number).state == "interrupted"


def test_starting_twice_is_starting_once(harness):
    eventually(lambda: harness.supervisor.active)
    before = threading.active_count()
    harness.supervisor.start()
    time.sleep(0.1)
    assert threading.active_count() == before
    assert harness.supervisor.reason == ""


def test_the_second_supervisor_waits_for_the_first_to_go(harness, host):
    eventually(lambda: harness.supervisor.active)
    other = Harness(harness.root, host, runner=ScriptedRunner(harness.root))
    other.supervisor.start()
    eventually(lambda: "Another process is using" in other.supervisor.reason)
    assert not other.supervisor.active
    number = harness.add("obeys")
    harness.at_work(number)
    owner = harness.queue.get(number).owner
    harness.supervisor.close()
    eventually(lambda: other.supervisor.active)
    assert other.supervisor.reason == ""
    assert harness.queue.get(number).state == "interrupted"
    other.queue.resume(number)
    eventually(lambda: harness.queue.get(number).pid)
    assert harness.queue.get(number).owner != owner
    other.supervisor.close()


HOST = """
import sys, time
from pathlib import Path
sys.path[:0] = ["tests/helpers"]
import helper_folders
helper_folders.add_to_path()
from supervisor_harness import FakeHost, Harness
harness = Harness(Path(sys.argv[1]), FakeHost(Path(sys.argv[1])))
harness.supervisor.start()
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
@pytest.mark.parametrize(
    ("does", "state"), [("obeys", "interrupted"), ("waits", "finished"), ("ignores", "interrupted")]
)
def test_jobs_of_a_supervisor_that_was_killed(tmp_path, host, does, state):
    root = tmp_path / "data"
    root.mkdir()
    patience = Timeouts(close=1.0 if does == "ignores" else 20.0, poll=0.05, again=0.05)
    harness = Harness(root, host, patience)
    number = harness.add(does, then_test=True)
    with subprocess.Popen([sys.executable, "-c", HOST, str(root)], cwd=PACKAGE) as process:
        harness.at_work(number)
        eventually(lambda: harness.queue.get(number).pid)
        worker = harness.queue.get(number).pid
        process.send_signal(signal.SIGKILL)
    light = harness.queue.add("finishes", AuditArguments()).id
    harness.supervisor.start()
    harness.until(number, "interrupted")
    following = harness.add("finishes", "probe")
    if does == "waits":
        assert alive(worker)
        assert harness.ended(light).state == "finished"  # this lane has nobody to wait for
        time.sleep(0.3)
        assert harness.queue.get(following).state == "waiting"  # two must not share the GPU, nor a run
        (root / "go").touch()
    assert harness.until(number, state).state == state
    assert harness.ended(following).state == "finished"
    eventually(lambda: not alive(worker))
    assert harness.queue.get(number).run == "003"
    if state == "interrupted":
        assert harness.queue.resume(number).arguments.run == "003"
    harness.supervisor.close()
    assert host.held >= 1


def test_a_damaged_queue_is_said_while_it_goes_on(tmp_path, host):
    harness = Harness(tmp_path / "data", host, runner=ScriptedRunner(tmp_path / "data"))
    harness.add("finishes")
    (harness.root / "jobs.sqlite").write_bytes(b"x" * 5000)
    harness.supervisor.start()
    eventually(lambda: harness.supervisor.active)
    assert "was damaged and is now" in harness.supervisor.reason
    assert harness.ended(harness.add("finishes")).state == "finished"
    assert "was damaged and is now" in harness.supervisor.reason
    harness.supervisor.close()


def test_messages_are_plain_ascii_lines(harness, host):
    """The worker reads bytes; what its parent says must not depend on an encoding."""
    code = "import json, sys; print(json.dumps({'got': sys.stdin.buffer.readline().decode('ascii')}))"
    process = worker_processes.start([sys.executable, "-c", code], dict(os.environ), harness.root / "log.txt")
    pipe = ParentPipe(process)
    pipe.send({"file": "名前\n"})
    assert json.loads(pipe.receive(20.0)["got"]) == {"file": "名前\n"}
    assert pipe.receive(20.0) is None
    pipe.close()
    assert process.wait(20) == 0
