"""Paints the plans that another machine puts into a folder (`judge.painting.place_painter`), until it is ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

from PIL import Image

from lib_lora.errors import UserError
from lib_lora.files import atomic_file, write_json
from lib_lora.grid.cells import Painter
from lib_lora.models.families.identify import identify
from lib_lora.models.families.model_family import Prediction
from lib_lora.models.fast.memory import is_out_of_memory
from lib_lora.queue.running.worker_pipe import WorkerPipe
from lib_lora.remote.agent import ASKED, HEARTBEAT
from lib_lora.workflows.judge.painting.sent_plans import PainterSetup, plan_file, read_plan, read_setup

_POLL = 0.1  # seconds between two checks for a plan


def paint_plans(data: Path, pipe: WorkerPipe) -> None:
    """Paint each plan in the order of its number.

    Args:
        data: the folder; ``how.json`` says with what is painted, and after how many silent seconds this ends;
            ``plans/0001.json`` which cells (`judge.painting.sent_plans`). There come ``pictures/0001-0000.png`` and so
            on, and ``done/0001.json`` with the error, if there was one.
        pipe: to the parent; its end, or its wish, ends this.
    """
    painter, setup, number = None, read_setup(data), 1
    while not pipe.stopping() and not _forgotten(data, setup.forgotten):
        name = f"{number:04d}"
        if not (data / plan_file(name)).is_file():
            time.sleep(_POLL)
            continue
        error = ""
        try:
            painter = painter or _painter(setup)
            _paint(painter, data, name, partial(_check, data, setup.forgotten, pipe))
        except _ForgottenError:
            return
        except UserError as refused:
            error = str(refused)
        except Exception as failure:
            lacking = is_out_of_memory(failure)
            error = "Out of memory while painting; use a machine with more." if lacking else f"{failure!r}"[:300]
        write_json(data / "done" / f"{name}.json", {"error": error})
        number += 1


class _ForgottenError(Exception):
    """Who wanted the pictures is gone."""


def _check(data: Path, patience: float, pipe: WorkerPipe) -> None:
    pipe.check()
    if _forgotten(data, patience):
        raise _ForgottenError


def _forgotten(data: Path, patience: float) -> bool:
    """Whether nobody has asked for so many seconds: who wanted the pictures is gone. On a rented pod, which is nobody
    else's, any request counts, such as those while a LoRA is sent."""
    marks = [path for folder in data.parents for name in (ASKED, HEARTBEAT) if (path := folder / name).is_file()]
    since = max(path.stat().st_mtime for path in marks or [data])
    return time.time() - since > patience


def _painter(setup: PainterSetup) -> Painter:
    from lib_lora.grid.diffusers_painter import DiffusersPainter
    from lib_lora.training import distributed
    from lib_lora.training.precision import dtype_of, resolve

    device = distributed.device()
    wanted = "auto" if setup.precision == "fp16" and device.type == "cpu" else setup.precision
    info = identify(Path(setup.base), prediction=cast(Prediction, setup.prediction))
    return DiffusersPainter(info, device, dtype_of(resolve(wanted, device)), setup.clip_skip)


def _paint(painter: Painter, data: Path, number: str, check: Callable[[], None]) -> None:
    def each(place: int, picture: Image.Image) -> None:
        check()
        with atomic_file(data / "pictures" / f"{number}-{place:04d}.png") as stream:
            picture.save(stream, "PNG", compress_level=1)

    painter.paint(read_plan(data, number), each)
