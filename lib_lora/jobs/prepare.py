"""From what the user gives to a run that can be trained: the character's folder, captions, settings, hashes."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from lib_lora import private
from lib_lora.character import captions
from lib_lora.character.photos import list_photos, open_photo
from lib_lora.character.store import (
    Character,
    CharacterFolder,
    Consent,
    consent_of,
    create,
    declare_consent,
    folder_of,
    load,
    save,
)
from lib_lora.errors import UserError, typed
from lib_lora.files import explained, sha256
from lib_lora.jobs.lock import only_process
from lib_lora.models.family import ModelInfo, Prediction, identify, look
from lib_lora.models.identity import remembered_sha256
from lib_lora.references.coverage import LEAST
from lib_lora.references.intake import Imported, Progress, see_that_one_opens, take_in
from lib_lora.references.memory import photos_to_use
from lib_lora.training.fitting import AS_IT_IS, fitted, names
from lib_lora.training.presets import merged, preset
from lib_lora.training.run import Photo, Run, create_run
from lib_lora.training.settings import TrainSettings

_PATIENCE = 20.0  # seconds that another process at work on the photos is waited for


def new_character(
    root: Path,
    name: str,
    trigger: str,
    class_word: str,
    consent: str | None,
    photos: Path | Sequence[Path] = (),
    traits: Sequence[str] = (),
    progress: Progress | None = None,
) -> tuple[CharacterFolder, Imported]:
    """Make a character (or add photos to one that is there) and caption what has no caption.

    Nothing is made before it is known that a photo can be read.

    Args:
        root: the data folder.
        name, trigger, class_word: see `Character`.
        consent: the kind that is declared now; None = not yet, and nothing can be trained until it is.
        photos: files, folders and zips, or one of these; see `take_in`. None: the character has no photos yet.
        traits: permanent features that captions and prompts shall name.
        progress: see `take_in`.

    Raises:
        UserError: no photo can be read, or the character exists with other words or another consent.
    """
    agreed = None if consent is None else declare_consent(consent)
    named = [one.strip() for one in traits if one.strip()]
    try:
        character = Character(name.strip(), trigger.strip(), class_word.strip(), agreed, named)
    except ValueError as error:
        raise UserError(str(error)) from error
    sources = [photos] if isinstance(photos, Path) else list(photos)
    if sources:
        see_that_one_opens(sources)
    folder = create(root, character)

    def alone(patience: float = _PATIENCE) -> AbstractContextManager[None]:
        return only_process(folder.path, "wait a moment and try again", patience)

    with alone(0.0):
        character = declared(folder, load(folder), agreed)  # one that was there may have traits
        if named and character.traits != named:
            character = replace(character, traits=named)
            save(folder, character)
    imported = take_in(sources, folder, progress, alone=alone)
    with alone():
        captions.write_missing(list_photos(folder.photos), captions.template(character))
    return folder, imported


def declared(folder: CharacterFolder, character: Character, consent: Consent | None) -> Character:
    """`character` with the consent that is declared now, if there was none."""
    if consent is None or (character.consent and character.consent.kind == consent.kind):
        return character
    if character.consent is not None:
        raise UserError(
            f"{folder.file}: consent for {character.name!r} was declared as {character.consent.kind!r} on "
            f"{character.consent.date}, not as {consent.kind!r}; use that word, or change it with: "
            f"{typed('consent', character.name, consent.kind)}"
        )
    character = replace(character, consent=consent)
    save(folder, character)
    return character


def declare(root: Path, name: str, kind: str) -> tuple[Character, Consent | None]:
    """Write down why the face of a character that is there may be trained on, also in place of an earlier word.

    Returns:
        The character, and what was declared before.

    Raises:
        UserError: no such character or kind.
    """
    folder = folder_of(root, name)
    before = load(folder)
    character = replace(before, consent=declare_consent(kind))
    save(folder, character)
    return character, before.consent


def start_run(
    root: Path,
    name: str,
    base: Path,
    preset_name: str | None = None,
    overrides: dict[str, Any] | None = None,
    prediction: Prediction | None = None,
    out: Path | None = None,
    grid_steps: int = 0,
    few: bool = False,
    fit: bool = False,
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
        few: train although there are fewer photos than can teach a face that holds.
        fit: change what `overrides` leaves open so that a GPU's memory suffices, and print it.

    Raises:
        UserError: anything missing or unfit, before time is spent.
    """
    folder = folder_of(root, name)
    character = load(folder)
    consent_of(character)
    if out:
        check_out(out)
    asked_for(base, preset_name, overrides, prediction)
    photos_of(folder, character, few)
    from lib_lora.training import loop  # noqa: F401 - loads torch and all: what fails there leaves no run behind

    info, train = plan(base, preset_name, overrides, prediction)
    given = overrides or {}
    if fit and (changed := _for_this_gpu(info, train, given)) != given:
        info, train = plan(base, preset_name, changed, prediction)
    base_sha256 = remembered_sha256(base, root / "hashes.json")
    own = own_photos(folder, character, train, few, weight_is_asked(info, preset_name, given))
    photos = [*own, *class_photos(character, train)]
    return create_run(folder, character, info, base_sha256, train, photos, out, grid_steps)


def _for_this_gpu(info: ModelInfo, train: TrainSettings, overrides: dict[str, Any]) -> dict[str, Any]:
    """`for_gpu` with this machine's, whose sentence is printed; `overrides` as they are where there is none."""
    from lib_lora.models.memory import free_bytes, whole_bytes
    from lib_lora.training import processes

    device = processes.device()
    whole = whole_bytes(device)
    if whole is None:
        return overrides
    changed, said = for_gpu(info, train, overrides, whole, free_bytes(device))
    if said:
        print(said)
    return changed


def check_out(out: Path) -> None:
    """See that the finished LoRA can be put into `out`, which is made; better now than after the training.

    Raises:
        UserError: it cannot.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file, not a folder; name the folder that the LoRA shall go into.")
    with explained(out):
        private.make_folder(out)  # it may be the first thing in the data folder
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
    from lib_lora.training import processes
    from lib_lora.training.precision import resolve

    info = identify(base, prediction)
    train = preset(preset_name, info.family, overrides, narrow=info.narrow)
    if info.small_side and not train.resolution:
        train = replace(train, resolution=info.small_side)  # the run shall not depend on the .yaml later
    train.objective.check(info.prediction)
    return info, replace(train, precision=resolve(train.precision, processes.device()))


def asked_for(
    base: Path,
    preset_name: str | None = None,
    overrides: dict[str, Any] | None = None,
    prediction: Prediction | None = None,
) -> None:
    """See that there is a base model that these settings fit. Loads no torch, so what is wrong is said at once.

    Raises:
        UserError: as `plan`, less what only the weights and the device can tell.
    """
    info, certain = look(base, prediction)
    train = preset(preset_name, info.family, overrides, narrow=info.narrow)
    if certain:
        train.objective.check(info.prediction)
    _class_files(train)


def for_gpu(
    info: ModelInfo, train: TrainSettings, overrides: dict[str, Any], whole: int | None, free: int | None
) -> tuple[dict[str, Any], str]:
    """What the memory of a GPU makes of settings that a person gave in part; what was given stays as it is.

    Args:
        info: the base model.
        train: the settings without it.
        overrides: what was given.
        whole, free: bytes of the GPU, see `training.fitting.fitted`; of several, of the first.

    Returns:
        The overrides with it, and a sentence for the user: empty where there is nothing to say.
    """
    if info.narrow:
        return overrides, ""
    changes, said = fitted(info.family, whole, train, names(overrides), free)
    return merged(changes, overrides), "" if AS_IT_IS in said else said


def weight_is_asked(info: ModelInfo, preset_name: str | None, overrides: dict[str, Any]) -> bool:
    """Whether these settings weigh the face otherwise than their preset does, so that somebody asked for it.

    What only the preset says of it means nothing where no face is found.
    """
    own = preset(preset_name, info.family, narrow=info.narrow).face_weight
    return bool(overrides.get("face_weight", own) != own)


def own_photos(
    folder: CharacterFolder, character: Character, train: TrainSettings, few: bool, weight_asked: bool
) -> list[Photo]:
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
    default = captions.template(character)
    regions = _face_regions(files) if train.face_weight > 1 else {}
    if weight_asked and regions and not any(regions.values()):
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


def photos_of(folder: CharacterFolder, character: Character, few: bool) -> list[Path]:
    """The files of a character's photos in use, of which there must be enough to train on; see `own_photos`.

    Raises:
        UserError: there is none, or there are too few.
    """
    files = photos_to_use(folder)
    if not files and list_photos(folder.photos):
        raise UserError(
            f"All photos of {character.name!r} are left out; take some back with: "
            f"{typed('audit', character.name, '--undecided')} PHOTO"
        )
    if not files:
        raise UserError(
            f"There is no photo in {folder.photos}; add some with: {typed('import', character.name)} PHOTOS"
        )
    if len(files) < LEAST and not few:
        raise UserError(
            f"{character.name!r} has {len(files)} photo{'' if len(files) == 1 else 's'} in use, and {LEAST} are the "
            f"least that teach a face; add some with: {typed('import', character.name)} PHOTOS (or train all the same "
            "with --few)"
        )
    return files


def class_photos(character: Character, train: TrainSettings) -> list[Photo]:
    """The pictures of the class for prior preservation; none where the settings name no folder.

    Raises:
        UserError: the folder is not there, or holds no picture.
    """
    default = train.class_caption or f"photo of {character.class_word}"
    return [
        Photo(file=str(path), sha256=sha256(path), caption=captions.read(path) or default, prior=True)
        for path in _class_files(train)
    ]


def _class_files(train: TrainSettings) -> list[Path]:
    if not train.class_photos:
        return []
    folder = Path(train.class_photos).expanduser().absolute()
    files = list_photos(folder)
    if not files:
        raise UserError(f"There is no picture of the class in {folder}; add some, or leave class_photos out.")
    return files


def _face_regions(files: list[Path]) -> dict[Path, list[list[float]]]:
    """The boxes of the faces on each photo, as fractions."""
    from lib_lora.likeness.engine import SFaceEngine

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
