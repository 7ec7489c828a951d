"""Offers the webui's own BLIP and its booru tagger as captioners (A1111 1.10, Forge, reForge).

The webui fetches their files from the internet when they are first used. Here each file is looked for first, where the
webui itself will look, and nothing is fetched: a captioner whose files are missing says which button of the webui
fetches them. The interrogator's CLIP is not loaded: a sentence needs only BLIP. To be called by one thread at a time
that holds the webui's ``queue_lock``, as all work on its models is.

Knows the webui's modules by their names and imports them only when a captioner is made or asked.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from PIL import Image

from lib_lora.captions import captioner
from lib_lora.captions.captioner import Captioner
from lib_lora.errors import UserError
from lib_lora.hosts.host_protocol import OfferedCaptioner
from lib_lora.hosts.webui_attributes import AttributeMissing, ask, ask_or

LOG = logging.getLogger("sameface")
BLIP, TAGS = "webui-blip", "webui-tags"
NAMES = {  # the plainest first
    TAGS: "The webui's DeepBooru adds tags",
    BLIP: "The webui's BLIP adds a sentence of its own",
}
_Answer = TypeVar("_Answer")

# Names as in modules/interrogate.py and modules/deepbooru.py; sizes as users report them.
_BLIP_FILE = "model_base_caption_capfilt_large.pth (0.9 GB)"
_BLIP_WORDS = "the vocabulary bert-base-uncased (0.3 MB)"
_TAGS_FILE = "model-resnet_custom_v3.pt (0.6 GB)"
_BUTTONS = {BLIP: "Interrogate CLIP", TAGS: "Interrogate DeepBooru"}


class WebuiCaptioner(Captioner, Protocol):
    """A captioner that knows which of its files are missing."""

    def missing(self) -> list[str]:
        """The files, in words, that the webui would fetch if it was asked now."""
        ...


def offered() -> list[OfferedCaptioner]:
    """The captioners that this webui has; the plainest first.

    One that fails in an unexpected way is offered with the reason why it is not ready, and the others are as usable as
    before.
    """
    found = []
    for name, text in NAMES.items():
        try:
            why = _fetch_it(name, webui_captioner(name).missing())
        except UserError:  # this webui lacks it
            continue
        except Exception as error:  # another program's, which extensions patch
            LOG.warning("The webui's captioner %s cannot be used.", name, exc_info=error)
            why = _failed(name, error)
        found.append(OfferedCaptioner(name, text, why))
    return found


def webui_captioner(name: str) -> WebuiCaptioner:
    """One of the webui's captioners; the model itself is loaded with the first picture.

    Args:
        name: one of `NAMES`.

    Raises:
        UserError: no such captioner, or the webui lacks it.
    """
    if name == BLIP:
        return WebuiBlip()
    if name == TAGS:
        return WebuiTags()
    raise UserError(
        f"The webui has no captioner {name!r}; use one of {', '.join(NAMES)}.", code="captioner-unknown", captioner=name
    )


class WebuiBlip:
    """``shared.interrogator``'s BLIP; see `captioner.Captioner`. Beams and length are the webui's own settings."""

    id = BLIP

    def __init__(self) -> None:
        self._interrogator: Any = _asked_for("shared:interrogator", BLIP)
        if not _has(self._interrogator, ("load_blip_model", "generate_caption", "send_blip_to_ram")):
            raise UserError(_absent(BLIP), code="webui-captioner-missing", captioner=BLIP)

    def missing(self) -> list[str]:
        """See `WebuiCaptioner`; none once the model is loaded."""
        if self._interrogator.blip_model is not None:
            return []
        files = [] if _there("BLIP", ".pth") else [_BLIP_FILE]
        return files if _words_there() else [*files, _BLIP_WORDS]

    def sentence(self, image: Image.Image) -> str:
        """What the webui's BLIP says of a picture, as it says it."""
        _refuse(BLIP, self.missing())
        return str(_asked(BLIP, lambda: self._said(image.convert("RGB"))))

    def phrases(self, image: Image.Image) -> list[str]:
        """See `captioner.Captioner`.

        Raises:
            UserError: a file is missing, or the webui cannot load or use its model.
        """
        return captioner.of_sentence(self.sentence(image))

    def _said(self, image: Image.Image) -> str:
        """As ``InterrogateModels.interrogate`` does it, without its CLIP."""
        interrogator, collect = self._interrogator, _asked_for("devices:torch_gc", BLIP)
        if hasattr(interrogator, "blip_patcher"):
            _load_on_forge(interrogator)
            return str(interrogator.generate_caption(image))  # Forge sends models away by itself
        _asked_for("lowvram:send_everything_to_cpu", BLIP)()
        collect()
        try:
            _load_on_a1111(interrogator)
            return str(interrogator.generate_caption(image))
        finally:
            interrogator.send_blip_to_ram()
            collect()


class WebuiTags:
    """``modules.deepbooru``; see `captioner.Captioner`. Threshold, order and filter are the webui's own settings."""

    id = TAGS

    def __init__(self) -> None:
        self._tagger: Any = _asked_for("deepbooru:model", TAGS)
        if not _has(self._tagger, ("start", "tag_multi", "stop")):
            raise UserError(_absent(TAGS), code="webui-captioner-missing", captioner=TAGS)

    def missing(self) -> list[str]:
        """See `WebuiCaptioner`; none once the model is loaded."""
        there = self._tagger.model is not None or _there("torch_deepdanbooru", ".pt")
        return [] if there else [_TAGS_FILE]

    def phrases(self, image: Image.Image) -> list[str]:
        """See `captioner.Captioner`.

        Raises:
            UserError: a file is missing, or the webui cannot load or use its model.
        """
        _refuse(TAGS, self.missing())
        return captioner.of_tags(str(_asked(TAGS, lambda: self._tags(image.convert("RGB")))))

    def _tags(self, image: Image.Image) -> str:
        """As ``DeepDanbooru.tag`` does it, but sent away after an error too, and without scores between the tags."""
        try:
            self._tagger.start()
            return str(self._tagger.tag_multi(image, force_disable_ranks=True))
        finally:
            if self._tagger.model is not None:  # loading may have failed
                self._tagger.stop()


def _load_on_a1111(interrogator: Any) -> None:
    """``InterrogateModels.load`` without CLIP, which `interrogate` needs and this does not."""
    if interrogator.blip_model is None:
        model = interrogator.load_blip_model()
        half = not ask_or("shared:cmd_opts.no_half", False) and not interrogator.running_on_cpu
        interrogator.blip_model = model.half() if half else model
    interrogator.blip_model = interrogator.blip_model.to(_asked_for("devices:device_interrogate", BLIP))
    interrogator.dtype = next(interrogator.blip_model.parameters()).dtype


def _load_on_forge(interrogator: Any) -> None:
    """The same on Forge and reForge, whose patchers move the models; both names are in their own module."""
    manager = ask_or("interrogate:memory_management") or _asked_for("interrogate:model_management", BLIP)
    patcher = _asked_for("interrogate:ModelPatcher", BLIP)
    if interrogator.blip_model is None:
        model = interrogator.load_blip_model()
        interrogator.blip_model = model.to(device=interrogator.offload_device, dtype=interrogator.dtype)
        interrogator.blip_patcher = patcher(
            interrogator.blip_model, load_device=interrogator.load_device, offload_device=interrogator.offload_device
        )
    manager.load_models_gpu([interrogator.blip_patcher])


def _asked_for(attribute: str, captioner_name: str) -> Any:
    """An attribute of the webui, see `webui_attributes.ask`.

    Raises:
        UserError: this is no webui, or one without it.
    """
    try:
        return ask(attribute)
    except AttributeMissing as error:
        raise UserError(_absent(captioner_name), code="webui-captioner-missing", captioner=captioner_name) from error


def _has(thing: Any, names: Iterable[str]) -> bool:
    return all(callable(getattr(thing, name, None)) for name in names)


def _absent(name: str) -> str:
    return f"This webui does not have {name}; use another captioner."


def _there(folder: str, suffix: str) -> bool:
    """Whether the webui finds a file, asked the way it looks itself, but without an address to fetch one from."""
    models, load = _asked_for("paths:models_path", folder), _asked_for("modelloader:load_models", folder)
    return bool(load(model_path=os.path.join(models, folder), ext_filter=[suffix]))  # noqa: PTH118


def _words_there() -> bool:
    """Whether BERT's vocabulary, which BLIP fetches for itself, is in the cache of the Hugging Face hub."""
    from transformers.utils import cached_file

    try:
        return cached_file("bert-base-uncased", "vocab.txt", local_files_only=True) is not None
    except OSError:  # so it says that it is not
        return False


def _fetch_it(name: str, missing: list[str]) -> str:
    """What to do about files that are missing; empty where none is."""
    if not missing:
        return ""
    what = " and ".join(missing)
    return f"The webui has not downloaded {what} yet; one click on {_BUTTONS[name]} in img2img does it."


def _refuse(name: str, missing: list[str]) -> None:
    """Raises: UserError: something is missing."""
    if missing:
        raise UserError(_fetch_it(name, missing), code="captioner-download-needed", captioner=name)


def _asked(name: str, ask: Callable[[], _Answer]) -> _Answer:
    """The webui's answer.

    Raises:
        UserError: instead of whatever goes wrong in there.
    """
    try:
        return ask()
    except UserError:
        raise
    except Exception as error:  # another program's, which extensions patch
        raise UserError(_failed(name, error), code="webui-captioner-failed", captioner=name) from error


def _failed(name: str, error: Exception) -> str:
    """The sentence for an error in the webui."""
    why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return f"The webui could not use {name} ({why}); see its console, or use another captioner."
