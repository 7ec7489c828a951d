"""Captions: shown with what is wrong, edited one by one and many at once, and taken back."""

import pytest

from lib_lora.clip import clip_model
from lib_lora.hosts.host_protocol import OfferedCaptioner
from lib_lora.messages.message import Message
from lib_lora.ui.views import caption_checks

TEXTS = {
    "00": "photo of mrxa woman, smiling",
    "01": "photo of mrxa woman, park, smiling",
    "02": "photo of a woman, smiling",
    "03": "",
}


@pytest.fixture
def folder(page):
    folder = page.character(photos=4)
    for stem, text in TEXTS.items():
        if text:
            (folder.photos / f"{stem}.txt").write_text(f"{text}\n", encoding="utf-8")
    return folder


def texts(view):
    return {one["file"].removesuffix(".jpg"): one["text"] for one in view["captions"]}


def test_captions_are_shown_with_what_is_wrong(page, folder):
    view = page.got("/characters/mara/captions")
    assert texts(view) == TEXTS
    assert view["plain"] == "photo of mrxa woman"
    assert view["phrases"][0] == {"phrase": "smiling", "captions": 3}
    assert (view["can_undo"], view["undo_text"]) == (False, "")
    by_file = {one["file"]: one["problems"] for one in view["captions"]}
    assert by_file["00.jpg"] == []
    assert by_file["02.jpg"] == ["The caption of 02.jpg lacks the trigger 'mrxa'."]
    assert by_file["03.jpg"] == ["03.jpg has no caption."]


def test_no_sentence_tells_what_to_type(page, folder):
    for number in range(4, 12):
        (folder.photos / f"{number:02d}.jpg").write_bytes(b"%d" % number)
    for path in folder.photos.glob("*.jpg"):
        path.with_suffix(".txt").write_text("photo of woman")
    view = page.got("/characters/mara/captions")
    said = [*view["problems"], *(text for one in view["captions"] for text in one["problems"])]
    assert any(text.startswith("All 12 captions are the same") for text in said)
    assert not [text for text in said if "lib_lora" in text or "sameface" in text or "--" in text]


def test_what_nearly_all_photos_show_is_told_and_no_caption_is_to_be_looked_at(page, folder):
    for number in range(4, 12):
        (folder.photos / f"{number:02d}.jpg").write_bytes(b"%d" % number)
    for number, path in enumerate(folder.photos.glob("*.jpg")):
        path.with_suffix(".txt").write_text(f"photo of mrxa woman, close-up, smiling, hat {number}")
    view = page.got("/characters/mara/captions")
    assert [one["code"] for one in view["messages"]] == ["constant-phrases", "constant-expression"]
    state = page.got("/state")["characters"][0]["captions"]
    assert (state["problems"], state["tone"]) == (0, "good")


def test_one_caption_is_written_and_taken_back(page, folder):
    view = page.done("/characters/mara/captions", {"file": "03.jpg", "text": "  photo of mrxa\n woman "})
    assert texts(view)["03"] == "photo of mrxa woman"
    assert view["undo_text"] == "write the caption of 03.jpg"
    assert (folder.photos / "03.txt").read_text() == "photo of mrxa woman\n"
    view = page.done("/characters/mara/captions/undo")
    assert texts(view) == TEXTS
    assert not view["can_undo"]
    assert page.code_of("/characters/mara/captions/undo") == "nothing-to-undo"


def test_many_captions_are_edited_at_once(page, folder):
    edit = "/characters/mara/captions/edit"
    view = page.done(edit, {"do": "remove", "phrase": "Smiling"})
    assert texts(view)["01"] == "photo of mrxa woman, park"
    view = page.done(edit, {"do": "add", "phrase": "red hat", "place": 1, "only": ["00.jpg"]})
    assert (texts(view)["00"], texts(view)["01"]) == ("photo of mrxa woman, red hat", "photo of mrxa woman, park")
    assert texts(page.done(edit, {"do": "add", "phrase": "blue hat", "only": []})) == texts(view)  # none is not all
    view = page.done(edit, {"do": "replace", "phrase": "park", "by": "garden"})
    assert texts(view)["01"] == "photo of mrxa woman, garden"
    view = page.done(edit, {"do": "move", "phrase": "garden", "place": 0})
    assert texts(view)["01"] == "garden, photo of mrxa woman"
    for _ in range(4):
        view = page.done("/characters/mara/captions/undo")
    assert texts(view) == TEXTS


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("", {"file": "../../x.jpg", "text": "x"}, 404, "not-found"),
        ("", {"file": "00.jpg", "text": "x" * 20_000}, 400, "caption-invalid"),
        ("", {"file": "00.jpg"}, 400, "setting-missing"),
        ("/edit", {"do": "add", "phrase": " , "}, 400, "phrase-empty"),
        ("/edit", {"do": "burn", "phrase": "x"}, 400, "caption-edit-unknown"),
        ("/edit", {"do": "add", "phrase": "x", "only": ["nobody.jpg"]}, 404, "not-found"),
        ("/edit", {"do": "add", "phrase": "x", "place": "first"}, 400, "setting-wrong-type"),
        ("/fill", {"only": ["nobody.jpg"]}, 404, "not-found"),
    ],
)
def test_what_cannot_be_done_is_said(page, folder, path, body, status, code):
    assert page.code_of(f"/characters/mara/captions{path}", body, status) == code


def test_filling_is_a_job(page, folder):
    job = page.done("/characters/mara/captions/fill", {"captioner": "clip", "rewrite": True})
    assert (job["kind"], job["arguments"]) == ("fill", {"captioner": "clip", "rewrite": True, "only": []})
    page.host.is_remote = True
    body = {"captioner": "clip:/etc/passwd"}
    assert page.code_of("/characters/mara/captions/fill", body, 403) == "forbidden"


def test_captioners_say_what_they_need(page, folder):
    first, clip, blip = page.got("/captioners")
    assert (first["name"], first["ready"]) == ("", True)
    assert (clip["name"], blip["name"]) == ("clip", "blip:blip")
    assert not blip["ready"]
    assert str(page.root / "blip") in blip["why"]


def test_the_webuis_own_captioners_are_offered_and_anybody_may_ask_for_them(page, folder):
    page.host.offers = [OfferedCaptioner("webui-tags", "Tags", "Click."), OfferedCaptioner("webui-blip", "A sentence")]
    _, tags, blip, *others = page.got("/captioners")
    assert [one["name"] for one in others] == ["clip", "blip:blip"]
    assert tags == {"name": "webui-tags", "text": "Tags", "ready": False, "why": "Click.", "default": False}
    assert blip == {"name": "webui-blip", "text": "A sentence", "ready": True, "why": "", "default": False}
    page.host.is_remote = True
    assert page.done("/characters/mara/captions/fill", {"captioner": "webui-blip"})["kind"] == "fill"
    assert page.code_of("/characters/mara/captions/fill", {"captioner": "webui-x"}, 403) == "forbidden"


@pytest.mark.parametrize(
    ("weights", "blip", "default"), [(None, False, ""), ("ViT-L-14.pt", False, "clip"), (None, True, "blip:blip")]
)
def test_the_default_is_one_of_samefaces_own(page, folder, monkeypatch, weights, blip, default):
    monkeypatch.setattr(clip_model, "find_weights", lambda: weights)
    page.host.offers = [OfferedCaptioner("webui-tags", "Tags"), OfferedCaptioner("webui-blip", "A sentence")]
    if blip:
        (page.root / "blip").mkdir()
        (page.root / "blip" / "config.json").write_text("{}", encoding="utf-8")
    assert [one["name"] for one in page.got("/captioners") if one["default"]] == [default]


def test_the_host_is_asked_only_about_a_name_that_can_be_its_own(page, folder, monkeypatch):
    """A fault in one of the webui's captioners must not stop jobs that do not use it."""
    monkeypatch.setattr(page.host, "captioners", lambda: 1 / 0)
    page.host.is_remote = True
    assert page.done("/characters/mara/captions/fill", {"captioner": "clip"})["kind"] == "fill"
    assert page.done("/characters/mara/captions/fill", {})["kind"] == "fill"
    assert page.code_of("/characters/mara/captions/fill", {"captioner": "clip:/etc/passwd"}, 403) == "forbidden"


def test_a_caption_that_is_no_text_is_said_and_left_alone(page, folder):
    (folder.photos / "00.txt").write_bytes(b"\0\0\0")
    view = page.got("/characters/mara/captions")
    assert "is not a caption" in view["captions"][0]["problems"][0]
    assert page.got("/state")["characters"][0]["captions"]["problems"] > 0


def test_a_broken_tokenizer_leaves_a_page_that_opens(page, folder, monkeypatch):
    monkeypatch.setattr(caption_checks, "_failed", Message(caption_checks.UNCHECKED, {"reason": "no {libcuda}"}))
    view = page.got("/characters/mara/captions")
    assert view["problems"] == ["Captions cannot be checked here (no {libcuda})."]
    assert view["messages"][0]["values"] == {"reason": "no {libcuda}"}
    assert page.got("/state")["characters"][0]["captions"]["problems"] == 1
