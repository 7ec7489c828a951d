"""Pictures painted while it trains: they are what a webui would paint, and the training does not notice them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from faults import raises
from PIL import Image
from training_runs import measured

from lib_lora import typed_settings
from lib_lora.errors import UserError
from lib_lora.files import write_text
from lib_lora.grid.diffusers_painter import DiffusersPainter
from lib_lora.lora.file.reading import read
from lib_lora.models.families.identify import identify
from lib_lora.models.families.model_family import ModelFamily
from lib_lora.pictures import NEGATIVE, Cell, parameters_of, save_picture
from lib_lora.provenance.source_type import GENERATED, address
from lib_lora.runs.events import EventLog
from lib_lora.runs.records import run_records
from lib_lora.runs.reopen import reopen, trained_lora
from lib_lora.runs.run_names import checkpoint_named
from lib_lora.training import samples, stopping
from lib_lora.training import state as states
from lib_lora.training.loop import train
from lib_lora.training.objective import diffusion_objective
from lib_lora.training.plan import sample_prompts
from lib_lora.training.plan.estimate import picture_steps
from lib_lora.training.plan.run_file import RunFile, load_run, step_to_use
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.training.session import open_session
from lib_lora.workflows.listing import steps_of
from lib_lora.workflows.train.progress import both


def _same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def _pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.float32)


@pytest.fixture
def make_run(make_run):
    """Of the smallest model, and with the text encoder in the training only where a test says so."""

    def make(kind="flow", **settings):
        return make_run(kind, **settings, **({} if "lora" in settings else {"lora": {"te": False}}))

    return make


def _trained_as_a_family(run, events, kind, path):
    """See that a run of two steps has trained all of its family, and has said so."""
    assert path == run.checkpoint(2)
    lora = read(path)
    parts = {"sd1": 192 + 72, "sd2v": 192 + 138, "sdxl": 722 + 72 + 192}
    assert len(lora.layers) == parts[kind]
    assert lora.metadata["ss_steps"] == "2"
    assert lora.metadata["ss_output_name"] == path.stem
    steps = events.of("step")
    assert [event["step"] for event in steps] == [1, 2]
    for event in steps:
        assert event["total"] == 2
        assert event["loss"] > 0
        assert event["seconds_per_step"] > 0
        assert event["peak_memory"] > 1e8
    if kind == "sdxl":  # its first encoder ends before its last layer, which therefore learns nothing
        end = "lora_te1_text_model_encoder_layers"
        ups = {key: tensor.any() for key, tensor in lora.tensors.items() if "lora_up" in key}
        last, before = ([up for key, up in ups.items() if key.startswith(f"{end}_{n}_")] for n in (11, 10))
        assert len(last) == len(before) == 6
        assert not any(last)
        assert all(before)


@pytest.mark.parametrize(("kind", "every", "count"), [("sd1", 1, 3), ("sd2v", 2, 1), ("sdxl", 2, 1)])
def test_every_family_trains_and_paints_what_the_finished_lora_paints(make_run, events, toy, kind, every, count):
    """At every checkpoint; the last ones are pixel for pixel (but for the file's half precision) the painter's."""
    run = make_run(kind, photos=1, steps=2, save_every=every, samples=count, sample_steps=3, lora={"te": True})
    path = train(run, events)
    _trained_as_a_family(run, events, kind, path)
    saved = [*range(every, 3, every)]
    assert [event["step"] for event in events.of("checkpoint")] == saved
    said = events.of("sample")
    assert [(one["step"], one["number"]) for one in said] == [(n, m) for n in saved for m in range(count)]
    assert events.of("warning") == []
    assert all("mrxa woman" in one["prompt"] for one in said)
    said = said[-count:]
    assert [one["file"] for one in said] == [f"samples/000002-{n}.png" for n in range(count)]
    shown = [_pixels(run.folder / one["file"]) for one in said]
    if count == 3:
        assert said[0]["prompt"] == said[2]["prompt"] != said[1]["prompt"]
        assert not np.array_equal(shown[0], shown[2])  # another seed
    painter = DiffusersPainter(identify(toy(kind)), torch.device("cpu"), torch.float32)
    cells = [Cell(one["prompt"], NEGATIVE, 1000 + one["number"], path, width=128, height=128, steps=3) for one in said]
    bare = [replace(cell, lora=None) for cell in cells]
    for ours, theirs, without in zip(shown, painter.paint(cells), painter.paint(bare)):
        off, of_the_lora = (np.abs(ours - np.asarray(other, dtype=np.float32)) for other in (theirs, without))
        assert off.mean() < 0.5 < of_the_lora.mean()
        assert ours.std() > 1  # there is something on it


def test_the_picture_says_how_it_was_painted(make_run, events):
    run = make_run(photos=1, steps=1, samples=1, sample_steps=2)
    train(run, events)
    path = run.folder / "samples" / "000001-0.png"
    text = parameters_of(path)
    assert text.startswith(events.of("sample")[0]["prompt"] + " <lora:mara-001-000001:1>\nNegative prompt: ")
    assert "Steps: 2, Sampler: Euler, CFG scale: 2, Seed: 1000, Size: 128x128" in text
    with Image.open(path) as picture:
        assert picture.text["DigitalSourceType"] == address(GENERATED)
        assert "trainedAlgorithmicMedia" in picture.text["XML:com.adobe.xmp"]
    assert not list(run.folder.rglob("*.tmp"))


OWN_PROMPTS = ["photo of {trigger} woman, laughing", "a dog"]
DROPPING = {"te": False, "dropout": 0.2}
DECOMPOSED = {"te": True, "use_dora": True, "dropout": 0.2}


@pytest.mark.once("which draws are the training's own is ours; test_fast_parts.py compares what each version computes")
@pytest.mark.parametrize(
    "kind_of",
    [
        {"kind": "sd1", "ema": 0.9, "gradient_checkpointing": True, "sample_prompts": OWN_PROMPTS, "lora": DECOMPOSED},
        {"precision": "bf16", "shuffle_tags": True, "tag_dropout": 0.3, "caption_dropout": 0.3, "lora": DROPPING},
    ],
    ids=["average, DoRA", "half precision, draws"],
)
def test_the_training_does_not_notice(make_run, events, kind_of):
    """With and without pictures: the same checkpoints and the same states, bit for bit.

    One run has several kinds where none hides another: the states hold the weights themselves beside their average.
    """
    ends = []
    for count in (0, 1):
        run = make_run(photos=2, steps=2, save_every=1, samples=count, sample_steps=1, **kind_of)
        train(run, events)
        assert (run.folder / "samples").exists() == bool(count)
        ends.append(
            (
                [read(run.checkpoint(step)).tensors for step in (1, 2)],
                states.newest(run.states).state,
                run.character_folder,
            )
        )
    (plain, plain_state, _), (painted, painted_state, _) = ends
    assert all(_same(a, b) for a, b in zip(plain, painted))
    assert _same(plain_state.adapter, painted_state.adapter)
    assert plain_state.loss_average == painted_state.loss_average
    assert events.of("warning") == []


@pytest.mark.once("what is asked for and said is ours; what each version paints is repeated above")
def test_prompts_of_the_users_own_are_painted_in_place_of_the_two(make_run, events):
    own = ["photo of {trigger} woman\u00a0 at the beach {sea|sky}", "a dog", "{trigger}, {trigger}"]
    run = make_run(photos=1, steps=1, samples=1, sample_steps=1, sample_prompts=own, lora={"te": False})
    train(load_run(run.folder), events)  # as a run that goes on reads them
    said = events.of("sample")
    assert [one["prompt"] for one in said] == ["photo of mrxa woman at the beach {sea|sky}", "a dog", "mrxa, mrxa"]
    assert [one["number"] for one in said] == [0, 1, 2]
    assert events.of("warning") == []
    text = parameters_of(run.folder / said[0]["file"])
    assert text.startswith("photo of mrxa woman at the beach")
    assert "Seed: 1000," in text


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (["a"] * 9, ("setting-invalid", "has 9 prompts; at most 8 can be painted")),
        (["a", "  "], ("setting-invalid", "prompt 2 is empty")),
        (["a" * 401], ("setting-invalid", "prompt 1 has 401 letters; 400 are the most")),
        (["a\nb"], ("setting-invalid", "prompt 1 contains a line break")),
        ("a photo", ("setting-wrong-type", "'a photo'")),
        ([3], ("setting-wrong-type", "3")),
    ],
    ids=lambda value: str(value)[:20],
)
def test_prompts_are_bounded(own, said):
    with raises(said[0], has=said[1:]):
        typed_settings.from_dict(TrainSettings, {"sample_prompts": own})


def test_no_samples_is_none_whatever_the_prompts_are():
    assert TrainSettings(samples=0, sample_prompts=["a"]).sample_count == 0
    assert TrainSettings(samples=2, sample_prompts=["a"] * 5).sample_count == 5
    assert TrainSettings(samples=2).sample_count == 2


def test_no_random_state_is_touched_and_the_modules_are_given_back(make_run, events):
    run = make_run(photos=1, samples=2, sample_steps=2, ema=0.9)
    session = open_session(run, events)
    for layer in session.adapter.layers:
        torch.nn.init.normal_(layer.up, std=0.1)
    before, random = session.adapter.state(), torch.get_rng_state()
    samples.Samples(session, events).paint(7, lambda: False)
    assert len(events.of("sample")) == 2
    assert torch.equal(torch.get_rng_state(), random)
    assert _same(session.adapter.state(), before)
    assert all(module.training for module in session.modules)
    assert torch.is_grad_enabled()
    assert all(parameter.grad is None for parameter in session.parameters)


def test_the_running_average_is_what_is_shown(make_run, events):
    """As in the file that is saved: the live weights are wild here, the average still changes nothing."""
    run = make_run(photos=1, samples=1, sample_steps=2, ema=0.9)
    session = open_session(run, events)
    painter = samples.Samples(session, events)
    painter.paint(1, lambda: False)
    for layer in session.adapter.layers:
        torch.nn.init.normal_(layer.up, std=0.5)
    painter.paint(2, lambda: False)
    assert np.array_equal(*(_pixels(run.folder / one["file"]) for one in events.of("sample")))
    session.ema = None
    painter.paint(3, lambda: False)
    assert not np.array_equal(*(_pixels(run.folder / one["file"]) for one in events.of("sample")[1:]))


def test_prompts_change_no_key_of_the_cache(make_run, events):
    """A caption's encoding is found again; only the prompts' own come on top."""
    lora = {"te": False}
    run = make_run(photos=1, samples=0, lora=lora)
    open_session(run, events)
    folder = run.character_folder.cache / "text"
    first = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    open_session(make_run(photos=1, samples=2, lora=lora), events)
    then = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert first.items() <= then.items()
    assert len(then) == len(first) + 3  # two prompts and the negative one


@pytest.mark.once("what is asked for and said is ours; what each version paints is repeated above")
@pytest.mark.parametrize(
    ("error", "said", "trained"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "memory is too small for it", False),
        (torch.cuda.OutOfMemoryError("x"), "memory is too small for it", False),
        (UserError("Cannot write x: the disk is full.", code="some-fault"), "Cannot write x: the disk is full", False),
        (ValueError("odd"), "ValueError: odd", True),
    ],
    ids=str,
)
def test_what_goes_wrong_is_a_warning_and_the_training_goes_on(make_run, events, monkeypatch, error, said, trained):
    run = make_run(photos=1, steps=2, save_every=1, samples=1, sample_steps=1)
    tries = []

    def broken(*_):
        tries.append(1)
        raise error

    monkeypatch.setattr(samples, "decode", broken)
    if trained:
        assert train(run, events) == run.checkpoint(2)
    else:
        painter = samples.Samples(open_session(run, lambda *_, **__: None), events)
        painter.paint(1, lambda: False)
        painter.paint(2, lambda: False)
    (warning,) = events.of("warning")
    assert (warning["code"], f"in this run: {said}." in warning["text"]) == ("samples-ended", True)
    assert len(tries) == 1  # at step 1, and not again at step 2
    assert events.of("sample") == []


@pytest.mark.once("what is asked for and said is ours; what each version paints is repeated above")
def test_a_run_that_is_to_end_paints_no_more(make_run, events):
    run = make_run(photos=1, steps=50, save_every=2, samples=2, sample_steps=2)

    def stop(kind, **fields):
        events(kind, **fields)
        if kind == "checkpoint":
            (run.folder / "stop").touch()  # it comes while the picture is painted

    with raises("training-stopped", step=3, of=50):
        train(run, stop)
    assert events.of("sample") == []
    assert events.of("warning") == []
    assert run.checkpoint(3).exists()


@pytest.mark.once("what is asked for and said is ours; what each version paints is repeated above")
def test_a_run_file_of_before_is_read_and_goes_on(make_run, events):
    run = make_run(photos=1, steps=2, samples=0)
    values = typed_settings.to_dict(run.file)
    del values["settings"]["samples"], values["settings"]["sample_steps"]
    old = typed_settings.from_dict(RunFile, values)
    assert (old.settings.samples, old.settings.sample_steps) == (TrainSettings().samples, TrainSettings().sample_steps)
    lines = (run.folder / "run.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    write_text(run.folder / "run.yaml", "".join(line for line in lines if not line.strip().startswith("sample")))
    train(load_run(run.folder), events)
    assert len(events.of("sample")) == TrainSettings().samples


@pytest.mark.once("what is asked for and said is ours; what each version paints is repeated above")
def test_a_large_picture_is_decoded_in_pieces_where_memory_is_short(make_run, events, monkeypatch):
    run = make_run("sd1", photos=1, samples=1, sample_steps=1)
    session = open_session(run, events)
    painter = samples.Samples(session, events)
    latents = [torch.randn(1, 4, 72, 16, generator=torch.Generator().manual_seed(0))]  # one side is enough for pieces
    whole = painter._decoded(latents)[0]
    assert painter._vae is not None  # the toy's is small, so it stays
    monkeypatch.setattr(samples, "_SMALL_VAE", 0)
    monkeypatch.setattr(type(session), "device", property(lambda self: torch.device("meta")))
    monkeypatch.setattr(samples, "free_bytes", lambda device: 1)
    monkeypatch.setattr(ModelFamily, "vae_dtype", lambda *_: torch.float32)
    pieces = painter._decoded(latents)[0]
    assert painter._vae is None
    assert pieces.size == whole.size == (128, 576)
    difference = np.abs(np.asarray(pieces, dtype=float) - np.asarray(whole, dtype=float))
    assert 0 < difference.mean() < 40


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("steps", [1, 3, 12])
def test_euler_finds_the_picture_that_a_perfect_model_knows(prediction, zero, steps):
    """A model that always knows the clean picture leads to it from any noise, in any number of steps."""
    from lib_lora.models.noise_schedule import noise_schedule

    if zero and prediction == "epsilon":
        return  # such a model cannot be: at the end of that schedule the input holds nothing of the picture
    alphas = noise_schedule(zero)
    clean = torch.linspace(-1, 1, 64).reshape(1, 4, 4, 4)

    def perfect(latents, time):
        left = alphas[time]
        noise = (latents - left.sqrt() * clean) / (1 - left).sqrt()
        return noise if prediction == "epsilon" else left.sqrt() * noise - (1 - left).sqrt() * clean

    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(3))
    found = diffusion_objective.euler(perfect, noise, alphas, prediction, steps)
    assert torch.allclose(found, clean, atol=2e-3)


def test_prompts_and_groups(make_run, events):
    run = make_run(photos=1)
    who = replace(run.file.character, traits=["freckles"])
    prompts = sample_prompts.prompts_of(who, TrainSettings(samples=3))
    assert prompts[0] == prompts[2]
    assert all("mrxa woman, freckles" in prompt for prompt in prompts)
    assert sample_prompts.words_needed(who, TrainSettings(samples=0)) == []
    assert sample_prompts.words_needed(who, TrainSettings(samples=5)) == [*prompts[:2], NEGATIVE]
    for side, sizes in ((128, [5]), (512, [2, 2, 1]), (1024, [1] * 5)):
        painter = samples.Samples.__new__(samples.Samples)
        painter.side = side
        assert [len(group) for group in painter._groups(["x"] * 5)] == sizes


def stop(run):
    """Ask for a training's end."""
    (run.folder / stopping.STOP_FILE).touch()


def test_pictures_to_be_measured_are_painted_beside_and_the_base_models_once(make_run, events, toy):
    seen, plain = [], make_run("sd1", photos=1, steps=2, save_every=1, lora={"te": False})
    train(plain, lambda *_, **__: None)
    run = make_run("sd1", photos=1, steps=2, save_every=1, samples=1, sample_steps=2, lora={"te": False})
    train(run, events, measured(seen))
    said = [(one["step"], one["number"], one.get("role")) for one in events.of("sample")]
    base = (0, 1, "base")
    assert said == [base, *((step, *rest) for step in (1, 2) for rest in ((0, None), (1, "lora"), (2, "leak")))]
    names = {role: [path.name for path in paths] for role, paths in seen[1][1].items()}
    assert names == {"lora": ["000002-1.png"], "leak": ["000002-2.png"], "base": ["000000-1.png"]}
    assert [step for step, _ in seen] == [1, 2]
    assert "<lora" not in parameters_of(seen[0][1]["base"][0])
    painter = DiffusersPainter(identify(toy("sd1")), torch.device("cpu"), torch.float32)
    [alone] = painter.paint([Cell("a woman", NEGATIVE, 1, width=128, height=128, steps=2)])
    assert np.abs(_pixels(seen[0][1]["base"][0]) - np.asarray(alone, dtype=np.float32)).mean() < 0.5
    assert _same(read(plain.checkpoint(2)).tensors, read(run.checkpoint(2)).tensors)  # the training does not notice
    assert events.of("warning") == []


@pytest.mark.once("how the time left is computed is ours")
def test_the_time_left_counts_the_pictures_that_are_still_to_come(make_run, events):
    run = make_run(photos=1, steps=4, save_every=2, samples=1, sample_steps=3, lora={"te": False})
    made = {}

    def noting(kind, **fields):
        events(kind, **fields)
        made[kind] = made.get(kind, 0) + 1
        if kind == "step":
            pictures = 2 if fields["step"] <= 2 else 1  # of step 2, which are painted after it, and of step 4
            rest = fields["seconds_left"] - (4 - fields["step"]) * fields["seconds_per_step"]
            assert rest > 0
            if not made.get("sample"):  # three sampling steps are as many forward passes as two steps of training
                assert rest == pytest.approx(pictures * 2 * fields["seconds_per_step"])

    train(run, noting)
    assert (made["step"], made["sample"]) == (4, 2)
    assert picture_steps(run.file.settings) == 2


@pytest.mark.once("what ends a training is ours")
def test_a_training_ends_where_more_is_of_no_use(make_run, events):
    run = make_run(
        photos=1,
        steps=6,
        save_every=1,
        samples=0,
        sample_steps=1,
        likeness_curve=True,
        stop_early=True,
        lora={"te": False},
    )
    say = both(events, EventLog(run.events))
    assert train(run, say, measured([], enough={2: 1})) == run.checkpoint(2)
    assert [one["code"] for one in events.of("warning")] == ["stopped-early"]
    assert [one for one in events.of("state") if one["state"] == "trained"] == [
        {"state": "trained", "step": 2, "total": 2, "file": run.checkpoint(2).name}
    ]
    ended = load_run(run.folder)
    assert (ended.file.settings.steps, ended.file.ended, ended.file.best_step) == (6, 2, 1)
    assert (step_to_use(ended), checkpoint_named(ended, None), run_records.run(run.folder).step_to_use) == (1, 1, 1)
    assert trained_lora(ended) == run.checkpoint(2)
    assert (run_records.run(run.folder).total, steps_of(ended)) == (2, 2)
    seen = []
    assert train(ended, say, measured(seen, known=[1, 2])) == run.checkpoint(2)  # nothing is left to do
    assert seen == []
    more = reopen(run.folder, run.workspace.root, steps=4)
    assert (more.file.ended, more.file.restart, step_to_use(more)) == (0, 2, 2)
    assert train(more, say, measured(seen, known=[1, 2])) == run.checkpoint(4)
    assert [step for step, _ in seen] == [3, 4]


@pytest.mark.once("what ends a training is ours")
def test_a_training_that_was_stopped_before_it_was_measured_ends_where_it_goes_on(make_run, events):
    asked = {"likeness_curve": True, "samples": 0, "sample_steps": 1, "lora": {"te": False}}
    run = make_run(photos=1, steps=4, save_every=1, stop_early=True, **asked)

    def stop_at_two(kind, **fields):
        if kind == "step" and fields["step"] == 2:
            stop(run)

    with raises("training-stopped"):
        train(run, stop_at_two, measured([]))
    assert train(run, events, measured([], enough={2: 1}, known=[1])) == run.checkpoint(2)
    ended = load_run(run.folder)
    assert (ended.file.ended, step_to_use(ended)) == (2, 1)


@pytest.mark.once("what ends a training is ours")
def test_a_finished_training_uses_an_earlier_step_that_was_as_good(make_run, events):
    asked = {"likeness_curve": True, "samples": 0, "sample_steps": 1, "lora": {"te": False}}
    run = make_run(photos=1, steps=2, save_every=1, stop_early=True, **asked)
    train(run, both(events, EventLog(run.events)), measured([], enough={2: 1}))
    ended = load_run(run.folder)
    assert (ended.file.ended, step_to_use(ended), trained_lora(ended)) == (0, 1, run.checkpoint(2))
    [said] = events.of("warning")
    assert said["code"] == "earlier-step-used"
    assert said["text"].endswith("So the training is finished, and the LoRA of step 1 is used.")
    run.checkpoint(1).unlink()
    assert step_to_use(ended) == 2
    killed = make_run(photos=1, steps=2, save_every=1, stop_early=True, **asked)
    train(killed, events)  # before the last pictures were measured
    train(killed, events, measured([], enough={2: 1}, known=[1]))
    assert step_to_use(load_run(killed.folder)) == 1
    stopped = make_run(photos=1, steps=2, save_every=1, stop_early=True, **asked)
    with raises("training-stopped"):
        train(stopped, events, measured([], enough={2: 1}, before=lambda step: step == 2 and stop(stopped)))
    train(stopped, events, measured([], enough={2: 1}, known=[1]))
    assert step_to_use(load_run(stopped.folder)) == 1
    plain = make_run(photos=1, steps=2, save_every=1, **asked)
    train(plain, events, measured([], enough={2: 1}))
    assert step_to_use(load_run(plain.folder)) == 2  # nobody asked for it


@pytest.mark.once("what is asked for and said is ours")
def test_who_cannot_measure_says_so_once_and_the_training_goes_on(make_run, events):
    def judge(*_):
        raise UserError("No photo shows a face.", code="some-fault")

    run = make_run(photos=1, steps=2, save_every=1, samples=0, sample_steps=1, lora={"te": False})
    test = replace(measured([]), judge=judge)
    assert train(run, events, test) == run.checkpoint(2)
    (warning,) = events.of("warning")
    assert (warning["code"], "No photo shows a face" in warning["text"]) == ("likeness-curve-ended", True)
    assert [one["step"] for one in events.of("sample")] == [0, 1, 1]


@pytest.mark.once("what is asked for and said is ours")
def test_nothing_is_painted_for_a_measure_that_cannot_be_taken(make_run, events):
    def check():
        raise UserError("Too few photos.", code="some-fault")

    run = make_run(photos=1, steps=1, samples=1, sample_steps=1, lora={"te": False})
    train(run, events, replace(measured([]), check=check))
    assert [(one["step"], one.get("role")) for one in events.of("sample")] == [(1, None)]
    (warning,) = events.of("warning")
    assert (warning["code"], "Too few photos" in warning["text"]) == ("likeness-curve-ended", True)


@pytest.mark.once("which pictures are painted again is ours")
def test_what_a_kill_left_unmeasured_is_made_up_for_and_the_training_does_not_notice(make_run, events):
    """All that is switched off, or laid aside, while pictures are painted is there again."""
    asked = {"photos": 1, "steps": 2, "save_every": 1, "samples": 0, "sample_steps": 1, "ema": 0.9}
    asked |= {"trigger_vectors": 1, "vectors_lr": 0.1, "te_lr": 1e-3, "lora": {"use_dora": True, "dropout": 0.2}}
    plain, run = make_run(**asked), make_run(**asked)
    train(plain, lambda *_, **__: None)

    def killed(kind, **fields):
        events(kind, **fields)
        if kind == "sample" and fields["step"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(run, killed, measured([]))
    base = run.folder / "samples" / "000000-0.png"
    save_picture(base, Image.new("RGB", (128, 128)), Cell("another prompt", NEGATIVE, 1))
    seen = []
    train(load_run(run.folder), events, measured(seen))
    assert [step for step, _ in seen] == [1, 2]
    assert _same(read(plain.checkpoint(2)).tensors, read(run.checkpoint(2)).tensors)
    assert parameters_of(base).startswith("a woman")


def test_stopping_early_needs_the_curve():
    with raises("setting-invalid", has="stop_early needs likeness_curve"):
        typed_settings.from_dict(TrainSettings, {"stop_early": True})
