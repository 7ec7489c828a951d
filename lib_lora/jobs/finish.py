"""After training: paint the test grid with and without the LoRA, and score the faces."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from PIL import Image

from lib_lora import settings
from lib_lora.character.store import folder_of, load
from lib_lora.errors import UserError
from lib_lora.files import atomic_file, explained, write_json
from lib_lora.grid.cells import Cell, base_cells, test_cells, with_lora
from lib_lora.grid.diffusers_painter import DiffusersPainter
from lib_lora.jobs.scoring import template_of
from lib_lora.likeness.engine import SFaceEngine
from lib_lora.likeness.score import score_images, summarise
from lib_lora.likeness.table import table
from lib_lora.models.family import Prediction, identify
from lib_lora.training.precision import dtype_of
from lib_lora.training.run import Run, load_run

Emit = Callable[..., None]


@dataclass(frozen=True)
class GridReport:
    """What a painted and scored grid leaves.

    Attributes:
        folder: its folder, with plan.json, cells/ and report.json.
        preview: the picture for the webui's card: the most alike one, else the first.
        text: the table.
    """

    folder: Path
    preview: Path
    text: str


def find_run(root: Path, name: str, identifier: str | None, step: int | None) -> tuple[Run, int]:
    """A run of a character, and the step of one of its checkpoints.

    Args:
        root: the data folder.
        name: of the character.
        identifier: of the run; None = the newest.
        step: None = the last one saved.

    Raises:
        UserError: there is no such run or checkpoint.
    """
    folder = folder_of(root, name)
    load(folder)
    runs = sorted(path.name for path in folder.runs.iterdir() if (path / "run.yaml").is_file())
    if not runs or (identifier and identifier not in runs):
        raise UserError(f"{name} has no run {identifier or 'yet'}; there are: {', '.join(runs) or 'none'}.")
    run = load_run(folder.runs / (identifier or runs[-1]))
    steps = saved_steps(run)
    if not steps or (step is not None and step not in steps):
        raise UserError(f"{run.folder} has no checkpoint {step or ''}; there are: {', '.join(map(str, steps)) or 'none'}.")
    return run, steps[-1] if step is None else step


def saved_steps(run: Run) -> list[int]:
    """The steps of a run's checkpoints, ascending."""
    found = (re.search(r"-(\d+)\.safetensors$", path.name) for path in run.checkpoints.glob("*.safetensors"))
    return sorted(int(match[1]) for match in found if match)


def paint_and_score(run: Run, step: int | None, weight: float, steps: int, emit: Emit) -> GridReport:
    """Paint the eight cells with and without the LoRA and score both against the photos.

    Args:
        run: a trained run.
        step: of the checkpoint; None = the last.
        weight: of the LoRA.
        steps: sampling steps.
        emit: for events.

    Raises:
        UserError: the base model or the checkpoint is gone, or no face is on any photo.
    """
    saved = saved_steps(run)
    if not saved:
        raise UserError(f"{run.folder} has no checkpoint yet; train it first.")
    lora = run.checkpoint(step or saved[-1])
    character, train = run.file.character, run.file.settings
    info = identify(Path(run.file.base.path), prediction=cast(Prediction, run.file.base.prediction))
    cells = with_lora(test_cells(character, train.resolution or info.resolution, steps), lora, weight)
    plain = base_cells(cells, character)
    folder = _new_folder(run)
    write_json(folder / "plan.json", {"with_lora": [_plan(c) for c in cells], "without_lora": [_plan(c) for c in plain]})

    device = _device()
    painter = DiffusersPainter(info, device, dtype_of(train.precision), train.clip_skip)
    total = len(cells) + len(plain)
    emit("painting", done=0, total=total, folder=str(folder))
    pictures = painter.paint([*cells, *plain], lambda done: emit("painting", done=done, total=total))
    del painter
    names = [f"{n + 1:02d}-{kind}.png" for kind in ("lora", "base") for n in range(len(cells))]
    for name, picture, cell in zip(names, pictures, [*cells, *plain], strict=True):
        _save_picture(folder / "cells" / name, picture, cell)
    files = [folder / "cells" / name for name in names]
    return _score(run, folder, files[: len(cells)], files[len(cells) :], emit)


def _score(run: Run, folder: Path, ours: Sequence[Path], plain: Sequence[Path], emit: Emit) -> GridReport:
    engine = SFaceEngine()
    template = template_of(run.character_folder, engine)
    scores, base_scores = score_images(engine, template, ours), score_images(engine, template, plain)
    summary = summarise(scores, base_scores, template)
    write_json(
        folder / "report.json",
        {
            "summary": settings.to_dict(summary),
            "with_lora": [settings.to_dict(score) for score in scores],
            "without_lora": [settings.to_dict(score) for score in base_scores],
        },
    )
    emit("grid", folder=str(folder), likeness=summary.with_lora.mean, retention=summary.retention)
    best = max(range(len(ours)), key=lambda n: scores[n].likeness or -1.0)
    return GridReport(folder, ours[best], f"{table(summary)}\nPictures: {folder / 'cells'}")


def _device() -> torch.device:
    from accelerate import PartialState

    return torch.device(PartialState().device)


def _new_folder(run: Run) -> Path:
    with explained(run.grids):
        run.grids.mkdir(parents=True, exist_ok=True)
        numbers = [int(path.name) for path in run.grids.iterdir() if path.name.isdigit()]
        folder = run.grids / f"{max(numbers, default=0) + 1:03d}"
        (folder / "cells").mkdir(parents=True)
    return folder


def _plan(cell: Cell) -> dict[str, object]:
    values = settings.to_dict(cell)
    return {**values, "lora": cell.lora.name if cell.lora else None}


def _save_picture(path: Path, picture: Image.Image, cell: Cell) -> None:
    """A PNG that says how it was painted, in A1111's words, and that it is generated (IPTC's digital source type)."""
    from PIL.PngImagePlugin import PngInfo

    lora = f" <lora:{cell.lora.stem}:{cell.weight:g}>" if cell.lora else ""
    about = PngInfo()
    about.add_itxt(
        "parameters",
        f"{cell.prompt}{lora}\nNegative prompt: {cell.negative}\nSteps: {cell.steps}, Sampler: {cell.sampler}, "
        f"CFG scale: {cell.cfg:g}, Seed: {cell.seed}, Size: {cell.width}x{cell.height}",
    )
    about.add_itxt("DigitalSourceType", "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia")
    with atomic_file(path) as stream:
        picture.save(stream, "PNG", pnginfo=about)
