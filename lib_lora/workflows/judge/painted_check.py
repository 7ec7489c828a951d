"""Finds out from the pixels of pictures whose files say nothing whether the base model of a test grid painted them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lib_lora.character.photo_files import open_photo
from lib_lora.errors import UserError
from lib_lora.grid.picture_origin import OWN_VAE
from lib_lora.likeness.measure.vae_ceiling import Reconstruct
from lib_lora.likeness.measure.vae_traces import PAINTED_AT_MOST, trace_ratio
from lib_lora.models.fast.memory import is_out_of_memory
from lib_lora.models.reading.file_hashes import cached_sha256
from lib_lora.training.plan.run_file import load_run
from lib_lora.workflows.judge.judged_grids import JudgedGrid
from lib_lora.workspace.file_cache import Mark, mark
from lib_lora.workspace.workspace import CharacterFolder, RunFolder

_ONE_IN = 8  # pictures of a set one may be unknown to the VAE


class PaintedCheck:
    """Asks the VAEs of a character's test grids, each about a picture once.

    Args:
        folder: of the character.
        vae_of: loads a checkpoint's VAE.
    """

    def __init__(self, folder: CharacterFolder, vae_of: Callable[[Path], Reconstruct]) -> None:
        self._folder, self._vae_of = folder, vae_of
        self._vaes: dict[str, Reconstruct | None] = {}
        self._known: dict[tuple[str, Path, Mark | None], bool] = {}

    def painted_by(self, grid: JudgedGrid, files: Sequence[Path]) -> bool:
        """Whether a grid's base model, or another with its VAE, painted these pictures.

        One in eight may be unknown to the VAE: about one in fifty of its own is, as it was painted (docs/likeness.md).

        Args:
            grid: of the character.
            files: of the pictures.

        Returns:
            False also where it cannot be known: there are none, the base model's file is not there, or its VAE cannot
            be used.
        """
        found = self._base_of(grid) if files else None
        if found is None:
            return False
        unknown = 0
        for file in files:
            unknown += not self._is_painted(*found, file)
            if unknown > len(files) // _ONE_IN:
                return False
        return True

    def _base_of(self, grid: JudgedGrid) -> tuple[Path, str] | None:
        """File and SHA-256 of the base model that painted a grid with its own VAE, if it is still the same."""
        try:
            known = load_run(RunFolder.of_grid(grid.folder).path).file.base
            base = Path(known.path)
            if grid.painted.vae != OWN_VAE or base.name != grid.report.subject.base or not base.is_file():
                return None
            digest = cached_sha256(base, self._folder.workspace.hashes)
        except (UserError, OSError):
            return None
        return (base, digest) if digest[: len(grid.painted.base_hash)] == grid.painted.base_hash else None

    def _is_painted(self, base: Path, digest: str, file: Path) -> bool:
        asked = (digest, file, mark(file))
        if asked not in self._known:
            try:
                vae = self._vae(base, digest)
                ratio = None if vae is None else trace_ratio(open_photo(file), vae)
            except UserError:
                return False  # it cannot be read now
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                self._vaes.pop(digest, None)
                return False
            self._known[asked] = ratio is not None and ratio <= PAINTED_AT_MOST
        return self._known[asked]

    def _vae(self, base: Path, digest: str) -> Reconstruct | None:
        """None where the file has none that can be used; then it is not read for each picture."""
        if digest not in self._vaes:
            try:
                self._vaes[digest] = self._vae_of(base)
            except UserError:
                self._vaes[digest] = None
        return self._vaes[digest]
