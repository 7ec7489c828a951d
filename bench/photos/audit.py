"""Measure the audit of photos: which planted faults it finds, how many clean photos it flags, how long it takes.

    python bench/photos/audit.py --what faults           the faults that tests/helpers/pictures/planted.py plants
    python bench/photos/audit.py --what strangers        each person's set with one photo of each other person
    python bench/photos/audit.py --what writing          lines of letters of several sizes and colours, and none
    python bench/photos/audit.py --what copies           copies of every photo, which of the two is kept, and photos
                                                         that are no copies
    python bench/photos/audit.py --what tiny             writing seen where there is only a tiny face
    python bench/photos/audit.py --what time --work DIR  50 photos of 12 megapixels, the first time and again

Prints tables as they stand in docs/references.md.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import helper_folders  # noqa: E402

helper_folders.add_to_path()

import planted  # noqa: E402

from bench import results_file  # noqa: E402
from lib_lora.captions.photo_facts import AuditedPhoto  # noqa: E402
from lib_lora.character.store import Character, create, declare_consent  # noqa: E402
from lib_lora.faces.array_text import unpacked  # noqa: E402
from lib_lora.faces.array_types import Array  # noqa: E402
from lib_lora.faces.engines.opencv_engine import SFaceEngine  # noqa: E402
from lib_lora.likeness.measure import template as templates  # noqa: E402
from lib_lora.likeness.measure.calibration import against, reach  # noqa: E402
from lib_lora.likeness.measure.cohort import cohort  # noqa: E402
from lib_lora.photos.audit import finding_words  # noqa: E402
from lib_lora.photos.audit.audit import Audit  # noqa: E402
from lib_lora.photos.audit.findings import LETTERS, of_photo  # noqa: E402
from lib_lora.photos.audit.near_duplicates import SAME_COSINE, Repeated, repeated  # noqa: E402
from lib_lora.photos.audit.overlay import letters_in_a_row  # noqa: E402
from lib_lora.workflows.photos.audit_photos import audit_photos  # noqa: E402
from lib_lora.workflows.photos.measure_photos import facts, measure_photo  # noqa: E402

PEOPLE = ("mara", "ines", "clara", "lena", "tomas", "viktor")
ENGINE = SFaceEngine()


def main() -> int:
    options = _options()
    if options.what == "time":
        text = timed(options.work, options.runs)
    else:
        parts: dict[str, Callable[[], str]] = {
            "faults": faults, "strangers": strangers, "writing": writing,
            "copies": lambda: copies(options.kinds), "tiny": tiny,
        }  # fmt: skip
        text = parts[options.what]()
    print(text)
    figures = {"what": options.what, "rows": results_file.rows(text), "text": text.splitlines()}
    results_file.save("audit", figures, options.results)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", choices=("faults", "strangers", "writing", "copies", "tiny", "time"), required=True)
    parser.add_argument("--work", type=Path, help="of time: folder for the photos (200 MB)")
    parser.add_argument("--kinds", nargs="+", choices=COPIES, default=list(COPIES), metavar="KIND", help="of copies")
    parser.add_argument("--runs", type=int, default=3, help="of time: how often each is repeated (default: 3)")
    results_file.add_option(parser)
    options = parser.parse_args()
    if options.what == "time" and options.work is None:
        parser.error("--what time needs --work DIR")
    return options


def faults() -> str:
    """One row for each kind of planted fault, and one for the clean photos, alone and beside the faults."""
    found: Counter[str] = Counter()
    planted_ones: Counter[str] = Counter()
    flagged, unlike = Counter[str](), Counter[str]()  # unlike is named, because likeness is measured without it
    for number, name in enumerate(PEOPLE):
        clean = planted.portraits(name)
        with tempfile.TemporaryDirectory() as folder:
            alone = _audited(Path(folder), name, clean)
            there = [{finding_words.kind(finding.code) for finding in item.findings} for item in alone.photos]
            flagged["clean"] += sum(bool(one - {"unlike"}) for one in there)
            unlike["clean"] += sum("unlike" in one for one in there)
        with tempfile.TemporaryDirectory() as folder:
            others = planted.portraits(PEOPLE[(number + 1) % len(PEOPLE)])
            made = planted.plant(Path(folder) / "made", clean, others, first=number)
            audit = _audited(Path(folder), name, [*clean, *made])
            kinds = {
                item.photo.file: {finding_words.kind(finding.code) for finding in item.findings}
                for item in audit.photos
            }
            originals = set()
            for file, fault in made.items():
                planted_ones[fault.kind] += 1
                same = fault.kind == "copy"  # of two that show the same, the worse one is flagged
                where = kinds[file.name] | (kinds[fault.original] if same else set())
                found[fault.kind] += bool(where & ({"copy", "burst"} if same else {fault.kind}))
                originals.add(fault.original)  # what was made of it may be a copy of it too
                if not where & ({"copy", "burst"} if same else {fault.kind}):
                    print(f"missed: {file.name} of {name}, made from {fault.original}", file=sys.stderr)
            for photo in clean:
                flagged["beside"] += bool(kinds[photo.name] - {"unlike"}) and photo.name not in originals
                unlike["beside"] += "unlike" in kinds[photo.name] and photo.name not in originals
    rows = ["| fault | planted | found |", "|---|---|---|"]
    rows += [f"| {kind} | {planted_ones[kind]} | {found[kind]} |" for kind in sorted(planted_ones)]
    count = len(PEOPLE) * len(planted.portraits(PEOPLE[0]))
    rows.append(f"\nClean photos flagged: {flagged['clean']} of {count}; beside the faults: {flagged['beside']}.")
    rows.append(f"Named as unlike the others: {unlike['clean']} of {count}; beside the faults: {unlike['beside']}.")
    return "\n".join(rows)


def _audited(folder: Path, name: str, photos: list[Path]) -> Audit:
    root = folder / "data"
    made = create(root, Character(name, "xqvz", "person", declare_consent("fictional")))
    for photo in photos:
        (made.photos / photo.name).write_bytes(photo.read_bytes())
    return audit_photos(root, name, engine=ENGINE)[1]


def strangers() -> str:
    """How often one photo of another person among 24 is called a stranger, and the person's own never."""
    seen = {name: [_reference(photo, f"{name}-{photo.name}") for photo in planted.portraits(name)] for name in PEOPLE}
    hits = total = own = 0
    likenesses = []
    for name, other in itertools.permutations(PEOPLE, 2):
        for stranger in seen[other][::3]:
            template = templates.assemble(ENGINE.id, [*seen[name], stranger])
            line = reach(against(template, cohort(ENGINE.id))) or 1.0
            *mine, theirs = template.references
            total += 1
            hits += theirs.outlier and (theirs.likeness or 0.0) < line
            own += sum(item.outlier and (item.likeness or 0.0) < line for item in mine)
            likenesses.append(theirs.likeness or 0.0)
    return (
        f"{hits} of {total} strangers found (likeness {min(likenesses):.2f} to {max(likenesses):.2f}); "
        f"{own} of {total * 24} photos of the person called strangers."
    )


def _reference(photo: Path, digest: str) -> templates.Reference:
    image = planted.opened(photo)
    return replace(templates.reference(photo.name, digest, image, ENGINE.faces(image)), file=digest)


def writing() -> str:
    """How many letters are seen in pictures with a line of writing and without."""
    random = np.random.default_rng(1)
    texts = ("SAMPLE", "@lena.photo", "www.pictures.com", "© Studio 2019", "2024-05-17 14:22", "like and share!")
    clean: list[int] = []
    written: list[int] = []
    for photo in [path for name in PEOPLE for path in planted.portraits(name)]:
        image = planted.opened(photo)
        faces = ENGINE.faces(image)
        left, top, right, bottom = faces[0].box if faces else (0.0, 0.0, 0.0, 0.0)
        width = image.width
        box = (left / width, top / width, right / width, bottom / width) if faces else None
        clean.append(letters_in_a_row(image, box))
        text, size = random.choice(texts), int(random.choice((18, 24, 36, 48)))
        colour = str(random.choice(("white", "black", "#ffdd00", "#c0c0c0")))
        written.append(letters_in_a_row(planted.lettered(image, str(text), colour, size), box))
    seen = sum(count >= LETTERS for count in written)
    wrong = sum(count >= LETTERS for count in clean)
    return f"Writing seen in {seen} of {len(written)} pictures that have some, and in {wrong} of {len(clean)} without."


# What is made of a photo, and the quality at which it is saved as JPEG.
COPIES: dict[str, tuple[Callable[[Image.Image], Image.Image], int]] = {
    "grey": (lambda image: image.convert("L"), 92),
    "sepia": (lambda image: ImageOps.colorize(image.convert("L"), "#1a0f05", "#fff2dc"), 92),
    "for printing (CMYK)": (lambda image: image.convert("CMYK"), 95),
    "saved again, quality 60": (lambda image: image, 60),
    "480 pixels, quality 50": (planted.recompressed, 92),
    "256 pixels": (lambda image: image.resize((256, 256), Image.Resampling.LANCZOS), 92),
    "crop": (planted.cropped, 92),
    "crop, enlarged": (lambda image: planted.cropped(image).resize(image.size, Image.Resampling.LANCZOS), 92),
    "lighter, quality 80": (lambda image: image.point(lambda level: min(255, int(level * 1.12))), 80),
}


def copies(kinds: Sequence[str] = tuple(COPIES)) -> str:
    """How many copies of each kind are found, in how many of these the original is the one that is kept, and by how
    many times the face's share of the photo differs.

    Then which pairs of different photos are called copies or moments: as they are, and with one of the two made grey,
    or of 256 pixels.
    """
    found: Counter[tuple[str, str]] = Counter()
    mistaken: Counter[tuple[str, str]] = Counter()
    shares: dict[str, list[float]] = {kind: [] for kind in kinds}
    changed = [kind for kind in ("grey", "256 pixels") if kind in kinds]
    nearest: list[tuple[int, float]] = []  # bits and cosines of different photos that are near in either
    with tempfile.TemporaryDirectory() as folder:
        for name in PEOPLE:
            photos = planted.portraits(name)
            own = [_looked_at(photo, photo.name) for photo in photos]
            made = {kind: [_made(Path(folder), photo, kind) for photo in photos] for kind in kinds}
            for kind, copied in made.items():
                for pair in zip(own, copied, strict=True):
                    repeats = _repeats(pair)
                    areas = [seen.facts.face.area for seen, _ in pair if seen.facts.face]
                    shares[kind].append(max(areas, default=1.0) / min(areas, default=1.0))
                    found[kind, "copy"] += any(one.copy for one in repeats.values())
                    found[kind, "moment"] += any(not one.copy for one in repeats.values())
                    found[kind, "kept"] += 1 in repeats
            for title, others in (("as they are", own), *((kind, made[kind]) for kind in changed)):
                for (first, one), (second, other) in itertools.product(enumerate(own), enumerate(others)):
                    if first == second or (title == "as they are" and first > second):
                        continue
                    mistaken[title, "pairs"] += 1
                    for again in _repeats((one, other)).values():
                        mistaken[title, "copy" if again.copy else "moment"] += 1
                    bits = (int(one[0].facts.hash, 16) ^ int(other[0].facts.hash, 16)).bit_count()
                    cosine = _cosine(one, other)
                    if bits <= 4 and cosine > SAME_COSINE:
                        nearest.append((bits, round(cosine, 3)))
    count = len(PEOPLE) * len(planted.portraits(PEOPLE[0]))
    lines = ["| copy | made | called a copy | called the same moment | of both, the original is kept "
             "| its face's share: times, median (most) |", "|---|---|---|---|---|---|"]  # fmt: skip
    lines += [
        f"| {kind} | {count} | {found[kind, 'copy']} | {found[kind, 'moment']} | {found[kind, 'kept']} "
        f"| {statistics.median(shares[kind]):.2f} ({max(shares[kind]):.2f}) |"
        for kind in kinds
    ]
    lines += [
        "",
        "| one of two different photos | pairs | called a copy | called the same moment |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {title} | {mistaken[title, 'pairs']} | {mistaken[title, 'copy']} | {mistaken[title, 'moment']} |"
        for title in ("as they are", *changed)
    ]
    near = ", ".join(f"{bits} bits and {cosine}" for bits, cosine in sorted(nearest)[:12]) or "none"
    return "\n".join([*lines, "", f"Pairs within 4 bits and over {SAME_COSINE} (the nearest 12): {near}."])


Looked = tuple[AuditedPhoto, Array]


def _made(folder: Path, photo: Path, kind: str) -> Looked:
    make, quality = COPIES[kind]
    path = planted.save(make(planted.opened(photo)), folder / f"0 {photo.name}", quality)
    return _looked_at(path, f"0 {photo.name}")  # a name that comes first, as "Copy of" does


def _looked_at(photo: Path, file: str) -> Looked:
    seen = measure_photo(ENGINE, photo, "")
    return AuditedPhoto(file, "", seen.facts), unpacked(seen.reference.embedding or "")


def _cosine(one: Looked, other: Looked) -> float:
    return float(one[1] @ other[1]) if one[1].size and other[1].size else float("nan")


def _repeats(pair: tuple[Looked, Looked]) -> dict[int, Repeated]:
    cosine = _cosine(*pair)
    return repeated([one[0] for one in pair], np.array([[1.0, cosine], [cosine, 1.0]]))


def tiny() -> str:
    """How often letters are seen where a tiny face is pasted into a scene that is far out of focus."""
    rows = ["| face, pixels | pictures | writing seen by the shapes | writing reported |", "|---|---|---|---|"]
    for side in (48, 64, 96):
        seen = told = count = 0
        for photo in [path for name in PEOPLE for path in planted.portraits(name)[::4]]:
            scene = planted.landscape(planted.opened(photo))
            scene.paste(planted.opened(photo).resize((side, side), Image.Resampling.LANCZOS), (300, 300))
            shown = facts(scene, ENGINE.faces(scene))
            found = of_photo(AuditedPhoto(photo.name, "", shown), 512, None)
            seen += letters_in_a_row(scene) >= LETTERS
            told += any(finding.code == "writing" for finding in found)
            count += 1
        rows.append(f"| {side} | {count} | {seen} | {told} |")
    return "\n".join(rows)


def timed(work: Path, runs: int) -> str:
    """Medians of whole commands, the start of Python included."""
    root = work / "data"
    if not root.exists():
        _big_photos(root)
    first, again = [], []
    for _ in range(runs):
        for path in (root / "characters" / "big").glob("audit*"):
            path.unlink()
        for path in (root / "characters" / "big" / "cache").rglob("*"):
            if path.is_file():
                path.unlink()
        first.append(_command(root))
        again.append(_command(root))
    return (
        f"50 photos of 12 megapixels: {statistics.median(first):.1f} s the first time, "
        f"{statistics.median(again):.2f} s again (medians of {runs})."
    )


def _command(root: Path) -> float:
    start = time.perf_counter()
    command = [sys.executable, "-m", "lib_lora", "audit", "big", "--data", str(root)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True)
    took = time.perf_counter() - start
    # 1: it found something, as it does in photos of three people
    if done.returncode not in (0, 1) or b"Traceback" in done.stderr:
        raise RuntimeError(done.stderr.decode(errors="replace"))
    return took


def _big_photos(root: Path) -> None:
    """Portraits pasted into blurred scenes of 3000 x 4000 with the noise of a camera."""
    folder = create(root, Character("big", "xqvz", "person", declare_consent("fictional")))
    random = np.random.default_rng(0)
    photos = [path for name in PEOPLE[:3] for path in planted.portraits(name)]
    for number, photo in enumerate(photos[:50]):
        portrait = planted.opened(photo)
        scene = planted.landscape(portrait, 4000).resize((3000, 4000))
        scene.paste(portrait.resize((1500, 1500), Image.Resampling.LANCZOS), (750, 800))
        noisy = np.asarray(scene, np.int16) + random.normal(0, 5, (4000, 3000, 1)).astype(np.int16)
        planted.save(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)), folder.photos / f"IMG_{number:04}.jpg")


if __name__ == "__main__":
    raise SystemExit(main())
