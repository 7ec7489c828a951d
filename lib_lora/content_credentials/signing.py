"""Signs pictures with a C2PA manifest that says that they were generated, and by what.

Uses no network.
"""

from __future__ import annotations

import io
import json
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import PurePath
from typing import Any

from lib_lora import __version__
from lib_lora.content_credentials.certificates import SigningIdentity
from lib_lora.errors import UserError
from lib_lora.provenance.source_type import GENERATED, address

_KINDS = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


def check_there() -> None:
    """
    Raises:
        UserError: the package `c2pa-python` is not installed.
    """
    _library()


def is_there() -> bool:
    """Whether the package is installed; whether it can be used is seen once it is."""
    return "c2pa" in sys.modules or find_spec("c2pa") is not None


def is_signable(name: str) -> bool:
    """Whether a file of this name is a picture that can be signed."""
    return PurePath(name).suffix.lower() in _KINDS


def signed(name: str, content: bytes, identity: SigningIdentity) -> bytes:
    """A picture with a manifest; all that the file says otherwise stays in it.

    Args:
        name: of its file; its ending says what it is.
        content: of the file.
        identity: who signs.

    Raises:
        UserError: the package is not installed, or it does not sign this with this certificate.
    """
    c2pa = _library()
    kind, out = _KINDS[PurePath(name).suffix.lower()], io.BytesIO()
    info = c2pa.C2paSignerInfo(
        alg=identity.algorithm.encode("ascii"), sign_cert=identity.chain, private_key=identity.key, ta_url=None
    )
    try:
        with c2pa.Signer.from_info(info) as signer, c2pa.Builder(json.dumps(_manifest(name))) as builder:
            builder.sign(signer, kind, io.BytesIO(content), out)
    except c2pa.C2paError as error:
        said = " ".join(str(error).split())[:300]
        raise UserError(
            f"{name} was not signed: {said}; check that the certificate is one for signing C2PA's manifests.",
            code="c2pa-refused",
            file=name,
        ) from error
    return out.getvalue()


def _manifest(name: str) -> dict[str, Any]:
    program = {"name": "SameFace", "version": __version__}
    made = {"action": "c2pa.created", "digitalSourceType": address(GENERATED), "softwareAgent": program}
    return {
        "claim_generator_info": [program],
        "title": name,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [made]}}],
    }


def _library() -> Any:
    try:
        return import_module("c2pa")
    except (ImportError, OSError, RuntimeError) as error:  # its native part may not load on this system
        raise UserError(
            f"Signing needs the package c2pa-python; install it with: {sys.executable} -m pip install c2pa-python",
            code="c2pa-missing",
        ) from error
