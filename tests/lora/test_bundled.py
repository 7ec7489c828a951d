"""Vectors of a word inside a LoRA file: what is read of them, what is refused, and that they are passed on."""

import json

import pytest
import torch
from faults import raises
from lora_makers import flat_tensors, metadata, trained
from safetensors.torch import load_file, save_file

from lib_lora.lora.bundled import bundled_tensors
from lib_lora.lora.file.describe import describe
from lib_lora.lora.file.reading import read
from lib_lora.lora.file.writing import write
from lib_lora.models.textual_inversion import TextualInversion

ONE = "bundle_emb.mrxa.string_to_param.*"
LEFT, RIGHT = "bundle_emb.mrxa.clip_l", "bundle_emb.mrxa.clip_g"


def _file(folder, more):
    path = folder / "x.safetensors"
    save_file({**flat_tensors(["lora_unet_mid_block_attentions_0_proj_in"]), **more}, str(path))
    return path


def test_the_keys_are_a1111s():
    vectors = torch.ones(2, 8)
    assert list(bundled_tensors("mrxa", [vectors])) == [ONE]
    assert list(bundled_tensors("mrxa", [vectors, vectors])) == [LEFT, RIGHT]


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({}, {}),
        ({ONE: torch.ones(3, 8)}, {"mrxa": [(3, 8)]}),
        ({"bundle_emb.two words.string_to_param.267": torch.ones(1, 8)}, {"two words": [(1, 8)]}),
        ({RIGHT: torch.ones(2, 9), LEFT: torch.ones(2, 8)}, {"mrxa": [(2, 8), (2, 9)]}),
        ({"bundle_emb.mrxa.emb_params": torch.ones(2, 8)}, {"mrxa": [(2, 8)]}),
        ({LEFT: torch.ones(2, 8)}, {"mrxa": [(2, 8)]}),
        ({"bundle_emb.mrxa.<mrxa>": torch.ones(8)}, {"mrxa": [(1, 8)]}),
        (
            {LEFT: torch.ones(2, 8), RIGHT: torch.ones(2, 9), "bundle_emb.mrxa.clip_l_out": torch.ones(5, 5, 5)},
            {"mrxa": [(2, 8), (2, 9)]},
        ),
        ({ONE: torch.ones(1, 8), LEFT: torch.ones(2, 8), RIGHT: torch.ones(2, 9)}, {"mrxa": [(1, 8)]}),
        ({ONE: torch.ones(1, 8), ONE.replace("*", "b"): torch.ones(3, 8)}, {"mrxa": [(3, 8)]}),
    ],
)
def test_words_are_read(tmp_path, more, found):
    path = _file(tmp_path, more)
    lora = read(path)
    assert {one.word: [tuple(part.shape) for part in one.vectors] for one in lora.inversions} == found
    assert len(lora.layers) == 1
    described = describe(path)
    assert described["words"] == {word: shapes[0][0] for word, shapes in found.items()}
    assert described["modules"] == 1
    json.dumps(described)


@pytest.mark.parametrize(
    "more",
    [
        {LEFT: torch.ones(2, 8), RIGHT: torch.ones(3, 8)},
        {LEFT: torch.ones(8), RIGHT: torch.ones(8)},
        {LEFT: torch.ones(2, 8), "bundle_emb.mrxa.clip_l_out": torch.ones(2, 8)},
        {ONE: torch.ones(8)},
        {"bundle_emb.mrxa.string_to_param": torch.ones(1, 8)},
        {"bundle_emb.mrxa.emb_params": torch.ones(76, 8)},
        {"bundle_emb.mrxa.emb_params": torch.ones(5000)},
        {ONE: torch.ones(2, 2, 8)},
        {ONE: torch.ones(0, 8)},
        {ONE: torch.ones(76, 8)},
        {ONE: torch.ones(1, 5000)},
        {"bundle_emb.mrxa": torch.ones(1, 8)},
        {"bundle_emb..string_to_param.*": torch.ones(1, 8)},
        {f"bundle_emb.{'x' * 101}.string_to_param.*": torch.ones(1, 8)},
        {f"bundle_emb.w{n}.string_to_param.*": torch.ones(1, 8) for n in range(17)},
    ],
    ids=str,
)
def test_strange_vectors_are_refused(tmp_path, more):
    path = _file(tmp_path, more)
    for reader in (read, describe):
        with raises("lora-embedding-unknown", has="x.safetensors"):
            reader(path)


def test_vectors_that_are_no_numbers_are_reported(tmp_path):
    for reader in (read, describe):
        with raises("lora-vectors-not-finite", has="mrxa"):
            reader(_file(tmp_path, {ONE: torch.full((1, 8), float("nan"))}))


def test_an_adapter_with_a_word_is_written_and_read_again(tmp_path):
    _, adapter = trained("sd1", "LoRA", tmp_path)
    vectors = torch.nn.Parameter(torch.randn(2, 64).half().float())
    plain = adapter.export()
    assert adapter.vectors() == {}
    adapter.trigger = TextualInversion("mrxa", (vectors,))
    path = tmp_path / "lora.safetensors"
    write(path, adapter.export(), metadata("sd1"))
    assert set(load_file(path)) == {*plain, ONE}
    (word,) = read(path).inversions
    assert word.word == "mrxa"
    assert torch.equal(word.vectors[0], vectors)
    state = adapter.state()
    assert torch.equal(state["te1.trigger"], vectors)
    adapter.load_state({**state, "te1.trigger": torch.zeros(2, 64)})
    assert not vectors.any()
    with raises("state-of-other-adapter"):
        adapter.load_state({key: item for key, item in state.items() if key != "te1.trigger"})


def test_strange_vectors_are_not_written(tmp_path):
    _, adapter = trained("sd1", "LoRA", tmp_path)
    strange = {**adapter.export(), **bundled_tensors("mrxa", [torch.ones(76, 64)])}
    with raises("lora-embedding-unknown", has="The LoRA was not written: it has vectors for the word 'mrxa'"):
        write(tmp_path / "x.safetensors", strange, metadata("sd1"))


def test_vectors_for_another_number_of_text_encoders_are_not_written(tmp_path):
    _, adapter = trained("sd1", "LoRA", tmp_path)
    with raises("lora-embedding-unfit", has="mrxa"):
        write(
            tmp_path / "x.safetensors",
            {**adapter.export(), **bundled_tensors("mrxa", [torch.ones(1, 64)] * 2)},
            metadata("sd1"),
        )
