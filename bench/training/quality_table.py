"""What `bench.training.quality` makes of its lines of results: shares, intervals over people, Markdown tables. Pure
functions.

Units, so that numbers of different people can be put together:

identity     mean cosine to the held-out photos, as a share of what these reach among themselves (leave one out), or
             of what they reach after the base model's VAE, through which every picture has come
kept         the same between two marks: 0 = the base's own strangers for the same prompts and seeds, 1 = the photos
leak         mean cosine of pictures without the trigger less the base's own for the same prompts and seeds; 0 = none;
             "in new words": of the prompts that output preservation does not train with (`UNTRAINED`)
with words   identity of the pictures whose prompt has a word, as a share of what the photos reach after the VAE: what
             is obeyed is worth nothing in a picture of somebody else. Turned heads have less of it in any case
recognised   pictures more like the person than 99 of 100 that the base paints
obeyed       share of the pictures with a word that do what it asks, by that of the base
words' work  how many more do so than of the pictures without the word, by the same of the base: a LoRA that always
             paints the same picture is obeyed by some words all the same, and has 0 here
contrast     the difference that two opposite words make in what they ask for, as a share of the base's, from 0 to 1;
             the mean of four pairs
spreads      of pictures of one prompt: direction, mouth (distances of the eyes), background (levels), 1 - mean cosine
learned      how far the mean colour of the plain prompt's pictures lies on the way from the base's own to that of the
             photos that were trained on: 0 = not learned with the face, 1 = as in the photos

not beaten   no other variant is at least as good in leak, identity, identity with words and obedience, by the people
             that both have

All but `tables` take lines of runs that were finished. A person's number is the mean over the training's seeds;
intervals are Student's over people.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from bench.training.quality_pictures import PAIRS
from bench.training.settings_study import interval
from lib_lora.likeness.measure.intervals import Interval

Row = Mapping[str, Any]
Metric = Callable[[Row], "float | None"]
FRONT_PEOPLE = 3  # of fewer, chance decides which variant is better
UNTRAINED = ("other words", "another name")  # the other prompts are captions of `plan.preserved_captions`
NEARLY = 10.0  # distance of two colours in CIE L*a*b*; below it there is no way to speak of
PLACES = ("background", "clothes")
SPREADS = ("yaw", "smile", "background", "faces")


def share(value: float | None, zero: float | None, one: float | None) -> float | None:
    """Where a value lies between two marks; None where one is unknown or they are the same."""
    if value is None or zero is None or one is None or one == zero:
        return None
    return (value - zero) / (one - zero)


def identity(row: Row) -> float | None:
    """See the module."""
    return share(row["identity"]["ours"], 0.0, row["ceiling"])


def identity_of_vae(row: Row) -> float | None:
    """The same as a share of what the held-out photos reach after the base model's VAE."""
    return share(row["identity"]["ours"], 0.0, row["vae"])


def with_words(row: Row) -> float | None:
    """See the module."""
    return share(row.get("words"), 0.0, row["vae"])


def kept(row: Row) -> float | None:
    """See the module."""
    return share(row["identity"]["ours"], row["identity"]["base"], row["ceiling"])


def kept_by_second(row: Row) -> float | None:
    """`kept` by dlib's distances."""
    found = row["identity"]
    return share(found.get("second"), found.get("second_base"), row.get("second_ceiling"))


def _over_kinds(row: Row, of: Metric, kinds: Collection[str] | None = None) -> float | None:
    some = [found for kind, found in row["without"].items() if kinds is None or kind in kinds]
    known = [value for value in map(of, some) if value is not None]
    return statistics.fmean(known) if known else None


def _above_base(found: Row) -> float | None:
    return None if found["ours"] is None or found["base"] is None else float(found["ours"] - found["base"])


def leak(row: Row) -> float | None:
    """Mean over all kinds of prompt without the trigger."""
    return _over_kinds(row, _above_base)


def leak_of(kind: str) -> Metric:
    """Of one kind of prompt without the trigger."""
    return lambda row: _above_base(row["without"][kind])


def leak_in_new_words(row: Row) -> float | None:
    """Mean over the prompts without the trigger that output preservation does not train with."""
    return _over_kinds(row, _above_base, UNTRAINED)


def leak_by_second(row: Row) -> float | None:
    """By dlib, as a share of the way from the base's strangers to the photos."""
    return _over_kinds(
        row, lambda found: share(found.get("second"), found.get("second_base"), row.get("second_ceiling"))
    )


def obeyed(row: Row) -> float | None:
    """See the module."""
    base = sum(found["base"] for found in row["obeyed"].values())
    return sum(found["ours"] for found in row["obeyed"].values()) / base if base else None


def words_work(row: Row) -> float | None:
    """See the module."""
    base = sum(found["base"] - found["base_unasked"] for found in row["obeyed"].values())
    ours = sum(found["ours"] - found["unasked"] for found in row["obeyed"].values())
    return ours / base if base else None


def contrast(row: Row) -> float | None:
    """See the module; None where a pair has no picture with a face, or where it was not measured."""
    found = row.get("contrast", {})
    return statistics.fmean(found.values()) if len(found) == len(PAIRS) else None


def spread_of(name: str, of: str = "varied") -> Metric:
    """A spread of the LoRA's pictures; of "photos_varied" or "base_varied" those of the photos and the base."""
    return lambda row: row[of].get(name)


def learned(place: str) -> Metric:
    """See the module; of the "background" or the "clothes". None where the photos' colour is nearly the base's."""

    def share_of_way(row: Row) -> float | None:
        if "colours" not in row:
            return None
        ours, base, photos = (row[name][place] for name in ("colours", "base_colours", "photos_colours"))
        way = [one - other for one, other in zip(photos, base, strict=True)]
        gone = sum(one * (mine - other) for one, mine, other in zip(way, ours, base, strict=True))
        length = math.hypot(*way)
        return gone / length**2 if length >= NEARLY else None

    return share_of_way


def by_person(rows: Iterable[Row], variant: str, metric: Metric) -> dict[str, float]:
    """The mean over the seeds of each person of whom it is known."""
    found: dict[str, list[float]] = {}
    for row in rows:
        value = metric(row) if row["variant"] == variant else None
        if value is not None:
            found.setdefault(row["person"], []).append(value)
    return {person: statistics.fmean(values) for person, values in found.items()}


def apart(rows: Sequence[Row], variant: str, plain: str, metric: Metric) -> dict[str, float]:
    """By person, the mean difference to the plain variant over the seeds that both have."""
    found: dict[str, list[float]] = {}
    known = {(row["variant"], row["person"], row["seed"]): metric(row) for row in rows}
    for (which, person, seed), value in known.items():
        other = known.get((plain, person, seed))
        if which == variant and value is not None and other is not None:
            found.setdefault(person, []).append(value - other)
    return {person: statistics.fmean(values) for person, values in found.items()}


def cost(rows: Sequence[Row], variant: str, plain: str) -> tuple[float | None, float | None, float | None]:
    """Processor seconds of the training by those of the plain variant (mean over the same person and seed), the most
    memory in bytes, and the size of the file in bytes; None where it is not known."""
    seconds = {(row["variant"], row["person"], row["seed"]): row["seconds"] for row in rows if row["seconds"]}
    ratios = [value / seconds[plain, person, seed] for (which, person, seed), value in seconds.items()
              if which == variant and (plain, person, seed) in seconds]  # fmt: skip
    mine = [row for row in rows if row["variant"] == variant]
    peaks = [row["peak"] for row in mine if row["peak"]]
    return (statistics.fmean(ratios) if ratios else None, max(peaks, default=None),
            max((row["bytes"] for row in mine), default=None))  # fmt: skip


# Markdown


def tables(rows: Sequence[Row], variants: Sequence[str], plain: str) -> str:
    """All tables: for each group of people, for all, and against the plain variant."""
    whole = [row for row in rows if "identity" in row]
    known = [name for name in variants if any(row["variant"] == name for row in whole)]
    groups = dict.fromkeys(row["group"] for row in whole)
    text = []
    for group in [*groups, *(["all people"] if len(groups) > 1 else [])]:
        some = [row for row in whole if group in (row["group"], "all people")]
        text += [f"{group}: {', '.join(sorted({row['person'] for row in some}))}", ""]
        for make in (_likeness, _words, _spreads, _colours, _kinds):
            if lines := make(some, known):
                text += [*lines, ""]
        text += [*_against(some, known, plain), "", *_front(some, known), ""]
    text += [*_costs(whole, known, plain), "", *_notes(rows)]
    return "\n".join(text)


def _likeness(rows: Sequence[Row], variants: Sequence[str]) -> list[str]:
    lines = [
        "| variant | people, runs | identity (95 %) | of the VAE's | kept | kept, dlib | leak (95 %) | leak, dlib "
        "| recognised with trigger | without (the base's) |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in variants:
        mine = [row for row in rows if row["variant"] == name]
        if not mine:
            continue
        shown: tuple[tuple[Metric, bool], ...] = (
            (identity, True), (identity_of_vae, False), (kept, False), (kept_by_second, False), (leak, True),
            (leak_by_second, False),
        )  # fmt: skip
        people = len({row["person"] for row in mine})
        values = [told(by_person(rows, name, metric), wide, people=people) for metric, wide in shown]
        without = [found for row in mine for found in row["without"].values()]
        asked = [row["identity"] for row in mine]
        counts = f"{_sum(asked, 'recognised')} of {_sum(asked, 'of')}"
        leaked = f"{_sum(without, 'recognised')} of {_sum(without, 'of')} ({_sum(without, 'base_recognised')})"
        lines.append(f"| {' | '.join([name, f'{people}, {len(mine)}', *values, counts, leaked])} |")
    return lines


def _words(rows: Sequence[Row], variants: Sequence[str]) -> list[str]:
    words = list(next((row["obeyed"] for row in rows), {}))
    metrics = {"obeyed (95 %)": obeyed, "words' work (95 %)": words_work, "of the VAE's, with words": with_words}
    if _has_contrast(rows):
        metrics = {**metrics, "contrast (95 %)": contrast}
    lines = [f"| variant | {' | '.join([*metrics, *words])} |", f"|---|{'---|' * len([*metrics, *words])}"]
    for name in variants:
        mine = [row for row in rows if row["variant"] == name]
        if mine:
            each = [_shares(mine, word) for word in words]
            people = len({row["person"] for row in mine})
            whole = [told(by_person(rows, name, metric), True, people=people) for metric in metrics.values()]
            lines.append(f"| {' | '.join([name, *whole, *each])} |")
    return [*lines, "", "Of each word: pictures that do it asked, unasked (the base's asked), in percent."]


def _has_contrast(rows: Sequence[Row]) -> bool:
    """Whether it was measured in any run; in older ones it was not."""
    return any(contrast(row) is not None for row in rows)


def _shares(rows: Sequence[Row], word: str) -> str:
    found = {name: 100 * statistics.fmean(row["obeyed"][word][name] for row in rows) for name in
             ("ours", "unasked", "base")}  # fmt: skip
    return f"{found['ours']:.0f}, {found['unasked']:.0f} ({found['base']:.0f})"


def _spreads(rows: Sequence[Row], variants: Sequence[str]) -> list[str]:
    lines = [
        "| spread of | direction (95 %) | mouth | background | faces apart |",
        "|---|---|---|---|---|",
    ]
    every = next((name for name in variants if by_person(rows, name, identity)), None)
    for title, of, name in (("the photos", "photos_varied", every), ("the base's pictures", "base_varied", every)):
        if name:
            lines.append(_spread_line(title, rows, name, of))
    lines += [_spread_line(name, rows, name, "varied") for name in variants if by_person(rows, name, identity)]
    return lines


def _spread_line(title: str, rows: Sequence[Row], variant: str, of: str) -> str:
    digits = {"yaw": 3, "smile": 3, "background": 0, "faces": 2}
    cells = [told(by_person(rows, variant, spread_of(name, of)), name == "yaw", digits[name]) for name in SPREADS]
    return f"| {title} | {' | '.join(cells)} |"


def _colours(rows: Sequence[Row], variants: Sequence[str]) -> list[str]:
    lines = ["| colours learned with the face, of | background (95 %) | clothes (95 %) |", "|---|---|---|"]
    for name in variants:
        found = [by_person(rows, name, learned(place)) for place in PLACES]
        if any(found):
            people = len({row["person"] for row in rows if row["variant"] == name})
            lines.append(f"| {name} | {' | '.join(told(one, True, people=people) for one in found)} |")
    return lines if len(lines) > 2 else []


def _kinds(rows: Sequence[Row], variants: Sequence[str]) -> list[str]:
    kinds = list(next((row["without"] for row in rows), {}))
    lines = [f"| leak, by prompt | {' | '.join(kinds)} |", f"|---|{'---|' * len(kinds)}"]
    for name in variants:
        if by_person(rows, name, identity):
            cells = [told(by_person(rows, name, leak_of(kind))) for kind in kinds]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


AGAINST: dict[str, Metric] = {
    "kept": kept,
    "kept, dlib": kept_by_second,
    "leak": leak,
    "leak, dlib": leak_by_second,
    "words' work": words_work,
    "with words": with_words,
    "direction": spread_of("yaw"),
}


def _against(rows: Sequence[Row], variants: Sequence[str], plain: str) -> list[str]:
    lines = [f"| less `{plain}`, paired | {' | '.join(AGAINST)} |", f"|---|{'---|' * len(AGAINST)}"]
    for name in variants:
        found = [apart(rows, name, plain, metric) for metric in AGAINST.values()]
        if name != plain and any(found):
            people = max(map(len, found))
            lines.append(f"| {name} | {' | '.join(told(one, True, sign='+', people=people) for one in found)} |")
    return lines


GOALS: dict[str, Metric] = {  # each as "more is better"
    "leak": lambda row: None if (found := leak(row)) is None else -found,
    "of the VAE's": identity_of_vae,
    "with words": with_words,
    "obeyed": obeyed,
}


def beaten(rows: Sequence[Row], variants: Sequence[str], variant: str) -> bool:
    """Whether another variant is at least as good in each of `GOALS`, and better in one, by the people that both have,
    at least `FRONT_PEOPLE`."""

    def means(one: str, people: set[str]) -> list[float]:
        return [statistics.fmean(found[person] for person in people) for found in values[one]]

    values = {one: [by_person(rows, one, metric) for metric in GOALS.values()] for one in variants}
    for other in variants:
        both = set.intersection(*({*found} for found in [*values[variant], *values[other]]))
        if other != variant and len(both) >= FRONT_PEOPLE:
            mine, its = means(variant, both), means(other, both)
            if mine != its and all(there >= here for here, there in zip(mine, its, strict=True)):
                return True
    return False


def _front(rows: Sequence[Row], variants: Sequence[str]) -> list[str]:
    """Identity against leak against obedience, the least leak first, of those that enough people were trained with."""
    several = [name for name in variants if len(by_person(rows, name, leak)) >= FRONT_PEOPLE]
    metrics = {
        "leak": leak, "in new words": leak_in_new_words, "of the VAE's": identity_of_vae, "with words": with_words,
        "obeyed": obeyed, "words' work": words_work,
    }  # fmt: skip
    if _has_contrast(rows):
        metrics = {**metrics, "contrast": contrast}
    heads = ["variant", "people, runs", *metrics, "direction, mouth, background, of the photos'", "not beaten"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name in sorted(several, key=lambda one: statistics.fmean(by_person(rows, one, leak).values())):
        shown = [told(by_person(rows, name, metric)) for metric in metrics.values()]
        shown.append(", ".join(told(by_person(rows, name, varied(spread))) for spread in SPREADS[:3]))
        on_it = "" if beaten(rows, several, name) else "yes"
        runs = sum(row["variant"] == name for row in rows)
        lines.append(f"| {name} | {len(by_person(rows, name, leak))}, {runs} | {' | '.join(shown)} | {on_it} |")
    return lines if several else []


def varied(spread: str) -> Metric:
    """A spread of one prompt's pictures, by that of the photos."""
    return lambda row: share(row["varied"].get(spread), 0.0, row["photos_varied"].get(spread))


def _costs(rows: Sequence[Row], variants: Sequence[str], plain: str) -> list[str]:
    lines = ["| variant | seconds (x) | processor seconds | peak memory | file |", "|---|---|---|---|---|"]
    for name in variants:
        ratio, peak, size = cost(rows, name, plain)
        known = [row["seconds"] for row in rows if row["variant"] == name and row["seconds"]]
        seconds = f"{statistics.fmean(known):.0f}" if known else "-"
        shown = "-" if ratio is None else f"{ratio:.2f}"
        memory = "-" if peak is None else f"{peak / 1e6:.0f} MB"
        lines.append(f"| {name} | {shown} | {seconds} | {memory} | {(size or 0) / 1e6:.1f} MB |")
    return lines


def _notes(rows: Sequence[Row]) -> list[str]:
    """What the training warned of, and why runs broke, once for each variant with how many say so."""
    said: dict[tuple[str, str], int] = {}
    for row in rows:
        for text in [*row.get("notes", []), *([row["error"]] if "error" in row else [])]:
            said[row["variant"], text] = said.get((row["variant"], text), 0) + 1
    return [f"- {variant} ({count} times): {text}" for (variant, text), count in said.items()]


def _sum(found: Iterable[Row], name: str) -> int:
    return sum(one[name] for one in found)


def told(values: Mapping[str, float], wide: bool = False, digits: int = 2, sign: str = "", people: int = 0) -> str:
    """The mean over people, with its interval where that is wanted and known, and their number where it is known of
    fewer than so many `people`."""
    found: Interval | None = interval([*values.values()])
    if found is None:
        return "-"
    form = f"{sign}.{digits}f"
    few = f" ({len(values)} of {people} people)" if len(values) < people else ""
    if not wide or math.isnan(found.low):
        return f"{found.value:{form}}{few}"
    return f"{found.value:{form}} ({found.low:{form}} to {found.high:{form}}){few}"
