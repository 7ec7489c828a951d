"""Put the model into a webui: `python -m tools.mini.webui FOLDER`, its ``models/Stable-diffusion``.

A1111 reads the shapes of the UNet and the VAE from the ``.yaml``, and the text encoder's from a folder that the
``.yaml`` names: ``mini-face-clip``, with CLIP's tokenizer. That folder has the text encoder's weights too: with newer
releases of transformers a webui reads them before it reads the checkpoint. It is written beside FOLDER, since a webui
takes every ``.safetensors`` in FOLDER for a checkpoint.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file, save
from transformers import CLIPTextConfig

from lib_lora.errors import UserError
from lib_lora.files import atomic_file
from lib_lora.models.clip_tokens import write_tokenizer
from lib_lora.models.families.identify import identify

_TEXT = "cond_stage_model.transformer."  # before the text encoder's tensors in a checkpoint
MODEL = Path(__file__).resolve().parents[2] / "tests" / "data" / "mini-face" / "mini-face.safetensors"


def put(model: Path, folder: Path) -> Path:
    """Copy `model` and its ``.yaml`` into `folder`, and what the ``.yaml`` names beside it; returns the copy's path.

    Raises:
        UserError: `model` is no Stable Diffusion checkpoint, or lies in `folder`.
    """
    if model.parent.resolve() == folder.resolve():
        raise UserError(
            f"{folder} is where the model comes from; name a webui's models/Stable-diffusion.", code="folder-is-source"
        )
    clip = folder.absolute().parent / f"{model.stem}-clip"
    shape = identify(model).load_text(torch.float32, torch.device("cpu")).encoders[0].config
    weights = {name.removeprefix(_TEXT): one for name, one in load_file(model).items() if name.startswith(_TEXT)}
    write_clip(shape, weights, clip)
    config = yaml.safe_load(model.with_suffix(".yaml").read_text(encoding="utf-8"))
    # a whole path: the webui would look for a relative one where it was started
    config["model"]["params"]["cond_stage_config"]["params"]["version"] = str(clip)
    copy = folder / model.name
    with atomic_file(copy.with_suffix(".yaml"), "w") as stream:
        yaml.safe_dump(config, stream, sort_keys=False)
    with open(model, "rb") as source, atomic_file(copy) as stream:
        shutil.copyfileobj(source, stream)
    return copy


def write_clip(shape: CLIPTextConfig, weights: dict[str, torch.Tensor], folder: Path) -> None:
    """The text encoder and CLIP's tokenizer, as any transformers reads them from a folder.

    Args:
        shape: the encoder's configuration.
        weights: by the names that a checkpoint of Stable Diffusion 1 has for them, which are transformers' own.
        folder: made if it is not there.
    """
    shape.save_pretrained(folder)
    with atomic_file(folder / "model.safetensors") as stream:
        stream.write(save(weights, {"format": "pt"}))
    write_tokenizer(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    print(put(MODEL, options.folder))


if __name__ == "__main__":
    main()
