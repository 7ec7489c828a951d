"""Reads a list of prompts (one per line, or a table with a column for each value), and names the folders they refer to.

The file may have any encoding that such files have in practice. Pure but for reading the file. Imports nothing heavy.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.files import content, explained

MOST_BYTES = 8 << 20
MOST_ROWS = 20_000
LONGEST = 8_000  # characters of a text
_SIZE = re.compile(r"([0-9]{2,5}) ?[x×*] ?([0-9]{2,5})")
_SIDES = (64, 4096)  # pixels
_NUL, _HEADER = "\0", "prompt"
_NAMES = {"negative prompt": "negative", "negative_prompt": "negative", "cfg scale": "cfg", "cfg_scale": "cfg"}


@dataclass(frozen=True)
class PromptRow:
    """One line of a list of prompts; what is None is as the production says.

    Attributes:
        prompt: the text, which may have wildcards.
        negative: the negative prompt.
        seed: of the first try, 0 to 2^32-1.
        width, height: pixels, multiples of 8.
        weight: of the LoRA.
        steps: of sampling.
        cfg: guidance scale.
    """

    prompt: str
    negative: str | None = None
    seed: int | None = None
    width: int | None = None
    height: int | None = None
    weight: float | None = None
    steps: int | None = None
    cfg: float | None = None


def read_prompts(path: Path) -> list[PromptRow]:
    """The prompts of a file, in its order. Empty lines, and lines that begin with #, do not count.

    Args:
        path: a text with one prompt per line; or a table (CSV with commas, semicolons or tabs) whose first line names
            its columns, one of them ``prompt``.

    Raises:
        UserError: it cannot be read, is too large, holds no prompt, or a value that cannot be; with its line.
    """
    with explained(path, "read"):
        if path.stat().st_size > MOST_BYTES:
            raise UserError(
                f"{path} is larger than {MOST_BYTES >> 20} MB, which is too large for a list of prompts; choose "
                "another file.",
                code="prompts-too-large",
                file=path,
            )
        return parse(decoded(content(path)), str(path))


def decoded(data: bytes) -> str:
    """The text of a file: UTF-16 and UTF-8 by their marks, else UTF-8, else Windows' western code page."""
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig")):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def parse(text: str, where: str) -> list[PromptRow]:
    """The prompts of a text.

    Args:
        text: see `read_prompts`.
        where: names the file in errors.

    Raises:
        UserError: see `read_prompts`.
    """
    if _NUL in text:
        raise UserError(f"{where} is not a text file; choose a list of prompts.", code="prompts-unreadable", file=where)
    lines = text.splitlines()
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    separator = _separator(first)
    rows = _table(text, separator, where) if separator else _plain(lines, where)
    if not rows:
        raise UserError(f"{where} contains no prompt; write one per line.", code="prompts-empty", file=where)
    if len(rows) > MOST_ROWS:
        raise UserError(
            f"{where} holds {len(rows):,} prompts, and at most {MOST_ROWS:,} are taken; make several files of it.",
            code="prompts-too-many",
            file=where,
        )
    return rows


def _separator(first: str) -> str:
    """What parts the columns of a table with that first line; empty = it is no table."""
    for separator in ("\t", ";", ","):
        names = [_column(name) for name in first.split(separator)]
        if _HEADER in names and all(name in (_HEADER, *_READ, "size") for name in names):
            return separator if len(names) > 1 else ""
    return ""


def _column(name: str) -> str:
    plain = name.strip().strip('"').strip().lower()
    return _NAMES.get(plain, plain)


def _plain(lines: Sequence[str], where: str) -> list[PromptRow]:
    return [
        PromptRow(_text(line, where, number))
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    ]


def _table(text: str, separator: str, where: str) -> list[PromptRow]:
    csv.field_size_limit(MOST_BYTES)
    begun = "\n".join(text.splitlines())
    while begun.startswith(("#", "\n")):
        begun = begun.partition("\n")[2]
    reader = csv.reader(io.StringIO(begun), delimiter=separator)
    rows = []
    try:
        names = [_column(name) for name in next(reader)]
        for cells in reader:
            line = reader.line_num
            if not any(cell.strip() for cell in cells) or cells[0].startswith("#"):
                continue
            if len(cells) > len(names):
                raise _wrong(where, line, f"has {len(cells)} columns, and the first line names {len(names)}")
            rows.append(_row(dict(zip(names, cells, strict=False)), where, line))
    except csv.Error as error:
        raise _wrong(where, reader.line_num, f"cannot be read ({error})") from error
    return rows


def _row(cells: Mapping[str, str], where: str, line: int) -> PromptRow:
    prompt = _text(cells.get(_HEADER, ""), where, line)
    if not prompt:
        raise _wrong(where, line, "has no prompt")
    given = {name: cell.strip() for name, cell in cells.items() if name != _HEADER and cell.strip()}
    values: dict[str, object] = {}
    for name, cell in given.items():
        if name == "size":
            size = _SIZE.fullmatch(cell)
            if not size:
                raise _wrong(where, line, f"has the size {cell[:40]!r}; write it as 512x768")
            values["width"], values["height"] = _side(size[1], where, line), _side(size[2], where, line)
        elif name == "negative":
            values[name] = _text(cell, where, line)
        elif name in ("width", "height"):
            values[name] = _side(cell, where, line)
        else:
            least, most, whole = _READ[name]
            values[name] = _number(name, cell, where, line, least, most, whole)
    return PromptRow(prompt, **values)  # type: ignore[arg-type]


# of each column: the least and the most, and whether it is a whole number
_READ: dict[str, tuple[float, float, bool]] = {
    "negative": (0, 0, False),
    "seed": (0, 2**32 - 1, True),
    "width": (*_SIDES, True),
    "height": (*_SIDES, True),
    "weight": (-2, 2, False),
    "steps": (1, 150, True),
    "cfg": (1, 30, False),
}


def _number(name: str, cell: str, where: str, line: int, least: float, most: float, whole: bool) -> float | int:
    try:
        value = float(cell.replace(",", "."))
    except ValueError:
        value = math.nan
    if not least <= value <= most or (whole and value != int(value)):
        kind = "a whole number" if whole else "a number"
        raise _wrong(where, line, f"has the {name} {cell[:40]!r}; give {kind} from {least:g} to {most:.12g}")
    return int(value) if whole else value


def _side(cell: str, where: str, line: int) -> int:
    value = int(_number("side", cell, where, line, *_SIDES, whole=True))
    if value % 8:
        raise _wrong(where, line, f"has a side of {value} pixels; give a multiple of 8")
    return value


def _text(text: str, where: str, line: int) -> str:
    plain = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    if len(plain) > LONGEST:
        raise _wrong(where, line, f"has {len(plain):,} characters, and a prompt has at most {LONGEST:,}")
    return plain


def _wrong(where: str, line: int, what: str) -> UserError:
    return UserError(f"Line {line} of {where} {what}.", code="prompts-line-wrong", file=where, line=line)


@dataclass(frozen=True)
class PromptFolders:
    """Where files are looked for, with all that is below.

    Attributes:
        wildcards: for ``__name__`` (`wildcards.Wildcards`).
        loras: for ``<lora:name:weight>`` (`lora_tags.LoraTags`).
    """

    wildcards: Sequence[Path] = ()
    loras: Sequence[Path] = ()


NO_FOLDERS = PromptFolders()
