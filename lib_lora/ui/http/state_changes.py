"""Computes what of the page's state has changed since the one that a page has.

Knows the states that were told last by their marks. A mark says nothing to a page but which state it has.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from lib_lora.files import digest_of

_MOST_WHOLE = 4  # states that are kept whole: the page's, and those of the training and the test that it shows
_MOST = 64  # states that are remembered; each open page has one


class StateChanges:
    """The states that were told, each as the digests of its parts. For any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sent: OrderedDict[str, dict[str, str]] = OrderedDict()
        self._whole: OrderedDict[str, Any] = OrderedDict()  # the newest states themselves, by their marks

    def since(
        self, mark: str, parts: Mapping[str, Any], lists: Mapping[str, tuple[str, Sequence[Mapping[str, Any]]]]
    ) -> dict[str, Any]:
        """What a page needs that has the state with this mark.

        Args:
            mark: of an earlier answer; one that is not known stands for a page that has nothing.
            parts: of the state as it is now, by name.
            lists: the lists in it, by name, each with the field that names its entries.

        Returns:
            ``mark`` of the state as it is now; where anything has changed, also ``changed`` with the parts that have,
            and ``lists``, each with the ``keys`` of all its entries in order and the entries that have ``changed``.
        """
        with self._lock:
            state = self._whole.get(mark)
        if state == (parts, lists):  # quick where it is the very same, as it is mostly
            return {"mark": mark}
        now = {name: _digest(value) for name, value in parts.items()}
        for name, (key, entries) in lists.items():
            now |= {f"{name}/{one[key]}": _digest(one) for one in entries}
        new = digest_of(json.dumps([*now.items()]))
        with self._lock:
            before = self._sent.get(mark, {})
            self._sent[new] = now
            self._sent.move_to_end(new)
            self._whole[new] = parts, lists
            self._whole.move_to_end(new)
            while len(self._whole) > _MOST_WHOLE:
                self._whole.popitem(last=False)
            while len(self._sent) > _MOST:
                self._sent.popitem(last=False)
        if new == mark:
            return {"mark": new}

        def is_new(name: str) -> bool:
            return before.get(name) != now[name]

        return {
            "mark": new,
            "changed": {name: value for name, value in parts.items() if is_new(name)},
            "lists": {
                name: {
                    "keys": [one[key] for one in entries],
                    "changed": [one for one in entries if is_new(f"{name}/{one[key]}")],
                }
                for name, (key, entries) in lists.items()
            },
        }


def _digest(value: Any) -> str:
    return digest_of(json.dumps(value, sort_keys=True))
