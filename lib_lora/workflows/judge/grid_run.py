"""Paints test grids of a run, saves each cell as it is painted, and does not paint again what was painted before.

The pictures without the LoRA are the same for every checkpoint, so they are kept with the character's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lib_lora import file_permissions
from lib_lora.errors import UserError
from lib_lora.files import digest_of, explained, make_numbered_folder
from lib_lora.grid.cells import Painter, base_cells, leak_cells, test_cells, with_lora
from lib_lora.grid.paint_plan import Keep, PaintPlan, cell_key, paint_missing, pictures_of, planned_folders
from lib_lora.grid.prompts import PROMPTS
from lib_lora.lora.file.fitting import check_fits
from lib_lora.models.families.identify import identify
from lib_lora.models.families.model_family import ModelInfo, Prediction
from lib_lora.models.reading.file_hashes import cached_sha256
from lib_lora.pictures import Cell
from lib_lora.runs.reopen import check_base
from lib_lora.training import distributed
from lib_lora.training.plan.run_file import Run
from lib_lora.training.precision import dtype_of
from lib_lora.workflows.library.usable_models import see_that_it_may_be_used
from lib_lora.workspace.grid_files import CELLS, PLAN_FILE

FIRST_SEED = 1000


def DiffusersPainter(info: ModelInfo, *how: Any) -> Painter:  # noqa: N802 - stands for the class
    """The painter of `grid.diffusers_painter`, which loads torch and diffusers."""
    from lib_lora.grid import diffusers_painter

    return diffusers_painter.DiffusersPainter(info, *how)


@dataclass(frozen=True)
class GridRequest:
    """Which checkpoint is tested, and how its pictures are painted.

    Attributes:
        step: of the checkpoint.
        weight: of the LoRA.
        steps: sampling steps, at least 1.
        count: of prompts.
        first_seed: of the first cell.
        sampler: a name that the painter knows.
        cfg: guidance scale; None = the one at which the run's base model is tested.
        side: pixels of a square picture; None = the side that the run was trained at.
        leak: paint a few pictures without the trigger too.
        more: further LoRA files with their weights, beside the checkpoint.
    """

    step: int
    weight: float = 1.0
    steps: int = 20
    count: int = len(PROMPTS)
    first_seed: int = FIRST_SEED
    sampler: str = "Euler"
    cfg: float | None = None
    side: int | None = None
    leak: bool = True
    more: tuple[tuple[Path, float], ...] = ()


class GridRun:
    """Paints for one run; the models are loaded at the first picture.

    Args:
        run: a trained run.
        emit: for events.
        painter: paints; None = diffusers, here.
        painter_id: names `painter`: a picture by one is never taken for one by another.
        base: another checkpoint to paint with; None = the run's own.

    Attributes:
        by: who paints, on which base; empty where it is diffusers on the run's own.
        base: path of the checkpoint that is painted with.

    Raises:
        UserError: the run's base model is gone or another; `base` is not of its family; or it must not be used.
    """

    def __init__(
        self,
        run: Run,
        emit: Callable[..., None],
        painter: Painter | None = None,
        painter_id: str = "",
        base: Path | None = None,
    ) -> None:
        self.run = run
        self.emit = emit
        own = run.file.base
        other = base if base and base.absolute() != Path(own.path).absolute() else None
        self.base = other or Path(own.path)
        if other is None:
            check_base(run)
        see_that_it_may_be_used(run.workspace.root, self.base, "" if other else own.sha256)
        self.info = identify(other, prediction=cast(Prediction, own.prediction)) if other else run.model()
        if self.info.family != own.family:
            raise UserError(
                f"{self.base.name} is of the family {self.info.family}, but {run.folder} was trained on {own.family}; "
                "choose a checkpoint of that family.",
                code="base-model-of-other-family",
                base=self.base.name,
            )
        self.by = f"{painter_id} on {_sha256(self.base, run)}" if other else painter_id
        self._painter = painter

    @property
    def painter(self) -> Painter:
        """Who paints."""
        if self._painter is None:
            train = self.run.file.settings
            self._painter = DiffusersPainter(
                self.info, distributed.device(), dtype_of(train.precision), train.clip_skip
            )
        return self._painter

    def plan(self, request: GridRequest) -> PaintPlan:
        """The cells that test one checkpoint at one weight.

        Raises:
            UserError: a further LoRA is gone, damaged, for another family than the base model, or must not be used.
        """
        for path, _ in request.more:
            see_that_it_may_be_used(self.run.workspace.root, path)
            check_fits(path, self.info.family, self.info.context_dim)
        character, train = self.run.file.character, self.run.file.settings
        side = request.side or train.resolution or self.info.resolution
        scale = self.run.file.base.guidance if request.cfg is None else request.cfg
        cells = test_cells(character, side, request.steps, request.first_seed, request.sampler, request.count, scale)
        ours = with_lora(cells, self.run.checkpoint(request.step), request.weight, request.more)
        leak = leak_cells(ours, character) if request.leak else []
        return PaintPlan({"base": base_cells(ours, character), "leak": leak, "lora": ours}, self.by)

    def paint(self, plan: PaintPlan, again: bool = False, parent: Path | None = None) -> Path:
        """Paint what is not there yet; returns the grid's folder with ``plan.json`` and ``cells/``.

        Args:
            plan: what to paint.
            again: paint with and without the trigger again even where this very plan was finished before.
            parent: in which the folder is made; None = among the run's test grids.

        Raises:
            UserError: the checkpoint is gone or damaged, or the disk is full.
        """
        folder = (
            unfinished(self.run, plan, parent)
            or (None if again else next(painted(self.run, plan, parent), None))
            or new_folder(self.run, parent)
        )
        kept = self._kept if again else self._kept_or_painted()
        paint_missing(plan, folder, lambda: self.painter, kept, self.emit)
        return folder

    def to_paint(self, plans: Sequence[PaintPlan], parent: Path | None = None) -> list[int]:
        """How many pictures `paint` will have to paint for each of several plans, one after the other."""
        counts: list[int] = []
        shared: set[str] = set()
        there = self._kept_or_painted()
        for plan in plans:
            folder = unfinished(self.run, plan, parent) or next(painted(self.run, plan, parent), None)
            missing = 0
            for name, cell in plan.items():
                if folder and (folder / CELLS / name).exists():
                    continue
                kept, key = there(cell), cell_key(cell)
                if key not in shared and not (kept and kept.exists()):
                    missing += 1
                shared.add(key)
            counts.append(missing)
        return counts

    def _kept_or_painted(self) -> Keep:
        """Where a cell's picture is: kept, or with a LoRA in another grid of this run, or beside another LoRA."""
        known: dict[str, Path] = {}
        plans = [path for home in (self.run.combined, self.run.grids) for path in home.glob(f"*/{PLAN_FILE}")]
        for path in sorted(plans, key=lambda one: (len(one.parent.name), one)):
            with suppress(UserError):
                known |= pictures_of(path, self.by)

        def find(cell: Cell) -> Path | None:
            return self._kept(cell) if cell.lora is None else known.get(cell_key(cell))

        return find

    def _kept(self, cell: Cell) -> Path | None:
        """Where the picture of a cell without LoRA is kept for the next grid; None for one with a LoRA."""
        if cell.lora is not None:
            return None
        train, base = self.run.file.settings, self.run.file.base
        by = [self.by] if self.by else []
        key = digest_of(base.sha256, base.prediction, train.precision, train.clip_skip, distributed.device(), cell, *by)
        return self.run.character_folder.base_pictures / f"{key}.png"


def _sha256(base: Path, run: Run) -> str:
    return cached_sha256(base, run.workspace.hashes)


def unfinished(run: Run, plan: PaintPlan, parent: Path | None = None) -> Path | None:
    """The newest grid of this very plan some of whose pictures are missing (the painting was stopped)."""
    return next((folder for folder in painted(run, plan, parent) if not plan.is_done(folder)), None)


def painted(run: Run, plan: PaintPlan, parent: Path | None = None) -> Iterator[Path]:
    """The folders of grids that were painted, or begun, by this very plan; the newest first."""
    return planned_folders(parent or run.grids, plan)


def new_folder(run: Run, parent: Path | None = None) -> Path:
    """The next grid's folder in `parent` (None = among the run's); two that are painted at once get two."""
    home = parent or run.grids
    with explained(home):
        file_permissions.make_folder(home)
        folder = make_numbered_folder(home)
        file_permissions.make_folder(folder / CELLS)
    return folder
