"""Implements the part of a host that A1111 and its forks share: folders, models, settings, access, what a worker needs.

How each takes its models off the GPU is in `a1111` and `forge`; how all of them paint is in `webui_painting`.
"""

from __future__ import annotations

import gc
import os
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

from PIL import Image

from lib_lora.errors import StoppedByUser, UserError
from lib_lora.hosts import auth
from lib_lora.hosts.host_protocol import CardVisibility, Checkpoint, HostLack, OfferedCaptioner, Roots
from lib_lora.hosts.webui_attributes import (
    CARDS,
    PAINTING,
    PROMPT,
    AttributeMissing,
    ask,
    ask_or,
    lack,
    lacking,
    loras_work,
    missing,
    put,
    report,
    sentence,
    works,
)
from lib_lora.hosts.webuis import webui_captioners, webui_detailer, webui_page, webui_painting
from lib_lora.hosts.webuis.queue_lock import take, turn
from lib_lora.hosts.webuis.webui_painting import PaintingWebui
from lib_lora.job_host import Each, never
from lib_lora.messages.message import Message
from lib_lora.models import clip_tokens
from lib_lora.models.families.registry import families
from lib_lora.pictures import Cell
from lib_lora.setup import environment, packages

_DROPPED = ("PYTHONPATH", "COMMANDLINE_ARGS", "PYTORCH_CUDA_ALLOC_CONF")
_SAYS = "SameFace is training a LoRA; pictures wait until it is done."


class Webui(PaintingWebui):
    """A webui. `app` is the FastAPI app of the page that is shown now, once there is one."""

    name = "webui"

    def __init__(self) -> None:
        self.app: Any = None
        self.version = _version()
        self._holds = False  # the queue, in `gpu_session`
        self._own_queue = Lock()  # of a webui that has none
        clip_tokens.add_search_folder(packages.worker_packages)  # Forge Neo has no ftfy and no open_clip

    # Where things are

    def roots(self) -> Roots:
        """See `Host`.

        Raises:
            UserError: this webui does not say where its data is.
        """
        given = ask_or("paths_internal:data_path", ask_or("paths:data_path")) or ask("paths_internal:data_path")
        data = Path(os.path.abspath(given))  # noqa: PTH100 - as the webui: links stay
        loras = _folders(data, "lora_dir", "lora_dirs", *self.further_lora_flags) if loras_work() else []
        bases = _folders(data, "ckpt_dir", "ckpt_dirs", first=ask_or("sd_models:model_path"))
        return Roots(data / Path(webui_page.data_folder()).expanduser(), loras, bases, _wildcards())

    further_lora_flags: tuple[str, ...] = ()

    def checkpoints(self) -> list[Checkpoint]:
        found = []
        for info in list(ask_or("sd_models:checkpoints_list", {}).values()):
            with suppress(AttributeError):  # one that is not like the others
                path = Path(info.filename)
                found.append(Checkpoint(getattr(info, "title", path.name), path, getattr(info, "sha256", None) or ""))
        return found

    def current_checkpoint(self) -> Path | None:
        """Not ``select_checkpoint``, which complains on the console each time it is asked."""
        info = ask_or("sd_models:checkpoint_aliases", {}).get(ask_or("shared:opts.sd_model_checkpoint"))
        info = info or getattr(self.model(), "sd_checkpoint_info", None)
        info = info or next(iter(ask_or("sd_models:checkpoints_list", {}).values()), None)
        file = getattr(info, "filename", None)
        return Path(file) if file else None

    def model(self) -> Any:
        """The model that is loaded; None where none is. ``shared.sd_model`` would load one."""
        return ask_or("sd_models:model_data.sd_model")

    def samplers(self) -> list[str]:
        """Euler comes first: it is what the tests are measured with."""
        visible = ask_or("sd_samplers:visible_sampler_names")
        names = list(visible()) if visible else list(ask_or("sd_samplers:all_samplers_map", ()))
        return sorted(names or ["Euler"], key=lambda name: name != "Euler")

    # The GPU

    def busy(self) -> bool:
        lock = self._queue()
        if self._holds:
            return False
        if not lock.acquire(blocking=False):
            return True
        lock.release()
        return False

    @contextmanager
    def gpu_session(self, allow_painting: bool = False, give_up: Callable[[], bool] = never) -> Iterator[None]:
        """See `host_protocol.Host`.

        Args:
            allow_painting: others may paint in the block; the model then comes back with their first picture.
            give_up: asked while it waits for its turn.

        Raises:
            StoppedByUser: it was given up while it waited.
        """
        lock = self._queue()
        take(lock, give_up)
        self._holds = True
        try:
            self._clear_gpu()
            if allow_painting:
                self._holds = False
                lock.release()
            else:
                put("shared:state.textinfo", _SAYS)  # what the API's /progress tells those who wait
            yield
        finally:
            if not self._holds:
                lock.acquire()
                self._holds = True
            try:
                self.bring_back()
            finally:
                if ask_or("shared:state.textinfo") == _SAYS:
                    put("shared:state.textinfo", None)
                self._holds = False
                lock.release()

    def _queue(self) -> Any:
        return ask_or("call_queue:queue_lock", self._own_queue)

    def _clear_gpu(self) -> None:
        """A webui that has changed keeps its model where it is, and the training goes on beside it."""
        try:
            self.send_away()
        except AttributeMissing as error:
            report(f"SameFace: {error}")

    @abstractmethod
    def send_away(self) -> None:
        """All models leave the GPU; the queue is held. Whatever happens, `bring_back` follows."""

    @abstractmethod
    def bring_back(self) -> None:
        """The model comes back, now or with the next picture; the queue is held."""

    def on_its_thread(self, work: Callable[[], Any]) -> Any:
        """Run what touches the models where this webui wants it."""
        return work()

    # Painting

    def paints(self) -> bool:
        return loras_work() and bool(ask_or("sd_models:checkpoints_list")) and works(PAINTING, self.name)

    def paint(self, pictures: Sequence[Cell], base: Path | None, each: Each, stop: Callable[[], bool]) -> None:
        """The same, which may fail.

        Raises:
            UserError: it cannot be painted, or somebody pressed Interrupt.
        """
        if self._holds:
            raise UserError(
                "The webui cannot paint while a LoRA is being trained; wait until training has finished.",
                code="webui-busy-training",
            )
        if (lost := lacking(self.name).get(PAINTING)) is not None:
            raise missing(PAINTING, lost)
        try:
            webui_painting.paint(self, pictures, base, each, stop)
        finally:
            gc.collect()
            _give_back()

    @contextmanager
    def on_checkpoint(self, title: str) -> Iterator[None]:
        """See `PaintingWebui`."""
        if not title:
            yield
            return
        info, data = self.info(title), ask_or("shared:opts.data", {})
        own, digest = ask("sd_models:select_checkpoint"), data.get("sd_checkpoint_hash")
        put("sd_models:select_checkpoint", lambda: info)
        try:
            with ask("sd_models:SkipWritingToConfig")():
                ask("sd_models:reload_model_weights")()
                data["sd_checkpoint_hash"] = digest  # what the page says below
                yield
        finally:
            put("sd_models:select_checkpoint", own)

    def info(self, title: str) -> Any:
        """What the webui knows of a checkpoint, by its title.

        Raises:
            UserError: it is no longer listed.
        """
        found = ask("sd_models:checkpoint_aliases").get(title)
        if found is None:
            raise UserError(
                f"The webui no longer lists the checkpoint {title}; refresh its list of checkpoints, or choose another"
                " base model.",
                code="webui-checkpoint-unknown",
                base=title,
            )
        return found

    def reconstruct(self, image: Image.Image, stop: Callable[[], bool] = never) -> Image.Image | None:
        if self._holds:
            return None
        try:
            with turn(self._queue(), stop):
                return self.on_its_thread(lambda: webui_painting.reconstructed(self, image))  # type: ignore[no-any-return]
        except StoppedByUser:
            return None
        except Exception as error:  # a model that is out of the common way
            report(f"SameFace: the VAE could not be used ({type(error).__name__}: {error})")
            return None
        finally:
            _give_back()

    # Captions

    def captioners(self) -> list[OfferedCaptioner]:
        return webui_captioners.offered()

    def caption(self, captioner: str, image: Image.Image, stop: Callable[[], bool] = never) -> list[str]:
        training = UserError(
            f"{captioner} cannot look at photos while a LoRA is trained; wait until that is done, or use another"
            " captioner.",
            code="webui-busy-training",
        )

        def give_up() -> bool:
            if self._holds:  # a training came first: hours would pass, and the jobs behind this one would wait as well
                raise training
            return stop()

        if self._holds:
            raise training
        asked = webui_captioners.webui_captioner(captioner)
        try:
            with turn(self._queue(), give_up):
                return self.on_its_thread(lambda: asked.phrases(image))  # type: ignore[no-any-return]
        finally:
            _give_back()

    # The model

    def ready_model(self) -> Any:
        """The selected model, on the GPU; None where there is none. The queue is held."""
        return ask("sd_models:reload_model_weights")()

    def refresh_loras(self, stem: str) -> None:
        for cards in ask_or("ui_extra_networks:extra_pages", ()):
            if cards.name == "lora":
                cards.refresh()
        webui_painting.forget_conditions()

    def lora_names(self) -> frozenset[str] | None:
        """The names of the files, and what those call themselves where only one does."""
        files, aliases = (ask_or(f"networks:{name}") for name in ("available_networks", "available_network_aliases"))
        if not isinstance(files, dict) or not isinstance(aliases, dict):
            return None
        twice = ask_or("networks:forbidden_network_aliases", ())
        return frozenset([*files, *(name for name in list(aliases) if name.lower() not in twice)])

    def detailer(self) -> str:
        return webui_detailer.detailer()

    def refresh_checkpoints(self) -> None:
        ask_or("sd_models:list_models", lambda: None)()

    def shows(self, family: str, marked: str = "") -> CardVisibility:
        lost = lacking(self.name)
        said = [sentence(feature, lost[feature]) for feature in (CARDS, PROMPT) if feature in lost]
        return CardVisibility(False, " ".join(said)) if said else self._shows(family, marked)

    def _shows(self, family: str, marked: str) -> CardVisibility:
        model = self.model()
        loaded = next((one for one in families() if getattr(model, one.webui_flag, False)), None)
        if ask_or("shared:opts.lora_show_all", False) or loaded is None or loaded.name == family:
            return CardVisibility(True)
        names = next((one.label for one in families() if one.name == family), family), loaded.label
        return CardVisibility(
            False,
            f"The webui hides the card of a LoRA for {names[0]} while a model of {names[1]} is selected: select one of"
            f" {names[0]}, or turn on 'Always show all networks on the Lora page' in Settings.",
        )

    def paste_button(self, button: Any, infotext_box: Any) -> None:
        """Bind a button of the tab to txt2img; see `webui_page.paste_button`."""
        webui_page.paste_button(button, infotext_box)

    def lacks(self) -> list[HostLack]:
        return [HostLack(one.name, lack(one, names), Message(one.mend)) for one, names in lacking(self.name).items()]

    # Who may do what

    def remote(self) -> bool:
        flags = ("webui_is_non_local", "share", "listen", "ngrok", "server_name", "subpath")
        return any(ask_or(f"shared:cmd_opts.{name}") for name in flags)

    def admits(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> bool:
        login = any(ask_or(f"shared:cmd_opts.{name}") for name in ("gradio_auth", "gradio_auth_path"))
        return auth.admits(headers, cookies, ask_or("shared:cmd_opts.api_auth"), self.app, login)

    # The worker

    def worker_command(self) -> list[str]:
        """The webui's own Python."""
        return [sys.executable]

    def worker_environment(self) -> dict[str, str]:
        variables = {name: value for name, value in os.environ.items() if name not in _DROPPED}
        own = packages.worker_packages()
        path = [*([str(own)] if own.is_dir() else []), str(environment.ROOT)]
        variables |= {
            "PYTHONPATH": os.pathsep.join(path),
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
        }
        if (device := ask_or("shared:cmd_opts.device_id")) is not None:
            variables["CUDA_VISIBLE_DEVICES"] = _device(str(device), os.environ.get("CUDA_VISIBLE_DEVICES"))
        return variables


def _folders(data: Path, *flags: str, first: str | None = None) -> list[Path]:
    """The folders that these flags name, each of which may be one path or many; relative ones are below `data`."""
    named = [first] if first else []
    for flag in flags:
        value = ask_or(f"shared:cmd_opts.{flag}") or ()
        named += [os.fspath(value)] if isinstance(value, (str, os.PathLike)) else list(value)
    found = (Path(one) for one in named if one)
    return list(dict.fromkeys(one if one.is_absolute() else data / one for one in found))


def _wildcards() -> list[Path]:
    """The folders ``wildcards`` of its extensions."""
    extensions = ask_or("paths_internal:extensions_dir")
    return sorted(path for path in Path(extensions).glob("*/wildcards") if path.is_dir()) if extensions else []


def _give_back() -> None:
    """What painting leaves free goes back to the system: the C library would keep hundreds of megabytes of it."""
    with suppress(Exception):  # a torch in disorder
        from lib_lora.models.fast.memory import give_back

        give_back()


def _device(number: str, visible: str | None) -> str:
    """The webui's ``--device-id`` counts among the devices that it sees itself."""
    seen = [one.strip() for one in visible.split(",")] if visible else []
    return seen[int(number)] if number.isdigit() and int(number) < len(seen) else number


def _version() -> str:
    """The version, as the webui says it; git is asked at most once, by the webui itself at its start."""
    with suppress(Exception):
        said = str(ask("launch_utils:git_tag")())
        return "" if said == "<none>" else said.removeprefix("v")
    return ""
