"""The tab in another language: what the server says is translated too, and no file's name becomes part of the page."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from finding_examples import finding
from planted_page import Planted, planted_page
from planting import plan_audit, plant_grid, plant_run
from report_toys import facts_by_name
from visitor import ROOT, Visitor

from lib_lora.files import read_json, write_json
from lib_lora.likeness.verdict.facts import flat
from lib_lora.likeness.verdict.verdict import judge
from lib_lora.photos.audit import finding_words
from lib_lora.remote import places
from lib_lora.training.plan.device_choice import MachineFacts, TorchFacts, choose
from lib_lora.typed_settings import to_dict
from lib_lora.ui.views import machine, translatable_texts

pytestmark = pytest.mark.once("the page's scripts; test_whole_way.py opens the page of A1111's gradio")

MARA = sorted((ROOT / "tests" / "data" / "personas" / "mara").glob("*.jpg"))
HOSTILE = "{value} {0} <img src=x onerror='document.title=1'>"  # the name of a photo in an old audit, of any system
GERMAN = {
    "Photos": "Fotos",
    "Do next:": "Als Nächstes:",
    "The face has {value:.1f} pixels (limit {limit:g}).": "Grenze {limit:g}: das Gesicht hat {value:.1f} Pixel.",
    "This photo is the same picture as {other}, which is better{alike}.": "Dasselbe Bild wie {other}{alike}.",
    " (likeness of the faces {value:.3f}, limit {limit:g})": " ({value:.3f} über {limit:g})",
    "{n} photos": "{n} Fotos",
    "{photos} are few, so the face will look stiff; 20 to 50 are best (limit 15).": "{photos} sind wenige.",
    "The caption of {photo} lacks the trigger '{trigger}'.": "Ohne „{trigger}“: {photo}.",
    "{copies} of {read} pictures repeat a photo (most often {copied}).": "{read} Bilder, {copies} wie {copied}.",
    "Train {more:,} more steps": "{more:,} Schritte weiter",
    "Overtrained": "Übertrainiert",
    "Test the earlier checkpoint, step {earlier}.": "Prüfe Schritt {earlier}.",
    "Test step {step:,}": "Schritt {step:,} prüfen",
    "Only when asked": "Nur auf Verlangen",
    "How much the pictures differ from each other: 100% means as much as the base model's, or more; under {limit:.0%} "
    "they are all alike.": "Wie verschieden die Bilder sind; unter {limit:.0%} sind alle gleich.",
    "not measured: {why}": "nicht gemessen: {why}",
    "the base model itself does too little of what was asked": "das Basismodell tut es selbst kaum",
    "What the four numbers mean": "Was die vier Zahlen bedeuten",
    "Machine {name}": "Rechner {name}",
    "{where}, not checked yet": "{where}, noch nicht geprüft",
    "On the computer where SameFace runs, press Check beside it, under Other machines.": "Drücke Prüfen.",
    "Training uses the CPU: {why}.": "Der Prozessor trainiert: {why}.",
    "Remove the variable to use a GPU.": "Entferne die Variable.",
}

IN_ENGLISH = re.compile(r"^attic: |^Close-up\.$|^(mini|sd15)-face$|SAMEFACE_CLIP|nothing is downloaded by itself")


def test_the_german_templates_are_those_of_today() -> None:
    assert {*GERMAN} <= {*translatable_texts.texts()}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "gpu_name", lambda: "")
        patch.setattr(machine, "lacks", lambda *_: ("3.11.4", []))
        patch.setattr(
            machine, "training_device", lambda *_: choose(TorchFacts("2.13.0", cpu_asked=True), MachineFacts())
        )
        with planted_page(tmp_path_factory.mktemp("Daten ü")) as page:
            _plant(page)
            yield page


def _plant(page: Planted) -> None:
    """A character with two findings, captions without the trigger, and a judged test."""
    folder = page.character("Mara")
    places.save(page.root, places.parsed("attic", "mara@attic.example.org"))
    for photo in MARA[:10]:
        shutil.copy(photo, folder.photos)
        (folder.photos / photo.name).with_suffix(".txt").write_text("photo of a woman", encoding="utf-8")
    said = [finding_words.message(one) for one in (finding("same-picture", other=HOSTILE), finding("small-face"))]
    changed = {"tone": "bad", "findings": [*map(str, said)], "messages": [one.for_programs() for one in said]}
    plan_audit(folder, **{"00": {**changed, "sentence": str(said[0])}})
    audit, few = read_json(path := folder.cache / "audit-told.json"), finding_words.message(finding("few-photos"))
    audit["findings"] = [{"code": few.code, "tone": "warn", "text": str(few), "message": few.for_programs()}]
    write_json(path, audit)
    grid = plant_grid(plant_run(folder, steps=800, saved=[400, 800], photos=10), step=800)
    facts = facts_by_name(step=800, earlier=400, keep=0.7, same=0.5, photos=10, read=20, counted=20, retention=0.9,
                          retention_best=0.9, copies=4, copies_share=0.2, copied=HOSTILE, leak=3, leak_cells=4,
                          leak_share=0.6, base_no_face_share=0.0, asked_told=8, asked_told_base=8, scene=0.5,
                          variety_ratio=0.7, variety_limit=0.45)  # fmt: skip
    report = read_json(grid / "report.json")
    write_json(grid / "report.json", {**report, "verdict": to_dict(judge(facts)), "facts": flat(facts)})


def test_what_the_server_says_is_said_in_the_webuis_language(planted: Planted, browser_windows: Any) -> None:
    guest = Visitor(browser_windows, planted.address, "Mara", language="de-DE")
    guest.page.add_init_script(f"window.localization = {json.dumps(GERMAN)}")  # as the webui has it
    guest.come()
    guest.page.locator("#sf-tab-photos").click()
    guest.sees(f"Dasselbe Bild wie {HOSTILE} (0,984 über 0,97).")
    guest.sees("40 Fotos sind wenige.")
    guest.photograph("german-photos")
    guest.page.locator("#sf-panel-photos .sf-thumb").first.click()
    guest.sees("Grenze 50: das Gesicht hat 40,0 Pixel.")
    guest.page.keyboard.press("Escape")
    guest.page.locator("#sf-tab-captions").click()
    guest.sees("Ohne „maxqa“: 00.jpg.")
    guest.page.locator("#sf-tab-test").click()
    guest.sees(f"20 Bilder, 4 wie {HOSTILE}.")
    guest.sees("Prüfe Schritt 400.")
    guest.sees("Schritt 400 prüfen")
    bars = guest.page.locator(".sf-verdict").get_by_role("meter")
    assert [bar.get_attribute("aria-valuenow") for bar in bars.all()] == ["90", "40", "70"]
    guest.page.locator(".sf-verdict").get_by_role("meter", name="Nur auf Verlangen").wait_for()
    guest.sees("nicht gemessen: das Basismodell tut es selbst kaum")
    varied = "Wie verschieden die Bilder sind; unter 45 % sind alle gleich."
    assert guest.page.locator(".sf-number-bar").last.get_attribute("title") == varied.replace(" %", "\u00a0%")
    guest.page.get_by_text("Was die vier Zahlen bedeuten").click()
    guest.sees(varied)
    guest.photograph("german-test")
    guest.page.locator("#sf-tab-doctor").click()
    guest.sees("Rechner attic")
    guest.sees("mara@attic.example.org, noch nicht geprüft.")
    guest.sees("Drücke Prüfen.")
    guest.sees("Der Prozessor trainiert: the variable ACCELERATE_USE_CPU asks for it.")
    guest.sees("Entferne die Variable.")
    guest.photograph("german-doctor")
    assert guest.page.locator("#sameface img[src='x']").count() == 0
    assert guest.page.title() != "1"
    assert guest.errors == []
    guest.page.close()


ASKED = """window.asked = new Set();
window.localization = new Proxy({}, { getOwnPropertyDescriptor: (_, text) => void window.asked.add(text) });"""


def test_all_that_is_asked_for_is_in_the_list(planted: Planted, browser_windows: Any) -> None:
    """But for what docs/tab.md says is in English, such as the name of another machine in a list to choose from, and
    what was made of a text of the list and is asked for again."""
    guest = Visitor(browser_windows, planted.address, "Mara", language="de-DE")
    guest.page.add_init_script(ASKED)
    guest.come()
    for step in ("photos", "captions", "train", "test", "use", "doctor"):
        guest.page.locator(f"#sf-tab-{step}").click()
        guest.page.wait_for_timeout(700)
        for fold in guest.page.locator(f"#sf-panel-{step} summary:visible").all():
            fold.click()
            guest.page.wait_for_timeout(200)
    for button in ("Edit", "+ New"):
        guest.click(button)
        guest.page.wait_for_timeout(500)
    listed = translatable_texts.texts()
    asked = {text for text in guest.page.evaluate("[...window.asked]") if translatable_texts.has_words(text)}
    assert len(asked & {*listed}) > 300
    filled = [".+".join(map(re.escape, re.split(r"\{[^{}]*\}", text))) for text in listed if "{" in text]
    made = re.compile("|".join(filled))
    assert {text for text in asked - {*listed} if not made.fullmatch(text) and not IN_ENGLISH.search(text)} == set()
    guest.page.close()


def test_without_a_translation_it_is_in_english(planted: Planted, browser_windows: Any) -> None:
    guest = Visitor(browser_windows, planted.address, "Mara")
    guest.come()
    guest.page.locator("#sf-tab-test").click()
    guest.sees(f"4 of 20 pictures repeat a photo (most often {HOSTILE}).")
    guest.sees("Test the earlier checkpoint, step 400.")
    guest.page.close()
