"""Prompts as CLIP tokens, cut into chunks of 75 as A1111 does. Knows no model."""

from __future__ import annotations

import gzip
import importlib.util
import json
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from transformers import CLIPTokenizer

from lib_lora.errors import UserError

BOS, EOS = 49406, 49407
CHUNK = 75  # tokens between BOS and EOS
COMMA_BACKTRACK = 20  # A1111's option "comma_padding_backtrack", its default
_MERGES = 49152 - 256 - 2


@lru_cache(maxsize=1)
def tokenizer() -> CLIPTokenizer:
    """CLIP's tokenizer, from the vocabulary that the installed ``open_clip`` package carries.

    Raises:
        UserError: ``open_clip`` is not installed.
    """
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        raise UserError("The package open_clip_torch is missing; install it with: pip install open_clip_torch")
    with gzip.open(Path(spec.origin).with_name("bpe_simple_vocab_16e6.txt.gz"), "rt", encoding="utf-8") as stream:
        merges = stream.read().split("\n")[1 : _MERGES + 1]
    symbols = _byte_symbols()
    words = [*symbols, *(f"{symbol}</w>" for symbol in symbols), *("".join(pair.split()) for pair in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        vocabulary, rules = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocabulary.write_text(json.dumps({word: n for n, word in enumerate(words)}), encoding="utf-8")
        rules.write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
        return CLIPTokenizer(str(vocabulary), str(rules))


def _byte_symbols() -> list[str]:
    """The printable stand-ins of the 256 bytes, in the order of CLIP's (GPT-2's) vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + n) for n in range(len(others))]


def token_ids(text: str) -> list[int]:
    """The tokens of `text`, without BOS and EOS."""
    return list(tokenizer()(text, add_special_tokens=False, truncation=False, verbose=False).input_ids)


@lru_cache(maxsize=1)
def _comma() -> int:
    return token_ids(",")[0]


def chunk(ids: Sequence[int], comma: int) -> list[list[int]]:
    """Cut tokens into chunks of at most 75, moving a phrase to the next chunk rather than cutting it.

    A1111's rule: where a chunk is full and a comma stood among its last 20 tokens, what follows
    the comma moves to the next chunk. An empty prompt is one empty chunk.
    """
    chunks: list[list[int]] = []
    current: list[int] = []
    last_comma = -1
    for token in ids:
        if token == comma:
            last_comma = len(current)
        elif len(current) == CHUNK and last_comma != -1 and len(current) - last_comma <= COMMA_BACKTRACK:
            chunks.append(current[: last_comma + 1])
            current, last_comma = current[last_comma + 1 :], -1
        if len(current) == CHUNK:
            chunks.append(current)
            current, last_comma = [], -1
        current.append(token)
    return [*chunks, current] if current or not chunks else chunks


def padded(tokens: Sequence[int], pad: int) -> list[int]:
    """One chunk as the 77 numbers that the encoder gets: BOS, tokens, EOS, padding."""
    return [BOS, *tokens, EOS, *[pad] * (CHUNK - len(tokens))]


def prompt_chunks(text: str) -> list[list[int]]:
    """The chunks of a prompt."""
    return chunk(token_ids(text), _comma())
