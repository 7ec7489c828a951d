"""What a training measures of its own checkpoints, without painting: which cells, and what is made of what they show.

That identity rises where a face is learned is shown in test_training_a_face.py.
"""

import shutil
from dataclasses import replace

import pytest
from faults import raises
from planting import plant_run

from lib_lora.character.store import Character, create
from lib_lora.runs.events import EventLog
from lib_lora.runs.records.run_history import history_of
from lib_lora.training.plan.checkpoint_test import LEAK_PICTURES, LORA_PICTURES, measured_steps
from lib_lora.training.plan.estimate import pictures_left
from lib_lora.training.plan.run_file import load_run
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workflows.train.likeness_curve import SHOWN, curve_of, no_longer_rises, to_keep
from lib_lora.workflows.train.prepare import asked_for


@pytest.fixture
def run(tmp_path):
    return load_run(plant_run(create(tmp_path, Character("Mara", "mrxa", "woman")), saved=[10]))


def asking(run, **settings):
    return replace(run, file=replace(run.file, settings=replace(run.file.settings, **settings)))


def test_only_who_asks_for_it_is_measured(run):
    assert curve_of(asking(run, likeness_curve=False), print) is None
    assert curve_of(asking(run, likeness_curve=True), print) is not None


def test_its_pictures_ask_for_what_is_measured(run):
    cells = curve_of(asking(run, likeness_curve=True), print).cells
    assert (len(cells["lora"]), len(cells["leak"]), len(cells["base"])) == (LORA_PICTURES, LEAK_PICTURES, LORA_PICTURES)
    assert {cell.name for cell in cells["lora"]} == set(SHOWN)
    assert sum(cell.angle == "turned" for cell in cells["lora"]) == 2
    assert all("mrxa woman" in cell.prompt for cell in cells["lora"])
    assert not any("mrxa" in cell.prompt for role in ("leak", "base") for cell in cells[role])
    assert [cell.seed for cell in cells["base"]] == [cell.seed for cell in cells["lora"]]


def test_what_cannot_be_measured_is_an_error_that_names_the_reason(run):
    test = curve_of(asking(run, likeness_curve=True), print)
    with raises("no-measurable-face"):
        test.check()


def test_too_few_photos_are_said_before_anything_is_painted(run, some_photos):
    for photo in some_photos("mara", 3).iterdir():
        shutil.copy(photo, run.character_folder.photos)
    with raises("likeness-not-measurable"):
        curve_of(asking(run, likeness_curve=True), print).check()


def test_a_judge_that_is_part_of_the_training_is_said(run, some_photos):
    for photo in some_photos("mara", 8).iterdir():
        shutil.copy(photo, run.character_folder.photos)
    said = []
    for weight in (0.0, 0.1):
        asked = asking(run, likeness_curve=True, identity_loss_weight=weight)
        curve = curve_of(asked, lambda kind, **fields: said.append((kind, fields["code"])))
        curve.check()
        curve.check()  # as a training that goes on does
    assert said == [("warning", "judge-has-trained")]


@pytest.mark.parametrize(
    ("identities", "over"),
    [
        ({}, False),
        ({10: 0.5, 20: 0.4}, False),  # two alone say nothing
        ({10: 0.5, 20: 0.5, 30: 0.5}, True),
        ({10: 0.5, 20: 0.4, 30: 0.505}, True),  # a smaller rise is none
        ({10: 0.5, 20: 0.4, 30: 0.52}, False),
        ({30: 0.4, 10: 0.3, 20: 0.5}, False),  # by step, in whichever order they came
        ({10: 0.3, 20: 0.5, 30: 0.5, 40: 0.5}, True),
        ({10: 0.0, 20: 0.0, 30: 0.0, 40: 0.3}, False),  # it has not begun to learn
    ],
)
def test_two_checkpoints_without_a_rise_are_enough(identities, over):
    assert no_longer_rises(identities) is over


@pytest.mark.parametrize(
    ("identities", "kept"),
    [
        ({10: 0.5, 20: 0.6, 30: 0.6}, 20),  # the first of those that are alike
        ({10: 0.595, 20: 0.6, 30: 0.55}, 10),
        ({30: 0.62, 10: 0.5, 20: 0.6}, 30),
        ({10: 0.5}, 10),
    ],
)
def test_of_steps_that_keep_as_much_of_the_face_the_first_is_kept(identities, kept):
    assert to_keep(identities) == kept


def test_a_run_that_goes_on_remembers_what_was_measured(run):
    emit = EventLog(run.events)
    for step, identity in ((10, 0.5), (20, None), (30, 0.6)):
        emit("likeness", step=step, identity=identity, only_when_asked=0.1)
    asked = asking(run, likeness_curve=True)
    assert curve_of(asked, print).judge.identities == {10: 0.5, 30: 0.6}
    assert curve_of(asked, print).known == {10, 20, 30}
    goes_on = replace(asked, file=replace(asked.file, restart=20))  # its learning rate begins anew, and so the waiting
    assert curve_of(goes_on, print).judge.identities == {30: 0.6}
    emit("likeness", step=20, identity=0.7, variety="wide", seconds=1.0)  # killed, and gone on from step 10
    measured = history_of(run.events).likeness
    assert [one["step"] for one in measured] == [10, 20]
    assert (measured[1]["identity"], measured[1]["only_when_asked"], measured[1]["variety"]) == (0.7, None, None)


def test_another_machine_compares_no_faces(toy):
    asked = {"likeness_curve": True, "stop_early": True}
    assert asked_for(TrainingRequest(toy("sd1"), overrides=asked)).train.stop_early
    with raises("stop-early-elsewhere"):
        asked_for(TrainingRequest(toy("sd1"), overrides=asked, elsewhere=True))


@pytest.mark.parametrize(
    ("total", "interval", "tested"),
    [
        (100, 10, [20, 40, 60, 80, 100]),
        (100, 30, [30, 60, 90, 100]),
        (5, 1, [1, 2, 3, 4, 5]),
        (7, 50, [7]),
        (65, 10, [10, 30, 40, 60, 65]),
    ],
)
def test_five_checkpoints_at_most_and_always_the_last(total, interval, tested):
    assert sorted(measured_steps(total, interval)) == tested


@pytest.mark.parametrize("curve", [False, True])
def test_pictures_of_a_run_are_counted_by_its_checkpoints(curve):
    for total in (1, 7, 65, 100):
        for interval in (1, 10, 50):
            train = TrainSettings(save_every=interval, sample_prompts=["one", "two"], likeness_curve=curve)
            for done in (0, 1, 10, 49, 50, 60, 64, 65, 100, 110):
                saved = [step for step in (*range(interval, total, interval), total) if step > done]
                tested = measured_steps(total, interval).intersection(saved)
                measured = bool(saved and not done) * LORA_PICTURES + len(tested) * (LORA_PICTURES + LEAK_PICTURES)
                assert pictures_left(train, done, total) == 2 * len(saved) + curve * measured


def test_checkpoints_are_counted_without_a_list_of_them():
    train = TrainSettings(save_every=1, sample_prompts=["one", "two"], likeness_curve=True)
    measured = LORA_PICTURES + 5 * (LORA_PICTURES + LEAK_PICTURES)
    assert pictures_left(train, 0, 10**15) == 2 * 10**15 + measured
