"""Defines every setting of a training run in one dataclass, for the command line, the run file and the presets."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass, field
from typing import Any, Literal

from lib_lora.errors import Misfit
from lib_lora.lora.adapter_settings import LoraSettings
from lib_lora.models.families.registry import families
from lib_lora.training.objective.lr import Schedule
from lib_lora.training.objective.objective_settings import TIMESTEPS, ObjectiveSettings
from lib_lora.training.objective.optimizers import OptimizerName
from lib_lora.typed_settings import check_least, described

Precision = Literal["auto", "fp32", "fp16", "bf16"]
FILE_VERSION = 1
LEAST_SAVED = 0.1  # saved_weight; of less, half precision would keep too few digits
MOST_VECTORS = 4  # of the trigger; A1111 takes more, each is a token less for the rest of the prompt
_MOST_CLIP_SKIP = max(family.most_clip_skip for family in families())
_WITH_CLIP_SKIP = " and ".join(family.title for family in families() if family.most_clip_skip)
MOST_TOGETHER = 7  # other characters in the same LoRA
MOST_SAMPLE_PROMPTS, LONGEST_SAMPLE_PROMPT = 8, 400  # of the user's own; letters


@dataclass(frozen=True)
class TrainSettings:
    """What a run does. The metadata of each field says what it means and names its title in forms.

    Raises:
        ValueError: a value outside its range.
    """

    preset: str = ""  # the preset that these settings began as
    steps: int = field(
        default=0,
        metadata=described(
            "Steps", "Steps of the optimizer; 0 = as many as the number of photos and passes give.", least=0
        ),
    )
    passes: int = field(
        default=100,
        metadata=described("Views of each photo", "How often each photo is seen, where steps is 0.", least=1),
    )
    batch_size: int = field(
        default=1, metadata=described("Batch size", "Photos in each forward pass, on each device.", least=1)
    )
    accumulation: int = field(
        default=1, metadata=described("Gradient accumulation", "Forward passes for each optimizer step.", least=1)
    )
    resolution: int = field(
        default=0,
        metadata=described(
            "Resolution",
            "Side in pixels of the square whose area all buckets have; 0 = the base model's own.",
            least=0,
            group="Photos",
        ),
    )
    bucket_step: int = field(
        default=64,
        metadata=described("Bucket step", "Sides of buckets are multiples of this, in pixels.", group="Photos"),
    )
    upscale: bool = field(
        default=True,
        metadata=described(
            "Enlarge small photos",
            "Enlarge photos that are smaller than their bucket (else they get a smaller bucket).",
            group="Photos",
        ),
    )
    seed: int = field(
        default=42, metadata=described("Seed", "Seed of all randomness; the same seed and photos give the same LoRA.")
    )
    precision: Precision = field(
        default="auto",
        metadata=described(
            "Precision",
            "Precision of the frozen base and the arithmetic; the adapters are always float32. auto = bf16 where the"
            " device computes it natively, else fp16 on a GPU and fp32 on a CPU.",
        ),
    )
    optimizer: OptimizerName = field(
        default="adamw",
        metadata=described(
            "Optimizer",
            "How weights follow gradients; adamw8bit needs a quarter of adamw's memory, prodigy finds the rates itself"
            " (set both to 1).",
        ),
    )
    unet_lr: float = field(default=1e-4, metadata=described("UNet learning rate", "Learning rate of the UNet."))
    te_lr: float = field(
        default=5e-5,
        metadata=described("Text encoder learning rate", "Learning rate of the text encoders; 0 = not trained."),
    )
    trigger_vectors: int = field(
        default=0,
        metadata=described(
            "Vectors of the trigger",
            "Vectors that the trigger word learns, in the same file, up to 4; A1111 reads them there, other programs"
            " need a copy. They stand in for text encoders that are not trained. 0 = none.",
            least=0,
        ),
    )
    vectors_lr: float = field(
        default=1e-3,
        metadata=described(
            "Learning rate of the vectors",
            "Learning rate of the trigger's vectors; prodigy, which has one factor for all, takes unet_lr instead.",
        ),
    )
    weight_decay: float = field(
        default=0.01, metadata=described("Weight decay", "Decoupled weight decay of the optimizer.", least=0)
    )
    max_grad_norm: float = field(
        default=1.0,
        metadata=described("Gradient clipping", "Gradients are clipped to this norm; 0 = not clipped.", least=0),
    )
    lr_schedule: Schedule = field(
        default="cosine",
        metadata=described("Learning rate schedule", "How the learning rate falls after the warm-up."),
    )
    warmup: float = field(
        default=0.05,
        metadata=described("Warm-up", "Share of the steps in which the learning rate rises from zero, 0..1."),
    )
    gradient_checkpointing: bool = field(
        default=False,
        metadata=described(
            "Gradient checkpointing",
            "Recompute instead of keeping activations: a third slower, far less memory.",
        ),
    )
    ema: float = field(
        default=0.0,
        metadata=described(
            "Running average (EMA)",
            "Decay of the running average of the adapter that is saved in its place; 0 = none. For one person of"
            " the small base model it made no visible difference.",
        ),
    )
    saved_weight: float = field(
        default=1.0,
        metadata=described(
            "Weight of the saved LoRA",
            "How much of what was learned the saved LoRA applies at a weight of 1, 0.1 to 1; less follows"
            " prompts better and shows less of the face. With DoRA it must be 1.",
        ),
    )
    save_every: int = field(
        default=0,
        metadata=described("Save every N steps", "Steps between checkpoints; 0 = a tenth of the run.", least=0),
    )
    keep_states: int = field(
        default=2,
        metadata=described(
            "States kept for resuming", "How many full states (for resuming) are kept; at least 1.", least=1
        ),
    )
    samples: int = field(
        default=2,
        metadata=described(
            "Sample pictures", "Pictures painted at each checkpoint, to watch the training; 0 = none.", least=0
        ),
    )
    sample_prompts: list[str] = field(
        default_factory=list,
        metadata=described(
            "Prompts of sample pictures",
            "Prompts of your own for these pictures, up to 8 and one picture each, in place of the usual two;"
            " {trigger} stands for the trigger word, and a prompt without it is painted as it is.",
            example="photo of {trigger} woman at the beach",
        ),
    )
    sample_steps: int = field(
        default=8,
        metadata=described("Sampling steps of samples", "Sampling steps of each sample picture.", least=1),
    )
    likeness_curve: bool = field(
        default=False,
        metadata=described(
            "Likeness curve",
            "Paint and measure 9 more pictures at up to 5 checkpoints: identity, only when asked, obedience and variety"
            " while it trains.",
        ),
    )
    stop_early: bool = field(
        default=False,
        metadata=described(
            "Stop early",
            "End where the likeness curve no longer rises at two checkpoints, and use the first that keeps as much of"
            " the face as any. Needs the curve, whose six pictures show this only roughly.",
        ),
    )
    clip_skip: int = field(
        default=1, metadata=described("Clip skip", f"{_WITH_CLIP_SKIP} only; 1 = the last layer.", least=1)
    )
    caption_dropout: float = field(
        default=0.0,
        metadata=described(
            "Caption dropout", "Share of samples that are trained with an empty caption, 0..1.", group="Photos"
        ),
    )
    tag_dropout: float = field(
        default=0.0,
        metadata=described(
            "Phrase dropout", "Share of comma-separated phrases left out of a caption, 0..1.", group="Photos"
        ),
    )
    shuffle_tags: bool = field(
        default=False,
        metadata=described(
            "Shuffle phrases", "Shuffle the phrases of a caption, after the first keep_tokens.", group="Photos"
        ),
    )
    keep_tokens: int = field(
        default=1,
        metadata=described(
            "Phrases kept at the start",
            "Phrases at the start that are neither moved nor left out.",
            least=0,
            group="Photos",
        ),
    )
    together: list[str] = field(
        default_factory=list,
        metadata=described(
            "Characters in the same LoRA",
            "Names of other characters whose photos are trained too, each with its own trigger word (the small base"
            " model mixed some up). Likeness curve, identity loss and test are of the first alone.",
            group="Photos",
            example="tomas",
        ),
    )
    class_photos: str | None = field(
        default=None,
        metadata=described(
            "Folder of class pictures",
            "Folder of pictures of the class (without the character) for prior preservation, or none. With plain"
            " captions, LoRAs of the small base model then hardly followed prompts.",
            group="Photos",
            path=True,
        ),
    )
    class_caption: str = field(
        default="",
        metadata=described(
            "Caption of class pictures",
            "Caption of class pictures that have none of their own.",
            group="Photos",
        ),
    )
    preservation_weight: float = field(
        default=0.0,
        metadata=described(
            "Output preservation",
            "How much it counts that prompts without the trigger word give the base model's pictures; a photo counts 1."
            " Needs captions, and trained text encoders or vectors; prompts are followed less. 0 = off.",
            least=0,
            group="Photos",
        ),
    )
    preservation_share: float = field(
        default=0.25,
        metadata=described(
            "Share of output preservation",
            "Share of the photos for which output preservation is computed, above 0 and at most 1; training takes"
            " longer by up to twice this share.",
            group="Photos",
        ),
    )
    preservation_painted: float = field(
        default=0.5,
        metadata=described(
            "Painted pictures in output preservation",
            "Share of output preservation, 0..1, that uses pictures which the base model paints itself, in place of the"
            " photos: less of the person is left without the trigger.",
            group="Photos",
        ),
    )
    phrase_weight: float = field(
        default=0.0,
        metadata=described(
            "Preservation of phrases",
            "How much it counts that under much noise a phrase beside the trigger word does what it does in the "
            "base model; a photo counts 1. Prompts are followed then, but may lose the person. 0 = off.",
            least=0,
            group="Photos",
        ),
    )
    phrase_share: float = field(
        default=0.5,
        metadata=described(
            "Share of phrases",
            "Of the photos with that much noise, the share for which phrases are preserved, above 0 and at most 1.",
            group="Photos",
        ),
    )
    phrase_timesteps: int = field(
        default=700,
        metadata=described(
            "Timesteps of phrases",
            "Phrases are preserved from this timestep on, 0..999: where noise hides the face.",
            least=0,
            group="Photos",
        ),
    )
    face_weight: float = field(
        default=1.0,
        metadata=described(
            "Weight of the face",
            "How much more the loss counts inside regions of faces; 1 = the same.",
            least=1,
            group="Photos",
        ),
    )
    identity_loss_weight: float = field(
        default=0.0,
        metadata=described(
            "Identity loss",
            "How much it counts that SFace, which judges tests too, recognises the person; a photo counts 1. 0 = off;"
            " for one person of the small base model it took half as long again and leaked more.",
            least=0,
            group="Photos",
        ),
    )
    identity_loss_from: float = field(
        default=0.5,
        metadata=described(
            "Identity loss from",
            "Share of the training after which the identity loss is computed, at least 0 and below 1.",
            group="Photos",
        ),
    )
    identity_loss_timesteps: int = field(
        default=300,
        metadata=described(
            "Timesteps of the identity loss",
            "The identity loss is computed below this timestep, where little noise hides the face; up to 1000.",
            least=1,
            group="Photos",
        ),
    )
    lora: LoraSettings = field(default_factory=LoraSettings)
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)
    version: int = FILE_VERSION  # of the file's layout

    def __post_init__(self) -> None:
        check_least(self)
        if self.clip_skip > _MOST_CLIP_SKIP:
            raise Misfit(f"clip_skip is {self.clip_skip}; the text encoder has {_MOST_CLIP_SKIP} layers.", "clip_skip")
        for name in ("warmup", "ema", "caption_dropout", "tag_dropout", "identity_loss_from"):
            if not 0 <= getattr(self, name) < 1:
                raise Misfit(f"{name} is {getattr(self, name)}; it must be at least 0 and below 1.", name)
        if not LEAST_SAVED <= self.saved_weight <= 1:
            raise Misfit(
                f"saved_weight is {self.saved_weight}; it must be at least {LEAST_SAVED} and at most 1.", "saved_weight"
            )
        for name in ("preservation_share", "phrase_share"):
            if not 0 < getattr(self, name) <= 1:
                raise Misfit(f"{name} is {getattr(self, name)}; it must be above 0 and at most 1.", name)
        if self.saved_weight < 1 and self.lora.use_dora:
            raise Misfit(
                f"saved_weight is {self.saved_weight}; DoRA is saved as it is learned: set saved_weight to 1, or leave"
                " out use_dora.",
                "saved_weight",
            )
        if not 0 <= self.preservation_painted <= 1:
            raise Misfit(
                f"preservation_painted is {self.preservation_painted}; it must be at least 0 and at most 1.",
                "preservation_painted",
            )
        if self.identity_loss_timesteps > TIMESTEPS:
            raise Misfit(
                f"identity_loss_timesteps is {self.identity_loss_timesteps}; it must be at most {TIMESTEPS}.",
                "identity_loss_timesteps",
            )
        if self.phrase_weight and not self.phrase_turns:
            raise Misfit(
                f"phrase_timesteps is {self.phrase_timesteps}; no photo is trained with so much noise.",
                "phrase_timesteps",
            )
        if not 0 < self.unet_lr <= 10:
            raise Misfit(f"unet_lr is {self.unet_lr}; it must be above 0 and at most 10.", "unet_lr")
        if not 0 <= self.te_lr <= 10:
            raise Misfit(f"te_lr is {self.te_lr}; it must be between 0 (not trained) and 10.", "te_lr")
        if self.trigger_vectors > MOST_VECTORS:
            raise Misfit(
                f"trigger_vectors is {self.trigger_vectors}; at most {MOST_VECTORS} can be learned.", "trigger_vectors"
            )
        if not 0 < self.vectors_lr <= 10:
            raise Misfit(f"vectors_lr is {self.vectors_lr}; it must be above 0 and at most 10.", "vectors_lr")
        if self.bucket_step < 8 or self.bucket_step % 8:
            raise Misfit(f"bucket_step is {self.bucket_step}; it must be a multiple of 8.", "bucket_step")
        if self.resolution % 8:
            raise Misfit(f"resolution is {self.resolution}; it must be a multiple of 8.", "resolution")

        if self.stop_early and not self.likeness_curve:
            raise Misfit(
                "stop_early needs likeness_curve, which measures whether the likeness still rises.", "stop_early"
            )
        _check_prompts(self.sample_prompts)
        if len(self.together) > MOST_TOGETHER:
            raise Misfit(f"together names {len(self.together)} characters; {MOST_TOGETHER} are the most.", "together")
        if self.together and self.stop_early:
            raise Misfit(
                "stop_early looks at one character alone; leave it out, or leave together empty.", "stop_early"
            )
        if self.together and self.trigger_vectors:
            raise Misfit(
                "trigger_vectors are learned for one character alone; set them to 0, or leave together empty.",
                "together",
            )

    @property
    def phrase_turns(self) -> float:
        """The share of the photos for which phrases are preserved, where they are at all: times are drawn evenly."""
        first, end = self.objective.min_timestep, self.objective.max_timestep
        return self.phrase_share * max(0, end - max(first, self.phrase_timesteps)) / (end - first)

    @property
    def identity_turns(self) -> float:
        """The share of the timesteps at which the identity loss is computed, once it is; 0 = it never is."""
        first, end = self.objective.min_timestep, self.objective.max_timestep
        below = max(0, min(end, self.identity_loss_timesteps) - first) / (end - first)
        return below if self.identity_loss_weight else 0.0

    def identity_loss_begins(self, steps: int) -> int:
        """The first step of a run of so many in which the identity loss is computed."""
        return math.ceil(self.identity_loss_from * steps)

    @property
    def preservation_turns(self) -> float:
        """The shares of the photos for which outputs and phrases are preserved, together; 0 = neither is."""
        free = self.preservation_share if self.preservation_weight else 0.0
        return free + (self.phrase_turns if self.phrase_weight else 0.0)

    @property
    def paints_preserved(self) -> bool:
        """Whether the base model paints pictures for output preservation."""
        return self.preservation_weight > 0 and self.preservation_painted > 0

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

    @property
    def hears_text(self) -> bool:
        """Whether the text encoders work at every step, since something in them or before them is trained."""
        return self.trains_text or self.trigger_vectors > 0


def _check_prompts(prompts: list[str]) -> None:
    if len(prompts) > MOST_SAMPLE_PROMPTS:
        raise Misfit(
            f"sample_prompts has {len(prompts)} prompts; at most {MOST_SAMPLE_PROMPTS} can be painted.",
            "sample_prompts",
        )
    for number, prompt in enumerate(prompts, 1):
        if not prompt.strip():
            raise Misfit(f"sample_prompts: prompt {number} is empty; write it, or leave it out.", "sample_prompts")
        if len(prompt) > LONGEST_SAMPLE_PROMPT:
            raise Misfit(
                f"sample_prompts: prompt {number} has {len(prompt)} letters; {LONGEST_SAMPLE_PROMPT} are the most.",
                "sample_prompts",
            )
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in prompt):
            raise Misfit(
                f"sample_prompts: prompt {number} contains a line break or another control character.", "sample_prompts"
            )


def as_begun(settings: Any) -> Any:
    """The settings in the file of a run, whatever is there, with what earlier versions lack and a default would change:
    output preservation was on photos alone."""
    before = isinstance(settings, dict) and settings.get("preservation_weight")
    return {"preservation_painted": 0.0, **settings} if before else settings
