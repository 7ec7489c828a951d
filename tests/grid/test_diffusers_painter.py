"""The painter against diffusers' own pipelines, which assemble the same parts in their own way."""

import copy
import re
import shutil
from functools import cache

import numpy as np
import pytest
import torch
import toys
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from faults import raises
from safetensors.torch import save_file

from lib_lora.grid.diffusers_painter import DiffusersPainter, at_a_time, make_scheduler
from lib_lora.lora.adapter.adapter import attach
from lib_lora.lora.adapter_settings import LoraSettings
from lib_lora.lora.file.metadata import LoraFacts, build
from lib_lora.lora.file.writing import write
from lib_lora.models.clip_tokens import tokenizer
from lib_lora.models.families.identify import identify
from lib_lora.models.families.stable_diffusion import SAMPLING
from lib_lora.pictures import Cell

CPU = torch.device("cpu")


def _cell(**changes):
    values = {"prompt": "photo of a woman", "negative": "blurry", "seed": 7, "width": 64, "height": 128, "steps": 4}
    return Cell(**{**values, **changes})


def _pixels(image):
    return np.asarray(image).astype(int)


def _theirs(painter, cell):
    """The same picture from diffusers' pipeline; it rounds levels, so compare with a tolerance of 1."""
    scheduler = make_scheduler(cell.sampler, painter.info)
    parts = {"vae": painter.vae, "unet": _plain_unet(painter), "scheduler": scheduler, "tokenizer": _tokenizer()}
    noise = torch.randn((1, 4, cell.height // 8, cell.width // 8), generator=torch.Generator().manual_seed(cell.seed))
    if painter.info.family == "sdxl":
        first, other = painter.text.encoders
        pipeline = StableDiffusionXLPipeline(
            **parts, text_encoder=first, text_encoder_2=other, tokenizer_2=_tokenizer(pad="!"), add_watermarker=False
        )
    else:
        if painter.info.family == "sd2":
            parts["tokenizer"] = _tokenizer(pad="!")  # token 0
        pipeline = StableDiffusionPipeline(
            **parts, text_encoder=painter.text.encoders[0], safety_checker=None, feature_extractor=None
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(
        cell.prompt,
        negative_prompt=cell.negative,
        latents=noise,
        num_inference_steps=cell.steps,
        guidance_scale=cell.cfg,
        width=cell.width,
        height=cell.height,
        generator=None,
    ).images[0]


@cache
def _plain_unet(painter):
    """The painter's own is fast."""
    return painter.info.load_denoiser(torch.float32, CPU)


@cache
def _tokenizer(pad="<|endoftext|>"):
    other = copy.deepcopy(tokenizer())
    other.model_max_length = 77
    other.pad_token = pad
    return other


@pytest.fixture(scope="module")
def painter_of(toy):
    """The painter of each family's toy, which no picture changes; with "bfloat16", one in half precision."""
    return cache(lambda kind, dtype="float32": DiffusersPainter(identify(toy(kind)), CPU, getattr(torch, dtype)))


@pytest.fixture
def painter(painter_of):
    return painter_of("sd1")


@pytest.fixture
def own_painter(painter):
    """For a test in which it fails, which it remembers; of the same parts."""
    return copy.copy(painter)


@pytest.mark.parametrize(  # each sampler for both that a model may predict; SDXL differs in what it is told alone
    ("kind", "sampler"),
    [
        *(("sd1", "Euler"), ("sd1", "DPM++ 2M Karras")),
        *(("sd2v", "Euler"), ("sd2v", "DDIM"), ("sd2v", "DPM++ 2M Karras")),
        ("sdxl", "DDIM"),
    ],
)
def test_agrees_with_diffusers_pipelines(painter_of, kind, sampler):
    painter = painter_of(kind)
    cell = _cell(sampler=sampler)
    (ours,) = painter.paint([cell])
    assert ours.size == (64, 128)
    assert _pixels(ours).std() > 5
    assert np.abs(_pixels(ours) - _pixels(_theirs(painter, cell))).max() <= 1


@pytest.fixture(scope="module")
def lora(toy, tmp_path_factory):
    """A LoRA with random numbers on the SD1 toy."""
    torch.manual_seed(3)
    unet = identify(toy("sd1")).load_denoiser(torch.float32, CPU)
    adapter = attach({"unet": unet}, "sd1", LoraSettings(rank=4, alpha=4))
    for parameter in adapter.trainable("unet"):
        torch.nn.init.normal_(parameter, std=0.2)
    path = tmp_path_factory.mktemp("lora") / "random.safetensors"
    write(path, adapter.export(), build(LoraFacts(family="sd1", trigger="mrxa")))
    return path


def test_a_lora_changes_the_picture_in_proportion_and_leaves_no_trace(painter, lora):
    done = []
    cells = [_cell(), _cell(lora=lora, weight=0.0), _cell(lora=lora, weight=0.5), _cell(lora=lora), _cell()]
    base, zero, half, full, again = (_pixels(image) for image in painter.paint(cells, lambda *one: done.append(one)))
    assert [number for number, _ in done] == [0, 1, 2, 3, 4]
    assert [np.array_equal(_pixels(image), full) for _, image in done] == [False, False, False, True, False]
    assert np.array_equal(base, zero)
    assert np.array_equal(base, again)
    assert 0 < np.abs(half - base).mean() < np.abs(full - base).mean()


def test_several_loras_add_up_and_leave_no_trace(painter, lora, tmp_path):
    other = tmp_path / "other.safetensors"
    shutil.copy(lora, other)
    cells = [
        _cell(lora=lora),
        _cell(lora=lora, weight=0.5, more=((other, 0.5),)),
        _cell(more=((other, 1.0),)),
        _cell(lora=lora, more=((other, -1.0),)),
        _cell(),
    ]
    whole, halves, alone, taken_back, base = (_pixels(image) for image in painter.paint(cells))
    assert np.abs(whole - halves).max() <= 1
    assert np.array_equal(whole, alone)
    assert np.abs(taken_back - base).max() <= 1
    assert np.abs(whole - base).mean() > 1


ONE_IS_REPEATED = pytest.mark.once("each sampler is repeated below; of those painted together, the two other families'")


@pytest.mark.parametrize("sampler", SAMPLING.samplers)
def test_every_sampler_paints_the_same_twice(painter, sampler):
    cells = [_cell(sampler=sampler, seed=seed, width=64, height=64) for seed in (7, 7, 8)]
    first, second, other = painter.paint(cells)
    assert np.array_equal(_pixels(first), _pixels(second))
    assert not np.array_equal(_pixels(first), _pixels(other))


@pytest.mark.parametrize(
    ("kind", "sampler"),
    [
        *(pytest.param("sd1", name, marks=ONE_IS_REPEATED if name != "DDIM" else ()) for name in SAMPLING.samplers),
        ("sd2v", "Euler a"),
        ("sdxl", "DPM++ 2M Karras"),
    ],
)
def test_small_pictures_are_painted_together_and_are_what_each_is_alone(painter_of, monkeypatch, kind, sampler):
    painter = painter_of(kind)
    size = {"width": 64, "height": 64, "steps": 3, "sampler": sampler}
    cells = [
        _cell(prompt=f"photo of {n} women", negative=f"bad {n}", seed=n, variation=0.3 * (n == 2), **size)
        for n in range(6)
    ]
    batches, forward = [], painter.unet.forward
    monkeypatch.setattr(painter.unet, "forward", lambda x, *a, **k: batches.append(len(x)) or forward(x, *a, **k))
    together = painter.paint(cells)
    assert batches == [8, 8, 8, 4, 4, 4]  # four pictures, with and without the prompt, and the two others
    for cell, ours in zip(cells, together, strict=True):
        (alone,) = painter.paint([cell])
        assert np.abs(_pixels(ours) - _pixels(alone)).max() <= 1
    assert len({image.tobytes() for image in together}) == len(cells)


@pytest.mark.once("which go together is ours to say")
def test_only_pictures_of_one_kind_are_painted_together(painter, tmp_path):
    small = {"width": 64, "height": 64, "steps": 2}
    starts = [tmp_path / f"start{seed}.png" for seed in (7, 8)]
    for path, image in zip(starts, painter.paint([_cell(seed=seed, **small) for seed in (3, 4)]), strict=True):
        image.save(path)
    large = {"width": 128}  # the toy cannot be asked for less in a batch of one: unguided, or words of two lengths
    kinds = [
        {}, large, {"steps": 3}, {"cfg": 1.0, **large}, {"cfg": 2.0, **large}, {"sampler": "DDIM"},
        {"prompt": "a woman, " * 40, **large},
        {"strength": 0.5}, {"strength": 0.0}, {"strength": 1.0}, {"negative": ", " * 90, **large},
    ]  # fmt: skip
    cells = [
        _cell(seed=seed, start=start if "strength" in kind else None, **{**small, **kind})
        for kind in kinds
        for seed, start in zip((7, 8), starts, strict=True)
    ]
    for cell, ours in zip(cells, painter.paint(cells), strict=True):
        assert ours.size == (cell.width, cell.height)
        (alone,) = painter.paint([cell])
        assert np.abs(_pixels(ours) - _pixels(alone)).max() <= 1, cell


def test_in_half_precision_together_is_as_near_as_alone(painter, painter_of):
    cells = [_cell(prompt=f"photo of {n} women", seed=n, width=64, height=64) for n in range(4)]
    exact, half = painter.paint(cells), painter_of("sd1", "bfloat16")
    apart = [half.paint([cell])[0] for cell in cells]
    far, near = (
        np.mean([np.abs(_pixels(ours) - _pixels(image)).mean() for ours, image in zip(some, exact, strict=True)])
        for some in (half.paint(cells), apart)
    )
    assert far < 1.2 * near + 0.1


@pytest.mark.once("which go together is ours to say")
@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_where_memory_does_not_hold_them_together_they_are_painted_one_by_one(own_painter, monkeypatch, error):
    painter = own_painter
    cells = [_cell(seed=seed, width=64, height=64, steps=2, sampler="Euler a") for seed in range(6)]
    wanted = [painter.paint([cell])[0].tobytes() for cell in cells]
    forward, tried = painter.unet.forward, []

    def small(latents, *rest, **words):
        tried.append(len(latents))
        if len(latents) > limit:
            raise error
        return forward(latents, *rest, **words)

    monkeypatch.setattr(painter.unet, "forward", small)
    limit = 2
    assert [image.tobytes() for image in painter.paint(cells)] == wanted
    assert tried == [8, *[2] * (2 * len(cells))]  # tried once, and not again with the pictures after
    limit = 1
    with pytest.raises(type(error), match=re.escape(str(error))):
        painter.paint(cells)


@pytest.mark.once("which go together is ours to say")
def test_where_windows_puts_them_into_the_machines_memory_the_next_are_painted_one_by_one(own_painter, monkeypatch):
    painter = own_painter
    forward, tried = painter.unet.forward, []
    monkeypatch.setattr(painter.unet, "forward", lambda x, *a, **k: tried.append(len(x)) or forward(x, *a, **k))
    monkeypatch.setattr("lib_lora.grid.diffusers_painter.spilled", lambda device: True)
    assert len(painter.paint([_cell(seed=seed, width=64, height=64, steps=2) for seed in range(6)])) == 6
    assert tried == [8, 8, 2, 2, 2, 2]


def test_other_errors_are_not_taken_for_too_little_memory(own_painter, monkeypatch):
    painter, tried = own_painter, []

    def broken(latents, *rest, **words):
        tried.append(len(latents))
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(painter.unet, "forward", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        painter.paint([_cell(seed=seed, height=128) for seed in range(4)])
    assert tried == [8]


@pytest.mark.parametrize(
    ("device", "side", "pictures"),
    [
        ("cuda", 1024, 1),
        ("cuda", 768, 1),
        ("cuda", 512, 2),
        ("cuda", 256, 4),
        ("cuda", 64, 4),
        ("cpu", 512, 1),
        ("cpu", 128, 4),
        ("cpu", 64, 4),
        ("mps", 128, 1),
    ],
)
def test_how_many_go_together(device, side, pictures):
    assert at_a_time(device, side, side) == pictures


def test_guidance_one_and_long_prompts(painter_of):
    small = {"width": 64, "height": 64, "steps": 2}
    long, unguided = painter_of("sdxl").paint(
        [_cell(prompt="photo of a woman, " * 30, **small), _cell(cfg=1.0, **small)]
    )
    assert not np.array_equal(_pixels(long), _pixels(unguided))


def test_zero_terminal_snr_needs_a_sampler_that_can(tmp_path):
    marks = {"v_pred": torch.tensor([]), "ztsnr": torch.tensor([])}
    path = tmp_path / "z.safetensors"
    save_file({**toys.toy_tensors("sd1"), **marks}, str(path))
    info = identify(path)
    painter = DiffusersPainter(info, CPU, torch.float32)
    (image,) = painter.paint([_cell()])
    assert _pixels(image).std() > 0
    with raises("sampler-unsuitable", has="SNR"):
        make_scheduler("DPM++ 2M", info)
    with raises("sampler-unknown", has="'Eular'"):
        make_scheduler("Eular", info)
