"""A family that the code does not know goes through every stage of a training: another objective, 16 channels."""

from dataclasses import replace

import flow_family
import numpy as np
import pytest
import torch
from faults import raises

from lib_lora.grid.diffusers_painter import DiffusersPainter
from lib_lora.lora.file.describe import describe
from lib_lora.lora.file.metadata import family_of
from lib_lora.lora.file.reading import read
from lib_lora.models.families.identify import identify
from lib_lora.models.vae import decode
from lib_lora.pictures import Cell
from lib_lora.training.loop import train
from lib_lora.training.plan.estimate import estimate, shapes_of
from lib_lora.training.plan.memory_fitting import memory_needed
from lib_lora.training.plan.run_file import load_run
from lib_lora.training.session import open_session

OF_DENOISER, OF_TEXT = 2 * 6, 2 * 6  # layers that get an adapter


def test_the_file_says_what_it_is(flow_toy):
    info = identify(flow_toy)
    assert (info.family, info.prediction, info.resolution, info.guidance) == ("toy-flow", "flow", 128, 2.0)
    assert info.context_dim == 64


def test_it_trains_paints_and_writes_a_file_that_says_so(make_run, events):
    run = make_run("flow", steps=3, samples=1, sample_steps=2, lora={"te": True})
    path = train(run, events)
    assert not events.of("warning")
    assert [event["step"] for event in events.of("checkpoint")] == [2, 3]
    assert (run.folder / events.of("sample")[0]["file"]).is_file()
    file = read(path)
    assert len(file.layers) == OF_DENOISER + OF_TEXT
    assert "lora_unet_blocks_1_to_q.lora_down.weight" in file.tensors
    assert file.metadata["modelspec.architecture"] == "toy-flow/lora"
    assert file.metadata["modelspec.prediction_type"] == "flow"
    assert family_of(file.metadata) == "toy-flow"
    found = describe(path)
    assert (found["family"], found["webui_version"]) == ("toy-flow", "Toy")
    assert found["parts"] == {"unet": OF_DENOISER, "te1": OF_TEXT}


def test_its_latents_have_16_channels_and_its_loss_is_of_the_flow(make_run, events):
    session = open_session(make_run("flow"), events)
    item = session.items[0]
    assert item.mean.shape == (16, *(side // 8 for side in item.placement.bucket[::-1]))
    zeros, ones = torch.zeros(1, 16, 2, 2), torch.ones(1, 16, 2, 2)
    objective = session.forward.objective
    assert float(objective.loss(ones, zeros, ones, torch.tensor([500.0]))) == 0  # noise minus picture is the flow
    assert session.forward.probe([item], [500]) > 0


def test_it_learns(make_run, events):
    run = make_run("flow", photos=4, steps=60, save_every=60, unet_lr=1e-2, te_lr=0.0, lora={"rank": 16, "te": False})
    train(run, events)
    first, *_, last = events.of("probe")
    assert last["loss"] < 0.8 * first["loss"]


def test_a_stopped_training_goes_on_to_the_same_file(make_run, events):
    settings = {"steps": 4, "lora": {"te": True}}
    settings |= {"preservation_weight": 1.0, "preservation_share": 1.0, "preservation_painted": 1.0}
    whole = train(make_run("flow", **settings), events)
    expected = read(whole).tensors
    run = make_run("flow", **settings)

    def stop_after(kind, **fields):
        if kind == "step" and fields["step"] == 2:
            (run.folder / "stop").touch()

    with raises("training-stopped"):
        train(run, stop_after)
    again = load_run(run.folder)
    found = read(train(again, events)).tensors
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_its_costs_are_estimated(make_run, flow_toy, events):
    run = make_run("flow", steps=2, lora={"te": True})
    settings = run.file.settings
    need = estimate("toy-flow", shapes_of(flow_toy), settings, 128, 3)
    written = train(run, events).stat().st_size
    assert need.checkpoint_bytes == pytest.approx(written, rel=0.25)
    assert 0.8e9 < memory_needed("toy-flow", settings) < 2e9


def _painter(flow_toy):
    return DiffusersPainter(identify(flow_toy), torch.device("cpu"), torch.float32)


def _cell(**changes):
    return Cell("photo of a woman", "", seed=7, steps=4, width=128, height=128, sampler="Euler", cfg=2.0, **changes)


def test_the_painter_of_test_grids_follows_the_flow_to_the_picture(flow_toy, monkeypatch, tmp_path):
    painter = _painter(flow_toy)
    goal = torch.randn(1, 16, 16, 16, generator=torch.Generator().manual_seed(3))

    def straight(self, denoiser, latents, times, words, sizes):
        return (latents - goal) / (times / 1000)  # noise minus picture, wherever between them the latents are

    monkeypatch.setattr(flow_family.FlowFamily, "denoise", straight)
    (expected,) = decode(painter.vae, goal)
    expected.save(tmp_path / "start.png")
    from_noise, painted_over = painter.paint([_cell(), _cell(start=tmp_path / "start.png", strength=0.5)])
    for found in (from_noise, painted_over):
        assert np.abs(np.asarray(found).astype(int) - np.asarray(expected)).max() <= 1


def test_the_painter_of_test_grids_paints_with_its_lora(flow_toy, make_run, events):
    lora = train(make_run("flow", steps=2, unet_lr=1e-2, lora={"te": True}), events)
    plain, same, with_lora = _painter(flow_toy).paint([_cell(), _cell(), _cell(lora=lora)])
    assert np.array_equal(plain, same)
    assert not np.array_equal(plain, with_lora)


def test_what_the_painter_of_test_grids_cannot_do_with_it(flow_toy, tmp_path):
    painter = _painter(flow_toy)
    with raises("sampler-without-inversion", has="another base model"):
        painter.paint([_cell(start=tmp_path / "start.png", inverted=True)])
    painter.info = replace(painter.info, model_family=replace(flow_family.FLOW, sampling=None))
    with raises("painter-without-samplers", family="toy-flow"):
        painter.paint([_cell()])
