"""The tables in docs/likeness.md have the columns that the measurements print; no line of the documents is too long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.verdict import choosing, combining, error_rates, hidden_faces

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 120


@pytest.mark.parametrize(
    "show",
    [
        choosing.show,
        lambda rows: error_rates.show("", rows),
        lambda rows: error_rates.show_own("", rows),
        hidden_faces.show,
        combining.show_simulated,
        combining.show_broken,
        combining.show_painted,
    ],
    ids=["choosing", "rates", "own", "hidden", "combining", "broken", "painted"],
)
def test_a_printed_table_has_the_documents_columns(show: Callable, capsys: pytest.CaptureFixture[str]) -> None:
    show({} if show is hidden_faces.show else [])
    printed = [line for line in capsys.readouterr().out.splitlines() if line]
    document = (ROOT / "docs" / "likeness.md").read_text(encoding="utf-8")
    assert len(printed) >= 2
    assert "\n".join(printed[-2:]) in document


def test_runs_of_the_search_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"setting": "gentle", "lost": 0.6, "way": "before", "runs": 6, "within 5 %": 2 / 6, "no answer": 4 / 6}
    choosing.show([row, {**row, "way": "now", "within 5 %": 1.0, "no answer": 0.0}])
    assert capsys.readouterr().out.splitlines()[-1] == "| gentle | 60% | 2 of 6 | 6 of 6 | 4 | 0 |"


def test_prose_of_the_documents_is_no_wider_than_the_code() -> None:
    """Tables and commands may be."""
    wide = [
        f"{path.name}:{number}"
        for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > WIDTH and not line.startswith(("|", "    "))
    ]
    assert wide == []
