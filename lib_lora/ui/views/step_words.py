"""Words what the page says of each step of a character, as messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lib_lora.messages.message import Message

NO_PHOTOS, UNCHECKED, UNCHECKED_ONE = "No photos yet", "{n} photos, not checked yet", "{n} photo, not checked yet"
UNCAPTIONED, CAPTIONS_WRONG = "{n} of {of} without a caption", "{of} captions, {n} to look at"
CAPTION, CAPTIONS = "{n} caption", "{n} captions"
PREPARING, UNTRAINED = "Preparing", "Not trained yet"
STEPS, STEPS_OF = "Run {run}: {done:,} steps", "Run {run}: {done:,} of {total:,} steps"
UNTESTED, RUN_UNTESTED = "Not tested yet", "Run {run} is not tested yet"
TESTED, TESTED_AT = "{headline}", "{headline} (step {step:,}, weight {weight:g})"
NOT_IN_USE, IN_USE = "Not in use yet", "{name} is in {place}"
PLACES = {"webui": "the webui", "comfyui": "ComfyUI", "folder": "a folder"}  # where a LoRA is put


def said(template: str, **values: Any) -> dict[str, Any]:
    """The `text` of a step in English, and the `message` that the page can translate."""
    message = Message(template, values)
    return {"text": str(message), "message": message.for_programs()}


def as_it_is(text: str) -> dict[str, Any]:
    """A `text` that has no message."""
    return {"text": text, "message": None}


def templates() -> Iterator[str]:
    """The templates of all of these, and of their parts."""
    yield from (NO_PHOTOS, UNCHECKED, UNCHECKED_ONE, UNCAPTIONED, CAPTIONS_WRONG, CAPTION, CAPTIONS, PREPARING)
    yield from (UNTRAINED, STEPS, STEPS_OF, UNTESTED, RUN_UNTESTED, TESTED, TESTED_AT, NOT_IN_USE, IN_USE)
    yield from PLACES.values()
