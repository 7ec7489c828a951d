"""Reads RunPod's answers into objects, and describes the pod that is asked for.

An answer is hostile until it was read here: types are checked, numbers are Decimal, ids and addresses have the letters
that such have. Values that make no sense are dropped, and unknown fields are ignored. Imports nothing heavy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from lib_lora.remote.http_exchange import json_of
from lib_lora.remote.renting.rental_api import (
    COMMUNITY,
    POD_ID,
    SECURE,
    DataCenterStock,
    GpuType,
    Pod,
    RentalRefused,
    SshEndpoint,
)

DISK_MONTHLY = Decimal("0.10")  # USD a GB of a running pod's disk (RunPod's documentation, August 2026)
_GPU_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._()+/-]{0,99}")
_DATA_CENTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_VERSION = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}")
_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:-]{0,253}")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_DEAREST = 10_000  # USD an hour; a higher price is taken for an error
_MOST_ROWS = 2000  # of a list

Row = Mapping[str, Any]


@dataclass(frozen=True)
class PodRequest:
    """What a pod should be.

    Attributes:
        name: unique, so that the pod is found again if the answer is lost.
        image: of its container.
        gpu: the id of its GPU.
        count: of GPUs.
        cloud: SECURE or COMMUNITY.
        data_centers: where it may be; empty = anywhere.
        disk: GB.
        env: variables of its processes; RunPod shows them in its console.
        args: the command that is run in place of the image's own.
        min_cuda: the oldest CUDA that its driver may have, such as "12.8"; empty = any.
    """

    name: str
    image: str
    gpu: str
    count: int = 1
    cloud: str = SECURE
    data_centers: tuple[str, ...] = ()
    disk: int = 40
    env: Mapping[str, str] = field(default_factory=dict)
    args: str = ""
    min_cuda: str = ""

    def body(self) -> dict[str, Any]:
        """The request as RunPod takes it, which refuses keys that it does not know."""
        gpu: dict[str, Any] = {"id": self.gpu, "count": self.count}
        if self.min_cuda:
            gpu["minCudaVersion"] = self.min_cuda
        where = {"dataCenterIds": list(self.data_centers)} if self.data_centers else {}
        return {
            "name": self.name,
            "image": self.image,
            "gpu": gpu,
            "cloud": self.cloud,
            "disk": self.disk,
            "ports": ["22/tcp"],
            "env": dict(self.env),
            "args": self.args,
            "startSsh": True,
            **where,
        }


def parsed(content: bytes) -> Any:
    """JSON, with Decimal for what is no whole number; None = it is not one."""
    return json_of(content, Decimal)


def rows_of(answer: Any, name: str) -> list[Row]:
    """A list of objects in an answer.

    Raises:
        RentalRefused: it is not there.
    """
    rows = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise RentalRefused(
            f"RunPod's answer has no list of {name}; its API may have changed.", code="runpod-answer-without-list"
        )
    return [row for row in rows[:_MOST_ROWS] if isinstance(row, dict)]


def _text(value: Any, pattern: re.Pattern[str]) -> str:
    return value if isinstance(value, str) and pattern.fullmatch(value) else ""


def _named(value: Any) -> str:
    return "".join(letter for letter in value[:200] if letter.isprintable())[:100] if isinstance(value, str) else ""


def _word(value: Any) -> str:
    return _text(value, re.compile(r"[A-Z_]{1,32}"))


def _whole(value: Any, most: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most else 0


def amount(value: Any) -> Decimal | None:
    """USD that are not below nothing and not absurd."""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return None
    number = Decimal(value)
    return number if number.is_finite() and 0 <= number <= 1_000_000 else None


def _price(value: Any) -> Decimal | None:
    """USD an hour; nothing is for nothing."""
    number = amount(value)
    return number if number is not None and 0 < number <= _DEAREST else None


def _inner(row: Any, name: str) -> Row:
    found = row.get(name) if isinstance(row, dict) else None
    return found if isinstance(found, dict) else {}


def _list(row: Row, name: str) -> list[Row]:
    found = row.get(name)
    return [one for one in found[:_MOST_ROWS] if isinstance(one, dict)] if isinstance(found, list) else []


def gpu_type(row: Row) -> GpuType | None:
    """A GPU of the catalogue; None = the row describes none, or has no valid id."""
    identifier, memory = _text(row.get("id"), _GPU_ID), _whole(row.get("memory"), 100_000)
    prices, most = {}, {}
    for cloud, name in ((SECURE, "secure"), (COMMUNITY, "community")):
        price = _price(_inner(row, "price").get(name))
        if price is not None and row.get(name) is not False:
            prices[cloud] = price
            most[cloud] = _whole(_inner(row, "maxCount").get(name), 1024) or 1
    if not identifier or not memory:
        return None
    centers = (
        DataCenterStock(_text(one.get("id"), _DATA_CENTER), _word(one.get("availability")))
        for one in _list(row, "dataCenters")
    )
    versions = (_text(one.get("version"), _VERSION) for one in _list(row, "cudaVersions") if one.get("available"))
    return GpuType(
        identifier,
        _named(row.get("name")) or identifier,
        memory,
        prices,
        most,
        _word(row.get("availability")),
        tuple(one for one in centers if one.id),
        tuple(one for one in versions if one),
        disk_monthly=DISK_MONTHLY,
    )


def pod_of(row: Any) -> Pod | None:
    """A pod; None = the answer describes none, or has no valid id."""
    identifier = _text(row.get("id"), POD_ID) if isinstance(row, dict) else ""
    if not identifier:
        return None
    direct, gpu = _inner(_inner(row, "ssh"), "direct"), _inner(row, "gpu")
    host, user = _text(direct.get("host"), _HOST), _text(direct.get("username"), _USER)
    port = _whole(direct.get("port"), 65535)
    return Pod(
        id=identifier,
        name=_named(row.get("name")),
        status=_word(row.get("status")),
        cost=amount(row.get("cost")),
        ssh=SshEndpoint(host, port, user) if host and port and user else None,
        gpu=_text(gpu.get("id"), _GPU_ID),
        count=_whole(gpu.get("count"), 1024),
        cloud=_word(row.get("cloud")),
        data_center=_text(row.get("dataCenterId"), _DATA_CENTER),
    )
