"""Lists the fixed prompts of the test grid, which are the same for every character."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Framing = Literal["close", "half", "full"]


@dataclass(frozen=True)
class Prompt:
    """One prompt of the grid.

    Attributes:
        name: unique, a few words.
        text: with ``{who}`` where trigger, class word and traits go.
        framing: how much of the person is asked for.
        angle: "front" or "turned".
        attributes: what else it asks for, as "kind: value"; kinds are expression, outfit, light, setting, style and
            length. A value that two prompts share can be found to be what loses the face.
    """

    name: str
    text: str
    framing: Framing
    angle: Literal["front", "turned"] = "front"
    attributes: tuple[str, ...] = ()


PROMPTS: tuple[Prompt, ...] = (
    Prompt(
        "close, plain",
        "close-up portrait photo of {who}, looking at the camera, neutral expression, soft daylight",
        "close",
        attributes=("expression: neutral", "light: daylight"),
    ),
    Prompt(
        "street, smiling",
        "photo of {who}, smiling, city street in the background, daylight, upper body",
        "half",
        attributes=("expression: smiling", "light: daylight", "setting: street"),
    ),
    Prompt(
        "coat in the park",
        "upper body photo of {who} in a black coat, autumn park",
        "half",
        attributes=("outfit: coat", "setting: nature"),
    ),
    Prompt(
        "studio, serious",
        "studio portrait of {who}, grey background, serious expression, hard light",
        "close",
        attributes=("expression: serious", "light: hard", "setting: studio"),
    ),
    Prompt(
        "three-quarter view",
        "portrait photo of {who}, three-quarter view, looking to the left, indoors, warm light",
        "close",
        "turned",
        ("light: warm", "setting: indoors"),
    ),
    Prompt(
        "beach",
        "full body photo of {who} walking on a beach, white shirt and jeans, bright sun",
        "full",
        attributes=("outfit: white shirt", "light: sun", "setting: beach"),
    ),
    Prompt(
        "neon night",
        "portrait photo of {who} at night, neon lights, looking at the camera",
        "close",
        attributes=("light: neon",),
    ),
    Prompt(
        "sweater, café",
        "upper body photo of {who} in a red sweater, sitting in a cafe, warm light",
        "half",
        attributes=("outfit: sweater", "light: warm", "setting: indoors"),
    ),
    Prompt("short", "{who}", "half", attributes=("length: short",)),
    Prompt(
        "long",
        "highly detailed professional photo of {who}, upper body, relaxed pose, wearing a denim jacket over a plain "
        "white shirt, standing beside a large window in a bright modern apartment with green plants and wooden "
        "furniture, soft morning light, shallow depth of field, 50mm lens",
        "half",
        attributes=("length: long", "outfit: white shirt", "setting: indoors", "light: daylight"),
    ),
    Prompt(
        "turned right, laughing",
        "photo of {who} laughing, head turned to the right, garden, upper body, sun",
        "half",
        "turned",
        ("expression: smiling", "light: sun", "setting: nature"),
    ),
    Prompt(
        "profile",
        "profile portrait photo of {who}, side view, plain white background",
        "close",
        "turned",
        ("setting: studio",),
    ),
    Prompt(
        "suit, office",
        "full body photo of {who} in a dark business suit, standing in an office",
        "full",
        attributes=("outfit: suit", "setting: indoors"),
    ),
    Prompt(
        "sports",
        "full body photo of {who} in sportswear, running in a park, daylight",
        "full",
        attributes=("outfit: sportswear", "setting: nature", "light: daylight"),
    ),
    Prompt(
        "evening dress code",
        "photo of {who} in elegant evening wear, restaurant, candle light, upper body",
        "half",
        attributes=("outfit: evening", "light: candle", "setting: indoors"),
    ),
    Prompt(
        "winter",
        "close-up photo of {who} with a wool cap and scarf, snow, overcast sky",
        "close",
        attributes=("outfit: cap", "setting: nature"),
    ),
    Prompt(
        "surprised",
        "close-up portrait photo of {who}, surprised expression, plain blue background, hard light",
        "close",
        attributes=("expression: surprised", "light: hard", "setting: studio"),
    ),
    Prompt(
        "black and white",
        "black and white film photo of {who}, upper body, street, 1950s style",
        "half",
        attributes=("style: black and white", "setting: street"),
    ),
    Prompt(
        "painting",
        "oil painting of {who}, portrait, classical style",
        "close",
        attributes=("style: painting",),
    ),
    Prompt(
        "chair, from the side",
        "full body photo of {who} sitting on a wooden chair, seen from the side, looking at the camera, studio",
        "full",
        "turned",
        ("setting: studio",),
    ),
)

QUICK = 8  # the first prompts; they span framing, light, outfit and angle on their own
SCREENING = 12  # by which step and weight are searched; a verdict needs five faces, small base models lose half of them

# Painted with the LoRA but without the trigger. Worded unlike any caption: a LoRA can keep the character out of the one
# sentence that its class pictures were captioned with, and paint them in every other.
LEAK: tuple[Prompt, ...] = (
    Prompt("leak: train", "a {who} on a train beside the window, candid snapshot", "half"),
    Prompt("leak: passport", "passport picture, {who} with glasses, white wall", "close"),
    Prompt("leak: selfie", "selfie by a {who} at a market, midday", "close"),
    Prompt("leak: film", "film still, the face of a {who} in the rain at night", "close"),
)
