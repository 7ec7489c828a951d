"""The search measured with real trainings: what is near the best, and what is left to do. Trains nothing."""

from __future__ import annotations

from typing import Any

import pytest

from bench.verdict import real_choices as study


def row(chosen: str, likenesses: dict[str, float], person: str = "mara", setting: str = "preset") -> dict[str, Any]:
    """A run whose cells have four pictures, 0.1 to either side of their mean by both recognisers."""
    cells = {name: {key: [value - 0.1, value + 0.1, value - 0.1, value + 0.1] for key in ("first", "second")}
             for name, value in likenesses.items()}  # fmt: skip
    return {"person": person, "setting": setting, "chosen": chosen, "certainty": "likely", "cells": cells}


CELLS = {"100 at 1": 0.77, "120 at 0.8": 0.8, "120 at 1": 0.7}


def test_near_is_within_five_percent_of_the_best_cell():
    assert study.best(row("120 at 1", CELLS)) == "120 at 0.8"
    assert study.near(row("120 at 0.8", CELLS))
    assert study.near(row("100 at 1", CELLS))
    assert not study.near(row("120 at 1", CELLS))


def test_both_recognisers_count_alike():
    made = row("120 at 0.8", CELLS)
    made["cells"]["120 at 1"]["second"] = [1.5, 1.5, 1.5, 1.5]
    assert study.best(made) == "120 at 1"


def test_the_same_cell_lies_no_error_apart():
    made = row("100 at 1", {**CELLS, "120 at 1": 0.77})
    made["cells"]["120 at 0.8"]["first"] = [0.7, 0.9, 0.8, 0.8]
    assert study.errors_apart(made, "100 at 1", "120 at 1") == 0.0
    assert study.errors_apart(made, "120 at 0.8", "100 at 1") > 0


def test_runs_and_unseen_people_are_counted_and_not_done_again():
    rows = [row("120 at 0.8", CELLS), row("120 at 1", CELLS, "unseen2"), row("100 at 1", CELLS, "unseen2", "hot")]
    text = study.table(rows)
    assert text.endswith(
        "Within 5 % of the best: 2 of 3 runs, and in all runs of 1 of 2 people (9% to 91%); of the unseen people "
        "1 of 2 runs."
    )
    assert "| preset | mara | 120 at 0.8 | likely | 0.80 | 120 at 0.8 | 0.80 | 0.70 | yes | 0.0 |" in text
    assert study.planned(["preset", "hot"], ["mara", "unseen2"], rows) == [("hot", "mara")]


@pytest.mark.parametrize("setting", study.SETTINGS)
def test_every_setting_is_one_of_the_trainings(setting):
    from lib_lora.training.plan.train_settings import TrainSettings

    unknown = [name for name in study.SETTINGS[setting] if not hasattr(TrainSettings, name)]
    assert (unknown, bool(study.SETTINGS[setting])) == ([], setting != "preset")


def test_the_documents_table_is_that_of_the_stored_rows():
    rows = study.read_rows(study.ROOT / "bench" / "results" / "choices" / study.RESULTS)
    assert rows
    table = study.table(rows).partition("\n\n")[0]
    assert table in (study.ROOT / "docs" / "likeness.md").read_text(encoding="utf-8")
