"""Puts a word's own vectors (textual inversion) in place of its tokens, as A1111 does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from lib_lora.models.clip_tokens import EOS, OwnTokens, token_ids

FIRST = EOS + 1  # the numbers from here on are no tokens of CLIP: they stand for vectors


@dataclass(frozen=True, eq=False)
class TextualInversion:
    """A word and its vectors.

    Attributes:
        word: as it stands in prompts; upper and lower case are the same.
        vectors: for each text encoder, in their order, [N, width] with the same N; parameters where they are trained.
    """

    word: str
    vectors: tuple[torch.Tensor, ...]


def own_tokens(inversions: Sequence[TextualInversion]) -> OwnTokens:
    """The tokens of each word, and the numbers that stand for its vectors in `replaced`'s table."""
    found, first = [], FIRST
    for one in inversions:
        count, ids = int(one.vectors[0].shape[0]), tuple(token_ids(one.word))
        if ids:  # a word of control characters alone has none
            found.append((ids, tuple(range(first, first + count))))
        first += count
    return tuple(sorted(found, key=lambda pair: -len(pair[0])))  # A1111 tries the longest word first


@contextmanager
def replaced(encoder: nn.Module, vectors: Sequence[torch.Tensor], ids: torch.Tensor) -> Iterator[torch.Tensor]:
    """Inside the block the encoder takes the vectors in the places of the numbers that stand for them.

    Args:
        encoder: a text encoder.
        vectors: of all words, each [N, width].
        ids: [R, 77] with numbers from `FIRST` on.

    Yields:
        What the encoder is to be given in place of `ids`.
    """
    if not vectors:
        yield ids
        return
    table = torch.cat(list(vectors)).to(ids.device)
    own = ids >= FIRST
    place = torch.where(own, ids - FIRST, 0)

    def put(_: nn.Module, __: Any, found: torch.Tensor) -> torch.Tensor:
        return torch.where(own[..., None], table[place].to(found.dtype), found)

    handle = _embedding(encoder).register_forward_hook(put)
    try:
        yield torch.where(own, 0, ids)
    finally:
        handle.remove()


@torch.no_grad()
def vectors_of(encoder: nn.Module, words: str, count: int) -> torch.Tensor:
    """`count` vectors that begin as the tokens of some words, float32 [count, width]; shared out as A1111 does."""
    ids = token_ids(words)
    chosen = [ids[n * len(ids) // count] for n in range(count)]
    return _embedding(encoder).weight[chosen].detach().float().clone()


def _embedding(encoder: nn.Module) -> nn.Embedding:
    return cast(nn.Embedding, cast(Any, encoder).text_model.embeddings.token_embedding)
