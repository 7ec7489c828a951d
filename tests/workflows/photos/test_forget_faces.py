"""After `forget`, by the command or by the page, nothing computed of a face is left; a scan that finds such things."""

import base64
import io
import json
import re
import shutil

import numpy as np
import planted
import pytest
import torch
from PIL import Image, UnidentifiedImageError
from safetensors.torch import save_file

from lib_lora.character.store import Character, create, declare_consent
from lib_lora.likeness.report import report_html
from lib_lora.photos.audit import audit_store
from lib_lora.training.data.encoding_cache import cached
from lib_lora.workflows.photos import audit_command
from lib_lora.workflows.photos.audit_command import run_audit
from lib_lora.workflows.photos.audit_photos import Choices
from lib_lora.workflows.photos.character_template import template_of
from lib_lora.workflows.photos.forget_faces import forget_faces
from lib_lora.workspace.workspace import Workspace

NAME = "Lena ü"
USERS = ("photos", "sheets", "invented", "runs")  # folders of what the user brought or made
NUMBERS = 64  # so many in a row are a vector of something
MEASURED = re.compile(r'"(yaw|pitch|roll|expression|embedding|crop|likeness|face|faces|sharpness|blur)"')


def found_in(folder):
    """The files in a character's folder, outside of `USERS`, that hold pictures, vectors or measurements."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    ours = [path for path in files if path.relative_to(folder).parts[0] not in USERS]
    return {path.name for path in ours if tells_of_a_face(path.read_bytes())}


def tells_of_a_face(content):
    if is_picture(content) or has_binary_numbers(content):
        return True
    text = content.decode("utf-8", "replace")
    numbers = r"-?\d+\.\d+(e-?\d+)?"
    if re.search(rf"({numbers}[\s,;]+){{{NUMBERS},}}", text) or MEASURED.search(text):
        return True
    return any(
        is_picture(raw) or len(raw) >= 4 * NUMBERS
        for code in re.findall(r"[A-Za-z0-9+/=_-]{80,}", text)
        if (raw := decoded(code))
    )


def decoded(code):
    try:
        return base64.b64decode(code.rstrip("=") + "=" * (-len(code.rstrip("=")) % 4), altchars=b"-_")
    except ValueError:
        return b""


def is_picture(content):
    try:
        with Image.open(io.BytesIO(content)):
            return True
    except (UnidentifiedImageError, OSError, ValueError):
        return False


def has_binary_numbers(content):
    """A file that is no text, and as long as a vector."""
    return b"\0" in content and len(content) >= 4 * NUMBERS


def small_picture(kind):
    stream = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        small_picture("JPEG"),
        small_picture("PNG"),
        b'<img src="data:image/jpeg;base64,' + base64.b64encode(small_picture("JPEG")) + b'">',
        b'{"v": "' + base64.b64encode(np.random.default_rng(1).random(128, np.float32).tobytes()) + b'"}',
        json.dumps({"v": np.random.default_rng(1).normal(size=128).tolist()}).encode(),
        json.dumps({"v": np.random.default_rng(1).normal(size=128).tolist()}, indent=2).encode(),
        np.random.default_rng(1).random(128, np.float32).tobytes() + b"\0",
        json.dumps({"photo": {"yaw": 12.5}}).encode(),
    ],
    ids=["jpeg", "png", "page", "base64", "numbers", "lines of numbers", "binary", "measured"],
)
def test_the_scan_finds_what_is_planted(tmp_path, content):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "text.json").write_text(json.dumps({"headline": "30 good", "sha256": "ab" * 32}))
    assert found_in(tmp_path) == set()
    (tmp_path / "cache" / "planted").write_bytes(content)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "own.jpg").write_bytes(small_picture("JPEG"))
    assert found_in(tmp_path) == {"planted"}


@pytest.mark.once("which files are deleted is ours")
def test_nothing_computed_of_a_face_is_left(tmp_path, eye):
    folder = create(tmp_path, Character(NAME, "lenx", "woman", declare_consent("fictional")))
    for photo in planted.portraits("lena")[:9]:
        shutil.copy(photo, folder.photos)
    run_audit(tmp_path, NAME, choices=Choices(drop=["03.jpg"]), engine=eye)
    template_of(folder, eye)
    cached(folder.cache / "latents", ("x",), lambda: {"mean": torch.ones(4, 16, 16)})
    (folder.cache / "thumbnails" / "abc.jpg.123.tmp").write_bytes(small_picture("JPEG"))  # of a killed process
    save_file({"v": torch.ones(128)}, str(folder.cache / "template-other.safetensors"))
    page = folder.runs / "001" / "grids" / "001" / "report.html"
    page.parent.mkdir(parents=True)
    picture = base64.b64encode(small_picture("JPEG")).decode()
    page.write_text(
        f'<p>Kept.{report_html.PHOTO}<img src="data:image/jpeg;base64,{picture}">{report_html.END}</p>',
        encoding="utf-8",
    )
    before = found_in(folder.path)
    assert {"audit.json", "audit.html", "audit.png"} <= before
    assert any(name.startswith("template-") for name in before)
    decisions = audit_store.load(folder).decisions
    photos = {path.name: path.read_bytes() for path in folder.photos.iterdir()}

    gone = forget_faces(folder)
    assert found_in(folder.path) == set()
    assert "audit.html" in gone
    assert "audit.json" in gone
    assert "runs/001/grids/001/report.html" in gone
    assert page.read_text(encoding="utf-8") == "<p>Kept.</p>"
    assert {path.name: path.read_bytes() for path in folder.photos.iterdir()} == photos
    assert audit_store.load(folder).decisions == decisions != {}
    assert forget_faces(folder) == []


def test_what_is_forgotten_while_an_audit_ends_is_not_drawn_again(tmp_path, eye, monkeypatch):
    folder = create(tmp_path, Character(NAME, "lenx", "woman", declare_consent("fictional")))
    for photo in planted.portraits("lena")[:9]:
        shutil.copy(photo, folder.photos)
    audit = audit_command.audit_photos

    def then_forgotten(*arguments):
        found = audit(*arguments)
        forget_faces(folder)
        return found

    monkeypatch.setattr(audit_command, "audit_photos", then_forgotten)
    audit_command.run_audit(tmp_path, NAME, engine=eye)
    assert found_in(folder.path) == set()


@pytest.mark.once("which files are deleted is ours")
def test_the_command_and_the_route_are_one(main, tmp_path, eye):
    folder = create(tmp_path, Character(NAME, "lenx", "woman", declare_consent("fictional")))
    for photo in planted.portraits("lena")[:9]:
        shutil.copy(photo, folder.photos)
    run_audit(tmp_path, NAME, engine=eye)
    said = main("forget", NAME, "--data", tmp_path)
    assert said.status == 0, said.err
    assert "files with what was computed from the face" in said.out
    assert found_in(Workspace(tmp_path).character(NAME).path) == set()
    assert "is stored" in main("forget", NAME, "--data", tmp_path).out
    assert main("forget", "nobody", "--data", tmp_path).code == "character-not-found"
