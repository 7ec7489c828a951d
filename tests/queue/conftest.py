from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when it was started by its installed command."""
    monkeypatch.setattr("sys.argv", ["sameface"])


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch computes as in the workers: more threads add in another order."""
    import torch  # most tests of the queue need none

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
