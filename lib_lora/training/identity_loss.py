"""Computes the identity loss: how unlike the person the face is that a denoiser's prediction would show.

At times with little noise the predicted clean latent of a photo is decoded around the face, aligned and described by
SFace; the loss is one minus the cosine to the template of the photos that are trained on. All of it is in float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from lib_lora.character.photo_files import open_photo
from lib_lora.errors import UserError
from lib_lora.faces.array_types import Array
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.models.families.model_family import ModelInfo
from lib_lora.models.vae import pixels_of
from lib_lora.training.checks import check_decoding
from lib_lora.training.data.dataset import Item
from lib_lora.training.forward import Sample
from lib_lora.training.identity.aligned_face import aligned
from lib_lora.training.identity.face_places import FacePlace, find_faces
from lib_lora.training.identity.sface_network import SFaceNetwork
from lib_lora.training.objective.objectives import Objective
from lib_lora.training.plan.run_file import Run
from lib_lora.training.plan.train_settings import TrainSettings

if TYPE_CHECKING:
    from diffusers import AutoencoderKL


@dataclass(frozen=True)
class LossAndGradient:
    """What the identity loss says of a batch.

    Attributes:
        loss: the sum over the items that take part, a scalar without gradient.
        gradient: of that sum by the denoiser's prediction, [B, C, H, W] float32; 0 for items that take no part.
    """

    loss: torch.Tensor
    gradient: torch.Tensor


class IdentityLoss:
    """The identity loss of a training.

    Args:
        objective: gives the clean latent that a prediction means.
        vae: frozen, in float32.
        network: the recogniser (`SFaceNetwork`), frozen.
        places: where the face lies, by the photo's file; what is not named takes no part.
        template: unit embedding of the person.
        train: the settings.
    """

    def __init__(
        self,
        objective: Objective,
        vae: AutoencoderKL,
        network: nn.Module,
        places: Mapping[str, FacePlace],
        template: Array,
        train: TrainSettings,
    ) -> None:
        self.objective, self.vae, self.network = objective, vae, network
        self.places, self.below = places, train.identity_loss_timesteps
        self.template = torch.from_numpy(template.copy()).to(next(vae.parameters()).device)

    def loss_and_gradient(self, sample: Sample, predicted: torch.Tensor) -> LossAndGradient | None:
        """The loss of a batch and its gradient; None where no item takes part.

        Item by item, so that no more than one decoded face is in memory, and apart from the denoiser's own graph.

        Args:
            sample: what was denoised.
            predicted: by the denoiser, [B, C, H, W].
        """
        times = sample.times.tolist()
        turns = [slot for slot, item in enumerate(sample.items) if self._takes_part(item, times[slot])]
        if not turns:
            return None
        leaf = predicted.detach().float().requires_grad_()
        total = torch.zeros((), device=leaf.device)
        with torch.enable_grad():
            for slot in turns:
                one = slice(slot, slot + 1)
                clean = self.objective.clean(leaf[one], sample.noisy[one], sample.times[one])
                loss = self.unlikeness(clean, self.places[sample.items[slot].photo.file])
                loss.backward()  # type: ignore[no-untyped-call]
                total += loss.detach()
        assert leaf.grad is not None
        return LossAndGradient(total, leaf.grad)

    def unlikeness(self, clean: torch.Tensor, place: FacePlace) -> torch.Tensor:
        """One minus the cosine of the face to the template, 0..2, a scalar.

        Args:
            clean: latent, [1, C, H, W] float32.
            place: of the face.
        """
        left, top, right, bottom = place.cells
        pixels = (pixels_of(self.vae, clean[..., top:bottom, left:right]) + 1) * 127.5
        face = aligned(pixels.clamp(0, 255), place.matrix)
        return 1 - functional.cosine_similarity(self.network(face), self.template[None])[0]

    def _takes_part(self, item: Item, time: float) -> bool:
        return not item.photo.prior and item.photo.file in self.places and time < self.below


def identity_loss_of(
    run: Run, info: ModelInfo, items: Sequence[Item], objective: Objective, device: torch.device
) -> IdentityLoss:
    """The identity loss of a run. Each photo is looked at once; embeddings are kept in memory alone.

    Raises:
        UserError: no photo shows a face by which the person could be recognised, or memory does not suffice.
    """
    train = run.file.settings
    photos = [
        (item.photo.file, item.placement, partial(open_photo, run.photo_path(item.photo)))
        for item in items
        if not item.photo.prior and not item.photo.of  # there is one template
    ]
    found = find_faces(photos, SFaceEngine())
    if found.template is None:
        raise UserError(
            f"identity_loss_weight is {train.identity_loss_weight:g}, but no photo shows one clear face; "
            "set it to 0, or use photos that show the face larger and alone.",
            code="identity-loss-without-face",
        )
    vae = info.load_vae(torch.float32, device)
    vae.encoder = None  # only what decodes is needed
    most = max((right - left) * (bottom - top) for left, top, right, bottom in (p.cells for p in found.places.values()))
    if check_decoding(vae, most, device, train.gradient_checkpointing):
        vae.enable_gradient_checkpointing()
        vae.train()  # it has no dropout; otherwise nothing is computed again
    return IdentityLoss(objective, vae, SFaceNetwork().to(device), found.places, found.template, train)
