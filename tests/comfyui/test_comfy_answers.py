"""What ComfyUI answers may be anything: it becomes plain objects, or nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lora.comfyui import comfy_answers
from lib_lora.comfyui.comfy_answers import StoredPicture

WORDS = ["status", "messages", "outputs", "9", "images", "filename", "type", "error", "node_errors", "errors", "input"]
WORDS += ["queue_running", "queue_pending", "loras", "required", "status_str", "message", "details"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=30,
)


@settings(max_examples=60, deadline=None)
@given(ANYTHING)
def test_nothing_that_comes_breaks_the_reading(found):
    done = comfy_answers.done(found)
    assert done.fault or done.pictures
    assert comfy_answers.refusal(found, {}).endswith(".")
    comfy_answers.queued(found)
    comfy_answers.folders(found, "loras")
    comfy_answers.choices(found, "input", "required")
    comfy_answers.texts(found)


def history(*messages, outputs=None, status="error"):
    return {"outputs": outputs or {}, "status": {"status_str": status, "messages": list(messages)}}


def test_pictures_of_a_node():
    images = [{"filename": "a.png", "subfolder": "", "type": "temp"}, {"filename": 3}, {"filename": "b", "type": "x"}]
    done = comfy_answers.done(history(outputs={"9": {"images": images}, "10": 3}, status="success"))
    assert done.pictures == {"9": [StoredPicture("a.png", "", "temp")]}
    assert done.fault == ""


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            {"node_type": "KSampler", "exception_type": "x.RuntimeError", "exception_message": "no\n\nway"},
            "its node KSampler failed: RuntimeError: no way",
        ),
        (
            {"node_type": "VAEDecode", "exception_type": "torch.OutOfMemoryError", "exception_message": ""},
            "its node VAEDecode failed, because its memory is full",
        ),
        ({"exception_message": "\x1b[31m" + "x" * 5000}, "a node failed: [31m" + "x" * 296),
        ({}, "a node failed: it does not say why"),
    ],
)
def test_an_error_of_a_node_in_words(message, said):
    assert comfy_answers.done(history(["execution_start", {}], ["execution_error", message])).fault == said


def test_refusals_name_a_few_nodes_and_no_list_of_files():
    error = {
        "type": "value_not_in_list",
        "message": "Value not in list",
        "details": "lora_name: 'a not in b' not in ['x']",
    }
    found = {"node_errors": {str(n): {"errors": [error], "class_type": f"Node{n}"} for n in range(6)}}
    said = comfy_answers.refusal(found, {})
    assert said.startswith("Node0: Value not in list (lora_name: 'a not in b'); Node1")
    assert said.endswith("(and 2 more).")
    assert (
        comfy_answers.refusal({"error": {"message": "Cannot execute.", "details": "#4"}}, {}) == "Cannot execute (#4)."
    )
