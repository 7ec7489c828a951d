"""Reads judged test grids from disk without loading what measures: the report, the plan and the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora.errors import Misfit, UserError
from lib_lora.files import PICTURE_NAME, read_json
from lib_lora.pictures import Cell
from lib_lora.runs.records import run_records
from lib_lora.runs.records.run_records import RunRecord
from lib_lora.workspace.file_cache import keep_nothing, kept, mark
from lib_lora.workspace.grid_files import CELLS, PLAN_FILE, REPORT_FILE, REPORT_VERSION
from lib_lora.workspace.workspace import RunFolder

ROLES = ("lora", "base", "leak")
_SPECIAL = ("style:", "expression: surprised")  # no prompt to begin with


def report_of(grid: Path) -> dict[str, Any]:
    """A grid's report as plain values.

    Raises:
        UserError: it is damaged, or of another version.
    """
    path = grid / REPORT_FILE
    found = kept(("report", grid), mark(path), lambda: read_json(path))
    if not isinstance(found, dict) or found.get("version") != REPORT_VERSION:
        raise UserError(
            f"{path} is not a report of this version of SameFace; test the LoRA again.",
            code="report-of-other-version",
            file=path,
        )
    return found


@dataclass(frozen=True)
class GridCell:
    """A picture as a grid's ``plan.json`` asks for it.

    Attributes:
        role: one of `ROLES`.
        cell: what it was asked to be, without the LoRA.
        lora: the file name of the LoRA; empty = without one.
    """

    role: str
    cell: Cell
    lora: str


def planned(values: Mapping[str, Any]) -> Cell:
    """A cell as it lies in a grid's ``plan.json``, without its LoRA; further LoRAs by their file names.

    Raises:
        ValueError: it is not one.
    """
    try:
        known = {key: value for key, value in values.items() if key in Cell.__dataclass_fields__ and key != "lora"}
        known |= {key: int(known[key]) for key in ("seed", "width", "height") if _is_whole(known.get(key))}
        more = tuple((Path(one[0]), float(one[1])) for one in known.get("more", ()))
        cell = Cell(**{**known, "attributes": tuple(known.get("attributes", ())), "more": more})
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise Misfit(f"no cell of a grid: {error}", "cell") from error
    texts, numbers = (cell.prompt, cell.negative, cell.name), (cell.seed, cell.width, cell.height)
    if not all(isinstance(one, str) for one in texts) or not all(isinstance(one, int) for one in numbers):
        raise Misfit("a cell has a value of another type", "cell")
    return cell


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def cells(grid: Path) -> dict[str, GridCell]:
    """What each picture of a grid was asked to be, by its file name; without those that the plan does not say in a way
    that can be read."""
    path = grid / PLAN_FILE

    def read() -> dict[str, GridCell]:
        try:
            plan = read_json(path)
            asked = [(role, number, cell) for role in ROLES for number, cell in enumerate(plan.get(role, []), 1)]
        except UserError:
            keep_nothing()
            return {}
        except (TypeError, AttributeError):
            return {}
        found = {}
        for role, number, cell in asked:
            with suppress(ValueError, AttributeError):
                found[f"{number:02d}-{role}.png"] = GridCell(role, planned(cell), str(cell.get("lora") or ""))
        return found

    return kept(("plan", grid), mark(path), read) if path.is_file() else {}


@dataclass(frozen=True)
class PictureRecord:
    """A picture as a grid's ``report.json`` has it.

    Attributes:
        file: its file name.
        role: one of `ROLES`.
        prompt, seed: what it was asked to be, where the plan is gone.
        status: what it is called.
        copy: it repeats a photo.
        likeness: to the person; None = no face was measured.
        reason: why it does not count; empty = it does.
        nearest: the photo that it is most like.
    """

    file: str
    role: str
    prompt: str
    seed: int | None
    status: str
    copy: bool
    likeness: float | None
    reason: str
    nearest: str | None

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> PictureRecord:
        """One of a report's ``pictures``.

        Raises:
            KeyError, TypeError: it is not one.
        """
        asked, score = row["asked"], row["score"]
        measured = (score["likeness"], score["reason"], score["nearest"])
        file = str(row["path"]).rpartition("/")[2]
        return cls(file, row["role"], asked["prompt"], asked["seed"], row["status"], row["copy"], *measured)

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """Those that are well first, then those that count, then the most alike one."""
        well = self.status == "ok" and not self.copy
        return well, self.likeness is not None and not self.reason, -2.0 if self.likeness is None else self.likeness

    def is_there(self, grid: Path) -> bool:
        """Whether its file is in the grid's folder."""
        return bool(PICTURE_NAME.fullmatch(self.file)) and (grid / CELLS / self.file).is_file()


@dataclass(frozen=True)
class PromptSource:
    """A picture of a test, painted with the LoRA.

    Attributes:
        path: of the picture.
        cell: what it was asked to be; None where the plan is gone.
        measured: what was measured of it.
    """

    path: Path
    cell: Cell | None
    measured: PictureRecord

    def fits(self, framing: str) -> bool:
        """Whether its prompt is one to begin with: well painted, plain, and showing as much as the photos do."""
        if self.cell is None or self.cell.angle == "turned" or not self.measured.rank[0]:
            return False
        plain = not any(str(one).startswith(_SPECIAL) for one in self.cell.attributes)
        return plain and (not framing or self.cell.framing == framing)


def painted(record: RunRecord, step: int, weight: float) -> list[PromptSource]:
    """The pictures of the tests of a step, at the tested weight that is the nearest; the best first."""
    grids = [one for one in run_records.grids(record.folder) if one.step == step and not one.more]
    for distance in sorted({abs(one.weight - weight) for one in grids}):
        found: list[PromptSource] = []
        for one in grids:
            if abs(one.weight - weight) == distance:
                with suppress(UserError, KeyError, TypeError, AttributeError):  # a damaged report has no pictures
                    found += sorted(_in_grid(RunFolder(record.folder).grids / one.id), key=_rank)
        if found:
            return sorted(found, key=_rank, reverse=True)
    return []


def _rank(picture: PromptSource) -> tuple[bool, bool, float]:
    return picture.measured.rank


def _in_grid(grid: Path) -> Iterator[PromptSource]:
    for row in report_of(grid)["pictures"]:
        record = PictureRecord.read(row)
        if record.role == "lora" and record.is_there(grid):
            asked = cells(grid).get(record.file)
            yield PromptSource(grid / CELLS / record.file, asked.cell if asked else None, record)
