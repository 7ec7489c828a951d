"""The campaign of faults on other machines: what it counts, and which sentences it calls plain."""

from __future__ import annotations

import pytest

from bench import remote_faults
from bench.fault_machines import lies
from lib_lora.remote.runpod.runpod_answers import parsed, pod_of

pytestmark = pytest.mark.once("it uses the standard library and OpenSSH alone")


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("The rented pod is gone; resume the job to rent another one.", True),
        ("The disk of mara@host is full (1 bytes are needed); free some space there.", True),
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


def test_the_groups_are_all_faults_of_a_pod() -> None:
    assert {*remote_faults.GROUPS["machines"], *remote_faults.GROUPS["api"]} == {*remote_faults.FAULTS["runpod"]}
