"""Groups the faces of a set by person.

The template's outlier rule sees a stranger among many photos of one person. Where no person has the majority, there is
no "many", and every face would pass. Pure functions on cosines, which identify nobody.
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
    faces = np.flatnonzero(~np.isnan(cosines).all(1)) if len(cosines) else np.zeros(0, np.intp)
    if len(faces) < 2:
        return [[int(place)] for place in faces]
    from scipy.cluster.hierarchy import fcluster, linkage  # here, since it takes a quarter of a second to import

    # Of two equal faces the cosine may be a rounding error above 1, and scipy refuses negative distances.
    apart = np.maximum(1 - np.asarray(cosines, np.float64)[np.ix_(faces, faces)], 0)
    joined = fcluster(linkage(apart[np.triu_indices(len(faces), 1)], "average"), 1 - ALIKE, "distance")
    found = [faces[joined == number].tolist() for number in np.unique(joined)]
    return sorted(found, key=lambda group: (-len(group), group))


def large_groups(found: Sequence[Sequence[int]]) -> list[list[int]]:
    """The groups that are large enough to be a person of the set."""
    return [list(group) for group in found if len(group) >= LEAST]
