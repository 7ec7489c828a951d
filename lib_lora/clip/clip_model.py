"""Measures with a CLIP model on this machine how well pictures follow their prompts and how varied they are.

Nothing is ever downloaded: without a model there is no measurement. Nothing in a model's file is ever executed
(`clip_file`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lib_lora.clip.clip_file import Tensors, opened
from lib_lora.errors import Misfit, UserError
from lib_lora.faces.array_types import Array
from lib_lora.files import sha256

if TYPE_CHECKING:
    import torch

PROCEDURE = 1  # raise it whenever the same picture may give another number
FILE = "SAMEFACE_CLIP"  # environment variables: the weights, and what they are
MODEL = "SAMEFACE_CLIP_MODEL"
BATCH = 8
VOCABULARY, CONTEXT = 49408, 77  # of CLIP's own tokenizer; models with another one are not used
_HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
_QUICK = "-quickgelu"
_NOT_WEIGHTS = {"input_resolution", "context_length", "vocab_size", "attn_mask"}  # OpenAI's files hold them too
_VISION = {"image_size", "layers", "width", "head_width", "mlp_ratio", "patch_size"}
_TEXT = {"context_length", "vocab_size", "width", "heads", "layers"}


@dataclass(frozen=True)
class ClipWeights:
    """A file of weights, and what is known about it.

    Attributes:
        path: of the file.
        name: for people: the repository's, or the file's.
        architecture: open_clip's name of it; None = the one whose tensors have these shapes.
        quick_gelu: trained with QuickGELU, which no shape tells; None = only if the file is OpenAI's kind of archive.
        plain: colours go from -1 to 1, instead of being normalised by OpenAI's mean and deviation.
    """

    path: Path
    name: str
    architecture: str | None = None
    quick_gelu: bool | None = None
    plain: bool = False


# The first that is there is used: ViT-L/14, as usual for CLIP scores, then the smaller ones, and H, which is slow.
# Names with ".pt" are OpenAI's files, the others repositories of the Hugging Face hub; facts from open_clip.pretrained.
_KNOWN: dict[str, tuple[str, bool, bool]] = {  # architecture, quick_gelu, plain
    "ViT-L-14.pt": ("ViT-L-14", True, False),
    "timm/vit_large_patch14_clip_224.openai": ("ViT-L-14", True, False),
    "laion/CLIP-ViT-L-14-laion2B-s32B-b82K": ("ViT-L-14", False, True),
    "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K": ("ViT-L-14", False, False),
    "ViT-L-14-336px.pt": ("ViT-L-14-336", True, False),
    "timm/vit_large_patch14_clip_336.openai": ("ViT-L-14-336", True, False),
    "ViT-B-16.pt": ("ViT-B-16", True, False),
    "timm/vit_base_patch16_clip_224.openai": ("ViT-B-16", True, False),
    "laion/CLIP-ViT-B-16-laion2B-s34B-b88K": ("ViT-B-16", False, False),
    "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K": ("ViT-B-16", False, False),
    "ViT-B-32.pt": ("ViT-B-32", True, False),
    "timm/vit_base_patch32_clip_224.openai": ("ViT-B-32", True, False),
    "laion/CLIP-ViT-B-32-laion2B-s34B-b79K": ("ViT-B-32", False, False),
    "laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K": ("ViT-B-32", False, False),
    "laion/CLIP-ViT-H-14-laion2B-s32B-b79K": ("ViT-H-14", False, False),
}


def find_weights(folders: Sequence[Path] | None = None) -> ClipWeights | None:
    """A CLIP model on this machine; None where there is none. Looks at names only and opens no file.

    Args:
        folders: caches of the Hugging Face hub and folders with OpenAI's files; None = where both usually are.

    ``SAMEFACE_CLIP`` names a file and goes first. ``SAMEFACE_CLIP_MODEL`` says what that is: one of open_clip's names
    (with "-quickgelu" for such weights) or a repository ("laion/CLIP-ViT-L-14-laion2B-s32B-b82K").

    Raises:
        UserError: ``SAMEFACE_CLIP`` names no file.
    """
    if chosen := os.environ.get(FILE):
        return _chosen(Path(chosen).expanduser(), os.environ.get(MODEL, ""))
    places = [_hub_cache(), Path.home() / ".cache" / "clip"] if folders is None else folders
    for name, facts in _KNOWN.items():
        for place in places:
            if path := _cached(place, name):
                return ClipWeights(path, Path(name).stem if name.endswith(".pt") else name, *facts)
    return None


def _chosen(path: Path, model: str) -> ClipWeights:
    if not path.is_file():
        raise UserError(
            f"{FILE} names {path}, but that file does not exist; correct or unset it.",
            code="clip-file-missing",
            file=path,
        )
    if model in _KNOWN:
        return ClipWeights(path, model, *_KNOWN[model])
    architecture = model.replace("/", "-").removesuffix(_QUICK)
    return ClipWeights(path, path.name, architecture or None, model.endswith(_QUICK) if model else None)


def _hub_cache() -> Path:
    """As huggingface_hub finds it, but from the environment as it is now."""
    for variable, below in (("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("HF_HOME", "hub")):
        if value := os.environ.get(variable):
            return Path(value).expanduser() / below
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface" / "hub"


def _cached(place: Path, name: str) -> Path | None:
    if name.endswith(".pt"):
        return place / name if (place / name).is_file() else None
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(name, file, cache_dir=place) for file in _HUB_FILES)
    return next((Path(path) for path in found if isinstance(path, str)), None)


class Clip:
    """Measures pictures and texts in float32. ViT-L/14 takes seconds to load, and 2 GB of memory."""

    def __init__(self, weights: ClipWeights, device: str = "cpu") -> None:
        """Load the model.

        Raises:
            UserError: open_clip is missing, or the file is damaged, no CLIP model, or of a kind that is not supported.
        """
        try:
            import open_clip
        except ImportError as error:
            raise UserError(
                "The package open_clip_torch is missing; run: pip install open_clip_torch", code="open-clip-missing"
            ) from error
        digest = sha256(weights.path)
        with opened(weights.path) as tensors:
            architecture = weights.architecture or _guess(tensors, weights.path)
            quick = tensors.script if weights.quick_gelu is None else weights.quick_gelu
            self._model, side = _build(weights.path, tensors, architecture, quick)
        self._model.to(device).eval()
        self._device = device
        half = (0.5, 0.5, 0.5)
        self._prepare = open_clip.image_transform(
            side,
            is_train=False,
            mean=half if weights.plain else open_clip.OPENAI_DATASET_MEAN,
            std=half if weights.plain else open_clip.OPENAI_DATASET_STD,
        )
        self._tokenize = open_clip.tokenize
        colours = "-plain" if weights.plain else ""
        self.id = f"clip-{PROCEDURE}:{architecture}{_QUICK if quick else ''}{colours}:{digest[:16]}"
        self.name = weights.name

    def adherence(self, pictures: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        """Cosine between each picture and its prompt, -1..1 (CLIPScore without its factor; Hessel et al. 2021).

        Args:
            pictures: upright; CLIP sees the largest square in the middle.
            prompts: without the trigger, which CLIP does not know, but with the class word; cut after 77 tokens.

        Raises:
            ValueError: not as many prompts as pictures.
        """
        if len(pictures) != len(prompts):
            raise Misfit(f"{len(pictures)} pictures but {len(prompts)} prompts.", "prompts")
        different = list(dict.fromkeys(prompts))
        texts = dict(zip(different, self.texts(different), strict=True))
        return [float(vector @ texts[text]) for vector, text in zip(self.features(pictures), prompts, strict=True)]

    def features(self, pictures: Sequence[Image.Image]) -> Array:
        """Unit vectors of pictures, n x d."""
        import torch

        def encode(batch: Sequence[Image.Image]) -> torch.Tensor:
            pixels = torch.stack([self._prepare(picture.convert("RGB")) for picture in batch])
            return _unit(self._model.encode_image(pixels.to(self._device)))

        with torch.inference_mode():
            return _stacked([encode(pictures[start : start + BATCH]) for start in range(0, len(pictures), BATCH)])

    def texts(self, prompts: Sequence[str]) -> Array:
        """Unit vectors of prompts, n x d."""
        import torch

        def encode(batch: Sequence[str]) -> torch.Tensor:
            return _unit(self._model.encode_text(self._tokenize(list(batch)).to(self._device)))

        with torch.inference_mode():
            return _stacked([encode(prompts[start : start + BATCH]) for start in range(0, len(prompts), BATCH)])


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    length: torch.Tensor = vectors.norm(dim=-1, keepdim=True)
    return vectors / length


def _stacked(parts: Sequence[torch.Tensor]) -> Array:
    return np.concatenate([part.cpu().numpy() for part in parts]) if parts else np.zeros((0, 1), np.float32)


def diversity(features: Array, prompts: Sequence[str] | None = None) -> float | None:
    """1 - mean pairwise cosine: 0 where all pictures are alike, up to 2. None without a pair.

    Args:
        features: unit vectors of pictures, n x d.
        prompts: of the pictures; pairs of one prompt are left out. None = all prompts differ.

    Raises:
        ValueError: not as many prompts as pictures.
    """
    names = np.arange(len(features)) if prompts is None else np.unique(list(prompts), return_inverse=True)[1]
    if len(names) != len(features):
        raise Misfit(f"{len(features)} pictures but {len(names)} prompts.", "prompts")
    vectors = np.asarray(features, np.float64)
    cosines = (vectors @ vectors.T)[names[:, None] != names[None, :]]
    return float(1 - cosines.mean()) if cosines.size else None


def _build(path: Path, tensors: Tensors, architecture: str, quick: bool) -> tuple[Any, int]:
    """open_clip's model with these weights in float32, and the side of the square it looks at, in pixels."""
    import open_clip
    import torch

    config = open_clip.get_model_config(architecture)
    if config is None or not _supported(config):
        raise UserError(
            f"The CLIP model {architecture!r} is not supported; set {MODEL} to another one, like ViT-L-14.",
            code="clip-architecture-unsupported",
            architecture=architecture,
        )
    model = open_clip.CLIP(**{key: config[key] for key in ("embed_dim", "vision_cfg", "text_cfg")}, quick_gelu=quick)
    wanted = model.state_dict()
    shapes = {name: shape for name, shape in tensors.shapes.items() if name not in _NOT_WEIGHTS}
    if shapes != {name: tuple(tensor.shape) for name, tensor in wanted.items()}:
        raise UserError(
            f"{path} does not contain the CLIP model {architecture}; set {MODEL} to the model that it contains.",
            code="clip-architecture-mismatch",
            file=path,
            architecture=architecture,
        )
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(tensors.read(name))
    return model, config["vision_cfg"]["image_size"]


def _supported(config: dict[str, Any]) -> bool:
    """Whether a config of open_clip is a plain vision transformer with CLIP's own text side; others may download."""
    vision, text = config["vision_cfg"], config["text_cfg"]
    return (
        config.keys() <= {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu"}
        and vision.keys() <= _VISION
        and text.keys() <= _TEXT
        and all(isinstance(vision.get(key), int) for key in ("layers", "image_size", "patch_size"))
        and (text.get("vocab_size"), text.get("context_length")) == (VOCABULARY, CONTEXT)
    )


def _guess(tensors: Tensors, path: Path) -> str:
    """The architecture with these shapes, among those that open_clip knows."""
    import open_clip

    def depth(tower: str) -> int:
        return len({name.split(".")[tower.count(".")] for name in tensors.shapes if name.startswith(tower)})

    ours = [tensors.shapes.get(name) for name in ("visual.conv1.weight", "visual.positional_embedding", "visual.proj")]
    ours += [tensors.shapes.get("text_projection"), (depth("visual.transformer.resblocks."),)]
    ours += [(depth("transformer.resblocks."),)]
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        if not _supported(config) or config.get("quick_gelu"):  # of those the plain one is in the list, too
            continue
        size, vision, text = config["embed_dim"], config["vision_cfg"], config["text_cfg"]
        side, width = vision["patch_size"], vision["width"]
        patches = (vision["image_size"] // side) ** 2 + 1
        shapes = [(width, 3, side, side), (patches, width), (width, size), (text["width"], size)]
        if ours == [*shapes, (vision["layers"],), (text["layers"],)]:
            return str(name)
    raise UserError(
        f"{path} is not a CLIP model that open_clip knows; set {MODEL} or unset {FILE}.",
        code="clip-file-unknown",
        file=path,
    )
