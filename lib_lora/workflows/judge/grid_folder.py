"""Finds in a test grid's folder the pictures to judge: those with the LoRA and the trigger word."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lib_lora.character.photo_files import list_photos
from lib_lora.errors import UserError
from lib_lora.files import printable, read_json
from lib_lora.grid.paint_plan import file_name
from lib_lora.workspace.grid_files import CELLS, PLAN_FILE, REPORT_FILE

_MOST_LETTERS = 100  # of a headline
_OURS = "lora"  # the role of the pictures with the LoRA and the trigger word


def judged_of_grid(path: Path) -> list[Path] | None:
    """The pictures of a test grid that were painted with the LoRA and the trigger word, in order.

    Args:
        path: the grid's folder, or the folder of its pictures.

    Returns:
        Those that are there; None where `path` is no grid's folder.

    Raises:
        UserError: none of them is there yet.
    """
    folder = _grid_of(path)
    try:
        plan = read_json(folder / PLAN_FILE)
    except UserError:
        return None
    if not isinstance(plan, dict) or not isinstance(plan.get(_OURS), list) or not (folder / CELLS).is_dir():
        return None
    wanted = (folder / CELLS / file_name(_OURS, number) for number in range(1, len(plan[_OURS]) + 1))
    found = [picture for picture in wanted if picture.is_file()]
    if not found:
        raise UserError(
            f"The test grid {folder} has no picture with the LoRA yet; finish painting it.",
            code="grid-incomplete",
            folder=folder,
        )
    return found


def notes_of_grids(paths: Sequence[Path]) -> list[str]:
    """For each of `paths` that is a grid's folder, what is judged of it, and what its own report says."""
    lines = []
    for path in paths:
        judged = judged_of_grid(path)
        if judged is None:
            continue
        rest = len(list_photos(judged[0].parent)) - len(judged)
        lines.append(
            f"{path} is a test grid: its {len(judged)} pictures with the LoRA are judged; the {rest} without the "
            "LoRA or the trigger word are left out."
        )
        if own := _own_verdict(_grid_of(path)):
            lines.append(f"The grid's own report says: {own}.")
    return lines


def _grid_of(path: Path) -> Path:
    """The grid's folder; `path` is it, or the folder of its pictures."""
    return path.parent if path.name == CELLS else path


def _own_verdict(folder: Path) -> str:
    """The headline of a grid's own report; empty where there is none that can be read."""
    try:
        said = read_json(folder / REPORT_FILE)
        return printable(str(said["verdict"]["headline"]))[:_MOST_LETTERS]
    except (UserError, KeyError, TypeError):
        return ""
