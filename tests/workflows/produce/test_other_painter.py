"""A production goes on with the painter that it was begun with, or not at all."""

from pathlib import Path

import pytest
from faults import raises

from lib_lora.comfyui.comfy_address import BY
from lib_lora.comfyui.comfy_api import ComfyApi
from lib_lora.comfyui.comfy_files import ComfyFiles
from lib_lora.comfyui.comfy_painter import ComfyJob, ComfyPainter
from lib_lora.comfyui.workflow import ComfyBase
from lib_lora.workflows.produce import production_store
from lib_lora.workflows.produce.produce_command import work_on
from lib_lora.workflows.produce.production import ProductionPlan
from lib_lora.workflows.produce.prompts.prompt_list import PromptRow
from lib_lora.workspace.workspace import CharacterFolder


@pytest.mark.parametrize(("by", "through_comfyui"), [(BY, False), ("", True), ("webui", True)])
def test_it_is_not_mixed(tmp_path, by, through_comfyui):
    plan = ProductionPlan("001", 100, 1.0, "0" * 64, [PromptRow("x")], 1, by=by)
    folder = production_store.make(CharacterFolder(tmp_path), plan)
    api = ComfyApi("127.0.0.1")
    comfy = ComfyPainter(api, ComfyFiles(api), ComfyJob(ComfyBase("x", "sd1", "epsilon"), "x"))
    with raises("production-of-other-painter", folder.id):
        work_on(None, folder, None, lambda *_: None, painter=comfy if through_comfyui else None)
    assert list(Path(folder.pictures).iterdir()) == []
