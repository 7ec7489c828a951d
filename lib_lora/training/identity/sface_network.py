"""Computes SFace, the default face recogniser, in torch, so that gradients go through it to the picture."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import nn

from lib_lora.errors import Misfit
from lib_lora.faces.engines import model_pack
from lib_lora.faces.engines.onnx_reader import OnnxGraph, Operation, Weights, read_graph
from lib_lora.faces.engines.opencv_engine import RECOGNISER

_PASSED = ("Dropout", "Constant")  # they change nothing when a network is not being trained


class SFaceNetwork(nn.Module):
    """SFace, frozen, in float32. Equals `SFaceEngine.embed` but for rounding."""

    def __init__(self, model: Path = RECOGNISER) -> None:
        super().__init__()
        self.layers = chain_of(read_graph(model_pack.rebuild(model)))

    def forward(self, aligned: torch.Tensor) -> torch.Tensor:
        """Unit embeddings, [B, 128], of aligned crops [B, 3, 112, 112] in RGB, 0..255; each with its mirror image."""
        total = self.layers(aligned) + self.layers(aligned.flip(-1))
        return nn.functional.normalize(total, dim=1)


class _Shifted(nn.Module):
    """A constant that is subtracted, or that multiplies."""

    def __init__(self, constant: torch.Tensor, times: bool) -> None:
        super().__init__()
        self.register_buffer("constant", constant)
        self.times = times

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        constant = cast(torch.Tensor, self.constant)
        return values * constant if self.times else values - constant


def chain_of(graph: OnnxGraph) -> nn.Sequential:
    """The modules of a network whose operations follow one another, frozen.

    Raises:
        ValueError: it branches, or has an operation that is not known here.
    """
    layers: list[nn.Module] = []
    at = None
    for operation in graph.operations:
        if operation.name == "Constant":
            continue
        if at is not None and operation.inputs[0] != at:
            raise Misfit(f"the operation {operation.name} does not take what the one before it gave", "graph")
        at = operation.outputs[0]
        if operation.name not in _PASSED:
            layers.append(_module(operation, [graph.weights[name] for name in operation.inputs[1:]]))
    chain = nn.Sequential(*layers).eval()
    return chain.requires_grad_(False)


def _module(operation: Operation, weights: list[Weights]) -> nn.Module:
    tensors = [torch.from_numpy(one.copy()) for one in weights]
    if operation.name in ("Sub", "Mul"):
        return _Shifted(tensors[0], operation.name == "Mul")
    if operation.name == "Conv":
        return _convolution(operation, tensors)
    if operation.name == "BatchNormalization":
        return _Normalised(tensors, cast(float, operation.settings["epsilon"]))
    if operation.name == "PRelu":
        relu = nn.PReLU(tensors[0].numel())
        relu.weight = nn.Parameter(tensors[0].flatten())
        return relu
    if operation.name == "Flatten":
        return nn.Flatten()
    if operation.name == "Gemm" and operation.settings.get("transB") == 1:
        linear = nn.Linear(tensors[0].shape[1], tensors[0].shape[0])
        linear.weight, linear.bias = nn.Parameter(tensors[0]), nn.Parameter(tensors[1])
        return linear
    raise Misfit(f"the operation {operation.name} is not known", "graph")


def _convolution(operation: Operation, tensors: list[torch.Tensor]) -> nn.Module:
    kernel, settings = tensors[0], operation.settings
    groups = cast(int, settings["group"])
    top, left, bottom, right = cast("list[int]", settings["pads"])
    if (top, left) != (bottom, right):
        raise Misfit("a convolution with unequal edges", "graph")
    module = nn.Conv2d(
        kernel.shape[1] * groups,
        kernel.shape[0],
        cast("tuple[int, int]", tuple(kernel.shape[2:])),
        stride=cast("tuple[int, int]", tuple(cast("list[int]", settings["strides"]))),
        padding=(top, left),
        groups=groups,
        bias=len(tensors) > 1,
    )
    module.weight = nn.Parameter(kernel)
    if len(tensors) > 1:
        module.bias = nn.Parameter(tensors[1])
    return module


class _Normalised(nn.Module):
    """Batch normalisation with the statistics that were learned, which is a factor and a shift for each channel."""

    def __init__(self, tensors: list[torch.Tensor], epsilon: float) -> None:
        super().__init__()
        gamma, beta, mean, variance = (one.double() for one in tensors)
        factor = gamma / (variance + epsilon).sqrt()
        self.register_buffer("factor", factor.float())
        self.register_buffer("shift", (beta - mean * factor).float())

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        shape = (1, -1) + (1,) * (values.ndim - 2)
        factor, shift = cast(torch.Tensor, self.factor), cast(torch.Tensor, self.shift)
        return values * factor.view(shape) + shift.view(shape)
