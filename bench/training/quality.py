"""Whether a LoRA is the person only when asked, and obeys: variants of the training, on the small base model.

    python bench/training/quality.py --work DIR                               every variant, who chooses, one seed
    python bench/training/quality.py --work DIR --people all --seeds 1 2      also who never chooses, two seeds
    python bench/training/quality.py --work DIR --variants today words_class  some variants; more can follow later
    python bench/training/quality.py --work DIR --weights 0.7 0.85            each LoRA painted at these weights too
    python bench/training/quality.py --work DIR --table                       only what DIR has so far
    python bench/training/quality.py --work DIR --pace --variants words       what the steps of variants cost, in turn

A variant is a line in `VARIANTS`: settings laid over the preset `mini-face`, and what the LoRA is trained on. 16 of a
person's 24 photos are trained on, 8 are held out and are the yardstick. Each LoRA paints the pictures of
`bench.training.quality_pictures`, the base model alone paints the same prompts and seeds;
`bench.training.quality_table` says what is made of them. DIR keeps one line for each finished run in results.jsonl;
what stands there is not trained again (delete a line to have it), so the command can be stopped and given again.
bench/results/quality has those of docs/quality.md. DIR/sheets has the pictures of each run, to look at. Runs go side by
side in processes of one thread; their seconds are the processor's, which other programs change little.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from bench.training import quality_people as people  # noqa: E402
from bench.training import quality_pictures as pictures  # noqa: E402
from bench.training.quality_people import CLASS_WORDS, GROUPS, Material, More  # noqa: E402
from bench.training.quality_pictures import ASKED, BASE, WITHOUT, WORDS, Seen, mean, plain  # noqa: E402
from bench.training.quality_table import tables  # noqa: E402
from bench.training.settings_study import RESULTS, StudyJob, add_row, alone, read_rows  # noqa: E402
from lib_lora.errors import UserError  # noqa: E402
from lib_lora.faces.array_types import Array  # noqa: E402
from lib_lora.models.families.sd1 import NARROW  # noqa: E402
from lib_lora.training.plan.presets import merged  # noqa: E402
from lib_lora.training.plan.training_request import TrainingRequest  # noqa: E402

if TYPE_CHECKING:
    from PIL import Image

    from lib_lora.training.plan.run_file import Run


@dataclass(frozen=True)
class Variant:
    """What is trained, on what, and what is laid over the trainer (`bench.training.quality_ingredients`)."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    material: Material = field(default_factory=Material)
    ingredients: Mapping[str, float] = field(default_factory=dict)


TODAY = "today"
PACE_STEPS, PACE_ROUNDS = 16, 5  # so many steps have as many turns of preservation as its share says
# output preservation: weight, and for how many of the photos it is computed, in percent
PRESERVE = {
    f"w{weight:g}s{share:g}": {
        "preservation_weight": weight,
        "preservation_share": share / 100,
        "preservation_painted": 0.0,
    }
    for weight, share in (
        (1.0, 25),
        (1.0, 100),
        (2.0, 25),
        (2.0, 12.5),
        (4.0, 25),
        (8.0, 25),
        (0.3, 25),
        (4.0, 12.5),
    )
}
HALF_PAINTED = {"preservation_painted": 0.5}  # half of it on pictures that the base model paints
PAINTED = {**PRESERVE["w1s25"], **HALF_PAINTED}
UNET_PRESERVED = {**PRESERVE["w1s25"], "te_lr": 0.0}
VECTORS = {
    1: {"trigger_vectors": 1, "vectors_lr": 1e-2},
    2: {"trigger_vectors": 2, "vectors_lr": 1e-2},
    4: {"trigger_vectors": 4, "vectors_lr": 3e-2},
}
# the identity loss: its weight, and the timestep below which it is computed
IDENTITY = {
    f"i{weight:g}t{below}": {"identity_loss_weight": weight, "identity_loss_timesteps": below}
    for weight, below in ((0.3, 300), (0.1, 700))
}
# the learning rates of the UNet's and the text encoder's adapters; the preset has 0.004 and 0.002
FASTER = {
    "te2": {"te_lr": 4e-3},
    "te3": {"te_lr": 6e-3},
    "r2": {"unet_lr": 8e-3, "te_lr": 4e-3},
}
# phrases that the captions leave out at random, so that the trigger alone is trained too
DROPPED = {"d50": {"tag_dropout": 0.5, "keep_tokens": 1}}
# preservation of phrases: for how many of the photos it is computed, in percent, and from which timestep on
PHRASES = {
    f"p{share}t{since}": {"phrase_weight": 1.0, "phrase_share": share / 100, "phrase_timesteps": since}
    for share, since in ((25, 700), (50, 700), (100, 700))
}
INGREDIENTS: dict[str, tuple[Mapping[str, Any], Mapping[str, float], More]] = {
    "ema0.98": ({"ema": 0.98}, {}, ""),
    "rslora": ({"lora": {"use_rslora": True}}, {}, ""),
    # its scale is the root of the rank, 5.66, times as large: at rates that are as much smaller
    "rslora_slow": ({"lora": {"use_rslora": True}, "unet_lr": 7.1e-4, "te_lr": 3.5e-4}, {}, ""),
    "dora": ({"lora": {"use_dora": True}}, {}, ""),
    "face4": ({"face_weight": 4.0}, {}, ""),
    "lora_plus4": ({"unet_lr": 2e-3, "te_lr": 1e-3}, {"lora_plus": 4.0}, ""),
    "text_decay1": ({}, {"text_decay": 1.0}, ""),
    "weight_noise0.1": ({}, {"weight_noise": 0.1}, ""),
    "timestep_rank0.25": ({}, {"timestep_rank": 0.25}, ""),
    "lokr8": ({}, {"lokr": 8.0}, ""),
    "lokr8_fast": ({"unet_lr": 1.6e-2, "te_lr": 8e-3}, {"lokr": 8.0}, ""),  # at four times the rates
    "mirrored": ({"passes": 28}, {}, "mirrored"),
    "cropped": ({"passes": 28}, {}, "cropped"),
    # output preservation at half of the timesteps; twice the share, so that as much is preserved
    "from500": ({"preservation_share": 0.5}, {"preserved_from": 500}, ""),
    "below500": ({"preservation_share": 0.5}, {"preserved_below": 500}, ""),
}


def _beside(settings: Mapping[str, Any], ingredients: Mapping[str, float], more: More) -> dict[str, Any]:
    """The variant with one ingredient."""
    return {
        "settings": {**PRESERVE["w1s25"], **settings},
        "material": Material("named", more=more),
        "ingredients": ingredients,
    }


LESS_OFTEN = PRESERVE["w2s12.5"] | PHRASES["p25t700"] | {"phrase_weight": 2.0}
HALF_CLASS = {"objective": {"prior_loss_weight": 0.5}}
VARIANTS: dict[str, Variant] = {
    TODAY: Variant(),
    "passes42": Variant({"passes": 42}),
    "passes48": Variant({"passes": 48}),
    "filled": Variant(material=Material("filled")),
    "words": Variant(material=Material("words")),
    "few": Variant(material=Material(thin=2)),
    "few_alike": Variant(material=Material(half="alike")),
    "few_varied": Variant(material=Material(half="varied")),
    "named_few_alike": Variant(material=Material("named", half="alike")),
    "named_few_varied": Variant(material=Material("named", half="varied")),
    # 336 steps, of which half of each batch are class pictures on the whole: as many views of a photo as 168 steps
    "class": Variant({"passes": 42}, Material(class_pictures="plain")),
    "class_half": Variant({"passes": 42, **HALF_CLASS}, Material(class_pictures="plain")),
    "words_class_half": Variant({"passes": 42, **HALF_CLASS}, Material("words", class_pictures="worded")),
    "preserve_w1s25": Variant(PRESERVE["w1s25"]),
    "preserve_w1s100": Variant(PRESERVE["w1s100"]),
    "words_preserve_w1s25": Variant(PRESERVE["w1s25"], Material("words")),
    "named": Variant(material=Material("named")),
    **{f"named_preserve_{name}": Variant(settings, Material("named")) for name, settings in PRESERVE.items()},
    **{
        f"named_preserve_{name}_painted50": Variant({**PRESERVE[name], **HALF_PAINTED}, Material("named"))
        for name in ("w1s25", "w4s25", "w4s12.5")
    },
    # 168 and 192 steps instead of 224
    **{
        f"named_preserve_w4s25_painted50_passes{passes}": Variant(
            {**PRESERVE["w4s25"], **HALF_PAINTED, "passes": passes}, Material("named")
        )
        for passes in (42, 48)
    },
    # stronger in both, to be painted at less than 1
    **{
        f"named_preserve_{name}_painted50_passes48{more}": Variant(
            {**PRESERVE[name], **HALF_PAINTED, "passes": 48, **(FASTER[more[1:]] if more else {})}, Material("named")
        )
        for name, more in (("w8s25", ""), ("w4s25", "_te2"), ("w8s25", "_te2"), ("w4s25", "_r2"))
    },
    "named_preserve_w4s12.5_painted50_mirrored": Variant(
        {**PRESERVE["w4s12.5"], **HALF_PAINTED, "passes": 28}, Material("named", more="mirrored")
    ),
    "named_preserve_w1s25_painted100": Variant({**PAINTED, "preservation_painted": 1.0}, Material("named")),
    "unet_named_preserve_w1s25_v2_painted50": Variant(UNET_PRESERVED | VECTORS[2] | PAINTED, Material("named")),
    "unet_words_preserve_w1s25_v2_painted50": Variant(UNET_PRESERVED | VECTORS[2] | PAINTED, Material("words")),
    # the same in 192 steps, with once and twice the weight
    **{
        f"unet_words_preserve_{name}_v2_painted50_passes48": Variant(
            UNET_PRESERVED | PRESERVE[name] | VECTORS[2] | HALF_PAINTED | {"passes": 48}, Material("words")
        )
        for name in ("w1s25", "w2s25")
    },
    "filled_preserve_w1s25": Variant(PRESERVE["w1s25"], Material("filled")),
    "taught_preserve_w1s25": Variant(PRESERVE["w1s25"], Material("taught")),
    # whose face a prediction would show is part of the loss, from half of the training on
    **{
        f"words_preserve_w1s25_{name}": Variant(PRESERVE["w1s25"] | more, Material("words"))
        for name, more in IDENTITY.items()
    },
    "named_preserve_w1s25_i0.1t700": Variant(PRESERVE["w1s25"] | IDENTITY["i0.1t700"], Material("named")),
    **{
        f"words_preserve_w1s25_{name}": Variant(PRESERVE["w1s25"] | more, Material("words"))
        for name, more in (FASTER | DROPPED).items()
    },
    "words_preserve_w1s25_d50r2": Variant(PRESERVE["w1s25"] | DROPPED["d50"] | FASTER["r2"], Material("words")),
    # without the text encoder's adapters: CLIP's words see the trigger before them, so these can change their meaning
    "unet_preserve_w1s25": Variant(UNET_PRESERVED),
    "words_unet_preserve_w1s25": Variant(UNET_PRESERVED, Material("words")),
    # the trigger with vectors of its own, their number and learning rate
    "unet_named_preserve_w1s25_v4r0.03": Variant(UNET_PRESERVED | VECTORS[4], Material("named")),
    "unet_named_preserve_w1s25_v2": Variant(UNET_PRESERVED | VECTORS[2], Material("named")),
    "unet_words_preserve_w1s25_v1": Variant(UNET_PRESERVED | VECTORS[1], Material("words")),
    "unet_words_preserve_w1s25_v2": Variant(UNET_PRESERVED | VECTORS[2], Material("words")),
    "unet_words_preserve_w4s25_v2": Variant(UNET_PRESERVED | PRESERVE["w4s25"] | VECTORS[2], Material("words")),
    "preserve_w1s25_p50t700": Variant(PRESERVE["w1s25"] | PHRASES["p50t700"]),
    # half as often and twice as much: the same in the mean, in less time
    "preserve_w2s12.5_w2p25t700": Variant(LESS_OFTEN),
    "preserve_w1s100_p50t700": Variant(PRESERVE["w1s100"] | PHRASES["p50t700"]),
    "preserve_w1s25_p50t700_mirrored": Variant(
        PRESERVE["w1s25"] | PHRASES["p50t700"] | {"passes": 28}, Material(more="mirrored")
    ),
    # four times the weight, and the face weighs more, so that less of the rest is learned with it
    "preserve_w4s25_p50t700_face4_mirrored": Variant(
        PRESERVE["w4s25"] | PHRASES["p50t700"] | {"face_weight": 4.0, "passes": 28}, Material(more="mirrored")
    ),
    # the trigger with vectors of its own, beside adapters in the text encoder
    "words_preserve_w1s25_v2": Variant(PRESERVE["w1s25"] | VECTORS[2], Material("words")),
    "unet_preserve_w1s25_v2_p50t700": Variant(UNET_PRESERVED | VECTORS[2] | PHRASES["p50t700"]),
    "unet_named_preserve_w1s25_v2_p50t700": Variant(
        UNET_PRESERVED | VECTORS[2] | PHRASES["p50t700"], Material("named")
    ),
    "unet_words_preserve_w1s12.5_v2_p100t700": Variant(
        UNET_PRESERVED | {"preservation_share": 0.125} | VECTORS[2] | PHRASES["p100t700"], Material("words")
    ),
    # with half of the phrases left out, the plain prompt is trained too
    "unet_named_preserve_w1s25_v2_p50t700_d50": Variant(
        UNET_PRESERVED | VECTORS[2] | PHRASES["p50t700"] | DROPPED["d50"], Material("named")
    ),
    # one ingredient each, beside `named_preserve_w1s25`
    **{f"named_preserve_w1s25_{name}": Variant(**_beside(*what)) for name, what in INGREDIENTS.items()},
}


@dataclass(frozen=True)
class QualityFolders:
    """Where things are, and how pictures are painted; `weights` of the LoRA, 1 = as trained."""

    work: Path
    unseen: Path
    sampling: int
    weights: Sequence[float] = (1.0,)


@dataclass(frozen=True, eq=False)
class QualityYardstick:
    """What a person's pictures are measured with; the same for every variant and seed.

    Attributes:
        template: SFace's, of the held-out photos.
        line: a cosine that only one in a hundred of the base model's pictures passes.
        second: dlib's mean of the held-out photos; None where it is not installed.
        base: the base model's pictures, by kind.
        row: what stands in each line of results: ceilings and the base's own numbers.
    """

    template: Array
    line: float
    second: Array | None
    base: Mapping[str, Sequence[Seen | None]]
    row: Mapping[str, Any]


def main() -> int:
    options = _options()
    if options.pace:
        os.environ["OMP_NUM_THREADS"] = "1"
        found = paces(dict.fromkeys([TODAY, *options.variants]), options.people[0], options)
        print(pace_table(found))
        results_file.save("quality_pace", found, options.results)
        return 0
    failed = 0 if options.table else measure(options)
    rows = [row for row in read_rows(options.work / RESULTS) if trained_as(row["variant"]) in VARIANTS]
    print(tables(rows, names_in(rows), TODAY))
    results_file.save("quality", rows, options.results)
    return 1 if failed else 0


def _options(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the results")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="VARIANT")
    parser.add_argument(
        "--people", nargs="+", choices=["all", *CLASS_WORDS], default=[*GROUPS[people.CHOOSING]], metavar="PERSON"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--unseen", type=Path, default=people.UNSEEN, help="folder of tools/unseen_people.py --photos")
    parser.add_argument("--sampling", type=int, default=8, help="steps of painting")
    parser.add_argument("--weights", nargs="+", type=float, default=[], help="of the LoRA, beside 1")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument(
        "--pace",
        action="store_true",
        help="only measure what steps cost",
    )
    parser.add_argument("--table", action="store_true", help="train nothing, print what is there")
    results_file.add_option(parser)
    options = parser.parse_args(words)
    if "all" in options.people:
        options.people = [*GROUPS[people.CHOOSING], *GROUPS[people.NEVER]]
    return options


def planned(options: argparse.Namespace, rows: Iterable[Mapping[str, Any]]) -> list[StudyJob]:
    """The jobs that have no row yet: seed by seed, variant by variant, so that what was begun first is whole first."""
    done = [*rows]
    jobs = [StudyJob(v, p, s) for s in options.seeds for v in options.variants for p in options.people]
    return [job for job in jobs if missing_weights(job, (1.0, *options.weights), done)]


def painted_at(variant: str, weight: float) -> str:
    """What the tables call a variant whose LoRA is painted at a weight; as it is trained, its own name."""
    return variant if weight == 1 else f"{variant} at {weight:g}"


def trained_as(name: str) -> str:
    """The variant that `painted_at` names."""
    return name.partition(" at ")[0]


def names_in(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The variants, each followed by the weights that there are rows of, the highest first."""
    weights = {row["variant"]: row.get("weight", 1.0) for row in rows}
    painted = sorted(weights, key=lambda name: -weights[name])
    return [one for name in VARIANTS for one in painted if trained_as(one) == name]


def missing_weights(job: StudyJob, weights: Iterable[float], rows: Iterable[Mapping[str, Any]]) -> list[float]:
    """The weights at which a job's LoRA has no row yet."""
    done = {row["variant"] for row in rows if (row["person"], row["seed"]) == (job.person, job.seed)}
    return [weight for weight in dict.fromkeys(weights) if painted_at(job.variant, weight) not in done]


# Training and measuring


def measure(options: argparse.Namespace) -> int:
    """Do what is not done yet; returns how many runs failed otherwise than by their settings."""
    from lib_lora.runs.run_lock import only_process

    options.work.mkdir(parents=True, exist_ok=True)
    place = QualityFolders(options.work, options.unseen, options.sampling, (1.0, *options.weights))
    with only_process(options.work, "wait for it, or name another --work"):
        jobs = planned(options, read_rows(options.work / RESULTS))
        for left in options.work.glob("data/*/characters/*/runs"):
            shutil.rmtree(left)  # of runs that were stopped; finished ones leave nothing but their row
        os.environ["OMP_NUM_THREADS"] = "1"  # read by the workers when they load their libraries
        with ProcessPoolExecutor(options.jobs, get_context("spawn"), alone) as pool:
            try:
                return _spread(pool, jobs, place)
            except KeyboardInterrupt:
                os._exit(130)  # the pool would first do what it has taken in; the workers end with this process


def _spread(pool: ProcessPoolExecutor, jobs: Sequence[StudyJob], place: QualityFolders) -> int:
    """Give the jobs to the workers, and write each down as it is finished."""
    words = dict.fromkeys(CLASS_WORDS[job.person] for job in jobs)
    kinds = dict.fromkeys(
        (VARIANTS[job.variant].material.class_pictures, CLASS_WORDS[job.person])
        for job in jobs
        if VARIANTS[job.variant].material.class_pictures
    )
    first: list[Future[None]] = [pool.submit(_paint_base, place, word) for word in words]
    first += [pool.submit(people.paint_class, place.work, *kind) for kind in kinds]
    made = {
        (job.person, people.root_of(place.work, VARIANTS[job.variant].material)): VARIANTS[job.variant].material
        for job in jobs
    }
    first += [pool.submit(_take_in, person, material, place) for (person, _), material in made.items()]
    for one in first:
        one.result()
    ready = {person: pool.submit(yardstick, person, place) for person in dict.fromkeys(job.person for job in jobs)}
    yards = {person: future.result() for person, future in ready.items()}
    rows, waiting, failed = read_rows(place.work / RESULTS), {}, 0
    for job in jobs:
        left = replace(place, weights=missing_weights(job, place.weights, rows))
        waiting[pool.submit(judged, job, left, yards[job.person])] = job
    for number, future in enumerate(as_completed(waiting), 1):
        job = waiting[future]
        if error := future.exception():
            failed += 1
            said = f"failed: {error!r}"
        else:
            for row in future.result():
                add_row(place.work / RESULTS, row)
            said = future.result()[-1].get("error") or f"{future.result()[0]['seconds']:.0f} s"
        name = f"{job.variant}, {job.person}, seed {job.seed}"
        print(f"{number} of {len(jobs)}: {name}: {said}", file=sys.stderr, flush=True)
    return failed


def _paint_base(place: QualityFolders, class_word: str) -> None:
    """Paint what the base model paints, so that no two processes do it at once."""
    pictures.paint_base(pictures.questions(class_word, class_word), place.sampling, place.work / "base")


def _take_in(person: str, material: Material, place: QualityFolders) -> None:
    people.take_in(person, material, place.work, place.unseen)


def yardstick(person: str, place: QualityFolders) -> QualityYardstick:
    """Measure a person's held-out photos, and what the base model alone paints."""
    from lib_lora.likeness.measure import template as templates
    from lib_lora.likeness.measure.vae_ceiling import ceiling_of, scores_of
    from lib_lora.models.vae import reconstruct

    asked = pictures.questions(CLASS_WORDS[person], CLASS_WORDS[person])
    painted = pictures.paint_base(asked, place.sampling, place.work / "base")
    found = [pictures.look(one) for one in painted]
    base = by_kind(asked, found)
    photos = people.photos_of(person, place.unseen)
    trained, held_out = people.shared_out(photos)
    template = templates.build(pictures.engine(), held_out)
    vae = pictures.painter().vae
    sizes = [one.px for one in found if one is not None]
    top = ceiling_of(pictures.engine(), template, held_out, sizes, lambda image: reconstruct(vae, image))
    others = [one for one in (pictures.look(pictures.photo_of_side(path)) for path in held_out) if one is not None]
    described = [one.second for one in others if one.second is not None]
    line = float(np.nanquantile(pictures.scores(found, template.array), 0.99))
    shown = [pictures.look(pictures.photo_of_side(path)) for path in trained]
    row = {
        "ceiling": mean(template.loo), "vae": mean(scores_of(top)), "line": plain(line),
        "vae_recognised": int((scores_of(top) > line).sum()), "vae_of": len(top),
        "second_ceiling": mean(apart_from_others(described)) if len(described) > 1 else None,
        "photos_varied": {name: plain(value) for name, value in pictures.spreads(shown).items()},
        "photos_colours": pictures.colours([pictures.photo_of_side(path) for path in trained]),
        "base_colours": pictures.colours(of_plain_prompt(asked, painted)),
    }  # fmt: skip
    return QualityYardstick(template.array, line, np.mean(described, axis=0) if described else None, base, row)


def apart_from_others(vectors: Sequence[Array]) -> list[float]:
    """The negative distance of each vector to the mean of the others; at least two vectors."""
    total = np.sum(vectors, axis=0)
    return [-float(np.linalg.norm(one - (total - one) / (len(vectors) - 1))) for one in vectors]


def by_kind(asked: Sequence[pictures.Question], found: Sequence[Seen | None]) -> dict[str, list[Seen | None]]:
    """What was seen in the pictures of each kind of question."""
    kinds: dict[str, list[Seen | None]] = {}
    for one, seen in zip(asked, found, strict=True):
        kinds.setdefault(one.kind, []).append(seen)
    return kinds


def of_plain_prompt(asked: Sequence[pictures.Question], painted: Sequence[Image.Image]) -> list[Image.Image]:
    """The pictures of the plain prompt."""
    return [picture for one, picture in zip(asked, painted, strict=True) if one.kind == ASKED]


def judged(job: StudyJob, place: QualityFolders, yard: QualityYardstick) -> list[dict[str, Any]]:
    """Train one run and judge its LoRA at each weight; the rows of the results. Those of a run that its settings broke
    say so."""
    from bench.training.quality_ingredients import laid_over, painted_anew
    from lib_lora.training.loop import train

    variant, notes = VARIANTS[job.variant], []
    row: dict[str, Any] = {**asdict(job), "group": people.group_of(job.person), **asdict(variant.material)}
    row |= {"settings": variant.settings, "ingredients": variant.ingredients, "sampling": place.sampling}
    row["painted in"] = str(pictures.painter().autocast or "float32").removeprefix("torch.")

    def emit(kind: str, **fields: Any) -> None:
        if kind == "warning":
            notes.append(str(fields["text"]))

    run, found = None, []
    left = list(place.weights)
    try:
        run = new_run(job, place)
        _forget_peak()
        processor, clock = time.process_time(), time.perf_counter()
        with laid_over(variant.ingredients), painted_anew():
            lora = train(run, emit)
        row |= {"seconds": round(time.process_time() - processor, 2), "wall": round(time.perf_counter() - clock, 2)}
        row |= {"peak": peak(), "photos": sum(not one.prior for one in run.file.photos), "bytes": lora.stat().st_size}
        while left:
            found.append({**row, **_painted(job, place, yard, lora, left[0]), "notes": notes})
            del left[0]
    except UserError as error:
        said = {"error": str(error), "notes": notes}
        found += [{**row, "variant": painted_at(job.variant, one), "weight": one, **said} for one in left]
    if run:
        shutil.rmtree(run.folder)
    return found


def _painted(job: StudyJob, place: QualityFolders, yard: QualityYardstick, lora: Path, weight: float) -> dict[str, Any]:
    """What the pictures of a LoRA at one weight show, and what that cost."""
    processor, name = time.process_time(), painted_at(job.variant, weight)
    who = f"{people.trigger_of(job.person)} {CLASS_WORDS[job.person]}"
    asked = pictures.questions(who, CLASS_WORDS[job.person])
    painted = pictures.paint(asked, place.sampling, lora, weight=weight)
    sheet = f"{name.replace(' ', '-')}-{job.person}-{job.seed}.png"
    pictures.keep_sheet(painted, place.work / "sheets" / sheet)
    shown = figures(by_kind(asked, [pictures.look(one) for one in painted]), yard)
    shown["colours"] = pictures.colours(of_plain_prompt(asked, painted))
    seconds = round(time.process_time() - processor, 2)
    return {"variant": name, "weight": weight, **yard.row, **shown, "judging": seconds}


def paces(variants: Iterable[str], person: str, options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of the same steps of each variant, taken in turn, so that whatever else the machine does meets all.

    Returns:
        By variant the seconds of `PACE_STEPS` steps in each round; a first one that warms up is left out.
    """
    from bench.training.quality_ingredients import laid_over
    from lib_lora.training import loop

    place = QualityFolders(options.work, options.unseen, options.sampling)
    sessions: dict[str, Any] = {}
    found: dict[str, list[float]] = {name: [] for name in variants}
    for name in found:
        material = VARIANTS[name].material
        if not (people.root_of(place.work, material) / "characters" / person).exists():
            people.take_in(person, material, place.work, place.unseen)
        if material.class_pictures:
            people.paint_class(place.work, material.class_pictures, CLASS_WORDS[person])
        run = new_run(StudyJob(name, person, 1), place, {"identity_loss_from": 0.0})
        with laid_over(VARIANTS[name].ingredients):
            sessions[name] = loop.open_session(run, lambda *_, **__: None)  # type: ignore[attr-defined]
    for number in range(1 + PACE_ROUNDS):
        for name, session in sessions.items():
            with laid_over(VARIANTS[name].ingredients):
                seconds = loop.rehearse(session, range(PACE_STEPS), lambda _: None)
            if number:
                found[name].append(round(sum(seconds), 3))
    for session in sessions.values():
        shutil.rmtree(session.run.folder)
    return found


def pace_table(found: Mapping[str, Sequence[float]]) -> str:
    """How many times as long each variant's steps take as today's, in Markdown: the median of the rounds."""
    lines = ["| variant | seconds (x) | least, most |", "|---|---|---|"]
    for name, rounds in found.items():
        ratios = [one / other for one, other in zip(rounds, found[TODAY], strict=True)]
        lines.append(f"| {name} | {statistics.median(ratios):.2f} | {min(ratios):.2f}, {max(ratios):.2f} |")
    return "\n".join(lines)


def new_run(job: StudyJob, place: QualityFolders, more: Mapping[str, Any] | None = None) -> Run:
    """The run of a job, not trained yet: only its last step is kept, unless `more` settings say otherwise, and no
    sample pictures are painted.
    """
    from lib_lora.workflows.train.prepare import start_run

    variant = VARIANTS[job.variant]
    own = people.overrides_of(variant.material, job.person, place.work)
    fixed = {"seed": job.seed, "save_every": 100_000, "samples": 0, "keep_states": 1}
    overrides = merged(merged(dict(variant.settings), dict(own)), {**fixed, **(more or {})})
    request = TrainingRequest(BASE, NARROW, overrides, few=True)
    return start_run(people.root_of(place.work, variant.material), job.person, request)


def figures(found: Mapping[str, Sequence[Seen | None]], yard: QualityYardstick) -> dict[str, Any]:
    """What a LoRA's pictures show, each number beside the base model's for the same prompts and seeds.

    Returns:
        "identity" and "without" (by kind of prompt): cosines `ours` and `base`, dlib's `second` and `second_base`, how
        many of `of` are recognised; "words": cosine of the pictures with words; "obeyed": by word the shares that do
        what is asked, and that do it unasked; "contrast": by pair of opposite words the difference that they make;
        "varied": spreads.
    """
    said = [one for word in WORDS for one in found[word]]
    return {
        "identity": _likeness(found[ASKED], yard.base[ASKED], yard),
        "words": mean(pictures.scores(said, yard.template)),
        "without": {kind: _likeness(found[kind], yard.base[kind], yard) for kind in WITHOUT},
        "obeyed": {
            word: {
                "ours": pictures.obeyed(found[word], word), "base": pictures.obeyed(yard.base[word], word),
                "unasked": pictures.obeyed(found[ASKED], word), "base_unasked": pictures.obeyed(yard.base[ASKED], word),
            }
            for word in WORDS
        },
        "contrast": _contrast(found, yard),
        "varied": {name: plain(value) for name, value in pictures.spreads(found[ASKED]).items()},
        "base_varied": {name: plain(value) for name, value in pictures.spreads(yard.base[ASKED]).items()},
    }  # fmt: skip


def _contrast(found: Mapping[str, Sequence[Seen | None]], yard: QualityYardstick) -> dict[str, float | None]:
    shares = pictures.effects(pictures.answers(found), pictures.answers(yard.base))
    return {name: plain(value) for name, value in shares.items()}


def _likeness(ours: Sequence[Seen | None], base: Sequence[Seen | None], yard: QualityYardstick) -> dict[str, Any]:
    one, other = (pictures.scores(some, yard.template) for some in (ours, base))
    found = {
        "ours": mean(one), "base": mean(other), "faces": sum(seen is not None for seen in ours), "of": len(ours),
        "recognised": int((one > yard.line).sum()), "base_recognised": int((other > yard.line).sum()),
    }  # fmt: skip
    if yard.second is not None:
        found["second"] = mean(pictures.second_scores(ours, yard.second))
        found["second_base"] = mean(pictures.second_scores(base, yard.second))
    return found


def _forget_peak() -> None:
    """Let the kernel count the process's peak memory anew, where it can (Linux)."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak() -> int | None:
    """Bytes of memory that the process held at most since `_forget_peak`; None where that cannot be known."""
    if sys.platform != "linux":
        return None
    known = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(known[1]) * 1024 if known else None


if __name__ == "__main__":
    sys.exit(main())
