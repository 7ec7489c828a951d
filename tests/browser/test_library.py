"""The panel Library in a browser: agreeing, lights, finding and fetching. Civitai is a stand-in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_civitai
import pytest
from fake_civitai import FakeCivitai, safetensors
from in_page import go, refresh, until
from PIL import Image
from planted_page import Planted, planted_page
from planting import MINI

from lib_lora.hosts.host_protocol import Checkpoint, Roots
from lib_lora.hosts.standalone import Alone
from lib_lora.remote import api_key_store

pytestmark = pytest.mark.once("the page's scripts")


@pytest.fixture
def civitai(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCivitai]:
    with fake_civitai.running() as fake:
        monkeypatch.setenv("SAMEFACE_CIVITAI", fake.site)
        monkeypatch.delenv("CIVITAI_API_TOKEN", raising=False)
        monkeypatch.setattr(api_key_store, "_in_keyring", lambda *_: None)
        yield fake


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Planted]:
    loras, bases = tmp_path / "loras", tmp_path / "bases"
    for folder in (loras, bases):
        folder.mkdir()
    for name, number in (("ink", 1), ("nude", 2), ("own", 3)):
        (loras / f"{name}.safetensors").write_bytes(safetensors(bytes([number]) * 64))
        Image.new("RGB", (480, 480), (200, 80 * number, 90)).save(loras / f"{name}.png")
    base = bases / "photo.safetensors"
    shutil.copy(MINI, base)
    monkeypatch.setattr(Alone, "checkpoints", lambda _: [Checkpoint("photo", base)])
    with planted_page(tmp_path / "Daten") as page:
        monkeypatch.setattr(Alone, "roots", lambda _: Roots(page.root, [loras], [bases]))
        yield page


def test_from_agreeing_to_the_fetched_file(
    chromium: Any, planted: Planted, civitai: FakeCivitai, tmp_path: Path
) -> None:
    civitai.add(safetensors(b"\x01" * 64), 501, 401, page={"allowCommercialUse": ["RentCivit"]})
    nude = {"nsfw": True, "nsfwLevel": 16, "poi": True}
    civitai.add(safetensors(b"\x02" * 64), 502, 402, page={"name": "Somebody", **nude}, nsfwLevel=16)
    base = {"name": "Photo base", "type": "Checkpoint", "allowNoCredit": False}
    civitai.add(MINI.read_bytes(), 504, 404, page=base)
    further = safetensors(b"\x09" * 64)
    civitai.add(further, 505, 405, page={"name": "Neon"}, file={"name": "neon.safetensors"})

    page, errors = chromium.new_page(viewport={"width": 1280, "height": 1500}), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_default_timeout(20_000)
    page.goto(planted.address)
    until(page, "() => shared.app.state && document.querySelector('#sameface .sf-tabs')")
    refresh(page)
    page.get_by_role("tab", name="Library").click()
    page.get_by_text("Find out what your models may be used for.").wait_for()
    page.get_by_label("A model on Civitai").fill("405")
    page.get_by_role("button", name="Find it").click()
    page.get_by_text("Civitai is only asked once you have agreed").wait_for()
    assert civitai.asked == []
    page.get_by_role("button", name="Agree, and look them up").click()
    page.get_by_text("4 models; 3 of them are known from Civitai.").wait_for()

    card = page.locator(".sf-panel-library .sf-card", has_text="photo")
    card.get_by_text("with conditions").first.wait_for()
    ink = page.locator(".sf-panel-library .sf-card").filter(has=page.get_by_text("ink", exact=True))
    ink.get_by_text("not allowed").first.wait_for()
    nude_card = page.locator(".sf-panel-library .sf-card").filter(has=page.get_by_text("nude", exact=True))
    nude_card.get_by_text("Somebody v1 shows a REAL PERSON").wait_for()
    cover = nude_card.get_by_role("button", name="Show the picture of nude")
    assert "sf-blurred" in (cover.get_attribute("class") or "")
    cover.click()
    assert "sf-blurred" not in (cover.get_attribute("class") or "")

    page.get_by_label("ink", exact=True).check()
    page.get_by_label("photo", exact=True).check()
    page.get_by_text("These 2 models together").wait_for()
    page.get_by_role("searchbox", name="Name").fill("in")
    cards = page.locator(".sf-panel-library .sf-cards").first
    assert cards.locator(".sf-model-name").all_inner_texts() == ["ink"]
    page.get_by_label("Show", exact=True).select_option("base")
    page.get_by_text("No matching models.").wait_for()
    page.get_by_role("searchbox", name="Name").fill("")
    assert cards.locator(".sf-model-name").all_inner_texts() == ["photo"]
    page.get_by_label("Show", exact=True).select_option("")

    page.get_by_label("A model on Civitai").fill(f"{civitai.site}/models/405/neon")
    page.get_by_role("button", name="Find it").click()
    page.get_by_text("Neon v1", exact=True).wait_for()
    page.locator(".sf-panel-library .sf-card", has_text="Neon v1").get_by_role("button", name="Download").click()
    page.get_by_text("neon.safetensors has been downloaded").wait_for()
    assert (tmp_path / "loras" / "neon.safetensors").read_bytes() == further
    page.get_by_text("5 models; 4 of them are known from Civitai.").wait_for()

    planted.character("Mara")
    refresh(page)
    go(page, "train", "mara")
    line = page.locator(".sf-train-form", has_text="Sell it, a LoRA trained on it, or a merge with it")
    line.get_by_text("with conditions").first.wait_for()
    line.get_by_role("button", name="Library").click()

    page.get_by_role("button", name="Switch Civitai off").click()
    page.get_by_text("Civitai is turned off: no requests are sent to it.").wait_for()
    asked = len(civitai.asked)
    go(page, "doctor")
    go(page, "library")
    page.get_by_text("Civitai is turned off: no requests are sent to it.").wait_for()
    assert len(civitai.asked) == asked
    assert errors == []
    page.close()
