"""RunPod's API lies: nothing is executed, nothing is asked for elsewhere, nothing is rented above the cap."""

import json
import re
from decimal import Decimal

import pytest
from fake_runpod import gpu
from faults import raises

from lib_lora.errors import UserError
from lib_lora.remote import openssh
from lib_lora.remote.renting.gpu_offers import GpuWishes
from lib_lora.remote.renting.pod_ledger import PodLedger
from lib_lora.remote.renting.pod_rental import RentTerms, find, longest_cost, place_of, ready, rent
from lib_lora.remote.renting.rental_api import RUNNING, Pod, SshEndpoint
from lib_lora.remote.runpod.runpod_answers import parsed, pod_of

TERMS = RentTerms("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA sameface", hours=4, cap=Decimal(3), start=("true",))
PATHS = re.compile(r"(GET|POST|DELETE) /(pods|pods/[A-Za-z0-9_-]{1,64}(/action)?|catalog/gpus|billing/pods)")
HOSTS = [
    "-oProxyCommand=touch hacked",
    "1.2.3.4 -oProxyCommand=touch hacked",
    "two words",
    "1.2.3.4\n",
    "1.2.3.4\0",
    "$(touch hacked)",
    "`touch hacked`",
    "host;touch hacked",
    "%h",
    "a/b",
    "..",
    "root@1.2.3.4",
    "[::1]",
    "１２７.0.0.1",
    "ho\u202est",
    "x" * 300,
    "",
    None,
    5,
    ["1.2.3.4"],
]
PORTS = [0, -1, 65536, 99999, 1 << 50, "22", 22.5, True, None, "1e999"]
USERS = ["-l", "ro ot", "root\n", "$(id)", "", None, "x" * 100]
IDS = ["../../billing", "a/b", "a?b", "a#b", "a b", "..", "", "\u202eabc", "a\n", "x" * 65, 7, None, ["a"]]


@pytest.fixture
def quiet(runpod):
    """The commands of pods are not run."""
    runpod.runs = False
    yield runpod
    assert [one for one in runpod.asked if not PATHS.fullmatch(one)] == []


@pytest.fixture
def ledger(tmp_path):
    return PodLedger(tmp_path / "data")


def _raw(value):
    """JSON with numbers that it does not have, written as they are."""
    return re.sub(r'"raw:([^"]*)"', r"\1", json.dumps(value)).encode()


def _running(pod, **direct):
    where = {"host": "1.2.3.4", "port": 22, "username": "root", **direct}
    return {"id": pod.id, "name": pod.name, "status": RUNNING, "cost": 0.26, "ssh": {"direct": where}}


@pytest.mark.parametrize(
    "direct",
    [{"host": host} for host in HOSTS] + [{"port": port} for port in PORTS] + [{"username": user} for user in USERS],
    ids=str,
)
def test_nobody_connects_to_what_is_no_address(quiet, api, ledger, direct):
    pod, _ = rent(api, ledger, find(api, TERMS), TERMS)
    quiet.plan("GET /pods/", 200, times=99, body=_raw(_running(pod, **direct)))
    with raises("pod-not-ready"):
        ready(api, pod, patience=0.02, poll=0.001)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "1" * 5000])
def test_a_port_that_is_no_number(number):
    shown = _raw(_running(Pod("abc", "sameface-0", RUNNING), port=f"raw:{number}")).decode()
    assert number in shown
    found = pod_of(parsed(shown.encode()))
    assert found is None or found.ssh is None


@pytest.mark.parametrize("host", [":::", "a:b:c", "1:2", "::g", "a..b-", "-"])
def test_what_looks_like_an_address_is_looked_at_again_before_it_is_used(host, tmp_path):
    """Whatever passes is one word after ``--``, which ssh takes for a host."""
    pod = Pod("abc", "sameface-0123456789abcdef", RUNNING, ssh=SshEndpoint(host, 22, "root"))
    try:
        place = place_of(pod, tmp_path / "key")
    except UserError:
        return
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.:-]*", place.host)
    assert not [word for word in openssh.options(tmp_path, place) if word.startswith("-oProxy")]


@pytest.mark.parametrize("identifier", IDS, ids=str)
def test_a_pod_of_an_id_that_leads_elsewhere(quiet, api, ledger, identifier):
    """It may have been made, so it stays in the ledger; nothing is asked for by that id."""
    body = _raw({"id": identifier, "name": "sameface-0", "status": "PROVISIONING"})
    quiet.plan("POST /pods", 201, times=99, body=body)
    quiet.plan("GET /pods", 200, times=99, body=_raw({"pods": [{"id": identifier, "name": "sameface-0"}]}))
    with raises("runpod-pod-uncertain"):
        rent(api, ledger, find(api, TERMS), TERMS)
    assert [(entry.state, entry.id) for entry in ledger.entries()] == [("intended", "")]
    assert ledger.living(api) == []


@pytest.mark.parametrize(
    "price",
    ["raw:NaN", "raw:-Infinity", "raw:1e999", "raw:-0.2", "raw:-1e999", "raw:0", "raw:0.0", "0.25", True, None, [0.2]],
    ids=str,
)
def test_a_price_that_is_none_is_never_rented(quiet, api, ledger, price):
    rows = [gpu("NVIDIA A40", 48, 0.4, price={"secure": price, "community": price})]
    quiet.plan("GET /catalog/gpus", 200, body=_raw({"gpus": rows}))
    with raises(("rent-no-gpu-fits", "runpod-answer-unreadable")):
        rent(api, ledger, find(api, TERMS), TERMS)
    assert (quiet.pods, ledger.entries()) == ({}, [])


@pytest.mark.parametrize("price", [0.751, 9999, 1e300])
def test_what_could_cost_more_than_the_cap_is_not_rented(quiet, api, ledger, price):
    quiet.plan("GET /catalog/gpus", 200, body=_raw({"gpus": [gpu("NVIDIA A40", 48, price)]}))
    with raises(("rent-above-limit", "rent-no-gpu-fits")):
        rent(api, ledger, find(api, TERMS), TERMS)
    assert (quiet.pods, ledger.entries()) == ({}, [])


def test_a_tiny_price_costs_no_more_than_the_cap_in_any_case(quiet, api, ledger):
    quiet.plan("GET /catalog/gpus", 200, body=_raw({"gpus": [gpu("NVIDIA A40", 48, 1e-12)]}))
    [offer] = find(api, TERMS)
    assert longest_cost(offer, TERMS) <= TERMS.cap
    assert offer.hourly > 0  # its disk costs too


def test_the_names_of_gpus_do_nothing_to_a_terminal(quiet, api):
    names = ["\x1b]52;c;eA==\x07A40", "A40\r\nrented", "\u202eA40", "\x00", "A" * 5000]
    rows = [gpu(f"NVIDIA A{number}", 48, 0.4, name=name) for number, name in enumerate(names)]
    rows += [gpu("NVIDIA\x1b[2J", 48, 0.1), gpu("-oProxyCommand=x", 48, 0.1), gpu("../x", 48, 0.1)]
    quiet.plan("GET /catalog/gpus", 200, body=_raw({"gpus": rows}))
    found = find(api, TERMS)
    assert len(found) == len(names)
    assert all(offer.gpu.name.isprintable() and len(offer.gpu.name) <= 100 for offer in found)
    assert all(re.fullmatch(r"NVIDIA A\d", offer.gpu.id) for offer in found)


@pytest.mark.parametrize("cost", ["raw:99", "raw:0.9", "raw:1e6"])
def test_one_that_costs_more_than_was_said_is_given_back_at_once(quiet, api, ledger, cost):
    shown = {"id": "abc", "name": "", "status": "PROVISIONING", "cost": cost}
    real = ledger.intend

    def intend(*words):
        shown["name"] = real(*words)
        quiet.plan("POST /pods", 201, body=_raw(shown))
        return shown["name"]

    ledger.intend = intend
    with raises("rent-nothing-free", has="USD an hour"):
        rent(api, ledger, find(api, RentTerms(TERMS.public_key, 4, Decimal(3), GpuWishes(order=("A40",)))), TERMS)
    assert "DELETE /pods/abc" in quiet.asked
    assert [entry.state for entry in ledger.entries()] == ["ended"]


@pytest.mark.parametrize("amount", ["raw:-5", "raw:1e999", "raw:1e30", "5", None, []], ids=str)
def test_a_bill_that_makes_no_sense_is_nothing(quiet, api, amount):
    quiet.plan("GET /billing", 200, body=_raw({"records": [{"podId": "abc", "totalAmount": amount}]}))
    assert api.bill("abc").total == 0


def test_what_is_listed_is_harmless_to_show(quiet, api, ledger):
    row = {"id": "abc", "name": "sameface-\x1b[2J\u202e", "status": "RUN\x1bNING", "gpu": {"id": "\x1b"}, "cost": "x"}
    quiet.plan("GET /pods", 200, body=_raw({"pods": [row]}))
    [one] = ledger.living(api)
    assert (one.pod.name.isprintable(), one.pod.status, one.pod.gpu, one.pod.cost) == (True, "", "", None)
