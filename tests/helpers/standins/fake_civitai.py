"""A stand-in for Civitai and the host of its files, on the loopback: two servers, so that tokens can be seen to stay.

The site answers as the source of version 2026-08 does; what it or the files' host does wrong is planted.
"""

from __future__ import annotations

import hashlib
import json
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

HTML = b"<!DOCTYPE html><html><title>Just a moment...</title></html>"
Handler = BaseHTTPRequestHandler
TOKEN = "0123456789abcdef0123456789abcdef"


def safetensors(body: bytes = b"\x01" * 64, **metadata: str) -> bytes:
    """The bytes of a small safetensors file."""
    table = {"__metadata__": metadata, "lora_unet_x.lora_down.weight": _entry(len(body))}
    header = json.dumps(table).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + body


def _entry(length: int) -> dict[str, object]:
    return {"dtype": "U8", "shape": [length], "data_offsets": [0, length]}


def file_row(content: bytes, **changes: Any) -> dict[str, Any]:
    """A file of a version, as the API lists it."""
    digest = hashlib.sha256(content).hexdigest().upper()
    row: dict[str, Any] = {
        "id": 7001,
        "name": "style.safetensors",
        "type": "Model",
        "sizeKB": len(content) / 1024,
        "metadata": {"format": "SafeTensor", "size": None, "fp": None},
        "hashes": {"SHA256": digest, "AutoV2": digest[:10], "CRC32": "0" * 8},
        "primary": True,
        "pickleScanResult": "Success",
        "virusScanResult": "Success",
        "downloadUrl": "https://evil.example/steal",  # never used
    }
    return {**row, **changes}


def version_row(number: int = 501, model_id: int = 401, **changes: Any) -> dict[str, Any]:
    """A version, as the API answers it."""
    row: dict[str, Any] = {
        "id": number,
        "modelId": model_id,
        "name": "v1",
        "baseModel": "SD 1.5",
        "trainedWords": ["style of x", "<lora:x:1>"],
        "nsfwLevel": 1,
        "status": "Published",
        "usageControl": "Download",
        "paidAccess": None,
        "model": {"name": "Ink style", "type": "LORA", "nsfw": False, "poi": False},
        "files": [],
        "images": [],
    }
    return {**row, **changes}


def model_row(number: int = 401, **changes: Any) -> dict[str, Any]:
    """A model, as the API answers it; everything is permitted."""
    row: dict[str, Any] = {
        "id": number,
        "name": "Ink style",
        "type": "LORA",
        "nsfw": False,
        "nsfwLevel": 1,
        "poi": False,
        "minor": False,
        "sfwOnly": False,
        "allowNoCredit": True,
        "allowCommercialUse": ["Image", "RentCivit", "Rent", "Sell"],
        "allowDerivatives": True,
        "allowDifferentLicense": True,
        "availability": "Public",
        "creator": {"username": "inka"},
        "tags": ["style"],
        "modelVersions": [],
    }
    return {**row, **changes}


@dataclass
class ReceivedRequest:
    """A request: its path with query, and its headers by lower-case name."""

    path: str
    headers: dict[str, str]


@dataclass
class FakeCivitai:
    """The site and the host of its files.

    Attributes:
        site, files: addresses of the two.
        models, versions: rows by number.
        bodies: bytes of files by the version's number.
        pictures: bytes by path on the files' host.
        asked, asked_files: the requests to each.
        plant: for a path of the site, what answers instead: status, headers, bytes.
        send: how the files' host sends a body; None = with Range, as a good one.
        token: that the download asks for; empty = none.
    """

    site: str = ""
    files: str = ""
    models: dict[int, dict[str, Any]] = field(default_factory=dict)
    versions: dict[int, dict[str, Any]] = field(default_factory=dict)
    bodies: dict[int, bytes] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    asked: list[ReceivedRequest] = field(default_factory=list)
    asked_files: list[ReceivedRequest] = field(default_factory=list)
    plant: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    send: Callable[[Handler, bytes], None] | None = None
    token: str = ""

    def clear(self) -> None:
        """Forget everything, for the next test."""
        self.__init__(self.site, self.files)  # type: ignore[misc]

    def add(self, content: bytes, number: int = 501, model_id: int = 401, **changes: Any) -> dict[str, Any]:
        """A model with a version with a file; returns the version's row.

        Args:
            content: of the file.
            number, model_id: of version and model.
            changes: to the version's row; `file` = to the file's, `page` = to the model's.
        """
        file, page = changes.pop("file", {}), changes.pop("page", {})
        row = version_row(number, model_id, files=[file_row(content, **file)], **changes)
        self.versions[number], self.bodies[number] = row, content
        there = self.models.get(model_id) or model_row(model_id)
        listed = {key: value for key, value in row.items() if key not in ("model", "modelId")}
        self.models[model_id] = {**there, **page, "modelVersions": [*there["modelVersions"], listed]}
        return row

    def answer(self, path: str, query: dict[str, list[str]], token: str) -> tuple[int, dict[str, str], bytes]:
        """What the site answers."""
        if path in self.plant:
            return self.plant[path]
        parts = path.strip("/").split("/")
        if parts[:3] == ["api", "download", "models"]:
            if self.token and token != f"Bearer {self.token}":
                body = {"error": "Unauthorized", "message": "The creator of this asset requires you to be logged in"}
                return 401, {}, json.dumps(body).encode()
            return 307, {"Location": f"{self.files}/file/{parts[3]}?X-Amz-Signature=abc"}, b""
        row: dict[str, Any] | None = None
        if parts[2:4] == ["model-versions", "by-hash"]:
            row = next((one for one in self.versions.values() if _has(one, parts[4])), None)
        elif parts[2] == "model-versions":
            row = self.versions.get(int(parts[3]))
        elif parts[2] == "models":
            row = self.models.get(int(parts[3]))
        if row is None:
            return 404, {}, b'{"error":"Model not found"}'
        return 200, {}, json.dumps(row).encode()


def _has(version: dict[str, Any], digest: str) -> bool:
    return any(digest in file.get("hashes", {}).values() for file in version["files"])


def send_part(handler: Handler, body: bytes, *, ranges: bool = True) -> None:
    """As a good host of files does, or as one that ignores Range."""
    asked = handler.headers.get("Range", "")
    start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and ranges else 0
    if asked and ranges and start >= len(body):
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{len(body)}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    handler.send_response(206 if asked and ranges else 200)
    if asked and ranges:
        handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
    handler.send_header("Content-Type", "application/octet-stream")
    handler.send_header("Content-Length", str(len(body) - start))
    handler.end_headers()
    handler.wfile.write(body[start:])


def _site_handler(fake: FakeCivitai) -> type[Handler]:
    class OfSite(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fake.asked.append(ReceivedRequest(self.path, {key.lower(): value for key, value in self.headers.items()}))
            parts = urlsplit(self.path)
            answer = fake.answer(parts.path, parse_qs(parts.query), self.headers.get("Authorization", ""))
            status, headers, body = answer
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    return OfSite


def _files_handler(fake: FakeCivitai) -> type[Handler]:
    class OfFiles(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fake.asked_files.append(
                ReceivedRequest(self.path, {key.lower(): value for key, value in self.headers.items()})
            )
            path = urlsplit(self.path).path
            if path in fake.pictures:
                send_part(self, fake.pictures[path])
                return
            body = fake.bodies[int(path.rpartition("/")[2])]
            (fake.send or send_part)(self, body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    return OfFiles


@contextmanager
def running() -> Iterator[FakeCivitai]:
    """Both servers, until the block ends."""
    fake = FakeCivitai()
    servers = []
    for made in (_site_handler(fake), _files_handler(fake)):
        server = ThreadingHTTPServer(("127.0.0.1", 0), made)
        server.daemon_threads = True
        threading.Thread(target=lambda one=server: one.serve_forever(0.01), daemon=True).start()
        servers.append(server)
    fake.site, fake.files = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    try:
        yield fake
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
