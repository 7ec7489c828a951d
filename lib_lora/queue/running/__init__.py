"""Runs the jobs of the queue: the supervisor, worker processes, and the pipe to each."""
