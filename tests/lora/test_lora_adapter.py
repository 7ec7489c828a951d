"""Attaching: sizes, types, what is frozen, the state, and what is refused."""

import copy
from functools import cache

import pytest
import torch
from faults import misfit, raises
from lora_makers import as_if_trained, checkpoint_tensors, furthest, outputs, parts_of, trained
from torch import nn

from lib_lora.lora.adapter.adapter import attach
from lib_lora.lora.adapter.fused import fuse
from lib_lora.lora.adapter_settings import LoraSettings
from lib_lora.lora.key_names import kohya_name

EVERYTHING = LoraSettings(rank=4, alpha=2, conv_rank=3, conv_alpha=1, te_rank=2, te_alpha=5)


@pytest.fixture(scope="module")
def sd1_as(tmp_path_factory):
    """A toy's parts in a type, untouched; tests copy them."""
    folder = tmp_path_factory.mktemp("sd1")
    return cache(lambda dtype: parts_of(checkpoint_tensors("sd1"), folder, dtype))


@pytest.fixture(scope="module")
def sd1(sd1_as):
    return sd1_as(torch.float32)


@pytest.mark.parametrize("use_dora", [False, True])
def test_sizes_of_each_kind_of_layer(sd1, use_dora):
    settings = LoraSettings(**{**vars(EVERYTHING), "use_dora": use_dora})
    adapter = attach(copy.deepcopy(sd1), "sd1", settings)
    by_path = {(layer.part, layer.path): layer for layer in adapter.layers}
    assert len(by_path) == 278 + 72
    assert adapter.parts == ("unet", "te1")
    expected = {
        ("unet", "mid_block.attentions.0.transformer_blocks.0.attn2.to_k"): ((4, 64), (32, 4), 2.0, (1, 64)),
        ("unet", "mid_block.attentions.0.proj_in"): ((4, 32, 1, 1), (32, 4, 1, 1), 2.0, (1, 32, 1, 1)),
        ("unet", "down_blocks.1.resnets.0.conv1"): ((3, 32, 3, 3), (64, 3, 1, 1), 1.0, (1, 32, 1, 1)),
        ("unet", "down_blocks.1.resnets.0.conv_shortcut"): ((4, 32, 1, 1), (64, 4, 1, 1), 2.0, (1, 32, 1, 1)),
        ("unet", "down_blocks.1.resnets.0.time_emb_proj"): ((4, 128), (64, 4), 2.0, (1, 128)),
        ("unet", "down_blocks.1.downsamplers.0.conv"): ((3, 64, 3, 3), (64, 3, 1, 1), 1.0, (1, 64, 1, 1)),
        ("unet", "up_blocks.1.upsamplers.0.conv"): ((3, 32, 3, 3), (32, 3, 1, 1), 1.0, (1, 32, 1, 1)),
        ("te1", "text_model.encoder.layers.11.mlp.fc1"): ((2, 64), (256, 2), 5.0, (1, 64)),
    }
    for place, (down, up, alpha, magnitude) in expected.items():
        layer = by_path[place]
        assert (layer.down.shape, layer.up.shape, layer.alpha) == (down, up, alpha), place
        assert (None if layer.magnitude is None else layer.magnitude.shape) == (magnitude if use_dora else None)
    exported = adapter.export()
    assert len(exported) == 350 * (4 if use_dora else 3)
    for layer in adapter.layers:
        name = kohya_name("sd1", layer.part, layer.path)
        assert torch.equal(exported[f"{name}.lora_down.weight"], layer.down)
        assert exported[f"{name}.alpha"].shape == ()
        assert exported[f"{name}.alpha"].item() == layer.alpha


@pytest.mark.parametrize("use_dora", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_only_adapters_are_trained_and_they_are_float32(use_dora, dtype, sd1_as):
    settings = LoraSettings(rank=2, alpha=2, conv_rank=1, use_dora=use_dora)
    parts = copy.deepcopy(sd1_as(dtype))
    adapter = attach(parts, "sd1", settings)
    assert all(item.dtype == torch.float32 for layer in adapter.layers for item in layer.parameters().values())
    for part, model in parts.items():
        wanted = adapter.trainable(part)
        found = [item for item in model.parameters() if item.requires_grad]
        assert {id(item) for item in found} == {id(item) for item in wanted}
        assert len(wanted) == {"unet": 278, "te1": 72}[part] * (3 if use_dora else 2)
        frozen = [item for item in model.parameters() if not item.requires_grad]
        assert {item.dtype for item in frozen} == {dtype}
    assert adapter.trainable("te2") == []


@pytest.mark.parametrize("use_dora", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_untrained_it_changes_nothing_at_all(use_dora, dtype, sd1_as):
    parts = copy.deepcopy(sd1_as(dtype))
    before = outputs(parts, dtype)
    attach(parts, "sd1", LoraSettings(rank=2, alpha=2, conv_rank=1, use_dora=use_dora, dropout=0.2))
    assert furthest(before, outputs(parts, dtype)) == {"unet": 0.0, "te1": 0.0}


@pytest.mark.parametrize("use_dora", [False, True])
def test_half_a_base_gives_nearly_the_same_adapted_output(use_dora, sd1, tmp_path):
    """The learned change survives where the frozen weights run in bfloat16."""
    settings = LoraSettings(rank=2, alpha=2, use_dora=use_dora)
    full, _ = trained("sd1", settings, tmp_path)
    half, _ = trained("sd1", settings, tmp_path, torch.bfloat16)
    ours = outputs(full)
    effect = furthest(ours, outputs(sd1))
    lost = furthest(ours, outputs(half, torch.bfloat16))
    assert lost["unet"] < 0.3 * effect["unet"]
    assert lost["te1"] < 0.3 * effect["te1"]


def test_text_encoders_can_be_left_out_but_are_frozen(sd1):
    parts = copy.deepcopy(sd1)
    parts["te1"].requires_grad_(True)
    adapter = attach(parts, "sd1", LoraSettings(rank=1, te=False))
    assert adapter.parts == ("unet",)
    assert len(adapter.layers) == 192
    assert not any(item.requires_grad for item in parts["te1"].parameters())


@pytest.mark.parametrize("use_dora", [False, True])
def test_rslora_is_in_the_alpha(sd1, use_dora):
    adapter = attach(
        {"unet": copy.deepcopy(sd1["unet"])}, "sd1", LoraSettings(9, 2, use_rslora=True, use_dora=use_dora)
    )
    assert {layer.alpha for layer in adapter.layers} == {6.0}  # 6 / 9 = 2 / root of 9


@pytest.mark.parametrize("use_dora", [False, True])
def test_the_seed_decides_the_first_numbers(sd1, use_dora):
    states = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        parts = {"unet": copy.deepcopy(sd1["unet"])}
        states.append(attach(parts, "sd1", LoraSettings(rank=2, use_dora=use_dora)).state())
    first, again, other = states
    downs = [key for key in first if key.endswith(".down")]
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not any(torch.equal(first[key], other[key]) for key in downs)
    for key in downs:  # kaiming-uniform with a = root of 5: within 1 / root of the inputs
        bound = first[key].shape[1] ** -0.5
        assert 0.5 * bound < float(first[key].abs().max()) <= bound
    assert not any(first[key].any() for key in first if key.endswith(".up"))


@pytest.mark.parametrize("use_dora", [False, True])
def test_the_state_is_exact_and_separate(sd1, use_dora):
    settings = LoraSettings(rank=2, conv_rank=1, use_dora=use_dora)
    adapter = as_if_trained(attach(copy.deepcopy(sd1), "sd1", settings))
    state = adapter.state()
    assert "unet.mid_block.attentions.0.proj_in.down" in state
    kept = {key: tensor.clone() for key, tensor in state.items()}
    with torch.no_grad():
        for item in adapter.trainable("unet") + adapter.trainable("te1"):
            item.add_(1)
    assert all(torch.equal(state[key], kept[key]) for key in state)
    adapter.load_state(state)
    assert all(torch.equal(tensor, kept[key]) for key, tensor in adapter.state().items())
    assert all(item.requires_grad for item in adapter.trainable("unet"))


def test_a_state_of_other_size_changes_nothing(sd1):
    adapter = attach({"unet": copy.deepcopy(sd1["unet"])}, "sd1", LoraSettings(rank=2))
    other = attach({"unet": copy.deepcopy(sd1["unet"])}, "sd1", LoraSettings(rank=3)).state()
    before = adapter.state()
    short = dict(list(before.items())[1:])
    for wrong in (other, short, {**before, "unet.x.up": torch.zeros(1)}):
        with raises("state-of-other-adapter"):
            adapter.load_state(wrong)
    assert all(torch.equal(tensor, before[key]) for key, tensor in adapter.state().items())


def test_dropout_is_only_in_training(tmp_path):
    for use_dora in (False, True):
        parts, _ = trained("sd1", LoraSettings(rank=2, te_dropout=0.0, dropout=0.5, use_dora=use_dora), tmp_path)
        still = outputs(parts)
        assert furthest(still, outputs(parts)) == {"unet": 0.0, "te1": 0.0}
        parts["unet"].train()
        moved = furthest(outputs(parts), outputs(parts))
        assert moved["unet"] > 1e-3
        assert moved["te1"] == 0.0


def test_what_cannot_be_attached(sd1):
    unet = copy.deepcopy(sd1["unet"])
    with misfit("part", "sd1", "te2"):
        attach({"te2": copy.deepcopy(sd1["te1"])}, "sd1", LoraSettings())
    with misfit("parts"):
        attach({"te1": copy.deepcopy(sd1["te1"])}, "sd1", LoraSettings(te=False))
    with raises("model-pruned", has=("192", "722")):
        attach({"unet": unet}, "sdxl", LoraSettings())
    for use_dora in (False, True):
        used = copy.deepcopy(sd1["unet"])
        attach({"unet": used}, "sd1", LoraSettings(rank=1, use_dora=use_dora))
        with misfit("unet"):
            attach({"unet": used}, "sd1", LoraSettings(rank=1))
    fused = copy.deepcopy(sd1["unet"])
    attach({"unet": fused}, "sd1", LoraSettings(rank=1))
    fuse(fused)
    with misfit("unet"):
        attach({"unet": fused}, "sd1", LoraSettings(rank=1))


def test_a_renamed_layer_is_found_at_once(sd1):
    """Else a library that renames its layers would leave them silently untrained."""
    text = copy.deepcopy(sd1["te1"])
    attention = text.text_model.encoder.layers[3].self_attn
    attention.query = attention.q_proj
    del attention.q_proj
    with raises("model-pruned", has=("te1", "71", "72")):
        attach({"te1": text}, "sd1", LoraSettings())


@pytest.mark.parametrize("use_dora", [False, True])
def test_a_few_steps_of_training_move_every_layer_and_no_base_weight(sd1, use_dora):
    torch.manual_seed(0)
    parts = copy.deepcopy(sd1)
    adapter = attach(parts, "sd1", LoraSettings(rank=2, alpha=2, conv_rank=1, use_dora=use_dora))
    frozen = [item for model in parts.values() for item in model.parameters() if not item.requires_grad]
    kept = [item.clone() for item in frozen]
    first = adapter.state()
    optimizer = torch.optim.AdamW(adapter.trainable("unet") + adapter.trainable("te1"), lr=1e-2)
    losses = []
    for _ in range(4):
        context = parts["te1"](torch.arange(77).unsqueeze(0)).last_hidden_state
        latents = torch.ones(1, 4, 16, 16)
        loss = nn.functional.mse_loss(parts["unet"](latents, torch.tensor([500]), context).sample, latents)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    last = adapter.state()
    assert not [key for key in first if torch.equal(first[key], last[key])]
    assert all(torch.equal(item, before) for item, before in zip(frozen, kept, strict=True))
