"""One stand-in for Civitai for each module, emptied for each test."""

from __future__ import annotations

from collections.abc import Iterator

import fake_civitai
import pytest
from fake_civitai import TOKEN, FakeCivitai

from lib_lora.civitai.api.civitai_api import CivitaiApi


@pytest.fixture(scope="module")
def _servers() -> Iterator[FakeCivitai]:
    with fake_civitai.running() as fake:
        yield fake


@pytest.fixture
def civitai(_servers: FakeCivitai, monkeypatch: pytest.MonkeyPatch) -> FakeCivitai:
    """The stand-in, which is what SameFace asks; no key of the machine's own is used."""
    _servers.clear()
    monkeypatch.setenv("SAMEFACE_CIVITAI", _servers.site)
    monkeypatch.delenv("CIVITAI_API_TOKEN", raising=False)
    monkeypatch.setattr("lib_lora.remote.api_key_store._in_keyring", lambda *_: None)
    return _servers


@pytest.fixture
def pauses() -> list[float]:
    """How long was waited between tries, in seconds; nothing is."""
    return []


@pytest.fixture
def api(civitai: FakeCivitai, pauses: list[float]) -> CivitaiApi:
    return CivitaiApi(civitai.site, TOKEN, timeout=2, pause=pauses.append)
