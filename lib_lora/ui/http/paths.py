"""Finds files by the identifiers in an address; no path is ever taken from it, only a name that is in a listing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from lib_lora import file_permissions
from lib_lora.character.store import load
from lib_lora.errors import UserError
from lib_lora.files import PICTURE_NAME, SHA256_HEX, explained, names
from lib_lora.files import slug as slug_of
from lib_lora.hosts.host_protocol import Host
from lib_lora.ui.http.request_context import Call, RequestContext
from lib_lora.ui.http.responses import Refused, forbidden, missing
from lib_lora.workspace.workspace import CharacterFolder, RunFolder, Workspace

_DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)
MEDIA = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}


def character(context: RequestContext, call: Call) -> CharacterFolder:
    """The folder of the character that a request names.

    Raises:
        Refused: there is none.
    """
    return named_character(context.root, call.path["slug"])


def named_character(root: Path, slug: str) -> CharacterFolder:
    """The folder of a character by its slug.

    Raises:
        Refused: there is none.
    """
    workspace = Workspace(root)
    if slug in names(workspace.characters):
        folder = workspace.character_at(slug)
        if folder.file.is_file():
            _own_name(folder)
            return folder
    raise missing("There is no such character; choose another one.")


def _own_name(folder: CharacterFolder) -> None:
    """A folder that was copied or renamed by hand holds a character who is looked for elsewhere."""
    try:
        name = load(folder).name
    except UserError:
        return  # what is damaged is said where it is used
    if slug_of(name) != folder.path.name:
        raise Refused(
            409,
            f"{folder.path} holds the character {name}, whose folder is called {slug_of(name)}; rename the folder, or "
            f"the name in {folder.file.name}.",
            code="character-folder-misnamed",
        )


def identifier(text: str, what: str) -> str:
    """A run's or grid's identifier: digits.

    Raises:
        Refused: `text` is not one.
    """
    if not _DIGITS.fullmatch(text):
        raise missing(f"There is no such {what}.")
    return text


def number(text: str, what: str) -> int:
    """A whole number in an address.

    Raises:
        Refused: `text` is not one.
    """
    return int(identifier(text, what))


def digest(text: str) -> str:
    """A SHA-256.

    Raises:
        Refused: `text` is not one.
    """
    if not SHA256_HEX.fullmatch(text):
        raise missing("There is no such photo.")
    return text


def run(folder: CharacterFolder, text: str) -> Path:
    """The folder of a run of a character.

    Raises:
        Refused: there is none.
    """
    found = folder.runs / identifier(text, "run")
    if not RunFolder(found).file.is_file():
        raise missing("There is no such run.")
    return found


def grid(run_folder: Path, text: str) -> Path:
    """The folder of a test grid of a run.

    Raises:
        Refused: there is none.
    """
    found = RunFolder(run_folder).grids / identifier(text, "grid")
    if not found.is_dir():
        raise missing("There is no such test grid.")
    return found


def picture_in(folder: Path, name: str) -> Path:
    """A picture that lies directly in a folder.

    Raises:
        Refused: there is none of that name.
    """
    if not PICTURE_NAME.fullmatch(name) or name not in names(folder):
        raise missing("There is no such picture.")
    return folder / name


def inside(path: Path, folders: Iterable[Path]) -> bool:
    """Whether a path, all links followed, lies in one of these folders."""
    real = os.path.realpath(path)
    for folder in folders:
        home = os.path.realpath(folder)
        try:
            if os.path.commonpath([real, home]) == home:
                return True
        except ValueError:  # another drive, or a mixture
            continue
    return False


def free_path(host: Host, text: str, what: str) -> Path:
    """A path of this machine that the user names.

    Args:
        host: which may be open to others; then none may be named.
        text: the path.
        what: is to be named, for the sentence.

    Raises:
        Refused: the webui is open to others.
        UserError: it is no whole path.
    """
    if host.remote():
        raise forbidden(
            f"This webui is open to other machines, so {what} cannot be named here; do it on its own machine."
        )
    if "\0" in text or not text.strip():
        raise UserError(f"Give the full path of {what}.", code="path-missing")
    path = Path(text.strip().strip('"')).expanduser()
    if not path.is_absolute():
        raise UserError(
            f"{text!r} is not an absolute path; give one that starts at the root, such as {Path.home()}.",
            code="path-not-absolute",
            path=text,
        )
    return path


def ensure_folder(path: Path) -> Path:
    """A folder, made if it is not there.

    Raises:
        UserError: it cannot be made.
    """
    with explained(path):
        file_permissions.make_folder(path)
    return path
