"""Every name of our LoRA files is one under which ComfyUI looks for a layer.

The rules are written here anew from what is known of ComfyUI's loader, and share nothing with `lora.key_names`: it
takes the names of diffusers' layers and those of the original checkpoint, each with "_" for the dots, and CLIP's layers
by their numbers. docs/comfyui.md says how the real loader was asked.
"""

import gzip
from itertools import product
from pathlib import Path

import pytest
from lora_makers import KINDS, trained

pytestmark = pytest.mark.once("the names in a file are ours; those of the layers are repeated in lora")

GOLDEN = Path(__file__).parents[1] / "lora" / "golden"
# by family: transformer blocks at each of the levels on the way down, of the middle; layers of each text encoder
DEPTHS = {"sd1": ((1, 1, 1, 0), 1), "sd2": ((1, 1, 1, 0), 1), "sdxl": ((0, 2, 10), 10)}
TEXTS = {
    "sd1": {"lora_te": 12, "lora_te1": 12},
    "sd2": {"lora_te": 24, "lora_te1": 24},
    "sdxl": {"lora_te1": 12, "lora_te": 12, "lora_te2": 32},
}
CLIP = ("self_attn_q_proj", "self_attn_k_proj", "self_attn_v_proj", "self_attn_out_proj", "mlp_fc1", "mlp_fc2")
ATTENTION = [f"attn{n}_to_{what}" for n, what in product((1, 2), ("q", "k", "v", "out_0"))]
INNER = [*ATTENTION, "ff_net_0_proj", "ff_net_2"]
RESNETS = {
    "conv1": "in_layers_2",
    "conv2": "out_layers_3",
    "time_emb_proj": "emb_layers_1",
    "conv_shortcut": "skip_connection",
}


def transformer(theirs, original, depth):
    """Names of a transformer's layers in diffusers' spelling and in the original one."""
    tails = ["proj_in", "proj_out", *(f"transformer_blocks_{n}_{one}" for n, one in product(range(depth), INNER))]
    return {f"lora_unet_{root}_{tail}" for root, tail in product((theirs, original), tails)}


def resnet(theirs, original):
    return {f"lora_unet_{theirs}_{one}" for one in RESNETS} | {
        f"lora_unet_{original}_{one}" for one in RESNETS.values()
    }


def known_to_comfyui(family):
    """All names under which ComfyUI looks for a LoRA's layers."""
    depths, middle = DEPTHS[family]
    levels, found = len(depths), set()
    block = 1
    for level, depth in enumerate(depths):
        for n in range(2):
            found |= resnet(f"down_blocks_{level}_resnets_{n}", f"input_blocks_{block}_0")
            if depth:
                found |= transformer(f"down_blocks_{level}_attentions_{n}", f"input_blocks_{block}_1", depth)
            block += 1
        if level + 1 < levels:
            found |= {f"lora_unet_down_blocks_{level}_downsamplers_0_conv", f"lora_unet_input_blocks_{block}_0_op"}
            block += 1
    found |= transformer("mid_block_attentions_0", "middle_block_1", middle)
    found |= resnet("mid_block_resnets_0", "middle_block_0") | resnet("mid_block_resnets_1", "middle_block_2")
    block = 0
    for level, depth in enumerate(reversed(depths)):
        for n in range(3):
            found |= resnet(f"up_blocks_{level}_resnets_{n}", f"output_blocks_{block}_0")
            if depth:
                found |= transformer(f"up_blocks_{level}_attentions_{n}", f"output_blocks_{block}_1", depth)
            if n == 2 and level + 1 < levels:
                original = f"lora_unet_output_blocks_{block}_{2 if depth else 1}_conv"
                found |= {f"lora_unet_up_blocks_{level}_upsamplers_0_conv", original}
            block += 1
    for prefix, layers in TEXTS[family].items():
        found |= {f"{prefix}_text_model_encoder_layers_{n}_{one}" for n, one in product(range(layers), CLIP)}
    return found


def golden(family):
    """The names of every layer that a real model's LoRA of ours may have."""
    names = set()
    for path in GOLDEN.glob(f"{family}-*"):
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
        names |= {line.split(".")[0] for line in text.split()}
    return names


@pytest.mark.parametrize(("family", "count"), [("sd1", 350), ("sd2", 416), ("sdxl", 1052)])
def test_no_name_of_ours_is_unknown_to_comfyui(family, count):
    names = golden(family)
    assert len(names) == count  # as the real loader counted the layers
    assert names - known_to_comfyui(family) == set()


@pytest.mark.parametrize("family", KINDS)
def test_a_file_that_we_write_is_known_whole(family, tmp_path):
    _, adapter = trained(family, "LoCon", tmp_path)
    names = {key.split(".")[0] for key in adapter.export()}
    assert len(names) > 300
    assert names - known_to_comfyui(family) == set()


def test_a_wrong_name_would_be_found():
    assert "lora_unet_down_blocks_3_attentions_0_proj_in" not in known_to_comfyui("sd1")
    assert "lora_te2_text_model_encoder_layers_0_mlp_fc1" not in known_to_comfyui("sd1")
