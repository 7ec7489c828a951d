"""Forms and the frame of the page, in a browser: what is missing, what comes next, and how a training goes.

The page is the one alone; its data are planted, and nobody runs its jobs, so that every state can be shown at once.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_page import go, in_page, refresh, until
from planted_page import OWNER, Planted, planted_page
from planting import plan_audit, plant_combined, plant_grid, plant_run
from safetensors.numpy import save_file
from visitor import ROOT

from lib_lora.character.store import Character, Consent, save
from lib_lora.queue.job_types import TrainArguments
from lib_lora.runs.events import EventLog
from lib_lora.ui.views import caption_checks, machine
from lib_lora.workspace.workspace import CharacterFolder

pytestmark = pytest.mark.once("the page's scripts; test_whole_way.py opens the page of A1111's gradio")

MARA = sorted((ROOT / "tests" / "data" / "personas" / "mara").glob("*.jpg"))
BASE = ROOT / "tests" / "data" / "mini-face" / "mini-face.safetensors"
GONE = """name => !shared.app.state.queue.jobs.some(
    job => job.character === name && ['waiting', 'running', 'stopped'].includes(job.state))"""
STEPS = ("photos", "captions", "train", "test", "use")
# counts what asks for leave, and keeps what is told, in place of the browser's own
NOTIFICATION = """
window.asked = 0; window.told = [];
window.Notification = class {
  constructor(title, options) { window.told.push(options.body); }
  static permission = 'default';
  static async requestPermission() { window.asked += 1; return (Notification.permission = 'granted'); }
};
document.hasFocus = () => false;
"""
FLYING = """
window.flying = 0;
const ask = window.fetch;
window.fetch = (...all) => {
  window.flying += 1;
  return ask(...all).finally(() => (window.flying -= 1));
};
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(caption_checks, "begin", lambda: None)  # no tokenizer is needed
        patch.setattr(machine, "gpu_name", lambda: "")  # as on a machine without one
        machine._checking.cache_clear()
        with planted_page(tmp_path_factory.mktemp("Daten ü")) as page:
            yield page
    machine._checking.cache_clear()


class Tab:
    """The tab in a browser window of its own."""

    def __init__(self, browser_windows: Any, planted: Planted) -> None:
        self.planted, self.errors = planted, []
        self.page = browser_windows.new_page()
        self.page.add_init_script(NOTIFICATION + FLYING)
        self.page.set_default_timeout(30_000)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.open()

    def open(self) -> None:
        self.page.goto(self.planted.address)
        until(self.page, "() => shared.app.state && document.querySelector('#sameface .sf-tabs')")

    def turn(self, step: str, slug: str = "") -> None:
        """Turn to a step, and wait until all that it asks for is there."""
        refresh(self.page)
        go(self.page, step, slug)
        self.settle()

    def settle(self) -> None:
        """See the newest state, and that nothing is on its way."""
        in_page(
            self.page,
            """async () => {
                await polling.refresh();
                for (let calm = 0; calm < 3; calm = flying ? 0 : calm + 1)
                    await new Promise((later) => setTimeout(later, 40));
            }""",
        )

    def coloured(self) -> list[str]:
        """The coloured buttons that can be seen."""
        found: list[str] = self.page.evaluate(
            "[...document.querySelectorAll('#sameface .sf-button-main')].filter(one => one.checkVisibility())"
            ".map(one => one.textContent)"
        )
        return found

    def faults(self) -> list[str]:
        """What is said below fields, in the order of the page."""
        found: list[str] = self.page.locator("#sameface .sf-fault:visible > span:last-child").all_inner_texts()
        return found

    def shown(self, name: str) -> int:
        """How many buttons of this name can be seen."""
        return int(self.page.get_by_role("button", name=name, exact=True).locator("visible=true").count())

    def press(self, name: str) -> None:
        """Press the first button of this name that can be seen."""
        self.page.get_by_role("button", name=name, exact=True).locator("visible=true").first.click()


@pytest.fixture
def tab(browser_windows: Any, planted: Planted) -> Iterator[Tab]:
    """A new window, which remembers nothing."""
    tab = Tab(browser_windows, planted)
    yield tab
    assert tab.errors == []
    tab.page.close()


def photographed(planted: Planted, name: str, photos: int = 10) -> CharacterFolder:
    folder = planted.character(name)
    for photo in MARA[:photos]:
        shutil.copy(photo, folder.photos / photo.name)
        (folder.photos / f"{photo.stem}.txt").write_text(f"photo of {name[:2].lower()}xqa woman\n", "utf-8")
    plan_audit(folder)
    return folder


def test_all_that_is_missing_is_said_below_its_field(tab: Tab, planted: Planted) -> None:
    tab.press("Create the character")
    assert tab.faults() == [
        "Give the character a name.",
        "Choose a trigger word.",
        "Choose what the character is: woman, man, …",
        "Choose whose face it is.",
    ]
    page = tab.page
    page.get_by_role("button", name=re.compile("invent a face")).click()
    page.wait_for_function("document.querySelector('.sf-panel-new select').options.length")
    tab.press("Create and paint faces")
    assert "Describe the person first." in tab.faults()
    assert len(tab.faults()) == 5  # of both parts of the form
    page.get_by_role("button", name=re.compile("I have photos")).click()
    tab.press("Create the character")
    name = page.get_by_label("Name", exact=True)
    assert name.evaluate("one => document.activeElement === one && one.getAttribute('aria-invalid')") == "true"
    described = (
        "one => one.getAttribute('aria-describedby').split(' ').map(id => document.getElementById(id).innerText)"
    )
    assert any("Give the character a name." in text for text in name.evaluate(described))
    name.fill("con")  # what Windows calls a device
    assert tab.faults()[0] == "Choose a trigger word."
    page.get_by_role("textbox", name="Trigger word").fill("coxqa")
    page.get_by_text("woman", exact=True).click()
    page.get_by_text("Nobody real").click()
    assert tab.faults() == []
    assert page.get_by_text("girl", exact=True).count() + page.get_by_text("boy", exact=True).count() == 0
    tab.press("Create the character")
    page.wait_for_selector(".sf-fault:visible")
    [said] = tab.faults()  # by the route
    assert "cannot be used as a name" in said
    assert page.locator(".sf-toast").count() == 0
    page.get_by_text("other", exact=True).click()
    page.get_by_label("Another class word").fill("young girl")
    name.fill("Nova")
    tab.press("Create the character")
    page.wait_for_selector(".sf-fault:visible")
    assert "Only adults" in tab.faults()[0]
    page.get_by_label("Another class word").fill("elf")
    tab.press("Create the character")
    page.wait_for_selector("#sf-panel-photos", state="visible")
    assert (planted.root / "characters" / "nova").is_dir()


def test_a_character_with_a_word_that_is_no_choice_any_more_still_opens(tab: Tab, planted: Planted) -> None:
    folder = planted.character("Old")
    save(folder, Character("Old", "olxqa", "girl", Consent("fictional", "2024-05-06")))
    tab.turn("edit", "old")
    assert tab.page.get_by_label("Another class word").locator("visible=true").input_value() == "girl"
    tab.page.get_by_label("Traits to name").locator("visible=true").fill("red hair")
    tab.press("Save")
    tab.page.wait_for_selector("#sf-panel-edit", state="hidden")
    assert "red hair" in folder.file.read_text("utf-8")


def test_the_character_used_last_is_opened(tab: Tab, planted: Planted) -> None:
    photographed(planted, "Zoe")
    tab.open()  # this window remembers nothing yet, and something of Zoe's was changed last
    assert in_page(tab.page, "() => shared.app.slug") == "zoe"
    tab.turn("doctor", "nova")
    tab.open()
    assert in_page(tab.page, "() => [shared.app.slug, shared.app.step]") == ["nova", "photos"]
    in_page(tab.page, "() => { shared.app.state.folder = 'another'; choice.recall(); }")  # at the same address
    assert in_page(tab.page, "() => shared.app.slug") == "zoe"


def test_one_button_a_step_is_coloured_and_nothing_scrolls_sideways(tab: Tab, planted: Planted) -> None:
    run = plant_run(photographed(planted, "Mara"), steps=100, saved=(50, 100), base=str(BASE))
    for place in (1, 2):
        plant_grid(run, place, step=50 * place)
    planted.character("Empty")
    scrolled = (
        "[document.scrollingElement, ...document.querySelectorAll('#sameface *')].filter(one => one.checkVisibility()"
        " && one.scrollWidth > one.clientWidth + 1 && (one === document.scrollingElement ||"
        " ['auto', 'scroll'].includes(getComputedStyle(one).overflowX))).map(one => one.tagName + '.' + one.className)"
    )
    for slug in ("empty", "zoe", "mara"):
        for step in (*STEPS, "edit", "new", "doctor", "invent") if slug == "mara" else STEPS:
            tab.turn(step, slug)
            assert len(tab.coloured()) == 1, (slug, step, tab.coloured())
            for width in (1400, 900, 700, 400) if slug == "mara" else ():
                tab.page.set_viewport_size({"width": width, "height": 900})
                assert tab.page.evaluate(scrolled) == [], (step, width)
            tab.page.set_viewport_size({"width": 1280, "height": 900})
    tab.turn("train", "mara")
    tab.page.get_by_text("Train a new LoRA", exact=True).click()
    tab.settle()
    assert tab.coloured() == ["Start training"]  # whoever opens the form wants that one


def test_each_setting_says_its_name_and_what_a_route_refuses_of_it(tab: Tab) -> None:
    tab.turn("train", "zoe")
    page = tab.page
    page.get_by_text("All settings", exact=True).click()
    names = page.locator(".sf-key").all_inner_texts()
    assert {"steps", "lora.rank", "objective.noise_offset"} <= set(names)
    assert len(names) == page.locator(".sf-setting").count()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the name for --set: lora.rank", exact=True).click()
    page.wait_for_selector(".sf-toast")
    assert page.evaluate("navigator.clipboard.readText()") == "lora.rank"
    rank = page.get_by_label("Rank", exact=True)
    rank.fill("eight")
    assert tab.faults() == ["“eight” is not a number."]
    rank.fill("0")
    page.wait_for_function("document.querySelector('.sf-fault')?.innerText.includes('at least 1')")
    assert rank.get_attribute("aria-invalid") == "true"
    rank.fill("8")
    page.wait_for_selector(".sf-fault", state="detached")


def test_the_person_only_when_asked_is_one_click(tab: Tab, planted: Planted) -> None:
    """It sets output preservation, and asks for captions where these only say who it is."""
    folder = photographed(planted, "Frieda")
    tab.turn("train", "frieda")
    tab.settle()
    page = tab.page
    box = page.get_by_label(re.compile("The person only when asked"))
    warning = page.get_by_text(re.compile("Most captions only say who it is"))
    assert not box.is_checked()
    assert not warning.is_visible()
    box.check()
    tab.settle()
    warning.wait_for()
    page.get_by_text("All settings", exact=True).click()
    weight = page.get_by_role("textbox", name="Output preservation", exact=True)
    assert weight.input_value() == "1"
    tab.press("Write captions")
    page.get_by_role("button", name="Writing captions", exact=False).wait_for()
    [job] = [one for one in planted.queue.open() if one.kind == "fill"]  # nobody runs it here
    for photo in folder.photos.glob("*.jpg"):
        photo.with_suffix(".txt").write_text("photo of frxqa woman, looking left", encoding="utf-8")
    planted.queue.wish(job.id, "stop")
    weight.fill("2")  # another weight is still this choice
    tab.settle()
    warning.wait_for(state="hidden")
    assert box.is_checked()
    untrained = page.get_by_text(re.compile("With these settings the text encoders are not trained"))
    assert not untrained.is_visible()
    page.get_by_role("textbox", name="Text encoder learning rate", exact=True).fill("0")
    tab.settle()
    untrained.wait_for()
    page.get_by_role("textbox", name="Vectors of the trigger", exact=True).fill("2")
    tab.settle()
    untrained.wait_for(state="hidden")
    box.uncheck()
    tab.settle()
    assert weight.input_value() == "0"


def test_training_again_is_laid_out_as_the_run_was_but_for_what_is_advised(tab: Tab, planted: Planted) -> None:
    tab.turn("train", "zoe")  # the form has been seen, with other settings
    run = plant_run(photographed(planted, "Rita"), steps=140, saved=(140,), base=str(BASE))
    plant_grid(run, step=140, advice=("train_again", 1.0))
    preservation, steps = (
        tab.page.get_by_role("textbox", name=name, exact=True) for name in ("Output preservation", "Steps")
    )
    for _ in range(2):  # also where the form is this character's already
        tab.turn("test", "rita")
        tab.press("Train again with output preservation")
        tab.settle()
        assert in_page(tab.page, "() => shared.app.step") == "train"
        if not preservation.is_visible():
            tab.page.get_by_text("All settings", exact=True).click()
        assert (preservation.input_value(), steps.input_value()) == ("1", "140")
        assert tab.coloured() == ["Start training"]
        preservation.fill("0")
        tab.settle()


def test_a_leak_that_may_stay_has_a_second_button_whose_training_asks_for_captions(tab: Tab, planted: Planted) -> None:
    run = plant_run(photographed(planted, "Wilma"), steps=140, saved=(140,), base=str(BASE))
    plant_grid(run, step=140, advice=("keep", 1.0))
    tab.turn("test", "wilma")
    assert tab.coloured() == ["Use this LoRA"]
    tab.press("Train again with output preservation")
    tab.settle()
    assert in_page(tab.page, "() => shared.app.step") == "train"
    assert tab.page.get_by_label(re.compile("The person only when asked")).is_checked()
    tab.page.get_by_text(re.compile("Most captions only say who it is")).wait_for()


def test_a_training_is_reported_in_title_and_icon_and_at_its_end(tab: Tab, planted: Planted) -> None:
    page = tab.page
    own = page.title()
    icons = "[...document.querySelectorAll('link[rel~=icon]')].map(one => one.href)"
    before = page.evaluate(icons)
    run = plant_run(CharacterFolder(planted.root / "characters" / "mara"), 2, 200, saved=(20, 40), base=str(BASE))
    for step, identity in ((20, 0.25), (40, 0.625)):
        shares = {"identity": identity, "only_when_asked": None, "obedience": 0.5, "variety": 0.75}
        EventLog(run / "events.jsonl")("likeness", step=step, **shares, faces=6, pictures=6, why="too few of them")
    job = planted.running("train", "Mara", {"run": "002"}, run="002")
    planted.tells(job, "state", state="training", step=0, total=200)
    step = {"total": 200, "loss_average": 0.2, "seconds_left": 9.0, "peak_memory": 300_000_000}
    planted.tells(job, "step", step=20, seconds_per_step=0.01, **step)
    tab.turn("train", "mara")
    planted.tells(job, "step", step=84, seconds_per_step=2.0, **step)
    tab.settle()
    assert page.title() == "42 % Mara · SameFace"
    [icon] = page.evaluate(icons)
    assert icon.startswith("data:image/png")
    assert tab.shown("Pause") == tab.shown("Stop") == 1
    assert tab.coloured() == []
    assert page.locator(".sf-live .sf-chart-svg .sf-tick").locator("text='200'").count() == 2  # the end, in both charts
    curve = page.locator(".sf-live .sf-chart", has_text="Likeness while it trains")
    rows = curve.locator("table tbody tr").all_text_contents()
    assert rows == ["2025 %–50 %75 %", "4063 %–50 %75 %"]  # step, identity, only when asked, obedience, variety
    hints = curve.locator(".sf-legend-entry").evaluate_all("all => all.map((one) => one.title)")
    for hint, begins in zip(
        hints, ("How much of the", "How little the person", "How well heads,", "How much the"), strict=True
    ):
        assert hint.startswith(begins)
    assert "Not measured: too few of them." in page.locator(".sf-live").first.inner_text()
    slower = page.locator(".sf-live .sf-notice:visible").inner_text()
    assert "much slower" in slower
    assert "GPU" not in page.locator("#sf-panel-train").inner_text()
    for other in ("photos", "test"):
        tab.turn(other)
        assert tab.shown("Pause") == tab.shown("Stop") == 1, other
    tab.turn("train")
    assert page.evaluate("asked") == 0
    page.locator(".sf-live .sf-notify:visible").get_by_text("Notify me at the end").click()
    assert page.evaluate("asked") == 1
    planted.queue.end(job.id, "finished", result={})
    tab.settle()
    assert page.title() == "✓ Mara · SameFace"
    assert page.evaluate("told") == ["Train Mara: finished"]
    page.mouse.click(5, 600)  # it is seen
    assert (page.title(), page.evaluate(icons)) == (own, before)


def test_a_page_that_is_not_seen_goes_on_telling(tab: Tab, planted: Planted) -> None:
    job = planted.running("train", "Mara", {"run": "002"}, run="002")
    tab.settle()
    tab.page.evaluate("document.querySelector('#sameface').style.display = 'none'")  # another tab of the webui
    assert not in_page(tab.page, "() => shared.visible()")
    planted.tells(job, "state", state="training", step=0, total=200)
    planted.tells(job, "step", step=100, total=200, seconds_left=9.0, seconds_per_step=1.0)
    tab.page.wait_for_function("document.title.startsWith('50 %')")
    planted.queue.end(job.id, "failed", "It broke.")
    tab.page.wait_for_function("document.title.startsWith('×')")


def test_what_waits_is_removed_and_moved(tab: Tab, planted: Planted) -> None:
    names = ("Mara", "Zoe", "Nova", "Empty")
    jobs = [planted.queue.add(name, TrainArguments(base=str(BASE))).id for name in names]
    try:
        tab.settle()
        tab.page.get_by_role("button", name=re.compile(r"^Queue")).click()
        listed = tab.page.locator(".sf-job[draggable=true] strong")
        rows = {name: tab.page.locator(f".sf-job[data-job='{job}']") for name, job in zip(names, jobs, strict=True)}

        def order() -> list[str]:
            return [job.character for job in planted.queue.open()]

        def becomes(wanted: list[str]) -> None:
            until = time.monotonic() + 20
            while order() != wanted or listed.all_inner_texts() != [f"Train {name}" for name in wanted]:
                assert time.monotonic() < until, (order(), wanted)
                tab.page.wait_for_timeout(50)

        def dragged(name: str, other: str, down: int, order: list[str]) -> None:
            """With the mouse onto another row, so many pixels below its upper edge."""
            wanted = [f"Train {one}" for one in order]
            mouse, from_box, to_box = tab.page.mouse, rows[name].bounding_box(), rows[other].bounding_box()
            mouse.move(from_box["x"] + 9, from_box["y"] + 9)
            mouse.down()
            mouse.move(to_box["x"] + 9, to_box["y"] + down, steps=6)
            tab.page.wait_for_selector(".sf-dragged")
            mouse.move(to_box["x"] + 10, to_box["y"] + down)
            until = time.monotonic() + 20
            while listed.all_inner_texts() != wanted:  # let go only where the row is seen at its place
                assert time.monotonic() < until, (listed.all_inner_texts(), wanted)
                tab.page.wait_for_timeout(50)
            mouse.up()

        becomes(list(names))
        tab.page.get_by_role("button", name="Move down: Train Mara").press("Enter")
        becomes(["Zoe", "Mara", "Nova", "Empty"])
        tab.page.get_by_role("button", name="Move up: Train Empty").press("Enter")
        becomes(["Zoe", "Mara", "Empty", "Nova"])
        # the page does not hear of the first drop before the second
        tab.page.route(re.compile(r"/state\b"), lambda _: None)
        dragged("Nova", "Zoe", 2, ["Nova", "Zoe", "Mara", "Empty"])
        becomes(["Nova", "Zoe", "Mara", "Empty"])
        tab.page.wait_for_timeout(1500)  # longer than between two drawings
        dragged("Nova", "Empty", 80, ["Zoe", "Mara", "Empty", "Nova"])
        tab.page.unroute_all()  # what was held goes on
        becomes(["Zoe", "Mara", "Empty", "Nova"])
        for name in ("Mara", "Nova", "Empty"):
            tab.page.get_by_role("button", name=f"Remove: Train {name}").click()
            until(tab.page, GONE, name)
        assert order() == ["Zoe"]
    finally:  # the tests after it share the queue and the page
        tab.page.unroute_all()
        for job in planted.queue.open():
            if job.id in jobs:
                planted.queue.wish(job.id, "stop")


def test_a_paused_training_is_shown_before_one_that_waits(tab: Tab, planted: Planted) -> None:
    planted.character("Pia")
    paused = planted.running("train", "Pia", {"base": str(BASE)})
    planted.queue.wish(paused.id, "pause")
    planted.queue.end(paused.id, "paused")
    waits = [planted.queue.add("Pia", TrainArguments(base=str(BASE), settings={"steps": steps})) for steps in (40, 12)]
    try:
        tab.turn("train", "pia")
        assert "Training is paused" in tab.page.locator("#sf-panel-train").inner_text()
        tab.page.get_by_role("button", name=re.compile(r"^Queue")).click()
        lines = [tab.page.locator(f".sf-job[data-job='{job.id}'] .sf-quiet").inner_text() for job in waits]
        assert [line.partition(" · ")[0] for line in lines] == ["40 steps", "12 steps"]  # which is which
    finally:
        for job in (*waits, paused):
            planted.queue.wish(job.id, "stop")
        planted.queue.pause_all(False)


def test_a_base_that_is_gone_is_not_tried_again(tab: Tab, planted: Planted, tmp_path: Path) -> None:
    base = tmp_path / "gone.safetensors"
    base.write_bytes(b"x")
    for kind, step, arguments in (("train", "train", {"base": str(base)}), ("test", "test", {"base": str(base)})):
        job = planted.running(kind, "Zoe", arguments)
        planted.queue.end(job.id, "failed", f"There is no file {base}; choose another base model.")
        tab.turn(step, "zoe")
        assert tab.shown("Try again") == 1  # it is there after all
        base.rename(tmp_path / "elsewhere")
        tab.settle()
        assert tab.shown("Try again") == 0
        assert "The base model is gone" in tab.page.locator(f"#sf-panel-{step} .sf-lead").inner_text()
        assert len(tab.coloured()) == 1
        (tmp_path / "elsewhere").rename(base)
    base.unlink()
    tab.turn("train", "zoe")
    tab.press("Choose another base model")
    assert (
        tab.page.get_by_label("Base model")
        .locator("visible=true")
        .first.evaluate("one => one === document.activeElement")
    )


def test_a_captioner_that_is_not_ready_says_how_it_gets_so(
    tab: Tab, planted: Planted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    tab.turn("captions", "zoe")
    tab.page.get_by_text("How to make the others ready").click()
    said = tab.page.locator(".sf-panel-captions .sf-lines").inner_text()
    assert f"ViT-L-14.pt (0.9 GB) into {tmp_path / '.cache' / 'clip'}" in said
    assert str(planted.root / "blip") in said
    tab.page.get_by_label("Captioner").select_option("blip:blip")
    assert "Not ready yet. Put the model" in tab.faults()[0]
    tab.press("Change captions")
    assert tab.faults()[-1] == "Write the phrase, or choose one below."


def test_a_phrase_is_added_to_the_captions_that_are_selected(tab: Tab, planted: Planted) -> None:
    """Also to one that the filter hides meanwhile; an outfit's photos are told apart by eye, not by their captions."""
    photographed(planted, "Dressed", 4)
    tab.turn("captions", "dressed")
    page = tab.page
    ticks = page.get_by_role("checkbox", name=re.compile("^Select "))
    before = page.locator("#sf-panel-captions textarea").evaluate_all("all => all.map((one) => one.value)")
    assert len(before) > 2
    for place in (0, 2):
        ticks.nth(place).check()
    page.get_by_label("Show captions with").fill("no caption says this")
    change = page.get_by_role("button", name="Change captions", exact=True)
    assert change.is_enabled()
    page.get_by_text("In the 2 selected captions", exact=True).wait_for()
    page.get_by_label("Phrase", exact=True).fill("red coat")
    tab.press("Change captions")
    page.get_by_label("Show captions with").fill("")
    tab.settle()
    after = page.locator("#sf-panel-captions textarea").evaluate_all("all => all.map((one) => one.value)")
    assert ["red coat" in text for text in after] == [place in (0, 2) for place in range(len(after))]
    assert ticks.nth(0).is_checked()
    tab.press("Deselect all")
    page.get_by_text("In all captions", exact=True).wait_for()
    page.get_by_label("Show captions with").fill("no caption says this")
    page.get_by_text("In the 0 shown captions", exact=True).wait_for()
    assert change.is_disabled()  # not all, where none is shown
    page.get_by_label("Show captions with").fill("")
    tab.settle()
    tab.press("Undo")
    tab.settle()
    assert page.locator("#sf-panel-captions textarea").evaluate_all("all => all.map((one) => one.value)") == before


def test_two_runs_are_laid_over_each_other(tab: Tab) -> None:
    tab.turn("train", "mara")
    page = tab.page
    page.get_by_text("Compare two trainings", exact=True).click()
    tab.settle()
    charts = page.locator(".sf-chart:visible", has=page.locator(".sf-legend"), has_not_text="Likeness while it trains")
    drawn = [chart.locator("figcaption").inner_text() for chart in charts.all()]
    assert "Average loss" in drawn
    first = charts.first
    assert first.locator(".sf-legend-entry").all_inner_texts() == [
        "Run 002: 40 steps, sd15-face",
        "Run 001: 100 steps, sd15-face",
    ]
    assert first.locator("polyline").count() == 2
    first.locator("svg").focus()
    first.locator("svg").press("Home")
    value = first.locator(".sf-chart-value").inner_text()
    assert "Run 001" in value
    assert "Run 002" in value
    table = page.locator("table:visible", has_text="What differs").inner_text()
    assert re.search(r"steps done\s+40\s+100", table)
    numbers = page.locator("table:visible", has_text="Four numbers").inner_text()
    assert re.search(r"Test\s+–\s+step \d+, weight 1", numbers)  # run 002 was not tested
    assert re.search(r"Identity\s+–\s+not measured: only 0 faces can be measured", numbers)
    page.get_by_label("Compared with").select_option("002")
    assert page.get_by_text("Choose two different runs.").is_visible()


def test_another_lora_is_tried_and_its_curve_shown(tab: Tab, planted: Planted) -> None:
    folder = photographed(planted, "Olga")
    run = plant_run(folder, saved=[50, 100], base=str(BASE))
    plant_grid(run)
    (planted.root / "loras").mkdir(exist_ok=True)
    ink = planted.root / "loras" / "Tusche ü.safetensors"
    ink.write_bytes(b"no LoRA")
    tab.turn("test", "olga")
    page = tab.page
    page.get_by_text("Test another step or weight", exact=True).click()
    page.get_by_text("Another LoRA beside it", exact=True).click()
    tab.settle()
    assert not tab.shown("Find the weight the face survives")
    page.get_by_label("Other LoRA", exact=True).select_option(label="Tusche ü")
    tab.press("Find the weight the face survives")
    tab.settle()
    assert len(tab.faults()) == 1  # what is wrong with the file is said before anything waits
    layer = "lora_unet_mid_block_attentions_0_proj_in"
    save_file({f"{layer}.lora_{half}.weight": np.ones((2, 2, 1, 1), np.float32) for half in ("down", "up")}, ink)
    page.get_by_label("Weights to try", exact=True).fill("0 0.5")
    tab.press("Find the weight the face survives")
    tab.settle()
    assert len(tab.faults()) == 1
    page.get_by_label("Weights to try", exact=True).fill("0.2 0.4")
    tab.press("Find the weight the face survives")
    tab.settle()
    [job] = [one for one in planted.queue.jobs() if one.character == "Olga"]
    assert (job.arguments.lora, job.arguments.weights, job.arguments.step) == (str(ink), [0.2, 0.4], 100)
    assert planted.queue.take("heavy", OWNER).id == job.id
    plant_combined(run, 1)
    planted.queue.end(job.id, "finished", "", {"run": "001", "combined": "001"})
    tab.settle()
    card = page.get_by_role("group", name="With another LoRA")
    card.get_by_text("The face survives ink up to weight 0.5").wait_for()
    assert card.get_by_text("Use ink at weight 0.5.").is_visible()
    assert (card.locator("circle").count(), card.locator("line.sf-line").count()) == (2, 2)
    assert (
        card.get_by_text("The whole report").get_attribute("href").split("?")[0].endswith("/combined/001/combined.html")
    )


def test_what_the_doctor_says_can_be_copied_for_a_report(tab: Tab) -> None:
    tab.turn("doctor")
    tab.press("Copy for a report")
    tab.page.get_by_text("Copied.", exact=True).wait_for()


def test_the_settings_say_what_is_missing_or_refused_below_its_field(tab: Tab, tmp_path: Path) -> None:
    tab.turn("doctor")
    page = tab.page
    page.get_by_role("radio", name=re.compile("InsightFace")).check()
    tab.press("Save the settings")
    assert tab.faults() == [
        "In which folder is the model pack?",
        "Read the licence of the models and check its box first.",
    ]
    page.get_by_role("radio", name=re.compile("SFace and YuNet")).check()
    page.get_by_label("ComfyUI folder").locator("visible=true").fill(str(tmp_path / "nowhere"))
    tab.press("Save the settings")
    page.wait_for_function("document.querySelector('.sf-fault')?.innerText.includes('nowhere')")
    assert page.get_by_label("ComfyUI folder").locator("visible=true").get_attribute("aria-invalid") == "true"


def test_the_modules_come_from_one_versioned_address_and_are_waited_for(chromium: Any, planted: Planted) -> None:
    """A webui draws its page before our routes are there; a browser may remember that an import has failed."""
    context = chromium.new_context()
    page = context.new_page()
    asked: list[str] = []
    refused: list[str] = []

    def answer(route: Any) -> None:
        if len(refused) < 2:
            refused.append(route.request.url)
            route.fulfill(status=404, body="")
        else:
            route.continue_()

    page.route("**/main.js", answer)
    page.on("request", lambda request: asked.append(request.url))
    page.clock.install()  # it runs as usual until it is put forward
    page.goto(planted.address)
    page.get_by_text(
        "SameFace is not ready yet and is tried again every 30 seconds; if this stays, reload the page."
    ).wait_for(timeout=30_000)
    page.clock.fast_forward(30_000)
    page.wait_for_selector("#sameface .sf-tabs", timeout=30_000)
    context.close()
    modules = [url for url in asked if url.endswith(".js") and "/sameface/v1/static/" in url]
    assert len(refused) == 2
    assert len({url.split("/static/")[1].split("/")[0] for url in modules}) == 1
    others = [url for url in modules if not url.endswith("main.js")]
    assert len(others) == len(set(others)) > 30  # each once


def test_a_page_is_sent_only_what_has_changed(tab: Tab, planted: Planted) -> None:
    def state_changes() -> Any:
        with tab.page.expect_response("**/state?since=*") as answer:
            refresh(tab.page)
        return answer.value.json()

    tab.settle()
    before = in_page(tab.page, "() => shared.app.state.characters.length")
    assert set(state_changes()) == {"mark"}
    planted.character("Yara")
    assert [one["slug"] for one in state_changes()["lists"]["characters"]["changed"]] == ["yara"]
    tab.settle()
    assert in_page(tab.page, "() => shared.app.state.characters.length") == before + 1


def test_an_older_sameface_that_still_runs_is_said(chromium: Any, planted: Planted) -> None:
    """After an update and "Reload UI" the new script meets the element of the old program."""
    context = chromium.new_context()
    page = context.new_page()
    page.route("**/sameface.js*", lambda route: route.abort())
    page.goto(planted.address)
    page.wait_for_selector("#sameface")
    page.evaluate("delete document.querySelector('#sameface').dataset.modules")
    page.add_script_tag(path=str(ROOT / "javascript" / "sameface.js"))
    page.get_by_text("SameFace was updated; close the webui and start it again.").wait_for()
    context.close()
