"""Makes the painter of a run's pictures through a ComfyUI, from its address alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from PIL import Image

from lib_lora.comfyui.comfy_address import BY
from lib_lora.comfyui.comfy_api import ComfyApi
from lib_lora.comfyui.comfy_files import ComfyFiles, sweep_copies
from lib_lora.comfyui.comfy_painter import ComfyJob, ComfyPainter
from lib_lora.comfyui.workflow import family_nodes
from lib_lora.deploy.comfyui import folder
from lib_lora.errors import UserError
from lib_lora.files import slug
from lib_lora.lora.file.own_vectors import refuse_vectors
from lib_lora.pictures import Cell
from lib_lora.runs.records.origin import comfy_base
from lib_lora.training.plan.run_file import Run
from lib_lora.workflows.judge.painting.painters import LocalVae
from lib_lora.workspace import preferences


class LateComfyPainter:
    """See `grid.cells.Painter`: a ComfyUI that paints a run's pictures, connected to when it is first needed, so that
    what needs no picture needs no ComfyUI. It is to be closed.

    Args:
        root: the data folder, whose settings name ComfyUI's folder where it is on this machine.
        address: such as ``127.0.0.1:8188``.
        run: whose base model, clip skip and LoRAs are painted with.
        stopping: asked meanwhile; true = paint no more.

    Attributes:
        by: who paints, as plans have it.
    """

    by = BY

    def __init__(self, root: Path, address: str, run: Run, stopping: Callable[[], bool] = lambda: False) -> None:
        self._connect = partial(_connected, root, address, run, stopping)
        self._painter: ComfyPainter | None = None
        self._vae = LocalVae(run.model)

    def connect(self) -> ComfyPainter:
        """Connect to it, so that what is wrong there is said now.

        Raises:
            UserError: ComfyUI cannot be reached, does not have the base model, or the model is of a kind that its plain
                workflow does not paint.
        """
        if self._painter is None:
            self._painter = self._connect(self._vae)
        return self._painter

    def paint(self, cells: Sequence[Cell], each: Callable[[int, Image.Image], None] | None = None) -> list[Image.Image]:
        """See `ComfyPainter.paint`.

        Raises:
            UserError: as there, or as with `connect`; or a LoRA has vectors, which ComfyUI would leave out.
            StoppedByUser: as there.
        """
        refuse_vectors(cells, "ComfyUI")
        return self.connect().paint(cells, each)

    def reconstruct(self, image: Image.Image) -> Image.Image | None:
        """See `ComfyPainter.reconstruct`."""
        return self._vae(image)

    def close(self) -> None:
        """See `ComfyPainter.close`."""
        if self._painter is not None:
            self._painter.close()


def _connected(root: Path, address: str, run: Run, stopping: Callable[[], bool], vae: LocalVae) -> ComfyPainter:
    base = run.file.base
    family_nodes(base.family, Path(base.path).name)  # before anything is asked of ComfyUI
    api = ComfyApi(address)
    api.version()  # whatever is wrong with the address is said first
    loras = _loras(root)
    if loras is not None:
        sweep_copies(loras)
    files = ComfyFiles(api, loras, slug(run.file.character.name))
    there = comfy_base(run, files.checkpoint(Path(base.path)))
    return ComfyPainter(api, files, ComfyJob(there, Path(base.path).stem, stopping), vae)


def _loras(root: Path) -> Path | None:
    """The folder for LoRAs of the ComfyUI that is set; the one that paints may be another, so it may be gone."""
    comfy = preferences.load(root).comfyui
    with suppress(UserError):
        return folder(Path(comfy)) if comfy else None
    return None
