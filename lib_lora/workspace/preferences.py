"""Reads and writes the settings for all characters of a data folder: ``settings.json``.

Imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_lora import file_permissions, typed_settings
from lib_lora.errors import UserError
from lib_lora.files import explained, read_json, write_json
from lib_lora.workspace.file_lock import held
from lib_lora.workspace.workspace import Workspace

_PATIENCE = 10.0  # seconds to wait for another program that changes settings

if TYPE_CHECKING:
    from lib_lora.faces.face import FaceEngine


@dataclass(frozen=True)
class Settings:
    """The settings for all characters of a data folder.

    Attributes:
        allow_painting: the webui may paint while something trains; both are slower then, and memory may run out.
        then_test: a training is followed by its test.
        comfyui: ComfyUI's folder; empty = none.
        worker_python: the Python that trains; empty = the webui's own.
        engine: the face engine (`faces.engines.engine_names`); empty = the one that comes with SameFace.
        currency: three letters; amounts of money are said in it.
        per_usd: how much of it one USD is, as the user says.
        civitai: whether Civitai may be asked (`civitai.api.civitai_consent`): "agreed", "agreed ADDRESS"
            with a site that is not Civitai's own, "off", or empty = nobody has said.
        civitai_address: of the Civitai that is asked; empty = the usual one.
    """

    allow_painting: bool = False
    then_test: bool = True
    comfyui: str = ""
    worker_python: str = ""
    engine: str = ""
    currency: str = "USD"
    per_usd: float = 1.0
    civitai: str = ""
    civitai_address: str = ""


def load(root: Path) -> Settings:
    """The settings of a data folder.

    Raises:
        UserError: the file is damaged.
    """
    path = Workspace(root).settings
    if not path.is_file():
        return Settings()
    return typed_settings.from_dict(Settings, read_json(path), str(path))


def save(root: Path, settings: Settings) -> None:
    """Keep the settings of a data folder, which is made. What is as usual is left out, so that a program of an older
    version, which may still be running, meets as few names as can be that it does not know.

    Raises:
        UserError: they cannot be written.
    """
    path = Workspace(root).settings
    with explained(path):
        file_permissions.make_folder(path.parent)
    usual = typed_settings.to_dict(Settings())
    write_json(path, {name: one for name, one in typed_settings.to_dict(settings).items() if one != usual[name]})


def chosen_engine(root: Path) -> FaceEngine:
    """The face engine that is set. Whoever set another one has agreed to its licence on the page.

    Raises:
        UserError: as `faces.engines.engine_names.engine_of`, or the settings are damaged.
    """
    from lib_lora.faces.engines.engine_names import DEFAULT, engine_of

    return engine_of(load(root).engine or DEFAULT, root, accept_licence=True)


def change(root: Path, **changes: Any) -> Settings:
    """Change some settings of a data folder and keep them; what others change at the same time is not lost.

    Args:
        root: the data folder, which is made.
        changes: fields of `Settings`.

    Returns:
        All settings.

    Raises:
        UserError: the file is damaged, cannot be written, or another program holds it for long.
    """
    path = Workspace(root).settings
    with explained(path):
        file_permissions.make_folder(path.parent)
    with held(path.with_name(f"{path.name}.lock"), _PATIENCE, remove=True) as is_held:
        if not is_held:
            raise UserError(f"Another program is changing {path}; try again.", code="settings-busy", file=path)
        before = load(root)
        after = replace(before, **changes)
        if after != before:
            save(root, after)
        return after
