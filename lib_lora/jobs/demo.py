"""``python -m lib_lora try``: the main job on the bundled photos and the bundled small base model."""

from __future__ import annotations

from pathlib import Path

from lib_lora.character.store import data_root
from lib_lora.errors import UserError, command, typed
from lib_lora.jobs.main_job import run_main_job
from lib_lora.jobs.report import HTML_FILE, GridReport
from lib_lora.jobs.screen import at_a_screen, in_browser

_SOURCE = Path(__file__).resolve().parents[2]


def try_it(root: Path | None, steps: int | None = None, show: bool = True) -> Path | None:
    """Run the main job on 24 photos of a person who does not exist; returns the LoRA.

    Args:
        root: the data folder; None = a folder of its own inside the user's.
        steps: of training; None = the preset's.
        show: open the report in a browser where a person sits at the screen.

    Raises:
        UserError: this is an installed package without the bundled photos and model.
        StoppedByUser: stopped; ``resume`` goes on.
    """
    data = _SOURCE / "tests" / "data"
    photos, base = data / "personas" / "mara", data / "mini-face" / "mini-face.safetensors"
    if not (photos.is_dir() and base.is_file()):
        raise UserError(
            "`try` needs SameFace's source folder, which holds the photos and the base model for it; run it in that "
            "folder."
        )
    home = root or data_root() / "try"
    print(
        "This trains a LoRA of a person who does not exist from 24 photos, paints 20 test pictures with and without "
        "it, and says whether the face holds. The base model is a small one that paints faces of 128 x 128 pixels and "
        "nothing else (docs/mini-face.md), so that it takes 5 to 10 minutes on two CPU cores.\n"
    )
    lora = run_main_job(
        home,
        photos=photos,
        name="mara",
        trigger="mrxa",
        class_word="woman",
        consent="fictional",
        base=base,
        out=home / "out",
        overrides={} if steps is None else {"steps": steps},
        show=_opened if show and at_a_screen() else None,
    )
    print(
        f"\nThe LoRA: {lora}\nWith your own photos and checkpoint: {command()} run PHOTOS --base CHECKPOINT "
        "--name NAME --trigger WORD --class woman --consent fictional"
        f"\nAll of this as a page in the browser: {typed('ui', '--data', str(home))}"
    )
    return lora


def _opened(report: GridReport) -> None:
    in_browser((report.folder / HTML_FILE).absolute().as_uri())
