"""Who may import whom (docs/architecture.md), held by reading every import statement; nothing is executed.

Rooms stand on floors. An import goes down, never up and never sideways; webui modules are the business of `hosts`;
and what the tab touches loads no torch, not even through a third module, so that a broken torch cannot make the tab
vanish.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "lib_lora"

JOBS_ROOMS = {"training", "grid", "likeness", "references", "deploy", "remote", "civitai"}
FLOOR = {"errors", "files", "private", "settings", "pages", "pictures"}
BELOW_JOBS = {"lora", "models", "character"}
MAY_IMPORT: dict[str, set[str]] = {
    **dict.fromkeys((*FLOOR, "models", "character", "environment"), FLOOR),
    "bootstrap": FLOOR | {"environment", "spinner"},
    "spinner": FLOOR,
    "packages": FLOOR | {"environment", "bootstrap"},
    "pipes": FLOOR,
    "lora": FLOOR | {"models"},
    **dict.fromkeys(JOBS_ROOMS, FLOOR | BELOW_JOBS),
    "hosts": FLOOR | BELOW_JOBS | JOBS_ROOMS | {"environment"},
    "jobs": FLOOR | BELOW_JOBS | JOBS_ROOMS | {"environment"},
    "ui": FLOOR | BELOW_JOBS | JOBS_ROOMS | {"jobs", "hosts", "environment", "packages"},
    "cli": FLOOR | BELOW_JOBS | JOBS_ROOMS | {"jobs", "hosts", "ui"},
    "__main__": FLOOR | {"bootstrap", "environment", "cli", "pipes"},
}
LIGHT = ("ui", "hosts", "settings", "pictures", "character", "errors", "files", "environment", "bootstrap", "packages")
LIGHT += ("__main__", "cli", "jobs.events", "jobs.kinds", "jobs.queue", "jobs.standing", "jobs.supervisor")
LIGHT += ("jobs.processes", "training.fields", "training.estimate", "training.fitting")
# what a command loads before it has seen that its input is right
LIGHT += ("spinner", "jobs.main_job", "jobs.finish", "jobs.choose", "jobs.compare", "jobs.scorer", "jobs.invent")
LIGHT += ("jobs.invent_more", "jobs.demo", "jobs.audit_told", "jobs.fill", "jobs.words", "jobs.intake", "jobs.listing")
LIGHT += ("lora.describe", "models.family")
HEAVY = {"torch", "torchvision", "diffusers", "peft", "transformers", "accelerate", "open_clip", "onnxruntime", "onnx"}
HOST_MODULES = {"modules", "launch"}


@dataclass(frozen=True)
class Import:
    """One imported module, as an absolute dotted name; `early` if merely importing the file runs it."""

    target: str
    line: int
    early: bool


def module_name(path: Path, package: Path) -> str:
    """``lib_lora/jobs/__init__.py`` -> ``lib_lora.jobs``"""
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, package: Path) -> Iterator[Import]:
    """Every import in a file: statements at any depth, and ``import_module("literal")``."""
    name = module_name(path, package)
    here = name if path.name == "__init__.py" else name.rpartition(".")[0]

    def visit(node: ast.AST, early: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, child.lineno, early) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                up = here.split(".")[: len(here.split(".")) - child.level + 1] if child.level else []
                base = ".".join([*up, *([child.module] if child.module else [])])
                # `from a import b` may mean the module a.b; both names are judged
                yield from (Import(f"{base}.{alias.name}", child.lineno, early) for alias in child.names)
            elif isinstance(child, ast.Call) and ast.unparse(child.func).endswith(("import_module", "__import__")):
                literal = [argument.value for argument in child.args[:1] if isinstance(argument, ast.Constant)]
                yield from (Import(str(value), child.lineno, early) for value in literal)
            inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
                yield from visit(ast.Module(child.body, []), False)
                yield from visit(ast.Module(child.orelse, []), early)
            else:
                yield from visit(child, early and not inside)

    yield from visit(ast.parse(path.read_text(encoding="utf-8"), str(path)), True)


def violations(package: Path) -> list[str]:
    """One sentence for each import in the package folder that the plan forbids."""
    files = {module_name(path, package): path for path in sorted(package.rglob("*.py"))}
    imports = {name: list(imports_of(path, package)) for name, path in files.items()}
    found = []
    for name in files:
        room = name.split(".")[1] if "." in name else ""
        if room and room not in MAY_IMPORT:
            found.append(f"{name}: the room {room!r} is not in the plan; give it its place in MAY_IMPORT")
            continue
        for item in imports[name]:
            where = f"{name}:{item.line}"
            first, _, rest = item.target.partition(".")
            second = rest.split(".")[0]
            if first in HOST_MODULES and room != "hosts":
                found.append(f"{where}: only hosts may import {first}")
            elif first == package.name and second in MAY_IMPORT and second not in MAY_IMPORT.get(room, set()) | {room}:
                found.append(f"{where}: {room or 'the package'} must not import {second}")
        if any(name == f"{package.name}.{light}" or name.startswith(f"{package.name}.{light}.") for light in LIGHT):
            found += [f"{name} loads {' -> '.join(chain)} at import" for chain in heavy_chains(name, imports)]
    return found


def heavy_chains(start: str, imports: dict[str, list[Import]]) -> list[list[str]]:
    """The shortest way from a module to each heavy package that importing it loads, through our own modules."""
    chains: dict[str, list[str]] = {}
    parts = start.split(".")
    seen = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}  # importing a.b.c runs a, a.b and a.b.c
    queue: list[tuple[str, list[str]]] = [(name, [name] * (name != start)) for name in sorted(seen, reverse=True)]
    while queue:
        name, way = queue.pop(0)
        for item in imports.get(name, []):
            if item.early and item.target.split(".")[0] in HEAVY:
                chains.setdefault(item.target.split(".")[0], [*way, item.target.split(".")[0]])
            parts = item.target.split(".") if item.early else []
            for end in range(1, len(parts) + 1):
                inner = ".".join(parts[:end])
                if inner in imports and inner not in seen:
                    seen.add(inner)
                    queue.append((inner, [*way, inner]))
    return list(chains.values())


def test_the_house_keeps_its_arrows() -> None:
    assert violations(PACKAGE) == []


def test_the_whole_house_is_read() -> None:
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")}
    assert rooms >= {"errors", "files", "settings", "bootstrap", "__main__", "models", "lora", "training", "likeness"}


def plant(root: Path, files: dict[str, str]) -> Path:
    """A package folder with a clean house and `files` (path -> source) put over it."""
    clean = {
        "__init__.py": '__version__ = "1"',
        "errors.py": "class UserError(Exception): pass",
        "settings.py": "from lib_lora.errors import UserError",
        "models/__init__.py": "",
        "models/load.py": "import torch\nfrom lib_lora import __version__\nfrom ..errors import UserError",
        "lora/__init__.py": "",
        "lora/file.py": "from lib_lora.models.load import x\nfrom . import names",
        "lora/key_names.py": "import re",
        "training/__init__.py": "",
        "training/loop.py": "import torch\nfrom lib_lora.lora import file\nfrom .settings import S",
        "training/plan/train_settings.py": "from lib_lora.typed_settings import to_dict",
        "character/__init__.py": "",
        "character/photo_files.py": "def f():\n    import torch",
        "jobs/__init__.py": "",
        "runs/events.py": "from lib_lora import errors",
        "workflows/worker/work.py": "from lib_lora.training.loop import train\nfrom lib_lora.character import photo_files as photos",
        "hosts/__init__.py": "",
        "hosts/a1111.py": "def f():\n    from modules import shared\n    import launch",
        "ui/__init__.py": "",
        "ui/page/tab.py": "from lib_lora.runs import events\nfrom lib_lora.hosts import a1111\n"
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
        ("models/load.py", "from lib_lora.lora import file", "lib_lora.models.load:1: models must not import lora"),
        ("lora/file.py", "\nimport lib_lora.training.loop as l", "lib_lora.lora.file:2: lora must not import training"),
        ("training/loop.py", "from lib_lora import grid", "lib_lora.training.loop:1: training must not import grid"),
        ("training/loop.py", "from .. import likeness", "lib_lora.training.loop:1: training must not import likeness"),
        (
            "training/loop.py",
            "def f():\n    class A:\n        def g(self):\n            from ..jobs.events import x",
            "lib_lora.training.loop:4: training must not import jobs",
        ),
        (
            "training/loop.py",
            "import importlib\nimportlib.import_module('lib_lora.grid')",
            "lib_lora.training.loop:2: training must not import grid",
        ),
        ("errors.py", "import lib_lora.models", "lib_lora.errors:1: errors must not import models"),
        ("__init__.py", "from . import settings", "lib_lora:1: the package must not import settings"),
        (
            "workflows/worker/work.py",
            "try:\n    from lib_lora import ui\nexcept ImportError: pass",
            "jobs must not import ui",
        ),
        (
            "workflows/worker/work.py",
            "from lib_lora.hosts import a1111",
            "lib_lora.workflows.worker.work:1: jobs must not import hosts",
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
        ("hosts/a1111.py", "if True:\n    from diffusers import x", "lib_lora.hosts.a1111 loads diffusers at import"),
        (
            "character/photo_files.py",
            "import onnxruntime",
            "lib_lora.character.photo_files loads onnxruntime at import",
        ),
        ("jobs/__init__.py", "import torch", "lib_lora.runs.events loads lib_lora.jobs -> torch at import"),
        ("settings.py", "from torch import nn", "lib_lora.typed_settings loads torch at import"),
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
