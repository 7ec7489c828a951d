"""An export whose pictures are signed: the copies and the contact sheet, not what they are copies of."""

import io
import json

import pytest
from PIL import Image

from lib_lora.content_credentials.certificates import home_made
from lib_lora.pictures import Cell, save_picture
from lib_lora.workflows.produce import production_store
from lib_lora.workflows.produce.production import PaintedTry, ProductionPlan
from lib_lora.workflows.produce.production_export import export
from lib_lora.workflows.produce.prompts.prompt_list import PromptRow
from lib_lora.workspace.workspace import CharacterFolder

c2pa = pytest.importorskip("c2pa", reason="the package c2pa-python is not installed")


def test_every_picture_of_it_is_signed(tmp_path):
    plan = ProductionPlan("001", 100, 1.0, "0" * 64, [PromptRow("x")], 1)
    folder = production_store.make(CharacterFolder(tmp_path / "mara"), plan)
    one = PaintedTry(1, 1, "00001-01.png", 7, "x", True)
    save_picture(folder.pictures / one.file, Image.new("RGB", (64, 64), "red"), Cell("x", "", 7))
    before = (folder.pictures / one.file).read_bytes()
    out = export(folder, "Mara", [one], tmp_path / "out", home_made(tmp_path / "home-made.pem"))
    assert (folder.pictures / one.file).read_bytes() == before
    for name, kind in (("mara-001-00001.png", "image/png"), ("sheet-001.jpg", "image/jpeg")):
        with c2pa.Reader(kind, io.BytesIO((out / name).read_bytes())) as reader:
            found = json.loads(reader.json())
        assert found["validation_state"] == "Valid"
        assert found["manifests"][found["active_manifest"]]["title"] == name
    assert (out / "mara-001-00001.txt").read_text(encoding="utf-8") == "x"
