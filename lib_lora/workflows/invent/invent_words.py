"""Makes the contact sheets of an invented character's pictures, and the texts with the next command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora.character.photo_counts import FEW_BELOW, LEAST_TO_TRAIN
from lib_lora.character.photo_files import open_photo
from lib_lora.character.store import Character
from lib_lora.errors import UserError, plural, typed
from lib_lora.files import atomic_file
from lib_lora.grid.sheet import SheetCell, SheetRow, status_sheet
from lib_lora.workflows.invent.coverage_plan import COUNTED, Covered
from lib_lora.workflows.invent.good_candidates import BestStart, is_good_start
from lib_lora.workflows.invent.invented_folder import InventedFolder, InventedPicture
from lib_lora.workflows.invent.mirrored_views import is_mirrored


def candidates_sheet(invented: InventedFolder, found: Sequence[InventedPicture], title: str) -> Path:
    """One picture of all candidates with their numbers; returns its file."""
    cells = [
        _cell(
            invented,
            one,
            f"{one.number}" + (f": {one.why or one.doubt}" if one.why or one.doubt else ""),
            "warn" if one.why else "good" if is_good_start(one) else "none",
        )
        for one in found
    ]
    return _written(invented.path / "candidates.png", [SheetRow("pick one by its number", cells)], title)


def kept_sheet(invented: InventedFolder, kept: Sequence[InventedPicture], title: str) -> Path:
    """One picture of all that was kept; returns its file."""
    cells = [_cell(invented, one, f"{one.number}: {one.likeness or 0:.2f}", "none") for one in kept]
    row = SheetRow("likeness to what was kept before", cells or [SheetCell(None, "none kept")])
    return _written(invented.path / "kept.png", [row], title)


def _cell(invented: InventedFolder, one: InventedPicture, caption: str, tone: Any) -> SheetCell:
    try:
        picture = open_photo(invented.path / one.file)
    except UserError:  # thrown out by the user: the sheet says "no picture"
        picture = None
    return SheetCell(picture, caption, tone)


def _written(path: Path, rows: Sequence[SheetRow], title: str) -> Path:
    with atomic_file(path) as stream:
        status_sheet(rows, title).save(stream, "PNG")
    return path


def of_candidates(
    name: str, found: Sequence[InventedPicture], alike: dict[int, float], sheet: Path, best: BestStart | None
) -> str:
    """What to do with the candidates.

    Args:
        name: of the character.
        found: the candidates.
        alike: for each number the cosine to the most alike other one.
        sheet: their picture.
        best: the one that is pointed out.
    """
    good = [one for one in found if not one.why]
    lines = [f"{len(found)} candidates painted, {len(good)} with one clear face: {sheet}"]
    lines += [f"  {one.number}: {one.why}" for one in found if one.why]
    lines += [f"  {one.number}: {one.doubt + '; ' if one.doubt else ''}its likeness to the nearest other is "
              f"{alike[one.number]:.2f}" for one in good if one.number in alike]  # fmt: skip
    if not good:
        return "\n".join([*lines, "None can be picked; describe the face again, or use another base model."])
    lines += [
        *_good_to_begin_from(found, best),
        "The less a face is like the others, the surer further pictures of it can be told from strangers.",
        "Pick one with: "
        + typed("invent", name, "--pick", "NUMBER", "--trigger", "WORD", "--class", "woman", "--consent", "fictional"),
    ]
    return "\n".join(lines)


def _good_to_begin_from(found: Sequence[InventedPicture], best: BestStart | None) -> list[str]:
    """Which faces are good to begin from, and which is the best; nothing of candidates that older versions painted."""
    if not any(one.doubt is not None for one in found):
        return []
    good = ", ".join(str(one.number) for one in found if is_good_start(one))
    begin = "Faces that look ahead, are well lit and have nothing over the eyes make the best starting point: "
    lines = [begin + (f"{good}." if good else "none of these.")]
    if best is None:
        return lines
    number = best.picture.number
    if best.turns:
        return [*lines, f"Begin from {number}: it can be painted from the side."]
    said = f"Least like the others is {number}"
    if not best.tried:
        return [*lines, f"{said}."]
    tried = ", ".join(str(one) for one in best.tried)
    failed = "it could not" if best.tried == (number,) else f"none of those that were tried ({tried}) could"
    return [*lines, f"{said}, but {failed} be painted from the side: paint more with --candidates, or expect only "
            "pictures from the front."]  # fmt: skip


def of_picked(character: Character, photo: Path, problems: Sequence[str]) -> str:
    """That a face was picked, what speaks against its trigger word, and what is next."""
    lines = [f"{character.name} has a face: {photo}"]
    lines += [f"The trigger word: {problem}" for problem in problems]
    if character.consent is None:
        lines.append("Before training, declare why the face may be used: " + typed("consent", character.name) + " KIND")
    lines.append("Paint more of it with: " + typed("invent", character.name, "--more"))
    return "\n".join(lines)


def reasons(painted: Sequence[InventedPicture]) -> dict[str, int]:
    """How often each reason kept a picture out."""
    return dict(Counter(one.why for one in painted if one.why).most_common())


def by_strategy(painted: Sequence[InventedPicture]) -> dict[str, dict[str, int]]:
    """Painted and kept for each way."""
    names = sorted({one.way for one in painted})
    return {
        name: {
            "painted": sum(one.way == name for one in painted),
            "kept": sum(one.way == name and one.kept for one in painted),
        }
        for name in names
    }


@dataclass(frozen=True)
class MoreOutcome:
    """What came of painting further pictures.

    Attributes:
        painted: further pictures of this stage.
        kept: how many of them are photos now; `mirrored` mirror images beside these.
        photos: how many photos are in use in all.
        covered: what is covered.
        flagged: photos that fall below the lines as they are now.
        sheet: picture of what was kept.
    """

    painted: Sequence[InventedPicture]
    kept: int
    mirrored: int
    photos: int
    covered: Sequence[Covered]
    flagged: Sequence[str]
    sheet: Path


def of_more(character: Character, outcome: MoreOutcome, count: int, budget: int, base: str, lora: bool) -> str:
    """What was painted and kept, and what is next.

    Args:
        character: whose.
        outcome: what came of it.
        count, budget: what was wanted.
        base: path of the checkpoint.
        lora: whether a LoRA painted.
    """
    painted, kept, photos = outcome.painted, outcome.kept, outcome.photos
    covered, flagged, sheet = outcome.covered, outcome.flagged, outcome.sheet
    out = ", ".join(f"{number} {why}" for why, number in reasons(painted).items())
    lines = [f"{len(painted)} painted, {kept} kept{f'; not kept: {out}' if out else ''}.", f"To look at: {sheet}"]
    for kind in COUNTED:
        said = ", ".join(
            f"{one.value} {one.have} ({'never succeeded' if one.hopeless and not one.have else f'{one.goal} wanted'})"
            for one in covered
            if one.kind == kind
        )
        lines.append(f"  {kind}: {said}")
    if outcome.mirrored:
        lines.append(
            f"{outcome.mirrored} more photo{' is a mirror image' if outcome.mirrored == 1 else 's are mirror images'} "
            "of kept views from the other side, in which partings, moles, writing and one-sided jewellery "
            "change sides; delete what you do not want, and give --no-mirror to paint on without."
        )
    if flagged:
        lines.append(f"By all that was kept these look like another face; look at them: {', '.join(flagged)}.")
    name = character.name
    if len(painted) >= budget and kept < count:
        lines.append(
            f"The budget of {budget} pictures is spent before {count} were kept; paint more with: "
            + typed("invent", name, "--more", *(["--lora", "newest"] if lora else []), "--budget", str(2 * budget))
        )
    if photos < LEAST_TO_TRAIN:
        lines.append(
            f"{name} has {plural(photos, 'photo')} now, and training needs at least {LEAST_TO_TRAIN}; paint more with: "
            + typed("invent", name, "--more", *(["--lora", "newest"] if lora else []), "--count", str(FEW_BELOW))
        )
    else:
        if character.consent is None:
            lines.append("Record consent for this face with: " + typed("consent", name, "fictional"))
        lines.append(
            ("Train a LoRA with: " if photos >= FEW_BELOW else "Or train a first LoRA of these few with: ")
            + typed("train", name, "--base", base)
        )
        lines.append("and let it paint better references with: " + typed("invent", name, "--more", "--lora", "newest"))
    return "\n".join(lines)


def line_of(one: InventedPicture, further: bool = False) -> str:
    """One line about a picture, for a terminal; `further`: further pictures of a picked face are being painted."""
    if further and one.is_candidate:
        return f"{one.file}: a stranger, to tell the picked face from"
    said = "kept" if one.kept else one.why or "ok"
    if is_mirrored(one):
        said += f", mirror image of {one.start}"
    numbers = ""
    if one.to_picked is not None and one.picked_line is not None:
        numbers = f", likeness to the picked face {one.to_picked:.2f} (limit {one.picked_line:.2f})"
    if one.likeness is not None and one.line is not None:
        numbers += f", to those kept {one.likeness:.2f} (limit {one.line:.2f})"
    return f"{one.file}: {said}{numbers}"
