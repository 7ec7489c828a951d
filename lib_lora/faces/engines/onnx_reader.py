"""Reads ONNX models as plain values: their operations in order, and their weights as numpy arrays.

Only what a small network for faces has: no subgraphs, no external files, weights in float32 or int64. The fields of the
protocol buffers are numbered as in `onnx.proto`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from lib_lora.errors import Misfit

Weights = npt.NDArray[Any]
_GRAPH, _NODE, _INITIALIZER = 7, 1, 5
_DTYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 7: np.dtype("<i8")}
_VARINT, _EIGHT, _SIZED, _FOUR = 0, 1, 2, 5


@dataclass(frozen=True)
class Operation:
    """One node of a graph.

    Attributes:
        name: of the operator: "Conv", "Gemm" ...
        inputs, outputs: names of values.
        settings: its attributes: whole numbers, numbers, and lists of whole numbers.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: dict[str, int | float | list[int]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class OnnxGraph:
    """A network: its operations in the order in which they are computed, and its weights by name."""

    operations: list[Operation]
    weights: dict[str, Weights]


def read_graph(model: bytes) -> OnnxGraph:
    """The graph of an ONNX file.

    Raises:
        ValueError: it is none, or has what this reader does not know.
    """
    try:
        graph = next(value for number, value in _fields(memoryview(model)) if number == _GRAPH)
        parts = list(_fields(graph))
        weights = dict(_weights(value) for number, value in parts if number == _INITIALIZER)
        return OnnxGraph([_operation(value) for number, value in parts if number == _NODE], weights)
    except (StopIteration, IndexError, struct.error, TypeError, KeyError) as error:
        raise Misfit("no ONNX file of a small network", "model") from error


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """The fields of a message: number, and a whole number or bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _SIZED:
            length, at = _varint(data, at)
        elif kind in (_FOUR, _EIGHT):
            length = 4 if kind == _FOUR else 8
        else:
            raise Misfit(f"a field of the unknown kind {kind}", "model")
        if at + length > len(data):
            raise Misfit("a field beyond the end", "model")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _text(value: memoryview) -> str:
    return bytes(value).decode("utf-8")


def _operation(data: memoryview) -> Operation:
    inputs, outputs, settings, name = [], [], {}, ""
    for number, value in _fields(data):
        if number == 1:
            inputs.append(_text(value))
        elif number == 2:
            outputs.append(_text(value))
        elif number == 4:
            name = _text(value)
        elif number == 5:
            key, setting = _setting(value)
            if setting is not None:
                settings[key] = setting
    return Operation(name, tuple(inputs), tuple(outputs), settings)


def _setting(data: memoryview) -> tuple[str, int | float | list[int] | None]:
    """An attribute: its name, and its value where that is a number or whole numbers."""
    name, found, many = "", None, []
    for number, value in _fields(data):
        if number == 1:
            name = _text(value)
        elif number == 2:
            found = struct.unpack("<f", value)[0]
        elif number == 3:
            found = value
        elif number == 8:
            many += [value] if isinstance(value, int) else _packed(value)
    return name, many or found


def _packed(data: memoryview) -> list[int]:
    at, found = 0, []
    while at < len(data):
        value, at = _varint(data, at)
        found.append(value)
    return found


def _weights(data: memoryview) -> tuple[str, Weights]:
    name, kind, content = "", 0, b""
    shape: list[int] = []
    for number, value in _fields(data):
        if number == 1:
            shape += [value] if isinstance(value, int) else _packed(value)
        elif number == 2:
            kind = value
        elif number in (4, 9):  # float_data or raw_data: the same bytes
            content += bytes(value)
        elif number == 8:
            name = _text(value)
    array = np.frombuffer(content, _DTYPES[kind]) if content else np.zeros(0, _DTYPES[kind])
    if array.size != int(np.prod(shape, dtype=np.int64)):
        raise Misfit(f"the weights {name} have {array.size} numbers, but the shape {shape}", "model")
    return name, array.reshape(shape)
