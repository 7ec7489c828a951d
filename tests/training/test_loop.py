"""The loop on toys: it learns, saves, resumes, stops, and says what went wrong."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from faults import raises

from lib_lora.errors import StoppedByUser, UserError
from lib_lora.lora.file.reading import read
from lib_lora.models.fast import memory
from lib_lora.runs.events import EventLog, read_events
from lib_lora.training import loop, saving
from lib_lora.training.loop import train
from lib_lora.training.plan.run_file import Run, load_run
from lib_lora.training.session import open_session


def _tensors(path):
    return read(path).tensors


def _same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("kind", ["sd1", "sd2v", "sdxl"])
def test_every_family_trains_and_says_so(make_run, events, kind):
    run = make_run(kind, steps=2, lora={"te": True})
    path = train(run, events)
    assert path == run.checkpoint(2)
    lora = read(path)
    parts = {"sd1": 192 + 72, "sd2v": 192 + 138, "sdxl": 722 + 72 + 192}
    assert len(lora.layers) == parts[kind]
    assert lora.metadata["ss_steps"] == "2"
    assert lora.metadata["ss_output_name"] == path.stem
    steps = events.of("step")
    assert [event["step"] for event in steps] == [1, 2]
    for event in steps:
        assert event["total"] == 2
        assert event["loss"] > 0
        assert event["seconds_per_step"] > 0
        assert event["peak_memory"] > 1e8
    assert steps[-1]["seconds_left"] == 0
    assert [event["step"] for event in events.of("checkpoint")] == [2]
    if kind == "sdxl":  # its first encoder ends before its last layer, which therefore learns nothing
        end = "lora_te1_text_model_encoder_layers"
        ups = {key: tensor.any() for key, tensor in lora.tensors.items() if "lora_up" in key}
        last, before = ([up for key, up in ups.items() if key.startswith(f"{end}_{n}_")] for n in (11, 10))
        assert len(last) == len(before) == 6
        assert not any(last)
        assert all(before)


def test_a_toy_learns_its_photos(make_run, events, monkeypatch):
    """On fixed noise and timesteps the loss falls below half of the start."""
    monkeypatch.setattr(loop, "PROBE_ITEMS", 4)
    monkeypatch.setattr(loop, "PROBE_TIMESTEPS", (200, 600))
    lora = {"rank": 32, "alpha": 32, "conv_rank": 16, "conv_alpha": 16, "te": False}
    plain = {"min_snr_gamma": 0, "noise_offset": 0}
    run = make_run(photos=8, steps=200, unet_lr=5e-3, warmup=0.05, save_every=200, lora=lora, objective=plain)
    train(run, events)
    probes = events.of("probe")
    assert [probe["step"] for probe in probes] == [0, 200]
    assert probes[-1]["loss"] < 0.5 * probes[0]["loss"]


@pytest.fixture(params=[False, True], ids=["at once", "aside"])
def aside(request, monkeypatch):
    """Both ways to save: as on a CPU, and as on a GPU."""
    monkeypatch.setattr(saving, "worth_a_thread", lambda device: request.param)
    return request.param


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


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adafactor"},
        {"optimizer": "prodigy", "unet_lr": 1.0, "te_lr": 1.0},
        {"optimizer": "lion"},
        {"gradient_checkpointing": True, "accumulation": 2},
        {"caption_dropout": 0.5, "shuffle_tags": True, "tag_dropout": 0.3, "lora": {"te": False}},
        {"lora": {"use_dora": True, "dropout": 0.2}},
        {"lora": {"use_rslora": True, "conv_rank": 2}},
        {"precision": "bf16"},
        {"objective": {"loss_type": "huber", "multires_iterations": 2, "ip_noise_gamma": 0.1, "debiased": True}},
    ],
    ids=str,
)
def test_kinds_of_training_resume_to_the_same_file(make_run, events, settings, monkeypatch, tmp_path):
    """Every kind, gone on with from what lies on the disk as step 4 begins, ends with the tensors of the whole run."""
    whole = make_run(**settings)
    real, copy = loop._Loop.step, whole.folder.with_name("copy")

    def copied(self):
        if self.at.step == 3:
            shutil.copytree(whole.folder, copy)
        real(self)

    monkeypatch.setattr(loop._Loop, "step", copied)
    expected = _tensors(train(whole, events))
    monkeypatch.setattr(loop._Loop, "step", real)
    assert all(torch.isfinite(tensor.float()).all() for tensor in expected.values())
    resumed = train(load_run(copy), events)
    assert resumed.is_relative_to(copy)
    assert ("state", {"state": "resumed", "step": 2}) in events
    assert _same(_tensors(resumed), expected)


@pytest.mark.parametrize("settings", [{"optimizer": "adamw8bit"}, {"ema": 0.9}], ids=str)
def test_it_resumes_to_the_same_file_however_it_saves(make_run, events, settings, monkeypatch, aside):
    """Killed in step 4 and gone on with, a run ends with the tensors of a whole one."""
    expected = _tensors(train(make_run(**settings), events))
    broken = make_run(**settings)
    _killed_at(monkeypatch, broken, events, 4)
    resumed = train(load_run(broken.folder), events)
    assert ("state", {"state": "resumed", "step": 2}) in events
    assert _same(_tensors(resumed), expected)


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


def test_training_again_does_nothing_and_a_lost_file_comes_back(make_run, events):
    run = make_run(steps=2)
    expected = _tensors(train(run, events))
    before = len(events.of("step"))
    run.checkpoint(2).unlink()
    assert _same(_tensors(train(run, events)), expected)
    assert len(events.of("step")) == before


CHILD = """
import sys
from pathlib import Path
from lib_lora.runs.events import EventLog
from lib_lora.training.loop import train
from lib_lora.training.plan.run_file import load_run
from lib_lora.training.session import open_session
run = load_run(Path(sys.argv[1]))
train(run, EventLog(run.events))
"""


def _child(run, *prefix):
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    return subprocess.Popen([*(prefix or (sys.executable,)), "-c", CHILD, str(run.folder)], env=environment)


def _wait_for_step(run, step, child):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and child.poll() is None:
        if any(event["kind"] == "step" and event["step"] >= step for event in read_events(run.events)):
            return
        time.sleep(0.02)
    pytest.fail(f"the run did not reach step {step}")


def test_killed_at_any_moment_and_resumed_bit_for_bit(make_run, events):
    settings = {"steps": 6, "save_every": 3, "photos": 2}
    whole = make_run(**settings)
    first = _child(whole)
    assert first.wait(timeout=200) == 0
    for step in (1, 4):
        broken = make_run(**settings)
        child = _child(broken)
        _wait_for_step(broken, step, child)
        child.kill()  # SIGKILL; TerminateProcess on Windows
        child.wait()
        again = _child(broken)
        assert again.wait(timeout=200) == 0
        assert _same(_tensors(whole.checkpoint(6)), _tensors(broken.checkpoint(6)))
        assert not list(broken.folder.rglob("*.tmp"))


@pytest.mark.once("a signal is Python's to deliver and ours to follow")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a process can catch")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_and_end_cleanly(make_run, number):
    run = make_run(steps=500, save_every=500, photos=1)
    child = _child(run)
    _wait_for_step(run, 2, child)
    child.send_signal(number)
    child.send_signal(number)  # as when a launcher passes it on: the echo must not end it at once
    child.wait(timeout=60)
    done = [event for event in read_events(run.events) if event["kind"] == "state"][-1]
    assert done["state"] == "stopped"
    assert run.checkpoint(done["step"]).exists()
    assert [path.name for path in run.states.iterdir()] == [f"{done['step']:06d}.pt"]


def test_a_stop_file_saves_and_ends(make_run, events, aside):
    run = make_run(steps=500, save_every=500)

    def stop_after(kind, **fields):
        events(kind, **fields)
        if kind == "step" and fields["step"] == 3:
            (run.folder / "stop").touch()

    with pytest.raises(StoppedByUser, match="step 3 of 500"):
        train(run, stop_after)
    assert run.checkpoint(3).exists()
    assert not (run.folder / "stop").exists()


def test_it_can_be_trained_outside_the_main_thread(make_run, events):
    run, failed = make_run(steps=1), []

    def work():
        try:
            train(run, events)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failed
    assert run.checkpoint(1).exists()


def test_the_first_nan_stops_and_keeps_the_last_good_file(make_run, events, monkeypatch, aside):
    run = make_run(steps=6)
    real = loop._Loop._accumulate

    def poisoned(self, micro):
        if micro == 4:
            self.session.parameters[0].data.fill_(float("nan"))
        return real(self, micro)

    monkeypatch.setattr(loop._Loop, "_accumulate", poisoned)
    with raises("training-diverged", has="-000004") as caught:
        train(run, events)
    assert events.of("error") == [{"text": str(caught.value), "step": 4}]
    assert [path.name.rsplit("-", 1)[1] for path in sorted(run.checkpoints.iterdir())] == [
        "000002.safetensors",
        "000004.safetensors",
    ]
    assert all(torch.isfinite(tensor.float()).all() for tensor in _tensors(run.checkpoint(4)).values())


def test_a_loss_that_is_no_number_names_its_photo_and_hurts_no_weight(make_run, events, monkeypatch):
    run = make_run(steps=3, accumulation=2)
    real, seen = loop._Loop._accumulate, {}

    def poisoned(self, micro):
        loss, batch = real(self, micro)
        if micro == 3:  # the second half of the second step
            seen["photo"] = Path(self.session.items[batch[0]].photo.file).name
            seen["before"] = [parameter.detach().clone() for parameter in self.session.parameters]
            seen["parameters"] = self.session.parameters
            loss = loss * float("nan")
        return loss, batch

    monkeypatch.setattr(loop._Loop, "_accumulate", poisoned)
    with raises("training-diverged", has=("Step 2: the loss (photos", ") is no longer a number")) as caught:
        train(run, events)
    assert seen["photo"] in str(caught.value)
    assert all(map(torch.equal, seen["before"], seen["parameters"]))
    assert [event["step"] for event in events.of("step")] == [1]


def test_an_infinite_gradient_stops_before_the_weights_are_hurt(make_run, events, monkeypatch):
    run = make_run(steps=6)
    real = loop._Loop._share_gradients

    def poisoned(self):
        real(self)
        if self.at.step == 2:
            self.session.parameters[0].grad.fill_(float("inf"))

    monkeypatch.setattr(loop._Loop, "_share_gradients", poisoned)
    with raises("training-diverged", has="Step 3: the gradient is no longer a number"):
        train(run, events)


def test_a_full_disk_is_one_sentence_and_loses_nothing(make_run, events, monkeypatch, aside):
    run = make_run(steps=6)
    real, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if (run.states / "000002.pt").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with raises("disk-full", has="-00000"):
        train(run, events)
    monkeypatch.undo()
    assert [path.name for path in run.checkpoints.iterdir()] == [run.checkpoint(2).name]
    assert train(run, events) == run.checkpoint(6)


def test_a_disk_that_fills_while_the_state_is_written(make_run, events, monkeypatch, aside):
    run = make_run(steps=4)
    real = open

    class Full:
        def __init__(self, stream):
            self.stream = stream

        def __enter__(self):
            return self

        def __exit__(self, *reason):
            self.stream.close()

        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    def opened(path, *arguments, **named):
        stream = real(path, *arguments, **named)
        return Full(stream) if ".pt." in str(path) and run.checkpoint(4).exists() else stream

    monkeypatch.setattr("builtins.open", opened)
    with raises("disk-full", has="000004.pt"):
        train(run, events)
    monkeypatch.undo()
    assert [path.name for path in run.states.iterdir()] == ["000002.pt"]
    assert train(run, events) == run.checkpoint(4)


@pytest.mark.parametrize("step", [1, 3])
def test_who_asks_to_end_waits_for_no_check_loss(make_run, events, aside, step):
    """On a busy machine a check loss takes a minute; by then all is on the disk."""
    run = make_run(steps=500, save_every=500)
    saved = []

    def stop_after(kind, **fields):
        events(kind, **fields)
        if kind == "step" and fields["step"] == step:
            (run.folder / "stop").touch()
        if kind == "probe":
            saved.append((fields["step"], run.checkpoint(step).exists(), (run.states / f"{step:06d}.pt").exists()))

    with pytest.raises(StoppedByUser):
        train(run, stop_after)
    early = (0, False, False) if step > 1 else (0, True, True)  # the base's own is computed after the first step
    assert saved == [early, (step, True, True)]
    assert [fields["state"] for kind, fields in events if kind == "state"][-1] == "stopped"


def test_stopped_before_anything_was_learned_it_can_still_be_resumed(make_run, events, aside):
    run = make_run(steps=300, save_every=300, optimizer="prodigy", unet_lr=1.0, te_lr=1.0, warmup=0.5)

    def stop_at_once(kind, **fields):
        events(kind, **fields)
        if kind == "step":
            (run.folder / "stop").touch()

    with pytest.raises(StoppedByUser):
        train(run, stop_at_once)
    assert "all zero" in events.of("warning")[0]["text"]
    assert [path.name for path in run.states.iterdir()] == ["000001.pt"]
    assert not run.checkpoint(1).exists()


def test_the_next_steps_do_not_wait_for_a_slow_disk(make_run, events, monkeypatch):
    """And what is written then is what was there when it was taken."""
    monkeypatch.setattr(saving, "worth_a_thread", lambda device: True)
    run, expected = make_run(steps=6), make_run(steps=6)
    train(expected, events)
    events.clear()
    real, seen = saving.write_checkpoint, []

    def slow(session, step, tensors):
        if step == 2:
            deadline = time.monotonic() + 60
            while len(events.of("step")) < 4 and time.monotonic() < deadline:
                time.sleep(0.01)
        seen.append((step, len(events.of("step")), threading.current_thread() is threading.main_thread()))
        return real(session, step, tensors)

    monkeypatch.setattr(saving, "write_checkpoint", slow)
    train(run, events)
    assert seen[0] == (2, 4, False)
    assert [event["step"] for event in events.of("checkpoint")] == [2, 4, 6]
    order = [(kind, fields.get("step")) for kind, fields in events]
    assert order.index(("step", 4)) < order.index(("checkpoint", 2)) < order.index(("step", 5))
    assert order.index(("checkpoint", 6)) < order.index(("state", 6))
    for step in (2, 4, 6):
        assert _same(_tensors(run.checkpoint(step)), _tensors(expected.checkpoint(step)))


@pytest.fixture
def fails_once(monkeypatch):
    """The first state that is written aside finds the disk full."""
    monkeypatch.setattr(saving, "worth_a_thread", lambda device: True)
    real, failed = saving.states.save, threading.Event()

    def save(*arguments):
        if not failed.is_set():
            failed.set()
            raise UserError("The disk was full.", code="some-fault")
        return real(*arguments)

    monkeypatch.setattr(saving.states, "save", save)
    return failed


def test_a_save_that_fails_is_made_up_for_as_soon_as_it_is_known(make_run, events, fails_once):
    run = make_run(steps=8, save_every=2)
    train(run, events)
    (warning,) = events.of("warning")
    assert re.fullmatch(r"The disk was full\. Step [34] was saved\.", warning["text"])
    assert [path.name for path in sorted(run.states.iterdir())] == ["000006.pt", "000008.pt"]
    assert {2, 4, 6, 8} <= {event["step"] for event in events.of("checkpoint")}


def test_a_stop_saves_even_if_the_last_save_failed(make_run, events, fails_once):
    run = make_run(steps=8, save_every=2)

    def stop_at_once(kind, **fields):
        events(kind, **fields)
        if kind == "step" and fields["step"] == 3:
            assert fails_once.wait(60)
            (run.folder / "stop").touch()

    with pytest.raises(StoppedByUser, match="after step 3"):
        train(run, stop_at_once)
    assert [path.name for path in run.states.iterdir()] == ["000003.pt"]


@pytest.mark.parametrize("fails", [False, True])
def test_what_ends_a_training_does_not_hide_what_became_of_the_last_save(make_run, events, monkeypatch, fails):
    monkeypatch.setattr(saving, "worth_a_thread", lambda device: True)
    run, real, go_on = make_run(steps=6), saving.write_checkpoint, threading.Event()

    def slow(*arguments):
        go_on.wait(60)
        if fails:
            raise UserError("The disk was full.", code="some-fault")
        return real(*arguments)

    def full(self, micro):
        if micro == 2:
            go_on.set()
            raise torch.cuda.OutOfMemoryError
        return accumulate(self, micro)

    accumulate = loop._Loop._accumulate
    monkeypatch.setattr(saving, "write_checkpoint", slow)
    monkeypatch.setattr(loop._Loop, "_accumulate", full)
    with raises("out-of-memory", has="2"):
        train(run, events)
    assert [event["step"] for event in events.of("checkpoint")] == ([] if fails else [2])
    assert [event["text"] for event in events.of("warning")] == (["The disk was full."] if fails else [])


def test_a_second_interruption_while_it_waits_for_the_disk_loses_no_event(make_run, events, monkeypatch):
    monkeypatch.setattr(saving, "worth_a_thread", lambda device: True)
    real, interrupted = saving.Future.exception, []

    def impatient(self, timeout=None):
        if not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        return real(self, timeout)

    monkeypatch.setattr(saving.Future, "exception", impatient)
    with pytest.raises(KeyboardInterrupt):
        train(make_run(steps=2), events)
    assert [event["step"] for event in events.of("checkpoint")] == [2]


def test_without_memory_for_copies_it_saves_at_once(make_run, events, monkeypatch):
    monkeypatch.setattr(saving, "worth_a_thread", lambda device: True)
    monkeypatch.setattr(saving, "free_bytes", lambda device: 1 << 10)
    monkeypatch.setattr(saving.ThreadPoolExecutor, "submit", lambda *_: pytest.fail("a thread was used"))
    run = make_run(steps=2)
    assert train(run, events) == run.checkpoint(2)


def test_half_written_files_of_a_killed_process_are_cleared(make_run, events):
    run = make_run(steps=1)
    run.states.mkdir()
    (run.states / "000001.pt.999.tmp").write_bytes(b"x")
    train(run, events)
    assert not list(run.folder.rglob("*.tmp"))


def test_memory_that_runs_out_is_one_sentence(make_run, events, monkeypatch):
    run = make_run(steps=4)

    def fail(self, *arguments):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried ...")

    monkeypatch.setattr("lib_lora.training.forward.Forward.training", fail)
    with raises("out-of-memory", has=("0", "gradient_checkpointing")):
        train(run, events)


def test_memory_that_runs_over_on_windows_is_said_once(make_run, events, monkeypatch):
    run = make_run(steps=3)
    monkeypatch.setattr(loop, "spilled", lambda device: True)
    train(run, events)
    (warning,) = [event["text"] for event in events.of("warning") if "ten times slower" in event["text"]]
    assert "gradient_checkpointing true" in warning


@pytest.mark.parametrize(
    ("system", "held", "free", "over"),
    [
        ("win32", 7.9, 0.0, True),
        ("win32", 9.5, 0.0, True),
        ("win32", 5.0, 0.0, True),  # another program has the rest
        ("win32", 6.0, 1.5, False),
        ("win32", 1.0, 0.0, False),
        ("linux", 7.9, 0.0, False),
    ],
)
def test_when_memory_has_run_over(monkeypatch, system, held, free, over):
    monkeypatch.setattr(memory.sys, "platform", system)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (int(free * 2**30), 8 * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: int(held * 2**30))
    assert memory.spilled(torch.device("cuda")) is over
    assert not memory.spilled(torch.device("cpu"))


def test_too_little_memory_or_disk_is_said_before_the_start(make_run, events, monkeypatch):
    run = make_run(steps=4)
    monkeypatch.setattr("lib_lora.training.checks.free_bytes", lambda device: 1000)
    with raises("memory-too-small", has="toy-sd1.safetensors"):
        train(run, events)
    monkeypatch.undo()
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("U", (), {"free": 1000})())
    with raises("disk-space-too-small"):
        train(run, events)


def test_a_vanished_photo_is_named(make_run, events):
    run = make_run(steps=2)
    (run.character_folder.photos / "01.jpg").unlink()
    with raises("file-missing", has="01.jpg"):
        train(run, events)


def test_a_photo_that_changed_is_named_and_not_cached(make_run, events):
    run = make_run(steps=2)
    path = run.character_folder.photos / "01.jpg"
    path.write_bytes(path.read_bytes()[:2000])
    with raises("photo-changed", has="01.jpg"):
        train(run, events)
    assert not list(run.character_folder.cache.glob("latents/*"))


def test_a_corrupt_photo_is_named(make_run, events):
    path = make_run(photos=2).character_folder.photos / "01.jpg"
    path.write_bytes(path.read_bytes()[:2000])
    run = make_run(photos=0, steps=2)
    with raises("photo-damaged", has="01.jpg is damaged"):
        train(run, events)


def test_an_unwritable_folder_is_one_sentence(make_run, events, monkeypatch):
    run = make_run(steps=2)

    def denied(source, target):
        raise PermissionError(errno.EACCES, "Permission denied", str(target))

    monkeypatch.setattr("lib_lora.files.replace", denied)
    with raises("permission-denied"):
        train(run, events)


def test_a_weight_that_finds_no_face_is_said(make_run, events):
    run = make_run(steps=1, face_weight=2.0)
    open_session(run, events)
    assert events.of("warning") == []
    bare = replace(run.file, photos=[replace(photo, regions=[]) for photo in run.file.photos])
    open_session(Run(run.folder, bare), events)
    (warning,) = events.of("warning")
    assert warning["text"].startswith("No face is found on any photo")


def test_prior_pictures_and_face_weights_take_part(make_run, events, tmp_path):
    classes = tmp_path / "classes"
    classes.mkdir()
    for photo in sorted((Path(__file__).parents[1] / "data" / "personas" / "mara").iterdir())[5:7]:
        shutil.copy(photo, classes)
    run = make_run(steps=3, class_photos=str(classes), face_weight=3.0, objective={"prior_loss_weight": 0.5})
    assert sum(photo.prior for photo in run.file.photos) == 2
    assert all(len(photo.regions) == 1 for photo in run.file.photos if not photo.prior)
    train(run, events)
    assert read(run.checkpoint(3)).metadata["ss_num_reg_images"] == "2"
    session = open_session(make_run(steps=0, passes=5, class_photos=str(classes)), events)
    assert session.total == 30  # three photos, and as many class pictures, five times each


def test_one_process_reads_its_own_event_log(make_run):
    run = make_run(steps=2)
    train(run, EventLog(run.events))
    kinds = [event["kind"] for event in read_events(run.events)]
    assert kinds.count("step") == 2
    assert kinds[-1] == "state"
