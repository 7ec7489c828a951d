"""What a picture of one face shows, in the words that it was asked for by."""

import pytest
from audit_toys import photo

from lib_lora.workflows.invent.coverage_plan import KINDS
from lib_lora.workflows.invent.visible_traits import MEASURED, contradicts, finer, shows


@pytest.mark.parametrize(
    ("height", "yaw", "expression", "level", "shown"),
    [
        (
            0.5,
            0.0,
            "smiling",
            60.0,
            {"framing": "close", "angle": "ahead", "expression": "smiling", "background": "dark"},
        ),
        (0.2, 0.1, "slight smile", 190.0, {"framing": "half", "angle": "ahead", "background": "light"}),
        (0.1, -0.5, "serious", 128.0, {"framing": "full", "angle": "left", "expression": "serious"}),
        (0.5, 0.9, "", 80.0, {"framing": "close", "angle": "right"}),
        (0.5, 0.3, "", 150.0, {"framing": "close"}),
    ],
)
def test_what_is_clear_is_said_and_nothing_else(height, yaw, expression, level, shown):
    seen = photo(of_face={"box": (0.3, 0.1, 0.3, height), "yaw": yaw, "expression": expression}, level=level).facts
    found = shows(seen)
    assert found == shown
    assert all(value in {one.name for one in KINDS[kind]} for kind, value in found.items())
    assert set(found) <= set(MEASURED)


def test_of_a_picture_without_a_face_nothing_is_said():
    assert shows(photo(faces=[]).facts) == {}


def test_only_what_was_measured_contradicts():
    shown = {"framing": "close", "angle": "left", "expression": "smiling", "background": "dark"}
    assert contradicts(shown, "expression", "serious")
    assert contradicts(shown, "angle", "ahead")
    assert contradicts(shown, "background", "light")
    assert not contradicts(shown, "background", "street")  # a street at night is dark
    assert not contradicts(shown, "expression", "laughing")
    assert not contradicts({}, "expression", "serious")
    assert not contradicts({}, "background", "coloured")
    assert not contradicts(shown, "outfit", "coat")


def test_a_laugh_is_a_smile_and_a_smile_no_laugh():
    assert finer({"expression": "smiling"}, "expression", "laughing")
    assert not finer({"expression": "smiling"}, "expression", "smiling")
    assert not finer({}, "expression", "laughing")
    assert not finer({}, "outfit", "coat")
