"""Inventing as jobs of the queue: what they say while they paint, and that a stop, or an end, loses nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

import pytest
from faults import raises
from pasting_painter import MINI, WHO, Pasting

from lib_lora.character.store import Character, create, declare_consent
from lib_lora.errors import StoppedByUser
from lib_lora.queue.job_progress import Follower
from lib_lora.queue.job_types import arguments_of
from lib_lora.runs.events import EventLog, read_events
from lib_lora.workflows.invent import invent, invent_more
from lib_lora.workflows.invent.invented_folder import InventedFolder
from lib_lora.workflows.photos import audit_cache
from lib_lora.workflows.photos.new_character import NewCharacter
from lib_lora.workflows.worker import work_invent
from lib_lora.workflows.worker.work import JobContext, do

pytestmark = pytest.mark.once("what is counted and kept is ours; test_diffusers_painter.py paints with these versions")

NAME = "Nova ü"


class Ends:
    """An event log, which ends the work after so many painted pictures."""

    def __init__(self, path):
        self.log, self.path, self.left = EventLog(path), path, None

    def __call__(self, kind, **fields):
        self.log(kind, **fields)
        if self.left is not None and kind == "painting":
            self.left -= 1
            if not self.left:
                raise StoppedByUser("Stopped.", code="work-stopped")

    @property
    def progress(self):
        return Follower(self.path).read()


@pytest.fixture
def way(tmp_path, eye, monkeypatch):
    """(what to do with a kind and its arguments, the events, the folder, the painter)."""
    painter = Pasting(("mara", "ines", "none", "mara", "mara"))
    painting = {"painter": painter, "engine": eye}
    monkeypatch.setattr(work_invent, "candidates", partial(invent.candidates, **painting))

    def more(root, name, request, each):
        return invent_more.more(root, name, replace(request, strangers=6), each=each, **painting)

    monkeypatch.setattr(work_invent, "more", more)
    folder = create(tmp_path, Character(NAME, "nvxa", "woman", declare_consent("fictional")))
    emit = Ends(tmp_path / "jobs" / "1" / "events.jsonl")
    context = JobContext(tmp_path, NAME, emit.path.parent, None, emit, lambda run: None)
    return lambda kind, **values: do(arguments_of(kind, values), context), emit, folder, painter


def test_faces_are_painted_stopped_and_gone_on_with(way):
    run, emit, folder, painter = way
    emit.left = 2
    with raises("work-stopped"):
        run("invent", describe=WHO, base=str(MINI), candidates=6)
    assert emit.progress.text == "Painted 2 of 6 pictures"
    assert [one.number for one in InventedFolder(folder).painted()] == [1, 2]
    emit.left = None
    found = run("invent", describe=WHO, base=str(MINI), candidates=6)
    assert (found["painted"], found["good"], len(found["alike"])) == (6, 6, 6)
    assert found["best"] in [one.number for one in InventedFolder(folder).painted() if one.doubt == ""]
    assert found["best_turns"] is not None
    told = [event.get("text", "") for event in read_events(emit.path)]
    assert re.fullmatch(r"Checking whether face \d can be painted from the side", told[-1])
    assert [cell.seed for cell in painter.cells if cell.start is None] == [1, 2, 3, 4, 5, 6]  # none twice
    assert (emit.progress.done, emit.progress.total) == (6, 6)


def test_more_pictures_are_counted_over_a_stop_and_looked_through(way, tmp_path, eye):
    run, emit, folder, painter = way
    run("invent", describe=WHO, base=str(MINI), candidates=6)
    invent.pick(tmp_path, NewCharacter(NAME, "nvxa", "woman"), 1, engine=eye)
    candidates = len(painter.cells)
    emit.left = 3
    with raises("work-stopped"):
        run("more", count=20, budget=5)
    assert emit.progress.text == "1 kept of 3 painted"
    emit.left = None
    found = run("more", count=20, budget=5)
    assert (found["painted"], found["budget_spent"]) == (5, True)
    assert len(painter.cells) - candidates == 5
    assert emit.progress.text == f"{found['kept']} kept of 5 painted"
    told = audit_cache.kept(folder)
    assert len(told.photos) == found["kept"] + 1 == found["photos"]
    assert told.shown["resolution"] == 128  # that of the base, not that of Stable Diffusion


def test_a_wrong_use_is_one_sentence(way, tmp_path):
    from lib_lora.queue.running.worker_pipe import WorkerPipe
    from lib_lora.workflows.worker.work import came_of

    run, *_ = way
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no model")
    pipe = WorkerPipe(0, 1)
    for kind, values in (("more", {}), ("invent", {"describe": "x", "base": str(broken)})):
        told = came_of(lambda kind=kind, values=values: run(kind, **values), pipe)
        assert told["state"] == "failed"
        assert told["error"].count("\n") == 0
        assert "It failed with" not in told["error"]
