"""Writes the prompt and values for painting with a LoRA as A1111 writes them under a picture ("send to txt2img").

Loads no torch, since the webui's own process asks for it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lib_lora.character.store import Character
from lib_lora.pictures import NEGATIVE, Cell, parameters

RANDOM = -1  # as a seed
_SHOWN = {"half": "upper body", "full": "full body"}


def portrait(character: Character, side: int, cfg: float, framing: str = "") -> Cell:
    """A plain picture of the character, with a random seed.

    Args:
        character: who.
        side: pixels.
        cfg: guidance scale.
        framing: how much of the person is shown, as in `grid.prompts.Prompt`; empty = a portrait.
    """
    who = ", ".join([character.called, *character.traits])
    prompt = f"{_SHOWN.get(framing, 'portrait')} photo of {who}, looking at the camera"
    return Cell(prompt, NEGATIVE, RANDOM, width=side, height=side, cfg=cfg, framing=framing)


def infotext(cell: Cell, stem: str, weight: float = 1.0, clip_skip: int = 1) -> str:
    """The prompt of a picture with its values, which a webui takes apart again; the first line is the prompt.

    Args:
        cell: the picture.
        stem: the name of the delivered LoRA, without its suffix.
        weight: of the LoRA; 0 counts as 1.
        clip_skip: as in training.
    """
    prompt, negative = (" ".join(text.split()) for text in (cell.prompt, cell.negative))
    lora, weight = Path(f"{stem}.safetensors"), float(f"{weight or 1.0:.4g}")
    text = parameters(replace(cell, prompt=prompt, negative=negative, lora=lora, weight=weight))
    return text if clip_skip == 1 else f"{text}, Clip skip: {clip_skip}"
