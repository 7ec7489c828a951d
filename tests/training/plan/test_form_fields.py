"""The form of the settings: every setting is in it, with a title, one line and its default."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from faults import misfit, raises

from lib_lora import typed_settings
from lib_lora.lora.adapter_settings import LoraSettings
from lib_lora.training.objective.objective_settings import ObjectiveSettings
from lib_lora.training.plan import form_fields
from lib_lora.training.plan.presets import preset, presets
from lib_lora.training.plan.train_settings import TrainSettings

ALL = form_fields.fields()
DOCUMENT = Path(__file__).parents[3] / "docs" / "settings.md"


def test_every_setting_is_a_field():
    own = {item.name for item in fields(TrainSettings)} - {"preset", "version", "lora", "objective"}
    inner = {f"lora.{item.name}" for item in fields(LoraSettings)}
    inner |= {f"objective.{item.name}" for item in fields(ObjectiveSettings)}
    assert [field["key"] for field in ALL] == list(dict.fromkeys(field["key"] for field in ALL))
    assert {field["key"] for field in ALL} == own | inner


@pytest.mark.parametrize("field", ALL, ids=lambda field: field["key"])
def test_a_field_can_be_shown(field):
    assert field["label"] == field["label"].strip() != ""
    assert 10 < len(field["text"]) < 200
    assert "\n" not in field["text"]
    assert "`" not in field["text"]
    assert field["text"][0] == field["text"][0].upper()
    assert field["text"].endswith(".")
    assert field["group"] in ("Training", "Photos", "LoRA", "Objective")
    assert field["kind"] in ("int", "float", "bool", "choice", "text", "lines")
    assert bool(field["choices"]) == (field["kind"] == "choice")
    kinds = {"int": int, "float": float, "bool": bool, "text": str, "choice": str, "lines": list}
    default = field["default"]
    assert (default is None and field["optional"]) or type(default) is kinds[field["kind"]]
    assert field["kind"] != "choice" or default in field["choices"]


def test_labels_are_distinct():
    assert len({(field["group"], field["label"]) for field in ALL}) == len(ALL)


def test_defaults_round_trip():
    values = {field["key"]: field["default"] for field in ALL}
    assert typed_settings.from_dict(TrainSettings, typed_settings.nested(values)) == TrainSettings()
    assert form_fields.flat(TrainSettings()) == values


@pytest.mark.parametrize("name", presets())
def test_presets_round_trip(name):
    family, one = presets()[name]
    train = preset(name, family.name, narrow=one.narrow)
    values = form_fields.flat(train)
    assert preset(name, family.name, typed_settings.nested(values), narrow=one.narrow) == train


@pytest.mark.parametrize(
    "values", [{"lora.rnak": 4}, {"lora": 5, "lora.rank": 4}, {"lora.rank": 4, "lora": 5}, {"lora.rank.x": 4}, {"": 1}]
)
def test_what_is_no_setting_is_refused(values):
    with raises(("setting-unknown", "settings-not-a-table")):
        form_fields.checked(values)


def test_some_fields_as_they_are():
    by_key = {field["key"]: field for field in ALL}
    assert by_key["class_photos"] == {
        "key": "class_photos",
        "label": "Folder of class pictures",
        "text": "Folder of pictures of the class (without the character) for prior preservation, or none. With plain"
        " captions, LoRAs of the small base model then hardly followed prompts.",
        "kind": "text",
        "choices": [],
        "default": None,
        "group": "Photos",
        "optional": True,
        "path": True,
        "example": "",
    }
    assert by_key["lora.te_rank"]["kind"] == "int"
    assert by_key["objective.loss_type"]["choices"] == ["l2", "l1", "huber", "smooth_l1"]
    assert by_key["objective.min_timestep"]["text"] == by_key["objective.max_timestep"]["text"]
    assert by_key["precision"]["text"].endswith("fp16 on a GPU and fp32 on a CPU.")


def test_the_document_is_the_settings_of_this_version():
    written = DOCUMENT.read_text(encoding="utf-8")
    made = form_fields.document()
    assert written == made, "run: python -m lib_lora.training.plan.form_fields > docs/settings.md"


def test_each_setting_has_a_row_in_the_document():
    rows = [line for line in form_fields.document().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [field["key"] for field in ALL]
    assert "| `lora.te_rank` | Text encoder rank | null |" in form_fields.document()
    assert "multiplied by \\|mean\\|" in form_fields.document()  # a bar would end the cell


@pytest.mark.parametrize(
    ("kind", "name", "least"),
    [
        (kind, field.name, field.metadata["least"])
        for kind in (TrainSettings, LoraSettings, ObjectiveSettings)
        for field in fields(kind)
        if "least" in field.metadata
    ],
)
def test_the_least_value_of_the_metadata_is_held(kind, name, least):
    assert getattr(kind(**{name: least}), name) == least
    with misfit(name, least - 1, least):
        kind(**{name: least - 1})


def test_presets_are_listed():
    assert [one["name"] for one in form_fields.preset_entries()] == list(presets())
    assert all(20 < len(one["text"]) < 200 for one in form_fields.preset_entries())
    assert [one["name"] for one in form_fields.preset_entries("sd1")] == ["sd15-face"]
    assert [one["name"] for one in form_fields.preset_entries("sd1", narrow=True)] == ["sd15-face", "mini-face"]
    assert [one["name"] for one in form_fields.preset_entries("sdxl")] == ["sdxl-face"]


def test_nothing_of_it_loads_torch():
    modules = ("form_fields", "estimate", "memory_fitting", "presets", "train_settings", "run_file")
    code = "; ".join(f"import lib_lora.training.plan.{name}" for name in modules)
    code += "; import sys; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False).returncode == 0
