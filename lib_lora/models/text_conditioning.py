"""Encodes prompts as the UNet's conditioning, family by family, as A1111 and kohya compute it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from lib_lora.errors import UserError
from lib_lora.models.clip_tokens import CHUNK, padded, prompt_chunks
from lib_lora.models.text_encoder import TextEncoder
from lib_lora.models.textual_inversion import TextualInversion, own_tokens, replaced

_POSITIONS = CHUNK + 2  # of a chunk in an encoder, with those that begin and end it


@dataclass(frozen=True)
class Conditioning:
    """What a batch of B prompts says to the UNet.

    Attributes:
        context: [B, 77 n, D] with n chunks; D is the family's (`ModelInfo.context_dim`).
        pooled: [B, P] where the family has pooled text, else None.
    """

    context: torch.Tensor
    pooled: torch.Tensor | None

    def __getitem__(self, index: slice) -> Conditioning:
        return Conditioning(self.context[index], None if self.pooled is None else self.pooled[index])


def join(items: Sequence[Conditioning], empty: Conditioning, chunks: int = 1) -> Conditioning:
    """One batch of several; shorter prompts are lengthened by chunks of the `empty` prompt, as A1111 does.

    Args:
        items: at least one.
        empty: the encoding of "".
        chunks: the result has at least so many.
    """
    longest = max(_POSITIONS * chunks, *(item.context.shape[1] for item in items))

    def lengthened(item: Conditioning) -> torch.Tensor:
        missing = (longest - item.context.shape[1]) // _POSITIONS
        return torch.cat([item.context, *[empty.context.expand(item.context.shape[0], -1, -1)] * missing], dim=1)

    pooled = [item.pooled for item in items if item.pooled is not None]
    return Conditioning(torch.cat([lengthened(item) for item in items]), torch.cat(pooled) if pooled else None)


class TextStack:
    """The text encoders of one base model.

    Args:
        kinds: of the encoders, in their order.
        encoders: a module for each, as `lib_lora.models.load.load_text_encoder` gives it.
    """

    def __init__(self, kinds: Sequence[TextEncoder], encoders: Sequence[nn.Module]) -> None:
        self.kinds = tuple(kinds)
        self.encoders = list(encoders)
        self.inversions: tuple[TextualInversion, ...] = ()  # words that have vectors of their own

    def parts(self) -> dict[str, nn.Module]:
        """The encoders by the name of their part: te1, te2."""
        return {f"te{n + 1}": encoder for n, encoder in enumerate(self.encoders)}

    @contextmanager
    def with_inversions(self, more: Sequence[TextualInversion]) -> Iterator[None]:
        """Inside the block some more words have vectors of their own.

        Raises:
            UserError: they are for text encoders of another width or number.
        """
        widths = [encoder_width(encoder) for encoder in self.encoders]
        for one in more:
            if [vectors.shape[1] for vectors in one.vectors] != widths:
                raise UserError(
                    f"The vectors of {one.word!r} are for another kind of base model.",
                    code="embedding-of-other-family",
                    word=one.word,
                )
        before = self.inversions
        self.inversions = (*before, *more)
        try:
            yield
        finally:
            self.inversions = before

    def chunks_of(self, prompt: str) -> int:
        """How many chunks a prompt has."""
        return len(prompt_chunks(prompt, own_tokens(self.inversions)))

    def encode(self, prompts: Sequence[str], clip_skip: int = 1, chunks: int = 1) -> Conditioning:
        """Encode prompts of any length; the shorter ones are lengthened by empty chunks.

        Args:
            prompts: at least one text.
            clip_skip: 1 = the last layer, 2 = the last but one, and so on. SD1 only: the other two
                families have their layer fixed, in A1111 too.
            chunks: the result has at least so many.

        Raises:
            UserError: `clip_skip` is more than the encoder has layers.
        """
        own = own_tokens(self.inversions)
        per_prompt = [prompt_chunks(prompt, own) for prompt in prompts]
        count = max(chunks, *(len(one) for one in per_prompt))
        rows = [tokens for one in per_prompt for tokens in [*one, *[[]] * (count - len(one))]]
        outputs = [
            _run(encoder, rows, kind, clip_skip, [one.vectors[n] for one in self.inversions])
            for n, (encoder, kind) in enumerate(zip(self.encoders, self.kinds, strict=True))
        ]
        context = torch.cat([states for states, _ in outputs], dim=-1)
        context = context.reshape(len(prompts), count * context.shape[1], context.shape[2])
        pooled = outputs[-1][1]
        return Conditioning(context, None if pooled is None else pooled[::count])


def encoder_width(encoder: nn.Module) -> int:
    """How many numbers a text encoder has for each token."""
    return int(cast(Any, encoder).config.hidden_size)


def _run(
    encoder: nn.Module,
    rows: Sequence[Sequence[int]],
    kind: TextEncoder,
    clip_skip: int,
    vectors: Sequence[torch.Tensor] = (),
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """One encoder over chunks: states [R, 77, D], and where it is pooled the vectors [R, P]."""
    device = next(encoder.parameters()).device
    parts = cast(Any, encoder)  # transformers' attributes, which torch's types do not know
    ids = torch.tensor([padded(row, kind.pad) for row in rows], device=device)
    with replaced(encoder, vectors, ids) as heard:
        if kind.output == "last" or (kind.output == "skip" and clip_skip == 1):
            return encoder(input_ids=heard).last_hidden_state, None
        out = encoder(input_ids=heard, output_hidden_states=True)
    if kind.output == "skip":
        if clip_skip >= len(out.hidden_states):
            layers = len(out.hidden_states) - 1
            raise UserError(
                f"clip_skip is {clip_skip}, but the text encoder has {layers} layers.",
                code="clip-skip-too-large",
                clip_skip=clip_skip,
                layers=layers,
            )
        return parts.text_model.final_layer_norm(out.hidden_states[-clip_skip]), None
    if not kind.pooled:
        return out.hidden_states[-2], None
    ends = torch.tensor([len(row) + 1 for row in rows], device=device)  # the first EOS of each row
    last = out.last_hidden_state[torch.arange(len(rows), device=device), ends]
    return out.hidden_states[-2], parts.text_projection(last)
