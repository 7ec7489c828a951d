"""An invented character on the page: what was painted, the face that is picked, and what may be asked for when."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import pytest
from PIL import Image
from planting import MINI, PERSONAS, WHO, plant_invented, plant_run

from lib_lora.character.photo_files import list_photos
from lib_lora.hosts.host_protocol import Checkpoint
from lib_lora.ui.views import caption_checks
from lib_lora.ui.views.page_limits import page_limits

pytestmark = pytest.mark.once("what may be asked for is ours; other routes repeat how it is answered")

OWN = "/characters/mara/invented/own"


@pytest.fixture(autouse=True)
def _no_tokenizer(monkeypatch):
    monkeypatch.setattr(caption_checks, "problems", lambda snapshot, wait=False: [])


@pytest.fixture
def base(page):
    page.host.models = [Checkpoint("mini", MINI)]
    return str(MINI)


def job(page, kind, status=200, **arguments):
    answer = page.post("/jobs", {"kind": kind, "character": "mara", "arguments": arguments})
    assert answer.status_code == status, answer.text
    return answer.json().get("code", "")


def entry(page):
    return page.got("/state")["characters"][0]


def test_nothing_was_begun(page):
    page.character()
    found = page.got("/characters/mara/invention")
    assert (found["stage"], found["candidates"], found["more"], found["picked"]) == ("none", [], [], None)
    assert entry(page)["invented"] is None
    assert entry(page)["next"] == "photos"


def test_candidates_can_be_seen_and_one_is_picked(page, base):
    folder = page.character()
    plant_invented(folder, faults={2: "no face"})
    assert entry(page)["invented"] == {"stage": "candidates", "candidates": 4, "painted": 0, "kept": 0, "mirrored": 0}
    assert entry(page)["next"] == "invent"  # a page that is loaded anew goes on there
    found = page.got("/characters/mara/invention")
    assert (found["stage"], found["describe"], found["base"]) == ("candidates", WHO, base)
    assert [(one["number"], one["why"]) for one in found["candidates"]] == [(1, ""), (2, "no face"), (3, ""), (4, "")]
    assert [one["doubt"] for one in found["candidates"]] == [None] * 4  # as an older version painted them
    whole, small = (page.get(found["candidates"][0]["url"] + ending) for ending in ("", "&small=1"))
    assert (whole.headers["content-type"], small.headers["content-type"]) == ("image/png", "image/jpeg")
    with Image.open(io.BytesIO(small.content)) as picture:
        assert max(picture.size) == 384
    assert page.code_of("/characters/mara/invented/pick", {"number": 2}) == "candidate-unusable"
    assert page.code_of("/characters/mara/invented/pick", {"number": 9}) == "candidate-not-found"
    taken = page.done("/characters/mara/invented/pick", {"number": 3})
    assert taken["stage"] == "picked"
    assert page.get(taken["picked"]["thumbnail"]).status_code == 200
    assert [path.name for path in list_photos(folder.photos)] == ["picked-0003.png"]
    assert page.code_of("/characters/mara/invented/pick", {"number": 1}) == "character-has-face"
    assert job(page, "invent", 409, describe=WHO, base=base) == "character-has-face"


@pytest.mark.parametrize("path", ["plan.json", "..%2Fcharacter.yaml", "../character.yaml", "0009.png", "%2e%2e"])
@pytest.mark.parametrize("folder", ["candidates", "more", "from", "..", "%2e%2e"])
def test_only_painted_pictures_are_given(page, folder, path):
    plant_invented(page.character())
    assert page.get(f"/characters/mara/invented/{folder}/{path}").status_code == 404


def test_each_further_picture_says_what_became_of_it(page):
    folder = page.character()
    plant_invented(folder, picked=1, more=["", "other face", "near copy", "", "other face"])
    found = page.got("/characters/mara/invention")
    assert (found["painted"], found["kept"]) == (5, 2)
    assert [one["why"] for one in found["more"]] == ["", "other face", "near copy", "", "other face"]
    assert found["reasons"] == [
        {"said": "another face", "count": 2},
        {"said": "almost the same as a kept picture", "count": 1},
    ]
    assert found["rounds"] == {"without": {"painted": 5, "kept": 2, "mirrored": 0}, "with": None}
    (folder.photos / "invented-0001.png").unlink()
    found = page.got("/characters/mara/invention")
    assert (found["kept"], found["more"][0]["why"]) == (1, "left out by you")
    assert entry(page)["invented"]["kept"] == 1


def test_mirror_images_are_counted_apart_and_not_as_painted_or_kept(page):
    folder = page.character()
    invented = plant_invented(folder, picked=1, more=["", "other face"])
    first = invented.painted()[-2]
    image = replace(first, file="more/0003.png", way="mirror", start=first.file, photo="invented-0001-mirrored.png")
    for path in (invented.path / image.file, folder.photos / image.photo):
        Image.new("RGB", (64, 64)).save(path)
    invented.note(image)
    found = page.got("/characters/mara/invention")
    counted = {"painted": 2, "kept": 1, "mirrored": 1}
    assert {name: found[name] for name in counted} == counted == found["rounds"]["without"]
    assert [(one["kept"], one["mirrored"]) for one in found["more"]] == [(True, False), (False, False), (True, True)]
    assert {name: entry(page)["invented"][name] for name in counted} == counted
    assert job(page, "more", count=2, mirror=False) == ""


def test_a_round_with_the_lora_is_counted_by_itself(page):
    folder = page.character()
    plant_invented(folder, picked=1, more=["", "other face"])
    assert job(page, "more", 409, with_lora=True) == "lora-none-yet"
    plant_run(folder, saved=[2, 4])
    found = page.got("/characters/mara/invention")
    assert found["lora"] == "mara-001-000004"
    assert found["rounds"] == {
        "without": {"painted": 2, "kept": 1, "mirrored": 0},
        "with": {"painted": 0, "kept": 0, "mirrored": 0},
    }
    assert job(page, "more", with_lora=True) == ""


def test_what_cannot_be_painted_is_said_at_once(page, base, tmp_path):
    page.character()
    assert job(page, "invent", 400, describe=WHO) == "base-model-not-chosen"
    assert job(page, "invent", 400, describe=WHO, base=str(tmp_path / "none.safetensors")) == "base-model-missing"
    assert job(page, "invent", 400, describe=" ", base=base) == "setting-invalid"
    assert job(page, "invent", 400, describe="a\nb", base=base) == "setting-invalid"
    most = page_limits().description_letters
    assert job(page, "invent", 400, describe="x" * (most + 1), base=base) == "setting-invalid"
    assert job(page, "invent", 400, describe=WHO, base=base, candidates=65) == "setting-invalid"
    assert job(page, "more", 409) == "face-not-picked"
    assert job(page, "invent", describe="x" * most, base=base) == ""
    assert job(page, "invent", 409, describe="a man", base=base) == "faces-being-painted"
    assert page.code_of("/characters/mara/invented/pick", {"number": 1}, 409) == "faces-being-painted"


def test_photos_of_somebody_are_not_mixed_with_an_invented_face(page, base):
    page.character(photos=2)
    assert job(page, "invent", 409, describe=WHO, base=base) == "character-has-photos"


def test_other_machines_name_no_base(page, base, tmp_path):
    page.character()
    page.host.is_remote = True
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"x")
    job(page, "invent", 403, describe=WHO, base=str(other))
    page.refused(OWN, {"name": "a.png", "data": "", "base": str(other)}, 403)
    assert job(page, "invent", describe=WHO, base=base) == ""


def picture(*personas):
    whole = Image.new("RGB", (256 * len(personas), 256))
    for place, one in enumerate(personas):
        with Image.open(PERSONAS / one / "00.jpg") as photo:
            whole.paste(photo.convert("RGB").resize((256, 256)), (256 * place, 0))
    stream = io.BytesIO()
    whole.save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode("ascii")


def test_a_picture_of_ones_own_begins_a_face(page, base):
    folder = page.character()
    two = {"name": "../ü?.png", "data": picture("mara", "ines"), "base": base}
    assert page.code_of(OWN, two) == "picture-without-clear-face"
    none = base64.b64encode(b"no picture").decode()
    assert page.code_of(OWN, {**two, "data": none}) == "photo-unreadable"
    assert page.code_of(OWN, {**two, "data": "*"}) == "base64-invalid"
    assert entry(page)["invented"] is None  # nothing of these was kept
    taken = page.done(OWN, {**two, "data": picture("mara"), "describe": " a  woman "})
    assert (taken["stage"], taken["describe"], taken["candidates"]) == ("picked", "a woman", [])
    assert page.get(taken["picked"]["url"]).status_code == 200
    assert len(list_photos(folder.photos)) == 1
    assert job(page, "more") == ""


def test_damaged_files_are_said_and_take_nothing_else_from_the_page(page):
    folder = page.character()
    plant_invented(folder)
    (folder.path / "invented" / "plan.json").write_text('{"describe": 3}')
    assert entry(page)["invented"] is None
    answer = page.get("/characters/mara/invention").json()
    assert (answer["code"], "plan.json" in answer["error"]) == ("setting-wrong-type", True)
