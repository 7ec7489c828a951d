"""Asks for a code (`codes`) before a program is run or a folder written to; a confirmed folder stays confirmed."""

from __future__ import annotations

from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.files import read_json, write_json
from lib_lora.ui.http import paths
from lib_lora.ui.http.request_context import RequestContext
from lib_lora.ui.http.responses import Refused
from lib_lora.workspace.workspace import Workspace

_MOST = 50  # folders that are remembered


def confirm(context: RequestContext, about: str, code: str) -> None:
    """Let a request pass that has the code for what it wants.

    Args:
        context: holds the codes.
        about: what it wants, as the words after "SameFace is asked to".
        code: that it has; empty = none yet.

    Raises:
        Refused: it has not; a code is shown where SameFace runs.
    """
    if code and context.codes.confirms(about, code):
        return
    context.codes.ask(about)
    where = "the terminal where SameFace runs" if context.host.name == "alone" else "the webui's console"
    if code:
        raise Refused(428, f"Wrong code; enter the one shown in {where}.", code="confirmation-wrong")
    raise Refused(428, f"This must be confirmed with a code; enter the one shown in {where}.")


def confirm_folder(context: RequestContext, folder: Path, code: str) -> None:
    """Let a request pass that wants LoRAs in a folder: one of the host's, one that was confirmed before, or it has the
    code, which confirms the folder for all times.

    Raises:
        Refused: it has not, as in `confirm`.
    """
    known = folders(context.root)
    if paths.inside(folder, [*context.host.roots().loras, *known]):
        return
    confirm(context, f"copy LoRAs into {folder}", code)
    write_json(Workspace(context.root).confirmed, {"folders": [str(folder), *map(str, known)][:_MOST]})


def folders(root: Path) -> list[Path]:
    """Folders that were confirmed; where the file is damaged, none was."""
    try:
        found = read_json(file)["folders"] if (file := Workspace(root).confirmed).is_file() else []
        return [Path(one) for one in found if isinstance(one, str)]
    except (UserError, KeyError, TypeError):
        return []
