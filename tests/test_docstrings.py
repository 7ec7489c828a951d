"""Every module of the package says first, in one short statement, what it knows or does."""

import ast
import re
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "lib_lora"
QUESTION = re.compile(r"(Who|What|Which|Whether|Where|Why|How)\b")
LONGEST = 160  # characters of the first paragraph


def fault(source: str) -> str:
    """What is wrong with the first paragraph of a module's docstring; empty where nothing is."""
    text = ast.get_docstring(ast.parse(source)) or ""
    first = " ".join(text.partition("\n\n")[0].split())
    if not first.rstrip('"`)').endswith((".", ":")):
        return "is missing, or no statement"
    if QUESTION.match(first):
        return "is a question"
    return "is longer than one statement" if len(first) > LONGEST else ""


def test_every_module_says_what_it_does():
    found = {str(path): fault(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}
    assert len(found) > 300
    assert {name: why for name, why in found.items() if why} == {}


def test_a_bad_docstring_is_found():
    assert fault("import os") == fault('"""The tab"""') == "is missing, or no statement"
    assert fault('"""What the tab is."""') == "is a question"
    assert fault(f'"""The tab {"and more " * 20}."""') == "is longer than one statement"
    assert fault('"""The tab."""') == ""
