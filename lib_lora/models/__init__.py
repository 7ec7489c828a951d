"""Opens base checkpoints: their parts as torch modules, their tokens and their pictures.

Uses no network and no hub.
"""
