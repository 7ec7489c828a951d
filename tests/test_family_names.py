"""No family and no preset is named outside its own module: what differs between families is asked of their objects."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from lib_lora.models.families.registry import families

ROOT = Path(__file__).resolve().parent.parent
FAMILIES = ROOT / "lib_lora" / "models" / "families"
NAMES = {
    name
    for one in families()
    for name in (
        *(one.name, one.title, one.label, one.full_name, one.webui_flag, one.forge_name),
        *one.presets,
        *one.base_versions.values(),
        *one.architectures.values(),
    )
}
_NAMED = re.compile(rf"(?<![\w/-])({'|'.join(map(re.escape, sorted(NAMES, key=len, reverse=True)))})(?![\w-]|\.\w)")


@cache
def _texts(path: Path) -> list[tuple[int, str]]:
    """The string literals of a module, without its docstrings, each with its line."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [(node.lineno, str(node.value)) for node in strings if id(node) not in said]


OBJECTIVES = {one.objective for one in families()}
MAKER_OF_OBJECTIVES = ROOT / "lib_lora" / "training" / "objective" / "objectives.py"


def _objectives_in(path: Path) -> list[str]:
    """Places of string literals that are an objective's name: families differ by their objects, not by its name."""
    return [f"{path.name}:{line} {text}" for line, text in _texts(path) if text in OBJECTIVES]


def _named_in(path: Path) -> list[str]:
    """Places of string literals in which a family's name stands, one of a preset, or another word that is its own."""
    return [f"{path.relative_to(ROOT)}:{line} {text}" for line, text in _texts(path) if _NAMED.search(text)]


def _modules(*folders: str) -> list[Path]:
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py") if FAMILIES not in path.parents]


def _values(found: Any) -> Iterator[str]:
    """All texts in the values of a YAML file, however deep."""
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, list):
        for one in found:
            yield from _values(one)
    elif isinstance(found, str):
        yield found


def test_no_family_is_named_elsewhere() -> None:
    modules = _modules("lib_lora", "scripts")
    assert len(modules) > 500
    assert [place for path in modules for place in _named_in(path)] == []


def test_no_objective_is_named_elsewhere() -> None:
    modules = [path for path in _modules("lib_lora", "scripts", "bench", "tools") if path != MAKER_OF_OBJECTIVES]
    assert [place for path in modules for place in _objectives_in(path)] == []
    assert _objectives_in(MAKER_OF_OBJECTIVES)
    assert _objectives_in(FAMILIES / "stable_diffusion.py")


def test_no_benchmark_or_tool_asks_for_a_family_by_its_name() -> None:
    names = {name for one in families() for name in (one.name, *one.presets)}
    names -= {folder.name for folder in (ROOT / "tests" / "data").iterdir()}  # as a small model's, which paths name
    modules = _modules("bench", "tools")
    assert len(modules) > 20
    found = [f"{path.name}:{line} {text}" for path in modules for line, text in _texts(path) if text in names]
    assert found == []


def test_no_table_names_a_family() -> None:
    names = {one.name for one in families()}
    tables = [*(ROOT / "lib_lora").rglob("*.yaml")]
    assert tables
    assert {path.name: [*names.intersection(_values(yaml.safe_load(path.read_text("utf-8"))))] for path in tables} == {
        path.name: [] for path in tables
    }


def test_planted_names_are_found(tmp_path: Path) -> None:
    assert {"sd1", "SD1.5", "Stable Diffusion XL", "mini-face", "is_sdxl", "SD20", "sd_v1"} <= NAMES
    planted = {"sdxl-face or mini-face", "6 GB for Stable Diffusion 1.5", "sd1", "is_sd2", "sd_v2_v", "SDXL only"}
    free = {"tests/data/mini-face", "mini-face.safetensors", "sdxl-0.9", "no-face", "sd15"}
    assert {text for text in planted | free if _NAMED.search(text)} == planted
    assert _named_in(FAMILIES / "sdxl.py")
