"""Whether a LoRA from anywhere can be painted with beside a character's: said before anything is painted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from faults import raises
from lora_makers import flat_tensors
from safetensors.torch import load_file, save_file

from lib_lora.lora.bundled import bundled_tensors
from lib_lora.lora.file.fitting import check_fits
from lib_lora.lora.key_names import kohya_name
from lib_lora.models.families.registry import family_named


@pytest.fixture
def made(tmp_path):
    """made(family, further): a LoRA of the UNet's layers, with further layers of other names."""

    def make(family: str, *further: str) -> Path:
        layers = family_named(family).adapter_paths("unet", False)
        names = [kohya_name(family, "unet", layer) for layer in layers]
        path = tmp_path / f"Tusche ü {family}.safetensors"
        save_file(flat_tensors([*names, *further], width=family_named(family).context_widths[0]), path)
        return path

    return make


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_one_for_the_same_family_fits(made, family):
    check_fits(made(family), family)


@pytest.mark.parametrize(
    ("family", "widths", "base", "fits"),
    [
        ("sd1", [768], 768, True),
        ("sd1", [768], None, True),
        ("sd1", [1024], 768, False),
        ("sd1", [768, 1280], None, False),
        ("sdxl", [768, 1280], 2048, True),
        ("sdxl", [768], None, False),
        ("sdxl", [768, 768], 2048, False),
    ],
)
def test_vectors_of_words_must_fit_the_base_model(made, family, widths, base, fits):
    path = made(family)
    save_file({**load_file(path), **bundled_tensors("mrxa", [torch.ones(2, width) for width in widths])}, path)
    if fits:
        check_fits(path, family, base)
    else:
        with raises("further-lora-vectors-unfit", has=("mrxa", str(widths[0])), word="mrxa"):
            check_fits(path, family, base)


@pytest.mark.parametrize(("family", "other"), [("sd1", "sdxl"), ("sdxl", "sd1"), ("sd2", "sdxl"), ("sd2", "sd1")])
def test_one_for_another_family_is_refused_with_both_names(made, family, other):
    has = (family_named(family).label, family_named(other).label, "lora_unet_")
    with raises("further-lora-of-other-family", has=has, family=family):
        check_fits(made(family), other)


def test_layers_that_nobody_knows_are_left_aside(made):
    check_fits(made("sd1", "lora_unet_conv_of_the_future"), "sd1")


def test_one_that_fits_nothing_is_refused(tmp_path):
    path = tmp_path / "strange.safetensors"
    save_file(flat_tensors(["lora_unet_blocks_0_x"]), path)
    with raises("further-lora-of-other-family", has="lora_unet_blocks_0_x"):
        check_fits(path, "sd1")


@pytest.mark.parametrize("key", ["lora_unet_x.hada_w1_a", "lora_unet_x.lokr_w1", "lora_unet_x.oft_blocks"])
def test_a_kind_that_is_not_read_is_said_with_its_key(tmp_path, key):
    path = tmp_path / "lycoris.safetensors"
    save_file({key: torch.zeros(2, 2)}, path)
    with raises("not-a-lora", has=("LyCORIS", key), key=key):
        check_fits(path, "sd1")


def test_a_damaged_file_and_one_that_vanished(made):
    path = made("sd1")
    path.write_bytes(path.read_bytes()[:-3])
    with raises("safetensors-truncated", has=path.name):
        check_fits(path, "sd1")
    path.unlink()
    with raises("file-missing", has=path.name):
        check_fits(path, "sd1")


def test_numbers_that_are_none_are_found(tmp_path):
    tensors = flat_tensors([kohya_name("sd1", "unet", "mid_block.attentions.0.proj_in")])
    tensors = {
        key: tensor.fill_(float("nan")) if key.endswith("up.weight") else tensor for key, tensor in tensors.items()
    }
    path = tmp_path / "nan.safetensors"
    save_file(tensors, path)
    with raises("lora-not-finite"):
        check_fits(path, "sd1")
