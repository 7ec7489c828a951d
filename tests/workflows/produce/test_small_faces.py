"""The second pass over small faces: what is cut out, that it is painted larger, and how it comes back."""

from dataclasses import replace

import numpy as np
import pytest
from faults import raises
from PIL import Image

from lib_lora.errors import UserError
from lib_lora.faces.face import Face
from lib_lora.pictures import Cell
from lib_lora.workflows.produce.small_faces import AROUND, DetailingPainter, SmallFacePainter, cut_of, put_back

SIDE = 512


def face(left, top, width, height):
    return Face((left, top, width, height), np.zeros((5, 2)), 0.9, np.zeros(128), 100.0)


@pytest.mark.parametrize(
    ("boxes", "size", "expected"),
    [
        ([], (512, 768), None),
        ([(200, 100, 40, 60)], (512, 768), (154, 64, 132)),
        ([(200, 100, 200, 250)], (512, 768), None),  # large enough
        ([(0, 0, 60, 60)], (512, 768), (0, 0, 132)),  # at the edge
        ([(470, 730, 60, 60)], (512, 768), (380, 636, 132)),  # over the edge
        ([(10, 10, 20, 20), (300, 300, 60, 60)], (512, 768), (264, 264, 132)),  # the larger one
        ([(10, 10, 40, 40)], (64, 64), (0, 0, 64)),
    ],
)
def test_the_square_around_the_largest_face_lies_in_the_picture(boxes, size, expected):
    assert cut_of([face(*box) for box in boxes], size, SIDE) == expected
    if expected:
        left, top, side = expected
        assert left >= 0 <= top
        assert left + side <= size[0]
        assert top + side <= size[1]


def test_a_cut_as_large_as_the_model_paints_is_not_painted_again():
    assert cut_of([face(10, 10, 60, 60)], (600, 600), round(60 * AROUND)) is None
    assert cut_of([face(10, 10, 30, 30)], (600, 600), 128) is not None


def test_only_the_square_changes_and_its_edges_fade():
    picture = Image.new("RGB", (200, 300), "blue")
    before = np.asarray(picture).copy()
    made = np.asarray(put_back(picture, Image.new("RGB", (512, 512), "red"), (50, 100, 100))).astype(int)
    assert np.array_equal(np.asarray(picture), before)
    outside = np.ones((300, 200), bool)
    outside[100:200, 50:150] = False
    assert np.array_equal(made[outside], before[outside])
    assert tuple(made[150, 100]) == (255, 0, 0)
    steps = np.abs(np.diff(made[150, 50:150, 0]))
    assert made[150, 50, 0] < 40  # the edge is as good as what is around it
    assert steps.max() < 80


class Faces:
    """Finds a face where a picture has a white square of 40 pixels, of the size that is said."""

    def __init__(self, box):
        self.box = box

    def faces(self, image):
        assert image.mode == "RGB"
        return [face(*self.box)] if self.box and np.asarray(image).max() > 200 else []


class Painting:
    """Paints white pictures for odd seeds, black ones for even, and red where it paints over one."""

    def __init__(self, fails=False):
        self.calls, self.over, self.fails = [], [], fails

    def paint(self, cells, each=None):
        self.calls.append(list(cells))
        for number, cell in enumerate(cells):
            if cell.start:
                if self.fails:
                    raise UserError("The painter has died.", code="painter-died")
                with Image.open(cell.start) as start:
                    self.over.append(start.size)
            colour = "red" if cell.start else "white" if cell.seed % 2 else "black"
            picture = Image.new("RGB", (cell.width, cell.height), colour)
            picture.info["parameters"] = "as asked"
            each(number, picture)

    def reconstruct(self, image):
        return image


def test_small_faces_are_painted_again_larger_and_come_back(tmp_path):
    painting, come = Painting(), {}
    painter = SmallFacePainter(painting, Faces((200, 100, 40, 60)), tmp_path / "cuts", SIDE, 0.35)
    cells = [Cell("a", "b", seed, width=512, height=768) for seed in (1, 2, 3)]
    pictures = painter.paint(cells, come.__setitem__)
    assert list(come) == [1, 0, 2]
    assert [pictures[number] is come[number] for number in range(3)] == [True] * 3
    [first, second] = painting.calls
    assert first == cells
    assert {(one.width, one.height, one.strength, one.prompt) for one in second} == {(512, 512, 0.35, "a")}
    assert [one.seed for one in second] == [1, 3]
    assert painting.over == [(512, 512)] * 2
    assert pictures[0].size == (512, 768)
    assert pictures[0].getpixel((220, 130)) == (255, 0, 0)
    assert pictures[0].getpixel((10, 10)) == (255, 255, 255)
    assert [one.info["parameters"] for one in pictures] == [
        "as asked, SameFace second pass: 0.35",
        "as asked",
        "as asked, SameFace second pass: 0.35",
    ]
    assert list((tmp_path / "cuts").iterdir()) == []
    assert painter.reconstruct(pictures[0]) is pictures[0]


def test_a_painter_with_means_of_its_own_is_asked_to_use_them():
    painting, come = Painting(), {}
    cells = [Cell("a", "b", seed, width=512, height=768) for seed in (1, 2)]
    painter = DetailingPainter(painting, 0.35, SIDE)
    painter.paint(cells, come.__setitem__)
    assert painting.calls == [[replace(cell, detail=0.35, detail_side=SIDE) for cell in cells]]
    assert list(come) == [0, 1]
    assert painter.reconstruct(come[0]) is come[0]


def test_without_a_small_face_nothing_is_painted_again(tmp_path):
    painting, come = Painting(), []
    painter = SmallFacePainter(painting, Faces(None), tmp_path / "cuts", SIDE, 0.4)
    painter.paint([Cell("a", "b", 1)], lambda number, _: come.append(number))
    assert (len(painting.calls), come) == (1, [0])
    assert not (tmp_path / "cuts").exists()


def test_what_waits_for_its_second_pass_is_not_painted_once_more(tmp_path):
    cells, come = [Cell("a", "b", seed) for seed in (2, 1, 3)], []
    dying = SmallFacePainter(Painting(fails=True), Faces((200, 100, 40, 60)), tmp_path / "cuts", SIDE, 0.4)
    with raises("painter-died"):
        dying.paint(cells, lambda number, _: come.append(number))
    assert come == [0]  # what needed no second pass is kept
    painting, come = Painting(), {}
    again = SmallFacePainter(painting, Faces((200, 100, 40, 60)), tmp_path / "cuts", SIDE, 0.4)
    again.paint(cells[1:], come.__setitem__)
    [second] = painting.calls
    assert [(one.seed, bool(one.start)) for one in second] == [(1, True), (3, True)]
    assert come[0].info["parameters"] == "as asked, SameFace second pass: 0.4"
    assert list((tmp_path / "cuts").iterdir()) == []


def test_a_stop_ends_after_the_picture_that_waits(tmp_path):
    painting, come = Painting(), []
    painter = SmallFacePainter(painting, Faces((200, 100, 40, 60)), tmp_path / "cuts", SIDE, 0.4, stopping=lambda: True)
    with raises("painting-stopped"):
        painter.paint([Cell("a", "b", seed) for seed in (1, 3, 5)], lambda number, _: come.append(number))
    assert (come, len(list((tmp_path / "cuts").iterdir()))) == ([], 1)
