"""Lets this process rent from RunPod's stand-in, whose pods are all reached at one SSH server of ours."""

from __future__ import annotations

import getpass
import json
import shlex
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from fake_runpod import KEY

from lib_lora.queue.job_types import Rental
from lib_lora.queue.runners import pod_terms
from lib_lora.remote.places import Place
from lib_lora.remote.renting import pod_rental
from lib_lora.remote.renting.pod_rental import RentTerms
from lib_lora.remote.runpod import pod_watchdog, runpod_pods
from lib_lora.remote.runpod.runpod_api import RunpodApi


@dataclass(frozen=True)
class Rented:
    """How a pod is had and reached.

    Attributes:
        base: of the stand-in's API.
        keys: the SSH server's file of the keys that are let in.
        folder: of the agent there.
        attempts, pause: of the API's client; see `RunpodApi`. Without `pause` nothing is waited for.
        silent, fetched, unfetched: seconds; see `pod_watchdog.Limits`.
        python: there; one that has what SameFace needs, where its own worker is started.
    """

    base: str
    keys: str
    folder: str
    attempts: int = 2
    pause: float = 0.0
    silent: float = 900.0
    fetched: float = 0.5
    unfetched: float = 4 * 3600.0
    python: str = "python3"

    def save(self, path: Path) -> None:
        """Write it down for another process."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @staticmethod
    def load(path: Path) -> Rented:
        """What another process wrote down."""
        return Rented(**json.loads(path.read_text(encoding="utf-8")))

    def api(self, pause: Callable[[float], None] = lambda seconds: None) -> RunpodApi:
        """The account."""
        return RunpodApi(KEY, self.base, timeout=5, attempts=self.attempts, pause=pause)

    def use(self, put: Callable[[Any, str, Any], None]) -> None:
        """Have `pod_runner` rent so.

        Args:
            put: `setattr`, or monkeypatch's.
        """

        terms_of, place_of = pod_terms.terms_of, pod_rental.place_of
        # what the image's program does with the key
        let_in = ("sh", "-c", f'echo "$PUBLIC_KEY" >> {shlex.quote(self.keys)}')

        def terms(rental: Rental, public_key: str = "") -> RentTerms:
            found = replace(terms_of(rental, public_key), folder=self.folder, start=let_in)
            return replace(found, silent=self.silent, fetched=self.fetched, unfetched=self.unfetched)

        def place(*words: Any) -> Place:
            return replace(place_of(*words), user=getpass.getuser(), python=self.python)

        def wait(seconds: float) -> None:
            time.sleep(min(seconds, self.pause))

        put(pod_terms, "account", lambda root: self.api(wait))
        put(runpod_pods, "Limits", partial(pod_watchdog.Limits, poll=0.2))
        put(pod_terms, "terms_of", terms)
        put(pod_rental, "place_of", place)
