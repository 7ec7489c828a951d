"""What another machine gets of a run says nothing of this one, and what comes home is looked at."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from faults import raises
from PIL import Image

from lib_lora.character.photo_files import open_photo
from lib_lora.character.store import Character, load, save
from lib_lora.errors import UserError
from lib_lora.files import sha256
from lib_lora.models.families.identify import identify
from lib_lora.runs.sent_run import comes_home, needed_files, stage, take_over
from lib_lora.training.plan.run_file import (
    IdentifiedBase,
    TrainingPhoto,
    TrainingSet,
    altered,
    create_run,
    load_run,
    save_run,
)
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.workflows.photos.new_character import NewCharacter, new_character

pytestmark = pytest.mark.once("which files are sent is ours; how they are read is repeated in lora and models")

DATA = Path(__file__).parents[1] / "data"
BASE_THERE = "/data/there/named/base.safetensors"
SECRETS = ("Hauptstrasse", "Oma", "geheim", "Klassenfotos", "my models", "Auslieferung", "mini-face")


@pytest.fixture
def run(tmp_path):
    return _made(tmp_path)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A run that no test changes."""
    return _made(tmp_path_factory.mktemp("kept"))


def _made(tmp_path):
    """A run of a character with notes, whose photos have telling names and EXIF, and that has trained a while."""
    photos = tmp_path / "Hauptstrasse 5"
    photos.mkdir()
    for number, orientation in enumerate((1, 6)):
        with Image.open(DATA / "personas" / "mara" / f"{number:02d}.jpg") as picture:
            exif = Image.Exif()
            exif[0x0112], exif[0x010E] = orientation, "geheim"
            picture.resize((96, 80)).save(photos / f"Oma geheim {number}.jpg", exif=exif, quality=90)
    with Image.open(photos / "Oma geheim 0.jpg") as picture:
        picture.save(photos / "Oma geheim 2.webp", lossless=True)
    folder, _ = new_character(tmp_path / "data", NewCharacter("Mara ü", "mrxa", "woman", "fictional"), photos)
    save(folder, replace(load(folder), notes="wohnt in der Hauptstrasse 5, geheim"))
    outside = tmp_path / "Klassenfotos"
    outside.mkdir()
    shutil.copy(DATA / "personas" / "mara" / "02.jpg", outside / "Oma.jpg")
    taken = sorted(folder.photos.glob("*.jpg")) + sorted(folder.photos.glob("*.webp"))
    own = [TrainingPhoto(path.relative_to(folder.path).as_posix(), sha256(path), "mrxa woman") for path in taken]
    own[-1] = replace(own[-1], of="Tomas")
    own.append(TrainingPhoto(str(outside / "Oma.jpg"), sha256(outside / "Oma.jpg"), "woman", prior=True))
    base = tmp_path / "my models" / "mini-face.safetensors"
    base.parent.mkdir()
    for suffix in (".safetensors", ".yaml"):
        shutil.copy(DATA / "mini-face" / f"mini-face{suffix}", base.with_suffix(suffix))
    made = create_run(
        folder.runs,
        load(folder),
        IdentifiedBase(identify(base), "b" * 64),
        TrainSettings(steps=100, class_photos=str(outside), batch_size=4),
        TrainingSet(own, [Character("Tomas", "toxm", "man", notes="wohnt auch dort, geheim")]),
        out=tmp_path / "Auslieferung",
        grid_steps=20,
    )
    events = [
        {"t": 1.5, "kind": "state", "state": "training", "step": 0, "total": 100, "text": "/home/Oma/geheim"},
        {"t": 2.5, "kind": "step", "step": 10, "total": 100, "loss": 0.5, "seconds_per_step": 1.0, "file": "/Oma"},
        {"t": 3.5, "kind": "warning", "text": "Cannot read /home/Oma/geheim"},
        {"t": 4.5, "kind": "sample", "step": 10, "file": "samples/x.png", "prompt": "geheim"},
        {"t": 5.5, "kind": "state", "state": "stopped", "step": 10, "total": 100, "more": {"path": "geheim"}},
    ]
    made.events.write_text("".join(json.dumps(event) + "\n" for event in events) + '{"kind": "st')
    return made


def _all(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_sent_names_nothing_of_this_machine(run, tmp_path):
    before = _all(tmp_path)
    data = tmp_path / "staged"
    stage(run, data, BASE_THERE)
    files = _all(data)
    secrets = [*SECRETS, str(tmp_path), tmp_path.parent.name]
    for path, content in files.items():
        for secret in secrets:
            assert secret.encode() not in content, (path, secret)
            assert secret not in str(path.relative_to(data))
    assert {path: content for path, content in _all(tmp_path).items() if path not in files} == before
    names = {path.relative_to(data).as_posix() for path in files}
    top = "characters/mara-ü"
    assert names == {
        f"{top}/character.yaml",
        f"{top}/photos/0001.jpg",
        f"{top}/photos/0002.jpg",
        f"{top}/photos/0003.png",
        f"{top}/photos/0004.jpg",
        f"{top}/runs/001/run.yaml",
        f"{top}/runs/001/events.jsonl",
    }


def test_what_is_sent_is_the_same_training(run, tmp_path):
    folder = stage(run, tmp_path / "staged", BASE_THERE)
    there = load_run(folder.path)
    assert not altered(folder.path)
    assert (there.file.base.path, there.file.base.sha256) == (BASE_THERE, "b" * 64)
    assert (there.file.out, there.file.grid_steps, there.file.character.notes) == (None, 0, "")
    assert (there.file.id, there.file.stem, there.file.data_hash) == (run.file.id, run.file.stem, run.file.data_hash)
    assert there.file.settings == replace(run.file.settings, class_photos=None)
    assert load(there.character_folder) == there.file.character == replace(run.file.character, notes="")
    assert len(there.file.photos) == len(run.file.photos)
    assert there.file.others == [Character("Tomas", "toxm", "man")]
    for ours, theirs in zip(run.file.photos, there.file.photos):
        assert replace(theirs, file=ours.file, sha256=ours.sha256) == ours
        assert sha256(there.photo_path(theirs)) == theirs.sha256
        assert open_photo(there.photo_path(theirs)).tobytes() == open_photo(run.photo_path(ours)).tobytes()
    events = [json.loads(line) for line in folder.events.read_text().splitlines()]
    assert events == [
        {"t": 1.5, "kind": "state", "state": "training", "step": 0, "total": 100},
        {"t": 2.5, "kind": "step", "step": 10, "total": 100, "loss": 0.5, "seconds_per_step": 1.0},
        {"t": 5.5, "kind": "state", "state": "stopped", "step": 10, "total": 100},
    ]


def test_a_photo_that_changed_is_not_sent(run, tmp_path):
    photo = run.photo_path(run.file.photos[1])
    kept = photo.read_bytes()
    photo.write_bytes(kept + b"x")
    with raises("photo-changed", photo=photo.name):
        stage(run, tmp_path / "staged", BASE_THERE)
    photo.unlink()
    with raises("photo-changed", photo=photo.name):
        stage(run, tmp_path / "staged", BASE_THERE)


def test_what_a_run_needs_to_go_on(run):
    assert needed_files(run) == []
    run.states.mkdir()
    run.checkpoints.mkdir()
    for step in (5, 10):
        run.checkpoint(step).touch()
        (run.states / f"{step:06d}.pt").touch()
    (run.states / "other.txt").touch()
    (run.checkpoints / "other.safetensors").touch()
    wanted = [run.states / "000005.pt", run.states / "000010.pt", run.checkpoint(10)]
    assert needed_files(run) == wanted


def test_names_that_come_home(kept):
    run = kept
    stem = run.file.stem
    for name in (
        f"checkpoints/{stem}-000010.safetensors",
        f"checkpoints/{stem}-999999.safetensors",
        "state/000010.pt",
        "samples/000010-0.png",
        "samples/000010-0.json",
    ):
        assert comes_home(run, name, [1000, 0], 9), name
        assert not comes_home(run, name, [1000, 0], 1_000_000), name  # it was here before
        for size in (1 << 40, -1, "1", None):
            assert not comes_home(run, name, [size, 0], 9), (name, size)
        assert not comes_home(run, name, {}, 9)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "run.yaml",
        "events.jsonl",
        "checkpoints",
        "checkpoints/",
        "checkpoints/other-001-000010.safetensors",
        "checkpoints/{stem}-10.safetensors",
        "checkpoints/{stem}-999999999.safetensors",
        "checkpoints/{stem}-000010.safetensors/x",
        "checkpoints/{stem}-000010.safetensors\n",
        "checkpoints/{stem}-000010.ckpt",
        "checkpoints/../{stem}-000010.safetensors",
        "../checkpoints/{stem}-000010.safetensors",
        "/checkpoints/{stem}-000010.safetensors",
        "checkpoints\\{stem}-000010.safetensors",
        "checkpoints/{stem}-٠٠٠٠١٠.safetensors",
        "checkpoints/x{stem}-000010.safetensors",
        "state/latest.pt",
        "state/000010.pt.py",
        "state/../../../../.bashrc",
        "state/C:\\x.pt",
        "samples/x.html",
        "samples/x.png/y",
        "samples/..png",
        "samples/a b.png",
        "samples/ü.png",
        "samples/nul.png",
        "samples/con.json",
        "samples/x.svg",
        "samples/" + "1" * 200 + ".png",
        "grids/001/report.json",
        "__init__.py",
        "a\0b",
    ],
)
def test_names_that_do_not(kept, name):
    assert not comes_home(kept, name.replace("{stem}", kept.file.stem), [1000, 0], -1)


def test_the_stem_is_no_pattern(kept):
    other = replace(kept, file=replace(kept.file, stem="mara.*-001"))
    assert not comes_home(other, "checkpoints/marax-001-000010.safetensors", [1000, 0], -1)


# ------------------------------------------------------------------------------------------ what comes home


@pytest.fixture
def come(run, tmp_path):
    """Puts a run's file there as another machine has made it."""

    def put(change=lambda file: None, **fields):
        folder = stage(run, tmp_path / "staged", BASE_THERE)
        text = folder.file.read_text(encoding="utf-8")
        values = yaml.safe_load(text)
        values |= fields
        change(values)
        goal = tmp_path / "come"
        goal.mkdir(exist_ok=True)
        (goal / "run.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        shutil.rmtree(tmp_path / "staged")
        return goal

    return put


def _settings(**changes):
    lora = changes.pop("lora", {})

    def change(values):
        values["settings"] |= changes
        values["settings"]["lora"] |= lora

    return change


def test_nothing_was_changed_there(run, come):
    before = run.place.file.read_bytes()
    assert take_over(run, come()) == run
    assert run.place.file.read_bytes() == before


def test_what_spares_memory_is_taken_over(run, come):
    changes = {"precision": "bf16", "batch_size": 1, "accumulation": 4, "gradient_checkpointing": True, "te_lr": 0.0}
    changes |= {"resolution": 128, "optimizer": "adamw8bit"}
    taken = take_over(run, come(_settings(**changes, lora={"rank": 8, "alpha": 4.0, "te": False})))
    for name, value in changes.items():
        assert getattr(taken.file.settings, name) == value
    assert (taken.file.settings.lora.rank, taken.file.settings.lora.alpha) == (8, 4.0)
    assert load_run(run.folder).file == taken.file
    again = replace(
        taken.file, settings=run.file.settings, versions=run.file.versions
    )  # nothing else has become theirs
    assert again == run.file


def test_what_is_not_theirs_to_say_stays(run, come, tmp_path):
    def hostile(values):
        values["settings"] |= {"class_photos": "/etc", "sample_prompts": ["something else"], "seed": 7, "save_every": 1}
        values["settings"] |= {"class_caption": "x", "unet_lr": 9.0, "preset": "other", "face_weight": 50.0}
        values["settings"]["lora"]["dropout"] = 0.5
        values["settings"]["objective"]["min_snr_gamma"] = 99.0
        values["base"] |= {"path": "/etc/passwd", "sha256": "0" * 64, "family": "sdxl", "guidance": 99.0}
        values["photos"] = []
        values["character"] |= {"name": "Other", "notes": "x", "trigger": "other"}
        values |= {"out": "/etc", "grid_steps": 99, "created": "never", "version": 1}

    assert take_over(run, come(hostile)) == run
    assert load_run(run.folder).file == run.file


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (_settings(lora={"rank": 4096}), "lora.rank"),
        (_settings(batch_size=64), "batch_size"),
        (_settings(batch_size=1), "batch_size"),
        (_settings(accumulation=10**9), "batch_size"),
        (_settings(te_lr=9.0), "te_lr"),
        (_settings(optimizer="prodigy"), "optimizer"),
    ],
)
def test_settings_that_nobody_asked_for(run, come, change, field):
    before = run.place.file.read_bytes()
    with raises("run-settings-strange", has=(field, run.folder)):
        take_over(run, come(change))
    assert run.place.file.read_bytes() == before


def test_what_was_set_here_stays(run, come):
    set_here = replace(run.file.settings, precision="fp32", resolution=256)
    set_here = replace(set_here, lora=replace(set_here.lora, te=False))
    run = replace(run, file=replace(run.file, settings=set_here))
    save_run(run)
    folder = come()
    for change, field in (({"precision": "bf16"}, "precision"), ({"resolution": 2048}, "resolution"), ({}, "lora.te")):
        values = yaml.safe_load((folder / "run.yaml").read_text(encoding="utf-8"))
        values["settings"] |= {"precision": "fp32", "resolution": 256, **change}
        values["settings"]["lora"]["te"] = field == "lora.te"
        (folder / "run.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        with raises("run-settings-strange", has=field):
            take_over(run, folder)


@pytest.mark.parametrize(
    ("steps", "restart", "taken"),
    [
        (200, 100, (200, 100)),
        (200, 0, (200, 0)),
        (100, 0, (100, 0)),
        (50, 0, (100, 0)),
        (200, 300, (100, 0)),
        (200, -1, (100, 0)),
        (10**12, 100, (100, 0)),
    ],
)
def test_more_steps(run, come, steps, restart, taken):
    found = take_over(run, come(_settings(steps=steps), restart=restart))
    assert (found.file.settings.steps, found.file.restart) == taken


def test_a_run_that_went_on_there_has_no_earlier_end_and_no_best_step(run, come):
    save_run(replace(run, file=replace(run.file, ended=60, best_step=40)))
    stopped = load_run(run.folder)
    found = take_over(stopped, come(_settings(steps=80), restart=60)).file  # fewer than the 100 of its settings
    assert (found.settings.steps, found.restart, found.ended, found.best_step) == (80, 60, 0, 0)
    again = take_over(load_run(run.folder), come(_settings(steps=80), restart=60)).file
    assert again == found
    save_run(stopped)
    found = take_over(load_run(run.folder), come(_settings(steps=80), ended=0)).file  # its end there was not noted
    assert (found.settings.steps, found.ended, found.best_step) == (80, 0, 0)


def test_versions_can_be_shown(run, come):
    strange = {"torch": "2.13.0+cu128", "<b>": "1", "numpy": "<script>", "x\n": "1", "y": "1\n", "z": "9" * 500}
    strange |= {f"package{number}": "1" for number in range(100)}
    found = take_over(run, come(versions=strange)).file.versions
    assert found["torch"] == "2.13.0+cu128"
    assert not {"<b>", "numpy", "x\n", "y", "z"} & set(found)
    assert len(found) <= 20


@pytest.mark.parametrize("field", ["id", "stem", "data_hash"])
def test_another_run_is_not_taken_for_it(run, come, field):
    with raises("run-mismatch", has=run.folder):
        take_over(run, come(**{field: "mara-ü-999"}))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe\0",
        b"- a",
        b"id: 1",
        b"{",
        b"!!python/object/apply:os.system ['touch hacked']",
        b"&a [*a, *a]",
        b"id: 001\nsettings: {steps: many}",
    ],
)
def test_what_is_no_run(run, tmp_path, text):
    (tmp_path / "come").mkdir()
    (tmp_path / "come" / "run.yaml").write_bytes(text)
    before = run.place.file.read_bytes()
    with pytest.raises(UserError):
        take_over(run, tmp_path / "come")
    assert run.place.file.read_bytes() == before
    assert not Path("hacked").exists()


@pytest.mark.parametrize("change", [_settings(steps=-1), _settings(unknown=1), _settings(lora={"rank": 0})])
def test_settings_out_of_range(run, come, change):
    with pytest.raises(UserError):
        take_over(run, come(change))


def test_no_run_at_all(run, tmp_path):
    with raises("not-a-run-folder"):
        take_over(run, tmp_path)
