"""Knows which providers let GPUs: the one list that a further one is added to. Imports none of them.

In ``--on`` and in a job's arguments a provider's name says that a GPU is rented there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from lib_lora.remote.renting.rental_api import RentalApi


@dataclass(frozen=True)
class GpuProvider:
    """Who lets GPUs.

    Attributes:
        name: in ``--on``, and of its API key.
        title: as people write it.
        key_variable: of the environment, in which its own programs look for the key.
        client: the module and the class that makes a `RentalApi` of an API key.
    """

    name: str
    title: str
    key_variable: str
    client: tuple[str, str]

    def account(self, key: str) -> RentalApi:
        """The account of an API key.

        Raises:
            UserError: that can be none.
        """
        module, name = self.client
        make = cast("Callable[[str], RentalApi]", getattr(import_module(module), name))
        return make(key)


PROVIDERS = (GpuProvider("runpod", "RunPod", "RUNPOD_API_KEY", ("lib_lora.remote.runpod.runpod_api", "RunpodApi")),)
USUAL = PROVIDERS[0]  # where nothing else is said
NAMES = tuple(provider.name for provider in PROVIDERS)


def is_rented(on: str) -> bool:
    """Whether ``--on`` says that a GPU is rented."""
    return on in NAMES


def provider_named(on: str) -> GpuProvider:
    """The provider that ``--on`` names.

    Raises:
        KeyError: it names none.
    """
    return {provider.name: provider for provider in PROVIDERS}[on]
