"""The campaign of faults on other machines: what it counts, and which sentences it calls plain."""

from __future__ import annotations

import random
import shlex
import sys
from pathlib import Path
from typing import cast

import pytest

from bench.faults import remote_faults
from bench.faults.fault_machines import FaultyMachine, lies
from lib_lora.remote.runpod.runpod_answers import parsed, pod_of

pytestmark = pytest.mark.once("it uses the standard library and OpenSSH alone")


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("The rented pod is gone; resume the job to rent another one.", True),
        ("The disk of mara@host is full (1 bytes are needed); free some space there.", True),
        ("What was made is on the pod. Give it up: python -m lib_lora pods end sameface-1", True),
        ("", False),
        ("It failed.", False),
        ("KeyError: 'folder'; resume the job.", False),
        ("Traceback (most recent call last): resume the job.", False),
        ("Two lines\nresume the job.", False),
        ("Resume the job: {'id': 5}.", False),
        ("Resume " + "x" * 600 + ".", False),
    ],
)
def test_a_plain_sentence(sentence: str, expected: bool) -> None:
    assert remote_faults.plain(sentence) is expected


def test_each_fault_in_each_phase_is_counted() -> None:
    row = {"kind": "ssh", "fault": "clock", "phase": "upload", "resumed": 0, "wrong": ""}
    rows = [row, row, {**row, "phase": "after the end", "resumed": 2}, {**row, "fault": "network", "wrong": "x"}]
    assert remote_faults.table(rows).splitlines() == [
        "| fault | upload | after the end | resumed | wrong |",
        "| --- | --- | --- | --- | --- |",
        "| clock | 2 | 1 | 1 | 0 |",
        "| network | 1 | 0 | 0 | 1 |",
    ]


def test_no_lie_is_a_pod_that_runs_where_it_says() -> None:
    for number in range(5):
        found = pod_of(parsed(lies(number)))
        assert found is None or found.ssh is None


@pytest.mark.parametrize("kind", ["ssh", "runpod", "ray", "ray-nodes"])
def test_the_groups_are_all_faults(kind: str) -> None:
    machines, api = remote_faults.group(kind, "machines"), remote_faults.group(kind, "api")
    assert {*machines, *api} == {*remote_faults.FAULTS[kind]}
    assert not {*machines} & {*api}
    assert remote_faults.group(kind, "clock") == ("clock",)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--kind runpod --pairs vanished:erase lies:upload --faults api clock --phases renting", ""),
        ("--kind ray --pairs clock:upload node\\ lost:training", ""),
        ("--kind runpod --pairs clock:erase vanishd:erase", "'vanishd' does not happen to runpod"),
        ("--kind ssh --pairs vanished:erase", "'vanished' does not happen to ssh"),
        ("--pairs clock", "'' is no phase"),
        ("--pairs clock:erase:upload", "'erase:upload' is no phase"),
        ("--kind ssh --pairs clock:renting", "'renting' is no phase of a job on ssh"),
        ("--kind ray --pairs worker\\ killed:upload", "'worker killed' happens in these phases alone: training."),
        ("--faults clokc", "'clokc' does not happen to ssh"),
        ("--phases uplaod", "'uplaod' is no phase"),
    ],
)
def test_what_there_is_not_is_refused_before_any_trial(
    words: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def begins(*_: object, **__: object) -> None:
        raise InterruptedError

    monkeypatch.setattr(remote_faults.shutil, "rmtree", begins)  # the first thing that a campaign does
    monkeypatch.setattr(sys, "argv", ["remote_faults", "--work", str(tmp_path), *shlex.split(words)])
    with pytest.raises(SystemExit if said else InterruptedError):
        remote_faults.main()
    assert said in capsys.readouterr().err


def test_only_what_can_happen_in_a_phase_of_a_cluster_is_drawn() -> None:
    faults, phases = ("worker killed", "clock", "503"), ("upload", "training")
    assert remote_faults.drawn("ray", faults, phases, {"upload": ["GET /api/version"]}) == [
        ("worker killed", "training"),
        ("clock", "upload"),
        ("clock", "training"),
        ("503", "upload"),
    ]
    assert len(remote_faults.drawn("runpod", ("503", "clock"), phases, {})) == 4


class ShownMachine:
    """A machine in a phase, whose API may be wrong."""

    kind = "runpod"

    def __init__(self) -> None:
        self.at, self.misled = "renting", list[str]()

    def phase(self) -> str:
        return self.at

    def mislead(self, fault: str, _draw: random.Random) -> None:
        self.misled.append(fault)


def plan(fault: str, phase: str, asked: list[str]) -> remote_faults.Plan:
    whole = {"lengths": {phase: 2.0}, "asked": {phase: asked}}
    return remote_faults.Plan("runpod", fault, phase, whole, random.Random(5))


def test_a_wrong_answer_begins_at_a_request_of_its_phase() -> None:
    machine, made = ShownMachine(), plan("503", "renting", ["GET /catalog/gpus", "POST /pods", "GET /pods/x"])
    for count in range(1, made.request + 1):
        assert machine.misled == []
        made.see(cast(FaultyMachine, machine), "GET /pods/x")
        assert len(machine.misled) == (count == made.request)
    made.see(cast(FaultyMachine, machine), "GET /pods/x")
    assert (machine.misled, made.struck, made.provoked) == (["503"], "renting", "")


def test_a_wrong_answer_that_came_too_late_begins_in_a_later_phase_and_says_so() -> None:
    machine, made = ShownMachine(), plan("lies", "renting", ["GET /pods"] * 9)
    machine.at = "erase"
    made.see(cast(FaultyMachine, machine), "DELETE /pods/x")
    assert (machine.misled, made.struck) == (["lies"], "erase")


def test_a_deletion_is_what_is_refused() -> None:
    machine, made = ShownMachine(), plan("undeleted", "erase", ["GET /pods", "DELETE /pods/x", "GET /pods/x"])
    assert made.request == 2
    machine.at = "erase"
    for request in ("GET /pods", "GET /pods", "DELETE /pods/x"):
        made.see(cast(FaultyMachine, machine), request)
    assert machine.misled == ["undeleted"]


def test_where_nothing_is_asked_something_makes_home_ask() -> None:
    assert plan("undeleted", "upload", []).provoked == "stopped"
    assert plan("503", "upload", []).provoked in ("home killed", "pod cut off")
