"""Photos: taken in, shown, decided on; with real photos and no face engine in this process."""

import base64
import io
import json
import threading
import zipfile

import planted
import pytest
from message_templates import templates_of
from PIL import Image
from planting import plan_audit

from lib_lora.photos.audit.finding_words import beside_photo
from lib_lora.photos.importing import photo_import
from lib_lora.ui.routes.character import photo_routes
from lib_lora.ui.views import translatable_texts
from lib_lora.workflows.photos import audit_cache
from lib_lora.workflows.photos.audit_photos import Choices, audit_photos

PHOTOS = planted.portraits("mara")
MARA = PHOTOS[0].parent


def sent(path=None, data=None, name=None):
    data = path.read_bytes() if data is None else data
    return {"name": name or path.name, "data": base64.b64encode(data).decode()}


def test_a_photo_is_taken_in_once(page):
    page.character()
    assert page.done("/characters/mara/photos", sent(PHOTOS[0])) == {
        "added": ["00.jpg"], "known": 0, "split": [], "twice": [], "skipped": [], "skipped_codes": [],
        "stopped": False,
    }  # fmt: skip
    assert page.done("/characters/mara/photos", sent(PHOTOS[0], name="again.jpg"))["known"] == 1
    assert [one["file"] for one in page.got("/characters/mara/photos")["photos"]] == ["00.jpg"]


def test_a_zip_is_taken_in_whole(page):
    page.character()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for photo in PHOTOS[:3]:
            archive.write(photo, f"../../{photo.name}")
        archive.writestr("01.txt", "photo of mrxa woman")
        archive.writestr("bad.png", b"nothing")
    said = page.done("/characters/mara/photos", sent(data=stream.getvalue(), name="many.zip"))
    assert len(said["added"]) == 3
    assert len(said["skipped"]) == 1
    assert sorted(path.name for path in (page.root / "characters" / "mara" / "photos").glob("*.jpg")) == [
        "00.jpg", "01.jpg", "02.jpg"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "lies"),
    [
        ("../../../evil.jpg", "evil.jpg"),
        ("..\\..\\evil.jpg", "evil.jpg"),
        ("/etc/passwd.jpg", "passwd.jpg"),
        ("a\0b:c*.jpg", "a-b-c-.jpg"),
        ("..", "photo"),
        ("", "photo"),
        ("名前 ü.JPG", "名前 ü.JPG"),
        ("x" * 400 + ".jpg", "x" * 180 + ".jpg"),
        ("\ud800.jpg", "-.jpg"),
    ],
)
def test_a_name_from_outside_leads_nowhere(name, lies):
    assert photo_routes.plain_name(name) == lies


def test_an_evil_name_is_taken_in_under_a_good_one(page):
    page.character()
    assert page.done("/characters/mara/photos", sent(PHOTOS[0], name="../../../evil.jpg"))["added"] == ["evil.jpg"]
    assert not list(page.root.parent.rglob("../evil.jpg"))


def test_what_is_no_photo_is_said(page):
    page.character()
    assert page.code_of("/characters/mara/photos", {"name": "a.jpg", "data": "%%%"}) == "base64-invalid"
    assert page.code_of("/characters/mara/photos", {"name": "a.jpg", "data": ""}) == "file-empty"
    assert page.done("/characters/mara/photos", sent(data=b"no picture", name="a.jpg"))["added"] == []


def test_a_folder_is_taken_in_only_by_this_machine_s_user(page):
    page.character()
    assert len(page.done("/characters/mara/photos/from_path", {"path": str(MARA)})["added"]) == 24
    assert page.code_of("/characters/mara/photos/from_path", {"path": "mara"}) == "path-not-absolute"
    assert page.code_of("/characters/mara/photos/from_path", {"path": "  "}) == "path-missing"
    page.host.is_remote = True
    assert page.code_of("/characters/mara/photos/from_path", {"path": str(MARA)}, 403) == "forbidden"


def test_an_import_is_shown_and_stopped(page, monkeypatch):
    page.character()
    page.character("Noah")
    looking, go = threading.Event(), threading.Event()
    real = photo_import.read_photo

    def slow(*args):
        looking.set()
        assert go.wait(20)
        return real(*args)

    monkeypatch.setattr(photo_import, "read_photo", slow)
    said = []
    body = {"path": str(MARA)}
    one = threading.Thread(target=lambda: said.append(page.done("/characters/mara/photos/from_path", body)))
    one.start()
    assert looking.wait(20)
    now = {"source": MARA.name, "done": 0, "total": 24, "file": "00.jpg"}
    assert page.got("/characters/mara/imports") == [now]
    assert page.got("/characters/noah/imports") == []
    assert page.done("/characters/noah/imports/stop") == []
    assert page.done("/characters/mara/imports/stop") == [now]
    go.set()
    one.join(20)
    assert (said[0]["added"], said[0]["stopped"]) == (["00.jpg"], True)
    assert page.got("/characters/mara/imports") == []
    assert len(page.got("/characters/mara/photos")["photos"]) == 1


def test_photos_that_nobody_looked_at_are_shown(page):
    folder = page.character(photos=2)
    (folder.photos / "00.txt").write_text("photo of mrxa woman")
    view = page.got("/characters/mara/photos")
    assert (view["audited"], view["busy"], view["tone"]) == (False, False, "none")
    first = view["photos"][0]
    assert (first["file"], first["tone"], first["used"], first["caption"]) == (
        "00.jpg",
        "none",
        True,
        "photo of mrxa woman",
    )


def test_what_the_audit_said_is_shown(page):
    folder = page.character(photos=9)
    plan_audit(folder, **{"03": {"tone": "bad", "proposed": True, "findings": ["Blurred."], "sentence": "Blurred."}})
    view = page.got("/characters/mara/photos")
    assert view["audited"]
    assert view["missing"] == ["no full body"]
    assert view["photos"][3]["findings"] == ["Blurred."]
    assert set(view) == {
        "audited", "busy", "headline", "counts", "messages", "tone", "findings", "missing", "coverage", "people",
        "photos",
    }  # fmt: skip


def _findings_of(audit, file):
    return next(one.findings for one in audit.photos if one.photo.file == file)


def test_a_real_audit_is_kept_for_the_page(page):
    folder = page.character(photos=9)
    planted.save(planted.opened(PHOTOS[0]).resize((40, 60)), folder.photos / "tiny.jpg")
    _, audit = audit_photos(page.root, "Mara", choices=Choices(drop=["01.jpg"]))
    view = page.got("/characters/mara/photos")
    by_file = {one["file"]: one for one in view["photos"]}
    assert view["audited"]
    assert view["coverage"] == audit.coverage.table
    assert by_file["01.jpg"] | {"word": "left out by you", "decision": "drop", "used": False} == by_file["01.jpg"]
    tiny = by_file["tiny.jpg"]
    assert tiny["codes"] == [one["code"] for one in tiny["messages"]] != []
    assert tiny["findings"][0] == tiny["sentence"] == beside_photo(_findings_of(audit, "tiny.jpg")[0])
    messages = [*tiny["messages"], *(one["message"] for one in view["findings"]), *view["messages"].values()]
    character = page.got("/state")["characters"][0]
    messages += [character[step]["message"] for step in ("photos", "captions", "train", "test", "use")]
    assert {template for one in messages for template in templates_of(one)} <= {*translatable_texts.of_server()}
    assert all(one["code"] for one in messages)
    assert "tiny.jpg" not in json.dumps([one["template"] for one in messages])
    good = next(one for one in view["photos"] if one["tone"] == "good")
    assert good["sentence"]
    assert good["width"] == 640
    before = audit_cache.path_of(folder).stat().st_mtime_ns
    audit_photos(page.root, "Mara")
    assert audit_cache.path_of(folder).stat().st_mtime_ns == before  # it says the same, so nothing is written
    text = audit_cache.path_of(folder).read_text(encoding="utf-8")
    assert "embedding" not in text


def test_decisions_become_a_job(page):
    page.character(photos=3)
    job = page.done("/characters/mara/audit", {"drop": ["01.jpg"], "keep": ["00.jpg"]})
    assert (job["kind"], job["state"], job["arguments"]["drop"]) == ("audit", "waiting", ["01.jpg"])
    assert page.done("/characters/mara/audit", {"drop": ["01.jpg"], "keep": ["00.jpg"]})["id"] == job["id"]
    assert page.got("/characters/mara/photos")["busy"]
    page.refused("/characters/mara/audit", {"drop": ["99.jpg"]}, 404, has="99.jpg")


def test_pictures_are_small_upright_and_without_exif(page):
    folder = page.character()
    planted.save(planted.opened(PHOTOS[0]).resize((2400, 1200)), folder.photos / "turned.jpg", turned=True)
    digest = page.got("/characters/mara/photos")["photos"][0]["sha256"]
    small = page.get(f"/characters/mara/photos/{digest}/thumbnail")
    large = page.get(f"/characters/mara/photos/{digest}/picture")
    for answer, most in ((small, 320), (large, 1600)):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"
        image = Image.open(io.BytesIO(answer.content))
        assert max(image.size) == most
        assert image.width > image.height
        assert not image.getexif()


def test_a_picture_that_cannot_be_read_says_so(page):
    folder = page.character()
    (folder.photos / "wreck.jpg").write_bytes(b"\xff\xd8\xff\xe0" + b"no picture" * 20)
    digest = page.got("/characters/mara/photos")["photos"][0]["sha256"]
    assert page.get(f"/characters/mara/photos/{digest}/thumbnail").status_code == 404
    assert "wreck.jpg" in page.get(f"/characters/mara/photos/{digest}/picture").json()["error"]
    assert page.get(f"/characters/mara/photos/{'0' * 64}/picture").status_code == 404
