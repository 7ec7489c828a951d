"""Defines the tone in which something is said: good, a warning, bad, or none of these."""

from __future__ import annotations

from typing import Literal

Tone = Literal["good", "warn", "bad", "none"]
