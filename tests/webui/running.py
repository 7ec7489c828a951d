"""A webui that runs with SameFace in it: asked over HTTP, looked at as a process, killed and started again.

WEBUI_URL is its address and WEBUI_ROOT its folder. WEBUI_START is a shell command that starts it there and stays;
``{flags}`` in it is where further flags go. WEBUI_BASE is the file name of the base model that it has selected, where
that is not the small one: Forge and its descendants know no sizes but the usual ones (`tools.mini.wide` makes such a
file). The trainings are then shorter and at 64 pixels, since a full-size model takes seconds a step on a processor.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import re
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

PREFIX = "/sameface/v1"
MINI = "mini-face.safetensors"
BASE = os.environ.get("WEBUI_BASE", MINI)
FULL_SIZE = BASE != MINI
STEPS, SAVE_EVERY = (6, 3) if FULL_SIZE else (30, 15)
LONG_STEPS, LONG_SAVE_EVERY = (600, 4) if FULL_SIZE else (3000, 20)  # no more: room for all of them must be free
PRESET = None if FULL_SIZE else "mini-face"
SETTINGS = {"resolution": 64, "batch_size": 1, "te_lr": 0.0} if FULL_SIZE else {}
SAMPLING = 2 if FULL_SIZE else 4  # steps of a picture
PATIENCE = 6 if FULL_SIZE else 1  # times the usual waits
BUILD = Path(__file__).resolve().parents[2] / "build"
ENDED = ("finished", "failed", "interrupted", "stopped", "paused")
PROMPT = "photo of a person, smiling"
JSON = {"Content-Type": "application/json"}
STARTED = "Startup time:"  # what A1111 and Forge say once all their routes are there


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """The body as plain values."""
        return json.loads(self.content)


def tracebacks(text: str) -> list[str]:
    """The tracebacks in a console's text: their frames, and the line that names the exception."""
    return re.findall(r"Traceback \(most recent call last\):\n((?:[ \t]+.*\n)+.*)", text)


def phase(job: dict[str, Any]) -> str:
    """What a job is at; empty before it has begun."""
    return job["standing"]["phase"] if job["standing"] else ""


class Running:
    """See the module.

    Args:
        address: of the page.
        root: the webui's folder.
        command: starts it; empty = it cannot be started from here.

    Attributes:
        headers: sent with every request, such as a login.
        log: what it has printed, where it was started from here.
    """

    def __init__(self, address: str, root: Path, command: str = "") -> None:
        self.address, self.root, self.command = address.rstrip("/"), root, command
        self.headers: dict[str, str] = {}
        self.log = BUILD / "webui.log"
        self._parts = urllib.parse.urlsplit(self.address)

    # Asking

    def ask(
        self, path: str, body: Any = None, headers: Mapping[str, str] | None = None, method: str = "", wait: float = 120
    ) -> Answer:
        """One request; the path is sent as it is, with all its dots.

        Args:
            path: from the root of the page.
            body: plain values, or bytes; None = a GET.
            headers: in addition to those of this webui.
            method: None = GET, or POST where there is a body.
            wait: seconds.
        """
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        said = {**({} if body is None else JSON), **self.headers, **(headers or {})}
        connection = http.client.HTTPConnection(self._parts.hostname or "", self._parts.port, timeout=wait)
        try:
            connection.request(method or ("GET" if body is None else "POST"), path, content, said)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def api(self, path: str, body: Any = None) -> Any:
        """A route of ours that must answer well."""
        answer = self.ask(PREFIX + path, body)
        assert answer.status == 200, f"{path}: {answer.status} {answer.content[:500].decode('utf-8', 'replace')}"
        return answer.json()

    def answers(self) -> bool:
        """Whether our routes are there, open or not."""
        try:
            return self.ask(f"{PREFIX}/state", wait=20).status in (200, 401)
        except (OSError, http.client.HTTPException):
            return False

    def picture(self, prompt: str = PROMPT, seed: int = 7, wait: float = 900 * PATIENCE) -> np.ndarray:
        """A small picture as the user's own page or program asks for it."""
        wish = {
            "prompt": prompt,
            "negative_prompt": "blurry",
            "seed": seed,
            "width": 64,
            "height": 64,
            "steps": SAMPLING,
        }
        wish |= {"cfg_scale": 3.0, "sampler_name": "Euler", "scheduler": "Automatic"}
        answer = self.ask("/sdapi/v1/txt2img", wish, wait=wait)
        assert answer.status == 200, answer.content[:500]
        with Image.open(io.BytesIO(base64.b64decode(answer.json()["images"][0]))) as image:
            return np.asarray(image.convert("RGB")).astype(np.int64)

    # Jobs

    def job(self, number: int) -> dict[str, Any]:
        """A job as the page sees it."""
        job: dict[str, Any] = self.api(f"/jobs/{number}")
        return job

    def until(self, number: int, ready: Callable[[dict[str, Any]], Any], seconds: float) -> dict[str, Any]:
        """Wait for something of a job; one that ends before that is a failure."""
        end = time.monotonic() + seconds * PATIENCE
        while not ready(job := self.job(number)):
            assert job["state"] not in ENDED, f"{job['state']}: {job['error']} {self.api(f'/jobs/{number}/log')}"
            assert time.monotonic() < end, job
            time.sleep(0.3)
        return job

    def ended(self, number: int, seconds: float = 600, state: str = "finished") -> dict[str, Any]:
        """Wait for a job's end, which must be this one."""
        job = self.until(number, lambda job: job["state"] in ENDED, seconds)
        assert job["state"] == state, f"{job['state']}: {job['error']} {self.api(f'/jobs/{number}/log')}"
        return job

    def trains(self, number: int, beyond: int = 0, seconds: float = 300) -> dict[str, Any]:
        """Wait until a job trains, and has done more than so many steps."""
        return self.until(number, lambda job: phase(job) == "training" and job["standing"]["done"] > beyond, seconds)

    def events(self, number: int, kind: str = "state") -> list[dict[str, Any]]:
        """A job's events of a kind."""
        return [event for event in self.api(f"/jobs/{number}/events")["events"] if event["kind"] == kind]

    # The process

    def process(self) -> psutil.Process | None:
        """Who listens at the address; None where nobody does, or it cannot be seen."""
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr.port == self._parts.port and one.pid:
                with suppress(psutil.NoSuchProcess):  # it has just ended
                    return psutil.Process(one.pid)
        return None

    def workers(self, data: str) -> list[psutil.Process]:
        """All worker processes of a data folder, whoever is their parent."""
        found = []
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
                if "lib_lora" in words and "worker" in words and words[-1] == data:
                    found.append(process)
            except psutil.Error:
                continue
        return [one for one in found if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]

    def kill(self) -> None:
        """End it at once, as a crash or the system would."""
        process = self.process()
        assert process is not None, f"nobody is seen to listen at {self.address}"
        process.kill()
        end = time.monotonic() + 60
        while self.process() is not None:
            assert time.monotonic() < end, "the webui does not die"
            time.sleep(0.2)

    def start(self, flags: str = "", seconds: float = 300) -> float:
        """Start it; returns the seconds until our routes answered.

        Nothing is asked before it says that it has started: a request just before that ends A1111, see docs/webui.md.
        """
        begun = time.monotonic()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as stream:
            told = stream.tell()  # by those before it
            process = subprocess.Popen(
                self.command.replace("{flags}", flags),
                shell=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        said = ""
        while STARTED not in said or not self.answers():
            said = self.log.read_bytes()[told:].decode("utf-8", "replace")
            assert process.poll() is None, f"the webui ended: {said[-3000:]}"
            assert time.monotonic() - begun < seconds, f"the webui did not start: {said[-3000:]}"
            time.sleep(0.5)
        return time.monotonic() - begun
