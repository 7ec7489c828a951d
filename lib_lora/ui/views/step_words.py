"""Words what the page says of each step of a character, as messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lib_lora.messages.message import Message

NO_PHOTOS, UNCHECKED, UNCHECKED_ONE = "No photos yet", "{n} photos, not checked yet", "{n} photo, not checked yet"
UNCAPTIONED = "{n} of {of} without a caption"
CAPTIONS_WRONG, CAPTION_WRONG = "{of} captions, {n} to look at", "{of} caption, {n} to look at"
CAPTION, CAPTIONS = "{n} caption", "{n} captions"
PREPARING, UNTRAINED = "Preparing", "Not trained yet"
STEP, STEPS = "Run {run}: {done:,} step", "Run {run}: {done:,} steps"
STEPS_OF = "Run {run}: {done:,} of {total:,} steps"
UNTESTED, RUN_UNTESTED = "Not tested yet", "Run {run} is not tested yet"
TESTED, TESTED_AT = "{headline}", "{headline} (step {step:,}, weight {weight:g})"
NOT_PRODUCED, PRODUCED_ONE, PRODUCED = "No production yet", "{n} production", "{n} productions"
NOT_IN_USE, IN_USE = "Not in use yet", "{name} is in {place}"
_CODES = {
    NO_PHOTOS: "no-photos", UNCHECKED: "photos-unchecked", UNCHECKED_ONE: "photos-unchecked",
    UNCAPTIONED: "captions-missing", CAPTIONS_WRONG: "captions-to-look-at", CAPTION_WRONG: "captions-to-look-at",
    CAPTION: "captions-good", CAPTIONS: "captions-good", PREPARING: "preparing", UNTRAINED: "not-trained",
    STEP: "trained", STEPS: "trained", STEPS_OF: "partly-trained", UNTESTED: "not-tested", RUN_UNTESTED: "not-tested",
    NOT_PRODUCED: "not-produced", PRODUCED_ONE: "produced", PRODUCED: "produced",
    TESTED: "tested", TESTED_AT: "tested", NOT_IN_USE: "not-in-use", IN_USE: "in-use",
}  # fmt: skip
PLACES = {"webui": "the webui", "comfyui": "ComfyUI", "folder": "a folder"}  # where a LoRA is put


def said(template: str, **values: Any) -> dict[str, Any]:
    """The `text` of a step in English, and the `message` that the page can translate; `template` is one of these."""
    message = Message(template, values, _CODES[template])
    return {"text": str(message), "message": message.for_programs()}


def as_it_is(text: str) -> dict[str, Any]:
    """A `text` that has no message."""
    return {"text": text, "message": None}


def templates() -> Iterator[str]:
    """The templates of all of these, and of their parts."""
    yield from (*_CODES, *PLACES.values())
