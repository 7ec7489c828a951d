"""The pure parts of the mini base's training: cutting, crops, schedule, fast routes, and the export."""

import json
import time
from datetime import datetime

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file

from lib_lora.faces.align import PLACES, SIZE
from lib_lora.models.families.identify import identify
from tools.mini import data, export, fast_routes, running, sface, unet

CPU = torch.device("cpu")
TEXT = {
    "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "vocab_size": 49408,
    "max_position_embeddings": 77, "hidden_act": "quick_gelu", "projection_dim": 64, "bos_token_id": 49406,
    "eos_token_id": 49407, "pad_token_id": 49407,
}  # fmt: skip
UNET = {
    "sample_size": 16, "cross_attention_dim": 64, "attention_head_dim": 8, "block_out_channels": [32, 64, 64, 64],
    "layers_per_block": 2,
}  # fmt: skip
VAE = {
    "block_out_channels": [32, 64, 64, 64], "layers_per_block": 1, "latent_channels": 4, "sample_size": 128,
    "in_channels": 3, "out_channels": 3, "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4, "norm_num_groups": 32,
}  # fmt: skip


def test_a_mirrored_cut_shows_the_points_where_the_pixels_are():
    pixels = np.zeros((160, 160, 3), np.uint8)
    points = np.array([[0.25, 0.25], [0.7, 0.3], [0.5, 0.5], [0.4, 0.7], [0.6, 0.72]], np.float32)
    for n, (x, y) in enumerate(points):
        pixels[int(y * 160) - 3 : int(y * 160) + 3, int(x * 160) - 3 : int(x * 160) + 3] = 40 * (n + 1)
    part, moved = data.cut(pixels, points, True, (10, 5), 140)
    assert part.shape == (128, 128, 3)
    seen = [part[int(y * 128), int(x * 128), 0] for x, y in moved]
    assert seen == [80, 40, 120, 200, 160]  # right and left have changed places
    assert moved[0, 0] < moved[1, 0]


def test_a_crop_puts_the_five_points_where_the_recogniser_wants_them():
    points = np.asarray(PLACES, np.float64) * 0.6 + 20
    side = 128
    ramp = torch.arange(side).float()
    pictures = torch.stack([ramp.expand(side, -1), ramp[:, None].expand(-1, side), torch.zeros(side, side)])[None]
    crop = sface.crops(pictures / 127.5 - 1, sface.grids(points[None], side))
    assert crop.shape == (1, 3, SIZE, SIZE)
    for (x, y), (at_x, at_y) in zip(points, PLACES):
        row, column = round(float(at_y)), round(float(at_x))
        assert crop[0, 0, row, column] == pytest.approx(x, abs=0.6)
        assert crop[0, 1, row, column] == pytest.approx(y, abs=0.6)


def test_the_rate_rises_and_falls_by_the_share_of_the_time():
    assert running.falling(0.01, 0.02) == pytest.approx(0.5)
    assert running.falling(0.02, 0.02) == pytest.approx(1)
    assert running.falling(0.51, 0.02, 0) == pytest.approx(0.5)
    assert running.falling(1.0, 0.02) == pytest.approx(0.02)


def test_a_clock_ends_by_the_time_of_day_whenever_it_goes_on():
    now = time.time()
    clock = running.Clock(now + 600, begun=now - 600)
    assert clock.share == pytest.approx(0.5, abs=0.01)
    assert not clock.over
    assert running.Clock(now - 1, begun=now - 600).over


def test_a_time_of_day_that_is_past_means_tomorrow():
    noon = datetime(2026, 3, 4, 12, 0).timestamp()
    assert running.time_of_day("13:30", noon) == noon + 5400
    assert running.time_of_day("11:00", noon) == datetime(2026, 3, 5, 11, 0).timestamp()
    with pytest.raises(ValueError, match=r"invalid|unpack"):
        running.time_of_day("noon")


def test_the_loss_counts_the_picture_within_limits():
    weights = unet.loss_weights(torch.tensor([0.01, 1.0, 5.0, 50.0]))
    assert weights.tolist() == pytest.approx([10.0, 1.0, 1.0, 0.1])


def _vae():
    torch.manual_seed(0)
    return AutoencoderKL.from_config(VAE).eval()


@torch.no_grad()
def test_folding_the_scale_changes_no_picture():
    vae, folded = _vae(), _vae()
    folded.load_state_dict(vae.state_dict())
    export.fold(folded, 0.6)
    pictures = torch.rand(2, 3, 64, 64) * 2 - 1
    one, other = vae.encode(pictures).latent_dist, folded.encode(pictures).latent_dist
    assert torch.allclose(one.mean * 0.6, other.mean * 0.18215, atol=1e-5)
    assert torch.allclose(one.std * 0.6, other.std * 0.18215, rtol=1e-4)
    assert torch.allclose(vae.decode(one.mean).sample, folded.decode(other.mean).sample, atol=1e-4)


@torch.no_grad()
def test_the_fast_routes_give_the_same():
    torch.manual_seed(0)
    model = UNet2DConditionModel(**UNET)
    given = torch.randn(2, 4, 16, 16), torch.tensor([10, 900]), torch.randn(2, 77, 64)
    before = model(*given).sample
    fast_routes.use_fast_routes(model)
    after = model(*given).sample
    assert torch.allclose(before, after, atol=1e-5)
    values = [torch.randn(1, 2, size, 8) for size in (5, 300, 300)]
    assert torch.allclose(
        fast_routes.attention(*values), torch.nn.functional.scaled_dot_product_attention(*values), atol=1e-5
    )


@torch.no_grad()
def test_the_exported_file_is_read_as_the_same_model(tmp_path):
    torch.manual_seed(0)
    pair, vae = unet.Pair({"unet": UNET, "text_encoder": TEXT}).eval(), _vae()
    (tmp_path / "unet_text_config.json").write_text(json.dumps({"unet": UNET, "text_encoder": TEXT}))
    (tmp_path / "vae_config.json").write_text(json.dumps(VAE))
    path = export.write(pair, vae, 0.6, tmp_path, tmp_path / "out")
    info = identify(path)
    assert (info.family, info.prediction) == ("sd1", "epsilon")
    ids = torch.randint(0, 49000, (2, 77))
    given, times = torch.randn(2, 4, 16, 16), torch.tensor([10, 900])
    text = info.load_text(torch.float32, CPU).encoders[0](input_ids=ids).last_hidden_state
    read = info.load_denoiser(torch.float32, CPU)(given, times, encoder_hidden_states=text).sample
    assert torch.allclose(read, pair(given, times, ids), atol=0.02)
    again = info.load_vae(torch.float32, CPU)
    assert torch.allclose(again.decode(given).sample, vae.decode(given).sample, atol=0.02)
    assert path.with_suffix(".yaml").is_file()


def test_weights_of_another_model_are_refused(tmp_path):
    pair = unet.Pair({"unet": UNET, "text_encoder": TEXT})
    save_file({"unet.strange": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="other weights"):
        unet.fill(pair, tmp_path / "other.safetensors")
