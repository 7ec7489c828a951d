"""How good a mini model is: `python -m tools.mini.evaluate --model FILE --material FOLDER --work FOLDER --count 400`.

Paints `count` pictures of "photo of a person" and `each` for each word, and measures them: faces found, how
much people differ, whether the words are obeyed, and whether a training picture was painted again. Writes
``evaluation.json`` and ``evaluation.png`` (64 pictures) into the work folder.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.faces.face import Face
from lib_lora.faces.picture_descriptors import hamming, phash
from lib_lora.files import atomic_file, write_json
from lib_lora.likeness.measure.image_similarity import COPY_BITS
from tools.mini import captions, data
from tools.mini.paint import Painter

WORDS = ("looking left", "looking right", "looking ahead", "dark background", "light background", "smiling",
         "serious", "dark hair", "light hair")  # fmt: skip


def pair_cosines(embeddings: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The cosines of all pairs of unit vectors [N, D]."""
    rows, columns = np.triu_indices(len(embeddings), 1)
    return np.asarray((embeddings @ embeddings.T)[rows, columns])


def measured(picture: Image.Image, face: Face) -> captions.Measured:
    """A painted picture, measured like the training pictures."""
    pixels = np.asarray(picture)
    return captions.measure(pixels, face.points / pixels.shape[0], np.asarray(face.box) / pixels.shape[0])


def sheet(pictures: Sequence[Image.Image], columns: int = 8) -> Image.Image:
    """Pictures of one size side by side, in rows."""
    tiles = [np.asarray(picture) for picture in pictures]
    full = [tiles[start : start + columns] for start in range(0, len(tiles) - columns + 1, columns)]
    return Image.fromarray(np.concatenate([np.concatenate(row, 1) for row in full], 0))


def known(material: Path, work: Path, engine: SFaceEngine) -> tuple[np.ndarray[Any, Any], list[int]]:
    """The training pictures' embeddings [N, 128] and the hashes of all of them and of their mirror images."""
    faces = data.load(material, work)
    pictures = [Image.fromarray(data.resized(np.asarray(pixels))) for pixels in faces.pixels[: -data.HELD_OUT]]
    cache = work / "known.npy"
    if not cache.exists():
        found = [engine.faces(picture) for picture in pictures]
        with atomic_file(cache) as stream:
            np.save(stream, np.stack([one[0].embedding for one in found if one]))
    mirrored = [picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for picture in pictures]
    return np.load(cache), [phash(picture) for picture in [*pictures, *mirrored]]


def portraits(pictures: Sequence[Image.Image], engine: SFaceEngine) -> tuple[dict[str, float], np.ndarray[Any, Any]]:
    """Faces found and how different they are; and the embeddings [N, 128] of those found."""
    found = [engine.faces(picture) for picture in pictures]
    first = [faces[0] for faces in found if faces]
    embeddings = np.stack([face.embedding for face in first])
    cosines = pair_cosines(embeddings)
    scores = [face.score for face in first]
    return {
        "found": len(first) / len(pictures),
        "score_median": float(np.median(scores)),
        "score_5th": float(np.percentile(scores, 5)),
        "pair_cosine": float(cosines.mean()),
        "pair_cosine_95th": float(np.percentile(cosines, 95)),
    }, embeddings


def obedience(painter: Painter, count: int, settings: dict[str, Any], engine: SFaceEngine) -> dict[str, float]:
    """For each word the share of `count` pictures that do what it asks; a picture without a face does not."""
    result = {}
    for word in WORDS:
        pictures = painter.paint([f"{captions.SUBJECT}, {word}"] * count, range(5000, 5000 + count), **settings)
        obeyed = 0
        for picture in pictures:
            faces = engine.faces(picture)
            obeyed += bool(faces) and captions.obeys(measured(picture, faces[0]), word)
        result[word] = obeyed / count
        print(f"{word}: {result[word]:.0%}", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--material", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--each", type=int, default=50)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--cfg", type=float, default=3.0)
    parser.add_argument("--sampler", default="Euler")
    parser.add_argument("--no-copies", action="store_true", help="do not compare with the training pictures")
    options = parser.parse_args()
    settings = {"steps": options.steps, "cfg": options.cfg, "sampler": options.sampler}
    engine, painter, start = SFaceEngine(), Painter(options.model), time.monotonic()
    pictures = painter.paint([captions.SUBJECT] * options.count, range(options.count), **settings)
    numbers, embeddings = portraits(pictures, engine)
    seconds = time.monotonic() - start
    sheet(pictures[:64]).save(options.work / "evaluation.png")
    print(numbers, flush=True)
    result: dict[str, Any] = {**settings, "count": options.count, "seconds": seconds, **numbers}
    if not options.no_copies:
        others, hashes = known(options.material, options.work, engine)
        nearest = (embeddings @ others.T).max(1)
        bits = [min(hamming(phash(picture), other) for other in hashes) for picture in pictures]
        result |= {"nearest_cosine": float(np.median(nearest)), "nearest_cosine_max": float(nearest.max())}
        result |= {"nearest_bits": min(bits), "copies": sum(one < COPY_BITS for one in bits)}
    result["obeyed"] = obedience(painter, options.each, settings, engine)
    write_json(options.work / "evaluation.json", result)
    print(result)


if __name__ == "__main__":
    main()
