"""Keeps and forgets the API key of a service, for the commands that have one."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

from lib_lora.cli.arguments import Answer
from lib_lora.remote import api_key_store

_LONGEST = 4096  # letters that are read as a key


def keep_key(root: Path, service: str, of: str) -> Answer:
    """Keep the API key of a service, which is asked for in a terminal, else read from standard input.

    Args:
        root: the data folder.
        service: as `api_key_store` names it; `of` = as people do.

    Raises:
        UserError: it is no key, or cannot be kept.
    """
    if sys.stdin.isatty():
        given = getpass.getpass(f"API key of {of} (it is not shown): ")
    else:
        given = sys.stdin.readline(_LONGEST)
    kept = api_key_store.save(root, given, service)
    used = api_key_store.kept_in(root, service)
    before = f" But the one in {_where(used, service)} comes before it." if used != kept else ""
    return Answer(f"The key is kept in {_where(kept, service)}.{before}", {"kept_in": kept})


def forget_key(root: Path, service: str, of: str) -> Answer:
    """Delete the API key of a service; see `keep_key`.

    Raises:
        UserError: the file with the keys cannot be written.
    """
    api_key_store.forget(root, service)
    left = api_key_store.kept_in(root, service)
    still = f" One is still in {_where(left, service)}." if left else ""
    return Answer(f"The key has been removed here; delete it at {of} too.{still}", {"kept_in": left})


def _where(kept: str, service: str) -> str:
    return {
        api_key_store.ENVIRONMENT: f"the environment variable {api_key_store.VARIABLES.get(service, '')}",
        api_key_store.KEYRING: "the system's keyring",
        api_key_store.FILE: "a file of the data folder that only you can read",
    }[kept]
