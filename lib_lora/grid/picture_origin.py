"""Reads from a picture's file where it comes from: painted (by which base model and LoRA) or taken by a camera.

Knows the texts that A1111 (and its forks, and this program), ComfyUI, InvokeAI, Fooocus and NovelAI leave in picture
files, and IPTC's digital source type. Decodes no pixels. Anybody may have written these texts: they are read in linear
time, whatever they hold, and what a file says is not trusted further than that.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import ExifTags, Image

from lib_lora.character.photo_files import formats_of
from lib_lora.files import opened, printable
from lib_lora.pictures import HEAVIEST, LIGHTEST
from lib_lora.provenance.source_type import PNG_KEY, says_generated

Kind = Literal["painted", "photo", ""]
OWN_VAE = "(own)"  # the one in the base model's file
_LONGEST = 1 << 16  # characters of A1111's text
_LONGEST_GRAPH = 1 << 20  # of ComfyUI's, which may have hundreds of nodes
_LONGEST_NAME = 255  # of a file
_LONGEST_KEY = 40  # of a name before a colon
_DIGITS = 20  # of a seed
_OTHERS = {  # names of PNG texts that only a painting program writes
    "invokeai_metadata": "InvokeAI",
    "sd-metadata": "InvokeAI",
    "dream": "InvokeAI",
    "fooocus_scheme": "Fooocus",
}
_LORA = re.compile(r"<lora:([^:<>]{1,200})(?::([-+.0-9eE]{1,12}))?(?::[^<>]{0,200})?>")
_QUOTED = re.compile(r'\s*("(?:\\.|[^\\"])*")')


@dataclass(frozen=True)
class PictureOrigin:
    """What a file says; what it does not say is empty.

    Attributes:
        kind: "painted", "photo" (a camera wrote it), or empty.
        tool: that painted it, as far as the file says.
        base: file name of the base model without its ending, `base_hash` the first ten digits of its SHA-256.
        vae: file name of a VAE that stood in for the base model's own, without its ending; `OWN_VAE` = that none did.
        prompt: without ``<lora:...>``.
        seed: of the initial noise; None = it does not say.
        steps: of sampling, all passes together; None = it does not say.
        lora: file name of the LoRA without its ending; empty where there is none, or more than one.
        weight: of the LoRA.
        size: width and height in pixels, as the file is.
    """

    kind: Kind = ""
    tool: str = ""
    base: str = ""
    base_hash: str = ""
    vae: str = ""
    prompt: str = ""
    seed: int | None = None
    steps: int | None = None
    lora: str = ""
    weight: float = 1.0
    size: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class _Exif:
    """The texts of EXIF that say who made a picture."""

    make: str = ""
    model: str = ""
    software: str = ""
    comment: str = ""


def read_origin(path: Path) -> PictureOrigin:
    """What the picture file says of itself; a file that cannot be read says nothing."""
    try:
        with opened(path) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the size, though nothing is decoded; of damaged EXIF
            with Image.open(stream, formats=formats_of(stream, path.name)) as image:
                size, exif = image.size, _exif_of(image)
                texts = {str(key): _text(value) for key, value in image.info.items()}
    except Exception:  # Pillow's readers raise anything on a damaged file
        return PictureOrigin()
    parameters = texts.get("parameters") or exif.comment
    graph = texts.get("prompt") or _after(exif.model, "prompt:") or _after(exif.make, "prompt:")
    if found := _of_a1111(parameters, size) or _of_comfy(graph, size):
        return found
    for name, tool in _OTHERS.items():
        if name in texts:
            return PictureOrigin("painted", tool, size=size)
    software = texts.get("Software", "") or exif.software
    if software.startswith("NovelAI"):
        return PictureOrigin("painted", "NovelAI", size=size)
    if any(says_generated(texts.get(name, "")) for name in (PNG_KEY, "xmp", "DigitalSourceType")):
        return PictureOrigin("painted", size=size)
    if "workflow" in texts:
        return PictureOrigin("painted", "ComfyUI", size=size)
    return PictureOrigin("photo" if exif.make.strip() and exif.model.strip() else "", size=size)


def origin_of_infotext(text: str, size: tuple[int, int]) -> PictureOrigin:
    """What A1111's "PNG info" says of a picture of this size, as `read_origin` reads it from the picture's file."""
    return _of_a1111(text, size) or PictureOrigin("painted", size=size)


def is_same_base(one: PictureOrigin, other: PictureOrigin) -> bool:
    """Whether nothing speaks against both being painted by one base model and VAE: what a file leaves out is no
    difference."""
    if one.vae and other.vae and one.vae.casefold() != other.vae.casefold():
        return False
    if len(one.base_hash) == len(other.base_hash) == 10:
        return one.base_hash == other.base_hash
    return not one.base or not other.base or one.base.casefold() == other.base.casefold()


def _exif_of(image: Image.Image) -> _Exif:
    """The texts in a picture's EXIF; empty where it is damaged."""
    try:
        exif = Image.Image.getexif(image)  # the one of PNG would decode the pixels, to look behind them
        inner = exif.get_ifd(ExifTags.IFD.Exif)  # type: ignore[no-untyped-call, unused-ignore]
        names = (ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.Software)
        make, model, software = (_text(exif.get(name)) for name in names)
        return _Exif(make, model, software, _comment(inner.get(ExifTags.Base.UserComment)))
    except Exception:  # Pillow's readers raise anything on a damaged file
        return _Exif()


def _of_a1111(text: str, size: tuple[int, int]) -> PictureOrigin | None:
    """The origin, read from A1111's "PNG info"."""
    lines = text.strip().splitlines() if len(text) <= _LONGEST else []
    if not lines or not re.match(r"\s*Steps: \d+", lines[-1]):
        return None
    said = _values(lines[-1])
    prompt = "\n".join(lines[:-1]).split("\nNegative prompt:")[0]
    prompt = "" if prompt.startswith("Negative prompt:") else prompt
    loras = dict(_LORA.findall(prompt))
    lora = next(iter(loras)) if len(loras) == 1 else ""
    weight = _weight(loras.get(lora) or "1")
    digest, seed = said.get("Model hash", ""), said.get("Seed", "")
    steps = [said[name] for name in ("Steps", "Hires steps") if name in said]
    return PictureOrigin(
        "painted",
        "A1111",
        base=_stem(said.get("Model", "")),
        base_hash=digest.lower() if re.fullmatch("[0-9a-fA-F]{10}", digest) else "",
        vae=_vae(said),
        prompt=" ".join(_LORA.sub("", prompt).split()),
        seed=int(seed) if re.fullmatch(f"[0-9]{{1,{_DIGITS}}}", seed) else None,
        steps=sum(map(int, steps)) if all(re.fullmatch("[0-9]{1,4}", one) for one in steps) else None,
        lora="" if weight is None else printable(lora),
        weight=1.0 if weight is None else weight,
        size=size,
    )


def _vae(said: Mapping[str, str]) -> str:
    """The VAE that A1111 painted with. It names one only where that is not the base model's own; it can be set to give
    the hash alone, Forge counts VAEs and text encoders as "modules", and programs that borrow its form leave VAEs out.
    """
    modules = [value for name, value in said.items() if re.fullmatch(r"Module \d+", name)]
    if name := said.get("VAE") or (modules[0] if len(modules) == 1 else ""):
        return OWN_VAE if name.casefold() in ("none", "automatic") else _stem(name)
    return "" if modules or "VAE hash" in said or said.get("Version", "").startswith("ComfyUI") else OWN_VAE


def _values(line: str) -> dict[str, str]:
    """The values by their names in A1111's last line ("Steps: 20, Model: ..."); commas and colons in a value that
    stands in JSON's quotes belong to it."""
    said: dict[str, str] = {}
    place = 0
    while (colon := line.find(":", place)) >= 0:
        name = line[place:colon].rpartition(",")[2].strip()
        quoted = _QUOTED.match(line, colon + 1)
        comma = line.find(",", quoted.end() if quoted else colon + 1)
        end = len(line) if comma < 0 else comma
        if len(name) <= _LONGEST_KEY:
            said[name] = _unquoted(quoted[1]) if quoted else line[colon + 1 : end].strip()
        place = end + 1
    return said


def _of_comfy(text: str, size: tuple[int, int]) -> PictureOrigin | None:
    """From ComfyUI's graph: nodes by number, each with "class_type" and "inputs"."""
    try:
        graph = json.loads(text, parse_int=_whole) if 0 < len(text) <= _LONGEST_GRAPH else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(graph, dict) or not graph:
        return None
    nodes = [node for node in graph.values() if isinstance(node, dict) and "class_type" in node]
    if not nodes:
        return None
    bases = {_stem(name) for name in _inputs(nodes, "ckpt_name", str)}
    loras = {_stem(name) for name in _inputs(nodes, "lora_name", str)}
    weights = {_weight(value) for value in _inputs(nodes, "strength_model", (int, float, _TooLong))} or {1.0}
    weight = weights.pop() if len(weights) == 1 else None
    seeds = [*_inputs(nodes, "seed", int), *_inputs(nodes, "noise_seed", int)]
    steps = [value for value in _inputs(nodes, "steps", int) if value > 0]
    vaes = {_stem(name) for name in _inputs(nodes, "vae_name", str)}
    return PictureOrigin(
        "painted",
        "ComfyUI",
        base=bases.pop() if len(bases) == 1 else "",
        vae=vaes.pop() if len(vaes) == 1 else "",
        seed=seeds[0] if len(seeds) == 1 and seeds[0] >= 0 else None,
        steps=sum(steps) or None,
        lora=loras.pop() if len(loras) == 1 and weight is not None else "",
        weight=1.0 if weight is None else weight,
        size=size,
    )


class _TooLong:
    """Instead of a whole number of so many digits that reading it would take long."""


def _whole(digits: str) -> int | _TooLong:
    return int(digits) if len(digits) <= _DIGITS else _TooLong()


def _inputs(nodes: list[dict[str, Any]], name: str, kind: Any) -> Iterator[Any]:
    """The values of one kind that nodes have under a name; a link to another node is a list."""
    for node in nodes:
        value = node.get("inputs", {}).get(name) if isinstance(node.get("inputs"), dict) else None
        if isinstance(value, kind) and not isinstance(value, bool):
            yield value


def _comment(value: Any) -> str:
    """EXIF's user comment: eight bytes that name the encoding, then the text."""
    if not isinstance(value, bytes):
        return _text(value)
    encoding, text = value[:8], value[8:]
    if encoding == b"UNICODE\0":  # big-endian as A1111 writes it; some write the machine's own
        swapped = text[:1] != b"\0" and text[1:2] == b"\0"
        return text.decode("utf-16-le" if swapped else "utf-16-be", "replace")
    return text.decode("utf-8", "replace")


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip("\0")
    return value if isinstance(value, str) else ""


def _after(text: str, start: str) -> str:
    """The rest of a text that begins with `start`; ComfyUI's WebP files hold such texts where a camera has its name."""
    return text[len(start) :] if text.startswith(start) else ""


def _stem(name: str) -> str:
    """A file name without its folder and its ending; A1111 leaves the ending out, and a name may hold dots."""
    last = re.split(r"[/\\]", name.strip())[-1]
    if len(last) > _LONGEST_NAME:
        return ""
    return printable(re.sub(r"\.(safetensors|ckpt|pt|pth|bin)$", "", last, flags=re.IGNORECASE))


def _unquoted(value: str) -> str:
    """A value that A1111 wrote in JSON's quotes, since its own marks occur in it."""
    try:
        return str(json.loads(value))
    except ValueError:
        return value.strip('"')


def _weight(value: Any) -> float | None:
    """The weight of a LoRA; None of what can be none."""
    try:
        weight = float(value)
    except (TypeError, ValueError):
        return None
    return weight if LIGHTEST <= weight <= HEAVIEST else None  # no for what is no number, and for infinity
