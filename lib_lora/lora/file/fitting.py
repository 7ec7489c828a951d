"""Says whether a LoRA file from anywhere can be painted with beside a character's.

Loads no torch.
"""

from __future__ import annotations

from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.lora import key_names
from lib_lora.lora.bundled import vectors_shape, words_in
from lib_lora.lora.file import describe
from lib_lora.models.families.registry import family_named
from lib_lora.models.reading.header import read_header


def check_fits(path: Path, family: str, width: int | None = None) -> None:
    """See that a LoRA can be painted with on models of a family: its header, its keys and its numbers.

    Args:
        path: of the file, which is not trusted.
        family: name of the model family.
        width: of the base model's text conditioning (`ModelInfo.context_dim`), which the vectors of words must have
            together; None = it is not known.

    Raises:
        UserError: one sentence that says what the file is instead, or what is wrong with it.
    """
    layers, metadata = describe.read_layers(path)
    found = describe.family(layers, metadata)
    if found == family or (found is None and any(key_names.locate(family, name) for name in layers)):
        _see_vectors(path, family, width)
        return
    kind = f"for {family_named(found).label}" if found else "for another kind of model"
    raise UserError(
        f"{path.name} is a LoRA {kind}, and this character's is for {family_named(family).label} (its first layer is "
        f"{next(iter(layers))!r}); take one for {family_named(family).label}.",
        code="further-lora-of-other-family",
        file=path.name,
        family=found or "",
    )


def _see_vectors(path: Path, family: str, width: int | None) -> None:
    shapes = {key: entry.shape for key, entry in read_header(path)[0].items()}
    encoders = len(family_named(family).parts) - 1
    for word, keys in words_in(shapes, path.name).items():
        widths = [vectors_shape(shapes[key])[1] for key in keys]
        if len(widths) != encoders or (width is not None and sum(widths) != width):
            raise UserError(
                f"{path.name} has vectors of the word {word!r} for another kind of model (of width "
                f"{' and '.join(map(str, widths))}); take a LoRA for this base model.",
                code="further-lora-vectors-unfit",
                file=path.name,
                word=word,
            )
