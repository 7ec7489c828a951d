"""Checks what works on this machine, for the Doctor of the tab and of the terminal."""
