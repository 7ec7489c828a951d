"""Finds the pictures that a run trains on: the photos of its characters, each with its caption, and class pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lib_lora.character import caption_files
from lib_lora.character.caption_files import without_character
from lib_lora.character.photo_counts import LEAST_TO_TRAIN
from lib_lora.character.photo_files import list_photos, open_photo
from lib_lora.character.store import Character, consent_of, load
from lib_lora.errors import UserError, typed
from lib_lora.files import sha256_once
from lib_lora.models.families.model_family import ModelInfo
from lib_lora.photos.audit.audit_store import photos_to_use
from lib_lora.training.plan.presets import preset
from lib_lora.training.plan.run_file import TrainingPhoto, TrainingSet
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.workspace.workspace import CharacterFolder, character_of


def training_set(
    folder: CharacterFolder, character: Character, train: TrainSettings, few: bool, weight_asked: bool
) -> TrainingSet:
    """The pictures that a run with these settings trains on.

    Args:
        folder, character: whose run it is.
        train: the settings.
        few: fewer photos than a face needs will do (`TrainingRequest`).
        weight_asked: see `weight_is_asked`; then there must be a face.

    Raises:
        UserError: see `others_of`, `photos_of` and `class_files`; or the faces that somebody wants weighed are on no
            photo.
    """
    others = others_of(folder, character, train.together)
    photos = _photos_of_one(folder, character, train, few, weight_asked)
    for place, other in others:
        found = _photos_of_one(place, other, train, few, weight_asked)
        photos += [replace(one, file=f"../{place.path.name}/{one.file}", of=other.name) for one in found]
    return TrainingSet([*photos, *_class_photos(character, train)], [other for _, other in others])


def others_of(
    folder: CharacterFolder, character: Character, names: Sequence[str]
) -> list[tuple[CharacterFolder, Character]]:
    """The characters that are to be in the same LoRA, with their folders.

    Args:
        folder, character: whose run it is.
        names: of the others (the setting ``together``).

    Raises:
        UserError: one is not there or has no consent, or they do not fit together: nobody's trigger word may be in what
            calls another, and the file says one kind of consent.
    """
    found: list[tuple[CharacterFolder, Character]] = []
    for name in names:
        place = _named(folder, name.strip())
        other = load(place)
        consent_of(other)
        if place.path in [folder.path, *(one.path for one, _ in found)]:
            raise UserError(
                f"{other.name} is in this LoRA already; name each character once.",
                "together",
                code="character-named-twice",
            )
        for one in [character, *(one for _, one in found)]:
            _see_that_they_fit(other, one)
        found.append((place, other))
    return found


def _named(folder: CharacterFolder, name: str) -> CharacterFolder:
    place = folder.workspace.character(name)
    if not place.file.is_file():
        known = [one.path.name for one in folder.workspace.character_folders() if one.path != folder.path]
        raise UserError(
            f"There is no character {name!r} to train in the same LoRA; the other characters are: "
            f"{', '.join(known) or 'none'}.",
            "together",
            code="together-unknown",
            character=name,
        )
    return place


def _see_that_they_fit(other: Character, one: Character) -> None:
    if other.name == one.name or any(
        without_character(called.called, by) != called.called for called, by in ((one, other), (other, one))
    ):
        raise UserError(
            f"{one.name} is called by {one.called!r} and {other.name} by {other.called!r}, which a LoRA of both could "
            "not tell apart; give one of them another name or trigger word.",
            "together",
            code="triggers-equal",
        )
    if one.consent and other.consent and one.consent.kind != other.consent.kind:
        raise UserError(
            f"{one.name} was declared as '{one.consent.kind}' and {other.name} as '{other.consent.kind}', and a LoRA "
            "can say only one of them; train them apart.",
            "together",
            code="consents-differ",
        )


def weight_is_asked(info: ModelInfo, train: TrainSettings) -> bool:
    """Whether these settings weigh the face otherwise than their preset does, so that somebody asked for it.

    What only the preset says of it means nothing where no face is found.
    """
    return preset(train.preset, info.family, narrow=info.narrow).face_weight != train.face_weight


def _photos_of_one(
    folder: CharacterFolder, character: Character, train: TrainSettings, few: bool, weight_asked: bool
) -> list[TrainingPhoto]:
    """The photos of one character; see `training_set`."""
    files = photos_of(folder, character, few)
    default = caption_files.template(character)
    regions = _face_regions(files) if train.face_weight > 1 else {}
    if weight_asked and regions and not any(regions.values()):
        raise UserError(
            f"face_weight is {train.face_weight:g}, but no face is found on any photo in {folder.photos}; "
            "leave face_weight out, or use photos that show the face.",
            code="face-weight-without-face",
        )
    return [
        TrainingPhoto(
            file=path.relative_to(folder.path).as_posix(),
            sha256=sha256_once(path),
            caption=caption_files.read(path) or default,
            regions=regions.get(path, []),
        )
        for path in files
    ]


def photos_of(folder: CharacterFolder, character: Character, few: bool) -> list[Path]:
    """The files of a character's photos in use, of which there must be enough to train on.

    Args:
        folder, character: whose.
        few: fewer than a face needs will do.

    Raises:
        UserError: there is none, or there are too few.
    """
    files = photos_to_use(folder)
    if not files and list_photos(folder.photos):
        raise UserError(
            f"All photos of {character.name!r} are left out; include some again with: "
            f"{typed('audit', character.name, '--undecided')} PHOTO",
            code="all-photos-left-out",
            character=character.name,
        )
    if not files:
        raise UserError(
            f"There is no photo in {folder.photos}; add some with: {typed('import', character.name)} PHOTOS",
            code="no-photo",
        )
    if len(files) < LEAST_TO_TRAIN and not few:
        raise UserError(
            f"{character.name!r} has {len(files)} photo{'' if len(files) == 1 else 's'} in use, and at least "
            f"{LEAST_TO_TRAIN} are needed to learn a face; add some with: {typed('import', character.name)} PHOTOS "
            "(or train anyway with --few)",
            code="too-few-photos",
            photos=len(files),
            needed=LEAST_TO_TRAIN,
        )
    return files


def _class_photos(character: Character, train: TrainSettings) -> list[TrainingPhoto]:
    """The pictures of the class for prior preservation; see `class_files`."""
    default = train.class_caption or f"photo of {character.class_word}"
    return [
        TrainingPhoto(file=str(path), sha256=sha256_once(path), caption=caption_files.read(path) or default, prior=True)
        for path in class_files(train)
    ]


def class_files(train: TrainSettings) -> list[Path]:
    """The files of the class pictures; none where the settings name no folder.

    Raises:
        UserError: the folder is not there, holds no picture, or is a character's.
    """
    if not train.class_photos:
        return []
    folder = Path(train.class_photos).expanduser().absolute()
    if place := character_of(folder):
        name = load(place).name
        raise UserError(
            f"{folder} has the photos of {name}, which are not class pictures; to train {name} in the same LoRA, set "
            "together to that name.",
            "class_photos",
            code="class-photos-of-character",
            character=name,
        )
    files = list_photos(folder)
    if not files:
        raise UserError(
            f"There is no picture to train on in {folder}; add some, or leave class_photos out.",
            code="class-photos-missing",
            folder=folder,
        )
    return files


def photos_an_epoch(folder: CharacterFolder, character: Character, train: TrainSettings, own: int) -> int:
    """How many pictures an epoch has: those of all characters, and as many class pictures.

    Args:
        folder, character: whose run it is.
        train: the settings.
        own: that character's photos in use.

    Raises:
        UserError: see `others_of`.
    """
    own += sum(len(photos_to_use(place)) for place, _ in others_of(folder, character, train.together))
    return own * (2 if train.class_photos else 1)


def _face_regions(files: list[Path]) -> dict[Path, list[list[float]]]:
    """The boxes of the faces on each photo, as fractions."""
    from lib_lora.faces.engines.opencv_engine import SFaceEngine

    engine = SFaceEngine()
    found = {}
    for path in files:
        image = open_photo(path)
        boxes = []
        for x, y, width, height in engine.boxes(image):
            box = (x / image.width, y / image.height, (x + width) / image.width, (y + height) / image.height)
            boxes.append([min(1.0, max(0.0, number)) for number in box])
        found[path] = boxes
    return found
