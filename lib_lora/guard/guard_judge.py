"""Judges pictures of whichever character is asked for, as a production does, in one thread of its own.

A webui paints in whichever thread is free, and a face engine's networks belong to a thread: so that they are loaded
once, all pictures are judged in one. Template and lines are loaded once for each character, and again when its photos
change.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from lib_lora.errors import UserError
from lib_lora.guard.guard_settings import GuardSettings
from lib_lora.workspace.workspace import CharacterFolder, Workspace

if TYPE_CHECKING:
    from lib_lora.faces.face import FaceEngine
    from lib_lora.workflows.produce.picture_check import Checked, PictureCheck

_REMEMBERED = 8  # characters, each with a line


class GuardJudge:
    """See the module. May be called from any thread.

    Args:
        root: gives the data folder.
        engine: gives the face engine; None = the default one.
    """

    def __init__(self, root: Callable[[], Path], engine: Callable[[], FaceEngine] | None = None) -> None:
        self._root, self._make_engine = root, engine
        self._engine: FaceEngine | None = None
        self._checks: OrderedDict[Any, tuple[Any, PictureCheck]] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, "sameface-guard")

    def __call__(self, image: Image.Image, infotext: str, settings: GuardSettings) -> Checked:
        """What is to be said of a picture.

        Args:
            image: the picture.
            infotext: what the webui says of how it was painted.
            settings: whom it should show, and by which line.

        Raises:
            UserError: there is no such character, or no face in its photos.
        """
        return self._thread.submit(self._judge, image, infotext, settings).result()

    def names(self) -> list[str]:
        """The characters that there are."""
        from lib_lora.character.store import load

        found = []
        for folder in Workspace(self._root()).character_folders():
            try:
                found.append(load(folder).name)
            except UserError:  # its file is damaged, which the tab says
                continue
        return found

    def name(self, wanted: str) -> str:
        """The name of the character that is meant.

        Raises:
            UserError: none is named, and there is none, or more than one.
        """
        if wanted:
            return wanted
        names = self.names()
        if len(names) == 1:
            return names[0]
        raise UserError(
            "Choose a character in the SameFace guard." if names else "There is no character to look for yet.",
            "character",
            code="guard-without-character",
        )

    def _judge(self, image: Image.Image, infotext: str, settings: GuardSettings) -> Checked:
        from lib_lora.grid.picture_origin import origin_of_infotext

        check = self._check(self.name(settings.character), settings)
        return check.pixels(image, origin_of_infotext(infotext, image.size), elsewhere=True)

    def _check(self, name: str, settings: GuardSettings) -> PictureCheck:
        from lib_lora.character.store import load
        from lib_lora.workflows.produce.picture_check import PictureCheck

        folder = Workspace(self._root()).character(name)
        key, now = (folder.path, settings.line, settings.several), _photos_now(folder)
        then, check = self._checks.pop(key, (None, None))
        if check is None or then != now:
            own = load(folder).name
            check = PictureCheck(folder, own, self._loaded(), None, settings.line, settings.several)
        self._checks[key] = now, check
        while len(self._checks) > _REMEMBERED:
            self._checks.popitem(last=False)
        return check

    def _loaded(self) -> FaceEngine:
        if self._engine is None:
            from lib_lora.faces.engines.opencv_engine import SFaceEngine

            self._engine = self._make_engine() if self._make_engine else SFaceEngine()
        return self._engine


def _photos_now(folder: CharacterFolder) -> Any:
    """What changes when a photo, or what the user says of one, does."""
    from lib_lora.character.photo_files import list_photos
    from lib_lora.photos.audit.audit_store import FILE

    files = [folder.file, folder.path / FILE, *(list_photos(folder.photos) if folder.photos.is_dir() else [])]
    found = []
    for path in files:
        try:
            state = path.stat()
            found.append((path.name, state.st_size, state.st_mtime_ns, state.st_ino))
        except OSError:
            found.append((path.name, 0, 0, 0))
    return found
