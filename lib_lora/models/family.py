"""What a checkpoint file is: its family and every dimension, read from the names and shapes of its tensors.

What tensors cannot tell, the prediction type and the size of the pictures, may stand in a ``.yaml`` beside it. Nothing
is guessed from the file's name. A toy with narrow layers and the real 2 GB file go the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from lib_lora.errors import UserError
from lib_lora.models.reading.weights import TensorFile, open_tensors

Family = Literal["sd1", "sd2", "sdxl"]
Prediction = Literal["epsilon", "v"]

UNET = "model.diffusion_model."
VAE = "first_stage_model."
_SD1_CONTEXT = 768  # width of the text conditioning
_SMALL_CELLS = range(8, 64, 8)  # of a latent's side, which a UNet halves three times


def usual_side(family: Family, prediction: Prediction) -> int:
    """The side, in pixels, of the squares that a family was trained on."""
    if family == "sd2":
        return 768 if prediction == "v" else 512
    return 1024 if family == "sdxl" else 512


@dataclass(frozen=True)
class ModelInfo:
    """A base model that can be trained on.

    Attributes:
        path: the checkpoint file.
        family: sd1, sd2 or sdxl.
        prediction: what the UNet predicts.
        zero_terminal_snr: the noise schedule ends in pure noise (Lin et al., arXiv 2305.08891).
        prediction_from: where `prediction` was read: "marker", "metadata", "yaml", "probe" or "family".
        context_dim: width of the text conditioning.
        small_side: the side in pixels that the model's ``.yaml`` names, where that is less than its family's; None
            otherwise.
    """

    path: Path
    family: Family
    prediction: Prediction
    zero_terminal_snr: bool
    prediction_from: str
    context_dim: int
    small_side: int | None = None

    @property
    def resolution(self) -> int:
        """The side, in pixels, of the squares that the model, or else its family, was trained on."""
        return self.small_side or usual_side(self.family, self.prediction)

    @property
    def narrow(self) -> bool:
        """A small model for small pictures: a Stable Diffusion 1 with narrower layers, whose ``.yaml`` says so."""
        return self.family == "sd1" and self.small_side is not None and self.context_dim < _SD1_CONTEXT

    @property
    def guidance(self) -> float:
        """The guidance scale at which the model is tested: A1111's 7, or 3 for a narrow one, which 7 makes ignore a
        LoRA where the prompt is strong (docs/mini-face.md)."""
        return 3.0 if self.narrow else 7.0

    @property
    def base_version(self) -> str:
        """kohya's ``ss_base_model_version``."""
        if self.family == "sd2":
            return "sd_v2_v" if self.prediction == "v" else "sd_v2"
        return "sdxl_base_v1-0" if self.family == "sdxl" else "sd_v1"


def identify(path: Path, prediction: Prediction | None = None) -> ModelInfo:
    """Say what the checkpoint at `path` is.

    Args:
        path: a ``.safetensors``, ``.ckpt`` or ``.pt`` file.
        prediction: overrides what the file says of itself.

    Raises:
        UserError: one sentence that says what the file is instead.
    """
    info, certain = look(path, prediction)
    if certain:
        return info
    from lib_lora.models.prediction_probe import predicts_velocity  # which loads torch

    return replace(info, prediction="v" if predicts_velocity(info) else "epsilon")


def look(path: Path, prediction: Prediction | None = None) -> tuple[ModelInfo, bool]:
    """As `identify`, from the file's table alone, which takes no time and no torch.

    Returns:
        What it is, and whether its prediction is known: only the weights of an SD2 can tell theirs.

    Raises:
        UserError: as `identify`.
    """
    file = open_tensors(path)
    family = _family(file)
    found, source = (prediction, "user") if prediction else _prediction(file, family)
    info = ModelInfo(
        path=path,
        family=family,
        prediction=found or "epsilon",
        zero_terminal_snr="ztsnr" in file.keys(),
        prediction_from=source,
        context_dim=_context_dim(file),
        small_side=_small_side(file),
    )
    return info, found is not None


def _context_dim(file: TensorFile) -> int:
    return min(file.shape(key)[1] for key in file.keys() if key.startswith(UNET) and key.endswith("attn2.to_k.weight"))


def _family(file: TensorFile) -> Family:
    keys = file.keys()
    name = file.path.name
    for what, test in _OTHER_KINDS:
        if any(test(key) for key in keys):
            raise UserError(
                f"{name} is {what}, not a Stable Diffusion 1, 2 or XL checkpoint.",
                code="model-of-other-kind",
                file=name,
            )
    if f"{UNET}input_blocks.0.0.weight" not in keys:
        raise UserError(
            f"{name} is {_without_unet(keys)}, not a Stable Diffusion checkpoint.", code="model-without-unet", file=name
        )
    channels = file.shape(f"{UNET}input_blocks.0.0.weight")[1]
    if channels != 4:
        special = {9: "an inpainting model", 8: "an instruct-pix2pix model", 5: "a depth model"}
        what = special.get(channels, f"a model with {channels} input channels")
        raise UserError(
            f"{name} is {what}; train on its ordinary text-to-image version.", code="model-not-text-to-image", file=name
        )
    if not any(key.endswith("attn2.to_k.weight") for key in keys if key.startswith(UNET)):
        raise UserError(
            f"{name} has a UNet that does not listen to text, so no LoRA of a character can be trained.",
            code="model-not-conditioned",
            file=name,
        )
    family = _by_text_encoder(name, keys)
    if not any(key.startswith(f"{VAE}decoder.") for key in keys):
        raise UserError(
            f"{name} has no VAE inside; use the version of this model with the VAE baked in.",
            code="vae-missing",
            file=name,
        )
    return family


def _by_text_encoder(name: str, keys: set[str]) -> Family:
    if any(key.startswith("conditioner.embedders.1.model.") for key in keys):
        if not any(key.startswith("conditioner.embedders.0.transformer.") for key in keys):
            raise UserError(
                f"{name} has lost its first text encoder; use the complete checkpoint.",
                code="text-encoder-incomplete",
                file=name,
            )
        return "sdxl"
    if any(key.startswith("conditioner.embedders.0.model.") for key in keys):
        raise UserError(
            f"{name} is the SDXL refiner; train on the SDXL base model instead.", code="model-is-refiner", file=name
        )
    if f"{UNET}label_emb.0.0.weight" in keys:
        raise UserError(
            f"{name} is an SDXL UNet (or unCLIP model) without both text encoders; use a full checkpoint.",
            code="text-encoder-incomplete",
            file=name,
        )
    if any(key.startswith("cond_stage_model.transformer.") for key in keys):
        return "sd1"
    if any(key.startswith("cond_stage_model.model.") for key in keys):
        return "sd2"
    raise UserError(
        f"{name} has no text encoder inside; use the complete checkpoint of this model.",
        code="text-encoder-missing",
        file=name,
    )


def _starts(*prefixes: str) -> Callable[[str], bool]:
    return lambda key: key.startswith(prefixes) or key.startswith(tuple(UNET + prefix for prefix in prefixes))


_OTHER_KINDS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("a LoRA file", lambda key: bool(re.search(r"\.(lora_(down|up|A|B)\b|hada_w1|lokr_w1|dora_scale|oft_)", key))),
    ("a Flux model", _starts("double_blocks.")),
    ("a Stable Diffusion 3 model", _starts("joint_blocks.")),
    ("a ControlNet", lambda key: key.startswith("control_model.") or "input_hint_block." in key),
    ("a Stable Cascade model", _starts("clip_txt_pooled_mapper.", "clip_mapper.")),
    ("a textual inversion embedding", lambda key: key in ("emb_params", "string_to_param", "clip_l", "clip_g")),
    ("a UNet in diffusers' layout", _starts("down_blocks.0.resnets.")),
)


def _without_unet(keys: set[str]) -> str:
    if not keys:
        return "a file without tensors"
    if any(key.startswith(("encoder.down.", f"{VAE}encoder.", "encoder.down_blocks.")) for key in keys):
        return "a VAE"
    if any("text_model.encoder.layers." in key or "transformer.resblocks." in key for key in keys):
        return "a text encoder"
    return "some other model"


def _prediction(file: TensorFile, family: Family) -> tuple[Prediction | None, str]:
    """The prediction type and where it was read; None where only the weights themselves can tell (SD2)."""
    if "v_pred" in file.keys():
        return "v", "marker"
    said = file.metadata.get("modelspec.prediction_type", "").lower()
    if said in ("v", "epsilon"):
        return cast("Prediction", said), "metadata"
    text = str(_yaml_beside(file).get("parameterization", ""))
    if text in ("v", "eps"):
        return ("v" if text == "v" else "epsilon"), "yaml"
    return (None, "probe") if family == "sd2" else ("epsilon", "family")


def _small_side(file: TensorFile) -> int | None:
    try:
        cells = _yaml_beside(file).get("image_size")
    except UserError:
        return None  # the size is no reason to refuse a model whose yaml is not needed otherwise
    # the real families write 64 at least (Stable Diffusion 2 writes 64 for 768 pixels too)
    return cells * 8 if type(cells) is int and cells in _SMALL_CELLS else None


def _yaml_beside(file: TensorFile) -> dict[str, Any]:
    """``model.params`` of an original config file, which A1111 reads beside a checkpoint; empty where there is none."""
    path = file.path.with_suffix(".yaml")
    if not path.is_file():
        return {}
    try:
        params = yaml.safe_load(path.read_text(encoding="utf-8"))["model"]["params"]
        return dict(params)
    # beside its own errors, PyYAML lets through those of values that only look right: !!timestamp x, !!int ""
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path.name} beside the checkpoint cannot be read as a model config: {error}.",
            code="model-config-unreadable",
            file=path.name,
        ) from error
