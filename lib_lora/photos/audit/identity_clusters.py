"""How many people a set of faces shows. Pure functions on cosines; knows nobody.

The template's outlier rule sees a stranger among many photos of one person. Where no person has the majority, there is
no "many", and every face would pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

ALIKE = 0.5  # mean cosine between two groups from which they are one person: people have 0.74 to 0.81, strangers 0.31
LEAST = 3  # photos that make a person of the set; fewer are strangers among the others


def groups(cosines: npt.NDArray[np.floating]) -> list[list[int]]:
    """The places of faces that belong together, the largest group first.

    Average linkage: the two groups that are most alike on average are joined until none are alike enough.

    Args:
        cosines: n x n, of the faces; a place whose row is NaN has none, and is in no group.
    """
    alike = np.array(cosines, np.float64)
    np.fill_diagonal(alike, -np.inf)
    members: list[list[int]] = [[place] for place in range(len(alike))]
    without = np.isnan(cosines).all(1) if len(alike) else np.zeros(0, np.bool_)
    alike[without, :] = alike[:, without] = -np.inf
    while len(alike) and alike.max() >= ALIKE:
        one, other = sorted(int(place) for place in np.unravel_index(int(alike.argmax()), alike.shape))
        sizes = len(members[one]), len(members[other])
        joined = (alike[one] * sizes[0] + alike[other] * sizes[1]) / sum(sizes)
        alike[one, :] = alike[:, one] = joined
        alike[one, one] = -np.inf
        alike[other, :] = alike[:, other] = -np.inf
        members[one], members[other] = members[one] + members[other], []
    found = [sorted(group) for place, group in enumerate(members) if group and not without[place]]
    return sorted(found, key=lambda group: (-len(group), group))


def people(found: Sequence[Sequence[int]]) -> list[list[int]]:
    """Of groups those that are large enough to be a person of the set."""
    return [list(group) for group in found if len(group) >= LEAST]
