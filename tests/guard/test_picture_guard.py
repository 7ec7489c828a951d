"""The guard in a webui's loop: which pictures are judged, painted again, put away and marked; what stays as it was."""

from __future__ import annotations

import copy
import io
import pickle
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from painting_loop import Detailer
from PIL import Image

from lib_lora.guard.guard_settings import settings_of
from lib_lora.guard.guard_words import KEY
from lib_lora.guard.guarded_run import AXIS
from lib_lora.guard.next_try import next_seed
from lib_lora.hosts.webuis import webui_generation
from lib_lora.provenance.marked_saving import mark_saving
from lib_lora.provenance.source_type import COMPOSITE, GENERATED, PNG_KEY, packet
from lib_lora.provenance.xmp_files import xmp_of

LOST = ("lost", 0.2)


def matches(infotexts: list[str]) -> list[str]:
    """What each infotext says of the face; empty where nothing."""
    return [text.partition(f"{KEY}: ")[2] for text in infotexts]


def files(webui: Any) -> list[str]:
    return sorted(path.relative_to(webui.folder).as_posix() for path in webui.folder.rglob("*.*"))


def test_each_picture_says_its_own_and_the_grid_nothing(webui: Any, judge: Any) -> None:
    here = webui()
    judge.bad[102] = LOST
    done = here.process_images(here.request(True, "mara", "keep", 3, "mark", "{}", batch_size=2, n_iter=2))
    assert matches(done.infotexts) == ["", *["0.71 (mara, ok)"] * 2, "0.20 (mara, lost)", "0.71 (mara, ok)"]
    assert here.painted == [100, 101, 102, 103]
    assert done.comments.startswith("Face match (mara): 3 of 4 pass. 1: 0.71 ok; 2: 0.71 ok; 3: 0.20 lost; 4:")
    saved = [path for path in files(here) if "grid" not in path]
    assert [Image.open(here.folder / path).info["parameters"] for path in saved] == done.infotexts[1:]


def test_the_lines_under_the_gallery_are_in_the_language_of_the_webui(
    webui: Any, judge: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {"Face match": "Gesicht", "{passed} of {counted} pass.": "{counted}, davon {passed} gut.", "lost": "weg"}
    monkeypatch.setattr(webui_generation, "translations", lambda: words)
    here = webui()
    judge.bad[101] = LOST
    done = here.process_images(here.request(True, "mara", "keep", 3, "mark", "{}", n_iter=2))
    assert done.comments == "Gesicht (mara): 2, davon 1 gut. 1: 0.71 ok; 2: 0.20 weg.\n"
    assert matches(done.infotexts)[-1] == "0.20 (mara, lost)"  # which other programs read


def test_a_failure_is_said_in_the_language_of_the_webui_and_logged_in_english(
    webui: Any, judge: Any, reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {"SameFace guard": "Torwart", "{problem} Pictures pass unmarked.": "{problem} Nichts wird markiert."}
    monkeypatch.setattr(webui_generation, "translations", lambda: words)
    here = webui()
    done = here.process_images(here.request(True, "nobody here"))
    assert done.comments == "Torwart: There is no such character. Nichts wird markiert.\n"
    assert reports == ["SameFace guard: There is no such character. Pictures pass unmarked."]


@pytest.mark.parametrize(
    ("content", "known"),
    [
        ('{"lost": "weg", "n": 1}', {"lost": "weg"}),
        ('{"": "x", "lost": "\\ud800"}', {}),
        ("[" * 200_000, {}),
        ("[]", {}),
        ("{", {}),
        (None, {}),
    ],
)
def test_the_translations_are_those_that_the_webui_has(
    tmp_path: Path, monkeypatch: Any, content: Any, known: Any
) -> None:
    if content is not None:
        (tmp_path / "de.json").write_text(content, encoding="utf-8")
    for files in (str(tmp_path / "de.json"), [str(tmp_path / "de.json")]):  # older webuis have one file a language
        has = {"localization:localizations": {"de": files}, "shared:opts.localization": "de"}
        monkeypatch.setattr(webui_generation, "ask_or", lambda name, default=None, has=has: has.get(name, default))
        assert webui_generation.translations() == known


@pytest.mark.parametrize("files", [7, [None], Path("nowhere.json"), ["\0"], {}])
def test_a_webui_whose_list_of_languages_is_odd_stays_english(files: Any, monkeypatch: Any) -> None:
    has = {"localization:localizations": {"de": files}, "shared:opts.localization": "de"}
    monkeypatch.setattr(webui_generation, "ask_or", lambda name, default=None: has.get(name, default))
    assert webui_generation.translations() == {}
    monkeypatch.setattr(webui_generation, "ask_or", lambda name, default=None: ["odd"])
    assert webui_generation.translations() == {}


@pytest.mark.parametrize("words", ["keep: surely this face", "keep: clearly this face", "keep"])
def test_the_words_of_earlier_controls_are_understood(words: str) -> None:
    assert settings_of([True, "mara", words, 3, "put into a folder rejected"]).line == "keep"


@pytest.mark.parametrize("values", [(), (False, "mara"), (False,)])
def test_nothing_happens_where_it_is_off(webui: Any, judge: Any, values: Any) -> None:
    here = webui()
    done = here.process_images(here.request(*values, n_iter=2))
    assert (matches(done.infotexts), judge.judged, done.comments) == (["", "", ""], [], "")
    assert PNG_KEY not in Image.open(here.folder / files(here)[0]).info
    assert PNG_KEY not in done.images[1].info


def test_the_next_run_of_the_same_request_starts_anew(webui: Any, judge: Any) -> None:
    here = webui()
    p = here.request(True, "mara")
    here.process_images(p)
    p.values = (False,)
    assert matches(here.process_images(p).infotexts) == [""]
    assert KEY not in p.extra_generation_params


def test_what_fails_is_painted_again_and_the_numbers_agree(webui: Any, judge: Any) -> None:
    here = webui()
    second, third = next_seed(101, 2), next_seed(101, 3)
    judge.bad = {101: LOST, second & 0xFFFF: ("below the line", 0.5)}
    p = here.request(True, "mara", "keep", 4, "repaint", "", batch_size=2)
    done = here.process_images(p)
    assert here.painted == [100, 101, second, third]
    assert matches(done.infotexts)[1:] == ["0.71 (mara, ok)", "0.71 (mara, ok, try 3)"]
    assert done.all_seeds == [100, third]
    assert f"Seed: {third}" in done.infotexts[2]
    assert any(name.endswith(f"-{third}.png") for name in files(here))
    assert here.state.job_count == 1 + 2
    assert len(done.images) == 3


def test_of_tries_that_all_fail_the_best_stays(webui: Any, judge: Any) -> None:
    here = webui()
    second, third = next_seed(100, 2), next_seed(100, 3)
    judge.bad = {100: LOST, second & 0xFFFF: ("below the line", 0.5), third & 0xFFFF: ("no face", None)}
    done = here.process_images(here.request(True, "mara", "keep", 3, "repaint"))
    assert matches(done.infotexts) == ["0.50 (mara, below the line, try 3)"]
    assert done.all_seeds == [second]


def test_a_further_try_is_asked_for_as_the_picture_was(webui: Any, judge: Any, monkeypatch: Any) -> None:
    here = webui()
    judge.bad[101] = LOST
    asked: list[Any] = []
    plain = here.process_images

    def watched(p: Any) -> Any:
        asked.append(p)
        return plain(p)

    monkeypatch.setattr("lib_lora.guard.next_try.webui_generation.ask", lambda _: watched)
    starts = [Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")]
    p = here.request(True, "mara", "keep", 2, "repaint", batch_size=2)
    p.init_images, p.enable_hr, p.hr_prompt = starts, True, "hr"
    p.all_hr_prompts, p.extra_result_images = ["hr one", "hr two"], []
    plain(p)
    [one] = asked
    assert one.prompt == "a woman, <style>, in style"  # the styles are in it, and are not put in again
    assert (one.styles, one.negative_prompt, one.hr_prompt) == ([], "blurry", "hr two")
    assert (one.n_iter, one.batch_size, one.subseed) == (1, 1, 8)
    assert one.init_images == [starts[1]]
    assert one.override_settings == {"a": 1}
    assert one.override_settings is not p.override_settings
    assert one.extra_result_images is not p.extra_result_images
    assert KEY not in one.extra_generation_params
    assert here.state.job_count == 1 + 2  # the sampler runs twice for it
    assert (p.seed, p.n_iter, p.batch_size, p.styles) == (100, 1, 2, ["style"])


def test_rejected_pictures_lie_apart_and_none_is_lost(webui: Any, judge: Any) -> None:
    here = webui()
    judge.bad = {100: LOST, 101: ("no face", None)}
    done = here.process_images(here.request(True, "mara", "keep", 3, "reject", n_iter=3))
    assert sum(name.startswith("rejected/") for name in files(here)) == 2
    assert here.painted == [100, 101, 102]
    here.process_images(here.request(True, "mara", "keep", 3, "reject"))  # the webui gives the same number again
    assert sum(name.startswith("rejected/") for name in files(here)) == 3
    assert matches(done.infotexts)[1:3] == ["0.20 (mara, lost)", "none (mara, no face)"]


def test_what_cannot_be_judged_is_no_failure(webui: Any, judge: Any) -> None:
    here = webui()
    judge.bad[100] = ("not judged", 0.6)
    for action in ("repaint", "reject"):
        done = here.process_images(here.request(True, "mara", "keep", 3, action))
        assert matches(done.infotexts) == ["0.60 (mara, not judged)"]
        assert "Not judged: there is no test grid." in done.comments
    assert here.painted == [100, 100]
    assert not any(name.startswith("rejected") for name in files(here))


@pytest.mark.parametrize("word", ["interrupted", "skipped"])
def test_a_picture_that_was_cut_short_is_not_judged(webui: Any, judge: Any, word: str) -> None:
    here = webui()
    here.on_paint = lambda seed: setattr(here.state, word, True) if seed == 101 else None
    done = here.process_images(here.request(True, "mara", "keep", 3, "repaint", n_iter=3))
    said = ["0.71 (mara, ok)", ""] + ([] if word == "interrupted" else ["0.71 (mara, ok)"])
    assert matches(done.infotexts)[1:] == said
    assert judge.judged == ([100] if word == "interrupted" else [100, 102])
    assert "2: stopped, not judged" in done.comments
    assert all(PNG_KEY in Image.open(here.folder / name).info for name in files(here))  # painted it is, all the same


@pytest.mark.parametrize("word", ["interrupted", "skipped", "stopping_generation"])
def test_a_wish_to_stop_ends_the_tries(webui: Any, judge: Any, word: str) -> None:
    here = webui()
    second = next_seed(100, 2)
    judge.bad = {100: LOST, second & 0xFFFF: ("below the line", 0.5)}
    here.on_paint = lambda seed: setattr(here.state, word, True) if seed == second else None
    done = here.process_images(here.request(True, "mara", "keep", 9, "repaint"))
    assert here.painted == [100, second]
    whole = word == "stopping_generation"  # the picture at hand is finished first
    assert matches(done.infotexts) == [f"{'0.50 (mara, below the line' if whole else '0.20 (mara, lost'}, try 2)"]


def test_a_plot_is_scored_and_never_painted_again(webui: Any, judge: Any) -> None:
    here = webui()
    judge.bad[100] = LOST
    for action in ("repaint", "reject"):
        p = here.request(True, "mara", "keep", 3, action)
        p.script_args = (1,)
        assert matches(here.process_images(p).infotexts) == ["0.20 (mara, lost)"]
    assert here.painted == [100, 100]
    assert not any(name.startswith("rejected") for name in files(here))


def test_the_axis_of_a_plot_judges_by_its_value_and_writes_on_the_cells(webui: Any, judge: Any) -> None:
    here = webui()
    p = here.request(False, "")  # the controls are off
    setattr(p, AXIS, "ines")
    done = here.process_images(p)
    assert matches(done.infotexts) == ["0.71 (ines, ok)"]
    assert done.images[0].getpixel((2, 62)) != (100, 0, 0)
    with Image.open(here.folder / files(here)[0]) as saved:
        assert saved.getpixel((2, 62)) == (100, 0, 0)  # the file shows the picture alone
    setattr(p, AXIS, "")
    assert matches(here.process_images(p).infotexts) == [""]


def test_with_adetailer_each_picture_is_judged_once_and_when_it_is_done(webui: Any, judge: Any) -> None:
    here = webui(Detailer())
    judge.bad[101] = LOST
    done = here.process_images(here.request(True, "mara", "keep", 3, "repaint", batch_size=2, n_iter=2))
    another = next_seed(101, 2)
    assert [seed for seed in here.painted if seed != 5] == [100, 101, another, 102, 103]
    assert judge.judged == [100, 101, another & 0xFFFF, 102, 103]
    said = ["0.71 (mara, ok)", "0.71 (mara, ok, try 2)", "0.71 (mara, ok)", "0.71 (mara, ok)"]
    assert matches(done.infotexts) == ["", *said]
    assert all(image.getpixel((63, 63)) == (1, 2, 3) for image in done.images[1:])  # ADetailer took part in all


class Stateful:
    """ControlNet: ready for the next batch only if its `process` ran after the last `postprocess`."""

    args_from, args_to = 0, 0

    def __init__(self) -> None:
        self.webui: Any = None
        self.runs: list[int] = []

    def title(self) -> str:
        return "ControlNet"

    def process(self, p: Any, *_: Any) -> None:
        self.runs.append(p.n_iter)

    def postprocess_image(self, p: Any, pp: Any) -> None: ...


def test_controlnet_is_made_ready_again_for_the_next_batch(webui: Any, judge: Any) -> None:
    control = Stateful()
    here = webui(control)
    judge.bad[100] = LOST
    here.process_images(here.request(True, "mara", "keep", 2, "repaint", n_iter=2))
    assert control.runs == [2, 1, 2]  # the run, the further try, and the run again
    control.runs.clear()
    judge.bad = {101: LOST}
    here.process_images(here.request(True, "mara", "keep", 2, "repaint", n_iter=2))
    assert control.runs == [2, 1]  # no batch follows


def test_a_broken_judge_costs_no_picture(webui: Any, judge: Any, reports: list[str]) -> None:
    here = webui()
    judge.fails = True
    done = here.process_images(here.request(True, "mara", "keep", 3, "repaint", n_iter=3))
    assert (len(done.images), matches(done.infotexts)) == (4, [""] * 4)
    assert "the engine is broken" in done.comments
    assert "pass unmarked" in done.comments
    assert len(reports) == 1
    assert "\n" not in reports[0]
    judge.fails = False
    assert matches(here.process_images(here.request(True, "mara")).infotexts) == ["0.71 (mara, ok)"]


@pytest.mark.parametrize(
    "values",
    [(True, "nobody here"), (True, "mara", "never"), (True, "mara", "keep", 0), (True, "mara", "keep", 3, "delete")],
)
def test_wrong_values_are_said_and_cost_no_picture(webui: Any, reports: list[str], values: Any) -> None:
    here = webui()
    done = here.process_images(here.request(*values))
    assert (len(done.images), matches(done.infotexts), len(reports)) == (1, [""], 1)
    assert "pass unmarked" in done.comments


def test_a_painter_that_fails_at_a_further_try_costs_no_picture(webui: Any, judge: Any, reports: list[str]) -> None:
    here = webui()
    judge.bad[100] = LOST

    def broken(seed: int) -> None:
        if seed != 100:
            raise RuntimeError("NansException")

    here.on_paint = broken
    done = here.process_images(here.request(True, "mara", "keep", 3, "repaint"))
    assert (len(done.images), done.all_seeds) == (1, [100])
    assert len(reports) == 1


@pytest.mark.parametrize(("extension", "texts"), [("png", True), ("png", False), ("jpg", True), ("webp", True)])
def test_every_file_says_that_it_was_generated(webui: Any, extension: str, texts: bool) -> None:
    here = webui()
    here.extension, here.texts = extension, texts
    done = here.process_images(here.request(True, "mara", n_iter=2))
    assert len(files(here)) == 3  # two pictures and their grid
    for name in files(here):
        with Image.open(here.folder / name) as image:
            image.load()
        assert f'digitalsourcetype/{GENERATED}"' in xmp_of(here.folder / name)
    assert all(GENERATED in image.info[PNG_KEY] for image in done.images)  # what the API and the gallery copy
    for image in done.images:
        for kind in ("JPEG", "WEBP"):
            sent = io.BytesIO()
            image.save(sent, format=kind, quality=80)
            (here.folder / "sent").write_bytes(sent.getvalue())
            assert f'digitalsourcetype/{GENERATED}"' in xmp_of(here.folder / "sent")
            assert Image.open(sent).size == image.size


def test_a_painting_over_a_part_of_a_photo_is_called_so(webui: Any) -> None:
    here = webui()
    photo, mask = Image.new("RGB", (64, 64)), Image.new("L", (64, 64), 255)
    painted = photo.copy()
    painted.info["parameters"] = "a woman"
    cases = [(photo, mask, COMPOSITE), (photo, None, GENERATED), (painted, mask, GENERATED)]
    for start, given, kind in cases:
        p = here.request(True, "mara")
        p.init_images, p.image_mask = [start], given
        assert f"/{kind}" in here.process_images(p).images[0].info[PNG_KEY]


def test_masks_are_no_pictures_and_copies_stay_marked(webui: Any) -> None:
    here = webui()
    p = here.request(True, "mara")
    done = here.process_images(p)
    assert PNG_KEY not in Image.open(here.save(Image.new("L", (8, 8)), "00001-100-mask", "x", p)).info
    again = here.save(done.images[0], "saved-by-hand", "x", None)  # the button Save
    assert GENERATED in Image.open(again).info[PNG_KEY]
    assert PNG_KEY not in Image.open(here.save(Image.new("RGB", (8, 8)), "from-elsewhere", "x", None)).info
    joined = here.save(Image.new("RGB", (8, 8)), "combined", "\n".join(done.infotexts), None)  # as Forge makes one
    assert GENERATED in Image.open(joined).info[PNG_KEY]


def test_a_picture_that_is_marked_is_gone_once_nobody_has_it() -> None:
    image = Image.new("RGB", (8, 8))
    mark_saving(image, packet())
    here = weakref.ref(image)
    copied = pickle.loads(pickle.dumps(copy.deepcopy(image)))
    del image
    assert here() is None
    copied.save(io.BytesIO(), "JPEG")


def test_a_copy_of_a_request_shares_its_run(webui: Any) -> None:
    here = webui()
    p = here.request(True, "mara")
    here.process_images(p)
    other = SimpleNamespace(**vars(copy.copy(p)))
    other.values = (True, "mara")
    assert matches(here.process_images(other).infotexts) == ["0.71 (mara, ok)"]
