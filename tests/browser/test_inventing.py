"""Somebody without photos invents a face on the page alone: the small base really paints, in a worker of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from visitor import ROOT, Visitor

from lib_lora.workflows.invent.invented_folder import InventedFolder
from lib_lora.workspace.workspace import CharacterFolder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("Daten ü")


@pytest.fixture(scope="module")
def person(browser_windows: object, data: Path) -> Iterator[Visitor]:
    """A visitor of the page, which is a process of its own until the tests have ended."""
    command = [sys.executable, "-m", "lib_lora", "ui", "--data", str(data), "--no-open"]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    with (data / "page.log").open("wb") as log:
        page = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, env=quiet)
    try:
        address = next(found[0] for line in page.stdout if (found := re.search(r"http://\S+", line.decode())))  # type: ignore[union-attr]
        visitor = Visitor(browser_windows, address, "alone-invents")
        visitor.come()
        yield visitor
        visitor.page.close()
    finally:
        page.terminate()
        page.wait(60)


def test_a_face_is_described_painted_and_picked(person: Visitor, data: Path) -> None:
    form = person.page.locator("#sameface")
    person.sees("Welcome. Who do you want to train?")
    person.click("I have no photos: invent a face", exact=False)
    form.get_by_label("Describe the person").fill("a woman with short red hair, 30 years old")
    form.get_by_role("spinbutton", name="Faces to choose from").fill("2")
    form.get_by_label("Name", exact=True).fill("Nova")
    form.get_by_role("textbox", name="Trigger word").fill("nvxa")
    form.get_by_text("woman", exact=True).click()
    form.get_by_text("Nobody real").click()
    person.waits_for(lambda: form.get_by_label("Base model", exact=True).input_value(), 60, "the list of base models")
    person.photograph("1-described")
    person.click("Create and paint faces")
    person.sees("Which face do you want?", 180)
    faces = form.locator("#sf-panel-invent .sf-photo:visible")
    drawn = "card => { const img = card.querySelector('img'); return img.complete && img.naturalWidth > 50 }"
    person.waits_for(lambda: faces.count() == 2 and faces.nth(1).evaluate(drawn), 60, "both faces")
    person.page.reload()
    person.sees("Which face do you want?")  # and is still there
    person.photograph("2-faces")
    person.click("Take face 1")
    person.page.locator("dialog").get_by_role("button", name="Take this face").click()
    person.sees("The face is chosen.")
    assert InventedFolder(CharacterFolder(data / "characters" / "nova")).plan.picked == "candidates/0001.png"  # type: ignore[union-attr]
    person.photograph("3-picked")
    assert person.errors == []


def test_an_edit_is_undone_from_its_toast(person: Visitor, data: Path) -> None:
    folder = CharacterFolder(data / "characters" / "nova")
    person.click("Edit")
    person.page.locator("#sf-panel-edit").get_by_role("textbox", name="Trigger word").fill("qzva")
    person.click("Save")
    person.sees("Trigger word changed")
    assert "trigger: qzva" in folder.file.read_text(encoding="utf-8")
    person.page.reload()  # the toast is gone, the way back is not
    person.page.wait_for_selector("#sameface .sf-tabs", state="visible")
    person.page.locator(".sf-who").get_by_role("button", name="Undo").click()
    person.sees("Undone: trigger word changed")
    assert "trigger: nvxa" in folder.file.read_text(encoding="utf-8")
    assert (folder.photos / "picked-0001.txt").read_text(encoding="utf-8").strip() == "photo of nvxa woman"
    assert person.errors == []
