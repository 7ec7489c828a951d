"""A second face recogniser, to measure the first one: dlib's ResNet, which the verdict never sees.

    pip install dlib-bin face-recognition-models
    python bench/second_recogniser.py --agreement                     how far the two agree on the six people
    python bench/second_recogniser.py --together                      whether both together are right more often
    python bench/second_recogniser.py --photos FOLDER --pictures FOLDER   how alike pictures are to somebody's photos

It is trained on other photos, aligns faces by its own five points and describes them in its own way (King 2017, "High
quality face recognition with deep metric learning"; the weights are in the public domain, those of the five points are
CC0). Only the face's box comes from our detector, since dlib's own finds faces from the front alone. Never part of
SameFace: its weights are 22 MB, and an engine needs a cohort of its own.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from bench.spoilt_pictures import mild  # noqa: E402
from lib_lora.character.photo_files import open_photo  # noqa: E402
from lib_lora.faces.array_types import Array, Box, Numbers  # noqa: E402
from lib_lora.faces.engines.opencv_engine import SFaceEngine  # noqa: E402

SAME = 0.6  # distance up to which dlib's author calls two photos one person
PHOTOS = 14  # of a person's 24 pictures; the others are held out
PERSONAS, UNSEEN = ROOT / "tests" / "data" / "personas", ROOT / "tests" / "data" / "unseen"
CHOOSING = ("mara", "ines", "tomas")  # people by whom settings are chosen
_MARGIN = 0.0  # share by which the box is widened to each side
_BY = ("SFace", "dlib")
_RANKS_OWN = "rank correlation, one person's pictures (mean of people)"
_RANKS_OTHER = "rank correlation, strangers"
_PAIRS, _HELD_OUT = "pairs of pictures, wrong", f"held-out pictures against the mean of {PHOTOS} photos, wrong"
_NEEDS = "dlib is missing: pip install dlib-bin face-recognition-models"


def available() -> bool:
    """Whether dlib and its weights are installed."""
    return importlib.util.find_spec("dlib") is not None and _models() is not None


class SecondRecogniser:
    """dlib's descriptors of faces.

    Raises:
        SystemExit: a package is missing.
    """

    def __init__(self) -> None:
        folder = _models()
        if not available() or folder is None:
            raise SystemExit(_NEEDS)
        dlib = importlib.import_module("dlib")
        self._rectangle = dlib.rectangle
        self._points = dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat"))
        self._network = dlib.face_recognition_model_v1(str(folder / "dlib_face_recognition_resnet_model_v1.dat"))

    def describe(self, image: Image.Image, box: Box) -> Array:
        """128 numbers of the face in `box` (left, top, width, height); distances between them are Euclidean."""
        pixels = np.ascontiguousarray(np.asarray(image.convert("RGB"), np.uint8))
        points = self._points(pixels, self._rectangle(*_square(box)))
        return np.asarray(self._network.compute_face_descriptor(pixels, points), np.float32)


def _square(box: Box) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the square that dlib expects: brows to chin, as wide as high."""
    left, top, width, height = box
    side = width * (1 + 2 * _MARGIN)
    middle = left + width / 2
    bottom = top + height * (1 + _MARGIN)
    return round(middle - side / 2), round(bottom - side), round(middle + side / 2), round(bottom)


def _models() -> Path | None:
    """The folder of the weights; the package itself cannot be imported without setuptools."""
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "models"
    return folder if (folder / "dlib_face_recognition_resnet_model_v1.dat").is_file() else None


def error_rate(same: Numbers, other: Numbers) -> tuple[float, float]:
    """Equal error rate of a score that is higher for the same person, and the line at which it lies."""
    lines = np.unique(np.concatenate([same, other]))
    low = np.searchsorted(np.sort(same), lines, side="left") / len(same)
    high = 1 - np.searchsorted(np.sort(other), lines, side="left") / len(other)
    best = int(np.argmin(np.abs(low - high)))
    return float((low[best] + high[best]) / 2), float(lines[best])


def ranks_agree(one: Numbers, other: Numbers) -> float:
    """Spearman's rank correlation."""
    from scipy.stats import spearmanr

    return float(spearmanr(one, other).statistic)


def to_mean(photos: Array, pictures: Array) -> Numbers:
    """Likeness of each picture to the photos' mean: the negative distance between descriptors (n x 128)."""
    return np.asarray(-np.linalg.norm(pictures - photos.mean(0), axis=1), np.float64)


def describe_files(files: Sequence[Path], second: SecondRecogniser) -> tuple[Array, Array, list[Path]]:
    """SFace's embeddings and dlib's descriptors of the largest face in each file, and the files that show one."""
    first = SFaceEngine()
    ours, theirs, kept = [], [], []
    for file in files:
        image = open_photo(file)
        faces = first.faces(image)
        if faces:
            ours.append(faces[0].embedding)
            theirs.append(second.describe(image, faces[0].box))
            kept.append(file)
    return np.array(ours, np.float32), np.array(theirs, np.float32), kept


def pairs(people: Mapping[str, Array], alike: Any) -> tuple[Numbers, Numbers]:
    """Scores of all pairs of one person's pictures, and of pairs of different people's."""
    same, other = [], []
    names = list(people)
    for place, name in enumerate(names):
        table = alike(people[name], people[name])
        same.append(table[np.triu_indices(len(table), 1)])
        other += [alike(people[name], people[others]).ravel() for others in names[place + 1 :]]
    return np.concatenate(same), np.concatenate(other)


def agreement(second: SecondRecogniser) -> dict[str, Any]:
    """How far the two agree on the six people's pictures: pairs, and held-out pictures against a mean of 14 photos."""
    found = {
        folder.name: describe_files(sorted(folder.glob("*.jpg")), second)[:2] for folder in sorted(PERSONAS.iterdir())
        if folder.is_dir()
    }  # fmt: skip
    ours = {name: one for name, (one, _) in found.items()}
    theirs = {name: other for name, (_, other) in found.items()}
    figures: dict[str, Any] = {"people": len(found), "pictures": sum(map(len, ours.values()))}
    for name, people, alike in (
        ("SFace", ours, lambda a, b: a @ b.T),
        ("dlib", theirs, lambda a, b: -np.linalg.norm(a[:, None] - b[None], axis=2)),
    ):
        same, other = pairs(people, alike)
        rate, line = error_rate(same, other)
        figures[name] = {"pairs, equal error rate": rate, "at": line, "same": _quantiles(same),
                         "different": _quantiles(other)}  # fmt: skip
    figures["dlib"]["different people within 0.6"] = float((pairs(theirs, _near)[1] >= -SAME).mean())
    own, apart, ranks, ranks_other = [], [], [], []
    for name in found:
        first, mean = ours[name][:PHOTOS].mean(0), theirs[name][:PHOTOS]
        held = (ours[name][PHOTOS:] @ first, to_mean(mean, theirs[name][PHOTOS:]))
        rest = [other for other in found if other != name]
        strangers = (
            np.concatenate([ours[other] @ first for other in rest]),
            np.concatenate([to_mean(mean, theirs[other]) for other in rest]),
        )
        own.append(held)
        apart.append(strangers)
        ranks.append(ranks_agree(*held))
        ranks_other.append(ranks_agree(*strangers))
    both = [np.concatenate(part) for part in (*zip(*own, strict=True), *zip(*apart, strict=True))]
    lines = [error_rate(both[place], both[place + 2]) for place in (0, 1)]
    say = [np.concatenate([both[place], both[place + 2]]) >= lines[place][1] for place in (0, 1)]
    figures["held-out pictures"] = {
        "equal error rate to the mean": {"SFace": lines[0][0], "dlib": lines[1][0]},
        "both say the same": float((say[0] == say[1]).mean()),
        _RANKS_OWN: float(np.mean(ranks)),
        _RANKS_OTHER: float(np.mean(ranks_other)),
        "rank correlation, all": ranks_agree(np.concatenate(both[0::2]), np.concatenate(both[1::2])),
    }
    return figures


def harder(files: Sequence[Path], second: SecondRecogniser, seed: int) -> tuple[Array, Array]:
    """Both recognisers' descriptors of pictures that were made mildly harder (`bench.spoilt_pictures.mild`), of those
    that still show one face."""
    first = SFaceEngine()
    ours, theirs = [], []
    for number, file in enumerate(files):
        image = mild(open_photo(file).convert("RGB"), np.random.default_rng([seed, number]))
        faces = first.faces(image)
        if faces:
            ours.append(faces[0].embedding)
            theirs.append(second.describe(image, faces[0].box))
    return np.array(ours, np.float32), np.array(theirs, np.float32)


def together(second: SecondRecogniser) -> dict[str, Any]:
    """Equal error rates of each recogniser and of the mean of both, on harder pictures of ten people: of all pairs, and
    of held-out pictures against the mean of `PHOTOS` photos.

    Both count alike: each score is divided by its standard deviation among scores of one person's pictures, which is
    that of `CHOOSING`; the rates are those of the other seven people.
    """
    folders = [folder for root in (PERSONAS, UNSEEN) for folder in sorted(root.iterdir()) if folder.is_dir()]
    found = {folder.name: harder(sorted(folder.glob("*.jpg")), second, number) for number, folder in enumerate(folders)}

    def scores(names: Sequence[str]) -> dict[str, list[tuple[Numbers, Numbers]]]:
        ours, theirs = ({name: found[name][place] for name in names} for place in (0, 1))
        same, apart = [], []
        for name in names:
            cosine, distance = ours[name][:PHOTOS].mean(0), theirs[name][:PHOTOS]
            same.append((ours[name][PHOTOS:] @ cosine, to_mean(distance, theirs[name][PHOTOS:])))
            rest = [other for other in names if other != name]
            strangers = [(ours[other] @ cosine, to_mean(distance, theirs[other])) for other in rest]
            apart.append(tuple(np.concatenate(part) for part in zip(*strangers, strict=True)))
        held = [(np.concatenate([one[place] for one in same]), np.concatenate([one[place] for one in apart]))
                for place in (0, 1)]  # fmt: skip
        return {"pairs": [pairs(ours, lambda a, b: a @ b.T), pairs(theirs, _near)], "held-out pictures": held}

    scale = {name: [one.std() for one, _ in parts] for name, parts in scores(CHOOSING).items()}
    figures: dict[str, Any] = {"people": len(found) - len(CHOOSING)}
    for name, parts in scores([other for other in found if other not in CHOOSING]).items():
        both = tuple(sum(part[side] / scale[name][place] for place, part in enumerate(parts)) for side in (0, 1))
        rates = {
            title: error_rate(*part)[0] for title, part in zip(("SFace", "dlib", "both"), (*parts, both), strict=True)
        }
        figures[name] = {**rates, "same": len(both[0]), "different": len(both[1])}
    return figures


def compare(photos: Path, pictures: Path, second: SecondRecogniser) -> dict[str, Any]:
    """How alike the pictures of a folder are to the photos of another by both recognisers."""
    known, shown = (describe_files(_files(folder), second) for folder in (photos, pictures))
    if not len(known[0]) or not len(shown[0]):
        raise SystemExit("No face was found in the photos or in the pictures.")
    near = -to_mean(known[1], shown[1])
    mean = known[0].mean(0)
    likenesses = shown[0] @ (mean / np.linalg.norm(mean))
    return {
        "pictures": len(near),
        "photos": len(known[0]),
        "SFace, mean cosine to the mean": float(likenesses.mean()),
        "dlib, mean distance to the mean": float(near.mean()),
        "dlib, within the photos' own farthest": float((near <= -to_mean(known[1], known[1]).min()).mean()),
        "each": {
            file.name: [round(float(one), 3), round(float(two), 3)]
            for file, one, two in zip(shown[2], likenesses, near, strict=True)
        },
    }


def _near(one: Array, other: Array) -> Array:
    return np.asarray(-np.linalg.norm(one[:, None] - other[None], axis=2), np.float32)


def _quantiles(values: Numbers) -> list[float]:
    return [round(float(value), 3) for value in np.quantile(values, (0.01, 0.05, 0.5, 0.95, 0.99))]


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.iterdir()) if file.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp")]


def agreement_table(figures: Mapping[str, Any]) -> str:
    """The table of what `agreement` found."""
    held = figures["held-out pictures"]
    wrong = held["equal error rate to the mean"]
    rows = [
        (_PAIRS, *(_percent(figures[one]["pairs, equal error rate"]) for one in _BY), "-"),
        (_HELD_OUT, *(_percent(wrong[one]) for one in _BY), "-"),
        (
            f"pairs of different people that dlib's {SAME:g} takes for one",
            "-",
            _percent(figures["dlib"]["different people within 0.6"]),
            "-",
        ),
        ("held-out pictures about which both say the same", "-", "-", _percent(held["both say the same"])),
        ("rank correlation of the two, one person's pictures", "-", "-", f"{held[_RANKS_OWN]:.2f}"),
        ("rank correlation of the two, strangers' pictures", "-", "-", f"{held[_RANKS_OTHER]:.2f}"),
    ]
    return _table((f"{figures['people']} people, {figures['pictures']} pictures", *_BY, "both"), rows)


def together_table(figures: Mapping[str, Any]) -> str:
    """The table of what `together` found."""
    titles = (*_BY, "both")
    said = (("pairs", _PAIRS), ("held-out pictures", _HELD_OUT))
    rows = [(words, *(_percent(figures[name][title]) for title in titles)) for name, words in said]
    return _table((f"{figures['people']} people, partly hard pictures", *_BY, "both together"), rows)


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (heading, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(heading), *lines[1:]])


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _show(figures: Mapping[str, Any], indent: str = "") -> None:
    for name, value in figures.items():
        if isinstance(value, dict):
            print(f"{indent}{name}")
            _show(value, indent + "  ")
        else:
            print(f"{indent}{name}: {value:.3f}" if isinstance(value, float) else f"{indent}{name}: {value}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agreement", action="store_true")
    parser.add_argument("--together", action="store_true")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--pictures", type=Path)
    results_file.add_option(parser)
    options = parser.parse_args()
    if not options.agreement and not options.together and not (options.photos and options.pictures):
        parser.error("give --agreement, --together, or --photos with --pictures")
    second = SecondRecogniser()
    if not options.agreement and not options.together:
        _show(compare(options.photos, options.pictures, second))
        return
    measure, table = (agreement, agreement_table) if options.agreement else (together, together_table)
    figures = measure(second)
    results_file.save("second_recogniser", figures, options.results)
    print(table(figures))


if __name__ == "__main__":
    main()
