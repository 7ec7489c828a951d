"""Speaks ComfyUI's HTTP interface: asks what it has, queues workflows, follows them and fetches their pictures.

What it answers is read into objects (`comfy_answers`): types are checked, sizes limited, no text of it is part of a
path. No header ``Origin`` is sent, since ComfyUI refuses one that is not its own. Imports nothing heavy.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, urlencode
from urllib.request import Request

from lib_lora import __version__
from lib_lora.comfyui import comfy_answers
from lib_lora.comfyui.comfy_address import base_of
from lib_lora.comfyui.comfy_answers import Done, StoredPicture
from lib_lora.errors import UserError
from lib_lora.remote.http_exchange import AnswerLost, Reply, exchange, json_in, one_line, opener_for

_LONGEST = 16 << 20  # bytes of an answer in JSON
_LONGEST_PICTURE = 128 << 20
_TIMEOUT = 15.0  # seconds; a ComfyUI that loads a model answers late
_ATTEMPTS = 4
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


class ComfyApi:
    """A client for one ComfyUI.

    Args:
        address: such as ``127.0.0.1:8188``.
        pause: waits that many seconds between two tries; for tests.

    Raises:
        UserError: it is no address.
    """

    def __init__(self, address: str, pause: Callable[[float], None] = time.sleep) -> None:
        self.address = base_of(address)
        self._pause = pause
        self._opener = opener_for(self.address)
        self._client = uuid.uuid4().hex

    def version(self) -> str:
        """ComfyUI's version; empty where it does not say.

        Raises:
            UserError: it cannot be reached, or something else answers.
        """
        found = json_in(self._checked(self._asked("GET", "/system_stats")), self._unreadable)
        system = found.get("system") if isinstance(found, dict) else None
        if not isinstance(system, dict):
            raise self._unreadable()
        return one_line(system.get("comfyui_version"))[:40]

    def choices(self, kind: str, name: str) -> list[str]:
        """What an input of a class of nodes may be set to: its files, its samplers.

        Args:
            kind: ComfyUI's ``class_type``.
            name: of the input.

        Raises:
            UserError: it cannot be reached, or it has no such nodes.
        """
        found = json_in(self._checked(self._asked("GET", f"/object_info/{quote(kind, safe='')}")), self._unreadable)
        choices = comfy_answers.choices(found, kind, name)
        if choices is None:
            raise UserError(
                f"The ComfyUI at {self.address} has no nodes {kind} with an input {name}; update ComfyUI.",
                code="comfyui-node-missing",
                node=kind,
            )
        return choices

    def metadata(self, folder: str, name: str) -> dict[str, str] | None:
        """What a ``.safetensors`` file says of itself; None = nothing, or ComfyUI does not tell.

        Args:
            folder: ComfyUI's word, such as "loras".
            name: in its list.

        Raises:
            UserError: it cannot be reached.
        """
        reply = self._asked("GET", f"/view_metadata/{quote(folder, safe='')}?{urlencode({'filename': name})}")
        try:
            return comfy_answers.texts(json.loads(reply.content)) if reply.status == 200 else None
        except (ValueError, RecursionError):
            return None

    def folders(self, kind: str) -> list[str]:
        """The folders in which it looks for files of a kind, as it says; none where it does not.

        Args:
            kind: ComfyUI's word, such as "loras".

        Raises:
            UserError: it cannot be reached.
        """
        reply = self._asked("GET", "/internal/folder_paths")
        try:
            return comfy_answers.folders(json.loads(reply.content), kind) if reply.status == 200 else []
        except (ValueError, RecursionError):
            return []

    def queue(self, prompt: dict[str, Any]) -> str:
        """Put a workflow into its queue; by which id ComfyUI knows it.

        Args:
            prompt: in the API form.

        Raises:
            UserError: it cannot be reached, or says that the workflow cannot be run, with each node's fault.
        """
        wanted = str(uuid.uuid4())
        body = {"prompt": prompt, "client_id": self._client, "prompt_id": wanted}
        for attempt in range(_ATTEMPTS):
            if attempt and (wanted in self.waiting() or self.done(wanted)):
                return wanted  # its answer was lost
            try:
                reply = self._asked("POST", "/prompt", body, attempts=1)
            except UserError:
                if attempt + 1 == _ATTEMPTS:
                    raise
                self._pause(0.5 * 2.0**attempt)
                continue
            break
        if reply.status == 400:
            said = comfy_answers.refusal(json_in(reply, self._unreadable), prompt)
            raise UserError(
                f"ComfyUI at {self.address} refuses the workflow: {said}", code="comfyui-workflow-refused", said=said
            )
        found = json_in(self._checked(reply), self._unreadable)
        identifier = found.get("prompt_id") if isinstance(found, dict) else None
        if not isinstance(identifier, str) or not _ID.fullmatch(identifier):
            raise self._unreadable()
        return identifier

    def done(self, identifier: str) -> Done | None:
        """What has become of a workflow; None = it is not done, or not known.

        Raises:
            UserError: it cannot be reached, or something else answers.
        """
        found = json_in(self._checked(self._asked("GET", f"/history/{_plain(identifier)}")), self._unreadable)
        if not isinstance(found, dict):
            raise self._unreadable()
        return comfy_answers.done(found.get(identifier)) if identifier in found else None

    def waiting(self) -> dict[str, bool]:
        """The ids of what is in its queue, and whether each is being run now.

        Raises:
            UserError: it cannot be reached, or something else answers.
        """
        found = comfy_answers.queued(json_in(self._checked(self._asked("GET", "/queue")), self._unreadable))
        if found is None:
            raise self._unreadable()
        return found

    def picture(self, place: StoredPicture) -> bytes | None:
        """A picture that it has painted; None = it has it no longer.

        Raises:
            UserError: it cannot be reached.
        """
        asked = urlencode({"filename": place.filename, "subfolder": place.subfolder, "type": place.type})
        reply = self._asked("GET", f"/view?{asked}", longest=_LONGEST_PICTURE)
        return None if reply.status == 404 else self._checked(reply).content

    def upload(self, name: str, content: bytes) -> str:
        """Put a picture there for a workflow, in the folder that it empties when it starts; its name for LoadImage.

        Args:
            name: of the file: letters, digits, ``-`` and ``.``.
            content: of a PNG.

        Raises:
            UserError: it cannot be reached, or does not take it.
        """
        mark = uuid.uuid4().hex
        fields = "".join(
            f'--{mark}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
            for key, value in (("type", "temp"), ("overwrite", "true"))
        )
        head = f'--{mark}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
        body = (fields + head + "Content-Type: image/png\r\n\r\n").encode() + content + f"\r\n--{mark}--\r\n".encode()
        reply = self._asked("POST", "/upload/image", body, kind=f"multipart/form-data; boundary={mark}")
        found = json_in(self._checked(reply), self._unreadable)
        there = found.get("name") if isinstance(found, dict) else None
        if not isinstance(there, str) or len(there) > 255:
            raise self._unreadable()
        return f"{there} [temp]"

    def stop(self, identifiers: Sequence[str]) -> None:
        """Take workflows out of its queue, and interrupt the one that is being run; nothing of anybody else.

        Raises:
            UserError: it cannot be reached.
        """
        if not identifiers:
            return
        self._checked(self._asked("POST", "/queue", {"delete": list(identifiers)}))
        waiting = self.waiting()
        for one in identifiers:
            if waiting.get(one):
                self._checked(self._asked("POST", "/interrupt", {"prompt_id": one}))

    # ---------------------------------------------------------------------------------------------- one request and all

    def _asked(
        self,
        method: str,
        path: str,
        body: Any = None,
        kind: str = "application/json",
        longest: int = _LONGEST,
        attempts: int = _ATTEMPTS,
    ) -> Reply:
        """The answer to a request.

        Raises:
            UserError: there is none, each time.
        """
        headers = {"User-Agent": f"SameFace/{__version__}", "Accept": "*/*"}
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode("ascii")
        if content is not None:
            headers["Content-Type"] = kind
        request = Request(f"{self.address}{path}", content, headers, method=method)
        said = ""
        for attempt in range(attempts):
            if attempt:
                self._pause(0.5 * 2.0**attempt)
            try:
                return exchange(self._opener, request, _TIMEOUT, longest)
            except AnswerLost as error:
                said = one_line(str(error))
        raise UserError(
            f"ComfyUI does not answer at {self.address} ({said}); check that it runs there, and start it if not.",
            code="comfyui-unreachable",
            address=self.address,
        )

    def _checked(self, reply: Reply) -> Reply:
        """
        Raises:
            UserError: the answer is a refusal.
        """
        if 200 <= reply.status < 300:
            return reply
        hint = "; it requires a login, which SameFace does not support" if reply.status in (401, 403) else ""
        raise UserError(
            f"ComfyUI at {self.address} refused the request with status {reply.status}{hint}; its console shows "
            "the reason.",
            code="comfyui-refused",
            address=self.address,
            status=reply.status,
        )

    def _unreadable(self) -> UserError:
        return UserError(
            f"What answers at {self.address} is not ComfyUI; give the address that ComfyUI's own console shows.",
            code="comfyui-answer-unreadable",
            address=self.address,
        )


def _plain(identifier: str) -> str:
    if not _ID.fullmatch(identifier):
        raise ValueError("not an id of ComfyUI's")
    return identifier
