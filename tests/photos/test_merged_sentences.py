"""Many sentences that say the same are one."""

from lib_lora.photos.audit.merged_sentences import folded


def _each(text, count=30):
    return [text.format(f"IMG {number:04d}.jpg") for number in range(count)]


def test_thirty_of_a_kind_are_one_line():
    assert folded(_each("{} is not a picture that can be read; replace or remove it.")) == [
        "IMG 0000.jpg is not a picture that can be read; replace or remove it. So with 29 more: IMG 0001.jpg, "
        "IMG 0002.jpg, IMG 0003.jpg and others."
    ]


def test_numbers_do_not_keep_them_apart():
    sentences = [f"{name}.jpg has {size} x 200 pixels." for name, size in zip("abcd", (100, 90, 1_000, 7), strict=True)]
    assert folded(sentences) == ["a.jpg has 100 x 200 pixels. So with 3 more: b.jpg, c.jpg, d.jpg."]


def test_a_few_and_the_different_stay_in_their_places():
    few = _each("{} has no caption.", 3)
    assert folded(few) == few
    mixed = [*_each("The caption of {} lacks the trigger."), "Something else.", *_each("{} is too dark.", 2)]
    assert folded(mixed) == [
        "The caption of IMG 0000.jpg lacks the trigger. So with 29 more: IMG 0001.jpg, IMG 0002.jpg, IMG 0003.jpg "
        "and others.",
        "Something else.",
        "IMG 0000.jpg is too dark.",
        "IMG 0001.jpg is too dark.",
    ]


def test_sentences_about_no_file_are_counted():
    assert folded(["The disk is slow."] * 5) == ["The disk is slow. (5 times)"]
    assert folded([]) == []
