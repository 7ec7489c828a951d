"""Keeps whether Civitai may be asked: no hash is sent before the user agrees, and a switch keeps it off.

Who agrees, or gives a key, means the site that is set then; Civitai's own are one, and any other needs a new agreement.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from lib_lora.civitai.api.site_address import DEFAULT, host_of, owner_of, site_of
from lib_lora.errors import UserError, typed
from lib_lora.remote import api_key_store
from lib_lora.workspace.preferences import change, load

State = Literal["", "agreed", "off"]
AGREED: State = "agreed"
OFF: State = "off"
VARIABLE = "SAMEFACE_CIVITAI"  # the address of another Civitai; comes before the setting
SENT = (
    "To look a file up, SameFace sends its hash (SHA-256, and AutoV3 where that is not known there) to {host}; for an "
    "address that you give, the number in it. With both go this program's name and version, and your API key if you "
    "gave one. No file, no name of a file, no picture and no prompt is sent. What it answers is kept in the data "
    "folder, and is asked again after a week."
)


def state_of(root: Path, asked: str = "") -> State:
    """What the user has said.

    Args:
        root: the data folder.
        asked: the address of who is to be asked; empty = who is set now.

    Raises:
        UserError: the settings are damaged, or what is set is no address.
    """
    said = load(root).civitai
    if said == OFF:
        return OFF
    return AGREED if said == _agreed_with(asked or site(root)) else ""


def set_state(root: Path, state: State) -> None:
    """Keep what the user says; who agrees means the site that is set now.

    Raises:
        UserError: the settings are damaged or cannot be written, or what is set is no address.
    """
    change(root, civitai=_agreed_with(site(root)) if state == AGREED else state)


def _agreed_with(asked: str) -> str:
    owner = owner_of(asked)
    return AGREED if owner == DEFAULT else f"{AGREED} {owner}"


def key_name(asked: str) -> str:
    """The service of `api_key_store` under which the key of a site is kept: no site gets another one's."""
    owner = owner_of(asked)
    return api_key_store.CIVITAI if owner == DEFAULT else f"{api_key_store.CIVITAI}@{owner}"


def site(root: Path) -> str:
    """The address of the Civitai that is asked: ``SAMEFACE_CIVITAI``, else the one that is set, else the usual one.

    Raises:
        UserError: what is set is no address, or the settings are damaged.
    """
    return site_of(os.environ.get(VARIABLE, "").strip() or load(root).civitai_address or DEFAULT)


def kept_site(root: Path) -> str:
    """The address that is set, whatever the variable says.

    Raises:
        UserError: as `site`.
    """
    return site_of(load(root).civitai_address or DEFAULT)


def set_site(root: Path, address: str) -> str:
    """Ask another Civitai from now on; empty = the usual one. Returns its address.

    Raises:
        UserError: it is no address.
    """
    chosen = site_of(address) if address.strip() else ""
    change(root, civitai_address=chosen)
    return site(root)


def what_is_sent(root: Path) -> str:
    """What is sent, for the person who should agree."""
    return SENT.format(host=host_of(site(root)))


def see_that_it_may_be_asked(root: Path, asked: str = "") -> None:
    """Nothing where the user has agreed that a site is asked; see `state_of`.

    Raises:
        UserError: nobody has said so, or Civitai is off.
    """
    if load(root).civitai == OFF:
        raise UserError(
            f"Civitai is turned off, so no requests are sent to it; to turn it on again: {typed('civitai', 'agree')}",
            "civitai",
            code="civitai-off",
        )
    if state_of(root, asked) != AGREED:
        raise UserError(
            f"You have not yet allowed requests to {host_of(asked or site(root))}; review what is sent, then run: "
            f"{typed('civitai', 'agree')}",
            "civitai",
            code="civitai-not-agreed",
        )
