"""A character whose pictures can be judged without a training: Mara's photos, and a test grid of a base model whose
lines are those of the photos."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml
from planting import PERSONAS, plant_grid, plant_run

from lib_lora.character.store import Character, create
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.files import read_json, write_json
from lib_lora.likeness.report import report as reports
from lib_lora.likeness.report.report import Subject
from lib_lora.workflows.judge.scoring import judge_files
from lib_lora.workspace.workspace import CharacterFolder

PHOTOS = 10  # the first so many portraits; the others are pictures to judge


def portraits(name: str) -> list[Path]:
    """The portraits of a synthetic person that are nobody's photos here."""
    return sorted((PERSONAS / name).glob("*.jpg"))[PHOTOS:]


def guarded_character(root: Path, base: Path, sizes: Sequence[tuple[int, int]]) -> CharacterFolder:
    """The character "mara" in a data folder.

    Args:
        root: the data folder.
        base: the base model that painted the grid.
        sizes: of the grid's pictures.
    """
    folder = create(root, Character("mara", "mrxa", "woman"))
    folder.photos.mkdir(exist_ok=True)
    for path in sorted((PERSONAS / "mara").glob("*.jpg"))[:PHOTOS]:
        shutil.copyfile(path, folder.photos / path.name)
    run = plant_run(folder, base=str(base))
    facts = yaml.safe_load((run / "run.yaml").read_text(encoding="utf-8"))
    facts["base"]["sha256"] = hashlib.sha256(base.read_bytes()).hexdigest()
    (run / "run.yaml").write_text(yaml.safe_dump(facts, allow_unicode=True), encoding="utf-8")
    grid = plant_grid(run)
    report, _ = judge_files(SFaceEngine(), folder, "mara", portraits("mara")[:3])
    reports.save(replace(report, subject=Subject("mara", base=base.name, run=run.name)), grid / "report.json")
    plan = read_json(grid / "plan.json")
    plan["lora"] = [{**plan["lora"][0], "width": wide, "height": high} for wide, high in sizes]
    write_json(grid / "plan.json", plan)
    return folder
