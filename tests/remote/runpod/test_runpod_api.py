"""The client of RunPod's API against a stand-in: what it sends, what it tries again, and what it makes of lies."""

from __future__ import annotations

import io
import json
import logging
import pickle
import socket
import time
import traceback
from contextlib import redirect_stderr, redirect_stdout
from decimal import Decimal

import pytest
from fake_runpod import KEY
from faults import raises
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lora import __version__
from lib_lora.errors import UserError
from lib_lora.remote.renting.rental_api import NoCapacity
from lib_lora.remote.runpod import runpod_answers, runpod_api
from lib_lora.remote.runpod.runpod_answers import PodRequest
from lib_lora.remote.runpod.runpod_api import RunpodApi

NAME = "sameface-0123456789abcdef"
ASKED = PodRequest(NAME, "runpod/pytorch:1.0.2", "NVIDIA GeForce RTX 4090", env={"A": "1"}, min_cuda="12.8")


def test_the_life_of_a_pod(runpod, api):
    (found,) = [gpu for gpu in api.gpus(min_cuda="12.8") if gpu.name == "RTX 4090"]
    assert (found.id, found.memory, found.availability) == ("NVIDIA GeForce RTX 4090", 24, "HIGH")
    assert found.prices == {"SECURE": Decimal("0.44"), "COMMUNITY": Decimal("0.31")}
    assert found.most == {"SECURE": 8, "COMMUNITY": 4}
    assert [(one.id, one.availability) for one in found.data_centers] == [("US-KS-2", "HIGH"), ("EU-RO-1", "LOW")]
    assert found.cuda_versions == ("12.8",)
    pod = api.create_pod(ASKED)
    assert (pod.name, pod.status, pod.ssh, pod.cost) == (NAME, "PROVISIONING", None, Decimal("0.44"))
    assert [one.id for one in api.pods()] == [pod.id]
    seen = [api.pod(pod.id) for _ in range(3)]
    assert [(one.status, one.ssh is not None) for one in seen] == [
        ("STARTING", False),
        ("RUNNING", False),
        ("RUNNING", True),
    ]
    assert (seen[-1].ssh.host, seen[-1].ssh.port, seen[-1].ssh.user) == ("127.0.0.1", 34446, "root")
    assert (seen[-1].gpu, seen[-1].count, seen[-1].data_center) == (ASKED.gpu, 1, "US-KS-2")
    assert 0 < api.bill(pod.id).total < Decimal("0.01")
    api.delete_pod(pod.id)
    assert api.pods() == []
    with raises("runpod-not-found"):
        api.pod(pod.id)
    api.delete_pod(pod.id)  # is none any more
    assert set(runpod.agents) == {f"SameFace/{__version__}"}


def test_a_pod_is_terminated_by_the_other_call_too(api):
    pod = api.create_pod(ASKED)
    api.terminate_pod(pod.id)
    assert api.pods() == []


def test_what_is_sent_is_what_the_api_takes(runpod, api):
    """The stand-in refuses keys that the API does not know."""
    request = PodRequest(NAME, "i", "NVIDIA A40", 2, "SECURE", ("EU-RO-1",), 50, {"B": "ü"}, "sh -c true", "12.8")
    pod = api.create_pod(request)
    body = runpod.pods[pod.id].body
    assert body["gpu"] == {"id": "NVIDIA A40", "count": 2, "minCudaVersion": "12.8"}
    assert (body["dataCenterIds"], body["disk"], body["env"]) == (["EU-RO-1"], 50, {"B": "ü"})
    assert (body["ports"], body["startSsh"], body["args"]) == (["22/tcp"], True, "sh -c true")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "runpod-key-refused"),
        (402, "runpod-no-money"),
        (403, "runpod-not-allowed"),
        (404, "runpod-not-found"),
        (409, "runpod-refused"),
        (418, "runpod-refused"),
        (302, "runpod-refused"),
        (422, "runpod-request-invalid"),
    ],
)
def test_a_refusal_is_a_sentence_and_is_never_tried_again(runpod, api, pauses, status, code):
    body = json.dumps({"title": "T", "status": status, "detail": "the\nreason.", "errors": ["$: 'x'"]}).encode()
    runpod.plan("GET /pods", status, times=9, body=body, headers={"Location": "http://127.0.0.1:9/"})
    with raises(code, has=("the reason", "$: 'x'"), status=status):
        api.pods()
    assert (len(runpod.asked), pauses) == (1, [])


def test_a_request_for_a_pod_that_is_wrong_is_never_tried_again(runpod, api):
    with raises("runpod-request-invalid", has="$.env"):
        api.create_pod(PodRequest(NAME, "i", "NVIDIA A40", env={"A": 1}))
    assert runpod.asked == ["POST /pods"]


def test_no_capacity_is_an_error_of_its_own(runpod, api):
    runpod.catalog[0]["availability"] = "NONE"
    with raises("runpod-no-capacity", has="no instances available", gpu=ASKED.gpu) as caught:
        api.create_pod(ASKED)
    assert isinstance(caught.value, NoCapacity)
    assert caught.value.certain
    assert runpod.pods == {}


def test_too_little_money(runpod, api):
    runpod.money = False
    with raises("runpod-no-money"):
        api.create_pod(ASKED)


@pytest.mark.parametrize(("said", "waited"), [("7", 7), ("86400", 60), ("soon", 1), ("-3", 1), ("9" * 30, 1)])
def test_asked_too_often_it_waits_as_long_as_is_said_but_not_without_end(runpod, api, pauses, said, waited):
    runpod.plan("GET /pods", 429, headers={"Retry-After": said})
    assert api.pods() == []
    assert pauses == [waited]


def test_asked_too_often_again_and_again_it_gives_up(runpod, api):
    runpod.plan("GET /pods", 429, times=9)
    with raises("runpod-asked-often"):
        api.pods()
    assert len(runpod.asked) == 5


def test_a_pod_is_asked_for_again_when_it_was_asked_too_often(runpod, api, pauses):
    runpod.plan("POST /pods", 429, headers={"Retry-After": "3"})
    assert api.create_pod(ASKED).name == NAME
    assert (len(runpod.pods), pauses) == (1, [3.0])


def test_trouble_there_is_tried_again_with_longer_pauses(runpod, api, pauses):
    runpod.plan("GET /pods", 503, times=2)
    runpod.plan("GET /pods", cut=True)
    assert api.pods() == []
    assert pauses == [1, 2, 4]


def test_trouble_that_lasts_is_said(runpod, api):
    runpod.plan("GET /pods", 500, times=9, body=b'{"detail": "out of order"}')
    with raises("runpod-unreachable", has=("out of order", runpod.base)):
        api.pods()


def test_nobody_answers(pauses):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with raises("runpod-unreachable"):
        RunpodApi(KEY, f"http://127.0.0.1:{port}/v2", pause=pauses.append).pods()
    assert len(pauses) == 4


def test_an_answer_that_does_not_come_is_not_waited_for(runpod, pauses):
    runpod.plan("GET /pods", 0, times=2, wait=0.4)
    api = RunpodApi(KEY, runpod.base, timeout=0.1, attempts=2, pause=pauses.append)
    with raises("runpod-unreachable"):
        api.pods()


@pytest.mark.parametrize("lost", [{"cut": True}, {"status": 502}, {"status": 201, "body": b"<html>"}])
def test_a_pod_whose_answer_was_lost_is_found_by_its_name_and_not_made_twice(runpod, api, lost):
    runpod.plan("POST /pods", done=True, **lost)
    pod = api.create_pod(ASKED)
    assert [*runpod.pods] == [pod.id]
    assert runpod.asked == ["POST /pods", "GET /pods"]


def test_a_pod_that_was_not_made_is_asked_for_again(runpod, api):
    runpod.plan("POST /pods", cut=True)
    pod = api.create_pod(ASKED)
    assert [*runpod.pods] == [pod.id]
    assert runpod.asked == ["POST /pods", "GET /pods", "POST /pods"]


def test_where_nobody_knows_whether_a_pod_was_made_that_is_said(runpod, api):
    runpod.plan("POST /pods", cut=True, times=9)
    with raises("runpod-pod-uncertain", has=NAME, pod=NAME):
        api.create_pod(ASKED)
    assert runpod.asked == ["POST /pods", "GET /pods"] * 5


def test_a_pod_whose_last_answer_was_lost_is_found_too(runpod, api):
    runpod.plan("POST /pods", cut=True, times=4)
    runpod.plan("POST /pods", cut=True, done=True)
    assert api.create_pod(ASKED).id in runpod.pods


def test_a_refusal_after_a_lost_answer_is_not_certain(runpod, api):
    runpod.plan("POST /pods", cut=True)
    runpod.plan("POST /pods", 400)
    with raises("runpod-no-capacity") as caught:
        api.create_pod(ASKED)
    assert not caught.value.certain


# ------------------------------------------------------------------------------------------------------------- the key


def test_the_key_is_nowhere_to_be_read(runpod, api, caplog):
    caplog.set_level(logging.DEBUG)
    said = io.StringIO()
    echo = json.dumps({"detail": f"no access with {KEY}", "errors": [KEY, f"x{KEY}x"]}).encode()
    with redirect_stdout(said), redirect_stderr(said):
        for status in (401, 403, 422, 500):
            runpod.plan("GET /pods", status, times=5, body=echo)
            with pytest.raises(UserError) as caught:
                api.pods()
            said.write("".join(traceback.format_exception(caught.value)))
            said.write(repr((caught.value, caught.value.parameters, vars(caught.value), caught.value.__cause__)))
            runpod._planned.clear()
        said.write(repr(api) + str(api))
    assert "no access with ***" in said.getvalue()
    assert KEY not in said.getvalue() + caplog.text
    assert KEY not in "".join(runpod.asked)
    with pytest.raises(TypeError):
        pickle.dumps(api)


@pytest.mark.parametrize("key", ["", "short", "with space 0123456789", "line\r\nX-Evil: 1 0123", "ü" * 20, "x" * 600])
def test_what_is_no_key_is_not_sent(key):
    with raises("runpod-key-malformed") as caught:
        RunpodApi(key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize("base", ["http://api.example.org/v2", "ftp://x", "api.runpod.io", "", "http://127.0.0.1.evil"])
def test_the_key_is_only_sent_where_nobody_can_read_it(base):
    with raises("runpod-address-unsafe"):
        RunpodApi(KEY, base)
    assert RunpodApi(KEY).base == "https://api.runpod.io/v2"


def test_the_key_is_not_taken_elsewhere_by_a_redirect(runpod, api):
    runpod.plan("GET /pods", 307, headers={"Location": f"{runpod.base}/elsewhere"})
    with raises("runpod-refused"):
        api.pods()
    assert runpod.asked == ["GET /pods"]


def test_what_is_not_encrypted_goes_through_no_proxy(runpod, monkeypatch):
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert RunpodApi(KEY, runpod.base, attempts=1).pods() == []


# ------------------------------------------------------------------------------------------------------------- the lies


@pytest.mark.parametrize("identifier", ["../../billing", "a/b", "", "a?b=c", "a#b", "ü", "x" * 65, "a\n", "."])
def test_an_id_that_leads_elsewhere_is_never_asked_for(runpod, api, identifier):
    for call in (api.pod, api.delete_pod, api.terminate_pod, api.bill):
        with raises("runpod-id-invalid"):
            call(identifier)
    runpod.plan("GET /pods", 200, body=json.dumps({"pods": [{"id": identifier, "name": NAME}]}).encode())
    assert api.pods() == []
    assert runpod.asked == ["GET /pods"]


def test_another_pod_than_the_one_that_was_asked_for_is_not_taken_for_it(runpod, api):
    other = api.create_pod(PodRequest("mine", "image", ASKED.gpu))
    shown = json.dumps(runpod._shown(runpod.pods[other.id])).encode()
    runpod.plan("GET /pods/abc", 200, body=shown)
    with raises("runpod-answer-unreadable"):
        api.pod("abc")
    runpod.plan("POST /pods", 201, body=shown)
    assert api.create_pod(ASKED).id != other.id


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"pods"',
        b"<html>busy</html>",
        b'{"pods": {}}',
        b'{"pods": 3}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"pods": [1e9], "x": ' + b"9" * 4000 + b"}",
        b'{"pods": [], "x": NaN}',
    ],
)
def test_what_is_no_list_is_said_in_a_sentence(runpod, api, body):
    runpod.plan("GET /pods", 200, body=body)
    with raises(("runpod-answer-unreadable", "runpod-answer-without-list")):
        api.pods()


def test_a_giant_answer_is_not_read_to_its_end(runpod, api, monkeypatch):
    monkeypatch.setattr(runpod_api, "_LONGEST", 1 << 16)
    runpod.plan("GET /pods", 200, times=9, body=b'{"pods": [' + b" " * (1 << 17) + b"]}")
    with raises("runpod-unreachable", has="too long"):
        api.pods()


def test_wrong_types_and_missing_fields_are_none_and_never_an_exception(runpod, api):
    odd = {"id": "abc", "name": ["x"], "status": 5, "cost": "much", "ssh": [], "gpu": 7, "cloud": None, "new": {}}
    bad_ssh = {"direct": {"host": "-oProxyCommand=x", "port": 22, "username": "root"}}
    bad_port = {"direct": {"host": "1.2.3.4", "port": 99999, "username": "root"}}
    bad_user = {"direct": {"host": "1.2.3.4", "port": 22, "username": "-l root"}}
    rows = [odd, 5, None, {"id": 3}, *({"id": "a", "ssh": one} for one in (bad_ssh, bad_port, bad_user)), {"id": "b"}]
    runpod.plan("GET /pods", 200, body=json.dumps({"pods": rows}).encode())
    found = api.pods()
    assert [pod.id for pod in found] == ["abc", "a", "a", "a", "b"]
    assert {(pod.ssh, pod.cost, pod.status, pod.gpu) for pod in found} == {(None, None, "", "")}


def test_prices_that_cannot_be_are_none(runpod, api):
    from fake_runpod import gpu

    rows = [gpu("A", 24, 0.5, price={"secure": price, "community": 1}) for price in (0, -1, "1", True, 1e9, None)]
    rows += [gpu("B", 0, 0.5), gpu("../C", 24, 0.5), {"id": "D", "memory": 24}, "E", gpu("F", 24, 0.5, dataCenters=3)]
    runpod.plan("GET /catalog/gpus", 200, body=json.dumps({"gpus": rows}).encode())
    found = api.gpus()
    assert [(one.id, one.prices) for one in found] == [
        *[("A", {})] * 6,
        ("D", {}),
        ("F", {"SECURE": Decimal("0.5")}),
    ]


def test_a_bill_adds_what_is_this_pods_and_makes_sense(runpod, api):
    rows = [
        {"podId": "abc", "totalAmount": 0.1, "gpuAmount": 0.09, "diskAmount": 0.01},
        {"podId": "abc", "totalAmount": 0.2},
        {"podId": "other", "totalAmount": 50},
        {"podId": "abc", "totalAmount": -5, "gpuAmount": "x"},
    ]
    runpod.plan("GET /billing", 200, body=json.dumps({"records": rows}).encode())
    bill = api.bill("abc")
    assert (bill.total, bill.gpu, bill.disk) == (Decimal("0.3"), Decimal("0.09"), Decimal("0.01"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "name", "ssh", "direct", "price", "secure", "memory", "gpu", "dataCenters", "cost"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=40)
@given(JSON)
def test_no_answer_raises_anything_but_a_user_error(value):
    parsed = runpod_answers.parsed(json.dumps(value).encode())
    pod = runpod_answers.pod_of(parsed)
    assert pod is None or runpod_answers.POD_ID.fullmatch(pod.id)
    if isinstance(parsed, dict):
        found = runpod_answers.gpu_type(parsed)
        assert found is None or all(0 < price < 10_001 for price in found.prices.values())


def test_the_time_is_that_of_the_api(runpod, api):
    assert abs(api.time - time.time()) < 5
    runpod.clock = 86400 * 3
    api.pods()
    assert abs(api.time - time.time() - runpod.clock) < 5
