"""Builds the parts of a checkpoint as diffusers and transformers modules from the file's own shapes.

Modules are made on the "meta" device (no memory, no random numbers) and each of their tensors is then
read from the file in the dtype asked for, so that nothing is held twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any, cast

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from torch.overrides import TorchFunctionMode
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from lib_lora.errors import UserError
from lib_lora.models import part_names
from lib_lora.models.clip_tokens import CHUNK
from lib_lora.models.reading.weights import TensorFile, TensorMissing
from lib_lora.models.text_encoder import TextEncoder
from lib_lora.models.unet_names import UNET, original_path

TEXT_MODEL = "text_model."
VAE = "first_stage_model."  # what the names of its tensors begin with
HEAD_WIDTH = 64  # channels a head, everywhere but in SD1's UNet

Read = Callable[[str, torch.dtype | None], torch.Tensor]


def load_unet(file: TensorFile, config: dict[str, Any], dtype: torch.dtype, device: torch.device) -> nn.Module:
    """The UNet, frozen, in evaluation mode.

    Args:
        file: the checkpoint.
        config: as `unet_config` gives it.
        dtype, device: of its tensors.

    Raises:
        UserError: tensors are missing or do not fit the architecture (a pruned or damaged model).
    """
    with _empty():
        unet = UNet2DConditionModel(**config)
    attention = ["CrossAttn" in kind for kind in config["up_block_types"]]

    def source(key: str) -> str:
        path, leaf = key.rsplit(".", 1)
        return f"{UNET}{original_path(path, attention)}.{leaf}"

    return _fill(unet, file, lambda key, as_: file.read(source(key), as_), dtype, device)


class _NoFirstNumbers(TorchFunctionMode):
    """Layers that are made within draw no first numbers: on the meta device that changes nothing and takes half of
    the time in which a text encoder is made."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func in _DRAWS or getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else named["tensor"]
        return func(*args, **named)


_DRAWS = {torch.Tensor.normal_, torch.Tensor.uniform_}  # those that a library calls itself


@contextmanager
def _empty() -> Iterator[None]:
    """Modules that are made within have tensors without numbers."""
    with torch.device("meta"), _NoFirstNumbers():
        yield


@contextmanager
def _complete(file: TensorFile) -> Iterator[None]:
    """A tensor that is not there is said in one sentence."""
    try:
        yield
    except TensorMissing as error:
        raise UserError(
            f"{file.path.name} is incomplete: it lacks {error}; download it again.",
            code="model-tensor-missing",
            file=file.path.name,
        ) from error


def _shape(file: TensorFile, key: str, axes: int) -> tuple[int, ...]:
    """The first `axes` numbers of a tensor's shape.

    Raises:
        TensorMissing: there is no such tensor.
        UserError: it has fewer axes.
    """
    shape = file.shape(key)
    if len(shape) < axes:
        raise UserError(
            f"{file.path.name}: {key} has the shape {shape}; this is not an ordinary Stable Diffusion model.",
            code="model-tensor-too-few-axes",
            file=file.path.name,
            tensor=key,
        )
    return shape[:axes]


def unet_config(
    file: TensorFile, sample_size: int, context_dim: int, heads: int = 0, size_conditioning: bool = False
) -> dict[str, Any]:
    """The arguments of ``UNet2DConditionModel`` that give this file's UNet.

    Args:
        file: the checkpoint.
        sample_size: the side of its pictures in latent cells.
        context_dim: width of the text conditioning.
        heads: attention heads of every level; 0 = as many as the width has 64 channels.
        size_conditioning: the UNet is told the picture's size and the pooled text, as SDXL's is.

    Raises:
        UserError: diffusers' UNet has no such layout, or tensors are missing.
    """
    with _complete(file):
        return _unet_config(file, sample_size, context_dim, heads, size_conditioning)


def _unet_config(
    file: TensorFile, sample_size: int, context_dim: int, heads: int, size_conditioning: bool
) -> dict[str, Any]:
    keys = file.keys()
    widths: list[int] = []
    depths: list[int] = []
    index = 1
    while f"{UNET}input_blocks.{index}.0.in_layers.0.weight" in keys:
        width = _shape(file, f"{UNET}input_blocks.{index}.0.out_layers.3.weight", 1)[0]
        pair = {_depth(keys, f"input_blocks.{index + j}.1.") for j in range(2)}
        if len(pair) > 1:
            raise _pruned(file)
        widths.append(width)
        depths.append(pair.pop())
        index += 3
    if not widths or _depth(keys, "middle_block.1.") != max(depths[-1], 1):
        raise _pruned(file)
    cross = [depth > 0 for depth in depths]
    linear = len(file.shape(next(key for key in keys if key.startswith(UNET) and key.endswith("proj_in.weight")))) == 2
    extra: dict[str, Any] = {}
    if size_conditioning:
        extra = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": _shape(file, f"{UNET}label_emb.0.0.weight", 2)[1],
        }
    return {
        "sample_size": sample_size,
        "block_out_channels": tuple(widths),
        "down_block_types": tuple("CrossAttnDownBlock2D" if on else "DownBlock2D" for on in cross),
        "up_block_types": tuple("CrossAttnUpBlock2D" if on else "UpBlock2D" for on in reversed(cross)),
        "transformer_layers_per_block": tuple(max(depth, 1) for depth in depths),
        "cross_attention_dim": context_dim,
        # diffusers' name for the NUMBER of heads in these models
        "attention_head_dim": heads or tuple(max(1, width // HEAD_WIDTH) for width in widths),
        "use_linear_projection": linear,
        **extra,
    }


def _depth(keys: set[str], prefix: str) -> int:
    """How many transformer blocks stand under `prefix` (0: no attention)."""
    depth = 0
    while f"{UNET}{prefix}transformer_blocks.{depth}.norm1.weight" in keys:
        depth += 1
    return depth


def _pruned(file: TensorFile) -> UserError:
    return UserError(
        f"{file.path.name} has a UNet with missing blocks (a distilled model such as SSD-1B, or a damaged file); "
        "train on the full model.",
        code="model-distilled",
        file=file.path.name,
    )


def load_vae(
    file: TensorFile, scale: float, force_upcast: bool, dtype: torch.dtype, device: torch.device
) -> AutoencoderKL:
    """The VAE, frozen.

    Args:
        file: the checkpoint.
        scale: what latents are multiplied with.
        force_upcast: it overflows in half precision.
        dtype, device: of its tensors.

    Raises:
        UserError: tensors are missing.
    """
    with _complete(file):
        return _vae(file, scale, force_upcast, dtype, device)


def _vae(file: TensorFile, scale: float, force_upcast: bool, dtype: torch.dtype, device: torch.device) -> AutoencoderKL:
    keys = file.keys()
    widths = [_shape(file, f"{VAE}encoder.down.0.block.0.conv1.weight", 1)[0]]
    while f"{VAE}encoder.down.{len(widths)}.block.0.conv1.weight" in keys:
        widths.append(_shape(file, f"{VAE}encoder.down.{len(widths)}.block.0.conv1.weight", 1)[0])
    layers = sum(f"{VAE}encoder.down.0.block.{j}.conv1.weight" in keys for j in range(8))
    with _empty():
        vae = AutoencoderKL(
            in_channels=3,
            out_channels=3,
            down_block_types=("DownEncoderBlock2D",) * len(widths),
            up_block_types=("UpDecoderBlock2D",) * len(widths),
            block_out_channels=tuple(widths),
            layers_per_block=layers,
            latent_channels=_shape(file, f"{VAE}post_quant_conv.weight", 1)[0],
            scaling_factor=scale,
            force_upcast=force_upcast,
        )

    def read(key: str, as_: torch.dtype | None) -> torch.Tensor:
        return file.read(VAE + part_names.original_key(key, len(widths)), as_)

    return cast(AutoencoderKL, _fill(vae, file, read, dtype, device))


def load_text_encoder(file: TensorFile, encoder: TextEncoder, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """A text encoder, frozen: a ``CLIPTextModel``, or a ``CLIPTextModelWithProjection`` where it is pooled.

    Raises:
        UserError: tensors are missing.
    """
    with _complete(file):
        if encoder.layout == "clip":
            return _clip(file, encoder.prefix, dtype, device)
        return _open_clip(file, encoder.prefix, encoder.unread, encoder.pooled, dtype, device)


def _clip(file: TensorFile, prefix: str, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """OpenAI's CLIP-L, already in transformers' layout; some merges lack the ``text_model.`` in their names."""
    if any(key.startswith(f"{prefix}text_model.") for key in file.keys()):
        prefix = f"{prefix}text_model."
    layer = re.compile(rf"{re.escape(prefix)}encoder\.layers\.(\d+)\.")
    vocabulary, width = _shape(file, f"{prefix}embeddings.token_embedding.weight", 2)
    config = _text_config(
        layers=1 + max((int(found[1]) for key in file.keys() if (found := layer.match(key))), default=0),
        width=width,
        inner=_shape(file, f"{prefix}encoder.layers.0.mlp.fc1.weight", 2)[0],
        vocabulary=vocabulary,
        act="quick_gelu",
    )

    def read(key: str, as_: torch.dtype | None) -> torch.Tensor:
        part_names.open_clip_key(key)  # only a tensor that a CLIP has can be missing in the file
        return file.read(prefix + key.removeprefix(TEXT_MODEL), as_)

    return _fill(_text_model(config), file, read, dtype, device)


class _Wrapped(nn.Module):
    """A text model below the name ``text_model``, as every LoRA file and every state of a training calls it.

    transformers has it so too up to 5.5; since 5.6 its ``CLIPTextModel`` is the inner model alone.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.text_model = model

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self.text_model(*inputs, **named)

    def __getattr__(self, name: str) -> Any:
        """What else a text encoder can do and knows: its ``config``, its ``dtype``, recomputing activations."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("text_model"), name)


def _text_model(config: CLIPTextConfig, projection: bool = False) -> nn.Module:
    """A CLIP text encoder without numbers; its names are the same with every transformers."""
    with _empty():
        model = (CLIPTextModelWithProjection if projection else CLIPTextModel)(config)
    return model if hasattr(model, "text_model") else _Wrapped(model)


def _open_clip(
    file: TensorFile, prefix: str, skip: int, projection: bool, dtype: torch.dtype, device: torch.device
) -> nn.Module:
    """OpenCLIP's H or bigG text tower, without its last `skip` layers."""
    blocks = [key for key in file.keys() if key.startswith(f"{prefix}transformer.resblocks.")]
    layers = 1 + max((int(key.removeprefix(prefix).split(".")[2]) for key in blocks), default=-1)
    if layers < 1 + skip:
        raise UserError(
            f"{file.path.name} has an incomplete text encoder; use the complete checkpoint.",
            code="text-encoder-incomplete",
            file=file.path.name,
        )
    vocabulary, width = _shape(file, f"{prefix}token_embedding.weight", 2)
    config = _text_config(
        layers=layers - skip,
        width=width,
        inner=_shape(file, f"{prefix}transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        vocabulary=vocabulary,
        act="gelu",
        projection_dim=_shape(file, f"{prefix}text_projection", 2)[1] if projection else width,
    )

    def read(key: str, as_: torch.dtype | None) -> torch.Tensor:
        name, part = part_names.open_clip_key(key)
        if part is None:
            tensor = file.read(prefix + name, as_)
            return tensor.T.contiguous() if name == "text_projection" else tensor
        whole = file.read(prefix + name, as_)  # q, k and v are stored as one matrix
        return whole.chunk(3)[part].clone()

    return _fill(_text_model(config, projection), file, read, dtype, device)


def _text_config(
    layers: int, width: int, inner: int, vocabulary: int, act: str, projection_dim: int = 768
) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // HEAD_WIDTH),
        max_position_embeddings=CHUNK + 2,
        hidden_act=act,
        projection_dim=projection_dim,
        bos_token_id=49406,
        eos_token_id=49407,
        pad_token_id=1,
    )


def _unknown_part(module: nn.Module, key: str) -> UserError:
    """The fault is not the file's: a library builds its models otherwise than any that SameFace knows."""
    library = "diffusers" if isinstance(module, (UNet2DConditionModel, AutoencoderKL)) else "transformers"
    return UserError(
        f"{library} {metadata.version(library)} builds this kind of model with a part that SameFace does not know"
        f" ({key}); update SameFace, or install an older {library}.",
        code="model-part-unknown",
        library=library,
        part=key,
    )


def _fill(module: nn.Module, file: TensorFile, read: Read, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """Give every tensor of a module on the meta device its values from the file."""
    tensors: dict[str, torch.Tensor] = {}
    for key, empty in module.state_dict().items():
        if key.endswith("position_ids"):
            tensors[key] = torch.arange(empty.shape[-1]).unsqueeze(0).to(device)
            continue
        try:
            with _complete(file):
                tensor = read(key, dtype)
        except (KeyError, IndexError, ValueError) as error:
            raise _unknown_part(module, key) from error
        if tensor.shape != empty.shape and tensor.numel() == empty.numel():
            tensor = tensor.reshape(empty.shape)  # 1x1 convolution stored for a linear layer, or the reverse
        if tensor.shape != empty.shape:
            raise UserError(
                f"{file.path.name}: {key} has the shape {tuple(tensor.shape)} instead of {tuple(empty.shape)}; "
                "this is not an ordinary Stable Diffusion model.",
                code="model-tensor-mismatch",
                file=file.path.name,
                tensor=key,
            )
        tensors[key] = tensor.to(device)
    module.load_state_dict(tensors, assign=True)
    for name, buffer in list(module.named_buffers()):  # buffers that no state dict lists
        if buffer.is_meta:
            owner, _, leaf = name.rpartition(".")
            ids = torch.arange(buffer.shape[-1], device=device).unsqueeze(0)
            module.get_submodule(owner).register_buffer(leaf, ids, persistent=False)
    return module.requires_grad_(False).eval()
