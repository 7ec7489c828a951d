"""Paints pictures with diffusers on another machine; they are judged here.

Only the LoRA, prompts and the base model are sent there, neither photos nor templates of the face. The worker there
(`workflows.worker.paint_plans`) keeps the base model loaded from one call to the next.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from lib_lora.character.photo_files import open_photo
from lib_lora.errors import StoppedByUser, UserError
from lib_lora.files import sha256, write_json
from lib_lora.pictures import Cell, parameters
from lib_lora.queue.runners import remote_job
from lib_lora.queue.runners.pods_in_use import PAINTING
from lib_lora.queue.runners.remote_job import RemoteJob
from lib_lora.queue.running.runner_protocol import MachineGone
from lib_lora.remote import base_addresses, places, transfers
from lib_lora.remote.ray_cluster.connecting import connect
from lib_lora.training.plan.run_file import Run
from lib_lora.workflows.judge.painting.painters import LocalVae
from lib_lora.workflows.judge.painting.sent_plans import SETUP, PainterSetup, plan_file, plan_values
from lib_lora.workspace.workspace import Workspace

_MOST = 64 << 20  # bytes of a picture
_FORGOTTEN = 1800.0  # seconds without a question after which the worker there ends; between two plans they are judged


class PlacePainter:
    """See `grid.cells.Painter`. Nothing is sent before the first picture is asked for.

    Args:
        job: on the place.
        run: whose pictures are painted: it says with which base model, and how that is used.
        stopping: asked meanwhile; true = paint no more.
    """

    def __init__(self, job: RemoteJob, run: Run, stopping: Callable[[], bool] = lambda: False) -> None:
        self._job, self._run, self._stopping = job, run, stopping
        job.asked = stopping
        self._sent = False
        self._base = ""  # its path there, once all is there
        self._plans = 0
        self._vae = LocalVae(lambda: self._run.model())
        self.forgotten = _FORGOTTEN

    @property
    def at_work(self) -> bool:
        """Whether its worker is there."""
        return bool(self._base)

    def paint(self, cells: Sequence[Cell], each: Callable[[int, Image.Image], None] | None = None) -> list[Image.Image]:
        """The pictures of `cells`, in their order; `each` gets them in the order in which they come.

        Raises:
            UserError: the place cannot be reached, or could not paint.
            StoppedByUser: `stopping` said so.
        """
        if not cells:
            return []
        self._check_stop()
        if self._base and not self._waits():
            self._job.say(f"The painter on {self._job.place.name} has ended in the meantime; another one is started.")
            self._base, self._plans = "", 0
        if not self._base:
            self._begin()
        self._plans += 1
        number, stem = f"{self._plans:04d}", self._run.model().path.stem
        self._order(number, cells)
        pictures: dict[int, Image.Image] = {}
        while True:
            done = self._job.reach(partial(self._ended, number))
            for place, path in self._come(number, len(cells), pictures).items():
                pictures[place] = open_photo(path)
                path.unlink(missing_ok=True)
                pictures[place].info["parameters"] = parameters(cells[place], stem)
                if each:
                    each(place, pictures[place])
            if len(pictures) == len(cells):
                return [pictures[place] for place in range(len(cells))]
            if done is not None:
                raise UserError(done, code="remote-painting-failed", place=self._job.place.name)
            self._check_stop()
            self._job.pause(remote_job.POLL)

    def reconstruct(self, image: Image.Image) -> Image.Image | None:
        """An RGB picture through the base model's VAE and back, on this machine: photos stay here."""
        return self._vae(image)

    def close(self) -> None:
        """End the worker there, and delete what is there of the job; where that fails, the next painter does it."""
        if self._erased():
            self._job.tidy()
        self._job.there.close()

    def _waits(self) -> bool:
        """Whether the worker there still waits for plans: nobody asks it while pictures are judged here."""
        try:
            return bool(self._job.ask("state", job=self._job.key).get("running"))
        except MachineGone:
            return False

    def _erased(self) -> bool:
        """Whether nothing of the job is there any more."""
        if self._sent:
            self._base, self._sent = "", False
            with suppress(UserError, StoppedByUser):
                self._job.there.ask("erase", job=self._job.key)  # which ends what runs
                return True
            return False
        return True

    def _begin(self) -> None:
        """Bring the base model there, and start the worker. What an earlier program left of its pictures goes."""
        remote_job.own(self._job)
        for key in map(str, self._job.ask("jobs")["jobs"]):
            if key == self._job.key or remote_job.is_left(self._job, key, PAINTING):
                self._job.ask("erase", job=key)
        self._sent = True
        version, base = self._job.install(), self._run.file.base
        path = Path(base.path)
        name = remote_job.plain_name(path.name)
        address = base_addresses.known(self._job.workspace.root, base.sha256)
        there = self._job.share({name: replace(transfers.sent(path, base.sha256), address=address)})[name]
        train = self._run.file.settings
        setup = PainterSetup(there, base.prediction, train.precision, train.clip_skip, self.forgotten)
        data = self._job.send({SETUP: self._written(SETUP, setup.values())})
        self._job.start(version, ["paint-plans", "--data", data])
        self._base = there

    def _order(self, number: str, cells: Sequence[Cell]) -> None:
        """Send a plan, and the LoRAs and the pictures that it names; the plan is laid there last."""
        named = {path: "loras" for cell in cells for path in (cell.lora, *(more for more, _ in cell.more)) if path}
        named |= {cell.start: "starts" for cell in cells if cell.start}
        digests = {path: sha256(path) for path in named}
        names = {path: f"{named[path]}/{digest[:32]}{path.suffix}" for path, digest in digests.items()}
        files = {names[path]: transfers.sent(path, digest) for path, digest in digests.items()}
        plan = self._written(f"plan-{number}.json", plan_values(cells, names))
        self._job.send({**files, plan_file(number): plan})

    def _written(self, name: str, values: dict[str, Any]) -> transfers.Sent:
        path = self._job.folder / name
        write_json(path, values)
        return transfers.sent(path)

    def _ended(self, number: str) -> str | None:
        """Why no more pictures of a plan come; None = they may."""
        done = self._job.read(f"done/{number}.json")
        if done:
            with suppress(ValueError):
                said = json.loads(done)
                if isinstance(said, dict):
                    return str(said.get("error") or "Fewer pictures were received than requested; start it again.")
        if not self._job.there.ask("state", job=self._job.key).get("running"):
            log = self._job.read("").decode("utf-8", "replace").strip().splitlines()
            last = "".join(letter for letter in (log or ["nothing"])[-1] if letter.isprintable())[:300]
            return f"The painter on {self._job.place.name} has ended; it said last: {last}"
        return None

    def _come(self, number: str, count: int, have: dict[int, Image.Image]) -> dict[int, Path]:
        """Bring the pictures that are there and not here; their files by their place in the plan."""
        made = self._job.ask("made", job=self._job.key)
        names = {place: f"pictures/{number}-{place:04d}.png" for place in range(count) if place not in have}
        wanted = {name: self._job.folder / "come" / f"{place:04d}.png" for place, name in names.items() if name in made}
        if any(made[name][0] > _MOST for name in wanted):
            raise UserError(
                "A picture that was received exceeds the largest possible size.", code="remote-picture-too-large"
            )
        come = self._job.reach(partial(self._job.fetch, wanted))
        return {place: wanted[name] for place, name in names.items() if name in come}

    def _check_stop(self) -> None:
        if self._stopping():
            raise StoppedByUser("Stopped; finished pictures are kept.", code="painting-stopped")


def painter_on(
    root: Path, on: str, run: Run, part: str, stopping: Callable[[], bool], say: Callable[[str], None]
) -> PlacePainter:
    """The painter on a place.

    Args:
        root: the data folder.
        on: names the place, as ``--on`` does.
        run: see `PlacePainter`.
        part: names what is painted, apart from other jobs of this data folder: letters, digits and "-".
        stopping: see `PlacePainter`.
        say: is told what goes on, for the user.

    Raises:
        UserError: there is no such place.
    """
    place = places.named(root, on)
    if place is None or place == places.RENTED:
        raise ValueError("a place of another machine")
    workspace = Workspace(root)
    key = remote_job.key_of(workspace, 0, f"-{part}")
    folder = workspace.remote_work(PAINTING, part)
    return PlacePainter(RemoteJob(workspace, key, connect(root, place), folder, say), run, stopping)
