"""Checks captions without waiting for the tokenizer, which is loaded in a thread and used once it is there.

CLIP's tokenizer takes a moment to load, and its packages may be broken. The tab opens without.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from threading import Lock, Thread
from typing import Any

from lib_lora.character.store import Character
from lib_lora.messages.message import Message
from lib_lora.ui.views.character_snapshot import CharacterSnapshot
from lib_lora.workspace.file_cache import kept

LOG = logging.getLogger("sameface")
_MODULE, _WORDS = "lib_lora.captions.caption_check", "lib_lora.captions.caption_words"
UNCHECKED = "Captions cannot be checked here ({reason})."
_lock = Lock()
_loading: Thread | None = None
_failed: Message | None = None
_module: Any = None


def begin() -> None:
    """Load the tokenizer in a thread of its own, once."""
    global _loading
    with _lock:
        if _loading is None:
            _loading = Thread(target=_load, name="sameface-tokenizer", daemon=True)
            _loading.start()


def _load() -> None:
    global _module, _failed
    try:
        module = importlib.import_module(_MODULE)
        importlib.import_module("lib_lora.models.clip_tokens").token_ids("a word")
        _module = module
    except Exception as error:
        LOG.warning("Captions are not checked: %s", error)
        _failed = Message(UNCHECKED, {"reason": " ".join(str(error).split())[:200].rstrip(".")}, "captions-unchecked")


def ready() -> tuple[bool, str]:
    """Whether captions are checked by now, and why they cannot be: what `problems` depends on beside the captions."""
    return _module is not None, str(_failed or "")


def problems(snapshot: CharacterSnapshot, wait: bool = False) -> list[tuple[str, Message]] | None:
    """What is wrong with the captions of the photos in use, as (file name, or empty for the whole set; what).

    Args:
        snapshot: the character.
        wait: until the tokenizer is there.

    Returns:
        None as long as it is not.
    """
    begin()
    if wait and _loading is not None:
        _loading.join()
    if _failed:
        return [("", _failed)]
    if _module is None:
        return None
    texts, character = snapshot.used_texts, snapshot.character
    state = (tuple(texts.items()), character.trigger, character.class_word, tuple(character.traits))
    return kept(("problems", snapshot.folder.path), state, lambda: _found(texts, character))


def _found(texts: Mapping[str, str], character: Character) -> list[tuple[str, Message]]:
    words = importlib.import_module(_WORDS)
    return [(one.photo, words.message(one)) for one in _module.problems(texts, character)]
