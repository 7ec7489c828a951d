"""Gives what is known of a base model's page on Civitai, for the LoRAs trained on it.

Never asks Civitai.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lib_lora.civitai.civitai_sidecars import permissions_beside, summary
from lib_lora.civitai.model_lookup import ModelLookup
from lib_lora.errors import UserError
from lib_lora.lora.file.usage_terms import terms_text

if TYPE_CHECKING:
    from lib_lora.deploy.folder import LoraOrigin


def base_terms(root: Path, base: Path, sha256: str) -> str:
    """What its page permitted when it was looked up or fetched, as text for metadata; empty = nothing is known.

    Args:
        root: the data folder, whose cache is read.
        base: the checkpoint; it may be gone, or another file by now.
        sha256: its SHA-256, which counts.
    """
    digest = sha256.upper()
    with suppress(UserError):
        lookup = ModelLookup(root, ask=False)
        found = lookup.of_hash(digest)
        if not found.known and base.is_file():  # by its tensors
            found = lookup.of_file(base)
        if found.known and digest in (found.name, found.sha256):
            return terms_text(summary(replace(found, sha256=digest)))
    beside = permissions_beside(base)
    return terms_text(beside) if beside.get("sha256") == digest else ""


def with_terms(root: Path, origin: LoraOrigin, sha256: str) -> LoraOrigin:
    """A LoRA's origin with the terms of its base model, where its run did not know them yet; see `base_terms`."""
    return origin if origin.terms else replace(origin, terms=base_terms(root, origin.base, sha256))
