"""Answers the routes of the panel Library that list the webui's models with what they are on Civitai, and its settings.

Nothing here waits for the network or hashes a file: what is known is read from the cache. The API key goes in and never
out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lib_lora.civitai.api import civitai_consent
from lib_lora.civitai.api.site_address import host_of
from lib_lora.civitai.licence_lights import OF_A_TRAINING, PURPOSES
from lib_lora.civitai.licence_lights import together as of_all
from lib_lora.civitai.model_lookup import FoundModel, ModelLookup
from lib_lora.civitai.starter_models import starter_models
from lib_lora.remote import api_key_store
from lib_lora.ui.http.request_context import Call, RequestContext, Route, get, post
from lib_lora.ui.http.responses import about, missing
from lib_lora.ui.routes.character.photo_routes import shrunk
from lib_lora.ui.routes.library.known_models import files_of, folder_for, named_models, picture_beside, see_owner
from lib_lora.workflows.library.library_table import LibraryEntry, entries

if TYPE_CHECKING:
    from fastapi.responses import Response

_SIDE = 320  # pixels of a preview


@dataclass(frozen=True)
class ConsentRequest:
    """Whether hashes may be sent: "agreed", "off" (nothing is asked or fetched), or "" for not said."""

    state: Literal["agreed", "off", ""]


@dataclass(frozen=True)
class SiteRequest:
    """The address of the Civitai that is asked; empty = the usual one."""

    address: str = ""


@dataclass(frozen=True)
class TokenRequest:
    """An API key of Civitai, which is kept in the system's keyring, or in a file that only its owner can read."""

    key: str


@dataclass(frozen=True)
class TogetherRequest:
    """Paths of models that are used together, from the list."""

    files: list[str]


def routes() -> list[Route]:
    """The routes of the panel."""
    return [
        get("/library", library),
        get("/library/preview", preview, "file"),
        post("/library/consent", consent, ConsentRequest),
        post("/library/site", site, SiteRequest),
        post("/library/token", token, TokenRequest),
        post("/library/token/forget", forget_token),
        post("/library/together", together, TogetherRequest),
    ]


def library(context: RequestContext, _call: Call) -> dict[str, Any]:
    """The models that the webui knows, with what is known of them, the starter models, and the settings."""
    bases, loras, trouble = files_of(context)
    lookup = ModelLookup(context.root, ask=False)
    found = [*entries(context.root, bases, lookup), *entries(context.root, loras, lookup)]
    kinds = ["base"] * len(bases) + ["lora"] * len(loras)
    folder = folder_for(context, base=True)
    starters = [
        {**one.values(), "there": folder is not None and _is_there(folder / one.name, one.bytes)}
        for one in starter_models()
    ]
    return {
        "civitai": _settings(context),
        "purposes": PURPOSES,
        "models": [_row(kind, entry) for kind, entry in zip(kinds, found, strict=True)],
        "trouble": trouble,
        "starters": starters,
        "folders": {"base": str(folder or ""), "lora": str(folder_for(context, base=False) or "")},
        "remote": context.host.remote(),
    }


def _is_there(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _row(kind: str, entry: LibraryEntry) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": entry.path.stem,
        "preview": picture_beside(entry.path) is not None,
        **entry.values(),
    }


def _settings(context: RequestContext) -> dict[str, str]:
    address = civitai_consent.site(context.root)
    service = civitai_consent.key_name(address)
    return {
        "state": civitai_consent.state_of(context.root),
        "site": address,
        "host": host_of(address),
        "sent": civitai_consent.what_is_sent(context.root),
        "kept_in": "" if context.host.remote() else api_key_store.kept_here(context.root, service),
    }


def preview(context: RequestContext, call: Call) -> Response:
    """The picture beside a model of the list, small."""
    path = named_models(context, [call.query.get("file", "")])[0]
    found = picture_beside(path)
    if found is None:
        raise missing(f"There is no picture beside {path.name}.")
    return shrunk(found, _SIDE)


def consent(context: RequestContext, call: Call) -> dict[str, str]:
    """Agree that hashes are sent to Civitai, or switch it off."""
    see_owner(context)
    civitai_consent.set_state(context.root, call.body.state)
    return _settings(context)


def site(context: RequestContext, call: Call) -> dict[str, str]:
    """Set another address of Civitai to ask, such as https://civitai.red."""
    see_owner(context)
    with about("address"):
        civitai_consent.set_site(context.root, call.body.address)
    return _settings(context)


def token(context: RequestContext, call: Call) -> dict[str, str]:
    """Store the API key of the site that is set now; no answer contains it, and it is sent to no other site."""
    see_owner(context)
    with about("key"):
        api_key_store.save(context.root, call.body.key, _key_name(context))
    return _settings(context)


def forget_token(context: RequestContext, _call: Call) -> dict[str, str]:
    """Forget the API key of the site that is asked now; one in the environment of this program stays."""
    see_owner(context)
    api_key_store.forget(context.root, _key_name(context))
    return _settings(context)


def _key_name(context: RequestContext) -> str:
    return civitai_consent.key_name(civitai_consent.site(context.root))


def together(context: RequestContext, call: Call) -> dict[str, Any]:
    """What may be done with a base model and LoRAs that are used together in a picture or a training; of one that
    cannot be read, nothing is known."""
    paths = named_models(context, call.body.files)
    found = [
        one.found or FoundModel(one.path.name)
        for one in entries(context.root, paths, ModelLookup(context.root, ask=False))
    ]
    named = {purpose: PURPOSES[purpose] for purpose in OF_A_TRAINING}
    return {**of_all([one.assessment for one in found]).values(), "of_a_training": named}
