"""Compares two grids, or two folders of pictures, of one character."""

from __future__ import annotations

import os
from pathlib import Path

from lib_lora import typed_settings
from lib_lora.character.photo_files import list_photos
from lib_lora.character.store import load
from lib_lora.errors import UserError
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.faces.face import FaceEngine
from lib_lora.likeness.comparing.set_comparison import Comparison, compare
from lib_lora.likeness.report import report
from lib_lora.likeness.report.report import Report
from lib_lora.workflows.judge.scoring import Scored, judge_files
from lib_lora.workflows.photos.character_template import template_of
from lib_lora.workspace.grid_files import REPORT_FILE
from lib_lora.workspace.workspace import Workspace


def compare_sets(
    root: Path,
    a: Path,
    b: Path,
    name: str | None = None,
    engine: FaceEngine | None = None,
    base: str | None = None,
) -> Scored:
    """Compare two sets of pictures.

    Args:
        root: the data folder.
        a, b: folders of grids (or their ``report.json``), or with `name` folders of pictures; pictures of one file
            name in both are a pair.
        name: the character, for folders of pictures.
        engine: for folders of pictures; None = the default one.
        base: for folders of pictures, see `workflows.judge.picture_lines.CharacterLines`.

    Raises:
        UserError: nothing to compare, not of one character, or no photo shows a face.
    """
    names = _names(_plain(a), _plain(b))
    one, two = _report(root, a, name, engine, base), _report(root, b, name, engine, base)
    result = compare(one, two, names)
    worse = result.better == "a" or two.verdict.drift
    text = _text(result, [one.facts.training.step, two.facts.training.step])
    return Scored(text, typed_settings.to_dict(result), worse, one.verdict.judged or two.verdict.judged)


def _plain(path: Path) -> Path:
    """The absolute path without detours; a grid's report stands for its folder."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would name what a link points to
    return path.parent if path.name == REPORT_FILE else path


def _names(a: Path, b: Path) -> tuple[str, str]:
    """The shortest tails of two paths that tell them apart."""
    for count in range(1, max(len(a.parts), len(b.parts)) + 1):
        one, other = (Path(*path.parts[-count:]).as_posix() for path in (a, b))
        if one != other:
            return one, other
    raise UserError(f"{a} and {b} are the same; name two different sets.", code="compare-same-set")


def _report(root: Path, path: Path, name: str | None, engine: FaceEngine | None, base: str | None) -> Report:
    if path.is_file() and path.suffix == ".json":
        return report.load(path)
    if (path / REPORT_FILE).is_file():
        return report.load(path / REPORT_FILE)
    if not path.is_dir():
        raise UserError(
            f"{path} is neither a grid's folder nor a folder of pictures.", code="compare-set-missing", folder=path
        )
    if name is None:
        raise UserError(
            f"{path} holds no {REPORT_FILE}; give the folder of a grid, or name the character with --character to "
            "compare folders of pictures.",
            code="grid-report-missing",
            folder=path,
        )
    folder = Workspace(root).character(name)
    load(folder)
    files = list_photos(path)
    if not files:
        raise UserError(f"There is no picture in {path}.", code="folder-without-pictures", folder=path)
    engine = engine or SFaceEngine()
    template_of(folder, engine)  # photos without a face are said here, not as too few faces in the pictures
    return judge_files(engine, folder, name, files, named=True, base=base)[0]


def _text(result: Comparison, steps: list[int | None]) -> str:
    def line(name: str, retention: float | None, kind: str) -> str:
        kept = "not measured" if retention is None else f"{retention:.0%}"
        return f"  {name}: {kind}, identity retention {kept}"

    better = "" if result.b_better is None else f" B is more alike in {result.b_better} of {result.n} pairs."
    tie = " Take the earlier step, or the lower weight." if not result.better and all(steps) else ""
    return "\n".join(
        [
            result.sentence + tie,
            line(f"A {result.a}", result.retention_a, result.kind_a),
            line(f"B {result.b}", result.retention_b, result.kind_b),
            f"B minus A: {result.difference:+.3f} likeness (95 % interval {result.low:+.3f} to {result.high:+.3f})."
            f"{better}",
        ]
    )
