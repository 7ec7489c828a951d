"""Knows base models for somebody who has none, from ``starter_models.yaml``, and fetches one of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from lib_lora.civitai.api import civitai_consent
from lib_lora.civitai.api.checked_download import Patience, WantedFile, fetch
from lib_lora.civitai.api.civitai_requests import host_in
from lib_lora.civitai.base_licences import BaseLicence, family_of_base, licence_named
from lib_lora.civitai.model_lookup import ModelLookup
from lib_lora.errors import UserError
from lib_lora.models.reading.file_hashes import note_sha256_of
from lib_lora.workspace.workspace import Workspace

_FILE = Path(__file__).with_name("starter_models.yaml")


@dataclass(frozen=True)
class StarterModel:
    """A base model.

    Attributes:
        key: by which people name it.
        title, text: what it is.
        family: the name of its family in SameFace.
        base_model: Civitai's word for what it was made from.
        name, url, sha256, bytes: of the file.
        licence: that it is under; `licence_from` = who has put it under that.
        sources: where hash and size were read.
        civitai: its numbers there (``model``, ``version``); empty = it has no page that is known.
    """

    key: str
    title: str
    text: str
    family: str
    base_model: str
    name: str
    url: str
    sha256: str
    bytes: int
    licence: BaseLicence
    licence_from: str
    sources: tuple[str, ...]
    civitai: dict[str, int]

    @property
    def host(self) -> str:
        """The site from which it is fetched."""
        return host_in(self.url)

    def values(self) -> dict[str, Any]:
        """The model as plain values, for programs."""
        return {
            "key": self.key,
            "title": self.title,
            "text": self.text,
            "family": self.family,
            "base_model": self.base_model,
            "file": self.name,
            "url": self.url,
            "host": self.host,
            "sha256": self.sha256,
            "bytes": self.bytes,
            "licence": {"name": self.licence.name, "address": self.licence.address, "note": self.licence.note},
            "licence_from": self.licence_from,
            "sources": list(self.sources),
            "civitai": self.civitai,
        }


@cache
def starter_models() -> tuple[StarterModel, ...]:
    """All starter models, in the order of the file."""
    read = yaml.safe_load(_FILE.read_text(encoding="utf-8"))["models"]
    return tuple(
        StarterModel(
            key=key,
            **{
                **row,
                "family": family_of_base(row["base_model"]),
                "licence": licence_named(row["licence"]),
                "sources": tuple(row["sources"]),
                "civitai": row.get("civitai", {}),
            },
        )
        for key, row in read.items()
    )


def starter_named(key: str) -> StarterModel:
    """The starter model of a name.

    Raises:
        UserError: there is none of that name.
    """
    for one in starter_models():
        if one.key == key:
            return one
    names = ", ".join(one.key for one in starter_models())
    raise UserError(f"There is no starter model {key[:60]!r}; there are {names}.", "name", code="starter-model-unknown")


def fetch_starter(
    root: Path,
    model: StarterModel,
    folder: Path,
    agreed: bool,
    progress: Callable[[int, int], None] = lambda *_: None,
    patience: Patience | None = None,
) -> Path:
    """Fetch a starter model into a folder; where the user has agreed to that, Civitai is asked what its page permits.

    Args:
        root: the data folder, which remembers its hash.
        model: which.
        folder: where to.
        agreed: the user has seen its licence, and agrees that it is fetched.
        progress, patience: as of `checked_download.fetch`.

    Returns:
        The file.

    Raises:
        UserError: nobody has agreed, or as `checked_download.fetch`.
    """
    if not agreed:
        raise UserError(
            f"{model.title} is under the licence {model.licence.name} ({model.licence.address}); read it, and say that "
            "you agree (--yes).",
            "agreed",
            code="starter-not-agreed",
        )
    path = fetch(WantedFile(model.url, model.name, model.sha256, model.bytes), folder, progress, patience)
    note_sha256_of(path, Workspace(root).hashes, model.sha256)
    with suppress(UserError):  # what its page permits is then known when something is trained on it
        if civitai_consent.state_of(root) == civitai_consent.AGREED:
            ModelLookup(root).of_file(path)
    return path
