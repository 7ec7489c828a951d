"""The contact sheet of a grid: labelled rows, in the order of the report and of the tab."""

from dataclasses import replace

import pytest
from PIL import Image
from report_toys import full

from lib_lora.workflows.judge import grid_picture


def test_rows_are_labelled_and_in_the_report_s_order(monkeypatch):
    rows = []
    monkeypatch.setattr(grid_picture, "status_sheet", lambda given, *_: rows.extend(given) or Image.new("RGB", (8, 8)))
    grid_picture.sheet_of(full(), lambda _path: None)
    assert [row.name for row in rows][:2] == ["without the LoRA", "with the LoRA"]
    assert [row.beneath for row in rows][:2] == [False, True]


@pytest.mark.parametrize("role", ["base", "lora"])
def test_a_row_that_is_not_there_is_left_out(monkeypatch, role):
    rows = []
    report = full()
    report = replace(report, pictures=[row for row in report.pictures if row.role == role])
    monkeypatch.setattr(grid_picture, "status_sheet", lambda given, *_: rows.extend(given) or Image.new("RGB", (8, 8)))
    grid_picture.sheet_of(report, lambda _path: None)
    assert [row.name for row in rows] == [{"base": "without the LoRA", "lora": "with the LoRA"}[role]]
