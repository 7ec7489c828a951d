"""What is said before a run, against what the run then writes; and what is kept of a probe."""

import os
from dataclasses import replace

import pytest
from toys import toy_tensors

from lib_lora import typed_settings
from lib_lora.lora.adapter_settings import LoraSettings
from lib_lora.lora.file.reading import read
from lib_lora.models.families.registry import family_named
from lib_lora.training import state as states
from lib_lora.training.loop import train
from lib_lora.training.plan import estimate as estimates
from lib_lora.training.plan.estimate import (
    adapter_layers,
    estimate,
    last_measurement,
    remember,
    shapes_of,
)
from lib_lora.training.plan.preserved_captions import PAINTED, PAINTING_STEPS, PHRASES, most_captions
from lib_lora.training.plan.presets import preset
from lib_lora.training.plan.step_measurement import StepMeasurement
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.training.session import open_session
from lib_lora.workspace.workspace import Workspace


def _near(said, found):
    return abs(said - found) <= 0.1 * found


def _sizes(folder):
    return [path.stat().st_size for path in folder.iterdir()]


OF_SHAPES = pytest.mark.once(
    "bytes of files, which follow from shapes; the resumes of test_loop.py read them on any version"
)


@OF_SHAPES
@pytest.mark.parametrize(
    ("kind", "family", "settings"),
    [
        ("sd1", "sd1", {"lora": {"te": True, "conv_rank": 2}}),
        ("sd1", "sd1", {"optimizer": "lion", "ema": 0.9, "lora": {"te": False, "rank": 16}}),
        ("sd1", "sd1", {"optimizer": "adafactor", "lora": {"use_dora": True, "rank": 24, "te_rank": 32}}),
        ("sd1", "sd1", {"optimizer": "prodigy", "unet_lr": 1.0, "te_lr": 1.0}),
        ("sd2v", "sd2", {"lora": {"te": True, "rank": 16}}),
        ("sdxl", "sdxl", {"lora": {"te": True, "te_rank": 2, "conv_rank": 3}}),
    ],
    ids=str,
)
def test_what_a_run_writes_is_said_before(make_run, events, toy, kind, family, settings):
    run = make_run(kind, photos=1, steps=1, samples=0, **settings)
    chosen = run.file.settings
    said = estimate(family, shapes_of(toy(kind)), chosen, 512, photos=1)
    train(run, events)
    state, lora = states.newest(run.states).state, read(run.checkpoint(1))
    assert said.parameters == sum(tensor.numel() for tensor in state.adapter.values())
    layers = adapter_layers(family, shapes_of(toy(kind)), chosen.lora, chosen.trains_text)
    assert {layer.name for layer in layers} == set(lora.layers)
    files, kept = _sizes(run.checkpoints), _sizes(run.states)
    assert (said.steps, said.checkpoints, said.states) == (1, len(files), len(kept)) == (1, 1, 1)
    assert _near(said.checkpoint_bytes, files[0])
    assert _near(said.state_bytes, kept[0])
    cache = run.character_folder.cache
    cached = sum(_sizes(cache / "latents")) + (0 if chosen.trains_text else sum(_sizes(cache / "text")))
    assert cached <= 1.1 * said.cache_bytes
    assert _near(said.disk_bytes, sum(files) + sum(kept) + said.cache_bytes)


@OF_SHAPES
def test_latents_and_texts_are_counted(make_run, events, toy):
    run = make_run("sdxl", photos=3, resolution=256, samples=0, lora={"te": False})
    for number, path in enumerate(sorted(run.character_folder.photos.glob("*.jpg"))):
        path.with_suffix(".txt").write_text(f"photo {number} of mrxa woman", encoding="utf-8")
    run = make_run("sdxl", photos=3, resolution=256, samples=0, lora={"te": False})
    assert all(item.mean.shape[0] == 4 for item in open_session(run, events).items)  # each is encoded when asked for
    said = estimate("sdxl", shapes_of(toy("sdxl")), run.file.settings, 1024, photos=3)
    cache = run.character_folder.cache
    assert _near(said.cache_bytes, sum(_sizes(cache / "latents")) + sum(_sizes(cache / "text")))


@OF_SHAPES
def test_each_character_has_texts_of_its_own(toy):
    chosen = TrainSettings(preservation_weight=1.0, phrase_weight=1.0, samples=0, lora=LoraSettings(te=False))
    alone, three = (
        estimate("sd1", shapes_of(toy("sd1")), replace(chosen, together=names), 512, photos=24)
        for names in ([], ["tomas", "ines"])
    )
    texts = 2 * (most_captions(0, 1) + 2 * len(PHRASES))
    assert three.cache_bytes - alone.cache_bytes == texts * family_named("sd1").conditioning_bytes(
        shapes_of(toy("sd1"))
    )


@OF_SHAPES
def test_what_the_base_paints_for_itself_takes_time_and_is_not_kept(toy):
    settings = {"sample_steps": PAINTING_STEPS, "preservation_weight": 1.0, "steps": 100}
    chosen = preset("sd15-face", "sd1", {**settings, "likeness_curve": False})
    said, without = (
        estimate("sd1", shapes_of(toy("sd1")), one, 512, photos=24)
        for one in (chosen, replace(chosen, preservation_painted=0.0))
    )
    assert said.base_painting == pytest.approx(PAINTED * said.picture_steps)
    assert (said.work - without.work, without.base_painting) == (pytest.approx(said.base_painting), 0)
    assert (said.pictures, said.disk_bytes) == (without.pictures, without.disk_bytes)


@OF_SHAPES
def test_sample_pictures_are_counted(make_run, events, toy):
    run = make_run("sd1", photos=1, steps=2, save_every=1, samples=1, sample_steps=1)
    said = estimate("sd1", shapes_of(toy("sd1")), run.file.settings, 512, photos=1)
    train(run, events)
    assert 0.3 * said.sample_bytes < sum(_sizes(run.folder / "samples")) < 2.5 * said.sample_bytes  # a toy's are noise


@pytest.mark.parametrize(("kind", "family"), [("sd1", "sd1"), ("sd2v", "sd2"), ("sdxl", "sdxl")])
def test_names_of_some_merges_are_known_too(kind, family):
    shapes = {key.replace(".text_model.", "."): tuple(tensor.shape) for key, tensor in toy_tensors(kind).items()}
    same = {key: tuple(tensor.shape) for key, tensor in toy_tensors(kind).items()}
    lora = TrainSettings().lora
    assert adapter_layers(family, shapes, lora, True) == adapter_layers(family, same, lora, True)


def test_steps_follow_the_photos():
    shapes = {key: tuple(tensor.shape) for key, tensor in toy_tensors("sd1").items()}
    chosen = preset("sd15-face", "sd1")
    said = estimate("sd1", shapes, chosen, 512, photos=24)
    assert (said.steps, said.photos, said.checkpoints) == (1200, 24, 10)
    assert estimate("sd1", shapes, chosen, 512, photos=24, class_photos=100).steps == 2400
    every = preset("sd15-face", "sd1", {"steps": 100, "save_every": 30, "keep_states": 9, "samples": 0})
    said = estimate("sd1", shapes, every, 512, photos=24)
    assert (said.checkpoints, said.states, said.pictures) == (4, 4, 6 + 4 * 9)  # of the likeness curve
    silent = estimate("sd1", shapes, replace(every, likeness_curve=False), 512, photos=24)
    assert (silent.pictures, silent.sample_bytes, silent.work) == (0, 0, silent.steps)
    assert said.work == 100 + said.pictures * 8 * 2 / 3 / 2


def test_what_was_measured_is_remembered(tmp_path):
    base = tmp_path / "base ü.safetensors"
    base.write_bytes(b"x")
    chosen = TrainSettings(batch_size=2)
    one = StepMeasurement("A", 1.5, 7, 3.0, 9, "bf16")
    assert last_measurement(tmp_path, base, chosen) is None
    remember(tmp_path, base, chosen, one)
    remember(tmp_path, base, TrainSettings(batch_size=3), replace(one, seconds_per_step=2.5))
    assert last_measurement(tmp_path, base, chosen) == one
    assert last_measurement(tmp_path, base, chosen, "A") == one
    assert last_measurement(tmp_path, base, chosen, "B") is None
    other = replace(one, device="B", seconds_per_step=0.5)
    remember(tmp_path, base, chosen, other)
    assert last_measurement(tmp_path, base, chosen, "A") == one
    assert last_measurement(tmp_path, base, chosen, "B") == other
    assert last_measurement(tmp_path, tmp_path / "gone", chosen) is None
    os.utime(base, ns=(1, 1))  # another file in its place
    assert last_measurement(tmp_path, base, chosen) is None


@pytest.mark.parametrize("damaged", [b"", b"[]", b'{"x": 1}', b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_memory_is_none(tmp_path, damaged):
    base = tmp_path / "base.safetensors"
    base.write_bytes(b"x")
    Workspace(tmp_path).probes.write_bytes(damaged)
    assert last_measurement(tmp_path, base, TrainSettings()) is None
    remember(tmp_path, base, TrainSettings(), StepMeasurement("A", 1.0))
    assert last_measurement(tmp_path, base, TrainSettings()).device == "A"


COSTLY = {
    "batch_size": 3,
    "accumulation": 2,
    "resolution": 768,
    "bucket_step": 32,
    "upscale": False,
    "precision": "fp32",
    "optimizer": "lion",
    "te_lr": 0.0,
    "gradient_checkpointing": True,
    "ema": 0.9,
    "tag_dropout": 0.1,
    "shuffle_tags": True,
    "identity_loss_weight": 0.1,
    "preservation_weight": 1.0,
    "phrase_weight": 1.0,
    "lora.rank": 8,
    "lora.conv_rank": 8,
    "lora.te": False,
    "lora.te_rank": 8,
    "lora.use_dora": True,
}
FREE = {
    "steps": 5,
    "passes": 7,
    "seed": 1,
    "unet_lr": 1.0,
    "weight_decay": 0.0,
    "lr_schedule": "linear",
    "save_every": 3,
    "samples": 0,
    "identity_loss_from": 0.1,
    "lora.alpha": 3.0,
    "objective.min_snr_gamma": 1.0,
}


@pytest.mark.parametrize("name", [*COSTLY, *FREE])
def test_only_what_changes_the_cost_changes_the_key(tmp_path, name):
    base = tmp_path / "base"
    base.write_bytes(b"x")
    changed = preset("sd15-face", "sd1", typed_settings.nested({name: {**COSTLY, **FREE}[name]}))
    plain = preset("sd15-face", "sd1")
    assert (estimates.cost_key(base, plain) == estimates.cost_key(base, changed)) == (name in FREE)
