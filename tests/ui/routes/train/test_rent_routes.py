"""Rented GPUs on the page: the key goes in and never out, offers and sums, pods that live; and RunPod may be away."""

import time
from decimal import Decimal

import pytest
from fake_runpod import KEY, FakeRunpod, gpu
from planting import MINI, plant_run

from lib_lora.queue.job_types import Rental, TrainArguments
from lib_lora.queue.runners import pod_terms
from lib_lora.remote import api_key_store
from lib_lora.remote.renting.pod_ledger import PodLedger, RunLimits
from lib_lora.remote.renting.user_currency import set_rate
from lib_lora.remote.runpod.runpod_answers import PodRequest
from lib_lora.remote.runpod.runpod_api import RunpodApi
from lib_lora.runs.events import EventLog
from lib_lora.runs.lent_run import Loan, lend, returned
from lib_lora.runs.sent_run import MOST_STEPS
from lib_lora.ui.routes import route_table
from lib_lora.workflows.train.elsewhere import renting
from lib_lora.workspace.workspace import Workspace


@pytest.fixture(autouse=True)
def no_keyring(monkeypatch):
    monkeypatch.delenv("RUNPOD_API_KEY", raising=False)
    monkeypatch.setattr(api_key_store, "_in_keyring", lambda *_: None)


@pytest.fixture
def runpod(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with FakeRunpod(tmp_path / "pods").running() as server:
        server.runs = False
        own = pod_terms.account

        def account(root):
            own(root)  # which needs a key
            return RunpodApi(KEY, server.base, timeout=5, pause=lambda _: None)

        monkeypatch.setattr(pod_terms, "account", account)
        yield server


def wanted(base, **rental):
    return {"base": str(base), "rental": rental}


def test_the_key_is_kept_and_sent_to_nobody(page, runpod):
    assert page.got("/runpod")["kept_in"] == ""
    assert page.got("/pods") == []
    assert page.done("/runpod/key", {"key": f" {KEY}\n"}) == {"kept_in": "file"}
    assert api_key_store.load(page.root) == KEY
    assert page.got("/runpod")["kept_in"] == "file"
    texts = [page.get(one).text for one in ("/runpod", "/settings", "/pods", "/state", "/doctor")]
    assert KEY not in "".join(texts)
    for key in ("two words", "x", KEY + "ü"):
        answer = page.post("/runpod/key", {"key": key})
        assert (answer.status_code, key in answer.json()["error"].split(), KEY in answer.text) == (400, False, False)
    assert page.done("/runpod/key/forget") == {"kept_in": ""}
    assert api_key_store.load(page.root) is None


def test_a_webui_that_is_open_to_others_rents_nothing(page, runpod, toy):
    api_key_store.save(page.root, KEY)
    page.character(photos=8)
    page.host.is_remote = True
    assert page.got("/runpod")["available"] is False
    assert page.got("/runpod")["kept_in"] == ""
    assert page.got("/pods") == []
    for path, body in (
        ("/runpod/key", {"key": KEY}),
        ("/runpod/key/forget", {}),
        ("/characters/mara/rent", wanted(toy("sd1"))),
        ("/pods/sameface-0123456789abcdef/end", {}),
    ):
        assert page.code_of(path, body, 403) == "forbidden"
    assert runpod.asked == []


def test_offers_with_prices_and_what_they_can_cost_at_most(page, runpod, toy):
    api_key_store.save(page.root, KEY)
    page.character(photos=8)
    set_rate(page.root, "GBP", 0.5)
    PodLedger(page.root).cost("sameface-0123456789abcdef", "mara", Decimal(3), None)
    found = page.done("/characters/mara/rent", wanted(toy("sd1"), hours=2.0, cap=4.0))
    first = found["offers"][0]
    assert (first["name"], first["memory"], first["stock"]) == ("RTX A4000", 16, "many are free")
    assert (first["hourly"], first["whole"], first["most"]) == ("0.13 GBP", "0.26 GBP", "0.26 GBP")
    assert (first["minutes"], first["total"]) == (None, "")
    assert (found["cap"], found["spent"], found["need"]) == ("2.00 GBP", "1.50 GBP", 7)
    assert [one["name"] for one in found["offers"]] == ["RTX A4000", "A40", "RTX 4090"]
    named = page.done("/characters/mara/rent", wanted(toy("sd1"), gpus=["RTX 4090"]))
    assert [one["name"] for one in named["offers"]] == ["RTX A4000", "A40", "RTX 4090"]  # to choose from
    assert named["tried"] == ["NVIDIA GeForce RTX 4090"]
    runpod.catalog.append(gpu("NVIDIA Small", 5, 0.05))
    again = page.done("/characters/mara/rent", wanted(toy("sd1")))
    assert (again["offers"][0]["name"], again["tried"][0]) == ("Small", "NVIDIA RTX A4000")
    assert "gradient checkpointing" in again["offers"][0]["changed"]
    for samples in (0, 4):
        told = page.done("/characters/mara/rent", {**wanted(toy("sd1")), "settings": {"samples": samples}})
        assert told["pictures"] == bool(samples)
    assert page.code_of("/characters/mara/rent", wanted(toy("sd1"), cap=0.02)) == "rent-above-limit"
    assert page.faulted("/characters/mara/rent", wanted(toy("sd1"), hours=1000.0)) == "rental.hours"


def test_what_a_run_that_goes_on_has_left_and_what_new_limits_give(page, runpod):
    """A run whose limits are used up gets no pod within them, and one within those that are given anew."""
    api_key_store.save(page.root, KEY)
    run = plant_run(page.character(photos=8), saved=[50], base=str(MINI))
    limits = RunLimits(f"mara/{run.name}", Decimal("1.5"), 2.0)
    ledger, path = PodLedger(page.root), f"/characters/mara/runs/{run.name}/rent-on"

    def had(usd, minutes):
        name = ledger.intend("NVIDIA A40", "0.4", limits)
        ledger.created(name, f"pod{round(minutes)}")
        ledger.cost(name, "mara", Decimal(usd), 4.0, minutes)
        ledger.ended(name, f"pod{round(minutes)}")

    had("0.4", 60.0)
    found = page.done(path, {"rental": {}})
    assert (found["steps"], found["limits"]) == (50, {"hours": 2.0, "cap": 1.5})
    assert "1.10 USD and 1.0 hours are left after 1 pod" in found["left"]
    assert found["offers"][0]["hours"] == 1.0
    assert page.done(path, {"steps": 400})["steps"] == 350
    had("0.4", 58.0)
    for rental in ({}, {"hours": 9.0, "cap": 9.0}):  # nobody has given these
        used = page.done(path, {"rental": rental})
        assert (used["refused"]["code"], used["offers"], used["tried"]) == ("rent-used-up", [], [])
        assert used["limits"] == {"hours": 2.0, "cap": 1.5}
        assert "0.70 USD and 2 min are left after 2 pods" in used["left"]
        assert "2 min are left after 2 pods, which is too little" in used["refused"]["text"]
    anew = page.done(path, {"rental": {"hours": 3.0, "cap": 2.0, "anew": True}})
    assert (anew["left"], anew["limits"], anew["cap"]) == ("", {"hours": 2.0, "cap": 1.5}, "2.00 USD")
    assert anew["refused"] is None
    assert page.code_of("/characters/mara/runs/009/rent-on", {}, 404) == "not-found"
    page.host.is_remote = True
    assert page.code_of(path, {"rental": {}}, 403) == "forbidden"


def test_going_on_is_asked_for_a_number_of_steps_that_a_run_can_have(page, runpod):
    api_key_store.save(page.root, KEY)
    run = plant_run(page.character(photos=8), saved=[50], base=str(MINI))
    path = f"/characters/mara/runs/{run.name}/rent-on"
    for steps in (0, -1, MOST_STEPS + 1, 10**12):
        assert page.faulted(path, {"steps": steps}) == "steps"
    assert page.done(path, {"steps": MOST_STEPS})["steps"] == MOST_STEPS - 50


def test_a_run_that_another_machine_has_is_offered_no_other_one(page, runpod):
    """A job that would fail at once would hide the one that brings the work home."""
    api_key_store.save(page.root, KEY)
    run = plant_run(page.character(photos=8), saved=[50], base=str(MINI))
    path, runs = f"/characters/mara/runs/{run.name}/rent-on", "/characters/mara/runs"
    job = {"kind": "train", "character": "mara", "arguments": {"run": run.name, "steps": 200}}
    lend(run, Loan("desk", "mara@desk.example:SameFace", "0123456789abcdef", 1))
    assert page.got(runs)[0]["lent"]
    assert page.code_of(path, {"rental": {}}) == "run-elsewhere"
    assert page.code_of("/jobs", job) == "run-elsewhere"
    assert page.got("/jobs") == []
    returned(run)
    assert not page.got(runs)[0]["lent"]
    assert page.done(path, {"rental": {}})["steps"] == 50
    assert page.done("/jobs", job)["arguments"]["steps"] == 200


def test_without_a_key_it_says_so(page, runpod, toy):
    page.character(photos=8)
    assert page.code_of("/characters/mara/rent", wanted(toy("sd1"))) == "runpod-key-missing"
    arguments = {"base": str(toy("sd1")), "on": "runpod", "rental": {"hours": 1.0}}
    job = {"kind": "train", "character": "mara", "arguments": arguments}
    assert page.code_of("/jobs", job) == "runpod-key-missing"
    api_key_store.save(page.root, KEY)
    assert page.done("/jobs", job)["arguments"]["rental"]["hours"] == 1.0


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        ({"status": 500}, "runpod-unreachable"),
        ({"cut": True}, "runpod-unreachable"),
        ({"status": 429, "headers": {"Retry-After": "3600"}}, "runpod-asked-often"),
        ({"status": 401}, "runpod-key-refused"),
        ({"status": 200, "body": b'{"gpus": "all of them"}'}, "runpod-answer-without-list"),
        ({"status": 200, "body": b"<html>"}, "runpod-answer-unreadable"),
        ({"status": 200, "body": b'{"gpus": [{"id": "<b>", "price": {"secure": -1}}, 3]}'}, "rent-no-gpu-fits"),
    ],
)
def test_where_runpod_is_away_or_lies_the_page_gets_one_sentence_at_once(page, runpod, toy, plan, code):
    api_key_store.save(page.root, KEY)
    page.character(photos=8)
    runpod.plan("GET /catalog", times=3, **plan)
    began = time.monotonic()
    assert page.code_of("/characters/mara/rent", wanted(toy("sd1"))) == code
    assert time.monotonic() - began < 5


def test_a_pod_that_nobody_uses_is_shown_and_ended(page, runpod):
    api_key_store.save(page.root, KEY)
    ledger = PodLedger(page.root)
    name = ledger.intend("NVIDIA A40", "0.4")
    pod = pod_terms.account(page.root).create_pod(PodRequest(name, "image", "NVIDIA A40"))
    ledger.created(name, pod.id)
    [shown] = page.got("/pods")
    assert (shown["name"], shown["job"], shown["text"]) == (name, None, "NVIDIA A40, 0.40 USD an hour, provisioning")
    assert page.code_of("/pods/sameface-no/end", {}, 404) == "not-found"
    assert page.done(f"/pods/{name}/end") == {"ended": [name]}
    assert (runpod.living(), page.got("/pods")) == ([], [])


def test_one_that_is_not_deleted_is_said_to_cost_on(page, runpod, monkeypatch):
    api_key_store.save(page.root, KEY)
    name = PodLedger(page.root).intend("NVIDIA A40", "0.4")
    pod_terms.account(page.root).create_pod(PodRequest(name, "image", "NVIDIA A40"))
    monkeypatch.setattr(route_table.rent_routes, "_ENDING", 0.0)
    runpod.plan("DELETE /pods", 500, times=9)
    assert page.code_of(f"/pods/{name}/end") == "pod-not-deleted"
    assert [one.name for one in renting.costing_pods(page.root)] == [name]


def test_what_a_job_costs_while_it_runs_and_what_it_has_cost(page):
    page.character(photos=8)
    job = page.queue.add("Mara", TrainArguments(base="/b", on="runpod", rental=Rental()))
    assert page.got(f"/jobs/{job.id}")["cost"] is None
    page.queue.take("remote", "me")
    emit = EventLog(Workspace(page.root).job(job.id).events)
    emit("cost", hourly=3.6, cap=5.0, since=time.time() - 1000)
    assert page.got(f"/jobs/{job.id}")["cost"] == {"so_far": "1.00 USD", "total": "", "cap": "5.00 USD", "billed": ""}
    emit("step", step=1, total=2, seconds_left=500.0)
    assert page.got(f"/jobs/{job.id}")["cost"]["total"] == "1.50 USD"
    emit("cost", hourly=0.0, cap=0.0, since=0.0)
    assert page.got(f"/jobs/{job.id}")["cost"] is None
    page.queue.end(job.id, "finished", "", {"rent": {"billed": 0.2, "counted": 1.25}})
    assert page.got(f"/jobs/{job.id}")["cost"]["billed"] == "1.25 USD"
