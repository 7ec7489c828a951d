"""The command about many jobs at once; tests/workflows/fleet has what it does."""

import json

import pytest
from planting import plant_run

from lib_lora.character.store import Character, create
from lib_lora.queue.job_types import ProduceArguments
from lib_lora.queue.queue import Queue
from lib_lora.remote import base_addresses, places
from lib_lora.remote.places import Place
from lib_lora.training.plan.run_file import load_run
from lib_lora.workflows.produce import production_store
from lib_lora.workspace.workspace import Workspace

ADDRESS = "https://example.org/base.safetensors"


@pytest.fixture
def data(tmp_path):
    for name in ("Mara", "Lena"):
        create(tmp_path, Character(name=name, trigger="mrxa", class_word="woman"))
    places.save(tmp_path, Place("attic", "gpu.example.org"))
    return tmp_path


def test_a_study_is_put_in_line_shown_and_stopped(main, data, toy):
    given = ("--base", toy("sd1"), "--vary", "lora.rank=4,8", "--seeds", "1", "2", "--on", "ssh:attic", "--data", data)
    made = main("fleet", "study", "Mara", "Lena", *given, "--no-wait", "--json")
    assert made.status == 0
    values = json.loads(made.out)
    assert [row["settings"] for row in values["rows"][:2]] == [{"lora.rank": 4, "seed": 1}, {"lora.rank": 4, "seed": 2}]
    jobs = Queue(data).open()
    assert len(jobs) == len(values["rows"]) == 8
    assert jobs[0].arguments.settings == {"lora": {"rank": 4}, "seed": 1}
    assert "001" in main("fleet", "list", "--data", data).out
    assert "8 waiting" in main("fleet", "show", "1", "--data", data).out
    assert main("fleet", "stop", "001", "--data", data).out == "8 jobs of fleet 001 will stop.\n"
    assert "8 stopped" in main("fleet", "show", "1", "--data", data).out
    assert "8 waiting" in main("fleet", "resume", "1", "--no-wait", "--data", data).out


def test_every_character_is_searched(main, data):
    said = main("fleet", "choose", "--all", "--weights", "0.8", "1", "--on", "ssh:attic", "--no-wait", "--data", data)
    assert said.status == 0
    jobs = Queue(data).open()
    assert [job.character for job in jobs] == ["Lena", "Mara"]
    assert jobs[0].arguments.weights == [0.8, 1.0]


def test_a_search_on_other_machines_fetches_the_base_model_from_the_address(main, data):
    run = load_run(plant_run(Workspace(data).character("Mara"), saved=[50]))
    plant_run(Workspace(data).character("Lena"), saved=[50])
    said = main("fleet", "choose", "--all", "--on", "ssh:attic", "--no-wait", "--data", data, "--base-address", ADDRESS)
    assert said.status == 0
    assert base_addresses.known(data, run.file.base.sha256) == ADDRESS


@pytest.mark.once("who is painted is ours; what is painted is repeated in test_diffusers_painter.py")
def test_pictures_of_many_characters_are_produced(main, copied, tmp_path):
    """Each has a production of its own, which its job paints; who asks again is told of that job, or takes it up."""
    root = copied.root
    places.save(root, Place("attic", "gpu.example.org"))
    prompts = tmp_path / "Prompts ü.txt"
    prompts.write_text("in a café\nat the sea\n", encoding="utf-8")
    asked = ("fleet", "produce", "--all", "--prompts", prompts, "--count", 5, "--on", "ssh:attic", "--no-wait")
    said = main(*asked, "--data", root)
    assert said.status == 0
    [job] = Queue(root).open()
    folder = Workspace(root).character(job.character)
    assert isinstance(job.arguments, ProduceArguments)
    assert (job.arguments.on, job.arguments.production) == ("ssh:attic", "001")
    plan = production_store.named(folder, "001").plan()
    assert (plan.count, [row.prompt for row in plan.prompts]) == (5, ["in a café", "at the sea"])
    again = main(*asked, "--data", root)
    assert (again.status, again.code) == (2, "production-has-job")
    assert [one.id for one in Queue(root).open()] == [job.id]
    Queue(root).wish(job.id, "stop")
    assert "1 stopped" in main("fleet", "show", "1", "--data", root).out
    assert main(*asked, "--data", root).status == 0
    assert [one.arguments.production for one in Queue(root).open()] == ["001"]


def test_productions_on_a_gpu_that_cannot_be_rented_are_not_begun(main, copied, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("at the sea\n", encoding="utf-8")
    said = main("fleet", "produce", "--all", "--prompts", prompts, "--on", "runpod", "--data", copied.root)
    assert (said.status, said.code) == (2, "runpod-key-missing")
    assert not list(copied.root.rglob("productions"))
    assert not Workspace(copied.root).fleets.exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("train", "Nobody", "--base", "BASE"), "character-not-found"),
        (("train", "--base", "BASE"), "fleet-empty"),
        (("train", "Mara"), "base-model-not-chosen"),
        (("train", "Mara", "--base", "BASE", "--vary", "lora.rank=4"), "vary-without-study"),
        (("train", "Mara", "--base", "BASE", "--on", "ssh:cellar"), "place-not-found"),
        (("study", "Mara", "--base", "BASE"), "study-without-variation"),
        (("study", "Mara", "--base", "BASE", "--vary", "lora.rank"), "vary-without-values"),
        (("study", "Mara", "--base", "BASE", "--vary", "lora.rank=4,"), "vary-without-values"),
        (("study", "Mara", "--base", "BASE", "--vary", "lora.rnak=4,8"), "setting-unknown"),
        (("study", "Mara", "--base", "BASE", "--vary", "lora.rank=4,many"), "setting-wrong-type"),
        (("choose", "Mara", "--on", "runpod"), "run-none-yet"),
        (("choose", "Mara", "--weights", "9"), "setting-invalid"),
        (("choose", "Mara", "--on", "ssh:attic", "--base-address", "https://example.org/a"), "run-none-yet"),
        (("choose", "Mara", "--base-address", "https://example.org/a"), "base-address-without-place"),
        (("produce", "Mara", "--on", "ssh:attic"), "prompts-not-named"),
        (("produce", "Mara", "--on", "ssh:attic", "--prompts", "missing.txt"), "file-missing"),
        (("show",), "fleet-not-named"),
        (("show", "1", "2"), "fleet-not-named"),
        (("follow", "7"), "fleet-not-found"),
        (("train", "Mara", "--base", "BASE", "--max-cost", "3"), "rental-without-runpod"),
    ],
)
def test_what_cannot_be_is_one_sentence(main, data, toy, words, code):
    said = main("fleet", *(toy("sd1") if word == "BASE" else word for word in words), "--data", data)
    assert (said.status, said.code) == (2, code)
    assert not Workspace(data).queue_file.is_file()
    assert not Workspace(data).fleets.exists()
