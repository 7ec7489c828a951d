"""Reads ComfyUI's answers, which may be anything, into plain objects and sentences.

Imports nothing heavy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lib_lora.remote.http_exchange import one_line

_MOST_CHOICES = 100_000  # files in a list
_LONGEST_NAME = 1024  # letters of one
_MOST_FAULTS = 4  # that a sentence names
_TYPES = ("output", "temp", "input")


@dataclass(frozen=True)
class StoredPicture:
    """Where a picture lies, as ComfyUI says it: a file's name, a folder below the one of its type."""

    filename: str
    subfolder: str
    type: str


@dataclass(frozen=True)
class Done:
    """What has become of a workflow.

    Attributes:
        pictures: of each node that gives any, by the node's name.
        fault: why it was not finished, in words; empty = it was.
        interrupted: somebody has stopped it.
    """

    pictures: Mapping[str, list[StoredPicture]]
    fault: str = ""
    interrupted: bool = False


def choices(found: Any, kind: str, name: str) -> list[str] | None:
    """What an input may be set to, as ``/object_info`` has it in its older and its newer form; None = it does not say.

    Args:
        found: the answer.
        kind: of the nodes.
        name: of the input.
    """
    try:
        declared = found[kind]["input"]["required"][name]
        listed = declared[0]
        if listed == "COMBO":
            listed = declared[1]["options"]
    except (KeyError, IndexError, TypeError):
        return None
    return _names(listed)


def _names(listed: Any) -> list[str] | None:
    if not isinstance(listed, list) or len(listed) > _MOST_CHOICES:
        return None
    return [one for one in listed if isinstance(one, str) and 0 < len(one) <= _LONGEST_NAME]


def texts(found: Any) -> dict[str, str] | None:
    """A table of texts."""
    if not isinstance(found, dict):
        return None
    return {key: value for key, value in found.items() if isinstance(value, str)}


def folders(found: Any, kind: str) -> list[str]:
    """The folders of one kind of files, of ``/internal/folder_paths``."""
    listed = found.get(kind) if isinstance(found, dict) else None
    return [text for one in (_names(listed) or []) if (text := one_line(one))]


def queued(found: Any) -> dict[str, bool] | None:
    """Ids and whether they are being run, of ``/queue``."""
    if not isinstance(found, dict):
        return None
    there: dict[str, bool] = {}
    for key, runs in (("queue_pending", False), ("queue_running", True)):
        rows = found.get(key)
        if not isinstance(rows, list):
            return None
        for row in rows:
            if isinstance(row, list) and len(row) > 1 and isinstance(row[1], str):
                there[row[1]] = runs
    return there


def done(entry: Any) -> Done:
    """An entry of ``/history``."""
    if not isinstance(entry, dict):
        return Done({}, "its history cannot be read")
    status = entry.get("status")
    status = status if isinstance(status, dict) else {}
    listed = status.get("messages")
    messages = [
        (one[0], one[1] if isinstance(one[1], dict) else {})
        for one in (listed if isinstance(listed, list) else [])
        if isinstance(one, list) and len(one) == 2 and isinstance(one[0], str)
    ]
    for name, about in reversed(messages):
        if name == "execution_interrupted":
            return Done({}, "it was interrupted", True)
        if name == "execution_error":
            return Done({}, _error(about))
    if status.get("status_str") == "error":
        return Done({}, "it says only that there was an error")
    outputs = entry.get("outputs")
    found = {
        node: pictures
        for node, given in (outputs.items() if isinstance(outputs, dict) else ())
        if isinstance(given, dict) and (pictures := _places(given.get("images")))
    }
    return Done(found, "" if found else "it was finished without a picture")


def _places(images: Any) -> list[StoredPicture]:
    found = []
    for one in images if isinstance(images, list) else []:
        if isinstance(one, dict):
            name, folder, kind = one.get("filename"), one.get("subfolder", ""), one.get("type", "output")
            if isinstance(name, str) and isinstance(folder, str) and kind in _TYPES and name:
                found.append(StoredPicture(name[:_LONGEST_NAME], folder[:_LONGEST_NAME], kind))
    return found


def _error(about: Mapping[str, Any]) -> str:
    """An ``execution_error`` in words."""
    node, kind = one_line(about.get("node_type")), one_line(about.get("exception_type")).rpartition(".")[2]
    said = one_line(about.get("exception_message"))
    where = f"its node {node} failed" if node else "a node failed"
    if re.search(r"OutOfMemory|out of memory", f"{kind} {said}"):
        return f"{where}, because its memory is full"
    return f"{where}: {': '.join(word for word in (kind, said) if word) or 'it does not say why'}"


def refusal(found: Any, prompt: Mapping[str, Any]) -> str:
    """Why a workflow was refused (status 400), in words.

    Args:
        found: the answer.
        prompt: in the API form.
    """
    errors = found.get("node_errors") if isinstance(found, dict) else None
    said = []
    for node, about in errors.items() if isinstance(errors, dict) else ():
        kind = one_line(about.get("class_type")) if isinstance(about, dict) else ""
        kind = kind or one_line(prompt.get(node, {}).get("class_type")) or f"#{one_line(node)}"
        for one in about.get("errors") or [] if isinstance(about, dict) else []:
            if isinstance(one, dict):
                said.append(f"{kind}: {_fault(one)}")
    if not said and isinstance(found, dict) and isinstance(found.get("error"), dict):
        said = [_fault(found["error"])]
    elif not said and isinstance(found, dict):
        said = [one_line(found.get("error"))]
    said = [one for one in dict.fromkeys(said) if one] or ["it does not say why"]
    more = f" (and {len(said) - _MOST_FAULTS} more)" if len(said) > _MOST_FAULTS else ""
    return f"{'; '.join(said[:_MOST_FAULTS])}{more}."


def _fault(one: Mapping[str, Any]) -> str:
    """A fault of a node; a list of all files that might be there is left out."""
    message, details = one_line(one.get("message")).rstrip("."), one_line(one.get("details"))
    details = details.rpartition(" not in ")[0] or details if one.get("type") == "value_not_in_list" else details
    return f"{message} ({details})" if details else message
