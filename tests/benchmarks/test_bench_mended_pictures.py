"""What `mended_pictures.py` gives the verdict to judge, and how it counts what is said."""

import io

from PIL import Image

from bench.verdict import mended_pictures as study
from bench.verdict.advice import everybody
from bench.verdict.followed_advice import AdvisedPerson
from lib_lora.character.photo_files import open_photo


def test_pictures_are_spoilt_as_the_rows_say(eye):
    people = everybody()
    own, strangers = (open_photo(people[name].photos[-1]) for name in ("mara", "ines"))
    files = study.spoilt([own], [strangers], eye, 0)
    damaged = files.pop(study.DAMAGED)
    assert len(damaged[0]) == 200
    faces = {way: eye.faces(Image.open(io.BytesIO(pictures[0])).convert("RGB")) for way, pictures in files.items()}
    counts = {way: len(found) for way, found in faces.items()}
    assert (counts["no face"], counts["two people"], counts[study.TOO_FEW]) == (0, 2, 1)
    assert faces[f"faces of {study.TINY} pixels"][0].px < 40
    assert counts["out of focus"] == 1
    assert files[study.STRANGERS] == [study.png(strangers)]


def test_somebody_else_is_of_the_same_class_word():
    people = {
        "a": AdvisedPerson("a", "woman", []),
        "b": AdvisedPerson("b", "man", []),
        "c": AdvisedPerson("c", "woman", []),
    }
    assert [study.other_than(name, people).name for name in ("a", "c")] == ["c", "a"]


def test_what_is_said_is_counted_by_way(eye, tmp_path):
    people = {name: AdvisedPerson(name, "woman", everybody()[name].photos[:15]) for name in ("mara", "ines")}
    rows = study.measured(people, ["mara"], tmp_path)
    lines = study.table(rows).splitlines()[2:]
    assert "| damaged files | nothing readable (1) | 0 of 1 |" in lines
    assert len(lines) == len(study.WAYS) + len(study.SPOILS) + 5
    assert not any(row["holds"] for row in rows if row["way"] != study.MENDED)
