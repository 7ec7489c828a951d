"""Captioners by name, and CLIP's choice among phrases: said only where it is clear."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from faults import raises
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from lib_lora.captions import phrases
from lib_lora.captions.captioner import of_sentence
from lib_lora.captions.vocabulary import NEUTRAL, OVER_NEUTRAL, OVER_NEXT, SLOTS, UNSAID, clear
from lib_lora.clip.clip_model import Clip, ClipWeights
from lib_lora.models.clip_tokens import CHUNK, token_ids
from lib_lora.workflows.photos.captioners import ClipCaptioner, captioner_of

TINY = "sameface-tiny-captioner"
CONFIG = {
    "embed_dim": 20,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
COSINES = st.lists(st.floats(-1, 1), max_size=6)


@pytest.fixture(autouse=True)
def _bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No weights anywhere, whatever is on the machine that runs the tests."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "SAMEFACE_CLIP", "SAMEFACE_CLIP_MODEL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file with a tiny CLIP model of random numbers."""
    import open_clip  # here, since each worker collects this file

    config = tmp_path / f"{TINY}.json"
    config.write_text(json.dumps(CONFIG), encoding="utf-8")
    open_clip.add_model_config(config)
    torch.manual_seed(1)
    path = tmp_path / "tiny.safetensors"
    model = open_clip.create_model(TINY)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)
    return path


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(5).integers(0, 256, (6, 6, 3), np.uint8)).resize((40, 60))


class Knowing:
    """In place of Clip: sees in every picture what it was told, and nothing else."""

    id = "knowing"

    def __init__(self, *seen: str) -> None:
        self.seen = seen

    def features(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        return np.ones((len(pictures), 1), np.float32)

    def texts(self, prompts: Sequence[str]) -> np.ndarray:
        cosines = [0.3 if any(prompt.endswith(phrase) for phrase in self.seen) else 0.2 for prompt in prompts]
        return np.array(cosines, np.float32)[:, None]


def test_what_clearly_fits_is_said_in_the_order_of_the_slots() -> None:
    clip = Knowing("in a park", "wearing sunglasses", "night", "wearing a coat", "with a ponytail")
    captioner = ClipCaptioner(clip)
    said = ["wearing a coat", "wearing sunglasses", "with a ponytail", "in a park", "night"]
    assert captioner.phrases(picture()) == said
    assert captioner.id == "words-1:knowing"


def test_the_usual_is_chosen_but_not_said() -> None:
    assert ClipCaptioner(Knowing(*UNSAID)).phrases(picture()) == []
    assert {phrase for slot in SLOTS for phrase in slot.phrases} >= UNSAID


def test_what_is_not_clear_is_not_said() -> None:
    assert ClipCaptioner(Knowing()).phrases(picture()) == []
    assert ClipCaptioner(Knowing("in a park", "in a forest")).phrases(picture()) == []
    assert ClipCaptioner(Knowing("in a park", *NEUTRAL)).phrases(picture()) == []


@given(COSINES, COSINES)
def test_the_winner_is_ahead_of_all_others(scores: list[float], neutral: list[float]) -> None:
    place = clear(scores, neutral)
    if place is None:
        best = max(range(len(scores)), key=lambda one: scores[one], default=None)
        rest = [score for one, score in enumerate(scores) if one != best]
        near_next = bool(rest) and scores[best] < max(rest) + OVER_NEXT
        assert best is None or near_next or scores[best] < max(neutral, default=-1) + OVER_NEUTRAL
    else:
        others = [score for one, score in enumerate(scores) if one != place]
        assert all(scores[place] >= other + OVER_NEXT for other in others)
        assert all(scores[place] >= one + OVER_NEUTRAL for one in neutral)


def test_what_is_no_number_never_wins() -> None:
    assert clear([math.nan, 0.2], [0.1]) is None
    assert clear([0.3, 0.2], [math.nan]) is None
    assert clear([], []) is None


def test_the_vocabulary_is_made_of_phrases_that_a_caption_can_hold() -> None:
    every = [phrase for slot in SLOTS for phrase in slot.phrases]
    assert len({phrases.key(phrase) for phrase in every}) == len(every)
    assert all(phrases.split(phrase) == [phrase] for phrase in every)
    assert all(len(token_ids(prompt)) < CHUNK for slot in SLOTS for prompt in slot.prompts())
    assert not any("eyes" in phrase or "skin" in phrase for phrase in every)
    worn = [phrase for phrase in every if phrase.startswith("wearing")]
    assert [of_sentence(f"a woman {phrase}") for phrase in worn] == [[phrase] for phrase in worn]


def test_a_file_of_clip_weights_is_a_captioner(weights: Path, tmp_path: Path) -> None:
    captioner = captioner_of(f"clip:{weights}", tmp_path)
    clip = Clip(ClipWeights(weights, "tiny", TINY))
    assert captioner.id == f"words-1:{clip.id}"
    [seen], neutral, expected = clip.features([picture()]), clip.texts(NEUTRAL), []
    for slot in SLOTS:
        place = clear((clip.texts(slot.prompts()) @ seen).tolist(), (neutral @ seen).tolist())
        expected += [] if place is None or slot.phrases[place] in UNSAID else [slot.phrases[place]]
    assert captioner.phrases(picture()) == expected == captioner.phrases(picture().convert("RGBA"))


def test_a_path_is_looked_for_in_the_data_folder_too(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert captioner_of("clip:tiny.safetensors", tmp_path).id.startswith("words-1:")


def test_the_model_that_is_found_is_known_by_its_file_too(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMEFACE_CLIP", str(weights))
    monkeypatch.setenv("SAMEFACE_CLIP_MODEL", f"{TINY}-quickgelu")
    found = captioner_of("clip", tmp_path)
    assert "quickgelu" in found.id
    assert captioner_of(f"clip:{weights}", tmp_path).id == found.id


@pytest.mark.parametrize("name", ["", "blip", "blip:", "clip:", "webui-blip", "http://somewhere/model", "CLIP"])
def test_an_unknown_name_is_answered_with_what_there_is(name: str, tmp_path: Path) -> None:
    with raises("captioner-unknown", has=("FOLDER", "FILE")):
        captioner_of(name, tmp_path)


def test_what_is_not_on_the_disk_is_said(tmp_path: Path) -> None:
    with raises("clip-model-missing"):
        captioner_of("clip", tmp_path)
    with raises("clip-file-missing"):
        captioner_of(f"clip:{tmp_path / 'none'}", tmp_path)
    with raises("blip-folder-missing"):
        captioner_of(f"blip:{tmp_path / 'none'}", tmp_path)
    with raises("blip-file-missing", has="lacks config.json"):
        captioner_of(f"blip:{tmp_path}", tmp_path)
