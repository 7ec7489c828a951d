"""Makes the workflow that paints one cell in ComfyUI.

ComfyUI's pictures are not A1111's of the same seed: it draws the noise on the CPU, weighs words of a prompt in another
way, and rounds elsewhere. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lib_lora.comfyui.graph import Graph, Link, Node
from lib_lora.comfyui.sampler_names import comfy_sampler
from lib_lora.errors import UserError
from lib_lora.models.families.painting import ComfyNodes
from lib_lora.models.families.registry import family_named
from lib_lora.pictures import Cell

LOADER, LORA, SAMPLER, PICTURE = "CheckpointLoaderSimple", "LoraLoader", "KSampler", "9"
_LAST_LAYER = -24  # ComfyUI's limit


@dataclass(frozen=True)
class ComfyBase:
    """A base model as ComfyUI is asked for it.

    Attributes:
        checkpoint: its name in ComfyUI's list.
        family: name of the model family.
        prediction: what it predicts.
        zero_snr: its schedule ends without signal.
        clip_skip: as in training; 1 = the last layer.
    """

    checkpoint: str
    family: str
    prediction: str
    zero_snr: bool = False
    clip_skip: int = 1


def family_nodes(family: str, checkpoint: str) -> ComfyNodes:
    """What a model family changes in the workflow.

    Raises:
        UserError: the workflow cannot paint with that family; `checkpoint` names the model in the sentence.
    """
    found = family_named(family)
    if found.comfy_nodes is None:
        raise UserError(
            f"{checkpoint} is {found.label}, which needs another workflow in ComfyUI than SameFace's; choose the webui "
            "as the painter.",
            code="comfyui-family-unknown",
            family=family,
        )
    return found.comfy_nodes


def workflow(
    cell: Cell,
    base: ComfyBase,
    loras: Sequence[tuple[str, float]] = (),
    keep_as: str = "",
    start: str = "",
) -> dict[str, Node]:
    """The nodes that paint a cell; the picture comes out of node `PICTURE`.

    Args:
        cell: what is asked for; the paths of its LoRAs are not looked at.
        base: the model.
        loras: names in ComfyUI's list of LoRAs, with their weights, which count for UNet and text encoder alike.
        keep_as: how the pictures' names begin in ComfyUI's output folder; empty = it keeps them until its next start.
        start: the name of the picture to begin from, as ComfyUI knows it; empty = from noise alone.

    Raises:
        UserError: ComfyUI has no such sampler, or the cell asks for something that it cannot do; or this workflow does
            not paint with the family.
    """
    special = family_nodes(base.family, base.checkpoint)
    nodes: dict[str, Node] = {"4": Node(LOADER, values={"ckpt_name": base.checkpoint})}
    model, clip = _loras(nodes, loras)
    model = _sampling(nodes, base, special, model)
    if base.clip_skip > 1 and family_named(base.family).most_clip_skip:
        layer = max(_LAST_LAYER, -base.clip_skip)
        nodes["11"] = Node("CLIPSetLastLayer", {"clip": clip}, {"stop_at_clip_layer": layer}, column=1)
        clip = ("11", 0)
    nodes["6"] = Node("CLIPTextEncode", {"clip": clip}, {"text": cell.prompt}, "Prompt", column=2)
    nodes["7"] = Node("CLIPTextEncode", {"clip": clip}, {"text": cell.negative}, "Negative prompt", column=2)
    latent = _latent(nodes, cell, special, start)
    sampler, scheduler = comfy_sampler(cell.sampler)
    nodes["3"] = Node(
        SAMPLER,
        {"model": model, "positive": ("6", 0), "negative": ("7", 0), "latent_image": latent},
        {
            "seed": cell.seed,
            "steps": cell.steps,
            "cfg": cell.cfg,
            "sampler_name": sampler,
            "scheduler": scheduler,
            "denoise": cell.strength if start else 1.0,
        },
        column=3,
    )
    nodes["8"] = Node("VAEDecode", {"samples": ("3", 0), "vae": ("4", 2)}, column=4)
    values = {"filename_prefix": keep_as} if keep_as else {}
    nodes[PICTURE] = Node("SaveImage" if keep_as else "PreviewImage", {"images": ("8", 0)}, values, column=5)
    return nodes


def _loras(nodes: dict[str, Node], loras: Sequence[tuple[str, float]]) -> tuple[Link, Link]:
    """Where the model and its text encoder come from behind all LoRAs."""
    model: Link = ("4", 0)
    clip: Link = ("4", 1)
    for number, (name, weight) in enumerate(loras):
        node = str(20 + number)
        values: dict[str, Any] = {"lora_name": name, "strength_model": weight, "strength_clip": weight}
        nodes[node] = Node(LORA, {"model": model, "clip": clip}, values, column=1)
        model, clip = (node, 0), (node, 1)
    return model, clip


def _sampling(nodes: dict[str, Node], base: ComfyBase, special: ComfyNodes, model: Link) -> Link:
    """The model, and behind it what ComfyUI does not see in the file."""
    told = special.sampling.get(base.prediction)
    if told is None:
        return model
    schedule = {told.zero_snr: base.zero_snr} if told.zero_snr else {}
    nodes["12"] = Node(told.kind, {"model": model}, {**told.values, **schedule}, column=1)
    return ("12", 0)


def _latent(nodes: dict[str, Node], cell: Cell, special: ComfyNodes, start: str) -> Link:
    """What is painted over: nothing, or a picture."""
    if not start:
        size = {"width": cell.width, "height": cell.height, "batch_size": 1}
        nodes["5"] = Node(special.latent, values=size, column=2)
        return ("5", 0)
    nodes["13"] = Node("LoadImage", values={"image": start})
    scaled = {"upscale_method": "lanczos", "width": cell.width, "height": cell.height, "crop": "disabled"}
    nodes["14"] = Node("ImageScale", {"image": ("13", 0)}, scaled, column=1)
    nodes["15"] = Node("VAEEncode", {"pixels": ("14", 0), "vae": ("4", 2)}, column=2)
    return ("15", 0)


def kinds_of(graph: Graph) -> set[str]:
    """The classes of nodes that it needs."""
    return {node.kind for node in graph.values()}
