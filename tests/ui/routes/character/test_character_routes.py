"""Characters: made, changed, put away; and their faces forgotten."""

import shutil

import pytest
from planting import plan_audit, plant_run

from lib_lora.character.store import load
from lib_lora.queue.job_types import TrainArguments
from lib_lora.ui.http.paths import named_character
from lib_lora.workflows.photos.audit_photos import audit_photos

MARA = {"name": "Mara Müller 名前", "trigger": "mrxa", "class_word": "woman"}


def test_a_character_is_made_without_photos(page):
    made = page.done("/characters", {**MARA, "consent": "fictional", "traits": [" brown eyes ", "", "a, b"]})
    assert (made["slug"], made["consent"]["kind"], made["traits"]) == (
        "mara-müller-名前", "fictional", ["brown eyes", "a b"]
    )  # fmt: skip
    assert made["next"] == "photos"
    assert page.got("/characters/mara-m%C3%BCller-%E5%90%8D%E5%89%8D/photos")["photos"] == []


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"trigger": "a, b"}, 400, "character-invalid"),
        ({"trigger": "woman"}, 400, "character-invalid"),
        ({"class_word": " "}, 400, "character-invalid"),
        ({"class_word": "little Girl"}, 400, "class-word-is-trait"),
        ({"name": "///"}, 400, "name-unusable"),
        ({"name": "con"}, 400, "name-unusable"),
        ({"consent": "yes"}, 400, "consent-unknown"),
        ({"traits": "blue"}, 400, "setting-wrong-type"),
        ({"traits": ["x" * 3000]}, 400, "text-too-long"),
    ],
)
def test_what_cannot_be_a_character_is_said(page, changes, status, code):
    assert page.code_of("/characters", {**MARA, **changes}, status) == code
    assert page.faulted("/characters", {**MARA, **changes}, status) == next(iter(changes))
    assert page.got("/state")["characters"] == []


def test_a_name_is_given_once(page):
    page.done("/characters", MARA)
    assert page.code_of("/characters", {**MARA, "trigger": "other"}, 409) == "character-exists"
    assert page.faulted("/characters", {**MARA, "trigger": "other"}, 409) == "name"


def test_a_class_word_of_a_child_is_not_taken_and_an_old_one_stays(page):
    folder = page.character()
    assert page.faulted("/characters/mara", {"class_word": "boy"}) == "class_word"
    text = folder.file.read_text(encoding="utf-8").replace("class_word: woman", "class_word: girl")
    folder.file.write_text(text, encoding="utf-8")
    assert page.done("/characters/mara", {"class_word": "girl", "notes": "as before"})["class_word"] == "girl"


def test_a_long_trigger_of_before_stays_and_a_new_one_is_refused(page):
    folder = page.character()
    text = folder.file.read_text(encoding="utf-8").replace("trigger: mrxa", f"trigger: {'m' * 70}")
    folder.file.write_text(text, encoding="utf-8")
    said = page.done(
        "/characters/mara", {"trigger": "m" * 70, "class_word": "woman", "traits": [], "notes": "as before"}
    )
    assert (said["trigger"], said["notes"]) == ("m" * 70, "as before")
    assert page.faulted("/characters/mara", {"trigger": "n" * 70}) == "trigger"


def test_a_new_trigger_is_said_in_the_captions(page):
    folder = page.character(photos=4)
    texts = ["photo of mrxa woman", "photo of MRXA woman, smiling, mrxas hat", "mrxa on a beach", "a dog"]
    for number, text in enumerate(texts):
        (folder.photos / f"{number:02d}.txt").write_text(text)
    changed = page.done("/characters/mara", {"trigger": " zqta ", "class_word": "lady", "notes": " A note. "})
    assert (changed["trigger"], changed["class_word"], changed["notes"]) == ("zqta", "lady", "A note.")
    said = [(folder.photos / f"{number:02d}.txt").read_text().strip() for number in range(4)]
    assert said == ["photo of zqta lady", "photo of zqta lady, smiling, mrxas hat", "zqta on a beach", "a dog"]
    assert page.got("/characters/mara/captions")["undo_text"] == "say 'zqta lady' in place of 'mrxa woman'"


def test_plain_captions_get_new_traits_and_others_are_left_alone(page):
    folder = page.character(photos=2)
    for number, text in enumerate(["photo of mrxa woman", "photo of mrxa woman, park"]):
        (folder.photos / f"{number:02d}.txt").write_text(text)
    page.done("/characters/mara", {"traits": ["brown eyes"]})
    said = [(folder.photos / f"{number:02d}.txt").read_text().strip() for number in range(2)]
    assert said == ["photo of mrxa woman, brown eyes", "photo of mrxa woman, park"]


def test_consent_is_declared_later_and_dated_once(page):
    folder = page.character(consent=False)
    assert page.done("/characters/mara", {"consent": "myself"})["consent"]["kind"] == "myself"
    file = folder.file.read_text(encoding="utf-8").replace(load(folder).consent.date, "2020-01-01")
    folder.file.write_text(file, encoding="utf-8")
    assert page.done("/characters/mara", {"consent": "myself"})["consent"]["date"] == "2020-01-01"
    assert page.done("/characters/mara", {"consent": "consented"})["consent"]["date"] != "2020-01-01"
    assert page.done("/characters/mara", {})["consent"]["kind"] == "consented"


def test_a_change_that_is_none_writes_nothing(page):
    folder = page.character(photos=1)
    before = folder.file.stat().st_mtime_ns
    page.done("/characters/mara", {"trigger": "mrxa"})
    assert folder.file.stat().st_mtime_ns == before
    page.refused("/characters/mara", {"trigger": "woman"})
    assert load(folder).trigger == "mrxa"


def test_a_deleted_character_can_be_brought_back(page):
    folder = page.character(photos=1)
    assert page.code_of("/characters/mara/delete", {"name": "Anna"}) == "name-not-repeated"
    job = page.done("/characters/mara/audit", {})
    assert page.code_of("/characters/mara/delete", {"name": "Mara"}, 409) == "character-has-job"
    page.done(f"/jobs/{job['id']}/stop")
    ines = page.character("Ines", trigger="inxe")
    run = plant_run(ines) / "run.yaml"
    run.write_text(run.read_text(encoding="utf-8").replace("photos/07.jpg", "../mara/photos/07.jpg"), encoding="utf-8")
    for arguments in (TrainArguments(base="/b", settings={"together": ["Mara"]}), TrainArguments(run="001")):
        number = page.queue.add("Ines", arguments).id
        assert page.code_of("/characters/mara/delete", {"name": "Mara"}, 409) == "character-has-job"
        page.done(f"/jobs/{number}/stop")
    shutil.rmtree(ines.path)
    said = page.done("/characters/mara/delete", {"name": "Mara"})
    assert page.got("/state")["characters"] == []
    kept = page.root / "deleted"
    assert said["moved_to"].startswith(str(kept))
    [moved] = kept.iterdir()
    assert (moved / "photos" / "00.jpg").is_file()
    page.character()
    assert page.done("/characters/mara/delete", {"name": "mara"})["moved_to"] != said["moved_to"]
    moved.rename(folder.path)
    assert page.got("/state")["characters"][0]["photos"]["count"] == 1


def test_faces_are_forgotten_and_photos_stay(page):
    folder = page.character(photos=8)
    audit_photos(page.root, "Mara")
    assert list(folder.cache.glob("template*"))
    said = page.done("/characters/mara/forget_faces")
    assert said["deleted"] == 11  # a template, what was said, eight thumbnails, and what was measured
    assert not [path for path in folder.cache.rglob("*") if path.is_file()]
    assert len(list(folder.photos.glob("*.jpg"))) == 8
    assert page.done("/characters/mara/forget_faces")["deleted"] == 0
    assert not page.got("/characters/mara/photos")["audited"]


def test_trigger_words_are_proposed_and_checked(page, tmp_path):
    page.character()
    page.host.loras = [tmp_path / "none", tmp_path]
    (tmp_path / "taken.safetensors").write_bytes(b"")
    found = page.got("/triggers?name=Mara")["triggers"]
    assert len(found) == 5
    assert all(not one["problems"] and one["tokens"] for one in found)
    assert "the trigger of Mara" in " ".join(page.got("/triggers/check?word=mrxa")["problems"])
    assert "taken.safetensors" in " ".join(page.got("/triggers/check?word=taken")["problems"])
    assert page.got("/triggers/check?word=")["problems"] == ["Give a trigger word."]
    assert page.get("/triggers").status_code == 400


def test_a_character_is_found_by_its_folder_alone(page):
    page.character()
    plan_audit(named_character(page.root, "mara"))
    (page.root / "characters" / "stray.txt").write_text("x")
    (page.root / "characters" / "empty").mkdir()
    assert [one["slug"] for one in page.got("/state")["characters"]] == ["mara"]
    assert page.get("/characters/empty/photos").status_code == 404
    assert page.get("/characters/stray.txt/photos").status_code == 404
