"""Two processes that share a batch train what one process trains."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lib_lora.lora.file.reading import read
from lib_lora.runs.events import read_events
from lib_lora.training.loop import train
from lib_lora.workflows.train.main_job import sink

CHILD = """
import sys
from pathlib import Path
from lib_lora.workflows.train.main_job import sink
from lib_lora.errors import UserError
from lib_lora.training.loop import train
from lib_lora.training.plan.run_file import load_run
run = load_run(Path(sys.argv[1]))
try:
    train(run, sink(run))
except UserError as error:
    sys.exit(str(error))
"""


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.skipif(sys.platform == "win32", reason="torch's CPU processes need gloo, which Windows wheels may lack")
def test_two_cpu_processes_give_the_loss_and_the_file_of_one(make_run, tmp_path):
    settings = {"steps": 4, "save_every": 4, "photos": 4, "caption_dropout": 0.3}
    one = make_run(batch_size=2, **settings)
    two = make_run(batch_size=1, **settings)
    script = tmp_path / "child.py"
    script.write_text(CHILD, encoding="utf-8")
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    # `accelerate launch` starts several processes through this very module; with it, they stay on the CPU
    environment |= {"ACCELERATE_USE_CPU": "true"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--nnodes", "1"]
    launch += ["--master_addr", "127.0.0.1", "--master_port", str(_free_port())]
    train(one, sink(one))
    subprocess.run([*launch, str(script), str(two.folder)], env=environment, check=True, timeout=300)

    losses = [[event["loss"] for event in read_events(run.events) if event["kind"] == "step"] for run in (one, two)]
    assert len(losses[0]) == len(losses[1]) == 4
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    ours, theirs = read(one.checkpoint(4)).tensors, read(two.checkpoint(4)).tensors
    assert ours.keys() == theirs.keys()
    for key in ours:
        assert (ours[key].float() - theirs[key].float()).abs().max() < 5e-3
    assert read(two.checkpoint(4)).metadata["ss_total_batch_size"] == "2"

    # an error in the main process ends both, with the sentence and without waiting for each other
    lost = make_run(batch_size=1, resolution=192, **settings)
    (lost.character_folder.photos / "01.jpg").unlink()
    command = [*launch, str(script), str(lost.folder)]
    done = subprocess.run(command, env=environment, timeout=120, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.count("01.jpg: it is not there (any more).") == 2
    assert "gloo" not in done.stderr
