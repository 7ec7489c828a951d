"""The picture of a whole grid."""

from PIL import Image

from lib_lora.grid.sheet import GAP, LABEL, contact_sheet


def test_every_picture_is_on_the_sheet_in_its_place():
    colours = ["red", "lime", "blue"]
    pictures = [Image.new("RGB", (400, 400), colour) for colour in colours]
    sheet = contact_sheet([("with", pictures), ("without", pictures[::-1])], side=100)
    assert sheet.size == (3 * 100 + 2 * GAP, 2 * (LABEL + 100 + GAP) + LABEL)
    for column, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
        x = column * (100 + GAP) + 50
        assert sheet.getpixel((x, LABEL + 50)) == colour
        assert sheet.getpixel((2 * (100 + GAP) + 50 - column * (100 + GAP), 2 * LABEL + GAP + 150)) == colour


def test_labels_are_written():
    sheet = contact_sheet([("with the LoRA", [Image.new("RGB", (64, 96), "red")])], side=96)
    label = sheet.crop((0, 0, sheet.width, LABEL)).convert("L")
    assert min(label.getdata()) < 100
    foot = sheet.crop((0, sheet.height - LABEL, sheet.width, sheet.height)).convert("L")
    assert min(foot.getdata()) < 100
