"""Describes, as data, how a model family paints: with which schedulers of diffusers, and which nodes of ComfyUI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Sampler:
    """One of A1111's samplers, as diffusers computes it.

    Attributes:
        scheduler: name of diffusers' class.
        options: arguments of it, over those that the family's schedulers share.
        zero_snr: it can paint with a schedule that ends in pure noise.
        draws: each of its steps draws noise.
        reversible: `grid.noise_inversion` can go back by its steps.
    """

    scheduler: str
    options: Mapping[str, Any] = field(default_factory=dict)
    zero_snr: bool = False
    draws: bool = False
    reversible: bool = False


@dataclass(frozen=True)
class Sampling:
    """How a family is painted with on this machine.

    Attributes:
        samplers: by A1111's names.
        options: arguments of every scheduler.
        predictions: by what the denoiser predicts, further arguments.
        zero_snr: further arguments with a schedule that ends in pure noise.
    """

    samplers: Mapping[str, Sampler]
    options: Mapping[str, Any] = field(default_factory=dict)
    predictions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    zero_snr: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ComfySampling:
    """The node that tells ComfyUI how to sample with a model.

    Attributes:
        kind: ComfyUI's name of the node, which takes a model and gives one.
        values: what is set in it.
        zero_snr: its input that says whether the schedule ends in pure noise; empty = it has none.
    """

    kind: str
    values: Mapping[str, Any]
    zero_snr: str = ""


@dataclass(frozen=True)
class ComfyNodes:
    """What a family changes in the workflow for ComfyUI (`comfyui.workflow`).

    Attributes:
        latent: the node that gives an empty latent of a width and a height.
        sampling: by what the denoiser predicts, where ComfyUI does not see it in the file.
    """

    latent: str = "EmptyLatentImage"
    sampling: Mapping[str, ComfySampling] = field(default_factory=dict)
