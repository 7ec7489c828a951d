"""What is sent to a painter on another machine comes out there as it went in."""

import json
from pathlib import Path

import pytest
from faults import raises

from lib_lora.files import write_json
from lib_lora.pictures import Cell
from lib_lora.workflows.judge.painting.sent_plans import (
    SETUP,
    PainterSetup,
    plan_file,
    plan_values,
    read_plan,
    read_setup,
)

HERE = Path("here")
PLAIN = Cell("mrxa woman", "blurry", seed=7)
FULL = Cell(
    "mrxa woman, 名前", "", seed=8, lora=HERE / "Mara.safetensors", weight=0.8, attributes=("red coat",), variation=0.1,
    start=HERE / "start.png", strength=0.5, more=((HERE / "ink.safetensors", 0.6),),
)  # fmt: skip
NAMES = {HERE / "Mara.safetensors": "loras/a.safetensors", HERE / "ink.safetensors": "loras/b.safetensors",
         HERE / "start.png": "starts/c.png"}  # fmt: skip


def _sent(data, values):
    path = data / plan_file("0001")
    path.parent.mkdir()
    write_json(path, values)


def test_a_plan_comes_out_as_it_went_in(tmp_path):
    _sent(tmp_path, plan_values([PLAIN, FULL], NAMES))
    plain, full = read_plan(tmp_path, "0001")
    assert plain == PLAIN
    assert full.lora == tmp_path / "loras" / "a.safetensors"
    assert full.start == tmp_path / "starts" / "c.png"
    assert full.more == ((tmp_path / "loras" / "b.safetensors", 0.6),)
    same = {name: value for name, value in vars(full).items() if name not in ("lora", "start", "more")}
    assert same == {name: value for name, value in vars(FULL).items() if name in same}


def test_a_setup_comes_out_as_it_went_in(tmp_path):
    setup = PainterSetup("/base/x.safetensors", "v", "bf16", 2, 1800.0)
    write_json(tmp_path / SETUP, setup.values())
    assert list(json.loads((tmp_path / SETUP).read_text(encoding="utf-8"))) == [
        "base", "prediction", "precision", "clip_skip", "forgotten"
    ]  # fmt: skip
    assert read_setup(tmp_path) == setup
    write_json(tmp_path / SETUP, {**setup.values(), "precision": "fp8"})
    with raises("setting-not-a-choice"):
        read_setup(tmp_path)


ROW = plan_values([PLAIN], {})["cells"][0]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ([], "painting-plan-damaged"),
        ({"cells": 3}, "painting-plan-damaged"),
        ({"cells": [3]}, "painting-plan-damaged"),
        ({"cells": [{**ROW, "more": [3]}]}, "painting-plan-damaged"),
        ({"cells": [{}]}, "setting-missing"),
        ({"cells": [{**ROW, "seed": "x"}]}, "setting-wrong-type"),
    ],
)
def test_a_damaged_plan_is_one_sentence(tmp_path, values, code):
    _sent(tmp_path, values)
    with raises(code):
        read_plan(tmp_path, "0001")
