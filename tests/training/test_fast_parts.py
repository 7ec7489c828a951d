"""The quicker operations compute what the plain ones compute: losses, gradients and files, for every kind of run."""

from functools import partial

import pytest
import torch
from diffusers.models.resnet import ResnetBlock2D

from lib_lora.lora.adapter.fused import FusedLayer
from lib_lora.models.fast import attention, products
from lib_lora.models.fast.attention import FastProcessor
from lib_lora.models.fast.resnet import FastResnet
from lib_lora.training import fast_parts, loop
from lib_lora.training.loop import train
from lib_lora.training.session import open_session

AMD, INTEL = True, False
ONEDNN = None  # AMD, and a model so large that oneDNN computes every product, as a real one's
ONCE = pytest.mark.once("what is added up is ours; the layers that differ between versions are in the other kinds")
GRADIENTS = pytest.mark.once("the gradients, which are compared again below, show what these versions compute")
OWN = pytest.mark.once("DoRA's layers are ours; how a version casts by itself, the convolutions show")
CONVOLUTIONS = {"conv_rank": 2, "conv_alpha": 2}
KINDS = [  # family, settings, makers of the processor
    pytest.param("sd1", {"batch_size": 2, "accumulation": 2, "te_lr": 0.0}, (INTEL,), marks=GRADIENTS),
    ("sd1", {"gradient_checkpointing": True, "lora": CONVOLUTIONS}, (AMD, INTEL, ONEDNN)),
    pytest.param("sd1", {"lora": {"use_dora": True}}, (AMD,), marks=GRADIENTS),
    pytest.param("sd1", {"lora": {"dropout": 0.5}}, (INTEL,), marks=ONCE),
    ("sd2v", {}, (AMD,)),
]


def losses_of(run, events, monkeypatch, **how):
    monkeypatch.setattr(loop, "open_session", partial(open_session, **how))
    monkeypatch.setattr(loop._Loop, "_probe", lambda *_: None)  # the steps' own losses are compared
    train(run, events)
    return torch.tensor([event["loss"] for event in events.of("step")])


@pytest.mark.parametrize(("kind", "settings", "makers"), KINDS)
def test_the_losses_of_a_run_are_the_same(make_run, events, monkeypatch, kind, settings, makers):
    monkeypatch.setattr(attention, "_FEWEST_KEYS", 1)
    settings = {"steps": 2, "save_every": 2, **settings}
    plain = losses_of(make_run(kind, **settings), events, monkeypatch, fast=False)
    assert len(plain) == 2
    # dropout draws its mask in the order of memory, which is another one in a convolution's input
    near = 2e-3 if settings.get("lora", {}).get("dropout") else 2e-4
    for amd in makers:
        monkeypatch.setattr("lib_lora.models.fast.fast_ops.is_amd", lambda amd=amd: amd is not INTEL)
        if amd is ONEDNN:
            monkeypatch.setattr(products, "_LARGE", 0)
            monkeypatch.setattr(products, "is_amd", lambda: True)
        events.clear()
        fast = losses_of(make_run(kind, **settings), events, monkeypatch)
        torch.testing.assert_close(fast, plain, rtol=near, atol=0)


@pytest.mark.parametrize("lora", [CONVOLUTIONS, pytest.param({"use_dora": True}, marks=OWN)])
def test_and_in_half_precision_where_autocast_stays(make_run, events, monkeypatch, lora):
    settings = {"steps": 2, "save_every": 2, "precision": "bf16", "lora": lora}
    plain = losses_of(make_run(**settings), events, monkeypatch, fast=False)
    events.clear()
    fast = losses_of(make_run(**settings), events, monkeypatch)
    torch.testing.assert_close(fast, plain, rtol=0.02, atol=0)


def test_and_in_half_precision_within_its_own_rounding(make_run, events, monkeypatch):
    settings = {"steps": 4, "save_every": 4, "precision": "bf16"}
    exact = losses_of(make_run(**{**settings, "precision": "fp32"}), events, monkeypatch, fast=False)
    events.clear()
    plain = losses_of(make_run(**settings), events, monkeypatch, fast=False)
    events.clear()
    fast = losses_of(make_run(**settings), events, monkeypatch)
    torch.testing.assert_close(fast, exact, rtol=0.02, atol=0)
    assert (fast - exact).abs().mean() < 2 * (plain - exact).abs().mean() + 1e-4


@pytest.mark.parametrize(("kind", "settings"), [("sd1", {}), ("sd1", {"lora": {"use_dora": True}}), ("sdxl", {})])
def test_the_gradient_of_every_weight_is_the_same(make_run, kind, settings):
    def gradients(**how):
        session = open_session(make_run(kind, **settings, lr_schedule="constant"), lambda *_, **__: None, **how)
        for parameter in session.parameters:  # away from zero, where half of the gradients would be zero too
            parameter.data.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)), alpha=0.02)
        torch.manual_seed(0)
        sample = session.forward.draw(session.items[: session.run.file.settings.batch_size], 0)
        session.forward.training(sample).mean().backward()
        return {name: item.grad for name, item in session.adapter._named().items()}

    plain, fast = gradients(fast=False), gradients()
    assert plain.keys() == fast.keys()
    whole = torch.stack([one.norm() for one in plain.values()]).norm()
    for name, expected in plain.items():  # a toy's norm of single channels makes some gradients nothing but rounding
        off = (fast[name] - expected).norm() / (expected.norm() + 1e-4 * whole)
        assert off < 1e-3, (name, off)


@pytest.mark.parametrize("amd", [True, False])
def test_what_is_put_where(make_run, monkeypatch, amd):
    monkeypatch.setattr("lib_lora.models.fast.fast_ops.is_amd", lambda: amd)
    session = open_session(make_run(), lambda *_, **__: None)
    modules = [module for part in session.modules for module in part.modules()]
    fused = [module for module in modules if isinstance(module, FusedLayer)]
    assert len(fused) == len(session.adapter.layers) == 192 + 72
    assert {id(module.up) for module in fused} == {id(layer.up) for layer in session.adapter.layers}
    layers = [module for module in modules if hasattr(module, "processor")]
    assert len(layers) == 32
    blocks = [module for module in modules if isinstance(module, ResnetBlock2D)]
    assert len(blocks) == 22
    assert all(isinstance(block, FastResnet) for block in blocks)
    assert all(isinstance(layer.processor, FastProcessor) and layer.processor.blocks == amd for layer in layers)


def test_elsewhere_the_layout_stays_torch_s_own(make_run):
    session = open_session(make_run(), lambda *_, **__: None, fast=False)
    fast_parts.use_fast_parts(session.info.model_family, {"unet": session.modules[0]}, torch.device("mps"))
    assert not any(isinstance(module, FastResnet) for module in session.modules[0].modules())
    assert session.modules[0].conv_in.weight.is_contiguous()


def test_half_precision_needs_no_autocast_where_every_layer_is_fused(make_run):
    assert open_session(make_run(precision="bf16"), lambda *_, **__: None).forward.autocast is None
    for lora in ({"dropout": 0.1}, {"use_dora": True}, {"conv_rank": 2}):
        run = make_run(precision="bf16", lora=lora)
        assert open_session(run, lambda *_, **__: None).forward.autocast == torch.bfloat16
