"""Hosts SameFace in Forge, Forge Neo and reForge, which move models by themselves and work on the main thread."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lib_lora.hosts.host_protocol import CardVisibility
from lib_lora.hosts.webui_attributes import ask, ask_or, put
from lib_lora.hosts.webuis.webui import Webui
from lib_lora.hosts.webuis.webui_painting import forget_conditions
from lib_lora.models.families.registry import family_named

_PARAMETERS = "sd_models:model_data.forge_loading_parameters"


class Forge(Webui):
    """See `Webui`. The model comes back with the next picture."""

    name = "forge"
    full_precision = "--all-in-fp32"
    _manager = "backend.memory_management"

    def send_away(self) -> None:
        """See `Webui`."""
        unload_all, empty = ask(f"{self._manager}:unload_all_models"), ask(f"{self._manager}:soft_empty_cache")

        def unload() -> None:
            unload_all()
            forget_conditions()
            empty(force=True)

        self.on_its_thread(unload)

    def bring_back(self) -> None:
        """See `Webui`."""

    def settle(self) -> None:
        """See `Webui`."""

    @contextmanager
    def on_checkpoint(self, title: str) -> Iterator[None]:
        """See `Webui`. VAE, text encoders and storage type were chosen for the selected checkpoint, so that another one
        goes without. What the user selects meanwhile stays selected."""
        if not title:
            yield
            return
        info, data = self.info(title), ask_or("shared:opts.data", {})
        own, digest = ask(_PARAMETERS), data.get("sd_checkpoint_hash")
        ours = {**own, "checkpoint_info": info, "additional_modules": [], "unet_storage_dtype": None}
        put(_PARAMETERS, ours)
        try:
            ask("sd_models:forge_model_reload")()
            data["sd_checkpoint_hash"] = digest  # what the page says below
            yield
        finally:
            if ask(_PARAMETERS) is ours:
                put(_PARAMETERS, own)
            if self.model() is None:  # one that could not be loaded; Forge would take the one before for loaded
                put("sd_models:model_data.forge_hash", "")

    def on_its_thread(self, work: Callable[[], Any]) -> Any:
        """See `Webui`. An error there would only be printed, so it is carried over."""
        if threading.current_thread() is threading.main_thread():
            return work()  # to wait there for oneself would be for ever
        answer: list[Any] = []
        fault: list[BaseException] = []

        def inner() -> None:
            try:
                answer.append(work())
            except BaseException as error:
                fault.append(error)

        ask("modules_forge.main_thread:run_and_wait_result")(inner)
        if fault:
            raise fault[0]
        if not answer:
            raise RuntimeError("the webui's main thread did not respond")
        return answer[0]

    def ready_model(self) -> Any:
        """See `Webui`."""
        ask("sd_models:forge_model_reload")()
        return self.model()

    def paints_nans(self) -> bool:
        """See `PaintingWebui`."""
        return True

    def _shows(self, family: str, marked: str) -> CardVisibility:
        """It hides no card: the page's filter breaks off at ``True``, which JavaScript does not know."""
        return CardVisibility(True)

    def refuses(self, family: str) -> str:
        """See `Host`. It lists the kinds of model that it loads."""
        if why := self.sends_away():
            return why
        kinds = [kind for one in ask_or("backend.loader:possible_models", ()) for kind in one.matched_guesses]
        known, wanted = {kind.__name__ for kind in kinds}, family_named(family)
        if not kinds or not wanted.forge_name or wanted.forge_name in known:
            return ""
        return f"This webui does not load models of {wanted.label}, so SameFace itself paints the test pictures."

    def loras_now(self) -> tuple[str, Any]:
        """See `Webui`: what it was told to apply last, and a weak reference to what came of it."""
        model = self.model()
        made = getattr(model, "forge_objects_after_applying_lora", None)
        return str(getattr(model, "current_lora_hash", "")), (lambda: None) if made is None else weakref.ref(made)

    def applied(self, stem: str, before: tuple[str, Any]) -> bool:
        """See `Webui`. It lists a LoRA before it looks at what is in it. Where the file cannot be read it paints on
        with what was applied before; where nothing in it fits, with the model itself and no copy of it. That a LoRA
        lists no layers means nothing: Forge and its elder descendants never fill that list."""
        if all(one.name != stem for one in ask("networks:loaded_networks")):
            return False
        model = self.model()
        plain, made = (
            getattr(model, name, None) for name in ("forge_objects_original", "forge_objects_after_applying_lora")
        )
        if plain is None or made is None:
            return True  # this one does not say
        applied, previous = before
        if made is previous() and applied != str(getattr(model, "current_lora_hash", "")):
            return False
        return any(getattr(plain, part, None) is not getattr(made, part, None) for part in ("unet", "clip"))


class Neo(Forge):
    """Forge Neo; see `Forge`. It has dropped what came before SDXL but SD1, and all captioners."""

    name = "neo"
    full_precision = "--force-fp32"

    def __init__(self) -> None:
        super().__init__()
        release = str(ask_or("modules_forge.forge_version:release", self.version))
        self.version = "" if release == self.name else release  # upstream's tag is the name of its branch

    def _shows(self, family: str, marked: str) -> CardVisibility:
        """Its filter is off by itself, and compares the selected preset with the one in a LoRA's notes. Ours name the
        family ("SD1"), which is none to it: only a preset that the user has chosen in the card's editor hides it."""
        preset = str(ask_or("shared:opts.forge_preset", ""))
        chosen = marked if marked in ask_or("network:SD_VERSION", ()) else "Unknown"
        if not ask_or("shared:opts.lora_preset_filter", False) or chosen in ("Unknown", preset):
            return CardVisibility(True)
        return CardVisibility(
            False,
            f"The webui hides the card of this LoRA, whose preset is '{chosen}', while the preset '{preset}' is"
            f" selected: select '{chosen}', or turn off 'Filter Lora based on selected Preset' in Settings.",
        )

    def sends_away(self) -> str:
        """See `PaintingWebui`. A modified Neo (exo101's) can let a service on the internet paint everything."""
        if ask_or("shared:opts.forge_model_mode", "local") in (None, "", "local"):
            return ""
        return (
            "This webui is set to send prompts to a service on the internet, which would paint the test pictures: let"
            " SameFace itself paint them, or switch to local models at the top of the webui's page."
        )


class ReForge(Forge):
    """See `Forge`; the older of its ways."""

    name = "reforge"
    _manager = "ldm_patched.modules.model_management"
    on_checkpoint = Webui.on_checkpoint
    _shows = Webui._shows

    def ready_model(self) -> Any:
        """See `Webui`."""
        return ask("sd_models:reload_model_weights")()
