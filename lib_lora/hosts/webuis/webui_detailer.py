"""Finds ADetailer in a webui, and makes the scripts of a picture whose small faces it paints again.

A picture of ours goes through no script of the user's but this one, and through it with our values alone: those by
which its API is asked, see https://github.com/Bing-su/adetailer.
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Iterator
from typing import Any

from lib_lora.errors import UserError
from lib_lora.hosts.webui_attributes import ask, ask_or
from lib_lora.pictures import SMALL_FACE, Cell

ADETAILER = "ADetailer"
_MODELS = ("face_yolov8n.pt", "face_yolov8s.pt", "mediapipe_face_full", "mediapipe_face_short")  # the best first
_SAVES = ("ad_save_previews", "ad_save_images_before")  # settings by which it writes pictures into the user's folders


def detailer() -> str:
    """The name of what paints small faces again in this webui; empty where nothing does."""
    return ADETAILER if _script() is not None and face_model() else ""


def face_model() -> str:
    """The model by which ADetailer finds faces; empty where it has none that is at hand."""
    script = _script()
    modules = [getattr(one, "module", None) for one in ask_or("scripts:scripts_data", ()) if _is_of(one, script)]
    known: Any = next((found for one in modules if (found := getattr(one, "model_mapping", None))), {})
    there = [name for name in _MODELS if name in known and (not name.startswith("mediapipe") or _has_mediapipe())]
    return there[0] if there else ""


def script_runner(one: Cell) -> tuple[Any, list[Any]]:
    """The webui's runner of scripts for a picture, and their arguments: of no scripts (reForge needs one all the same),
    or of ADetailer alone.

    Raises:
        UserError: ADetailer is asked for, and not there.
    """
    runner = ask("scripts:ScriptRunner")()
    if not one.detail:
        return runner, []
    script, model = _script(), face_model()
    if script is None or not model:
        raise UserError(
            f"The webui has no {ADETAILER} that finds faces, with which this production was begun: turn that extension"
            " on and restart the webui, or start a new production.",
            code="webui-without-detailer",
        )
    values = [True, False, detailer_arguments(one, model)]  # on; not for img2img alone; its first tab
    own = copy.copy(script)  # whose arguments lie elsewhere than the page's
    own.args_from, own.args_to = 0, len(values)
    runner.scripts, runner.alwayson_scripts = [own], [own]
    return runner, values


def detailer_arguments(one: Cell, model: str) -> dict[str, Any]:
    """What ADetailer is asked for: faces that are small, at the size for which the model was made.

    Args:
        one: the picture.
        model: by which it finds faces.
    """
    largest = (SMALL_FACE * one.detail_side) ** 2  # pixels of a face's box
    return {
        "ad_model": model,
        "ad_denoising_strength": one.detail,
        "ad_mask_max_ratio": min(1.0, largest / (one.width * one.height)),
        "ad_use_inpaint_width_height": True,
        "ad_inpaint_width": one.detail_side,
        "ad_inpaint_height": one.detail_side,
    }


def quiet_settings() -> Iterator[tuple[str, bool]]:
    """Settings of the user's that are turned off for our pictures: nothing of them stays in the user's folders."""
    data = ask_or("shared:opts.data", {})
    return ((name, False) for name in _SAVES if data.get(name))


def _script() -> Any:
    """ADetailer's script in txt2img; None where it is not there, or turned off."""
    known = getattr(ask_or("scripts:scripts_txt2img"), "alwayson_scripts", None) or ()
    return next((one for one in known if str(one.title()).lower() == ADETAILER.lower()), None)


def _is_of(data: Any, script: Any) -> bool:
    return script is not None and getattr(data, "script_class", None) is type(script)


def _has_mediapipe() -> bool:
    """Without it ADetailer finds nothing, and says nothing."""
    return importlib.util.find_spec("mediapipe") is not None
