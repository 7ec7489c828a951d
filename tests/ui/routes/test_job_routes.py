"""Jobs: what may be asked for, and from where; what they say while they run; stopping, pausing, moving."""

from pathlib import Path

import pytest
from conversions import count_conversions
from planting import plant_run

from lib_lora.hosts.host_protocol import Checkpoint
from lib_lora.queue.job_types import AuditArguments, FillArguments, TestArguments, TrainArguments
from lib_lora.remote import places
from lib_lora.runs.events import EventLog
from lib_lora.typed_settings import to_dict


def put(page, kind="test", **arguments):
    return page.done("/jobs", {"kind": kind, "character": "mara", "arguments": arguments})


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base.safetensors"
    path.write_bytes(b"x")
    return path


def test_a_job_of_a_type_that_only_a_newer_version_knows_is_shown(page):
    page.character()
    page.queue.add("Mara", AuditArguments())
    with page.queue._file.open(write=True) as db:
        db.execute("UPDATE jobs SET kind = 'dream'")
        db.execute('UPDATE jobs SET arguments = \'{"mood": "sad"}\'')
    [job] = page.got("/state")["queue"]["jobs"]
    assert (job["kind"], job["text"], job["step"], job["announced"]) == ("dream", "dream", "train", False)
    assert job["arguments"] == {"mood": "sad"}
    assert page.done(f"/jobs/{job['id']}/stop")["base_gone"] == ""
    page.done(f"/jobs/{job['id']}/forget")
    assert page.got("/jobs") == []


def test_a_job_waits_runs_and_ends(page):
    folder = page.character()
    plant_run(folder)
    job = put(page, run="001")
    assert page.got(f"/jobs/{job['id']}") == job
    running = page.queue.take("heavy", "me")
    emit = EventLog(page.queue.folder(running.id) / "events.jsonl")
    emit("state", state="preparing")
    emit("step", step=3, total=10, loss_average=0.5, seconds_left=7.0, seconds_per_step=1.0, peak_memory=5)
    standing = page.got(f"/jobs/{job['id']}")["standing"]
    assert (standing["phase"], standing["done"], standing["total"], standing["loss"]) == ("training", 3, 10, 0.5)
    assert "since" not in standing
    found = page.got(f"/jobs/{job['id']}/events")
    assert [event["kind"] for event in found["events"]] == ["state", "step"]
    emit("step", step=4, total=10)
    after = page.got(f"/jobs/{job['id']}/events?after={found['next']}")
    assert [event["step"] for event in after["events"]] == [4]
    page.queue.end(job["id"], "failed", "It broke.")
    told = page.got("/jobs")[0]
    assert (told["state"], told["error"], told["standing"]["done"]) == ("failed", "It broke.", 4)
    assert page.done(f"/jobs/{job['id']}/resume")["state"] == "waiting"
    assert page.done(f"/jobs/{job['id']}/stop")["state"] == "stopped"
    assert page.done(f"/jobs/{job['id']}/forget") == {"forgotten": job["id"]}
    assert page.got("/jobs") == []
    assert page.get(f"/jobs/{job['id']}").status_code == 404


def test_a_job_that_cannot_go_on_without_its_base_says_which(page, base, tmp_path):
    folder = page.character()
    plant_run(folder, base=str(base))
    for kind, arguments in (("train", {"base": str(base)}), ("test", {"run": "001"})):
        job = put(page, kind, **arguments)
        assert job["base_gone"] == ""
        page.queue.take("heavy", "me")
        page.queue.end(job["id"], "failed", "It broke.")
        assert page.got(f"/jobs/{job['id']}")["base_gone"] == ""
        base.rename(tmp_path / "elsewhere")
        assert page.got(f"/jobs/{job['id']}")["base_gone"] == str(base)
        (tmp_path / "elsewhere").rename(base)
    assert page.got(f"/jobs/{job['id']}")["base_gone"] == ""


@pytest.mark.parametrize("named", [{"run": "001"}, {}])
def test_where_the_webui_does_not_paint_with_the_family_the_worker_does_with_the_runs_own_base(page, base, named):
    own = {"base": str(base.with_name("own.safetensors"))}
    Path(own["base"]).write_bytes(b"y")
    plant_run(page.character(), base=own["base"])
    asked = {**named, "painter": "webui", "base": str(base), "grid_steps": 9}
    assert put(page, **asked)["arguments"].items() >= asked.items()
    page.host.refuses = lambda family: "This webui does not load such models."
    assert page.code_of("/jobs", {"kind": "test", "character": "mara", "arguments": asked}) == "base-not-painted-with"
    for words in ({}, own):
        found = put(page, **named, painter="webui", grid_steps=9, **words)["arguments"]
        assert (found["painter"], found.get("base"), found["grid_steps"]) == ("worker", None, 9)


def test_where_the_webui_does_not_read_the_triggers_vectors_the_worker_paints(page):
    folder = page.character()
    for number, vectors in ((1, 0), (2, 2)):
        plant_run(folder, number, vectors=vectors)
    page.host.reads_vectors = lambda: False
    found = [put(page, run=run, painter="webui")["arguments"]["painter"] for run in ("001", "002")]
    assert found == ["webui", "worker"]
    page.host.reads_vectors = lambda: True
    assert put(page, run="002", painter="webui")["arguments"]["painter"] == "webui"


def test_what_is_asked_for_is_converted_once(page, base, monkeypatch):
    """From the request to the row in the queue, and in the answer; then once more where the row is read."""
    plant_run(page.character(photos=2))
    seen = count_conversions(monkeypatch)
    job = put(page, run="001", weight=0.5, painter="webui")
    assert seen == [TestArguments]
    put(page, "train", base=str(base), settings={"lora.rank": 8})
    assert seen == [TestArguments, TrainArguments]
    page.done("/characters/mara/audit", {"drop": ["00.jpg"]})
    assert seen[2:] == [AuditArguments]
    page.done("/characters/mara/captions/fill", {})
    assert seen[3:] == [FillArguments]
    seen.clear()
    assert page.queue.take("heavy", "me").arguments == TestArguments(run="001", weight=0.5, painter="webui")
    assert seen == [TestArguments]
    assert job["arguments"] == to_dict(TestArguments(run="001", weight=0.5, painter="webui"))


@pytest.mark.parametrize("kind", ["train", "test", "choose"])
def test_on_another_machine_only_where_there_is_one(page, base, kind):
    plant_run(page.character())
    page.host.models = [Checkpoint("Base", base)]
    given = {"base": str(base)} if kind == "train" else {"run": "001"}
    body = {"kind": kind, "character": "mara", "arguments": {**given, "on": "ssh:workshop"}}
    assert page.code_of("/jobs", body, 400) == "place-not-found"
    places.save(page.root, places.Place("workshop", "gpu.example.org"))
    job = page.done("/jobs", body)
    assert (job["lane"], job["text"].endswith(" on workshop")) == ("remote", True)
    assert page.queue.take("heavy", "me") is None
    assert page.queue.take("remote", "me").id == job["id"]


def test_a_log_is_sent_from_its_end(page):
    plant_run(page.character())
    job = put(page)
    assert page.got(f"/jobs/{job['id']}/log") == {"lines": []}
    log = page.queue.folder(job["id"]) / "log.txt"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"".join(b"line %d\r\n" % n for n in range(9000)) + b"10%\r 20%\r100%\n\n\xff end")
    lines = page.got(f"/jobs/{job['id']}/log")["lines"]
    assert len(lines) == 40
    assert lines[-3:] == ["line 8999", "100%", "\ufffd end"]


def test_the_line_is_changed(page):
    plant_run(page.character())
    first, second = put(page, weight=0.5), put(page, weight=0.6)
    order = page.done(f"/jobs/{second['id']}/move", {"before": first["id"]})
    assert [job["id"] for job in order] == [second["id"], first["id"]]
    assert page.code_of(f"/jobs/{second['id']}/move", {"before": 99}) == "job-not-waiting"
    assert page.done("/queue", {"paused": True}) == {"paused": True}
    assert page.got("/state")["queue"]["paused"]
    assert page.queue.take("heavy", "me") is None
    page.done("/queue", {"paused": False})
    running = page.queue.take("heavy", "me")
    assert page.done(f"/jobs/{running.id}/pause")["wish"] == "pause"
    assert page.code_of(f"/jobs/{first['id']}/pause") == "job-not-running"


@pytest.mark.parametrize(
    ("kind", "arguments", "status", "code"),
    [
        ("burn", {}, 400, "job-type-unknown"),
        ("train", {}, 400, "base-model-not-chosen"),
        ("train", {"base": "/none.safetensors"}, 400, "base-model-missing"),
        ("train", {"base": "none"}, 400, "path-not-absolute"),
        ("train", {"run": "002"}, 404, "not-found"),
        ("train", {"run": "../.."}, 404, "not-found"),
        ("test", {"run": 1}, 400, "setting-wrong-type"),
        ("test", [], 400, "setting-wrong-type"),
        ("train", {"base": "{base}", "settings": {"stepz": 3}}, 400, "setting-unknown"),
        ("train", {"base": "{base}", "settings": {"lora.rnak": 3}}, 400, "setting-unknown"),
        ("train", {"base": "{base}", "settings": {"lora": {"rank": 0}}}, 400, "setting-invalid"),
        ("probe", {"base": "{base}", "settings": {"steps": "many"}}, 400, "setting-wrong-type"),
        ("train", {"base": "{base}", "settings": {"preset": "nonsense"}}, 400, "setting-unknown"),
        ("probe", {"base": ""}, 400, "base-model-not-chosen"),
        ("probe", {"base": None}, 400, "base-model-not-chosen"),
        ("test", {"wait": 1}, 400, "setting-unknown"),
        ("test", {"weight": "nan"}, 400, "setting-wrong-type"),
    ],
)
def test_what_cannot_be_asked_for_is_said(page, base, kind, arguments, status, code):
    page.character()
    if isinstance(arguments, dict) and arguments.get("base"):
        arguments = {**arguments, "base": arguments["base"].format(base=base)}
    body = {"kind": kind, "character": "mara", "arguments": arguments}
    assert page.code_of("/jobs", body, status) == code
    assert page.queue.jobs() == []


def test_nothing_is_trained_without_consent(page, base):
    page.character(consent=False)
    body = {"kind": "train", "character": "mara", "arguments": {"base": str(base)}}
    assert page.code_of("/jobs", body, 409) == "consent-missing"


def test_other_characters_are_looked_at_when_a_training_is_queued(page, base):
    page.character()
    page.character("Tomas", consent=False, trigger="toxm")
    for name, code in (("Tomas", "consent-missing"), ("Ines", "together-unknown")):
        arguments = {"base": str(base), "settings": {"together": [name]}}
        assert page.code_of("/jobs", {"character": "mara", "kind": "train", "arguments": arguments}) == code


def test_from_another_machine_only_the_host_s_models_may_be_named(page, base):
    page.character()
    assert put(page, "train", base=str(base))["arguments"]["base"] == str(base)
    page.host.is_remote = True
    body = {"kind": "train", "character": "mara", "arguments": {"base": str(base)}}
    assert page.code_of("/jobs", body, 403) == "forbidden"
    page.host.models = [Checkpoint("Base", base)]
    assert page.done("/jobs", body)["kind"] == "train"
    body["arguments"]["settings"] = {"class_photos": "/home"}
    assert page.code_of("/jobs", body, 403) == "forbidden"
    assert (
        page.code_of("/jobs", {"kind": "test", "character": "mara", "arguments": {"base": "/etc/passwd"}}, 403)
        == "forbidden"
    )


@pytest.mark.parametrize("after", ["x", "-1", "1e3", "٣", "9" * 30])
def test_a_place_in_the_events_is_a_number(page, after):
    plant_run(page.character())
    job = put(page)
    assert page.get(f"/jobs/{job['id']}/events?after={after}").status_code == 400
