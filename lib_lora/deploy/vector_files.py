"""Writes the vectors of a LoRA's words to files of their own, for programs that do not read them from the LoRA."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from lib_lora import file_permissions
from lib_lora.errors import UserError
from lib_lora.files import atomic_file, content, explained, is_device, printable, slug
from lib_lora.lora.bundled import words_in
from lib_lora.lora.file.own_vectors import has_vectors
from lib_lora.models.reading.header import read_header

EMBEDDINGS = "embeddings"  # the folder beside a run's checkpoints
CHECKPOINT = "sameface.checkpoint"  # in a delivered LoRA with vectors: the checkpoint's name, where its files lie
_FORBIDDEN = frozenset('<>:"/\\|?*')  # in names, by Windows
_LONGEST = 200  # bytes
_ENDS = ("", " ", ",", ")", ":", "\n")  # what ComfyUI takes behind an embedding's name


def vector_names(words: Iterable[str], character: str) -> dict[str, str]:
    """The names of the files, without suffix, by word: the word itself, for which programs take the name; where no file
    can be called so, the character's name.

    Raises:
        UserError: the character's name gives none either.
    """
    names: dict[str, str] = {}
    for word in words:
        name, number = word if _can_be_a_name(word) else slug(character), 1
        stem = name
        while stem.casefold() in map(str.casefold, names.values()):
            number += 1
            stem = f"{name}-{number}"
        names[word] = stem
    return names


def _can_be_a_name(word: str) -> bool:
    return (
        word.isprintable()
        and not _FORBIDDEN & set(word)
        and word == word.strip(" ").rstrip(".")
        and not is_device(word)
        and 0 < len(word.encode()) <= _LONGEST
    )


def write_beside(checkpoint: Path, character: str) -> None:
    """Write the files of a checkpoint: ``embeddings/CHECKPOINT/WORD.safetensors`` beside it.

    Raises:
        UserError: the checkpoint cannot be read, or a file cannot be written.
    """
    from lib_lora.lora.file.reading import read  # which load torch
    from lib_lora.lora.file.writing import write_embedding  # which load torch

    found = read(checkpoint).inversions
    names = vector_names([one.word for one in found], character)
    for one in found:
        folder = checkpoint.parent / EMBEDDINGS / checkpoint.stem
        with explained(folder):
            file_permissions.make_folder(folder)
        write_embedding(folder / f"{names[one.word]}.safetensors", one.vectors)


def vectors_note(lora: Path, character: str, checkpoint: Path | None = None) -> str:
    """Which programs read the trigger's own vectors from a delivered LoRA; empty where it has none.

    Args:
        lora: the delivered file.
        character: the name of the character.
        checkpoint: the LoRA's; a file of vectors that is not beside it is said to be missing. None = not looked.
    """
    try:
        entries, texts = read_header(lora)
        words = words_in({key: entry.shape for key, entry in entries.items()}, lora.name)
        names = vector_names(words, character)
    except UserError:
        return ""
    if not words:
        return ""
    folder = f"{EMBEDDINGS}/{printable(texts.get(CHECKPOINT, '') or lora.stem)}"
    files = ", ".join(f"{folder}/{name}.safetensors" for name in names.values())
    other = "".join(
        f"; there the word is {name} instead of {printable(word)}" for word, name in names.items() if name != word
    )
    where = "found beside the run's checkpoints"
    if checkpoint and not all(_is_there(checkpoint, name) for name in names.values()):
        where = "which could not be written beside the run's checkpoints (use the LoRA again to write it)"
    own = ", ".join(map(printable, words))
    return (
        f"{own}: learned vectors, stored in this file. A1111 reads them from it; do not put "
        "a file of that name into A1111's embeddings folder, which would take precedence. For ComfyUI, copy this file "
        f"into its embeddings folder and write embedding:{lora.stem} in the prompt; for Forge and Forge Neo, copy "
        f"{files}, {where}, into theirs{other}"
    )


def _is_there(checkpoint: Path, name: str) -> bool:
    return (checkpoint.parent / EMBEDDINGS / checkpoint.stem / f"{name}.safetensors").is_file()


def for_comfyui(lora: Path, embeddings: Path | None, prompt: str) -> str:
    """A prompt with a LoRA's words as ComfyUI takes them: ``embedding:NAME``; the files of these names are written.

    Args:
        lora: the delivered file.
        embeddings: ComfyUI's folder; None = it is not known, then the user is to put the files there.
        prompt: of the picture.

    Raises:
        UserError: the LoRA cannot be read, or a file cannot be written.
    """
    if not has_vectors(lora):
        return prompt
    from lib_lora.lora.file.reading import read  # which load torch
    from lib_lora.lora.file.writing import embedding_content

    for number, one in enumerate(read(lora).inversions):
        name = f"{lora.stem}-{number + 1}" if number else lora.stem
        if embeddings:
            name = _copied(embeddings, name, embedding_content(one.vectors))
        prompt = _replaced(prompt, one.word, f"embedding:{name}")
    return prompt


def _copied(folder: Path, name: str, what: bytes) -> str:
    """The name, without suffix, of a file with this content; what is there under another content is the user's."""
    number, stem = 1, name
    while (path := folder / f"{stem}.safetensors").exists():
        with explained(path):
            if path.stat().st_size == len(what) and content(path) == what:
                return stem
        number += 1
        stem = f"{name}-v{number}"
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as stream:
            stream.write(what)
    return stem


def _replaced(prompt: str, word: str, by: str) -> str:
    """ComfyUI wants a space, a bracket or the end on both sides of an embedding's name."""

    def put(found: re.Match[str]) -> str:
        before, after = prompt[: found.start()][-1:], prompt[found.end() :][:1]
        return f"{'' if before in ('', ' ', '(', chr(10)) else ' '}{by}{'' if after in _ENDS else ' '}"

    return re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", put, prompt, flags=re.IGNORECASE)
