"""The words for txt2img: a webui takes them apart again, and finds the LoRA, the prompt and the values."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from lib_lora.character.store import Character
from lib_lora.deploy.infotext import infotext, portrait
from lib_lora.pictures import Cell
from lib_lora.runs.records.grid_records import planned
from lib_lora.runs.records.origin import portrait_of
from lib_lora.training.plan.run_file import Run, RunBase, RunFile
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.typed_settings import to_dict


def made(family="sd1", prediction="epsilon", traits=(), **values):
    character = Character("Mara 名前", "mrxa", "woman", traits=list(traits))
    settings = TrainSettings(**values)
    base = RunBase("/models/base.safetensors", "0" * 64, family, prediction, False, 7.0)
    return Run(None, RunFile("001", "mara-001", "2026-01-01T00:00:00+00:00", character, base, settings, [], "", {}))


def taken_apart(text):
    """As A1111 1.10 does (`modules.infotext_utils.parse_generation_parameters`)."""
    *lines, last = text.strip().split("\n")
    pairs = re.findall(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)', last)
    if len(pairs) < 3:
        lines, pairs = [*lines, last], []
    found, negative, positive = dict(pairs), [], []
    target = positive
    for line in lines:
        if line.strip().startswith("Negative prompt:"):
            target, line = negative, line.strip()[16:].strip()
        target.append(line)
    return "\n".join(positive), "\n".join(negative), found


def test_a_portrait_where_no_picture_was_chosen():
    positive, negative, values = taken_apart(infotext(portrait_of(made(traits=["a scar"])), "mara-001-000840", 0.8))
    assert positive == "portrait photo of mrxa woman, a scar, looking at the camera <lora:mara-001-000840:0.8>"
    assert negative == "blurry, deformed, extra limbs, lowres"
    assert values == {"Steps": "20", "Sampler": "Euler", "CFG scale": "7", "Seed": "-1", "Size": "512x512"}


def test_a_painted_picture_comes_with_all_its_values():
    cell = Cell("photo of mrxa woman,\n laughing: 名前", "", 4_294_967_295, None, 1.0, 512, 768, 30, 5.5, "DPM++ 2M")
    positive, negative, values = taken_apart(infotext(cell, "mara", 1.0, 2))
    assert positive == "photo of mrxa woman, laughing: 名前 <lora:mara:1>"
    assert negative == ""
    assert values == {
        "Steps": "30",
        "Sampler": "DPM++ 2M",
        "CFG scale": "5.5",
        "Seed": "4294967295",
        "Size": "512x768",
        "Clip skip": "2",
    }


@pytest.mark.parametrize(
    ("family", "prediction", "resolution", "size"),
    [
        ("sd1", "epsilon", 128, "128x128"),
        ("sd2", "v", 0, "768x768"),
        ("sd2", "epsilon", 0, "512x512"),
        ("sdxl", "epsilon", 0, "1024x1024"),
        ("sdxl", "v", 0, "1024x1024"),
        ("sd1", "v", 0, "512x512"),
    ],
)
def test_the_size_is_that_of_the_training(family, prediction, resolution, size):
    cell = portrait_of(made(family, prediction, resolution=resolution))
    assert taken_apart(infotext(cell, "x"))[2]["Size"] == size


@pytest.mark.parametrize(("weight", "written"), [(0, "1"), (0.85, "0.85"), (1 / 3, "0.3333"), (1.0, "1")])
def test_the_weight_is_a_plain_number(weight, written):
    text = infotext(portrait(Character("Mara", "mrxa", "woman"), 512, 7.0), "a-b.c", weight)
    assert text.split("\n")[0].endswith(f"<lora:a-b.c:{written}>")


def test_a_cell_of_a_plan_is_what_it_was():
    cell = Cell("photo of mrxa", "", 3, Path("a.safetensors"), 0.8, attributes=("red coat",), name="coat")
    values = {**to_dict(cell), "lora": "a.safetensors", "role": "lora"}
    assert planned(values) == replace(cell, lora=None)
