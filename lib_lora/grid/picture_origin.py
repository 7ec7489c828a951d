"""What a picture's file says of where it comes from: painted, by which base model and LoRA, or taken by a camera.

Knows the texts that A1111 (and its forks, and this program), ComfyUI, InvokeAI, Fooocus and NovelAI leave in PNG, JPEG
and WebP files, and IPTC's digital source type. Decodes no pixels; what a file says is not trusted further than that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import ExifTags, Image

from lib_lora.errors import UserError
from lib_lora.files import opened

Kind = Literal["painted", "photo", ""]
_FORMATS = ("PNG", "JPEG", "WEBP")
_LONGEST = 1 << 20  # characters of a text
_GENERATED = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia")  # IPTC's digital source types
_OTHERS = {  # names of PNG texts that only a painting program writes
    "invokeai_metadata": "InvokeAI",
    "sd-metadata": "InvokeAI",
    "dream": "InvokeAI",
    "fooocus_scheme": "Fooocus",
}
_LORA = re.compile(r"<lora:([^:<>]+)(?::([-+.0-9eE]+))?[^<>]*>")
_VALUE = re.compile(r'\s*([\w /-]+):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')  # as A1111 reads its own


@dataclass(frozen=True)
class Origin:
    """What a file says; what it does not say is empty.

    Attributes:
        kind: "painted", "photo" (a camera wrote it), or empty.
        tool: that painted it, as far as the file says.
        base: file name of the base model without its ending, `base_hash` the first ten digits of its SHA-256.
        vae: file name of a VAE that stood in for the base model's own.
        prompt: without ``<lora:...>``.
        seed: of the initial noise; None = it does not say.
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
    lora: str = ""
    weight: float = 1.0
    size: tuple[int, int] = (0, 0)


def origin_of(path: Path) -> Origin:
    """What the picture file says of itself; a file that cannot be read says nothing."""
    try:
        with opened(path) as stream, Image.open(stream, formats=_FORMATS) as image:
            size = image.size
            texts = {str(key): _text(value) for key, value in image.info.items()}
            exif = image.getexif()
            inner = exif.get_ifd(ExifTags.IFD.Exif)
    except (OSError, ValueError, SyntaxError, UserError, Image.DecompressionBombError):  # SyntaxError: a broken PNG
        return Origin()
    texts = {key: text for key, text in texts.items() if len(text) <= _LONGEST}
    camera = {name: _text(exif.get(tag)) for name, tag in (("make", 0x010F), ("model", 0x0110))}
    parameters = texts.get("parameters") or _comment(inner.get(ExifTags.Base.UserComment))
    graph = texts.get("prompt") or _after(camera["model"], "prompt:") or _after(camera["make"], "prompt:")
    if found := _of_a1111(parameters, size) or _of_comfy(graph, size):
        return found
    for name, tool in _OTHERS.items():
        if name in texts:
            return Origin("painted", tool, size=size)
    software = texts.get("Software", "") or _text(exif.get(ExifTags.Base.Software))
    if software.startswith("NovelAI"):
        return Origin("painted", "NovelAI", size=size)
    packets = [texts.get(name, "") for name in ("XML:com.adobe.xmp", "xmp", "DigitalSourceType")]
    if any(f"/{kind}" in packet for packet in packets for kind in _GENERATED):
        return Origin("painted", size=size)
    if "workflow" in texts:
        return Origin("painted", "ComfyUI", size=size)
    return Origin("photo" if camera["make"].strip() and camera["model"].strip() else "", size=size)


def is_same_base(one: Origin, other: Origin) -> bool:
    """Whether nothing speaks against both being painted by one base model and VAE: what a file leaves out is no
    difference."""
    if one.vae and other.vae and one.vae != other.vae:
        return False
    if len(one.base_hash) == len(other.base_hash) == 10:
        return one.base_hash == other.base_hash
    return not one.base or not other.base or one.base.casefold() == other.base.casefold()


def _of_a1111(text: str, size: tuple[int, int]) -> Origin | None:
    """From A1111's "PNG info"."""
    lines = text.strip().splitlines()
    if not lines or not re.match(r"\s*Steps: \d+", lines[-1]):
        return None
    said = {name.strip(): _unquoted(value.strip()) for name, value in _VALUE.findall(lines[-1])}
    prompt = "\n".join(lines[:-1]).split("\nNegative prompt:")[0]
    prompt = "" if prompt.startswith("Negative prompt:") else prompt
    loras = dict(_LORA.findall(prompt))
    lora = next(iter(loras)) if len(loras) == 1 else ""
    digest = said.get("Model hash", "")
    return Origin(
        "painted",
        "A1111",
        base=_stem(said.get("Model", "")),
        base_hash=digest.lower() if re.fullmatch("[0-9a-fA-F]{10}", digest) else "",
        vae=_stem(said.get("VAE", "")),
        prompt=" ".join(_LORA.sub("", prompt).split()),
        seed=int(said["Seed"]) if said.get("Seed", "").isdecimal() else None,
        lora=lora,
        weight=_number(loras.get(lora, "")),
        size=size,
    )


def _of_comfy(text: str, size: tuple[int, int]) -> Origin | None:
    """From ComfyUI's graph: nodes by number, each with "class_type" and "inputs"."""
    try:
        graph = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(graph, dict) or not graph:
        return None
    nodes = [node for node in graph.values() if isinstance(node, dict) and "class_type" in node]
    if not nodes:
        return None
    bases = {_stem(name) for name in _inputs(nodes, "ckpt_name", str)}
    loras = {_stem(name) for name in _inputs(nodes, "lora_name", str)}
    weights = list(_inputs(nodes, "strength_model", (int, float)))
    seeds = [*_inputs(nodes, "seed", int), *_inputs(nodes, "noise_seed", int)]
    vaes = {_stem(name) for name in _inputs(nodes, "vae_name", str)}
    return Origin(
        "painted",
        "ComfyUI",
        base=bases.pop() if len(bases) == 1 else "",
        vae=vaes.pop() if len(vaes) == 1 else "",
        seed=seeds[0] if len(seeds) == 1 and seeds[0] >= 0 else None,
        lora=loras.pop() if len(loras) == 1 else "",
        weight=float(weights[0]) if len(weights) == 1 else 1.0,
        size=size,
    )


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
    return re.sub(r"\.(safetensors|ckpt|pt|pth|bin)$", "", re.split(r"[/\\]", name.strip())[-1], flags=re.IGNORECASE)


def _unquoted(value: str) -> str:
    """A value as A1111 wrote it: in JSON's quotes where its own marks occur in it."""
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value.strip('"')


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0
