"""The words that paint with a LoRA: prompt and values as A1111 writes them under a picture, for "send to txt2img".

Loads no torch, since the webui's own process asks for it.
"""

from __future__ import annotations

from lib_lora.deploy.given import Cell, Run

_NEGATIVE = "blurry, deformed, extra limbs, lowres"  # of the test grid too
_SIDES = {"sd1": 512, "sd2": 512, "sdxl": 1024}


def prompt(run: Run, stem: str, weight: float = 1.0, cell: Cell | None = None) -> str:
    """A prompt that shows the character.

    Args:
        run: of the LoRA.
        stem: the name of the delivered file, without its suffix.
        weight: of the LoRA; 0 counts as 1.
        cell: a painted picture whose prompt it shall be; None = a plain portrait.
    """
    character = run.file.character
    who = ", ".join([f"{character.trigger} {character.class_word}", *character.traits])
    words = cell.prompt if cell else f"portrait photo of {who}, looking at the camera"
    return f"{' '.join(words.split())} <lora:{stem}:{_number(weight or 1.0)}>"


def infotext(run: Run, stem: str, weight: float = 1.0, cell: Cell | None = None) -> str:
    """The prompt with its values, which a webui takes apart again.

    Args:
        run, stem, weight, cell: as for `prompt`. Without a cell the seed is random, and the size that of the training.
    """
    file = run.file
    side = file.settings.resolution or (768 if file.base.prediction == "v" else _SIDES[file.base.family])
    values = {
        "Steps": cell.steps if cell else 20,
        "Sampler": cell.sampler if cell else "Euler",
        "CFG scale": _number(cell.cfg if cell else file.base.guidance),
        "Seed": cell.seed if cell else -1,
        "Size": f"{cell.width}x{cell.height}" if cell else f"{side}x{side}",
    }
    if file.base.family == "sd1" and file.settings.clip_skip > 1:
        values["Clip skip"] = file.settings.clip_skip
    negative = " ".join((cell.negative if cell else _NEGATIVE).split())
    lines = [prompt(run, stem, weight, cell), f"Negative prompt: {negative}" if negative else ""]
    return "\n".join([*filter(None, lines), ", ".join(f"{key}: {value}" for key, value in values.items())])


def _number(value: float) -> str:
    return f"{value:.4g}"
