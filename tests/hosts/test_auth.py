"""Who is let in: Basic for ``--api-auth``, gradio's cookie for ``--gradio-auth``, everybody where neither is set."""

from __future__ import annotations

import base64
from types import SimpleNamespace

import pytest

from lib_lora.hosts.auth import admits

GRADIO3 = SimpleNamespace(auth={"me": "secret"}, tokens={"t0ken": "me"})
GRADIO4 = SimpleNamespace(auth={"me": "secret"}, tokens={"t0ken": "me"}, cookie_id="x-Y_z")
OPEN = SimpleNamespace(auth=None, tokens={})


def basic(text: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize("app", [None, OPEN, SimpleNamespace()])
def test_without_passwords_everybody_is_let_in(app: object) -> None:
    assert admits({}, {}, None, app)
    assert admits({}, {}, "", app)
    assert admits(basic("who:ever"), {"access-token": "old"}, None, app)


@pytest.mark.parametrize(
    ("given", "let_in"),
    [
        ("me:secret", True),
        ("you:päss:word", True),
        ("me:päss:word", False),
        ("me:secret ", False),
        ("me:", False),
        ("", False),
        ("me:secret,you:päss:word", False),
    ],
)
def test_basic_counts_where_the_api_has_passwords(given: str, let_in: bool) -> None:
    flag = "me:secret, you:päss:word,broken"
    assert admits(basic(given), {}, flag, OPEN) is let_in
    lower = {"authorization": basic(given)["Authorization"].replace("Basic", "basic")}
    assert admits(lower, {}, flag, OPEN) is let_in
    assert not admits({}, {}, flag, OPEN)


@pytest.mark.parametrize("header", ["", "Basic", "Basic !!!", "Basic w6Q", "Bearer bWU6c2VjcmV0", "bWU6c2VjcmV0"])
def test_what_is_no_basic_header_is_not_let_in(header: str) -> None:
    assert not admits({"authorization": header}, {}, "me:secret", OPEN)


@pytest.mark.parametrize(("app", "ending"), [(GRADIO3, ""), (GRADIO4, "-x-Y_z")])
def test_gradios_cookie_counts_where_the_page_has_passwords(app: object, ending: str) -> None:
    for name in ("access-token", "access-token-unsecure"):
        assert admits({}, {name + ending: "t0ken"}, None, app)
        assert not admits({}, {name + ending: "another"}, None, app)
        assert not admits({}, {name + ending: ""}, None, app)
        assert not admits({}, {name + "-old": "t0ken"}, None, app)
    assert not admits({}, {}, None, app)
    assert not admits(basic("me:secret"), {}, None, app)


def test_either_will_do_where_both_have_passwords() -> None:
    assert admits(basic("api:key"), {}, "api:key", GRADIO3)
    assert admits({}, {"access-token": "t0ken"}, "api:key", GRADIO3)
    assert not admits(basic("me:secret"), {"access-token": "no"}, "api:key", GRADIO3)


def test_a_cookie_is_nothing_where_only_the_api_has_passwords() -> None:
    assert not admits({}, {"access-token": "t0ken"}, "api:key", SimpleNamespace(auth=None, tokens={"t0ken": "me"}))


def test_before_the_page_is_there_nobody_is_let_in_by_its_cookie() -> None:
    assert not admits({}, {"access-token": "t0ken"}, None, None, login=True)
    assert not admits({}, {}, None, OPEN, login=True)
