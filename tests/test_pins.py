"""What the run on A1111's exact versions must repeat, and what it may leave out (tests/helpers/pins.py)."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pins
import pytest

once = pytest.mark.once("how the tests are chosen is ours")
TESTS = Path(__file__).resolve().parent
IMPORTS = """
import importlib, sys
from pathlib import Path
names = [".".join(path.with_suffix("").parts) for path in Path("lib_lora").rglob("*.py") if path.stem != "__main__"]
for name in sorted(name.removesuffix(".__init__") for name in names):
    importlib.import_module(name)
print(len(names))
"""


@once
def test_the_versions_that_are_held() -> None:
    assert pins.pinned() >= {"torch", "diffusers", "peft", "transformers", "accelerate", "gradio", "fastapi", "PIL"}
    assert pins.pinned() >= {"numpy", "safetensors", "cv2", "open_clip"}
    assert pins.pinned().isdisjoint({"pytest", "hypothesis", "scipy", "tqdm", "filelock"})


@once
@pytest.mark.parametrize(
    "name",
    [
        "training/test_loop.py",  # torch
        "models/test_load.py",  # diffusers, transformers
        "lora/test_lora_adapter.py",  # peft
        "ui/test_page_app.py",  # gradio
        "ui/conftest.py",  # fastapi, for every test that has its `page`
        "photos/test_photo_import.py",  # Pillow
        "likeness/test_robust_mean.py",  # NumPy
        "faces/engines/test_face_engine.py",  # OpenCV
        "workflows/train/test_main_job.py",
        "helpers/trainings/toy_fixtures.py",
        "test_pins.py",
    ],
)
def test_it_is_run_again_where_a_library_is_called(name: str) -> None:
    assert pins.touches(TESTS / name)


@once
@pytest.mark.parametrize("name", ["queue/test_queue.py", "setup/test_bootstrap.py", "captions/test_phrases.py"])
def test_it_is_not_where_none_is(name: str) -> None:
    assert not pins.touches(TESTS / name)


@once
@pytest.mark.parametrize("name", ["benchmarks/test_bench_race.py", "tools_mini/test_mini_training.py"])
def test_what_comes_beside_the_program_needs_the_newest_versions_only(name: str) -> None:
    assert pins.of_tools(TESTS / name)


@pytest.fixture(scope="module")
def left_out() -> list[Path]:
    return pins.left_out()


@once
@pytest.mark.parametrize(
    ("name", "imported"),
    [
        ("training/test_loop.py", True),
        ("workflows/library/test_usable_models.py", True),  # for the `page` of tests/ui, which this name may mean
        ("webui/test_running.py", False),
        ("browser/test_forms.py", False),  # all of it is marked `once`
        ("benchmarks/test_bench_race.py", False),
    ],
)
def test_a_file_is_not_even_imported_where_nothing_in_it_can_meet_a_library(
    left_out: list[Path], name: str, imported: bool
) -> None:
    assert (TESTS / name not in left_out) == imported


@once
@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("def test_it(page): ...", {"page"}),
        ("def helper(page): ...", set()),
        ("@pytest.fixture\ndef made(toy): ...", {"toy"}),
        ("@pytest.mark.usefixtures('toy')\ndef test_it(): ...", {"toy"}),
        ("def test_it(request):\n    request.getfixturevalue(name)", {"request", "?"}),
    ],
)
def test_the_fixtures_that_a_file_names(text: str, asked: set[str]) -> None:
    assert set(pins._asked(ast.parse(text))) == asked
    assert pins._meeting_fixtures()[0] >= {"page", "toy", "trained", "?"}  # `trained` through another fixture


def test_source_in_strings_and_helpers_count(tmp_path: Path) -> None:
    """A process that a test starts, a module that it patches by name, and what a helper imports."""
    for number, text in enumerate(
        ("CODE = '''\nimport torch\n'''", 'NAME = "lib_lora.models.load.load_vae"', "import toys")
    ):
        file = tmp_path / f"test_{number}.py"
        file.write_text(text, encoding="utf-8")
        assert pins.touches(file), text
    plain = tmp_path / "test_plain.py"
    plain.write_text(
        '"""We import nothing but torches."""\nimport json\nfrom lib_lora import errors\n', encoding="utf-8"
    )
    assert not pins.touches(plain)


def test_every_module_can_be_imported_with_these_versions() -> None:
    """With what it imports at once; Python's syntax of this version too. What runs on demand, the tests run."""
    code = IMPORTS.strip()
    environment = {**os.environ, "PYTHONPATH": str(pins.ROOT), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=pins.ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 250
