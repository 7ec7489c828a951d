"""Translates A1111's names of samplers to ComfyUI's pairs of a sampler and a scheduler.

Imports nothing heavy.
"""

from __future__ import annotations

from lib_lora.errors import UserError

SAMPLERS = {  # with the schedule that A1111 1.10 takes where its scheduler is "Automatic"
    "Euler": ("euler", "normal"),
    "Euler a": ("euler_ancestral", "normal"),
    "LMS": ("lms", "normal"),
    "Heun": ("heun", "normal"),
    "DPM2": ("dpm_2", "karras"),
    "DPM2 a": ("dpm_2_ancestral", "karras"),
    "DPM++ 2S a": ("dpmpp_2s_ancestral", "karras"),
    "DPM++ 2M": ("dpmpp_2m", "karras"),
    "DPM++ SDE": ("dpmpp_sde", "karras"),
    "DPM++ 2M SDE": ("dpmpp_2m_sde", "exponential"),
    "DPM++ 3M SDE": ("dpmpp_3m_sde", "exponential"),
    "DPM fast": ("dpm_fast", "normal"),
    "DPM adaptive": ("dpm_adaptive", "normal"),
    "LCM": ("lcm", "normal"),
    "DDIM": ("ddim", "ddim_uniform"),
    "UniPC": ("uni_pc", "normal"),
}
_SCHEDULES = {  # how names end in A1111 before 1.9, or in lists that people write
    "Karras": "karras",
    "Exponential": "exponential",
    "SGM Uniform": "sgm_uniform",
    "Simple": "simple",
    "Normal": "normal",
    "DDIM": "ddim_uniform",
    "Beta": "beta",
}


def comfy_sampler(name: str) -> tuple[str, str]:
    """ComfyUI's sampler and scheduler for a name of A1111's.

    >>> comfy_sampler("DPM++ 2M Karras")
    ('dpmpp_2m', 'karras')

    Raises:
        UserError: there is none.
    """
    known = {one.casefold(): pair for one, pair in SAMPLERS.items()}
    asked = " ".join(name.split()).casefold()
    if asked in known:
        return known[asked]
    for ending, scheduler in _SCHEDULES.items():
        before = asked.removesuffix(f" {ending.casefold()}")
        if before != asked and before in known:
            return known[before][0], scheduler
    raise UserError(
        f"ComfyUI has no sampler that stands for {name[:60]!r}; there are {', '.join(SAMPLERS)}, each also with a "
        f"schedule after it: {', '.join(_SCHEDULES)}.",
        code="comfyui-sampler-unknown",
        sampler=name,
    )
