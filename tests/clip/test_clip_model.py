"""Prompt adherence by CLIP: which weights are found, and cosines as open_clip's own."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faults import misfit, raises
from PIL import Image
from safetensors.torch import save_file

from lib_lora.clip.clip_model import BATCH, Clip, ClipWeights, diversity, find_weights

TINY = "sameface-tiny"
CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 3},
}
PROMPTS = ["photo of a woman in a red coat", "a man on a beach, smiling", "close-up of a cat", "night, neon, rain"]
HUB = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"


@pytest.fixture(autouse=True)
def _bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No weights anywhere, whatever is on the machine that runs the tests."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "SAMEFACE_CLIP", "SAMEFACE_CLIP_MODEL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """tiny(): open_clip's own model of a size that no real one has, always with the same weights."""
    import open_clip  # here, since each worker collects this file

    file = tmp_path_factory.mktemp("configs") / f"{TINY}.json"
    file.write_text(json.dumps(CONFIG), encoding="utf-8")
    open_clip.add_model_config(file)

    def make(quick: bool = False) -> Any:
        torch.manual_seed(1)
        model = open_clip.create_model(TINY, force_quick_gelu=quick).eval()
        with torch.no_grad():  # a fresh model is so nearly linear that both kinds of GELU give the same
            for name, tensor in model.named_parameters():
                if name.endswith(("c_fc.weight", "in_proj_weight")):
                    tensor.mul_(8)
        return model

    return make


@pytest.fixture
def weights(tiny: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the tiny model, and the environment names it."""
    path = tmp_path / "tiny.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tiny().state_dict().items()}, path)
    monkeypatch.setenv("SAMEFACE_CLIP", str(path))
    return path


def pictures(count: int) -> list[Image.Image]:
    """Of several shapes, all different."""
    noise = np.random.default_rng(5)
    sizes = [(40, 60), (64, 64), (90, 50)]
    return [
        Image.fromarray(noise.integers(0, 256, (6, 6, 3), np.uint8)).resize(sizes[number % 3])
        for number in range(count)
    ]


def by_open_clip(model: Any, images: list[Image.Image], prompts: list[str], mean: Any = None) -> list[float]:
    """The cosines, one picture at a time, with open_clip's own functions."""
    import open_clip

    prepare = open_clip.image_transform(CONFIG["vision_cfg"]["image_size"], is_train=False, mean=mean, std=mean)
    tokens = open_clip.get_tokenizer(TINY)
    with torch.no_grad():
        return [
            float(
                (
                    model.encode_image(prepare(image)[None], normalize=True)
                    * model.encode_text(tokens([prompt]), normalize=True)
                ).sum()
            )
            for image, prompt in zip(images, prompts)
        ]


def found() -> Clip:
    chosen = find_weights()
    assert chosen is not None
    return Clip(chosen)


def test_without_weights_there_is_nothing() -> None:
    assert find_weights() is None


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert find_weights([tmp_path / "nowhere"]) is None


def put_in_hub(cache: Path, repository: str, *files: str) -> Path:
    home = cache / f"models--{repository.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0f" * 20)
    snapshot = home / "snapshots" / ("0f" * 20)
    snapshot.mkdir(parents=True)
    for name in files:
        (snapshot / name).write_bytes(b"")
    return snapshot


@pytest.mark.parametrize("variable", ["HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", ""])
def test_the_hub_s_cache_is_searched(variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HOME")
    below = {"HF_HOME": "hub", "HF_HUB_CACHE": "", "XDG_CACHE_HOME": "huggingface/hub"}.get(variable)
    cache = tmp_path / "home/.cache/huggingface/hub" if below is None else tmp_path / "some" / below
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "some"))
    snapshot = put_in_hub(cache, HUB, "open_clip_pytorch_model.bin", "README.md")
    assert find_weights() == ClipWeights(snapshot / "open_clip_pytorch_model.bin", HUB, "ViT-B-32", False)
    (snapshot / "open_clip_model.safetensors").write_bytes(b"")
    best = find_weights()
    assert best is not None
    assert best.path.suffix == ".safetensors"


def test_a_model_whose_weights_were_not_downloaded_is_not_found(tmp_path: Path) -> None:
    put_in_hub(tmp_path / "hf" / "hub", HUB, "open_clip_config.json")
    assert find_weights() is None


def test_openai_s_files_are_found_and_the_larger_model_is_taken(tmp_path: Path) -> None:
    cache = tmp_path / "home" / ".cache" / "clip"
    cache.mkdir(parents=True)
    (cache / "ViT-B-32.pt").write_bytes(b"")
    assert find_weights() == ClipWeights(cache / "ViT-B-32.pt", "ViT-B-32", "ViT-B-32", True)
    (cache / "ViT-L-14.pt").write_bytes(b"")
    assert find_weights() == ClipWeights(cache / "ViT-L-14.pt", "ViT-L-14", "ViT-L-14", True)
    assert find_weights([tmp_path]) is None
    assert find_weights([tmp_path, cache]) == find_weights()


def test_a_named_file_goes_first(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_hub(tmp_path / "hf" / "hub", HUB, "open_clip_pytorch_model.bin")
    assert find_weights() == ClipWeights(weights, "tiny.safetensors")
    monkeypatch.setenv("SAMEFACE_CLIP_MODEL", "ViT-L/14-quickgelu")
    assert find_weights() == ClipWeights(weights, "tiny.safetensors", "ViT-L-14", True)
    repository = "laion/CLIP-ViT-L-14-laion2B-s32B-b82K"
    monkeypatch.setenv("SAMEFACE_CLIP_MODEL", repository)
    assert find_weights() == ClipWeights(weights, repository, "ViT-L-14", False, plain=True)


def test_a_named_file_that_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEFACE_CLIP", str(tmp_path / "none.safetensors"))
    with raises("clip-file-missing", has=("SAMEFACE_CLIP", "none.safetensors")):
        find_weights()


@pytest.mark.parametrize("name", ["", TINY])
def test_cosines_are_open_clip_s(
    name: str, tiny: Callable[..., Any], weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMEFACE_CLIP_MODEL", name)
    count = BATCH + 3
    images, prompts = pictures(count), [PROMPTS[number % 4] for number in range(count)]
    expected = by_open_clip(tiny(), images, prompts)
    assert np.ptp(expected) > 0.02  # else any picture would do for any prompt
    clip = found()
    assert clip.adherence(images, prompts) == pytest.approx(expected, abs=1e-5)
    assert clip.name == "tiny.safetensors"
    assert clip.id.startswith(f"clip-1:{TINY}:")


def test_quick_gelu_and_colours_are_what_the_model_was_trained_with(tiny: Callable[..., Any], weights: Path) -> None:
    images, half = pictures(4), (0.5, 0.5, 0.5)
    plain = Clip(ClipWeights(weights, "tiny", TINY, plain=True))
    quick = Clip(ClipWeights(weights, "tiny", TINY, quick_gelu=True))
    usual = by_open_clip(tiny(), images, PROMPTS)
    for clip, expected in (
        (plain, by_open_clip(tiny(), images, PROMPTS, half)),
        (quick, by_open_clip(tiny(quick=True), images, PROMPTS)),
    ):
        assert np.abs(np.subtract(expected, usual)).max() > 1e-3
        assert clip.adherence(images, PROMPTS) == pytest.approx(expected, abs=1e-5)
    assert len({plain.id, quick.id, Clip(ClipWeights(weights, "tiny", TINY)).id}) == 3


def test_features_are_unit_vectors_whatever_the_picture_s_mode(weights: Path) -> None:
    clip = found()
    [image] = pictures(1)
    features = clip.features([image, image.convert("RGBA"), image.convert("P"), image.convert("L")])
    assert features.dtype == np.float32
    assert features.shape == (4, CONFIG["embed_dim"])
    assert np.linalg.norm(features, axis=1) == pytest.approx(1, abs=1e-6)
    assert features[1] == pytest.approx(features[0], abs=1e-6)


def test_long_prompts_are_cut_as_clip_does(weights: Path) -> None:
    clip = found()
    words = "one two three four five six seven eight nine ten " * 8
    texts = clip.texts([words, f"{words} and much more", words[:100]])
    assert texts[1] == pytest.approx(texts[0], abs=1e-6)
    assert np.abs(texts[2] - texts[0]).max() > 1e-3


def test_nothing_to_measure(weights: Path) -> None:
    clip = found()
    assert clip.adherence([], []) == []
    assert diversity(clip.features([])) is None
    with misfit("prompts", 1, 0):
        clip.adherence(pictures(1), [])


@pytest.fixture
def no_loaders(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's own loaders of pickles and TorchScript fail the test."""

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("torch opened a file that may hold code")

    monkeypatch.setattr(torch, "load", forbidden)
    monkeypatch.setattr(torch.jit, "load", forbidden)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_pickle_of_tensors_gives_the_same(
    dtype: torch.dtype, tiny: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_loaders: None
) -> None:
    model, path = tiny().to(dtype), tmp_path / "open_clip_pytorch_model.bin"
    torch.save(model.state_dict(), path)
    monkeypatch.setenv("SAMEFACE_CLIP", str(path))
    assert found().adherence(pictures(4), PROMPTS) == pytest.approx(
        by_open_clip(model.float(), pictures(4), PROMPTS), abs=1e-5
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_openai_s_kind_of_archive_is_read_without_its_code(
    tiny: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_loaders: None
) -> None:
    import open_clip

    model, path = tiny(quick=True), tmp_path / "ViT-T-8.pt"
    model.visual.proj.data = model.visual.proj.data.T.contiguous().T  # strides as OpenAI's files may have them
    example = (torch.zeros(1, 3, 32, 32), open_clip.tokenize("a"))
    torch.jit.trace(model, example, check_trace=False).save(str(path))
    with zipfile.ZipFile(path) as archive:
        assert any(name.endswith(".py") for name in archive.namelist())
    monkeypatch.setenv("SAMEFACE_CLIP", str(path))
    clip = found()
    assert "-quickgelu" in clip.id
    assert clip.adherence(pictures(4), PROMPTS) == pytest.approx(by_open_clip(model, pictures(4), PROMPTS), abs=1e-5)


def test_another_model_s_weights_are_said(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import open_clip

    config = {**CONFIG, "text_cfg": {**CONFIG["text_cfg"], "layers": 2}}
    (tmp_path / "sameface-flat.json").write_text(json.dumps(config), encoding="utf-8")
    open_clip.add_model_config(tmp_path / "sameface-flat.json")
    for name, code in [
        ("sameface-flat", "clip-architecture-mismatch"),  # its tensors are all there, and more
        ("convnext_base", "clip-architecture-unsupported"),
        ("xlm-roberta-base-ViT-B-32", "clip-architecture-unsupported"),
        ("RN50", "clip-architecture-unsupported"),
        ("nonsense", "clip-architecture-unsupported"),
    ]:
        monkeypatch.setenv("SAMEFACE_CLIP_MODEL", name)
        with raises(code, has=name):
            found()


def test_a_model_of_no_known_shape_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"visual.proj": torch.zeros(3, 3)}, tmp_path / "odd.safetensors")
    monkeypatch.setenv("SAMEFACE_CLIP", str(tmp_path / "odd.safetensors"))
    with raises("clip-file-unknown", has="open_clip"):
        found()


def test_diversity() -> None:
    axes = np.eye(3, dtype=np.float32)
    assert diversity(np.stack([axes[0], axes[0], axes[0]])) == pytest.approx(0)
    assert diversity(axes) == pytest.approx(1)
    assert diversity(np.stack([axes[0], -axes[0]])) == pytest.approx(2)
    assert diversity(np.stack([axes[0], axes[0], axes[1]])) == pytest.approx(2 / 3)
    assert diversity(np.stack([axes[0], axes[0], axes[1]]), ["a", "a", "b"]) == pytest.approx(1)
    assert diversity(axes, ["a", "a", "a"]) is None
    assert diversity(axes[:1]) is None
    with misfit("prompts", 3, 2):
        diversity(axes, ["a", "b"])
