"""Output preservation: without the trigger word the model stays the frozen base."""

import shutil
from dataclasses import replace

import pytest
import torch

from lib_lora.training import session as sessions
from lib_lora.training import state
from lib_lora.training.loop import train
from lib_lora.training.objective.noise import sample_noise
from lib_lora.training.painted_latents import Stopped
from lib_lora.training.session import open_session

OURS = pytest.mark.once("DoRA's layers are ours; peft's, and what is fused of them, are repeated")
STRONG = {"steps": 12, "photos": 4, "save_every": 12, "unet_lr": 5e-3, "te_lr": 5e-3, "preservation_share": 1.0}


def _silent(kind, **fields):
    pass


@pytest.mark.parametrize(
    "lora", [{}, {"dropout": 0.3}, pytest.param({"use_dora": True}, marks=OURS)], ids=["fused", "peft", "dora"]
)
def test_switched_off_the_model_is_the_base(make_run, lora):
    session = open_session(make_run(preservation_weight=1.0, lora=lora), _silent)
    forward, switch = session.forward, session.preservation.switch
    sample = forward.draw(session.items[:2], 3)
    with torch.no_grad(), session.evaluating():
        base = forward.predicted(sample)  # an untrained adapter changes nothing
        for parameter in session.parameters:
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)), alpha=0.1)
        assert not torch.allclose(forward.predicted(sample), base, atol=1e-3)
        with switch.off():
            torch.testing.assert_close(forward.predicted(sample), base)
        assert not torch.allclose(forward.predicted(sample), base, atol=1e-3)
    forward.training(sample).mean().backward()
    assert all(parameter.grad is not None for parameter in session.parameters)


@pytest.mark.once("how much is kept by the loss; the switch, on which it rests, is repeated above")
@pytest.mark.parametrize("painted", [0.0, 1.0], ids=["photos", "painted"])
def test_without_the_trigger_the_pictures_stay_nearer_to_the_base(make_run, painted):
    apart = []
    for weight in (0.0, 1.0):
        settings = {**STRONG, "preservation_painted": painted, "lora": {"rank": 8, "alpha": 8}}
        run = make_run("flow", **settings, preservation_weight=weight)
        train(run, _silent)
        session = open_session(make_run("flow", **settings, preservation_weight=1.0), _silent)
        session.adapter.load_state(state.newest(run.states).state.adapter)
        sample = session.forward.draw(session.items, 999)
        plain = replace(sample, captions=["photo of woman"] * len(sample.items))
        if painted:
            some = session.preservation.paint(lambda: False)[: len(sample.items)]
            latents = torch.stack([one.latent for one in some])
            noise = sample_noise(latents.shape, torch.Generator().manual_seed(1))
            noisy = session.forward.objective.noisy(latents, noise, sample.times)
            plain = replace(sample, captions=[one.caption for one in some], noisy=noisy)
        with torch.no_grad():
            predicted = session.forward.predicted(plain)
            with session.preservation.switch.off():
                apart.append(float((predicted - session.forward.predicted(plain)).square().mean()))
    assert apart[1] < 0.4 * apart[0]


@OURS
def test_the_base_paints_the_same_whatever_was_trained(make_run):
    session = open_session(make_run("flow", preservation_weight=1.0), _silent)
    first = session.preservation.paint(lambda: False)
    with torch.no_grad():
        for parameter in session.parameters:
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)), alpha=0.1)
    shutil.rmtree(session.run.character_folder.painted_latents)
    again = session.preservation.paint(lambda: False)
    assert [one.caption for one in first] == [one.caption for one in again]
    assert not [one.caption for one in first if "mrxa" in one.caption]
    assert all(torch.equal(one.latent, other.latent) for one, other in zip(first, again, strict=True))
    assert len({float(one.latent.sum()) for one in first}) == sessions.PAINTED
    shutil.rmtree(session.run.character_folder.painted_latents)
    with pytest.raises(Stopped):
        session.preservation.paint(lambda: True)
    assert not session.run.character_folder.painted_latents.exists()


@OURS
def test_what_the_base_painted_is_kept_for_later_runs_that_would_paint_the_same(make_run):
    def painted(**settings):
        session = open_session(make_run("flow", preservation_weight=1.0, **settings), _silent)
        found = session.preservation.paint(lambda: False)
        return found, {file: file.stat().st_mtime_ns for file in session.run.character_folder.painted_latents.iterdir()}

    first, files = painted()
    again, same = painted(steps=5, unet_lr=1e-3)
    assert same == files
    assert len(files) == 1
    assert [one.caption for one in again] == [one.caption for one in first]
    assert all(torch.equal(one.latent, other.latent) for one, other in zip(first, again, strict=True))
    other, more = painted(seed=5)
    assert len(more) == 2
    assert not torch.equal(other[0].latent, first[0].latent)
    (damaged,) = files
    damaged.write_bytes(damaged.read_bytes()[:-4] + b"\0\1\2\3")
    repaired, _ = painted()
    assert all(torch.equal(one.latent, other.latent) for one, other in zip(first, repaired, strict=True))


@OURS
def test_a_base_model_that_is_taken_to_predict_something_else_paints_anew(make_run):
    painted = []
    for prediction in ("epsilon", "v"):
        run = make_run(preservation_weight=1.0)
        base = replace(run.file.base, prediction=prediction)
        session = open_session(replace(run, file=replace(run.file, base=base), known=None), _silent)
        painted.append(session.preservation.paint(lambda: False)[0].latent)
    assert not torch.equal(*painted)


@OURS
def test_adapters_of_another_kind_do_not_find_what_was_computed_beside_others(make_run):
    for count, lora in enumerate(({}, {"use_dora": True}, {}), start=1):
        session = open_session(make_run("flow", preservation_weight=1.0, lora=lora), _silent)
        session.preservation.paint(lambda: False)
        assert len(list(session.run.character_folder.painted_latents.iterdir())) == min(count, 2)


def test_what_overflowed_is_not_preserved(make_run, monkeypatch):
    session = open_session(make_run("flow", preservation_weight=1.0), _silent)
    numbers = torch.arange(float(sessions.PAINTED)).reshape(-1, 1, 1, 1)
    monkeypatch.setattr(sessions, "paint_base", lambda *_: torch.where(numbers == 1, torch.inf, numbers))
    found = session.preservation.paint(lambda: False)
    assert [float(one.latent) for one in found] == [0.0, *range(2, sessions.PAINTED)]


@pytest.mark.once("how much is kept by the loss; the switch, on which it rests, is repeated above")
def test_under_much_noise_a_phrase_beside_the_trigger_stays_nearer_to_the_base(make_run):
    apart = []
    phrases = {"phrase_share": 1.0, "phrase_timesteps": 0}
    for weight in (0.0, 1.0):
        settings = {**STRONG, "lora": {"rank": 8, "alpha": 8}}
        run = make_run("flow", **settings, **phrases, phrase_weight=weight)
        train(run, _silent)
        session = open_session(make_run("flow", **settings, phrase_weight=1.0), _silent)
        session.adapter.load_state(state.newest(run.states).state.adapter)
        sample = session.forward.draw(session.items, 999)
        asked = [replace(sample, captions=[caption] * len(sample.items)) for caption in (
            "photo of mrxa woman, looking left", "photo of woman, looking left"
        )]  # fmt: skip
        with torch.no_grad():
            predicted = session.forward.predicted(asked[0])
            with session.preservation.switch.off():
                apart.append(float((predicted - session.forward.predicted(asked[1])).square().mean()))
    assert apart[1] < 0.4 * apart[0]
