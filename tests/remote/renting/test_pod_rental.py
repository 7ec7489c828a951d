"""From a catalogue to a machine that can be trained on, and what is done where RunPod has none, or gives another."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import stat
import subprocess
import sys
import time
from decimal import Decimal

import pytest
from fake_runpod import KEY
from faults import raises
from ssh_server import MISSING, SshServer, available

from lib_lora.remote import connection
from lib_lora.remote.renting import pod_rental
from lib_lora.remote.renting.gpu_offers import GpuWishes, offers
from lib_lora.remote.renting.pod_ledger import PodLedger
from lib_lora.remote.renting.pod_rental import RentTerms, fresh_key, longest_cost, place_of, ready, rent, unlike
from lib_lora.remote.renting.rental_api import Pod, SshEndpoint
from lib_lora.remote.runpod import pod_watchdog, runpod_pods
from lib_lora.remote.runpod.runpod_api import RunpodApi

PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA sameface"
TERMS = RentTerms(PUBLIC, hours=4, cap=Decimal(3), start=("true",))


@pytest.fixture
def ledger(tmp_path):
    return PodLedger(tmp_path / "data")


@pytest.fixture
def quiet(runpod):
    """The commands of pods are not run."""
    runpod.runs = False
    return runpod


def found(api, **wishes):
    return offers(api.gpus(), GpuWishes(**wishes), api.title)


def states(ledger):
    return [entry.state for entry in ledger.entries()]


def test_the_first_that_can_be_had_is_rented(quiet, api, ledger):
    pod, offer = rent(api, ledger, found(api), TERMS)
    assert (offer.gpu.name, pod.gpu) == ("RTX A4000", "NVIDIA RTX A4000")
    (entry,) = ledger.entries()
    assert (entry.name, entry.state, entry.id, entry.hourly) == (pod.name, "created", pod.id, str(offer.hourly))
    body = quiet.pods[pod.id].body
    assert (body["image"], body["cloud"], body["args"]) == (runpod_pods.IMAGE, "SECURE", runpod_pods.ARGS)
    assert body["gpu"]["minCudaVersion"] == "12.8"
    assert body["env"]["PUBLIC_KEY"] == body["env"]["SSH_PUBLIC_KEY"] == PUBLIC
    assert "RUNPOD_API_KEY" not in body["env"]
    assert KEY not in str(body)


def test_the_watchdog_is_told_what_was_agreed_by_runpod_s_clock(quiet, api, ledger):
    quiet.clock = 5000.0
    pod, offer = rent(api, ledger, found(api), TERMS)
    limits = pod_watchdog.unpacked(quiet.pods[pod.id].body["env"]["SAMEFACE_LIMITS"])
    assert (limits.seconds, limits.cap, limits.price) == (4 * 3600, 3.0, float(offer.hourly * Decimal("1.05")))
    assert abs(limits.created - time.time() - 5000) < 5


def test_the_command_holds_nothing_of_the_users(quiet, api, ledger):
    terms = RentTerms("$(evil) \"x\" 'y'", 4, Decimal(3), folder='a"; rm -rf /', start=("`evil`",))
    pod, _ = rent(api, ledger, found(api), terms)
    assert quiet.pods[pod.id].body["args"] == runpod_pods.ARGS
    assert shlex.split(runpod_pods.ARGS)[:2] == ["sh", "-c"]
    assert len(shlex.split(runpod_pods.ARGS)) == 3


def test_what_can_be_had_is_shown_before_anything_is_rented(quiet, api):
    terms = RentTerms(PUBLIC, 4, Decimal("1.70"), GpuWishes(memory=20), min_cuda="12.4")
    assert [offer.gpu.name for offer in pod_rental.find(api, terms)] == ["A40"]
    assert quiet.queries[-1] == {
        "include": ["AVAILABILITY"],
        "product": ["POD"],
        "cloud": ["SECURE"],
        "count": ["1"],
        "minCudaVersion": ["12.4"],
    }
    with raises("rent-above-limit"):
        pod_rental.find(api, RentTerms(PUBLIC, 4, Decimal("0.5")))
    with raises("rent-no-gpu-fits"):
        pod_rental.find(api, RentTerms(PUBLIC, 4, Decimal(5), GpuWishes(memory=500)))


def test_where_one_is_taken_the_next_is_rented(quiet, api, ledger):
    found_before = found(api)
    for row in quiet.catalog[:2]:
        row["availability"] = "NONE"
    pod, offer = rent(api, ledger, found_before, TERMS)
    assert (offer.gpu.name, pod.gpu) == ("A40", "NVIDIA A40")
    assert states(ledger) == ["refused", "created"]


def test_where_this_account_may_not_have_one_the_next_is_rented(quiet, api, ledger):
    quiet.plan("POST /pods", 403)
    assert rent(api, ledger, found(api), TERMS)[1].gpu.name == "A40"
    assert states(ledger) == ["refused", "created"]


def test_where_none_is_free_that_is_said(quiet, api, ledger):
    before = found(api)
    for row in quiet.catalog:
        row["availability"] = "NONE"
    with raises("rent-nothing-free", has="no instances available"):
        rent(api, ledger, before, TERMS)
    assert states(ledger) == ["refused"] * 3
    with raises("rent-nothing-free"):
        rent(api, ledger, [], TERMS)


@pytest.mark.parametrize(
    ("status", "code"), [(402, "runpod-no-money"), (401, "runpod-key-refused"), (422, "runpod-request-invalid")]
)
def test_what_no_other_gpu_mends_is_not_tried_with_another(quiet, api, ledger, status, code):
    quiet.plan("POST /pods", status)
    with raises(code):
        rent(api, ledger, found(api), TERMS)
    assert states(ledger) == ["refused"]
    assert quiet.asked.count("POST /pods") == 1


def test_what_is_uncertain_stays_in_the_ledger(quiet, api, ledger):
    quiet.plan("POST /pods", cut=True, times=5)
    with raises("runpod-pod-uncertain"):
        rent(api, ledger, found(api), TERMS)
    assert states(ledger) == ["intended"]


def test_one_that_may_still_turn_up_stays_in_the_ledger_too(quiet, api, ledger):
    quiet.plan("POST /pods", cut=True)
    quiet.plan("POST /pods", 400)
    _, offer = rent(api, ledger, found(api), TERMS)
    assert (offer.gpu.name, states(ledger)) == ("A40", ["intended", "created"])


def test_what_could_cost_more_than_is_allowed_is_never_asked_for(quiet, api, ledger):
    with raises("rent-above-limit"):
        rent(api, ledger, found(api), RentTerms(PUBLIC, 10, Decimal("2.00")))
    assert (ledger.entries(), quiet.pods) == ([], {})
    _, offer = rent(api, ledger, found(api, order=("RTX 4090", "A40")), RentTerms(PUBLIC, 10, Decimal("4.10")))
    assert offer.gpu.name == "A40"
    assert longest_cost(offer, TERMS) < Decimal("1.63")


def test_one_that_is_not_what_was_asked_for_is_deleted_at_once(quiet, api, ledger):
    quiet.catalog[1]["price"]["secure"] = 0.25
    before = found(api, order=("RTX A4000", "A40"))
    quiet.catalog[1]["price"]["secure"] = 2.5
    pod, offer = rent(api, ledger, before, TERMS)
    assert (offer.gpu.name, [one.id for one in quiet.living()]) == ("A40", [pod.id])
    assert states(ledger) == ["ended", "created"]


def test_in_what_a_pod_may_differ(api, quiet):
    offer = found(api)[0]
    european = RentTerms(PUBLIC, 4, Decimal(3), GpuWishes(regions=("EU",)))
    assert unlike(Pod("a", "b", "RUNNING"), offer, european) == ""
    assert "US-KS-2" in unlike(Pod("a", "b", "RUNNING", data_center="US-KS-2"), offer, european)
    assert unlike(Pod("a", "b", "RUNNING", data_center="EUR-IS-1"), offer, european) == ""
    assert "COMMUNITY" in unlike(Pod("a", "b", "RUNNING", cloud="COMMUNITY"), offer, TERMS)
    assert "A100" in unlike(Pod("a", "b", "RUNNING", gpu="A100"), offer, TERMS)
    assert "9" in unlike(Pod("a", "b", "RUNNING", cost=Decimal(9)), offer, TERMS)


def test_regions_are_asked_for(quiet, api, ledger):
    pod, _ = rent(
        api, ledger, found(api, regions=("EU",)), RentTerms(PUBLIC, 4, Decimal(3), GpuWishes(regions=("EU",)))
    )
    assert quiet.pods[pod.id].body["dataCenterIds"] == ["EU-RO-1"]


def test_one_that_cannot_be_written_down_is_deleted_at_once(quiet, api, ledger, monkeypatch):
    def full(name, identifier):
        raise KeyboardInterrupt

    monkeypatch.setattr(ledger, "created", full)
    with pytest.raises(KeyboardInterrupt):
        rent(api, ledger, found(api), TERMS)
    assert (len(quiet.pods), quiet.living()) == (1, [])


def test_what_is_accepted_as_dearer_does_not_break_the_limit(quiet, api, ledger):
    """A pod that costs as much more than its offer as is accepted must still end within the money."""
    before = found(api)
    quiet.catalog[1]["price"]["secure"] *= 1.04
    pod, offer = rent(api, ledger, before, RentTerms(PUBLIC, 10, before[0].hourly * 10))
    limits = pod_watchdog.unpacked(quiet.pods[pod.id].body["env"]["SAMEFACE_LIMITS"])
    assert pod.cost > offer.hourly - Decimal("0.01")
    assert pod.cost * Decimal(limits.longest()) / 3600 <= Decimal(str(limits.cap))


# ------------------------------------------------------------------------------------------------- until it is ready


def test_it_is_waited_for(quiet, api, ledger):
    pod, _ = rent(api, ledger, found(api), TERMS)
    said = []
    running = ready(api, pod, said.append, poll=0.01)
    assert running.ssh == SshEndpoint("127.0.0.1", 34446, "root")
    assert [re.sub(".*: ", "", one) for one in said] == ["starting", "running"]


@pytest.mark.parametrize("status", ["ERROR", "EXITED", "TERMINATED"])
def test_one_that_fails(quiet, api, ledger, status):
    pod, _ = rent(api, ledger, found(api), TERMS)
    quiet.pods[pod.id].status = status
    with raises("pod-failed", has=status):
        ready(api, pod)


def test_one_that_vanishes(quiet, api, ledger):
    pod, _ = rent(api, ledger, found(api), TERMS)
    quiet.pods[pod.id].vanished = True
    with raises("runpod-not-found"):
        ready(api, pod)


def test_one_that_takes_too_long(quiet, api, ledger):
    pod, _ = rent(api, ledger, found(api), TERMS)
    quiet.pods[pod.id].status = "PROVISIONING"
    with raises("pod-not-ready"):
        ready(api, pod, patience=0.05, poll=0.01)


def test_one_that_is_not_waited_for_any_more(quiet, api, ledger):
    pod, _ = rent(api, ledger, found(api), TERMS)
    with raises("pod-start-stopped"):
        ready(api, pod, stop=lambda: True)


def test_it_is_a_place_of_its_own(tmp_path):
    pod = Pod("abc", "sameface-0123456789abcdef", "RUNNING", ssh=SshEndpoint("1.2.3.4", 34446, "root"))
    place = place_of(pod, tmp_path / "key ü")
    assert (place.name, place.address()) == (pod.name, "root@1.2.3.4:34446")
    assert place.key == str(tmp_path / "key ü")
    with raises("pod-without-address"):
        place_of(Pod("abc", pod.name, "RUNNING"), tmp_path)
    with raises("setting-invalid"):
        place_of(Pod("abc", "-oProxyCommand=x", "RUNNING", ssh=pod.ssh), tmp_path)


@pytest.mark.skipif(not available(), reason=MISSING)
def test_a_key_is_made_for_one_pod(tmp_path):
    path = tmp_path / "keys ü" / "pod"
    first, second = fresh_key(path), fresh_key(path)
    assert first != second
    assert re.fullmatch(r"ssh-ed25519 [A-Za-z0-9+/=]+ sameface", second)
    if os.name != "nt":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


# -------------------------------------------------------------------------------------------------------- the whole way


@pytest.mark.skipif(not available(), reason=MISSING)
def test_from_an_account_to_a_machine_and_back(runpod, tmp_path):
    """The real command runs in the pod, real SSH reaches it, and it is gone at the end."""
    server = SshServer(tmp_path / "ssh")
    server.start()
    try:
        runpod.ssh = ("127.0.0.1", server.port)
        # what the image's program does with the key: the watchdog starts it in the pod
        let_in = ("sh", "-c", f'echo "$PUBLIC_KEY" >> {shlex.quote(str(server.folder / "authorized_keys"))}')
        api, ledger = RunpodApi(KEY, runpod.base), PodLedger(tmp_path / "data")
        key = tmp_path / "data" / "remote" / "keys" / "pod"
        terms = RentTerms(fresh_key(key), 1, Decimal(1), start=let_in, folder=str(server.folder / "there"))
        pod, offer = rent(api, ledger, found(api), terms)
        until = time.monotonic() + 10
        while b"sameface\n" not in (server.folder / "authorized_keys").read_bytes() and time.monotonic() < until:
            time.sleep(0.02)
        running = ready(api, pod, poll=0.02)
        assert unlike(running, offer, terms) == ""
        began = (server.folder / "there" / "heartbeat").stat().st_mtime
        place = place_of(running, key, terms.folder)
        if getpass.getuser() != "root":
            place = server.place(pod.name, key=str(key))
        there = connection.Connection(tmp_path / "data", place)
        try:
            assert connection.probe(there).python.startswith(f"{sys.version_info.major}.")
        finally:
            there.close()
            subprocess.run(
                ["ssh", "-O", "exit", *_control(tmp_path / "data", place), place.host], capture_output=True, check=False
            )
        assert (server.folder / "there" / "heartbeat").stat().st_mtime > began
        ledger.end(api, running)
    finally:
        server.stop()
    assert (runpod.living(), ledger.living(api), states(ledger)) == ([], [], ["ended"])
    assert api.bill(pod.id).total < Decimal("0.01")


def _control(root, place):
    from lib_lora.remote import openssh

    return openssh.options(root, place)
