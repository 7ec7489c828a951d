"""What a Python file imports, read from its source; nothing is executed."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Import:
    """One imported module, as an absolute dotted name; `early` if merely importing the file runs it."""

    target: str
    line: int
    early: bool


def module_name(path: Path, package: Path) -> str:
    """``lib_lora/queue/__init__.py`` -> ``lib_lora.queue``"""
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, package: Path) -> Iterator[Import]:
    """Every import in a file: statements at any depth, and ``import_module("literal")``."""
    name = module_name(path, package)
    here = name if path.name == "__init__.py" else name.rpartition(".")[0]
    yield from _imports(ast.parse(path.read_text(encoding="utf-8"), str(path)), here, True)


def _imports(node: ast.AST, here: str, early: bool) -> Iterator[Import]:
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
            yield from _imports(ast.Module(child.body, []), here, False)
            yield from _imports(ast.Module(child.orelse, []), here, early)
        else:
            yield from _imports(child, here, early and not inside)


class ImportGraph:
    """The files of a project, and which modules from outside each of them imports itself or through a helper.

    Args:
        root: the project's folder.
        packages: the folders in it whose modules have the folder's name first, as in ``lib_lora.files``.
        helpers: the folders in it whose modules are imported by their own name alone, as the tests' helpers.
    """

    def __init__(self, root: Path, packages: Iterable[str], helpers: Iterable[str] = ()) -> None:
        self._files: dict[str, Path] = {}
        for package in packages:
            self._files |= {module_name(path, root / package): path for path in (root / package).rglob("*.py")}
        self._helpers = {path.stem: path for folder in helpers for path in (root / folder).glob("*.py")}
        self._known: dict[Path, frozenset[str]] = {}

    def of_tests(self, path: Path) -> frozenset[str]:
        """What a test's file and the helpers that it imports, directly or not, import: dotted names.

        Imports inside functions count. So does source in strings, as that of a process which a test starts, and a
        module that is only named in a string (``"lib_lora.cli"``), as one that is patched or run with ``-m``.
        """
        found: set[str] = set()
        seen, queue = {path}, [path]
        while queue:
            for target in self._targets(queue.pop()):
                helper = self._helpers.get(target.split(".")[0])
                if helper is None:
                    found.add(target)
                elif helper not in seen:
                    seen.add(helper)
                    queue.append(helper)
        return frozenset(found)

    def of_module(self, target: str) -> frozenset[str]:
        """What the project's module, or the module of a name such as ``lib_lora.files.write_json``, imports itself.

        Empty for a module that is not the project's.
        """
        file = self._files.get(target) or self._files.get(target.rpartition(".")[0])
        return self._targets(file) if file else frozenset()

    def _targets(self, path: Path) -> frozenset[str]:
        if path not in self._known:
            name = next((name for name, file in self._files.items() if file == path), path.stem)
            here = name if path.name == "__init__.py" else name.rpartition(".")[0]
            tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
            self._known[path] = frozenset(item.target for item in _imports(tree, here, True)) | self._in_strings(tree)
        return self._known[path]

    def _in_strings(self, tree: ast.AST) -> frozenset[str]:
        found: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
                if text in self._files or text.rpartition(".")[0] in self._files:
                    found.add(text)
                elif "import " in text:
                    found |= _of_source(text)
        return frozenset(found)


def _of_source(text: str) -> set[str]:
    """What Python source in a string imports; nothing where it is no source."""
    try:
        tree = ast.parse(textwrap.dedent(text))
    except (SyntaxError, ValueError):
        return set()
    return {item.target for item in _imports(tree, "", True)}
