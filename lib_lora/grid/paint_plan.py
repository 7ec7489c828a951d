"""Defines plans of pictures with any roles, and paints the pictures of a plan that are missing.

The test grid is one plan (with and without the LoRA, and without the trigger word); other plans have other roles. A
plan's folder holds ``plan.json`` and ``cells/01-ROLE.png``, ``02-ROLE.png``, ...
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from lib_lora import typed_settings
from lib_lora.errors import UserError
from lib_lora.files import atomic_file, explained, read_json, sha256_once, write_json
from lib_lora.grid.cells import Painter
from lib_lora.lora.file.integrity import check_whole
from lib_lora.pictures import Cell, save_picture
from lib_lora.workspace.grid_files import CELLS, PLAN_FILE

Keep = Callable[[Cell], Path | None]


@dataclass(frozen=True)
class PaintPlan:
    """What is to be painted.

    Attributes:
        roles: the cells of each role; the roles are painted in this order.
        by: who paints them, where that matters: a picture by one painter is never taken for one by another.
    """

    roles: Mapping[str, Sequence[Cell]]
    by: str = ""

    def __getitem__(self, role: str) -> Sequence[Cell]:
        return self.roles[role]

    def items(self) -> list[tuple[str, Cell]]:
        """File name and cell of each picture, in the order in which they are painted."""
        return [(file_name(role, number), cell) for role in self.roles for number, cell in enumerate(self[role], 1)]

    def values(self) -> dict[str, Any]:
        """What ``plan.json`` holds; LoRAs by their file names, so that a moved run knows its plans, and further ones by
        their SHA-256 besides, since such a file may be replaced.

        Raises:
            UserError: a further LoRA cannot be read.
        """
        by = {"by": self.by} if self.by else {}  # older plans have none, and are known all the same
        return {**{role: [_plain(cell) for cell in cells] for role, cells in self.roles.items()}, **by}

    def files(self, folder: Path) -> dict[str, list[Path]]:
        """Where the pictures of each role lie, or will lie, in the plan's folder."""
        return {
            role: [folder / CELLS / file_name(role, number) for number in range(1, len(cells) + 1)]
            for role, cells in self.roles.items()
        }

    def is_done(self, folder: Path) -> bool:
        """Whether all pictures are there."""
        return all((folder / CELLS / name).exists() for name, _ in self.items())


def file_name(role: str, number: int) -> str:
    """The name of a picture's file; numbers begin with 1."""
    return f"{number:02d}-{role}.png"


def _plain(cell: Cell) -> dict[str, Any]:
    more = [[path.name, weight, sha256_once(path)] for path, weight in cell.more]
    values = {**typed_settings.to_dict(replace(cell, more=())), "lora": cell.lora.name if cell.lora else None}
    values["more"] = more
    unused: dict[str, Any] = {"start": None, "strength": 1.0, "variation": 0.0, "variation_seed": 0, "more": []}
    unused |= {"detail": 0.0, "detail_side": 512, "inverted": False}
    # older plans have none of these; what a plan does not use does not stand in it
    return {name: value for name, value in values.items() if name not in unused or value != unused[name]}


def cell_key(cell: Cell) -> str:
    """What tells a cell from all others, wherever its LoRA lies."""
    return json.dumps(_plain(cell), sort_keys=True)


def pictures_of(plan: Path, by: str) -> dict[str, Path]:
    """The pictures with a LoRA that are there of a plan that was painted `by` the same, by their `cell_key`.

    Args:
        plan: path of its ``plan.json``.
        by: see `PaintPlan`.

    Raises:
        UserError: it cannot be read.
    """
    values = read_json(plan)
    if not isinstance(values, dict) or values.get("by", "") != by:
        return {}
    found = {}
    for role, cells in values.items():
        if not role.isidentifier() or not isinstance(cells, list):
            continue
        for number, cell in enumerate(cells, 1):
            path = plan.parent / CELLS / file_name(role, number)
            if isinstance(cell, dict) and cell.get("lora") and path.is_file():
                found[json.dumps(cell, sort_keys=True)] = path
    return found


def planned_folders(parent: Path, plan: PaintPlan) -> Iterator[Path]:
    """The folders in `parent` that were painted, or begun, by this very plan; the newest first."""
    wanted = plan.values()
    for path in sorted(parent.glob(f"*/{PLAN_FILE}"), key=lambda one: (len(one.parent.name), one), reverse=True):
        try:
            if read_json(path) == wanted:
                yield path.parent
        except UserError:
            continue  # damaged: it is painted again


def missing_of(plan: PaintPlan, folder: Path, kept: Keep) -> list[tuple[str, Cell]]:
    """File name and cell of each picture that has to be painted; a kept one is copied into the folder."""
    return [(name, cell) for name, cell in plan.items() if not _is_there(folder / CELLS / name, kept(cell))]


def _is_there(path: Path, kept: Path | None) -> bool:
    if kept is not None and not path.exists() and kept.exists():
        _copy(kept, path)
    return path.exists()


def _copy(source: Path, target: Path) -> None:
    with explained(target), atomic_file(target) as stream:
        stream.write(source.read_bytes())


def paint_missing(
    plan: PaintPlan, folder: Path, painter: Callable[[], Painter], kept: Keep, emit: Callable[..., None]
) -> None:
    """Write the plan, and paint what of it is not in the folder; each picture is saved as soon as it is painted.

    Args:
        plan: what to paint.
        folder: of the plan.
        painter: gives who paints; asked only where something is missing.
        kept: where a cell's picture is kept for other plans, or None.
        emit: gets ``painting`` events with done and total.

    Raises:
        UserError: a LoRA is gone or damaged, or the disk is full.
    """
    write_json(folder / PLAN_FILE, plan.values())
    missing, total = missing_of(plan, folder, kept), len(plan.items())
    for lora in {cell.lora for _, cell in missing if cell.lora is not None}:
        check_whole(lora)
    done = total - len(missing)
    paints = painter() if missing else None  # whatever is wrong with the models is said before the first bar
    emit("painting", done=done, total=total, folder=str(folder))
    if paints is None:
        return

    def each(number: int, picture: Image.Image) -> None:
        nonlocal done
        name, cell = missing[number]
        infotext = str(picture.info.get("parameters", ""))  # where the painter has words of its own
        path = folder / CELLS / name
        save_picture(path, picture, cell, infotext)
        place = kept(cell)
        if place is not None:
            _copy(path, place)
        done += 1
        emit("painting", done=done, total=total)

    paints.paint([cell for _, cell in missing], each)
