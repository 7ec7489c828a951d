"""What a checkpoint is, and what each other file is called."""

import pytest
import torch
import toys
from faults import raises
from safetensors.torch import save_file

from lib_lora.models.families.identify import identify

UNET = "model.diffusion_model."


@pytest.mark.parametrize(
    ("kind", "family", "prediction", "version", "side"),
    [
        ("sd1", "sd1", "epsilon", "sd_v1", 512),
        ("sd2v", "sd2", "v", "sd_v2_v", 768),
        ("sdxl", "sdxl", "epsilon", "sdxl_base_v1-0", 1024),
    ],
)
def test_the_three_families(toy, kind, family, prediction, version, side):
    info = identify(toy(kind))
    assert (info.family, info.prediction, info.model_family.base_versions[info.prediction], info.resolution) == (
        family,
        prediction,
        version,
        side,
    )
    assert not info.zero_terminal_snr


# The numbers of tensors in the published files (v1-5-pruned-emaonly, sd_xl_base_1.0, and 2.1's UNet).
@pytest.mark.parametrize(("kind", "unet", "total"), [("sd1", 686, 1131), ("sd2v", 686, None), ("sdxl", 1680, 2515)])
def test_toys_have_every_tensor_of_the_real_files(kind, unet, total):
    tensors = toys.toy_tensors(kind)
    assert sum(key.startswith(UNET) for key in tensors) == unet
    assert total is None or len(tensors) == total


def _saved(tmp_path, tensors, metadata=None):
    path = tmp_path / "model.safetensors"
    save_file(tensors, str(path), metadata=metadata)
    return path


def _with(kind="sd1", drop=(), **extra):
    tensors = toys.toy_tensors(kind)
    kept = {key: tensor for key, tensor in tensors.items() if not key.startswith(tuple(drop))}
    return {**kept, **extra}


def test_prediction_markers_metadata_and_yaml(tmp_path):
    marked = _with(v_pred=torch.tensor([]), ztsnr=torch.tensor([]))
    info = identify(_saved(tmp_path, marked))
    assert (info.prediction, info.zero_terminal_snr, info.prediction_from) == ("v", True, "marker")
    info = identify(_saved(tmp_path, _with(), {"modelspec.prediction_type": "v"}))
    assert (info.prediction, info.prediction_from) == ("v", "metadata")
    (tmp_path / "model.yaml").write_text("model: {params: {parameterization: v}}")
    info = identify(_saved(tmp_path, _with()))
    assert (info.prediction, info.prediction_from) == ("v", "yaml")
    (tmp_path / "model.yaml").write_text("model: [")
    with raises("model-config-unreadable", has="model.yaml"):
        identify(_saved(tmp_path, _with()))


@pytest.mark.parametrize(
    ("size", "side"),
    [("8", 64), ("16", 128), ("56", 448), ("64", 512), ("0", 512), ("-16", 512), ("16.0", 512), ("true", 512),
     ("9", 512), ("63", 512), ("[16]", 512)],
)  # fmt: skip
def test_a_model_for_small_pictures_says_so_in_its_yaml(tmp_path, size, side):
    (tmp_path / "model.yaml").write_text(f"model: {{params: {{image_size: {size}}}}}")
    info = identify(_saved(tmp_path, _with()))
    assert (info.family, info.resolution, info.prediction_from) == ("sd1", side, "family")
    assert (info.narrow, info.guidance) == ((True, 3) if side < 512 else (False, 7))


def test_only_a_narrow_model_is_tested_as_a_small_one(tmp_path):
    hears = ("attn2.to_k.weight", "attn2.to_v.weight")
    wide = {key: value.repeat(1, 768 // value.shape[1]) if key.endswith(hears) else value
            for key, value in _with().items()}  # fmt: skip
    (tmp_path / "model.yaml").write_text("model: {params: {image_size: 32}}")
    info = identify(_saved(tmp_path, wide))
    assert (info.resolution, info.narrow, info.guidance) == (256, False, 7)


@pytest.mark.parametrize("text", ["foo: 1", "model: [", "a: !!timestamp x", 'a: !!int ""', "model: {params: [1, 2]}"])
def test_a_yaml_that_cannot_be_read_matters_only_where_it_is_needed(tmp_path, text):
    (tmp_path / "model.yaml").write_text(text)
    plain, marked = _saved(tmp_path, _with()), {"modelspec.prediction_type": "epsilon"}
    with raises("model-config-unreadable", has="model.yaml"):
        identify(plain)
    assert identify(plain, "epsilon").resolution == 512
    assert identify(_saved(tmp_path, _with(), marked)).resolution == 512


@pytest.mark.parametrize(("shift", "prediction"), [(-50.0, "v"), (0.0, "epsilon")])
def test_an_unmarked_sd2_is_asked_what_it_predicts(tmp_path, shift, prediction):
    tensors = _with("sd2v", drop=["v_pred"])
    tensors[f"{UNET}out.2.bias"] = tensors[f"{UNET}out.2.bias"] + shift
    info = identify(_saved(tmp_path, tensors))
    assert (info.prediction, info.prediction_from) == (prediction, "probe")
    assert identify(_saved(tmp_path, tensors), prediction="epsilon").prediction == "epsilon"


def _channels(count):
    return {f"{UNET}input_blocks.0.0.weight": torch.zeros(32, count, 3, 3)}


REFUSED = {
    "a LoRA file": lambda: {"lora_unet_down_blocks_0_x.lora_down.weight": torch.zeros(1)},
    "a Flux model": lambda: {"double_blocks.0.img_attn.qkv.weight": torch.zeros(1)},
    "a Stable Diffusion 3 model": lambda: {f"{UNET}joint_blocks.0.x": torch.zeros(1)},
    "a ControlNet": lambda: {"control_model.input_hint_block.0.weight": torch.zeros(1)},
    "a textual inversion embedding": lambda: {"emb_params": torch.zeros(1, 768)},
    "a UNet in diffusers' layout": lambda: {"down_blocks.0.resnets.0.conv1.weight": torch.zeros(1)},
    "a VAE": lambda: {"encoder.down.0.block.0.conv1.weight": torch.zeros(1)},
    "a text encoder": lambda: {"text_model.encoder.layers.0.mlp.fc1.weight": torch.zeros(1)},
    "some other model": lambda: {"layer.weight": torch.zeros(1)},
    "a file without tensors": dict,
    "an inpainting model": lambda: _with(**_channels(9)),
    "an instruct-pix2pix model": lambda: _with(**_channels(8)),
    "a depth model": lambda: _with("sd2v", **_channels(5)),
    "the SDXL refiner": lambda: {
        **_with("sdxl", drop=["conditioner."]),
        "conditioner.embedders.0.model.ln_final.weight": torch.zeros(1),
    },
    "contains no VAE": lambda: _with(drop=["first_stage_model."]),
    "contains no text encoder": lambda: _with(drop=["cond_stage_model."]),
    "without both text encoders": lambda: _with("sdxl", drop=["conditioner."]),
    "lacks its first text encoder": lambda: _with("sdxl", drop=["conditioner.embedders.0."]),
    "without text conditioning": lambda: {
        key: tensor for key, tensor in _with().items() if "attn2" not in key or not key.startswith(UNET)
    },
}


REFUSED_AS = {
    "a LoRA file": "model-of-other-kind",
    "a Flux model": "model-of-other-kind",
    "a Stable Diffusion 3 model": "model-of-other-kind",
    "a ControlNet": "model-of-other-kind",
    "a textual inversion embedding": "model-of-other-kind",
    "a UNet in diffusers' layout": "model-of-other-kind",
    "the SDXL refiner": "model-is-refiner",
    "a VAE": "model-without-unet",
    "a text encoder": "model-without-unet",
    "some other model": "model-without-unet",
    "a file without tensors": "model-without-unet",
    "an inpainting model": "model-not-text-to-image",
    "an instruct-pix2pix model": "model-not-text-to-image",
    "a depth model": "model-not-text-to-image",
    "contains no VAE": "vae-missing",
    "contains no text encoder": "text-encoder-missing",
    "without both text encoders": "text-encoder-incomplete",
    "lacks its first text encoder": "text-encoder-incomplete",
    "without text conditioning": "model-not-conditioned",
}

SEVERAL = ("model-of-other-kind", "model-without-unet", "model-not-text-to-image")  # codes of which there are several


@pytest.mark.parametrize("what", REFUSED)
def test_other_models_are_named(tmp_path, what):
    code = REFUSED_AS[what]
    found = {"found": what} if code in SEVERAL else {}
    with raises(code, has="model.safetensors", **found):
        identify(_saved(tmp_path, REFUSED[what]()))
