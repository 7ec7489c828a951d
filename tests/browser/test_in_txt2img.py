"""What a person sees in the webui's txt2img: the prompt that comes there, the one that stays, why a picture waits.

The webui is the stand-in of tests/hosts; the run and its LoRA are written by hand, nothing is trained or painted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from in_page import in_page, refresh
from planting import plant_grid, plant_run
from visitor import ROOT, Visitor

from hosts.standin.stage import Page, running_page
from lib_lora.lora import key_names
from lib_lora.lora.file.writing import write
from lib_lora.models.families.registry import family_named
from lib_lora.runs.records import run_records
from lib_lora.workspace.workspace import CharacterFolder

pytestmark = pytest.mark.once("the page's scripts; test_whole_way.py opens the page of A1111's gradio")

MINE = "a castle by the sea, my own words"


@pytest.fixture(scope="module")
def webui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    home = tmp_path_factory.mktemp("webui")
    with running_page("a1111", home, [ROOT]) as page:
        new = {"name": "Mara", "trigger": "mrxa", "class_word": "woman", "consent": "fictional"}
        page.ask("/sameface/v1/characters", new)
        run = plant_run(CharacterFolder(home / "sameface" / "characters" / "mara"), steps=100, saved=[100])
        _write_lora(run_records.checkpoint(run_records.run(run), 100))
        plant_grid(run)
        yield page


def _write_lora(path: Path) -> None:
    tensors = {}
    for layer in family_named("sd1").adapter_paths("unet", False):
        name = key_names.kohya_name("sd1", "unet", layer)
        tensors |= {f"{name}.lora_down.weight": torch.ones(1, 2), f"{name}.lora_up.weight": torch.ones(2, 1)}
        tensors[f"{name}.alpha"] = torch.tensor(1.0)
    write(path, tensors, {"ss_output_name": "x"}, dtype=torch.float16)


@pytest.fixture
def person(browser_windows: object, webui: Page) -> Iterator[Visitor]:
    visitor = Visitor(browser_windows, webui.address, "in-txt2img")
    yield visitor
    visitor.page.close()
    assert visitor.errors == []


def prompt(person: Visitor) -> Any:
    """The webui's own box."""
    return person.page.locator("#txt2img_prompt textarea")


def open_again(person: Visitor) -> None:
    """The webui's page as it first is, with our tab somewhere in it."""
    person.page.goto(person.address)
    person.page.wait_for_selector("#sameface", state="attached")


def put(person: Visitor, answer: str = "") -> None:
    """Our button, which txt2img does not show, and the answer to what it asks; returns once the LoRA is delivered."""
    if answer:
        put(person)
        with person.page.expect_response("**/characters/mara/use", timeout=120_000):
            person.click(answer)
        person.page.locator("#sameface").wait_for(state="hidden")  # the webui turns to txt2img, a little later
        return
    if not person.page.locator("#sameface").is_visible():
        person.page.get_by_text(re.compile(r"^\s*Train LoRA\s*$")).first.click()
    person.step("Use")
    person.page.locator("#sf-panel-use").get_by_role("button", name="Put into txt2img").first.click()


def test_a_prompt_of_the_users_own_is_not_replaced_unasked(person: Visitor) -> None:
    open_again(person)
    prompt(person).fill(MINE)
    put(person)
    dialog = person.page.locator(".sf-dialog")
    dialog.wait_for()
    assert MINE in dialog.inner_text()
    person.click("Cancel")
    assert prompt(person).input_value() == MINE

    put(person)
    dialog.wait_for()
    person.photograph("asks")
    person.click("Cancel")
    added = f"{MINE}, mrxa woman <lora:mara:1>"
    for _ in range(2):  # the second time it is not added twice
        put(person, "Keep it and add the LoRA")
        person.waits_for(lambda: prompt(person).input_value() == added, 20, "the LoRA")

    put(person, "Replace it")
    ours = "photo 1 of mrxa woman <lora:mara:1>"
    person.waits_for(lambda: prompt(person).input_value() == ours, 20, "our prompt")

    with person.page.expect_response("**/characters/mara/use", timeout=120_000):
        put(person)  # what was put there by us is no prompt of the user's
    assert not dialog.is_visible()
    assert prompt(person).input_value() == ours


@pytest.mark.parametrize(("lost", "there"), [(1, ""), (9, ""), (1, "a hill <lora:mara:1>")])
def test_a_prompt_that_does_not_arrive_is_sent_again(person: Visitor, lost: int, there: str) -> None:
    """A webui's page can lose a click on its button; what is said then is what is so."""
    open_again(person)
    prompt(person).fill(there)
    person.page.evaluate(
        "(lost) => { window.clicks = 0; document.querySelector('#sameface_send').addEventListener('click', (event) => {"
        " window.clicks += 1; if (window.clicks <= lost) event.stopImmediatePropagation(); }, { capture: true }); }",
        lost,
    )
    put(person, "Replace it" if there else "")
    said = person.page.locator("#sf-panel-use").get_by_text("The prompt is in txt2img")
    if lost == 1:
        said.wait_for(state="attached", timeout=60_000)  # the webui has turned to txt2img
        assert prompt(person).input_value() == "photo 1 of mrxa woman <lora:mara:1>"
        assert person.page.evaluate("() => window.clicks") == 2
    else:
        person.page.get_by_text("The prompt has not arrived in txt2img").wait_for(timeout=60_000)
        assert person.page.evaluate("() => window.clicks") == 3
        assert said.count() == 0


def test_the_ux_extensions_own_list_of_loras_is_refreshed_too(person: Visitor) -> None:
    open_again(person)
    person.page.evaluate(
        "() => { const own = document.createElement('button'); own.id = 'lora_refresh'; window.refreshed = 0;"
        " own.onclick = () => (window.refreshed += 1); document.body.append(own); }"
    )
    put(person)
    person.page.wait_for_function("() => window.refreshed === 1", timeout=120_000)


def test_the_ux_extensions_list_is_refreshed_when_it_is_first_opened(person: Visitor) -> None:
    """Its button does nothing before that, as in the extension itself."""
    open_again(person)
    person.page.evaluate(
        "() => { const [own, opens] = ['lora_refresh', 'lora_nav'].map((id) => {"
        "   const button = document.createElement('button'); button.id = id; document.body.append(button);"
        "   return button; });"
        " window.refreshed = 0;"
        " const listen = () => own.addEventListener('click', () => (window.refreshed += 1));"
        " opens.addEventListener('click', listen, { once: true }); }"
    )
    put(person)
    ours = "photo 1 of mrxa woman <lora:mara:1>"
    person.waits_for(lambda: prompt(person).input_value() == ours, 60, "our prompt")
    assert person.page.evaluate("() => window.refreshed") == 0
    for _ in range(2):
        person.page.evaluate("() => document.querySelector('#lora_nav').click()")
    assert person.page.evaluate("() => window.refreshed") == 1


def test_why_a_picture_waits_is_said_before_anybody_clicks(person: Visitor) -> None:
    held: dict[str, Any] = {"job": None}
    person.page.route("**/sameface/v1/waits*", lambda route: route.fulfill(json=held))
    open_again(person)
    notice = person.page.locator("#sameface_waits_txt2img")
    person.page.wait_for_timeout(1500)
    assert not notice.is_visible()
    held["job"] = {"id": 1, "text": "Train Mara", "standing": {"seconds_left": 480}}
    notice.wait_for(state="visible", timeout=15_000)
    assert "Train Mara: pictures wait until it is done, 8 min left" in notice.inner_text()
    person.photograph("waits")
    held["job"] = None
    notice.wait_for(state="hidden", timeout=15_000)


def test_nobody_is_asked_while_no_generate_button_is_seen(person: Visitor) -> None:
    asked: list[str] = []
    person.come()
    person.page.wait_for_timeout(6000)
    person.page.on("request", lambda request: asked.append(request.url) if "/waits" in request.url else None)
    person.page.wait_for_timeout(6000)
    assert asked == []


def test_a_webui_that_is_not_there_is_hardly_asked(person: Visitor) -> None:
    """A request that reaches A1111 just as it starts can end it."""
    asked: list[str] = []
    person.come()
    asking = """() => {
        window.had = 0;
        parts.repeatWhileSeen(async () => { await api.get('/jobs'); window.had += 1; }, 300).set(true);
    }"""
    in_page(person.page, asking)
    person.waits_for(lambda: person.page.evaluate("window.had"), 20, "an answer")
    person.page.route("**/sameface/v1/**", lambda route: route.abort())
    person.waits_for(lambda: in_page(person.page, "() => shared.app.lost"), 20, "the loss being noticed")
    person.page.on("request", lambda request: asked.append(request.url))
    person.page.wait_for_timeout(7000)
    assert len(asked) <= 2, asked
    had = person.page.evaluate("window.had")
    person.page.unroute("**/sameface/v1/**")
    refresh(person.page)
    person.waits_for(lambda: person.page.evaluate("window.had") > had, 20, "the requests going on")


def test_pictures_still_to_be_painted_are_not_gone(person: Visitor) -> None:
    """As `ui.routes.pictures.grid_routes` tells a grid that is being painted, and one whose file was deleted."""
    person.come()
    shown = """() => {
        const none = { prompt: 'p', status: null, likeness: null, url: '' };
        const row = (role, more) => ({ role, name: 'beach', seed: 1, ...none, ...more });
        const shown = (verdict, more) => {
            const node = pictures.gridPictures();
            node.set({ run: '001', id: '001', verdict, rows: ['lora', 'base', 'leak'].map((role) => row(role, more)) });
            return [...node.querySelectorAll('figcaption')].map((one) => one.textContent).filter(Boolean);
        };
        return [shown(null, {}), shown({ kind: 'consistent' }, { status: 'ok', likeness: 0.8 })];
    }"""
    person.waits_for(lambda: in_page(person.page, "() => Boolean(shared.app.state)"), 20, "the page's first state")
    texts = in_page(person.page, shown)
    assert texts[0] == ["Still to be painted."] * 3
    assert len(texts[1]) == 3
    assert all("The picture no longer exists." in one for one in texts[1])
