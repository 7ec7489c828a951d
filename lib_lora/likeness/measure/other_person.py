"""Finds the pictures of a set that show one other person. Pure functions.

Somebody who resembles the character keeps much of the likeness, so that each picture alone could be a hard one of the
right person. But hard pictures of the right person are hard in different ways, and no more like one another than like
the photos, where pictures of one other person are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lib_lora.faces.array_types import Array, Mask, Numbers

LIKER = 0.10  # a cosine; less raises alarms on the person's own hard pictures, more misses similar people


def together(likenesses: Numbers, embeddings: Sequence[Array | None], prompts: Sequence[str], keep: float) -> Mask:
    """Which of n pictures lie under the keep line and are more like another such picture than the photos.

    Args:
        likenesses: n cosines to the template.
        embeddings: of the n faces, each of unit length; None = unknown, which is like nobody.
        prompts: what each picture was asked to show; pictures of one prompt resemble each other for that alone and are
            not compared.
        keep: the keep line.

    Returns:
        n truths: the greatest cosine to another picture is greater than the picture's own likeness by `LIKER`.
    """
    found = np.zeros(len(likenesses), np.bool_)
    known = [(place, face) for place, face in enumerate(embeddings) if likenesses[place] < keep and face is not None]
    if len(known) < 2:
        return found
    low = [place for place, _ in known]
    faces = np.stack([face.astype(np.float64) for _, face in known])
    asked = np.array([prompts[place] for place in low])
    cosines = np.where(asked[:, None] == asked[None, :], -1.0, faces @ faces.T)
    found[low] = cosines.max(1) > likenesses[low] + LIKER
    return found
