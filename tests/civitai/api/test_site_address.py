"""Addresses of a Civitai, and of what is on it, as people give them."""

from __future__ import annotations

import pytest
from faults import raises

from lib_lora.civitai.api.civitai_requests import next_address, request_to
from lib_lora.civitai.api.site_address import Pointer, host_of, pointer_of, site_of

SHA = "6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa"


@pytest.mark.parametrize(
    ("given", "site"),
    [
        ("https://civitai.com", "https://civitai.com"),
        ("https://civitai.red/", "https://civitai.red"),
        ("civitai.red", "https://civitai.red"),
        (" https://civitai.com/api/v1/ ", "https://civitai.com"),
        ("https://mirror.example:8443", "https://mirror.example:8443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_a_site(given, site):
    assert site_of(given) == site


@pytest.mark.parametrize(
    "given",
    [
        "",
        "http://civitai.com",  # a token would be sent in the open
        "ftp://civitai.com",
        "file:///etc/passwd",
        "https://user:secret@civitai.com",
        "https://civitai.com/models/5",
        "https://civitai.com?x=1",
        "https://civitai.com:port",
        "https://[::1",
        "https://a b",
        "http://127.0.0.1.evil.example",
        "foo",
        "https://foo.",
    ],
)
def test_what_is_no_site(given):
    with raises("civitai-address-invalid") as caught:
        site_of(given)
    assert caught.value.field == "civitai_address"


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ("https://civitai.com/models/4384", Pointer(4384)),
        ("https://civitai.com/models/4384/dreamshaper?modelVersionId=128713", Pointer(4384, 128713)),
        ("civitai.com/models/4384?modelVersionId=128713&x=y", Pointer(4384, 128713)),
        ("https://www.civitai.com/models/4384/a/b", Pointer(4384)),
        ("https://civitai.red/models/4384", Pointer(4384)),
        ("https://civitai.com/model-versions/128713", Pointer(0, 128713)),
        ("https://civitai.com/api/download/models/128713?type=Model", Pointer(0, 128713)),
        ("https://civitai.com/api/v1/model-versions/128713", Pointer(0, 128713)),
        ("https://civitai.com/api/v1/models/4384", Pointer(4384)),
        ("https://mirror.example/models/5", Pointer(5)),
        ("urn:air:sd1:checkpoint:civitai:4384@128713", Pointer(4384, 128713)),
        ("sd1:lora:civitai:7", Pointer(7)),
        ("4384", Pointer(4384)),
        (SHA, Pointer(hash=SHA.upper())),
        ("0x6ce0161689", Pointer(hash="6CE0161689")),
        ("6CE0161689B3", Pointer(hash="6CE0161689B3")),
    ],
)
def test_what_is_meant(given, pointer):
    assert pointer_of(given, "https://mirror.example") == pointer


@pytest.mark.parametrize(
    "given",
    [
        "",
        "dreamshaper",
        "https://evil.example/models/5",
        "https://civitai.com.evil.example/models/5",
        "https://civitai.com/user/x",
        "https://civitai.com/models/x",
        "https://civitai.com/models/99999999999",
        "https://civitai.com/models/9999999999",  # no 32-bit number
        "https://civitai.com/models/5?modelVersionId=x",
        "file:///models/5",
        "https://[civitai.com/models/5",
        "x" * 5000,
        "zzzzzzzzzz",
    ],
)
def test_what_means_nothing(given):
    with raises("civitai-pointer-unreadable"):
        pointer_of(given)


@pytest.mark.parametrize("location", ["https://cdn.example/x?sig=1", "/other", "//civitai.red/x"])
def test_redirects_that_are_followed(location):
    assert next_address("https://civitai.com/a", location).startswith("https://")


@pytest.mark.parametrize(
    "location",
    [
        "",
        "http://civitai.com/x",
        "http://127.0.0.1/x",
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://192.168.1.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/x",
        "https://printer.local/x",
        "https://127.1/x",
        "https://2130706433/x",
        "https://0x7f000001/x",
        "https://0x7f.0.0.1/x",
        "https://0177.0.0.1/x",
        "https://192.168.257/x",
        "https://localhost./x",
        "https://router/x",
        "https://router./x",
        "https://[::ffff:127.0.0.1]/x",
        "file:///etc/passwd",
        "ftp://a.example/x",
        "javascript:alert(1)",
        "https://user:pass@a.example/x",
        "https://a.example:0/x",
        "https://a.example:99999999/x",
        "https://[a/x",
        "https://ä.example/x",
        "https://a.example/" + "x" * 9000,
    ],
)
def test_redirects_that_are_refused(location):
    with raises("civitai-redirect-unsafe", has="civitai.com"):
        next_address("https://civitai.com/a", location)


def test_a_site_of_ones_own_network_may_send_on_within_itself():
    assert next_address("https://civitai-here/a", "/b") == "https://civitai-here/b"
    for location in ("https://civitai-here:8443/b", "https://router/b"):
        with raises("civitai-redirect-unsafe"):
            next_address("https://civitai-here/a", location)


def test_a_token_goes_to_its_own_site_alone():
    site = "https://civitai.com"
    assert request_to(f"{site}/api/v1/x", site, "secret-token").get_header("Authorization") == "Bearer secret-token"
    for other in (
        "https://civitai.red/x",
        "http://civitai.com/x",
        "https://civitai.com:444/x",
        "https://a.civitai.com/x",
    ):
        assert request_to(other, site, "secret-token").get_header("Authorization") is None
    assert host_of("https://civitai.com") == "civitai.com"
