"""Reads run folders without loading what trains."""
