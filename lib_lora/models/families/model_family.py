"""Defines the interface of a model family: all that differs between Stable Diffusion 1, 2, XL and what may come.

A family is one frozen object. What can be said without tensors (names, sizes, figures, presets) is data; loading the
parts and running them are methods, which import torch when they are called. `registry` lists the families.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from lib_lora.models.families.painting import ComfyNodes, Sampling

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL
    from torch import nn

    from lib_lora.models.reading.weights import TensorFile
    from lib_lora.models.text_conditioning import Conditioning, TextStack

Prediction = Literal["epsilon", "v"]  # what a user may say of a checkpoint that does not say it itself
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class MemoryFigures:
    """What a family needs of a GPU, counted by ``python bench/speed/memory.py`` (docs/performance.md).

    Attributes:
        denoiser, text: thousand millions of numbers in the frozen parts.
        denoiser_rank, text_rank, convolution_rank: millions of an adapter's numbers for each rank.
        activations: GB for a picture of `side` in half precision, all activations kept.
        recomputed: the same with activations computed again when needed (gradient checkpointing).
        side: in pixels, of the picture that these two are for.
        card: GB of the smallest GPU that its usual preset is made to fit (`training.plan.memory_fitting`).
        text_last: training the text encoders is given up where memory is short.
        hint: what a user with too small a GPU can do.
    """

    denoiser: float
    text: float
    denoiser_rank: float
    text_rank: float
    convolution_rank: float
    activations: float
    recomputed: float
    side: int
    card: int
    text_last: bool = False
    hint: str = "a smaller resolution may help"


@dataclass(frozen=True)
class FamilyPreset:
    """A preset for faces.

    Attributes:
        description: one line for the user.
        settings: over the settings that all presets share, nested tables of plain values.
        narrow: only for small models (`ModelInfo.narrow`).
    """

    description: str
    settings: Mapping[str, Any]
    narrow: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class ModelFamily(ABC):
    """A model family.

    Attributes:
        name: short, as it stands in run files: "sd1".
        title: as A1111 writes it on a LoRA's card: "SD1".
        label: as people write it: "SD1.5".
        full_name: in a sentence: "Stable Diffusion 1.5".
        webui_flag: the attribute of a webui's model that says that it is of this family.
        forge_name: what Forge's loader calls models of this family; empty = it is not asked.
        parts: what may get an adapter: "unet" (the denoiser, whatever it is) and the text encoders "te1", "te2".
        prefixes: kohya's prefix of the layer names of each part.
        sides: by prediction, the side in pixels of the squares that such models were trained on.
        base_versions: by prediction, kohya's ``ss_base_model_version``.
        architectures: by prediction, ModelSpec's ``architecture`` of a LoRA; Forge takes a file for SD1 only by it.
        version_prefix: with this begins the ``ss_base_model_version`` of every LoRA for it; empty = that says nothing.
        latent_channels: numbers of a latent's cell. A cell is 8 x 8 pixels.
        objective: by this name `training.objective` finds noise, target and loss.
        sampling: how this machine paints with it; None = only a webui or ComfyUI can.
        comfy_nodes: what it changes in the workflow for ComfyUI; None = that workflow does not paint with it.
        predictions: what the denoiser may predict; the first is usual.
        prediction_in_weights: where nothing else says it, only the weights tell what is predicted.
        guidance: the scale at which it is tested; narrow_guidance = a small model of it (`ModelInfo.narrow`), which
            A1111's 7 makes ignore a LoRA where the prompt is strong (docs/mini-face.md).
        memory: figures for fitting a GPU.
        presets: by name; the first is the usual one.
        implementation: ModelSpec's word for the code that runs it.
        joint_attention: the text encoders in which a webui has q, k, v and out as one module, so that it ignores a
            LoRA with some of them.
        context_widths: usual widths of the text conditioning, by which a LoRA file is told from another family's.
        linear_projections: the denoiser's projections are linear layers, not 1x1 convolutions.
        convolution_ends: patterns of the ends of the names of its 3x3 convolutions that may get an adapter; none has
            a "|" at the top level, since peft 0.13 puts them in its own expression without brackets.
        webui_fallback: A1111 takes a LoRA for this family whose metadata name none.
        is_v2: kohya's ``ss_v2``.
        civitai_bases: what Civitai calls the base models that it loads (``baseModel``).
    """

    name: str
    title: str
    label: str
    full_name: str
    webui_flag: str
    parts: tuple[str, ...]
    prefixes: Mapping[str, str]
    sides: Mapping[str, int]
    base_versions: Mapping[str, str]
    architectures: Mapping[str, str]
    memory: MemoryFigures
    presets: Mapping[str, FamilyPreset]
    objective: str
    version_prefix: str = ""
    forge_name: str = ""
    latent_channels: int = 4
    sampling: Sampling | None = None
    comfy_nodes: ComfyNodes | None = None
    predictions: tuple[str, ...] = get_args(Prediction)
    prediction_in_weights: bool = False
    guidance: float = 7.0
    narrow_guidance: float = 3.0
    implementation: str = "diffusers"
    joint_attention: tuple[str, ...] = ()
    context_widths: tuple[int, ...] = ()
    linear_projections: bool = True
    convolution_ends: tuple[str, ...] = ()
    webui_fallback: bool = False
    is_v2: bool = False
    civitai_bases: tuple[str, ...] = ()

    # What it is called

    def side(self, prediction: str) -> int:
        """The side in pixels of the squares that models of this family with this prediction were trained on."""
        return self.sides[prediction]

    @property
    def largest_side(self) -> int:
        """The largest of all `side` may give."""
        return max(self.sides.values())

    @property
    def most_clip_skip(self) -> int:
        """The most that A1111's setting "clip skip" can be for it; 0 = that does not act on it."""
        return 0

    def claimed_by(self, metadata: Mapping[str, str]) -> bool:
        """Whether a LoRA's metadata say, to a webui, that it is for this family."""
        if self.is_v2:
            return metadata.get("ss_v2") == "True"
        version = metadata.get("ss_base_model_version", "")
        return bool(self.version_prefix) and version.startswith(self.version_prefix)

    # What a checkpoint file is

    @abstractmethod
    def recognises(self, file: TensorFile) -> bool:
        """Whether the file is a whole checkpoint of this family, by the names and shapes of its tensors."""

    @abstractmethod
    def context_dim(self, file: TensorFile) -> int:
        """Width of the text conditioning."""

    @abstractmethod
    def denoiser_numbers(self, file: TensorFile) -> int:
        """How many numbers the denoiser has."""

    def is_narrow(self, context_dim: int) -> bool:
        """Whether so narrow a text conditioning makes it a small model for small pictures."""
        return False

    # Its adapter

    @abstractmethod
    def adapter_paths(self, part: str, convolutions: bool = False) -> tuple[str, ...]:
        """The dotted names of all layers to adapt in a part, in the order of the model.

        Raises:
            ValueError: the family has no such part.
        """

    @abstractmethod
    def adapter_pattern(self, part: str, convolutions: bool) -> str:
        """A regular expression that matches, as a whole, the dotted names of the layers to adapt."""

    @abstractmethod
    def adapter_shapes(self, shapes: Shapes, part: str, convolutions: bool) -> dict[str, tuple[int, ...]]:
        """The weight shapes of the layers to adapt in a part of the checkpoint with these tensors, by dotted name.

        Raises:
            KeyError: the checkpoint lacks one: it is incomplete.
        """

    @abstractmethod
    def complete_sets(self, part: str, paths: Collection[str]) -> list[set[str]]:
        """The sets of layers that a LoRA file may have in a part, the smallest first; `paths` is what one has.

        A small model may have fewer layers than its family, but the first ones and all of each.
        """

    def expected_paths(self, part: str, module: nn.Module, convolutions: bool) -> tuple[str, ...]:
        """The layers to adapt in a loaded part."""
        return self.adapter_paths(part, convolutions)

    def key_path(self, part: str, path: str) -> str:
        """The dotted path that stands in the LoRA file for a module's.

        Raises:
            KeyError: no such model has that path.
        """
        return path

    def other_spellings(self, part: str, path: str) -> tuple[str, ...]:
        """Further names in a LoRA file by which webuis find a layer."""
        return ()

    # Its parts in memory

    @abstractmethod
    def load_denoiser(self, info: ModelInfo, dtype: torch.dtype, device: torch.device) -> nn.Module:
        """The denoiser, frozen, in evaluation mode.

        Raises:
            UserError: tensors are missing or do not fit the architecture.
        """

    @abstractmethod
    def load_vae(self, info: ModelInfo, dtype: torch.dtype, device: torch.device) -> AutoencoderKL:
        """The VAE, frozen."""

    @abstractmethod
    def load_text(self, info: ModelInfo, dtype: torch.dtype, device: torch.device) -> TextStack:
        """The text encoders, frozen."""

    def vae_dtype(self, device: torch.device, wanted: torch.dtype) -> torch.dtype:
        """The dtype that the VAE runs in: float32 on the CPU."""
        import torch

        return torch.float32 if device.type == "cpu" else wanted

    @abstractmethod
    def denoise(
        self,
        denoiser: nn.Module,
        latents: torch.Tensor,
        times: torch.Tensor,
        words: Conditioning,
        sizes: Sequence[Sequence[int]],
    ) -> torch.Tensor:
        """What the denoiser predicts, of the shape of `latents`.

        Args:
            denoiser: as `load_denoiser` gave it.
            latents: [B, C, h, w], noisy, in the dtype of the denoiser.
            times: [B] or a single one, as the objective counts them.
            words: of B prompts.
            sizes: for each picture its original height and width, the crop's top and left, and the wanted height and
                width, in pixels.
        """

    def use_fast_ops(self, denoiser: nn.Module, device: torch.device) -> None:  # noqa: B027 - may have nothing quicker
        """Put quicker operations for this device into the denoiser, in place, which compute the same."""

    def recompute_activations(self, part: str, module: nn.Module) -> None:
        """Turn on gradient checkpointing in a part."""
        if part == "unet":
            module.enable_gradient_checkpointing()  # type: ignore[operator]
        else:
            module.gradient_checkpointing_enable()  # type: ignore[operator]
            # transformers' older checkpointing passes gradients only where an input asks for them
            module.enable_input_require_grads()  # type: ignore[operator]

    def conditioning_bytes(self, shapes: Shapes) -> int:
        """Bytes of one caption's encoding in float32, as it is kept on the disk."""
        return 0

    def probe_prediction(self, info: ModelInfo) -> str:
        """What the denoiser predicts, found out by running it (`prediction_in_weights`)."""
        return self.predictions[0]


@dataclass(frozen=True)
class ModelInfo:
    """A base model that can be trained on.

    Attributes:
        path: the checkpoint file.
        model_family: its family.
        prediction: what the denoiser predicts, one of the family's `predictions`.
        zero_terminal_snr: the noise schedule ends in pure noise (Lin et al., arXiv 2305.08891).
        prediction_from: where `prediction` was read: "user", "marker", "metadata", "yaml", "probe" or "family".
        context_dim: width of the text conditioning.
        small_side: the side in pixels that the model's ``.yaml`` names, where that is less than its family's; None
            otherwise.
    """

    path: Path
    model_family: ModelFamily
    prediction: str
    zero_terminal_snr: bool
    prediction_from: str
    context_dim: int
    small_side: int | None = None

    @property
    def family(self) -> str:
        """The name of its family."""
        return self.model_family.name

    @property
    def resolution(self) -> int:
        """The side, in pixels, of the squares that the model, or else its family, was trained on."""
        return self.small_side or self.model_family.side(self.prediction)

    @property
    def narrow(self) -> bool:
        """A small model for small pictures: narrower than its family, and its ``.yaml`` says a small size."""
        return self.small_side is not None and self.model_family.is_narrow(self.context_dim)

    @property
    def guidance(self) -> float:
        """The guidance scale at which the model is tested."""
        return self.model_family.narrow_guidance if self.narrow else self.model_family.guidance

    def load_denoiser(self, dtype: torch.dtype, device: torch.device) -> nn.Module:
        """See `ModelFamily.load_denoiser`."""
        return self.model_family.load_denoiser(self, dtype, device)

    def load_vae(self, dtype: torch.dtype, device: torch.device) -> AutoencoderKL:
        """See `ModelFamily.load_vae`."""
        return self.model_family.load_vae(self, dtype, device)

    def load_text(self, dtype: torch.dtype, device: torch.device) -> TextStack:
        """See `ModelFamily.load_text`."""
        return self.model_family.load_text(self, dtype, device)
