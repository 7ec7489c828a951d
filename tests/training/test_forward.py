"""One forward pass: what is random, what is shared, what the UNet is given; and what output preservation adds."""

from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lib_lora.character.store import Character
from lib_lora.models.families.sdxl import SDXL
from lib_lora.models.noise_schedule import noise_schedule
from lib_lora.models.text_conditioning import Conditioning
from lib_lora.training.data.buckets import Bucket, placement
from lib_lora.training.data.dataset import Item
from lib_lora.training.forward import Forward
from lib_lora.training.objective.diffusion_loss import add_noise
from lib_lora.training.objective.diffusion_objective import DiffusionObjective
from lib_lora.training.objective.noise import sample_noise, sample_timestep, training_noise
from lib_lora.training.objective.objective_settings import ObjectiveSettings
from lib_lora.training.objective.randomness import generator
from lib_lora.training.painted_latents import PaintedLatent, Stopped
from lib_lora.training.plan.preserved_captions import PHRASES
from lib_lora.training.plan.run_file import TrainingPhoto
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.training.preservation import OutputPreservation

CPU = torch.device("cpu")
MARA = Character("Mara", "mrxa", "woman")


class Recorder(nn.Module):
    """A UNet that predicts its input and remembers what it was given."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.calls = []

    def forward(self, sample, times, **given):
        self.calls.append((sample, times, given))
        return SimpleNamespace(sample=sample + self.weight)


class Words:
    """Conditions that remember the captions."""

    def __init__(self, pooled=False):
        self.heard, self.pooled = [], pooled

    def __call__(self, captions):
        self.heard.append(list(captions))
        pooled = torch.zeros(len(captions), 8) if self.pooled else None
        return Conditioning(torch.zeros(len(captions), 77, 8), pooled)


def _item(n, prior=False, weights=None, of=""):
    draw = torch.Generator().manual_seed(n)
    mean = torch.randn(4, 4, 6, generator=draw)
    photo = TrainingPhoto(f"{n}.jpg", str(n), f"photo of {'toxm man' if of else 'mrxa woman'}, tag {n}", prior, of=of)
    encoded = (mean, torch.full_like(mean, 0.1))
    return Item(photo, placement((480, 320), Bucket(48, 32)), weights, lambda: encoded)


def _forward(pooled=False, prediction="epsilon", **settings):
    unet, words = Recorder(), Words(pooled)
    train = TrainSettings(seed=5, **settings)
    objective = DiffusionObjective(noise_schedule(), prediction, train.objective)
    return Forward(unet, words, objective, SDXL, train, CPU, None), unet, words


def _losses(forward, items, micro_step, first_slot=0):
    return forward.training(forward.draw(items, micro_step, first_slot))


def test_a_sample_is_what_the_pure_functions_say():
    objective = ObjectiveSettings(noise_offset=0.1, min_snr_gamma=5.0, ip_noise_gamma=0.1)
    forward, unet, words = _forward(objective=objective)
    item = _item(3)
    loss = _losses(forward, [item], 11, 2)
    draw = generator(5, "sample", 11, 2)
    latent = item.mean + item.std * sample_noise(item.mean.shape, draw)
    times = torch.tensor([sample_timestep(objective, draw)])
    target, noise = (one[None] for one in training_noise(latent, objective, draw))
    noisy = add_noise(latent[None], noise, times, noise_schedule())
    assert torch.equal(unet.calls[0][0], noisy)
    assert torch.equal(unet.calls[0][1], times)
    assert words.heard == [[item.photo.caption]]
    expected = DiffusionObjective(noise_schedule(), "epsilon", objective).loss(noisy, latent[None], target, times)
    assert torch.allclose(loss, expected)


def test_samples_do_not_depend_on_who_computes_them():
    forward, _, _ = _forward(caption_dropout=0.5)
    items = [_item(n) for n in range(4)]
    whole = _losses(forward, items, 7)
    halves = torch.cat([_losses(forward, items[:2], 7, 0), _losses(forward, items[2:], 7, 2)])
    assert torch.equal(whole, halves)
    assert not torch.equal(whole, _losses(forward, items, 8))
    assert torch.equal(whole, _losses(forward, items, 7))


def test_prior_pictures_count_less_and_maps_move_the_loss():
    settings = {"objective": ObjectiveSettings(prior_loss_weight=0.25)}
    plain = _losses(_forward(**settings)[0], [_item(1)], 3)
    assert torch.allclose(_losses(_forward(**settings)[0], [_item(1, prior=True)], 3), plain * 0.25)
    doubled = torch.full((1, 4, 6), 2.0)
    both = _losses(_forward()[0], [_item(1), _item(1, weights=doubled)], 3)
    alone = _losses(_forward()[0], [_item(1), _item(1)], 3)
    assert torch.allclose(both, alone * torch.tensor([1.0, 2.0]))


def test_sdxl_gets_the_true_sizes_and_the_pooled_words():
    forward, unet, _ = _forward(pooled=True)
    _losses(forward, [_item(1)], 0)
    given = unet.calls[0][2]["added_cond_kwargs"]
    assert given["time_ids"].tolist() == [[320, 480, 0, 0, 32, 48]]
    assert given["text_embeds"].shape == (1, 8)


def test_dropped_captions_are_empty_at_about_the_rate():
    forward, _, words = _forward(caption_dropout=0.25)
    for step in range(200):
        _losses(forward, [_item(0), _item(1)], step)
    dropped = sum(caption == "" for batch in words.heard for caption in batch)
    assert 70 <= dropped <= 130  # 400 draws at 0.25: 100, and three and a half deviations either way


def test_the_probe_is_the_same_every_time_and_moves_no_gradient():
    forward, unet, _ = _forward()
    items = [_item(n) for n in range(3)]
    first = forward.probe(items, (100, 500))
    assert first == forward.probe(items, (100, 500))
    assert len(unet.calls) == 12
    assert unet.weight.grad is None
    unet.weight.data.fill_(1.0)
    assert forward.probe(items, (100, 500)) != first


def test_velocity_models_are_trained_on_velocity():
    item = _item(1)
    one = _losses(_forward(prediction="v")[0], [item], 3)
    other = _losses(_forward(prediction="epsilon")[0], [item], 3)
    assert not torch.allclose(one, other)


class Switch:
    """Of an adapter that adds 1 to what the `Recorder` predicts, and is off inside the block."""

    def __init__(self, weight):
        self.weight = weight
        weight.data.fill_(1.0)

    @contextmanager
    def off(self):
        self.weight.data.fill_(0.0)
        yield
        self.weight.data.fill_(1.0)


def _preserving(share, paint=None, processes=1, **more):
    forward, unet, words = _forward(preservation_weight=1.0, preservation_share=share, **more)
    return OutputPreservation(forward, Switch(unet.weight), [MARA], forward.train, processes, paint), unet, words


# pictures of 64 pixels that the base model would have painted
PAINTED = [
    PaintedLatent(f"photo of painted {n}", torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(n)))
    for n in range(3)
]


def test_without_the_trigger_the_base_is_the_target():
    preservation, unet, words = _preserving(1.0)
    sample = preservation.forward.draw([_item(n) for n in range(4)], 7)
    apart = preservation.free_losses(sample)
    assert torch.equal(apart, torch.ones(4))
    assert len(unet.calls) == 2
    assert all(torch.equal(call[0], sample.noisy) and torch.equal(call[1], sample.times) for call in unet.calls)
    assert words.heard[0] == words.heard[1]
    assert not [caption for caption in words.heard[0] if "mrxa" in caption]
    apart.sum().backward()
    assert unet.weight.grad is not None


@pytest.mark.parametrize("paint", [None, lambda stop: PAINTED], ids=["photos", "painted"])
def test_turns_are_spread_evenly_and_do_not_depend_on_who_computes_them(paint):
    preservation, unet, words = _preserving(0.3, paint, batch_size=2, processes=2)
    draw, items, counts, painted = preservation.forward.draw, [_item(n) for n in range(4)], [], 0

    def heard(*samples):
        words.heard.clear()
        unet.calls.clear()
        found = [each(one) for one in samples for each in (preservation.free_losses, preservation.painted_losses)]
        shown = sorted((call[0].shape[-1], *map(float, row.flatten()[:3])) for call in unet.calls for row in call[0])
        return sum(len(one) for one in found if one is not None), sorted(chain(*words.heard)), shown

    for step in range(20):
        whole = heard(draw(items, step))
        assert whole == heard(draw(items[:2], step), draw(items[2:], step, 2))
        counts.append(whole[0])
        painted += sum(side == 8 for side, *_ in whole[2]) // 2  # two passes
    assert sum(counts) == 24  # of 80
    assert set(counts) == {1, 2}
    assert painted == (12 if paint else 0)


def test_painted_latents_have_captions_noise_and_times_of_their_own():
    asked = []
    preservation, unet, words = _preserving(1.0, lambda stop: asked.append(stop()) or PAINTED, pooled=True)
    times = []
    for step in range(6):
        sample = preservation.forward.draw([_item(n) for n in range(4)], step)
        words.heard.clear()
        unet.calls.clear()
        assert [part.item() for part in preservation.losses(sample)] == [2.0, 2.0]
        (noisy, at, given), (same, *_) = unet.calls[2:]
        assert torch.equal(noisy, same)
        assert noisy.shape == (2, 4, 8, 8)
        assert words.heard[2] == words.heard[3]
        assert {one.caption for one in PAINTED}.issuperset(words.heard[2])
        assert given["added_cond_kwargs"]["time_ids"].tolist() == [[64.0, 64.0, 0.0, 0.0, 64.0, 64.0]] * 2
        times += at.tolist()
    assert len(set(times)) > 6
    assert asked == [False]  # once


def test_what_was_not_painted_in_time_is_painted_by_the_step_that_needs_it():
    def paint(stop):
        if stop():
            raise Stopped
        return PAINTED

    preservation, unet, _ = _preserving(1.0, paint)
    alone, _, _ = _preserving(0.25, lambda stop: pytest.fail("asked for nothing"), batch_size=4)
    alone.prepare(range(1), lambda: False)  # the first turn is that of a photo
    preservation.prepare(range(10), lambda: True)
    preservation.painted_losses(preservation.forward.draw([_item(n) for n in range(4)], 1))
    assert unet.calls[0][0].shape[-1] == 8


def test_where_the_base_paints_no_numbers_photos_have_all_turns():
    preservation, _, _ = _preserving(1.0, lambda stop: [])
    preservation.prepare(range(10), lambda: False)
    sample = preservation.forward.draw([_item(n) for n in range(4)], 1)
    assert [part.item() for part in preservation.losses(sample)] == [4.0]


@pytest.mark.parametrize("paint", [None, lambda stop: PAINTED], ids=["photos", "painted"])
def test_class_pictures_need_no_preserving(paint):
    preservation, _, _ = _preserving(1.0, paint)
    draw = preservation.forward.draw
    assert [*preservation.losses(draw([_item(1, prior=True)], 3))] == []
    assert sum(part.item() for part in preservation.losses(draw([_item(1, prior=True), _item(2)], 3))) == 1


def _with_phrases(**settings):
    forward, unet, words = _forward(phrase_weight=1.0, batch_size=4, **settings)
    return OutputPreservation(forward, Switch(unet.weight), [MARA], forward.train), unet, words


def test_a_phrase_beside_the_trigger_does_what_it_does_in_the_base():
    preservation, unet, words = _with_phrases(phrase_share=1.0, phrase_timesteps=0)
    sample = preservation.forward.draw([*(_item(n) for n in range(3)), _item(3, prior=True)], 7)
    assert torch.equal(preservation.phrase_losses(sample), torch.ones(3))
    of_base, ours = words.heard
    phrases = [caption.removeprefix("photo of mrxa woman, ") for caption in ours]
    assert set(phrases) <= set(PHRASES)
    assert of_base == [f"photo of woman, {phrase}" for phrase in phrases]
    assert all(torch.equal(call[1], sample.times[:3]) for call in unet.calls)


def test_phrases_have_their_turns_under_much_noise_alone():
    preservation, unet, _ = _with_phrases(phrase_share=0.5, phrase_timesteps=600)
    seen, noisy = [], 0
    for step in range(100):
        sample = preservation.forward.draw([_item(n) for n in range(4)], step)
        noisy += int((sample.times >= 600).sum())
        unet.calls.clear()
        preservation.phrase_losses(sample)
        seen += [time for call in unet.calls[:1] for time in call[1].tolist()]
    assert min(seen) >= 600
    assert 0.4 < len(seen) / noisy < 0.6


def test_each_part_of_the_loss_has_its_own_weight_and_none_is_computed_for_nothing():
    preservation, unet, _ = _with_phrases(phrase_share=1.0, phrase_timesteps=0)
    sample = preservation.forward.draw([_item(n) for n in range(4)], 7)
    assert [part.item() for part in preservation.losses(sample)] == [4.0]
    assert len(unet.calls) == 2
    both = replace(preservation.train, preservation_weight=0.5, preservation_share=1.0, phrase_weight=2.0)
    preservation.train = both
    assert [part.item() for part in preservation.losses(sample)] == [2.0, 8.0]
    preservation.train = replace(both, phrase_timesteps=999)
    assert [part.item() for part in preservation.losses(sample)] == [2.0]


def test_each_photo_of_several_characters_is_preserved_with_its_own_words():
    forward, unet, words = _forward(
        preservation_weight=1.0, preservation_share=1.0, phrase_weight=1.0, phrase_share=1.0, phrase_timesteps=0
    )
    together = [MARA, Character("Tomas", "toxm", "man")]
    preservation = OutputPreservation(forward, Switch(unet.weight), together, forward.train)
    sample = forward.draw([_item(1), _item(2, of="Tomas")], 7)
    preservation.phrase_losses(sample)
    of_base, ours = words.heard
    assert [caption.split(",")[0] for caption in ours] == ["photo of mrxa woman", "photo of toxm man"]
    assert [caption.split(",")[0] for caption in of_base] == ["photo of woman", "photo of man"]
    words.heard.clear()
    for step in range(20):
        preservation.free_losses(forward.draw([_item(1), _item(2, of="Tomas")], step))
    heard = set(chain(*words.heard))
    assert not [caption for caption in heard if "mrxa" in caption or "toxm" in caption]
    assert {"photo of woman, tag 1", "photo of man, tag 2"} <= heard
