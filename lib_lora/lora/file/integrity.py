"""Checks by its two hashes whether a LoRA file that SameFace wrote is still as it was written."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

from lib_lora.errors import Misfit, UserError
from lib_lora.files import explained, opened
from lib_lora.lora.hashes import Buffer, FileBytes, sshs_model_hash
from lib_lora.models.reading.header import read_header

HEADER_HASH = "sameface.header_sha256"  # in the metadata; `sshs_model_hash` is of the tensors


def header_hash(header: Buffer) -> str:
    """SHA-256 (64 hex digits) of what a safetensors header says, but for this hash itself.

    Args:
        header: its JSON.

    Raises:
        ValueError: it is no JSON table.
    """
    table = json.loads(bytes(header))
    if not isinstance(table, dict) or not isinstance(table.get("__metadata__", {}), dict):
        raise Misfit("not a table", "header")
    texts = {key: text for key, text in table.get("__metadata__", {}).items() if key != HEADER_HASH}
    plain = json.dumps({**table, "__metadata__": texts}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(plain.encode("ascii")).hexdigest()


def check_whole(path: Path) -> None:
    """See that a checkpoint of a run is as it was written.

    One of an older version, which has no hash of its header, is checked by the hash of its tensors alone.

    Raises:
        UserError: it is damaged, or cannot be read.
    """
    try:
        _, said = read_header(path)
        with explained(path, "read"), opened(path) as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            found = header_hash(stream.read(length))
        if found == said.get(HEADER_HASH, found):
            tensors = sshs_model_hash(FileBytes(path))
            if tensors == said.get("sshs_model_hash", tensors):
                return
        why = "its SHA-256 is not the one that it was written with"
    except ValueError as error:
        why = str(error)
    except UserError as error:
        if not path.is_file() or isinstance(error.__cause__, OSError):
            raise
        why = str(error).rstrip(".")
    raise UserError(
        f"{path} is damaged ({why}); use another checkpoint, or resume its run, which writes the last one again "
        "from the saved state.",
        code="checkpoint-damaged",
        file=path,
    )


def is_whole(path: Path) -> bool:
    """Whether `path` is there, and as `check_whole` wants it."""
    try:
        check_whole(path)
    except UserError:
        return False
    return True
