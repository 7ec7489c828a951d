"""Checks that a model may be used: refuses one that is known to be marked as showing a child.

Asks and hashes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lib_lora.civitai.api.civitai_api import CivitaiApi
from lib_lora.civitai.model_lookup import ModelLookup
from lib_lora.errors import UserError
from lib_lora.models.reading.file_hashes import known_hash
from lib_lora.workspace.workspace import Workspace


def see_that_it_may_be_used(root: Path, path: Path, sha256: str = "") -> None:
    """Nothing where a model may be trained on or painted with, as far as answers that were kept say.

    Args:
        root: the data folder, whose cache is read.
        path: of the model; it may be gone.
        sha256: its SHA-256, where that is known; empty = as it was computed before, if it was.

    Raises:
        UserError: it is known to be marked as showing a child.
    """
    if _shows_child(root, path, sha256):
        raise UserError(
            f"{path.name} is marked on Civitai as showing a child; SameFace does not use it: choose another model.",
            code="model-shows-child",
            file=path,
        )


def _shows_child(root: Path, path: Path, sha256: str) -> bool:
    from lib_lora.civitai.civitai_sidecars import permissions_beside  # which loads PIL

    digest = sha256
    with suppress(UserError):
        digest = digest or known_hash(path, Workspace(root).hashes)
    for lookup in _lookups(root):
        with suppress(UserError):
            if digest and lookup.of_hash(digest).subject().minor:
                return True
        with suppress(UserError):
            if lookup.of_file(path).subject().minor:  # by its tensors too
                return True
    beside = permissions_beside(path)
    about = beside.get("sha256")
    same = not digest or not isinstance(about, str) or about.lower() == digest.lower()
    return beside.get("minor") is True and same


def _lookups(root: Path) -> Iterator[ModelLookup]:
    """By what Civitai has answered, whatever is set, and by what the site that is set has answered."""
    yield ModelLookup(root, api=CivitaiApi(), ask=False)
    with suppress(UserError):
        yield ModelLookup(root, ask=False)
