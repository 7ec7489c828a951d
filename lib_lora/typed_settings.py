"""Writes dataclasses of settings to plain values and reads them back; a typo is an error, not a default.

One dataclass is the single source for the command line, the files, the tab and the API.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import reprlib
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from lib_lora.errors import Misfit, UserError

T = TypeVar("T")
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def described(label: str, meaning: str, *, least: float | None = None, **more: Any) -> dict[str, Any]:
    """The metadata of a setting, for ``dataclasses.field(metadata=...)``; forms, command line and documents read it.

    Args:
        label: its title in a form.
        meaning: one line, with a capital at its start and a full stop at its end.
        least: the smallest value allowed; `check_least` holds it.
        more: what one kind of settings says beyond that, e.g. ``group`` or ``path``.
    """
    return {"label": label, "meaning": meaning, **({} if least is None else {"least": least}), **more}


def check_least(settings: Any) -> None:
    """For ``__post_init__``: no field is below the ``least`` of its metadata. None is no value, and passes.

    Raises:
        ValueError: one is.
    """
    for field in dataclasses.fields(settings):
        value, least = getattr(settings, field.name), field.metadata.get("least")
        if least is not None and value is not None and value < least:
            raise Misfit(f"{field.name} is {value}; it must be at least {least}.", field.name)


def to_dict(settings: Any) -> dict[str, Any]:
    """A dataclass (nested ones too) as plain values for YAML or JSON."""
    return {field.name: _plain(getattr(settings, field.name)) for field in dataclasses.fields(settings)}


def _plain(value: Any) -> Any:
    if isinstance(value, (str, int, float, type(None))):  # by far the most
        return value
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def by_dotted_key(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested tables by dotted key, ``{"lora": {"rank": 8}}`` as ``{"lora.rank": 8}``; the opposite of `nested`."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{before}{key}"
        found |= by_dotted_key(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return found


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted key in tables, as `from_dict` takes them; nested ones pass as they are. One level, as all
    settings have.

    Of a setting that is given twice the last value counts. Where the table of a dotted key has a plain value, the key
    stays as it is, and `from_dict` refuses it.
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        table, _, name = key.rpartition(".")
        inside = found.get(table, {})
        if table and isinstance(inside, dict):
            found[table] = {**inside, name: value}
        elif isinstance(value, dict):
            found[key] = {**found.get(key, {}), **value}
        else:
            found[key] = value
    return found


def from_dict(kind: type[T], values: Any, where: str = "settings") -> T:
    """Build the dataclass `kind` from plain values.

    Args:
        kind: a dataclass whose fields are plain values, optionals, lists or tuples of them, or dataclasses.
        values: a mapping of field names.
        where: named in the error, e.g. the file.

    Raises:
        UserError: an unknown key (the nearest known one is named), a missing key or a value of the wrong type; its
            `field` is the dotted key.
    """
    if not isinstance(values, dict):
        raise UserError(
            f"{where}: expected a table of settings, found {type(values).__name__}.", code="settings-not-a-table"
        )
    hints, known, needed = _fields(kind)  # type: ignore[arg-type]  # classes are hashable
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}."
            raise UserError(f"{where}: unknown setting {key!r}; {hint}", str(key), code="setting-unknown", setting=key)
    built = {}
    for key, value in values.items():
        try:
            built[key] = coerce(hints[key], value, f"{where}: {key}")
        except UserError as error:
            error.field = f"{key}.{error.field}" if error.field else key
            raise
    if lacking := [name for name in needed if name not in built]:
        names, verb = ", ".join(map(repr, lacking)), "is" if len(lacking) == 1 else "are"
        raise UserError(f"{where}: {names} {verb} missing.", lacking[0], code="setting-missing", settings=lacking)
    try:
        return kind(**built)
    except TypeError as error:
        raise UserError(f"{where}: {error}.", code="setting-invalid") from error
    except ValueError as error:
        about = error.field if isinstance(error, Misfit) else ""
        raise UserError(f"{where}: {error}", about, code="setting-invalid") from error


@cache
def _fields(kind: type[Any]) -> tuple[dict[str, Any], frozenset[str], tuple[str, ...]]:
    """Of a dataclass: the types of its fields, the names that may be given, and those that must be."""
    given = [field for field in dataclasses.fields(kind) if field.init]
    missing = dataclasses.MISSING
    needed = (one.name for one in given if one.default is missing and one.default_factory is missing)
    return typing.get_type_hints(kind), frozenset(field.name for field in given), tuple(needed)


def coerce(hint: Any, value: Any, where: str) -> Any:
    """`value` as the type `hint`; whole numbers pass for floats, strings are parsed for numbers and booleans.

    Raises:
        UserError: the value does not fit.
    """
    if hint in _WORDS:  # by far the most
        return _scalar(hint, value, where)
    if hint is Any:
        return value
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        rest = [argument for argument in arguments if argument is not type(None)]
        return coerce(rest[0] if len(rest) == 1 else Any, value, where)
    if origin is typing.Literal:
        if value in arguments:
            return value
        raise UserError(
            f"{where}: {reprlib.repr(value)} is not one of {', '.join(map(str, arguments))}.",
            code="setting-not-a-choice",
            value=value,
        )
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast("type[Any]", hint), value, where)
    if origin in (list, tuple):
        if not isinstance(value, (list, tuple)):
            raise UserError(
                f"{where}: expected a list, found {reprlib.repr(value)}.", code="setting-wrong-type", value=value
            )
        items = [coerce(arguments[0], item, where) for item in value]
        return tuple(items) if origin is tuple else items
    if origin is dict:
        if not isinstance(value, dict):
            raise UserError(
                f"{where}: expected a table, found {reprlib.repr(value)}.", code="setting-wrong-type", value=value
            )
        return {key: coerce(arguments[1], item, where) for key, item in value.items()}
    return _scalar(hint, value, where)


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is str:
        if isinstance(value, str):
            return value
    elif hint is bool:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in words:
            return words[value.lower()]
    elif hint is int and type(value) is int:
        return value  # not through float, which ends at 2^53
    elif hint in (int, float):
        number = _number(value)
        if number is not None and (hint is float or number == int(number)):
            return int(number) if hint is int else number
    else:
        return value
    raise UserError(
        f"{where}: expected {_WORDS[hint]}, found {reprlib.repr(value)}.", code="setting-wrong-type", value=value
    )


def _number(value: Any) -> float | None:
    """A finite number, or a text that is one; None for all else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
