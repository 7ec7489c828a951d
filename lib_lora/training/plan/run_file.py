"""Defines a run's file: every setting, the versions, the base model's hash and the photos' hashes.

Where the run's other things lie is known by `workspace.workspace.RunFolder`.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import cast

import yaml

import lib_lora
from lib_lora import file_permissions, typed_settings
from lib_lora.character import caption_files
from lib_lora.character.store import Character, read_yaml
from lib_lora.errors import UserError
from lib_lora.files import digest_of, explained, make_numbered_folder, slug, write_text
from lib_lora.models.families.identify import identify
from lib_lora.models.families.model_family import ModelInfo, Prediction
from lib_lora.training.plan.train_settings import TrainSettings, as_begun
from lib_lora.workspace.file_cache import mark
from lib_lora.workspace.workspace import CharacterFolder, RunFolder, Workspace

FILE_VERSION = 1
_DIGEST = "# SHA-256 of what follows: "
_CHANGED = "changed since"  # instead of a digest
_PACKAGES = ("torch", "diffusers", "transformers", "peft", "accelerate", "safetensors", "numpy")


@dataclass(frozen=True)
class TrainingPhoto:
    """One picture of the training set.

    Attributes:
        file: its path; relative to the character's folder where it is of a character.
        sha256: of its bytes.
        caption: what is trained with it.
        prior: a picture of the class, not of the character.
        of: name of the other character that it shows; empty = the run's own.
        regions: faces as fractions (left, top, right, bottom) of the upright picture, for the loss weight map.
    """

    file: str
    sha256: str
    caption: str
    prior: bool = False
    regions: list[list[float]] = field(default_factory=list)
    of: str = ""


@dataclass(frozen=True)
class TrainingSet:
    """What a run trains on.

    Attributes:
        photos: of all characters, and class pictures.
        others: the characters in the same LoRA, beside the one whose run it is.
    """

    photos: list[TrainingPhoto]
    others: list[Character] = field(default_factory=list)


@dataclass(frozen=True)
class RunBase:
    """The base checkpoint of a run.

    Attributes:
        path, sha256: of the file.
        family, prediction, zero_terminal_snr: see `ModelInfo`.
        guidance: the scale at which test grids are painted.
        terms: what its page on Civitai permitted when the run was made (`lora.file.usage_terms`); empty = not known.
    """

    path: str
    sha256: str
    family: str
    prediction: str
    zero_terminal_snr: bool
    guidance: float = 7.0
    terms: str = ""


@dataclass(frozen=True)
class RunFile:
    """What ``run.yaml`` holds.

    Attributes:
        id: of the run, unique within the character.
        stem: of the checkpoints' names.
        created: ISO time, UTC.
        character: as it was at the start.
        base: the base model.
        settings: all of them.
        photos: the training set.
        data_hash: of the photos' and captions' content.
        versions: of what computes.
        out: where the finished LoRA is to go, if anywhere.
        grid_steps: sampling steps of the test grid that ends the main job; 0 = no grid.
        restart: the step at which the finished training was continued, where the learning rate's schedule begins again;
            0 = it was not.
        ended: the step at which it ended although its settings name more; 0 = it did not.
        best_step: the checkpoint whose LoRA is used, because likeness did not rise after it; 0 = the last one.
        others: the characters in the same LoRA, as they were at the start.
        version: of the file's layout.
    """

    id: str
    stem: str
    created: str
    character: Character
    base: RunBase
    settings: TrainSettings
    photos: list[TrainingPhoto]
    data_hash: str
    versions: dict[str, str]
    out: str | None = None
    grid_steps: int = 0
    restart: int = 0
    ended: int = 0
    best_step: int = 0
    others: list[Character] = field(default_factory=list)
    version: int = FILE_VERSION

    @property
    def characters(self) -> list[Character]:
        """All characters in the LoRA, the run's own first."""
        return [self.character, *self.others]

    @property
    def has_written_captions(self) -> bool:
        """Whether most of the character's own photos have captions that say more than the template does; that may be
        the same of all of them."""
        usual = caption_files.template(self.character)
        captions = [photo.caption for photo in self.photos if not photo.prior and not photo.of]
        return sum(caption != usual for caption in captions) > len(captions) / 2


@dataclass(frozen=True)
class IdentifiedBase:
    """A checkpoint of which is known what it is.

    Attributes:
        info: what it is.
        sha256: of the file.
        terms: as of `RunBase`.
    """

    info: ModelInfo
    sha256: str
    terms: str = ""


@dataclass(frozen=True)
class Run:
    """A run: its folder and its file.

    Attributes:
        known: what its checkpoint is, where that was found out in this process already (`model`).
    """

    folder: Path
    file: RunFile
    known: ModelInfo | None = field(default=None, compare=False, repr=False)
    _identified: dict[object, ModelInfo] = field(default_factory=dict, init=False, compare=False, repr=False)

    def model(self) -> ModelInfo:
        """What its checkpoint is; looked at only where this is not `known`, and again only where the file has changed.

        Raises:
            UserError: the file is gone, or no model.
        """
        path = Path(self.file.base.path)
        prediction = cast(Prediction, self.file.base.prediction)
        if self.known and (self.known.path.absolute(), self.known.prediction) == (path.absolute(), prediction):
            return self.known
        marks = mark(path), mark(path.with_suffix(".yaml") if path.name else path)
        if marks not in self._identified:
            self._identified[marks] = identify(path, prediction)
        return self._identified[marks]

    @property
    def place(self) -> RunFolder:
        """Where its things lie."""
        return RunFolder(self.folder)

    @property
    def workspace(self) -> Workspace:
        """The data folder that it lies in."""
        return self.place.workspace

    @property
    def character_folder(self) -> CharacterFolder:
        """The character's folder that it lies in."""
        return self.place.character

    @property
    def checkpoints(self) -> Path:
        """Where the LoRA of each saved step lies."""
        return self.place.checkpoints

    @property
    def states(self) -> Path:
        """Where full states lie."""
        return self.place.states

    @property
    def events(self) -> Path:
        """The run's events."""
        return self.place.events

    @property
    def grids(self) -> Path:
        """Painted test grids."""
        return self.place.grids

    @property
    def combined(self) -> Path:
        """Pictures with another LoRA at several weights."""
        return self.place.combined

    def checkpoint(self, step: int) -> Path:
        """The file of the LoRA after `step` steps."""
        return self.place.checkpoint(self.file.stem, step)

    def photo_path(self, photo: TrainingPhoto) -> Path:
        """Where a photo lies."""
        path = Path(photo.file)
        if path.is_absolute():
            return path
        parts = PurePosixPath(photo.file).parts
        inside = parts[2:] if parts[:1] == ("..",) else parts
        return self.folder_of(photo).path.joinpath(*inside)  # not by way of "..", which a link leads elsewhere

    def folder_of(self, photo: TrainingPhoto) -> CharacterFolder:
        """The folder of the character in whose photos folder a photo lies; the run's own for class pictures."""
        first, *rest = PurePosixPath(photo.file).parts or ("",)
        other = first == ".." and rest and rest[0] != ".."
        return self.workspace.character_at(rest[0]) if other else self.character_folder


def create_run(
    runs: Path,
    character: Character,
    base: IdentifiedBase,
    train: TrainSettings,
    pictures: TrainingSet,
    out: Path | None = None,
    grid_steps: int = 0,
) -> Run:
    """Make the folder of a new run, numbered after the ones that are there.

    Raises:
        UserError: the folder cannot be written.
    """
    with explained(runs):
        file_permissions.make_folder(runs)
        identifier = make_numbered_folder(runs).name
    run_file = RunFile(
        id=identifier,
        stem=f"{slug(character.name)}-{identifier}",
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        character=character,
        base=RunBase(
            str(base.info.path.absolute()),
            base.sha256,
            base.info.family,
            base.info.prediction,
            base.info.zero_terminal_snr,
            base.info.guidance,
            base.terms,
        ),
        settings=train,
        photos=pictures.photos,
        data_hash=digest_of(*sorted(f"{p.sha256}{p.caption}{p.prior}" for p in pictures.photos)),
        versions=versions(),
        out=str(out.absolute()) if out else None,
        grid_steps=grid_steps,
        others=[replace(one, notes="") for one in pictures.others],
    )
    run = Run(runs / identifier, run_file, base.info)
    save_run(run)
    return run


def save_run(run: Run) -> None:
    """Write ``run.yaml``. Its first line says the SHA-256 of the others; over a file that is `altered`, that it was."""
    text = yaml.safe_dump(typed_settings.to_dict(run.file), sort_keys=False, allow_unicode=True)
    digest = _CHANGED if altered(run.folder) else _digest(text)
    write_text(run.place.file, f"{_DIGEST}{digest}\n{text}")


def altered(folder: Path) -> bool:
    """Whether the ``run.yaml`` in `folder` is not as `save_run` wrote it; False where that cannot be known: it is of an
    older version, or not there.

    Raises:
        UserError: it cannot be read.
    """
    path = RunFolder(folder).file
    if not path.is_file():
        return False
    with explained(path, "read"):
        first, _, text = path.read_text(encoding="utf-8", errors="replace").partition("\n")
    return first.startswith(_DIGEST) and first != _DIGEST + _digest(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def load_run(folder: Path) -> Run:
    """Read a run's folder.

    Raises:
        UserError: there is no run, or its file cannot be read.
    """
    path = RunFolder(folder).file
    if not path.is_file():
        raise UserError(
            f"{folder} is not a run folder: it contains no run.yaml.", code="not-a-run-folder", folder=folder
        )
    read = read_yaml(path)
    if isinstance(read, dict) and "settings" in read:
        read = {**read, "settings": as_begun(read["settings"])}
    return Run(folder.absolute(), typed_settings.from_dict(RunFile, read, str(path)))


def versions() -> dict[str, str]:
    """The versions of what computes, for the record."""
    found = {"sameface": lib_lora.__version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def saved_steps(run: Run) -> list[int]:
    """The steps of a run's checkpoints, ascending. A file with another name does not count."""
    return run.place.steps_among(run.file.stem, [path.name for path in run.checkpoints.glob("*.safetensors")])


def step_to_use(run: Run) -> int | None:
    """The step whose LoRA stands for the run where none is named; None where nothing is saved."""
    return step_among(saved_steps(run), run.file.best_step)


def step_among(saved: Sequence[int], best: int) -> int | None:
    """Of the saved steps the best one, where there is one and it is there, else the last; see `step_to_use`."""
    return best if best in saved else max(saved, default=None)
