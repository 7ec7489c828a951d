"""A lock that is deleted by its holder is not held by two; what else is locked is tested with runs."""

from __future__ import annotations

import sys

import filelock
import pytest

from lib_lora.workspace.file_lock import held


def test_one_holds_it_and_it_is_gone_afterwards(tmp_path):
    path = tmp_path / "lock"
    with held(path, remove=True) as first, held(path, remove=True) as second:
        assert (first, second) == (True, False)
        assert path.exists()
    assert not path.exists()
    with held(path) as again:
        assert again
    assert path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="nothing that is open is deleted there")
def test_a_lock_that_is_deleted_as_it_is_taken_is_taken_anew(tmp_path, monkeypatch):
    path, acquire, taken = tmp_path / "lock", filelock.FileLock.acquire, []

    def deleted(lock, *given, **named):
        found = acquire(lock, *given, **named)
        taken.append(lock)
        if len(taken) == 1:
            path.unlink()
        return found

    monkeypatch.setattr(filelock.FileLock, "acquire", deleted)
    with held(path) as is_held:
        assert is_held
        assert path.exists()
        assert len(taken) == 2
        assert not taken[0].is_locked
