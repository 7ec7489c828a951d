"""The trigger's own vectors are trained beside the adapters, and are what the finished file holds."""

import pytest
import torch
from faults import misfit, raises

from lib_lora.character.store import Character
from lib_lora.lora.file.reading import read
from lib_lora.training.loop import train
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.training.plan.trigger_check import check_trigger
from lib_lora.training.session import open_session

OURS = pytest.mark.once("which weights are trained is ours; what the encoders compute, the other two show")
CAPTIONS = ["photo of mrxa woman", "photo of woman"]


def _silent(kind, **fields):
    pass


@pytest.mark.parametrize(("kind", "te_lr"), [("sd1", 0.0), pytest.param("sd1", 1e-3, marks=OURS), ("sdxl", 0.0)])
def test_the_file_holds_what_was_trained(make_run, kind, te_lr):
    run = make_run(kind, steps=2, save_every=2, trigger_vectors=2, vectors_lr=0.1, te_lr=te_lr)
    begun = open_session(run, _silent)
    stack = begun.forward.conditions.stack
    with torch.no_grad():
        base = stack.encode(CAPTIONS).context
    start = [one.detach().clone() for one in begun.adapter.vectors().values()]
    assert [tuple(one.shape) for one in start] == [(2, 64)] * len(stack.encoders)
    assert begun.parameters[-len(start) :] == list(begun.adapter.vectors().values())
    assert begun.rates[-1] == 0.1
    frozen = [one for encoder in stack.encoders for one in encoder.parameters() if one.requires_grad]
    assert bool(frozen) == (te_lr > 0)

    lora = read(train(run, _silent))
    (word,) = lora.inversions
    assert word.word == "mrxa"
    for before, after in zip(start, word.vectors, strict=True):
        assert 0.01 < float((after - before).abs().max()) < 0.5
    if te_lr == 0:  # nothing but the vectors acts on the text
        with torch.no_grad():
            stack.inversions = ()
            with stack.with_inversions(lora.inversions):
                heard = stack.encode(CAPTIONS).context
        assert torch.equal(heard[1], base[1])
        assert not torch.allclose(heard[0], base[0], atol=1e-2)


def test_recomputed_activations_change_nothing(make_run):
    """The text encoders recompute theirs too, though nothing in them is trained."""
    found = []
    for recomputed in (False, True):
        run = make_run(
            steps=2, save_every=2, trigger_vectors=2, vectors_lr=0.1, te_lr=0.0, gradient_checkpointing=recomputed
        )
        begun = open_session(run, _silent)
        (encoder,) = begun.forward.conditions.stack.encoders
        assert (encoder.is_gradient_checkpointing and encoder.training) == recomputed
        with begun.evaluating():
            assert not encoder.training
        found.append(read(train(run, _silent)).tensors)
    assert found[0].keys() == found[1].keys()
    for key, tensor in found[0].items():
        assert torch.allclose(tensor.float(), found[1][key].float(), atol=1e-5), key


def test_prodigy_has_one_factor_for_the_vectors_too(make_run):
    pytest.importorskip("prodigyopt")
    run = make_run(optimizer="prodigy", unet_lr=1.0, te_lr=1.0, trigger_vectors=2)
    assert open_session(run, _silent).rates == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("trigger", "class_word", "said"),
    [("mr.x", "woman", "full stop"), ("x" * 101, "woman", "101"), ("\x01", "woman", "letter"), ("x", "\x01", "class")],
)
def test_words_that_cannot_have_vectors(trigger, class_word, said):
    character = Character("Mara", trigger, class_word)
    check_trigger(character, TrainSettings())
    with raises("trigger-not-for-vectors", has=(said, "trigger_vectors")):
        check_trigger(character, TrainSettings(trigger_vectors=1))


def test_a_trigger_that_a1111_would_cut_leaves_no_run_behind(make_run, tmp_path):
    with raises("trigger-not-for-vectors", has="mr.x"):
        make_run(trigger_vectors=1, trigger="mr.x")
    assert not list(tmp_path.glob("data*/characters/*/runs/*"))


@pytest.mark.parametrize("values", [{"trigger_vectors": 5}, {"trigger_vectors": -1}, {"vectors_lr": 0.0}])
def test_ranges(values):
    with misfit(next(iter(values))):
        TrainSettings(**values)
