"""Whose processor it is, as each system tells it."""

import io
import platform
import sys

import pytest

from lib_lora.models.fast import processor
from lib_lora.models.fast.processor import is_amd


@pytest.fixture(autouse=True)
def anew():
    is_amd.cache_clear()
    yield
    is_amd.cache_clear()


@pytest.mark.parametrize(
    ("system", "told", "amd"),
    [
        ("win32", "AMD64 Family 25 Model 33 Stepping 0, AuthenticAMD", True),
        ("win32", "Intel64 Family 6 Model 151 Stepping 2, GenuineIntel", False),
        ("darwin", "arm", False),
        ("linux", "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 26\n", True),
        ("linux", "processor\t: 0\nvendor_id\t: HygonGenuine\ncpu family\t: 24\n", True),
        ("linux", "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\n", False),
        ("linux", "processor\t: 0\nCPU implementer\t: 0x41\n", False),
    ],
)
def test_the_maker(monkeypatch, system, told, amd):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "processor", lambda: told)
    monkeypatch.setattr(processor, "open", lambda *_, **__: io.StringIO(told), raising=False)
    assert is_amd() == amd


def test_a_system_that_tells_nothing(monkeypatch):
    def closed(*_, **__):
        raise PermissionError

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(processor, "open", closed, raising=False)
    assert not is_amd()
