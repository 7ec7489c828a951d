"""Makes one self-contained HTML page of a report: it needs no network, no script and no file beside it.

Everything that comes from outside is escaped by the template engine; the page's own policy also forbids scripts and the
network.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path

import jinja2
from markupsafe import Markup
from PIL import Image

from lib_lora.likeness.report import charts, report_words
from lib_lora.likeness.report.four_numbers import four_numbers
from lib_lora.likeness.report.report import Report, Row
from lib_lora.pages import template

Pictures = Callable[[str], "Image.Image | None"]
SIDE = 192  # pixels: the longer side of a thumbnail
# Photos show a real face, so they stand between these marks, by which `without_photos` finds them.
PHOTO, END = "<!--photo-->", "<!--/photo-->"
FILE_NAME = "report.html"  # in the folder of a grid
TEMPLATES = Path(__file__).resolve().parent / "templates"


@dataclass(frozen=True)
class PictureCell:
    """One picture on the page: its row's words, and its thumbnail as data URI (empty where there is no picture)."""

    name: str
    mark: report_words.Mark
    picture: str
    width: int
    height: int
    ours: bool


@dataclass(frozen=True)
class PhotoCell:
    """A photo of the person beside a picture: its name, its likeness to the picture, and its thumbnail as data URI."""

    name: str
    likeness: str
    picture: str
    width: int
    height: int


@dataclass(frozen=True)
class Pair:
    """The pictures of one prompt, without and with the LoRA, and the photo that the latter is most like."""

    prompt: str
    cells: list[PictureCell]
    photo: PhotoCell | None = None


def render(report: Report, pictures: Pictures, photos: Pictures | None = None) -> str:
    """The page.

    Args:
        report: what to show.
        pictures: gives the picture at a row's path; None where it is gone, which the page then says.
        photos: gives the photo of a file name; where it gives None, none is shown. None = no photos on the page.
    """

    @cache
    def beside(name: str) -> Image.Image | None:
        return small_of(photos(name)) if photos else None

    with_lora, base = report.of("lora"), report.of("base")
    return _template().render(
        report=report,
        tone=report_words.tone_of(report),
        kept=report_words.kept(report),
        why_not=report_words.why_not_kept(report),
        numbers=four_numbers(report.facts),
        about=report_words.about(report),
        counts=report_words.counts(report),
        ai_made=report_words.AI_MADE if report.subject.lora else "",
        legend=report_words.legend(report),
        missed=[one.text for one in report.missed],
        photo_marks=(Markup(PHOTO), Markup(END)),
        pairs=[_pair(first, second, pictures, beside) for first, second in zip_longest(base, with_lora)],
        leak=[_cell(row, pictures) for row in report.of("leak")],
        strips=charts.strips(report),
        curve=charts.curve(report),
        dashes=charts.DASHES,
        left_out=report_words.photos_left_out(report),
        to_see=report_words.photos_to_see(report),
        small_print=report_words.small_print(report),
    )


def without_photos(page: str) -> str:
    """A page that `render` made, without the photos of the person that lie in it."""
    return re.sub(f"{re.escape(PHOTO)}.*?{re.escape(END)}", "", page, flags=re.DOTALL)


def _pair(base: Row | None, with_lora: Row | None, pictures: Pictures, photos: Pictures) -> Pair:
    rows = [row for row in (base, with_lora) if row is not None]
    return Pair(rows[-1].asked.prompt, [_cell(row, pictures) for row in rows], _photo(rows[-1], photos))


def _photo(row: Row, photos: Pictures) -> PhotoCell | None:
    score = row.score
    small = photos(score.nearest) if score.nearest and row.role != "base" else None
    if small is None or score.nearest is None:
        return None
    likeness = "" if score.nearest_likeness is None else report_words.number(score.nearest_likeness)
    return PhotoCell(score.nearest, likeness, data_uri(small), small.width, small.height)


def _cell(row: Row, pictures: Pictures) -> PictureCell:
    picture = pictures(row.path)
    small = small_of(picture)
    return PictureCell(
        name=row.path.rpartition("/")[2],
        mark=report_words.mark_of(row),
        picture=data_uri(small) if small else "",
        width=small.width if small else SIDE,
        height=small.height if small else SIDE,
        ours=row.role != "base",
    )


def small_of(picture: Image.Image | None) -> Image.Image | None:
    """A picture small enough for a page, without what its file says of itself; None if there is no picture."""
    if picture is None:
        return None
    copy = picture.convert("RGB")
    copy.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    bare = Image.new("RGB", copy.size)  # the original's comments and profiles stay behind
    bare.paste(copy)
    return bare


def data_uri(picture: Image.Image) -> str:
    """A picture as an address that holds it, as JPEG."""
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=85, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


@cache
def _template() -> jinja2.Template:
    return template(TEMPLATES / "report.html.jinja", finalize, percent=report_words.percent, number=report_words.number)


def finalize(value: object) -> object:
    """Control characters do nothing; a gap is shown as one."""
    if value is None:
        return "not measured"
    return report_words.plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
