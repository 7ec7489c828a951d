"""The loop on toys: what it says and saves when something goes wrong around it."""

import errno
import os
import re
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from faults import raises
from training_runs import same, started, tensors_of, wait_for_step

from lib_lora.character.caption_files import template
from lib_lora.errors import UserError
from lib_lora.models.fast import memory
from lib_lora.runs.events import read_events
from lib_lora.training import distributed, loop, saving
from lib_lora.training.loop import train
from lib_lora.training.plan.device_choice import kind_of
from lib_lora.training.plan.run_file import Run
from lib_lora.training.session import open_session

pytestmark = pytest.mark.once(
    "what the loop makes of full disks, threads, signals and bad photos; no version changes it"
)


@pytest.fixture
def make_run(make_run):
    """Without the text encoder, which takes no part in any of this, and of the smallest model."""

    def make(kind="flow", **settings):
        return make_run(kind, **{"lora": {"te": False}, **settings})

    return make


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a process can catch")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_and_end_cleanly(make_run, number):
    run = make_run("sd1", steps=500, save_every=500, photos=1)
    child = started(run)
    wait_for_step(run, 2, child)
    assert child.pid is not None
    os.kill(child.pid, number)
    os.kill(child.pid, number)  # as when a launcher passes it on: the echo must not end it at once
    child.join(60)
    done = [event for event in read_events(run.events) if event["kind"] == "state"][-1]
    assert done["state"] == "stopped"
    assert run.checkpoint(done["step"]).exists()
    assert [path.name for path in run.states.iterdir()] == [f"{done['step']:06d}.pt"]


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


def test_a_full_disk_is_one_sentence_and_loses_nothing(make_run, events, monkeypatch, aside):
    run = make_run(steps=4)
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
    assert train(run, events) == run.checkpoint(4)


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


@pytest.mark.parametrize(
    ("aside", "step"), [(True, 1), (True, 3), (False, 3)], ids=["aside-1", "aside-3", "at once-3"], indirect=["aside"]
)
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

    with raises("training-stopped"):
        train(run, stop_after)
    early = (0, False, False) if step > 1 else (0, True, True)  # the base's own is computed after the first step
    assert saved == [early, (step, True, True)]
    assert [fields["state"] for kind, fields in events if kind == "state"][-1] == "stopped"


def test_the_next_steps_do_not_wait_for_a_slow_disk(make_run, events, monkeypatch):
    """And what is written then is what was there when it was taken."""
    monkeypatch.setattr(saving, "worth_a_thread", lambda device: True)
    run, expected = make_run(steps=5), make_run(steps=5)
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
    assert [event["step"] for event in events.of("checkpoint")] == [2, 4, 5]
    order = [(kind, fields.get("step")) for kind, fields in events]
    assert order.index(("step", 4)) < order.index(("checkpoint", 2)) < order.index(("step", 5))
    assert order.index(("checkpoint", 5)) < order.index(("state", 5))
    for step in (2, 4, 5):
        assert same(tensors_of(run.checkpoint(step)), tensors_of(expected.checkpoint(step)))


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
    run = make_run(steps=6, save_every=2)
    train(run, events)
    (warning,) = events.of("warning")
    assert re.fullmatch(r"The disk was full\. Step [34] was saved\.", warning["text"])
    assert [path.name for path in sorted(run.states.iterdir())] == ["000004.pt", "000006.pt"]
    assert {2, 4, 6} <= {event["step"] for event in events.of("checkpoint")}


def test_a_stop_saves_even_if_the_last_save_failed(make_run, events, fails_once):
    run = make_run(steps=8, save_every=2)

    def stop_at_once(kind, **fields):
        events(kind, **fields)
        if kind == "step" and fields["step"] == 3:
            assert fails_once.wait(60)
            (run.folder / "stop").touch()

    with raises("training-stopped", step=3):
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
    (warning,) = [event["text"] for event in events.of("warning") if event["code"] == "gpu-memory-full"]
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
    with raises("memory-too-small", has="toy-flow.safetensors"):
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
    assert warning["code"] == "face-weight-without-face"


def _opened_with_captions(run, caption, events):
    photos = [replace(photo, caption=caption) for photo in run.file.photos]
    open_session(Run(run.folder, replace(run.file, photos=photos)), events)


def test_preservation_for_a_trigger_that_means_nothing_of_its_own_is_said(make_run, events):
    deaf = {"preservation_weight": 1.0, "lora": {"te": False}}
    _opened_with_captions(make_run(steps=1, **deaf), "photo of mrxa woman, smiling", events)
    (warning,) = events.of("warning")
    assert warning["code"] == "preservation-without-text"
    _opened_with_captions(make_run(steps=1, **deaf, trigger_vectors=1), "photo of mrxa woman, smiling", events)
    assert events.of("warning") == [warning]


def test_preservation_with_captions_that_only_say_who_it_is_is_said(make_run, events):
    run = make_run(steps=1, preservation_weight=1.0, lora={"te": True}, te_lr=1e-4)
    _opened_with_captions(run, f"{template(run.file.character)}, smiling", events)
    assert events.of("warning") == []
    _opened_with_captions(run, template(run.file.character), events)
    (warning,) = events.of("warning")
    assert warning["code"] == "preservation-plain-captions"


@pytest.mark.skipif(kind_of(distributed.torch_facts()) != "cpu", reason="a training on a CPU says it")
def test_a_gpu_that_is_left_unused_is_said_and_loading_does_not_wait_for_its_driver(make_run, events, monkeypatch):
    loading = threading.Event()

    def emit(kind, **fields):
        events(kind, **fields)
        if kind == "data":
            loading.set()

    def look():
        assert loading.wait(60)
        return "Training uses the CPU."

    monkeypatch.setattr(distributed, "gpu_left_unused", look)
    run = make_run(steps=1)
    open_session(run, emit)
    assert events.of("warning") == [{"code": "gpu-left-unused", "text": "Training uses the CPU."}]
    monkeypatch.setattr(distributed, "gpu_left_unused", lambda: 1 / 0)
    open_session(run, emit)
    assert len(events.of("warning")) == 1
