"""Files of translations by the name of their language."""

localizations = {}
