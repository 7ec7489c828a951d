"""After training: which checkpoint is tested, and the test grid painted with and without it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import cast

from PIL import Image

from lib_lora import settings
from lib_lora.character.store import folder_of, load
from lib_lora.errors import UserError, command
from lib_lora.files import atomic_file, explained, write_json
from lib_lora.grid.cells import Cell, base_cells, test_cells, with_lora
from lib_lora.grid.diffusers_painter import DiffusersPainter
from lib_lora.grid.sheet import contact_sheet
from lib_lora.jobs.reopen import check_base
from lib_lora.jobs.report import CELLS, PLAN_FILE, SHEET, GridReport, finished_grid, score_grid
from lib_lora.models.family import Prediction, identify
from lib_lora.training import processes
from lib_lora.training.memory import is_out_of_memory
from lib_lora.training.precision import dtype_of
from lib_lora.training.run import Run, load_run

Emit = Callable[..., None]


def find_run(root: Path, name: str, identifier: str | None, step: int | None) -> tuple[Run, int]:
    """A run of a character, and the step of one of its checkpoints.

    Args:
        root: the data folder.
        name: of the character.
        identifier: of the run, with or without its leading zeros; None = the newest that has a checkpoint.
        step: None = the last one saved.

    Raises:
        UserError: there is no such run or checkpoint.
    """
    folder = folder_of(root, name)
    load(folder)
    there = [path.parent.name for path in folder.runs.glob("*/run.yaml")]
    there.sort(key=lambda one: (len(one), one))
    wanted = [one for one in there if identifier in (None, one, one.lstrip("0"))]
    if not wanted:
        if not there:
            raise UserError(f"{name} has no run yet; make one with: {command()} train {name} --base CHECKPOINT")
        raise UserError(f"{name} has no run {identifier}; there are: {', '.join(there)}.")
    runs = [load_run(folder.runs / one) for one in wanted]
    run = next((run for run in reversed(runs) if saved_steps(run)), runs[-1])
    steps = saved_steps(run)
    if not steps:
        raise UserError(f"{run.folder} has no checkpoint yet; train it first.")
    if step is not None and step not in steps:
        raise UserError(f"{run.folder} has no checkpoint of step {step}; there are: {', '.join(map(str, steps))}.")
    return run, steps[-1] if step is None else step


def saved_steps(run: Run) -> list[int]:
    """The steps of a run's checkpoints, ascending. A file that bears another name is none."""
    names = {path.name for path in run.checkpoints.glob("*.safetensors")}
    numbers = {int(match[1]) for name in names if (match := re.search(r"-(\d+)\.safetensors$", name))}
    return sorted(number for number in numbers if run.checkpoint(number).name in names)


def paint_and_score(run: Run, step: int, weight: float, steps: int, emit: Emit, again: bool = True) -> GridReport:
    """Paint the eight cells with and without the LoRA and score both against the photos.

    Args:
        run: a trained run.
        step: of the checkpoint.
        weight: of the LoRA.
        steps: sampling steps, at least 1.
        emit: for events.
        again: paint also what has been painted and scored before.

    Raises:
        UserError: the base model is gone or another, the checkpoint is gone, or memory or disk do not suffice.
    """
    try:
        return _paint_and_score(run, step, weight, steps, emit, again)
    except Exception as error:
        lacking = is_out_of_memory(error)
        text = "Out of memory while painting; close other programs (or the webui's model)." if lacking else str(error)
        emit("error", text=text)
        if lacking:
            raise UserError(text) from error
        raise


def _paint_and_score(run: Run, step: int, weight: float, steps: int, emit: Emit, again: bool) -> GridReport:
    character, train = run.file.character, run.file.settings
    check_base(run)
    info = identify(Path(run.file.base.path), prediction=cast(Prediction, run.file.base.prediction))
    cells = with_lora(test_cells(character, train.resolution or info.resolution, steps), run.checkpoint(step), weight)
    plain = base_cells(cells, character)
    plan = {"with_lora": [_plan(cell) for cell in cells], "without_lora": [_plan(cell) for cell in plain]}
    if not again and (done := finished_grid(run, plan)):
        return done
    folder = _new_folder(run)
    write_json(folder / PLAN_FILE, plan)

    device = processes.device()
    painter = DiffusersPainter(info, device, dtype_of(train.precision), train.clip_skip)
    total = len(cells) + len(plain)
    emit("painting", done=0, total=total, folder=str(folder))
    pictures = painter.paint([*cells, *plain], lambda done: emit("painting", done=done, total=total))
    del painter
    ours = [folder / CELLS / f"{n:02d}-lora.png" for n in range(1, len(cells) + 1)]
    others = [folder / CELLS / f"{n:02d}-base.png" for n in range(1, len(plain) + 1)]
    for path, picture, cell in zip([*ours, *others], pictures, [*cells, *plain], strict=True):
        _save_picture(path, picture, cell)
    sheet = contact_sheet([("without the LoRA", pictures[len(cells) :]), ("with the LoRA", pictures[: len(cells)])])
    with atomic_file(folder / SHEET) as stream:
        sheet.save(stream, "JPEG", quality=90)
    return score_grid(run, folder, ours, others, emit)


def _new_folder(run: Run) -> Path:
    """The next grid's folder; two that are painted at once get two."""
    with explained(run.grids):
        run.grids.mkdir(parents=True, exist_ok=True)
        number = max((int(path.name) for path in run.grids.iterdir() if re.fullmatch("[0-9]+", path.name)), default=0)
        while True:
            number += 1
            folder = run.grids / f"{number:03d}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            (folder / CELLS).mkdir()
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
