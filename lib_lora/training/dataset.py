"""The training set in memory: for every photo its bucket, its latent distribution and its weight map.

Latents are a few hundred kilobytes a photo, so all of them stay in memory, and on disk in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch.nn import functional

from lib_lora.character.photos import open_photo
from lib_lora.errors import UserError
from lib_lora.files import sha256
from lib_lora.models.vae import encode, to_tensor
from lib_lora.training.buckets import (
    LATENT_PIXELS,
    Placement,
    choose,
    make_buckets,
    place_without_upscaling,
    placement,
    resize_and_crop,
)
from lib_lora.training.cache import cached
from lib_lora.training.run import Photo, Run
from lib_lora.training.settings import TrainSettings


@dataclass(frozen=True)
class Item:
    """One picture, ready to be trained on.

    Attributes:
        photo: what it is.
        placement: how it lies in its bucket.
        mean, std: of the VAE's distribution, scaled, [4, h, w] float32.
        weight_map: what each latent cell counts, [1, h, w], or None for 1 everywhere.
    """

    photo: Photo
    placement: Placement
    mean: torch.Tensor
    std: torch.Tensor
    weight_map: torch.Tensor | None


def place(size: tuple[int, int], train: TrainSettings, side: int) -> Placement:
    """Where a photo of `size` (width, height) goes; `side` is the resolution that is trained."""
    if not train.upscale:
        return place_without_upscaling(size, side, train.bucket_step)
    return placement(size, choose(size, make_buckets(side, step=train.bucket_step)))


def load_items(run: Run, photos: Sequence[Photo], side: int, load_vae: Callable[[], AutoencoderKL]) -> list[Item]:
    """Prepare every photo of a run.

    The VAE is loaded only if a photo is not in the cache, and only while this function runs.

    Args:
        run: for its settings, folders and the base model's hash.
        photos: the training set.
        side: the resolution that is trained, in pixels.
        load_vae: makes the VAE.

    Raises:
        UserError: a photo has vanished or is damaged (it is named), or does not fit.
    """
    folder = run.character_folder.cache / "latents"
    vae: AutoencoderKL | None = None

    def compute(photo: Photo, path: Path, placed: Placement) -> dict[str, torch.Tensor]:
        nonlocal vae
        pixels = to_tensor(resize_and_crop(_opened(photo, path), placed))
        vae = vae or load_vae()
        mean, std = encode(vae, pixels)
        return {"mean": mean[0], "std": std[0]}

    items = []
    for photo in photos:
        path = run.photo_path(photo)
        placed = place(_size_of(run, photo, path), run.file.settings, side)
        key = ("latent", run.file.base.sha256, photo.sha256, placed)
        tensors = cached(folder, key, lambda: compute(photo, path, placed))  # noqa: B023 - called at once  # type: ignore[misc]
        weights = weight_map(photo.regions, placed, run.file.settings.face_weight)
        items.append(Item(photo, placed, tensors["mean"], tensors["std"], weights))
    return items


def _size_of(run: Run, photo: Photo, path: Path) -> tuple[int, int]:
    """The photo's upright size; remembered, so that a cached photo is not decoded again."""
    size = cached(
        run.character_folder.cache / "sizes",
        ("size", photo.sha256),
        lambda: {"size": torch.tensor(_opened(photo, path).size)},
    )["size"]
    return int(size[0]), int(size[1])


def _opened(photo: Photo, path: Path) -> Image.Image:
    """The photo's picture, after seeing that it is still the photo that the run was made with.

    Raises:
        UserError: it has changed, so that it would be cached as what it is not.
    """
    if sha256(path) != photo.sha256:
        raise UserError(f"{path.name} has changed since this run was made; put it back, or start a new run.")
    return open_photo(path)


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
