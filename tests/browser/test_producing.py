"""The step Produce in a browser: from a list of prompts to the job, and sorting pictures out by mouse and keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from in_page import go, refresh, until
from planted_page import Planted, planted_page
from planting import MINI, PRODUCTION, plant_production, plant_run, tried

from lib_lora.hosts.standalone import Alone
from lib_lora.workflows.produce import production_request, production_store

pytestmark = pytest.mark.once("the page's scripts")

WHITE, NEARLY, BLACK = "f" * 16, "f" * 15 + "e", "0" * 16


@pytest.fixture
def planted(tmp_path: Any) -> Iterator[Planted]:
    with planted_page(tmp_path / "Daten ü") as page:
        yield page


@pytest.fixture
def tab(chromium: Any, planted: Planted) -> Iterator[Any]:
    page, errors = chromium.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert errors == []


def opened(page: Any, planted: Planted) -> None:
    page.goto(planted.address)
    until(page, "() => shared.app.state && document.querySelector('#sameface .sf-tabs')")
    refresh(page)
    go(page, "produce", "lena")


def shown(page: Any) -> list[str]:
    """The names of the pictures that the gallery shows, in their order."""
    found = page.eval_on_selector_all(".sf-produced img", "all => all.map((one) => one.src)")
    return [url.split("/pictures/")[1].split("?")[0] for url in found]


def test_a_list_of_prompts_becomes_a_job(tab: Any, planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(production_request, "check_base", lambda run: None)
    monkeypatch.setattr(production_request, "check_whole", lambda path: None)
    folder = planted.character("Lena")
    plant_run(folder, saved=[50, 100], base=str(MINI))
    loras = planted.root / "loras"
    loras.mkdir()
    (loras / "ink.safetensors").touch()
    opened(tab, planted)
    start = tab.locator(".sf-panel-produce .sf-button-main")
    until(tab, "() => document.querySelector('.sf-panel-produce .sf-prompts')?.getClientRects().length")
    start.last.click()
    assert "Write at least one prompt." in tab.locator(".sf-panel-produce .sf-fault").inner_text()
    tab.fill(".sf-panel-produce .sf-prompts", "in a café\n# a remark\n{red|blue} coat")
    assert start.last.inner_text() == "Paint 2 pictures"
    tab.get_by_role("spinbutton", name="Pictures").fill("200")
    assert start.last.inner_text() == "Paint 200 pictures"
    tab.fill(".sf-panel-produce .sf-prompts", "at __nowhere__")
    start.last.click()
    until(tab, "() => document.querySelector('.sf-toast.sf-bad')")
    assert production_store.productions(folder) == []
    tab.fill(".sf-panel-produce .sf-prompts", "in a café\n{red|blue} coat")
    tab.locator(".sf-panel-produce summary", has_text="Another LoRA beside it").click()
    produce = tab.locator(".sf-panel-produce")
    other = produce.get_by_label("Other LoRA")
    until(tab, "() => document.querySelector('.sf-panel-produce').textContent.includes('ink')")
    other.select_option("ink")
    produce.get_by_label("Its weight").fill("0.4")
    tab.get_by_role("button", name="Add it to every prompt").click()
    written = tab.locator(".sf-panel-produce .sf-prompts").input_value()
    assert written == "in a café <lora:ink:0.4>\n{red|blue} coat <lora:ink:0.4>"
    start.last.click()
    until(tab, "() => document.querySelector('.sf-panel-produce .sf-lead').innerText.includes('waiting')")
    [job] = planted.queue.open()
    [made] = production_store.productions(folder)
    assert (job.kind, job.arguments.production, made.plan().count, made.plan().step) == ("produce", made.id, 200, 100)


def test_pictures_are_sorted_out_by_mouse_and_keys(tab: Any, planted: Planted) -> None:
    folder = planted.character("Lena")
    plant_run(folder, saved=[100], base=str(MINI))
    made = plant_production(
        folder,
        tried(1, 1, likeness=0.5, code=WHITE),
        tried(2, 1, likeness=0.9, code=BLACK),
        tried(3, 1, likeness=0.7, code=NEARLY),
        tried(4, 1, "lost", 0.1),
        plan=replace(PRODUCTION, count=4),
    )
    one, two, three, four = (f"0000{number}-01.png" for number in (1, 2, 3, 4))
    opened(tab, planted)
    until(tab, "() => document.querySelectorAll('.sf-produced').length === 2")
    assert shown(tab) == [one, two]  # the third is nearly the first
    tab.locator(".sf-pile").first.scroll_into_view_if_needed()  # the browser draws what is in view only, a frame later
    until(tab, "() => document.querySelector('.sf-pile').innerText === '+1'")
    tab.get_by_text("Stack near-duplicates").click()
    tab.get_by_label("Order").select_option("best")
    assert shown(tab) == [two, three, one]

    tab.locator(".sf-thumb").first.focus()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("d")
    until(tab, "() => document.querySelectorAll('.sf-produced').length === 2")
    assert shown(tab) == [two, one]
    until(tab, "() => document.querySelector('.sf-panel-produce .sf-lead').innerText.includes('2 of 4')")
    assert made.decisions() == {three: "drop"}
    tab.keyboard.press("u")
    until(tab, "() => document.querySelectorAll('.sf-produced').length === 3")
    until(tab, "() => document.querySelector('.sf-panel-produce .sf-lead').innerText.includes('3 of 4')")
    assert made.decisions() == {}

    tab.get_by_role("button", name="Failed (1)").click()
    assert shown(tab) == [four]
    tab.locator(".sf-thumb").first.click()
    until(tab, "() => document.querySelector('dialog .sf-compare-lora')?.src.includes('00004')")
    tab.keyboard.press("z")
    assert tab.locator("dialog .sf-compare.sf-zoomed").count() == 1
    for key, said in (("k", "kept by you"), ("u", "lost"), ("k", "kept by you")):
        tab.keyboard.press(key)
        until(tab, f"() => document.querySelector('dialog').innerText.includes('{said}')")
        tab.wait_for_timeout(300)  # in which the page asks for the production anew
    tab.keyboard.press("Escape")
    assert tab.get_by_role("button", name="Decided by me (1)").count() == 1
    assert made.decisions() == {four: "keep"}
    assert tab.locator(".sf-panel-produce a[href*='pictures.zip']:not([href*=signed])").count() == 1


def test_who_repaints_small_faces_is_said_and_what_is_new_comes_by_itself(
    tab: Any, planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("name", "a1111"), ("paints", lambda self: True), ("detailer", lambda self: "ADetailer")):
        monkeypatch.setattr(Alone, name, value)
    folder = planted.character("Lena")
    plant_run(folder, saved=[100], base=str(MINI))
    plan = replace(PRODUCTION, count=4, by="webui", second_pass=0.4, detailer="ADetailer")
    made = plant_production(folder, tried(1, 1, code=WHITE), tried(2, 1, "lost", 0.2), plan=plan)
    opened(tab, planted)
    until(tab, "() => document.querySelectorAll('.sf-produced').length === 1")
    panel = tab.locator(".sf-panel-produce")
    assert "repainted by ADetailer, denoising strength 0.4" in panel.inner_text()
    links = panel.locator("a[href*='pictures.zip']")
    assert "signed=1" in str(links.last.get_attribute("href")) or "c2pa-python" in panel.inner_text()
    tab.locator(".sf-thumb").first.focus()
    tab.keyboard.press("d")
    until(tab, "() => document.querySelectorAll('.sf-produced').length === 0")
    new = replace(tried(3, 1, code=BLACK), likeness=0.9)
    (made.pictures / new.file).write_bytes((made.pictures / "00001-01.png").read_bytes())
    made.note(new)
    until(tab, "() => document.querySelectorAll('.sf-produced').length === 1")
    assert shown(tab) == [new.file]  # and what was dropped stays so
    assert made.decisions() == {"00001-01.png": "drop"}

    panel.get_by_text("New production").click()
    panel.get_by_text("How they are painted").click()
    assert panel.get_by_text("Done by ADetailer of this webui").is_visible()
    panel.get_by_text("SameFace itself").click()
    assert panel.get_by_text("Done by SameFace, for full-body pictures").is_visible()
