"""Writes the workflow that paints with a delivered LoRA in ComfyUI, beside the LoRA and into ComfyUI's own list.

Beside ``NAME.safetensors`` lie ``NAME.workflow.json`` (for the page), ``NAME.workflow-api.json`` (for programs) and
``NAME.workflow.png``, which can be dropped on the page. What the user has changed in ComfyUI's list stays theirs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lib_lora.comfyui.graph import Graph, api_form, ui_form
from lib_lora.comfyui.sampler_names import comfy_sampler
from lib_lora.comfyui.workflow import ComfyBase, workflow
from lib_lora.deploy.comfyui import ComfyFolders
from lib_lora.deploy.vector_files import for_comfyui
from lib_lora.errors import UserError
from lib_lora.files import atomic_file, digest_of, explained, opened, read_json, write_json
from lib_lora.pictures import Cell

_OWN = "sameface"  # in a workflow's "extra", which ComfyUI keeps
_KEPT = ("parameters", "DigitalSourceType", "XML:com.adobe.xmp")  # texts of a painted picture
_PLAIN = "Euler"  # the sampler in place of one that ComfyUI lacks
_SIDE = 512  # of a picture that says no more than what it is for


@dataclass(frozen=True)
class Recipe:
    """How a LoRA is painted with.

    Attributes:
        cell: the picture that the workflow paints; its LoRA is not looked at.
        base: the model, by its file's name.
        weight: of the LoRA; 0 counts as 1.
        picture: one that was painted with it; None = there is none.
    """

    cell: Cell
    base: ComfyBase
    weight: float = 1.0
    picture: Path | None = None


def sampler_for(cell: Cell) -> tuple[Cell, str]:
    """A picture with a sampler that ComfyUI has, and a sentence where that is another one; else an empty text."""
    try:
        comfy_sampler(cell.sampler)
    except UserError as error:
        if error.code != "comfyui-sampler-unknown":
            raise
        said = f"ComfyUI has no sampler {cell.sampler[:60]!r}; the workflow paints with {_PLAIN} instead."
        return replace(cell, sampler=_PLAIN), said
    return cell, ""


def write_workflows(lora: Path, there: ComfyFolders, recipe: Recipe) -> list[Path]:
    """Write the workflow of a delivered LoRA. Vectors of its words are copied to ComfyUI's embeddings, if it is known
    where these are, and the prompt names them as ComfyUI has it.

    Args:
        lora: in or below ComfyUI's folder for LoRAs.
        there: ComfyUI's folders.
        recipe: how to paint with it.

    Returns:
        The workflows that were written, the picture first.

    Raises:
        UserError: a folder cannot be written, or ComfyUI has no such sampler.
    """
    name = str(lora.relative_to(there.loras))  # with this system's separators, as ComfyUI has them
    prompt = for_comfyui(lora, there.embeddings, recipe.cell.prompt)
    cell = replace(recipe.cell, prompt=prompt, seed=max(0, recipe.cell.seed))
    graph = workflow(cell, recipe.base, [(name, recipe.weight or 1.0)], keep_as=lora.stem)
    page, program = lora.with_suffix(".workflow.json"), lora.with_suffix(".workflow-api.json")
    shown = ui_form(graph)
    write_json(page, shown)
    write_json(program, api_form(graph))
    written = [_write_picture(lora.with_suffix(".workflow.png"), graph, recipe.picture), page, program]
    return [*written, *_listed(shown, lora.stem, there.workflows)]


def _listed(shown: dict[str, Any], stem: str, folder: Path | None) -> Sequence[Path]:
    """Put it into ComfyUI's list of workflows, unless the user has changed what is there under its name."""
    if folder is None:
        return []
    path = folder / f"{stem}.json"
    if path.exists() and not _is_ours(path):
        return []
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_json(path, {**shown, "extra": {_OWN: _digest(shown)}})
    return [path]


def _is_ours(path: Path) -> bool:
    """Whether a workflow is as it was written."""
    with suppress(UserError, RecursionError):
        there = read_json(path)
        extra = there.get("extra") if isinstance(there, dict) else None
        return isinstance(extra, dict) and extra.get(_OWN) == _digest(there)
    return False


def _digest(shown: dict[str, Any]) -> str:
    return str(digest_of([shown.get("nodes"), shown.get("links")]))


def _write_picture(path: Path, graph: Graph, picture: Path | None) -> Path:
    """A PNG with both forms of the workflow in it."""
    texts = PngInfo()
    image = _opened(picture, texts) or Image.new("RGB", (_SIDE, _SIDE), "#dfe6ea")
    texts.add_text("prompt", json.dumps(api_form(graph)))
    texts.add_text("workflow", json.dumps(ui_form(graph)))
    with explained(path), atomic_file(path) as stream:
        image.save(stream, "PNG", pnginfo=texts)
    return path


def _opened(picture: Path | None, texts: PngInfo) -> Image.Image | None:
    """A painted picture; what it says of how it was painted, and that it is generated, is added to `texts`."""
    if picture is None:
        return None
    try:
        with opened(picture) as stream, Image.open(stream) as image:
            for name in _KEPT:
                if text := getattr(image, "text", {}).get(name):
                    texts.add_itxt(name, str(text))
            found: Image.Image = image.convert("RGB")
            return found
    except (OSError, ValueError, SyntaxError):  # gone or damaged: the workflow matters more
        return None
