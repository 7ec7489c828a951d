"""Tells by a file's ending and its first bytes whether it can be a model, without reading it whole.

Loads no torch.
"""

from __future__ import annotations

import struct
from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.files import explained, opened
from lib_lora.models.reading.header import MAX_HEADER

SAFETENSORS = ".safetensors"
TORCH_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin")
_TORCH_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # a zip, or a pickle's protocol


def see_that_it_can_be_a_model(path: Path) -> None:
    """Nothing where ending and first bytes are those of a model; its tensors are not looked at.

    Raises:
        UserError: they are not, or the file cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix not in (SAFETENSORS, *TORCH_SUFFIXES):
        raise UserError(
            f"{path.name} is not a model; name a file that ends in {SAFETENSORS}, .ckpt or .pt.",
            "what",
            code="model-suffix-unknown",
            file=path,
        )
    with explained(path, "read"), opened(path) as stream:
        first, size = stream.read(9), path.stat().st_size
    if suffix == SAFETENSORS:
        length = struct.unpack("<Q", first[:8])[0] if len(first) == 9 else 0
        good = first[8:] == b"{" and 2 <= length <= min(MAX_HEADER, size - 8)
    else:
        good = first.startswith(_TORCH_STARTS)
    if not good:
        raise UserError(
            f"{path.name} ends in {suffix}, but does not contain a model; it may be cut off: download it again.",
            "what",
            code="model-content-unknown",
            file=path,
        )
