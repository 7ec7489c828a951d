"""The LoRA file, from all sides: writing, checking, reading and describing it."""

from __future__ import annotations

from lib_lora.lora.describe import describe
from lib_lora.lora.reading import LoraFile, read
from lib_lora.lora.tensors import NothingLearnedError, check
from lib_lora.lora.writing import write

__all__ = ["LoraFile", "NothingLearnedError", "check", "describe", "read", "write"]
