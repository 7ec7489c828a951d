"""Runners: who starts a worker, and where."""
