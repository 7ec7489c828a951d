"""What a user can cause, errors and stops: its code is stable and its own, and its sentence is fit to be read."""

from __future__ import annotations

import ast
import copy
import pickle
import re
from collections import Counter
from functools import cache
from pathlib import Path

import lib_lora
from lib_lora.errors import UserError

ROOT = Path(lib_lora.__file__).parent
# The same fault, found in several places; every other code belongs to one place.
SHARED = {
    "base-model-missing",
    "base-model-not-chosen",
    "blip-file-missing",
    "candidates-missing",
    "caption-unreadable",
    "captioner-failed",
    "captioner-unknown",
    "character-has-face",
    "character-invalid",
    "checkpoint-none-yet",
    "checkpoint-not-found",
    "clip-file-missing",
    "face-model-damaged",
    "file-empty",
    "file-shortened",
    "folder-missing",
    "lora-unknown",
    "memory-too-small",
    "no-photo",
    "not-a-lora",
    "nothing-to-undo",
    "open-clip-missing",
    "out-of-memory",
    "painting-stopped",
    "page-files-missing",
    "photo-changed",
    "photo-not-found",
    "photo-too-large",
    "picture-without-clear-face",
    "pip-failed",
    "preset-unknown",
    "remote-answer-unreadable",
    "report-of-other-version",
    "run-ambiguous",
    "run-file-damaged",
    "run-not-found",
    "safetensors-invalid",
    "safetensors-truncated",
    "sampler-unknown",
    "setting-invalid",
    "setting-unknown",
    "setting-wrong-type",
    "template-damaged",
    "text-encoder-incomplete",
    "transfer-damaged",
    "transfer-stopped",
    "undo-with-other-options",
    "webui-attribute-missing",
    "webui-busy-training",
    "webui-captioner-missing",
    "webui-checkpoint-unknown",
    "webui-missing",
    "weight-out-of-range",
    "worker-python-missing",
    "worker-python-outdated",
    "zip-member-damaged",
    "zip-too-many-files",
}
_VALUE = "\N{BLACK SQUARE}"  # stands for what is put into a sentence


@cache
def _trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(ROOT.rglob("*.py"))}


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _kinds(trees: dict[Path, ast.Module]) -> set[str]:
    """`CodedError` and everything that is derived from it."""
    kinds = {"CodedError"}
    classes = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    while more := {one.name for one in classes if kinds & {*map(_name, one.bases)}} - kinds:
        kinds |= more
    return kinds


@cache
def _faults() -> list[tuple[str, ast.Call]]:
    """Where in the source an error is made, and the call."""
    trees = _trees()
    kinds = _kinds(trees)
    calls = ((path, node) for path, tree in trees.items() for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [(f"{path.relative_to(ROOT)}:{call.lineno}", call) for path, call in calls if _name(call.func) in kinds]


def _codes() -> dict[str, str]:
    """The code of each place that names one itself; other places pass on that of an error that they caught."""
    found = {}
    for where, call in _faults():
        code = next(keyword.value for keyword in call.keywords if keyword.arg == "code")
        if isinstance(code, ast.Constant):
            found[where] = code.value
        else:
            assert ast.unparse(code) in ("error.code", "stop.code", "code"), (
                f"{where}: the code must be in the source, as a text"
            )
    return found


def _text(call: ast.Call) -> str:
    """The sentence as it is written in the source; empty where it is put together elsewhere."""
    sentence = call.args[0]
    if isinstance(sentence, ast.Constant):
        return str(sentence.value)
    if not isinstance(sentence, ast.JoinedStr):
        return ""
    return "".join(part.value if isinstance(part, ast.Constant) else _VALUE for part in sentence.values)


def test_codes_are_short_words() -> None:
    codes = _codes()
    assert len(codes) > 300
    bad = {where: code for where, code in codes.items() if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+){1,4}", code)}
    assert bad == {}


def test_a_code_belongs_to_one_fault() -> None:
    count = Counter(_codes().values())
    assert {code for code, times in count.items() if times > 1} == SHARED


def test_sentences_are_whole() -> None:
    faults = {where: text for where, call in _faults() if (text := _text(call))}
    assert len(faults) > 300
    notice = [where for where, text in faults.items() if "\n" in text]
    assert [where.partition(":")[0] for where in notice] == [
        str(Path("faces", "engines", "engine_names.py"))
    ]  # of a licence
    end = re.compile(rf"[.)]$|{_VALUE}$|: [^.]*$")  # a stop, or a value or a command to be copied
    assert [f"{where} {text}" for where, text in faults.items() if not end.search(text)] == []
    strange = re.compile(r"^\s|\s$|  |(?<!\.)\.\.(?!\.)|\s[.,;:](?!\w)")
    assert [f"{where} {text}" for where, text in faults.items() if strange.search(text)] == []


def test_a_copy_keeps_everything() -> None:
    error = UserError("beach.jpg is too small.", "photo", code="photo-too-small", photo="beach.jpg", least=64)
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (str(other), other.code, other.field, other.parameters) == (
            "beach.jpg is too small.",
            "photo-too-small",
            "photo",
            {"photo": "beach.jpg", "least": 64},
        )


def test_no_test_expects_an_error_by_its_words() -> None:
    """`raises` in tests/helpers/faults.py expects its code, and the values that the sentence must name; `misfit` the
    field or argument of what no user causes. What other libraries raise, or the test itself, has only words."""
    kinds = {*_kinds(_trees()), "Misfit", "Failed", "RequestRefused", "DamagedError"}
    found = []
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _name(node.func) == "raises" and node.args:
                named = {_name(one) for one in ast.walk(node.args[0]) if isinstance(one, ast.expr)}
                words = any(keyword.arg == "match" for keyword in node.keywords)
                found += [f"{path.name}:{node.lineno}"] if words and named & kinds else []
    assert found == []
