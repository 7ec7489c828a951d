"""S3 as moto serves it on the loopback, in the environment of `ray_nodes`, which has s3fs too."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import ray_nodes

BUCKET = "studio"


@contextmanager
def s3_served() -> Iterator[dict[str, str]]:
    """Serve S3 with a bucket while the block runs; the variables by which s3fs finds it."""
    port = ray_nodes._free_port()
    where = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [str(ray_nodes.HOME / "bin" / "moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 60
        while True:
            with suppress(OSError):
                urllib.request.urlopen(urllib.request.Request(f"{where}/{BUCKET}", method="PUT"), timeout=5).close()
                break
            assert time.monotonic() < until, "moto does not answer"
            time.sleep(0.2)
        keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
        yield {"AWS_ENDPOINT_URL": where, **keys}
    finally:
        server.kill()
        server.wait()


def packages() -> Path:
    """The folder with s3fs."""
    [found] = (ray_nodes.HOME / "lib").glob("python*/site-packages")
    return found
