"""The documents for developers name files that are there: a module that is moved takes its mention with it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ("CONTRIBUTING.md", "docs/architecture.md")
_NAMED = re.compile(r"`([\w./-]+(?:\.(?:py|js|md|json|yml|toml|txt|css)|/))`")
_MADE = {  # in a data folder
    *("beach.txt", "events.jsonl", "audit.json", "plan.json", "result.json", "report.json", "decisions.json"),
}


def missing(text: str) -> list[str]:
    """The paths in a text that lie neither below the root nor below a folder of the code."""
    names = {path.relative_to(ROOT).as_posix() for path in _files()}
    names |= {f"{parent.as_posix()}/" for name in names for parent in Path(name).parents}
    named = {path for path in _NAMED.findall(text) if Path(path).name not in _MADE}
    return sorted(path for path in named if not any(f"/{name}".endswith(f"/{path}") for name in names))


def _files() -> list[Path]:
    folders = ("lib_lora", "tests", "javascript", "docs", "bench", "tools", "requirements", "scripts", ".github")
    inside = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    return [*inside, *(path for path in ROOT.iterdir() if path.is_file())]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_is_named_is_there(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    assert len(_NAMED.findall(text)) > 10
    assert missing(text) == []


def test_a_file_that_is_gone_is_found():
    assert missing("see `models/gone.py`, `queue/` and `nowhere/`") == ["models/gone.py", "nowhere/"]
