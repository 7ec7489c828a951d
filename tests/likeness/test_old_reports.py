"""Reports of earlier versions open, are shown and compared.

The files in ``tests/data/old-reports`` were written by the versions that they are named after: pictures made of stored
embeddings (`tests/helpers/pictures/simulated.py`), with facts that have gone since.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from faults import raises

from lib_lora.files import read_json, write_json
from lib_lora.likeness.comparing.set_comparison import compare
from lib_lora.likeness.measure.refusals import EARLIER
from lib_lora.likeness.report.report import load, save
from lib_lora.likeness.report.report_text import as_text
from lib_lora.likeness.verdict.facts import GONE as DROPPED
from lib_lora.likeness.verdict.facts import from_flat
from lib_lora.likeness.verdict.verdict import judge
from lib_lora.typed_settings import to_dict

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
    assert set(again["calibration"]) == set(values["calibration"]) | {"remedy"}
    assert again["verdict"] == values["verdict"]
    assert len(again["pictures"]) == len(values["pictures"]) == 12
    text = " ".join(as_text(report).split())
    assert report.verdict.because in text
    assert "In percent: identity 86. Not measured: only when asked (no pictures without the trigger word);" in text
    assert "obedience, variety (this report does not say)." in text


@pytest.mark.parametrize(
    ("why", "remedy", "rule", "code"),
    [
        (
            "there are no strangers to compare with (pictures without the LoRA, or a cohort)",
            "",
            "no lines",
            "no-strangers",
        ),
        ("these pictures were painted, nobody says with what", "Name it", "origin unknown", EARLIER),
        (
            "these pictures were painted with one and the VAE two, and what that base model can show of this face at "
            "this size is not known: its test grids have another size than 512",
            "name that base model's file (--base), or test the LoRA with it at this size, and judge again",
            "origin unknown",
            "no-grid-of-size",
        ),
    ],
)
def test_an_old_report_without_lines_says_why_as_it_did(tmp_path, why, remedy, rule, code):
    values = read_json(OLD / "2026-11-27.json")
    for table in (values["facts"], values["calibration"]):
        table |= {"refusal": why, "remedy": remedy}
    values["calibration"]["lines"] = None
    made = judge(from_flat({name: one for name, one in values["facts"].items() if name not in DROPPED}))
    assert (made.rule, made.because) == (rule, f"{why[:1].upper()}{why[1:]}.")
    values["verdict"] = to_dict(made)
    write_json(tmp_path / "report.json", values)
    report = load(tmp_path / "report.json")
    assert (report.facts.refusal, report.facts.refusal.code) == (report.calibration.refusal, code)
    assert f"No lines were drawn: {why}." in " ".join(as_text(report).split())
    save(report, tmp_path / "again.json")
    assert load(tmp_path / "again.json") == report
    assert read_json(tmp_path / "again.json")["facts"]["refusal"] == why
    assert read_json(tmp_path / "again.json")["calibration"]["remedy"] == remedy


def test_two_old_reports_are_compared():
    found = compare(load(OLD / "0.1.0.json"), load(OLD / "2026-11-27.json"), ("old", "newer"))
    assert (found.n, found.difference) == (6, pytest.approx(0, abs=0.01))


def test_a_fact_that_never_was_is_still_named(tmp_path):
    values = read_json(OLD / "0.1.0.json")
    values["facts"]["alarm_att"] = 3
    write_json(tmp_path / "report.json", values)
    with raises("setting-unknown", has="alarm_att"):
        load(tmp_path / "report.json")
