"""How pictures are shown, in a real browser: labelled, in one order, large beside a photo with a slider; Use with the
file of the LoRA; a zip that tells how far it is and is cancelled; words that can be read in any theme. Nothing is
trained or painted."""

from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from in_page import go, until
from PIL import Image
from planting import plan_audit, plant_grid, plant_run
from visitor import ROOT, Visitor

from hosts.standin.stage import Page, running_page
from lib_lora.character.store import Character, Consent, create
from lib_lora.workspace.workspace import CharacterFolder

PHOTOS = sorted((ROOT / "tests" / "data" / "personas" / "mara").glob("*.jpg"))
LORA = "mara-001-000400.safetensors"
STATE = "**/sameface/v1/state?since=*"
BARE = r"""() => {
    const sheets = [...document.querySelectorAll('style, link[rel=stylesheet]')];
    sheets.filter((one) => !/#sameface|style\.css/.test(one.href || one.textContent)).forEach((one) => one.remove());
    document.head.append(Object.assign(document.createElement('style'), { id: 'theme' }));
}"""
DARK_PAGE = "* { transition: none !important } html, body { background: rgb(32 32 32) !important; color: #ccc }"
# what the UX fork names its colours; it takes away gradio's own style sheets, and .dark means nothing to it
UX = (
    ":root { --ae-main-bg-color: rgb(32 32 32); --ae-label-color: rgb(255 255 255 / 75%); --ae-primary-color: #1485d8;"
    " --ae-panel-bg-color: rgb(64 64 64 / 50%); --ae-panel-border-color: rgb(64 64 64 / 75%);"
    " --ae-input-bg-color: rgb(0 0 0 / 25%); --ae-input-border-color: rgb(0 0 0 / 10%) }"
)
UX_LIGHT = (
    UX.replace("32 32 32", "225 225 225").replace("255 255 255 / 75%", "0 0 0 / 90%").replace("64 64 64", "205 " * 3)
)
# Text of too little contrast with what is below it, as WCAG 2.2 measures it (1.4.3: 4.5, where it is large 3); what is
# disabled, and what lies on a gradient or a picture, is left out.
FAINT = r"""() => {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const known = {};
    const levels = (color) => (known[color] = known[color] || (() => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    })());
    const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
    const light = ([...rgb]) => {
        const [r, g, b] = rgb.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const found = [];
    let looked = 0;
    for (const one of document.querySelectorAll('#sameface *')) {
        const words = [...one.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join('');
        const off = one.closest(':disabled, :has(> :disabled), .sf-silent');
        if (!/\p{L}/u.test(words) || off || !one.checkVisibility()) continue;
        const chain = [];
        for (let at = one; at; at = at.parentElement) chain.unshift(getComputedStyle(at));
        let ground = [255, 255, 255, 1];
        let unknown = false;
        for (const style of chain) {
            ground = over(levels(style.backgroundColor), ground);
            unknown = style.backgroundImage !== 'none' || (unknown && levels(style.backgroundColor)[3] < 1);
        }
        if (unknown) continue;
        const style = chain.at(-1);
        const [low, high] = [light(over(levels(style.color), ground)), light(ground)].sort((a, b) => a - b);
        const large = parseFloat(style.fontSize) >= (style.fontWeight >= 700 ? 18.66 : 24);
        looked += 1;
        const ratio = (high + 0.05) / (low + 0.05);
        if (ratio < (large ? 3 : 4.5)) found.push(`${words.slice(0, 40)}: ${ratio.toFixed(2)} (${one.className})`);
    }
    return { looked, found };
}"""


def planted(folder: CharacterFolder) -> None:
    """Five photos, and a run with a test grid of three pairs; 04.jpg is nearest to the second picture."""
    for photo in PHOTOS[:5]:
        shutil.copy(photo, folder.photos / photo.name)
    plan_audit(folder)
    grid = plant_grid(plant_run(folder, steps=400, saved=[400], photos=5), step=400, weight=0.8, pictures=3)
    for place, colour in ((1, "red"), (2, "green"), (3, "blue")):
        Image.new("RGB", (64, 64), colour).save(grid / "cells" / f"{place:02d}-lora.png")
        Image.new("RGB", (64, 64), "white").save(grid / "cells" / f"{place:02d}-base.png")
    report = json.loads((grid / "report.json").read_text())
    report["photos"] = [{"file": one.name, "likeness": 0.9, "used": True, "remark": ""} for one in PHOTOS[:5]]
    report["pictures"][1]["score"]["nearest"] = "04.jpg"
    (grid / "report.json").write_text(json.dumps(report))


@pytest.fixture(scope="module")
def webui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    home = tmp_path_factory.mktemp("webui")
    planted(create(home / "sameface", Character("Mara", "mrxa", "woman", Consent("fictional", "2024-05-06"))))
    create(home / "sameface", Character("Noah", "nhxo", "man"))
    with running_page("a1111", home, [ROOT]) as page:
        yield page


@pytest.fixture
def person(browser_windows: object, webui: Page) -> Iterator[Visitor]:
    visitor = Visitor(browser_windows, webui.address, "pictures")
    yield visitor
    visitor.page.close()
    assert visitor.errors == []


def to(person: Visitor, step: str, slug: str = "mara") -> Any:
    """Come to a step of a character's; its panel."""
    person.come()
    until(person.page, "() => choice.chosenCharacter()")  # the page has chosen one by itself
    go(person.page, step, slug)
    panel = person.page.locator(f"#sf-panel-{step}")
    panel.wait_for(state="visible")
    return panel


def test_side_by_side_is_labelled_and_in_the_report_s_order(person: Visitor) -> None:
    panel = to(person, "test")
    cells = panel.locator(".sf-pair").first.locator(".sf-cell")
    cells.first.wait_for()
    labels = [cells.nth(place).locator(".sf-side-label") for place in (0, 1)]
    assert [label.inner_text() for label in labels] == ["without the LoRA", "with the LoRA"]
    assert all(label.is_visible() for label in labels)
    boxes = [cells.nth(place).bounding_box() for place in (0, 1)]
    assert boxes[0]["x"] < boxes[1]["x"]
    names = panel.locator("fieldset", has_text="Side by side").locator("label").all_inner_texts()
    assert names == ["Side by side", "Without the LoRA", "With the LoRA"]


def test_a_picture_opens_large_beside_its_photo(person: Visitor) -> None:
    panel = to(person, "test")
    panel.locator(".sf-pair .sf-picture-button").nth(0).click()
    large = person.page.locator("dialog[open]")
    large.get_by_text("1 of 4").wait_for()
    assert large.locator(".sf-side-label").all_inner_texts() == [
        "Photo: the most similar one", "without the LoRA", "with the LoRA"
    ]  # fmt: skip
    person.page.keyboard.press("ArrowRight")
    large.get_by_text("2 of 4").wait_for()
    assert large.locator(".sf-photo-name").inner_text() == "04.jpg"
    large.get_by_role("button", name="Next photo").click()
    assert large.locator(".sf-photo-name").inner_text() == "00.jpg"
    assert large.locator(".sf-side-label").first.inner_text() == "Photo"
    person.page.keyboard.press("ArrowLeft")
    person.page.keyboard.press("ArrowLeft")
    large.get_by_text("4 of 4").wait_for()  # without the trigger: nothing to compare it with
    assert not large.locator(".sf-compare-slider").is_visible()
    person.page.keyboard.press("Escape")
    large.wait_for(state="detached")
    person.photograph("grid")


def at(person: Visitor, share: float) -> tuple[int, ...]:
    """The colour that is seen at a share of the width of the two pictures."""
    box = person.page.locator("dialog[open] .sf-compare")
    drawn = Image.open(io.BytesIO(box.screenshot())).convert("RGB")
    return drawn.getpixel((round(drawn.width * share), drawn.height // 2))  # type: ignore[return-value]


def test_the_slider_shows_one_or_the_other(person: Visitor) -> None:
    panel = to(person, "test")
    panel.locator(".sf-pair .sf-picture-button").first.click()
    box = person.page.locator("dialog[open] .sf-compare")
    person.page.wait_for_function("document.querySelector('dialog[open] .sf-compare-lora').complete")
    white, red = (255, 255, 255), (255, 0, 0)
    assert (at(person, 0.3), at(person, 0.7)) == (white, red)
    place = box.bounding_box()
    middle = place["y"] + place["height"] / 2
    person.page.mouse.move(place["x"] + place["width"] * 0.5, middle)
    person.page.mouse.down()
    person.page.mouse.move(place["x"] + place["width"] * 0.9, middle, steps=3)
    person.page.mouse.up()
    assert (at(person, 0.3), at(person, 0.7)) == (white, white)
    slider = person.page.locator("dialog[open]").get_by_role("slider")
    assert slider.input_value() == "90"
    slider.focus()
    person.page.keyboard.press("Home")
    assert (at(person, 0.3), at(person, 0.7)) == (red, red)
    person.page.keyboard.press("ArrowUp")
    assert slider.input_value() == "1"
    person.page.keyboard.press("ArrowRight")  # goes on, whatever has the focus
    person.page.locator("dialog[open]").get_by_text("2 of 4").wait_for()
    person.photograph("large")


def test_the_slider_follows_a_finger(chromium: Any, person: Visitor) -> None:
    person.page.close()
    person.page = chromium.new_page(viewport={"width": 390, "height": 844}, has_touch=True)
    panel = to(person, "test")
    panel.locator(".sf-pair .sf-picture-button").first.tap()
    box = person.page.locator("dialog[open] .sf-compare")
    person.page.wait_for_function("document.querySelector('dialog[open] .sf-compare-lora').complete")
    box.scroll_into_view_if_needed()
    place = box.bounding_box()
    finger = person.page.context.new_cdp_session(person.page)

    def touch(kind: str, *shares: float) -> None:
        y = place["y"] + place["height"] / 2
        points = [{"x": place["x"] + place["width"] * share, "y": y} for share in shares]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0.5)
    touch("touchMove", 0.6)
    touch("touchMove", 0.8)
    touch("touchEnd")
    assert person.page.locator("dialog[open]").get_by_role("slider").input_value() == "80"


def test_use_shows_path_download_and_prompt(person: Visitor, webui: Page) -> None:
    panel = to(person, "use")
    panel.get_by_text("Download " + LORA).wait_for()
    texts = panel.locator(".sf-copy-text").locator("visible=true").all_inner_texts()
    assert texts[0].endswith(str(Path("runs", "001", "checkpoints", LORA)))
    assert Path(texts[0]).is_absolute()
    assert re.fullmatch(r"photo \d of mrxa woman <lora:mara-001-000400:0.8>", texts[1])
    assert panel.get_by_role("button", name="Put into txt2img").is_visible()
    with person.page.expect_download() as kept:
        panel.get_by_text("Download " + LORA).click()
    assert kept.value.suggested_filename == LORA
    assert Path(kept.value.path()).read_bytes() == b"LoRA"
    person.photograph("use")


def test_alone_the_main_button_keeps_the_file(person: Visitor) -> None:
    def alone(route: Any) -> None:
        answer = route.fetch()
        said = answer.json()
        if "host" in said.get("changed", {}):
            said["changed"]["host"]["name"] = "alone"
        route.fulfill(response=answer, json=said)

    person.page.route(STATE, alone)
    panel = to(person, "use")
    panel.get_by_text("Download " + LORA).wait_for()
    assert panel.locator(".sf-button-main").locator("visible=true").all_inner_texts() == ["Download the LoRA"]
    with person.page.expect_download() as kept:
        panel.get_by_role("button", name="Download the LoRA").click()
    assert kept.value.suggested_filename == LORA


def test_an_import_tells_how_far_it_is_and_is_cancelled(person: Visitor, tmp_path: Path) -> None:
    large = Image.open(PHOTOS[0]).resize((3000, 3000))
    stream = io.BytesIO()
    large.save(stream, "JPEG", quality=30)
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(60):
            archive.writestr(f"{number:03d}.jpg", stream.getvalue() + number.to_bytes(2, "little"))
    to(person, "photos", "noah")
    person.page.set_input_files("#sf-panel-photos input[type=file] >> nth=0", tmp_path / "many.zip")
    told = person.page.locator(".sf-upload")
    told.get_by_text(re.compile(r"many\.zip: picture \d+ of 60")).wait_for()
    person.photograph("importing")
    told.get_by_role("button", name="Cancel").click()
    told.get_by_text(re.compile(r"^Stopped: \d+ photos? added$")).wait_for()
    added = int(re.findall(r"\d+", told.inner_text())[0])
    assert 0 < added < 60
    until(person.page, "n => choice.chosenCharacter().photos.count === n", added)


def test_only_what_can_be_read_is_promised(person: Visitor) -> None:
    def without(route: Any) -> None:
        answer = route.fetch()
        said = answer.json()
        if "host" in said.get("changed", {}):
            said["changed"]["host"]["photos"] = ["JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF"]
        route.fulfill(response=answer, json=said)

    person.page.route(STATE, without)
    panel = to(person, "photos")
    panel.get_by_text("JPEG, PNG, WebP, GIF, BMP, TIFF, or a zip file of them").wait_for()
    assert "heic" not in panel.locator("input[type=file]").first.get_attribute("accept")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_word_can_be_read(theme: str, browser_windows: Any, webui: Page) -> None:
    guest = Visitor(browser_windows, f"{webui.address}/?__theme={theme}", "contrast")
    guest.come()
    until(guest.page, "() => choice.chosenCharacter()")
    _read_all(guest, theme)
    assert guest.errors == []
    guest.page.close()


@pytest.mark.once("of gradio's styles nothing is left here")
def test_every_word_can_be_read_without_gradios_styles(browser_windows: Any, webui: Page) -> None:
    guest = Visitor(browser_windows, webui.address, "contrast")
    guest.come()
    until(guest.page, "() => choice.chosenCharacter()")
    guest.page.evaluate(BARE)
    for name, style in (("ux", DARK_PAGE + UX), ("ux-light", UX_LIGHT), ("no-colours", DARK_PAGE)):
        guest.page.evaluate("style => { document.querySelector('#theme').textContent = style; }", style)
        _read_all(guest, name)
    assert guest.errors == []
    guest.page.close()


def _read_all(guest: Visitor, name: str) -> None:
    looked = 0
    for step, last in (("photos", ".sf-photo"), ("train", "p"), ("test", ".sf-verdict"), ("doctor", ".sf-check")):
        go(guest.page, step, "mara")
        guest.page.locator(f"#sf-panel-{step} {last}").locator("visible=true").first.wait_for()
        seen = guest.page.evaluate(FAINT)
        if step == "test":
            guest.photograph(name)
        assert seen["found"] == [], (name, step)
        looked += seen["looked"]
    assert looked > 100
