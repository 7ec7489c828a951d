"""Runs, grids and audits written by hand, with nothing trained, painted or looked at."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from lib_lora.files import write_json
from lib_lora.pictures import Cell, save_picture
from lib_lora.runs.events import EventLog
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.typed_settings import to_dict
from lib_lora.workflows.invent.invented_folder import InventedFolder, InventedPicture, InventPlan
from lib_lora.workflows.photos import audit_cache
from lib_lora.workflows.produce.production import PaintedTry, ProductionPlan, Reason, file_name
from lib_lora.workflows.produce.production_store import ProductionFolder
from lib_lora.workflows.produce.production_store import make as make_production
from lib_lora.workflows.produce.prompts.prompt_list import PromptRow
from lib_lora.workspace.workspace import CharacterFolder

PERSONAS = Path(__file__).parents[2] / "data" / "personas"
MINI = Path(__file__).parents[2] / "data" / "mini-face" / "mini-face.safetensors"
WHO = "a woman with short red hair, 30 years old"
_PEOPLE = ("mara", "ines", "clara", "lena", "tomas", "viktor")


def plan_audit(folder: CharacterFolder, **changes: Mapping[str, Any]) -> None:
    """What an audit would keep, all photos good; `changes` by file name."""
    photos = [
        {
            "file": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "tone": "good",
            "word": "good",
            "sentence": "Close-up.",
            "findings": [],
            "decision": None,
            "proposed": False,
            "used": True,
            "width": 512,
            "height": 512,
            **changes.get(path.stem, {}),
        }
        for path in sorted(folder.photos.glob("*.jpg"))
    ]
    said = {"headline": f"{len(photos)} of {len(photos)} photos good", "counts": "", "tone": "good", "stopped": False}
    rest = {"resolution": 512, "findings": [], "missing": ["no full body"], "coverage": {}, "people": []}
    write_json(audit_cache.path_of(folder), {"version": audit_cache.VERSION, **said, **rest, "photos": photos})


def plant_run(
    folder: CharacterFolder,
    number: int = 1,
    steps: int = 100,
    saved: Sequence[int] = (),
    base: str = "/models/base.safetensors",
    photos: int = 10,
    vectors: int = 0,
) -> Path:
    """A run's folder with empty checkpoints."""
    run = folder.runs / f"{number:03d}"
    (run / "checkpoints").mkdir(parents=True)
    (run / "state").mkdir()
    values = {
        "id": run.name,
        "stem": f"mara-{run.name}",
        "created": "2024-05-06T07:08:09+00:00",
        "character": yaml.safe_load(folder.file.read_text(encoding="utf-8")),
        "base": {
            "path": base,
            "sha256": "0" * 64,
            "family": "sd1",
            "prediction": "epsilon",
            "zero_terminal_snr": False,
        },
        "settings": to_dict(TrainSettings(steps=steps, preset="sd15-face", trigger_vectors=vectors)),
        "photos": [{"file": f"photos/{n:02d}.jpg", "sha256": "1" * 64, "caption": "x"} for n in range(photos)],
        "data_hash": "2",
        "versions": {},
    }
    (run / "run.yaml").write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    emit = EventLog(run / "events.jsonl")
    emit("state", state="training", step=0, total=steps)
    for step in range(1, (max(saved) if saved else 0) + 1):
        emit("step", step=step, total=steps, loss=0.1, loss_average=1 / step, seconds_per_step=0.1, seconds_left=1.0)
        if step in saved:
            emit("checkpoint", step=step, file="x")
    for step in saved:
        (run / "checkpoints" / f"mara-{run.name}-{step:06d}.safetensors").write_bytes(b"LoRA")
    return run


def plant_grid(
    run: Path,
    number: int = 1,
    step: int = 100,
    weight: float = 1.0,
    report: bool = True,
    advice: tuple[str, float | None] = ("keep", None),
    pictures: int = 2,
) -> Path:
    """A test grid with small pictures; without `report` one that is still being painted. `advice` is the verdict's
    action and its value."""
    grid = run / "grids" / f"{number:03d}"
    (grid / "cells").mkdir(parents=True)

    def cell(place: int, role: str) -> dict[str, Any]:
        lora = None if role == "base" else f"mara-{run.name}-{step:06d}.safetensors"
        return {"prompt": f"photo {place} of mrxa woman", "negative": "blurry", "seed": 1000 + place, "lora": lora,
                "weight": weight, "width": 64, "height": 64, "steps": 4, "cfg": 7.0, "sampler": "Euler",
                "name": f"prompt {place}", "framing": "close", "angle": "front", "attributes": []}  # fmt: skip

    plan = {role: [cell(place, role) for place in range(pictures)] for role in ("lora", "base")}
    plan["leak"] = [cell(0, "leak")]
    write_json(grid / "plan.json", plan)
    for role, cells in plan.items():
        for place in range(1, len(cells) + 1):
            if report or role == "base":
                Image.new("RGB", (8, 8), "red").save(grid / "cells" / f"{place:02d}-{role}.png")
    if report:
        write_json(grid / "report.json", report_of(plan, run, step, weight, advice))
        (grid / "report.html").write_text("<p>The whole report</p>")
        Image.new("RGB", (8, 8)).save(grid / "sheet.png")
    return grid


def report_of(
    plan: Mapping[str, list[dict[str, Any]]], run: Path, step: int, weight: float, advice: tuple[str, float | None]
) -> dict[str, Any]:
    """Plain values as `likeness.report.report` writes them."""
    from lib_lora.likeness.verdict.facts import flat, from_flat

    rows = [
        {
            "role": role,
            "path": f"cells/{place:02d}-{role}.png",
            "status": "ok",
            "copy": False,
            "asked": {"prompt": cell["name"], "framing": "", "angle": "", "attributes": [], "seed": cell["seed"]},
            "score": {"image": "x", "likeness": 0.8 + place / 100, "reason": "", "faces": 1, "nearest": "00.jpg"},
            "adherence": None,
        }
        for role, cells in plan.items()
        for place, cell in enumerate(cells, 1)
    ]
    verdict: dict[str, Any] = {"kind": "consistent", "rule": "keep", "headline": "The face holds", "because": "Seen."}
    verdict |= {
        "advice": "Keep it.",
        "action": advice[0],
        "value": advice[1],
        "drift": False,
        "judged": True,
        "notes": [],
    }
    facts = flat(from_flat({"step": step, "weight": weight, "retention": 0.9}))
    report: dict[str, Any] = json.loads(json.dumps({
        "version": 1, "verdict": verdict, "facts": facts, "calibration": {}, "engine": "e", "licence": "l", "clip": "",
        "subject": {"character": "Mara", "lora": "", "base": "", "run": run.name}, "made": "2024-05-06T08:00:00+00:00",
        "photos": [{"file": "00.jpg", "likeness": 0.9, "used": True, "remark": ""}], "pictures": rows,
        "shares": [{"name": "clearly this person", "hits": 2, "of": 2, "low": 0.3, "high": 1.0}],
        "tested": [{"step": step, "weight": weight, "retention": 0.9}], "ruler": "r", "small_print": ["No proof."],
    }))  # fmt: skip
    return report


PRODUCTION = ProductionPlan(
    "001", 100, 0.8, "0" * 64, [PromptRow("in a café"), PromptRow("at the sea")], count=3, tries=2, trigger="mrxa",
    before="photo of mrxa woman",
)  # fmt: skip


def tried(item: int, attempt: int, reason: Reason = "", likeness: float | None = 0.7, code: str = "") -> PaintedTry:
    """A picture of a production; `code` is its perceptual hash."""
    name, prompt = file_name(item, attempt), f"photo of mrxa woman, prompt {item}"
    return PaintedTry(item, attempt, name, 1000 + item, prompt, not reason, reason, likeness, hash=code)


def plant_production(
    folder: CharacterFolder, *tries: PaintedTry, plan: ProductionPlan = PRODUCTION
) -> ProductionFolder:
    """A production with these pictures, each in a colour of its own."""
    made = make_production(folder, plan)
    for one in tries:
        picture = Image.new("RGB", (64, 48), (one.item * 40 % 256, 80, 80))
        save_picture(made.pictures / one.file, picture, Cell(one.prompt, "", one.seed))
        made.note(one)
    return made


def plant_invented(
    folder: CharacterFolder,
    candidates: int = 4,
    faults: Mapping[int, str] | None = None,
    picked: int = 0,
    more: Sequence[str] = (),
) -> InventedFolder:
    """Candidates that show photos of the personas, painted from WHO by MINI; with `picked` further pictures, each with
    the reason why it was not kept ("" = kept)."""
    invented = InventedFolder(folder)
    invented.prepare()
    digest = hashlib.sha256(MINI.read_bytes()).hexdigest()

    def painted(file: str, persona: str, number: int, **values: Any) -> None:
        with Image.open(PERSONAS / persona / f"{number:02d}.jpg") as photo:
            picture = photo.convert("RGB").resize((400, 400))
        picture.putpixel((0, 0), (len(invented.painted()), 0, 0))  # no two are the same bytes
        picture.save(invented.path / file, compress_level=1)
        one = InventedPicture(file, digest, WHO, f"photo of {WHO}", **values)
        if one.kept:
            picture.save(folder.photos / one.photo, compress_level=1)
        invented.note(one)

    for number in range(1, candidates + 1):
        persona = _PEOPLE[(number - 1) % len(_PEOPLE)]
        why = (faults or {}).get(number, "")
        painted(f"candidates/{number:04d}.png", persona, number // 7, seed=number, why=why)
    file = f"candidates/{picked:04d}.png" if picked else ""
    if picked:
        shutil.copy(invented.path / file, folder.photos / f"picked-{picked:04d}.png")
    invented.decide(InventPlan(WHO, str(MINI), digest, "epsilon", 1, 20, 3.0, 128, file))
    for number, why in enumerate(more, 1):
        name = f"{number:04d}.png"
        kept: dict[str, Any] = {"why": why} if why else {"kept": True, "photo": f"invented-{name}"}
        painted(f"more/{name}", "mara", number, seed=100_000 + number, way="text", **kept)
    return invented


def plant_combined(run: Path, number: int, made: str = "2026-11-28T10:00:00+00:00") -> Path:
    """What was found with a LoRA called ink: the face survives it up to 0.5, and at 1 too few can be measured."""
    from lib_lora.likeness.comparing.combined_report import CombinedReport, save
    from lib_lora.likeness.comparing.weight_curve import WeightPoint
    from lib_lora.likeness.comparing.weight_verdict import judge_curve

    folder = run / "combined" / f"{number:03d}"
    folder.mkdir(parents=True)
    points = [
        WeightPoint(0.0, 12, 11, retention=0.9, low=0.8, high=1.0),
        WeightPoint(0.5, 12, 11, 0, 0, "", 0.88, 0.8, 0.97, -0.02, -0.05, 0.01, "survives"),
        WeightPoint(1.0, 12, 3, kind="too few"),
    ]
    names = ("Mara", run.name, 100, 0.8, "ink.safetensors", "0" * 64, "base.safetensors", "engine", "ruler", "001")
    save(CombinedReport(judge_curve(points, "ink"), points, [], *names, made), folder)
    (folder / "combined.html").write_text("<html>", encoding="utf-8")
    return folder
