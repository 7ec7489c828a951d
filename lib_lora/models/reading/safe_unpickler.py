"""Reads pickles as data: what they name is neither imported nor called, but replaced by inert stand-ins."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from io import BytesIO
from typing import Any, ClassVar


class Stub(dict[Any, Any]):
    """Stands for whatever a pickle wants to make: keeps what it would be made of, and does nothing.

    Attributes:
        kind: the full name of what it stands for, like ``collections.OrderedDict``.
        args: what that would be called with.
        state: its attributes.
    """

    __slots__ = ("args", "state")
    kind: ClassVar[str]
    args: tuple[Any, ...]
    state: dict[Any, Any]

    def __new__(cls, *args: Any, **_: Any) -> Stub:
        made = super().__new__(cls)
        made.args, made.state = args, {}
        return made

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.state = state

    def __hash__(self) -> int:  # type: ignore[override]  # it may stand for a key of a table
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def append(self, _: Any) -> None:
        """What is in a list of an unknown kind is of no use; likewise below."""

    def extend(self, _: Iterable[Any]) -> None: ...

    def add(self, _: Any) -> None: ...


# Python's own unpickler, not the one in C: that one fills gigabytes where a pickle numbers an object in the billions.
class SafeUnpickler(pickle._Unpickler):
    """Each name in the pickle becomes a kind of `Stub`, so there is nothing else that could be called.

    Attributes:
        persistent: what the pickle says is kept outside of it, as it says so.
    """

    def __init__(self, stream: BytesIO) -> None:
        super().__init__(stream, encoding="latin1")
        self.persistent: list[Any] = []

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        return type("Stub", (Stub,), {"kind": f"{module_name}.{global_name}", "__slots__": ()})

    def persistent_load(self, pid: Any) -> Any:
        self.persistent.append(pid)
        return pid
