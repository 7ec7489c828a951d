"""The audit: what is proposed, what the user decided, and how both are told."""

import json

import pytest
from audit_toys import photo, sets, varied
from hypothesis import given
from hypothesis import strategies as st

from lib_lora.captions.photo_facts import AuditedPhoto, PhotoComparison, PhotoFacts
from lib_lora.photos.audit import audit_words, finding_words
from lib_lora.photos.audit.audit import audit
from lib_lora.photos.audit.finding_words import sentence
from lib_lora.workflows.photos import audit_cache

COPY, SOFT = {"comparison": PhotoComparison(copy_of="x.jpg")}, {"of_face": {"blur": 40.0}}
DECISIONS = (None, "keep", "drop")


def audited(*photos, resolution=512, **decisions):
    """An audit; `decisions` by file name without its ending."""
    return audit(
        photos, {one.sha256: decisions[one.file[:-4]] for one in photos if one.file[:-4] in decisions}, resolution
    )


# What is wrong with the photo, what the user decided: is it used, is it proposed to go, tone, word.
CASES = [
    ({}, None, True, False, "good", "good"),
    ({}, "keep", True, False, "good", "good"),
    ({}, "drop", False, False, "none", "left out by you"),
    (SOFT, None, True, False, "warn", "look"),
    (SOFT, "keep", True, False, "good", "kept by you"),
    (SOFT, "drop", False, False, "none", "left out by you"),
    (COPY, None, True, True, "bad", "leave out?"),
    (COPY, "keep", True, False, "good", "kept by you"),
    (COPY, "drop", False, False, "none", "left out by you"),
]


@pytest.mark.parametrize(("wrong", "decision", "used", "proposed", "tone", "word"), CASES)
def test_what_becomes_of_a_photo(wrong, decision, used, proposed, tone, word):
    found = audited(photo("a.jpg", **wrong), **({"a": decision} if decision else {}))
    (item,) = found.photos
    assert (item.used, item.proposed) == (used, proposed)
    assert (audit_words.tone(item), audit_words.word(item)) == (tone, word)
    assert found.proposed == ([item] if proposed else [])
    assert found.dropped == ([] if used else [item])


def test_nothing_is_left_out_by_itself():
    found = audited(photo("a.jpg", **COPY), photo("b.jpg", faces=[]))
    assert [item.used for item in found.photos] == [True, True]
    assert len(found.proposed) == 2


def test_the_set_is_judged_as_if_every_proposal_were_accepted():
    good = varied(9)
    assert not audited(*good).stopped
    assert audited(*good, photo("copy.jpg", **COPY)).findings[0].value == 9
    two_less = audited(*good, photo("copy.jpg", **COPY), **{"00": "drop", "01": "drop"})
    assert two_less.stopped
    assert two_less.findings[0].value == 7
    assert audited(*good, photo("copy.jpg", **COPY), copy="keep").findings[0].value == 10


def test_the_map_shows_what_would_be_trained_on():
    found = audited(*varied(9), photo("copy.jpg", **COPY), photo("soft.jpg", **SOFT), **{"00": "drop"})
    assert sum(found.coverage.angles.values()) == 8 + 1


def test_a_soft_face_is_judged_by_the_median_of_all_faces():
    photos = [photo(f"{number}.jpg", of_face={"blur": 1000.0}) for number in range(3)]
    *_, last = audited(*photos, photo("a.jpg", of_face={"blur": 99.0}), photo("b.jpg", faces=[])).photos[:4]
    assert [(one.code, one.limit) for one in last.findings] == [("soft-face", 100)]


def test_the_resolution_reaches_the_rules():
    assert (
        audited(photo("a.jpg", width=600, height=600), resolution=1024).photos[0].findings[0].code == "low-resolution"
    )
    assert audited(photo("a.jpg", width=600, height=600), resolution=512).photos[0].findings == []
    assert audited(resolution=768).resolution == 768


def test_a_decision_holds_for_the_content_not_the_name():
    one, other = photo("a.jpg"), photo("b.jpg")
    found = audit([one, other], {other.sha256: "drop", "0" * 64: "drop"}, 512)
    assert [item.used for item in found.photos] == [True, False]


@pytest.mark.parametrize(
    ("photos", "decisions", "headline", "counts"),
    [
        ([photo("a.jpg"), photo("b.jpg")], {}, "2 of 2 photos good, but too few", ""),
        ([photo("a.jpg", **COPY)], {}, "0 of 1 photo good", "1 proposed to be left out"),
        (
            [photo("a.jpg", **COPY), photo("b.jpg", **SOFT), photo("c.jpg", **SOFT), photo("d.jpg"), photo("e.jpg")],
            {"e": "drop"},
            "1 of 5 photos good, but too few",
            "1 proposed to be left out, 2 to look at, 1 left out by you",
        ),
        ([photo("a.jpg", **COPY), photo("b.jpg")], {"a": "keep"}, "2 of 2 photos good, but too few", ""),
    ],
)
def test_the_first_line_counts_and_names_the_rest(photos, decisions, headline, counts):
    found = audited(*photos, **decisions)
    assert audit_words.headline(found) == headline
    assert audit_words.counts(found) == counts
    assert audit_words.text(found).splitlines()[0] == f"{headline}; {counts}." if counts else f"{headline}."


@pytest.mark.parametrize(
    ("changed", "but"),
    [
        (lambda number: {}, ""),
        (lambda number: {"yaw": 0.1}, ", but only from the front"),
        (lambda number: {"yaw": 0.5 if number % 5 == 4 else (-0.9, -0.5, 0.0, 0.5)[number % 5]},
         ", but no profile from the right"),
        (lambda number: {"yaw": (0.0, 0.5)[number % 2]}, ", but not from all sides"),
        (lambda number: {"box": (0.3, 0.1, 0.2, 0.5)}, ", but no upper body and no full body"),
        (lambda number: {"yaw": 0.0, "light": 120.0, "warmth": 0.0, "side": 0.0},
         ", but only from the front and in one light"),
    ],
)  # fmt: skip
def test_the_first_line_says_what_the_set_lacks_where_each_photo_is_good(changed, but):
    found = audited(*varied(20, changed))
    assert audit_words.headline(found) == f"20 of 20 photos good{but}"
    assert (audit_cache.values(found)["tone"] == "good") == (not but)


def test_the_text_begins_with_what_needs_a_decision():
    found = audited(
        photo("good.jpg"),
        photo("gone.jpg"),
        photo("soft.jpg", **SOFT),
        photo("kept.jpg", **COPY),
        photo("bad.jpg", **COPY),
        photo("gone too.jpg", **SOFT),
        **{"gone": "drop", "kept": "keep", "gone too": "drop"},
    )
    lines = audit_words.text(found).splitlines()
    headings = [line for line in lines[1 : lines.index("")] if not line.startswith(" ")]
    assert headings == ["Leave out?", "Look at:", "Left out by you:", "Kept by you:", "The set:"]
    assert lines[lines.index("Left out by you:") + 1 :][:2] == ["  gone.jpg", "  gone too.jpg (blurred)"]
    assert "  kept.jpg (copy)" in lines
    assert not any("good.jpg" in line for line in lines)


def test_the_map_is_a_table():
    found = audited(*varied(15))
    head, *rows = audit_words.map_lines(found)
    assert [row.split("  ")[0].strip() for row in rows] == ["close-up", "upper body", "full body"]
    assert len({len(line) for line in (head, *rows)}) == 1
    assert [row.split()[-5:] for row in rows] == [["1"] * 5] * 3
    assert audit_words.text(found).splitlines()[-4:] == [head, *rows]
    assert list(audit_words.map_lines(audited()))[1].split() == ["close-up", *["-"] * 5]


def test_values_are_for_programs():
    found = audited(photo("a.jpg", **COPY), photo("b.jpg", comparison=PhotoComparison(0.5, 0.6)), b="drop")
    values = json.loads(json.dumps(audit_words.values(found), allow_nan=False))
    first, second = values["photos"]
    assert (first["file"], first["proposed"], first["decision"]) == ("a.jpg", "drop", None)
    assert first["findings"][0]["code"] == "same-picture"
    assert (second["proposed"], second["decision"], second["likeness"]) == ("keep", "drop", 0.5)
    assert second["sha256"] == photo("b.jpg").sha256
    assert (first["facts"]["width"], first["facts"]["faces"][0]["px"]) == (1024, 300)
    assert not {"backdrop", "clothes"} & set(first["facts"])
    assert values["stopped"] is True
    assert values["resolution"] == 512
    assert values["findings"][0]["code"] == "too-few-photos"
    assert values["coverage"]["upper body"]["ahead"] == 0
    assert "no full body" in values["missing"]


def test_what_cannot_be_read_is_reported_in_its_own_words():
    said = "a.jpg is damaged (bad header); replace or remove it."
    assert (
        f"  {said}" in audit_words.text(audited(AuditedPhoto("a.jpg", "0" * 64, PhotoFacts(0, 0, said)))).splitlines()
    )


@given(sets(), st.lists(st.sampled_from(DECISIONS), min_size=12, max_size=12))
def test_every_photo_is_counted_once_and_each_finding_reported(photos, chosen):
    decisions = {one.sha256: decision for one, decision in zip(photos, chosen) if decision}
    found = audit(photos, decisions, 512)
    tones = [audit_words.tone(item) for item in found.photos]
    assert [item.photo.file for item in found.photos] == [one.file for one in photos]
    assert tones.count("bad") == len(found.proposed)
    assert tones.count("none") == len(found.dropped) == sum(item.decision == "drop" for item in found.photos)
    assert all(item.decision is None for item in found.proposed)
    text = audit_words.text(found)
    for item in found.photos:
        if item.decision is None:
            # of many photos with the same fault only the first is told in full (`merged_sentences.merged`)
            assert all(sentence(finding) in text or " more: " in text for finding in item.findings)
        elif item.findings:
            kinds = ", ".join(finding_words.kind(finding.code) for finding in item.findings)
            assert f"{item.photo.file} ({kinds})" in text
    assert all(sentence(finding) in text for finding in found.findings)
    faces = [item for item in found.photos if item.used and not item.proposed and item.photo.facts.face]
    assert sum(found.coverage.angles.values()) == len(faces)
    json.dumps(audit_words.values(found), allow_nan=False)


def test_one_fault_of_many_photos_is_one_line():
    soft = [photo(f"{number}.jpg", **SOFT) for number in range(9)]
    few, many = audit_words.text(audited(*soft[:8])), audit_words.text(audited(*soft))
    assert few.count("the face is blurred") == 1
    assert "The same applies to 7 more: 1.jpg, 2.jpg, 3.jpg and others." in few
    assert audit_words.text(audited(*soft[:3])).count("the face is blurred") == 3
    assert "the face is blurred" not in many
    assert "9 photos: blurred (0.jpg, 1.jpg, 2.jpg and others; the contact sheet says more)." in many


@pytest.mark.parametrize(("decision", "now"), [(None, "undecided"), ("keep", "keep"), ("drop", "drop")])
def test_the_tone_that_each_decision_would_give_is_known(decision, now):
    (item,) = audited(photo("a.jpg", **COPY), a=decision).photos
    tones = audit_words.tones(item)
    assert tones == {"keep": "good", "drop": "none", "undecided": "bad"}
    assert tones[now] == audit_words.tone(item)
