"""What docstrings and comments name exists: modules, what is in them, arguments and attributes."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAME = re.compile(r"(?<!`)`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)(?:\(\))?`(?!`)")
FILES = {"css", "html", "js", "json", "jsonl", "log", "md", "npz", "png", "py", "safetensors", "toml", "txt", "yaml"}
HEADS = {"Args:", "Attributes:", "Raises:", "Returns:", "Yields:"}
LISTED = re.compile(r" {4}([\w*]+(?:, [\w*]+)*):(?:\s|$)")
Parts = tuple[str, ...]
Function = (ast.FunctionDef, ast.AsyncFunctionDef)


def _sources() -> list[Path]:
    return [
        path for folder in ("lib_lora", "tests", "bench", "tools") for path in sorted((ROOT / folder).rglob("*.py"))
    ]


@cache
def _modules() -> dict[Parts, list[Path]]:
    """Modules and packages by their dotted names, whole and without the first parts (`renting.money`, `money`)."""
    found: dict[Parts, list[Path]] = {}
    for path in _sources():
        parts = path.relative_to(ROOT).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        for first in range(len(parts)):
            found.setdefault(parts[first:], []).append(path)
    return found


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _assigned(node: ast.AST) -> set[str]:
    """Names and attributes to which a statement assigns."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    flat = [one for target in targets for one in (target.elts if isinstance(target, ast.Tuple) else [target])]
    names = [getattr(one, "id", None) or getattr(one, "attr", None) for one in flat]
    return {name for name in names if name}


def _attributes(kind: ast.ClassDef | ast.Module) -> set[str]:
    """Everything that is assigned or defined in a class or module, its methods and their `self` included."""
    names = {name for node in ast.walk(kind) for name in _assigned(node)}
    return names | {node.name for node in ast.walk(kind) if isinstance(node, Function)}


def _base_has(base: ast.expr, rest: Parts, module: ast.Module) -> bool:
    """Whether a class has what it may inherit; what is none of our classes is trusted."""
    if not isinstance(base, ast.Name):
        return True
    if any(isinstance(node, ast.ClassDef) and node.name == base.id for node in module.body):
        return _has(module, (base.id, *rest))
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and base.id in (alias.asname or alias.name for alias in node.names):
            return _exists((*(node.module or "").split("."), base.id, *rest)) is not False
    return True


def _has(module: ast.Module, rest: Parts) -> bool:
    """Whether a module has an attribute, or an attribute of a class."""
    if not rest:
        return True
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef) and node.name == rest[0]:
            return (
                len(rest) == 1
                or rest[1] in _attributes(node)
                or any(_base_has(base, rest[1:], module) for base in node.bases)
            )
        if isinstance(node, Function) and node.name == rest[0]:
            return len(rest) == 1
    return any(rest[0] in _assigned(node) for node in module.body)


def _exists(parts: Parts) -> bool | None:
    """Whether a dotted name leads to a module or into one; None where it begins with none of ours."""
    if not any(parts[0] in module for module in _modules()):
        return None
    splits = range(1, len(parts) + 1)
    return any(_has(_tree(path), parts[i:]) for i in splits for path in _modules().get(parts[:i], []))


def _said(source: str) -> set[int]:
    """Lines of the strings that are values and no docstrings."""
    tree = ast.parse(source)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    spans = [range(node.lineno, (node.end_lineno or node.lineno) + 1) for node in strings if id(node) not in docs]
    return {line for span in spans for line in span}


def unresolved(source: str) -> list[str]:
    """Dotted names in the docstrings and comments of a source text that lead nowhere, as `line name`."""
    found = []
    for number, line in enumerate(source.splitlines(), 1):
        for match in NAME.finditer(line):
            parts = tuple(match[1].split("."))
            if parts[-1] not in FILES and _exists(parts) is False:
                found.append((number, match[1]))
    said = _said(source) if found else set()
    return [f"{number} {name}" for number, name in found if number not in said]


def _listed(text: str, head: str) -> Iterator[str]:
    """The names that a docstring lists under a heading."""
    within = False
    for line in text.splitlines():
        if line in HEADS:
            within = line == head
        elif within and (match := LISTED.match(line)):
            yield from (name.strip("*") for name in match[1].split(", "))


def _arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    given = function.args
    return {one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg) if one}


def undefined(source: str) -> list[str]:
    """Arguments and attributes that docstrings list and that do not exist, as `owner name`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (*Function, ast.ClassDef)) or not (text := ast.get_docstring(node)):
            continue
        if isinstance(node, ast.ClassDef):
            inits = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
            arguments = _arguments(inits[0]) if inits else _attributes(node)
            found += [f"{node.name} {name}" for name in _listed(text, "Attributes:") if name not in _attributes(node)]
        else:
            arguments = _arguments(node)
        found += [f"{node.name} {name}" for name in _listed(text, "Args:") if name not in arguments]
    return found


def test_every_dotted_name_leads_somewhere():
    sources = {path: path.read_text(encoding="utf-8") for path in _sources()}
    assert sum(len(NAME.findall(text)) for text in sources.values()) > 250
    found = {str(path.relative_to(ROOT)): unresolved(text) for path, text in sources.items()}
    assert {path: names for path, names in found.items() if names} == {}


def test_every_listed_argument_and_attribute_exists():
    sources = {path: path.read_text(encoding="utf-8") for path in _sources()}
    listing = {path: text for path, text in sources.items() if re.search("^ *(Args|Attributes):$", text, re.MULTILINE)}
    assert len(listing) > 200
    found = {str(path.relative_to(ROOT)): undefined(text) for path, text in listing.items()}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "name", ["queue.runner_protocol", "faces.yaw_proxy", "rules.Kind", "job_types.Rental.again", "lib_lora.queue.jobs"]
)
def test_a_name_that_leads_nowhere_is_found(name: str):
    assert unresolved(f"# see `{name}`.") == [f"1 {name}"]
    assert unresolved(f'"""See\n`{name}`."""') == [f"2 {name}"]
    assert unresolved(f'print("see `{name}`")') == []  # what a program says is not about its source


@pytest.mark.parametrize(
    "name",
    ["queue.running.runner_protocol.Runner", "faces.face.yaw_proxy", "job_types.Rental.anew", "money", "torch.nn.gone"],
)
def test_a_name_that_leads_somewhere_or_is_not_ours_is_left(name: str):
    assert unresolved(f"# see `{name}`.") == []


def test_a_listed_name_that_does_not_exist_is_found():
    kind = (
        'class A:\n    """A.\n\n    Attributes:\n        a, b: of it.\n        {}: further.\n    """\n    a = b = 1\n'
    )
    assert undefined(kind.format("c")) == ["A c"]
    function = 'def f(a, *more):\n    """F.\n\n    Args:\n        a: of it.\n        {}: further.\n    """\n'
    assert undefined(function.format("more")) == []
    assert undefined(function.format("b")) == ["f b"]
