"""One stand-in for Civitai for each module, emptied for each test."""

from __future__ import annotations

import fake_civitai
import pytest
from fake_civitai import TOKEN

from lib_lora.civitai.api.civitai_api import CivitaiApi


@pytest.fixture(scope="module")
def _servers():
    with fake_civitai.running() as fake:
        yield fake


@pytest.fixture
def civitai(_servers, monkeypatch):
    """The stand-in, which is what SameFace asks; no key of the machine's own is used."""
    _servers.clear()
    monkeypatch.setenv("SAMEFACE_CIVITAI", _servers.site)
    monkeypatch.delenv("CIVITAI_API_TOKEN", raising=False)
    monkeypatch.setattr("lib_lora.remote.api_key_store._in_keyring", lambda *_: None)
    return _servers


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def api(civitai, pauses):
    return CivitaiApi(civitai.site, TOKEN, timeout=2, pause=pauses.append)
