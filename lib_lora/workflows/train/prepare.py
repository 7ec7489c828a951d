"""Prepares a run that can be trained from what the user gives: the character's folder, captions, settings, hashes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lib_lora.character import caption_files
from lib_lora.character.photo_counts import LEAST_TO_TRAIN
from lib_lora.character.photo_files import list_photos, open_photo
from lib_lora.character.store import Character, consent_of, load
from lib_lora.errors import UserError, typed
from lib_lora.files import sha256_once
from lib_lora.models.families.identify import identify, inspect_checkpoint
from lib_lora.models.families.model_family import ModelInfo
from lib_lora.models.reading.file_hashes import cached_sha256
from lib_lora.photos.audit.audit_store import photos_to_use
from lib_lora.runs.reopen import check_out
from lib_lora.training.plan.memory_fitting import AS_IT_IS, fitted
from lib_lora.training.plan.presets import asked_beside, preset
from lib_lora.training.plan.run_file import IdentifiedBase, Run, TrainingPhoto, create_run, save_run
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.training.plan.trigger_check import check_trigger
from lib_lora.typed_settings import by_dotted_key
from lib_lora.workflows.library.base_terms import base_terms
from lib_lora.workflows.library.usable_models import see_that_it_may_be_used
from lib_lora.workspace.workspace import CharacterFolder, Workspace, character_of


def start_run(
    root: Path,
    name: str,
    request: TrainingRequest,
    seen: SeenRequest | None = None,
) -> Run:
    """Make the folder of a new run; nothing is trained yet.

    Args:
        root: the data folder.
        name: of the character.
        request: the base model, the settings, and what should follow.
        seen: what `asked_for` said of the request, where it was asked already.

    Raises:
        UserError: anything missing or unfit, before time is spent.
    """
    folder = Workspace(root).character(name)
    character = load(folder)
    consent_of(character)
    if request.out:
        check_out(request.out)
    seen = seen or asked_for(request)
    see_that_it_may_be_used(root, request.base)  # before torch is loaded, where its hash is known already
    check_trigger(character, seen.train)
    see_that_both_fit(character, seen.train)
    photos_of(folder, character, request.few)
    if not request.elsewhere:
        from lib_lora.training import loop  # noqa: F401 - loads torch and all: what fails there leaves no run behind

    info, train = plan(request, seen)
    if request.fit and not request.elsewhere:
        train = _for_this_gpu(info, train, request.overrides)
    digest = cached_sha256(request.base, Workspace(root).hashes)
    see_that_it_may_be_used(root, request.base, digest)
    base = IdentifiedBase(info, digest, base_terms(root, request.base, digest))
    asked = weight_is_asked(info, train)
    photos = [*own_photos(folder, character, train, request.few, asked), *class_photos(character, train)]
    return create_run(folder.runs, character, base, train, photos, request.out, request.grid_steps)


def _for_this_gpu(info: ModelInfo, train: TrainSettings, overrides: dict[str, Any]) -> TrainSettings:
    """`for_gpu` with this machine's, whose sentence is printed; `train` as it is where there is none."""
    from lib_lora.models.fast.memory import free_bytes, whole_bytes
    from lib_lora.training import distributed

    device = distributed.device()
    whole = whole_bytes(device)
    if whole is None:
        return train
    fitting, said = for_gpu(info, train, overrides, whole, free_bytes(device))
    if said:
        print(said)
    return fitting


@dataclass(frozen=True)
class SeenRequest:
    """What the first look at a request gives.

    Attributes:
        info: the base model.
        certain: whether its weights could not say otherwise (`models.families.identify.inspect_checkpoint`).
        train: the settings that are asked for, on such a base model.
    """

    info: ModelInfo
    certain: bool
    train: TrainSettings


def plan(request: TrainingRequest, seen: SeenRequest | None = None) -> tuple[ModelInfo, TrainSettings]:
    """The base model and the settings that a request asks for.

    Args:
        request: what is asked for.
        seen: see `start_run`.

    Raises:
        UserError: the base is no model that can be trained on, or a setting does not fit it.
    """
    if seen and seen.certain:
        return seen.info, settings_for(seen.info, seen.train, request.elsewhere)
    info = identify(request.base, request.prediction)
    train = preset(request.preset, info.family, request.overrides, narrow=info.narrow)
    return info, settings_for(info, train, request.elsewhere)


def settings_for(info: ModelInfo, train: TrainSettings, elsewhere: bool = False) -> TrainSettings:
    """The settings of a run on a base model, on this device, as far as a preset leaves them open.

    Args:
        info: the base model.
        train: the settings.
        elsewhere: leave open what the device says; see `settle`.

    Raises:
        UserError: a setting does not fit the base model.
    """
    if info.small_side and not train.resolution:
        train = replace(train, resolution=info.small_side)  # the run should not depend on the .yaml later
    train.objective.check(info.prediction)
    if elsewhere:
        return train
    from lib_lora.training import distributed
    from lib_lora.training.precision import resolve

    return replace(train, precision=resolve(train.precision, distributed.device()))


def settle(run: Run) -> Run:
    """A run that was made on another machine, for this one: its precision, and what its GPU's memory asks for.

    What differs from the preset was asked for, and stays. A run that was settled already stays as it is.

    Raises:
        UserError: a setting does not fit this machine, or the run's file cannot be written.
    """
    train = run.file.settings
    if train.precision != "auto":
        return run
    info = run.model()
    given = asked_beside(train, info.family, info.narrow)
    settings = _for_this_gpu(info, settings_for(info, train), given)
    settled = replace(run, file=replace(run.file, settings=settings))
    save_run(settled)
    return settled


def asked_for(request: TrainingRequest) -> SeenRequest:
    """See that there is a base model that these settings fit. Loads no torch, so what is wrong is said at once.

    Raises:
        UserError: as `plan`, less what only the weights and the device can tell.
    """
    info, certain = inspect_checkpoint(request.base, request.prediction)
    train = preset(request.preset, info.family, request.overrides, narrow=info.narrow)
    if certain:
        train.objective.check(info.prediction)
    if request.elsewhere and train.stop_early:
        raise UserError(
            "stop_early works on this computer only, where faces are compared; leave it out to train elsewhere.",
            code="stop-early-elsewhere",
        )
    class_files(train)
    return SeenRequest(info, certain, train)


def for_gpu(
    info: ModelInfo, train: TrainSettings, overrides: dict[str, Any], whole: int | None, free: int | None
) -> tuple[TrainSettings, str]:
    """What the memory of a GPU makes of settings that a person gave in part; what was given stays as it is.

    Args:
        info: the base model.
        train: the settings.
        overrides: which of them were given.
        whole, free: bytes of the GPU, see `training.plan.memory_fitting.fitted`; of several, of the first.

    Returns:
        The settings with it, and a sentence for the user: empty where there is nothing to say.
    """
    if info.narrow:
        return train, ""
    found, said = fitted(info.family, whole, train, by_dotted_key(overrides), free)
    return found, "" if AS_IT_IS in said else said


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
        UserError: the folder is not there, or holds no picture; it is another character's, without consent.
    """
    files, other = class_files(train)
    usual = caption_files.template(other) if other else f"photo of {character.class_word}"
    default = train.class_caption or usual
    return [
        TrainingPhoto(file=str(path), sha256=sha256_once(path), caption=caption_files.read(path) or default, prior=True)
        for path in files
    ]


def see_that_both_fit(character: Character, train: TrainSettings) -> None:
    """See that a second person, whose photos are the class pictures, can be in the same LoRA: called by another word,
    and agreed in the same way, since the file names one.

    Raises:
        UserError: they cannot; or see `class_photos`.
    """
    _, other = class_files(train)
    if other is None:
        return
    if other.name == character.name:
        raise UserError(
            f"The folder of class pictures is the photos folder of {character.name} itself; name another one's.",
            code="class-photos-own",
        )
    if other.trigger.casefold() == character.trigger.casefold():
        raise UserError(
            f"{character.name} and {other.name} have the same trigger word, {other.trigger}; give one of them another.",
            code="triggers-equal",
        )
    kinds = [consent_of(one).kind for one in (character, other)]
    if kinds[0] != kinds[1]:
        raise UserError(
            f"{character.name} was declared as '{kinds[0]}' and {other.name} as '{kinds[1]}', and a LoRA can say only "
            "one of them; train them apart.",
            code="consents-differ",
        )


def class_files(train: TrainSettings) -> tuple[list[Path], Character | None]:
    """The class pictures, and the character whose photos they are; see `class_photos`."""
    if not train.class_photos:
        return [], None
    folder = Path(train.class_photos).expanduser().absolute()
    place = character_of(folder)
    other = load(place) if place else None
    if other:
        consent_of(other)  # two people in one LoRA: neither is trained without it
    files = photos_to_use(place) if place else list_photos(folder)
    if not files:
        raise UserError(
            f"There is no picture to train on in {folder}; add some, or leave class_photos out.",
            code="class-photos-missing",
            folder=folder,
        )
    return files, other


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
