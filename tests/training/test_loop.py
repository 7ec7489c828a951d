"""The loop on toys: it learns, saves, resumes and stops; what its libraries compute."""

import json
import shutil
import threading
from pathlib import Path

import pytest
import torch
from faults import raises
from training_runs import same, started, tensors_of, train_in_another_interpreter, wait_for_step

from lib_lora.lora.file.reading import read
from lib_lora.runs.events import EventLog, read_events
from lib_lora.training import loop, saving
from lib_lora.training.loop import train
from lib_lora.training.plan.run_file import load_run
from lib_lora.training.session import open_session
from lib_lora.workflows.photos.new_character import NewCharacter, new_character

pytestmark = pytest.mark.long
OURS = pytest.mark.once(
    "when it ends and what it leaves is ours; that these versions train, save and resume is repeated"
)


@pytest.mark.once("how much is learned; what each version computes, test_fast_parts.py and test_optimizers.py compare")
def test_a_toy_learns_its_photos(make_run, events, monkeypatch):
    """On fixed noise and timesteps the loss falls below half of the start."""
    monkeypatch.setattr(loop, "PROBE_ITEMS", 4)
    monkeypatch.setattr(loop, "PROBE_TIMESTEPS", (200, 600))
    lora = {"rank": 32, "alpha": 32, "conv_rank": 16, "conv_alpha": 16, "te": False}
    plain = {"min_snr_gamma": 0, "noise_offset": 0}
    run = make_run(photos=4, steps=20, unet_lr=1.2e-2, warmup=0.05, save_every=20, lora=lora, objective=plain)
    train(run, events)
    probes = events.of("probe")
    assert [probe["step"] for probe in probes] == [0, 20]
    assert probes[-1]["loss"] < 0.5 * probes[0]["loss"]


def _killed_at(monkeypatch, run, events, step):
    """Train a run until it is to do `step`, and no further."""
    real = loop._Loop.step

    def killed(self):
        if self.at.step == step - 1:
            raise SystemExit
        real(self)

    monkeypatch.setattr(loop._Loop, "step", killed)
    with pytest.raises(SystemExit):
        train(run, events)
    monkeypatch.setattr(loop._Loop, "step", real)


NOISY = {"loss_type": "huber", "multires_iterations": 2, "ip_noise_gamma": 0.1, "debiased": True}


@pytest.mark.once("what a state holds is ours; each way of saving is repeated below")
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adafactor", "gradient_checkpointing": True, "accumulation": 2},
        {
            "optimizer": "prodigy",
            "unet_lr": 1.0,
            "te_lr": 1.0,
            "saved_weight": 0.5,
            "lora": {"use_rslora": True, "conv_rank": 2},
        },
        {"optimizer": "lion", "precision": "bf16", "objective": NOISY},
        {"optimizer": "adamw8bit", "ema": 0.9, "lora": {"use_dora": True, "dropout": 0.2}, "trigger_vectors": 1},
        {
            "kind": "flow",
            "trigger_vectors": 2,
            "te_lr": 0.0,
            "preservation_weight": 1.0,
            "preservation_share": 1.0,
            "preservation_painted": 1.0,
            "batch_size": 2,
            "caption_dropout": 0.3,
            "phrase_weight": 1.0,
            "phrase_timesteps": 0,
        },
        {"kind": "flow", "caption_dropout": 0.5, "shuffle_tags": True, "tag_dropout": 0.3, "lora": {"te": False}},
        {"kind": "flow", "identity_loss_weight": 1.0, "identity_loss_timesteps": 1000, "lora": {"te": False}},
    ],
    ids=str,
)
def test_kinds_of_training_resume_to_the_same_file(make_run, events, settings, monkeypatch, tmp_path):
    """Every kind, gone on with from what lies on the disk as step 3 begins, ends with the tensors of the whole run.

    Step 3 is the first of a new pass through the photos, whose order is drawn anew. One run has several kinds where
    none hides another: whatever is not restored, some number comes out otherwise.
    """
    whole = make_run(photos=2, steps=3, **settings)
    real, copy = loop._Loop.step, whole.folder.with_name("copy")

    def copied(self):
        if self.at.step == 2:
            self.saver.settle()  # a state that is being written is not copied
            shutil.copytree(whole.folder, copy)
        real(self)

    monkeypatch.setattr(loop._Loop, "step", copied)
    expected = tensors_of(train(whole, events))
    monkeypatch.setattr(loop._Loop, "step", real)
    assert all(torch.isfinite(tensor.float()).all() for tensor in expected.values())
    resumed = train(load_run(copy), events)
    assert resumed.is_relative_to(copy)
    assert ("state", {"state": "resumed", "step": 2}) in events
    assert same(tensors_of(resumed), expected)


@pytest.mark.parametrize("settings", [{"ema": 0.9}, {"optimizer": "adafactor", "accumulation": 2}], ids=str)
def test_it_resumes_to_the_same_file_however_it_saves(make_run, events, monkeypatch, settings):
    """Killed in step 4 and gone on with, a run that is saved aside ends with the tensors of one saved at once."""
    expected = tensors_of(train(make_run(**settings), events))
    monkeypatch.setattr(saving, "worth_a_thread", lambda device: True)
    broken = make_run(**settings)
    _killed_at(monkeypatch, broken, events, 4)
    resumed = train(load_run(broken.folder), events)
    assert ("state", {"state": "resumed", "step": 2}) in events
    assert same(tensors_of(resumed), expected)


def test_the_probe_knows_no_dropout(make_run, events):
    run = make_run(steps=1, lora={"dropout": 0.5})
    session = open_session(run, events)
    for layer in session.adapter.layers:
        torch.nn.init.normal_(layer.up, std=0.1)

    def probe():
        with session.evaluating():
            return session.forward.probe(session.items[:1], (500,))

    assert probe() == probe()
    assert all(module.training for module in session.modules)
    assert session.forward.probe(session.items[:1], (500,)) != session.forward.probe(session.items[:1], (500,))


@OURS
def test_training_again_does_nothing_and_a_lost_file_comes_back(make_run, events):
    run = make_run("flow", steps=2)
    expected = tensors_of(train(run, events))
    before = len(events.of("step"))
    run.checkpoint(2).unlink()
    assert same(tensors_of(train(run, events)), expected)
    assert len(events.of("step")) == before


@pytest.mark.once("a kill meets files and their order; that these versions resume bit for bit, others here repeat")
def test_killed_at_any_moment_and_resumed_bit_for_bit(make_run, events):
    settings = {"steps": 6, "save_every": 3, "photos": 2}
    whole = make_run(**settings)
    train(whole, events)
    broken = make_run(**settings)
    for first in (0, 3):  # before anything was saved, and after
        said = len(list(read_events(broken.events))) if broken.events.exists() else 0
        child = started(broken)
        wait_for_step(broken, first + 1, child, said)
        child.kill()  # SIGKILL; TerminateProcess on Windows
        child.join()
    train_in_another_interpreter(broken)
    assert same(tensors_of(whole.checkpoint(6)), tensors_of(broken.checkpoint(6)))
    assert not list(broken.folder.rglob("*.tmp"))


@OURS
def test_a_stop_file_saves_and_ends(make_run, events):
    run = make_run("flow", steps=500, save_every=500)

    def stop_after(kind, **fields):
        events(kind, **fields)
        if kind == "step" and fields["step"] == 3:
            (run.folder / "stop").touch()

    with raises("training-stopped", step=3, of=500):
        train(run, stop_after)
    assert run.checkpoint(3).exists()
    assert not (run.folder / "stop").exists()


@OURS
def test_it_can_be_trained_outside_the_main_thread_which_reads_its_event_log(make_run):
    run, failed = make_run("flow", steps=2), []

    def work():
        try:
            train(run, EventLog(run.events))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failed
    assert run.checkpoint(2).exists()
    said = list(read_events(run.events))
    steps = [event for event in said if event["kind"] == "step"]
    assert [event["step"] for event in steps] == [1, 2]
    assert steps[-1]["seconds_left"] == 0
    assert said[-1]["kind"] == "state"


@OURS
@pytest.mark.parametrize("aside", [True], ids=["aside"], indirect=True)
def test_the_first_nan_stops_and_keeps_the_last_good_file(make_run, events, monkeypatch, aside):
    run = make_run("flow", steps=6)
    real = loop._Loop._accumulate

    def poisoned(self, micro):
        if micro == 4:
            self.session.parameters[0].data.fill_(float("nan"))
        return real(self, micro)

    monkeypatch.setattr(loop._Loop, "_accumulate", poisoned)
    with raises("training-diverged", has="-000004") as caught:
        train(run, events)
    assert events.of("error") == [{"code": "training-diverged", "text": str(caught.value), "step": 4}]
    assert [path.name.rsplit("-", 1)[1] for path in sorted(run.checkpoints.iterdir())] == [
        "000002.safetensors",
        "000004.safetensors",
    ]
    assert all(torch.isfinite(tensor.float()).all() for tensor in tensors_of(run.checkpoint(4)).values())


@OURS
def test_an_infinite_gradient_stops_before_the_weights_are_hurt(make_run, events, monkeypatch):
    run = make_run("flow", steps=6)
    real = loop._Loop._share_gradients

    def poisoned(self):
        real(self)
        if self.at.step == 2:
            self.session.parameters[0].grad.fill_(float("inf"))

    monkeypatch.setattr(loop._Loop, "_share_gradients", poisoned)
    with raises("training-diverged", has="Step 3: the gradient is no longer a number"):
        train(run, events)


@OURS
def test_stopped_before_anything_was_learned_it_can_still_be_resumed(make_run, events, aside):
    run = make_run("flow", steps=300, save_every=300, optimizer="prodigy", unet_lr=1.0, te_lr=1.0, warmup=0.5)

    def stop_at_once(kind, **fields):
        events(kind, **fields)
        if kind == "step":
            (run.folder / "stop").touch()

    with raises("training-stopped", step=1):
        train(run, stop_at_once)
    assert events.of("warning")[0]["code"] == "nothing-learned"
    assert [path.name for path in run.states.iterdir()] == ["000001.pt"]
    assert not run.checkpoint(1).exists()


@pytest.mark.once("which pictures take part, and with what weight, is ours")
def test_prior_pictures_and_face_weights_take_part_and_go_on_bit_for_bit(make_run, events, tmp_path, monkeypatch):
    classes = tmp_path / "classes"
    classes.mkdir()
    for photo in sorted((Path(__file__).parents[1] / "data" / "personas" / "mara").iterdir())[5:7]:
        shutil.copy(photo, classes)
    settings = {"class_photos": str(classes), "face_weight": 3.0, "objective": {"prior_loss_weight": 0.5}}
    run, broken = (make_run("flow", steps=3, save_every=2, **settings) for _ in range(2))
    assert sum(photo.prior for photo in run.file.photos) == 2
    assert all(len(photo.regions) == 1 for photo in run.file.photos if not photo.prior)
    train(run, events)
    whole = read(run.checkpoint(3))
    assert whole.metadata["ss_num_reg_images"] == "2"
    _killed_at(monkeypatch, broken, events, 3)
    assert same(tensors_of(train(load_run(broken.folder), events)), whole.tensors)
    assert ("state", {"state": "resumed", "step": 2}) in events
    session = open_session(make_run("flow", steps=0, passes=5, class_photos=str(classes)), events)
    assert session.total == 30  # three photos, and as many class pictures, five times each


@pytest.mark.once("which photos take part, and what the file says of them, is ours")
def test_several_characters_are_trained_in_one_file_and_go_on_bit_for_bit(make_run, events, monkeypatch, tmp_path):
    tomas = NewCharacter("Tomas", "toxm", "man", "fictional")
    new_character(make_run("flow").workspace.root, tomas, tmp_path / "source")
    settings = {"preservation_weight": 1.0, "phrase_weight": 1.0, "phrase_timesteps": 0, "phrase_share": 1.0}
    settings |= {"preservation_share": 1.0}  # half of it of painted pictures
    settings |= {"together": ["Tomas"], "face_weight": 3.0, "te_lr": 1e-3, "lora": {"te": True}, "batch_size": 3}
    run = make_run("flow", steps=4, save_every=2, **settings)
    assert [photo.of for photo in run.file.photos] == [""] * 3 + ["Tomas"] * 3
    whole = read(train(run, events))
    assert whole.metadata["modelspec.trigger_phrase"] == "mrxa, toxm"
    assert "“mrxa woman” or “toxm man”" in whole.metadata["modelspec.usage_hint"]
    assert whole.metadata["ss_num_train_images"] == "6"
    counts = json.loads(whole.metadata["ss_dataset_dirs"])
    assert {name: one["img_count"] for name, one in counts.items()} == {"Mara": 3, "Tomas": 3}
    assert json.loads(whole.metadata["ss_tag_frequency"])["Tomas"] == {"photo of toxm man": 3}
    tomas = run.folder_of(run.file.photos[-1])
    assert len(list(tomas.latents.iterdir())) == len(list(run.character_folder.latents.iterdir())) == 3
    broken = make_run("flow", steps=4, save_every=2, **settings)
    _killed_at(monkeypatch, broken, events, 3)
    resumed = train(load_run(broken.folder), events)
    assert ("state", {"state": "resumed", "step": 2}) in events
    assert same(tensors_of(resumed), whole.tensors)
