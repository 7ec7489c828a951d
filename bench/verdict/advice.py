"""Follow each advice of the verdict to the letter, and measure whether it helped; on the small base model.

    python bench/verdict/advice.py --work DIR                            every case, the six people and four unseen ones
    python bench/verdict/advice.py --work DIR --cases hot --people mara  some of them; more can follow later
    python bench/verdict/advice.py --work DIR --table                    only what DIR has so far

Needs `dlib-bin` and `face-recognition-models`. The unseen people are those of tests/data/unseen; the cases `turned` and
`turned anyway` are of people of whom tests/data/turned has photos of turned heads, and four of them, of
tests/data/confirming, are in two more cases whose advice too few of the others got. A case brings about states in which
rules of the verdict apply (really trained, really painted), reads the advice from the report, follows it, and measures
both pictures' sets with held-out photos (`bench.verdict.followed_advice`). DIR keeps the rows of each finished case in
results.jsonl; what stands there is not done again, so the command can be stopped and given again; bench/results/advice
has those of docs/likeness.md, and in earlier.jsonl those of advice that has been changed since.

An advice has helped where its measure rose by more than its standard error: the difference of each picture to the one
of the same prompt and seed before, mean over standard deviation by the root of their number. The measure is the mean of
both recognisers' likeness, or for an advice against something else that which it is against (`MEASURES`); then the
likeness must not have fallen by more than its standard error, unless it is still above the keep line.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from bench.training.settings_study import PEOPLE, RESULTS, add_row, alone, interval, read_rows  # noqa: E402
from bench.verdict.followed_advice import (  # noqa: E402
    BASE,
    RATES,
    SAMPLING,
    AdvisedPerson,
    TestedGrid,
    Workplace,
    drifts_when_turned,
    frontal_first,
)
from lib_lora.grid.prompts import PROMPTS, SCREENING  # noqa: E402
from lib_lora.likeness.measure.intervals import wilson  # noqa: E402
from lib_lora.likeness.verdict.rule_conditions import HIGHER_WEIGHT, PRESERVED_WEIGHT  # noqa: E402
from lib_lora.likeness.verdict.rules import RULES  # noqa: E402
from lib_lora.models.families.sd1 import NARROW, SD1  # noqa: E402
from lib_lora.training.plan.presets import preset  # noqa: E402
from lib_lora.workflows.judge.grid_run import GridRequest  # noqa: E402

PHOTOS = ROOT / "tests" / "data"
PERSONAS, UNSEEN_PHOTOS, CONFIRMING_PHOTOS = PHOTOS / "personas", PHOTOS / "unseen", PHOTOS / "confirming"
UNSEEN = {"unseen1": "man", "unseen2": "woman", "unseen8": "man", "unseen18": "woman"}  # tools.unseen_people.PEOPLE
# Whose photos of turned heads tools/turned_people.py has made: those, one who is in no other case, and `CONFIRMING`.
TURNED_PHOTOS = PHOTOS / "turned"
FURTHER = {"unseen27": "woman"}
# Who is only in the cases whose advice too few of the others got.
CONFIRMING = {"unseen28": "man", "unseen29": "man", "unseen33": "woman", "unseen50": "woman"}
CONFIRMING_CASES = ("strong", "misused", "finished", "slower", "turned", "turned anyway")
TURNED_ORDER = ("unseen2", "unseen1", "unseen27", "unseen8", "unseen18")
ORDER = ("unseen2", "mara", "unseen18", "viktor", "unseen8", "ines", "unseen1", "clara", "tomas", "lena")
SHORT, EARLY, ENOUGH, LONG = 20, 28, 60, 100  # steps
# Prompts and first seed of the tests of `turned`, until one gives the advice; and of one that has no say in it.
TURNED_TESTS = ((SCREENING, 1000), (len(PROMPTS), 1000), (len(PROMPTS), 3000))
FRESH_SEED = 7000
FRESH_TEST = {"count": len(PROMPTS), "first_seed": FRESH_SEED}
CLASS_PASSES = 42  # through 14 photos, half of each batch
STRONG_PRESERVATION, PRESERVED_PASSES = 4.0, 48  # `preservation_weight`, `passes`
SLOW, LOW, HOT, BREAKING = 1 / 16, 1 / 2, 2.0, 3.0  # times the preset's learning rate
LOWER = {"a quarter": 1 / 4, "a sixth": 1 / 6}

ANYWAY = "turned anyway"  # a case in which no advice is followed
LOWER_ANYWAY = "output preservation, a lower weight anyway"  # and a state
HIGHER_ANYWAY = "all steps at half the rate, a higher weight anyway"
UNADVISED = (LOWER_ANYWAY, HIGHER_ANYWAY)
PRESERVED, FINISHED = "preserved", "finished"
LIKENESS = "likeness"
# What an advice wants to better, where it is not the likeness; by the kind of verdict, or the rule.
MEASURES = {
    "follows no prompt": "variety", "collapsed": "variety", "all alike": "variety", "one photo": "variety",
    "overpowering": "variety", "copies": "own", "burnt": "burnt", "plastic": "burnt", "no face": "face",
    "faces break": "face", "few photos": "judged", "tiny": "judged", "blurred": "judged", "unsure": "judged",
    "hidden": "judged", "two faces": "judged", "too few": "judged", "base too coarse": "judged",
    "base loses": "judged", "base paints": "judged", "origin unknown": "judged", "leak": "leak",
}  # fmt: skip
LESS = {"burnt", "leak"}  # measures of which less is better
Row = dict[str, Any]
Steps = Iterator[Row]


def rates(factor: float) -> dict[str, float]:
    """The preset's learning rates, times `factor`."""
    train = preset(NARROW, SD1.name, {}, narrow=True)
    return {name: getattr(train, name) * factor for name in RATES}


# The states


def at(step: int, **more: Any) -> GridRequest:
    """The test of a step, of as many prompts as `choose` screens on; without pictures that leave the trigger out,
    unless `leak` asks for them."""
    return GridRequest(step, **{"steps": SAMPLING, "count": SCREENING, "leak": False, **more})


def followed(
    state: str, place: Workplace, before: TestedGrid, after: list[TestedGrid] | None = None, new_run: bool = False
) -> Row:
    """The row of a state: its rule and advice, and both measurements. `after` is given what came of it. With `new_run`
    what the advice says "for a new run" is followed instead of its first sentence."""
    done = place.follow_for_a_new_run(before) if new_run else place.follow(before)
    if done and after is not None:
        after.append(done[0])
    return row_of(state, place, before, *(done or (None, "")))


def row_of(state: str, place: Workplace, before: TestedGrid, after: TestedGrid | None, done: str) -> Row:
    """The row of a state, and of what came of it; `done`: what was done."""
    return {
        "state": state, "rule": before.report.verdict.rule, "kind": before.report.verdict.kind,
        "advice": before.report.verdict.advice, "done": done,
        "before": place.measured(before), "after": place.measured(after) if after else None,
    }  # fmt: skip


def short(place: Workplace) -> Steps:
    """Too few steps; what is advised then, and after that, and once more where training on was in vain."""
    run = place.train({"steps": SHORT, "save_every": SHORT // 2})
    yield followed(f"step {SHORT // 2} of {SHORT}", place, place.test(run, at(SHORT // 2)))
    last = [place.test(run, at(SHORT))]
    yield followed(f"{SHORT} steps", place, last[-1], last)
    if last[-1].report.verdict.action == "train_more":
        yield followed("trained on", place, last[-1], last)
    if "in vain" in last[-1].report.verdict.rule:
        yield followed("trained on in vain", place, last[-1])


def early(place: Workplace) -> Steps:
    """An early step of a run that is more than half as long as is proposed; and the step that is then tested."""
    run = place.train({"steps": 4 * EARLY, "save_every": EARLY // 2})
    last: list[TestedGrid] = []
    yield followed(f"step {EARLY} of {4 * EARLY}", place, place.test(run, at(EARLY)), last)
    if last and last[0].report.verdict.action == "test_step":
        yield followed(f"step {last[0].request.step} of {4 * EARLY}", place, last[0])


def slow(place: Workplace) -> Steps:
    """A learning rate that is much too low."""
    run = place.train({"steps": SHORT, "save_every": SHORT, **rates(SLOW)})
    last = [place.test(run, at(SHORT))]
    yield followed("too low a rate", place, last[-1], last)
    if len(last) > 1:
        yield followed("too low a rate, after more steps", place, last[-1])


def too_high(place: Workplace, factor: float) -> Steps:
    """A rate that is too high, to the end: with no other checkpoint, with an earlier one, and with that tested."""
    half, name = LONG // 2, f"{factor:g} x the rate"
    run = place.train({"steps": LONG, "save_every": half, "lr_schedule": "constant", **rates(factor)})
    earlier = run.checkpoint(half)
    hidden = earlier.rename(earlier.with_suffix(".aside"))
    yield followed(f"{name}, one checkpoint", place, place.test(run, at(LONG)))
    hidden.rename(earlier)
    yield followed(name, place, place.test(run, at(LONG)))
    place.test(run, at(half))
    yield followed(f"{name}, both tested", place, place.test(run, at(LONG), again=True))


def new_run(place: Workplace) -> Steps:
    """A rate that is too high, with an earlier checkpoint that was tested: what is then advised for a new run."""
    half = LONG // 2
    run = place.train({"steps": LONG, "save_every": half, "lr_schedule": "constant", **rates(HOT)})
    place.test(run, at(half))
    yield followed(f"{HOT:g} x the rate, both tested, a new run", place, place.test(run, at(LONG)), new_run=True)


def whole(place: Workplace) -> Steps:
    """Enough steps, and the LoRA used otherwise than it should be."""
    run = place.train({"steps": ENOUGH, "save_every": ENOUGH})
    yield followed(f"{ENOUGH} steps", place, place.test(run, at(ENOUGH)))
    for weight in (0.5, 2.0):
        yield followed(f"weight {weight:g}", place, place.test(run, at(ENOUGH, weight=weight)))
    yield followed("64 pixels", place, place.test(run, at(ENOUGH, side=64)))


def used(place: Workplace) -> Steps:
    """A LoRA used at half its weight, and pictures that are too small; the quickest of all cases."""
    run = place.train({"steps": SHORT, "save_every": SHORT})
    yield followed("weight 0.5", place, place.test(run, at(SHORT, weight=0.5)))
    yield followed("64 pixels", place, place.test(run, at(SHORT, side=64)))


def strong(place: Workplace) -> Steps:
    """Enough steps, and the LoRA used at weights that are a little too low, or too high (`whole` has 0.5 and 2)."""
    run = place.train({"steps": ENOUGH, "save_every": ENOUGH})
    for weight in (0.7, 1.5, 3.0):
        yield followed(f"weight {weight:g}", place, place.test(run, at(ENOUGH, weight=weight)))


def misused(place: Workplace) -> Steps:
    """Enough steps and two checkpoints, and the highest weight of the form."""
    run = place.train({"steps": ENOUGH, "save_every": ENOUGH // 2})
    yield followed("weight 2", place, place.test(run, at(ENOUGH, weight=2.0)))


def hurried(place: Workplace) -> Steps:
    """Enough steps and two checkpoints, and the pictures painted with few sampling steps."""
    run = place.train({"steps": ENOUGH, "save_every": ENOUGH // 2})
    for steps in (2, 3, 4):
        yield followed(f"{steps} sampling steps", place, place.test(run, at(ENOUGH, steps=steps)))


def few(place: Workplace) -> Steps:
    """Seven photos."""
    run = place.train({"steps": SHORT, "save_every": SHORT})
    yield followed("7 photos", place, place.test(run, at(SHORT)))


def class_pictures(place: Workplace) -> Steps:
    """48 class pictures that the base model paints of one prompt, beside the photos: such a LoRA ignores its prompts
    (docs/quality.md)."""
    from filelock import FileLock

    from bench.training.quality_people import class_folder, paint_class
    from lib_lora.training.plan.run_file import saved_steps

    work, word = place.root.parents[1], place.person.class_word
    folder = class_folder(work, "plain", word).absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):  # of people of one word, who may be done side by side
        paint_class(work, "plain", word)
    run = place.train({"passes": CLASS_PASSES, "save_every": 10_000, "class_photos": str(folder)})
    yield followed("class pictures", place, place.test(run, at(saved_steps(run)[-1])))


def leaking(place: Workplace) -> Steps:
    """The preset as it is, with plain captions and with those of `caption --fill`: the class word alone shows the
    person too."""
    from lib_lora.training.plan.run_file import saved_steps

    for number, name in enumerate(("plain captions", "written captions")):
        run = place.train({"save_every": 10_000}, anew=number > 0)
        yield followed(name, place, place.test(run, at(saved_steps(run)[-1], leak=True)))
        if not number:
            place.caption()


def preserved(place: Workplace) -> Steps:
    """All photos that are not held out, and the output preservation of docs/quality.md that loses the most obedience;
    the lower weight that helps against that also where the verdict finds something else."""
    from lib_lora.training.plan.run_file import saved_steps

    place.add(place.person.spare)
    place.caption()
    run = place.train({"preservation_weight": STRONG_PRESERVATION, "passes": PRESERVED_PASSES})
    before = place.test(run, at(saved_steps(run)[-1], count=len(PROMPTS), leak=True))
    yield followed("output preservation", place, before)
    if not _is_told(before, PRESERVED_WEIGHT):
        after = place.test(run, replace(before.request, weight=PRESERVED_WEIGHT))
        yield row_of(LOWER_ANYWAY, place, before, after, f"weight {PRESERVED_WEIGHT:g}")


def _is_told(tested: TestedGrid, weight: float) -> bool:
    """Whether the verdict advises this weight."""
    return (tested.report.verdict.action, tested.report.verdict.value) == ("set_weight", weight)


def finished(place: Workplace) -> Steps:
    """All the steps that the photos call for, at a rate that is too low for them: what is advised where the face is not
    quite learned by then, and a higher weight also where the verdict finds something else."""
    from lib_lora.training.plan.run_file import saved_steps

    run = place.train({"save_every": 10_000, **rates(LOW)})
    before = place.test(run, at(saved_steps(run)[-1], count=len(PROMPTS)))
    if not _is_told(before, HIGHER_WEIGHT):
        stronger = place.test(run, replace(before.request, weight=HIGHER_WEIGHT))
        yield row_of(HIGHER_ANYWAY, place, before, stronger, f"weight {HIGHER_WEIGHT:g}")
    yield followed("all steps at half the rate", place, before)


def slower(place: Workplace) -> Steps:
    """The same at still lower rates, until a test gives the advice of a higher weight; for those who are told nothing
    at half of the preset's rate."""
    from lib_lora.training.plan.run_file import saved_steps

    for name, rate in LOWER.items():
        run = place.train({"save_every": 10_000, **rates(rate)})
        before = place.test(run, at(saved_steps(run)[-1], count=len(PROMPTS)))
        yield followed(f"all steps at {name} of the rate", place, before)
        if _is_told(before, HIGHER_WEIGHT):
            return


def outside(place: Workplace) -> Steps:
    """Pictures that another program has painted with a LoRA of an unknown name, at weights that are too low, beside a
    test grid of the same prompts."""
    run = place.train({"steps": ENOUGH, "save_every": ENOUGH})
    place.measured(place.test(run, at(ENOUGH)))  # its pictures without the LoRA are the zero of the yardstick
    for weight in (0.1, 0.3, 0.5):
        found = place.score(place.test(run, at(ENOUGH, weight=weight)))
        yield followed(f"weight {weight:g}, outside a run", place, found)


def photos_alone(place: Workplace) -> Steps:
    """The same for somebody who has only the photos: nothing is known of the base model until it is named, and nothing
    of what it paints without the LoRA."""
    run = place.train({"steps": ENOUGH, "save_every": ENOUGH})
    whole = place.test(run, at(ENOUGH))
    place.measured(whole)
    named = place.score_alone(whole, BASE)
    yield row_of("weight 1, base model not named", place, place.score_alone(whole), named, "base model named")
    for weight in (0.3, 0.5, 0.7):
        found = place.score_alone(place.test(run, at(ENOUGH, weight=weight)), BASE)
        to_weight_1 = "weight 1" in found.report.verdict.advice
        after, done = (named, "weight 1, from elsewhere") if to_weight_1 else (None, "")
        yield row_of(f"weight {weight:g}, base model named", place, found, after, done)


def turned(place: Workplace) -> Steps:
    """Photos from the front alone, and several tests until one finds that turned heads are lost. Beside what the advice
    does to the pictures that it was given for, `fresh` has what it does to those of other seeds, which had no say."""
    run = place.train({"steps": 4 * EARLY, "save_every": 4 * EARLY})
    for count, seed in TURNED_TESTS:
        name = f"{count} prompts from seed {seed}"
        before, last = place.test(run, at(4 * EARLY, count=count, first_seed=seed)), list[TestedGrid]()
        if not drifts_when_turned(before.report.verdict.rule):
            yield row_of(name, place, before, None, "")
            continue
        fresh = {"before": _with_other_seeds(place, before)}  # by the photos that there are now
        row = followed(name, place, before, last)
        yield {**row, "fresh": fresh | {"after": _with_other_seeds(place, last[0])}}
        return


def turned_anyway(place: Workplace) -> Steps:
    """What photos of turned heads bring to a training that has all the steps that its photos call for, whatever its
    test says: photos from the front alone, and then those of turned heads beside them."""
    from lib_lora.training.plan.run_file import saved_steps

    run = place.train({"save_every": 10_000})
    before = place.test(run, at(saved_steps(run)[-1], **FRESH_TEST))
    fresh = {"before": _with_other_seeds(place, before, 3000)}
    after, done = place.with_turned_heads(before)
    row = row_of("all steps", place, before, after, done)
    yield {**row, "fresh": fresh | {"after": _with_other_seeds(place, after, 3000)}}


def _with_other_seeds(place: Workplace, tested: TestedGrid, first_seed: int = FRESH_SEED) -> Row:
    """The same LoRA with all prompts, and seeds that had no say in an advice."""
    request = replace(tested.request, count=len(PROMPTS), first_seed=first_seed)
    return place.measured(place.test(tested.run, request))


CASES: dict[str, tuple[Callable[[Workplace], Steps], int]] = {
    "short": (short, 14), "early": (early, 14), "slow": (slow, 14), "whole": (whole, 14), "few": (few, 7),
    "class": (class_pictures, 14), "used": (used, 14), "strong": (strong, 14), "misused": (misused, 14),
    "breaking": (partial(too_high, factor=BREAKING), 14), "hot": (partial(too_high, factor=HOT), 14),
    "new run": (new_run, 14), "leak": (leaking, 14), PRESERVED: (preserved, 14), FINISHED: (finished, 14),
    "slower": (slower, 14), "hurried": (hurried, 14), "outside": (outside, 14), "alone": (photos_alone, 14),
    "turned": (turned, 14), ANYWAY: (turned_anyway, 14),
}  # fmt: skip


# What is to be done, and doing it


@dataclass(frozen=True)
class AdviceJob:
    """One case of one person."""

    case: str
    person: str


def planned(cases: Sequence[str], people: Sequence[str] | None, rows: Iterable[Row]) -> list[AdviceJob]:
    """The jobs that have no row yet, case by case; of these people, or all, as far as a case has them."""
    done = {(row["case"], row["person"]) for row in rows}
    jobs = [AdviceJob(case, who) for case in cases for who in people_of(case)]
    if people is not None:
        jobs = [AdviceJob(case, who) for case in cases for who in people if AdviceJob(case, who) in jobs]
    return [job for job in jobs if (job.case, job.person) not in done]


def people_of(case: str) -> Sequence[str]:
    """Who is taken through a case, in this order."""
    return (*(TURNED_ORDER if case.startswith("turned") else ORDER), *(CONFIRMING if case in CONFIRMING_CASES else ()))


def is_unseen(person: str) -> bool:
    """Whether no line of the verdict was set with somebody's pictures."""
    return person in UNSEEN or person in FURTHER or person in CONFIRMING


def everybody() -> dict[str, AdvisedPerson]:
    """The six people, the unseen ones and those of `turned` alone, with their photos."""
    return _with_photos(((PERSONAS, PEOPLE), (UNSEEN_PHOTOS, UNSEEN), (TURNED_PHOTOS, FURTHER)))


def confirming_people() -> dict[str, AdvisedPerson]:
    """Those of `CONFIRMING`, with their photos."""
    return _with_photos(((CONFIRMING_PHOTOS, CONFIRMING),))


def _with_photos(groups: Iterable[tuple[Path, dict[str, str]]]) -> dict[str, AdvisedPerson]:
    """The people of each folder, whose class words are given."""
    found = {}
    for folder, people in groups:
        for name, word in people.items():
            heads = sorted((TURNED_PHOTOS / name).glob("turned-*.jpg"))
            found[name] = AdvisedPerson(name, word, sorted((folder / name).glob("[0-9]*.jpg")), heads)
    return found


def measured(job: AdviceJob, person: AdvisedPerson, work: Path) -> list[Row]:
    """Do a job; its rows."""
    steps, photos = CASES[job.case]
    person = frontal_first(person) if job.case.startswith("turned") else replace(person, turned=())
    place = Workplace(person, work / f"{job.case}-{job.person}", work / "kept" / person.name, photos)
    rows = [{"case": job.case, "person": job.person, **row} for row in steps(place)]
    place.end()
    return rows


def measure(options: argparse.Namespace) -> int:
    """Do what is not done yet, two at a time; returns how many failed."""
    from lib_lora.runs.run_lock import only_process

    options.work.mkdir(parents=True, exist_ok=True)
    people = {**everybody(), **confirming_people()}
    with only_process(options.work, "wait for it, or name another --work"):
        path = options.work / RESULTS
        jobs = planned(options.cases, options.people, read_rows(path))
        os.environ["OMP_NUM_THREADS"] = "1"  # read by the workers when they load their libraries
        with ProcessPoolExecutor(options.jobs, get_context("spawn"), alone) as pool:
            try:
                waiting = {pool.submit(measured, job, people[job.person], options.work): job for job in jobs}
                return _written(waiting, path)
            except KeyboardInterrupt:
                os._exit(130)  # the pool would first do what it has taken in; the workers end with this process


def _written(waiting: dict[Future[list[Row]], AdviceJob], path: Path) -> int:
    """Write down what is finished as it is; returns how many failed."""
    failed, count = 0, len(waiting)
    while waiting:
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            job = waiting.pop(future)
            if error := future.exception():
                failed += 1
                said = f"failed: {error!r}"
            else:
                for row in future.result():
                    add_row(path, row)
                said = "; ".join(f"{row['state']}: {row['rule']}, {row['done']}" for row in future.result())
            print(f"{count - len(waiting)} of {count}: {job.case}, {job.person}: {said}", file=sys.stderr, flush=True)
    return failed


# Whether it helped, and the table


@dataclass(frozen=True)
class MeasuredChange:
    """The mean difference of a measure over pictures that belong together, and its standard error."""

    mean: float
    error: float

    @property
    def rose(self) -> bool:
        """By more than its standard error."""
        return self.mean > self.error

    @property
    def fell(self) -> bool:
        """By more than its standard error."""
        return self.mean < -self.error


def values(side: Row, measure: str) -> list[float]:
    """A measure of each picture of a test; `LIKENESS` is the mean of both recognisers'."""
    pictures = side["pictures"]
    if measure != LIKENESS:
        return [-value if measure in LESS else value for value in pictures[measure]]
    return [(one + other) / 2 for one, other in zip(pictures["first"], pictures["second"], strict=True)]


def change(row: Row, measure: str) -> MeasuredChange:
    """Of a row with both sides."""
    both = zip(values(row["before"], measure), values(row["after"], measure), strict=True)
    apart = [after - before for before, after in both]
    return MeasuredChange(statistics.fmean(apart), statistics.stdev(apart) / math.sqrt(len(apart)))


def turned_heads(sides: Row) -> list[tuple[float, float]]:
    """Likeness before and after (`before` and `after` of `sides`) of the pictures that were asked for a turned head."""
    asked = sides["before"]["pictures"]["asked to turn"]
    both = zip(values(sides["before"], LIKENESS), values(sides["after"], LIKENESS), asked, strict=True)
    return [(before, after) for before, after, turn in both if turn]


def measure_of(rule: str) -> str:
    """What an advice wants to better."""
    return next((measure for name, measure in MEASURES.items() if rule.startswith(name)), LIKENESS)


def helped(row: Row) -> bool:
    """Whether following an advice has bettered what it is for, and has not cost the face."""
    measure = measure_of(row["rule"])
    if not change(row, measure).rose:
        return False
    return measure == LIKENESS or row["after"]["holds"] or not change(row, LIKENESS).fell


def worse(row: Row) -> bool:
    """Whether the face got worse where the test that the report finds better is kept, as advice of more steps says."""
    return (row["after"]["kept"] or 0.0) > (row["before"]["kept"] or 0.0) and change(row, LIKENESS).fell


def table(rows: list[Row]) -> str:
    """Everything as Markdown: a line for each rule whose advice was followed, and where rules came up."""
    lines = [
        "| rule | what was done | people (unseen) | measure | before | after | gain (95 %) | likeness by SFace | "
        "by dlib | helped |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    names = [rule.name for rule in RULES]
    known = [row for row in rows if row["after"] and row["case"] != ANYWAY and row["state"] not in UNADVISED]
    known.sort(key=lambda row: names.index(row["rule"]) if row["rule"] in names else len(names))
    groups = dict.fromkeys((row["rule"], done_of(row)) for row in known)
    lines += [_line(*group, [row for row in known if (row["rule"], done_of(row)) == group]) for group in groups]
    lines += ["", *_by_advice(known)]
    lines += _where_heads_turn([row for row in known if "fresh" in row])
    lines += _where_heads_turn([row for row in rows if row["case"] == ANYWAY])
    lines += _at_a_lower_weight([row for row in rows if row["case"] == PRESERVED])
    found = {rule: Counter(row["state"] for row in rows if row["rule"] == rule) for rule in dict.fromkeys(_rules(rows))}
    came = [f"- {rule}: " + ", ".join(f"{state} ({n})" for state, n in found[rule].items()) for rule in found]
    missing = [name for name in names if name not in found]
    return "\n".join([*lines, "", "Where each rule came up:", "", *came, "", f"Never: {'; '.join(missing)}."])


def advice_of(row: Row) -> str:
    """What was done, the same for all rules that advise it."""
    done = done_of(row)
    if done == "the step named":
        return "use a later step" if "later step" in row["rule"] else "use an earlier step"
    weight = re.fullmatch(r"weight ([\d.]+)", done)
    if weight and float(weight[1]) < row["before"]["weight"]:
        return "a lower weight"
    return re.sub(r"^([\d.]+) x the rate", r"train again with \1 x the rate", done)


def _by_advice(rows: Sequence[Row]) -> list[str]:
    """A line for each advice, whichever rule gave it; what only leads to a verdict is left out."""
    lines = [
        "| advice | measures | people (unseen) | likeness | gain (95 %) | helped | worse, the better one kept |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = [row for row in rows if measure_of(row["rule"]) != "judged"]
    for advice in dict.fromkeys(map(advice_of, rows)):
        some = [row for row in rows if advice_of(row) == advice]
        people = {
            who: [row for row in some if row["person"] == who] for who in dict.fromkeys(r["person"] for r in some)
        }
        gains = [statistics.fmean(change(row, LIKENESS).mean for row in own) for own in people.values()]
        means = [
            statistics.fmean(statistics.fmean(_mean(row[side], LIKENESS) for row in own) for own in people.values())
            for side in ("before", "after")
        ]
        good = sum(all(map(helped, own)) for own in people.values())
        share = wilson(good, len(people))
        cells = [
            advice,
            ", ".join(sorted({measure_of(row["rule"]) for row in some})),
            f"{len(people)} ({sum(map(is_unseen, people))})",
        ]
        cells += [" to ".join(f"{mean:.2f}" for mean in means), _mean_with_interval(gains)]
        cells.append(f"{good} of {len(people)} ({share.low:.0%} to {share.high:.0%})")
        lines.append(f"| {' | '.join(cells)} | {sum(any(map(worse, own)) for own in people.values())} |")
    return lines


def _where_heads_turn(rows: Sequence[Row]) -> list[str]:
    """A line for each row of `turned`: likeness of all pictures and of those asked for a turned head, in the test that
    gave the advice and in that of other seeds."""
    if not rows:
        return []
    lines = [
        "",
        "| person | rule | what was done | likeness | gain (standard error) | of turned heads | "
        "likeness with other seeds | gain | of turned heads | helped | helped with other seeds |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        fresh = {**row, **row["fresh"]}
        rose: list[str] = []
        cells = [row["person"], row["rule"], done_of(row)]
        for sides in (row, fresh):
            found, heads = change(sides, LIKENESS), turned_heads(sides)
            rose.append("yes" if found.rose else "no")
            cells.append(" to ".join(f"{_mean(sides[side], LIKENESS):.2f}" for side in ("before", "after")))
            cells.append(f"{found.mean:+.3f} ({found.error:.3f})")
            cells.append(" to ".join(f"{statistics.fmean(value):.2f}" for value in zip(*heads, strict=True)))
        lines.append(f"| {' | '.join([*cells, *rose])} |")
    return lines


def _at_a_lower_weight(rows: Sequence[Row]) -> list[str]:
    """A line for each person of `preserved`: both verdicts, and the measures at both weights."""
    rows = [row for row in rows if row["done"].startswith(f"weight {PRESERVED_WEIGHT:g}")]
    if not rows:
        return []
    lines = [
        "",
        f"| person | at weight 1 | at {PRESERVED_WEIGHT:g} | advised | likeness | gain (standard error) | leak | "
        "variety | prompts followed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        both, found = (row["before"], row["after"]), change(row, LIKENESS)
        cells = [row["person"], *(side["rule"] for side in both), "no" if row["state"] == LOWER_ANYWAY else "yes"]
        cells += [
            " to ".join(f"{_mean(side, LIKENESS):.2f}" for side in both),
            f"{found.mean:+.3f} ({found.error:.3f})",
        ]
        cells += [
            " to ".join(f"{-_mean(side, 'leak'):.2f}" for side in both),
            " to ".join(f"{_mean(side, 'variety'):.1f}" for side in both),
            " to ".join("-" if side["followed"] is None else f"{side['followed']:.2f}" for side in both),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _rules(rows: Iterable[Row]) -> list[str]:
    return [row["rule"] for row in rows]


def done_of(row: Row) -> str:
    """What was done, in words that are the same for all people."""
    more = re.fullmatch(r"(\d+) more steps(.*)", row["done"])
    if more:
        few = int(more[1]) < row["before"]["step"]
        return ("fewer steps than before" if few else "at least as many steps again") + more[2]
    return re.sub(r"^step \d+", "the step named", str(row["done"]))


def _line(rule: str, done: str, rows: list[Row]) -> str:
    measure = measure_of(rule)
    people = dict.fromkeys(row["person"] for row in rows)
    unseen = sum(map(is_unseen, people))
    gains = [statistics.fmean(change(row, measure).mean for row in rows if row["person"] == who) for who in people]
    good = sum(all(helped(row) for row in rows if row["person"] == who) for who in people)
    share = wilson(good, len(people))
    sign = -1 if measure in LESS else 1
    means = [sign * statistics.fmean(_mean(row[side], measure) for row in rows) for side in ("before", "after")]
    cells = [rule, done, f"{len(people)} ({unseen})", measure]
    cells += [f"{value:.2f}" for value in means] + [_mean_with_interval(gains)]
    cells += [
        " to ".join(f"{statistics.fmean(_mean(row[side], name) for row in rows):.2f}" for side in ("before", "after"))
        for name in ("first", "second")
    ]
    cells += [f"{good} of {len(people)} ({share.low:.0%} to {share.high:.0%})"]
    return f"| {' | '.join(cells)} |"


def _mean(side: Row, measure: str) -> float:
    return statistics.fmean(values(side, measure))


def _mean_with_interval(gains: Sequence[float]) -> str:
    """The mean over people, with Student's interval."""
    found = interval(gains)
    if found is None:
        return "-"
    return f"{found.value:+.2f}" + ("" if math.isnan(found.low) else f" ({found.low:+.2f} to {found.high:+.2f})")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the results")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="CASE")
    parser.add_argument("--people", nargs="+", choices=(*ORDER, *FURTHER, *CONFIRMING), metavar="PERSON")
    parser.add_argument("--jobs", type=int, default=2, help="cases side by side")
    parser.add_argument("--table", action="store_true", help="train nothing, print what is there")
    results_file.add_option(parser)
    options = parser.parse_args()
    failed = 0 if options.table else measure(options)
    rows = read_rows(options.work / RESULTS)
    text = table(rows)
    print(text)
    results_file.save("advice", results_file.rows(text), options.results)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
