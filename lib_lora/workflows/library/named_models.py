"""Says what each thing that a user names is on Civitai: files, hashes, addresses; what fails keeps its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lib_lora.civitai.api.site_address import pointer_of
from lib_lora.civitai.model_lookup import FoundModel, ModelLookup
from lib_lora.errors import UserError
from lib_lora.files import explained
from lib_lora.models.reading.file_hashes import cached_sha256
from lib_lora.models.reading.model_suffixes import SAFETENSORS, TORCH_SUFFIXES, see_that_it_can_be_a_model
from lib_lora.workspace.workspace import Workspace

_NOT_ASKED = ("civitai-off", "civitai-not-agreed")


def look_up_each(root: Path, names: Sequence[str], lookup: ModelLookup) -> list[FoundModel]:
    """What each is; one that cannot be said has its `trouble`, and a file its SHA-256 all the same.

    Args:
        root: the data folder.
        names: as typed.
        lookup: that asks.

    Raises:
        UserError: there is only one, and it is no model's file, hash or address.
    """
    found = []
    for name in names:
        try:
            found.append(_look_up(root, name, lookup))
        except UserError as error:
            if len(names) == 1:
                raise
            found.append(FoundModel(name[:80], trouble=error))
    return found


def failed(found: FoundModel) -> bool:
    """Whether it could not be said what something is."""
    return found.trouble is not None and not found.known


def _look_up(root: Path, name: str, lookup: ModelLookup) -> FoundModel:
    path = Path(name)
    if _is_file(path):
        see_that_it_can_be_a_model(path)
        return _of_file(root, path, lookup)
    try:
        pointer = pointer_of(name, lookup.site)
    except UserError as error:
        if _is_folder(path):  # one whose name is a model's number means the model
            raise UserError(
                f"The path {path} is a folder; use civitai library, which lists the models in it.",
                "what",
                code="civitai-file-is-folder",
                file=path,
            ) from error
        if _looks_like_path(name):
            raise UserError(
                f"There is no file {name[:200]}; check that its path is right.",
                "what",
                code="civitai-file-not-found",
                file=name,
            ) from error
        raise
    return lookup.of_pointer(pointer, name)


def _of_file(root: Path, path: Path, lookup: ModelLookup) -> FoundModel:
    """What a file is; where nobody may or can be asked, what was answered before, and its SHA-256."""
    try:
        return lookup.of_file(path)
    except UserError as error:
        before = ModelLookup(root, ask=False).of_file(path)
        if error.code in _NOT_ASKED and before.asked:
            return before
        sha256 = cached_sha256(path, Workspace(root).hashes).upper()  # computed here, and not sent
        return replace(before, sha256=sha256, trouble=error)


def _is_file(path: Path) -> bool:
    """Whether there is such a file.

    Raises:
        UserError: the folder that holds it may not be read.
    """
    try:
        with explained(path, "read"):
            path.stat()
    except UserError as error:
        if error.code == "permission-denied":
            raise
        return False  # not there, or no name that a file can have
    return not path.is_dir()


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # no name that a folder can have
        return False


def _looks_like_path(name: str) -> bool:
    ends = name.lower().endswith((SAFETENSORS, *TORCH_SUFFIXES))
    return "://" not in name and (ends or name.startswith((".", "~", "/")) or "\\" in name)
