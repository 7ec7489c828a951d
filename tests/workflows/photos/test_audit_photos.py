"""The audit on sets with planted faults: each is found, clean photos are left in peace, and the user decides."""

import json
import os
import shutil
import threading
from dataclasses import replace

import numpy as np
import planted
import pytest
from faults import raises
from PIL import Image, ImageDraw, ImageFilter

from lib_lora.captions.photo_facts import PhotoFacts
from lib_lora.character.store import Character, create, declare_consent
from lib_lora.errors import typed
from lib_lora.likeness.measure.template import Reference
from lib_lora.photos.audit import audit_store, finding_words
from lib_lora.runs.run_lock import only_process
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workflows.photos import audit_photos as audits
from lib_lora.workflows.photos import measure_photos
from lib_lora.workflows.photos.audit_command import run_audit
from lib_lora.workflows.photos.audit_photos import Choices, audit_photos
from lib_lora.workflows.photos.character_template import template_of
from lib_lora.workflows.photos.forget_faces import forget_faces
from lib_lora.workflows.train.prepare import start_run
from lib_lora.workspace.workspace import Workspace

NAME = "名前 ü"


@pytest.fixture(scope="session")
def spoilt(tmp_path_factory, eye):
    """(root, faults): 24 photos of lena, and one for each fault, audited once. Copy before changing anything."""
    root = tmp_path_factory.mktemp("audit") / "Daten 名前 ü"
    folder = create(root, Character(NAME, "lenx", "woman", declare_consent("fictional")))
    own = planted.portraits("lena")
    made = planted.plant(root / "made", own, planted.portraits("tomas"))
    for photo in [*own, *made]:
        shutil.copy(photo, folder.photos)
    planted.save(planted.opened(own[5]), folder.photos / "upright.jpg", turned=True)
    (folder.photos / "broken.jpg").write_bytes(own[0].read_bytes()[:3000])
    planted.sheet_of([planted.opened(path) for path in planted.portraits("mara")[:4]]).save(folder.photos / "sheet.png")
    audit_photos(root, NAME, engine=eye)
    return root, {path.name: fault for path, fault in made.items()}


@pytest.fixture
def copied_set(spoilt, tmp_path):
    """The same in a folder of its own."""
    root = tmp_path / "Kopie ü"
    shutil.copytree(spoilt[0], root)
    return root, spoilt[1]


def kinds_of(audit):
    return {item.photo.file: {finding_words.kind(finding.code) for finding in item.findings} for item in audit.photos}


def test_every_planted_fault_is_found_and_no_clean_photo_is_flagged(spoilt, eye):
    root, faults = spoilt
    _, audit = audit_photos(root, NAME, engine=eye)
    kinds, originals = kinds_of(audit), {fault.original for fault in faults.values()} | {"05.jpg"}
    for file, fault in faults.items():
        if fault.kind == "copy":  # of two that show the same, the worse one is flagged
            assert (kinds[file] | kinds[fault.original]) & {"copy", "burst"}, file
        else:
            assert fault.kind in kinds[file], (file, kinds[file])
    assert kinds["broken.jpg"] == {"unreadable"}
    assert "sheet" in kinds["sheet.png"]
    clean = [path.name for path in planted.portraits("lena") if path.name not in originals]
    assert len(clean) >= 8
    assert [file for file in clean if kinds[file]] == []
    turned = next(item for item in audit.photos if item.photo.file == "upright.jpg")
    assert abs(turned.photo.facts.face.roll) < 10  # the EXIF rotation was applied


def test_an_import_at_work_for_a_moment_costs_no_decision(tmp_path, eye):
    folder = create(tmp_path, Character(NAME, "lenx", "woman"))
    for photo in planted.portraits("lena")[:2]:
        shutil.copy(photo, folder.photos)
    first, second = (path.name for path in sorted(folder.photos.iterdir()))
    held = only_process(folder.path)
    held.__enter__()
    release = threading.Timer(0.5, held.__exit__, (None, None, None))
    release.start()
    _, audit = audit_photos(tmp_path, NAME, choices=Choices(drop=[second]), engine=eye)
    release.join()
    assert [item.photo.file for item in audit.photos if item.used] == [first]


def test_findings_are_sentences_that_name_the_photo_and_the_limit(spoilt, eye):
    told = run_audit(spoilt[0], NAME, engine=eye)
    assert "blurred.jpg: the face is blurred (" in told.text
    assert "(likeness 0." in told.text
    assert "no profile from the left" in told.text
    assert "--accept" in told.text
    assert told.good
    again = json.loads(json.dumps(told.values))
    assert {item["file"] for item in again["photos"]} >= {"blurred.jpg", "00.jpg"}
    assert sum(sum(row.values()) for row in again["coverage"].values()) > 10
    with Image.open(again["sheet"]) as sheet:
        assert sheet.width > 800
    page = Workspace(spoilt[0]).character(NAME).path / "audit.html"
    assert page.read_text(encoding="utf-8").count("data:image/jpeg;base64,") > 30


@pytest.mark.once("what is read again; what is measured is repeated above and in faces")
def test_the_second_audit_opens_no_photo_and_says_the_same(copied_set, eye, monkeypatch):
    root, _ = copied_set
    first = run_audit(root, NAME, engine=eye)
    page = Workspace(root).character(NAME).path / "audit.html"
    written = page.stat().st_mtime_ns
    look = audits.measure_photo

    def only_the_wreck(engine, photo, digest):
        assert photo.name == "broken.jpg", "a photo was looked at again"
        return look(engine, photo, digest)

    monkeypatch.setattr(audits, "measure_photo", only_the_wreck)
    second = run_audit(root, NAME, engine=eye)
    assert second == first
    assert page.stat().st_mtime_ns == written
    for photo in Workspace(root).character(NAME).photos.iterdir():
        os.utime(photo)  # copied again: the bytes are the same
    assert run_audit(root, NAME, engine=eye) == first


@pytest.mark.once("who is left out by decision; what is measured is repeated above and in faces")
def test_decisions_hold_by_content_and_reach_training_and_the_template(copied_set, eye, toy):
    root, faults = copied_set
    folder = Workspace(root).character(NAME)
    _, audit = audit_photos(root, NAME, choices=Choices(keep=["text.jpg"], accept=True), engine=eye)
    assert audit.proposed == []
    dropped = {item.photo.file for item in audit.dropped}
    assert {"blurred.jpg", "another person.jpg", "two people.jpg", "no face.jpg", "broken.jpg"} <= dropped
    assert "text.jpg" not in dropped
    assert "tiny face.jpg" not in dropped  # this is only to be looked at
    made = {name: fault.original for name, fault in faults.items()}
    worse = ("recompressed.jpg", "cropped.jpg", "grey copy.jpg", "for printing.jpg", "small.jpg", "dark.jpg")
    assert {*worse} <= dropped
    assert not ({made[name] for name in worse} - {"05.jpg"}) & dropped  # which was saved again as upright.jpg
    (folder.photos / "another person.jpg").rename(folder.photos / "renamed.jpg")
    _, audit = audit_photos(root, NAME, engine=eye)
    assert next(item for item in audit.photos if item.photo.file == "renamed.jpg").decision == "drop"
    used = {path.name for path in audit_store.photos_to_use(folder)}
    assert "renamed.jpg" not in used
    template = template_of(folder, eye)
    assert not any(item.used for item in template.references if item.file == "renamed.jpg")
    run = start_run(
        root, NAME, TrainingRequest(toy("sd1"), overrides={"precision": "fp32", "resolution": 128, "steps": 1})
    )
    assert {photo.file for photo in run.file.photos} == {f"photos/{name}" for name in used}
    _, audit = audit_photos(root, NAME, choices=Choices(undecided=["renamed.jpg"]), engine=eye)
    assert next(item for item in audit.photos if item.photo.file == "renamed.jpg").proposed
    assert faults


def dark_glasses(image):
    """Over the eyes of lena's thirteenth photo."""
    image = image.copy()
    for x, y in ((241, 313), (401, 308)):
        ImageDraw.Draw(image).ellipse((x - 70, y - 20, x + 70, y + 20), fill=(20, 20, 25))
    return image


def turned_away(image):
    """One half of the face squeezed, as where a head is turned."""
    columns = (np.linspace(0, 1, image.width) ** 3.4 * (image.width - 1)).astype(int)
    return Image.fromarray(np.asarray(image)[:, columns])


ADDED = {
    "nothing": (None, None),
    "a stranger": (lambda own, other: other, "another person"),
    "dark glasses": (lambda own, other: dark_glasses(own), None),  # hard, and still nothing like a stranger
    "a turned head": (lambda own, other: turned_away(own), "unlike"),
    "a blurred one": (lambda own, other: own.filter(ImageFilter.GaussianBlur(8)), None),
    "a turned head with dark glasses in the dark": (
        lambda own, other: turned_away(dark_glasses(own)).point(lambda level: level // 6),
        "unlike",
    ),
}


@pytest.mark.once("rules; what is measured is repeated above and in faces")
@pytest.mark.parametrize("added", ADDED)
def test_the_audit_names_whom_likeness_is_measured_without(tmp_path, eye, added):
    make, kind = ADDED[added]
    folder = create(tmp_path, Character(NAME, "lenx", "woman", declare_consent("fictional")))
    for photo in planted.portraits("lena")[:9]:
        shutil.copy(photo, folder.photos)
    if make:
        own, other = (planted.opened(planted.portraits(name)[12]) for name in ("lena", "tomas"))
        planted.save(make(own, other), folder.photos / "added.jpg")
    _, audit = audit_photos(tmp_path, NAME, engine=eye)
    unlike = {
        item.photo.file: finding
        for item in audit.photos
        for finding in item.findings
        if finding.code in ("unusual-view", "unclear-face", "another-person")
    }
    left_out = {item.file for item in template_of(folder, eye).references if item.outlier and not item.used}
    assert set(unlike) == left_out == ({"added.jpg"} if kind else set())
    if kind:
        finding = unlike["added.jpg"]
        assert finding_words.kind(finding.code) == kind
        assert finding.advice == ("look" if kind == "unlike" else "drop")
        assert finding.details["left_out"]
        _, audit = audit_photos(tmp_path, NAME, choices=Choices(keep=["added.jpg"]), engine=eye)
        assert next(item for item in audit.photos if item.photo.file == "added.jpg").used
        (item,) = [one for one in template_of(folder, eye).references if one.file == "added.jpg"]
        assert not item.used
        assert "Likeness is measured without it, also if it is trained on." in item.remark


def test_a_photo_that_is_not_there_cannot_be_decided_on(copied_set, eye):
    with raises("photo-not-found", has="gone.jpg"):
        audit_photos(copied_set[0], NAME, choices=Choices(drop=["gone.jpg"]), engine=eye)


@pytest.mark.once("which files are deleted; what is measured is repeated above and in faces")
def test_forgetting_deletes_every_embedding_and_the_audit_measures_anew(tmp_path, eye):
    folder = create(tmp_path, Character(NAME, "lenx", "woman", declare_consent("fictional")))
    for photo in [*planted.portraits("lena")[:10], planted.portraits("tomas")[0]]:
        shutil.copy(photo, folder.photos / f"{photo.parent.name} {photo.name}")
    before = run_audit(tmp_path, NAME, choices=Choices(drop=["lena 03.jpg"]), engine=eye)
    assert any("embedding" in path.read_text(encoding="utf-8") for path in folder.path.rglob("*.json"))
    assert forget_faces(folder)
    for path in folder.path.rglob("*.json"):
        assert "embedding" not in path.read_text(encoding="utf-8"), path
    assert run_audit(tmp_path, NAME, engine=eye) == before


@pytest.mark.once("rules; what is measured is repeated above and in faces")
def test_few_photos_are_warned_of_and_fewer_stop(tmp_path, eye):
    folder = create(tmp_path, Character("Few", "fewx", "woman", declare_consent("myself")))
    for photo in planted.portraits("ines")[:12]:
        shutil.copy(photo, folder.photos)
    told = run_audit(tmp_path, "Few", engine=eye)
    assert told.good
    assert "12 photos are few" in told.text
    for photo in sorted(folder.photos.iterdir())[7:]:
        photo.unlink()
    told = run_audit(tmp_path, "Few", engine=eye)
    assert not told.good
    assert told.values["stopped"]
    assert "7 photos cannot teach a stable face; use at least 8" in told.text


def test_without_photos_there_is_one_sentence(tmp_path, eye):
    create(tmp_path, Character("None", "nonx", "woman"))
    with raises("no-photo"):
        audit_photos(tmp_path, "None", engine=eye)


def test_a_set_without_any_face_is_audited_too(tmp_path, eye):
    folder = create(tmp_path, Character("Walls", "wallx", "wall"))
    random = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(random.integers(0, 255, (300, 300, 3), np.uint8)).save(folder.photos / f"{number}.png")
    told = run_audit(tmp_path, "Walls", engine=eye)
    assert told.text.count("no face was found") == 3
    assert not told.good
    assert run_audit(tmp_path, "Walls", engine=eye) == told


@pytest.mark.once("rules; what is measured is repeated above and in faces")
def test_the_commands_audit_and_decide(main, copied_set):
    root, _ = copied_set
    said = main("audit", NAME, "--data", root)
    assert said.status == 0, said.err
    assert "broken.jpg is damaged" in said.out
    said = main("audit", NAME, "--drop", "00.jpg", "01.jpg", "--keep", "dark.jpg", "--json", "--data", root)
    values = {item["file"]: item for item in json.loads(said.out)["photos"]}
    assert (values["00.jpg"]["decision"], values["dark.jpg"]["decision"]) == ("drop", "keep")
    assert values["dark.jpg"]["proposed"] == "keep"
    assert main("audit", NAME, "--drop", "gone.jpg", "--data", root).status == 2
    assert replace(audit_store.load(Workspace(root).character(NAME)), files={}).dropped


@pytest.fixture
def few(tmp_path):
    """(folder, root): nine photos of ines."""
    folder = create(tmp_path / "wenige", Character("Ines", "inxs", "woman", declare_consent("fictional")))
    for photo in planted.portraits("ines")[:9]:
        shutil.copy(photo, folder.photos)
    return folder, tmp_path / "wenige"


def test_of_files_with_the_same_bytes_one_is_used_and_none_is_lost(few, eye):
    folder, root = few
    shutil.copy(folder.photos / "00.jpg", folder.photos / "zz.jpg")
    for _ in range(2):  # the second audit goes by what the first has kept
        _, audit = audit_photos(root, "Ines", choices=Choices(accept=True), engine=eye)
        assert kinds_of(audit)["zz.jpg"] == {"copy"}
        assert kinds_of(audit)["00.jpg"] == set()
        assert audit.dropped == []
        used = [item.file for item in template_of(folder, eye).used]
        assert "00.jpg" in used
        assert [path.name for path in audit_store.photos_to_use(folder)] == [f"0{number}.jpg" for number in range(9)]


@pytest.mark.once("rules; what is measured is repeated above and in faces")
def test_a_good_photo_does_not_go_for_a_faulty_one_of_more_pixels(few, eye):
    folder, root = few
    portrait = planted.opened(folder.photos / "03.jpg")
    large = planted.larger(portrait, 1400)
    large.crop((0, 0, 820, 1400)).save(folder.photos / "large.png")  # half of the face is beyond the edge
    _, audit = audit_photos(root, "Ines", choices=Choices(accept=True), engine=eye)
    assert "03.jpg" not in {item.photo.file for item in audit.dropped}


def test_a_photo_that_could_not_be_read_is_tried_again(few, eye, monkeypatch):
    root = few[1]

    def blind(engine, photo, digest):
        if photo.name != "04.jpg":
            return look(engine, photo, digest)
        return audits.PhotoMeasurement(
            PhotoFacts(0, 0, "04.jpg needs pillow-heif."), Reference(photo.name, digest, False, "x")
        )

    look = audits.measure_photo
    monkeypatch.setattr(audits, "measure_photo", blind)
    _, audit = audit_photos(root, "Ines", engine=eye)
    assert kinds_of(audit)["04.jpg"] == {"unreadable"}
    monkeypatch.setattr(audits, "measure_photo", look)
    _, audit = audit_photos(root, "Ines", engine=eye)
    assert kinds_of(audit)["04.jpg"] == set()


def test_a_photo_that_is_deleted_during_an_audit_does_not_end_it(few, eye, monkeypatch):
    root = few[1]
    opened = measure_photos.open_photo

    def open_and_delete(photo):
        image = opened(photo)
        if photo.name == "04.jpg":
            photo.unlink()
        return image

    monkeypatch.setattr(measure_photos, "open_photo", open_and_delete)
    _, audit = audit_photos(root, "Ines", engine=eye)
    assert kinds_of(audit)["04.jpg"] == {"unreadable"}
    assert len(audit.photos) == 9
    (item,) = [one for one in audit.photos if one.photo.file == "04.jpg"]
    assert "04.jpg: it is not there" in item.photo.facts.unreadable
    _, audit = audit_photos(root, "Ines", engine=eye)
    assert len(audit.photos) == 8


@pytest.mark.once("rules; what is measured is repeated above and in faces")
def test_no_embedding_stays_when_no_photo_is_left(few, eye, toy):
    folder, root = few
    audit_photos(root, "Ines", engine=eye)
    assert list(folder.cache.glob("template*"))
    names = sorted(path.name for path in folder.photos.iterdir())
    audit_photos(root, "Ines", choices=Choices(drop=names), engine=eye)
    assert not list(folder.cache.glob("template*"))
    (folder.photos / "08.jpg").unlink()
    audit_photos(root, "Ines", choices=Choices(undecided=names[:3]), engine=eye)
    assert len(list((folder.cache / "thumbnails").iterdir())) == 8
    audit_photos(root, "Ines", choices=Choices(drop=names[:3]), engine=eye)
    with raises("all-photos-left-out", has="'Ines'"):
        start_run(root, "Ines", TrainingRequest(toy("sd1")))


def test_a_damaged_cache_is_made_again(few, eye):
    folder, root = few
    first = run_audit(root, "Ines", engine=eye)
    for path in (folder.cache / "thumbnails").iterdir():
        path.write_bytes(b"damaged")
    (folder.cache / "audit-sheet.txt").write_bytes(b"\xff\xfe\xfd")
    (folder.path / "audit.html").unlink()
    assert run_audit(root, "Ines", engine=eye) == first
    assert (folder.path / "audit.html").read_text(encoding="utf-8").count("data:image/jpeg") == 9


@pytest.mark.once("rules; what is measured is repeated above and in faces")
def test_two_people_without_a_majority_are_seen(few, eye):
    folder, root = few
    for photo in planted.portraits("viktor")[:9]:
        shutil.copy(photo, folder.photos / f"v {photo.name}")
    told = run_audit(root, "Ines", engine=eye)
    assert "The photos seem to show 2 people (9 like 00.jpg, 9 like v 00.jpg)" in told.text
    assert not told.good
    names = [f"v {photo.name}" for photo in planted.portraits("viktor")[:9]]
    assert f"To leave out those like v 00.jpg: {typed('audit', 'Ines', '--drop', *names)}" in told.text
    assert [len(group) for group in told.values["people"]] == [9, 9]
    told = run_audit(root, "Ines", choices=Choices(drop=names), engine=eye)
    assert "seem to show" not in told.text
    assert told.good


def test_files_of_the_same_bytes_are_not_decided_on_apart(few, eye):
    folder, root = few
    shutil.copy(folder.photos / "00.jpg", folder.photos / "zz.jpg")
    with raises("photos-identical", has=("00.jpg", "zz.jpg")):
        audit_photos(root, "Ines", choices=Choices(keep=["zz.jpg"], drop=["00.jpg"]), engine=eye)
    assert "9 photos are few" in run_audit(root, "Ines", engine=eye).text  # counted once


def test_one_photo_is_not_decided_on_twice(few, eye):
    with raises("photo-decided-twice", has="01.jpg"):
        audit_photos(few[1], "Ines", choices=Choices(keep=["00.jpg", "01.jpg"], drop=["01.jpg"]), engine=eye)
