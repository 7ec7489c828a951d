"""Lists what a training on another machine will send there, by preparing it as for sending.

What is listed is what `runs.sent_run.stage` lays into the data folder that goes there. Imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_lora.character.store import consent_of, load
from lib_lora.errors import UserError
from lib_lora.models.reading.file_hashes import known_sha256
from lib_lora.queue.job_types import TrainArguments, chosen_base
from lib_lora.remote import base_addresses, places
from lib_lora.remote.places import Place
from lib_lora.runs import sent_run
from lib_lora.runs.reopen import check_base
from lib_lora.training.plan.run_file import IdentifiedBase, Run, create_run, load_run
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.typed_settings import by_dotted_key, to_dict
from lib_lora.workflows.train.prepare import asked_for, plan
from lib_lora.workflows.train.scratch_run import scratch_folder
from lib_lora.workflows.train.training_set import training_set, weight_is_asked
from lib_lora.workspace.workspace import CharacterFolder, Workspace


@dataclass(frozen=True)
class SentPhoto:
    """A photo as it is sent.

    Attributes:
        name: of its file there.
        original: of its file here, which is not sent; preceded by the name of another character whose photo it is.
        bytes: of the copy without metadata.
        caption: that goes with it.
        faces: on it, whose boxes go with it.
    """

    name: str
    original: str
    bytes: int
    caption: str
    faces: int


@dataclass(frozen=True)
class SentList:
    """What is sent.

    Attributes:
        photos: in use.
        characters: what is said of each character in the LoRA, by name.
        settings: of the training, by dotted key.
        files: all files apart from the photos, by their names in the data folder there, in bytes.
        base: name of the base model's file.
        base_bytes: of it.
        run_files: the states and the checkpoint of a run that goes on, in bytes.
    """

    photos: list[SentPhoto]
    characters: list[dict[str, Any]]
    settings: dict[str, Any]
    files: dict[str, int]
    base: str
    base_bytes: int
    run_files: dict[str, int] = field(default_factory=dict)


def sent_list(root: Path, name: str, asked: TrainArguments) -> SentList:
    """What a training sends to another machine.

    Args:
        root: the data folder.
        name: of the character.
        asked: arguments of the job.

    Raises:
        UserError: it could not be trained: no consent, no photo, no base model, a photo that has changed.
    """
    folder = Workspace(root).character(name)
    if asked.run:
        run = load_run(folder.run(asked.run).path)
        check_base(run)
        with scratch_folder(folder) as place:
            return _listed(run, place)
    request = TrainingRequest(
        chosen_base(asked), asked.preset, asked.settings, asked.prediction, few=True, elsewhere=True
    )
    with scratch_folder(folder) as place:
        return _listed(_made(folder, request, place), place / "data")


def base_there(root: Path, place: Place, base: Path) -> bool | None:
    """Whether a base model lies on a place already, so that it is not sent; None = it is not known: the place cannot be
    asked, or nobody has trained with that file yet, and its hash takes long.

    Args:
        root: the data folder.
        place: where is trained.
        base: the checkpoint file.
    """
    sha256 = known_sha256(base, Workspace(root).hashes)
    if place == places.RENTED or not sha256:
        return False if place == places.RENTED else None
    from lib_lora.remote.ray_cluster.connecting import connect

    connection = connect(root, place)
    try:
        sizes = connection.ask("sizes", files=[sha256], job=None)
        return isinstance(sizes, dict) and sizes.get(sha256) == base.stat().st_size
    except UserError:
        return None
    finally:
        connection.close()


def base_address(root: Path, place: Place, base: Path, given: str) -> str:
    """From where a place fetches a base model by itself; empty = it is sent from here, as to any cluster.

    Args:
        root: the data folder.
        place: where is trained.
        base: the checkpoint file.
        given: an address that is said now; empty = as was said before.

    Raises:
        UserError: it is no address.
    """
    if given:
        base_addresses.check(given)
    sha256 = known_sha256(base, Workspace(root).hashes)
    known = given or (base_addresses.known(root, sha256) if sha256 else "")
    return "" if place.ray else known


def _made(folder: CharacterFolder, request: TrainingRequest, runs: Path) -> Run:
    """The run as it would be made, but for the base model's hash, which takes long and is no secret."""
    character = load(folder)
    consent_of(character)
    info, train = plan(request, asked_for(request))
    found = training_set(folder, character, train, few=True, weight_asked=weight_is_asked(info, train))
    return create_run(runs, character, IdentifiedBase(info, ""), train, found)


def _listed(run: Run, data: Path) -> SentList:
    base = Path(run.file.base.path)
    staged = sent_run.stage(run, data, base.name)
    there = load_run(staged.path)
    originals = [": ".join(filter(None, [photo.of, run.photo_path(photo).name])) for photo in run.file.photos]
    photos, paths = [], []
    for photo, original in zip(there.file.photos, originals, strict=True):
        path = there.photo_path(photo)
        paths.append(path)
        photos.append(SentPhoto(path.name, original, path.stat().st_size, photo.caption, len(photo.regions)))
    rest = [path for path in sorted(data.rglob("*")) if path.is_file() and path not in paths]
    named = Workspace(data)
    return SentList(
        photos=photos,
        characters=[to_dict(one) for one in there.file.characters],
        settings=by_dotted_key(to_dict(there.file.settings)),
        files={named.name_of(path): path.stat().st_size for path in rest},
        base=base.name,
        base_bytes=base.stat().st_size,
        run_files={path.relative_to(run.folder).as_posix(): path.stat().st_size for path in sent_run.needed_files(run)},
    )
