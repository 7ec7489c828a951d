"""Limits what the routes take; the page gets the same limits, so that it asks for nothing that is refused."""

from __future__ import annotations

from lib_lora.ui.http.request_context import MB

PHOTO_FILE = 256 * MB  # bytes of a photo, or of a zip of photos
FACE_FILE = 64 * MB  # bytes of a picture that a character is made from
PHOTOS_AT_ONCE = 2  # opened; a photo of 100 megapixels takes 300 MB while it is open
