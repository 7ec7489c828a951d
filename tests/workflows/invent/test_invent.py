"""A face is invented, picked and painted again; on a painter that pastes photos, and on the small base model."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from faults import raises
from pasting_painter import DATA, MINI, NAME, WHO, Pasting, photo
from PIL import Image, ImageFilter, ImageOps

from bench.spoilt_pictures import eyes_covered
from lib_lora import typed_settings
from lib_lora.character import caption_files
from lib_lora.character.photo_files import list_photos
from lib_lora.character.store import load
from lib_lora.errors import StoppedByUser, UserError
from lib_lora.files import sha256, write_json
from lib_lora.likeness.measure.one_face import OneFace
from lib_lora.photos.audit.audit_store import AuditStore
from lib_lora.runs.run_lock import only_process
from lib_lora.workflows.invent import invent, invent_more, invent_paint, turned_starts
from lib_lora.workflows.invent.generation_strategies import Strategy
from lib_lora.workflows.invent.head_turn import turned
from lib_lora.workflows.invent.invent_paint import InventPainter
from lib_lora.workflows.invent.invent_photos import become_photo, square_part
from lib_lora.workflows.invent.invent_words import line_of
from lib_lora.workflows.invent.invented_folder import TRIALS, TURNED, InventedFolder, InventedPicture
from lib_lora.workflows.invent.mirrored_views import Views, as_if_mirrored, to_mirror
from lib_lora.workflows.invent.turned_starts import TurnedStarts
from lib_lora.workflows.invent.visible_face import (
    Judge,
    Judged,
    VisibleFace,
    inspect_face,
    inspect_file,
    look_of,
)
from lib_lora.workflows.photos.new_character import NewCharacter
from lib_lora.workspace.workspace import Workspace

pytestmark = pytest.mark.once("rules of choosing; what paints and looks is repeated in grid and faces")


@pytest.fixture
def begun(tmp_path, eye):
    """A data folder with mara picked of six candidates, and the painter."""
    painter = Pasting()
    request = invent.CandidatesRequest(WHO, MINI, 6, trials=0)
    invent.candidates(tmp_path, NAME, request, painter=painter, engine=eye)
    invent.pick(tmp_path, NewCharacter(NAME, "nvxa", "woman", "fictional"), 1, engine=eye)
    return tmp_path, painter


def _more(root, painter, eye, **changes):
    who = {"painter": painter, "engine": eye}
    who |= {name: changes.pop(name) for name in ("painter", "engine", "each") if name in changes}
    request = invent_more.MoreRequest(**{"count": 4, "budget": 12, "strangers": 6, **changes})
    return invent_more.more(root, NAME, request, **who)


def test_candidates_are_painted_shown_and_numbered_and_nothing_is_painted_twice(tmp_path, eye):
    painter = Pasting()
    request = invent.CandidatesRequest(WHO, MINI, 3, trials=0)
    told = invent.candidates(tmp_path, NAME, request, painter=painter, engine=eye)
    assert [one["number"] for one in told.values["candidates"]] == [1, 2, 3]
    assert all(one["why_not"] == "" and one["alike"] < 0.6 for one in told.values["candidates"])
    assert Path(told.values["sheet"]).is_file()
    assert told.text.splitlines()[-1].startswith("Pick one with: sameface invent 'Nova ü' --pick NUMBER --trigger WORD")
    more = invent.candidates(tmp_path, NAME, replace(request, count=5), painter=painter, engine=eye)
    assert [one["number"] for one in more.values["candidates"]] == [1, 2, 3, 4, 5]
    assert [cell.seed for cell in painter.cells] == [1, 2, 3, 4, 5]
    assert {(cell.width, cell.height, cell.cfg) for cell in painter.cells} == {(128, 128, 3.0)}
    other = invent.candidates(
        tmp_path, NAME, invent.CandidatesRequest("an old man", MINI, 1), painter=Pasting(["none"]), engine=eye
    )
    assert [one["number"] for one in other.values["candidates"]] == [6]  # the first five are still there
    assert not other.good
    assert "6: no face" in other.text
    with raises("candidate-unusable", has="6"):
        invent.pick(tmp_path, NewCharacter(NAME, "nvxa", "woman"), 6, engine=eye)
    with raises("candidate-not-found", has=("7", "6")):
        invent.pick(tmp_path, NewCharacter(NAME, "nvxa", "woman"), 7, engine=eye)
    with raises("candidate-outdated", has=("1", "6")):
        invent.pick(tmp_path, NewCharacter(NAME, "nvxa", "woman"), 1, engine=eye)


def test_faces_are_tried_from_the_side_once(tmp_path, eye):
    """`Pasting` answers the trials with the photos of others, so that no face is kept."""
    painter = Pasting(("mara", "ines", "clara", "lena", "tomas", "viktor"))
    request = invent.CandidatesRequest(WHO, MINI, 6, trials=2)
    invented = InventedFolder(Workspace(tmp_path).character(NAME))
    told = invent.candidates(tmp_path, NAME, request, painter=painter, engine=eye)
    trials = sorted(path.name for path in (invented.path / TRIALS).glob("*.png"))
    assert 2 <= len(trials) <= 4  # two faces from two sides, as far as the heads can be turned
    assert all(cell.inverted for cell in painter.cells[6:])
    assert told.values["best_turns"] is False  # others were pasted
    assert "could be painted from the side: paint more with --candidates" in told.text
    painted = len(painter.cells)
    again = invent.candidates(tmp_path, NAME, request, painter=painter, engine=eye)
    assert (again.values, len(painter.cells)) == (told.values, painted)  # no trial is painted twice
    invent.candidates(tmp_path, NAME, replace(request, seed=2, count=5), painter=painter, engine=eye)
    there = {path.name for path in (invented.path / TRIALS).glob("*.png")}
    assert len(there) > len(trials) == len(there & {*trials})  # other noise, so other views beside them
    none = invent.candidates(tmp_path, NAME, replace(request, trials=0), painter=painter, engine=eye)
    assert (none.values["best_turns"], none.values["best"]) == (None, told.values["best"])


def test_a_face_that_can_be_painted_from_the_side_is_pointed_out_and_a_stop_before_that_loses_none(
    tmp_path, eye, monkeypatch
):
    painter, asked = Pasting(("mara", "ines", "clara", "lena", "tomas", "viktor")), []
    request = invent.CandidatesRequest(WHO, MINI, 6)

    def stop(one: InventedPicture) -> None:
        raise StoppedByUser("Stopped.", code="work-stopped")

    with raises("work-stopped"):
        invent.candidates(tmp_path, NAME, request, painter=painter, engine=eye, trying=stop)
    assert len(painter.cells) == 6
    first = invent.candidates(tmp_path, NAME, replace(request, trials=0), painter=painter, engine=eye)

    def keeps(shop: InventPainter, found: object, look: object, one: InventedPicture) -> bool:
        asked.append(one.number)
        return one.number != first.values["best"]

    monkeypatch.setattr(invent, "_keeps_its_face_from_a_side", keeps)
    told = invent.candidates(tmp_path, NAME, request, painter=painter, engine=eye)
    assert asked == [first.values["best"], told.values["best"]]  # of the least alike no view from the side is kept
    assert told.values["best_turns"] is True
    assert f"Begin from {told.values['best']}: it can be painted from the side." in told.text
    assert len(painter.cells) == 6


def test_a_candidate_that_was_deleted_is_nobody_to_compare_with(tmp_path, eye):
    painter = Pasting(("mara", "ines", "none", "clara", "lena"))
    request = invent.CandidatesRequest(WHO, MINI, 5)
    invent.candidates(tmp_path, NAME, replace(request, trials=0), painter=painter, engine=eye)
    folder = InventedFolder(Workspace(tmp_path).character(NAME)).path
    for number in (1, 3):  # of 3 nobody knows the face
        (folder / f"candidates/000{number}.png").unlink()
    told = invent.candidates(tmp_path, NAME, request, painter=painter, engine=eye)
    assert told.values["best"] in (2, 4, 5)
    assert told.values["best_turns"] is False
    assert told.values["candidates"][0]["alike"] is None


def test_a_trial_that_fails_leaves_the_candidates(tmp_path, eye, monkeypatch):
    def fails(*_: object) -> None:
        raise UserError("No memory.", code="file-unreadable")

    monkeypatch.setattr(InventPainter, "trial_view", fails)
    request = invent.CandidatesRequest(WHO, MINI, 3)
    told = invent.candidates(tmp_path, NAME, request, painter=Pasting(("mara", "ines", "clara")), engine=eye)
    assert told.values["best"] is not None
    assert told.values["best_turns"] is None


def test_what_is_asked_of_a_trial_is_what_further_pictures_are_asked(tmp_path, eye, monkeypatch):
    painter = Pasting(("mara", "ines", "clara", "lena", "tomas", "viktor"))
    found = invent.candidates(
        tmp_path, NAME, invent.CandidatesRequest(WHO, MINI, 6, trials=0), painter=painter, engine=eye
    )
    shop = InventPainter(
        invented := InventedFolder(Workspace(tmp_path).character(NAME)),
        invented.plan or pytest.fail("no plan"), lambda: painter, eye, lambda one: None,
    )  # fmt: skip
    one, *_ = there = shop.candidates(len(found.values["candidates"]))
    for face, yaw, kept in ((0, -0.4, True), (0, 0.1, False), (3, 0.4, False)):
        monkeypatch.setattr(InventPainter, "trial_view", lambda *_: Path("trial.png"))
        seen = inspect_file(eye, invented.path / there[face].file)
        aside = replace(seen, yaw=yaw, shown={} if abs(yaw) < 0.35 else {"angle": "left"})
        slightly = replace(aside, sample=replace(seen.sample, hash=seen.sample.hash ^ 0xFFFF, crop=None))
        near = slightly.sample.embedding + 0.4 * np.roll(slightly.sample.embedding, 1)
        moved = replace(slightly, sample=replace(slightly.sample, embedding=near / np.linalg.norm(near)))
        look = lambda path, moved=moved: moved if path.name == "trial.png" else inspect_file(eye, path)  # noqa: E731
        assert invent._keeps_its_face_from_a_side(shop, there, look, one) is kept


def test_a_picked_face_makes_a_character_whose_consent_may_wait(tmp_path, eye):
    with raises("candidates-missing"):
        invent.pick(tmp_path, NewCharacter(NAME, "nvxa", "woman"), 1, engine=eye)
    invent.candidates(tmp_path, NAME, invent.CandidatesRequest(WHO, MINI, 2), painter=Pasting(), engine=eye)
    with raises("face-not-picked"):
        _more(tmp_path, Pasting(), eye)
    with raises("candidate-not-chosen", has="--pick"):
        invent.pick(tmp_path, NewCharacter(NAME, "nvxa", "woman"), engine=eye)
    with raises("character-invalid", has="must be plain words"):
        invent.pick(tmp_path, NewCharacter(NAME, "n,v", "woman"), 1, engine=eye)
    told = invent.pick(tmp_path, NewCharacter(NAME, "nvxa", "woman"), 1, engine=eye)
    assert told.text.endswith("sameface invent 'Nova ü' --more")
    folder = Workspace(tmp_path).character(NAME)
    assert load(folder).consent is None
    assert caption_files.read(Path(told.values["photo"])) == "photo of nvxa woman"
    assert invent.pick(tmp_path, NewCharacter(NAME, "nvxa", "woman"), 1, engine=eye).values == told.values
    with raises("character-has-face"):
        invent.pick(tmp_path, NewCharacter(NAME, "nvxa", "woman"), 2, engine=eye)
    with raises("character-has-face"):
        invent.candidates(tmp_path, NAME, invent.CandidatesRequest(WHO, MINI, 2), painter=Pasting(), engine=eye)


def test_the_same_person_is_kept_and_everything_else_is_not(begun, eye):
    root, painter = begun
    painter.script = ("mara", "ines", "none", "two", "blur", "copy", "mara")
    told = _more(root, painter, eye, count=3, budget=30)
    folder = Workspace(root).character(NAME)
    done = [one for one in InventedFolder(folder).painted() if not one.is_candidate]
    whys = [one.why for one in done[:6]]
    assert whys == ["", "other face", "no face", "several faces", "blurred", "near copy"]
    assert told.good
    assert told.values["kept"] == sum(one.kept for one in done) >= 3
    assert told.values["not_kept"]["other face"] >= 1
    for one in done:
        assert (one.to_picked is not None) == (one.why in ("", "other face", "near copy"))
        assert (folder.path / "invented" / one.file).is_file()  # also what was not kept
    kept = next(one for one in done if one.kept)
    photo = folder.photos / kept.photo
    with Image.open(photo) as image:
        assert "trainedAlgorithmicMedia" in image.text["DigitalSourceType"]
        assert kept.prompt in image.text["parameters"]
    said = caption_files.read(photo) or ""
    assert said.startswith("photo of nvxa woman, close-up portrait")
    assert len(list_photos(folder.photos)) == told.values["photos"] == told.values["kept"] + 1


def test_a_spent_budget_says_so_and_more_goes_on_from_there(begun, eye):
    root, painter = begun
    painter.script = ("ines", "clara", "tomas")
    told = _more(root, painter, eye, budget=3)
    assert not told.good
    assert told.values["budget_spent"]
    assert (told.values["painted"], told.values["kept"]) == (3, 0)
    assert "The budget of 3 pictures is spent before 4 were kept" in told.text
    assert "sameface invent 'Nova ü' --more --budget 6" in told.text
    painted = len(painter.cells)
    assert _more(root, painter, eye, budget=3).values["painted"] == 3
    assert len(painter.cells) == painted  # nothing was left to paint
    assert _more(root, painter, eye, budget=5).values["painted"] == 5


def test_after_a_stop_nothing_is_lost_and_nothing_painted_twice(begun, eye):
    root, painter = begun
    painter.script = ("mara",)
    painter.broken_at = len(painter.cells) + 2
    with raises("inventing-stopped", has="sameface invent 'Nova ü' --more"):
        _more(root, painter, eye)
    painter.broken_at = -1
    invented = InventedFolder(Workspace(root).character(NAME))
    lines = (invented.path / "painted.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (invented.path / "painted.jsonl").write_text("".join(lines[:-1]) + lines[-1][:30], encoding="utf-8")  # cut off
    before = len(painter.cells)
    told = _more(root, painter, eye)
    done = [one for one in invented.painted() if not one.is_candidate]
    assert [one.file for one in done] == [f"more/{number:04d}.png" for number in range(1, len(done) + 1)]
    assert len(painter.cells) - before == len(done) - 2  # the second was there as a picture, and only judged
    assert told.values["painted"] == len(done)


def test_a_photo_that_the_user_throws_out_does_not_come_back(begun, eye):
    root, painter = begun
    painter.script = ("mara",)
    _more(root, painter, eye, count=2, budget=4)
    folder = Workspace(root).character(NAME)
    invented = InventedFolder(folder)
    gone = next(one for one in invented.painted() if one.kept)
    (folder.photos / gone.photo).unlink()
    told = _more(root, painter, eye, count=2, budget=8)
    assert not (folder.photos / gone.photo).exists()
    assert gone.file not in [one.file for one in invented.kept(invented.painted())]
    assert told.values["kept"] >= 2


def test_from_a_picture_of_the_users_own(tmp_path, eye):
    picture = tmp_path / "Mein Bild.jpg"
    photo("mara", 0).save(picture)
    with raises("base-model-not-chosen", has="--base"):
        invent.pick(tmp_path, NewCharacter(NAME, "nvxa", "woman"), own=invent.OwnPicture(picture, None), engine=eye)
    empty = tmp_path / "leer.png"
    Image.new("RGB", (99, 99)).save(empty)
    with raises("picture-without-clear-face", has="leer.png"):
        invent.pick(tmp_path, NewCharacter(NAME, "nvxa", "woman"), own=invent.OwnPicture(empty, MINI), engine=eye)
    invent.pick(
        tmp_path, NewCharacter(NAME, "nvxa", "woman", "myself"), own=invent.OwnPicture(picture, MINI, WHO), engine=eye
    )
    painter = Pasting(("mara",))
    painter.shift = 1  # mara is none of the strangers
    ways = (Strategy("img2img", 0.3), Strategy("own", 0.5))
    told = invent_more.more(
        tmp_path, NAME, invent_more.MoreRequest(2, 3, strangers=5, strategies=ways), painter=painter, engine=eye
    )
    assert [cell.prompt for cell in painter.cells[:5]] == [f"photo of {WHO}"] * 5  # strangers, to draw the line
    assert painter.cells[5].start.is_file()
    assert told.values["kept"] >= 2
    assert {path.name for path in list_photos(Workspace(tmp_path).character(NAME).photos)} >= {"picked-mein-bild.jpg"}


def test_with_a_lora_it_is_asked_for_by_its_trigger_and_the_stage_counts_anew(begun, eye, tmp_path):
    root, painter = begun
    painter.script = ("mara", "ines")
    _more(root, painter, eye, count=1, budget=2)
    with raises("lora-missing"):
        _more(root, painter, eye, lora=tmp_path / "none.safetensors")
    with raises("run-none-yet"):
        _more(root, painter, eye, lora="newest")
    lora = tmp_path / "nova.safetensors"
    lora.write_bytes(b"painted by nobody")
    before = len(painter.cells)
    told = _more(root, painter, eye, count=2, budget=4, lora=lora)
    assert all(cell.lora == lora and "nvxa woman" in cell.prompt for cell in painter.cells[before:])
    assert told.values["painted"] == 4
    assert set(told.values["ways"]) == {"text"}


def test_another_picture_of_the_same_name_does_not_take_the_place_of_the_picked_one(tmp_path, eye):
    for folder, who in (("a", "mara"), ("b", "ines")):
        (tmp_path / folder).mkdir()
        photo(who, 0).save(tmp_path / folder / "photo.jpg")
    invented, words = (
        InventedFolder(Workspace(tmp_path).character(NAME)),
        (tmp_path, NewCharacter(NAME, "nvxa", "woman")),
    )
    for _ in range(2):
        invent.pick(*words, own=invent.OwnPicture(tmp_path / "a" / "photo.jpg", MINI), engine=eye)
    before = {path: path.read_bytes() for path in invented.path.rglob("*") if path.is_file()}
    with raises("character-has-face"):
        invent.pick(*words, own=invent.OwnPicture(tmp_path / "b" / "photo.jpg", MINI), engine=eye)
    assert before == {path: path.read_bytes() for path in invented.path.rglob("*") if path.is_file()}
    assert [path.name for path in list_photos(invented.character.photos)] == ["picked-photo.jpg"]


def test_photos_and_captions_of_the_user_are_never_written_over(begun, eye):
    root, painter = begun
    folder = Workspace(root).character(NAME)
    theirs = folder.photos / "invented-0001.jpg"
    photo("ines", 5).save(theirs)
    caption_files.path_of(theirs).write_text("mine", encoding="utf-8")
    painter.script = ("mara",)
    _more(root, painter, eye, count=1, budget=1)
    (one,) = [one for one in InventedFolder(folder).painted() if not one.is_candidate]
    assert one.photo == "invented-0001-2.png"
    assert caption_files.read(theirs) == "mine"
    assert (caption_files.read(folder.photos / one.photo) or "").startswith("photo of nvxa woman, ")


def test_a_photo_is_known_by_its_bytes_and_a_caption_that_was_left_alone_is_its_own(begun, tmp_path):
    root, _ = begun
    folder = Workspace(root).character(NAME)
    source, other = tmp_path / "one.png", tmp_path / "other.png"
    photo("mara", 7).save(source)
    photo("mara", 8).save(other)
    caption = caption_files.path_of(folder.photos / "new.png")
    caption.write_text("photo of nvxa woman\n", encoding="utf-8")  # all that was there when the process ended
    assert become_photo(folder, source, "new.png", "photo of nvxa woman").name == "new.png"
    caption.write_text("by the user", encoding="utf-8")
    assert become_photo(folder, source, "new.png", "photo of nvxa woman").name == "new.png"
    assert caption_files.read(folder.photos / "new.png") == "by the user"
    assert become_photo(folder, other, "NEW.png", "photo of nvxa woman").name == "NEW-2.png"
    caption_files.path_of(folder.photos / "lone.png").write_bytes(b"\0no text")
    assert become_photo(folder, other, "lone.png", "photo of nvxa woman").name == "lone-2.png"


@pytest.mark.parametrize("broken", ["photo", "line"])
def test_whatever_ends_the_process_leaves_whole_files_and_no_second_photo(begun, eye, monkeypatch, broken):
    root, painter = begun
    painter.script = ("mara",)
    folder = Workspace(root).character(NAME)

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if broken == "photo":
            patch.setattr("lib_lora.workflows.invent.invent_photos.copy", stop)
        else:
            patch.setattr(InventedFolder, "note", stop)
        with raises("inventing-stopped"):
            _more(root, painter, eye, count=1, budget=1)
    assert not list(folder.path.rglob("*.tmp"))
    _more(root, painter, eye, count=1, budget=1)
    assert [path.name for path in list_photos(folder.photos)] == ["invented-0001.png", "picked-0001.png"]
    assert {path.stem for path in folder.photos.glob("*.txt")} == {"invented-0001", "picked-0001"}


def test_a_picture_that_is_no_square_is_cut_around_the_face_and_not_stretched(tmp_path, eye):
    wide = Image.new("RGB", (700, 256), "grey")
    wide.paste(photo("mara", 0), (400, 0))
    picture = tmp_path / "wide.png"
    wide.save(picture)
    for _ in range(2):
        told = invent.pick(
            tmp_path, NewCharacter(NAME, "nvxa", "woman"), own=invent.OwnPicture(picture, MINI, WHO), engine=eye
        )
    invented = InventedFolder(Workspace(tmp_path).character(NAME))
    assert invented.plan.picked == "from/wide.square.png"
    assert (invented.path / "from" / "wide.png").read_bytes() == picture.read_bytes()
    assert Path(told.values["photo"]).read_bytes() == picture.read_bytes()
    with Image.open(invented.path / invented.plan.picked) as square:
        assert square.size == (256, 256)
        assert square.getpixel((200, 200)) != (128, 128, 128)
    painter = Pasting(("mara",))
    painter.shift = 1
    invent_more.more(
        tmp_path,
        NAME,
        invent_more.MoreRequest(1, 1, strangers=5, strategies=[Strategy("img2img", 0.3)]),
        painter=painter,
        engine=eye,
    )
    assert painter.cells[-1].start == invented.path / "from" / "wide.square.png"


@pytest.mark.parametrize(
    ("size", "box", "left", "top"),
    [((700, 200), (600, 50, 90, 90), 500, 0), ((700, 200), (300, 50, 100, 90), 250, 0),
     ((200, 700), (50, -20, 90, 90), 0, 0), ((200, 700), (50, 300, 90, 100), 0, 250)],
)  # fmt: skip
def test_the_square_lies_within_the_picture_around_the_face(size, box, left, top):
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    square = square_part(image, box)
    side = min(size)
    assert square.tobytes() == image.crop((left, top, left + side, top + side)).tobytes()


def test_the_photos_that_look_like_another_face_are_named_also_behind_one_without_a_face(begun, eye, tmp_path):
    root, _ = begun
    invented = InventedFolder(Workspace(root).character(NAME))
    strangers = [inspect_file(eye, invented.path / f"candidates/{number:04d}.png") for number in range(2, 7)]
    judge = Judge(eye, invented.path / "candidates/0001.png", strangers)
    for number in range(1, 5):
        photo("mara", number).save(tmp_path / f"{number}.png")
    photo("viktor", 2).save(tmp_path / "viktor.png")
    names = [f"{number}.png" for number in range(1, 5)]
    judge.keep([("none.png", VisibleFace("no face"))])
    judge.keep([(name, inspect_file(eye, tmp_path / name)) for name in ("viktor.png", *names)])
    assert judge.fallen == ["viktor.png"]


def test_what_the_user_leaves_out_is_not_kept_not_gone_out_from_and_not_counted(begun, eye, monkeypatch):
    root, painter = begun
    painter.script = ("mara",)
    _more(root, painter, eye, count=2, budget=4)
    folder = Workspace(root).character(NAME)
    invented = InventedFolder(folder)
    gone, *left = invented.kept(invented.painted())
    store = AuditStore(decisions={sha256(folder.photos / gone.photo): "drop"})
    write_json(folder.path / "audit.json", typed_settings.to_dict(store))
    assert invented.kept(invented.painted()) == left
    assert gone not in invent_more._roots(invented, invented.plan, invented.painted(), invented.painted())
    learned = []
    keep = Judge.keep
    monkeypatch.setattr(
        Judge, "keep", lambda judge, seen: (learned.extend(name for name, _ in seen), keep(judge, seen))
    )
    told = _more(root, painter, eye, count=2, budget=8)
    assert gone.photo not in learned
    assert left[0].photo in learned
    assert told.values["photos"] == len(list_photos(folder.photos)) - 1 == told.values["kept"] + 1


def test_a_consent_that_is_declared_with_a_face_is_written_down_also_where_the_character_is_there(tmp_path, eye):
    invent.candidates(tmp_path, NAME, invent.CandidatesRequest(WHO, MINI, 1), painter=Pasting(), engine=eye)
    invent.pick(tmp_path, NewCharacter(NAME, "nvxa", "woman"), 1, engine=eye)
    invent.pick(tmp_path, NewCharacter(NAME, "nvxa", "woman", "fictional"), 1, engine=eye)
    assert load(Workspace(tmp_path).character(NAME)).consent.kind == "fictional"
    with raises("consent-declared-differently", has="'fictional'"):
        invent.pick(tmp_path, NewCharacter(NAME, "nvxa", "woman", "myself"), 1, engine=eye)


def test_nothing_is_put_among_the_photos_while_another_command_is_at_work_on_them(begun, eye, monkeypatch):
    root, painter = begun
    painter.script = ("mara",)
    monkeypatch.setattr(invent_paint, "PATIENCE", 0.3)
    folder = Workspace(root).character(NAME)
    before = sorted(folder.photos.iterdir())
    with only_process(folder.path):
        with raises("folder-locked"):
            _more(root, painter, eye, count=1, budget=1)
        with raises("folder-locked"):
            invent.pick(root, NewCharacter(NAME, "nvxa", "woman"), 1, engine=eye)
    assert sorted(folder.photos.iterdir()) == before
    assert _more(root, painter, eye, count=1, budget=1).values["kept"] == 1


def test_a_lock_is_waited_for_with_patience(tmp_path):
    first = only_process(tmp_path)
    first.__enter__()
    release = threading.Timer(0.3, first.__exit__, (None, None, None))
    release.start()
    with only_process(tmp_path, patience=20):
        release.join()


def test_a_measured_smile_is_said_and_a_laugh_is_believed_only_of_a_picture_painted_anew():
    cell = invent_paint.Cell("", "", 1, 128, 128, 1, 1.0)
    asked = {"expression": "laughing", "outfit": "coat"}
    anew, over = (invent_paint.PictureTask(cell, Strategy("own", amount), asked) for amount in (0.7, 0.4))
    smiling = {"expression": "smiling"}
    assert invent_paint.shown_by(anew, smiling) == asked
    assert invent_paint.shown_by(over, smiling) == smiling
    assert invent_paint.shown_by(anew, {}) == asked
    assert invent_paint.shown_by(invent_paint.PictureTask(cell, None, {"expression": "serious"}), smiling) == smiling


def test_a_head_between_two_views_shows_neither():
    cell = invent_paint.Cell("", "", 1, 128, 128, 1, 1.0)
    task = invent_paint.PictureTask(cell, Strategy("seed", 0.1), {"angle": "left", "outfit": "coat"})
    assert invent_paint.shown_by(task, {}) == {"outfit": "coat"}
    assert invent_paint.shown_by(task, {"angle": "left"}) == {"angle": "left", "outfit": "coat"}
    assert invent_paint.shown_by(task, {"angle": "ahead"}) == {"angle": "ahead", "outfit": "coat"}


def test_views_from_the_side_are_painted_over_heads_that_were_turned(begun, eye):
    root, painter = begun
    painter.script = ("ines",)  # nothing is kept, so that all views are asked for
    ways = (Strategy("turn", 0.5), Strategy("own", 0.7))
    _more(root, painter, eye, budget=24, strategies=ways)
    invented = InventedFolder(Workspace(root).character(NAME))
    done = [one for one in invented.painted() if not one.is_candidate]
    over = dict(zip((one.file for one in done), (cell.start for cell in painter.cells[-24:]), strict=True))
    turned = [one for one in done if one.way == "turn 0.5"]
    assert {one.asked["angle"] for one in turned} == {"left"}  # mara looks there a little: to the right is too far
    assert all(one.start == "candidates/0001.png" for one in done)  # what it goes out from is the picked one
    for one in done:
        assert (over[one.file].parent.name == "turned") == (one.way == "turn 0.5")
        assert one.way == "turn 0.5" or over[one.file] == invented.path / one.start
    # of one go all go the same way, so that they are painted together
    goes = [{one.way for one in done[first : first + 4]} for first in range(0, 24, 4)]
    assert all(len(ways) == 1 for ways in goes)


TURN_OR_OWN = (Strategy("turn", 0.5), Strategy("own", 0.7))


def test_where_no_head_can_be_turned_a_view_from_the_side_is_painted_by_another_way(begun, eye, monkeypatch):
    root, painter = begun
    painter.script = ("ines",)
    tried = []
    monkeypatch.setattr(turned_starts, "_turned_until", lambda engine, image, yaw: tried.append(yaw))
    _more(root, painter, eye, budget=24, strategies=TURN_OR_OWN)
    done = [one for one in InventedFolder(Workspace(root).character(NAME)).painted() if not one.is_candidate]
    assert {"left", "right"} & {one.asked["angle"] for one in done}
    assert {(one.way, one.strength) for one in done} == {("own 0.7", 0.7)}
    assert sorted(tried) == sorted(set(tried))  # of the one root each side once, and not again
    assert tried
    by_turning_alone = _more(root, painter, eye, budget=26, strategies=TURN_OR_OWN[:1]).values["ways"]
    assert "turn 0.5" not in by_turning_alone


def test_a_root_whose_head_cannot_be_turned_gives_way_to_the_next(begun, eye, monkeypatch):
    root, painter = begun
    painter.script = ("mara", "ines")  # some are kept, which are roots then
    made = TurnedStarts.made

    def not_of_the_picked_one(turns, file, side, number):
        return None if file == "candidates/0001.png" else made(turns, file, side, number)

    monkeypatch.setattr(TurnedStarts, "made", not_of_the_picked_one)
    _more(root, painter, eye, count=30, budget=20, strategies=TURN_OR_OWN)
    done = [one for one in InventedFolder(Workspace(root).character(NAME)).painted() if not one.is_candidate]
    over = [cell.start for cell in painter.cells[-len(done) :]]
    turned = [(one, start) for one, start in zip(done, over, strict=True) if one.way == "turn 0.5"]
    assert turned
    assert all(one.start.startswith("more/") and start.parent.name == TURNED for one, start in turned)


def test_the_views_of_a_go_from_the_side_are_to_both_sides_also_when_one_of_them_succeeded(begun, eye):
    root, _ = begun
    invented = InventedFolder(Workspace(root).character(NAME))
    shop = invent_paint.InventPainter(invented, invented.plan, Pasting, eye, lambda one: None)
    angles = ["ahead"] * 13 + ["right"] * 4 + ["left"] * 4
    done = [
        InventedPicture(f"more/{number:04}.png", "", "", "", 1, way="own 0.7", asked={"angle": angle},
                        shown={"angle": angle}, kept=angle != "left", photo="picked-0001.png")
        for number, angle in enumerate(angles)
    ]  # fmt: skip
    roots = invent_more._roots(invented, invented.plan, shop.painted, done)
    jobs = invent_more._jobs(shop, done, roots, [Strategy("own", 0.7)], WHO, 30, len(done))
    assert sorted(job.asked["angle"] for job in jobs) == ["left", "left", "right", "right"]


def test_a_picture_that_is_kept_but_shows_no_side_is_no_success_for_its_way_to_views_from_the_side(begun, eye):
    root, _ = begun
    invented = InventedFolder(Workspace(root).character(NAME))
    shop = invent_paint.InventPainter(invented, invented.plan, Pasting, eye, lambda one: None)
    ways = [Strategy("own", 0.6), Strategy("own", 0.7)]
    ahead = [("own 0.6", "ahead", {"angle": "ahead"}, True)] * 13

    def next_ways(shown):
        sides = [("own 0.7", "left", shown, True), ("own 0.6", "left", {"angle": "left"}, True)] * 3
        done = [
            InventedPicture(f"more/{number:04}.png", "", "", "", 1, way=way, asked={"angle": angle}, shown=seen,
                            kept=kept, photo="picked-0001.png")
            for number, (way, angle, seen, kept) in enumerate([*ahead, *sides])
        ]  # fmt: skip
        roots = invent_more._roots(invented, invented.plan, shop.painted, done)
        return {job.way.name for job in invent_more._jobs(shop, done, roots, ways, WHO, 30, len(done))}

    assert next_ways({"angle": "left"}) == {"own 0.7"}  # of two that succeed alike, what changes more
    assert next_ways({}) == {"own 0.6"}


def _side_views(eye):
    """A painter's `picture`: mara from the front, and with her head turned to the left whatever is asked for."""
    plain = Pasting(("mara",))

    def picture(cell):
        image = plain.picture(cell)
        if cell.prompt == f"photo of {WHO}" or "looking ahead" in cell.prompt:
            return image
        (face,) = eye.faces(image)[:1]
        return turned(image, face.points, -20 - 5 * (plain.further % 3))

    return picture


@pytest.mark.parametrize("mirror", [True, False])
def test_where_views_from_one_side_alone_were_kept_they_are_mirrored_and_the_result_says_so(
    begun, eye, mirror, monkeypatch
):
    root, painter = begun
    monkeypatch.setattr(OneFace, "is_same", lambda *_, **__: True)  # the lines of six people are strict
    painter.picture = _side_views(eye)
    told = _more(root, painter, eye, count=10, budget=28, mirror=mirror)
    invented = InventedFolder(Workspace(root).character(NAME))
    images = [one for one in invented.painted() if one.way == "mirror"]
    sides = Counter(one.shown.get("angle") for one in invented.kept(invented.painted()))
    assert sides["left"] >= 2
    if not mirror:
        assert (images, sides["right"], told.values["mirrored"]) == ([], 0, 0)
        return
    assert sides["right"] == len(images) == told.values["mirrored"] == 2  # 0.6 of the 3 of 10 that are wanted
    assert "2 more photos are mirror images" in told.text
    for one in images:
        original = next(other for other in invented.painted() if other.file == one.start)
        assert (original.shown["angle"], one.shown["angle"], original.yaw < 0 < one.yaw) == ("left", "right", True)
        with Image.open(invented.path / one.start) as first, Image.open(invented.path / one.file) as second:
            assert ImageOps.mirror(first).tobytes() == second.tobytes()
            assert second.text["parameters"].endswith("Mirrored: left to right")
        assert one.photo == f"invented-{Path(one.start).stem}-mirrored.png"
        assert "looking right" in (caption_files.read(invented.character.photos / one.photo) or "")
    again = _more(root, painter, eye, count=10, budget=28)
    assert (again.values["painted"], again.values["mirrored"]) == (told.values["painted"], 2)  # none is made twice
    # further pictures have the seeds that they would have had without mirror images
    seeds = {cell.variation_seed for cell in painter.cells}
    _more(root, painter, eye, count=40, budget=32)
    assert seeds.isdisjoint(cell.variation_seed for cell in painter.cells[-4:])


def test_no_more_is_mirrored_than_coverage_needs_and_only_from_the_side_that_has_more():
    right = InventedPicture("", "", "", "", 1, shown={"angle": "right"}, kept=True)
    kept = [replace(right, file=f"more/{number:04}.png", yaw=0.4 + number / 9) for number in range(3)]

    def files(of, count=6, sources=None, images=()):
        return [one.file for one in to_mirror(Views(of, of if sources is None else sources, images), count)]

    assert files(kept) == ["more/0002.png", "more/0001.png"]  # the furthest to a side first
    assert files(kept, sources=kept[:2]) == ["more/0001.png", "more/0000.png"]  # the third was refused, or is gone
    made = InventedPicture("more/0009.png", "", "", "", 1, way="mirror", start="more/0002.png",
                           shown={"angle": "left"}, kept=True)  # fmt: skip
    assert files(kept, sources=kept[:2], images=[made]) == ["more/0001.png"]
    assert [one.shown["angle"] for one in as_if_mirrored(Views(kept, kept[:2], [made]), 6)] == ["left", "left"]
    left = [replace(one, shown={"angle": "left"}, file=one.file.replace("000", "001")) for one in kept]
    assert files([*kept, *left]) == []
    assert files([*kept[:2], *left[:2]], count=30) == []  # both lack as many
    assert len(files([*kept, *left[:2]], count=30)) == 3
    images = [replace(made, file=f"more/002{number}.png") for number in range(3)]
    assert files([*kept, *left[:2]], 30, left[:2], images) == []  # nor back, once the other side has more by mirroring


@pytest.fixture
def left_views(begun, eye):
    """A painter of mara with three kept views from the left, of which the first two have files; no painter is asked."""
    root, _ = begun
    invented = InventedFolder(Workspace(root).character(NAME))
    for number in (1, 2, 3):
        one = InventedPicture(f"more/{number:04d}.png", "", "", "a", 1, variation_seed=number,
                              start="candidates/0001.png", shown={"angle": "left"}, yaw=-0.4, kept=True,
                              photo=f"invented-{number:04d}.png")  # fmt: skip
        photo("mara", number).save(invented.character.photos / one.photo)
        if number < 3:
            photo("mara", number).save(invented.path / one.file)
        invented.note(one)
    return root, invented, lambda: invent_paint.InventPainter(invented, invented.plan, Pasting, eye, lambda one: None)


class Agreeing:
    """A judge who keeps everything, and learns nothing of mirror images."""

    def __call__(self, seen, original):
        return Judged("")


def test_a_mirror_image_is_made_once_also_when_the_process_was_ended_before_it_was_written_down(
    left_views, monkeypatch
):
    _, invented, shop = left_views
    monkeypatch.setattr(invent_paint, "inspect_face", lambda *_: VisibleFace("", shown={"angle": "right"}, yaw=0.4))
    who, first = load(invented.character), shop()
    (one,) = [one for one in first.painted if one.file == "more/0001.png"]

    def ended(line):
        raise KeyboardInterrupt

    first._write_down = ended
    with pytest.raises(KeyboardInterrupt):
        first.mirror(one, Agreeing(), who)
    shop().mirror(one, Agreeing(), who)
    line = invented.painted()[-1]
    assert (line.file, line.photo) == ("more/0004.png", "invented-0001-mirrored.png")  # the third has a line, no file
    assert [path.name for path in invented.path.joinpath("more").iterdir() if path.name > "0002.png"] == ["0004.png"]
    assert len([path for path in list_photos(invented.character.photos) if "mirrored" in path.name]) == 1
    shop().mirror(replace(one, file="more/0002.png"), Agreeing(), who)
    assert invented.painted()[-1].file == "more/0005.png"  # another picture's


def test_what_the_user_deleted_is_neither_mirrored_nor_covers_a_side(left_views):
    _, invented, shop = left_views
    image = InventedPicture("more/0004.png", "", "", "", 1, way="mirror", start="more/0001.png", kept=True,
                            shown={"angle": "right"}, photo="invented-0001-mirrored.png")  # fmt: skip
    invented.note(image)
    views = invent_more._views(shop(), "")
    assert len(views.kept) == 3
    assert [one.file for one in views.sources] == ["more/0002.png"]  # the first is done, the file of the third is gone
    assert views.mirrored == []
    photo("mara", 4).save(invented.character.photos / image.photo)
    assert invent_more._views(shop(), "").mirrored == [image]


def test_where_mirror_images_are_refused_it_is_seen_again_whether_there_is_enough(left_views, eye, monkeypatch):
    root, _, _ = left_views
    seen = []
    monkeypatch.setattr(invent_more, "_until_enough", lambda shop, *_: seen.append(len(shop.painted)))

    def refused(shop, one, *_):
        shop._write_down(replace(one, file=f"more/9{one.file[-7:]}", way="mirror", start=one.file, why="x", kept=False))

    monkeypatch.setattr(invent_paint.InventPainter, "mirror", refused)
    told = _more(root, Pasting(), eye, count=10)
    assert [one - seen[0] for one in seen] == [0, 2]  # two could be mirrored
    assert (told.values["kept"], told.values["mirrored"]) == (3, 0)


def test_a_mirror_image_is_judged_by_the_line_that_its_original_was_judged_by(begun, eye, monkeypatch):
    root, _ = begun
    invented = InventedFolder(Workspace(root).character(NAME))
    strangers = [inspect_file(eye, invented.path / f"candidates/{number:04d}.png") for number in range(2, 7)]
    judge = Judge(eye, invented.path / "candidates/0001.png", strangers)
    lines = []
    monkeypatch.setattr(OneFace, "is_same", lambda _, embedding, related, look: lines.append((related, look)) or True)
    aside = replace(judge.first, yaw=(judge.first.yaw or 0.0) + 0.5)
    original = InventedPicture("more/0001.png", "", "", "", 1, yaw=judge.first.yaw)
    for one in (original, replace(original, start="candidates/0001.png", yaw=aside.yaw)):
        assert judge(aside, original=one).why == ""  # and is no near copy
    assert judge(aside).why == "near copy"
    assert lines == [(False, "same"), (True, "other"), (True, "other")]


@pytest.mark.parametrize(
    ("yaw", "picked", "look"),
    [(0.1, 0.0, "same"), (0.4, 0.5, "same"), (0.3, 0.5, "back"), (-0.5, 0.5, "back"), (0.8, 0.5, "other"),
     (-0.1, -0.4, "back"), (-0.8, -0.4, "other"), (0.4, 0.0, "other"), (0.0, 0.3, "other")],
)  # fmt: skip
def test_a_face_looks_back_from_a_picked_one_that_looks_clearly_to_a_side(yaw, picked, look):
    assert look_of(yaw, picked) == look


def test_a_line_for_the_terminal_says_of_a_mirror_image_whose_it_is():
    one = InventedPicture("more/0009.png", "", "", "", 1, way="mirror", start="more/0002.png", kept=True)
    assert line_of(one, further=True) == "more/0009.png: kept, mirror image of more/0002.png"


def test_eyes_that_are_called_covered_are_believed_of_a_face_that_is_no_longer_like_itself(begun, eye):
    root, _ = begun
    invented = InventedFolder(Workspace(root).character(NAME))
    strangers = [inspect_file(eye, invented.path / f"candidates/{number:04d}.png") for number in range(2, 7)]
    judge = Judge(eye, invented.path / "candidates/0001.png", strangers)
    image = photo("mara", 0)
    (face,) = eye.faces(image)[:1]
    for number in range(8):
        covered = inspect_face(eye, eyes_covered(image, face.points, np.random.default_rng(number)))
        if covered.sample is not None:
            assert judge(covered).why in ("eyes covered", "other face")
    fringe = replace(inspect_face(eye, image.filter(ImageFilter.GaussianBlur(1))), why="eyes covered")
    assert judge(fringe).why == "near copy"  # it is judged as every other picture
    assert judge(replace(fringe, why="lower half covered")).why == "lower half covered"


def test_a_go_that_another_stage_came_between_goes_on_as_if_nothing_had(begun, eye, tmp_path_factory):
    root, painter = begun
    painter.script = ("ines",)
    other = tmp_path_factory.mktemp("whole") / "data"
    shutil.copytree(root, other)
    lora = root / "nova.safetensors"
    lora.write_bytes(b"painted by nobody")
    _more(root, painter, eye, budget=2)
    _more(root, painter, eye, budget=1, lora=lora)
    _more(root, painter, eye, budget=6)
    whole = Pasting(("ines",))
    _more(other, whole, eye, budget=6)

    def asked(cells):
        return [(cell.prompt, cell.seed, cell.variation_seed, cell.strength) for cell in cells if cell.lora is None]

    assert asked(painter.cells[6:])[:4] == asked(whole.cells)[:4]  # one go, behind six candidates


def test_the_small_base_model_does_all_of_it(tmp_path, eye):
    told = invent.candidates(tmp_path, "nova", invent.CandidatesRequest(WHO, MINI, 2, steps=6), engine=eye)
    numbers = [one["number"] for one in told.values["candidates"] if not one["why_not"]]
    invent.pick(tmp_path, NewCharacter("nova", "nvxa", "woman"), numbers[0], engine=eye)
    told = invent_more.more(
        tmp_path,
        "nova",
        invent_more.MoreRequest(1, 2, strangers=2, strategies=(Strategy("own", 0.4), Strategy("seed", 0.1))),
        engine=eye,
    )
    done = [one for one in InventedFolder(Workspace(tmp_path).character("nova")).painted() if not one.is_candidate]
    assert 1 <= len(done) == told.values["painted"] <= 2
    assert all(one.why or one.to_picked >= one.picked_line for one in done)
    assert told.values["lines"]["drawn_by"] == "cohort"  # two candidates are too few to draw a line


def test_an_invented_face_does_not_join_somebody_elses_photos(tmp_path, main):
    root = tmp_path / "data"
    photos = DATA / "personas" / "mara" / "00.jpg"
    main("new", "mara", "--trigger", "mrxa", "--class", "woman", "--photos", photos, "--data", root)
    who = ("--base", MINI, "--trigger", "mrxa", "--class", "woman")
    for words in (["--describe", "a woman", *who[:2]], ["--from", DATA / "personas" / "lena" / "00.jpg", *who]):
        said = main("invent", "mara", *words, "--data", root)
        assert (said.status, said.code) == (2, "character-has-photos")
    assert [path.name for path in Workspace(root).character("mara").photos.glob("*.*g")] == ["00.jpg"]
    said = main("invent", "mara", "--from", photos, *who, "--data", root)  # one of its own
    assert said.status == 0, said.err
    assert "Before training, declare why the face may be used: " in said.out


def test_a_poor_trigger_is_said_of_an_invented_face_too(tmp_path, main):
    said = main("invent", "nova", "--from", DATA / "personas" / "lena" / "00.jpg", "--base", MINI, "--trigger", "x",
                "--class", "woman", "--data", tmp_path)  # fmt: skip
    assert said.status == 0, said.err
    assert "The trigger word: 'x' has 1 letters; use 3 to 12." in said.out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--more", "--pick", "1"], None),
        (["--more", "--describe", "x"], "option-of-another-step"),
        (["--pick", "1", "--budget", "3"], "option-of-another-step"),
        (["--pick", "1"], "trigger-and-class-missing"),
        ([], "invent-incomplete"),
        (["--count", "3", "--describe", "x"], "option-of-another-step"),
    ],
)
def test_flags_belong_to_their_step(main, tmp_path, words, code):
    if code is None:
        with pytest.raises(SystemExit):
            main("invent", "nova", *words, "--data", tmp_path)
        return
    answer = main("invent", "nova", *words, "--data", tmp_path)
    assert (answer.status, answer.code) == (2, code)


@pytest.mark.parametrize(("shown", "kept"), [("viktor", False), ("grey", True), (None, True)])
def test_a_picture_from_elsewhere_is_compared_as_the_base_shows_it(tmp_path, eye, shown, kept):
    """A base that makes viktor of mara paints no mara that would be kept; one that shows no face is not asked."""
    picture = tmp_path / "a.png"
    photo("mara", 0).save(picture)
    invent.pick(tmp_path, NewCharacter(NAME, "nvxa", "woman"), own=invent.OwnPicture(picture, MINI, WHO), engine=eye)
    painter = Pasting(("mara",))
    painter.shift = 1
    pictures = {"viktor": photo("viktor", 0), "grey": Image.new("RGB", (128, 128), "grey"), None: None}
    painter.reconstruct = lambda image: pictures[shown]
    ways = [Strategy("img2img", 0.3)]
    told = invent_more.more(
        tmp_path, NAME, invent_more.MoreRequest(1, 2, strangers=5, strategies=ways), painter=painter, engine=eye
    )
    assert bool(told.values["kept"]) == kept
    invented = InventedFolder(Workspace(tmp_path).character(NAME))
    assert (invented.path / "from" / "a.shown.png").is_file() == (shown == "viktor")


def test_a_picture_is_taken_without_torch(tmp_path):
    """The page does so in its own process, where torch would stay, with what it takes of the GPU."""
    told = (
        "import sys; from pathlib import Path; from lib_lora.workflows.invent.invent import OwnPicture, pick\n"
        "from lib_lora.workflows.photos.new_character import NewCharacter\n"
        "root, picture, base = map(Path, sys.argv[1:])\n"
        "pick(root, NewCharacter('Nova', 'nvxa', 'woman'), own=OwnPicture(picture, base))\n"
        "print('torch' in sys.modules)"
    )
    picture = DATA / "personas" / "mara" / "00.jpg"
    done = subprocess.run(
        [sys.executable, "-c", told, tmp_path, picture, MINI],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "False\n", done.stderr
    assert len(list_photos(Workspace(tmp_path).character("Nova").photos)) == 1
