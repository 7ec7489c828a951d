"""Finds the thresholds ("lines") for pictures from anywhere: of the test grid of what painted them, or of the photos.

Photos are judged by the lines that the character's photos draw. Painted pictures cannot keep more of the face than the
base model's VAE lets through, so they are judged by the lines of the character's test grid of that base model and size.
Where neither is known, there is no verdict on the face, rather than one that may contradict the grid's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from lib_lora.character.photo_files import list_photos
from lib_lora.errors import UserError
from lib_lora.faces.face import FaceEngine
from lib_lora.grid.picture_origin import OWN_VAE, PictureOrigin, is_same_base, read_origin
from lib_lora.likeness.measure.calibration import Calibration
from lib_lora.likeness.measure.face_measure import Measured, Measurer
from lib_lora.likeness.measure.refusals import LineRefusal
from lib_lora.likeness.measure.template import Template
from lib_lora.likeness.measure.vae_ceiling import Ceiling, Reconstruct, ceiling_of, scores_of
from lib_lora.likeness.verdict.facts import Status, statuses
from lib_lora.likeness.verdict.picture_set import likenesses
from lib_lora.likeness.verdict.rule_conditions import HALF, KEPT
from lib_lora.models.reading.file_hashes import cached_sha256
from lib_lora.workflows.judge.judged_grids import JudgedGrid, fitting, judged_grids, knows_most, lines_for
from lib_lora.workflows.judge.painted_check import PaintedCheck
from lib_lora.workspace.grid_files import REPORT_FILE
from lib_lora.workspace.workspace import CharacterFolder

_STEP = 16  # pixels to which the sizes of faces are rounded, so that lines need not be drawn again for each picture
_REMEMBERED = 64  # sets of face sizes whose lines a scorer remembers
PHOTOS = "photos"  # instead of a base model: the pictures were not painted


@dataclass(frozen=True)
class PictureLines:
    """The lines that hold for a set of pictures.

    Attributes:
        calibration: the lines; without any, and with why and what to do, where it is not known which hold.
        grid: the test grid that drew them; None where there is none.
        ceiling: the photos after the base model's VAE; empty where that was not measured.
        painted: what is known of who painted the pictures; None for photos, or where nothing is known.
        note: by what they are judged, in one sentence.
        base: file name of the base model that painted the pictures; empty where that is not known.
    """

    calibration: Calibration
    grid: JudgedGrid | None = None
    ceiling: list[Ceiling] = field(default_factory=list)
    painted: PictureOrigin | None = None
    note: str = ""
    base: str = ""


class _Unknown(NamedTuple):
    """The pictures of a set whose files say nothing.

    Attributes:
        pictures: of each.
        sizes: widths and heights of the pictures.
        files: of each; none where they are no files.
    """

    pictures: Sequence[Measured]
    sizes: frozenset[tuple[int, int]]
    files: Sequence[Path]


class CharacterLines:
    """Finds the lines for pictures of one character.

    Args:
        folder: of the character.
        engine: the template's.
        template: of the character; `ruler` as in `likeness.report.report.Report`.
        given: pictures of other people, to draw the lines with besides.
        base: the checkpoint that painted the pictures, whatever their files say; `PHOTOS` = they were not painted;
            None = as their files say.

    Attributes:
        folder, engine, template, ruler: see there.
        photos: the lines of pictures that were not painted.

    Raises:
        UserError: there is no file `base`.
    """

    def __init__(
        self,
        folder: CharacterFolder,
        engine: FaceEngine,
        template: Template,
        ruler: str,
        given: Sequence[Measured] = (),
        base: str | None = None,
    ) -> None:
        if base is not None and base != PHOTOS and not Path(base).is_file():
            raise UserError(
                f"There is no file {base}; name the checkpoint that painted the pictures, or say {PHOTOS!r}.",
                code="base-model-missing",
                file=base,
            )
        self.photos = lines_for(template, given=given)
        self.folder, self.engine, self.template, self.ruler = folder, engine, template, ruler
        self._given, self._base = given, base
        self._grids: tuple[list[tuple[str, int]], list[JudgedGrid]] = ([], [])
        self._vae: Reconstruct | None = None
        self._check = PaintedCheck(folder, lambda base: _vae_of(base))
        self._ceiling = lru_cache(_REMEMBERED)(self._ceiling_at)

    def of(
        self, pictures: Sequence[Measured], origins: Sequence[PictureOrigin], files: Sequence[Path] = ()
    ) -> PictureLines:
        """The lines for a set of pictures.

        Args:
            pictures: at least one.
            origins: what the file of each says.
            files: of each, whose pixels are asked where the file says nothing; empty where they are no files.

        Raises:
            UserError: the file that was named is no checkpoint, or its VAE cannot be used.
        """
        read = [origin for origin in origins if origin.size != (0, 0)]
        if self._base == PHOTOS or not read:
            return PictureLines(self.photos)
        if self._base is not None:
            return self._of_checkpoint(Path(self._base), pictures, read)
        painted = [origin for origin in read if origin.kind == "painted"]
        taken = sum(origin.kind == "photo" for origin in read)
        silent = [place for place, one in enumerate(origins) if one.size != (0, 0) and not one.kind]
        unknown = _Unknown(
            [pictures[place] for place in silent],
            frozenset(origins[place].size for place in silent),
            [files[place] for place in silent] if files else [],
        )
        if not painted:
            return self._of_unknown(unknown, taken)
        if taken:
            return self._refused("painted-and-taken", painted=str(len(painted)), taken=str(taken))
        if not all(is_same_base(one, other) for one in painted for other in painted):
            names = sorted({_painter_of(origin) for origin in painted} - {""})
            return self._refused("several-bases", names="; ".join(names))
        drawn = self._of_painted(max(painted, key=_known), frozenset(one.size for one in painted))
        if drawn.calibration.lines is None or self._alike(unknown, drawn.calibration):
            return drawn
        by = self._painters(unknown) if drawn.grid and unknown.sizes <= drawn.grid.sizes else []
        if by and drawn.painted and all(is_same_base(drawn.painted, one) for one in by):
            return replace(drawn, note=_recognised(drawn))
        return self._refused("some-unknown", count=str(len(unknown.pictures)))

    def sizes(self, origin: PictureOrigin) -> frozenset[tuple[int, int]]:
        """Widths and heights at which test grids of this base model and VAE were painted."""
        return frozenset(
            size for grid in self._judged_grids() if is_same_base(origin, grid.painted) for size in grid.sizes
        )

    def of_grid(self, grid: JudgedGrid) -> PictureLines:
        """The lines that a grid has drawn."""
        return PictureLines(
            grid.calibration(self.template, self._given),
            grid,
            grid.report.ceiling,
            grid.painted,
            f"Judged by the lines of the test grid {grid.folder}.",
            grid.report.subject.base,
        )

    def _of_painted(self, origin: PictureOrigin, sizes: frozenset[tuple[int, int]]) -> PictureLines:
        """The lines for pictures of these sizes that were painted; `origin` is what is known of them together."""
        grids = self._judged_grids()
        found = fitting(grids, origin, sizes)
        at = " and ".join(f"{wide} x {high}" for wide, high in sorted(sizes)[:3]) + (", ..." if len(sizes) > 3 else "")
        if any(not is_same_base(one.painted, other.painted) for one in found for other in found):
            return self._refused("base-unknown")
        if best := knows_most(found):
            return replace(self.of_grid(best), painted=replace(origin, base=origin.base or best.painted.base))
        known = any(is_same_base(origin, grid.painted) for grid in grids)
        code = "no-grid-of-size" if known else "no-grid-of-base" if grids else "no-grid"
        base, vae = _names_of(origin)
        return self._refused(code, base=base, vae=vae, size=at)

    def _of_unknown(self, unknown: _Unknown, taken: int) -> PictureLines:
        """Of a set in which no picture says that it was painted, and some (`taken`) that a camera took them.

        The photos' lines hold where those of every test grid say the same of the pictures that say nothing at all; of
        any size, since painted pictures are cropped and enlarged. Else those of a grid whose VAE knows them.
        """
        other = [
            grid
            for grid in self._judged_grids()
            if not self._alike(unknown, grid.calibration(self.template, self._given))
        ]
        if not other:
            return PictureLines(self.photos, note="No picture says that it was painted; they are judged as photos.")
        by = self._painters(unknown)
        if not by:
            return self._refused("origin-unknown", base=other[0].painted.base)
        if taken:
            return self._refused("painted-and-taken", painted=str(len(unknown.pictures)), taken=str(taken))
        alone = all(is_same_base(by[0], one) for one in by)
        drawn = self._of_painted(by[0] if alone else PictureOrigin("painted", vae=OWN_VAE), unknown.sizes)
        return replace(drawn, note=_recognised(drawn)) if drawn.grid else drawn

    def _alike(self, unknown: _Unknown, calibration: Calibration) -> bool:
        """Whether other lines say of these pictures what the photos' lines say."""
        return _said(unknown.pictures, calibration) == _said(unknown.pictures, self.photos)

    def _painters(self, unknown: _Unknown) -> list[PictureOrigin]:
        """The base models of test grids at all these sizes whose own VAEs know these pictures."""
        grids = fitting(self._judged_grids(), PictureOrigin("painted", vae=OWN_VAE), unknown.sizes)
        found: dict[tuple[str, str], PictureOrigin] = {}
        for grid in grids:  # of one base model the file may be known from one of them alone
            key = grid.painted.base, grid.painted.base_hash
            if key not in found and self._check.painted_by(grid, unknown.files):
                found[key] = grid.painted
        return list(found.values())

    def _of_checkpoint(self, base: Path, pictures: Sequence[Measured], read: Sequence[PictureOrigin]) -> PictureLines:
        """The lines for pictures that a checkpoint painted, as the user says."""
        vaes, digest = {one.vae for one in read}, cached_sha256(base, self.folder.workspace.hashes)
        origin = PictureOrigin(
            "painted", base=base.stem, base_hash=digest[:10], vae=vaes.pop() if len(vaes) == 1 else ""
        )
        if best := knows_most(fitting(self._judged_grids(), origin, frozenset(one.size for one in read))):
            return replace(self.of_grid(best), painted=origin)
        counted = [item.score.face.px for item in pictures if item.score.face and item.score.counts]
        sizes = counted or [item.score.face.px for item in pictures if item.score.face]
        top = self._ceiling(base, tuple(sorted(max(1, round(px / _STEP)) * _STEP for px in sizes)))
        lines = lines_for(self.template, given=self._given, ceiling=scores_of(top) if top else None)
        note = f"Judged by what the VAE of {base.name} lets through of the photos at the size of these faces."
        return PictureLines(lines, None, top, origin, note, base.name)

    def _ceiling_at(self, base: Path, sizes: tuple[int, ...]) -> list[Ceiling]:
        """The photos after the VAE of a checkpoint, at these face sizes in pixels; empty where there are none."""
        if not sizes:
            return []
        self._vae = self._vae or _vae_of(base)
        return ceiling_of(self.engine, self.template, list_photos(self.folder.photos), sizes, self._vae)

    def _judged_grids(self) -> list[JudgedGrid]:
        """All judged grids of the character, read again only where one has changed."""
        files = sorted(self.folder.runs.glob(f"*/grids/*/{REPORT_FILE}"))
        there = [(str(path), path.stat().st_mtime_ns) for path in files]
        if self._grids[0] != there:
            self._grids = (there, list(judged_grids(self.folder, self.ruler)))
        return self._grids[1]

    def _refused(self, code: str, **values: str) -> PictureLines:
        if self.photos.lines is None:  # what is wrong with the photos comes first
            return PictureLines(self.photos)
        return PictureLines(replace(self.photos, lines=None, refusal=LineRefusal(code, values)))


def _recognised(drawn: PictureLines) -> str:
    """The note on pictures that the base model's VAE knows."""
    return (
        f"Not all files say so, but {drawn.base}, or a model with the same VAE, painted these pictures: the VAE "
        f"changes them less than pictures that it has not decoded. {drawn.note}"
    )


def _names_of(origin: PictureOrigin) -> tuple[str, str]:
    """The base model, and a VAE that stood in for its own; empty where that is not known."""
    return origin.base or origin.base_hash, origin.vae if origin.vae not in ("", OWN_VAE) else ""


def _painter_of(origin: PictureOrigin) -> str:
    """Both in words; empty where neither is known."""
    base, vae = _names_of(origin)
    return " and ".join(part for part in (base, vae and f"the VAE {vae}") if part)


def _known(origin: PictureOrigin) -> tuple[bool, bool, bool]:
    """Of two origins of one base model the one that says more is the greater."""
    return bool(origin.base_hash), bool(origin.base), bool(origin.vae)


def _said(pictures: Sequence[Measured], calibration: Calibration) -> tuple[list[Status], int]:
    """What the pictures are called, and which of the verdict's limits the identity that they keep reaches."""
    values = likenesses(pictures)
    if calibration.lines is None or not len(values):
        return statuses([item.score for item in pictures], calibration), 0
    kept = calibration.retention_of_best(float(values.mean()))
    return statuses([item.score for item in pictures], calibration), (kept >= HALF) + (kept >= KEPT)


def _vae_of(base: Path) -> Reconstruct:
    """A checkpoint's VAE, there and back."""
    from lib_lora.models.families.identify import identify
    from lib_lora.models.vae import reconstruct
    from lib_lora.training import distributed
    from lib_lora.training.precision import dtype_of

    info, device = identify(base), distributed.device()
    vae = info.load_vae(info.model_family.vae_dtype(device, dtype_of("fp32")), device)

    def back(image: Image.Image) -> Image.Image:
        return reconstruct(vae, image)

    return back


def origins_of(files: Sequence[Path]) -> list[PictureOrigin]:
    """What each picture file says of itself."""
    return [read_origin(path) for path in files]


def base_pictures(grid: JudgedGrid, measure: Measurer) -> list[Measured]:
    """The pictures of a grid that were painted without the LoRA; what its report says of them where they are gone."""
    files = grid.files("base")
    if all(path.is_file() for path in files):
        return measure(files)
    return [Measured(row.score) for row in grid.report.of("base")]
