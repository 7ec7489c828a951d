"""Where each character stands, and that asking again costs nothing."""

import builtins
import errno
import io
import json
import os
import pathlib
import time
from dataclasses import fields, replace

import pytest
from planting import plan_audit, plant_grid, plant_invented, plant_run

from lib_lora.character.photo_files import kinds
from lib_lora.character.store import load
from lib_lora.errors import UserError
from lib_lora.files import read_json, write_json
from lib_lora.queue.job_types import AuditArguments, TestArguments, TrainArguments, arguments_of
from lib_lora.queue.queue import Queue
from lib_lora.runs.events import EventLog
from lib_lora.runs.records import run_records
from lib_lora.ui.http.state_changes import StateChanges
from lib_lora.ui.routes import job_routes, overview_routes
from lib_lora.ui.views import caption_checks, invention
from lib_lora.ui.views.page_limits import PageLimits
from lib_lora.workflows.photos import audit_cache, changes
from lib_lora.workspace import file_cache
from lib_lora.workspace.workspace import RunFolder

pytestmark = pytest.mark.once("what the page is told, and when, is ours; test_responses.py repeats how it is sent")


@pytest.fixture(autouse=True)
def _no_tokenizer(monkeypatch):
    monkeypatch.setattr(caption_checks, "problems", lambda snapshot, wait=False: [])


def entry(page):
    return page.got("/state")["characters"][0]


def test_nothing_is_there_yet(page):
    state = page.got("/state")
    assert state["characters"] == []
    assert state["queue"] == {"paused": False, "notice": "", "holds": 0, "jobs": [], "more": 0}
    assert state["host"].pop("gpu") in (None, True, False)  # looked for in a thread
    assert state["host"] == {"name": "alone", "version": "1", "remote": False, "paints": False, "refuses": {},
                             "busy": False, "samplers": ["Euler"], "photos": kinds(), "detailer": ""}  # fmt: skip
    assert state["supervisor"] == {"active": True, "reason": ""}
    assert set(state["limits"]) == {one.name for one in fields(PageLimits)}
    assert state["limits"]["ranges"]["weight"] == {"least": -2, "most": 2, "usual": 1.0}
    assert (state["limits"]["name_letters"], state["limits"]["prompt_weight"]["least"]) == (80, -10)


def test_a_job_says_in_which_lane_it_waits(page):
    page.character("Mara")
    for kind in ("train", "audit"):
        page.queue.add("Mara", arguments_of(kind, {}))
    assert {job["kind"]: job["lane"] for job in page.got("/state")["queue"]["jobs"]} == {
        "train": "heavy",
        "audit": "light",
    }


def test_what_was_changed_last_is_known_and_the_data_folder_has_a_sign_of_its_own(page):
    old, new = page.character("Mara"), page.character("Nova")
    for at, folder in ((1000, old), (2000, new)):
        for place in (folder.path, folder.file, folder.photos, folder.runs):
            os.utime(place, (at, at))
    state = page.got("/state")
    assert {one["slug"]: one["touched"] for one in state["characters"]} == {"mara": 1000, "nova": 2000}
    assert len(state["folder"]) == 12
    assert str(page.root) not in state["folder"]
    run = plant_run(old)
    os.utime(run, (3000, 3000))
    os.utime(old.runs, (1000, 1000))
    assert page.got("/state")["characters"][0]["touched"] == 3000


def test_a_character_goes_its_way(page):
    folder = page.character()
    found = entry(page)
    assert (found["slug"], found["name"], found["trigger"], found["class_word"]) == ("mara", "Mara", "mrxa", "woman")
    assert found["consent"] == {"kind": "fictional", "date": "2024-05-06"}
    assert (found["next"], found["cover"]) == ("photos", "")
    assert found["photos"] == {
        "count": 0, "used": 0, "proposed": 0, "audited": False, "tone": "none", "text": "No photos yet",
        "message": {"code": "no-photos", "template": "No photos yet", "values": {}},
    }  # fmt: skip

    page.character(photos=10)
    found = entry(page)
    assert (found["photos"]["count"], found["photos"]["audited"], found["next"]) == (10, False, "photos")
    assert len(found["cover"]) == 64

    plan_audit(folder)
    found = entry(page)
    assert (found["photos"]["audited"], found["photos"]["text"], found["next"]) == (
        True,
        "10 of 10 photos good",
        "captions",
    )
    assert found["captions"]["text"] == "10 of 10 without a caption"

    for photo in folder.photos.glob("*.jpg"):
        photo.with_suffix(".txt").write_text("photo of mrxa woman\n")
    found = entry(page)
    assert found["captions"] == {
        "written": 10, "of": 10, "problems": 0, "tone": "good", "text": "10 captions",
        "message": {"code": "captions-good", "template": "{n} captions", "values": {"n": 10}},
    }  # fmt: skip
    assert found["next"] == "train"

    run = plant_run(folder, steps=100, saved=[50, 100])
    found = entry(page)
    assert (found["train"]["run"], found["train"]["steps"], found["train"]["total"]) == ("001", 100, 100)
    assert (found["train"]["tone"], found["next"]) == ("good", "test")

    grid = plant_grid(run, step=100)
    report = read_json(grid / "report.json")
    write_json(grid / "report.json", {**report, "verdict": {**report["verdict"], "kind": "undertrained"}})
    found = entry(page)
    assert (found["test"]["tone"], found["next"]) == ("bad", "test")  # where it is said what to do
    write_json(grid / "report.json", report)
    found = entry(page)
    assert found["test"]["message"]["values"]["headline"]["template"] == "The face holds"
    assert found["test"].items() >= {
        "tone": "good", "text": "The face holds (step 100, weight 1)", "run": "001", "grid": "001",
        "headline": "The face holds",
    }.items()  # fmt: skip
    assert found["next"] == "use"

    plant_run(folder, 2, 100, saved=(100,))
    assert entry(page)["test"]["text"] == "Run 002 is not tested yet"  # the verdict on run 001 can still be seen


def test_a_photo_that_came_after_the_audit_makes_it_an_old_one(page):
    folder = page.character(photos=9)
    plan_audit(folder)
    assert entry(page)["photos"]["audited"]
    page.character(photos=10)
    assert not entry(page)["photos"]["audited"]
    assert audit_cache.kept(folder).photos[8].file == "08.jpg"


@pytest.mark.parametrize("changes", [{"photos": None}, {"photos": [{}]}, {"coverage": [1]}, {"version": 0}])
def test_a_damaged_audit_is_none(page, changes):
    folder = page.character(photos=2)
    plan_audit(folder)
    path = audit_cache.path_of(folder)
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")
    assert audit_cache.kept(folder) is None
    assert not entry(page)["photos"]["audited"]


def test_a_damaged_character_says_so_and_the_others_are_there(page):
    page.character("Anna")
    folder = page.character("Mara")
    folder.file.write_text("name: [", encoding="utf-8")
    anna, mara = page.got("/state")["characters"]
    assert anna["photos"]["tone"] == "none"
    assert mara["photos"]["tone"] == "bad"
    assert "character.yaml" in mara["photos"]["text"]


def test_a_damaged_audit_says_so(page):
    folder = page.character(photos=1)
    (folder.path / "audit.json").write_text("{")
    found = entry(page)
    assert (found["photos"]["tone"], found["next"]) == ("bad", "photos")
    assert "audit.json" in found["photos"]["text"]


def test_ten_characters_of_fifty_photos_are_answered_at_once(page):
    for number in range(10):
        folder = page.character(f"Mara {number}")
        for photo in range(50):
            (folder.photos / f"{photo:02d}.jpg").write_bytes(b"%d %d" % (number, photo))
            (folder.photos / f"{photo:02d}.txt").write_text("photo of mrxa woman")
        plant_grid(plant_run(folder, steps=100, saved=[100]), step=100)
    page.got("/state")
    took = []
    for _ in range(10):
        began = time.perf_counter()
        page.got("/state")
        took.append(time.perf_counter() - began)
    assert min(took) < 0.1  # 20 ms on a quiet machine


def test_jobs_are_listed_with_what_they_do(page):
    folder = page.character(photos=8)
    job = page.done("/jobs", {"kind": "train", "character": "mara", "arguments": {"base": str(folder.file)}})
    [told] = page.got("/state")["queue"]["jobs"]
    assert told == job
    assert (told["text"], told["state"], told["standing"]) == ("Train Mara", "waiting", None)
    assert page.supervisor.woken == 1


def test_it_stays_small_with_many_characters_and_a_long_line(page):
    for number in range(50):
        page.character(f"Person {number}")
    jobs = []
    for number in range(500):
        settings = {"lora": {"rank": number + 1}, "notes": "x" * 5000}
        arguments = {"base": "/models/Stable-diffusion/base.safetensors", "settings": settings}
        jobs.append(("heavy", "train", f"Person {number % 50}", f"person-{number % 50}", json.dumps(arguments), number))
    with page.queue._file.open(write=True) as db:  # one by one, they would be flushed to the disk one by one
        columns = "lane, kind, character, slug, arguments, place, created, state"
        db.executemany(f"INSERT INTO jobs ({columns}) VALUES (?, ?, ?, ?, ?, ?, 1, 'waiting')", jobs)
    page.queue.add("Person 7", AuditArguments(drop=["x" * 200] * 1000))
    answer = page.get("/state")
    assert len(answer.content) < 100_000
    queue = answer.json()["queue"]
    waiting = {(job["slug"], job["kind"]) for job in queue["jobs"]}
    assert waiting == {*((f"person-{number}", "train") for number in range(50)), ("person-7", "audit")}
    assert len(queue["jobs"]) + queue["more"] == 501
    assert [job["id"] for job in queue["jobs"]][:30] == list(range(1, 31))
    assert queue["jobs"][0]["arguments"]["base"] == "/models/Stable-diffusion/base.safetensors"
    assert len(page.got("/jobs")) == 501
    assert page.got("/jobs/501")["arguments"]["drop"]


# ---------------------------------------------------------------------------------- what has changed since


def merged(before, answer):
    """As `base/state_changes.js` puts them together."""
    if "changed" not in answer:
        return before
    state = {**(before or {}), **answer["changed"]}
    old = {"characters": (before or {}).get("characters", []), "jobs": (before or {}).get("queue", {}).get("jobs", [])}
    for name, key in (("characters", "slug"), ("jobs", "id")):
        known = {one[key]: one for one in [*old[name], *answer["lists"][name]["changed"]]}
        old[name] = [known[one] for one in answer["lists"][name]["keys"]]
    return {**state, "characters": old["characters"], "queue": {**state["queue"], "jobs": old["jobs"]}}


def test_a_page_that_has_nothing_gets_the_whole_state_and_then_only_what_has_changed(page):
    page.character("Mara"), page.character("Nova")
    job = page.queue.add("Mara", TrainArguments(base="x"))
    whole = page.got("/state")
    first = page.got("/state?since=")
    assert merged(None, first) == whole
    assert page.got(f"/state?since={first['mark']}") == {"mark": first["mark"]}

    other = page.queue.add("Nova", AuditArguments())
    second = page.got(f"/state?since={first['mark']}")
    assert second["changed"] == {}
    assert second["lists"]["characters"] == {"keys": ["mara", "nova"], "changed": []}
    assert [one["id"] for one in second["lists"]["jobs"]["changed"]] == [other.id]
    assert set(second["lists"]["jobs"]["keys"]) == {job.id, other.id}

    page.character("Zoe")
    page.queue.pause_all(True)
    third = page.got(f"/state?since={second['mark']}")
    assert set(third["changed"]) == {"queue"}
    assert third["lists"]["characters"]["keys"] == ["mara", "nova", "zoe"]
    assert [one["slug"] for one in third["lists"]["characters"]["changed"]] == ["zoe"]
    assert merged(merged(merged(None, first), second), third) == page.got("/state")


def test_another_page_with_an_older_state_gets_all_that_it_lacks(page):
    page.character("Mara")
    old = page.got("/state?since=")
    page.character("Nova")
    page.got("/state?since=")  # of another page
    page.character("Zoe")
    answer = page.got(f"/state?since={old['mark']}")
    assert [one["slug"] for one in answer["lists"]["characters"]["changed"]] == ["nova", "zoe"]


def test_a_character_that_is_gone_and_comes_back_is_sent_anew(page):
    folder = page.character("Mara")
    first = page.got("/state?since=")
    away = folder.path.with_name("away")
    folder.path.rename(away.parent.parent / "away")
    second = page.got(f"/state?since={first['mark']}")
    assert second["lists"]["characters"] == {"keys": [], "changed": []}
    (away.parent.parent / "away").rename(folder.path)
    third = page.got(f"/state?since={second['mark']}")
    assert [one["slug"] for one in third["lists"]["characters"]["changed"]] == ["mara"]
    assert merged(merged(merged(None, first), second), third) == page.got("/state")


@pytest.mark.parametrize("mark", ["x", "0" * 32, "%00", "a" * 5000])
def test_a_mark_that_nobody_has_given_stands_for_nothing(page, mark):
    page.character("Mara")
    answer = page.got(f"/state?since={mark}")
    assert merged(None, answer) == page.got("/state")


def test_states_that_were_sent_long_ago_are_forgotten():
    changes = StateChanges()
    first = changes.since("", {"n": -1}, {})["mark"]
    for n in range(100):
        changes.since("", {"n": n}, {})
    assert changes.since(first, {"n": -1}, {})["mark"] == first  # what is the same still is
    changes = StateChanges()
    first = changes.since("", {"n": -1, "same": 1}, {})["mark"]
    for n in range(100):
        newest = changes.since("", {"n": n, "same": 1}, {})["mark"]
    assert changes.since(first, {"n": 5, "same": 1}, {})["changed"] == {"n": 5, "same": 1}
    assert changes.since(newest, {"n": 5, "same": 1}, {})["changed"] == {"n": 5}


# ------------------------------------------------------------------------- known to be the same without computing it


STEP = b'{"t": 1, "kind": "step", "step": 77, "total": 100, "loss": 0.1, "loss_average": 0.1}\n'


def old(root, seconds=60):
    """Nothing in a data folder was changed just now; what was, is looked at each time."""
    for path in (*root.rglob("*"), root):
        about = path.stat()
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns - seconds * 10**9))


@pytest.fixture
def lived_in(page):
    """Two characters with everything that the state reads, and jobs that wait, run and have ended."""
    for name in ("Mara", "Nova"):
        folder = page.character(name, photos=3)
        for photo in folder.photos.glob("*.jpg"):
            photo.with_suffix(".txt").write_text("photo of mrxa woman")
        plan_audit(folder)
        for number in (1, 2):
            run = plant_run(folder, number, steps=100, saved=[50, 100])
            plant_grid(run, step=100, pictures=1)
            delivered = page.root.parent / f"{name}-{number}.safetensors"
            delivered.write_bytes(b"LoRA")
            RunFolder(run).uses.write_text(json.dumps([{"file": str(delivered), "to": "the webui"}]))
        character = load(folder)
        changes.note_character(folder, character, replace(character, notes="tall"))
    plant_invented(page.character("Zoe"), candidates=2)
    running = page.queue.add("Mara", TrainArguments(base=str(page.root / "gone.safetensors")))
    page.queue.take("heavy", "somebody")
    EventLog(page.queue.folder(running.id) / "events.jsonl")("step", step=1, total=9, loss=0.1, seconds_left=1.0)
    failed = page.queue.add("Nova", AuditArguments())
    page.queue.take("light", "somebody")
    page.queue.end(failed.id, "failed", "It was dark.")
    page.queue.add("Nova", TestArguments(base=str(page.root.parent / "Nova-1.safetensors")))
    old(page.root)
    page.got("/state")
    return page


def computed(page, monkeypatch):
    """How often the state and the characters' entries are computed from here on."""
    seen = []
    for name in ("_from_disk", "_whole"):
        real = getattr(overview_routes, name)
        monkeypatch.setattr(overview_routes, name, lambda *args, real=real, name=name: seen.append(name) or real(*args))
    return seen


def test_where_nothing_has_changed_nothing_is_computed(lived_in, monkeypatch):
    seen, mark = computed(lived_in, monkeypatch), lived_in.got("/state?since=")["mark"]
    for _ in range(3):
        assert lived_in.got(f"/state?since={mark}") == {"mark": mark}
    assert seen == []
    (lived_in.root / "characters" / "nova" / "photos" / "new.jpg").write_bytes(b"a photo")
    answer = lived_in.got(f"/state?since={mark}")
    assert [one["slug"] for one in answer["lists"]["characters"]["changed"]] == ["nova"]
    assert seen == ["_from_disk", "_whole"]  # of the one character that has changed


@pytest.mark.once("which files are looked at is ours")
def test_whatever_file_is_changed_or_deleted_or_comes_is_seen_at_once(lived_in):
    """After every change to any file, the state is what one would compute that knows nothing of before."""

    def right(what):
        soon = lived_in.got("/state")
        file_cache.forget()
        assert soon == lived_in.got("/state"), what
        return soon

    state, told = lived_in.got("/state"), set()
    inside = lived_in.root.parent
    files = sorted(path for path in inside.rglob("*") if path.is_file() and not path.name.startswith("jobs.sqlite"))
    assert len(files) > 60
    for path in files:
        before, about = path.read_bytes(), path.stat()
        changed = before + STEP if path.name == "events.jsonl" else before.replace(b"1", b"2")  # which only grows
        for what, content in (("changed", changed), ("deleted", None), ("back", before)):
            if content is None:
                path.unlink()
            elif content != before or not path.exists():
                path.write_bytes(content)
                os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns + 1000))
            now = right((what, path))
            if now != state:
                told.add(path.name)
            state = now
        (path.parent / "007").mkdir(exist_ok=True)  # as a new run or grid begins
        right(("a folder", path.parent))
    assert told >= {"character.yaml", "run.yaml", "report.json", "00.txt", "00.jpg", "events.jsonl", "uses.json"}
    assert told >= {"Mara-2.safetensors", "plan.json", "audit-told.json"}


def test_every_change_to_the_queue_is_seen_at_once_whoever_makes_it(lived_in):
    """Also several within one tick of the file system's clock, by another connection."""
    other = Queue(lived_in.root)
    for number in range(30):
        job = other.add("Nova", TestArguments(first_seed=number))
        assert job.id in [one["id"] for one in lived_in.got("/state")["queue"]["jobs"]]
        other.wish(job.id, "stop")
        [told] = [one for one in lived_in.got("/state")["queue"]["jobs"] if one["id"] == job.id]
        assert told["state"] == "stopped"
        other.pause_all(number % 2 == 0)
        assert lived_in.got("/state")["queue"]["paused"] == (number % 2 == 0)


def test_what_no_file_tells_is_seen_at_once(lived_in, monkeypatch):
    mark = lived_in.got("/state?since=")["mark"]
    running = next(job for job in lived_in.queue.open() if job.state == "running")
    for change, part in (
        (lambda: setattr(lived_in.host, "version", "2"), "host"),
        (lambda: monkeypatch.setattr(lived_in.host, "busy", lambda: True), "host"),
        (lambda: monkeypatch.setattr(lived_in.supervisor, "active", False, raising=False), "supervisor"),
        (lambda: monkeypatch.setattr(lived_in.supervisor, "holds", True, raising=False), "queue"),
    ):
        change()
        answer = lived_in.got(f"/state?since={mark}")
        assert set(answer["changed"]) == {part}
        mark = answer["mark"]
    assert lived_in.got("/waits")["job"]["id"] == running.id
    monkeypatch.setattr(caption_checks, "problems", lambda snapshot, wait=False: [("00.jpg", "too long")])
    monkeypatch.setattr(caption_checks, "ready", lambda: (True, "loaded by now"))
    assert {one["slug"] for one in lived_in.got(f"/state?since={mark}")["lists"]["characters"]["changed"]} >= {"mara"}


def test_a_character_that_could_not_be_read_is_read_again(lived_in, monkeypatch):
    """Another program may hold a file for a moment; its time does not change by that."""
    real, held = overview_routes._whole, [True]

    def whole(*args):
        if held:
            raise UserError("Another program uses it.", code="some-fault")
        return real(*args)

    monkeypatch.setattr(overview_routes, "_whole", whole)
    file_cache.forget()
    assert entry(lived_in)["photos"]["text"] == "Another program uses it."
    held.clear()
    assert entry(lived_in)["photos"]["count"] == 3


def test_a_file_that_another_program_held_for_a_moment_is_read_again(lived_in, monkeypatch):
    """As a virus scanner does on Windows: no mark of the file changes by that."""
    real, held, refused = open, set(), set()

    def opened(file, *args, **kwargs):
        if str(file) in held:
            refused.add(str(file))
            raise PermissionError(errno.EACCES, "Another program uses it")
        return real(file, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", opened)
    monkeypatch.setattr(io, "open", opened)  # of pathlib
    if hasattr(pathlib, "_NormalAccessor"):  # Python 3.10's, which keeps it under a name of its own
        monkeypatch.setattr(pathlib._NormalAccessor, "open", staticmethod(opened))
    lived_in.queue.note_run(2, "001")  # the base model of that job is known from its run alone
    old(lived_in.root)

    def fresh():
        file_cache.forget()
        job_routes._follower.cache_clear()
        return lived_in.got("/state")

    right, told = fresh(), set()
    for path in sorted(path for path in lived_in.root.rglob("*") if path.is_file() and ".sqlite" not in path.name):
        held.add(str(path))
        meanwhile = fresh()
        held.clear()
        assert lived_in.got("/state") == right, path
        if meanwhile != right:
            told.add(path.name)
    assert told >= {"character.yaml", "run.yaml", "report.json", "uses.json", "00.txt", "00.jpg", "events.jsonl"}
    assert told >= {"plan.json", "painted.jsonl", "audit-told.json", "changes.jsonl"}


def once(monkeypatch, module, name, where, error):
    """The function fails the first time that it is asked about a path with `where` in it."""
    real, left = getattr(module, name), [error]

    def function(*args, **kwargs):
        if left and where in str(getattr(args[0], "path", args[0])):
            raise left.pop()
        return real(*args, **kwargs)

    monkeypatch.setattr(module, name, function)


@pytest.mark.parametrize(
    ("module", "name", "where"), [(run_records, "read_yaml", "002"), (invention, "plan_of", "zoe")]
)
def test_what_failed_once_inside_is_seen_again(lived_in, monkeypatch, module, name, where):
    right = lived_in.got("/state")
    file_cache.forget()
    once(monkeypatch, module, name, where, UserError("Another program uses it.", code="some-fault"))
    assert lived_in.got("/state") != right
    assert lived_in.got("/state") == right


def test_a_run_that_comes_back_says_again_that_its_base_model_is_gone(lived_in):
    lived_in.queue.note_run(2, "001")
    old(lived_in.root)

    def gone():
        return next(job["base_gone"] for job in lived_in.got("/state")["queue"]["jobs"] if job["id"] == 2)

    assert gone() == "/models/base.safetensors"
    file = lived_in.root / "characters" / "nova" / "runs" / "001" / "run.yaml"
    file.rename(file.with_suffix(".away"))
    assert gone() == ""
    file.with_suffix(".away").rename(file)
    assert gone() == "/models/base.safetensors"
