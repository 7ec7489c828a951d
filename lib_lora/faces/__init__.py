"""Finds and describes faces in pictures: what a face is, the engines for it, and their licences."""
