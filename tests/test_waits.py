"""Commands that do not train load nothing that takes seconds: counted in modules, since seconds are the machine's."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lib_lora.__main__ import LIBRARY_TESTS

ROOT = Path(__file__).parents[1]
MARA = ROOT / "tests" / "data" / "personas" / "mara"
SLOW = ("torch", "torchvision", "transformers", "diffusers", "accelerate", "peft", "open_clip", "gradio", "fastapi")
HEAVY = (*SLOW, "numpy", "scipy", "cv2", "PIL", "jinja2", "safetensors", "tokenizers", "ftfy", "regex", "psutil")
_RUN = """
import contextlib, io, json, sys
from lib_lora.setup import bootstrap
from lib_lora.__main__ import main
bootstrap.enter = lambda *_, **__: None  # `ui` and `try` would make an environment where gradio is lacking
commands, heavy = json.load(sys.stdin)
if not commands:
    from lib_lora.cli import parsers
    names = parsers()[1]
    commands = [["--help"], *([name, "--help"] for name in names)]
found = []
for command in commands:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            code = main(command)
        except SystemExit as end:
            code = end.code
    found.append([command, code, sorted(name for name in heavy if name in sys.modules), said.getvalue()])
print(json.dumps(found))
"""


def _run(commands: list[list[str]], heavy: tuple[str, ...], data: Path) -> list[Any]:
    """For each command, one after another in one process: itself, its exit code, what is loaded, what it said."""
    asked, environment = json.dumps([commands, heavy]), {**os.environ, "SAMEFACE_DATA": str(data), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _RUN], cwd=ROOT, env=environment, input=asked, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def test_help_is_only_text(tmp_path):
    found = _run([], HEAVY, tmp_path)
    assert len(found) > 20
    assert ["trigger", "--help"] in [command for command, *_ in found]
    for command, code, loaded, said in found:
        assert (command, code, loaded) == (command, 0, [])
        assert said.startswith("usage: sameface")


def test_commands_that_only_look_and_write_load_no_torch(tmp_path):
    photos = [str(MARA / f"{n:02d}.jpg") for n in range(12)]
    for place, photo in enumerate(photos[:10]):
        (tmp_path / "ab"[place % 2]).mkdir(exist_ok=True)
        shutil.copy(photo, tmp_path / "ab"[place % 2])
    commands = [
        ["new", "mara", "--trigger", "mrxa", "--class", "woman", "--photos", *photos[5:]],
        ["consent", "mara", "fictional"],
        ["import", "mara", photos[0]],
        ["caption", "mara", "--add", "smile"],
        ["caption", "mara"],
        ["trigger", "mrxa"],
        ["trigger", "--for", "mara"],
        ["audit", "mara"],
        ["audit", "mara"],
        ["caption", "mara", "--fill"],
        ["score", "mara", *photos[:2]],
        ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--character", "mara"],
        ["forget", "mara"],
    ]
    for command, code, loaded, said in _run(commands, SLOW, tmp_path / "data"):
        assert (command, loaded) == (command, [])
        expected = 1 if command == ["trigger", "mrxa"] else 4 if command[0] == "score" else 0  # taken; too few pictures
        assert code == expected, said


@pytest.mark.parametrize("policy", ["", "ACTIVE"])
def test_threads_that_wait_soon_sleep_unless_the_user_says_how(policy):
    """Set before anything loads torch, which reads it once."""
    code = "import os, sys; from lib_lora.__main__ import main\n"
    code += "try:\n    main(['--version'])\nexcept SystemExit:\n    pass\n"
    code += "print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_", "KMP_"))}
    variables |= {"PYTHONPATH": str(ROOT), **({"OMP_WAIT_POLICY": policy} if policy else {})}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{None if policy else 20000} False"


def test_the_tests_of_one_library_load_it_when_they_run():
    """Each worker imports every file of tests: what few of them need, they import in the test or its fixture."""
    loads = re.compile(r"^(?:import|from) (?:gradio|open_clip|lib_lora\.ui\.page\.tab)\b", re.MULTILINE)
    alone = {ROOT / name for name in LIBRARY_TESTS}  # the main set does not collect them
    files = set((ROOT / "tests").rglob("test_*.py")) - alone
    assert len(files) > 300
    assert [path.name for path in sorted(files) if loads.search(path.read_text(encoding="utf-8"))] == []
