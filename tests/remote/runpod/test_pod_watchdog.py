"""The program that ends a rented pod: what it decides, by a clock of the test's, and that its DELETE arrives."""

from __future__ import annotations

import ast
import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_runpod import KEY

from lib_lora.remote import agent
from lib_lora.remote.runpod import pod_watchdog, runpod_pods
from lib_lora.remote.runpod.pod_watchdog import COSTLY, FETCHED, OVERDUE, SILENT, UNFETCHED, Limits, SshStart, Watch
from lib_lora.remote.runpod.runpod_answers import PodRequest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a pod runs Linux")
HOUR = 3600.0
LIMITS = Limits(10 * HOUR, 0.5, 100.0, silent=900, fetched=120, unfetched=4 * HOUR, saving=600, created=1_000_000.0)


class Bench:
    """A pod whose time the test decides.

    Args:
        folder: its home.
        limits: of it.
    """

    def __init__(self, folder, limits=LIMITS):
        self.now = 50.0
        self.folder = folder / limits.folder
        self.folder.mkdir(exist_ok=True)
        self.watch = Watch(limits, lambda: self.now)

    def after(self, seconds):
        """What it decides then; it looks each minute, as a real one looks each few seconds."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + 60)
            if reason := self.watch.check():
                return reason
        return ""

    def working(self, seconds, *keys):
        """The same while jobs are at work, whose keepers give signs of life."""
        until = self.now + seconds
        while self.now < until:
            for key in keys:
                self.beat(key)
            if reason := self.after(min(30, until - self.now)):
                return reason
        return ""

    def connected(self, seconds):
        """The same while somebody is connected."""
        until = self.now + seconds
        while self.now < until:
            self.touch(self.folder / agent.HEARTBEAT)
            if reason := self.after(min(60, until - self.now)):
                return reason
        return ""

    def job(self, key):
        path = self.folder / "jobs" / key
        path.mkdir(parents=True, exist_ok=True)
        return path

    def beat(self, key):
        self.touch(self.job(key) / agent.BEAT)

    def end(self, key):
        (self.job(key) / agent.EXIT).write_text("{}")

    def fetched(self, key):
        shutil.rmtree(self.job(key))

    def touch(self, path):
        """Change a file; the time of its change is nonsense, and only has to differ."""
        path.touch()
        stamp = -int(self.now) if path.stat().st_mtime > 0 else int(self.now)
        os.utime(path, (stamp, stamp))


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return Bench(tmp_path)


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return lambda **limits: Bench(tmp_path, Limits(**{**vars(LIMITS), **limits}))


def test_nobody_ever_comes(bench):
    assert bench.after(840) == ""
    assert bench.after(60) == SILENT


def test_somebody_stays_connected_and_goes(bench):
    assert bench.connected(3 * HOUR) == ""
    assert bench.after(840) == ""
    assert bench.after(120) == SILENT


def test_a_job_runs_on_while_nobody_is_connected(bench):
    assert bench.connected(600) == ""
    assert bench.working(8 * HOUR, "a") == ""


def test_files_that_were_fetched(bench):
    bench.connected(600)
    bench.working(HOUR, "a")
    bench.end("a")
    assert bench.connected(300) == ""
    bench.fetched("a")
    assert bench.connected(60) == ""
    assert bench.connected(120) == FETCHED


def test_another_job_comes_before_it_is_deleted(bench):
    bench.working(HOUR, "a")
    bench.end("a")
    bench.after(60)
    bench.fetched("a")
    bench.connected(60)
    bench.job("b")  # photos are being sent
    assert bench.connected(600) == ""
    assert bench.working(HOUR, "b") == ""
    bench.end("b")
    bench.after(60)
    bench.fetched("b")
    assert bench.after(240) == FETCHED


def test_files_that_nobody_fetches_are_kept_for_long_and_not_for_ever(bench):
    bench.connected(600)
    bench.working(HOUR, "a")
    bench.end("a")
    assert bench.after(3.9 * HOUR) == ""
    assert bench.after(0.2 * HOUR) == UNFETCHED


def test_a_download_that_takes_long_is_not_cut_off(bench):
    bench.working(600, "a")
    bench.end("a")
    assert bench.connected(5 * HOUR) == ""
    assert bench.after(3.9 * HOUR) == ""


def test_one_job_ends_and_another_runs(bench):
    bench.working(600, "a", "b")
    bench.end("a")
    bench.after(60)
    bench.fetched("a")
    assert bench.working(HOUR, "b") == ""


def test_a_keeper_that_died_without_a_word(bench):
    bench.working(600, "a")
    assert bench.after(3.9 * HOUR) == ""  # what it has made may still be fetched
    assert bench.after(0.3 * HOUR) == UNFETCHED


def test_the_deadline_holds_whatever_goes_on(bench):
    assert bench.working(10 * HOUR - 60, "a") == ""
    assert bench.working(120, "a") == OVERDUE


def test_the_money_holds_whatever_goes_on(made):
    bench = made(cap=2.0)  # of 0.5 an hour
    assert bench.working(4 * HOUR - 60, "a") == ""
    assert bench.working(120, "a") == COSTLY


def test_without_a_price_the_time_holds(made):
    assert made(price=0.0).working(11 * HOUR, "a") == OVERDUE


def test_on_a_machine_of_the_users_own_the_agent_leaves_no_sign(bench):
    (bench.folder / agent.HEARTBEAT).unlink()
    agent.serve("sameface", "", io.BytesIO(b'{"do": "jobs"}\n'), io.BytesIO())
    assert not (bench.folder / agent.HEARTBEAT).exists()


def test_a_short_life_is_not_spent_on_saving(made):
    bench = made(seconds=1200.0)
    assert bench.working(1020, "a") == ""
    assert not (bench.job("a") / agent.WISH).exists()
    assert bench.working(120, "a") == ""
    assert (bench.job("a") / agent.WISH).exists()


def test_jobs_are_asked_to_save_before_the_end_once(bench):
    assert bench.working(10 * HOUR - 660, "a", "b") == ""
    assert not (bench.job("a") / agent.WISH).exists()
    assert bench.working(120, "a", "b") == ""
    for key in ("a", "b"):
        assert json.loads((bench.job(key) / agent.WISH).read_text()) == {"wish": "pause"}
    (bench.job("a") / agent.WISH).unlink()
    bench.working(120, "a")
    assert not (bench.job("a") / agent.WISH).exists()


def test_the_clock_of_this_machine_is_not_asked(bench, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: pytest.fail("the clock may be wrong"))
    assert bench.working(HOUR, "a") == ""
    assert bench.connected(HOUR) == ""


def test_a_container_that_is_started_again_does_not_begin_to_count_anew(made):
    bench = made()
    bench.watch.synchronise(1_000_000.0 + 9 * HOUR)
    assert bench.working(HOUR - 60, "a") == ""
    assert bench.working(120, "a") == OVERDUE


def test_a_clock_that_goes_back_takes_nothing_back(made):
    bench = made()
    bench.working(HOUR, "a")
    for said in (0.0, -1e9, 1_000_000.0, 1_000_000.0 + HOUR / 2):
        bench.watch.synchronise(said)
    assert bench.watch.lived() == HOUR
    made(created=0.0).watch.synchronise(2e9)


def test_odd_things_in_the_folder(bench):
    (bench.folder / "jobs").mkdir()
    (bench.folder / "jobs" / "file").write_text("x")
    (bench.folder / agent.HEARTBEAT).unlink()
    assert bench.after(960) == SILENT


def test_the_names_of_files_are_the_agents():
    for name in ("BEAT", "WISH", "EXIT", "HEARTBEAT"):
        assert getattr(pod_watchdog, name) == getattr(agent, name)


def test_each_request_to_the_agent_is_a_sign_of_life(bench):
    bench.after(600)
    os.utime(bench.folder / agent.HEARTBEAT, (5, 5))  # long ago, so that it changes whatever the clock's steps are
    bench.watch.check()
    bench.after(600)
    agent.serve("sameface", "", io.BytesIO(b'{"do": "jobs"}\n'), io.BytesIO())
    assert bench.after(840) == ""
    assert bench.after(120) == SILENT


def test_it_needs_the_standard_library_alone():
    tree = ast.parse(Path(pod_watchdog.__file__).read_text(encoding="utf-8"))
    names = {one.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names}
    names |= {str(node.module).split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names <= sys.stdlib_module_names
    assert sum(map(len, runpod_pods.watchdog_environment(LIMITS, "x").values())) < 10_000  # as a pod's variables


def test_limits_arrive_as_they_were_sent():
    assert pod_watchdog.unpacked(pod_watchdog.packed(LIMITS)) == LIMITS


# -------------------------------------------------------------------------------------------------------- SSH's server


def test_the_image_s_own_program_is_started_without_the_key(tmp_path, monkeypatch):
    given = {"PATH": os.environ["PATH"], "RUNPOD_API_KEY": "secret", "SAMEFACE_LIMITS": "x", "PUBLIC_KEY": "ssh-x y"}
    started = SshStart(["sh", "-c", f"env > '{tmp_path}/env'"], given)
    started._process.wait()
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it has ended well"))
    started.check()
    said = (tmp_path / "env").read_text()
    assert "PUBLIC_KEY=ssh-x y" in said
    assert "secret" not in said
    assert "SAMEFACE" not in said


@pytest.mark.parametrize("command", [["/no/such/program"], ["sh", "-c", "exit 3"]])
def test_where_the_image_s_program_fails_the_server_is_started_once(command, tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(pod_watchdog, "server_commands", lambda home, key: [["server", str(home), key]])
    started = SshStart(command, {"PUBLIC_KEY": "ssh-x y"})
    if started._process:
        started._process.wait()
    monkeypatch.setattr(subprocess, "run", lambda command, **_: ran.append(command))
    started.check()
    started.check()
    assert ran == [["server", str(Path.home()), "ssh-x y"]]


def test_the_server_lets_the_key_in(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sshd").write_text("")
    (tmp_path / "bin" / "sshd").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for _ in range(2):
        commands = pod_watchdog.server_commands(tmp_path, "ssh-ed25519 AAAA me\n")
    assert commands[-1] == [str(tmp_path / "bin" / "sshd")]
    keys = tmp_path / ".ssh" / "authorized_keys"
    assert keys.read_text() == "ssh-ed25519 AAAA me\n"
    assert keys.stat().st_mode & 0o777 == 0o600
    assert pod_watchdog.server_commands(tmp_path, "") == []


# ------------------------------------------------------------------------------------------------- as a pod runs it


def _rented(runpod, api, limits, args=runpod_pods.ARGS, **env):
    """A pod of the stand-in in which the real command runs."""
    runpod.environment = env
    variables = runpod_pods.watchdog_environment(limits, runpod.base)
    request = PodRequest("sameface-x", "image", "NVIDIA A40", env=variables, args=args)
    return runpod.pods[api.create_pod(request).id]


def _log(pod):
    return (pod.folder / "container.log").read_text()


def _gone(pod, seconds=30.0):
    return _comes(lambda: pod.ended is not None, seconds)


def _comes(true, seconds=30.0):
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
    return true()


QUICK = {"price": 0.4, "cap": 9.0, "poll": 0.05, "start": ("true",)}


def test_a_pod_deletes_itself_at_its_deadline(runpod, api):
    pod = _rented(runpod, api, Limits(seconds=0.3, silent=99, **QUICK))
    assert _gone(pod)
    assert pod.ended - pod.began > 0.3
    assert "it has lived as long as it may" in _log(pod)
    assert pod.restarts == 0
    assert KEY not in _log(pod)
    assert pod.key not in _log(pod)


def test_it_tries_each_way_until_it_is_gone(runpod, api):
    runpod.plan("DELETE /pods", 500)
    runpod.plan("POST /pods/", cut=True)
    runpod.plan("POST /pods", 0)  # that which makes it
    pod = _rented(runpod, api, Limits(seconds=0.0, **QUICK))
    assert _gone(pod)
    ways = [one.partition(" ")[0] for one in runpod.asked if pod.id in one and not one.startswith("GET")]
    assert ways == ["DELETE", "POST", "DELETE"]
    assert "curl" in runpod.agents[-1] or "SameFace-watchdog" in runpod.agents[-1]


def test_it_sees_a_job_come_and_go(runpod, api):
    pod = _rented(runpod, api, Limits(seconds=99, silent=99, fetched=0.2, **QUICK))
    job = pod.folder / "sameface" / "jobs" / "a"
    job.mkdir(parents=True)
    (job / "beat.json").write_text("{}")
    assert _comes(lambda: f"GET /pods/{pod.id}" in runpod.asked)  # it has begun to look
    assert not _gone(pod, 0.5)
    (job / "exit.json").write_text("{}")
    time.sleep(0.2)
    shutil.rmtree(job)
    assert _gone(pod)
    assert "their files were fetched" in _log(pod)


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl, as the image has it")
def test_a_watchdog_that_breaks_deletes_the_pod_at_once(runpod, api):
    """It is better to have no pod than one that nobody watches."""
    pod = _rented(runpod, api, Limits(seconds=99, silent=99, **QUICK), SAMEFACE_LIMITS="nonsense")
    assert _gone(pod)
    assert runpod.agents[-1] == "SameFace-watchdog"


def test_after_a_restart_it_is_as_old_as_runpod_s_clock_says(runpod, api):
    runpod.clock = 7200.0
    limits = Limits(seconds=3600, silent=99, created=time.time(), **QUICK)
    assert _gone(_rented(runpod, api, limits))


def test_a_pod_whose_own_clock_is_wrong_lives(runpod, api):
    runpod.clock = -86400.0 * 300
    created = time.time() + runpod.clock  # by RunPod's clock, as `rent` writes it down
    pod = _rented(runpod, api, Limits(seconds=3600, silent=99, created=created, **QUICK))
    assert not _gone(pod, 0.8)


def test_the_key_of_a_pod_ends_that_pod_alone(runpod, api):
    one, other = (_rented(runpod, api, Limits(seconds=99, **QUICK)) for _ in range(2))
    assert pod_watchdog._by_delete(f"{runpod.base}/pods/{other.id}", one.key) == 403
    assert pod_watchdog._by_curl(f"{runpod.base}/pods/{other.id}", one.key) in (403, 0)
    assert pod_watchdog._by_action(f"{runpod.base}/pods/{one.id}", one.key) == 204
    assert (one.ended is None, other.ended is None) == (False, True)
