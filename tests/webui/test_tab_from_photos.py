"""The Train LoRA tab in a real webui, from the first look to a LoRA in its prompt.

Runs against a webui that has SameFace in it, see `running`. The small base of `tests/data/mini-face` should be among
its checkpoints, and selected (`python -m tools.mini.webui` puts it there). In the order of the file, on one training:
what comes later takes minutes less then. The other files with `test_tab_` go on with the same character.
"""

import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from in_page import go
from PIL import Image
from running import PREFIX, PROMPT, SAMPLING

pytestmark = pytest.mark.webui(running=True)
OWN_WORK, SHARE = 0.3, 0.04  # of the webui's start: seconds; or, on a slow or busy machine, this part of it
PROMPT_BOX = "#txt2img_prompt textarea"


def _differ(one, other):
    return float(np.abs(one - other).mean())


def _cards(page, tab):
    return page.evaluate(
        "tab => [...document.querySelectorAll(`#${tab}_lora_cards .card`)].map(card => card.dataset.name)",
        tab,
    )


def test_the_start_is_hardly_longer(webui, seen):
    answer = webui.ask("/internal/profile-startup")
    assert answer.status == 200
    records = answer.json()["records"]
    ours = {
        name: seconds
        for name, seconds in records.items()
        if name in ("load scripts/train_lora.py", "load scripts/face_guard.py", "app_started_callback/page.py")
    }
    assert ours, "the webui's own times do not name our script"
    seen["start"] = {name: round(seconds, 3) for name, seconds in ours.items()}
    seen["start of the webui"] = round(answer.json()["total"], 1)
    assert sum(ours.values()) < max(OWN_WORK, SHARE * answer.json()["total"])


def test_the_tab_is_there(webui, window, seen):
    window.turn_to_us()
    state = webui.api("/state")
    assert state["supervisor"] == {"active": True, "reason": ""}
    assert state["host"]["name"] != "alone"
    window.page.wait_for_timeout(2500)  # in which it asks for the state again
    window.photograph(f"{state['host']['name']}-tab")
    seen["host"] = {key: state["host"][key] for key in ("name", "version")}
    seen["errors of other scripts"] = window.others


def test_a_character_comes_to_captions_by_the_routes(webui, character):
    entry = next(one for one in webui.api("/state")["characters"] if one["slug"] == character)
    assert entry["photos"]["count"] == 12
    assert entry["photos"]["audited"]
    assert entry["captions"]["written"] == entry["captions"]["of"] > 0
    found = webui.api(f"/characters/{character}/captions")["captions"]
    assert all("mrxa" in one["text"] for one in found if one["used"])
    digest = webui.api(f"/characters/{character}/photos")["photos"][0]["sha256"]
    answer = webui.ask(f"{PREFIX}/characters/{character}/photos/{digest}/thumbnail")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")


def test_the_worker_is_the_webuis_python_with_packages_of_its_own(webui, trained, folders):
    process = webui.process()
    assert process is not None
    assert Path(trained["exe"]) == Path(process.exe())
    assert trained["parent"] == process.pid
    first, *rest = trained["environment"]["PYTHONPATH"].split(":" if psutil.POSIX else ";")
    assert rest == [] or ".sameface" in first
    assert "COMMANDLINE_ARGS" not in trained["environment"]
    checks = {one["name"]: one["tone"] for one in webui.api("/doctor")["checks"]}
    assert checks["Packages"] == "good"
    loras = Path(folders["data"]) / "characters" / trained["job"]["slug"] / "runs" / trained["run"]
    assert list(loras.rglob(trained["job"]["result"]["lora"]))


def test_the_training_measures_itself(webui, window, trained, character, seen):
    details = webui.api(f"/characters/{character}/runs/{trained['run']}")
    curve = details["likeness"]
    assert [one["step"] for one in curve][-1] == trained["steps"]
    assert all(one["pictures"] == 6 for one in curve)
    seen["likeness while it trains"] = [(one["step"], one["identity"], one["faces"]) for one in curve]
    assert {one["role"] for one in details["samples"]} >= {"lora", "leak", "base"}
    window.turn_to_us()
    go(window.page, "train", character)
    window.page.get_by_text("Likeness while it trains").locator("visible=true").first.wait_for()
    window.photograph("curve")


@pytest.mark.usefixtures("painting")
def test_pictures_wait_while_it_trains_and_are_the_same_after(plain, trained, seen):
    assert "SameFace is training" in (trained["progress"]["textinfo"] or "")
    meanwhile = trained["meanwhile"]
    assert meanwhile["at"] >= trained["job"]["ended"] - 0.5
    seen["picture waited seconds"] = round(meanwhile["at"] - trained["asked"], 1)
    seen["picture after the training seconds"] = round(meanwhile["at"] - trained["job"]["ended"], 1)
    assert np.array_equal(plain, meanwhile["picture"])
    assert np.array_equal(plain, trained["after"])


def test_the_grid_leaves_no_trace_in_the_webui(webui, grid_job, trained, character, paints, folders, seen):
    assert grid_job["after"] == grid_job["before"]
    assert not (Path(folders["loras"]) / "sameface-tests").exists()
    where = f"/characters/{character}/runs/{trained['run']}/grids/{grid_job['job']['result']['grid']}"
    grid = webui.api(where)
    rows = [row for row in grid["rows"] if row["status"] is not None]
    assert {row["role"] for row in rows} >= {"lora", "base"}
    seen["grid pictures"] = len(rows)
    seen["grid verdict"] = grid["verdict"]["headline"]
    for row in rows:
        answer = webui.ask(PREFIX + row["url"])
        assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    cells = Path(folders["data"], "characters", character, "runs", trained["run"], "grids", grid["id"], "cells")
    with Image.open(sorted(cells.glob("*lora*.png"))[0]) as picture:
        said = str(picture.info)
    assert not paints or f"Steps: {SAMPLING}" in said
    page = webui.ask(f"{PREFIX}{where}/report.html")
    assert page.status == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert webui.ask(f"{PREFIX}{where}/sheet.png").status == 200


def test_a_production_is_painted_by_the_webui_and_judged(webui, trained, character, paints, folders, seen):
    values = {
        "prompts": "smiling\n{red|blue} coat",
        "count": 3,
        "tries": 2,
        "run": trained["run"],
        "steps": SAMPLING,
        "second_pass": 0.3,
        "painter": "webui" if paints else "worker",
    }
    begun, before = time.monotonic(), sorted(path.name for path in Path(folders["loras"]).iterdir())
    made = webui.api(f"/characters/{character}/productions", values)
    job = webui.ended(made["job"]["id"], seconds=1800)
    seen["production seconds"] = round(time.monotonic() - begun, 1)
    found = webui.api(f"/characters/{character}/productions/{made['production']}")
    assert (found["by"], found["wanted"]) == ("webui" if paints else "", 3)
    assert found["painted"] == job["result"]["painted"] >= 3
    assert found["kept"] + found["given_up"] == 3
    seen["production"] = [(one["reason"] or "passed", one["likeness"]) for one in found["pictures"]]
    pictures = Path(folders["data"], "characters", character, "productions", made["production"], "pictures")
    with Image.open(sorted(pictures.glob("*.png"))[0]) as picture:
        assert f"Steps: {SAMPLING}" in picture.text["parameters"]
    assert sorted(path.name for path in Path(folders["loras"]).iterdir()) == before
    answer = webui.ask(f"{PREFIX}{found['pictures'][0]['url']}?small=1")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")


def test_a_click_puts_it_into_the_open_page(webui, trained, character, window, seen):
    page = window.page
    before = {tab: _cards(page, tab) for tab in ("txt2img", "img2img")}
    window.turn_to_us()
    go(page, "use", character)
    put = page.locator("#sf-panel-use").get_by_role("button", name="Put into txt2img")
    put.wait_for(state="visible")
    window.photograph(f"{webui.api('/state')['host']['name']}-use")
    begun = time.monotonic()
    put.click()
    for tab, known in before.items():
        page.wait_for_function(
            "([tab, known]) => document.querySelectorAll(`#${tab}_lora_cards .card`).length > known",
            arg=[tab, len(known)],
        )
    seen["cards in the open page seconds"] = round(time.monotonic() - begun, 1)
    [stem] = set(_cards(page, "txt2img")) - set(before["txt2img"])
    assert set(_cards(page, "img2img")) - set(before["img2img"]) == {stem}
    page.wait_for_function(
        "([box, word]) => document.querySelector(box).value.includes(word)", arg=[PROMPT_BOX, f"<lora:{stem}:"]
    )
    assert "mrxa" in page.locator(PROMPT_BOX).input_value()
    page.wait_for_selector(PROMPT_BOX, state="visible")  # the webui has turned to txt2img
    window.photograph(f"{webui.api('/state')['host']['name']}-sent")
    page.locator(PROMPT_BOX).fill("")
    page.locator("#txt2img_extra_tabs").get_by_role("tab", name="Lora").or_(
        page.locator("#txt2img_extra_tabs button", has_text="Lora")
    ).first.click()
    card = page.locator(f'#txt2img_lora_cards .card[data-name="{stem}"]')
    card.scroll_into_view_if_needed()
    window.photograph(f"{webui.api('/state')['host']['name']}-card")
    card.click()
    page.wait_for_function(
        "([box, word]) => document.querySelector(box).value.includes(word)", arg=[PROMPT_BOX, f"<lora:{stem}:"]
    )


@pytest.fixture(scope="module")
def used(webui, trained, character):
    """The LoRA put into the webui by the route."""
    body = {"run": trained["run"], "step": trained["steps"], "weight": 0.8}
    return webui.api(f"/characters/{character}/use", body)


def test_the_file_has_notes_and_a_preview_beside_it(webui, used, folders):
    file = Path(used["file"])
    assert file.parent == Path(folders["loras"])
    assert file.stem == used["stem"]
    assert used["shown"], used["why"]
    beside = {path.name for path in file.parent.glob(f"{file.stem}.*")}
    assert {f"{file.stem}.json", f"{file.stem}.safetensors"} < beside
    assert beside & {f"{file.stem}.png", f"{file.stem}.preview.png"}
    answer = webui.ask("/sdapi/v1/loras")
    assert answer.status == 200
    known = {one["name"]: one for one in answer.json()}
    assert known[used["stem"]]["alias"] == used["stem"]
    assert Path(known[used["stem"]]["path"]) == file
    assert known[used["stem"]]["metadata"]["ss_base_model_version"] == "sd_v1"


@pytest.mark.usefixtures("painting")
def test_it_changes_the_webuis_pictures_by_its_weight(webui, plain, used, seen):
    changed = {
        weight: _differ(webui.picture(f"{PROMPT} <lora:{used['stem']}:{weight}>"), plain) for weight in (0, 0.5, 1)
    }
    seen["changed by weight"] = {str(weight): round(levels, 2) for weight, levels in changed.items()}
    assert changed[0] == 0
    assert 0.5 < changed[0.5] < changed[1]
    assert np.array_equal(webui.picture(), plain)
