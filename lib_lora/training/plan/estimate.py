"""What a run will cost, before it begins: its steps, and the bytes it will write. And what was measured of it before.

Pure numbers; imports no torch, so that a screen can ask. Only `shapes_of` opens a file.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora.files import digest_of, explained, write_json
from lib_lora.lora import key_names, targets
from lib_lora.lora.adapter_settings import LoraSettings
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.workspace.workspace import Workspace

Shapes = Mapping[str, tuple[int, ...]]

_UNET = "model.diffusion_model."
# Where each text encoder's layers stand in a checkpoint; the first number in a name is the layer's.
_TEXT = {
    ("sd1", "te1"): r"cond_stage_model\.transformer\.(?:text_model\.)?encoder\.layers\.(\d+)\.mlp\.fc1\.weight",
    ("sd2", "te1"): r"cond_stage_model\.model\.transformer\.resblocks\.(\d+)\.mlp\.c_fc\.weight",
    (
        "sdxl",
        "te1",
    ): r"conditioner\.embedders\.0\.transformer\.(?:text_model\.)?encoder\.layers\.(\d+)\.mlp\.fc1\.weight",
    ("sdxl", "te2"): r"conditioner\.embedders\.1\.model\.transformer\.resblocks\.(\d+)\.mlp\.c_fc\.weight",
}
_NEVER_READ = {("sd2", "te1"): 1}  # layers at the end that the family does not use
_CONVOLUTION = re.compile("|".join(rf"(?:.*\.{end})" for end in targets.CONVOLUTION_ENDS))

# float32 copies of the adapter that an optimizer keeps in a saved state: Adafactor's are sums of rows and columns, and
# one of Prodigy's four is of those weights only that were not zero at the start
_MOMENTS = {"adamw": 2, "adamw8bit": 2, "adafactor": 0.1, "prodigy": 3.5, "lion": 1}
_ENTRIES = {"adamw": 3, "adamw8bit": 3, "adafactor": 3, "prodigy": 4, "lion": 1}  # tensors of it for each parameter
_ENTRY = 330  # bytes of torch's container for each tensor of a state
_TENSOR = 78  # bytes of a safetensors header for each tensor, beside its name
_METADATA = 6_000
_PICTURE = 1.5  # bytes of a PNG for each pixel


@dataclass(frozen=True)
class LayerShape:
    """The adapter of one layer.

    Attributes:
        name: kohya's.
        numbers: in `down` and `up`.
        magnitude: numbers of DoRA's magnitude; 0 without DoRA.
    """

    name: str
    numbers: int
    magnitude: int


@dataclass(frozen=True)
class Estimate:
    """What a run needs.

    Attributes:
        steps: optimizer steps.
        photos: pictures of the character.
        checkpoints: how many are written.
        parameters: numbers in the adapter.
        checkpoint_bytes, state_bytes: of one file.
        states: how many of them are kept.
        sample_bytes: of all sample pictures.
        cache_bytes: of the photos' latents and the captions' encodings.
    """

    steps: int
    photos: int
    checkpoints: int
    parameters: int
    checkpoint_bytes: int
    state_bytes: int
    states: int
    sample_bytes: int
    cache_bytes: int

    @property
    def disk_bytes(self) -> int:
        """All that the run leaves on the disk."""
        written = self.checkpoints * self.checkpoint_bytes + self.states * self.state_bytes
        return written + self.sample_bytes + self.cache_bytes


def estimate(
    family: str, shapes: Shapes, train: TrainSettings, side: int, photos: int, class_photos: int = 0
) -> Estimate:
    """What a run with these settings needs, on one device.

    Args:
        family: of the base model: sd1, sd2 or sdxl.
        shapes: of the base model's tensors (`shapes_of`).
        train: the settings.
        side: in pixels, that is trained where the settings name none.
        photos: of the character that are in use.
        class_photos: pictures of the class.
    """
    side = train.resolution or side
    steps = train.total_steps(photos * (2 if class_photos else 1))  # as many class pictures as photos, an epoch
    checkpoints = -(-steps // train.checkpoint_interval(steps))
    layers = adapter_layers(family, shapes, train.lora, train.trains_text)
    latents = (photos + class_photos) * (side * side // 2 + 300)  # mean and deviation of 4 channels in float32
    return Estimate(
        steps=steps,
        photos=photos,
        checkpoints=checkpoints,
        parameters=sum(layer.numbers + layer.magnitude for layer in layers),
        checkpoint_bytes=_checkpoint_bytes(layers),
        state_bytes=_state_bytes(layers, train),
        states=min(train.keep_states, checkpoints),
        sample_bytes=round(checkpoints * train.sample_count * side * side * _PICTURE),
        cache_bytes=latents + (0 if train.trains_text else (photos + class_photos + 1) * _text_bytes(family, shapes)),
    )


def shapes_of(base: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of all tensors of a checkpoint file, from its table of contents. The reader needs torch.

    Raises:
        UserError: it is no checkpoint file.
    """
    from lib_lora.models.reading.weights import open_tensors

    file = open_tensors(base)
    return {key: file.shape(key) for key in file.keys()}


def adapter_layers(family: str, shapes: Shapes, lora: LoraSettings, trains_text: bool) -> list[LayerShape]:
    """Every layer that gets an adapter, with its size.

    Raises:
        KeyError: a layer of the family is not in `shapes`: an incomplete model.
    """
    found = [
        _layer(family, "unet", path, shape, lora)
        for path, shape in _unet_shapes(family, shapes, lora.convolutions).items()
    ]
    if trains_text:
        for part in targets.PARTS[family][1:]:
            found += _text_layers(family, part, shapes, lora)
    return found


def _unet_shapes(family: str, shapes: Shapes, convolutions: bool) -> dict[str, tuple[int, ...]]:
    ends = len(".weight")
    known = {
        f"lora_unet_{key[len(_UNET) : -ends].replace('.', '_')}": shape
        for key, shape in shapes.items()
        if key.startswith(_UNET) and key.endswith(".weight")
    }
    return {  # one of the spellings is the original name, which is the file's
        path: next(known[name] for name in reversed(key_names.spellings(family, "unet", path)) if name in known)
        for path in targets.paths(family, "unet", convolutions)
    }


def _text_layers(family: str, part: str, shapes: Shapes, lora: LoraSettings) -> list[LayerShape]:
    sizes = {
        int(match[1]): shape
        for key, shape in shapes.items()
        if (match := re.fullmatch(_TEXT[family, part], key)) is not None
    }
    inner, width = sizes[0]
    square = (width, width)
    by_leaf = {"fc1": (inner, width), "fc2": (width, inner)}
    paths = targets.text_paths(len(sizes) - _NEVER_READ.get((family, part), 0))
    return [_layer(family, part, path, by_leaf.get(path.rpartition(".")[2], square), lora) for path in paths]


def _layer(family: str, part: str, path: str, shape: tuple[int, ...], lora: LoraSettings) -> LayerShape:
    wide = part == "unet" and _CONVOLUTION.fullmatch(path) is not None
    rank = lora.conv_rank if wide else lora.of_part(part)[0]
    out, inside = shape[0], shape[1]
    numbers = rank * (inside * (9 if wide else 1) + out)
    return LayerShape(key_names.kohya_name(family, part, path), numbers, inside if lora.use_dora else 0)


def _checkpoint_bytes(layers: list[LayerShape]) -> int:
    tensors = 4 if any(layer.magnitude for layer in layers) else 3
    header = sum(tensors * (len(layer.name) + len(".lora_up.weight") + _TENSOR) for layer in layers)
    return header + _METADATA + sum(2 * layer.numbers + 4 * layer.magnitude + 2 for layer in layers)


def _state_bytes(layers: list[LayerShape], train: TrainSettings) -> int:
    """Adapter, optimizer and running average in float32 (8-bit AdamW's is smaller where it works)."""
    copies = 1 + _MOMENTS[train.optimizer] + (1 if train.ema else 0)
    entries = 1 + _ENTRIES[train.optimizer] + (1 if train.ema else 0)
    tensors = sum(3 if layer.magnitude else 2 for layer in layers)
    return round(4 * copies * sum(layer.numbers + layer.magnitude for layer in layers)) + tensors * entries * _ENTRY


def _text_bytes(family: str, shapes: Shapes) -> int:
    width = next(
        shape[1] for key, shape in shapes.items() if key.startswith(_UNET) and key.endswith("attn2.to_k.weight")
    )
    return 4 * 77 * width + (4 * width if family == "sdxl" else 0) + 300


def cost_key(base: Path, train: TrainSettings) -> str:
    """What a step costs depends on these: the base model's file, and the settings that change the work done in it.

    Raises:
        UserError: the file is not there.
    """
    with explained(base, "read"):
        about = base.stat()
    lora = train.lora
    sizes = (
        (lora.rank, lora.conv_rank, lora.of_part("te1")[0], lora.use_dora)
        if train.trains_text
        else (
            lora.rank,
            lora.conv_rank,
            lora.use_dora,
        )
    )
    return digest_of(
        base.absolute(),
        about.st_size,
        about.st_mtime_ns,
        train.batch_size,
        train.accumulation,
        train.resolution,
        train.bucket_step,
        train.upscale,
        train.precision,
        train.optimizer,
        train.gradient_checkpointing,
        train.ema > 0,
        train.trains_text,
        train.shuffle_tags or train.tag_dropout > 0,  # then captions are encoded at every step
        *sizes,
    )


def remember(root: Path, base: Path, train: TrainSettings, measured: dict[str, Any]) -> None:
    """Keep what a probe has measured.

    Args:
        root: the data folder.
        base: the checkpoint file.
        train: the settings as they were asked for, before anything in them was made to fit the device.
        measured: with "device", plain values.

    Raises:
        UserError: the file cannot be written.
    """
    known = _probes(root)
    key = cost_key(base, train)
    known[key] = {**_table(known.get(key)), str(measured["device"]): {**measured, "measured": round(time.time())}}
    write_json(Workspace(root).probes, known)


def remembered(root: Path, base: Path, train: TrainSettings, device: str | None = None) -> dict[str, Any] | None:
    """What a probe has measured with the like of these settings; None where none was made.

    Args:
        root, base, train: as in `remember`.
        device: its name; None = the device of the newest measurement.
    """
    if not base.is_file():
        return None
    there = _table(_probes(root).get(cost_key(base, train)))
    found = [entry for name, entry in there.items() if isinstance(entry, dict) and device in (None, name)]
    return max(found, key=lambda entry: entry.get("measured", 0), default=None)


def _probes(root: Path) -> dict[str, Any]:
    try:
        return _table(json.loads((Workspace(root).probes).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return {}  # a damaged one is measured again


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
