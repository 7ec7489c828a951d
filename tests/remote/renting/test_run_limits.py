"""A run has one limit of money and time for all of its pods; a new one counts from when it was given."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timezone
from decimal import Decimal

import pytest
import yaml
from planting import plant_run

from lib_lora.character.store import Character, create
from lib_lora.queue.job_types import Rental
from lib_lora.queue.runners import pod_terms
from lib_lora.remote.renting import run_limits
from lib_lora.remote.renting.money import USD_ITSELF
from lib_lora.remote.renting.pod_ledger import PodLedger, RunLimits
from lib_lora.workspace.workspace import Workspace

RUN = "mara/001"
LIMITS = RunLimits(RUN, Decimal(2), 4.0)


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """A ledger whose clock stands at its `now`."""
    made = PodLedger(tmp_path / "data")
    made.now = 1000.0
    monkeypatch.setattr("lib_lora.remote.renting.pod_ledger.time.time", lambda: made.now)
    return made


def pod(ledger, at, limits=LIMITS, cost=None, minutes=None, ended=None, made=True):
    """One that was asked for at a moment, in hours."""
    ledger.now = at * 3600
    name = ledger.intend("NVIDIA A40", "0.4", limits)
    if made:
        ledger.created(name, f"pod{round(at * 100)}")
    if cost is not None:
        ledger.cost(name, "mara", Decimal(cost), None, minutes)
    if ended is not None:
        ledger.now = ended * 3600
        ledger.ended(name, f"pod{round(at * 100)}")
    return name


def left(ledger, limits=LIMITS, now=100.0):
    found = run_limits.left_of(ledger, limits, now * 3600)
    return found.pods, found.cap, round(found.hours, 4)


def test_nothing_is_taken_off_before_the_first_pod(ledger):
    assert left(ledger) == (0, Decimal(2), 4.0)
    assert run_limits.left_of(ledger, LIMITS).sentence(USD_ITSELF) == ""


def test_what_earlier_pods_of_the_run_have_cost_is_taken_off(ledger):
    pod(ledger, 1, cost="0.50", minutes=60)
    pod(ledger, 2, cost="0.30", minutes=30)
    pod(ledger, 2, RunLimits("mara/002", Decimal(2), 4.0), cost="1", minutes=60)  # another run's
    pod(ledger, 2, None, cost="1", minutes=60)  # of a version that wrote down no run
    assert left(ledger) == (2, Decimal("1.20"), 2.5)
    said = run_limits.left_of(ledger, LIMITS).sentence(USD_ITSELF)
    assert said == (
        "Of 2.00 USD and 4 hours that may be rented for run mara/001, 1.20 USD and 2.5 hours are left after 2 pods."
    )


def test_a_pod_without_a_bill_is_counted_by_its_price_until_its_end(ledger):
    pod(ledger, 1, ended=2)
    assert left(ledger) == (1, Decimal("1.6"), 3.0)
    pod(ledger, 3)  # nobody knows its end; its own limits end it
    assert left(ledger, now=4) == (2, Decimal("0.4"), 0.0)
    assert left(ledger, now=900) == (2, Decimal(0), 0.0)
    found = run_limits.left_of(ledger, LIMITS, 4 * 3600, so_far=True)
    assert (found.cap, found.hours, found.living) == (Decimal("1.2"), 2.0, 0)


def test_a_pod_that_lives_leaves_another_one_nothing(ledger):
    pod(ledger, 1, cost="1.50", minutes=60)  # 0.50 USD are left, which last 1.25 of the 3 hours
    pod(ledger, 2, cost="0.01")  # it could not be deleted, and what it will have cost is not known
    found = run_limits.left_of(ledger, LIMITS, 2.1 * 3600)
    assert (found.pods, found.living, found.cap, found.hours) == (2, 1, 0, 1.75)
    error = found.used_up(USD_ITSELF)
    assert (error.code, "wait until it has ended" in str(error)) == ("rent-in-use", True)


def test_what_is_being_asked_for_counts_until_it_can_only_have_failed(ledger):
    pod(ledger, 1, made=False)
    found = run_limits.left_of(ledger, LIMITS, 3600 + run_limits.UNSURE - 1)
    assert (found.pods, found.living, found.hours) == (1, 1, 0.0)
    assert left(ledger, now=1 + (run_limits.UNSURE + 1) / 3600) == (0, Decimal(2), 4.0)


def test_what_was_asked_for_and_never_made_costs_nothing(ledger):
    pod(ledger, 1, made=False)
    name = pod(ledger, 2, made=False)
    ledger.refused(name)
    assert left(ledger, now=2) == left(ledger) == (0, Decimal(2), 4.0)


def test_new_limits_count_from_when_they_were_given(ledger):
    pod(ledger, 1, cost="1.90", minutes=200)
    new = run_limits.limits_of(ledger, RUN, Decimal(3), 2.0, given=5 * 3600.0, now=6 * 3600.0)
    assert new == RunLimits(RUN, Decimal(3), 2.0, 5 * 3600.0)
    assert left(ledger, new) == (0, Decimal(3), 2.0)
    pod(ledger, 6, new, cost="1", minutes=60)
    assert left(ledger, new) == (1, Decimal(2), 1.0)


def test_the_limits_that_were_given_last_hold_for_every_job_of_the_run(ledger):
    assert run_limits.limits_of(ledger, RUN, Decimal(5), 6.0, None) == RunLimits(RUN, Decimal(5), 6.0)
    pod(ledger, 1)
    assert run_limits.limits_of(ledger, RUN, Decimal(5), 6.0, None) == LIMITS  # and not those of the other job
    new = RunLimits(RUN, Decimal(3), 2.0, 5 * 3600.0)
    pod(ledger, 6, new)
    assert run_limits.limits_of(ledger, RUN, Decimal(2), 4.0, None) == new
    assert run_limits.limits_of(ledger, RUN, Decimal(9), 9.0, given=4 * 3600.0) == new  # given before
    assert run_limits.limits_of(ledger, RUN, Decimal(9), 9.0, given=7 * 3600.0, now=8 * 3600.0).cap == 9


@pytest.mark.parametrize(
    "limits",
    [5, {}, {"run": 3, "cap": "1", "hours": 1, "since": 0}, {"run": RUN, "cap": "NaN", "hours": 1, "since": 0}],
)
def test_a_line_that_is_none_is_no_limit(ledger, limits):
    pod(ledger, 1, cost="0.5", minutes=60)
    lines = [json.loads(line) for line in ledger.path.read_text().splitlines()]
    lines[0]["limits"] = limits
    ledger.path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert left(ledger) == (0, Decimal(2), 4.0)


def test_a_pod_lives_as_long_as_its_money_lasts_where_the_run_goes_on(ledger):
    assert run_limits.left_of(ledger, LIMITS).longest(Decimal(1)) == 4.0  # it is refused, since it could cost 4
    pod(ledger, 1, cost="1.50", minutes=60)
    found = run_limits.left_of(ledger, LIMITS)
    assert (found.longest(Decimal(1)), found.longest(Decimal("0.1"))) == (0.5, 3.0)
    error = found.used_up(USD_ITSELF)
    assert error.code == "rent-used-up"
    assert "0.50 USD and 3.0 hours are left after 1 pod, which is too little to continue" in str(error)
    assert "resume mara/001 --on runpod --max-cost N" in str(error)


def made_at(root, hour):
    """A run of a character, made at a moment."""
    folder = create(root, Character("Mara", "mrxa", "woman"))
    file = plant_run(folder) / "run.yaml"
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    values["created"] = datetime.fromtimestamp(hour * 3600, timezone.utc).isoformat(timespec="seconds")
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return file


@pytest.mark.parametrize("anew", [False, True])
def test_a_deleted_runs_limits_and_pods_are_not_those_of_the_run_that_has_got_its_name(ledger, anew):
    root, rental = ledger.path.parent, Rental(hours=3, cap=2, anew=anew)
    file = made_at(root, 1)
    pod(ledger, 2, RunLimits(RUN, Decimal(20), 24.0), cost="19", minutes=600)
    assert pod_terms.left_for(root, "mara", "001", Rental(hours=3, cap=2), 3 * 3600.0).cap == 1  # a run that goes on
    shutil.rmtree(Workspace(root).character_at("mara").path)
    file = made_at(root, 5)
    found = pod_terms.left_for(root, "mara", "001", rental, 4.9 * 3600)  # the job was queued before it made the run
    assert (found.pods, found.cap, found.hours) == (0, 2, 3)
    pod(ledger, 6, found.limits, cost="0.50", minutes=60)
    found = pod_terms.left_for(root, "mara", "001", Rental(), 7 * 3600.0)
    assert (found.pods, found.cap, found.hours) == (1, Decimal("1.50"), 2)
    file.write_text(file.read_text(encoding="utf-8").replace("1970", "x"), encoding="utf-8")
    assert pod_terms.left_for(root, "mara", "001", Rental(), 7 * 3600.0).pods == 1  # by its limits' own time
