"""The people of `bench.training.quality`: who chooses settings, who never does, and which photos nothing trains on.

A third of a person's photos is held out of the training: they are the yardstick. A character is made for each way to
caption the photos and each number of them; class pictures for prior preservation are painted by the base model itself.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ImageOps

from bench.training.quality_pictures import BASE, OTHER, Question, engine, paint, photo_of_side
from lib_lora.captions import phrases
from lib_lora.captions.caption_check import EVERYWHERE, LEAST
from lib_lora.character import caption_files
from lib_lora.character.photo_files import list_photos, open_photo
from lib_lora.character.store import load
from lib_lora.files import atomic_file, write_text
from lib_lora.workspace.workspace import CharacterFolder
from tools.mini import captions

ROOT = Path(__file__).resolve().parents[2]
PERSONAS, UNSEEN, CONFIRMED = (ROOT / "tests" / "data" / name for name in ("personas", "unseen", "confirming"))
EVERY = 3  # one photo in so many is held out
CLASS_PICTURES, CLASS_STEPS = 48, 20
CROP = 1.5  # side of a cropped picture, in sides of the face
# what SameFace says of a photo, in words that the small base model was taught
TAUGHT = {"looking at the camera": "looking ahead", "slight smile": "smiling", "serious expression": "serious"}
Captions = Literal["template", "filled", "named", "taught", "words"]
ClassPictures = Literal["", "plain", "worded"]
More = Literal["", "mirrored", "cropped"]
Half = Literal["", "alike", "varied"]
CHOOSING, NEVER, THIRD, CONFIRMING = "choosing", "never used for choosing", "third group", "confirming"
GROUPS = {
    CHOOSING: {"mara": "woman", "ines": "woman", "tomas": "man"},
    NEVER: {"unseen1": "man", "unseen2": "woman", "unseen8": "man", "unseen18": "woman"},
    THIRD: {"clara": "woman", "lena": "woman", "viktor": "man"},
    CONFIRMING: {"unseen28": "man", "unseen29": "man", "unseen33": "woman", "unseen50": "woman"},
}
CLASS_WORDS = {name: word for people in GROUPS.values() for name, word in people.items()}


@dataclass(frozen=True)
class Material:
    """What a LoRA is trained on, beside the settings.

    Attributes:
        captions: "template" is what `run` and `try` write; "named" what `caption --fill` measures; "filled" the same
            without the phrases of nearly all photos, which that left out until December 2026; "taught" what it measures
            in words that the base model was taught, as far as it was (`TAUGHT`); "words" all words of the base model
            that hold for the photo.
        thin: only each so many-th of the photos is trained on.
        half: only half of the photos are trained on: those with the "alike" directions of the head, or those with the
            "varied" ones (`half_of`); empty = all.
        class_pictures: for prior preservation, painted by the base: "plain" ones all of one prompt, "worded" ones of
            several subjects with words that their captions name; empty = none.
        more: a second picture of each photo, with its caption: "mirrored" (where left and right change places in the
            caption too), or "cropped" around the face; empty = none.
    """

    captions: Captions = "template"
    thin: int = 1
    class_pictures: ClassPictures = ""
    more: More = ""
    half: Half = ""


def group_of(person: str) -> str:
    """The group of a person."""
    return next(group for group, people in GROUPS.items() if person in people)


def trigger_of(person: str) -> str:
    """A person's trigger word."""
    return f"{person[:2]}x{person[2]}"


def photos_of(person: str, unseen: Path = UNSEEN) -> list[Path]:
    """All photos of a person.

    Raises:
        SystemExit: there are too few.
    """
    folder = {NEVER: unseen, CONFIRMING: CONFIRMED}.get(group_of(person), PERSONAS) / person
    files = sorted(folder.glob("*.jpg"))
    if len(files) < 3 * EVERY:
        raise SystemExit(f"{folder} has {len(files)} photos; make them with tools/unseen_people.py --photos.")
    return files


def shared_out(photos: Sequence[Path], thin: int = 1) -> tuple[list[Path], list[Path]]:
    """The photos that are trained on, and those that are held out, which are the same whatever `thin` is."""
    # at random: the photos of the people of tools/unseen_people.py have a rhythm, each third is a turned head
    places = np.random.default_rng(24).permutation(len(photos))[: len(photos) // EVERY]
    held_out = [photos[place] for place in sorted(places)]
    return [photo for photo in photos if photo not in held_out][::thin], held_out


def half_of(photos: Sequence[Path], yaws: Sequence[float], kind: Half) -> list[Path]:
    """Half of the photos, in their order: those whose heads are turned nearly alike, or those that are turned most
    differently.

    Args:
        photos: at least two.
        yaws: how far the head is turned in each, of any unit, negative to one side.
        kind: "alike" = the neighbours by direction that span the least; "varied" = as many from either end.
    """
    order, count = np.argsort(yaws, kind="stable"), len(photos) // 2
    if kind == "varied":
        chosen = [*order[: count // 2], *order[len(order) - (count - count // 2) :]]
    else:
        spans = [yaws[order[first + count - 1]] - yaws[order[first]] for first in range(len(order) - count + 1)]
        first = int(np.argmin(spans))
        chosen = [*order[first : first + count]]
    return [photos[place] for place in sorted(chosen)]


def _yaws(photos: Sequence[Path]) -> list[float]:
    """How far the head is turned in each photo; one without a face counts as straight ahead."""
    found = [engine().faces(photo_of_side(photo)) for photo in photos]
    return [faces[0].yaw if faces else 0.0 for faces in found]


def root_of(work: Path, material: Material) -> Path:
    """The data folder of the characters that are made in one way; class pictures are no part of a character."""
    parts = (material.captions, str(material.thin), material.more, material.half)
    return work / "data" / "-".join(filter(None, parts))


def take_in(person: str, material: Material, work: Path, unseen: Path = UNSEEN) -> CharacterFolder:
    """Make the character of a person in the data folder for such material, with its captions."""
    from lib_lora.workflows.photos.fill_captions import fill
    from lib_lora.workflows.photos.new_character import NewCharacter, new_character

    root = root_of(work, material)
    trained, _ = shared_out(photos_of(person, unseen), material.thin)
    if material.half:
        trained = half_of(trained, _yaws(trained), material.half)
    who = NewCharacter(person, trigger_of(person), CLASS_WORDS[person], "fictional")
    folder, _ = new_character(root, who, trained)
    if material.captions in ("filled", "named", "taught"):
        named = fill(root, person).values["captions"]
        change = {"filled": without_shared(named), "taught": {photo: taught(text) for photo, text in named.items()}}
        for photo, text in change.get(material.captions, {}).items():
            write_text(caption_files.path_of(folder.photos / photo), text + "\n")
    elif material.captions == "words":
        plain = caption_files.template(load(folder))
        for photo in list_photos(folder.photos):
            write_text(caption_files.path_of(photo), ", ".join([plain, *_words(photo)]) + "\n")
    if material.more:
        for photo in list_photos(folder.photos):
            _add_second(photo, material.more)
    return folder


def without_shared(texts: phrases.Captions) -> dict[str, str]:
    """Captions without the phrases that nearly all of them have, but for the first, which is the character's; of fewer
    than eight nothing is left out."""
    if len(texts) < LEAST:
        return dict(texts)
    own = {phrases.key(phrases.split(text)[0]) for text in texts.values()}
    shared = phrases.join(
        phrase
        for phrase, count in phrases.frequency(texts)
        if count >= EVERYWHERE * len(texts) and phrases.key(phrase) not in own
    )
    return {photo: phrases.remove(text, shared) for photo, text in texts.items()}


def taught(caption: str) -> str:
    """A caption in words that the small base model was taught."""
    return ", ".join(TAUGHT.get(phrase, phrase) for phrase in caption.split(", "))


def _add_second(photo: Path, kind: More) -> None:
    """Put a mirrored or cropped copy of a photo, with its caption, beside it."""
    picture = open_photo(photo).convert("RGB")
    caption = caption_files.path_of(photo).read_text(encoding="utf-8")
    if kind == "mirrored":
        picture = ImageOps.mirror(picture)
        caption = re.sub(r"\b(left|right)\b", lambda side: {"left": "right", "right": "left"}[side[0]], caption)
    else:
        faces = engine().faces(picture)
        if not faces:
            return
        x, y, wide, high = faces[0].box
        half = CROP * max(wide, high) / 2
        middle = (x + wide / 2, y + high / 2)
        left, top = (max(0, round(at - half)) for at in middle)
        right, bottom = (min(size, round(at + half)) for at, size in zip(middle, picture.size, strict=True))
        picture = picture.crop((left, top, right, bottom))
    file = photo.with_name(f"{photo.stem}-{kind}.png")
    with atomic_file(file) as stream:
        picture.save(stream, "PNG")
    write_text(caption_files.path_of(file), caption)


def _words(photo: Path) -> list[str]:
    """All words of the base model that hold for a photo."""
    from tools.mini.evaluate import measured

    picture = photo_of_side(photo)
    faces = engine().faces(picture)
    return captions.words(measured(picture, faces[0])) if faces else []


def class_folder(work: Path, kind: str, class_word: str) -> Path:
    """Where the class pictures of one kind lie."""
    return work / "class" / f"{kind}-{class_word}"


def class_prompts(kind: str, class_word: str) -> list[str]:
    """What the class pictures are asked to show, which is also their caption."""
    if kind == "plain":
        return [f"photo of {class_word}"] * CLASS_PICTURES
    random = np.random.default_rng(5)
    subjects = (f"photo of a {class_word}", "photo of a person", f"photo of a {OTHER[class_word]}", "a name")
    found = []
    for number in range(CLASS_PICTURES):
        name = "".join(chr(97 + letter) for letter in random.integers(0, 26, 5))
        subject = f"photo of {name} {class_word}" if number % 4 == 3 else subjects[number % 4]
        found.append(", ".join([subject, *captions.at_random(random)]))
    return found


def paint_class(work: Path, kind: str, class_word: str) -> None:
    """Paint the class pictures of one kind with their captions, unless they are there."""
    folder = class_folder(work, kind, class_word)
    if folder.exists():
        return
    prompts = class_prompts(kind, class_word)
    unfinished = folder.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    asked = [Question(kind, prompt, 30_000 + n) for n, prompt in enumerate(prompts)]
    for number, picture in enumerate(paint(asked, CLASS_STEPS)):
        file = unfinished / f"{number:02}.png"
        with atomic_file(file) as stream:
            picture.save(stream, "PNG")
        write_text(caption_files.path_of(file), prompts[number] + "\n")
    unfinished.rename(folder)


def overrides_of(material: Material, person: str, work: Path) -> Mapping[str, str]:
    """The settings that a material needs."""
    if not material.class_pictures:
        return {}
    return {"class_photos": str(class_folder(work, material.class_pictures, CLASS_WORDS[person]).absolute())}


__all__ = ["BASE", "CHOOSING", "CONFIRMING", "NEVER", "THIRD", "Material", "shared_out", "take_in"]
