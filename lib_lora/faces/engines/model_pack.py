"""Rebuilds the ONNX files of face models byte for byte from packs that keep int8 weights as int8.

A pack is an ``.npz`` file of six arrays:

    sha256      text: SHA-256 of the whole rebuilt file
    literal     uint8: the bytes of the file outside its large weight tensors, in order
    regions     int64, n x 4: offset in the rebuilt file, rows, columns, block
    quantised   int8: the weights of all regions, row by row
    zero        int8: one number for each block, row by row
    scale       float32: one number for each block, row by row

A region is a little-endian float32 matrix: ``(quantised - zero) * scale``, where one zero and one scale hold for
`block` neighbours along a row. The difference is a whole number and the product is one IEEE multiplication, so every
machine gets the same bytes. Knows nothing about what the models do. Needs only numpy.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lib_lora.errors import UserError
from lib_lora.files import explained

FIELDS = ("sha256", "literal", "regions", "quantised", "zero", "scale")


def digest(path: Path) -> str:
    """SHA-256 (lower-case hex) of the file that `path` rebuilds to, as the pack states it.

    Raises:
        UserError: the pack is missing or damaged.
    """
    return str(_read(path, ("sha256",))["sha256"])


def rebuild(path: Path) -> bytes:
    """The ONNX file that the pack holds, checked against the pack's SHA-256.

    Raises:
        UserError: the pack is missing or damaged.
    """
    arrays = _read(path, FIELDS)
    try:
        model = _assemble(arrays)
    except (ValueError, IndexError) as error:
        raise _damaged(path) from error
    if hashlib.sha256(model).hexdigest() != str(arrays["sha256"]):
        raise _damaged(path)
    return model


def _assemble(arrays: dict[str, npt.NDArray[Any]]) -> bytes:
    literal = arrays["literal"].tobytes()
    model, taken, weights, blocks = io.BytesIO(), 0, 0, 0
    for offset, rows, columns, block in arrays["regions"].tolist():
        segment = offset - model.tell()
        model.write(literal[taken : taken + segment])
        taken += segment
        many, per_row = rows * columns, -(-columns // block)
        model.write(
            expand(
                arrays["quantised"][weights : weights + many].reshape(rows, columns),
                arrays["zero"][blocks : blocks + rows * per_row].reshape(rows, per_row),
                arrays["scale"][blocks : blocks + rows * per_row].reshape(rows, per_row),
                block,
            ).tobytes()
        )
        weights += many
        blocks += rows * per_row
    model.write(literal[taken:])
    return model.getvalue()


def expand(
    quantised: npt.NDArray[np.int8], zero: npt.NDArray[np.int8], scale: npt.NDArray[np.float32], block: int
) -> npt.NDArray[np.float32]:
    """Blockwise dequantisation along the rows, ONNX's DequantizeLinear with ``axis = last, block_size = block``.

    Args:
        quantised: rows x columns.
        zero, scale: rows x ceil(columns / block).
        block: how many neighbours share a zero and a scale.

    Returns:
        rows x columns, little-endian float32.
    """
    columns = quantised.shape[1]
    levels = quantised.astype("<f4")
    if zero.any():
        levels -= np.repeat(zero.astype("<f4"), block, axis=1)[:, :columns]
    levels *= np.repeat(scale.astype("<f4"), block, axis=1)[:, :columns]
    return levels


def _read(path: Path, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    with explained(path, "read"), open(path, "rb") as stream:
        try:
            with np.load(stream, allow_pickle=False) as archive:
                return {name: archive[name] for name in names}
        except (ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise _damaged(path) from error


def _damaged(path: Path) -> UserError:
    return UserError(
        f"The face model {path.name} is damaged; install SameFace again ({path}).", code="face-model-damaged", file=path
    )
