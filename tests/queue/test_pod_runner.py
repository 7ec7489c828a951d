"""Training on a rented pod: whatever happens, none is left behind, and what was trained is kept.

RunPod is `fake_runpod`; a real SSH server stands for the one in a pod, whose command (the watchdog) is the real one.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import time
from contextlib import suppress
from decimal import Decimal
from functools import partial

import pytest
from fake_runpod import KEY, FakeRunpod
from faults import raises
from remote_harness import NAME, RemoteHarness
from rented import Rented
from ssh_server import MISSING, available

from lib_lora import cli
from lib_lora.errors import UserError, typed
from lib_lora.queue.job_progress import Follower
from lib_lora.queue.job_types import Rental, TrainArguments, arguments_of, as_plain
from lib_lora.queue.runners import pod_terms, pods_in_use, remote_job, rented_pod, ssh_runner
from lib_lora.remote import api_key_store, places
from lib_lora.remote.http_exchange import AnswerLost
from lib_lora.remote.renting import pod_rental
from lib_lora.remote.renting.pod_ledger import PodLedger
from lib_lora.remote.renting.pod_rental import RentTerms
from lib_lora.remote.renting.user_currency import set_rate
from lib_lora.remote.runpod import pod_watchdog, runpod_api
from lib_lora.remote.runpod.runpod_api import RunpodApi
from lib_lora.runs.lent_run import loan_of
from lib_lora.training.plan.run_file import saved_steps
from lib_lora.workflows.train.elsewhere import train_elsewhere
from lib_lora.workspace.workspace import Workspace

pytestmark = [
    pytest.mark.skipif(not available(), reason=MISSING),
    pytest.mark.once("how a pod is rented and given back is ours"),
]


TERMS = RentTerms("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA sameface", hours=1, cap=Decimal(1), start=("true",))


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

    def at_step(self, number, step):
        run = self.run()

        def come():
            return step in saved_steps(run) and step in self.steps_said(number)

        self.until(number, lambda: come() or self.queue.get(number).ended)
        assert self.queue.get(number).ended is None, (self.queue.get(number), self.events(number))

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
    monkeypatch.setattr(remote_job, "POLL", 0.1)
    monkeypatch.setattr(remote_job, "FILES", 0.1)
    monkeypatch.setattr(remote_job, "AGAIN", 0.2)
    monkeypatch.setattr(rented_pod, "POLL", 0.02)
    monkeypatch.setattr(rented_pod, "_ASK_AGAIN", 0.2)
    monkeypatch.setattr(rented_pod, "DELETING", 0.2)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with FakeRunpod(tmp_path / "pods").running() as runpod:
        made = Pods.__new__(Pods)
        made.__init__(tmp_path, prepared, runpod)
        keys = made.server.folder / "authorized_keys"
        Rented(runpod.base, str(keys), str(made.there)).use(monkeypatch.setattr)
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
    assert pods_in_use.pods_in_use(home.root) == {pod.body["name"]: number}
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


def test_what_it_costs_is_known_from_the_first_step_on_and_kept_for_the_character(home):
    set_rate(home.root, "GBP", 0.5)
    home.lets(3, pace=0.01)
    number = home.rent(cap=4.0)
    home.at_step(number, 3)

    def costs():
        return [one for one in home.events(number) if one["kind"] == "cost"]

    home.until(number, lambda: len(costs()) > 1)
    assert "in all at this pace; never more than" in costs()[1]["text"]
    assert "GBP" in costs()[1]["text"]
    standing = Follower(Workspace(home.root).job(number).events).read()
    assert standing.rented[1] == pytest.approx(costs()[0]["hourly"])
    home.lets(6)
    assert home.ended(number).state == "finished"
    assert Follower(Workspace(home.root).job(number).events).read().rented is None
    [cost] = PodLedger(home.root).costs()
    assert (cost.character, cost.usd >= Decimal("0.01")) == (home.queue.get(number).slug, True)
    assert cost.preparing is not None
    assert "GBP" in home.said(number)
    assert "USD" not in home.said(number)


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


def remembered(home, number, **fields):
    """Rent a pod as the job would have, and leave what it would have remembered."""
    api, folder = pod_terms.account(home.root), home.queue.folder(number)
    terms = pod_terms.terms_of(Rental(), pod_rental.fresh_key(folder / "pod-key"))
    pod, offer = pod_rental.rent(api, PodLedger(home.root), pod_rental.find(api, terms), terms)
    memo = {"names": [pod.name], "gpu": offer.gpu.id, "hourly": str(offer.hourly), "since": time.time(), **fields}
    (folder / "pod.json").write_text(json.dumps({**memo, "id": pod.id if fields else ""}), encoding="utf-8")
    return pod


def test_one_whose_answer_was_never_seen_is_found_by_its_name(home):
    """The computer dies between the request for the pod and its answer."""
    home.close()
    number = home.rent()
    pod = remembered(home, number)
    other = PodLedger(home.root).intend("NVIDIA A40", "0.4")  # another one whose answer was never seen
    body = {"name": other, "image": "x", "gpu": {"id": "NVIDIA A40"}}
    home.runpod.answer("POST", "/v2/pods", KEY, json.dumps(body).encode())
    home.open()
    assert home.ended(number).state == "finished"
    assert home.runpod.pods[pod.id].ended is not None
    assert [one.body["name"] for one in home.runpod.living()] == [other]


def test_one_that_is_being_prepared_when_the_home_is_closed_is_used_when_it_opens(home):
    home.runpod.plan("GET /pods/", 0, wait=0.5)
    number = home.rent()
    home.until(number, lambda: len(home.runpod.pods) == 1)
    home.close()
    [pod] = home.runpod.living()
    home.open()
    assert home.ended(number).state == "finished"
    assert ([*home.runpod.pods], home.runpod.living()) == ([pod.id], [])


def test_one_that_was_only_to_be_deleted_is_deleted_and_the_result_is_kept(home):
    """The computer dies after all has come home."""
    home.close()
    number = home.rent()
    result = {"state": "finished", "error": "", "result": {"run": "001", "lora": "x"}}
    pod = remembered(home, number, code=0, result=result)
    home.open()
    job = home.ended(number)
    assert (job.state, job.result["lora"], job.result["rent"]["pod"]) == ("finished", "x", pod.name)
    assert ([*home.runpod.pods], home.runpod.living(), home.steps_said(number)) == ([pod.id], [], [])


def test_a_job_that_is_stopped_while_nobody_looks_after_it_gives_its_pod_back(home):
    home.close()
    number = home.rent()
    remembered(home, number)
    home.queue.wish(number, "stop")
    home.open()
    assert home.ended(number).state == "stopped"
    assert (home.runpod.living(), home.states(), home.left()) == ([], ["ended"], [])


def test_where_the_key_is_gone_the_pod_stays_remembered(home, monkeypatch):
    home.close()
    number = home.rent()
    pod = remembered(home, number)

    def locked(root):
        raise UserError("The keyring is locked.", code="runpod-key-missing")

    with monkeypatch.context() as patched:
        patched.setattr(pod_terms, "account", locked)
        home.open()
        assert home.ended(number).state == "failed"
    home.resume(number)
    home.until(number, lambda: home.queue.get(number).state == "finished")
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
    assert (job.state, job.code) == ("failed", "runpod-no-money")
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
    assert (job.state, job.code, pod.body["name"] in job.error) == ("interrupted", "pod-vanished", True), job
    assert saved_steps(home.run()) == [1, 2, 3]
    assert (home.states(), home.left()) == (["ended"], [])
    assert loan_of(home.run().folder) is None
    pod.ended = time.monotonic()
    home.server.start()
    home.lets(6)
    home.resume(number)
    assert home.ended(number).state == "finished"
    assert home.steps_said(number) == [1, 2, 3, 4, 5, 6]
    assert (len(home.runpod.pods), home.runpod.living(), home.states()) == (2, [], ["ended"] * 2)


def limits_of(pod):
    """What a pod's watchdog was told: hours, and USD."""
    found = pod_watchdog.unpacked(pod.body["env"][pod_watchdog.LIMITS])
    return round(found.seconds / 3600, 4), found.cap


def interrupted(home, number, costs, minutes):
    """Let the pod of a job at step 3 vanish, and have cost something."""
    home.at_step(number, 3)
    [pod] = home.runpod.living()
    pod.vanished = True
    home.server.stop()
    home.pod_ends()
    assert home.ended(number).state == "interrupted"
    pod.ended = time.monotonic()
    PodLedger(home.root).cost(pod.body["name"], "mara", Decimal(costs), None, minutes)
    home.server.start()


def test_what_earlier_pods_of_a_run_have_cost_is_taken_off_its_limits(home):
    home.lets(3)
    number = home.rent(cap=1.0, hours=2.0)
    interrupted(home, number, "0.70", 30.0)
    home.lets(6)
    home.resume(number)
    assert home.ended(number).state == "finished"
    first, second = (limits_of(pod) for pod in home.runpod.pods.values())
    hourly = Decimal(PodLedger(home.root).entries()[0].hourly)
    assert first == (2.0, 1.0)
    assert second == (round(float(Decimal("0.3") / hourly), 4), 0.3)  # for as long as its money lasts
    assert "0.30 USD and 1.5 hours are left after 1 pod" in home.said(number)
    assert "can cost 0.30 USD at most" in home.said(number)


def test_where_nothing_is_left_no_pod_is_rented_until_more_is_allowed(home):
    home.lets(3)
    number = home.rent(cap=1.0, hours=2.0)
    interrupted(home, number, "0.99", 30.0)
    home.resume(number)
    job = home.ended(number)
    assert (job.state, job.code) == ("failed", "rent-used-up"), job
    assert all(number in job.error for number in ("0.01 USD", "1.5 hours"))
    assert len(home.runpod.pods) == 1
    home.resume(number)  # again and again
    home.until(number, lambda: home.queue.get(number).ended != job.ended and home.queue.get(number).ended)
    assert len(home.runpod.pods) == 1
    home.lets(6)
    more = home.rent(cap=3.0, hours=1.0, anew=True)
    assert home.ended(more).state == "finished"
    assert limits_of(list(home.runpod.pods.values())[-1]) == (1.0, 3.0)


def test_a_resume_without_limits_goes_on_within_those_that_the_run_had(home):
    home.lets(3)
    interrupted(home, home.rent(cap=1.0, hours=2.0), "0.20", 30.0)
    home.lets(6)
    assert home.ended(home.rent()).state == "finished"
    assert limits_of(list(home.runpod.pods.values())[-1]) == (1.5, 0.8)


def test_the_command_says_what_is_left(home, capsys, monkeypatch):
    home.lets(3)
    interrupted(home, home.rent(cap=1.0, hours=2.0), "0.20", 30.0)
    home.close()
    home.lets(6)
    monkeypatch.setattr(train_elsewhere, "finish_run", lambda make: None)  # the scripted trainer's LoRA is none
    assert cli.main(["resume", NAME, "--on", "runpod", "--data", str(home.root)]) == 0
    said = capsys.readouterr().out
    assert "0.80 USD and 1.5 hours are left after 1 pod" in said
    assert "for 1.5 hours at most is 0.38 USD" in said


def test_one_that_vanishes_while_it_is_prepared(home):
    home.runpod.plan("GET /pods/", 0, times=5, wait=0.2)
    number = home.rent()
    home.until(number, lambda: len(home.runpod.pods) == 1)
    [pod] = home.runpod.living()
    home.runpod.vanish(pod)
    job = home.ended(number)
    assert (job.state, job.code, pod.body["name"] in job.error) == ("interrupted", "pod-vanished", True), job
    home.resume(number)
    assert home.ended(number).state == "finished"
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
    assert (job.state, job.code) == ("interrupted", "pod-vanished"), job
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
        raise AnswerLost("the network is down")

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


def test_a_full_disk_here_keeps_the_pod_until_there_is_room(home, full_disk):
    """It has the only copy of what was made last."""
    home.lets(3)
    number = home.rent()
    home.at_step(number, 3)
    [pod] = home.runpod.living()
    with full_disk():
        home.lets(6)
        home.until(number, lambda: bool(list(home.there.glob("jobs/*/exit.json"))))
        home.until(number, lambda: "keeps costing 0.26 USD an hour" in home.said(number))
        assert (home.runpod.living(), home.queue.get(number).state) == ([pod], "running")
    assert home.ended(number).state == "finished"
    assert saved_steps(home.run()) == [1, 2, 3, 4, 5, 6]
    assert (home.runpod.living(), home.states(), home.left()) == ([], ["ended"], [])


@pytest.mark.parametrize("stopped", [False, True])
def test_where_there_is_no_room_for_long_the_pod_is_left_to_its_limits_and_to_resume(
    home, full_disk, monkeypatch, stopped
):
    monkeypatch.setattr(ssh_runner, "ROOM", 60.0 if stopped else 0.3)
    home.lets(3)
    number = home.rent()
    home.at_step(number, 3)
    [pod] = home.runpod.living()
    with full_disk():
        home.lets(6)
        home.until(number, lambda: "is kept for it" in home.said(number))
        if stopped:
            home.queue.wish(number, "stop")
        job = home.ended(number)
    assert (job.state, job.code, f"pods end {pod.body['name']}" in job.error) == (
        "failed",
        "pod-not-fetched",
        True,
    ), job
    assert (home.runpod.living(), home.states()) == ([pod], ["created"])
    assert pods_in_use.pods_in_use(home.root) == {pod.body["name"]: number}
    with raises("job-elsewhere"):
        home.queue.forget(number)
    home.resume(number)
    assert home.ended(number).state == "finished"
    assert saved_steps(home.run()) == [1, 2, 3, 4, 5, 6]
    assert ([*home.runpod.pods], home.runpod.living(), home.states()) == ([pod.id], [], ["ended"])
    assert pods_in_use.pods_in_use(home.root) == {}


@pytest.mark.parametrize("fault", [UserError("It is no JSON.", code="json-invalid"), ZeroDivisionError("oh")])
def test_another_fault_of_this_computer_keeps_the_pod_too(home, monkeypatch, fault):
    home.lets(3)
    number = home.rent()
    home.at_step(number, 3)
    [pod] = home.runpod.living()
    with monkeypatch.context() as patch:

        def fails(_worker, _run):
            raise fault

        patch.setattr(ssh_runner.SshWorker, "_bring", fails)
        job = home.ended(number)
    assert (job.state, job.code, f"pods end {pod.body['name']}" in job.error) == (
        "failed",
        "pod-not-fetched",
        True,
    ), job
    assert (home.runpod.living(), home.states()) == ([pod], ["created"])
    for one in range(60):  # however many others there are
        home.queue.add("another", TrainArguments(base="x", settings={"seed": one}))
    assert pods_in_use.pods_in_use(home.root) == {pod.body["name"]: number}
    home.lets(6)
    home.resume(number)
    assert home.ended(number).state == "finished"
    assert (home.runpod.living(), home.states()) == ([], ["ended"])


@pytest.mark.parametrize("answer", [{"status": 402}, {"status": 403}, {"status": 200, "body": b"<html>"}])
def test_what_runpod_refuses_to_say_once_after_a_restart_is_asked_again(home, answer):
    home.lets(3)
    number = home.rent()
    home.at_step(number, 3)
    [pod] = home.runpod.living()
    home.close()
    home.runpod.plan("GET /pods/", times=2, **answer)
    home.open()
    home.until(number, lambda: "Requests are being repeated; the work there continues." in home.said(number))
    home.lets(6)
    assert home.ended(number).state == "finished"
    assert ([*home.runpod.pods], home.runpod.living(), home.states()) == ([pod.id], [], ["ended"])


def test_what_runpod_goes_on_refusing_to_say_ends_the_job_and_names_the_pod_that_is_kept(home, monkeypatch):
    home.lets(3)
    number = home.rent()
    home.at_step(number, 3)
    [pod] = home.runpod.living()
    home.close()
    monkeypatch.setattr(remote_job, "PATIENCE", 0.3)
    home.runpod.plan("GET /pods/", 402, times=50)
    home.open()
    job = home.ended(number)
    home.runpod.forget_plans()
    name = pod.body["name"]
    assert (job.state, f"on the rented pod {name} alone" in job.error, f"pods end {name}" in job.error) == (
        "failed",
        True,
        True,
    ), job
    home.lets(6)
    home.resume(number)
    assert home.ended(number).state == "finished"
    assert ([*home.runpod.pods], home.runpod.living(), home.states()) == ([pod.id], [], ["ended"])


def test_a_pod_that_is_found_late_has_cost_no_more_than_it_could(home, monkeypatch):
    home.lets(3)
    number = home.rent()
    home.at_step(number, 3)
    path = Workspace(home.root).job(number).pod
    home.close()
    memo = json.loads(path.read_text())
    path.write_text(json.dumps({**memo, "since": memo["since"] - 72 * 3600}))
    home.lets(6)
    home.open()
    job = home.ended(number)
    rent = job.result["rent"]
    assert rent["minutes"] <= Rental().hours * 60
    assert rent["counted"] <= Rental().cap


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
    assert (job.state, job.code, "--max-cost N" in job.error) == ("interrupted", "pod-at-limit", True), job
    assert (home.runpod.living(), saved_steps(home.run())) == ([], [1, 2, 3])


@pytest.mark.parametrize(
    ("lie", "code", "said"),
    [
        (
            {"ssh": {"direct": {"host": "-oProxyCommand=touch hacked", "port": 22, "username": "root"}}},
            "pod-not-ready",
            "",
        ),
        ({"ssh": {"direct": {"host": "127.0.0.1", "port": 99999, "username": "root"}}}, "pod-not-ready", ""),
        ({"cost": 9.5}, "pod-not-as-asked", "9.50 USD an hour"),
        ({"cloud": "COMMUNITY"}, "pod-not-as-asked", "COMMUNITY"),
        ({"gpu": {"id": "NVIDIA H100", "count": 1}}, "pod-not-as-asked", "NVIDIA H100"),
    ],
)
def test_a_pod_about_which_runpod_lies_is_given_back_and_nothing_is_sent(home, monkeypatch, lie, code, said):
    patience = 0.2 if code == "pod-not-ready" else 60
    monkeypatch.setattr(pod_rental, "ready", partial(pod_rental.ready, patience=patience))
    shown = home.runpod._shown
    monkeypatch.setattr(
        home.runpod, "_shown", lambda pod: {**shown(pod), **(lie if shown(pod)["status"] == "RUNNING" else {})}
    )
    job = home.ended(home.rent())
    assert (job.state, job.code, said in job.error) == ("failed", code, True), job
    assert (home.runpod.living(), home.states(), home.left()) == ([], ["ended"], [])
    assert not (home.there / "jobs").exists()
    assert not list(home.root.parent.rglob("hacked"))


def test_too_dear_is_never_rented(home):
    job = home.ended(home.rent(hours=100, cap=1))
    assert (job.state, job.code) == ("failed", "rent-above-limit"), job
    assert (home.runpod.pods, home.states()) == ({}, [])


def test_the_command_says_what_it_may_cost_and_what_still_costs_before_it_rents(home, capsys, monkeypatch):
    home.close()
    api, ledger = pod_terms.account(home.root), PodLedger(home.root)
    forgotten, _ = pod_rental.rent(api, ledger, pod_rental.find(api, TERMS), TERMS)
    monkeypatch.setattr(train_elsewhere, "finish_run", lambda make: None)  # the scripted trainer's LoRA is none
    asked = ["resume", NAME, "--on", "runpod", "--gpu", "A40", "--max-hours", "2", "--max-cost", "1"]
    assert cli.main([*asked, "--data", str(home.root)]) == 0
    said = capsys.readouterr().out
    costs, offer, most, sent, rented = (
        said.index(text)
        for text in (
            f"This pod still costs: {forgotten.name}",
            "  A40, 48 GB: 0.41 USD an hour, stock high",
            "0.41 USD an hour for 2 hours at most is 0.81 USD.",
            "Sent to a GPU that is rented at RunPod: the photos in use",
            "Rented: A40",
        )
    )
    assert costs < offer < most < sent < rented
    assert f"pods end {forgotten.name}" in said
    assert "RTX 4090" not in said
    assert [pod.body["name"] for pod in home.runpod.living()] == [forgotten.name]


def test_pods_are_listed_and_ended(home, capsys):
    home.close()
    number = home.rent()
    api, ledger = pod_terms.account(home.root), PodLedger(home.root)
    names = [pod_rental.rent(api, ledger, pod_rental.find(api, TERMS), TERMS)[0].name for _ in range(3)]
    memo = {"names": [names[0]], "gpu": "A40", "hourly": "0.4", "since": 0.0}
    home.queue.folder(number).mkdir(parents=True, exist_ok=True)
    (home.queue.folder(number) / "pod.json").write_text(json.dumps(memo), encoding="utf-8")

    def main(*words):
        assert cli.main(["pods", *words, "--data", str(home.root), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert {one["name"]: one["job"] for one in main("list")} == {names[0]: number, names[1]: None, names[2]: None}
    assert [one["name"] for one in main("end", names[1])] == [names[1]]
    assert sorted(pod.body["name"] for pod in home.runpod.living()) == sorted([names[0], names[2]])
    for words, code in (
        ((), "pod-to-end-not-named"),
        (("x", "--all"), "pod-to-end-not-named"),
        (("x",), "pod-not-found"),
    ):
        with raises(code):
            cli.main(["pods", "end", *words, "--data", str(home.root)])
    assert cli.main(["pods", "list", "--data", str(home.root)]) == 0
    said = capsys.readouterr().out
    assert f"job {number} uses it" in said
    assert f"no job uses it; end it with: {typed('pods', 'end', names[2])}" in said
    assert len(main("end", "--all")) == 2
    assert (home.runpod.living(), main("list")) == ([], [])


def test_the_key_is_read_from_standard_input_and_never_shown(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("RUNPOD_API_KEY", raising=False)
    monkeypatch.setattr(api_key_store, "_in_keyring", lambda *_: None)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{KEY}\n"))
    with raises("runpod-key-missing", has="key set runpod"):
        pod_terms.account(tmp_path)
    assert cli.main(["key", "set", "runpod", "--data", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "only you can read" in said.out
    assert KEY not in said.out + said.err
    assert api_key_store.load(tmp_path) == KEY
    assert pod_terms.account(tmp_path).base == runpod_api.BASE
    assert cli.main(["key", "forget", "runpod", "--data", str(tmp_path)]) == 0
    assert api_key_store.load(tmp_path) is None
    monkeypatch.setattr("sys.stdin", io.StringIO("no key\n"))
    with raises("api-key-malformed"):
        cli.main(["key", "set", "runpod", "--data", str(tmp_path)])


def test_what_is_said_of_a_rental_where_nothing_is_rented(tmp_path):
    with raises("rental-without-runpod"):
        cli.main(["resume", "x", "--gpu", "A40", "--data", str(tmp_path)])
    with raises("setting-invalid", has="hours"):
        cli.main(["train", "x", "--base", "b", "--on", "runpod", "--max-hours", "-3", "--data", str(tmp_path)])


def test_what_a_job_says_of_a_rental_is_read_again_and_old_jobs_too():
    asked = TrainArguments(on="runpod", rental=Rental(gpus=["A40"], regions=["EU"], dearest=0.5))
    assert arguments_of("train", as_plain(asked)) == asked
    old = {key: value for key, value in as_plain(TrainArguments()).items() if key != "rental"}
    assert arguments_of("train", old) == TrainArguments()
    for kind, values in (
        ("train", {"rental": {}}),
        ("train", {"on": "runpod", "rental": {"hours": -1}}),
    ):
        with raises("setting-invalid"):
            arguments_of(kind, values)
