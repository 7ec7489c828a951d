"""Makes the few calls of RunPod's REST API, version 2, that renting a pod needs, and repeats each where that may help.

The size of an answer is limited, no text of one is ever part of a path, and `remote.runpod.runpod_answers` reads it.
The API key is in no address, error, log or ``repr``. Imports nothing heavy.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import Request

from lib_lora import __version__
from lib_lora.errors import UserError
from lib_lora.remote.api_key_store import KEY
from lib_lora.remote.http_exchange import AnswerLost, Reply, exchange, one_line, opener_for
from lib_lora.remote.renting.rental_api import (
    POD_ID,
    SECURE,
    GpuType,
    NoCapacity,
    Pod,
    PodBill,
    PodWish,
    Refusal,
    RentalRefused,
)
from lib_lora.remote.runpod.runpod_answers import PodRequest, Row, amount, gpu_type, parsed, pod_of, rows_of
from lib_lora.remote.runpod.runpod_pods import MIN_CUDA, request_of

BASE = "https://api.runpod.io/v2"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LONGEST = 4 << 20  # bytes of an answer
_HURRY = 5.0  # seconds
_LONGEST_WAIT = 60.0  # seconds between two tries, whatever Retry-After says
_REFUSALS: dict[int, tuple[str, Refusal, str]] = {  # by status: code, reason, sentence
    401: (
        "runpod-key-refused",
        "key",
        "RunPod refuses the API key; make a new one in its console under Settings, API Keys, and give SameFace that.",
    ),
    402: (
        "runpod-no-money",
        "no money",
        "The RunPod account has too little money for this; add some, or choose a cheaper GPU.",
    ),
    403: (
        "runpod-not-allowed",
        "forbidden",
        "This API key, or this account, may not do that at RunPod; check that the key may write, and choose another "
        "GPU "
        "if only this one is refused.",
    ),
    404: (
        "runpod-not-found",
        "absent",
        "RunPod does not know that pod; it was deleted, or belongs to another account.",
    ),
    422: (
        "runpod-request-invalid",
        "request",
        "RunPod does not understand the request; its API may have changed, so look for a newer SameFace.",
    ),
}

T = TypeVar("T")


class RunpodApi:
    """A client for one account.

    Args:
        key: the API key.
        base: where the API is; another one than RunPod's must be encrypted too, or on this machine.
        timeout: seconds for a connection and for each wait for data.
        attempts: how often a request is tried in all.
        pause: waits that many seconds between two tries; for tests, and for who wants to give up meanwhile.

    Raises:
        UserError: the key or the address cannot be one.
    """

    title = "RunPod"
    min_cuda = MIN_CUDA

    def __init__(
        self,
        key: str,
        base: str = BASE,
        *,
        timeout: float = 30.0,
        attempts: int = 5,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        if not KEY.fullmatch(key):
            raise RentalRefused(
                "Invalid RunPod API key: it contains spaces or invalid characters, or has an unexpected length.",
                "key",
                code="runpod-key-malformed",
            )
        parts = urlsplit(base)
        if parts.hostname is None or not (
            parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        ):
            raise RentalRefused(
                f"No API key is sent to {base[:200]!r}; the address must begin with https.",
                code="runpod-address-unsafe",
            )
        self.base = base.rstrip("/")
        self._key = key
        self._timeout, self._attempts, self._pause = timeout, attempts, pause
        self._opener = opener_for(base)
        self._clock: tuple[float, float] | None = None  # the API's time, and ours (monotonic) when it said so

    def __repr__(self) -> str:
        return f"RunpodApi({self.base!r})"

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("An API key is not pickled.")

    def hurried(self) -> RunpodApi:
        """The same account, asked once and for seconds only: somebody looks at a page meanwhile."""
        return RunpodApi(self._key, self.base, timeout=_HURRY, attempts=1, pause=self._pause)

    @property
    def time(self) -> float:
        """Unix time by the API's clock as it last told it, since this computer's may be wrong; else by ours."""
        if self._clock is None:
            return time.time()
        return self._clock[0] + time.monotonic() - self._clock[1]

    # ----------------------------------------------------------------------------------------------------- the calls

    def gpus(self, cloud: str = SECURE, count: int = 1, min_cuda: str = "") -> list[GpuType]:
        """The GPUs that RunPod lets, with prices and how many are free. Rows that make no sense are left out.

        Raises:
            UserError: see the module's errors.
        """
        query = {"include": "AVAILABILITY", "product": "POD", "cloud": cloud, "count": str(count)}
        if min_cuda:
            query["minCudaVersion"] = min_cuda
        answer = self._json("GET", f"/catalog/gpus?{urlencode(query)}")
        return [found for row in rows_of(answer, "gpus") if (found := gpu_type(row)) is not None]

    def rent(self, wish: PodWish) -> Pod:
        """See `RentalApi.rent`, and `create_pod`."""
        return self.create_pod(request_of(wish, self.base))

    def create_pod(self, request: PodRequest) -> Pod:
        """Rent a pod. Of a request whose answer is lost it is looked first whether the pod is there, by its name.

        Raises:
            NoCapacity: that GPU cannot be had now.
            UserError: nothing was rented; or, with the code ``runpod-pod-uncertain``, that is not known.
        """
        lost = ""
        for attempt in range(self._attempts + 1):
            try:
                if lost:
                    self._pause(min(2.0**attempt, _LONGEST_WAIT))
                    if there := next((pod for pod in self.pods() if pod.name == request.name), None):
                        return there
                if attempt == self._attempts:
                    break
                reply = self._send("POST", "/pods", request.body(), once=True)
            except AnswerLost as error:
                lost = str(error) or "no answer"
                continue
            except UserError as error:
                if not lost:
                    raise
                lost = str(error)
                continue
            if reply.status == 400:
                refusal = NoCapacity(
                    f"RunPod has no {self._printable(request.gpu)} free as asked{self._said(reply)}.",
                    code="runpod-no-capacity",
                    gpu=request.gpu,
                )
                refusal.certain = not lost
                raise refusal
            if not lost:
                self._check(reply)
            pod = pod_of(parsed(reply.content)) if reply.status < 300 else None
            if pod is not None and pod.name == request.name:
                return pod
            lost = f"it answers {reply.status}{self._said(reply)}"
        raise RentalRefused(
            f"RunPod did not say whether it made the pod {request.name} ({self._printable(lost)}); look in its "
            "console, and delete a pod of that name.",
            code="runpod-pod-uncertain",
            pod=request.name,
        )

    def pod(self, identifier: str) -> Pod:
        """A pod by its id.

        Raises:
            UserError: there is none (``runpod-not-found``), or see the module's errors.
        """
        found = pod_of(self._json("GET", _path(identifier)))
        return self._understood(found if found and found.id == identifier else None)

    def pods(self) -> list[Pod]:
        """All pods of the account."""
        return [found for row in rows_of(self._json("GET", "/pods"), "pods") if (found := pod_of(row)) is not None]

    def delete_pod(self, identifier: str) -> None:
        """Delete a pod with all that is on it; it is no error where it is already gone.

        Raises:
            UserError: see the module's errors. That it is gone must be looked at: `pod`.
        """
        self._check(self._send("DELETE", _path(identifier)), absent=True)

    def terminate_pod(self, identifier: str) -> None:
        """Like `delete_pod`, by the other call that RunPod has for it."""
        self._check(self._send("POST", f"{_path(identifier)}/action", {"action": "terminate"}), absent=True)

    def bill(self, identifier: str) -> PodBill:
        """What a pod has cost so far.

        Raises:
            UserError: see the module's errors.
        """
        answer = self._json("GET", f"/billing/pods?{urlencode({'podId': _checked(identifier)})}")
        rows = [row for row in rows_of(answer, "records") if row.get("podId") == identifier]

        def added(name: str) -> Decimal:
            return sum((amount(row.get(name)) or Decimal(0) for row in rows), Decimal(0))

        return PodBill(added("totalAmount"), added("gpuAmount"), added("diskAmount"))

    # ------------------------------------------------------------------------------------------- one request and all

    def _json(self, method: str, path: str) -> Any:
        reply = self._send(method, path)
        self._check(reply)
        return self._understood(parsed(reply.content))

    def _send(self, method: str, path: str, body: Row | None = None, *, once: bool = False) -> Reply:
        """The answer to a request; it is tried again where that may help.

        Args:
            method, path: of it; the path may have a query.
            body: that becomes JSON.
            once: it must not be done twice, so it is only tried again where RunPod says that it did nothing (429).

        Raises:
            AnswerLost: with `once`, when it may have been done.
            UserError: RunPod cannot be reached, or is in trouble.
        """
        said = ""
        busy = False
        for attempt in range(self._attempts):
            wait = min(2.0**attempt, _LONGEST_WAIT)
            try:
                reply = self._exchange(method, path, body)
            except AnswerLost as error:
                if once:
                    raise
                said, busy = str(error), False
            else:
                if reply.status != 429 and reply.status < 500:
                    return reply
                busy = reply.status == 429
                said = f"it answers {reply.status}{self._said(reply)}"
                if once and not busy:
                    raise AnswerLost(said)
                if reply.retry_after is not None:
                    wait = min(reply.retry_after, _LONGEST_WAIT)
            if attempt + 1 < self._attempts:
                self._pause(wait)
        if busy:
            raise RentalRefused(
                "RunPod says that it was asked too often; wait some minutes, and try again.",
                code="runpod-asked-often",
                refusal="busy",
            )
        raise RentalRefused(
            f"RunPod's API at {self.base} cannot be reached now ({self._printable(said)}); check that this computer is "
            "online, and try again later.",
            code="runpod-unreachable",
            refusal="unreachable",
        )

    def _exchange(self, method: str, path: str, body: Row | None) -> Reply:
        headers = {
            "Authorization": f"Bearer {self._key}",
            "User-Agent": f"SameFace/{__version__}",
            "Accept": "application/json",
        }
        data = None
        if body is not None:
            data = json.dumps(body).encode("ascii")
            headers["Content-Type"] = "application/json"
        request = Request(f"{self.base}{path}", data, headers, method=method)
        reply = exchange(self._opener, request, self._timeout, _LONGEST)
        self._set_clock(reply.date)
        return reply

    def _set_clock(self, date: str) -> None:
        try:
            self._clock = (parsedate_to_datetime(date).timestamp(), time.monotonic())
        except (TypeError, ValueError, OverflowError, OSError):
            return

    def _check(self, reply: Reply, absent: bool = False) -> None:
        """Raise the error that an answer stands for.

        Args:
            reply: the answer.
            absent: that something is not there is no error.
        """
        if 200 <= reply.status < 300 or (absent and reply.status == 404):
            return
        said = self._said(reply)
        if reply.status in _REFUSALS:
            code, refusal, sentence = _REFUSALS[reply.status]
            raise RentalRefused(f"{sentence[:-1]}{said}.", code=code, refusal=refusal, status=reply.status)
        raise RentalRefused(
            f"RunPod refused the request with status {reply.status}{said}; try again later.",
            code="runpod-refused",
            refusal="status",
            status=reply.status,
        )

    def _understood(self, answer: T | None) -> T:
        if answer is None:
            raise RentalRefused(
                f"The answer of {self.base} is not as RunPod's API should answer; try again later, and look for a "
                "newer SameFace, since that API may have changed.",
                code="runpod-answer-unreadable",
            )
        return answer

    def _said(self, reply: Reply) -> str:
        """What RunPod says to it, in parentheses; empty where it says nothing."""
        answer = parsed(reply.content)
        if not isinstance(answer, dict):
            return ""
        errors = answer.get("errors")
        texts = [answer.get("detail"), *(errors[:3] if isinstance(errors, list) else [])]
        said = "; ".join(self._printable(text) for text in texts if isinstance(text, str) and text.strip())
        return f" ({said[:400]})" if said else ""

    def _printable(self, text: str) -> str:
        """Text of RunPod's on one line, shortened, without the key should it be in it."""
        return one_line(text.replace(self._key, "***"))[:200].rstrip(" .")


def _checked(identifier: str) -> str:
    if not POD_ID.fullmatch(identifier):
        raise RentalRefused(f"{identifier[:80]!r} is not a pod ID.", code="runpod-id-invalid")
    return identifier


def _path(identifier: str) -> str:
    return f"/pods/{quote(_checked(identifier), safe='')}"
