"""Loaded by a real webui as an extension's script: the guard, and a detailer that works at ADetailer's hooks.

The detailer paints once within each picture and calls everybody's `postprocess` and `process` in the middle of a run,
as ADetailer does. Then it puts a portrait in the picture's place: whose, the last digit of the seed says (0 to 4: a
stranger), so that the tests know what the guard must find, whatever base model there is.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

from modules import script_callbacks, scripts, shared
from modules.processing import Processed, process_images
from PIL import Image

sys.path.insert(0, "@ROOT@")
from lib_lora.guard import guard_judge
from lib_lora.guard.guard_script import guard_script

PORTRAITS = Path("@ROOT@") / "tests" / "data" / "personas"
STRANGERS = 5  # last digits of seeds
judged: list[float] = []  # milliseconds
_judge = guard_judge.GuardJudge._judge


def _timed(self: guard_judge.GuardJudge, *given: object) -> object:
    import time

    begun = time.perf_counter()
    found = _judge(self, *given)  # type: ignore[arg-type]
    judged.append(1000 * (time.perf_counter() - begun))
    return found


guard_judge.GuardJudge._judge = _timed  # type: ignore[assignment, method-assign]
FaceGuard = guard_script()


class PlantingDetailer(scripts.Script):
    """See the module."""

    def title(self) -> str:
        return "Planting detailer"

    def show(self, is_img2img: bool) -> object:
        return scripts.AlwaysVisible

    def postprocess_image(self, p: object, pp: object, *_: object) -> None:
        if getattr(p, "_ad_inner", False) or shared.state.interrupted or shared.state.skipped:  # as ADetailer
            return
        if p.batch_index == 0:
            p.scripts.postprocess(copy.copy(p), Processed(p, [], p.seed, ""))
        inner = copy.copy(p)
        inner._ad_inner, inner.scripts, inner.styles = True, None, []
        inner.scripts = scripts.ScriptRunner()  # reForge needs one
        inner.script_args, inner.extra_generation_params = (), dict(p.extra_generation_params)
        inner.n_iter = inner.batch_size = inner.steps = 1
        inner.enable_hr = False
        inner.prompt, inner.seed, inner.subseed = p.prompts[p.batch_index], 5, -1
        inner.do_not_save_samples = inner.do_not_save_grid = True
        if getattr(inner, "init_images", None):
            inner.init_images = inner.init_images[:1]
        process_images(inner)
        seed = p.seeds[p.batch_index]
        name = "tomas" if seed % 10 < STRANGERS else "mara"
        files = sorted((PORTRAITS / name).glob("*.jpg"))
        with Image.open(files[10 + seed % (len(files) - 10)]) as portrait:
            pp.image = portrait.convert("RGB").resize((512, 512))
        if p.batch_index == p.batch_size - 1:
            again = copy.copy(p)
            p.scripts.before_process(again)
            p.scripts.process(again)


script_callbacks.on_app_started(
    lambda _, app: app.add_api_route("/trial/judged", lambda: {"milliseconds": judged}, methods=["GET"])
)
