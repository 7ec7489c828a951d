"""The workflow of a delivered LoRA: beside it, as a picture that ComfyUI opens, and in ComfyUI's own list."""

import json
from dataclasses import replace

import pytest
import torch
from fake_comfyui import FakeComfy
from PIL import Image
from safetensors.torch import load_file, save_file

from lib_lora.comfyui.workflow import ComfyBase
from lib_lora.deploy.comfyui import ComfyFolders
from lib_lora.deploy.comfyui_workflows import Recipe, write_workflows
from lib_lora.grid.picture_origin import read_origin
from lib_lora.lora.bundled import bundled_tensors
from lib_lora.lora.key_names import kohya_name
from lib_lora.models.families.registry import family_named
from lib_lora.pictures import Cell, save_picture

CELL = Cell("portrait photo of mrxa woman", "blurry", seed=-1, width=512, height=512)


@pytest.fixture
def there(tmp_path):
    (tmp_path / "loras" / "faces").mkdir(parents=True)
    return ComfyFolders(tmp_path / "loras", tmp_path / "user" / "default" / "workflows")


def recipe(**values):
    return Recipe(CELL, ComfyBase("base.safetensors", "sd1", "epsilon"), **values)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_it_loads_the_lora_with_trigger_and_weight(there):
    lora = there.loras / "faces" / "mara v1.5.safetensors"
    written = write_workflows(lora, there, recipe(weight=0.8))
    names = ["mara v1.5.workflow.png", "mara v1.5.workflow.json", "mara v1.5.workflow-api.json", "mara v1.5.json"]
    assert [one.name for one in written] == names
    prompt = read(written[2])
    name = str(lora.relative_to(there.loras))
    assert prompt["20"]["inputs"]["lora_name"] == name
    assert (prompt["20"]["inputs"]["strength_model"], prompt["20"]["inputs"]["strength_clip"]) == (0.8, 0.8)
    assert prompt["6"]["inputs"]["text"] == "portrait photo of mrxa woman"
    assert prompt["9"]["inputs"]["filename_prefix"] == "mara v1.5"
    assert FakeComfy(loras={name: None}).refusal(prompt) is None
    with Image.open(written[0]) as image:
        assert json.loads(image.text["prompt"]) == prompt
        assert json.loads(image.text["workflow"]) == read(written[1])


def test_the_picture_is_a_painted_one_and_says_so(there, tmp_path):
    save_picture(tmp_path / "a.png", Image.new("RGB", (64, 96), "red"), CELL)
    written = write_workflows(there.loras / "mara.safetensors", there, recipe(picture=tmp_path / "a.png"))
    assert read_origin(written[0]).kind == "painted"
    with Image.open(written[0]) as image:
        assert (image.size, image.getpixel((0, 0))) == ((64, 96), (255, 0, 0))
        assert "trainedAlgorithmicMedia" in image.text["XML:com.adobe.xmp"]
    (tmp_path / "a.png").write_bytes(b"broken")
    again = write_workflows(there.loras / "mara.safetensors", there, recipe(picture=tmp_path / "a.png"))
    with Image.open(again[0]) as image:
        assert "workflow" in image.text


def test_what_the_user_has_changed_in_comfyui_stays(there):
    lora = there.loras / "mara.safetensors"
    listed = write_workflows(lora, there, recipe())[3]
    assert len(write_workflows(lora, there, recipe(weight=0.5))) == 4  # as it was written: it is renewed
    theirs = read(listed)
    assert theirs["nodes"][1]["widgets_values"][1] == 0.5
    theirs["extra"]["ds"] = {"scale": 1}  # how ComfyUI's page was scrolled
    listed.write_text(json.dumps(theirs), encoding="utf-8")
    assert len(write_workflows(lora, there, recipe())) == 4
    theirs["nodes"][1]["widgets_values"][1] = 0.9
    for text in (json.dumps(theirs), "{}", "[]", "no JSON"):
        listed.write_text(text, encoding="utf-8")
        assert len(write_workflows(lora, there, recipe())) == 3
        assert listed.read_text(encoding="utf-8") == text


def test_without_a_known_place_for_workflows(there):
    written = write_workflows(there.loras / "mara.safetensors", ComfyFolders(there.loras), recipe())
    assert len(written) == 3


def test_the_words_of_a_lora_with_vectors_are_embeddings_to_comfyui(there, tmp_path):
    lora = there.loras / "mara.safetensors"
    vectors = torch.ones(2, 64)
    layer = kohya_name("sd1", "unet", family_named("sd1").adapter_paths("unet", False)[0])
    whole = {f"{layer}.lora_down.weight": torch.ones(1, 2), f"{layer}.lora_up.weight": torch.ones(2, 1)}
    save_file({**whole, f"{layer}.alpha": torch.tensor(1.0), **bundled_tensors("mrxa", [vectors])}, str(lora))
    cell = replace(CELL, prompt="photo of (MRXA:1.1), mrxa's mrxab, mrxa")
    embeddings = tmp_path / "models" / "embeddings"
    told = "photo of (embedding:{0}:1.1), embedding:{0} 's mrxab, embedding:{0}"

    def prompt(folders):
        written = write_workflows(lora, folders, Recipe(cell, ComfyBase("base.safetensors", "sd1", "epsilon")))
        return read(written[2])["6"]["inputs"]["text"]

    assert prompt(there) == told.format("mara")  # the user is to put it there
    assert not embeddings.exists()
    for _ in range(2):
        assert prompt(replace(there, embeddings=embeddings)) == told.format("mara")
        assert torch.equal(load_file(embeddings / "mara.safetensors")["emb_params"], vectors)
    (embeddings / "mara.safetensors").write_bytes(b"the user's")
    assert prompt(replace(there, embeddings=embeddings)) == told.format("mara-v2")
    assert (embeddings / "mara.safetensors").read_bytes() == b"the user's"
