"""Facts of photos that were never taken, for the audit's tests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from hypothesis import strategies as st

from lib_lora.captions.photo_facts import BINS, AuditedPhoto, FaceFacts, PhotoComparison, PhotoFacts
from lib_lora.faces.expression import Expression

GOOD_FACE = FaceFacts(box=(0.3, 0.2, 0.3, 0.3), px=300, score=0.95, sure=0.8, blur=300, yaw=0.0)
GOOD = PhotoFacts(
    1024, 1024, faces=[GOOD_FACE], hash="00ff00ff00ff00ff", sharp=300, level=128, backdrop=[1.0] + [0.0] * (BINS - 1)
)


def face(**changes: Any) -> FaceFacts:
    """`GOOD_FACE` with these fields changed."""
    return replace(GOOD_FACE, **changes)


def photo(
    file: str = "a.jpg",
    *,
    comparison: PhotoComparison | None = None,
    faces: list[FaceFacts] | None = None,
    of_face: Mapping[str, Any] | None = None,
    **facts: Any,
) -> AuditedPhoto:
    """A photo against which nothing speaks, but for what is given; `of_face`: changes of its one face."""
    faces = [face(**(of_face or {}))] if faces is None else faces
    facts |= {key: whole(facts[key]) for key in ("backdrop", "clothes") if key in facts}
    digest = hashlib.sha256(file.encode("utf-8", "surrogatepass")).hexdigest()
    return AuditedPhoto(file, digest, replace(GOOD, faces=faces, **facts), comparison or PhotoComparison())


def whole(shares: Sequence[float]) -> list[float]:
    """A histogram of as many shares as are measured; what is not given is 0."""
    return [*shares, *[0.0] * (BINS - len(shares))] if shares else []


def varied(
    count: int, of_face: Callable[[int], Mapping[str, Any]] = lambda number: {}, **of_photo: Any
) -> list[AuditedPhoto]:
    """Photos that show everything, in different light, before different backgrounds, in different clothes."""
    heights, yaws = (0.5, 0.2, 0.1), (-0.9, -0.5, 0.0, 0.5, 0.9)

    def one(number: int) -> AuditedPhoto:
        here = {
            "box": (0.3, 0.1, 0.2, heights[number % 3]),
            "yaw": yaws[number % 5],
            "light": 60.0 + 140 * (number % 2),
            **of_face(number),
        }
        alone = [float(place == number) for place in range(BINS)]
        return photo(
            f"{number:02}.jpg",
            of_face=here,
            **{"backdrop": alone, "clothes": alone, "hash": f"{number:016x}", **of_photo},
        )

    return [one(number) for number in range(count)]


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


def histograms(bins: int = 4) -> st.SearchStrategy[list[float]]:
    return (
        st.lists(st.integers(0, 9), min_size=bins, max_size=bins)
        .filter(any)
        .map(lambda counts: whole([count / sum(counts) for count in counts]))
    )


FACES = st.builds(
    FaceFacts,
    box=st.tuples(numbers(-0.5, 1), numbers(-0.5, 1), numbers(0.001, 1.5), numbers(0.001, 1.5)),
    px=numbers(1, 10_000),
    score=numbers(0, 1),
    sure=numbers(0, 1),
    blur=numbers(0, 20_000),
    yaw=numbers(-1, 1),
    roll=numbers(-180, 180),
    shown=numbers(0, 1),
    light=numbers(0, 255),
    warmth=numbers(-60, 60),
    side=numbers(-2, 2),
    white=numbers(0, 1),
    black=numbers(0, 1),
    expression=st.sampled_from(get_args(Expression)),
)
READABLE = st.builds(
    PhotoFacts,
    width=st.integers(1, 20_000),
    height=st.integers(1, 20_000),
    faces=st.lists(FACES, max_size=5).map(lambda found: sorted(found, key=lambda one: -one.area)),
    hash=st.integers(0, 2**64 - 1).map("{:016x}".format),
    sharp=numbers(0, 20_000),
    level=numbers(0, 255),
    backdrop=histograms(),
    clothes=st.just([]) | histograms(),
    letters=st.integers(0, 40),
    colour=numbers(0, 60),
    inks=st.booleans(),
    file_bytes=st.integers(0, 10**9),
)
FACTS = READABLE | st.just(PhotoFacts(0, 0, "a.jpg is damaged (it ends too soon); replace or remove it."))
STANDINGS = st.builds(
    PhotoComparison,
    likeness=st.none() | numbers(-1, 1),
    usual=st.none() | numbers(-1, 1),
    unlike=st.booleans(),
    left_out=st.booleans(),
    copy_of=st.sampled_from(["", "b.jpg"]),
    burst_of=st.sampled_from(["", "c.jpg"]),
)


def sets(facts: st.SearchStrategy[PhotoFacts] = FACTS, most: int = 12) -> st.SearchStrategy[list[AuditedPhoto]]:
    """Photos of one character, each with another name."""
    return st.lists(st.tuples(facts, STANDINGS), max_size=most).map(
        lambda found: [
            AuditedPhoto(f"{number:02}.jpg", f"{number:064x}", facts, comparison)
            for number, (facts, comparison) in enumerate(found)
        ]
    )
