"""Defines what is sent to a painter on another machine: with what it paints, and its plans of cells.

`place_painter` writes them, and `worker.paint_plans` there reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lib_lora.errors import UserError
from lib_lora.files import read_json
from lib_lora.pictures import Cell
from lib_lora.training.plan.train_settings import Precision
from lib_lora.typed_settings import from_dict, to_dict

SETUP = "how.json"


@dataclass(frozen=True)
class PainterSetup:
    """With what is painted.

    Attributes:
        base: path of the base model there.
        prediction: what it predicts.
        precision: as in training.
        clip_skip: as in training.
        forgotten: seconds without a question after which the painter ends.
    """

    base: str
    prediction: str
    precision: Precision
    clip_skip: int
    forgotten: float

    def values(self) -> dict[str, Any]:
        """What `SETUP` holds."""
        return to_dict(self)


def read_setup(data: Path) -> PainterSetup:
    """The setup in a folder.

    Raises:
        UserError: it is missing or damaged.
    """
    return from_dict(PainterSetup, read_json(data / SETUP), SETUP)


def plan_file(number: str) -> str:
    """The name of a plan's file below the folder."""
    return f"plans/{number}.json"


def plan_values(cells: Sequence[Cell], names: Mapping[Path, str]) -> dict[str, Any]:
    """What a plan's file holds; `names` gives each file of a cell as it lies below the folder."""
    rows = [
        {
            **asdict(cell),
            "lora": names[cell.lora] if cell.lora else None,
            "start": names[cell.start] if cell.start else None,
            "more": [[names[path], weight] for path, weight in cell.more],
        }
        for cell in cells
    ]
    return {"cells": rows}


def read_plan(data: Path, number: str) -> list[Cell]:
    """The cells of a plan, with the paths of their files.

    Raises:
        UserError: the plan is damaged.
    """
    name = plan_file(number)
    try:
        return [_cell(row, data, name) for row in read_json(data / name)["cells"]]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{name} is damaged ({error!r}); paint again.", code="painting-plan-damaged") from error


def _cell(row: Mapping[str, Any], data: Path, name: str) -> Cell:
    plain = from_dict(Cell, {**row, "lora": None, "start": None, "more": [], "attributes": []}, name)
    return replace(
        plain,
        lora=data / row["lora"] if row["lora"] else None,
        start=data / row["start"] if row["start"] else None,
        more=tuple((data / file, float(weight)) for file, weight in row["more"]),
        attributes=tuple(str(one) for one in row["attributes"]),
    )
