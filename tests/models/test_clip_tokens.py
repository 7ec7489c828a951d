"""The tokens are transformers' own, token for token, and come without it.

The other side of each comparison is the slow ``CLIPTokenizer`` of transformers up to 4, loaded from a folder as A1111
and diffusers load it. Made from two files without a folder, it differs in transformers 4.30.2: there "!<|endoftext|>"
is cut within the mark.

transformers 5 has the fast one alone, which does not mend texts, so there the other side is open_clip's copy of
OpenAI's tokenizer, with the slow one's way of preparing a text: OpenAI's resolves HTML marks once more.
"""

import random
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import ftfy
import open_clip.tokenizer
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from lib_lora.grid.prompts import PROMPTS
from lib_lora.models.clip_tokens import BOS, EOS, pieces, token_ids, tokenizer, vocabulary

SLOW = Version(transformers.__version__) < Version("5")

ROOT = Path(__file__).parents[2]
ODD = [
    *("", " ", "\n", "  UPPER \t lower\r\nnext\u2028line\u3000wide\xa0hard "),
    *("photo of mrxa woman, smiling, (soft:1.2) [a|b]", "\u03a3\u0391\u03a3 \u03a3", "stra\u00dfe"),
    *("it's 12 o'clock, he'LL say they'Re 'S 's’t", "'\u017f", "\u212aelvin", "\u0130stanbul"),
    *("<|endoftext|>", "!<|endoftext|>", "a <|startoftext|>b", "<|ENDOFTEXT|>", "<<|endoftext|>>", "<|<|endoftext|>"),
    *("<|end", "&lt;|endoftext|&gt;", "&amp;lt; &eacute; &EACUTE; &#x41; &nbsp; AT&T", "<b>&amp;</b>"),
    *("\x00\x07\x1b[31mred\x1b[0m\x1c\x1f\x7f\x85", "\ufeffstart", "a\u200bb\u200dc\u00ad", "\ud800 alone", "\ufffd"),
    *("â€™ Ã© ï»¿ schÃ¶n", "“curly” ‘quotes’ – dash…", "ﬁne ǅ Ａ ｶﾞ", "e\u0301 n\u0303 \u0301", "é ü ñ ø ł"),
    *("漢字かなカナ", "مرحبا بالعالم", "שלום", "नमस्ते", "สวัสดี", "한국어"),
    *("١٢٣ ² ½ ⅷ 𝟘", "\U0001e900 \u1c89 \ua7d0 \u0378"),
    *("😀👍🏽 👩‍👩‍👧 🇩🇪 ♥", "_-_ -- ... ,,, !?!", "x" * 3000, "ab " * 3000, "'" * 999, " " * 3000 + "a"),
]  # fmt: skip
_PARTS = [*ODD[:-4], *(chr(n) for n in range(32, 127)), *"éßΣσςİıſK,, ''  <|>&;", "'s", "'ll", "photo", "woman", ", "]


MARKS = {  # what the slow tokenizer gives; open_clip's writes the marks in another way
    "<|endoftext|>": [49407],
    "!<|endoftext|>": [256, 49407],
    "a <|startoftext|>b": [320, 49406, 321],
    "<|ENDOFTEXT|>": [49407],
    "<<|endoftext|>>": [283, 49407, 285],
    "<|<|endoftext|>": [27, 347, 49407],
    "<|end": [27, 347, 806],
    "&lt;|endoftext|&gt;": [49407],
}


def _slow(text):
    return list(tokenizer()(text, add_special_tokens=False, truncation=False, verbose=False).input_ids)


@cache
def _open_clip():
    """OpenAI's tokenizer, as open_clip has it, that prepares a text as the slow one of transformers does."""
    other = open_clip.tokenizer.SimpleTokenizer()
    other.clean_fn = lambda text: ftfy.fix_text(text).lower()
    return other


def _agrees(text):
    if SLOW:
        assert token_ids(text) == _slow(text), ascii(text)
        assert pieces(text) == tokenizer().tokenize(text), ascii(text)
    elif not re.search(r"<\|(start|end)oftext\|>|<(start|end)_of_text>", ftfy.fix_text(text).lower()):
        assert token_ids(text) == _open_clip().encode(text), ascii(text)
        assert pieces(text) == [_open_clip().decoder[number] for number in token_ids(text)], ascii(text)


@pytest.mark.parametrize("text", MARKS, ids=ascii)
def test_marks_in_a_text(text):
    assert text in ODD
    assert token_ids(text) == MARKS[text]


def test_the_vocabulary_is_the_same():
    assert vocabulary() == tokenizer().get_vocab()
    assert (vocabulary()["<|startoftext|>"], vocabulary()["<|endoftext|>"]) == (BOS, EOS)


@pytest.mark.parametrize("text", [*ODD, *(prompt.text for prompt in PROMPTS)], ids=ascii)
def test_odd_texts(text):
    _agrees(text)


def test_every_letter():
    """Each code point in use among 63 of its neighbours: which are letters is said by tables that have versions."""
    blocks = [*range(0, 0x32000, 64), *range(0xE0000, 0xE0200, 64)]
    for block in blocks:
        _agrees("".join(chr(n) for n in range(block, block + 64) if not 0xD800 <= n < 0xE000))


def test_thousands_of_mixtures():
    rng = random.Random(11)
    for _ in range(3000):
        _agrees("".join(rng.choices(_PARTS, k=rng.randrange(16))))


@settings(max_examples=300)
@given(st.text())
def test_any_text(text):
    _agrees(text)


@pytest.mark.parametrize("text", [prompt.text for prompt in PROMPTS])
def test_every_release_of_transformers_agrees_on_ordinary_prompts(text):
    assert token_ids(text) == _slow(text)


@settings(max_examples=300)
@given(st.text(alphabet=[chr(number) for number in range(32, 127) if chr(number) not in "<&"]))
def test_every_release_of_transformers_agrees_on_ascii(text):
    """Beyond it transformers 5 differs by what it does not mend; "&" and "<" begin HTML marks and CLIP's own."""
    assert token_ids(text) == _slow(text), ascii(text)


@pytest.mark.skipif(SLOW, reason="this transformers mends texts as ours does, which is tested above")
@pytest.mark.parametrize("text", ["Mara’s “smile”", "Ã©", "ﬁne", "\ufeffstart"])
def test_transformers_5_does_not_mend_texts(text):
    """And so is what differs: OpenAI's own tokenizer does, with which CLIP was trained."""
    assert token_ids(text) == open_clip.tokenizer.SimpleTokenizer().encode(text) != _slow(text)
    assert token_ids(text) == _slow(ftfy.fix_text(text))


def test_no_torch_is_loaded():
    code = "import sys; from lib_lora.models.clip_tokens import token_ids; print(token_ids('cat'), *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[2368] ")
    assert not {"torch", "transformers", "numpy"} & set(done.stdout.split())
