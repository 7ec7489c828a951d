"""The shipped cohort is whole, belongs to the shipped engine, and a damaged one is one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from faults import raises

from lib_lora.likeness.measure import cohort as cohorts
from lib_lora.likeness.measure.cohort import cohort


def test_it_belongs_to_the_shipped_engine(engine) -> None:
    people = cohort(engine.id)
    assert people is not None
    assert people.dtype == np.float32
    assert people.shape[1:] == (128,)
    assert len(people) >= 500
    np.testing.assert_allclose(np.linalg.norm(people, axis=1), 1, atol=1e-6)


def test_every_row_is_another_person(engine) -> None:
    people = cohort(engine.id)
    cosines = people @ people.T
    np.fill_diagonal(cosines, -1)
    assert cosines.max() <= 0.9


def test_another_engine_has_none(engine) -> None:
    assert cohort("another engine") is None
    assert cohort(engine.id[:-1]) is None
    assert cohort(engine.id.upper()) is None


def test_it_is_read_once_and_cannot_be_changed(engine) -> None:
    people = cohort(engine.id)
    assert cohort(engine.id) is people
    with pytest.raises(ValueError, match="read-only"):
        people[0] = 0


def packed(path: Path, **changes: object) -> Path:
    """A small file in the cohort's format, with changes; None drops an array."""
    arrays = {"engine": "toy", "embeddings": np.eye(3, 128, dtype=np.float16), **changes}
    np.savez_compressed(path, **{name: np.array(value) for name, value in arrays.items() if value is not None})
    return path


def test_half_precision_is_made_unit_length_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cohorts, "FILE", packed(tmp_path / "c.npz", embeddings=np.eye(2, 128) * 1.001))
    np.testing.assert_array_equal(cohort("toy"), np.eye(2, 128, dtype=np.float32))


@pytest.mark.parametrize(
    "changes",
    [
        {"embeddings": None},
        {"engine": None},
        {"embeddings": np.eye(3, 64)},
        {"embeddings": np.ones(128) / np.sqrt(128)},
        {"embeddings": np.eye(3, 128) * 2},
        {"embeddings": np.eye(3, 128) * np.nan},
        {"embeddings": np.array([{"pickled": 1}])},
        {"embeddings": "text"},
        {"embeddings": 1.0},
        {"embeddings": np.empty((0, 128))},
    ],
)
def test_a_file_with_other_content_is_damaged(
    changes: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cohorts, "FILE", packed(tmp_path / "c.npz", **changes))
    with raises("cohort-damaged", has="c.npz"):
        cohort("toy")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_file_cut_short_is_damaged(share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cohorts.FILE.read_bytes()
    path = tmp_path / "c.npz"
    path.write_bytes(whole[: int(len(whole) * share)])
    monkeypatch.setattr(cohorts, "FILE", path)
    with raises("cohort-damaged"):
        cohort("toy")


def test_a_flipped_bit_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = bytearray(cohorts.FILE.read_bytes())
    changed[len(changed) // 2] ^= 0x10
    path = tmp_path / "c.npz"
    path.write_bytes(changed)
    monkeypatch.setattr(cohorts, "FILE", path)
    with raises("cohort-damaged"):
        cohort("toy")


def test_a_missing_file_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.npz"
    monkeypatch.setattr(cohorts, "FILE", path)
    with raises("file-missing", has=str(path)):
        cohort("toy")
