"""What a node and the storage say is hostile until it was looked at; what cannot be done is one sentence."""

import errno
import json
import shutil
import subprocess
import sys
import time
import zipfile
from dataclasses import replace

import pytest
from fake_ray import FakeRay
from faults import misfit, raises

from lib_lora.errors import UserError
from lib_lora.remote import places, transfers
from lib_lora.remote.connection import Unreachable
from lib_lora.remote.place_connection import Download, Upload
from lib_lora.remote.ray_cluster import ray_connection, ray_node
from lib_lora.remote.ray_cluster.ray_api import RayApi
from lib_lora.remote.ray_cluster.ray_connection import RayConnection
from lib_lora.remote.ray_cluster.shared_storage import FolderStorage

JOB = "0123456789ab-7"
A, B = "a" * 64, "b" * 64
REPORT = {
    "beat": 3,
    "node": "n",
    "said": "",
    "saved": 1,
    "started": True,
    "files": {"characters/x/runs/001/run.yaml": [4, 99, A]},
    "logs": {"jobs/7/events.jsonl": ["0123456789abcdef", [[0, 4], [4, 7]]], "": ["fedcba9876543210", [[0, 5]]]},
}


@pytest.fixture
def ray(tmp_path):
    fake = FakeRay(tmp_path / "cluster")
    fake.room = False
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def there(ray, tmp_path):
    made = RayConnection(tmp_path, ray.place(), RayApi(ray.place().address(), "studio", lambda seconds: None))
    made.ask("arrange", job=JOB, files={"a.txt": A}, shared={})
    made.ask("start", job=JOB, version=B, arguments=["worker"])
    return made


def reported(there, ray, values, number=1):
    """Let a node say something."""
    content = values if isinstance(values, bytes) else json.dumps(values).encode()
    FolderStorage(ray.storage).write(f"jobs/{JOB}/{number}/report.json", content)
    there._reports.clear()


def test_what_is_made_is_what_a_report_names(there, ray):
    assert there.ask("made", job=JOB) == {}
    reported(there, ray, REPORT)
    storage = FolderStorage(ray.storage)
    for name, content in (("blobs/" + A, b"run:"), ("logs/0123456789abcdef-0-4", b"abcd")):
        storage.write(f"jobs/{JOB}/1/{name}", content)
    storage.write(f"jobs/{JOB}/1/logs/0123456789abcdef-4-7", b"efg")
    storage.write(f"jobs/{JOB}/1/logs/fedcba9876543210-0-5", b"said\n")
    assert there.ask("made", job=JOB) == {"characters/x/runs/001/run.yaml": [4, 99]}
    offered = there.ask("offer", job=JOB, names=["characters/x/runs/001/run.yaml", "other"])
    assert offered == {"folder": f"/jobs/{JOB}/1/blobs", "files": {"characters/x/runs/001/run.yaml": [A, 4]}}
    for name, offset, content in (
        ("jobs/7/events.jsonl", 0, b"abcdefg"),
        ("jobs/7/events.jsonl", 2, b"cdefg"),
        ("jobs/7/events.jsonl", 5, b"fg"),
        ("jobs/7/events.jsonl", 7, b""),
        ("characters/x/runs/001/run.yaml", 1, b"un:"),
        ("", 0, b"said\n"),
        ("other", 0, b""),
    ):
        assert there.ask_bytes("read", job=JOB, name=name, offset=offset)[1] == content
    reported(there, ray, {**REPORT, "exit": 0, "left": ["/x\n", 7]})
    assert there.ask("state", job=JOB) == {"here": True, "began": True, "running": False, "exit": 0, "said": ""}


@pytest.mark.parametrize(
    "values",
    [
        b"",
        b"{",
        b"[" * 100_000,
        [],
        "text",
        {},
        {**REPORT, "beat": -1},
        {**REPORT, "beat": "many"},
        {**REPORT, "files": []},
        {**REPORT, "files": {"a": [1, 2]}},
        {**REPORT, "files": {"a": [1, 2, "../../etc/passwd"]}},
        {**REPORT, "files": {"a": [-1, 2, A]}},
        {**REPORT, "files": {"a": [True, 2, A]}},
        {**REPORT, "files": {"a\nb": [1, 2, A]}},
        {**REPORT, "logs": {"a": ["../x", [[0, 4]]]}},
        {**REPORT, "logs": {"a": ["0123456789abcdef", [[0, 4], [5, 6]]]}},
        {**REPORT, "logs": {"a": ["0123456789abcdef", [[0, 1 << 40]]]}},
        {**REPORT, "logs": {"a": ["0123456789abcdef", [[4, 0]]]}},
        {**REPORT, "exit": 1 << 70},
        {**REPORT, "exit": "0"},
    ],
)
def test_a_report_that_makes_no_sense_is_none(there, ray, values):
    reported(there, ray, values)
    assert there.ask("made", job=JOB) == {}
    assert there.ask_bytes("read", job=JOB, name="jobs/7/events.jsonl", offset=0)[1] == b""
    state = there.ask("state", job=JOB)
    assert (state["running"], state["exit"]) == (True, None)


def test_what_a_node_says_is_shown_on_one_line(there, ray):
    reported(there, ray, REPORT)
    there.ask("state", job=JOB)
    reported(there, ray, {**REPORT, "beat": 4, "said": "Installing\x1b[31m\r\n" + "x" * 9000})
    said = there.ask("state", job=JOB)["said"]
    assert said.startswith("Installing")
    assert len(said) <= 300
    assert said.isprintable()


@pytest.mark.parametrize("name", ["../x", "/etc", "A", "a b", "", "a" * 100])
def test_no_key_leads_out(there, name):
    for what, fields in (("state", {}), ("erase", {}), ("made", {}), ("wish", {"wish": "stop"})):
        with misfit("text"):
            there.ask(what, job=name, **fields)


def test_a_damaged_note_of_ours_is_said(there, ray, tmp_path):
    (ray.storage / "jobs" / JOB / "control.json").write_text('{"number": "one"}')
    with raises("storage-damaged", has="control.json"):
        RayConnection(tmp_path, ray.place(), there.api).ask("state", job=JOB)


@pytest.mark.parametrize(
    ("number", "code", "passes"),
    [
        (errno.ENOSPC, "storage-full", False),
        (errno.EDQUOT, "storage-full", False),
        (errno.EACCES, "storage-refused", True),  # a job has begun
        (errno.EROFS, "storage-refused", True),
        (errno.EIO, "storage-unreachable", True),
        (errno.ESTALE, "storage-unreachable", True),
    ],
)
def test_a_storage_that_does_not_work_is_one_sentence(there, ray, tmp_path, monkeypatch, number, code, passes):
    path = tmp_path / "file"
    path.write_bytes(b"content")

    def fails(*_):
        raise OSError(number, "so it is")

    monkeypatch.setattr(FolderStorage, "put", fails)
    monkeypatch.setattr(transfers, "_pause", lambda tries, stop: None)
    with raises(code, has=str(ray.storage)) as caught:
        transfers.send(there, [transfers.sent(path)], JOB)
    assert isinstance(caught.value, Unreachable) is passes


def test_a_storage_that_refuses_before_anything_has_begun_is_not_tried_again(ray, tmp_path, monkeypatch):
    def refuses(*_):
        raise OSError(errno.EACCES, "no")

    monkeypatch.setattr(FolderStorage, "write", refuses)
    with raises("storage-refused") as caught:
        RayConnection(tmp_path, ray.place()).ask("start", job=JOB, version=B, arguments=[])
    assert not isinstance(caught.value, Unreachable)


def without_mark(ray):
    """An empty mount point in the storage's place."""
    shutil.rmtree(ray.storage)
    ray.storage.mkdir()


def test_a_storage_is_marked_at_its_first_use_and_never_again(ray, tmp_path):
    place = ray.place()
    places.save(tmp_path, place)
    RayConnection(tmp_path, place).ask("jobs")
    assert (ray.storage / "sameface-storage.json").is_file()
    assert places.find(tmp_path, "studio").marked
    without_mark(ray)
    for known in (place, places.find(tmp_path, "studio")):  # the first one as another job has read it before
        for ask in ({"what": "jobs"}, {"what": "probe"}, {"what": "state", "job": JOB}):
            with raises("storage-not-mounted", has="studio"):
                RayConnection(tmp_path, known).ask(**ask)
    assert list(ray.storage.iterdir()) == []


def test_a_storage_without_a_mark_of_which_a_job_is_remembered_is_away(ray, tmp_path):
    place = ray.place()
    places.save(tmp_path, place)
    memo = tmp_path / "jobs" / "7" / "remote.json"
    memo.parent.mkdir(parents=True)
    memo.write_text(json.dumps({"where": place.where()}))
    with raises("storage-not-mounted"):
        RayConnection(tmp_path, place).ask("state", job=JOB)
    assert list(ray.storage.iterdir()) == []
    memo.unlink()
    (ray.storage / "of somebody else").touch()
    with raises("storage-not-mounted"):
        RayConnection(tmp_path, place).ask("state", job=JOB)
    (ray.storage / "of somebody else").unlink()
    assert not RayConnection(tmp_path, place).ask("state", job=JOB)["here"]


def test_a_place_of_an_older_version_opens_and_its_storage_had_the_mark(ray, tmp_path):
    place = replace(ray.place(), machine=places.Machine(1.0, "3.11.7", "linux", 2, None, 1 << 40))
    places.save(tmp_path, place)
    stored = json.loads((tmp_path / "places.json").read_text())
    del stored["places"][0]["ray"]["marked"]
    (tmp_path / "places.json").write_text(json.dumps(stored))
    assert places.load(tmp_path) == [place]
    assert place.marked
    with raises("storage-not-mounted"):
        RayConnection(tmp_path, place).ask("jobs")


def test_a_look_has_patience_and_does_not_ask_what_is_not_ray(ray, tmp_path):
    said = []
    with raises("ray-no-room", has="within 0 seconds"):
        RayConnection(tmp_path, ray.place()).ask("probe", say=said.append, patience=0.2)
    assert said == ["Waiting for a node of studio that has room."]
    assert [path for path in ray.storage.rglob("*") if path.is_file()] == []  # nobody has seen that it is the storage
    assert ray.jobs == {}
    ray.asked.clear()
    ray.answers["GET /api/version"] = (200, b"{}")
    with raises("ray-answer-unreadable"):
        RayConnection(tmp_path, ray.place()).ask("probe")
    assert ray.asked == ["GET /api/version"]


def test_what_this_computer_cannot_read_or_write_is_not_the_storage(there, ray, tmp_path):
    gone = Upload(tmp_path / "gone", A, f"/files/{A}.part", False)
    with raises("file-missing", file=gone.path):
        there.put([gone], lambda: None, lambda: False)
    FolderStorage(ray.storage).write("files/x", b"x" * 100_000)
    FolderStorage(ray.storage).write("files/y", b"y")
    (tmp_path / "full").symlink_to("/dev/full")
    for name in ("x", "y"):  # the disk is full in the middle, and at the end
        with raises("disk-full", has=str(tmp_path / "full")):
            there.get([Download(f"/files/{name}", "full", True)], tmp_path, lambda: None, lambda: False)


def test_the_sizes_of_what_another_connection_has_sent_are_known(there, ray, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    one = transfers.sent(path)
    transfers.send(there, [one])
    known = RayConnection(tmp_path, ray.place()).ask("sizes", files=[one.sha256, A], job=None)
    assert known == {one.sha256: 7, A: 0}


def test_a_part_that_a_node_has_damaged_costs_nobody_the_file(there, ray, tmp_path):
    path = tmp_path / "base"
    path.write_bytes(b"weights" * 1000)
    one = transfers.sent(path)
    transfers.send(there, [one])
    node = ray_node.NodeJob(FolderStorage(ray.storage), JOB, 1, str(tmp_path / "node"), 0.1)
    here = node.agent._files(None) / one.sha256
    here.parent.mkdir(parents=True)
    here.with_name(f"{one.sha256}.part").write_bytes(bytes(500))
    node._bring(f"files/{one.sha256}", one.sha256, None)
    assert here.read_bytes() == path.read_bytes()
    here.unlink()
    (ray.storage / "files" / one.sha256).write_bytes(b"damaged")
    with pytest.raises(ray_node.Failed) as caught:
        node._bring(f"files/{one.sha256}", one.sha256, None)
    assert caught.value.code == "sent-file-damaged"
    assert not (ray.storage / "files" / one.sha256).exists()
    assert list(here.parent.iterdir()) == []


def test_a_url_whose_driver_is_missing_is_one_sentence(ray, tmp_path):
    place = replace(ray.place(), ray=replace(ray.place().ray, storage="nosuch://bucket/x"))
    with raises("storage-unusable", has="nosuch"):
        RayConnection(tmp_path, place).ask("state", job=JOB)


def test_a_file_that_changes_while_it_is_sent_is_not_sent(there, ray, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    one = transfers.sent(path)
    path.write_bytes(b"after!")
    with raises("transfer-damaged", file=path):
        transfers.send(there, [one], JOB)
    assert not (ray.storage / "jobs" / JOB / "files" / one.sha256).exists()


def test_files_are_sent_once_and_fetched_whole(there, ray, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"content" * 1000)
    one = transfers.sent(path)
    said = []
    transfers.send(there, [one], progress=lambda done, whole: said.append((done, whole)))
    assert said[-1] == (7000, 7000)
    with monkeypatch.context() as patched:
        patched.setattr(FolderStorage, "put", None)
        transfers.send(there, [one])
    blob = f"jobs/{JOB}/1/blobs/{one.sha256}"
    with path.open("rb") as source:
        FolderStorage(ray.storage).put(source, blob, lambda done: None)
    reported(there, ray, {**REPORT, "files": {"pictures/a.png": [7000, 1, one.sha256]}})
    come = transfers.fetch(there, JOB, {"pictures/a.png": tmp_path / "come.png"}, tmp_path / "way")
    assert come == ["pictures/a.png"]
    assert (tmp_path / "come.png").read_bytes() == path.read_bytes()
    (ray.storage / blob).write_bytes(b"another")
    with raises("transfer-damaged"):
        transfers.fetch(there, JOB, {"pictures/a.png": tmp_path / "come.png"}, tmp_path / "way")


def test_one_more_attempt_is_made_after_a_while_where_none_comes_to_anything(there, ray, monkeypatch):
    monkeypatch.setattr(ray_connection, "STALE", 0.0)
    first = f"sameface-{JOB}-1"
    ray.jobs[first] |= {"status": "FAILED", "message": "x\nno such thing\n", "error_type": "RUNTIME_ENV_SETUP_FAILURE"}
    said = there.ask("state", job=JOB)["said"]
    assert "attempt 2" in said
    assert "no such thing" in said
    ray.jobs[f"sameface-{JOB}-2"] |= {"status": "FAILED", "message": "again", "error_type": ""}
    assert there.ask("state", job=JOB)["running"]
    assert f"sameface-{JOB}-3" not in ray.jobs  # not at once
    there._pauses.clear()
    there.ask("state", job=JOB)
    assert f"sameface-{JOB}-3" in ray.jobs


def test_a_job_gets_a_gpu_where_the_cluster_has_some_unless_told_otherwise(ray, tmp_path):
    ray.gpus = 2
    cases = ({}, {"gpus": 0}, {"gpus": 2, "cpus": 8, "memory": 64})
    for number, cluster in enumerate(cases):
        made = RayConnection(tmp_path, ray.place(**cluster))
        made.ask("start", job=f"a-{number}", version=B, arguments=[])
    asked = [row["asked"] for row in ray.jobs.values()]
    assert [one["entrypoint_num_gpus"] for one in asked] == [1, 0, 2]
    assert [one["entrypoint_num_cpus"] for one in asked] == [1, 1, 8]
    assert [one.get("entrypoint_memory") for one in asked] == [None, None, 64 << 30]


def test_to_have_waited_for_room_for_long_is_no_failure(there, ray):
    for number in range(1, 8):
        row = ray.jobs[f"sameface-{JOB}-{number}"]
        row |= {"status": "FAILED", "message": "failed to start", "error_type": "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"}
        assert "waiting again" in there.ask("state", job=JOB)["said"]


def test_a_cluster_that_was_started_anew_knows_no_job(there, ray):
    ray.jobs.clear()
    assert there.ask("state", job=JOB)["running"]
    assert list(ray.jobs) == [f"sameface-{JOB}-1"]  # it had not begun
    reported(there, ray, REPORT)
    ray.jobs.clear()
    there._beats[JOB] = (1, 3, time.monotonic() - 60)
    assert there.ask("state", job=JOB)["running"]
    assert list(ray.jobs) == [f"sameface-{JOB}-2"]


def test_what_is_sent_to_a_node_is_the_same_each_time_and_needs_nothing_else(tmp_path):
    name, content = ray_connection._package()
    assert (name, content) == ray_connection._package.__wrapped__()
    (tmp_path / "package.zip").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "package.zip") as archive:
        archive.extractall(tmp_path / "node")
    code = "import lib_lora.remote.ray_cluster.ray_node, sys; print(*{name.split('.')[0] for name in sys.modules})"
    command = [sys.executable, "-S", "-c", code]  # without any package
    done = subprocess.run(command, cwd=tmp_path / "node", capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {*sys.stdlib_module_names, "lib_lora", "__main__"}


def test_a_node_whose_storage_is_another_one_says_so(tmp_path, capsys):
    asked = {"do": "probe", "job": "look-1", "storage": str(tmp_path), "folder": "sameface"}
    assert ray_node.main({"SAMEFACE_RAY": json.dumps(asked)}) == 1
    assert "may not be mounted" in capsys.readouterr().out


def test_errors_of_it_are_errors_of_the_user(there, ray):
    ray.answers[f"GET /api/jobs/sameface-{JOB}-1"] = ray.answers["GET /api/jobs/"] = (403, b"")
    with pytest.raises(UserError) as caught:
        there.ask("state", job=JOB)
    assert caught.value.code == "ray-token-refused"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((400, b"a proxy's"), "ray-refused"),
        ((404, b""), "ray-refused"),
        ((403, b""), "ray-token-refused"),
        ((200, b"<html>"), "ray-answer-unreadable"),
    ],
)
def test_what_ray_refuses_to_say_of_a_job_at_work_is_no_word_of_the_job(there, ray, monkeypatch, answer, code):
    monkeypatch.setattr(ray_connection, "STALE", 0.0)
    ray.answers["GET /api/jobs/"] = answer
    there.api._forget_list()
    with raises(code) as caught:
        there.ask("state", job=JOB)
    assert isinstance(caught.value, Unreachable)  # so it is asked again, and what runs goes on
    del ray.answers["GET /api/jobs/"]
    assert there.ask("state", job=JOB)["running"]
    assert len(ray.jobs) == 1


def test_an_erasure_goes_on_after_a_request_that_was_refused_or_answered_by_another(there, ray, monkeypatch):
    monkeypatch.setattr(ray_connection, "_END_POLL", 0.0)
    ray.plan(400, 3)
    ray.answers[f"DELETE /api/jobs/sameface-{JOB}-1"] = (200, b"[]")
    forget, forgotten = there.api.forget, []

    def forgets(job):
        forget(job)
        if forgotten:
            ray.answers.clear()
        forgotten.append(job)

    monkeypatch.setattr(there.api, "forget", forgets)
    there.ask("erase", job=JOB)
    assert (ray.jobs, len(forgotten)) == ({}, 3)
    monkeypatch.undo()
    monkeypatch.setattr(ray_connection, "_ENDS", 0.0)
    there.ask("start", job=JOB, version=B, arguments=[])
    ray.answers[f"GET /api/jobs/sameface-{JOB}-1"] = (400, b"")
    with raises("ray-refused"):
        there.ask("erase", job=JOB)


def test_a_job_that_ray_puts_into_its_list_again_is_deleted_again(there, ray, monkeypatch):
    monkeypatch.setattr(ray_connection, "_COMES_BACK", 10.0)  # less where it has come back before
    monkeypatch.setattr(ray_connection, "_POLL", 0.05)
    ray.comes_back, kept = 0.2, list[bool]()
    ray.before = lambda request: kept.append((ray.storage / "jobs" / JOB).exists())
    assert there.ask("erase", job=JOB) == {"left": []}
    assert (kept[0], kept[-1]) == (True, False)  # whoever is killed while it looks has left no file there
    assert (ray.jobs, ray._came_back) == ({}, {f"sameface-{JOB}-1"})
    assert ray.asked.count(f"DELETE /api/jobs/sameface-{JOB}-1") == 2


def test_where_ray_is_away_an_erasure_asks_once_and_ends_all_attempts_when_asked_again(there, ray, monkeypatch):
    there.ask("kill", job=JOB)
    there._wants(JOB, replace(there._control(JOB), number=3))
    there._send(there._submission(JOB, 3), {})
    monkeypatch.setattr(ray_connection, "_END_POLL", 0.0)
    ask, asked = there.api.job, []
    monkeypatch.setattr(there.api, "job", lambda one, *more: asked.append(one) or ask(one, *more))
    ray.close()
    with raises("ray-unreachable"):
        there.ask("erase", job=JOB)
    assert asked == [f"sameface-{JOB}-1"]
    assert not list((ray.storage / "jobs").rglob("*.json"))
    ray.start()
    assert there.ask("erase", job=JOB) == {"left": []}
    assert ray.jobs == {}
    assert there._control(JOB) is None


def test_the_look_for_what_comes_back_takes_no_longer_than_it_says(there, ray, monkeypatch):
    monkeypatch.setattr(ray_connection, "_COMES_BACK", 0.3)
    monkeypatch.setattr(ray_connection, "_POLL", 0.01)
    ray.asked.clear()
    ray.plan(503, 50, wait=0.1)
    there._read_again([f"sameface-{JOB}-{number}" for number in (1, 2, 3, 4, 5)])
    assert 1 <= ray.given <= 3


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_storage_is_no_reason_to_leave_anything_there(there, ray, monkeypatch, number):
    def full(*_):
        raise OSError(number, "full")

    monkeypatch.setattr(FolderStorage, "write", full)
    assert there.ask("erase", job=JOB) == {"left": []}
    assert (ray.jobs, list((ray.storage / "jobs").rglob("*"))) == ({}, [])


def test_a_storage_that_goes_while_a_job_is_erased_is_not_taken_for_empty(there, ray, monkeypatch):
    away, forget = ray.storage.with_name("away"), there.api.forget

    def goes(job):
        forget(job)
        ray.storage.rename(away)
        ray.storage.mkdir()

    with monkeypatch.context() as patched:
        patched.setattr(there.api, "forget", goes)
        with raises("storage-not-mounted"):
            there.ask("erase", job=JOB)
    ray.storage.rmdir()
    away.rename(ray.storage)
    assert there.ask("erase", job=JOB) == {"left": []}
    assert (ray.jobs, list((ray.storage / "jobs").rglob("*"))) == ({}, [])
