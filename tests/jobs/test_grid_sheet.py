"""The contact sheet of a grid: labelled rows, in the order of the report and of the tab."""

from dataclasses import replace

import pytest
from PIL import Image

from lib_lora.jobs import sheet
from likeness.report_toys import full


def test_rows_are_labelled_and_in_the_report_s_order(monkeypatch):
    rows = []
    monkeypatch.setattr(sheet, "status_sheet", lambda given, *_: rows.extend(given) or Image.new("RGB", (8, 8)))
    sheet.sheet_of(full(), lambda _path: None)
    assert [row.name for row in rows][:2] == ["without the LoRA", "with the LoRA"]
    assert [row.beneath for row in rows][:2] == [False, True]


@pytest.mark.parametrize("role", ["base", "lora"])
def test_a_row_that_is_not_there_is_left_out(monkeypatch, role):
    rows = []
    report = full()
    report = replace(report, pictures=[row for row in report.pictures if row.role == role])
    monkeypatch.setattr(sheet, "status_sheet", lambda given, *_: rows.extend(given) or Image.new("RGB", (8, 8)))
    sheet.sheet_of(report, lambda _path: None)
    assert [row.name for row in rows] == [{"base": "without the LoRA", "lora": "with the LoRA"}[role]]
