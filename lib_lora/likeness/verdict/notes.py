"""Lists the notes beside the verdict as data: each whose conditions all hold is shown.

No note changes the verdict.
"""

from __future__ import annotations

from lib_lora.likeness.verdict.rule_conditions import (
    AT_WEIGHT_1,
    DISOBEYS,
    ENOUGH_PROMPTS,
    HALF,
    HALF_FOLLOWED,
    KEPT,
    LEAKED,
    LEAST_SAMPLING,
    MANY,
    PRESERVED,
    UNTRIGGERED,
)
from lib_lora.likeness.verdict.rule_language import Note, above, at_least, at_most, below, there, unless

NOTES: tuple[Note, ...] = (
    Note(
        "mixed photos",
        (at_least(lambda f: f.photos.outliers, 2),),
        "{photos_outliers} photos look unlike the others: see whether they show another person.",
    ),
    Note(
        "strangers among them",
        (at_least(lambda f: f.pictures.lost, 1), at_least(lambda f: f.identity.retention_best, HALF)),
        "Faces no more like the photos than a stranger's can be, which are marked: {lost} of {counted}.",
    ),
    Note(
        "turned heads",
        (
            at_least(lambda f: f.identity.retention_best, KEPT),
            below(lambda f: f.identity.as_strangers, lambda f: f.identity.alarm_from),
            at_least(lambda f: f.angles.ahead, 1),
            at_least(lambda f: f.angles.aside_under, 2),
            at_least(lambda f: 2 * f.angles.aside_under, lambda f: f.angles.aside),
        ),
        "From the front {ahead_ok} of {ahead} faces are clearly this person; {turned_in_words} are below the keep "
        "line. Of the photos {photos_left} show the head turned to the left and {photos_right} to the right of the "
        "picture.",
    ),
    Note(
        "small faces",
        (at_least(lambda f: f.pictures.small, 2), below(lambda f: f.pictures.small_share, MANY)),
        "{small} pictures have a face under 40 pixels and are not judged; that is resolution, not drift (hires fix "
        "or a larger picture helps).",
    ),
    Note(
        "small face",
        (
            at_least(lambda f: f.pictures.small, 1),
            at_most(lambda f: f.pictures.small, 1),
            below(lambda f: f.pictures.small_share, MANY),
        ),
        "{small} picture has a face under 40 pixels and is not judged; that is resolution, not drift (hires fix or a "
        "larger picture helps).",
    ),
    Note(
        "hidden faces",
        (at_least(lambda f: f.pictures.hidden, 1), below(lambda f: f.pictures.hidden_share, MANY)),
        "In {hidden} of {read} pictures the face cannot be judged: {hidden_in_words}.",
    ),
    Note(
        "several faces",
        (at_least(lambda f: f.pictures.several, 2), below(lambda f: f.pictures.several_share, MANY)),
        "{several} pictures show several faces; the most similar one counts.",
    ),
    Note(
        "leak",
        (at_least(lambda f: f.base.leak, LEAKED),),
        "{leak} of {leak_cells} pictures without the trigger show this person too: the LoRA has changed the class "
        "word as well.",
    ),
    Note(
        "trigger without effect",
        (at_least(lambda f: f.base.leak_share, UNTRIGGERED), below(lambda f: f.base.leak, LEAKED)),
        "Without the trigger the pictures gain nearly as much ({leak_share:.0%}): so far the LoRA changes the class "
        "word more than it learns the trigger.",
    ),
    Note(
        "class pictures",
        (
            there(lambda f: f.training.class_photos),
            there(lambda f: f.identity.retention_best),
            unless(DISOBEYS),
        ),
        "Trained with class pictures: some such LoRAs painted much the same picture whatever the prompt asked for. "
        "Look whether each picture shows what its prompt asks for.",
    ),
    Note(
        "prompts at a lower weight",
        (PRESERVED, AT_WEIGHT_1),
        "Trained with output preservation: if prompts are not followed closely enough, test a weight of 0.85 as well. "
        "LoRAs of the small base model followed them better there, and kept less of the face.",
        kinds=("consistent",),
    ),
    Note(
        "prompts at a lower weight, little followed",
        (
            unless(PRESERVED),
            unless(there(lambda f: f.training.class_photos)),
            AT_WEIGHT_1,
            below(lambda f: f.prompt.followed, HALF_FOLLOWED),
            at_least(lambda f: f.pictures.counted, ENOUGH_PROMPTS),
        ),
        "The pictures change less with their prompts than the base model's do: if that is too little, test a weight of "
        "0.85 as well. LoRAs of the small base model mostly followed their prompts better there, and kept a little "
        "less of the face.",
        kinds=("consistent",),
    ),
    Note(
        "saved at less",
        (
            below(lambda f: f.training.saved_weight, 1.0),
            below(lambda f: f.training.weight, lambda f: f.training.whole_weight),
        ),
        "The LoRA is saved at {saved_weight:g} of what it has learned: before training on, test a weight of "
        "{whole_weight:g}, which shows all of it.",
        kinds=("undertrained", "slightly undertrained", "drift"),
    ),
    Note(
        "few sampling steps",
        (below(lambda f: f.pictures.sampling_steps, LEAST_SAMPLING),),
        "Painted with {sampling_steps} sampling steps: unless the base model needs no more, test with 20 before "
        "training on, since unfinished faces are less like the photos.",
        kinds=("undertrained", "slightly undertrained", "drift"),
    ),
    Note(
        "judge has trained",
        (there(lambda f: f.training.judge_trained),),
        "The recogniser that judges these pictures also trained this LoRA (identity loss), so their likeness may be "
        "overstated: look at the pictures yourself, or judge them with InsightFace.",
    ),
    Note(
        "low ceiling",
        (below(lambda f: f.ceiling.retention, 0.8),),
        "The base model's VAE lets only {ceiling_retention:.0%} of the identity through at this face size; larger "
        "faces keep more.",
    ),
    Note(
        "eyes",
        (
            above(lambda f: f.surface.eye_change, 15.0),
            at_least(lambda f: f.identity.retention_best, HALF),
        ),
        "The eyes have a different colour than in the photos (difference {eye_change:.0f}; 10 is obvious).",
    ),
    Note(
        "age",
        (above(lambda f: f.surface.age_change, 5.0),),
        "The person looks {age_change:.0f} years older than in the photos: is an age word in every caption?",
    ),
    Note(
        "age, younger",
        (below(lambda f: f.surface.age_change, -5.0),),
        "The person looks {younger} years younger than in the photos: is an age word in every caption?",
    ),
    Note(
        "sex",
        (above(lambda f: f.surface.sex_changes, 0.2),),
        "In {sex_changes:.0%} of the pictures the engine takes the person for a different sex than in the photos.",
    ),
)
