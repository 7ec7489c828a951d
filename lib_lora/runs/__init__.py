"""Run folders, read without loading what trains."""
