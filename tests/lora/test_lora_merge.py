"""Merging for a while: what is changed, what is ignored, and that everything comes back."""

from pathlib import Path

import pytest
import torch
from faults import misfit, raises
from lora_makers import flat_tensors
from torch import nn

from lib_lora.lora.adapter.merge import merged
from lib_lora.lora.file.reading import LoraFile
from lib_lora.lora.key_names import kohya_name
from lib_lora.models.families.registry import family_named

TEXT = family_named("sd1").adapter_paths("te1")


def _nest(paths, make):
    """A module with layers at dotted paths."""
    root = nn.Module()
    for path in paths:
        *parents, leaf = path.split(".")
        place = root
        for parent in parents:
            if not hasattr(place, parent):
                place.add_module(parent, nn.Module())
            place = getattr(place, parent)
        place.add_module(leaf, make())
    return root


def _text_encoder(dtype=torch.float32, paths=TEXT):
    torch.manual_seed(0)
    return _nest(paths, lambda: nn.Linear(4, 4).to(dtype))


def _lora(tensors):
    return LoraFile(Path("x.safetensors"), tensors, {})


def _text_lora(**options):
    return _lora(flat_tensors([kohya_name("sd1", "te1", path) for path in TEXT], **options))


def _snapshot(model):
    return {name: (item, item.data, item.data.clone()) for name, item in model.named_parameters()}


def _untouched(model, before):
    """The same parameter objects, on the same memory, with the same bits."""
    now = dict(model.named_parameters())
    return now.keys() == before.keys() and all(
        now[name] is item and now[name].data_ptr() == data.data_ptr() and torch.equal(now[name].data, values)
        for name, (item, data, values) in before.items()
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dora", [False, True])
def test_the_very_tensors_come_back(dtype, dora):
    model, lora = _text_encoder(dtype), _text_lora(dora=dora)
    before = _snapshot(model)
    with merged({"te1": model}, "sd1", lora, 0.7) as merge:
        changed = [name for name, item in model.named_parameters() if not torch.equal(item, before[name][2])]
        assert changed == [f"{path}.weight" for path in TEXT]
        assert merge.applied == {"te1": 72}
        assert {item.dtype for item in model.parameters()} == {dtype}
    assert _untouched(model, before)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit])
def test_they_come_back_after_an_error_too(error):
    model = _text_encoder()
    before = _snapshot(model)
    with pytest.raises(error), merged({"te1": model}, "sd1", _text_lora()):
        raise error
    assert _untouched(model, before)


def test_they_come_back_when_the_merge_itself_fails():
    model, lora = _text_encoder(), _text_lora()
    last = kohya_name("sd1", "te1", TEXT[-1])
    lora.tensors[f"{last}.lora_down.weight"] = torch.ones(2, 5)
    before = _snapshot(model)
    with raises("lora-layer-mismatch", has=("x.safetensors", "fc2", "4", "5")):
        merged({"te1": model}, "sd1", lora).__enter__()
    assert _untouched(model, before)


def test_two_can_be_nested():
    model = _text_encoder()
    before = _snapshot(model)
    lora = _text_lora()
    with merged({"te1": model}, "sd1", lora, 1.0), merged({"te1": model}, "sd1", lora, -1.0):
        layer = model.get_submodule(TEXT[0])
        assert torch.allclose(layer.weight, before[f"{TEXT[0]}.weight"][2], atol=1e-5)
    assert _untouched(model, before)


def test_a_missing_alpha_is_a_scale_of_one():
    name = kohya_name("sd1", "te1", TEXT[0])
    tensors = flat_tensors([name], rank=2, alpha=6.0)
    up, down = tensors[f"{name}.lora_up.weight"], tensors[f"{name}.lora_down.weight"]
    model = _text_encoder()
    weight = model.get_submodule(TEXT[0]).weight
    original = weight.detach().clone()
    with merged({"te1": model}, "sd1", _lora(tensors), 0.5):
        assert torch.allclose(weight, original + 0.5 * 3 * up @ down, atol=1e-5)
    del tensors[f"{name}.alpha"]
    with merged({"te1": model}, "sd1", _lora(tensors), 0.5):
        assert torch.allclose(weight, original + 0.5 * up @ down, atol=1e-5)


def test_a_weight_of_zero_is_the_base_to_the_bit():
    model = _text_encoder(torch.float16)
    before = _snapshot(model)
    with merged({"te1": model}, "sd1", _text_lora(dora=True), 0.0):
        assert _untouched(model, before)


@pytest.mark.parametrize("shape", [(5, 4, 1, 1), (5, 4, 3, 3)])
@pytest.mark.parametrize("middle", [False, True])
def test_convolutions(shape, middle):
    torch.manual_seed(0)
    path = "mid_block.resnets.0.conv1"
    model = _nest([path], lambda: nn.Conv2d(4, 5, shape[2]))
    name = kohya_name("sd1", "unet", path)
    up = torch.randn(5, 2, 1, 1)
    down = torch.randn(2, 4, 1, 1) if middle else torch.randn(2, *shape[1:])
    tensors = {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down, f"{name}.alpha": torch.tensor(1.0)}
    if middle:
        mid = torch.randn(2, 2, *shape[2:])
        tensors[f"{name}.lora_mid.weight"] = mid
        change = torch.einsum("on,nmhw,mi->oihw", up[:, :, 0, 0], mid, down[:, :, 0, 0])
    else:
        change = torch.einsum("or,rihw->oihw", up[:, :, 0, 0], down)
    weight = model.get_submodule(path).weight
    original = weight.detach().clone()
    with merged({"unet": model}, "sd1", _lora(tensors)):
        assert torch.allclose(weight, original + change / 2, atol=1e-5)


def test_a_projection_may_be_stored_as_convolution_or_linear():
    """SD1 has 1x1 convolutions there, SD2 and SDXL linear layers; A1111 takes either in either."""
    path = "mid_block.attentions.0.proj_in"
    name = kohya_name("sd1", "unet", path)
    tensors = flat_tensors([name], dora=True)
    kernels = {key: item[..., None, None] if item.ndim == 2 else item for key, item in tensors.items()}
    results = []
    for made in (nn.Linear(4, 4), nn.Conv2d(4, 4, 1)):
        with torch.no_grad():
            made.weight.copy_(torch.arange(16.0).reshape(made.weight.shape) / 9)
        model = _nest([path], lambda made=made: made)
        for stored in (tensors, kernels):
            with merged({"unet": model}, "sd1", _lora(stored)):
                results.append(made.weight.detach().clone().flatten())
    assert all(torch.equal(result, results[0]) for result in results[1:])
    assert float((results[0] - torch.arange(16.0) / 9).abs().max()) > 0.1


def test_what_the_model_does_not_have_is_reported():
    tensors = flat_tensors([kohya_name("sd1", "te1", path) for path in TEXT] + ["lora_unet_mid_block_x"])
    with merged({"te1": _text_encoder()}, "sd1", _lora(tensors)) as merge:
        assert merge.ignored == ("lora_unet_mid_block_x",)


def test_a_lora_for_another_family_is_refused():
    with raises("lora-of-other-family", has="x.safetensors"):
        merged({"te1": _text_encoder()}, "sdxl", _text_lora()).__enter__()


def test_sd1s_text_encoder_by_sdxls_name():
    name = kohya_name("sdxl", "te1", TEXT[0])
    with merged({"te1": _text_encoder()}, "sd1", _lora(flat_tensors([name]))) as merge:
        assert merge.applied == {"te1": 1}


@pytest.mark.parametrize(("family", "part", "used"), [("sd1", "te1", 3), ("sd2", "te1", 0), ("sdxl", "te2", 0)])
def test_a_partial_attention_is_ignored_where_a1111_ignores_it(family, part, used):
    paths = family_named(family).adapter_paths(part)[:6]
    tensors = flat_tensors([kohya_name(family, part, path) for path in paths if "k_proj" not in path])
    with merged({part: _text_encoder(paths=paths)}, family, _lora(tensors)) as merge:
        assert merge.applied == {part: used + 2}  # fc1 and fc2 are modules of their own
        assert len(merge.ignored) == 3 - used


def test_a_dora_on_the_output_axis_is_refused():
    lora = _text_lora(dora=True)
    name = kohya_name("sd1", "te1", TEXT[0])
    lora.tensors[f"{name}.dora_scale"] = torch.ones(4, 1)
    with raises("dora-on-output-axis"):
        merged({"te1": _text_encoder()}, "sd1", lora).__enter__()


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number(weight):
    with misfit("weight", weight):
        merged({"te1": _text_encoder()}, "sd1", _text_lora(), weight).__enter__()
