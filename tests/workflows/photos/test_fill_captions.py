"""Captions written from what the photos show."""

import shutil

import planted
import pytest
from faults import raises

from lib_lora.captions import editing, phrases
from lib_lora.captions.photo_facts import FaceFacts, PhotoFacts
from lib_lora.character.store import Character, create, declare_consent
from lib_lora.errors import UserError
from lib_lora.workflows.photos.fill_captions import caption, fill

NAME = "Märá 名前"
MARA = Character(NAME, "mrxa", "woman", declare_consent("fictional"))
SEEN = {"03.jpg": ["wearing a red coat", "standing in front of a dark background"]}


class Tells:
    """A captioner that knows one photo, by the colour of its first pixel."""

    id = "told"

    def __init__(self, photo):
        self.colour = planted.opened(photo).getpixel((0, 0))

    def phrases(self, image):
        return SEEN["03.jpg"] if image.getpixel((0, 0)) == self.colour else []


@pytest.fixture
def root(tmp_path):
    folder = create(tmp_path / "Daten ü", MARA)
    for name, number in (("mara", 3), ("mara", 4), ("tomas", 0), ("viktor", 0), ("lena", 5), ("clara", 2)):
        shutil.copy(planted.portraits(name)[number], folder.photos / f"{name} {number}.jpg")
    (folder.photos / "lena 5.txt").write_text("photo of mrxa woman, in a garden", encoding="utf-8")
    (folder.photos / "clara 2.txt").write_text("photo of mrxa woman", encoding="utf-8")  # the plain one
    return tmp_path / "Daten ü"


def test_what_is_missing_or_plain_is_written_and_the_users_words_stay(root, eye):
    captioner = Tells(planted.portraits("mara")[3])
    told = fill(root, NAME, captioner, engine=eye)
    texts = told.values["captions"]
    assert texts["lena 5.jpg"] == "photo of mrxa woman, in a garden"
    assert texts["clara 2.jpg"].startswith("photo of mrxa woman, close-up")
    assert texts["mara 3.jpg"].endswith("smiling, wearing a red coat, standing in front of a dark background")
    assert "smiling" in texts["mara 4.jpg"]
    assert "smiling" not in texts["tomas 0.jpg"]
    assert "dark background" in texts["viktor 0.jpg"]
    assert told.text.startswith("5 captions written.")
    again = fill(root, NAME, captioner, engine=eye)
    assert again.text.startswith("0 captions written.\nEvery photo has a caption of its own")
    fill(root, NAME, rewrite=True, only=["lena 5.jpg"], engine=eye)
    folder = create(root, MARA)
    assert editing.captions_of(folder).texts["lena 5.jpg"] != "photo of mrxa woman, in a garden"
    assert editing.undo(folder).files == ["lena 5.jpg"]
    assert len(editing.undo(folder).files) == 5
    assert editing.captions_of(folder).texts["clara 2.jpg"] == "photo of mrxa woman"
    with raises("photo-not-found", has="gone.jpg"):
        fill(root, NAME, only=["gone.jpg"], engine=eye)


def test_traits_are_named_only_where_captions_shall_name_them():
    face = FaceFacts((0.3, 0.2, 0.4, 0.5), 300, 0.9, 0.75, 400, yaw=-0.5)
    facts = PhotoFacts(640, 640, faces=[face], level=40.0)
    assert caption(MARA, facts) == "photo of mrxa woman, close-up, looking left, dark background"
    traits = Character(NAME, "mrxa", "woman", traits=["brown eyes", "sharp jawline"])
    assert caption(traits, facts).startswith("photo of mrxa woman, brown eyes, sharp jawline, close-up")
    assert caption(MARA, PhotoFacts(640, 640)) == "photo of mrxa woman"


@pytest.mark.once("which words are written is ours; what is seen is repeated in faces")
def test_what_all_photos_share_is_named_and_reported(eye, tmp_path):
    folder = create(tmp_path, MARA)
    for number in range(12):
        shutil.copy(planted.portraits("mara")[number], folder.photos)
    told = fill(tmp_path, NAME, engine=eye)
    assert all("smiling" in phrases.split(text) for text in told.values["captions"].values())
    found = {problem["code"]: problem["details"] for problem in told.values["problems"]}
    assert found["constant-expression"]["phrase"] == "smiling"
    assert "'close-up'" in found["constant-phrases"]["phrases"]


def test_the_command_fills_and_refuses_what_belongs_together(main, root):
    said = main("caption", NAME, "--fill", "--data", root)
    assert said.status == 0, said.err
    assert said.out.startswith("5 captions written.")
    said = main("caption", NAME, "--captioner", "clip", "--data", root)
    assert (said.status, said.code) == (2, "captioner-without-fill")
    said = main("caption", NAME, "--fill", "--captioner", "magic", "--data", root)
    assert (said.status, said.code) == (2, "captioner-unknown")


def test_a_captioner_that_fails_writes_nothing(root, eye):
    class Fails:
        id = "fails"

        def __init__(self, error):
            self.error = error

        def phrases(self, image):
            raise self.error

    before = editing.captions_of(create(root, MARA)).texts
    for error in (UserError("The webui's BLIP is not there.", code="some-fault"), RuntimeError("CUDA out of memory")):
        with raises(("captioner-failed", "some-fault")):
            fill(root, NAME, Fails(error), engine=eye)
    assert editing.captions_of(create(root, MARA)).texts == before


def test_what_was_seen_before_a_captioner_gives_up_is_kept_and_the_rest_is_said(root, eye):
    class Busy:
        id = "busy"

        def __init__(self, photos):
            self.photos = photos

        def phrases(self, image):
            self.photos -= 1
            if self.photos < 0:
                raise UserError("A LoRA is trained; wait until that is done.", code="some-fault")
            return ["outdoors"]

    with raises("captions-left", has="A LoRA is trained; wait until that is done.", written=2, left=3):
        fill(root, NAME, Busy(2), engine=eye)
    texts = editing.captions_of(create(root, MARA)).texts
    assert len([text for text in texts.values() if "outdoors" in text]) == 2
    assert fill(root, NAME, Busy(3), engine=eye).text.startswith("3 captions written.")


def test_what_the_user_writes_meanwhile_stays(root, eye):
    folder = create(root, MARA)

    class Slow:
        id = "slow"

        def phrases(self, image):
            (folder.photos / "mara 3.txt").write_text("mine", encoding="utf-8")
            return ["outdoors"]

    fill(root, NAME, Slow(), engine=eye)
    texts = editing.captions_of(folder).texts
    assert texts["mara 3.jpg"] == "mine"
    assert texts["tomas 0.jpg"].endswith("outdoors")
