"""Lists the providers that rent out GPUs; a further provider is added here.

In ``--on`` and in a job's arguments a provider's name says that a GPU is rented there. Imports none of them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GpuProvider:
    """A provider that rents out GPUs.

    Attributes:
        name: in ``--on``, and of its API key.
        title: as people write it.
        key_variable: of the environment, in which its own programs look for the key.
        client: the module and the class that makes a `RentalApi` of an API key (`renting.rental_api.account_at`).
    """

    name: str
    title: str
    key_variable: str
    client: tuple[str, str]


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
