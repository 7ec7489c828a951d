"""What a test expects of an error: its code and what it names, so that a sentence can be reworded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lib_lora.errors import UserError

_WITH_LINES = {"licence-not-accepted"}  # repeats the notice of a licence, which has paragraphs


@contextmanager
def raises(
    code: str | tuple[str, ...], has: str | tuple[str, ...] = (), **parameters: object
) -> Iterator[pytest.ExceptionInfo[UserError]]:
    """Check that the block raises a `UserError` of this kind.

    Args:
        code: of the error; where several are given, it is one of them.
        has: values (file names, numbers, commands) that its sentence must name.
        parameters: that it must carry; where a function is given, it is asked whether the value is right.
    """
    with pytest.raises(UserError) as caught:
        yield caught
    error = caught.value
    assert error.code in ((code,) if isinstance(code, str) else code), f"{error.code}: {error}"
    check_sentence(str(error), error.code)
    for value in (has,) if isinstance(has, str) else has:
        assert value in str(error), f"{value!r} is not in: {error}"
    for name, expected in parameters.items():
        found: Any = error.parameters[name]
        right = expected(found) if callable(expected) else found == expected
        assert right, f"{name} is {found!r}: {error}"


def check_sentence(sentence: str, code: str = "") -> None:
    """Check that a sentence is fit to be printed alone: something is said, on one line, without stray spaces."""
    assert sentence.strip() == sentence != "", f"{code}: {sentence!r}"
    assert "\n" not in sentence or code in _WITH_LINES, f"{code}: {sentence!r}"
    assert sentence[0] not in ".,;:", f"{code}: {sentence!r}"
