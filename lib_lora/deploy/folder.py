"""Copies a finished LoRA into a folder of the user's, with the files that a webui shows beside it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lib_lora.character.store import Character, consent_of
from lib_lora.deploy import vector_files
from lib_lora.errors import UserError
from lib_lora.files import content, explained, slug
from lib_lora.lora.file import sidecars
from lib_lora.lora.file.integrity import check_whole
from lib_lora.lora.file.named_loras import stems_in
from lib_lora.lora.file.usage_terms import (
    LICENCE,
    TERMS,
    USAGE,
    licence_in,
    licence_of,
    plain_licence,
    terms_note,
    usage_hint,
)
from lib_lora.models.reading.header import read_header

if TYPE_CHECKING:
    import torch

_log = logging.getLogger("sameface")
_CONSENT, _DATE = "sameface.consent", "sameface.consent_date"


@dataclass(frozen=True)
class LoraOrigin:
    """Where a LoRA comes from, as it says it of itself.

    Attributes:
        run: identifier of its run.
        character: whose face it is.
        photos: how many of the character it was trained on.
        base, family: path of the base model, and the name of its family.
        licence: the base model's, as the user says; counts where the base model's file names none.
        terms: what its page on Civitai permits, as far as that is known (`lora.file.usage_terms`).
        others: further characters in it.
    """

    run: str
    character: Character
    photos: int
    base: Path
    family: str
    licence: str = ""
    terms: str = ""
    others: Sequence[Character] = ()

    @property
    def base_licence(self) -> str:
        """The base model's licence; empty = nobody has said."""
        return licence_of(self.base) or plain_licence(self.licence) or licence_in(self.terms)


def deliver(
    origin: LoraOrigin,
    lora: Path,
    out: Path,
    weight: float = 0.0,
    preview: Path | None = None,
    searched: Sequence[Path] = (),
) -> Path:
    """Copy a checkpoint into `out` under its character's name, and write its ``.json`` and the picture of its card.

    The first of a character is ``NAME.safetensors``. A name that stands for other tensors is never given to these:
    they get a number, ``NAME-2``, and say so of themselves. So no LoRA is lost, a prompt means what it meant before,
    and what a webui remembers of a name stays true. Delivered twice, it is there once. It says of itself how the person
    shown agreed, what it may be used for, and the base model's licence where that is known. The vectors of its words
    lie in files of their own beside the checkpoint (`vector_files`); where these cannot be written, the notes say so.

    Args:
        origin: of the checkpoint.
        lora: the checkpoint.
        out: is made where it is not there.
        weight: the "preferred weight", which a click on the card puts into the prompt; 0 = what is there stays.
        preview: a painted picture for the card; None = what is there stays.
        searched: folders in which, however deep, a webui finds LoRAs by their names alone; no name that is there is
            given again.

    Returns:
        The delivered file.

    Raises:
        UserError: the checkpoint is damaged or cannot be read, or the folder cannot be written.
    """
    from lib_lora.lora.file.reading import read  # which load torch
    from lib_lora.lora.file.writing import write  # which load torch

    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
    check_whole(lora)
    content = read(lora)
    target = _target(out, slug(origin.character.name), lora.name, content.tensors, searched)
    texts = _with_origin(content.metadata, origin)
    if content.inversions:
        texts[vector_files.CHECKPOINT] = lora.stem
    if not target.exists() or _outdated(read_header(target)[1], texts):
        dtypes = {tensor.dtype for key, tensor in content.tensors.items() if key.endswith("lora_up.weight")}
        write(target, content.tensors, texts, dtype=dtypes.pop())
    _beside(origin, target, weight, preview)
    try:
        if content.inversions:
            vector_files.write_beside(lora, origin.character.name)
    except UserError as error:  # the LoRA is there and works; its notes say what is missing
        _log.warning("%s", error)
        _beside(origin, target, weight, preview, lora)
    return target


def _outdated(there: Mapping[str, str], texts: Mapping[str, str]) -> bool:
    """Whether a file that was delivered before says less of the base model, or something else, than is known now."""
    return any(there.get(key) != texts[key] for key in (LICENCE, TERMS) if key in texts)


def _target(out: Path, name: str, old_name: str, tensors: dict[str, torch.Tensor], searched: Sequence[Path]) -> Path:
    """Where the tensors lie in `out`, or are to go."""
    if _same(out / old_name, tensors):  # version 0.1.0 kept the checkpoint's name
        return out / old_name
    taken, number = stems_in(searched), 1
    while True:
        target = out / f"{name if number == 1 else f'{name}-{number}'}.safetensors"
        if _same(target, tensors):
            return target
        if not target.exists() and target.stem.casefold() not in taken:
            return target
        number += 1


def add_preview(origin: LoraOrigin, lora: Path, picture: Path) -> None:
    """Put a painted picture beside a delivered LoRA, for the webui's card.

    Raises:
        UserError: the picture cannot be read, or the folder cannot be written.
    """
    _beside(origin, lora, 0, picture)


def _with_origin(metadata: Mapping[str, str], origin: LoraOrigin) -> dict[str, str]:
    """The metadata with consent and licence; what is there already is not changed."""
    character, consent, licence = origin.character, consent_of(origin.character), origin.base_licence
    declared = {_CONSENT: metadata[_CONSENT]} if _CONSENT in metadata else {_CONSENT: consent.kind, _DATE: consent.date}
    usage = usage_hint([one.called for one in (character, *origin.others)], declared[_CONSENT])
    known = {**declared, USAGE: usage, **({LICENCE: licence} if licence else {})}
    known |= {TERMS: origin.terms} if origin.terms else {}
    return {**known, **metadata}


def _beside(
    origin: LoraOrigin, lora: Path, weight: float, preview: Path | None, checkpoint: Path | None = None
) -> None:
    """The ``.json`` (and the picture). Every text is given each time: one that is left out would be emptied."""
    character, consent = origin.character, consent_of(origin.character)
    licence = origin.base_licence or "that of the base model"
    own = vector_files.vectors_note(lora, character.name, checkpoint)
    terms, others = terms_note(origin.terms), ", ".join(one.called for one in origin.others)
    sidecars.write(
        lora,
        trigger=character.called,
        weight=weight or _weight_there(lora),
        family=origin.family,
        notes=f"SameFace run {origin.run}, {_step_of(lora)}{origin.photos} photos, base {origin.base.name}; "
        f"consent: {consent.kind} ({consent.date}); licence: {licence}{f'; {terms}' if terms else ''}"
        f"{f'; {own}' if own else ''}{f'; also calls: {others}' if others else ''}",
        preview=preview,
    )


def _step_of(lora: Path) -> str:
    """Its name does not tell the step, so the notes do."""
    with suppress(UserError):
        steps = read_header(lora)[1].get("ss_steps", "")
        return f"step {int(steps):,}, " if steps.isascii() and steps.isdecimal() else ""
    return ""


def _weight_there(lora: Path) -> float:
    """The preferred weight in the file's notes; 0 where there is none."""
    try:
        found = json.loads(content(lora.with_suffix(".json")).decode("utf-8-sig"))["preferred weight"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # what is damaged is said when it is renewed
        return 0.0
    return float(found) if isinstance(found, (int, float)) else 0.0


def _same(path: Path, tensors: dict[str, torch.Tensor]) -> bool:
    """Whether the file is there and holds exactly these tensors; what it says of itself is not asked."""
    from lib_lora.lora.file.reading import read

    try:
        there = read(path).tensors
    except UserError:
        return False
    return there.keys() == tensors.keys() and all(_equal(there[key], tensors[key]) for key in tensors)


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    import torch

    return one.dtype == other.dtype and torch.equal(one, other)
