"""ComfyUI's folder for LoRAs: found where people point at, and never made up."""

import pytest
from faults import raises

from lib_lora.deploy.comfyui import folder


@pytest.fixture
def comfy(tmp_path):
    home = tmp_path / "Comfy ü" / "ComfyUI"
    (home / "models" / "loras").mkdir(parents=True)
    return home


def test_its_own_folder_from_wherever_one_points(comfy):
    loras = comfy / "models" / "loras"
    assert folder(comfy) == folder(comfy.parent) == folder(loras) == loras


@pytest.mark.parametrize("below", [False, True])
def test_the_folders_that_its_extra_file_names(comfy, tmp_path, below):
    (comfy / "models" / "loras").rmdir()
    theirs = tmp_path / "webui 名前" / "models" / "Lora"
    theirs.mkdir(parents=True)
    text = (
        f"other: 3\nempty:\na111:\n  base_path: {theirs.parents[1]}\n  loras: |\n    models/LyCORIS\n    models/Lora\n"
    )
    (comfy / "extra_model_paths.yaml").write_text(text, encoding="utf-8")
    assert folder(comfy.parent if below else comfy) == theirs


def test_a_base_path_may_be_relative_or_missing(comfy):
    (comfy / "models" / "loras").rename(comfy / "mine")
    (comfy / "extra_model_paths.yaml").write_text("x:\n  loras: mine\n", encoding="utf-8")
    assert folder(comfy).samefile(comfy / "mine")
    (comfy / "extra_model_paths.yaml").write_text("x:\n  base_path: ../ComfyUI\n  loras: mine\n", encoding="utf-8")
    assert folder(comfy).samefile(comfy / "mine")


@pytest.mark.parametrize("text", [None, "", "[", "- a", "a: {loras: 3}", "a: {loras: nowhere}", "\ud800"])
def test_anything_else_is_one_sentence(tmp_path, text):
    if text is not None:
        (tmp_path / "extra_model_paths.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    with raises("comfyui-folder-invalid"):
        folder(tmp_path)
    assert not (tmp_path / "models").exists()
    with raises("comfyui-folder-invalid"):
        folder(tmp_path / "nowhere")
