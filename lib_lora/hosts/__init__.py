"""The programs that SameFace runs in, A1111, its forks or none; the only package that imports their modules."""
