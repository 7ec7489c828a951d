"""The packages that SameFace needs: which are there, installing them, their releases; and the checks of `test`."""
