"""Keeps the queue of jobs on disk, and runs the worker processes that do them."""
