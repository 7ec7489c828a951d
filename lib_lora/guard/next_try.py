"""Paints a picture of a run once more with another seed, within the webui's own loop over its pictures.

The webui's loop has a fixed number of turns, so one more picture is a run of its own within it, as ADetailer does it:
a copy of ``p`` with one picture and the words that this one was painted with. Other extensions take part as they did.
"""

from __future__ import annotations

import copy
import hashlib
from contextlib import suppress
from typing import Any

from PIL import Image

from lib_lora.guard.guard_words import KEY
from lib_lora.guard.guarded_run import INNER, number_of
from lib_lora.hosts.webuis import webui_generation

_COLLECTED = ("latents_after_sampling", "pixels_after_sampling", "extra_result_images")  # by Forge, for the run
_STATEFUL = ("controlnet",)  # scripts that are ready for the next batch only if their `process` runs again


def paint_again(p: Any, seed: int) -> Image.Image | None:
    """Another picture in place of the one at hand; None where nothing came of it.

    Args:
        p: the ``StableDiffusionProcessing`` of the run; it stays as it is.
        seed: of the new picture.

    Raises:
        Exception: whatever the webui raises.
    """
    one = _asking_for_one(p, seed)
    try:
        return webui_generation.one_more(one, 2 if getattr(one, "enable_hr", False) else 1)
    finally:
        close = getattr(one, "close", None)
        if close is not None:
            close()


def next_seed(seed: int, attempt: int) -> int:
    """The seed of a further try: the same each time, and none that the neighbours in a batch have.

    Args:
        seed: of the first try.
        attempt: number of the try, from 2.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{attempt}".encode()).digest()[:4], "big")


def make_ready_again(p: Any) -> None:
    """Before the next batch of a run in which something was painted within: see `_STATEFUL`."""
    if int(getattr(p, "iteration", 0)) + 1 >= int(p.n_iter):
        return
    for script in getattr(p.scripts, "alwayson_scripts", None) or []:
        if script.title().lower() in _STATEFUL:
            script.process(copy.copy(p), *p.script_args[script.args_from : script.args_to])


def _asking_for_one(p: Any, seed: int) -> Any:
    place, number = int(p.batch_index), number_of(p)
    one = copy.copy(p)
    setattr(one, INNER, True)
    one.prompt = _at(p.prompts, place) or _at(p.all_prompts, number) or p.prompt
    one.negative_prompt = _at(p.negative_prompts, place, "")
    one.styles = []  # they are in the words by now
    one.seed, one.subseed = seed, _at(p.subseeds, place, -1)
    one.n_iter = one.batch_size = 1
    one.iteration = one.batch_index = 0
    one.do_not_save_samples = one.do_not_save_grid = True
    one.override_settings = dict(p.override_settings)
    one.extra_generation_params = {name: value for name, value in p.extra_generation_params.items() if name != KEY}
    with suppress(AttributeError, TypeError):
        one.comments = dict(p.comments)
    for name in ("hr_prompt", "hr_negative_prompt"):
        words = _at(getattr(p, f"all_{name}s", None), number)
        if getattr(p, name, "") and words:
            setattr(one, name, words)
    for name in ("init_images", "color_corrections"):  # one for each picture of the batch
        values = getattr(p, name, None)
        if isinstance(values, (list, tuple)) and len(values) > 1 and place < len(values):
            setattr(one, name, [values[place]])
    for name in _COLLECTED:
        if isinstance(getattr(p, name, None), list):
            setattr(one, name, [])
    return one


def _at(values: Any, place: int, otherwise: Any = None) -> Any:
    return values[place] if isinstance(values, (list, tuple)) and place < len(values) else otherwise
