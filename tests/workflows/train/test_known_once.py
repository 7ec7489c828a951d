"""A run carries what is known: in a whole main job the checkpoint is looked at once, and each photo read once for its
digest."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from lib_lora import files
from lib_lora.models.families import identify as identify_module
from lib_lora.models.reading import file_hashes
from lib_lora.photos.importing import photo_import
from lib_lora.workflows.train import prepare

pytestmark = pytest.mark.once("how often it is asked is ours")


def _counted(monkeypatch, module, name, counts, key=lambda path, *_: Path(path).name):
    real = getattr(module, name)

    def counting(*arguments, **options):
        counts[key(*arguments)] += 1
        return real(*arguments, **options)

    monkeypatch.setattr(module, name, counting)


@pytest.mark.usefixtures("fake_painter")
def test_nothing_is_found_out_twice(main, quick, toy, some_photos, tmp_path, monkeypatch):
    base, photos = tmp_path / "base.safetensors", some_photos("mara", 3)
    shutil.copy(toy("sd1"), base)
    looked, hashed, imported, of_base, planned, converted = (Counter() for _ in range(6))
    _counted(monkeypatch, identify_module, "open_tensors", looked)
    _counted(monkeypatch, files, "sha256", hashed)
    _counted(monkeypatch, file_hashes, "sha256", of_base)
    _counted(monkeypatch, photo_import, "_sha256", imported, lambda stream: Path(stream.name).name)
    _counted(monkeypatch, prepare, "settings_for", planned, lambda *_: "plan")
    given = lambda name, family, overrides=None: "the request's" if overrides else "the preset's own"  # noqa: E731
    _counted(monkeypatch, prepare, "preset", converted, given)
    options = ["--name", "Mara", "--trigger", "mrxa", "--class", "woman", "--consent", "fictional", "--steps", "1"]
    said = main("run", photos, *options, "--base", base, "--out", tmp_path / "out", "--data", tmp_path / "data",
                "--grid-steps", "1", *quick)  # fmt: skip
    assert said.status == 0, said.err
    assert looked == {base.name: 1}
    assert of_base == {base.name: 1}
    assert planned == {"plan": 1}
    assert converted["the request's"] == 1  # from a dict to settings
    names = {photo.name for photo in photos.iterdir()}
    assert imported == dict.fromkeys(names, 1)
    assert {name: count for name, count in hashed.items() if name in names} == {}  # known from the import
