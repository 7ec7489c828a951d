"""Imports that are stopped, and that others are at work beside: nothing is lost, nothing is there twice."""

import threading
import time

import planted
import pytest
from faults import raises

from lib_lora.character.store import Character, create
from lib_lora.errors import UserError
from lib_lora.photos.importing import photo_import
from lib_lora.photos.importing.photo_import import take_in
from lib_lora.runs.run_lock import only_process
from lib_lora.workflows.photos import import_command
from lib_lora.workflows.photos.import_command import import_into


@pytest.fixture
def folder(tmp_path):
    return create(tmp_path / "data", Character("Mara", "mrxa", "woman"))


@pytest.fixture
def heap(tmp_path):
    made = tmp_path / "heap"
    made.mkdir()
    for number, path in enumerate(planted.portraits("mara")[:6]):
        (made / f"{number}.jpg").write_bytes(path.read_bytes())
        (made / f"{number}.txt").write_text(f"caption {number}")
    return made


def locked(folder, patience=0.0):
    return lambda: only_process(folder.path, "wait", patience)


def test_what_was_taken_in_before_a_stop_stays(heap, folder):
    asked = iter([False, False, True])
    result = take_in([heap], folder, stop=asked.__next__)
    assert [path.name for path in result.added] == ["0.jpg", "1.jpg"]
    assert result.stopped
    assert import_command.import_text(result).endswith("import the same again to continue.")
    again = take_in([heap], folder)
    assert (again.known, len(again.added), again.stopped) == (2, 4, False)


def test_ctrl_c_tells_what_was_taken_in(heap, folder, monkeypatch, tmp_path):
    real, seen = photo_import.read_photo, []

    def read(*args):
        seen.append(args)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(photo_import, "read_photo", read)
    told = import_into(tmp_path / "data", "Mara", [heap])
    assert told.text.startswith("2 photos added")
    assert told.values["stopped"]
    assert told.values["added"] == ["0.jpg", "1.jpg"]


def test_the_folder_is_free_while_a_picture_is_decoded(heap, folder, monkeypatch):
    real, free = photo_import.read_photo, []

    def read(*args):
        with only_process(folder.path):
            free.append(True)
        return real(*args)

    monkeypatch.setattr(photo_import, "read_photo", read)
    assert len(take_in([heap], folder, alone=locked(folder)).added) == 6
    assert len(free) == 6


def test_another_at_work_is_waited_for_no_longer_than_said(heap, folder, tmp_path):
    with only_process(folder.path):
        began = time.monotonic()
        with raises("folder-locked"):
            import_into(tmp_path / "data", "Mara", [heap], patience=0.5)
        assert time.monotonic() - began < 5


def test_an_error_in_the_middle_says_what_was_added(heap, folder, tmp_path, monkeypatch):
    real, written = photo_import._write, []

    def full(target, stream):
        written.append(target)
        if len(written) > 4:
            raise UserError("Cannot write it: the disk is full.", code="some-fault")
        real(target, stream)

    monkeypatch.setattr(photo_import, "_write", full)
    with raises("some-fault", has="the disk is full. Before that, 2 photos had been added"):
        import_into(tmp_path / "data", "Mara", [heap])


def test_two_imports_at_once_take_each_photo_once(heap, folder):
    results, together = [], threading.Barrier(3)

    def run():
        together.wait(20)
        results.append(take_in([heap], folder, alone=locked(folder, 20.0)))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 3
    assert sum(len(result.added) for result in results) == 6
    assert sum(result.known for result in results) == 12
    assert sorted(path.name for path in folder.photos.iterdir()) == sorted(path.name for path in heap.iterdir())


def test_what_comes_and_goes_meanwhile_is_seen(heap, folder):
    """A photo of another kind takes a name, and one that was there is deleted: its bytes are taken in once more."""
    take_in([heap / "5.jpg"], folder)

    def progress(done, _total, _name):
        if done == 1:
            (folder.photos / "1.png").write_bytes(b"somebody else's")
            (folder.photos / "5.jpg").unlink()

    result = take_in([heap], folder, progress)
    assert (folder.photos / "1.png").read_bytes() == b"somebody else's"
    assert {path.name for path in result.added} > {"0.jpg", "2.jpg", "5.jpg"}
    assert not {"1.jpg"} & {path.name for path in result.added}
    assert len(result.added) == 6
