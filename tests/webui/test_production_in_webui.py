"""Productions that a real webui paints, and the guard on its own page; see `running.py` for the variables.

Nothing is trained: the character has a LoRA of random numbers that changes little.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
import torch
from guarded_character import guarded_character
from PIL import Image
from running import SAMPLING

from lib_lora.guard.guard_words import KEY
from lib_lora.lora.adapter.adapter import attach
from lib_lora.lora.adapter_settings import LoraSettings
from lib_lora.lora.file.metadata import LoraFacts, build
from lib_lora.lora.file.writing import write
from lib_lora.models.families.identify import identify

pytestmark = [pytest.mark.webui(running=True), pytest.mark.usefixtures("painting")]
WISH = {"painter": "webui", "steps": SAMPLING, "tries": 1, "side": 128}
GUARD = "#txt2img_sameface_guard_"


@pytest.fixture(scope="module")
def character(webui, base, folders):
    """The slug of a character with photos, a test grid of the base, and a LoRA."""
    folder = guarded_character(Path(folders["data"]), Path(base), [(128, 128)])
    torch.manual_seed(1)
    parts = {"unet": identify(Path(base)).load_denoiser(torch.float32, torch.device("cpu"))}
    adapter = attach(parts, "sd1", LoraSettings(rank=2, alpha=2))
    for layer in adapter.layers:
        torch.nn.init.normal_(layer.up, std=0.005)
    lora = folder.runs / "001" / "checkpoints" / "mara-001-000100.safetensors"
    write(lora, adapter.export(), build(LoraFacts(family="sd1", trigger="mrxa")))
    yield folder.path.name
    shutil.rmtree(folder.path)


def pictures_of(folders, character, production):
    folder = Path(folders["data"], "characters", character, "productions", production, "pictures")
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.png")}


def test_interrupt_costs_a_production_no_whole_picture(webui, character, folders, seen):
    wish = {**WISH, "prompts": "smiling", "count": 8, "steps": 60}
    made = webui.api(f"/characters/{character}/productions", wish)
    number = made["job"]["id"]

    def third(_):
        return webui.ask("/sdapi/v1/progress?skip_current_image=true").json()["state"]["job_no"] == 2

    webui.until(number, third, 300)
    assert webui.ask("/sdapi/v1/interrupt", {}).status == 200
    job = webui.ended(number, state="failed")
    assert "Interrupt or Skip was pressed" in job["error"]
    kept = pictures_of(folders, character, made["production"])
    seen["whole at Interrupt"] = len(kept)
    assert 2 <= len(kept) < 8
    found = webui.api(f"/characters/{character}/productions/{made['production']}")
    assert found["painted"] == len(kept)  # and they are judged
    again = webui.api(f"/characters/{character}/productions/{made['production']}/continue", {})
    webui.ended(again["job"]["id"], seconds=900)
    all_of_it = pictures_of(folders, character, made["production"])
    assert len(all_of_it) == 8
    assert {name: all_of_it[name] for name in kept} == kept  # none of them is painted again


def test_small_faces_are_adetailers(webui, character, folders):
    if not (detailer := webui.api("/state")["host"]["detailer"]):
        pytest.skip("the webui has no ADetailer")
    wish = {**WISH, "prompts": "smiling", "count": 2, "second_pass": 0.4}
    made = webui.api(f"/characters/{character}/productions", wish)
    webui.ended(made["job"]["id"], seconds=900)
    found = webui.api(f"/characters/{character}/productions/{made['production']}")
    assert (found["painted"], found["second_pass"], found["detailer"]) == (2, 0.4, detailer)
    folder = Path(folders["data"], "characters", character, "productions", made["production"], "pictures")
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            assert "ADetailer denoising strength: 0.4" in picture.text["parameters"]


def test_a_lora_that_the_webui_does_not_know_is_said(webui, character, folders):
    where = f"/characters/{character}/productions"
    before = [one["id"] for one in webui.api(where)]
    answer = webui.ask(f"/sameface/v1{where}", {**WISH, "prompts": "smiling <lora:nobody:0.5>"})
    assert (answer.status, answer.json()["code"]) == (400, "lora-unknown")
    assert [one["id"] for one in webui.api(where)] == before
    wildcards = Path(folders["data"], "wildcards")  # what they name is known once a picture is to be painted
    wildcards.mkdir(exist_ok=True)
    (wildcards / "styles.txt").write_text("<lora:nobody:0.5>\n", encoding="utf-8")
    made = webui.api(where, {**WISH, "prompts": "smiling __styles__", "count": 2})
    job = webui.ended(made["job"]["id"], state="failed")
    (wildcards / "styles.txt").unlink()
    assert "<lora:nobody>" in job["error"]
    assert pictures_of(folders, character, made["production"]) == {}


def test_generate_forever_is_guarded_picture_by_picture(webui, character, window, seen):
    page = window.page
    page.locator(f"{GUARD}accordion").get_by_text("SameFace guard").first.click()
    page.locator(f"{GUARD}enabled input").check()
    page.locator(f"{GUARD}refresh").click()
    page.wait_for_timeout(3000)  # in which the webui asks for the characters
    page.locator(f"{GUARD}character input").click()
    page.locator(f"{GUARD}character .options li", has_text=character).first.click()
    for element, value in (("steps", SAMPLING), ("width", 128), ("height", 128)):
        field = page.locator(f"#txt2img_{element} input[type=number]")
        field.fill(str(value))
        field.press("Tab")
    page.locator("#txt2img_prompt textarea").fill("photo of a person")

    def painted():
        return sorted(webui.root.glob("output*/txt2img-images/**/*.png"), key=lambda path: path.stat().st_mtime)

    def until(ready, seconds):
        end = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < end
            page.wait_for_timeout(300)

    before = set(painted())
    page.locator("#txt2img_generate").click(button="right")
    page.locator("#context-menu").get_by_text("Generate forever", exact=True).click()
    until(lambda: len(set(painted()) - before) >= 3, 300)
    page.locator("#txt2img_generate, #txt2img_interrupt").locator("visible=true").first.click(button="right")
    page.locator("#context-menu").get_by_text("Cancel generate forever", exact=True).click()
    until(lambda: not webui.api("/state")["host"]["busy"], 60)
    page.wait_for_timeout(3000)
    new = [path for path in painted() if path not in before]
    page.wait_for_timeout(3000)
    assert [path for path in painted() if path not in before] == new  # it has ended
    said = [Image.open(path).text["parameters"] for path in new]
    seen["guarded for ever"] = [text.partition(f"{KEY}: ")[2].partition(",")[0] for text in said]
    assert [text.count(f"{KEY}: ") for text in said] == [1] * len(new)
    assert len({text.partition("Seed: ")[2].partition(",")[0] for text in said}) == len(new)
    page.locator(f"{GUARD}enabled input").uncheck()
