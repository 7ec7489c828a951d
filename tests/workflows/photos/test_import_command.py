"""The command `import` while it works: it says which picture it looks at, and Ctrl+C keeps what was taken in."""

import json

import planted
import pytest

from lib_lora.character.store import Character, create
from lib_lora.photos.importing import photo_import
from lib_lora.workflows.train import progress


@pytest.fixture
def heap(tmp_path):
    create(tmp_path / "data", Character("Mara", "mrxa", "woman"))
    made = tmp_path / "heap"
    made.mkdir()
    for number, path in enumerate(planted.portraits("mara")[:3]):
        (made / f"{number}.jpg").write_bytes(path.read_bytes())
    return made


def test_ctrl_c_has_a_status_of_its_own(main, heap, tmp_path, monkeypatch):
    real, seen = photo_import.read_photo, []

    def read(*args):
        seen.append(args)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(photo_import, "read_photo", read)
    said = main("import", "Mara", heap, "--data", tmp_path / "data")
    assert said.status == 130
    assert said.out.startswith("1 photo added.\nStopped before")
    said = main("import", "Mara", heap, "--data", tmp_path / "data", "--json")
    values = json.loads(said.out)
    assert (said.status, values["known"], values["added"], values["stopped"]) == (0, 1, ["1.jpg", "2.jpg"], False)


def test_a_log_gets_a_line_now_and_then(main, heap, tmp_path, monkeypatch):
    assert main("import", "Mara", heap / "0.jpg", "--data", tmp_path / "data").err == ""
    monkeypatch.setattr(progress, "PAUSE", 0.0)
    said = main("import", "Mara", heap, "--data", tmp_path / "data")
    assert said.err.splitlines() == [f"photo {number} of 3: {number - 1}.jpg" for number in (1, 2, 3)]
