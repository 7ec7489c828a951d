"""What is read of a test grid's plan, where a value of it is not what it should be."""

import json

import pytest
from faults import misfit

from lib_lora.runs.records.grid_records import cells, planned

CELL = {"prompt": "photo of mrxa", "negative": "", "name": "plain", "seed": 1, "width": 128, "height": 128}


@pytest.mark.parametrize(
    "damage",
    [
        {"more": [["ink.safetensors"]]},
        {"more": [[]]},
        {"more": [["x", 10**400]]},
        {"seed": "1"},
        {"prompt": None},
        {"width": 128.5},
        {"attributes": 3},
    ],
)
def test_a_cell_that_cannot_be_read_is_left_out_and_the_others_are_there(tmp_path, damage):
    plan = {"lora": [CELL, CELL | damage, "no table", CELL | {"width": 128.0}], "leak": {"no": "list"}}
    (tmp_path / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    found = cells(tmp_path)
    assert list(found) == ["01-lora.png", "04-lora.png"]
    assert found["01-lora.png"].cell == found["04-lora.png"].cell
    with misfit("cell"):
        planned(CELL | damage)
