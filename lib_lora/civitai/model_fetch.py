"""Chooses a version and a file of a model on Civitai, and fetches it with the files beside it.

Refuses pickles.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lib_lora.civitai.api.answer_cache import AnswerCache
from lib_lora.civitai.api.checked_download import Patience, WantedFile, fetch
from lib_lora.civitai.api.civitai_answers import (
    ARCHIVED,
    CHECKPOINT,
    DOWNLOAD,
    SAFETENSORS,
    TAKEN_DOWN,
    ModelVersion,
    VersionFile,
)
from lib_lora.civitai.api.civitai_api import CivitaiApi
from lib_lora.civitai.api.site_address import Pointer, host_of
from lib_lora.civitai.civitai_sidecars import write_beside
from lib_lora.civitai.file_names import SUFFIX, numbered, safe_name
from lib_lora.civitai.model_lookup import FoundModel, ModelLookup
from lib_lora.errors import UserError
from lib_lora.files import names, sha256_once
from lib_lora.lora.file.named_loras import stems_in
from lib_lora.models.reading.file_hashes import note_sha256_of
from lib_lora.workspace.workspace import Workspace

_MODELS = ("Model", "Pruned Model")  # kinds of files that are the model itself
_PLAIN = 1 | 2  # bits of levels that anybody may see
_DANGER = "Danger"
_LORAS = ("LORA", "LOCON", "DORA")  # Civitai's types
_FOLDERS_OF_BASES = ("stable-diffusion", "checkpoints")  # of A1111 and its forks, and ComfyUI
_FOLDERS_OF_LORAS = ("lora", "loras")


@dataclass(frozen=True)
class FileChoice:
    """A file that may be fetched.

    Attributes:
        found: the model and the version.
        row: the version as Civitai has answered it.
        file: of the version.
    """

    found: FoundModel
    row: dict[str, Any]
    file: VersionFile

    @property
    def version(self) -> ModelVersion:
        """The version."""
        assert self.found.version is not None, "a choice is made among versions"
        return self.found.version

    @property
    def name(self) -> str:
        """The name that the file gets."""
        return safe_name(self.file.name, f"civitai-{self.version.id}")


def choose(lookup: ModelLookup, pointer: Pointer, name: str, version: str = "", file: str = "") -> FileChoice:
    """Choose what to fetch; asks Civitai, so that the newest permissions are known.

    Args:
        lookup: that asks.
        pointer: what is meant.
        name: what was given, for sentences.
        version: a version's number or name; empty = the pointer's, else the newest.
        file: a file's number or name; empty = the page's own choice, if that is a safetensors file, else the first.

    Raises:
        UserError: there is no such thing, it may not be fetched, or it shows a child, or nobody says that it does not.
    """
    found = lookup.of_pointer(pointer, name)
    if not found.known:
        raise UserError(
            f"{host_of(lookup.site)} does not know {name[:80]!r}; check whether its page still exists, or is on the "
            "other site (civitai.com, civitai.red).",
            code="civitai-unknown",
            what=name,
        )
    if version or not found.version or not pointer.version:
        wanted = _version(found, version)
        found = lookup.of_pointer(Pointer(wanted.model, wanted.id), name)
    if found.version is None:
        raise UserError(
            f"{found.title} has no version that can be fetched; look at its page.", code="civitai-no-version"
        )
    _see_that_it_may_be_fetched(found)
    row = lookup.row_of_version(found.version.id) or {}
    return FileChoice(found, row, _file(found.version, found.title, file))


def fetch_choice(
    root: Path,
    choice: FileChoice,
    folder: Path,
    api: CivitaiApi,
    progress: Callable[[int, int], None] = lambda *_: None,
    patience: Patience | None = None,
) -> Path:
    """Fetch a file, check it, and write what lies beside it.

    Args:
        root: the data folder, which remembers its hash.
        choice: what.
        folder: where to; nothing is written elsewhere.
        api: who is asked.
        progress, patience: as of `checked_download.fetch`.

    Returns:
        The file.

    Raises:
        UserError: as `checked_download.fetch`, or what lies beside it is no JSON.
    """
    sha256 = choice.file.sha256.lower()
    url = f"{api.site}/api/download/models/{choice.version.id}"
    if choice.file.id:
        url += f"?fileId={choice.file.id}"
    name = _free_name(folder, choice.name, sha256)
    path = fetch(WantedFile(url, name, sha256, choice.file.bytes, api.site, api.token), folder, progress, patience)
    note_sha256_of(path, Workspace(root).hashes, sha256)
    AnswerCache(root, api.site).put("hash", choice.file.sha256, choice.row)  # so that nobody need be asked what it is
    write_beside(path, replace(choice.found, sha256=choice.file.sha256), choice.row, _preview(choice, api))
    return path


def unusual_folder(kind: str, folder: Path) -> str:
    """A warning where a webui does not look for this kind of model in a folder of this name; empty = it does.

    Args:
        kind: Civitai's type, such as "LORA".
        folder: where to.
    """
    name, lora = folder.name.casefold(), kind.upper() in _LORAS
    if lora and name in _FOLDERS_OF_BASES:
        return f"Warning: this is a LoRA, and webuis look for base models in {folder.name}; LoRAs go into Lora."
    if kind == CHECKPOINT and name in _FOLDERS_OF_LORAS:
        return f"Warning: this is a base model, and webuis look for LoRAs in {folder.name}; use Stable-diffusion."
    return ""


def _see_that_it_may_be_fetched(found: FoundModel) -> None:
    version = found.version or ModelVersion(0)
    if found.assessment.refused:
        raise UserError(
            f"{found.title} is marked on Civitai as showing a child; SameFace does not fetch it.",
            code="civitai-shows-child",
            model=found.title,
        )
    if found.subject().minor is None:
        raise UserError(
            f"It is not known whether {found.title} shows a child, since its page is unavailable or does not say; "
            "SameFace downloads only models whose page says that they do not. Try again later, or choose another "
            "model.",
            code="civitai-child-unknown",
            model=found.title,
        )
    if found.subject().mode == TAKEN_DOWN:
        raise UserError(
            f"Civitai has taken {found.title} down; SameFace does not fetch it: look for another model.",
            code="civitai-taken-down",
            model=found.title,
        )
    if ARCHIVED in (found.subject().mode, version.mode):
        raise UserError(
            f"{found.title} is archived on Civitai and can no longer be downloaded; look for another version or model.",
            code="civitai-model-archived",
            model=found.title,
        )
    if version.usage not in ("", DOWNLOAD):
        raise UserError(
            f"The creator of {found.title} lets it be used on Civitai only, so it cannot be fetched.",
            code="civitai-not-for-download",
            model=found.title,
        )


def _version(found: FoundModel, wanted: str) -> ModelVersion:
    there = found.model.versions if found.model else ()
    if not there and found.version and not wanted:
        return found.version
    if not wanted and there:
        return there[0]
    for one in there:
        if wanted in (str(one.id), one.name):
            return one
    names = ", ".join(f"{one.id} ({one.name})" for one in there[:10]) or "none"
    raise UserError(
        f"{found.title} has no version {wanted[:60]!r}; there are {names}.", "version", code="civitai-version-unknown"
    )


def _file(version: ModelVersion, title: str, wanted: str) -> VersionFile:
    files = version.files
    if wanted:
        chosen = next((one for one in files if wanted in (str(one.id), one.name)), None)
        if chosen is None:
            names = ", ".join(f"{one.id} ({one.name})" for one in files[:10]) or "none"
            raise UserError(
                f"{title} has no file {wanted[:60]!r}; there are {names}.", "file", code="civitai-file-unknown"
            )
        if not _is_safetensors(chosen):
            raise _pickle(title, chosen.name)
    else:
        fit = [one for one in files if _is_safetensors(one) and one.kind in _MODELS]
        fit = fit or [one for one in files if _is_safetensors(one) and one.kind not in ("VAE", "Config")]
        if not fit and not files:
            raise UserError(
                f"{title} has no file to download; its creator or Civitai has removed them.",
                code="civitai-no-file",
            )
        if not fit:
            raise _pickle(title, files[0].name)
        chosen = next((one for one in fit if one.primary), fit[0])
    if _DANGER in chosen.scans:
        raise UserError(
            f"Civitai's scan has found something dangerous in {chosen.name} of {title}; it is not fetched.",
            code="civitai-scan-danger",
            file=chosen.name,
        )
    if not chosen.sha256:
        raise UserError(
            f"Civitai gives no SHA-256 for {chosen.name} of {title}, so the download could not be verified; wait "
            "until its scan is done, or download it with your browser.",
            code="civitai-no-hash",
            file=chosen.name,
        )
    return chosen


def _is_safetensors(file: VersionFile) -> bool:
    return file.name.lower().endswith(SUFFIX) and file.format in ("", SAFETENSORS)


def _pickle(title: str, name: str) -> UserError:
    return UserError(
        f"{name} of {title} is not a .safetensors file; other kinds can run programs when they are opened, and are not "
        "fetched: choose another file or version.",
        code="civitai-not-a-safetensors-file",
        file=name,
    )


def _free_name(folder: Path, name: str, sha256: str) -> str:
    """The name, or one with a number where another model, or what lies beside one, has it.

    A webui finds a LoRA by its name in all folders below, so a second one would take the place of the first in prompts;
    and notes that are there already are about another file.
    """
    models, beside, number = stems_in([folder]), [one.casefold() for one in names(folder)], 1
    while True:
        candidate = name if number == 1 else numbered(name, number)
        path = folder / candidate
        if path.is_file() and sha256_once(path) == sha256:
            return candidate
        stem = path.stem.casefold()
        if stem not in models and not any(one.startswith(f"{stem}.") for one in beside):
            return candidate
        number += 1


def _preview(choice: FileChoice, api: CivitaiApi) -> bytes | None:
    """The first picture of the page that anybody may see; None = there is none, or it cannot be had."""
    for picture in choice.version.pictures:
        if picture.kind in ("", "image") and picture.level and not picture.level & ~_PLAIN:
            with suppress(UserError):
                return api.picture(picture.url)
            return None
    return None
