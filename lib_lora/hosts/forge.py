"""Forge and reForge as hosts: both move models by themselves, and work on the main thread."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from typing import Any

from lib_lora.hosts.webui import Webui
from lib_lora.hosts.webui_modules import part
from lib_lora.hosts.webui_painting import forget_conditions


class Forge(Webui):
    """See `Webui`. The model comes back with the next picture."""

    name = "forge"
    _manager = "backend.memory_management"

    def send_away(self) -> None:
        """See `Webui`."""
        manager = importlib.import_module(self._manager)

        def unload() -> None:
            manager.unload_all_models()
            forget_conditions()
            manager.soft_empty_cache(force=True)

        self.on_its_thread(unload)

    def bring_back(self) -> None:
        """See `Webui`."""

    def settle(self) -> None:
        """See `Webui`."""

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

        importlib.import_module("modules_forge.main_thread").run_and_wait_result(inner)
        if fault:
            raise fault[0]
        if not answer:
            raise RuntimeError("the webui's main thread did not do it")
        return answer[0]

    def ready_model(self) -> Any:
        """See `Webui`."""
        part("sd_models").forge_model_reload()
        return self.model()


class ReForge(Forge):
    """See `Forge`; the older of its ways."""

    name = "reforge"
    _manager = "ldm_patched.modules.model_management"

    def ready_model(self) -> Any:
        """See `Webui`."""
        return part("sd_models").reload_model_weights()
