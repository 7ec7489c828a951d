"""A few steps before a training: what they cost, and that they leave nothing behind."""

import os
import shutil
import time
from pathlib import Path

import pytest
from faults import raises
from PIL import Image

from lib_lora.models.families.model_family import ModelInfo
from lib_lora.training import loop
from lib_lora.training.plan.estimate import last_measurement
from lib_lora.training.plan.presets import preset
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.training.session import open_session
from lib_lora.workflows.photos.new_character import NewCharacter, new_character
from lib_lora.workflows.train import speed_probe
from lib_lora.workflows.train.prepare import start_run
from lib_lora.workflows.train.speed_probe import probe

pytestmark = pytest.mark.once("its steps are the training's, which test_loop.py repeats")

PHOTOS = Path(__file__).parents[2] / "data" / "personas" / "mara"
MINI = PHOTOS.parents[1] / "mini-face" / "mini-face.safetensors"
SETTINGS = {"resolution": 128, "precision": "fp32", "optimizer": "adamw", "lora": {"rank": 4}, "passes": 50}


@pytest.fixture
def data(tmp_path):
    """The data folder of a character with three photos."""
    source = tmp_path / "source"
    source.mkdir()
    for path in sorted(PHOTOS.iterdir())[:3]:
        shutil.copy(path, source)
    root = tmp_path / "data ü 名前"
    new_character(root, NewCharacter("Mara", "mrxa", "woman", "fictional"), source)
    return root


def _files(root):
    """All there is but the cache, as path and content."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "cache" not in path.parts
    }


class Said(list):
    def __call__(self, kind, **fields):
        self.append({"kind": kind, **fields})


def test_the_small_models_own_weight_of_the_face_needs_no_face(data):
    for path in (data / "characters").rglob("*.jpg"):
        Image.new("RGB", (64, 64), "grey").save(path)
    said = Said()
    found = probe(data, "Mara", TrainingRequest(MINI, None, {"precision": "fp32"}), said, steps=2)
    assert found.seconds_per_step > 0
    assert [one["code"] for one in said if one["kind"] == "warning"] == ["face-weight-without-face"]
    with raises("face-weight-without-face", has=("face_weight", "3")):
        probe(data, "Mara", TrainingRequest(MINI, None, {"face_weight": 3}), said, steps=2)


def test_it_measures_and_leaves_nothing_behind_and_the_page_finds_it_again(data, toy):
    """What one that was killed has left goes with the next day's; of today's somebody may still be at work."""
    asked, folder = preset(None, "sd1", SETTINGS), data / "characters" / "mara"
    assert last_measurement(data, toy("sd1"), asked) is None
    before, said = _files(data), Said()
    old, new = folder / ".probe-old", folder / ".probe-new"
    for path in (old, new):
        (path / "001").mkdir(parents=True)
    os.utime(old, (1, 1))
    found = probe(data, "Mara", TrainingRequest(toy("sd1"), None, SETTINGS), said, steps=3)
    numbers = {"seconds_per_step", "peak_memory", "load_seconds", "others"}
    assert set(found.values()) == numbers | {"steps", "device", "precision"}
    assert 0 <= found.others <= 1
    assert 0 < found.seconds_per_step < 60
    assert 0 < found.load_seconds < 600
    assert found.peak_memory > 1e8
    assert (found.steps, found.device, found.precision) == (75, "the processor", "fp32")  # 3 x 50 in twos
    assert [(one["kind"], one["done"], one["total"]) for one in said] == [("progress", n, 4) for n in range(5)]
    assert said[-1]["text"] == "Step 3 of 3"
    after = _files(data)
    assert set(after) - set(before) == {"hashes.json", "probes.json"}
    assert all(after[name] == before[name] for name in before)
    assert list((folder / "runs").iterdir()) == []
    assert [path for path in folder.iterdir() if path.name.startswith(".probe")] == [new]
    assert last_measurement(data, toy("sd1"), asked) == found
    assert last_measurement(data, toy("sd1"), preset(None, "sd1", {**SETTINGS, "batch_size": 1})) is None


def test_auto_is_found_again_as_auto_and_a_note_of_the_optimizer_is_passed_on(data, toy):
    """The precision is chosen for the device, but who asks later has the settings as they were."""
    said = Said()
    wanted = {**SETTINGS, "precision": "auto", "optimizer": "prodigy", "unet_lr": 1e-4, "te_lr": 1e-4}
    found = probe(data, "Mara", TrainingRequest(toy("sd1"), None, wanted), said, steps=2)
    assert found.precision in ("fp32", "bf16")
    assert last_measurement(data, toy("sd1"), preset(None, "sd1", wanted)).precision == found.precision
    assert [one["code"] for one in said if one["kind"] == "warning"] == ["optimizer-note"]


def test_the_run_itself_profits_from_it(data, flow_toy, monkeypatch, tmp_path):
    """Its photos and captions are encoded already: neither the VAE nor the text encoders are loaded for them."""
    wanted = {**SETTINGS, "te_lr": 0.0, "lora": {"rank": 4, "te": False}}
    probe(data, "Mara", TrainingRequest(flow_toy, None, wanted), Said(), steps=2)
    run = start_run(data, "Mara", TrainingRequest(flow_toy, None, wanted, few=True))
    assert run.file.id == "001"
    for name in ("load_vae", "load_text"):
        monkeypatch.setattr(ModelInfo, name, lambda *_: pytest.fail("loaded again"))
    open_session(run, Said())


def test_the_first_step_does_not_count(data, flow_toy, monkeypatch):
    monkeypatch.setattr(speed_probe, "rehearse", lambda session, steps, each: [100.0, 1.0, 3.0, 2.0])
    assert probe(data, "Mara", TrainingRequest(flow_toy, None, SETTINGS), Said()).seconds_per_step == 2.0


def test_too_little_memory_says_what_to_lower(data, flow_toy, monkeypatch):
    def full(self):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(loop._Loop, "step", full)
    before = _files(data)
    lower = ("batch_size 1", "gradient_checkpointing true", "te_lr 0")
    with raises("memory-too-small", has=(flow_toy.name, *lower)):
        probe(data, "Mara", TrainingRequest(flow_toy, None, {**SETTINGS, "batch_size": 2}), Said())
    assert set(_files(data)) - set(before) == {"hashes.json"}
    assert not list((data / "characters" / "mara").glob(".probe*"))


def test_other_errors_are_not_hidden(data, flow_toy, monkeypatch):
    def odd(self):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(loop._Loop, "step", odd)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        probe(data, "Mara", TrainingRequest(flow_toy, None, SETTINGS), Said())
    assert not list((data / "characters" / "mara").glob(".probe*"))


def test_what_would_stop_the_run_stops_the_probe(data, flow_toy, tmp_path):
    with raises("setting-unknown", has="unknown setting 'rnk'"):
        probe(data, "Mara", TrainingRequest(flow_toy, None, {"lora": {"rnk": 1}}), Said())
    with raises("character-not-found"):
        probe(data, "Nobody", TrainingRequest(flow_toy, None, {}), Said())
    with raises("file-missing"):
        probe(data, "Mara", TrainingRequest(tmp_path / "gone.safetensors", None, {}), Said())
    new_character(data, NewCharacter("New", "nxwa", "woman", None), sorted(PHOTOS.iterdir())[:1])
    with raises("consent-missing"):
        probe(data, "New", TrainingRequest(flow_toy, None, SETTINGS), Said())


def test_the_identity_loss_is_measured_where_it_is_computed_and_counts_for_its_share(data, flow_toy, monkeypatch):
    """It begins in the middle of the run, where the first steps of the run would never meet it."""
    done = []

    def step(self):
        done.append((self.at.step, self._identity_counts()))
        time.sleep(0.2 if self._identity_counts() else 0.05)

    monkeypatch.setattr(loop._Loop, "step", step)
    wanted = {
        **SETTINGS,
        "batch_size": 2,
        "identity_loss_weight": 0.1,
        "identity_loss_from": 0.8,
        "identity_loss_timesteps": 1000,
    }
    found = probe(data, "Mara", TrainingRequest(flow_toy, None, wanted), Said())
    # of 75; the most where it is computed, since chance and the photo decide in which steps it is
    assert done == [(n, False) for n in range(4)] + [(60 + n, True) for n in range(13)]
    assert 0.2 * 0.2 + 0.8 * 0.05 <= found.seconds_per_step < 0.1


def test_a_run_without_two_kinds_of_steps_is_measured_at_its_beginning():
    for more in ({}, {"identity_loss_weight": 1.0, "identity_loss_from": 0.0}, {"identity_loss_from": 0.5}):
        [part] = speed_probe.parts_to_measure(preset("sd15-face", "sd1", more), 100)
        assert (part.steps.start, part.share) == (0, 1.0)
    late = preset("sd15-face", "sd1", {"identity_loss_weight": 1.0, "identity_loss_from": 0.99})
    assert len(speed_probe.parts_to_measure(late, 10)) == 1  # never in so few steps


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, 4),
        ({"preservation_weight": 1.0, "batch_size": 4}, 4),  # one turn in each step
        ({"preservation_weight": 1.0, "batch_size": 2}, 5),  # in every other step: 2 of 4
        ({"preservation_weight": 1.0, "batch_size": 1}, 5),  # 1 of 4
        ({"preservation_weight": 1.0, "batch_size": 1, "preservation_share": 0.01}, 13),
    ],
)
def test_steps_with_and_without_preservation_are_measured_in_their_proportion(settings, steps):
    train = preset("sd15-face", "sd1", settings)
    assert speed_probe.steps_to_measure(train) == steps
    each = train.preservation_share * train.batch_size
    if 0.1 < each < 1 and train.preservation_weight:
        assert ((steps - 1) * each).is_integer()
