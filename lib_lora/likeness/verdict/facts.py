"""Holds what a set of painted pictures shows, as plain facts on which the verdict's rules are written.

A fact that could not be measured is None; a rule that needs it then stays silent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, is_dataclass
from typing import Any, Literal

from lib_lora.likeness.measure.calibration import LEAST_FACES, Calibration
from lib_lora.likeness.measure.face_measure import ImageScore
from lib_lora.likeness.measure.refusals import LineRefusal, kept_refusal, with_refusal
from lib_lora.typed_settings import from_dict

GONE = frozenset(("alarm_at", "ahead_alarm", "quarter", "full", "half"))  # facts of earlier reports, of no use now
Status = Literal["ok", "drift", "lost", "no face", "suspect", "unreadable", "unjudged"]


@dataclass(frozen=True)
class Asked:
    """What a picture was asked to show.

    Attributes:
        prompt: its text or name; pictures of one prompt are resampled together.
        framing: "close", "half" or "full"; empty = unknown.
        angle: "front", "turned", ...; empty = unknown.
        attributes: what else varies, as "kind: value" ("outfit: black coat").
        seed: it was painted from; None = unknown.
    """

    prompt: str = ""
    framing: str = ""
    angle: str = ""
    attributes: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True)
class Training:
    """Where in a run the pictures come from.

    Attributes:
        step: of the checkpoint; None where the pictures come from no run.
        weight: of the LoRA.
        saved: the steps of all checkpoints.
        done: the step that a training goes on from, whose checkpoint need not be there; 0 = that of the last one.
        proposed: as many steps as the views of each photo that its settings name make; 0 = nothing is proposed.
        tested: step and retention of earlier grids of this run at this weight.
        sent_back: steps of those whose own verdict says to use an earlier step or another weight, that the LoRA breaks
            the faces, or that it was trained too far.
        restarted: the step at which a finished training was trained on, its learning rate beginning again; 0 = never.
        class_photos: pictures of the class were trained beside the character's photos.
        preserved: it was trained with output preservation.
        hears_text: the text encoders were trained, or vectors of the trigger.
        named: most captions say more than who it is.
        judge_trained: the recogniser by which the pictures are judged was part of the training (identity loss).
        beside: further LoRAs that the pictures were painted with, in words; empty = none. Then `step` is None, for what
            the pictures lack may be their doing.
        saved_weight: the share of what was learned that the LoRA's file applies at a weight of 1.
        higher_tested: the step was tested at a higher weight.
    """

    step: int | None = None
    weight: float = 1.0
    saved: tuple[int, ...] = ()
    tested: tuple[tuple[int, float], ...] = ()
    restarted: int = 0
    class_photos: bool = False
    sent_back: tuple[int, ...] = ()
    beside: str = ""
    preserved: bool = False
    hears_text: bool = True
    named: bool = False
    judge_trained: bool = False
    done: int = 0
    proposed: int = 0
    saved_weight: float = 1.0
    higher_tested: bool = False

    def midway(self, after: int = 0) -> int | None:
        """Of the earlier checkpoints that were not tested, lie after a step and before those that send back, the
        nearest to half of the steps; None where there is none."""
        if self.step is None:
            return None
        half, tested = self.step / 2, {step for step, _ in self.tested}
        end = min([self.step, *(step for step in self.sent_back if step < self.step)])
        left = (step for step in self.saved if after < step < end and step not in tested)
        return min(left, key=lambda step: abs(step - half), default=None)

    @property
    def neighbours(self) -> tuple[int | None, int | None]:
        """The saved checkpoints before and after this one; None where there is none."""
        if self.step is None:
            return None, None
        earlier = max((step for step in self.saved if step < self.step), default=None)
        return earlier, min((step for step in self.saved if step > self.step), default=None)

    @property
    def last(self) -> int | None:
        """The step that a training goes on from."""
        return None if self.step is None else max((self.step, self.done, *self.saved))


def _kept_as(key: str, default: Any) -> Any:
    """A field that a report keeps by another name, since there all facts lie side by side."""
    return field(default=default, metadata={"key": key})


@dataclass(frozen=True)
class LineFacts:
    """The lines that likeness is judged by; both None where none could be drawn.

    Attributes:
        keep: from here on a face is clearly this person.
        same: below it a face is a stranger's.
    """

    keep: float | None = None
    same: float | None = None


@dataclass(frozen=True)
class ReferenceFacts:
    """The character's photos in the template.

    Attributes:
        count: how many are in the template.
        outliers: those that look like another person.
        left, right: those that show the head turned to that side of the picture.
        separation: the smallest d' to strangers.
        mutual: mean cosine between the photos.
        yaw_spread: standard deviation of `faces.face.yaw_proxy`.
    """

    count: int = _kept_as("photos", 0)
    outliers: int = _kept_as("photos_outliers", 0)
    left: int = _kept_as("photos_left", 0)
    right: int = _kept_as("photos_right", 0)
    separation: float | None = None
    mutual: float | None = _kept_as("mutual_photos", None)
    yaw_spread: float | None = _kept_as("yaw_spread_photos", None)


@dataclass(frozen=True)
class CeilingFacts:
    """What the base model's VAE lets through at the painted face size.

    Attributes:
        retention: how much of the identity the VAE lets through.
        separation: d' of the photos after the VAE to strangers.
        lost: share of the photos whose face is lost, or cannot be judged, after the VAE.
    """

    retention: float | None = _kept_as("ceiling_retention", None)
    separation: float | None = _kept_as("ceiling_separation", None)
    lost: float | None = _kept_as("ceiling_lost", None)


@dataclass(frozen=True)
class PictureFacts:
    """What became of the pictures.

    Attributes:
        count: that were asked to show a face.
        read: could be read; `faces` show one; `counted` can be measured.
        no_face, small, blurred, unsure: pictures without a face, or with one that cannot be judged; `_share` is of the
            pictures read. no_face_more: that share beyond the base model's, where its pictures are there.
        small_full: pictures asked to show the whole body whose face is too small.
        hidden: pictures in which something hides who the face is (`faces.unjudgeable`); `hidden_by` the most frequent.
        several: pictures with a second face that may be the one that is meant (`ImageScore.faces`).
        ok, drifting, lost: counted pictures by `status_of`.
        sampling_steps: with which most of them were painted, or fewer; None where that is not known.
    """

    count: int = _kept_as("pictures", 0)
    read: int = 0
    faces: int = 0
    counted: int = 0
    no_face: int = 0
    no_face_share: float | None = None
    no_face_more: float | None = None
    small: int = 0
    small_share: float | None = None
    small_full: int = 0
    blurred: int = 0
    blurred_share: float | None = None
    unsure: int = 0
    unsure_share: float | None = None
    hidden: int = 0
    hidden_share: float | None = None
    hidden_by: str | None = None
    several: int = 0
    several_share: float | None = None
    ok: int = 0
    drifting: int = 0
    lost: int = 0
    sampling_steps: int | None = None


@dataclass(frozen=True)
class IdentityFacts:
    """How much of the identity the pictures keep.

    Attributes:
        retention: against the photos, with `retention_low` and `retention_high`; `retention_best`: against the ceiling
            where there is one.
        own_retention: what `retention_best` of the person's own pictures may be by chance, where no alarm is raised:
            that of the keep line where all lie above it, else that of `Calibration.least_mean`.
        likeness: mean; `likeness_p10`: interpolated 10th percentile; `lowest`.
        lost_share: of the counted pictures, those that are lost (`status_of`).
        under_keep: pictures under the keep line.
        as_strangers: how many strangers the pictures add up to (`Lines.as_strangers`); `alarm_from`: from there on
            drift is certain enough.
        lower_p: one-sided p that the pictures are as alike as the photos.
        mutual: mean cosine between the pictures.
    """

    retention: float | None = None
    retention_low: float | None = None
    retention_high: float | None = None
    retention_best: float | None = None
    own_retention: float | None = None
    likeness: float | None = None
    likeness_p10: float | None = None
    lowest: float | None = None
    lost_share: float | None = None
    under_keep: int = 0
    as_strangers: float | None = None
    alarm_from: float | None = None
    lower_p: float | None = None
    mutual: float | None = None


@dataclass(frozen=True)
class BaseComparison:
    """The pictures against those without the LoRA, and those without the trigger.

    Attributes:
        no_face_share, blurred_share: of the pictures without the LoRA.
        alike: mean cosine between a face and that of the same prompt and seed without the LoRA.
        mutual: mean cosine between them; from `mutual_like` on the pictures with the LoRA show one face.
        uplift: mean gain over the same prompt and seed without the LoRA, `uplift_p` its p, `uplift_pairs` how many.
        leak, leak_cells: pictures without the trigger that show the character anyway; `leak_share` how much of the
            gain over the base model's median likeness they have although the trigger is missing.
        adherence: mean change of CLIP's text-image cosine by the LoRA, paired.
    """

    no_face_share: float | None = _kept_as("base_no_face_share", None)
    blurred_share: float | None = _kept_as("base_blurred_share", None)
    alike: float | None = _kept_as("base_alike", None)
    mutual: float | None = _kept_as("mutual_base", None)
    mutual_like: float | None = None
    uplift: float | None = None
    uplift_p: float | None = None
    uplift_pairs: int = 0
    leak: int | None = None
    leak_cells: int = 0
    leak_share: float | None = None
    adherence: float | None = None


@dataclass(frozen=True)
class CopyFacts:
    """Pictures that repeat a photo.

    Attributes:
        count: pictures that repeat a photo, `share` of those read; `copied` names one.
        hole: the photo that is nearest to most pictures, `hole_share` of counted.
    """

    count: int = _kept_as("copies", 0)
    share: float | None = _kept_as("copies_share", None)
    copied: str | None = None
    hole: str | None = None
    hole_share: float | None = None


@dataclass(frozen=True)
class VarietyFacts:
    """How varied the pictures are.

    Attributes:
        ratio: variety as a share of that without the LoRA: of CLIP's features where a model is on the machine, else of
            hashes and surroundings.
        limit: under it they are all alike.
    """

    ratio: float | None = _kept_as("variety_ratio", None)
    limit: float | None = _kept_as("variety_limit", None)


@dataclass(frozen=True)
class AngleFacts:
    """What turning the head does.

    Attributes:
        yaw_spread: standard deviation of `faces.face.yaw_proxy`.
        ahead, ahead_under: counted faces that are not turned, and those of them under the keep line.
        ahead_as_strangers, ahead_alarm_from: of these alone, as in `IdentityFacts`; None for fewer than `LEAST_FACES`.
        aside, aside_under: the same of turned ones.
        frontal, turned: mean likeness of faces from the front and of turned ones.
        turned_drop: their difference in spreads of the photos beyond what the photos themselves lose.
        frontal_kept: like `IdentityFacts.retention_best` of those from the front alone.
    """

    yaw_spread: float | None = None
    ahead: int = 0
    ahead_under: int = 0
    ahead_as_strangers: float | None = None
    ahead_alarm_from: float | None = None
    aside: int = 0
    aside_under: int = 0
    frontal: float | None = None
    frontal_kept: float | None = None
    turned: float | None = None
    turned_drop: float | None = None


@dataclass(frozen=True)
class AttributeFacts:
    """The one attribute with which the face is lost.

    Attributes:
        weak: the attribute; `weak_drop` by how many spreads the face is lost at least.
        rest: the mean likeness without it; `rest_kept` like `IdentityFacts.retention_best` of those alone.
        shared: what at least half of the pictures under the keep line were asked to show, and hardly any other was; in
            words.
    """

    weak: str | None = None
    weak_drop: float | None = None
    rest: float | None = None
    rest_kept: float | None = None
    shared: str | None = None


@dataclass(frozen=True)
class SurfaceFacts:
    """Skin, eyes, age.

    Attributes:
        detail_ratio, contrast_ratio, colour_ratio: of the skin against `texture_of`; `clipped_more` in shares.
        sharp_ratio: of the whole face's sharpness (`faces.face.Face.blur`) against the same.
        eye_change: median difference of the eyes' colour (CIE76).
        age_change: years, and `sex_changes` a share; only where the engine tells.
    """

    texture_of: str | None = None
    detail_ratio: float | None = None
    contrast_ratio: float | None = None
    colour_ratio: float | None = None
    clipped_more: float | None = None
    sharp_ratio: float | None = None
    eye_change: float | None = None
    age_change: float | None = None
    sex_changes: float | None = None


@dataclass(frozen=True)
class PromptFacts:
    """Whether the pictures do what their prompts ask for (`prompt_adherence.followed`).

    Attributes:
        judgeable, given: heads and mouths that were asked for something and can be judged, and those that do it;
            `judgeable_base` and `given_base` the same without the LoRA.
        turning: how far heads turn where the base model's turn with the same prompt and seed, 0..1 (1 = as far).
        scene: how far the surroundings are those that the base model paints for the same prompt, 0..1.
        followed: mean of these, each as a share of the base model's; None where fewer than two can be measured.
    """

    judgeable: int = _kept_as("asked_told", 0)
    given: int = _kept_as("asked_given", 0)
    judgeable_base: int = _kept_as("asked_told_base", 0)
    given_base: int = _kept_as("asked_given_base", 0)
    turning: float | None = None
    scene: float | None = None
    followed: float | None = None


@dataclass(frozen=True)
class TrainingFacts:
    """Where in a run the pictures come from, and what could be done next.

    Attributes:
        step, weight, earlier, midway, last: see `Training`; `earlier` is the checkpoint before this one.
        later: the best of the later checkpoints that were tested and are clearly better; else, of those that were not
            tested, have a quarter of the proposed steps and lie before the first that is clearly worse, the nearest to
            twice the step; else that one; else the last that was tested.
        lower, much_lower: 0.8 and 0.6 times the weight; at most 1.
        usable_step: the best tested checkpoint before this one whose own verdict does not send back, if it keeps more
            than this one; or at least half as much, where no checkpoint between them is left to test.
        best_step, fallen: the best tested checkpoint, and how much retention was lost since.
        risen: retention gained since the tested checkpoint before this one.
        later_gain: how much more retention the later checkpoint has, where it was tested.
        earlier_sends_back, later_sends_back: it is one of `Training.sent_back`.
        gained: retention gained since the training was continued after its end (`Training.restarted`), where that end
            was tested; of a step up to it, by the best that was tested after it.
        class_photos, preserved, hears_text, named, judge_trained, saved_weight, higher_tested: see `Training`.
        whole_weight: at which the LoRA's file applies all that was learned.
        more: how many steps to train on after the last, in tens, by what the steps so far brought
            (`metrics.share_to_train`); up to `Training.proposed` at least.
        as_many: as many steps as the run has, in tens; up to `Training.proposed` at least.
        unfinished: share of `Training.proposed` that is missing, 0..1; None where nothing is proposed.
        beside: see `Training`.
    """

    step: int | None = None
    weight: float = 1.0
    saved_weight: float = 1.0
    whole_weight: float = 1.0
    lower: float = 0.8
    much_lower: float = 0.6
    later: int | None = None
    earlier: int | None = None
    midway: int | None = None
    last: int | None = None
    best_step: int | None = None
    usable_step: int | None = None
    fallen: float | None = None
    risen: float | None = None
    later_gain: float | None = None
    later_sends_back: bool = False
    earlier_sends_back: bool = False
    gained: float | None = None
    class_photos: bool = False
    preserved: bool = False
    hears_text: bool = True
    named: bool = False
    judge_trained: bool = False
    higher_tested: bool = False
    more: int | None = None
    as_many: int | None = None
    unfinished: float | None = None
    beside: str = ""


@dataclass(frozen=True)
class Facts:
    """Everything the rules may ask. Counts are numbers of pictures, shares 0..1, likenesses cosines.

    Attributes:
        refusal: why no line could be drawn; None where there are lines.
        least: how many pictures a verdict needs.
    """

    refusal: LineRefusal | None = None
    least: int = LEAST_FACES
    lines: LineFacts = field(default_factory=LineFacts)
    photos: ReferenceFacts = field(default_factory=ReferenceFacts)
    ceiling: CeilingFacts = field(default_factory=CeilingFacts)
    pictures: PictureFacts = field(default_factory=PictureFacts)
    identity: IdentityFacts = field(default_factory=IdentityFacts)
    base: BaseComparison = field(default_factory=BaseComparison)
    copies: CopyFacts = field(default_factory=CopyFacts)
    variety: VarietyFacts = field(default_factory=VarietyFacts)
    angles: AngleFacts = field(default_factory=AngleFacts)
    attribute: AttributeFacts = field(default_factory=AttributeFacts)
    surface: SurfaceFacts = field(default_factory=SurfaceFacts)
    prompt: PromptFacts = field(default_factory=PromptFacts)
    training: TrainingFacts = field(default_factory=TrainingFacts)


def flat(facts: Facts) -> dict[str, Any]:
    """Facts by one name each, as reports keep them and sentences name them."""
    values = {key: getattr(group, name) for key, group, name in _places(facts)}
    return {**values, **kept_refusal(facts.refusal)}


def from_flat(values: Mapping[str, Any], where: str = "facts") -> Facts:
    """Facts from what `flat` gave.

    Raises:
        UserError: an unknown name, or a value of the wrong type.
    """
    return from_dict(Facts, nested(values), where)


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """What `flat` gave, in any version, each value in its part of `Facts`; unknown names stay outside."""
    known = {key: (part.name, name) for part in fields(Facts) for key, name in _keys(part)}
    parts: dict[str, Any] = {}
    for key, value in with_refusal(values).items():
        part, name = known.get(key, ("", key))
        (parts.setdefault(part, {}) if part else parts)[name] = value
    return parts


def _keys(part: Field[Any]) -> Iterator[tuple[str, str]]:
    """Of each fact in a part of `Facts`: the name that it is kept by, and that in its part."""
    if is_dataclass(part.default_factory):
        for one in fields(part.default_factory):
            yield one.metadata.get("key", one.name), one.name


def _places(facts: Facts) -> Iterator[tuple[str, object, str]]:
    for part in fields(Facts):
        keys = [*_keys(part)]
        yield from ((key, getattr(facts, part.name), name) for key, name in keys)
        if not keys:
            yield part.name, facts, part.name


def status_of(score: ImageScore, calibration: Calibration) -> Status:
    """What one picture is called. Without lines a picture that could be measured is "unjudged"."""
    if score.likeness is None:
        return "no face" if score.face is None and score.reason == NO_FACE else "unreadable"
    if score.reason:
        return "suspect"
    if calibration.lines is None:
        return "unjudged"
    if score.likeness < calibration.lines.same:
        return "lost"
    return "drift" if score.likeness < calibration.lines.keep else "ok"


def statuses(scores: Sequence[ImageScore], calibration: Calibration) -> list[Status]:
    """`status_of` of each."""
    return [status_of(score, calibration) for score in scores]


NO_FACE = "no face found"
