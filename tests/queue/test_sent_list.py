"""What is listed before a training elsewhere is what is sent: the list is compared with the other machine's disk."""

from pathlib import Path

import pytest
from remote_harness import NAME, SECRET, SETTINGS, RemoteHarness
from ssh_server import MISSING, available

from lib_lora.queue.job_types import TrainArguments
from lib_lora.queue.queue import Queue
from lib_lora.queue.runners import remote_job
from lib_lora.remote import places
from lib_lora.training.plan.run_file import load_run
from lib_lora.workflows.train.elsewhere.sent_preview import base_there, sent_list

pytestmark = [
    pytest.mark.skipif(not available(), reason=MISSING),
    pytest.mark.once("what is sent is ours"),
]


@pytest.fixture
def home(tmp_path, prepared, monkeypatch):
    monkeypatch.setattr(remote_job, "POLL", 0.1)
    monkeypatch.setattr(remote_job, "FILES", 0.1)
    made = RemoteHarness(tmp_path, prepared)
    yield made
    made.close()
    made.server.stop()


def test_the_list_is_what_lies_on_the_other_machine(home):
    folder = home.run().character_folder
    base = home.run().file.base.path
    going_on = sent_list(home.root, NAME, TrainArguments(run="001"))
    fresh = sent_list(home.root, NAME, TrainArguments(base=base, settings=SETTINGS))
    assert [path.name for path in folder.path.glob(".probe-*")] == []

    home.lets(0)
    number = home.queue.add(NAME, TrainArguments(run="001", few=True, then_test=False, on="ssh:workshop")).id
    home.supervisor.wake()
    home.until(number, lambda: bool(home.processes_there()))
    [data] = home.there.glob("jobs/*/data")
    there = {path.relative_to(data).as_posix(): path.stat().st_size for path in data.rglob("*") if path.is_file()}
    sent = {name: size for name, size in there.items() if not name.startswith("jobs/")}  # made there
    arguments = Queue(data).get(number).arguments
    run = load_run(data / f"characters/{folder.path.name}/runs/001")
    shared = [path.stat().st_size for path in (home.there / "files").rglob("*") if path.is_file()]
    home.lets(6)
    home.ended(number)

    for listed in (going_on, fresh):
        photos = {f"characters/{folder.path.name}/photos/{one.name}": one.bytes for one in listed.photos}
        assert photos == {name: size for name, size in sent.items() if "/photos/" in name}
        assert set(listed.files) | set(photos) | {"jobs.sqlite"} == set(sent)  # the queue holds one row, of this job
        assert [one.caption for one in listed.photos] == [one.caption for one in run.file.photos]
        assert [one.faces for one in listed.photos] == [len(one.regions) for one in run.file.photos]
        assert listed.base_bytes in shared
        assert listed.settings["lora.rank"] == run.file.settings.lora.rank
        assert [one["notes"] for one in listed.characters] == [""]
    run_file = f"characters/{folder.path.name}/runs/001/run.yaml"
    assert abs(going_on.files[run_file] - sent[run_file]) < 300  # all but the path of the base model there
    assert base_there(home.root, places.find(home.root, "workshop"), Path(base)) is True  # and is not sent again
    assert (arguments.base, arguments.rental) == (None, None)
    assert {one.original for one in fresh.photos} == {f"Oma {number}.jpg" for number in range(3)}
    assert SECRET not in b"".join(path.read_bytes() for path in home.there.glob("jobs/**/*") if path.is_file())


def test_the_states_of_a_run_that_goes_on_are_listed(home):
    home.lets(2)
    number = home.queue.add(NAME, TrainArguments(run="001", few=True, then_test=False, on="ssh:workshop")).id
    home.supervisor.wake()
    home.at_step(number, 2)
    home.queue.wish(number, "stop")
    home.ended(number)
    listed = sent_list(home.root, NAME, TrainArguments(run="001"))
    assert [name.partition("/")[0] for name in listed.run_files] == ["state", "checkpoints"]
