"""BLIP from a folder: what transformers' own loading says, nothing executed, and one sentence for what is missing."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import torch
import transformers.utils.hub
from faults import raises
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import BertTokenizerFast, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor

from lib_lora.captions.blip import BEAMS, LONGEST, Blip
from lib_lora.captions.captioner import of_sentence

VOCABULARY = "[PAD] [UNK] [CLS] [SEP] [MASK] a woman with hair wearing red coat hat standing in street on"
WORDS = VOCABULARY.split()
DECODER, EMBEDDINGS = "text_decoder.cls.predictions.decoder.", "text_decoder.bert.embeddings.word_embeddings.weight"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BLIP as the hub holds one; tests copy it."""
    narrow = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {"encoder_hidden_size": 32, "projection_dim": 32, "vocab_size": len(WORDS), "max_position_embeddings": 64}
    marks = {"bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3, "pad_token_id": 0}
    model = BlipForConditionalGeneration(
        BlipConfig(
            text_config={**narrow, **text, **marks},
            vision_config={**narrow, "image_size": 32, "patch_size": 16},
            projection_dim=32,
            image_text_hidden_size=32,
        )
    )
    processor = BlipImageProcessor(size={"height": 32, "width": 32})
    shown = processor(images=pictures(), return_tensors="pt")["pixel_values"]
    for seed in range(50):  # which numbers tell pictures apart differs between releases, as names and order do
        torch.manual_seed(seed)
        with torch.no_grad():  # fresh numbers are so small that every picture gives the same
            for _, tensor in sorted(model.named_parameters()):
                tensor.copy_(torch.randn_like(tensor) * 0.3)
            model.text_decoder.cls.predictions.bias[: WORDS.index("a")] = -100  # words, not marks
        said = model.eval().generate(pixel_values=shown, num_beams=BEAMS, do_sample=False, max_new_tokens=LONGEST)
        if len({tuple(one) for one in said.tolist()}) > 2:
            break
    path = tmp_path_factory.mktemp("blip") / "a BLIP ü"
    model.save_pretrained(path, safe_serialization=True)
    (path / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    (path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True}))
    processor.save_pretrained(path)
    return path


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """One that a test may change."""
    return shutil.copytree(made, tmp_path / made.name)


def pictures(count: int = 6) -> list[Image.Image]:
    noise = np.random.default_rng(5)
    return [Image.fromarray(noise.integers(0, 256, (8, 6, 3), np.uint8)).resize((60, 80)) for _ in range(count)]


def by_transformers(folder: Path, image: Image.Image) -> str:
    """The sentence with transformers' own loading, with the two names of one tensor as the file has them."""
    model = BlipForConditionalGeneration.from_pretrained(folder).eval()
    tensors = load_file(folder / "model.safetensors")
    with torch.no_grad():
        if DECODER + "weight" not in tensors:
            model.text_decoder.cls.predictions.decoder.weight.copy_(tensors[EMBEDDINGS])
    pixels = BlipImageProcessor.from_pretrained(folder)(images=image, return_tensors="pt")["pixel_values"]
    tokens = model.generate(pixel_values=pixels, num_beams=BEAMS, do_sample=False, max_new_tokens=LONGEST)
    return BertTokenizerFast.from_pretrained(folder).decode(tokens[0], skip_special_tokens=True).strip()


def test_sentences_are_those_of_transformers_and_always_the_same(folder: Path) -> None:
    blip = Blip(folder)
    said = [blip.sentence(image) for image in pictures()]
    assert said == [by_transformers(folder, image) for image in pictures()]
    assert len(set(said)) > 1
    assert Blip(folder).sentence(pictures()[0]) == blip.sentence(pictures()[0].convert("RGBA")) == said[0]
    assert [blip.phrases(image) for image in pictures()] == [of_sentence(one) for one in said]


def test_its_name_says_which_weights_it_has(folder: Path, tmp_path: Path) -> None:
    blip = Blip(folder)
    assert blip.id.startswith("blip-1:a BLIP ü:")
    assert Blip(folder, keep_hair=True).id != blip.id
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, EMBEDDINGS: tensors[EMBEDDINGS] + 1}, folder / "model.safetensors")
    assert Blip(folder).id != blip.id


def test_the_network_is_never_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def refuse(*args: Any, **_: Any) -> None:
        asked.append(args)
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)  # as with a user, and not in tests
    monkeypatch.setattr(transformers.utils.hub, "_is_offline_mode", False, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert Blip(folder).sentence(pictures()[0])
    (folder / "vocab.txt").unlink()
    with raises("blip-file-missing", has="lacks"):
        Blip(folder)
    assert asked == []


@pytest.fixture
def pickled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """pickled(more): the folder with pytorch_model.bin in place of safetensors; torch's own loader fails the test."""

    def make(more: dict[str, Any]) -> Path:
        tensors = load_file(folder / "model.safetensors")
        tensors.setdefault(DECODER + "weight", tensors[EMBEDDINGS].clone())
        torch.save({**tensors, **more}, folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()

        def forbidden(*_: Any, **__: Any) -> None:
            raise AssertionError("torch opened a pickle")

        monkeypatch.setattr(torch, "load", forbidden)
        return folder

    return make


class Bomb:
    """Makes a folder where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_is_read_and_not_executed(folder: Path, pickled: Callable[..., Path], tmp_path: Path) -> None:
    said = [Blip(folder).sentence(image) for image in pictures()]
    positions = {"text_decoder.bert.embeddings.position_ids": torch.arange(64)[None]}
    pickled({**positions, "bomb": Bomb(tmp_path / "crater")})
    assert [Blip(folder).sentence(image) for image in pictures()] == said
    assert not (tmp_path / "crater").exists()


def test_half_precision_is_widened(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file({name: tensor.half() for name, tensor in tensors.items()}, folder / "model.safetensors")
    assert Blip(folder).sentence(pictures()[0])


@pytest.mark.once("which file is at fault is ours; loading and sentences are repeated above")
@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (["config.json"], ("blip-file-missing", "lacks config.json")),
        (["model.safetensors"], ("blip-file-missing", "lacks model.safetensors or pytorch_model.bin")),
        (["vocab.txt"], ("blip-file-missing", "lacks tokenizer.json or vocab.txt")),
    ],
)
def test_what_is_missing_is_said(gone: list[str], said: str, folder: Path) -> None:
    for name in gone:
        (folder / name).unlink()
    with raises(said[0], has=said[1:]):
        Blip(folder)


def test_without_a_preprocessor_s_settings_blip_s_own_hold(folder: Path) -> None:
    said = Blip(folder).sentence(pictures()[0])
    (folder / "preprocessor_config.json").unlink()
    assert Blip(folder).sentence(pictures()[0]) == said


@pytest.mark.once("which file is at fault is ours; loading and sentences are repeated above")
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "preprocessor_config.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe{"])
def test_a_damaged_file_is_said_by_its_name(name: str, content: bytes, folder: Path) -> None:
    (folder / name).write_bytes(content)
    with raises(("blip-file-damaged", "file-empty", "safetensors-invalid"), has=name):
        Blip(folder)


def test_another_model_is_said(folder: Path, tmp_path: Path) -> None:
    with raises("blip-folder-missing"):
        Blip(tmp_path / "nowhere")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "blip-2"}))
    with raises("blip-wrong-model", has="'blip-2'"):
        Blip(folder)
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["BlipForQuestionAnswering"]}))
    with raises("blip-no-captioner"):
        Blip(folder)
    other = {**config, "text_config": {**config["text_config"], "hidden_size": 64}}
    (folder / "config.json").write_text(json.dumps(other))
    with raises("blip-config-mismatch", has="config.json"):
        Blip(folder)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = load_file(folder / "model.safetensors")
    del tensors["vision_model.post_layernorm.weight"]
    save_file(tensors, folder / "model.safetensors")
    with raises("blip-tensor-missing", has="vision_model.post_layernorm.weight"):
        Blip(folder)


@pytest.mark.gpu
def test_a_gpu_says_the_same(folder: Path) -> None:
    slow, fast = Blip(folder), Blip(folder, "cuda")
    assert [fast.sentence(image) for image in pictures()] == [slow.sentence(image) for image in pictures()]
