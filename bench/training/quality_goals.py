"""Which people reach what was wanted of a variant of `bench.training.quality`, one by one and together.

    python bench/training/quality_goals.py "named_preserve_w4s25_painted50_passes48 at 0.85" FILE ...

Each FILE is a results.jsonl of that bench. Only people who chose no setting of the training count; a person's number is
the mean over the seeds, of which each counts once. What was wanted: identity of at least 0.95 of what the base model's
VAE lets through, a leak of at most 0.05 **with every prompt**, 0.90 of the base model's words obeyed, and 0.85 of the
photos' variety (direction, mouth and background, of which the least counts).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from bench.training.quality_people import CHOOSING  # noqa: E402
from bench.training.quality_pictures import WITHOUT  # noqa: E402
from bench.training.quality_table import (  # noqa: E402
    Metric,
    Row,
    by_person,
    contrast,
    identity_of_vae,
    kept_by_second,
    leak,
    leak_in_new_words,
    leak_of,
    obeyed,
    told,
    varied,
    with_words,
    words_work,
)
from bench.training.settings_study import read_rows  # noqa: E402

IDENTITY, LEAK, OBEYED, VARIETY = 0.95, 0.05, 0.90, 0.85
VARIETIES = {"direction": varied("yaw"), "mouth": varied("smile"), "background": varied("background")}
MEANS: dict[str, Metric] = {
    "of the VAE's": identity_of_vae, "with words": with_words, "kept, dlib": kept_by_second, "obeyed": obeyed,
    "words' work": words_work, "contrast": contrast, "leak": leak, "leak in new words": leak_in_new_words,
    **{f"leak, {kind}": leak_of(kind) for kind in WITHOUT},
}  # fmt: skip


def chosen(rows: Iterable[Row], variant: str) -> list[Row]:
    """The rows of a variant, of people who chose nothing; of two of one person and seed the first."""
    found: dict[tuple[str, int], Row] = {}
    for row in rows:
        if row["variant"] == variant and row["group"] != CHOOSING and "identity" in row:
            found.setdefault((row["person"], row["seed"]), row)
    return [*found.values()]


def reached(identity: float, worst_leak: float, words: float, least_variety: float) -> dict[str, bool]:
    """Each goal by its name, and whether it is reached."""
    return {
        "identity": identity >= IDENTITY,
        "leak": worst_leak <= LEAK,
        "obeyed": words >= OBEYED,
        "variety": least_variety >= VARIETY,
    }


def table(rows: Sequence[Row], variant: str) -> str:
    """Markdown: a line for each person, then the means with their intervals over people."""
    rows = chosen(rows, variant)
    identities, leaks, words = (by_person(rows, variant, metric) for metric in (identity_of_vae, leak, obeyed))
    by_prompt = {kind: by_person(rows, variant, leak_of(kind)) for kind in WITHOUT}
    varieties = [by_person(rows, variant, metric) for metric in VARIETIES.values()]
    lines = [
        "| person | of the VAE's | leak | with the worst prompt | obeyed | least variety | reached |",
        "|---|---|---|---|---|---|---|",
    ]
    every: dict[str, int] = {}
    for person in sorted(identities):
        prompt, worst = max(((kind, by_prompt[kind][person]) for kind in WITHOUT), key=lambda one: one[1])
        least = min(found[person] for found in varieties)
        goals = reached(identities[person], worst, words[person], least)
        for name, yes in {**goals, "all": all(goals.values())}.items():
            every[name] = every.get(name, 0) + yes
        names = [name for name, yes in goals.items() if yes]
        said = "all" if all(goals.values()) else ", ".join(names) or "none"
        cells = [f"{value:.2f}" for value in (identities[person], leaks[person])]
        cells += [f"{worst:.2f} ({prompt})", f"{words[person]:.2f}", f"{least:.2f}", said]
        lines.append(f"| {person} | {' | '.join(cells)} |")
    counts = ", ".join(f"{name} {count}" for name, count in every.items())
    lines += ["", f"Of {len(identities)} people ({len(rows)} runs) reach: {counts}.", ""]
    lines += ["| number | mean (95 %) |", "|---|---|"]
    lines += [f"| {name} | {told(by_person(rows, variant, metric), True)} |" for name, metric in MEANS.items()]
    for (name, _), found in zip(VARIETIES.items(), varieties, strict=True):
        lines.append(f"| {name}, of the photos' | {told(found, True)} |")
        lines.append(f"| {name}, at most 1 for each person | {told(_at_most_1(found), True)} |")
    return "\n".join(lines)


def _at_most_1(values: Mapping[str, float]) -> dict[str, float]:
    """More variety than the photos' is no gain: pictures of somebody else vary too."""
    return {person: min(value, 1.0) for person, value in values.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variant", help="its name in the tables, with the weight when painting")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    results_file.add_option(parser)
    options = parser.parse_args()
    rows = [row for file in options.files for row in read_rows(file)]
    if not chosen(rows, options.variant):
        raise SystemExit(f"There is no run of {options.variant!r} in these files.")
    text = table(rows, options.variant)
    print(text)
    results_file.save("quality_goals", results_file.rows(text), options.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
