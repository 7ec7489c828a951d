"""Holds every limit, allowed range and usual value that the page's scripts need, so that they repeat none.

As one dataclass: `/state` sends it, and the scripts' types are generated from it.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from functools import cache

from lib_lora.captions.photo_facts import SMALL_FACE
from lib_lora.character.photo_counts import BEST_COUNT, LEAST_TO_TRAIN
from lib_lora.character.photo_files import SUFFIXES, suffixes_read
from lib_lora.comfyui.comfy_address import DEFAULT
from lib_lora.faces.engines.engine_names import INSIGHTFACE
from lib_lora.grid.prompts import PROMPTS, QUICK, SCREENING
from lib_lora.likeness.verdict.rule_conditions import PRESERVATION
from lib_lora.queue import job_types
from lib_lora.queue.job_types import PROMPT_WEIGHT, InventArguments, MoreArguments, RangeName, TestArguments
from lib_lora.remote.renting import money
from lib_lora.training.plan.estimate import preserving_times
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.ui.http import request_context
from lib_lora.workflows.produce.production_request import REQUESTED, SECOND_PASS, ProduceSettings

# Letters of a character's texts. The first three stand in one line of the page, and two of them in every caption.
LETTERS = {"name": 80, "trigger": 60, "class_word": 40, "notes": 2000, "traits": 2000}


@dataclass(frozen=True)
class UsualRange:
    """What a number may be, both ends included, and what it usually is; None = it depends on the base model."""

    least: int
    most: int
    usual: float | None


@dataclass(frozen=True)
class Best:
    """The range in which a number is best."""

    least: int
    most: int


@dataclass(frozen=True)
class Search:
    """How far the search for the best step and weight goes: checkpoints and weights that are screened, how many of
    them are tested again, and how many saved steps are added that the verdict advises."""

    checkpoints: int
    weights: int
    confirmed: int
    more_steps: int


@dataclass(frozen=True)
class FurtherSteps:
    """How many more steps a finished run is trained.

    Attributes:
        least: that may be asked for.
        share: of the run's steps, which is proposed; rounded to `round_to`, and no less than that.
    """

    least: int
    share: float
    round_to: int


@dataclass(frozen=True)
class PageLimits:
    """What the page's forms allow and propose.

    Attributes:
        photos: that are needed to train.
        photos_best: how many train a face best.
        face_pixels: of the longer side of a photo's face, under which little can be seen.
        photo_bytes, face_bytes: of a file that is sent.
        photos_at_once: requests with photos.
        suffixes: of files that are taken for photos; `accept`: of those among them that can be read here.
        test_pictures, quick_pictures, screening_pictures: of a test, a quick test, and for each cell of a search.
        combined_pictures: at each weight of another LoRA, whose usual ones are `combined_weights`.
        name_letters, trigger_letters, class_word_letters: of a character's texts.
        description_letters: of the description of an invented one.
        ranges: of the arguments of jobs, by name.
        prompt_weight: of a LoRA in a prompt.
        further_steps: of a run that is trained on.
        per_usd: how much of another currency one USD is; `least` itself is too little.
        search: for the best step and weight.
        second_pass: the usual denoising strength of a production's second pass over small faces.
        comfyui: the usual address of a ComfyUI that runs.
        engine_pack: how the name of a face engine begins that is a model pack of InsightFace; its folder follows.
        asked_times: how many times as long a training takes whose LoRA shows the person only when asked.
        produced: what a production may be asked for, by the names of `NewProduction`.
    """

    photos: int
    photos_best: Best
    face_pixels: int
    photo_bytes: int
    face_bytes: int
    photos_at_once: int
    suffixes: list[str]
    accept: list[str]
    test_pictures: int
    quick_pictures: int
    screening_pictures: int
    combined_pictures: int
    combined_weights: list[float]
    name_letters: int
    trigger_letters: int
    class_word_letters: int
    description_letters: int
    ranges: dict[RangeName, UsualRange]
    prompt_weight: UsualRange
    further_steps: FurtherSteps
    per_usd: UsualRange
    search: Search
    produced: dict[str, UsualRange]
    second_pass: float
    comfyui: str
    engine_pack: str
    asked_times: float


@cache
def page_limits() -> PageLimits:
    """All limits of the page.

    Computed once, since looking for packages takes milliseconds; one that is installed later needs a restart.
    """
    defaults = {
        field.name: None if field.default is MISSING else field.default
        for arguments in (TestArguments, InventArguments, MoreArguments)
        for field in fields(arguments)
    }
    usual = {field.name: None if field.default is MISSING else field.default for field in fields(ProduceSettings)}
    return PageLimits(
        photos=LEAST_TO_TRAIN,
        photos_best=Best(*BEST_COUNT),
        face_pixels=SMALL_FACE,
        photo_bytes=request_context.PHOTO_FILE,
        face_bytes=request_context.FACE_FILE,
        photos_at_once=request_context.PHOTOS_AT_ONCE,
        suffixes=sorted(SUFFIXES),
        accept=suffixes_read(),
        test_pictures=len(PROMPTS),
        quick_pictures=QUICK,
        screening_pictures=SCREENING,
        combined_pictures=job_types.COMBINED,
        combined_weights=[*job_types.COMBINED_WEIGHTS],
        name_letters=LETTERS["name"],
        trigger_letters=LETTERS["trigger"],
        class_word_letters=LETTERS["class_word"],
        description_letters=job_types.LONGEST,
        ranges={name: UsualRange(one.least, one.most, defaults[name]) for name, one in job_types.RANGES.items()},
        prompt_weight=UsualRange(PROMPT_WEIGHT.least, PROMPT_WEIGHT.most, 1),
        further_steps=FurtherSteps(least=1, share=0.25, round_to=10),
        per_usd=UsualRange(0, money.MOST_PER_USD, None),
        search=Search(job_types.CHECKPOINTS, len(job_types.WEIGHTS), job_types.CONFIRMED, job_types.MORE_STEPS),
        second_pass=SECOND_PASS,
        comfyui=DEFAULT,
        engine_pack=f"{INSIGHTFACE}:",
        asked_times=preserving_times(TrainSettings(preservation_weight=PRESERVATION)),
        produced={name: UsualRange(one.least, one.most, usual[name] or None) for name, one in REQUESTED.items()},
    )
