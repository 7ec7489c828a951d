"""Reads the scripts' types (javascript/types/*.d.ts), and says where an answer of a route does not fit its type.

Knows what the types of answers are made of: interfaces, plain types, texts, lists, unions, intersections, tables with
fixed fields, `Record`, `Partial` and `Omit`. What it does not know raises an error, so that nothing passes unseen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_TOKEN = re.compile(r"\s*('[^'\n]*'|\w+|[{}\[\]()<>|&;:?,=])")
_BEGIN = re.compile(r"^(?:interface|type) (\w+)", re.MULTILINE)
_PLAIN: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "unknown": lambda value: True,
}


@dataclass(frozen=True)
class Named:
    """A type by its name, with what stands in angle brackets behind it."""

    name: str
    given: tuple[Kind, ...] = ()


@dataclass(frozen=True)
class Text:
    """Exactly this text."""

    text: str


@dataclass(frozen=True)
class ListOf:
    """A list of things of a type."""

    kind: Kind


@dataclass(frozen=True)
class AnyOf:
    """One of several types."""

    kinds: tuple[Kind, ...]


@dataclass(frozen=True)
class AllOf:
    """All of several types at once."""

    kinds: tuple[Kind, ...]


@dataclass(frozen=True)
class Field:
    """A field of a table, which may be left out or must not."""

    kind: Kind
    optional: bool


@dataclass(frozen=True)
class Table:
    """A table with these fields; it may have others, which no script reads."""

    fields: dict[str, Field]


Kind = Named | Text | ListOf | AnyOf | AllOf | Table


class ScriptTypes:
    """The types in some files."""

    def __init__(self, *files: Path) -> None:
        self._text = _COMMENT.sub("", "\n".join(file.read_text(encoding="utf-8") for file in files))
        self._begins = {found[1]: found.start() for found in _BEGIN.finditer(self._text)}
        self._known: dict[str, Kind] = {}

    def needed(self, name: str) -> set[str]:
        """The fields that a value of this type must have."""
        return {key for key, field in self._table(Named(name)).fields.items() if not field.optional}

    def misfits(self, value: Any, name: str) -> list[str]:
        """Where a value does not fit the type of this name, a line each."""
        return [*self._misfits(value, Named(name), name)]

    def _named(self, name: str) -> Kind:
        if name not in self._known:
            reader = _Reader(self._text, self._begins[name])
            is_table = reader.next() == "interface"
            reader.next()
            self._known[name] = self._interface(reader) if is_table else reader.after_equals()
        return self._known[name]

    def _interface(self, reader: _Reader) -> Table:
        before = self._table(Named(reader.next())).fields if reader.took("extends") else {}
        return Table({**before, **reader.table().fields})

    def _table(self, kind: Kind) -> Table:
        """A type as the table that it is."""
        if isinstance(kind, Table):
            return kind
        if isinstance(kind, AllOf):
            return Table({key: field for one in kind.kinds for key, field in self._table(one).fields.items()})
        if isinstance(kind, Named) and kind.name == "Omit":
            left_out = {one.text for one in _either(kind.given[1]) if isinstance(one, Text)}
            return Table(
                {key: field for key, field in self._table(kind.given[0]).fields.items() if key not in left_out}
            )
        if isinstance(kind, Named) and kind.name == "Partial":
            fields = self._table(kind.given[0]).fields
            return Table({key: replace(field, optional=True) for key, field in fields.items()})
        if isinstance(kind, Named) and kind.name == "Record":
            names = [*self._texts(kind.given[0])]
            return Table({name: Field(kind.given[1], False) for name in names})
        assert isinstance(kind, Named), kind
        return self._table(self._named(kind.name))

    def _texts(self, kind: Kind) -> Iterator[str]:
        """The texts that a type consists of; none of `string`."""
        for one in _either(kind):
            if isinstance(one, Text):
                yield one.text
            elif one != Named("string"):
                assert isinstance(one, Named), one
                yield from self._texts(self._named(one.name))

    def _misfits(self, value: Any, kind: Kind, where: str) -> Iterator[str]:
        if isinstance(kind, AnyOf):
            each = [[*self._misfits(value, one, where)] for one in kind.kinds]
            if all(each):
                yield max(each, key=lambda lines: len(lines[0]))[0]  # of a table, the field and not the whole
        elif isinstance(kind, Text):
            if value != kind.text:
                yield f"{where} is {_short(value)}, not {kind.text!r}"
        elif isinstance(kind, ListOf):
            if not isinstance(value, list):
                yield f"{where} is {_short(value)}, not a list"
                return
            for number, one in enumerate(value):
                yield from self._misfits(one, kind.kind, f"{where}[{number}]")
        elif isinstance(kind, Named) and kind.name in _PLAIN:
            if not _PLAIN[kind.name](value):
                yield f"{where} is {_short(value)}, not {kind.name}"
        elif isinstance(kind, Named) and kind.name not in ("Record", "Partial", "Omit"):
            yield from self._misfits(value, self._named(kind.name), where)
        else:
            yield from self._in_table(value, kind, where)

    def _in_table(self, value: Any, kind: Kind, where: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{where} is {_short(value)}, not a table"
            return
        fields = self._table(kind).fields
        if isinstance(kind, Named) and kind.name == "Record" and not fields:  # by any text
            for key, one in value.items():
                yield from self._misfits(one, kind.given[1], f"{where}.{key}")
        for key, field in fields.items():
            if key in value:
                yield from self._misfits(value[key], field.kind, f"{where}.{key}")
            elif not field.optional:
                yield f"{where}.{key} is not there"


class _Reader:
    """Reads types from a place in a text on."""

    def __init__(self, text: str, place: int) -> None:
        self._text, self._place = text, place

    def next(self) -> str:
        found = _TOKEN.match(self._text, self._place)
        assert found, f"not understood: {self._text[self._place : self._place + 60]!r}"
        self._place = found.end()
        return found[1]

    def took(self, token: str) -> bool:
        """Whether this one is next; it is then passed."""
        before = self._place
        if self._text[before:].strip() and self.next() == token:
            return True
        self._place = before
        return False

    def expect(self, token: str) -> None:
        assert self.took(token), f"{token} expected: {self._text[self._place : self._place + 60]!r}"

    def after_equals(self) -> Kind:
        self.expect("=")
        return self.kind()

    def kind(self) -> Kind:
        self.took("|")
        kinds = [self._all_of()]
        while self.took("|"):
            kinds.append(self._all_of())
        return kinds[0] if len(kinds) == 1 else AnyOf(tuple(kinds))

    def _all_of(self) -> Kind:
        kinds = [self._one()]
        while self.took("&"):
            kinds.append(self._one())
        return kinds[0] if len(kinds) == 1 else AllOf(tuple(kinds))

    def _one(self) -> Kind:
        kind: Kind
        if self.took("("):
            kind = self.kind()
            self.expect(")")
        elif self.took("{"):
            kind = self._fields()
        else:
            name = self.next()
            assert name.startswith("'") or name.isidentifier(), f"not understood: {name}"
            kind = Text(name[1:-1]) if name.startswith("'") else Named(name, self._given())
        while self.took("["):
            self.expect("]")
            kind = ListOf(kind)
        return kind

    def _given(self) -> tuple[Kind, ...]:
        given: list[Kind] = []
        if self.took("<"):
            given.append(self.kind())
            while self.took(","):
                given.append(self.kind())
            self.expect(">")
        return tuple(given)

    def table(self) -> Table:
        self.expect("{")
        return self._fields()

    def _fields(self) -> Table:
        fields = {}
        while not self.took("}"):
            name = self.next()
            optional = self.took("?")
            self.expect(":")
            fields[name] = Field(self.kind(), optional)
            self.took(";")
        return Table(fields)


def _either(kind: Kind) -> tuple[Kind, ...]:
    return kind.kinds if isinstance(kind, AnyOf) else (kind,)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
