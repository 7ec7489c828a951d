"""The webuis as hosts: A1111 and its forks."""
