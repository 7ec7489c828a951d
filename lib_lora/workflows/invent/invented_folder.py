"""Reads and writes the folder of an invented character: what was decided, and every picture ever painted.

    plan.json       description, base model, which face was picked
    painted.jsonl   one line a picture: how it was painted, what it shows, whether it was kept, and why not
    candidates/, more/, candidates.png, kept.png
    from/           a picture of the user's own, and its square part where it is not square
    turned/         pictures whose head was turned, which views from the side are painted over
    trials/         views from the side that were painted of candidates, to see which face keeps

Nothing in it is ever deleted or painted over. Knows the files; does not know faces or painters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from lib_lora import file_permissions, typed_settings
from lib_lora.errors import UserError
from lib_lora.files import explained, read_json, write_json
from lib_lora.photos.audit import audit_store
from lib_lora.runs.events import EventLog, read_events
from lib_lora.workspace.workspace import CharacterFolder

CANDIDATES, MORE = "candidates", "more"
FROM = "from"  # folder of the picture that a face comes from, where it was not painted here
TURNED = "turned"  # folder of pictures whose head was turned to a side, to be painted over
TRIALS = "trials"  # folder of views from the side of candidates
SQUARE = ".square.png"  # what the square part of such a picture ends in; no slug has a dot
KIND = "painted"


@dataclass(frozen=True)
class InventPlan:
    """What was decided.

    Attributes:
        describe: who should be visible, as it stands after "photo of".
        base: path of the checkpoint; `base_sha256` its hash.
        prediction: what its UNet predicts.
        seed: of the first candidate.
        steps: of sampling; `cfg` the guidance scale; `side` of the pictures in pixels.
        picked: file of the picked picture, relative to the folder; empty = none yet.
        version: of the file's layout.
    """

    describe: str
    base: str
    base_sha256: str
    prediction: str
    seed: int
    steps: int
    cfg: float
    side: int
    picked: str = ""
    version: int = 1


@dataclass(frozen=True)
class InventedPicture:
    """One picture.

    Attributes:
        file: relative to the folder.
        base_sha256, describe: what it was painted with.
        prompt, seed, variation, variation_seed, start, strength: as in `Cell`; `start` relative to the folder.
        lora: SHA-256 of the LoRA file; empty = none.
        way: see `workflows.invent.generation_strategies`; empty for candidates.
        asked: what for, by kind; `shown` what it shows as far as it can be told, empty where it was not kept.
        likeness, line: cosine to the mean of what was kept before, and the stranger line of that mean; None where it
            was not compared.
        to_picked, picked_line: the same with the picked picture alone.
        yaw: how far the head looks to a side (`Face.yaw`); None where there is no face, and in older lines.
        kept: it is one of the character's photos.
        why: it was not kept, or cannot be picked; empty where nothing speaks against it.
        doubt: why a candidate that can be picked is not good to begin from (`good_candidates`), empty where it is; None
            for further pictures, and in older lines.
        photo: file name among the character's photos; empty where it was not kept.
    """

    file: str
    base_sha256: str
    describe: str
    prompt: str
    seed: int
    variation: float = 0.0
    variation_seed: int = 0
    start: str = ""
    strength: float = 1.0
    lora: str = ""
    way: str = ""
    asked: dict[str, str] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    likeness: float | None = None
    line: float | None = None
    to_picked: float | None = None
    picked_line: float | None = None
    yaw: float | None = None
    kept: bool = False
    why: str = ""
    doubt: str | None = None
    photo: str = ""

    @property
    def is_candidate(self) -> bool:
        """Whether it was painted before a face was picked, or as a stranger."""
        return self.file.startswith(f"{CANDIDATES}/")

    @property
    def number(self) -> int:
        """The number by which it is picked."""
        return int(Path(self.file).stem)

    def is_candidate_of(self, plan: InventPlan) -> bool:
        """Whether it was painted from the plan's description by its base model."""
        return self.is_candidate and (self.base_sha256, self.describe) == (plan.base_sha256, plan.describe)


class InventedFolder:
    """The folder of one character.

    Args:
        character: whose; it need not exist yet.
    """

    def __init__(self, character: CharacterFolder) -> None:
        self.character = character
        self.path = character.invented
        self._digests: dict[str, audit_store.HashedFile] = {}  # of photos, so that none is read twice

    @property
    def plan_file(self) -> Path:
        """What was decided."""
        return self.path / "plan.json"

    @property
    def painted_file(self) -> Path:
        """A line for each picture that was painted."""
        return self.path / "painted.jsonl"

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            UserError: they cannot be made.
        """
        with explained(self.path):
            for name in (CANDIDATES, MORE):
                file_permissions.make_folder(self.path / name)

    @property
    def plan(self) -> InventPlan | None:
        """What was decided; None where nothing was.

        Raises:
            UserError: the file is damaged.
        """
        path = self.plan_file
        return typed_settings.from_dict(InventPlan, read_json(path), str(path)) if path.is_file() else None

    def decide(self, plan: InventPlan) -> None:
        """Write the plan."""
        write_json(self.plan_file, typed_settings.to_dict(plan))

    def painted(self) -> list[InventedPicture]:
        """Every picture that was painted and judged, in order."""
        return list(self._lines())

    def _lines(self) -> Iterator[InventedPicture]:
        path = self.painted_file
        for event in read_events(path):
            if event["kind"] == KIND:
                yield typed_settings.from_dict(
                    InventedPicture,
                    {name: value for name, value in event.items() if name not in ("t", "kind")},
                    str(path),
                )

    def note(self, one: InventedPicture) -> None:
        """Write down a picture."""
        EventLog(self.painted_file)(KIND, **typed_settings.to_dict(one))

    def kept(self, painted: list[InventedPicture]) -> list[InventedPicture]:
        """Those of the kept that are still among the photos in use; the user may have thrown or left some out.

        Raises:
            UserError: ``audit.json`` or a photo cannot be read.
        """
        there = [one for one in painted if one.kept and (self.character.photos / one.photo).is_file()]
        audit = audit_store.load(self.character)
        if not audit.dropped:
            return there
        known = replace(audit, files={**audit.files, **self._digests})
        self._digests |= audit_store.digests([self.character.photos / one.photo for one in there], known)
        return [one for one in there if self._digests[one.photo].sha256 not in audit.dropped]

    def has(self, one: InventedPicture) -> bool:
        """Whether its picture is still there."""
        return (self.path / one.file).is_file()

    def next_file(self, folder: str, is_it: Callable[[Path], bool], taken: set[str]) -> str:
        """Where the next picture goes, relative to the folder: the first number that is free, or that has this very
        picture, which was made before a crash and not yet judged.

        Args:
            folder: `CANDIDATES` or `MORE`.
            is_it: whether a file is this very picture.
            taken: files that have a line already, also of pictures that the user deleted.
        """
        number = 1
        while True:
            name = f"{folder}/{number:04d}.png"
            path = self.path / name
            if name not in taken and (not path.exists() or is_it(path)):
                return name
            number += 1


def decided(invented: InventedFolder, name: str, what_to_type: str) -> InventPlan:
    """The plan with a picked face.

    Raises:
        UserError: there is none.
    """
    plan = invented.plan
    if plan is None or not plan.picked:
        raise UserError(
            f"No face has been picked for {name!r} yet; start with: {what_to_type}",
            code="face-not-picked",
            character=name,
        )
    return plan


def side_of(folder: CharacterFolder) -> int:
    """Pixels of a side of the pictures that a character was invented in; 0 where it was not."""
    with suppress(UserError):
        plan = InventedFolder(folder).plan
        return plan.side if plan and plan.picked else 0
    return 0


def with_face(plan: InventPlan, picked: str) -> InventPlan:
    """The plan after a face was picked."""
    return replace(plan, picked=picked)
