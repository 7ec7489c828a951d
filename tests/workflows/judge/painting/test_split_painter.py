"""Several painters that paint one plan together."""

import threading
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
from faults import raises
from PIL import Image

from lib_lora.errors import StoppedByUser, UserError
from lib_lora.pictures import Cell
from lib_lora.remote import places
from lib_lora.remote.places import Place, RayCluster
from lib_lora.workflows.judge.painting.place_painter import PlacePainter
from lib_lora.workflows.judge.painting.split_painter import LEAST, SplitPainter, painters_on, shares

CELL = Cell("photo", "", 1, None, 1.0, 64, 64, 4, 7.0, "Euler")


class FakePainter:
    """Paints the seed as a colour; fails after some pictures."""

    def __init__(self, fails_after=None, error=None, waits_for=None):
        self.waits_for, self.frees = waits_for, None
        self.painted, self.closed, self.thread, self.at_work = [], False, None, False
        self._fails_after, self._error = fails_after, error or UserError("The machine is gone.", code="gone")

    def paint(self, cells, each=None):
        self.thread = threading.get_ident()
        if self.waits_for:
            assert self.waits_for.wait(20)
        self.at_work = True
        for number, cell in enumerate(cells):
            if self._fails_after is not None and len(self.painted) >= self._fails_after:
                raise self._error
            self.painted.append(cell.seed)
            each(number, Image.new("RGB", (1, 1), (cell.seed, 0, 0)))

    def reconstruct(self, image):
        return image

    def close(self):
        self.closed, self.at_work = True, False
        if self.frees:
            self.frees.set()


def split_of(painters):
    return SplitPainter(painters, threading.Event())


def cells(count, loras=1):
    return [replace(CELL, seed=n, lora=Path(f"{n % loras}.safetensors")) for n in range(count)]


def colours(pictures):
    return [picture.getpixel((0, 0))[0] for picture in pictures]


def test_each_paints_a_share_and_the_order_stays():
    painters, came = [FakePainter() for _ in range(3)], []
    made = split_of(painters).paint(cells(14), lambda place, picture: came.append((place, colours([picture])[0])))
    assert colours(made) == list(range(14))
    assert sorted(came) == [(n, n) for n in range(14)]
    assert sorted(len(one.painted) for one in painters) == [4, 5, 5]


def test_shares_keep_a_lora_together_and_are_worth_a_start():
    parts = shares(cells(16, loras=2), range(16), 2)
    assert [{place % 2 for place in part} for part in parts] == [{0}, {1}]
    assert len(shares(cells(16), range(16), 9)) == 16 // LEAST
    assert shares(cells(3), range(3), 9) == [[0, 1, 2]]
    assert sorted(chain(*shares(cells(23, loras=3), range(5, 23), 4))) == list(range(5, 23))


def test_what_one_could_not_paint_is_painted_by_the_others():
    painters, came = [FakePainter(), FakePainter(fails_after=2), FakePainter()], []
    split = split_of(painters)
    made = split.paint(cells(15), lambda place, _: came.append(place))
    assert colours(made) == list(range(15))
    assert sorted(came) == list(range(15))  # none twice
    assert painters[1].closed
    split.paint(cells(8), None)
    assert len(painters[1].painted) == 2  # it is not asked again


def test_where_none_is_left_the_error_is_said():
    came = []
    split = split_of([FakePainter(fails_after=3), FakePainter(fails_after=1)])
    with raises("gone"):
        split.paint(cells(12), lambda place, _: came.append(place))
    assert len(came) == 4  # what was painted was given


@pytest.mark.parametrize("error", [StoppedByUser("Stopped.", code="painting-stopped"), ZeroDivisionError()])
def test_what_is_no_machines_fault_is_not_tried_again(error):
    painters, stop = [FakePainter(fails_after=1, error=error), FakePainter()], threading.Event()
    with pytest.raises(type(error)):
        SplitPainter(painters, stop).paint(cells(8))
    assert stop.is_set()
    assert not painters[0].closed


def test_closing_closes_all_and_nothing_is_painted_for_nothing():
    painters = [FakePainter(), FakePainter()]
    split = split_of(painters)
    assert split.paint([]) == []
    assert painters[0].thread is None
    assert split.reconstruct(Image.new("RGB", (1, 1))) is not None
    split.close()
    assert all(one.closed for one in painters)


def test_who_is_done_makes_room_for_who_waits_for_a_machine():
    """Two painters, and one machine: the second begins when the first has ended."""
    free = threading.Event()
    first, second = FakePainter(), FakePainter(waits_for=free)
    first.frees = free
    made = split_of([first, second]).paint(cells(8))
    assert colours(made) == list(range(8))
    assert first.closed


def test_a_cluster_has_as_many_painters_as_was_said(tmp_path):
    storage = RayCluster(str(tmp_path / "share"))
    places.save(tmp_path, Place("lab", "head", port=8265, ray=replace(storage, painters=3)))
    places.save(tmp_path, Place("one", "head", port=8265, ray=storage))
    made = painters_on(tmp_path, "ray:lab", None, "x", lambda: False, print)
    assert isinstance(made, SplitPainter)
    made.close()
    assert isinstance(painters_on(tmp_path, "ray:one", None, "x", lambda: False, print), PlacePainter)
