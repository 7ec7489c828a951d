"""SFace as a torch module through which gradients flow, made from the project's own pack of it.

A small executor for the handful of ONNX operations in that file (a MobileNet); batch normalisations that follow a
convolution are folded into it. Knows nothing about what the embedding is used for.

`training.identity.sface_network` computes the same network, plainly. This one gives feature maps besides, and takes
less time for a batch with its gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from lib_lora.faces.align import PLACES, SIZE, similarity
from lib_lora.faces.engines import model_pack
from lib_lora.faces.engines.opencv_engine import MODELS

MODEL = MODELS / "sface_2021dec.npz"
# Feature maps that serve as a perceptual distance, from 56 x 56 x 64 down to 7 x 7 x 512.
FEATURES = ("conv_3_relu", "conv_5_relu", "conv_7_relu", "conv_12_relu")


class SFace(nn.Module):
    """Embeddings of aligned crops, as ``cv2.dnn`` computes them from the same file; its weights are constants."""

    def __init__(self, model: Path = MODEL) -> None:
        super().__init__()
        import onnx  # the only part of these tools that needs it

        graph = onnx.load_from_string(model_pack.rebuild(model)).graph
        self._constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self._steps: list[tuple[str, list[str], str, dict[str, Any]]] = []
        self._input = graph.input[0].name
        for node in graph.node:
            options = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
            if node.op_type == "Constant":
                self._constants[node.output[0]] = onnx.numpy_helper.to_array(options["value"])
            else:
                self._add(node.op_type, list(node.input), node.output[0], options)
        for name, value in self._constants.items():
            self.register_buffer(_plain(name), torch.from_numpy(np.array(value, np.float32)), persistent=False)

    def _add(self, kind: str, inputs: list[str], output: str, options: dict[str, Any]) -> None:
        if kind == "BatchNormalization":
            gamma, beta, mean, variance = (self._constants.pop(name).astype(np.float64) for name in inputs[1:])
            scale = gamma / np.sqrt(variance + options["epsilon"])
            shift = beta - mean * scale
            before = self._steps[-1] if self._steps else None
            if before and before[0] == "Conv" and before[2] == inputs[0] and len(before[1]) == 2:
                weight = before[1][1]
                self._constants[weight] = self._constants[weight] * scale.reshape(-1, 1, 1, 1)
                self._constants[f"{output}/shift"] = shift
                self._steps[-1] = ("Conv", [*before[1], f"{output}/shift"], output, before[3])
                return
            self._constants[f"{output}/scale"], self._constants[f"{output}/shift"] = scale, shift
            inputs = [inputs[0], f"{output}/scale", f"{output}/shift"]
        self._steps.append((kind, inputs, output, options))

    def forward(self, crops: torch.Tensor, features: Sequence[str] = ()) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Embeddings and feature maps.

        Args:
            crops: [B, 3, 112, 112] RGB, 0..255.
            features: names of the graph's values that are wanted besides, in its order.

        Returns:
            [B, 128] embeddings (not normalised), and the values of `features`.
        """
        values: dict[str, torch.Tensor] = {self._input: crops}
        kept: dict[str, torch.Tensor] = {}
        result = crops
        for kind, names, output, options in self._steps:
            arguments = [values[name] if name in values else self.get_buffer(_plain(name)) for name in names]
            result = _run(kind, arguments, options)
            values = {**{name: values[name] for name in values if name not in names}, output: result}
            if output in features:
                kept[output] = result
        return result, [kept[name] for name in features]


def _plain(name: str) -> str:
    return name.replace(".", "_").replace("/", "_")


def _run(kind: str, inputs: list[torch.Tensor], options: dict[str, Any]) -> torch.Tensor:
    first = inputs[0]
    if kind == "Sub":
        return first - inputs[1]
    if kind == "Mul":
        return first * inputs[1]
    if kind == "Conv":
        top, left, bottom, right = options["pads"]
        if (top, left) != (bottom, right):
            first, top, left = functional.pad(first, (left, right, top, bottom)), 0, 0
        bias = inputs[2] if len(inputs) > 2 else None
        return functional.conv2d(
            first, inputs[1], bias, tuple(options["strides"]), (top, left), tuple(options["dilations"]),
            options["group"],
        )  # fmt: skip
    if kind == "BatchNormalization":
        shape = (1, -1, *(1,) * (first.ndim - 2))
        return first * inputs[1].view(shape) + inputs[2].view(shape)
    if kind == "PRelu":
        slope = inputs[1].view(1, -1, 1, 1).to(first.dtype)  # three times as fast backwards as functional.prelu
        return slope * first + (1 - slope) * functional.relu(first)
    if kind == "Dropout":
        return first
    if kind == "Flatten":
        return first.flatten(1)
    if kind == "Gemm":
        weight = inputs[1] if options.get("transB") else inputs[1].T
        return functional.linear(first, weight, inputs[2])
    raise ValueError(f"the executor has no {kind}")


def grids(points: np.ndarray[Any, Any], side: int) -> torch.Tensor:
    """Where the pixels of the aligned crops lie, for ``grid_sample(align_corners=False)``.

    Args:
        points: [B, 5, 2] in pixels of a picture of `side` x `side` (pixel centres at whole numbers).

    Returns:
        [B, 112, 112, 2] in -1..1.
    """
    rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    places = torch.stack([columns, rows, torch.ones_like(rows)], -1).float()
    matrices = []
    for five in points:
        forward = np.vstack([similarity(five), (0.0, 0.0, 1.0)])
        matrices.append(np.linalg.inv(forward)[:2])
    back = torch.from_numpy(np.stack(matrices)).float()
    pixels = torch.einsum("hwk,bjk->bhwj", places, back)
    return (pixels * 2 + 1) / side - 1


def crops(pictures: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Aligned faces [B, 3, 112, 112] in 0..255 of pictures [B, 3, S, S] in -1..1; black beyond the edges."""
    levels = (pictures.float() + 1) * 127.5
    return functional.grid_sample(levels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


__all__ = ["FEATURES", "PLACES", "SFace", "crops", "grids"]
