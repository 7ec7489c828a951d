"""``try``: the whole job on what comes with the source."""

import pytest

from lib_lora.errors import UserError
from lib_lora.jobs import demo
from lib_lora.training.run import load_run


def test_try_does_the_whole_job(main, fake_painter, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(demo.webbrowser, "open", opened.append)
    root = tmp_path / "Versuch ü"
    said = main("try", "--data", root, "--steps", "1")
    assert said.status == 0, said.err
    assert "24 photos added" in said.out
    names = [f"mara-001-000001{end}" for end in (".json", ".png", ".safetensors")]
    assert sorted(path.name for path in (root / "out").iterdir()) == names
    run = load_run(root / "characters" / "mara" / "runs" / "001")
    assert run.file.settings.preset == "mini-face"
    report = run.folder / "grids" / "001" / "report.html"
    assert report.is_file()
    assert str(report) in said.out
    assert opened == []  # nobody sits at a pipe


@pytest.mark.parametrize(("screen", "arguments", "count"), [(True, [], 1), (True, ["--no-open"], 0), (False, [], 0)])
def test_the_report_is_opened_at_a_screen_only(main, fake_painter, tmp_path, monkeypatch, screen, arguments, count):
    opened = []
    monkeypatch.setattr(demo.webbrowser, "open", opened.append)
    monkeypatch.setattr(demo, "_at_a_screen", lambda: screen)
    said = main("try", "--data", tmp_path / "a b", "--steps", "1", *arguments)
    assert said.status == 0, said.err
    assert len(opened) == count
    assert all(
        one.startswith("file:///") and one.endswith("a%20b/characters/mara/runs/001/grids/001/report.html")
        for one in opened
    )


@pytest.mark.parametrize("missing", ["mini-face", "personas"])
def test_an_installed_package_says_what_is_missing(tmp_path, monkeypatch, missing):
    data = tmp_path / "tests" / "data"
    (data / "personas" / "mara").mkdir(parents=True)
    (data / "mini-face").mkdir()
    (data / "mini-face" / "mini-face.safetensors").touch()
    (data / missing).rename(tmp_path / "elsewhere")
    monkeypatch.setattr(demo, "_SOURCE", tmp_path)
    with pytest.raises(UserError, match="`try` needs SameFace's source folder"):
        demo.try_it(tmp_path / "data", 1)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("steps", ["0", "-1", "many"])
def test_steps_are_checked(main, steps, tmp_path):
    with pytest.raises(SystemExit) as caught:
        main("try", "--data", tmp_path, f"--steps={steps}")
    assert caught.value.code == 2
