"""No pod is forgotten, whatever is cut off when; and one that was ended is seen to be gone."""

from __future__ import annotations

import json
import os

import pytest
from faults import raises
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lora import file_permissions
from lib_lora.errors import UserError
from lib_lora.remote.renting.pod_ledger import PREFIX, PodLedger
from lib_lora.remote.runpod.runpod_answers import PodRequest
from lib_lora.workspace.workspace import Workspace

GPU = "NVIDIA A40"


@pytest.fixture
def ledger(tmp_path):
    return PodLedger(tmp_path / "data")


def rented(api, ledger):
    name = ledger.intend(GPU, "0.4")
    pod = api.create_pod(PodRequest(name, "image", GPU))
    ledger.created(name, pod.id)
    return pod


def states(ledger):
    return [entry.state for entry in ledger.entries()]


def test_a_pod_from_its_intention_to_its_end(api, ledger, runpod):
    pod = rented(api, ledger)
    (entry,) = ledger.entries()
    assert (entry.name, entry.state, entry.id, entry.gpu, entry.hourly) == (pod.name, "created", pod.id, GPU, "0.4")
    assert [(one.pod.id, one.entry.name) for one in ledger.living(api)] == [(pod.id, pod.name)]
    ledger.end(api, pod)
    assert (states(ledger), ledger.living(api), runpod.living()) == (["ended"], [], [])
    assert runpod.asked[-2:] != []
    assert f"GET /pods/{pod.id}" in runpod.asked  # it was looked at


def test_names_are_unique_and_say_whose_they_are(ledger):
    names = {ledger.intend(GPU, "0.4") for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith(PREFIX) and len(name) == len(PREFIX) + 16 for name in names)


def test_a_crash_right_after_the_request_loses_no_pod(api, ledger):
    name = ledger.intend(GPU, "0.4")
    pod = api.create_pod(PodRequest(name, "image", GPU))  # and nothing is written down any more
    again = PodLedger(ledger.path.parent)
    (found,) = again.living(api)
    assert (found.pod.id, found.entry.id, found.entry.state) == (pod.id, pod.id, "created")
    again.end(api, found.pod)
    assert states(again) == ["ended"]


def test_a_crash_before_the_request_leaves_an_intention_that_costs_nothing(api, ledger):
    ledger.intend(GPU, "0.4")
    assert ledger.living(api) == []
    assert states(ledger) == ["intended"]


def test_nothing_is_asked_for_that_cannot_be_written_down(tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(UserError):
        PodLedger(tmp_path / "data").intend(GPU, "0.4")


def test_a_lost_ledger_loses_no_pod_either(api, ledger):
    pod = rented(api, ledger)
    ledger.path.unlink()
    assert [(one.pod.id, one.entry) for one in ledger.living(api)] == [(pod.id, None)]
    ledger.end(api, pod)
    assert ledger.living(api) == []


def test_other_pods_of_the_account_are_left_alone(api, ledger):
    api.create_pod(PodRequest("my notebook", "image", GPU))
    other = api.create_pod(PodRequest(f"{PREFIX}0000000000000000", "image", GPU))  # of another computer
    pod = rented(api, ledger)
    assert {(one.pod.id, one.entry is None) for one in ledger.living(api)} == {(other.id, True), (pod.id, False)}


def test_one_that_was_renamed_is_known_by_its_id(api, ledger, runpod):
    pod = rented(api, ledger)
    runpod.pods[pod.id].body["name"] = "renamed"
    assert [one.pod.id for one in ledger.living(api)] == [pod.id]


def test_one_that_ended_by_itself_is_noticed(api, ledger, runpod):
    pod = rented(api, ledger)
    runpod.pods[pod.id].vanished = True
    assert ledger.living(api) == []
    assert states(ledger) == ["ended"]
    asked = len(runpod.asked)
    ledger.living(api)
    assert runpod.asked[asked:] == ["GET /pods"]  # it is not asked for again


def test_one_that_the_list_leaves_out_is_asked_for(api, ledger, runpod):
    pod = rented(api, ledger)
    runpod.plan("GET /pods", 200, body=b'{"pods": []}')
    assert [one.pod.id for one in ledger.living(api)] == [pod.id]
    assert states(ledger) == ["created"]


def test_a_terminated_one_costs_nothing(api, ledger, runpod):
    pod = rented(api, ledger)
    runpod.pods[pod.id].status = "TERMINATED"
    assert ledger.living(api) == []
    ledger.end(api, pod)
    assert states(ledger) == ["ended"]


def test_a_deletion_that_fails_once_is_tried_again(api, ledger, runpod, pauses):
    pod = rented(api, ledger)
    runpod.plan("DELETE /pods", 500)
    ledger.end(api, pod, pause=pauses.append)
    assert (runpod.living(), states(ledger)) == ([], ["ended"])


def test_a_deletion_that_is_said_and_not_done_is_noticed(api, ledger, runpod, pauses):
    pod = rented(api, ledger)
    runpod.plan("DELETE /pods", 204, times=2, body=b"")
    ledger.end(api, pod, pause=pauses.append)
    assert runpod.living() == []
    assert [one for one in runpod.asked if one.endswith("/action")]  # the other way was tried too
    assert states(ledger) == ["ended"]


def test_a_deletion_that_never_works_is_said(api, ledger, runpod, pauses):
    pod = rented(api, ledger)
    runpod.plan("DELETE /pods", 409, times=99)
    runpod.plan("POST /pods/", 409, times=99)
    with raises("pod-not-deleted", has=(pod.id, pod.name, "409"), pod=pod.id):
        ledger.end(api, pod, patience=0.0, pause=pauses.append)
    assert states(ledger) == ["created"]


def test_a_key_that_was_taken_back_is_not_tried_for_long(api, ledger, runpod, pauses):
    pod = rented(api, ledger)
    runpod.plan("DELETE /pods", 401, times=99)
    with raises("pod-not-deleted", has="API key"):
        ledger.end(api, pod, pause=pauses.append)
    assert pauses == []


# ------------------------------------------------------------------------------------------------------------ the file


def test_a_line_that_was_cut_off_costs_that_line_alone(ledger):
    first = ledger.intend(GPU, "0.4")
    with open(ledger.path, "ab") as stream:
        stream.write(b'{"event": "created", "na')
    second = ledger.intend(GPU, "0.4")
    ledger.created(second, "abc")
    seen = [(one.name, one.state, one.gpu) for one in ledger.entries()]
    assert seen == [(first, "intended", GPU), (second, "created", GPU)]


@settings(max_examples=40)
@given(st.binary(max_size=200))
def test_any_bytes_in_the_file_are_passed_over(tmp_path_factory, noise):
    ledger = PodLedger(tmp_path_factory.mktemp("x"))
    ledger.path.write_bytes(noise + b"\n" + b"[" * 5000 + b'\n{"event": "created", "name": 5}\n{"event": "ended"}\n')
    name = ledger.intend(GPU, "0.4")
    assert name in [entry.name for entry in ledger.entries()]


@pytest.mark.parametrize("identifier", ["../x", "a/b", 5, None, ["a"], "x" * 99])
def test_an_id_that_leads_elsewhere_is_not_read(ledger, identifier):
    name = ledger.intend(GPU, "0.4")
    with open(ledger.path, "a", encoding="utf-8") as stream:
        stream.write(json.dumps({"event": "created", "name": name, "id": identifier, "t": 1}) + "\n")
    assert [(one.state, one.id) for one in ledger.entries()] == [("intended", "")]


def test_it_lies_in_the_data_folder_closed_to_others(tmp_path, monkeypatch):
    monkeypatch.setattr(file_permissions, "_homes", set())
    file_permissions.keep(tmp_path / "data")
    ledger = PodLedger(tmp_path / "data")
    ledger.intend(GPU, "0.4")
    assert ledger.path == Workspace(tmp_path / "data").pods
    assert file_permissions.is_ours(ledger.path.name)
    if os.name != "nt":
        assert ledger.path.stat().st_mode & 0o077 == 0
