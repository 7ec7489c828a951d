"""The loaded modules against independent readings of the same file."""

import copy

import pytest
import torch
import toys
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from faults import raises
from safetensors.torch import save_file
from torch.nn import functional as F

from lib_lora.models import load
from lib_lora.models.families.identify import identify

CPU = torch.device("cpu")


def _as_stored(kind):
    return {key: tensor.half().float() for key, tensor in toys.toy_tensors(kind).items() if tensor.is_floating_point()}


@pytest.mark.parametrize("kind", ["sd1", "sd2v", "sdxl"])
def test_unet_agrees_with_diffusers_own_conversion(toy, kind):
    unet = identify(toy(kind)).load_denoiser(torch.float32, CPU)
    theirs = convert_ldm_unet_checkpoint(_as_stored(kind), dict(unet.config))
    ours = unet.state_dict()
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("kind", ["sd1", "sd2v", "sdxl"])
def test_vae_agrees_with_diffusers_own_conversion(toy, kind):
    vae = identify(toy(kind)).load_vae(torch.float32, CPU)
    theirs = convert_ldm_vae_checkpoint(_as_stored(kind), dict(vae.config))
    ours = vae.state_dict()
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[key], theirs[key].reshape(ours[key].shape)) for key in ours)


@pytest.mark.parametrize(("kind", "heads"), [("sd1", {8}), ("sd2v", {1, 2}), ("sdxl", {1, 2})])
def test_heads_follow_the_family_rule(toy, kind, heads):
    unet = identify(toy(kind)).load_denoiser(torch.float32, CPU)
    found = {module.heads for module in unet.modules() if hasattr(module, "to_q")}
    assert found == heads


def _open_clip_states(tensors, root, ids, act):
    """OpenCLIP's text tower in plain torch: the states after each block, and the final norm."""
    width = tensors[f"{root}token_embedding.weight"].shape[1]
    states = tensors[f"{root}token_embedding.weight"][ids] + tensors[f"{root}positional_embedding"]
    mask = torch.full((77, 77), float("-inf")).triu(1)
    collected, n = [], 0
    norm = lambda x, name: F.layer_norm(x, (width,), tensors[f"{name}.weight"], tensors[f"{name}.bias"])  # noqa: E731
    while f"{root}transformer.resblocks.{n}.ln_1.weight" in tensors:
        block = f"{root}transformer.resblocks.{n}"
        x = norm(states, f"{block}.ln_1")
        qkv = F.linear(x, tensors[f"{block}.attn.in_proj_weight"], tensors[f"{block}.attn.in_proj_bias"])
        heads = width // 64
        q, k, v = (part.unflatten(-1, (heads, 64)).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
        mixed = torch.softmax(q @ k.transpose(-1, -2) / 8 + mask, dim=-1) @ v
        mixed = mixed.transpose(1, 2).flatten(2)
        states = states + F.linear(
            mixed, tensors[f"{block}.attn.out_proj.weight"], tensors[f"{block}.attn.out_proj.bias"]
        )
        x = norm(states, f"{block}.ln_2")
        x = act(F.linear(x, tensors[f"{block}.mlp.c_fc.weight"], tensors[f"{block}.mlp.c_fc.bias"]))
        states = states + F.linear(x, tensors[f"{block}.mlp.c_proj.weight"], tensors[f"{block}.mlp.c_proj.bias"])
        collected.append(states)
        n += 1
    return collected, lambda x: norm(x, f"{root}ln_final")


def test_sd2_text_is_the_last_but_one_layer(toy):
    tensors = _as_stored("sd2v")
    (encoder,) = identify(toy("sd2v")).load_text(torch.float32, CPU).encoders
    ids = torch.tensor([[49406, 320, 1125, 49407, *[0] * 73]])
    states, final = _open_clip_states(tensors, "cond_stage_model.model.", ids, F.gelu)
    ours = encoder(input_ids=ids).last_hidden_state
    assert len(encoder.text_model.encoder.layers) == 23
    assert torch.allclose(ours, final(states[-2]), atol=1e-4)


def test_sdxl_second_encoder_states_and_projection(toy):
    tensors = _as_stored("sdxl")
    _, encoder = identify(toy("sdxl")).load_text(torch.float32, CPU).encoders
    ids = torch.tensor([[49406, 320, 1125, 49407, *[0] * 73]])
    root = "conditioner.embedders.1.model."
    states, final = _open_clip_states(tensors, root, ids, F.gelu)
    out = encoder(input_ids=ids, output_hidden_states=True)
    assert torch.allclose(out.hidden_states[-2], states[-2], atol=1e-4)
    pooled = final(states[-1])[:, 3] @ tensors[f"{root}text_projection"]
    assert torch.allclose(encoder.text_projection(out.last_hidden_state[:, 3]), pooled, atol=1e-4)


def test_clip_text_matches_its_stored_tensors(toy):
    tensors = _as_stored("sd1")
    (encoder,) = identify(toy("sd1")).load_text(torch.float32, CPU).encoders
    root = "cond_stage_model.transformer."
    for key, tensor in encoder.state_dict().items():
        if not key.endswith("position_ids"):
            assert torch.equal(tensor, tensors[root + key])
    ids = torch.tensor([[49406, 320, 49407] + [49407] * 74])
    assert torch.isfinite(encoder(input_ids=ids).last_hidden_state).all()


def test_merges_without_text_model_in_their_names(toy, tmp_path):
    tensors = {
        key.replace("cond_stage_model.transformer.text_model.", "cond_stage_model.transformer."): tensor
        for key, tensor in toys.toy_tensors("sd1").items()
    }
    save_file(tensors, str(tmp_path / "m.safetensors"))
    (odd,) = identify(tmp_path / "m.safetensors").load_text(torch.float16, CPU).encoders
    (usual,) = identify(toy("sd1")).load_text(torch.float16, CPU).encoders
    assert all(torch.equal(a, b) for a, b in zip(odd.state_dict().values(), usual.state_dict().values()))


def test_dtype_and_ckpt(toy, tmp_path):
    info = identify(toy("sd1"))
    assert {p.dtype for p in info.load_denoiser(torch.bfloat16, CPU).parameters()} == {torch.bfloat16}
    assert not any(p.requires_grad for p in info.load_denoiser(torch.float32, CPU).parameters())
    torch.save({"state_dict": {k: v.half() for k, v in toys.toy_tensors("sd1").items()}}, tmp_path / "m.ckpt")
    ours = identify(tmp_path / "m.ckpt").load_denoiser(torch.float32, CPU).state_dict()
    theirs = info.load_denoiser(torch.float32, CPU).state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_sdxl_vae_is_never_half(toy):
    vae = identify(toy("sdxl")).load_vae(torch.float16, CPU)
    assert {p.dtype for p in vae.parameters()} == {torch.float32}
    assert vae.config.scaling_factor == 0.13025


def test_damaged_models_are_refused(tmp_path):
    tensors = toys.toy_tensors("sd1")
    path = tmp_path / "m.safetensors"
    cut = copy.copy(tensors)
    del cut["model.diffusion_model.middle_block.0.in_layers.2.weight"]
    save_file(cut, str(path))
    with raises("model-tensor-missing", has="middle_block.0.in_layers.2.weight"):
        identify(path).load_denoiser(torch.float32, CPU)
    save_file({**tensors, "model.diffusion_model.time_embed.0.weight": torch.zeros(3, 3)}, str(path))
    with raises("model-tensor-mismatch", has="shape"):
        identify(path).load_denoiser(torch.float32, CPU)
    pruned = {k: v for k, v in toys.toy_tensors("sdxl").items() if ".middle_block.1.transformer_blocks.9" not in k}
    save_file(pruned, str(path))
    with raises("model-distilled"):
        identify(path).load_denoiser(torch.float32, CPU)


_UNET, _TEXT = "model.diffusion_model.", "cond_stage_model.transformer.text_model."


@pytest.mark.parametrize(
    ("load", "key"),
    [
        ("load_denoiser", f"{_UNET}input_blocks.1.0.out_layers.3.weight"),
        ("load_vae", "first_stage_model.post_quant_conv.weight"),
        ("load_vae", "first_stage_model.encoder.down.0.block.0.conv1.weight"),
        ("load_text", f"{_TEXT}embeddings.token_embedding.weight"),
        ("load_text", f"{_TEXT}encoder.layers.0.mlp.fc1.weight"),
    ],
)
def test_a_missing_tensor_is_one_sentence(tmp_path, load, key):
    tensors = toys.toy_tensors("sd1")
    del tensors[key]
    save_file(tensors, str(tmp_path / "m.safetensors"))
    with raises("model-tensor-missing", has="m.safetensors"):
        getattr(identify(tmp_path / "m.safetensors"), load)(torch.float32, CPU)


@pytest.mark.parametrize(("load", "key"), [("load_text", f"{_TEXT}embeddings.token_embedding.weight")])
def test_a_tensor_without_axes_is_one_sentence(tmp_path, load, key):
    save_file({**toys.toy_tensors("sd1"), key: torch.tensor(1.0)}, str(tmp_path / "m.safetensors"))
    with raises("model-tensor-too-few-axes", has=key):
        getattr(identify(tmp_path / "m.safetensors"), load)(torch.float32, CPU)


class _OtherUNet(load.UNet2DConditionModel):
    def __init__(self, **config):
        super().__init__(**config)
        self.new_gate = torch.nn.Linear(2, 2)


class _OtherText(load.CLIPTextModel):
    def __init__(self, config):
        super().__init__(config)
        self.adapter_of_tomorrow = torch.nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("part", "library", "name", "changed"),
    [
        ("load_denoiser", "diffusers", "UNet2DConditionModel", _OtherUNet),
        ("load_text", "transformers", "CLIPTextModel", _OtherText),
    ],
)
def test_a_library_that_builds_a_model_otherwise_is_named_and_not_the_file(
    toy, monkeypatch, part, library, name, changed
):
    monkeypatch.setattr(load, name, changed)
    with raises("model-part-unknown", library=library, has=library) as caught:
        getattr(identify(toy("sd1")), part)(torch.float32, CPU)
    assert "toy" not in str(caught.value)


@pytest.mark.parametrize("kind", ["sd1", "sd2v", "sdxl"])
def test_the_parts_of_a_text_encoder_have_the_same_names_with_every_transformers(toy, kind):
    """LoRA files and the states of a training contain these names."""
    for encoder in identify(toy(kind)).load_text(torch.float32, CPU).encoders:
        names = [name for name in encoder.state_dict() if name != "text_projection.weight"]
        assert all(name.startswith("text_model.") for name in names)
        assert "text_model.encoder.layers.0.self_attn.q_proj.weight" in names
        assert encoder.get_submodule("text_model.encoder.layers")[0].training is False
        assert encoder.config.hidden_size == encoder.text_model.final_layer_norm.weight.shape[0]
