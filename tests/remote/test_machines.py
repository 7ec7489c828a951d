"""What a user says about a machine is looked at before it gets onto a command line, and kept as it was said."""

import json
from dataclasses import replace

import pytest
from faults import misfit, raises

from lib_lora.errors import UserError
from lib_lora.remote import places
from lib_lora.remote.places import Graphics, Machine, Place

HOSTILE = (
    "-oProxyCommand=touch hacked",
    "--",
    "-v",
    "a b",
    "a\nb",
    "a\0b",
    "a\rb",
    "host\n",
    "$(touch hacked)",
    "`id`",
    "a;b",
    "a|b",
    "a&b",
    "a'b",
    'a"b',
    "a\\b",
    "a>b",
    "*",
    "?",
    "~root",
    "a/b",
    "a,b",
    "{a,b}",
    "#a",
    "%h",
    "%{b}",
    "ü",
    "\u202eabc",
    "\ud800",
    "a" * 300,
)
MACHINE = Machine(1.5, "3.12.1", "linux", 8, 16 << 30, 99, [Graphics("RTX 4090", 24 << 30)])


def _refused(field, **values):
    with raises("setting-invalid") as caught:
        places.parsed(**{"name": "workshop", "address": "host", **values})
    assert caught.value.field == field


@pytest.mark.parametrize(
    "text", [*HOSTILE, "", "a:b", "host:", "host:1:2", "host:ssh", ":22", "[host", "host]", "[]", "::g"]
)
def test_no_host(text):
    _refused("host", address=text)


@pytest.mark.parametrize("text", [*(one for one in HOSTILE if one not in ("~root", "%h", "#a")), "@", "-l"])
def test_no_user(text):
    _refused("user", address=f"{text}@host")


def test_an_address_without_what_it_promises():
    _refused("user", address="@host")
    _refused("host", address="mara@")


@pytest.mark.parametrize("text", [*HOSTILE, "", "Workshop", "../a", ".", "..", "-a", "_a", "a.b", "a" * 33])
def test_no_name(text):
    _refused("name", name=text)


@pytest.mark.parametrize("port", ["0", "00", "65536", "999999"])
def test_no_port(port):
    _refused("port", address=f"host:{port}")


def test_no_port_in_a_file_either():
    with misfit("port"):
        Place("workshop", "host", port=-1)


@pytest.mark.parametrize(
    "text", ["", "-c", "python3 -c", "python3;id", "$(id)", "`id`", "a'b", 'a"b', "a\nb", "a\0b", "ü", "a" * 300]
)
def test_no_python(text):
    _refused("python", python=text)


@pytest.mark.parametrize("text", ["", "a\nb", "a\0b", "a\x1bb", "a\x7fb", "a\u2028b", "\ud800", "a" * 300])
def test_no_folder(text):
    _refused("folder", folder=text)


@pytest.mark.parametrize("text", ["-oProxyCommand=id", "a\nb", "a\0b", "\ud800", "a" * 5000])
def test_no_key(text):
    _refused("key", key=text)


def test_an_unknown_field_is_no_place():
    with raises("setting-unknown", has="colour"):
        places.parsed("workshop", "host", colour="red")
    with raises("setting-wrong-type"):
        places.parsed("workshop", "host", folder=7)


@pytest.mark.parametrize(
    ("address", "user", "host", "port"),
    [
        ("gpu.example.org", "", "gpu.example.org", 0),
        ("mara@gpu", "mara", "gpu", 0),
        ("mara@192.168.1.20:2222", "mara", "192.168.1.20", 2222),
        ("mara@firm.example@gpu:22", "mara@firm.example", "gpu", 22),
        ("my_host-2:1", "", "my_host-2", 1),
        ("::1", "", "::1", 0),
        ("[::1]", "", "::1", 0),
        ("root@[2001:db8::7]:65535", "root", "2001:db8::7", 65535),
        ("fe80::1%eth0", "", "fe80::1%eth0", 0),
    ],
)
def test_addresses(address, user, host, port):
    place = places.parsed("workshop", address)
    assert (place.user, place.host, place.port) == (user, host, port)
    again = places.parsed("workshop", place.address())
    assert again == place


def test_what_is_usual_is_taken(tmp_path):
    folders = ("sameface", "/data/Bilder ü/same face", "~/x", "a'b\"c*[d]", "名前")
    for folder in folders:
        for python in ("python3", "/opt/py 3".replace(" ", ""), "~/venv/bin/python3.11", "python3.11+"):
            place = places.parsed("w-1_a", "host", folder=folder, python=python, key="/home/mara/my keys/id_ed25519")
            places.save(tmp_path, place)
            assert places.load(tmp_path) == [place]


def test_round_trips(tmp_path):
    assert places.load(tmp_path) == []
    one, other = Place("b", "host", "mara", 22, "/key", "f ü", "python3.12", MACHINE), Place("a", "::1")
    places.save(tmp_path, one)
    places.save(tmp_path, other)
    assert places.load(tmp_path) == [other, one]
    assert places.find(tmp_path, "b") == one
    places.save(tmp_path, replace(one, folder="elsewhere"))
    assert places.find(tmp_path, "b").folder == "elsewhere"
    assert places.remove(tmp_path, "b").name == "b"
    assert places.load(tmp_path) == [other]


def test_what_was_found_there_is_kept_for_a_known_place_alone(tmp_path):
    place = Place("a", "host")
    assert places.checked(tmp_path, place, MACHINE).machine == MACHINE
    assert places.load(tmp_path) == []
    places.save(tmp_path, place)
    places.checked(tmp_path, place, MACHINE)
    assert places.find(tmp_path, "a").machine == MACHINE


def test_the_host_key_goes_with_the_address(tmp_path):
    place = Place("a", "host", port=22)
    places.save(tmp_path, place)
    key = places.known_hosts(tmp_path, place)
    key.parent.mkdir(parents=True)
    key.write_text("pinned")
    places.save(tmp_path, replace(place, user="mara", folder="elsewhere", machine=MACHINE))
    assert key.is_file()
    places.save(tmp_path, replace(place, host="other"))
    assert not key.exists()
    key.write_text("pinned")
    places.remove(tmp_path, "a")
    assert not key.exists()


def test_where_to_train(tmp_path):
    assert places.named(tmp_path, "") is None
    assert places.named(tmp_path, "local") is None
    places.save(tmp_path, Place("a", "host"))
    assert places.named(tmp_path, "ssh:a") == Place("a", "host")
    with raises("place-unknown", has="a"):
        places.named(tmp_path, "a")
    with raises("place-not-found", has=("b", "a")):
        places.named(tmp_path, "ssh:b")
    with raises("place-not-found") as caught:
        places.remove(tmp_path, "x\ny")
    assert caught.value.field == "on"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", "json-invalid"),
        (b"{", "json-invalid"),
        (b"\xff\xfe", "json-invalid"),
        (b"[" * 100_000, "json-invalid"),
        (b"[]", "places-damaged"),
        (b"{}", "places-damaged"),
        (b'{"places": {}}', "places-damaged"),
        (b'{"places": [7]}', "settings-not-a-table"),
        (b'{"places": [{"name": "a"}]}', "setting-missing"),
        (b'{"places": [{"name": "a", "host": "-oProxyCommand=id"}]}', "setting-invalid"),
        (b'{"places": [{"name": "a", "host": "h", "python": "x;id"}]}', "setting-invalid"),
        (b'{"places": [{"name": "a", "host": 7}]}', "setting-wrong-type"),
        (b'{"places": [{"name": "a", "host": "h", "machine": {"cores": "many"}}]}', "setting-wrong-type"),
        (b'{"places": [{"name": "a", "host": "h", "more": 1}]}', "setting-unknown"),
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path, text, code):
    path = tmp_path / "places.json"
    path.write_bytes(text)
    with raises(code, has=path.name):
        places.load(tmp_path)
    for use in (lambda: places.save(tmp_path, Place("b", "h")), lambda: places.remove(tmp_path, "a")):
        with pytest.raises(UserError):
            use()
    assert path.read_bytes() == text  # what may be mended by hand is not written over


def test_the_file_can_be_read_by_people(tmp_path):
    places.save(tmp_path, Place("a", "host", folder="ü"))
    stored = json.loads((tmp_path / "places.json").read_text(encoding="utf-8"))
    assert stored["places"][0]["folder"] == "ü"
