"""Measure how a face is invented on the small base model: which ways to a further picture keep the face, and what a
whole run brings.

    python bench/photos/invent.py --work DIR --what ways    each way, from picked faces: kept, likeness, how much is new
    python bench/photos/invent.py --work DIR --what whole   candidates, pick, more, for some faces (--faces): what is
                                                            kept, and whether a second recogniser finds strangers in it
    python bench/photos/invent.py --work DIR --what stage   the same figures of a finished folder (--root ROOT, --name
                                                            NAME)
    python bench/photos/invent.py --work DIR --what sides   how many turned heads in DIR of earlier runs would be
                                                            accepted if the limit of the likeness to the picked picture
                                                            were lower
    python bench/photos/invent.py --work DIR --what covers  how alike faces are to themselves with their eyes covered:
                                                            of the six people, and of the candidates in DIR of earlier
                                                            runs
    python bench/photos/invent.py --work DIR --what chance  how many photos of one and the same person are beyond the
                                                            nearest stranger for the second recogniser

DIR keeps every picture. Prints tables as they stand in docs/inventing.md. Seconds are those of the processor (of this
process, its threads added up), which other programs on the machine do not lengthen: two cores have 1,800 in 15 minutes.
The second recogniser is that of bench/second_recogniser.py; without its packages its columns stay empty.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from bench.spoilt_pictures import OVER_EYES, cover  # noqa: E402
from lib_lora.captions.photo_facts import FaceFacts  # noqa: E402
from lib_lora.captions.slots import TURNED, angle  # noqa: E402
from lib_lora.character.photo_files import list_photos, open_photo  # noqa: E402
from lib_lora.character.store import Character  # noqa: E402
from lib_lora.faces.array_types import Array  # noqa: E402
from lib_lora.faces.engines.opencv_engine import SFaceEngine  # noqa: E402
from lib_lora.faces.picture_descriptors import hamming, phash  # noqa: E402
from lib_lora.likeness.measure.image_similarity import surroundings, variety  # noqa: E402
from lib_lora.likeness.measure.one_face import KEPT  # noqa: E402
from lib_lora.queue.job_types import BUDGET, COUNT  # noqa: E402
from lib_lora.training.plan.training_request import TrainingRequest  # noqa: E402
from lib_lora.workflows.invent import invent, invent_more  # noqa: E402
from lib_lora.workflows.invent.coverage_plan import SIDES, next_wish  # noqa: E402
from lib_lora.workflows.invent.generation_strategies import Strategy  # noqa: E402
from lib_lora.workflows.invent.invent_paint import InventPainter, further_job  # noqa: E402
from lib_lora.workflows.invent.invent_setting import STEPS, silent  # noqa: E402
from lib_lora.workflows.invent.invent_words import line_of  # noqa: E402
from lib_lora.workflows.invent.invented_folder import InventedFolder, InventedPicture  # noqa: E402
from lib_lora.workflows.invent.mirrored_views import WAY  # noqa: E402
from lib_lora.workflows.invent.visible_face import Judge, inspect_file  # noqa: E402
from lib_lora.workflows.judge.painting.painters import painter_of  # noqa: E402
from lib_lora.workflows.photos.measure_photos import face_facts  # noqa: E402
from lib_lora.workflows.photos.new_character import NewCharacter  # noqa: E402
from lib_lora.workflows.train.prepare import plan as plan_of_base  # noqa: E402
from lib_lora.workspace.workspace import Workspace  # noqa: E402

DATA = ROOT / "tests" / "data"
BASE = DATA / "mini-face" / "mini-face.safetensors"
SIDE = 128  # pixels, of what the small base model paints
HARDLY = 0.03  # of the second recogniser's distance
SAME_PICTURE = 1e-3  # distance below which the second recogniser sees one picture twice: the picked candidate
DESCRIBE = "a woman with short red hair, 30 years old"
PICKS = ("good", "distinct")
EARLIER_CANDIDATES = 8  # as many as there were when "distinct" was measured
GOAL, EACH_SIDE = 20, 3  # kept pictures, and of these from each side, at which a set is enough (whole runs go on)
LOWER = (KEPT, 0.48, 0.45, 0.42, 0.40)  # of the way from the strangers' median to 1
STRATEGIES = (
    *(Strategy("img2img", amount) for amount in (0.3, 0.5, 0.8)),
    *(Strategy("own", amount) for amount in (0.5, 0.6, 0.7, 0.8)),
    *(Strategy("seed", amount) for amount in (0.1, 0.2, 0.3)),
    Strategy("text"),
)


def main() -> int:
    options = _options()
    if options.what == "ways":
        text = ways(options.work, options.picks, options.wishes)
    elif options.what == "whole":
        text = whole(options.work, options, range(options.first, options.first + options.faces))
    elif options.what == "sides":
        text = sides(options.work)
    elif options.what == "covers":
        text = covers(options.work)
    elif options.what == "chance":
        text = chance()
    else:
        text = stage(options.root, options.name)
    print(text)
    figures = {"what": options.what, "rows": results_file.rows(text), "text": text.splitlines()}
    results_file.save("invent", figures, options.results)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--what", choices=("ways", "whole", "stage", "sides", "covers", "chance"), default="whole")
    parser.add_argument("--picks", type=int, default=2, help="faces that the ways are tried from")
    parser.add_argument("--wishes", type=int, default=6, help="pictures of each way and face")
    parser.add_argument("--faces", type=int, default=1, help="of a whole run: how many, each of its own candidates")
    parser.add_argument("--first", type=int, default=0, help="of a whole run: number of the first face")
    parser.add_argument("--describe", default=DESCRIBE, help="of a whole run: who")
    which = "of a whole run: the candidate that invent points out is picked, or the least alike of the first eight"
    parser.add_argument("--pick", choices=PICKS, default="good", help=which)
    parser.add_argument("--budget", type=int, default=BUDGET)
    parser.add_argument("--steps", type=int, default=STEPS, help="of a whole run: sampling steps (default: 20)")
    parser.add_argument("--root", type=Path, help="data folder of a finished run")
    parser.add_argument("--name", default="nova")
    results_file.add_option(parser)
    return parser.parse_args()


def ways(work: Path, picks: int, wishes: int) -> str:
    """Every way from the candidates that are the least alike the others, with the same wishes.

    Nothing is learned from what is kept: each picture is compared with the picked face alone.
    """
    invent.candidates(work, "ways", invent.CandidatesRequest(DESCRIBE, BASE, invent_more.STRANGERS, trials=0))
    invented, engine = InventedFolder(Workspace(work).character("ways")), SFaceEngine()
    plan = invented.plan
    if plan is None:
        raise SystemExit("no plan was written")
    found = [one for one in invented.painted() if one.is_candidate]
    info, train = plan_of_base(TrainingRequest(BASE))
    shop = InventPainter(invented, plan, painter_of(None, info, train), engine, silent)
    wanted = _wishes(wishes)
    rows: dict[str, list[tuple[InventedPicture, int, float]]] = {way.name: [] for way in STRATEGIES}
    for first in _distinct(invented, found, engine)[:picks]:
        others = [inspect_file(engine, invented.path / one.file) for one in found if one.file != first.file]
        start = phash(open_photo(invented.path / first.file))
        for number, (way, wish) in enumerate(itertools.product(STRATEGIES, wanted)):
            judge = Judge(engine, invented.path / first.file, others)
            job = further_job(plan, first.number * 1000 + number % wishes, wish, way, first, invented.path, DESCRIBE)
            shop.further([job], judge, Character("ways", "wyxs", "woman"), None, "")
            one = shop.painted[-1]
            picture = open_photo(invented.path / one.file)
            faces = engine.faces(picture)
            rows[way.name].append((one, hamming(start, phash(picture)), faces[0].yaw if faces else 0.0))
        print(f"{first.file}: line {shop.painted[-1].picked_line}", file=sys.stderr, flush=True)
    lines = ["| strategy | painted | kept | near copies | median likeness | median bits of 64 changed | largest yaw |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for name, done in rows.items():
        likeness = [one.to_picked for one, _, _ in done if one.to_picked is not None]
        lines.append(
            f"| {name} | {len(done)} | {sum(one.kept for one, _, _ in done)} | "
            f"{sum(one.why == 'near copy' for one, _, _ in done)} | {statistics.median(likeness or [0]):.2f} | "
            f"{statistics.median(bits for _, bits, _ in done):.0f} | {max(abs(yaw) for _, _, yaw in done):.2f} |"
        )
    return "\n".join(lines)


def _wishes(count: int) -> list[dict[str, str]]:
    from lib_lora.workflows.invent.coverage_plan import Tried

    tried: list[Any] = []
    for _ in range(count):
        wish = next_wish(tried, COUNT)
        tried.append(Tried(wish, wish))
    return [one.asked for one in tried]


def _distinct(invented: InventedFolder, found: list[InventedPicture], engine: SFaceEngine) -> list[InventedPicture]:
    """Candidates with a clear face, the least alike any other one first."""
    alike = invent.alike_others(invented, found, partial(inspect_file, engine))
    return sorted((one for one in found if one.number in alike), key=lambda one: alike[one.number])


def least_like_the_others(
    invented: InventedFolder, found: list[InventedPicture], engine: SFaceEngine
) -> InventedPicture:
    """Of the first eight candidates, the least like the others."""
    return _distinct(invented, sorted(found, key=lambda one: one.number)[:EARLIER_CANDIDATES], engine)[0]


class _Goal:
    """Watches the pictures of one face, and notes when there were enough."""

    def __init__(self) -> None:
        self.begun, self.painted, self.reached = time.process_time(), 0, ""
        self._kept: list[InventedPicture] = []

    def __call__(self, one: InventedPicture) -> None:
        """Is told of every picture."""
        print(line_of(one, further=True), file=sys.stderr, flush=True)
        self.painted += not one.is_candidate and one.way != WAY
        self._kept += [one] if one.kept else []
        sides = [sum(other.shown.get("angle") == side for other in self._kept) for side in SIDES]
        if not self.reached and len(self._kept) >= GOAL and min(sides) >= EACH_SIDE:
            self.reached = f"{self.painted} ({time.process_time() - self.begun:.0f})"


def whole(work: Path, options: argparse.Namespace, faces: range) -> str:
    """All steps, as a user goes, for faces from other seeds: of each face's candidates one is picked."""
    lines = [
        "| face | described | candidate | processor s | s | painted | kept | ahead | left | right "
        f"| {GOAL} kept, {EACH_SIDE} from each side: painted (processor s) | likeness of pairs, mean (lowest) "
        "| second: kept to the picked, median (farthest) | strangers to it, nearest | kept beyond the nearest "
        "| strangers to each other, nearest 1 % | kept beyond these |",
        f"{'|---' * 17}|",
    ]
    texts = []
    for number in faces:
        name, begun, used = f"nova-{number}", time.perf_counter(), time.process_time()
        goal = _Goal()
        trials = 0 if options.pick == "distinct" else None
        request = invent.CandidatesRequest(
            options.describe, BASE, seed=1 + 1000 * number, steps=options.steps, trials=trials
        )
        best = invent.candidates(work, name, request).values["best"]
        if options.pick == "distinct":
            invented = InventedFolder(Workspace(work).character(name))
            there = [one for one in invented.painted() if one.is_candidate]
            best = least_like_the_others(invented, there, SFaceEngine()).number
        if best is None:
            raise SystemExit("none of the candidates is good to begin from; use --pick distinct, or another --first")
        invent.pick(work, NewCharacter(name, "nvxa", "woman", "fictional"), best)
        told = invent_more.more(work, name, invent_more.MoreRequest(budget=options.budget), each=goal)
        seconds = f"{time.process_time() - used:.0f} | {time.perf_counter() - begun:.0f}"
        row = _kept_row(work, name, goal.reached or "never")
        who = f"{name} | {options.describe} | {best}"
        lines.append(f"| {who} | {seconds} | {told.values['painted']} | {row} |")
        texts += [told.text, stage(work, name, sets=False)]
    return "\n".join([*lines, "", *texts])


def _kept_row(work: Path, name: str, reached: str) -> str:
    """What was kept of a face: views, when there were enough, likeness of pairs, what the second recogniser says."""
    invented = InventedFolder(Workspace(work).character(name))
    painted = invented.painted()
    plan = invented.plan
    if plan is None:
        raise SystemExit("no plan was written")
    first = Shown.of(invented.path / plan.picked)
    kept = [Shown.of(invented.path / one.file) for one in invented.kept(painted)]
    strangers = [Shown.of(invented.path / one.file) for one in painted if one.is_candidate and not one.why]
    views = Counter(angle(one.face) for one in kept)
    everyone = np.stack([one.embedding for one in (first, *kept)])
    pairs = (everyone @ everyone.T)[np.triu_indices(len(everyone), 1)]
    shown = [len(kept), views["ahead"], views["from the left"], views["from the right"]]
    row = [*map(str, shown), reached, f"{pairs.mean():.2f} ({pairs.min():.2f})" if len(pairs) else ""]
    if first.second is None or not kept:
        return " | ".join([*row, *[""] * 5])
    others = np.stack([one.second for one in strangers if one.second is not None])
    apart = np.linalg.norm(others[:, None] - others[None], axis=2)[np.triu_indices(len(others), 1)]
    near = np.linalg.norm(np.stack([one.second for one in kept if one.second is not None]) - first.second, axis=1)
    line = float(np.quantile(apart, 0.01))
    to_picked = np.linalg.norm(others - first.second, axis=1)
    least = float(to_picked[to_picked > SAME_PICTURE].min())
    row.append(f"{np.median(near):.2f} ({near.max():.2f})")
    for farthest in (least, line):
        row += [f"{farthest:.2f}", str(int((near >= farthest).sum()))]
    return " | ".join(row)


@dataclass(frozen=True, eq=False)
class Shown:
    """What a picture shows.

    Attributes:
        face: numbers of the face.
        embedding: of the recogniser that decides what is kept.
        second: of the second recogniser; None where its packages are not there.
    """

    face: FaceFacts
    embedding: Array
    second: Array | None

    @classmethod
    def of(cls, path: Path) -> Shown:
        picture = open_photo(path)
        face = SFaceEngine().faces(picture)[0]
        second = _second()
        large = picture.resize((4 * picture.width, 4 * picture.height), Image.Resampling.BICUBIC)
        box = tuple(4 * value for value in face.box)
        seen = None if second is None else second.describe(large, box)
        return cls(face_facts(face, picture.width, picture.height), face.embedding, seen)


@cache
def _second() -> Any:
    try:
        from bench.second_recogniser import SecondRecogniser, available
    except ModuleNotFoundError:
        return None
    return SecondRecogniser() if available() else None


def sides(work: Path) -> str:
    """How many pictures of turned heads pass both limits, where that of the picked picture is lower than it is."""
    lines = ["| face | of the way | limit | left | right | beyond the nearest stranger | farthest | nearest stranger |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for folder in sorted(work.glob("characters/*")):
        invented = InventedFolder(Workspace(work).character(folder.name))
        painted, plan = invented.painted(), invented.plan
        judged = [one for one in painted if not one.is_candidate and one.to_picked is not None]
        turned = [one for one in judged if abs(one.yaw or 0) >= TURNED]
        if plan is None or not turned:
            continue
        first = Shown.of(invented.path / plan.picked)
        if first.second is None:
            raise SystemExit("the second recogniser's packages are missing")
        shown = [Shown.of(invented.path / one.file).second for one in painted if one.is_candidate and not one.why]
        apart = np.linalg.norm(np.stack([one for one in shown if one is not None]) - first.second, axis=1)
        nearest = float(apart[apart > SAME_PICTURE].min())
        limit = statistics.mode(float(one.picked_line or 0) for one in turned)
        strangers = (limit - KEPT) / (1 - KEPT)  # their median
        alike = [one for one in turned if (one.likeness or 0) >= (one.line or 0)]
        seen = {one.file: second for one in alike if (second := Shown.of(invented.path / one.file).second) is not None}
        for share in LOWER:
            lower = strangers + share * (1 - strangers)
            passing = [one for one in alike if (one.to_picked or 0) >= lower]
            left = sum((one.yaw or 0) < 0 for one in passing)
            far = [float(np.linalg.norm(seen[one.file] - first.second)) for one in passing if one.file in seen]
            row = [folder.name, f"{share:.2f}", f"{lower:.2f}", left, len(passing) - left]
            row += [sum(one >= nearest for one in far), f"{max(far, default=0.0):.2f}", f"{nearest:.2f}"]
            lines.append(f"| {' | '.join(map(str, row))} |")
    return "\n".join(lines)


def chance(count: int = 19, seed: int = 0) -> str:
    """Each photo of each of fourteen people once as the picked picture: how many other photos of that person are as far
    from it as the nearest of `count` photos of other people, all at the small base model's size."""
    from bench.training.quality_people import CLASS_WORDS, photos_of

    second = _second()
    if second is None:
        raise SystemExit("the second recogniser's packages are missing")
    described: dict[str, Array] = {}
    for name in CLASS_WORDS:
        pictures = [open_photo(path).convert("RGB").resize((SIDE, SIDE)) for path in photos_of(name)]
        faces = [(picture, _engine().faces(picture)) for picture in pictures]
        described[name] = np.stack([second.describe(picture, found[0].box) for picture, found in faces if found])
    rng = np.random.default_rng(seed)
    lines = ["| person | pairs of photos | beyond the nearest stranger | by less than 0.03 |", "|---|---|---|---|"]
    whole = np.zeros(3, int)
    for name, own in described.items():
        others = np.concatenate([found for other, found in described.items() if other != name])
        counts = np.zeros(3, int)
        for place, picked in enumerate(own):
            strangers = others[rng.choice(len(others), count, replace=False)]
            nearest = np.linalg.norm(strangers - picked, axis=1).min()
            beyond = np.linalg.norm(np.delete(own, place, 0) - picked, axis=1) - nearest
            counts += [len(beyond), (beyond >= 0).sum(), ((beyond >= 0) & (beyond < HARDLY)).sum()]
        lines.append(f"| {name} | {' | '.join(map(str, counts))} |")
        whole += counts
    return "\n".join([*lines, f"| all | {' | '.join(map(str, whole))} |"])


def covers(work: Path) -> str:
    """How alike a face is to itself after something covered its eyes, in each of four outlines."""
    people = [one for folder in sorted((DATA / "personas").iterdir()) if folder.is_dir()
              for one in sorted(folder.glob("*.jpg"))[14:17]]  # fmt: skip
    painted = sorted(work.glob("characters/*/invented/candidates/*.png"))
    lines = ["| pictures | with covered eyes | called covered | cosine to itself, median | highest |",
             "|---|---|---|---|---|"]  # fmt: skip
    for title, files, side in (("of the six people", people, 400), ("candidates", painted, 0)):
        found: list[tuple[bool, float]] = []
        for number, file in enumerate(files):
            picture = open_photo(file)
            found += _uncovered_and_covered(picture.resize((side, side)) if side else picture, number)
        if found:
            cosines = [cosine for _, cosine in found]
            lines.append(
                f"| {title} | {len(found)} | {sum(said for said, _ in found)} | {statistics.median(cosines):.2f} | "
                f"{max(cosines):.2f} |"
            )
    return "\n".join(lines)


def _uncovered_and_covered(picture: Image.Image, number: int) -> list[tuple[bool, float]]:
    """For each outline: whether the model says that the eyes are covered, and the cosine to the face as it was."""
    engine = _engine()
    before = engine.faces(picture)[:1]
    found = []
    for place in range(len(OVER_EYES)) if before else ():
        random = np.random.default_rng([3, number, place])
        after = engine.faces(cover(picture, before[0].points, random, OVER_EYES[place]))[:1]
        found += [(face.hidden == "eyes covered", float(face.embedding @ before[0].embedding)) for face in after]
    return found


@cache
def _engine() -> SFaceEngine:
    return SFaceEngine()


def stage(root: Path, name: str, sets: bool = True) -> str:
    """Painted and kept for each way and stage, and the photos' likeness and variety.

    Args:
        root: the data folder.
        name: of the character.
        sets: the persona sets too, to compare with.
    """
    folder = Workspace(root).character(name)
    done = [one for one in InventedFolder(folder).painted() if not one.is_candidate]
    lines = ["| stage | strategy | painted | kept |", "|---|---|---|---|"]
    for key in sorted({(one.lora != "", one.way) for one in done}):
        some = [one for one in done if (one.lora != "", one.way) == key]
        lines.append(
            f"| {'with a LoRA' if key[0] else 'without'} | {key[1]} | {len(some)} | {sum(one.kept for one in some)} |"
        )
    lines += ["", "| pictures | n | mean likeness of pairs (lowest) | variety |", "|---|---|---|---|"]
    shown = [(name, list_photos(folder.photos))]
    personas = sorted((DATA / "personas").iterdir()) if sets else []
    shown += [(path.name, list_photos(path)) for path in personas if path.is_dir()]
    engine = SFaceEngine()
    lines += [_set_row(title, photos, engine) for title, photos in shown]
    return "\n".join(lines)


def _set_row(title: str, photos: list[Path], engine: SFaceEngine) -> str:
    pictures = [open_photo(photo) for photo in photos]
    faces = [engine.faces(picture)[0] for picture in pictures]
    vectors = np.stack([face.embedding for face in faces])
    pairs = (vectors @ vectors.T)[np.triu_indices(len(faces), 1)]
    around = [surroundings(picture, face.box) for picture, face in zip(pictures, faces, strict=True)]
    varied = variety([phash(picture) for picture in pictures], around)
    return f"| {title} | {len(photos)} | {pairs.mean():.2f} ({pairs.min():.2f}) | {varied:.2f} |"


if __name__ == "__main__":
    sys.exit(main())
