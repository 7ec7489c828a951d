"""What is rented from whom is a line in a list: only a provider's own folder knows it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import lib_lora
from lib_lora.remote import gpu_providers
from lib_lora.remote.gpu_providers import NAMES, PROVIDERS, is_rented, provider_named
from lib_lora.remote.renting.rental_api import account_at

ROOT = Path(lib_lora.__file__).parent
KEY = "rpa_0123456789abcdef"
SAID = {  # what programs and routes go by, whatever the provider; `ui/routes/train` has its own
    "rental-without-runpod",
    "runpod-key-missing",
}


def _outside() -> list[Path]:
    own = {ROOT / "remote" / name for name in NAMES}
    return [
        path
        for path in sorted(ROOT.rglob("*.py"))
        if own.isdisjoint(path.parents) and path != Path(gpu_providers.__file__)
    ]


def _words(path: Path) -> list[str]:
    """Names of providers in a module's imports and texts; its docstrings may speak of them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = []
    for node in ast.walk(tree):
        texts: list[str] = []
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            texts = [node.value]
        elif isinstance(node, ast.ImportFrom):
            texts = [node.module or "", *(one.name for one in node.names)]
        elif isinstance(node, ast.Name):
            texts = [node.id]
        named = re.compile("|".join(NAMES), re.IGNORECASE)
        found += [f"{path.name}:{node.lineno} {text}" for text in texts if named.search(text) and text not in SAID]
    return found


def test_nothing_else_knows_a_provider() -> None:
    modules = _outside()
    assert len(modules) > 500
    known = [word for path in modules for word in _words(path)]
    routes = [word for word in known if word.startswith("rent_routes.py:") and " /runpod" in word]
    assert (len(routes), [word for word in known if word not in routes]) == (3, [])


def test_a_planted_name_is_found() -> None:
    assert _words(Path(gpu_providers.__file__))
    assert _words(ROOT / "remote" / "runpod" / "runpod_pods.py")


def test_each_has_a_client() -> None:
    for one in PROVIDERS:
        api = account_at(one, KEY)
        assert (api.title, is_rented(one.name), provider_named(one.name)) == (one.title, True, one)
    assert not is_rented("local")
