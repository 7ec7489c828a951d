"""Ways back on the page: what was changed last is told by the state, and one request takes it back."""

from __future__ import annotations

import pytest

from lib_lora.character.photo_files import list_photos
from lib_lora.character.store import load
from lib_lora.photos.audit import audit_store
from lib_lora.ui.views import caption_checks
from lib_lora.workflows.photos import changes


@pytest.fixture(autouse=True)
def _no_tokenizer(monkeypatch):
    monkeypatch.setattr(caption_checks, "problems", lambda snapshot, wait=False: [])


def last(page):
    return page.got("/state")["characters"][0]["undo"]


def test_a_changed_character_is_changed_back(page):
    folder = page.character(photos=1)
    before = load(folder)
    assert last(page) is None
    page.done("/characters/mara", {"trigger": "qzva", "consent": "myself"})
    assert last(page)["what"] == "trigger word and declaration changed"
    assert page.code_of("/characters/mara/undo", {"t": 1.5}) == "changed-meanwhile"
    told = page.done("/characters/mara/undo", {"t": last(page)["t"]})
    assert (told["undone"], told["kind"]) == ("trigger word and declaration changed", "character")
    assert told["character"]["trigger"] == "mrxa"
    assert load(folder) == before
    assert last(page) is None
    assert page.queue.open() == []  # no photo is concerned
    assert page.code_of("/characters/mara/undo") == "nothing-to-undo"


def test_a_decision_is_taken_back_and_the_photos_looked_through_again(page):
    folder = page.character(photos=3)
    known = audit_store.digests(list_photos(folder.photos), audit_store.AuditStore())
    after = audit_store.decided(audit_store.AuditStore(), {"00.jpg": known["00.jpg"].sha256}, "drop")
    changes.note_decisions(folder, audit_store.AuditStore(), after)
    audit_store.save(folder, after)
    assert page.got("/state")["characters"][0]["photos"]["used"] == 2
    told = page.done("/characters/mara/undo", {"t": last(page)["t"]})
    assert told["character"]["photos"]["used"] == 3
    assert [job.kind for job in page.queue.open()] == ["audit"]


def test_photos_are_moved_out_and_back(page):
    folder = page.character(photos=3)
    assert page.done("/characters/mara/photos/remove", {"files": ["00.jpg", "00.jpg"]})["photos"]["count"] == 2
    assert last(page)["what"] == "1 photo removed"
    page.refused("/characters/mara/photos/remove", {"files": ["00.jpg"]}, 404)
    page.refused("/characters/mara/photos/remove", {"files": ["../character.yaml"]}, 404)
    page.refused("/characters/mara/photos/remove", {"files": []})
    page.done("/characters/mara/undo")
    assert [path.name for path in list_photos(folder.photos)] == ["00.jpg", "01.jpg", "02.jpg"]


def test_a_deleted_character_is_brought_back(page):
    folder = page.character(photos=1)
    assert page.got("/deleted") == []
    page.done("/characters/mara/delete", {"name": "Mara"})
    (page.root / "deleted" / "rubbish").mkdir()
    [gone] = page.got("/deleted")
    assert gone["name"] == "Mara"
    for name in ("none", "rubbish/..", "..", ""):
        page.refused("/deleted/bring_back", {"folder": name}, 404)
    page.character()
    assert page.code_of("/deleted/bring_back", {"folder": gone["folder"]}, 409) == "character-exists"
    page.done("/characters/mara/delete", {"name": "Mara"})
    assert page.done("/deleted/bring_back", {"folder": gone["folder"]})["photos"]["count"] == 1
    assert (folder.photos / "00.jpg").is_file()


def test_a_damaged_history_takes_nothing_from_the_page(page):
    folder = page.character()
    (folder.path / changes.FILE).write_bytes(b"\xff\x00{")
    assert last(page) is None
    page.refused("/characters/mara/undo")
