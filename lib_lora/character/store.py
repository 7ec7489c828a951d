"""Reads and writes a character's file, ``character.yaml``: who it is, and why it may be trained on.

Knows nothing of models or training.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast, get_args

import yaml

from lib_lora import file_permissions, typed_settings
from lib_lora.errors import Misfit, UserError, command, typed
from lib_lora.files import content, explained, slug, write_text
from lib_lora.workspace.workspace import CharacterFolder, Workspace

ConsentKind = Literal["fictional", "myself", "consented"]
FILE_VERSION = 1
_CHILD = re.compile(
    r"\b(girls?|boys?|child|children|kids?|baby|babies|infant|toddler|teens?|teenager|minor|schoolgirl|schoolboy)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Consent:
    """Why this face may be trained on.

    Attributes:
        kind: fictional (nobody real), myself, or consented (an adult who gave documented consent).
        date: ISO day on which the user declared it.
    """

    kind: ConsentKind
    date: str


@dataclass(frozen=True)
class Character:
    """One character.

    Attributes:
        name: as the user writes it.
        trigger: the word that stands for this character in prompts.
        class_word: what the character is: woman, man, person, ...
        consent: see `Consent`; None until the user declares it, and until then nothing is trained.
        traits: permanent features that captions and prompts name; empty = the trigger stands for them all.
        notes: free text.
        version: of the file's layout.
    """

    name: str
    trigger: str
    class_word: str
    consent: Consent | None = None
    traits: list[str] = field(default_factory=list)
    notes: str = ""
    version: int = FILE_VERSION

    def __post_init__(self) -> None:
        slug(self.name)
        for what, text in (("trigger word", self.trigger), ("class word", self.class_word)):
            if not text.strip() or re.search(r"[,<>:()\[\]{}|\\\n]", text):
                sentence = f"the {what} {text!r} must be plain words without commas, brackets or colons."
                raise Misfit(sentence, "trigger" if what == "trigger word" else "class_word")
        if self.trigger.strip().casefold() == self.class_word.strip().casefold():
            sentence = f"the trigger word {self.trigger!r} must be an invented word, not the class word itself."
            raise Misfit(sentence, "trigger")

    @property
    def called(self) -> str:
        """What calls the character in a prompt: trigger and class word."""
        return f"{self.trigger} {self.class_word}"


def declare_consent(kind: str) -> Consent:
    """A declaration made today.

    Raises:
        UserError: `kind` is not one of the three.
    """
    if kind not in get_args(ConsentKind):
        raise UserError(
            f"{kind!r} is not a kind of consent; use one of {', '.join(get_args(ConsentKind))}.",
            "consent",
            code="consent-unknown",
            consent=kind,
        )
    return Consent(cast(ConsentKind, kind), date.today().isoformat())


def see_adult(class_word: str) -> None:
    """Refuse a class word that says a child, for a new character; one that has such a word stays as it is.

    Raises:
        UserError: it is one.
    """
    if found := _CHILD.search(class_word):
        sentence = f"Only adults can be trained, so {found[0]!r} cannot be the class word; use woman, man or person."
        raise UserError(sentence, "class_word", code="class-word-is-trait")


def consent_of(character: Character) -> Consent:
    """The declaration without which nothing is trained.

    Raises:
        UserError: there is none yet.
    """
    if character.consent is None:
        raise UserError(
            f"Record consent for {character.name!r} first: "
            f"{typed('consent', character.name, 'fictional')} (or myself; or consented: an adult who agreed)",
            code="consent-missing",
            character=character.name,
        )
    return character.consent


def save(folder: CharacterFolder, character: Character) -> None:
    """Write ``character.yaml``."""
    text = yaml.safe_dump(typed_settings.to_dict(character), sort_keys=False, allow_unicode=True)
    write_text(folder.file, text)


def create(root: Path, character: Character) -> CharacterFolder:
    """Make the character's folder and write its file.

    Raises:
        UserError: a character of that name exists with other facts, the name has a slash, the class word is a
            child's, or the folder cannot be written.
    """
    folder = Workspace(root).character(character.name)
    if folder.file.exists():
        there = load(folder)
        if (there.trigger, there.class_word) != (character.trigger, character.class_word):
            raise UserError(
                f"{folder.file}: {there.name!r} already exists with the trigger {there.trigger!r} and the class "
                f"{there.class_word!r}; choose another name, or use these words.",
                code="character-exists",
                character=there.name,
            )
        return folder
    if set(character.name) & set("/\\"):
        raise UserError(
            f"A name cannot contain a slash, because NAME/001 names a run; use {folder.path.name} or another name.",
            code="character-name-has-slash",
        )
    see_adult(character.class_word)
    with explained(folder.path):
        for path in (folder.photos, folder.cache, folder.runs):
            file_permissions.make_folder(path)
    save(folder, character)
    return folder


def load(folder: CharacterFolder) -> Character:
    """Read ``character.yaml``.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    if not folder.file.exists():
        raise UserError(
            f"There is no character in {folder.path}; make it with: {command()} new NAME --trigger WORD --class WORD "
            "--photos PHOTOS",
            code="character-not-found",
            folder=folder.path,
        )
    return typed_settings.from_dict(Character, read_yaml(folder.file), str(folder.file))


@cache
def _safe_loader() -> Any:
    """libyaml's, which is much faster, where it limits how deep a file may nest: 0.2.5 crashes on a deep one."""
    in_c = getattr(yaml, "_yaml", None)
    return yaml.CSafeLoader if in_c is not None and in_c.get_version() >= (0, 2, 6) else yaml.SafeLoader


def read_yaml(path: Path) -> Any:
    """Plain values from a YAML file.

    Raises:
        UserError: it cannot be read or is not YAML.
    """
    with explained(path, "read"):
        try:
            return yaml.load(content(path).decode("utf-8"), Loader=_safe_loader())
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise UserError(
                f"{path} is not valid YAML: {' '.join(str(error).split())}.", code="yaml-invalid", file=path
            ) from error
