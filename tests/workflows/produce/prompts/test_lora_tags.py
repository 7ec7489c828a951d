"""Further LoRAs in prompts: found by their names, with their weights."""

import pytest
from faults import raises

from lib_lora.workflows.produce.prompts.lora_tags import LoraTags


@pytest.fixture
def tags(tmp_path):
    for name in (
        "first/Upper.SafeTensors",
        "first/ink.safetensors",
        "first/Stile ü/öl v1.2.safetensors",
        "second/ink.safetensors",
        "first/x.pt",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return LoraTags([tmp_path / "first", tmp_path / "second", tmp_path / "missing"])


@pytest.mark.parametrize(
    ("prompt", "plain", "loras"),
    [
        ("at the sea", "at the sea", []),
        ("a <lora:ink:0.6> drawing", "a drawing", [("first/ink.safetensors", 0.6)]),
        ("<lora:ink>", "", [("first/ink.safetensors", 1.0)]),
        ("<lora:Upper>", "", [("first/Upper.SafeTensors", 1.0)]),
        ("<LoRA:ink:-1:-1>x", "x", [("first/ink.safetensors", -1.0)]),
        ("<lyco:öl v1.2:.5>", "", [("first/Stile ü/öl v1.2.safetensors", 0.5)]),
        (
            "<lora:ink:1> <lora:öl v1.2:0.2>",
            "",
            [("first/ink.safetensors", 1), ("first/Stile ü/öl v1.2.safetensors", 0.2)],
        ),
        ("a <b> c, (x:1.2)", "a <b> c, (x:1.2)", []),
    ],
)
def test_loras_are_taken_out_with_their_weights(tags, tmp_path, prompt, plain, loras):
    assert tags.parted(prompt) == (plain, tuple((tmp_path / path, weight) for path, weight in loras))


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("<lora:nobody:1>", "lora-unknown"),
        ("<lora:x:1>", "lora-unknown"),  # a pickle
        ("<lora:../first/ink:1>", "lora-unknown"),
        ("<lora:ink:strong>", "lora-tag-wrong"),
        ("<lora:ink:nan>", "lora-tag-wrong"),
        ("<lora:ink:99>", "lora-tag-wrong"),
        ("<lora:ink:1:0.5>", "lora-tag-wrong"),
    ],
)
def test_what_cannot_be_is_one_sentence(tags, prompt, code):
    with raises(code):
        tags.check(["fine", prompt])


def test_what_a_wildcard_names_is_looked_for_once_it_is_known(tags):
    tags.check(["<lora:{ink|oil}:0.6> <lora:__style__:0.6> <lora:ink:0.{5|6}>"])
    with raises("lora-unknown"):
        tags.check(["<lora:{ink|oil}:0.6> <lora:nobody:1>"])


def test_without_a_folder_it_is_said_how_to_name_one():
    with raises("lora-unknown") as error:
        LoraTags().parted("<lora:ink>")
    assert "--loras" in str(error.value)
