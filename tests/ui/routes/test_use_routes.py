"""A LoRA put where it is used, with a real checkpoint of a few tensors."""

import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
import yaml
from planting import plan_audit, plant_grid, plant_run

from lib_lora.lora import key_names
from lib_lora.lora.file.writing import write
from lib_lora.models.families.registry import family_named
from lib_lora.runs.records import run_records
from lib_lora.runs.records.grid_records import painted
from lib_lora.runs.records.run_records import run as record_of
from lib_lora.ui.views.page_limits import page_limits
from lib_lora.workflows.photos import audit_cache

LORA = "/characters/mara/runs/001/lora"
USE = {"run": "001", "step": 100, "weight": 0.8}


@pytest.fixture
def run(page):
    return _trained(page.character(photos=1))


def _trained(folder):
    run = plant_run(folder, steps=100, saved=[50, 100])
    for step in (50, 100):
        run_records.checkpoint(record_of(run), step).write_bytes(_lora())
    return run


@cache
def _lora():
    """A LoRA file of all layers, written once."""
    tensors = {}
    for path in family_named("sd1").adapter_paths("unet", False):
        name = key_names.kohya_name("sd1", "unet", path)
        tensors |= {f"{name}.lora_down.weight": torch.ones(1, 2), f"{name}.lora_up.weight": torch.ones(2, 1)}
        tensors[f"{name}.alpha"] = torch.tensor(1.0)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "lora.safetensors"
        write(path, tensors, {"ss_output_name": "x"}, dtype=torch.float16)
        return path.read_bytes()


def test_it_goes_into_the_webui_with_its_best_picture(page, run, tmp_path):
    page.host.loras = [tmp_path / "Lora 名前", tmp_path / "other"]
    plant_grid(run)
    said = page.done("/characters/mara/use", {**USE, "to": "webui"})
    stem = "mara"
    assert (said["stem"], said["shown"], said["why"]) == (stem, False, "Another model is selected.")
    assert page.host.refreshed == [stem]
    files = sorted(path.name for path in page.host.loras[0].iterdir())
    assert files[:1] == [f"{stem}.json"]
    assert f"{stem}.safetensors" in files
    assert any(name.endswith(".png") for name in files)
    assert json.loads((page.host.loras[0] / f"{stem}.json").read_text())["preferred weight"] == 0.8
    assert said["prompt"] == f"photo 1 of mrxa woman <lora:{stem}:0.8>"
    assert "Seed: 1001" in said["infotext"]
    use = page.got("/state")["characters"][0]["use"]
    assert (use["tone"], use["text"]) == ("good", "mara is in the webui")
    assert use["message"]["values"]["name"] == "mara"
    shutil.rmtree(page.host.loras[0])
    assert page.got("/state")["characters"][0]["use"]["tone"] == "none"


def test_it_goes_to_comfyui_and_anywhere(page, run, tmp_path):
    assert page.code_of("/characters/mara/use", {**USE, "to": "comfyui"}, 409) == "comfyui-folder-not-set"
    (tmp_path / "ComfyUI" / "models" / "loras").mkdir(parents=True)
    page.confirmed("/settings", {"comfyui": str(tmp_path / "ComfyUI")})
    assert page.done("/characters/mara/use", {**USE, "to": "comfyui"})["shown"] is True
    assert (tmp_path / "ComfyUI" / "models" / "loras" / "mara.safetensors").is_file()
    assert (tmp_path / "ComfyUI" / "models" / "loras" / "mara.workflow.png").is_file()
    there = {**USE, "to": "folder", "folder": str(tmp_path / "new")}
    assert page.code_of("/characters/mara/use", there) == "folder-missing"  # a slip of the pen makes no folder
    (tmp_path / "new").mkdir()
    said = page.confirmed("/characters/mara/use", there)
    assert said["file"] == str(tmp_path / "new" / "mara.safetensors")
    assert "portrait photo of mrxa woman" in said["prompt"]
    page.host.is_remote = True
    assert page.code_of("/characters/mara/use", {**USE, "to": "folder", "folder": str(tmp_path)}, 403) == "forbidden"
    assert len(run_records.uses(run)) == 2


def test_how_others_in_the_same_lora_are_called_is_said(page, run, tmp_path):
    values = yaml.safe_load((run / "run.yaml").read_text(encoding="utf-8"))
    values["others"] = [{**values["character"], "name": "Tomas", "trigger": "toxm", "class_word": "man"}]
    (run / "run.yaml").write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    said = page.confirmed("/characters/mara/use", {**USE, "to": "folder", "folder": str(tmp_path)})
    assert said["trigger"] == "mrxa woman"
    assert said["text"].endswith('For Tomas, write "toxm man" instead of the trigger word.')


def comfy_of(page, tmp_path):
    """A ComfyUI that the page has set."""
    loras = tmp_path / "ComfyUI" / "models" / "loras"
    loras.mkdir(parents=True)
    page.confirmed("/settings", {"comfyui": str(tmp_path / "ComfyUI")})
    return loras


def test_a_sampler_that_comfyui_lacks_is_replaced_in_the_workflow_and_said(page, run, tmp_path):
    loras = comfy_of(page, tmp_path)
    _asked(plant_grid(run), {"sampler": "Restart"}, {"sampler": "Restart"})
    said = page.done("/characters/mara/use", {**USE, "to": "comfyui"})
    assert "no sampler 'Restart'; the workflow paints with Euler instead." in said["text"]
    assert "Sampler: Restart" in said["infotext"]  # as it was painted
    program = json.loads((loras / "mara.workflow-api.json").read_text(encoding="utf-8"))
    assert program["3"]["inputs"]["sampler_name"] == "euler"
    assert len(run_records.uses(run)) == 1


def test_what_lies_there_is_remembered_although_its_workflow_cannot_be_written(page, run, tmp_path):
    loras = comfy_of(page, tmp_path)
    (loras / "mara.workflow.json").mkdir()
    assert "error" in page.post("/characters/mara/use", {**USE, "to": "comfyui"}).json()
    assert [one["file"] for one in run_records.uses(run)] == [str(loras / "mara.safetensors")]


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"run": "002"}, 404, "not-found"),
        ({"run": "../001"}, 404, "not-found"),
        ({"step": 70}, 404, "not-found"),
        ({"weight": 99}, 400, "weight-out-of-range"),
        ({"to": "moon"}, 400, "delivery-target-unknown"),
        ({"to": "folder"}, 400, "path-missing"),
        ({"to": "webui"}, 409, "lora-folder-missing"),
    ],
)
def test_what_cannot_be_used_is_said(page, run, changes, status, code):
    assert page.code_of("/characters/mara/use", {**USE, **changes}, status) == code


def _judged(grid, *rows):
    """Give a grid's pictures with the LoRA other measures, the first to the first."""
    path = grid / "report.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    ours = [row for row in report["pictures"] if row["role"] == "lora"]
    for row, (likeness, values) in zip(ours, rows, strict=True):
        row.update(values)
        row["score"]["likeness"] = likeness
    path.write_text(json.dumps(report), encoding="utf-8")


def _asked(grid, *changes):
    """Give a grid's cells with the LoRA other wishes, the first to the first."""
    path = grid / "plan.json"
    plan = json.loads(path.read_text(encoding="utf-8"))
    for cell, values in zip(plan["lora"], changes, strict=True):
        cell.update(values)
    path.write_text(json.dumps(plan), encoding="utf-8")


def test_the_picture_is_of_the_nearest_weight(run):
    plant_grid(run, 1, weight=0.6)
    near = plant_grid(run, 2, weight=0.8)
    plant_grid(run, 3, step=50, weight=0.9)
    best = painted(record_of(run), 100, 0.9)[0]
    assert best.path == near / "cells" / "02-lora.png"
    assert best.cell.seed == 1001
    assert painted(record_of(run), 70, 1.0) == []
    (near / "report.json").write_text('{"version": 1, "verdict": 3}', encoding="utf-8")
    assert painted(record_of(run), 100, 0.9)[0].path.parents[1].name == "001"


def test_the_best_picture_is_well_painted_and_no_copy_of_a_photo(run):
    grid = plant_grid(run, 1, pictures=4)
    _judged(grid, (0.5, {}), (0.9, {"copy": True}), (0.95, {"status": "suspect"}), (0.6, {}))
    assert [one.path.name[:2] for one in painted(record_of(run), 100, 1.0)] == ["04", "01", "03", "02"]
    other = plant_grid(run, 2, pictures=1)  # the best of all tests at this weight
    _judged(other, (0.7, {}))
    assert painted(record_of(run), 100, 1.0)[0].path == other / "cells" / "01-lora.png"


@pytest.mark.parametrize("told_by", ["audit", "captions"])
def test_the_prompt_shows_as_much_as_the_photos_do(page, tmp_path, told_by):
    """24 close-ups once got a prompt for a whole body on a beach, since that picture was the most alike."""
    folder = page.character(photos=3)
    run = _trained(folder)
    page.host.loras = [tmp_path / "Lora"]
    grid = plant_grid(run, pictures=4)
    _asked(grid, {"prompt": "full body photo on a beach", "framing": "full"}, {"prompt": "close, plain"},
           {"prompt": "profile", "angle": "turned"}, {"prompt": "oil", "attributes": ["style: painting"]})  # fmt: skip
    _judged(grid, (0.9, {}), (0.6, {}), (0.8, {}), (0.85, {}))
    if told_by == "audit":
        plan_audit(folder)
        path = audit_cache.path_of(folder)
        told = json.loads(path.read_text(encoding="utf-8"))
        shown = {"close-up": {"ahead": 2}, "upper body": {"ahead": 1}, "full body": {"ahead": 0}}
        path.write_text(json.dumps({**told, "coverage": shown}), encoding="utf-8")
    else:
        for place, photo in enumerate(sorted(folder.photos.glob("*.jpg"))):
            words = "full body" if place == 0 else "close-up"
            photo.with_suffix(".txt").write_text(f"photo of mrxa woman, {words}", encoding="utf-8")
    said = page.done("/characters/mara/use", {**USE, "weight": 1.0})
    assert said["prompt"] == "close, plain <lora:mara:1>"
    assert said["trigger"] == "mrxa woman"
    assert (page.host.loras[0] / "mara.png").is_file()  # of the best picture all the same
    (grid / "report.json").unlink()
    said = page.done("/characters/mara/use", {**USE, "weight": 1.0})
    assert said["prompt"] == "portrait photo of mrxa woman, looking at the camera <lora:mara:1>"


def test_photos_of_whole_bodies_get_a_prompt_for_one(page, tmp_path):
    folder = page.character(photos=1)
    _trained(folder)
    page.host.loras = [tmp_path / "Lora"]
    photo = next(folder.photos.glob("*.jpg"))
    photo.with_suffix(".txt").write_text("photo of mrxa woman, full body", encoding="utf-8")
    said = page.done("/characters/mara/use", USE)
    assert said["prompt"].startswith("full body photo of mrxa woman, looking at the camera <lora:")


def test_a_name_that_the_webui_finds_elsewhere_is_not_given_again(page, run, tmp_path):
    """A webui knows LoRAs by their names alone, in whichever folder they lie."""
    page.host.loras = [tmp_path / "Lora", tmp_path / "LyCORIS"]
    for path in (page.host.loras[0] / "people" / "MARA.pt", page.host.loras[1] / "mara-2.safetensors"):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"the user's")
    assert page.done("/characters/mara/use", USE)["stem"] == "mara-3"
    assert page.done("/characters/mara/use", USE)["stem"] == "mara-3"


def test_its_file_is_shown_and_can_be_kept(page, run):
    plant_grid(run)
    path = run_records.checkpoint(record_of(run), 100)
    said = page.got(f"{LORA}/100?weight=0.8")
    assert (said["file"], said["name"], said["bytes"]) == (str(path), path.name, path.stat().st_size)
    assert said["prompt"] == "photo 1 of mrxa woman <lora:mara-001-000100:0.8>"
    assert said["infotext"].startswith(said["prompt"] + "\n")
    answer = page.get(said["url"])
    assert answer.content == path.read_bytes()
    assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''{path.name}"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "portrait photo of mrxa woman" in page.got(f"{LORA}/50")["prompt"]


@pytest.mark.parametrize("step", ["75", "0100x", "-1", "%2e%2e", "999999999999"])
def test_only_a_saved_step_has_a_file(page, run, step):
    assert page.get(f"{LORA}/{step}").status_code == 404
    assert page.get(f"{LORA}/{step}/file").status_code == 404


@pytest.mark.parametrize("weight", ["nan", "x", "11", "", "inf"])
def test_a_weight_must_be_one(page, run, weight):
    assert page.get(f"{LORA}/100?weight={weight}").status_code == 400


@pytest.mark.parametrize("name", ["least", "most"])
def test_the_ends_of_the_range_are_weights(page, run, name):
    weight = getattr(page_limits().prompt_weight, name)
    assert page.get(f"{LORA}/100?weight={weight}").status_code == 200
    assert page.get(f"{LORA}/100?weight={1.1 * weight}").status_code == 400


def test_a_file_that_is_gone_is_said(page, run):
    run_records.checkpoint(record_of(run), 100).unlink()
    assert "no checkpoint of step 100" in page.get(f"{LORA}/100/file").json()["error"]


def test_the_prompt_needs_no_torch():
    code = "import sys, lib_lora.runs.records.origin, lib_lora.ui.routes.lora_file_routes as _; "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
