"""A1111 as host, against the stand-in: what it knows, the GPU handed over, test pictures, what a worker needs."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from faults import raises
from PIL import Image, ImageChops
from safetensors.numpy import save_file

from hosts.standin.stage import stand_in
from lib_lora.errors import StoppedByUser
from lib_lora.hosts.webuis import detect, webui_captioners, webui_page
from lib_lora.hosts.webuis.queue_lock import take
from lib_lora.hosts.webuis.webui_painting import TOGETHER
from lib_lora.models import clip_tokens
from lib_lora.pictures import Cell
from lib_lora.setup import environment, packages

PICTURE = Cell("photo of mara, smiling", "blurry", 7, width=64, height=64, steps=3)
BASES = ("mini-face.safetensors", "other-xl.safetensors")


@pytest.fixture
def webui(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """The stand-in with a model on the GPU; ``.host`` is ours, ``.lora`` a file outside its folders."""
    with stand_in("a1111", tmp_path / "webui ü", checkpoints=BASES) as here:
        here.host = detect.host()
        here.model = here.shared.sd_model
        here.lora = tmp_path / "mara-001.safetensors"
        here.lora.write_bytes(b"weights")
        here.events.clear()
        yield here


def painted(webui: SimpleNamespace, pictures: list[Cell], base: Path | None = None, **more: Any) -> dict[int, Any]:
    """Number -> (picture, infotext)."""
    found: dict[int, Any] = {}

    def each(number: int, image: Image.Image, infotext: str) -> None:
        assert number not in found
        found[number] = (image, infotext)

    webui.host.paint(pictures, base, each, more.get("stop", lambda: False))
    return found


def users_own(webui: SimpleNamespace, prompt: str = PICTURE.prompt) -> Image.Image:
    """A picture of the user's, painted as its page does it."""
    p = webui.processing.StableDiffusionProcessingTxt2Img(
        prompt=prompt,
        negative_prompt=PICTURE.negative,
        seed=PICTURE.seed,
        steps=3,
        width=64,
        height=64,
        sampler_name="Euler",
        scheduler="Automatic",
        do_not_save_samples=True,
    )
    with webui.call_queue.queue_lock:
        return webui.processing.process_images(p).images[0]


def same(one: Image.Image, other: Image.Image) -> bool:
    return ImageChops.difference(one, other).getbbox() is None


def test_outside_a_webui_there_is_no_host() -> None:
    assert detect.host() is None


def test_the_host_is_the_same_object_as_long_as_the_webui_is(webui: SimpleNamespace) -> None:
    assert detect.host() is webui.host
    assert (webui.host.name, webui.host.version) == ("a1111", "")


def test_what_the_tab_lacks_is_looked_for_in_the_workers_folder(webui: SimpleNamespace) -> None:
    assert webui.host
    assert clip_tokens._packages is packages.worker_packages


def test_the_ux_fork_is_known_by_its_extension(tmp_path: Path) -> None:
    (tmp_path / "extensions" / "sd-webui-ux").mkdir(parents=True)
    with stand_in("ux", tmp_path):
        host = detect.host()
        assert host is not None
        assert host.name == "ux"


def test_folders_and_models(webui: SimpleNamespace) -> None:
    host, models = webui.host, webui.data / "models"
    roots = host.roots()
    assert roots.data == webui.data / "sameface"
    assert roots.loras == [models / "Lora", models / "LyCORIS"]
    assert roots.checkpoints == [models / "Stable-diffusion"]
    assert len(host.checkpoints()) == 2
    known = {one.path.name: one for one in host.checkpoints()}
    assert known["mini-face.safetensors"].sha256  # it was loaded
    assert known["other-xl.safetensors"].sha256 == ""
    assert host.current_checkpoint() == models / "Stable-diffusion" / "mini-face.safetensors"
    assert host.samplers()[0] == "Euler"
    assert set(host.samplers()) == set(webui.sd_samplers.visible_sampler_names())


def test_folders_that_are_set_otherwise(tmp_path: Path) -> None:
    flags = {"lora_dir": str(tmp_path / "loras"), "ckpt_dir": str(tmp_path / "more"), "lyco_dir_backcompat": None}
    for chosen, data in (("own place", tmp_path / "w" / "own place"), (str(tmp_path / "there"), tmp_path / "there")):
        with stand_in("a1111", tmp_path / "w", flags=flags, options={"sameface_data_dir": chosen}):
            host = detect.host()
            assert host is not None
            roots = host.roots()
            assert roots.data == data
            assert roots.loras == [tmp_path / "loras"]
            assert roots.checkpoints[1] == tmp_path / "more"


def test_without_the_extension_lora_there_is_no_place_for_one(webui: SimpleNamespace) -> None:
    webui.extra_networks.extra_network_registry.clear()
    assert webui.host.roots().loras == []
    assert not webui.host.paints()
    with raises("webui-lora-extension-off"):
        painted(webui, [replace(PICTURE, lora=webui.lora)])


def test_a_card_of_another_family_is_hidden_unless_all_are_shown(webui: SimpleNamespace) -> None:
    assert webui.host.shows("sd1").shown
    hidden = webui.host.shows("sdxl")
    assert not hidden.shown
    assert "SDXL while a model of SD1.5 is selected" in hidden.why
    webui.shared.opts.lora_show_all = True
    assert webui.host.shows("sdxl").shown


def test_before_a_model_is_loaded_none_is_loaded_by_us(tmp_path: Path) -> None:
    with stand_in("a1111", tmp_path) as here:
        host = detect.host()
        assert host is not None
        assert host.shows("sdxl").shown
        assert host.current_checkpoint() == tmp_path / "models" / "Stable-diffusion" / "mini-face.safetensors"
        with host.gpu_session():
            pass
        assert "load mini-face" not in here.events


def test_a_webui_without_checkpoints(tmp_path: Path) -> None:
    with stand_in("a1111", tmp_path, checkpoints=()) as here:
        host = detect.host()
        assert host is not None
        here.host = host
        assert (host.checkpoints(), host.current_checkpoint(), host.paints()) == ([], None, False)
        with raises("webui-without-checkpoint"):
            painted(here, [PICTURE])


# The GPU


def test_models_leave_and_come_back(webui: SimpleNamespace) -> None:
    webui.shared.interrogator.load()
    webui.deepbooru.model.model = webui.shared.interrogator.blip_model.__class__("tagger")
    moved: list[str] = []
    loaded = SimpleNamespace(net=1, send_model_to=lambda device: moved.append(device))
    unloaded = SimpleNamespace(net=None, send_model_to=lambda device: pytest.fail("this would fetch its files"))
    webui.shared.face_restorers[:] = [unloaded, loaded]
    control = SimpleNamespace(title=lambda: "ControlNet", clear_control_model_cache=lambda: moved.append("control"))
    webui.scripts.scripts_txt2img.alwayson_scripts.append(control)
    webui.processing.StableDiffusionProcessing.cached_c = ["a", "b", "c"]
    with webui.host.gpu_session():
        assert webui.model.device == "cpu"
        assert moved == ["cpu", "control"]
        assert {"clip to cpu", "blip to cpu", "tagger to cpu", "gc"} <= set(webui.events)
        assert webui.processing.StableDiffusionProcessing.cached_c == [None] * 3
        assert not webui.host.busy()
        assert not webui.call_queue.queue_lock.acquire(blocking=False)
        assert "training" in webui.shared.state.textinfo
    assert webui.model.device == "cuda"
    assert webui.shared.state.textinfo is None
    assert webui.call_queue.queue_lock.acquire(blocking=False)
    assert webui.host.busy()


@pytest.mark.parametrize("allow", [False, True])
def test_after_an_error_all_is_as_before(allow: bool, webui: SimpleNamespace) -> None:
    own = webui.sd_models.reload_model_weights
    with pytest.raises(OSError, match="died"), webui.host.gpu_session(allow):
        raise OSError("the worker died")
    assert webui.model.device == "cuda"
    assert webui.sd_models.reload_model_weights is own
    assert not webui.host.busy()


def test_an_error_while_models_leave_leaves_nothing_behind(webui: SimpleNamespace) -> None:
    webui.sd_models.send_model_to_cpu = lambda model: 1 / 0
    with pytest.raises(ZeroDivisionError), webui.host.gpu_session():
        pytest.fail("the GPU is not ours")
    assert not webui.host.busy()
    assert same(users_own(webui), users_own(webui))


def test_a_guest_that_fails_to_leave_is_passed_over(webui: SimpleNamespace) -> None:
    webui.scripts.scripts_txt2img.alwayson_scripts.append(SimpleNamespace(title=lambda: 1 / 0))
    with webui.host.gpu_session():
        assert webui.model.device == "cpu"


def test_others_wait_until_it_is_over(webui: SimpleNamespace) -> None:
    pictures: list[Image.Image] = []
    with webui.host.gpu_session():
        thread = threading.Thread(target=lambda: pictures.append(users_own(webui)), daemon=True)
        thread.start()
        thread.join(0.3)
        assert pictures == []
        with raises("webui-busy-training"):
            painted(webui, [PICTURE])
        assert webui.host.reconstruct(Image.new("RGB", (8, 8))) is None
        with raises("webui-busy-training"):
            webui.host.caption("webui-tags", Image.new("RGB", (8, 8)))
    thread.join(10)
    assert len(pictures) == 1


def test_where_others_may_paint_the_model_comes_back_for_them(webui: SimpleNamespace) -> None:
    own = webui.sd_models.reload_model_weights
    with webui.host.gpu_session(allow_painting=True):
        assert webui.model.device == "cpu"
        assert users_own(webui) is not None
        assert webui.model.device == "cuda"
        assert webui.sd_models.reload_model_weights is own
        assert webui.shared.state.textinfo is None
    assert webui.model.device == "cuda"
    assert webui.events.count("mini-face to cuda") == 1


def test_a_way_back_that_fails_is_tried_again_with_the_next_picture(webui: SimpleNamespace) -> None:
    send, full = webui.sd_models.send_model_to_device, [True]

    def send_model_to_device(model: Any) -> None:
        if full[0]:
            raise RuntimeError("CUDA out of memory")
        send(model)

    webui.sd_models.send_model_to_device = send_model_to_device
    with webui.host.gpu_session():
        pass
    assert any("could not be moved back" in event for event in webui.events)
    assert not webui.host.busy()
    with pytest.raises(RuntimeError, match="out of memory"):
        users_own(webui)
    full[0] = False
    assert users_own(webui) is not None
    with webui.host.gpu_session():
        assert webui.model.device == "cpu"
    assert webui.model.device == "cuda"


def test_it_waits_for_its_turn_and_may_give_up(webui: SimpleNamespace) -> None:
    lock, answers = webui.call_queue.queue_lock, []
    lock.acquire()

    def hold(give_up: Callable[[], bool]) -> None:
        try:
            with webui.host.gpu_session(give_up=give_up):
                answers.append("inside")
        except StoppedByUser:
            answers.append("gave up")

    first = threading.Thread(target=hold, args=(lambda: time.monotonic() > until,), daemon=True)
    second = threading.Thread(target=hold, args=(lambda: False,), daemon=True)
    until = time.monotonic() + 0.3
    first.start()
    first.join(10)
    second.start()
    time.sleep(0.3)
    assert answers == ["gave up"]
    assert webui.model.device == "cuda"
    lock.release()
    second.join(10)
    assert answers == ["gave up", "inside"]
    assert not webui.host.busy()


# Pictures


def test_pictures_are_what_the_users_own_would_be(webui: SimpleNamespace) -> None:
    own = users_own(webui)
    pictures = [PICTURE, *(replace(PICTURE, lora=webui.lora, weight=weight) for weight in (0.0, 0.5, 1.0))]
    found = painted(webui, pictures)
    assert same(found[0][0], own)
    assert same(found[1][0], own)
    assert not same(found[2][0], own)
    assert not same(found[3][0], found[2][0])
    assert found[0][0].size == (64, 64)
    assert "Lora hashes" in found[3][1]
    assert "Steps: 3, Sampler: Euler, Schedule type: Automatic" in found[3][1]
    assert "Negative prompt: blurry" in found[3][1]
    assert same(users_own(webui), own)


def test_a_picture_is_painted_over_another_as_strongly_as_asked(webui: SimpleNamespace, tmp_path: Path) -> None:
    starts = [tmp_path / f"{colour}.png" for colour in ("white", "black")]
    for start in starts:
        Image.new("RGB", (32, 32), start.stem).save(start)
    over = [replace(PICTURE, start=start, strength=strength) for start in starts for strength in (0.2, 0.9)]
    found = painted(webui, [*over, PICTURE])
    brightness = [sum(found[number][0].convert("L").getdata()) / 64**2 for number in range(5)]
    assert brightness[0] > brightness[1] > brightness[3] > brightness[2]
    assert found[0][0].size == (64, 64)


def test_further_loras_are_used_beside_the_first(webui: SimpleNamespace) -> None:
    ink = webui.lora.with_name("ink ü.safetensors")
    ink.write_bytes(b"ink")
    both = [replace(PICTURE, lora=webui.lora, more=((ink, weight),)) for weight in (0.25, 1.0)]
    alone = [replace(PICTURE, lora=webui.lora), replace(PICTURE, more=((ink, 1.0),))]
    applied: list[Any] = []
    paint = webui.processing.painter

    def painter(*arguments: Any) -> Image.Image:
        applied.append([(len(content), weight) for content, weight in webui.networks.applied()])
        return paint(*arguments)

    webui.processing.painter = painter
    found = painted(webui, [*both, *alone])
    assert applied == [[(64, 1.0), (64, 0.25)], [(64, 1.0), (64, 1.0)], [(64, 1.0)], [(64, 1.0)]]
    assert not any(same(found[one][0], found[other][0]) for one in range(4) for other in range(one))
    assert ink.read_bytes() == b"ink"
    assert not list(webui.host.roots().loras[0].rglob("sameface-test-*"))


def test_each_group_is_painted_in_the_order_it_came_in(webui: SimpleNamespace) -> None:
    other = webui.lora.with_name("second.safetensors")
    other.write_bytes(b"other weights")
    loras = [None, webui.lora, other]
    pictures = [replace(PICTURE, seed=seed, lora=lora) for seed in range(6) for lora in loras]
    order: list[int] = []
    found: dict[int, Image.Image] = {}

    def each(number: int, image: Image.Image, infotext: str) -> None:
        order.append(number)
        found[number] = image

    webui.host.paint(pictures, None, each, lambda: False)
    assert order == [*range(0, 18, 3), *range(1, 18, 3), *range(2, 18, 3)]
    assert [event for event in webui.events if event.startswith("begin")] == ["begin task(sameface"] * 6
    for number, picture in enumerate(pictures):
        assert f"Seed: {picture.seed}," in found[number].info["parameters"]
    assert not same(found[1], found[2])


def test_a_file_that_changed_under_its_name_is_painted_as_it_is_now(webui: SimpleNamespace) -> None:
    picture = replace(PICTURE, lora=webui.lora)
    before = painted(webui, [picture])[0][0]
    webui.lora.write_bytes(b"trained further")
    assert not same(painted(webui, [picture])[0][0], before)


def test_nothing_of_it_stays(webui: SimpleNamespace) -> None:
    (webui.data / "params.txt").write_text("the user's last", encoding="utf-8")
    options = dict(webui.shared.opts.data)
    painted(webui, [replace(PICTURE, lora=webui.lora)])
    assert (webui.data / "params.txt").read_text(encoding="utf-8") == "the user's last"
    assert dict(webui.shared.opts.data) == options
    assert webui.shared.cmd_opts.no_prompt_history is False
    assert not (webui.data / "models" / "Lora" / "sameface-tests").exists()
    assert webui.networks.available_networks == {}
    assert webui.progress.current_task is None
    assert "saved samples" not in webui.events
    assert webui.lora.read_bytes() == b"weights"


@pytest.mark.parametrize("last", ["the user's last", None])
def test_a_webui_that_always_notes_the_last_picture_keeps_the_users(webui: SimpleNamespace, last: str | None) -> None:
    """As Forge Classic, which knows no flag against it."""
    del webui.shared.cmd_opts.no_prompt_history
    note = webui.data / "params.txt"
    users_own(webui)
    assert PICTURE.prompt in note.read_text(encoding="utf-8")
    note.unlink() if last is None else note.write_text(last, encoding="utf-8")
    painted(webui, [PICTURE])
    assert (note.read_text(encoding="utf-8") if note.exists() else None) == last


def test_layers_forget_a_lora_whose_file_may_be_another_now(webui: SimpleNamespace) -> None:
    """The webui applies a name once: another file under it would leave the old one's weights."""
    layers = {name: SimpleNamespace(network_current_names=((name, 1.0, 1.0, None),)) for name in ("noah", "other")}
    webui.shared.sd_model.network_layer_mapping = {**layers, "untouched": SimpleNamespace()}
    webui.networks.networks_in_memory.update(noah="loaded", other="loaded")
    webui.host.refresh_loras("noah")
    assert layers["noah"].network_current_names not in ((), (("noah", 1.0, 1.0, None),))
    assert layers["other"].network_current_names == (("other", 1.0, 1.0, None),)
    assert webui.networks.networks_in_memory == {"other": "loaded"}
    webui.host.refresh_loras("")
    assert webui.networks.networks_in_memory == {"other": "loaded"}


def test_a_disk_without_links_gets_copies(webui: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    linked = painted(webui, [replace(PICTURE, lora=webui.lora)])[0][0]

    def link(*_: Any) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", link)
    assert same(painted(webui, [replace(PICTURE, lora=webui.lora)])[0][0], linked)


def test_what_a_killed_webui_left_is_swept_and_what_another_has_lent_is_not(webui: SimpleNamespace) -> None:
    folder = webui.data / "models" / "Lora" / "sameface-tests"
    folder.mkdir()
    old = int(time.time()) - 25 * 3600
    others = f"sameface-test-{int(time.time()) - 3600:x}-00000000.safetensors"
    for name in ("sameface-test-0123.safetensors", "sameface-test-x.tmp", f"sameface-test-{old:x}-0.safetensors"):
        (folder / name).write_bytes(b"left")
    (folder / others).write_bytes(b"another webui paints with it")
    os.utime(folder / others, (0, 0))  # a link has the times of its LoRA
    (folder / "mine.safetensors").write_bytes(b"the user's")
    painted(webui, [replace(PICTURE, lora=webui.lora)])
    assert sorted(path.name for path in folder.iterdir()) == ["mine.safetensors", others]


def test_a_lent_file_that_could_not_be_deleted_goes_the_next_time(
    webui: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, unlink = webui.data / "models" / "Lora" / "sameface-tests", Path.unlink

    def in_use(path: Path, missing_ok: bool = False) -> None:
        if path.name.startswith("sameface-test-"):
            raise PermissionError("in use")
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", in_use)
        painted(webui, [replace(PICTURE, lora=webui.lora)])
    assert len(list(folder.iterdir())) == 1
    painted(webui, [replace(PICTURE, lora=webui.lora)])
    assert not folder.exists()


def test_a_lora_that_the_user_adds_to_all_prompts_is_left_out(webui: SimpleNamespace) -> None:
    own = users_own(webui)
    (webui.data / "models" / "Lora" / "always.safetensors").write_bytes(b"always")
    webui.host.refresh_loras("always")
    webui.shared.opts.sd_lora = "always"
    assert same(painted(webui, [PICTURE])[0][0], own)
    assert webui.shared.opts.sd_lora == "always"


def test_another_checkpoint_and_the_users_own_back(webui: SimpleNamespace) -> None:
    own = users_own(webui)
    selected = webui.shared.opts.sd_model_checkpoint
    other = webui.data / "models" / "Stable-diffusion" / "other-xl.safetensors"
    found = painted(webui, [PICTURE], other)
    assert "Model: other-xl" in found[0][1]
    assert webui.shared.opts.sd_model_checkpoint == selected
    assert webui.shared.sd_model.sd_checkpoint_info.name == "mini-face.safetensors"
    assert same(users_own(webui), own)
    painted(webui, [PICTURE], webui.data / "models" / "Stable-diffusion" / "mini-face.safetensors")
    assert webui.events.count("load other-xl") == 1


def test_a_page_opened_while_another_checkpoint_paints_shows_the_users_own(webui: SimpleNamespace) -> None:
    """Nor does a setting that is saved meanwhile keep the other one in the webui's config."""
    users_own(webui)
    names = ("sd_model_checkpoint", "sd_checkpoint_hash")
    selected, own = [webui.shared.opts.data.get(name) for name in names], webui.sd_models.select_checkpoint
    shown, paint = [], webui.processing.painter

    def painter(*arguments: Any) -> Image.Image:
        shown.append([webui.shared.opts.data.get(name) for name in names])
        shown.append([webui.host.current_checkpoint().name, webui.shared.sd_model.sd_checkpoint_info.name])
        return paint(*arguments)

    webui.processing.painter = painter
    painted(webui, [PICTURE], webui.data / "models" / "Stable-diffusion" / BASES[1])
    assert shown == [selected, list(BASES)]
    assert webui.sd_models.select_checkpoint is own
    assert [webui.shared.opts.data.get(name) for name in names] == selected


def test_a_checkpoint_that_cannot_be_loaded_leaves_the_users_own(webui: SimpleNamespace) -> None:
    selected, load = webui.shared.opts.sd_model_checkpoint, webui.sd_models.load_model

    def fails(info: Any = None) -> None:
        if (info or webui.sd_models.select_checkpoint()).name == BASES[1]:
            raise RuntimeError("it is cut off")
        load(info)

    webui.sd_models.load_model = fails
    with raises("webui-painting-failed", has="could not paint (RuntimeError: it is cut off)"):
        painted(webui, [PICTURE], webui.data / "models" / "Stable-diffusion" / BASES[1])
    assert webui.shared.opts.sd_model_checkpoint == selected
    assert users_own(webui) is not None


def test_a_checkpoint_that_came_later_is_found_and_a_strange_one_is_not(webui: SimpleNamespace) -> None:
    later = webui.data / "models" / "Stable-diffusion" / "later.safetensors"
    later.write_bytes(b"later")
    assert "Model: later" in painted(webui, [PICTURE], later)[0][1]
    with raises("webui-checkpoint-unknown", has="strange.safetensors"):
        painted(webui, [PICTURE], webui.data / "strange.safetensors")


@pytest.mark.parametrize("way", ["paints", "fails", "through the VAE"])
def test_the_memory_that_painting_leaves_free_is_given_back(
    way: str, webui: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The C library would keep it: ten test grids once took a webui from 1.2 to 1.8 GB."""
    when: list[bool] = []
    monkeypatch.setattr("lib_lora.models.fast.memory.give_back", lambda: when.append(webui.host.busy()))
    if way == "through the VAE":
        webui.host.reconstruct(Image.new("RGB", (64, 64)))
    elif way == "paints":
        painted(webui, [PICTURE] * 6)
    else:
        with raises("webui-checkpoint-unknown"):
            painted(webui, [PICTURE], webui.data / "strange.safetensors")
    assert when == [False]  # once, and nobody has to wait for it


def test_it_stops_between_two_pictures(webui: SimpleNamespace) -> None:
    pictures = [replace(PICTURE, seed=seed) for seed in range(10)]
    assert sorted(painted(webui, pictures, stop=lambda: len(_seeds(webui)) >= 6)) == list(range(6))
    assert len(_seeds(webui)) == 6
    assert not webui.host.busy()


def test_it_stops_while_it_waits_for_others(webui: SimpleNamespace) -> None:
    with webui.call_queue.queue_lock:
        until = time.monotonic() + 0.3
        assert painted(webui, [PICTURE], stop=lambda: time.monotonic() > until) == {}
    until = time.monotonic() + 5
    while webui.host.busy():  # the lock is handed to the thread that waited, which gives it away
        assert time.monotonic() < until
        time.sleep(0.01)


def free_again(webui: SimpleNamespace) -> None:
    """The lock is handed to the thread that waited, which gives it away."""
    until = time.monotonic() + 5
    while webui.host.busy():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture
def taken(webui: SimpleNamespace) -> Iterator[Callable[[], None]]:
    """Somebody paints for three seconds from the call on; whoever gives up within that time has not waited for it."""
    timers: list[threading.Timer] = []

    def take_it() -> None:
        webui.call_queue.queue_lock.acquire()
        timers.append(threading.Timer(3, webui.call_queue.queue_lock.release))
        timers[0].start()

    yield take_it
    assert timers[0].is_alive()
    timers[0].join()
    free_again(webui)


def test_a_picture_that_waits_for_its_way_through_the_vae_can_be_given_up(
    webui: SimpleNamespace, taken: Callable[[], None]
) -> None:
    taken()
    until = time.monotonic() + 0.3
    assert webui.host.reconstruct(Image.new("RGB", (64, 64)), lambda: time.monotonic() > until) is None


def test_a_caption_holds_the_queue_and_gives_it_back(webui: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[bool] = []

    def phrases(image: Image.Image) -> list[str]:
        held.append(webui.call_queue.queue_lock.acquire(blocking=False))
        return ["red coat"]

    monkeypatch.setattr(webui_captioners, "webui_captioner", lambda name: SimpleNamespace(phrases=phrases))
    assert webui.host.caption("webui-tags", Image.new("RGB", (8, 8))) == ["red coat"]
    assert held == [False]
    free_again(webui)


def test_a_caption_that_waits_can_be_given_up(
    webui: SimpleNamespace, taken: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webui_captioners, "webui_captioner", lambda name: SimpleNamespace(phrases=lambda image: 1 / 0))
    taken()
    until = time.monotonic() + 0.3
    with raises("webui-wait-stopped"):
        webui.host.caption("webui-tags", Image.new("RGB", (8, 8)), lambda: time.monotonic() > until)


def test_a_caption_that_waits_is_refused_once_a_training_has_the_queue(
    webui: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webui_captioners, "webui_captioner", lambda name: SimpleNamespace(phrases=lambda image: 1 / 0))
    waiting = threading.Event()

    def stop() -> bool:
        waiting.set()
        return False

    def train() -> None:  # as `gpu_session` once its turn has come
        waiting.wait(5)
        webui.host._holds = True

    with webui.call_queue.queue_lock:
        thread = threading.Thread(target=train)
        thread.start()
        failsafe = time.monotonic() + 5
        with raises("webui-busy-training"):
            webui.host.caption("webui-tags", Image.new("RGB", (8, 8)), lambda: stop() or time.monotonic() > failsafe)
    thread.join()
    webui.host._holds = False
    free_again(webui)


def test_a_captioner_that_this_webui_lacks_is_said(webui: SimpleNamespace) -> None:
    with raises("webui-captioner-missing"):
        webui.host.caption("webui-blip", Image.new("RGB", (8, 8)))
    assert "webui-blip" not in [one.name for one in webui.host.captioners()]


def test_it_stops_while_the_list_of_checkpoints_waits_for_others(
    webui: SimpleNamespace, taken: Callable[[], None]
) -> None:
    taken()
    until, strange = time.monotonic() + 0.3, webui.data / "strange.safetensors"
    assert painted(webui, [PICTURE], strange, stop=lambda: time.monotonic() > until) == {}


def test_it_stops_while_the_way_back_to_the_checkpoint_waits_for_others(
    webui: SimpleNamespace, taken: Callable[[], None]
) -> None:
    found: list[int] = []

    def each(number: int, image: Image.Image, infotext: str) -> None:
        found.append(number)
        threading.Thread(target=taken).start()  # its turn comes next
        time.sleep(0.2)

    other = webui.data / "models" / "Stable-diffusion" / BASES[1]
    webui.host.paint([PICTURE], other, each, lambda: bool(found))
    assert found == [0]


def test_a_turn_that_comes_as_it_is_given_up_is_passed_on() -> None:
    lock, asked = threading.Lock(), []
    lock.acquire()

    def give_up() -> bool:
        if not asked:
            lock.release()
            time.sleep(0.1)
        asked.append(1)
        return len(asked) > 1

    with raises("webui-wait-stopped"):
        take(lock, give_up)
    assert not lock.locked()


def _seeds(webui: SimpleNamespace) -> list[str]:
    return [event for event in webui.events if event.startswith("paint ")]


@pytest.mark.parametrize(
    ("wish", "whole"), [("interrupt", TOGETHER + 2), ("stop_generating", TOGETHER + 3), ("skip", TOGETHER + 2)]
)
def test_what_was_whole_when_the_webuis_own_buttons_were_pressed_is_kept(
    wish: str, whole: int, webui: SimpleNamespace
) -> None:
    own = webui.processing.painter

    def painter(*arguments: Any) -> Image.Image:
        if len(_seeds(webui)) == TOGETHER + 2:  # while the third of its four is painted
            getattr(webui.shared.state, wish)()
        return own(*arguments)

    webui.processing.painter = painter
    numbers: list[int] = []
    with raises("webui-interrupted"):
        webui.host.paint(
            [replace(PICTURE, seed=seed) for seed in range(9)], None, lambda n, *_: numbers.append(n), lambda: False
        )
    assert numbers == list(range(whole))
    assert len(_seeds(webui)) == TOGETHER + 3  # nothing more is painted


def test_what_was_painted_before_an_error_is_kept(webui: SimpleNamespace) -> None:
    own = webui.processing.painter

    def painter(*arguments: Any) -> Image.Image:
        if len(_seeds(webui)) == 2:
            raise RuntimeError("CUDA out of memory")
        return own(*arguments)

    webui.processing.painter = painter
    numbers: list[int] = []
    with raises("webui-painting-failed"):
        webui.host.paint(
            [replace(PICTURE, seed=seed) for seed in range(4)], None, lambda n, *_: numbers.append(n), lambda: False
        )
    assert numbers == [0, 1]


def test_a_lora_that_the_webui_does_not_know_is_said_before_anything_is_painted(webui: SimpleNamespace) -> None:
    named = [replace(PICTURE, prompt=f"a face <lora:{name}:0.5>") for name in ("ink", "sketch")]
    (webui.host.roots().loras[0] / "ink.safetensors").write_bytes(b"ink")  # since the webui has looked last
    with raises("lora-unknown", has=("sketch",)):
        painted(webui, [PICTURE, *named])
    assert _seeds(webui) == []
    assert len(painted(webui, [named[0], replace(PICTURE, lora=webui.lora)])) == 2
    assert "ink" in (webui.host.lora_names() or ())


def test_vectors_that_the_webui_would_leave_out_are_said_before_anything_is_painted(
    webui: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lora = tmp_path / "own-001.safetensors"
    save_file({"bundle_emb.mrxa.string_to_param.*": np.ones((2, 64), np.float32)}, lora)
    pictures = [PICTURE, replace(PICTURE, more=((lora, 0.5),))]
    source = tmp_path / "networks.py"
    monkeypatch.setattr(sys.modules["networks"], "__file__", str(source))
    source.write_text("loaded_bundle_embeddings = {}  # as Forge has it", encoding="utf-8")
    with raises("painter-without-vectors", has=(lora.name, webui.host.name)):
        painted(webui, pictures)
    assert _seeds(webui) == []
    source.write_text('if key == "bundle_emb":  # as A1111 has it', encoding="utf-8")
    assert len(painted(webui, pictures)) == 2


class AfterDetailerScript:
    """What ADetailer is to us: a script that is always there, with its models in its module."""

    args_from, args_to, filename = 7, 12, "!adetailer.py"

    def __init__(self) -> None:
        self.asked: list[tuple[int, tuple[Any, ...]]] = []

    def title(self) -> str:
        return "ADetailer"

    def process(self, p: Any, *values: Any) -> None:
        p.extra_generation_params["ADetailer model"] = values[2]["ad_model"]

    def postprocess_image(self, p: Any, pp: Any, *values: Any) -> None:
        self.asked.append((p.seed, values))
        pp.image = ImageChops.invert(pp.image)


@pytest.mark.parametrize(
    ("models", "found"),
    [(["face_yolov8s.pt", "hand_yolov8n.pt", "face_yolov8n.pt"], "face_yolov8n.pt"), (["hand_yolov8n.pt"], "")],
)
def test_small_faces_are_adetailers_where_it_is_there(
    models: list[str], found: str, webui: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    wished = replace(PICTURE, width=512, height=768, detail=0.35, detail_side=512)
    assert webui.host.detailer() == ""
    with raises("webui-without-detailer"):
        painted(webui, [wished])
    module = SimpleNamespace(model_mapping=dict.fromkeys(models, "a path"))
    script, data = AfterDetailerScript(), SimpleNamespace(script_class=AfterDetailerScript, module=module)
    monkeypatch.setattr(webui.scripts.scripts_txt2img, "alwayson_scripts", [script])
    monkeypatch.setattr(webui.scripts, "scripts_data", [data])
    assert webui.host.detailer() == ("ADetailer" if found else "")
    if not found:
        return
    plain = replace(wished, detail=0.0)
    (first, infotext), (second, _) = painted(webui, [wished, plain]).values()
    assert same(ImageChops.invert(first), second)
    assert f"ADetailer model: {found}" in infotext
    [(seed, (on, _skip, values))] = script.asked  # once, and not for the other
    assert (seed, on, values["ad_model"], values["ad_denoising_strength"]) == (PICTURE.seed, True, found, 0.35)
    assert (values["ad_inpaint_width"], values["ad_use_inpaint_width_height"]) == (512, True)
    assert values["ad_mask_max_ratio"] == pytest.approx((512 / 3) ** 2 / (512 * 768))
    assert (script.args_from, script.args_to) == (7, 12)  # the page's own stays as it is


def test_the_users_own_pictures_come_in_between(webui: SimpleNamespace) -> None:
    threads: list[threading.Thread] = []
    own = webui.processing.painter

    def painter(*arguments: Any) -> Image.Image:
        if not threads:
            threads.append(threading.Thread(target=users_own, args=(webui, "a user's own"), daemon=True))
            threads[0].start()
            time.sleep(0.3)
        return own(*arguments)

    webui.processing.painter = painter
    pictures = [replace(PICTURE, seed=100 + seed) for seed in range(2 * TOGETHER)]
    assert len(painted(webui, pictures)) == 2 * TOGETHER
    threads[0].join(10)
    seeds = [int(event.split()[1]) for event in _seeds(webui)]
    assert seeds == [*range(100, 100 + TOGETHER), PICTURE.seed, *range(100 + TOGETHER, 100 + 2 * TOGETHER)]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("CUDA out of memory. Tried"), ("webui-painting-failed", "out of GPU memory")),
        (ValueError("odd\nmore"), ("webui-painting-failed",)),
    ],
)
def test_an_error_of_the_webui_is_a_sentence(error: Exception, said: str, webui: SimpleNamespace) -> None:
    def painter(*_: Any) -> Image.Image:
        raise error

    webui.processing.painter = painter
    with raises(said[0], has=said[1:]):
        painted(webui, [replace(PICTURE, lora=webui.lora)])
    assert not webui.host.busy()
    assert webui.progress.current_task is None
    assert not list((webui.data / "models" / "Lora").iterdir())


def test_not_a_numbers_are_a_sentence(webui: SimpleNamespace) -> None:
    def painter(*_: Any) -> Image.Image:
        raise webui.devices.NansException("all NaN")

    webui.processing.painter = painter
    with raises("webui-painting-failed", has=("with this checkpoint", "--no-half")):
        painted(webui, [PICTURE])
    with raises("webui-painting-failed", has=("LoRA mara-001.safetensors at weight 1.5", "--no-half")):
        painted(webui, [replace(PICTURE, lora=webui.lora, weight=1.5)])


def test_a_black_picture_is_not_a_numbers_only_where_the_webui_does_not_look_for_them(webui: SimpleNamespace) -> None:
    webui.processing.painter = lambda *_: Image.new("RGB", (64, 64))
    assert len(painted(webui, [PICTURE])) == 1
    webui.shared.cmd_opts.disable_nan_check = True
    with raises("webui-painted-black", has="with this checkpoint"):
        painted(webui, [PICTURE])


def test_a_lora_that_is_not_used_is_said_and_not_painted_without(webui: SimpleNamespace) -> None:
    own = webui.networks.load_networks
    webui.networks.load_networks = lambda names, *rest: own([], *rest)
    with raises("webui-lora-not-loaded", has="mara-001.safetensors"):
        painted(webui, [replace(PICTURE, lora=webui.lora)])
    with raises("file-missing", has="gone.safetensors"):
        painted(webui, [replace(PICTURE, lora=webui.lora.with_name("gone.safetensors"))])
    webui.networks.load_networks = lambda names, *rest: own(names[:1], *rest)
    ink = webui.lora.with_name("ink.safetensors")
    ink.write_bytes(b"ink")
    with raises("webui-lora-not-loaded", has="ink.safetensors"):
        painted(webui, [replace(PICTURE, lora=webui.lora, more=((ink, 0.5),))])
    with raises("sampler-unknown", has="'Eule'"):
        painted(webui, [replace(PICTURE, sampler="Eule")])
    assert painted(webui, []) == {}


def test_a_new_lora_becomes_known(webui: SimpleNamespace) -> None:
    (webui.data / "models" / "Lora" / "mara-002.safetensors").write_bytes(b"new")
    webui.processing.StableDiffusionProcessingTxt2Img.cached_hr_c = ["old", "old"]
    webui.host.refresh_loras("mara-002")
    assert list(webui.networks.available_networks) == ["mara-002"]
    assert webui.processing.StableDiffusionProcessingTxt2Img.cached_hr_c == [None, None]


def test_a_new_base_model_becomes_known(webui: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(webui.sd_models, "list_models", lambda: asked.append("again"))
    webui.host.refresh_checkpoints()
    assert asked == ["again"]


# Settings and the worker


def test_the_setting_is_added_and_read(webui: SimpleNamespace) -> None:
    host = webui.host
    assert host.roots().data == webui.data / "sameface"
    webui_page.register(host, lambda: None, lambda demo, app: None)
    webui.script_callbacks.ui_settings_callback()
    assert [key for key in webui.shared.opts.data_labels if key.startswith("sameface")] == ["sameface_data_dir"]
    assert host.roots().data == webui.data / "sameface"  # empty is not set
    opts = webui.shared.opts
    assert not opts.set("sameface_data_dir", "/elsewhere", is_api=True)
    assert opts.set("sameface_data_dir", " faces ")
    assert host.roots().data == webui.data / "faces"


def test_the_worker_runs_on_the_webuis_python(webui: SimpleNamespace) -> None:
    assert webui.host.worker_command() == [sys.executable]


@pytest.mark.parametrize("flag", ["listen", "share", "ngrok"])
def test_where_others_may_come_in_the_folder_cannot_be_chosen(flag: str, tmp_path: Path) -> None:
    with stand_in("a1111", tmp_path, flags={flag: True}) as here:
        host = detect.host()
        assert host is not None
        assert host.remote()
        webui_page.register(host, lambda: None, lambda demo, app: None)
        here.script_callbacks.ui_settings_callback()
        assert not here.shared.opts.set("sameface_data_dir", "/elsewhere")


def test_registrations_are_made_anew_at_each_reload(webui: SimpleNamespace) -> None:
    host, seen = webui.host, []
    for turn in range(2):
        webui.script_callbacks.clear_callbacks()
        webui_page.register(host, lambda: "blocks", lambda demo, app: seen.append(app), lambda: seen.append("unloaded"))
        assert webui.script_callbacks.ui_tabs_callback() == [("blocks", "Train LoRA", "sameface")]
        app = SimpleNamespace(auth={"me": "x"}, tokens={f"t{turn}": "me"})
        webui.script_callbacks.app_started_callback(None, app)
        webui.script_callbacks.script_unloaded_callback()
        assert host.app is app
        assert host.admits({}, {"access-token": f"t{turn}"})
        assert not host.admits({}, {"access-token": f"t{1 - turn}"})
    assert seen.count("unloaded") == 2


def test_flags_with_passwords_are_heeded(tmp_path: Path) -> None:
    with stand_in("a1111", tmp_path, flags={"api_auth": "me:secret"}):
        host = detect.host()
        assert host is not None
        assert not host.remote()
        assert not host.admits({}, {})
        assert host.admits({"authorization": "Basic bWU6c2VjcmV0"}, {})
    with stand_in("a1111", tmp_path, flags={"gradio_auth": "me:secret"}):
        host = detect.host()
        assert host is not None
        assert not host.admits({}, {})  # no page yet


def test_the_paste_button_is_bound_to_txt2img(webui: SimpleNamespace) -> None:
    webui.host.paste_button("button", "box")
    (binding,) = webui.infotext_utils.registered_param_bindings
    assert (binding.paste_button, binding.tabname, binding.source_text_component) == ("button", "txt2img", "box")


def test_the_workers_environment(webui: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "COMMANDLINE_ARGS", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.setenv(name, "the webui's")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(packages, "worker_packages", lambda: tmp_path / "packages")
    variables = webui.host.worker_environment()
    root = str(environment.ROOT)
    assert variables["PYTHONPATH"] == root
    assert not {"COMMANDLINE_ARGS", "PYTORCH_CUDA_ALLOC_CONF", "CUDA_VISIBLE_DEVICES"} & set(variables)
    assert {variables[name] for name in ("PYTHONUNBUFFERED", "PYTHONUTF8", "HF_HUB_OFFLINE")} == {"1"}
    assert variables["PATH"] == os.environ["PATH"]
    (tmp_path / "packages").mkdir()
    assert webui.host.worker_environment()["PYTHONPATH"] == os.pathsep.join([str(tmp_path / "packages"), root])


@pytest.mark.parametrize(
    ("flag", "visible", "told"), [("1", None, "1"), ("1", "3, 5", "5"), ("2", "3,5", "2"), (None, "3,5", "3,5")]
)
def test_the_worker_uses_the_webuis_gpu(
    flag: str | None, visible: str | None, told: str, webui: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    webui.shared.cmd_opts.device_id = flag
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert webui.host.worker_environment()["CUDA_VISIBLE_DEVICES"] == told
