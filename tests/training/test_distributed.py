"""Two processes that share a batch train what one process trains."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lib_lora.lora.file.reading import read
from lib_lora.runs.events import read_events
from lib_lora.training.loop import train
from lib_lora.training.plan.run_file import load_run
from lib_lora.workflows.train.main_job import sink

CHILD = """
import sys
from pathlib import Path
from lib_lora.workflows.train.main_job import sink
from lib_lora.errors import UserError
from lib_lora.training.loop import train
from lib_lora.training.plan.run_file import load_run
for folder in sys.argv[1:]:
    run = load_run(Path(folder))
    try:
        train(run, sink(run))
    except UserError as error:
        sys.exit(str(error))
"""

SETTINGS = {"steps": 3, "save_every": 3, "photos": 4, "preservation_weight": 1.0, "preservation_share": 0.5}
SETTINGS |= {"trigger_vectors": 2, "identity_loss_weight": 1.0, "identity_loss_timesteps": 1000}


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="torch's CPU processes need gloo, which Windows wheels may lack"
)


@pytest.fixture
def in_two(tmp_path):
    """Trains runs in two processes, one after the other, as a command ends."""
    script = tmp_path / "child.py"
    script.write_text(CHILD, encoding="utf-8")
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    # `accelerate launch` starts several processes through this very module; with it, they stay on the CPU
    environment |= {"ACCELERATE_USE_CPU": "true"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--nnodes", "1"]
    launch += ["--master_addr", "127.0.0.1", "--master_port", str(_free_port()), str(script)]

    def trained(*runs):
        command = [*launch, *(str(run.folder) for run in runs)]
        return subprocess.run(command, env=environment, timeout=300, capture_output=True, text=True, check=False)

    return trained


def test_two_cpu_processes_give_the_loss_and_the_file_of_one_and_an_error_ends_both(make_run, in_two):
    """The error is of the main process, in a run that follows; both end with its sentence."""
    one, two = (make_run(batch_size=size, caption_dropout=0.3, **SETTINGS) for size in (2, 1))
    data = two.character_folder.path.parents[1]
    shutil.copytree(data, data.with_name("another"))
    lost = load_run(data.with_name("another") / two.folder.relative_to(data))
    (lost.character_folder.photos / "01.jpg").unlink()
    train(one, sink(one))
    done = in_two(two, lost)
    assert done.returncode != 0
    assert done.stderr.count("01.jpg: it is not there.") == 2
    assert "gloo" not in done.stderr
    assert not lost.checkpoint(3).exists()

    losses = [[event["loss"] for event in read_events(run.events) if event["kind"] == "step"] for run in (one, two)]
    assert len(losses[0]) == len(losses[1]) == 3  # the third shows what the second update was
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    ours, theirs = read(one.checkpoint(3)).tensors, read(two.checkpoint(3)).tensors
    assert ours.keys() == theirs.keys()
    for key in ours:
        assert (ours[key].float() - theirs[key].float()).abs().max() < 5e-3
    assert read(two.checkpoint(3)).metadata["ss_total_batch_size"] == "2"
