"""Every setting of a training run, in one dataclass: the command line, the run file and the presets use it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import Literal

from lib_lora.lora.adapter_settings import LoraSettings
from lib_lora.training.objective.lr import Schedule
from lib_lora.training.objective.objective import ObjectiveSettings
from lib_lora.training.objective.optimizers import OptimizerName

Precision = Literal["auto", "fp32", "fp16", "bf16"]
FILE_VERSION = 1
MOST_SAMPLE_PROMPTS, LONGEST_SAMPLE_PROMPT = 8, 400  # of the user's own; letters


@dataclass(frozen=True)
class TrainSettings:
    """What a run does.

    Attributes:
        preset: the preset these settings began as.
        steps: of the optimizer; 0 = as many as the number of photos and `passes` give.
        passes: how often each photo is seen, where `steps` is 0.
        batch_size: photos a forward pass, on each device.
        accumulation: forward passes an optimizer step.
        resolution: side in pixels of the square whose area all buckets have; 0 = the base model's own.
        bucket_step: sides of buckets are multiples of this, in pixels.
        upscale: enlarge photos that are smaller than their bucket (else they get a smaller bucket).
        seed: of all randomness; the same seed and photos give the same LoRA.
        precision: of the frozen base and the arithmetic; the adapters are always float32.
            auto = bf16 where the device computes it natively, else fp16 on a GPU and fp32 on a CPU.
        optimizer: how weights follow gradients; adamw8bit needs a quarter of adamw's memory, prodigy finds the rates
            itself (set both to 1).
        unet_lr: learning rate of the UNet.
        te_lr: learning rate of the text encoders; 0 = not trained.
        weight_decay: decoupled weight decay of the optimizer.
        max_grad_norm: gradients are clipped to this norm; 0 = not clipped.
        lr_schedule: how the learning rate falls after the warm-up.
        warmup: share of the steps in which the learning rate rises from zero, 0..1.
        gradient_checkpointing: recompute instead of keeping activations: a third slower, far less memory.
        ema: decay of the running average of the adapter that is saved in its place; 0 = none.
        save_every: steps between checkpoints; 0 = a tenth of the run.
        keep_states: how many full states (for resuming) are kept; at least 1.
        samples: pictures painted at each checkpoint, to watch the training; 0 = none.
        sample_prompts: prompts of your own for these pictures, up to 8 and one picture each, in place of the usual two;
            {trigger} stands for the trigger word, and a prompt without it is painted as it is.
        sample_steps: sampling steps of each of them.
        clip_skip: SD1 only; 1 = the last layer.
        caption_dropout: share of samples that are trained with an empty caption, 0..1.
        tag_dropout: share of comma-separated phrases left out of a caption, 0..1.
        shuffle_tags: shuffle the phrases of a caption, after the first `keep_tokens`.
        keep_tokens: phrases at the start that are neither moved nor left out.
        class_photos: folder of pictures of the class (without the character) for prior preservation, or none.
        class_caption: their caption where they have none of their own.
        face_weight: how much more the loss counts inside regions of faces; 1 = the same.
        lora: the adapter.
        objective: the loss.
        version: of the file's layout.
    """

    preset: str = ""
    steps: int = 0
    passes: int = 100
    batch_size: int = 1
    accumulation: int = 1
    resolution: int = 0
    bucket_step: int = 64
    upscale: bool = True
    seed: int = 42
    precision: Precision = "auto"
    optimizer: OptimizerName = "adamw"
    unet_lr: float = 1e-4
    te_lr: float = 5e-5
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    lr_schedule: Schedule = "cosine"
    warmup: float = 0.05
    gradient_checkpointing: bool = False
    ema: float = 0.0
    save_every: int = 0
    keep_states: int = 2
    samples: int = 2
    sample_prompts: list[str] = field(default_factory=list)
    sample_steps: int = 8
    clip_skip: int = 1
    caption_dropout: float = 0.0
    tag_dropout: float = 0.0
    shuffle_tags: bool = False
    keep_tokens: int = 1
    class_photos: str | None = None
    class_caption: str = ""
    face_weight: float = 1.0
    lora: LoraSettings = field(default_factory=LoraSettings)
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)
    version: int = FILE_VERSION

    def __post_init__(self) -> None:
        at_least = {
            "steps": 0,
            "passes": 1,
            "batch_size": 1,
            "accumulation": 1,
            "resolution": 0,
            "save_every": 0,
            "keep_states": 1,
            "samples": 0,
            "sample_steps": 1,
            "clip_skip": 1,
            "keep_tokens": 0,
            "max_grad_norm": 0,
            "weight_decay": 0,
            "face_weight": 1,
        }
        for name, least in at_least.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}.")
        if self.clip_skip > 12:
            raise ValueError(f"clip_skip is {self.clip_skip}; the text encoder has 12 layers.")
        for name in ("warmup", "ema", "caption_dropout", "tag_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 0 and below 1.")
        if not 0 < self.unet_lr <= 10:
            raise ValueError(f"unet_lr is {self.unet_lr}; it must be above 0 and at most 10.")
        if not 0 <= self.te_lr <= 10:
            raise ValueError(f"te_lr is {self.te_lr}; it must be between 0 (not trained) and 10.")
        if self.bucket_step < 8 or self.bucket_step % 8:
            raise ValueError(f"bucket_step is {self.bucket_step}; it must be a multiple of 8.")
        if self.resolution % 8:
            raise ValueError(f"resolution is {self.resolution}; it must be a multiple of 8.")

        _check_prompts(self.sample_prompts)

    @property
    def sample_count(self) -> int:
        """Pictures that are painted at each checkpoint."""
        return len(self.sample_prompts) or self.samples if self.samples else 0

    def total_steps(self, photos: int, processes: int = 1) -> int:
        """Optimizer steps of a run with `photos` pictures an epoch (class pictures included)."""
        if self.steps:
            return self.steps
        seen = self.passes * photos
        return max(1, round(seen / (self.batch_size * self.accumulation * processes)))

    def checkpoint_interval(self, total: int) -> int:
        """Steps between checkpoints in a run of `total` steps."""
        return self.save_every or max(1, round(total / 10))

    @property
    def trains_text(self) -> bool:
        """Whether the text encoders get adapters."""
        return self.lora.te and self.te_lr > 0


def _check_prompts(prompts: list[str]) -> None:
    if len(prompts) > MOST_SAMPLE_PROMPTS:
        raise ValueError(f"sample_prompts has {len(prompts)} prompts; at most {MOST_SAMPLE_PROMPTS} can be painted.")
    for number, prompt in enumerate(prompts, 1):
        if not prompt.strip():
            raise ValueError(f"sample_prompts: prompt {number} is empty; write it, or leave it out.")
        if len(prompt) > LONGEST_SAMPLE_PROMPT:
            raise ValueError(
                f"sample_prompts: prompt {number} has {len(prompt)} letters; {LONGEST_SAMPLE_PROMPT} are the most."
            )
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in prompt):
            raise ValueError(f"sample_prompts: prompt {number} holds a line break or another sign that is no letter.")
