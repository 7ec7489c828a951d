import pytest


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when it was started by its installed command."""
    monkeypatch.setattr("sys.argv", ["sameface"])
