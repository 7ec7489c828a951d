"""``try``: the whole job on what comes with the source, and plain words about what it is worth."""

import pytest

from lib_lora.errors import UserError
from lib_lora.jobs import demo
from lib_lora.models.family import identify


def test_try_does_the_whole_job(main, fake_painter, tmp_path):
    root = tmp_path / "Versuch ü"
    said = main("try", "--data", root, "--steps", "1")
    assert said.status == 0, said.err
    assert "A toy paints noise" in said.out
    assert "24 photos added" in said.out
    assert "NO VERDICT" in said.out or "NO FACE" in said.out  # a toy paints none, whatever the photos
    names = [f"mara-001-000001{end}" for end in (".json", ".png", ".safetensors")]
    assert sorted(path.name for path in (root / "out").iterdir()) == names
    assert identify(root / "toy-sd15.safetensors").family == "sd1"
    assert not list(root.glob("*.tmp"))


def test_a_toy_that_was_cut_off_is_not_taken_for_whole(main, tmp_path, monkeypatch):
    class Cut:
        def write_toy(self, kind, path):
            path.parent.mkdir(parents=True)
            path.write_bytes(b"half a toy")
            raise KeyboardInterrupt

    monkeypatch.setattr(demo, "_toys", Cut)
    assert main("try", "--data", tmp_path / "data").status == 130
    assert not (tmp_path / "data" / "toy-sd15.safetensors").exists()


def test_an_installed_package_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "_SOURCE", tmp_path)
    with pytest.raises(UserError, match="`try` needs SameFace's source folder"):
        demo.try_it(tmp_path / "data", 1)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("steps", ["0", "-1", "many"])
def test_steps_are_checked(main, steps, tmp_path):
    with pytest.raises(SystemExit) as caught:
        main("try", "--data", tmp_path, f"--steps={steps}")
    assert caught.value.code == 2
