"""Makes captioners by name, as a user writes them: ``blip:FOLDER``, ``clip:FILE``, ``clip``.

Nothing is ever downloaded.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from lib_lora.captions.captioner import Captioner
from lib_lora.captions.vocabulary import NEUTRAL, SLOTS, UNSAID, clear
from lib_lora.clip.clip_model import FILE, Clip, ClipWeights, find_weights
from lib_lora.errors import UserError

PROCEDURE = 1  # raise it whenever the same picture may give other phrases
NAMES = {
    "blip:FOLDER": "a BLIP model in Hugging Face's form",
    "clip:FILE": "a CLIP model's weights",
    "clip": "the CLIP model that is found on this machine",
}


class ClipCaptioner:
    """Chooses among the phrases of `captions.vocabulary` where one clearly fits best; see `captioner.Captioner`."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._neutral = clip.texts(NEUTRAL)
        self._slots = [(slot, clip.texts(slot.prompts())) for slot in SLOTS]
        self.id = f"words-{PROCEDURE}:{clip.id}"

    def phrases(self, image: Image.Image) -> list[str]:
        """At most one phrase for each slot. CLIP sees the largest square in the middle."""
        [seen] = self._clip.features([image])
        neutral = [float(one) for one in self._neutral @ seen]
        found = []
        for slot, texts in self._slots:
            place = clear([float(one) for one in texts @ seen], neutral)
            if place is not None and slot.phrases[place] not in UNSAID:
                found.append(slot.phrases[place])
        return found


def captioner_of(name: str, root: Path, device: str = "cpu", keep_hair: bool = False) -> Captioner:
    """The captioner with a name, loaded.

    Args:
        name: one of `NAMES`; a path that is not absolute is looked for in the working folder, then in `root`.
        root: the data folder.
        device: "cpu" or "cuda".
        keep_hair: colour, length and kind of hair are wanted, where the captioner says them.

    Raises:
        UserError: there is no such captioner, or its model is not there, damaged, or no such model.
    """
    kind, colon, path = name.strip().partition(":")
    if kind == "blip" and path:
        from lib_lora.captions.blip import Blip

        return Blip(_place(path, root), device, keep_hair)
    if kind == "clip" and path:
        return ClipCaptioner(Clip(_weights(_place(path, root)), device))
    if kind == "clip" and not colon:
        weights = find_weights()
        if weights is None:
            raise UserError(
                f"No CLIP model is on this machine; name its file with clip:FILE or in {FILE}.",
                code="clip-model-missing",
            )
        return ClipCaptioner(Clip(weights, device))
    choices = ", ".join(f"{choice} ({what})" for choice, what in NAMES.items())
    raise UserError(f"There is no captioner {name!r}; use one of {choices}.", code="captioner-unknown", captioner=name)


def _place(text: str, root: Path) -> Path:
    path = Path(text).expanduser()
    below = root / path
    return below if not path.exists() and below.exists() else path


def _weights(path: Path) -> ClipWeights:
    """What is known about a file of weights: much, if it is the one that would be found anyway."""
    if not path.is_file():
        raise UserError(
            f"There is no file {path}; clip: takes the file of a CLIP model's weights.",
            code="clip-file-missing",
            file=path,
        )
    known = find_weights()
    return known if known is not None and known.path.resolve() == path.resolve() else ClipWeights(path, path.name)
