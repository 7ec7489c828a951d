"""Which job a command on another machine follows; what happens there is tests/queue's."""

import os
from contextlib import contextmanager

import pytest
from faults import raises

from lib_lora.errors import UserError
from lib_lora.queue.job_types import TrainArguments
from lib_lora.queue.queue import Queue
from lib_lora.remote import places
from lib_lora.remote.places import Place, RayCluster
from lib_lora.runs.lent_run import Loan, lend, loan_of, returned, see_that_it_is_here
from lib_lora.workflows.train.elsewhere import train_elsewhere
from lib_lora.workflows.worker import paint_plans
from lib_lora.workspace.workspace import Workspace

ON = "ssh:workshop"


@pytest.fixture
def lent(tmp_path):
    """A run that another machine trains by job 1, and one of another character with the same number."""
    queue = Queue(tmp_path)
    for name in ("Mara", "Lena"):
        Workspace(tmp_path).character(name).run("001").path.mkdir(parents=True)
    job = queue.add("Mara", TrainArguments(run="001", on=ON))
    folder = Workspace(tmp_path).character("Mara").run("001").path
    lend(folder, Loan("workshop", "mara@gpu.example.org sameface", "abc-1", job.id, 40))
    return queue, folder


def _left(queue, name="Mara", run="001", on=ON):
    return train_elsewhere._left(queue, queue.root, name, TrainArguments(run=run, on=on))


@pytest.mark.parametrize("state", ["waiting", "running", "paused", "failed", "interrupted", "stopped"])
def test_the_job_that_is_at_the_run_is_followed_whatever_it_came_to(lent, state):
    queue, _ = lent
    if state != "waiting":
        queue.take("remote", "me")
        if state != "running":
            queue.end(1, state, "It broke.")
    job = _left(queue)
    assert (job.id, job.state) == (1, "running" if state == "running" else "waiting")
    assert [one.id for one in queue.jobs()] == [1]


def test_a_run_of_another_character_or_one_that_is_here_has_a_job_of_its_own(lent):
    queue, folder = lent
    assert _left(queue, "Lena") is None
    assert _left(queue, run=None) is None
    returned(folder)
    assert _left(queue) is None
    see_that_it_is_here(folder)


def test_on_yet_another_machine_it_is_refused(lent):
    queue, folder = lent
    with raises("run-elsewhere", has=("workshop", "job 1", "elsewhere.json")):
        _left(queue, on="ssh:attic")
    (folder / "elsewhere.json").write_text('{"place": 3}')
    with pytest.raises(UserError):
        loan_of(folder)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        ("The disk is full.", "disk-full", ("The disk is full.", "disk-full")),
        ("It broke.", "", ("It broke.", "job-failed")),  # of an earlier version
        ("", "", ("The job ended as failed.", "job-failed")),
    ],
)
def test_a_job_that_failed_is_reported_by_its_own_code(lent, error, code, said):
    queue, _ = lent
    queue.take("remote", "me")
    queue.end(1, "failed", error, code=code)
    found = train_elsewhere._failure(queue.get(1))
    assert ((str(found), found.code), found.parameters) == (said, {"job": 1})


def test_a_cluster_named_by_its_address_is_the_place_in_the_job(lent, monkeypatch, capsys):
    queue, _ = lent
    places.save(queue.root, Place("studio", "head.example.org", port=8265, ray=RayCluster("/shared")))

    @contextmanager
    def done_at_once(host, root):
        queue.end(queue.take("remote", "me").id, "finished", "")
        yield

    monkeypatch.setattr(train_elsewhere, "supervised", done_at_once)
    monkeypatch.setattr(train_elsewhere, "_POLL", 0.0)
    queue.end(queue.take("remote", "me").id, "failed", "It broke.")  # the one that is left
    asked = TrainArguments(base="base.safetensors", on="ray:http://head.example.org:8265")
    job = train_elsewhere._done(None, queue.root, "Lena", asked, 0)
    assert (job.state, job.arguments.on) == ("finished", "ray:studio")
    assert "studio" in capsys.readouterr().out


def test_a_painter_that_nobody_asks_any_more_ends(tmp_path):
    data = tmp_path / "job" / "data"
    data.mkdir(parents=True)
    assert not paint_plans._forgotten(data, 1800.0)
    asked = data.parent / "asked"
    asked.touch()
    os.utime(asked, (1.0, 1.0))
    assert paint_plans._forgotten(data, 1800.0)
    asked.touch()
    assert not paint_plans._forgotten(data, 1800.0)
