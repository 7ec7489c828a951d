"""Captions as they are heard, and their encodings."""

from random import Random

import pytest
import torch

from lib_lora.models.clip_tokens import prompt_chunks
from lib_lora.models.families.identify import identify
from lib_lora.training.data.caption_shuffle import varies, words_for
from lib_lora.training.data.conditions import FrozenConditions, LiveConditions
from lib_lora.training.plan.train_settings import TrainSettings

CPU = torch.device("cpu")
CAPTION = "photo of mrxa woman, smiling, red coat, street"


def test_captions_stay_as_they_are_by_default():
    assert words_for("a,  b ,c", TrainSettings(), Random(0)) == "a,  b ,c"
    assert not varies(TrainSettings())


def test_shuffling_keeps_the_first_phrase_and_loses_none():
    train = TrainSettings(shuffle_tags=True, keep_tokens=1)
    heard = {words_for(CAPTION, train, Random(n)) for n in range(50)}
    assert len(heard) == 6  # all orders of three
    assert all(words.startswith("photo of mrxa woman, ") for words in heard)
    assert {frozenset(words.split(", ")) for words in heard} == {frozenset(CAPTION.split(", "))}


def test_tags_are_dropped_but_not_the_kept_ones():
    train = TrainSettings(tag_dropout=0.5, keep_tokens=1)
    heard = [words_for(CAPTION, train, Random(n)) for n in range(400)]
    assert all(words.startswith("photo of mrxa woman") for words in heard)
    kept = sum("smiling" in words for words in heard) / len(heard)
    assert 0.4 < kept < 0.6
    order = ["smiling", "red coat", "street"]
    assert all([tag for tag in order if tag in words] == words.split(", ")[1:] for words in heard)


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_frozen_encodings_are_the_encoders_and_are_remembered(toy, tmp_path, kind):
    info = identify(toy(kind))
    loads = []

    def load():
        loads.append(1)
        return info.load_text(torch.float32, CPU)

    key = ("base", info.family, "float32")
    frozen = FrozenConditions(tmp_path, key, load, 1, 1, CPU, torch.float32)
    frozen.prepare([CAPTION, "other"], release=True)
    assert frozen.stack is None
    captions = [CAPTION, "", "other"]
    with torch.no_grad():
        live = LiveConditions(load(), 1)(captions)
    given = frozen(captions)
    assert torch.allclose(given.context, live.context, atol=1e-5)
    assert kind == "sd1" or torch.allclose(given.pooled, live.pooled, atol=1e-5)
    assert len(loads) == 2
    again = FrozenConditions(tmp_path, key, lambda: pytest.fail("loaded again"), 1, 1, CPU, torch.float32)
    again.prepare([CAPTION, "other"], release=True)
    assert torch.equal(again(captions).context, given.context)
    other_skip = FrozenConditions(tmp_path, key, load, 2, 1, CPU, torch.float32)
    other_skip.prepare([CAPTION], release=True)
    assert len(loads) == 3  # clip skip is part of the key


def test_long_and_short_captions_share_a_batch(toy, tmp_path):
    info = identify(toy("sd1"))
    stack = info.load_text(torch.float32, CPU)
    long = "photo of mrxa woman, " * 30
    chunks = len(prompt_chunks(long))
    frozen = FrozenConditions(tmp_path, ("x",), lambda: stack, 1, chunks, CPU, torch.float32)
    frozen.prepare(["short"], release=False)
    both, alone = frozen(["short", long]).context, frozen(["short"]).context
    assert both.shape == (2, 77 * chunks, 64)
    assert torch.allclose(both[:1], alone, atol=1e-5)  # no encoding depends on its neighbours
    with torch.no_grad():
        assert torch.allclose(LiveConditions(stack, 1, chunks)(["short"]).context, alone, atol=1e-5)
    assert len(list(tmp_path.iterdir())) == 2  # what was not prepared is not kept
    assert long not in frozen.memory
