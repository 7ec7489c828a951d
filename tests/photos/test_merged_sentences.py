"""Many sentences that say the same are one."""

import errno
import io
from pathlib import Path

import pytest
from PIL import Image

from lib_lora.character.photo_files import read_photo, unsupported
from lib_lora.errors import UserError
from lib_lora.files import explained
from lib_lora.photos.audit.merged_sentences import Sentence, merged, of_error


def _each(key, text, names):
    return [Sentence(name, key, text.format(name)) for name in names]


def _names(count):
    return [f"IMG {number:04d}.jpg" for number in range(count)]


def test_thirty_of_a_kind_are_one_line():
    assert merged(_each("unreadable", "{} is not a readable picture; replace or remove it.", _names(30))) == [
        "IMG 0000.jpg is not a readable picture; replace or remove it. The same applies to 29 more: IMG 0001.jpg, "
        "IMG 0002.jpg, IMG 0003.jpg and others."
    ]


def _damaged(name, kind):
    """The error about half of a picture."""
    made = io.BytesIO()
    Image.linear_gradient("L").save(made, kind)
    with pytest.raises(UserError) as caught:
        read_photo(io.BytesIO(made.getvalue()[: len(made.getvalue()) // 2]), name)
    assert caught.value.code == "photo-damaged"
    return caught.value


def _inaccessible(name, number, text):
    with pytest.raises(UserError) as caught, explained(Path(name), "read"):
        raise OSError(number, text)
    return caught.value


def test_faults_with_different_reasons_stay_apart():
    damaged = [*[_damaged(f"cut{one}.jpg", "JPEG") for one in range(5)], _damaged("other.gif", "GIF")]
    formats = unsupported([Path(name) for name in ("1.psd", "2.psd", "3.PSD", "4.psd", "5.tga")])
    faults = (errno.EIO, "Input/output error"), (errno.ENAMETOOLONG, "File name too long")
    unread = [_inaccessible(f"{one}.jpg", *faults[one == 4]) for one in range(5)]
    for errors in (damaged, formats, unread):
        first, last = merged(map(of_error, errors))
        assert f"The same applies to {len(errors) - 2} more: " in first
        assert last == str(errors[-1])


def test_numbers_do_not_keep_them_apart():
    sizes = zip("abcd", (100, 90, 1_000, 7), strict=True)
    sentences = [Sentence(f"{name}.jpg", "small", f"{name}.jpg has {size} x 200 pixels.") for name, size in sizes]
    assert merged(sentences) == ["a.jpg has 100 x 200 pixels. The same applies to 3 more: b.jpg, c.jpg, d.jpg."]


def test_a_few_and_the_different_stay_in_their_places():
    few = _each("missing", "{} has no caption.", _names(3))
    assert merged(few) == [one.text for one in few]
    mixed = [
        *_each("trigger", "The caption of {} lacks the trigger.", _names(30)),
        Sentence("", "else", "Something else."),
        *_each("dark", "{} is too dark.", _names(2)),
    ]
    assert merged(mixed) == [
        "The caption of IMG 0000.jpg lacks the trigger. The same applies to 29 more: IMG 0001.jpg, IMG 0002.jpg, "
        "IMG 0003.jpg and others.",
        "Something else.",
        "IMG 0000.jpg is too dark.",
        "IMG 0001.jpg is too dark.",
    ]


def test_sentences_about_no_photo_are_counted():
    assert merged([Sentence("", "slow", "The disk is slow.")] * 5) == ["The disk is slow. (5 times)"]
    assert merged([]) == []
