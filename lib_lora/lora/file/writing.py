"""Writes the LoRA file so that A1111, Forge and ComfyUI load it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from lib_lora.errors import Misfit, UserError
from lib_lora.files import atomic_file
from lib_lora.lora.file.container import serialised
from lib_lora.lora.file.integrity import HEADER_HASH, header_hash
from lib_lora.lora.file.metadata import family_of
from lib_lora.lora.file.tensors import check
from lib_lora.lora.hashes import legacy_hash, sshs_model_hash

_HALF_LIMIT = 65504  # the largest number in half precision
_KEPT_EXACT = (".alpha", ".dora_scale")


def write(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    metadata: Mapping[str, str],
    dtype: torch.dtype = torch.float16,
) -> str:
    """Write a LoRA file, whole or not at all.

    `alpha` and `dora_scale` stay float32 where `dtype` would change them: they multiply a whole layer, and
    every reader takes them in any type. ``ss_output_name`` and ``modelspec.title`` become the file's own name,
    since two files that share one confuse A1111; all hashes are added.

    Args:
        path: ends in ``.safetensors``.
        tensors: kohya-named, as `Adapter.export` gives them.
        metadata: as `lib_lora.lora.file.metadata.build` gives it; the family is read from it.
        dtype: float16, bfloat16 or float32.

    Returns:
        ``sshs_model_hash``, 64 hex digits.

    Raises:
        UserError: as `check`; a value too large for half precision; the file cannot be written.
        ValueError: no ``.safetensors`` suffix, another dtype, or metadata without a family.
    """
    family = family_of(metadata)
    right = {
        "path": path.suffix == ".safetensors",
        "dtype": dtype in (torch.float16, torch.bfloat16, torch.float32),
        "metadata": bool(family),
    }
    wrong = next((name for name, fits in right.items() if not fits), "")
    if wrong or family is None:
        raise Misfit("a LoRA is written as .safetensors in float16, bfloat16 or float32, with its family.", wrong)
    stored = {key: _stored(key, tensor, dtype) for key, tensor in tensors.items()}
    check(stored, family)
    texts = {**metadata, "ss_output_name": path.stem, "modelspec.title": path.stem}
    only_ss = {key: text for key, text in texts.items() if key.startswith("ss_")}
    first = serialised(stored, only_ss)
    model_hash = sshs_model_hash(first)
    texts["sshs_model_hash"] = model_hash
    texts["sshs_legacy_hash"] = legacy_hash(first)
    texts["modelspec.hash_sha256"] = f"0x{model_hash}"  # the same bytes: everything after the header
    texts[HEADER_HASH] = header_hash(serialised(stored, texts)[0][8:])
    with atomic_file(path) as stream:
        for piece in serialised(stored, texts):
            stream.write(piece)
    return model_hash


def write_embedding(path: Path, vectors: Sequence[torch.Tensor]) -> None:
    """Write a word's vectors alone, as a textual inversion file; programs take the file's name for the word.

    Args:
        path: ends in ``.safetensors``.
        vectors: for each text encoder, [N, width].

    Raises:
        UserError: the file cannot be written.
    """
    with atomic_file(path) as stream:
        stream.write(embedding_content(vectors))


def embedding_content(vectors: Sequence[torch.Tensor]) -> bytes:
    """What `write_embedding` writes."""
    names = ("emb_params",) if len(vectors) == 1 else ("clip_l", "clip_g")
    return b"".join(serialised({name: one.contiguous() for name, one in zip(names, vectors, strict=True)}, {}))


def _stored(key: str, tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The tensor as it goes into the file."""
    exact = tensor.detach().to("cpu", torch.float32).contiguous()
    cast = exact.to(dtype)
    if key.endswith(_KEPT_EXACT) and not torch.equal(cast.float(), exact):
        return exact
    if dtype == torch.float16 and torch.isfinite(exact).all() and not torch.isfinite(cast).all():
        raise UserError(
            f"The LoRA was not written: {key} holds {float(exact.abs().max()):.3g}, more than half precision can "
            f"({_HALF_LIMIT}); the training has nearly diverged: use an earlier checkpoint, or a lower learning rate.",
            code="weights-beyond-half-precision",
            tensor=key,
        )
    return cast
