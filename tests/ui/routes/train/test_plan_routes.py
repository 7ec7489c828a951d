"""Base models, plans and estimates, with toy checkpoints."""

import json
from dataclasses import replace

import pytest
import yaml
from planting import plant_run

from lib_lora.hosts.host_protocol import Checkpoint
from lib_lora.remote import places
from lib_lora.runs.events import EventLog
from lib_lora.training.plan import estimate, presets
from lib_lora.training.plan.memory_fitting import fitted
from lib_lora.training.plan.step_measurement import StepMeasurement
from lib_lora.typed_settings import to_dict
from lib_lora.ui.routes.train import plan_routes
from lib_lora.ui.views import base_models


@pytest.fixture
def models(page, toy, tmp_path):
    """A model that can be trained on, and one that cannot."""
    junk = tmp_path / "junk.safetensors"
    junk.write_bytes(b"no model")
    page.host.models = [Checkpoint("Toy", toy("sd1")), Checkpoint("Junk", junk), Checkpoint("V", toy("sd2v"))]
    page.host.current = toy("sd1")
    return page.host.models


def test_base_models_are_listed_once(page, models, monkeypatch):
    toy, junk, v = page.got("/bases")
    assert (toy["title"], toy["family"], toy["usable"], toy["current"]) == ("Toy", "sd1", True, True)
    assert (junk["usable"], junk["current"]) == (False, False)
    assert "junk.safetensors" in junk["why"]
    assert (v["family"], v["side"], v["usable"]) == ("sd2", 0, True)
    monkeypatch.setattr(base_models, "inspect_base", None)
    assert page.got("/bases") == [toy, junk, v]


def test_other_machines_say_what_they_have_and_what_goes_there(page):
    assert page.got("/places") == []
    gpu = places.Graphics("NVIDIA RTX 4090", 24 << 30)
    machine = places.Machine(0.0, "3.12.1", "linux", 16, 64 << 30, 500 << 30, [gpu])
    places.save(page.root, places.Place("workshop", "gpu.example.org", "mara", 2222, machine=machine))
    [found] = page.got("/places")
    assert (found["on"], found["title"]) == ("ssh:workshop", "workshop: NVIDIA RTX 4090 (24.0 GB)")
    has = "NVIDIA RTX 4090 (24.0 GB), 64.0 GB memory, 16 cores, 500.0 GB free on the disk, Python 3.12.1"
    assert found["text"] == f"mara@gpu.example.org:2222, {has}"
    assert "base model" in found["sent"]


def test_a_list_does_not_wait_for_all(page, models, monkeypatch):
    monkeypatch.setattr(base_models, "PATIENCE", -1.0)
    assert all((one["why"], one["pending"]) == ("is being looked at", True) for one in page.got("/bases"))


def test_a_model_that_is_another_one_now_is_looked_at_again(page, models):
    page.got("/bases")
    models[1].path.write_bytes(b"another thing")
    assert base_models.known(page.root, models[1].path) is None
    page.got("/bases")
    known = json.loads((page.root / "bases.json").read_text(encoding="utf-8"))
    assert len([key for key in known if "junk" in key]) == 1


def test_a_damaged_memory_is_made_anew(page, models):
    (page.root / "bases.json").write_text("[1")
    assert len(page.got("/bases")) == 3


def test_a_plan_has_every_setting_and_its_field(page, models):
    plan = page.got(f"/plan?base={models[0].path}&character=mara")
    assert (plan["preset"], plan["family"], plan["side"], plan["fitted"]) == ("sd15-face", "sd1", 512, "")
    assert {field["key"] for field in plan["fields"]} == set(plan["settings"])
    assert plan["settings"]["lora.rank"] == 32
    assert plan["only_when_asked"] == {"preservation_weight": 1.0}
    assert not any(plan["settings"][name] for name in plan["only_when_asked"])  # off, as every preset has it
    assert [one["name"] for one in plan["presets"]] == ["sd15-face"]
    assert page.got(f"/plan?base={models[2].path}")["side"] == 768


def test_a_small_gpu_changes_the_plan(page, models, monkeypatch):
    monkeypatch.setattr(plan_routes, "gpu_memory", lambda: 4 << 30)
    plan = page.got(f"/plan?base={models[0].path}")
    assert plan["settings"]["gradient_checkpointing"] is True
    assert "gradient checkpointing" in plan["fitted"]


ALONE = {"steps": 600, "samples": 0, "likeness_curve": False}  # nothing is painted while it trains


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("", "Choose a base model"),
        ("?base=/none.ckpt", "There is no file"),
        ("?base={toy}&preset=none", "There is no preset"),
        ("?base={toy}&preset=sdxl-face", "for another family of base models"),
        ("?base={junk}", "junk.safetensors"),
    ],
)
def test_a_plan_that_cannot_be_is_said(page, models, query, sentence):
    answer = page.get("/plan" + query.format(toy=models[0].path, junk=models[1].path))
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]


def test_an_estimate_says_what_it_takes(page, models):
    page.character(photos=10)
    body = {"base": str(models[0].path), "settings": {"lora": {"rank": 4}, "batch_size": 1}}
    told = page.done("/characters/mara/estimate", body)
    assert (told["photos"], told["steps"], told["checkpoints"], told["measured"]) == (10, 1000, 10, None)
    assert told["disk_bytes"] > 10_000
    assert told["free_bytes"] > 0
    assert told["problems"] == []
    assert told["text"] == "1,000 steps with 10 photos, time not measured yet."
    dotted = {"base": str(models[0].path), "settings": {"lora.rank": 4, "batch_size": 1}}
    assert page.done("/characters/mara/estimate", dotted) == told | {
        "free_bytes": pytest.approx(told["free_bytes"], 0.1)
    }


def test_an_estimate_counts_captions_that_say_more_than_who_it_is(page, models):
    folder = page.character(photos=3)
    texts = ["photo of mrxa woman", "photo of mrxa woman, looking left"]  # and one photo has none
    for photo, text in zip(sorted(folder.photos.glob("*.jpg")), texts):
        photo.with_suffix(".txt").write_text(text, encoding="utf-8")
    told = page.done("/characters/mara/estimate", {"base": str(models[0].path)})
    assert (told["photos"], told["captioned"]) == (3, 1)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"base": "/none.ckpt"}, "base"),
        ({"settings": {"lora": {"rank": 0}}}, "lora.rank"),
        ({"settings": {"steps": "many"}}, "steps"),
        ({"settings": {"objective.huber_c": 3}}, "objective.huber_c"),
    ],
)
def test_the_setting_that_is_wrong_is_named(page, models, changes, field):
    page.character(photos=10)
    assert page.faulted("/characters/mara/estimate", {"base": str(models[0].path), **changes}) == field


def test_what_was_measured_is_in_the_answer(page, models):
    page.character(photos=10)
    base = models[0].path
    train = plan_routes.settings_of(base_models.inspect_base(page.root, base), None, ALONE)
    measured = StepMeasurement("Test GPU", 0.5, 123, 10)
    estimate.remember(page.root, base, train, measured)
    told = page.done("/characters/mara/estimate", {"base": str(base), "settings": ALONE})
    assert told["measured"] == {
        "seconds_per_step": 0.5, "peak_memory": 123, "seconds": 310.0, "device": "Test GPU", "others": 0.0,
        "painting": 0.0,
    }  # fmt: skip
    assert told["text"] == "600 steps with 10 photos, about 5 min on Test GPU."
    painting = page.done("/characters/mara/estimate", {"base": str(base), "settings": {**ALONE, "samples": 2}})
    seconds = 0.5 * 20 * 8 * 2 / 3 / 2  # 20 pictures of 8 steps
    assert painting["measured"]["seconds"] == pytest.approx(310 + seconds)
    assert painting["measured"]["painting"] == pytest.approx(seconds)
    assert painting["text"].endswith(f"; this includes {seconds:.0f} s for pictures painted along the way.")


def test_what_preservation_costs_is_reckoned_from_a_measurement_without_it(page, models):
    page.character(photos=10)
    base = models[0].path
    plain = plan_routes.settings_of(base_models.inspect_base(page.root, base), None, ALONE)
    photos_alone = {**ALONE, "preservation_weight": 1.0, "preservation_painted": 0.0}
    asked = {"base": str(base), "settings": photos_alone}
    assert page.done("/characters/mara/estimate", asked)["measured"] is None
    estimate.remember(page.root, base, plain, StepMeasurement("Test GPU", 0.5, 123, 10))
    told = page.done("/characters/mara/estimate", asked)
    assert told["measured"]["seconds"] == pytest.approx(10 + 1.5 * 300)
    assert told["text"].endswith("about 8 min on Test GPU; estimated from a measurement without preservation.")
    pictures = page.done("/characters/mara/estimate", {**asked, "settings": {**asked["settings"], "samples": 2}})
    seconds = 0.5 * 20 * 8 * 2 / 3 / 2  # as without preservation, since painting asks for nothing more
    assert pictures["measured"]["seconds"] == pytest.approx(10 + 1.5 * 300 + seconds)
    painted = {**asked, "settings": {**photos_alone, "preservation_painted": 0.5}}
    seconds = 0.5 * 24 * 8 * 2 / 3 / 2  # of 24 pictures by the base model in 8 sampling steps
    assert page.done("/characters/mara/estimate", painted)["measured"]["seconds"] == pytest.approx(
        10 + 1.5 * 300 + seconds
    )
    all_photos = {**asked, "settings": {**asked["settings"], "preservation_share": 1.0}}
    assert page.done("/characters/mara/estimate", all_photos)["measured"]["seconds"] == pytest.approx(10 + 3 * 300)
    preserving = replace(plain, preservation_weight=1.0)
    estimate.remember(page.root, base, preserving, StepMeasurement("Test GPU", 0.7, 123, 10))
    told = page.done("/characters/mara/estimate", asked)
    assert told["measured"]["seconds"] == pytest.approx(10 + 0.7 * 600)
    assert told["text"].endswith("about 7 min on Test GPU.")


@pytest.mark.parametrize(
    ("then", "now", "seconds", "text"),
    [
        (0.0, 0.0, 310, "about 5 min on the processor."),
        (0.0, 1.0, 1510, "about 25 min on the processor, of which other programs take 100 % now."),
        (1.0, 0.0, 70, "about 70 s on the processor."),
        (0.5, 0.5, 310, "about 5 min on the processor, of which other programs take 50 % now."),
    ],
)
def test_an_estimate_knows_how_busy_the_machine_is(page, models, monkeypatch, then, now, seconds, text):
    page.character(photos=10)
    base = models[0].path
    train = plan_routes.settings_of(base_models.inspect_base(page.root, base), None, ALONE)
    measured = StepMeasurement("the processor", 0.5, 1, 10, others=then)
    estimate.remember(page.root, base, train, measured)
    monkeypatch.setattr(plan_routes.cpu_load, "share_now", lambda seconds: now)
    told = page.done("/characters/mara/estimate", {"base": str(base), "settings": ALONE})
    assert told["measured"]["seconds"] == pytest.approx(seconds)
    assert told["text"].endswith(text)


def test_what_is_in_the_way_is_said(page, models, monkeypatch):
    page.character(photos=2, consent=False)
    monkeypatch.setattr(plan_routes.shutil, "disk_usage", lambda path: type("", (), {"free": 10}))
    problems = page.done("/characters/mara/estimate", {"base": str(models[0].path)})["problems"]
    assert [words in problem for words, problem in zip(("Record consent", "2 photos", "GB"), problems, strict=True)]
    page.host.is_remote = True
    body = {"base": str(models[0].path), "settings": {"class_photos": "/home"}}
    assert page.code_of("/characters/mara/estimate", body, 403) == "forbidden"


def test_photos_of_characters_in_the_same_lora_are_counted(page, models):
    page.character(photos=4)
    page.character("Tomas", photos=2, trigger="toxm")
    settings = {"passes": 6, "batch_size": 1, "accumulation": 1}

    def told(**more):
        return page.done("/characters/mara/estimate", {"base": str(models[0].path), "settings": settings | more})

    alone, together = told(), told(together=["tomas"])
    assert (alone["steps"], together["steps"]) == (24, 36)
    assert together["text"].startswith("36 steps with 6 photos")
    assert [together[key] for key in ("photos", "own", "fewest")] == [6, 4, 2]
    assert [problem.split(" in use")[0] for problem in together["problems"]] == [
        "4 photos of Mara",
        "2 photos of Tomas",
    ]
    body = {"base": str(models[0].path), "settings": {"together": ["nobody"]}}
    assert page.code_of("/characters/mara/estimate", body) == "together-unknown"


@pytest.mark.parametrize(("seconds", "said"), [(0, "1 s"), (80, "80 s"), (700, "12 min"), (3900, "1 h 5 min")])
def test_durations_in_words(seconds, said):
    assert plan_routes.in_words(seconds) == said


def work_there(train, found):
    """Steps that take as long as all that is done there: the sample pictures, and no likeness curve."""
    pictures = estimate.pictures_left(replace(train, likeness_curve=False), 0, found["steps"])
    assert pictures
    return found["steps"] + pictures * estimate.picture_steps(train)


def test_the_time_on_another_machine_is_that_of_own_runs_on_its_gpu(page, models):
    folder = page.character(photos=8)
    gpu = places.Graphics("NVIDIA RTX 4090", 24 << 30)
    machine = places.Machine(0.0, "3.12.1", "linux", 16, 64 << 30, 500 << 30, [gpu])
    places.save(page.root, places.Place("workshop", "gpu.example.org", machine=machine))
    asked = {"base": str(models[0].path), "on": "ssh:workshop"}
    assert page.done("/characters/mara/estimate", asked)["measured"] is None
    run = plant_run(folder)
    values = yaml.safe_load((run / "run.yaml").read_text(encoding="utf-8"))
    train = fitted("sd1", 24 << 30, presets.preset(None, "sd1"))[0]
    (run / "run.yaml").write_text(yaml.safe_dump({**values, "settings": to_dict(train)}), encoding="utf-8")
    (run / "events.jsonl").unlink()
    emit = EventLog(run / "events.jsonl")
    emit("state", state="preparing", device_name="NVIDIA RTX 4090")
    for step in range(20):
        emit("step", step=step + 1, total=20, seconds_per_step=0.5)
    found = page.done("/characters/mara/estimate", asked)
    assert (found["measured"]["run"], found["measured"]["seconds"]) == ("mara/001", 0.5 * work_there(train, found))
    assert "NVIDIA RTX 4090" in found["text"]
    assert page.done("/characters/mara/estimate", {**asked, "on": "local"})["measured"] is None


def test_the_time_on_another_machine_is_what_was_measured_there_where_no_run_was(page, models):
    page.character(photos=8)
    base = models[0].path
    places.save(page.root, places.Place("workshop", "gpu.example.org"))
    train = plan_routes.settings_of(base_models.inspect_base(page.root, base), None, {})
    measured = StepMeasurement("the processor", 0.5, 7, 10, others=0.9, on="ssh:workshop")
    estimate.remember(page.root, base, train, measured)
    asked = {"base": str(base), "on": "ssh:workshop"}
    found = page.done("/characters/mara/estimate", asked)
    assert found["measured"]["seconds"] == pytest.approx(
        10 + 0.5 * work_there(train, found)
    )  # its load is not this computer's
    assert page.done("/characters/mara/estimate", {**asked, "on": "local"})["measured"] is None


def test_another_machine_can_be_asked_to_measure(page, models):
    page.character(photos=8)
    places.save(page.root, places.Place("workshop", "gpu.example.org"))
    asked = {"base": str(models[0].path), "on": "ssh:workshop"}
    job = page.done("/jobs", {"kind": "probe", "character": "mara", "arguments": asked})
    assert page.queue.take("remote", "me").id == job["id"]
    for on, code in (("ssh:nowhere", "place-not-found"), ("runpod", "setting-invalid")):
        body = {"kind": "probe", "character": "mara", "arguments": {**asked, "on": on}}
        assert page.code_of("/jobs", body, 400) == code
