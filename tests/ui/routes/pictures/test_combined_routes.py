"""Other LoRAs beside the character's: which there are, what may be asked for, and what was found of the face."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from planting import plant_combined, plant_grid, plant_run
from safetensors.torch import save_file

from lib_lora.ui.routes.pictures.grid_routes import POLICY
from lib_lora.ui.views import translatable_texts
from lib_lora.workspace.grid_files import COMBINED_VERSION


@pytest.fixture
def run(page):
    return plant_run(page.character("Mara 名前", photos=1), steps=100, saved=[50, 100])


@pytest.fixture
def ink(page):
    """A LoRA of one layer in the webui's folder."""
    import torch

    folder = page.root.parent / "Lora"
    folder.mkdir()
    page.host.loras = [folder]
    name = "lora_unet_mid_block_attentions_0_proj_in"
    path = folder / "Tusche ü.safetensors"
    save_file(
        {f"{name}.lora_down.weight": torch.ones(2, 4, 1, 1), f"{name}.lora_up.weight": torch.ones(4, 2, 1, 1)}, path
    )
    return path


SLUG = "mara-%E5%90%8D%E5%89%8D"
LIST = f"/characters/{SLUG}/combined"


def put(page, kind, **arguments):
    return {"kind": kind, "character": "mara-名前", "arguments": arguments}


def test_loras_are_listed_by_name_without_those_that_lie_there_for_a_while(page, run, ink):
    for name in (
        "zebra.safetensors",
        "below/apple.safetensors",
        "old.pt",
        "sameface-tests/sameface-test-1-2.safetensors",
    ):
        path = ink.parent / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (page.root / "loras").mkdir()
    (page.root / "loras" / "own.safetensors").touch()
    found = page.got("/loras")
    assert [one["name"] for one in found] == ["apple", "own", "Tusche ü", "zebra"]
    assert found[2]["file"] == str(ink)


def test_what_was_found_comes_the_newest_first_and_what_is_damaged_is_left_out(page, run):
    assert page.got(LIST) == []
    plant_combined(run, 1, "2026-11-28T10:00:00+00:00")
    plant_combined(run, 2, "2026-11-28T11:00:00+00:00")
    for number, text in enumerate(("[", "{}", "[]", json.dumps({"version": COMBINED_VERSION, "verdict": 3})), 3):
        (plant_combined(run, number) / "combined.json").write_text(text, encoding="utf-8")
    newest, oldest = page.got(LIST)
    assert (newest["id"], oldest["id"]) == ("002", "001")
    assert (newest["run"], newest["step"], newest["weight"], newest["lora"]) == ("001", 100, 0.8, "ink")
    assert newest["verdict"]["tone"] == "warn"
    assert newest["verdict"]["kind"] == "survives up to"
    assert {one["template"] for one in newest["verdict"]["messages"].values()} <= set(translatable_texts.texts())
    assert [one["retention"] for one in newest["points"]] == [0.9, 0.88, None]
    answer = page.get(newest["html"])
    assert (answer.status_code, answer.headers["Content-Security-Policy"]) == (200, POLICY)
    assert page.get(f"/characters/{SLUG}/runs/001/combined/099/combined.html").status_code == 404
    assert page.get(f"/characters/{SLUG}/runs/001/combined/..%2f001/combined.html").status_code == 404


@pytest.mark.parametrize("kind", ["test", "combine"])
def test_a_lora_is_looked_at_before_the_job_waits(page, run, ink, tmp_path, kind):
    def asked(file):
        return put(
            page,
            kind,
            **({"lora": str(file)} if kind == "combine" else {"loras": [{"file": str(file), "weight": 0.5}]}),
        )

    assert page.done("/jobs", asked(ink))["kind"] == kind
    assert page.faulted("/jobs", asked(tmp_path / "nobody.safetensors")) == "lora"
    assert page.code_of("/jobs", asked(tmp_path / "nobody.safetensors")) == "further-lora-missing"
    assert page.code_of("/jobs", asked("ink.safetensors")) == "path-not-absolute"
    for content, code in ((b"", "file-empty"), (b"<html>", "file-is-web-page"), (b"x" * 99, "safetensors-invalid")):
        (tmp_path / "bad.safetensors").write_bytes(content)
        assert page.code_of("/jobs", asked(tmp_path / "bad.safetensors")) == code
    values = yaml_of(run)
    (run / "run.yaml").write_text(values.replace("family: sd1", "family: sdxl"), encoding="utf-8")
    assert page.code_of("/jobs", asked(ink)) == "further-lora-of-other-family"
    assert len(page.got("/jobs")) == 1


def yaml_of(run: Path) -> str:
    return (run / "run.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["test", "combine"])
def test_a_stranger_may_name_a_lora_of_the_webui_alone(page, run, ink, tmp_path, kind):
    page.host.is_remote = True
    outside = tmp_path / "outside.safetensors"
    outside.write_bytes(ink.read_bytes())

    def asked(file):
        return put(page, kind, **({"lora": str(file)} if kind == "combine" else {"loras": [{"file": str(file)}]}))

    assert page.done("/jobs", asked(ink))["kind"] == kind
    page.code_of("/jobs", asked(outside), status=403)
    page.code_of("/jobs", asked(ink.parent / ".." / "outside.safetensors"), status=403)
    page.code_of("/jobs", asked(ink.parent / ".." / ".." / "etc" / "passwd"), status=403)


def test_a_grid_with_another_lora_says_so_and_is_not_the_test_of_the_run(page, run):
    plant_grid(run, 1)
    grid = plant_grid(run, 2)
    values = json.loads((grid / "report.json").read_text(encoding="utf-8"))
    values["subject"] |= {"more": [{"file": "ink.safetensors", "weight": 0.6}], "lora": "mara-001-000100.safetensors"}
    values["facts"]["step"] = None
    (grid / "report.json").write_text(json.dumps(values), encoding="utf-8")
    [entry] = page.got(f"/characters/{SLUG}/runs")
    assert [(one["id"], one["step"], one["more"]) for one in entry["grids"]] == [
        ("002", 100, ["ink:0.6"]),
        ("001", 100, []),
    ]
    assert entry["best"] == "001"
    shown = page.got(f"/characters/{SLUG}/runs/001/grids/002")
    assert (shown["step"], shown["more"]) == (100, ["ink:0.6"])
    assert page.got("/state")["characters"][0]["test"]["grid"] == "001"
