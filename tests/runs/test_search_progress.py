"""The progress of a search over several grids: one count, whose time left does not begin anew with each of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lib_lora.queue.job_progress import JobProgress, fold
from lib_lora.runs.events import EventLog
from lib_lora.runs.records.run_history import without_interrupted
from lib_lora.runs.search_progress import SearchProgress
from lib_lora.training.plan.run_file import Run, RunBase, RunFile
from lib_lora.training.plan.train_settings import TrainSettings


class Heard:
    """Events as they come, one each ten seconds, and where the job stands after each."""

    def __init__(self):
        self.progress, self.seen, self.others = JobProgress(), [], []

    def __call__(self, kind, **fields):
        if kind != "painting":
            self.others.append(kind)
        self.progress = fold(self.progress, {"t": 10.0 * len(self.seen), "kind": kind, **fields})
        self.seen.append((self.progress.done, self.progress.total))


def paint(rounds, there, total):
    """The events of a grid, as `test_grid.paint_and_score` emits them."""
    for done in range(there, total + 1):
        rounds("painting", done=done, total=total)
    rounds("progress", done=0, total=1, text="Measuring the faces")
    rounds("grid", verdict="consistent")


def test_all_rounds_are_one_count():
    heard = Heard()
    rounds = SearchProgress(heard, [3, 2, 4])
    rounds.begin("step 10 at weight 0.6")
    assert (heard.progress.done, heard.progress.total) == (0, 9)
    paint(rounds, 0, 3)
    assert (heard.progress.done, heard.progress.total) == (3, 9)
    assert heard.progress.text == "Round 1 of 3: step 10 at weight 0.6, measuring the faces"
    left = heard.progress.seconds_left
    assert left == pytest.approx(heard.progress.rate * 6)  # of all rounds, not of this one
    rounds.begin("step 20 at weight 0.6")
    paint(rounds, 5, 7)  # five of them are there already
    assert (heard.progress.done, heard.progress.total) == (5, 9)
    rounds.begin("step 20 at weight 1")
    paint(rounds, 0, 4)
    assert (heard.progress.done, heard.progress.total, heard.progress.seconds_left) == (9, 9, 0)
    assert heard.seen == sorted(heard.seen)
    assert heard.others == ["grid"] * 3


def test_a_round_that_needs_no_picture_and_one_that_needs_more_correct_the_whole():
    heard = Heard()
    rounds = SearchProgress(heard, [3, 3, 3])
    rounds.begin("a")  # judged already: it counts nothing
    rounds.begin("b")
    assert (heard.progress.done, heard.progress.total) == (0, 6)
    paint(rounds, 0, 5)
    assert (heard.progress.done, heard.progress.total) == (5, 8)


def test_a_round_that_was_not_planned_takes_no_others_place():
    heard = Heard()
    rounds = SearchProgress(heard, [5, 4])
    rounds.begin("a")
    paint(rounds, 0, 5)
    rounds.begin("a, on more prompts", 2)
    assert heard.progress.text == "Round 2 of 3: a, on more prompts"
    assert (heard.progress.done, heard.progress.total) == (5, 11)
    paint(rounds, 5, 7)
    rounds.begin("b")
    assert (heard.progress.text, heard.progress.done, heard.progress.total) == ("Round 3 of 3: b", 7, 11)


def test_what_is_confirmed_is_known_only_after_the_screening():
    heard = Heard()
    rounds = SearchProgress(heard, [1, 10, 10, 10])
    rounds.begin("a")
    assert heard.progress.text == "Round 1 of 4: a"
    paint(rounds, 0, 1)
    rounds.replan([4])
    rounds.begin("b")
    assert heard.progress.text == "Round 2 of 2: b"
    assert (heard.progress.done, heard.progress.total) == (1, 5)
    rounds("warning", text="mind this")
    assert heard.progress.warnings == ["mind this"]


def test_where_nothing_is_confirmed_all_is_painted():
    heard = Heard()
    rounds = SearchProgress(heard, [2, 10])
    rounds.begin("a")
    paint(rounds, 0, 2)
    rounds.replan([])
    assert (heard.progress.done, heard.progress.total) == (2, 2)


# -- checkpoints of interruptions


@pytest.fixture
def run(tmp_path):
    origin = RunBase("/models/base.safetensors", "0" * 64, "sd1", "epsilon", False)
    file = RunFile("001", "mara-001", "", None, origin, TrainSettings(steps=100), [], "", {})
    return Run(tmp_path, file)


def test_steps_at_which_a_training_was_interrupted_are_left_out(run):
    emit = EventLog(run.events)
    saved = [10, 17, 20, 30, 33, 40]
    assert without_interrupted(run, saved) == saved  # nothing says so
    for step in (17, 30, 33):
        emit("state", state="stopped", step=step, total=100)
        emit("state", state="resumed", step=step)
    emit("state", state="stopped")  # as Ctrl+C while it paints leaves it
    assert without_interrupted(run, saved) == [10, 20, 30, 40]


def test_where_the_training_was_stopped_for_good_is_its_end(run):
    EventLog(run.events)("state", state="stopped", step=47, total=100)
    assert without_interrupted(run, [10, 47]) == [10, 47]
    assert without_interrupted(run, [10, 47, 50]) == [10, 50]
    assert without_interrupted(run, []) == []


def test_the_schedule_is_that_of_the_time_of_the_interruption(run):
    """More steps were asked for later: every 40 then, every 10 before."""
    emit = EventLog(run.events)
    emit("state", state="stopped", step=30, total=100)
    emit("state", state="stopped", step=130, total=400)
    longer = Run(run.folder, replace(run.file, settings=TrainSettings(steps=400)))
    assert without_interrupted(longer, [30, 100, 120, 130, 160]) == [30, 100, 120, 160]


def test_a_schedule_that_was_set_counts(run):
    EventLog(run.events)("state", state="stopped", step=30, total=100)
    set_so = Run(run.folder, replace(run.file, settings=TrainSettings(steps=100, save_every=25)))
    assert without_interrupted(set_so, [25, 30, 50]) == [25, 50]
