"""Reads judged test grids from disk without loading what measures: the report, the plan and the pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora.errors import UserError
from lib_lora.files import PICTURE_NAME, read_json
from lib_lora.runs.records import run_records
from lib_lora.runs.records.run_records import RunRecord
from lib_lora.workspace.file_cache import keep_nothing, kept, mark
from lib_lora.workspace.workspace import RunFolder

PLAN, CELLS = "plan.json", "cells"
VERSION = 1  # of likeness.report, whose values are read here as they lie in the file
ROLES = ("lora", "base", "leak")
_SPECIAL = ("style:", "expression: surprised")  # no prompt to begin with


def report_of(grid: Path) -> dict[str, Any]:
    """A grid's report as plain values.

    Raises:
        UserError: it is damaged, or of another version.
    """
    path = grid / run_records.REPORT
    found = kept(("report", grid), mark(path), lambda: read_json(path))
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise UserError(
            f"{path} is not a report of this version of SameFace; test the LoRA again.",
            code="report-of-other-version",
            file=path,
        )
    return found


def cells(grid: Path) -> dict[str, dict[str, Any]]:
    """What each picture of a grid was asked to be, by its file name; nothing where the plan cannot be read."""
    path = grid / PLAN

    def read() -> dict[str, dict[str, Any]]:
        try:
            plan = read_json(path)
            return {
                f"{number:02d}-{role}.png": {**cell, "role": role}
                for role in ROLES
                for number, cell in enumerate(plan.get(role, []), 1)
            }
        except UserError:
            keep_nothing()
            return {}
        except (TypeError, AttributeError):
            return {}

    return kept(("plan", grid), mark(path), read) if path.is_file() else {}


@dataclass(frozen=True)
class PromptSource:
    """A picture of a test, painted with the LoRA.

    Attributes:
        path: of the picture.
        cell: what it was asked to be, as in ``plan.json``.
        row: what was measured of it, as in ``report.json``.
    """

    path: Path
    cell: dict[str, Any]
    row: dict[str, Any]

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """Those that are well first, then those that count, then the most alike one."""
        likeness, reason = self.row["score"]["likeness"], self.row["score"]["reason"]
        well = self.row["status"] == "ok" and not self.row["copy"]
        return well, likeness is not None and not reason, -2.0 if likeness is None else likeness

    def fits(self, framing: str) -> bool:
        """Whether its prompt is one to begin with: well painted, plain, and showing as much as the photos do."""
        plain = not any(str(one).startswith(_SPECIAL) for one in self.cell.get("attributes", ()))
        shown = self.cell.get("framing") == framing if framing else plain
        return bool(self.cell) and self.rank[0] and plain and shown and self.cell.get("angle") != "turned"


def painted(record: RunRecord, step: int, weight: float) -> list[PromptSource]:
    """The pictures of the tests of a step, at the tested weight that is the nearest; the best first."""
    grids = [one for one in run_records.grids(record.folder) if one.step == step and not one.more]
    for distance in sorted({abs(one.weight - weight) for one in grids}):
        found: list[PromptSource] = []
        for one in grids:
            if abs(one.weight - weight) == distance:
                with suppress(UserError, KeyError, TypeError, AttributeError):  # a damaged report has no pictures
                    found += sorted(_in_grid(RunFolder(record.folder).grids / one.id), key=lambda picture: picture.rank)
        if found:
            return sorted(found, key=lambda picture: picture.rank, reverse=True)
    return []


def _in_grid(grid: Path) -> Iterator[PromptSource]:
    for row in report_of(grid)["pictures"]:
        name = str(row["path"]).rpartition("/")[2]
        if row["role"] == "lora" and PICTURE_NAME.fullmatch(name) and (grid / CELLS / name).is_file():
            yield PromptSource(grid / CELLS / name, cells(grid).get(name, {}), row)
