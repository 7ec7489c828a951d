"""Finds the pictures that a run trains on: the photos of its characters, each with its caption, and class pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lib_lora.character import caption_files
from lib_lora.character.photo_counts import LEAST_TO_TRAIN
from lib_lora.character.photo_files import list_photos, open_photo
from lib_lora.character.store import Character, consent_of, load
from lib_lora.errors import UserError, typed
from lib_lora.files import sha256_once, slug
from lib_lora.models.families.model_family import ModelInfo
from lib_lora.photos.audit.audit_store import photos_to_use
from lib_lora.training.plan.presets import preset
from lib_lora.training.plan.run_file import TrainingPhoto, TrainingSet
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.workspace.workspace import CharacterFolder, Workspace, character_of


def training_set(
    root: Path, folder: CharacterFolder, character: Character, train: TrainSettings, few: bool, weight_asked: bool
) -> TrainingSet:
    """The pictures that a run with these settings trains on.

    Args:
        root: the data folder.
        folder, character: whose run it is.
        train: the settings.
        few: fewer photos than a face needs will do (`TrainingRequest`).
        weight_asked: see `weight_is_asked`; then there must be a face.

    Raises:
        UserError: see `others_of`, `photos_of` and `class_files`; or the faces that somebody wants weighed are on no
            photo.
    """
    others = others_of(root, character, train)
    photos = own_photos(folder, character, train, few, weight_asked)
    for place, other in others:
        found = own_photos(place, other, train, few, weight_asked)
        photos += [replace(one, file=str(place.path / one.file), of=other.name) for one in found]
    return TrainingSet([*photos, *class_photos(character, train)], [other for _, other in others])


def others_of(root: Path, character: Character, train: TrainSettings) -> list[tuple[CharacterFolder, Character]]:
    """The characters that are to be in the same LoRA (the setting ``together``), with their folders.

    Raises:
        UserError: one is not there or has no consent, or they do not fit together: each needs a trigger word of its
            own, and the file says one kind of consent.
    """
    found: list[tuple[CharacterFolder, Character]] = []
    for name in train.together:
        place = _named(root, name.strip(), character)
        other = load(place)
        _see_that_they_fit(other, [character, *(one for _, one in found)])
        found.append((place, other))
    return found


def _named(root: Path, name: str, character: Character) -> CharacterFolder:
    place = Workspace(root).character(name)
    if not place.file.is_file():
        known = [one.path.name for one in Workspace(root).character_folders()]
        others = ", ".join(one for one in known if one != slug(character.name)) or "none"
        raise UserError(
            f"There is no character {name!r} to train in the same LoRA; the other characters are: {others}.",
            "together",
            code="character-not-found",
            character=name,
        )
    return place


def _see_that_they_fit(other: Character, before: Sequence[Character]) -> None:
    for one in before:
        if other.name == one.name:
            raise UserError(
                f"{other.name} is in this LoRA already; name each character once.",
                "together",
                code="character-named-twice",
            )
        if other.trigger.casefold() == one.trigger.casefold():
            raise UserError(
                f"{one.name} and {other.name} have the same trigger word, {other.trigger}; give one of them another.",
                "together",
                code="triggers-equal",
            )
    kinds = [consent_of(one).kind for one in (before[0], other)]  # neither is trained without it
    if kinds[0] != kinds[1]:
        raise UserError(
            f"{before[0].name} was declared as '{kinds[0]}' and {other.name} as '{kinds[1]}', and a LoRA can say only "
            "one of them; train them apart.",
            "together",
            code="consents-differ",
        )


def weight_is_asked(info: ModelInfo, train: TrainSettings) -> bool:
    """Whether these settings weigh the face otherwise than their preset does, so that somebody asked for it.

    What only the preset says of it means nothing where no face is found.
    """
    return preset(train.preset, info.family, narrow=info.narrow).face_weight != train.face_weight


def own_photos(
    folder: CharacterFolder, character: Character, train: TrainSettings, few: bool, weight_asked: bool
) -> list[TrainingPhoto]:
    """The photos of the character that a run with these settings trains on.

    Args:
        folder, character: whose.
        train: the settings.
        few: as in `start_run`.
        weight_asked: see `weight_is_asked`; then there must be a face.

    Raises:
        UserError: there is none, there are too few, or the faces that somebody wants weighed are on none of them.
    """
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
    """The files of a character's photos in use, of which there must be enough to train on; see `own_photos`.

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


def class_photos(character: Character, train: TrainSettings) -> list[TrainingPhoto]:
    """The pictures of the class for prior preservation; none where the settings name no folder.

    Raises:
        UserError: see `class_files`.
    """
    default = train.class_caption or f"photo of {character.class_word}"
    return [
        TrainingPhoto(file=str(path), sha256=sha256_once(path), caption=caption_files.read(path) or default, prior=True)
        for path in class_files(train)
    ]


def class_files(train: TrainSettings) -> list[Path]:
    """The files of the class pictures; see `class_photos`.

    Raises:
        UserError: the folder is not there, holds no picture, or is a character's.
    """
    if not train.class_photos:
        return []
    folder = Path(train.class_photos).expanduser().absolute()
    if place := character_of(folder):
        name = load(place).name
        raise UserError(
            f"{folder} has the photos of {name}, who is no picture of the class; to train {name} in the same LoRA, set "
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


def photos_an_epoch(root: Path, character: Character, train: TrainSettings, own: int) -> int:
    """How many pictures an epoch has: those of all characters, and as many class pictures.

    Args:
        root: the data folder.
        character: whose run it is.
        train: the settings.
        own: that character's photos in use.

    Raises:
        UserError: see `others_of`.
    """
    own += sum(len(photos_to_use(place)) for place, _ in others_of(root, character, train))
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
