"""Chooses the number format in which a run computes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lib_lora.errors import UserError
from lib_lora.models.reading.dtypes import torch_dtype
from lib_lora.training.plan.train_settings import Precision

if TYPE_CHECKING:
    import torch

_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
_WORTH_IT = 1.3  # bf16 on a CPU must be this much faster than fp32 to be chosen


def resolve(wanted: Precision, device: torch.device) -> Precision:
    """The precision that "auto" means on this device; any other is checked and given back.

    Raises:
        UserError: fp16 without a GPU.
    """
    if wanted == "fp16" and device.type == "cpu":
        raise UserError("precision fp16 needs a GPU; use bf16, fp32 or auto on the CPU.", code="precision-needs-gpu")
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        import torch

        # torch also says yes where it emulates bf16, which is slow
        native = torch.version.hip is not None or torch.cuda.get_device_capability(device)[0] >= 8
        return "bf16" if native else "fp16"
    return "bf16" if device.type == "cpu" and _bf16_is_fast() else "fp32"


def dtype_of(precision: Precision) -> torch.dtype:
    """The dtype of the frozen base."""
    return torch_dtype(_DTYPES[precision])


def autocast_of(precision: Precision) -> torch.dtype | None:
    """The dtype of the arithmetic, or None where everything is float32 anyway."""
    return None if precision == "fp32" else torch_dtype(_DTYPES[precision])


def _bf16_is_fast() -> bool:
    """Measured, because no flag tells it on every CPU and system: many emulate bf16, slower than float32."""
    import torch

    def seconds(dtype: torch.dtype) -> float:
        a = torch.ones(768, 768, dtype=dtype)
        times = []
        for _ in range(4):
            began = time.perf_counter()
            a @ a
            times.append(time.perf_counter() - began)
        return min(times)

    return seconds(torch.float32) > _WORTH_IT * seconds(torch.bfloat16)
