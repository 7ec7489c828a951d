"""Defines the interface of the program around SameFace: a webui, or SameFace alone.

Imports nothing heavy.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lib_lora.job_host import JobHost
from lib_lora.messages.message import Message


@dataclass(frozen=True)
class Roots:
    """Where the host keeps things.

    Attributes:
        data: SameFace's data folder.
        loras: folders whose LoRAs the host shows; the first is where new ones go. Empty: there is none.
        checkpoints: folders of base models.
        wildcards: folders of its extensions with files for wildcards in prompts.
    """

    data: Path
    loras: list[Path] = field(default_factory=list)
    checkpoints: list[Path] = field(default_factory=list)
    wildcards: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Checkpoint:
    """A base model that the host knows.

    Attributes:
        title: as the host shows it.
        path: of the file.
        sha256: where the host has it at hand, else empty.
    """

    title: str
    path: Path
    sha256: str = ""


@dataclass(frozen=True)
class CardVisibility:
    """Whether a LoRA's card will be seen in the host.

    Attributes:
        shown: the host lists it.
        why: if not, one sentence with what to do.
    """

    shown: bool
    why: str = ""


@dataclass(frozen=True)
class HostLack:
    """A feature that this host cannot give, since it is another one than SameFace knows.

    Attributes:
        name: of the feature, as the Doctor says it.
        text: what is missing and what that costs, one sentence; its code says of which feature.
        mend: what to do.
    """

    name: str
    text: Message
    mend: Message


@dataclass(frozen=True)
class OfferedCaptioner:
    """A captioner that the host has.

    Attributes:
        name: by which it is asked for; it begins with "webui-".
        text: what it does, for people.
        why: empty where it is ready, else one sentence with what to do.
    """

    name: str
    text: str
    why: str = ""


class Host(JobHost):
    """The program around SameFace. All methods may be called from any thread.

    Attributes:
        name: "a1111", "ux", "forge", "neo", "reforge" or "alone".
        version: of the program.
    """

    name: str
    version: str

    @abstractmethod
    def roots(self) -> Roots:
        """Where things lie now (settings may change while it runs)."""

    @abstractmethod
    def checkpoints(self) -> list[Checkpoint]:
        """The base models that it knows."""

    @abstractmethod
    def current_checkpoint(self) -> Path | None:
        """The one that is selected."""

    @abstractmethod
    def samplers(self) -> list[str]:
        """Names of samplers for test pictures; the first is the default."""

    @abstractmethod
    def busy(self) -> bool:
        """Whether it is painting now."""

    @abstractmethod
    def captioners(self) -> list[OfferedCaptioner]:
        """The captioners that it has, ready or not; the plainest first."""

    @abstractmethod
    def refresh_loras(self, stem: str) -> None:
        """Make a LoRA that has just been written known; the page's own list is refreshed by the browser's script."""

    def refresh_checkpoints(self) -> None:
        """Make a base model that has just been written known; a host that looks into its folders each time need not."""

    @abstractmethod
    def shows(self, family: str, marked: str = "") -> CardVisibility:
        """Whether the card of a LoRA is seen with the model, or the preset, that is selected.

        Args:
            family: of the model that it is for (`models.families`).
            marked: what the notes beside its file call that (`lora.file.sidecars.marked_as`).
        """

    def lora_names(self) -> frozenset[str] | None:
        """The names that `<lora:NAME:1>` may have in a prompt that the host paints; None where it cannot be asked."""
        return None

    def detailer(self) -> str:
        """The name of what the host itself paints small faces again with (`Cell.detail`); empty where it cannot."""
        return ""

    def lacks(self) -> list[HostLack]:
        """The features that this host should give and cannot."""
        return []

    @abstractmethod
    def remote(self) -> bool:
        """Whether others than this machine's user may reach it: then no free path or program may be named."""

    @abstractmethod
    def admits(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> bool:
        """Whether the sender of an HTTP request may use the routes: what protects the webui protects them too."""
