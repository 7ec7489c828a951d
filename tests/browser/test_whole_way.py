"""The whole way in a real browser, as a person goes it: photos in, captions edited, trained with the page reloaded in
the middle, tested by the webui's own painting, advice followed, used, and the prompt in txt2img.

One test goes on where the one before has ended. The webui is the stand-in of tests/hosts, drawn by the gradio of this
environment; what it paints is the small base model with the LoRA in it. Everything else (routes, queue, worker,
trainer, verdict) is the real thing.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from visitor import ROOT, Visitor

from hosts.standin.stage import Page, running_page

pytestmark = pytest.mark.long

MINI = ROOT / "tests" / "data" / "mini-face"
PHOTOS = sorted((ROOT / "tests" / "data" / "personas" / "mara").glob("*.jpg"))[:12]
STEPS = 10  # the advice is up to three times as many more, in tens
PAINTING_STEPS = 5  # with fewer the verdict only asks for more (few sampling steps)


@pytest.fixture(scope="module")
def webui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    home = tmp_path_factory.mktemp("webui")
    models = home / "models" / "Stable-diffusion"
    models.mkdir(parents=True)
    for path in MINI.iterdir():
        shutil.copy(path, models / path.name)
    painter = f"{Path(__file__).parents[1] / 'helpers' / 'standins' / 'mini_painter.py'}:mini_face"
    variables = {"SAMEFACE_TEST_BASE": str(models / "mini-face.safetensors"), "OMP_NUM_THREADS": "1"}
    with running_page("a1111", home, [ROOT], painter=painter, environment=variables) as page:
        page.home = home  # type: ignore[attr-defined]
        yield page


@pytest.fixture(scope="module")
def person(browser_windows: object, webui: Page) -> Iterator[Visitor]:
    visitor = Visitor(browser_windows, webui.address, f"webui-gradio{_gradio()}")
    visitor.come()
    yield visitor
    visitor.page.close()


def _gradio() -> str:
    import gradio

    return str(gradio.__version__)


def job(webui: Page, kind: str, after: int = 0) -> dict[str, Any] | None:
    """The newest job of a kind, younger than number `after`."""
    found = [one for one in webui.ask("/sameface/v1/jobs") if one["kind"] == kind and one["id"] > after]
    return max(found, key=lambda one: one["id"]) if found else None


def ended(webui: Page, kind: str, after: int = 0) -> Callable[[], dict[str, Any] | None]:
    """Asks whether that job has ended; one that did not finish fails at once."""

    def ask() -> dict[str, Any] | None:
        found = job(webui, kind, after)
        if found is None or found["state"] in ("waiting", "running"):
            return None
        assert found["state"] == "finished", found
        return found

    return ask


def test_a_person_makes_a_character(person: Visitor, webui: Page) -> None:
    form = person.page.locator("#sameface")
    person.sees("Welcome. Who do you want to train?")
    form.get_by_label("Name", exact=True).fill("Mara")
    form.get_by_role("textbox", name="Trigger word").fill("mrxa")
    form.get_by_text("woman", exact=True).click()
    form.get_by_text("Nobody real").click()
    person.photograph("1-character")
    person.click("Create the character")
    person.page.wait_for_selector("#sf-panel-photos", state="visible")
    [made] = webui.ask("/sameface/v1/state")["characters"]
    assert (made["name"], made["trigger"], made["consent"]["kind"]) == ("Mara", "mrxa", "fictional")


def test_gives_photos_and_reads_what_they_show(person: Visitor, webui: Page) -> None:
    with person.page.expect_file_chooser() as chosen:
        person.click("Choose photos")
    chosen.value.set_files([str(path) for path in PHOTOS])
    person.sees("12 photos added")
    person.waits_for(ended(webui, "audit"), 120, "the audit")
    person.sees(re.compile(r"12 of 12 photos good"))
    cards = person.page.locator("#sf-panel-photos .sf-photos > *")
    assert cards.count() == len(PHOTOS)

    def say_what_they_show() -> bool:
        return all("light background" in text or "Close-up" in text for text in cards.all_inner_texts())

    person.waits_for(say_what_they_show, 30, "what the photos show")  # the page asks for it once it has the sentence
    drawn = "card => { const img = card.querySelector('img'); return img.complete && img.naturalWidth > 50 }"
    assert cards.first.evaluate(drawn)
    person.photograph("2-photos")


def test_leaves_a_photo_out(person: Visitor, webui: Page) -> None:
    number = job(webui, "audit")["id"]  # type: ignore[index]
    card = person.page.locator("#sf-panel-photos .sf-photos > *", has_text=PHOTOS[-1].name)
    card.get_by_role("button", name="Leave out").click()
    person.waits_for(ended(webui, "audit", number), 120, "the second audit")
    person.sees("Left out (1)")
    assert webui.ask("/sameface/v1/state")["characters"][0]["photos"]["used"] == len(PHOTOS) - 1


def test_has_captions_written_and_edits_one(person: Visitor, webui: Page) -> None:
    person.click("Continue to captions")
    person.click("Write the missing captions")
    person.waits_for(ended(webui, "fill"), 120, "the captions")
    box = person.page.locator("#sf-panel-captions textarea").first
    person.waits_for(lambda: "mrxa woman" in box.input_value(), 30, "the caption")
    box.fill(box.input_value() + ", by the sea")
    person.page.wait_for_timeout(2500)  # two polls: what is typed stays
    assert box.input_value().endswith(", by the sea")
    box.press("Control+Enter")

    def kept() -> bool:
        return any(
            "by the sea" in one["text"] for one in webui.ask("/sameface/v1/characters/mara/captions")["captions"]
        )

    person.waits_for(kept, 30, "the edit")
    person.photograph("3-captions")


def test_trains_while_the_page_is_reloaded(person: Visitor, webui: Page) -> None:
    webui.ask("/sdapi/v1/txt2img", {"prompt": "a photo", "width": 128, "height": 128})
    at_home = webui.ask("/standin/state")["devices"]
    assert at_home
    person.click("Continue to training")
    panel = person.page.locator("#sf-panel-train")
    person.sees("What it will cost")
    panel.get_by_text("All settings").first.click()
    panel.get_by_label("Steps", exact=True).fill(str(STEPS))
    panel.get_by_label("Views of each photo", exact=True).fill(
        "1"
    )  # or the advice would be as many steps as 56 views take
    panel.get_by_label("Batch size", exact=True).fill("1")
    panel.get_by_label("Save every N steps", exact=True).fill("50")  # at the end alone
    panel.get_by_text("Paint and judge the test grid afterwards").locator("visible=true").first.click()
    person.sees(re.compile(rf"{STEPS} steps with 11 photos"))
    person.photograph("4-before-training")
    person.click("Start training")
    busy = person.waits_for(lambda: (job(webui, "train") or {}).get("standing"), 120, "the training")
    assert busy is not None
    person.waits_for(lambda: (job(webui, "train") or {})["standing"]["done"] >= 2, 240, "the first steps")
    assert webui.ask("/standin/state")["devices"] == ["cpu"] != at_home  # the webui's model has left the GPU
    person.page.get_by_text(re.compile(r"^\s*txt2img\s*$", re.IGNORECASE)).first.click()
    for setting, value in (("width", 64), ("height", 64), ("steps", 1)):  # it is painted once the training is done
        person.page.locator(f"#txt2img_{setting} input[type=number]").fill(str(value))
        person.page.locator(f"#txt2img_{setting} input[type=number]").press("Tab")
    person.page.locator("#txt2img_generate").click()  # who wants to paint now is told why it waits
    notice = person.page.locator("#sameface_waits_txt2img")
    notice.wait_for(state="visible")
    assert "Train Mara: pictures wait until it is done" in notice.inner_text()
    person.come()  # reloaded in the middle
    person.sees(re.compile(rf"step \d+ of {STEPS}", re.IGNORECASE))
    person.photograph("5-training")
    done = person.waits_for(ended(webui, "train"), 600, "the end of the training")
    assert done["result"]["steps"] == STEPS
    assert webui.ask("/standin/state")["devices"] == at_home  # and is back
    person.photograph("6-trained")


def test_tests_it_through_the_webui_and_gets_a_verdict(person: Visitor, webui: Page) -> None:
    person.step("Test")
    panel = person.page.locator("#sf-panel-test")
    panel.get_by_text("Quick: 8").click()
    panel.get_by_text("How they are painted").click()
    panel.get_by_label("Sampling steps").fill(str(PAINTING_STEPS))
    panel.get_by_role("button", name="Paint 8 test pictures and judge").click()
    done = person.waits_for(ended(webui, "test"), 600, "the test")
    assert done["arguments"]["painter"] == "webui"
    painted = [one for one in webui.ask("/standin/state")["events"] if one.startswith("paint ")]
    assert len(painted) >= 8 + 8 + 1  # with it, without it, and without the trigger
    person.sees(done["result"]["headline"])
    assert panel.locator("img").count() > 8
    person.photograph("7-tested")


@pytest.mark.once("what a click asks for; that these versions train and are tested in this page is shown before it")
def test_follows_the_advice(person: Visitor, webui: Page) -> None:
    grid = job(webui, "test")["result"]  # type: ignore[index]
    address = f"/sameface/v1/characters/mara/runs/{grid['run']}/grids/{grid['grid']}"
    [advice] = [one for one in webui.ask(address)["buttons"] if one["main"]]
    trained, tested = job(webui, "train")["id"], job(webui, "test")["id"]  # type: ignore[index]
    person.page.locator("#sf-panel-test").get_by_role("button", name=advice["label"]).first.click()
    assert advice["do"] == "train_more", advice  # so few steps cannot be enough
    done = person.waits_for(ended(webui, "train", trained), 600, "more training")
    assert done["result"]["steps"] == advice["arguments"]["steps"] > STEPS
    again = person.waits_for(ended(webui, "test", tested), 600, "the second test")
    assert (again["arguments"]["quick"], again["arguments"]["grid_steps"]) == (True, PAINTING_STEPS)  # as the first
    person.step("Test")
    person.sees(again["result"]["headline"])
    person.photograph("8-advice-followed")


def test_uses_it_in_txt2img(person: Visitor, webui: Page) -> None:
    person.step("Use")
    person.sees(re.compile("Put into txt2img"))
    person.photograph("9-use")
    person.click("Put into txt2img")
    loras: Path = webui.home / "models" / "Lora"  # type: ignore[attr-defined]
    [file] = person.waits_for(lambda: list(loras.glob("*.safetensors")), 60, "the LoRA")
    prompt = person.page.locator("#txt2img_prompt textarea")
    person.waits_for(lambda: f"<lora:{file.stem}:" in prompt.input_value(), 60, "the prompt")
    assert "mrxa woman" in prompt.input_value()
    card = person.page.locator(f'#txt2img_lora_cards .card[data-name="{file.stem}"]')
    card.wait_for(state="attached")
    person.page.locator(f'#img2img_lora_cards .card[data-name="{file.stem}"]').wait_for(state="attached")
    notes = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    assert notes["activation text"] == "mrxa woman"
    assert "fictional" in notes["notes"]
    assert file.with_suffix(".png").is_file() or file.with_suffix(".preview.png").is_file()
    assert not any((loras / "sameface-tests").glob("*")) if (loras / "sameface-tests").exists() else True
    person.photograph("a-txt2img")


def test_survives_reload_ui(person: Visitor, webui: Page) -> None:
    webui.reload()
    person.come()
    person.step("Use")
    assert webui.ask("/sameface/v1/state")["supervisor"]["active"]
    person.step("Doctor")
    person.sees(re.compile("Python"))
    person.photograph("b-doctor")


def test_the_scripts_raised_nothing(person: Visitor) -> None:
    assert person.errors == []


@pytest.mark.once("words in our own scripts")
def test_speaks_the_webuis_language(person: Visitor, browser_windows: object, webui: Page) -> None:
    guest = Visitor(browser_windows, webui.address, person.name)
    words = {"Captions": "Bildtexte", "Put into txt2img": "Nach txt2img", "Step": "Schritt"}
    guest.page.add_init_script(f"window.localization = {json.dumps(words)}")  # as the webui has it
    guest.come()
    guest.step("Use")
    guest.sees("Nach txt2img")
    guest.sees("Bildtexte")
    guest.page.close()


def test_is_worked_by_the_keyboard(person: Visitor) -> None:
    person.step("Photos")
    page = person.page
    page.locator("#sf-tab-photos").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#sf-panel-captions", state="visible")
    assert page.evaluate("document.activeElement.id") == "sf-tab-captions"
    page.keyboard.press("Tab")
    inside = "document.querySelector('#sameface').contains(document.activeElement)"
    for _ in range(6):
        assert page.evaluate(inside)
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        shadow = page.evaluate("getComputedStyle(document.activeElement).boxShadow")
        assert outline != "none" or shadow != "none"  # where one is can be seen
        page.keyboard.press("Tab")


ONCE = pytest.mark.once("the widest and the narrowest window, and both colours, meet each gradio's")


@pytest.mark.parametrize(
    ("widths", "dark"),
    [
        pytest.param((1280,), True, id="dark"),
        pytest.param((380,), False, id="light"),
        pytest.param((700, 380), True, id="made narrower", marks=ONCE),
    ],
)
def test_looks_right_in_every_window(
    widths: tuple[int, ...], dark: bool, person: Visitor, browser_windows: object, webui: Page
) -> None:
    """Also in a window that is made narrower once the page is there."""
    guest = Visitor(
        browser_windows, webui.address + ("/?__theme=dark" if dark else "/?__theme=light"), person.name, widths[0]
    )
    guest.come()
    for width in widths:
        guest.page.set_viewport_size({"width": width, "height": guest.page.viewport_size["height"]})
        for step in ("Photos", "Captions", "Train", "Test", "Use", "Doctor"):
            guest.step(step)
            time.sleep(0.2)
            both = "[document.documentElement, document.querySelector('#sameface')]"
            beyond = guest.page.evaluate(f"() => {both}.map(one => one.scrollWidth - one.clientWidth)")
            assert max(beyond) <= 1, f"{step} is wider than {width} pixels"
            if step in ("Test", "Train"):
                guest.photograph(f"{step.lower()}-{width}{'-dark' if dark else ''}")
    assert guest.errors == []
    guest.page.close()
