"""Lists the verdict's rules as data: the first whose conditions all hold gives the verdict and its one advice.

The rules are ordered: first what makes any verdict impossible, then what the pictures themselves lack, then the face.
The conditions and limits that several rules share are in `rule_conditions`.
"""

from __future__ import annotations

from lib_lora.character.photo_counts import BEST_COUNT, FEW_BELOW
from lib_lora.likeness.measure.calibration import LEAST_FACES, LEAST_PHOTOS, LEAST_SEPARATION
from lib_lora.likeness.verdict.rule_conditions import (
    ANOTHER_FACE,
    AS_TRAINED,
    AT_WEIGHT_1,
    BURNT,
    CAST,
    COLLAPSED,
    COPIED,
    CUT_SHORT,
    EARLIER,
    EFFECT,
    FACES_BREAK,
    FACES_HARDLY_CHANGED,
    FALLEN,
    FEW_TURNED,
    HALF,
    HIGHER,
    HIGHER_WEIGHT,
    IGNORED,
    KEPT,
    LATER,
    LATER_WORSE,
    LEAKED,
    LEARNED,
    LEAST_SAMPLING,
    LITTLE_FOLLOWED,
    LORA_BLURS,
    LOW_WEIGHT,
    LOWER_PRESERVED_WEIGHT,
    MANY,
    NEARLY_KEPT,
    NO_FACES,
    NO_GAIN_IN_A_RUN,
    NOT_LEARNED,
    PAINTED,
    PRESERVATION,
    PRESERVED,
    PRESERVED_WEIGHT,
    RISING,
    RUN,
    SHARP,
    SHARPLY,
    SMOOTH,
    SPOILED,
    TOO_STRONG,
    TRAINED_ON,
    TURNED,
    UNDER,
    WEAK,
    WEAK_SPOT,
)
from lib_lora.likeness.verdict.rule_language import (
    Limit,
    Rule,
    above,
    at_least,
    at_most,
    below,
    there,
    unless,
)

_ONE_FACE = (
    "The pictures show one face in one pose, whatever the prompt, and it is no longer quite this one: they are more "
    "alike to each other ({mutual:.2f}) than to the photos ({likeness:.2f})."
)
_OTHER_FACES = (
    "With the LoRA the faces differ from the base model's of the same seeds (likeness {base_alike:.2f}), but are "
    "no more like the photos ({uplift:+.2f}): the training has spoiled them."
)
_TURNED_PHOTOS = (
    "3 to 5 photos with the head turned left and right (there are {photos_left} turned to the left and {photos_right} "
    "to the right of the picture), train again, and keep the LoRA that is better."
)
# Photos that were added did not help (docs/likeness.md), so they come second, and the better LoRA is kept.
_OTHER_SEEDS = "Test it once more with other seeds; if the face drifts again, add "
_TRAIN_MORE = "Train {more} more steps{after_last}{at_one}, and keep the step that is better."
_FROM_THE_FRONT = (
    "From the front {ahead_ok} of {ahead} faces are clearly this person; {turned_in_words} are below the keep line."
)
_TURNED_DRIFT = "Good from the front; turned heads drift"
_ADD_TURNED = (
    _FROM_THE_FRONT,
    # added where they were asked for, they helped one of six people (docs/likeness.md)
    "Use {it} for faces from the front; for a new run add " + _TURNED_PHOTOS,
    "add_photos",
    None,
    _TURNED_DRIFT,
)
_LEARNED_AHEAD = (*TURNED, at_least(lambda f: f.angles.frontal_kept, KEPT))
_NAME_IT = (
    "The face is lost with one thing in the prompt: {weak}.",
    "Name it ({weak}) in the captions of the photos where it can be seen, or leave it out of the prompt.",
)
_AT_HIGHER_WEIGHT: tuple[str, str, Limit] = (
    f"Test it at weight {HIGHER_WEIGHT:g}, and use it there if the face holds.",
    "set_weight",
    HIGHER_WEIGHT,
)
_SAID = "{kept_in_words}"
_LEAKS = _SAID + "; but {leak} of {leak_cells} pictures without the trigger show this person too."
_UNDER_LINE = "{under_keep} of {counted} faces are below what the character's own photos allow."

_BROKEN = "{no_face} of {read} pictures show no face, while the base model paints one: the LoRA breaks the picture."
_BLURRED = (
    "In {blurred} of {read} pictures the face is too blurred to judge, while the base model paints it sharply: the "
    "LoRA blurs it."
)
_WITHOUT_CLASS_PICTURES = (
    "Train again without the class pictures: with them, further training made LoRAs ignore their prompts."
)
_LATER_STEP = "Test the later checkpoint, step {later}, as well{later_at_one}; continue with the better of the two."
_LATER_IS_WORSE = (
    "{kept_in_words}, and step {later} is no better.",
    "Keep step {step}; for a new run halve the learning rate.",
)
_MORE_FAILS = (
    "Further training has brought nothing: {kept_in_words}, as at the step at which it was continued.",
    "Train again with twice the learning rate; first make sure that all photos show this person, clearly and close.",
)
_EARLIER_WAS_BETTER: tuple[str, str, str, Limit] = (
    _SAID + ", {fallen_points} percentage points less than at step {best_step}.",
    "Use step {best_step}; further training does not help.",
    "use_step",
    lambda f: f.training.best_step,
)
_USABLE_STEP: tuple[str, str, Limit] = (
    "Use step {usable_step}, whose faces can be judged; for a new run halve the learning rate.",
    "use_step",
    lambda f: f.training.usable_step,
)
_KEEP_USABLE_STEP: tuple[str, str, Limit] = (
    "Keep step {usable_step}; for a new run use a third of the learning rate.",
    "use_step",
    lambda f: f.training.usable_step,
)
_ONE_POSE = "The prompt has next to no effect: {obeyed_in_words}, and {unvaried_in_words}."

_NOT_PRESERVED = (
    *LEARNED,
    at_least(lambda f: f.base.leak, LEAKED),
    RUN,
    unless(there(lambda f: f.training.preserved)),
    # without trained text encoders the small base model lost the person (docs/quality.md)
    there(lambda f: f.training.hears_text),
)

# Nobody should use a checkpoint at the weight of such a verdict, whatever its advice is.
UNUSABLE = frozenset(
    (
        "too high a weight",
        "collapsed",
        "spoiled",
        "follows no prompt",
        "follows no prompt, class pictures",
        "follows no prompt, preserved",
        "follows no prompt, preserved, lower weight",
        "follows prompts little, class pictures",
    )
)

RULES: tuple[Rule, ...] = (
    # -- nothing can be said
    Rule(
        "few photos",
        "not measurable",
        (there(lambda f: f.refusal), below(lambda f: f.photos.count, LEAST_PHOTOS)),
        "{refusal}.",
        f"Add photos until at least {FEW_BELOW} show the face clearly ({BEST_COUNT[0]} to {BEST_COUNT[1]} are best), "
        "then test again.",
        "add_photos",
    ),
    Rule(
        "not separable",
        "not measurable",
        (there(lambda f: f.refusal), below(lambda f: f.photos.separation, LEAST_SEPARATION)),
        "{refusal}.",
        "Judge this character by eye on the contact sheet; for a photo-like one look through the photos for other "
        "people and take them out.",
    ),
    Rule(
        "origin unknown",
        "not measurable",
        (there(lambda f: f.refusal), there(lambda f: f.refusal and f.refusal.remedy())),
        "{refusal}.",
        "{remedy}.",
    ),
    Rule(
        "no lines",
        "not measurable",
        (there(lambda f: f.refusal),),
        "{refusal}.",
        "Paint the test grid with and without the LoRA, so that there is something to compare with.",
    ),
    Rule(
        "nothing readable",
        "not measurable",
        (at_most(lambda f: f.pictures.read, 0),),
        "Could not read any of the {pictures} pictures.",
        "Check the files listed below; supported formats are PNG, JPEG and WebP.",
    ),
    # -- the pictures lack something
    Rule(
        "few sampling steps",
        "not measurable",
        (
            below(lambda f: f.pictures.sampling_steps, LEAST_SAMPLING),
            unless(at_least(lambda f: f.identity.retention_best, HALF)),
        ),
        "The pictures were painted with {sampling_steps} sampling steps, after which most base models' faces are "
        "unfinished.",
        "Paint with as many sampling steps as the base model needs (20 for most), and test again; do not retrain for "
        "this.",
    ),
    Rule(
        "base paints no face",
        "no face",
        (above(lambda f: f.pictures.no_face_share, MANY), above(lambda f: f.base.no_face_share, MANY)),
        "{no_face} of {read} pictures show no face, and without the LoRA most show none either.",
        "If the pictures are smaller than those that the base model was made for, paint larger ones; if they are not, "
        "choose a base model that paints people.",
        "paint_larger",
    ),
    Rule(
        "faces break, earlier step tested",
        "over-baked",
        (*FACES_BREAK, there(lambda f: f.training.usable_step)),
        _BROKEN,
        *_USABLE_STEP,
    ),
    Rule(
        "faces break, earlier step",
        "over-baked",
        (*FACES_BREAK, EARLIER),
        _BROKEN,
        "Test the earlier checkpoint, step {earlier}; if it breaks too, train again with half the learning rate.",
        "test_step",
        lambda f: f.training.earlier,
    ),
    Rule(
        "faces break",
        "over-baked",
        (*FACES_BREAK, RUN),
        _BROKEN,
        "Train again with half the learning rate.",
    ),
    Rule(
        "no face",
        "no face",
        (above(lambda f: f.pictures.no_face_more, NO_FACES), at_least(lambda f: f.pictures.no_face, 3)),
        "{no_face} of {read} pictures show no face that the detector finds.",
        "Test with prompts that show the face (portrait, upper body), or lower the LoRA's weight to {lower:g}.",
        "set_weight",
        lambda f: f.training.lower,
    ),
    Rule(
        "no face in a few pictures",
        "no face",
        (above(lambda f: f.pictures.no_face_share, MANY),),
        "{no_face} of {read} pictures show no face that the detector finds.",
        "Provide pictures that show the face.",
    ),
    Rule(
        "tiny faces",
        "too small",
        (at_least(lambda f: f.pictures.small_share, MANY),),
        "In {small} of {read} pictures the face is smaller than 40 pixels, which no engine can judge.",
        "Paint larger pictures or closer framing, or switch on hires fix, and test again; do not retrain for this.",
        "paint_larger",
    ),
    Rule(
        "LoRA blurs, earlier step tested",
        "over-baked",
        (*LORA_BLURS, there(lambda f: f.training.usable_step)),
        _BLURRED,
        *_USABLE_STEP,
    ),
    Rule(
        "LoRA blurs, earlier step",
        "over-baked",
        (*LORA_BLURS, there(lambda f: f.training.midway)),
        _BLURRED,
        "Test an earlier checkpoint, step {midway}; if it blurs too, train again with a third of the learning rate.",
        "test_step",
        lambda f: f.training.midway,
    ),
    Rule(
        "LoRA blurs",
        "over-baked",
        (*LORA_BLURS, RUN),
        _BLURRED,
        "Train again with a third of the learning rate, without photos that are blurred.",
    ),
    Rule(
        "blurred faces",
        "blurred",
        (at_least(lambda f: f.pictures.blurred_share, MANY),),
        "In {blurred} of {read} pictures the face is too blurred to judge.",
        "Paint with more sampling steps, without blur in the prompt and with the LoRA at weight 1 or less; if only the "
        "LoRA blurs, use an earlier checkpoint.",
    ),
    Rule(
        "unsure faces",
        "not measurable",
        (at_least(lambda f: f.pictures.unsure_share, MANY),),
        "In {unsure} of {read} pictures the face is cut off by the edge, or is hardly a face.",
        "Test with prompts that show the whole face, and look at the pictures.",
    ),
    Rule(
        "hidden faces",
        "not measurable",
        (at_least(lambda f: f.pictures.hidden_share, MANY),),
        "In {hidden} of {read} pictures the face cannot be judged: {hidden_in_words}.",
        "Provide pictures that show the whole face uncovered, photo-like and not heavily compressed; judge "
        "painted styles by eye.",
    ),
    Rule(
        "two faces",
        "several people",
        (at_least(lambda f: f.pictures.several_share, MANY),),
        "{several} of {read} pictures show several faces, so it is unclear which one is meant.",
        "Put 'solo' into the prompt and 'two people, crowd' into the negative prompt, and test again.",
    ),
    Rule(
        "too few faces",
        "not measurable",
        (below(lambda f: f.pictures.counted, LEAST_FACES),),
        "Only {counted} of {pictures} pictures show a face that can be measured; {least} are needed.",
        "Provide more pictures that show the face.",
    ),
    # -- what the base model cannot show
    Rule(
        "base too coarse",
        "base too coarse",
        (
            below(lambda f: f.ceiling.separation, LEAST_SEPARATION),
            below(lambda f: f.identity.retention_best, KEPT),
        ),
        "At this picture size the base model's VAE alone blurs the identity so far (d' {ceiling_separation:.1f}) that "
        "the person and strangers cannot be told apart.",
        "Paint larger faces: a larger picture, closer framing, or hires fix; then test again.",
        "paint_larger",
    ),
    Rule(
        "base loses faces",
        "base too coarse",
        (above(lambda f: f.ceiling.lost, MANY), below(lambda f: f.identity.retention_best, KEPT)),
        "At this picture size the base model's VAE alone loses the face in {ceiling_lost:.0%} of the photos.",
        "Paint larger faces: a larger picture, closer framing, or hires fix; then test again.",
        "paint_larger",
    ),
    # -- the face is lost
    Rule(
        "too high a weight",
        "drift",
        TOO_STRONG,
        _SAID + " at weight {weight:g}, and the faces look as they do after too much training.",
        "Test it at weight 1.",
        "set_weight",
        1.0,
        "The weight is too high",
    ),
    Rule(
        "over-baked",
        "over-baked",
        (at_least(lambda f: f.training.fallen, 0.15), NOT_LEARNED),
        "At step {best_step} {fallen_points} percentage points more of the identity were kept: trained past the best "
        "point.",
        "Keep step {best_step}; for a new run halve the learning rate.",
        "use_step",
        lambda f: f.training.best_step,
    ),
    # Trained to pieces, by too many steps or too high a rate: it may keep less of the identity than a LoRA that was
    # hardly trained, and more steps would be the worst advice.
    Rule(
        "collapsed, earlier step tested",
        "overtrained",
        (*COLLAPSED, there(lambda f: f.training.usable_step)),
        _ONE_FACE,
        *_KEEP_USABLE_STEP,
    ),
    Rule(
        "collapsed, earlier step",
        "overtrained",
        (*COLLAPSED, there(lambda f: f.training.midway)),
        _ONE_FACE,
        "Test an earlier checkpoint, step {midway}; if it is no better, train again with a third of the learning rate.",
        "test_step",
        lambda f: f.training.midway,
    ),
    Rule(
        "collapsed",
        "overtrained",
        COLLAPSED,
        _ONE_FACE,
        "Train again with a third of the learning rate.",
    ),
    Rule(
        "another face",
        "another face",
        ANOTHER_FACE,
        "The pictures show one face again and again (mutual likeness {mutual:.2f}), but it is not this one.",
        "Make sure that no photo shows another person, and that LoRA and character belong together.",
    ),
    Rule(
        "spoiled, earlier step tested",
        "overtrained",
        (*SPOILED, there(lambda f: f.training.usable_step)),
        _OTHER_FACES,
        *_KEEP_USABLE_STEP,
    ),
    Rule(
        "spoiled, earlier step",
        "overtrained",
        (*SPOILED, there(lambda f: f.training.midway)),
        _OTHER_FACES,
        "Test an earlier checkpoint, step {midway}; if it is no better, train again with a third of the learning rate.",
        "test_step",
        lambda f: f.training.midway,
    ),
    Rule(
        "spoiled",
        "overtrained",
        SPOILED,
        _OTHER_FACES,
        "Train again with a third of the learning rate.",
    ),
    Rule(
        "weak at a low weight",
        "undertrained",
        (*WEAK, below(lambda f: f.training.weight, LOW_WEIGHT), RUN),
        _SAID + " at weight {weight:g}{lost_in_words}.",
        "Test it at weight 1.",
        "set_weight",
        1.0,
    ),
    Rule(
        "undertrained, class pictures",
        "undertrained",
        (*WEAK, there(lambda f: f.base.uplift), RUN, there(lambda f: f.training.class_photos)),
        _SAID + "{lost_in_words}.",
        _WITHOUT_CLASS_PICTURES,
    ),
    Rule(
        "trained on in vain",
        "no longer learning",
        (*WEAK, TRAINED_ON, unless(LATER)),
        *_MORE_FAILS,
    ),
    Rule("undertrained, later step is worse", "no longer learning", (*WEAK, RUN, LATER_WORSE), *_LATER_IS_WORSE),
    Rule(
        "no effect, later step",
        "undertrained",
        (*WEAK, below(lambda f: f.base.uplift, EFFECT), LATER),
        "With the LoRA the face is hardly more like the photos than without it ({uplift:+.2f}).",
        "Test the later checkpoint, step {later}, as well{later_at_one}.",
        "test_step",
        lambda f: f.training.later,
    ),
    Rule(
        "no effect",
        "undertrained",
        (*WEAK, below(lambda f: f.base.uplift, EFFECT), RUN),
        "With the LoRA the face is hardly more like the photos than without it ({uplift:+.2f}).",
        "Check that the trigger is in the captions and in the prompt; if so, train {as_many} more "
        "steps{after_last}{at_one}.",
        "train_more",
        lambda f: f.training.as_many,
    ),
    Rule(
        "not this person",
        "not this person",
        (
            *WEAK,
            at_least(lambda f: f.identity.lost_share, MANY),
            NO_GAIN_IN_A_RUN,
            unless(FACES_HARDLY_CHANGED),
        ),
        "{lost} of {counted} faces are no more like the photos than a stranger's can be.",
        "Check that these pictures and the character belong together; if its LoRA painted them, check the trigger in "
        "the prompt and the LoRA at weight 1.",
    ),
    Rule(
        "no effect, outside a run",
        "drift",
        (*WEAK, below(lambda f: f.base.uplift, EFFECT)),
        "These faces are hardly more like the photos than those without the LoRA ({uplift:+.2f}).",
        "Check that the prompt contains the trigger and this character's LoRA at weight 1.",
    ),
    Rule(
        "undertrained, no longer rising",
        "undertrained",
        (*WEAK, there(lambda f: f.base.uplift), at_least(lambda f: f.training.fallen, FALLEN)),
        *_EARLIER_WAS_BETTER,
    ),
    Rule(
        "undertrained, later step",
        "undertrained",
        (*WEAK, there(lambda f: f.base.uplift), LATER),
        _SAID + "{lost_in_words}.",
        _LATER_STEP,
        "test_step",
        lambda f: f.training.later,
    ),
    Rule(
        "undertrained",
        "undertrained",
        (*WEAK, there(lambda f: f.base.uplift), RUN),
        _SAID + "{lost_in_words}.",
        "Train {more} more steps{after_last}{at_one}.",
        "train_more",
        lambda f: f.training.more,
    ),
    Rule(
        "weak, outside a run",
        "drift",
        (*WEAK, there(lambda f: f.base.uplift)),
        _SAID + "{lost_in_words}.",
        "Check that the prompt contains the trigger and this character's LoRA at weight 1; then use a later "
        "checkpoint of it.",
    ),
    # -- the face is there, and too much with it
    Rule(
        "copies, earlier step",
        "overtrained",
        (
            at_least(lambda f: f.identity.retention_best, HALF),
            above(lambda f: f.copies.share, COPIED),
            at_least(lambda f: f.copies.count, 2),
            EARLIER,
            AS_TRAINED,
        ),
        "{copies} of {read} pictures repeat a photo (most often {copied}).",
        "Test the earlier checkpoint, step {earlier}.",
        "test_step",
        lambda f: f.training.earlier,
    ),
    Rule(
        "copies",
        "overtrained",
        (above(lambda f: f.copies.share, COPIED), at_least(lambda f: f.copies.count, 2)),
        "{copies} of {read} pictures repeat a photo (most often {copied}).",
        "Use the LoRA at weight {much_lower:g}, or train again with a third fewer steps and more varied photos.",
        "set_weight",
        lambda f: f.training.much_lower,
    ),
    Rule(
        "follows no prompt, class pictures",
        "follows no prompt",
        (*IGNORED, there(lambda f: f.training.class_photos), AS_TRAINED),
        _ONE_POSE,
        "Train again without the class pictures.",
    ),
    Rule(
        "follows no prompt, earlier step tested",
        "follows no prompt",
        (*IGNORED, there(lambda f: f.training.usable_step), AS_TRAINED),
        _ONE_POSE,
        *_KEEP_USABLE_STEP,
    ),
    Rule(
        "follows no prompt, preserved",
        "follows no prompt",
        (*IGNORED, PRESERVED, AT_WEIGHT_1),
        _ONE_POSE,
        f"Use the LoRA at weight {PRESERVED_WEIGHT:g}.",
        "set_weight",
        PRESERVED_WEIGHT,
    ),
    Rule(
        "follows no prompt, preserved, lower weight",
        "follows no prompt",
        (
            *IGNORED,
            PRESERVED,
            below(lambda f: f.training.weight, 1.0),
            at_least(lambda f: f.training.weight, LOW_WEIGHT),
            at_least(lambda f: f.training.saved_weight, 1.0),
        ),
        _ONE_POSE,
        f"Use the LoRA at weight {LOWER_PRESERVED_WEIGHT:g}.",
        "set_weight",
        LOWER_PRESERVED_WEIGHT,
    ),
    Rule(
        "follows no prompt, earlier step",
        "follows no prompt",
        (*IGNORED, there(lambda f: f.training.midway), AS_TRAINED),
        _ONE_POSE,
        "Test an earlier checkpoint, step {midway}; if it is no better, train again with a third of the learning rate.",
        "test_step",
        lambda f: f.training.midway,
    ),
    Rule(
        "follows no prompt",
        "follows no prompt",
        IGNORED,
        _ONE_POSE,
        "Use the LoRA at weight {much_lower:g}; if this persists, train again with a third of the learning rate.",
        "set_weight",
        lambda f: f.training.much_lower,
    ),
    Rule(
        "follows prompts little, class pictures",
        "follows no prompt",
        LITTLE_FOLLOWED,
        "Prompts have only {followed:.0%} of the effect that they have without the LoRA.",
        "Train again without the class pictures.",
        headline="Follows its prompts too little",
    ),
    Rule(
        "burnt",
        "overtrained",
        (
            above(lambda f: f.surface.contrast_ratio, BURNT),
            above(lambda f: f.surface.colour_ratio, BURNT),
        ),
        "The faces are burnt: {contrast_ratio:.1f} times the contrast and {colour_ratio:.1f} times the colour of "
        "{texture_of}.",
        "Use the LoRA at weight {lower:g}; if this persists, use an earlier checkpoint.",
        "set_weight",
        lambda f: f.training.lower,
    ),
    Rule(
        "plastic skin",
        "overtrained",
        (
            at_least(lambda f: f.identity.retention_best, HALF),
            below(lambda f: f.surface.detail_ratio, SMOOTH),
            at_least(lambda f: f.surface.sharp_ratio, SHARP),
            below(lambda f: f.surface.contrast_ratio, CAST),
            below(lambda f: f.surface.colour_ratio, CAST),
        ),
        "The skin looks like plastic: {detail_ratio:.0%} of the fine detail of {texture_of}.",
        "Use the LoRA at weight {lower:g}; if this persists, use an earlier checkpoint.",
        "set_weight",
        lambda f: f.training.lower,
    ),
    Rule(
        "overpowering",
        "overtrained",
        (*LEARNED, below(lambda f: f.base.adherence, -0.03)),
        "The pictures follow the prompt less than without the LoRA (CLIP {adherence:+.3f}).",
        "Use the LoRA at weight {lower:g}; if this persists, use an earlier checkpoint.",
        "set_weight",
        lambda f: f.training.lower,
    ),
    Rule(
        "all alike, earlier step",
        "overtrained",
        (
            at_least(lambda f: f.identity.retention_best, HALF),
            below(lambda f: f.variety.ratio, lambda f: f.variety.limit),
            EARLIER,
            AS_TRAINED,
        ),
        "The pictures vary only {variety_ratio:.0%} as much as without the LoRA.",
        "Test the earlier checkpoint, step {earlier}.",
        "test_step",
        lambda f: f.training.earlier,
    ),
    Rule(
        "all alike",
        "overtrained",
        (
            at_least(lambda f: f.identity.retention_best, HALF),
            below(lambda f: f.variety.ratio, lambda f: f.variety.limit),
        ),
        "The pictures vary only {variety_ratio:.0%} as much as without the LoRA.",
        "Use the LoRA at weight {lower:g}; for a new run vary background and clothes in the photos, or caption them.",
        "set_weight",
        lambda f: f.training.lower,
    ),
    Rule(
        "one photo everywhere",
        "overtrained",
        (
            at_least(lambda f: f.identity.retention_best, HALF),
            above(lambda f: f.copies.hole_share, MANY),
            at_least(lambda f: f.copies.count, 1),
        ),
        "{hole_share:.0%} of the pictures lean on one photo, {hole}.",
        "Take {hole} out of the photos, or caption what is special in it, and train again.",
    ),
    # -- the face is there, but not everywhere
    # A face that is not yet learned is lost first where the head turns or the prompt is strong: train on, while that
    # helps.
    Rule(
        "angles, later step",
        "drift",
        (*_LEARNED_AHEAD, LATER, unless(there(lambda f: f.training.class_photos))),
        _FROM_THE_FRONT,
        _LATER_STEP,
        "test_step",
        lambda f: f.training.later,
        _TURNED_DRIFT,
    ),
    Rule(
        "angles, unfinished training",
        "drift",
        (*_LEARNED_AHEAD, CUT_SHORT),
        _FROM_THE_FRONT,
        _TRAIN_MORE,
        "train_more",
        lambda f: f.training.more,
        _TURNED_DRIFT,
    ),
    Rule(
        "angles, higher weight",
        "drift",
        (*_LEARNED_AHEAD, HIGHER),
        _FROM_THE_FRONT,
        *_AT_HIGHER_WEIGHT,
        _TURNED_DRIFT,
    ),
    Rule("angles", "drift", _LEARNED_AHEAD, *_ADD_TURNED),
    Rule("angles, no longer rising", "drift", (*TURNED, below(lambda f: f.training.risen, RISING)), *_ADD_TURNED),
    Rule("one attribute", "drift", (*WEAK_SPOT, at_least(lambda f: f.attribute.rest_kept, KEPT)), *_NAME_IT),
    Rule(
        "one attribute, no longer rising",
        "drift",
        (*WEAK_SPOT, below(lambda f: f.training.risen, RISING)),
        *_NAME_IT,
    ),
    Rule(
        "slightly under, low weight",
        "slightly undertrained",
        (*UNDER, below(lambda f: f.training.weight, LOW_WEIGHT), RUN),
        _SAID + " at weight {weight:g}.",
        "Test it at weight 1.",
        "set_weight",
        1.0,
    ),
    Rule(
        "slightly under, class pictures",
        "slightly undertrained",
        (*UNDER, at_least(lambda f: f.base.uplift, EFFECT), RUN, there(lambda f: f.training.class_photos)),
        _SAID + ".",
        _WITHOUT_CLASS_PICTURES,
    ),
    Rule(
        "slightly under, no longer rising",
        "slightly undertrained",
        (*UNDER, at_least(lambda f: f.training.fallen, FALLEN)),
        *_EARLIER_WAS_BETTER,
    ),
    Rule(
        "slightly under, trained on in vain",
        "no longer learning",
        (*UNDER, TRAINED_ON, unless(LATER)),
        *_MORE_FAILS,
    ),
    Rule(
        "slightly under, later step is worse",
        "no longer learning",
        (*UNDER, at_least(lambda f: f.base.uplift, EFFECT), LATER_WORSE),
        *_LATER_IS_WORSE,
    ),
    Rule(
        "slightly under, later step",
        "slightly undertrained",
        (*UNDER, at_least(lambda f: f.base.uplift, EFFECT), LATER),
        _SAID + ".",
        _LATER_STEP,
        "test_step",
        lambda f: f.training.later,
    ),
    Rule(
        "slightly under, higher weight",
        "slightly undertrained",
        (
            *UNDER,
            at_least(lambda f: f.base.uplift, EFFECT),
            at_least(lambda f: f.identity.retention_best, NEARLY_KEPT),
            at_least(lambda f: f.training.unfinished, 0.0),
            HIGHER,
        ),
        _SAID + ".",
        *_AT_HIGHER_WEIGHT,
    ),
    Rule(
        "slightly under",
        "slightly undertrained",
        (*UNDER, at_least(lambda f: f.base.uplift, EFFECT), RUN),
        _SAID + ".",
        _TRAIN_MORE,
        "train_more",
        lambda f: f.training.more,
    ),
    Rule(
        "drift, lower weight seen",
        "drift",
        (*SHARPLY, below(lambda f: f.training.weight, LOW_WEIGHT)),
        _UNDER_LINE,
        "Use the LoRA at weight 1.",
        "set_weight",
        1.0,
    ),
    # Of painted pictures that keep too little the reason is sooner the weight or the training than the photos.
    Rule(
        "slightly under, outside a run",
        "drift",
        (*SHARPLY, *UNDER, PAINTED, unless(RUN)),
        _SAID + ".",
        "Check that the prompt contains the trigger and this character's LoRA at weight 1; if so, use a later "
        "checkpoint of it, or train it longer.",
    ),
    Rule(
        "drift, later step",
        "drift",
        (*SHARPLY, LATER, unless(there(lambda f: f.training.class_photos))),
        _UNDER_LINE,
        _LATER_STEP,
        "test_step",
        lambda f: f.training.later,
    ),
    Rule(
        "drift, unfinished training",
        "drift",
        (*SHARPLY, CUT_SHORT),
        _UNDER_LINE,
        _TRAIN_MORE,
        "train_more",
        lambda f: f.training.more,
    ),
    Rule("drift, higher weight", "drift", (*SHARPLY, HIGHER), _UNDER_LINE, *_AT_HIGHER_WEIGHT),
    Rule(
        "drift, one thing in common",
        "drift",
        (*SHARPLY, there(lambda f: f.attribute.shared)),
        _UNDER_LINE,
        _OTHER_SEEDS + "3 to 5 photos with {shared}, train again, and keep the LoRA that is better.",
        "add_photos",
    ),
    Rule(
        "drift, few turned photos",
        "drift",
        (*SHARPLY, below(lambda f: f.photos.left + f.photos.right, FEW_TURNED)),
        _UNDER_LINE,
        _OTHER_SEEDS + _TURNED_PHOTOS,
        "add_photos",
    ),
    Rule(
        "drift",
        "drift",
        SHARPLY,
        _UNDER_LINE,
        _OTHER_SEEDS
        + "3 to 5 close, sharp photos in other light and with other expressions, train again, and keep the "
        "LoRA that is better.",
        "add_photos",
    ),
    Rule(
        "faintly under, in a run",
        "slightly undertrained",
        (*UNDER, RUN),
        _SAID + ".",
        "Look at the marked pictures; the base model paints nearly this face, so test a lower weight as well.",
    ),
    Rule(
        "faintly under",
        "drift",
        UNDER,
        _SAID + ".",
        "Look at the marked pictures; if a LoRA painted them, use a later checkpoint of it, or weight 1.",
    ),
    # -- good
    Rule(
        "leak, not preserved",
        "consistent",
        (
            *_NOT_PRESERVED,
            # without words of their own for the rest, the trigger takes all of it, and prompts are no longer obeyed
            there(lambda f: f.training.named),
        ),
        _LEAKS,
        "Train again with output preservation and compare: this person shows less without the trigger, but prompts may "
        "be followed less and some likeness lost; until then keep {it}, and paint other people without it.",
        "train_again",
        PRESERVATION,
    ),
    Rule(
        "leak, plain captions",
        "consistent",
        _NOT_PRESERVED,
        _LEAKS,
        "Keep {it}, and paint other people without it; for a LoRA that shows this person less when not asked to, have "
        "captions written, train again with output preservation, and compare: prompts may be followed less.",
        "keep",
        PRESERVATION,
    ),
    Rule(
        "leak",
        "consistent",
        (*LEARNED, at_least(lambda f: f.base.leak, LEAKED)),
        _LEAKS,
        "Keep {it}; paint other people in the same picture without it (inpainting), since it would paint this face.",
        "keep",
    ),
    Rule(
        "consistent within the base",
        "consistent",
        (*LEARNED, below(lambda f: f.ceiling.retention, 0.8)),
        _SAID + "; its VAE shows only a part of it at this face size.",
        "Keep {it}; for more likeness paint larger faces or use hires fix.",
        "keep",
    ),
    Rule(
        "consistent",
        "consistent",
        LEARNED,
        _SAID + ", and {ok} of {counted} faces are clearly this person.",
        "Keep {it}.",
        "keep",
    ),
    Rule(
        "weak",
        "drift",
        (),
        _SAID + ".",
        "Compare the pictures with the photos; if a LoRA painted them, check the trigger in the prompt and weight 1.",
    ),
)
