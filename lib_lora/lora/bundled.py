"""The vectors of a word inside a LoRA file, under the names by which A1111 finds them. Knows nothing about files.

Keys are ``bundle_emb.<word>.string_to_param.*`` for a base with one text encoder, and ``bundle_emb.<word>.clip_l`` and
``.clip_g`` for one with two; A1111 cuts them at the first two dots.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from lib_lora.errors import UserError

if TYPE_CHECKING:
    import torch

PREFIX = "bundle_emb."
MOST_WORDS, LONGEST_WORD, MOST_VECTORS, WIDEST = 16, 100, 75, 4096  # of what is read; 75 is a whole prompt
_ONE, _TWO = ("string_to_param.*",), ("clip_l", "clip_g")


def is_bundled(key: str) -> bool:
    """Whether a tensor belongs to a word's vectors and not to a layer."""
    return key.startswith(PREFIX)


def keys_of(word: str, encoders: int) -> tuple[str, ...]:
    """The key for each of so many text encoders."""
    return tuple(f"{PREFIX}{word}.{end}" for end in (_ONE if encoders == 1 else _TWO))


def words_in(shapes: Mapping[str, tuple[int, ...]], where: str) -> dict[str, tuple[str, ...]]:
    """The words that have vectors, each with its keys in the order of the text encoders.

    Args:
        shapes: of all tensors of a file, by key.
        where: named in the errors.

    Raises:
        UserError: vectors that A1111 would not read, or more than fit into a prompt.
    """
    found: dict[str, dict[str, str]] = {}
    for key in filter(is_bundled, shapes):
        word, _, end = key.removeprefix(PREFIX).partition(".")
        found.setdefault(word, {})[_ONE[0] if end.startswith("string_to_param.") else end] = key
    if len(found) > MOST_WORDS:
        raise _strange(where, f"{len(found)} words with vectors of their own")
    words = {}
    for word, keys in found.items():
        ends = next((ends for ends in (_ONE, _TWO) if set(ends) == set(keys)), None)
        sizes = {shapes[key][:1] for key in keys.values()}
        fits = all(len(shapes[key]) == 2 and 0 < shapes[key][1] <= WIDEST for key in keys.values())
        if (
            not 0 < len(word.strip()) <= len(word) <= LONGEST_WORD
            or ends is None
            or not fits
            or len(sizes) != 1
            or not 0 < sizes.pop()[0] <= MOST_VECTORS
        ):
            raise _strange(where, f"vectors for the word {word[:40]!r} that A1111 cannot read")
        words[word] = tuple(keys[end] for end in ends)
    return words


def named(word: str, vectors: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """The vectors of a word, a tensor [N, width] for each text encoder, as they stand in a file."""
    return dict(zip(keys_of(word, len(vectors)), vectors, strict=True))


def without(keys: Iterable[str]) -> list[str]:
    """The keys that belong to layers."""
    return [key for key in keys if not is_bundled(key)]


def _strange(where: str, what: str) -> UserError:
    return UserError(f"{where} has {what}; nothing was read.", code="lora-embedding-unknown")
