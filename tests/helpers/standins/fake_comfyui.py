"""A stand-in for ComfyUI's server on the loopback, which answers as version 0.3.64 was seen to answer.

It paints plain pictures, one for each look at its history, so a test waits for nothing. What it does wrong is planted.
"""

from __future__ import annotations

import io
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from PIL import Image

SAMPLERS = ["euler", "euler_ancestral", "heun", "lms", "dpm_2", "dpmpp_2m", "dpmpp_2m_sde", "ddim", "uni_pc"]
SCHEDULERS = ["simple", "sgm_uniform", "karras", "exponential", "ddim_uniform", "beta", "normal"]
# the inputs of its nodes in the order of ``input_order``, with what a value must be
NODES: dict[str, dict[str, Any]] = {
    "CheckpointLoaderSimple": {"ckpt_name": "checkpoints"},
    "LoraLoader": {"model": None, "clip": None, "lora_name": "loras", "strength_model": float, "strength_clip": float},
    "CLIPSetLastLayer": {"clip": None, "stop_at_clip_layer": int},
    "ModelSamplingDiscrete": {"model": None, "sampling": str, "zsnr": bool},
    "CLIPTextEncode": {"text": str, "clip": None},
    "EmptyLatentImage": {"width": int, "height": int, "batch_size": int},
    "LoadImage": {"image": str},
    "ImageScale": {"image": None, "upscale_method": str, "width": int, "height": int, "crop": str},
    "VAEEncode": {"pixels": None, "vae": None},
    "KSampler": {
        "model": None,
        "seed": int,
        "steps": int,
        "cfg": float,
        "sampler_name": "samplers",
        "scheduler": "schedulers",
        "positive": None,
        "negative": None,
        "latent_image": None,
        "denoise": float,
    },
    "VAEDecode": {"samples": None, "vae": None},
    "SaveImage": {"images": None, "filename_prefix": str},
    "PreviewImage": {"images": None},
}


@dataclass
class FakeComfy:
    """The server.

    Attributes:
        address: of it.
        checkpoints: names in its list.
        loras: names in its list, with the metadata of each file; None = the file has none.
        folder: its folder for LoRAs on the disk, whose files are in the list too.
        plain_lists: inputs are declared as lists (True), or in the newer form.
        painted: the workflows that it has painted, in the order.
        asked: method and path of each request.
        headers: of each request.
        uploads: what came by each name.
        fault: of the next workflow to be run: "error", "memory", "interrupted", "no picture".
        restart_after: pictures after which it forgets everything, as when it is started anew; 0 = never.
        slow: looks at the history for which a workflow is being run.
        answer: for a path, the bytes that come in place of what should.
        lost: how many of the next answers to ``POST /prompt`` are lost on the way.
    """

    address: str = ""
    checkpoints: list[str] = field(default_factory=lambda: ["base.safetensors"])
    loras: dict[str, dict[str, str] | None] = field(default_factory=dict)
    folder: Path | None = None
    plain_lists: bool = True
    painted: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)
    fault: str = ""
    restart_after: int = 0
    slow: int = 0
    answer: dict[str, bytes] = field(default_factory=dict)
    lost: int = 0
    pending: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    history: dict[str, dict[str, Any]] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    looks: int = 0

    def lora_names(self) -> dict[str, dict[str, str] | None]:
        """All LoRAs, those on the disk with their own metadata."""
        found = dict(self.loras)
        if self.folder:
            from lib_lora.models.reading.header import read_header

            for path in sorted(self.folder.rglob("*.safetensors")):
                found[str(path.relative_to(self.folder))] = read_header(path)[1]
        return found

    def choices(self, of: str) -> list[str]:
        """What an input may be set to."""
        lists = {"samplers": SAMPLERS, "schedulers": SCHEDULERS, "checkpoints": self.checkpoints}
        return lists[of] if of in lists else list(self.lora_names())

    def info(self, kind: str) -> dict[str, Any]:
        """``/object_info/KIND``."""
        if kind not in NODES:
            return {}
        required: dict[str, Any] = {}
        for name, what in NODES[kind].items():
            if isinstance(what, str):
                listed = self.choices(what)
                required[name] = [listed, {}] if self.plain_lists else ["COMBO", {"options": listed}]
            else:
                required[name] = [{None: "*", int: "INT", float: "FLOAT", str: "STRING", bool: "BOOLEAN"}[what], {}]
        return {kind: {"input": {"required": required}, "input_order": {"required": list(required)}, "name": kind}}

    def refusal(self, prompt: dict[str, Any]) -> dict[str, Any] | None:
        """Why a workflow is not run, as ComfyUI says it."""
        errors: dict[str, Any] = {}
        for node, about in prompt.items():
            kind = about["class_type"]
            if kind not in NODES:
                error = {
                    "type": "invalid_prompt",
                    "message": f"Cannot execute because node {kind} does not exist.",
                    "details": f"Node ID '#{node}'",
                    "extra_info": {},
                }
                return {"error": error, "node_errors": {}}
            found = [one for name, what in NODES[kind].items() if (one := self._fault(name, what, about["inputs"]))]
            if found:
                errors[node] = {"errors": found, "dependent_outputs": ["9"], "class_type": kind}
        if not errors:
            return None
        error = {
            "type": "prompt_outputs_failed_validation",
            "message": "Prompt outputs failed validation",
            "details": "",
            "extra_info": {},
        }
        return {"error": error, "node_errors": errors}

    def _fault(self, name: str, what: Any, inputs: dict[str, Any]) -> dict[str, Any] | None:
        about: dict[str, Any] = {"input_name": name}
        if name not in inputs:
            return {
                "type": "required_input_missing",
                "message": "Required input is missing",
                "details": name,
                "extra_info": about,
            }
        value = inputs[name]
        if what is None:
            assert isinstance(value, list), f"{name} is to be linked, and is {value!r}"
            assert len(value) == 2
            return None
        if isinstance(what, str):
            listed = self.choices(what)
            if value not in listed:
                shown = listed if len(listed) <= 20 else f"(list of length {len(listed)})"
                details = f"{name}: '{value}' not in {shown}"
                about = {**about, "received_value": value}
                return {
                    "type": "value_not_in_list",
                    "message": "Value not in list",
                    "details": details,
                    "extra_info": about,
                }
            return None
        assert isinstance(value, (int, float) if what is float else what), f"{name} is {value!r}"
        return None

    def look(self) -> None:
        """Run the next workflow, where it is time."""
        if not self.pending:
            return
        self.looks += 1
        if self.looks <= self.slow:
            return
        self.looks = 0
        identifier, prompt = self.pending.pop(0)
        fault, self.fault = self.fault, ""
        self.history[identifier] = _failed(identifier, fault) if fault else self._paint(identifier, prompt)
        if fault == "no picture":
            self.history[identifier] = _entry(identifier, {}, "success", [])
        if self.restart_after and len(self.painted) == self.restart_after:
            self.restart_after = 0
            self.pending, self.history, self.pictures = [], {}, {}

    def _paint(self, identifier: str, prompt: dict[str, Any]) -> dict[str, Any]:
        self.painted.append(prompt)
        sampler = prompt["3"]["inputs"]
        size = prompt[sampler["latent_image"][0]]["inputs"]
        if "pixels" in size:
            size = prompt[size["pixels"][0]]["inputs"]
        stream = io.BytesIO()
        colour = (sampler["seed"] % 256, sampler["steps"] % 256, 90)
        Image.new("RGB", (size["width"], size["height"]), colour).save(stream, "PNG")
        name = f"ComfyUI_temp_fake_{len(self.painted):05}_.png"
        self.pictures[name] = stream.getvalue()
        outputs = {"9": {"images": [{"filename": name, "subfolder": "", "type": "temp"}]}}
        return _entry(identifier, outputs, "success", [["execution_success", {"prompt_id": identifier}]])


def _entry(identifier: str, outputs: dict[str, Any], status: str, more: list[Any]) -> dict[str, Any]:
    messages = [
        ["execution_start", {"prompt_id": identifier, "timestamp": 1795877499074}],
        ["execution_cached", {"nodes": ["5"], "prompt_id": identifier, "timestamp": 1795877499127}],
        *more,
    ]
    said = {"status_str": status, "completed": status == "success", "messages": messages}
    return {"prompt": [1, identifier, {}, {}, ["9"]], "outputs": outputs, "status": said, "meta": {}}


def _failed(identifier: str, fault: str) -> dict[str, Any]:
    about = {"prompt_id": identifier, "node_id": "3", "node_type": "KSampler", "executed": [], "timestamp": 1}
    if fault == "interrupted":
        return _entry(identifier, {}, "error", [["execution_interrupted", about]])
    said = {
        "error": ("RuntimeError", "ERROR: Could not detect model type of: /models/checkpoints/broken.safetensors\n\n"),
        "memory": ("torch.OutOfMemoryError", "Allocation on device \nThis error means you ran out of memory."),
    }
    kind, message = said.get(fault, ("", ""))
    more = {"exception_message": message, "exception_type": kind, "traceback": ["  File"], "current_inputs": {}}
    return _entry(identifier, {}, "error", [["execution_error", {**about, **more}]])


class _ComfyHandler(BaseHTTPRequestHandler):
    comfy: FakeComfy

    def log_message(self, format: str, *args: Any) -> None: ...

    def _say(self, value: Any, status: int = 200, kind: str = "application/json") -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _came(self) -> str:
        self.comfy.asked.append(f"{self.command} {self.path}")
        self.comfy.headers.append({key.lower(): value for key, value in self.headers.items()})
        return unquote(urlsplit(self.path).path)

    def do_GET(self) -> None:
        with self.comfy.lock:
            self._get(self._came())

    def _get(self, path: str) -> None:
        comfy = self.comfy
        asked = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query, keep_blank_values=True).items()}
        planted = next((content for start, content in comfy.answer.items() if path.startswith(start)), None)
        if planted is not None:
            self._say(planted)
        elif path == "/system_stats":
            self._say({"system": {"os": "posix", "comfyui_version": "0.3.64", "argv": ["main.py"]}, "devices": []})
        elif path.startswith("/object_info/"):
            self._say(comfy.info(path.removeprefix("/object_info/")))
        elif path == "/internal/folder_paths":
            self._say({"checkpoints": ["/comfy/models/checkpoints"], "loras": ["/comfy/models/loras"]})
        elif path.startswith("/view_metadata/"):
            found = comfy.lora_names().get(asked["filename"])
            self._say(found) if found else self._say(b"", 404)
        elif path.startswith("/history/"):
            identifier = path.removeprefix("/history/")
            if identifier not in comfy.history:
                comfy.look()
            found = comfy.history.get(identifier)
            self._say({identifier: found} if found else {})
        elif path == "/queue":
            rows = [
                [number, identifier, prompt, {}, ["9"]] for number, (identifier, prompt) in enumerate(comfy.pending)
            ]
            self._say({"queue_running": rows[:1], "queue_pending": rows[1:]})
        elif path == "/view":
            content = comfy.pictures.get(asked["filename"]) if asked["type"] == "temp" else None
            self._say(content, kind="image/png") if content else self._say(b"", 404)
        else:
            self._say(b"404: Not Found", 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.comfy.lock:
            self._post(self._came(), body)

    def _post(self, path: str, body: bytes) -> None:
        comfy = self.comfy
        if path == "/prompt":
            asked = json.loads(body)
            if refused := comfy.refusal(asked["prompt"]):
                self._say(refused, 400)
                return
            identifier = str(asked.get("prompt_id") or uuid.uuid4())
            comfy.pending.append((identifier, asked["prompt"]))
            if comfy.lost:
                comfy.lost -= 1
                self.close_connection = True
                return
            self._say({"prompt_id": identifier, "number": len(comfy.asked), "node_errors": {}})
        elif path == "/queue":
            gone = json.loads(body).get("delete", [])
            comfy.pending = comfy.pending[:1] + [one for one in comfy.pending[1:] if one[0] not in gone]
            self._say(b"")
        elif path == "/interrupt":
            wanted = json.loads(body).get("prompt_id")
            if comfy.pending and comfy.pending[0][0] == wanted:
                comfy.history[wanted] = _failed(wanted, "interrupted")
                comfy.pending.pop(0)
            self._say(b"")
        elif path == "/upload/image":
            name = body.partition(b'filename="')[2].partition(b'"')[0].decode()
            comfy.uploads[name] = body
            self._say({"name": name, "subfolder": "", "type": "temp"})
        else:
            self._say(b"404: Not Found", 404)


@contextmanager
def fake_comfyui() -> Iterator[FakeComfy]:
    """A stand-in that answers while the block runs."""
    comfy = FakeComfy()
    handler = type("Handler", (_ComfyHandler,), {"comfy": comfy})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    comfy.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield comfy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
