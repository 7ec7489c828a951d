"""Loaded by a real webui as an extension's script: its host, with routes for `test_hand_over.py`.

On a machine without GPU a model that is sent to the CPU would work on as before. Here it does not: it is marked, and
the sampler refuses a marked one.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import gradio
from modules import script_callbacks, sd_models, shared
from PIL import Image

sys.path.insert(0, "@ROOT@")
from lib_lora.errors import UserError
from lib_lora.hosts import webui_attributes
from lib_lora.hosts.webuis import webui_page
from lib_lora.hosts.webuis.detect import host as detected
from lib_lora.pictures import Cell

host = detected()
calls: list[str] = []
session: dict[str, threading.Event] = {}


def marking(module: object, name: str, away: bool) -> None:
    own = getattr(module, name)

    def call(*arguments: object, **named: object) -> object:
        answer = own(*arguments, **named)
        of_model = [one for one in arguments if hasattr(one, "sd_checkpoint_info")]
        for model in filter(None, of_model or [sd_models.model_data.sd_model]):  # none while one is being loaded
            model.sameface_away = away  # type: ignore[attr-defined]
        calls.append(name)
        return answer

    setattr(module, name, call)


def refuse_when_away(params: object) -> None:
    if getattr(shared.sd_model, "sameface_away", False):
        raise RuntimeError("Expected all tensors to be on the same device")


if host.name in ("forge", "neo"):
    from backend import memory_management

    marking(memory_management, "unload_all_models", True)
    marking(memory_management, "load_models_gpu", False)
elif host.name == "reforge":
    from ldm_patched.modules import model_management

    marking(model_management, "unload_all_models", True)
    marking(model_management, "load_models_gpu", False)
else:
    marking(sd_models, "send_model_to_cpu", True)
    marking(sd_models, "send_model_to_device", False)


def begin(body: dict) -> dict:
    """Open a session in a thread; answers once the thread runs, not once it has its turn."""
    session.update(inside=threading.Event(), end=threading.Event(), done=threading.Event())

    def hold() -> None:
        try:
            with host.gpu_session(body["allow"]):
                session["inside"].set()
                session["end"].wait()
                if body.get("fail"):
                    raise OSError("the worker died")
        except OSError:
            calls.append("error")
        finally:
            session["done"].set()

    threading.Thread(target=hold, daemon=True).start()
    return {}


def end(body: dict) -> dict:
    session["end"].set()
    session["done"].wait(60)
    return state()


def state() -> dict:
    model = sd_models.model_data.sd_model
    return {
        "inside": bool(session) and session["inside"].is_set() and not session["done"].is_set(),
        "away": getattr(model, "sameface_away", False),
        "calls": calls,
        "busy": host.busy(),
        "textinfo": shared.state.textinfo,
        "checkpoint": str(host.current_checkpoint()),
        "loaded": getattr(getattr(model, "sd_checkpoint_info", None), "filename", ""),
        "option": shared.opts.sd_model_checkpoint,
        "digest": shared.opts.data.get("sd_checkpoint_hash"),
    }


def paint(body: dict) -> dict:
    named = ("lora", "start")
    pictures = []
    for one in body["pictures"]:
        files = {name: Path(one[name]) if one.get(name) else None for name in named}
        more = tuple((Path(path), weight) for path, weight in one.get("more", ()))
        pictures.append(Cell(**{**one, **files, "more": more}))
    folder, said, numbers = Path(body["folder"]), {}, []

    def each(number: int, image: Image.Image, infotext: str) -> None:
        image.save(folder / f"{number}.png")
        said[number] = infotext
        numbers.append(number)

    try:
        base = Path(body["base"]) if body.get("base") else None
        host.paint(pictures, base, each, lambda: len(numbers) >= body.get("stop_after", 999))
    except UserError as error:
        return {"error": str(error), "numbers": numbers}
    return {"numbers": numbers, "infotexts": [said.get(number, "") for number in range(len(pictures))]}


def reconstruct(body: dict) -> dict:
    with Image.open(body["file"]) as image:
        back = host.reconstruct(image)
    if back is not None:
        back.save(body["out"])
    return {"there": back is not None}


def host_facts(body: dict) -> dict:
    roots = host.roots()
    host.refresh_loras(body.get("stem", ""))
    return {
        "name": host.name,
        "version": host.version,
        "gradio": int(gradio.__version__.split(".")[0]),
        "data": str(roots.data),
        "loras": [str(one) for one in roots.loras],
        "bases": [str(one) for one in roots.checkpoints],
        "checkpoints": [str(one.path) for one in host.checkpoints()],
        "samplers": host.samplers(),
        "shows": [host.shows(family).shown for family in ("sd1", "sd2", "sdxl")],
        "why": host.shows("sdxl").why,
        "remote": host.remote(),
        "paints": host.paints(),
        "lacks": [str(one.text) for one in host.lacks()],
        "gone": [one for one in webui_attributes.GONE[host.name] if webui_attributes._there(one)],
        "refused": [family for family in ("sd1", "sd2", "sdxl") if host.refuses(family)],
        "captioners": [one.name for one in host.captioners()],
        "command": host.worker_command(),
        "environment": host.worker_environment(),
    }


def tab() -> object:
    import gradio as gr

    with gr.Blocks() as blocks:
        box = gr.Textbox(elem_id="sameface_infotext", visible=False)
        button = gr.Button("Send", elem_id="sameface_send", visible=False)
        host.paste_button(button, box)
    return blocks


def started(demo: object, app: object) -> None:
    for route in (begin, end, paint, reconstruct, host_facts):
        app.add_api_route(f"/trial/{route.__name__}", route, methods=["POST"])  # type: ignore[attr-defined]
    app.add_api_route("/trial/state", state, methods=["GET"])  # type: ignore[attr-defined]


script_callbacks.on_cfg_denoiser(refuse_when_away)
webui_page.register(host, tab, started)
