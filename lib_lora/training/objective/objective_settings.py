"""Defines the settings of the objective: noise, timesteps and loss.

Loads no torch, so that a form can read them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Literal, get_args, get_type_hints

from lib_lora.errors import Misfit, UserError
from lib_lora.typed_settings import check_least, described

LossType = Literal["l2", "l1", "huber", "smooth_l1"]
HuberSchedule = Literal["snr", "exponential", "constant"]

TIMESTEPS = 1000


@dataclass(frozen=True)
class ObjectiveSettings:
    """The objective's knobs, named as in the field. The defaults are plain mean squared error.

    The metadata of each field says what it means and names its title in forms.

    Raises:
        ValueError: a value out of its range.
    """

    noise_offset: float = field(
        default=0.0,
        metadata=described(
            "Noise offset",
            "A constant for each channel added to the noise, times this; lets a LoRA learn dark and bright. 0 = off.",
            least=0,
        ),
    )
    adaptive_noise_scale: float = field(
        default=0.0,
        metadata=described(
            "Adaptive noise scale",
            "Added to noise_offset, multiplied by |mean| of the latent's channel. 0 = off.",
        ),
    )
    multires_iterations: int = field(
        default=0,
        metadata=described(
            "Multi-resolution noise",
            "How many coarser layers of noise are added (pyramid noise). 0 = off; usual 6-10.",
            least=0,
        ),
    )
    multires_discount: float = field(
        default=0.3,
        metadata=described("Multi-resolution discount", "How much weaker each coarser layer is, above 0, at most 1."),
    )
    ip_noise_gamma: float = field(
        default=0.0,
        metadata=described(
            "Input noise (ip-noise)",
            "Extra noise on the input that is not part of the target, times this. 0 = off; usual 0.1.",
            least=0,
        ),
    )
    min_snr_gamma: float = field(
        default=0.0,
        metadata=described(
            "Min-SNR gamma", "Limit of the SNR weight (Hang et al., arXiv 2303.09556). 0 = off; usual 5.", least=0
        ),
    )
    debiased: bool = field(
        default=False,
        metadata=described("Debiased estimation", "Weight by 1/sqrt(SNR) (Yu et al., arXiv 2310.08442)."),
    )
    loss_type: LossType = field(default="l2", metadata=described("Loss", "How differences become a loss."))
    huber_c: float = field(
        default=0.1,
        metadata=described(
            "Huber threshold", "Where huber and smooth_l1 turn from square to straight; above 0, at most 1."
        ),
    )
    huber_schedule: HuberSchedule = field(
        default="snr", metadata=described("Huber schedule", "How the Huber threshold changes with the timestep.")
    )
    prior_loss_weight: float = field(
        default=1.0,
        metadata=described("Weight of class pictures", "How much a class picture counts; a photo counts 1.", least=0),
    )
    scale_v_pred_loss: bool = field(
        default=False,
        metadata=described(
            "Scale v-prediction loss",
            "Weight a v-prediction model's loss like a noise prediction's, by SNR/(SNR + 1).",
        ),
    )
    min_timestep: int = field(
        default=0, metadata=described("Lowest timestep", "Timesteps are drawn from min_timestep .. max_timestep - 1.")
    )
    max_timestep: int = field(
        default=TIMESTEPS,
        metadata=described("Highest timestep", "Timesteps are drawn from min_timestep .. max_timestep - 1."),
    )

    def __post_init__(self) -> None:
        hints = get_type_hints(ObjectiveSettings)
        for one in fields(self):
            value, choices = getattr(self, one.name), get_args(hints[one.name])
            if choices and value not in choices:
                raise Misfit(f"{one.name} is {value!r}, it must be one of {', '.join(choices)}", one.name)
            if hints[one.name] is float and not math.isfinite(value):
                raise Misfit(f"{one.name} is {value}, it must be a finite number", one.name)
        check_least(self)
        for name in ("multires_discount", "huber_c"):
            if not 0 < getattr(self, name) <= 1:
                raise Misfit(f"{name} is {getattr(self, name)}, it must be above 0 and at most 1", name)
        if not 0 <= self.min_timestep < self.max_timestep <= TIMESTEPS:
            raise Misfit(
                f"min_timestep is {self.min_timestep} and max_timestep {self.max_timestep}, "
                f"they must satisfy 0 <= min < max <= {TIMESTEPS}",
                "min_timestep",
            )

    def check(self, prediction: str) -> None:
        """Whether these settings fit the base model.

        Raises:
            UserError: `scale_v_pred_loss` with a model that predicts the noise.
        """
        if self.scale_v_pred_loss and prediction != "v":
            raise UserError(
                "scale_v_pred_loss is for v-prediction models, but this base model predicts noise; turn it off.",
                code="v-prediction-needed",
            )
