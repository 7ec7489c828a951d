"""Hosts SameFace in A1111 (and its UX fork), whose models it moves off the GPU and back.

It never moves a model back by itself: ``reload_model_weights`` does nothing while the file is the same. So as long as
the model is away that function is another one, which brings it back first. A picture in between, or a way back that
failed because the GPU was still full, then ends well.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any

from lib_lora.hosts.webui_attributes import ask, ask_or, networks, put, report
from lib_lora.hosts.webuis.webui import Webui
from lib_lora.hosts.webuis.webui_painting import forget_conditions


class A1111(Webui):
    """See `Webui`.

    Args:
        name: "a1111" or "ux".
    """

    further_lora_flags = ("lyco_dir_backcompat",)

    def __init__(self, name: str = "a1111") -> None:
        super().__init__()
        self.name = name
        self._away: list[Any] = []  # models
        self._reload: Callable[..., Any] | None = None  # the webui's own, while ours stands in for it

    def send_away(self) -> None:
        """See `Webui`. The model stays in the computer's memory: back from there takes a second, from the disk many."""
        send, _ = (
            ask("sd_models:send_model_to_cpu"),
            ask("sd_models:send_model_to_device"),
        )  # no way out without one back
        # at the webui's start the model is loaded without the queue, but with a lock of its own
        with ask_or("sd_models:model_data.lock", nullcontext()):
            loaded = list(ask("sd_models:model_data.loaded_sd_models"))
        current = self.model()
        self._away = [one for one in loaded if one is current or _place(one) != "cpu"]
        self._stand_in()
        for model in loaded:
            send(model)
        for others in (_interrogators, _face_restorers, _controlnet):
            with suppress(Exception):  # guests that may be absent, or of another version
                others()
        forget_conditions()
        gc.collect()
        ask_or("devices:torch_gc", _nothing)()

    def bring_back(self) -> None:
        """See `Webui`. Where it fails it is tried again with the next picture."""
        try:
            self._return()
        except Exception as error:
            report(
                f"SameFace: the model could not be moved back to the GPU ({type(error).__name__}: {error}); the "
                "next picture will try again"
            )
        ask_or("devices:torch_gc", _nothing)()

    def _return(self) -> None:
        while self._away:
            if any(self._away[-1] is one for one in ask("sd_models:model_data.loaded_sd_models")):
                ask("sd_models:send_model_to_device")(self._away[-1])
            self._away.pop()
        self._stand_down()

    def _stand_in(self) -> None:
        if self._reload is not None:
            return
        own = self._reload = ask("sd_models:reload_model_weights")

        def reload_model_weights(*arguments: Any, **named: Any) -> Any:
            self._return()
            return own(*arguments, **named)

        self._ours = reload_model_weights
        put("sd_models:reload_model_weights", reload_model_weights)

    def _stand_down(self) -> None:
        if self._reload is not None and ask_or("sd_models:reload_model_weights") is self._ours:
            put("sd_models:reload_model_weights", self._reload)
            self._reload = None  # where another extension has put its own on top, ours stays below it and does nothing

    def paints_nans(self) -> bool:
        """See `PaintingWebui`."""
        return bool(ask_or("shared:cmd_opts.disable_nan_check", False))

    def refresh_loras(self, stem: str) -> None:
        """See `Webui`. Layers go by a LoRA's name: where its file was deleted and another came under that name, they
        would keep the old one's weights."""
        super().refresh_loras(stem)
        if not stem or networks() is None:
            return
        ask_or("networks:networks_in_memory", {}).pop(stem, None)
        for layer in getattr(self.model(), "network_layer_mapping", {}).values():
            if any(one[0] == stem for one in getattr(layer, "network_current_names", ())):
                layer.network_current_names = (("", 0.0, 0.0, None),)  # none that is ever wanted

    def settle(self) -> None:
        """See `Webui`."""
        ask("sd_models:reload_model_weights")()


def _nothing() -> None:
    """What a webui without it does."""


def _place(model: Any) -> str:
    """The kind of device that a model is on."""
    with suppress(Exception):
        return str(next(model.parameters()).device.type)
    return str(getattr(model, "device", "")).split(":")[0]


def _interrogators() -> None:
    """They come back by themselves when they are asked."""
    interrogator = ask_or("shared:interrogator")
    with suppress(AttributeError):
        interrogator.send_clip_to_ram()
        interrogator.send_blip_to_ram()
    tagger = ask_or("deepbooru:model")
    if getattr(tagger, "model", None) is not None:
        tagger.model.to(ask("devices:cpu"))


def _face_restorers() -> None:
    """Only those that are loaded: to touch the others fetches files."""
    for restorer in ask_or("shared:face_restorers", ()):
        if getattr(restorer, "net", None) is not None:
            restorer.send_model_to(ask("devices:cpu"))


def _controlnet() -> None:
    for script in getattr(ask_or("scripts:scripts_txt2img"), "alwayson_scripts", ()):
        if script.title() == "ControlNet":
            script.clear_control_model_cache()
