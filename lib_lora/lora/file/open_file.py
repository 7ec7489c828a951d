"""Opens a LoRA file without trusting it, and checks whether it is one and where its tensors lie.

Loads no torch.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.files import explained, opened
from lib_lora.lora import key_names
from lib_lora.lora.bundled import is_bundled, layer_keys, word_of
from lib_lora.models.reading.weights import TensorFile, open_tensors

MAX_HEADER = 32 << 20  # bytes; the largest LoRA has 3,000 tensors (0.4 MB), the rest is for captions and thumbnails
MAX_TENSORS = 50_000


def open_lora(path: Path) -> tuple[TensorFile, list[str]]:
    """Open a LoRA file; nothing in it is trusted.

    Returns:
        The file, and the names of its tensors in order.

    Raises:
        UserError: one sentence that says what the file is instead.
    """
    if path.suffix.lower() != ".safetensors":
        raise UserError(
            f"{path.name} is not a .safetensors file; other kinds of LoRA files are not supported.",
            code="lora-wrong-suffix",
            file=path.name,
        )
    _refuse_strange_start(path)
    file = open_tensors(path)
    keys = sorted(file.keys())
    if len(keys) > MAX_TENSORS:
        raise UserError(
            f"{path.name} has {len(keys):,} tensors, far more than any LoRA; it is not opened.",
            code="lora-too-many-tensors",
            file=path.name,
            tensors=len(keys),
        )
    _refuse_other_kinds(path.name, keys)
    return file, keys


def refuse_broken(name: str, keys: list[str], layers: int) -> None:
    """Say that the tensors `keys` of a LoRA file with so many layers hold what is no number; nothing where none do.

    Raises:
        UserError: some do.
    """
    broken = {key_names.split_key(key)[0] for key in layer_keys(keys)}
    if broken:
        raise UserError(
            f"{name} holds values that are not numbers in {len(broken)} of {layers} layers; it would "
            "paint black pictures: take an earlier checkpoint of that training.",
            code="lora-not-finite",
            file=name,
            layers=len(broken),
        )
    if words := sorted({word_of(key) for key in keys if is_bundled(key)}):
        raise UserError(
            f"{name} holds values that are not numbers in the vectors of {words[0]!r}; pictures of that word would be "
            "black: take an earlier checkpoint of that training.",
            code="lora-vectors-not-finite",
            file=name,
            word=words[0],
        )


def _refuse_strange_start(path: Path) -> None:
    if not path.is_file():
        return  # `open_tensors` has the sentence for it
    with explained(path, "read"), opened(path) as stream:
        head = stream.read(8)
    if head.startswith(b"PK\x03\x04"):
        raise UserError(
            f"{path.name} is a zip archive (perhaps a .pt file) with another suffix, so it is not opened.",
            code="lora-is-zip",
            file=path.name,
        )
    if len(head) == 8 and MAX_HEADER < struct.unpack("<Q", head)[0] <= path.stat().st_size:
        raise UserError(
            f"{path.name} has a header of {struct.unpack('<Q', head)[0]:,} bytes, too large for a LoRA.",
            code="lora-header-too-large",
            file=path.name,
        )


_OTHER_KINDS = (
    (r"^(model\.diffusion_model|first_stage_model|cond_stage_model|conditioner)\.", "a checkpoint"),
    (r"^(transformer|diffusion_model|lycoris|model)[._].*(lora|lokr|hada)", "a LoRA for another kind of model"),
    (r"\.hada_w", "a LyCORIS file of the kind LoHa, which this program does not read"),
    (r"\.lokr_w", "a LyCORIS file of the kind LoKr, which this program does not read"),
    (r"\.(oft_|diff$|diff_b$|on_input$|a1\.weight$|w_norm$)", "a LyCORIS file of a kind that this program cannot read"),
    (r"^(emb_params|clip_[lg]|string_to_param)$", "a textual inversion embedding"),
)
_PEFT = re.compile(
    r"\.lora_[AB]\.|\.lora\.(down|up)\.|_lora\.(down|up)\.|\.lora_linear_layer\."
    r"|^base_model\.model\.|\.lora_magnitude_vector"
)


def _refuse_other_kinds(name: str, keys: list[str]) -> None:
    if not keys:
        raise UserError(f"{name} is not a LoRA: it holds no tensors.", code="lora-empty", file=name)
    if peft := next((key for key in keys if _PEFT.search(key) and not key_names.part_of(key)), None):
        raise UserError(
            f"{name} is a LoRA with diffusers' (PEFT's) names such as {peft!r}, which A1111 silently ignores; "
            "use the version of it for the webui (with kohya's names).",
            code="lora-with-peft-names",
            file=name,
        )
    for pattern, what in _OTHER_KINDS:
        if other := next((key for key in keys if re.search(pattern, key)), None):
            raise UserError(
                f"{name} is {what} (it has the key {other!r}); expected a LoRA with kohya's names "
                "(lora_unet_…, lora_te_…).",
                code="not-a-lora",
                file=name,
                key=other,
            )
    if not any(key_names.part_of(key) and key.endswith("lora_down.weight") for key in keys):
        raise UserError(f"{name} is not a LoRA: its first tensor is called {keys[0]!r}.", code="not-a-lora", file=name)
