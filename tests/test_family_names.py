"""No family is named in the code outside its own module: what differs between families is asked of their objects."""

import ast
from pathlib import Path

from lib_lora.models.families.registry import family_names

PACKAGE = Path(__file__).resolve().parent.parent / "lib_lora"
FAMILIES = PACKAGE / "models" / "families"


def _named_in(path: Path) -> list[str]:
    """Places of string literals that are a family's name."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and node.value in family_names():
            found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    return found


def test_no_family_is_named_elsewhere():
    files = [path for path in PACKAGE.rglob("*.py") if FAMILIES not in path.parents]
    assert len(files) > 300
    assert [place for path in files for place in _named_in(path)] == []


def test_a_planted_name_is_found():
    assert _named_in(FAMILIES / "sdxl.py")
