"""Plans a run: its settings and presets, what it costs, and the run file.

Loads no torch.
"""
