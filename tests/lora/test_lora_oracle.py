"""The file, merged by an independent replay of A1111, paints what was trained; and so does our own merge."""

from functools import cache

import pytest
import torch
from lora_makers import SHAPES, checkpoint_tensors, furthest, metadata, outputs, parts_of, trained
from safetensors.torch import load_file
from webui_replay import webui_merge

from lib_lora.lora.adapter.merge import merged
from lib_lora.lora.file.reading import read
from lib_lora.lora.file.writing import write


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The untouched parts of each family's toy, loaded once: every merge must leave them as they were."""
    return cache(lambda family: parts_of(checkpoint_tensors(family), tmp_path_factory.mktemp(family)))


@pytest.fixture(scope="module")
def painted(base):
    """What the untouched parts give."""
    return cache(lambda family: outputs(base(family)))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The parts of a toy with an adapter, not to be changed, how many layers that has, and its file."""

    def make(family, shape):
        folder = tmp_path_factory.mktemp("made")
        parts, adapter = trained(family, shape, folder)
        path = folder / "lora.safetensors"
        write(path, adapter.export(), metadata(family))
        return parts, len(adapter.layers), path

    return cache(make)


# Each shape of each layer once; of the families with other names each kind of layer, with and without a magnitude.
CASES = [
    *(("sd1", shape) for shape in SHAPES),
    ("sd2", "LoCon"),
    ("sd2", "DoRA"),
    ("sdxl", "LoRA"),
    ("sdxl", "DoRA LoCon"),
]


@pytest.mark.parametrize(("family", "shape"), CASES)
def test_the_file_in_a1111_is_the_trained_model(family, shape, base, painted, made, tmp_path):
    parts, layers, path = made(family, shape)
    ours = outputs(parts)
    theirs = outputs(parts_of(webui_merge(checkpoint_tensors(family), load_file(str(path)), family), tmp_path))
    worst = furthest(ours, theirs)
    assert max(worst.values()) < 1e-4, worst

    plain = base(family)
    effect = furthest(ours, painted(family))
    assert min(effect.values()) > 0.05, effect  # so that the agreement says something

    with merged(plain, family, read(path)) as merge:
        worst = furthest(ours, outputs(plain))
        assert max(worst.values()) < 1e-4, worst
        assert sum(merge.applied.values()) == layers
        assert merge.ignored == ()


@pytest.mark.parametrize("shape", ["LoCon", "DoRA LoCon"])
@pytest.mark.parametrize("multiplier", [-0.5, 1.3])
def test_other_weights_are_a1111s_too(shape, multiplier, base, made, tmp_path):
    *_, path = made("sd1", shape)
    changed = webui_merge(checkpoint_tensors("sd1"), load_file(str(path)), "sd1", multiplier)
    theirs = outputs(parts_of(changed, tmp_path))
    plain = base("sd1")
    with merged(plain, "sd1", read(path), multiplier):
        worst = furthest(outputs(plain), theirs)
    assert max(worst.values()) < 1e-4, worst


def test_half_precision_costs_little(base, painted, tmp_path):
    """Numbers that float16 cannot hold: what is painted moves by far less than what the LoRA does."""
    parts, adapter = trained("sd1", "DoRA LoCon", tmp_path)
    with torch.no_grad():
        for layer in adapter.layers:
            layer.down.mul_(1.0003)
    path = tmp_path / "lora.safetensors"
    write(path, adapter.export(), metadata("sd1"))
    plain = base("sd1")
    ours, without = outputs(parts), painted("sd1")
    with merged(plain, "sd1", read(path)):
        lost = furthest(ours, outputs(plain))
    effect = furthest(ours, without)
    assert 0 < lost["unet"] < 0.01 * effect["unet"]
    assert 0 < lost["te1"] < 0.01 * effect["te1"]
