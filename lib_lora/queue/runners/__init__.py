"""Decides who starts a worker, and where: the runners."""
