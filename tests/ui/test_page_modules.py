"""The page's ES modules: where they lie, what they import, and how they are served."""

import re
from collections import Counter

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from lib_lora.setup import environment
from lib_lora.ui.page import page_modules

FOLDER = environment.ROOT / "javascript"
MODULES = sorted((FOLDER / "tab").rglob("*.js"))
IMPORT = re.compile(r"^\s*(?:import|export)\s[^;'\"]*?from\s*'([^']+)'|^import\s*'([^']+)'|\bimport\(", re.MULTILINE)


def imported(path):
    """The files that a module imports."""
    found = list(IMPORT.finditer(path.read_text(encoding="utf-8")))
    assert all(match[1] or match[2] for match in found), path  # nothing is imported later than at the start
    names = [match[1] or match[2] for match in found]
    assert all(name.startswith(("./", "../")) for name in names), (path, names)
    return [(path.parent / name).resolve() for name in names]


@pytest.fixture(scope="module")
def client():
    app = FastAPI()
    app.include_router(page_modules.router())
    return TestClient(app, "http://127.0.0.1")


def test_a_webui_finds_one_script_alone():
    """It loads every .js and .mjs of the folder itself as a script of its own, and none of a sub-folder's."""
    assert [path.name for path in FOLDER.iterdir() if path.is_file()] == ["sameface.js"]


def test_no_folder_has_more_than_sixteen_modules():
    counts = Counter(path.parent.name for path in MODULES)
    assert counts
    assert max(counts.values()) <= 16, counts


def test_every_import_is_a_file_that_is_served(client):
    for path in MODULES:
        for one in imported(path):
            assert one in MODULES, (path.name, one)
    for path in MODULES:
        answer = client.get(page_modules.address() + path.relative_to(FOLDER / "tab").as_posix())
        assert (answer.status_code, answer.content) == (200, path.read_bytes())


def test_no_two_modules_import_each_other_by_whatever_way():
    below = {path.resolve(): set(imported(path)) for path in MODULES}
    while leaves := {path for path, needed in below.items() if not needed & below.keys()}:
        below = {path: needed for path, needed in below.items() if path not in leaves}
    assert not below, sorted(path.name for path in below)


def test_every_module_is_reached_from_the_first():
    reached, open_ones = set(), {(FOLDER / "tab" / "main.js").resolve()}
    while open_ones:
        reached |= open_ones
        open_ones = {one for path in open_ones for one in imported(path)} - reached
    assert reached == set(MODULES)


def test_modules_share_no_global():
    for path in MODULES:
        assert not re.search(r"\b(?:window|globalThis|self)\.\w+\s*=(?!=)|window\.sameface", path.read_text("utf-8")), (
            path
        )


def test_a_browser_keeps_them_for_good_and_no_other_site_gets_them(client):
    headers = client.get(page_modules.address() + "main.js").headers
    assert headers["content-type"].split(";")[0] == "text/javascript"
    assert "immutable" in headers["cache-control"]
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    ["0000000000000000/main.js", "{}/nothing.js", "{}/../../../install.py", "{}/%2e%2e/sameface.js", "{}/", "{}/base"],
)
def test_only_modules_of_this_version_are_given(client, path):
    answer = client.get("/sameface/v1/static/" + path.format(page_modules.digest()))
    assert answer.status_code == 404
    if ".." not in path:  # else the client asks for another address
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json() == {"error": "There is no such script; reload the page.", "code": "not-found"}


def test_another_content_has_another_address():
    one = page_modules.digest_of_modules({"a.js": b"1", "b.js": b"2"})
    others = [{"a.js": b"12", "b.js": b""}, {"a.js": b"1", "c.js": b"2"}, {"a.js": b"1"}, {"a.js": b"1", "b.js": b"3"}]
    assert len({one, *map(page_modules.digest_of_modules, others)}) == 5
    assert page_modules.digest_of_modules({"a.js": b"1", "b.js": b"2"}) == one
    assert page_modules.digest() == page_modules.digest_of_modules(page_modules.contents())
