"""Describes ComfyUI's workflows as values, speaks its HTTP interface, and paints through a running ComfyUI."""
