"""Measures a photo in one opening of the file: all that the audit and the likeness template need."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from lib_lora.captions.photo_facts import FaceFacts, PhotoFacts
from lib_lora.character.photo_files import is_cmyk, open_photo
from lib_lora.errors import UserError
from lib_lora.faces import picture_regions
from lib_lora.faces.array_types import Array
from lib_lora.faces.face import Face, FaceEngine
from lib_lora.faces.picture_descriptors import colours, phash
from lib_lora.files import explained
from lib_lora.likeness.measure.template import Reference, reference
from lib_lora.photos.audit.overlay import letters_in_a_row

THUMBNAIL = 320  # pixels: the longer side
_LEAST_CLOTHES = 0.02  # of the photo; less tells nothing
_SIDE = 512  # pixels: the longer side at which a whole photo's sharpness and colours are measured


@dataclass(frozen=True, eq=False)
class PhotoMeasurement:
    """One photo.

    Attributes:
        facts: of it; may be kept.
        reference: for the template; holds the embedding, which is biometric data.
        thumbnail: a small JPEG; None where the photo cannot be read, or was not looked at now.
    """

    facts: PhotoFacts
    reference: Reference
    thumbnail: bytes | None = None


def measure_photo(engine: FaceEngine, photo: Path, sha256: str) -> PhotoMeasurement:
    """Open a photo and measure it; one that cannot be read says so in its facts."""
    try:
        image, inks = open_photo(photo), is_cmyk(photo)
        with explained(photo, "read"):
            size = photo.stat().st_size
    except UserError as error:
        said = str(error)
        return PhotoMeasurement(PhotoFacts(0, 0, said), Reference(photo.name, sha256, False, said))
    faces = engine.faces(image)
    shown = replace(facts(image, faces), inks=inks, file_bytes=size)
    return PhotoMeasurement(shown, reference(photo.name, sha256, image, faces), thumbnail_of(image))


def thumbnail_of(image: Image.Image) -> bytes:
    """An RGB picture as JPEG within `THUMBNAIL` pixels."""
    small = image.reduce(max(1, max(image.size) // (2 * THUMBNAIL)))
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=85)
    return stream.getvalue()


def facts(image: Image.Image, faces: list[Face]) -> PhotoFacts:
    """What is measured of an upright RGB picture and the faces in it (the largest first)."""
    small = image.reduce(max(1, max(image.size) // (2 * _SIDE)))
    small.thumbnail((_SIDE, _SIDE))
    shown = [face_facts(face, image.width, image.height) for face in faces]
    box = shown[0].box if shown else None
    around = picture_regions.background(small.width, small.height, box)
    beneath = picture_regions.clothes(small.width, small.height, box)
    pixels = np.asarray(small, np.uint8)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return PhotoFacts(
        width=image.width,
        height=image.height,
        faces=shown,
        hash=f"{phash(image):016x}",
        sharp=round(float(cv2.Laplacian(grey, cv2.CV_64F).var()), 1),
        level=round(float(grey[around].mean()), 1),
        backdrop=_shares(colours(small, around)),
        clothes=_shares(colours(small, beneath)) if beneath.mean() > _LEAST_CLOTHES else [],
        letters=letters_in_a_row(image, box),
        colour=round(float(cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)[..., 1:].std((0, 1)).mean()), 2),
    )


def face_facts(face: Face, width: int, height: int) -> FaceFacts:
    """The numbers of a face in a picture of width x height that are no biometric data."""
    left, top, across, down = face.box
    quality = face.quality
    return FaceFacts(
        box=(left / width, top / height, across / width, down / height),
        px=quality.px,
        score=quality.score,
        sure=quality.sure,
        blur=quality.blur,
        yaw=quality.yaw,
        roll=quality.roll,
        shown=quality.shown,
        expression=quality.expression,
        **_light(face),
    )


def _light(face: Face) -> dict[str, float]:
    if face.crop is None:
        return {}
    lab = cv2.cvtColor(face.crop, cv2.COLOR_RGB2LAB).astype(np.float32)
    grey = cv2.cvtColor(face.crop, cv2.COLOR_RGB2GRAY)
    middle, light = grey.shape[1] // 2, max(1.0, float(grey.mean()))
    return {
        "light": round(light, 1),
        "warmth": round(float(lab[..., 2].mean()) - 128, 2),
        "side": round(float(grey[:, middle:].mean() - grey[:, :middle].mean()) / light, 3),
        "white": round(float((face.crop >= 254).all(-1).mean()), 4),
        # outside the photo the crop is black too
        "black": round(max(0.0, float((face.crop <= 1).all(-1).mean()) - (1 - face.shown)), 4),
    }


def _shares(histogram: Array) -> list[float]:
    return [round(float(share), 4) for share in histogram]
