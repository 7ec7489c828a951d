"""kohya's names: golden lists, A1111's own look-up, and the way back."""

import copy
import re

import pytest
import toys
from faults import misfit
from hypothesis import given
from hypothesis import strategies as st
from make_golden import LISTS, full_size, golden, golden_names, keys_of
from webui_replay import webui_find, webui_modules

from lib_lora.lora import key_names
from lib_lora.lora.adapter.adapter import attach
from lib_lora.lora.adapter_settings import LoraSettings
from lib_lora.models.families.registry import families, family_named, family_names

PARTS = [(family, part) for family in family_names() for part in family_named(family).parts]


@pytest.fixture(scope="module")
def originals():
    """A1111's module names in each family's original checkpoint."""
    kinds = {"sd1": "sd1", "sd2": "sd2v", "sdxl": "sdxl"}
    return {family: webui_modules(toys.toy_tensors(kind)) for family, kind in kinds.items()}


@pytest.mark.parametrize("kind", LISTS)
def test_golden_lists_are_what_their_maker_says(kind):
    keys = golden(kind)
    assert keys == keys_of(golden_names(kind))
    assert len(keys) == 3 * LISTS[kind]


@pytest.mark.parametrize(("family", "part"), PARTS)
def test_names_of_the_architecture_are_the_golden_ones(family, part):
    paths = family_named(family).adapter_paths(part)
    assert len(paths) == LISTS[f"{family}-{part}"]
    assert keys_of(key_names.kohya_name(family, part, path) for path in paths) == golden(f"{family}-{part}")


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_convolutions_add_the_golden_ones(family):
    added = set(family_named(family).adapter_paths("unet", True)) - set(family_named(family).adapter_paths("unet"))
    assert keys_of(key_names.kohya_name(family, "unet", path) for path in added) == golden(f"{family}-unet-conv")


@pytest.mark.parametrize("use_dora", [False, True])
@pytest.mark.parametrize("convolutions", [False, True])
@pytest.mark.parametrize(("family", "part"), PARTS)
def test_attaching_to_the_full_size_models_gives_the_golden_keys(family, part, convolutions, use_dora):
    settings = LoraSettings(rank=1, conv_rank=int(convolutions), use_dora=use_dora)
    adapter = attach({part: copy.deepcopy(full_size(f"{family}-{part}"))}, family, settings)
    expected = golden(f"{family}-{part}") + (golden(f"{family}-unet-conv") if convolutions and part == "unet" else [])
    assert keys_of(key_names.kohya_name(family, part, layer.path) for layer in adapter.layers) == sorted(expected)
    assert len({layer.path for layer in adapter.layers}) == len(adapter.layers)


def test_the_totals_of_whole_files():
    totals = {one.name: sum(len(one.adapter_paths(part)) for part in one.parts) for one in families()}
    assert totals == {"sd1": 264, "sd2": 330, "sdxl": 986}


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_a1111_finds_every_layer_and_each_only_once(originals, family):
    modules = originals[family]
    written = [key.partition(".")[0] for kind in LISTS if kind.startswith(family + "-") for key in golden(kind)[::3]]
    found = [webui_find(name, modules, family) for name in written]
    assert None not in found
    assert len(set(found)) == len(written)
    # and nothing of the kind is left over: all matrices and kernels inside the blocks, but the embeddings
    blocks = r"diffusion_model_(input_blocks_[1-9]|middle_block|output_blocks)|(resblocks|encoder_layers)_\d"
    inside = {name for name in modules if re.search(blocks, name)}
    if family == "sd2":  # the 24th layer is never read
        inside = {name for name in inside if "resblocks_23_" not in name}
    assert set(found) == inside


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_a1111_finds_every_other_spelling_in_the_same_place(originals, family):
    modules = originals[family]
    checked = 0
    for part in family_named(family).parts:
        for path in family_named(family).adapter_paths(part, True):
            name, *others = key_names.spellings(family, part, path)
            for other in others:
                assert webui_find(other, modules, family) == webui_find(name, modules, family), other
                checked += 1
    assert checked == {"sd1": 278 + 72, "sd2": 278, "sdxl": 788 - 1}[family]


def test_the_exception_of_sdxl_is_one_indeed(originals):
    wrong = "lora_unet_up_blocks_0_upsamplers_0_conv"
    assert webui_find(wrong, originals["sdxl"], "sdxl") is None
    assert key_names.locate("sdxl", wrong) is None


@given(st.sampled_from(PARTS), st.data())
def test_there_and_back(place, data):
    family, part = place
    path = data.draw(st.sampled_from(family_named(family).adapter_paths(part, True)))
    name = key_names.kohya_name(family, part, path)
    assert "." not in name
    assert key_names.split_key(f"{name}.lora_down.weight") == (name, "lora_down.weight")
    assert key_names.part_of(name) == part
    for spelling in key_names.spellings(family, part, path):
        assert key_names.locate(family, spelling) == (part, path)


@given(st.sampled_from(["sd1", "sd2", "sdxl"]), st.text() | st.from_regex(r"lora_(unet|te[12]?)_[a-z_0-9]{0,60}"))
def test_any_other_name_is_found_nowhere_and_harms_nothing(family, name):
    place = key_names.locate(family, name)
    assert place is None or name in key_names.spellings(family, *place)
    first, what = key_names.split_key(name)
    assert first + ("." if "." in name else "") + what == name


def test_what_is_no_part_is_said():
    with pytest.raises(KeyError):
        key_names.kohya_name("sd1", "te2", "x")
    with pytest.raises(KeyError):
        key_names.kohya_name("sdxl", "unet", "down_blocks.0.resnets.0.gamma")
    with misfit("part", "sd1", "te2", "unet, te1"):
        family_named("sd1").adapter_paths("te2")
    assert key_names.part_of("lora_prior_x") is None


@pytest.mark.parametrize(("family", "part"), PARTS)
def test_the_pattern_takes_the_layers_and_nothing_else(family, part):
    paths = [key.rpartition(".")[0] for key in full_size(f"{family}-{part}").state_dict()]
    for convolutions in (False, True):
        wanted = re.compile(family_named(family).adapter_pattern(part, convolutions))
        assert {path for path in paths if wanted.fullmatch(path)} == set(
            family_named(family).adapter_paths(part, convolutions)
        )
