"""Reads Civitai's answers into objects, and checks types, sizes and characters of everything in them.

No answer is trusted before it was read here; what makes no sense is left out, and shown as unknown later. No text of an
answer is a path or an address that is asked, except the addresses of pictures, which are checked where they are asked.
Imports nothing heavy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lib_lora.civitai.api.licence_flags import Permissions, flag, permissions_of
from lib_lora.files import printable
from lib_lora.remote.http_exchange import json_of

DOWNLOAD, SAFETENSORS = "Download", "SafeTensor"
ARCHIVED, TAKEN_DOWN = "Archived", "TakenDown"
CHECKPOINT = "Checkpoint"
LORAS = ("LORA", "LoCon", "DoRA")
_MOST_ID = 2**31 - 1
_MOST_BYTES = 1 << 40
_LONGEST = 200  # letters of a name
_ROWS = 1000  # of a list that are looked at
_LEVELS = 63  # all bits of a level
_WORD = re.compile(r"<[^<>]{0,200}>")  # a LoRA's call among its trained words
_ANGLES = str.maketrans("", "", "<>")


@dataclass(frozen=True)
class VersionFile:
    """A file of a version.

    Attributes:
        id: there; 0 = not known.
        name: as the site gives it; hostile.
        kind: such as "Model", "VAE", "Training Data".
        bytes: size; 0 = not known.
        format: "SafeTensor", "PickleTensor" ...; empty = not said.
        sha256, autov3: upper-case hex; empty = not known.
        primary: it is the one that the page's button fetches.
        scans: results of the scans for viruses and pickles: "Success", "Danger", "Pending", "Error"; empty = none.
        precision, pruned: such as "fp16", "pruned"; empty = not said.
    """

    id: int = 0
    name: str = ""
    kind: str = ""
    bytes: int = 0
    format: str = ""
    sha256: str = ""
    autov3: str = ""
    primary: bool = False
    scans: tuple[str, str] = ("", "")
    precision: str = ""
    pruned: str = ""


@dataclass(frozen=True)
class PagePicture:
    """A picture on a version's page.

    Attributes:
        url: hostile.
        kind: "image" or "video"; empty = not said.
        level: bits, see `ModelVersion.level`; 0 = not known.
    """

    url: str
    kind: str = ""
    level: int = 0


@dataclass(frozen=True)
class ModelVersion:
    """A version of a model.

    Attributes:
        id, model: numbers there; `model` is 0 where it is not known.
        name: of the version; `model_name`, `model_kind` of its model, where the answer says them.
        base: what it was made for, such as "SD 1.5"; empty = not said.
        words: that call it.
        level: bits: 1 PG, 2 PG13, 4 R, 8 X, 16 XXX, 32 blocked; 0 = not known.
        poi, nsfw: the model shows a real person, is for adults; None = not said.
        mode: "Archived" or "TakenDown"; empty = neither.
        usage: "Download", or what else it is for; empty = not said.
        files, pictures: of it.
    """

    id: int
    model: int = 0
    name: str = ""
    model_name: str = ""
    model_kind: str = ""
    base: str = ""
    words: tuple[str, ...] = ()
    level: int = 0
    poi: bool | None = None
    nsfw: bool | None = None
    mode: str = ""
    usage: str = ""
    files: tuple[VersionFile, ...] = ()
    pictures: tuple[PagePicture, ...] = ()

    def has(self, digest: str) -> bool | None:
        """Whether one of its files has this hash; None = the files' hashes of that kind are not said."""
        said = [one for file in self.files if (one := file.sha256 if len(digest) == 64 else file.autov3)]
        return digest.upper() in said if said else None


@dataclass(frozen=True)
class ModelPage:
    """A model.

    Attributes:
        id: its number there.
        name, kind, creator: of it; `kind` is such as "Checkpoint" or "LORA".
        permissions: what its page permits.
        poi, minor, nsfw, sfw_only: it shows a real person, a child; is for adults; must not be used for adult pictures.
            None = not said.
        level, mode: as of `ModelVersion`.
        availability: "Public", "EarlyAccess" ...; empty = not said.
        versions: newest first.
    """

    id: int
    name: str = ""
    kind: str = ""
    creator: str = ""
    permissions: Permissions = field(default_factory=Permissions)
    poi: bool | None = None
    minor: bool | None = None
    nsfw: bool | None = None
    sfw_only: bool | None = None
    level: int = 0
    mode: str = ""
    availability: str = ""
    versions: tuple[ModelVersion, ...] = ()


def parsed(content: bytes) -> Any:
    """An answer's JSON; None = it is not one."""
    return json_of(content, _finite)


def version_of(row: Any) -> ModelVersion | None:
    """A version in an answer; None = it is not one."""
    if not isinstance(row, Mapping) or not (number := _id(row.get("id"))):
        return None
    model = row.get("model")
    about: Mapping[str, Any] = model if isinstance(model, Mapping) else {}
    words = [_trained_word(text) for one in _list(row.get("trainedWords")) if (text := _text(one))]
    return ModelVersion(
        id=number,
        model=_id(row.get("modelId")),
        name=_text(row.get("name")),
        model_name=_text(about.get("name")),
        model_kind=_text(about.get("type")),
        base=_text(row.get("baseModel")),
        words=tuple(word for word in words[:100] if word),
        level=_level(row.get("nsfwLevel")),
        poi=flag(about.get("poi")),
        nsfw=flag(about.get("nsfw")),
        mode=_text(about.get("mode")),
        usage=_text(row.get("usageControl")),
        files=tuple(_file(one) for one in _list(row.get("files")) if isinstance(one, Mapping)),
        pictures=tuple(found for one in _list(row.get("images")) if (found := _picture(one))),
    )


def model_of(row: Any) -> ModelPage | None:
    """A model in an answer; None = it is not one."""
    if not isinstance(row, Mapping) or not (number := _id(row.get("id"))):
        return None
    creator = row.get("creator")
    return ModelPage(
        id=number,
        name=_text(row.get("name")),
        kind=_text(row.get("type")),
        creator=_text(creator.get("username")) if isinstance(creator, Mapping) else "",
        permissions=permissions_of(row),
        poi=flag(row.get("poi")),
        minor=flag(row.get("minor")),
        nsfw=flag(row.get("nsfw")),
        sfw_only=flag(row.get("sfwOnly")),
        level=_level(row.get("nsfwLevel")),
        mode=_text(row.get("mode")),
        availability=_text(row.get("availability")),
        versions=tuple(found for one in _list(row.get("modelVersions")) if (found := version_of(one))),
    )


def error_of(content: bytes) -> tuple[str, str]:
    """What an answer says of a refusal: its error and, of early access, the day on which that ends."""
    row = parsed(content)
    if not isinstance(row, Mapping):
        return "", ""
    deadline = re.fullmatch(r"(\d{4}-\d{2}-\d{2})T[\d:.]+Z?", str(row.get("deadline"))[:40], re.ASCII)
    return _text(row.get("message")) or _text(row.get("error")), deadline[1] if deadline else ""


def is_web_page(content: bytes) -> bool:
    """Whether an answer is a page for people, such as a login or a notice that the site is blocked."""
    return content[:500].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _trained_word(text: str) -> str:
    """Words without the calls of LoRAs, and without what could become one once something in it was left out."""
    return " ".join(_WORD.sub("", text).translate(_ANGLES).split()).strip(" ,")


def _file(row: Mapping[str, Any]) -> VersionFile:
    about, hashes = row.get("metadata"), row.get("hashes")
    about = about if isinstance(about, Mapping) else {}
    hashes = hashes if isinstance(hashes, Mapping) else {}
    size = row.get("sizeKB")
    known = isinstance(size, (int, float)) and not isinstance(size, bool) and 0 < size * 1024 < _MOST_BYTES
    return VersionFile(
        id=_id(row.get("id")),
        name=_text(row.get("name")),
        kind=_text(row.get("type")),
        bytes=round(float(size) * 1024) if known and isinstance(size, (int, float)) else 0,
        format=_text(about.get("format")),
        sha256=_hex(hashes.get("SHA256"), 64),
        autov3=_hex(hashes.get("AutoV3"), 12),
        primary=row.get("primary") is True,
        scans=(_text(row.get("virusScanResult")), _text(row.get("pickleScanResult"))),
        precision=_text(about.get("fp")),
        pruned=_text(about.get("size")),
    )


def _picture(row: Any) -> PagePicture | None:
    url = row.get("url") if isinstance(row, Mapping) else None
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or len(url) > 2000:
        return None
    return PagePicture(url, _text(row.get("type")), _level(row.get("nsfwLevel")))


def _id(value: Any) -> int:
    return value if type(value) is int and 0 < value <= _MOST_ID else 0


def _level(value: Any) -> int:
    return value if type(value) is int and 0 < value <= _LEVELS else 0


def _hex(value: Any, length: int) -> str:
    text = value.upper() if isinstance(value, str) and len(value) == length else ""
    return text if re.fullmatch(r"[0-9A-F]+", text) else ""


def _text(value: Any) -> str:
    """On one line, without what turns or colours a terminal, and not long."""
    return " ".join(printable(value[: 2 * _LONGEST]).split())[:_LONGEST] if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value[:_ROWS] if isinstance(value, list) else []


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(digits[:40])
    return number
