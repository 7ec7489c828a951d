"""Reads a webui's scripts and state while it paints the user's own pictures, and has it paint one picture more.

Everything is called from the webui's painting thread, with the queue held by whoever pressed Generate.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from lib_lora.hosts.webui_attributes import ask, ask_or, put
from lib_lora.hosts.webuis.webui_painting import no_last_generation

_XYZ = "xyz_grid.py"


def script_class() -> tuple[type[Any], Any]:
    """The base class of its scripts, and what `show` of one gives that is always there.

    Raises:
        AttributeMissing: this webui has no such scripts.
    """
    return ask("scripts:Script"), ask("scripts:AlwaysVisible")


def on_saving(before: Callable[[Any], None], after: Callable[[Any], None]) -> None:
    """Have functions called before and after a picture is written; they get its ``ImageSaveParams``.

    Raises:
        AttributeMissing: this webui does not do so.
    """
    ask("script_callbacks:on_before_image_saved")(before)
    ask("script_callbacks:on_image_saved")(after)


def on_before_page(work: Callable[[], None]) -> None:
    """Have a function called once all scripts are loaded, before the page is made; never, where there is no such
    time."""
    ask_or("script_callbacks:on_before_ui", _nothing)(work)


def is_cut_short() -> bool:
    """Whether Interrupt or Skip was pressed: the current picture may be half painted."""
    return bool(ask_or("shared:state.interrupted") or ask_or("shared:state.skipped"))


def is_ending() -> bool:
    """Whether nothing more is to be painted after the current picture."""
    return is_cut_short() or bool(ask_or("shared:state.stopping_generation"))


def translations() -> dict[str, str]:
    """The texts of the language that the webui's settings name, by the English ones; empty where it is English, or
    its files cannot be read."""
    named, chosen = ask_or("localization:localizations", {}), ask_or("shared:opts.localization")
    found = named.get(chosen) if isinstance(named, dict) and isinstance(chosen, str) else None
    words: dict[str, str] = {}
    for path in found if isinstance(found, (list, tuple)) else [found] if found else []:
        try:
            read = json.loads(Path(path).read_text(encoding="utf-8"))
            words |= {text: said for text, said in read.items() if text and _is_text(said)}
        except Exception:  # whatever another program's file holds, a picture is not to be lost for it
            continue
    return words


def _is_text(said: object) -> bool:
    """Whether it can be written as UTF-8."""
    return isinstance(said, str) and said == said.encode("utf-8", "ignore").decode("utf-8")


def infotext(p: Any, place: int) -> str:
    """What the webui will write about a picture of the current batch; empty where it cannot be asked.

    Args:
        p: the ``StableDiffusionProcessing``.
        place: of the picture in its batch.
    """
    make = ask_or("processing:create_infotext")
    if make is None:
        return ""
    try:
        return str(make(p, p.prompts, p.seeds, p.subseeds, index=place, all_negative_prompts=p.negative_prompts))
    except Exception:  # of another webui, or of another extension's values in it
        return ""


def one_more(p: Any, passes: int) -> Image.Image | None:
    """Paint one picture within the painting of others; None where nothing came of it.

    Args:
        p: asks for one picture.
        passes: how often the sampler runs for it, so that the progress bar stays right.

    Raises:
        Exception: whatever the webui raises.
    """
    count = ask_or("shared:state.job_count", 0)
    if isinstance(count, int) and count > 0:
        put("shared:state.job_count", count + passes)
    with no_last_generation():
        done = ask("processing:process_images")(p)
    return done.images[0] if done.images else None


def selected_script(p: Any) -> str:
    """The title of the script that was chosen under "Script"; empty where none is."""
    arguments, runner = getattr(p, "script_args", None), getattr(p, "scripts", None)
    number = arguments[0] if arguments else 0
    known = getattr(runner, "selectable_scripts", None) or []
    if not isinstance(number, int) or not 0 < number <= len(known):
        return ""
    return str(known[number - 1].title())


def offer_axis(label: str, apply: Callable[[Any, Any, Any], None], choices: Callable[[], list[str]]) -> None:
    """Offer an axis of the X/Y/Z plot, once; not where there is no such script.

    Args:
        label: of the axis.
        apply: gets ``p``, the value and all values of the axis, before a cell is painted.
        choices: the values that may be picked.
    """
    for data in ask_or("scripts:scripts_data", ()):
        if str(getattr(data, "path", "")).replace("\\", "/").rpartition("/")[2] != _XYZ:
            continue
        module: Any = getattr(data, "module", None)
        options = getattr(module, "axis_options", None)
        if isinstance(options, list) and not any(getattr(one, "label", "") == label for one in options):
            options.append(module.AxisOption(label, str, apply, choices=choices))
        return


def refresh_button(dropdown: Any, choices: Callable[[], list[str]], element: str) -> None:
    """A button beside a dropdown that reads its choices again; none where this webui has no such buttons."""
    make = ask_or("ui_common:create_refresh_button")
    if make is not None:
        make(dropdown, _nothing, lambda: {"choices": choices()}, element)


def _nothing(*_: Any) -> None:
    """What a webui without it does."""
