"""Captions by asking the process that started this one, which is a webui; it loads nothing itself.

Each photo goes there as a PNG file in a folder of the job, made small, and is deleted afterwards.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from PIL import Image

from lib_lora import file_permissions
from lib_lora.captions.captioner import LONGEST, MOST
from lib_lora.errors import UserError
from lib_lora.files import atomic_file, explained, printable
from lib_lora.queue.running.worker_pipe import WorkerPipe

PREFIX = "webui-"  # of the names of a webui's captioners
_SIDE = 1024  # pixels of the longer side at most; captioners look at 512 and less


class RemoteCaptioner:
    """See `captions.captioner.Captioner`.

    Args:
        pipe: to the parent.
        folder: where the photos are put; made if it is not there.
        name: of the webui's captioner.
    """

    def __init__(self, pipe: WorkerPipe, folder: Path, name: str) -> None:
        self.id = name
        self._pipe, self._folder = pipe, folder

    def phrases(self, image: Image.Image) -> list[str]:
        """See `captions.captioner.Captioner`.

        Raises:
            UserError: the webui has no such captioner, cannot use it now, or gives no phrases.
            StoppedByUser: see `WorkerPipe.ask`.
        """
        with explained(self._folder):
            file_permissions.make_folder(self._folder)
        given = self._folder / "photo.png"
        small = image.copy()
        small.thumbnail((_SIDE, _SIDE))
        with explained(given), atomic_file(given) as stream:
            small.save(stream, "PNG", compress_level=1)  # it is read again at once
        try:
            [*_, answer] = self._pipe.ask("caption", captioner=self.id, file=str(given))
        finally:
            with suppress(OSError):
                given.unlink()
        said = answer.get("phrases")
        if not isinstance(said, list):
            raise UserError(
                f"{self.id} gave no phrases; restart the webui, or use another captioner.",
                code="captioner-failed",
                captioner=self.id,
            )
        return [text for one in said[:MOST] if isinstance(one, str) and (text := printable(one).strip()[:LONGEST])]
