"""Finds out what a file, a hash or an address is on Civitai: from the cache, or, where the user has agreed, by asking.

A file is looked up by its SHA-256, then by AutoV3, which stays the same when metadata are edited.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from lib_lora.civitai.api import civitai_consent
from lib_lora.civitai.api.answer_cache import AnswerCache, KeptAnswer, Kind
from lib_lora.civitai.api.civitai_answers import TAKEN_DOWN, ModelPage, ModelVersion, model_of, version_of
from lib_lora.civitai.api.civitai_api import CivitaiApi
from lib_lora.civitai.api.site_address import Pointer
from lib_lora.civitai.base_licences import licence_of_base
from lib_lora.civitai.licence_lights import Assessment, LicensedModel, assess
from lib_lora.errors import UserError
from lib_lora.lora.hashes import FileBytes, sshs_model_hash
from lib_lora.models.reading.file_hashes import cached_hash, cached_sha256, known_hash
from lib_lora.models.reading.model_suffixes import see_that_it_can_be_a_model
from lib_lora.remote import api_key_store
from lib_lora.workspace.workspace import Workspace

How = Literal["", "sha256", "autov3", "hash", "address"]
_AUTOV3 = "tensors"  # names that hash in the cache of hashes
SHORT = 12  # digits of AutoV3


@dataclass(frozen=True)
class FoundModel:
    """What is known of a file, a hash or an address.

    Attributes:
        name: of the file, or what was asked.
        version, model: on Civitai; None = it knows none, or was not asked.
        how: by what it was found; empty = it was not.
        asked: Unix time of the oldest answer that this follows from; 0 = nothing was ever asked.
        site: that has answered.
        sha256: of the file, upper-case hex; empty = there is no file, or it is not computed yet.
        trouble: why it could not be asked again; None = it was, or need not be.
    """

    name: str
    version: ModelVersion | None = None
    model: ModelPage | None = None
    how: How = ""
    asked: float = 0.0
    site: str = ""
    sha256: str = ""
    trouble: UserError | None = None

    @property
    def known(self) -> bool:
        """Civitai knows it."""
        return self.version is not None or self.model is not None

    @property
    def unknown_there(self) -> bool:
        """Civitai was asked, and does not know it."""
        return bool(self.asked) and not self.known

    @property
    def title(self) -> str:
        """The name of model and version."""
        version = self.version.name if self.version else ""
        model = self.model.name if self.model else self.version.model_name if self.version else ""
        return " ".join(one for one in (model, version) if one) or self.name

    @property
    def kind(self) -> str:
        """Civitai's type, such as "LORA"; empty = not known."""
        return (self.model.kind if self.model else "") or (self.version.model_kind if self.version else "")

    @property
    def base(self) -> str:
        """What it was made for, such as "SD 1.5"; empty = not known."""
        return self.version.base if self.version else ""

    @property
    def page(self) -> str:
        """The address of its page; empty = it has none."""
        number = self.model.id if self.model else self.version.model if self.version else 0
        if not number:
            return ""
        return f"{self.site}/models/{number}" + (f"?modelVersionId={self.version.id}" if self.version else "")

    def subject(self) -> LicensedModel:
        """What the lights follow from."""
        model, version = self.model or ModelPage(0), self.version or ModelVersion(0)
        return LicensedModel(
            name=self.title,
            creator=model.creator,
            kind=self.kind,
            permissions=model.permissions,
            base=self.base,
            licence=licence_of_base(self.base),
            poi=_either(model.poi, version.poi),
            minor=model.minor,
            nsfw=_either(model.nsfw, version.nsfw),
            sfw_only=model.sfw_only,
            level=model.level | version.level,
            mode=TAKEN_DOWN if TAKEN_DOWN in (model.mode, version.mode) else model.mode or version.mode,
        )

    @cached_property
    def assessment(self) -> Assessment:
        """What pages and licences say of it."""
        return assess(self.subject())


class ModelLookup:
    """Looks things up for a data folder.

    Args:
        root: the data folder.
        api: who is asked; None = made from what is set when somebody must be asked. One that is given is asked without
            regard to what the user has agreed to.
        ask: ask where the cache has nothing fresh; else only the cache is read.
        refresh: ask even where it has.
        said: is told what takes long.

    Attributes:
        site: the address of who is asked.
    """

    def __init__(
        self,
        root: Path,
        *,
        api: CivitaiApi | None = None,
        ask: bool = True,
        refresh: bool = False,
        said: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._root, self._api, self._ask, self._refresh, self._said = root, api, ask, refresh, said
        self._given = api is not None
        self.site = api.site if api else civitai_consent.site(root)
        self._cache = AnswerCache(root, self.site)
        self._now: set[tuple[Kind, str | int]] = set()  # what this object has asked already

    @property
    def api(self) -> CivitaiApi:
        """Who is asked, with the token where there is one.

        Raises:
            UserError: the user has not agreed that it is asked.
        """
        if not self._given:
            civitai_consent.see_that_it_may_be_asked(self._root, self.site)
        if self._api is None:
            self._api = CivitaiApi(self.site, api_key_store.load(self._root, civitai_consent.key_name(self.site)) or "")
        return self._api

    def of_file(self, path: Path) -> FoundModel:
        """What a file is there.

        Raises:
            UserError: it cannot be read or is no model; or it must be asked for, and the user has not agreed, or the
                site cannot be asked and has never said anything of it.
        """
        hashes = Workspace(self._root).hashes
        self._see_that_it_may_be_asked()
        if self._ask:
            see_that_it_can_be_a_model(path)  # no hash of any other file is sent
        if self._ask and not known_hash(path, hashes):
            self._said(f"computing the SHA-256 of {path.name}")
        sha256 = (cached_sha256(path, hashes) if self._ask else known_hash(path, hashes)).upper()
        if not sha256:
            return FoundModel(path.name)
        found = replace(self._of_hash(sha256, path.name, "sha256"), sha256=sha256)
        if found.known or path.suffix.lower() != ".safetensors":
            return found
        short = self._autov3(path, hashes)
        second = self._of_hash(short, path.name, "autov3") if short else None
        return replace(second, sha256=sha256) if second and second.known else found

    def of_hash(self, digest: str) -> FoundModel:
        """What a hash is there; raises as `of_file`."""
        self._see_that_it_may_be_asked()
        return self._of_hash(digest.upper(), digest.upper(), "hash")

    def of_pointer(self, pointer: Pointer, name: str) -> FoundModel:
        """What somebody means by an address.

        Args:
            pointer: see `site_address.pointer_of`.
            name: what was given, for sentences.

        Raises:
            UserError: the site is switched off or cannot be asked.
        """
        if pointer.hash:
            return self.of_hash(pointer.hash)
        self._see_that_it_may_be_asked()
        if not pointer.version:
            kept, trouble = self._kept("model", pointer.model)
            return self._with_model(FoundModel(name, how="address", trouble=trouble), kept)
        kept, trouble = self._kept("version", pointer.version)
        version = version_of(kept.row) if kept else None
        found = FoundModel(name, version, None, "address", *self._source(kept), trouble=trouble)
        return self._completed(found, version)

    def row_of_version(self, number: int) -> dict[str, Any] | None:
        """A version's answer as it came; None = there is none."""
        kept, _ = self._kept("version", number)
        return kept.row if kept else None

    def _see_that_it_may_be_asked(self) -> None:
        """Looked at before each question, since the user may change it while a look-up goes on."""
        if self._ask and not self._given:
            civitai_consent.see_that_it_may_be_asked(self._root, self.site)

    def _autov3(self, path: Path, hashes: Path) -> str:
        whole = cached_hash(path, hashes, _AUTOV3, _hash_of_tensors) if self._ask else known_hash(path, hashes, _AUTOV3)
        return whole[:SHORT].upper()

    def _of_hash(self, digest: str, name: str, how: How) -> FoundModel:
        kept, trouble = self._kept("hash", digest)
        version = version_of(kept.row) if kept else None
        # its files are others: the answer is about something else. A hash that somebody gives may be of any kind.
        if version and how != "hash" and version.has(digest) is False:
            version = None
        found = FoundModel(name, version, None, how, *self._source(kept), trouble=trouble)
        return self._completed(found, version)

    def _completed(self, found: FoundModel, version: ModelVersion | None) -> FoundModel:
        """The same with its model, whose page has the permissions."""
        if version is None:
            return replace(found, how="")
        if not version.model:
            return found
        kept, trouble = self._kept("model", version.model)
        return self._with_model(replace(found, trouble=found.trouble or trouble), kept)

    def _with_model(self, found: FoundModel, kept: KeptAnswer | None) -> FoundModel:
        model = model_of(kept.row) if kept else None
        asked = [one for one in (found.asked, kept.asked if kept else 0.0) if one]
        known = bool(found.version or model)
        newest = model.versions[0] if model and model.versions and not found.version else found.version
        if model and newest and not newest.model:
            newest = replace(newest, model=model.id)
        return replace(
            found,
            version=newest,
            model=model,
            how=found.how if known else "",
            asked=min(asked, default=0.0),
            site=found.site or self._source(kept)[1],
        )

    def _source(self, kept: KeptAnswer | None) -> tuple[float, str]:
        """When an answer came, and from whom."""
        return (kept.asked, kept.site) if kept else (0.0, self.site)

    def _kept(self, kind: Kind, key: str | int) -> tuple[KeptAnswer | None, UserError | None]:
        """An answer: a fresh one of the cache, else a new one, else an old one with why there is no new one."""
        kept = self._cache.get(kind, key)
        if not self._ask or (kind, key) in self._now or (kept and kept.fresh and not self._refresh):
            return kept, None
        calls: dict[Kind, Callable[[], dict[str, Any] | None]] = {
            "hash": lambda: self.api.by_hash(str(key)),
            "version": lambda: self.api.version(int(key)),
            "model": lambda: self.api.model(int(key)),
        }
        try:
            self._see_that_it_may_be_asked()
            row = calls[kind]()
        except UserError as error:
            if kept is None:
                raise
            return kept, error
        self._now.add((kind, key))
        return self._cache.put(kind, key, row), None


def _hash_of_tensors(path: Path) -> str:
    try:
        return sshs_model_hash(FileBytes(path))
    except ValueError as error:
        raise UserError(
            f"{path.name} is not a safetensors file (it is shorter than 8 bytes).",
            code="safetensors-invalid",
            file=path.name,
        ) from error


def _either(one: bool | None, other: bool | None) -> bool | None:
    """True where one says so; False where one says so and none True; else not known."""
    return True if one or other else None if one is None and other is None else False
