"""Paints the plans that another machine puts into a folder (`judge.painting.place_painter`), until it is ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from PIL import Image

from lib_lora.errors import UserError
from lib_lora.files import atomic_file, read_json, write_json
from lib_lora.models.families.identify import identify
from lib_lora.models.fast.memory import is_out_of_memory
from lib_lora.pictures import Cell
from lib_lora.queue.running.worker_pipe import WorkerPipe
from lib_lora.remote.agent import ASKED, HEARTBEAT
from lib_lora.training.plan.train_settings import Precision
from lib_lora.typed_settings import from_dict

_POLL = 0.1  # seconds between two checks for a plan


def paint_plans(data: Path, pipe: WorkerPipe) -> None:
    """Paint each plan in the order of its number.

    Args:
        data: the folder; ``how.json`` says with what is painted, and after how many silent seconds this ends;
            ``plans/0001.json`` which cells. There come ``pictures/0001-0000.png`` and so on, and ``done/0001.json``
            with the error, if there was one.
        pipe: to the parent; its end, or its wish, ends this.
    """
    painter, how = None, read_json(data / "how.json")
    number = 1
    while not pipe.stopping() and not _forgotten(data, how):
        plan = data / "plans" / f"{number:04d}.json"
        if not plan.is_file():
            time.sleep(_POLL)
            continue
        error = ""
        try:
            painter = painter or _painter(how)
            _paint(painter, data, f"{number:04d}", read_json(plan)["cells"], partial(_check, data, how, pipe))
        except _ForgottenError:
            return
        except UserError as refused:
            error = str(refused)
        except Exception as failure:
            lacking = is_out_of_memory(failure)
            error = "Out of memory while painting; use a machine with more." if lacking else f"{failure!r}"[:300]
        write_json(data / "done" / f"{number:04d}.json", {"error": error})
        number += 1


class _ForgottenError(Exception):
    """Who wanted the pictures is gone."""


def _check(data: Path, how: dict[str, Any], pipe: WorkerPipe) -> None:
    pipe.check()
    if _forgotten(data, how):
        raise _ForgottenError


def _forgotten(data: Path, how: dict[str, Any]) -> bool:
    """Whether nobody has asked for long: who wanted the pictures is gone. On a rented pod, which is nobody else's, any
    request counts, such as those while a LoRA is sent."""
    marks = [path for folder in data.parents for name in (ASKED, HEARTBEAT) if (path := folder / name).is_file()]
    since = max(path.stat().st_mtime for path in marks or [data])
    return time.time() - since > float(how["forgotten"])


def _painter(how: dict[str, Any]) -> Any:
    from lib_lora.grid.diffusers_painter import DiffusersPainter
    from lib_lora.training import distributed
    from lib_lora.training.precision import dtype_of, resolve

    device = distributed.device()
    wanted = "auto" if how["precision"] == "fp16" and device.type == "cpu" else how["precision"]
    info = identify(Path(how["base"]), prediction=how["prediction"])
    return DiffusersPainter(info, device, dtype_of(resolve(cast(Precision, wanted), device)), how["clip_skip"])


def _paint(painter: Any, data: Path, number: str, rows: list[dict[str, Any]], check: Callable[[], None]) -> None:
    cells = [_cell(row, data) for row in rows]

    def each(place: int, picture: Image.Image) -> None:
        check()
        with atomic_file(data / "pictures" / f"{number}-{place:04d}.png") as stream:
            picture.save(stream, "PNG", compress_level=1)

    painter.paint(cells, each)


def _cell(row: dict[str, Any], data: Path) -> Cell:
    """A cell whose files are named as they lie below `data`."""
    plain = from_dict(Cell, {**row, "lora": None, "start": None, "more": [], "attributes": []}, "the plan")
    return replace(
        plain,
        lora=data / row["lora"] if row["lora"] else None,
        start=data / row["start"] if row["start"] else None,
        more=tuple((data / name, float(weight)) for name, weight in row["more"]),
    )
