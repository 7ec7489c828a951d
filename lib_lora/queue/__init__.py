"""The queue of jobs on disk, and the worker processes that do them."""
