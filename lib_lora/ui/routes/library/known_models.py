"""Lists the models that the webui knows: base models and LoRAs, the folders for them, the picture beside each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.ui.http.request_context import RequestContext
from lib_lora.ui.http.responses import forbidden, missing
from lib_lora.workflows.library.library_table import files_in

_PREVIEWS = (".preview.png", ".png", ".jpg", ".jpeg", ".webp", ".preview.jpg", ".preview.jpeg", ".preview.webp")


def files_of(context: RequestContext) -> tuple[list[Path], list[Path], str]:
    """Base models and LoRAs, and why some are left out."""
    bases = [one.path for one in context.host.checkpoints() if one.path.is_file()]
    folders = [folder for folder in context.host.roots().loras if folder.is_dir()]
    try:
        return bases, files_in(folders), ""
    except UserError as error:
        return bases, [], str(error)


def folder_for(context: RequestContext, base: bool) -> Path | None:
    """Where base models, or LoRAs, are fetched to; None = there is no folder for them."""
    roots = context.host.roots()
    folders = roots.checkpoints if base else roots.loras
    return folders[0] if folders else None


def picture_beside(path: Path) -> Path | None:
    """The picture that the webui's card of a model shows; None = there is none."""
    beside = (path.with_name(f"{path.stem}{suffix}") for suffix in _PREVIEWS)
    return next((one for one in beside if one.is_file()), None)


def named_models(context: RequestContext, files: Sequence[str]) -> list[Path]:
    """The paths of models of the list.

    Raises:
        Refused: one is not among these.
    """
    bases, loras, _ = files_of(context)
    by_text = {str(path): path for path in (*bases, *loras)}
    for file in files:
        if file not in by_text:
            raise missing(f"The webui has no model {Path(file).name or 'of that name'}.")
    return [by_text[file] for file in files]


def see_owner(context: RequestContext) -> None:
    """
    Raises:
        Refused: somebody on another machine may ask.
    """
    if context.host.remote():
        raise forbidden("This webui is open to other machines, so Civitai can be neither set up nor asked from here.")
