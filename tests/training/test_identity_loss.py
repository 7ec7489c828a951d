"""The identity loss: which photos take part, that its gradient is the chain's, and that a run can do without faces."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from faults import raises
from torch import nn

from lib_lora.models.noise_schedule import noise_schedule
from lib_lora.training import checks, identity_loss
from lib_lora.training.checks import check_decoding
from lib_lora.training.forward import Sample
from lib_lora.training.identity.face_places import FacePlace, FacesFound
from lib_lora.training.identity_loss import IdentityLoss
from lib_lora.training.objective.diffusion_objective import DiffusionObjective
from lib_lora.training.objective.objective_settings import ObjectiveSettings
from lib_lora.training.plan.run_file import TrainingPhoto
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.training.session import open_session

PLACE = FacePlace((1, 1, 3, 4), np.array([[5.0, 0.0, 8.0], [0.0, 5.0, 0.0]]))


class Decoder(nn.Module):
    """A VAE that shows three channels of the latent, each cell as 8 x 8 pixels."""

    config = SimpleNamespace(scaling_factor=0.5, shift_factor=None, block_out_channels=(128,))

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()), requires_grad=False)

    def decode(self, latents):
        shown = latents[:, :3].repeat_interleave(8, 2).repeat_interleave(8, 3)
        return SimpleNamespace(sample=torch.tanh(shown) * self.weight)


class Network(nn.Module):
    """A recogniser that sees the mean of each channel."""

    def forward(self, aligned):
        return aligned.mean((2, 3)) / 255 + 0.1


def _loss(prediction="epsilon", **settings):
    objective = DiffusionObjective(noise_schedule(), prediction, ObjectiveSettings())
    train = TrainSettings(identity_loss_weight=1.0, **settings)
    template = np.array([1.0, 0.0, 0.0], np.float32)
    return IdentityLoss(objective, Decoder(), Network(), {"a": PLACE, "b": PLACE}, template, train)


def _sample(loss, files, times, prior=False):
    draw = torch.Generator().manual_seed(3)
    latents, noise = (torch.randn(len(files), 4, 6, 5, generator=draw) for _ in range(2))
    items = [SimpleNamespace(photo=TrainingPhoto(name, name, "", prior)) for name in files]
    times = torch.tensor(times)
    return Sample(items, [""] * len(files), latents, noise, loss.objective.noisy(latents, noise, times), times)


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_its_gradient_is_that_of_the_whole_chain(prediction):
    loss = _loss(prediction)
    sample = _sample(loss, ["a", "b", "c", "b"], [100, 299, 100, 300])
    predicted = torch.randn(sample.latents.shape, generator=torch.Generator().manual_seed(4))
    found = loss.loss_and_gradient(sample, predicted)
    leaf = predicted.clone().requires_grad_()
    clean = loss.objective.clean(leaf, sample.noisy, sample.times)
    total = loss.unlikeness(clean[:1], PLACE) + loss.unlikeness(clean[1:2], PLACE)
    total.backward()
    torch.testing.assert_close(found.gradient, leaf.grad)
    torch.testing.assert_close(found.loss, total.detach())
    assert found.gradient[:2].flatten(1).abs().sum(1).gt(0).all()
    assert not found.gradient[2:].any()  # no face is known of one, the other has too much noise
    assert not found.loss.requires_grad


def test_the_template_is_of_the_first_character_alone(monkeypatch):
    """There is one template, so neither class pictures nor other characters' photos are looked at."""
    kinds = {"own": {}, "class": {"prior": True}, "other": {"of": "Tomas"}}
    items = [
        SimpleNamespace(photo=TrainingPhoto(name, name, "", **kind), placement=None) for name, kind in kinds.items()
    ]
    run = SimpleNamespace(
        file=SimpleNamespace(settings=TrainSettings(identity_loss_weight=1.0)),
        photo_path=lambda photo: Path(photo.file),
    )
    looked_at = []

    def find_faces(photos, engine):
        looked_at.extend(name for name, *_ in photos)
        return SimpleNamespace(template=None)

    monkeypatch.setattr(identity_loss, "find_faces", find_faces)
    with raises("identity-loss-without-face"):
        identity_loss.identity_loss_of(run, None, items, None, torch.device("cpu"))
    assert looked_at == ["own"]


def test_a_true_prediction_means_the_clean_latent():
    for prediction in ("epsilon", "v"):
        loss = _loss(prediction)
        sample, objective = _sample(loss, ["a"], [700]), loss.objective
        left = objective.alphas_cumprod[700]
        velocity = left.sqrt() * sample.target - (1 - left).sqrt() * sample.latents
        true = sample.target if prediction == "epsilon" else velocity
        torch.testing.assert_close(objective.clean(true, sample.noisy, sample.times), sample.latents)


@pytest.mark.parametrize(("files", "times", "prior"), [(["c"], [10], False), (["a"], [400], False), (["a"], [1], True)])
def test_nothing_is_computed_where_nobody_takes_part(files, times, prior):
    loss = _loss()
    loss.network = None
    sample = _sample(loss, files, times, prior)
    assert loss.loss_and_gradient(sample, sample.target) is None


def test_a_photo_of_the_person_loses_less_than_one_of_another():
    loss = _loss()
    alike, other = torch.zeros(1, 4, 6, 5), torch.zeros(1, 4, 6, 5)
    alike[:, 0], other[:, 2] = 1.0, 1.0
    assert 0 <= loss.unlikeness(alike, PLACE) < loss.unlikeness(other, PLACE) <= 2


def test_memory_decides_how_faces_are_decoded(monkeypatch):
    monkeypatch.setattr(checks, "free_bytes", lambda device: 4 << 30)
    cpu, vae = torch.device("cpu"), Decoder()
    assert not check_decoding(vae, 16 * 16, cpu, spare=False)
    assert check_decoding(vae, 16 * 16, cpu, spare=True)
    assert check_decoding(vae, 48 * 48, cpu, spare=False)
    with raises("identity-loss-memory", has="identity_loss_weight"):
        check_decoding(vae, 128 * 128, cpu, spare=False)


def test_without_a_face_it_says_so(make_run, monkeypatch):
    monkeypatch.setattr(identity_loss, "find_faces", lambda photos, engine: FacesFound({}, None))
    with raises("identity-loss-without-face", has="identity_loss_weight"):
        open_session(make_run(identity_loss_weight=0.5), lambda kind, **fields: None)


def test_it_is_part_of_the_loss_and_of_the_gradient(make_run):
    """With a large weight the prediction shows the person more; before its share of the training it changes nothing."""
    from lib_lora.training.loop import _Loop, _Position, _silent

    stepped = {}
    for begins, weight in ((0.5, 0.0), (0.5, 10.0), (0.0, 10.0)):
        settings = {"identity_loss_weight": weight, "identity_loss_from": begins, "identity_loss_timesteps": 1000}
        session = open_session(make_run(photos=1, **settings), _silent)
        assert (session.identity is None) == (weight == 0)
        loop = _Loop(session, _silent, _Position())
        loop.step()
        stepped[begins, weight] = (loop.average, [one.detach().clone() for one in session.parameters])
    plain, later, now = stepped.values()
    assert plain[0] == later[0]
    assert all(torch.equal(one, other) for one, other in zip(plain[1], later[1], strict=True))
    assert now[0] > plain[0]
    assert any(not torch.equal(one, other) for one, other in zip(plain[1], now[1], strict=True))
