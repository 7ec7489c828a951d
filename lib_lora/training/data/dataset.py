"""Holds the training set in memory: for every photo its bucket, its latent distribution and its weight map.

Latents are a few hundred kilobytes a photo, so all of them stay in memory, and on disk in the cache. On a processor the
VAE takes seconds a photo; there each photo is encoded when it is first asked for, so that the first step need not wait
for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch.nn import functional

from lib_lora.character.photo_files import open_photo
from lib_lora.errors import UserError
from lib_lora.files import sha256_once
from lib_lora.models.fast.memory import give_back
from lib_lora.models.vae import encode, to_tensor
from lib_lora.training.data.buckets import (
    LATENT_PIXELS,
    Placement,
    choose,
    make_buckets,
    place_without_upscaling,
    placement,
    resize_and_crop,
)
from lib_lora.training.data.encoding_cache import cached, file_of
from lib_lora.training.plan.run_file import Run, TrainingPhoto
from lib_lora.training.plan.train_settings import TrainSettings


@dataclass(frozen=True)
class Item:
    """One picture, ready to be trained on.

    Attributes:
        photo: what it is.
        placement: how it lies in its bucket.
        weight_map: what each latent cell counts, [1, h, w], or None for 1 everywhere.
        encode: gives `mean` and `std`; called once.
    """

    photo: TrainingPhoto
    placement: Placement
    weight_map: torch.Tensor | None
    encode: Callable[[], tuple[torch.Tensor, torch.Tensor]]

    @cached_property
    def _distribution(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.encode()

    @property
    def mean(self) -> torch.Tensor:
        """The mean of the VAE's distribution, scaled, [4, h, w] float32."""
        return self._distribution[0]

    @property
    def std(self) -> torch.Tensor:
        """Its standard deviation, scaled, [4, h, w] float32."""
        return self._distribution[1]


def place(size: tuple[int, int], train: TrainSettings, side: int) -> Placement:
    """Where a photo of `size` (width, height) goes; `side` is the resolution that is trained."""
    if not train.upscale:
        return place_without_upscaling(size, side, train.bucket_step)
    return placement(size, choose(size, make_buckets(side, step=train.bucket_step)))


def load_items(
    run: Run, photos: Sequence[TrainingPhoto], side: int, load_vae: Callable[[], AutoencoderKL], ahead: bool = True
) -> list[Item]:
    """Prepare every photo of a run.

    The VAE is loaded only if a photo is not in the cache, and only until the last one is encoded.

    Args:
        run: for its settings, folders and the base model's hash.
        photos: the training set.
        side: the resolution that is trained, in pixels.
        load_vae: makes the VAE.
        ahead: encode all photos now, not each when it is first asked for.

    Raises:
        UserError: a photo has vanished or is damaged (it is named), or does not fit.
    """
    encoder = _Encoder(run, load_vae, len(photos))
    items = []
    for photo in photos:
        placed = place(_size_of(run, photo, run.photo_path(photo)), run.file.settings, side)
        weights = weight_map(photo.regions, placed, run.file.settings.face_weight)
        items.append(Item(photo, placed, weights, partial(encoder, photo, placed)))
    for item in items:
        if ahead:
            _ = item.mean
        elif not encoder.file(item.photo, item.placement).exists():
            _check(item.photo, run.photo_path(item.photo))  # said now, and not in the middle
    return items


class _Encoder:
    """Encodes photos, or finds them in the cache; holds the VAE until all `waiting` photos have been asked for."""

    def __init__(self, run: Run, load_vae: Callable[[], AutoencoderKL], waiting: int) -> None:
        self.run, self.load_vae, self.waiting = run, load_vae, waiting
        self.vae: AutoencoderKL | None = None

    def file(self, photo: TrainingPhoto, placed: Placement) -> Path:
        """Where a photo's latents are kept."""
        return file_of(self._folder(photo), self._key(photo, placed))

    def _folder(self, photo: TrainingPhoto) -> Path:
        return self.run.folder_of(photo).latents  # where they are deleted with all else of that face

    def _key(self, photo: TrainingPhoto, placed: Placement) -> tuple[object, ...]:
        return ("latent", self.run.file.base.sha256, photo.sha256, placed)

    def __call__(self, photo: TrainingPhoto, placed: Placement) -> tuple[torch.Tensor, torch.Tensor]:
        tensors = cached(self._folder(photo), self._key(photo, placed), lambda: self._computed(photo, placed))
        self.waiting -= 1
        if self.waiting == 0:
            self.vae = None
        return tensors["mean"], tensors["std"]

    def _computed(self, photo: TrainingPhoto, placed: Placement) -> dict[str, torch.Tensor]:
        pixels = to_tensor(resize_and_crop(_opened(photo, self.run.photo_path(photo)), placed))
        give_back()  # the gaps that a step or another photo leaves do not hold the VAE's larger tensors
        self.vae = self.vae or self.load_vae()
        mean, std = encode(self.vae, pixels)
        return {"mean": mean[0], "std": std[0]}


def _size_of(run: Run, photo: TrainingPhoto, path: Path) -> tuple[int, int]:
    """The photo's upright size; remembered, so that a cached photo is not decoded again."""
    size = cached(
        run.character_folder.photo_sizes,
        ("size", photo.sha256),
        lambda: {"size": torch.tensor(_opened(photo, path).size)},
    )["size"]
    return int(size[0]), int(size[1])


def _opened(photo: TrainingPhoto, path: Path) -> Image.Image:
    """The photo's picture.

    Raises:
        UserError: as `_check`; or it is damaged.
    """
    _check(photo, path)
    return open_photo(path)


def _check(photo: TrainingPhoto, path: Path) -> None:
    """See that a photo is still the one that the run was made with.

    Raises:
        UserError: it is gone, or has changed, so that it would be cached as what it is not.
    """
    if sha256_once(path) != photo.sha256:
        raise UserError(
            f"{path.name} has changed since this run was made; put it back, or start a new run.",
            code="photo-changed",
            photo=path.name,
        )


def weight_map(regions: Sequence[Sequence[float]], placed: Placement, weight: float) -> torch.Tensor | None:
    """What each latent cell of a placed photo counts, [1, h, w] with mean 1; None where all count the same.

    Args:
        regions: (left, top, right, bottom) as fractions of the photo, 0..1.
        placed: how the photo lies in its bucket.
        weight: inside the regions, against 1 outside; at least 1.
    """
    if weight == 1 or not regions:
        return None
    bucket = placed.bucket
    pixels = torch.ones(1, 1, bucket.height, bucket.width)
    for left, top, right, bottom in regions:
        x0, x1 = (round(side * placed.resized[0]) - placed.left for side in (left, right))
        y0, y1 = (round(side * placed.resized[1]) - placed.top for side in (top, bottom))
        pixels[..., max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = weight
    cells = functional.interpolate(pixels, scale_factor=1 / LATENT_PIXELS, mode="area")[0]
    return cells / cells.mean()  # the loss keeps its size, only its place moves
