"""Tokens, chunks and conditioning."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_lora.models.clip_tokens import BOS, EOS, chunk, padded, prompt_chunks, token_ids, tokenizer
from lib_lora.models.families.identify import identify
from lib_lora.models.text_conditioning import join

COMMA = 267


def test_known_tokens_of_clip():
    assert tokenizer().vocab_size == 49408
    assert token_ids("a photo of a cat") == [320, 1125, 539, 320, 2368]
    assert token_ids(",") == [COMMA]


@pytest.mark.parametrize("text", ["photo of mrxa woman, smiling", "名前 ü é", "it's 12 o'clock!", "  UPPER  lower "])
def test_agrees_with_open_clips_own_tokenizer(text):
    open_clip = pytest.importorskip("open_clip.tokenizer")
    assert token_ids(text) == open_clip.SimpleTokenizer().encode(text)


def test_a_phrase_moves_whole_to_the_next_chunk():
    ids = [*[5] * 65, COMMA, *[7] * 15]
    assert chunk(ids, COMMA) == [[*[5] * 65, COMMA], [7] * 15]
    far = [*[5] * 40, COMMA, *[7] * 40]  # the comma is more than 20 tokens back: cut where it is full
    assert [len(part) for part in chunk(far, COMMA)] == [75, 6]
    assert [len(part) for part in chunk([5] * 160, COMMA)] == [75, 75, 10]
    assert chunk([], COMMA) == [[]]
    assert [len(part) for part in chunk([5] * 75, COMMA)] == [75]


@given(st.lists(st.sampled_from([5, 6, COMMA]), max_size=400))
def test_chunks_keep_every_token_in_order(ids):
    parts = chunk(ids, COMMA)
    assert [token for part in parts for token in part] == ids
    assert all(len(part) <= 75 for part in parts)


def test_padding():
    row = padded([5, 6], 0)
    assert len(row) == 77
    assert row[:5] == [BOS, 5, 6, EOS, 0]


def _stack(toy, kind):
    info = identify(toy(kind))
    return info.load_text(torch.float32, torch.device("cpu"))


LONG = "photo of mrxa woman, " * 20


@pytest.mark.parametrize(("kind", "width"), [("sd1", 64), ("sd2v", 64), ("sdxl", 128)])
@torch.no_grad()
def test_long_prompts_are_chunks_encoded_apart(toy, kind, width):
    stack = _stack(toy, kind)
    both = stack.encode(["a cat", LONG])
    parts = len(prompt_chunks(LONG))
    assert parts > 1
    assert both.context.shape == (2, 77 * parts, width)
    short, empty = stack.encode(["a cat"]), stack.encode([""])
    assert torch.allclose(both.context[0, :77], short.context[0], atol=1e-5)
    assert torch.allclose(both.context[0, 77:154], empty.context[0], atol=1e-5)
    joined = join([short, stack.encode([LONG])], empty)
    assert torch.allclose(joined.context, both.context, atol=1e-5)
    if kind == "sdxl":
        assert both.pooled.shape == (2, 64)
        assert torch.allclose(joined.pooled, both.pooled, atol=1e-5)
        first_chunk = stack.encode([tokenizer().decode(prompt_chunks(LONG)[0])])
        assert torch.allclose(both.pooled[1], first_chunk.pooled[0], atol=1e-4)
    else:
        assert both.pooled is None


@torch.no_grad()
def test_clip_skip_takes_an_earlier_layer_through_the_final_norm(toy):
    stack = _stack(toy, "sd1")
    encoder = stack.encoders[0]
    ids = torch.tensor([padded(prompt_chunks("a cat")[0], EOS)])
    states = encoder(input_ids=ids, output_hidden_states=True).hidden_states
    norm = encoder.text_model.final_layer_norm
    assert torch.allclose(stack.encode(["a cat"], 1).context, norm(states[-1]), atol=1e-6)
    assert torch.allclose(stack.encode(["a cat"], 2).context, norm(states[-2]), atol=1e-6)
    fixed = _stack(toy, "sd2v")
    assert torch.equal(fixed.encode(["a cat"], 2).context, fixed.encode(["a cat"], 1).context)
