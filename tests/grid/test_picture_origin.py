"""What a file says of who painted it: the words of A1111, ComfyUI and others, and files that say nothing."""

from __future__ import annotations

import json
import math
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageFile
from PIL.PngImagePlugin import PngInfo

from lib_lora.character.photo_files import kinds
from lib_lora.grid import picture_origin
from lib_lora.grid.picture_origin import OWN_VAE, is_same_base, read_origin
from lib_lora.grid.picture_origin import PictureOrigin as Origin
from lib_lora.pictures import Cell, parameters, save_picture

A1111 = (
    "photo of mrxa woman, (smiling:1.2) <lora:mara-001-000480:0.8>, beach\nNegative prompt: blurry, lowres\n"
    "Steps: 20, Sampler: Euler, CFG scale: 7, Seed: 1001, Size: 512x768, Model hash: 6ce0161689, "
    'Model: "v1-5, pruned: ema", VAE hash: 235745af8d, VAE: vae-ft-mse.safetensors, Lora hashes: "mara: 0f, b: 1", '
    "Version: v1.10.1"
)
SAID = Origin("painted", "A1111", "v1-5, pruned: ema", "6ce0161689", "vae-ft-mse", "photo of mrxa woman, (smiling:1.2) "
              ", beach", 1001, 20, "mara-001-000480", 0.8, (8, 16))  # fmt: skip


def _png(path: Path, **texts: str) -> Path:
    about = PngInfo()
    for name, text in texts.items():
        about.add_itxt(name, text)
    Image.new("RGB", (8, 16)).save(path, "PNG", pnginfo=about)
    return path


@pytest.mark.parametrize("form", ["png", "jpg", "webp"])
def test_a1111(tmp_path, form):
    path = tmp_path / f"ü.{form}"
    if form == "png":
        _png(path, parameters=A1111)
    else:
        exif = Image.Exif()
        exif[ExifTags.IFD.Exif] = {ExifTags.Base.UserComment: b"UNICODE\0" + A1111.encode("utf-16-be")}
        Image.new("RGB", (8, 16)).save(path, exif=exif)
    assert read_origin(path) == SAID


def test_our_own_pictures(tmp_path):
    cell = Cell("photo of mrxa", "blurry", 7, Path("mara, 2.safetensors"), 0.6, 8, 16)
    save_picture(tmp_path / "a.png", Image.new("RGB", (8, 16)), cell)
    save_picture(tmp_path / "b.png", Image.new("RGB", (8, 16)), cell, parameters(cell, 'sd, "15"'))
    one, other = read_origin(tmp_path / "a.png"), read_origin(tmp_path / "b.png")
    assert (one.prompt, one.seed, one.lora, one.weight, one.base) == ("photo of mrxa", 7, "mara, 2", 0.6, "")
    assert other.base == 'sd, "15"'
    assert other.vae == OWN_VAE


@pytest.mark.parametrize(
    ("more", "vae"),
    [
        ("", OWN_VAE),
        (", VAE: None", OWN_VAE),
        (", VAE hash: 235745af8d, VAE: sd/Vae-ft.mse.safetensors", "Vae-ft.mse"),
        (", VAE hash: 235745af8d", ""),
        (", Module 1: Vae-ft, Version: f2.0", "Vae-ft"),
        (", Module 1: Vae-ft, Module 2: clip_l, Version: f2.0", ""),
        (", Version: ComfyUI", ""),
    ],
)
def test_which_vae(tmp_path, more, vae):
    text = f"a\nSteps: 20, Model: m{more}"
    assert read_origin(_png(tmp_path / "a.png", parameters=text)).vae == vae


@pytest.mark.parametrize(
    ("values", "steps"),
    [
        ("Steps: 2, Hires steps: 8", 10),
        ("Steps: 4, Size: 8x8", 4),
        ("Steps: 99999", None),
        ("Steps: 4, Hires steps: x", None),
    ],
)
def test_how_many_sampling_steps(tmp_path, values, steps):
    assert read_origin(_png(tmp_path / "a.png", parameters=f"a\n{values}")).steps == steps


def test_sampling_steps_of_two_samplers_add_up(tmp_path):
    nodes = {str(n): {"class_type": "KSampler", "inputs": {"steps": n}} for n in (3, 4)}
    odd = {
        "7": {"class_type": "KSampler", "inputs": {"steps": ["3", 0]}},
        "8": {"class_type": "x", "inputs": {"steps": -9}},
    }
    assert read_origin(_png(tmp_path / "a.png", prompt=json.dumps(nodes | odd))).steps == 7


def test_comfyui_in_png_and_webp(tmp_path):
    graph = {
        "3": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 12, "model": ["10", 0]}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd\\v1-5.ema.safetensors"}},
        "10": {"class_type": "LoraLoader", "inputs": {"lora_name": "x/mara.safetensors", "strength_model": 0.7}},
    }
    wanted = Origin("painted", "ComfyUI", base="v1-5.ema", seed=5, steps=12, lora="mara", weight=0.7, size=(8, 16))
    assert read_origin(_png(tmp_path / "a.png", prompt=json.dumps(graph))) == wanted
    exif = Image.Exif()
    exif[0x0110] = "prompt:" + json.dumps(graph)
    exif[0x010F] = "workflow:{}"
    Image.new("RGB", (8, 16)).save(tmp_path / "a.webp", exif=exif)
    assert read_origin(tmp_path / "a.webp") == wanted


@pytest.mark.parametrize(
    ("texts", "tool"),
    [
        ({"invokeai_metadata": "{}"}, "InvokeAI"),
        ({"fooocus_scheme": "fooocus"}, "Fooocus"),
        ({"Software": "NovelAI"}, "NovelAI"),
        ({"workflow": "{}"}, "ComfyUI"),
        ({"XML:com.adobe.xmp": "<x>http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia</x>"}, ""),
    ],
)
def test_others_are_known_as_painted(tmp_path, texts, tool):
    assert read_origin(_png(tmp_path / "a.png", **texts)) == Origin("painted", tool, size=(8, 16))


def test_a_camera(tmp_path):
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "EOS R6"
    Image.new("RGB", (8, 16)).save(tmp_path / "a.jpg", exif=exif)
    assert read_origin(tmp_path / "a.jpg") == Origin("photo", size=(8, 16))


@pytest.mark.parametrize(
    "texts",
    [
        {},
        {"parameters": "a note of mine"},
        {"parameters": ""},
        {"prompt": "a photo of a cat"},
        {"prompt": "[" * 100_000},
        {"prompt": "{}"},
        {"prompt": '{"3": {"inputs": 7}}'},
        {"prompt": '["KSampler"]'},
        {"Comment": "created with GIMP"},
    ],
)
def test_what_says_nothing_is_not_taken_for_painted(tmp_path, texts):
    assert read_origin(_png(tmp_path / "a.png", **texts)) == Origin(size=(8, 16))


def test_odd_graphs_and_values_are_let_be(tmp_path):
    odd = {"3": {"class_type": "KSampler", "inputs": []}, "4": 7, "5": {"class_type": 1, "inputs": {"seed": True}}}
    assert read_origin(_png(tmp_path / "a.png", prompt=json.dumps(odd))) == Origin("painted", "ComfyUI", size=(8, 16))
    text = "a <lora:x:nan?> <lora:y>\nSteps: 1, Seed: -1, Model hash: xyz"
    found = read_origin(_png(tmp_path / "b.png", parameters=text))
    assert (found.kind, found.seed, found.base_hash, found.lora) == ("painted", None, "", "")


# -- files that mean harm


def _of_text(text: str, size: tuple[int, int]) -> Origin | None:
    return picture_origin._of_a1111(text, size) or picture_origin._of_comfy(text, size)


def _soon(path: Path) -> Origin:
    start = time.process_time()
    found = read_origin(path)
    assert time.process_time() - start < 1
    return found


@pytest.mark.parametrize("place", ["parameters", "comment", "prompt", "model"])
@pytest.mark.parametrize(
    ("start", "part", "end"),
    [
        ("x\nSteps: 20,", " ", "\0"),
        ("x\nSteps: 20, ", "a", ""),
        ("x\nSteps: 20, ", 'a:"', ""),
        ("x\nSteps: 20, ", 'a:"\\', ""),
        ("<lora:", "a", "\nSteps: 20"),
        ("", "<lora:a:1:", "\nSteps: 20"),
        ("<lora:a:", "1", "\nSteps: 20"),
        ('{"3": {"class_type": "K", "inputs": {"seed": ', "9", "}}}"),
    ],
)
def test_a_long_text_is_read_in_time(tmp_path, place, start, part, end):
    for count in (3000, 60_000, 2_000_000):  # the first, so that a slow reader fails here and does not hang
        text = start + part * (count // len(part)) + end
        path = tmp_path / f"{count}.{'png' if place in ('parameters', 'prompt') else 'webp'}"
        if path.suffix == ".png":
            _png(path, **{place: text})
        else:
            exif = Image.Exif()
            if place == "comment":
                exif[ExifTags.IFD.Exif] = {ExifTags.Base.UserComment: b"UNICODE\0" + text.encode("utf-16-be")}
            else:
                exif[ExifTags.Base.Model] = "prompt:" + text
            Image.new("RGB", (8, 16)).save(path, exif=exif)
        assert _soon(path).size == (8, 16)


@pytest.mark.parametrize(
    ("text", "seed", "lora", "weight"),
    [
        ("a <lora:x:0.5>\nSteps: 1, Seed: " + "9" * 5000, None, "x", 0.5),
        ("a <lora:x:1e999>\nSteps: 1, Seed: 18446744073709551615", 18446744073709551615, "", 1.0),
        ("a <lora:x:40>\nSteps: 1, Seed: \u0663", None, "", 1.0),
        ("a <lora:x\x1b[2J:-1>\nSteps: 1", None, "x [2J", -1.0),
        ('{"1": {"class_type": "L", "inputs": {"lora_name": "x", "strength_model": %s}}}' % (10**400), None, "", 1.0),
        ('{"1": {"class_type": "L", "inputs": {"lora_name": "x", "strength_model": 1e999}}}', None, "", 1.0),
        ('{"1": {"class_type": "L", "inputs": {"lora_name": "x", "strength_model": NaN}}}', None, "", 1.0),
        ('{"1": {"class_type": "L", "inputs": {"lora_name": "x", "seed": 1%s}}}' % ("0" * 5000), None, "x", 1.0),
    ],
    ids=range(8),
)
def test_numbers_that_cannot_be_are_not_taken(tmp_path, text, seed, lora, weight):
    found = read_origin(_png(tmp_path / "a.png", **{"prompt" if text[0] == "{" else "parameters": text}))
    assert (found.kind, found.seed, found.lora, found.weight) == ("painted", seed, lora, weight)


def test_a_name_can_be_printed_and_is_no_longer_than_a_files(tmp_path):
    text = 'a\nSteps: 1, Model: "a\\ud800\\u001b[2J", VAE: ' + "a" * 300
    found = read_origin(_png(tmp_path / "a.png", parameters=text))
    assert (found.base, found.vae) == ("a  [2J", "")


def test_a_damaged_chunk_or_exif_costs_nothing_else(tmp_path):
    path = _png(tmp_path / "a.png", parameters=A1111)
    chunk = b"cHRM" + b"\0" * 5
    broken = (5).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    head, end = path.read_bytes()[:-12], path.read_bytes()[-12:]
    path.write_bytes(head + broken + end)
    assert read_origin(path) == SAID
    about = PngInfo()
    about.add_itxt("parameters", A1111)
    Image.new("RGB", (8, 16)).save(path, pnginfo=about, exif=b"MM\0*\0\0\0\x08\0\xff")
    assert read_origin(path) == SAID


@given(st.text(max_size=60) | st.text(alphabet='Steps: 1,"\\<lora>{}[]', max_size=60), st.booleans())
def test_any_text_is_read(text, alone):
    found = _of_text(text if alone else f"{text}\nSteps: 1, {text}", (8, 16))
    assert found is None or (found.kind == "painted" and math.isfinite(found.weight))


@pytest.mark.parametrize("form", ["png", "jpg", "webp"])
def test_no_pixels_are_decoded(tmp_path, monkeypatch, form):
    path = tmp_path / f"a.{form}"
    Image.new("RGB", (8, 16)).save(path)

    def decoded(self):
        raise AssertionError

    monkeypatch.setattr(ImageFile.ImageFile, "load", decoded)
    assert read_origin(path) == Origin(size=(8, 16))


@pytest.mark.parametrize("form", ["bmp", "gif", "tiff", *(["avif"] if "AVIF" in kinds() else [])])
def test_every_kind_of_photo_has_a_size_and_may_have_a_camera(tmp_path, form):
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "EOS R6"
    Image.new("RGB", (8, 16)).save(tmp_path / f"a.{form}", exif=exif)
    found = read_origin(tmp_path / f"a.{form}")
    assert found == Origin("photo" if form in ("tiff", "avif") else "", size=(8, 16))


def test_no_picture_says_nothing(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    for name in ("a.png", "gone.png", "."):
        assert read_origin(tmp_path / name) == Origin()


def test_what_is_not_said_is_no_difference():
    known = Origin("painted", base="Dream", base_hash="0123456789")
    assert is_same_base(Origin("painted"), known)
    assert is_same_base(Origin("painted", base="dream"), known)
    assert is_same_base(Origin("painted", base="renamed", base_hash="0123456789"), known)
    assert not is_same_base(Origin("painted", base="dream", base_hash="ffffffffff"), known)
    assert not is_same_base(Origin("painted", base="other"), known)
    assert not is_same_base(Origin("painted", vae="a"), Origin("painted", vae="b"))
    assert not is_same_base(Origin("painted", base="m", vae="vae-ft-mse"), Origin("painted", base="m", vae=OWN_VAE))
    assert is_same_base(Origin("painted", base="m", vae="VAE-ft"), Origin("painted", base="m", vae="vae-FT"))
    assert is_same_base(Origin("painted", base="m", vae="vae-ft"), Origin("painted", base="m"))
