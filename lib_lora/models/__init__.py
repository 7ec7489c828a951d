"""The base checkpoint: what it is, its parts as torch modules, its words and its pictures. No network, no hub."""
