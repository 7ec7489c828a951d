"""Arguments of jobs: what cannot be done is said when the job is put in line, not hours later."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from faults import raises

import lib_lora
from lib_lora.errors import UserError
from lib_lora.queue.job_types import (
    KINDS,
    CombineArguments,
    FillArguments,
    LoraBeside,
    TestArguments,
    TrainArguments,
    UnreadableArguments,
    arguments_in_row,
    arguments_of,
    as_plain,
    chosen_base,
    files_in,
    kind_of,
    lane_of,
    loras_in,
)

PACKAGE = Path(lib_lora.__file__).parent
LEAST = {  # what cannot be left out
    "invent": {"describe": "x"},
    "produce": {"production": "001"},
    "combine": {"lora": "/ink.safetensors"},
}
CONVERTS = {  # where plain values become arguments
    "queue/job_types.py": "the module itself",
    "queue/queue.py": "a row of the file",
    "ui/routes/job_routes.py": "the body of a request",
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_arguments_but_a_description_can_be_left_out(kind):
    assert isinstance(arguments_of(kind, LEAST.get(kind, {})), KINDS[kind])


@pytest.mark.parametrize("kind", ["probe", "train", "invent"])
def test_a_base_model_must_be_chosen_all_the_same(kind):
    with raises("base-model-not-chosen"):
        chosen_base(arguments_of(kind, LEAST.get(kind, {})))
    assert chosen_base(arguments_of(kind, {**LEAST.get(kind, {}), "base": "/b"})) == Path("/b")


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("paint", {}, ("job-type-unknown", "'paint'")),
        ("test", {"wieght": 1}, ("setting-unknown", "did you mean 'weight'")),
        ("test", {"grid_steps": 0}, ("setting-invalid", "0 is not a possible number of sampling steps")),
        ("test", {"grid_steps": -3}, ("setting-invalid", "-3 is not a possible number of sampling steps")),
        ("test", {"grid_steps": 1000}, ("setting-invalid", "1000 is not a possible number of sampling steps")),
        ("test", {"weight": 99}, ("setting-invalid", "weight is 99")),
        ("test", {"side": 100}, ("setting-invalid", "100 pixels")),
        ("test", {"side": 0}, ("setting-invalid", "0 pixels")),
        ("test", {"side": 4096}, ("setting-invalid", "4096 pixels")),
        ("test", {"first_seed": -1}, ("setting-invalid", "first seed is -1")),
        ("test", {"cfg": 0.5}, ("setting-invalid", "guidance is 0.5")),
        ("choose", {"weights": []}, ("setting-invalid", "no weight")),
        ("choose", {"weights": [1, 3]}, ("setting-invalid", "weight is 3")),
        ("choose", {"grid_steps": 0}, ("setting-invalid", "0 is not a possible number of sampling steps")),
        ("test", {"loras": [{"file": "/i", "weight": 11}]}, ("setting-invalid", "weight of another LoRA is 11")),
        ("test", {"loras": [{"file": ""}]}, ("setting-invalid", "no LoRA file")),
        ("combine", {}, ("setting-missing", "'lora'")),
        ("combine", {"lora": ""}, ("setting-invalid", "no LoRA file")),
        ("combine", {"lora": "/i", "weights": []}, ("setting-invalid", "above 0")),
        ("combine", {"lora": "/i", "weights": [0.5, 0]}, ("setting-invalid", "above 0")),
        ("combine", {"lora": "/i", "count": 5}, ("setting-invalid", "5 is not a possible number of prompts")),
        (
            "combine",
            {"lora": "/i", "grid_steps": 0},
            ("setting-invalid", "0 is not a possible number of sampling steps"),
        ),
        ("combine", {"lora": "/i", "painter": "webui", "on": "ssh:x"}, ("setting-invalid", "this computer only")),
        ("train", {"bse": "x"}, ("setting-unknown", "did you mean 'base'")),
        ("train", {"base": "x", "prediction": "w"}, ("setting-not-a-choice", "'w' is not one of epsilon, v")),
        ("invent", {"base": "x"}, ("setting-missing", "'describe'")),
        ("invent", {"describe": "x" * 401, "base": "b"}, ("setting-invalid", "at most 400 characters")),
        ("invent", {"describe": "x", "base": "b", "seed": -1}, ("setting-invalid", "seed is -1")),
        ("more", {"count": 0}, ("setting-invalid", "0 pictures cannot be kept")),
        ("more", {"budget": 5001}, ("setting-invalid", "5001 pictures cannot be painted")),
    ],
)
def test_what_cannot_be_done_is_said_at_once(kind, values, said):
    with raises(said[0], has=said[1:]):
        arguments_of(kind, values)


def test_light_jobs_run_beside_a_training():
    lanes = {kind: lane_of(kind, arguments_of(kind, LEAST.get(kind, {}))) for kind in KINDS}
    assert {kind for kind, lane in lanes.items() if lane == "light"} == {"audit", "fill"}
    assert set(lanes.values()) == {"light", "heavy"}
    assert lane_of("train", TrainArguments(on="ssh:workshop")) == "remote"


@pytest.mark.parametrize("kind", KINDS)
def test_arguments_are_the_same_again_after_they_were_written(kind):
    arguments = arguments_of(kind, LEAST.get(kind, {}))
    assert arguments_of(kind_of(arguments), as_plain(arguments)) == arguments


def test_the_files_that_a_job_names_are_known():
    assert files_in(TrainArguments(base="/b", settings={"class_photos": "/women", "lora": {"rank": 8}})) == [
        "/b",
        "/women",
    ]
    assert files_in(TestArguments(base=None)) == []
    assert files_in(TestArguments(base="/b", loras=[LoraBeside("/ink"), LoraBeside("/oil")])) == ["/ink", "/oil", "/b"]
    assert files_in(CombineArguments("/ink")) == loras_in(CombineArguments("/ink")) == ["/ink"]
    assert loras_in(TestArguments(loras=[LoraBeside("/ink", 0.5)])) == ["/ink"]
    assert loras_in(FillArguments()) == []
    assert [files_in(FillArguments(captioner=one)) for one in ("", "clip", "blip:/x:y")] == [[], [], ["/x:y"]]
    assert files_in(UnreadableArguments({"base": "/b"}, UserError("x", code="y"))) == []


@pytest.mark.parametrize(
    ("kind", "values", "code", "said"),
    [
        ("dream", {"base": "b"}, "job-type-unknown", "There is no job 'dream'"),
        ("test", {"mood": "sad"}, "setting-unknown", "'mood'"),
        ("test", {"weight": 99}, "setting-invalid", "the weight is 99"),
        ("train", {"base": "../../b"}, "name-outside", "outside"),
    ],
)
def test_what_cannot_be_read_keeps_its_values_and_says_why(kind, values, code, said):
    def path_of(name):
        raise UserError(f"{name} is outside.", code="name-outside")

    found = arguments_in_row(kind, values, path_of)
    assert isinstance(found, UnreadableArguments)
    assert (found.values, found.error.code, as_plain(found)) == (values, code, values)
    assert said in str(found.error)


def asked_by_name(tree):
    """The lines where a job's arguments, or a variable of that name, are taken for a dict."""
    for node in ast.walk(tree):
        value = getattr(node, "value", None)
        if getattr(value, "attr", getattr(value, "id", "")) != "arguments":
            continue
        match node:
            case ast.Subscript(slice=ast.Constant(value=str())):
                yield node.lineno
            case ast.Attribute(attr="get" | "items" | "keys" | "values" | "pop" | "setdefault" | "update"):
                yield node.lineno


def test_nobody_asks_a_job_s_arguments_by_a_text():
    """mypy knows attributes; a typo in a text is found by a user."""
    found = [
        f"{path.relative_to(PACKAGE).as_posix()}:{line}"
        for room in ("queue", "workflows", "ui", "cli")  # those that may know of jobs, see `test_arrows`
        for path in sorted((PACKAGE / room).rglob("*.py"))
        if path != PACKAGE / "queue" / "job_types.py"
        for line in asked_by_name(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []
    for text in ('job.arguments["base"]', 'job.arguments.get("base")', 'arguments.get("base")', "arguments.items()"):
        assert list(asked_by_name(ast.parse(text))) == [1], text
    for text in ("job.arguments.base", "arguments[0]", 'answer["arguments"]'):
        assert list(asked_by_name(ast.parse(text))) == [], text


def test_only_a_request_and_a_row_become_arguments():
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and node.id in ("arguments_of", "arguments_in_row")
    }
    assert found == {*CONVERTS}
