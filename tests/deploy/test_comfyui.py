"""ComfyUI's folder for LoRAs: found where people point at, and never made up."""

import pytest
from faults import raises

from lib_lora.deploy.comfyui import folder, folders


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


def test_a_default_folder_comes_before_its_own(comfy, tmp_path):
    for name in ("first", "second", "third"):
        (tmp_path / name / "lo ras").mkdir(parents=True)
    text = f"""
one:
  base_path: {tmp_path / "first"}
  loras: |
    nowhere
    lo ras
two:
  is_default: true
  loras: |

    {tmp_path / "second" / "lo ras"}
    {tmp_path / "third" / "lo ras"}
"""
    (comfy / "extra_model_paths.yaml").write_text(text, encoding="utf-8-sig")
    assert folder(comfy) == tmp_path / "second" / "lo ras"
    text = text.replace("is_default: true", "is_default: 'yes'")
    (comfy / "extra_model_paths.yaml").write_text(text, encoding="utf-8")
    assert folder(comfy) == comfy / "models" / "loras"


def test_the_file_itself_as_it_is_given_to_comfyui(tmp_path, monkeypatch):
    theirs = tmp_path / "home" / "sd" / "models" / "Lora"
    theirs.mkdir(parents=True)
    file = tmp_path / "my paths.YAML"
    monkeypatch.setenv("SD_HOME", str(tmp_path / "home" / "sd"))
    file.write_text("a111:\n  base_path: ${SD_HOME}\n  loras: models/Lora\n", encoding="utf-8")
    assert folder(file) == theirs
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    file.write_text("a111:\n  base_path: ~/sd\n  loras: models/Lora/\n", encoding="utf-8")
    assert folder(file) == theirs
    file.write_text("a111:\n  base_path: ~/sd\n  loras: models/nothing\n", encoding="utf-8")
    with raises("comfyui-folder-invalid"):
        folder(file)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a]\nc: {loras: *b, base_path: *b}",
        "a: {loras: 'x', base_path: {y: z}}",
        "a: {loras: 'x', base_path: 3}",
        "a: {loras: !!python/object/apply:os.system [echo]}",
        'a: {loras: "x\\0y"}',
        "a: {loras: 2024-02-30}",
        "? [a]\n: {loras: x}",
        "a: {loras: '" + "x/" * 3000 + "'}",
        "a:\n  loras: |\n" + "    x\n" * 100_000,
        "[" * 5000,
        "#" * (2 << 20) + "\na: {loras: models}",
    ],
)
def test_a_hostile_file_names_no_folder(tmp_path, text):
    (tmp_path / "models").mkdir()
    (tmp_path / "extra_model_paths.yaml").write_text(text, encoding="utf-8")
    with raises("comfyui-folder-invalid"):
        folder(tmp_path)


def test_where_its_page_lists_workflows(comfy):
    assert folders(comfy).workflows is None  # whose it is cannot be told
    (comfy / "main.py").touch()
    there = comfy / "user" / "default" / "workflows"
    assert folders(comfy).workflows == folders(comfy.parent).workflows == there
    assert folders(comfy / "models" / "loras").workflows == there
    assert not there.exists()
