"""A LoRA is saved at a weight of its own: what a host shows of it at 1 is what it shows at that weight of what was
learned, and the training goes on from what was learned."""

import numpy as np
import pytest
import torch
from faults import misfit, raises
from PIL import Image

from lib_lora.grid.diffusers_painter import DiffusersPainter
from lib_lora.lora.file.reading import read
from lib_lora.lora.key_names import kohya_name
from lib_lora.models.families.identify import identify
from lib_lora.pictures import NEGATIVE, Cell
from lib_lora.training.loop import train
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.training.session import open_session
from lib_lora.typed_settings import from_dict

ASKED = {"photos": 1, "steps": 2, "samples": 1, "sample_steps": 3, "trigger_vectors": 1, "vectors_lr": 0.1}
STRONG = {"unet_lr": 0.02, "te_lr": 0.02}  # two steps are seen in the pictures


@pytest.mark.parametrize("more", [{}, {"ema": 0.5, "lora": {"use_rslora": True, "conv_rank": 2}}], ids=str)
def test_a_host_shows_at_one_what_it_shows_of_the_whole_at_that_weight(make_run, events, toy, more):
    whole = read(train(make_run(**ASKED, **STRONG, **more), events))
    run = make_run(**ASKED, **STRONG, **more, saved_weight=0.4)
    path = train(run, events)
    less = read(path)
    assert less.tensors.keys() == whole.tensors.keys()
    for key, tensor in whole.tensors.items():
        expected = tensor * 0.4 if key.endswith(".lora_up.weight") else tensor
        torch.testing.assert_close(less.tensors[key], expected, rtol=1e-3, atol=1e-7)  # half precision rounds each
    assert less.metadata["sameface.saved_weight"] == "0.4"
    assert "sameface.saved_weight" not in whole.metadata

    (said,) = events.of("sample")[-1:]
    shown = np.asarray(Image.open(run.folder / said["file"]), dtype=np.float32)
    cells = [
        Cell(said["prompt"], NEGATIVE, 1000, lora, width=128, height=128, steps=3, **weight)
        for lora, weight in ((path, {}), (whole.path, {"weight": 0.4}), (whole.path, {}))
    ]
    painter = DiffusersPainter(identify(toy("sd1")), torch.device("cpu"), torch.float32)
    off = [float(np.abs(shown - np.asarray(one, dtype=np.float32)).mean()) for one in painter.paint(cells)]
    assert max(off[:2]) < 0.5
    assert off[2] > 2  # the sample is of what was saved, not of all that was learned


def test_the_training_goes_on_from_what_was_learned(make_run, events):
    """Saving gives the average at its weight, and leaves the training as it was, bit for bit; so does what fails."""
    session = open_session(make_run(photos=1, steps=1, ema=0.9, saved_weight=0.5), events)
    for n, layer in enumerate(session.adapter.layers):
        torch.nn.init.constant_(layer.up, 1.0 + n)
    session.ema.update()
    for layer in session.adapter.layers:
        torch.nn.init.normal_(layer.up, std=0.1)
    average = dict(zip(map(id, session.parameters), session.ema.tensors(), strict=True))
    before = session.adapter.state()
    exported = session.exported()
    for layer in session.adapter.layers:
        key = f"{kohya_name(session.adapter.family, layer.part, layer.path)}.lora_up.weight"
        assert average[id(layer.up)].any()
        torch.testing.assert_close(exported[key], 0.5 * average[id(layer.up)].cpu())
    with pytest.raises(KeyboardInterrupt), session.as_saved():
        raise KeyboardInterrupt
    after = session.adapter.state()
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items())


@pytest.mark.once("what is refused is ours")
def test_dora_is_saved_as_it_is_learned(make_run, events):
    with raises("setting-invalid", has="saved_weight"):
        from_dict(TrainSettings, {"saved_weight": 0.8, "lora": {"use_dora": True}})
    session = open_session(make_run(photos=1, steps=1, lora={"use_dora": True}), events)
    with misfit("weight"):
        session.adapter.scale(0.5)
    session.adapter.scale(1)


@pytest.mark.parametrize("weight", [0, 0.05, -0.5, 1.1, float("nan")])
@pytest.mark.once("what is refused is ours")
def test_the_weight_is_a_share(weight):
    with misfit("saved_weight"):
        TrainSettings(saved_weight=weight)
