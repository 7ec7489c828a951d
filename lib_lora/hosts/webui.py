"""What A1111 and its forks share as hosts: folders, models by name, settings, who may come in, and the worker's ground.

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
from typing import Any

from PIL import Image

from lib_lora import environment
from lib_lora.errors import StoppedByUser, UserError
from lib_lora.hosts import auth, webui_captioners, webui_options, webui_page, webui_painting
from lib_lora.hosts.host_protocol import CardVisibility, Checkpoint, OfferedCaptioner, Roots
from lib_lora.hosts.queue_lock import take, turn
from lib_lora.hosts.webui_modules import loras_work, part
from lib_lora.hosts.webui_painting import PaintingWebui
from lib_lora.job_host import Each, never
from lib_lora.models.families.registry import families
from lib_lora.pictures import Cell

_DROPPED = ("PYTHONPATH", "COMMANDLINE_ARGS", "PYTORCH_CUDA_ALLOC_CONF")
_SAYS = "SameFace is training a LoRA; pictures wait until it is done."


class Webui(PaintingWebui):
    """A webui. `app` is the FastAPI app of the page that is shown now, once there is one."""

    name = "webui"

    def __init__(self) -> None:
        self.app: Any = None
        self.version = _version()
        self._holds = False  # the queue, in `gpu_session`

    # Where things are

    def roots(self) -> Roots:
        flags, paths = part("shared").cmd_opts, part("paths_internal")
        data = Path(os.path.abspath(paths.data_path))  # noqa: PTH100 - as the webui: links stay
        loras = [Path(folder) for folder in self._lora_folders(flags)] if loras_work() else []
        bases = [Path(folder) for folder in (part("sd_models").model_path, flags.ckpt_dir) if folder]
        here = [loras, bases]
        loras, bases = ([data / folder if not folder.is_absolute() else folder for folder in some] for some in here)
        return Roots(data / Path(webui_options.data_folder()).expanduser(), loras, bases)

    def _lora_folders(self, flags: Any) -> list[str]:
        return [flags.lora_dir]

    def checkpoints(self) -> list[Checkpoint]:
        known = list(part("sd_models").checkpoints_list.values())
        return [Checkpoint(info.title, Path(info.filename), info.sha256 or "") for info in known]

    def current_checkpoint(self) -> Path | None:
        """Not ``select_checkpoint``, which complains on the console each time it is asked."""
        models = part("sd_models")
        info = models.checkpoint_aliases.get(getattr(part("shared").opts, "sd_model_checkpoint", None))
        info = info or getattr(self.model(), "sd_checkpoint_info", None)
        info = info or next(iter(models.checkpoints_list.values()), None)
        return Path(info.filename) if info else None

    def model(self) -> Any:
        """The model that is loaded; None where none is. ``shared.sd_model`` would load one."""
        return part("sd_models").model_data.sd_model

    def samplers(self) -> list[str]:
        """Euler comes first: it is what the tests are measured with."""
        names = list(part("sd_samplers").visible_sampler_names())
        return sorted(names, key=lambda name: name != "Euler")

    # The GPU

    def busy(self) -> bool:
        lock = part("call_queue").queue_lock
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
        lock, state = part("call_queue").queue_lock, part("shared").state
        take(lock, give_up)
        self._holds = True
        try:
            self.send_away()
            if allow_painting:
                self._holds = False
                lock.release()
            else:
                state.textinfo = _SAYS  # what the API's /progress tells those who wait
            yield
        finally:
            if not self._holds:
                lock.acquire()
                self._holds = True
            try:
                self.bring_back()
            finally:
                if state.textinfo == _SAYS:
                    state.textinfo = None
                self._holds = False
                lock.release()

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
        return loras_work() and bool(part("sd_models").checkpoints_list)

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
        try:
            webui_painting.paint(self, pictures, base, each, stop)
        finally:
            gc.collect()
            _give_back()

    @contextmanager
    def on_checkpoint(self, title: str) -> Iterator[dict[str, Any]]:
        """In the block pictures are painted with a checkpoint; the queue is held.

        Args:
            title: of the checkpoint; empty = the selected one.

        Yields:
            The options that each request must override for that.
        """
        yield {"sd_model_checkpoint": title} if title else {}

    def reconstruct(self, image: Image.Image, stop: Callable[[], bool] = never) -> Image.Image | None:
        if self._holds:
            return None
        try:
            with turn(part("call_queue").queue_lock, stop):
                return self.on_its_thread(lambda: webui_painting.reconstructed(self, image))  # type: ignore[no-any-return]
        except StoppedByUser:
            return None
        except Exception as error:  # a model that is out of the common way
            part("errors").report(f"SameFace: the VAE could not be asked ({type(error).__name__}: {error})")
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
            with turn(part("call_queue").queue_lock, give_up):
                return self.on_its_thread(lambda: asked.phrases(image))  # type: ignore[no-any-return]
        finally:
            _give_back()

    # The model

    def ready_model(self) -> Any:
        """The selected model, on the GPU; None where there is none. The queue is held."""
        return part("sd_models").reload_model_weights()

    def refresh_loras(self, stem: str) -> None:
        for cards in part("ui_extra_networks").extra_pages:
            if cards.name == "lora":
                cards.refresh()
        webui_painting.forget_conditions()

    def shows(self, family: str) -> CardVisibility:
        model = self.model()
        loaded = next((one for one in families() if getattr(model, one.webui_flag, False)), None)
        if getattr(part("shared").opts, "lora_show_all", False) or loaded is None or loaded.name == family:
            return CardVisibility(True)
        names = next((one.label for one in families() if one.name == family), family), loaded.label
        return CardVisibility(
            False,
            f"The webui hides the card of a LoRA for {names[0]} while a model of {names[1]} is selected: select one of"
            f" {names[0]}, or turn on 'Always show all networks on the Lora page' in Settings.",
        )

    def paste_button(self, button: Any, infotext_box: Any) -> None:
        """Bind a button of the tab to txt2img; see `page.paste_button`."""
        webui_page.paste_button(button, infotext_box)

    # Who may do what

    def remote(self) -> bool:
        flags = part("shared").cmd_opts
        return any(
            getattr(flags, name, None)
            for name in ("webui_is_non_local", "share", "listen", "ngrok", "server_name", "subpath")
        )

    def admits(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> bool:
        flags = part("shared").cmd_opts
        login = any(getattr(flags, name, None) for name in ("gradio_auth", "gradio_auth_path"))
        return auth.admits(headers, cookies, getattr(flags, "api_auth", None), self.app, login)

    # The worker

    def worker_command(self) -> list[str]:
        """The webui's own Python."""
        return [sys.executable]

    def worker_environment(self) -> dict[str, str]:
        flags = part("shared").cmd_opts
        variables = {name: value for name, value in os.environ.items() if name not in _DROPPED}
        packages = environment.worker_packages()
        path = [*([str(packages)] if packages.is_dir() else []), str(environment.ROOT)]
        variables |= {
            "PYTHONPATH": os.pathsep.join(path),
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
        }
        if (device := getattr(flags, "device_id", None)) is not None:
            variables["CUDA_VISIBLE_DEVICES"] = _device(str(device), os.environ.get("CUDA_VISIBLE_DEVICES"))
        return variables


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
    """As the webui says it; git is asked at most once, by the webui itself at its start."""
    with suppress(Exception):
        said = str(part("launch_utils").git_tag())
        return "" if said == "<none>" else said.removeprefix("v")
    return ""
