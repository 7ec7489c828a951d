"""Reports of earlier versions open, are shown and compared.

The files in ``tests/data/old-reports`` were written by the versions that they are named after: pictures made of stored
embeddings (`tests/helpers/simulated.py`), with facts that have gone since.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from faults import raises

from lib_lora.files import read_json, write_json
from lib_lora.likeness.comparing.set_comparison import compare
from lib_lora.likeness.report.report import load, save
from lib_lora.likeness.report.report_text import as_text

OLD = Path(__file__).resolve().parents[1] / "data" / "old-reports"
GONE = {"0.1.0.json": {"alarm_at", "half"}, "2026-11-27.json": {"alarm_at", "ahead_alarm", "half"}}


def test_each_old_report_is_tested():
    assert {path.name for path in OLD.iterdir()} == {*GONE}


@pytest.mark.parametrize("name", GONE)
def test_an_old_report_opens_with_all_that_is_still_known(name, tmp_path):
    values = read_json(OLD / name)
    report = load(OLD / name)
    save(report, tmp_path / "again.json")
    again = read_json(tmp_path / "again.json")
    kept = {key: value for key, value in values["facts"].items() if key not in GONE[name]}
    assert len(values["facts"]) - len(kept) == len(GONE[name])
    assert {key: again["facts"][key] for key in kept} == kept
    assert again["verdict"] == values["verdict"]
    assert len(again["pictures"]) == len(values["pictures"]) == 12
    text = " ".join(as_text(report).split())
    assert report.verdict.because in text
    assert "In percent: identity 86. Not measured: only when asked (no pictures without the trigger word);" in text
    assert "obedience, variety (this report says nothing of it)." in text


def test_two_old_reports_are_compared():
    found = compare(load(OLD / "0.1.0.json"), load(OLD / "2026-11-27.json"), ("old", "newer"))
    assert (found.n, found.difference) == (6, pytest.approx(0, abs=0.01))


def test_a_fact_that_never_was_is_still_named(tmp_path):
    values = read_json(OLD / "0.1.0.json")
    values["facts"]["alarm_att"] = 3
    write_json(tmp_path / "report.json", values)
    with raises("setting-unknown", has="alarm_att"):
        load(tmp_path / "report.json")
