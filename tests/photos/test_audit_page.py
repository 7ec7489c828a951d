"""The contact sheet as a page: whatever a file is called, it is text, and the page needs nothing else."""

import base64
import re
from html.parser import HTMLParser

import pytest
from audit_toys import photo, sets, varied
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lora.captions.photo_facts import AuditedPhoto, PhotoComparison, PhotoFacts
from lib_lora.photos.audit import audit_page
from lib_lora.photos.audit.audit import audit

VOID = {"meta", "img", "br", "link", "hr", "input"}
JPEG = b"\xff\xd8\xff\xe0 a picture"


class Read(HTMLParser):
    """A page taken apart: its tags with their attributes, and its text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.text, self.cards = [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "figure":
            self.cards.append((dict(attrs)["class"], []))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)
            if "figure" in self.open and data.strip():
                self.cards[-1][1].append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def read(photos, decisions=None, name="Mara", thumbnails=None):
    html = audit_page.render(audit(photos, decisions or {}, 512), name, thumbnails or {})
    found = Read(html)
    assert found.open == []
    assert not {"script", "iframe", "object", "embed", "link", "form", "base"} & {tag for tag, _ in found.tags}
    assert not [key for _, attributes in found.tags for key in attributes if key.startswith("on")]
    for _, attributes in found.tags:
        assert not {"href", "srcset", "action", "style", "background"} & set(attributes)
        assert attributes.get("src", "data:image/jpeg;base64,").startswith("data:image/jpeg;base64,")
    return html, found


HOSTILE = [
    "<script>alert(1)</script>.jpg",
    '"><img src=x onerror=alert(1)>.jpg',
    "' onmouseover='alert(1).jpg",
    "</style><script>1</script>.jpg",
    "</title><h1>x.jpg",
    "<!-- .jpg",
    "{{ 7 * 7 }}{% raw %}.jpg",
    "&lt;b&gt;&amp;.jpg",
    "javascript:alert(1).jpg",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_only_text(name):
    for comparison in (PhotoComparison(), PhotoComparison(copy_of=name)):
        html, found = read([photo(name, comparison=comparison)], name=name, thumbnails={name: JPEG})
        _, plain = read([photo("a.jpg", comparison=comparison)], name="b", thumbnails={"a.jpg": JPEG})
        assert [tag for tag, _ in found.tags] == [tag for tag, _ in plain.tags]
        assert name in found.cards[0][1]
        assert found.all("img")[0]["alt"].startswith(f"{name}: ")
        assert f"Photos of {name}" in "".join(found.text)
        assert name not in html or not set("<>&'\"") & set(name)


@pytest.mark.parametrize("mark", ["\u202e", "\u200f", "\u2066", "\u200b", "\ufeff", "\x00", "\x1b", "\n", "\ud800"])
def test_marks_that_turn_or_hide_text_are_not_on_the_page(mark):
    name = f"a{mark}gpj.exe"
    html, found = read(
        [photo(name, comparison=PhotoComparison(copy_of=name))], name=f"Ma{mark}ra", thumbnails={name: JPEG}
    )
    shown = "".join(found.text) + str(found.tags)
    assert "a gpj.exe" in shown
    assert "Ma ra" in shown
    if mark != "\n":
        assert mark not in html
    html.encode()


@pytest.mark.parametrize("name", ["名前.jpg", "Märá 🙂.jpg", "صورة.jpg"])
def test_names_of_any_script_are_shown_as_they_are(name):
    assert name in read([photo(name)])[1].cards[0][1]


def test_nothing_outside_is_asked_for():
    html, found = read(varied(20), thumbnails={"00.jpg": JPEG})
    assert not re.search(r"https?:|//|url\(|@import", re.sub(r"base64,[\w+/=]*", "", html))
    (policy,) = [meta["content"] for meta in found.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:")
    assert "script" not in policy


def test_thumbnails_are_in_the_page_and_a_photo_without_one_says_so():
    _, found = read([photo("a.jpg"), photo("b.jpg"), photo("c.jpg")], thumbnails={"b.jpg": JPEG, "c.jpg": b""})
    (image,) = found.all("img")
    assert image["alt"] == "b.jpg: good"
    assert base64.b64decode(image["src"].partition(",")[2]) == JPEG
    assert [texts for _, texts in found.cards] == [
        ["no picture", "good", "a.jpg"],
        ["good", "b.jpg"],
        ["no picture", "good", "c.jpg"],
    ]


def test_photos_that_need_a_decision_come_first():
    photos = [
        photo("good.jpg"),
        photo("gone.jpg"),
        photo("soft.jpg", of_face={"blur": 40.0}),
        photo("copy.jpg", comparison=PhotoComparison(copy_of="x.jpg")),
        photo("kept.jpg", comparison=PhotoComparison(copy_of="x.jpg")),
    ]
    _, found = read(photos, {photos[1].sha256: "drop", photos[4].sha256: "keep"})
    assert [(tone, texts[1], texts[2]) for tone, texts in found.cards] == [
        ("bad", "leave out?", "copy.jpg"),
        ("warn", "look", "soft.jpg"),
        ("good", "good", "good.jpg"),
        ("good", "kept by you", "kept.jpg"),
        ("none", "left out by you", "gone.jpg"),
    ]


def test_a_card_does_not_begin_its_sentences_with_the_name_again():
    _, found = read([photo("a.jpg", of_face={"blur": 40.0})])
    assert found.cards[0][1][3:] == ["The face is blurred (40, limit 50)."]


@pytest.mark.parametrize(
    ("photos", "tone"),
    [
        (varied(20), "good"),
        (varied(12), "warn"),
        ([*varied(20), photo("copy.jpg", comparison=PhotoComparison(copy_of="x.jpg"))], "warn"),
        (varied(5), "bad"),
        ([], "bad"),
    ],
    ids=["all good", "few", "a proposal", "too few", "none"],
)
def test_the_head_has_the_tone_of_the_whole(photos, tone):
    _, found = read(photos)
    assert found.all("header")[0]["class"] == f"head {tone}"
    assert "Nothing is left out unless you say so." in "".join(found.text)
    assert ("The set" in found.text) == (len(photos) < 15)
    assert [one["class"] for one in found.all("li")][:1] == {"bad": ["bad"]}.get(tone, ["warn"] * (len(photos) < 15))


def test_the_lead_says_what_is_to_be_done():
    photos = [*varied(15), photo("copy.jpg", comparison=PhotoComparison(copy_of="x.jpg"))]
    _, found = read(photos, {photos[0].sha256: "drop"})
    text = "".join(found.text)
    assert "Mara: 14 of 16 photos good" in text
    assert "1 proposed to be left out, 1 left out by you. Nothing is left out unless you say so." in text


def test_the_map_marks_what_is_empty():
    _, found = read([photo("a.jpg"), photo("b.jpg")])
    cells = found.all("td")
    assert len(cells) == 15
    assert [number for number, one in enumerate(cells) if one.get("class") != "empty"] == [7]
    assert "2" in found.text


@given(sets(), st.text(max_size=20), st.lists(st.text(min_size=1, max_size=12), min_size=12, max_size=12, unique=True))
@settings(max_examples=40)
def test_any_set_with_any_names_makes_a_whole_page(photos, name, files):
    photos = [photo_named(file, one) for file, one in zip(files, photos)]
    html, found = read(photos, name=name, thumbnails=dict.fromkeys(files[::2], JPEG))
    html.encode()
    assert len(found.cards) == len(photos)
    assert len(found.all("img")) == len(photos[::2])


def photo_named(file, one):
    return AuditedPhoto(
        file, one.sha256, one.facts if one.facts.width else PhotoFacts(0, 0, f"{file} is damaged."), one.comparison
    )
