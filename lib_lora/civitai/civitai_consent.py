"""Keeps whether Civitai may be asked: nothing is asked before the user agrees, and a switch keeps it off."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

from lib_lora.civitai.site_address import DEFAULT, host_of, site_of
from lib_lora.errors import UserError, typed
from lib_lora.workspace.preferences import load, save

State = Literal["", "agreed", "off"]
AGREED: State = "agreed"
OFF: State = "off"
VARIABLE = "SAMEFACE_CIVITAI"  # the address of another Civitai; comes before the setting
SENT = (
    "To look a file up, SameFace sends its hash (SHA-256, and AutoV3 where that is not known there) and this "
    "program's name and version to {host}, with your API key only if you gave one. No file, no name of a file, no "
    "picture and no prompt is sent. What it answers is kept in the data folder, and is asked again after a week."
)


def state_of(root: Path) -> State:
    """What the user has said.

    Raises:
        UserError: the settings are damaged.
    """
    said = load(root).civitai
    return AGREED if said == AGREED else OFF if said == OFF else ""


def set_state(root: Path, state: State) -> None:
    """Keep what the user says.

    Raises:
        UserError: the settings are damaged or cannot be written.
    """
    save(root, replace(load(root), civitai=state))


def site(root: Path) -> str:
    """The address of the Civitai that is asked: ``SAMEFACE_CIVITAI``, else the one that is set, else the usual one.

    Raises:
        UserError: what is set is no address, or the settings are damaged.
    """
    return site_of(os.environ.get(VARIABLE, "").strip() or load(root).civitai_address or DEFAULT)


def set_site(root: Path, address: str) -> str:
    """Ask another Civitai from now on; empty = the usual one. Returns its address.

    Raises:
        UserError: it is no address.
    """
    chosen = site_of(address) if address.strip() else ""
    save(root, replace(load(root), civitai_address=chosen))
    return site(root)


def what_is_sent(root: Path) -> str:
    """What is sent, for whoever is to agree."""
    return SENT.format(host=host_of(site(root)))


def see_that_hashes_may_be_sent(root: Path) -> None:
    """Nothing where the user has agreed.

    Raises:
        UserError: nobody has said so, or Civitai is off.
    """
    see_that_it_is_not_off(root)
    if state_of(root) != AGREED:
        raise UserError(
            f"Nobody has agreed yet that hashes are sent to {host_of(site(root))}; read what is sent, and agree: "
            f"{typed('civitai', 'agree')}",
            "civitai",
            code="civitai-not-agreed",
        )


def see_that_it_is_not_off(root: Path) -> None:
    """Nothing where Civitai is not off.

    Raises:
        UserError: it is.
    """
    if state_of(root) == OFF:
        raise UserError(
            f"Civitai is switched off here, so nothing is asked or fetched there; to switch it on again: "
            f"{typed('civitai', 'agree')}",
            "civitai",
            code="civitai-off",
        )
