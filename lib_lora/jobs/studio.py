"""Painting test grids of a run: cells are saved as they are painted, and what was painted before is not painted again.

The pictures without the LoRA are the same for every checkpoint, so they are kept with the character's cache.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from PIL import Image

from lib_lora import settings
from lib_lora.errors import UserError
from lib_lora.files import atomic_file, digest_of, explained, read_json, write_json
from lib_lora.grid.cells import Cell, Painter, base_cells, leak_cells, test_cells, with_lora
from lib_lora.grid.diffusers_painter import DiffusersPainter
from lib_lora.grid.marked import save_picture
from lib_lora.grid.prompts import PROMPTS
from lib_lora.models.family import ModelInfo, Prediction, identify
from lib_lora.training import processes
from lib_lora.training.precision import dtype_of
from lib_lora.training.run import Run

CELLS = "cells"
PLAN_FILE = "plan.json"
FIRST_SEED = 1000
ROLES = ("base", "leak", "lora")  # in the order in which they are painted


@dataclass(frozen=True)
class GridPlan:
    """All cells of one test grid.

    Attributes:
        lora: with the LoRA.
        base: the same without it.
        leak: a few with the LoRA but without the trigger.
    """

    lora: list[Cell]
    base: list[Cell]
    leak: list[Cell]

    def items(self) -> list[tuple[str, Cell]]:
        """File name and cell of each picture, in the order in which they are painted."""
        return [
            (f"{number:02d}-{role}.png", cell)
            for role in ROLES
            for number, cell in enumerate(cast("list[Cell]", getattr(self, role)), 1)
        ]

    def values(self) -> dict[str, Any]:
        """What ``plan.json`` holds; the LoRA by its file name, so that a moved run knows its grids."""
        return {role: [_plain(cell) for cell in getattr(self, role)] for role in ROLES}


class Studio:
    """Paints for one run; the models are loaded at the first picture.

    Args:
        run: a trained run.
        emit: for events.
    """

    def __init__(self, run: Run, emit: Callable[..., None]) -> None:
        self.run = run
        self.emit = emit
        self.info: ModelInfo = identify(Path(run.file.base.path), prediction=cast(Prediction, run.file.base.prediction))
        self._painter: Painter | None = None

    @property
    def painter(self) -> Painter:
        """Who paints."""
        if self._painter is None:
            train = self.run.file.settings
            self._painter = DiffusersPainter(self.info, processes.device(), dtype_of(train.precision), train.clip_skip)
        return self._painter

    def plan(
        self, step: int, weight: float, steps: int, count: int = len(PROMPTS), first_seed: int = FIRST_SEED
    ) -> GridPlan:
        """The cells that test one checkpoint at one weight.

        Args:
            step: of the checkpoint.
            weight: of the LoRA.
            steps: sampling steps.
            count: of prompts.
            first_seed: of the first cell.
        """
        character, train = self.run.file.character, self.run.file.settings
        side = train.resolution or self.info.resolution
        cells = test_cells(character, side, steps, first_seed, count=count, cfg=self.run.file.base.guidance)
        ours = with_lora(cells, self.run.checkpoint(step), weight)
        return GridPlan(ours, base_cells(ours, character), leak_cells(ours, character))

    def paint(self, plan: GridPlan, again: bool = False) -> Path:
        """Paint what is not there yet; returns the grid's folder with ``plan.json`` and ``cells/``.

        Args:
            plan: what to paint.
            again: paint with and without the trigger anew even where this very plan was finished before.

        Raises:
            UserError: the checkpoint is gone, or the disk is full.
        """
        folder = (
            unfinished(self.run, plan)
            or (None if again else next(painted(self.run, plan), None))
            or new_folder(self.run)
        )
        write_json(folder / PLAN_FILE, plan.values())
        items = plan.items()
        missing = [(name, cell) for name, cell in items if not self._is_there(folder / CELLS / name, cell)]
        done, total = len(items) - len(missing), len(items)
        painter = self.painter if missing else None  # whatever is wrong with the models is said before the first bar
        self.emit("painting", done=done, total=total, folder=str(folder))
        if painter is None:
            return folder

        def each(number: int, picture: Image.Image) -> None:
            name, cell = missing[number]
            save_picture(folder / CELLS / name, picture, cell)
            if cell.lora is None:
                save_picture(self._kept(cell), picture, cell)
            self.emit("painting", done=done + number + 1, total=total)

        painter.paint([cell for _, cell in missing], each)
        return folder

    def _is_there(self, path: Path, cell: Cell) -> bool:
        if not path.exists() and cell.lora is None and self._kept(cell).exists():
            with explained(path), atomic_file(path) as stream:
                stream.write(self._kept(cell).read_bytes())
        return path.exists()

    def _kept(self, cell: Cell) -> Path:
        """Where the picture of a cell without LoRA is kept for the next grid."""
        train, base = self.run.file.settings, self.run.file.base
        key = digest_of(base.sha256, base.prediction, train.precision, train.clip_skip, processes.device(), cell)
        return self.run.character_folder.cache / "base" / f"{key}.png"


def unfinished(run: Run, plan: GridPlan) -> Path | None:
    """The newest grid of this very plan some of whose pictures are missing (the painting was stopped)."""
    names = [name for name, _ in plan.items()]
    for folder in painted(run, plan):
        if not all((folder / CELLS / name).exists() for name in names):
            return folder
    return None


def painted(run: Run, plan: GridPlan) -> Iterator[Path]:
    """The folders of grids that were painted, or begun, by this very plan; the newest first."""
    wanted = plan.values()
    for path in sorted(run.grids.glob(f"*/{PLAN_FILE}"), key=lambda one: (len(one.parent.name), one), reverse=True):
        try:
            if read_json(path) == wanted:
                yield path.parent
        except UserError:
            continue  # damaged: it is painted again


def new_folder(run: Run) -> Path:
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


def _plain(cell: Cell) -> dict[str, Any]:
    values = {**settings.to_dict(cell), "lora": cell.lora.name if cell.lora else None}
    for name in ("start", "strength", "variation", "variation_seed"):  # a grid's cells have none; older plans neither
        del values[name]
    return values


def pictures_of(folder: Path, role: str, cells: Sequence[Cell]) -> list[Path]:
    """Where the pictures of one role lie."""
    return [folder / CELLS / f"{number:02d}-{role}.png" for number in range(1, len(cells) + 1)]
