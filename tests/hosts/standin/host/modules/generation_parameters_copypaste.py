"""The old name of infotext_utils."""

from modules.infotext_utils import *  # noqa: F403
