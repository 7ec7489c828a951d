"""The workflows as values: what ComfyUI's server runs, and the same as its page opens it."""

from dataclasses import replace
from pathlib import Path

import pytest
from fake_comfyui import NODES, FakeComfy
from faults import raises

from lib_lora.comfyui.comfy_address import base_of
from lib_lora.comfyui.graph import api_form, ui_form
from lib_lora.comfyui.sampler_names import SAMPLERS, comfy_sampler
from lib_lora.comfyui.workflow import ComfyBase, workflow
from lib_lora.models.families import registry
from lib_lora.models.families.painting import ComfyNodes, ComfySampling
from lib_lora.models.families.registry import families, family_named
from lib_lora.pictures import Cell

CELL = Cell("mrxa woman", "blurry", seed=7, lora=Path("x"), width=512, height=768, sampler="DPM++ 2M")
BASES = {
    "SD1": ComfyBase("a.safetensors", "sd1", "epsilon", clip_skip=2),
    "SD2": ComfyBase("b.safetensors", "sd2", "v", zero_snr=True, clip_skip=2),
    "SDXL": ComfyBase("c.safetensors", "sdxl", "epsilon", clip_skip=2),
}


def inputs(graph):
    return {node: about["inputs"] for node, about in api_form(graph).items()}


def test_sd1_with_clip_skip():
    assert inputs(workflow(CELL, BASES["SD1"], [("mara.safetensors", 0.8)])) == {
        "4": {"ckpt_name": "a.safetensors"},
        "20": {
            "model": ["4", 0],
            "clip": ["4", 1],
            "lora_name": "mara.safetensors",
            "strength_model": 0.8,
            "strength_clip": 0.8,
        },
        "11": {"clip": ["20", 1], "stop_at_clip_layer": -2},
        "6": {"clip": ["11", 0], "text": "mrxa woman"},
        "7": {"clip": ["11", 0], "text": "blurry"},
        "5": {"width": 512, "height": 768, "batch_size": 1},
        "3": {
            "model": ["20", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
            "seed": 7,
            "steps": 20,
            "cfg": 7.0,
            "sampler_name": "dpmpp_2m",
            "scheduler": "karras",
            "denoise": 1.0,
        },
        "8": {"samples": ["3", 0], "vae": ["4", 2]},
        "9": {"images": ["8", 0]},
    }


def test_a_model_that_predicts_v_says_so_and_clip_skip_is_for_sd1_alone():
    v = inputs(workflow(CELL, BASES["SD2"]))
    assert v["12"] == {"model": ["4", 0], "sampling": "v_prediction", "zsnr": True}
    assert v["3"]["model"] == ["12", 0]
    assert "11" not in v
    xl = inputs(workflow(CELL, BASES["SDXL"]))
    assert "11" not in xl
    assert "12" not in xl
    assert "11" not in inputs(workflow(CELL, replace(BASES["SD1"], clip_skip=1)))


def test_a_family_says_which_nodes_it_needs():
    told = ComfySampling("ModelSamplingSD3", {"shift": 3.0})
    needs = ComfyNodes("EmptySD3LatentImage", {"flow": told})
    base = ComfyBase("f.safetensors", "flowing", "flow")
    with registry.registered(replace(family_named("sd1"), name="flowing", comfy_nodes=needs)):
        graph = workflow(CELL, base)
        assert inputs(graph)["12"] == {"model": ["4", 0], "shift": 3.0}
        assert graph["5"].kind == "EmptySD3LatentImage"
    with (
        registry.registered(replace(family_named("sd1"), name="flowing", comfy_nodes=None)),
        raises("comfyui-family-unknown", family="flowing"),
    ):
        workflow(CELL, base)


def test_several_loras_one_after_the_other():
    found = inputs(workflow(CELL, BASES["SD2"], [("one", 0.5), ("two", -1.0)]))
    assert found["20"]["model"] == ["4", 0]
    assert (found["21"]["model"], found["21"]["clip"]) == (["20", 0], ["20", 1])
    assert (found["12"]["model"], found["6"]["clip"]) == (["21", 0], ["21", 1])


@pytest.mark.parametrize("start", ["", "x.png [temp]"])
@pytest.mark.parametrize("kept", ["", "mara"])
@pytest.mark.parametrize("name", BASES)
def test_comfyui_takes_it_and_both_forms_say_the_same(name, kept, start):
    cell = replace(CELL, start=Path("x.png") if start else None, strength=0.5)
    graph = workflow(cell, BASES[name], [("mara.safetensors", 1.0)], kept, start)
    comfy = FakeComfy(checkpoints=["a.safetensors", "b.safetensors", "c.safetensors"], loras={"mara.safetensors": None})
    assert comfy.refusal(api_form(graph)) is None
    page = ui_form(graph)
    nodes = {str(one["id"]): one for one in page["nodes"]}
    linked = {number: (str(source), slot, str(into), place) for number, source, slot, into, place, _ in page["links"]}
    assert page["last_link_id"] == len(linked)
    assert page["last_node_id"] == max(map(int, nodes))
    for node, about in api_form(graph).items():
        drawn = nodes[node]
        ways = {one["name"]: one["link"] for one in drawn["inputs"]}
        expected = {key: value for key, value in about["inputs"].items() if isinstance(value, list)}
        assert {key: list(linked[link][:2]) for key, link in ways.items() if link} == expected
        assert all(linked[link][2] == node for link in ways.values() if link)
        own = [key for key in NODES[drawn["type"]] if key in about["inputs"] and key not in expected]
        values = [value for value in drawn["widgets_values"] if value not in ("randomize", "image")]
        assert values == [about["inputs"][key] for key in own]  # the page goes by their order
        for slot, out in enumerate(drawn["outputs"]):
            assert all(linked[link][:2] == (node, slot) for link in out["links"])
    places = [tuple(one["pos"]) for one in page["nodes"]]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("Euler", ("euler", "normal")),
        ("euler A", ("euler_ancestral", "normal")),
        ("DPM++ 2M", ("dpmpp_2m", "karras")),
        ("DPM++ 2M Karras", ("dpmpp_2m", "karras")),
        ("DPM++ 2M SDE Exponential", ("dpmpp_2m_sde", "exponential")),
        ("Euler SGM Uniform", ("euler", "sgm_uniform")),
        ("DDIM", ("ddim", "ddim_uniform")),
    ],
)
def test_samplers(name, pair):
    assert comfy_sampler(name) == pair


def test_every_sampler_of_diffusers_painter_has_one():
    ours = [name for family in families() if family.sampling for name in family.sampling.samplers]
    assert ours
    assert all(comfy_sampler(name) for name in ours)
    assert len(set(SAMPLERS.values())) == len(SAMPLERS)
    for name in ("Nope", "", "Karras"):
        with raises("comfyui-sampler-unknown"):
            comfy_sampler(name)


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("127.0.0.1", "http://127.0.0.1:8188"),
        (" pc.local:9000 ", "http://pc.local:9000"),
        ("http://localhost", "http://localhost:8188"),
        ("https://comfy.example/ui/", "https://comfy.example/ui"),
        ("[::1]:8188", "http://[::1]:8188"),
    ],
)
def test_addresses(text, base):
    assert base_of(text) == base


@pytest.mark.parametrize(
    "text",
    ["", " ", "ftp://x", "http://", "a b", "http://user:word@x", "x:port", "x:99999", "http://[::1", "x/../y", "x?y=1"],
)
def test_what_is_no_address(text):
    with raises("comfyui-address-invalid"):
        base_of(text)
