"""Without the package `c2pa-python`: one sentence says how to get it."""

import sys

from faults import raises

from lib_lora.content_credentials import signing


def test_its_absence_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with raises("c2pa-missing", "pip install c2pa-python"):
        signing.check_there()


def test_what_can_be_signed():
    assert [signing.is_signable(name) for name in ("a.png", "b.JPG", "c.txt", "d.webp", "png")] == [
        *(True, True),
        *(False, False, False),
    ]
