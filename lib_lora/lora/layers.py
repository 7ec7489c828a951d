"""Groups the tensors of a kohya LoRA file into layers by their names and shapes alone.

Of the many kinds of adapter that A1111 reads, this program knows LoRA (linear, convolution, with or without a middle)
and DoRA on the input axis. Loads no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from lib_lora.errors import UserError
from lib_lora.lora import key_names
from lib_lora.lora.bundled import layer_keys, words_in

Shape = tuple[int, ...]
_FIELDS = {
    "lora_down.weight": "down",
    "lora_up.weight": "up",
    "lora_mid.weight": "mid",
    "alpha": "alpha",
    "dora_scale": "dora_scale",
}


def keys_by_layer(shapes: Mapping[str, Shape], where: str) -> dict[str, dict[str, str]]:
    """The tensors' keys by layer and field (see `tensors.LayerTensors`), in the order of their first appearance.

    Args:
        shapes: of each tensor, by its key.
        where: named in the errors, e.g. the file's name.

    Raises:
        UserError: a tensor that belongs to no known kind, a layer with a missing half, or impossible shapes, also of
            the vectors of a word, which are no layer.
    """
    words_in(shapes, where)
    collected: dict[str, dict[str, str]] = {}
    for key in layer_keys(shapes):
        name, what = key_names.split_key(key)
        if what not in _FIELDS:
            raise UserError(
                f"{where}: the tensor {key!r} is not one of a LoRA's; nothing was read.",
                code="lora-tensor-unknown",
                tensor=key,
            )
        collected.setdefault(name, {})[_FIELDS[what]] = key
    for name, fields in collected.items():
        for half in ("down", "up"):
            if half not in fields:
                raise UserError(
                    f"{where} is damaged: {name!r} has no lora_{half}; A1111 would refuse the whole file.",
                    code="lora-half-missing",
                    layer=name,
                )
        if not _shapes_fit(**{field: shapes[key] for field, key in fields.items()}):
            raise UserError(
                f"{where} is damaged: the shapes of {name!r} do not match.",
                code="lora-shapes-mismatch",
                layer=name,
            )
    return collected


def _shapes_fit(
    down: Shape, up: Shape, mid: Shape | None = None, alpha: Shape | None = None, dora_scale: Shape | None = None
) -> bool:
    if len(down) not in (2, 4) or len(up) not in (2, 4) or not prod(down) or not prod(up):
        return False
    rank = down[0]
    middle = mid is None or (len(mid) == 4 and mid[:2] == (rank, rank) and prod(down[1:]) == down[1])
    return bool(
        up[1] == rank
        and prod(up[1:]) == rank
        and middle
        and (alpha is None or prod(alpha) == 1)
        and (dora_scale is None or (len(dora_scale) in (2, 4) and prod(dora_scale) > 0))
    )
