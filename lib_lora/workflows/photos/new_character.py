"""Makes a character from what the user gives: its folder, its first photos and captions, and its consent."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from lib_lora.character import caption_files
from lib_lora.character.photo_files import list_photos
from lib_lora.character.store import Character, Consent, create, declare_consent, load, save
from lib_lora.errors import UserError, typed
from lib_lora.photos.importing.photo_import import Imported, Progress, see_that_one_opens, take_in
from lib_lora.runs.run_lock import only_process
from lib_lora.workspace.workspace import CharacterFolder, Workspace

_PATIENCE = 20.0  # seconds to wait for another process at work on the photos


@dataclass(frozen=True)
class NewCharacter:
    """Who a new character is, as a command or a page says it.

    Attributes:
        name, trigger, class_word: see `Character`.
        consent: the kind that is declared now; None = not yet, and nothing can be trained until it is.
        traits: permanent features that captions and prompts should name.
    """

    name: str
    trigger: str
    class_word: str
    consent: str | None = None
    traits: Sequence[str] = ()

    def checked(self) -> Character:
        """The character.

        Raises:
            UserError: a word cannot be what it is given for, or the consent is of no known kind.
        """
        agreed = None if self.consent is None else declare_consent(self.consent)
        named = [one.strip() for one in self.traits if one.strip()]
        try:
            return Character(self.name.strip(), self.trigger.strip(), self.class_word.strip(), agreed, named)
        except ValueError as error:
            raise UserError(str(error), code="character-invalid") from error


def new_character(
    root: Path,
    who: NewCharacter,
    photos: Path | Sequence[Path] = (),
    progress: Progress | None = None,
) -> tuple[CharacterFolder, Imported]:
    """Make a character (or add photos to one that is there) and caption what has no caption.

    Nothing is made before it is known that a photo can be read.

    Args:
        root: the data folder.
        who: who it is.
        photos: files, folders and zips, or one of these; see `take_in`. None: the character has no photos yet.
        progress: see `take_in`.

    Raises:
        UserError: no photo can be read, or the character exists with other words or another consent.
    """
    character = who.checked()
    agreed, named = character.consent, character.traits
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
        caption_files.write_missing(list_photos(folder.photos), caption_files.template(character))
    return folder, imported


def declared(folder: CharacterFolder, character: Character, consent: Consent | None) -> Character:
    """`character` with the consent that is declared now, if there was none."""
    if consent is None or (character.consent and character.consent.kind == consent.kind):
        return character
    if character.consent is not None:
        raise UserError(
            f"{folder.file}: consent for {character.name!r} was recorded as {character.consent.kind!r} on "
            f"{character.consent.date}, not as {consent.kind!r}; use that word, or change it with: "
            f"{typed('consent', character.name, consent.kind)}",
            code="consent-declared-differently",
            character=character.name,
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
    folder = Workspace(root).character(name)
    before = load(folder)
    character = replace(before, consent=declare_consent(kind))
    save(folder, character)
    return character, before.consent
