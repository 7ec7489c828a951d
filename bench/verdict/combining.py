"""Measure how well `combine` finds the weight of another LoRA at which a face is lost.

    python bench/verdict/combining.py                                   simulated pictures with a known truth (a minute)
    python bench/verdict/combining.py --data DIR --lora FILE --noise 6  also on the small base model (minutes a LoRA)

Simulated: nothing is trained and nothing painted. The faces are stored embeddings of people who do not exist
(tests/data/simulated_people.npz). A "painted" face lies between one of a person's own pictures and a stranger's: at
each weight of the other LoRA by so much nearer to the stranger, with a scatter of its own that grows with the weight.
Pictures of one prompt and seed go out from the same two faces at every weight. What is judged and how is the real
thing. A false "survives" is a weight up to which the face is said to survive although the identity, measured by 400
other pictures, falls by more than 10 % there.

A few prompts break: of each picture only how much of the identity it keeps is drawn, 0.95 at weight 0; a share of the
prompts loses much at the other weight, and the others nothing, with a scatter of 0.02. The truth is known: the mean
loss is a little more than 10 %, so that every "survives" is false.

On the small base model: DIR is a data folder of `try`, whose character mara is trained and tested; each FILE is a LoRA
of somebody else for the same base model. `--noise` makes a LoRA of random numbers, as large as mara's own, and that
many times as strong.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from bench.verdict.error_rates import simulated  # noqa: E402

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
PICTURES = (12, 20, 40)
PHOTOS, PEOPLE = 20, 6
BROKEN = ((0.12, 0.9), (0.15, 0.7), (0.2, 0.55), (0.3, 0.36), (0.5, 0.21))  # share of the prompts, what each loses
SCATTER = 0.12  # standard deviation of one picture's own change at weight 1; it grows with the weight
Lost = Callable[[float], float]


def nothing(_weight: float) -> float:
    """A LoRA that leaves the face alone."""
    return 0.0


def slowly(weight: float) -> float:
    """One that moves a face by 30 % of the way to a stranger's at weight 1, and less at less."""
    return 0.3 * weight


def steeply(weight: float) -> float:
    """One that leaves it alone up to weight 0.5, and moves it by 40 % at weight 1."""
    return max(0.0, 0.8 * (weight - 0.5))


def at_once(weight: float) -> float:
    """One that moves it by 40 % at weight 0.25, and by 70 % at weight 1."""
    return 0.3 + 0.4 * weight if weight else 0.0


SETTINGS: dict[str, Lost] = {"nothing": nothing, "slowly": slowly, "steeply": steeply, "at once": at_once}


def faces(own: Any, others: Any, lost: Lost, weight: float, seeds: Sequence[int], seed: int) -> list[Any]:
    """Painted faces (unit length) of these seeds at a weight of the other LoRA."""
    made, found = simulated(), []
    for number in seeds:
        shared = np.random.default_rng([seed, number])  # the same at all weights
        one, other = own[shared.integers(len(own))], others[shared.integers(len(others))]
        start = 0.05 + abs(shared.normal(0, 0.06))
        alone = np.random.default_rng([seed, number, round(1000 * weight)])
        share = float(np.clip(start + lost(weight) + alone.normal(0, SCATTER * weight), 0, 1))
        found.append(made.blend(one, other, share).astype(np.float32))
    return found


def simulate(repeats: int) -> list[dict[str, Any]]:
    """One row for each setting and number of pictures."""
    from lib_lora.likeness.comparing.weight_curve import MOST_LOST, curve
    from lib_lora.likeness.comparing.weight_verdict import judge_curve

    made, rows = simulated(), []
    people = made.people()
    for setting, lost in SETTINGS.items():
        for count in PICTURES:
            said: list[tuple[float, float, str]] = []  # weight that survives, the highest that truly does, kind
            for person in range(PEOPLE):
                for number in range(repeats):
                    order = np.random.default_rng([person, number]).permutation(people.shape[1])
                    template = made.template_of(people[person][order[:PHOTOS]])
                    lines = made.lines_of(template)
                    rest = [one for one in range(len(people)) if one != person]
                    others = people[rest].reshape(-1, people.shape[2])
                    own, seed = people[person][order[PHOTOS:]], 1000 * person + number

                    def kept(weight: float, seeds: Sequence[int]) -> list[Any]:
                        found = faces(own, others, lost, weight, seeds, seed)  # noqa: B023 - called at once
                        return [made.picture(face, template).score for face in found]  # noqa: B023

                    means = [
                        np.mean([lines.retention_of_best(one.likeness) for one in kept(weight, range(9000, 9400))])
                        for weight in WEIGHTS
                    ]
                    true = [w for w, mean in zip(WEIGHTS, means, strict=True) if means[0] - mean <= MOST_LOST]
                    points = curve(
                        WEIGHTS,
                        [kept(weight, range(count)) for weight in WEIGHTS],
                        [f"prompt {one % 20}" for one in range(count)],
                        lines,
                    )
                    verdict = judge_curve(points, "other")
                    said.append((verdict.weight or 0.0, max(true), verdict.kind))
            rows.append(
                {
                    "setting": setting,
                    "pictures": count,
                    "curves": len(said),
                    "truth": float(np.median([true for _, true, _ in said])),
                    "false survives": sum(weight > true for weight, true, _ in said),
                    "found": sum(weight == true and kind != "cannot be told" for weight, true, kind in said),
                    "lower": sum(0 < weight < true for weight, true, _ in said),
                    "changes": sum(kind.startswith("changes") for _, _, kind in said),
                    "cannot be told": sum(kind == "cannot be told" for _, _, kind in said),
                }
            )
    return rows


def break_prompts(repeats: int) -> list[dict[str, Any]]:
    """One row for each way in which a few prompts break, and number of pictures."""
    from types import SimpleNamespace

    from lib_lora.likeness.comparing.weight_curve import PROMPTS, curve

    def score(kept: float) -> Any:
        return SimpleNamespace(counts=True, reason="", likeness=kept, face=None)

    whole: Any = SimpleNamespace(retention_of_best=float, lines=SimpleNamespace(same=-9.0))
    rows = []
    for share, loss in BROKEN:
        for count in (6, *PICTURES):
            said: list[str] = []
            for number in range(repeats):
                drawn = np.random.default_rng([number, count, round(100 * share)])
                prompts = [f"prompt {one % PROMPTS}" for one in range(count)]
                broken = drawn.random(PROMPTS) < share  # the seeds of one prompt break together
                lost = [loss * broken[one % PROMPTS] + drawn.normal(0, 0.02) for one in range(count)]
                scores = [[score(0.95)] * count, [score(0.95 - float(one)) for one in lost]]
                said.append(curve((0.0, 0.5), scores, prompts, whole)[1].kind)
            rows.append(
                {
                    "share": share,
                    "loss": loss,
                    "mean loss": round(share * loss, 4),
                    "pictures": count,
                    "curves": repeats,
                    "false survives": said.count("survives"),
                    "cannot be told": said.count("unclear"),
                    "changes": said.count("changes") + said.count("lost"),
                }
            )
    return rows


def paint(data: Path, loras: Sequence[Path], noises: Sequence[float], count: int) -> list[dict[str, Any]]:
    """One row for each LoRA: what `combine` says of it beside mara's on the small base model."""
    from lib_lora.runs.run_names import checkpoint_named, run_named
    from lib_lora.workflows.combine.combine import CombineRequest, combine

    run = run_named(data, "mara", trained=True)
    step = checkpoint_named(run, None)
    made = [
        _noise(run.checkpoint(step), data / "loras" / f"noise-{strength:g}.safetensors", strength)
        for strength in noises
    ]
    rows = []
    for lora in [*made, *loras]:
        begun = time.perf_counter()
        found = combine(run, lambda *_, **__: None, CombineRequest(lora, step, count=count)).report
        rows.append(
            {
                "lora": lora.stem,
                "points": [asdict(point) for point in found.points],
                "kind": found.verdict.kind,
                "weight": found.verdict.weight,
                "headline": found.verdict.headline,
                "because": found.verdict.because,
                "advice": found.verdict.advice,
                "seconds": round(time.perf_counter() - begun),
            }
        )
    return rows


def _noise(like: Path, path: Path, strength: float) -> Path:
    """A LoRA of random numbers with the names, sizes and spread of another one's, so many times as strong."""
    import torch
    from safetensors.torch import load_file, save_file

    random, tensors = torch.Generator().manual_seed(1), {}
    for key, tensor in load_file(like).items():
        drawn = torch.randn(tensor.shape, generator=random)
        if key.endswith("alpha"):
            tensors[key] = tensor
            continue
        drawn = drawn * tensor.float().std() * (strength if key.endswith("lora_up.weight") else 1.0)
        tensors[key] = drawn.to(tensor.dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    return path


def show_simulated(rows: Sequence[dict[str, Any]]) -> None:
    """A table as it stands in docs/likeness.md."""
    print("| moves the face | pictures | survives up to, truly | found | lower | false | cannot be told | changes |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        counts = [row[name] for name in ("found", "lower", "false survives", "cannot be told", "changes")]
        cells = [row["setting"], row["pictures"], f"{row['truth']:g}", f"{counts[0]} of {row['curves']}", *counts[1:]]
        print("| " + " | ".join(map(str, cells)) + " |")


def show_broken(rows: Sequence[dict[str, Any]]) -> None:
    """A table as it stands in docs/likeness.md."""
    print("| of the prompts | lose | mean loss | pictures | false survives | cannot be told | changes |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        cells = [f"{row['share']:.0%}", f"{row['loss']:.0%}", f"{row['mean loss']:.1%}", row["pictures"]]
        cells += [f"{row['false survives']} of {row['curves']}", row["cannot be told"], row["changes"]]
        print("| " + " | ".join(map(str, cells)) + " |")


def show_painted(rows: Sequence[dict[str, Any]]) -> None:
    """A table as it stands in docs/likeness.md."""
    from lib_lora.likeness.comparing.combined_report import KINDS, with_interval

    print("| other LoRA | weight | kept | change to weight 0 | pairs | the face |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        for one in row["points"]:
            kept = with_interval(one["retention"], one["low"], one["high"])
            change = with_interval(one["change"], one["change_low"], one["change_high"], "+")
            cells = [row["lora"], f"{one['weight']:g}", kept, change, str(one["pairs"]), KINDS[one["kind"]]]
            print("| " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10, help="curves of each person and setting (default: 10)")
    parser.add_argument("--broken", type=int, default=1000, help="curves in which a few prompts break (default: 1000)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="data folder of `try`; None = only simulated")
    parser.add_argument("--lora", type=Path, nargs="+", default=[], metavar="FILE", help="LoRAs of somebody else")
    parser.add_argument("--noise", type=float, nargs="+", default=[], metavar="N", help="strengths of random LoRAs")
    parser.add_argument("--cells", type=int, default=12, metavar="N", help="pictures at each weight (default: 12)")
    results_file.add_option(parser)
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    if options.repeats:
        figures["simulated"] = simulate(options.repeats)
        show_simulated(figures["simulated"])
    if options.broken:
        figures["broken"] = break_prompts(options.broken)
        show_broken(figures["broken"])
    if options.data:
        figures["painted"] = paint(options.data, options.lora, options.noise, options.cells)
        show_painted(figures["painted"])
    results_file.save("combining", figures, options.results)


if __name__ == "__main__":
    main()
