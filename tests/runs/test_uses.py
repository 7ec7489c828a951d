"""A test that comes after the LoRA was put to use gives its card the best picture."""

import pytest
from PIL import Image

from lib_lora.deploy.folder import add_preview, deliver
from lib_lora.files import write_json
from lib_lora.runs.records.origin import lora_origin
from lib_lora.runs.records.uses import renew_previews
from lib_lora.training.plan.run_file import load_run

pytestmark = pytest.mark.once("what is noted of a copy is ours")


def picture(folder, colour):
    path = folder / f"{colour}.png"
    Image.new("RGB", (8, 8), colour).save(path)
    return path


def shown(lora):
    """The colour of a card's picture."""
    with Image.open(lora.with_suffix(".png")) as image:
        return image.getpixel((0, 0))


@pytest.fixture
def run(copied):
    return load_run(copied.run)


def test_each_copy_used_at_this_step_and_weight_gets_it(run, tmp_path):
    origin, lora = lora_origin(run), run.checkpoint(3)
    places = [deliver(origin, lora, tmp_path / name) for name in ("webui", "comfy", "own", "other", "gone")]
    webui, comfy, own, other, gone = places
    add_preview(origin, comfy, picture(tmp_path, "red"))
    Image.new("RGB", (8, 8), "lime").save(own.with_suffix(".png"))  # the user's
    gone.unlink()
    uses = [{"file": str(path), "step": 3, "weight": 0.6 if path == other else 0.8} for path in places]
    write_json(run.place.uses, [*uses, "not one"])
    renew_previews(run, 3, 0.8, picture(tmp_path, "blue"))
    assert shown(webui) == shown(comfy) == (0, 0, 255)
    assert shown(own) == (0, 255, 0)
    assert not other.with_suffix(".png").exists()
    assert not gone.with_suffix(".png").exists()
    webui.with_suffix(".json").write_text("{", encoding="utf-8")  # what is damaged costs no test
    renew_previews(run, 3, 0.8, picture(tmp_path, "white"))
    assert shown(webui) == (0, 0, 255)
    assert shown(comfy) == (255, 255, 255)


@pytest.mark.parametrize("content", [None, "{", '{"file": "x"}'])
def test_where_nothing_is_known_nothing_is_done(run, tmp_path, content):
    if content is not None:
        run.place.uses.write_text(content, encoding="utf-8")
    renew_previews(run, 3, 1.0, picture(tmp_path, "blue"))
