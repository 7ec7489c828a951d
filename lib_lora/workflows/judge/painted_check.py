"""Finds out from the pixels of pictures whose files say nothing whether the base model of a test grid painted them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from PIL import Image, ImageOps

from lib_lora.character.photo_files import list_photos, open_photo
from lib_lora.errors import UserError
from lib_lora.grid.picture_origin import OWN_VAE
from lib_lora.likeness.measure.vae_ceiling import Reconstruct
from lib_lora.likeness.measure.vae_traces import LEAST, limit_of, reconstruction_error
from lib_lora.models.reading.file_hashes import cached_sha256
from lib_lora.training.plan.run_file import load_run
from lib_lora.workflows.judge.judged_grids import JudgedGrid
from lib_lora.workspace.workspace import CharacterFolder

_ENOUGH = 2 * LEAST  # painted pictures, photos, and pictures of a set that are asked about: without a GPU each is slow
_SIDE, _CELL = 256, 8  # of the middle of a picture that is passed through the VAE, and of what a latent stands for


class PaintedCheck:
    """Asks the VAEs of a character's test grids.

    Args:
        folder: of the character.
        vae_of: loads a checkpoint's VAE.
    """

    def __init__(self, folder: CharacterFolder, vae_of: Callable[[Path], Reconstruct]) -> None:
        self._folder, self._vae_of = folder, vae_of
        self._vaes: dict[Path, Reconstruct] = {}
        self._limits: dict[Path, float | None] = {}

    def painted_by(self, grid: JudgedGrid, files: Sequence[Path]) -> bool:
        """Whether the VAE of a grid's base model changes pictures as little as it changes the grid's own.

        Args:
            grid: of the character.
            files: of the pictures, at least one; of many some are asked about.

        Returns:
            False also where it cannot be known: the pictures have another size, or the base model is not there.
        """
        if len(grid.sizes) != 1 or not files:
            return False
        [size] = grid.sizes
        try:
            base = self._base_of(grid)
            if base is None:
                return False
            images = [open_photo(path) for path in _some(files)]
            if any(image.size != size for image in images):
                return False
            if base not in self._vaes:
                self._vaes[base] = self._vae_of(base)
            if grid.folder not in self._limits:
                self._limits[grid.folder] = self._limit(grid, size, self._vaes[base])
            limit, found = self._limits[grid.folder], self._errors(images, self._vaes[base])
        except (UserError, OSError, RuntimeError):  # torch's, of memory above all: then it is not known
            return False
        return limit is not None and len(found) == len(images) and max(found) <= limit

    def _base_of(self, grid: JudgedGrid) -> Path | None:
        """The file of the base model that painted a grid with its own VAE, if it is still the same."""
        known = load_run(grid.folder.parent.parent).file.base
        base = Path(known.path)
        if grid.painted.vae != OWN_VAE or base.name != grid.report.subject.base or not base.is_file():
            return None
        return base if cached_sha256(base, self._folder.workspace.hashes) == known.sha256 else None

    def _limit(self, grid: JudgedGrid, size: tuple[int, int], vae: Reconstruct) -> float | None:
        there = [path for path in (*grid.files("lora"), *grid.files("base")) if path.is_file()]
        photos = [ImageOps.fit(open_photo(path), size) for path in _some(list_photos(self._folder.photos))]
        return limit_of(self._errors(map(open_photo, _some(there)), vae), self._errors(photos, vae))

    def _errors(self, images: Iterable[Image.Image], vae: Reconstruct) -> list[float]:
        found = (reconstruction_error(_middle(image), vae) for image in images)
        return [error for error in found if error is not None]


def _some(files: Sequence[Path]) -> list[Path]:
    """At most `_ENOUGH` files, from all of them."""
    step = max(1, -(-len(files) // _ENOUGH))
    return list(files[::step])


def _middle(image: Image.Image) -> Image.Image:
    """The middle of a picture, in whole cells of its latents."""
    edges = [max(0, (side - _SIDE) // 2 // _CELL * _CELL) for side in image.size]
    sides = [min(_SIDE, side // _CELL * _CELL) for side in image.size]
    return image.crop((edges[0], edges[1], edges[0] + sides[0], edges[1] + sides[1]))
