"""What a Python file imports, read from its source; nothing is executed."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType


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
    yield from _imports(path.read_text(encoding="utf-8"), str(path), here)


def last_name(node: ast.expr) -> str:
    """``c`` of ``a.b.c`` and of ``c``; empty for any other expression."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _imports(source: str, file: str, here: str) -> Iterator[Import]:
    """Those of a module's source; `here` is the package that it is in.

    Raises:
        SyntaxError, ValueError: it is no source.
    """
    # Expressions are most of a file, and hold an import in those few that call for one.
    yield from _within(ast.parse(source, file), here, True, "import_module" in source or "__import__" in source)


def _within(node: ast.AST, here: str, early: bool, called: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr) and not called:
            continue
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, early) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            up = here.split(".")[: len(here.split(".")) - child.level + 1] if child.level else []
            base = ".".join([*up, *([child.module] if child.module else [])])
            # `from a import b` may mean the module a.b; both names are judged
            yield from (Import(f"{base}.{alias.name}", child.lineno, early) for alias in child.names)
        elif isinstance(child, ast.Call) and last_name(child.func).endswith(("import_module", "__import__")):
            literal = [argument.value for argument in child.args[:1] if isinstance(argument, ast.Constant)]
            yield from (Import(str(value), child.lineno, early) for value in literal)
        inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if isinstance(child, ast.If) and last_name(child.test) == "TYPE_CHECKING":
            yield from _within(ast.Module(child.body, []), here, False, called)
            yield from _within(ast.Module(child.orelse, []), here, early, called)
        else:
            yield from _within(child, here, early and not inside, called)


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
            source = path.read_text(encoding="utf-8")
            targets = {item.target for item in _imports(source, str(path), here)}
            self._known[path] = frozenset(targets | self._in_strings(source))
        return self._known[path]

    def _in_strings(self, source: str) -> set[str]:
        found: set[str] = set()
        for text in _strings(compile(source, "<string>", "exec", dont_inherit=True)):
            if text in self._files or text.rpartition(".")[0] in self._files:
                found.add(text)
            elif "import " in text:
                found |= _of_source(text)
        return found


def _strings(constant: object) -> Iterator[str]:
    """All strings that compiled code holds; much sooner found there than in a syntax tree."""
    if isinstance(constant, str):
        yield constant
    inner = constant.co_consts if isinstance(constant, CodeType) else constant
    if isinstance(inner, (tuple, frozenset)):
        for one in inner:
            yield from _strings(one)


def _of_source(text: str) -> set[str]:
    """What Python source in a string imports; nothing where it is no source."""
    try:
        return {item.target for item in _imports(textwrap.dedent(text), "<string>", "")}
    except (SyntaxError, ValueError):
        return set()
