"""The commands that use ComfyUI, with a stand-in that paints plain pictures; see also tests/comfyui."""

import json
from pathlib import Path

import pytest
from fake_comfyui import fake_comfyui
from job_fixtures import NAME
from PIL import Image

from lib_lora.runs.records import run_records
from lib_lora.training.plan.run_file import load_run

pytestmark = pytest.mark.once("another program paints")


@pytest.fixture
def comfy(copied, tmp_path):
    with fake_comfyui() as found:
        found.folder = tmp_path / "ComfyUI" / "models" / "loras"
        found.folder.mkdir(parents=True)
        (found.folder.parents[1] / "main.py").touch()
        found.checkpoints = [Path(run_of(copied).file.base.path).name]
        yield found


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("at the sea\n", encoding="utf-8")
    return path


def run_of(copied):
    return load_run(next((copied.root / "characters").glob("*/runs/*/run.yaml")).parent)


def test_a_production_is_painted_there_and_belongs_to_it(main, copied, comfy, prompts):
    words = ("produce", NAME, "--prompts", prompts, "--count", 2, "--tries", 1, "--grid-steps", 1, "--json")
    words += ("--data", copied.root)
    put = main("use", NAME, "--comfyui", comfy.folder, "--data", copied.root)
    assert put.status == 0
    made = json.loads(main(*words, "--comfyui", comfy.address).out)
    assert (made["production"], made["painted"]) == ("001", 2)
    assert len(comfy.painted) == 2
    node = next(one for one in comfy.painted[0].values() if one["class_type"] == "LoraLoader")
    assert node["inputs"]["lora_name"].endswith(".safetensors")
    again = json.loads(main(*words, "--comfyui", comfy.address).out)
    assert (again["production"], len(comfy.painted)) == ("001", 2)
    picture = sorted(Path(made["folder"]).glob("pictures/*.png"))[0]
    with Image.open(picture) as image:
        assert image.text["parameters"].endswith("Version: ComfyUI")
    ours = json.loads(main(*words).out)
    assert (ours["production"], len(comfy.painted)) == ("002", 2)  # diffusers begins one of its own


def test_what_needs_no_picture_needs_no_comfyui(main, copied, comfy, prompts):
    words = ("produce", NAME, "--prompts", prompts, "--tries", 1, "--grid-steps", 1, "--json", "--data", copied.root)
    words += ("--comfyui", comfy.address)
    main("use", NAME, "--comfyui", comfy.folder, "--data", copied.root)
    folder = Path(json.loads(main(*words).out)["folder"])
    comfy.answer["/system_stats"] = b"gone"
    asked = len(comfy.asked)
    again = main(*words)  # all of it is finished
    assert (again.status, json.loads(again.out)["painted"], len(comfy.asked)) == (1, 1, asked)
    (folder / "log.jsonl").write_text("", encoding="utf-8")  # painted, and not judged any more
    again = main(*words)
    assert (again.status, json.loads(again.out)["painted"], len(comfy.asked)) == (1, 1, asked)
    next(folder.glob("pictures/*.png")).unlink()
    (folder / "log.jsonl").write_text("", encoding="utf-8")
    assert main(*words).code == "comfyui-answer-unreadable"


def test_use_copies_the_lora_with_its_workflow(main, copied, comfy):
    said = json.loads(main("use", NAME, "--comfyui", comfy.folder.parents[1], "--json", "--data", copied.root).out)
    assert Path(said["file"]).parent == comfy.folder
    assert [Path(one).suffix for one in said["workflows"]] == [".png", ".json", ".json", ".json"]
    assert Path(said["workflows"][3]).parent == comfy.folder.parents[1] / "user" / "default" / "workflows"
    prompt = json.loads(Path(said["workflows"][2]).read_text(encoding="utf-8"))
    assert comfy.refusal(prompt) is None
    (use,) = run_records.uses(run_of(copied).folder)
    assert use["to"] == "ComfyUI"


def test_use_copies_it_anywhere_with_a_licence_that_the_user_names(main, copied, tmp_path):
    words = ("use", NAME, "--to", tmp_path / "out", "--base-licence", "CC0", "--data", copied.root)
    assert f"is in {tmp_path / 'out'}." in main(*words).out
    (lora,) = (tmp_path / "out").glob("*.safetensors")
    assert b'"modelspec.license":"CC0"' in lora.read_bytes().replace(b": ", b":")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("grid", NAME, "--comfyui", "a b"), "comfyui-address-invalid"),
        (("grid", NAME, "--comfyui", "--on", "ssh:x"), "comfyui-and-place"),
        (("use", NAME, "--comfyui"), "comfyui-folder-not-named"),
        (("use", NAME, "--comfyui", "nowhere"), "comfyui-folder-invalid"),
        (("productions", NAME, "1", "--c2pa"), "c2pa-without-export"),
        (("productions", NAME, "1", "--export", "x", "--c2pa-key", "y"), "c2pa-without-export"),
    ],
)
def test_what_cannot_be_is_one_sentence(main, copied, words, code):
    said = main(*words, "--data", copied.root)
    assert (said.status, said.code) == (2, code)
    assert not list((copied.root / "characters").rglob("productions/*/pictures/*"))


def test_what_comfyui_lacks_is_said_before_anything_is_painted(main, copied, comfy):
    words = ("grid", NAME, "--quick", "--grid-steps", 1, "--comfyui", comfy.address, "--data", copied.root)
    comfy.checkpoints = ["another.safetensors"]
    assert main(*words).code == "comfyui-checkpoint-missing"
    comfy.checkpoints = [Path(run_of(copied).file.base.path).name]
    assert main(*words).code == "comfyui-lora-missing"
    assert comfy.painted == []


def test_a_grid_is_painted_there_with_and_without_the_lora(main, copied, comfy):
    main("use", NAME, "--comfyui", comfy.folder, "--data", copied.root)
    words = ("grid", NAME, "--quick", "--grid-steps", 1, "--comfyui", comfy.address, "--json", "--data", copied.root)
    said = main(*words)
    assert said.status == 4  # plain pictures show no face
    with_lora = ["20" in prompt for prompt in comfy.painted]
    assert (with_lora.count(True), with_lora.count(False)) == (12, 8)
    plan = json.loads((Path(json.loads(said.out)["folder"]) / "plan.json").read_text(encoding="utf-8"))
    assert plan["by"] == "comfyui"
