"""Names where everything lies in a data folder.

<data>/characters/<slug>/character.yaml, photos/, sheets/, cache/, invented/, audit.json
                        /runs/<id>/run.yaml, events.jsonl, checkpoints/, state/, samples/, grids/<id>/, combined/<id>/
       jobs.sqlite, jobs/<number>/events.jsonl, log.txt, result.json
       deleted/, uploads/, blip/, and the files of `Workspace`

Pure functions: nothing is read or made.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from lib_lora.errors import UserError
from lib_lora.files import slug

EVENTS_FILE = "events.jsonl"  # of a run and of a job


@dataclass(frozen=True)
class Workspace:
    """A data folder.

    Attributes:
        root: its path.
    """

    root: Path

    @property
    def wildcards(self) -> Path:
        """Files for wildcards in lists of prompts, which the user puts there (`produce.prompts.wildcards`)."""
        return self.root / "wildcards"

    @property
    def characters(self) -> Path:
        """Where each character has a folder."""
        return self.root / "characters"

    def character(self, name: str) -> CharacterFolder:
        """The folder of the character called `name`, whether it exists or not.

        Raises:
            UserError: it cannot be a name.
        """
        return self.character_at(slug(name))

    def character_at(self, folder_name: str) -> CharacterFolder:
        """The folder of a character by the name of that folder, its slug."""
        return CharacterFolder(self.characters / folder_name)

    def character_folders(self) -> list[CharacterFolder]:
        """The folders that hold a character's file, by name. Reads the folder."""
        return [CharacterFolder(path.parent) for path in sorted(self.characters.glob(f"*/{CharacterFolder.FILE}"))]

    @property
    def deleted(self) -> Path:
        """Characters that were put away."""
        return self.root / "deleted"

    @property
    def uploads(self) -> Path:
        """What comes in over the network, while it does."""
        return self.root / "uploads"

    @property
    def loras(self) -> Path:
        """LoRAs that the user puts there, and where there is no webui, those that were trained."""
        return self.root / "loras"

    @property
    def models(self) -> Path:
        """Base models that the user puts there."""
        return self.root / "models"

    @property
    def demo(self) -> Path:
        """The data folder of the command ``try``."""
        return self.root / "try"

    @property
    def blip(self) -> Path:
        """The captioner BLIP, where the user has put it here."""
        return self.root / "blip"

    @property
    def queue_file(self) -> Path:
        """The queue of jobs."""
        return self.root / "jobs.sqlite"

    @property
    def jobs(self) -> Path:
        """Where each job has a folder."""
        return self.root / "jobs"

    def job(self, number: int) -> JobFolder:
        """The folder of a job; it may not be there yet."""
        return JobFolder(self.jobs / str(int(number)))

    @property
    def settings(self) -> Path:
        """What is set for all characters (`workspace.preferences`)."""
        return self.root / "settings.json"

    @property
    def hashes(self) -> Path:
        """SHA-256 of large files, by path, size and time of change."""
        return self.root / "hashes.json"

    @property
    def bases(self) -> Path:
        """What each checkpoint file is."""
        return self.root / "bases.json"

    @property
    def probes(self) -> Path:
        """What trainings were measured to cost."""
        return self.root / "probes.json"

    @property
    def confirmed(self) -> Path:
        """Folders that LoRAs may be copied into."""
        return self.root / "confirmed.json"

    @property
    def places(self) -> Path:
        """The machines that can train (`remote.places`)."""
        return self.root / "places.json"

    @property
    def fleets(self) -> Path:
        """Jobs that were asked for together, a file each (`workflows.fleet`)."""
        return self.root / "fleets"

    @property
    def base_addresses(self) -> Path:
        """The file with the addresses from which other machines may fetch base models (`remote.base_addresses`)."""
        return self.root / "base-addresses.json"

    @property
    def civitai(self) -> Path:
        """What Civitai has answered (`civitai.api.answer_cache`)."""
        return self.root / "civitai"

    @property
    def remote(self) -> Path:
        """What is known of other machines: their host keys, and what is to be sent to them."""
        return self.root / "remote"

    def remote_work(self, kind: str, part: str) -> Path:
        """The folder of work on another machine that is no job of the queue, by its kind and a name of its own."""
        return self.remote / f"{kind}-{part}"

    def host_key(self, place: str) -> Path:
        """The host key of the place of that name, pinned when it is first reached."""
        return self.remote / "hosts" / f"{place}-key"  # Windows has no file called "nul"

    @property
    def wheels(self) -> Path:
        """SameFace as it is sent to other machines, a folder for each content."""
        return self.remote / "wheels"

    @property
    def computer(self) -> Path:
        """The file with the name by which other machines know this data folder on this computer."""
        return self.remote / "home.txt"

    @property
    def pods(self) -> Path:
        """Every pod that was ever rented (`remote.renting.pod_ledger`)."""
        return self.root / "pods.jsonl"

    @property
    def own_certificate(self) -> Path:
        """The user's certificate with those that vouch for it and its key, put there by hand: the tab signs with it."""
        return self.root / "c2pa-own.pem"

    @property
    def signing_certificate(self) -> Path:
        """A home-made certificate with its key (`content_credentials.certificates`)."""
        return self.root / "c2pa-home-made.pem"

    @property
    def api_keys(self) -> Path:
        """Keys of services, where the system has no keyring (`remote.api_key_store`)."""
        return self.root / "api-keys.json"

    @property
    def licences(self) -> Path:
        """Licences of face engines that the user has agreed to (`faces.engines.licences`)."""
        return self.root / "licences.json"

    def name_of(self, path: Path) -> str:
        """What a file is called on any machine that has this data folder: its path in it, with slashes.

        One that lies elsewhere, or whose path there is no name on every system, has none; its absolute path is given.
        """
        try:
            name = path.absolute().relative_to(self.root.absolute()).as_posix()
        except ValueError:
            return str(path.absolute())
        return name if _stays_inside(name) else str(path.absolute())

    def path_of(self, name: str) -> Path:
        """The file of a name that `name_of` gave; an absolute path stays as it is.

        Raises:
            UserError: the name leads out of the data folder.
        """
        if Path(name).is_absolute():
            return Path(name)
        if not _stays_inside(name):
            raise UserError(
                f"{name!r} is not a file in the data folder {self.root}.", code="name-outside-data-folder", name=name
            )
        return self.root / name


def _stays_inside(name: str) -> bool:
    """Whether a relative name leads out of no folder, on Windows and elsewhere alike."""
    windows = PureWindowsPath(name)  # takes slashes of both kinds, so its parts are those of either system
    return not (windows.drive or windows.root or PurePosixPath(name).root or ".." in windows.parts)


@dataclass(frozen=True)
class CharacterFolder:
    """Where one character's things lie."""

    FILE = "character.yaml"

    path: Path

    @property
    def workspace(self) -> Workspace:
        """The data folder that it lies in."""
        return Workspace(self.path.parent.parent)

    @property
    def file(self) -> Path:
        """``character.yaml``."""
        return self.path / self.FILE

    @property
    def photos(self) -> Path:
        """The originals, with their captions beside them."""
        return self.path / "photos"

    @property
    def productions(self) -> Path:
        """Pictures that were painted in hundreds, a folder for each time (`workflows.produce`)."""
        return self.path / "productions"

    @property
    def sheets(self) -> Path:
        """The originals of sheets of four, whose pieces lie in `photos`."""
        return self.path / "sheets"

    @property
    def cache(self) -> Path:
        """What can be computed again; deletable at any time."""
        return self.path / "cache"

    @property
    def latents(self) -> Path:
        """Latents of the photos, by everything that affects them."""
        return self.cache / "latents"

    @property
    def photo_sizes(self) -> Path:
        """The upright sizes of the photos."""
        return self.cache / "sizes"

    @property
    def text_encodings(self) -> Path:
        """Encoded captions, by everything that affects them."""
        return self.cache / "text"

    @property
    def painted_latents(self) -> Path:
        """What base models have painted for output preservation, by everything that affects it."""
        return self.cache / "painted"

    @property
    def base_pictures(self) -> Path:
        """Pictures that base models have painted without a LoRA, for test grids."""
        return self.cache / "base"

    @property
    def thumbnails(self) -> Path:
        """Small pictures of the photos."""
        return self.cache / "thumbnails"

    @property
    def invented(self) -> Path:
        """What was painted to invent the character."""
        return self.path / "invented"

    @property
    def runs(self) -> Path:
        """Where each training run has a folder."""
        return self.path / "runs"

    def run_files(self) -> list[Path]:
        """The ``run.yaml`` of every run, by identifier."""
        return sorted(self.runs.glob(f"*/{RunFolder.FILE}"))

    def run(self, identifier: str) -> RunFolder:
        """The folder of a run; it may not be there."""
        return RunFolder(self.runs / identifier)


@dataclass(frozen=True)
class RunFolder:
    """Where the things of one run lie."""

    FILE = "run.yaml"
    USES = "uses.json"

    path: Path

    @staticmethod
    def of_grid(grid: Path) -> RunFolder:
        """The run that a test grid's folder lies in."""
        return RunFolder(grid.parent.parent)

    @property
    def character(self) -> CharacterFolder:
        """The character's folder that it lies in; a run that is only tried out lies beside ``runs``, as deep."""
        return CharacterFolder(self.path.parent.parent)

    @property
    def workspace(self) -> Workspace:
        """The data folder that it lies in."""
        return self.character.workspace

    @property
    def file(self) -> Path:
        """``run.yaml``."""
        return self.path / self.FILE

    @property
    def loan(self) -> Path:
        """Where it is trained, while another machine trains it (`runs.lent_run`)."""
        return self.path / "elsewhere.json"

    @property
    def checkpoints(self) -> Path:
        """The LoRA of each saved step."""
        return self.path / "checkpoints"

    def checkpoint(self, stem: str, step: int) -> Path:
        """The file of the LoRA after `step` steps; `stem` begins the names of all LoRAs of the run."""
        return self.checkpoints / f"{stem}-{step:06d}.safetensors"

    def steps_among(self, stem: str, names: Iterable[str]) -> list[int]:
        """The saved steps, ascending, by the names of the files in `checkpoints`. Other files do not count."""
        numbers = (int(match[1]) for name in names if (match := re.search(r"-([0-9]+)\.safetensors$", name)))
        there = set(names)
        return sorted(number for number in set(numbers) if self.checkpoint(stem, number).name in there)

    @property
    def states(self) -> Path:
        """Full states, to resume from."""
        return self.path / "state"

    @property
    def samples(self) -> Path:
        """Pictures that were painted while it trained."""
        return self.path / "samples"

    @property
    def events(self) -> Path:
        """Its events."""
        return self.path / EVENTS_FILE

    @property
    def grids(self) -> Path:
        """Where each test grid has a folder."""
        return self.path / "grids"

    @property
    def combined(self) -> Path:
        """Pictures with another LoRA at several weights, a folder for each time (`workflows.combine`)."""
        return self.path / "combined"

    @property
    def uses(self) -> Path:
        """The file that says where its LoRAs were put."""
        return self.path / self.USES


@dataclass(frozen=True)
class JobFolder:
    """Where the things of one job lie."""

    path: Path

    @property
    def events(self) -> Path:
        """Its events."""
        return self.path / EVENTS_FILE

    @property
    def log(self) -> Path:
        """What its worker and the libraries there print."""
        return self.path / "log.txt"

    @property
    def result(self) -> Path:
        """The last thing that its worker writes."""
        return self.path / "result.json"

    @property
    def remote(self) -> Path:
        """What is known of it on another machine, as long as something of it is there."""
        return self.path / "remote.json"

    @property
    def pod(self) -> Path:
        """What is remembered of the pod that is rented for the job (`runners.rented_pod`), as long as there is one."""
        return self.path / "pod.json"

    @property
    def pictures(self) -> Path:
        """Pictures on their way between the worker and a host that paints for it."""
        return self.path / "pictures"


def data_root(chosen: str | Path | None = None) -> Path:
    """The data folder: the one given, else ``SAMEFACE_DATA``, else the system's place for such files."""
    if chosen:
        return Path(chosen).expanduser().absolute()
    if os.environ.get("SAMEFACE_DATA"):
        return Path(os.environ["SAMEFACE_DATA"]).expanduser().absolute()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "sameface"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "sameface"


def character_of(photos: Path) -> CharacterFolder | None:
    """The character whose folder of photos this is; None where it is another folder."""
    place = CharacterFolder(photos.resolve().parent)
    return place if photos.resolve() == place.photos and place.file.exists() else None
