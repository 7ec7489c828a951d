"""From what the user gives to a run that can be trained: the character's folder, captions, settings, hashes."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from lib_lora.character import captions
from lib_lora.character.photos import Imported, import_photos, list_photos, open_photo, unsupported
from lib_lora.character.store import Character, CharacterFolder, create, declare_consent, folder_of, load
from lib_lora.errors import UserError, command
from lib_lora.files import explained, sha256
from lib_lora.models.family import ModelInfo, Prediction, identify
from lib_lora.models.identity import remembered_sha256
from lib_lora.training import processes
from lib_lora.training.precision import resolve
from lib_lora.training.presets import preset
from lib_lora.training.run import Photo, Run, create_run
from lib_lora.training.settings import TrainSettings


def new_character(
    root: Path, name: str, trigger: str, class_word: str, consent: str, photos: Path
) -> tuple[CharacterFolder, Imported]:
    """Make a character from a folder of photos (or add photos to one that is there) and caption what has no caption.

    Nothing is made before it is known that a photo can be read.

    Raises:
        UserError: no photo can be read, or the character exists with other words or another consent.
    """
    try:
        character = Character(name.strip(), trigger.strip(), class_word.strip(), declare_consent(consent))
    except ValueError as error:
        raise UserError(str(error)) from error
    sources = list_photos(photos)
    if not sources:
        others = " ".join(unsupported(photos)[:3])
        raise UserError(f"There is no photo in {photos} (JPEG, PNG, WebP, BMP or TIFF). {others}".rstrip())
    _see_that_one_opens(sources, photos)
    folder = create(root, character)
    character = load(folder)  # one that was there may have traits
    if character.consent.kind != consent:
        raise UserError(
            f"{folder.file}: consent for {character.name!r} was declared as {character.consent.kind!r} on "
            f"{character.consent.date}, not as {consent!r}; use that word, or correct the file."
        )
    imported = import_photos(sources, folder.photos)
    imported.skipped.extend(unsupported(photos))
    captions.write_missing(list_photos(folder.photos), captions.template(character))
    return folder, imported


def _see_that_one_opens(sources: list[Path], photos: Path) -> None:
    failures = []
    for path in sources:
        try:
            open_photo(path)
            return
        except UserError as error:
            failures.append(str(error))
    more = f" (and {len(failures) - 3} more)" if len(failures) > 3 else ""
    raise UserError(f"None of the {len(sources)} photos in {photos} can be read: {' '.join(failures[:3])}{more}")


def start_run(
    root: Path,
    name: str,
    base: Path,
    preset_name: str | None = None,
    overrides: dict[str, Any] | None = None,
    prediction: Prediction | None = None,
    out: Path | None = None,
    grid_steps: int = 0,
) -> Run:
    """Make the folder of a new run; nothing is trained yet.

    Args:
        root: the data folder.
        name: of the character.
        base: the checkpoint file.
        preset_name: None = the one for this base model.
        overrides: settings laid over the preset.
        prediction: overrides what the checkpoint says of itself.
        out: where the finished LoRA shall go.
        grid_steps: sampling steps of the test grid at the end; 0 = none.

    Raises:
        UserError: anything missing or unfit, before time is spent.
    """
    folder = folder_of(root, name)
    character = load(folder)
    if out:
        check_out(out)
    info, train = plan(base, preset_name, overrides, prediction)
    base_sha256 = remembered_sha256(base, root / "hashes.json")
    photos = [*_own_photos(folder, character, train), *_class_photos(character, train)]
    return create_run(folder, character, info, base_sha256, train, photos, out, grid_steps)


def check_out(out: Path) -> None:
    """See that the finished LoRA can be put into `out`, which is made; better now than after the training.

    Raises:
        UserError: it cannot.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file, not a folder; name the folder that the LoRA shall go into.")
    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass


def plan(
    base: Path,
    preset_name: str | None = None,
    overrides: dict[str, Any] | None = None,
    prediction: Prediction | None = None,
) -> tuple[ModelInfo, TrainSettings]:
    """The base model and the settings that these arguments give.

    Raises:
        UserError: the base is no model that can be trained on, or a setting does not fit it.
    """
    info = identify(base, prediction)
    train = preset(preset_name, info.family, overrides, narrow=info.narrow)
    if info.small_side and not train.resolution:
        train = replace(train, resolution=info.small_side)  # the run shall not depend on the .yaml later
    train.objective.check(info.prediction)
    return info, replace(train, precision=resolve(train.precision, processes.device()))


def _own_photos(folder: CharacterFolder, character: Character, train: TrainSettings) -> list[Photo]:
    files = list_photos(folder.photos)
    if not files:
        raise UserError(f"There is no photo in {folder.photos}; add some with: {command()} new ... --photos FOLDER")
    default = captions.template(character)
    regions = _face_regions(files) if train.face_weight > 1 else {}
    if regions and not any(regions.values()):
        raise UserError(
            f"face_weight is {train.face_weight:g}, but no face is found on any photo in {folder.photos}; "
            "leave face_weight out, or use photos that show the face."
        )
    return [
        Photo(
            file=path.relative_to(folder.path).as_posix(),
            sha256=sha256(path),
            caption=captions.read(path) or default,
            regions=regions.get(path, []),
        )
        for path in files
    ]


def _class_photos(character: Character, train: TrainSettings) -> list[Photo]:
    if not train.class_photos:
        return []
    folder = Path(train.class_photos).expanduser().absolute()
    default = train.class_caption or f"photo of {character.class_word}"
    files = list_photos(folder)
    if not files:
        raise UserError(f"There is no picture of the class in {folder}; add some, or leave class_photos out.")
    return [
        Photo(file=str(path), sha256=sha256(path), caption=captions.read(path) or default, prior=True) for path in files
    ]


def _face_regions(files: list[Path]) -> dict[Path, list[list[float]]]:
    """The boxes of the faces on each photo, as fractions."""
    from lib_lora.likeness.engine import SFaceEngine

    engine = SFaceEngine()
    found = {}
    for path in files:
        image = open_photo(path)
        boxes = []
        for face in engine.faces(image):
            x, y, width, height = (float(number) for number in face.box)
            box = (x / image.width, y / image.height, (x + width) / image.width, (y + height) / image.height)
            boxes.append([min(1.0, max(0.0, number)) for number in box])
        found[path] = boxes
    return found
