"""What a run will be: its settings and presets, what it costs, and the run file. Loads no torch."""
