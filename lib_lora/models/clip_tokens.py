"""Makes CLIP tokens of prompts, cut into chunks of 75 as A1111 does.

The tokens are those of the ``CLIPTokenizer`` of transformers up to 4, with which A1111 and the Forges paint. That class
brings torch along, which takes seconds; its parts do not: ftfy mends the text, regex cuts it into words, the package
``tokenizers`` words into tokens.

transformers 5 has another ``CLIPTokenizer``, which mends nothing: for it ``Mara’s “smile”``, with curly marks as a word
processor sets them, is other tokens than ``Mara's "smile"``. OpenAI's own tokenizer, with which CLIP was trained, and
open_clip's mend as ours does (they resolve HTML marks like ``&amp;`` once more). So ours are right, and stay whatever
transformers is installed; tests/models/test_clip_tokens.py compares all of them. Knows no model, and loads no torch.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from lib_lora.errors import UserError
from lib_lora.files import write_text
from lib_lora.models.private_import import private_import

if TYPE_CHECKING:
    from tokenizers.models import BPE
    from transformers import CLIPTokenizer

BOS, EOS = 49406, 49407
CHUNK = 75  # tokens between BOS and EOS
COMMA_BACKTRACK = 20  # A1111's option "comma_padding_backtrack", its default
_MERGES = 49152 - 256 - 2
_FILE = "bpe_simple_vocab_16e6.txt.gz"  # in the package open_clip
_MIXED_UP = "\u00ed\u2022\u02dc"  # UTF-8 that was read as Windows-1252, for which ftfy imports its last part
OwnTokens = Sequence[tuple[tuple[int, ...], tuple[int, ...]]]  # tokens of words, and what stands in their place
_packages: Callable[[], Path] | None = None  # see `add_search_folder`
_SPECIAL = {"<|startoftext|>": BOS, "<|endoftext|>": EOS}
_WORD = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"  # CLIP's


def add_search_folder(folder: Callable[[], Path]) -> None:
    """Take ftfy and open_clip from a folder of packages where this Python lacks them, as Forge Neo does.

    Args:
        folder: gives the folder; called when something is lacking.
    """
    global _packages
    _packages = folder


@lru_cache(maxsize=1)
def _merges() -> list[str]:
    """CLIP's pairs of pieces in the order in which they grow together, from the installed ``open_clip`` package.

    Raises:
        UserError: ``open_clip`` is not installed.
    """
    spec = importlib.util.find_spec("open_clip")
    own = Path(spec.origin).parent if spec and spec.origin else None
    there = own or (_packages() / "open_clip" if _packages else None)
    if there is None or not (there / _FILE).is_file():
        raise UserError(
            "The package open_clip_torch is missing; install it with: pip install open_clip_torch",
            code="open-clip-missing",
        )
    with gzip.open(there / _FILE, "rt", encoding="utf-8") as stream:
        return [line.rstrip("\n") for line in islice(stream, 1, _MERGES + 1)]


@lru_cache(maxsize=1)
def vocabulary() -> Mapping[str, int]:
    """The number of each piece; one that ends a word ends in ``</w>``."""
    symbols = [chr(point) for point in _stand_ins().values()]
    words = [*symbols, *(f"{symbol}</w>" for symbol in symbols), *(pair.replace(" ", "") for pair in _merges())]
    return {word: n for n, word in enumerate([*words, *_SPECIAL])}


@lru_cache(maxsize=1)
def _stand_ins() -> dict[int, int]:
    """The printable code point that stands for each byte, in the order of CLIP's (GPT-2's) vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {**{byte: byte for byte in printable}, **{byte: 256 + n for n, byte in enumerate(others)}}


@lru_cache(maxsize=1)
def _pairs() -> BPE:
    """What makes pieces of a word."""
    from tokenizers.models import BPE

    pairs = [(first, second) for first, _, second in (pair.partition(" ") for pair in _merges())]
    return BPE(dict(vocabulary()), pairs, end_of_word_suffix="</w>")


@lru_cache(maxsize=1)
def _ftfy() -> ModuleType:
    try:
        import ftfy
    except ImportError:
        if _packages is None:
            raise
        return private_import("ftfy", _packages(), lambda ftfy: ftfy.fix_text(_MIXED_UP), ["wcwidth"])
    return ftfy


def _words(text: str) -> Iterator[str]:
    """What CLIP takes for the words of a text, in small letters."""
    import regex

    fix_text = _ftfy().fix_text
    for part in regex.splititer(r"(<\|startoftext\|>|<\|endoftext\|>)", text):
        if part in _SPECIAL:
            yield part
        else:
            yield from regex.findall(_WORD, fix_text(part).lower(), regex.IGNORECASE)


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    """The pieces of a text and their numbers."""
    for word in _words(text):
        if word in _SPECIAL:
            yield word, _SPECIAL[word]
        else:
            symbols = word.encode().decode("latin-1").translate(_stand_ins())
            yield from ((token.value, token.id) for token in _pairs().tokenize(symbols))


def pieces(text: str) -> list[str]:
    """The tokens of `text` as written in the `vocabulary`."""
    return [piece for piece, _ in _tokens(text)]


def token_ids(text: str) -> list[int]:
    """The tokens of `text`, without BOS and EOS."""
    return [token for _, token in _tokens(text)]


def write_tokenizer(folder: Path) -> None:
    """The vocabulary in the files from which every release of transformers, and so every webui, makes the tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "vocab.json", json.dumps(vocabulary()))
    write_text(folder / "merges.txt", "\n".join(["#version: 0.2", *_merges(), ""]))
    marks = dict.fromkeys(("eos_token", "unk_token", "pad_token"), "<|endoftext|>")
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": CHUNK + 2, "bos_token": "<|startoftext|>"}
    write_text(folder / "tokenizer_config.json", json.dumps({**settings, **marks}))


@lru_cache(maxsize=1)
def tokenizer() -> CLIPTokenizer:
    """The installed transformers' own tokenizer, for diffusers' pipelines."""
    from transformers import CLIPTokenizer

    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder))
        return CLIPTokenizer.from_pretrained(folder)


@lru_cache(maxsize=1)
def _comma() -> int:
    return token_ids(",")[0]


def chunk(ids: Sequence[int], comma: int, own: OwnTokens = ()) -> list[list[int]]:
    """Cut tokens into chunks of at most 75, moving a phrase to the next chunk rather than cutting it.

    A1111's rule: where a chunk is full and a comma stood among its last 20 tokens, what follows
    the comma moves to the next chunk. An empty prompt is one empty chunk. Vectors of a word are never cut apart.

    Args:
        ids: the tokens.
        comma: the token of a comma.
        own: sequences of tokens, the longest first, and the numbers that stand in their place.
    """
    chunks: list[list[int]] = []
    current: list[int] = []
    last_comma = -1
    for unit in _units(ids, own):
        token = unit[0]
        if token == comma:
            last_comma = len(current)
        elif len(current) == CHUNK and last_comma != -1 and len(current) - last_comma <= COMMA_BACKTRACK:
            chunks.append(current[: last_comma + 1])
            current, last_comma = current[last_comma + 1 :], -1
        if len(current) + len(unit) > CHUNK:
            chunks.append(current)
            current, last_comma = [], -1
        current.extend(unit)
    return [*chunks, current] if current or not chunks else chunks


def _units(ids: Sequence[int], own: OwnTokens) -> Iterator[Sequence[int]]:
    """What is never cut: each token, or the numbers that stand in place of some."""
    place = 0
    while place < len(ids):
        here = next(((word, numbers) for word, numbers in own if tuple(ids[place : place + len(word)]) == word), None)
        yield here[1] if here else ids[place : place + 1]
        place += len(here[0]) if here else 1


def padded(tokens: Sequence[int], pad: int) -> list[int]:
    """One chunk as the 77 numbers that the encoder gets: BOS, tokens, EOS, padding."""
    return [BOS, *tokens, EOS, *[pad] * (CHUNK - len(tokens))]


def prompt_chunks(text: str, own: OwnTokens = ()) -> list[list[int]]:
    """The chunks of a prompt; see `chunk`."""
    return chunk(token_ids(text), _comma(), own)
