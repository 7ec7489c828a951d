"""The wheel that is made here is the same bytes each time, holds what training needs, and pip takes it."""

import base64
import csv
import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from faults import raises

import lib_lora
from lib_lora.remote import installation, transfers
from lib_lora.remote.installation import Wheel, built, install
from lib_lora.remote.places import Place
from lib_lora.setup import environment

pytestmark = pytest.mark.once("a wheel is made by the standard library alone")
ROOT = Path(lib_lora.__file__).parent
PLACE = Place("workshop", "gpu")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return built(tmp_path_factory.mktemp("data"))


@pytest.fixture
def package(tmp_path):
    """A small package."""
    folder = tmp_path / "source" / "lib_lora"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("x = 1\n")
    (folder / "data ü.txt").write_text("ü", encoding="utf-8")
    for left_out in ("__pycache__", "bundled", "sub/__pycache__"):
        (folder / left_out).mkdir(parents=True)
        (folder / left_out / "a.pyc").write_bytes(b"x")
        (folder / left_out / "picture.jpg").write_bytes(b"x")
    return folder


def _names(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return archive.namelist()


def test_the_same_code_gives_the_same_bytes(wheel, tmp_path, package):
    again = built(tmp_path)
    assert again.sha256 == wheel.sha256
    assert again.path.read_bytes() == wheel.path.read_bytes()
    assert hashlib.sha256(wheel.path.read_bytes()).hexdigest() == wheel.sha256
    one = built(tmp_path, package)
    (package / "__init__.py").touch()  # other times
    (package / "__pycache__" / "more.pyc").write_bytes(b"y")
    assert built(tmp_path, package) == one
    (package / "__init__.py").write_text("x = 2\n")
    other = built(tmp_path, package)
    assert other.sha256 != one.sha256
    assert other.path.name != one.path.name  # else pip would keep the old one
    assert one.path.is_file()


def test_a_wheel_that_was_cut_off_is_made_anew(tmp_path, package):
    one = built(tmp_path, package)
    content = one.path.read_bytes()
    one.path.write_bytes(content[:-10])
    assert built(tmp_path, package) == one
    assert one.path.read_bytes() == content


def test_what_it_holds(wheel, tmp_path, package):
    names = _names(wheel.path)
    assert len(names) == len(set(names))
    assert "lib_lora/__main__.py" in names
    for data in ("captions/first_names.txt", "likeness/report/templates", "faces/models"):
        assert any(name.startswith(f"lib_lora/{data}") for name in names), data
    assert not [
        name for name in names if "bundled" in name.split("/") or "__pycache__" in name or name.endswith(".pyc")
    ]
    assert all(name.startswith(("lib_lora/", "sameface-")) for name in names)
    source = {path.relative_to(ROOT.parent).as_posix() for path in ROOT.rglob("*.py") if "bundled" not in path.parts}
    assert source <= set(names)
    small = {name for name in _names(built(tmp_path, package).path) if name.startswith("lib_lora/")}
    assert small == {"lib_lora/__init__.py", "lib_lora/data ü.txt"}
    text = b"".join(zipfile.ZipFile(wheel.path).read(name) for name in names if name.startswith("sameface-"))
    assert str(ROOT).encode() not in text


def test_its_metadata(wheel):
    with zipfile.ZipFile(wheel.path) as archive:
        info = next(name.partition("/")[0] for name in archive.namelist() if name.startswith("sameface-"))
        metadata = archive.read(f"{info}/METADATA").decode()
        record = list(csv.reader(io.StringIO(archive.read(f"{info}/RECORD").decode())))
        contents = {name: archive.read(name) for name in archive.namelist()}
    lines = metadata.splitlines()
    needed = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    assert needed == environment.needed()
    assert any(line.startswith("torch") for line in environment.needed())
    version = next(line.removeprefix("Version: ") for line in lines if line.startswith("Version: "))
    assert version.startswith(f"{lib_lora.__version__}+")
    assert wheel.path.name == f"sameface-{version}-py3-none-any.whl"
    assert {row[0] for row in record} == set(contents)
    for name, digest, size in record:
        if name.endswith("/RECORD"):
            assert (digest, size) == ("", "")
            continue
        sha = base64.urlsafe_b64encode(hashlib.sha256(contents[name]).digest()).rstrip(b"=").decode()
        assert (digest, int(size)) == (f"sha256={sha}", len(contents[name]))


def test_pip_installs_it(wheel, tmp_path):
    env = tmp_path / "env ü"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(env)], check=True)
    python = str(environment.python_of(env))
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*pip, str(wheel.path)], check=True)
    code = "import lib_lora, importlib.metadata as m; print(lib_lora.__file__); print(m.version('sameface'))"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    file, version = done.stdout.splitlines()
    assert Path(file).is_relative_to(env)
    assert f"sameface-{version}-" in wheel.path.name
    needed = "from lib_lora.setup import environment; print(environment.needed())"
    done = subprocess.run([python, "-I", "-c", needed], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == str(environment.needed())  # so it can send itself on to another place


def test_a_package_that_cannot_be_kept(tmp_path, package):
    (tmp_path / "remote").write_text("")
    with raises(("file-inaccessible", "file-missing"), has=tmp_path):
        built(tmp_path, package)


# ------------------------------------------------------------------------------------------ installing


class There:
    """A connection to a place on which an installation goes through these states."""

    def __init__(self, *states):
        self.place, self.states, self.asked = PLACE, list(states), []

    def ask(self, what, **fields):
        self.asked.append(what)
        if what == "installed":
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            return {"state": state[0], "said": state[1]} if isinstance(state, tuple) else state
        return {}


@pytest.fixture
def some(tmp_path, monkeypatch):
    monkeypatch.setattr(installation, "_POLL", 0.0)
    monkeypatch.setattr(transfers, "send", lambda connection, files, **options: connection.asked.append("send"))
    path = tmp_path / "a.whl"
    path.write_bytes(b"wheel")
    return Wheel(path, hashlib.sha256(b"wheel").hexdigest())


def test_what_is_there_is_not_sent_again(some):
    there = There(("ready", ""))
    install(there, some, [].append)
    assert there.asked == ["installed"]


def test_it_is_sent_installed_and_waited_for(some):
    there, said = There(("none", ""), ("running", "Collecting torch\x1b[0m"), ("running", ""), ("ready", "")), []
    install(there, some, said.append)
    assert there.asked == ["installed", "send", "install", *["installed"] * 3]
    assert "Collecting torch" in said[0]
    assert all(one.isprintable() and "workshop" in one for one in said)


def test_waiting_can_be_stopped(some, monkeypatch):
    monkeypatch.setattr(installation, "_POLL", 5.0)
    with raises("installation-stopped"):
        install(There(("none", ""), ("running", "")), some, [].append, lambda: True)


@pytest.mark.parametrize(
    ("said", "code", "names"),
    [
        ("The environment was not created: ensurepip is not available.", "remote-install-failed", "python3-venv"),
        ("/usr/bin/python3: No module named venv", "remote-install-failed", "python3-venv"),
        ("/x/python: No module named pip", "remote-install-failed", "python3-venv"),
        ("ERROR: Could not install packages: [Errno 28] No space left on device", "remote-install-failed", "free some"),
        ("a\nERROR: No matching distribution found for torch>=2\nnotice: x\n", "remote-install-failed", "torch>=2"),
        ("", "remote-install-failed", "nothing"),
        ("\x1b[31mERROR: red\n" + "x" * 9000, "remote-install-failed", "gpu"),
    ],
)
def test_why_it_failed(some, said, code, names):
    with raises(code, has=(names, "gpu"), place="workshop") as caught:
        install(There(("none", ""), ("failed", said)), some, [].append)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_one_that_ended_without_a_word(some):
    with raises("remote-install-vanished", has="gpu"):
        install(There(("none", ""), ("running", ""), ("none", "")), some, [].append)
    with raises("remote-install-full", has=("disk", "gpu")):
        install(There(("none", ""), ("none", "OSError: [Errno 28] No space left on device")), some, [].append)


NO_STATES = (None, [], "ready", {}, {"state": "ready"}, {"state": 7, "said": ""}, {"state": "x", "said": ""})


@pytest.mark.parametrize("answer", NO_STATES)
def test_what_is_no_state(some, answer):
    with raises("remote-answer-unreadable", place="workshop"):
        install(There(answer), some, [].append)
