"""The guard in a real webui, through its API: every way in which it paints, with something at ADetailer's hooks.

Runs where SAMEFACE_WEBUI names the folder of a webui; see `test_hand_over.py` for the variables. Where
SAMEFACE_ADETAILER names a copy of ADetailer, and the webui's interpreter has its packages (mediapipe is enough), the
pictures also go through it.
"""

import base64
import io
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
import webui_under_test
from guarded_character import guarded_character
from PIL import Image
from test_hand_over import ROOT, Webui

from lib_lora.guard.guard_words import KEY
from lib_lora.guard.next_try import next_seed
from lib_lora.provenance.source_type import COMPOSITE, GENERATED, PNG_KEY
from lib_lora.provenance.xmp_files import xmp_of
from tools.mini.webui import put

pytestmark = pytest.mark.webui
ADETAILER = os.environ.get("SAMEFACE_ADETAILER", "")
TITLE = "SameFace guard"
SIZE = (512, 512)  # of the portraits that the detailer plants
STRANGER, OWN = 1000, 1005  # seeds, see `guard_extension.py`


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A data folder with the base, a character with a test grid, the guard and the detailer."""
    if not os.environ.get("SAMEFACE_WEBUI"):
        pytest.skip("SAMEFACE_WEBUI names no webui's folder")
    home = tmp_path_factory.mktemp("guard")
    models = home / "models" / "Stable-diffusion"
    models.mkdir(parents=True)
    base = webui_under_test.base()
    if webui_under_test.kind() == "a1111":
        put(base, models)
    else:
        (models / base.name).symlink_to(base)
    guarded_character(home / "sameface", base, [SIZE])
    scripts = home / "extensions" / "a-planting" / "scripts"
    scripts.mkdir(parents=True)
    text = Path(__file__).with_name("guard_extension.py").read_text(encoding="utf-8")
    (scripts / "planting.py").write_text(text.replace("@ROOT@", ROOT.as_posix()), encoding="utf-8")
    if ADETAILER:
        shutil.copytree(ADETAILER, home / "extensions" / "adetailer")
    return home


@pytest.fixture(scope="module")
def webui(home):
    with webui_under_test.started(home, home / "models" / "Stable-diffusion" / webui_under_test.base().name) as port:
        yield Webui(port, home)


def wish(*values, **more):
    """A small picture, guarded with these values."""
    found = {"prompt": "photo of a person", "negative_prompt": "blurry", "seed": OWN, "width": 64, "height": 64}
    found |= {"steps": 1, "cfg_scale": 3.0, "sampler_name": "Euler", "scheduler": "Automatic", "save_images": True}
    guard = {TITLE: {"args": list(values)}} if values else {}
    return {**found, **more, "alwayson_scripts": {**guard, **more.get("alwayson_scripts", {})}}


def seed_that(shows_stranger, start):
    """A seed after which the first further try shows a stranger, or does not."""
    return next(seed for seed in range(start, start + 1000, 10) if (next_seed(seed, 2) % 10 < 5) is shows_stranger)


def opened(answer):
    return [Image.open(io.BytesIO(base64.b64decode(one))) for one in answer["images"]]


def matches(pictures):
    """What each picture says of the face; None where nothing."""
    found = []
    for one in pictures:
        _, there, rest = one.info["parameters"].partition(f'{KEY}: "')
        found.append(rest.partition('"')[0] if there else None)
    return found


def painted(webui, body, kind="txt2img"):
    """The pictures, the JSON beside them, and the files that are new."""
    import json

    before = set(webui.home.rglob("output*/**/*.*"))
    answer = webui.ask(f"/sdapi/v1/{kind}", body)
    new = sorted(path for path in set(webui.home.rglob("output*/**/*.*")) - before if path.is_file())
    return opened(answer), json.loads(answer["info"]), new


def test_it_is_offered_with_the_arguments_that_never_change(webui):
    [own, _] = [one for one in webui.ask("/sdapi/v1/script-info") if one["name"] == TITLE.lower()]
    assert own["is_alwayson"]
    labels = ["Judge each picture's face", "Character", "What passes", "Tries per picture, if painted again"]
    assert [one["label"] for one in own["args"]] == [*labels, "What happens to the rest", "Further settings"]


def test_without_it_nothing_is_said(webui):
    pictures, _info, files = painted(webui, wish(n_iter=2))
    assert matches(pictures) == [None] * 3
    assert [PNG_KEY in one.info for one in pictures] == [False] * 3
    assert [xmp_of(path) for path in files] == [""] * len(files)


def test_each_picture_says_its_own_and_the_grid_nothing(webui):
    pictures, info, files = painted(
        webui, wish(True, "mara", "keep", 3, "mark", "{}", n_iter=2, batch_size=2, seed=1003)
    )
    found = matches(pictures)
    assert found[0] is None  # the grid
    assert [one.split("(mara, ")[1] for one in found[1:]] == ["lost)", "lost)", "ok)", "ok)"]
    assert info["all_seeds"] == [1003, 1004, 1005, 1006]
    assert all(GENERATED in one.info[PNG_KEY] for one in pictures)
    assert len(files) == 5
    assert all(f"/{GENERATED}" in xmp_of(path) for path in files)
    saved = [Image.open(path).info["parameters"] for path in files if "grid" not in path.name]
    assert saved == [one.info["parameters"] for one in pictures[1:]]


def test_what_fails_is_painted_again_and_the_numbers_agree(webui):
    seed = seed_that(shows_stranger=False, start=STRANGER)
    again = next_seed(seed, 2)
    pictures, info, [file] = painted(webui, wish(True, "mara", "keep", 4, "repaint", seed=seed))
    assert matches(pictures)[0].endswith("(mara, ok, try 2)")
    assert (info["seed"], info["all_seeds"]) == (again, [again])
    assert f"Seed: {again}," in pictures[0].info["parameters"]
    assert str(again) in file.name
    assert f"Seed: {again}," in info["infotexts"][0]
    assert len(pictures) == 1


def test_rejected_pictures_lie_apart(webui):
    pictures, _, files = painted(webui, wish(True, "mara", "keep", 3, "reject", n_iter=2, seed=1004))
    assert [path.parent.name == "rejected" for path in files if "grid" not in path.name].count(True) == 1
    assert "lost" in matches(pictures)[1]


@pytest.mark.parametrize("more", [{"samples_format": "jpg"}, {"samples_format": "webp"}, {"enable_pnginfo": False}])
def test_every_kind_of_file_says_that_it_was_generated(webui, more):
    webui.ask("/sdapi/v1/options", more)
    try:
        [sent], info, [file] = painted(webui, wish(True, "mara"))
    finally:
        webui.ask("/sdapi/v1/options", {"samples_format": "png", "enable_pnginfo": True})
    assert f"/{GENERATED}" in xmp_of(file)
    assert f"/{GENERATED}" in str(sent.info)  # what the API answers
    with Image.open(file) as image:
        image.load()
        assert image.size == SIZE
    assert "(mara, ok)" in info["infotexts"][0]


def test_hires_fix_is_painted_again_in_both_passes(webui):
    seed = seed_that(shows_stranger=False, start=STRANGER)
    more = {"enable_hr": True, "hr_scale": 2, "hr_upscaler": "Latent", "denoising_strength": 0.6, "n_iter": 2}
    if webui_under_test.kind() == "forge":  # its API takes nothing else for it
        more["hr_additional_modules"] = ["Use same choices"]
    pictures, info, _ = painted(webui, wish(True, "mara", "keep", 3, "repaint", seed=seed, **more))
    assert matches(pictures)[1].endswith("(mara, ok, try 2)")
    assert info["all_seeds"] == [next_seed(seed, 2), *info["all_seeds"][1:]]


def arguments_of(webui, script):
    """What a script of txt2img takes."""
    known = webui.ask("/sdapi/v1/script-info")
    [found] = [one["args"] for one in known if one["name"] == script and not one["is_img2img"]]
    return found


def axes(webui):
    return arguments_of(webui, "x/y/z plot")[0]["choices"]


def plot(x, values):
    """One axis; an axis with choices takes its values as a list."""
    nothing, flags = [0, "", []], [True, False, False, True, False, False, False]
    return {
        "script_name": "x/y/z plot",
        "script_args": [x, values, values.split(", "), *nothing, *nothing, *flags, 0, False],
    }


def test_a_plot_is_scored_and_never_painted_again(webui):
    names = axes(webui)
    body = wish(True, "mara", "keep", 3, "repaint", **plot(names.index("Seed"), f"{STRANGER}, {OWN}"))
    _, _info, files = painted(webui, body)
    said = [Image.open(path).info["parameters"] for path in files if "grid" not in path.name]
    assert sorted("(mara, lost)" in one for one in said) == [False, True]
    assert sorted("(mara, ok)" in one for one in said) == [False, True]
    assert not any(path.parent.name == "rejected" for path in files)


def test_a_plot_can_have_the_character_on_an_axis(webui):
    _, _info, files = painted(webui, wish(False, **plot(axes(webui).index(KEY), "mara, nobody")))
    said = [Image.open(path).info["parameters"] for path in files if "grid" not in path.name]
    assert sorted(f"{KEY}: " in one for one in said) == [False, True]


def test_prompts_from_a_list_are_each_guarded(webui):
    body = wish(True, "mara", "keep", 3, "mark", script_name="prompts from file or textbox")
    body["script_args"] = [False, False, "start", f'--prompt "a" --seed {OWN}\n--prompt "b" --seed {STRANGER}']
    # Forge has one more, "Make a combined image"; where it is not given, the API takes another script's value for it
    body["script_args"] += [False] * (len(arguments_of(webui, body["script_name"])) - len(body["script_args"]))
    _, _, files = painted(webui, body)
    pictures = [Image.open(path) for path in files if "grid" not in path.name]
    assert [one.split("(mara, ")[1] for one in matches(pictures)] == ["ok)", "lost)"]


def test_a_part_painted_into_a_photo_is_called_so(webui):
    photo, mask = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (64, 64), "grey").save(photo, "PNG")
    Image.new("L", (64, 64), 255).save(mask, "PNG")
    start = base64.b64encode(photo.getvalue()).decode()
    over = {"init_images": [start], "mask": base64.b64encode(mask.getvalue()).decode(), "denoising_strength": 0.5}
    _, info, files = painted(webui, wish(True, "mara", "keep", 3, "mark", **over), "img2img")
    assert any(f"/{COMPOSITE}" in xmp_of(path) for path in files)
    assert "(mara, ok)" in info["infotexts"][0]
    seed = seed_that(shows_stranger=False, start=STRANGER)
    whole = {"init_images": [start], "denoising_strength": 0.5, "seed": seed}
    pictures, _, files = painted(webui, wish(True, "mara", "keep", 3, "repaint", **whole), "img2img")
    assert all(f"/{GENERATED}" in xmp_of(path) for path in files)
    assert matches(pictures)[0].endswith("(mara, ok, try 2)")


@pytest.mark.parametrize("word", ["interrupt", "skip"])
def test_a_wish_to_stop_is_heard(webui, word):
    answer = {}
    body = wish(
        True, "mara", "keep", 20, "repaint", n_iter=3, steps=40 if webui_under_test.kind() == "a1111" else 12, seed=OWN
    )
    thread = threading.Thread(
        target=lambda: answer.update(zip(("pictures", "info"), painted(webui, body), strict=False))
    )
    thread.start()
    end = time.monotonic() + 300
    while webui.ask("/sdapi/v1/progress?skip_current_image=true")["state"]["sampling_step"] < 3:
        assert time.monotonic() < end
        time.sleep(0.05)
    webui.ask(f"/sdapi/v1/{word}", {})
    thread.join(300)
    found = matches(answer["pictures"])
    pictures = found[1:] if len(found) > 1 else found
    assert None in pictures  # the one that was cut short
    assert len(pictures) == (1 if word == "interrupt" else 3)
    assert sum(one is not None for one in pictures) == (0 if word == "interrupt" else 2)
    pictures, _, _ = painted(webui, wish(True, "mara"))
    assert matches(pictures)[0].endswith("(mara, ok)")


@pytest.mark.parametrize("values", [(True, "nobody at all"), (True, "mara", "never"), (True, "mara", "keep", "many")])
def test_what_cannot_be_judged_costs_no_picture(webui, values):
    pictures, _, files = painted(webui, wish(*values))
    assert matches(pictures) == [None]
    assert len(files) == 1
    log = (webui.home / "log.txt").read_text(encoding="utf-8", errors="replace")
    assert "SameFace guard:" in log
    assert "picture_guard.py" not in log.partition("Traceback")[2]


def test_a_judgement_is_quick(webui):
    painted(webui, wish(True, "mara", n_iter=5))
    took = sorted(webui.ask("/trial/judged")["milliseconds"][-5:])
    assert took[2] < 1000, took  # other programs share the processor; bench/speed/guard.py measures it


@pytest.mark.skipif(not ADETAILER, reason="SAMEFACE_ADETAILER names no copy of ADetailer")
def test_with_adetailer_itself(webui, home):
    names = [one["name"] for one in webui.ask("/sdapi/v1/script-info")]
    assert "adetailer" in names
    faces = {"ADetailer": {"args": [True, False, {"ad_model": "mediapipe_face_short", "ad_confidence": 0.05}]}}
    seed = seed_that(shows_stranger=False, start=STRANGER)
    for number, action in enumerate(("mark", "repaint")):
        body = wish(True, "mara", "same", 3, action, n_iter=2, seed=seed, alwayson_scripts=faces)
        pictures, info, _ = painted(webui, body)
        found = matches(pictures)
        assert found[0] is None
        assert all("(mara, " in one for one in found[1:]), found
        assert "ADetailer model" in pictures[1].info["parameters"]
        tries = [seed] if number == 0 else [seed, next_seed(seed, 2), next_seed(seed, 3)]
        assert info["all_seeds"][0] in tries  # what the small base makes of the face may fail each time
        assert (", try " in found[1]) is (number == 1)
