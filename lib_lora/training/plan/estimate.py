"""Estimates what a run will cost (steps, bytes written), and keeps what was measured before.

Pure numbers; imports no torch, so that a screen can ask. Only `shapes_of` opens a file.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora.files import digest_of, explained, write_json
from lib_lora.lora import key_names
from lib_lora.lora.adapter_settings import LoraSettings
from lib_lora.models.families.model_family import ModelFamily, Shapes
from lib_lora.models.families.registry import family_named
from lib_lora.training.plan.checkpoint_test import LEAK_PICTURES, LORA_PICTURES, measured_steps
from lib_lora.training.plan.preserved_captions import PAINTED, PAINTING_STEPS, PHRASES, most_captions
from lib_lora.training.plan.step_measurement import StepMeasurement, measurement_of
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.workspace.workspace import Workspace

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
        pictures: that are painted while it trains.
        picture_steps: how many steps of training take about as long as painting one of them (`picture_steps`).
        base_painting: how many steps of training take about as long as what the base model paints for output
            preservation (`base_painting`).
        sample_bytes: of all these pictures.
        cache_bytes: of the photos' latents and the captions' encodings.
    """

    steps: int
    photos: int
    checkpoints: int
    parameters: int
    checkpoint_bytes: int
    state_bytes: int
    states: int
    pictures: int
    picture_steps: float
    base_painting: float
    sample_bytes: int
    cache_bytes: int

    @property
    def work(self) -> float:
        """How many steps of training take as long as the whole run, its pictures included."""
        return self.steps + self.pictures * self.picture_steps + self.base_painting

    @property
    def disk_bytes(self) -> int:
        """The bytes that the run leaves on the disk."""
        written = self.checkpoints * self.checkpoint_bytes + self.states * self.state_bytes
        return written + self.sample_bytes + self.cache_bytes


def estimate(
    family: str, shapes: Shapes, train: TrainSettings, side: int, photos: int, class_photos: int = 0
) -> Estimate:
    """What a run with these settings needs, on one device.

    Args:
        family: name of the base model's family.
        shapes: of the base model's tensors (`shapes_of`).
        train: the settings.
        side: in pixels, that is trained where the settings name none.
        photos: in use, of all characters in the LoRA.
        class_photos: pictures of the class.
    """
    side = train.resolution or side
    steps = train.total_steps(photos * (2 if class_photos else 1))  # as many class pictures as photos, an epoch
    checkpoints = -(-steps // train.checkpoint_interval(steps))
    layers = adapter_layers(family, shapes, train.lora, train.trains_text)
    model = family_named(family)
    cells = (side // 8) ** 2
    latents = (photos + class_photos) * (2 * 4 * model.latent_channels * cells + 300)  # mean and deviation in float32
    people = 1 + len(train.together)
    captions = (
        photos + class_photos + 1 + (most_captions(photos + class_photos, people) if train.preservation_weight else 0)
    )
    captions += 2 * len(PHRASES) * people if train.phrase_weight else 0
    texts = 0 if train.hears_text else captions * model.conditioning_bytes(shapes)
    pictures = pictures_left(train, 0, steps)
    return Estimate(
        steps=steps,
        photos=photos,
        checkpoints=checkpoints,
        parameters=sum(layer.numbers + layer.magnitude for layer in layers),
        checkpoint_bytes=_checkpoint_bytes(layers),
        state_bytes=_state_bytes(layers, train),
        states=min(train.keep_states, checkpoints),
        pictures=pictures,
        picture_steps=picture_steps(train),
        base_painting=base_painting(train),
        sample_bytes=round(pictures * side * side * _PICTURE),
        cache_bytes=latents + texts,
    )


def pictures_left(train: TrainSettings, done: int, total: int) -> int:
    """How many pictures a run still paints while it trains.

    Args:
        train: its settings.
        done: steps whose pictures are painted.
        total: steps of the run.
    """
    interval = train.checkpoint_interval(total)
    if done >= total:
        return 0
    count = ((total - 1) // interval - done // interval + 1) * train.sample_count  # the last step is saved in any case
    if train.likeness_curve:
        tested = sum(step > done for step in measured_steps(total, interval))
        count += (0 if done else LORA_PICTURES) + tested * (LORA_PICTURES + LEAK_PICTURES)
    return count


def picture_steps(train: TrainSettings) -> float:
    """How many steps of training take about as long as painting one picture: each of its sampling steps is two passes
    forward (with and without the prompt), a step of training three for each photo, and more with preservation."""
    return _sampling(train, train.sample_steps)


def base_painting(train: TrainSettings) -> float:
    """How many steps of training take about as long as what the base model paints for output preservation, where no
    earlier run had the same painted; 0 = nothing."""
    return PAINTED * _sampling(train, PAINTING_STEPS) if train.paints_preserved else 0.0


def _sampling(train: TrainSettings, steps: int) -> float:
    return steps * 2 / 3 / (train.batch_size * train.accumulation) / preserving_times(train)


def preserving_times(train: TrainSettings) -> float:
    """How many times as long a step takes with output preservation and that of phrases, roughly: twice the share of the
    photos more. Measured were 1.4 to 1.6 times with a quarter of the photos, 2.4 times with all (docs/quality.md)."""
    return 1.0 + 2.0 * train.preservation_turns


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
    model = family_named(family)
    parts = model.parts if trains_text else model.parts[:1]
    return [
        _layer(model, part, path, shape, lora)
        for part in parts
        for path, shape in model.adapter_shapes(shapes, part, lora.convolutions).items()
    ]


def _layer(model: ModelFamily, part: str, path: str, shape: tuple[int, ...], lora: LoraSettings) -> LayerShape:
    wide = part == "unet" and any(re.fullmatch(rf"(?:.*\.)?{end}", path) for end in model.convolution_ends)
    rank = lora.conv_rank if wide else lora.of_part(part)[0]
    out, inside = shape[0], shape[1]
    numbers = rank * (inside * (9 if wide else 1) + out)
    return LayerShape(key_names.kohya_name(model.name, part, path), numbers, inside if lora.use_dora else 0)


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


def cost_key(base: Path, train: TrainSettings) -> str:
    """What a step costs depends on these: the base model's file, and the settings that change the work done in it.

    Raises:
        UserError: the file is not there.
    """
    with explained(base, "read"):
        about = base.stat()
    return digest_of(base.absolute(), about.st_size, about.st_mtime_ns, *step_work(train))


def step_work(train: TrainSettings) -> tuple[object, ...]:
    """The settings that change the work that is done in a step."""
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
    return (
        train.batch_size,
        train.accumulation,
        train.resolution,
        train.bucket_step,
        train.upscale,
        train.precision,
        train.optimizer,
        train.gradient_checkpointing,
        train.ema > 0,
        train.trains_text or ("vectors" if train.trigger_vectors else False),  # a gradient through the text encoders
        train.preservation_share if train.preservation_weight else 0.0,
        (train.identity_loss_from, train.identity_loss_timesteps, "both parts") if train.identity_loss_weight else 0.0,
        train.shuffle_tags or train.tag_dropout > 0,  # then captions are encoded at every step
        *sizes,
        *((train.phrase_share, train.phrase_timesteps) if train.phrase_weight else ()),  # measurements of before remain
    )


def remember(root: Path, base: Path, train: TrainSettings, measured: StepMeasurement) -> None:
    """Keep what a probe has measured.

    Args:
        root: the data folder.
        base: the checkpoint file.
        train: the settings as they were asked for, before anything in them was made to fit the device.
        measured: of its steps.

    Raises:
        UserError: the file cannot be written.
    """
    known = _probes(root)
    key = cost_key(base, train)
    where = f"{measured.device} on {measured.on}" if measured.on else measured.device
    known[key] = {**_table(known.get(key)), where: {**measured.values(), "measured": round(time.time())}}
    write_json(Workspace(root).probes, known)


def last_measurement(
    root: Path, base: Path, train: TrainSettings, device: str | None = None, on: str | None = None
) -> StepMeasurement | None:
    """What a probe has measured with the like of these settings; None where none was made.

    Args:
        root, base, train: as in `remember`.
        device: its name, on whichever machine; None = the device of the newest measurement.
        on: the other machine on which it was made; None = this computer, or wherever such a device is.
    """
    if not base.is_file():
        return None
    there = _table(_probes(root).get(cost_key(base, train)))
    entries = [entry for entry in there.values() if isinstance(entry, dict)]
    if device is None:
        found = [entry for entry in entries if entry.get("on") == on]
    else:
        found = [entry for entry in entries if entry.get("device") == device]
    newest = max(found, key=lambda entry: entry.get("measured", 0), default=None)
    return None if newest is None else measurement_of(newest)


def _probes(root: Path) -> dict[str, Any]:
    try:
        return _table(json.loads((Workspace(root).probes).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return {}  # a damaged one is measured again


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
