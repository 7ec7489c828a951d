"""Many jobs at once: which they are, that none is queued twice, how far they are, and what a study shows."""

import json
import os
import sys
import threading
from dataclasses import replace

import pytest
from faults import raises
from planting import plant_grid, plant_run

from lib_lora.character.store import Character, create
from lib_lora.errors import UserError
from lib_lora.files import read_json, write_json
from lib_lora.hosts.standalone import Alone
from lib_lora.queue.job_types import ChooseArguments, ProduceArguments, TestArguments, TrainArguments
from lib_lora.queue.queue import Queue
from lib_lora.workflows.fleet import fleet_follow, fleet_jobs, fleet_plan, fleet_progress, fleet_store
from lib_lora.workflows.fleet.fleet_plan import FleetRow
from lib_lora.workflows.fleet.fleet_progress import RowProgress
from lib_lora.workspace.workspace import Workspace

PEOPLE = ("Mara", "Lena Müller")
SHARED = TrainArguments(base="/models/base.safetensors", settings={"lora": {"rank": 4}}, on="ssh:attic")


@pytest.fixture
def root(tmp_path):
    for name in PEOPLE:
        create(tmp_path, Character(name=name, trigger="mrxa", class_word="woman"))
    return tmp_path


@pytest.fixture
def queue(root):
    return Queue(root)


def study(root):
    rows = fleet_plan.trainings(PEOPLE, SHARED, {"lora.rank": [8, 16]}, [1, 2])
    return fleet_store.make(root, "study", SHARED.on, rows)


def ended(queue, number, state="finished", **result):
    job = queue.take("remote", "me", lambda job, _: job.id == number)
    assert job.id == number
    queue.note_run(number, result.get("run", ""))
    queue.end(number, state, "The disk is full." if state == "failed" else "", result)


def test_every_combination_is_a_job():
    rows = fleet_plan.trainings([*PEOPLE, "Mara"], SHARED, {"lora.rank": [8, 16], "optimizer": ["adamw"]}, [1, 2])
    assert len(rows) == 2 * 2 * 2
    assert rows[1].varied == {"lora.rank": 8, "optimizer": "adamw", "seed": 2}
    assert rows[1].train.settings == {"lora": {"rank": 8}, "optimizer": "adamw", "seed": 2}
    assert {row.train.on for row in rows} == {"ssh:attic"}
    assert SHARED.settings == {"lora": {"rank": 4}}
    [row] = fleet_plan.trainings(["Mara"], SHARED)
    assert (row.varied, row.train.settings) == ({}, {"lora": {"rank": 4}})


def test_a_fleet_of_none_and_one_that_is_too_large():
    with pytest.raises(UserError) as none:
        fleet_plan.searches([], ChooseArguments())
    with pytest.raises(UserError) as many:
        fleet_plan.trainings(PEOPLE, SHARED, {}, range(501))
    assert (none.value.code, many.value.code) == ("fleet-empty", "fleet-too-large")


def test_a_fleet_is_kept_and_found_by_its_number(root):
    first, second = study(root), study(root)
    assert (first.id, second.id, fleet_store.identifiers(root)) == ("001", "002", ["001", "002"])
    assert fleet_store.load(root, "2") == second
    for number in ("3", "x", "../001", "٣"):
        with pytest.raises(UserError) as error:
            fleet_store.load(root, number)
        assert error.value.code == "fleet-not-found"


def test_its_jobs_are_queued_once(root, queue):
    fleet = fleet_jobs.put_in_line(root, study(root))
    assert [row.job for row in fleet.rows] == [job.id for job in queue.open()]
    assert fleet_store.load(root, "001") == fleet
    assert fleet_jobs.put_in_line(root, fleet) == fleet
    assert {row.job for row in fleet.rows} == set(range(1, 9))
    assert len(queue.open()) == 8


def test_what_a_killed_program_has_queued_and_not_noted_is_not_queued_again(root, queue):
    noted = study(root)
    whole = fleet_jobs.put_in_line(root, noted)
    taken = queue.take("remote", "me")  # it is at work already, so the queue alone would not know it for the same
    assert taken.id == whole.rows[0].job
    rows = [replace(row, job=0) for row in whole.rows[:2]] + whole.rows[2:]
    fleet_store.save(root, replace(whole, rows=rows))
    again = fleet_jobs.put_in_line(root, fleet_store.load(root, "001"))
    assert again == whole
    assert len(queue.open()) == 8


def test_another_fleet_of_the_same_is_another_work(root, queue):
    first = fleet_jobs.put_in_line(root, study(root))
    second = fleet_jobs.put_in_line(root, study(root))
    assert {row.job for row in first.rows} & {row.job for row in second.rows} == set()
    assert len(queue.open()) == 16


def test_who_looks_does_not_undo_what_another_program_has_done(root, queue):
    fleet = fleet_jobs.put_in_line(root, study(root))
    queue.wish(fleet.rows[1].job, "stop")
    queue.forget(fleet.rows[1].job)
    old = fleet_store.load(root, "001")  # as who follows it has it
    fleet_jobs.resume(root, fleet)
    ended(queue, fleet.rows[0].job, run="001")
    plant_run(Workspace(root).character("Mara"), 1, saved=[100])
    now, _ = fleet_progress.fleet_progress(root, old)
    assert now == fleet_store.load(root, "001")
    assert now.rows[0].run == "001"
    assert now.rows[1].job not in (0, old.rows[1].job)


def test_values_that_are_named_twice_are_trained_once():
    rows = fleet_plan.trainings(["Mara"], SHARED, {"lora.rank": [8, 8], "buckets": [[1], [1]]}, [1, 1])
    assert len(rows) == 1


def test_stopping_and_resuming(root, queue):
    fleet = fleet_jobs.put_in_line(root, study(root))
    first, second = fleet.rows[0].job, fleet.rows[1].job
    ended(queue, first, run="001")
    plant_run(Workspace(root).character("Mara"), 1, saved=[100])
    queue.add("Mara", TestArguments(run="001", on="ssh:attic"))
    fleet, _ = fleet_progress.fleet_progress(root, fleet)
    queue.take("remote", "me", lambda job, _: job.id == second)
    assert fleet_jobs.stop(root, fleet) == 8  # seven trainings and the test of the first
    assert queue.get(second).wish == "stop"
    queue.end(second, "stopped")
    states = [one.state for one in fleet_progress.fleet_progress(root, fleet)[1]]
    assert states == ["finished", *["stopped"] * 7]
    fleet_jobs.resume(root, fleet)
    waiting = [job.id for job in queue.open() if job.state == "waiting"]
    assert waiting == [row.job for row in fleet.rows[1:]]  # in their old order


def test_what_was_taken_off_the_list_before_it_had_a_run_is_queued_anew(root, queue):
    fleet = fleet_jobs.put_in_line(root, study(root))
    gone = fleet.rows[3].job
    queue.wish(gone, "stop")
    queue.forget(gone)
    assert fleet_progress.fleet_progress(root, fleet)[1][3].state == "gone"
    fleet = fleet_jobs.resume(root, fleet)
    assert fleet.rows[3].job != gone
    assert queue.get(fleet.rows[3].job).state == "waiting"


def test_how_each_job_stands(root, queue):
    fleet = fleet_jobs.put_in_line(root, study(root))
    numbers = [row.job for row in fleet.rows]
    folder = Workspace(root).character("Mara")
    for number, run in zip(numbers[:3], ("001", "002", "003"), strict=True):
        ended(queue, number, run=run)
        plant_run(folder, int(run), saved=[100])
    plant_grid(folder.run("001").path)
    queue.add("Mara", TestArguments(run="002", on="ssh:attic"))
    ended(queue, numbers[3], "failed")
    queue.take("remote", "me", lambda job, _: job.id == numbers[4])
    fleet, found = fleet_progress.fleet_progress(root, fleet)
    states = ["finished", "testing", "finished", "failed", "running", "waiting", "waiting", "waiting"]
    assert [one.state for one in found] == states
    assert (found[0].grid.retention, found[1].grid, found[3].error) == (0.9, None, "The disk is full.")
    assert [row.run for row in fleet_store.load(root, "001").rows[:4]] == ["001", "002", "003", ""]
    assert not fleet_progress.all_ended(found)
    text, values = fleet_progress.summary(fleet, found)
    assert text.startswith("Fleet 001: 2 of 8 finished, 1 failed, 3 waiting, 1 running, 1 testing")
    assert "consistent, keeps 90% of the face" in text
    assert json.loads(json.dumps(values))["rows"][0]["verdict"] == "consistent"


def test_what_productions_came_to(root, queue):
    rows = fleet_plan.productions({name: ProduceArguments("001", on="ssh:attic") for name in PEOPLE})
    fleet = fleet_jobs.put_in_line(root, fleet_store.make(root, "produce", "ssh:attic", rows))
    came_to = {"production": "001", "run": "001", "kept": 38, "wanted": 40, "painted": 61}
    ended(queue, fleet.rows[0].job, **came_to)
    fleet, found = fleet_progress.fleet_progress(root, fleet)
    assert [(one.state, one.row.run) for one in found] == [("finished", "001"), ("waiting", "")]
    text, values = fleet_progress.summary(fleet, found)
    assert "production 001: 38 of 40 kept" in text
    assert values["rows"][0]["chosen"] == came_to


def test_a_run_stays_known_when_its_job_is_taken_off_the_list(root, queue):
    fleet = fleet_jobs.put_in_line(root, study(root))
    ended(queue, fleet.rows[0].job, run="001")
    run = plant_run(Workspace(root).character("Mara"), 1, saved=[100])
    plant_grid(run)
    fleet, _ = fleet_progress.fleet_progress(root, fleet)
    queue.forget(fleet.rows[0].job)
    standing = fleet_progress.fleet_progress(root, fleet)[1][0]
    assert (standing.state, standing.grid.kind) == ("finished", "consistent")


def test_how_long_the_rest_takes():
    def rows(**counts):
        row = FleetRow("Mara", SHARED)
        return [
            RowProgress(row, state, 100.0 if state == "finished" else None)
            for state, n in counts.items()
            for _ in range(n)
        ]

    assert fleet_progress.seconds_left(rows(running=2, waiting=4)) == 0.0  # nothing has finished
    assert fleet_progress.seconds_left(rows(finished=3, waiting=4)) == 0.0  # nothing runs
    assert fleet_progress.seconds_left(rows(finished=3, running=2, waiting=4)) == 100.0 * (2 / 2 + 4) / 2


def judged(character, rank, seed, retention, kind="consistent"):
    from lib_lora.runs.records.run_records import GridRecord

    grid = GridRecord("001", 100, 1.0, kind, "", kind != "consistent", True, retention, "")
    return RowProgress(FleetRow(character, SHARED, varied={"lora.rank": rank, "seed": seed}), "finished", grid=grid)


def test_what_a_study_shows_is_compared_over_the_same_people_and_seeds():
    lower = {("Mara", 1): 0.50, ("Mara", 2): 0.60, ("Lena", 1): 0.90, ("Lena", 2): 0.70}
    higher = {("Mara", 1): 0.60, ("Mara", 2): 0.68, ("Lena", 1): 1.02}  # one is not judged
    found = [
        judged(who, 8, seed, value, "drift" if value < 0.6 else "consistent") for (who, seed), value in lower.items()
    ]
    found += [judged(who, 16, seed, value) for (who, seed), value in higher.items()]
    found.append(RowProgress(FleetRow("Lena", SHARED, varied={"lora.rank": 16, "seed": 2}), "failed"))
    first, second = fleet_progress.effects(found)
    assert (first.settings, first.runs, first.holding, first.difference) == ({"lora.rank": 8}, 4, 3, None)
    assert first.retention == pytest.approx(0.675)
    assert (second.runs, second.difference) == (3, pytest.approx((0.10 + 0.08 + 0.12) / 3))
    # by hand: standard deviation 0.02 of three pairs, Student's t 4.303 at two degrees of freedom
    assert second.low == pytest.approx(0.10 - 4.3027 * 0.02 / 3**0.5, abs=1e-4)
    assert second.high == pytest.approx(0.10 + 4.3027 * 0.02 / 3**0.5, abs=1e-4)
    table = fleet_progress.effects_table([first, second])
    assert "lora.rank=16" in table
    assert "+10.0%" in table


def test_two_pairs_give_no_interval():
    found = [
        judged("Mara", 8, 1, 0.5),
        judged("Lena", 8, 1, 0.6),
        judged("Mara", 16, 1, 0.7),
        judged("Lena", 16, 1, 0.9),
    ]
    effect = fleet_progress.effects(found)[1]
    assert (effect.difference, effect.low) == (pytest.approx(0.25), None)


WORKER = """
import json, os, sqlite3, sys, time
from pathlib import Path
number, root = sys.argv[-3], Path(sys.argv[-1])
db = sqlite3.connect(root / "jobs.sqlite")
kind, slug, arguments = db.execute("SELECT kind, slug, arguments FROM jobs WHERE id = ?", (number,)).fetchone()
db.close()
folder = root / "jobs" / number
while (root / "wait").exists():
    time.sleep(0.02)
state = "failed" if slug.startswith("lena") else "finished"
(folder / "part").write_text(json.dumps({"state": state, "error": "No photo.", "result": {"run": ""}}))
os.replace(folder / "part", folder / "result.json")
"""


class ScriptHost(Alone):
    """A host whose workers are a script."""

    def __init__(self, root):
        super().__init__(root)
        self._script = root / "worker.py"
        self._script.write_text(WORKER, encoding="utf-8")

    def worker_command(self):
        return [sys.executable, "-S", str(self._script)]

    def worker_environment(self):
        return {**os.environ, "PYTHONUTF8": "1"}


def test_it_is_followed_until_all_of_it_has_ended(root, queue):
    rows = fleet_plan.trainings(PEOPLE, replace(SHARED, on="local", then_test=False), {}, [1, 2])
    fleet = fleet_store.make(root, "train", "local", rows)  # who made it was killed before it queued anything
    said = []
    _, found = fleet_follow.follow(ScriptHost(root), root, fleet, said.append, poll=0.05)
    assert [one.state for one in found] == ["finished", "finished", "failed", "failed"]
    assert said[-1] == "Fleet 001: 2 of 4 finished, 2 failed."
    assert len(set(said)) == len(said) > 1


def test_who_leaves_it_is_told_how_to_follow_it_again(root, queue, monkeypatch):
    rows = fleet_plan.trainings(["Mara"], replace(SHARED, on="local", then_test=False))
    fleet = fleet_jobs.put_in_line(root, fleet_store.make(root, "train", "local", rows))
    (root / "wait").touch()
    threading.Timer(1.0, (root / "wait").unlink).start()  # what runs here ends with this program

    def leave(text):
        raise KeyboardInterrupt

    with raises("fleet-left-running", has=("fleet follow 001", "fleet stop 001")):
        fleet_follow.follow(ScriptHost(root), root, fleet, leave, poll=0.05)


def test_a_damaged_fleet_is_one_sentence(root):
    study(root)
    path = Workspace(root).fleets / "001.json"
    for content in ("[1", "[]", '{"id": "001"}'):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(UserError):
            fleet_store.load(root, "001")
    write_json(path, {"rows": 1})
    with pytest.raises(UserError):
        fleet_store.load(root, "001")
    assert read_json(path) == {"rows": 1}
