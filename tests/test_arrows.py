"""Who may import whom (docs/architecture.md), held by reading every import statement; nothing is executed.

Rooms stand on floors. An import goes down, never up and never sideways. `workspace`, which says where everything lies
in a data folder, is among the lowest, since all rooms that touch the disk must agree on that. Webui modules are the
business of `hosts`; and what the tab touches loads no torch, not even through a third module, so that a broken torch
cannot make the tab vanish.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from import_graph import Import, imports_of, module_name

pytestmark = pytest.mark.once("the source is read, and nothing of it executed")
PACKAGE = Path(__file__).resolve().parent.parent / "lib_lora"
HELPERS = Path(__file__).resolve().parent / "helpers"
BENCHES = PACKAGE.parent / "bench"

FLOOR = {"errors", "files", "file_permissions", "typed_settings", "pages", "pictures", "job_host", "messages"}
FLOOR |= {"provenance"}
BELOW = {"workspace", "character", "faces", "clip", "models", "lora"}  # workspace: names of files, so that all agree
MIDDLE = {
    "photos",
    "captions",
    "training",
    "grid",
    "likeness",
    "deploy",
    "civitai",
    "remote",
    "comfyui",
    "content_credentials",
}
RUNS = {"runs"}
SETUP = ("setup.environment", "setup.package_installer")  # what other modules of that room stand on
# A module of a room may have a row of its own, by its dotted name.
MAY_IMPORT: dict[str, set[str]] = {
    **dict.fromkeys((*FLOOR, "faces", "models", "pipes", "spinner", "setup", *SETUP), FLOOR),
    "setup.bootstrap": FLOOR | {*SETUP, "spinner"},
    "setup.page_checks": {"setup.environment"},
    "setup.releases": {*SETUP},
    "setup.packages": FLOOR | {*SETUP, "setup.bootstrap"},
    "character": FLOOR | {"workspace"},
    "clip": FLOOR | {"faces", "models"},
    "lora": FLOOR | {"models"},
    **dict.fromkeys(MIDDLE, FLOOR | BELOW),
    "photos": FLOOR | BELOW | {"captions"},
    "workspace": FLOOR | {"faces"},
    "runs": FLOOR | BELOW | {"deploy", "training", "remote", "comfyui", "content_credentials"},
    "remote": FLOOR | {"workspace", "character", "setup.environment"},
    "content_credentials": FLOOR,
    "comfyui": FLOOR | {"character", "models", "remote"},
    "civitai": FLOOR | {"workspace", "models", "lora", "remote"},
    "deploy": FLOOR | BELOW | {"comfyui"},
    "queue": FLOOR | RUNS | {"workspace", "models", "setup.environment", "remote", "training"},
    "hosts": FLOOR | BELOW | MIDDLE | {"setup.environment", "setup.packages"},
    "workflows": FLOOR | BELOW | MIDDLE | RUNS | {"queue", "setup.environment"},
    "ui": FLOOR
    | BELOW
    | MIDDLE
    | RUNS
    | {"queue", "workflows", "hosts", "guard", "setup.environment", "setup.packages"},
    "guard": FLOOR | BELOW | MIDDLE | RUNS | {"workflows", "hosts"},
    "cli": FLOOR | BELOW | MIDDLE | RUNS | {"queue", "workflows", "hosts", "ui", "spinner"},
    "__main__": FLOOR
    | {"cli", "models", "pipes", "setup.bootstrap", "setup.environment", "setup.page_checks", "setup.releases"},
}
# Rooms within a room, from the lowest to the highest: each may import those before it. "" = the modules beside them.
INNER: dict[str, tuple[str, ...]] = {
    "models": ("reading", "fast", "", "families"),
    "lora": ("", "file", "adapter"),
    "photos": ("", "importing", "audit"),
    "faces": ("", "engines"),
    "runs": ("", "records"),
    "civitai": ("api", ""),
    "hosts": ("", "webuis"),
    "cli": ("", "character", "machines"),
    "likeness": ("", "measure", "verdict", "report", "comparing"),
    "training": ("objective", "plan", "data", "identity", ""),
    "workflows": ("", "library", "photos", "judge", "combine", "train", "invent", "produce", "worker", "fleet"),
    "queue": ("", "running", "runners"),
    "remote": ("", "renting", "runpod", "ray_cluster"),
    "ui": ("", "http", "views", "routes", "page"),
}
MOST_MODULES = 15  # in one folder
LIGHT = (
    "ui",
    "hosts",
    "guard",
    "typed_settings",
    "pictures",
    "character",
    "errors",
    "files",
    "setup",
)
LIGHT += (
    "__main__",
    "cli",
    "queue",
    "workspace",
    "remote",
    "comfyui",
    "civitai",
    "runs.events",
    "training.plan",
)
# what a command loads before it has seen that its input is right
LIGHT += (
    "runs.records",
    "spinner",
    "workflows.train.main_job",
    "workflows.train.demo",
    "workflows.judge.test_grid",
)
LIGHT += ("workflows.judge.choose", "workflows.judge.compare_grids", "workflows.judge.scorer", "workflows.listing")
LIGHT += ("workflows.invent.invent", "workflows.invent.invent_more", "workflows.photos.audit_command")
LIGHT += ("workflows.photos.fill_captions", "workflows.photos.caption_commands", "workflows.photos.import_command")
LIGHT += ("lora.file.describe", "models.families.identify")
HEAVY = {"torch", "torchvision", "diffusers", "peft", "transformers", "accelerate", "open_clip", "onnxruntime", "onnx"}
HOST_MODULES = {"modules", "launch"}


def violations(package: Path) -> list[str]:
    """One sentence for each import in the package folder that the plan forbids."""
    files = {module_name(path, package): path for path in sorted(package.rglob("*.py"))}
    imports = {name: list(imports_of(path, package)) for name, path in files.items()}
    found = []
    for name in files:
        room, row = _room(name), _row(name)
        if room and room not in MAY_IMPORT:
            found.append(f"{name}: the room {room!r} is not in the plan; give it its place in MAY_IMPORT")
            continue
        for item in imports[name]:
            where = f"{name}:{item.line}"
            first, second = item.target.split(".")[0], _room(item.target)
            allowed = MAY_IMPORT.get(row, set())
            if first in HOST_MODULES and room != "hosts":
                found.append(f"{where}: only hosts may import {first}")
            elif first == package.name and second in MAY_IMPORT and not {second, _row(item.target)} & (allowed | {row}):
                found.append(f"{where}: {row or 'the package'} must not import {_row(item.target)}")
            elif first == package.name and second == room in INNER:
                found += [f"{where}: {sentence}" for sentence in _inner(room, name, item.target, files)]
        if any(name == f"{package.name}.{light}" or name.startswith(f"{package.name}.{light}.") for light in LIGHT):
            found += [f"{name} loads {' -> '.join(chain)} at import" for chain in heavy_chains(name, imports)]
    return found


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def _row(module: str) -> str:
    """The row of `MAY_IMPORT` for a module: its own, or its room's."""
    own = ".".join(module.split(".")[1:3])
    return own if own in MAY_IMPORT else _room(module)


def _inner(room: str, name: str, target: str, files: dict[str, Path]) -> list[str]:
    """Why a module of a room must not import another of the same room, if so."""

    def folder(module: str) -> str:
        parts = module.split(".")[2:]
        return parts[0] if parts and parts[0] in INNER[room] else ""

    if target not in files:
        target = target.rpartition(".")[0]  # a name in the module
    if target not in files or target.count(".") < 2:
        return []
    here, there = folder(name), folder(target)
    if name.count(".") == 1:  # the room's own __init__ puts its parts together
        return []
    if files[target].name == "__init__.py" or here == there:
        return []
    order = INNER[room]
    return [] if order.index(there) < order.index(here) else [f"{room}.{here} must not import {room}.{there}"]


def heavy_chains(
    start: str, imports: dict[str, list[Import]], heavy: Collection[str] = frozenset(HEAVY)
) -> list[list[str]]:
    """The shortest way from a module to each heavy package that importing it loads, through our own modules."""
    chains: dict[str, list[str]] = {}
    parts = start.split(".")
    seen = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}  # importing a.b.c runs a, a.b and a.b.c
    queue: list[tuple[str, list[str]]] = [(name, [name] * (name != start)) for name in sorted(seen, reverse=True)]
    while queue:
        name, way = queue.pop(0)
        for item in imports.get(name, []):
            if item.early and item.target.split(".")[0] in heavy:
                chains.setdefault(item.target.split(".")[0], [*way, item.target.split(".")[0]])
            parts = item.target.split(".") if item.early else []
            for end in range(1, len(parts) + 1):
                inner = ".".join(parts[:end])
                if inner in imports and inner not in seen:
                    seen.add(inner)
                    queue.append((inner, [*way, inner]))
    return list(chains.values())


def test_imports_follow_the_plan() -> None:
    assert violations(PACKAGE) == []


def test_a_training_without_the_identity_loss_loads_no_opencv() -> None:
    imports = {module_name(path, PACKAGE): list(imports_of(path, PACKAGE)) for path in PACKAGE.rglob("*.py")}
    for start in ("lib_lora.training.session", "lib_lora.training.loop"):
        assert heavy_chains(start, imports, {"cv2"}) == []
    assert heavy_chains("lib_lora.training.identity_loss", imports, {"cv2"}) != []


def test_the_whole_package_is_read() -> None:
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")}
    assert rooms >= {"errors", "files", "typed_settings", "setup", "__main__", "models", "lora", "training"}
    inner = {(path.parts[-3], path.parts[-2]) for path in PACKAGE.rglob("*.py") if path.parent.parent.parent == PACKAGE}
    assert inner == {(room, folder) for room, folders in INNER.items() for folder in folders if folder}


def circles(package: Path) -> list[list[str]]:
    """The groups of modules that import each other in a circle; an import anywhere in a file counts."""
    files = {module_name(path, package): path for path in sorted(package.rglob("*.py")) if path.name != "__init__.py"}
    arrows = {}
    for name, path in files.items():
        targets = {item.target for item in imports_of(path, package)}
        arrows[name] = sorted({one for one in targets if one in files} - {name})
        arrows[name] += sorted({one.rpartition(".")[0] for one in targets} & files.keys() - {name})
    with suppress(CycleError):
        TopologicalSorter(arrows).prepare()
        return []
    reach = {name: _reached(name, arrows) for name in arrows}
    groups = {tuple(sorted(one for one in reach[name] if name in reach[one])) for name in arrows if name in reach[name]}
    return [list(group) for group in sorted(groups)]


def _reached(start: str, arrows: Mapping[str, Sequence[str]]) -> set[str]:
    found: set[str] = set()
    queue = [*arrows[start]]
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            queue += arrows[name]
    return found


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles(PACKAGE) == []


def test_a_planted_circle_is_found(tmp_path: Path) -> None:
    files = {"ui/page/a.py": "from .b import c", "ui/page/b.py": "def f():\n    from lib_lora.ui.page.a import g"}
    assert circles(plant(tmp_path, {})) == []
    assert circles(plant(tmp_path, files)) == [["lib_lora.ui.page.a", "lib_lora.ui.page.b"]]


def test_every_folder_is_small_enough_to_look_over() -> None:
    counts = Counter(path.parent for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
    assert {str(folder): count for folder, count in counts.items() if count > MOST_MODULES} == {}


def test_no_two_modules_have_one_name() -> None:
    counts = Counter(path.name for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
    assert [name for name, count in counts.items() if count > 1] == []


def classes_of_one_name(*folders: Path) -> dict[str, list[str]]:
    """Names that more than one class in these folders has, nested ones included, with the modules of those classes."""
    found: dict[str, list[str]] = defaultdict(list)
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    found[node.name].append(module_name(path, folder))
    return {name: modules for name, modules in found.items() if len(modules) > 1}


def test_no_two_classes_have_one_name() -> None:
    assert classes_of_one_name(PACKAGE, HELPERS, BENCHES) == {}


def test_a_planted_second_class_is_found(tmp_path: Path) -> None:
    files = {"ui/page/a.py": "class Origin: ...", "lora/b.py": "def f():\n    class Origin: ..."}
    helper = tmp_path / "helpers" / "c.py"
    helper.parent.mkdir()
    helper.write_text("class Origin: ...", encoding="utf-8")
    assert classes_of_one_name(plant(tmp_path, {}), helper.parent) == {}
    there = ["lib_lora.lora.b", "lib_lora.ui.page.a", "helpers.c"]
    assert classes_of_one_name(plant(tmp_path, files), helper.parent) == {"Origin": there}


def plant(root: Path, files: dict[str, str]) -> Path:
    """A package folder with clean imports and `files` (path -> source) put over it."""
    clean = {
        "__init__.py": '__version__ = "1"',
        "errors.py": "class UserError(Exception): pass",
        "typed_settings.py": "from lib_lora.errors import UserError",
        "models/__init__.py": "",
        "models/load.py": "import torch\nfrom lib_lora import __version__\nfrom ..errors import UserError",
        "lora/__init__.py": "",
        "lora/open_file.py": "from lib_lora.models.load import x\nfrom . import key_names",
        "lora/key_names.py": "import re",
        "training/__init__.py": "",
        "training/loop.py": "import torch\nfrom lib_lora.lora import open_file\nfrom .plan.train_settings import S",
        "training/plan/train_settings.py": "from lib_lora.typed_settings import to_dict",
        "character/__init__.py": "",
        "character/photo_files.py": "def f():\n    import torch",
        "runs/__init__.py": "",
        "workflows/worker/__init__.py": "",
        "workflows/photos/intake.py": "",
        "runs/events.py": "from lib_lora import errors",
        "workflows/worker/work.py": "from lib_lora.training.loop import train\nfrom ..photos import intake",
        "hosts/__init__.py": "",
        "hosts/webuis/a1111.py": "def f():\n    from modules import shared\n    import launch",
        "ui/__init__.py": "",
        "ui/page/tab.py": "from lib_lora.runs import events\nfrom lib_lora.hosts.webuis import a1111\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n"
        "from lib_lora.training.plan.train_settings import S\n",
    }
    for name, text in {**clean, **files}.items():
        path = root / "lib_lora" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root / "lib_lora"


def test_a_clean_house_is_clean(tmp_path: Path) -> None:
    assert violations(plant(tmp_path, {})) == []


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        (
            "models/load.py",
            "from lib_lora.lora import open_file",
            "lib_lora.models.load:1: models must not import lora",
        ),
        (
            "lora/hashes.py",
            "\nimport lib_lora.training.loop as l",
            "lib_lora.lora.hashes:2: lora must not import training",
        ),
        ("training/loop.py", "from lib_lora import grid", "lib_lora.training.loop:1: training must not import grid"),
        ("training/loop.py", "from .. import likeness", "lib_lora.training.loop:1: training must not import likeness"),
        (
            "training/loop.py",
            "def f():\n    class A:\n        def g(self):\n            from ..runs.events import x",
            "lib_lora.training.loop:4: training must not import runs",
        ),
        (
            "training/loop.py",
            "import importlib\nimportlib.import_module('lib_lora.grid')",
            "lib_lora.training.loop:2: training must not import grid",
        ),
        ("errors.py", "import lib_lora.models", "lib_lora.errors:1: errors must not import models"),
        ("__init__.py", "from . import typed_settings", "lib_lora:1: the package must not import typed_settings"),
        (
            "workflows/worker/work.py",
            "try:\n    from lib_lora import ui\nexcept ImportError: pass",
            "workflows must not import ui",
        ),
        (
            "workflows/worker/work.py",
            "from lib_lora.hosts.webuis import a1111",
            "lib_lora.workflows.worker.work:1: workflows must not import hosts",
        ),
        ("ui/page/tab.py", "from modules import shared", "lib_lora.ui.page.tab:1: only hosts may import modules"),
        (
            "workflows/worker/work.py",
            "def f():\n    import launch",
            "lib_lora.workflows.worker.work:2: only hosts may import launch",
        ),
        ("kitchen/__init__.py", "", "lib_lora.kitchen: the room 'kitchen' is not in the plan"),
        ("ui/page/tab.py", "import torch.nn", "lib_lora.ui.page.tab loads torch at import"),
        ("ui/page/tab.py", "class A:\n    import peft", "lib_lora.ui.page.tab loads peft at import"),
        (
            "hosts/webuis/a1111.py",
            "if True:\n    from diffusers import x",
            "lib_lora.hosts.webuis.a1111 loads diffusers at import",
        ),
        (
            "character/photo_files.py",
            "import onnxruntime",
            "lib_lora.character.photo_files loads onnxruntime at import",
        ),
        ("runs/__init__.py", "import torch", "lib_lora.runs.events loads lib_lora.runs -> torch at import"),
        (
            "workflows/photos/x.py",
            "from ..worker import work",
            "x:1: workflows.photos must not import workflows.worker",
        ),
        ("training/plan/y.py", "from ..loop import z", "y:1: training.plan must not import training."),
        ("typed_settings.py", "from torch import nn", "lib_lora.typed_settings loads torch at import"),
        (
            "ui/page/tab.py",
            "from lib_lora.workflows.worker import work",
            "tab loads lib_lora.workflows.worker.work -> lib_lora.training.loop -> torch",
        ),
        (
            "training/__init__.py",
            "from . import loop",
            "tab loads lib_lora.training -> lib_lora.training.loop -> torch",
        ),
    ],
)
def test_a_planted_violation_is_found(path: str, text: str, said: str, tmp_path: Path) -> None:
    found = violations(plant(tmp_path, {path: text}))
    assert any(said in sentence for sentence in found), found
