"""A face is invented, picked and painted again; on a painter that pastes photos, and on the small base model."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageFilter

from lib_lora.character import captions
from lib_lora.character.photos import list_photos
from lib_lora.character.store import folder_of, load
from lib_lora.errors import StoppedByUser, UserError
from lib_lora.jobs import invent, invent_more
from lib_lora.jobs.invented import Invented
from lib_lora.references.ways import Way

DATA = Path(__file__).parents[1] / "data"
MINI = DATA / "mini-face" / "mini-face.safetensors"
NAME = "Nova ü"
WHO = "a woman with short red hair, 30 years old"
OTHERS = ("ines", "clara", "lena", "tomas", "viktor")


def photo(persona: str, number: int) -> Image.Image:
    with Image.open(DATA / "personas" / persona / f"{number:02d}.jpg") as image:
        return image.convert("RGB").resize((256, 256))


class Pasting:
    """Paints candidates of six people, the first of them mara, and then what `script` says, over and over."""

    def __init__(self, script=("mara", "ines", "none", "two", "blur")) -> None:
        self.script, self.cells, self.further = script, [], 0
        self.broken_at, self.shift = -1, 0

    def reconstruct(self, image):
        return None

    def paint(self, cells, each=None):
        pictures = []
        for number, cell in enumerate(cells):
            if len(self.cells) == self.broken_at:
                raise KeyboardInterrupt
            self.cells.append(cell)
            pictures.append(self.picture(cell))
            if each:
                each(number, pictures[-1])
        return pictures

    def picture(self, cell):
        if cell.prompt == f"photo of {WHO}":
            number = cell.seed - 1 + self.shift
            return photo(("mara", *OTHERS)[number % 6], number // 6)
        what = self.script[self.further % len(self.script)]
        self.further += 1
        match what:
            case "none":
                return Image.new("RGB", (256, 256), "grey")
            case "two":
                both = Image.new("RGB", (512, 256))
                both.paste(photo("mara", 1))
                both.paste(photo("ines", 1), (256, 0))
                return both
            case "blur":
                return photo("mara", 3).filter(ImageFilter.GaussianBlur(7))
            case "copy":
                return photo("mara", 0)
        return photo(what, 1 + self.further % 23)


@pytest.fixture
def begun(tmp_path, eye):
    """A data folder with mara picked of six candidates, and the painter."""
    painter = Pasting()
    invent.candidates(tmp_path, NAME, WHO, MINI, 6, painter=painter, engine=eye)
    invent.pick(tmp_path, NAME, "nvxa", "woman", 1, consent="fictional", engine=eye)
    return tmp_path, painter


def _more(root, painter, eye, **changes):
    values = {"count": 4, "budget": 12, "strangers": 6, "painter": painter, "engine": eye}
    return invent_more.more(root, NAME, **{**values, **changes})


def test_candidates_are_painted_shown_and_numbered_and_nothing_is_painted_twice(tmp_path, eye):
    painter = Pasting()
    told = invent.candidates(tmp_path, NAME, WHO, MINI, 3, painter=painter, engine=eye)
    assert [one["number"] for one in told.values["candidates"]] == [1, 2, 3]
    assert all(one["why_not"] == "" and one["alike"] < 0.6 for one in told.values["candidates"])
    assert Path(told.values["sheet"]).is_file()
    assert told.text.splitlines()[-1].startswith("Pick one with: sameface invent 'Nova ü' --pick NUMBER --trigger WORD")
    more = invent.candidates(tmp_path, NAME, WHO, MINI, 5, painter=painter, engine=eye)
    assert [one["number"] for one in more.values["candidates"]] == [1, 2, 3, 4, 5]
    assert [cell.seed for cell in painter.cells] == [1, 2, 3, 4, 5]
    assert {(cell.width, cell.height, cell.cfg) for cell in painter.cells} == {(128, 128, 3.0)}
    other = invent.candidates(tmp_path, NAME, "an old man", MINI, 1, painter=Pasting(["none"]), engine=eye)
    assert [one["number"] for one in other.values["candidates"]] == [6]  # the first five are still there
    assert not other.good
    assert "6: no face" in other.text
    with pytest.raises(UserError, match=r"Candidate 6 cannot be picked \(no face\)"):
        invent.pick(tmp_path, NAME, "nvxa", "woman", 6, engine=eye)
    with pytest.raises(UserError, match="no candidate 7; there are 1 to 6"):
        invent.pick(tmp_path, NAME, "nvxa", "woman", 7, engine=eye)


def test_a_picked_face_makes_a_character_whose_consent_may_wait(tmp_path, eye):
    with pytest.raises(UserError, match="There are no candidates"):
        invent.pick(tmp_path, NAME, "nvxa", "woman", 1, engine=eye)
    invent.candidates(tmp_path, NAME, WHO, MINI, 2, painter=Pasting(), engine=eye)
    with pytest.raises(UserError, match="There is no character"):
        _more(tmp_path, Pasting(), eye)
    with pytest.raises(UserError, match="Say with --pick"):
        invent.pick(tmp_path, NAME, "nvxa", "woman", engine=eye)
    with pytest.raises(UserError, match="must be plain words"):
        invent.pick(tmp_path, NAME, "n,v", "woman", 1, engine=eye)
    told = invent.pick(tmp_path, NAME, "nvxa", "woman", 1, engine=eye)
    assert told.text.endswith("sameface invent 'Nova ü' --more")
    folder = folder_of(tmp_path, NAME)
    assert load(folder).consent is None
    assert captions.read(Path(told.values["photo"])) == "photo of nvxa woman"
    assert invent.pick(tmp_path, NAME, "nvxa", "woman", 1, engine=eye).values == told.values
    with pytest.raises(UserError, match="has its face already"):
        invent.pick(tmp_path, NAME, "nvxa", "woman", 2, engine=eye)
    with pytest.raises(UserError, match="has its face already"):
        invent.candidates(tmp_path, NAME, WHO, MINI, 2, painter=Pasting(), engine=eye)


def test_the_same_person_is_kept_and_everything_else_is_not(begun, eye):
    root, painter = begun
    painter.script = ("mara", "ines", "none", "two", "blur", "copy", "mara")
    told = _more(root, painter, eye, count=3, budget=30)
    folder = folder_of(root, NAME)
    done = [one for one in Invented(folder).painted() if not one.is_candidate]
    whys = [one.why for one in done[:6]]
    assert whys == ["", "other face", "no face", "several faces", "blurred", "near copy"]
    assert told.good
    assert told.values["kept"] == sum(one.kept for one in done) >= 3
    assert told.values["not_kept"]["other face"] >= 1
    for one in done:
        assert (one.to_picked is not None) == (one.why in ("", "other face", "near copy"))
        assert (folder.path / "invented" / one.file).is_file()  # also what was not kept
    kept = next(one for one in done if one.kept)
    photo = folder.photos / kept.photo
    with Image.open(photo) as image:
        assert "trainedAlgorithmicMedia" in image.text["DigitalSourceType"]
        assert kept.prompt in image.text["parameters"]
    said = captions.read(photo) or ""
    assert said.startswith("photo of nvxa woman, close-up portrait")
    assert len(list_photos(folder.photos)) == told.values["photos"] == told.values["kept"] + 1


def test_a_spent_budget_says_so_and_more_goes_on_from_there(begun, eye):
    root, painter = begun
    painter.script = ("ines", "clara", "tomas")
    told = _more(root, painter, eye, budget=3)
    assert not told.good
    assert told.values["budget_spent"]
    assert (told.values["painted"], told.values["kept"]) == (3, 0)
    assert "The budget of 3 pictures is spent before 4 were kept" in told.text
    assert "sameface invent 'Nova ü' --more --budget 6" in told.text
    painted = len(painter.cells)
    assert _more(root, painter, eye, budget=3).values["painted"] == 3
    assert len(painter.cells) == painted  # nothing was left to paint
    assert _more(root, painter, eye, budget=5).values["painted"] == 5


def test_after_a_stop_nothing_is_lost_and_nothing_painted_twice(begun, eye):
    root, painter = begun
    painter.script = ("mara",)
    painter.broken_at = len(painter.cells) + 2
    with pytest.raises(StoppedByUser, match="sameface invent 'Nova ü' --more"):
        _more(root, painter, eye)
    painter.broken_at = -1
    invented = Invented(folder_of(root, NAME))
    lines = (invented.path / "painted.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (invented.path / "painted.jsonl").write_text("".join(lines[:-1]) + lines[-1][:30], encoding="utf-8")  # cut off
    before = len(painter.cells)
    told = _more(root, painter, eye)
    done = [one for one in invented.painted() if not one.is_candidate]
    assert [one.file for one in done] == [f"more/{number:04d}.png" for number in range(1, len(done) + 1)]
    assert len(painter.cells) - before == len(done) - 2  # the second was there as a picture, and only judged
    assert told.values["painted"] == len(done)


def test_a_photo_that_the_user_throws_out_does_not_come_back(begun, eye):
    root, painter = begun
    painter.script = ("mara",)
    _more(root, painter, eye, count=2, budget=4)
    folder = folder_of(root, NAME)
    invented = Invented(folder)
    gone = next(one for one in invented.painted() if one.kept)
    (folder.photos / gone.photo).unlink()
    told = _more(root, painter, eye, count=2, budget=8)
    assert not (folder.photos / gone.photo).exists()
    assert gone.file not in [one.file for one in invented.kept(invented.painted())]
    assert told.values["kept"] >= 2


def test_from_a_picture_of_the_users_own(tmp_path, eye):
    picture = tmp_path / "Mein Bild.jpg"
    photo("mara", 0).save(picture)
    with pytest.raises(UserError, match="--base"):
        invent.pick(tmp_path, NAME, "nvxa", "woman", picture=picture, engine=eye)
    empty = tmp_path / "leer.png"
    Image.new("RGB", (99, 99)).save(empty)
    with pytest.raises(UserError, match=r"leer.png cannot be the picture to go out from \(no face\)"):
        invent.pick(tmp_path, NAME, "nvxa", "woman", picture=empty, base=MINI, engine=eye)
    invent.pick(tmp_path, NAME, "nvxa", "woman", picture=picture, base=MINI, describe=WHO, consent="myself", engine=eye)
    painter = Pasting(("mara",))
    painter.shift = 1  # mara is none of the strangers
    ways = (Way("img2img", 0.3), Way("own", 0.5))
    told = invent_more.more(tmp_path, NAME, 2, 3, strangers=5, ways=ways, painter=painter, engine=eye)
    assert [cell.prompt for cell in painter.cells[:5]] == [f"photo of {WHO}"] * 5  # strangers, to draw the line
    assert painter.cells[5].start.is_file()
    assert told.values["kept"] >= 2
    assert {path.name for path in list_photos(folder_of(tmp_path, NAME).photos)} >= {"picked-mein-bild.jpg"}


def test_with_a_lora_it_is_asked_for_by_its_trigger_and_the_stage_counts_anew(begun, eye, tmp_path):
    root, painter = begun
    painter.script = ("mara", "ines")
    _more(root, painter, eye, count=1, budget=2)
    with pytest.raises(UserError, match="There is no LoRA file"):
        _more(root, painter, eye, lora=tmp_path / "none.safetensors")
    with pytest.raises(UserError, match="has no run yet"):
        _more(root, painter, eye, lora="newest")
    lora = tmp_path / "nova.safetensors"
    lora.write_bytes(b"painted by nobody")
    before = len(painter.cells)
    told = _more(root, painter, eye, count=2, budget=4, lora=lora)
    assert all(cell.lora == lora and "nvxa woman" in cell.prompt for cell in painter.cells[before:])
    assert told.values["painted"] == 4
    assert set(told.values["ways"]) == {"text"}


def test_the_small_base_model_does_all_of_it(tmp_path, eye):
    told = invent.candidates(tmp_path, "nova", WHO, MINI, 2, steps=6, engine=eye)
    numbers = [one["number"] for one in told.values["candidates"] if not one["why_not"]]
    invent.pick(tmp_path, "nova", "nvxa", "woman", numbers[0], engine=eye)
    told = invent_more.more(tmp_path, "nova", 1, 2, strangers=2, ways=(Way("own", 0.4), Way("seed", 0.1)), engine=eye)
    done = [one for one in Invented(folder_of(tmp_path, "nova")).painted() if not one.is_candidate]
    assert 1 <= len(done) == told.values["painted"] <= 2
    assert all(one.why or one.to_picked >= one.picked_line for one in done)
    assert told.values["lines"]["drawn_by"] == "cohort"  # two candidates are too few to draw a line
