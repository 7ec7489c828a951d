"""Names and finds the vectors of a word inside a LoRA file, as A1111 finds them.

Keys are ``bundle_emb.<word>.string_to_param.*`` for a base with one text encoder, and ``bundle_emb.<word>.clip_l`` and
``.clip_g`` for one with two; A1111 cuts them at the first two dots. It reads other names too, as `words_in` does. Knows
nothing about files.
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


def _keys(word: str, encoders: int) -> tuple[str, ...]:
    """The key for each of so many text encoders."""
    return tuple(f"{PREFIX}{word}.{end}" for end in (_ONE if encoders == 1 else _TWO))


def words_in(shapes: Mapping[str, tuple[int, ...]], where: str) -> dict[str, tuple[str, ...]]:
    """The words that have vectors, each with its keys in the order of the text encoders.

    Args:
        shapes: of all tensors of a file, by key.
        where: what the errors begin with, e.g. the file's name.

    Raises:
        UserError: vectors that A1111 would not read, or more than fit into a prompt.
    """
    found: dict[str, dict[str, str]] = {}
    for key in sorted(filter(is_bundled, shapes)):  # as A1111 gets them
        found.setdefault(word_of(key), {})[key.removeprefix(PREFIX).partition(".")[2]] = key
    if len(found) > MOST_WORDS:
        raise _strange(where, f"{len(found)} words with vectors of their own")
    words = {}
    for word, keys in found.items():
        named_well = 0 < len(word.strip()) <= len(word) <= LONGEST_WORD and PREFIX + word not in keys.values()
        chosen = _chosen(keys, shapes) if named_well else ()
        sizes = [vectors_shape(shapes[key]) for key in chosen]
        fits = all(0 < count <= MOST_VECTORS and 0 < width <= WIDEST for count, width in sizes)
        if not fits or len({count for count, _ in sizes}) != 1:
            raise _strange(where, f"vectors for the word {word[:40]!r} that A1111 cannot read")
        words[word] = chosen
    return words


def _chosen(keys: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    """The keys of a word that A1111 takes, by its three rules in their order; none where it takes none."""
    old = [key for end, key in keys.items() if end.partition(".")[0] == "string_to_param"]
    taken: tuple[str, ...]
    lifted = False
    if old:
        taken = (old[-1],)
        if "string_to_param" in keys:  # it expects a name behind it
            return ()
    elif set(_TWO) <= set(keys):
        taken = tuple(keys[end] for end in _TWO)
    else:
        taken, lifted = tuple(keys.values()), True
        if len(taken) != 1:
            return ()
    return taken if all(len(shapes[key]) == 2 or (lifted and len(shapes[key]) == 1) for key in taken) else ()


def vectors_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many vectors a tensor that `words_in` has named holds, and their width: one without a second dimension is
    one vector."""
    return (1, shape[0]) if len(shape) == 1 else (shape[0], shape[1])


def word_of(key: str) -> str:
    """The word to whose vectors a tensor belongs."""
    return key.removeprefix(PREFIX).partition(".")[0]


def bundled_tensors(word: str, vectors: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """The vectors of a word, a tensor [N, width] for each text encoder, as they stand in a file."""
    return dict(zip(_keys(word, len(vectors)), vectors, strict=True))


def layer_keys(keys: Iterable[str]) -> list[str]:
    """The keys that belong to layers."""
    return [key for key in keys if not is_bundled(key)]


def _strange(where: str, what: str) -> UserError:
    return UserError(f"{where}: it has {what}.", code="lora-embedding-unknown")
