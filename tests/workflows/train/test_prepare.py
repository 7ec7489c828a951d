"""From what the user gives to a run: everything unfit is said before time is spent, and nothing is left half made."""

import json
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import toys
import yaml
from fake_civitai import model_row, version_row
from faults import raises
from PIL import Image
from without_override import without_override

from lib_lora.character.store import declare_consent, load, save
from lib_lora.civitai.api.answer_cache import AnswerCache
from lib_lora.files import sha256
from lib_lora.models.fast import memory
from lib_lora.models.reading.header import read_header
from lib_lora.photos.audit import audit_store
from lib_lora.queue.job_types import TrainArguments
from lib_lora.runs.reopen import check_out
from lib_lora.training import precision
from lib_lora.training.loop import train
from lib_lora.training.plan.run_file import load_run
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workflows.photos.new_character import NewCharacter, new_character
from lib_lora.workflows.train.elsewhere.sent_preview import sent_list
from lib_lora.workflows.train.prepare import for_gpu, plan, settle, start_run
from lib_lora.workflows.train.training_set import photos_an_epoch
from lib_lora.workspace.workspace import Workspace

pytestmark = pytest.mark.once("what a run is made of is ours; that it trains is repeated in training")

MINI = Path(__file__).parents[2] / "data" / "mini-face" / "mini-face.safetensors"
QUICK = {"precision": "fp32", "resolution": 128, "steps": 1}


def _new(root, photos, **changes):
    words = {"name": "Mara Ü", "trigger": "mrxa", "class_word": "woman", "consent": "fictional", **changes}
    return new_character(root, NewCharacter(**words), photos)


@pytest.fixture
def photos(some_photos, tmp_path):
    return some_photos("mara", 2, tmp_path / "photos ü")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "Daten 名前"


# -- a new character


def test_a_new_character_has_photos_and_captions(root, photos):
    (photos / "Bild ü 00.txt").write_text("photo of mrxa woman, from the left", encoding="utf-8")
    folder, imported = _new(root, photos, trigger=" mrxa ", name=" Mara Ü ")
    assert folder.path == root / "characters" / "mara-ü"
    assert (load(folder).name, load(folder).trigger) == ("Mara Ü", "mrxa")
    assert (len(imported.added), imported.known, imported.skipped) == (2, 0, [])
    assert {path.name: path.read_text(encoding="utf-8").strip() for path in folder.photos.glob("*.txt")} == {
        "Bild ü 00.txt": "photo of mrxa woman, from the left",
        "Bild ü 01.txt": "photo of mrxa woman",
    }


def test_photos_are_added_once_and_captioned_with_the_known_traits(root, photos, some_photos, tmp_path):
    folder, _ = _new(root, photos)
    known = yaml.safe_load(folder.file.read_text(encoding="utf-8"))
    folder.file.write_text(yaml.safe_dump({**known, "traits": ["green eyes"]}), encoding="utf-8")
    more = some_photos("mara", 3, tmp_path / "more")
    _, imported = _new(root, more)
    assert ([path.name for path in imported.added], imported.known) == (["Bild ü 02.jpg"], 2)
    captions = [path.read_text(encoding="utf-8") for path in sorted(folder.photos.glob("*.txt"))]
    assert captions == ["photo of mrxa woman\n"] * 2 + ["photo of mrxa woman, green eyes\n"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"consent": "sure"}, ("consent-unknown", "'sure'")),
        ({"consent": ""}, ("consent-unknown", "''")),
        ({"trigger": "a, b"}, ("character-invalid", "the trigger word 'a, b' must be plain words")),
        ({"class_word": " "}, ("character-invalid", "the class word '' must be plain words")),
        ({"name": "???"}, ("name-unusable", "'???'")),
        ({"name": "con"}, ("name-unusable", "'con'")),
    ],
)
def test_wrong_words_are_refused_before_anything_is_made(root, photos, changes, said):
    with raises(said[0], has=said[1:]):
        _new(root, photos, **changes)
    assert not root.exists()


def test_unreadable_photos_make_no_character(root, photos):
    for path in photos.iterdir():
        path.write_bytes(path.read_bytes()[:500])
    with raises("no-photo-readable", has=("Bild ü 00.jpg", "Bild ü 01.jpg")):
        _new(root, photos)
    assert not root.exists()


def test_many_unreadable_photos_are_one_short_sentence(root, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.png").write_bytes(b"no picture")
    with raises("no-photo-readable", has=("None of the 40 photos", "(and 37 more)")) as caught:
        _new(root, folder)
    assert len(str(caught.value)) < 500


def test_one_good_photo_is_enough_and_the_others_are_named(root, photos):
    (photos / "Bild ü 00.jpg").write_bytes(b"no picture")
    folder, imported = _new(root, photos)
    assert [path.name for path in imported.added] == ["Bild ü 01.jpg"]
    assert [str(one)[:13] for one in imported.skipped] == ["Bild ü 00.jpg"]
    assert folder.file.is_file()


@pytest.mark.parametrize("where", ["empty", "missing", "note.txt", "other.zip"])
def test_no_photos_is_one_sentence(root, tmp_path, where):
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").write_text("no photo")
    zipfile.ZipFile(tmp_path / "other.zip", "w").close()
    with raises("no-photo-readable", has=("There is no photo in", where)):
        _new(root, tmp_path / where)
    assert not root.exists()


def test_photos_may_be_files_folders_and_zips(root, photos, some_photos, tmp_path):
    more = some_photos("mara", 4, tmp_path / "more")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(more / "Bild ü 03.jpg")
    folder, imported = _new(root, [more / "Bild ü 02.jpg", tmp_path / "all.zip", photos])
    assert [path.name for path in imported.added] == [f"Bild ü 0{number}.jpg" for number in (2, 3, 0, 1)]
    assert len(list(folder.photos.glob("*.txt"))) == 4


def test_other_words_for_a_known_character_are_refused(root, photos):
    _new(root, photos)
    with raises("character-exists", has=("'mrxa'", "'woman'")):
        _new(root, photos, trigger="other")


def test_consent_is_not_changed_in_passing(root, photos):
    folder, _ = _new(root, photos, consent="fictional")
    with raises("consent-declared-differently", has=("'fictional'", "'myself'")):
        _new(root, photos, consent="myself")
    assert load(folder).consent.kind == "fictional"


# -- a new run


@pytest.fixture
def start(root, photos, toy):
    """A function that starts a run of a new character."""
    _new(root, photos)

    def start(**options):
        name, base = options.pop("name", "Mara Ü"), options.pop("base", toy("sd1"))
        options = {"few": True, "overrides": {}, **options}
        request = TrainingRequest(base, **{**options, "overrides": {**QUICK, **options["overrides"]}})
        return start_run(root, name, request)

    return start


def test_a_run_is_written_whole(start, root, toy):
    run = start()
    assert load_run(run.folder) == run
    assert run.folder == root / "characters" / "mara-ü" / "runs" / "001"
    assert (run.file.stem, run.file.out, run.file.grid_steps) == ("mara-ü-001", None, 0)
    assert run.file.base.path == str(toy("sd1"))
    assert (run.file.base.family, run.file.base.prediction) == ("sd1", "epsilon")
    assert (run.file.settings.preset, run.file.settings.precision) == ("sd15-face", "fp32")
    assert [photo.file for photo in run.file.photos] == ["photos/Bild ü 00.jpg", "photos/Bild ü 01.jpg"]
    assert start().folder.name == "002"


def test_the_precision_is_resolved_when_the_run_is_made(start):
    assert start(overrides={"precision": "auto"}).file.settings.precision in ("fp32", "fp16", "bf16")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"preset": "sdxl-face"}, ("preset-of-other-family", "'sdxl-face'", "'sd15-face'")),
        ({"preset": "sd15"}, ("preset-unknown", "'sd15'", "sd15-face")),
        ({"overrides": {"lora": {"rnak": 4}}}, ("setting-unknown", "unknown setting 'rnak'; did you mean 'rank'")),
        ({"overrides": {"unet_rl": 1}}, ("setting-unknown", "unknown setting 'unet_rl'; did you mean 'unet_lr'")),
        ({"overrides": {"lora": {"rank": 0}}}, ("setting-invalid", "rank is 0; it must be at least 1")),
        ({"overrides": {"optimizer": "adam"}}, ("setting-not-a-choice", "'adam'")),
        ({"overrides": {"class_photos": "nowhere"}}, ("photo-folder-missing", "nowhere")),
        ({"name": "nobody"}, ("character-not-found",)),
    ],
)
def test_what_is_unfit_is_said_before_a_run_is_made(start, root, options, said):
    with raises(said[0], has=said[1:]):
        start(**options)
    assert list((root / "characters" / "mara-ü" / "runs").iterdir()) == []


@pytest.mark.parametrize("content", [None, b"", b"no checkpoint at all" * 50])
def test_a_base_that_is_none_is_named(start, root, tmp_path, content):
    base = tmp_path / "base ü.safetensors"
    if content is not None:
        base.write_bytes(content)
    with raises(("file-empty", "file-missing", "safetensors-invalid"), has="base ü.safetensors"):
        start(base=base)
    assert list((root / "characters" / "mara-ü" / "runs").iterdir()) == []


def test_an_empty_class_folder_is_named(start, tmp_path):
    (tmp_path / "leer").mkdir()
    with raises("class-photos-missing", has="leer"):
        start(overrides={"class_photos": str(tmp_path / "leer")})


def test_class_pictures_keep_captions_of_their_own(start, some_photos, tmp_path):
    classes = some_photos("ines", 2, tmp_path / "class ü")
    (classes / "Bild ü 01.txt").write_text("a woman in a park", encoding="utf-8")
    run = start(overrides={"class_photos": str(classes), "class_caption": "a woman: smiling"})
    prior = [photo for photo in run.file.photos if photo.prior]
    assert [photo.caption for photo in prior] == ["a woman: smiling", "a woman in a park"]
    assert [run.photo_path(photo) for photo in prior] == sorted(classes.glob("*.jpg"))
    assert len(run.file.photos) == 4


def test_several_characters_are_trained_in_one_lora_each_with_its_own_words(start, root, some_photos, tmp_path):
    folder, _ = _new(root, some_photos("tomas", 3, tmp_path / "tomas"), name="Tomas", trigger="toxm", class_word="man")
    _new(root, some_photos("ines", 2, tmp_path / "ines"), name="Ines", trigger="inxe", class_word="woman")
    left = sorted(folder.photos.glob("*.jpg"))[0]
    audit_store.save(folder, audit_store.AuditStore(decisions={sha256(left): "drop"}))
    run = start(overrides={"together": ["Tomas", "ines"], "face_weight": 2, "passes": 10, "batch_size": 1})
    assert [one.name for one in run.file.characters] == ["Mara Ü", "Tomas", "Ines"]
    captions = {"": "photo of mrxa woman", "Tomas": "photo of toxm man", "Ines": "photo of inxe woman"}
    assert [(photo.of, photo.caption) for photo in run.file.photos] == [
        pair for pair in captions.items() for _ in range(2)
    ]
    assert all(run.photo_path(photo).is_file() and photo.regions and not photo.prior for photo in run.file.photos)
    assert left not in [run.photo_path(photo) for photo in run.file.photos]
    assert load_run(run.folder).file == run.file
    assert photos_an_epoch(run.character_folder, run.file.character, run.file.settings, 2) == 6
    assert {run.folder_of(photo).path.name for photo in run.file.photos} == {"mara-ü", "tomas", "ines"}
    names = [one.original for one in sent_list(root, "Mara Ü", TrainArguments(run=run.file.id)).photos]
    assert [name.partition(": ")[0] for name in names[2:]] == ["Tomas", "Tomas", "Ines", "Ines"]
    assert ": " not in "".join(names[:2])
    moved = root.with_name("moved")
    root.rename(moved)
    there = load_run(moved / run.folder.relative_to(root))
    assert all(there.photo_path(photo).is_file() for photo in there.file.photos)
    own = there.character_folder.path
    own.rename(tmp_path / "elsewhere")
    if os.name != "nt":  # which asks for a right
        own.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        assert all(there.photo_path(photo).is_file() for photo in there.file.photos)


def test_characters_that_cannot_be_in_one_lora_are_named(start, root, some_photos, tmp_path):
    folder, _ = _new(root, some_photos("tomas", 2, tmp_path / "tomas"), name="Tomas", trigger="toxm", class_word="man")
    tomas = load(folder)
    for together in (["Tomas", "tomas"], ["Mara Ü"]):
        with raises("character-named-twice"):
            start(overrides={"together": together})
    for changes, code in (
        ({"trigger": "MRXA"}, "triggers-equal"),
        ({"trigger": "Woman"}, "triggers-equal"),
        ({"class_word": "mrxa"}, "triggers-equal"),
        ({"trigger": "tall mrxa"}, "triggers-equal"),
        ({"consent": declare_consent("myself")}, "consents-differ"),
        ({"consent": None}, "consent-missing"),
    ):
        save(folder, replace(tomas, **changes))
        with raises(code, has="Tomas"):
            start(overrides={"together": ["Tomas"]})
    with raises("together-unknown", has=("nobody", "are: tomas")):
        start(overrides={"together": ["nobody"]})
    assert list((root / "characters" / "mara-ü" / "runs").iterdir()) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"together": [str(n) for n in range(8)]},
        {"together": ["Tomas"], "trigger_vectors": 2},
        {"together": ["Tomas"], "likeness_curve": True, "stop_early": True},
    ],
    ids=str,
)
def test_what_several_characters_cannot_have_is_said(start, settings):
    with raises("setting-invalid"):
        start(overrides=settings)


def test_a_characters_photos_are_no_class_pictures(start, root, some_photos, tmp_path):
    folder, _ = _new(root, some_photos("tomas", 2, tmp_path / "tomas"), name="Tomas", trigger="toxm", class_word="man")
    with raises("class-photos-of-character", has="Tomas"):
        start(overrides={"class_photos": str(folder.photos)})


def test_faces_are_looked_for_only_where_they_count(start):
    assert [photo.regions for photo in start().file.photos] == [[], []]
    for photo in start(overrides={"face_weight": 2}).file.photos:
        ((left, top, right, bottom),) = photo.regions
        assert 0.1 < left < 0.5 < right < 0.9  # the persona's portraits have the face in the middle
        assert 0 <= top < 0.5 < bottom <= 1


def test_a_face_weight_without_faces_is_refused(start, root):
    folder = Workspace(root).character("Mara Ü")
    for path in folder.photos.glob("*.jpg"):
        Image.new("RGB", (64, 64), "grey").save(path)
    with raises("face-weight-without-face", has=("face_weight", "2")):
        start(overrides={"face_weight": 2})


def test_a_face_weight_of_the_preset_means_nothing_without_faces(root, photos):
    folder, _ = _new(root, photos)
    for path in folder.photos.glob("*.jpg"):
        Image.new("RGB", (64, 64), "grey").save(path)
    for given in ({}, {"face_weight": 2.0}):  # as the tab sends it, which is the preset's own
        run = start_run(root, "Mara Ü", TrainingRequest(MINI, None, {**QUICK, **given}, few=True))
        assert run.file.settings.face_weight == 2
        assert not any(photo.regions for photo in run.file.photos)
    with raises("face-weight-without-face", has=("face_weight", "3")):
        start_run(root, "Mara Ü", TrainingRequest(MINI, None, {**QUICK, "face_weight": 3}, few=True))


def test_a_character_that_lost_its_photos_is_one_sentence(start, root):
    shutil.rmtree(Workspace(root).character("Mara Ü").photos)
    with raises("photo-folder-missing"):
        start()


# -- where the LoRA goes


def test_out_is_made_and_left_empty(start, tmp_path):
    out = tmp_path / "neu ü" / "Lora"
    assert start(out=out).file.out == str(out)
    assert list(out.iterdir()) == []


def test_an_out_that_cannot_be_is_said_before_the_training(start, root, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with raises("out-is-a-file"):
        start(out=tmp_path / "file")
    with raises("file-inaccessible", has="Cannot write"):
        start(out=tmp_path / "file" / "below")
    assert list((root / "characters" / "mara-ü" / "runs").iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="modes of folders stop nobody on Windows")
def test_an_out_without_rights_is_said(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with without_override(), raises("permission-denied", has="locked"):
        check_out(tmp_path / "locked")


@pytest.mark.parametrize(
    ("size", "free", "given", "changes", "said"),
    [
        (None, None, {"seed": 3}, {}, ""),
        (80, None, {}, {"gradient_checkpointing": False}, "(80 GB): gradient checkpointing off"),
        (80, 10, {}, {}, ""),  # another program has the rest
        (80, None, {"gradient_checkpointing": True}, {}, ""),
        (8, None, {"lora": {"dropout": 0.1}}, {"lora": {"rank": 16, "alpha": 8.0}}, "(8 GB): rank 16."),
        (8, None, {"lora": {"alpha": 32}}, {}, "(8 GB): and still it may fail, as about 9 GB are needed"),
        (10, None, {}, {}, ""),
    ],
)
def test_settings_are_made_to_fit_a_gpu_unless_they_were_given(tmp_path, size, free, given, changes, said):
    asked = {**given, "precision": "bf16"}  # "auto" is found by timing, and a busy machine may find another one
    info, train = plan(TrainingRequest(toys.write_toy("sdxl", tmp_path / "xl.safetensors"), None, asked))
    whole, left = (None if value is None else value << 30 for value in (size, free))
    found, sentence = for_gpu(info, train, given, whole, left)
    lora = replace(train.lora, **changes.get("lora", {}))
    expected = replace(train, **{**changes, "lora": lora})
    assert (found, said in sentence, bool(sentence)) == (expected, True, bool(said))


def test_a_run_is_fitted_where_that_is_asked(start, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(memory, "whole_bytes", lambda device: 80 << 30)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 79 << 30)
    base = toys.write_toy("sdxl", tmp_path / "xl.safetensors")
    assert start(base=base, fit=True).file.settings.gradient_checkpointing is False
    assert "gradient checkpointing off" in capsys.readouterr().out
    assert start(base=base).file.settings.gradient_checkpointing is True


def test_a_run_for_another_machine_is_settled_there(start, tmp_path, monkeypatch, capsys):
    """It is made without this machine's precision and memory; what was asked for stays."""
    monkeypatch.setattr(memory, "whole_bytes", lambda device: 8 << 30)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 7 << 30)
    monkeypatch.setattr(precision, "resolve", lambda wanted, device: "bf16" if wanted == "auto" else wanted)
    base = toys.write_toy("sdxl", tmp_path / "xl.safetensors")
    given = {"precision": "auto", "resolution": 1024}
    made = start(base=base, elsewhere=True, fit=True, overrides=given)
    assert made.file.settings.precision == "auto"
    assert made.file.settings.lora.rank > 16
    capsys.readouterr()
    settled = settle(made)
    assert (settled.file.settings.precision, settled.file.settings.lora.rank) == ("bf16", 16)
    assert load_run(made.folder) == settled
    assert settle(settled) is settled
    asked = start(base=base, elsewhere=True, overrides={**given, "lora": {"rank": 64}})
    assert settle(asked).file.settings.lora.rank == 64


def test_a_small_base_model_fits_everywhere():
    given = {"seed": 1, "precision": "fp32"}
    info, train = plan(TrainingRequest(MINI, None, given))
    assert for_gpu(info, train, given, 1 << 30, None) == (train, "")


def test_what_the_base_models_page_permits_goes_into_the_run_and_its_loras(root, photos, monkeypatch):
    monkeypatch.delenv("SAMEFACE_CIVITAI", raising=False)
    digest = sha256(MINI).upper()
    cache = AnswerCache(root, "https://civitai.com")
    cache.put("hash", digest, version_row(files=[{"hashes": {"SHA256": digest}}]))
    cache.put("model", 401, model_row(allowCommercialUse=["Image"]))
    _new(root, photos)
    run = start_run(root, "Mara Ü", TrainingRequest(MINI, None, QUICK, few=True))
    assert load_run(run.folder).file.base.terms == run.file.base.terms
    assert json.loads(run.file.base.terms)["model"] == 401
    texts = read_header(train(run, lambda *_, **__: None))[1]
    assert texts["sameface.base_terms"] == run.file.base.terms
    assert texts["modelspec.license"].startswith("CreativeML Open RAIL-M (https://")


def test_a_base_model_that_is_marked_as_showing_a_child_is_not_trained_on(root, photos, monkeypatch):
    monkeypatch.delenv("SAMEFACE_CIVITAI", raising=False)
    digest = sha256(MINI).upper()
    cache = AnswerCache(root, "https://civitai.com")
    cache.put("hash", digest, version_row(files=[{"hashes": {"SHA256": digest}}]))
    cache.put("model", 401, model_row(minor=True))
    folder, _ = _new(root, photos)
    for _ in range(2):  # before its hash is known, and after
        with raises("model-shows-child"):
            start_run(root, "Mara Ü", TrainingRequest(MINI, None, QUICK, few=True))
    assert not folder.runs.exists() or not any(folder.runs.iterdir())
