"""Who can end a run: the stop file, and whoever started the process."""

from __future__ import annotations

from lib_lora.training.stopping import StopRequest, also_when


def test_a_stop_file_that_was_left_does_not_count_and_a_new_one_does(tmp_path):
    (tmp_path / "stop").touch()
    with StopRequest(tmp_path) as stop:
        assert not stop.requested()
        (tmp_path / "stop").touch()
        assert stop.requested()
    assert not (tmp_path / "stop").exists()


def test_a_wish_from_before_the_run_counts(tmp_path):
    wishes = [True]
    with also_when(lambda: bool(wishes)), StopRequest(tmp_path) as stop:
        assert stop.requested()
        wishes.clear()
        assert not stop.requested()
        wishes.append(True)
        assert stop.requested()


def test_nobody_is_asked_any_more_once_the_block_has_ended(tmp_path):
    with also_when(lambda: True), also_when(lambda: False):
        pass
    with StopRequest(tmp_path) as stop:
        assert not stop.requested()
