"""Makes the request for a pod at RunPod: its image, and the command that watches over it until it is deleted."""

from __future__ import annotations

import zlib
from base64 import b64encode
from dataclasses import asdict
from importlib import resources

from lib_lora.remote.renting.rental_api import PodLife, PodWish
from lib_lora.remote.runpod import pod_watchdog
from lib_lora.remote.runpod.pod_watchdog import Limits
from lib_lora.remote.runpod.runpod_answers import PodRequest

IMAGE = "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404"  # SSH's server, Python 3.12 and torch are in it
MIN_CUDA = "12.8"  # that its torch needs
# Constant, whatever the user has named: all else is in variables. Should the watchdog fail, the pod is deleted at once,
# since a container whose command has ended is started again, and costs.
ARGS = (
    "sh -c 'python3 -c "
    '"import base64,sys,zlib;exec(zlib.decompress(base64.b64decode(sys.argv[1])))" "$SAMEFACE_WATCHDOG"; '
    'while :; do printf "Authorization: Bearer %s" "$RUNPOD_API_KEY" | '
    'curl -sS -m 30 -X DELETE -A SameFace-watchdog -H @- "$SAMEFACE_API/pods/$RUNPOD_POD_ID"; sleep 20; done\''
)
_START = ("/start.sh",)  # starts the SSH server of the image


def limits_of(life: PodLife) -> Limits:
    """What the watchdog holds to."""
    return Limits(**{**asdict(life), "start": life.start or _START})


def request_of(wish: PodWish, base: str) -> PodRequest:
    """What RunPod is asked for.

    Args:
        wish: what the user asks for.
        base: address of RunPod's API.
    """
    watchdog = watchdog_environment(limits_of(wish.life), base)
    return PodRequest(
        name=wish.name,
        image=wish.image or IMAGE,
        gpu=wish.gpu,
        count=wish.count,
        cloud=wish.cloud,
        data_centers=wish.data_centers,
        disk=wish.disk,
        env=watchdog | {"PUBLIC_KEY": wish.public_key, "SSH_PUBLIC_KEY": wish.public_key},
        args=ARGS,
        min_cuda=wish.min_cuda or MIN_CUDA,
    )


def watchdog_environment(limits: Limits, base: str) -> dict[str, str]:
    """The variables that the watchdog of a pod needs.

    Args:
        limits: what the pod may do.
        base: address of RunPod's API.
    """
    text = resources.files("lib_lora.remote.runpod").joinpath("pod_watchdog.py").read_bytes()
    return {
        pod_watchdog.CODE: b64encode(zlib.compress(text, 9)).decode("ascii"),
        pod_watchdog.LIMITS: pod_watchdog.packed(limits),
        pod_watchdog.API: base,
    }
