"""What a test expects of an error: its code and what it names, so that a sentence can be reworded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lib_lora.errors import CodedError, Misfit

_WITH_LINES = {"licence-not-accepted"}  # repeats the notice of a licence, which has paragraphs


@contextmanager
def raises(code: str | tuple[str, ...], has: object = (), **parameters: object) -> Iterator[pytest.ExceptionInfo[Any]]:
    """Check that the block raises a `UserError`, or a `StoppedByUser`, of this kind.

    Args:
        code: of the error; where several are given, it is one of them.
        has: a value (file name, number, command) that its sentence must name, or a tuple of them.
        parameters: that it must carry.
    """
    with pytest.raises(CodedError) as caught:
        yield caught
    error = caught.value
    assert error.code in ((code,) if isinstance(code, str) else code), f"{error.code}: {error}"
    check_sentence(str(error), error.code)
    for value in has if isinstance(has, tuple) else (has,):
        assert str(value) in str(error), f"{value!r} is not in: {error}"
    for name, expected in parameters.items():
        assert error.parameters[name] == expected, f"{name} is {error.parameters[name]!r}: {error}"


@contextmanager
def misfit(field: str, *named: object) -> Iterator[None]:
    """Check that the block raises a `Misfit` of this field or argument, which names these values.

    Args:
        field: whose value is refused.
        named: values that its sentence must name.
    """
    with pytest.raises(Misfit) as caught:
        yield
    assert caught.value.field == field, f"{caught.value.field}: {caught.value}"
    for value in named:
        assert str(value) in str(caught.value), f"{value!r} is not in: {caught.value}"


def check_sentence(sentence: str, code: str = "") -> None:
    """Check that a sentence is fit to be printed alone: something is said, on one line, without stray spaces."""
    assert sentence.strip() == sentence != "", f"{code}: {sentence!r}"
    assert "\n" not in sentence or code in _WITH_LINES, f"{code}: {sentence!r}"
    assert sentence[0] not in ".,;:", f"{code}: {sentence!r}"
