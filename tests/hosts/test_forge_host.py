"""Forge, Forge Neo and reForge as hosts, against their stand-ins."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faults import raises
from PIL import Image, ImageChops

from hosts.standin.stage import stand_in
from lib_lora.hosts.webuis import detect, webui_captioners
from lib_lora.pictures import Cell

pytestmark = pytest.mark.once("A1111's versions are not Forge's; test_webui_host.py meets them")

PICTURE = Cell("photo of mara", "", 3, width=64, height=64, steps=2)
BASES = ("mini-face.safetensors", "other.safetensors", "third.safetensors")


@pytest.fixture(params=["forge", "neo", "reforge"])
def webui(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SimpleNamespace]:
    with stand_in(request.param, tmp_path, checkpoints=BASES) as here:
        here.kind, here.host = request.param, detect.host()
        here.lora = tmp_path / "mara.safetensors"
        here.lora.write_bytes(b"weights")
        here.events.clear()
        yield here


def in_a_thread(work: Any) -> Any:
    """As the supervisor does it; an error comes back as itself."""
    answer: list[Any] = []

    def inner() -> None:
        try:
            answer.append(work())
        except BaseException as error:
            answer.append(error)

    thread = threading.Thread(target=inner)
    thread.start()
    thread.join(20)
    assert answer, "it hangs"
    if isinstance(answer[0], BaseException):
        raise answer[0]
    return answer[0]


def painted(webui: SimpleNamespace, pictures: list[Cell], base: Path | None = None) -> list[Any]:
    found: dict[int, Any] = {}
    webui.host.paint(pictures, base, lambda number, *rest: found.update({number: rest}), lambda: False)
    return [found[number] for number in sorted(found)]


def same(one: Image.Image, other: Image.Image) -> bool:
    return ImageChops.difference(one, other).getbbox() is None


def test_they_are_distinguished(webui: SimpleNamespace) -> None:
    assert webui.host.name == webui.kind
    assert webui.host.roots().loras == [webui.data / "models" / "Lora"]
    assert len(webui.host.checkpoints()) == 3


def test_before_its_first_picture_forge_has_no_model(webui: SimpleNamespace) -> None:
    assert webui.host.shows("sdxl").shown
    assert webui.host.current_checkpoint() == webui.data / "models" / "Stable-diffusion" / "mini-face.safetensors"
    assert not [event for event in webui.events if event.startswith("load")]


@pytest.mark.parametrize("allow", [False, True])
def test_its_own_keeper_empties_the_gpu(allow: bool, webui: SimpleNamespace) -> None:
    painted(webui, [PICTURE])
    webui.events.clear()
    webui.processing.StableDiffusionProcessing.cached_c = ["x"] * 3

    def session() -> None:
        with webui.host.gpu_session(allow):
            assert webui.events[:2] == ["on the main thread", "unload all models"]
            assert webui.events[-1] == "soft empty cache"
            assert webui.processing.StableDiffusionProcessing.cached_c == [None] * 3
            assert webui.call_queue.queue_lock.acquire(blocking=False) is allow
            if allow:
                webui.call_queue.queue_lock.release()
            raise OSError("the worker died")

    with pytest.raises(OSError, match="died"):
        in_a_thread(session)
    assert not webui.host.busy()
    assert painted(webui, [PICTURE])


def test_it_paints_on_the_main_thread(webui: SimpleNamespace) -> None:
    pictures = [PICTURE, *(replace(PICTURE, lora=webui.lora, weight=weight) for weight in (0.0, 0.5, 1.0))]
    found = in_a_thread(lambda: painted(webui, pictures))
    assert webui.events.count("on the main thread") == 4
    assert same(found[0][0], found[1][0])
    assert not same(found[0][0], found[2][0])
    assert not same(found[2][0], found[3][0])
    assert same(painted(webui, [PICTURE])[0][0], found[0][0])


def test_an_error_on_the_main_thread_is_raised_and_not_only_printed(webui: SimpleNamespace) -> None:
    def painter(*_: Any) -> Image.Image:
        raise RuntimeError("CUDA out of memory")

    webui.processing.painter = painter
    with raises("webui-painting-failed", has="out of GPU memory"):
        in_a_thread(lambda: painted(webui, [PICTURE]))
    assert not webui.host.busy()


def test_a_model_that_cannot_be_asked_leaves_no_job_behind(
    webui: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise RuntimeError("another extension's model")

    monkeypatch.setattr(webui.host, "loras_now", fails)
    webui.events.clear()
    with raises("webui-painting-failed", has=("another extension's model",)):
        painted(webui, [PICTURE])
    assert webui.progress.current_task is None
    assert webui.shared.state.job == ""
    assert not webui.host.busy()


def test_another_checkpoint_paints_and_the_option_stays(webui: SimpleNamespace) -> None:
    own = painted(webui, [PICTURE])[0]
    selected = webui.shared.opts.sd_model_checkpoint
    found = painted(webui, [PICTURE], webui.data / "models" / "Stable-diffusion" / "other.safetensors")
    assert "Model: other" in found[0][1]
    assert webui.shared.opts.sd_model_checkpoint == selected
    again = painted(webui, [PICTURE])[0]
    assert "Model: mini-face" in again[1]
    assert same(again[0], own[0])


def test_while_another_checkpoint_paints_options_stay_the_users(webui: SimpleNamespace) -> None:
    """Those that are saved meanwhile, too; and what is selected meanwhile stays selected."""
    painted(webui, [PICTURE])
    opts, config, seen = webui.shared.opts, webui.data / "config.json", []
    before, paint = dict(opts.data), webui.processing.painter

    def painter(*arguments: Any) -> Image.Image:
        opts.save(config)
        seen.append((json.loads(config.read_text()), webui.host.current_checkpoint().name))
        if len(seen) == 2:
            opts.set("sd_model_checkpoint", "third.safetensors")
        return paint(*arguments)

    webui.processing.painter = painter
    found = painted(webui, [PICTURE, replace(PICTURE, seed=4)], webui.data / "models/Stable-diffusion" / BASES[1])
    webui.processing.painter = paint
    assert all("Model: other" in text for _, text in found)
    assert seen == [(before, BASES[0])] * 2
    assert opts.data == {**before, "sd_model_checkpoint": "third.safetensors"}
    assert "Model: third" in painted(webui, [PICTURE])[0][1]


def test_a_checkpoint_that_is_not_selected_goes_without_what_was_chosen_for_the_selected_one(
    webui: SimpleNamespace,
) -> None:
    if webui.kind == "reforge":
        assert not hasattr(webui.sd_models.model_data, "forge_loading_parameters")  # it has no such thing
        return
    webui.shared.opts.set("forge_additional_modules", ["ae.safetensors", "t5xxl.safetensors"])
    seen, paint = [], webui.processing.painter

    def painter(*arguments: Any) -> Image.Image:
        data = webui.sd_models.model_data
        seen.append((data.sd_model.additional_modules, data.forge_loading_parameters["unet_storage_dtype"]))
        return paint(*arguments)

    webui.processing.painter = painter
    painted(webui, [PICTURE], webui.data / "models" / "Stable-diffusion" / BASES[1])
    painted(webui, [PICTURE])
    assert seen == [([], None), (["ae.safetensors", "t5xxl.safetensors"], "nf4")]


def test_a_checkpoint_that_cannot_be_loaded_leaves_the_users_own(webui: SimpleNamespace) -> None:
    own, load = painted(webui, [PICTURE])[0], webui.sd_models.load_model

    def fails(info: Any = None, *more: Any) -> None:
        if (info or webui.sd_models.select_checkpoint()).name == BASES[1]:
            raise RuntimeError("it is cut off")
        load(info, *more)

    webui.sd_models.load_model = fails
    with raises("webui-painting-failed", has="it is cut off"):
        painted(webui, [PICTURE], webui.data / "models" / "Stable-diffusion" / BASES[1])
    assert same(painted(webui, [PICTURE])[0][0], own[0])


def test_a_picture_through_a_vae_that_cannot_be_asked_is_none(webui: SimpleNamespace) -> None:
    assert in_a_thread(lambda: webui.host.reconstruct(Image.new("RGB", (64, 64)))) is None
    assert not webui.host.busy()


def test_a_caption_is_asked_for_on_the_main_thread(webui: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def phrases(image: Image.Image) -> list[str]:
        seen.extend(webui.events[-1:])
        return ["red coat"]

    monkeypatch.setattr(webui_captioners, "webui_captioner", lambda name: SimpleNamespace(phrases=phrases))
    assert in_a_thread(lambda: webui.host.caption("webui-tags", Image.new("RGB", (8, 8)))) == ["red coat"]
    assert seen == ["on the main thread"]
    assert not webui.host.busy()


def test_a_lora_of_which_nothing_fits_is_said_although_it_is_listed(webui: SimpleNamespace) -> None:
    webui.lora.write_bytes(b"a lora of another family")
    with raises("webui-lora-not-loaded", has="mara.safetensors"):
        painted(webui, [replace(PICTURE, lora=webui.lora)])
    assert [one.name for one in webui.networks.loaded_networks]
    assert painted(webui, [replace(PICTURE, lora=webui.lora, weight=0.0)])


def test_a_lora_that_cannot_be_read_is_said_although_the_one_before_still_acts(webui: SimpleNamespace) -> None:
    assert painted(webui, [replace(PICTURE, lora=webui.lora)])
    broken = webui.lora.with_name("broken.safetensors")
    broken.write_bytes(b"what cannot be read")
    with raises("webui-lora-not-loaded", has="broken.safetensors"):
        painted(webui, [replace(PICTURE, lora=broken)])
    several = [replace(PICTURE, lora=webui.lora, seed=seed) for seed in range(6)]
    assert len(painted(webui, several)) == 6  # from the second four on nothing is applied anew


@pytest.mark.parametrize("color", ["black", "gray", "white"])
def test_a_black_picture_is_not_a_numbers_and_another_of_one_color_is_a_picture(
    webui: SimpleNamespace, color: str
) -> None:
    webui.processing.painter = lambda *_: Image.new("RGB", (64, 64), color)
    with_lora = replace(PICTURE, lora=webui.lora, weight=1.5)
    if color != "black":
        assert len(painted(webui, [PICTURE, with_lora])) == 2
        return
    flag = {"neo": "--force-fp32"}.get(webui.kind, "--all-in-fp32")
    with raises("webui-painted-black", has=("with this checkpoint", flag)):
        painted(webui, [PICTURE])
    with raises("webui-painted-black", has=("the LoRA mara.safetensors at weight 1.5", "lower weight", flag)):
        painted(webui, [with_lora])
    assert not webui.host.busy()


def test_families_that_it_does_not_load_are_refused(webui: SimpleNamespace) -> None:
    refused = {name: webui.host.refuses(name) for name in ("sd1", "sd2", "sdxl")}
    assert [name for name, why in refused.items() if why] == (["sd2"] if webui.kind == "neo" else [])
    assert webui.kind != "neo" or "does not load models of" in refused["sd2"]


def test_a_neo_that_would_send_prompts_to_a_service_is_not_asked_to_paint(webui: SimpleNamespace) -> None:
    webui.shared.opts.forge_model_mode = "api"
    if webui.kind != "neo":  # the others have no such mode
        assert len(painted(webui, [PICTURE])) == 1
        return
    for family in ("sd1", "sdxl"):
        assert "SameFace itself" in webui.host.refuses(family)  # so the worker paints
    with raises("webui-paints-elsewhere", has=("a service on the internet", "local models")):
        painted(webui, [PICTURE])
    webui.shared.opts.forge_model_mode, paint, seen = "local", webui.processing.painter, []

    def painter(*arguments: Any) -> Image.Image:
        webui.shared.opts.forge_model_mode = "api"  # the user switches while pictures are painted
        return paint(*arguments)

    webui.processing.painter = painter
    pictures = [replace(PICTURE, seed=seed) for seed in range(6)]
    with raises("webui-paints-elsewhere"):
        webui.host.paint(pictures, None, lambda number, *_: seen.append(number), lambda: False)
    assert seen == [0]  # the next is not sent
    assert not [event for event in webui.events if event.startswith("sent")]
    assert not webui.host.busy()
    assert webui.host.paints()


def test_what_neo_dropped_is_not_offered(webui: SimpleNamespace) -> None:
    assert [one.name for one in webui.host.captioners() if webui.kind == "neo"] == []


def test_cards_are_hidden_as_each_webui_hides_them(webui: SimpleNamespace) -> None:
    painted(webui, [PICTURE])  # a model of SD1 is loaded
    assert webui.host.shows("sd1").shown
    assert webui.host.shows("sdxl").shown is (webui.kind != "reforge")  # the others hide none
    webui.shared.opts.lora_show_all = True
    assert webui.host.shows("sdxl").shown


@pytest.mark.parametrize(
    ("filters", "marked", "hidden"),
    [(True, "xl", True), (True, "sd", False), (True, "SDXL", False), (True, "", False), (False, "xl", False)],
)
def test_neo_can_hide_the_cards_of_other_presets(
    webui: SimpleNamespace, filters: bool, marked: str, hidden: bool
) -> None:
    webui.shared.opts.lora_preset_filter = filters
    answer = webui.host.shows("sdxl", marked)
    assert answer.shown is not (hidden and webui.kind == "neo")
    if not answer.shown:
        assert "'xl'" in answer.why
        assert "'sd'" in answer.why
