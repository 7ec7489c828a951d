"""Captions photos with BLIP (Li et al. 2022), loaded in Hugging Face's form from a folder on this disk.

Nothing is downloaded, and nothing in a file is executed: the weights are read by `models.reading.weights`, also
those in a pickle. The same picture gives the same sentence: beam search in float32, no chance. Knows nothing about what
a caption is for (`captioner`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from lib_lora.captions import captioner
from lib_lora.errors import UserError
from lib_lora.files import explained, sha256

PROCEDURE = 1  # raise it whenever the same picture may give another sentence
BEAMS = 3  # as BLIP's own demo has it
LONGEST = 40  # tokens
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that is there
TOKENIZER = ("tokenizer.json", "vocab.txt")
_CAPTIONER = "BlipForConditionalGeneration"  # others answer questions, or compare
_DECODER = "text_decoder.cls.predictions"
# One tensor under two names; transformers writes one of them, or both, as its version likes.
_TWINS = {
    f"{_DECODER}.decoder.weight": "text_decoder.bert.embeddings.word_embeddings.weight",
    f"{_DECODER}.decoder.bias": f"{_DECODER}.bias",
}
_TWINS |= {other: one for one, other in _TWINS.items()}
_COUNTERS = "position_ids"  # 0, 1, 2, ...: some versions keep them in the file


class Blip:
    """BLIP as a `captioner.Captioner`. The base model takes seconds to load, and 1 GB of memory."""

    def __init__(self, folder: Path, device: str = "cpu", keep_hair: bool = False) -> None:
        """Load the model.

        Args:
            folder: with config.json, the weights and the tokenizer's vocabulary.
            device: "cpu" or "cuda".
            keep_hair: what it says about the hair is wanted.

        Raises:
            UserError: something is missing in the folder, damaged, or of another model.
        """
        weights = _checked(folder)
        self._model, side = _model(folder, weights)
        self._model.to(device).eval()
        self._prepare, self._tokenizer = _around(folder, side)
        self._device, self._keep_hair = device, keep_hair
        hair = "-hair" if keep_hair else ""
        self.id = f"blip-{PROCEDURE}{hair}:{folder.resolve().name}:{sha256(weights)[:16]}"

    def sentence(self, image: Image.Image) -> str:
        """What BLIP says of a picture, as it says it."""
        import torch

        pixels = self._prepare(images=image.convert("RGB"), return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            said = self._model.generate(
                pixel_values=pixels.to(self._device), num_beams=BEAMS, do_sample=False, max_new_tokens=LONGEST
            )
        return str(self._tokenizer.decode(said[0], skip_special_tokens=True)).strip()

    def phrases(self, image: Image.Image) -> list[str]:
        """See `captioner.Captioner`."""
        return captioner.of_sentence(self.sentence(image), self._keep_hair)


def _checked(folder: Path) -> Path:
    """The file of weights of a folder that has all that is needed."""
    if not folder.is_dir():
        raise UserError(
            f"{folder} is not a folder; give the folder of a BLIP model, with its config.json.",
            code="blip-folder-missing",
            folder=folder,
        )
    config = _json(folder / "config.json", folder)
    kind = config.get("model_type")
    if kind != "blip":
        raise UserError(
            f"{folder} holds a {kind!r} model, not BLIP; give the folder of a BLIP model.",
            code="blip-wrong-model",
            folder=folder,
            kind=kind,
        )
    made = config.get("architectures") or [_CAPTIONER]
    if _CAPTIONER not in made:
        raise UserError(
            f"{folder} holds a BLIP model that does not write captions ({made}); use one for captioning.",
            code="blip-no-captioner",
            folder=folder,
        )
    weights = [folder / name for name in WEIGHTS if (folder / name).is_file()]
    if not weights:
        raise UserError(_lacks(folder, " or ".join(WEIGHTS)), code="blip-file-missing", folder=folder)
    if not any((folder / name).is_file() for name in TOKENIZER):
        raise UserError(_lacks(folder, " or ".join(TOKENIZER)), code="blip-file-missing", folder=folder)
    return weights[0]


def _json(path: Path, folder: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(_lacks(folder, path.name), code="blip-file-missing", folder=folder)
    with explained(path, "read"):
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise _damaged(path, error) from error
    if not isinstance(value, dict):
        raise _damaged(path, "it holds no settings")
    return value


def _lacks(folder: Path, name: str) -> str:
    return f"{folder} lacks {name}; put that file of the BLIP model into it (nothing is downloaded)."


def _damaged(path: Path, why: object) -> UserError:
    return UserError(
        f"{path} is damaged ({str(why)[:200]}); replace it with that file of the BLIP model.",
        code="blip-file-damaged",
        file=path,
    )


def _model(folder: Path, weights: Path) -> tuple[Any, int]:
    """The model with its weights in float32, and the side of the square it looks at, in pixels."""
    import torch
    from transformers import BlipConfig, BlipForConditionalGeneration

    from lib_lora.models.reading.weights import open_tensors

    file = open_tensors(weights)
    try:
        config = BlipConfig.from_pretrained(str(folder), local_files_only=True)
        config.text_config.tie_word_embeddings = False  # each name gets its own numbers, whatever the version ties
        model = BlipForConditionalGeneration(config)
    except Exception as error:  # numbers that make no sense end anywhere in transformers
        raise _damaged(folder / "config.json", error) from error
    there = file.keys()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            source = name if name in there else _TWINS.get(name, name)
            if source not in there:
                if name.endswith(_COUNTERS):
                    continue
                raise UserError(
                    f"{weights} lacks the tensor {name}, so it is not a BLIP captioner; use the right file.",
                    code="blip-tensor-missing",
                    file=weights,
                    tensor=name,
                )
            if file.shape(source) != tuple(tensor.shape):
                raise UserError(
                    f"{weights} does not match config.json beside it ({name}); use both files of the same BLIP model.",
                    code="blip-config-mismatch",
                    file=weights,
                    tensor=name,
                )
            tensor.copy_(file.read(source))
    return model.float(), int(config.vision_config.image_size)


def _around(folder: Path, side: int) -> tuple[Any, Any]:
    """What makes numbers of a picture, and words of numbers."""
    from transformers import BertTokenizerFast, BlipImageProcessor

    settings = folder / "preprocessor_config.json"  # where it is not there, BLIP's own colours and resizing are meant
    try:
        prepare = (
            BlipImageProcessor.from_pretrained(str(folder), local_files_only=True)
            if settings.is_file()
            else BlipImageProcessor()
        )
    except Exception as error:
        raise _damaged(settings, error) from error
    prepare.size = {"height": side, "width": side}
    try:
        return prepare, BertTokenizerFast.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # the tokenizers' own errors have no common kind
        name = next(name for name in TOKENIZER if (folder / name).is_file())
        raise _damaged(folder / name, error) from error
