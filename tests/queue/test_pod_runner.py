"""Training on a rented pod: whatever happens, none is left behind, and what was trained is kept.

RunPod is `fake_runpod`; a real SSH server stands for the one in a pod, whose command (the watchdog) is the real one.
"""

from __future__ import annotations

import getpass
import json
import os
import shlex
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from fake_runpod import KEY, FakeRunpod
from remote_harness import NAME, RemoteHarness, prepare
from ssh_server import MISSING, available

from lib_lora.errors import UserError
from lib_lora.queue.job_types import Rental, TestArguments, TrainArguments, arguments_of, as_plain
from lib_lora.queue.runners import pod_runner, remote_job
from lib_lora.remote import places, pod_rental, runpod_api
from lib_lora.remote.pod_ledger import PodLedger
from lib_lora.remote.runpod_api import RunpodApi
from lib_lora.training.plan.run_file import saved_steps

pytestmark = [
    pytest.mark.skipif(not available(), reason=MISSING),
    pytest.mark.once("how a pod is rented and given back is ours"),
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, toy):
    """A data folder with a character and a run that was made for another machine."""
    folder = tmp_path_factory.mktemp("prepared")
    base = shutil.copy(toy("sd1"), folder / "Basis 名前.safetensors")
    prepare(folder / "zu Hause ü", Path(base), folder / "photos")
    return folder / "zu Hause ü"


class Pods(RemoteHarness):
    """A home without a place, and RunPod, whose pods are all reached at one SSH server."""

    def __init__(self, folder, prepared, runpod):
        super().__init__(folder, prepared, runs_jobs=False)
        self.runpod = runpod
        places.remove(self.root, "workshop")
        self.open()

    def rent(self, **rental):
        arguments = TrainArguments(run="001", few=True, then_test=False, on="runpod", rental=Rental(**rental))
        number = self.queue.add(NAME, arguments).id
        self.supervisor.wake()
        return number

    def said(self, number):
        return " | ".join(str(event.get("text", "")) for event in self.events(number))

    def states(self):
        return [entry.state for entry in PodLedger(self.root).entries()]

    def pod_ends(self):
        """What was on the pod ends with it."""
        for pid in self.processes_there().values():
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for name in ("jobs", "files"):
            shutil.rmtree(self.there / name, ignore_errors=True)

    def left(self):
        """Of a pod, in the data folder."""
        names = ("pod.json", "pod-key", "sameface-")
        return [path.name for path in self.root.rglob("*") if path.name.startswith(names) and path.suffix != ".whl"]


@pytest.fixture
def home(tmp_path, prepared, monkeypatch):
    monkeypatch.setattr(remote_job, "LOOK", 0.1)
    monkeypatch.setattr(remote_job, "FILES", 0.1)
    monkeypatch.setattr(remote_job, "AGAIN", 0.2)
    monkeypatch.setattr(pod_runner, "LOOK", 0.02)
    monkeypatch.setattr(pod_runner, "_ASK_AGAIN", 0.2)
    monkeypatch.setattr(pod_runner, "DELETING", 0.2)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with FakeRunpod(tmp_path / "pods").running() as runpod:
        made = Pods.__new__(Pods)
        monkeypatch.setattr(
            pod_runner, "account", lambda root: RunpodApi(KEY, runpod.base, timeout=5, attempts=2, pause=lambda _: None)
        )
        terms_of = pod_runner.terms_of

        def terms(rental, public_key=""):
            keys = shlex.quote(str(made.server.folder / "authorized_keys"))
            # what the image's program does with the key
            let_in = ("sh", "-c", f'echo "$PUBLIC_KEY" >> {keys}')
            found = terms_of(rental, public_key)
            return replace(found, folder=str(made.there), start=let_in, fetched=0.5)

        monkeypatch.setattr(pod_runner, "terms_of", terms)
        if getpass.getuser() != "root":
            place_of = pod_rental.place_of
            monkeypatch.setattr(
                pod_rental, "place_of", lambda *words: replace(place_of(*words), user=getpass.getuser())
            )
        made.__init__(tmp_path, prepared, runpod)
        runpod.ssh = ("127.0.0.1", made.server.port)
        yield made
        made.close()
        made.pod_ends()
        made.server.stop()


def test_from_the_rent_to_the_bill(home):
    home.lets(3)
    number = home.rent()
    home.at_step(number, 3)
    [pod] = home.runpod.living()
    assert pod.body["gpu"]["id"] == "NVIDIA RTX A4000"  # the cheapest
    assert pod_runner.pods_of_jobs(home.root) == {pod.body["name"]: number}
    home.lets(6)
    job = home.ended(number)
    assert (job.state, job.error) == ("finished", "")
    assert saved_steps(home.run()) == [1, 2, 3, 4, 5, 6]
    assert (home.runpod.living(), home.states(), home.left()) == ([], ["ended"], [])
    assert home.runpod.asked[-2:] == [f"GET /pods/{pod.id}", "GET /billing/pods"]  # it was looked whether it is gone
    rent = job.result["rent"]
    assert (rent["pod"], rent["gpu"]) == (pod.body["name"], "NVIDIA RTX A4000")
    assert rent["counted"] == 0.01
    assert 0 < rent["billed"] < 0.01
    said = home.said(number)
    assert "Rented: RTX A4000 at 0.26 USD an hour" in said
    assert "RunPod's bill so far: less than 0.01 USD" in said
    assert KEY.encode() not in b"".join(path.read_bytes() for path in home.root.rglob("*") if path.is_file())


def test_a_home_that_is_closed_and_opened_again_goes_on_with_the_same_pod(home):
    home.lets(2)
    number = home.rent()
    home.at_step(number, 2)
    home.close()
    [pod] = home.runpod.living()
    assert home.queue.get(number).state == "waiting"
    home.lets(6)
    home.open()
    assert home.ended(number).state == "finished"
    assert [*home.runpod.pods] == [pod.id]
    assert home.steps_said(number) == [1, 2, 3, 4, 5, 6]
    assert (home.runpod.living(), home.states()) == ([], ["ended"])


def test_one_whose_answer_was_never_seen_is_found_by_its_name(home):
    """The computer dies between the request for the pod and its answer."""
    home.close()
    number = home.rent()
    api = pod_runner.account(home.root)
    rental = Rental()
    worker_folder = home.queue.folder(number)
    terms = pod_runner.terms_of(rental, pod_rental.fresh_key(worker_folder / "pod-key"))
    pod, offer = pod_rental.rent(api, PodLedger(home.root), pod_rental.find(api, terms), terms)
    memo = {"names": [pod.name], "gpu": offer.gpu.id, "hourly": str(offer.hourly), "since": time.time()}
    (worker_folder / "pod.json").write_text(json.dumps(memo), encoding="utf-8")
    home.open()
    assert home.ended(number).state == "finished"
    assert ([*home.runpod.pods], home.runpod.living()) == ([pod.id], [])


def test_where_the_first_gpu_is_taken_the_next_is_rented(home):
    home.runpod.plan("POST /pods", 400)
    number = home.rent(gpus=["RTX 4090", "A40"])
    assert home.ended(number).state == "finished"
    assert [pod.body["gpu"]["id"] for pod in home.runpod.pods.values()] == ["NVIDIA A40"]
    assert (home.runpod.living(), home.states()) == ([], ["refused", "ended"])


def test_an_account_without_money(home):
    home.runpod.money = False
    job = home.ended(home.rent())
    assert (job.state, "too little money" in job.error) == ("failed", True)
    assert (home.runpod.pods, home.states(), home.left()) == ({}, ["refused"], [])
    home.runpod.money = True
    home.resume(job.id)
    assert home.ended(job.id).state == "finished"


def test_a_pod_that_vanishes_interrupts_the_job_and_resume_rents_another(home):
    home.lets(3)
    number = home.rent()
    home.at_step(number, 3)
    [pod] = home.runpod.living()
    pod.vanished = True
    home.server.stop()
    home.pod_ends()
    job = home.ended(number)
    assert (job.state, f"{pod.body['name']} is gone" in job.error) == ("interrupted", True), job
    assert saved_steps(home.run()) == [1, 2, 3]
    assert (home.states(), home.left()) == (["ended"], [])
    pod.ended = time.monotonic()
    home.server.start()
    home.lets(6)
    home.resume(number)
    assert home.ended(number).state == "finished"
    assert home.steps_said(number) == [1, 2, 3, 4, 5, 6]
    assert (len(home.runpod.pods), home.runpod.living(), home.states()) == (2, [], ["ended"] * 2)


def test_one_that_vanished_while_this_computer_was_off(home):
    home.lets(3)
    number = home.rent()
    home.at_step(number, 3)
    home.close()
    [pod] = home.runpod.living()
    pod.vanished = True
    home.pod_ends()
    home.open()
    job = home.ended(number)
    assert (job.state, "is gone" in job.error) == ("interrupted", True), job
    assert (len(home.runpod.pods), home.left()) == (1, [])


def test_one_that_vanished_before_anything_began_there_is_replaced(home):
    home.runpod.plan("GET /pods/", 0, wait=0.5)
    number = home.rent()
    home.until(number, lambda: len(home.runpod.pods) == 1)
    home.close()
    [first] = home.runpod.living()
    first.vanished = True
    home.open()
    assert home.ended(number).state == "finished"
    assert "another one is rented" in home.said(number)
    assert len(home.runpod.pods) == 2
    assert [pod.id for pod in home.runpod.living()] in ([], [first.id])  # it was only said to be gone


def test_where_runpod_cannot_be_reached_at_the_end_the_watchdog_deletes_it(home, monkeypatch):
    home.lets(3)
    number = home.rent()
    home.at_step(number, 3)

    def down(self, *_):
        raise runpod_api._Lost("the network is down")

    monkeypatch.setattr(RunpodApi, "_exchange", down)
    home.lets(6)
    job = home.ended(number)
    assert (job.state, job.error) == ("finished", "")
    assert "Its own watchdog deletes it too" in home.said(number)
    home.until(number, lambda: not home.runpod.living(), 30)
    monkeypatch.undo()
    ledger = PodLedger(home.root)
    assert [entry.open for entry in ledger.entries()] == [True]
    assert (ledger.living(RunpodApi(KEY, home.runpod.base)), home.states()) == ([], ["ended"])


@pytest.mark.parametrize(("wish", "state"), [("stop", "stopped"), ("pause", "paused")])
def test_stopped_in_the_middle(home, wish, state):
    home.lets(3)
    number = home.rent()
    home.at_step(number, 3)
    home.queue.wish(number, wish)
    job = home.ended(number)
    assert (job.state, home.runpod.living(), home.states(), home.left()) == (state, [], ["ended"], [])
    assert saved_steps(home.run()) == [1, 2, 3]
    assert job.result["rent"]["gpu"] == "NVIDIA RTX A4000"


def test_stopped_while_it_is_prepared(home):
    home.runpod.plan("GET /pods/", 0, times=50, wait=0.1)
    for row in home.runpod.catalog:
        row["availability"] = "HIGH"
    number = home.rent()
    home.until(number, lambda: len(home.runpod.pods) == 1)
    [pod] = home.runpod.living()
    pod.status = "STARTING"
    home.queue.wish(number, "stop")
    assert home.ended(number).state == "stopped"
    assert (home.runpod.living(), home.states(), home.left()) == ([], ["ended"], [])


def test_what_its_limit_ends_is_kept_and_said(home):
    """As its watchdog asks shortly before the end: the job saves, and pauses."""
    home.lets(3)
    number = home.rent()
    home.at_step(number, 3)
    [job_there] = home.there.glob("jobs/*")
    (job_there / "wish.json").write_text('{"wish": "pause"}', encoding="utf-8")
    job = home.ended(number)
    assert (job.state, "reached its limit" in job.error) == ("interrupted", True), job
    assert (home.runpod.living(), saved_steps(home.run())) == ([], [1, 2, 3])


def test_too_dear_is_never_rented(home):
    job = home.ended(home.rent(hours=100, cap=1))
    assert (job.state, "100 hours at 0.26 USD may cost" in job.error) == ("failed", True), job
    assert (home.runpod.pods, home.states()) == ({}, [])


def test_without_a_key_it_is_said_how_to_give_one(tmp_path, monkeypatch):
    monkeypatch.setattr(pod_runner.api_key_store, "load", lambda root: None)
    with pytest.raises(UserError, match="key set runpod"):
        pod_runner.account(tmp_path)


def test_what_a_job_says_of_a_rental_is_read_again_and_old_jobs_too():
    asked = TrainArguments(on="runpod", rental=Rental(gpus=["A40"], regions=["EU"], dearest=0.5))
    assert arguments_of("train", as_plain(asked)) == asked
    old = {key: value for key, value in as_plain(TrainArguments()).items() if key != "rental"}
    assert arguments_of("train", old) == TrainArguments()
    with pytest.raises(UserError, match="rented"):
        arguments_of("train", {"rental": {}})
    with pytest.raises(UserError, match="hours"):
        arguments_of("train", {"on": "runpod", "rental": {"hours": -1}})
    with pytest.raises(UserError, match="rented GPU"):
        arguments_of("test", {**as_plain(TestArguments()), "on": "runpod"})
