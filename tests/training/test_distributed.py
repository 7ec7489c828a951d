"""Two processes that share a batch train what one process trains."""

import os
import shutil
import signal
import socket
import sys
from pathlib import Path

import pytest
from PIL import Image
from training_runs import forkserver_loads_training, measured

from lib_lora.errors import UserError
from lib_lora.lora.bundled import PREFIX
from lib_lora.lora.file.reading import read
from lib_lora.runs.events import read_events
from lib_lora.training.loop import train
from lib_lora.training.plan.run_file import load_run
from lib_lora.training.session import open_session
from lib_lora.workflows.photos.new_character import NewCharacter, new_character
from lib_lora.workflows.train.main_job import sink

SETTINGS = {"steps": 3, "save_every": 3, "photos": 4, "preservation_weight": 1.0, "preservation_share": 1.0}
SETTINGS |= {"phrase_weight": 1.0, "phrase_timesteps": 0}
OF_ONE = {"trigger_vectors": 2, "vectors_lr": 0.1}
OF_ONE |= {"identity_loss_weight": 1.0, "identity_loss_timesteps": 1000, "identity_loss_from": 0.3}
ENDS_EARLY = {"steps": 4, "save_every": 1, "photos": 2, "samples": 0, "sample_steps": 1, "lora": {"te": False}}
ENDS_EARLY |= {"likeness_curve": True, "stop_early": True}
OF_TWO = {"together": ["Tomas"], "face_weight": 3.0, "ema": 0.9, "objective": {"prior_loss_weight": 0.5}}


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="torch's CPU processes need gloo, which Windows wheels may lack"
)


def _trains(folders, said):
    """What each of the processes does: one run after the other, until a sentence for the user ends it."""
    os.environ["ACCELERATE_USE_CPU"] = "true"
    with open(Path(said) / os.environ["RANK"], "w", encoding="utf-8") as stream:
        os.dup2(stream.fileno(), 2)  # also of what is not written in Python
        for folder in folders:
            run = load_run(Path(folder))
            try:
                train(run, sink(run), measured([], enough={2: 1}) if run.file.settings.stop_early else None)
            except UserError as error:
                print(error, file=stream, flush=True)
                sys.exit(1)


@pytest.fixture
def in_two(tmp_path):
    """Trains runs in two processes, one after the other, as a command ends; what each said.

    ``accelerate launch`` starts several processes through `torch.distributed.run`. Its launcher does it here within
    this process, and forks from one that has loaded the libraries, which three new processes would load again.
    """
    # here, not above: each worker of the tests would load them as it looks for tests
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch
    from torch.distributed.run import config_from_args, parse_args

    method = "forkserver" if forkserver_loads_training() else "spawn"
    words = ["--nproc_per_node", "2", "--nnodes", "1", "--master_addr", "127.0.0.1", "--master_port"]
    words += [
        str(_free_port()),
        "--start_method",
        method,
        "--monitor_interval",
        "0.1",
        "a function instead of a script",
    ]
    config, _, _ = config_from_args(parse_args(words))
    said = tmp_path / "said"
    said.mkdir()

    def trained(*runs):
        with pytest.raises(ChildFailedError):
            elastic_launch(config, _trains)([str(run.folder) for run in runs], str(said))
        return [path.read_text(encoding="utf-8") for path in sorted(said.iterdir())]

    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    yield trained
    for number, handler in before.items():  # the launcher has set its own
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def test_two_cpu_processes_give_the_loss_and_the_file_of_one_and_an_error_ends_both(make_run, in_two, tmp_path):
    """The error is of the main process, in a run that follows; both end with its sentence. So both have left the run
    before it, which the main process alone finds at its end."""
    new_character(make_run().workspace.root, NewCharacter("Tomas", "toxm", "man", "fictional"), tmp_path / "source")
    classes = tmp_path / "classes"
    shutil.copytree(tmp_path / "source", classes)
    for number, path in enumerate(sorted(classes.iterdir())):  # no character's photos
        with Image.open(path) as picture:
            picture.convert("RGB").rotate(5 * (number + 1)).save(path.with_suffix(".png"))
        path.unlink()
    kinds = ({**SETTINGS, **OF_ONE, "caption_dropout": 0.3}, {**SETTINGS, **OF_TWO, "class_photos": str(classes)})
    ones, twos = ([make_run(batch_size=size, **kind) for kind in kinds] for size in (2, 1))
    data = twos[0].character_folder.path.parents[1]
    shutil.copytree(data, data.with_name("another"))
    lost = load_run(data.with_name("another") / twos[0].folder.relative_to(data))
    (lost.character_folder.photos / "01.jpg").unlink()
    begun = open_session(ones[0], lambda *_, **__: None)
    start = [vectors.detach().clone() for vectors in begun.adapter.vectors().values()]
    for one in ones:
        train(one, sink(one))
    early = make_run(batch_size=1, **ENDS_EARLY)
    said = in_two(*twos, early, lost)
    assert len(said) == 2
    for of_one in said:
        assert of_one.count("01.jpg: it is not there.") == 1
        assert "gloo" not in of_one
    assert not lost.checkpoint(3).exists()
    ended = load_run(early.folder)
    assert (ended.file.ended, ended.file.best_step) == (2, 1)
    assert early.checkpoint(2).exists()
    assert not early.checkpoint(3).exists()
    for one, two in zip(ones, twos, strict=True):
        _same(one, two)
    _learned_the_same_vectors(start, ones[0], twos[0])
    assert {photo.of for photo in twos[1].file.photos if not photo.prior} == {"", "Tomas"}
    assert any(photo.prior for photo in twos[1].file.photos)


def _same(one, two):
    losses = [[event["loss"] for event in read_events(run.events) if event["kind"] == "step"] for run in (one, two)]
    assert len(losses[0]) == len(losses[1]) == 3  # the third shows what the second update was
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    ours, theirs = read(one.checkpoint(3)).tensors, read(two.checkpoint(3)).tensors
    assert ours.keys() == theirs.keys()
    # `up` begins at zero, so all of it was learned; AdamW moves a weight by its gradient's sign where that is tiny
    learned = [(ours[key].float(), theirs[key].float()) for key in ours if key.endswith("lora_up.weight")]
    apart = sum((a - b).abs().sum() for a, b in learned) / sum(a.abs().sum() for a, _ in learned)
    assert apart < 0.02
    for key in ours.keys() - {key for key in ours if key.startswith(PREFIX)}:
        assert (ours[key].float() - theirs[key].float()).abs().max() < 5e-3
    assert read(two.checkpoint(3)).metadata["ss_total_batch_size"] == "2"


def _learned_the_same_vectors(start, one, two):
    ours, theirs = (read(run.checkpoint(3)).inversions[0].vectors for run in (one, two))
    assert len(start) == len(ours) == len(theirs) > 0
    for before, mine, other in zip(start, ours, theirs, strict=True):
        moved = (mine.float() - before).abs()
        assert moved.mean() > 0.05
        assert (mine.float() - other.float()).abs().mean() < 0.02 * moved.mean()
